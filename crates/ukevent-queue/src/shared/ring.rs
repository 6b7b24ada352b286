//! The ring: events that are ready, in memory, for any number of waiters.
//!
//! Who has the core's lock puts events in at the tail; waiters take them at the head, without a lock that
//! another one could hold for long and without a system call. Positions are 64 bits and only grow, so none is
//! ever reached twice. A waiter claims the event at the head by moving the head past it, one step of one atomic
//! word, and then takes it out of its entry. An entry that was not emptied yet is never written: a ring that is
//! full says so, and what does not fit waits where it is. Nothing is overwritten and nothing is lost.
//!
//! An event may also be taken out of the middle: by a waiter that had its registration before, or because the
//! registration is gone. Its entry is then empty when the head comes to it, and is passed over.
//!
//! The lock of an entry is held for the few instructions that move an event; two threads meet at one entry only
//! when an event is taken out of the middle. It stands where other implementations have unsafe code.
//!
//! Source: the ring of kevent's last releases (2006), and what its reviewers asked of it: a ring that never
//! overwrites, an answer to who moves the tail when many read, positions that cannot wrap.

use crate::event::Event;
use crate::primitive::{AtomicU32, AtomicU64, Mutex, Ordering, lock};

/// An event on its way to a waiter.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) event: Event,
    pub(crate) stamp: Stamp,
}

/// Which staging this is: a number that is given once, and what is to be known of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(u64);

impl Stamp {
    /// It has no claim: several of its kind may be under way at once.
    pub(crate) const FREE: u64 = 1;
    /// It tells of a state, which may change before it is taken.
    pub(crate) const STATE: u64 = 1 << 1;
    /// What its mode asks for, the core does when it is taken.
    pub(crate) const COMMIT: u64 = 1 << 2;
    /// Every waiter gets it.
    pub(crate) const FOR_ALL: u64 = 1 << 3;
    /// Its registration is over, by this very event, which was handed on.
    pub(crate) const OVER: u64 = 1 << 4;
    /// It was taken before, and handed on: what its mode asks for has been done.
    pub(crate) const TAKEN: u64 = 1 << 5;
    const FLAGS: u32 = 6;

    pub(crate) const fn new(number: u64, flags: u64) -> Self {
        Self(number << Self::FLAGS | flags)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0 >> Self::FLAGS
    }

    pub(crate) const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// The same staging without this.
    pub(crate) const fn without(self, flag: u64) -> Self {
        Self(self.0 & !flag)
    }

    /// The same staging with this.
    pub(crate) const fn with(self, flag: u64) -> Self {
        Self(self.0 | flag)
    }
}

/// Nobody had it before.
pub(crate) const ANYBODY: u32 = 0;

/// A place for an event.
///
/// A cache line: two waiters that take neighbours do not disturb each other.
#[repr(align(64))]
struct Entry {
    staged: Mutex<Option<Staged>>,
    /// The position whose event is in it, or was last; the lower half. Written under the lock.
    turn: AtomicU32,
    /// The waiter that had the registration last.
    nearest: AtomicU32,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Entry>() == 64, "an entry is a cache line");

/// A word that nobody else's word shares a line with.
#[repr(align(128))]
struct Alone<T>(T);

/// How far from the head a waiter looks for an event that is nearest to it.
const NEAR: u64 = 8;

/// A ring of so many entries. Another size is another ring ([`Ring::resized`]).
pub(crate) struct Ring {
    head: Alone<AtomicU64>,
    tail: Alone<AtomicU64>,
    /// Entries between head and tail that were emptied from the middle.
    gaps: AtomicU64,
    entries: Box<[Entry]>,
}

impl Ring {
    /// An empty ring whose first position is `start`. At least two entries, rounded up to a power of two.
    pub(crate) fn new(capacity: u32, start: u64) -> Self {
        let capacity = capacity.clamp(2, 1 << 20).next_power_of_two();
        let entry = |_| Entry {
            staged: Mutex::new(None),
            turn: AtomicU32::new(0),
            nearest: AtomicU32::new(ANYBODY),
        };
        Self {
            head: Alone(AtomicU64::new(start)),
            tail: Alone(AtomicU64::new(start)),
            gaps: AtomicU64::new(0),
            entries: (0..capacity).map(entry).collect(),
        }
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.entries.len()
    }

    fn entry(&self, position: u64) -> &Entry {
        &self.entries[position as usize & (self.entries.len() - 1)]
    }

    /// The position that the next event will have.
    pub(crate) fn tail(&self) -> u64 {
        self.tail.0.load(Ordering::Acquire)
    }

    /// How many events are in it; exact while nobody puts in or takes out.
    pub(crate) fn len(&self) -> usize {
        let head = self.head.0.load(Ordering::Acquire);
        let between = self.tail().saturating_sub(head);
        between.saturating_sub(self.gaps.load(Ordering::Relaxed)) as usize
    }

    /// Whether there is an event, or the place of one that was taken out, in each entry. Only under the lock of the
    /// core.
    pub(crate) fn is_full(&self) -> bool {
        self.tail() - self.head.0.load(Ordering::Acquire) >= self.entries.len() as u64
    }

    /// Whether the next event fits: an entry may be claimed and not emptied yet. Only under the lock of the core, which
    /// alone puts events in.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_full() && lock(&self.entry(self.tail()).staged).is_none()
    }

    /// Puts an event in. Only under the lock of the core.
    ///
    /// # Errors
    /// Gives it back if the ring is full.
    pub(crate) fn push(&self, staged: Staged, nearest: u32) -> Result<(), Staged> {
        if self.is_full() {
            return Err(staged);
        }
        let tail = self.tail();
        let entry = self.entry(tail);
        {
            let mut place = lock(&entry.staged);
            if place.is_some() {
                // Whoever claimed it has not taken it yet.
                return Err(staged);
            }
            *place = Some(staged);
            entry.turn.store(tail as u32, Ordering::Relaxed);
        }
        entry.nearest.store(nearest, Ordering::Relaxed);
        self.tail.0.store(tail + 1, Ordering::Release);
        Ok(())
    }

    /// Takes the first event.
    pub(crate) fn pop(&self) -> Option<Staged> {
        let mut head = self.head.0.load(Ordering::Acquire);
        loop {
            if head == self.tail() {
                return None;
            }
            match self.head.0.compare_exchange_weak(
                head,
                head + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {}
                Err(other) => {
                    head = other;
                    continue;
                }
            }
            // The position is ours alone.
            if let Some(staged) = self.take(head) {
                return Some(staged);
            }
            head += 1;
        }
    }

    /// Takes the event of a position that nobody else has, or finds the gap that it left. If it was taken out of the
    /// middle, that of a later position may be in its entry by now.
    fn take(&self, position: u64) -> Option<Staged> {
        let entry = self.entry(position);
        let taken = {
            let mut place = lock(&entry.staged);
            let is_its = entry.turn.load(Ordering::Relaxed) == position as u32;
            if is_its { place.take() } else { None }
        };
        if taken.is_none() {
            self.gaps.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }

    /// Takes one of the first events, if this waiter is nearest to it.
    pub(crate) fn pop_nearest(&self, waiter: u32) -> Option<Staged> {
        let head = self.head.0.load(Ordering::Acquire);
        let end = self.tail().min(head + NEAR);
        (head..end).find_map(|position| {
            let entry = self.entry(position);
            let is_near = entry.nearest.load(Ordering::Relaxed) == waiter;
            if is_near { self.take_out(entry, |_| true) } else { None }
        })
    }

    /// Takes out all events that `is_meant` names, in their order. Only under the lock of the core.
    pub(crate) fn extract(&self, mut is_meant: impl FnMut(&Staged) -> bool) -> Vec<Staged> {
        let tail = self.tail();
        // Also those that are claimed and not taken yet.
        let start = tail.saturating_sub(self.entries.len() as u64);
        (start..tail).filter_map(|at| self.take_out(self.entry(at), &mut is_meant)).collect()
    }

    fn take_out(&self, entry: &Entry, is_meant: impl FnOnce(&Staged) -> bool) -> Option<Staged> {
        let mut place = lock(&entry.staged);
        if !place.as_ref().is_some_and(is_meant) {
            return None;
        }
        // Before anybody can find the gap.
        self.gaps.fetch_add(1, Ordering::Relaxed);
        place.take()
    }

    /// A ring of another size with the events of this one, which stays empty; and those that do not fit.
    /// Only under the lock of the core. Waiters that still know the old one find it empty and ask.
    pub(crate) fn resized(&self, capacity: u32) -> (Self, Vec<Staged>) {
        let tail = self.tail();
        let new = Self::new(capacity, tail);
        let mut over = Vec::new();
        // All at once: whoever takes the rest of this one is behind nobody who takes from the new one.
        let head = self.head.0.swap(tail, Ordering::AcqRel);
        for staged in (head..tail).filter_map(|position| self.take(position)) {
            if let Err(staged) = new.push(staged, ANYBODY) {
                over.push(staged);
            }
        }
        (new, over)
    }
}

#[cfg(test)]
mod tests;
