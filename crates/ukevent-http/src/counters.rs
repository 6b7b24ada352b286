//! What the server counted.

/// Counts since the server started. All only grow, but for [`Counters::open`].
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
    /// Connections that are open now.
    pub open: u64,
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
}

impl Counters {
    /// Events that one wait of the queue brought, on average; 0 before the first.
    #[must_use]
    pub fn events_per_batch(&self) -> f64 {
        if self.batches == 0 { 0.0 } else { self.events as f64 / self.batches as f64 }
    }
}
