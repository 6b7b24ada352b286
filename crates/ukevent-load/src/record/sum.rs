//! Records of several processes of one run, at the same time, become one.
//!
//! What can be added is added, histograms bucket by bucket, so the sum of the parts of a run is the record of
//! the whole. Percentiles cannot be added; a [`Sample`] carries its histogram for that, packed. Where one has
//! none, the sum's percentiles are the greatest of its parts': the true ones are never greater.

use super::{Connections, DIGITS, Errors, LONGEST_NS, Record, Sample, Times};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2Serializer},
};
use std::time::Duration;

/// [`Times`] in a few bytes for each different time, instead of 270 KiB: HdrHistogram's V2 encoding. Nothing,
/// where there are none.
///
/// ```
/// use std::time::Duration;
/// use ukevent_load::record::{PackedTimes, Times};
///
/// let mut times = Times::new();
/// times.record(Duration::from_millis(3));
/// let packed = PackedTimes::of(&times);
/// assert!(packed.as_bytes().len() < 100);
/// assert_eq!(packed.unpack(), Some(times));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedTimes(Vec<u8>);

/// Bytes of the encoding before its payload, and where in them the payload's length is.
const HEAD: usize = 40;
const LENGTH_AT: std::ops::Range<usize> = 4..8;

impl PackedTimes {
    /// These, packed. Allocates.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn of(times: &Times) -> Self {
        let mut bytes = Vec::new();
        if times.count() > 0 {
            V2Serializer::new().serialize(times.histogram(), &mut bytes).expect(
                "memory takes any bytes, and a Times is smaller than the encoding's bounds",
            );
        }
        Self(bytes)
    }

    /// Bytes that [`Self::as_bytes`] gave; `None`, if they are no times.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let packed = Self(bytes);
        packed.unpack().is_some().then_some(packed)
    }

    /// The encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The times; `None` cannot be, but for bytes that are none.
    #[must_use]
    pub fn unpack(&self) -> Option<Times> {
        let mut times = Times::new();
        if self.0.is_empty() {
            return Some(times);
        }
        // The decoder trusts this length with memory.
        let length = self.0.get(LENGTH_AT)?.try_into().ok().map(u32::from_be_bytes)?;
        if usize::try_from(length).ok()?.checked_add(HEAD)? != self.0.len() {
            return None;
        }
        let histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut self.0.as_slice()).ok()?;
        let ours = histogram.sigfig() == DIGITS
            && histogram.low() == 1
            && histogram.high() == LONGEST_NS
            && times.0.add(&histogram).is_ok();
        ours.then_some(times)
    }
}

impl Record {
    /// What another process has counted in the same time of the same run.
    ///
    /// Counts, times and processors are added. The duration is the longer one. The most connections at a time
    /// are added too, as if both had had their most at the same moment: an upper bound. Samples are added by
    /// their position.
    ///
    /// ```
    /// use ukevent_load::record::Record;
    ///
    /// let mut run = Record::new();
    /// run.requests = 3;
    /// let mut other = Record::new();
    /// other.requests = 4;
    /// run.add(&other);
    /// assert_eq!(run.requests, 7);
    /// ```
    pub fn add(&mut self, other: &Self) {
        self.duration = self.duration.max(other.duration);
        self.connections.add(&other.connections);
        self.requests += other.requests;
        self.replies += other.replies;
        for (&status, &count) in &other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.errors.add(&other.errors);
        self.latency.add(&other.latency);
        self.response.add(&other.response);
        self.transfer.add(&other.transfer);
        self.lateness.add(&other.lateness);
        self.sent_bytes += other.sent_bytes;
        self.head_bytes += other.head_bytes;
        self.body_bytes += other.body_bytes;
        for (index, sample) in other.samples.iter().enumerate() {
            match self.samples.get_mut(index) {
                Some(mine) => mine.add(sample),
                None => self.samples.push(sample.clone()),
            }
        }
        self.cpu.add(&other.cpu);
    }
}

impl Connections {
    fn add(&mut self, other: &Self) {
        self.tried += other.tried;
        self.opened += other.opened;
        self.most += other.most;
        self.connect.add(&other.connect);
        self.life.add(&other.life);
        self.idle += other.idle;
        self.idle_lost += other.idle_lost;
    }
}

impl Errors {
    /// Those of another one too.
    pub fn add(&mut self, other: &Self) {
        for (mine, count) in self.0.iter_mut().zip(other.0) {
            *mine += count;
        }
    }
}

impl Sample {
    /// What was seen in a part of a run: the latencies of its replies, and how many failed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ukevent_load::record::{Sample, Times};
    ///
    /// let mut latency = Times::new();
    /// latency.record(Duration::from_millis(2));
    /// let sample = Sample::of(Duration::ZERO, Duration::from_secs(1), 0, &latency);
    /// assert_eq!(sample.replies, 1);
    /// ```
    #[must_use]
    pub fn of(at: Duration, length: Duration, errors: u64, latency: &Times) -> Self {
        let packed = PackedTimes::of(latency);
        let empty = Self {
            at,
            length,
            replies: 0,
            errors,
            p50_ns: 0,
            p99_ns: 0,
            max_ns: 0,
            latency: packed,
        };
        empty.with_percentiles(latency)
    }

    /// Replies a second.
    #[must_use]
    pub fn replies_per_s(&self) -> f64 {
        super::per_s(self.replies, self.length)
    }

    fn with_percentiles(self, latency: &Times) -> Self {
        let histogram = latency.histogram();
        Self {
            replies: latency.count(),
            p50_ns: histogram.value_at_percentile(50.0),
            p99_ns: histogram.value_at_percentile(99.0),
            max_ns: histogram.max(),
            ..self
        }
    }

    /// Its latencies, if it has kept those of all its replies.
    fn times(&self) -> Option<Times> {
        self.latency.unpack().filter(|times| times.count() == self.replies)
    }

    /// What another process has seen in the same part of the run: it becomes long enough for both. If either
    /// lacks its latencies, the percentiles are the greater ones: upper bounds.
    pub fn add(&mut self, other: &Self) {
        let end = (self.at + self.length).max(other.at + other.length);
        self.at = self.at.min(other.at);
        self.length = end - self.at;
        self.errors += other.errors;
        let both = self.times().zip(other.times());
        if let Some((mut latency, more)) = both {
            latency.add(&more);
            *self = Self::of(self.at, self.length, self.errors, &latency);
            return;
        }
        self.replies += other.replies;
        self.p50_ns = self.p50_ns.max(other.p50_ns);
        self.p99_ns = self.p99_ns.max(other.p99_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.latency = PackedTimes::default();
    }
}
