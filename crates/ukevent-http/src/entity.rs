//! What a target names: an entity with its fields and its content, wherever that lies.
//!
//! RFC 9110: 3.2 representations, 8.3 to 8.8 their fields, 12.5.5 Vary, 15.3.7.1 and 15.4.5 which of them
//! a 206 and a 304 tell. An entity that others of the same resource stand beside is the one for a client
//! that asks for nothing special; which of them is sent, its [`Alternates`] decide.

use crate::{
    conditional::Validators,
    counters::Counts,
    negotiation::{self, Coding, Codings},
    request::{Present, Request},
};
use std::{os::fd::OwnedFd, sync::Arc};

/// Where the answers come from: files below a directory, or the page.
pub(crate) trait Content {
    /// Looks up what a path names. The path is what [`target::resolve`](crate::target::resolve)
    /// made of the target. What was seen at `seen` need not be looked at again at the same `seen`.
    /// Never blocks, but where there is nobody to wait instead: see [`Found::Later`].
    fn find(&mut self, path: &[u8], seen: Seen, counts: &Counts) -> Found;

    /// Lets the next look find this, whatever is there.
    fn offer(&mut self, _: Option<Found>) {}

    /// Whether there is something to tend to, by whoever takes reports of changes.
    fn wants_tending(&self) -> bool {
        false
    }

    /// Closes descriptors that are only kept for speed. Says whether there were any.
    fn let_go(&mut self) -> bool {
        false
    }
}

/// The point in time of a look at the content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Moves on whenever something may have changed: with each batch of input at the latest. From 1 on.
    pub(crate) epoch: u64,
    /// The wall clock, in seconds after 1970.
    pub(crate) unix_s: u64,
    /// Whether everything is known by now that the kernel reported of changes before the requests
    /// came: then a watched file need not be looked at.
    pub(crate) sure: bool,
}

/// What a path names.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Entity(Arc<Entity>),
    /// What goes on as long as it is watched: an event a second.
    Live,
    /// A directory, named without its slash: 301.
    Directory,
    /// Something that may not be shown: 403.
    Forbidden,
    /// 404.
    Nothing,
    /// The process has no descriptor left to open it with: 503.
    Exhausted,
    /// So much is being looked for that no more can be: 503.
    Busy,
    /// The disk failed: 500.
    Failed,
    /// Looking would block, so somebody else looks. What he finds is told by this number, and offered to
    /// the next look ([`Content::offer`]).
    Later(u64),
}

/// A representation: its fields, rendered once, and its content.
#[derive(Debug)]
pub(crate) struct Entity {
    /// All fields of a full answer: those of a 304 first, those of a 206 next, the length last.
    fields: Vec<u8>,
    common: usize,
    /// Where the media type stands in them.
    typed: (usize, usize),
    described: usize,
    etag: Option<String>,
    modified_s: Option<u64>,
    settled: bool,
    len: u64,
    body: Body,
    alternates: Alternates,
}

/// What else there is of the same resource.
#[derive(Debug, Default)]
pub(crate) enum Alternates {
    #[default]
    None,
    /// The same in another coding, each in its place of [`Coding::ALL`].
    Codings([Option<Arc<Entity>>; 3]),
    /// The same as JSON.
    Json(Arc<Entity>),
}

impl Alternates {
    /// All of them.
    fn all(&self) -> impl Iterator<Item = &Arc<Entity>> {
        let (codings, json) = match self {
            Self::None => (&[][..], None),
            Self::Codings(codings) => (&codings[..], None),
            Self::Json(json) => (&[][..], Some(json)),
        };
        codings.iter().flatten().chain(json)
    }
}

/// Where the content lies.
#[derive(Debug)]
pub(crate) enum Body {
    Bytes(Box<[u8]>),
    File(Arc<OwnedFd>),
}

/// A part of a file on its way out. Holds the file open, and nothing else of its entity: what stands beside
/// it may be as large.
#[derive(Clone, Debug)]
pub(crate) struct FilePart {
    pub(crate) file: Arc<OwnedFd>,
    /// The next byte to hand over.
    pub(crate) offset: u64,
    /// Bytes left to hand over.
    pub(crate) left: u64,
}

/// What is known of an entity, to make one of.
#[derive(Debug)]
pub(crate) struct Description<'a> {
    pub(crate) media_type: &'a str,
    pub(crate) etag: Option<String>,
    pub(crate) modified_s: Option<u64>,
    /// Whether `modified_s` lies back far enough to be a strong validator.
    pub(crate) settled: bool,
    pub(crate) len: u64,
    /// Further fields, each with its line end.
    pub(crate) extra: &'a str,
}

impl Entity {
    pub(crate) fn new(of: Description<'_>, body: Body) -> Self {
        Self::coded(of, None, body)
    }

    /// As [`Entity::new`], with content that is in a coding.
    pub(crate) fn coded(of: Description<'_>, coding: Option<Coding>, body: Body) -> Self {
        let mut fields = Vec::with_capacity(256);
        let mut put = |parts: &[&[u8]]| {
            parts.iter().for_each(|part| fields.extend_from_slice(part));
            fields.len()
        };
        if let Some(etag) = &of.etag {
            put(&[b"ETag: ", etag.as_bytes(), b"\r\n"]);
        }
        let common = put(&[of.extra.as_bytes()]);
        if let Some(modified_s) = of.modified_s {
            put(&[b"Last-Modified: ", crate::date::Date::at(modified_s).text(), b"\r\n"]);
        }
        let type_from = put(&[b"Content-Type: "]);
        let type_to = put(&[of.media_type.as_bytes()]);
        put(&[b"\r\n"]);
        if let Some(coding) = coding {
            put(&[b"Content-Encoding: ", coding.token().as_bytes(), b"\r\n"]);
        }
        let described = put(&[b"X-Content-Type-Options: nosniff\r\nAccept-Ranges: bytes\r\n"]);
        put(&[b"Content-Length: ", of.len.to_string().as_bytes(), b"\r\n"]);
        Self {
            fields,
            common,
            typed: (type_from, type_to),
            described,
            etag: of.etag,
            modified_s: of.modified_s,
            settled: of.settled,
            len: of.len,
            body,
            alternates: Alternates::None,
        }
    }

    /// With others beside it. Both must tell what they vary by.
    pub(crate) fn beside(self, alternates: Alternates) -> Self {
        Self { alternates, ..self }
    }

    /// The representation of `this` resource that a request prefers.
    pub(crate) fn preferred<'e>(this: &'e Arc<Self>, request: &Request<'_, '_>) -> &'e Arc<Self> {
        let other = match &this.alternates {
            Alternates::None => None,
            Alternates::Codings(each) if request.has(Present::ACCEPT_ENCODING) => {
                let codings = Codings::of(request.values(Present::ACCEPT_ENCODING));
                let best = codings.best(|coding| each[coding.index()].is_some());
                best.and_then(|coding| each[coding.index()].as_ref())
            }
            Alternates::Codings(_) => None,
            Alternates::Json(json) => {
                negotiation::prefers_json(request.values(Present::ACCEPT)).then_some(json)
            }
        };
        other.unwrap_or(this)
    }

    /// What stands beside it.
    #[cfg(test)]
    pub(crate) fn alternates(&self) -> &Alternates {
        &self.alternates
    }

    /// Whether it, or what stands beside it, holds a file open.
    pub(crate) fn holds_file(&self) -> bool {
        matches!(self.body, Body::File(_)) || self.alternates.all().any(|other| other.holds_file())
    }

    /// What stands in Content-Type.
    pub(crate) fn media_type(&self) -> &[u8] {
        &self.fields[self.typed.0..self.typed.1]
    }

    /// The fields of an answer with several parts of the content: those of [`Entity::fields_of_part`]
    /// without the type, which is that of each part.
    pub(crate) fn fields_of_parts(&self) -> [&[u8]; 2] {
        let (from, to) = self.typed;
        let name = b"Content-Type: ".len();
        [&self.fields[..from - name], &self.fields[to + b"\r\n".len()..self.described]]
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of memory that it holds, about.
    pub(crate) fn held_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Bytes(bytes) => bytes.len(),
            Body::File(_) => 0,
        };
        let beside: usize = self.alternates.all().map(|other| other.held_bytes()).sum();
        size_of::<Self>() + self.fields.capacity() + body + beside
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators {
            etag: self.etag.as_deref(),
            modified_s: self.modified_s,
            settled: self.settled,
        }
    }

    /// The fields of an answer with all of the content, its length included.
    pub(crate) fn fields(&self) -> &[u8] {
        &self.fields
    }

    /// The fields of an answer with a part of the content, without a length.
    pub(crate) fn fields_of_part(&self) -> &[u8] {
        &self.fields[..self.described]
    }

    /// The fields of an answer that says "not modified" (RFC 9110, 15.4.5).
    pub(crate) fn fields_of_not_modified(&self) -> &[u8] {
        &self.fields[..self.common]
    }
}

impl FilePart {
    /// A part of an entity whose content is a file; `None` if it is not one, or the part empty.
    pub(crate) fn new(entity: &Entity, offset: u64, left: u64) -> Option<Self> {
        match &entity.body {
            Body::File(file) if left > 0 => Some(Self { file: Arc::clone(file), offset, left }),
            _ => None,
        }
    }
}
