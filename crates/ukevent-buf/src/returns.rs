//! The way home: what other threads free comes back to the owner over return rings.
//!
//! Each thread that frees has a lane, a ring in which it alone writes and the owner alone reads, so
//! threads that free do not meet, and sixteen indexes share a cache line on the way. Threads without
//! a lane (there are [`LANES`]) and full lanes use one stack that is linked through the side table.
//! Neither ever allocates, and nothing is held back: what was freed can be had at once.
//!
//! A lane or stack is told by one word where it ends and two marks: `HUNGRY`, the owner waits for
//! something to come, and `CLOSED`, nobody reads any more. Who gives a block home does it with one
//! compare-exchange of that word, which fails if a mark came in between. So there is one order of all
//! that happens to a lane, and no gap between "it is empty" and "wake me" (`home/tests.rs` has loom
//! try all orders). It is also the last access: from then on the owner may free everything.
//!
//! The stack is Treiber's (1986); only pushed one by one and taken whole, it has no ABA.

use crate::primitive::{AtomicU32, AtomicU64, Ordering, Padded};

/// How many threads can give back without meeting each other.
pub(crate) const LANES: usize = if cfg!(loom) { 2 } else { 16 };

/// Indexes that a lane holds at most.
const LANE_PLACES: u32 = if cfg!(loom) { 2 } else { 1024 };

/// The owner waits.
pub(crate) const HUNGRY: u64 = 1;
/// The owner is gone.
pub(crate) const CLOSED: u64 = 2;
const MARKS: u32 = 2;

const fn place_of(word: u64) -> u64 {
    word >> MARKS
}

const fn word_of(place: u64) -> u64 {
    place << MARKS
}

/// One thread writes, the owner reads.
pub(crate) struct Lane {
    /// How many came in so far, and the marks.
    tail: AtomicU64,
    /// The last `head` that the writer saw; its own, atomic only to hand it to the next writer.
    head_seen: AtomicU64,
    places: Box<[AtomicU32]>,
    /// How many the owner took so far.
    head: Padded<AtomicU64>,
}

impl Lane {
    fn new(places: u32) -> Self {
        Self {
            tail: AtomicU64::new(0),
            head_seen: AtomicU64::new(0),
            places: (0..places).map(|_| AtomicU32::new(0)).collect(),
            head: Padded(AtomicU64::new(0)),
        }
    }

    fn place(&self, position: u64) -> &AtomicU32 {
        &self.places[position as usize & (self.places.len() - 1)]
    }

    /// Puts the index behind the end that `seen` tells; the word that makes it part of the lane.
    /// `None` if the lane is full.
    fn stage(&self, seen: u64, index: u32) -> Option<u64> {
        let position = place_of(seen);
        let capacity = self.places.len() as u64;
        if position - self.head_seen.load(Ordering::Relaxed) == capacity {
            // Acquire: the owner has read the places before they are written again.
            let head = self.head.load(Ordering::Acquire);
            self.head_seen.store(head, Ordering::Relaxed);
            if position - head == capacity {
                return None;
            }
        }
        self.place(position).store(index, Ordering::Relaxed);
        Some(word_of(position + 1))
    }

    /// Takes everything before the end that `word` tells.
    fn drain(&self, word: u64, take: &mut impl FnMut(u32)) -> u32 {
        let head = self.head.load(Ordering::Relaxed);
        let tail = place_of(word);
        for position in head..tail {
            take(self.place(position).load(Ordering::Relaxed));
        }
        if head != tail {
            self.head.store(tail, Ordering::Release);
        }
        (tail - head) as u32
    }
}

/// Everybody else writes, the owner reads. The top, plus 1, and the marks.
pub(crate) struct Stack {
    top: AtomicU64,
}

impl Stack {
    /// Links the index above the top that `seen` tells; the word that makes it the top.
    fn stage(seen: u64, index: u32, link: impl FnOnce(u32)) -> u64 {
        // No index is so large that it does not fit once 1 is added.
        link(place_of(seen) as u32);
        word_of(u64::from(index) + 1)
    }

    /// Takes everything from the top that `word` told, which is off the stack by now.
    fn walk(word: u64, linked: impl Fn(u32) -> u32, take: &mut impl FnMut(u32)) -> u32 {
        let mut count = 0;
        let mut top = place_of(word) as u32;
        while top != 0 {
            let index = top - 1;
            // Before it is taken: the owner may use the link for something else.
            top = linked(index);
            take(index);
            count += 1;
        }
        count
    }
}

/// Which of the two a thread uses.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    Lane(&'a Lane),
    Stack(&'a Stack),
}

impl Way<'_> {
    /// The word that tells where it ends. A pointer, because it may be gone as soon as the word has
    /// been changed.
    pub(crate) const fn word(self) -> *const AtomicU64 {
        match self {
            Self::Lane(lane) => &raw const lane.tail,
            Self::Stack(stack) => &raw const stack.top,
        }
    }

    /// Writes the index where `seen` says that the end is, for nobody to see yet; the word that makes
    /// it visible. `None` if there is no place.
    pub(crate) fn stage(self, seen: u64, index: u32, link: impl FnOnce(u32)) -> Option<u64> {
        match self {
            Self::Lane(lane) => lane.stage(seen, index),
            Self::Stack(_) => Some(Stack::stage(seen, index, link)),
        }
    }
}

/// All ways home of one owner.
pub(crate) struct Returns {
    /// Which lanes were ever used: a bit each. A hint, which may come late.
    used: AtomicU32,
    stack: Padded<Stack>,
    lanes: Box<[Padded<Lane>]>,
}

impl Returns {
    /// For at most `blocks` that can be under way at once.
    pub(crate) fn new(blocks: u32) -> Self {
        let places = blocks.clamp(1, LANE_PLACES).next_power_of_two();
        Self {
            used: AtomicU32::new(0),
            stack: Padded(Stack { top: AtomicU64::new(0) }),
            lanes: (0..LANES).map(|_| Padded(Lane::new(places))).collect(),
        }
    }

    /// The way of the thread that has this lane.
    #[inline]
    pub(crate) fn way(&self, lane: Option<usize>) -> Way<'_> {
        match lane {
            Some(number) => {
                let lane = &self.lanes[number];
                if self.used.load(Ordering::Relaxed) & 1 << number == 0 {
                    self.used.fetch_or(1 << number, Ordering::Relaxed);
                }
                Way::Lane(lane)
            }
            None => self.stack(),
        }
    }

    /// The way of everybody.
    pub(crate) fn stack(&self) -> Way<'_> {
        Way::Stack(&self.stack)
    }

    /// Takes what came home; how much. The owner's.
    pub(crate) fn drain(&self, linked: impl Fn(u32) -> u32, mut take: impl FnMut(u32)) -> u32 {
        let mut count = 0;
        let mut used = self.used.load(Ordering::Relaxed);
        while used != 0 {
            let lane = &self.lanes[used.trailing_zeros() as usize];
            used &= used - 1;
            count += lane.drain(lane.tail.load(Ordering::Acquire), &mut take);
        }
        if place_of(self.stack.top.load(Ordering::Relaxed)) != 0 {
            count += Stack::walk(self.stack.top.swap(0, Ordering::Acquire), linked, &mut take);
        }
        count
    }

    /// Marks every way: who comes next sees that the owner waits. True if something came before the
    /// mark, which [`Returns::drain`] will now find. The owner's.
    pub(crate) fn mark_hungry(&self) -> bool {
        // Acquire brings the hint that the lane is used, too.
        let mut came = place_of(self.stack.top.fetch_or(HUNGRY, Ordering::AcqRel)) != 0;
        for lane in &self.lanes {
            let word = lane.tail.fetch_or(HUNGRY, Ordering::AcqRel);
            came |= place_of(word) != lane.head.load(Ordering::Relaxed);
        }
        came
    }

    /// Takes what came home, for the last time; how much. Who comes later sees that nobody reads any
    /// more. The owner's.
    pub(crate) fn close(&self, linked: impl Fn(u32) -> u32, mut take: impl FnMut(u32)) -> u32 {
        let mut count =
            Stack::walk(self.stack.top.swap(CLOSED, Ordering::AcqRel), linked, &mut take);
        for lane in &self.lanes {
            count += lane.drain(lane.tail.fetch_or(CLOSED, Ordering::AcqRel), &mut take);
        }
        count
    }
}
