//! What a [`Slice`] can be made of and into, [`bytes::Bytes`] foremost.

use super::Slice;
use crate::buffer::Buffer;
use crate::entry::{Entry, Origin};
use bytes::Bytes;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ptr::NonNull;

impl From<Buffer> for Slice {
    /// [`Buffer::freeze`].
    fn from(buffer: Buffer) -> Self {
        buffer.freeze()
    }
}

impl From<Vec<u8>> for Slice {
    /// The same bytes, not copied; what the vector has spare is set to 0.
    fn from(vec: Vec<u8>) -> Self {
        Buffer::from(vec).freeze()
    }
}

impl From<Bytes> for Slice {
    /// The same bytes, not copied. Allocates an entry.
    fn from(bytes: Bytes) -> Self {
        let start = NonNull::from(&bytes[..]).cast();
        let len = bytes.len();
        // SAFETY: the entry is made just now; the bytes stay where they are, and as they are, while
        // the entry keeps `bytes`.
        unsafe { Self::first(Entry::of_bytes(bytes), start, len) }
    }
}

impl From<Slice> for Bytes {
    /// The same bytes, not copied: it holds the slice. Allocates, unless the slice is of `Bytes` or
    /// static.
    fn from(slice: Slice) -> Self {
        match slice.entry().origin.get() {
            Origin::Bytes(bytes) => {
                // SAFETY: the entry keeps it while there is a slice.
                return unsafe { bytes.as_ref() }.slice_ref(&slice);
            }
            Origin::Static => {
                // SAFETY: inside what `from_static` was given, which is always there; or of a buffer
                // without memory, and so no bytes.
                return Self::from_static(unsafe {
                    std::slice::from_raw_parts(slice.as_ptr(), slice.len())
                });
            }
            Origin::Heap | Origin::Frame(..) | Origin::Block(..) => {}
        }
        Self::from_owner(slice)
    }
}

impl From<Buffer> for Bytes {
    /// The same bytes, not copied: it holds them as a slice.
    fn from(buffer: Buffer) -> Self {
        buffer.freeze().into()
    }
}

impl Default for Slice {
    /// No bytes. Allocates nothing.
    fn default() -> Self {
        Self::from_static(&[])
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Slice {
    /// Whether the bytes are the same, wherever they are.
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Slice {}

impl Hash for Slice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slice").field("len", &self.len).finish_non_exhaustive()
    }
}
