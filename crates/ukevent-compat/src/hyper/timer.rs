//! Time for hyper.
//!
//! hyper wants sleeps that may be sent to other threads, and timers of the queue may not. So a sleep is a
//! small shared alarm, and a task of the runtime has the timer and sets the alarm off. The task is made when
//! the sleep is first polled, so a sleep that is moved or dropped before costs nothing; one that is
//! moved to a later time is only written down, and its timer looks again when it expires too early.
//!
//! Invariant: no waker is called, and none dropped, while an alarm is locked.

use ::hyper::rt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use ukevent_task::time;

/// Times for hyper, by the timers of the runtime that polls them: never early.
///
/// ```
/// use hyper::rt::Timer as _;
/// use std::time::{Duration, Instant};
/// use ukevent_compat::hyper::Timer;
///
/// let start = Instant::now();
/// ukevent_task::block_on(async {
///     let mut sleep = Timer.sleep(Duration::from_secs(3600));
///     Timer.reset(&mut sleep, start + Duration::from_millis(1));
///     sleep.await;
/// })?;
/// assert!(start.elapsed() >= Duration::from_millis(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        let now = Instant::now();
        // What no clock can count to is as good as never.
        let never = || now + Duration::from_secs(u64::from(u32::MAX));
        self.sleep_until(now.checked_add(duration).unwrap_or_else(never))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Sleep { deadline, alarm: None })
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, new_deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(sleep) => sleep.get_mut().reset(new_deadline),
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

/// Made by [`Timer`]. Its timer belongs to the runtime that polls it first; afterwards it may be polled
/// anywhere. Dropping it ends the timer.
///
/// # Panics
/// When it is first polled outside of a runtime before its time is over; when it is polled after that
/// runtime was dropped, or when that can have no more timers, as [`ukevent_task::time::sleep`].
#[derive(Debug)]
#[must_use = "nothing is done before it is awaited"]
pub struct Sleep {
    deadline: Instant,
    alarm: Option<Arc<Alarm>>,
}

impl Sleep {
    fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        let Some(alarm) = &self.alarm else { return };
        let mut state = alarm.lock();
        if state.phase != Phase::Set {
            drop(state);
            self.alarm = None;
            return;
        }
        let is_earlier = deadline < state.deadline;
        state.deadline = deadline;
        let task = if is_earlier { state.task.take() } else { None };
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl rt::Sleep for Sleep {}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.alarm.is_none() {
            if self.deadline <= Instant::now() {
                return Poll::Ready(());
            }
            let alarm = Arc::new(Alarm::new(self.deadline));
            ukevent_task::spawn(Ring { alarm: Arc::clone(&alarm), timer: None }).detach();
            self.alarm = Some(alarm);
        }
        let alarm = self.alarm.as_ref().expect("set above");
        let sleeper = cx.waker().clone();
        let mut state = alarm.lock();
        let phase = state.phase;
        let before = state.sleeper.replace(sleeper);
        drop(state);
        drop(before);
        match phase {
            Phase::Set => Poll::Pending,
            Phase::Rung => Poll::Ready(()),
            Phase::Ended => panic!(
                "the timer of this sleep has gone: its runtime was dropped, or could have no more of them. Poll \
                 it first in the runtime that will be there when its time is over"
            ),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let Some(alarm) = &self.alarm else { return };
        let mut state = alarm.lock();
        state.phase = Phase::Ended;
        let (task, sleeper) = (state.task.take(), state.sleeper.take());
        drop(state);
        drop(sleeper);
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// What a sleep and its task share.
#[derive(Debug)]
struct Alarm(Mutex<State>);

#[derive(Debug)]
struct State {
    deadline: Instant,
    phase: Phase,
    /// Who polls the sleep.
    sleeper: Option<Waker>,
    /// Who has the timer.
    task: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Set,
    /// The time is over.
    Rung,
    /// One of the two is gone.
    Ended,
}

impl Alarm {
    const fn new(deadline: Instant) -> Self {
        Self(Mutex::new(State { deadline, phase: Phase::Set, sleeper: None, task: None }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what is set, and tells the sleeper.
    fn end(&self, phase: Phase) {
        let mut state = self.lock();
        if state.phase != Phase::Set {
            return;
        }
        state.phase = phase;
        let (sleeper, task) = (state.sleeper.take(), state.task.take());
        drop(state);
        drop(task);
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }
}

/// The task that has the timer.
struct Ring {
    alarm: Arc<Alarm>,
    /// The timer, and when it expires.
    timer: Option<(Instant, time::Sleep)>,
}

impl Future for Ring {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let waker = cx.waker().clone();
            let mut state = self.alarm.lock();
            let (phase, deadline) = (state.phase, state.deadline);
            let before = state.task.replace(waker);
            drop(state);
            drop(before);
            if phase != Phase::Set {
                return Poll::Ready(());
            }
            let now = Instant::now();
            if deadline <= now {
                self.alarm.end(Phase::Rung);
                return Poll::Ready(());
            }
            let expires = self.timer.as_ref().map(|(expires, _)| *expires);
            if expires.is_none_or(|expires| deadline < expires) {
                self.timer = Some((deadline, time::sleep(deadline - now)));
            }
            let Some((_, timer)) = &mut self.timer else { return Poll::Pending };
            if Pin::new(timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.alarm.end(Phase::Ended);
    }
}
