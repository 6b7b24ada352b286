//! Waking a task: from its own thread for next to nothing, from others by way of the queue.
//!
//! Each place in the table of tasks has one waker, made when the table grew and kept for all tasks that
//! ever live there: so spawning allocates none. A waker that outlives its task wakes the next one in its
//! place, which is polled once in vain; every future must bear that.

use super::current;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use ukevent_queue::Waker as QueueWaker;

/// Numbers of runtimes.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Where other threads leave what they woke.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) id: u64,
    woken: Mutex<Vec<u32>>,
    any: AtomicBool,
    queue: QueueWaker,
}

impl Remote {
    pub(crate) fn new(queue: QueueWaker) -> Arc<Self> {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { id, woken: Mutex::default(), any: AtomicBool::new(false), queue })
    }

    fn push(&self, index: u32) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(index);
        if !self.any.swap(true, Ordering::AcqRel) {
            self.queue.wake();
        }
    }

    /// Moves the indexes of what was woken into `woken`, which is empty.
    #[inline]
    pub(crate) fn take(&self, woken: &mut Vec<u32>) {
        if self.any.load(Ordering::Relaxed) && self.any.swap(false, Ordering::AcqRel) {
            std::mem::swap(&mut *self.woken.lock().unwrap_or_else(PoisonError::into_inner), woken);
        }
    }
}

/// The waker of a place.
#[derive(Debug)]
pub(crate) struct PlaceWaker {
    index: u32,
    /// Whether it is on the list of [`Remote`].
    pub(crate) left: AtomicBool,
    remote: Arc<Remote>,
}

impl PlaceWaker {
    pub(crate) fn new(index: u32, remote: &Arc<Remote>) -> Arc<Self> {
        Arc::new(Self { index, left: AtomicBool::new(false), remote: Arc::clone(remote) })
    }
}

impl Wake for PlaceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let is_ours = current::with(|core| {
            let is_ours = core.remote.id == self.remote.id;
            if is_ours {
                core.schedule(self.index);
            }
            is_ours
        });
        if is_ours != Some(true) && !self.left.swap(true, Ordering::AcqRel) {
            self.remote.push(self.index);
        }
    }
}

/// Who is to be told. A task of the same runtime is named by its place, which costs no atomic step.
#[derive(Clone, Debug, Default)]
pub(crate) enum Waiter {
    #[default]
    Nobody,
    Task(u32),
    Other(Waker),
}

/// Which waker a task is being polled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Polled {
    pub(crate) index: u32,
    data: *const (),
    vtable: *const std::task::RawWakerVTable,
}

impl Polled {
    pub(crate) const NOTHING: Self =
        Self { index: u32::MAX, data: std::ptr::null(), vtable: std::ptr::null() };

    pub(crate) fn new(index: u32, waker: &Waker) -> Self {
        Self { index, data: waker.data(), vtable: std::ptr::from_ref(waker.vtable()) }
    }

    pub(crate) const fn is_something(&self) -> bool {
        self.index != Self::NOTHING.index
    }

    /// Who is to be told, for a future that is polled with this context.
    #[inline]
    pub(crate) fn waiter(&self, cx: &Context<'_>) -> Waiter {
        let waker = cx.waker();
        if waker.data() == self.data && std::ptr::eq(waker.vtable(), self.vtable) {
            Waiter::Task(self.index)
        } else {
            Waiter::Other(waker.clone())
        }
    }
}
