//! Entering the kernel: one call that submits, does deferred work and waits (io_uring_enter(2)).
//!
//! Our own, because the `io-uring` crate forgets a registered ring descriptor between two calls (about
//! 65 ns each on Linux 6.18) and passes a signal set of the wrong size.

use super::{Lend, Ring};
use crate::clock::timespec;
use crate::epoll::KERNEL_SIGSET_BYTES;
use crate::runner::Runner;
use crate::signal::SignalSet;
use crate::{Error, Result};
use std::os::fd::{AsRawFd, RawFd};

/// How an entering waits.
///
/// ```
/// use ukevent_sys::ring::EnterWait;
///
/// // Not at all.
/// assert_eq!(EnterWait::default().completions, 0);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EnterWait<'a> {
    /// Return when so many completions lie in the ring.
    pub completions: u32,
    /// Or when this time is over.
    pub timeout_ns: Option<u64>,
    /// The thread's signal mask while it waits.
    pub mask: Option<&'a SignalSet>,
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

impl<L: Lend> Ring<L> {
    /// Submits what was pushed, lets the kernel do its deferred work, and waits.
    ///
    /// # Errors
    /// `ETIME`: the time is over. `EINTR`. `EBUSY`: the overflow list must be read first. `EEXIST`:
    /// this is not the thread that enabled the ring. `EAGAIN`, `ENOMEM`: the kernel is short of
    /// memory; what was not submitted stays in the ring.
    pub fn enter(&mut self, wait: EnterWait<'_>) -> Result<()> {
        match self.call(self.unsubmitted, wait) {
            Ok(taken) => {
                let taken = taken.min(self.unsubmitted);
                self.unsubmitted -= taken;
                self.submitted += u64::from(taken);
                Ok(())
            }
            Err(error) => {
                // The kernel reports a failed wait only if it submitted nothing; ask the ring itself.
                self.submitted = self.taken();
                self.unsubmitted = self.ring.submission().len() as u32;
                Err(error)
            }
        }
    }

    /// Enters, to submit so many entries. Returns how many the kernel took.
    pub(super) fn call(&mut self, submit: u32, wait: EnterWait<'_>) -> Result<u32> {
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
        // `timespec` has the layout of the kernel's `__kernel_timespec`. What the entries point to is
        // vouched for where they are pushed.
        let done = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                fd,
                submit,
                wait.completions,
                flags,
                argument,
                bytes,
            )
        };
        if done < 0 { Err(Error::last("io_uring_enter")) } else { Ok(done as u32) }
    }

    /// How many entries were pushed since the ring was made.
    #[inline]
    pub(super) fn pushed(&self) -> u64 {
        self.submitted + u64::from(self.unsubmitted)
    }

    /// How many of them the kernel took, by its own account.
    pub(super) fn taken(&mut self) -> u64 {
        let lying = self.ring.submission().len() as u64;
        self.pushed() - lying
    }

    /// Has the thread's table of registered rings hold it, which makes entering cheaper.
    pub(super) fn register_descriptor(&mut self) {
        let mut update =
            RingFdUpdate { offset: u32::MAX, reserved: 0, data: self.ring.as_raw_fd() as u64 };
        // A table that is full (16 of them) only costs the 65 ns.
        if self.update_registered(REGISTER_RING_FDS, &mut update) == 1 {
            self.registered = Some(update.offset as RawFd);
        }
    }

    /// Takes it out, in the thread that put it in.
    pub(super) fn unregister_descriptor(&mut self) {
        if let Some(index) = self.registered.take() {
            let mut update = RingFdUpdate { offset: index as u32, reserved: 0, data: 0 };
            self.update_registered(UNREGISTER_RING_FDS, &mut update);
        }
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
}
