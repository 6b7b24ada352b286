//! A program: what one test does to a queue and to the simulated kernel under it, step by step.
//!
//! Steps name registrations by a number of the program's own, and times relative to the clocks, so
//! that a program stays meaningful when steps are taken out of it: a step whose registration was
//! never made does nothing. That is what the shrinker relies on.

use std::fmt;
use ukevent_queue::sim::Faults;
use ukevent_queue::{Clock, Interest, Merge, Mode, Readiness};

/// What a program calls a registration. Never used twice, so removed ones can be named too.
pub(crate) type Id = u32;

/// Everything that decides what happens: two runs of a program are the same.
#[derive(Clone, PartialEq)]
pub(crate) struct Program<S = Step> {
    /// What the faults are drawn from.
    pub(crate) seed: u64,
    pub(crate) faults: Faults,
    /// So many registrations at most.
    pub(crate) limit: u32,
    pub(crate) steps: Vec<S>,
}

/// What programs are made of.
pub(crate) trait Simplify: Copy + PartialEq + fmt::Debug {
    /// What might do in its place, the simplest first.
    fn simple_forms(self) -> Vec<Self>;
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Register {
        id: Id,
        what: What,
        mode: Mode,
    },
    Modify {
        id: Id,
        change: Alteration,
    },
    Enable(Id),
    Disable(Id),
    Remove(Id),
    /// Makes a descriptor ready for exactly this.
    Set(usize, Readiness),
    /// After so many nanoseconds.
    SetAfter(usize, u64, Readiness),
    /// Nanoseconds.
    Advance(u64),
    /// Nanoseconds.
    Suspend(u64),
    /// Sets the wall clock forth or back by so many nanoseconds.
    SetWall(i64),
    Post(Id, u64),
    Wake,
    Wait {
        until: Until,
        at_least: usize,
        at_most: usize,
    },
    /// Takes so many events, or fewer if there are no more.
    Take(usize),
    /// Uses a key that nobody gave out.
    Forge {
        index: u32,
        generation: u32,
        call: Call,
    },
}

/// A source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    Fd(usize, Interest),
    Timer(Beats),
    Merged(Merge),
    Each(u32),
}

/// A timer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Beats {
    pub(crate) clock: Clock,
    pub(crate) first: First,
    /// 0: once.
    pub(crate) period_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum First {
    After(u64),
    /// An absolute time, said relative to what the clock shows.
    At(i64),
}

/// A change: what is not named stays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Alteration {
    pub(crate) token: Option<u64>,
    pub(crate) mode: Option<Mode>,
    pub(crate) interest: Option<Interest>,
    pub(crate) timer: Option<Beats>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Until {
    Ever,
    Now,
    /// Nanoseconds.
    Within(u64),
    /// An absolute time, said relative to what the clock shows.
    At(Clock, i64),
}

/// What takes a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Call {
    Modify,
    Enable,
    Disable,
    Remove,
    Poster,
}

impl<S: fmt::Debug> fmt::Display for Program<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {:#x}, limit {}, {:?}", self.seed, self.limit, self.faults)?;
        for (at, step) in self.steps.iter().enumerate() {
            let step = format!("{step:?}").replace(&usize::MAX.to_string(), "MAX");
            writeln!(f, "{at:4}  {step}")?;
        }
        Ok(())
    }
}
