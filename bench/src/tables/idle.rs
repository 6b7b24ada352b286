//! `idle`: what connections that do nothing cost the others.
//!
//! A round starts the server, measures its rate over 64 busy connections, opens idle ones (each made
//! one request), measures again, and checks that every idle one is still open. The file has 128
//! bytes: the smaller the answer, the more the waiting counts.

use super::server::{Load, Program, Server, Site, has_wrk};
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use ukevent_measure::Result;
use ukevent_measure::cores::Cores;
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Sample, alternate};

struct Setup {
    site: Site,
    idle: usize,
    seconds: u64,
}

const BUSY: usize = 64;
const FILE_BYTES: usize = 128;

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) -> Result<()> {
    if !has_wrk("idle") {
        return Ok(());
    }
    let Some(site) = Site::new("idle", cores, &[FILE_BYTES])? else { return Ok(()) };
    let setup = Setup { site, idle: plan.size(16_000, 100), seconds: plan.size(3, 1) };
    let contenders = [
        Contender { name: "ukevent io_uring", round: |it| round(it, Program::Ukevent("io_uring")) },
        Contender { name: "ukevent epoll", round: |it| round(it, Program::Ukevent("epoll")) },
        Contender { name: "ukevent poll", round: |it| round(it, Program::Ukevent("poll")) },
    ];
    alternate(plan, "idle", &contenders, &setup, outcomes);
    Ok(())
}

fn round(setup: &Setup, program: Program) -> Result<Vec<Sample>> {
    let server = setup.site.start(program)?;
    let alone = load(&server, setup)?;
    let mut held = server.hold(FILE_BYTES, setup.idle)?;
    let among = load(&server, setup)?;
    let open = held.iter_mut().filter_map(|stream| is_open(stream).ok()).filter(|it| *it).count();
    if open < setup.idle {
        return Err(format!("of {} idle connections {open} are open", setup.idle).into());
    }
    Ok(samples(&alone, 0).into_iter().chain(samples(&among, setup.idle)).collect())
}

fn load(server: &Server, setup: &Setup) -> Result<Load> {
    server.load(FILE_BYTES, BUSY, setup.seconds)
}

fn samples(load: &Load, idle: usize) -> [Sample; 2] {
    let sample = |measure: &str, unit, value| {
        Sample::figure(unit, value)
            .counted(load.requests + load.errors, load.requests)
            .with("measure", measure)
            .with("idle", idle)
    };
    let cpu_ns = load.cpu_ns_per_request();
    [
        sample("rate", "requests/s", load.per_second).cpu(cpu_ns),
        sample("cpu", "ns CPU/request", cpu_ns),
    ]
}

/// Whether a connection at rest is open: nothing to read, not even its end.
fn is_open(stream: &mut TcpStream) -> std::io::Result<bool> {
    stream.set_nonblocking(true)?;
    match stream.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Ok(_) | Err(_) => Ok(false),
    }
}
