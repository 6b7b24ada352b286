//! What a server is to keep: a percentile of the latency, and the time it is to stay within.

use crate::record::Times;
use jiff::SignedDuration;
use std::{fmt, str::FromStr, time::Duration};

/// A percentile of the latency is to be no more than a time: `p99=10ms`, as text.
///
/// ```
/// use ukevent_load::search::Goal;
///
/// let goal: Goal = "p99.9=250ms".parse()?;
/// assert_eq!((goal.percent, goal.within.as_millis()), (99.9, 250));
/// assert_eq!("max=1s".parse::<Goal>()?.percent, 100.0);
/// # Ok::<(), ukevent_load::search::GoalError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// More than 0, at most 100, which is the longest of all.
    pub percent: f64,
    /// The time.
    pub within: Duration,
}

/// Why text is no goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoalError;

impl fmt::Display for GoalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a goal is a percentile and a time, such as p99=10ms; percentiles are p50, p90, p99, p99.9 and \
             the like, and max; times have a unit (us, ms, s)",
        )
    }
}

impl std::error::Error for GoalError {}

impl FromStr for Goal {
    type Err = GoalError;

    fn from_str(text: &str) -> Result<Self, GoalError> {
        let (percentile, within) = text.split_once('=').ok_or(GoalError)?;
        let percent = match percentile {
            "max" => 100.0,
            _ => percentile.strip_prefix('p').and_then(|it| it.parse().ok()).ok_or(GoalError)?,
        };
        let within = within.parse::<SignedDuration>().ok();
        let within = within.and_then(|it| Duration::try_from(it).ok()).ok_or(GoalError)?;
        let is_right = percent > 0.0 && percent <= 100.0 && !within.is_zero();
        is_right.then_some(Self { percent, within }).ok_or(GoalError)
    }
}

impl Goal {
    /// The percentile of these.
    #[must_use]
    pub fn of(&self, times: &Times) -> Duration {
        if self.percent >= 100.0 { times.longest() } else { times.percentile(self.percent) }
    }

    /// The percentile by its name, such as `p99` or `max`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.percent >= 100.0 { "max".to_owned() } else { format!("p{}", self.percent) }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(self.within) {
            Ok(within) => write!(f, "{} ≤ {within:#}", self.name()),
            Err(_) => write!(f, "{} ≤ {:?}", self.name(), self.within),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        for (text, shown) in
            [("p50=1ms", "p50 ≤ 1ms"), ("p99.9=1.5s", "p99.9 ≤ 1s 500ms"), ("max=1m", "max ≤ 1m")]
        {
            assert_eq!(text.parse::<Goal>().unwrap().to_string(), shown);
        }
        assert_eq!("p100=1s".parse::<Goal>(), "max=1s".parse());
        for wrong in
            ["", "p99", "99=1s", "p0=1s", "p101=1s", "pNaN=1s", "p-1=1s", "p99=10", "p99=0s"]
        {
            assert_eq!(wrong.parse::<Goal>(), Err(GoalError), "{wrong}");
        }
    }
}
