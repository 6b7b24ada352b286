//! The timerfd (timerfd_create(2)): for clocks that the wait's own deadline cannot follow.

use crate::clock::{Clock, timespec};
use crate::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What reading an expired timerfd says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Not expired since the last reading.
    Pending,
    /// Expired.
    Expired,
    /// The wall clock was set (`ECANCELED`); absolute times must be looked at again.
    ClockSet,
}

/// A non-blocking, close-on-exec timerfd. Linux 2.6.27 (boot time: 3.15). Dropping closes it.
#[derive(Debug)]
pub struct TimerFd {
    fd: OwnedFd,
    clock: Clock,
}

impl TimerFd {
    /// Makes one, not set.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new(clock: Clock) -> Result<Self> {
        // SAFETY: takes two integers and returns a new descriptor or -1.
        let fd =
            unsafe { libc::timerfd_create(clock.id(), libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if fd < 0 {
            return Err(Error::last("timerfd_create"));
        }
        // SAFETY: the kernel returned `fd` just now and nobody else owns it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, clock })
    }

    /// Sets it to expire at an absolute time of its clock, or clears it. A time in the past expires
    /// at once. On the wall clock a step of the clock shows as [`Expiry::ClockSet`].
    ///
    /// # Errors
    /// None that a live timerfd can give.
    pub fn set(&self, deadline_ns: Option<u64>) -> Result<()> {
        let value = libc::itimerspec {
            it_interval: timespec(0),
            // Zero would clear it: the time before time began is as far in the past as 1 ns.
            it_value: timespec(deadline_ns.map_or(0, |ns| ns.max(1))),
        };
        let mut flags = libc::TFD_TIMER_ABSTIME;
        if self.clock == Clock::Wall {
            flags |= libc::TFD_TIMER_CANCEL_ON_SET;
        }
        // SAFETY: `value` is valid for reads, the old value may be null, the descriptor is ours.
        let done = unsafe {
            libc::timerfd_settime(
                self.fd.as_raw_fd(),
                flags,
                &raw const value,
                std::ptr::null_mut(),
            )
        };
        // A step that happened before this call is reported here; the new time is set all the same.
        if done == 0 || Error::last("timerfd_settime").errno() == libc::ECANCELED {
            Ok(())
        } else {
            Err(Error::last("timerfd_settime"))
        }
    }

    /// Reads it: whether it expired, or the clock was set. Never blocks.
    ///
    /// # Errors
    /// None that a live timerfd can give.
    pub fn read(&self) -> Result<Expiry> {
        match rustix::io::read(&self.fd, &mut [0_u8; 8]) {
            Ok(_) => Ok(Expiry::Expired),
            Err(rustix::io::Errno::AGAIN) => Ok(Expiry::Pending),
            Err(rustix::io::Errno::CANCELED) => Ok(Expiry::ClockSet),
            Err(errno) => Err(Error::rustix("read")(errno)),
        }
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
