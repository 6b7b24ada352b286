//! The table of tasks: places that are found by index and checked by generation.

use super::wake::{PlaceWaker, Remote, Waiter};
use super::work::Work;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

/// The place of what `block_on` was given.
pub(crate) const MAIN: u32 = 0;

/// A task, as its handle names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl TaskId {
    /// Of no task: of one that was joined.
    pub(crate) const NONE: Self = Self { index: u32::MAX, generation: 0 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    /// It waits, or it is in line to be polled.
    Alive,
    /// It is being polled.
    Polled,
    /// It is being polled, and will not be again.
    Doomed,
    /// Its result waits for its handle.
    Ended,
    /// It has none, and its handle does not know yet.
    Cancelled,
}

/// The place of a task.
pub(crate) struct Place {
    pub(crate) generation: u32,
    pub(crate) state: State,
    /// Somebody has a handle.
    pub(crate) has_handle: bool,
    /// Away while it is polled.
    pub(crate) work: Option<Pin<Box<dyn Work>>>,
    /// Away while it is polled.
    pub(crate) waker: Option<Waker>,
    pub(crate) place: Arc<PlaceWaker>,
    /// Who waits for the end.
    pub(crate) joiner: Waiter,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) polls: u64,
    /// Its number among all of the runtime.
    pub(crate) serial: u64,
    /// What it waits for, where no table tells.
    pub(crate) awaits: Option<&'static str>,
}

/// All tasks of a runtime.
pub(crate) struct Tasks {
    pub(crate) places: Vec<Place>,
    free: Vec<u32>,
}

impl Tasks {
    /// A table with the place for what `block_on` is given.
    #[track_caller]
    pub(crate) fn new(remote: &Arc<Remote>) -> Self {
        let mut tasks = Self { places: Vec::new(), free: Vec::new() };
        let main = tasks.grow(remote, Location::caller());
        debug_assert_eq!(main, MAIN);
        tasks
    }

    fn grow(&mut self, remote: &Arc<Remote>, spawned_at: &'static Location<'static>) -> u32 {
        let index = self.places.len() as u32;
        let place = PlaceWaker::new(index, remote);
        self.places.push(Place {
            generation: 0,
            state: State::Free,
            has_handle: false,
            work: None,
            waker: Some(Waker::from(Arc::clone(&place))),
            place,
            joiner: Waiter::Nobody,
            spawned_at,
            polls: 0,
            serial: 0,
            awaits: None,
        });
        index
    }

    /// What wakes what `block_on` was given.
    pub(crate) fn waker_of_main(&self) -> Waker {
        Waker::from(Arc::clone(&self.places[MAIN as usize].place))
    }

    /// Gives a task a place.
    pub(crate) fn insert(
        &mut self,
        work: Pin<Box<dyn Work>>,
        serial: u64,
        spawned_at: &'static Location<'static>,
        remote: &Arc<Remote>,
    ) -> TaskId {
        let index = self.free.pop().unwrap_or_else(|| self.grow(remote, spawned_at));
        let place = &mut self.places[index as usize];
        place.state = State::Alive;
        place.has_handle = true;
        place.work = Some(work);
        place.spawned_at = spawned_at;
        place.polls = 0;
        place.serial = serial;
        place.awaits = None;
        TaskId { index, generation: place.generation }
    }

    /// The place of a task, unless it was given up.
    #[inline]
    pub(crate) fn find(&mut self, task: TaskId) -> Option<&mut Place> {
        self.places.get_mut(task.index as usize).filter(|it| it.generation == task.generation)
    }

    /// Gives a place up. What was in it is to be dropped when the table is no longer borrowed.
    #[must_use]
    pub(crate) fn remove(&mut self, index: u32) -> Option<Pin<Box<dyn Work>>> {
        let place = &mut self.places[index as usize];
        place.generation = place.generation.wrapping_add(1);
        place.state = State::Free;
        place.joiner = Waiter::Nobody;
        self.free.push(index);
        place.work.take()
    }
}
