//! Bodies of either framing, whole and in pieces.

use super::*;

const CHUNKED: Framing = Framing::Chunked;

/// What becomes of the bytes, at once and cut at every place.
fn outcome(framing: Framing, allowed: u64, input: &[u8]) -> Progress {
    let fresh = || Body::new(framing, allowed).unwrap().expect("a body");
    let whole = fresh().take(input);
    for cut in 0..input.len() {
        let mut body = fresh();
        let pieces = match body.take(&input[..cut]) {
            Progress::More => match body.take(&input[cut..]) {
                Progress::Ended(bytes) => Progress::Ended(cut + bytes),
                other => other,
            },
            other => other,
        };
        assert_eq!(pieces, whole, "cut at {cut}: {input:?}");
    }
    whole
}

#[test]
fn a_length() {
    assert_eq!(outcome(Framing::Length(5), 5, b"01234GET"), Progress::Ended(5));
    assert_eq!(outcome(Framing::Length(5), 5, b"0123"), Progress::More);
    assert_eq!(Body::new(Framing::Length(6), 5).unwrap_err(), Status::ContentTooLarge);
    assert!(Body::new(Framing::Nothing, 0).unwrap().is_none());
}

#[test]
fn chunks() {
    for (input, rest) in [
        ("0\r\n\r\n", 0),
        ("5\r\n01234\r\n0\r\n\r\nGET", 3),
        ("000a;a=b;c=\"d e\"\r\n0123456789\r\n0\r\n\r\n", 0),
        ("A\r\n0123456789\r\n1\r\nx\r\n00\r\nTrailer: x\r\nB: y\r\n\r\nG", 1),
    ] {
        let ended = Progress::Ended(input.len() - rest);
        assert_eq!(outcome(CHUNKED, 1000, input.as_bytes()), ended, "{input:?}");
    }
    assert_eq!(outcome(CHUNKED, 1000, b"5\r\n0123"), Progress::More);
}

#[test]
fn malformed_chunks() {
    for input in [
        "\r\n",
        ";\r\n",
        " 5\r\n",
        "5 \r\n",
        "+5\r\n",
        "0x5\r\n",
        "g\r\n",
        "5\n",
        "5\r5",
        "5;\n",
        "5;a\rb",
        "1\r\nxy",
        "1\r\nx\n",
        "1\r\nx\r\r",
        "0\r\n\n",
        "0\r\n\rx",
        "0\r\nA: b\n",
        "0\r\nA: b\rc",
        "0\r\nA\0",
        "0\r\nA\r",
        "0\r\nA : b",
        "0\r\n: b",
        "0\r\nA: b\r\n c",
        "0\r\n\tA: b",
        "11111111111111111\r\n",
    ] {
        let refused = Progress::Refused(Status::BadRequest);
        assert_eq!(outcome(CHUNKED, 1000, input.as_bytes()), refused, "{input:?}");
    }
}

#[test]
fn chunks_beyond_the_bound() {
    let refused = Progress::Refused(Status::ContentTooLarge);
    // Announced, sent in small pieces, or hidden in extensions, zeros and trailers.
    for input in [
        "ffffffffffffffff\r\n".to_owned(),
        "20\r\n".to_owned(),
        "1\r\nx\r\n".repeat(10),
        format!("1;{}", "x".repeat(100)),
        format!("0\r\n{}", "A: b\r\n".repeat(10)),
    ] {
        assert_eq!(outcome(CHUNKED, 32, input.as_bytes()), refused, "{input:?}");
    }
    assert_eq!(outcome(CHUNKED, 10, b"0\r\nA:b\r\n\r\n"), Progress::Ended(10));
}
