//! What a [`Buffer`] can be made of and into.

use super::Buffer;
use crate::entry::Entry;
use std::{fmt, io};

impl Default for Buffer {
    /// One without memory. Allocates nothing.
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl From<Vec<u8>> for Buffer {
    /// The same bytes, not copied; what the vector has spare is the tailroom, and set to 0. Allocates
    /// an entry of 64 bytes.
    fn from(vec: Vec<u8>) -> Self {
        // SAFETY: made just now, and nobody else's.
        unsafe { Self::of(Entry::of_vec(vec)) }
    }
}

impl From<Buffer> for Vec<u8> {
    /// The bytes; not copied if they are of the heap and there is no headroom.
    fn from(buffer: Buffer) -> Self {
        if buffer.headroom() > 0 {
            return buffer.to_vec();
        }
        let entry = buffer.into_entry();
        // SAFETY: it was the buffer's alone; if there is no vector in it, it is the buffer's again.
        unsafe { Entry::take_vec(entry).unwrap_or_else(|| Buffer::of(entry).to_vec()) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl io::Write for Buffer {
    /// Appends what fits. 0 if nothing does.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.tailroom());
        self.append(&bytes[..count]).map_err(io::Error::other)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("headroom", &self.headroom())
            .field("len", &self.len())
            .field("tailroom", &self.tailroom())
            .finish_non_exhaustive()
    }
}
