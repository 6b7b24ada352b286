//! What a task consists of: its future, then its result, in one box.
//!
//! The box is made when the task is spawned and freed when it was joined, or when it has ended and
//! nobody can join it any more. Nothing else of a task is allocated, and nothing per poll.

use pin_project_lite::pin_project;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

/// Why a task has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// It was cancelled, or its runtime was dropped.
    Cancelled,
    /// It panicked.
    Panicked(Panic),
}

/// What a task panicked with. Its `Display` is the message, if there was one.
///
/// ```
/// use ukevent_task::{JoinError, block_on, spawn};
///
/// let ended = block_on(spawn_and_join())?;
/// let Err(JoinError::Panicked(panic)) = ended else { unreachable!() };
/// assert_eq!(panic.to_string(), "out of paper");
/// assert_eq!(panic.into_payload().downcast_ref(), Some(&"out of paper"));
///
/// async fn spawn_and_join() -> Result<(), JoinError> {
///     spawn(async { panic!("out of paper") }).await
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Panic {
    /// The lock only makes it `Sync`, as errors are that are passed on.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        Self { payload: Mutex::new(payload) }
    }

    /// What the panic was thrown with: for [`std::panic::resume_unwind`], for instance.
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for Panic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let payload = self.payload.lock().unwrap_or_else(PoisonError::into_inner);
        f.write_str(words(&**payload))
    }
}

impl std::fmt::Debug for Panic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Panic({:?})", self.to_string())
    }
}

impl std::fmt::Display for JoinError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Panicked(panic) => write!(f, "the task panicked: {panic}"),
        }
    }
}

impl From<JoinError> for std::io::Error {
    fn from(error: JoinError) -> Self {
        Self::other(error)
    }
}

/// The message of a panic.
pub(crate) fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl std::error::Error for JoinError {}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Returned,
    Panicked,
}

/// Drops a task, or what it left: the panics of that are nobody's.
pub(crate) fn drop_quietly<T>(what: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(what))) {
        // Even the payload of a panic may panic. What it panics with then is leaked.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        dropped.unwrap_or_else(std::mem::forget);
    }
}

/// A task, whatever its result.
pub(crate) trait Work {
    /// Lets it go on. Never panics: a panic is its result. Not to be called after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending>;
    /// Puts the result of a task that was ready into an `Option<Result<T, JoinError>>`.
    fn take(self: Pin<&mut Self>, into: &mut dyn Any);
}

pin_project! {
    /// A future, and then what it came to.
    #[project = StageMut]
    pub(crate) enum Stage<F: Future> {
        Runs { #[pin] future: F },
        Ended { result: Option<Result<F::Output, JoinError>> },
    }
}

impl<F> Work for Stage<F>
where
    F: Future,
    F::Output: 'static,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending> {
        let StageMut::Runs { future } = self.as_mut().project() else {
            return Poll::Ready(Ending::Returned);
        };
        let result = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(JoinError::Panicked(Panic::new(payload))),
        };
        // What the future holds is dropped here, and that is its code, too.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            self.as_mut().set(Self::Ended { result: None });
        }));
        let result = match ended {
            Ok(()) => result,
            Err(payload) => {
                // The place was given its new content all the same.
                drop_quietly(result);
                Err(JoinError::Panicked(Panic::new(payload)))
            }
        };
        let ending = if result.is_ok() { Ending::Returned } else { Ending::Panicked };
        if let StageMut::Ended { result: place } = self.project() {
            *place = Some(result);
        }
        Poll::Ready(ending)
    }

    fn take(self: Pin<&mut Self>, into: &mut dyn Any) {
        if let StageMut::Ended { result } = self.project()
            && let Some(into) = into.downcast_mut::<Option<Result<F::Output, JoinError>>>()
        {
            *into = result.take();
        }
    }
}
