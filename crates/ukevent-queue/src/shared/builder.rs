//! How a shared queue is made.

use super::core::{Core, Outside};
use super::{Claims, Inner, SharedQueue};
use crate::backend::choice::BackendKind;
use crate::builder::Builder;
use crate::error::BuildError;
use crate::primitive::{AtomicBool, AtomicU32, AtomicU64, Mutex};
use std::sync::Arc;
use ukevent_sys::runner::Process;

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
    limit: u32,
    entries: u32,
    policy: Policy,
}

impl SharedBuilder {
    /// The defaults: up to 16 million registrations, a ring of 1,024 entries (64 KiB), [`Policy::Balanced`].
    pub const fn new() -> Self {
        Self { limit: 1 << 24, entries: 1024, policy: Policy::Balanced }
    }

    /// So many registrations at most (at most 2^30).
    pub const fn limit(mut self, registrations: u32) -> Self {
        self.limit = registrations;
        self
    }

    /// A ring of so many entries: at least 2, at most 2^20, rounded up to a power of two. What it has no room for
    /// waits behind it.
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
        let mut queue = Builder::new().backend(BackendKind::Epoll).limit(self.limit).build()?;
        let Some((set, mailbox)) = queue.share() else {
            return Err(BuildError::Unavailable {
                backend: "epoll",
                why: "it cannot be shared".to_owned(),
            });
        };
        let (waker, room_waker) = (queue.waker(), queue.room_waker());
        let core = Core::new(queue, &set, mailbox, self.entries, self.policy)?;
        let outside = Outside {
            claims: Claims::new(),
            position: AtomicU64::new(0),
            is_handed_on: AtomicBool::new(false),
        };
        let inner = Inner {
            core: Mutex::new(core),
            outside,
            set,
            waker,
            room_waker,
            policy: self.policy,
            members: AtomicU32::new(0),
            lingering: AtomicU32::new(0),
            let_go: AtomicU32::new(0),
            keeper: Mutex::new(None),
            watched: AtomicU64::new(0),
            made_by: Process::current(),
        };
        Ok(SharedQueue { inner: Arc::new(inner) })
    }
}

impl Default for SharedBuilder {
    fn default() -> Self {
        Self::new()
    }
}
