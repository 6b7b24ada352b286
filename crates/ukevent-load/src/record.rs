//! What was counted in a run, and how records of several runs at a time become one.

mod json;
mod sum;
#[cfg(test)]
mod tests;

use crate::{Class, verdict::BRIEF};
use hdrhistogram::Histogram;
use std::{collections::BTreeMap, time::Duration};

pub use json::Unreadable;
pub use sum::PackedTimes;

/// The shortest and the longest time that a histogram tells apart, in ns; three digits are kept.
const LONGEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

/// All that a run has shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// How long requests were started.
    pub duration: Duration,
    /// Of connections that carry requests.
    pub connections: Connections,
    /// Requests that left, or were to leave when their connection failed.
    pub requests: u64,
    /// Replies that came whole.
    pub replies: u64,
    /// Of replies, how many of each status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole reply, by [`Class`].
    pub errors: Errors,
    /// From the intended start of a request to the last byte of its reply. In a closed loop it is intended when
    /// it starts.
    pub latency: Times,
    /// From when a request left to the first byte of its reply.
    pub response: Times,
    /// From the first byte of a reply to its last.
    pub transfer: Times,
    /// In an open loop, by how much requests left later than intended.
    pub lateness: Times,
    /// Bytes of requests that were sent.
    pub sent_bytes: u64,
    /// Bytes of replies: heads, and contents as they came over the wire.
    pub head_bytes: u64,
    /// See `head_bytes`.
    pub body_bytes: u64,
    /// What was seen in each part of the run, in order.
    pub samples: Vec<Sample>,
    /// Of the threads that made the load.
    pub cpu: Cpu,
}

/// Connections that carry requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Connections {
    /// How many were tried.
    pub tried: u64,
    /// How many there were.
    pub opened: u64,
    /// Most of them at a time.
    pub most: u64,
    /// From the beginning of connecting until the connection (and TLS, if it is asked for) was there.
    pub connect: Times,
    /// From the beginning of connecting until the connection was closed.
    pub life: Times,
    /// Connections that are held without a request, and how many the server closed.
    pub idle: u64,
    /// See `idle`.
    pub idle_lost: u64,
}

/// Requests that failed, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors([u64; Class::ALL.len()]);

/// What was seen in one part of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When it began, from the beginning of the run, and how long it was.
    pub at: Duration,
    /// See `at`.
    pub length: Duration,
    /// Whole replies in it.
    pub replies: u64,
    /// Requests that failed in it.
    pub errors: u64,
    /// Percentiles 50, 99 and 100 of the latency of its replies, in ns; 0, if there are none.
    pub p50_ns: u64,
    /// See `p50_ns`.
    pub p99_ns: u64,
    /// See `p50_ns`.
    pub max_ns: u64,
    /// The latency of its replies, so that samples can be added and logged; may be left empty, and then a
    /// sum of samples has upper bounds of the percentiles only. See [`Sample::of`].
    pub latency: PackedTimes,
}

/// Time of processors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    /// In the program.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
    /// How many threads of load there were, each of which can use one processor.
    pub threads: u32,
    /// How much of its processor the busiest of them used, of 100; 0, if that is not known. One whose run was shorter
    /// than [`BRIEF`] is none.
    pub busiest_percent: f64,
}

impl Cpu {
    /// What one thread used in a run that was so long.
    #[must_use]
    pub fn of_one(user: Duration, system: Duration, run: Duration) -> Self {
        let used_s = (user + system).as_secs_f64();
        let percent =
            if run < BRIEF { 0.0 } else { (100.0 * used_s / run.as_secs_f64()).min(100.0) };
        // So few digits go through text and come back the same.
        let busiest_percent = (percent * 100.0).round() / 100.0;
        Self { user, system, threads: 1, busiest_percent }
    }

    /// What those of another process used too.
    pub fn add(&mut self, other: &Self) {
        self.user += other.user;
        self.system += other.system;
        self.threads += other.threads;
        self.busiest_percent = self.busiest_percent.max(other.busiest_percent);
    }
}

/// How long something took, how often: exact to three digits, and bounded by an hour. A count, mean and
/// deviation are of the same digits. Takes some 270 KiB.
#[derive(Clone, Debug, PartialEq)]
pub struct Times(Histogram<u64>);

impl Record {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            duration: Duration::ZERO,
            connections: Connections {
                tried: 0,
                opened: 0,
                most: 0,
                connect: Times::new(),
                life: Times::new(),
                idle: 0,
                idle_lost: 0,
            },
            requests: 0,
            replies: 0,
            statuses: BTreeMap::new(),
            errors: Errors::default(),
            latency: Times::new(),
            response: Times::new(),
            transfer: Times::new(),
            lateness: Times::new(),
            sent_bytes: 0,
            head_bytes: 0,
            body_bytes: 0,
            samples: Vec::new(),
            cpu: Cpu::default(),
        }
    }

    /// Whole replies a second.
    #[must_use]
    pub fn replies_per_s(&self) -> f64 {
        per_s(self.replies, self.duration)
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

impl Errors {
    /// One more.
    pub fn count(&mut self, class: Class) {
        self.0[class.index()] += 1;
    }

    /// How many of a class.
    #[must_use]
    pub const fn of(&self, class: Class) -> u64 {
        self.0[class.index()]
    }

    /// How many of all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Times {
    /// None yet.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("bounds that are fixed"))
    }

    /// One more. What is longer than an hour counts as an hour.
    #[inline]
    pub fn record(&mut self, time: Duration) {
        self.record_ns(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The same in nanoseconds.
    #[inline]
    pub fn record_ns(&mut self, time_ns: u64) {
        self.0.saturating_record(time_ns);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The longest of the shortest so many in a hundred; zero, if there is none.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }

    /// How many were longer than this, to three digits.
    #[must_use]
    pub fn longer_than(&self, time: Duration) -> u64 {
        let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.count() - self.0.count_between(0, time_ns)
    }

    /// The mean; zero, if there is none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(if self.count() == 0 { 0 } else { self.0.mean().round() as u64 })
    }

    /// The standard deviation of these times (not of a greater lot of which they are a sample); zero, if
    /// there is none.
    #[must_use]
    pub fn deviation(&self) -> Duration {
        Duration::from_nanos(if self.count() == 0 { 0 } else { self.0.stdev().round() as u64 })
    }

    /// The longest; zero, if there is none.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(if self.count() == 0 { 0 } else { self.0.max() })
    }

    /// The shortest; zero, if there is none.
    #[must_use]
    pub fn shortest(&self) -> Duration {
        Duration::from_nanos(if self.count() == 0 { 0 } else { self.0.min() })
    }

    /// All counts, for a report.
    #[must_use]
    pub const fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// None any more. Keeps its memory.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Those of another one too.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, so it cannot fail.
        let added = self.0.add(&other.0);
        debug_assert!(added.is_ok());
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) fn per_s(count: u64, duration: Duration) -> f64 {
    if duration.is_zero() { 0.0 } else { count as f64 / duration.as_secs_f64() }
}
