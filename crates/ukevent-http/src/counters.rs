//! What the server counted: by thread, where it is counted, and in all, for who asks.
//!
//! Each thread of a server has a [`Tally`], which it alone writes and everybody may read: so counting is a load
//! and a store, and no step that other threads wait for. What is told is a sum over all of them. A sum is
//! of no single moment; each figure of it is of one, and none goes back but those that may.

use crate::{
    latency::{Latency, LatencyTally},
    whole::Whole,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Counts since the server started. All only grow, but for [`Counters::open`]. Of a server of several threads
/// they are those of all of them, with the largest batch of any.
///
/// ```
/// use ukevent_http::Counters;
///
/// let mut counters = Counters::default();
/// counters.events = 30;
/// counters.batches = 10;
/// assert_eq!(counters.events_per_batch(), 3.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Seconds since the server started.
    pub uptime_s: u64,
    /// Connections that are open now. Of one thread those that it has.
    pub open: u64,
    /// Those of them that rest and that no thread has; 0 of one thread.
    pub parked: u64,
    /// Times that a connection which rests left its thread.
    pub parkings: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were turned away because as many were open as may be.
    pub refused: u64,
    /// Times that accepting had to pause: the process had no descriptor left, or so many connections
    /// beyond the limit were being turned away that no more could be.
    pub pauses: u64,
    /// Connections that were ended because their peer took too long.
    pub timed_out: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Answers by the first digit of their status; the first two are never used.
    pub answers: [u64; 6],
    /// Bytes that were sent, heads included.
    pub bytes_sent: u64,
    /// Events that the queue delivered.
    pub events: u64,
    /// Times that the queue delivered events.
    pub batches: u64,
    /// Most events in one batch.
    pub largest_batch: u64,
    /// Events that were taken from the queue that all threads share, if there is one.
    pub taken: u64,
}

impl Counters {
    /// Events that one wait of the queue brought, on average; 0 before the first.
    #[must_use]
    pub fn events_per_batch(&self) -> f64 {
        if self.batches == 0 { 0.0 } else { self.events as f64 / self.batches as f64 }
    }
}

/// A number that one thread writes.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Of the one thread that writes it: two that did would lose counts.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.set(self.value() + more);
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        // Each number stands for itself: nothing is read because of it.
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one thread counts. The fields are those of [`Counters`]. On lines of the cache of its own, and on pairs
/// of them, as they are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Tally {
    pub(crate) uptime_s: Count,
    pub(crate) open: Count,
    pub(crate) accepted: Count,
    pub(crate) refused: Count,
    pub(crate) pauses: Count,
    pub(crate) timed_out: Count,
    pub(crate) requests: Count,
    pub(crate) answers: [Count; 6],
    pub(crate) bytes_sent: Count,
    pub(crate) events: Count,
    pub(crate) batches: Count,
    pub(crate) largest_batch: Count,
    pub(crate) taken: Count,
    pub(crate) parkings: Count,
    pub(crate) latency: LatencyTally,
}

impl Tally {
    /// As it is now.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            uptime_s: self.uptime_s.value(),
            open: self.open.value(),
            parked: 0,
            parkings: self.parkings.value(),
            accepted: self.accepted.value(),
            refused: self.refused.value(),
            pauses: self.pauses.value(),
            timed_out: self.timed_out.value(),
            requests: self.requests.value(),
            answers: self.answers.each_ref().map(Count::value),
            bytes_sent: self.bytes_sent.value(),
            events: self.events.value(),
            batches: self.batches.value(),
            largest_batch: self.largest_batch.value(),
            taken: self.taken.value(),
        }
    }
}

impl Counters {
    /// Adds what another thread counted.
    fn add(&mut self, other: &Self) {
        self.uptime_s = self.uptime_s.max(other.uptime_s);
        self.open += other.open;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.pauses += other.pauses;
        self.timed_out += other.timed_out;
        self.requests += other.requests;
        self.answers.iter_mut().zip(other.answers).for_each(|(ours, theirs)| *ours += theirs);
        self.bytes_sent += other.bytes_sent;
        self.events += other.events;
        self.batches += other.batches;
        self.largest_batch = self.largest_batch.max(other.largest_batch);
        self.taken += other.taken;
        self.parkings += other.parkings;
    }
}

/// A thread's own tally, and those of all.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    whole: Arc<Whole>,
    number: usize,
}

impl Counts {
    /// Those of the thread with this number, which no other one has.
    pub(crate) fn new(whole: Arc<Whole>, number: usize) -> Self {
        Self { whole, number }
    }

    #[inline]
    pub(crate) fn own(&self) -> &Tally {
        &self.whole.tallies[self.number]
    }

    pub(crate) fn whole(&self) -> &Arc<Whole> {
        &self.whole
    }

    /// What all have counted.
    pub(crate) fn all(&self) -> Counters {
        let mut all = Counters::default();
        self.whole.tallies.iter().for_each(|tally| all.add(&tally.counters()));
        all.parked = self.whole.parked() as u64;
        all.open += all.parked;
        all
    }

    /// What each has counted, if there is more than one.
    pub(crate) fn by_thread(&self) -> Vec<Counters> {
        match &self.whole.tallies[..] {
            [_] => Vec::new(),
            tallies => tallies.iter().map(Tally::counters).collect(),
        }
    }

    /// How long all answers took.
    pub(crate) fn latency(&self) -> Latency {
        let mut all = Latency::default();
        self.whole.tallies.iter().for_each(|tally| all.add(&tally.latency.latency()));
        all
    }
}

#[cfg(test)]
impl Default for Counts {
    /// Of a server of one thread.
    fn default() -> Self {
        Self::new(Arc::default(), 0)
    }
}

#[cfg(test)]
mod tests;
