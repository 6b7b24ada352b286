//! Timers: after a time, at a time, every so often, on three clocks.

use crate::error::nanoseconds;
use std::time::Duration;
use ukevent_sys::clock::Clock;

/// A timer.
///
/// Kept in the queue's own wheel: thousands cost no descriptor and no system call. Never early; late
/// by at most 16.4 µs and what the wait needs to return. Timers that are due within the same 16.4 µs
/// come in no particular order.
///
/// ```
/// use std::time::Duration;
/// use ukevent_queue::{Kind, Mode, Queue, Timer, Token, Wait};
///
/// let mut queue = Queue::new()?;
/// let period = Duration::from_millis(2);
/// let key = queue.register(Timer::every(period), Token(1), Mode::Level)?;
/// std::thread::sleep(Duration::from_millis(7));
/// queue.wait(Wait::forever())?;
/// let Some(Kind::Timer(expired)) = queue.next_event().map(|event| event.kind) else { panic!() };
/// assert!(expired.expirations >= 3, "as many periods as passed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Timer {
    pub(crate) clock: Clock,
    pub(crate) first: First,
    /// 0 for a timer that expires once.
    pub(crate) period_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    After(u64),
    At(u64),
}

impl Timer {
    /// Once, after this time. Reads the clock when it is registered; [`Timer::at`] with
    /// [`Queue::time`](crate::Queue::time) saves that for many.
    pub fn after(time: Duration) -> Self {
        Self { clock: Clock::Monotonic, first: First::After(nanoseconds(time)), period_ns: 0 }
    }

    /// Once, when `clock` shows this time (since its epoch); at once if that is past. On the wall
    /// clock it follows when the clock is set.
    pub fn at(clock: Clock, time: Duration) -> Self {
        Self { clock, first: First::At(nanoseconds(time)), period_ns: 0 }
    }

    /// Every so often, first after one period. A period of zero becomes one nanosecond.
    pub fn every(period: Duration) -> Self {
        Self::after(period).repeat(period)
    }

    /// And then every so often. The beats keep to the first one: they do not drift, and an event
    /// says how many of them passed. A period of zero becomes one nanosecond.
    pub fn repeat(mut self, period: Duration) -> Self {
        self.period_ns = nanoseconds(period).max(1);
        self
    }

    /// Measures on another clock.
    pub const fn on(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

/// A timer in its slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerState {
    pub(crate) deadline_ns: u64,
    pub(crate) period_ns: u64,
    /// Not delivered yet.
    pub(crate) expirations: u64,
    pub(crate) clock: Clock,
}

impl TimerState {
    /// Counts what expired by `now_ns`; true if the timer goes on.
    pub(crate) fn expire(&mut self, now_ns: u64) -> bool {
        if self.period_ns == 0 {
            self.expirations = self.expirations.saturating_add(1);
            return false;
        }
        let passed = now_ns.saturating_sub(self.deadline_ns) / self.period_ns + 1;
        self.expirations = self.expirations.saturating_add(passed);
        self.deadline_ns = self.deadline_ns.saturating_add(passed.saturating_mul(self.period_ns));
        true
    }
}
