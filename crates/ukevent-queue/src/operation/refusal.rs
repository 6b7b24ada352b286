//! Why an operation was not started.

use super::Operation;
use crate::error::NoSuchKey;
use std::io;

/// An operation was not started. It is given back, and its buffer with it.
#[derive(Debug)]
pub struct StartError {
    /// The operation.
    pub operation: Operation,
    /// Why.
    pub reason: StartRefusal,
}

/// Why an operation was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartRefusal {
    /// The key names no registered descriptor.
    NoSuchKey,
    /// The descriptor has as many outgoing bytes as it may: start it again after the next completion of
    /// a send.
    Full,
    /// The queue has as many registrations and operations as it may.
    Limit(u32),
    /// The kernel refused.
    Kernel(ukevent_sys::Error),
    /// It could never be done; why.
    Invalid(&'static str),
    /// The queue belongs to another thread.
    WrongThread,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::fmt::Display for StartRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::NoSuchKey => NoSuchKey.fmt(f),
            Self::Full => f.write_str(
                "as many bytes wait to be sent as may; start it again after the next completion",
            ),
            Self::Limit(limit) => write!(
                f,
                "the queue has its limit of {limit} registrations and operations; wait for some to \
                 end, or build it with a higher limit"
            ),
            Self::Kernel(error) => error.fmt(f),
            Self::Invalid(why) => f.write_str(why),
            Self::WrongThread => crate::error::WrongThread.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> Self {
        error.reason.into()
    }
}

impl From<StartRefusal> for io::Error {
    fn from(reason: StartRefusal) -> Self {
        let kind = match reason {
            StartRefusal::Kernel(error) => return error.into(),
            StartRefusal::NoSuchKey => return NoSuchKey.into(),
            StartRefusal::Full => io::ErrorKind::WouldBlock,
            StartRefusal::Limit(_) => io::ErrorKind::OutOfMemory,
            StartRefusal::Invalid(_) | StartRefusal::WrongThread => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, reason.to_string())
    }
}

impl From<Box<StartError>> for io::Error {
    fn from(error: Box<StartError>) -> Self {
        Self::from(*error)
    }
}

/// Errors are handed on by boxes that any thread may have.
const _: () = {
    const fn goes_anywhere<T: Send + Sync>() {}
    goes_anywhere::<StartError>();
};
