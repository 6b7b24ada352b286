//! Answering what has come: no waiting in here.

use super::{Connection, EndedBy, Next, Pending, Phase, Seat, Wait, wire::Wire};
use crate::{
    body::{Body, Progress},
    counters::Counts,
    date::Date,
    entity::{Content, Found},
    exchange::{self, Later, Tail},
    limits::{FIELDS, GATHER_BYTES, Limits},
    out::Out,
    request::{self, Parsed, Request},
    response::Persistence,
    status::Status,
};
use std::{mem::MaybeUninit, rc::Rc};
use ukevent_buf::Buffer;

/// A head of up to this many bytes is read anew whenever bytes arrive, a longer one only when a
/// line ended: so a head that arrives byte by byte costs no time to speak of.
const EAGER_BYTES: usize = 1024;

/// What a connection is lent while it answers.
pub(crate) struct Turn<'a, C> {
    pub(crate) content: &'a mut C,
    pub(crate) limits: &'a Limits,
    pub(crate) counts: &'a Counts,
    /// The wall clock.
    pub(crate) date: &'a Date,
    /// See [`Seen`](crate::entity::Seen).
    pub(crate) epoch: u64,
    /// See [`Seen`](crate::entity::Seen).
    pub(crate) sure: bool,
    /// Whether the server is ending: every answer is the last of its connection.
    pub(crate) ending: bool,
    /// Whether the request came over TLS.
    pub(crate) secured: bool,
    /// Answers are gathered here. Empty between turns.
    pub(crate) out: &'a mut Out,
    /// Paths are made here.
    pub(crate) path: &'a mut Vec<u8>,
}

/// What one request came to: how many bytes it took, and what must be waited for.
struct Step {
    bytes: usize,
    wait: Option<Next>,
}

impl<W: Wire, C: Content> Connection<W, C> {
    /// Answers the requests that the input begins with, as many as are whole and may be answered now.
    pub(super) fn answer(&mut self, seat: &impl Seat) -> Next {
        let shared = Rc::clone(&self.shared);
        let mut service = shared.begin();
        let mut turn = service.turn(&shared, self.sure);
        turn.secured = W::IS_SECURED;
        turn.out.go_on(std::mem::take(&mut self.answers));
        let input = std::mem::take(&mut self.input);
        let mut at = 0;
        let next = loop {
            at += request::empty_lines(&input[at..]);
            let rest = &input[at..];
            if self.last.is_some() {
                // The client said that there would be nothing more, and there is.
                if !rest.is_empty() {
                    self.last = Some(EndedBy::Server);
                }
                at = input.len();
                break Next::Receive;
            }
            if self.tail.is_some() || turn.out.len() >= GATHER_BYTES {
                break Next::Send;
            }
            let is_known = at == 0 && is_same_line(rest, self.looked_at, turn.limits);
            if rest.is_empty() || is_known {
                break Next::Receive;
            }
            let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
            match request::parse(rest, &mut fields, turn.limits) {
                Parsed::Request(request) if !seat.may_ask() => {
                    let head = &rest[..request.head_bytes];
                    self.turn_down(Status::TooManyRequests, head, is_head(rest), &mut turn);
                }
                Parsed::Request(request) => {
                    let step = self.request(&request, rest, &mut turn);
                    at += step.bytes;
                    if let Some(wait) = step.wait {
                        break wait;
                    }
                }
                Parsed::Refuse(status) => self.turn_down(status, b"", is_head(rest), &mut turn),
                Parsed::NeedMore => {
                    if self.phase == Phase::Rest {
                        self.phase = Phase::Head;
                        self.expect_within(turn.limits.head);
                    }
                    break Next::Receive;
                }
            }
        };
        self.answers = turn.out.take();
        if turn.content.wants_tending() {
            shared.tend.ring();
        }
        self.input = input;
        self.took(at);
        // What waits behind an answer was not looked at.
        self.looked_at = if matches!(next, Next::Receive) { self.input.len() } else { 0 };
        next
    }

    /// Answers one request, or says what it must wait for.
    fn request(&mut self, request: &Request<'_, '_>, input: &[u8], turn: &mut Turn<'_, C>) -> Step {
        let (head, rest) = input.split_at(request.head_bytes);
        let answered = |bytes, wait| Step { bytes, wait };
        let mut body = match Body::new(request.framing, turn.limits.body_bytes) {
            Ok(Some(body)) => body,
            Ok(None) => return answered(head.len(), self.answer_or_wait(request, head, turn)),
            Err(status) => {
                self.turn_down(status, head, is_head(head), turn);
                return answered(input.len(), None);
            }
        };
        match body.take(rest) {
            Progress::Ended(bytes) => {
                answered(head.len() + bytes, self.answer_or_wait(request, head, turn))
            }
            Progress::Refused(status) => {
                self.turn_down(status, head, is_head(head), turn);
                answered(input.len(), None)
            }
            Progress::More => {
                let expects = Self::expects(request.expect, rest);
                // The client waits before it sends the body. If the head alone is refused, the body may or
                // may not follow: only closing is unambiguous (RFC 9110, 10.1.1).
                if expects && exchange::objection(request).is_some() {
                    self.last = Some(EndedBy::Server);
                    return answered(input.len(), self.answer_or_wait(request, head, turn));
                }
                let pending = Pending { head: head.to_vec(), body, expects };
                answered(input.len(), Some(Next::Wait(Box::new(Wait::Body(pending)))))
            }
        }
    }

    fn answer_or_wait(
        &mut self,
        request: &Request<'_, '_>,
        head: &[u8],
        turn: &mut Turn<'_, C>,
    ) -> Option<Next> {
        turn.counts.own().requests.add(1);
        match self.try_answer(request, head, turn) {
            Ok(()) => None,
            Err(Later(load)) => Some(Next::Wait(Box::new(Wait::Content(head.to_vec(), load)))),
        }
    }

    /// Answers a request whose head was read before, perhaps with what was found for it since. What must
    /// be waited for (again) is returned.
    pub(super) fn answer_head(&mut self, head: &[u8], found: Option<Found>) -> Option<u64> {
        let shared = Rc::clone(&self.shared);
        let mut service = shared.begin();
        let mut turn = service.turn(&shared, self.sure && found.is_none());
        turn.secured = W::IS_SECURED;
        if found.is_none() {
            turn.counts.own().requests.add(1);
        }
        turn.content.offer(found);
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let load = match request::parse(head, &mut fields, turn.limits) {
            Parsed::Request(request) => {
                self.try_answer(&request, head, &mut turn).err().map(|Later(load)| load)
            }
            Parsed::NeedMore | Parsed::Refuse(_) => {
                debug_assert!(false, "this head was read before");
                self.turn_down(Status::BadRequest, b"", is_head(head), &mut turn);
                None
            }
        };
        turn.content.offer(None);
        self.answers = turn.out.take();
        if turn.content.wants_tending() {
            shared.tend.ring();
        }
        load
    }

    fn try_answer(
        &mut self,
        request: &Request<'_, '_>,
        head: &[u8],
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
        self.phase = Phase::Rest;
        let before = turn.out.len();
        self.tail = match exchange::answer(request, persistence, turn)? {
            Tail::Nothing => None,
            tail => Some(Box::new(tail)),
        };
        // How long it takes is of interest if it has an end.
        self.due += u32::from(!matches!(self.tail.as_deref(), Some(Tail::Live(_))));
        if let Some(journal) = &mut self.journal {
            let behind = self.tail.as_ref().map_or(0, |tail| tail.bytes());
            journal.note(self.received, head, &turn.out.bytes()[before..], behind);
        }
        Ok(())
    }

    /// Answers what cannot be answered otherwise, and ends. The head of the request is empty if it could
    /// not be read.
    fn turn_down(&mut self, status: Status, head: &[u8], is_head: bool, turn: &mut Turn<'_, C>) {
        let before = turn.out.len();
        exchange::refuse(status, is_head, turn);
        if let Some(journal) = &mut self.journal {
            journal.note(self.received, head, &turn.out.bytes()[before..], 0);
        }
        self.last = Some(EndedBy::Server);
        self.phase = Phase::Rest;
    }

    /// Puts this behind the answers.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let shared = Rc::clone(&self.shared);
        let mut service = shared.begin();
        let turn = service.turn(&shared, false);
        turn.out.go_on(std::mem::take(&mut self.answers));
        turn.out.put(bytes);
        self.answers = turn.out.take();
    }

    /// Answers what cannot be answered otherwise, and ends. What was read is forgotten. The head of the
    /// request is empty if it was not read to its end.
    pub(super) fn refuse(&mut self, status: Status, head: &[u8]) {
        let is_head = is_head(if head.is_empty() { &self.input } else { head });
        let shared = Rc::clone(&self.shared);
        let mut service = shared.begin();
        let mut turn = service.turn(&shared, false);
        turn.out.go_on(std::mem::take(&mut self.answers));
        self.turn_down(status, head, is_head, &mut turn);
        self.answers = turn.out.take();
        self.input = Buffer::default();
    }
}

/// Whether what a request begins with asks for no content, be it answered or refused.
fn is_head(request: &[u8]) -> bool {
    request.starts_with(b"HEAD ")
}

/// Whether a long head only got more of the line that it ended in when its first `seen` bytes were
/// looked at, and reached no limit: nothing new can be said about it.
fn is_same_line(head: &[u8], seen: usize, limits: &Limits) -> bool {
    seen >= EAGER_BYTES
        && head.len() < limits.head_bytes
        && !(seen < limits.line_bytes && head.len() >= limits.line_bytes)
        && !head[seen..].contains(&b'\n')
}
