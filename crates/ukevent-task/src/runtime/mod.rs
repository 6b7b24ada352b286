//! The runtime: tasks that run, a queue that says when, on one thread.
//!
//! It does in turn: poll those tasks that were woken, at most [`BATCH`] of them; look at the queue, and
//! sleep in it if no task is to be polled; put what came into inboxes and wake who waits for it. A task is
//! woken by its place in a list, so nothing is allocated and no other thread is asked for it.
//!
//! Invariants. No table is borrowed while code of the program runs: a future is taken out of its place to
//! be polled, and what is to be dropped is carried out first. A place that was woken is polled once, by
//! however many it was woken.

pub(crate) mod current;
pub(crate) mod inboxes;
mod join;
mod tasks;
mod wake;
mod work;

pub use join::JoinHandle;
pub(crate) use tasks::TaskId;
pub(crate) use wake::Waiter;
pub use work::JoinError;

use crate::error::RunError;
use current::Entered;
use inboxes::{Bound, Contents, Delivered, InboxId, Inboxes};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tasks::{MAIN, State, Tasks};
use ukevent_buf::{Arena, ArenaError, FramePool, HugePages};
use ukevent_queue::{BuildError, Builder, Clock, Event, Key, Kind, Queue, Wait, WaitError};
use wake::{Polled, Remote};
use work::{Stage, Work};

/// Polls between two looks at the queue.
const BATCH: usize = 64;
/// What one poll of a task may take that was there already; then the others have their turn.
const BUDGET: u32 = 128;
/// Frames to receive into, and the bytes of each.
const FRAMES: u32 = 256;
const FRAME_BYTES: usize = 4096;

/// Runs tasks on one thread, on one queue.
///
/// Dropping it drops all tasks, and then the queue, unless something that uses it (a socket, a timer) was
/// carried out of the runtime: then that keeps it.
///
/// ```
/// use ukevent_task::{Runtime, spawn};
///
/// let mut runtime = Runtime::new()?;
/// let sum = runtime.block_on(async {
///     let one = spawn(async { 1 });
///     let two = spawn(async { 2 });
///     one.await.unwrap() + two.await.unwrap()
/// })?;
/// assert_eq!(sum, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Runtime {
    core: Rc<Core>,
}

/// Runs a future to its end on a new [`Runtime`].
///
/// # Errors
/// [`RunError`], if there can be no queue, or it cannot be waited for.
///
/// # Panics
/// Inside of another runtime; and as the future does.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, RunError> {
    Runtime::new()?.block_on(future)
}

/// Runs a future beside the others, on the runtime that runs the caller. It is first polled when its turn
/// comes, not here. One allocation.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    current::expect("spawn").spawn(future, Location::caller())
}

impl Runtime {
    /// On a queue with the defaults of [`Builder`].
    ///
    /// # Errors
    /// As [`Builder::build`].
    #[track_caller]
    pub fn new() -> Result<Self, BuildError> {
        Ok(Self::with(Builder::new().build()?))
    }

    /// On this queue, in which nothing is registered.
    #[must_use]
    #[track_caller]
    pub fn with(queue: Queue) -> Self {
        Self { core: Rc::new(Core::new(queue)) }
    }

    /// Runs a future to its end, and the tasks beside it. What those have not done by then they do when it
    /// is called again.
    ///
    /// # Errors
    /// [`RunError::Wait`], if the queue cannot be waited for.
    ///
    /// # Panics
    /// Inside of another runtime; and as the future does.
    #[track_caller]
    pub fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, RunError> {
        assert!(
            current::with(|_| ()).is_none(),
            "block_on inside of a runtime would stop all its tasks: await the future instead"
        );
        let _entered = Entered::new(&self.core);
        self.core.run(pin!(future)).map_err(RunError::Wait)
    }

    /// Runs a future beside the one that [`Runtime::block_on`] is given.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.core.spawn(future, Location::caller())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _entered = Entered::new(&self.core);
        self.core.end();
    }
}

/// All of a runtime. What its tasks use has a share of it.
pub(crate) struct Core {
    queue: RefCell<Queue>,
    tasks: RefCell<Tasks>,
    line: RefCell<Line>,
    inboxes: RefCell<Inboxes>,
    /// Tasks that want everything to be known that has happened by now.
    lookers: RefCell<Vec<Waiter>>,
    /// How many looks at the queue left nothing unread.
    looks: Cell<u64>,
    pub(crate) remote: Arc<Remote>,
    polled: Cell<Polled>,
    budget: Cell<u32>,
    /// The monotonic time, if it was asked for since the last look at the queue.
    now_ns: Cell<u64>,
    ending: Cell<bool>,
    frames: OnceCell<Arc<FramePool>>,
    /// Kept for its memory.
    woken: RefCell<Vec<u32>>,
}

/// The places of tasks to be polled, each once.
#[derive(Default)]
struct Line {
    indices: VecDeque<u32>,
    is_in: Vec<bool>,
}

impl Core {
    #[track_caller]
    fn new(queue: Queue) -> Self {
        let remote = Remote::new(queue.waker());
        Self {
            queue: RefCell::new(queue),
            tasks: RefCell::new(Tasks::new(&remote)),
            line: RefCell::default(),
            inboxes: RefCell::default(),
            lookers: RefCell::default(),
            looks: Cell::new(0),
            remote,
            polled: Cell::new(Polled::NOTHING),
            budget: Cell::new(BUDGET),
            now_ns: Cell::new(0),
            ending: Cell::new(false),
            frames: OnceCell::new(),
            woken: RefCell::default(),
        }
    }

    /// Lends the queue. Not to be asked for anything that runs code of the program.
    #[inline]
    pub(crate) fn queue<T>(&self, what: impl FnOnce(&mut Queue) -> T) -> T {
        what(&mut self.queue.borrow_mut())
    }

    /// What is received into, made when it is first asked for.
    pub(crate) fn frames(&self) -> Result<&Arc<FramePool>, ArenaError> {
        if let Some(frames) = self.frames.get() {
            return Ok(frames);
        }
        let waker = self.queue.borrow().room_waker();
        let pool = FramePool::builder(FRAMES, FRAME_BYTES).waker(waker);
        // What is never used takes no memory.
        let arena = Arena::builder(pool.arena_bytes()).huge_pages(HugePages::Never).build()?;
        let pool = Arc::new(pool.build(&arena).expect("the arena is as large as the pool asked"));
        Ok(self.frames.get_or_init(|| pool))
    }

    /// The monotonic time, in nanoseconds, read once between two looks at the queue.
    pub(crate) fn now_ns(&self) -> u64 {
        if self.now_ns.get() == 0 {
            let now = self.queue.borrow().time(Clock::Monotonic);
            self.now_ns.set(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        }
        self.now_ns.get()
    }

    pub(crate) fn spawn<F>(
        self: &Rc<Self>,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let work: Pin<Box<dyn Work>> = Box::pin(Stage::Runs { future });
        let id = self.tasks.borrow_mut().insert(work, spawned_at, &self.remote);
        if self.ending.get() {
            self.cancel(id);
        } else {
            self.schedule(id.index);
        }
        JoinHandle::new(Rc::clone(self), id)
    }

    /// Lets the task in this place be polled.
    #[inline]
    pub(crate) fn schedule(&self, index: u32) {
        let mut line = self.line.borrow_mut();
        let at = index as usize;
        if at >= line.is_in.len() {
            line.is_in.resize(at + 1, false);
        }
        if !std::mem::replace(&mut line.is_in[at], true) {
            line.indices.push_back(index);
        }
    }

    /// Tells somebody.
    #[inline]
    pub(crate) fn wake(&self, waiter: Waiter) {
        match waiter {
            Waiter::Nobody => {}
            Waiter::Task(index) => self.schedule(index),
            Waiter::Other(waker) => waker.wake(),
        }
    }

    /// Who is to be told, for a future that is polled with this context.
    #[inline]
    pub(crate) fn waiter(&self, cx: &Context<'_>) -> Waiter {
        self.polled.get().waiter(cx)
    }

    /// Whether the task may take what is there, or has had its share of this turn; then it is woken.
    #[inline]
    pub(crate) fn may_go_on(&self, cx: &Context<'_>) -> bool {
        let left = self.budget.get();
        if left == 0 {
            cx.waker().wake_by_ref();
            return false;
        }
        self.budget.set(left - 1);
        true
    }

    pub(crate) fn open(&self, bound: Bound, what: &'static str) -> InboxId {
        self.inboxes.borrow_mut().open(bound, what)
    }

    pub(crate) fn close(&self, inbox: InboxId) {
        let contents: Option<Contents> = self.inboxes.borrow_mut().close(inbox);
        drop(contents);
    }

    /// Takes the oldest event of an inbox, or lets the task be woken by the next one.
    #[inline]
    pub(crate) fn take(&self, inbox: InboxId, cx: &Context<'_>) -> Option<Kind> {
        self.take_with_key(inbox, cx).map(|(_, kind)| kind)
    }

    /// The same, and which registration or operation it is of.
    #[inline]
    pub(crate) fn take_with_key(&self, inbox: InboxId, cx: &Context<'_>) -> Option<(Key, Kind)> {
        self.inboxes.borrow_mut().take_or_wait(inbox, || self.waiter(cx))
    }

    /// Says of a continuous operation that it is started anew.
    pub(crate) fn resumed(&self, inbox: InboxId) {
        self.inboxes.borrow_mut().resumed(inbox);
    }

    /// How many looks at the queue were complete.
    pub(crate) const fn looks(&self) -> u64 {
        self.looks.get()
    }

    /// Lets `waiter` be told of the next one.
    pub(crate) fn look(&self, waiter: Waiter) {
        self.lookers.borrow_mut().push(waiter);
    }

    /// Ends a registration; what it owned is closed.
    pub(crate) fn remove(&self, key: Key) {
        // It may have ended by itself.
        let removed = self.queue.borrow_mut().remove(key);
        drop(removed);
    }

    /// The loop.
    fn run<F: Future>(&self, mut main: Pin<&mut F>) -> Result<F::Output, WaitError> {
        self.schedule(MAIN);
        loop {
            for _ in 0..BATCH {
                let Some(index) = self.next() else { break };
                if index == MAIN {
                    if let Poll::Ready(output) = self.poll_main(main.as_mut()) {
                        return Ok(output);
                    }
                } else {
                    self.poll(index);
                }
            }
            self.take_woken();
            self.turn()?;
        }
    }

    #[inline]
    fn next(&self) -> Option<u32> {
        let mut line = self.line.borrow_mut();
        let index = line.indices.pop_front()?;
        line.is_in[index as usize] = false;
        Some(index)
    }

    fn poll_main<F: Future>(&self, main: Pin<&mut F>) -> Poll<F::Output> {
        let waker = self.tasks.borrow().places[MAIN as usize].waker.clone();
        let Some(waker) = waker else { return Poll::Pending };
        self.polled.set(Polled::new(MAIN, &waker));
        self.budget.set(BUDGET);
        let polled = main.poll(&mut Context::from_waker(&waker));
        self.polled.set(Polled::NOTHING);
        polled
    }

    /// Polls the task in this place, if there is one.
    fn poll(&self, index: u32) {
        let mut tasks = self.tasks.borrow_mut();
        let place = &mut tasks.places[index as usize];
        let State::Alive = place.state else { return };
        let (Some(mut work), Some(waker)) = (place.work.take(), place.waker.take()) else { return };
        place.state = State::Polled;
        place.polls += 1;
        drop(tasks);
        self.polled.set(Polled::new(index, &waker));
        self.budget.set(BUDGET);
        let polled = work.as_mut().poll(&mut Context::from_waker(&waker));
        self.polled.set(Polled::NOTHING);
        let mut tasks = self.tasks.borrow_mut();
        let place = &mut tasks.places[index as usize];
        place.waker = Some(waker);
        match polled {
            Poll::Pending if place.state == State::Polled => {
                place.state = State::Alive;
                place.work = Some(work);
            }
            Poll::Pending => {
                drop(tasks);
                drop_quietly(work);
                self.ended(index, State::Cancelled, None);
            }
            Poll::Ready(()) => {
                drop(tasks);
                self.ended(index, State::Ended, Some(work));
            }
        }
    }

    /// A task has ended: its handle is told, or its place given up.
    fn ended(&self, index: u32, state: State, work: Option<Pin<Box<dyn Work>>>) {
        let mut tasks = self.tasks.borrow_mut();
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
            work.map(drop_quietly);
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
                work.map(drop_quietly);
                self.ended(id.index, State::Cancelled, None);
            }
            // It cannot be dropped while it runs.
            State::Polled => place.state = State::Doomed,
            State::Free | State::Doomed | State::Ended | State::Cancelled => {}
        }
    }

    /// Takes what other threads woke.
    #[inline]
    fn take_woken(&self) {
        let mut woken = self.woken.borrow_mut();
        self.remote.take(&mut woken);
        if woken.is_empty() {
            return;
        }
        let tasks = self.tasks.borrow();
        for index in woken.drain(..) {
            let place = &tasks.places[index as usize];
            place.place.left.swap(false, std::sync::atomic::Ordering::AcqRel);
            self.schedule(index);
        }
    }

    /// Looks at the queue, and sleeps in it if nothing is to be done.
    fn turn(&self) -> Result<(), WaitError> {
        let looked_for = !self.lookers.borrow().is_empty();
        let is_busy = looked_for || !self.line.borrow().indices.is_empty();
        if is_busy && !looked_for && self.inboxes.borrow().open_count() == 0 {
            return Ok(());
        }
        self.now_ns.set(0);
        let wait = if is_busy { Wait::now() } else { Wait::forever() };
        let waited = self.queue.borrow_mut().wait(wait);
        if !matches!(waited, Ok(_) | Err(WaitError::Interrupted)) {
            waited?;
        }
        loop {
            let event = self.queue.borrow_mut().next_event();
            let Some(event) = event else { break };
            self.deliver(event);
        }
        if waited.is_ok() && !self.queue.borrow().has_unread() {
            self.looked();
        }
        self.take_woken();
        Ok(())
    }

    /// All that had happened before this look is known.
    fn looked(&self) {
        self.looks.set(self.looks.get() + 1);
        while let Some(looker) = { self.lookers.borrow_mut().pop() } {
            self.wake(looker);
        }
    }

    #[inline]
    fn deliver(&self, event: Event) {
        let delivered = self.inboxes.borrow_mut().deliver(event.token, event.key, event.kind);
        match delivered {
            Ok(Delivered { wake, cancel }) => {
                if let Some(key) = cancel {
                    // It may have ended by itself.
                    let _ = self.queue.borrow_mut().cancel(key);
                }
                self.wake(wake);
            }
            Err(late) => drop(late),
        }
    }

    /// Drops all tasks.
    fn end(&self) {
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
                work.map(drop_quietly);
            } else {
                drop(tasks);
                self.cancel(id);
            }
            index += 1;
        }
    }

    /// Takes the result of a task, or lets `waiter` be told of it.
    pub(crate) fn join(
        &self,
        id: TaskId,
        into: &mut dyn std::any::Any,
        waiter: impl FnOnce() -> Waiter,
    ) -> Joined {
        let mut tasks = self.tasks.borrow_mut();
        let Some(place) = tasks.find(id) else { return Joined::Nothing };
        match place.state {
            State::Ended => {
                let work = tasks.remove(id.index);
                drop(tasks);
                if let Some(mut work) = work {
                    work.as_mut().take(into);
                    drop_quietly(work);
                }
                Joined::Taken
            }
            State::Cancelled => {
                let nothing = tasks.remove(id.index);
                debug_assert!(nothing.is_none(), "it was dropped when it was cancelled");
                Joined::Nothing
            }
            _ => {
                place.joiner = waiter();
                Joined::NotYet
            }
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
        work.map(drop_quietly);
    }
}

/// What asking for a result came to.
pub(crate) enum Joined {
    Taken,
    Nothing,
    NotYet,
}

/// Drops a task: its panics are nobody's.
fn drop_quietly(work: Pin<Box<dyn Work>>) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(work)));
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("id", &self.remote.id).finish_non_exhaustive()
    }
}
