//! Telling which task keeps the thread from all others.
//!
//! To look at a clock for each poll would cost a third of a switch between two tasks, and a precise clock more
//! than all of it. So the coarse clock is read, once for [`GROUP`] polls; whose they were is noted. A group
//! that took too long is told, and from then on, for [`SINGLE_NS`], it is read for each poll: the second time
//! the task is named for sure.
//!
//! What that means. The coarse clock goes in steps of some milliseconds (clock_getres(2)), and one step is
//! taken off what it says: nothing is told that did not take as long. What takes longer than the limit and
//! less than two steps more is told or not, as the steps fall. A group of one, as when the thread sleeps
//! between two polls, is named for sure the first time. Time is that of the wall: a thread that the kernel
//! did not let run is late as well, and so is one that the program's own signal handlers or a debugger hold.

use crate::tell::tell;
use rustix::time::{ClockId, clock_getres, clock_gettime};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// Polls between two looks at the coarse clock.
const GROUP: usize = 8;
/// For so long it is read for each poll, after one was late.
const SINGLE_NS: u64 = 10_000_000_000;
/// What is told by itself.
const DEFAULT_LIMIT: Duration = Duration::from_millis(10);

/// What is told of a task that kept the thread for too long: see
/// [`RuntimeBuilder::stuck`](crate::RuntimeBuilder::stuck).
///
/// Its `Display` is one line for people.
///
/// ```
/// use std::{sync::mpsc, thread, time::Duration};
/// use ukevent_task::{Runtime, spawn};
///
/// let (tell, told) = mpsc::channel();
/// let mut runtime = Runtime::builder()
///     .stuck(Duration::from_millis(20), move |stuck| _ = tell.send(stuck.to_string()))
///     .build()?;
/// runtime.block_on(async {
///     // It should have been `sleep(…).await`.
///     let _ = spawn(async { thread::sleep(Duration::from_millis(50)) }).await;
/// })?;
/// assert!(told.recv()?.contains("no other task ran meanwhile"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stuck<'a> {
    took: Duration,
    polls: usize,
    spawned_at: &'a [&'static Location<'static>],
}

impl Stuck<'_> {
    /// How long the thread was kept, at least; wall-clock time.
    #[must_use]
    pub const fn took(&self) -> Duration {
        self.took
    }

    /// By how many polls together: 1, and it was one for sure.
    #[must_use]
    pub const fn polls(&self) -> usize {
        self.polls
    }

    /// Where the tasks were spawned that were polled in this time, each place once.
    #[must_use]
    pub const fn spawned_at(&self) -> &[&'static Location<'static>] {
        self.spawned_at
    }
}

impl fmt::Display for Stuck<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.took.as_millis();
        match (self.polls, self.spawned_at) {
            (1, [place]) => {
                write!(f, "a task spawned at {place} kept its thread for {millis} ms")?;
            }
            (polls, places) => {
                write!(f, "{polls} polls kept their thread for {millis} ms, of tasks spawned at ")?;
                for (index, place) in places.iter().enumerate() {
                    write!(f, "{}{place}", if index == 0 { "" } else { ", " })?;
                }
            }
        }
        f.write_str(": no other task ran meanwhile")
    }
}

/// Who is told.
pub(crate) type Tell = Arc<dyn Fn(&Stuck<'_>) + Send + Sync>;

/// When what is told to whom.
#[derive(Clone)]
pub(crate) struct Report {
    limit_ns: u64,
    tell: Tell,
}

impl Report {
    pub(crate) fn new(limit: Duration, tell: Tell) -> Self {
        Self { limit_ns: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX), tell }
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT, Arc::new(|stuck| tell(format_args!("{stuck}"))))
    }
}

/// Watches the polls of a runtime.
pub(crate) struct Watch {
    report: Option<Report>,
    /// Of the coarse clock.
    step_ns: u64,
    /// Until then a group is one poll.
    single_until_ns: Cell<u64>,
    /// When the group began.
    since_ns: Cell<u64>,
    /// Polls of the group.
    count: Cell<usize>,
    /// Polls of a whole group.
    most: Cell<usize>,
    group: [Cell<Option<&'static Location<'static>>>; GROUP],
    /// What was told: the place, and whether for sure.
    told: RefCell<Vec<(&'static Location<'static>, bool)>>,
}

impl Watch {
    pub(crate) fn new(report: Option<Report>) -> Self {
        let step_ns = nanoseconds(clock_getres(ClockId::MonotonicCoarse));
        // Without a report nothing is looked at but the count.
        let most = if report.is_some() { GROUP } else { usize::MAX };
        Self {
            report,
            step_ns,
            single_until_ns: Cell::new(0),
            since_ns: Cell::new(0),
            count: Cell::new(0),
            most: Cell::new(most),
            group: [const { Cell::new(None) }; GROUP],
            told: RefCell::default(),
        }
    }

    /// Tasks are polled from now on.
    #[inline]
    pub(crate) fn begin(&self) {
        if self.report.is_some() {
            self.since_ns.set(now_ns());
            self.count.set(0);
        }
    }

    /// A task of this place is polled.
    #[inline]
    pub(crate) fn polls(&self, spawned_at: &'static Location<'static>) {
        let count = self.count.get();
        self.group[count % GROUP].set(Some(spawned_at));
        self.count.set(count.wrapping_add(1));
    }

    /// A poll is over. May run code of the program.
    #[inline]
    pub(crate) fn polled(&self) {
        if self.count.get() >= self.most.get() {
            self.look();
        }
    }

    /// No more tasks are polled for now. May run code of the program.
    #[inline]
    pub(crate) fn end(&self) {
        if self.report.is_some() && self.count.get() > 0 {
            self.look();
        }
    }

    /// Looks at the clock: how long did the group take?
    fn look(&self) {
        let Some(report) = &self.report else { return };
        let now_ns = now_ns();
        let took_ns = now_ns.saturating_sub(self.since_ns.replace(now_ns));
        let polls = self.count.replace(0);
        if took_ns.saturating_add(self.step_ns) >= report.limit_ns {
            self.most.set(1);
            self.single_until_ns.set(now_ns.saturating_add(SINGLE_NS));
            let at_least_ns = took_ns.saturating_sub(self.step_ns);
            if at_least_ns >= report.limit_ns {
                self.tell(report, at_least_ns, polls);
            }
        } else if self.most.get() == 1 && now_ns > self.single_until_ns.get() {
            self.most.set(GROUP);
        }
    }

    /// Tells it, unless it was told of these places before.
    fn tell(&self, report: &Report, took_ns: u64, polls: usize) {
        let mut places: Vec<&'static Location<'static>> = Vec::with_capacity(polls);
        for place in self.group[..polls.min(GROUP)].iter().filter_map(Cell::get) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let is_sure = polls == 1;
        let is_known = {
            let told = self.told.borrow();
            let is_told = |place: &&Location<'static>| told.iter().any(|(it, _)| it == place);
            if is_sure {
                told.iter().any(|&(it, sure)| sure && places.contains(&it))
            } else {
                // One that was named is the likely one.
                told.iter().any(|&(it, sure)| sure && places.contains(&it))
                    || places.iter().all(is_told)
            }
        };
        if is_known {
            return;
        }
        self.told.borrow_mut().extend(places.iter().map(|&place| (place, is_sure)));
        let took = Duration::from_nanos(took_ns);
        (report.tell)(&Stuck { took, polls, spawned_at: &places });
        // Telling takes time as well.
        self.since_ns.set(now_ns());
    }
}

/// Now, by the coarse clock.
fn now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::MonotonicCoarse))
}

fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
