//! A rate that changes over time, from one to another: evenly, or in steps.
//!
//! What counts is how many requests are due by a moment: the area below the rate. A schedule is the inverse of
//! it, and so nothing adds up here either; and with exponential distances of that number for its whole ones it
//! is a Poisson process of a rate that changes.

use std::{fmt, str::FromStr, time::Duration};

/// From one rate to another, and then at that.
///
/// As text it is `FROM..TO`, or `FROM..TO/STEPS`; text does not tell how long it takes.
///
/// ```
/// use std::time::Duration;
/// use ukevent_load::Ramp;
///
/// let ramp = Ramp { over: Duration::from_secs(10), ..("100..300".parse()?) };
/// assert_eq!(ramp.rate_at(Duration::from_secs(5)), 200.0);
/// assert_eq!(ramp.due_by(Duration::from_secs(10)), 2000.0);
/// # Ok::<(), ukevent_load::RampError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// Requests a second at the beginning; may be none.
    pub from: f64,
    /// Requests a second at the end, and from then on.
    pub to: f64,
    /// How long the way takes.
    pub over: Duration,
    /// In so many parts of equal length, the first at `from`, the last at `to`; evenly, if there are fewer
    /// than two.
    pub steps: u32,
}

/// Why text is no ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RampError;

impl fmt::Display for RampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a ramp is two rates, of which one is more than none, such as 1000..20000, and may have 2 to \
             1000 steps: 1000..20000/5",
        )
    }
}

impl std::error::Error for RampError {}

impl FromStr for Ramp {
    type Err = RampError;

    fn from_str(text: &str) -> Result<Self, RampError> {
        let (from, rest) = text.split_once("..").ok_or(RampError)?;
        let (to, steps) = match rest.split_once('/') {
            Some((to, steps)) => (to, Some(steps.parse().map_err(|_| RampError)?)),
            None => (rest, None),
        };
        let rate = |text: &str| {
            text.parse::<f64>().ok().filter(|it| it.is_finite() && *it >= 0.0).ok_or(RampError)
        };
        let (from, to) = (rate(from)?, rate(to)?);
        let is_right = from + to > 0.0 && steps.is_none_or(|steps| (2..=1000).contains(&steps));
        let ramp = Self { from, to, over: Duration::ZERO, steps: steps.unwrap_or(0) };
        is_right.then_some(ramp).ok_or(RampError)
    }
}

impl fmt::Display for Ramp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)?;
        if self.is_stepped() { write!(f, "/{}", self.steps) } else { Ok(()) }
    }
}

impl Ramp {
    /// Requests a second, so long after the beginning.
    #[must_use]
    pub fn rate_at(&self, at: Duration) -> f64 {
        if at >= self.over {
            return self.to;
        }
        let way = at.as_secs_f64() / self.over.as_secs_f64();
        if self.is_stepped() {
            self.rate_of((way * f64::from(self.steps)) as u32)
        } else {
            self.from + (self.to - self.from) * way
        }
    }

    /// How many requests are due until then.
    #[must_use]
    pub fn due_by(&self, at: Duration) -> f64 {
        let over_s = self.over.as_secs_f64();
        let (at_s, after_s) = (at.min(self.over).as_secs_f64(), at.saturating_sub(self.over));
        let way = if over_s > 0.0 { at_s / over_s } else { 0.0 };
        let on_the_way = if self.is_stepped() {
            let length_s = over_s / f64::from(self.steps);
            let whole = ((way * f64::from(self.steps)) as u32).min(self.steps - 1);
            let before: f64 = (0..whole).map(|step| self.rate_of(step) * length_s).sum();
            before + self.rate_of(whole) * (at_s - f64::from(whole) * length_s)
        } else {
            at_s * (self.from + (self.to - self.from) * way / 2.0)
        };
        on_the_way + self.to * after_s.as_secs_f64()
    }

    /// The mean of its rates until its end.
    #[must_use]
    pub const fn mean_rate(&self) -> f64 {
        f64::midpoint(self.from, self.to)
    }

    /// When so many are due, in seconds: the inverse of [`Self::due_by`]. Infinite, if they never are.
    pub(super) fn when(&self, count: f64) -> f64 {
        let over_s = self.over.as_secs_f64();
        let all = self.mean_rate() * over_s;
        if count >= all {
            let left = count - all;
            return if left == 0.0 && over_s > 0.0 && self.to == 0.0 {
                over_s
            } else {
                over_s + left / self.to
            };
        }
        if self.is_stepped() {
            return self.when_in_steps(count, over_s);
        }
        if count == 0.0 {
            return 0.0;
        }
        // The root of from·t + (to - from)/(2·over)·t² = count that does not subtract what is nearly equal.
        let under = self.from * self.from + 2.0 * (self.to - self.from) * count / over_s;
        2.0 * count / (self.from + under.max(0.0).sqrt())
    }

    fn when_in_steps(&self, count: f64, over_s: f64) -> f64 {
        let length_s = over_s / f64::from(self.steps);
        let mut before = 0.0;
        for step in 0..self.steps {
            let rate = self.rate_of(step);
            let here = rate * length_s;
            if before + here > count {
                return f64::from(step) * length_s + (count - before) / rate;
            }
            before += here;
        }
        over_s
    }

    const fn is_stepped(&self) -> bool {
        self.steps >= 2
    }

    /// Of a step.
    fn rate_of(&self, step: u32) -> f64 {
        let last = self.steps.saturating_sub(1).max(1);
        self.from + (self.to - self.from) * f64::from(step.min(last)) / f64::from(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrivals, Shape};
    use proptest::prelude::*;

    fn ramps() -> impl Strategy<Value = Ramp> {
        let rates = (0.0..5000.0, 0.0..5000.0);
        (rates, 1_u64..30, prop_oneof![Just(0), 2_u32..20]).prop_filter_map(
            "some rate",
            |((from, to), over_s, steps)| {
                let over = Duration::from_secs(over_s);
                (from + to > 1.0).then_some(Ramp { from, to, over, steps })
            },
        )
    }

    proptest! {
        #[test]
        fn a_time_is_when_its_count_is_due(ramp in ramps(), share in 0.001..1.3) {
            let count = ramp.mean_rate() * ramp.over.as_secs_f64() * share;
            let at_s = ramp.when(count);
            if at_s.is_finite() && at_s < 1e9 {
                let due = ramp.due_by(Duration::from_secs_f64(at_s));
                prop_assert!((due - count).abs() <= 1e-3 + count * 1e-6, "{due} for {count} at {at_s}");
            }
        }

        #[test]
        fn what_is_due_never_falls(ramp in ramps(), counts in prop::collection::vec(0.0..100_000.0, 2..50)) {
            let mut counts = counts;
            counts.sort_by(f64::total_cmp);
            let times: Vec<f64> = counts.iter().map(|&count| ramp.when(count)).collect();
            prop_assert!(times.windows(2).all(|two| two[0] <= two[1] + 1e-9), "{times:?}");
        }
    }

    #[test]
    fn it_rises_as_it_should() {
        let ramp = Ramp { from: 0.0, to: 1000.0, over: Duration::from_secs(10), steps: 0 };
        for shape in [Shape::Even, Shape::Poisson, Shape::Bursts { size: 10 }] {
            let starts = Arrivals::Ramp { ramp, shape }.starts(3);
            let mut seconds = [0_u32; 12];
            for at in starts.take_while(|at| *at < Duration::from_secs(12)) {
                seconds[at.as_secs() as usize] += 1;
            }
            for (second, count) in (0..10_u32).zip(seconds) {
                let due = f64::from(100 * second + 50);
                let off = (f64::from(count) - due).abs();
                assert!(off <= 5.0 * due.sqrt() + 10.0, "{shape:?}: {seconds:?}");
            }
            assert!((800..1200).contains(&seconds[10]), "{shape:?}: {seconds:?}");
        }
    }

    #[test]
    fn steps_are_steps() {
        let ramp = Ramp { from: 100.0, to: 500.0, over: Duration::from_secs(5), steps: 5 };
        let mut seconds = [0_u32; 6];
        let starts = Arrivals::Ramp { ramp, shape: Shape::Even }.starts(0);
        for at in starts.take_while(|at| *at < Duration::from_secs(6)) {
            seconds[at.as_secs() as usize] += 1;
        }
        assert_eq!(seconds, [100, 200, 300, 400, 500, 500]);
        assert_eq!(ramp.rate_at(Duration::from_millis(1500)), 200.0);
        assert_eq!(ramp.due_by(Duration::from_millis(1500)), 200.0);
        // Down to nothing, and then nothing.
        let ramp = Ramp { from: 4.0, to: 0.0, over: Duration::from_secs(2), steps: 2 };
        let starts: Vec<_> =
            Arrivals::Ramp { ramp, shape: Shape::Even }.starts(0).take(6).collect();
        assert_eq!(starts[..4], [0, 250, 500, 750].map(Duration::from_millis));
        assert_eq!(starts[5], Duration::MAX);
    }

    #[test]
    fn text() {
        let ramp: Ramp = "1000..20000/5".parse().unwrap();
        assert_eq!((ramp.from, ramp.to, ramp.steps), (1000.0, 20_000.0, 5));
        for text in ["1000..20000/5", "0..0.5", "7..3"] {
            assert_eq!(text.parse::<Ramp>().unwrap().to_string(), text);
        }
        for wrong in ["", "..", "1", "1..", "0..0", "1..2/0", "1..2/1", "1..2/x", "-1..2", "1..inf"]
        {
            assert_eq!(wrong.parse::<Ramp>(), Err(RampError), "{wrong}");
        }
    }
}
