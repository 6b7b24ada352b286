//! A deadline that moves: what a connection has, whose client must do something by then.

use super::sleep::start;
use super::{Elapsed, nanoseconds};
use crate::runtime::inboxes::InboxId;
use crate::runtime::{Core, current};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use ukevent_queue::{Change, Clock, Key, RegisterError, Timer};

/// A deadline that moves. Setting it later costs nothing: its one timer is moved only to make it expire
/// earlier, and looks again when it expires too early. Counted from the last look at the queue.
///
/// ```
/// use std::time::Duration;
/// use ukevent_task::{block_on, time::Deadline};
///
/// block_on(async {
///     let mut deadline = Deadline::after(Duration::from_secs(60))?;
///     assert_eq!(deadline.guard(async { 1 }).await, Ok(1));
///     deadline.set(Duration::from_millis(1));
///     assert!(deadline.guard(std::future::pending::<()>()).await.is_err());
///     Ok::<(), ukevent_queue::RegisterError>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Deadline {
    core: Rc<Core>,
    inbox: InboxId,
    key: Key,
    deadline_ns: u64,
    /// When the timer expires, unless it has.
    timer_ns: Option<u64>,
}

impl Deadline {
    /// A deadline so far from now.
    ///
    /// # Errors
    /// [`RegisterError`], if there can be no timer.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn after(time: Duration) -> Result<Self, RegisterError> {
        let core = current::expect("Deadline::after");
        let deadline_ns = core.now_ns().saturating_add(nanoseconds(time));
        let (inbox, key) = start(&core, deadline_ns)?;
        Ok(Self { core, inbox, key, deadline_ns, timer_ns: Some(deadline_ns) })
    }

    /// Moves it to so far from now.
    pub fn set(&mut self, time: Duration) {
        self.deadline_ns = self.core.now_ns().saturating_add(nanoseconds(time));
        self.keep();
    }

    /// Lets the timer expire by the deadline.
    fn keep(&mut self) {
        if self.timer_ns.is_none_or(|timer_ns| self.deadline_ns < timer_ns) {
            let timer = Timer::at(Clock::Monotonic, Duration::from_nanos(self.deadline_ns));
            let change = Change::new().timer(timer);
            let moved = self.core.queue(|queue| queue.modify(self.key, change));
            debug_assert!(moved.is_ok(), "it is registered as long as this is: {moved:?}");
            self.timer_ns = Some(self.deadline_ns);
        }
    }

    /// Whether it has passed.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let core = &self.core;
            let expired = core.take(self.inbox, cx).is_some();
            if expired {
                self.timer_ns = None;
            } else if self.timer_ns.is_some() {
                return Poll::Pending;
            }
            if self.deadline_ns <= core.now_ns() {
                return Poll::Ready(());
            }
            self.keep();
        }
    }

    /// Lets a future have the time until the deadline.
    pub fn guard<F: Future>(&mut self, future: F) -> Guarded<'_, F> {
        Guarded { future, deadline: self }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.core.remove(self.key);
        self.core.close(self.inbox);
    }
}

impl std::fmt::Debug for Deadline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deadline").field("deadline_ns", &self.deadline_ns).finish_non_exhaustive()
    }
}

pin_project! {
    /// Made by [`Deadline::guard`].
    #[derive(Debug)]
    #[must_use = "nothing is done before it is awaited"]
    pub struct Guarded<'a, F> {
        #[pin]
        future: F,
        deadline: &'a mut Deadline,
    }
}

impl<F: Future> Future for Guarded<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.deadline.poll_passed(cx).map(|()| Err(Elapsed))
    }
}
