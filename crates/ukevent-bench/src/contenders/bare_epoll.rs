//! Bare epoll: one system call for each change, one for each wait; and an eventfd in it for posts.

use crate::tables::events::Tells;
use crate::tables::ready::{Descriptor, Readiness, Seen, Trigger};
use crate::tables::wake::{Patience, Poster, Posts, Taken, Target};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use ukevent_measure::Result;

const NOT_AT_ALL: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// An epoll instance, and room for what it reports.
pub struct BareEpoll {
    epoll: OwnedFd,
    events: Vec<Event>,
    flags: EventFlags,
}

impl fmt::Debug for BareEpoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BareEpoll").field(&self.epoll).finish()
    }
}

impl Readiness for BareEpoll {
    fn new(trigger: Trigger) -> Result<Self> {
        let flags = match trigger {
            Trigger::Edge => EventFlags::IN | EventFlags::ET,
            Trigger::Level => EventFlags::IN,
        };
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(1024), flags })
    }

    fn arm(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        for (place, descriptor) in descriptors.iter().enumerate() {
            let token = EventData::new_u64(place as u64);
            epoll::add(&self.epoll, descriptor, token, self.flags)?;
        }
        Ok(())
    }

    fn reap(&mut self, seen: &mut Seen) -> Result<()> {
        self.wait(&NOT_AT_ALL, seen)
    }

    fn remove(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        for descriptor in descriptors {
            epoll::delete(&self.epoll, descriptor)?;
        }
        Ok(())
    }
}

impl BareEpoll {
    #[inline]
    fn wait(&mut self, timeout: &Timespec, seen: &mut Seen) -> Result<()> {
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(timeout))?;
        for event in &self.events {
            let (flags, token) = (event.flags, event.data.u64());
            seen.note(token, flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR));
        }
        Ok(())
    }
}

impl Tells for BareEpoll {
    fn reap_within(&mut self, patience: Duration, seen: &mut Seen) -> Result<()> {
        self.wait(&Timespec::try_from(patience)?, seen)
    }
}

/// An eventfd, watched for edges so that it need be read only for its count.
#[derive(Debug)]
pub struct EventFdTarget {
    epoll: BareEpoll,
    counter: Arc<OwnedFd>,
}

impl Target for EventFdTarget {
    type Address = Arc<OwnedFd>;
    type Poster = Arc<OwnedFd>;

    fn new(posts: Posts) -> Result<Self> {
        if posts == Posts::Each {
            return Err("an eventfd merges".into());
        }
        let counter = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let mut epoll = BareEpoll::new(Trigger::Edge)?;
        epoll.arm(std::slice::from_ref(&counter))?;
        Ok(Self { epoll, counter })
    }

    fn address(&self) -> Result<Self::Address> {
        Ok(self.counter.clone())
    }

    fn poster(address: Self::Address) -> Result<Self::Poster> {
        Ok(address)
    }

    fn take(&mut self, patience: Patience, taken: &mut Taken) -> Result<()> {
        let timeout = match patience {
            Patience::None => Some(&NOT_AT_ALL),
            Patience::Endless => None,
        };
        let BareEpoll { epoll, events, .. } = &mut self.epoll;
        events.clear();
        epoll::wait(epoll, spare_capacity(events), timeout)?;
        if !events.is_empty() {
            let mut count = [0; 8];
            rustix::io::read(&self.counter, &mut count)?;
            taken.merged(u64::from_ne_bytes(count));
        }
        Ok(())
    }
}

impl Poster for Arc<OwnedFd> {
    #[inline]
    fn post(&mut self, _serial: u64) -> Result<()> {
        rustix::io::write(&*self, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}
