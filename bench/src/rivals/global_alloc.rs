//! Allocators of a whole program, called through `GlobalAlloc`: none of them is this program's own.
#![allow(unsafe_code, reason = "the calls of an allocator are unsafe")]

use crate::tables::alloc::{Allocator, Block};
use std::alloc::{GlobalAlloc, Layout, System};
use std::marker::PhantomData;
use std::ptr::NonNull;
use ukevent_buf::Buffer;
use ukevent_measure::Result;

/// Where malloc(3) aligns to, so that nobody takes a special way.
const ALIGN_BYTES: usize = 16;

/// One of them.
pub(crate) trait General: GlobalAlloc + Sized + 'static {
    const IT: Self;

    /// How many bytes of a block may be used: with what it was rounded up by.
    ///
    /// # Safety
    /// The block is of this allocator, and not free.
    unsafe fn usable_bytes(place: *mut u8) -> usize;
}

impl General for snmalloc_rs::SnMalloc {
    const IT: Self = Self;

    unsafe fn usable_bytes(place: *mut u8) -> usize {
        Self::IT.usable_size(place).unwrap_or(0)
    }
}

impl General for mimalloc::MiMalloc {
    const IT: Self = Self;

    unsafe fn usable_bytes(place: *mut u8) -> usize {
        // SAFETY: the caller's promise.
        unsafe { Self::IT.usable_size(place) }
    }
}

impl General for tikv_jemallocator::Jemalloc {
    const IT: Self = Self;

    unsafe fn usable_bytes(place: *mut u8) -> usize {
        // SAFETY: the caller's promise.
        unsafe { tikv_jemallocator::usable_size(place) }
    }
}

/// That of the C library.
impl General for System {
    const IT: Self = Self;

    unsafe fn usable_bytes(place: *mut u8) -> usize {
        // SAFETY: of malloc(3), by the caller's promise: up to its own alignment, `System` asks
        // nothing else.
        unsafe { libc::malloc_usable_size(place.cast()) }
    }
}

pub(crate) struct Blocks<G>(PhantomData<G>);

/// A block that nobody else knows of: its address in the lower 48 bits, where user memory is, and its
/// size above them. It is as small as one of ukevent's, because lists of them are timed, and has its size
/// by heart, because an allocator may free faster what it need not look up.
pub(crate) struct GeneralBlock<G: General> {
    packed: NonNull<u8>,
    of: PhantomData<G>,
}

const ADDRESS_BITS: u32 = 48;
const _: () = assert!(size_of::<GeneralBlock<System>>() == size_of::<Buffer>());

impl<G: General> GeneralBlock<G> {
    #[inline]
    fn new(place: NonNull<u8>, size: u16) -> Result<Self> {
        if place.addr().get() >> ADDRESS_BITS != 0 {
            return Err("memory beyond 48 bits".into());
        }
        let packed = place.map_addr(|it| it | usize::from(size) << ADDRESS_BITS);
        Ok(Self { packed, of: PhantomData })
    }

    #[inline]
    fn place(&self) -> *mut u8 {
        self.packed.as_ptr().map_addr(|it| it & ((1 << ADDRESS_BITS) - 1))
    }

    #[inline]
    fn size(&self) -> usize {
        self.packed.addr().get() >> ADDRESS_BITS
    }
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
        let size = u16::try_from(bytes)?;
        // SAFETY: the size is not zero.
        let place = NonNull::new(unsafe { G::IT.alloc(layout) }).ok_or("out of memory")?;
        GeneralBlock::new(place, size)
    }

    fn wasted_percent(&mut self, live: &[GeneralBlock<G>]) -> Result<f64> {
        // SAFETY: blocks free themselves when they are dropped, and not before.
        let taken =
            live.iter().map(|it| unsafe { G::usable_bytes(it.place()) }).sum::<usize>() as f64;
        let asked = live.iter().map(GeneralBlock::size).sum::<usize>() as f64;
        Ok((taken - asked) / taken * 100.0)
    }
}

impl<G: General> Block for GeneralBlock<G> {
    fn mark(&mut self, mark: u64) -> Result<()> {
        // SAFETY: at least so many bytes, aligned to more, and ours alone.
        unsafe { self.place().cast::<u64>().write(mark) };
        Ok(())
    }

    fn has_mark(&self, mark: u64) -> bool {
        // SAFETY: as above; the table marks before it looks.
        unsafe { self.place().cast::<u64>().read() == mark }
    }
}

impl<G: General> Drop for GeneralBlock<G> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: it was the layout of the allocation: this size, and an alignment that is a power of two
        // and with which the size does not overflow. The block is freed nowhere else.
        unsafe {
            let layout = Layout::from_size_align_unchecked(self.size(), ALIGN_BYTES);
            G::IT.dealloc(self.place(), layout);
        }
    }
}
