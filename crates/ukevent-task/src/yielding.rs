//! Letting others go first.

use crate::runtime::{Core, current};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Lets the other tasks that are to be polled go first.
///
/// # Panics
/// Nowhere: outside of a runtime it wakes whoever polls it.
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// Made by [`yield_now`].
#[derive(Debug)]
#[must_use = "nothing is done before it is awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Waits until everything that had happened before is known: the queue was looked at, and what came is in
/// the hands of those who wait for it. Many who ask for it at the same time share one look.
///
/// A server that keeps a file in memory while nothing is reported of it asks for this between a request
/// and its answer: a change that was made before the request was sent is then known, whichever of the two
/// the kernel told first.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn look() -> Look {
    Look { core: current::expect("look"), since: None }
}

/// Whether a [`look()`] may be spared: the number of the last one, if everything is known by it that had
/// happened before anything was received that the caller can have.
///
/// See [`Queue::is_caught_up`](ukevent_queue::Queue::is_caught_up): on io_uring it is so as a rule, elsewhere
/// never. What came is in the hands of those who wait for it, but they need not have been polled: see
/// [`Untaken`](crate::Untaken).
///
/// # Panics
/// Outside of a runtime.
#[must_use]
#[track_caller]
pub fn caught_up() -> Option<u64> {
    current::expect("caught_up").caught_up()
}

/// Made by [`look`].
#[derive(Debug)]
#[must_use = "nothing is done before it is awaited"]
pub struct Look {
    core: Rc<Core>,
    /// How many looks there had been when it began.
    since: Option<u64>,
}

impl Future for Look {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let looks = self.core.looks();
        if *self.since.get_or_insert(looks) < looks {
            return Poll::Ready(());
        }
        self.core.look(self.core.waiter(cx));
        Poll::Pending
    }
}
