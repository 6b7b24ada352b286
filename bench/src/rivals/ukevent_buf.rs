//! ukevent's pool of frames and its allocator of any size.

use crate::tables::alloc::{Allocator, Block};
use ukevent_buf::{Arena, Buffer, FramePool, NetAllocator};
use ukevent_measure::Result;

impl Allocator for FramePool {
    type Block = Buffer;

    fn new(largest_bytes: usize, live: usize) -> Result<Self> {
        let frames = Self::builder(live as u32, largest_bytes);
        Ok(frames.clone().build(&Arena::new(frames.arena_bytes())?)?)
    }

    #[inline]
    fn allocate(&mut self, _bytes: usize) -> Result<Buffer> {
        Ok(Self::allocate(self)?)
    }

    fn wasted_percent(&mut self, _live: &[Buffer]) -> Result<f64> {
        Err("a pool has frames of one size".into())
    }
}

impl Allocator for NetAllocator {
    type Block = Buffer;

    fn new(largest_bytes: usize, live: usize) -> Result<Self> {
        // Twice what there may be, and a region besides.
        let bytes = (2 * largest_bytes * live).next_multiple_of(2 << 20) + (2 << 20);
        Ok(Self::new(&Arena::new(bytes)?))
    }

    #[inline]
    fn allocate(&mut self, bytes: usize) -> Result<Buffer> {
        Ok(Self::allocate(self, bytes)?)
    }

    /// With what it must know of its blocks.
    fn wasted_percent(&mut self, _live: &[Buffer]) -> Result<f64> {
        let used = self.statistics()?;
        let lost = (used.wasted_bytes + used.side_bytes) as f64;
        Ok(lost / (used.used_bytes + used.side_bytes) as f64 * 100.0)
    }
}

impl Block for Buffer {
    fn mark(&mut self, mark: u64) -> Result<()> {
        Ok(self.append(&mark.to_ne_bytes())?)
    }

    fn has_mark(&self, mark: u64) -> bool {
        self[..] == mark.to_ne_bytes()
    }
}
