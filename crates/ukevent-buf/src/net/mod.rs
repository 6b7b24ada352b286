//! The network allocator: blocks of any size, for what the program makes or must keep.
//!
//! The ideas are those of the network tree allocator (NTA, 2006): packets come in any size, so sizes
//! are rounded to a cache line rather than to a power of two; neighbours are joined when they come
//! back; each processor, here thread, has an allocator of its own, and what is freed elsewhere is sent
//! home; a canary and a count of users lie with each block, here beside it. Where that one had a tree,
//! this has lists by size and bitmaps that find them.

mod bins;
mod blocks;
mod table;

use crate::arena::{Account, Arena, End, LINE_BYTES, OwnerKind, Units};
use crate::buffer::Buffer;
use crate::entry::{ENTRY_BYTES, Entry};
use crate::error::{AllocateError, ArenaError, TrimError, WrongThread};
use crate::guard::FENCE_BYTES;
use crate::home::{Home, Owner};
pub(crate) use blocks::Blocks;
use blocks::{BlockSide, Request, lines_for};
use std::{ptr::NonNull, task::Waker};
pub(crate) use table::Table;

/// Buffers of any size, rounded up to 64 bytes, in an [`Arena`].
///
/// It belongs to the thread that first allocates from it, until that ends or
/// [lets go](NetAllocator::let_go); other threads are refused: make one for each. There, allocating and
/// freeing take no atomic step; a buffer that is freed elsewhere comes home over a return ring, without
/// a lock. Neither allocates memory. A lock is taken only when it needs another region of the arena, or
/// has one too many.
///
/// Dropping it does not touch what is lent: the memory goes back to the arena when the last buffer is
/// dropped. (Dropped while another thread owns it, it waits for that thread too.)
///
/// ```
/// use ukevent_buf::{Arena, NetAllocator};
///
/// let arena = Arena::new(16 << 20)?;
/// let net = NetAllocator::new(&arena);
/// let mut segment = net.allocate(1500)?;
/// assert!(segment.capacity() >= 1500 && segment.capacity() < 1500 + 64);
/// segment.append(&[0; 1460])?;
/// assert_eq!(net.statistics()?.blocks, 1);
///
/// std::thread::spawn(move || drop(segment)).join().unwrap();
/// assert_eq!(net.statistics()?.largest_free_bytes, arena.region_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "NTA")]
pub struct NetAllocator {
    owner: Owner<Blocks>,
}

/// How the memory of a [`NetAllocator`] is used at this moment. Exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetStatistics {
    /// Buffers and shared slices of buffers that are not back.
    pub blocks: u32,
    /// Bytes of them, rounded; in a debug build with the fence behind each.
    pub used_bytes: usize,
    /// Bytes of those that nobody asked for.
    pub wasted_bytes: usize,
    /// Bytes that it took from the arena and that are not lent.
    pub free_bytes: usize,
    /// The largest piece of those.
    pub largest_free_bytes: usize,
    /// Bytes that it took from the arena.
    pub held_bytes: usize,
    /// Bytes that it knows all this by, beside the memory.
    pub side_bytes: usize,
}

impl NetAllocator {
    /// An allocator of this arena. Takes nothing of it before the first request.
    ///
    /// # Panics
    /// If the kernel has no addresses for the side table of the arena's first allocator: use
    /// [`NetAllocator::builder`] to be told.
    #[must_use]
    pub fn new(arena: &Arena) -> Self {
        Self::builder(arena).build().expect("addresses for a table half as large as the arena")
    }

    /// An allocator of this arena, with more to say about it.
    pub const fn builder(arena: &Arena) -> NetAllocatorBuilder<'_> {
        NetAllocatorBuilder { arena, waker: None }
    }

    /// A buffer of at least so many bytes, empty, without headroom.
    ///
    /// # Errors
    /// [`AllocateError::Full`] if neither its regions nor the arena have so much in one piece: then the
    /// waker is called when something comes back. [`AllocateError::TooLarge`] if it is more than
    /// [`NetAllocator::limit_bytes`]; [`AllocateError::WrongThread`].
    #[inline]
    pub fn allocate(&self, bytes: usize) -> Result<Buffer, AllocateError> {
        self.allocate_with_headroom(0, bytes)
    }

    /// A buffer of at least so many bytes, empty, and so much headroom besides.
    ///
    /// # Errors
    /// As [`NetAllocator::allocate`].
    #[inline]
    pub fn allocate_with_headroom(
        &self,
        headroom: usize,
        bytes: usize,
    ) -> Result<Buffer, AllocateError> {
        let asked = headroom.saturating_add(bytes);
        let entry = self.owner.with(|blocks, home| {
            let limit_bytes = limit_bytes(blocks.region_lines);
            if asked > limit_bytes {
                return Err(AllocateError::TooLarge { limit_bytes });
            }
            if blocks.is_look_due() {
                home.drain(blocks);
            }
            let lines = lines_for(asked) as u32;
            let request = Request { home: self.owner.home(), lines, asked, headroom };
            blocks
                .take(home.side(), request)
                .or_else(|| Self::take_slowly(blocks, home, request))
                .ok_or(AllocateError::Full)
        })?;
        // SAFETY: of a block that was taken just now, its extent entered; its bytes are initialised,
        // as all of an arena.
        Ok(unsafe { Buffer::of(entry?) })
    }

    /// Looks what others gave back, then for another region, then once more while it says that it
    /// waits.
    #[cold]
    #[inline(never)]
    fn take_slowly(
        blocks: &mut Blocks,
        home: &Home<Blocks>,
        request: Request,
    ) -> Option<NonNull<Entry>> {
        let side = home.side();
        let region_bytes = side.account.arena().region_bytes();
        if home.drain(blocks) > 0
            && let Some(entry) = blocks.take(side, request)
        {
            return Some(entry);
        }
        if let Some(stretch) = side.account.take(region_bytes, region_bytes, End::Low, true) {
            blocks.add_region(request.home, stretch);
            home.end_hunger();
            return blocks.take(side, request);
        }
        while home.starve(blocks) {
            if let Some(entry) = blocks.take(side, request) {
                return Some(entry);
            }
        }
        None
    }

    /// The most that can be had at once: a region, in a debug build less a fence.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        limit_bytes((self.owner.side().account.arena().region_bytes() / LINE_BYTES) as u32)
    }

    /// Gives every region that is empty to the arena, and the pages of all that the arena has free to
    /// the system, as [`Arena::trim`] does; of how many bytes. Otherwise it keeps one empty region.
    ///
    /// # Errors
    /// [`TrimError`].
    pub fn trim(&self) -> Result<usize, TrimError> {
        self.owner.visit(|blocks, home| home.drain(blocks))?;
        // One by one, because each may wake somebody who comes back here.
        while let Some(stretch) = self.owner.visit(|blocks, _| blocks.remove_region(0))? {
            drop(stretch);
        }
        let arena = Arena::of(self.owner.side().account.arena());
        Ok(arena.trim()?)
    }

    /// How its memory is used, what other threads gave back included.
    ///
    /// # Errors
    /// [`WrongThread`].
    pub fn statistics(&self) -> Result<NetStatistics, WrongThread> {
        self.owner.visit(|blocks, home| {
            home.drain(blocks);
            let counts = blocks.counts();
            NetStatistics {
                blocks: counts.lent,
                used_bytes: counts.lent_bytes,
                wasted_bytes: counts.slack_bytes + counts.lent as usize * FENCE_BYTES,
                free_bytes: counts.held_bytes - counts.lent_bytes,
                largest_free_bytes: counts.largest_free_bytes,
                held_bytes: counts.held_bytes,
                side_bytes: (counts.lent + counts.free) as usize * ENTRY_BYTES,
            }
        })
    }

    /// Lets it belong to the thread that uses it next. Does nothing in a thread that it does not belong
    /// to. What this thread still has of it comes home like that of any other.
    pub fn let_go(&self) {
        self.owner.let_go();
    }

    /// Its number among the owners of its arena's [statistics](Arena::statistics).
    #[must_use]
    pub fn number(&self) -> u64 {
        self.owner.side().account.number()
    }
}

const fn limit_bytes(region_lines: u32) -> usize {
    (region_lines as usize - (lines_for(1) - 1)) * LINE_BYTES
}

impl std::fmt::Debug for NetAllocator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetAllocator").field("number", &self.number()).finish_non_exhaustive()
    }
}

/// Says what a [`NetAllocator`] is to be. Made by [`NetAllocator::builder`].
///
/// ```
/// use std::{sync::Arc, task::Wake};
/// use ukevent_buf::{AllocateError, Arena, NetAllocator};
///
/// struct Resume;
/// impl Wake for Resume {
///     fn wake(self: Arc<Self>) {
///         println!("there is room again");
///     }
/// }
///
/// let arena = Arena::new(64 << 10)?;
/// let net = NetAllocator::builder(&arena).waker(Arc::new(Resume).into()).build()?;
/// let buffer = net.allocate(60_000)?;
/// assert_eq!(net.allocate(60_000).unwrap_err(), AllocateError::Full);
/// drop(buffer); // there is room again
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct NetAllocatorBuilder<'a> {
    arena: &'a Arena,
    waker: Option<Waker>,
}

impl NetAllocatorBuilder<'_> {
    /// Called when something comes back after [`AllocateError::Full`], be it a block of this allocator
    /// or a region of the arena: in the thread that frees it, so it must not block. At least once after
    /// each `Full`; sometimes for nothing, or for too little.
    pub fn waker(self, waker: Waker) -> Self {
        Self { waker: Some(waker), ..self }
    }

    /// Makes it. Allocates its lists and return rings (about 70 KiB).
    ///
    /// # Errors
    /// [`ArenaError::Kernel`] with `ENOMEM` if there are no addresses for the side table.
    pub fn build(self) -> Result<NetAllocator, ArenaError> {
        let arena = self.arena.shared();
        let entries = arena.table()?.entries();
        let units = Units::Lent { unit_bytes: LINE_BYTES };
        let account = Account::open(arena, OwnerKind::Network, units, self.waker.clone());
        // SAFETY: of the account's arena, which keeps its table.
        let side = unsafe { BlockSide::new(account, entries) };
        let blocks = Blocks::new(&side);
        let most = arena.bytes() / LINE_BYTES;
        let owner = Owner::new(blocks, side, most as u32, self.waker);
        Ok(NetAllocator { owner })
    }
}

#[cfg(test)]
mod tests;
