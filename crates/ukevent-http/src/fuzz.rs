//! Entry points for fuzzing: everything that reads bytes from outside. Not part of the interface.
//!
//! Each takes any bytes and panics when an invariant does not hold.

use crate::{
    connection::{Connection, Turn, Wants, Wire},
    counters::Counters,
    date::{self, Date},
    entity::{Body, Content, Description, Entity, FilePart, Found, Seen},
    limits::{FIELDS, GATHER_BYTES, HELD_BYTES, Limits},
    out::Out,
    range::{self, Range},
    request::{self, Parsed},
    target::{self, Target},
};
use std::{mem::MaybeUninit, sync::Arc};
use ukevent_buf::Buffer;

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
        if let Range::Part { first, last } = range::parse(data, len) {
            assert!(first <= last && last < len);
        }
    }
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
    let (mut out, mut path) = (Out::default(), Vec::new());
    let mut counters = Counters::default();
    let mut turn = Turn {
        content: &mut Memory::default(),
        limits: &limits,
        counters: &mut counters,
        date: &Date::at(1_000_000_000),
        now_ns: 0,
        epoch: 0,
        sure: false,
        ending: false,
        budget_bytes: u64::MAX,
        out: &mut out,
        path: &mut path,
    };
    let mut wire = Late { sent: Vec::new(), leaving: 0 };
    let mut connection = Connection::new(&turn);
    let mut waited = 0;
    for input in data.chunks(arrive) {
        connection.receive(input, &mut wire, &mut turn);
        waited += 1;
        // Vectors grow by doubling.
        let held = 2 * (limits.head_bytes + HELD_BYTES + arrive) + GATHER_BYTES + 1024;
        assert!(connection.held_bytes() <= held, "{} bytes are held", connection.held_bytes());
        if waited > late || !connection.takes_input() {
            waited = 0;
            while connection.wants() == Wants::Output {
                connection.sent(std::mem::take(&mut wire.leaving), &mut wire, &mut turn);
            }
        }
    }
    connection.end_of_input(&mut wire, &mut turn);
    while connection.wants() == Wants::Output {
        connection.sent(std::mem::take(&mut wire.leaving), &mut wire, &mut turn);
    }
    assert_eq!(connection.wants(), Wants::Nothing);
    assert_eq!(connection.held_bytes(), 0);
    wire.sent
}

/// A wire that takes everything, and says later that it has left.
struct Late {
    sent: Vec<u8>,
    leaving: u64,
}

impl Wire for Late {
    fn send(&mut self, bytes: Buffer, file: Option<(&FilePart, u64)>) {
        assert!(self.leaving == 0 && file.is_none() && !bytes.is_empty());
        self.sent.extend_from_slice(&bytes);
        self.leaving = bytes.len() as u64;
    }

    fn end(&mut self) {
        assert_eq!(self.leaving, 0, "ended before all was sent");
    }

    fn outstanding(&mut self) -> Option<u32> {
        None
    }
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
    fn find(&mut self, path: &[u8], _: Seen, _: &Counters) -> Found {
        match path {
            b"" | b"a" | b"d/" => Found::Entity(Arc::clone(&self.0)),
            b"d" => Found::Directory,
            b"f" => Found::Forbidden,
            _ => Found::Nothing,
        }
    }
}
