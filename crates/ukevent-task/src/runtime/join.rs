//! The handle of a task.

use super::{Core, JoinError, Joined, TaskId};
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Waits for a task, and gives its result. Made by [`spawn`](crate::spawn).
///
/// Dropping it lets the task run on by itself. [`JoinHandle::cancel`] ends the task, and a
/// [`Scope`](crate::Scope) ends all of its own. Its result is given once: awaited again (by `&mut`), it
/// gives [`JoinError::Cancelled`], and so it does when the runtime is gone.
///
/// ```
/// use ukevent_task::{JoinError, block_on, spawn};
///
/// block_on(async {
///     assert_eq!(spawn(async { 6 * 7 }).await.unwrap(), 42);
///
///     let broken = spawn(async { panic!("out of paper") });
///     assert_eq!(broken.await.unwrap_err().to_string(), "the task panicked: out of paper");
///
///     let endless = spawn(std::future::pending::<()>());
///     endless.cancel();
///     assert!(matches!(endless.await, Err(JoinError::Cancelled)));
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it lets the task run on by itself; say so with detach()"]
pub struct JoinHandle<T> {
    core: Rc<Core>,
    id: TaskId,
    result: PhantomData<fn() -> T>,
}

impl<T> JoinHandle<T> {
    pub(super) const fn new(core: Rc<Core>, id: TaskId) -> Self {
        Self { core, id, result: PhantomData }
    }

    /// Ends the task: its future is dropped now, or if it is being polled, after that. Awaiting it then
    /// gives [`JoinError::Cancelled`], unless it had ended.
    pub fn cancel(&self) {
        self.core.cancel(self.id);
    }

    /// Whether it has ended, with a result or without.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.core.has_ended(self.id)
    }

    /// Lets the task run on by itself.
    pub fn detach(self) {}
}

impl<T: 'static> JoinHandle<T> {
    /// The result of a task that has ended. Of one that has not, there will be none.
    pub(crate) fn into_result(self) -> Result<T, JoinError> {
        let mut result = None;
        self.core.take_result(self.id, &mut result);
        result.unwrap_or(Err(JoinError::Cancelled))
    }
}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut result: Option<Self::Output> = None;
        if let Joined::NotYet = self.core.join(self.id, &mut result, cx) {
            return Poll::Pending;
        }
        self.id = TaskId::NONE;
        Poll::Ready(result.unwrap_or(Err(JoinError::Cancelled)))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if self.id != TaskId::NONE {
            self.core.detach(self.id);
        }
    }
}

impl<T> std::fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinHandle").field("has_ended", &self.has_ended()).finish_non_exhaustive()
    }
}
