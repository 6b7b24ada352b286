//! What all connections of a thread share: the requests, the clock, the counts.

use super::{
    Idle, Progress,
    connect::Route,
    tally::{ReplyTimes, Tally},
    work::Work,
};
use crate::{
    Asked, Class, Plan, Reply,
    mix::Refusal,
    plan::{Length, Pace},
    record::Record,
};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use ukevent_buf::{Buffer, Slice};
use ukevent_task::time::now;

/// After so many connections in a row that the server has not closed, it is not waited for any more.
const MOST_LEFT_OPEN: u32 = 8;

/// What all connections of a thread share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) route: Route,
    pub(super) work: Work,
    /// The requests of the mix, as they leave.
    requests: Vec<(Slice, Asked)>,
    /// The largest of those.
    largest_bytes: usize,
    random: RefCell<fastrand::Rng>,
    tally: RefCell<Tally>,
    /// Connections that are open.
    open: Cell<u64>,
    began_ns: Cell<u64>,
    /// When the last reply was whole.
    last_ns: Cell<u64>,
    /// Requests on their way.
    flying: Cell<u64>,
    /// Connections, one after the other, that the server has not closed though it was their turn.
    left_open: Cell<u32>,
    stopped: Stopped,
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) intended_ns: u64,
    pub(super) left_ns: u64,
    pub(super) asked: Asked,
}

impl Run {
    pub(super) fn new(plan: Plan, route: Route, work: Work) -> Result<Self, Refusal> {
        let authority = plan.target.authority();
        let requests = plan.mix.requests().iter().map(|request| {
            let bytes = request.bytes(authority, plan.keep_alive)?;
            Ok((Buffer::from(bytes).freeze(), request.asked()))
        });
        let requests = requests.collect::<Result<Vec<_>, Refusal>>()?;
        Ok(Self {
            largest_bytes: requests.iter().map(|(bytes, _)| bytes.len()).max().unwrap_or(0),
            requests,
            random: RefCell::new(fastrand::Rng::with_seed(
                plan.seed.wrapping_add(u64::from(plan.turn.0).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            )),
            plan,
            route,
            work,
            tally: RefCell::new(Tally::new()),
            open: Cell::new(0),
            began_ns: Cell::new(0),
            last_ns: Cell::new(0),
            left_open: Cell::new(0),
            flying: Cell::new(0),
            stopped: Stopped::default(),
        })
    }

    /// The load begins.
    pub(super) fn begin(&self) {
        self.began_ns.set(now_ns());
        self.last_ns.set(now_ns());
    }

    pub(super) fn began_ns(&self) -> u64 {
        self.began_ns.get()
    }

    /// All that was counted.
    pub(super) fn take_record(&self) -> Record {
        let lasted_ns = self.last_ns.get() - self.began_ns.get();
        let lasted_ns = match (self.stopped.at_ns(), self.plan.length) {
            (Some(at_ns), _) => lasted_ns.max(at_ns.saturating_sub(self.began_ns.get())),
            (None, Length::Time(time)) => lasted_ns.max(nanoseconds(time)),
            (None, Length::Requests(_)) => lasted_ns,
        };
        let mut record = self.tally.replace(Tally::new()).finish(lasted_ns);
        record.duration = Duration::from_nanos(lasted_ns);
        record
    }

    /// How it goes on.
    pub(super) fn progress(&self) -> Progress {
        let at_ns = now_ns() - self.began_ns.get();
        let mut tally = self.tally.borrow_mut();
        tally.turn_to(at_ns);
        let record = &tally.record;
        let last = record.samples.last();
        Progress {
            at: Duration::from_nanos(at_ns),
            replies: record.replies,
            errors: record.errors.total(),
            replies_per_s: last.map_or(0, |last| last.replies),
            p99_ns: last.map_or(0, |last| last.p99_ns),
        }
    }

    /// Whether a connection asks whenever it was answered.
    pub(super) const fn is_closed_loop(&self) -> bool {
        matches!(self.plan.pace, Pace::Closed { .. })
    }

    /// Requests on their way on a connection.
    pub(super) fn depth(&self) -> usize {
        match self.plan.pace {
            Pace::Closed { pipeline, .. } if self.plan.keep_alive => pipeline.max(1) as usize,
            _ => 1,
        }
    }

    /// The next request of the mix.
    pub(super) fn draw(&self) -> (&Slice, Asked) {
        let index = self.plan.mix.draw(&mut self.random.borrow_mut());
        let (bytes, asked) = &self.requests[index];
        (bytes, *asked)
    }

    /// The size of the largest request of the mix.
    pub(super) const fn largest_bytes(&self) -> usize {
        self.largest_bytes
    }

    /// Whether the server lets connections be that are over: whoever waits for it to close them waits in vain, and
    /// asks nothing meanwhile.
    pub(super) fn server_stays(&self) -> bool {
        self.left_open.get() >= MOST_LEFT_OPEN
    }

    /// Whether it has closed one in time.
    pub(super) fn server_closed(&self, has_closed: bool) {
        self.left_open.set(if has_closed { 0 } else { self.left_open.get() + 1 });
    }

    /// A connection is tried.
    pub(super) fn tried(&self) {
        self.tally.borrow_mut().record.connections.tried += 1;
    }

    /// Somebody who is only there has come.
    pub(super) fn idle(&self) -> Idle {
        let connections = &self.tally.borrow().record.connections;
        Idle { there: connections.idle, lost: connections.idle_lost }
    }

    pub(super) fn idler_came(&self) {
        self.tally.borrow_mut().record.connections.idle += 1;
    }

    /// Somebody who is only there was sent away.
    pub(super) fn idler_lost(&self) {
        let connections = &mut self.tally.borrow_mut().record.connections;
        connections.idle -= 1;
        connections.idle_lost += 1;
    }

    /// A connection was there after so long.
    pub(super) fn opened(&self, took_ns: u64) {
        self.open.set(self.open.get() + 1);
        let connections = &mut self.tally.borrow_mut().record.connections;
        connections.opened += 1;
        connections.most = connections.most.max(self.open.get());
        connections.connect.record_ns(took_ns);
    }

    /// A connection is no more, since so long.
    pub(super) fn closed(&self, life_ns: u64) {
        self.open.set(self.open.get() - 1);
        self.tally.borrow_mut().record.connections.life.record_ns(life_ns);
    }

    /// So many bytes of requests were given to the kernel.
    pub(super) fn sent(&self, bytes: usize) {
        self.tally.borrow_mut().record.sent_bytes += bytes as u64;
    }

    /// A request is given out, by so much later than intended.
    pub(super) fn due(&self, late_ns: u64) {
        self.tally.borrow_mut().record.lateness.record_ns(late_ns);
    }

    /// A request is begun: it leaves, or a connection is made for it.
    pub(super) fn started(&self) {
        self.flying.set(self.flying.get() + 1);
        self.tally.borrow_mut().record.requests += 1;
    }

    /// A request has its reply.
    pub(super) fn replied(&self, flight: &Flight, first_ns: u64, reply: &Reply) {
        let now_ns = now_ns();
        self.last_ns.set(now_ns);
        self.flying.set(self.flying.get() - 1);
        let times = ReplyTimes::of(flight, first_ns, now_ns);
        self.tally.borrow_mut().replied(now_ns - self.began_ns.get(), &times, reply);
    }

    /// So many requests will have no reply.
    pub(super) fn failed(&self, class: Class, count: u64) {
        if count > 0 && matches!(self.plan.length, Length::Requests(_)) {
            self.last_ns.set(now_ns());
        }
        self.flying.set(self.flying.get() - count);
        let at_ns = now_ns() - self.began_ns.get();
        let mut tally = self.tally.borrow_mut();
        (0..count).for_each(|_| tally.failed(at_ns, class));
    }
}

impl Run {
    /// A server has said more than it was asked: no request fails by that, but its connection does.
    pub(super) fn heard_unasked(&self) {
        let at_ns = now_ns() - self.began_ns.get();
        self.tally.borrow_mut().failed(at_ns, Class::Garbage);
    }

    /// Requests on their way will have no reply any more, because the load was ended.
    pub(super) fn broken_off(&self) {
        self.failed(Class::Interrupted, self.flying.get());
    }

    /// The load is to end early.
    pub(super) fn stop(&self) {
        self.stopped.stop();
    }

    /// Does this, unless the load is ended early.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if self.stopped.poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// Whether a load was ended early, and who waits for it.
#[derive(Debug, Default)]
struct Stopped {
    at_ns: Cell<Option<u64>>,
    waker: RefCell<Option<Waker>>,
}

impl Stopped {
    const fn at_ns(&self) -> Option<u64> {
        self.at_ns.get()
    }

    fn stop(&self) {
        if self.at_ns.get().is_none() {
            self.at_ns.set(Some(now_ns()));
        }
        let waker = self.waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.at_ns.get().is_some() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// The monotonic time of the last look at the queue.
pub(super) fn now_ns() -> u64 {
    nanoseconds(now())
}

/// As many as fit.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
