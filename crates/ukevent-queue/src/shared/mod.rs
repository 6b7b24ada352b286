//! One queue for many threads.
//!
//! | file | what it tells |
//! |---|---|
//! | `mod.rs` | what a program does with it: register, change, remove, post |
//! | `builder.rs` | how one is made, and who takes up an event |
//! | `waiter.rs` | one thread's part: wait, take, let go, hand on |
//! | `core.rs` | the queue under its lock, and what is on the way from it to the waiters |
//! | `ring.rs` | the events that are ready, in memory, for whoever claims them |
//! | `claims.rs` | which registrations have an event under way: one word each |
//! | `lane.rs` | what one waiter has |
//! | `tally.rs` | what it did |
//! | `keeper.rs` | the thread that has the signals |
//!
//! All waiters sleep on one set of the kernel (epoll), which wakes one of them for each report. A set, not a ring of
//! io_uring: deferred work of a ring can be taken up only by the thread that owns it, and without deferring, a report
//! wakes all that wait (ARCHITECTURE.md has the measurement).

mod builder;
mod claims;
mod core;
mod keeper;
mod lane;
mod ring;
mod tally;
mod waiter;

pub use builder::{Policy, SharedBuilder};
pub(crate) use claims::Claims;
pub(crate) use ring::{Staged, Stamp};
pub use tally::WaiterCounters;
pub use waiter::Waiter;

use self::core::{Core, Outside};
use self::keeper::Keeper;
use crate::Clock;
use crate::error::{BuildError, ChangeError, NoSuchKey, RegisterError, WaitError, WrongThread};
use crate::event::Kind;
use crate::key::{Key, Token};
use crate::mode::Mode;
use crate::operation::{Operation, StartError, StartRefusal};
use crate::post::{Poster, Waker};
use crate::primitive::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, lock};
use crate::queue::{Change, Counters};
use crate::source::{Removed, Source};
#[cfg(not(loom))]
use rustix::thread::futex;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;
use ukevent_sys::epoll::Epoll;
use ukevent_sys::runner::Process;

/// What all handles have in common.
struct Inner {
    core: Mutex<Core>,
    outside: Outside,
    /// What waiters sleep on.
    set: std::sync::Arc<Epoll>,
    waker: Waker,
    room_waker: std::task::Waker,
    policy: Policy,
    /// How many waiters there are.
    members: AtomicU32,
    /// Threads that wait until an event is let go of, and how often one was since somebody does.
    lingering: AtomicU32,
    let_go: AtomicU32,
    /// Before the core, if both are locked.
    keeper: Mutex<Option<Keeper>>,
    /// Signals that are watched, as bits.
    watched: AtomicU64,
    made_by: Process,
}

/// The core, locked. What it has let go of is dropped after that.
struct Locked<'a> {
    /// There until the end.
    core: Option<MutexGuard<'a, Core>>,
}

impl Deref for Locked<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        self.core.as_ref().expect("it is there until the end")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Core {
        self.core.as_mut().expect("it is there until the end")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let Some(mut core) = self.core.take() else { return };
        let waste = core.take_waste();
        drop(core);
        drop(waste);
    }
}

impl Inner {
    fn lock(&self) -> Locked<'_> {
        Locked { core: Some(lock(&self.core)) }
    }

    /// The same, but not in a child made by fork(2), where another thread may have had it for ever.
    fn lock_at_home(&self) -> Option<Locked<'_>> {
        self.made_by.is_current().then(|| self.lock())
    }

    fn check_process(&self) -> Result<(), WrongThread> {
        if self.made_by.is_current() { Ok(()) } else { Err(WrongThread) }
    }

    fn position(&self) -> u64 {
        self.outside.position.load(Ordering::Acquire)
    }

    const fn is_nearest(&self) -> bool {
        matches!(self.policy, Policy::Nearest)
    }

    fn has_one_waiter(&self) -> bool {
        self.members.load(Ordering::Relaxed) == 1
    }

    fn count_members(&self, core: &Core) {
        self.members.store(core.members() as u32, Ordering::Relaxed);
    }

    /// Somebody brings an event of a registration; false if that is gone.
    fn keep(&self, key: Key, kind: Kind) -> bool {
        let mut core = self.lock();
        let is_live = core.queue.bring(key, kind);
        core.settle(&self.outside);
        is_live
    }

    /// An event was let go of.
    fn tell_who_lingers(&self) {
        if self.lingering.load(Ordering::SeqCst) > 0 {
            self.let_go.fetch_add(1, Ordering::SeqCst);
            wake_all(&self.let_go);
        }
    }
}

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
    inner: Arc<Inner>,
}

/// What happened in a shared queue. Taken by [`SharedQueue::counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedCounters {
    /// What happened in the queue, of all waiters together. Events count when they are put into the ring.
    pub queue: Counters,
    /// How many waiters there are.
    pub waiters: usize,
    /// How many of them sleep.
    pub asleep: usize,
    /// Entries of the ring.
    pub capacity: usize,
    /// Events in the ring.
    pub in_ring: usize,
    /// The most that were ever in it.
    pub high_water: usize,
    /// How often it was full while events waited behind it. Nothing is lost by it.
    pub overflowed: u64,
    /// Events that were put into it, ever.
    pub position: u64,
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
    /// [`WaitError::WrongThread`] in a child made by fork(2).
    pub fn waiter(&self) -> Result<Waiter, WaitError> {
        self.inner.check_process().map_err(|WrongThread| WaitError::WrongThread)?;
        Ok(Waiter::new(self.inner.clone()))
    }

    /// Changes something under the lock, and lets it take effect for those who sleep.
    fn change<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.inner.lock();
        let result = change(&mut core);
        core.settle(&self.inner.outside);
        result
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
        self.register_any(source.into(), token, mode, false)
    }

    /// The same, but every waiter gets each event, not one of them (kevent's `WAKEUP_ALL`): those that there are
    /// when it happens. The next one comes when all have let go of it; posts come as they are posted.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register_for_all(
        &self,
        source: impl Into<Source>,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        self.register_any(source.into(), token, mode, true)
    }

    fn register_any(
        &self,
        source: Source,
        token: Token,
        mode: Mode,
        for_all: bool,
    ) -> Result<Key, RegisterError> {
        self.inner.check_process()?;
        if let Source::Signal(signal) = source {
            return self.inner.register_signal(signal, token, mode, for_all);
        }
        self.change(|core| {
            let key = core.queue.register(source, token, mode)?;
            if for_all {
                core.queue.for_all(key);
            }
            Ok(key)
        })
    }

    /// Changes a registration, as [`Queue::modify`](crate::Queue::modify). What of it nobody has taken yet is
    /// delivered as the change says.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn modify(&self, key: Key, change: Change) -> Result<(), ChangeError> {
        self.inner.check_process().map_err(RegisterError::from)?;
        let outside = &self.inner.outside;
        self.change(|core| {
            if core.queue.is_live(key) {
                // What is under way is as before if the change is refused.
                core.withdraw(outside, key);
            }
            let changed = core.queue.modify(key, change);
            if changed.is_err() {
                core.queue.tell_anew(key);
            }
            changed
        })
    }

    /// Lets a registration report again, as [`Queue::enable`](crate::Queue::enable).
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn enable(&self, key: Key) -> Result<(), ChangeError> {
        self.inner.check_process().map_err(RegisterError::from)?;
        self.change(|core| {
            core.queue.enable(key)?;
            Ok(())
        })
    }

    /// Keeps a registration, but delivers nothing of it until it is enabled, as
    /// [`Queue::disable`](crate::Queue::disable). When this returns, no waiter takes an event of it any more; one that
    /// holds an event goes on with it.
    ///
    /// # Errors
    /// [`NoSuchKey`].
    pub fn disable(&self, key: Key) -> Result<(), NoSuchKey> {
        self.inner.check_process().map_err(|WrongThread| NoSuchKey)?;
        let outside = &self.inner.outside;
        self.change(|core| {
            core.queue.disable(key)?;
            core.withdraw(outside, key);
            Ok(())
        })
    }

    /// Ends a registration, as [`Queue::remove`](crate::Queue::remove). When this returns, no waiter takes an event
    /// of it any more; whether one still works on an event that it took before is said.
    ///
    /// # Errors
    /// [`NoSuchKey`].
    pub fn remove(&self, key: Key) -> Result<Withdrawn, NoSuchKey> {
        self.inner.check_process().map_err(|WrongThread| NoSuchKey)?;
        let outside = &self.inner.outside;
        let (withdrawn, is_of_signal) = self.change(|core| {
            let is_of_signal = core.queue.is_of_signal(key);
            let removed = core.queue.remove(key)?;
            core.gone(outside, key);
            Ok((Withdrawn { removed, is_held: core.is_held(key) }, is_of_signal))
        })?;
        if is_of_signal {
            self.inner.leave_keeper(key);
        }
        Ok(withdrawn)
    }

    /// Blocks until no waiter works on an event of this registration: after [`SharedQueue::remove`] said that one
    /// does. Not to be called by that waiter's own thread, which would wait for itself.
    pub fn wait_until_let_go(&self, key: Key) {
        let inner = &*self.inner;
        inner.lingering.fetch_add(1, Ordering::SeqCst);
        loop {
            let count = inner.let_go.load(Ordering::SeqCst);
            if !inner.lock_at_home().is_some_and(|core| core.is_held(key)) {
                break;
            }
            wait_while(&inner.let_go, count);
        }
        inner.lingering.fetch_sub(1, Ordering::SeqCst);
    }

    /// Starts an operation, as [`Queue::start`](crate::Queue::start). Its events come to whichever waiter is free,
    /// those of one operation in order and to one at a time.
    ///
    /// # Errors
    /// [`StartError`], which gives the operation back.
    pub fn start(&self, operation: Operation, token: Token) -> Result<Key, StartError> {
        if self.inner.check_process().is_err() {
            return Err(StartError { operation, reason: StartRefusal::WrongThread });
        }
        self.change(|core| core.queue.start(operation, token))
    }

    /// Ends an operation early, as [`Queue::cancel`](crate::Queue::cancel).
    ///
    /// # Errors
    /// [`NoSuchKey`].
    pub fn cancel(&self, key: Key) -> Result<(), NoSuchKey> {
        self.inner.check_process().map_err(|WrongThread| NoSuchKey)?;
        self.change(|core| core.queue.cancel(key))
    }

    /// What posts to a user source, from any thread, as [`Queue::poster`](crate::Queue::poster).
    ///
    /// # Errors
    /// [`NoSuchKey`].
    pub fn poster(&self, key: Key) -> Result<Poster, NoSuchKey> {
        self.inner.lock_at_home().ok_or(NoSuchKey)?.queue.poster(key)
    }

    /// What ends a wait without an event, from any thread: that of one waiter. For all of them register a source with
    /// [`SharedQueue::register_for_all`].
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.inner.waker.clone()
    }

    /// Wakes the queue to look for a buffer: for the pools of
    /// [`Operation::receive_each`].
    #[must_use]
    pub fn room_waker(&self) -> std::task::Waker {
        self.inner.room_waker.clone()
    }

    /// How many events were put into the ring, ever: for [`Waiter::wait_after`]. No lock.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.inner.position()
    }

    /// Gives the ring another size: at least 2 entries, at most 2^20, rounded up to a power of two. What is in it
    /// stays in its order; waiters go on meanwhile.
    pub fn resize(&self, entries: u32) {
        let outside = &self.inner.outside;
        if let Some(mut core) = self.inner.lock_at_home() {
            core.resize(outside, entries);
        }
    }

    /// Does something with the owner of a registered descriptor, if it was registered as a `T`; under the queue's
    /// lock, so briefly. Threads that read from a descriptor on their own keep an `Arc` of it.
    pub fn with_owner<T: 'static, R>(&self, key: Key, body: impl FnOnce(&T) -> R) -> Option<R> {
        self.inner.lock_at_home()?.queue.owner_of(key).map(body)
    }

    /// The time of a clock, since its epoch.
    #[must_use]
    pub fn time(&self, clock: Clock) -> Duration {
        Duration::from_nanos(clock.now())
    }

    /// What happened so far; nothing in a child made by fork(2).
    #[must_use]
    pub fn counters(&self) -> SharedCounters {
        let core = self.inner.lock_at_home();
        core.map(|core| core.counters(&self.inner.outside)).unwrap_or_default()
    }

    /// What each waiter that there is did so far, in the order in which they came.
    #[must_use]
    pub fn waiters(&self) -> Vec<WaiterCounters> {
        self.inner.lock_at_home().map(|core| core.waiters()).unwrap_or_default()
    }

    /// Who takes up an event.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.inner.policy
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(keeper) = lock(&self.keeper).take() {
            keeper.end(self.made_by.is_current());
        }
    }
}

impl std::fmt::Debug for SharedQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedQueue")
            .field("policy", &self.inner.policy)
            .field("waiters", &self.inner.members.load(Ordering::Relaxed))
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

#[cfg(not(loom))]
fn wait_while(word: &AtomicU32, value: u32) {
    // It returns when the word has changed, when it is woken, and when a signal came: the caller looks again.
    let _ = futex::wait(word, futex::Flags::PRIVATE, value, None);
}

#[cfg(not(loom))]
fn wake_all(word: &AtomicU32) {
    // A word of our own can be named.
    let _ = futex::wake(word, futex::Flags::PRIVATE, i32::MAX as u32);
}

#[cfg(loom)]
fn wait_while(_word: &AtomicU32, _value: u32) {
    loom::thread::yield_now();
}

#[cfg(loom)]
fn wake_all(_word: &AtomicU32) {}
