//! A kernel failure: which call failed, and the errno it left (errno(3)).

use std::{fmt, io};

/// What every call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A system call that failed: its name and its errno.
///
/// Prints as `inotify_add_watch: No space left on device (os error 28)` and converts into
/// [`io::Error`], keeping the errno. Two words; allocates nothing.
///
/// ```
/// let error = ukevent_sys::Error::new("openat2", 2);
/// assert_eq!(error.errno(), 2);
/// assert!(error.to_string().starts_with("openat2: "));
/// assert_eq!(std::io::Error::from(error).raw_os_error(), Some(2));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error {
    call: &'static str,
    errno: i32,
}

impl Error {
    /// A failure of `call` with the given errno.
    #[must_use]
    pub const fn new(call: &'static str, errno: i32) -> Self {
        Self { call, errno }
    }

    /// The failure of `call` that this thread's errno describes now.
    #[must_use]
    pub fn last(call: &'static str) -> Self {
        Self::new(call, io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// Wraps an error of the `rustix` crate.
    pub(crate) fn rustix(call: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::new(call, errno.raw_os_error())
    }

    /// The name of the call, as in its manual page.
    #[must_use]
    pub const fn call(self) -> &'static str {
        self.call
    }

    /// The errno, as in errno(3).
    #[must_use]
    pub const fn errno(self) -> i32 {
        self.errno
    }

    /// Whether the call would have had to wait (`EAGAIN`).
    #[must_use]
    pub const fn would_block(self) -> bool {
        self.errno == libc::EAGAIN
    }

    /// Whether a signal handler interrupted the call (`EINTR`).
    #[must_use]
    pub const fn interrupted(self) -> bool {
        self.errno == libc::EINTR
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, io::Error::from_raw_os_error(self.errno))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::from_raw_os_error(error.errno)
    }
}
