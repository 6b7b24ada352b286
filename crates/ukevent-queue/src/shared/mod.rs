//! One queue for many threads.
//!
//! | file | what it tells |
//! |---|---|
//! | `mod.rs` | what a program does with it: register, change, remove, post |
//! | `builder.rs` | how one is made, and who takes up an event |
//! | `waiter.rs` | what a thread does with it: wait, take, hand on |
//! | `part.rs` | how a waiter does that in its group |
//! | `group.rs` | waiters that share one core: all of them, or one if they are pinned |
//! | `pins.rs` | a group for each pinned waiter, and who takes over what one leaves behind |
//! | `core.rs` | the queue under its lock, and what is on the way from it to the waiters |
//! | `ring.rs` | the events that are ready, in memory, for whoever claims them |
//! | `claims.rs` | which registrations have an event under way: one word each |
//! | `lane.rs` | what one waiter has |
//! | `tally.rs` | what is counted |
//! | `keeper.rs` | the thread that has the signals |
//!
//! All waiters sleep on one set of the kernel (epoll), which wakes one of them for each report. A set, not a ring of
//! io_uring: deferred work of a ring can be taken up only by the thread that owns it, and without deferring, a report
//! wakes all that wait (ARCHITECTURE.md has the measurement).

mod builder;
mod claims;
mod core;
mod group;
mod keeper;
mod lane;
mod part;
mod pins;
mod ring;
mod tally;
mod waiter;

pub use builder::{Policy, SharedBuilder};
pub(crate) use claims::Claims;
pub(crate) use ring::{Staged, Stamp};
pub use tally::{SharedCounters, WaiterCounters};
pub use waiter::Waiter;

use self::group::Group;
use self::part::Part;
use self::pins::{Pins, Rooms};
use crate::Clock;
use crate::error::{BuildError, ChangeError, NoSuchKey, RegisterError, WaitError, WrongThread};
use crate::key::{Key, Token};
use crate::mode::Mode;
use crate::operation::{Operation, StartError};
use crate::post::{Poster, Waker};
use crate::queue::Change;
use crate::source::{Removed, Source};
use std::sync::Arc;
use std::time::Duration;

/// One queue for every kind of event, and for many threads.
///
/// It takes the same sources, modes and operations as [`Queue`](crate::Queue), from any thread, and is waited on by
/// any number of them: each has a [`Waiter`]. An event wakes one waiter, and one waiter gets it. Cloning is cheap, and
/// all clones are the same queue; the last one, of queues and waiters, that is dropped closes what it owns.
///
/// What differs from a [`Queue`](crate::Queue):
/// - Events of one registration come to one waiter at a time, in order: see [`Waiter`]. So [`Mode::Level`] tells
///   nobody of what somebody works on; if it is still so when he lets go of it, it is told again.
/// - Changes take effect at once, also for waits that go on: each of a descriptor is a system call.
/// - It runs on epoll whatever `UKEVENT_BACKEND` says; operations are tried, not handed to the kernel.
/// - [`Mode::Edge`] costs no system call beyond the wait; the other modes one more for each event of a descriptor.
///
/// In a child made by fork(2) it is refused in a sentence; the child may drop its copy.
///
/// ```
/// use std::{io::Write, thread};
/// use ukevent_queue::{Fd, Mode, SharedQueue, Token, Wait};
///
/// let queue = SharedQueue::new()?;
/// let mut waiter = queue.waiter()?;
/// let (reader, mut writer) = std::io::pipe()?;
/// // Registered by another thread than the one that waits.
/// thread::spawn(move || {
///     queue.register(Fd::new(reader), Token(7), Mode::Edge).expect("there is room");
///     writer.write_all(b"!").expect("the reader lives");
/// });
/// waiter.wait(Wait::forever())?;
/// assert_eq!(waiter.next_event().map(|event| event.token), Some(Token(7)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SharedQueue {
    /// The one group, if waiters are not pinned.
    first: Arc<Group>,
    pins: Option<Arc<Pins>>,
}

/// What [`SharedQueue::remove`] gives back.
#[derive(Debug)]
pub struct Withdrawn {
    removed: Removed,
    is_held: bool,
}

impl Withdrawn {
    /// Whether a waiter still works on an event of it. Before what it works with is taken away, wait until it lets
    /// go: [`SharedQueue::wait_until_let_go`].
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.is_held
    }

    /// The owner of the descriptor, if there was one.
    #[must_use]
    pub fn into_removed(self) -> Removed {
        self.removed
    }

    /// The owner of the descriptor, if it was registered as a `T`.
    #[must_use]
    pub fn downcast<T: 'static>(self) -> Option<T> {
        self.removed.downcast()
    }
}

impl SharedQueue {
    /// A queue with the defaults of [`SharedBuilder`].
    ///
    /// # Errors
    /// As [`SharedBuilder::build`].
    pub fn new() -> Result<Self, BuildError> {
        SharedBuilder::new().build()
    }

    /// A part in it for one thread. While there is one waiter only, it is told what a [`Queue`](crate::Queue) would
    /// tell; with a second one, what an earlier wait left in the ring is looked at again one by one.
    ///
    /// # Errors
    /// [`WaitError::WrongThread`] in a child made by fork(2). If waiters are pinned, [`WaitError::Kernel`] when
    /// descriptors or memory are exhausted, and [`WaitError::Invalid`] for the 256th.
    pub fn waiter(&self) -> Result<Waiter, WaitError> {
        self.first.check_process().map_err(|WrongThread| WaitError::WrongThread)?;
        match &self.pins {
            None => Ok(Waiter::new(Part::new(self.first.clone()), None)),
            Some(pins) => pins.join(),
        }
    }

    /// The group of a key, and its key there.
    fn find(&self, key: Key) -> Result<(&Arc<Group>, Key), NoSuchKey> {
        self.first.check_process().map_err(|WrongThread| NoSuchKey)?;
        match &self.pins {
            None => Ok((&self.first, key)),
            Some(pins) => pins.find(key).ok_or(NoSuchKey),
        }
    }

    fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        let first = self.pins.is_none().then_some(&self.first);
        first.into_iter().chain(self.pins.iter().flat_map(|pins| pins.groups()))
    }

    /// Registers a source, as [`Queue::register`](crate::Queue::register), from any thread.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register(
        &self,
        source: impl Into<Source>,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        self.first.check_process()?;
        match &self.pins {
            None => self.first.register(source.into(), token, mode, false),
            Some(pins) => pins.register(source.into(), token, mode),
        }
    }

    /// The same, but every waiter gets each event, not one of them (kevent's `WAKEUP_ALL`): those that there are
    /// when it happens. The next one comes when all have let go of it; posts come as they are posted.
    /// Copies that were not taken are gone when it is disabled or changed.
    ///
    /// # Errors
    /// [`RegisterError`]; [`RegisterError::Unsupported`] if waiters are pinned.
    pub fn register_for_all(
        &self,
        source: impl Into<Source>,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        if self.pins.is_some() {
            return Err(RegisterError::Unsupported {
                what: "an event for all waiters",
                needs: "waiters that are not pinned",
            });
        }
        self.first.register(source.into(), token, mode, true)
    }

    /// Changes a registration, as [`Queue::modify`](crate::Queue::modify). What of it nobody has taken yet is
    /// delivered as the change says.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn modify(&self, key: Key, change: Change) -> Result<(), ChangeError> {
        self.first.check_process().map_err(RegisterError::from)?;
        let (group, key) = self.find(key)?;
        group.change(|core| core.modify(&group.outside, key, change))
    }

    /// Lets a registration report again, as [`Queue::enable`](crate::Queue::enable).
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn enable(&self, key: Key) -> Result<(), ChangeError> {
        self.first.check_process().map_err(RegisterError::from)?;
        let (group, key) = self.find(key)?;
        group.change(|core| core.queue.enable(key))
    }

    /// Keeps a registration, but delivers nothing of it until it is enabled, as
    /// [`Queue::disable`](crate::Queue::disable). When this returns, no waiter takes an event of it any more; one that
    /// holds an event goes on with it.
    ///
    /// # Errors
    /// [`NoSuchKey`].
    pub fn disable(&self, key: Key) -> Result<(), NoSuchKey> {
        let (group, key) = self.find(key)?;
        group.change(|core| {
            core.queue.disable(key)?;
            core.withdraw(&group.outside, key);
            Ok(())
        })
    }

    /// Ends a registration, as [`Queue::remove`](crate::Queue::remove). When this returns, no waiter takes an event
    /// of it any more; whether one still works on an event that it took before is said.
    ///
    /// # Errors
    /// [`NoSuchKey`].
    pub fn remove(&self, key: Key) -> Result<Withdrawn, NoSuchKey> {
        let (group, key) = self.find(key)?;
        group.remove(key)
    }

    /// Blocks until no waiter works on an event of this registration: after [`SharedQueue::remove`] said that one
    /// does. Not to be called by that waiter's own thread, which would wait for itself.
    pub fn wait_until_let_go(&self, key: Key) {
        if let Ok((group, key)) = self.find(key) {
            group.wait_until_let_go(key);
        }
    }

    /// Starts an operation, as [`Queue::start`](crate::Queue::start). Its events come to whichever waiter is free,
    /// those of one operation in order and to one at a time.
    ///
    /// # Errors
    /// [`StartError`], which gives the operation back.
    pub fn start(&self, operation: Operation, token: Token) -> Result<Key, StartError> {
        match &self.pins {
            Some(pins) if self.first.check_process().is_ok() => pins.start(operation, token, None),
            _ => self.first.start(operation, token),
        }
    }

    /// Ends an operation early, as [`Queue::cancel`](crate::Queue::cancel).
    ///
    /// # Errors
    /// [`NoSuchKey`].
    pub fn cancel(&self, key: Key) -> Result<(), NoSuchKey> {
        let (group, key) = self.find(key)?;
        group.change(|core| core.queue.cancel(key))
    }

    /// What posts to a user source, from any thread, as [`Queue::poster`](crate::Queue::poster).
    ///
    /// # Errors
    /// [`NoSuchKey`].
    pub fn poster(&self, key: Key) -> Result<Poster, NoSuchKey> {
        let (group, key) = self.find(key)?;
        group.lock().queue.poster(key)
    }

    /// What ends a wait without an event, from any thread: that of one waiter; if waiters are pinned, of the first
    /// ([`Waiter::waker`] has that of each). For all of them register a source with
    /// [`SharedQueue::register_for_all`].
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.first.waker.clone()
    }

    /// Wakes the queue to look for a buffer: for the pools of
    /// [`Operation::receive_each`].
    #[must_use]
    pub fn room_waker(&self) -> std::task::Waker {
        match &self.pins {
            None => self.first.room_waker.clone(),
            Some(pins) => Arc::new(Rooms(Arc::downgrade(pins))).into(),
        }
    }

    /// How many events were put into the ring, ever: for [`Waiter::wait_after`]. No lock.
    #[must_use]
    pub fn position(&self) -> u64 {
        match &self.pins {
            None => self.first.position(),
            Some(pins) => pins.position(),
        }
    }

    /// Gives the ring another size: at least 2 entries, at most 2^20, rounded up to a power of two. What is in it
    /// stays in its order; waiters go on meanwhile.
    pub fn resize(&self, entries: u32) {
        if let Some(pins) = &self.pins {
            pins.resize(entries);
        }
        for group in self.groups() {
            if let Some(mut core) = group.lock_at_home() {
                core.resize(&group.outside, entries);
            }
        }
    }

    /// Does something with the owner of a registered descriptor, if it was registered as a `T`; under the queue's
    /// lock, so briefly. Threads that read from a descriptor on their own keep an `Arc` of it.
    pub fn with_owner<T: 'static, R>(&self, key: Key, body: impl FnOnce(&T) -> R) -> Option<R> {
        let (group, key) = self.find(key).ok()?;
        group.lock().queue.owner_of(key).map(body)
    }

    /// The time of a clock, since its epoch.
    #[must_use]
    pub fn time(&self, clock: Clock) -> Duration {
        Duration::from_nanos(clock.now())
    }

    /// What happened so far; nothing in a child made by fork(2).
    #[must_use]
    pub fn counters(&self) -> SharedCounters {
        let of = |group: &Arc<Group>| Some(group.lock_at_home()?.counters(&group.outside));
        let sum = self.groups().filter_map(of).fold(SharedCounters::default(), SharedCounters::and);
        match &self.pins {
            Some(pins) if self.first.check_process().is_ok() => pins.counters(sum),
            _ => sum,
        }
    }

    /// What each waiter that there is did so far, in the order in which they came. If waiters are pinned, without
    /// what one took of what another left.
    #[must_use]
    pub fn waiters(&self) -> Vec<WaiterCounters> {
        self.groups().filter_map(|group| Some(group.lock_at_home()?.waiters())).flatten().collect()
    }

    /// Who takes up an event.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.first.policy
    }
}

impl std::fmt::Debug for SharedQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedQueue")
            .field("policy", &self.policy())
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}
