//! The simulated kernel as the model believes it to be: clocks, descriptors, and what is to happen
//! to them later. Nothing here asks the real simulation; the runner compares the two.

use crate::program::{First, Until};
use std::collections::BTreeMap;
use ukevent_queue::{Clock, Readiness};

/// Timers may be late by one tick of the queue's wheel.
pub(crate) const TICK_NS: u64 = 1 << 14;

#[derive(Clone, Debug)]
pub(crate) struct World {
    /// The monotonic clock.
    pub(crate) now_ns: u64,
    boot_ahead_ns: u64,
    wall_ns: u64,
    descriptors: Vec<Descriptor>,
    /// By time, then by order of asking.
    agenda: BTreeMap<(u64, u64), (usize, Readiness)>,
    asked: u64,
}

#[derive(Clone, Copy, Debug)]
struct Descriptor {
    ready: Readiness,
    /// How often it was made ready.
    news: u64,
}

impl World {
    pub(crate) fn new(descriptors: usize) -> Self {
        Self {
            now_ns: 1_000_000_000,
            boot_ahead_ns: 0,
            wall_ns: 1_000_000_000_000_000_000,
            descriptors: vec![Descriptor { ready: Readiness::empty(), news: 0 }; descriptors],
            agenda: BTreeMap::new(),
            asked: 0,
        }
    }

    pub(crate) const fn clock(&self, clock: Clock) -> u64 {
        match clock {
            Clock::Monotonic => self.now_ns,
            Clock::Boot => self.now_ns + self.boot_ahead_ns,
            Clock::Wall => self.wall_ns,
        }
    }

    /// When a timer first expires, on its clock.
    pub(crate) const fn first_ns(&self, clock: Clock, first: First) -> u64 {
        match first {
            First::After(ns) => self.clock(clock).saturating_add(ns),
            First::At(offset_ns) => self.clock(clock).saturating_add_signed(offset_ns),
        }
    }

    /// When a wait gives up: a clock and its time. `None` is never; a wait that does not block gives
    /// up at the time it begins.
    pub(crate) const fn deadline(&self, until: Until) -> Option<(Clock, u64)> {
        match until {
            Until::Ever => None,
            Until::Now => Some((Clock::Monotonic, self.now_ns)),
            Until::Within(ns) => Some((Clock::Monotonic, self.now_ns.saturating_add(ns))),
            Until::At(clock, offset_ns) => {
                Some((clock, self.clock(clock).saturating_add_signed(offset_ns)))
            }
        }
    }

    pub(crate) fn ready(&self, descriptor: usize) -> Readiness {
        self.descriptors[descriptor].ready
    }

    pub(crate) fn news(&self, descriptor: usize) -> u64 {
        self.descriptors[descriptor].news
    }

    pub(crate) fn set(&mut self, descriptor: usize, ready: Readiness) {
        let descriptor = &mut self.descriptors[descriptor];
        descriptor.news += u64::from(!ready.is_empty());
        descriptor.ready = ready;
    }

    pub(crate) fn set_after(&mut self, after_ns: u64, descriptor: usize, ready: Readiness) {
        self.asked += 1;
        self.agenda.insert((self.now_ns + after_ns, self.asked), (descriptor, ready));
    }

    /// When the next descriptor changes.
    pub(crate) fn next_change_ns(&self) -> Option<u64> {
        self.agenda.keys().next().map(|&(at_ns, _)| at_ns)
    }

    pub(crate) fn pass_to(&mut self, to_ns: u64) {
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= to_ns) {
            let (descriptor, ready) = entry.remove();
            self.set(descriptor, ready);
        }
        self.wall_ns += to_ns - self.now_ns;
        self.now_ns = to_ns;
    }

    pub(crate) const fn suspend(&mut self, ns: u64) {
        self.boot_ahead_ns += ns;
        self.wall_ns += ns;
    }

    pub(crate) const fn set_wall(&mut self, offset_ns: i64) {
        self.wall_ns = self.wall_ns.saturating_add_signed(offset_ns);
    }

    /// When, on the monotonic clock, another clock shows a time. Not before now.
    pub(crate) const fn monotonic_of(&self, clock: Clock, time_ns: u64) -> u64 {
        self.now_ns.saturating_add(time_ns.saturating_sub(self.clock(clock)))
    }
}
