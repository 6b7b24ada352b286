//! Bodies of several parts, read again by a reader of multipart of its own.

use super::*;
use crate::{
    entity::Description,
    range::{self, Range},
};
use proptest::prelude::*;
use std::{fs::File, os::unix::fs::FileExt};

fn content() -> Vec<u8> {
    (0..5_000u32).map(|at| (at % 251) as u8).collect()
}

fn entity(in_memory: bool, len: usize) -> Arc<Entity> {
    let content = content()[..len].to_vec();
    let body = if in_memory {
        Body::Bytes(content.into())
    } else {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&content, 0).unwrap();
        Body::File(Arc::new(file.into()))
    };
    let of = Description {
        media_type: "text/x-test",
        etag: None,
        modified_s: None,
        settled: true,
        len: len as u64,
        extra: "",
    };
    Arc::new(Entity::new(of, body))
}

/// Everything that leaves, in its order.
fn walk(mut parts: Parts) -> Vec<u8> {
    let (mut sent, mut out) = (Vec::new(), Out::default());
    while let Some(part) = parts.walk(&mut out) {
        sent.extend_from_slice(&out.take());
        let start = sent.len();
        sent.resize(start + part.left as usize, 0);
        let file = File::from(part.file.try_clone().unwrap());
        file.read_exact_at(&mut sent[start..], part.offset).unwrap();
    }
    sent.extend_from_slice(&out.take());
    assert!(parts.walk(&mut out).is_none() && out.len() == 0, "the end is written once");
    sent
}

/// Reads a body: first and last byte, complete length and content of each part.
fn read(mut body: &[u8], boundary: &Boundary) -> Vec<(u64, u64, u64, Vec<u8>)> {
    let text = std::str::from_utf8(boundary.text()).unwrap();
    let mut parts = Vec::new();
    let mut delimiter = format!("--{text}");
    loop {
        body = body.strip_prefix(delimiter.as_bytes()).expect("a delimiter");
        if body == b"--\r\n" {
            return parts;
        }
        let end = body.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&body[..end]).unwrap();
        assert!(head.contains("\r\nContent-Type: text/x-test"), "{head:?}");
        let range = head.split("Content-Range: bytes ").nth(1).unwrap();
        let numbers: Vec<u64> =
            range.split(['-', '/']).map(|number| number.parse().unwrap()).collect();
        let [first, last, len] = numbers[..] else { panic!("{range}") };
        let bytes = (last - first + 1) as usize;
        body = &body[end + 4..];
        parts.push((first, last, len, body[..bytes].to_vec()));
        body = &body[bytes..];
        delimiter = format!("\r\n--{text}");
    }
}

fn several(value: &str, len: u64) -> Box<Ranges> {
    match range::parse(value.as_bytes(), len) {
        Range::Several(ranges) => ranges,
        other => panic!("{value}: {other:?}"),
    }
}

#[test]
fn byte_by_byte() {
    let boundary = Boundary::of(0x0123_4567_89ab_cdef, 1);
    let parts = Parts::new(&entity(true, 20), several("bytes=0-1,-3", 20), boundary);
    let b = "0123456789abcdef0000000000000001";
    let expected = format!(
        "--{b}\r\nContent-Type: text/x-test\r\nContent-Range: bytes 0-1/20\r\n\r\n\u{0}\u{1}\r\n\
         --{b}\r\nContent-Type: text/x-test\r\nContent-Range: bytes 17-19/20\r\n\r\n\u{11}\u{12}\u{13}\r\n\
         --{b}--\r\n"
    );
    assert_eq!(parts.len(), expected.len() as u64);
    let mut fields = Out::default();
    parts.put_fields(&mut fields);
    assert_eq!(
        String::from_utf8(fields.take().to_vec()).unwrap(),
        format!(
            "Content-Type: multipart/byteranges; boundary={b}\r\nContent-Length: {}\r\n",
            expected.len()
        )
    );
    assert_eq!(walk(parts), expected.as_bytes());
}

#[test]
fn two_boundaries_differ() {
    assert_ne!(Boundary::draw(), Boundary::draw());
}

#[test]
fn lengths_beyond_memory_do_not_overflow() {
    let ranges = several("bytes=0-1,5-18446744073709551614", u64::MAX);
    let parts = Parts::new(&entity(true, 1), ranges, Boundary::of(0, 0));
    assert_eq!(parts.len(), u64::MAX);
}

proptest! {
    /// From memory or from a file, all of what was asked for comes, once, and as long as was told.
    #[test]
    fn what_is_sent_is_what_was_asked_for(
        pairs in prop::collection::vec((0u64..5_000, 0u64..300), 2..16),
        in_memory: bool,
    ) {
        let value = pairs.iter().map(|(first, more)| format!("{first}-{}", first + more));
        let value = format!("bytes={}", value.collect::<Vec<_>>().join(","));
        let Range::Several(ranges) = range::parse(value.as_bytes(), 5_000) else {
            return Ok(());
        };
        let boundary = Boundary::draw();
        let parts = Parts::new(&entity(in_memory, 5_000), ranges, boundary);
        let len = parts.len();
        let sent = walk(parts);
        prop_assert_eq!(sent.len() as u64, len);
        let content = content();
        let mut seen = vec![0; content.len()];
        for (first, last, complete, bytes) in read(&sent, &boundary) {
            prop_assert_eq!(complete, 5_000);
            prop_assert_eq!(&bytes[..], &content[first as usize..=last as usize]);
            seen[first as usize..=last as usize].iter_mut().for_each(|times| *times += 1);
        }
        for (at, times) in seen.into_iter().enumerate() {
            let at = at as u64;
            let wanted = pairs.iter().any(|&(first, more)| (first..=first + more).contains(&at));
            prop_assert_eq!(times, i32::from(wanted), "byte {}", at);
        }
    }
}
