//! How a runtime is made.

use super::stuck::{Report, Stuck};
use super::{Core, Runtime};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use ukevent_queue::{BuildError, Builder};

/// Frames to receive into, and the bytes of each.
const FRAMES: u32 = 256;
const FRAME_BYTES: usize = 4096;

/// Makes runtimes. Made by [`Runtime::builder`].
///
/// ```
/// use ukevent_queue::{BackendKind, Builder};
/// use ukevent_task::Runtime;
///
/// let queue = Builder::new().backend(BackendKind::Epoll);
/// let mut runtime = Runtime::builder().queue(queue).frames(64, 16 * 1024).build()?;
/// assert_eq!(runtime.block_on(async { 1 + 1 })?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct RuntimeBuilder {
    queue: Builder,
    pub(super) frames: u32,
    pub(super) frame_bytes: usize,
    pub(super) stuck: Option<Report>,
}

impl RuntimeBuilder {
    pub(super) fn new() -> Self {
        Self {
            queue: Builder::new(),
            frames: FRAMES,
            frame_bytes: FRAME_BYTES,
            stuck: Some(Report::default()),
        }
    }

    /// On a queue that is made like this: backend, limits, sizes of the ring.
    pub fn queue(mut self, queue: Builder) -> Self {
        self.queue = queue;
        self
    }

    /// So many frames to receive into, of so many bytes each: 256 of 4,096 by default. All that receives
    /// shares them; their memory is reserved when the first asks for it, and taken as it is used. More
    /// frames let more be received at once, larger ones receive more at a time.
    ///
    /// # Panics
    /// If one of them is 0.
    #[track_caller]
    pub fn frames(mut self, count: u32, bytes: usize) -> Self {
        assert!(
            count > 0 && bytes > 0,
            "nothing can be received into {count} frames of {bytes} bytes"
        );
        (self.frames, self.frame_bytes) = (count, bytes);
        self
    }

    /// Tells `tell` of each place of spawning whose task kept the thread for `limit` or longer in one poll,
    /// once for the place, or twice: as one of several, and then for sure. The default is 10 ms, told in one
    /// line on standard error.
    ///
    /// `tell` runs on the thread, between two polls; where it panics, `block_on` does. How exact it is: polls
    /// are timed in groups of up to 8 until one of them was late, then each by itself for 10 s. So the first
    /// report may name the places of up to 8 polls ([`Stuck::polls`] says how many). Nothing is reported that
    /// did not take as long, by the clock on the wall: so a thread that the kernel did not let run is late,
    /// too. What took the limit and two steps of the kernel's coarse clock (1 to 10 ms each) is always seen.
    pub fn stuck(
        mut self,
        limit: Duration,
        tell: impl Fn(&Stuck<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.stuck = Some(Report::new(limit, Arc::new(tell)));
        self
    }

    /// Tells nobody of a task that keeps the thread, and reads no clock to find out.
    pub fn without_stuck(mut self) -> Self {
        self.stuck = None;
        self
    }

    /// Makes the runtime.
    ///
    /// # Errors
    /// As [`Builder::build`].
    #[track_caller]
    pub fn build(&self) -> Result<Runtime, BuildError> {
        Ok(Runtime { core: Rc::new(Core::new(self.queue.build()?, self)) })
    }
}

impl std::fmt::Debug for RuntimeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuntimeBuilder")
            .field("queue", &self.queue)
            .field("frames", &self.frames)
            .field("frame_bytes", &self.frame_bytes)
            .field("stuck", &self.stuck.is_some())
            .finish()
    }
}
