//! One request, one answer.
//!
//! RFC 9110: 9.3.7 OPTIONS, 10.1.1 Expect, 10.2.1 Allow, 10.2.2 Location, 14.4 Content-Range, 15.3.7 and
//! 15.5.17 what comes of ranges.
//!
//! Joins what the request says ([`request`](crate::request), [`target`], [`conditional`],
//! [`range`]) with what is there ([`Content`]), and writes the answer.

use crate::{
    conditional::{self, Verdict},
    connection::Turn,
    entity::{Body, Content, Entity, FilePart, Found, Seen},
    range::{
        self, Range,
        parts::{Boundary, Parts},
    },
    request::{Expect, Method, Present, Request},
    response::{self, Persistence},
    status::Status,
    target::{self, Refused, Target},
};
use std::sync::Arc;

const ALLOW: &[u8] = b"Allow: GET, HEAD, OPTIONS\r\n";
const LIVE: &[u8] = b"Cache-Control: no-store\r\nContent-Type: text/event-stream\r\n\
    X-Content-Type-Options: nosniff\r\n";
const RETRY: &[u8] = b"Retry-After: 1\r\n";

/// What the head alone says against the request, whatever it names.
pub(crate) fn objection(request: &Request<'_, '_>) -> Option<Status> {
    match (request.method, request.expect) {
        (Method::Other, _) => Some(Status::MethodNotAllowed),
        (Method::Unknown, _) => Some(Status::NotImplemented),
        (_, Expect::Unknown) => Some(Status::ExpectationFailed),
        _ => None,
    }
}

/// What is asked for must be waited for: a load of this number. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Later(pub(crate) u64);

/// What follows on the wire.
#[derive(Debug)]
pub(crate) enum Tail {
    Nothing,
    File(FilePart),
    /// Ranges of a file: [`Parts::walk`] them.
    Parts(Box<Parts>),
    /// Events, until one of both sides ends the connection.
    Live(Framing),
}

/// How the end of a content is told whose length nobody knows (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    /// To a client of HTTP/1.0, which knows no chunks.
    UntilClose,
}

impl Tail {
    /// How many bytes of content it is.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            // What is live has no number that is known before.
            Self::Nothing | Self::Live(_) => 0,
            Self::File(part) => part.left,
            Self::Parts(parts) => parts.len(),
        }
    }
}

impl From<Option<FilePart>> for Tail {
    fn from(part: Option<FilePart>) -> Self {
        part.map_or(Self::Nothing, Self::File)
    }
}

/// Writes the answer to `request`. What is returned follows it on the wire.
pub(crate) fn answer<C: Content>(
    request: &Request<'_, '_>,
    persistence: Persistence,
    turn: &mut Turn<'_, C>,
) -> Result<Tail, Later> {
    let is_head = request.method == Method::Head;
    Reply { persistence, is_head, turn }.answer(request)
}

/// Writes an answer that ends the connection, to what is no request or gets none. If it began as HEAD, it
/// gets no content either (RFC 9110, 9.3.2).
pub(crate) fn refuse<C: Content>(status: Status, is_head: bool, turn: &mut Turn<'_, C>) {
    let fields = match status {
        Status::ServiceUnavailable | Status::TooManyRequests => RETRY,
        _ => b"",
    };
    Reply { persistence: Persistence::Close, is_head, turn }.plain(status, fields);
}

/// An answer in the making.
struct Reply<'t, 'a, C> {
    persistence: Persistence,
    is_head: bool,
    turn: &'t mut Turn<'a, C>,
}

impl<C: Content> Reply<'_, '_, C> {
    /// Answers it, whatever it is.
    fn answer(mut self, request: &Request<'_, '_>) -> Result<Tail, Later> {
        if let Some(status) = objection(request) {
            let fields = if status == Status::MethodNotAllowed { ALLOW } else { b"" };
            return Ok(self.plain(status, fields).into());
        }
        let query = match target::resolve_over(self.turn.secured, request.target, self.turn.path) {
            Ok(Target::Path { query }) => query,
            Ok(Target::Asterisk) if request.method == Method::Options => None,
            Ok(Target::Asterisk) | Err(Refused::Malformed) => {
                return Ok(self.plain(Status::BadRequest, b"").into());
            }
            Err(Refused::Misdirected) => {
                return Ok(self.plain(Status::MisdirectedRequest, b"").into());
            }
            Err(Refused::Nothing) => return Ok(self.plain(Status::NotFound, b"").into()),
        };
        if request.method == Method::Options {
            return Ok(self.bare(Status::NoContent, ALLOW).into());
        }
        let Turn { epoch, sure, .. } = *self.turn;
        let seen = Seen { epoch, sure, unix_s: self.turn.date.unix_s() };
        let part = match self.turn.content.find(self.turn.path, seen, self.turn.counts) {
            Found::Entity(entity) => return Ok(self.entity(request, &entity)),
            Found::Live => return Ok(self.live(request)),
            Found::Directory => self.directory(query),
            Found::Forbidden => self.plain(Status::Forbidden, b""),
            Found::Nothing => self.plain(Status::NotFound, b""),
            Found::Exhausted | Found::Busy => self.plain(Status::ServiceUnavailable, RETRY),
            Found::Failed => self.plain(Status::InternalServerError, b""),
            Found::Later(load) => return Err(Later(load)),
        };
        Ok(part.into())
    }

    fn begin(&mut self, status: Status) {
        self.turn.counts.own().answers[usize::from(status.class())].add(1);
        response::begin(self.turn.out, status, self.turn.date);
    }

    fn plain(&mut self, status: Status, fields: &[u8]) -> Option<FilePart> {
        let Turn { counts, out, date, .. } = &mut *self.turn;
        counts.own().answers[usize::from(status.class())].add(1);
        response::plain(out, status, date, self.persistence, fields, self.is_head);
        None
    }

    /// An answer that can have no content.
    fn bare(&mut self, status: Status, fields: &[u8]) -> Option<FilePart> {
        self.begin(status);
        self.turn.out.put(fields);
        response::end(self.turn.out, self.persistence);
        None
    }

    /// The path with a slash behind it. The location is made of the resolved path, so that
    /// `//host` cannot be made into a redirect to another host.
    fn directory(&mut self, query: Option<&str>) -> Option<FilePart> {
        let mut location = Vec::with_capacity(self.turn.path.len() + 32);
        location.extend_from_slice(b"Location: ");
        target::encode(self.turn.path, &mut location);
        location.push(b'/');
        if let Some(query) = query {
            location.push(b'?');
            location.extend_from_slice(query.as_bytes());
        }
        location.extend_from_slice(b"\r\n");
        self.plain(Status::MovedPermanently, &location)
    }

    fn entity(&mut self, request: &Request<'_, '_>, entity: &Arc<Entity>) -> Tail {
        let entity = Entity::preferred(entity, request);
        let ranged = match conditional::evaluate(request, entity.validators()) {
            Verdict::Proceed { ranged } => ranged && !self.is_head,
            Verdict::NotModified => {
                return self.bare(Status::NotModified, entity.fields_of_not_modified()).into();
            }
            Verdict::Failed => return self.plain(Status::PreconditionFailed, b"").into(),
        };
        let range = match request.value(Present::RANGE) {
            Some(value) if ranged => range::parse(value, entity.len()),
            _ => Range::Whole,
        };
        let (offset, len) = match range {
            Range::Part { first, last } => {
                self.part(entity, first, last);
                (first, last - first + 1)
            }
            Range::Unsatisfiable => {
                let field = format!("Content-Range: bytes */{}\r\n", entity.len());
                return self.plain(Status::RangeNotSatisfiable, field.as_bytes()).into();
            }
            Range::Several(ranges) => {
                let parts = Parts::new(entity, ranges, Boundary::draw());
                if parts.len() < entity.len() {
                    return self.parts(parts, entity);
                }
                self.whole(entity)
            }
            Range::Whole => self.whole(entity),
        };
        response::end(self.turn.out, self.persistence);
        if self.is_head {
            return Tail::Nothing;
        }
        if let Body::Bytes(bytes) = entity.body() {
            self.turn.out.put(&bytes[offset as usize..(offset + len) as usize]);
        }
        FilePart::new(entity, offset, len).into()
    }

    /// The head of an answer that goes on. It is the last of its connection, whatever was said of that; but
    /// for HEAD, which has only the head of it.
    fn live(&mut self, request: &Request<'_, '_>) -> Tail {
        self.begin(Status::Ok);
        self.turn.out.put(LIVE);
        if !request.is_1_0 {
            self.turn.out.put(b"Transfer-Encoding: chunked\r\n");
        }
        if self.is_head {
            response::end(self.turn.out, self.persistence);
            return Tail::Nothing;
        }
        response::end(self.turn.out, Persistence::Close);
        Tail::Live(if request.is_1_0 { Framing::UntilClose } else { Framing::Chunked })
    }

    fn whole(&mut self, entity: &Entity) -> (u64, u64) {
        self.begin(Status::Ok);
        self.turn.out.put(entity.fields());
        (0, entity.len())
    }

    fn parts(&mut self, mut parts: Parts, entity: &Entity) -> Tail {
        self.begin(Status::PartialContent);
        let out = &mut *self.turn.out;
        out.put_all(&entity.fields_of_parts());
        parts.put_fields(out);
        response::end(out, self.persistence);
        if matches!(entity.body(), Body::File(_)) {
            return Tail::Parts(Box::new(parts));
        }
        let rest = parts.walk(out);
        debug_assert!(rest.is_none(), "all of it lies in memory");
        Tail::Nothing
    }

    fn part(&mut self, entity: &Entity, first: u64, last: u64) {
        self.begin(Status::PartialContent);
        let out = &mut *self.turn.out;
        out.put_all(&[entity.fields_of_part(), b"Content-Range: bytes "]);
        response::number(out, first);
        out.put(b"-");
        response::number(out, last);
        out.put(b"/");
        response::number(out, entity.len());
        out.put(b"\r\nContent-Length: ");
        response::number(out, last - first + 1);
        out.put(b"\r\n");
    }
}

#[cfg(test)]
mod tests;
