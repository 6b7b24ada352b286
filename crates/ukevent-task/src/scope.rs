//! Tasks that end with what owns them.

use crate::runtime::{Core, JoinError, JoinHandle, Waiter, current};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Tasks that belong together: when it is dropped, all of them are cancelled and gone.
///
/// Their futures are dropped then and there, in the order of spawning. (One that drops the scope it runs in
/// is dropped when it has been polled.) A panic in one is its result; the others go on, unless the owner
/// makes something else of it.
///
/// ```
/// use ukevent_task::{Scope, block_on};
///
/// let (sum, failed) = block_on(async {
///     let mut scope = Scope::new();
///     for number in 1..=10 {
///         scope.spawn(async move {
///             assert_ne!(number, 7, "not this one");
///             number
///         });
///     }
///     let (mut sum, mut failed) = (0, 0);
///     while let Some(ended) = scope.join_next().await {
///         match ended {
///             Ok(number) => sum += number,
///             Err(_) => failed += 1,
///         }
///     }
///     (sum, failed)
/// })?;
/// assert_eq!((sum, failed), (48, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Scope<T> {
    core: Rc<Core>,
    /// By place.
    handles: Vec<Option<JoinHandle<T>>>,
    free: Vec<usize>,
    ended: Rc<RefCell<Ended>>,
}

/// Which tasks have ended and were not joined.
#[derive(Default)]
struct Ended {
    places: VecDeque<usize>,
    joiner: Waiter,
}

/// Tells of the end of a task, however it ends: it is dropped with the task's future.
struct Tells {
    core: Rc<Core>,
    ended: Rc<RefCell<Ended>>,
    place: usize,
}

impl Drop for Tells {
    fn drop(&mut self) {
        let mut ended = self.ended.borrow_mut();
        ended.places.push_back(self.place);
        let joiner = std::mem::take(&mut ended.joiner);
        drop(ended);
        self.core.wake(joiner);
    }
}

impl<T: 'static> Scope<T> {
    /// Without tasks.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it needs a runtime, and says so")]
    pub fn new() -> Self {
        let core = current::expect("Scope::new");
        Self { core, handles: Vec::new(), free: Vec::new(), ended: Rc::default() }
    }

    /// Runs a future beside the others, as [`spawn`](crate::spawn) does.
    #[track_caller]
    pub fn spawn(&mut self, future: impl Future<Output = T> + 'static) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.handles.push(None);
            self.handles.len() - 1
        });
        let (core, ended) = (Rc::clone(&self.core), Rc::clone(&self.ended));
        let tells = Tells { core, ended, place };
        let future = async move {
            // Dropped last: after the future, whose end it tells.
            let _tells = tells;
            future.await
        };
        self.handles[place] = Some(self.core.spawn(future, Location::caller()));
    }

    /// How many of its tasks were not joined: those that run, and those whose result waits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.handles.len() - self.free.len()
    }

    /// Whether all were joined.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for the task that ends next and gives its result; `None` when all were joined. Dropped before it
    /// is ready, it has joined none.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// The same for futures that are written by hand.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        if !self.core.may_go_on(cx) {
            return Poll::Pending;
        }
        let place = self.ended.borrow_mut().places.pop_front();
        if let Some(place) = place
            && let Some(handle) = self.handles.get_mut(place).and_then(Option::take)
        {
            self.free.push(place);
            return Poll::Ready(Some(handle.into_result()));
        }
        let waiter = self.core.waiter(cx);
        let before = std::mem::replace(&mut self.ended.borrow_mut().joiner, waiter);
        drop(before);
        self.core.awaits("its tasks");
        Poll::Pending
    }

    /// Waits for all tasks, and gives their results in the order in which they ended. Dropped before it is
    /// ready, it has dropped the results that there were; the tasks go on.
    pub async fn join_all(&mut self) -> Vec<Result<T, JoinError>> {
        let mut all = Vec::with_capacity(self.len());
        while let Some(ended) = self.join_next().await {
            all.push(ended);
        }
        all
    }
}

impl<T> Scope<T> {
    /// Cancels all of its tasks; joining them gives [`JoinError::Cancelled`], unless they had ended.
    pub fn cancel(&self) {
        self.handles.iter().flatten().for_each(JoinHandle::cancel);
    }
}

impl<T> Drop for Scope<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<T> fmt::Debug for Scope<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("tasks", &self.handles.iter().flatten().count()).finish()
    }
}
