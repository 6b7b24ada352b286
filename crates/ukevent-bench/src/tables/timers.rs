//! `timers`: add, cancel and fire, with many of them live; and how late they fire.
//!
//! A round adds n timers that are far away (timed), cancels all of them (timed), adds n that are due
//! soon, 400 ns apart, and takes those that are due every 100 µs (timed) until all fired. It adds and
//! cancels once before, so that memory is there and free places lie as cancelling left them. In the
//! order "random" the deadlines are added, and the timers cancelled, in an order drawn by chance.
//! Each timer must fire once, and none before its time.

pub mod late;

use crate::contenders::ukevent::{Epoll, IoUring, Ukevent};
use crate::tables::Table;
use crate::view::{Chart, Line, Source, View, compared};
use ukevent_measure::Result;
use ukevent_measure::clock::{Stopwatch, now_ns, spin_until};
use ukevent_measure::results::{Outcome, shown};
use ukevent_measure::{Contender, Plan, Random, Sample, alternate};

/// As `ukevent bench` has it.
pub const TABLE: Table = Table {
    name: "timers",
    about: "add, cancel and fire with many of them live, and how late they fire",
    source: Source {
        who: "Evgeniy Polyakov, 10 January 2006",
        how: "no figure: 30 timers ran for several hours, and the program slept until 10 of them had fired",
    },
    run: |plan, _, outcomes| {
        run(plan, |_| Vec::new(), Vec::new(), outcomes);
        Ok(())
    },
    show,
};

fn show(results: &[Outcome]) -> View {
    let labels = ["add", "cancel", "fire"];
    let mut lines: Vec<Line> = Vec::new();
    for row in results.iter().filter(|row| row.ok) {
        let text = |name: &str| row.parameters.get(name).map(shown).unwrap_or_default();
        let place = labels.iter().position(|it| *it == text("operation"));
        let (Some(place), Some(median)) = (place, row.median) else { continue };
        if !row.contender.contains("io_uring") {
            continue;
        }
        let name = format!("{} {}", text("live"), text("order"));
        let point = (place as f64 + 0.5, median);
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name, is_old: false, points: vec![point] }),
        }
    }
    View {
        grids: compared(results, None),
        notes: vec![
            "Timers live in the program's memory: the kernel is told one deadline, so both backends should cost \
             the same, but for how they sleep."
                .to_owned(),
        ],
        chart: Some(Chart {
            x: "on io_uring",
            y: "ns for each timer",
            is_log: false,
            labels: labels.map(str::to_owned).into(),
            lines,
        }),
    }
}

/// A contender.
pub trait Timers: Sized {
    /// What names a timer until it fires or is cancelled.
    type Id: Copy;

    /// For so many timers at a time.
    fn new(live: usize) -> Result<Self>;

    /// Adds a timer that is due when the monotonic clock shows `deadline_ns`.
    fn add(&mut self, token: u32, deadline_ns: u64) -> Result<Self::Id>;

    /// Cancels a timer; whether it was there.
    fn cancel(&mut self, id: Self::Id) -> Result<bool>;

    /// Ends a series of additions or cancellations: all of it has taken effect.
    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    /// Tells a contender without an order of its own what will be due when.
    fn told(&mut self, _due: &[(u64, Self::Id)]) {}

    /// Takes what is due, without blocking: appends the tokens.
    fn fire(&mut self, fired: &mut Vec<u32>) -> Result<()>;

    /// Sleeps until something is due, and takes it.
    fn wait(&mut self, _fired: &mut Vec<u32>) -> Result<()> {
        Err("it cannot sleep".into())
    }
}

/// Time between two deadlines.
const STEP_NS: u64 = 400;
/// Time between two takings.
const TURN_NS: u64 = 256 * STEP_NS;
/// Deadlines that are far away are spread over so much.
const FAR_NS: u64 = 60_000_000_000;

/// What all contenders are given.
#[derive(Debug)]
pub struct Setup {
    live: usize,
    /// How often the three are done in a round.
    passes: usize,
    order: &'static str,
    /// The n-th timer to be added has the deadline of this rank.
    ranks: Vec<u32>,
    /// The order of cancelling.
    cancels: Vec<u32>,
}

/// Runs the table.
pub fn run(
    plan: &Plan,
    rivals: impl Fn(usize) -> Vec<Contender<Setup>>,
    sleepers: Vec<Contender<late::Setup>>,
    outcomes: &mut Vec<Outcome>,
) {
    let lives = plan.pick(&[1_000, 100_000, 1_000_000][..], &[1_000, 100_000], &[100, 200, 1_000]);
    for &live in lives {
        for order in ["in order", "random"] {
            let passes = plan.size((100_000 / live).max(1), 1);
            let mut random = Random::new(2);
            let mut drawn = || match order {
                "random" => random.order(live),
                _ => (0..live as u32).collect(),
            };
            let setup = Setup { live, passes, order, ranks: drawn(), cancels: drawn() };
            let contenders: Vec<_> = ours().into_iter().chain(rivals(live)).collect();
            alternate(plan, "timers", &contenders, &setup, outcomes);
        }
    }
    late::run(plan, sleepers, outcomes);
}

fn ours() -> [Contender<Setup>; 2] {
    [
        Contender { name: "ukevent io_uring", round: round::<Ukevent<IoUring>> },
        Contender { name: "ukevent epoll", round: round::<Ukevent<Epoll>> },
    ]
}

/// A round of a contender.
///
/// # Errors
/// What it did wrong, or the kernel would not do.
pub fn round<T: Timers>(setup: &Setup) -> Result<Vec<Sample>> {
    let mut bench = Bench {
        rival: T::new(setup.live)?,
        setup,
        ids: Vec::with_capacity(setup.live),
        fired: Vec::with_capacity(setup.live),
        deadlines: vec![0; setup.live],
        lead_ns: 1_000_000 + setup.live as u64 * 300,
    };
    let mut watches = [Stopwatch::new(); 3];
    let mut done = [0; 3];
    bench.warm_up()?;
    for _ in 0..setup.passes {
        let counts = bench.pass(&mut watches)?;
        done.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let expected = (setup.live * setup.passes) as u64;
    let samples = ["add", "cancel", "fire"].into_iter().zip(watches).zip(done);
    Ok(samples
        .map(|((operation, watch), done)| {
            Sample::per_unit("ns", &watch, expected, done)
                .with("operation", operation)
                .with("live", setup.live)
                .with("order", setup.order)
        })
        .collect())
}

struct Bench<'a, T: Timers> {
    rival: T,
    setup: &'a Setup,
    ids: Vec<T::Id>,
    fired: Vec<u32>,
    /// By token.
    deadlines: Vec<u64>,
    /// Time to add them all in, when they are due soon.
    lead_ns: u64,
}

impl<T: Timers> Bench<'_, T> {
    /// Adds and cancels once.
    fn warm_up(&mut self) -> Result<()> {
        self.set_deadlines(now_ns() + FAR_NS, FAR_NS / self.setup.live as u64);
        self.add()?;
        self.cancel()?;
        Ok(())
    }

    /// Each of the three once for all timers. Returns how many were added, cancelled and fired.
    fn pass(&mut self, [add, cancel, fire]: &mut [Stopwatch; 3]) -> Result<[u64; 3]> {
        self.set_deadlines(now_ns() + FAR_NS, FAR_NS / self.setup.live as u64);
        let added = add.time(|| self.add())?;
        let cancelled = cancel.time(|| self.cancel())?;
        let soon_ns = self.add_soon()?;
        let mut due: Vec<_> =
            self.deadlines.iter().copied().zip(self.ids.iter().copied()).collect();
        due.sort_unstable_by_key(|&(deadline_ns, _)| deadline_ns);
        self.rival.told(&due);
        drop(due);
        let fired = self.fire(soon_ns, fire)?;
        Ok([added, cancelled, fired])
    }

    /// Adds timers that are due soon, but only once all of them are added. Returns when the first is.
    fn add_soon(&mut self) -> Result<u64> {
        loop {
            let soon_ns = now_ns() + self.lead_ns;
            self.set_deadlines(soon_ns, STEP_NS);
            self.add()?;
            if now_ns() < soon_ns {
                return Ok(soon_ns);
            }
            // Some of them may have fired already, so that they cannot be cancelled.
            self.fire(soon_ns, &mut Stopwatch::new())?;
            self.lead_ns *= 2;
        }
    }

    fn set_deadlines(&mut self, first_ns: u64, step_ns: u64) {
        for (deadline_ns, &rank) in self.deadlines.iter_mut().zip(&self.setup.ranks) {
            *deadline_ns = first_ns + u64::from(rank) * step_ns;
        }
    }

    fn add(&mut self) -> Result<u64> {
        self.ids.clear();
        for (token, &deadline_ns) in (0..).zip(&self.deadlines) {
            self.ids.push(self.rival.add(token, deadline_ns)?);
        }
        self.rival.settle()?;
        Ok(self.ids.len() as u64)
    }

    fn cancel(&mut self) -> Result<u64> {
        let mut cancelled = 0;
        for &place in &self.setup.cancels {
            cancelled += u64::from(self.rival.cancel(self.ids[place as usize])?);
        }
        self.rival.settle()?;
        Ok(cancelled)
    }

    /// Takes the timers, as they become due from `first_ns` on.
    fn fire(&mut self, first_ns: u64, watch: &mut Stopwatch) -> Result<u64> {
        let mut missing = vec![true; self.setup.live];
        let last_ns = first_ns + self.setup.live as u64 * STEP_NS;
        let mut turn_ns = first_ns;
        let mut count = 0;
        // Wheels of one millisecond may be late by as much; a hundred are generous.
        while count < self.setup.live && turn_ns < last_ns + 100_000_000 {
            turn_ns += TURN_NS;
            spin_until(turn_ns);
            self.fired.clear();
            watch.time(|| self.rival.fire(&mut self.fired))?;
            let taken_ns = now_ns();
            for &token in &self.fired {
                if !std::mem::take(&mut missing[token as usize]) {
                    return Err(format!("timer {token} fired twice").into());
                }
                if self.deadlines[token as usize] > taken_ns {
                    return Err(format!("timer {token} fired before its time").into());
                }
            }
            count += self.fired.len();
        }
        Ok(count as u64)
    }
}
