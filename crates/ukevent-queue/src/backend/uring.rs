//! io_uring: arming and ending are entries in memory, submitted by the next wait.
//!
//! Level is watched once and armed again by the queue: the arming looks at the state, in the same
//! system call that waits. Edge is a multishot poll. More submissions between two waits than the ring
//! holds go to a backlog in memory, in order. Completions are made only while this thread is in the
//! kernel (deferred), at most twenty in a pass, so the wait passes again while the kernel says that
//! work is left. Linux 6.1; KERNEL: io_uring_setup(2), io_uring_enter(2).

use super::mirror::Mirror;
use super::{Arm, Backend, Completion, EventFdWake, Patience, Poll, Tally, Ticket};
use crate::post::Wake;
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use ukevent_sys::clock::Clock;
use ukevent_sys::eventfd::EventFd;
use ukevent_sys::poll::PollMask;
use ukevent_sys::ring::{Completed, EnterWait, Ring, RingOptions, Submission};
use ukevent_sys::{Error, Result};

/// Reports taken in one wait, at most: a busy ring must not keep the thread from its timers.
const REPORTS_PER_WAIT: usize = 1024;

const NO_EVENTFD: &str = "an eventfd that the ring signals, and an epoll instance";

const ECANCELED: i32 = 125;
const EINTR: i32 = 4;
const ETIME: i32 = 62;
const EBUSY: i32 = 16;
const EALREADY: i32 = 114;

pub(crate) struct Uring {
    ring: Ring,
    backlog: VecDeque<Submission>,
    wake: EventFdWake,
    enabled: bool,
    /// Somebody watches this queue: what tells them. What is submitted must be submitted at once then.
    nested: Option<Nested>,
    overflows: u64,
    /// Taken while submitting outside a wait.
    early: Vec<Completion>,
    /// Armings that would not end, because their report was under way.
    going_on: Vec<Ticket>,
    /// Cancellations were pushed for them since the last entering.
    cancels: bool,
}

struct Nested {
    /// What the ring signals.
    eventfd: EventFd,
    mirror: Mirror,
}

impl Uring {
    pub(crate) fn new(options: RingOptions) -> Result<Self> {
        let ring = Ring::new(options)?;
        let wake = EventFdWake::new()?;
        let mut uring = Self {
            ring,
            backlog: VecDeque::new(),
            wake,
            enabled: false,
            nested: None,
            overflows: 0,
            early: Vec::new(),
            going_on: Vec::new(),
            cancels: false,
        };
        uring.watch_wake();
        Ok(uring)
    }

    fn watch_wake(&mut self) {
        let fd = self.wake.as_fd().as_raw_fd();
        self.push(Submission::poll(fd, PollMask::IN, true, Ticket::WAKE.to_bits()));
    }

    #[inline]
    fn push(&mut self, submission: Submission) {
        if self.backlog.is_empty() {
            match self.ring.push(submission) {
                Ok(()) => {}
                Err(submission) => self.backlog.push_back(submission),
            }
        } else {
            self.backlog.push_back(submission);
        }
    }

    /// Moves the backlog into the ring, entering the kernel for each ring full; the last one is left
    /// to the wait. What completes on the way is taken, so that it does not overflow.
    #[inline(never)]
    fn submit_backlog(&mut self, reports: &mut Vec<Completion>) -> Result<()> {
        while let Some(submission) = self.backlog.pop_front() {
            if let Err(submission) = self.ring.push(submission) {
                self.backlog.push_front(submission);
                self.enter(EnterWait::default())?;
                self.reap(reports);
            }
        }
        Ok(())
    }

    fn enable(&mut self) -> Result<()> {
        if !self.enabled {
            self.ring.enable()?;
            self.enabled = true;
        }
        Ok(())
    }

    /// Takes what lies in the ring.
    fn reap(&mut self, reports: &mut Vec<Completion>) {
        let mut wake_ended = false;
        for completed in self.ring.completions() {
            let ticket = Ticket::from_bits(completed.user_data);
            if let Some(ended) = ticket.ended() {
                if ticket == Ticket::WAKE {
                    wake_ended |= !completed.more;
                } else if completed.result == -EALREADY {
                    self.going_on.push(ended);
                }
                continue;
            }
            // The end of what was cancelled; its ticket is stale already.
            if completed.result == -ECANCELED {
                continue;
            }
            let Completed { result, more, .. } = completed;
            reports.push(Completion { ticket, result, last: !more });
        }
        if wake_ended {
            self.watch_wake();
        }
        while let Some(ticket) = self.going_on.pop() {
            self.push(Submission::cancel(ticket.to_bits(), ticket.ending().to_bits()));
            self.cancels = true;
        }
    }

    /// Enters once. False if the time is over, or if the overflow list was to be read first; whether
    /// it is over is left to the caller's clock.
    fn enter(&mut self, wait: EnterWait<'_>) -> Result<bool> {
        if self.ring.overflowing() {
            self.overflows += 1;
        }
        match self.ring.enter(wait) {
            Ok(()) => Ok(true),
            Err(error) if error.errno() == ETIME || error.errno() == EBUSY => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets the kernel do the work that one pass left. A pass does twenty pieces, or as many as are
    /// waited for; waiting for what lies in the ring already makes the passes larger, and never blocks.
    #[inline(never)]
    fn pass_again(&mut self, before: usize, reports: &mut Vec<Completion>) -> Result<()> {
        let mut lying = self.ring.waiting();
        while self.ring.work_waits() && reports.len() - before < REPORTS_PER_WAIT {
            if lying >= self.ring.capacity() / 2 {
                self.reap(reports);
                lying = 0;
            }
            self.enter(EnterWait { completions: lying, ..EnterWait::default() })?;
            let now = self.ring.waiting();
            // The flag that says that work is left may itself be left over from work that was done.
            if now <= lying {
                break;
            }
            lying = now;
        }
        Ok(())
    }

    /// Submits, and sleeps until there are so many completions.
    #[inline(never)]
    fn sleep(
        &mut self,
        patience: Patience<'_>,
        completions: u32,
        reports: &mut Vec<Completion>,
    ) -> Result<()> {
        // The kernel waits for no more than fit.
        let completions = completions.min(self.ring.capacity());
        // An entering that also submits says neither that the time is over nor that it was
        // interrupted: if it is early, with too little, it was.
        let says_all = self.ring.unsubmitted() == 0;
        let end = match patience.timeout_ns {
            Some(timeout) if !says_all => Some(Clock::Monotonic.now().saturating_add(timeout)),
            _ => None,
        };
        let (timeout_ns, mask) = (patience.timeout_ns, patience.mask);
        let entered = self.enter(EnterWait { completions, timeout_ns, mask })?;
        if says_all || !entered || self.ring.waiting() >= completions {
            return Ok(());
        }
        if end.is_some_and(|end| Clock::Monotonic.now() >= end) {
            return Ok(());
        }
        self.reap(reports);
        Err(Error::new("io_uring_enter", EINTR))
    }
}

impl Backend for Uring {
    #[inline]
    fn submit(&mut self, ticket: Ticket, poll: Poll) -> Result<()> {
        let multishot = poll.arm == Arm::Edge;
        self.push(Submission::poll(poll.fd, poll.mask, multishot, ticket.to_bits()));
        match &mut self.nested {
            Some(nested) => {
                nested.mirror.submit(ticket, poll)?;
                self.flush()
            }
            None => Ok(()),
        }
    }

    #[inline]
    fn cancel(&mut self, ticket: Ticket, _fd: RawFd, armed: bool) {
        if armed {
            self.push(Submission::end_poll(ticket.to_bits(), ticket.ending().to_bits()));
        }
        if let Some(nested) = &mut self.nested {
            nested.mirror.cancel(ticket);
        }
    }

    fn wait(&mut self, patience: Patience<'_>, reports: &mut Vec<Completion>) -> Result<()> {
        self.enable()?;
        if let Some(nested) = &mut self.nested {
            // Before looking: what comes after shows anew.
            nested.eventfd.clear()?;
            nested.mirror.take_edges()?;
        }
        let before = reports.len();
        if !self.early.is_empty() {
            reports.append(&mut self.early);
        }
        if !self.backlog.is_empty() {
            self.submit_backlog(reports)?;
        }
        if self.ring.waiting() > 0 {
            self.reap(reports);
        }
        let taken = (reports.len() - before) as u32;
        if !patience.is_none() && taken < patience.reports {
            self.sleep(patience, patience.reports - taken, reports)?;
        } else if self.ring.unsubmitted() > 0 || self.ring.work_waits() {
            self.enter(EnterWait::default())?;
        }
        if self.ring.work_waits() {
            self.pass_again(before, reports)?;
        }
        if self.ring.waiting() > 0 {
            self.reap(reports);
        }
        if std::mem::take(&mut self.cancels) {
            // Whoever removed a descriptor counts on its being closed when this wait returns.
            self.enter(EnterWait::default())?;
            self.reap(reports);
        }
        if let Some(nested) = &mut self.nested {
            for report in reports[before..].iter().filter(|report| report.last) {
                nested.mirror.ended(report.ticket);
            }
        }
        Ok(())
    }

    fn waker(&self) -> Box<dyn Wake> {
        Box::new(self.wake.clone())
    }

    fn descriptor(&mut self) -> std::result::Result<BorrowedFd<'_>, &'static str> {
        if self.nested.is_none() {
            let eventfd = EventFd::new().map_err(|_| NO_EVENTFD)?;
            self.ring.notify(&eventfd).map_err(|_| NO_EVENTFD)?;
            // The wake-up is never read: only its edge shows.
            let own = [(eventfd.as_fd(), Arm::Level), (self.wake.as_fd(), Arm::Edge)];
            let mirror = Mirror::new(own).map_err(|_| NO_EVENTFD)?;
            self.nested = Some(Nested { eventfd, mirror });
        }
        self.nested.as_ref().map(|nested| nested.mirror.descriptor()).ok_or(NO_EVENTFD)
    }

    fn tally(&self) -> Tally {
        let mirror = self.nested.as_ref().map_or(0, |nested| nested.mirror.system_calls());
        Tally { system_calls: self.ring.enters() + mirror, overflows: self.overflows }
    }
}

impl Uring {
    fn flush(&mut self) -> Result<()> {
        self.enable()?;
        let mut early = std::mem::take(&mut self.early);
        let submitted = self.submit_backlog(&mut early);
        self.early = early;
        submitted?;
        if self.ring.unsubmitted() > 0 {
            self.enter(EnterWait::default())?;
        }
        Ok(())
    }
}
