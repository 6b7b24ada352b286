//! Operations in the queue: how they start, go on, and end.
//!
//! An operation has a slot of its own, named by its key, and the registration that owns its descriptor
//! keeps a list of those that name it ([`Peer`]). It is tried when the wait begins, or when the backend
//! says that its descriptor is ready; what it came to is an event like all others. Sends of one
//! descriptor take turns: the first in the line is tried, the rest wait for it.
//!
//! Told in some files: here the start and the end that somebody asks for, `refusals` (what cannot be
//! started), `progress` (trying), `elsewhere` (what the kernel or a thread carries out), `ending` (the
//! event, and the next turn); and what is peculiar to some: `zero` (sends without a copy) and `cold` (files
//! that are not in memory).

mod cold;
mod elsewhere;
mod ending;
mod line;
mod progress;
mod refusals;
mod zero;

use super::Queue;
use crate::backend::Ticket;
use crate::by_slot::BySlot;
use crate::error::NoSuchKey;
use crate::event::Errno;
use crate::key::{Key, Token};
use crate::mode::Mode;
use crate::operation::{
    Completed, Files, Inlet, Operation, Request, StartError, StartRefusal, Work,
};
use crate::post::Mailbox;
use crate::primitive::Arc;
use crate::slot::Flags;
use crate::source::{Own, Owner, State};
use line::Line;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::task::{Wake, Waker};
use ukevent_sys::Error;
use ukevent_sys::clock::Clock;

const ECANCELED: i32 = 125;
const ETIMEDOUT: i32 = 110;

/// How many of those in line for a buffer are tried in a wait.
const IN_TURN: usize = 256;

/// What the operations of a queue have in common.
pub(super) struct Operations {
    /// By the slot of the registration that owns the descriptor.
    peers: BySlot<Peer>,
    /// How many there are.
    live: usize,
    /// Boxes to be used again.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    spare: Vec<Box<Work>>,
    /// They wait for a buffer of their pool.
    starved: Vec<Key>,
    /// A buffer may be there for them: they are tried in turn, [`IN_TURN`] at a time; who is tried in vain waits behind
    /// the others.
    line: VecDeque<Key>,
    files: Option<Files>,
    copied: zero::Copied,
    passed: cold::Passed,
    /// How often one was tried: a system call each, as a rule.
    pub(super) tries: u64,
}

/// The operations of one descriptor.
#[derive(Default)]
struct Peer {
    /// All of them: as a rule what receives, and what is sent.
    all: SmallVec<[Key; 2]>,
    /// Those that take turns, in order.
    line: Line,
    /// Bytes of the program's memory in the line.
    outgoing_bytes: usize,
    /// It was made non-blocking.
    never_blocks: bool,
}

/// Tells the queue that a pool has a buffer again.
struct Room(Arc<Mailbox>);

impl Wake for Room {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.attend();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        self.0.attend();
    }
}

impl Operations {
    /// Whether there is none.
    pub(super) const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Whether a descriptor may be known here.
    pub(super) const fn were_used(&self) -> bool {
        !self.peers.was_never_used()
    }

    pub(super) fn new() -> Self {
        Self {
            peers: BySlot::new(),
            live: 0,
            spare: Vec::new(),
            starved: Vec::new(),
            line: VecDeque::new(),
            files: None,
            copied: zero::Copied::default(),
            passed: cold::Passed::default(),
            tries: 0,
        }
    }

    #[inline]
    fn peer(&mut self, on: Key) -> Option<&mut Peer> {
        self.peers.find_mut(on.index)
    }

    #[inline]
    fn peer_or_new(&mut self, on: Key) -> &mut Peer {
        if self.peers.find(on.index).is_none() {
            return self.peers.insert(on.index, Peer::default());
        }
        self.peers.find_mut(on.index).expect("it was found")
    }
}

impl Queue {
    /// Starts an operation: its event carries `token`. Returns the key of the operation, which lives
    /// until its (last) event is taken.
    ///
    /// Nothing is done before the next wait, unless something that was started since the last one is
    /// cancelled or removed: a ring may then submit all that was. Makes no system call, but a few to let a socket that accepts,
    /// connects or sends a file no longer block, to know datagrams of a continuous receiver, and whether
    /// what is written to is a file.
    ///
    /// # Errors
    /// [`StartError`], which gives the operation back.
    #[doc(alias = "io_uring_prep")]
    pub fn start(&mut self, operation: Operation, token: Token) -> Result<Key, StartError> {
        let mut operation = operation;
        self.know_better(operation.on, &mut operation.request);
        if let Some(reason) = self.refusal(&operation) {
            return Err(StartError { operation, reason });
        }
        let Operation { on, request, limit } = operation;
        let Some(key) = self.slots.vacant() else {
            let operation = Operation { on, request, limit };
            return Err(StartError { operation, reason: StartRefusal::Limit(self.slots.limit()) });
        };
        self.operations.live += 1;
        let mut work = Work::new(on, &request, self.operations.spare.pop());
        let mut has_turn = true;
        if on != Key::NONE {
            let peer = self.operations.peer_or_new(on);
            work.place = peer.all.len() as u32;
            peer.all.push(key);
            peer.outgoing_bytes += work.outgoing_bytes;
            if request.is_in_order() {
                has_turn = peer.line.is_empty();
                peer.line.push(key);
                work.is_in_line = true;
            }
        }
        self.slots.insert(key, token, Mode::Level, State::Work(work));
        self.begin(key, on, request, has_turn);
        if let Some(limit) = limit
            && self.work(key).is_some_and(|work| !work.ended)
        {
            self.limit(key, limit);
        }
        // Whoever watches the queue is told by its timer; that cannot be refused any more.
        let _: Result<(), Error> = self.changed();
        Ok(key)
    }

    /// Begins it with the next wait, if it has its turn. What is an entry in a ring's memory is written
    /// there at once, which spares a way round; but not before the ring has its thread.
    #[inline]
    fn begin(&mut self, key: Key, on: Key, request: Request, has_turn: bool) {
        let at_once = has_turn
            && self.backend.starts_in_memory()
            && self.owner.is_some()
            && self.nest.is_none();
        let request = if at_once { self.fly(key, on, request) } else { Some(request) };
        let Some(request) = request else { return };
        if let Some(work) = self.work(key) {
            work.request = Some(request);
        }
        if has_turn {
            self.arm_later(key);
        }
    }

    /// Asks the descriptor what its operation must know of it.
    fn know_better(&mut self, on: Key, request: &mut Request) {
        match request {
            Request::Read { is_file, .. } => return *is_file = self.slots.is_file(on),
            Request::Write { in_order, .. } => return *in_order = !self.slots.is_file(on),
            Request::ReceiveEach { .. } => {}
            _ => return,
        }
        let Some(fd) = self.slots.owner(on).and_then(Owner::as_fd) else { return };
        match request {
            Request::ReceiveEach { inlet: inlet @ Inlet::Stream, .. } => {
                use rustix::net::{SocketType, sockopt::socket_type};
                let kind = socket_type(fd).unwrap_or(SocketType::STREAM);
                if kind != SocketType::STREAM && kind != SocketType::SEQPACKET {
                    *inlet = Inlet::Datagrams;
                }
            }
            Request::ReceiveEach { inlet: inlet @ Inlet::Device, .. } => {
                use rustix::fs::{FileType, fstat};
                let kind = fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
                if kind == Ok(FileType::Fifo) {
                    *inlet = Inlet::Pipe;
                }
            }
            _ => {}
        }
    }

    /// Ends an operation early. Its event still comes: with `ECANCELED` and what it was lent, or, if it
    /// was done already, with its result. What had been sent or received by then is lost to the result,
    /// not to the peer.
    ///
    /// # Errors
    /// [`NoSuchKey`], if it has ended, or the key names no operation.
    #[doc(alias = "IORING_OP_ASYNC_CANCEL")]
    pub fn cancel(&mut self, key: Key) -> Result<(), NoSuchKey> {
        self.check_process()?;
        self.end_work(key, ECANCELED)?;
        // Whoever watches the queue is told by its timer.
        let _: Result<(), Error> = self.changed();
        Ok(())
    }

    /// Wakes the queue to look for a buffer: for the pools of [`Operation::receive_each`].
    #[must_use]
    pub fn room_waker(&self) -> Waker {
        std::sync::Arc::new(Room(self.mailbox.clone())).into()
    }

    fn work(&mut self, key: Key) -> Option<&mut Work> {
        match &mut self.slots.find(key)?.state {
            State::Work(work) => Some(work),
            _ => None,
        }
    }

    /// Lets a timer of the queue's own end an operation.
    fn limit(&mut self, key: Key, limit: std::time::Duration) {
        let own = self.watch_own(Own::Limit(key));
        let now_ns = self.backend.now(Clock::Monotonic);
        let deadline_ns = now_ns.saturating_add(crate::error::nanoseconds(limit));
        self.start_limit(own, deadline_ns);
        if let Some(work) = self.work(key) {
            work.limit = own;
        }
    }

    /// The time of an operation is over.
    pub(super) fn time_over(&mut self, own: Key, key: Key) {
        self.slots.remove(own);
        if let Some(work) = self.work(key) {
            work.limit = Key::NONE;
        }
        // It may have ended in the same moment.
        let _ = self.end_work(key, ETIMEDOUT);
    }

    /// Ends an operation with this errno, unless it has its result.
    fn end_work(&mut self, key: Key, errno: i32) -> Result<(), NoSuchKey> {
        let Some(work) = self.work(key) else { return Err(NoSuchKey) };
        if work.ended {
            return Ok(());
        }
        let on = work.on;
        let request = match work.request.take() {
            Some(Request::SendFile(send)) if send.is_warming => {
                self.recall(key);
                Request::SendFile(send)
            }
            Some(request) => request,
            None => {
                // Whoever has it ends it: the kernel soon, a thread when it is done with it.
                let in_flight = work.in_flight;
                work.ended_by.get_or_insert(Errno(errno));
                let (_, slot) = self.slots.at(key.index);
                let ticket = Ticket { index: key.index, serial: slot.ticket };
                if in_flight {
                    self.backend.cancel(ticket.of_operation(), -1, true);
                    return Ok(());
                }
                let files = self.operations.files.as_ref();
                let Some(request) = files.and_then(|files| files.take_back(ticket)) else {
                    return Ok(());
                };
                let (_, slot) = self.slots.at(key.index);
                slot.flags.remove(Flags::ARMED);
                request
            }
        };
        self.disarm(key);
        let torn = request.is_torn();
        let payload = request.into_payload();
        self.complete(key, Completed { result: Err(Errno(errno)), payload }, true);
        if torn {
            self.cut_line(on);
        }
        Ok(())
    }

    /// A send was cut short: what follows it in the line would not be understood, and ends.
    fn cut_line(&mut self, on: Key) {
        let Some(peer) = self.operations.peer(on) else { return };
        for key in peer.line.iter().collect::<Vec<_>>() {
            let request = self.work(key).and_then(|work| work.request.as_ref());
            if request.is_some_and(Request::is_send) {
                // It has neither begun nor ended.
                let _ = self.end_work(key, ECANCELED);
            }
        }
    }

    /// Lets it wait for a buffer of its pool.
    fn starve(&mut self, key: Key) {
        let starved = &mut self.operations.starved;
        if starved.len() > 2 * self.operations.live {
            // Some have ended since, or are there twice.
            starved.sort_unstable();
            starved.dedup();
            starved.retain(|&key| self.slots.live(key).is_some());
        }
        starved.push(key);
    }

    /// Takes what threads have done, and lets those go on that waited for a buffer.
    pub(super) fn attend(&mut self) {
        let done = self.operations.files.as_ref().map(Files::take_done).unwrap_or_default();
        for done in done {
            let ticket = done.ticket;
            let Some((key, slot)) = self.slots.armed(ticket.index, ticket.serial) else {
                self.counters.stale += 1;
                continue;
            };
            slot.flags.remove(Flags::ARMED);
            if let Request::Warm { bytes, .. } = done.request {
                self.warmed(key, bytes);
                continue;
            }
            let State::Work(work) = &slot.state else { continue };
            // Told to end, it was not done in time.
            let result = work.ended_by.map_or(done.result, Err);
            self.done(key, done.request, result, done.payload);
        }
        let starved = std::mem::take(&mut self.operations.starved);
        self.operations.line.extend(starved);
    }

    /// Whether nobody is in line for a buffer.
    pub(in crate::queue) fn nobody_in_line(&self) -> bool {
        self.operations.line.is_empty()
    }

    /// Lets the next in line be tried. Not all: of a thousand who wait for a handful of buffers that came home, a
    /// handful goes on, and the others were looked at in vain.
    pub(in crate::queue) fn call_up(&mut self) {
        let mut count = 0;
        while count < IN_TURN
            && let Some(key) = self.operations.line.pop_front()
        {
            // Whoever has ended since takes nobody's turn.
            if self.slots.live(key).is_some() {
                self.hot.push(key);
                count += 1;
            }
        }
    }
}

/// Whether it blocks however one asks.
const fn is_for_threads(request: &Request) -> bool {
    matches!(
        request,
        Request::Sync { .. }
            | Request::Measure
            | Request::Read { is_file: true, .. }
            | Request::Write { in_order: false, .. }
    )
}
