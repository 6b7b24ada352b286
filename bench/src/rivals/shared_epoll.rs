//! What the contenders of `shared` that are bare epoll have in common: an instance, and a thread's waits on it.

use crate::tables::shared::Ends;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use ukevent_measure::Result;

/// The token of what tells a waiter to stop. Descriptors have their place.
const STOP: u64 = u64::MAX;

/// An epoll instance as one thread knows it, which takes at most so many events with one wait.
pub(crate) struct Instance<const AT_MOST: usize> {
    epoll: Arc<OwnedFd>,
    returns: u64,
}

impl<const AT_MOST: usize> Instance<AT_MOST> {
    /// Watches `stop` by level: each thread hears of it.
    pub(crate) fn new(ends: &Ends) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &ends.stop, EventData::new_u64(STOP), EventFlags::IN)?;
        Ok(Self::of(Arc::new(epoll)))
    }

    fn of(epoll: Arc<OwnedFd>) -> Self {
        Self { epoll, returns: 0 }
    }

    /// The same instance for another thread.
    pub(crate) fn share(&self) -> Self {
        Self::of(self.epoll.clone())
    }

    /// Watches the descriptor of this place, besides what the flags say for reading.
    pub(crate) fn add(&self, ends: &Ends, place: usize, flags: EventFlags) -> Result<()> {
        let token = EventData::new_u64(place as u64);
        Ok(epoll::add(&self.epoll, &ends.readers[place], token, EventFlags::IN | flags)?)
    }

    /// The same for all of them.
    pub(crate) fn add_all(&self, ends: &Ends, flags: EventFlags) -> Result<()> {
        (0..ends.readers.len()).try_for_each(|place| self.add(ends, place, flags))
    }

    /// Watches again what was watched for one event.
    pub(crate) fn arm_again(
        &self,
        reader: &OwnedFd,
        place: usize,
        flags: EventFlags,
    ) -> Result<()> {
        let token = EventData::new_u64(place as u64);
        Ok(epoll::modify(&self.epoll, reader, token, EventFlags::IN | flags)?)
    }

    /// One wait, without a limit of time. False if the thread is to stop.
    #[inline]
    pub(crate) fn wait(&mut self, mut told: impl FnMut(usize) -> Result<()>) -> Result<bool> {
        let mut room = [const { MaybeUninit::uninit() }; AT_MOST];
        let (events, _) = match epoll::wait(&self.epoll, &mut room, None) {
            // The kernel may interrupt a thread that has just closed an io_uring instance.
            Err(Errno::INTR) => return Ok(true),
            waited => waited?,
        };
        self.returns += 1;
        let mut goes_on = true;
        for event in events {
            match event.data.u64() {
                STOP => goes_on = false,
                place => told(place as usize)?,
            }
        }
        Ok(goes_on)
    }

    pub(crate) const fn returns(&self) -> u64 {
        self.returns
    }
}
