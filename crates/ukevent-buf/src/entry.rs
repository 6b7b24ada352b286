//! The entry: what is known of one piece of memory, beside the memory and not in it.
//!
//! Every buffer and slice, wherever its memory is from, points to an entry; so a buffer is one word and
//! cheap to hand on. Frames and blocks have theirs in side tables, at the index that the kernel or the
//! return rings know them by; memory of the heap has one of its own. Were all this in the memory, as is
//! usual, a stray write of the kernel would break the allocator, freeing would touch pages that were
//! given back to the system, and another process could write it.
//!
//! Who may touch which field:
//! - `count` is atomic, and anybody's.
//! - `links` belongs to who has the buffer; while there is none, to the owner of the home.
//! - `origin`, `base` and `capacity` are written by the owner of the home while there is no buffer or
//!   slice, and only read while there is.
//! - The rest is the owner's alone, at any time.

use crate::guard::{self, CHECKED};
use crate::home::Home;
use crate::net::Blocks;
use crate::pool::Frames;
use bytes::Bytes;
use std::sync::atomic::AtomicU32;
use std::{cell::Cell, mem::ManuallyDrop, ptr::NonNull};

/// All zeros is one: of nothing.
#[repr(C, align(64))]
pub(crate) struct Entry {
    /// How many slices share the memory; of what is on its way home, a link.
    pub(crate) count: AtomicU32,
    /// Of a block: whether it is lent, also a canary.
    pub(crate) state: Cell<u16>,
    /// Of a lent block: how many bytes of the capacity nobody asked for.
    pub(crate) slack: Cell<u16>,
    pub(crate) origin: Cell<Origin>,
    /// Where the memory begins, and how large it is.
    pub(crate) base: Cell<*mut u8>,
    pub(crate) capacity: Cell<usize>,
    /// Two words: of a lent piece, where the buffer's bytes begin in the memory and how many there are;
    /// of a free block, those next to it in the list of its size.
    pub(crate) links: Links,
    /// Of a block: those next to it in its region.
    pub(crate) before: Cell<u32>,
    pub(crate) after: Cell<u32>,
}

/// A place in a ring of free blocks; see [`Entry::links`].
pub(crate) struct Links {
    pub(crate) previous: Cell<*const Links>,
    pub(crate) next: Cell<*const Links>,
}

impl Links {
    pub(crate) const fn new() -> Self {
        Self { previous: Cell::new(std::ptr::null()), next: Cell::new(std::ptr::null()) }
    }
}

/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = size_of::<Entry>();

const _: () = assert!(ENTRY_BYTES == 64, "an entry is a cache line");

/// Where memory is from, and so where it goes.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Origin {
    /// Always there, like the entry. The first, and so what zeros mean.
    Static,
    /// The parts of a `Vec<u8>`; the entry is a box of its own.
    Heap,
    /// A frame of a pool, and its number.
    Frame(u32, NonNull<Home<Frames>>),
    /// A block of a network allocator, and its number.
    Block(u32, NonNull<Home<Blocks>>),
    /// A box of `Bytes`; the entry is a box of its own. Of slices only.
    Bytes(NonNull<Bytes>),
}

/// An entry that others may point to as well.
struct Common(Entry);

// SAFETY: of the origin `Static` and without capacity, so nothing of it is ever written.
unsafe impl Sync for Common {}

static COMMON: Common = Common(Entry::new(Origin::Static, NonNull::dangling().as_ptr(), 0));

impl Entry {
    pub(crate) const fn new(origin: Origin, base: *mut u8, capacity: usize) -> Self {
        Self {
            count: AtomicU32::new(0),
            state: Cell::new(0),
            slack: Cell::new(0),
            origin: Cell::new(origin),
            base: Cell::new(base),
            capacity: Cell::new(capacity),
            links: Links::new(),
            before: Cell::new(0),
            after: Cell::new(0),
        }
    }

    /// Where the buffer's bytes begin in the memory.
    #[inline(always)]
    pub(crate) fn start(&self) -> usize {
        self.links.previous.get().addr()
    }

    /// How many bytes the buffer has.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.links.next.get().addr()
    }

    /// Says which bytes of the memory are the buffer's.
    #[inline(always)]
    pub(crate) fn set_span(&self, start: usize, len: usize) {
        self.links.previous.set(std::ptr::without_provenance(start));
        self.links.next.set(std::ptr::without_provenance(len));
    }

    /// The entry whose links these are.
    ///
    /// # Safety
    /// They are an entry's, and may be used to reach all of it.
    #[inline(always)]
    pub(crate) unsafe fn of_links(links: *const Links) -> *const Self {
        // SAFETY: as promised.
        unsafe { links.byte_sub(std::mem::offset_of!(Self, links)).cast() }
    }

    /// The entry of what needs none: static bytes, and buffers without memory.
    pub(crate) const fn common() -> NonNull<Self> {
        NonNull::new((&raw const COMMON.0).cast_mut()).expect("a static is somewhere")
    }

    /// Memory of the heap, of which the vector's bytes are the buffer's; what the vector has spare is
    /// set to 0. Allocates the entry, unless there is no memory.
    pub(crate) fn of_vec(mut vec: Vec<u8>) -> NonNull<Self> {
        if vec.capacity() == 0 {
            return Self::common();
        }
        let len = vec.len();
        vec.resize(vec.capacity(), 0);
        let mut vec = ManuallyDrop::new(vec);
        let entry = Self::new(Origin::Heap, vec.as_mut_ptr(), vec.capacity());
        entry.set_span(0, len);
        NonNull::from(Box::leak(Box::new(entry)))
    }

    /// Memory of `Bytes`, for slices. Allocates the entry.
    pub(crate) fn of_bytes(bytes: Bytes) -> NonNull<Self> {
        let (base, capacity) = (bytes.as_ptr().cast_mut(), bytes.len());
        let bytes = NonNull::from(Box::leak(Box::new(bytes)));
        let entry = Self::new(Origin::Bytes(bytes), base, capacity);
        NonNull::from(Box::leak(Box::new(entry)))
    }

    /// Where it begins in its arena, if it is from one.
    pub(crate) fn offset_in_arena(&self) -> Option<usize> {
        let arena = match self.origin.get() {
            // SAFETY: a home lives until the last piece that it lent is back, and this one is not.
            Origin::Frame(_, home) => unsafe { home.as_ref() }.side().arena_base(),
            // SAFETY: as above.
            Origin::Block(_, home) => unsafe { home.as_ref() }.side().arena_base(),
            Origin::Static | Origin::Heap | Origin::Bytes(_) => return None,
        };
        Some(self.base.get().addr() - arena.addr().get())
    }

    /// Takes the vector out that `of_vec` put in. `None`, and nothing changes, if it was none.
    ///
    /// # Safety
    /// Nobody else uses the entry; if there is a vector, nobody uses it any more.
    pub(crate) unsafe fn take_vec(entry: NonNull<Self>) -> Option<Vec<u8>> {
        // SAFETY: an entry lives as long as something points to it.
        if !matches!(unsafe { entry.as_ref() }.origin.get(), Origin::Heap) {
            return None;
        }
        // SAFETY: the box that `of_vec` leaked; used by nobody else, as promised.
        let entry = unsafe { Box::from_raw(entry.as_ptr()) };
        // SAFETY: the parts of the vector that `of_vec` took apart; all of its bytes are initialised.
        Some(unsafe { Vec::from_raw_parts(entry.base.get(), entry.len(), entry.capacity.get()) })
    }

    /// Gives the memory back to where it is from, and with it the entry.
    ///
    /// # Safety
    /// Nobody uses the memory or the entry any more.
    #[inline]
    pub(crate) unsafe fn release(entry: NonNull<Self>) {
        // SAFETY: an entry lives until it is released.
        let this = unsafe { entry.as_ref() };
        // Two comparisons, not a jump through a table.
        if let Origin::Frame(index, home) = this.origin.get() {
            if CHECKED {
                // SAFETY: the home lives until this frame is back.
                this.retire(unsafe { home.as_ref() }.side().has_fences());
            }
            // SAFETY: lent under this number by this home, and used by nobody, as promised.
            unsafe { Home::release(home, index) };
        } else if let Origin::Block(index, home) = this.origin.get() {
            this.retire(true);
            // SAFETY: as above.
            unsafe { Home::release(home, index) };
        } else {
            // SAFETY: as promised.
            unsafe { Self::release_elsewhere(entry) };
        }
    }

    /// # Safety
    /// As for [`Entry::release`]; the memory is of no home.
    #[inline(never)]
    unsafe fn release_elsewhere(entry: NonNull<Self>) {
        // SAFETY: an entry lives until it is released.
        match unsafe { entry.as_ref() }.origin.get() {
            // SAFETY: as promised.
            Origin::Heap => drop(unsafe { Self::take_vec(entry) }),
            // SAFETY: as promised; `of_bytes` leaked both.
            Origin::Bytes(bytes) => unsafe {
                drop(Box::from_raw(bytes.as_ptr()));
                drop(Box::from_raw(entry.as_ptr()));
            },
            Origin::Static | Origin::Frame(..) | Origin::Block(..) => {}
        }
    }

    /// In a debug build: checks that nothing was written behind the end, and fills the memory.
    #[inline(always)]
    fn retire(&self, has_fence: bool) {
        if CHECKED {
            let base = NonNull::new(self.base.get()).expect("frames and blocks have memory");
            // SAFETY: not back yet, so the memory and its fence are the caller's alone.
            unsafe {
                if has_fence {
                    guard::check_fence(base.add(self.capacity.get()));
                }
                guard::poison(base, self.capacity.get());
            }
        }
    }
}
