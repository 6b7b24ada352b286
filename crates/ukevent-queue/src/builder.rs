//! How a queue is made.

use crate::backend::choice::{BackendKind, choose};
use crate::backend::sim::Sim;
use crate::error::BuildError;
use crate::queue::Queue;
use std::ffi::OsString;
use ukevent_sys::ring::RingOptions;

/// Where people say which backend they want.
const VARIABLE: &str = "UKEVENT_BACKEND";

/// Makes queues.
///
/// ```
/// use ukevent_queue::{BackendKind, Builder};
///
/// let queue = Builder::new().backend(BackendKind::Epoll).limit(10_000).build()?;
/// assert_eq!(queue.backend(), BackendKind::Epoll);
/// # Ok::<(), ukevent_queue::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    backend: Option<BackendKind>,
    sim: Option<Sim>,
    limit: u32,
    ring: RingOptions,
}

impl Builder {
    /// The defaults: the backend that `UKEVENT_BACKEND` names, or else the best that the kernel
    /// allows; up to 16 million registrations; a ring of 1,024 submissions and 8,192
    /// completions (about 200 KiB of the kernel's memory, where the process has room for it).
    pub const fn new() -> Self {
        Self {
            backend: None,
            sim: None,
            limit: 1 << 24,
            // The kernel sizes its table of polls by the completions: at 8,192 it is as large as it
            // gets, and finding the one to remove as fast.
            ring: RingOptions { submissions: 1024, completions: 8192 },
        }
    }

    /// This backend and no other; stronger than `UKEVENT_BACKEND`.
    pub const fn backend(mut self, backend: BackendKind) -> Self {
        self.backend = Some(backend);
        self
    }

    /// On a simulation, whatever `UKEVENT_BACKEND` says.
    pub fn sim(mut self, sim: &Sim) -> Self {
        self.sim = Some(sim.clone());
        self
    }

    /// So many registrations at most (at most 2^30).
    pub const fn limit(mut self, registrations: u32) -> Self {
        self.limit = if registrations > 1 << 30 { 1 << 30 } else { registrations };
        self
    }

    /// Sizes of the io_uring instance, rounded up to powers of two. Small sizes cost system calls,
    /// never events: what does not fit waits in memory, here or in the kernel.
    pub const fn ring(mut self, submissions: u32, completions: u32) -> Self {
        self.ring = RingOptions { submissions, completions };
        self
    }

    /// Makes the queue. It may be sent to another thread before its first use.
    ///
    /// # Errors
    /// [`BuildError::UnknownBackend`] or [`BuildError::Unavailable`] if a backend was asked for that
    /// there is not; [`BuildError::Kernel`] when descriptors or memory are exhausted.
    pub fn build(&self) -> Result<Queue, BuildError> {
        let asked = match self.backend {
            Some(kind) => Some((kind, "the program")),
            None => match std::env::var_os(VARIABLE) {
                Some(name) if !name.is_empty() => Some((from_environment(name)?, VARIABLE)),
                _ => None,
            },
        };
        let chosen = choose(asked, self.sim.clone(), self.ring)?;
        Ok(Queue::with(chosen, self.limit))
    }
}

/// The backend of this name, which need not be text.
fn from_environment(name: OsString) -> Result<BackendKind, BuildError> {
    let known = name.to_str().and_then(|name| name.parse().ok());
    known.ok_or(BuildError::UnknownBackend { name, from_environment: true })
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}
