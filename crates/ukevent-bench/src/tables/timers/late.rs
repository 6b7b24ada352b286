//! How late timers fire: the time from the deadline to the program, which sleeps in between.
//!
//! Some thousand timers at times drawn by chance; p50, p99, p99.9 and the largest of each round.

use super::Timers;
use crate::contenders::ukevent::{Epoll, IoUring, Ukevent};
use ukevent_measure::Result;
use ukevent_measure::clock::now_ns;
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Random, Sample, alternate};

/// What all contenders are given.
#[derive(Debug)]
pub struct Setup {
    timers: usize,
    /// They are due within so much.
    within_ns: u64,
}

pub(super) fn run(plan: &Plan, sleepers: Vec<Contender<Setup>>, outcomes: &mut Vec<Outcome>) {
    let contenders = [
        Contender { name: "ukevent io_uring", round: round::<Ukevent<IoUring>> },
        Contender { name: "ukevent epoll", round: round::<Ukevent<Epoll>> },
    ];
    let contenders: Vec<_> = contenders.into_iter().chain(sleepers).collect();
    let setup = Setup {
        timers: plan.pick(4_000, 1_000, 50),
        within_ns: plan.pick(2_000_000_000, 500_000_000, 50_000_000),
    };
    alternate(plan, "timers", &contenders, &setup, outcomes);
}

/// A round of a contender.
///
/// # Errors
/// What it did wrong, or the kernel would not do.
pub fn round<T: Timers>(setup: &Setup) -> Result<Vec<Sample>> {
    let mut rival = T::new(setup.timers)?;
    let mut random = Random::new(3);
    let first_ns = now_ns() + 5_000_000 + setup.timers as u64 * 5_000;
    let mut deadlines = Vec::with_capacity(setup.timers);
    for token in 0..setup.timers {
        let deadline_ns = first_ns + random.below(setup.within_ns as usize) as u64;
        rival.add(token as u32, deadline_ns)?;
        deadlines.push(deadline_ns);
    }
    rival.settle()?;
    let mut late_ns = Vec::with_capacity(setup.timers);
    let mut fired = Vec::with_capacity(setup.timers);
    // The last of them wakes it, or nothing does.
    while late_ns.len() < setup.timers {
        rival.wait(&mut fired)?;
        let taken_ns = now_ns();
        for token in fired.drain(..) {
            let late = taken_ns.checked_sub(deadlines[token as usize]);
            late_ns.push(late.ok_or("a timer fired before its time")?);
        }
    }
    late_ns.sort_unstable();
    let count = late_ns.len();
    let percentile = |name: &str, permille: usize| {
        let place = (count * permille).div_ceil(1000).clamp(1, count) - 1;
        Sample::figure("µs", late_ns[place] as f64 / 1_000.0)
            .counted(setup.timers as u64, count as u64)
            .with("operation", "late")
            .with("live", setup.timers)
            .with("order", "random")
            .with("percentile", name)
    };
    Ok([("p50", 500), ("p99", 990), ("p99.9", 999), ("max", 1000)]
        .map(|(name, permille)| percentile(name, permille))
        .into())
}
