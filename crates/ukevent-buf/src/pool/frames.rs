//! Where a pool's free frames are: a stack of their numbers, the last freed on top, because its bytes
//! are most likely in the cache.

use crate::arena::{Account, Stretch};
use crate::entry::{Entry, Origin};
use crate::guard::{self, CHECKED, Marks};
use crate::home::{Home, Lookout, Shelf};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// The free frames of a pool, and which ones the kernel has.
pub(crate) struct Frames {
    /// The numbers of those that are free: as many of these as the account counts.
    free: Box<[u32]>,
    /// Allocations until it is looked.
    look: Lookout,
    /// Which frames the kernel has: a bit each.
    at_kernel: Box<[u64]>,
    at_kernel_count: u32,
    /// For the checks: which are out, and which were filled when they came back.
    out: Marks,
    filled: Marks,
}

/// How frames lie.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Bytes of a frame, headroom included.
    pub(super) frame_bytes: usize,
    /// Bytes from one to the next.
    pub(super) stride: usize,
    pub(super) headroom: usize,
    /// Whether there is a fence behind each.
    pub(super) has_fences: bool,
}

/// What every thread may know of a pool.
pub(crate) struct FrameSide {
    /// One for each frame.
    entries: Box<[Entry]>,
    pub(super) shape: Shape,
    /// Before the account, which it is entered in.
    pub(super) stretch: Stretch,
    pub(super) account: Account,
}

// SAFETY: of an entry, its own rules say who may touch what; the rest is read only.
unsafe impl Send for FrameSide {}
// SAFETY: as above.
unsafe impl Sync for FrameSide {}

impl FrameSide {
    pub(super) fn new(frames: u32, shape: Shape, stretch: Stretch, account: Account) -> Self {
        let base = stretch.base().as_ptr();
        let entry = |index| {
            // SAFETY: the stretch holds all frames.
            let base = unsafe { base.add(index as usize * shape.stride) };
            Entry::new(Origin::Static, base, shape.frame_bytes)
        };
        let entries = (0..frames).map(entry).collect();
        Self { entries, shape, stretch, account }
    }

    /// Enters in every frame's entry where it is from.
    ///
    /// # Safety
    /// `home` is the one that has this side, and has lent nothing yet.
    pub(super) unsafe fn enter(&self, home: NonNull<Home<Frames>>) {
        for (index, entry) in (0..).zip(&self.entries) {
            entry.origin.set(Origin::Frame(index, home));
        }
    }

    #[inline(always)]
    pub(super) fn entry(&self, index: u32) -> &Entry {
        &self.entries[index as usize]
    }

    pub(super) fn base(&self, index: u32) -> NonNull<u8> {
        NonNull::new(self.entry(index).base.get()).expect("a frame is somewhere")
    }

    pub(crate) fn arena_base(&self) -> NonNull<u8> {
        self.account.arena().base()
    }

    #[inline(always)]
    pub(super) fn free_count(&self) -> usize {
        self.account.count()
    }

    pub(super) fn frames(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Whether there is a fence behind each frame.
    pub(crate) const fn has_fences(&self) -> bool {
        self.shape.has_fences
    }
}

impl Frames {
    pub(super) fn new(side: &FrameSide) -> Self {
        let frames = side.frames();
        side.account.set_count(frames as usize);
        Self {
            free: (0..frames).rev().collect(),
            look: Lookout::default(),
            at_kernel: vec![0; frames.div_ceil(64) as usize].into(),
            at_kernel_count: 0,
            out: Marks::new(frames as usize),
            filled: Marks::new(frames as usize),
        }
    }

    /// Whether it is time to look.
    #[inline(always)]
    pub(super) fn is_look_due(&mut self) -> bool {
        self.look.is_due()
    }

    /// Takes the frame that was freed last.
    #[inline(always)]
    pub(super) fn take(&mut self, side: &FrameSide) -> Option<u32> {
        let left = side.account.count().checked_sub(1)?;
        let index = self.free[left];
        side.account.set_count(left);
        if CHECKED {
            self.check_taken(side, index);
        }
        Some(index)
    }

    fn check_taken(&mut self, side: &FrameSide, index: u32) {
        assert!(self.out.insert(index as usize), "frame {index} is lent twice");
        let base = side.base(index);
        // SAFETY: the frame is free, so it and its fence are this pool's alone.
        unsafe {
            if self.filled.remove(index as usize) {
                guard::check_poison(base, side.shape.frame_bytes);
            }
            if side.has_fences() {
                guard::raise_fence(base.add(side.shape.frame_bytes));
            }
        }
    }

    /// Notes that the kernel has a frame that is out.
    pub(super) fn note_at_kernel(&mut self, index: u32) {
        self.at_kernel[index as usize / 64] |= 1 << (index % 64);
        self.at_kernel_count += 1;
    }

    /// Whether the kernel has it.
    pub(super) fn is_at_kernel(&self, index: u32) -> bool {
        (index as usize) < self.free.len()
            && self.at_kernel[index as usize / 64] >> (index % 64) & 1 != 0
    }

    /// Notes that the kernel has it no more.
    pub(super) fn note_back(&mut self, index: u32) {
        self.at_kernel[index as usize / 64] &= !(1 << (index % 64));
        self.at_kernel_count -= 1;
    }

    pub(super) const fn at_kernel_count(&self) -> u32 {
        self.at_kernel_count
    }
}

impl Shelf for Frames {
    type Side = FrameSide;
    type Surplus = std::convert::Infallible;

    #[inline(always)]
    fn put(&mut self, side: &FrameSide, index: u32) {
        if CHECKED {
            assert!(
                self.out.remove(index as usize) && !self.is_at_kernel(index),
                "double free: frame {index} is not lent"
            );
            self.filled.insert(index as usize);
        }
        // There is a place: each frame is there at most once.
        let count = side.free_count();
        self.free[count] = index;
        side.account.set_count(count + 1);
    }

    fn lent(&self, side: &FrameSide) -> u32 {
        side.frames() - side.free_count() as u32
    }

    fn link(side: &FrameSide, index: u32, below: u32) {
        side.entry(index).count.store(below, Ordering::Relaxed);
    }

    fn linked(side: &FrameSide, index: u32) -> u32 {
        side.entry(index).count.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn surplus(&mut self) -> Option<std::convert::Infallible> {
        None
    }
}
