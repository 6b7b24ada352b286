//! Lines of an access log: common, combined, JSON.
//!
//! The first two are the formats of the NCSA and Apache servers, with the time in the zone of the machine;
//! in JSON it is UTC (RFC 3339). What a client sent is foreign: whatever could end a line, end a quoted
//! string or steer a terminal is escaped as Apache does it (`\"`, `\\`, `\xHH` for everything that is not
//! printable ASCII), so a line is always one line of the fields it has. In JSON the escapes are JSON's, for
//! the controls and separators too that JSON would let stand (U+007F to U+009F, U+2028, U+2029), and a byte
//! that is not UTF-8 is U+FFFD.
//!
//! Writes into the caller's buffer and reads no clock. Common and combined lines allocate nothing but what
//! the buffer needs; the time of a second is formatted once.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::{
    io::{self, Write},
    net::IpAddr,
};

/// How a line looks.
///
/// ```
/// use ukevent_http::log::{Format, Lines};
///
/// let lines = [Format::Common, Format::Combined, Format::Json].map(Lines::local);
/// # assert_eq!(lines.len(), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 2326`
    Common,
    /// The same with `"Referer"` and `"User-Agent"` behind it.
    Combined,
    /// One object a line, with the time that the answer took.
    Json,
}

/// A request and its answer, as they are logged.
///
/// ```
/// use ukevent_http::log::{Entry, Format, Lines};
///
/// let entry = Entry {
///     peer: "2001:db8::1".parse()?,
///     unix_ns: 0,
///     request: b"GET / HTTP/1.1",
///     status: 200,
///     content_bytes: 5,
///     took_ns: 1,
///     referer: None,
///     user_agent: Some(b"\n"),
/// };
/// let mut out = Vec::new();
/// Lines::utc(Format::Combined).append(&entry, &mut out);
/// assert!(out.ends_with(b"\"GET / HTTP/1.1\" 200 5 \"-\" \"\\x0a\"\n"));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Who asked.
    pub peer: IpAddr,
    /// When, in nanoseconds after 1970.
    pub unix_ns: u64,
    /// The request line as it came, without its end; empty if none could be read.
    pub request: &'a [u8],
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the answer that left, without its head.
    pub content_bytes: u64,
    /// From the receipt of the request's last bytes to the answer's last, in nanoseconds.
    pub took_ns: u64,
    /// The field Referer, if it came.
    pub referer: Option<&'a [u8]>,
    /// The field User-Agent, if it came.
    pub user_agent: Option<&'a [u8]>,
}

/// Writes lines of one format. Dropping it does nothing: it holds no file.
///
/// ```
/// use ukevent_http::log::{Entry, Format, Lines};
///
/// let mut lines = Lines::utc(Format::Common);
/// let mut out = Vec::new();
/// let entry = Entry {
///     peer: [192, 0, 2, 1].into(),
///     unix_ns: 971_211_336_000_000_000,
///     request: b"GET /\" HTTP/1.1",
///     status: 404,
///     content_bytes: 45,
///     took_ns: 80_000,
///     referer: None,
///     user_agent: None,
/// };
/// lines.append(&entry, &mut out);
/// assert_eq!(
///     out,
///     b"192.0.2.1 - - [10/Oct/2000:20:55:36 +0000] \"GET /\\\" HTTP/1.1\" 404 45\n",
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    format: Format,
    zone: jiff::tz::TimeZone,
    /// The second that was written last, and its text.
    second: Option<u64>,
    text: Vec<u8>,
}

impl Lines {
    /// With times in the zone of this machine, as `TZ` or `/etc/localtime` has it; UTC if there is none.
    /// Reads these files. JSON is in UTC all the same.
    #[must_use]
    pub fn local(format: Format) -> Self {
        Self::in_zone(format, jiff::tz::TimeZone::system())
    }

    /// With times in UTC.
    #[must_use]
    pub fn utc(format: Format) -> Self {
        Self::in_zone(format, jiff::tz::TimeZone::UTC)
    }

    fn in_zone(format: Format, zone: jiff::tz::TimeZone) -> Self {
        Self { format, zone, second: None, text: Vec::new() }
    }

    /// Puts a line and its end behind what is in the buffer.
    pub fn append(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        self.date(entry.unix_ns / 1_000_000_000);
        if self.format == Format::Json {
            let second = String::from_utf8_lossy(&self.text);
            let millisecond = entry.unix_ns / 1_000_000 % 1000;
            let time = format!("{second}.{millisecond:03}Z");
            let line = Json { entry, time };
            // A vector takes everything, and the keys are strings.
            let _ = line.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, OneLine));
            out.push(b'\n');
            return;
        }
        let _ = write!(out, "{} - - [", entry.peer.to_canonical());
        out.extend_from_slice(&self.text);
        out.extend_from_slice(b"] ");
        quoted(Some(entry.request), out);
        let _ = write!(out, " {} ", entry.status);
        match entry.content_bytes {
            0 => out.push(b'-'),
            bytes => drop(write!(out, "{bytes}")),
        }
        if self.format == Format::Combined {
            out.push(b' ');
            quoted(entry.referer, out);
            out.push(b' ');
            quoted(entry.user_agent, out);
        }
        out.push(b'\n');
    }

    /// Formats a second, if it is another than the last.
    fn date(&mut self, unix_s: u64) {
        if self.second == Some(unix_s) {
            return;
        }
        self.second = Some(unix_s);
        self.text.clear();
        let second = i64::try_from(unix_s).ok();
        // What no calendar has is the beginning of time.
        let time = second.and_then(|second| jiff::Timestamp::from_second(second).ok());
        let time = time.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let _ = match self.format {
            Format::Json => write!(self.text, "{}", time.strftime("%Y-%m-%dT%H:%M:%S")),
            _ => {
                let time = time.to_zoned(self.zone.clone());
                write!(self.text, "{}", time.strftime("%d/%b/%Y:%H:%M:%S %z"))
            }
        };
    }
}

/// A foreign value in quotes; `"-"` if there is none.
fn quoted(value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.push(b'"');
    match value {
        None | Some(b"") => out.push(b'-'),
        Some(value) => {
            for &byte in value {
                match byte {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                    b' '..=b'~' => out.push(byte),
                    _ => drop(write!(out, "\\x{byte:02x}")),
                }
            }
        }
    }
    out.push(b'"');
}

/// JSON without what a terminal obeys or a reader of lines ends one at.
struct OneLine;

impl serde_json::ser::Formatter for OneLine {
    fn write_string_fragment<W>(&mut self, out: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        let mut rest = fragment;
        let is_odd = |it: char| it.is_control() || matches!(it, '\u{2028}' | '\u{2029}');
        while let Some((at, odd)) = rest.char_indices().find(|&(_, it)| is_odd(it)) {
            out.write_all(&rest.as_bytes()[..at])?;
            write!(out, "\\u{:04x}", u32::from(odd))?;
            rest = &rest[at + odd.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

struct Json<'a, T> {
    entry: &'a Entry<'a>,
    time: T,
}

impl<T: std::fmt::Display> Serialize for Json<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { entry, time } = self;
        let mut object = serializer.serialize_struct("Entry", 8)?;
        object.serialize_field("time", &Text(time))?;
        object.serialize_field("peer", &Text(&entry.peer.to_canonical()))?;
        object.serialize_field("request", &String::from_utf8_lossy(entry.request))?;
        object.serialize_field("status", &entry.status)?;
        object.serialize_field("content_bytes", &entry.content_bytes)?;
        object.serialize_field("took_ns", &entry.took_ns)?;
        object.serialize_field("referer", &entry.referer.map(String::from_utf8_lossy))?;
        object.serialize_field("user_agent", &entry.user_agent.map(String::from_utf8_lossy))?;
        object.end()
    }
}

/// Something as the string that it displays as.
struct Text<'a, T>(&'a T);

impl<T: std::fmt::Display> Serialize for Text<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

#[cfg(test)]
mod tests;
