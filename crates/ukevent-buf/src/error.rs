//! What can go wrong, one small type per operation.

use std::{fmt, io};

pub use ukevent_sys::Error as SysError;

/// Why there is no [`Arena`](crate::Arena).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArenaError {
    /// A system call failed.
    Kernel(SysError),
    /// What was asked for contradicts itself.
    Invalid(&'static str),
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => error.fmt(f),
            Self::Invalid(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ArenaError {}

impl From<SysError> for ArenaError {
    fn from(error: SysError) -> Self {
        Self::Kernel(error)
    }
}

impl From<ArenaError> for io::Error {
    fn from(error: ArenaError) -> Self {
        match error {
            ArenaError::Kernel(error) => error.into(),
            ArenaError::Invalid(_) => Self::new(io::ErrorKind::InvalidInput, error),
        }
    }
}

/// Why a descriptor cannot be looked into as an [`ArenaView`](crate::ArenaView).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewError {
    /// A system call failed.
    Kernel(SysError),
    /// It is no memfd, or one that its owner may still shrink: a read could end the process
    /// (`SIGBUS`).
    MayShrink,
    /// It has no bytes.
    Empty,
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => error.fmt(f),
            Self::MayShrink => f.write_str("not a memfd that is sealed against shrinking"),
            Self::Empty => f.write_str("the memfd is empty"),
        }
    }
}

impl std::error::Error for ViewError {}

impl From<SysError> for ViewError {
    fn from(error: SysError) -> Self {
        Self::Kernel(error)
    }
}

impl From<ViewError> for io::Error {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Kernel(error) => error.into(),
            ViewError::MayShrink | ViewError::Empty => {
                Self::new(io::ErrorKind::InvalidInput, error)
            }
        }
    }
}

/// Why there is no [`FramePool`](crate::FramePool).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// The arena has no stretch of so many bytes free.
    Full {
        /// How many bytes the pool needs in one piece.
        needs_bytes: usize,
    },
    /// What was asked for contradicts itself.
    Invalid(&'static str),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { needs_bytes } => {
                write!(f, "the arena has no {needs_bytes} bytes in one piece")
            }
            Self::Invalid(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for PoolError {}

/// Why nothing was allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllocateError {
    /// Nothing is free now. An outcome rather than a failure: the waker that the pool or allocator
    /// was built with is called when something comes back.
    Full,
    /// More than can ever be allocated at once here.
    TooLarge {
        /// How much can.
        limit_bytes: usize,
    },
    /// Another thread allocates from it.
    WrongThread,
}

impl fmt::Display for AllocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("nothing is free"),
            Self::TooLarge { limit_bytes } => {
                write!(f, "more than the {limit_bytes} bytes that can be had at once")
            }
            Self::WrongThread => WrongThread.fmt(f),
        }
    }
}

impl std::error::Error for AllocateError {}

impl From<WrongThread> for AllocateError {
    fn from(_: WrongThread) -> Self {
        Self::WrongThread
    }
}

/// Why a frame was not taken back from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TakeBackError {
    /// The pool has no such frame, or has not lent it.
    NotLent,
    /// The bytes do not lie in what was lent.
    OutOfFrame {
        /// How many bytes a frame has.
        frame_bytes: usize,
    },
    /// Another thread uses the pool.
    WrongThread,
}

impl fmt::Display for TakeBackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLent => f.write_str("no frame of this number is lent"),
            Self::OutOfFrame { frame_bytes } => {
                write!(f, "outside the {frame_bytes} bytes of a frame")
            }
            Self::WrongThread => WrongThread.fmt(f),
        }
    }
}

impl std::error::Error for TakeBackError {}

impl From<WrongThread> for TakeBackError {
    fn from(_: WrongThread) -> Self {
        Self::WrongThread
    }
}

/// Why nothing was given back to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrimError {
    /// A system call failed.
    Kernel(SysError),
    /// Another thread uses the allocator.
    WrongThread,
}

impl fmt::Display for TrimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => error.fmt(f),
            Self::WrongThread => WrongThread.fmt(f),
        }
    }
}

impl std::error::Error for TrimError {}

impl From<SysError> for TrimError {
    fn from(error: SysError) -> Self {
        Self::Kernel(error)
    }
}

impl From<WrongThread> for TrimError {
    fn from(_: WrongThread) -> Self {
        Self::WrongThread
    }
}

/// A buffer has less room than was asked for. It is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// How many bytes there is room for.
    pub room_bytes: usize,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is room for {} bytes", self.room_bytes)
    }
}

impl std::error::Error for NoRoom {}

/// A pool or allocator belongs to the thread that used it first, while that thread lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongThread;

impl fmt::Display for WrongThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("used by a thread other than the one that it belongs to")
    }
}

impl std::error::Error for WrongThread {}
