//! polling, what smol waits with: epoll with either trigger.
#![allow(unsafe_code, reason = "adding a source is unsafe in polling")]

use polling::{Event, Events, PollMode, Poller};
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::time::Duration;
use ukevent_bench::tables::events::Tells;
use ukevent_bench::tables::ready::{Descriptor, Readiness, Seen, Trigger};
use ukevent_measure::Result;

pub(crate) struct Polling {
    poller: Poller,
    events: Events,
    mode: PollMode,
}

impl Readiness for Polling {
    fn new(trigger: Trigger) -> Result<Self> {
        let mode = match trigger {
            Trigger::Edge => PollMode::Edge,
            Trigger::Level => PollMode::Level,
        };
        let capacity = NonZeroUsize::new(1024).ok_or("1024 is not zero")?;
        Ok(Self { poller: Poller::new()?, events: Events::with_capacity(capacity), mode })
    }

    fn arm(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        for (place, descriptor) in descriptors.iter().enumerate() {
            // SAFETY: the source must be deleted before it is closed. The table holds the
            // descriptors for as long as this poller lives, and closing one would take it out of the
            // epoll set.
            unsafe {
                let interest = Event::readable(place);
                self.poller.add_with_mode(descriptor.as_raw_fd(), interest, self.mode)?;
            }
        }
        Ok(())
    }

    fn reap(&mut self, seen: &mut Seen) -> Result<()> {
        self.reap_within(Duration::ZERO, seen)
    }

    fn remove(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        for descriptor in descriptors {
            self.poller.delete(descriptor)?;
        }
        Ok(())
    }
}

impl Tells for Polling {
    fn reap_within(&mut self, patience: Duration, seen: &mut Seen) -> Result<()> {
        self.events.clear();
        self.poller.wait(&mut self.events, Some(patience))?;
        for event in self.events.iter() {
            seen.note(event.key as u64, event.readable);
        }
        Ok(())
    }
}
