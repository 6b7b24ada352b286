//! What blocks however one asks, on threads: looking names up, compressing, a library that knows no tasks.
//!
//! The threads are the process's, for all its runtimes. One is made when all others are at work, at most
//! [`THREADS`], and ends when it had nothing to do for a while. They take no signals, so that those come to
//! threads that wait for them. What is to be done and has no thread yet waits in line, first come first
//! served; it is bounded by what the program asks for.
//!
//! Files need none of this: the queue sees to them ([`fs`](crate::fs)).

use crate::runtime::{JoinError, Panic};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;
use ukevent_sys::signal::with_all_blocked;

/// As many as block at the same time. What they wait for is outside of this process as a rule.
const THREADS: usize = 256;
/// How long a thread waits for more to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a closure on a thread, from now on, and waits for it. Allocates.
///
/// Dropping what it returns does not end the closure: that goes on to its end, and its result is dropped
/// there. If the system allows no thread at all it runs here, and blocks.
///
/// ```
/// use ukevent_task::{block_on, blocking};
///
/// let sum = block_on(async { blocking(|| (1..=1_000_000_u64).sum::<u64>()).await })??;
/// assert_eq!(sum, 500_000_500_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The future gives [`JoinError::Panicked`] if the closure panicked.
pub fn blocking<T, F>(what: F) -> Blocking<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let ours = Arc::new(Mutex::new(Stage::Runs(None)));
    let theirs = Arc::clone(&ours);
    POOL.start(Box::new(move || {
        let result = catch_unwind(AssertUnwindSafe(what))
            .map_err(|payload| JoinError::Panicked(Panic::new(payload)));
        let before = std::mem::replace(&mut *lock(&theirs), Stage::Over(Some(result)));
        if let Stage::Runs(Some(waker)) = before {
            waker.wake();
        }
    }));
    Blocking { stage: ours }
}

/// Made by [`blocking()`].
#[must_use = "dropping it lets the closure run on by itself"]
pub struct Blocking<T> {
    stage: Arc<Mutex<Stage<T>>>,
}

enum Stage<T> {
    /// Whom to tell.
    Runs(Option<Waker>),
    Over(Option<Result<T, JoinError>>),
}

impl<T> Future for Blocking<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Foreign code is cloned and dropped while nothing is locked.
        let waker = cx.waker().clone();
        let mut stage = lock(&self.stage);
        match &mut *stage {
            Stage::Runs(waits) => {
                let before = waits.replace(waker);
                drop(stage);
                drop(before);
                Poll::Pending
            }
            Stage::Over(result) => Poll::Ready(result.take().unwrap_or(Err(JoinError::Cancelled))),
        }
    }
}

impl<T> std::fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let over = matches!(&*lock(&self.stage), Stage::Over(_));
        f.debug_struct("Blocking").field("over", &over).finish()
    }
}

type Job = Box<dyn FnOnce() + Send>;

static POOL: Pool = Pool { line: Mutex::new(Line::EMPTY), more: Condvar::new() };

struct Pool {
    line: Mutex<Line>,
    more: Condvar,
}

struct Line {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Line {
    const EMPTY: Self = Self { jobs: VecDeque::new(), threads: 0, idle: 0 };
}

impl Pool {
    fn start(&'static self, job: Job) {
        let mut line = lock(&self.line);
        line.jobs.push_back(job);
        if line.idle < line.jobs.len() && line.threads < THREADS {
            let thread = thread::Builder::new().name("ukevent-blocking".to_owned());
            match with_all_blocked(|| thread.spawn(|| self.work())) {
                Ok(_) => line.threads += 1,
                Err(_) if line.threads == 0 => {
                    let jobs = std::mem::take(&mut line.jobs);
                    drop(line);
                    jobs.into_iter().for_each(|job| job());
                    return;
                }
                // Those that there are will do it.
                Err(_) => {}
            }
        }
        drop(line);
        self.more.notify_one();
    }

    fn work(&self) {
        let mut line = lock(&self.line);
        loop {
            if let Some(job) = line.jobs.pop_front() {
                drop(line);
                // A result that nobody wants is dropped by it, and may panic.
                let _ = catch_unwind(AssertUnwindSafe(job));
                line = lock(&self.line);
                continue;
            }
            line.idle += 1;
            let (woken, waited) =
                self.more.wait_timeout(line, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            line = woken;
            line.idle -= 1;
            if waited.timed_out() && line.jobs.is_empty() {
                line.threads -= 1;
                return;
            }
        }
    }
}

/// Nothing panics while one is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
