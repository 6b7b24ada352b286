//! The frame pool: frames of one size, for what the kernel fills.
//!
//! A frame is told by its number. The kernel is lent frames by number (the buffer id of an io_uring
//! buffer ring, the place in a umem) and gives back numbers; [`FramePool::take_back`] makes a buffer
//! of one only if that frame is lent, so a number that comes twice, or from nowhere, makes none.

mod frames;

use crate::arena::{Account, Arena, End, LINE_BYTES, OwnerKind, Units};
use crate::buffer::Buffer;
use crate::entry::Origin;
use crate::error::{AllocateError, PoolError, TakeBackError, WrongThread};
use crate::guard::{CHECKED, FENCE_BYTES};
use crate::home::Owner;
pub(crate) use frames::Frames;
use frames::{FrameSide, Shape};
use std::{ops::Range, ptr::NonNull, task::Waker};

/// A bounded number of frames of one size, each with headroom, in an [`Arena`].
///
/// It belongs to the thread that first takes a frame, until that ends or [lets go](FramePool::let_go);
/// other threads are refused. There, allocating and freeing take a few instructions and no atomic
/// step. Buffers may be freed in any thread: they come back over return rings, without a lock. Neither
/// allocates memory.
///
/// Dropping it does not touch what is lent: the memory goes back to the arena when the last buffer is
/// dropped. (Dropped while another thread owns it, it waits for that thread too.) Frames that are lent
/// to the kernel and never taken back keep the memory for ever: better lost than overwritten.
///
/// ```
/// use ukevent_buf::{AllocateError, Arena, FramePool};
///
/// let arena = Arena::new(1 << 20)?;
/// let pool = FramePool::builder(2, 2048).headroom_bytes(64).build(&arena)?;
/// let mut frame = pool.allocate()?;
/// assert_eq!((frame.headroom(), frame.tailroom()), (64, 2048 - 64));
/// frame.append(b"to be sent")?;
/// let other = pool.allocate()?;
/// assert_eq!(pool.allocate().unwrap_err(), AllocateError::Full);
/// std::thread::spawn(move || drop(other));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FramePool {
    owner: Owner<Frames>,
}

/// A frame that is lent to the kernel. Only says where it is; the pool keeps the record.
///
/// ```
/// use ukevent_buf::{Arena, FramePool, TakeBackError};
///
/// let pool = FramePool::builder(8, 2048).headroom_bytes(48).build(&Arena::new(1 << 20)?)?;
/// let loan = pool.lend()?;
/// assert_eq!(loan.len_bytes(), 2000);
/// assert_eq!(pool.statistics()?.at_kernel, 1);
/// // The kernel says that it wrote nothing:
/// drop(pool.take_back(loan.index(), 0)?);
/// assert_eq!(pool.take_back(loan.index(), 0).unwrap_err(), TakeBackError::NotLent);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loan {
    index: u32,
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: an address, which is only given out.
unsafe impl Send for Loan {}
// SAFETY: as above.
unsafe impl Sync for Loan {}

impl Loan {
    /// The frame's number, from 0 on.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Where the kernel may write: behind the headroom.
    #[must_use]
    pub const fn as_mut_ptr(self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// How many bytes it may write.
    #[must_use]
    pub const fn len_bytes(self) -> usize {
        self.len
    }
}

/// How the frames of a [`FramePool`] are used at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatistics {
    /// All frames.
    pub frames: u32,
    /// To be had.
    pub free: u32,
    /// Lent to the kernel.
    pub at_kernel: u32,
    /// Bytes of a frame, headroom included.
    pub frame_bytes: usize,
    /// Bytes from one frame to the next.
    pub stride_bytes: usize,
}

impl FramePool {
    /// A pool of so many frames, of so many bytes each, headroom included.
    pub const fn builder(frames: u32, frame_bytes: usize) -> FramePoolBuilder {
        FramePoolBuilder { frames, frame_bytes, headroom: 0, is_exact: false, waker: None }
    }

    /// Takes a frame: an empty buffer behind the headroom.
    ///
    /// # Errors
    /// [`AllocateError::Full`], and then the waker is called when one comes back;
    /// [`AllocateError::WrongThread`].
    #[inline]
    pub fn allocate(&self) -> Result<Buffer, AllocateError> {
        let index = self.take()?;
        // SAFETY: taken just now.
        Ok(unsafe { self.buffer(index, self.owner.side().shape.headroom, 0) })
    }

    #[inline]
    fn take(&self) -> Result<u32, AllocateError> {
        self.owner.with(|frames, home| {
            if frames.is_look_due() {
                home.drain(frames);
            }
            if let Some(index) = frames.take(home.side()) {
                return Ok(index);
            }
            if home.drain(frames) > 0 || home.starve(frames) {
                return frames.take(home.side()).ok_or(AllocateError::Full);
            }
            Err(AllocateError::Full)
        })?
    }

    /// # Safety
    /// The frame is out, and nobody has it; `start + len` is at most a frame.
    #[inline]
    unsafe fn buffer(&self, index: u32, start: usize, len: usize) -> Buffer {
        let entry = self.owner.side().entry(index);
        entry.set_span(start, len);
        // SAFETY: a frame of this pool, out and nobody's; its bytes are initialised, as all of an
        // arena; `start` and `len` as promised.
        unsafe { Buffer::of(NonNull::from(entry)) }
    }

    /// Takes a frame and lends it to the kernel: from now on it is written there, until
    /// [`FramePool::take_back`].
    ///
    /// # Errors
    /// As [`FramePool::allocate`].
    pub fn lend(&self) -> Result<Loan, AllocateError> {
        let index = self.take()?;
        self.owner.with(|frames, _| frames.note_at_kernel(index))?;
        Ok(self.loan(index))
    }

    /// Lends a buffer's frame to the kernel. What is in it is lost.
    ///
    /// # Errors
    /// The buffer itself, if it is not of this pool, or another thread uses the pool.
    pub fn lend_buffer(&self, buffer: Buffer) -> Result<Loan, Buffer> {
        match buffer.entry().origin.get() {
            Origin::Frame(index, home) if home == self.owner.home() => {
                if self.owner.with(|frames, _| frames.note_at_kernel(index)).is_err() {
                    return Err(buffer);
                }
                // The frame is out all the same, only not with a buffer.
                let _ = buffer.into_entry();
                Ok(self.loan(index))
            }
            _ => Err(buffer),
        }
    }

    fn loan(&self, index: u32) -> Loan {
        let side = self.owner.side();
        // SAFETY: the headroom is at most a frame.
        let base = unsafe { side.base(index).add(side.shape.headroom) };
        Loan { index, base, len: side.shape.frame_bytes - side.shape.headroom }
    }

    /// Takes a frame back in which the kernel wrote `len` bytes, behind the headroom.
    ///
    /// The kernel must be done with it. The pool cannot see that; a number that was not lent it
    /// refuses.
    ///
    /// # Errors
    /// [`TakeBackError`]; the frame is lent as before.
    pub fn take_back(&self, index: u32, len: usize) -> Result<Buffer, TakeBackError> {
        let start = self.owner.side().shape.headroom;
        self.take_back_range(index, start..start.saturating_add(len))
    }

    /// Takes a frame back in which the kernel wrote this range, as a umem's descriptors tell it.
    ///
    /// # Errors
    /// [`TakeBackError`]; the frame is lent as before.
    pub fn take_back_range(
        &self,
        index: u32,
        range: Range<usize>,
    ) -> Result<Buffer, TakeBackError> {
        let frame_bytes = self.owner.side().shape.frame_bytes;
        self.owner.with(|frames, _| {
            if !frames.is_at_kernel(index) {
                return Err(TakeBackError::NotLent);
            }
            if range.start > range.end || range.end > frame_bytes {
                return Err(TakeBackError::OutOfFrame { frame_bytes });
            }
            frames.note_back(index);
            Ok(())
        })??;
        // SAFETY: out, and with the kernel until now; the range was checked.
        Ok(unsafe { self.buffer(index, range.start, range.end - range.start) })
    }

    /// Where a frame begins in the arena: its address in a umem. `None` if there is no such frame.
    #[must_use]
    pub fn offset_in_arena(&self, index: u32) -> Option<usize> {
        let side = self.owner.side();
        (index < side.frames()).then(|| side.stretch.offset() + index as usize * side.shape.stride)
    }

    /// The frame that lies at an offset in the arena, and how far in the frame that is: what a umem's
    /// descriptors tell. `None` if it is in no frame.
    #[must_use]
    pub fn frame_at(&self, offset_in_arena: usize) -> Option<(u32, usize)> {
        let side = self.owner.side();
        let offset = offset_in_arena.checked_sub(side.stretch.offset())?;
        let (index, within) = (offset / side.shape.stride, offset % side.shape.stride);
        let is_inside = index < side.frames() as usize && within < side.shape.frame_bytes;
        is_inside.then_some((index as u32, within))
    }

    /// How many frames there are.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.owner.side().frames()
    }

    /// Bytes of a frame, headroom included.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.owner.side().shape.frame_bytes
    }

    /// Bytes of headroom with which a frame is given out.
    #[must_use]
    pub fn headroom_bytes(&self) -> usize {
        self.owner.side().shape.headroom
    }

    /// How its frames are used, what other threads gave back included. Exact.
    ///
    /// # Errors
    /// [`WrongThread`].
    pub fn statistics(&self) -> Result<PoolStatistics, WrongThread> {
        let side = self.owner.side();
        self.owner.visit(|frames, home| {
            home.drain(frames);
            PoolStatistics {
                frames: side.frames(),
                free: side.free_count() as u32,
                at_kernel: frames.at_kernel_count(),
                frame_bytes: side.shape.frame_bytes,
                stride_bytes: side.shape.stride,
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

impl std::fmt::Debug for FramePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FramePool")
            .field("frames", &self.frames())
            .field("frame_bytes", &self.frame_bytes())
            .field("headroom_bytes", &self.headroom_bytes())
            .finish_non_exhaustive()
    }
}

/// Says what a [`FramePool`] is to be. Made by [`FramePool::builder`].
///
/// ```
/// use ukevent_buf::{Arena, FramePool};
///
/// let sketch = FramePool::builder(512, 4096).headroom_bytes(256).exact();
/// let pool = sketch.clone().build(&Arena::new(sketch.arena_bytes())?)?;
/// assert_eq!(pool.offset_in_arena(3), Some(3 * 4096));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct FramePoolBuilder {
    frames: u32,
    frame_bytes: usize,
    headroom: usize,
    is_exact: bool,
    waker: Option<Waker>,
}

impl FramePoolBuilder {
    /// Bytes of a frame to be kept free before what is put into it. None unless told.
    pub fn headroom_bytes(self, headroom: usize) -> Self {
        Self { headroom, ..self }
    }

    /// The next frame begins where a frame ends, as a umem wants it.
    ///
    /// Unless told, a debug build puts a fence of 64 bytes behind each frame, and so sees when one was
    /// written beyond its end. Without the fence it sees it if the frame behind is free. Frames begin
    /// at multiples of 64; exact ones of a power of two, at multiples of that.
    pub fn exact(self) -> Self {
        Self { is_exact: true, ..self }
    }

    /// Called when a frame comes back after [`AllocateError::Full`]: in the thread that frees it, so
    /// it must not block. At least once after each `Full`; sometimes for nothing.
    pub fn waker(self, waker: Waker) -> Self {
        Self { waker: Some(waker), ..self }
    }

    const fn stride(&self) -> usize {
        let fence = if self.is_exact { 0 } else { FENCE_BYTES };
        match self.frame_bytes.checked_next_multiple_of(LINE_BYTES) {
            Some(bytes) => bytes.saturating_add(fence),
            None => usize::MAX,
        }
    }

    /// Bytes that it will take from the arena, whole pages.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        let bytes = self.stride().saturating_mul(self.frames as usize);
        bytes.checked_next_multiple_of(rustix::param::page_size()).unwrap_or(usize::MAX)
    }

    /// Makes it. Allocates its side tables (70 bytes for each frame, and up to 64 KiB).
    ///
    /// # Errors
    /// [`PoolError::Full`] if the arena has not so much room in one piece; [`PoolError::Invalid`] for
    /// no frames, frames of no bytes, or a headroom larger than a frame.
    pub fn build(self, arena: &Arena) -> Result<FramePool, PoolError> {
        if self.frames == 0 || self.frame_bytes == 0 {
            return Err(PoolError::Invalid("a pool has frames, and a frame has bytes"));
        }
        if self.frames > i32::MAX as u32 {
            return Err(PoolError::Invalid("a pool has less than 2^31 frames"));
        }
        if self.headroom > self.frame_bytes {
            return Err(PoolError::Invalid("the headroom is larger than a frame"));
        }
        let (stride, bytes) = (self.stride(), self.arena_bytes());
        let page_bytes = rustix::param::page_size();
        let align = if stride.is_power_of_two() { stride.max(page_bytes) } else { page_bytes };
        let units = Units::Free { unit_bytes: stride, of: self.frames as usize };
        let account = Account::open(arena.shared(), OwnerKind::Frames, units, None);
        let stretch = account
            .take(bytes, align, End::High, false)
            .ok_or(PoolError::Full { needs_bytes: bytes })?;
        let shape = Shape {
            frame_bytes: self.frame_bytes,
            stride,
            headroom: self.headroom,
            has_fences: CHECKED && !self.is_exact,
        };
        let side = FrameSide::new(self.frames, shape, stretch, account);
        let owner = Owner::new(Frames::new(&side), side, self.frames, self.waker);
        // SAFETY: made just now.
        unsafe { owner.side().enter(owner.home()) };
        Ok(FramePool { owner })
    }
}

#[cfg(test)]
mod tests;
