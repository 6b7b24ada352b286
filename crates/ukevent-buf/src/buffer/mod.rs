//! The buffer: memory that one owner reads and writes, with room before and behind its bytes.
//!
//! One type whatever the memory is, so that an operation can own it: it moves in with the submission
//! and comes back with the result.

mod convert;

use crate::entry::{Entry, Origin};
use crate::error::NoRoom;
use crate::slice::Slice;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Bytes with room before them (*headroom*) and behind them (*tailroom*), owned by whoever has it.
///
/// Made by [`FramePool::allocate`](crate::FramePool::allocate),
/// [`NetAllocator::allocate`](crate::NetAllocator::allocate), or on the heap by
/// [`Buffer::with_capacity`] or from a `Vec<u8>`. May be sent to another thread. Dropping it gives the
/// memory back to where it is from, whichever thread that happens in; it does not block. All of the
/// memory is initialised at all times: with zeros, or what was in it before.
///
/// ```
/// use ukevent_buf::Buffer;
///
/// let mut packet = Buffer::with_capacity(2048);
/// packet.clear(64); // empty, with 64 bytes of headroom
/// packet.append(b"payload")?;
/// packet.prepend(b"header ")?;
/// assert_eq!(&packet[..], b"header payload");
/// packet.consume(7);
/// assert_eq!((&packet[..], packet.headroom()), (&b"payload"[..], 64));
///
/// // What somebody else fills:
/// packet.tailroom_mut()[..1].copy_from_slice(b"!");
/// packet.advance(1)?;
/// assert_eq!(&packet[..], b"payload!");
/// # Ok::<(), ukevent_buf::NoRoom>(())
/// ```
#[doc(alias = "sk_buff")]
/// It is one word; what it knows lies beside the memory.
pub struct Buffer(NonNull<Entry>);

// SAFETY: the memory, and of the entry what belongs to the buffer, is used by who has the buffer; a
// home takes back its own in any thread.
unsafe impl Send for Buffer {}
// SAFETY: shared, it only reads.
unsafe impl Sync for Buffer {}
// A panic leaves it whole, whatever its bytes are.
impl std::panic::UnwindSafe for Buffer {}
impl std::panic::RefUnwindSafe for Buffer {}

impl Buffer {
    /// An empty one of `capacity` zeroed bytes from the heap. Allocates, unless that is 0.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut buffer = Self::from(vec![0; capacity]);
        buffer.truncate(0);
        buffer
    }

    /// # Safety
    /// The entry says where the memory is, `capacity` bytes that are all initialised, and that the
    /// buffer's bytes lie in it; nobody else uses the memory.
    #[inline(always)]
    pub(crate) const unsafe fn of(entry: NonNull<Entry>) -> Self {
        Self(entry)
    }

    /// The entry, which is no longer this buffer's.
    #[inline(always)]
    pub(crate) fn into_entry(self) -> NonNull<Entry> {
        ManuallyDrop::new(self).0
    }

    #[inline(always)]
    pub(crate) const fn entry(&self) -> &Entry {
        // SAFETY: an entry lives until it is released, which dropping this does.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    fn start(&self) -> usize {
        self.entry().start()
    }

    /// Where the memory begins.
    #[inline(always)]
    fn base(&self) -> *mut u8 {
        self.entry().base.get()
    }

    /// Sets which bytes of the memory are the buffer's.
    #[inline(always)]
    fn set(&mut self, start: usize, len: usize) {
        debug_assert!(len <= self.capacity() && start <= self.capacity() - len, "in the memory");
        // The entry of those without memory is shared.
        if self.capacity() > 0 {
            self.entry().set_span(start, len);
        }
    }

    /// How many bytes it has.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.entry().len()
    }

    /// Whether it has none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of its memory, in bytes: headroom, bytes and tailroom.
    #[must_use]
    #[inline]
    pub fn capacity(&self) -> usize {
        self.entry().capacity.get()
    }

    /// Room before the bytes, in bytes.
    #[must_use]
    #[inline]
    #[doc(alias = "skb_headroom")]
    pub fn headroom(&self) -> usize {
        self.start()
    }

    /// Room behind the bytes, in bytes.
    #[must_use]
    #[inline]
    #[doc(alias = "skb_tailroom")]
    pub fn tailroom(&self) -> usize {
        self.capacity() - self.start() - self.len()
    }

    /// The room before the bytes: what was in the memory before, or zeros.
    /// [`Buffer::retreat`] makes its end part of the bytes.
    #[must_use]
    #[inline]
    pub fn headroom_mut(&mut self) -> &mut [u8] {
        // SAFETY: inside the memory, which is ours alone and always initialised.
        unsafe { std::slice::from_raw_parts_mut(self.base(), self.start()) }
    }

    /// The room behind the bytes: what was in the memory before, or zeros.
    /// [`Buffer::advance`] makes its beginning part of the bytes.
    #[must_use]
    #[inline]
    pub fn tailroom_mut(&mut self) -> &mut [u8] {
        let (end, room) = (self.start() + self.len(), self.tailroom());
        // SAFETY: inside the memory, which is ours alone and always initialised.
        unsafe { std::slice::from_raw_parts_mut(self.base().add(end), room) }
    }

    /// Makes the first `count` bytes of the tailroom part of the bytes.
    ///
    /// # Errors
    /// [`NoRoom`] if there are fewer.
    #[inline]
    #[doc(alias = "skb_put")]
    pub fn advance(&mut self, count: usize) -> Result<(), NoRoom> {
        if count > self.tailroom() {
            return Err(NoRoom { room_bytes: self.tailroom() });
        }
        self.set(self.start(), self.len() + count);
        Ok(())
    }

    /// Makes the last `count` bytes of the headroom part of the bytes.
    ///
    /// # Errors
    /// [`NoRoom`] if there are fewer.
    #[inline]
    #[doc(alias = "skb_push")]
    pub fn retreat(&mut self, count: usize) -> Result<(), NoRoom> {
        if count > self.start() {
            return Err(NoRoom { room_bytes: self.start() });
        }
        self.set(self.start() - count, self.len() + count);
        Ok(())
    }

    /// Sets how many bytes it has, from where they begin. Those that are new are what was in the
    /// memory before.
    ///
    /// # Errors
    /// [`NoRoom`] if they do not fit behind the headroom.
    #[inline]
    pub fn set_len(&mut self, len: usize) -> Result<(), NoRoom> {
        let room_bytes = self.capacity() - self.start();
        if len > room_bytes {
            return Err(NoRoom { room_bytes });
        }
        self.set(self.start(), len);
        Ok(())
    }

    /// Copies bytes behind those that are there.
    ///
    /// # Errors
    /// [`NoRoom`] if they do not fit in the tailroom; nothing is copied then.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let room_bytes = self.tailroom();
        let room = self.tailroom_mut().get_mut(..bytes.len()).ok_or(NoRoom { room_bytes })?;
        room.copy_from_slice(bytes);
        self.advance(bytes.len())
    }

    /// Copies bytes before those that are there.
    ///
    /// # Errors
    /// [`NoRoom`] if they do not fit in the headroom; nothing is copied then.
    #[inline]
    pub fn prepend(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.retreat(bytes.len())?;
        self[..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Makes the first `count` bytes, or all if there are fewer, part of the headroom.
    #[inline]
    #[doc(alias = "skb_pull")]
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.len());
        self.set(self.start() + count, self.len() - count);
    }

    /// Makes all but the first `len` bytes part of the tailroom. Changes nothing if there are fewer.
    #[inline]
    #[doc(alias = "skb_trim")]
    pub fn truncate(&mut self, len: usize) {
        self.set(self.start(), self.len().min(len));
    }

    /// Makes it empty, with so much headroom, or all the room there is if that is less.
    #[inline]
    #[doc(alias = "skb_reserve")]
    pub fn clear(&mut self, headroom: usize) {
        self.set(headroom.min(self.capacity()), 0);
    }

    /// Where the bytes begin. For handing them to the kernel, which may write up to
    /// `len() + tailroom()` bytes from there while the buffer exists and nobody else uses it.
    #[must_use]
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        // SAFETY: inside the memory, or at its end.
        unsafe { self.base().add(self.start()) }
    }

    /// Where the bytes begin, for reading.
    #[must_use]
    #[inline]
    pub fn as_ptr(&self) -> *const u8 {
        // SAFETY: inside the memory, or at its end.
        unsafe { self.base().add(self.start()) }
    }

    /// Where the bytes begin in their arena: the address that a umem, or a process with an
    /// [`ArenaView`](crate::ArenaView), knows them by. `None` if they are of the heap.
    #[must_use]
    pub fn offset_in_arena(&self) -> Option<usize> {
        Some(self.entry().offset_in_arena()? + self.start())
    }

    /// The number of its frame, if it is from a [`FramePool`](crate::FramePool).
    #[must_use]
    pub fn frame_index(&self) -> Option<u32> {
        match self.entry().origin.get() {
            Origin::Frame(index, _) => Some(index),
            _ => None,
        }
    }

    /// Makes it a [`Slice`] of its bytes, which can be shared and not be written. Copies and allocates
    /// nothing.
    #[must_use]
    pub fn freeze(self) -> Slice {
        Slice::of_buffer(self)
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the memory and its entry were this buffer's alone, and this is its end.
        unsafe { Entry::release(self.0) };
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: inside the memory, which is always initialised, and ours alone.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: inside the memory, which is always initialised, and ours alone.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len()) }
    }
}

#[cfg(test)]
mod tests;
