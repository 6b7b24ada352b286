//! The io_uring instance: submissions written to memory, completions read from memory, and one
//! system call for both (io_uring(7), io_uring_enter(2)).
//!
//! The mapping and the entries come from the `io-uring` crate. The entering is our own, because the
//! crate forgets a registered ring descriptor between two calls (about 65 ns each on Linux 6.18) and
//! passes a signal set of the wrong size.
//!
//! Set up disabled, so that the instance can be made in one thread and used in another: the thread
//! that calls [`Ring::enable`] is the one that may submit (`SINGLE_ISSUER`). Completions are made
//! when that thread enters (`DEFER_TASKRUN`), never between.

use crate::clock::timespec;
use crate::epoll::KERNEL_SIGSET_BYTES;
use crate::eventfd::EventFd;
use crate::poll::PollMask;
use crate::runner::{Process, Runner};
use crate::signal::SignalSet;
use crate::{Error, Result};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// What a ring is made with.
#[derive(Clone, Copy, Debug)]
pub struct RingOptions {
    /// Submissions that fit before the ring must be entered; rounded up to a power of two, clamped
    /// to what the kernel allows.
    pub submissions: u32,
    /// Completions that fit before the kernel puts them on its overflow list; rounded as above.
    pub completions: u32,
}

/// A submission, ready to be pushed.
#[derive(Clone, Debug)]
pub struct Submission(squeue::Entry);

/// `POLLRDBAND`. The kernel takes `POLLPRI` for one of its own flags and passes over wake-ups that
/// carry nothing else that was asked for; those of urgent data carry this too.
const PRIORITY_WAKES: u32 = 0x80;

impl Submission {
    /// Reports once, or each time, that `fd` is ready: `IORING_OP_POLL_ADD`, once since Linux 5.1,
    /// each time (`multishot`) since 5.13. The kernel holds the file until the last completion.
    ///
    /// Two things poll(2) does not do: [`PollMask::RDHUP`] is reported unasked, and
    /// [`PollMask::PRI`], if asked for, also when there is ordinary data (both up to Linux 6.18).
    #[must_use]
    pub fn poll(fd: RawFd, mask: PollMask, multishot: bool, user_data: u64) -> Self {
        let mut bits = mask.bits();
        if mask.contains(PollMask::PRI) {
            bits |= PRIORITY_WAKES;
        }
        let entry = opcode::PollAdd::new(types::Fd(fd), bits).multi(multishot).build();
        Self(entry.user_data(user_data))
    }

    /// Ends the poll that carries `target`, which completes with `ECANCELED`. Completes itself only if
    /// it fails: `ENOENT`, there is no such poll; `EALREADY`, its wake-up has come and waits to be
    /// worked off. It then goes on (seen on Linux 6.18), for ever if it reports each time:
    /// [`Submission::cancel`] ends it. Needs `IOSQE_CQE_SKIP_SUCCESS`, Linux 5.17.
    #[must_use]
    pub fn end_poll(target: u64, user_data: u64) -> Self {
        let entry = opcode::PollRemove::new(target).build();
        Self(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(user_data))
    }

    /// Ends what carries `target`, in whatever state it is; twice as dear as [`Submission::end_poll`].
    /// Completes itself only if there is no such thing (`ENOENT`). Linux 5.17, as above.
    #[must_use]
    pub fn cancel(target: u64, user_data: u64) -> Self {
        let entry = opcode::AsyncCancel::new(target).build();
        Self(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(user_data))
    }
}

/// A completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The word that the submission carried.
    pub user_data: u64,
    /// The result; a negated errno if below zero.
    pub result: i32,
    /// Whether more completions of the same submission follow (`IORING_CQE_F_MORE`).
    pub more: bool,
}

/// How an entering waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnterWait<'a> {
    /// Return when so many completions lie in the ring.
    pub completions: u32,
    /// Or when this time is over.
    pub timeout_ns: Option<u64>,
    /// The thread's signal mask while it waits.
    pub mask: Option<&'a SignalSet>,
}

/// An io_uring instance for one thread. Linux 6.1 (`DEFER_TASKRUN`), close-on-exec.
///
/// Dropping, in the thread that enabled it, cancels what is outstanding and closes the files that it
/// holds. In another thread the kernel does so when the thread that enabled it ends. In a child made by
/// fork(2), which must not use it, dropping closes the child's descriptor and nothing else.
pub struct Ring {
    /// Not unmapped in a child made by fork(2): there the addresses belong to others.
    ring: ManuallyDrop<IoUring>,
    made_by: Process,
    enabled_by: Option<Runner>,
    /// Index of the ring's descriptor in the table of registered rings of the thread that enabled it,
    /// if it got one.
    registered: Option<RawFd>,
    /// Entries below the kernel's knowledge: pushed, not yet submitted.
    unsubmitted: u32,
    no_iowait: bool,
    enters: u64,
}

/// `struct io_uring_getevents_arg`.
#[repr(C)]
struct GetEventsArg {
    sigmask: u64,
    sigmask_bytes: u32,
    min_wait_us: u32,
    timespec: u64,
}

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct RingFdUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const ENTER_NO_IOWAIT: u32 = 1 << 7;
const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;

impl Ring {
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
        Ok(Self {
            ring: ManuallyDrop::new(ring),
            made_by: Process::current(),
            enabled_by: None,
            registered: None,
            unsubmitted: 0,
            no_iowait,
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
        let mut update =
            RingFdUpdate { offset: u32::MAX, reserved: 0, data: self.ring.as_raw_fd() as u64 };
        // A table of registered rings that is full (16 of them) only costs the 65 ns.
        if self.update_registered(REGISTER_RING_FDS, &mut update) == 1 {
            self.registered = Some(update.offset as RawFd);
        }
        Ok(())
    }

    fn update_registered(&self, operation: u32, update: &mut RingFdUpdate) -> i64 {
        // SAFETY: the argument is one `io_uring_rsrc_update`, valid for reads and for the index that
        // the kernel may write back.
        unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                self.ring.as_raw_fd(),
                operation,
                std::ptr::from_mut(update),
                1,
            )
        }
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

    /// Submits what was pushed, lets the kernel do its deferred work, and waits.
    ///
    /// # Errors
    /// `ETIME`: the time is over. `EINTR`. `EBUSY`: the overflow list must be read first. `EEXIST`:
    /// this is not the thread that enabled the ring. `EAGAIN`, `ENOMEM`: the kernel is short of
    /// memory; what was not submitted stays in the ring.
    pub fn enter(&mut self, wait: EnterWait<'_>) -> Result<()> {
        let time = wait.timeout_ns.map(timespec);
        let argument = GetEventsArg {
            sigmask: wait.mask.map_or(0, |mask| std::ptr::from_ref(mask.as_raw()) as u64),
            sigmask_bytes: KERNEL_SIGSET_BYTES as u32,
            min_wait_us: 0,
            timespec: time.as_ref().map_or(0, |time| std::ptr::from_ref(time) as u64),
        };
        let mut flags = ENTER_GETEVENTS;
        // An argument that says nothing is one copy less for the kernel.
        let argued = wait.timeout_ns.is_some() || wait.mask.is_some();
        let (argument, bytes) = if argued {
            flags |= ENTER_EXT_ARG;
            (&raw const argument, size_of::<GetEventsArg>())
        } else {
            (std::ptr::null(), 0)
        };
        if self.no_iowait {
            flags |= ENTER_NO_IOWAIT;
        }
        let mut fd = self.ring.as_raw_fd();
        // In another thread the index would be that of another ring.
        if let Some(index) = self.registered
            && self.enabled_by.is_some_and(Runner::is_current)
        {
            flags |= ENTER_REGISTERED_RING;
            fd = index;
        }
        self.enters += 1;
        // SAFETY: the argument is null, or it and the time and mask it points to outlive the call; 64-bit
        // `timespec` has the layout of the kernel's `__kernel_timespec`.
        let done = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                fd,
                self.unsubmitted,
                wait.completions,
                flags,
                argument,
                bytes,
            )
        };
        if done >= 0 {
            self.unsubmitted -= (done as u32).min(self.unsubmitted);
            return Ok(());
        }
        let error = Error::last("io_uring_enter");
        // The kernel reports a failed wait only if it submitted nothing; ask the ring itself.
        self.unsubmitted = self.ring.submission().len() as u32;
        Err(error)
    }

    /// Takes the completions that lie in the ring, without a system call.
    #[inline]
    pub fn completions(&mut self) -> impl Iterator<Item = Completed> {
        self.ring.completion().map(|entry: cqueue::Entry| Completed {
            user_data: entry.user_data(),
            result: entry.result(),
            more: cqueue::more(entry.flags()),
        })
    }

    /// Cancels everything that was submitted and did not complete, and lets go of its files: the kernel
    /// would do so by itself, but some time after the ring is closed. What was pushed and not submitted
    /// stays so. Linux 6.0; on an older kernel nothing is cancelled.
    fn cancel_all(&mut self) {
        let submitter = self.ring.submitter();
        // It fails if there is nothing to cancel, which is the aim.
        let _ = submitter.register_sync_cancel(None, types::CancelBuilder::any());
        // What was cancelled lets go of its file when its deferred work is done.
        self.unsubmitted = 0;
        let mut lying = 0;
        while self.work_waits() {
            let entered = self.enter(EnterWait { completions: lying, ..EnterWait::default() });
            let now = self.waiting();
            if entered.is_err() || now <= lying {
                break;
            }
            lying = now;
            if lying >= self.capacity() / 2 {
                self.completions().for_each(drop);
                lying = 0;
            }
        }
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

impl Drop for Ring {
    fn drop(&mut self) {
        if !self.made_by.is_current() {
            // SAFETY: this process' own copy of the descriptor, which nothing else closes: the ring is
            // not dropped here.
            drop(unsafe { OwnedFd::from_raw_fd(self.ring.as_raw_fd()) });
            return;
        }
        // The thread's table of registered rings holds the ring open, and with it every file that is
        // polled. Only that thread can take it out; dropped elsewhere, it lasts as long as the thread.
        if self.enabled_by.is_some_and(Runner::is_current) {
            self.cancel_all();
            if let Some(index) = self.registered {
                let mut update = RingFdUpdate { offset: index as u32, reserved: 0, data: 0 };
                self.update_registered(UNREGISTER_RING_FDS, &mut update);
            }
        }
        // SAFETY: it is neither used nor dropped again.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("fd", &self.ring.as_raw_fd())
            .field("unsubmitted", &self.unsubmitted)
            .finish_non_exhaustive()
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns its descriptor and the borrow ends before the ring does.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}
