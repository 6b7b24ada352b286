//! The date as it stands in a head: twenty-nine bytes, written anew once a second.
//!
//! RFC 9110, 5.6.7 (IMF-fixdate) and 6.6.1 (Date).

use httpdate::HttpDate;
use std::{
    io::Write,
    time::{Duration, UNIX_EPOCH},
};

/// The last second that has a four-digit year: 9999-12-31 23:59:59.
const LAST_S: u64 = 253_402_300_799;

/// A second, and its text.
#[derive(Clone, Debug)]
pub(crate) struct Date {
    unix_s: u64,
    text: [u8; 29],
}

impl Date {
    /// The date `unix_s` seconds after 1970. A date after the year 9999 becomes the last of it.
    pub(crate) fn at(unix_s: u64) -> Self {
        let unix_s = unix_s.min(LAST_S);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        // Twenty-nine bytes take the twenty-nine that the format has: this cannot fall short.
        let _ =
            write!(&mut text[..], "{}", HttpDate::from(UNIX_EPOCH + Duration::from_secs(unix_s)));
        Self { unix_s, text }
    }

    /// Moves to another second. Costs a comparison if it is the same.
    pub(crate) fn set(&mut self, unix_s: u64) {
        if unix_s != self.unix_s {
            *self = Self::at(unix_s);
        }
    }

    pub(crate) fn unix_s(&self) -> u64 {
        self.unix_s
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// Reads a date in any of the three formats of RFC 9110, as seconds after 1970.
pub(crate) fn parse(value: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_the_same_second() {
        for unix_s in [0, 784_111_777, 1_700_000_000, LAST_S] {
            assert_eq!(parse(Date::at(unix_s).text()), Some(unix_s));
        }
        assert_eq!(Date::at(784_111_777).text(), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_date_out_of_range_is_the_last_one() {
        assert_eq!(Date::at(u64::MAX).text(), Date::at(LAST_S).text());
    }

    #[test]
    fn reads_the_old_formats_and_refuses_the_rest() {
        assert_eq!(parse(b"Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse(b"Sun Nov  6 08:49:37 1994"), Some(784_111_777));
        for bad in [&b""[..], b"0", b"yesterday", b"Sun, 06 Nov 1994 08:49:37 CET", b"\xff"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn moves_with_the_clock() {
        let mut date = Date::at(0);
        date.set(784_111_777);
        assert_eq!(
            (date.unix_s(), date.text()),
            (784_111_777, &b"Sun, 06 Nov 1994 08:49:37 GMT"[..])
        );
    }
}
