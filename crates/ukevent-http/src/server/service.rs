//! What all connections share: the content, the clocks, the buffers, the counts.

use crate::{
    connection::Turn,
    counters::Counters,
    date::Date,
    entity::{Content, Found, Seen},
    files::Root,
    limits::{Limits, TURN_BYTES},
    page::Page,
};
use ukevent_queue::Queue;
use ukevent_sys::clock::Clock;

const NS_PER_S: u64 = 1_000_000_000;

/// What is served.
#[derive(Debug)]
pub(super) enum Site {
    Files(Root),
    Page(Page),
}

impl Content for Site {
    fn find(&mut self, path: &[u8], seen: Seen, counters: &Counters) -> Found {
        match self {
            Self::Files(root) => root.find(path, seen, counters),
            Self::Page(page) => page.find(path, seen, counters),
        }
    }

    fn let_go(&mut self) -> bool {
        match self {
            Self::Files(root) => root.let_go(),
            Self::Page(page) => page.let_go(),
        }
    }
}

/// What a connection borrows for its turn.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) site: Site,
    pub(super) limits: Limits,
    pub(super) counters: Counters,
    pub(super) now_ns: u64,
    pub(super) epoch: u64,
    pub(super) ending: bool,
    started_ns: u64,
    date: Date,
    out: Vec<u8>,
    path: Vec<u8>,
}

impl Service {
    pub(super) fn new(site: Site, limits: Limits, queue: &Queue) -> Self {
        let now_ns = nanoseconds(queue, Clock::Monotonic);
        Self {
            site,
            limits,
            counters: Counters::default(),
            now_ns,
            epoch: 0,
            ending: false,
            started_ns: now_ns,
            date: Date::at(nanoseconds(queue, Clock::Wall) / NS_PER_S),
            out: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Reads the clocks, and what the queue counted, once for a batch.
    pub(super) fn look_at_clocks(&mut self, queue: &Queue) {
        self.now_ns = nanoseconds(queue, Clock::Monotonic);
        self.date.set(nanoseconds(queue, Clock::Wall) / NS_PER_S);
        let counted = queue.counters();
        self.counters.uptime_s = self.now_ns.saturating_sub(self.started_ns) / NS_PER_S;
        self.counters.events = counted.events;
        self.counters.batches = counted.waits;
        self.counters.largest_batch = counted.batch_max;
    }

    pub(super) fn turn(&mut self) -> Turn<'_, Site> {
        Turn {
            content: &mut self.site,
            limits: &self.limits,
            counters: &mut self.counters,
            date: &self.date,
            now_ns: self.now_ns,
            epoch: self.epoch,
            ending: self.ending,
            budget_bytes: TURN_BYTES,
            out: &mut self.out,
            path: &mut self.path,
        }
    }
}

fn nanoseconds(queue: &Queue, clock: Clock) -> u64 {
    u64::try_from(queue.time(clock).as_nanos()).unwrap_or(u64::MAX)
}
