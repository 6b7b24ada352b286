//! Descriptors as such: duplicating one (fcntl(2)).

use crate::{Error, Result};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// A second, close-on-exec descriptor of the file that `fd` names.
///
/// # Errors
/// `EBADF` if `fd` names nothing, `EMFILE` if no descriptor is left.
pub fn duplicate(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: takes integers; the kernel checks `fd` and returns a new descriptor or -1.
    let fd = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if fd < 0 {
        return Err(Error::last("fcntl"));
    }
    // SAFETY: the kernel returned `fd` just now and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
