//! When requests are due in an open loop: evenly, at random, or in bursts.
//!
//! A schedule is made from its rate, its shape and a seed, and from nothing else: not from the clock, and not
//! from what the server does. Each start is computed from the beginning, not from the one before, so nothing
//! adds up over a long run (but for what is random, which is to).

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
}

impl Arrivals {
    /// Requests a second.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        match self {
            Self::Even { rate } | Self::Poisson { rate } | Self::Bursts { rate, .. } => *rate,
        }
    }

    /// The same shape at another rate.
    #[must_use]
    pub const fn at(self, rate: f64) -> Self {
        match self {
            Self::Even { .. } => Self::Even { rate },
            Self::Poisson { .. } => Self::Poisson { rate },
            Self::Bursts { size, .. } => Self::Bursts { rate, size },
        }
    }

    /// When requests are due, counted from the beginning of the run, without end. What is random is so by
    /// this seed.
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
