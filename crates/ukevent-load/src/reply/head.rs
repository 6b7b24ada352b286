//! Reads the head of a reply: `httparse` finds its lines, what they mean is decided here.

use crate::Class;
use httparse::{Header, ParserConfig, Response};
use std::mem::MaybeUninit;

/// The most fields of a head.
const FIELDS: usize = 128;

/// `HTTP/1.1 200 `: with so many bytes it is clear whether it is a status line.
pub(super) const STATUS_LINE_BYTES: usize = 13;

/// A head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Of the head, its empty line included.
    pub(super) bytes: u32,
    pub(super) status: u16,
    /// As the fields have it; what lasts until the end of the connection says nothing of that.
    pub(super) keep_alive: bool,
    pub(super) framing: Framing,
}

/// What a body is bounded by, if the status and the method allow one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilEnd,
}

impl Head {
    pub(super) const NONE: Self =
        Self { bytes: 0, status: 0, keep_alive: false, framing: Framing::UntilEnd };

    /// Reads the head that `input` begins with, which is no longer than a head may be; `None` if it does not end
    /// there. Allocates nothing.
    pub(super) fn read(input: &[u8]) -> Result<Option<Self>, Class> {
        // Empty lines that httparse would skip.
        if input.first().is_some_and(|&byte| byte != b'H') {
            return Err(Class::Garbage);
        }
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let mut response = Response::new(&mut []);
        let result = ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            input,
            &mut fields,
        );
        match (result, response.code, response.version) {
            (Ok(httparse::Status::Complete(bytes)), Some(status), Some(minor)) => {
                understand(bytes as u32, status, minor == 0, response.headers).map(Some)
            }
            (Ok(_), ..) => Ok(None),
            (Err(_), ..) => Err(Class::Garbage),
        }
    }

    /// Whether another head follows.
    #[inline]
    pub(super) const fn is_interim(self) -> bool {
        self.status < 200
    }
}

/// How many bytes of `more` belong to a head that begins with `kept`: all, or up to its empty line.
pub(super) fn until_empty_line(kept: &[u8], more: &[u8]) -> usize {
    // The byte that stands so many before one of `more`.
    let before = |at: usize, count: usize| match at.checked_sub(count) {
        Some(at) => more.get(at),
        None => (kept.len() + at).checked_sub(count).and_then(|at| kept.get(at)),
    };
    let ends_empty_line = |&at: &usize| match before(at, 1) {
        Some(b'\n') => true,
        Some(b'\r') => before(at, 2) == Some(&b'\n'),
        _ => false,
    };
    let mut lines = (0..more.len()).filter(|&at| more[at] == b'\n');
    lines.find(ends_empty_line).map_or(more.len(), |at| at + 1)
}

/// Gives the fields their meaning.
fn understand(bytes: u32, status: u16, is_1_0: bool, fields: &[Header<'_>]) -> Result<Head, Class> {
    if status < 100 || status == 101 {
        return Err(Class::Garbage);
    }
    let mut length = None;
    let mut coding = Coding::default();
    let (mut close, mut stay) = (false, false);
    for field in fields {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        // The length sorts most fields out at once.
        match field.name.len() {
            10 if is("connection") => {
                for option in elements(field.value) {
                    close |= option.eq_ignore_ascii_case(b"close");
                    stay |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if is("content-length") => length = Some(content_length(length, field.value)?),
            17 if is("transfer-encoding") => coding.add(field.value),
            _ => {}
        }
    }
    let is_faulty = coding.is_there && (is_1_0 || length.is_some() || coding.chunked > 1);
    Ok(Head {
        bytes,
        status,
        keep_alive: !close && !is_faulty && (stay || !is_1_0),
        framing: match (coding, length) {
            (Coding { is_there: true, ends_chunked: true, .. }, _) => Framing::Chunked,
            (Coding { is_there: true, .. }, _) | (_, None) => Framing::UntilEnd,
            (_, Some(length)) => Framing::Length(length),
        },
    })
}

/// What the Transfer-Encoding lines name, read together.
#[derive(Clone, Copy, Default)]
struct Coding {
    is_there: bool,
    /// How often `chunked` is named, and whether last.
    chunked: u32,
    ends_chunked: bool,
}

impl Coding {
    fn add(&mut self, value: &[u8]) {
        self.is_there = true;
        for name in elements(value) {
            self.ends_chunked = name.eq_ignore_ascii_case(b"chunked");
            self.chunked += u32::from(self.ends_chunked);
        }
    }
}

/// The length that a value names, which may do so repeatedly, and others before it have named.
fn content_length(before: Option<u64>, value: &[u8]) -> Result<u64, Class> {
    let mut length = before;
    // Not `elements`, which would pass over what is empty.
    for digits in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        let number = number(digits).ok_or(Class::Garbage)?;
        if length.is_some_and(|length| length != number) {
            return Err(Class::Garbage);
        }
        length = Some(number);
    }
    length.ok_or(Class::Garbage)
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(value)
    })
}

/// The elements of a comma-separated list, empty ones left out (RFC 9110, 5.6.1).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}
