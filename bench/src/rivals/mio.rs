//! mio: epoll with edge triggers.

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::time::Duration;
use ukevent_bench::tables::events::Tells;
use ukevent_bench::tables::ready::{Descriptor, Readiness, Seen, Trigger};
use ukevent_measure::Result;

pub(crate) struct Mio {
    poll: Poll,
    events: Events,
}

impl Readiness for Mio {
    fn new(trigger: Trigger) -> Result<Self> {
        if trigger == Trigger::Level {
            return Err("mio has no level triggers".into());
        }
        Ok(Self { poll: Poll::new()?, events: Events::with_capacity(1024) })
    }

    fn arm(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        for (place, descriptor) in descriptors.iter().enumerate() {
            let number = descriptor.as_raw_fd();
            let mut source = SourceFd(&number);
            self.poll.registry().register(&mut source, Token(place), Interest::READABLE)?;
        }
        Ok(())
    }

    fn reap(&mut self, seen: &mut Seen) -> Result<()> {
        self.reap_within(Duration::ZERO, seen)
    }

    fn remove(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        for descriptor in descriptors {
            self.poll.registry().deregister(&mut SourceFd(&descriptor.as_raw_fd()))?;
        }
        Ok(())
    }
}

impl Tells for Mio {
    fn reap_within(&mut self, patience: Duration, seen: &mut Seen) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(patience)) {
            // The kernel may interrupt a thread that has just closed an io_uring instance.
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &self.events {
            seen.note(event.token().0 as u64, event.is_readable());
        }
        Ok(())
    }
}
