//! What is counted. What a waiter counts it alone writes, and anybody reads.

use crate::primitive::{AtomicU64, Ordering};
use crate::queue::Counters;

/// What happened in a shared queue. Taken by
/// [`SharedQueue::counters`](crate::SharedQueue::counters).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedCounters {
    /// What happened in the queue, of all waiters together. Events count when they are put into the ring.
    pub queue: Counters,
    /// How many waiters there are.
    pub waiters: usize,
    /// How many of them sleep, or are watched by somebody else ([`Waiter::descriptor`](crate::Waiter::descriptor)).
    pub asleep: usize,
    /// Entries of the ring.
    pub capacity: usize,
    /// Events in the ring.
    pub in_ring: usize,
    /// The most that were ever in it.
    pub high_water: usize,
    /// How often it was full while events waited behind it. Nothing is lost by it.
    pub overflowed: u64,
    /// Events that were put into it, ever.
    pub position: u64,
}

impl SharedCounters {
    /// Those of two groups together.
    pub(super) fn and(self, other: Self) -> Self {
        let (a, b) = (self.queue, other.queue);
        Self {
            queue: Counters {
                waits: a.waits + b.waits,
                events: a.events + b.events,
                batch_max: a.batch_max.max(b.batch_max),
                coalesced: a.coalesced + b.coalesced,
                untrue: a.untrue + b.untrue,
                stale: a.stale + b.stale,
                rescans: a.rescans + b.rescans,
                overflows: a.overflows + b.overflows,
                system_calls: a.system_calls + b.system_calls,
                registered: a.registered + b.registered,
            },
            waiters: self.waiters + other.waiters,
            asleep: self.asleep + other.asleep,
            capacity: self.capacity + other.capacity,
            in_ring: self.in_ring + other.in_ring,
            high_water: self.high_water.max(other.high_water),
            overflowed: self.overflowed + other.overflowed,
            position: self.position + other.position,
        }
    }
}

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
    pub(super) const NONE: Self =
        Self { waits: 0, empty: 0, events: 0, sleeps: 0, at_once: 0, released: 0 };

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
