//! The request to end, which tasks of any thread can await.

use crate::primitive::{Arc, Mutex, MutexGuard};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

/// A request to end: made once, by anybody, and seen by all who have a clone of it, in whatever thread.
///
/// It ends nothing by itself: what is to end awaits [`Stop::stopped`], beside what it does.
///
/// ```
/// use ukevent_task::{block_on, cores::Stop, spawn};
///
/// let stop = Stop::new();
/// let thread = std::thread::spawn({
///     let stop = stop.clone();
///     move || block_on(async move { stop.stopped().await })
/// });
/// stop.stop();
/// thread.join().expect("it does not panic")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    stopped: bool,
    next: u64,
    /// By ticket, in order.
    waiting: Vec<(u64, Waker)>,
}

impl Stop {
    /// One that was not asked for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the end. From any thread; a second time it does nothing.
    pub fn stop(&self) {
        let waiting = {
            let mut state = self.lock();
            state.stopped = true;
            std::mem::take(&mut state.waiting)
        };
        for (_, waker) in waiting {
            waker.wake();
        }
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Lets a future go on until the end is asked for: its output, or `None` when it was dropped for that. What
    /// is ready goes first.
    pub fn guard<F: Future>(&self, future: F) -> Guarded<F> {
        Guarded { future, stopped: self.stopped() }
    }

    /// Waits until the end is asked for; ready at once if it was.
    pub fn stopped(&self) -> Stopped {
        Stopped { stop: self.clone(), ticket: None }
    }
}

/// Made by [`Stop::stopped`].
#[must_use = "nothing waits before it is awaited"]
pub struct Stopped {
    stop: Stop,
    ticket: Option<u64>,
}

impl Future for Stopped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stop.is_stopped() {
            return Poll::Ready(());
        }
        // Foreign code is cloned and dropped while nothing is locked.
        let mut waker = cx.waker().clone();
        let this = &mut *self;
        let mut state = this.stop.lock();
        if state.stopped {
            drop(state);
            return Poll::Ready(());
        }
        let place = this.ticket.and_then(|ticket| state.place(ticket));
        match place.and_then(|place| state.waiting.get_mut(place)) {
            Some((_, before)) => std::mem::swap(before, &mut waker),
            None => {
                let ticket = state.next;
                state.next += 1;
                state.waiting.push((ticket, waker));
                this.ticket = Some(ticket);
                return Poll::Pending;
            }
        }
        drop(state);
        drop(waker);
        Poll::Pending
    }
}

pin_project! {
    /// Made by [`Stop::guard`].
    #[derive(Debug)]
    #[must_use = "nothing is done before it is awaited"]
    pub struct Guarded<F> {
        #[pin]
        future: F,
        stopped: Stopped,
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Some(output));
        }
        Pin::new(this.stopped).poll(cx).map(|()| None)
    }
}

impl State {
    fn place(&self, ticket: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |(other, _)| *other).ok()
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut state = self.stop.lock();
        let waker = state.place(ticket).map(|place| state.waiting.remove(place));
        drop(state);
        drop(waker);
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("is_stopped", &self.is_stopped()).finish()
    }
}

impl fmt::Debug for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopped").field("stop", &self.stop).finish_non_exhaustive()
    }
}
