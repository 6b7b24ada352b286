//! `bursts`: many new connections a second, with one request each.
//!
//! In a round a contender's server, on a core of its own, is asked for a page of 4 kB by 3,000 connections a second,
//! then by twice as many, and so on. They come when they are due, whatever the server does; it closes each after
//! its reply. The climb ends with the first error, or where the load could not ask as it should have: then that
//! rate is not the server's figure. An error at one rate takes the result at that rate, not those below it.

mod show;
#[cfg(test)]
mod tests;

use super::Table;
use crate::{
    contenders::{
        bare_serve::BareEpollServer,
        ukevent::{Epoll, IoUring, Poll},
        ukevent_serve::UkeventServer,
    },
    server::{
        Content, Life, Running, Serves, Site, descriptors,
        load::{self, Measured, PATIENCE, measure, plan_of_ones},
    },
};
use std::time::Duration;
use ukevent_load::{Arrivals, Length, Pace};
use ukevent_measure::{
    Contender, Plan, Result, Sample, alternate,
    cores::{Cores, pin, spread},
    results::Outcome,
};

/// The table, with nobody but ukevent and straight system calls.
pub const TABLE: Table = Table {
    name: "bursts",
    about: "new connections a second, one request each, until the first error",
    source: show::SOURCE,
    run: |plan, cores, outcomes| run(plan, cores, Vec::new(), outcomes),
    show: show::show,
};

/// Connections a second, as in 2006.
pub(super) const ASKED: u32 = 3_000;
/// The content of the page of 2006.
pub const PAGE_BYTES: usize = 3_931;
/// Connections at a time, at most; both ends of each are in this process.
const MOST: u32 = 2_000;
/// How often a rate is tried where the load could not ask as it should have.
const TRIES: usize = 3;
/// Connections before a round is measured.
const WARM_UP: u64 = 100;

/// What all contenders are given.
#[derive(Debug)]
pub struct Setup {
    /// How many times as many connections as in 2006, upwards.
    multiples: &'static [u32],
    /// How long each is measured.
    time: Duration,
    /// How long a client waits.
    patience: Duration,
    server_core: usize,
    load_core: usize,
}

/// Runs the table. The calling thread makes the load.
///
/// # Errors
/// None of its own; those of contenders are in their outcomes.
pub fn run(
    plan: &Plan,
    cores: &Cores,
    rivals: Vec<Contender<Setup>>,
    outcomes: &mut Vec<Outcome>,
) -> Result<()> {
    let Some(load_core) = cores.second() else {
        eprintln!("SKIPPED: bursts takes two cores, one for the server and one for the load");
        return Ok(());
    };
    // Ends that have just been closed count, too.
    descriptors::raised(u64::from(MOST) * 4);
    let setup = Setup {
        multiples: plan.pick(&[1, 2, 4, 8, 16, 32], &[1, 2, 4, 8, 16, 32], &[1]),
        time: Duration::from_millis(plan.pick(2_000, 200, 50)),
        // One second in 2006. A run that only shows that it runs may be on a machine that does much else.
        patience: plan.pick(Duration::from_secs(1), Duration::from_secs(1), PATIENCE * 5),
        server_core: cores.first(),
        load_core,
    };
    let contenders: Vec<_> = ours().into_iter().chain(rivals).collect();
    // A round warms itself up.
    let plan = Plan { warm_ups: 0, ..plan.clone() };
    alternate(&plan, "bursts", &contenders, &setup, outcomes);
    Ok(spread(cores)?)
}

fn ours() -> [Contender<Setup>; 5] {
    [
        Contender { name: "ukevent io_uring", round: round::<UkeventServer<IoUring>> },
        Contender {
            name: "ukevent io_uring, sendfile",
            round: |setup| round_of::<UkeventServer<IoUring>>(setup, Content::SendFile),
        },
        Contender { name: "ukevent epoll", round: round::<UkeventServer<Epoll>> },
        Contender { name: "bare epoll", round: round::<BareEpollServer> },
        Contender { name: "ukevent poll", round: round::<UkeventServer<Poll>> },
    ]
}

/// A round of a contender that has the page in memory.
///
/// # Errors
/// What it did wrong, or the kernel would not do.
pub fn round<S: Serves>(setup: &Setup) -> Result<Vec<Sample>> {
    round_of::<S>(setup, Content::Memory)
}

fn round_of<S: Serves>(setup: &Setup, content: Content) -> Result<Vec<Sample>> {
    let site = Site::new(Life::OneReply, &[(content, PAGE_BYTES)])?;
    let mut server = Running::start::<S>(site, setup.server_core)?;
    pin(setup.load_core)?;
    let samples = load::run(climb(setup, &server));
    // What it failed by says more than what the load saw of that.
    server.stop()?;
    samples
}

/// With more and more connections a second.
async fn climb(setup: &Setup, server: &Running) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    ask(setup, server, ASKED, Length::Requests(WARM_UP)).await?;
    for &multiple in setup.multiples {
        let asked = ASKED * multiple;
        let mut measured = ask(setup, server, asked, Length::Time(setup.time)).await?;
        // What was only somebody else's moment on the load's core does not come again.
        for _ in 1..TRIES {
            if measured.is_load_bound() && measured.is_whole() {
                measured = ask(setup, server, asked, Length::Time(setup.time)).await?;
            }
        }
        let is_first = samples.is_empty();
        if is_first || !measured.is_load_bound() {
            samples.push(measured.sample().with("asked", asked));
        }
        if measured.is_load_bound() {
            let limit = Sample::figure("connections/s", f64::from(asked));
            samples.push(limit.with("limit", "load"));
        }
        if measured.is_load_bound() || !measured.is_whole() {
            break;
        }
    }
    Ok(samples)
}

async fn ask(setup: &Setup, server: &Running, asked: u32, length: Length) -> Result<Measured> {
    let arrivals = Arrivals::Even { rate: f64::from(asked) };
    let plan = ukevent_load::Plan {
        pace: Pace::Open { arrivals, connections: MOST },
        length,
        connect_timeout: setup.patience,
        reply_timeout: setup.patience,
        ..plan_of_ones(server)?
    };
    measure(server, plan).await
}
