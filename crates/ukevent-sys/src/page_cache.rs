//! What of a file is in memory: cachestat(2).

use crate::{Error, Result};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(test)]
mod tests;

/// The number of the call, the same on all processors but alpha. The C library has no name for it yet.
const CACHESTAT: libc::c_long = 451;

/// The kernel does not have it, which does not change.
static IS_MISSING: AtomicBool = AtomicBool::new(false);

#[repr(C)]
struct Range {
    offset: u64,
    bytes: u64,
}

/// `struct cachestat`.
#[repr(C)]
#[derive(Default)]
struct Statistics {
    cached: u64,
    dirty: u64,
    written_back: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// How much of a range of a file is in memory.
///
/// ```
/// use ukevent_sys::page_cache::Cached;
///
/// let half = Cached { pages: 1, of: 2 };
/// assert!(half.pages < half.of);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Pages that are in memory, or are being read.
    pub pages: u64,
    /// Pages that the range touches, also behind the end of the file.
    pub of: u64,
}

/// Asks how much of a range of a file is in memory; reads none of it. What a file system keeps elsewhere
/// counts as not there: so do all files of overlayfs. Linux 6.5.
///
/// ```
/// use std::io::Write;
/// use ukevent_sys::page_cache::cached_pages;
///
/// # fn main() -> std::io::Result<()> {
/// let path = std::env::temp_dir().join(format!("cached-{}", std::process::id()));
/// let mut file = std::fs::File::create(&path)?;
/// file.write_all(&[1; 100])?;
/// // An old kernel, or a filter, may refuse.
/// if let Ok(cached) = cached_pages(&file, 0, 100) {
///     println!("{} of {}", cached.pages, cached.of);
/// }
/// # std::fs::remove_file(path)
/// # }
/// ```
///
/// # Errors
/// `ENOSYS` before Linux 6.5; `EPERM` if the file is neither the caller's nor open for writing, by a later
/// rule; `EOPNOTSUPP` for hugetlbfs; `EBADF`.
#[doc(alias = "cachestat")]
pub fn cached_pages(file: impl AsFd, offset: u64, bytes: u64) -> Result<Cached> {
    if IS_MISSING.load(Ordering::Relaxed) {
        return Err(Error::new("cachestat", libc::ENOSYS));
    }
    if bytes == 0 {
        // To the kernel that is all of it.
        return Ok(Cached { pages: 0, of: 0 });
    }
    // SAFETY: asks for a number.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096).max(1);
    let of = offset.saturating_add(bytes - 1) / page - offset / page + 1;
    let range = Range { offset, bytes };
    let mut statistics = Statistics::default();
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: both point to values of the kernel's layout, which outlive the call; it writes the second.
    let answer = unsafe {
        libc::syscall(CACHESTAT, fd, &raw const range, &raw mut statistics, 0 as libc::c_uint)
    };
    if answer == 0 {
        return Ok(Cached { pages: statistics.cached, of });
    }
    let error = Error::last("cachestat");
    if error.errno() == libc::ENOSYS {
        IS_MISSING.store(true, Ordering::Relaxed);
    }
    Err(error)
}
