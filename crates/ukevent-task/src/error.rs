//! What can go wrong with a runtime as a whole.

use std::fmt;
use ukevent_queue::{BuildError, WaitError};

/// A runtime could not be made, or cannot go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// There can be no queue.
    Build(BuildError),
    /// The queue cannot be waited for. The tasks are as they were.
    Wait(WaitError),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Wait(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}

impl From<BuildError> for RunError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl From<RunError> for std::io::Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Build(error) => error.into(),
            RunError::Wait(error) => error.into(),
        }
    }
}
