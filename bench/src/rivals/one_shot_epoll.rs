//! One epoll instance for all threads, EPOLLONESHOT: a descriptor that was told of is silent until the thread that
//! works on it has it watched again, with a system call. This is epoll(7)'s way to have each descriptor with one
//! thread at a time.

use super::shared_epoll::Instance;
use crate::tables::shared::{Ends, Server, Shares, Waits};
use rustix::event::epoll::EventFlags;
use std::sync::Arc;
use ukevent_bench::tables::ready::Descriptor;
use ukevent_measure::Result;

pub(crate) struct OneShot {
    instance: Instance<1>,
    /// What `instance` is told to watch again.
    readers: Arc<[Descriptor]>,
}

impl Shares for OneShot {
    type Waiter = Self;

    fn waiters(ends: &Ends, count: usize) -> Result<Vec<Self>> {
        let instance = Instance::new(ends)?;
        instance.add_all(ends, EventFlags::ONESHOT)?;
        let waiter = |_| Self { instance: instance.share(), readers: ends.readers.clone() };
        Ok((0..count).map(waiter).collect())
    }
}

impl Waits for OneShot {
    fn wait(&mut self, server: &mut Server) -> Result<bool> {
        let mut told = None;
        let goes_on = self.instance.wait(|place| {
            told = Some(place);
            server.answer(place)
        })?;
        if let Some(place) = told {
            self.instance.arm_again(&self.readers[place], place, EventFlags::ONESHOT)?;
        }
        Ok(goes_on)
    }

    fn returns(&self) -> u64 {
        self.instance.returns()
    }
}
