//! What a task consists of: its future, then its result, in one box.
//!
//! The box is made when the task is spawned and freed when it was joined, or when it has ended and
//! nobody can join it any more. Nothing else of a task is allocated, and nothing per poll.

use pin_project_lite::pin_project;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Why a task has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// It was cancelled, or its runtime was dropped.
    Cancelled,
    /// It panicked, with this.
    Panicked(Box<dyn Any + Send>),
}

impl std::fmt::Display for JoinError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Panicked(payload) => write!(f, "the task panicked: {}", words(&**payload)),
        }
    }
}

/// The message of a panic.
pub(crate) fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl std::error::Error for JoinError {}

/// A task, whatever its result.
pub(crate) trait Work {
    /// Lets it go on. Never panics: a panic is its result. Not to be called after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
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
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let StageMut::Runs { future } = self.as_mut().project() else { return Poll::Ready(()) };
        let result = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(JoinError::Panicked(payload)),
        };
        let mut result = Some(result);
        // What the future holds is dropped here, and that is its code, too.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            self.as_mut().set(Self::Ended { result: result.take() });
        }));
        if let Err(payload) = ended {
            self.set(Self::Ended { result: Some(Err(JoinError::Panicked(payload))) });
        }
        Poll::Ready(())
    }

    fn take(self: Pin<&mut Self>, into: &mut dyn Any) {
        if let StageMut::Ended { result } = self.project()
            && let Some(into) = into.downcast_mut::<Option<Result<F::Output, JoinError>>>()
        {
            *into = result.take();
        }
    }
}
