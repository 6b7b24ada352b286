//! An epoll instance for each thread, and each descriptor in one of them: nothing is shared, and who has nothing to
//! do cannot help. This is how servers with a loop for each core do it.

use super::shared_epoll::Instance;
use crate::tables::shared::{Ends, PAIRS, Server, Shares, Waits};
use rustix::event::epoll::EventFlags;
use ukevent_measure::Result;

/// Nobody else could take what it takes.
pub(crate) struct Dealt(Instance<PAIRS>);

impl Shares for Dealt {
    type Waiter = Self;

    fn waiters(ends: &Ends, count: usize) -> Result<Vec<Self>> {
        let waiters: Result<Vec<_>> = (0..count).map(|_| Ok(Self(Instance::new(ends)?))).collect();
        let waiters = waiters?;
        for (place, waiter) in (0..ends.readers.len()).zip(waiters.iter().cycle()) {
            waiter.0.add(ends, place, EventFlags::ET)?;
        }
        Ok(waiters)
    }
}

impl Waits for Dealt {
    fn wait(&mut self, server: &mut Server) -> Result<bool> {
        self.0.wait(|place| server.answer(place))
    }

    fn returns(&self) -> u64 {
        self.0.returns()
    }
}
