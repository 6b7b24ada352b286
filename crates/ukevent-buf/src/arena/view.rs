//! An arena as another process sees it: the same pages, for reading only.

use crate::error::{SysError, ViewError};
use rustix::fs::SealFlags;
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// The memory of another process' [`Arena`](crate::Arena), mapped for reading.
///
/// Made of the descriptor that [`Arena::descriptor`](crate::Arena::descriptor) gave out and that came
/// by a Unix socket, or by inheritance. Which bytes are worth reading, the owner has to say: by
/// [`Slice::offset_in_arena`](crate::Slice::offset_in_arena) and the length. The owner keeps the
/// slice until it was told that the reader is done, or the bytes change while they are read.
///
/// Dropping it unmaps. Linux 3.17.
///
/// ```
/// use ukevent_buf::{Arena, ArenaView, NetAllocator};
///
/// let arena = Arena::builder(1 << 20).memfd("packets").build()?;
/// let mut packet = NetAllocator::new(&arena).allocate(100)?;
/// packet.append(b"from here to there")?;
///
/// // In the other process:
/// let descriptor = arena.descriptor()?.expect("it is a memfd");
/// let view = ArenaView::open(&descriptor)?;
/// let mut bytes = [0; 18];
/// assert!(view.read(packet.offset_in_arena().unwrap(), &mut bytes));
/// assert_eq!(&bytes, b"from here to there");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ArenaView {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: owns its mapping, and only reads it.
unsafe impl Send for ArenaView {}
// SAFETY: as above; what others write meanwhile is read atomically.
unsafe impl Sync for ArenaView {}

impl ArenaView {
    /// Maps all of it. The descriptor is not needed afterwards.
    ///
    /// # Errors
    /// [`ViewError::MayShrink`] if it is no memfd with a sealed size; [`ViewError::Kernel`] with
    /// `EACCES`, `ENOMEM`.
    pub fn open(descriptor: impl AsFd) -> Result<Self, ViewError> {
        let failed =
            |call| move |errno: rustix::io::Errno| SysError::new(call, errno.raw_os_error());
        let seals = rustix::fs::fcntl_get_seals(&descriptor).map_err(|_| ViewError::MayShrink)?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(ViewError::MayShrink);
        }
        let stat = rustix::fs::fstat(&descriptor).map_err(failed("fstat"))?;
        let bytes = usize::try_from(stat.st_size).unwrap_or(0);
        if bytes == 0 {
            return Err(ViewError::Empty);
        }
        // SAFETY: at no address of ours, so it replaces nothing.
        let base = unsafe {
            let (rights, flags) = (ProtFlags::READ, MapFlags::SHARED);
            rustix::mm::mmap(std::ptr::null_mut(), bytes, rights, flags, &descriptor, 0)
        };
        let base = NonNull::new(base.map_err(failed("mmap"))?.cast());
        Ok(Self { base: base.expect("mmap(2) fails rather than map at 0"), bytes })
    }

    /// How large it is, in bytes.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.bytes
    }

    /// Where it begins. For reading; nobody promises that the bytes stay as they are.
    #[must_use]
    pub const fn as_ptr(&self) -> *const u8 {
        self.base.as_ptr()
    }

    /// Copies the bytes from `offset` on. False, and nothing copied, if they are not all inside.
    ///
    /// Bytes that the owner writes meanwhile are old or new, each by itself.
    #[must_use]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> bool {
        if offset > self.bytes || into.len() > self.bytes - offset {
            return false;
        }
        let mut done = 0;
        while done < into.len() {
            let at = offset + done;
            if at.is_multiple_of(8) && into.len() - done >= 8 {
                // SAFETY: inside the mapping, which begins at a page, so it is aligned; another
                // process may write it at the same time, hence atomic.
                let word = unsafe { &*self.base.as_ptr().add(at).cast::<AtomicU64>() };
                into[done..done + 8].copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
                done += 8;
            } else {
                // SAFETY: inside the mapping; atomic as above.
                let byte = unsafe { &*self.base.as_ptr().add(at).cast::<AtomicU8>() };
                into[done] = byte.load(Ordering::Relaxed);
                done += 1;
            }
        }
        true
    }

    /// The bytes themselves, without a copy. `None` if they are not all inside.
    ///
    /// # Safety
    /// Nobody writes them while the slice is in use. The owner has to see to that, which holds a
    /// [`Slice`](crate::Slice) of them.
    #[must_use]
    pub unsafe fn bytes(&self, offset: usize, len: usize) -> Option<&[u8]> {
        if offset > self.bytes || len > self.bytes - offset {
            return None;
        }
        // SAFETY: inside the mapping, which lives as long as `self`; not written, as promised.
        Some(unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset), len) })
    }
}

impl Drop for ArenaView {
    fn drop(&mut self) {
        // SAFETY: mapped by `open`; what was lent out does not outlive `self`.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}
