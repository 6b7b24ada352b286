//! Claims: which registrations have an event under way, one word each.
//!
//! Events of one registration come to one waiter at a time. Its word says so: *staged* (an event of it is in the
//! ring, or with a waiter that has not taken it yet), *held* (a waiter works on it), or neither; *news* says that
//! the core has more of it, or something to do once it is let go of. With each staging the word gets a number that
//! was never there before. To take an event is one step from staged to held under its number; to let go of it one
//! step from held to neither, if there are no news: neither takes the core's lock. An event whose number is no
//! longer there is void: so a registration that is removed or disabled takes all that is under way with it, in one
//! step, wherever that is.

use super::ring::Stamp;
use crate::primitive::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::OnceLock;

const STAGED: u64 = 1;
const HELD: u64 = 2;
const NEWS: u64 = 4;
const BITS: u32 = 3;

/// Words of the first chunk; each further one has as many as all before it.
const FIRST: u32 = 64;
/// Enough for 2^30 slots.
const CHUNKS: usize = 25;

/// The words, by slot.
pub(crate) struct Claims {
    chunks: [OnceLock<Box<[Claim]>>; CHUNKS],
}

#[derive(Default)]
struct Claim {
    word: AtomicU64,
    /// Events that several waiters may have at once are void up to this number.
    floor: AtomicU64,
    /// The waiter that had an event of it last.
    nearest: AtomicU32,
}

/// What letting go leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LetGo {
    /// Nothing is left to do.
    Done,
    /// The core must look at it: it stays held until then.
    News,
    /// The registration was removed or disabled meanwhile.
    Void,
}

impl Claims {
    pub(crate) const fn new() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    fn word(&self, slot: u32) -> &AtomicU64 {
        &self.claim(slot).word
    }

    fn claim(&self, slot: u32) -> &Claim {
        let place = u64::from(slot) + u64::from(FIRST);
        let chunk = place.ilog2() - FIRST.ilog2();
        let start = u64::from(FIRST) << chunk;
        let words = self.chunks[chunk as usize]
            .get_or_init(|| (0..start).map(|_| Claim::default()).collect());
        &words[(place - start) as usize]
    }

    /// An event of the slot goes under way; false if one already is: whoever lets go of that one looks again.
    /// `news`: the core has something to do then in any case. Under the core's lock.
    pub(crate) fn stage(&self, slot: u32, stamp: Stamp, news: bool) -> bool {
        let word = self.word(slot);
        let mut now = word.load(Ordering::Relaxed);
        loop {
            let next = match now {
                0 => stamp.number() << BITS | STAGED | if news { NEWS } else { 0 },
                _ => now | NEWS,
            };
            match word.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return now == 0,
                Err(other) => now = other,
            }
        }
    }

    /// The waiter that had an event of this slot last.
    pub(crate) fn nearest(&self, slot: u32) -> u32 {
        self.claim(slot).nearest.load(Ordering::Relaxed)
    }

    /// Says who has an event of this slot now.
    pub(crate) fn set_nearest(&self, slot: u32, waiter: u32) {
        self.claim(slot).nearest.store(waiter, Ordering::Relaxed);
    }

    /// Whether the event of this staging may still be taken.
    pub(crate) fn is_staged(&self, slot: u32, stamp: Stamp) -> bool {
        is(self.word(slot).load(Ordering::Acquire), stamp, STAGED)
    }

    /// Takes the event of this staging; false if it is void.
    pub(crate) fn take(&self, slot: u32, stamp: Stamp) -> bool {
        self.step(slot, stamp, STAGED, |word| word & !STAGED | HELD)
    }

    /// Puts an event back that was taken; false if it is void.
    pub(crate) fn put_back(&self, slot: u32, stamp: Stamp) -> bool {
        self.step(slot, stamp, HELD, |word| word & !HELD | STAGED)
    }

    fn step(&self, slot: u32, stamp: Stamp, from: u64, to: impl Fn(u64) -> u64) -> bool {
        let word = self.word(slot);
        let mut now = word.load(Ordering::Relaxed);
        loop {
            if !is(now, stamp, from) {
                return false;
            }
            match word.compare_exchange_weak(now, to(now), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
    }

    /// Lets go of an event that was taken.
    pub(crate) fn let_go(&self, slot: u32, stamp: Stamp) -> LetGo {
        let word = self.word(slot);
        let mut now = word.load(Ordering::Relaxed);
        loop {
            if !is(now, stamp, HELD) {
                return LetGo::Void;
            }
            if now & NEWS != 0 {
                return LetGo::News;
            }
            match word.compare_exchange_weak(now, 0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return LetGo::Done,
                Err(other) => now = other,
            }
        }
    }

    /// Ends the claim of this staging, if it is still there. Under the core's lock.
    pub(crate) fn clear(&self, slot: u32, stamp: Stamp) -> bool {
        let word = self.word(slot);
        let mut now = word.load(Ordering::Relaxed);
        loop {
            if now >> BITS != stamp.number() || now == 0 {
                return false;
            }
            match word.compare_exchange_weak(now, 0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
    }

    /// Makes void what is under way of the slot, up to this number: its registration is gone. Under the core's
    /// lock.
    pub(crate) fn revoke(&self, slot: u32, number: u64) {
        let claim = self.claim(slot);
        claim.floor.store(number, Ordering::SeqCst);
        claim.word.swap(0, Ordering::AcqRel);
        // Before it is asked who holds an event; whoever takes one says first that he holds it.
        fence(Ordering::SeqCst);
    }

    /// The same of what nobody has taken; who holds an event of it goes on. Under the core's lock.
    pub(crate) fn withdraw(&self, slot: u32, number: u64) {
        let claim = self.claim(slot);
        claim.floor.store(number, Ordering::SeqCst);
        let mut now = claim.word.load(Ordering::Relaxed);
        while now & STAGED != 0 {
            match claim.word.compare_exchange_weak(now, 0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
    }

    /// Whether an event without a claim may be taken. Whoever asks has said before that he holds it: either he
    /// sees here that it is void, or whoever made it so sees that it is held.
    pub(crate) fn is_above_floor(&self, slot: u32, stamp: Stamp) -> bool {
        self.claim(slot).floor.load(Ordering::SeqCst) < stamp.number()
    }
}

const fn is(word: u64, stamp: Stamp, state: u64) -> bool {
    word >> BITS == stamp.number() && word & state != 0
}

#[cfg(test)]
mod tests;
