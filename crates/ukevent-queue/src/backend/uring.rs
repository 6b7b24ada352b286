//! io_uring: arming and ending are entries in memory, submitted by the next wait.
//!
//! Level is watched once and armed again by the queue: the arming looks at the state, in the same
//! system call that waits. Edge is a multishot poll. More submissions between two waits than the ring
//! holds go to a backlog in memory, in order. Completions are made only while this thread is in the
//! kernel (deferred), at most twenty in a pass, so the wait passes again while the kernel says that
//! work is left. Linux 6.1; KERNEL: io_uring_setup(2), io_uring_enter(2).

use super::lower::{self, Shape};
use super::mirror::Mirror;
use super::provided::{NoGroup, Provided};
use super::{Arm, Backend, Completion, EventFdWake, Landed, Patience, Poll, Start, Tally, Ticket};
use crate::by_slot::BySlot;
use crate::operation::{Inlet, Request};
use crate::post::Wake;
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use ukevent_buf::Piece;
use ukevent_sys::clock::Clock;
use ukevent_sys::eventfd::EventFd;
use ukevent_sys::poll::PollMask;
use ukevent_sys::ring::{
    Completed, EnterWait, Flight, Load, Operation, Ring, RingOptions, Submission,
};
use ukevent_sys::{Error, Result};

/// Reports taken in one wait, at most: a busy ring must not keep the thread from its timers.
const REPORTS_PER_WAIT: usize = 1024;

/// How often an entering is tried that must not fail: the kernel may be short of memory.
const ENTERINGS: u32 = 100;

const NO_EVENTFD: &str = "an eventfd that the ring signals, and an epoll instance";

const ECANCELED: i32 = 125;
const EINTR: i32 = 4;
const ETIME: i32 = 62;
const EBUSY: i32 = 16;
const EALREADY: i32 = 114;

pub(crate) struct Uring {
    ring: Ring<Piece>,
    backlog: VecDeque<Submission>,
    /// Operations that the kernel has, by slot: their serial, their name in the ring, and their shape.
    flights: BySlot<(u32, Flight, Shape)>,
    /// Operations for which the ring had no place; they go with the next entering.
    grounded: VecDeque<(Ticket, Operation<Piece>, Shape)>,
    /// Operations that are to be cancelled, for which it had no place either.
    uncancelled: Vec<Flight>,
    /// What the reports of operations bring, in their order; and how many were taken of it.
    landed: Vec<Landed>,
    taken: usize,
    /// What the kernel has of the pools that are received into.
    provided: Provided,
    /// Whether the kernel reads pipes continuously, once it was asked.
    reads_each: Option<bool>,
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
            flights: BySlot::new(),
            grounded: VecDeque::new(),
            uncancelled: Vec::new(),
            landed: Vec::new(),
            taken: 0,
            provided: Provided::default(),
            reads_each: None,
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
        while let Some(flight) = self.uncancelled.pop() {
            if !self.ring.cancel_flight(flight) {
                self.uncancelled.push(flight);
                self.enter(EnterWait::default())?;
                self.reap(reports);
            }
        }
        while let Some((ticket, operation, shape)) = self.grounded.pop_front() {
            if let Err(operation) = self.take_off(ticket, operation, shape) {
                self.grounded.push_front((ticket, operation, shape));
                self.enter(EnterWait::default())?;
                self.reap(reports);
            }
        }
        Ok(())
    }

    /// Writes an operation into the ring; comes back if there is no place.
    #[inline(always)]
    fn take_off(
        &mut self,
        ticket: Ticket,
        operation: Operation<Piece>,
        shape: Shape,
    ) -> std::result::Result<(), Operation<Piece>> {
        let flight = self.ring.start(ticket.to_bits(), operation)?;
        self.flights.insert(ticket.of_slot().index, (ticket.serial, flight, shape));
        Ok(())
    }

    fn reads_each(&mut self) -> bool {
        *self.reads_each.get_or_insert_with(|| self.ring.reads_each())
    }

    fn flight(&self, ticket: Ticket) -> Option<Flight> {
        match self.flights.find(ticket.of_slot().index) {
            Some(&(serial, flight, _)) if serial == ticket.serial => Some(flight),
            _ => None,
        }
    }

    /// Ends an operation early.
    fn cancel_operation(&mut self, ticket: Ticket) {
        let mut is_named = false;
        if let Some(flight) = self.flight(ticket) {
            is_named = !self.ring.is_submitted(flight);
            if !self.ring.cancel_flight(flight) {
                self.uncancelled.push(flight);
            }
        } else if let Some(at) = self.grounded.iter().position(|(other, ..)| *other == ticket) {
            // The kernel never saw it; who waits for its end is told all the same.
            if let Some((_, operation, shape)) = self.grounded.remove(at) {
                self.early.push(Completion { ticket, result: -ECANCELED, last: true });
                self.landed.push(lower::grounded(operation, shape));
            }
        }
        // Its entry names a descriptor by number, and whoever ends it may close that next: what was not
        // submitted must not find another file there.
        let mut tries = 0;
        while is_named && self.ring.unsubmitted() > 0 && tries < ENTERINGS {
            let entered = self.enable().and_then(|()| self.enter(EnterWait::default()));
            if entered.is_err() {
                std::thread::yield_now();
            }
            tries += 1;
        }
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
        for Completed { user_data, result, more, load } in self.ring.completions() {
            let ticket = Ticket::from_bits(user_data);
            if ticket.is_of_operation() {
                let slot = ticket.of_slot().index;
                let flown = self.flights.find_mut(slot).filter(|it| it.0 == ticket.serial);
                let (shape, result) = match flown {
                    Some(&mut (_, _, shape)) if !more => {
                        self.flights.remove(slot);
                        (shape, shape.known().unwrap_or(result))
                    }
                    Some((_, _, shape)) if shape.comes_twice() => {
                        if shape.learn(result) {
                            reports.push(Completion { ticket, result, last: false });
                            self.landed.push(Landed::Sent);
                        }
                        continue;
                    }
                    _ => (Shape::Plain, result),
                };
                let result = match shape {
                    Shape::Each { stops: true } => self.provided.judged(result),
                    _ => result,
                };
                reports.push(Completion { ticket, result, last: !more });
                self.landed.push(lower::landed(load, shape, result));
                continue;
            }
            if !matches!(load, Load::None) {
                continue;
            }
            // Polls bring nothing, which spares looking what is to be dropped.
            std::mem::forget(load);
            if let Some(ended) = ticket.ended() {
                if ticket == Ticket::WAKE {
                    wake_ended |= !more;
                } else if result == -EALREADY {
                    self.going_on.push(ended);
                }
                continue;
            }
            // The end of what was cancelled; its ticket is stale already.
            if result == -ECANCELED {
                continue;
            }
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
    /// Work is noted in the order in which things happen, and makes completions in that order, but for what is
    /// received as soon as it is asked for, or while more is received. With no work left and no completion
    /// unread, all is here that happened before the last of them.
    #[inline]
    fn may_be_behind(&mut self) -> bool {
        self.ring.work_waits() || self.ring.waiting() > 0
    }

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

    fn start(&mut self, ticket: Ticket, request: Request, fd: BorrowedFd<'_>) -> Start {
        // What there is most of, apart.
        match request {
            Request::Send { piece, sent: 0, more, zero_copy: false } => {
                let shape = Shape::Send { bytes: piece.bytes().len() };
                let operation = Operation::Send { fd: fd.as_raw_fd(), buffer: piece, more };
                self.launch(ticket, operation, shape)
            }
            Request::Read { buffer, offset, is_file: true } => {
                let (fd, offset) = (fd.as_raw_fd(), Some(offset));
                let operation = Operation::Read { fd, buffer: buffer.into(), offset };
                self.launch(ticket, operation, Shape::Plain)
            }
            request => self.start_any(ticket, request, fd),
        }
    }

    fn starts_in_memory(&self) -> bool {
        self.enabled
    }

    fn land(&mut self) -> Landed {
        let Some(landed) = self.landed.get_mut(self.taken) else { return Landed::Nothing };
        let landed = std::mem::replace(landed, Landed::Nothing);
        self.taken += 1;
        if self.taken == self.landed.len() {
            // Nothing of it is left to be dropped.
            self.landed.clear();
            self.taken = 0;
        }
        landed
    }

    #[inline]
    fn cancel(&mut self, ticket: Ticket, _fd: RawFd, armed: bool) {
        if ticket.is_of_operation() {
            return self.cancel_operation(ticket);
        }
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
        self.provided.before_wait(&mut self.ring);
        if !self.early.is_empty() {
            reports.append(&mut self.early);
        }
        if !(self.backlog.is_empty() && self.grounded.is_empty() && self.uncancelled.is_empty()) {
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

    fn owes(&self) -> bool {
        let nothing = self.ring.unsubmitted() == 0
            && self.early.is_empty()
            && self.backlog.is_empty()
            && self.grounded.is_empty()
            && self.uncancelled.is_empty();
        !nothing
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
    #[inline(never)]
    fn start_any(&mut self, ticket: Ticket, request: Request, fd: BorrowedFd<'_>) -> Start {
        let lowered = match request {
            Request::ReceiveEach {
                ref pool,
                inlet: inlet @ (Inlet::Stream | Inlet::Pipe),
                most_bytes,
            } => {
                if inlet == Inlet::Pipe && !self.reads_each() {
                    return Start::NotMine(request);
                }
                match self.provided.begin(&mut self.ring, pool) {
                    Ok(group) => {
                        let fd = fd.as_raw_fd();
                        Ok(match inlet {
                            Inlet::Pipe => {
                                (Operation::ReadEach { fd, group }, Shape::Each { stops: false })
                            }
                            _ => {
                                let most_bytes = self.provided.most_bytes(pool, most_bytes);
                                let stops = most_bytes > 0;
                                let operation = Operation::ReceiveEach { fd, group, most_bytes };
                                (operation, Shape::Each { stops })
                            }
                        })
                    }
                    Err(NoGroup::Short) => return Start::NoBuffer(request),
                    Err(NoGroup::Later) => return Start::Later(request),
                    Err(NoGroup::Unknown) => Err(request),
                    Err(NoGroup::Refused(errno)) => return Start::Refused(request, errno),
                }
            }
            request => lower::lowered(request, fd),
        };
        let (operation, shape) = match lowered {
            Ok(lowered) => lowered,
            Err(request) => return Start::NotMine(request),
        };
        self.launch(ticket, operation, shape)
    }

    /// Writes an operation into the ring, or keeps it until there is a place.
    #[inline(always)]
    fn launch(&mut self, ticket: Ticket, operation: Operation<Piece>, shape: Shape) -> Start {
        if let Err(operation) = self.take_off(ticket, operation, shape) {
            self.grounded.push_back((ticket, operation, shape));
        }
        Start::Begun
    }

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
