//! `dead`: what connections on which nothing happens cost the others.
//!
//! In a round a contender's server, on a core of its own, answers some busy connections as fast as it can; then dead
//! ones are added, step by step, and it is measured again at each step, with replies of several sizes. The load
//! holds the dead ones beside the busy ones, which are made anew for each measurement. One request without its
//! reply, or one dead connection that was lost, and the contender has no result. CPU time is that of the server.
//!
//! Both ends of each connection are in this process, if it may have two descriptors for each; else a child holds the
//! other ends. Where that is not enough, there are fewer dead connections.

mod descriptors;
mod show;
#[cfg(test)]
mod tests;

use super::Table;
use crate::{
    contenders::{
        bare_serve::{BareEpollServer, BarePollServer},
        ukevent::{Epoll, IoUring, Poll},
        ukevent_serve::UkeventServer,
    },
    server::{
        Content, Life, Running, Serves, Site,
        held::{Held, Holder},
        load::{self, closed, measure, plan},
    },
};
use std::time::Duration;
use ukevent_load::Length;
use ukevent_measure::{
    Contender, Plan, Result, Sample, alternate,
    cores::{Cores, pin, spread},
    results::Outcome,
};
use ukevent_task::time::sleep;

/// The table, with nobody but ukevent and straight system calls.
pub const TABLE: Table = Table {
    name: "dead",
    about: "replies a second of a server that also holds dead connections",
    source: show::SOURCE,
    run: |plan, cores, outcomes| run(plan, cores, Vec::new(), outcomes),
    show: show::show,
};

/// Busy connections; 100 in 2001.
const BUSY: u32 = 64;
/// Requests before each step is measured: when they are answered, all who are dead were accepted.
const WARM_UP: u64 = 256;

/// What all contenders are given.
#[derive(Debug)]
pub struct Setup {
    busy: u32,
    /// Numbers of dead connections, upwards.
    dead: Vec<u32>,
    holder: Holder,
    /// Bytes of contents of replies.
    sizes: &'static [usize],
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
        eprintln!("SKIPPED: dead takes two cores, one for the server and one for the load");
        return Ok(());
    };
    let busy = plan.pick(BUSY, BUSY, 4);
    let wanted: &[u32] =
        plan.pick(&[0, 1_000, 2_000, 4_000, 6_000, 16_000], &[0, 4_000, 16_000], &[0, 40]);
    let (dead, holder) = descriptors::fitting(wanted, busy);
    if let (Some(most), Some(wanted)) = (dead.last(), wanted.last())
        && most < wanted
    {
        eprintln!(
            "dead: {most} dead connections instead of {wanted}, because a process may not have more \
             descriptors here (ulimit -n)"
        );
    }
    let setup = Setup {
        busy,
        dead,
        holder,
        sizes: plan.pick(&[128, 512, 1024], &[128, 1024], &[128, 1024]),
        time: Duration::from_millis(plan.pick(500, 100, 20)),
        server_core: cores.first(),
        load_core,
    };
    let contenders: Vec<_> = ours().into_iter().chain(rivals).collect();
    // A round warms itself up, and most of its time goes into making and ending connections.
    let warm_ups = plan.pick(plan.warm_ups, 0, 0);
    alternate(&Plan { warm_ups, ..plan.clone() }, "dead", &contenders, &setup, outcomes);
    Ok(spread(cores)?)
}

fn ours() -> [Contender<Setup>; 5] {
    [
        Contender { name: "ukevent io_uring", round: round::<UkeventServer<IoUring>> },
        Contender { name: "ukevent epoll", round: round::<UkeventServer<Epoll>> },
        Contender { name: "bare epoll", round: round::<BareEpollServer> },
        Contender { name: "ukevent poll", round: round::<UkeventServer<Poll>> },
        Contender { name: "bare poll", round: round::<BarePollServer> },
    ]
}

/// A round of a contender.
///
/// # Errors
/// What it did wrong, or the kernel would not do.
pub fn round<S: Serves>(setup: &Setup) -> Result<Vec<Sample>> {
    let replies: Vec<_> = setup.sizes.iter().map(|&bytes| (Content::Memory, bytes)).collect();
    let mut server = Running::start::<S>(Site::new(Life::Kept, &replies)?, setup.server_core)?;
    pin(setup.load_core)?;
    let samples = load::run(climb(setup, &mut server));
    // What it failed by says more than what the load saw of that.
    server.stop()?;
    samples
}

/// With more and more dead connections.
async fn climb(setup: &Setup, server: &mut Running) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let (mut groups, mut there) = (Vec::new(), 0);
    for &dead in &setup.dead {
        groups.push(Held::connect(server, dead - there, setup.holder).await?);
        there = dead;
        ask(setup, server, Length::Requests(WARM_UP), dead).await?;
        for (number, &bytes) in setup.sizes.iter().enumerate() {
            server.site().answer_with(number);
            let sample = ask(setup, server, Length::Time(setup.time), dead).await?;
            samples.push(sample.with("bytes", bytes).with("dead", dead));
        }
    }
    let (mut here, mut lost) = (0, 0);
    for group in &mut groups {
        let idle = group.count()?;
        here += idle.there;
        lost += idle.lost;
    }
    // The server goes first, and resets what it has: nothing of thousands lingers.
    server.stop()?;
    drop(groups);
    // Here they are let go of all at once; with the runtime it would be one by one.
    sleep(Duration::from_millis(1)).await;
    if lost > 0 || here != u64::from(there) {
        let why = format!("of {there} dead connections {here} were left, and {lost} were closed");
        return Err(why.into());
    }
    Ok(samples)
}

/// Makes the load, beside so many dead connections.
async fn ask(setup: &Setup, server: &Running, length: Length, dead: u32) -> Result<Sample> {
    let plan = ukevent_load::Plan { pace: closed(setup.busy), length, ..plan(server)? };
    let measured = measure(server, plan).await?;
    if measured.is_whole() {
        return Ok(measured.sample());
    }
    let errors = measured.errors();
    Err(format!("requests failed beside {dead} dead connections: {errors}").into())
}
