//! `sequential`: one connection after another, with one request each.
//!
//! A client connects, asks for a page of 4 kB, reads it to its end, and only then connects again; the server, on a
//! core of its own, closes after its reply. The page is read from a file for each request and sent; or sent from the
//! file by the kernel; or sent from memory. Nothing is in flight beside it, so this is how long one takes.

mod show;
#[cfg(test)]
mod tests;

use super::{Table, bursts::PAGE_BYTES};
use crate::{
    contenders::{
        bare_serve::BareEpollServer,
        ukevent::{Epoll, IoUring},
        ukevent_serve::UkeventServer,
    },
    server::{
        Content, Life, Running, Serves, Site,
        load::{self, closed, measure, plan_of_ones},
    },
};
use std::time::Duration;
use ukevent_load::Length;
use ukevent_measure::{
    Contender, Plan, Result, Sample, alternate,
    cores::{Cores, pin, spread},
    results::Outcome,
};

/// The table, with nobody but ukevent and straight system calls.
pub const TABLE: Table = Table {
    name: "sequential",
    about: "one connection after another, one request for a page each",
    source: show::SOURCE,
    run: |plan, cores, outcomes| run(plan, cores, Vec::new(), outcomes),
    show: show::show,
};

/// Where the page is, and as what it is shown.
const WAYS: [(Content, &str); 3] =
    [(Content::Read, "read, send"), (Content::SendFile, "sendfile"), (Content::Memory, "memory")];
/// Connections before each is measured.
const WARM_UP: u64 = 20;

/// What all contenders are given.
#[derive(Debug)]
pub struct Setup {
    /// How long each is measured.
    time: Duration,
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
        eprintln!("SKIPPED: sequential takes two cores, one for the server and one for the load");
        return Ok(());
    };
    let time = Duration::from_millis(plan.pick(2_000, 150, 20));
    let setup = Setup { time, server_core: cores.first(), load_core };
    let contenders: Vec<_> = ours().into_iter().chain(rivals).collect();
    alternate(plan, "sequential", &contenders, &setup, outcomes);
    Ok(spread(cores)?)
}

fn ours() -> [Contender<Setup>; 3] {
    [
        Contender { name: "ukevent io_uring", round: round::<UkeventServer<IoUring>> },
        Contender { name: "ukevent epoll", round: round::<UkeventServer<Epoll>> },
        Contender { name: "bare epoll", round: round::<BareEpollServer> },
    ]
}

/// A round of a contender.
///
/// # Errors
/// What it did wrong, or the kernel would not do.
pub fn round<S: Serves>(setup: &Setup) -> Result<Vec<Sample>> {
    let replies = WAYS.map(|(content, _)| (content, PAGE_BYTES));
    let site = Site::new(Life::OneReply, &replies)?;
    let mut server = Running::start::<S>(site, setup.server_core)?;
    pin(setup.load_core)?;
    let samples = load::run(ask(setup, &server));
    // What it failed by says more than what the load saw of that.
    server.stop()?;
    samples
}

async fn ask(setup: &Setup, server: &Running) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for (number, (_, way)) in WAYS.into_iter().enumerate() {
        server.site().answer_with(number);
        for length in [Length::Requests(WARM_UP), Length::Time(setup.time)] {
            let plan = ukevent_load::Plan { pace: closed(1), length, ..plan_of_ones(server)? };
            let measured = measure(server, plan).await?;
            if !measured.is_whole() {
                return Err(format!("{way}: requests failed: {}", measured.errors()).into());
            }
            if length == Length::Time(setup.time) {
                samples.push(measured.sample().with("page", way));
            }
        }
    }
    Ok(samples)
}
