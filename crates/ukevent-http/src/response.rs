//! Writes the heads of answers into a buffer. Allocates nothing that the buffer does not.
//!
//! RFC 9112, 4 and 9.3; RFC 9110, 6.6.1. Answers are HTTP/1.1 whatever the request was.

use crate::{date::Date, out::Out, status::Status};

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
pub(crate) fn begin(out: &mut Out, status: Status, date: &Date) {
    out.put_all(&[
        b"HTTP/1.1 ",
        status.line().as_bytes(),
        b"\r\nServer: ukevent\r\nDate: ",
        date.text(),
        b"\r\n",
    ]);
}

/// Connection, if it has to be said, and the empty line.
pub(crate) fn end(out: &mut Out, persistence: Persistence) {
    out.put(match persistence {
        Persistence::Stay => b"\r\n",
        Persistence::SayStay => b"Connection: keep-alive\r\n\r\n",
        Persistence::Close => b"Connection: close\r\n\r\n",
    });
}

/// An answer that is only a status: its reason and a sentence, as text, unless `without_content`.
/// `fields` are further lines of the head, each with its end.
pub(crate) fn plain(
    out: &mut Out,
    status: Status,
    date: &Date,
    persistence: Persistence,
    fields: &[u8],
    without_content: bool,
) {
    let text: [&[u8]; 4] =
        [status.line().as_bytes(), b"\n", status.explanation().as_bytes(), b"\n"];
    begin(out, status, date);
    out.put_all(&[fields, b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: "]);
    number(out, text.iter().map(|part| part.len() as u64).sum());
    out.put(b"\r\n");
    end(out, persistence);
    if !without_content {
        out.put_all(&text);
    }
}

/// A number in decimal.
pub(crate) fn number(out: &mut Out, number: u64) {
    digits(number, |digits| out.put(digits));
}

/// The digits of a number, wherever they go.
pub(crate) fn digits(number: u64, put: impl FnOnce(&[u8])) {
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
    put(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use ukevent_buf::{Arena, FramePool};

    #[test]
    fn numbers() {
        for value in [0, 9, 10, 4096, u64::MAX] {
            let mut out = Out::default();
            number(&mut out, value);
            assert_eq!(&out.take()[..], value.to_string().as_bytes());
        }
    }

    #[test]
    fn a_plain_answer() {
        let mut out = Out::default();
        plain(&mut out, Status::NotFound, &Date::at(0), Persistence::Close, b"A: b\r\n", false);
        assert_eq!(
            String::from_utf8(out.take().into()).unwrap(),
            "HTTP/1.1 404 Not Found\r\nServer: ukevent\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             A: b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 45\r\n\
             Connection: close\r\n\r\n404 Not Found\nThere is nothing of this name.\n"
        );
    }

    /// The only frame of a pool is used again and again.
    #[test]
    fn writes_into_a_frame_without_allocating() {
        let arena = Arena::new(1 << 20).unwrap();
        let pool = Arc::new(FramePool::builder(1, 4096).build(&arena).unwrap());
        let mut out = Out::new(pool);
        for _ in 0..8 {
            plain(&mut out, Status::NotFound, &Date::at(0), Persistence::Stay, b"", true);
            assert_eq!(out.take().frame_index(), Some(0));
        }
    }
}
