//! Memory that is lent to the kernel.
//!
//! An operation outlives the call that starts it, so it cannot borrow: memory moves in, stays with the
//! ring for as long as the kernel may touch it, and comes back with the last completion.

/// Memory that the kernel may read or write while the value lies in a [`Ring`](super::Ring).
///
/// A value has bytes ([`filled`](Lend::filled), what is sent) and room behind them
/// ([`room`](Lend::room), where a receive writes). What was written into the room, the ring turns into
/// bytes before it gives the value back: nobody else need commit.
///
/// ```
/// use ukevent_sys::ring::Lend;
///
/// let mut buffer = Vec::with_capacity(64);
/// buffer.extend_from_slice(b"sent");
/// assert_eq!(buffer.filled().len(), 4);
/// assert!(buffer.room().len() >= 60);
/// ```
///
/// # Safety
/// From when `filled` or `room` was called until another method is called or the value is dropped:
/// - the memory that was returned lies where it was, and stays allocated, wherever the value moves
///   (a thread or a vector), and also if it is forgotten;
/// - that of `filled` is initialised, valid for reads, and nobody writes it;
/// - that of `room` is valid for writes of any bytes, initialised or not, and nobody else reads or
///   writes it.
///
/// Two values never return room that overlaps anything of the other's. No method panics.
pub unsafe trait Lend: Send + 'static {
    /// The bytes: what a send sends and a write writes.
    fn filled(&self) -> *const [u8];

    /// The room behind the bytes: where a receive or a read writes. May be uninitialised.
    fn room(&mut self) -> *mut [u8];

    /// Makes the first `bytes` of the room part of the bytes.
    ///
    /// # Safety
    /// There is so much room, and since the last call of `room` that much of it was written.
    unsafe fn commit(&mut self, bytes: usize);
}

// SAFETY: the bytes of a vector lie on the heap, where only growing or dropping it moves or frees them;
// its spare capacity is owned and may be written. Moving the vector moves neither.
unsafe impl Lend for Vec<u8> {
    fn filled(&self) -> *const [u8] {
        self.as_slice()
    }

    fn room(&mut self) -> *mut [u8] {
        let room = self.spare_capacity_mut();
        std::ptr::slice_from_raw_parts_mut(room.as_mut_ptr().cast(), room.len())
    }

    unsafe fn commit(&mut self, bytes: usize) {
        // SAFETY: the caller says that there is room for these and that they were written.
        unsafe { self.set_len(self.len() + bytes) };
    }
}

/// No memory at all: for a ring that is used for polls, and for operations that lend none.
///
/// ```
/// use ukevent_sys::ring::{Load, NoLoan};
///
/// // There is no value of it, so such a load holds no buffer.
/// let load: Load<NoLoan> = Load::None;
/// assert!(!matches!(load, Load::Buffer(_)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLoan {}

// SAFETY: there is no value whose methods could be called.
unsafe impl Lend for NoLoan {
    fn filled(&self) -> *const [u8] {
        match *self {}
    }

    fn room(&mut self) -> *mut [u8] {
        match *self {}
    }

    unsafe fn commit(&mut self, _bytes: usize) {
        match *self {}
    }
}
