//! `ukevent bench`: runs tables, prints them, and writes them down.

use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::tell::tell;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use ukevent::{BackendKind, Builder};
use ukevent_bench::child;
use ukevent_bench::tables::{self, Table};
use ukevent_bench::view::View;
use ukevent_measure::cores::{Cores, pin, spread};
use ukevent_measure::results::{self, File, Machine, Outcome};
use ukevent_measure::{Error, Plan};

/// Runs the tables. Blocks.
pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let failed = |error: Error| Failure::Failed(format!("bench: {error}"));
    if let Some(words) = &args.child {
        crate::load::raise_descriptors();
        return child::be(words).map_err(failed);
    }
    if cfg!(debug_assertions) && !args.smoke {
        let why =
            "bench: this is a debug build, whose figures mean nothing; build it with --release";
        return Err(Failure::Failed(why.to_owned()));
    }
    if let Some(folder) = &args.out {
        // Before the work, not after it.
        fs::create_dir_all(folder)
            .map_err(|error| Failure::Failed(format!("bench: {}: {error}", folder.display())))?;
    }
    crate::load::raise_descriptors();
    run_all(args).map_err(failed).and_then(|all_ok| {
        let why = "bench: not everybody has a result (see above)";
        if all_ok { Ok(()) } else { Err(Failure::Failed(why.to_owned())) }
    })
}

/// True if every contender has a result.
fn run_all(args: &BenchArgs) -> Result<bool, Error> {
    let cores = Cores::find()?;
    let full = Plan { rounds: usize::from(args.rounds), ..Plan::brief() };
    let mut plan = if args.smoke { Plan::smoke() } else { full };
    plan.absent = absent();
    let chosen: Vec<&Table> = match &args.names[..] {
        [] => tables::ALL.iter().collect(),
        names => names.to_vec(),
    };
    let began = Instant::now();
    let mut all_ok = true;
    for (number, table) in chosen.iter().enumerate() {
        plan.prefix = format!("[{}/{}, {:.0?}] ", number + 1, chosen.len(), seconds(began));
        let began = Instant::now();
        let mut outcomes = Vec::new();
        pin(cores.first())?;
        let done = (table.run)(&plan, &cores, &mut outcomes);
        spread(&cores)?;
        if let Err(error) = done {
            // The others may do.
            tell(format!("bench: {}: {error}", table.name));
            all_ok = false;
        }
        if outcomes.is_empty() {
            continue;
        }
        all_ok &= outcomes.iter().all(|outcome| outcome.ok);
        let file = File {
            machine: Machine::this(&cores),
            command: command(args, table),
            commit: env!("UKEVENT_COMMIT").to_owned(),
            results: outcomes,
        };
        let view = (table.show)(&file.results);
        let text = section(table, &file, &view, seconds(began));
        say(&text)?;
        if let Some(folder) = &args.out {
            keep(folder, table, &file, &view, &text)?;
        }
    }
    if let Some(folder) = &args.out {
        tell(format!("bench: tables, results and curves are in {}", folder.display()));
    }
    Ok(all_ok)
}

fn seconds(since: Instant) -> Duration {
    Duration::from_secs(since.elapsed().as_secs())
}

/// Contenders that the kernel does not allow here, with a word about it.
fn absent() -> Vec<&'static str> {
    match Builder::new().backend(BackendKind::IoUring).build() {
        Ok(_) => Vec::new(),
        Err(error) => {
            tell(format!("bench: without io_uring: {error}"));
            vec!["ukevent io_uring", "ukevent io_uring, at least 64"]
        }
    }
}

/// The arguments that measure this table again. Not those given: they may name a place on this machine.
fn command(args: &BenchArgs, table: &Table) -> String {
    let size =
        if args.smoke { " --smoke".to_owned() } else { format!(" --rounds {}", args.rounds) };
    format!("ukevent bench {}{size}", table.name)
}

/// All about a table, in Markdown.
fn section(table: &Table, file: &File, view: &View, took: Duration) -> String {
    let Machine { cpu, cores, kernel, build } = &file.machine;
    let mut text = format!(
        "# {}: {}\n\nThen: {}; {}.\nNow: commit {}, {cpu}, {cores} cores, Linux {kernel}, {build}; `{}`, {took:?}.\n",
        table.name,
        table.about,
        table.source.who,
        table.source.how.trim_end_matches('.'),
        file.commit,
        file.command,
    );
    for (heading, grid) in &view.grids {
        text.push_str(&format!("\n{heading}\n\n{grid}"));
    }
    for note in &view.notes {
        text.push_str(&format!("\n{note}\n"));
    }
    let lost = |row: &&Outcome| !row.ok;
    for row in file.results.iter().filter(lost) {
        let why = row.error.as_deref().unwrap_or("unknown");
        text.push_str(&format!("\nNo result: {} {}: {why}.\n", row.contender, row.parameters));
    }
    text.push('\n');
    text
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who has read enough may close.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn keep(folder: &Path, table: &Table, file: &File, view: &View, text: &str) -> Result<(), Error> {
    let place = |ending: &str| folder.join(format!("{}.{ending}", table.name));
    results::write(folder, table.name, file)?;
    fs::write(place("md"), text)?;
    if let Some(chart) = &view.chart {
        let Machine { cpu, cores, kernel, .. } = &file.machine;
        let about = format!("{cpu}, {cores} cores, Linux {kernel} · {}", file.command);
        let mut svg = Vec::new();
        chart.write(&format!("{}: {}", table.name, table.about), &about, &mut svg)?;
        fs::write(place("svg"), svg)?;
    }
    Ok(())
}
