//! The queue of a sub-command.

use crate::failure::Failure;
use ukevent::{BackendKind, BuildError, Builder, Queue};
use ukevent_task::Runtime;

/// Makes it, on the backend that was asked for; `task` is the sub-command, for messages.
pub(crate) fn build(task: &str, backend: Option<BackendKind>) -> Result<Queue, Failure> {
    let builder = backend.map_or_else(Builder::new, |kind| Builder::new().backend(kind));
    let queue = builder.build().map_err(|error| match error {
        BuildError::UnknownBackend { .. } => Failure::Usage(format!("{task}: {error}")),
        _ => Failure::Failed(format!("{task}: {error}")),
    })?;
    if queue.backend() == BackendKind::Sim {
        let why = "the backend sim has no kernel; there are io_uring, epoll and poll";
        return Err(Failure::Usage(format!("{task}: {why}")));
    }
    Ok(queue)
}

/// A runtime on such a queue that tells nobody of tasks that keep the thread: for who tells of lateness itself, and
/// may have a terminal's line to keep.
pub(crate) fn runtime(task: &str, backend: Option<BackendKind>) -> Result<Runtime, Failure> {
    // Made, looked at and dropped: a runtime does not tell its backend.
    let found = build(task, backend)?.backend();
    let builder = Runtime::builder().queue(Builder::new().backend(found)).without_stuck();
    builder.build().map_err(|error| Failure::Failed(format!("{task}: {error}")))
}
