//! When a timer expires: every so often, after a time, or at a time of the clocks. `jiff` knows the
//! calendar and the local time zone.

use super::SpecError;
use crate::units::{TIME, Time};
use jiff::{Timestamp, Zoned, civil};
use std::time::Duration;

/// When a timer expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    Every(Duration),
    After(Duration),
    /// On the wall clock, since its epoch.
    At(Duration),
}

const TIMES: &str = "timer:500ms (every), timer:after=10s or timer:at=2026-12-01T10:00:00Z (once)";
const INSTANT: &str = "2026-12-01T10:00:00Z, 2026-12-01T10:00 (local time) or 10:00 (the next one)";

/// What follows `timer:`.
pub(super) fn timing(spec: &str, text: &str, now: &Zoned) -> Result<Timing, SpecError> {
    if text.is_empty() {
        return Err(SpecError::lacks(spec, "its time", TIMES));
    }
    let length = |text: &str| match text.parse() {
        Ok(Time(length)) => Ok(length),
        Err(_) => Err(SpecError::malformed(spec, text, "time", TIME)),
    };
    match text.split_once('=') {
        None | Some(("every", _)) => {
            length(text.strip_prefix("every=").unwrap_or(text)).map(Timing::Every)
        }
        Some(("after", text)) => length(text).map(Timing::After),
        Some(("at", text)) => instant(text, now)
            .map(Timing::At)
            .ok_or_else(|| SpecError::malformed(spec, text, "time of a clock", INSTANT)),
        Some((word, _)) => {
            Err(SpecError::unknown(spec, word, "way to set a timer", ["every", "after", "at"]))
        }
    }
}

/// When, since the epoch of the wall clock. What names no time zone is local time, what names no day
/// is the next time that clocks will show it.
fn instant(text: &str, now: &Zoned) -> Option<Duration> {
    let timestamp = if let Ok(timestamp) = text.parse::<Timestamp>() {
        timestamp
    } else if let Ok(local) = text.parse::<civil::DateTime>() {
        now.time_zone().to_timestamp(local).ok()?
    } else {
        next(text.parse().ok()?, now)?
    };
    // Before 1970 is before any clock.
    Duration::try_from(timestamp.as_duration()).ok()
}

fn next(time: civil::Time, now: &Zoned) -> Option<Timestamp> {
    let today = now.date().to_datetime(time);
    let timestamp = now.time_zone().to_timestamp(today).ok()?;
    if timestamp > now.timestamp() {
        return Some(timestamp);
    }
    now.time_zone().to_timestamp(now.date().tomorrow().ok()?.to_datetime(time)).ok()
}
