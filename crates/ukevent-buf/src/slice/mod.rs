//! The slice: bytes that many may hold and nobody writes.

mod convert;

use crate::buffer::Buffer;
use crate::entry::{Entry, Origin};
use std::mem::ManuallyDrop;
use std::ops::{Bound, Deref, RangeBounds};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// Bytes that may be shared, cheaply split, and sent to or shared with other threads.
///
/// Made by [`Buffer::freeze`], from [`bytes::Bytes`], or [`Slice::from_static`]. Cloning and cutting
/// adds 1 to a count that lies beside the memory, and copies nothing. The memory goes back to where
/// it is from when the last slice of it is dropped, in whichever thread.
///
/// ```
/// use ukevent_buf::{Arena, NetAllocator};
///
/// let arena = Arena::new(1 << 20)?;
/// let mut buffer = NetAllocator::new(&arena).allocate(100)?;
/// buffer.append(b"GET / HTTP/1.1\r\n")?;
/// let request = buffer.freeze();
/// let path = request.slice(4..5).expect("inside");
/// assert_eq!(&path[..], b"/");
/// drop(request);
///
/// // The last one may write again.
/// let mut buffer = path.try_into_buffer().expect("nobody else has it");
/// assert_eq!((buffer.headroom(), &buffer[..]), (4, &b"/"[..]));
/// buffer.append(b"index.html")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Slice {
    /// Counts the slices of the memory, unless they are static.
    entry: NonNull<Entry>,
    /// In the memory.
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: many may read the bytes, nobody writes them; the count is atomic, and whoever has the last
// slice has the memory to itself.
unsafe impl Send for Slice {}
// SAFETY: as above.
unsafe impl Sync for Slice {}
// A panic leaves it whole.
impl std::panic::UnwindSafe for Slice {}
impl std::panic::RefUnwindSafe for Slice {}

/// So many slices of one memory that the count might overflow: only by leaking them.
const MAX_COUNT: u32 = u32::MAX / 2;

impl Slice {
    /// Of the bytes that the buffer had.
    pub(crate) fn of_buffer(buffer: Buffer) -> Self {
        let start = NonNull::new(buffer.as_ptr().cast_mut()).expect("a buffer is somewhere");
        let len = buffer.len();
        // SAFETY: it was the buffer's alone.
        unsafe { Self::first(buffer.into_entry(), start, len) }
    }

    /// # Safety
    /// Nobody else uses the entry; the bytes lie in its memory, and are initialised.
    unsafe fn first(entry: NonNull<Entry>, start: NonNull<u8>, len: usize) -> Self {
        let slice = Self { entry, start, len };
        if slice.is_counted() {
            // Whoever gets a slice, gets this with it.
            slice.entry().count.store(1, Ordering::Relaxed);
        }
        slice
    }

    /// Bytes that are always there. Counts nothing, allocates nothing.
    #[must_use]
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        let start = NonNull::new(bytes.as_ptr().cast_mut()).expect("references are not null");
        Self { entry: Entry::common(), start, len: bytes.len() }
    }

    #[inline(always)]
    const fn entry(&self) -> &Entry {
        // SAFETY: an entry lives until it is released, which the last slice does.
        unsafe { self.entry.as_ref() }
    }

    #[inline(always)]
    fn is_counted(&self) -> bool {
        self.entry != Entry::common()
    }

    /// How many bytes it has.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A slice of this slice. `None` if the range is not inside.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Option<Self> {
        let (begin, end) = self.bounds(range)?;
        let mut part = self.clone();
        // SAFETY: inside, as `bounds` found.
        part.start = unsafe { part.start.add(begin) };
        part.len = end - begin;
        Some(part)
    }

    fn bounds(&self, range: impl RangeBounds<usize>) -> Option<(usize, usize)> {
        let begin = match range.start_bound() {
            Bound::Included(&begin) => begin,
            Bound::Excluded(&before) => before.checked_add(1)?,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.checked_add(1)?,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len,
        };
        (begin <= end && end <= self.len).then_some((begin, end))
    }

    /// Cuts off the first `count` bytes and returns them. `None`, and nothing is cut, if there are
    /// fewer.
    #[must_use]
    pub fn split_to(&mut self, count: usize) -> Option<Self> {
        let front = self.slice(..count)?;
        self.consume(count);
        Some(front)
    }

    /// Cuts off all but the first `count` bytes and returns them. `None`, and nothing is cut, if
    /// there are fewer.
    #[must_use]
    pub fn split_off(&mut self, count: usize) -> Option<Self> {
        let back = self.slice(count..)?;
        self.len = count;
        Some(back)
    }

    /// Lets go of the first `count` bytes, or of all if there are fewer.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.len);
        // SAFETY: inside.
        self.start = unsafe { self.start.add(count) };
        self.len -= count;
    }

    /// Lets go of all but the first `len` bytes. Changes nothing if there are fewer.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Where the bytes begin. For handing them to the kernel, which may read `len()` bytes from there
    /// while the slice exists.
    #[must_use]
    #[inline]
    pub const fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// Where the bytes begin in their arena: the address that a umem, or a process with an
    /// [`ArenaView`](crate::ArenaView), knows them by. `None` if they are not of one.
    #[must_use]
    pub fn offset_in_arena(&self) -> Option<usize> {
        Some(self.entry().offset_in_arena()? + self.offset())
    }

    /// Whether no other slice shares the memory. False for static bytes.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        // Acquire: what others read through theirs comes before what is written now.
        self.is_counted() && self.entry().count.load(Ordering::Acquire) == 1
    }

    /// Makes it a [`Buffer`] again, with the rest of the memory as its headroom and tailroom. Copies
    /// nothing.
    ///
    /// # Errors
    /// The slice itself, if others share the memory, or it never was of a buffer.
    pub fn try_into_buffer(self) -> Result<Buffer, Self> {
        if self.is_empty() && !self.is_counted() {
            return Ok(Buffer::default());
        }
        if !self.is_unique() || matches!(self.entry().origin.get(), Origin::Bytes(_)) {
            return Err(self);
        }
        let this = ManuallyDrop::new(self);
        this.entry().set_span(this.offset(), this.len);
        // SAFETY: unique, so the memory and the entry are this slice's alone, which is no more.
        Ok(unsafe { Buffer::of(this.entry) })
    }

    /// How far it begins in the memory.
    fn offset(&self) -> usize {
        self.start.addr().get() - self.entry().base.get().addr()
    }
}

impl Clone for Slice {
    #[inline]
    fn clone(&self) -> Self {
        if self.is_counted() {
            // Nothing is learnt from the count: whoever clones has a slice already.
            let before = self.entry().count.fetch_add(1, Ordering::Relaxed);
            if before > MAX_COUNT {
                std::process::abort();
            }
        }
        Self { entry: self.entry, start: self.start, len: self.len }
    }
}

impl Drop for Slice {
    #[inline]
    fn drop(&mut self) {
        // Release: what was read comes before the memory is used for something else.
        if !self.is_counted() || self.entry().count.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // Acquire: and what all others read, too. A load, which is as good as a fence here, because
        // tools that look for races know nothing of fences.
        self.entry().count.load(Ordering::Acquire);
        // SAFETY: this was the last slice, so nobody uses the memory or the entry any more.
        unsafe { Entry::release(self.entry) };
    }
}

impl Deref for Slice {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: inside the memory, which is always initialised, and nobody writes it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests;
