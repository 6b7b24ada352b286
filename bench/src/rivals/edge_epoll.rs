//! One epoll instance for all threads, by edge: each takes one event at a time, and the kernel tells one thread of
//! each edge (epoll(7)). Two messages on one descriptor could be with two threads at once; here there is never a
//! second before the first is answered.

use super::shared_epoll::Instance;
use crate::tables::shared::{Ends, Server, Shares, Waits};
use rustix::event::epoll::EventFlags;
use ukevent_measure::Result;

pub(crate) struct OneForAll(Instance<1>);

impl Shares for OneForAll {
    type Waiter = Self;

    fn waiters(ends: &Ends, count: usize) -> Result<Vec<Self>> {
        let instance = Instance::new(ends)?;
        instance.add_all(ends, EventFlags::ET)?;
        Ok((0..count).map(|_| Self(instance.share())).collect())
    }
}

impl Waits for OneForAll {
    fn wait(&mut self, server: &mut Server) -> Result<bool> {
        self.0.wait(|place| server.answer(place))
    }

    fn returns(&self) -> u64 {
        self.0.returns()
    }
}
