//! Time limits.

use super::sleep::Sleep;
use super::{nanoseconds, now_ns};
use crate::runtime::{Core, current};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Lets a future have so much time, from now on. When it is over the future is dropped with this.
///
/// A future that has its result when it is first polled costs no timer.
///
/// # Panics
/// As [`sleep`](crate::time::sleep).
///
/// ```
/// use std::time::Duration;
/// use ukevent_task::{block_on, time::timeout};
///
/// block_on(async {
///     let soon = Duration::from_millis(1);
///     assert!(timeout(soon, std::future::pending::<()>()).await.is_err());
///     assert_eq!(timeout(soon, async { 7 }).await, Ok(7));
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn timeout<F: Future>(time: Duration, future: F) -> Timeout<F> {
    let core = current::expect("timeout");
    Timeout { future, limit: Limit::Of { core, time }, sleep: None }
}

/// The time was over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl std::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the time for it is over")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

#[derive(Debug)]
enum Limit {
    Of { core: Rc<Core>, time: Duration },
    Begun,
}

pin_project! {
    /// Made by [`timeout`].
    #[derive(Debug)]
    #[must_use = "nothing is done before it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        limit: Limit,
        sleep: Option<Sleep>,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if let Limit::Of { core, time } = std::mem::replace(this.limit, Limit::Begun) {
            let deadline_ns = now_ns(&core).saturating_add(nanoseconds(time));
            *this.sleep = Some(Sleep::until(core, deadline_ns));
        }
        let Some(sleep) = this.sleep else { return Poll::Pending };
        ready!(Pin::new(sleep).poll(cx));
        Poll::Ready(Err(Elapsed))
    }
}
