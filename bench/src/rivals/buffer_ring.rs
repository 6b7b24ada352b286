//! A ring of provided buffers, as the kernel and a bare loop share it (io_uring_register_buf_ring(3)).
#![allow(unsafe_code, reason = "a bare ring is system calls and shared memory")]

use super::ring::Ring;
use io_uring::types::BufRingEntry;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use ukevent_measure::Result;

const PAGE_BYTES: usize = 4096;

/// As the kernel wants a ring of buffers to begin.
#[repr(C, align(4096))]
#[derive(Clone)]
struct Page([u8; PAGE_BYTES]);

/// Its memory is never freed: the kernel may hold it for a while after the ring was closed, and a round
/// has one.
pub(crate) struct BufferRing {
    entries: NonNull<BufRingEntry>,
    bytes: NonNull<u8>,
    buffer_bytes: usize,
    count: u16,
    tail: u16,
}

impl BufferRing {
    /// So many buffers, a power of two, of so many bytes each; all of them are the kernel's.
    pub(crate) fn new(ring: &Ring, group: u16, count: u16, buffer_bytes: usize) -> Result<Self> {
        let pages = |bytes: usize| {
            let pages = vec![Page([0; PAGE_BYTES]); bytes.div_ceil(PAGE_BYTES)];
            NonNull::from(Box::leak(pages.into_boxed_slice())).cast::<u8>()
        };
        let entries = pages(usize::from(count) * size_of::<BufRingEntry>()).cast();
        let bytes = pages(usize::from(count) * buffer_bytes);
        // SAFETY: whole pages of zeros, large enough for so many entries, and never freed.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                entries.as_ptr() as u64,
                count,
                group,
                0,
            )?;
        }
        let mut new = Self { entries, bytes, buffer_bytes, count, tail: 0 };
        (0..count).for_each(|number| new.provide(number));
        Ok(new)
    }

    /// Where a buffer is.
    pub(crate) fn place(&self, number: u16) -> *mut u8 {
        assert!(number < self.count, "the kernel named a buffer that there is not");
        // SAFETY: within the memory, which has `count` times `buffer_bytes`.
        unsafe { self.bytes.add(usize::from(number) * self.buffer_bytes) }.as_ptr()
    }

    /// What was written into a buffer.
    #[inline]
    pub(crate) fn bytes(&self, number: u16, len: usize) -> &[u8] {
        let place = self.place(number);
        assert!(len <= self.buffer_bytes, "the kernel wrote more than a buffer holds");
        // SAFETY: within a buffer, whose bytes are initialised and never freed. The kernel writes there
        // only after it was provided again, for which this borrow must have ended.
        unsafe { std::slice::from_raw_parts(place, len) }
    }

    /// Gives a buffer to the kernel.
    #[inline]
    pub(crate) fn provide(&mut self, number: u16) {
        let place = self.place(number);
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: the index is below the count. The kernel does not read an entry beyond the tail that
        // it knows, so this one is ours until the tail is stored.
        let entry = unsafe { self.entries.add(index).as_mut() };
        entry.set_addr(place as u64);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the address of the first entry, as it was registered; its last two bytes are the
        // tail, aligned, which the kernel reads at any time and nobody else writes.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.as_ptr()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}
