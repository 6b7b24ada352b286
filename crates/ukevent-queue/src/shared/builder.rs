//! How a shared queue is made.

use super::SharedQueue;
use super::group::Group;
use super::keeper::Signals;
use super::pins::Pins;
use crate::error::BuildError;

/// Who takes up an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Whoever is free, first come first served.
    #[default]
    Balanced,
    /// Whoever is free; of several events that are ready, a waiter takes those first whose registration it had last,
    /// while they are among the first eight: what it needs for them may still be in its processor's cache.
    Nearest,
    /// One waiter, always the same: each has a set of the kernel, a ring and a lock of its own, and the events of a
    /// registration come to one waiter as long as it is there. What is registered with
    /// [`Waiter::register`](crate::Waiter::register) is that waiter's; what is registered with the queue goes to
    /// the waiters in turn, or waits for the first one that comes.
    ///
    /// What a waiter leaves behind another one takes over, and keeps until a new one comes. At most 255 waiters.
    /// Keys, changes and posts are the same as ever; [`SharedQueue::register_for_all`](crate::SharedQueue) is not to
    /// be had, and what is handed on with [`Waiter::release`](crate::Waiter::release) comes back.
    Pinned,
}

/// Makes shared queues.
///
/// ```
/// use ukevent_queue::{Policy, SharedBuilder};
///
/// let queue = SharedBuilder::new().policy(Policy::Nearest).ring(4096).limit(100_000).build()?;
/// assert_eq!(queue.counters().capacity, 4096);
/// # Ok::<(), ukevent_queue::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SharedBuilder {
    pub(super) limit: u32,
    pub(super) entries: u32,
    pub(super) policy: Policy,
}

impl SharedBuilder {
    /// The defaults: up to 16 million registrations, a ring of 1,024 entries (64 KiB), [`Policy::Balanced`].
    pub const fn new() -> Self {
        Self { limit: 1 << 24, entries: 1024, policy: Policy::Balanced }
    }

    /// So many registrations at most (at most 2^30); of each waiter, if they are pinned (then at most 2^24).
    pub const fn limit(mut self, registrations: u32) -> Self {
        self.limit = registrations;
        self
    }

    /// A ring of so many entries (for each waiter one, if they are pinned): at least 2, at most 2^20, rounded up to a
    /// power of two. What it has no room for waits behind it.
    pub const fn ring(mut self, entries: u32) -> Self {
        self.entries = entries;
        self
    }

    /// Who takes up an event.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Makes the queue.
    ///
    /// # Errors
    /// [`BuildError::Kernel`] when descriptors or memory are exhausted.
    pub fn build(&self) -> Result<SharedQueue, BuildError> {
        let first = Group::new(self, &Signals::new())?;
        let pins = (self.policy == Policy::Pinned).then(|| Pins::new(self, &first));
        Ok(SharedQueue { first, pins })
    }
}

impl Default for SharedBuilder {
    fn default() -> Self {
        Self::new()
    }
}
