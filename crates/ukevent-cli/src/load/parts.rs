//! A load in several processes: this one starts them, lets them begin together, and adds their records.
//!
//! Each is this command again, with the part it has as a hidden argument. It says `ready` and where the server is
//! when all are there who are only there, begins when it is told so, tells its progress a line a second, and then
//! its record in one line. One that ends early is a failure of the whole: a part of a record would be no record.
//!
//! A part obeys nobody but who started it: not the Ctrl-C that a terminal sends to all of them. It ends early when it
//! is told `end`, and at once when whoever started it is gone.

use super::interrupt::Interrupt;
use super::progress::Line;
use super::{limits, not_made};
use crate::args::{LoadArgs, Part};
use crate::failure::Failure;
use crate::queue;
use std::cell::{Cell, RefCell};
use std::env::{args_os, current_exe};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use ukevent_load::record::Record;
use ukevent_load::report::About;
use ukevent_load::{Length, Load, Pace, Plan, Progress};
use ukevent_task::pipe::{PipeReader, PipeWriter};
use ukevent_task::process::Process;
use ukevent_task::signal::Signal;
use ukevent_task::spawn;

const READY: &str = "ready ";
const RECORD: &str = "record ";
const PROGRESS: &str = "progress ";
const BEGIN: &str = "begin";
const END: &str = "end";

/// Longer than any load.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Of so many parts, how many make requests: one without a connection makes none.
fn makers(plan: &Plan, of: u32) -> u32 {
    match plan.pace {
        Pace::Closed { connections, .. } | Pace::Open { connections, .. } => of.min(connections),
        _ => of,
    }
}

/// What one of several has of a plan. Together they have all of it. One that makes no requests holds its idle
/// connections until it is told to end.
pub(super) fn share(plan: &Plan, part: Part) -> Plan {
    let whole = |count: u32| count / part.of + u32::from(part.number < count % part.of);
    let mut share = plan.clone();
    (share.dead, share.slow) = (whole(plan.dead), whole(plan.slow));
    let makers = makers(plan, part.of);
    if part.number >= makers {
        share.pace = Pace::Closed { connections: 0, pipeline: 1, think: Duration::ZERO };
        share.length = Length::Time(FOREVER);
        return share;
    }
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
            let (of, number) = (u64::from(makers), u64::from(part.number));
            Length::Requests(count / of + u64::from(number < count % of))
        }
        time => time,
    };
    share.turn = (part.number, makers);
    share
}

/// Makes the part that another process has asked for.
pub(super) fn be_one(args: &LoadArgs, plan: &Plan, part: Part) -> Result<(), Failure> {
    if let Some(cores) = &args.pin {
        limits::pin_in_turn(cores, part.number)?;
    }
    let is_holder = part.number >= makers(plan, part.of);
    let plan = share(plan, part);
    let mut runtime = queue::runtime("load", args.backend)?;
    let made = runtime.block_on(async {
        let _deaf = (Signal::of(ukevent::Signal::INT)?, Signal::of(ukevent::Signal::TERM)?);
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let mut orders = Lines::of(PipeReader::from_fd(input)?);
        let load = match first(Load::prepare(plan), orders.next()).await {
            Ok(load) => load?,
            Err(order) => return order.and(Err(io::ErrorKind::Interrupted.into())),
        };
        say(&format!("{READY}{}", load.server()))?;
        if orders.next().await? != BEGIN {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let stop = load.stop();
        let _obeys = spawn(async move {
            match orders.next().await {
                Ok(_) => stop.now(),
                Err(_) => std::process::exit(1),
            }
            // And then only waits for whoever it is that is gone.
            while orders.next().await.is_ok() {}
            std::process::exit(1);
        });
        let mut record = load.run(tell_progress).await;
        if is_holder {
            record.duration = Duration::ZERO;
        }
        say(&format!("{RECORD}{}", record.to_json()))
    });
    made.map_err(io::Error::other).and_then(|made| made).map_err(|error| not_made(&error))
}

fn tell_progress(progress: &Progress) {
    let Progress { replies_per_s, errors, p99_ns, .. } = progress;
    if say(&format!("{PROGRESS}{replies_per_s} {errors} {p99_ns}")).is_err() {
        // Nobody wants this load any more.
        std::process::exit(1);
    }
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn failed(error: io::Error) -> Failure {
    Failure::Failed(format!("load: {error}"))
}

/// What one of them comes to; the other as an error, if it is ready first.
async fn first<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> Result<A, B> {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    std::future::poll_fn(|cx| {
        if let std::task::Poll::Ready(done) = one.as_mut().poll(cx) {
            return std::task::Poll::Ready(Ok(done));
        }
        other.as_mut().poll(cx).map(Err)
    })
    .await
}

/// Lines that come through a pipe.
struct Lines {
    pipe: PipeReader,
    bytes: Vec<u8>,
    /// So many of them have no end of a line.
    searched: usize,
}

impl Lines {
    const fn of(pipe: PipeReader) -> Self {
        Self { pipe, bytes: Vec::new(), searched: 0 }
    }

    /// The next line, without its end. Dropped before it is ready, it loses nothing.
    async fn next(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.bytes[self.searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.bytes.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.bytes, rest);
                line.pop();
                self.searched = 0;
                return String::from_utf8(line).map_err(io::Error::other);
            }
            self.searched = self.bytes.len();
            let more = self.pipe.read().await?;
            if more.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.bytes.extend_from_slice(&more);
        }
    }
}

/// A process that makes a part. Dropping it ends it.
struct Maker {
    _process: Process,
    lines: Lines,
}

/// A line of one of them; what it means that there is none, it has said on standard error.
async fn line(maker: &mut Maker) -> Result<String, Failure> {
    let line = maker.lines.next().await;
    line.map_err(|_| Failure::Failed("load: a part of it has ended early".to_owned()))
}

/// The ways to tell them something.
#[derive(Default)]
struct Orders(RefCell<Vec<PipeWriter>>);

impl Orders {
    async fn give(&self, order: &str) {
        let mut all = self.0.take();
        for one in &mut all {
            // Who has ended needs none, and is met where it is read.
            let _ = one.write(format!("{order}\n").into_bytes()).await;
        }
        self.0.replace(all);
    }
}

fn start(args: &LoadArgs, plan: &Plan, part: Part) -> io::Result<Process> {
    let mut command = Command::new(current_exe()?);
    command.arg("load").arg(format!("--part={}/{}", part.number, part.of));
    if args.find.is_some()
        && let Pace::Open { arrivals, .. } = plan.pace
    {
        command.arg(format!("--at-rate={}", arrivals.rate()));
    }
    // Behind it there may be a `--`.
    command.args(args_os().skip(2)).stdin(Stdio::piped()).stdout(Stdio::piped());
    Process::spawn(&mut command)
}

/// Makes a load in so many processes: their records, as they wrote them. Nothing, if it is interrupted before it has
/// begun.
pub(super) async fn make(
    args: &LoadArgs,
    plan: &Plan,
    about: &mut About,
    interrupt: &mut Interrupt,
) -> Result<Option<Vec<String>>, Failure> {
    let of = about.processes;
    let orders = Rc::new(Orders::default());
    let mut all = Vec::new();
    for number in 0..of {
        let mut process = start(args, plan, Part { number, of }).map_err(failed)?;
        let (input, out) = process.stdin.take().zip(process.stdout.take()).ok_or_else(|| {
            Failure::Failed("load: a part of it has no standard streams".to_owned())
        })?;
        orders.0.borrow_mut().push(input);
        all.push(Maker { _process: process, lines: Lines::of(out) });
    }
    let ready = async {
        for maker in &mut all {
            let said = line(maker).await?;
            about.server = said.strip_prefix(READY).unwrap_or_default().to_owned();
        }
        Ok::<_, Failure>(())
    };
    match interrupt.unless(ready).await {
        None => return Ok(None),
        Some(ready) => ready?,
    }
    orders.give(BEGIN).await;
    about.started = SystemTime::now();
    let (makers, told) = (makers(plan, of) as usize, Rc::clone(&orders));
    let is_over = Cell::new(false);
    let end = || {
        // Once is enough.
        if !is_over.replace(true) {
            let orders = Rc::clone(&told);
            spawn(async move { orders.give(END).await }).detach();
        }
    };
    interrupt.during(gather(all, makers, &end), &end).await.map(Some)
}

/// The record of the whole.
pub(super) fn sum(records: Vec<String>) -> Result<Option<Record>, Failure> {
    let mut sum: Option<Record> = None;
    for record in records {
        let record = Record::from_json(&record)
            .map_err(|error| Failure::Failed(format!("load: a part of it: {error}")))?;
        match &mut sum {
            Some(sum) => sum.add(&record),
            none => *none = Some(record),
        }
    }
    Ok(sum)
}

/// Their progress and their records, until the last; `end` ends those that are left without makers.
async fn gather(
    makers: Vec<Maker>,
    makers_count: usize,
    end: &dyn Fn(),
) -> Result<Vec<String>, Failure> {
    let shown = Line::new();
    let mut records = Vec::new();
    let mut seconds = 0;
    let mut makers: Vec<(usize, Maker)> = makers.into_iter().enumerate().collect();
    let mut ended = Vec::new();
    while !makers.is_empty() {
        let mut all = Progress::default();
        let mut left = Vec::new();
        for (number, mut maker) in makers {
            let line = line(&mut maker).await?;
            if let Some(record) = line.strip_prefix(RECORD) {
                records.push(record.to_owned());
                // It ends by itself, and is not to be killed.
                ended.push(maker);
                continue;
            }
            let mut numbers = line.strip_prefix(PROGRESS).unwrap_or_default().split(' ');
            let mut number_of =
                || numbers.next().and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
            all.replies_per_s += number_of();
            all.errors += number_of();
            all.p99_ns = all.p99_ns.max(number_of());
            left.push((number, maker));
        }
        makers = left;
        if makers.iter().all(|&(number, _)| number >= makers_count) {
            end();
        }
        seconds += 1;
        all.at = Duration::from_secs(seconds);
        if !makers.is_empty() {
            shown.show(&all);
        }
    }
    Ok(records)
}
