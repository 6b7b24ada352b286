//! Entry points for fuzzing: everything that reads bytes from outside. Not part of the interface.
//!
//! Each takes any bytes and panics when an invariant does not hold.

use crate::{
    connection,
    counters::Counts,
    date,
    entity::{Body, Content, Description, Entity, Found, Seen},
    limits::{FIELDS, GATHER_BYTES, Limits},
    negotiation::{self, Codings},
    out::Out,
    range::{self, Range},
    rehearsal::{Pipe, WaitsFor, rehearse, settle},
    request::{self, Parsed},
    shared::Shared,
    target::{self, Target},
};
use std::{mem::MaybeUninit, rc::Rc, sync::Arc};
use ukevent_task::spawn;

/// Reads a head, and makes sure that its beginnings are not refused if it is not.
pub fn request(data: &[u8]) {
    let limits = Limits::default();
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let Parsed::Request(request) = request::parse(data, &mut fields, &limits) else { return };
    assert!(request.head_bytes <= data.len().min(limits.head_bytes));
    for end in 0..request.head_bytes {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let part = request::parse(&data[..end], &mut fields, &limits);
        assert!(matches!(part, Parsed::NeedMore), "refused after {end} bytes: {part:?}");
    }
}

/// Resolves a target, and makes sure that the path stays below the root and resolves to itself.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut path = Vec::new();
    let Ok(Target::Path { .. }) = target::resolve(text, &mut path) else { return };
    assert!(!path.starts_with(b"/") && !path.contains(&0));
    let segments = path.strip_suffix(b"/").unwrap_or(&path).split(|&byte| byte == b'/');
    for segment in segments.filter(|_| !path.is_empty()) {
        assert!(!matches!(segment, b"" | b"." | b".."), "{path:?}");
    }
    let (mut encoded, mut again) = (Vec::new(), Vec::new());
    target::encode(&path, &mut encoded);
    let encoded = String::from_utf8(encoded).expect("escapes are ASCII");
    assert_eq!(target::resolve(&encoded, &mut again), Ok(Target::Path { query: None }));
    assert_eq!(path, again);
}

/// Reads a range and a date.
pub fn range(data: &[u8]) {
    let _ = date::parse(data);
    for len in [0, 1, 1000, u64::MAX] {
        let ranges = match range::parse(data, len) {
            Range::Part { first, last } => vec![(first, last)],
            Range::Several(ranges) => ranges.as_slice().to_vec(),
            Range::Whole | Range::Unsatisfiable => Vec::new(),
        };
        assert!(ranges.iter().all(|&(first, last)| first <= last && last < len));
    }
}

/// Reads what a client accepts, and makes sure that nothing is chosen that there is not, and that what
/// is chosen of all is the choice if there is nothing else.
pub fn negotiation(data: &[u8]) {
    let _ = negotiation::prefers_json(std::iter::once(data));
    let codings = Codings::of(std::iter::once(data));
    assert_eq!(codings.best(|_| false), None);
    let best = codings.best(|_| true);
    assert_eq!(codings.best(|coding| Some(coding) == best), best);
}

/// Runs a connection over the bytes twice, at once and piece by piece over a wire that is late,
/// and makes sure that both give the same answers and that buffers stay within their bounds.
/// The first byte chooses the pieces.
pub fn connection(data: &[u8]) {
    let Some((&pace, data)) = data.split_first() else { return };
    let whole = run(data, data.len().max(1), 0);
    let pieces = run(data, usize::from(pace & 15) + 1, usize::from(pace >> 4));
    // A client that waits for "100 Continue" is answered by whether it waits.
    if !data.to_ascii_lowercase().windows(6).any(|window| window == b"expect") {
        assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&pieces));
    }
}

/// What a connection answers to `data`, when so many bytes arrive at a time, and what was handed over
/// leaves only when so many such pieces have come since, or when no more input is taken.
fn run(data: &[u8], arrive: usize, late: usize) -> Vec<u8> {
    let limits = Limits { line_bytes: 200, head_bytes: 400, body_bytes: 300, ..Limits::default() };
    let pipe = Pipe::default();
    rehearse(async {
        let shared = Rc::new(Shared::new(Memory::default(), limits, Out::default()));
        let connection = spawn(connection::serve(pipe.clone(), shared, |_| ()));
        let mut waited = 0;
        for input in data.chunks(arrive) {
            pipe.with(|state| {
                state.takes.push_back(0);
                state.arrived.push_back(input.to_vec());
            });
            settle(&pipe).await;
            waited += 1;
            if waited > late {
                waited = 0;
                while pipe.waits_for() == WaitsFor::Room {
                    settle(&pipe).await;
                }
            }
        }
        pipe.with(|state| {
            state.takes.clear();
            state.peer_ended = true;
        });
        settle(&pipe).await;
        settle(&pipe).await;
        assert!(connection.has_ended(), "it waits for {:?}", pipe.waits_for());
        assert!(pipe.with(|state| state.most_handed) <= GATHER_BYTES + 4096 + 1024);
    });
    pipe.with(|state| std::mem::take(&mut state.sent))
}

/// Two files and a directory.
struct Memory(Arc<Entity>);

impl Default for Memory {
    fn default() -> Self {
        let content = "0123456789".repeat(10).into_bytes();
        let description = Description {
            media_type: "text/plain",
            etag: Some("\"tag\"".into()),
            modified_s: Some(784_111_777),
            settled: true,
            len: content.len() as u64,
            extra: "",
        };
        Self(Arc::new(Entity::new(description, Body::Bytes(content.into()))))
    }
}

impl Content for Memory {
    fn find(&mut self, path: &[u8], _: Seen, _: &Counts) -> Found {
        match path {
            b"" | b"a" | b"d/" => Found::Entity(Arc::clone(&self.0)),
            b"d" => Found::Directory,
            b"f" => Found::Forbidden,
            _ => Found::Nothing,
        }
    }
}
