//! What all connections share: the content, the clocks, the buffers, the counts.

use crate::{
    connection::Turn,
    counters::Counters,
    date::Date,
    entity::{Content, Found, Seen},
    files::Root,
    limits::{Limits, TURN_BYTES},
    out::Out,
    page::Page,
};
use std::sync::Arc;
use ukevent_buf::FramePool;
use ukevent_queue::{Kind, Queue, Token};
use ukevent_sys::clock::Clock;

const NS_PER_S: u64 = 1_000_000_000;

/// What is served.
#[derive(Debug)]
pub(super) enum Site {
    Files(Box<Root>),
    Page(Page),
}

impl Site {
    /// See [`Root::relies_on_reports`].
    pub(super) fn relies_on_reports(&self) -> bool {
        matches!(self, Self::Files(root) if root.relies_on_reports())
    }

    /// See [`Root::reported`].
    pub(super) fn reported(&mut self, queue: &mut Queue, index: u32, kind: &Kind) {
        if let Self::Files(root) = self {
            root.reported(queue, index, kind);
        }
    }

    /// See [`Root::tend`].
    pub(super) fn tend(&mut self, queue: &mut Queue, token: &dyn Fn(u32) -> Token, unix_s: u64) {
        if let Self::Files(root) = self {
            root.tend(queue, token, unix_s);
        }
    }

    /// See [`Root::forget_wanted`].
    pub(super) fn forget_wanted(&mut self) {
        if let Self::Files(root) = self {
            root.forget_wanted();
        }
    }

    /// See [`Root::unwatch`].
    pub(super) fn unwatch(&mut self, queue: &mut Queue) {
        if let Self::Files(root) = self {
            root.unwatch(queue);
        }
    }

    /// See [`Root::take_joined`].
    pub(super) fn take_joined(&mut self) -> Option<u64> {
        match self {
            Self::Files(root) => root.take_joined(),
            Self::Page(_) => None,
        }
    }

    /// See [`Root::take_loaded`].
    pub(super) fn take_loaded(&mut self, seen: Seen) -> Vec<(u64, Found)> {
        match self {
            Self::Files(root) => root.take_loaded(seen),
            Self::Page(_) => Vec::new(),
        }
    }

    /// See [`Root::offer`].
    pub(super) fn offer(&mut self, found: Option<Found>) {
        if let Self::Files(root) = self {
            root.offer(found);
        }
    }
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
    pub(super) sure: bool,
    pub(super) ending: bool,
    started_ns: u64,
    date: Date,
    out: Out,
    path: Vec<u8>,
}

impl Service {
    /// Answers are sent from frames of this pool.
    pub(super) fn new(site: Site, limits: Limits, pool: Arc<FramePool>, queue: &Queue) -> Self {
        let now_ns = nanoseconds(queue, Clock::Monotonic);
        Self {
            site,
            limits,
            counters: Counters::default(),
            now_ns,
            epoch: 0,
            sure: false,
            ending: false,
            started_ns: now_ns,
            date: Date::at(nanoseconds(queue, Clock::Wall) / NS_PER_S),
            out: Out::new(pool),
            path: Vec::new(),
        }
    }

    /// The point in time of a look at the content.
    pub(super) fn seen(&self) -> Seen {
        Seen { epoch: self.epoch, unix_s: self.date.unix_s(), sure: self.sure }
    }

    /// Begins a batch: reads the clocks, and what the queue counted.
    pub(super) fn begin_batch(&mut self, queue: &Queue) {
        self.epoch += 1;
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
            sure: self.sure,
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
