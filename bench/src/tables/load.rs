//! `load`: programs that make a load, in turn on one core, against the same server on the other.
//!
//! Closed loops: how much a load can ask. An open loop at 80 % of what wrk reached right before, the same for all in
//! a round: how much of it starts late, and which latency is told. And many connections: how much memory they take.

use super::generators::{Generator, Made, Order};
use super::server::{Program, Server, Site, has_wrk};
use std::cell::Cell;
use ukevent_measure::cores::Cores;
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Result, Sample, alternate};

struct Setup {
    site: Site,
    server: Program,
    server_name: &'static str,
    bytes: usize,
    connections: usize,
    seconds: u64,
    /// What an open loop is asked for in this round, in requests/s.
    rate: Cell<Option<f64>>,
}

const SMALL_BYTES: usize = 128;
const FILE_BYTES: usize = 4096;
const BUSY: usize = 64;
const MANY: usize = 16_000;
/// What an open loop asks of what wrk reached.
const SHARE: f64 = 0.8;

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) -> Result<()> {
    if !has_wrk("load") {
        return Ok(());
    }
    let Some(site) = Site::new("load", cores, &[SMALL_BYTES, FILE_BYTES])? else { return Ok(()) };
    let here = here();
    let backend = if plan.has("ukevent io_uring") { "io_uring" } else { "epoll" };
    let ours = Program::Ukevent(backend);
    let mut setup = Setup {
        site,
        server: ours,
        server_name: "ukevent serve",
        bytes: FILE_BYTES,
        connections: BUSY,
        seconds: plan.size(2, 1),
        rate: Cell::new(None),
    };
    for (bytes, connections) in [(FILE_BYTES, BUSY), (SMALL_BYTES, BUSY), (FILE_BYTES, 1)] {
        (setup.bytes, setup.connections) = (bytes, connections);
        alternate(plan, "load", &contenders(&here, Work::Closed), &setup, outcomes);
    }
    if Program::Nginx.is_here("load") {
        (setup.server, setup.server_name) = (Program::Nginx, "nginx");
        for bytes in [FILE_BYTES, SMALL_BYTES] {
            (setup.bytes, setup.connections) = (bytes, BUSY);
            alternate(plan, "load", &contenders(&here, Work::Closed), &setup, outcomes);
        }
        (setup.server, setup.server_name) = (ours, "ukevent serve");
    }
    (setup.bytes, setup.connections) = (FILE_BYTES, BUSY);
    setup.seconds = plan.size(3, 1);
    alternate(plan, "load", &contenders(&here, Work::Open), &setup, outcomes);
    (setup.bytes, setup.connections) = (SMALL_BYTES, plan.size(MANY, 100));
    // To open so many takes some of them.
    setup.seconds = plan.size(8, 1);
    alternate(plan, "load", &contenders(&here, Work::Many), &setup, outcomes);
    Ok(())
}

#[derive(Clone, Copy)]
enum Work {
    Closed,
    Open,
    Many,
}

/// Whose turn is the first of a round: then it is looked at how much wrk can ask now, and all are asked for the same.
const FIRST: Generator = Generator::Ukevent;

type Round = fn(&Setup) -> Result<Vec<Sample>>;

/// How each of them does each work; wrk has no open loop.
const GENERATORS: [(Generator, Round, Option<Round>, Round); 4] = {
    use Generator::{H2load, Oha, Ukevent, Wrk};
    [
        (
            Ukevent,
            |it| closed_loop(it, Ukevent),
            Some(|it| open_loop(it, Ukevent)),
            |it| many(it, Ukevent),
        ),
        (Wrk, |it| closed_loop(it, Wrk), None, |it| many(it, Wrk)),
        (Oha, |it| closed_loop(it, Oha), Some(|it| open_loop(it, Oha)), |it| many(it, Oha)),
        (
            H2load,
            |it| closed_loop(it, H2load),
            Some(|it| open_loop(it, H2load)),
            |it| many(it, H2load),
        ),
    ]
};

/// Those of the generators that are here, for this work.
fn contenders(here: &[Generator], work: Work) -> Vec<Contender<Setup>> {
    let of_work = |(it, closed, open, many): (Generator, Round, Option<Round>, Round)| {
        let round = match work {
            Work::Closed => Some(closed),
            Work::Open => open,
            Work::Many => Some(many),
        };
        round.filter(|_| here.contains(&it)).map(|round| Contender { name: it.name(), round })
    };
    GENERATORS.into_iter().filter_map(of_work).collect()
}

/// The generators that are here, said aloud of the others.
fn here() -> Vec<Generator> {
    let is_here = |it: &Generator| {
        let is_here = it.is_here();
        if !is_here {
            eprintln!("SKIPPED: {} is not installed, so load goes without it", it.name());
        }
        is_here
    };
    GENERATORS.iter().map(|(it, ..)| *it).filter(is_here).collect()
}

impl Setup {
    fn start(&self) -> Result<Server> {
        self.site.start_counted(self.server)
    }

    fn order(&self) -> Order {
        let Self { bytes, connections, seconds, .. } = *self;
        Order { bytes, connections, seconds, rate: None }
    }

    fn sample(&self, measure: &str, unit: &'static str, value: f64) -> Sample {
        Sample::figure(unit, value)
            .with("server", self.server_name)
            .with("measure", measure)
            .with("bytes", self.bytes)
            .with("connections", self.connections)
    }

    /// Of a load of which no request may fail.
    fn counted(&self, made: &Made, measure: &str, unit: &'static str, value: f64) -> Sample {
        self.sample(measure, unit, value).counted(made.requests + made.errors, made.requests)
    }
}

fn closed_loop(setup: &Setup, generator: Generator) -> Result<Vec<Sample>> {
    let server = setup.start()?;
    let made = generator.make(setup.site.ukevent(), &server, setup.order())?;
    let cpu_ns = made.cpu_ns as f64 / made.requests as f64;
    Ok(vec![
        setup.counted(&made, "rate", "requests/s", made.per_second).cpu(cpu_ns),
        setup.counted(&made, "cpu", "ns CPU/request", cpu_ns),
    ])
}

fn open_loop(setup: &Setup, generator: Generator) -> Result<Vec<Sample>> {
    let server = setup.start()?;
    let rate = match setup.rate.get().filter(|_| generator != FIRST) {
        Some(rate) => rate,
        None => {
            let closed = Order { connections: BUSY, seconds: 1, ..setup.order() };
            let most = Generator::Wrk.make(setup.site.ukevent(), &server, closed)?.per_second;
            (most * SHARE).round()
        }
    };
    setup.rate.set(Some(rate));
    let order = Order { rate: Some(rate), ..setup.order() };
    let made = generator.make(setup.site.ukevent(), &server, order)?;
    let reached = 100.0 * made.per_second / rate;
    let mut samples =
        vec![setup.counted(&made, "rate reached", "% of what was asked for", reached)];
    samples
        .extend(made.late_percent.map(|it| setup.counted(&made, "late starts", "% of starts", it)));
    samples.extend(made.p99_us.map(|it| setup.counted(&made, "p99 from due", "µs", it)));
    Ok(samples)
}

fn many(setup: &Setup, generator: Generator) -> Result<Vec<Sample>> {
    let server = setup.start()?;
    let made = generator.make_watched(setup.site.ukevent(), &server, setup.order(), true)?;
    if made.most_open < setup.connections as u64 {
        return Err(
            format!("it held {} of {} connections", made.most_open, setup.connections).into()
        );
    }
    let mib = made.peak_bytes as f64 / f64::from(1 << 20);
    Ok(vec![setup.counted(&made, "peak memory", "MiB", mib)])
}
