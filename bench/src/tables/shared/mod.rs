//! `shared`: several threads, one set of descriptors, and one event for one of them.
//!
//! Of 64 pairs of Unix sockets a load thread keeps so many busy, drawn by chance, with one message of eight bytes
//! each. So each message is one event. A waiter receives it, does the same work as every other contender's, and
//! answers. The kernel puts all threads on the cores as it likes: with two cores, several server threads and a load
//! cannot be measured apart, and the figures are ratios under the same conditions.
//!
//! | file | what it tells |
//! |---|---|
//! | `mod.rs` | what a contender is, and a round of one |
//! | `server.rs` | what a waiter's thread does with an event, and what of it is counted |
//! | `load.rs` | the messages, and their answers |
//!
//! Each message is answered once, or the contender has no result. To be told of a message that is not there is an
//! event that came twice, and no result either; but where the interface allows for it ([`Shares::MAY_TELL_TWICE`])
//! it is a return too many.

mod load;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use server::Server;

use self::load::Load;
use self::server::{Part, Work};
use crate::rivals::{
    dealt_epoll::Dealt,
    edge_epoll::OneForAll,
    exclusive_epoll::Exclusive,
    one_shot_epoll::OneShot,
    ukevent_shared::{Balanced, Nearest, Pinned, Ukevent},
};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use ukevent_bench::tables::ready::Descriptor;
use ukevent_measure::Result;
use ukevent_measure::cores::{Cores, pin, spread};
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Sample, alternate};

/// Pairs of sockets.
pub(crate) const PAIRS: usize = 64;

/// A contender: what several threads wait on.
pub(crate) trait Shares {
    /// Whether several waiters may be told of one message: the one that comes late finds nothing.
    const MAY_TELL_TWICE: bool = false;

    type Waiter: Waits + 'static;

    /// So many waiters for these descriptors, and for `Ends::stop`, which is for each of them.
    fn waiters(ends: &Ends, count: usize) -> Result<Vec<Self::Waiter>>;
}

/// One thread's part of a contender.
pub(crate) trait Waits: Send {
    /// Sleeps until it is told of something, and has each answered. False if it is to stop.
    fn wait(&mut self, server: &mut Server) -> Result<bool>;

    /// Waits so far.
    fn returns(&self) -> u64;
}

/// What is waited for. None of it blocks.
pub(crate) struct Ends {
    /// The place of each is its token.
    pub(crate) readers: Arc<[Descriptor]>,
    /// An eventfd, readable for good when the waiters are to stop.
    pub(crate) stop: Descriptor,
}

/// A waiter that does not stop within this time never will.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

struct Setup {
    waiters: usize,
    in_flight: usize,
    work: Work,
    messages: u64,
    cores: Cores,
}

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) {
    let works = [Work::NONE, Work::lasting("2 µs", 2_000)];
    for waiters in plan.size(&[2, 4, 8][..], &[2, 4]).iter().copied() {
        for (in_flight, full) in [(1, 20_000), (32, 100_000)] {
            for work in works {
                let messages = plan.size(full, 1_000);
                let setup = Setup { waiters, in_flight, work, messages, cores: cores.clone() };
                alternate(plan, "shared", &contenders(), &setup, outcomes);
            }
        }
    }
}

fn contenders() -> [Contender<Setup>; 7] {
    [
        Contender { name: "ukevent", round: round::<Ukevent<Balanced>> },
        Contender { name: "ukevent nearest", round: round::<Ukevent<Nearest>> },
        Contender { name: "ukevent pinned", round: round::<Pinned> },
        Contender { name: "shared epoll, EPOLLEXCLUSIVE", round: round::<Exclusive> },
        Contender { name: "shared epoll, edge", round: round::<OneForAll> },
        Contender { name: "shared epoll, one-shot", round: round::<OneShot> },
        Contender { name: "epoll per thread", round: round::<Dealt> },
    ]
}

/// What all threads of a round see.
struct Shared {
    /// The warm-up is over.
    is_counted: AtomicBool,
    stop: Descriptor,
}

fn round<S: Shares>(setup: &Setup) -> Result<Vec<Sample>> {
    spread(&setup.cores)?;
    let outcome = run_round::<S>(setup);
    pin(setup.cores.first())?;
    outcome
}

fn run_round<S: Shares>(setup: &Setup) -> Result<Vec<Sample>> {
    let (readers, writers) = pairs()?;
    let stop: Descriptor = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
    let ends = Ends { readers: readers.into(), stop: stop.clone() };
    let shared = Arc::new(Shared { is_counted: AtomicBool::new(false), stop });
    let mut load = Load::new(&writers, setup.in_flight)?;
    let (to_load, parts) = mpsc::channel();
    for waiter in S::waiters(&ends, setup.waiters)? {
        let server = Server::new(&ends.readers, setup.work);
        let (shared, to_load) = (shared.clone(), to_load.clone());
        std::thread::spawn(move || serve(waiter, server, &shared, &to_load));
    }
    drop(to_load);
    let ran = run_load(&mut load, &shared, setup.messages);
    rustix::io::write(&shared.stop, &1_u64.to_ne_bytes())?;
    // A waiter that failed is why the load did.
    let parts = collect(&parts, setup.waiters)?;
    let wall_ns = ran?;
    load.check_silence()?;
    let warm_up = warm_up(setup.messages);
    let all: u64 = parts.iter().map(|part| part.taken_at_all).sum();
    let told: u64 = parts.iter().map(|part| part.told_at_all).sum();
    if told != all && !S::MAY_TELL_TWICE {
        return Err(format!("{told} events were told of {all} messages").into());
    }
    Ok(samples(setup, &parts, wall_ns, (setup.messages + warm_up, all)))
}

const fn warm_up(messages: u64) -> u64 {
    messages / 10
}

/// Returns how long the messages after the warm-up took.
fn run_load(load: &mut Load, shared: &Shared, messages: u64) -> Result<u64> {
    load.run(warm_up(messages))?;
    shared.is_counted.store(true, Ordering::Release);
    load.run(messages)
}

/// A waiter's thread.
fn serve(
    mut waiter: impl Waits,
    mut server: Server,
    shared: &Shared,
    to_load: &Sender<Result<Part>>,
) {
    let served = (|| {
        let mut from = None;
        loop {
            let goes_on = waiter.wait(&mut server)?;
            if from.is_none() && shared.is_counted.load(Ordering::Acquire) {
                from = Some(server.tally(waiter.returns()));
            }
            if !goes_on {
                let tally = server.tally(waiter.returns());
                return Ok(tally.since(from.unwrap_or(tally)));
            }
        }
    })();
    // If the load is gone, it has said why.
    let _ = to_load.send(served);
}

fn collect(parts: &Receiver<Result<Part>>, count: usize) -> Result<Vec<Part>> {
    let part = |_| match parts.recv_timeout(STOPS_WITHIN) {
        Ok(part) => part,
        Err(RecvTimeoutError::Timeout) => Err("a waiter does not stop".into()),
        Err(RecvTimeoutError::Disconnected) => Err("a waiter panicked".into()),
    };
    (0..count).map(part).collect()
}

fn samples(
    setup: &Setup,
    parts: &[Part],
    wall_ns: u64,
    (expected, delivered): (u64, u64),
) -> Vec<Sample> {
    let sum = |of: fn(&Part) -> u64| parts.iter().map(of).sum::<u64>() as f64;
    let events = sum(|part| part.taken);
    let most = parts.iter().map(|part| part.taken).max().unwrap_or(0) as f64;
    let cpu_ns = sum(|part| part.cpu_ns) / events;
    let sample = |measure: &str, unit, value| {
        Sample::figure(unit, value)
            .counted(expected, delivered)
            .with("measure", measure)
            .with("waiters", setup.waiters)
            .with("in flight", setup.in_flight)
            .with("work", setup.work.name())
    };
    vec![
        sample("rate", "events/s", setup.messages as f64 * 1e9 / wall_ns as f64).cpu(cpu_ns),
        sample("cpu", "ns CPU/event", cpu_ns),
        sample("returns", "returns/event", sum(|part| part.returns) / events),
        sample("spread", "busiest/mean", most * parts.len() as f64 / events),
    ]
}

/// The waiters' ends and the load's.
fn pairs() -> Result<(Vec<Descriptor>, Vec<Descriptor>)> {
    let pair = |_| -> Result<(Descriptor, Descriptor)> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok((Arc::new(OwnedFd::from(reader)), Arc::new(OwnedFd::from(writer))))
    };
    (0..PAIRS).map(pair).collect()
}
