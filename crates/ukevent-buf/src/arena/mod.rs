//! The arena: one mapped stretch of memory that pools and allocators take theirs from.
//!
//! One mapping, so that it can be registered with io_uring as one buffer, be an AF_XDP umem, or be
//! mapped by another process; and so that there is one bound on all of it.
//!
//! Its bytes are zero at first and always initialised: what is reused has the bytes of its last user,
//! and so any part of a buffer can be given out as `&mut [u8]`.

mod map;
mod pages;
mod shared;
mod spans;
mod statistics;
mod view;

use crate::error::{ArenaError, SysError};
pub(crate) use map::Mapping;
pub use pages::{HugePages, PageKind, Pages, Refusal};
pub(crate) use shared::{Account, End, Shared, Stretch, Units};
pub use statistics::{ArenaStatistics, OwnerKind, OwnerStatistics, Residency};
use std::{os::fd::OwnedFd, ptr::NonNull, sync::Arc};
pub use view::ArenaView;

/// What sizes are rounded to, and where blocks begin: a cache line.
pub(crate) const LINE_BYTES: usize = 64;

/// As many lines as an index can name.
const MAX_BYTES: usize = (u32::MAX as usize) * LINE_BYTES;
const MIN_REGION_BYTES: usize = 64 << 10;
const MAX_REGION_BYTES: usize = 2 << 20;
/// Of those that are asked for.
const LARGEST_REGION_BYTES: usize = 1 << 30;

/// Bounded memory for packets and I/O, from which a [`FramePool`](crate::FramePool) or a
/// [`NetAllocator`](crate::NetAllocator) takes its share.
///
/// Cloning it is cheap and gives the same arena. It is unmapped when the arena, its pools and
/// allocators, and every buffer of theirs are gone. Nothing here is on the way of a packet: calls
/// take a lock, for a short time.
///
/// ```
/// use ukevent_buf::{Arena, FramePool};
///
/// let arena = Arena::new(1 << 20)?;
/// println!("{}", arena.pages()); // e.g.: pages of 4 KiB; no transparent huge pages: …
/// let pool = FramePool::builder(100, 2048).build(&arena)?;
/// let statistics = arena.statistics();
/// assert_eq!(statistics.owners.len(), 1);
/// assert!(statistics.free_bytes <= (1 << 20) - 100 * 2048);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Arena {
    shared: Arc<Shared>,
}

impl Arena {
    /// An arena of this size, rounded up to whole pages, in transparent huge pages if it may.
    ///
    /// The kernel gives the pages when they are touched, zeroed.
    ///
    /// # Errors
    /// [`ArenaError::Kernel`] with `ENOMEM`; [`ArenaError::Invalid`] if it is 0 or above 256 GiB.
    pub fn new(bytes: usize) -> Result<Self, ArenaError> {
        Self::builder(bytes).build()
    }

    /// An arena of this size, with more to say about it.
    pub const fn builder(bytes: usize) -> ArenaBuilder<'static> {
        ArenaBuilder { bytes, region_bytes: None, huge_pages: HugePages::Transparent, name: None }
    }

    /// How large it is, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.shared.bytes()
    }

    /// How much of it a [`NetAllocator`](crate::NetAllocator) takes at a time, in bytes.
    #[must_use]
    pub fn region_bytes(&self) -> usize {
        self.shared.region_bytes()
    }

    /// Where it begins: at a page. For registering it with the kernel; the bytes belong to the
    /// buffers.
    #[must_use]
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.shared.base()
    }

    /// Which pages it has, and why not larger ones.
    #[must_use]
    pub fn pages(&self) -> Pages {
        self.shared.mapping.pages()
    }

    /// How much of it is in memory, and in huge pages, at this moment. Reads `/proc/self/smaps`,
    /// which takes the kernel a while: for people and tests.
    ///
    /// # Errors
    /// `ENOENT` without a proc file system.
    pub fn residency(&self) -> Result<Residency, SysError> {
        statistics::residency(self.shared.base().addr().get(), self.shared.bytes())
    }

    /// A new descriptor of its memfd, by which another process can map it with
    /// [`ArenaView::open`]: for reading only, close-on-exec. `None` if it is no memfd.
    ///
    /// # Errors
    /// `EMFILE`, or `ENOENT` without a proc file system.
    pub fn descriptor(&self) -> Result<Option<OwnedFd>, SysError> {
        self.shared.mapping.reader()
    }

    /// Keeps its pages where they are, until the pin is dropped.
    ///
    /// To be held while the kernel knows the arena by its pages: registered with io_uring or as a
    /// umem. A page given back meanwhile would go on to be the kernel's, and no longer be ours.
    pub fn pin(&self) -> ArenaPin {
        self.shared.pin();
        ArenaPin { shared: self.shared.clone() }
    }

    /// Gives the pages of what nobody holds back to the system (`MADV_DONTNEED`, of a memfd
    /// `MADV_REMOVE`); of how many bytes. Nothing while there is an [`ArenaPin`], and nothing of
    /// reserved huge pages, which nobody else could have.
    ///
    /// What allocators hold, free or not, they give to the arena first by
    /// [`NetAllocator::trim`](crate::NetAllocator::trim).
    ///
    /// # Errors
    /// `EINVAL` if somebody locked the pages (mlock(2)).
    pub fn trim(&self) -> Result<usize, SysError> {
        if self.pages().kind == PageKind::Reserved {
            return Ok(0);
        }
        self.shared.trim()
    }

    /// How much of it is in use, and by whom.
    #[must_use]
    pub fn statistics(&self) -> ArenaStatistics {
        self.shared.statistics()
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone() }
    }
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena")
            .field("bytes", &self.len_bytes())
            .field("pages", &self.pages())
            .finish_non_exhaustive()
    }
}

/// Says what an [`Arena`] is to be. Made by [`Arena::builder`].
///
/// ```
/// use ukevent_buf::{Arena, HugePages};
///
/// let arena = Arena::builder(8 << 20).huge_pages(HugePages::Reserved).memfd("capture").build()?;
/// assert!(arena.descriptor()?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ArenaBuilder<'a> {
    bytes: usize,
    region_bytes: Option<usize>,
    huge_pages: HugePages,
    name: Option<&'a str>,
}

impl<'a> ArenaBuilder<'a> {
    /// Which pages to ask for; transparent huge ones unless told.
    pub const fn huge_pages(self, huge_pages: HugePages) -> Self {
        Self { huge_pages, ..self }
    }

    /// How much an allocator takes at a time, and so the largest piece it can give out: a power of
    /// two, from a page to 1 GiB. Unless told a sixteenth of the arena, within 64 KiB and 2 MiB.
    pub const fn region_bytes(self, bytes: usize) -> Self {
        Self { region_bytes: Some(bytes), ..self }
    }

    /// Makes it a memfd, which other processes can map (memfd_create(2), Linux 3.17). The name is for
    /// people who look into `/proc`.
    pub fn memfd<'b>(self, name: &'b str) -> ArenaBuilder<'b>
    where
        'a: 'b,
    {
        ArenaBuilder { name: Some(name), ..self }
    }

    /// Maps it.
    ///
    /// # Errors
    /// As [`Arena::new`]; and [`ArenaError::Invalid`] for a size of regions that is none.
    pub fn build(self) -> Result<Arena, ArenaError> {
        if self.bytes == 0 || self.bytes > MAX_BYTES {
            return Err(ArenaError::Invalid("an arena has from 1 byte to 256 GiB"));
        }
        if self.region_bytes.is_some_and(|bytes| {
            !bytes.is_power_of_two()
                || !(rustix::param::page_size()..=LARGEST_REGION_BYTES).contains(&bytes)
        }) {
            return Err(ArenaError::Invalid("a region is a power of two, from a page to 1 GiB"));
        }
        let mapping = Mapping::new(self.bytes, self.huge_pages, self.name)?;
        let largest = 1 << mapping.bytes().ilog2();
        let usual = (largest / 16).clamp(MIN_REGION_BYTES, MAX_REGION_BYTES);
        let region_bytes = self.region_bytes.unwrap_or(usual).min(largest);
        Ok(Arena { shared: Arc::new(Shared::new(mapping, region_bytes)) })
    }
}

/// Keeps the pages of an [`Arena`] where they are. Made by [`Arena::pin`].
///
/// ```
/// use ukevent_buf::Arena;
///
/// let arena = Arena::new(1 << 20)?;
/// let pin = arena.pin();
/// assert_eq!(arena.trim()?, 0);
/// drop(pin);
/// assert_eq!(arena.trim()?, 1 << 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct ArenaPin {
    shared: Arc<Shared>,
}

impl Drop for ArenaPin {
    fn drop(&mut self) {
        self.shared.unpin();
    }
}

impl std::fmt::Debug for ArenaPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArenaPin").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
