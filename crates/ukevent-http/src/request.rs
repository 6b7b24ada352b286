//! Reads the head of a request: `NeedMore`, `Request` or `Refuse`.
//!
//! RFC 9112: 2.2 lines, bare CR and LF, white space before the first field; 2.3 versions; 3 the request
//! line; 3.2 Host; 5.1 and 5.2 colons and folded lines; 6.1 to 6.3 what frames a body; 9.3 and 9.6 who
//! stays. RFC 9110: 5.6.1 lists; 7.2 Host; 8.6 Content-Length; 9.1 methods; 10.1.1 Expect. Read strictly, because what two readers of one connection understand
//! differently is how requests are smuggled: every line ends with CR LF, no line is folded, no
//! space stands before a colon, there is one Host, one Content-Length of digits only, and never a
//! Content-Length beside a Transfer-Encoding. `httparse` finds the lines and refuses stray
//! characters; what it lets pass (a bare LF) and what it does not look at (the meaning of fields)
//! is decided here.
//!
//! Two choices that the RFCs leave: HTTP/0.9 is no protocol that is spoken here (400), and a minor version
//! that nobody has defined is refused (505) and not taken for the highest that is known (RFC 9110, 2.5 has
//! it as a SHOULD): there will be none.
//!
//! Invariants: the answer does not depend on how the bytes were cut into pieces; every refusal
//! means that the end of the request is unknown, so the connection ends with it.

use crate::{
    limits::{FIELDS, Limits},
    status::Status,
};
use bitflags::bitflags;
use httparse::Header;
use std::mem::MaybeUninit;

/// Room for the fields of a head, on the caller's stack.
pub(crate) type Fields<'b> = [MaybeUninit<Header<'b>>; FIELDS];

/// What a beginning of the input is.
#[derive(Debug)]
pub(crate) enum Parsed<'h, 'b> {
    /// The beginning of a head.
    NeedMore,
    /// A whole head.
    Request(Request<'h, 'b>),
    /// Not the head of a request that this server reads. Answer so, and close.
    Refuse(Status),
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Request<'h, 'b> {
    pub(crate) method: Method,
    /// The request target, as it came.
    pub(crate) target: &'b str,
    /// HTTP/1.0, else HTTP/1.1.
    pub(crate) is_1_0: bool,
    pub(crate) framing: Framing,
    pub(crate) expect: Expect,
    /// Whether the client wants the connection to stay.
    pub(crate) keep_alive: bool,
    /// Bytes of the head, its last empty line included.
    pub(crate) head_bytes: usize,
    present: Present,
    fields: &'h [Header<'b>],
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Options,
    /// A method of the registry that is not answered here: 405.
    Other,
    /// Not a method of the registry: 501.
    Unknown,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Nothing,
    Length(u64),
    Chunked,
}

/// What the Expect field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    Nothing,
    Continue,
    Unknown,
}

bitflags! {
    /// Fields that are looked up later, if they are there.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Present: u8 {
        const IF_MATCH = 1;
        const IF_NONE_MATCH = 2;
        const IF_MODIFIED_SINCE = 4;
        const IF_UNMODIFIED_SINCE = 8;
        const IF_RANGE = 16;
        const RANGE = 32;
        const ACCEPT = 64;
        const ACCEPT_ENCODING = 128;
        const CONDITIONAL = 1 | 2 | 4 | 8;
    }
}

impl Present {
    const fn name(self) -> &'static str {
        match self {
            Self::IF_MATCH => "if-match",
            Self::IF_NONE_MATCH => "if-none-match",
            Self::IF_MODIFIED_SINCE => "if-modified-since",
            Self::IF_UNMODIFIED_SINCE => "if-unmodified-since",
            Self::IF_RANGE => "if-range",
            Self::ACCEPT => "accept",
            Self::ACCEPT_ENCODING => "accept-encoding",
            _ => "range",
        }
    }
}

impl<'b> Request<'_, 'b> {
    /// Whether any of these fields is there.
    pub(crate) fn has(&self, any: Present) -> bool {
        self.present.intersects(any)
    }

    /// The values of one field, line by line.
    pub(crate) fn values(&self, one: Present) -> impl Iterator<Item = &'b [u8]> {
        let fields = if self.has(one) { self.fields } else { &[] };
        fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(one.name()))
            .map(|field| field.value)
    }

    /// The value of a field that may stand only once; `None` if it does not.
    pub(crate) fn value(&self, one: Present) -> Option<&'b [u8]> {
        let mut values = self.values(one);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }
}

/// How many bytes of empty lines stand before a request. They are skipped (RFC 9112, 2.2).
pub(crate) fn empty_lines(input: &[u8]) -> usize {
    2 * input.chunks_exact(2).take_while(|pair| *pair == b"\r\n").count()
}

/// Reads the head that `input` begins with, empty lines taken off. Allocates nothing.
pub(crate) fn parse<'h, 'b>(
    input: &'b [u8],
    fields: &'h mut Fields<'b>,
    limits: &Limits,
) -> Parsed<'h, 'b> {
    let window = &input[..input.len().min(limits.head_bytes)];
    let mut head = httparse::Request::new(&mut []);
    match head.parse_with_uninit_headers(window, fields) {
        Ok(httparse::Status::Complete(head_bytes)) => {
            let (Some(method), Some(target), Some(minor)) = (head.method, head.path, head.version)
            else {
                return Parsed::Refuse(Status::BadRequest);
            };
            let line_bytes = method.len() + target.len() + " ".len() + " HTTP/1.1\r\n".len();
            if line_bytes > limits.line_bytes {
                return Parsed::Refuse(Status::UriTooLong);
            }
            if has_bare_line_feed(&input[..head_bytes]) {
                return Parsed::Refuse(Status::BadRequest);
            }
            match understand(method, target, minor, head.headers) {
                Ok(request) => Parsed::Request(Request { head_bytes, ..request }),
                Err(status) => Parsed::Refuse(status),
            }
        }
        Ok(httparse::Status::Partial) | Err(_) => without_end(input, limits),
    }
}

/// What is to be said of input in which no head ends. Looks only at what stands before the first
/// offence, so that the answer is the same whatever else has arrived already.
#[cold]
fn without_end<'h, 'b>(input: &'b [u8], limits: &Limits) -> Parsed<'h, 'b> {
    let mut offence = None;
    let mut window = input;
    if let Some(head) = window.get(..limits.head_bytes) {
        (window, offence) = (head, Some(Status::HeaderFieldsTooLarge));
    }
    if let Some(line) = window.get(..limits.line_bytes).filter(|line| !line.contains(&b'\n')) {
        (window, offence) = (line, Some(Status::UriTooLong));
    }
    if let Some(at) = bare_line_feed(window) {
        (window, offence) = (&window[..at], Some(Status::BadRequest));
    }
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    match httparse::Request::new(&mut []).parse_with_uninit_headers(window, &mut fields) {
        Ok(_) => offence.map_or(Parsed::NeedMore, Parsed::Refuse),
        Err(httparse::Error::TooManyHeaders) => Parsed::Refuse(Status::HeaderFieldsTooLarge),
        Err(httparse::Error::Version) => unknown_version(window),
        Err(_) => Parsed::Refuse(Status::BadRequest),
    }
}

/// `HTTP/2.0` is a version, of another protocol; `HTTP/one` is not; `HTTP/2.` may become one.
fn unknown_version<'h, 'b>(input: &'b [u8]) -> Parsed<'h, 'b> {
    let version = input.splitn(3, |&byte| byte == b' ').nth(2).unwrap_or_default();
    let fits = b"HTTP/0.0".iter().zip(version).all(|(pattern, byte)| {
        if *pattern == b'0' { byte.is_ascii_digit() } else { pattern == byte }
    });
    match (fits, version.len()) {
        (true, 8..) => Parsed::Refuse(Status::VersionNotSupported),
        (true, _) => Parsed::NeedMore,
        (false, _) => Parsed::Refuse(Status::BadRequest),
    }
}

/// Whether a line ends with LF alone. No early end, so that the compiler compares many at a time.
fn has_bare_line_feed(head: &[u8]) -> bool {
    let pairs = head.iter().zip(head.iter().skip(1));
    pairs.fold(head.starts_with(b"\n"), |bare, (before, byte)| {
        bare | ((*byte == b'\n') & (*before != b'\r'))
    })
}

/// Where the first line ends with LF alone.
fn bare_line_feed(input: &[u8]) -> Option<usize> {
    (0..input.len()).find(|&at| input[at] == b'\n' && (at == 0 || input[at - 1] != b'\r'))
}

/// Gives the fields their meaning.
fn understand<'h, 'b>(
    method: &'b str,
    target: &'b str,
    minor: u8,
    fields: &'h [Header<'b>],
) -> Result<Request<'h, 'b>, Status> {
    let is_1_0 = minor == 0;
    let mut present = Present::empty();
    let mut hosts = 0;
    let mut length = None;
    let mut coding = None;
    let mut expect = Expect::Nothing;
    let (mut close, mut stay) = (false, false);
    for field in fields {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        // The length sorts most fields out at once.
        match field.name.len() {
            4 if is("host") => {
                hosts += 1;
                if hosts > 1 || !is_host(field.value) {
                    return Err(Status::BadRequest);
                }
            }
            5 if is("range") => present |= Present::RANGE,
            6 if is("expect") => {
                for element in elements(field.value) {
                    let known = element.eq_ignore_ascii_case(b"100-continue");
                    let unknown = !known || expect == Expect::Unknown;
                    expect = if unknown { Expect::Unknown } else { Expect::Continue };
                }
            }
            6 if is("accept") => present |= Present::ACCEPT,
            8 if is("if-match") => present |= Present::IF_MATCH,
            8 if is("if-range") => present |= Present::IF_RANGE,
            10 if is("connection") => {
                for option in elements(field.value) {
                    close |= option.eq_ignore_ascii_case(b"close");
                    stay |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            13 if is("if-none-match") => present |= Present::IF_NONE_MATCH,
            14 if is("content-length") => {
                if length.is_some() {
                    return Err(Status::BadRequest);
                }
                length = Some(content_length(field.value)?);
            }
            17 if is("transfer-encoding") => {
                coding = Some(join_coding(coding, field.value));
            }
            15 if is("accept-encoding") => present |= Present::ACCEPT_ENCODING,
            17 if is("if-modified-since") => present |= Present::IF_MODIFIED_SINCE,
            19 if is("if-unmodified-since") => present |= Present::IF_UNMODIFIED_SINCE,
            _ => {}
        }
    }
    if hosts == 0 && !is_1_0 {
        return Err(Status::BadRequest);
    }
    if is_1_0 {
        // HTTP/1.0 knows no expectations (RFC 9110, 10.1.1).
        expect = Expect::Nothing;
    }
    Ok(Request {
        method: Method::of(method),
        target,
        is_1_0,
        framing: framing(length, coding, is_1_0)?,
        expect,
        keep_alive: !close && (stay || !is_1_0),
        head_bytes: 0,
        present,
        fields,
    })
}

impl Method {
    /// Methods are told apart by case (RFC 9110, 9.1).
    fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "POST" | "PUT" | "DELETE" | "CONNECT" | "TRACE" | "PATCH" | "ACL"
            | "BASELINE-CONTROL" | "BIND" | "CHECKIN" | "CHECKOUT" | "COPY" | "LABEL" | "LINK"
            | "LOCK" | "MERGE" | "MKACTIVITY" | "MKCALENDAR" | "MKCOL" | "MKREDIRECTREF"
            | "MKWORKSPACE" | "MOVE" | "ORDERPATCH" | "PROPFIND" | "PROPPATCH" | "QUERY"
            | "REBIND" | "REPORT" | "SEARCH" | "UNBIND" | "UNCHECKOUT" | "UNLINK" | "UNLOCK"
            | "UPDATE" | "UPDATEREDIRECTREF" | "VERSION-CONTROL" => Self::Other,
            _ => Self::Unknown,
        }
    }
}

/// What the Transfer-Encoding lines name, read together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// Nothing yet, in an empty list.
    Empty,
    /// `chunked` alone.
    Chunked,
    /// `chunked` last, after others.
    OthersThenChunked,
    /// Something else last: the end of the body cannot be found.
    Endless,
}

fn join_coding(before: Option<Coding>, value: &[u8]) -> Coding {
    elements(value).fold(before.unwrap_or(Coding::Empty), |before, element| {
        match (before, element.eq_ignore_ascii_case(b"chunked")) {
            (Coding::Empty, true) => Coding::Chunked,
            (Coding::Endless, true) => Coding::OthersThenChunked,
            // Chunked twice, or not last: RFC 9112, 6.1.
            _ => Coding::Endless,
        }
    })
}

/// How long the body is (RFC 9112, 6.3).
fn framing(length: Option<u64>, coding: Option<Coding>, is_1_0: bool) -> Result<Framing, Status> {
    match (length, coding) {
        (None, None) => Ok(Framing::Nothing),
        (Some(0), None) => Ok(Framing::Nothing),
        (Some(bytes), None) => Ok(Framing::Length(bytes)),
        (None, Some(Coding::Chunked)) if !is_1_0 => Ok(Framing::Chunked),
        (None, Some(Coding::OthersThenChunked)) if !is_1_0 => Err(Status::NotImplemented),
        // Both fields, a coding in HTTP/1.0, or a last coding that is not chunked: nobody can tell
        // where this request ends.
        _ => Err(Status::BadRequest),
    }
}

/// Digits and nothing else. A number beyond 64 bits is too large, not malformed.
fn content_length(value: &[u8]) -> Result<u64, Status> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Status::BadRequest);
    }
    Ok(value.iter().fold(0u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

/// Whether a value is a host, which may be empty, and a port (RFC 9110, 7.2; RFC 3986, 3.2.2 and 3.2.3).
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (host, port) = split_port(value);
    let is_named = match host {
        [b'[', literal @ .., b']'] => is_literal(literal),
        name => is_name(name),
    };
    is_named && port.is_none_or(|port| port.iter().all(u8::is_ascii_digit))
}

/// The host, and what follows the colon behind it, if there is one.
pub(crate) fn split_port(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    // Those of an address in brackets are not it.
    let from = value.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    match value[from..].iter().position(|&byte| byte == b':') {
        Some(at) => (&value[..from + at], Some(&value[from + at + 1..])),
        None => (value, None),
    }
}

/// `reg-name`, of which an IPv4 address is one.
fn is_name(name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest
            }
            [byte, rest @ ..] if is_plain(*byte) => rest,
            _ => return false,
        };
    }
}

/// What stands in the brackets of an `IP-literal`.
fn is_literal(literal: &[u8]) -> bool {
    if let [b'v' | b'V', future @ ..] = literal {
        let Some(dot) = future.iter().position(|&byte| byte == b'.') else { return false };
        let (version, address) = (&future[..dot], &future[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(|&byte| is_plain(byte) || byte == b':');
    }
    std::str::from_utf8(literal).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// `unreserved` and `sub-delims`.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~')
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// The elements of a comma-separated list, empty ones left out (RFC 9110, 5.6.1).
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Takes spaces and tabs off both ends.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests;
