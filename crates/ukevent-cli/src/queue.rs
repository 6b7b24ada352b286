//! The queue of a sub-command.

use crate::failure::Failure;
use ukevent::{BackendKind, BuildError, Builder, Queue};

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
