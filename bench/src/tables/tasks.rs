//! `tasks`: what tasks cost by themselves, on one thread and without I/O.
//!
//! A runtime is made, and then told to run one future that does the work: to spawn tasks and join them, one
//! by one or 100 at a time; to let two tasks go in turn, each of which wakes itself and so lets the other go
//! first; to pass numbers over the runtime's own channel; to be woken by a thread on the other core, which
//! waits for the answer before it wakes again. Timed is the running, without the making. Each task gives back
//! its number, each number is compared with the one before, each answer is awaited: none may be missing.

use crate::rivals::task_runtimes::{Compio, Glommio, Monoio, TokioLocal, UkeventTask};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use ukevent_measure::Result;
use ukevent_measure::clock::{Stopwatch, now_ns};
use ukevent_measure::cores::{Cores, pin};
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Sample, alternate};

/// A contender: a runtime of one thread.
pub(crate) trait Tasks: Sized {
    fn new() -> Result<Self>;

    fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output>;

    /// Runs it beside the caller; what is returned gives its result.
    fn spawn<F: Future<Output: 'static> + 'static>(
        future: F,
    ) -> impl Future<Output = Option<F::Output>> + 'static;
}

/// One that has a bounded channel between its tasks.
pub(crate) trait Channels: Tasks {
    type Sender: 'static;
    type Receiver: 'static;

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver);

    /// Whether it was sent.
    fn send(sender: &mut Self::Sender, message: u64) -> impl Future<Output = bool>;

    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>>;
}

/// Tasks that are spawned before the first is joined.
const BATCH: u64 = 100;
/// Messages that a channel holds.
const CAPACITY: usize = 64;
/// After so long without an answer, a wake-up is lost.
const LOST_NS: u64 = 2_000_000_000;

struct Setup {
    count: u64,
    wakes: u64,
    /// Of the thread that wakes.
    other_core: Option<usize>,
}

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) {
    let setup = Setup {
        count: plan.size(300_000, 1_000),
        wakes: plan.size(20_000, 100),
        other_core: cores.second(),
    };
    let mut spawns = vec![
        Contender { name: "ukevent-task", round: alone::<UkeventTask> },
        Contender { name: "tokio", round: alone::<TokioLocal> },
    ];
    let mut wakes = vec![
        Contender { name: "ukevent-task", round: woken::<UkeventTask> },
        Contender { name: "tokio", round: woken::<TokioLocal> },
    ];
    let mut channels = vec![
        Contender { name: "ukevent-task", round: passed::<UkeventTask> },
        Contender { name: "tokio", round: passed::<TokioLocal> },
    ];
    if plan.has("bare ring") {
        spawns.push(Contender { name: "monoio", round: alone::<Monoio> });
        spawns.push(Contender { name: "compio", round: alone::<Compio> });
        spawns.push(Contender { name: "glommio", round: alone::<Glommio> });
        wakes.push(Contender { name: "compio", round: woken::<Compio> });
        wakes.push(Contender { name: "glommio", round: woken::<Glommio> });
        channels.push(Contender { name: "glommio", round: passed::<Glommio> });
    }
    alternate(plan, "tasks", &spawns, &setup, outcomes);
    alternate(plan, "tasks", &channels, &setup, outcomes);
    if setup.other_core.is_some() {
        alternate(plan, "tasks", &wakes, &setup, outcomes);
    } else {
        eprintln!("SKIPPED: wakes from another thread, which take two cores");
    }
}

fn timed<T: Tasks>(
    operation: &str,
    count: u64,
    runtime: &mut T,
    work: impl Future<Output = u64>,
) -> Result<Sample> {
    let mut watch = Stopwatch::new();
    let delivered = watch.time(|| runtime.block_on(work))?;
    Ok(Sample::per_unit("ns", &watch, count, delivered).with("operation", operation))
}

/// What needs nothing but tasks.
fn alone<T: Tasks>(setup: &Setup) -> Result<Vec<Sample>> {
    let mut runtime = T::new()?;
    let count = setup.count;
    // Memory is there, and is taken again.
    runtime.block_on(by_batch::<T>(count / 10))?;
    Ok(vec![
        timed("spawn and join", count, &mut runtime, one_by_one::<T>(count))?,
        timed("spawn and join 100", count, &mut runtime, by_batch::<T>(count))?,
        timed("switch", count, &mut runtime, in_turn::<T>(count))?,
    ])
}

async fn one_by_one<T: Tasks>(count: u64) -> u64 {
    let mut right = 0;
    for number in 0..count {
        right += u64::from(T::spawn(async move { number }).await == Some(number));
    }
    right
}

async fn by_batch<T: Tasks>(count: u64) -> u64 {
    let mut right = 0;
    let mut tasks = Vec::with_capacity(BATCH as usize);
    for first in (0..count).step_by(BATCH as usize) {
        let numbers = first..(first + BATCH).min(count);
        tasks.extend(numbers.clone().map(|number| T::spawn(async move { number })));
        for (task, number) in tasks.drain(..).zip(numbers) {
            right += u64::from(task.await == Some(number));
        }
    }
    right
}

/// Two tasks, and so many polls of both together.
async fn in_turn<T: Tasks>(count: u64) -> u64 {
    let turns = |turns: u64| async move {
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            if polls == turns {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        polls
    };
    let (one, two) = (T::spawn(turns(count / 2)), T::spawn(turns(count - count / 2)));
    one.await.unwrap_or(0) + two.await.unwrap_or(0)
}

/// What passes over a channel.
fn passed<T: Channels>(setup: &Setup) -> Result<Vec<Sample>> {
    let mut runtime = T::new()?;
    let count = setup.count;
    runtime.block_on(over_channel::<T>(count / 10))?;
    Ok(vec![timed("message", count, &mut runtime, over_channel::<T>(count))?])
}

async fn over_channel<T: Channels>(count: u64) -> u64 {
    let (mut sender, mut receiver) = T::channel(CAPACITY);
    let sends = T::spawn(async move {
        let mut sent = 0;
        while sent < count && T::send(&mut sender, sent).await {
            sent += 1;
        }
        sent
    });
    let receives = T::spawn(async move {
        let mut received = 0;
        while let Some(message) = T::receive(&mut receiver).await {
            if message != received {
                break;
            }
            received += 1;
        }
        received
    });
    let sent = sends.await.unwrap_or(0);
    receives.await.unwrap_or(0).min(sent)
}

/// What the thread that wakes and the task share.
#[derive(Default)]
struct Bell {
    asked: AtomicU64,
    answered: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    fn place(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, number: u64) {
        self.asked.store(number, Ordering::SeqCst);
        let waker = self.place().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Asks so many times, and gives how many were answered.
    fn ring(&self, count: u64) -> u64 {
        for number in 1..=count {
            let from_ns = now_ns();
            self.ask(number);
            while self.answered.load(Ordering::Acquire) < number {
                if now_ns() - from_ns > LOST_NS {
                    self.ask(u64::MAX);
                    return number - 1;
                }
                std::hint::spin_loop();
            }
        }
        count
    }
}

async fn answer(bell: &Bell, count: u64) {
    for number in 1..=count {
        poll_fn(|cx| {
            if bell.asked.load(Ordering::SeqCst) >= number {
                return Poll::Ready(());
            }
            *bell.place() = Some(cx.waker().clone());
            // It may have been asked before the waker was there.
            let is_asked = bell.asked.load(Ordering::SeqCst) >= number;
            if is_asked { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        bell.answered.store(number, Ordering::Release);
    }
}

/// What a thread wakes.
fn woken<T: Tasks>(setup: &Setup) -> Result<Vec<Sample>> {
    let core = setup.other_core.ok_or("there is one core")?;
    let count = setup.wakes;
    let mut runtime = T::new()?;
    let bell = Arc::new(Bell::default());
    let thread = {
        let bell = Arc::clone(&bell);
        std::thread::spawn(move || {
            pin(core)?;
            Ok::<_, ukevent_measure::Error>(bell.ring(count))
        })
    };
    let mut watch = Stopwatch::new();
    watch.time(|| runtime.block_on(answer(&bell, count)))?;
    let answered = thread.join().map_err(|_| "the thread that wakes panicked")??;
    Ok(vec![Sample::per_unit("ns", &watch, count, answered).with("operation", "wake by a thread")])
}
