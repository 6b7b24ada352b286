//! Time: sleeping, time limits, beats, deadlines that move.
//!
//! All are timers of the queue's wheel, on the monotonic clock, which cost no system call. Never early;
//! late by some 16 µs and by what the tasks before take.

mod deadline;
mod interval;
mod sleep;
#[cfg(test)]
mod tests;
mod timeout;

pub use deadline::{Deadline, Guarded};
pub use interval::{Interval, interval};
pub use sleep::{Sleep, sleep};
pub use timeout::{Elapsed, Timeout, timeout};

use crate::runtime::{Core, current};
use std::time::Duration;
use ukevent_queue::Clock;

/// The monotonic time since its epoch, read once between two looks at the queue: as good as the clock for
/// whatever waits for events, and nearly free. It moves on with every look that is asked for it.
///
/// # Panics
/// Outside of a runtime.
#[must_use]
#[track_caller]
pub fn now() -> Duration {
    Duration::from_nanos(current::expect("now").now_ns())
}

/// The time of day, read now, since the start of 1970. It jumps when somebody sets it; what measures or
/// waits uses [`now()`].
///
/// # Panics
/// Outside of a runtime.
#[must_use]
#[track_caller]
pub fn wall() -> Duration {
    current::expect("wall").look_into(|queue| queue.time(Clock::Wall))
}

/// The monotonic time, read now, in nanoseconds.
fn now_ns(core: &Core) -> u64 {
    core.look_into(|queue| nanoseconds(queue.time(Clock::Monotonic)))
}

/// As many as fit.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
