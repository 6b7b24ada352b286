//! Every rule of RFC 9112, 6.3, whole and cut at every byte, and random connections cut at random.

use super::{Asked, HEADS_BYTES, Reply, ReplyReader, head::Head, known::Known};
use crate::{Class, fuzz};
use proptest::prelude::*;

const GET: Option<Asked> = Some(Asked::Content);
const HEAD: Option<Asked> = Some(Asked::Head);

/// All replies to GETs, and how the connection ended: whole, in small pieces, and, if it is short, in two, cut at
/// every byte.
fn read(input: &[u8]) -> (Vec<Reply>, Class) {
    read_as(input, 0)
}

fn read_as(input: &[u8], heads: u8) -> (Vec<Reply>, Class) {
    let whole = fuzz::read([input], heads);
    for size in 1..4 {
        assert_eq!(fuzz::read(input.chunks(size), heads), whole, "in pieces of {size}");
    }
    let cuts = if input.len() < 2000 { input.len() } else { 0 };
    for at in 0..cuts {
        let (one, other) = input.split_at(at);
        assert_eq!(fuzz::read([one, other], heads), whole, "cut at {at}");
    }
    whole
}

/// The one reply.
fn one(input: &str) -> Reply {
    let (replies, class) = read(input.as_bytes());
    assert_eq!((replies.len(), class), (1, Class::Closed), "{input:?}: {replies:?}");
    replies[0]
}

fn fails(input: &str) -> Class {
    let (replies, class) = read(input.as_bytes());
    assert_eq!(replies, [], "{input:?}");
    class
}

fn head(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
}

#[test]
fn a_length_is_the_body() {
    let reply = one("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX: y\r\n\r\nhello");
    assert_eq!(reply, Reply { status: 200, keep_alive: true, head_bytes: 44, body_bytes: 5 });
    assert_eq!(one(&head("Content-Length: 0\r\n")).body_bytes, 0);
    assert_eq!(one("HTTP/1.1 404\r\nContent-Length: 2\r\n\r\nno").status, 404);
    assert_eq!(one("HTTP/1.1 200 OK\nContent-Length: 2\n\nok").body_bytes, 2, "bare LF");
}

#[test]
fn lengths_agree_or_are_garbage() {
    for good in ["5, 5", "5,5 ,5", "5\r\nX: y\r\nContent-length: 5", "005"] {
        let reply = one(&(head(&format!("Content-Length: {good}\r\n")) + "hello"));
        assert!(reply.body_bytes == 5 && reply.keep_alive, "{good}");
    }
    let bad =
        ["5, 6", "5\r\nContent-Length: 6", "", "+5", "-5", "5x", "0x5", "5,", ",5", "5 5", "5;5"];
    for bad in bad.into_iter().chain(["18446744073709551616", "99999999999999999999999"]) {
        assert_eq!(fails(&(head(&format!("Content-Length: {bad}\r\n")) + "hello")), Class::Garbage);
    }
    assert_eq!(fails(&(head("Content-Length: 18446744073709551615\r\n") + "hello")), Class::Cut);
}

#[test]
fn some_replies_have_no_body() {
    for status in ["204 No Content", "304 Not Modified"] {
        let two = format!(
            "HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
        );
        let (replies, class) = read(two.as_bytes());
        assert_eq!(replies.iter().map(|it| it.body_bytes).collect::<Vec<_>>(), [0, 1], "{class}");
    }
    // Nor does its length, its coding or their absence say anything of a reply to HEAD.
    for fields in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", ""] {
        let two = head(fields) + &head("Content-Length: 3\r\n") + "abc";
        let (replies, class) = read_as(two.as_bytes(), 0b001);
        assert_eq!(class, Class::Closed);
        assert_eq!(replies.iter().map(|it| it.body_bytes).collect::<Vec<_>>(), [0, 3]);
        assert!(replies[0].keep_alive, "{fields}");
    }
}

#[test]
fn without_either_a_body_lasts_until_the_end() {
    let reply = one(&(head("X: y\r\n") + "all of it\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"));
    assert_eq!((reply.body_bytes, reply.keep_alive), (32, false));
    assert_eq!(one(&head("")).body_bytes, 0);
}

#[test]
fn chunks_are_counted_as_they_came() {
    let chunks = "5\r\nhello\r\n00A;name=value;x=\"y z\"\r\n0123456789\r\n1 \t\r\nx\r\n2 ;e\r\nxy\r\n000\r\nA: b\r\nC:\r\n\r\n";
    for coding in
        ["chunked", "Chunked", "gzip, chunked", "gzip\r\nTransfer-Encoding: chunked", ", chunked ,"]
    {
        let reply = one(&(head(&format!("Transfer-Encoding: {coding}\r\n")) + chunks));
        assert_eq!(reply.body_bytes, chunks.len() as u64, "{coding}");
        assert!(reply.keep_alive, "{coding}");
    }
}

#[test]
fn faulty_chunks_are_garbage() {
    let chunked = head("Transfer-Encoding: chunked\r\n");
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(5000));
    let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(20_000));
    for bad in [
        "\r\n",
        "g\r\n",
        "5\nhello",
        "5x\r\n",
        "5\r\nhello!",
        "5\r\nhello\n",
        "5\r\nhello\rx",
        ";e\r\n",
        " 5\r\n",
        "5 5\r\n",
        "0\r\n\n",
        "0\r\nfield\r\n",
        "0\r\n folded: x\r\n",
        "0\r\nA: \0\r\n",
        "0\r\n\rx",
        "-1\r\n",
        "00000000000000001\r\n",
        "5;\x01\r\n",
        &long,
        &trailers,
    ] {
        assert_eq!(fails(&(chunked.clone() + bad)), Class::Garbage, "{bad:.40}");
    }
    for part in
        ["", "5", "5\r\nhel", "5\r\nhello\r\n", "0\r\n", "0\r\nA: b\r\n", "ffffffffffffffff\r\nx"]
    {
        assert_eq!(fails(&(chunked.clone() + part)), Class::Cut, "{part:?}");
    }
    let many = "1;0123456789\r\nx\r\n".repeat(10_000) + "0\r\n\r\n";
    let whole = fuzz::read([(chunked + &many).as_bytes()], 0);
    assert_eq!(whole.0[0].body_bytes, many.len() as u64, "the bound is for each chunk");
}

#[test]
fn a_faulty_coding_is_read_and_ends_the_connection() {
    let last = "0\r\n\r\n";
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 100\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let reply = one(&(head(fields) + last));
        assert_eq!((reply.body_bytes, reply.keep_alive), (5, false), "{fields}");
    }
    let old =
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(!one(old).keep_alive);
    for unknown in ["gzip", "chunked, gzip", "identity", "chunkedx", ""] {
        let fields = format!("Transfer-Encoding: {unknown}\r\nContent-Length: 1\r\n");
        let reply = one(&(head(&fields) + last));
        assert_eq!((reply.body_bytes, reply.keep_alive), (5, false), "{unknown:?}");
    }
}

#[test]
fn who_stays() {
    for (version, field, stays) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, CLOSE ,y\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let input = format!("HTTP/{version} 200 OK\r\n{field}Content-Length: 1\r\n\r\nx");
        assert_eq!(one(&input).keep_alive, stays, "{input:?}");
    }
}

#[test]
fn interim_replies_are_passed_over() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let last = head("Content-Length: 1\r\n");
    let reply = one(&(interim.to_owned() + &last + "x"));
    assert_eq!((reply.status, reply.body_bytes), (200, 1));
    assert_eq!(reply.head_bytes as usize, interim.len() + last.len());
    assert_eq!(fails(interim), Class::Cut);
    assert_eq!(fails("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Class::Garbage);
    // Not without end.
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(HEADS_BYTES / 25 + 1);
    assert_eq!(fuzz::read([endless.as_bytes()], 0), (vec![], Class::Garbage));
    assert_eq!(fuzz::read(endless.as_bytes().chunks(1000), 0), (vec![], Class::Garbage));
}

#[test]
fn what_is_no_head_is_garbage() {
    for bad in [
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "\nHTTP/1.1 200 OK\r\n\r\n",
        " HTTP/1.1 200 OK\r\n\r\n",
        "220 smtp ready\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\rx",
        "\x15\x03\x01\0\x02\x02\x0a",
    ] {
        assert_eq!(fails(bad), Class::Garbage, "{bad:?}");
    }
    for part in ["H", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r"] {
        assert_eq!(fails(part), Class::Cut, "{part:?}");
    }
    assert_eq!(fails(""), Class::Closed);
}

#[test]
fn who_speaks_another_protocol_is_known_at_once() {
    let mut reader = ReplyReader::new();
    assert!(reader.feed(b"H", GET).is_ok());
    assert_eq!(reader.feed(b"ello", GET), Err(Class::Garbage), "without the end of a line");
}

#[test]
fn heads_are_bounded() {
    let status = "HTTP/1.1 200 OK\r\n";
    let full = |bytes: usize| {
        let rest = bytes - status.len() - "A: \r\n\r\n".len();
        format!("{status}A: {}\r\n\r\n", "x".repeat(rest))
    };
    for (bytes, expected) in [(HEADS_BYTES, Class::Closed), (HEADS_BYTES + 1, Class::Garbage)] {
        let input = full(bytes);
        assert_eq!(fuzz::read([input.as_bytes()], 0b111).1, expected);
        assert_eq!(fuzz::read(input.as_bytes().chunks(1000), 0b111).1, expected);
        assert_eq!(fuzz::read(input.as_bytes().chunks(HEADS_BYTES), 0b111).1, expected);
    }
    for (fields, expected) in [(128, Class::Closed), (129, Class::Garbage)] {
        let input = head(&"A: b\r\n".repeat(fields));
        assert_eq!(fuzz::read([input.as_bytes()], 0b111).1, expected);
        assert_eq!(fuzz::read(input.as_bytes().chunks(7), 0b111).1, expected);
    }
}

#[test]
fn replies_come_in_order_and_no_more_than_were_asked_for() {
    let replies =
        head("Content-Length: 1\r\n") + "x" + &head("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n";
    let mut reader = ReplyReader::new();
    let first = reader.feed(replies.as_bytes(), GET).unwrap();
    assert_eq!(first.reply.map(|it| it.body_bytes), Some(1));
    assert!(reader.is_between_replies());
    let rest = &replies.as_bytes()[first.used..];
    let mut bold = reader.clone();
    assert_eq!(bold.feed(rest, None), Err(Class::Garbage));
    assert_eq!(bold.feed(b"", GET).unwrap().reply, None);
    let second = reader.feed(rest, GET).unwrap();
    assert_eq!((second.used, second.reply.map(|it| it.body_bytes)), (rest.len(), Some(5)));
    assert_eq!(reader.feed(b"", None).unwrap().used, 0, "nothing is not too much");
    assert_eq!(reader.end(), Err(Class::Closed));
    assert_eq!(reader.feed(b"H", GET), Err(Class::Closed), "there is nothing after the end");
}

#[test]
fn nothing_comes_after_the_last_reply() {
    let mut reader = ReplyReader::new();
    let last = head("Content-Length: 0\r\nConnection: close\r\n");
    assert!(reader.feed(last.as_bytes(), GET).unwrap().reply.is_some());
    let mut bold = reader.clone();
    assert_eq!(bold.feed(last.as_bytes(), GET), Err(Class::Garbage));
    assert_eq!(reader.end(), Err(Class::Closed));
}

#[test]
fn the_first_byte_of_a_reply_can_be_told() {
    let mut reader = ReplyReader::new();
    assert!(reader.is_between_replies());
    for piece in
        ["H", "TTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "x"]
    {
        assert_eq!(reader.feed(piece.as_bytes(), GET).unwrap().reply, None);
        assert!(!reader.is_between_replies(), "{piece:?}");
    }
    assert!(reader.feed(b"x", GET).unwrap().reply.is_some());
    assert!(reader.is_between_replies());
}

#[test]
fn a_reader_begins_anew() {
    let whole = head("Content-Length: 1\r\n") + "x";
    let cut = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2";
    for left in [
        cut,
        "HTTP/1.1 200 OK\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        "garbage",
    ] {
        let mut reader = ReplyReader::new();
        let _ = reader.feed(left.as_bytes(), GET);
        reader.reset();
        assert!(reader.is_between_replies(), "{left:?}");
        let fresh = ReplyReader::new().feed(whole.as_bytes(), GET);
        assert_eq!(reader.feed(whole.as_bytes(), GET), fresh, "{left:?}");
        assert!(fresh.unwrap().reply.is_some());
    }
}

/// The head that is remembered must be no more than its bytes: neither what was asked nor what went before.
#[test]
fn a_head_that_was_seen_before_is_read_as_before() {
    let same = head("Content-Length: 3\r\n");
    let mut reader = ReplyReader::new();
    for (body, asked, body_bytes) in [("abc", GET, 3), ("", HEAD, 0), ("abc", GET, 3)] {
        let step = reader.feed((same.clone() + body).as_bytes(), asked).unwrap();
        assert_eq!(step.reply.map(|it| (it.status, it.body_bytes)), Some((200, body_bytes)));
        assert_eq!(step.reply.map(|it| it.head_bytes), Some(same.len() as u64));
    }
    let other = same.replace("200", "201").replace('3', "4") + "abcd";
    for _ in 0..3 {
        let step = reader.feed(other.as_bytes(), GET).unwrap();
        assert_eq!(step.reply.map(|it| (it.status, it.body_bytes)), Some((201, 4)));
    }
}

#[test]
fn only_short_final_heads_are_remembered() {
    let read = |head: &str| Head::read(head.as_bytes()).unwrap().unwrap();
    let mut known = Known::new();
    assert_eq!(known.find(b""), None);
    assert_eq!(known.find(b"HTTP/1.1"), None);
    let long = head(&format!("A: {}\r\n", "x".repeat(1024)));
    let (short, other) = (head("A: b\r\n"), head("A: c\r\n"));
    for text in [&short, &other, &long, "HTTP/1.1 100 Continue\r\n\r\n"] {
        known.remember(text.as_bytes(), read(text));
        let is_kept = [&short, &other].contains(&&text.to_owned());
        assert_eq!(known.find(text.as_bytes()), is_kept.then(|| read(text)), "{text:.30}");
    }
    assert_eq!(known.find((other.clone() + "body").as_bytes()), Some(read(&other)));
    assert_eq!(known.find(short.as_bytes()), None, "the last one alone");
    assert_eq!(known.find(&other.as_bytes()[..other.len() - 1]), None);
}

/// One reply as it is written, whether it was to HEAD, and how it is to be read.
fn any_reply() -> impl Strategy<Value = (Vec<u8>, bool, Reply)> {
    let status = prop_oneof![4 => 200..600_u16, 1 => Just(204), 1 => Just(304)];
    let interim = 0..2_usize;
    let fields = prop::collection::vec("[A-Z][a-z]{0,6}: [ -~]{0,30}", 0..6);
    let body = prop::collection::vec(any::<u8>(), 0..200);
    let chunk = prop_oneof![Just(None), (1..50_usize).prop_map(Some)];
    (status, interim, fields, body, chunk, any::<bool>()).prop_map(
        |(status, interim, fields, body, chunk, is_head)| {
            let mut bytes = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(interim);
            bytes.extend(format!("HTTP/1.1 {status} \r\n").bytes());
            fields.iter().for_each(|field| bytes.extend(format!("{field}\r\n").bytes()));
            let mut wire = Vec::new();
            match chunk {
                None => {
                    bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                    wire = body;
                }
                Some(size) => {
                    bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                    for chunk in body.chunks(size) {
                        wire.extend(format!("{:x};e\r\n", chunk.len()).bytes());
                        wire.extend(chunk);
                        wire.extend(b"\r\n");
                    }
                    wire.extend(b"0\r\nA: b\r\n\r\n");
                }
            }
            let head_bytes = bytes.len() as u64;
            if !is_head && !matches!(status, 204 | 304) {
                bytes.extend(wire);
            }
            let body_bytes = bytes.len() as u64 - head_bytes;
            (bytes, is_head, Reply { status, keep_alive: true, head_bytes, body_bytes })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn pieces_change_nothing(
        replies in prop::collection::vec(any_reply(), 1..8),
        sizes in prop::collection::vec(1..300_usize, 1..20),
    ) {
        let bytes: Vec<u8> = replies.iter().flat_map(|it| it.0.iter().copied()).collect();
        let mut reader = ReplyReader::new();
        let mut found = Vec::new();
        let mut rest = bytes.as_slice();
        for size in sizes.iter().cycle() {
            let (mut piece, later) = rest.split_at(rest.len().min(*size));
            while !piece.is_empty() {
                let asked = replies.get(found.len()).map(|it| if it.1 { Asked::Head } else { Asked::Content });
                let step = reader.feed(piece, asked).unwrap();
                piece = &piece[step.used..];
                found.extend(step.reply);
            }
            rest = later;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(found, replies.iter().map(|it| it.2).collect::<Vec<_>>());
        prop_assert_eq!(reader.feed(b"x", None), Err(Class::Garbage));
    }

    #[test]
    fn random_bytes_are_read_as_something(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::replies(&bytes);
    }

    #[test]
    fn what_is_nearly_a_reply_is_read_alike_in_pieces(
        replies in prop::collection::vec(any_reply(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        choice: u8,
    ) {
        let mut bytes = vec![choice];
        replies.iter().for_each(|it| bytes.extend(&it.0));
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fuzz::replies(&bytes);
    }
}
