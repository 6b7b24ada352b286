//! The highest rate at which a server answers as fast as it is to: found in steps, each a load at one rate.
//!
//! The search is without clock and sockets. It says which rate is next ([`Search::next_rate`]) and is told what came
//! of it ([`Search::tell`]). It doubles the rate until a step fails, and then halves the distance between the
//! highest rate that was borne and the lowest that was not. A step in which the generator was the bottleneck shows
//! nothing of the server, and what was missed beyond it stays so. Each rate lies strictly between what is known, or beyond
//! it by twice, and their number is bounded: a server that answers at random makes it wrong, but not endless.

mod goal;
mod report;
#[cfg(test)]
mod tests;

pub use goal::{Goal, GoalError};
pub use report::{Form, Report};

use crate::{Class, record::Record, verdict::Verdict};
use std::{fmt, time::Duration};

/// Where a search begins, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The first rate, in requests a second.
    pub start: f64,
    /// No rate is lower.
    pub least: f64,
    /// No rate is higher.
    pub most: f64,
    /// It ends when what was not borne is more than what was by this share of it at most.
    pub precision: f64,
    /// Steps at most.
    pub steps: u32,
}

impl Default for Bounds {
    /// From 1,000 a second, between 1 and [`crate::MOST_RATE`], to 5 %, in at most 64 steps.
    fn default() -> Self {
        Self { start: 1000.0, least: 1.0, most: crate::MOST_RATE, precision: 0.05, steps: 64 }
    }
}

/// A search that goes on.
///
/// ```
/// use ukevent_load::search::{Bounds, Found, Outcome, Search};
///
/// let mut search = Search::new(Bounds::default());
/// while let Some(rate) = search.next_rate() {
///     search.tell(if rate <= 12_345.0 { Outcome::Met } else { Outcome::Slow });
/// }
/// let Found::Between { met, missed } = search.found() else { panic!() };
/// assert!(met <= 12_345.0 && 12_345.0 < missed && missed <= met * 1.05);
/// ```
#[derive(Clone, Debug)]
pub struct Search {
    bounds: Bounds,
    /// The highest that was borne.
    met: Option<f64>,
    /// The lowest that was not.
    missed: Option<f64>,
    /// Whether at that one the generator was the bottleneck.
    was_limited: bool,
    /// The lowest that was not, at which it was not.
    beyond: Option<f64>,
    is_silent: bool,
    taken: u32,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// All were answered, in time, and as fast as they were asked.
    Met,
    /// All were answered, but not in time, or not as fast.
    Slow,
    /// Some were not answered, or with a status from 500 on.
    Failed,
    /// Not met, and the generator was the bottleneck: nothing is known of the server.
    Limited,
    /// None was answered.
    Silent,
}

/// What a search has found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Found {
    /// The highest rate that met the goal, and the lowest that did not, next to it.
    Between {
        /// Requests a second.
        met: f64,
        /// Requests a second.
        missed: f64,
    },
    /// This one met the goal, and of those next to it nothing is known.
    AtLeast {
        /// Requests a second.
        met: f64,
        /// Because the generator was the bottleneck; else the search was at its bound, or ended early.
        by_generator: bool,
        /// The lowest that did not meet it while the generator kept up, if there is one beyond those where it did not.
        beyond: Option<f64>,
    },
    /// None met it; the lowest was this.
    Nothing {
        /// Requests a second.
        missed: f64,
        /// At that one the generator was the bottleneck.
        by_generator: bool,
        /// As of [`Found::AtLeast`].
        beyond: Option<f64>,
    },
    /// This one met the goal; at a higher one the server answered nothing any more, and was asked no more.
    Ceased {
        /// Requests a second.
        met: f64,
        /// Requests a second.
        at: f64,
    },
    /// The server answered nothing, or was not asked.
    Silent,
}

impl Search {
    /// One that begins. Bounds that make no sense are mended: the start lies between the others.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            met: None,
            missed: None,
            was_limited: false,
            beyond: None,
            is_silent: false,
            taken: 0,
        }
    }

    /// The rate of the next step, in requests a second; `None`, when it has ended. The same until
    /// [`Self::tell`].
    #[must_use]
    pub fn next_rate(&self) -> Option<f64> {
        let Bounds { start, least, most, precision, steps } = self.bounds;
        if self.is_silent || self.taken >= steps {
            return None;
        }
        match (self.met, self.missed) {
            (None, None) => Some(start.min(most).max(least)),
            (Some(met), None) => (met < most).then(|| (met * 2.0).min(most)),
            (None, Some(missed)) => (missed > least).then(|| (missed / 2.0).max(least)),
            // Of a generator that is at its end more steps show nothing; one that kept up beyond that is not.
            (Some(_), Some(_)) if self.was_limited && self.beyond.is_none() => None,
            (Some(met), Some(missed)) => {
                let middle = f64::midpoint(met, missed);
                let goes_on = missed > met * (1.0 + precision) && middle > met && middle < missed;
                goes_on.then_some(middle)
            }
        }
    }

    /// What came of the step at [`Self::next_rate`]. After the end it does nothing.
    pub fn tell(&mut self, outcome: Outcome) {
        let Some(rate) = self.next_rate() else { return };
        self.taken += 1;
        match outcome {
            Outcome::Met => self.met = Some(rate),
            Outcome::Slow | Outcome::Failed | Outcome::Limited => {
                self.missed = Some(rate);
                self.was_limited = outcome == Outcome::Limited;
                if !self.was_limited {
                    self.beyond = Some(rate);
                }
            }
            Outcome::Silent => {
                self.is_silent = true;
                self.missed = Some(rate);
            }
        }
    }

    /// What it has found so far.
    #[must_use]
    pub const fn found(&self) -> Found {
        let by_generator = self.was_limited;
        let beyond = if by_generator { self.beyond } else { None };
        match (self.met, self.missed) {
            (None, _) if self.is_silent => Found::Silent,
            (Some(met), Some(at)) if self.is_silent => Found::Ceased { met, at },
            (Some(met), Some(missed)) if !by_generator => Found::Between { met, missed },
            (Some(met), _) => Found::AtLeast { met, by_generator, beyond },
            (None, Some(missed)) => Found::Nothing { missed, by_generator, beyond },
            (None, None) => Found::Silent,
        }
    }
}

/// Errors that only a server, or what is before it, can make.
const SERVERS: [Class; 6] =
    [Class::Refused, Class::Reset, Class::Closed, Class::Cut, Class::Garbage, Class::Tls];
/// Errors of the generator's own.
const OWN: [Class; 2] = [Class::NoPort, Class::NoDescriptor];
/// The share of what was asked that is to be answered within the step.
const KEPT_UP: f64 = 0.97;

/// A step that was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Requests a second that were asked for.
    pub rate: f64,
    /// Replies a second that came.
    pub got: f64,
    /// Latencies.
    pub p50: Duration,
    /// See `p50`.
    pub p99: Duration,
    /// See `p50`.
    pub longest: Duration,
    /// What the goal is about.
    pub aimed: Duration,
    /// What was counted as an error, and replies with a status from 500 on.
    pub errors: u64,
    /// How much of its processor the busiest thread of the generator used, of 100.
    pub busiest_percent: f64,
    /// Most connections at a time.
    pub connections: u64,
    /// What came of it.
    pub outcome: Outcome,
}

impl Step {
    /// What a load at this rate has shown.
    ///
    /// A server that answers fewer a second than were asked has not met its goal, however short they waited so far:
    /// what waits grows. (As many fewer as chance has it are forgiven.) A generator that was the bottleneck excuses a
    /// server that missed its goal, but not for what only a server does, such as closing a connection; and it does
    /// not make one miss it: latency counts from the intended start, so what was met was met.
    ///
    /// ```
    /// use ukevent_load::{Record, search::{Outcome, Step}};
    ///
    /// let step = Step::of(1000.0, "p99=10ms".parse()?, &Record::new());
    /// assert_eq!(step.outcome, Outcome::Silent);
    /// # Ok::<(), ukevent_load::search::GoalError>(())
    /// ```
    #[must_use]
    pub fn of(rate: f64, goal: Goal, record: &Record) -> Self {
        let verdict = Verdict::of(record);
        let unable: u64 = record.statuses.range(500..).map(|(_, count)| count).sum();
        let by_server: u64 = SERVERS.iter().map(|&class| record.errors.of(class)).sum();
        let own: u64 = OWN.iter().map(|&class| record.errors.of(class)).sum();
        let errors = record.errors.total() + unable;
        let aimed = goal.of(&record.latency);
        let chance = 3.0 / (record.requests.max(1) as f64).sqrt();
        let is_behind = record.replies_per_s() < rate * (KEPT_UP - chance);
        let outcome = match () {
            () if record.replies == 0 => Outcome::Silent,
            () if by_server + unable > 0 => Outcome::Failed,
            () if errors == 0 && aimed <= goal.within && !is_behind => Outcome::Met,
            () if verdict.is_bottleneck() || own > 0 => Outcome::Limited,
            () if errors > 0 => Outcome::Failed,
            () => Outcome::Slow,
        };
        Self {
            rate,
            got: record.replies_per_s(),
            p50: record.latency.percentile(50.0),
            p99: record.latency.percentile(99.0),
            longest: record.latency.longest(),
            aimed,
            errors,
            busiest_percent: verdict.busiest_percent,
            connections: record.connections.most,
            outcome,
        }
    }
}

impl Outcome {
    /// In one word, as tables have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Slow => "slow",
            Self::Failed => "failed",
            Self::Limited => "limited",
            Self::Silent => "silent",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
