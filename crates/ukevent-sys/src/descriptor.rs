//! Descriptors as such: duplicating one (fcntl(2)), and whether it can be waited for (fstat(2)).

use crate::{Error, Result};
use rustix::fs::{FileType, fstat};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

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

/// Whether poll(2) calls it ready at all times, because there is nothing to wait for: a regular file
/// or a directory.
///
/// # Errors
/// `EOVERFLOW`, if the file's size does not fit.
pub fn is_always_ready(fd: BorrowedFd<'_>) -> Result<bool> {
    let stat = fstat(fd).map_err(Error::rustix("fstat"))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    Ok(matches!(kind, FileType::RegularFile | FileType::Directory))
}
