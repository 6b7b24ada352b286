//! A mirror: an epoll instance that watches what a backend watches, for somebody who watches the queue.
//!
//! For the two backends that have no descriptor to show. poll(2) has none at all. An io_uring
//! instance has one, but it says nothing of work that is deferred while its thread sleeps elsewhere
//! (Linux 6.18); nor does the eventfd a ring can signal, when the news comes from an eventfd itself.
//! What a poll watches by level is mirrored by level for as long as it is armed, so nothing can be
//! missed; an edge is mirrored as an edge, and taken with every wait.

use super::epoll::EpollBackend;
use super::{Arm, Backend, Completion, Patience, Poll, Ticket};
use std::os::fd::{AsRawFd, BorrowedFd};
use ukevent_sys::Result;
use ukevent_sys::poll::PollMask;

/// Places of the backend's own descriptors, before those of the slots.
const OWN: u32 = 2;

pub(super) struct Mirror {
    set: EpollBackend,
    taken: Vec<Completion>,
}

impl Mirror {
    /// Mirrors two descriptors of the backend's own, each by its arm.
    pub(super) fn new(own: [(BorrowedFd<'_>, Arm); OWN as usize]) -> Result<Self> {
        let mut set = EpollBackend::new()?;
        for (index, (fd, arm)) in (0..).zip(own) {
            let poll = Poll { fd: fd.as_raw_fd(), mask: PollMask::IN, arm };
            set.submit(Ticket { index, serial: 0 }, poll)?;
        }
        Ok(Self { set, taken: Vec::new() })
    }

    pub(super) fn submit(&mut self, ticket: Ticket, poll: Poll) -> Result<()> {
        let arm = if poll.arm == Arm::Edge { Arm::Edge } else { Arm::Level };
        self.set.submit(mirrored(ticket), Poll { arm, ..poll })
    }

    /// A slot's descriptor is watched no longer.
    pub(super) fn cancel(&mut self, ticket: Ticket) {
        self.set.cancel(mirrored(ticket), -1, true);
    }

    /// An arming was reported for the last time. The slot may be armed anew already.
    pub(super) fn ended(&mut self, ticket: Ticket) {
        if self.set.watches(mirrored(ticket)) {
            self.cancel(ticket);
        }
    }

    /// Takes the edges that show, before the backend looks for what they announced.
    pub(super) fn take_edges(&mut self) -> Result<()> {
        self.taken.clear();
        let look = Patience { reports: 0, timeout_ns: Some(0), mask: None, again: false };
        self.set.wait(look, &mut self.taken)
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.set.shown()
    }

    pub(super) fn system_calls(&self) -> u64 {
        self.set.tally().system_calls
    }
}

const fn mirrored(ticket: Ticket) -> Ticket {
    Ticket { index: ticket.index + OWN, serial: ticket.serial }
}
