//! What a waiter counts: it alone writes, anybody reads.

use crate::primitive::{AtomicU64, Ordering};

/// What a waiter did. Taken by [`Waiter::counters`](crate::Waiter::counters).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaiterCounters {
    /// Waits.
    pub waits: u64,
    /// Waits that ended without an event.
    pub empty: u64,
    /// Events taken.
    pub events: u64,
    /// How often it went to sleep.
    pub sleeps: u64,
    /// Waits that found an event in the ring: no lock of the queue, no system call.
    pub at_once: u64,
    /// Events handed on.
    pub released: u64,
}

impl WaiterCounters {
    pub(super) const fn add(&mut self, other: Self) {
        self.waits += other.waits;
        self.empty += other.empty;
        self.events += other.events;
        self.sleeps += other.sleeps;
        self.at_once += other.at_once;
        self.released += other.released;
    }
}

/// The same, while it is being counted.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) waits: Count,
    pub(super) empty: Count,
    pub(super) events: Count,
    pub(super) sleeps: Count,
    pub(super) at_once: Count,
    pub(super) released: Count,
}

impl Tally {
    pub(super) fn read(&self) -> WaiterCounters {
        WaiterCounters {
            waits: self.waits.read(),
            empty: self.empty.read(),
            events: self.events.read(),
            sleeps: self.sleeps.read(),
            at_once: self.at_once.read(),
            released: self.released.read(),
        }
    }
}

/// A number that one thread counts.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Counts; returns how often it did before.
    pub(super) fn count(&self) -> u64 {
        let before = self.read();
        self.0.store(before + 1, Ordering::Relaxed);
        before
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
