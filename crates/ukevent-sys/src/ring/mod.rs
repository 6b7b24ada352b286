//! The io_uring instance: submissions written to memory, completions read from memory, and one
//! system call for both (io_uring(7), io_uring_enter(2)).
//!
//! In the order of the story: here the instance; how it is entered; entries that lend nothing, which
//! watch descriptors; operations, and the memory and messages they lend; how they become entries; what
//! is in flight; completions; buffers that are provided in advance; and the end.
//!
//! The mapping and the entries come from the `io-uring` crate; entering is our own.
//!
//! Set up disabled, so that the instance can be made in one thread and used in another: the thread
//! that calls [`Ring::enable`] is the one that may submit (`SINGLE_ISSUER`). Completions are made
//! when that thread enters (`DEFER_TASKRUN`), never between.

mod address;
mod ancillary;
mod buffers;
mod close;
mod completion;
mod enter;
mod flights;
mod how;
mod lend;
mod lower;
mod message;
mod operation;
mod poll;
mod status;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use ancillary::ControlMessage;
pub use completion::{Completed, Completions, Load};
pub use enter::EnterWait;
pub use flights::Flight;
pub use how::How;
pub use lend::{Lend, NoLoan};
pub use message::Message;
pub use operation::{Operation, ReceiveFlags};
pub use poll::Submission;
pub use status::Status;

use crate::eventfd::EventFd;
use crate::runner::{Process, Runner};
use crate::{Error, Result};
use buffers::Groups;
use flights::Flights;
use io_uring::IoUring;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// What a ring is made with.
///
/// ```
/// use ukevent_sys::ring::RingOptions;
///
/// let options = RingOptions { submissions: 64, completions: 256 };
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RingOptions {
    /// Submissions that fit before the ring must be entered; rounded up to a power of two, clamped
    /// to what the kernel allows.
    pub submissions: u32,
    /// Completions that fit before the kernel puts them on its overflow list; rounded as above.
    pub completions: u32,
}

/// An io_uring instance for one thread. Linux 6.1 (`DEFER_TASKRUN`), close-on-exec.
///
/// It watches descriptors ([`Submission`]) and does [`Operation`]s, which may lend it memory of type
/// `L`; one that is only used to watch is a `Ring`.
///
/// Dropping, in the thread that enabled it, cancels what is outstanding, waits until it has ended,
/// closes the files that it holds and drops what was lent. Where an operation will not end (a disk that
/// does not answer, a peer that does not acknowledge [`Operation::SendZero`]) it waits for 2 s after the
/// last one that did, then gives up and leaks what is still lent. In another thread the kernel cancels
/// when the thread that enabled it ends, and all that is lent is leaked if any of it is. In a child made
/// by fork(2), which must not use it, dropping closes the child's descriptor and nothing else.
/// Operations that were started but never submitted are not done.
///
/// ```
/// use std::os::fd::AsRawFd;
/// use ukevent_sys::poll::PollMask;
/// use ukevent_sys::ring::{EnterWait, Ring, RingOptions, Submission};
///
/// # fn main() -> std::io::Result<()> {
/// let (_reader, writer) = std::io::pipe()?;
/// // Where io_uring is denied there is nothing to show.
/// let made: ukevent_sys::Result<Ring> = Ring::new(RingOptions { submissions: 8, completions: 16 });
/// let Ok(mut ring) = made else { return Ok(()) };
/// ring.enable()?;
/// ring.push(Submission::poll(writer.as_raw_fd(), PollMask::OUT, false, 7)).expect("room for 8");
/// ring.enter(EnterWait { completions: 1, ..Default::default() })?;
/// assert_eq!(ring.completions().next().map(|completed| completed.user_data), Some(7));
/// # Ok(())
/// # }
/// ```
pub struct Ring<L: Lend = NoLoan> {
    /// Not unmapped in a child made by fork(2): there the addresses belong to others.
    ring: ManuallyDrop<IoUring>,
    /// Dropped only when the kernel is known to have done with them.
    flights: ManuallyDrop<Flights<L>>,
    groups: ManuallyDrop<Groups<L>>,
    made_by: Process,
    enabled_by: Option<Runner>,
    /// Index of the ring's descriptor in the table of registered rings of the thread that enabled it,
    /// if it got one.
    registered: Option<RawFd>,
    /// Entries below the kernel's knowledge: pushed, not yet submitted.
    unsubmitted: u32,
    /// Entries that the kernel took.
    submitted: u64,
    no_iowait: bool,
    /// Whether the kernel says of a send without copying whether it did copy. Linux 6.2, known by what
    /// came with 6.10.
    reports_usage: bool,
    enters: u64,
}

impl<L: Lend> Ring<L> {
    /// Makes one, disabled.
    ///
    /// # Errors
    /// `EPERM` or `ENOSYS`: the kernel or the container denies io_uring, or one of its three calls. `EINVAL`: the kernel is
    /// older than 6.1. `ENOMEM`, `EMFILE`, `ENFILE`.
    pub fn new(options: RingOptions) -> Result<Self> {
        // NO_SQARRAY is of 6.6: without it where the kernel does not know it.
        let ring = Self::build(options, true).or_else(|error| {
            if error.errno() == libc::EINVAL { Self::build(options, false) } else { Err(error) }
        })?;
        permitted(&ring)?;
        let no_iowait = ring.params().is_feature_no_iowait();
        let reports_usage = ring.params().is_feature_recvsend_bundle();
        Ok(Self {
            ring: ManuallyDrop::new(ring),
            flights: ManuallyDrop::new(Flights::new()),
            groups: ManuallyDrop::new(Groups::new()),
            made_by: Process::current(),
            enabled_by: None,
            registered: None,
            unsubmitted: 0,
            submitted: 0,
            no_iowait,
            reports_usage,
            enters: 0,
        })
    }

    fn build(options: RingOptions, no_sqarray: bool) -> Result<IoUring> {
        let mut builder = IoUring::builder();
        builder
            .setup_r_disabled()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(options.completions.max(options.submissions))
            .dontfork();
        if no_sqarray {
            builder.setup_no_sqarray();
        }
        builder.build(options.submissions).map_err(|error| {
            Error::new("io_uring_setup", error.raw_os_error().unwrap_or(libc::EINVAL))
        })
    }

    /// Enables it for the calling thread, the only one that may enter it from now on.
    ///
    /// # Errors
    /// `EBADFD`: it is enabled already.
    pub fn enable(&mut self) -> Result<()> {
        self.ring.submitter().register_enable_rings().map_err(|error| {
            Error::new("io_uring_register", error.raw_os_error().unwrap_or(libc::EINVAL))
        })?;
        self.enabled_by = Some(Runner::current());
        self.register_descriptor();
        Ok(())
    }

    /// Writes a submission into the ring, without a system call. Gives it back if the ring is full.
    #[inline]
    pub fn push(&mut self, submission: Submission) -> std::result::Result<(), Submission> {
        // SAFETY: polls and their removal lend no memory to the kernel, so the entry is valid for
        // as long as the kernel may look at it; the descriptor is checked by the kernel.
        let pushed = unsafe { self.ring.submission().push(&submission.0) };
        match pushed {
            Ok(()) => {
                self.unsubmitted += 1;
                Ok(())
            }
            Err(_) => Err(submission),
        }
    }

    /// How many entries were pushed and not submitted.
    #[must_use]
    #[inline]
    pub const fn unsubmitted(&self) -> u32 {
        self.unsubmitted
    }

    /// Whether the kernel holds completions that only an entering brings: work it deferred, or an
    /// overflow list. Reads memory only.
    #[must_use]
    #[inline]
    pub fn work_waits(&mut self) -> bool {
        let submission = self.ring.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Whether completions went to the kernel's overflow list since the last entering.
    #[must_use]
    pub fn overflowing(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Signals an eventfd when there is a completion, or work that makes one
    /// (`IORING_REGISTER_EVENTFD`). The ring's own descriptor can be polled too, but up to Linux 6.18
    /// says nothing of deferred work to a ring of the same thread, and interrupts a sleeping poll.
    ///
    /// # Errors
    /// `EBUSY`: there is one already.
    pub fn notify(&mut self, eventfd: &EventFd) -> Result<()> {
        let registered = self.ring.submitter().register_eventfd(eventfd.as_fd().as_raw_fd());
        registered.map_err(|error| {
            Error::new("io_uring_register", error.raw_os_error().unwrap_or(libc::EINVAL))
        })
    }

    /// How many completions fit in the ring.
    #[must_use]
    #[inline]
    pub fn capacity(&self) -> u32 {
        self.ring.params().cq_entries()
    }

    /// How many completions lie in the ring.
    #[must_use]
    #[inline]
    pub fn waiting(&mut self) -> u32 {
        self.ring.completion().len() as u32
    }

    /// How many times the ring was entered.
    #[must_use]
    pub const fn enters(&self) -> u64 {
        self.enters
    }
}

/// A filter may let an instance be made that can then not be used.
fn permitted(ring: &IoUring) -> Result<()> {
    let denied = |errno: i32| [libc::EPERM, libc::EACCES, libc::ENOSYS].contains(&errno);
    // SAFETY: nothing is submitted and no argument passed.
    let entered =
        unsafe { libc::syscall(libc::SYS_io_uring_enter, ring.as_raw_fd(), 0, 0, 0, 0, 0) };
    // A disabled instance refuses with another error.
    let error = Error::last("io_uring_enter");
    if entered < 0 && denied(error.errno()) {
        return Err(error);
    }
    // There is none, which is another error too.
    let errno = ring.submitter().unregister_eventfd().err().and_then(|error| error.raw_os_error());
    match errno {
        Some(errno) if denied(errno) => Err(Error::new("io_uring_register", errno)),
        _ => Ok(()),
    }
}

impl<L: Lend> std::fmt::Debug for Ring<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("fd", &self.ring.as_raw_fd())
            .field("unsubmitted", &self.unsubmitted)
            .field("flights", &self.flights.len())
            .finish_non_exhaustive()
    }
}

impl<L: Lend> AsFd for Ring<L> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns its descriptor and the borrow ends before the ring does.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}
