//! What operations lend to the kernel: a buffer of one's own, or a share of one.

use crate::{Buffer, Slice};
use ukevent_sys::ring::Lend;

/// Bytes to be sent or written.
///
/// ```
/// use ukevent_buf::{Buffer, Piece};
///
/// let piece = Piece::from(Buffer::from(b"hello".to_vec()));
/// assert_eq!(piece.bytes(), b"hello");
/// ```
#[derive(Debug)]
pub enum Piece {
    /// A buffer of one's own: it comes back.
    Buffer(Buffer),
    /// A share of one, of which others hold shares.
    Slice(Slice),
}

impl Piece {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Buffer(buffer) => buffer,
            Self::Slice(slice) => slice,
        }
    }

    /// The buffer, if it is one of one's own.
    #[must_use]
    pub fn into_buffer(self) -> Option<Buffer> {
        match self {
            Self::Buffer(buffer) => Some(buffer),
            Self::Slice(_) => None,
        }
    }
}

impl From<Buffer> for Piece {
    fn from(buffer: Buffer) -> Self {
        Self::Buffer(buffer)
    }
}

impl From<Vec<u8>> for Piece {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Buffer(Buffer::from(bytes))
    }
}

impl From<Slice> for Piece {
    fn from(slice: Slice) -> Self {
        Self::Slice(slice)
    }
}

// SAFETY: the memory of a buffer lies in an arena or on the heap and is not moved with it; it goes back
// only when the buffer is dropped, and the buffer alone may touch it. That of a slice stays as long as
// there is a share, and nobody writes it meanwhile; it has no room. All of it is initialised.
unsafe impl Lend for Piece {
    fn filled(&self) -> *const [u8] {
        self.bytes()
    }

    fn room(&mut self) -> *mut [u8] {
        match self {
            Self::Buffer(buffer) => buffer.tailroom_mut(),
            Self::Slice(_) => &mut [],
        }
    }

    unsafe fn commit(&mut self, bytes: usize) {
        if let Self::Buffer(buffer) = self {
            let committed = buffer.advance(bytes);
            debug_assert!(committed.is_ok(), "the caller says that there was room");
        }
    }
}
