//! What all connections of a server share: the content, the clocks, the buffers, the counts.

use crate::{
    bell::Bell,
    connection::Turn,
    counters::{Counters, Counts, Tally},
    date::Date,
    entity::Seen,
    journal::Log,
    limits::Limits,
    loads::Loads,
    metrics::{Ring, Snapshot},
    out::Out,
    pulse::{Beat, Pulse},
    whole::Whole,
};
use std::{
    cell::{Cell, OnceCell, RefCell, RefMut},
    sync::Arc,
    time::Duration,
};
use ukevent_task::{
    Untaken, caught_up, queue_counters,
    time::{now, wall},
};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared<C> {
    service: RefCell<Service<C>>,
    counts: Counts,
    pub(crate) limits: Limits,
    pub(crate) loads: Loads,
    pub(crate) log: Option<Log>,
    relies_on_reports: Cell<bool>,
    /// How many reports of changes were taken.
    reports: Cell<u64>,
    /// After which look the last of them were.
    reported_after: Cell<Option<u64>>,
    /// Whether there are more.
    untaken: OnceCell<Untaken>,
    /// Rung when the content wants to be tended to.
    pub(crate) tend: Bell,
    ending: Cell<bool>,
    /// How often something was asked.
    asked: Cell<u64>,
}

/// What a connection borrows while it answers.
#[derive(Debug)]
pub(crate) struct Service<C> {
    pub(crate) content: C,
    pulse: Pulse,
    now: Duration,
    epoch: u64,
    started: Duration,
    date: Date,
    out: Out,
    path: Vec<u8>,
}

impl<C> Shared<C> {
    /// Of a server of one thread.
    pub(crate) fn new(content: C, limits: Limits, out: Out) -> Self {
        let whole = Arc::new(Whole::new(1, &limits));
        Self::of_thread(content, limits, out, Counts::new(whole, 0))
    }

    /// Of one of its threads.
    pub(crate) fn of_thread(content: C, limits: Limits, out: Out, counts: Counts) -> Self {
        let service = Service {
            content,
            pulse: Pulse::default(),
            now: Duration::ZERO,
            epoch: 0,
            started: counts.whole().started(now()),
            date: Date::at(unix_s()),
            out,
            path: Vec::new(),
        };
        Self {
            service: RefCell::new(service),
            counts,
            limits,
            loads: Loads::default(),
            log: None,
            relies_on_reports: Cell::new(false),
            reports: Cell::new(0),
            reported_after: Cell::new(None),
            untaken: OnceCell::new(),
            tend: Bell::default(),
            ending: Cell::new(false),
            asked: Cell::new(0),
        }
    }

    /// The same with an access log.
    pub(crate) fn logging(mut self, log: Option<Log>) -> Self {
        self.log = log;
        self
    }

    /// Lends the service, with clocks that were read since the last look at the queue. Not to be kept
    /// across a wait.
    pub(crate) fn begin(&self) -> RefMut<'_, Service<C>> {
        let mut service = self.service.borrow_mut();
        let now = now();
        if service.now != now {
            service.now = now;
            service.epoch += 1;
            service.date.set(unix_s());
            let (counted, tally) = (queue_counters(), self.counts.own());
            tally.events.set(counted.events);
            tally.batches.set(counted.waits);
            tally.largest_batch.set(counted.batch_max);
            tally.uptime_s.set(now.saturating_sub(service.started).as_secs());
        }
        service
    }

    pub(crate) fn set_open(&self, open: usize) {
        self.counts.own().open.set(open as u64);
    }

    /// Where this thread counts.
    pub(crate) fn tally(&self) -> &Tally {
        self.counts.own()
    }

    /// What all threads have in common.
    pub(crate) fn whole(&self) -> &Whole {
        self.counts.whole()
    }

    /// What all threads have counted so far.
    pub(crate) fn counters(&self) -> Counters {
        drop(self.begin());
        self.counts.all()
    }

    /// The same, and how long the answers took.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let counters = self.counters();
        let (latency, threads) = (self.counts.latency(), self.counts.by_thread());
        let ring = self.whole().shared_queue.get().map(|queue| Ring::of(&queue.counters()));
        Snapshot { counters, latency, threads, ring }
    }

    /// What is to be told by now to those who watch.
    pub(crate) fn beat(&self) -> Beat {
        let service = &mut *self.begin();
        let uptime = service.now.saturating_sub(service.started);
        service.pulse.beat(uptime, &self.counts)
    }

    /// Whether what is kept is relied on as long as nothing is reported of it.
    pub(crate) fn relies_on_reports(&self) -> bool {
        self.relies_on_reports.get()
    }

    pub(crate) fn rely_on_reports(&self, relies: bool) {
        self.relies_on_reports.set(relies);
    }

    /// How many reports of changes were taken.
    pub(crate) fn reports(&self) -> u64 {
        self.reports.get()
    }

    pub(crate) fn took_report(&self) {
        self.reports.set(self.reports.get() + 1);
        self.reported_after.set(caught_up());
    }

    /// Where reports come.
    pub(crate) fn reports_come(&self, untaken: Untaken) {
        // There is one who takes them.
        let _ = self.untaken.set(untaken);
    }

    /// Whether everything was reported, and taken, that had happened before anything was received: else
    /// there must be another look before it is relied on.
    pub(crate) fn knows_all(&self) -> bool {
        let look = caught_up();
        look.is_some()
            && self.reported_after.get() != look
            && self.untaken.get().is_some_and(|untaken| !untaken.any())
    }

    /// Whether the server is ending.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// From now on every answer is the last of its connection.
    pub(crate) fn end(&self) {
        self.ending.set(true);
    }

    /// How often something was received.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.get()
    }

    pub(crate) fn was_asked(&self) {
        self.asked.set(self.asked.get() + 1);
    }
}

impl<C> Service<C> {
    /// The point in time of a look at the content.
    pub(crate) fn seen(&self, sure: bool) -> Seen {
        Seen { epoch: self.epoch, unix_s: self.date.unix_s(), sure }
    }

    pub(crate) fn turn<'a>(&'a mut self, shared: &'a Shared<C>, sure: bool) -> Turn<'a, C> {
        Turn {
            content: &mut self.content,
            limits: &shared.limits,
            counts: &shared.counts,
            date: &self.date,
            epoch: self.epoch,
            sure,
            ending: shared.is_ending(),
            secured: false,
            out: &mut self.out,
            path: &mut self.path,
        }
    }
}

/// The monotonic time, in nanoseconds, as the pure parts count it.
pub(crate) fn now_ns() -> u64 {
    nanoseconds(now())
}

/// As many as fit.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds after 1970, as the queue's wall clock has it.
fn unix_s() -> u64 {
    wall().as_secs()
}
