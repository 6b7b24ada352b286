//! A group: the waiters that share one core, and what all its handles have in common.
//!
//! Balanced and nearest have one group for all waiters, pinned one for each.

use super::claims::Claims;
use super::core::{Core, Outside, WATCH};
use super::keeper::Signals;
use super::{Policy, SharedBuilder, Withdrawn};
use crate::backend::choice::BackendKind;
use crate::builder::Builder;
use crate::error::{BuildError, NoSuchKey, RegisterError, WrongThread};
use crate::event::Kind;
use crate::key::{Key, Token};
use crate::mode::Mode;
use crate::operation::{Operation, StartError, StartRefusal};
use crate::post::Waker;
use crate::primitive::{AtomicBool, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, lock};
use crate::source::Source;
#[cfg(not(loom))]
use rustix::thread::futex;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use ukevent_sys::Error;
use ukevent_sys::epoll::{Epoll, Trigger};
use ukevent_sys::poll::PollMask;
use ukevent_sys::runner::Process;

/// What all handles of a group have in common.
pub(super) struct Group {
    core: Mutex<Core>,
    pub(super) outside: Outside,
    /// What waiters sleep on.
    pub(super) set: Arc<Epoll>,
    pub(super) waker: Waker,
    pub(super) room_waker: std::task::Waker,
    pub(super) policy: Policy,
    /// How many waiters there are.
    members: AtomicU32,
    /// Threads that wait until an event is let go of, and how often one was since somebody does.
    lingering: AtomicU32,
    let_go: AtomicU32,
    pub(super) signals: Arc<Signals>,
    made_by: Process,
}

/// The core, locked. What it has let go of is dropped after that.
pub(super) struct Locked<'a> {
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

impl Group {
    pub(super) fn new(
        builder: &SharedBuilder,
        signals: &Arc<Signals>,
    ) -> Result<Arc<Self>, BuildError> {
        // A pinned waiter's keys have the number of its group above 24 bits of the slot.
        let is_pinned = matches!(builder.policy, Policy::Pinned);
        let limit = if is_pinned { builder.limit.min(1 << 24) } else { builder.limit };
        let mut queue = Builder::new().backend(BackendKind::Epoll).limit(limit).build()?;
        let Some((set, mailbox)) = queue.share() else {
            return Err(BuildError::Unavailable {
                backend: "epoll",
                why: "it cannot be shared".to_owned(),
            });
        };
        let (waker, room_waker) = (queue.waker(), queue.room_waker());
        let core = Core::new(queue, &set, mailbox, builder.entries, builder.policy)?;
        let outside = Outside {
            claims: Claims::new(),
            position: AtomicU64::new(0),
            is_handed_on: AtomicBool::new(false),
        };
        let group = Arc::new(Self {
            core: Mutex::new(core),
            outside,
            set,
            waker,
            room_waker,
            policy: builder.policy,
            members: AtomicU32::new(0),
            lingering: AtomicU32::new(0),
            let_go: AtomicU32::new(0),
            signals: signals.clone(),
            made_by: Process::current(),
        });
        signals.add(&group);
        Ok(group)
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { core: Some(lock(&self.core)) }
    }

    /// The same, but not in a child made by fork(2), where another thread may have had it for ever.
    pub(super) fn lock_at_home(&self) -> Option<Locked<'_>> {
        self.made_by.is_current().then(|| self.lock())
    }

    /// The core for who has another lock, or is the keeper, and may drop nothing of the program's: whoever comes next
    /// does that.
    pub(super) fn lock_quietly(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    pub(super) fn check_process(&self) -> Result<(), WrongThread> {
        if self.made_by.is_current() { Ok(()) } else { Err(WrongThread) }
    }

    pub(super) fn position(&self) -> u64 {
        self.outside.position.load(Ordering::Acquire)
    }

    pub(super) const fn is_nearest(&self) -> bool {
        matches!(self.policy, Policy::Nearest)
    }

    pub(super) fn has_one_waiter(&self) -> bool {
        self.members.load(Ordering::Relaxed) == 1
    }

    pub(super) fn count_members(&self, core: &Core) {
        self.members.store(core.members() as u32, Ordering::Relaxed);
    }

    /// The keeper brings an event of a registration; false if that is gone. It drops nothing of the program's, which
    /// may wait for it.
    pub(super) fn keep(&self, key: Key, kind: Kind) -> bool {
        let mut core = self.lock_quietly();
        let is_live = core.queue.bring(key, kind);
        core.settle(&self.outside);
        is_live
    }

    /// Changes something under the lock, and lets it take effect for those who sleep.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.lock();
        let result = change(&mut core);
        core.settle(&self.outside);
        result
    }

    /// Registers a source whose events one waiter gets, or each.
    pub(super) fn register(
        self: &Arc<Self>,
        source: Source,
        token: Token,
        mode: Mode,
        for_all: bool,
    ) -> Result<Key, RegisterError> {
        self.check_process()?;
        if let Source::Signal(signal) = source {
            return self.register_signal(signal, token, mode, for_all);
        }
        self.change(|core| {
            let key = core.queue.register(source, token, mode)?;
            if for_all {
                core.queue.for_all(key);
            }
            Ok(key)
        })
    }

    /// Watches another group's set, if it does not yet: a report of it ends the waits of this one. Under the lock of
    /// the seats.
    pub(super) fn watch(&self, other: &Self) -> Result<(), Error> {
        let fd = other.set.as_fd().as_raw_fd();
        self.set.add(fd, PollMask::IN, Trigger::Level, WATCH.to_bits())
    }

    /// Watches it no more.
    pub(super) fn watch_no_more(&self, other: &Self) {
        // It is in the set, and both are open.
        let _: Result<(), Error> = self.set.remove(other.set.as_fd().as_raw_fd());
    }

    /// Ends a registration, and says whether a waiter works on an event of it.
    pub(super) fn remove(self: &Arc<Self>, key: Key) -> Result<Withdrawn, NoSuchKey> {
        self.check_process().map_err(|WrongThread| NoSuchKey)?;
        let (withdrawn, is_of_signal) = self.change(|core| {
            let is_of_signal = core.queue.is_of_signal(key);
            let removed = core.queue.remove(key)?;
            core.gone(&self.outside, key);
            Ok((Withdrawn { removed, is_held: core.is_held(key) }, is_of_signal))
        })?;
        if is_of_signal {
            self.leave_keeper(key);
        }
        Ok(withdrawn)
    }

    pub(super) fn start(&self, operation: Operation, token: Token) -> Result<Key, StartError> {
        if self.check_process().is_err() {
            return Err(StartError { operation, reason: StartRefusal::WrongThread });
        }
        self.change(|core| core.queue.start(operation, token))
    }

    /// Blocks until no waiter works on an event of this registration.
    pub(super) fn wait_until_let_go(&self, key: Key) {
        self.lingering.fetch_add(1, Ordering::SeqCst);
        loop {
            let count = self.let_go.load(Ordering::SeqCst);
            if !self.lock_at_home().is_some_and(|core| core.is_held(key)) {
                break;
            }
            wait_while(&self.let_go, count);
        }
        self.lingering.fetch_sub(1, Ordering::SeqCst);
    }

    /// An event was let go of.
    pub(super) fn tell_who_lingers(&self) {
        if self.lingering.load(Ordering::SeqCst) > 0 {
            self.let_go.fetch_add(1, Ordering::SeqCst);
            wake_all(&self.let_go);
        }
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
