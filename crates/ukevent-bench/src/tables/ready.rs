//! `ready`: a few active descriptors of many that are registered.
//!
//! A round arms M eventfds (timed), lets N of them, drawn by chance, become active by a write and
//! collects the events (timed), and removes all of them (timed); arming and removing several times.
//! The program must get a token and a
//! readiness for each event; it reads what it was told of, outside of the timed part. With level
//! triggers the wait that follows the reading, in which nothing is ready any more, is timed too: that
//! is where a level is watched anew. Each event must come once, none may come after the removal.

use crate::contenders::{
    bare_epoll::BareEpoll,
    bare_poll::BarePoll,
    ukevent::{Epoll, IoUring, Poll, Ukevent},
};
use crate::tables::Table;
use crate::view::{Chart, Line, Source, View, compared};
use rustix::event::{EventfdFlags, eventfd};
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use ukevent_measure::Result;
use ukevent_measure::clock::Stopwatch;
use ukevent_measure::results::Outcome;
use ukevent_measure::table::unique;
use ukevent_measure::{Contender, Plan, Random, Sample, alternate};

/// As `ukevent bench` has it.
pub const TABLE: Table = Table {
    name: "ready",
    about: "N active of M registered: what it costs to arm, to take an event, and to remove",
    source: Source {
        who: "Davide Libenzi, 1 July 2001, Improving (network) IO performance",
        how: "its thesis, without a figure: what it costs to learn of events must depend on how many there are, \
              and not on how many descriptors are watched",
    },
    run: |plan, _, outcomes| run(plan, |_| Vec::new(), outcomes),
    show,
};

fn show(results: &[Outcome]) -> View {
    let is_taken = |row: &&Outcome| {
        let is = |name: &str, value: &str| row.parameters.get(name).is_some_and(|it| it == value);
        is("trigger", "level") && is("operation", "reap") && row.ok
    };
    let most = results.iter().filter_map(|row| row.parameters.get("registered")?.as_u64()).max();
    let number = |row: &Outcome, name: &str| row.parameters.get(name)?.as_u64();
    let drawn: Vec<&Outcome> =
        results.iter().filter(is_taken).filter(|row| number(row, "registered") == most).collect();
    let actives = unique(drawn.iter().filter_map(|row| number(row, "active")));
    let mut lines: Vec<Line> = Vec::new();
    for row in drawn {
        let (Some(active), Some(median)) = (number(row, "active"), row.median) else { continue };
        let at = actives.iter().position(|it| *it == active).unwrap_or(0) as f64 + 0.5;
        match lines.iter_mut().find(|line| line.name == row.contender) {
            Some(line) => line.points.push((at, median)),
            None => lines.push(Line {
                name: row.contender.clone(),
                is_old: false,
                points: vec![(at, median)],
            }),
        }
    }
    View {
        grids: compared(results, Some("trigger")),
        notes: vec![
            "poll(2) looks through its whole list at each wait: what one event costs grows with what is \
             watched, and shrinks with what is ready. For the others it should not."
                .to_owned(),
        ],
        chart: Some(Chart {
            x: "active descriptors, of the most that are registered; by level",
            y: "ns for each event",
            is_log: true,
            labels: actives.iter().map(ToString::to_string).collect(),
            lines,
        }),
    }
}

/// A descriptor, shared because some contenders want to own what they watch.
pub type Descriptor = Arc<OwnedFd>;

/// When a descriptor is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// When it becomes ready.
    Edge,
    /// While it is ready.
    Level,
}

/// A contender.
pub trait Readiness: Sized {
    /// One that watches nothing yet.
    fn new(trigger: Trigger) -> Result<Self>;

    /// Watches each descriptor for reading; its token is its place. The kernel knows of all of them
    /// when this returns.
    fn arm(&mut self, descriptors: &[Descriptor]) -> Result<()>;

    /// Waits without blocking, and notes each event that came.
    fn reap(&mut self, seen: &mut Seen) -> Result<()>;

    /// Watches none of them any more. The kernel knows when this returns.
    fn remove(&mut self, descriptors: &[Descriptor]) -> Result<()>;
}

/// The events that a contender handed to the program.
#[derive(Debug, Default)]
pub struct Seen {
    tokens: Vec<u32>,
    unreadable: u64,
}

impl Seen {
    /// An event.
    #[inline]
    pub fn note(&mut self, token: u64, readable: bool) {
        self.tokens.push(token as u32);
        self.unreadable += u64::from(!readable);
    }

    /// Takes the places of what is ready.
    #[inline]
    pub fn drain(&mut self) -> impl Iterator<Item = usize> {
        self.tokens.drain(..).map(|token| token as usize)
    }
}

/// What all contenders are given.
#[derive(Debug)]
pub struct Setup {
    trigger: Trigger,
    descriptors: Vec<Descriptor>,
    /// Numbers of active descriptors.
    active: Vec<usize>,
    /// Events to collect for each of them, about.
    events: usize,
    /// Turns at most in which they are collected.
    turns: usize,
    /// How often all are armed and removed.
    cycles: usize,
    random: RefCell<Random>,
}

/// Runs the table.
pub fn run(
    plan: &Plan,
    rivals: impl Fn(Trigger) -> Vec<Contender<Setup>>,
    outcomes: &mut Vec<Outcome>,
) -> Result<()> {
    for registered in plan.pick([1000, 10_000], [1000, 8_000], [64, 300]) {
        let descriptors = (0..registered)
            .map(|_| Ok(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)))
            .collect::<Result<Vec<_>>>()
            .map_err(|error| format!("{registered} eventfds: {error} (see ulimit -n)"))?;
        let events = plan.pick(20_000, 4_000, 600);
        let mut setup = Setup {
            trigger: Trigger::Edge,
            descriptors,
            active: [1, 16, 256, registered].into_iter().filter(|&it| it <= registered).collect(),
            events,
            turns: plan.pick(2_000, 300, 2_000),
            cycles: (events / registered).max(2),
            random: RefCell::new(Random::new(1)),
        };
        for trigger in [Trigger::Edge, Trigger::Level] {
            setup.trigger = trigger;
            let contenders: Vec<_> = ours(trigger).into_iter().chain(rivals(trigger)).collect();
            alternate(plan, "ready", &contenders, &setup, outcomes);
        }
    }
    Ok(())
}

fn ours(trigger: Trigger) -> Vec<Contender<Setup>> {
    let mut contenders = vec![
        Contender { name: "ukevent io_uring", round: round::<Ukevent<IoUring>> },
        Contender { name: "ukevent epoll", round: round::<Ukevent<Epoll>> },
        Contender { name: "bare epoll", round: round::<BareEpoll> },
    ];
    // poll(2) cannot see edges.
    if trigger == Trigger::Level {
        contenders.push(Contender { name: "ukevent poll", round: round::<Ukevent<Poll>> });
        contenders.push(Contender { name: "bare poll", round: round::<BarePoll> });
    }
    contenders
}

/// A round of a contender.
///
/// # Errors
/// What it did wrong, or the kernel would not do.
pub fn round<R: Readiness>(setup: &Setup) -> Result<Vec<Sample>> {
    let mut bench = Bench {
        rival: R::new(setup.trigger)?,
        setup,
        watch: Stopwatch::new(),
        seen: Seen::default(),
        awaited: vec![false; setup.descriptors.len()],
    };
    bench.run()
}

struct Bench<'a, R> {
    rival: R,
    setup: &'a Setup,
    watch: Stopwatch,
    seen: Seen,
    /// By token: an event was caused and not seen yet.
    awaited: Vec<bool>,
}

impl<R: Readiness> Bench<'_, R> {
    fn run(&mut self) -> Result<Vec<Sample>> {
        let descriptors = &self.setup.descriptors;
        let all: Vec<u32> = (0..descriptors.len() as u32).collect();
        let mut samples = Vec::new();
        let (mut arm, mut remove) = (Stopwatch::new(), Stopwatch::new());
        let (mut armed, mut removed) = (0, 0);
        // Memory is there after the first time.
        self.rival.arm(descriptors)?;
        self.rival.remove(descriptors)?;
        for cycle in 0..self.setup.cycles {
            arm.time(|| self.rival.arm(descriptors))?;
            // Whoever armed all reports all.
            armed += self.turn(&all)?;
            if cycle == 0 {
                samples.extend(self.reap(&all)?);
            }
            remove.time(|| self.rival.remove(descriptors))?;
            removed += (descriptors.len() as u64).saturating_sub(self.after_removal()?);
        }
        let expected = (self.setup.cycles * descriptors.len()) as u64;
        samples.insert(0, self.sample("arm", None, &arm, expected, armed));
        samples.push(self.sample("remove", None, &remove, expected, removed));
        Ok(samples)
    }

    /// For each number of active descriptors.
    fn reap(&mut self, all: &[u32]) -> Result<Vec<Sample>> {
        let mut tokens = all.to_vec();
        let mut samples = Vec::new();
        for &active in &self.setup.active {
            self.watch.reset();
            let turns = (self.setup.events / active).clamp(4, self.setup.turns);
            let mut seen = 0;
            for _ in 0..turns {
                self.setup.random.borrow_mut().draw(&mut tokens, active);
                seen += self.turn(&tokens[..active])?;
            }
            let expected = (turns * active) as u64;
            samples.push(self.sample("reap", Some(active), &self.watch, expected, seen));
        }
        Ok(samples)
    }

    fn sample(
        &self,
        operation: &str,
        active: Option<usize>,
        watch: &Stopwatch,
        expected: u64,
        delivered: u64,
    ) -> Sample {
        let trigger = match self.setup.trigger {
            Trigger::Edge => "edge",
            Trigger::Level => "level",
        };
        let sample = Sample::per_unit("ns", watch, expected, delivered)
            .with("trigger", trigger)
            .with("operation", operation)
            .with("registered", self.setup.descriptors.len());
        match active {
            Some(active) => sample.with("active", active),
            None => sample,
        }
    }

    /// Lets these descriptors become active, and collects and handles their events. Returns how many
    /// of them were reported.
    fn turn(&mut self, tokens: &[u32]) -> Result<u64> {
        for &token in tokens {
            rustix::io::write(&self.setup.descriptors[token as usize], &1_u64.to_ne_bytes())?;
            self.awaited[token as usize] = true;
        }
        let mut reported = 0;
        let mut empty = 0;
        while empty < 3 {
            self.watch.time(|| self.rival.reap(&mut self.seen))?;
            if self.seen.tokens.is_empty() {
                empty += 1;
                if reported == tokens.len() as u64 {
                    break;
                }
                continue;
            }
            reported += self.handle()?;
            if self.setup.trigger == Trigger::Edge && reported == tokens.len() as u64 {
                break;
            }
        }
        Ok(reported)
    }

    /// What the program does with events: it reads.
    fn handle(&mut self) -> Result<u64> {
        let tokens = std::mem::take(&mut self.seen.tokens);
        for &token in &tokens {
            let awaited = self.awaited.get_mut(token as usize);
            if !awaited.is_some_and(std::mem::take) {
                return Err(format!("an event of descriptor {token} had no cause").into());
            }
            rustix::io::read(&self.setup.descriptors[token as usize], &mut [0_u8; 8])?;
        }
        if self.seen.unreadable > 0 {
            return Err("an event of a readable descriptor did not say so".into());
        }
        let reported = tokens.len() as u64;
        self.seen.tokens = tokens;
        self.seen.tokens.clear();
        Ok(reported)
    }

    /// How many events still come once all were removed.
    fn after_removal(&mut self) -> Result<u64> {
        for descriptor in &self.setup.descriptors {
            rustix::io::write(descriptor, &1_u64.to_ne_bytes())?;
        }
        for _ in 0..3 {
            self.rival.reap(&mut self.seen)?;
        }
        let late = self.seen.tokens.len() as u64;
        self.seen = Seen::default();
        for descriptor in &self.setup.descriptors {
            rustix::io::read(descriptor, &mut [0_u8; 8])?;
        }
        Ok(late)
    }
}
