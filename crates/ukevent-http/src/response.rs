//! Writes the heads of answers into a buffer. Allocates nothing once the buffer has grown.
//!
//! RFC 9112, 4 and 9.3; RFC 9110, 6.6.1. Answers are HTTP/1.1 whatever the request was.

use crate::{date::Date, status::Status};

/// What becomes of the connection after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It stays, as HTTP/1.1 takes for granted.
    Stay,
    /// It stays, and an HTTP/1.0 client must be told.
    SayStay,
    Close,
}

/// The interim answer that a client may wait for before it sends a body.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Status line, Server and Date.
pub(crate) fn begin(out: &mut Vec<u8>, status: Status, date: &Date) {
    put(
        out,
        &[
            b"HTTP/1.1 ",
            status.line().as_bytes(),
            b"\r\nServer: ukevent\r\nDate: ",
            date.text(),
            b"\r\n",
        ],
    );
}

/// Connection, if it has to be said, and the empty line.
pub(crate) fn end(out: &mut Vec<u8>, persistence: Persistence) {
    put(
        out,
        &[match persistence {
            Persistence::Stay => b"\r\n",
            Persistence::SayStay => b"Connection: keep-alive\r\n\r\n",
            Persistence::Close => b"Connection: close\r\n\r\n",
        }],
    );
}

/// An answer that is only a status: its reason and a sentence, as text, unless `without_content`.
/// `fields` are further lines of the head, each with its end.
pub(crate) fn plain(
    out: &mut Vec<u8>,
    status: Status,
    date: &Date,
    persistence: Persistence,
    fields: &[u8],
    without_content: bool,
) {
    let text: [&[u8]; 4] =
        [status.line().as_bytes(), b"\n", status.explanation().as_bytes(), b"\n"];
    begin(out, status, date);
    put(out, &[fields, b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: "]);
    number(out, text.iter().map(|part| part.len() as u64).sum());
    put(out, &[b"\r\n"]);
    end(out, persistence);
    if !without_content {
        put(out, &text);
    }
}

/// A number in decimal.
pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

pub(crate) fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for value in [0, 9, 10, 4096, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
        }
    }

    #[test]
    fn a_plain_answer() {
        let mut out = Vec::new();
        plain(&mut out, Status::NotFound, &Date::at(0), Persistence::Close, b"A: b\r\n", false);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 404 Not Found\r\nServer: ukevent\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             A: b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 45\r\n\
             Connection: close\r\n\r\n404 Not Found\nThere is nothing of this name.\n"
        );
    }

    #[test]
    fn writes_into_a_grown_buffer_without_allocating() {
        let mut out = Vec::with_capacity(4096);
        let at = out.as_ptr();
        for _ in 0..8 {
            out.clear();
            plain(&mut out, Status::NotFound, &Date::at(0), Persistence::Stay, b"", true);
        }
        assert_eq!((out.as_ptr(), out.capacity()), (at, 4096));
    }
}
