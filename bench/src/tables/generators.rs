//! Programs that make a load: how each is called, and how what it prints is read.
//!
//! All run in one thread, on the core of the caller. What a load says is held against what the server says: who
//! counts an answer that the server never gave, or misses some, has no result.

use super::counters::Counted;
use super::server::{Load, Server, peak_bytes_of};
use crate::tools::{is_installed, program};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use ukevent_measure::Result;
use ukevent_measure::clock::process_cpu_ns_of;

/// Who makes the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generator {
    Ukevent,
    Wrk,
    Oha,
    H2load,
}

/// What is asked of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) bytes: usize,
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
    /// An open loop: so many requests a second.
    pub(crate) rate: Option<f64>,
}

/// What a load says that it did, and what it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Made {
    /// Requests with a good answer.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) per_second: f64,
    /// The load's own.
    pub(crate) cpu_ns: u64,
    /// The most memory of the load that was resident, and the most connections that the server had, if looked at.
    pub(crate) peak_bytes: u64,
    pub(crate) most_open: u64,
    /// Starts that were more than 1 ms late, in percent, if it says so.
    pub(crate) late_percent: Option<f64>,
    /// Of latencies that count from when the request was due.
    pub(crate) p99_us: Option<f64>,
}

/// Time for connections and answers: none of it is to pass.
const PATIENCE: &str = "30s";

impl Generator {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ukevent => "ukevent load",
            Self::Wrk => "wrk",
            Self::Oha => "oha",
            Self::H2load => "h2load",
        }
    }

    pub(crate) fn is_here(self) -> bool {
        self == Self::Ukevent || is_installed(self.name())
    }

    fn command(self, ukevent: &Path, server: &Server, order: Order) -> Command {
        let connections = order.connections.to_string();
        let duration = format!("{}s", order.seconds);
        let mut command = match self {
            Self::Ukevent => Command::new(ukevent),
            Self::Wrk | Self::Oha | Self::H2load => Command::new(program(self.name())),
        };
        match self {
            Self::Ukevent => {
                command.args(["load", "--json", "--connections", &connections]);
                command.args(["--duration", &duration, "--connect-time", PATIENCE]);
                command.args(["--reply-time", PATIENCE]);
                command.args(order.rate.map(|rate| format!("--rate={rate}")));
            }
            Self::Wrk => {
                command.args(["--threads=1", "--timeout", PATIENCE, "--connections", &connections]);
                command.args(["--duration", &duration]);
            }
            // It waits for the answers to what it asked when its time is over, as the first does.
            Self::Oha => {
                command.args(["--no-tui", "--output-format", "json", "--worker-threads", "1"]);
                command.args(["-w", "-z", &duration, "-c", &connections, "-t", PATIENCE]);
                command.args(["--connect-timeout", PATIENCE, "--disable-compression"]);
                if let Some(rate) = order.rate {
                    command.args(["--latency-correction", "-q", &rate.to_string()]);
                }
            }
            Self::H2load => {
                command.args(["--h1", "--threads=1", "--clients", &connections]);
                command.args(["--duration", &duration]);
                let each = order.rate.map(|rate| rate / order.connections as f64);
                command.args(each.map(|each| format!("--rps={each}")));
            }
        }
        command.arg(server.url(order.bytes));
        command
    }

    /// Makes the load. An error if what it says is not what the server says.
    pub(crate) fn make(self, ukevent: &Path, server: &Server, order: Order) -> Result<Made> {
        self.make_watched(ukevent, server, order, false)
    }

    /// The same, and looks all the while how much memory it takes and how many connections there are.
    pub(crate) fn make_watched(
        self,
        ukevent: &Path,
        server: &Server,
        order: Order,
        is_watched: bool,
    ) -> Result<Made> {
        let counters = server.counters().ok_or("the server tells nothing")?;
        let before = counters.ask()?;
        let command = self.command(ukevent, server, order);
        let watch = |seen: &mut Seen, process| -> Result<()> {
            seen.peak_bytes = seen.peak_bytes.max(peak_bytes_of(process)?.unwrap_or(0));
            seen.most_open = seen.most_open.max(counters.ask()?.open);
            Ok(())
        };
        let ended = run(command, |seen, process| match is_watched {
            true => watch(seen, process),
            false => Ok(()),
        })?;
        let new = || format!("{} said something new: {}", self.name(), ended.words);
        let made = self.read(&ended.words).ok_or_else(new)?;
        let made = Made {
            cpu_ns: ended.cpu_ns,
            peak_bytes: ended.seen.peak_bytes,
            most_open: ended.seen.most_open,
            ..made
        };
        agree(self.name(), &made, before, counters.ask()?, order.connections)?;
        if made.requests == 0 {
            return Err(format!("{} had not one answer", self.name()).into());
        }
        Ok(made)
    }

    fn read(self, words: &str) -> Option<Made> {
        match self {
            Self::Ukevent => read_ukevent(words),
            Self::Wrk => {
                let Load { requests, per_second, errors, .. } = Load::read(words, 0)?;
                Some(Made { requests, errors, per_second, ..Made::default() })
            }
            Self::Oha => read_oha(words),
            Self::H2load => read_h2load(words),
        }
    }
}

/// Whether a load tells the truth. When it ends, a request may be on its way on each connection, which the server
/// answers and nobody counts.
fn agree(
    name: &str,
    made: &Made,
    before: Counted,
    after: Counted,
    connections: usize,
) -> Result<()> {
    let given = after.requests - before.requests;
    let most = made.requests + made.errors + connections as u64;
    if made.requests <= given && given <= most {
        return Ok(());
    }
    Err(format!("{name} counts {} answers, the server {given}", made.requests).into())
}

/// What was looked at while a program ran.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    peak_bytes: u64,
    most_open: u64,
}

/// A program that ended well.
pub(crate) struct Ended {
    pub(crate) words: String,
    pub(crate) cpu_ns: u64,
    seen: Seen,
}

/// Time between two looks. Each takes some 100 µs.
const GLANCE: Duration = Duration::from_millis(50);

/// Runs a program to its end, in which it has answered all it was asked; looks at it meanwhile.
pub(crate) fn run(
    mut command: Command,
    mut look: impl FnMut(&mut Seen, u32) -> Result<()>,
) -> Result<Ended> {
    let (mut out, mut errors) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(errors.try_clone()?);
    let mut child = Ending(command.spawn()?);
    let process = child.0.id();
    let id = Pid::from_child(&child.0);
    let mut seen = Seen::default();
    // It stays a zombie, of which the kernel knows yet what it used.
    let still = WaitIdOptions::NOHANG;
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(id), ended | still)?.is_none() {
        let looked = look(&mut seen, process);
        std::thread::sleep(GLANCE);
        // It may have ended while it was looked at, and have no memory any more; then the look before was the last.
        if waitid(WaitId::Pid(id), ended | still)?.is_none() {
            looked?;
        }
    }
    let cpu_ns = process_cpu_ns_of(process)?;
    let status = child.0.wait()?;
    let words = text(&mut out)?;
    if !status.success() {
        return Err(format!("{status}: {}{words}", text(&mut errors)?).into());
    }
    Ok(Ended { words, cpu_ns, seen })
}

/// A program that does not outlive whoever waits for it.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended; either way it is gone after this.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads the report of `ukevent load --json`.
fn read_ukevent(words: &str) -> Option<Made> {
    let report: Value = serde_json::from_str(words).ok()?;
    let is_open = report["mode"]["loop"] == "open";
    let good = |(status, count): (&String, &Value)| {
        if status.starts_with('2') { count.as_u64() } else { Some(0) }
    };
    let requests = report["statuses"].as_object()?.iter().map(good).sum::<Option<u64>>()?;
    Some(Made {
        requests,
        errors: report["errors_total"].as_u64()? + report["replies"].as_u64()? - requests,
        per_second: report["replies_per_s"].as_f64()?,
        late_percent: is_open.then(|| report["late_starts_percent"].as_f64()).flatten(),
        p99_us: is_open.then(|| report["latency_us"]["p99"].as_f64()).flatten(),
        ..Made::default()
    })
}

/// Reads the report of `oha --output-format json`. Its latencies count from when a request was due only with
/// `--latency-correction`, which the report does not tell.
fn read_oha(words: &str) -> Option<Made> {
    let report: Value = serde_json::from_str(words).ok()?;
    let count = |name: &str, is_counted: fn(&str) -> bool| {
        let all = report[name].as_object()?.iter();
        all.filter(|(key, _)| is_counted(key)).map(|(_, count)| count.as_u64()).sum::<Option<u64>>()
    };
    Some(Made {
        requests: count("statusCodeDistribution", |status| status.starts_with('2'))?,
        errors: count("errorDistribution", |_| true)?
            + count("statusCodeDistribution", |status| !status.starts_with('2'))?,
        per_second: report["summary"]["requestsPerSec"].as_f64()?,
        p99_us: report["latencyPercentiles"]["p99"].as_f64().map(|seconds| seconds * 1e6),
        ..Made::default()
    })
}

/// Reads what h2load prints.
fn read_h2load(words: &str) -> Option<Made> {
    let line = |start: &str| words.lines().find_map(|line| line.strip_prefix(start));
    let rate = line("finished in ")?.split(", ").nth(1)?.strip_suffix(" req/s")?;
    let counts = line("requests: ")?;
    let count = |name: &str| {
        let mut counts = counts.split(", ").filter_map(|it| it.split_once(' '));
        counts.find(|(_, it)| *it == name)?.0.parse::<u64>().ok()
    };
    Some(Made {
        requests: count("succeeded")?,
        // Those that errored or had no time are among those that failed.
        errors: count("failed")?,
        per_second: rate.parse().ok()?,
        ..Made::default()
    })
}

#[cfg(test)]
mod tests;
