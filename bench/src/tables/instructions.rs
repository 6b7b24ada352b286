//! How many instructions a timer takes, with few and with many of them live: a part of `timers`.
//!
//! Counted by callgrind, in a child, on the backend with a virtual clock, so that nothing depends on the machine's
//! moment. All sizes do the same: deadlines are spread at random over the same time. In each step one timer is
//! added and another one cancelled, or fired, so that as many stay live. The child does that once, and twice as
//! often: the difference, for each step.

use crate::tools::is_installed;
use std::process::Command;
use std::time::Duration;
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Random, Result, Sample, alternate};
use ukevent_queue::sim::Sim;
use ukevent_queue::{Builder, Clock, Key, Mode, Queue, Timer, Token, Wait};

/// The argument of a child, before the words that say what it is to do.
const ARGUMENT: &str = "--instructions";
/// Deadlines are spread over so much.
const HORIZON: Duration = Duration::from_secs(60);
/// How many fire in one wait.
const BATCH: usize = 256;

struct Setup {
    live: usize,
    steps: usize,
}

/// What is done in a step.
#[derive(Clone, Copy)]
enum Work {
    Cancel,
    Fire,
}

impl Work {
    const ALL: [Self; 2] = [Self::Cancel, Self::Fire];

    const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "add and cancel",
            Self::Fire => "add and fire",
        }
    }
}

/// Appends to the table.
pub(crate) fn run(plan: &Plan, outcomes: &mut Vec<Outcome>) {
    if !is_installed("valgrind") {
        eprintln!("SKIPPED: valgrind is not installed, so timers counts no instructions");
        return;
    }
    // What is counted is the same each time.
    let plan = Plan { rounds: 1, warm_ups: 0, ..plan.clone() };
    for live in plan.size([1_000, 100_000, 1_000_000], [100, 1_000, 10_000]) {
        // Until each was replaced once, on average.
        let setup = Setup { live, steps: live.max(plan.size(1_000_000, 10_000)) };
        let contenders = [Contender { name: "ukevent sim", round }];
        alternate(&plan, "timers", &contenders, &setup, outcomes);
    }
}

fn round(setup: &Setup) -> Result<Vec<Sample>> {
    let sample = |work: Work| {
        let once = counted(work, setup.live, setup.steps)?;
        let twice = counted(work, setup.live, setup.steps * 2)?;
        let each = (twice as f64 - once as f64) / setup.steps as f64;
        Ok(Sample::figure("instructions", each)
            .with("operation", work.name())
            .with("live", setup.live)
            .with("order", "random"))
    };
    Work::ALL.into_iter().map(sample).collect()
}

/// The instructions of a child.
fn counted(work: Work, live: usize, steps: usize) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe()?).arg(ARGUMENT);
    let output = command.arg(format!("{},{live},{steps}", work.name())).output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("callgrind: {words}").into());
    }
    let count = words.lines().find_map(|line| line.split_once("Collected :"));
    Ok(count.ok_or_else(|| format!("callgrind said something new: {words}"))?.1.trim().parse()?)
}

/// What a child does: `WORK,LIVE,STEPS`.
pub(crate) fn be_child(words: &str) -> Result<()> {
    let mut words = words.split(',');
    let mut word = || words.next().ok_or("three words, with commas between them");
    let name = word()?;
    let work = Work::ALL.into_iter().find(|it| it.name() == name).ok_or("no such work")?;
    let (live, steps): (usize, usize) = (word()?.parse()?, word()?.parse()?);
    let sim = Sim::new(1);
    let mut timers = Timers {
        queue: Builder::new().sim(&sim).build()?,
        sim,
        random: Random::new(7),
        keys: Vec::with_capacity(live),
    };
    for token in 0..live {
        let key = timers.add(token)?;
        timers.keys.push(key);
    }
    match work {
        Work::Cancel => timers.cancel(steps),
        Work::Fire => timers.fire(steps),
    }
}

struct Timers {
    queue: Queue,
    sim: Sim,
    random: Random,
    /// By token.
    keys: Vec<Key>,
}

impl Timers {
    fn add(&mut self, token: usize) -> Result<Key> {
        let ns = self.random.next() % HORIZON.as_nanos() as u64;
        let at = self.queue.time(Clock::Monotonic) + Duration::from_nanos(ns);
        let timer = Timer::at(Clock::Monotonic, at);
        Ok(self.queue.register(timer, Token::from(token), Mode::OneShot)?)
    }

    fn cancel(&mut self, steps: usize) -> Result<()> {
        for _ in 0..steps {
            let token = self.random.below(self.keys.len());
            self.queue.remove(self.keys[token])?;
            self.keys[token] = self.add(token)?;
        }
        Ok(())
    }

    fn fire(&mut self, steps: usize) -> Result<()> {
        let mut fired = 0;
        // On average a batch is due after each.
        let turn = HORIZON / 2 * BATCH as u32 / self.keys.len() as u32;
        while fired < steps {
            self.sim.advance(turn);
            self.queue.wait(Wait::now())?;
            while let Some(event) = self.queue.next_event() {
                let token = event.token.0 as usize;
                self.keys[token] = self.add(token)?;
                fired += 1;
            }
        }
        Ok(())
    }
}
