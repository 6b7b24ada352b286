//! The queue as a descriptor: another queue, epoll or a foreign runtime can wait on it.
//!
//! An epoll instance holds what can end a wait: the backend's own descriptor, and a timerfd for what
//! only memory knows: the next timer, and events or armings that are left for the next wait. While
//! somebody watches, the queue counts as asleep whenever it is not in a wait, so that posts make the
//! system call that shows; and what is registered takes effect at once.

use super::Queue;
use crate::error::RegisterError;
use crate::slot::Flags;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use ukevent_sys::Error;
use ukevent_sys::clock::Clock;
use ukevent_sys::epoll::{Epoll, Trigger};
use ukevent_sys::poll::PollMask;
use ukevent_sys::timerfd::TimerFd;

pub(super) struct Nest {
    epoll: Epoll,
    timer: TimerFd,
    set_ns: Option<u64>,
}

impl Queue {
    /// A descriptor that is readable whenever [`Queue::wait`] would return an event: to be watched
    /// by another queue ([`Fd`](crate::Fd)), by epoll, or by a runtime. It may become readable
    /// without an event, never the other way round; use [`Wait::now`](crate::Wait::now) then. From
    /// the first call on, the queue makes a few more system calls.
    ///
    /// # Errors
    /// [`RegisterError::Unsupported`] on a simulation; [`RegisterError::WrongThread`];
    /// [`RegisterError::Kernel`] when no descriptor is left.
    pub fn descriptor(&mut self) -> Result<OwnedFd, RegisterError> {
        self.claim_thread()?;
        if self.nest.is_none() {
            let nest = self.build_nest()?;
            self.nest = Some(nest);
            let armed = self.slots.iter().filter(|(_, slot)| slot.flags.contains(Flags::ARMED));
            for index in armed.map(|(index, _)| index).collect::<Vec<_>>() {
                let (key, _) = self.slots.at(index);
                self.arm(key)?;
            }
            self.changed()?;
        }
        let nest = self.nest.as_ref().expect("built above");
        Ok(ukevent_sys::descriptor::duplicate(nest.epoll.as_fd().as_raw_fd())?)
    }

    fn build_nest(&mut self) -> Result<Nest, RegisterError> {
        let epoll = Epoll::new()?;
        let timer = TimerFd::new(Clock::Monotonic)?;
        let inner = self.backend.descriptor().map_err(|needs| RegisterError::Unsupported {
            what: "the queue as a descriptor",
            needs,
        })?;
        epoll.add(inner.as_raw_fd(), PollMask::IN, Trigger::Level, 0)?;
        epoll.add(timer.as_fd().as_raw_fd(), PollMask::IN, Trigger::Level, 1)?;
        Ok(Nest { epoll, timer, set_ns: None })
    }

    /// After a change: what was registered must take effect before the next wait if somebody else
    /// waits for us.
    #[inline]
    pub(super) fn changed(&mut self) -> Result<(), Error> {
        if self.nest.is_none() { Ok(()) } else { self.show_nest(true) }
    }

    /// Shows the watchers of the queue what the kernel cannot see, at the end of a wait.
    #[inline]
    pub(super) fn mind_nest(&mut self) -> Result<(), Error> {
        if self.nest.is_none() { Ok(()) } else { self.show_nest(false) }
    }

    fn show_nest(&mut self, changed: bool) -> Result<(), Error> {
        self.now_ns = None;
        let timer = self.until_next_timer()?;
        let posted = !self.mailbox.prepare_sleep();
        let work = posted
            || changed
            || self.ready_events > 0
            || !self.to_arm.is_empty()
            || !self.hot.is_empty()
            || !self.nobody_in_line()
            || self.backend.owes();
        let now_ns = self.monotonic_ns();
        let at = if work { Some(1) } else { timer.map(|ns| now_ns.saturating_add(ns)) };
        let Some(nest) = &mut self.nest else { return Ok(()) };
        if nest.set_ns != at {
            nest.timer.set(at)?;
            nest.set_ns = at;
        }
        Ok(())
    }
}
