//! What the cases stand on: a backend under test, descriptors that can be made ready on it, waits
//! that end, and the macro that makes of each case one test for each backend.
//!
//! A case is a function of a [`Bench`] and does not know its backend. `cases!` lists it by where it
//! can run: `everywhere` (the three backends that have a kernel, and the simulation), on the
//! `kernels`, or `alone`: on the kernels, in a process of its own. A case that is not listed is dead
//! code, which the compiler tells.

use crate::subject::{Builder, Queue, Shape};
use fork::Fork;
use rustix::process::{Pid, WaitOptions, waitpid};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    io::{PipeReader, PipeWriter, Read, Write},
    os::unix::process::CommandExt,
    process::Command,
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use ukevent_buf::Arena;
pub(crate) use ukevent_queue::BackendKind;
use ukevent_queue::{
    BuildError, Event, Expired, Fd, Kind, Policy, Posted, Readiness, Ready, SharedBuilder, Token,
    Wait, WaitError,
    sim::{Sim, SimDescriptor},
};

/// Longer than any wait of a queue that works; no case depends on its size.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const A: Token = Token(1);
pub(crate) const B: Token = Token(2);
pub(crate) const C: Token = Token(3);
pub(crate) const D: Token = Token(4);

/// Makes of each case one test for each backend, in a module called after the backend; and one for each way in which
/// a shared queue stands for a queue.
macro_rules! cases {
    ($($place:ident: [$($case:ident),* $(,)?]),* $(,)?) => {
        cases_of_one_waiter! { $($place: [$($case),*]),* }
        mod in_company {
            use crate::bench::{self, IN_COMPANY};
            $($(#[test] fn $case() { bench::$place(IN_COMPANY, super::$case); })*)*
        }
    };
}

/// The same for what is so of a shared queue only while it has one waiter, or they are pinned. For a second one, who
/// may come at any time, events lie ahead in the ring, out of their sources: there they neither add up with what comes
/// later nor make room for it, and their source has its turn behind them.
macro_rules! cases_of_one_waiter {
    ($($place:ident: [$($case:ident),* $(,)?]),* $(,)?) => {
        cases_of_one_thread! { $($place: [$($case),*]),* }
        mod shared {
            use crate::bench::{self, SHARED};
            $($(#[test] fn $case() { bench::$place(SHARED, super::$case); })*)*
        }
        mod pinned {
            use crate::bench::{self, PINNED};
            $($(#[test] fn $case() { bench::$place(PINNED, super::$case); })*)*
        }
    };
}

/// The same for what only a queue of one thread has: its thread, its descriptor, its backends.
macro_rules! cases_of_one_thread {
    ($($place:ident: [$($case:ident),* $(,)?]),* $(,)?) => {
        mod io_uring {
            use crate::bench::{self, IO_URING};
            $($(#[test] fn $case() { bench::$place(IO_URING, super::$case); })*)*
        }
        mod epoll {
            use crate::bench::{self, EPOLL};
            $($(#[test] fn $case() { bench::$place(EPOLL, super::$case); })*)*
        }
        mod poll {
            use crate::bench::{self, POLL};
            $($(#[test] fn $case() { bench::$place(POLL, super::$case); })*)*
        }
        simulated! { $($place: [$($case),*])* }
    };
}

/// The part of `cases!` for the simulation, which has what comes first only: `everywhere`.
macro_rules! simulated {
    (everywhere: [$($case:ident),*] $($rest:tt)*) => {
        mod sim {
            use crate::bench::{self, SIM};
            $(#[test] fn $case() { bench::everywhere(SIM, super::$case); })*
        }
    };
    ($($rest:tt)*) => {};
}

/// What a case runs on.
pub(crate) type On = (BackendKind, Shape);

pub(crate) const IO_URING: On = (BackendKind::IoUring, Shape::Own);
pub(crate) const EPOLL: On = (BackendKind::Epoll, Shape::Own);
pub(crate) const POLL: On = (BackendKind::Poll, Shape::Own);
pub(crate) const SIM: On = (BackendKind::Sim, Shape::Own);
pub(crate) const SHARED: On = (BackendKind::Epoll, Shape::Shared);
pub(crate) const PINNED: On = (BackendKind::Epoll, Shape::Pinned);
pub(crate) const IN_COMPANY: On = (BackendKind::Epoll, Shape::InCompany);

/// Runs a case on a backend, or says aloud that it cannot be had here. What the case leaves behind fails
/// it: a descriptor (where the case is alone in its process), or a buffer of an [`arena`].
pub(crate) fn everywhere((kind, shape): On, case: fn(&Bench)) {
    let _count = testkit::count_descriptors();
    match ukevent_queue::Builder::new().backend(kind).build() {
        Ok(queue) => drop(queue),
        Err(error @ BuildError::Unavailable { .. }) => testkit::skip!("{error}"),
        Err(error) => panic!("{kind}: {error}"),
    }
    case(&Bench { kind, shape, sim: Sim::new(1) });
    for arena in ARENAS.take() {
        // A thread that reads a file for a queue ends after it.
        let is_whole = testkit::settles(|| arena.statistics().owners.is_empty());
        assert!(is_whole, "{kind}: not all came back: {:?}", arena.statistics().owners);
    }
}

thread_local! {
    /// Those of the case that runs in this thread.
    static ARENAS: RefCell<Vec<Arena>> = const { RefCell::new(Vec::new()) };
}

/// Memory for the pools of a case. After it nothing of it may be held: no pool, no buffer.
pub(crate) fn arena(bytes: usize) -> Arena {
    let arena = Arena::new(bytes).expect("there is memory");
    ARENAS.with_borrow_mut(|arenas| arenas.push(arena.clone()));
    arena
}

/// The same for a case that needs a kernel.
pub(crate) fn kernels(on: On, case: fn(&Bench)) {
    everywhere(on, case);
}

/// The same in a process of its own: the case counts descriptors, changes a signal mask or a limit.
pub(crate) fn alone(on: On, case: fn(&Bench)) {
    testkit::alone(|| everywhere(on, case));
}

/// A backend under test.
pub(crate) struct Bench {
    pub(crate) kind: BackendKind,
    pub(crate) shape: Shape,
    pub(crate) sim: Sim,
}

impl Bench {
    /// A builder for queues on this backend.
    pub(crate) fn builder(&self) -> Builder {
        let own = ukevent_queue::Builder::new();
        match (self.shape, self.kind) {
            (Shape::Own, BackendKind::Sim) => Builder::Own(own.sim(&self.sim)),
            (Shape::Own, kind) => Builder::Own(own.backend(kind)),
            (shape, _) => {
                let builder = SharedBuilder::new();
                let is_pinned = shape == Shape::Pinned;
                let policy = if is_pinned { Policy::Pinned } else { Policy::Balanced };
                Builder::Shared(builder.policy(policy), shape)
            }
        }
    }

    /// Whether each level is watched for anew after its event.
    pub(crate) fn is_shared(&self) -> bool {
        self.shape != Shape::Own
    }

    pub(crate) fn queue(&self) -> Queue {
        self.builder().build().expect("it could be built a moment ago")
    }

    /// A descriptor that is ready for nothing yet.
    pub(crate) fn door(&self) -> Door {
        if self.kind == BackendKind::Sim {
            return Door::Simulated(self.sim.clone(), self.sim.descriptor());
        }
        let (reader, writer) = testkit::pipe_pair();
        testkit::nonblocking(&reader);
        Door::Pipe(Arc::new(reader), writer)
    }

    /// Lets time pass without a wait.
    pub(crate) fn pass(&self, time: Duration) {
        match self.kind {
            BackendKind::Sim => self.sim.advance(time),
            _ => thread::sleep(time),
        }
    }
}

/// A descriptor that the case makes readable: a pipe, or a simulated one.
pub(crate) enum Door {
    Pipe(Arc<PipeReader>, PipeWriter),
    Simulated(Sim, SimDescriptor),
}

impl Door {
    /// What to register, as often as the case likes.
    pub(crate) fn source(&self) -> Fd {
        match self {
            Self::Pipe(reader, _) => Fd::new(reader.clone()),
            Self::Simulated(_, descriptor) => Fd::simulated(descriptor),
        }
    }

    /// Makes it readable; if it is already, that is news.
    pub(crate) fn knock(&self) {
        match self {
            Self::Pipe(_, writer) => {
                (&*writer).write_all(b"!").expect("a pipe has room for some bytes");
            }
            Self::Simulated(sim, descriptor) => sim.set(descriptor, Readiness::READABLE),
        }
    }

    /// Reads all, so that it is readable no longer.
    pub(crate) fn answer(&self) {
        match self {
            Self::Pipe(reader, _) => while (&**reader).read(&mut [0; 4096]).is_ok_and(|n| n > 0) {},
            Self::Simulated(sim, descriptor) => sim.set(descriptor, Readiness::empty()),
        }
    }
}

/// While it lives, somebody looks whether a wait hangs.
struct Watch {
    number: u64,
    start: Instant,
}

/// The waits that are going on, by number: since when, and what to say if it hangs.
static WATCHED: Mutex<BTreeMap<u64, (Instant, String)>> = Mutex::new(BTreeMap::new());

impl Watch {
    fn over(what: String) -> Self {
        static LOOKOUT: Once = Once::new();
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        LOOKOUT.call_once(|| drop(thread::spawn(Self::look_out)));
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        let message = format!("{test}: it hung: {what}\n");
        WATCHED.lock().unwrap().insert(number, (start, message));
        Self { number, start }
    }

    fn look_out() {
        loop {
            thread::sleep(Duration::from_millis(500));
            for (start, message) in WATCHED.lock().unwrap().values() {
                if start.elapsed() > 2 * PATIENCE {
                    // Not by a macro, whose output a test runner keeps to itself.
                    let _ = std::io::stderr().write_all(message.as_bytes());
                    std::process::exit(101);
                }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.lock().unwrap().remove(&self.number);
    }
}

/// Does what must not hang; if it does the process ends, with a message.
pub(crate) fn watched<T>(what: &str, body: impl FnOnce() -> T) -> T {
    let _watch = Watch::over(what.to_owned());
    body()
}

/// A wait that ends when nothing happens.
pub(crate) fn patient() -> Wait<'static> {
    Wait::within(PATIENCE)
}

/// Waits. A wait that hangs ends the process, with a message: nothing else ends it without taking
/// part in it.
pub(crate) fn wait(queue: &mut Queue, wait: Wait<'_>) -> Result<usize, WaitError> {
    let watch = Watch::over(format!("{wait:?} of {queue:?}"));
    let waited = queue.wait(wait);
    // Found only because the time was over: what should have ended the sleep did not.
    let slept_over = watch.start.elapsed() >= PATIENCE && waited.is_ok_and(|events| events > 0);
    assert!(!slept_over, "nothing ended the sleep: {wait:?} of {queue:?}");
    waited
}

/// Waits, and takes all that the wait let out; they must be as many as it said.
pub(crate) fn batch(queue: &mut Queue, wait: Wait<'_>) -> Vec<Event> {
    let promised = self::wait(queue, wait).expect("it is valid and nobody interrupts it");
    let events: Vec<Event> = std::iter::from_fn(|| queue.next_event()).collect();
    assert_eq!(events.len(), promised, "the wait promised {promised}: {events:?}");
    events
}

/// Waits patiently for one event.
pub(crate) fn next(queue: &mut Queue) -> Event {
    let event = batch(queue, patient().at_most(1)).pop();
    event.unwrap_or_else(|| panic!("no event within {PATIENCE:?}: {queue:?}"))
}

/// The tokens of events, in order.
pub(crate) fn tokens(events: &[Event]) -> Vec<Token> {
    events.iter().map(|event| event.token).collect()
}

/// The tokens of what is there, in order, without waiting.
pub(crate) fn now(queue: &mut Queue) -> Vec<Token> {
    tokens(&batch(queue, Wait::now()))
}

/// The tokens of what is there, by number.
pub(crate) fn now_sorted(queue: &mut Queue) -> Vec<Token> {
    let mut tokens = now(queue);
    tokens.sort_unstable();
    tokens
}

/// Checks that nothing is reported; more than one look, for what the first one may have set off.
pub(crate) fn silent(queue: &mut Queue) {
    for _ in 0..3 {
        let events = batch(queue, Wait::now());
        assert!(events.is_empty(), "nothing was to come: {events:?}");
    }
}

/// Runs `wait` on this thread, and `then` on another once this one sleeps.
pub(crate) fn once_asleep<T>(wait: impl FnOnce() -> T, then: impl FnOnce() + Send) -> T {
    let thread = ukevent_sys::signal::this_thread();
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            until_asleep(thread);
            then();
        });
        let result = wait();
        other.join().expect("what was to happen happens");
        result
    })
}

/// Runs `body` while another thread calls `work` over and over.
pub(crate) fn while_busy<T>(work: impl Fn() + Sync, body: impl FnOnce() -> T) -> T {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when the body panics, or the scope would wait for ever.
        let _stop = Stop(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                work();
            }
        });
        body()
    })
}

/// Forks. The child does something with its copy of what the caller owns, and drops it; what it finds must be so. The
/// caller's is as it was.
pub(crate) fn in_a_child<T>(own: T, body: impl FnOnce(T) -> bool) -> T {
    match fork::fork().unwrap() {
        Fork::Child => {
            // It ends as another program: what runs at the exit of this one (a leak detector, for one) is not made
            // for a child without the other threads.
            let error = Command::new(if body(own) { "true" } else { "false" }).exec();
            panic!("{error}");
        }
        Fork::Parent(child) => {
            let child = Pid::from_raw(child).unwrap();
            let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
            assert_eq!(status.exit_status(), Some(0), "{status:?}");
            own
        }
    }
}

/// Waits until a thread of this process sleeps in the kernel.
pub(crate) fn until_asleep(thread: i32) {
    let path = format!("/proc/self/task/{thread}/stat");
    testkit::wait_until("the thread sleeps", || {
        let stat = fs::read_to_string(&path).expect("the thread lives");
        // The name before it may hold anything but stands in parentheses.
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
    });
}

/// What a descriptor is ready for.
#[track_caller]
pub(crate) fn ready(event: &Event) -> Ready {
    match event.kind {
        Kind::Ready(ready) => ready,
        _ => panic!("not of a descriptor: {event:?}"),
    }
}

#[track_caller]
pub(crate) fn readiness(event: &Event) -> Readiness {
    ready(event).readiness
}

#[track_caller]
pub(crate) fn expirations(event: &Event) -> u64 {
    match event.kind {
        Kind::Timer(Expired { expirations }) => expirations,
        _ => panic!("not of a timer: {event:?}"),
    }
}

/// Data and count of a post.
#[track_caller]
pub(crate) fn posted(event: &Event) -> (u64, u64) {
    match event.kind {
        Kind::User(Posted { data, count }) => (data, count),
        _ => panic!("not of a post: {event:?}"),
    }
}
