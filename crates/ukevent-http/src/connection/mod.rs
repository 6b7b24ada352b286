//! One connection, from its first request to its end, to be read from top to bottom: [`serve`].
//!
//! Requests are answered in order, as many as have arrived at a time, into one buffer, and that is sent
//! before the next one is looked at. So a peer that does not read cannot make the server remember more
//! than one batch of answers; what it sends meanwhile is kept by the receiver, up to its bound, and then by
//! the kernel. At rest a connection holds no buffer at all.
//!
//! Where answers rely on reports of changes ([`Root`](crate::files::Root)), there is a look at the queue
//! between a request and its answer: what was reported before the request came is known then, whichever of
//! the two was seen first. (It is spared where the look that brought the request is known to have brought all
//! reports before it.) So no answer is older than its request, and a file that many ask for is not
//! looked at for each of them.
//!
//! The last answer must not be lost: closing a socket with unread input makes the kernel send a reset, and
//! a reset may throw away at the peer what it has not read yet. A connection that the server ends therefore
//! first closes its sending side and reads on for a while (RFC 9112, 9.6).
//!
//! Where threads share a queue, a connection at rest leaves its thread (`leaving`): its coroutine ends, and another one
//! takes it up when something comes.
//!
//! What is rare (a body, a large file, events, the end) is a future in a box, because most connections rest.

mod answering;
mod leaving;
mod live;
mod sending;
pub(crate) mod tls;
pub(crate) mod wire;

pub(crate) use answering::Turn;
pub(crate) use leaving::{Resting, resume};

use crate::{
    body::{Body, Progress},
    entity::Content,
    exchange::Tail,
    journal::Journal,
    limits::LINGER_BYTES,
    pace::Pace,
    race::at_once,
    request::Expect,
    response,
    shared::{Shared, nanoseconds, now_ns},
    status::Status,
};
use std::{io, net::IpAddr, rc::Rc, time::Duration};
use ukevent_buf::Buffer;
use ukevent_task::{
    look,
    time::{Deadline, now},
    yield_now,
};
use wire::{Probe, Wire};

/// A connection at work.
struct Connection<W, C> {
    wire: W,
    shared: Rc<Shared<C>>,
    deadline: Deadline,
    /// What was received and not answered.
    input: Buffer,
    /// So many bytes of it were looked at, and are the beginning of a head.
    looked_at: usize,
    phase: Phase,
    /// Whether all is known that was reported before the input came.
    sure: bool,
    /// Whether something was sent since the input came.
    has_answered: bool,
    /// When the last of the input came, and how many answers to it have not left.
    received: Duration,
    due: u32,
    /// Answers that are to be sent, and what follows them.
    answers: Buffer,
    tail: Option<Box<Tail>>,
    /// Whether the answer that is leaving is the last, and who wants it so.
    last: Option<EndedBy>,
    /// If there is an access log.
    journal: Option<Box<Journal>>,
    /// Until when it may be between two requests.
    rest_ends_ns: u64,
    /// How fast the head or body must come that is being received, if there is a least rate.
    hurry: Option<Box<Hurry>>,
}

/// What has begun to come must go on.
struct Hurry {
    pace: Pace,
    /// When all of it must be there, however fast it comes.
    end_ns: u64,
}

/// Where in a request it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Rest,
    /// In a head.
    Head,
    /// In a body.
    Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndedBy {
    Client,
    Server,
    /// It goes on elsewhere.
    Nobody,
}

/// What is to be done when all has been answered that could be.
enum Next {
    /// More must come.
    Receive,
    /// What was answered is to leave first.
    Send,
    /// Something else is to be waited for.
    Wait(Box<Wait>),
}

enum Wait {
    /// The rest of a request's body must come.
    Body(Pending),
    /// What a request names is being looked for by somebody else, under this number.
    Content(Vec<u8>, u64),
}

/// A request whose body is on its way.
struct Pending {
    head: Vec<u8>,
    body: Body,
    /// The client wants to be told that it may send it.
    expects: bool,
}

/// There is nothing more to be said to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// Who wants to know whether something was asked that is not answered yet.
pub(crate) trait Seat {
    fn is_busy(&self, busy: bool);

    /// Whether another request is answered: so many in a time and no more.
    fn may_ask(&self) -> bool {
        true
    }

    /// Whether the connection may leave its thread while it rests.
    fn may_leave(&self) -> bool {
        false
    }

    /// It does: somebody else serves it on.
    fn leave(self, resting: Resting)
    where
        Self: Sized,
    {
        drop(resting);
    }
}

impl<F: Fn(bool)> Seat for F {
    fn is_busy(&self, busy: bool) {
        self(busy);
    }
}

/// Serves a connection that was accepted, to its end or until it is served elsewhere, and leaves its seat.
pub(crate) fn serve<W: Wire, C: Content, S: Seat>(
    wire: W,
    shared: Rc<Shared<C>>,
    seat: S,
) -> impl Future<Output = ()> {
    run(Connection::new(wire, shared), seat)
}

#[expect(clippy::manual_async_fn, reason = "what is handed to an async function is in it twice")]
fn run<W: Wire, C: Content, S: Seat>(
    mut connection: Result<Connection<W, C>, Gone>,
    seat: S,
) -> impl Future<Output = ()> {
    async move {
        // Borrowed, and for the one wait only: what is moved in a future has its place in it twice, and what
        // is kept over a wait has one.
        let ended = match &mut connection {
            Ok(connection) => connection.requests(&seat).await,
            Err(Gone) => return,
        };
        if let (Ok(EndedBy::Server), Ok(connection)) = (ended, &mut connection) {
            Box::pin(connection.linger()).await;
        }
        if let (Ok(EndedBy::Nobody), Ok(connection)) = (ended, connection)
            && let Some(resting) = connection.into_resting()
        {
            seat.leave(resting);
        }
    }
}

/// Tells a connection that it is one too many, and leaves its seat.
pub(crate) async fn refuse<W: Wire, C: Content>(wire: W, shared: Rc<Shared<C>>, seat: impl Seat) {
    let Ok(mut connection) = Connection::new(wire, shared) else { return };
    seat.is_busy(true);
    if !matches!(connection.deadline.guard(connection.wire.begin()).await, Ok(Ok(()))) {
        return;
    }
    connection.refuse(Status::ServiceUnavailable, b"");
    if connection.flush().await.is_ok() {
        connection.linger().await;
    }
}

impl<W: Wire, C: Content> Connection<W, C> {
    /// Its first request is due within [`Limits::head`](crate::Limits::head).
    fn new(wire: W, shared: Rc<Shared<C>>) -> Result<Self, Gone> {
        let nobody = IpAddr::from([0, 0, 0, 0]);
        let journal = shared
            .log
            .as_ref()
            .map(|_| Box::new(Journal::new(wire.probe().peer().unwrap_or(nobody))));
        let head = shared.limits.head;
        Self::with(wire, shared, head, journal)
    }

    /// Something must come within so long.
    fn with(
        wire: W,
        shared: Rc<Shared<C>>,
        time: Duration,
        journal: Option<Box<Journal>>,
    ) -> Result<Self, Gone> {
        // Without room for a timer there is no serving.
        let deadline = Deadline::after(time).map_err(|_| Gone)?;
        Ok(Self {
            wire,
            shared,
            deadline,
            input: Buffer::default(),
            looked_at: 0,
            phase: Phase::Rest,
            sure: false,
            has_answered: false,
            received: Duration::ZERO,
            due: 0,
            answers: Buffer::default(),
            tail: None,
            last: None,
            journal,
            rest_ends_ns: now_ns().saturating_add(nanoseconds(time)),
            hurry: None,
        })
    }

    /// Answers requests until one of both sides wants no more; says which.
    async fn requests(&mut self, seat: &impl Seat) -> Result<EndedBy, Gone> {
        loop {
            let next = self.answer(seat);
            if let Some(&Tail::Live(framing)) = self.tail.as_deref() {
                return Box::pin(self.live(framing, seat)).await;
            }
            let has_answered_all = match next {
                Next::Receive => true,
                Next::Send => false,
                Next::Wait(wait) => {
                    Box::pin(self.wait(*wait)).await?;
                    continue;
                }
            };
            self.flush().await?;
            if !has_answered_all {
                continue;
            }
            if let Some(ended_by) = self.last {
                return Ok(self.ended_by(ended_by).await);
            }
            let rests = self.phase == Phase::Rest;
            if rests && self.has_answered && self.shared.is_ending() {
                // What was sent said that the connection stays; it was not known then that the server ends.
                let Some(received) = self.arrived().await else { return Ok(EndedBy::Server) };
                self.take_in(received?)?;
            } else {
                seat.is_busy(!self.input.is_empty());
                let may_leave = self.may_leave(seat);
                let came = self.receive().await?;
                if may_leave && !came {
                    if Box::pin(self.is_ready_to_leave(seat)).await? {
                        return Ok(EndedBy::Nobody);
                    }
                    continue;
                }
                seat.is_busy(true);
                if !came {
                    self.late(b"")?;
                }
            }
            self.be_sure().await;
        }
    }

    async fn wait(&mut self, wait: Wait) -> Result<(), Gone> {
        match wait {
            Wait::Body(pending) => self.body(pending).await,
            Wait::Content(head, load) => self.content(head, load).await,
        }
    }

    /// Receives what comes next, behind what is there; false, if nothing came in time.
    async fn receive(&mut self) -> Result<bool, Gone> {
        self.keep_input();
        let received = match self.deadline.guard(self.wire.receive()).await {
            Ok(received) => received?,
            // What arrived in time may lie behind the timer.
            Err(_) => match self.arrived().await {
                Some(received) => received?,
                None => return Ok(false),
            },
        };
        self.take_in(received)?;
        Ok(true)
    }

    /// Something begins to come, and must be there after this time at the latest.
    fn expect_within(&mut self, time: Duration) {
        self.deadline.set(time);
        let rate = self.shared.limits.rate();
        if rate.bytes_per_s > 0 {
            let now = now_ns();
            let end_ns = now.saturating_add(nanoseconds(time));
            self.hurry = Some(Box::new(Hurry { pace: Pace::new(rate, now), end_ns }));
            self.hurry_on();
        }
    }

    /// Something has come: bytes buy time.
    fn hurry_on(&mut self) {
        let Some(hurry) = &mut self.hurry else { return };
        if self.phase == Phase::Rest {
            self.hurry = None;
            return;
        }
        let now = now_ns();
        hurry.pace.moved(self.input.len().saturating_sub(self.looked_at) as u64, now);
        let end_ns = hurry.end_ns.min(hurry.pace.deadline_ns());
        self.deadline.set(Duration::from_nanos(end_ns.saturating_sub(now)));
    }

    /// What has arrived by now.
    async fn arrived(&mut self) -> Option<io::Result<Buffer>> {
        look().await;
        at_once(self.wire.receive()).await
    }

    /// Puts this behind the input.
    fn take_in(&mut self, received: Buffer) -> Result<(), Gone> {
        if received.is_empty() {
            return Err(Gone);
        }
        self.input = joined(std::mem::take(&mut self.input), received);
        self.has_answered = false;
        self.received = now();
        self.shared.was_asked();
        self.hurry_on();
        Ok(())
    }

    /// Before an answer: lets everything become known that was reported before its request came. If
    /// anything is reported meanwhile there may be more of it to come, and nothing is relied on.
    async fn be_sure(&mut self) {
        self.sure = self.shared.relies_on_reports();
        if self.sure && !self.shared.knows_all() {
            let reports = self.shared.reports();
            look().await;
            // Something else may have woken this task before the one that takes reports.
            yield_now().await;
            self.sure = self.shared.reports() == reports;
        }
    }

    /// The time to receive something is over. The head is that of the request, if all of it is there.
    fn late(&mut self, head: &[u8]) -> Result<(), Gone> {
        if self.phase == Phase::Rest {
            return Err(Gone);
        }
        self.shared.tally().timed_out.add(1);
        self.refuse(Status::RequestTimeout, head);
        Ok(())
    }

    /// Reads the rest of a body and throws it away, and answers its request.
    async fn body(&mut self, pending: Pending) -> Result<(), Gone> {
        let Pending { head, mut body, expects } = pending;
        if expects {
            self.put(response::CONTINUE);
        }
        self.flush().await?;
        self.phase = Phase::Body;
        self.looked_at = 0;
        self.expect_within(self.shared.limits.body);
        loop {
            if !self.receive().await? {
                return self.late(&head);
            }
            match body.take(&self.input) {
                Progress::More => self.input = Buffer::default(),
                Progress::Refused(status) => {
                    self.refuse(status, &head);
                    return Ok(());
                }
                Progress::Ended(bytes) => {
                    self.took(bytes);
                    self.be_sure().await;
                    self.phase = Phase::Rest;
                    if let Some(load) = self.answer_head(&head, None) {
                        self.content(head, load).await?;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Waits for what a request names, and answers it.
    async fn content(&mut self, head: Vec<u8>, load: u64) -> Result<(), Gone> {
        let mut load = Some(load);
        while let Some(number) = load {
            let found = self.shared.loads.wait(number);
            self.flush().await?;
            self.keep_input();
            let found = found.await;
            load = self.answer_head(&head, Some(found));
        }
        Ok(())
    }

    /// After the last answer has left: who ended the connection. A client that said that there would be
    /// nothing more, and sent more, is to be waited for as if the server had.
    async fn ended_by(&mut self, ended_by: EndedBy) -> EndedBy {
        if ended_by == EndedBy::Client
            && let Some(Ok(more)) = at_once(self.wire.receive()).await
            && !more.is_empty()
        {
            return EndedBy::Server;
        }
        ended_by
    }

    /// Closes the sending side, and reads on until the peer has closed its own.
    async fn linger(&mut self) {
        if self.wire.end().await.is_err() {
            return;
        }
        self.deadline.set(self.shared.limits.linger);
        let mut left = LINGER_BYTES;
        while let Ok(Ok(bytes)) = self.deadline.guard(self.wire.receive()).await
            && !bytes.is_empty()
            && let Some(rest) = left.checked_sub(bytes.len() as u64)
        {
            left = rest;
        }
    }

    /// So many bytes of the input are done with.
    fn took(&mut self, bytes: usize) {
        self.looked_at = 0;
        if bytes == self.input.len() {
            self.input = Buffer::default();
        } else {
            self.input.consume(bytes);
        }
    }

    /// Before a wait: what is left of the input goes to the heap, because what it came in is everybody's.
    fn keep_input(&mut self) {
        if self.input.frame_index().is_some() {
            self.input = Buffer::from(self.input.to_vec());
        }
    }

    fn expects(expect: Expect, rest: &[u8]) -> bool {
        expect != Expect::Nothing && rest.is_empty()
    }
}

/// One behind the other. What has grown beyond a frame grows by half, so that a head which arrives byte by
/// byte is not copied for each.
fn joined(mut before: Buffer, mut after: Buffer) -> Buffer {
    if before.is_empty() {
        return after;
    }
    if before.append(&after).is_ok() {
        return before;
    }
    let needed = before.len() + after.len();
    let mut both = Buffer::with_capacity(needed + needed / 2);
    for part in [&mut before, &mut after] {
        let moved = both.append(part);
        debug_assert!(moved.is_ok(), "room was made");
    }
    both
}

#[cfg(test)]
mod tests;
