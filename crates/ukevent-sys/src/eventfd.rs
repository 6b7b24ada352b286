//! The eventfd: a counter one thread adds to and another waits on (eventfd(2)).

use crate::{Error, Result};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A non-blocking, close-on-exec eventfd. Linux 2.6.30. Dropping closes it.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// Makes one with the counter at 0.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` when no descriptor is left.
    pub fn new() -> Result<Self> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(Self)
            .map_err(Error::rustix("eventfd2"))
    }

    /// Adds 1 and wakes who polls it. A counter that is full is readable already, so `EAGAIN` is
    /// success. One system call; callable from any thread.
    ///
    /// # Errors
    /// None that a live eventfd can give.
    pub fn signal(&self) -> Result<()> {
        match rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(errno) => Err(Error::rustix("write")(errno)),
        }
    }

    /// Sets the counter to 0; it need not have been above.
    ///
    /// # Errors
    /// None that a live eventfd can give.
    pub fn clear(&self) -> Result<()> {
        match rustix::io::read(&self.0, &mut [0_u8; 8]) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(errno) => Err(Error::rustix("read")(errno)),
        }
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
