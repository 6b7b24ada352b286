//! What size classes of 2 KiB would waste, as drivers have them: nothing is allocated, only summed up.

use crate::tables::alloc::{Allocator, Block};
use ukevent_measure::Result;

const CLASS_BYTES: usize = 2048;

pub(crate) struct Classes;

/// Bytes that were asked for.
pub(crate) struct Asked(usize);

impl Allocator for Classes {
    type Block = Asked;
    const IS_REAL: bool = false;

    fn new(_largest_bytes: usize, _live: usize) -> Result<Self> {
        Ok(Self)
    }

    fn allocate(&mut self, bytes: usize) -> Result<Asked> {
        Ok(Asked(bytes))
    }

    fn wasted_percent(&mut self, live: &[Asked]) -> Result<f64> {
        let taken = live.iter().map(|it| it.0.next_multiple_of(CLASS_BYTES)).sum::<usize>() as f64;
        let asked = live.iter().map(|it| it.0).sum::<usize>() as f64;
        Ok((taken - asked) / taken * 100.0)
    }
}

impl Block for Asked {
    fn mark(&mut self, _mark: u64) -> Result<()> {
        Ok(())
    }

    fn has_mark(&self, _mark: u64) -> bool {
        true
    }
}
