//! The method: contenders in turn, several rounds, and only what was delivered counts.
//!
//! A round of a contender is a function that makes it anew, lets it work, and returns [`Sample`]s.
//! All contenders have their first round, then all their second; the first of all is a warm-up that
//! nobody sees. A contender that lost, doubled or invented one unit in one round has no result.

use crate::{
    Result,
    clock::Stopwatch,
    results::{Outcome, Parameters},
    stats,
};
use serde_json::Value;
use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

/// How much is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds that count.
    pub rounds: usize,
    /// Rounds before them that do not.
    pub warm_ups: usize,
    /// How large it is to be.
    pub size: Size,
    /// Contenders that cannot be had here, by name. They are passed over: say so before.
    pub absent: Vec<&'static str>,
    /// What is shown before the line of progress.
    pub prefix: String,
}

/// How large a measurement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As large as makes its figures steady.
    Full,
    /// Of the full sizes, fewer: for who does not want to wait.
    Brief,
    /// Tiny: does it run, and deliver? Its figures mean nothing.
    Smoke,
}

impl Plan {
    /// Five rounds after one that does not count, of the full size, with everybody.
    #[must_use]
    pub const fn full() -> Self {
        Self { rounds: 5, warm_ups: 1, size: Size::Full, absent: Vec::new(), prefix: String::new() }
    }

    /// Five rounds of what is brief, after one that does not count.
    #[must_use]
    pub fn brief() -> Self {
        Self { size: Size::Brief, ..Self::full() }
    }

    /// One round of tiny sizes.
    #[must_use]
    pub fn smoke() -> Self {
        Self { rounds: 1, warm_ups: 0, size: Size::Smoke, ..Self::full() }
    }

    /// Whether this contender is to be had.
    #[must_use]
    pub fn has(&self, contender: &str) -> bool {
        !self.absent.contains(&contender)
    }

    /// Whether it only shows that it runs.
    #[must_use]
    pub fn is_smoke(&self) -> bool {
        self.size == Size::Smoke
    }

    /// One of two sizes; what is brief is full-sized here.
    #[must_use]
    pub const fn size<T: Copy>(&self, full: T, smoke: T) -> T {
        self.pick(full, full, smoke)
    }

    /// One of three sizes.
    #[must_use]
    pub const fn pick<T: Copy>(&self, full: T, brief: T, smoke: T) -> T {
        match self.size {
            Size::Full => full,
            Size::Brief => brief,
            Size::Smoke => smoke,
        }
    }
}

/// One contender of a table, in a set-up that all have in common.
///
/// ```
/// use ukevent_measure::{Contender, Plan, Sample, alternate, clock::Stopwatch};
///
/// fn sum(numbers: &Vec<u64>) -> ukevent_measure::Result<Vec<Sample>> {
///     let mut watch = Stopwatch::new();
///     let sum: u64 = watch.time(|| numbers.iter().sum());
///     let added = numbers.len() as u64 - u64::from(sum != 4950);
///     Ok(vec![Sample::per_unit("ns", &watch, numbers.len() as u64, added).with("numbers", 100)])
/// }
///
/// let contenders = [Contender { name: "iterator", round: sum }];
/// let mut outcomes = Vec::new();
/// alternate(&Plan::full(), "sums", &contenders, &(0..100).collect(), &mut outcomes);
/// assert!(outcomes[0].ok && outcomes[0].rounds.len() == 5);
/// ```
#[derive(Debug)]
pub struct Contender<S> {
    /// As it is shown.
    pub name: &'static str,
    /// One round of its work: made anew, at work, and what it showed.
    pub round: fn(&S) -> Result<Vec<Sample>>,
}

/// What a contender showed in one round, for one kind of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    parameters: Parameters,
    unit: &'static str,
    value: f64,
    cpu_ns: Option<f64>,
    expected: u64,
    delivered: u64,
}

impl Sample {
    /// A figure that stands for itself.
    #[must_use]
    pub fn figure(unit: &'static str, value: f64) -> Self {
        Self { parameters: Parameters::new(), unit, value, cpu_ns: None, expected: 0, delivered: 0 }
    }

    /// Nanoseconds for each of `expected` units, of which `delivered` were seen to be done.
    #[must_use]
    pub fn per_unit(unit: &'static str, watch: &Stopwatch, expected: u64, delivered: u64) -> Self {
        let each = |ns: u64| ns as f64 / expected as f64;
        Self {
            value: each(watch.wall_ns()),
            cpu_ns: Some(each(watch.cpu_ns())),
            ..Self::figure(unit, 0.0).counted(expected, delivered)
        }
    }

    /// With CPU time for each unit.
    #[must_use]
    pub const fn cpu(mut self, cpu_ns_per_unit: f64) -> Self {
        self.cpu_ns = Some(cpu_ns_per_unit);
        self
    }

    /// With what should have been, and what was, delivered.
    #[must_use]
    pub const fn counted(mut self, expected: u64, delivered: u64) -> Self {
        self.expected = expected;
        self.delivered = delivered;
        self
    }

    /// Whether all was delivered.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.expected == self.delivered
    }

    /// Whether it has a parameter of this value.
    #[must_use]
    pub fn is(&self, name: &str, value: &str) -> bool {
        self.parameters.get(name).is_some_and(|it| it == value)
    }

    /// With one more parameter. They are shown in the order in which they come.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.parameters.insert(name, value);
        self
    }
}

/// Time between two contenders.
const REST: Duration = Duration::from_millis(20);

/// Lets the contenders work in turn, and appends their outcomes. One that fails in a round has no more of them.
///
/// Blocks for as long as that takes; on a terminal, a line on standard error says how far it is.
pub fn alternate<S>(
    plan: &Plan,
    table: &'static str,
    contenders: &[Contender<S>],
    setup: &S,
    outcomes: &mut Vec<Outcome>,
) {
    let is_here = |it: &&Contender<S>| plan.has(it.name);
    let contenders: Vec<&Contender<S>> = contenders.iter().filter(is_here).collect();
    let mut tallies: Vec<Tally> = contenders.iter().map(|it| Tally::new(table, it.name)).collect();
    for round in 0..plan.warm_ups + plan.rounds {
        for (contender, tally) in contenders.iter().zip(&mut tallies) {
            if tally.failed.is_some() {
                continue;
            }
            let what = if round < plan.warm_ups {
                "warm-up".to_owned()
            } else {
                format!("round {} of {}", round + 1 - plan.warm_ups, plan.rounds)
            };
            progress(&format!("{}{table}: {what}, {}", plan.prefix, contender.name));
            match (contender.round)(setup) {
                Ok(samples) if round >= plan.warm_ups => tally.take(samples),
                Ok(_) => {}
                Err(error) => tally.failed = Some(error.to_string()),
            }
            // The kernel takes apart what was closed a while after; not in the next one's time.
            std::thread::sleep(REST);
        }
    }
    progress("");
    for tally in tallies {
        outcomes.extend(tally.finish());
    }
}

/// Shows on one line of the terminal what goes on; an empty line takes it away. Nothing, if standard error is none.
pub fn progress(line: &str) {
    let mut terminal = std::io::stderr();
    if !terminal.is_terminal() {
        return;
    }
    // It is for people only; whether they see it changes nothing.
    let _ = write!(terminal, "\r\x1b[2K{line}").and_then(|()| terminal.flush());
}

/// The samples of one contender, collected over the rounds.
struct Tally {
    table: &'static str,
    contender: &'static str,
    works: Vec<Work>,
    failed: Option<String>,
}

/// One kind of work.
struct Work {
    parameters: Parameters,
    unit: &'static str,
    rounds: Vec<f64>,
    cpus: Vec<f64>,
    expected: u64,
    delivered: u64,
    /// What is wrong with the first round in which it was not all, and no more. Sums would not do: what
    /// came twice in one round would stand for what was lost in another.
    lost: Option<String>,
}

impl Tally {
    const fn new(table: &'static str, contender: &'static str) -> Self {
        Self { table, contender, works: Vec::new(), failed: None }
    }

    fn take(&mut self, samples: Vec<Sample>) {
        for sample in samples {
            let known = self.works.iter().position(|work| work.parameters == sample.parameters);
            let place = known.unwrap_or_else(|| {
                self.works.push(Work {
                    parameters: sample.parameters,
                    unit: sample.unit,
                    rounds: Vec::new(),
                    cpus: Vec::new(),
                    expected: 0,
                    delivered: 0,
                    lost: None,
                });
                self.works.len() - 1
            });
            let work = &mut self.works[place];
            work.rounds.push(sample.value);
            work.cpus.extend(sample.cpu_ns);
            work.expected += sample.expected;
            work.delivered += sample.delivered;
            if sample.expected != sample.delivered && work.lost.is_none() {
                let round = work.rounds.len();
                let Sample { expected, delivered, .. } = sample;
                work.lost =
                    Some(format!("{delivered} of {expected} were delivered in round {round}"));
            }
        }
    }

    fn finish(self) -> Vec<Outcome> {
        let Self { table, contender, works, failed } = self;
        if works.is_empty() {
            return vec![Outcome::without_result(table, contender, failed)];
        }
        works.into_iter().map(|work| work.outcome(table, contender, failed.clone())).collect()
    }
}

impl Work {
    fn outcome(self, table: &str, contender: &str, failed: Option<String>) -> Outcome {
        let error = failed.or(self.lost);
        Outcome {
            table: table.to_owned(),
            contender: contender.to_owned(),
            parameters: self.parameters,
            unit: self.unit.to_owned(),
            median: error.is_none().then(|| stats::rounded(stats::median(&self.rounds))),
            rounds: self.rounds.iter().map(|&value| stats::rounded(value)).collect(),
            cpu_ns_per_unit: (error.is_none() && !self.cpus.is_empty())
                .then(|| stats::rounded(stats::median(&self.cpus))),
            expected: self.expected,
            delivered: self.delivered,
            ok: error.is_none(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sample, Tally};

    #[test]
    fn what_came_twice_does_not_stand_for_what_was_lost() {
        let outcome = |delivered: [u64; 3]| {
            let mut tally = Tally::new("post", "somebody");
            for count in delivered {
                tally.take(vec![Sample::figure("ns", 1.0).counted(10, count)]);
            }
            tally.finish().remove(0)
        };
        let whole = outcome([10, 10, 10]);
        assert_eq!((whole.ok, whole.median, whole.error), (true, Some(1.0), None));
        let lost = outcome([10, 9, 11]);
        assert_eq!((lost.expected, lost.delivered), (30, 30));
        assert_eq!((lost.ok, lost.median), (false, None));
        assert_eq!(lost.error.as_deref(), Some("9 of 10 were delivered in round 2"));
    }
}
