//! How long answers took, counted in buckets that are fixed, so two servers, or two moments, can be told
//! apart or added up.
//!
//! Log-linear, in decimals: microseconds up to 100, and above that 90 steps to each power of ten, up to
//! 100 s. So what is read off is at most a tenth too long, and the round ends that [`metrics`] writes are
//! ends of buckets: what lies below them is counted exactly. No allocation, and 5 KiB whatever comes.
//!
//! [`metrics`]: crate::metrics

use crate::{counters::Count, shared::nanoseconds};
use std::time::Duration;

/// Steps up to the first power of ten that has its steps larger than 1 µs; and from each to the next.
const FIRST: usize = 100;
const STEPS: usize = 90;
const DECADES: usize = 6;
/// One for nothing at all, and one for all that took longer.
const BUCKETS: usize = 1 + FIRST + DECADES * STEPS + 1;

/// A histogram of durations.
///
/// ```
/// use std::time::Duration;
/// use ukevent_http::metrics::Latency;
///
/// let mut latency = Latency::default();
/// latency.record(Duration::from_micros(80));
/// latency.record(Duration::from_micros(80));
/// latency.record(Duration::from_secs(60));
/// assert_eq!(latency.count(), 3);
/// assert_eq!(latency.percentile(50.0), Some(Duration::from_micros(80)));
/// assert_eq!(latency.percentile(99.0), Some(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    buckets: [u64; BUCKETS],
    sum_ns: u128,
}

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum_ns: 0 }
    }
}

impl Latency {
    /// Counts one. Allocates nothing.
    pub fn record(&mut self, took: Duration) {
        self.buckets[bucket(took)] += 1;
        self.sum_ns += took.as_nanos();
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What so many of a hundred did not exceed, or up to a tenth more than that; 100 s at most, and
    /// nothing if nothing was counted.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let rank = (self.count() as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut sum = 0;
        let reached = self.buckets.iter().position(|count| {
            sum += count;
            sum >= rank
        });
        reached.map(end)
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *ours += theirs;
        }
        self.sum_ns += other.sum_ns;
    }

    /// What was counted since it was as `before`, which it must have been.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        for (ours, theirs) in since.buckets.iter_mut().zip(before.buckets) {
            *ours -= theirs;
        }
        since.sum_ns -= before.sum_ns;
        since
    }

    /// How many took at most so long: exactly, if that is the end of a bucket.
    pub(crate) fn up_to(&self, end: Duration) -> u64 {
        self.buckets[..=bucket(end)].iter().sum()
    }

    /// What all of them took together, in nanoseconds.
    pub(crate) fn sum_ns(&self) -> u128 {
        self.sum_ns
    }
}

/// The same as one thread counts it and others read it.
///
/// Of the sum others see whole microseconds: they could not read a second number with it at one moment, and a sum
/// that goes back, be it by a nanosecond, is taken for that of a server that was started anew.
#[derive(Debug)]
pub(crate) struct LatencyTally {
    buckets: [Count; BUCKETS],
    sum_us: Count,
    /// Nanoseconds that are not in the sum yet.
    rest_ns: Count,
}

impl Default for LatencyTally {
    fn default() -> Self {
        Self {
            buckets: [const { Count::new() }; BUCKETS],
            sum_us: Count::new(),
            rest_ns: Count::new(),
        }
    }
}

impl LatencyTally {
    /// Counts so many that took the same.
    pub(crate) fn record_all(&self, took: Duration, count: u32) {
        let count = u64::from(count);
        self.buckets[bucket(took)].add(count);
        let ns = nanoseconds(took).saturating_mul(count).saturating_add(self.rest_ns.value());
        self.sum_us.add(ns / 1000);
        self.rest_ns.set(ns % 1000);
    }

    /// As it is now.
    pub(crate) fn latency(&self) -> Latency {
        Latency {
            buckets: self.buckets.each_ref().map(Count::value),
            sum_ns: u128::from(self.sum_us.value()) * 1000,
        }
    }
}

/// Where a duration is counted.
fn bucket(took: Duration) -> usize {
    let ns = nanoseconds(took);
    let (mut steps, mut decade) = (ns.div_ceil(1000), 0);
    while steps > FIRST as u64 {
        steps = steps.div_ceil(10);
        decade += 1;
    }
    (steps as usize + decade * STEPS).min(BUCKETS - 1)
}

/// The longest that is counted there; of the last bucket, the longest that is not.
fn end(bucket: usize) -> Duration {
    let bucket = bucket.min(BUCKETS - 2);
    let decade = bucket.saturating_sub(FIRST).div_ceil(STEPS);
    let steps = (bucket - decade * STEPS) as u64;
    Duration::from_micros(steps * 10_u64.pow(decade as u32))
}

#[cfg(test)]
mod tests;
