//! A thread for each core, each with a runtime of its own.
//!
//! Nothing is shared between them but what the program shares: each has its own queue, its own tasks and, with
//! [`TcpListener::bind_shared`](crate::net::TcpListener::bind_shared), its own listener, to which the kernel
//! gives its share of the connections. They end together: when one fails, the others are asked to stop, by
//! the same [`Stop`] that the program or a signal asks by. The thread that calls [`Cores::run`] only waits.

mod error;
mod stop;

pub use error::{CoresError, Failure};
pub use stop::{Guarded, Stop, Stopped};

use crate::channel::{SharedReceiver, shared};
use crate::runtime::current;
use crate::tell::tell;
use crate::{Events, RunError, RuntimeBuilder, spawn};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use ukevent_queue::Signal;

/// Starts a thread for each core, and runs the same on all of them.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use ukevent_task::cores::Cores;
///
/// let sum = AtomicUsize::new(0);
/// Cores::new().threads(2).run(async |core| {
///     sum.fetch_add(core.number() + 1, Ordering::Relaxed);
///     Ok::<(), std::io::Error>(())
/// })?;
/// assert_eq!(sum.into_inner(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A server binds its listener on each core, and goes when it is asked to:
///
/// ```no_run
/// use ukevent_queue::Signal;
/// use ukevent_task::{cores::Cores, net::{TcpListener, TcpStream}, spawn};
///
/// async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
///     loop {
///         let bytes = stream.receive().await?;
///         if bytes.is_empty() {
///             return Ok(());
///         }
///         stream.send(bytes).await?;
///     }
/// }
///
/// let address = "127.0.0.1:7000".parse()?;
/// Cores::new().stop_on([Signal::INT, Signal::TERM]).run(async |core| {
///     let mut listener = TcpListener::bind_shared(address)?;
///     while let Some(stream) = core.guard(listener.accept()).await {
///         spawn(echo(stream?)).detach();
///     }
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing runs before run()"]
pub struct Cores {
    threads: Option<usize>,
    pinned: bool,
    runtime: RuntimeBuilder,
    stop: Stop,
    signals: Vec<Signal>,
}

/// The thread on which something runs, as it sees it. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Core {
    number: usize,
    count: usize,
    cpu: Option<usize>,
    stop: Stop,
}

impl Core {
    /// The number of this thread: 0, 1, ….
    #[must_use]
    pub const fn number(&self) -> usize {
        self.number
    }

    /// How many threads there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The processor, by the kernel's number, that the thread is pinned to.
    #[must_use]
    pub const fn cpu(&self) -> Option<usize> {
        self.cpu
    }

    /// The request to end, the same for all threads.
    #[must_use]
    pub const fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Lets a future go on until all are asked to end: see [`Stop::guard`].
    pub fn guard<F: Future>(&self, future: F) -> Guarded<F> {
        self.stop.guard(future)
    }

    /// Waits until all are asked to end.
    pub fn stopped(&self) -> Stopped {
        self.stop.stopped()
    }
}

impl Default for Cores {
    fn default() -> Self {
        Self::new()
    }
}

impl Cores {
    /// As many threads as processors that this thread may use, each pinned to one of them.
    pub fn new() -> Self {
        Self {
            threads: None,
            pinned: true,
            runtime: crate::Runtime::builder(),
            stop: Stop::new(),
            signals: Vec::new(),
        }
    }

    /// So many threads. With more than there are processors some share one.
    ///
    /// # Panics
    /// If it is 0.
    #[track_caller]
    pub fn threads(mut self, count: usize) -> Self {
        assert!(count > 0, "nothing runs on 0 threads");
        self.threads = Some(count);
        self
    }

    /// Leaves to the kernel where the threads run.
    pub const fn unpinned(mut self) -> Self {
        self.pinned = false;
        self
    }

    /// How the runtime of each thread is made.
    pub fn runtime(mut self, runtime: RuntimeBuilder) -> Self {
        self.runtime = runtime;
        self
    }

    /// By what they are asked to end from outside.
    pub fn stop(mut self, stop: &Stop) -> Self {
        self.stop = stop.clone();
        self
    }

    /// Asks them to end when one of these signals comes. Until then, and until all have ended, they do nothing
    /// else: see [`Signal`].
    pub fn stop_on(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.signals.extend(signals);
        self
    }

    /// Runs the same on each thread, and waits until all have ended. When one fails, panics or has no runtime,
    /// the others are asked to stop; when one ends well, they go on. When the future of a thread has ended, so
    /// have the tasks beside it: they are dropped.
    ///
    /// A thread that cannot be pinned runs where the kernel lets it, and a line on standard error says so.
    ///
    /// # Errors
    /// [`CoresError`], with what went wrong on which thread.
    ///
    /// # Panics
    /// In a task: it would stop all of its thread.
    #[track_caller]
    pub fn run<F, E>(self, run: F) -> Result<(), CoresError>
    where
        F: AsyncFn(Core) -> Result<(), E> + Sync,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        assert!(
            current::with(|_| ()).is_none(),
            "Cores::run in a task would stop all of its thread: call it outside of a runtime"
        );
        let cpus = allowed();
        let available = || thread::available_parallelism().map_or(1, NonZero::get);
        let count = self.threads.unwrap_or_else(available);
        let (ended, ends) = shared(count);
        let mut failures = Vec::new();
        thread::scope(|scope| {
            for number in 0..count {
                let cpu = cpus.get(number % cpus.len().max(1)).copied().filter(|_| self.pinned);
                let core = Core { number, count, cpu, stop: self.stop.clone() };
                let (runtime, run, ended) = (&self.runtime, &run, ended.clone());
                // There is room for all.
                let thread = move || drop(ended.try_send((number, one(core, runtime, run))));
                let named = thread::Builder::new().name(format!("core {number}"));
                if let Err(error) = named.spawn_scoped(scope, thread) {
                    failures.push((number, Failure::Thread(error)));
                    self.stop.stop();
                }
            }
            drop(ended);
            failures.extend(self.wait(&ends));
        });
        CoresError::of(failures)
    }

    /// Waits for all threads, and meanwhile for signals. Gives what went wrong.
    fn wait(&self, ends: &SharedReceiver<Ended>) -> Vec<(usize, Failure)> {
        let mut failures = Vec::new();
        if !self.signals.is_empty()
            && let Err(error) = self.wait_for_signals(ends, &mut failures)
        {
            // Nobody could end them as it was meant.
            self.stop.stop();
            failures.push((0, Failure::Signals(error)));
        }
        while let Some((number, ended)) = ends.receive_blocking() {
            failures.extend(ended.err().map(|failure| (number, failure)));
        }
        failures
    }

    /// The same on a runtime, which is what can wait for both. The signals are registered now, when the
    /// threads are there: what those start does not inherit that they are blocked.
    fn wait_for_signals(
        &self,
        ends: &SharedReceiver<Ended>,
        failures: &mut Vec<(usize, Failure)>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut runtime = self.runtime.build()?;
        runtime.block_on(async {
            for &signal in &self.signals {
                let mut events = Events::of(signal)?;
                let stop = self.stop.clone();
                let watch = async move {
                    loop {
                        events.next().await;
                        stop.stop();
                    }
                };
                spawn(watch).detach();
            }
            while let Some((number, ended)) = ends.receive().await {
                failures.extend(ended.err().map(|failure| (number, failure)));
            }
            Ok(())
        })?
    }
}

/// The number of a thread, and how it ended.
type Ended = (usize, Result<(), Failure>);

/// All of one thread.
fn one<F, E>(core: Core, runtime: &RuntimeBuilder, run: &F) -> Result<(), Failure>
where
    F: AsyncFn(Core) -> Result<(), E>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stop = core.stop.clone();
    pin(&core);
    let all = || {
        let mut runtime = runtime.build().map_err(|error| Failure::Run(RunError::Build(error)))?;
        let ended = runtime.block_on(run(core)).map_err(Failure::Run)?;
        ended.map_err(|error| Failure::Error(error.into()))
    };
    let ended = catch_unwind(AssertUnwindSafe(all))
        .unwrap_or_else(|payload| Err(Failure::panicked(payload)));
    if ended.is_err() {
        stop.stop();
    }
    ended
}

/// Pins the thread, or says why not.
fn pin(core: &Core) {
    let Some(cpu) = core.cpu else { return };
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    if let Err(error) = sched_setaffinity(None, &cpus) {
        let number = core.number;
        tell(format_args!(
            "thread {number} runs on any processor, it may not be pinned to {cpu}: {error}"
        ));
    }
}

/// The processors that this thread may use. None if there are more than can be asked for.
fn allowed() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(cpus) => (0..CpuSet::MAX_CPU).filter(|&cpu| cpus.is_set(cpu)).collect(),
        Err(error) => {
            tell(format_args!("no thread is pinned, the processors are not known: {error}"));
            Vec::new()
        }
    }
}
