//! What went wrong on the threads.

use crate::RunError;
use crate::runtime::{drop_quietly, words};
use std::any::Any;
use std::fmt;

/// What went wrong on the threads of [`Cores`](super::Cores); one line for each in its `Display`.
#[derive(Debug)]
pub struct CoresError {
    failures: Vec<(usize, Failure)>,
}

/// Why a thread failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// There is no thread.
    Thread(std::io::Error),
    /// Its runtime could not be made, or could not go on.
    Run(RunError),
    /// What it ran ended with this.
    Error(Box<dyn std::error::Error + Send + Sync>),
    /// What it ran panicked, with this message.
    Panicked(String),
    /// The signals that end all cannot be watched; told of no thread, with the number 0.
    Signals(Box<dyn std::error::Error + Send + Sync>),
}

impl CoresError {
    /// None if nothing went wrong.
    pub(super) fn of(mut failures: Vec<(usize, Failure)>) -> Result<(), Self> {
        failures.sort_by_key(|(number, _)| *number);
        if failures.is_empty() { Ok(()) } else { Err(Self { failures }) }
    }

    /// The numbers of the threads that failed, in order, and why.
    #[must_use]
    pub fn failures(&self) -> &[(usize, Failure)] {
        &self.failures
    }
}

impl Failure {
    /// A panic, by what [`std::thread::JoinHandle::join`] or [`std::panic::catch_unwind`] gives of it.
    #[must_use]
    pub fn panicked(payload: Box<dyn Any + Send>) -> Self {
        let failure = Self::Panicked(words(&*payload).to_owned());
        drop_quietly(payload);
        failure
    }

    /// The error that it is of, if it is of one.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            Self::Run(error) => Some(error),
            Self::Error(error) | Self::Signals(error) => Some(&**error),
            Self::Panicked(_) => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread(error) => write!(f, "no thread can be had: {error}"),
            Self::Run(error) => error.fmt(f),
            Self::Error(error) => error.fmt(f),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Signals(error) => write!(f, "the signals cannot be watched: {error}"),
        }
    }
}

impl fmt::Display for CoresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (number, failure)) in self.failures.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            match failure {
                Failure::Signals(_) => write!(f, "{line}{failure}")?,
                _ => write!(f, "{line}thread {number}: {failure}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for CoresError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failures.first()?.1.cause()
    }
}
