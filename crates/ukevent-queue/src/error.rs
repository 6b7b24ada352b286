//! What can go wrong, one small enum per operation.

use std::{ffi::OsString, fmt, io, time::Duration};

pub use ukevent_sys::Error as SysError;

/// Why a registration was refused. The source is dropped with the refusal.
#[derive(Debug)]
#[non_exhaustive]
pub enum RegisterError {
    /// A system call failed.
    Kernel(SysError),
    /// The queue holds as many registrations as it may.
    Full {
        /// How many that is.
        limit: u32,
    },
    /// This cannot be had here, and what would be needed for it.
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// The process may not, and what would allow it.
    Denied {
        /// What was asked for.
        what: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// The source contradicts itself.
    Invalid(&'static str),
    /// The queue was used by another thread before.
    WrongThread,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => match error.errno() {
                // inotify_add_watch(2) says ENOSPC for its own limit: say which.
                28 if error.call() == "inotify_add_watch" => write!(
                    f,
                    "{error}: the user's limit of inotify watches is reached; raise \
                     fs.inotify.max_user_watches"
                ),
                24 if error.call() == "inotify_init1" => write!(
                    f,
                    "{error}: the limit of descriptors (ulimit -n) or of inotify instances \
                     (fs.inotify.max_user_instances) is reached"
                ),
                24 => write!(f, "{error}: raise the limit of descriptors (ulimit -n)"),
                _ => error.fmt(f),
            },
            Self::Full { limit } => write!(
                f,
                "the queue holds its limit of {limit} registrations; remove some or build it with \
                 a larger limit"
            ),
            Self::Unsupported { what, needs } => {
                write!(f, "{what} cannot be had here: it needs {needs}")
            }
            Self::Denied { what, needs } => write!(f, "{what} is not permitted: it needs {needs}"),
            Self::Invalid(why) => f.write_str(why),
            Self::WrongThread => WrongThread.fmt(f),
        }
    }
}

impl std::error::Error for RegisterError {}

impl From<SysError> for RegisterError {
    fn from(error: SysError) -> Self {
        Self::Kernel(error)
    }
}

impl From<RegisterError> for io::Error {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Kernel(error) => error.into(),
            RegisterError::Full { .. } => Self::new(io::ErrorKind::OutOfMemory, error.to_string()),
            RegisterError::Unsupported { .. } => {
                Self::new(io::ErrorKind::Unsupported, error.to_string())
            }
            RegisterError::Denied { .. } => {
                Self::new(io::ErrorKind::PermissionDenied, error.to_string())
            }
            RegisterError::Invalid(_) | RegisterError::WrongThread => {
                Self::new(io::ErrorKind::InvalidInput, error.to_string())
            }
        }
    }
}

/// Why a change of a registration was refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChangeError {
    /// The key names nothing (any more).
    NoSuchKey,
    /// The change does not fit the source; nothing was changed.
    Refused(RegisterError),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchKey => NoSuchKey.fmt(f),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ChangeError {}

impl From<NoSuchKey> for ChangeError {
    fn from(_: NoSuchKey) -> Self {
        Self::NoSuchKey
    }
}

impl<E: Into<RegisterError>> From<E> for ChangeError {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl From<ChangeError> for io::Error {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NoSuchKey => NoSuchKey.into(),
            ChangeError::Refused(error) => error.into(),
        }
    }
}

/// The key names nothing: it was removed, a one-shot registration was delivered, or it belongs to
/// another queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchKey;

impl fmt::Display for NoSuchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no such registration: it was removed, was delivered once, or is another queue's",
        )
    }
}

impl std::error::Error for NoSuchKey {}

impl From<NoSuchKey> for io::Error {
    fn from(error: NoSuchKey) -> Self {
        Self::new(io::ErrorKind::NotFound, error)
    }
}

/// The queue belongs to the thread that used it first, in the process that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongThread;

impl fmt::Display for WrongThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this queue belongs to the thread that used it first, in the process that made it; send it \
             before its first use, post to it, or make one in the child",
        )
    }
}

impl std::error::Error for WrongThread {}

/// Why a wait did not take place, or ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// A signal handler of the program ran; or, shortly after an io_uring instance of this thread was
    /// closed, the kernel did its clearing up, which interrupts the thread's sleep once. Nothing is
    /// lost; wait again.
    Interrupted,

    /// A system call failed.
    Kernel(SysError),
    /// The wait contradicts itself.
    Invalid(&'static str),
    /// The queue was used by another thread before.
    WrongThread,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("a signal handler interrupted the wait"),
            Self::Kernel(error) => error.fmt(f),
            Self::Invalid(why) => f.write_str(why),
            Self::WrongThread => WrongThread.fmt(f),
        }
    }
}

impl std::error::Error for WaitError {}

impl From<SysError> for WaitError {
    fn from(error: SysError) -> Self {
        if error.interrupted() { Self::Interrupted } else { Self::Kernel(error) }
    }
}

impl From<WaitError> for io::Error {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Interrupted => io::ErrorKind::Interrupted.into(),
            WaitError::Kernel(error) => error.into(),
            WaitError::Invalid(_) | WaitError::WrongThread => {
                Self::new(io::ErrorKind::InvalidInput, error.to_string())
            }
        }
    }
}

/// Why a post was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostError {
    /// As many posts wait as the source may hold. Nothing was posted.
    Full,
    /// The registration was removed or its queue dropped. Nothing was posted.
    Closed,
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "as many posts wait as this source may hold",
            Self::Closed => "the queue no longer takes posts of this source",
        })
    }
}

impl std::error::Error for PostError {}

/// Why a queue could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The backend that was asked for by name is not one.
    UnknownBackend {
        /// The name.
        name: OsString,
        /// Whether it came from the environment, as `UKEVENT_BACKEND`.
        from_environment: bool,
    },
    /// The backend that was asked for cannot be had here.
    Unavailable {
        /// Its name.
        backend: &'static str,
        /// Why not.
        why: String,
    },
    /// A system call failed.
    Kernel(SysError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownBackend { name, from_environment } => write!(
                f,
                "{}there is no backend {name:?}; there are io_uring, epoll, poll and sim",
                if *from_environment { "UKEVENT_BACKEND: " } else { "" }
            ),
            Self::Unavailable { backend, why } => {
                write!(f, "the backend {backend} cannot be had: {why}")
            }
            Self::Kernel(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<SysError> for BuildError {
    fn from(error: SysError) -> Self {
        Self::Kernel(error)
    }
}

impl From<BuildError> for io::Error {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Kernel(error) => error.into(),
            other => Self::new(io::ErrorKind::Unsupported, other),
        }
    }
}

/// A duration or deadline too far away for the clock: more than 584 years in nanoseconds.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
