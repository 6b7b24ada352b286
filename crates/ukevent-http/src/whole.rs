//! What all threads of a server have in common: their tallies, and what its limits count.
//!
//! Nothing here is written for a request but the writer's own tally, and the rate of requests of an address if
//! that has a limit. The rest is touched when a connection comes or goes.

use crate::{addresses::shards::Shards, counters::Tally, limits::Limits};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use ukevent_queue::SharedQueue;

/// What is there once for all threads.
#[derive(Debug)]
pub(crate) struct Whole {
    /// By the number of the thread.
    pub(crate) tallies: Box<[Tally]>,
    /// When the server started, by the monotonic clock.
    started: OnceLock<Duration>,
    /// Connections that are served, and how many may be.
    served: AtomicUsize,
    most_served: usize,
    /// Connections that are being turned away.
    refused: AtomicUsize,
    /// Connections that rest and that no thread has.
    parked: AtomicUsize,
    /// The queue that all threads share, if there is one, for what it counts.
    pub(crate) shared_queue: OnceLock<SharedQueue>,
    /// If there are several threads, and something is asked of addresses.
    pub(crate) addresses: Option<Arc<Shards>>,
}

impl Whole {
    /// Of so many threads.
    pub(crate) fn new(threads: usize, limits: &Limits) -> Self {
        Self {
            tallies: std::iter::repeat_with(Tally::default).take(threads.max(1)).collect(),
            started: OnceLock::new(),
            served: AtomicUsize::new(0),
            most_served: limits.connections,
            refused: AtomicUsize::new(0),
            parked: AtomicUsize::new(0),
            shared_queue: OnceLock::new(),
            addresses: (threads > 1).then(|| limits.shards()).flatten().map(Arc::new),
        }
    }

    /// Whether there is one thread only, which then keeps count for itself.
    pub(crate) const fn is_alone(&self) -> bool {
        self.tallies.len() == 1
    }

    pub(crate) const fn threads(&self) -> usize {
        self.tallies.len()
    }

    /// When it started: as the first of its threads says.
    pub(crate) fn started(&self, now: Duration) -> Duration {
        *self.started.get_or_init(|| now)
    }

    /// Whether as many connections are served as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.served.load(Ordering::Relaxed) >= self.most_served
    }

    /// Takes room for another connection, if there is any, until [`Whole::left`].
    pub(crate) fn enter(&self) -> bool {
        // The number guards nothing but itself, and each change of it sees the one before.
        let more = |served| (served < self.most_served).then_some(served + 1);
        self.served.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives back what [`Whole::enter`] took.
    pub(crate) fn left(&self) {
        self.served.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many connections are being turned away.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts one of them, until [`Whole::was_refused`].
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn was_refused(&self) {
        self.refused.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many connections no thread has.
    pub(crate) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// Counts one of them, until [`Whole::unpark`]. What it takes of the limits it goes on taking.
    pub(crate) fn park(&self) {
        self.parked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unpark(&self) {
        self.parked.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Default for Whole {
    fn default() -> Self {
        Self::new(1, &Limits::default())
    }
}

#[cfg(test)]
mod tests;
