//! One connection, from the first request it is to carry to its end, to be read from top to bottom:
//! [`carry`].
//!
//! It asks as many requests at a time as its pipeline is deep, and reads replies in the order of the
//! requests. What is received is looked at where it lies and dropped at once. Times are those of the look at the
//! queue that brought the bytes: what came by one look came at one time, and a request left at the look
//! before it was sent. So no latency is told shorter than it was. Where requests are large, what may wait to leave
//! is full before the pipeline is: then no more are taken until all of it has left.

use super::{
    connect::class_of,
    run::{Flight, Run, now_ns},
    wire::Wire,
    work::Due,
};
use crate::{Class, ReplyReader, plan::Pace};
use std::{
    collections::VecDeque, future::poll_fn, io, pin::pin, rc::Rc, task::Poll, time::Duration,
};
use ukevent_buf::{Buffer, Piece};
use ukevent_task::time::{Deadline, sleep};

/// Pauses after a connection that failed: from the first, doubled each time, to the last.
const PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a server may take to close a connection of which it has said so.
const LAST: Duration = Duration::from_millis(100);

/// Carries requests, over one connection after another, until there are none any more.
pub(super) async fn carry(run: Rc<Run>) {
    let seat = run.work.sit();
    let mut pause = PAUSE;
    while let Some(due) = run.work.wait(seat, now_ns).await {
        // Ended early, it is on its way already.
        run.started();
        match open(&run).await {
            Ok(mut open) => {
                pause = PAUSE;
                open.use_up(seat, due).await;
            }
            Err(class) => {
                run.failed(class, 1);
                if run.is_closed_loop() {
                    // Whoever is refused and asks again at once does nothing else any more.
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Connects.
async fn open(run: &Rc<Run>) -> Result<Open, Class> {
    let began_ns = now_ns();
    run.tried();
    let wire = run.route.connect(run.plan.connect_timeout).await?;
    let deadline = Deadline::after(run.plan.reply_timeout).map_err(|_| Class::NoDescriptor)?;
    run.opened(now_ns().saturating_sub(began_ns));
    Ok(Open {
        run: Rc::clone(run),
        wire,
        deadline,
        reader: ReplyReader::default(),
        flights: VecDeque::new(),
        first_ns: 0,
        began_ns,
    })
}

/// A connection that is there.
struct Open {
    run: Rc<Run>,
    wire: Wire,
    deadline: Deadline,
    reader: ReplyReader,
    /// Requests without a whole reply, oldest first.
    flights: VecDeque<Flight>,
    /// When the first byte of the reply came that is being read.
    first_ns: u64,
    began_ns: u64,
}

/// What a connection has waited for.
enum Woken {
    /// Bytes, or the end.
    Received(io::Result<Buffer>),
    /// What was sent has not left.
    NotSent(io::Error),
    /// The oldest request has no reply in time.
    Overdue,
    /// There may be something to ask.
    Given,
    /// There is room to ask it.
    Sent,
}

impl Open {
    /// Asks for what is due, which is counted already, and for what comes behind it, as long as the connection may be
    /// used.
    async fn use_up(&mut self, seat: usize, first: Due) {
        let depth = self.run.depth();
        let mut next = Some(first);
        let ended = loop {
            if let Err(error) = self.ask(seat, next.take(), depth) {
                break Err(class_of(&error));
            }
            if self.flights.is_empty() && self.run.work.has_ended(seat) {
                break Ok(());
            }
            let read = match self.woken(seat).await {
                Woken::Sent => continue,
                Woken::Given => Ok(true),
                Woken::Overdue => Err(Class::ReplyTimeout),
                Woken::NotSent(error) => Err(class_of(&error)),
                Woken::Received(Err(error)) => self.take_failure(&error),
                Woken::Received(Ok(bytes)) if bytes.is_empty() => self.take_end(),
                Woken::Received(Ok(bytes)) => self.take_in(&bytes),
            };
            match read {
                Ok(true) if self.think(seat).await => {}
                Ok(true) => break Ok(()),
                Ok(false) => {
                    self.see_off().await;
                    break Ok(());
                }
                Err(class) => break Err(class),
            }
        };
        // It failed, and so did all that is on its way.
        if let Err(class) = ended {
            self.run.failed(class, self.flights.len() as u64);
            if class == Class::Garbage && self.flights.is_empty() {
                self.run.heard_unasked();
            }
        }
        self.run.closed(now_ns().saturating_sub(self.began_ns));
    }

    /// Sends as many requests as there is room for: in the pipeline, and among what waits to leave.
    fn ask(&mut self, seat: usize, mut first: Option<Due>, depth: usize) -> io::Result<()> {
        let now_ns = now_ns();
        let run = Rc::clone(&self.run);
        let mut batch: Option<Piece> = None;
        let mut several = Vec::new();
        let mut batch_bytes = 0;
        while self.flights.len() < depth && self.wire.has_room(batch_bytes, run.largest_bytes()) {
            let due = match first.take() {
                Some(due) => due,
                None => {
                    let Some(due) = run.work.next(seat, now_ns) else { break };
                    run.started();
                    due
                }
            };
            let (bytes, asked) = run.draw();
            batch_bytes += bytes.len();
            match &batch {
                None => batch = Some(bytes.clone().into()),
                Some(first) => {
                    if several.is_empty() {
                        several.extend_from_slice(first.bytes());
                    }
                    several.extend_from_slice(bytes);
                }
            }
            self.flights.push_back(Flight { intended_ns: due.intended_ns, left_ns: now_ns, asked });
        }
        if !several.is_empty() {
            batch = Some(several.into());
        }
        if let Some(batch) = batch {
            run.sent(batch.bytes().len());
            // What left before it and has not gone yet goes on by itself.
            self.wire.start(batch)?;
            self.mind_the_oldest();
        }
        Ok(())
    }

    /// The oldest request has its time from when it left, however many there are before it.
    fn mind_the_oldest(&mut self) {
        if let Some(oldest) = self.flights.front() {
            let waited = Duration::from_nanos(now_ns().saturating_sub(oldest.left_ns));
            self.deadline.set(self.run.plan.reply_timeout.saturating_sub(waited));
        }
    }

    /// Waits until something happens to this connection.
    async fn woken(&mut self, seat: usize) -> Woken {
        let was_full = !self.wire.has_room(0, self.run.largest_bytes());
        poll_fn(|cx| {
            if let Poll::Ready(received) = self.wire.poll_receive(cx) {
                return Poll::Ready(Woken::Received(received));
            }
            match self.wire.poll_sent(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Woken::NotSent(error)),
                Poll::Ready(Ok(())) if was_full => return Poll::Ready(Woken::Sent),
                _ => {}
            }
            // One that was answered before it has left has the time of its reply for that.
            if self.flights.is_empty() && !was_full {
                return self.run.work.poll_given(seat, cx.waker()).map(|()| Woken::Given);
            }
            self.deadline.poll_passed(cx).map(|()| Woken::Overdue)
        })
        .await
    }

    /// Takes replies out of what came. Not, if the connection is over by that.
    fn take_in(&mut self, mut bytes: &[u8]) -> Result<bool, Class> {
        while !bytes.is_empty() {
            if self.reader.is_between_replies() {
                self.first_ns = now_ns();
            }
            let oldest = self.flights.front();
            let step = self.reader.feed(bytes, oldest.map(|flight| flight.asked))?;
            bytes = &bytes[step.used..];
            if let (Some(reply), Some(flight)) = (step.reply, oldest) {
                self.run.replied(flight, self.first_ns, &reply);
                self.flights.pop_front();
                self.mind_the_oldest();
                if !(reply.keep_alive && self.run.plan.keep_alive) {
                    return self.last(bytes);
                }
            }
        }
        Ok(true)
    }
}

impl Open {
    /// A reply was the last of its connection. What was asked behind it has none.
    fn last(&mut self, rest: &[u8]) -> Result<bool, Class> {
        match (self.flights.is_empty(), rest.is_empty()) {
            (true, true) => Ok(false),
            (true, false) => Err(Class::Garbage),
            (false, _) => Err(Class::Closed),
        }
    }

    /// The server has ended the connection: by that a reply may be whole.
    fn take_end(&mut self) -> Result<bool, Class> {
        let Some(flight) = self.flights.front() else {
            // Whoever rests may be sent away.
            return Ok(false);
        };
        let reply = self.reader.end()?;
        self.run.replied(flight, self.first_ns, &reply);
        self.flights.pop_front();
        self.last(&[])
    }

    /// Nothing more can be received. Of a connection that TLS does not tell the end of nobody knows whether
    /// more was to come: what would be whole by an end is cut by that.
    fn take_failure(&mut self, error: &io::Error) -> Result<bool, Class> {
        if error.kind() != io::ErrorKind::UnexpectedEof {
            return Err(class_of(error));
        }
        if self.flights.is_empty() {
            return Ok(false);
        }
        self.reader.end().and(Err(Class::Cut))
    }

    /// After the last reply: lets the server close first, as it has said it would. Whoever closes first keeps the
    /// port for a while, and here ports are few.
    async fn see_off(&mut self) {
        if self.run.server_stays() {
            return;
        }
        self.deadline.set(LAST);
        // If it does not, it is closed from here.
        let has_closed = self.deadline.guard(self.wire.until_closed()).await.is_ok();
        self.run.server_closed(has_closed);
    }

    /// Whoever was answered thinks before the next question, unless there is none. Whether the connection is
    /// still there then.
    async fn think(&mut self, seat: usize) -> bool {
        let Pace::Closed { think, .. } = self.run.plan.pace else { return true };
        if think.is_zero() || !self.flights.is_empty() {
            return true;
        }
        let mut thinks = pin!(sleep(think));
        let mut is_there = true;
        poll_fn(|cx| {
            if is_there && let Poll::Ready(received) = self.wire.poll_receive(cx) {
                // The end, or what nobody asked for.
                is_there = false;
                if received.is_ok_and(|bytes| !bytes.is_empty()) {
                    self.run.heard_unasked();
                }
            }
            if self.run.work.poll_given(seat, cx.waker()).is_ready() {
                return Poll::Ready(());
            }
            thinks.as_mut().poll(cx)
        })
        .await;
        is_there
    }
}
