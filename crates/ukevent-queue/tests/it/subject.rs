//! What is under test: a queue, or a shared queue that does what a queue does.
//!
//! The suite says what must be true of a queue. Through a shared one it runs three times: with one waiter, in *company*
//! of a second one that never waits, so that what is ready goes the way it goes among many, and with two that are
//! *pinned*, of which one never waits.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use ukevent_queue::{
    BackendKind, BuildError, Change, ChangeError, Clock, Counters, Event, Key, Mode, NoSuchKey,
    Operation, Policy, Poster, RegisterError, Removed, SharedBuilder, SharedQueue, Source,
    StartError, Token, Wait, WaitError, Waiter, Waker,
};

/// Whose queue it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One thread's.
    Own,
    /// Many threads', of which one has a part in it.
    Shared,
    /// The same, beside another that never waits.
    InCompany,
    /// Many threads', of which each has its own registrations.
    Pinned,
}

/// Makes queues of one shape.
#[derive(Clone)]
pub(crate) enum Builder {
    Own(ukevent_queue::Builder),
    Shared(SharedBuilder, Shape),
}

impl Builder {
    pub(crate) fn limit(self, registrations: u32) -> Self {
        match self {
            Self::Own(builder) => Self::Own(builder.limit(registrations)),
            Self::Shared(builder, shape) => Self::Shared(builder.limit(registrations), shape),
        }
    }

    /// Sizes of an io_uring instance, which a shared queue has none of.
    pub(crate) fn ring(self, submissions: u32, completions: u32) -> Self {
        match self {
            Self::Own(builder) => Self::Own(builder.ring(submissions, completions)),
            shared => shared,
        }
    }

    pub(crate) fn build(&self) -> Result<Queue, BuildError> {
        Ok(match self {
            Self::Own(builder) => Queue::Own(builder.build()?),
            Self::Shared(builder, shape) => {
                let queue = builder.build()?;
                // The first, so that the other one's group is not the first.
                let company = (*shape != Shape::Shared).then(|| queue.waiter());
                let company = company.transpose().expect("it is this process'");
                let waiter = queue.waiter().expect("it is this process'");
                Queue::Shared { queue, waiter, _company: company }
            }
        })
    }
}

/// A queue under test.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are a handful at a time")]
pub(crate) enum Queue {
    Own(ukevent_queue::Queue),
    Shared { waiter: Waiter, _company: Option<Waiter>, queue: SharedQueue },
}

macro_rules! forward {
    ($($(#[$meta:meta])* fn $name:ident(&mut self $(, $argument:ident: $type:ty)*) $(-> $result:ty)?;)*) => {$(
        $(#[$meta])*
        pub(crate) fn $name(&mut self $(, $argument: $type)*) $(-> $result)? {
            match self {
                Self::Own(queue) => queue.$name($($argument),*),
                Self::Shared { queue, .. } => queue.$name($($argument),*),
            }
        }
    )*};
}

impl Queue {
    forward! {
        fn modify(&mut self, key: Key, change: Change) -> Result<(), ChangeError>;
        fn enable(&mut self, key: Key) -> Result<(), ChangeError>;
        fn disable(&mut self, key: Key) -> Result<(), NoSuchKey>;
        fn cancel(&mut self, key: Key) -> Result<(), NoSuchKey>;
    }

    pub(crate) fn register(
        &mut self,
        source: impl Into<Source>,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        match self {
            Self::Own(queue) => queue.register(source, token, mode),
            Self::Shared { queue, waiter, .. } => match queue.policy() {
                Policy::Pinned => waiter.register(source, token, mode),
                _ => queue.register(source, token, mode),
            },
        }
    }

    pub(crate) fn start(&mut self, operation: Operation, token: Token) -> Result<Key, StartError> {
        match self {
            Self::Own(queue) => queue.start(operation, token),
            Self::Shared { queue, waiter, .. } => match queue.policy() {
                Policy::Pinned => waiter.start(operation, token),
                _ => queue.start(operation, token),
            },
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Result<Removed, NoSuchKey> {
        match self {
            Self::Own(queue) => queue.remove(key),
            Self::Shared { queue, .. } => queue.remove(key).map(|it| it.into_removed()),
        }
    }

    pub(crate) fn wait(&mut self, wait: Wait<'_>) -> Result<usize, WaitError> {
        match self {
            Self::Own(queue) => queue.wait(wait),
            Self::Shared { waiter, .. } => waiter.wait(wait),
        }
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        match self {
            Self::Own(queue) => queue.next_event(),
            Self::Shared { waiter, .. } => waiter.next_event(),
        }
    }

    pub(crate) fn take_spent(&mut self) -> Option<Removed> {
        match self {
            Self::Own(queue) => queue.take_spent(),
            Self::Shared { waiter, .. } => waiter.take_spent(),
        }
    }

    pub(crate) fn poster(&self, key: Key) -> Result<Poster, NoSuchKey> {
        match self {
            Self::Own(queue) => queue.poster(key),
            Self::Shared { queue, .. } => queue.poster(key),
        }
    }

    pub(crate) fn waker(&self) -> Waker {
        match self {
            Self::Own(queue) => queue.waker(),
            Self::Shared { queue, waiter, .. } => match queue.policy() {
                Policy::Pinned => waiter.waker(),
                _ => queue.waker(),
            },
        }
    }

    pub(crate) fn room_waker(&self) -> std::task::Waker {
        match self {
            Self::Own(queue) => queue.room_waker(),
            Self::Shared { queue, .. } => queue.room_waker(),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        match self {
            Self::Own(queue) => queue.counters(),
            Self::Shared { queue, .. } => queue.counters().queue,
        }
    }

    pub(crate) fn time(&self, clock: Clock) -> Duration {
        match self {
            Self::Own(queue) => queue.time(clock),
            Self::Shared { queue, .. } => queue.time(clock),
        }
    }

    /// Does something with the owner of a descriptor, if it is a `T`.
    pub(crate) fn with_owner<T: 'static, R>(
        &self,
        key: Key,
        body: impl FnOnce(&T) -> R,
    ) -> Option<R> {
        match self {
            Self::Own(queue) => queue.owner_of(key).map(body),
            Self::Shared { queue, .. } => queue.with_owner(key, body),
        }
    }

    /// Whether the owner of a descriptor is a `T`.
    pub(crate) fn is_owner<T: 'static>(&self, key: Key) -> bool {
        self.with_owner(key, |_: &T| ()).is_some()
    }

    /// Reads from a stream that the queue owns; 0 if there is nothing.
    pub(crate) fn read_owned(&self, key: Key, buffer: &mut [u8]) -> usize {
        let read = self.with_owner(key, |mut stream: &UnixStream| stream.read(buffer));
        read.expect("the queue owns it").unwrap_or(0)
    }

    /// What only the queue of one thread has.
    pub(crate) fn own(&mut self) -> &mut ukevent_queue::Queue {
        match self {
            Self::Own(queue) => queue,
            Self::Shared { .. } => panic!("this case is for queues of one thread"),
        }
    }

    pub(crate) fn descriptor(&mut self) -> Result<OwnedFd, RegisterError> {
        match self {
            Self::Own(queue) => queue.descriptor(),
            Self::Shared { waiter, .. } => waiter.descriptor(),
        }
    }

    pub(crate) fn backend(&self) -> BackendKind {
        match self {
            Self::Own(queue) => queue.backend(),
            Self::Shared { .. } => BackendKind::Epoll,
        }
    }
}

impl From<ukevent_queue::Queue> for Queue {
    fn from(queue: ukevent_queue::Queue) -> Self {
        Self::Own(queue)
    }
}
