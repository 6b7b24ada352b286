//! The runtime: tasks that run, a queue that says when, on one thread.
//!
//! It does in turn: poll those tasks that were woken, at most [`BATCH`] of them; look at the queue, and
//! sleep in it if no task is to be polled; put what came into inboxes and wake who waits for it. A task is
//! woken by its place in a list, so nothing is allocated and no other thread is asked for it.
//!
//! Invariants. No table is borrowed while code of the program runs: a future is taken out of its place to
//! be polled, and what is to be dropped is carried out first. A place that was woken is polled once, by
//! however many it was woken.

mod builder;
pub(crate) mod current;
mod dump;
pub(crate) mod inboxes;
mod join;
mod life;
mod line;
#[cfg(feature = "tracing")]
mod span;
mod stuck;
mod tasks;
mod wake;
mod work;

pub use builder::RuntimeBuilder;
pub use dump::{Counters, Dump, TaskInfo, TaskState};
pub use join::JoinHandle;
pub(crate) use life::Joined;
pub use stuck::Stuck;
pub(crate) use tasks::TaskId;
pub(crate) use wake::Waiter;
pub use work::{JoinError, Panic};
pub(crate) use work::{drop_quietly, words};

use crate::error::RunError;
use current::Entered;
use dump::{Tally, count};
use inboxes::{Bound, Contents, Delivered, InboxId, Inboxes};
use line::Line;
use std::cell::{Cell, OnceCell, RefCell};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use stuck::Watch;
use tasks::{MAIN, Tasks};
use ukevent_buf::{Arena, ArenaError, FramePool, HugePages};
use ukevent_queue::{BuildError, Clock, Event, Key, Kind, Queue, Wait, WaitError};
use wake::{Polled, Remote};

/// Polls between two looks at the queue.
const BATCH: usize = 64;
/// What one poll of a task may take that was there already; then the others have their turn.
const BUDGET: u32 = 128;
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

/// What the queue of the runtime that runs the caller has counted.
///
/// # Panics
/// Outside of a runtime.
#[must_use]
#[track_caller]
pub fn queue_counters() -> ukevent_queue::Counters {
    current::expect("queue_counters").look_into(Queue::counters)
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
    /// On a queue with the defaults of [`ukevent_queue::Builder`].
    ///
    /// # Errors
    /// As [`ukevent_queue::Builder::build`].
    #[track_caller]
    pub fn new() -> Result<Self, BuildError> {
        Self::builder().build()
    }

    /// On this queue, in which nothing is registered.
    #[must_use]
    #[track_caller]
    pub fn with(queue: Queue) -> Self {
        Self { core: Rc::new(Core::new(queue, &Self::builder())) }
    }

    /// With other settings than the defaults.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::new()
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
        let _running = Running::new(&self.core, Location::caller());
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

    /// Its tasks that are alive, and what was counted. Allocates; takes the longer the more tasks and
    /// sources there are.
    #[must_use]
    pub fn dump(&self) -> Dump {
        self.core.dump()
    }
}

/// [`Runtime::dump`] of the runtime that runs the caller.
///
/// # Panics
/// Outside of a runtime.
#[must_use]
#[track_caller]
pub fn dump() -> Dump {
    current::expect("dump").dump()
}

/// Says that there is something in the place of what `block_on` was given.
struct Running<'a>(&'a Core);

impl<'a> Running<'a> {
    fn new(core: &'a Core, called_at: &'static Location<'static>) -> Self {
        let mut tasks = core.tasks.borrow_mut();
        let place = &mut tasks.places[MAIN as usize];
        (place.spawned_at, place.polls, place.awaits) = (called_at, 0, None);
        core.is_running.set(true);
        Self(core)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.is_running.set(false);
    }
}

impl Runtime {
    /// Drops all tasks and gives the queue back, unless something that uses it (a socket, a timer, the
    /// handle of a task) was carried out of the runtime: that keeps it.
    #[must_use]
    pub fn into_queue(self) -> Option<Queue> {
        let core = Rc::clone(&self.core);
        drop(self);
        Rc::try_unwrap(core).ok().map(|core| core.queue.into_inner())
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
    /// Whether the last one did.
    is_caught_up: Cell<bool>,
    pub(crate) remote: Arc<Remote>,
    polled: Cell<Polled>,
    budget: Cell<u32>,
    /// The monotonic time, if it was asked for since the last look at the queue.
    now_ns: Cell<u64>,
    ending: Cell<bool>,
    /// Does `block_on` run?
    is_running: Cell<bool>,
    /// What the task that is polled said last of what it waits for, where no table knows.
    awaits: Cell<Option<&'static str>>,
    watch: Watch,
    tally: Tally,
    frames: OnceCell<Arc<FramePool>>,
    /// How many there will be, and the bytes of each.
    frame_sizes: (u32, usize),
    /// Kept for its memory.
    woken: RefCell<Vec<u32>>,
}

impl Core {
    #[track_caller]
    fn new(queue: Queue, made: &RuntimeBuilder) -> Self {
        let remote = Remote::new(queue.waker());
        Self {
            queue: RefCell::new(queue),
            tasks: RefCell::new(Tasks::new(&remote)),
            line: RefCell::new(Line::new()),
            inboxes: RefCell::default(),
            lookers: RefCell::default(),
            looks: Cell::new(0),
            is_caught_up: Cell::new(false),
            remote,
            polled: Cell::new(Polled::NOTHING),
            budget: Cell::new(BUDGET),
            now_ns: Cell::new(0),
            ending: Cell::new(false),
            is_running: Cell::new(false),
            awaits: Cell::new(None),
            watch: Watch::new(made.stuck.clone()),
            tally: Tally::default(),
            frames: OnceCell::new(),
            frame_sizes: (made.frames, made.frame_bytes),
            woken: RefCell::default(),
        }
    }

    /// Lends the queue. Not to be asked for anything that runs code of the program.
    #[inline]
    pub(crate) fn queue<T>(&self, what: impl FnOnce(&mut Queue) -> T) -> T {
        what(&mut self.queue.borrow_mut())
    }

    /// Lends the queue to be looked at; it can be looked at meanwhile, but not changed.
    #[inline]
    pub(crate) fn look_into<T>(&self, what: impl FnOnce(&Queue) -> T) -> T {
        what(&self.queue.borrow())
    }

    /// What is received into, made when it is first asked for.
    pub(crate) fn frames(&self) -> Result<&Arc<FramePool>, ArenaError> {
        if let Some(frames) = self.frames.get() {
            return Ok(frames);
        }
        let waker = self.queue.borrow().room_waker();
        let (count, bytes) = self.frame_sizes;
        let pool = FramePool::builder(count, bytes).waker(waker);
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

    /// Lets the task in this place be polled.
    #[inline]
    pub(crate) fn schedule(&self, index: u32) {
        self.line.borrow_mut().push(index);
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
        let may = self.take_budget();
        if !may {
            cx.waker().wake_by_ref();
        }
        may
    }

    pub(crate) fn open(&self, bound: Bound, what: &'static str) -> InboxId {
        self.inboxes.borrow_mut().open(bound, what)
    }

    pub(crate) fn close(&self, inbox: InboxId) {
        let contents: Option<Contents> = self.inboxes.borrow_mut().close(inbox);
        drop(contents);
    }

    /// Drops what came of one registration and was not taken.
    pub(crate) fn forget(&self, inbox: InboxId, key: Key) {
        let forgotten = self.inboxes.borrow_mut().forget(inbox, key);
        drop(forgotten);
    }

    /// Nobody waits any more for what comes to an inbox: it is kept as what nobody asked for.
    pub(crate) fn leave(&self, inbox: InboxId) {
        let waiter = self.inboxes.borrow_mut().leave(inbox);
        drop(waiter);
    }

    /// Whether the task may take what is there; if not, it is to be woken.
    #[inline]
    pub(crate) fn take_budget(&self) -> bool {
        let left = self.budget.get();
        self.budget.set(left.saturating_sub(1));
        // Whom another runtime polls gets no new budget of this one.
        left > 0 || !self.polled.get().is_something()
    }

    /// Says what the task that is polled waits for, where no table tells.
    #[inline]
    pub(crate) fn awaits(&self, what: &'static str) {
        self.awaits.set(Some(what));
    }

    /// Whether something waits in an inbox to be taken.
    #[inline]
    pub(crate) fn has_events(&self, inbox: InboxId) -> bool {
        self.inboxes.borrow_mut().has_events(inbox)
    }

    /// Takes the oldest event of an inbox, or lets the task be woken by the next one.
    #[inline]
    pub(crate) fn take(&self, inbox: InboxId, cx: &Context<'_>) -> Option<Kind> {
        self.take_with_key(inbox, cx).map(|(_, kind)| kind)
    }

    /// The same, and which registration or operation it is of.
    #[inline]
    pub(crate) fn take_with_key(&self, inbox: InboxId, cx: &Context<'_>) -> Option<(Key, Kind)> {
        let event = self.inboxes.borrow_mut().take(inbox);
        if event.is_none() {
            // Neither the cloning of a waker nor its dropping, which may be foreign code, meets a borrow.
            let waiter = self.waiter(cx);
            let before = self.inboxes.borrow_mut().wait(inbox, waiter);
            drop(before);
        }
        event
    }

    /// Says of a continuous operation that it is started anew, or of a source that it is to be enabled.
    /// Whether it had been cancelled or disabled.
    pub(crate) fn resumed(&self, inbox: InboxId) -> bool {
        self.inboxes.borrow_mut().resumed(inbox)
    }

    /// How many looks at the queue were complete.
    pub(crate) const fn looks(&self) -> u64 {
        self.looks.get()
    }

    /// The number of the last look, if there was nothing that it did not bring of what had happened before what
    /// it brought was received.
    #[inline]
    pub(crate) fn caught_up(&self) -> Option<u64> {
        self.is_caught_up.get().then(|| self.looks.get())
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
        // It may have been long since the run before.
        self.now_ns.set(0);
        let waker = self.tasks.borrow().waker_of_main();
        loop {
            self.watch.begin();
            let polled = self.batch(main.as_mut(), &waker);
            self.watch.end();
            if let Poll::Ready(output) = polled {
                return Ok(output);
            }
            self.take_woken();
            self.turn()?;
        }
    }

    /// Polls those that are in line, up to a number.
    fn batch<F: Future>(&self, mut main: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
        for _ in 0..BATCH {
            let Some(index) = self.next() else { break };
            if index == MAIN {
                if let Poll::Ready(output) = self.poll_main(main.as_mut(), waker) {
                    return Poll::Ready(output);
                }
            } else {
                self.poll(index);
            }
            self.watch.polled();
        }
        Poll::Pending
    }

    #[inline]
    fn next(&self) -> Option<u32> {
        let index = self.line.borrow_mut().pop()?;
        count(&self.tally.polls);
        Some(index)
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
        let count = self.tally.remote_wakes.get() + woken.len() as u64;
        self.tally.remote_wakes.set(count);
        for index in woken.drain(..) {
            let place = &tasks.places[index as usize];
            place.place.left.swap(false, std::sync::atomic::Ordering::AcqRel);
            self.schedule(index);
        }
    }

    /// Looks at the queue, and sleeps in it if nothing is to be done.
    fn turn(&self) -> Result<(), WaitError> {
        count(&self.tally.turns);
        let looked_for = !self.lookers.borrow().is_empty();
        let is_busy = looked_for || !self.line.borrow().is_empty();
        self.now_ns.set(0);
        if is_busy && !looked_for && self.has_nothing_to_wait_for() {
            return Ok(());
        }
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
        let mut queue = self.queue.borrow_mut();
        let is_caught_up = waited.is_ok() && queue.is_caught_up();
        let is_complete = is_caught_up || waited.is_ok() && !queue.has_unread();
        drop(queue);
        self.is_caught_up.set(is_caught_up);
        if is_complete {
            self.looked();
        }
        self.take_woken();
        Ok(())
    }

    /// Nothing can come of a look at the queue. What was left to itself (a write, a child) has no inbox, but a
    /// registration.
    fn has_nothing_to_wait_for(&self) -> bool {
        self.inboxes.borrow().open_count() == 0 && self.look_into(Queue::counters).registered == 0
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
            Ok(Delivered { wake, cancel, disable }) => {
                if let Some(key) = cancel {
                    // It may have ended by itself.
                    let _ = self.queue.borrow_mut().cancel(key);
                }
                if let Some(key) = disable {
                    // The same.
                    let _ = self.queue.borrow_mut().disable(key);
                }
                self.wake(wake);
            }
            Err(late) => drop(late),
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("id", &self.remote.id).finish_non_exhaustive()
    }
}
