//! `bursts`: so many connections a second, and ten times as many, for one request each.
//!
//! An open loop: a connection is opened when it is due, whatever the server does. They come from sixteen addresses,
//! because ports of one would run out. The server says how many connections it took and requests it answered; both
//! must be what the load has.

use super::generators;
use super::server::{Program, Server, Site};
use serde_json::Value;
use std::process::Command;
use ukevent_measure::cores::Cores;
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Result, Sample, alternate};

struct Setup {
    site: Site,
    rate: u64,
    requests: u64,
}

const FILE_BYTES: usize = 128;
const ADDRESSES: u8 = 16;
/// At a time. More are due only if the server is in arrears by half a second.
const CONNECTIONS: u64 = 16_000;

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let Some(site) = Site::new("bursts", cores, &[FILE_BYTES])? else { return Ok(()) };
    let mut contenders = vec![
        Contender { name: "ukevent io_uring", round: |it| round(it, Program::Ukevent("io_uring")) },
        Contender { name: "ukevent epoll", round: |it| round(it, Program::Ukevent("epoll")) },
        Contender { name: "ukevent poll", round: |it| round(it, Program::Ukevent("poll")) },
    ];
    if Program::Nginx.is_here("bursts") {
        contenders.push(Contender { name: "nginx", round: |it| round(it, Program::Nginx) });
    }
    let mut setup = Setup { site, rate: 0, requests: plan.size(30_000, 300) };
    for rate in plan.size([3_000, 30_000], [300, 3_000]) {
        setup.rate = rate;
        alternate(plan, "bursts", &contenders, &setup, outcomes);
    }
    Ok(())
}

/// What a burst came to.
#[derive(Debug, PartialEq)]
struct Burst {
    /// Connections whose request had a good answer.
    good: u64,
    /// All others.
    errors: u64,
    per_second: f64,
    late_percent: f64,
    p99_us: f64,
}

fn round(setup: &Setup, program: Program) -> Result<Vec<Sample>> {
    let server = setup.site.start_counted(program)?;
    let counters = server.counters().ok_or("the server tells nothing")?;
    let asked = setup.requests;
    let (before, before_ns) = (counters.ask()?, server.cpu_ns()?);
    let ended = generators::run(command(setup, &server), |_, _| Ok(()))?;
    let (after, cpu_ns) = (counters.ask()?, server.cpu_ns()? - before_ns);
    let burst = Burst::read(&ended.words).ok_or_else(|| format!("no report: {}", ended.words))?;
    let (taken, given) = (after.accepted - before.accepted, after.requests - before.requests);
    let good = burst.good;
    if good < asked && given >= asked {
        let late = burst.late_percent;
        return Err(format!(
            "the server answered all {asked}, of which the load had {good}: it was at its own end, {late} % of its \
             starts were late"
        )
        .into());
    }
    if good == asked && (good, good) != (taken, given) {
        return Err(format!("{good} answers; the server took {taken} and answered {given}").into());
    }
    let sample = |measure: &str, unit, value| {
        Sample::figure(unit, value).with("measure", measure).with("connections/s", setup.rate)
    };
    if burst.good == 0 {
        return Err(format!("not one answer to {asked} requests").into());
    }
    let each_ns = cpu_ns as f64 / burst.good as f64;
    Ok(vec![
        // What was lost is the figure here, and no reason to have none.
        sample("answered", "% of connections", 100.0 * burst.good as f64 / asked as f64),
        sample("cpu", "ns CPU/request", each_ns).counted(asked, burst.good),
        sample("rate", "connections/s", burst.per_second).cpu(each_ns).counted(asked, burst.good),
        sample("p99 from due", "µs", burst.p99_us).counted(asked, burst.good),
        sample("late starts", "% of starts", burst.late_percent).counted(asked, burst.good),
    ])
}

fn command(setup: &Setup, server: &Server) -> Command {
    let mut command = Command::new(setup.site.ukevent());
    command.args(["load", "--json", "--no-keep-alive", "--rate", &setup.rate.to_string()]);
    command.args(["--requests", &setup.requests.to_string()]);
    command.args(["--connections", &CONNECTIONS.to_string()]);
    command.args((1..=ADDRESSES).map(|it| format!("--from=127.0.2.{it}")));
    command.arg(server.url(FILE_BYTES));
    command
}

impl Burst {
    /// Reads the report of `ukevent load --json`.
    fn read(words: &str) -> Option<Self> {
        let report: Value = serde_json::from_str(words).ok()?;
        let requests = report["requests"].as_u64()?;
        let good = report["statuses"]["200"].as_u64().unwrap_or(0);
        Some(Self {
            good,
            errors: report["errors_total"].as_u64()?.max(requests.saturating_sub(good)),
            per_second: report["replies_per_s"].as_f64()?,
            late_percent: report["late_starts_percent"].as_f64()?,
            p99_us: report["latency_us"]["p99"].as_f64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Burst;

    #[test]
    fn what_has_no_good_answer_is_an_error() {
        let words = r#"{"requests":100,"errors_total":3,"replies_per_s":9.5,"#.to_owned()
            + r#""late_starts_percent":0.5,"latency_us":{"p99":412.0},"statuses":{"200":90}}"#;
        let burst = Burst::read(&words).unwrap();
        let expected =
            Burst { good: 90, errors: 10, per_second: 9.5, late_percent: 0.5, p99_us: 412.0 };
        assert_eq!(burst, expected);
        let none = Burst::read(&words.replace("\"200\":90", "")).unwrap();
        assert_eq!((none.good, none.errors), (0, 100));
        assert_eq!(Burst::read("ukevent: load: no reply to 100 requests"), None);
    }
}
