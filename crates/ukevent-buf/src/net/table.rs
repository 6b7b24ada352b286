//! The side table: an [`Entry`] for each block there is, free or lent, not for each there could be.
//!
//! It has as many entries as the arena has lines, of which only those in use are ever touched; a
//! region's blocks have entries of the region's own part, so it belongs to whom the region belongs.

use crate::arena::{HugePages, LINE_BYTES, Mapping};
use crate::entry::{ENTRY_BYTES, Entry};
use crate::error::SysError;

/// The entries of an arena's blocks.
pub(crate) struct Table {
    mapping: Mapping,
}

impl Table {
    /// For an arena of so many bytes.
    pub(crate) fn new(arena_bytes: usize) -> Result<Self, SysError> {
        let entries = arena_bytes.div_ceil(LINE_BYTES);
        let mapping = Mapping::new(entries * ENTRY_BYTES, HugePages::Never, None)?;
        Ok(Self { mapping })
    }

    /// Where the entries are, and how many. All zeros, as they begin, is an entry.
    pub(super) fn entries(&self) -> (*const Entry, usize) {
        (self.mapping.base().as_ptr().cast(), self.mapping.bytes() / ENTRY_BYTES)
    }
}
