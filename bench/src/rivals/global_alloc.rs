//! Allocators of a whole program, called through `GlobalAlloc`: none of them is this program's own.
#![allow(unsafe_code, reason = "the calls of an allocator are unsafe")]

use crate::Result;
use crate::tables::alloc::{Allocator, Block};
use std::alloc::{GlobalAlloc, Layout, System};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Where malloc(3) aligns to, so that nobody takes a special way.
const ALIGN_BYTES: usize = 16;

/// One of them.
pub(crate) trait General: GlobalAlloc + Sized + 'static {
    const IT: Self;

    /// How many bytes of a block may be used: with what it was rounded up by.
    ///
    /// # Safety
    /// The block is of this allocator, and not free.
    unsafe fn usable_bytes(place: NonNull<u8>) -> usize;
}

impl General for snmalloc_rs::SnMalloc {
    const IT: Self = Self;

    unsafe fn usable_bytes(place: NonNull<u8>) -> usize {
        Self::IT.usable_size(place.as_ptr()).unwrap_or(0)
    }
}

impl General for mimalloc::MiMalloc {
    const IT: Self = Self;

    unsafe fn usable_bytes(place: NonNull<u8>) -> usize {
        // SAFETY: the caller's promise.
        unsafe { Self::IT.usable_size(place.as_ptr()) }
    }
}

impl General for tikv_jemallocator::Jemalloc {
    const IT: Self = Self;

    unsafe fn usable_bytes(place: NonNull<u8>) -> usize {
        // SAFETY: the caller's promise.
        unsafe { tikv_jemallocator::usable_size(place.as_ptr()) }
    }
}

/// That of the C library.
impl General for System {
    const IT: Self = Self;

    unsafe fn usable_bytes(place: NonNull<u8>) -> usize {
        // SAFETY: of malloc(3), by the caller's promise: up to its own alignment, `System` asks
        // nothing else.
        unsafe { libc::malloc_usable_size(place.as_ptr().cast()) }
    }
}

pub(crate) struct Blocks<G>(PhantomData<G>);

/// A block that nobody else knows of.
pub(crate) struct GeneralBlock<G: General> {
    place: NonNull<u8>,
    layout: Layout,
    of: PhantomData<G>,
}

// SAFETY: a global allocator frees in any thread what it allocated in another; the block is told to
// nobody else.
unsafe impl<G: General> Send for GeneralBlock<G> {}

impl<G: General> Allocator for Blocks<G> {
    type Block = GeneralBlock<G>;

    fn new(_largest_bytes: usize, _live: usize) -> Result<Self> {
        Ok(Self(PhantomData))
    }

    #[inline]
    fn allocate(&mut self, bytes: usize) -> Result<GeneralBlock<G>> {
        let layout = Layout::from_size_align(bytes, ALIGN_BYTES)?;
        if bytes < size_of::<u64>() {
            return Err("a block has room for its mark".into());
        }
        // SAFETY: the size is not zero.
        let place = NonNull::new(unsafe { G::IT.alloc(layout) }).ok_or("out of memory")?;
        Ok(GeneralBlock { place, layout, of: PhantomData })
    }

    fn wasted_percent(&mut self, live: &[GeneralBlock<G>]) -> Result<f64> {
        // SAFETY: blocks free themselves when they are dropped, and not before.
        let taken =
            live.iter().map(|it| unsafe { G::usable_bytes(it.place) }).sum::<usize>() as f64;
        let asked = live.iter().map(|it| it.layout.size()).sum::<usize>() as f64;
        Ok((taken - asked) / taken * 100.0)
    }
}

impl<G: General> Block for GeneralBlock<G> {
    fn mark(&mut self, mark: u64) -> Result<()> {
        // SAFETY: at least so many bytes, aligned to more, and ours alone.
        unsafe { self.place.cast::<u64>().write(mark) };
        Ok(())
    }

    fn has_mark(&self, mark: u64) -> bool {
        // SAFETY: as above; the table marks before it looks.
        unsafe { self.place.cast::<u64>().read() == mark }
    }
}

impl<G: General> Drop for GeneralBlock<G> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed nowhere else.
        unsafe { G::IT.dealloc(self.place.as_ptr(), self.layout) };
    }
}
