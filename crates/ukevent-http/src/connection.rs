//! The state of one connection: bytes in, answers out.
//!
//! No socket and no clock: what arrives is handed in, what leaves goes to a [`Wire`], and time is an
//! argument. The caller asks [`Connection::wants`] what to wait for and [`Connection::deadline_ns`]
//! until when.
//!
//! Invariants. Answers leave in the order of their requests. No request is looked at, and no input
//! asked for, while an answer waits for the wire: a peer that does not read cannot make the server
//! remember more than one batch of answers. What a connection holds is bounded by what the caller
//! hands in at a time, the limit of a head and [`GATHER_BYTES`]; at rest it holds no buffer at all.
//!
//! The last answer must not be lost: closing a socket with unread input makes the kernel send a
//! reset, and a reset may throw away at the peer what it has not read yet. A connection that the
//! server ends therefore first closes its sending side and reads on for a while (RFC 9112, 9.6).

use crate::{
    body::{Body, Progress},
    counters::Counters,
    date::Date,
    entity::{Content, FilePart},
    exchange,
    limits::{FIELDS, GATHER_BYTES, LINGER_BYTES, Limits},
    request::{self, Expect, Parsed, Request},
    response::{self, Persistence},
    status::Status,
};
use std::{mem::MaybeUninit, time::Duration};

/// A head of up to this many bytes is read anew whenever bytes arrive, a longer one only when a
/// line ended: so a head that arrives byte by byte costs no time to speak of.
const EAGER_BYTES: usize = 1024;

/// Where the answers go.
pub(crate) trait Wire {
    /// Sends what it can. `more` says that more follows at once.
    fn send(&mut self, bytes: &[u8], more: bool) -> Sent;
    /// Sends up to `most` bytes of a part of a file.
    fn send_file(&mut self, part: &FilePart, most: u64) -> Sent;
    /// Closes the sending side.
    fn end(&mut self);
    /// Bytes that were taken and have not reached the peer yet, if that is known.
    fn outstanding(&mut self) -> Option<u64>;
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// So many bytes were taken, at least one.
    Bytes(usize),
    /// Nothing fits now.
    Blocked,
    /// Nothing will ever be taken again, or the file ended early.
    Broken,
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
    /// Whether the server is ending: every answer is the last of its connection.
    pub(crate) ending: bool,
    /// Bytes that may be sent before others get their turn.
    pub(crate) budget_bytes: u64,
    /// Answers are gathered here. Empty between turns.
    pub(crate) out: &'a mut Vec<u8>,
    /// Paths are made here.
    pub(crate) path: &'a mut Vec<u8>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Input,
    /// That the wire takes more, or its next turn.
    Output,
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
    /// Input that waits: the beginning of a head, or requests behind an answer that is leaving.
    held: Vec<u8>,
    /// What the wire did not take of the answers, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    /// What follows it.
    file: Option<FilePart>,
    /// Whether the wire, or the budget, was full when it was tried last; and how much of what was
    /// sent had not reached the peer then.
    waits: bool,
    outstanding: Option<u64>,
}

#[derive(Debug)]
enum State {
    /// Between requests.
    Idle,
    /// In a head.
    Head,
    /// In the body of a request.
    Body(Box<Pending>),
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
            unsent: Vec::new(),
            sent: 0,
            file: None,
            waits: false,
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
            _ => Wants::Input,
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
            _ => 0,
        };
        self.held.capacity() + self.unsent.capacity() + pending
    }

    /// Takes what arrived. To be called only while input is wanted.
    pub(crate) fn receive<C: Content>(
        &mut self,
        input: &[u8],
        wire: &mut impl Wire,
        turn: &mut Turn<'_, C>,
    ) {
        match &mut self.state {
            State::Closed => {}
            State::Lingering(left) => match left.checked_sub(input.len() as u64) {
                Some(rest) => *left = rest,
                None => self.state = State::Closed,
            },
            State::Body(_) => {
                let rest = self.body(input, turn);
                self.requests(rest, 0, turn);
                self.flush(wire, turn);
            }
            State::Idle | State::Head => {
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

    /// The wire takes more, or it is this connection's turn again.
    pub(crate) fn proceed<C: Content>(&mut self, wire: &mut impl Wire, turn: &mut Turn<'_, C>) {
        self.flush(wire, turn);
    }

    /// The deadline has passed.
    pub(crate) fn expire<C: Content>(&mut self, wire: &mut impl Wire, turn: &mut Turn<'_, C>) {
        match self.state {
            _ if self.is_sending() => {
                // The kernel's buffer takes more only when a good part of it is empty. A peer that
                // empties it slowly has not stalled.
                let before = std::mem::replace(&mut self.outstanding, wire.outstanding());
                if self.outstanding < before {
                    self.deadline_ns = after(turn.now_ns, turn.limits.stall);
                    return;
                }
                turn.counters.timed_out += 1;
                self.close();
            }
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
        self.unsent = Vec::new();
        self.sent = 0;
    }

    fn is_sending(&self) -> bool {
        self.sent < self.unsent.len() || self.file.is_some()
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
        if self.held.is_empty() {
            self.requests(input, 0, turn);
        } else {
            let seen = self.held.len();
            self.held.extend_from_slice(input);
            let held = std::mem::take(&mut self.held);
            self.requests(&held, seen, turn);
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
                self.answer(request, turn);
                return rest;
            }
            Err(status) => {
                self.refuse(status, turn);
                return rest;
            }
        };
        match body.take(rest) {
            Progress::Ended(bytes) => {
                self.answer(request, turn);
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
                        self.answer(request, turn);
                        return rest;
                    }
                    turn.out.extend_from_slice(response::CONTINUE);
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
                let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
                match request::parse(&head, &mut fields, turn.limits) {
                    Parsed::Request(request) => self.answer(&request, turn),
                    Parsed::NeedMore | Parsed::Refuse(_) => {
                        debug_assert!(false, "this head was read before");
                        self.refuse(Status::BadRequest, turn);
                    }
                }
                &input[bytes..]
            }
        }
    }

    fn answer<C: Content>(&mut self, request: &Request<'_, '_>, turn: &mut Turn<'_, C>) {
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
        self.file = exchange::answer(request, persistence, turn);
    }

    /// Answers what cannot be answered otherwise, and ends. What was read is forgotten.
    fn refuse<C: Content>(&mut self, status: Status, turn: &mut Turn<'_, C>) {
        exchange::refuse(status, turn);
        self.state = State::Idle;
        self.last = Some(EndedBy::Server);
        self.held = Vec::new();
    }

    /// Sends what there is to send, looks at the requests that waited for it, and so on until the
    /// wire or the budget is full, or nothing is left.
    fn flush<C: Content>(&mut self, wire: &mut impl Wire, turn: &mut Turn<'_, C>) {
        if matches!(self.state, State::Lingering(_) | State::Closed) {
            if self.peer_ended {
                self.close();
            }
            return;
        }
        loop {
            let (flushed, bytes) = self.send(wire, turn);
            turn.counters.bytes_sent += bytes;
            match flushed {
                Flushed::All => self.waits = false,
                Flushed::Part => {
                    if bytes > 0 || !self.waits {
                        self.deadline_ns = after(turn.now_ns, turn.limits.stall);
                        self.outstanding = None;
                    }
                    self.waits = true;
                    if turn.budget_bytes > 0 && self.outstanding.is_none() {
                        self.outstanding = wire.outstanding();
                    }
                    return;
                }
                Flushed::Broken => return self.close(),
            }
            if bytes == 0 {
                break;
            }
            self.deadline_ns = after(
                turn.now_ns,
                match self.state {
                    State::Head => turn.limits.head,
                    State::Body(_) => turn.limits.body,
                    _ => turn.limits.idle,
                },
            );
            if self.held.is_empty() {
                break;
            }
            let held = std::mem::take(&mut self.held);
            self.requests(&held, 0, turn);
        }
        match self.last {
            Some(EndedBy::Server) if !self.peer_ended => {
                wire.end();
                self.state = State::Lingering(LINGER_BYTES);
                self.deadline_ns = after(turn.now_ns, turn.limits.linger);
            }
            Some(_) => self.close(),
            None if self.peer_ended => self.close(),
            None => {}
        }
    }

    /// Sends until all is out, the wire is full or the budget is used up, and says how much it was.
    fn send<C>(&mut self, wire: &mut impl Wire, turn: &mut Turn<'_, C>) -> (Flushed, u64) {
        // As a rule nothing waits, and the gathered answers go straight to the wire.
        let straight = self.unsent.is_empty();
        if !straight {
            self.unsent.append(turn.out);
        }
        let bytes = if straight { &*turn.out } else { &self.unsent };
        let from = self.sent;
        let mut flushed = Flushed::All;
        while self.sent < bytes.len() && flushed == Flushed::All {
            match wire.send(&bytes[self.sent..], self.file.is_some()) {
                Sent::Bytes(bytes) => self.sent += bytes,
                Sent::Blocked => flushed = Flushed::Part,
                Sent::Broken => flushed = Flushed::Broken,
            }
        }
        let mut total = (self.sent - from) as u64;
        if self.sent == bytes.len() {
            self.unsent = Vec::new();
            self.sent = 0;
        } else if straight {
            self.unsent = turn.out.split_off(self.sent);
            self.sent = 0;
        }
        turn.out.clear();
        turn.budget_bytes = turn.budget_bytes.saturating_sub(total);
        while let Some(part) = &mut self.file
            && flushed == Flushed::All
        {
            let most = part.left.min(turn.budget_bytes);
            let outcome = if most == 0 { Sent::Blocked } else { wire.send_file(part, most) };
            match outcome {
                Sent::Bytes(bytes) => {
                    let bytes = (bytes as u64).min(part.left);
                    part.offset += bytes;
                    part.left -= bytes;
                    total += bytes;
                    turn.budget_bytes = turn.budget_bytes.saturating_sub(bytes);
                    if part.left == 0 {
                        self.file = None;
                    }
                }
                Sent::Blocked => flushed = Flushed::Part,
                Sent::Broken => flushed = Flushed::Broken,
            }
        }
        (flushed, total)
    }
}

/// How much of what there was to send is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flushed {
    All,
    Part,
    Broken,
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
