//! Awaiting an operation of the queue.

use crate::runtime::inboxes::{Bound, InboxId};
use crate::runtime::{Core, current};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use ukevent_buf::Buffer;
use ukevent_queue::{Completed, Key, Kind, Operation, StartError};

/// Does an operation of the queue: anything that has no method of its own here. It is started now, and
/// leaves for the kernel with the queue's next wait.
///
/// Dropped before its end it is cancelled; what it comes to all the same is dropped: a descriptor is
/// closed, a buffer goes home. Of a continuous operation it gives the first result. Keep the
/// [`Registered`](crate::Registered) that it names: dropping that ends it without a result, and who waits for it
/// waits for ever.
///
/// # Panics
/// Outside of a runtime; and when it is awaited again after its end.
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

/// What an operation came to, and the buffer that it was given, whatever that is.
pub type BufferResult<T> = (io::Result<T>, Buffer);

/// The result and the buffer of an operation that was given one.
pub(crate) fn returned(outcome: Result<Completed, Box<StartError>>) -> BufferResult<usize> {
    match outcome {
        Ok(done) => {
            let result = done.result.map(|count| count as usize).map_err(io::Error::from);
            (result, done.into_buffer().unwrap_or_default())
        }
        Err(error) => {
            let StartError { operation, reason } = *error;
            (Err(reason.into()), operation.into_buffer().unwrap_or_default())
        }
    }
}

/// Made by [`perform`].
///
/// # Panics
/// When it is polled again after it was ready.
#[must_use = "dropping it cancels the operation"]
pub struct Perform {
    core: Rc<Core>,
    stage: Stage,
    detached: bool,
}

enum Stage {
    Runs(InboxId, Key),
    Refused(Box<StartError>),
    Over,
}

impl Perform {
    /// `what` is said to people who ask what a task waits for.
    pub(crate) fn new(core: Rc<Core>, operation: Operation, what: &'static str) -> Self {
        let inbox = core.open(Bound::Elsewhere, what);
        let stage = match core.queue(|queue| queue.start(operation, inbox.token())) {
            Ok(key) => Stage::Runs(inbox, key),
            Err(error) => {
                core.close(inbox);
                Stage::Refused(Box::new(error))
            }
        };
        Self { core, stage, detached: false }
    }

    /// Why it was not started, if it was not.
    pub(crate) fn refused(&mut self) -> Option<Box<StartError>> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Refused(error) => Some(error),
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    /// Dropped before its end it goes on by itself.
    pub(crate) const fn detached(mut self) -> Self {
        self.detached = true;
        self
    }
}

impl Future for Perform {
    type Output = Result<Completed, Box<StartError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (inbox, key) = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Runs(inbox, key) => (inbox, key),
            Stage::Refused(error) => return Poll::Ready(Err(error)),
            Stage::Over => panic!("an operation was awaited again after it had ended"),
        };
        // Nothing else comes of an operation.
        let Some(Kind::Completed(completed)) = self.core.take(inbox, cx) else {
            self.stage = Stage::Runs(inbox, key);
            return Poll::Pending;
        };
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
        f.debug_struct("Perform")
            .field("runs", &matches!(self.stage, Stage::Runs(..)))
            .finish_non_exhaustive()
    }
}
