//! Sleeping.

use super::{nanoseconds, now_ns};
use crate::runtime::inboxes::{Bound, InboxId};
use crate::runtime::{Core, current};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use ukevent_queue::{Clock, Key, Mode, RegisterError, Timer};

/// Sleeps for so long, from now on.
///
/// # Panics
/// Outside of a runtime; and when it is polled while the queue has as many registrations as it may, which
/// a limit of the program's own says ([`Builder::limit`](ukevent_queue::Builder::limit)).
#[track_caller]
pub fn sleep(time: Duration) -> Sleep {
    let core = current::expect("sleep");
    Sleep::after(core, time)
}

/// Made by [`sleep`]. Dropping it costs nothing and leaves nothing.
#[must_use = "nothing is done before it is awaited"]
pub struct Sleep {
    core: Rc<Core>,
    deadline_ns: u64,
    runs: Option<(InboxId, Key)>,
    over: bool,
}

impl Sleep {
    pub(super) const fn until(core: Rc<Core>, deadline_ns: u64) -> Self {
        Self { core, deadline_ns, runs: None, over: false }
    }

    pub(crate) fn after(core: Rc<Core>, time: Duration) -> Self {
        let deadline_ns = now_ns(&core).saturating_add(nanoseconds(time));
        Self::until(core, deadline_ns)
    }

    /// Whether the time is over.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RegisterError>> {
        if self.over {
            return Poll::Ready(Ok(()));
        }
        let core = &self.core;
        let (inbox, _) = match self.runs {
            Some(runs) => runs,
            None => *self.runs.insert(start(core, self.deadline_ns)?),
        };
        if core.take(inbox, cx).is_none() {
            return Poll::Pending;
        }
        self.over = true;
        Poll::Ready(Ok(()))
    }
}

/// Registers a timer that expires once.
pub(super) fn start(core: &Core, deadline_ns: u64) -> Result<(InboxId, Key), RegisterError> {
    let inbox = core.open(Bound::Elsewhere, "the time");
    let timer = Timer::at(Clock::Monotonic, Duration::from_nanos(deadline_ns));
    match core.queue(|queue| queue.register(timer, inbox.token(), Mode::Level)) {
        Ok(key) => Ok((inbox, key)),
        Err(error) => {
            core.close(inbox);
            Err(error)
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_over(cx).map(|over| {
            if let Err(error) = over {
                panic!("no timer can be had: {error}");
            }
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((inbox, key)) = self.runs {
            self.core.remove(key);
            self.core.close(inbox);
        }
    }
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleep").field("over", &self.over).finish_non_exhaustive()
    }
}
