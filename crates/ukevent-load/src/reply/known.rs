//! The head that came last, to know it again without reading it.
//!
//! To read a head is a function of its bytes alone and looks at none behind it, so a piece that begins with the
//! same bytes begins with the same head.

use super::head::Head;

/// The longest head that is remembered, in bytes: connections are many.
const LONGEST_BYTES: usize = 1024;

/// A head, and its bytes. None if there are none.
#[derive(Clone, Debug)]
pub(super) struct Known {
    bytes: Vec<u8>,
    head: Head,
}

impl Known {
    pub(super) const fn new() -> Self {
        Self { bytes: Vec::new(), head: Head::NONE }
    }

    /// The head that the piece begins with, if it is the one that is known.
    #[inline]
    pub(super) fn find(&self, piece: &[u8]) -> Option<Head> {
        let is_known = !self.bytes.is_empty() && piece.starts_with(&self.bytes);
        is_known.then_some(self.head)
    }

    /// Knows this head from now on, if it is not too long.
    pub(super) fn remember(&mut self, piece: &[u8], head: Head) {
        if let Some(bytes) = piece.get(..head.bytes as usize)
            && bytes.len() <= LONGEST_BYTES
            && !head.is_interim()
        {
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
            self.head = head;
        }
    }
}
