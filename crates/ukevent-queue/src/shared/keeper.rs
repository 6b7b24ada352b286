//! The keeper: a thread that has the signals of a shared queue.
//!
//! A signal that is sent to one thread is that thread's, and a signalfd shows each thread its own only. Waiters come
//! and go, so none of them can be the one. The first signal that is registered starts a thread, which watches signals
//! with a queue of its own, in which all others are blocked, and hands on what comes. It ends with the shared queue.
//! Groups of pinned waiters have one keeper together.

use super::group::Group;
use crate::builder::Builder;
use crate::error::RegisterError;
use crate::key::{Key, Token};
use crate::mode::Mode;
use crate::post::Waker;
use crate::primitive::{AtomicU64, Mutex, Ordering, lock};
use crate::queue::Queue;
use crate::source::{Signal, bit};
use crate::wait::Wait;
use crate::{BackendKind, BuildError};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use ukevent_sys::runner::Process;
use ukevent_sys::signal::{SignalSet, blocked, with_all_blocked};

/// The signals of a shared queue.
pub(super) struct Signals {
    /// Before the core of a group, if both are locked.
    keeper: Mutex<Option<Keeper>>,
    /// Those that are watched, as bits.
    watched: AtomicU64,
    /// Who sleeps with a mask that blocks them.
    groups: Mutex<Vec<Weak<Group>>>,
    made_by: Process,
}

impl Signals {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            keeper: Mutex::new(None),
            watched: AtomicU64::new(0),
            groups: Mutex::new(Vec::new()),
            made_by: Process::current(),
        })
    }

    pub(super) fn add(&self, group: &Arc<Group>) {
        lock(&self.groups).push(Arc::downgrade(group));
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if let Some(keeper) = lock(&self.keeper).take() {
            keeper.end(self.made_by.is_current());
        }
    }
}

/// A registration of a signal, and the group that it is in.
#[derive(Clone)]
struct Target {
    group: Weak<Group>,
    key: Key,
}

impl Target {
    fn is(&self, other: &Self) -> bool {
        self.key == other.key && self.group.ptr_eq(&other.group)
    }
}

/// What the keeper is told.
enum Order {
    /// Watches a signal for this registration.
    Watch(Signal, Target, Mode, SyncSender<Result<(), RegisterError>>),
    /// Watches for it no longer.
    Leave(Target, SyncSender<()>),
    End,
}

/// The handle of the thread.
struct Keeper {
    orders: Sender<Order>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread.
    fn start(signals: Weak<Signals>) -> Result<Self, RegisterError> {
        let queue = Builder::new().backend(BackendKind::Epoll).build();
        let queue = queue.map_err(|error| match error {
            BuildError::Kernel(error) => RegisterError::Kernel(error),
            _ => RegisterError::Unsupported { what: "signals", needs: "epoll" },
        })?;
        let waker = queue.waker();
        let (orders, taken) = mpsc::channel();
        let watch = Watch { queue, signals, kept: Vec::new(), last: 0 };
        let builder = thread::Builder::new().name("ukevent-signals".into());
        let thread = with_all_blocked(|| builder.spawn(move || watch.run(&taken)));
        let thread = thread.map_err(|_| RegisterError::Denied {
            what: "signals in a shared queue",
            needs: "a thread, of which the process may have no more (ulimit -u)",
        })?;
        Ok(Self { orders, waker, thread: Some(thread) })
    }

    /// Lets the thread do something, and waits for its answer; `None` if it is gone.
    fn ask<T>(&self, order: impl FnOnce(SyncSender<T>) -> Order) -> Option<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.orders.send(order(answer)).ok()?;
        self.waker.wake();
        answered.recv().ok()
    }

    /// Watches a signal for a registration, with its mode.
    fn watch(&self, signal: Signal, target: Target, mode: Mode) -> Result<(), RegisterError> {
        let watched = self.ask(|answer| Order::Watch(signal, target, mode, answer));
        watched.expect("the thread lives as long as its handle")
    }

    /// Watches for it no longer. When this returns, action and mask are what they were, if it was the last one.
    fn leave(&self, target: Target) {
        // A thread that is gone watches nothing.
        let _: Option<()> = self.ask(|answer| Order::Leave(target, answer));
    }

    /// Ends the thread, and waits for it: not in the thread itself, and not in a child, which has no copy of it.
    fn end(mut self, is_ours: bool) {
        let Some(thread) = self.thread.take() else { return };
        if is_ours && self.orders.send(Order::End).is_ok() {
            self.waker.wake();
            if thread.thread().id() != thread::current().id() {
                // It has nothing to say.
                let _: thread::Result<()> = thread.join();
            }
        }
    }
}

/// What the thread has.
struct Watch {
    queue: Queue,
    signals: Weak<Signals>,
    kept: Vec<Kept>,
    /// The last token that was given in its own queue.
    last: u64,
}

/// A registration in its own queue, and for whom it is.
struct Kept {
    own: Key,
    token: Token,
    signal: Signal,
    target: Target,
}

impl Watch {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            // Nothing can interrupt it, and what fails for want of memory is tried again.
            let _ = self.queue.wait(Wait::forever());
            while let Some(event) = self.queue.next_event() {
                let Some(kept) = self.kept.iter().find(|kept| kept.token == event.token) else {
                    continue;
                };
                let target = kept.target.clone();
                let group = target.group.upgrade();
                let is_wanted = group.is_some_and(|group| group.keep(target.key, event.kind));
                if !is_wanted || !self.queue.is_live(event.key) {
                    // Its registration is gone, or this was the only time.
                    self.leave(&target);
                }
            }
            for order in orders.try_iter() {
                match order {
                    Order::Watch(signal, target, mode, answer) => {
                        let watched = self.watch(signal, target, mode);
                        self.show();
                        // Whoever asked waits for it.
                        let _ = answer.send(watched);
                    }
                    Order::Leave(target, answer) => {
                        self.leave(&target);
                        self.show();
                        let _ = answer.send(());
                    }
                    Order::End => return,
                }
            }
            self.show();
        }
    }

    fn leave(&mut self, target: &Target) {
        if let Some(at) = self.kept.iter().position(|kept| kept.target.is(target)) {
            // One that was to be told once may be gone already.
            let _ = self.queue.remove(self.kept.swap_remove(at).own);
        }
    }

    /// Shows waiters which signals are watched.
    fn show(&self) {
        let Some(signals) = self.signals.upgrade() else { return };
        let watched = self.kept.iter().fold(0, |bits, kept| bits | bit(kept.signal.number()));
        let before = signals.watched.swap(watched, Ordering::Relaxed);
        if before & !watched == 0 {
            return;
        }
        let groups = lock(&signals.groups).clone();
        for group in groups.iter().filter_map(Weak::upgrade) {
            // Those who sleep block it still.
            group.lock_quietly().call_everyone();
        }
    }

    fn watch(&mut self, signal: Signal, target: Target, mode: Mode) -> Result<(), RegisterError> {
        // One that is told once is gone after it here too, so that the next signal does what it did before.
        let mode = if mode == Mode::OneShot { mode } else { Mode::Edge };
        self.last += 1;
        let token = Token(self.last);
        let own = self.queue.register(signal, token, mode)?;
        self.kept.push(Kept { own, token, signal, target });
        Ok(())
    }
}

impl Group {
    /// The mask for a waiter that sleeps without one of its own: a signal that is watched must not interrupt it, or it
    /// would be told of a handler that is none of the program's. `None` if there is none.
    pub(super) fn sleeping_mask(&self) -> Option<SignalSet> {
        let watched = self.signals.watched.load(Ordering::Relaxed);
        if watched == 0 {
            return None;
        }
        // What cannot be asked stays as it is.
        let mut mask = blocked().ok()?;
        for signal in (1..=64).filter(|&signal| watched & bit(signal) != 0) {
            mask.add(signal).ok()?;
        }
        Some(mask)
    }

    /// Registers a signal: in the core, where its events come out, and with the keeper.
    pub(super) fn register_signal(
        self: &Arc<Self>,
        signal: Signal,
        token: Token,
        mode: Mode,
        for_all: bool,
    ) -> Result<Key, RegisterError> {
        let mut keeper = lock(&self.signals.keeper);
        if keeper.is_none() {
            *keeper = Some(Keeper::start(Arc::downgrade(&self.signals))?);
        }
        let keeper = keeper.as_ref().expect("it was started");
        let key = {
            let mut core = self.lock();
            let key = core.queue.register_kept(token, mode)?;
            if for_all {
                core.queue.for_all(key);
            }
            key
        };
        let target = Target { group: Arc::downgrade(self), key };
        if let Err(error) = keeper.watch(signal, target, mode) {
            // Nobody else knows the key.
            let _ = self.lock().queue.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// After the removal of a signal: nobody watches for it any more.
    pub(super) fn leave_keeper(self: &Arc<Self>, key: Key) {
        if let Some(keeper) = &*lock(&self.signals.keeper) {
            keeper.leave(Target { group: Arc::downgrade(self), key });
        }
    }
}
