//! Beats.

use crate::events::Events;
use crate::runtime::current;
use std::time::Duration;
use ukevent_queue::{Kind, RegisterError, Timer};

/// A beat every so often, first after one period. It keeps to the first one and does not drift.
///
/// # Errors
/// [`RegisterError`].
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn interval(period: Duration) -> Result<Interval, RegisterError> {
    let events = Events::on(current::expect("interval"), Timer::every(period), "a beat")?;
    Ok(Interval { events })
}

/// Made by [`interval`].
#[derive(Debug)]
pub struct Interval {
    events: Events,
}

impl Interval {
    /// Waits for the next beat; says how many there were since the last, more than one if the task was
    /// late. Nothing is lost if it is dropped.
    pub async fn tick(&mut self) -> u64 {
        loop {
            if let Kind::Timer(expired) = self.events.next().await {
                return expired.expirations;
            }
        }
    }
}
