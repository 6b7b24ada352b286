//! When requests are due in an open loop: evenly, at random, or in bursts; at one rate, or along a ramp.
//!
//! A schedule is made from its rate, its shape and a seed, and from nothing else: not from the clock, and not
//! from what the server does. Each start is computed from the beginning, not from the one before, so nothing
//! adds up over a long run (but for what is random, which is to).

mod ramp;

pub use ramp::{Ramp, RampError};

use std::time::Duration;

/// The shape of a schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Arrivals {
    /// One after the other at equal distances, so many a second.
    Even {
        /// Requests a second.
        rate: f64,
    },
    /// As independent people come: distances are random, exponentially distributed.
    Poisson {
        /// Requests a second, on average.
        rate: f64,
    },
    /// So many at once, and nothing until the next second (or the next part of it).
    Bursts {
        /// Requests a second.
        rate: f64,
        /// Requests in each burst.
        size: u32,
    },
    /// At a rate that changes.
    Ramp {
        /// From which to which.
        ramp: Ramp,
        /// How they come along it.
        shape: Shape,
    },
}

/// How requests come one after the other, at whatever rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// As [`Arrivals::Even`].
    Even,
    /// As [`Arrivals::Poisson`].
    Poisson,
    /// As [`Arrivals::Bursts`].
    Bursts {
        /// Requests in each burst.
        size: u32,
    },
}

impl Shape {
    /// At one rate.
    #[must_use]
    pub const fn at(self, rate: f64) -> Arrivals {
        match self {
            Self::Even => Arrivals::Even { rate },
            Self::Poisson => Arrivals::Poisson { rate },
            Self::Bursts { size } => Arrivals::Bursts { rate, size },
        }
    }
}

impl Arrivals {
    /// Requests a second; along a ramp, the mean until its end.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        match self {
            Self::Even { rate } | Self::Poisson { rate } | Self::Bursts { rate, .. } => *rate,
            Self::Ramp { ramp, .. } => ramp.mean_rate(),
        }
    }

    /// The same shape at another rate, which then does not change.
    #[must_use]
    pub const fn at(self, rate: f64) -> Self {
        self.shape().at(rate)
    }

    /// How they come, at whatever rate.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        match *self {
            Self::Even { .. } => Shape::Even,
            Self::Poisson { .. } => Shape::Poisson,
            Self::Bursts { size, .. } => Shape::Bursts { size },
            Self::Ramp { shape, .. } => shape,
        }
    }

    /// How many requests a second are due on average from this moment on, for so long; 0, if that is no time.
    #[must_use]
    pub fn rate_from(&self, at: Duration, length: Duration) -> f64 {
        match self {
            Self::Ramp { .. } if length.is_zero() => 0.0,
            Self::Ramp { ramp, .. } => {
                (ramp.due_by(at + length) - ramp.due_by(at)) / length.as_secs_f64()
            }
            _ => self.rate(),
        }
    }

    /// How many requests are due in all, on average: infinite, unless the rate falls to none.
    pub(crate) fn all(&self) -> f64 {
        match *self {
            Self::Ramp { ramp, .. } if ramp.to > 0.0 => f64::INFINITY,
            Self::Ramp { ramp, .. } => ramp.due_by(ramp.over),
            _ if self.rate() > 0.0 => f64::INFINITY,
            _ => 0.0,
        }
    }

    /// Whether the request of this number, counted from none, is ever due; on average, if they come at random.
    pub(crate) fn reaches(&self, number: u64) -> bool {
        let all = self.all();
        let number = match self.shape() {
            Shape::Even | Shape::Poisson => number,
            Shape::Bursts { size } => number / u64::from(size.max(1)) * u64::from(size.max(1)),
        };
        // At the moment at which the rate is none one is due yet.
        all > 0.0 && number as f64 <= all
    }

    /// When requests are due, counted from the beginning of the run, without end. What is random is so by
    /// this seed. What never is due, because the rate falls to none, is so at [`Duration::MAX`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use ukevent_load::Arrivals;
    ///
    /// let starts: Vec<Duration> = Arrivals::Even { rate: 4.0 }.starts(0).take(3).collect();
    /// assert_eq!(starts, [0, 250, 500].map(Duration::from_millis));
    /// ```
    #[must_use]
    pub fn starts(self, seed: u64) -> Starts {
        Starts { arrivals: self, random: fastrand::Rng::with_seed(seed), count: 0, at_s: 0.0 }
    }
}

/// When requests are due: see [`Arrivals::starts`]. Never earlier than the one before.
#[derive(Clone, Debug)]
pub struct Starts {
    arrivals: Arrivals,
    random: fastrand::Rng,
    count: u64,
    at_s: f64,
}

impl Iterator for Starts {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let number = self.count;
        self.count += 1;
        let at_s = match self.arrivals {
            Arrivals::Even { rate } => number as f64 / rate,
            Arrivals::Poisson { rate } => {
                // Never the logarithm of zero.
                self.at_s -= (1.0 - self.random.f64()).ln() / rate;
                self.at_s
            }
            Arrivals::Bursts { rate, size } => {
                let size = u64::from(size.max(1));
                (number / size * size) as f64 / rate
            }
            Arrivals::Ramp { ramp, shape } => ramp.when(match shape {
                Shape::Even => number as f64,
                Shape::Poisson => {
                    // Here as a number of requests, of which one is due on average for each.
                    self.at_s -= (1.0 - self.random.f64()).ln();
                    self.at_s
                }
                Shape::Bursts { size } => {
                    let size = u64::from(size.max(1));
                    (number / size * size) as f64
                }
            }),
        };
        Some(Duration::try_from_secs_f64(at_s).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: usize = 100_000;

    #[test]
    fn a_rate_is_kept_without_drift() {
        let starts: Vec<f64> = Arrivals::Even { rate: 30_000.0 }
            .starts(1)
            .take(COUNT)
            .map(|it| it.as_secs_f64())
            .collect();
        for (number, at_s) in starts.iter().enumerate() {
            assert!((at_s - number as f64 / 30_000.0).abs() < 2e-9, "{number} at {at_s}");
        }
    }

    #[test]
    fn a_burst_comes_at_once() {
        let starts = Arrivals::Bursts { rate: 1000.0, size: 250 }.starts(1);
        for (number, at) in starts.take(COUNT).enumerate() {
            assert_eq!(at, Duration::from_millis(number as u64 / 250 * 250));
        }
    }

    /// Mean and deviation of an exponential distribution are both the inverse of its rate, and of the
    /// distances a share of 1/e is longer than that. (Bounds of five deviations of the estimate.)
    #[test]
    fn who_comes_at_random_comes_as_poisson_says() {
        let rate = 5000.0;
        let starts: Vec<f64> =
            Arrivals::Poisson { rate }.starts(7).take(COUNT).map(|it| it.as_secs_f64()).collect();
        let gaps: Vec<f64> = starts.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(gaps.iter().all(|&gap| gap >= 0.0));
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count).sqrt();
        let longer = gaps.iter().filter(|&&gap| gap > 1.0 / rate).count() as f64 / count;
        assert!((mean * rate - 1.0).abs() < 5.0 / count.sqrt(), "{mean}");
        assert!(
            (deviation * rate - 1.0).abs() < 5.0 * 2.0_f64.sqrt() / count.sqrt(),
            "{deviation}"
        );
        assert!((longer - (-1.0_f64).exp()).abs() < 5.0 * 0.5 / count.sqrt(), "{longer}");
    }

    #[test]
    fn a_seed_repeats_a_schedule_and_another_does_not() {
        let of = |seed| Arrivals::Poisson { rate: 100.0 }.starts(seed).take(50).collect::<Vec<_>>();
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
    }
}
