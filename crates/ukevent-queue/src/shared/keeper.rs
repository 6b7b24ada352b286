//! The keeper: a thread that has the signals of a shared queue.
//!
//! A signal that is sent to one thread is that thread's, and a signalfd shows each thread its own only. Waiters come
//! and go, so none of them can be the one. The first signal that is registered starts a thread, which watches signals
//! with a queue of its own, in which all others are blocked, and hands on what comes. It ends with the shared queue.

use super::Inner;
use crate::builder::Builder;
use crate::error::RegisterError;
use crate::key::{Key, Token};
use crate::mode::Mode;
use crate::post::Waker;
use crate::primitive::{Ordering, lock};
use crate::queue::Queue;
use crate::source::{Signal, bit};
use crate::wait::Wait;
use crate::{BackendKind, BuildError};
use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use ukevent_sys::signal::{SignalSet, blocked, with_all_blocked};

/// What the keeper is told.
enum Order {
    /// Watches a signal for the registration of this key.
    Watch(Signal, Key, Mode, SyncSender<Result<(), RegisterError>>),
    /// Watches for that registration no longer.
    Leave(Key, SyncSender<()>),
    End,
}

/// The handle of the thread.
pub(super) struct Keeper {
    orders: Sender<Order>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread.
    pub(super) fn start(shared: Weak<Inner>) -> Result<Self, RegisterError> {
        let queue = Builder::new().backend(BackendKind::Epoll).build();
        let queue = queue.map_err(|error| match error {
            BuildError::Kernel(error) => RegisterError::Kernel(error),
            _ => RegisterError::Unsupported { what: "signals", needs: "epoll" },
        })?;
        let waker = queue.waker();
        let (orders, taken) = mpsc::channel();
        let watch = Watch { queue, shared, own: HashMap::new() };
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
    pub(super) fn watch(&self, signal: Signal, key: Key, mode: Mode) -> Result<(), RegisterError> {
        let watched = self.ask(|answer| Order::Watch(signal, key, mode, answer));
        watched.expect("the thread lives as long as its handle")
    }

    /// Watches for it no longer. When this returns, action and mask are what they were, if it was the last one.
    pub(super) fn leave(&self, key: Key) {
        // A thread that is gone watches nothing.
        let _: Option<()> = self.ask(|answer| Order::Leave(key, answer));
    }

    /// Ends the thread, and waits for it: not in the thread itself, and not in a child, which has no copy of it.
    pub(super) fn end(mut self, is_ours: bool) {
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
    shared: Weak<Inner>,
    /// The registrations in its own queue, by those of the shared one, and their signals.
    own: HashMap<Key, (Key, Signal)>,
}

impl Watch {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            // Nothing can interrupt it, and what fails for want of memory is tried again.
            let _ = self.queue.wait(Wait::forever());
            while let Some(event) = self.queue.next_event() {
                let key = Key::from_bits(event.token.0);
                let shared = self.shared.upgrade();
                let is_wanted = shared.is_some_and(|shared| shared.keep(key, event.kind));
                if !is_wanted || !self.queue.is_live(event.key) {
                    // Its registration is gone, or this was the only time.
                    self.leave(key);
                }
            }
            for order in orders.try_iter() {
                match order {
                    Order::Watch(signal, key, mode, answer) => {
                        let watched = self.watch(signal, key, mode);
                        self.show();
                        // Whoever asked waits for it.
                        let _ = answer.send(watched);
                    }
                    Order::Leave(key, answer) => {
                        self.leave(key);
                        self.show();
                        let _ = answer.send(());
                    }
                    Order::End => return,
                }
            }
            self.show();
        }
    }

    fn leave(&mut self, key: Key) {
        if let Some((own, _)) = self.own.remove(&key) {
            // One that was to be told once may be gone already.
            let _ = self.queue.remove(own);
        }
    }

    /// Shows waiters which signals are watched.
    fn show(&self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let watched = self.own.values().fold(0, |bits, (_, signal)| bits | bit(signal.number()));
        let before = shared.watched.swap(watched, Ordering::Relaxed);
        if before & !watched != 0 {
            // Those who sleep block it still.
            shared.lock().call_everyone();
        }
    }

    fn watch(&mut self, signal: Signal, key: Key, mode: Mode) -> Result<(), RegisterError> {
        // One that is told once is gone after it here too, so that the next signal does what it did before.
        let mode = if mode == Mode::OneShot { mode } else { Mode::Edge };
        let own = self.queue.register(signal, Token(key.to_bits()), mode)?;
        self.own.insert(key, (own, signal));
        Ok(())
    }
}

impl Inner {
    /// The mask for a waiter that sleeps without one of its own: a signal that is watched must not interrupt it, or it
    /// would be told of a handler that is none of the program's. `None` if there is none.
    pub(super) fn sleeping_mask(&self) -> Option<SignalSet> {
        let watched = self.watched.load(Ordering::Relaxed);
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
        let mut keeper = lock(&self.keeper);
        if keeper.is_none() {
            *keeper = Some(Keeper::start(Arc::downgrade(self))?);
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
        if let Err(error) = keeper.watch(signal, key, mode) {
            // Nobody else knows the key.
            let _ = self.lock().queue.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// After the removal of a signal: nobody watches for it any more.
    pub(super) fn leave_keeper(&self, key: Key) {
        if let Some(keeper) = &*lock(&self.keeper) {
            keeper.leave(key);
        }
    }
}
