//! What the queues of a process must agree on about signals: the action, each thread's mask, and
//! who else watches.
//!
//! Invariants:
//! - A signal's action is taken over while at least one thread watches it, and its targets are those
//!   threads, or as many of them as it can have.
//! - Of a signal that came to another thread and was sent on, each target has a copy; of any other
//!   there is one, and whoever reads it gives it to the rest.
//! - A thread's mask has a signal that was not there before for as long as the thread's count of it
//!   is above 0.
//! - Locks are taken in this order: the registry, a thread's mask, an inbox. No sink is called, and
//!   nothing waits, while one is held. The signal handler takes none.

use crate::event::SignalReceived;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
};
use ukevent_sys::{
    Error,
    eventfd::EventFd,
    signal::{self, SignalSet, Takeover},
};

/// The bit of a signal in a set of 64.
pub(crate) const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Nothing here leaves its data half changed where it could panic.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came, one entry a signal, in the order in which the first of each came.
#[derive(Debug, Default)]
pub(super) struct Tally(Vec<SignalReceived>);

impl Tally {
    /// Adds `more.count` signals; the sender is that of the last.
    pub(super) fn add(&mut self, more: SignalReceived) {
        match self.0.iter_mut().find(|known| known.signal == more.signal) {
            Some(known) => {
                let count = known.count.saturating_add(more.count);
                *known = SignalReceived { count, ..more };
            }
            None => self.0.push(more),
        }
    }

    pub(super) fn append(&mut self, later: &Self) {
        later.iter().for_each(|&more| self.add(more));
    }

    pub(super) fn forget(&mut self, signal: i32) {
        self.0.retain(|known| known.signal != signal);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, SignalReceived> {
        self.0.iter()
    }
}

/// Where other queues put what they read and this one watches too.
#[derive(Debug)]
pub(super) struct Inbox {
    /// The thread of the queue.
    thread: AtomicI32,
    /// The signals that this queue watches, as bits.
    watched: AtomicU64,
    arrived: Mutex<Tally>,
    wake: EventFd,
}

impl Inbox {
    pub(super) fn new() -> Result<Self, Error> {
        let (thread, watched) = (AtomicI32::new(0), AtomicU64::new(0));
        Ok(Self { thread, watched, arrived: Mutex::default(), wake: EventFd::new()? })
    }

    /// Readable while something is in it.
    pub(super) const fn wake(&self) -> &EventFd {
        &self.wake
    }

    /// Moves what is in it to `tally`.
    pub(super) fn empty_into(&self, tally: &mut Tally) -> Result<(), Error> {
        let mut arrived = locked(&self.arrived);
        // Under the lock: what is put in later signals anew.
        self.wake.clear()?;
        tally.append(&arrived);
        arrived.clear();
        Ok(())
    }

    fn watches(&self, signal: i32) -> bool {
        self.watched.load(Ordering::Relaxed) & bit(signal) != 0
    }

    fn thread(&self) -> i32 {
        self.thread.load(Ordering::Relaxed)
    }

    fn put(&self, more: SignalReceived) {
        locked(&self.arrived).add(more);
        // A live eventfd takes it; a full one is readable as it is.
        let _ = self.wake.signal();
    }
}

/// The signal mask of one thread, as far as queues changed it.
#[derive(Debug)]
pub(super) struct ThreadMask {
    thread: i32,
    state: Mutex<MaskState>,
}

#[derive(Debug, Default)]
struct MaskState {
    /// How many queues of the thread watch each signal.
    counts: BTreeMap<i32, u32>,
    /// Those that were not blocked before, as bits.
    ours: u64,
}

/// Takes the thread out of the registry when it ends.
struct OfThread(Arc<ThreadMask>);

impl Drop for OfThread {
    fn drop(&mut self) {
        Registry::lock().thread_ended(self.0.thread);
    }
}

thread_local! {
    static MASK: OfThread = OfThread(Arc::new(ThreadMask {
        thread: signal::this_thread(),
        state: Mutex::default(),
    }));
}

impl ThreadMask {
    /// That of the calling thread; `None` while the thread is ending.
    pub(super) fn current() -> Option<Arc<Self>> {
        MASK.try_with(|mask| Arc::clone(&mask.0)).ok()
    }

    /// Whether it is that of the calling thread.
    pub(super) fn is_current(&self) -> bool {
        MASK.try_with(|mask| std::ptr::eq(&*mask.0, self)).unwrap_or(false)
    }

    /// Blocks a signal in the calling thread, whose mask this is, for one more queue.
    fn hold(&self, signal: i32) -> Result<(), Error> {
        let mut state = locked(&self.state);
        if !state.counts.contains_key(&signal) {
            let former = signal::block(&one(signal)?)?;
            if !former.contains(signal) {
                state.ours |= bit(signal);
            }
        }
        *state.counts.entry(signal).or_default() += 1;
        Ok(())
    }

    /// Ends a [`ThreadMask::hold`]. The last one unblocks the signal if it was not blocked before,
    /// and if this is the thread to do it; else the next last one will.
    fn release(&self, signal: i32) {
        let mut state = locked(&self.state);
        let Some(count) = state.counts.get_mut(&signal) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        state.counts.remove(&signal);
        if state.ours & bit(signal) != 0 && self.is_current() {
            state.ours &= !bit(signal);
            // Unblocking may run a handler of the program, which may do anything.
            drop(state);
            let _ = one(signal).and_then(|set| signal::unblock(&set));
        }
    }

    /// Whether another queue of the thread watches a signal that one of them does.
    fn is_shared(&self, signal: i32) -> bool {
        locked(&self.state).counts.get(&signal).is_some_and(|&count| count > 1)
    }
}

/// The set of one signal.
pub(super) fn one(signal: i32) -> Result<SignalSet, Error> {
    let mut set = SignalSet::empty();
    set.add(signal)?;
    Ok(set)
}

/// A signal whose action is taken over.
struct Watched {
    action: Takeover,
    /// The threads of the queues that watch it, once for each queue.
    threads: Vec<i32>,
}

/// The queues of this process that watch signals.
pub(super) struct Registry {
    inboxes: Vec<Arc<Inbox>>,
    watched: BTreeMap<i32, Watched>,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { inboxes: Vec::new(), watched: BTreeMap::new() });

impl Registry {
    pub(super) fn lock() -> MutexGuard<'static, Self> {
        locked(&REGISTRY)
    }

    /// Lets a queue of the calling thread, whose mask is `mask`, watch one more signal. If it fails,
    /// all is as before.
    pub(super) fn watch(
        &mut self,
        signal: i32,
        mask: &ThreadMask,
        inbox: &Arc<Inbox>,
    ) -> Result<(), Error> {
        mask.hold(signal)?;
        match self.watched.get_mut(&signal) {
            Some(watched) => {
                watched.threads.push(mask.thread);
                watched.aim();
            }
            None => {
                let action =
                    Takeover::new(signal, mask.thread).inspect_err(|_| mask.release(signal))?;
                self.watched.insert(signal, Watched { action, threads: vec![mask.thread] });
            }
        }
        inbox.thread.store(mask.thread, Ordering::Relaxed);
        if inbox.watched.fetch_or(bit(signal), Ordering::Relaxed) == 0 {
            self.inboxes.push(Arc::clone(inbox));
        }
        Ok(())
    }

    /// Begins the end of a [`Registry::watch`]: the signal is sent elsewhere, or nowhere, from now on.
    /// Returns whether what is pending in the queue's thread is to be taken before
    /// [`Registry::let_go`], because no other queue of the thread will. Untaken, it would have the
    /// former action, which may be to end the process.
    #[must_use]
    pub(super) fn unwatch(&mut self, signal: i32, mask: &ThreadMask, inbox: &Arc<Inbox>) -> bool {
        if inbox.watched.fetch_and(!bit(signal), Ordering::Relaxed) == bit(signal) {
            self.inboxes.retain(|known| !Arc::ptr_eq(known, inbox));
        }
        locked(&inbox.arrived).forget(signal);
        if let Some(watched) = self.watched.get_mut(&signal)
            && let Some(at) = watched.threads.iter().position(|&thread| thread == mask.thread)
        {
            watched.threads.swap_remove(at);
            watched.aim();
        }
        mask.is_current() && !mask.is_shared(signal)
    }

    /// Ends what [`Registry::unwatch`] began: action and mask are put back if nobody else needs them.
    pub(super) fn let_go(signal: i32, mask: &ThreadMask) {
        Self::lock().put_back_if_unwatched(signal);
        mask.release(signal);
    }

    fn put_back_if_unwatched(&mut self, signal: i32) {
        if self.watched.get(&signal).is_some_and(|watched| watched.threads.is_empty()) {
            self.watched.remove(&signal);
        }
    }

    /// Gives what a queue read, and others watch, to those that have no copy of it.
    pub(super) fn share(&self, read: &Tally, forwarded: bool, reader: &Arc<Inbox>) {
        for other in self.inboxes.iter().filter(|other| !Arc::ptr_eq(other, reader)) {
            for &more in read.iter().filter(|more| other.watches(more.signal)) {
                if !forwarded || self.relies_on(more.signal, other.thread(), reader.thread()) {
                    other.put(more);
                }
            }
        }
    }

    /// Whether of a signal that was sent on, the copy of thread `reader` is that of `thread` too: it
    /// is the same one, or has none of its own and the reader is the first of those who have.
    fn relies_on(&self, signal: i32, thread: i32, reader: i32) -> bool {
        let Some(watched) = self.watched.get(&signal) else { return true };
        thread == reader
            || (watched.action.targets().next() == Some(reader)
                && !watched.action.targets().any(|target| target == thread))
    }

    /// How many of a signal came to other threads and could not be sent on.
    pub(super) fn take_undelivered(&self, signal: i32) -> u32 {
        self.watched.get(&signal).map_or(0, |watched| watched.action.take_undelivered())
    }

    /// A thread ended with queues of it alive: nobody will read what is sent there.
    fn thread_ended(&mut self, thread: i32) {
        for watched in self.watched.values_mut() {
            watched.threads.retain(|&watching| watching != thread);
            watched.aim();
        }
        self.watched.retain(|_, watched| !watched.threads.is_empty());
    }
}

impl Watched {
    /// Makes the threads the targets.
    fn aim(&self) {
        let gone = |target: &i32| !self.threads.contains(target);
        let gone: Vec<i32> = self.action.targets().filter(gone).collect();
        // New ones first, so that there is one at any time; then into the room that was made.
        self.add_targets();
        gone.into_iter().for_each(|target| self.action.remove_target(target));
        self.add_targets();
    }

    fn add_targets(&self) {
        for &thread in &self.threads {
            // One too many relies on the first (see `Registry::share`).
            let _ = self.action.add_target(thread);
        }
    }
}
