//! Sizes and times as flags have them: read from text, and shown as defaults.

use jiff::SignedDuration;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How long: more than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

/// What a time looks like, for messages.
pub(crate) const TIME: &str =
    "a number and its unit, such as 500ms, 10s or 1h30m (ns, us, ms, s, m, h)";

impl FromStr for Time {
    type Err = String;

    /// The error says what to write instead.
    fn from_str(text: &str) -> Result<Self, String> {
        let signed = text.parse::<SignedDuration>().ok();
        let duration = signed.and_then(|signed| Duration::try_from(signed).ok());
        match duration {
            Some(duration) if !duration.is_zero() => Ok(Self(duration)),
            _ => Err(format!("{text:?} is no time; write {TIME}")),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(self.0) {
            Ok(signed) => write!(f, "{signed:#}"),
            Err(_) => write!(f, "{:?}", self.0),
        }
    }
}

/// How many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

const UNITS: [(&str, u64); 4] = [("", 1), ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)];

impl Size {
    pub(crate) const fn of(bytes: usize) -> Self {
        Self(bytes as u64)
    }

    /// As memory has it: no more than there can be.
    pub(crate) fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
        let unit = text[digits.len()..].to_ascii_uppercase();
        let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes);
        digits
            .parse::<u64>()
            .ok()
            .zip(unit)
            .and_then(|(number, unit)| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no size; write bytes, or 16K, 1M or 1G"))
    }
}

impl fmt::Display for Size {
    /// In the largest unit of which it is a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, bytes): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*bytes);
        let (name, bytes) = UNITS.iter().rfind(whole).unwrap_or(&UNITS[0]);
        write!(f, "{}{name}", self.0 / bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Size, Time};
    use std::time::Duration;

    #[test]
    fn times() {
        assert_eq!("1m 1s".parse(), Ok(Time(Duration::from_secs(61))));
        assert_eq!("1.5s".parse(), Ok(Time(Duration::from_millis(1500))));
        assert_eq!("1ns".parse(), Ok(Time(Duration::from_nanos(1))));
        for wrong in ["", "5", "0s", "-1s", "1s ago", "1 day", "soon"] {
            let told = wrong.parse::<Time>().unwrap_err();
            assert!(told.starts_with(&format!("{wrong:?} is no time; write a number")), "{told}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("1000", 1000), ("16K", 16 << 10), ("1m", 1 << 20)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for wrong in ["", "K", "1 K", "1T", "-1", "1.5K", "99999999999999G", "1KK"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read() {
        for ms in [1, 1000, 10_000, 90_000, 1_500, 3_600_000] {
            let time = Time(Duration::from_millis(ms));
            assert_eq!(time.to_string().parse(), Ok(time), "{time}");
        }
        for bytes in [0, 1, 1023, 1024, 8 << 10, 1 << 20, 3 << 30, u64::MAX] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)), "{bytes}");
        }
        assert_eq!(
            (Size(16 << 10).to_string(), Size(1500).to_string()),
            ("16K".into(), "1500".into())
        );
    }
}
