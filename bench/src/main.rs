//! ukevent against its rivals: all of them in turn, in one run, on this machine.
//!
//! `README.md` says what the tables are and how they come about. The method is that of `ukevent-measure`.
//! Read `tables` for what is measured, `rivals` for the contenders, `bars` for what is promised, and `report`
//! for what remains.
#![cfg(target_os = "linux")]

mod bars;
mod commit;
mod report;
mod rivals;
mod system_calls;
mod tables;
mod tools;

use clap::{Parser, ValueEnum};
use rivals::ring_echo::serve_page;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tables::echo::Endpoint;
use tables::memory::EchoChild;
use tables::more;
use ukevent_bench::child;
use ukevent_bench::tables::{dead, events, inode, ready, timers, wake};
use ukevent_measure::cores::{Cores, pin};
use ukevent_measure::results::{self, File, Machine, Outcome};
use ukevent_measure::{Plan, Result};

/// Measures ukevent against its rivals.
#[derive(Parser)]
struct Arguments {
    /// What to measure; everything, if nothing is named. `report` writes the tables of the results
    /// that there are into bench/README.md, and what README.md quotes of them.
    what: Vec<Task>,
    /// Rounds that count, at least five; one more comes before them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(5..))]
    rounds: u16,
    /// Where the results are, or go; bench/results if not given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Be this server, for a table that measures servers from outside.
    #[arg(long, hide = true, requires = "listen")]
    echo_child: Option<EchoChild>,
    /// Be the bare ring that serves one page.
    #[arg(long, hide = true, requires = "listen")]
    static_child: bool,
    /// Be the timers whose instructions are counted.
    #[arg(long, hide = true)]
    instructions: Option<String>,
    /// Where such a server listens.
    #[arg(long, hide = true)]
    listen: Option<SocketAddr>,
    /// One round of everything in tiny sizes: does it run, and deliver? Keeps nothing without --out.
    #[arg(long)]
    smoke: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Task {
    Ready,
    Timers,
    Wake,
    Idle,
    Serve,
    Echo,
    Events,
    Reads,
    Alloc,
    Memory,
    Tasks,
    Pingpong,
    Inode,
    Dead,
    Load,
    Bursts,
    Shared,
    Report,
}

impl Task {
    const TABLES: [Self; 17] = [
        Self::Ready,
        Self::Timers,
        Self::Wake,
        Self::Idle,
        Self::Serve,
        Self::Echo,
        Self::Events,
        Self::Reads,
        Self::Alloc,
        Self::Memory,
        Self::Tasks,
        Self::Pingpong,
        Self::Inode,
        Self::Dead,
        Self::Load,
        Self::Bursts,
        Self::Shared,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Timers => "timers",
            Self::Wake => "wake",
            Self::Idle => "idle",
            Self::Serve => "serve",
            Self::Echo => "echo",
            Self::Events => "events",
            Self::Reads => "reads",
            Self::Alloc => "alloc",
            Self::Memory => "memory",
            Self::Tasks => "tasks",
            Self::Pingpong => "pingpong",
            Self::Inode => "inode",
            Self::Dead => "dead",
            Self::Load => "load",
            Self::Bursts => "bursts",
            Self::Shared => "shared",
            Self::Report => "report",
        }
    }
}

fn main() -> ExitCode {
    let done = match child::asked() {
        Some(words) => child::be(&words).map(|()| true),
        None => run(&Arguments::parse()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ukevent-rivals: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does all of it; true if every contender has a result.
fn run(arguments: &Arguments) -> Result<bool> {
    if let Some(address) = arguments.listen {
        allow_descriptors()?;
        match arguments.echo_child {
            Some(child) => child.serve(address)?,
            None => serve_page(&Endpoint::Tcp(address), tables::serve::FILE_BYTES)?,
        }
        return Ok(true);
    }
    if let Some(words) = &arguments.instructions {
        tables::instructions::be_child(words)?;
        return Ok(true);
    }
    let kept = commit::folder().join("results");
    let out = match &arguments.out {
        None if arguments.smoke => None,
        out => Some(out.as_ref().unwrap_or(&kept)),
    };
    let full = Plan { rounds: usize::from(arguments.rounds), ..Plan::full() };
    let plan = Plan { absent: absent(), ..if arguments.smoke { Plan::smoke() } else { full } };
    let is_measured = arguments.what != [Task::Report];
    if cfg!(debug_assertions) && !plan.is_smoke() && is_measured {
        return Err("this is a debug build; measure with --release".into());
    }
    let cores = Cores::find()?;
    allow_descriptors()?;
    let mut all_ok = true;
    for task in Task::TABLES {
        if !arguments.what.is_empty() && !arguments.what.contains(&task) {
            continue;
        }
        let mut outcomes = Vec::new();
        pin(cores.first())?;
        match task {
            Task::Ready => ready::run(&plan, more::ready, &mut outcomes)?,
            Task::Timers => {
                timers::run(&plan, more::timers, more::sleepers(), &mut outcomes);
                tables::instructions::run(&plan, &mut outcomes);
            }
            Task::Wake => wake::run(&plan, &cores, more::wake, &mut outcomes),
            Task::Idle => tables::idle::run(&plan, &cores, &mut outcomes)?,
            Task::Serve => tables::serve::run(&plan, &cores, &mut outcomes)?,
            Task::Echo => tables::echo::run(&plan, &cores, &mut outcomes)?,
            Task::Events => events::run(&plan, &cores, more::events, &mut outcomes)?,
            Task::Reads => tables::reads::run(&plan, &cores, &mut outcomes)?,
            Task::Alloc => tables::alloc::run(&plan, &cores, &mut outcomes),
            Task::Memory => tables::memory::run(&plan, &cores, &mut outcomes)?,
            Task::Tasks => tables::tasks::run(&plan, &cores, &mut outcomes),
            Task::Pingpong => tables::echo::pingpong::run(&plan, &cores, &mut outcomes)?,
            Task::Inode => inode::run(&plan, &cores, more::inode, &mut outcomes),
            Task::Dead => dead::run(&plan, &cores, more::dead(), &mut outcomes)?,
            Task::Load => tables::load::run(&plan, &cores, &mut outcomes)?,
            Task::Bursts => tables::bursts::run(&plan, &cores, &mut outcomes)?,
            Task::Shared => tables::shared::run(&plan, &cores, &mut outcomes),
            Task::Report => {}
        }
        all_ok &= outcomes.iter().all(|outcome| outcome.ok);
        if !outcomes.is_empty() {
            finish(task, &plan, &cores, out.map(PathBuf::as_path), outcomes)?;
        }
    }
    if arguments.what.contains(&Task::Report) {
        report::regenerate(out.unwrap_or(&kept), &Task::TABLES.map(Task::name))?;
    }
    Ok(all_ok)
}

/// Says what was found, and keeps it.
fn finish(
    task: Task,
    plan: &Plan,
    cores: &Cores,
    out: Option<&Path>,
    outcomes: Vec<Outcome>,
) -> Result<()> {
    for lost in outcomes.iter().filter(|outcome| !outcome.ok) {
        let why = lost.error.as_deref().unwrap_or("unknown");
        eprintln!("{}: {} has no result: {why}", lost.table, lost.contender);
    }
    let Some(out) = out else {
        let delivered: u64 = outcomes.iter().map(|outcome| outcome.delivered).sum();
        println!("{}: {} results, {delivered} units delivered", task.name(), outcomes.len());
        return Ok(());
    };
    let file = File {
        machine: Machine::this(cores),
        command: command(plan, task),
        commit: commit::commit(),
        results: outcomes,
    };
    println!("# {}\n\n{}", task.name(), report::section(task.name(), &file));
    results::write(out, task.name(), &file)
}

/// The contenders that there are not where the kernel denies io_uring.
const ON_RINGS: [&str; 7] = [
    "ukevent io_uring",
    "ukevent io_uring, at least 64",
    "ukevent serve",
    "bare ring",
    "bare ring, registered",
    "io_uring time-outs",
    "MSG_RING",
];

/// The contenders that cannot be had here.
fn absent() -> Vec<&'static str> {
    match rivals::ring::Ring::new() {
        Ok(_) => Vec::new(),
        Err(error) => {
            eprintln!("SKIPPED: all contenders on io_uring, which cannot be had: {error}");
            ON_RINGS.to_vec()
        }
    }
}

/// The arguments that measure this table again. Not those given: they may name a place on this
/// machine.
fn command(plan: &Plan, task: Task) -> String {
    let smoke = if plan.is_smoke() { " --smoke" } else { "" };
    format!("{} --rounds {}{smoke}", task.name(), plan.rounds)
}

/// As many descriptors as may be had; the servers that are started may have them, too.
fn allow_descriptors() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}
