//! How to wait: for how many events, until when, with which signal mask.

use crate::error::nanoseconds;
use std::time::Duration;
pub use ukevent_sys::clock::Clock;
pub use ukevent_sys::signal::SignalSet;

/// How to wait. Built up, then handed to [`Queue::wait`](crate::Queue::wait).
///
/// ```
/// use std::time::Duration;
/// use ukevent_queue::Wait;
///
/// // Up to 64 events; at least 8, or as many as there are after 2 ms.
/// let wait = Wait::within(Duration::from_millis(2)).at_least(8).at_most(64);
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Wait<'a> {
    pub(crate) until: Until,
    pub(crate) at_least: usize,
    pub(crate) at_most: usize,
    pub(crate) mask: Option<&'a SignalSet>,
}

/// When to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Ever,
    Now,
    /// So many nanoseconds from now, on the monotonic clock.
    Within(u64),
    /// When this clock shows so many nanoseconds.
    At(Clock, u64),
}

impl<'a> Wait<'a> {
    const fn new(until: Until) -> Self {
        Self { until, at_least: 1, at_most: usize::MAX, mask: None }
    }

    /// Until there is an event.
    pub const fn forever() -> Self {
        Self::new(Until::Ever)
    }

    /// Not at all: takes what is there. Never blocks.
    pub const fn now() -> Self {
        Self::new(Until::Now)
    }

    /// Until there is an event, but not longer than this. Zero never blocks.
    pub fn within(duration: Duration) -> Self {
        match nanoseconds(duration) {
            0 => Self::now(),
            ns => Self::new(Until::Within(ns)),
        }
    }

    /// Until there is an event, or until `clock` shows `time` (since its epoch). A time in the past
    /// never blocks. On the wall clock the deadline follows when the clock is set.
    pub fn until(clock: Clock, time: Duration) -> Self {
        Self::new(Until::At(clock, nanoseconds(time)))
    }

    /// Return when so many events can be taken, not just one; fewer only at the deadline. Zero is as
    /// [`Wait::now`]. Events that the program sees are counted, not what the queue does inside.
    pub const fn at_least(mut self, events: usize) -> Self {
        self.at_least = events;
        self
    }

    /// Let so many events be taken at most; the others stay in line for the next wait.
    pub const fn at_most(mut self, events: usize) -> Self {
        self.at_most = events;
        self
    }

    /// Put `mask` in place of the thread's signal mask for exactly as long as the wait blocks, as
    /// ppoll(2) does: a signal cannot slip in between.
    pub const fn with_mask(mut self, mask: &'a SignalSet) -> Self {
        self.mask = Some(mask);
        self
    }
}

impl Wait<'_> {
    /// The same, with a deadline that stays where it is however often it is asked for.
    pub(crate) fn with_a_fixed_end(self) -> Self {
        let Until::Within(ns) = self.until else { return self };
        let at_ns = Clock::Monotonic.now().saturating_add(ns);
        Self { until: Until::At(Clock::Monotonic, at_ns), ..self }
    }

    /// Whether its time is over.
    pub(crate) fn is_over(&self) -> bool {
        match self.until {
            Until::Ever => false,
            Until::Now => true,
            Until::Within(ns) => ns == 0,
            Until::At(clock, ns) => clock.now() >= ns,
        }
    }
}

impl Default for Wait<'_> {
    fn default() -> Self {
        Self::forever()
    }
}
