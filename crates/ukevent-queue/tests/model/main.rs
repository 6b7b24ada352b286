//! The queue against a naive one.
//!
//! A seed makes a [`program`] that registers, changes, waits and takes, on a simulated kernel with a
//! virtual clock and faults. The program [`run`]s on the queue and on a [`naive`] one side by side,
//! and every answer, event, count and moment is compared. A program that fails is made as small as
//! it can be ([`shrink`]) and printed with its seed.
//!
//! `UKEVENT_SEED=n` runs one seed; `UKEVENT_SEEDS=n` the first `n`, or `a..b` those.

mod check;
mod directed;
mod generate;
mod naive;
mod operations;
mod program;
mod reached;
mod registration;
mod run;
mod shrink;
mod world;

use check::check;
use std::io::{Write, stderr};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// So many seeds make the check.
const SEEDS: u64 = 10_000;

#[test]
fn random_programs_do_as_the_naive_queue_does() {
    for_all_seeds(|seed| check(&generate::program(seed), run::run));
}

#[test]
fn random_operations_lose_nothing_and_end_once() {
    for_all_seeds(|seed| check(&operations::program(seed), operations::run));
}

fn for_all_seeds(check: impl Fn(u64) -> Result<(), String> + Sync) {
    let check = &check;
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let running: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(u64::MAX)).collect();
    let (sender, failures) = channel();
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        for running in &running {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    running.store(seed, Ordering::Relaxed);
                    if let Err(failure) = check(seed) {
                        // No more are begun.
                        next.store(seeds.end, Ordering::Relaxed);
                        _ = sender.send(format!("{failure}UKEVENT_SEED={seed} repeats it\n"));
                    }
                }
                running.store(u64::MAX, Ordering::Relaxed);
            });
        }
        drop(sender);
        let mut before = Vec::new();
        loop {
            match failures.recv_timeout(Duration::from_secs(20)) {
                Ok(failure) => found.push(failure),
                Err(RecvTimeoutError::Disconnected) => break,
                // A wait that never ends fails no check: the runner ends the test, so say where.
                Err(RecvTimeoutError::Timeout) => {
                    let now: Vec<_> = running.iter().map(|it| it.load(Ordering::Relaxed)).collect();
                    let stuck: Vec<_> =
                        now.iter().filter(|&it| *it < u64::MAX && before.contains(it)).collect();
                    if !stuck.is_empty() {
                        // Past the capture of the test runner, which shows nothing before the end.
                        _ = writeln!(stderr(), "still running: UKEVENT_SEED={stuck:?}");
                    }
                    before = now;
                }
            }
        }
    });
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn seeds() -> Range<u64> {
    if std::env::var_os("UKEVENT_SEED").is_some() {
        let seed = testkit::seed();
        return seed..seed + 1;
    }
    let Ok(text) = std::env::var("UKEVENT_SEEDS") else { return 0..SEEDS };
    let range = match text.split_once("..") {
        Some((from, to)) => from.parse().and_then(|from| Ok(from..to.parse()?)),
        None => text.parse().map(|to| 0..to),
    };
    range.unwrap_or_else(|_| panic!("UKEVENT_SEEDS={text:?} is neither a number nor a range"))
}
