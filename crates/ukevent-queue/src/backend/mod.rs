//! The seam: what the queue needs of a kernel, and the four that provide it.
//!
//! A backend watches descriptors and waits; it knows no events, tokens or modes. The queue tells it
//! what to arm under which [`Ticket`], and gets [`Completion`]s back. What the kernels differ in is
//! settled below this line, in one file each.

pub(crate) mod choice;
pub(crate) mod epoll;
mod lower;
mod mirror;
pub(crate) mod poll;
mod provided;
pub mod sim;
pub(crate) mod uring;

use crate::event::Errno;
use crate::operation::{Payload, Request};
use crate::post::Wake;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::Arc;
use ukevent_sys::clock::Clock;
use ukevent_sys::epoll::{Epoll, Report};
use ukevent_sys::eventfd::EventFd;
use ukevent_sys::poll::{PollFd, PollMask};
use ukevent_sys::signal::SignalSet;
use ukevent_sys::{Error, Result};

/// Descriptors that are probed with one system call.
const PROBES: usize = 256;
const EINVAL: i32 = 22;

/// The name of one arming: a slot, and how often it was armed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) index: u32,
    pub(crate) serial: u32,
}

impl Ticket {
    /// The backend's own: its wake-up.
    pub(crate) const WAKE: Self = Self { index: u32::MAX, serial: u32::MAX };
    /// Other descriptors of the queue's own, that end a sleep and are nobody's.
    pub(crate) const fn own(number: u32) -> Self {
        Self { index: Self::WAKE.index, serial: number }
    }

    /// Slots have smaller indexes, by both bits.
    pub(crate) const ENDING: u32 = 1 << 31;
    const OPERATION: u32 = 1 << 30;

    /// The ending of this arming: a name for the submission that asks for it.
    pub(crate) const fn ending(self) -> Self {
        Self { index: self.index | Self::ENDING, serial: self.serial }
    }

    /// The arming whose ending this is, if it is one; not for the backend's own.
    pub(crate) const fn ended(self) -> Option<Self> {
        match self.index & Self::ENDING {
            0 => None,
            _ => Some(Self { index: self.index & !Self::ENDING, serial: self.serial }),
        }
    }

    /// The name of an operation in this slot.
    pub(crate) const fn of_operation(self) -> Self {
        Self { index: self.index | Self::OPERATION, serial: self.serial }
    }

    /// The slot of an operation's name.
    pub(crate) const fn of_slot(self) -> Self {
        Self { index: self.index & !Self::OPERATION, serial: self.serial }
    }

    /// Whether it is that of an operation; not for endings, and the backend's own.
    pub(crate) const fn is_of_operation(self) -> bool {
        self.index & (Self::ENDING | Self::OPERATION) == Self::OPERATION
    }

    pub(crate) const fn to_bits(self) -> u64 {
        (self.serial as u64) << 32 | self.index as u64
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, serial: (bits >> 32) as u32 }
    }
}

/// For how long a descriptor is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    /// Until it was reported once.
    Once,
    /// Until cancelled; reported when it becomes ready and when there is news.
    Edge,
    /// Until cancelled; reported in every wait while it is ready. A backend that cannot reports once,
    /// and the queue arms it again ([`Completion::last`]).
    Level,
}

/// What to watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poll {
    pub(crate) fd: RawFd,
    pub(crate) mask: PollMask,
    pub(crate) arm: Arm,
}

/// A report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) ticket: Ticket,
    /// The mask of what is ready; or, below zero, the negated errno that ended the watching.
    pub(crate) result: i32,
    /// No more reports come under this ticket.
    pub(crate) last: bool,
}

impl Completion {
    pub(crate) const fn ready(ticket: Ticket, mask: PollMask, last: bool) -> Self {
        Self { ticket, result: mask.bits() as i32, last }
    }
}

/// What a report of an operation brings.
pub(crate) enum Landed {
    Nothing,
    Payload(Payload),
    /// The same of a send that was cut short.
    Torn(Payload),
    /// A part was done. This is the rest of it.
    Rest(Request),
    /// All of it is on its way, and the kernel holds the buffer still.
    Sent,
    /// It has let go of it; `copied`: or would have done as well with a copy.
    Released {
        payload: Payload,
        copied: bool,
    },
}

/// What became of an operation that a backend was to carry out.
pub(crate) enum Start {
    Begun,
    /// This backend, or this kernel, cannot: it is tried instead.
    NotMine(Request),
    /// Its pool is empty; it is begun anew when a buffer came back.
    NoBuffer(Request),
    /// It is begun in the next wait.
    Later(Request),
    /// It cannot be done at all.
    Refused(Request, Errno),
}

/// How a backend is to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience<'a> {
    /// Return when so many reports came; 0 never blocks.
    pub(crate) reports: u32,
    /// Or after this time; `None` is for ever.
    pub(crate) timeout_ns: Option<u64>,
    pub(crate) mask: Option<&'a SignalSet>,
    /// The queue waits again because it did not get enough: what was reported and is still ready
    /// must not end this wait too.
    pub(crate) again: bool,
}

impl Patience<'_> {
    pub(crate) const fn is_none(&self) -> bool {
        self.reports == 0 || matches!(self.timeout_ns, Some(0))
    }
}

/// A kernel, as the queue sees it.
pub(crate) trait Backend: Send {
    /// Watches a descriptor under a ticket, in place of what the slot had armed before. The caller
    /// keeps the descriptor open until it cancels. Errors that a kernel finds only later come as a
    /// completion.
    fn submit(&mut self, ticket: Ticket, poll: Poll) -> Result<()>;

    /// Carries an operation out by itself, under the ticket of an operation; reports of it bring what
    /// [`Backend::land`] gives. The caller keeps the descriptor open until the next wait, which submits
    /// it, or cancels it before.
    fn start(&mut self, _ticket: Ticket, request: Request, _fd: BorrowedFd<'_>) -> Start {
        Start::NotMine(request)
    }

    /// Whether starting is an entry in memory, so that it may be done before the wait.
    fn starts_in_memory(&self) -> bool {
        false
    }

    /// What the next report of an operation brings; called once for each, in their order.
    fn land(&mut self) -> Landed {
        Landed::Nothing
    }

    /// Ends what the slot of this ticket has armed (`armed`: it has not reported for the last time)
    /// and forgets the descriptor.
    fn cancel(&mut self, ticket: Ticket, fd: RawFd, armed: bool);

    /// Lets what was submitted take effect, waits, and appends the reports. An error loses nothing.
    fn wait(&mut self, patience: Patience<'_>, reports: &mut Vec<Completion>) -> Result<()>;

    /// Looks which of `fds` are ready at this moment.
    fn probe(&mut self, fds: &mut [PollFd]) -> Result<()> {
        // More than the process may have descriptors the kernel takes from nobody (poll(2)).
        for some in fds.chunks_mut(PROBES) {
            match ukevent_sys::poll::poll(some, Some(0), None) {
                Ok(_) => {}
                // The limit was lowered below even that: what was reported stands.
                Err(error) if error.errno() == EINVAL => {
                    some.iter_mut().for_each(|fd| fd.set_reported(fd.mask()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether something lies in memory that only the next wait hands to the kernel, or takes.
    fn owes(&self) -> bool {
        false
    }

    /// Whether something may have happened before what the last wait brought, and it did not bring that.
    fn may_be_behind(&mut self) -> bool {
        true
    }

    /// What ends the backend's wait, from any thread.
    fn waker(&self) -> Box<dyn Wake>;

    /// The time of a clock.
    fn now(&self, clock: Clock) -> u64 {
        clock.now()
    }

    /// What several threads may sleep on, each for one of its reports, while nobody holds the queue. From then on
    /// each report is one thread's. `None` if this backend belongs to one thread.
    fn share(&mut self) -> Option<Arc<Epoll>> {
        None
    }

    /// Appends what such a sleep brought.
    fn take_in(&mut self, _slept: &[Report], _reports: &mut Vec<Completion>) -> Result<()> {
        Ok(())
    }

    /// Whether something is known without the kernel.
    fn knows_own(&self) -> bool {
        false
    }

    /// Appends it.
    fn report_own(&mut self, _reports: &mut Vec<Completion>) {}

    /// A descriptor that becomes readable when a wait would return; from then on what is submitted
    /// takes effect at once. What is armed already must be submitted anew after the first call. In words
    /// what it would need if there is none.
    fn descriptor(&mut self) -> std::result::Result<BorrowedFd<'_>, &'static str>;

    /// How often the kernel was called, and how often its completions overflowed.
    fn tally(&self) -> Tally;
}

/// What a backend counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) system_calls: u64,
    pub(crate) overflows: u64,
}

/// The wake-up of the backends that have a kernel: an eventfd that is watched for edges, so that
/// nobody need read it.
#[derive(Clone)]
pub(crate) struct EventFdWake(Arc<EventFd>);

impl EventFdWake {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Arc::new(EventFd::new()?)))
    }

    pub(crate) fn clear(&self) -> Result<()> {
        self.0.clear()
    }
}

impl AsFd for EventFdWake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Wake for EventFdWake {
    fn wake(&self) {
        // A live eventfd cannot refuse; and the caller, on another thread, could do nothing.
        let _: std::result::Result<(), Error> = self.0.signal();
    }
}
