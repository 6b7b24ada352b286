//! What a runtime is doing: its tasks, and what was counted.
//!
//! Made when it is asked for: between times a task costs only what it needs to be polled, and its own
//! counter. What a task waits for is looked up where those that wait are known: in the inboxes, in the table
//! of tasks, and in what a channel said last. What waits for something foreign, such as a channel of another
//! library, cannot be told apart from what waits for nothing.

use super::inboxes::Inboxes;
use super::tasks::{MAIN, Place, State, Tasks};
use super::{Core, Waiter};
use std::cell::Cell;
use std::fmt;
use std::panic::Location;

/// The tasks of a runtime that are alive, and its counters. Made by [`dump`](crate::dump) and
/// [`Runtime::dump`](crate::Runtime::dump); its `Display` is a table for people.
///
/// ```
/// use ukevent_task::{TaskState, block_on, dump, look, spawn};
///
/// let dump = block_on(async {
///     let waits = spawn(std::future::pending::<()>());
///     look().await;
///     let dump = dump();
///     waits.cancel();
///     dump
/// })?;
/// assert_eq!(dump.tasks.len(), 2, "this one, and what it spawned");
/// assert_eq!(dump.tasks[0].state, TaskState::Polled);
/// assert!(matches!(dump.tasks[1].state, TaskState::Waits(_)));
/// assert_eq!(dump.counters.spawned, 1);
/// println!("{dump}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// What `block_on` was given first, then the others, the oldest first.
    pub tasks: Vec<TaskInfo>,
    /// What was counted since the runtime was made.
    pub counters: Counters,
}

/// A task that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The tasks of a runtime are numbered from 1 as they are spawned; what `block_on` was given is 0.
    pub id: u64,
    /// Where it was spawned; of the first, where `block_on` was called.
    pub spawned_at: &'static Location<'static>,
    /// What it does.
    pub state: TaskState,
    /// How often it was polled.
    pub polls: u64,
}

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It will be polled in its turn.
    InLine,
    /// It is the one that is being polled.
    Polled,
    /// It waits for all or any of these: "input", "the time", "another task", "a channel". For something
    /// that is not of this crate, if there are none.
    Waits(Vec<&'static str>),
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InLine => f.pad("in line"),
            Self::Polled => f.pad("is polled"),
            Self::Waits(what) if what.is_empty() => f.pad("waits for something foreign"),
            Self::Waits(what) => f.pad(&format!("waits for {}", what.join(", "))),
        }
    }
}

/// What happened in a runtime since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Tasks that were spawned.
    pub spawned: u64,
    /// Tasks that ended with a result.
    pub ended: u64,
    /// Tasks that panicked.
    pub panicked: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Polls of all tasks.
    pub polls: u64,
    /// Tasks that were woken from other threads.
    pub remote_wakes: u64,
    /// Turns of the loop: after each the line was empty, or a batch of polls was over.
    pub turns: u64,
    /// Of the queue.
    pub queue: ukevent_queue::Counters,
}

/// The counters while they count.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) spawned: Cell<u64>,
    pub(super) ended: Cell<u64>,
    pub(super) panicked: Cell<u64>,
    pub(super) cancelled: Cell<u64>,
    pub(super) polls: Cell<u64>,
    pub(super) remote_wakes: Cell<u64>,
    pub(super) turns: Cell<u64>,
}

/// One more.
#[inline]
pub(super) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Core {
    /// What is going on. Allocates; takes the longer the more tasks and sources there are.
    pub(super) fn dump(&self) -> Dump {
        let tasks = self.tasks.borrow();
        let inboxes = self.inboxes.borrow();
        let mut alive: Vec<TaskInfo> = (0_u32..)
            .zip(&tasks.places)
            .filter(|(index, place)| self.is_alive(*index, place))
            .map(|(index, place)| TaskInfo {
                id: place.serial,
                spawned_at: place.spawned_at,
                state: self.state_of(index, place, &tasks, &inboxes),
                polls: place.polls,
            })
            .collect();
        alive.sort_by_key(|task| task.id);
        Dump { tasks: alive, counters: self.counters() }
    }

    fn is_alive(&self, index: u32, place: &Place) -> bool {
        if index == MAIN {
            return self.is_running.get();
        }
        matches!(place.state, State::Alive | State::Polled | State::Doomed)
    }

    fn state_of(&self, index: u32, place: &Place, tasks: &Tasks, inboxes: &Inboxes) -> TaskState {
        if self.polled.get().index == index {
            return TaskState::Polled;
        }
        if self.line.borrow().contains(index) {
            return TaskState::InLine;
        }
        let mut what: Vec<_> = inboxes.awaited_by(index).collect();
        let joins = |place: &Place| matches!(place.joiner, Waiter::Task(joiner) if joiner == index);
        if tasks.places.iter().any(joins) {
            what.push("another task");
        }
        what.extend(place.awaits);
        what.sort_unstable();
        what.dedup();
        TaskState::Waits(what)
    }

    fn counters(&self) -> Counters {
        let tally = &self.tally;
        Counters {
            spawned: tally.spawned.get(),
            ended: tally.ended.get(),
            panicked: tally.panicked.get(),
            cancelled: tally.cancelled.get(),
            polls: tally.polls.get(),
            remote_wakes: tally.remote_wakes.get(),
            turns: tally.turns.get(),
            queue: self.queue.borrow().counters(),
        }
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states: Vec<String> = self.tasks.iter().map(|task| task.state.to_string()).collect();
        let width = states.iter().map(String::len).max().unwrap_or(0).max("state".len());
        writeln!(f, "{:>8} {:>10}  {:width$}  spawned at", "task", "polls", "state")?;
        for (task, state) in self.tasks.iter().zip(&states) {
            writeln!(f, "{:>8} {:>10}  {state:width$}  {}", task.id, task.polls, task.spawned_at)?;
        }
        self.counters.fmt(f)
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spawned, ended, panicked, cancelled, polls, remote_wakes, turns, queue } = self;
        writeln!(
            f,
            "tasks: {spawned} spawned, {ended} ended, {panicked} panicked, {cancelled} cancelled"
        )?;
        writeln!(f, "loop: {turns} turns, {polls} polls, {remote_wakes} wakes from other threads")?;
        write!(
            f,
            "queue: {} waits, {} events, {} system calls, {} registered",
            queue.waits, queue.events, queue.system_calls, queue.registered
        )
    }
}
