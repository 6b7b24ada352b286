//! `serve`: files over HTTP, the server on one core: 4 kB over 64 connections that are kept, by wrk; 1 MB
//! and 100 MB over four, by a reader of our own that looks at every byte. Then the 4 kB over TLS 1.3, all with
//! the same cipher, against nginx.

use super::server::{Program, Server, Site, Tls, has_wrk};
use crate::tools::is_installed;
use ukevent_measure::Result;
use ukevent_measure::cores::Cores;
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Sample, alternate};

struct Setup {
    site: Site,
    bytes: usize,
    seconds: u64,
    /// Of each large file, over each connection.
    requests: usize,
}

const CONNECTIONS: usize = 64;
pub(crate) const FILE_BYTES: usize = 4096;

const IO_URING: Program = Program::Ukevent("io_uring");
const EPOLL: Program = Program::Ukevent("epoll");
const POLL: Program = Program::Ukevent("poll");

const LARGE_CONNECTIONS: usize = 4;
const LARGE_BYTES: [usize; 2] = [1_000_000, 100_000_000];
/// Bytes of each size over each connection, in one round.
const VOLUME_BYTES: usize = 1_000_000_000;

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let sizes = [FILE_BYTES, LARGE_BYTES[0], LARGE_BYTES[1]];
    let Some(site) = Site::new("serve", cores, &sizes)? else { return Ok(()) };
    let mut setup = Setup { site, bytes: FILE_BYTES, seconds: plan.size(3, 1), requests: 0 };
    if has_wrk("serve of 4 kB") {
        alternate(plan, "serve", &contenders(false), &setup, outcomes);
        if let Some(tls) = Tls::new("serve", &setup.site)? {
            let secure = Secure { setup, tls };
            alternate(plan, "serve", &secure_contenders(), &secure, outcomes);
            setup = secure.setup;
        }
    }
    for bytes in LARGE_BYTES {
        setup.bytes = bytes;
        setup.requests = plan.size(VOLUME_BYTES / bytes, 1);
        alternate(plan, "serve", &contenders(true), &setup, outcomes);
    }
    Ok(())
}

/// The same with TLS.
struct Secure {
    setup: Setup,
    tls: Tls,
}

fn secure_contenders() -> Vec<Contender<Secure>> {
    let mut contenders = vec![
        Contender { name: "ukevent io_uring", round: |it| small_tls(it, IO_URING) },
        Contender { name: "ukevent epoll", round: |it| small_tls(it, EPOLL) },
    ];
    if is_installed("nginx") {
        contenders.push(Contender { name: "nginx", round: |it| small_tls(it, Program::Nginx) });
    }
    contenders
}

/// The measures have names of their own: what a bar says of the plain ones is not said of these.
fn small_tls(Secure { setup, tls }: &Secure, program: Program) -> Result<Vec<Sample>> {
    let server = setup.site.start_tls(program, tls)?;
    let load = server.load(setup.bytes, CONNECTIONS, setup.seconds)?;
    let sample = |measure: &str, unit, value| {
        sample(setup, CONNECTIONS, measure, unit, value)
            .counted(load.requests + load.errors, load.requests)
    };
    let cpu_ns = load.cpu_ns_per_request();
    Ok(vec![
        sample("rate over TLS", "requests/s", load.per_second).cpu(cpu_ns),
        sample("cpu over TLS", "ns CPU/request", cpu_ns),
    ])
}

/// Those that are here, said aloud of the others.
fn contenders(is_large: bool) -> Vec<Contender<Setup>> {
    type Round = fn(&Setup) -> Result<Vec<Sample>>;
    let mut contenders = Vec::new();
    let mut add = |name, small: Round, large: Round| {
        contenders.push(Contender { name, round: if is_large { large } else { small } });
    };
    add("ukevent io_uring", |it| small(it, IO_URING), |it| large(it, IO_URING));
    add("ukevent epoll", |it| small(it, EPOLL), |it| large(it, EPOLL));
    add("ukevent poll", |it| small(it, POLL), |it| large(it, POLL));
    let mut add_installed = |name, small, large| {
        if is_installed(name) {
            add(name, small, large);
        } else if !is_large {
            eprintln!("SKIPPED: {name} is not installed, so serve goes without it");
        }
    };
    add_installed("nginx", |it| small(it, Program::Nginx), |it| large(it, Program::Nginx));
    add_installed("h2o", |it| small(it, Program::H2o), |it| large(it, Program::H2o));
    add_installed("lighttpd", |it| small(it, Program::Lighttpd), |it| large(it, Program::Lighttpd));
    add_installed(
        "static-web-server",
        |it| small(it, Program::StaticWebServer),
        |it| large(it, Program::StaticWebServer),
    );
    if !is_large {
        add("bare ring", |it| small(it, Program::BareRing), |it| large(it, Program::BareRing));
    }
    contenders
}

fn small(setup: &Setup, program: Program) -> Result<Vec<Sample>> {
    let server = setup.site.start(program)?;
    let load = server.load(setup.bytes, CONNECTIONS, setup.seconds)?;
    let sample = |measure: &str, unit, value| {
        sample(setup, CONNECTIONS, measure, unit, value)
            .counted(load.requests + load.errors, load.requests)
    };
    let cpu_ns = load.cpu_ns_per_request();
    Ok(vec![
        sample("rate", "requests/s", load.per_second).cpu(cpu_ns),
        sample("cpu", "ns CPU/request", cpu_ns),
        sample("peak memory", "MiB", peak_mib(&server)?),
    ])
}

fn large(setup: &Setup, program: Program) -> Result<Vec<Sample>> {
    let server = setup.site.start(program)?;
    let read = server.read_all(setup.bytes, LARGE_CONNECTIONS, setup.requests)?;
    let sample = |measure: &str, unit, value| {
        sample(setup, LARGE_CONNECTIONS, measure, unit, value)
            .counted((LARGE_CONNECTIONS * setup.requests) as u64, read.requests)
    };
    let gigabytes = read.requests as f64 * setup.bytes as f64 / 1e9;
    Ok(vec![
        sample("throughput", "GB/s", gigabytes / read.wall.as_secs_f64()),
        sample("cpu", "ms CPU/GB", read.cpu_ns as f64 / 1e6 / gigabytes),
        sample("peak memory", "MiB", peak_mib(&server)?),
    ])
}

fn sample(
    setup: &Setup,
    connections: usize,
    measure: &str,
    unit: &'static str,
    value: f64,
) -> Sample {
    Sample::figure(unit, value)
        .with("measure", measure)
        .with("bytes", setup.bytes)
        .with("connections", connections)
}

fn peak_mib(server: &Server) -> Result<f64> {
    Ok(server.peak_bytes()? as f64 / f64::from(1 << 20))
}
