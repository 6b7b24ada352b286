//! A span of `tracing` for each task, with the feature `tracing`; without it nothing of this is compiled.

use std::panic::Location;
use tracing::instrument::{Instrument, Instrumented};

/// A future within the span of its task: `task`, with its number and where it was spawned, on the target
/// `ukevent_task` at the level of traces. It is entered by each poll, and when the future is dropped.
pub(super) fn within<F: Future>(
    future: F,
    id: u64,
    spawned_at: &'static Location<'static>,
) -> Instrumented<F> {
    let (file, line) = (spawned_at.file(), spawned_at.line());
    let span = tracing::trace_span!(target: "ukevent_task", "task", id, file, line);
    future.instrument(span)
}
