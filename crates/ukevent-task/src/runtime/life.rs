//! The life of a task: it is spawned, polled, cancelled or ends, and is joined or forgotten.
//!
//! Every step that lets code of the program run (polling, dropping a future, a result, the payload of a
//! panic or a waker, cloning a waker, waking) happens while no table is borrowed, so that this code may
//! spawn, cancel, join and wake in turn.

use super::dump::count;
use super::join::JoinHandle;
use super::tasks::{MAIN, State, TaskId, Tasks};
use super::wake::Polled;
use super::work::{Ending, Stage, Work, drop_quietly};
use super::{BUDGET, Core};
use std::any::Any;
use std::cell::RefMut;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What asking for a result came to.
pub(crate) enum Joined {
    Taken,
    Nothing,
    NotYet,
}

/// Says that a task is being polled, also to who sees it panic.
struct Polling<'a>(&'a Core);

impl<'a> Polling<'a> {
    #[inline]
    fn new(core: &'a Core, polled: Polled) -> Self {
        core.polled.set(polled);
        core.budget.set(BUDGET);
        core.awaits.set(None);
        Self(core)
    }
}

impl Drop for Polling<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.polled.set(Polled::NOTHING);
    }
}

impl Core {
    pub(crate) fn spawn<F>(
        self: &Rc<Self>,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        count(&self.tally.spawned);
        let serial = self.tally.spawned.get();
        #[cfg(feature = "tracing")]
        let future = super::span::within(future, serial, spawned_at);
        let work: Pin<Box<dyn Work>> = Box::pin(Stage::Runs { future });
        let id = self.tasks.borrow_mut().insert(work, serial, spawned_at, &self.remote);
        if self.ending.get() {
            self.cancel(id);
        } else {
            self.schedule(id.index);
        }
        JoinHandle::new(Rc::clone(self), id)
    }

    pub(super) fn poll_main<F: Future>(&self, main: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
        let mut tasks = self.tasks.borrow_mut();
        let place = &mut tasks.places[MAIN as usize];
        place.polls += 1;
        let spawned_at = place.spawned_at;
        drop(tasks);
        self.watch.polls(spawned_at);
        let polling = Polling::new(self, Polled::new(MAIN, waker));
        let polled = main.poll(&mut Context::from_waker(waker));
        drop(polling);
        self.tasks.borrow_mut().places[MAIN as usize].awaits = self.awaits.get();
        polled
    }

    /// Polls the task in this place, if there is one.
    pub(super) fn poll(&self, index: u32) {
        let mut tasks = self.tasks.borrow_mut();
        let place = &mut tasks.places[index as usize];
        let State::Alive = place.state else { return };
        let (Some(mut work), Some(waker)) = (place.work.take(), place.waker.take()) else { return };
        place.state = State::Polled;
        place.polls += 1;
        let spawned_at = place.spawned_at;
        drop(tasks);
        self.watch.polls(spawned_at);
        let polling = Polling::new(self, Polled::new(index, &waker));
        let polled = work.as_mut().poll(&mut Context::from_waker(&waker));
        drop(polling);
        let mut tasks = self.tasks.borrow_mut();
        let place = &mut tasks.places[index as usize];
        place.waker = Some(waker);
        match polled {
            Poll::Pending if place.state == State::Polled => {
                place.state = State::Alive;
                place.work = Some(work);
                place.awaits = self.awaits.get();
            }
            Poll::Pending => {
                drop(tasks);
                drop_quietly(work);
                count(&self.tally.cancelled);
                self.ended(self.tasks.borrow_mut(), index, State::Cancelled, None);
            }
            Poll::Ready(ending) => {
                count(match ending {
                    Ending::Returned => &self.tally.ended,
                    Ending::Panicked => &self.tally.panicked,
                });
                self.ended(tasks, index, State::Ended, Some(work));
            }
        }
    }

    /// A task has ended: its handle is told, or its place given up.
    #[inline]
    fn ended(
        &self,
        mut tasks: RefMut<'_, Tasks>,
        index: u32,
        state: State,
        work: Option<Pin<Box<dyn Work>>>,
    ) {
        let place = &mut tasks.places[index as usize];
        place.state = state;
        place.work = work;
        if place.has_handle {
            let joiner = std::mem::take(&mut place.joiner);
            drop(tasks);
            self.wake(joiner);
        } else {
            let work = tasks.remove(index);
            drop(tasks);
            drop_quietly(work);
        }
    }

    /// Ends a task without a result, if it has not ended.
    pub(crate) fn cancel(&self, id: TaskId) {
        let mut tasks = self.tasks.borrow_mut();
        let Some(place) = tasks.find(id) else { return };
        match place.state {
            State::Alive => {
                place.state = State::Doomed;
                let work = place.work.take();
                drop(tasks);
                drop_quietly(work);
                count(&self.tally.cancelled);
                self.ended(self.tasks.borrow_mut(), id.index, State::Cancelled, None);
            }
            // It cannot be dropped while it runs.
            State::Polled => place.state = State::Doomed,
            State::Free | State::Doomed | State::Ended | State::Cancelled => {}
        }
    }

    /// Drops all tasks.
    pub(super) fn end(&self) {
        self.ending.set(true);
        let mut index = 1;
        loop {
            let mut tasks = self.tasks.borrow_mut();
            let Some(place) = tasks.places.get(index as usize) else { break };
            let id = TaskId { index, generation: place.generation };
            let ended = matches!(place.state, State::Ended);
            if ended && let Some(place) = tasks.find(id) {
                // Its handle keeps the runtime, and this would keep what is in it.
                let work = place.work.take();
                place.state = State::Cancelled;
                drop(tasks);
                drop_quietly(work);
            } else {
                drop(tasks);
                self.cancel(id);
            }
            index += 1;
        }
    }

    /// Takes the result of a task that has ended; or if there will be one, lets who polls with this
    /// context be told of the end.
    pub(crate) fn join(&self, id: TaskId, into: &mut dyn Any, cx: &Context<'_>) -> Joined {
        let joined = self.take_result(id, into);
        if let Joined::NotYet = joined {
            // Cloning a foreign waker, and dropping one, runs code of the program.
            let waiter = self.waiter(cx);
            let before = match self.tasks.borrow_mut().find(id) {
                Some(place) => std::mem::replace(&mut place.joiner, waiter),
                None => waiter,
            };
            drop(before);
        }
        joined
    }

    /// Takes the result of a task that has ended.
    #[inline]
    pub(crate) fn take_result(&self, id: TaskId, into: &mut dyn Any) -> Joined {
        let mut tasks = self.tasks.borrow_mut();
        let Some(place) = tasks.find(id) else { return Joined::Nothing };
        match place.state {
            State::Ended => {
                let work = tasks.remove(id.index);
                drop(tasks);
                if let Some(mut work) = work {
                    // Nothing of the program's is in it then.
                    work.as_mut().take(into);
                }
                Joined::Taken
            }
            State::Cancelled => {
                let nothing = tasks.remove(id.index);
                debug_assert!(nothing.is_none(), "it was dropped when it was cancelled");
                Joined::Nothing
            }
            _ => Joined::NotYet,
        }
    }

    /// Whether a task has ended, with a result or without.
    pub(crate) fn has_ended(&self, id: TaskId) -> bool {
        let mut tasks = self.tasks.borrow_mut();
        tasks.find(id).is_none_or(|place| matches!(place.state, State::Ended | State::Cancelled))
    }

    /// Nobody has its handle any more.
    pub(crate) fn detach(&self, id: TaskId) {
        let mut tasks = self.tasks.borrow_mut();
        let Some(place) = tasks.find(id) else { return };
        place.has_handle = false;
        let joiner = std::mem::take(&mut place.joiner);
        let work = match place.state {
            State::Ended | State::Cancelled => tasks.remove(id.index),
            _ => None,
        };
        drop(tasks);
        drop(joiner);
        drop_quietly(work);
    }
}
