//! `serve`: a file of 4 kB over 64 connections that are kept, the server on one core.

use super::server::{Program, Site, is_installed};
use crate::Result;
use crate::clock::Cores;
use crate::measure::{Contender, Plan, Sample, alternate};
use crate::results::Outcome;

struct Setup {
    site: Site,
    seconds: u64,
}

const CONNECTIONS: usize = 64;
const FILE_BYTES: usize = 4096;

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let Some(site) = Site::new("serve", cores, FILE_BYTES)? else { return Ok(()) };
    let setup = Setup { site, seconds: plan.size(3, 1) };
    let mut contenders = vec![
        Contender { name: "ukevent io_uring", round: |it| round(it, Program::Ukevent("io_uring")) },
        Contender { name: "ukevent epoll", round: |it| round(it, Program::Ukevent("epoll")) },
        Contender { name: "ukevent poll", round: |it| round(it, Program::Ukevent("poll")) },
    ];
    if is_installed("nginx") {
        contenders.push(Contender { name: "nginx", round: |it| round(it, Program::Nginx) });
    } else {
        eprintln!("SKIPPED: nginx is not installed, so serve goes without it");
    }
    alternate(plan, "serve", &contenders, &setup, outcomes);
    Ok(())
}

fn round(setup: &Setup, program: Program) -> Result<Vec<Sample>> {
    let server = setup.site.start(program)?;
    let load = server.load(CONNECTIONS, setup.seconds)?;
    let sample = |measure: &str, unit, value| {
        Sample::figure(unit, value)
            .counted(load.requests + load.errors, load.requests)
            .with("measure", measure)
            .with("bytes", FILE_BYTES)
            .with("connections", CONNECTIONS)
    };
    let cpu_ns = load.cpu_ns_per_request();
    Ok(vec![
        sample("rate", "requests/s", load.per_second).cpu(cpu_ns),
        sample("cpu", "ns CPU/request", cpu_ns),
    ])
}
