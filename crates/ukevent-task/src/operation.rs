//! Awaiting an operation of the queue.

use crate::runtime::inboxes::{Bound, InboxId};
use crate::runtime::{Core, current};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use ukevent_queue::{Completed, Errno, Key, Kind, Operation, StartError};

const ECANCELED: Errno = Errno(125);

/// Does an operation of the queue: anything that has no method of its own here. It is started when it is
/// first polled, and leaves for the kernel with the queue's next wait.
///
/// Dropped before its end it is cancelled; what it comes to all the same is dropped: a descriptor is
/// closed, a buffer goes home. Of a continuous operation it gives the first result.
///
/// # Panics
/// Outside of a runtime.
///
/// ```
/// use std::fs::File;
/// use ukevent_queue::{Operation, Payload};
/// use ukevent_task::{Registered, block_on, perform};
///
/// let size = block_on(async {
///     let file = Registered::new(File::open("/etc/passwd")?)?;
///     let done = perform(Operation::metadata(file.key())).await?;
///     let Payload::Metadata(metadata) = done.payload else { panic!() };
///     Ok::<_, Box<dyn std::error::Error>>(metadata.size)
/// })??;
/// assert!(size > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn perform(operation: Operation) -> Perform {
    Perform::new(current::expect("perform"), operation, "an operation")
}

/// Made by [`perform`].
#[must_use = "nothing is done before it is awaited"]
pub struct Perform {
    core: Rc<Core>,
    stage: Stage,
    what: &'static str,
    detached: bool,
}

enum Stage {
    New(Option<Operation>),
    Runs(InboxId, Key),
    Over,
}

impl Perform {
    /// `what` is said to people who ask what a task waits for.
    pub(crate) const fn new(core: Rc<Core>, operation: Operation, what: &'static str) -> Self {
        Self { core, stage: Stage::New(Some(operation)), what, detached: false }
    }

    /// Dropped before its end it goes on by itself.
    pub(crate) const fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Starts it now.
    pub(crate) fn start(&mut self) -> Result<(), Box<StartError>> {
        if let Stage::New(operation) = &mut self.stage
            && let Some(operation) = operation.take()
        {
            let inbox = self.core.open(Bound::Elsewhere, self.what);
            match self.core.queue(|queue| queue.start(operation, inbox.token())) {
                Ok(key) => self.stage = Stage::Runs(inbox, key),
                Err(error) => {
                    self.core.close(inbox);
                    self.stage = Stage::Over;
                    return Err(Box::new(error));
                }
            }
        }
        Ok(())
    }
}

impl Future for Perform {
    type Output = Result<Completed, Box<StartError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.start()?;
        let Stage::Runs(inbox, key) = self.stage else {
            return Poll::Ready(Ok(Completed {
                result: Err(ECANCELED),
                payload: ukevent_queue::Payload::None,
            }));
        };
        // Nothing else comes of an operation.
        let Some(Kind::Completed(completed)) = self.core.take(inbox, cx) else {
            return Poll::Pending;
        };
        self.stage = Stage::Over;
        self.core.close(inbox);
        // A continuous one would go on.
        self.core.remove(key);
        Poll::Ready(Ok(completed))
    }
}

impl Drop for Perform {
    fn drop(&mut self) {
        if let Stage::Runs(inbox, key) = self.stage {
            self.core.close(inbox);
            if !self.detached {
                self.core.remove(key);
            }
        }
    }
}

impl std::fmt::Debug for Perform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Perform").field("what", &self.what).finish_non_exhaustive()
    }
}
