//! A load in several processes: this one starts them, lets them begin together, and adds their records.
//!
//! Each is this command again, with the part it has as a hidden argument. It says `ready` and where the server is
//! when all are there who are only there, begins when it is told so, tells its progress a line a second, and then
//! its record in one line. One that ends early is a failure of the whole: a part of a record would be no record.

use super::{not_made, progress::Line};
use crate::args::{LoadArgs, Part};
use crate::failure::Failure;
use crate::queue;
use std::env::{args_os, current_exe};
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use ukevent_load::record::Record;
use ukevent_load::report::About;
use ukevent_load::{Length, Load, Pace, Plan, Progress};
use ukevent_task::Runtime;

const READY: &str = "ready ";
const RECORD: &str = "record ";
const PROGRESS: &str = "progress ";

/// What one of several has of a plan. Together they have all of it.
pub(super) fn share(plan: &Plan, part: Part) -> Plan {
    let whole = |count: u32| count / part.of + u32::from(part.number < count % part.of);
    let mut share = plan.clone();
    share.pace = match plan.pace {
        Pace::Closed { connections, pipeline, think } => {
            Pace::Closed { connections: whole(connections), pipeline, think }
        }
        Pace::Open { arrivals, connections } => {
            Pace::Open { arrivals, connections: whole(connections) }
        }
        other => other,
    };
    share.length = match plan.length {
        Length::Requests(count) => {
            let (of, number) = (u64::from(part.of), u64::from(part.number));
            Length::Requests(count / of + u64::from(number < count % of))
        }
        time => time,
    };
    (share.dead, share.slow) = (whole(plan.dead), whole(plan.slow));
    share.turn = (part.number, part.of);
    share
}

/// Makes the part that another process has asked for.
pub(super) fn be_one(args: &LoadArgs, plan: Plan) -> Result<(), Failure> {
    let mut runtime = Runtime::with(queue::build("load", args.backend)?);
    let failed = |error: io::Error| Failure::Failed(format!("load: {error}"));
    let prepared = runtime.block_on(Load::prepare(plan));
    let load =
        prepared.map_err(io::Error::other).and_then(|made| made).map_err(|it| not_made(&it))?;
    say(&format!("{READY}{}", load.server())).map_err(failed)?;
    // It blocks, and so it is to: nothing happens before all are ready.
    if io::stdin().read_line(&mut String::new()).map_err(failed)? == 0 {
        return Err(failed(io::Error::other("whoever started it has gone")));
    }
    let record = runtime.block_on(async {
        load.run(|progress| {
            let Progress { replies_per_s, errors, p99_ns, .. } = progress;
            if say(&format!("{PROGRESS}{replies_per_s} {errors} {p99_ns}")).is_err() {
                // Nobody wants this load any more.
                std::process::exit(1);
            }
        })
        .await
    });
    let record = record.map_err(io::Error::other).map_err(failed)?;
    say(&format!("{RECORD}{}", record.to_json())).map_err(failed)
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// A process that makes a part. Dropping it ends it.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(part: u32, of: u32) -> io::Result<Self> {
        let mut child = Command::new(current_exe()?)
            .arg("load")
            .arg(format!("--part={part}/{of}"))
            // Behind it there may be a `--`.
            .args(args_os().skip(2))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
        Ok(Self { child, lines: BufReader::new(out).lines() })
    }

    /// The next line; what it means that there is none, it has said on standard error.
    fn line(&mut self) -> Result<String, Failure> {
        match self.lines.next() {
            Some(Ok(line)) => Ok(line),
            _ => Err(Failure::Failed("load: a part of it has ended early".to_owned())),
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut input = self.child.stdin.take().ok_or_else(|| io::Error::other("it is deaf"))?;
        input.write_all(b"begin\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended, or nobody wants it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a load in so many processes.
pub(super) fn make(count: u32, about: &mut About) -> Result<Record, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("load: {error}"));
    let mut processes = Vec::new();
    for part in 0..count {
        processes.push(Process::start(part, count).map_err(failed)?);
    }
    for process in &mut processes {
        let line = process.line()?;
        about.server = line.strip_prefix(READY).unwrap_or_default().to_owned();
    }
    for process in &mut processes {
        process.begin().map_err(failed)?;
    }
    about.started = std::time::SystemTime::now();
    let shown = Line::new();
    let mut sum: Option<Record> = None;
    let mut seconds = 0;
    while !processes.is_empty() {
        let mut all = Progress::default();
        let mut left = Vec::new();
        for mut process in processes {
            let line = process.line()?;
            if let Some(record) = line.strip_prefix(RECORD) {
                let record = Record::from_json(record)
                    .map_err(|error| Failure::Failed(format!("load: a part of it: {error}")))?;
                match &mut sum {
                    Some(sum) => sum.add(&record),
                    none => *none = Some(record),
                }
                continue;
            }
            let mut numbers = line.strip_prefix(PROGRESS).unwrap_or_default().split(' ');
            let mut number = || numbers.next().and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
            all.replies_per_s += number();
            all.errors += number();
            all.p99_ns = all.p99_ns.max(number());
            left.push(process);
        }
        processes = left;
        seconds += 1;
        all.at = std::time::Duration::from_secs(seconds);
        if !processes.is_empty() {
            shown.show(&all);
        }
    }
    sum.ok_or_else(|| Failure::Failed("load: no part of it has ended".to_owned()))
}
