//! What programs come to, so that a generator that went blind is seen: a check that never meets a
//! late report proves nothing about them.

use crate::naive::Outcome;
use crate::{generate, run};
use std::cell::Cell;
use ukevent_queue::{Counters, Kind};

/// How often it came to this.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    descriptors: u64,
    timers: u64,
    posts: u64,
    /// Waits that let events out.
    granted: u64,
    /// Waits that let none out.
    empty: u64,
    interrupted: u64,
    deadlocks: u64,
    coalesced: u64,
    untrue: u64,
    stale: u64,
}

impl Reached {
    pub(crate) const fn note_wait(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Granted(0) => self.empty += 1,
            Outcome::Granted(_) => self.granted += 1,
            Outcome::Interrupted => self.interrupted += 1,
            Outcome::Deadlock => self.deadlocks += 1,
        }
    }

    pub(crate) const fn note_event(&mut self, kind: &Kind) {
        match kind {
            Kind::Ready(_) => self.descriptors += 1,
            Kind::Timer(_) => self.timers += 1,
            Kind::User(_) => self.posts += 1,
            _ => {}
        }
    }

    pub(crate) const fn note_counters(&mut self, counters: Counters) {
        self.coalesced += counters.coalesced;
        self.untrue += counters.untrue;
        self.stale += counters.stale;
    }

    const fn each(&self) -> [(&'static str, u64); 10] {
        [
            ("events of descriptors", self.descriptors),
            ("events of timers", self.timers),
            ("events of posts", self.posts),
            ("waits with events", self.granted),
            ("waits without", self.empty),
            ("interrupted waits", self.interrupted),
            ("waits that could never end", self.deadlocks),
            ("coalesced reports", self.coalesced),
            ("untrue events", self.untrue),
            ("stale reports", self.stale),
        ]
    }
}

#[test]
fn random_programs_come_to_everything() {
    let programs = 500;
    let mut sums = [0; 10];
    for seed in 0..programs {
        let reached = run::run(&generate::program(seed), &Cell::new(0));
        // What fails is the business of another test.
        let each = reached.unwrap_or_default().each();
        sums.iter_mut().zip(each).for_each(|(sum, (_, count))| *sum += count);
    }
    for (sum, (what, _)) in sums.into_iter().zip(Reached::default().each()) {
        eprintln!("{sum:6} {what}");
        assert!(sum * 50 >= programs, "{sum} {what} in {programs} programs");
    }
}
