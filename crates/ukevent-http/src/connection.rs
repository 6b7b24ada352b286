//! The state of one connection: bytes in, answers out.
//!
//! No socket and no clock: what arrives is handed in, what leaves is handed to a [`Wire`], which says
//! when it has left, and time is an argument. The caller asks [`Connection::wants`] what to wait for
//! and [`Connection::deadline_ns`] until when.
//!
//! Invariants. Answers leave in the order of their requests. No request is looked at while an answer
//! is on its way, so a peer that does not read cannot make the server remember more than one batch of
//! answers; input that comes meanwhile is held, and no more of it is asked for when it is
//! [`HELD_BYTES`] ([`Connection::takes_input`]). What a connection holds is bounded by that, by what
//! the caller hands in at a time and by the limit of a head; at rest it holds no buffer at all.
//!
//! The last answer must not be lost: closing a socket with unread input makes the kernel send a
//! reset, and a reset may throw away at the peer what it has not read yet. A connection that the
//! server ends therefore first closes its sending side and reads on for a while (RFC 9112, 9.6).

mod sending;

use crate::{
    body::{Body, Progress},
    counters::Counters,
    date::Date,
    entity::{Content, FilePart},
    exchange::{self, Later},
    limits::{FIELDS, GATHER_BYTES, HELD_BYTES, Limits},
    out::Out,
    request::{self, Expect, Parsed, Request},
    response::{self, Persistence},
    status::Status,
};
use std::{mem::MaybeUninit, time::Duration};
use ukevent_buf::Buffer;

/// A head of up to this many bytes is read anew whenever bytes arrive, a longer one only when a
/// line ended: so a head that arrives byte by byte costs no time to speak of.
const EAGER_BYTES: usize = 1024;

/// Where the answers go.
pub(crate) trait Wire {
    /// Lets all of these bytes leave, and behind them so many of a file. [`Connection::sent`] is told
    /// when they have; until then nothing else is sent.
    fn send(&mut self, bytes: Buffer, file: Option<(&FilePart, u64)>);
    /// Closes the sending side.
    fn end(&mut self);
    /// Bytes that the kernel took and that have not reached the peer yet, if that is known.
    fn outstanding(&mut self) -> Option<u32>;
}

/// What a connection is lent while it works.
pub(crate) struct Turn<'a, C> {
    pub(crate) content: &'a mut C,
    pub(crate) limits: &'a Limits,
    pub(crate) counters: &'a mut Counters,
    /// The wall clock.
    pub(crate) date: &'a Date,
    /// A clock that only goes forward.
    pub(crate) now_ns: u64,
    /// See [`Seen`](crate::entity::Seen).
    pub(crate) epoch: u64,
    /// See [`Seen`](crate::entity::Seen).
    pub(crate) sure: bool,
    /// Whether the server is ending: every answer is the last of its connection.
    pub(crate) ending: bool,
    /// Bytes that may be handed over at a time, so that others get their turn, unless the gathered
    /// answers alone are more.
    pub(crate) budget_bytes: u64,
    /// Answers are gathered here. Empty between turns.
    pub(crate) out: &'a mut Out,
    /// Paths are made here.
    pub(crate) path: &'a mut Vec<u8>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Input,
    /// That what was handed over has left: [`Connection::sent`].
    Output,
    /// That what was asked for can be had without blocking: [`Connection::content_ready`].
    Content,
    /// Nothing: it is over. Close it.
    Nothing,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    state: State,
    /// Whether the answer that is leaving is the last, and who wants it so.
    last: Option<EndedBy>,
    /// Whether the peer will send no more.
    peer_ended: bool,
    deadline_ns: u64,
    /// Input that waits: the beginning of a head, or what came behind an answer that is leaving.
    held: Vec<u8>,
    /// Bytes that were handed over and have not left yet.
    leaving: u64,
    /// What follows them. Boxed, because most connections rest.
    file: Option<Box<FilePart>>,
    /// When the peer was last known to take something of them, and what of all that was sent had not
    /// reached it when that was looked at.
    progress_ns: u64,
    outstanding: Option<Outstanding>,
}

/// What a look at the kernel's buffer showed.
type Outstanding = Option<u32>;

#[derive(Debug)]
enum State {
    /// Between requests.
    Idle,
    /// In a head.
    Head,
    /// In the body of a request.
    Body(Box<Pending>),
    /// Before the answer to a request: what it names is being looked for.
    Content(Box<Awaiting>),
    /// After the end: this many more bytes are read and thrown away.
    Lingering(u64),
    Closed,
}

/// A request whose body is on its way.
#[derive(Debug)]
struct Pending {
    head: Vec<u8>,
    body: Body,
}

/// A request whose content is on its way.
#[derive(Debug)]
struct Awaiting {
    head: Vec<u8>,
    /// It has arrived, at a time when something else was leaving.
    is_there: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndedBy {
    Client,
    Server,
}

impl Connection {
    /// A connection that was just accepted. Its first request is due within [`Limits::head`].
    pub(crate) fn new<C>(turn: &Turn<'_, C>) -> Self {
        Self {
            state: State::Idle,
            last: None,
            peer_ended: false,
            deadline_ns: after(turn.now_ns, turn.limits.head),
            held: Vec::new(),
            leaving: 0,
            file: None,
            progress_ns: turn.now_ns,
            outstanding: None,
        }
    }

    /// A connection that is one too many: it is told so, and ends.
    pub(crate) fn refused<C: Content>(wire: &mut impl Wire, turn: &mut Turn<'_, C>) -> Self {
        let mut connection = Self::new(turn);
        connection.refuse(Status::ServiceUnavailable, turn);
        connection.flush(wire, turn);
        connection
    }

    /// What to wait for.
    pub(crate) fn wants(&self) -> Wants {
        match self.state {
            State::Closed => Wants::Nothing,
            _ if self.is_sending() => Wants::Output,
            State::Content(_) => Wants::Content,
            _ => Wants::Input,
        }
    }

    /// Whether input may be handed in that has not come yet. What has, may always.
    pub(crate) fn takes_input(&self) -> bool {
        match self.wants() {
            Wants::Input => true,
            Wants::Output | Wants::Content => self.held.len() < HELD_BYTES,
            Wants::Nothing => false,
        }
    }

    /// When [`Connection::expire`] is due.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// Whether nothing was asked that is not answered yet.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle | State::Closed) && !self.is_sending()
    }

    /// Bytes of memory that are held beside the connection itself.
    pub(crate) fn held_bytes(&self) -> usize {
        let pending = match &self.state {
            State::Body(pending) => size_of::<Pending>() + pending.head.capacity(),
            State::Content(awaiting) => size_of::<Awaiting>() + awaiting.head.capacity(),
            _ => 0,
        };
        self.held.capacity() + pending
    }

    /// Takes what arrived.
    pub(crate) fn receive<C: Content>(
        &mut self,
        input: &[u8],
        wire: &mut impl Wire,
        turn: &mut Turn<'_, C>,
    ) {
        let is_sending = self.is_sending();
        match &mut self.state {
            State::Closed => {}
            State::Lingering(left) => match left.checked_sub(input.len() as u64) {
                Some(rest) => *left = rest,
                None => self.state = State::Closed,
            },
            State::Content(_) => self.hold(input),
            _ if is_sending => self.hold(input),
            State::Body(_) | State::Idle | State::Head => {
                self.read_on(input, turn);
                self.flush(wire, turn);
            }
        }
    }

    /// The peer will send no more.
    pub(crate) fn end_of_input<C: Content>(
        &mut self,
        wire: &mut impl Wire,
        turn: &mut Turn<'_, C>,
    ) {
        self.peer_ended = true;
        self.flush(wire, turn);
    }

    /// What was asked for can be had.
    pub(crate) fn content_ready<C: Content>(
        &mut self,
        wire: &mut impl Wire,
        turn: &mut Turn<'_, C>,
    ) {
        let is_sending = self.is_sending();
        let State::Content(awaiting) = &mut self.state else { return };
        if is_sending {
            awaiting.is_there = true;
            return;
        }
        self.resume(turn);
        self.flush(wire, turn);
    }

    /// The deadline has passed.
    pub(crate) fn expire<C: Content>(&mut self, wire: &mut impl Wire, turn: &mut Turn<'_, C>) {
        match self.state {
            _ if self.is_sending() => self.look_for_progress(wire, turn),
            // The delay is the server's own.
            State::Content(_) => self.deadline_ns = after(turn.now_ns, turn.limits.stall),
            State::Head | State::Body(_) => {
                turn.counters.timed_out += 1;
                self.refuse(Status::RequestTimeout, turn);
                self.flush(wire, turn);
            }
            _ => self.close(),
        }
    }

    /// Ends without another word.
    pub(crate) fn close(&mut self) {
        self.state = State::Closed;
        self.file = None;
        self.held = Vec::new();
        self.leaving = 0;
    }

    fn is_sending(&self) -> bool {
        self.leaving > 0 || self.file.is_some()
    }

    /// Keeps input until the answer before it has left.
    fn hold(&mut self, input: &[u8]) {
        match self.last {
            None => self.held.extend_from_slice(input),
            Some(_) if !input.is_empty() => self.last = Some(EndedBy::Server),
            Some(_) => {}
        }
    }

    /// Whether the next request may be looked at.
    fn may_answer<C>(&self, turn: &Turn<'_, C>) -> bool {
        matches!(self.state, State::Idle | State::Head)
            && self.last.is_none()
            && !self.is_sending()
            && turn.out.len() < GATHER_BYTES
    }

    /// Reads `input` behind what is held.
    fn read_on<C: Content>(&mut self, input: &[u8], turn: &mut Turn<'_, C>) {
        if let State::Body(_) = self.state {
            let rest = self.body(input, turn);
            self.requests(rest, 0, turn);
        } else if self.held.is_empty() {
            self.requests(input, 0, turn);
        } else {
            let seen = self.held.len();
            self.held.extend_from_slice(input);
            let held = std::mem::take(&mut self.held);
            self.requests(&held, seen, turn);
        }
    }

    /// Reads what was held, from its beginning.
    fn read_held<C: Content>(&mut self, turn: &mut Turn<'_, C>) {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.read_on(&held, turn);
        }
    }

    /// Answers the requests that `input` begins with, and holds the rest. The first `seen` bytes
    /// were looked at before.
    fn requests<C: Content>(&mut self, input: &[u8], seen: usize, turn: &mut Turn<'_, C>) {
        let mut rest = input;
        while self.may_answer(turn) {
            rest = &rest[request::empty_lines(rest)..];
            let untouched = rest.len() == input.len();
            if rest.is_empty() || (untouched && is_same_line(rest, seen, turn.limits)) {
                break;
            }
            let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
            match request::parse(rest, &mut fields, turn.limits) {
                Parsed::Request(request) => rest = self.request(&request, rest, turn),
                Parsed::Refuse(status) => self.refuse(status, turn),
                Parsed::NeedMore => {
                    if matches!(self.state, State::Idle) {
                        self.state = State::Head;
                        self.deadline_ns = after(turn.now_ns, turn.limits.head);
                    }
                    break;
                }
            }
        }
        match self.last {
            None => self.held = rest.to_vec(),
            // The client said that there would be nothing more, and there is.
            Some(_) if !rest.is_empty() => self.last = Some(EndedBy::Server),
            Some(_) => {}
        }
    }

    /// Answers one request, or holds it until its body is in. Returns what follows it.
    fn request<'i, C: Content>(
        &mut self,
        request: &Request<'_, '_>,
        input: &'i [u8],
        turn: &mut Turn<'_, C>,
    ) -> &'i [u8] {
        let (head, rest) = input.split_at(request.head_bytes);
        let mut body = match Body::new(request.framing, turn.limits.body_bytes) {
            Ok(Some(body)) => body,
            Ok(None) => {
                self.answer(request, head, turn);
                return rest;
            }
            Err(status) => {
                self.refuse(status, turn);
                return rest;
            }
        };
        match body.take(rest) {
            Progress::Ended(bytes) => {
                self.answer(request, head, turn);
                &rest[bytes..]
            }
            Progress::Refused(status) => {
                self.refuse(status, turn);
                rest
            }
            Progress::More => {
                if request.expect != Expect::Nothing && rest.is_empty() {
                    // The client waits before it sends the body. If the head alone is refused, the
                    // body may or may not follow: only closing is unambiguous (RFC 9110, 10.1.1).
                    if exchange::objection(request).is_some() {
                        self.last = Some(EndedBy::Server);
                        self.answer(request, head, turn);
                        return rest;
                    }
                    turn.out.put(response::CONTINUE);
                }
                self.state = State::Body(Box::new(Pending { head: head.to_vec(), body }));
                self.deadline_ns = after(turn.now_ns, turn.limits.body);
                &[]
            }
        }
    }

    /// Takes more of a body. When it is whole, answers its request and returns what follows.
    fn body<'i, C: Content>(&mut self, input: &'i [u8], turn: &mut Turn<'_, C>) -> &'i [u8] {
        let State::Body(pending) = &mut self.state else { return input };
        match pending.body.take(input) {
            Progress::More => &[],
            Progress::Refused(status) => {
                self.refuse(status, turn);
                input
            }
            Progress::Ended(bytes) => {
                let head = std::mem::take(&mut pending.head);
                self.state = State::Idle;
                turn.counters.requests += 1;
                self.answer_head(head, turn);
                &input[bytes..]
            }
        }
    }

    fn answer<C: Content>(
        &mut self,
        request: &Request<'_, '_>,
        head: &[u8],
        turn: &mut Turn<'_, C>,
    ) {
        turn.counters.requests += 1;
        if let Err(Later) = self.try_answer(request, turn) {
            self.await_content(head.to_vec(), turn);
        }
    }

    /// Answers a request whose head was read before.
    fn answer_head<C: Content>(&mut self, head: Vec<u8>, turn: &mut Turn<'_, C>) {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        match request::parse(&head, &mut fields, turn.limits) {
            Parsed::Request(request) => {
                if let Err(Later) = self.try_answer(&request, turn) {
                    self.await_content(head, turn);
                }
            }
            Parsed::NeedMore | Parsed::Refuse(_) => {
                debug_assert!(false, "this head was read before");
                self.refuse(Status::BadRequest, turn);
            }
        }
    }

    fn try_answer<C: Content>(
        &mut self,
        request: &Request<'_, '_>,
        turn: &mut Turn<'_, C>,
    ) -> Result<(), Later> {
        if turn.ending {
            self.last = Some(EndedBy::Server);
        } else if !request.keep_alive && self.last.is_none() {
            self.last = Some(EndedBy::Client);
        }
        let persistence = match self.last {
            Some(_) => Persistence::Close,
            None if request.is_1_0 => Persistence::SayStay,
            None => Persistence::Stay,
        };
        self.state = State::Idle;
        self.file = exchange::answer(request, persistence, turn)?.map(Box::new);
        Ok(())
    }

    fn await_content<C>(&mut self, head: Vec<u8>, turn: &Turn<'_, C>) {
        self.state = State::Content(Box::new(Awaiting { head, is_there: false }));
        self.deadline_ns = after(turn.now_ns, turn.limits.stall);
    }

    /// Answers the request whose content was waited for, and those behind it.
    fn resume<C: Content>(&mut self, turn: &mut Turn<'_, C>) {
        if let State::Content(awaiting) = std::mem::replace(&mut self.state, State::Idle) {
            self.answer_head(awaiting.head, turn);
            self.read_held(turn);
        }
    }

    /// Answers what cannot be answered otherwise, and ends. What was read is forgotten.
    fn refuse<C: Content>(&mut self, status: Status, turn: &mut Turn<'_, C>) {
        exchange::refuse(status, turn);
        self.state = State::Idle;
        self.last = Some(EndedBy::Server);
        self.held = Vec::new();
    }
}

fn after(now_ns: u64, wait: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
}

/// Whether a long head only got more of the line that it ended in when its first `seen` bytes were
/// looked at, and reached no limit: nothing new can be said about it.
fn is_same_line(head: &[u8], seen: usize, limits: &Limits) -> bool {
    seen >= EAGER_BYTES
        && head.len() < limits.head_bytes
        && !(seen < limits.line_bytes && head.len() >= limits.line_bytes)
        && !head[seen..].contains(&b'\n')
}

#[cfg(test)]
mod tests;
