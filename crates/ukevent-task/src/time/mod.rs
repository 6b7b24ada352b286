//! Time: sleeping, time limits, beats, deadlines that move.
//!
//! All are timers of the queue's wheel, on the monotonic clock, which cost no system call. Never early;
//! late by some 16 µs and by what the tasks before take.

mod deadline;
mod interval;
mod sleep;
mod timeout;

pub use deadline::{Deadline, Guarded};
pub use interval::{Interval, interval};
pub use sleep::{Sleep, sleep};
pub use timeout::{Elapsed, Timeout, timeout};

use crate::runtime::Core;
use std::time::Duration;
use ukevent_queue::Clock;

/// The monotonic time, read now, in nanoseconds.
fn now_ns(core: &Core) -> u64 {
    core.queue(|queue| nanoseconds(queue.time(Clock::Monotonic)))
}

/// As many as fit.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
