//! An epoll instance for each thread, and each descriptor in all of them: EPOLLEXCLUSIVE wakes one that sleeps, or
//! more (epoll_ctl(2)). Who is busy meanwhile finds the descriptor in its own instance later, whoever took the
//! message; the kernel looks whether it is still readable, but two threads may look before either reads.

use super::shared_epoll::Instance;
use crate::tables::shared::{Ends, PAIRS, Server, Shares, Waits};
use rustix::event::epoll::EventFlags;
use ukevent_measure::Result;

/// All at a time: what another thread took meanwhile costs a read that finds nothing, one at a time a wait for each.
pub(crate) struct Exclusive(Instance<PAIRS>);

impl Shares for Exclusive {
    const MAY_TELL_TWICE: bool = true;

    type Waiter = Self;

    fn waiters(ends: &Ends, count: usize) -> Result<Vec<Self>> {
        let waiter = |_| -> Result<Self> {
            let instance = Instance::new(ends)?;
            instance.add_all(ends, EventFlags::EXCLUSIVE | EventFlags::ET)?;
            Ok(Self(instance))
        };
        (0..count).map(waiter).collect()
    }
}

impl Waits for Exclusive {
    fn wait(&mut self, server: &mut Server) -> Result<bool> {
        self.0.wait(|place| server.answer(place))
    }

    fn returns(&self) -> u64 {
        self.0.returns()
    }
}
