//! From the arguments to a session: all that can be refused is refused here, before the first event.

use crate::args::{Colour, WatchArgs};
use crate::failure::Failure;
use crate::queue;
use crate::tell::tell;
use crate::watch::exec::{CommandLine, Exec, Settings};
use crate::watch::output::Output;
use crate::watch::role::{Role, ends};
use crate::watch::session::{Parts, Session, Style};
use crate::watch::source::{self, Source};
use crate::watch::spec::Spec;
use crate::watch::text::{Text, escaped};
use jiff::Zoned;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{IsTerminal, stdout};
use std::os::fd::OwnedFd;
use ukevent::{Fd, Interest, Key, Mode, Queue, Signal, Timer};

/// A spec, and the descriptor that it names, if it names one.
struct Wanted {
    text: OsString,
    spec: Spec,
    fd: Option<OwnedFd>,
}

pub(crate) fn begin(args: &WatchArgs) -> Result<Session, Failure> {
    let now = Zoned::now();
    let specs = parse(&args.specs, &now)?;
    let line = args.exec.as_deref().map(|line| CommandLine::parse(line, args.shell)).transpose()?;
    let wanted = open(specs)?;
    // As it was before the first signal is watched: what commands are started with.
    let mask = ukevent_sys::signal::blocked()
        .map_err(|error| Failure::Failed(format!("watch: {error}")))?;

    let style = style(args, &wanted, &now);
    let exec = line.map(|line| {
        Exec::new(Settings {
            line,
            jobs: args.jobs.get(),
            backlog: args.backlog,
            shares_stdin: wanted.iter().any(|wanted| wanted.spec == Spec::Fd(0)),
            prints_to_stderr: args.json,
            mask,
        })
    });
    let mut queue = queue::build("watch", args.backend)?;
    if args.verbose {
        tell(format_args!("watch: {}", queue.backend_reason()));
    }
    let ends = ends();
    let sources = register(&mut queue, wanted)?;
    watch_ends(&mut queue, args, &sources, &ends)?;
    let output = Output::new();
    let output_key = if args.quiet { None } else { watch_output(&mut queue, &output)? };
    if args.verbose {
        let listed: Vec<_> = sources.iter().map(|source| escaped(&source.text)).collect();
        let pid = std::process::id();
        tell(format_args!("watch: process {pid} watches {}", listed.join(" ")));
    }
    let left = args.count.map_or(u64::MAX, std::num::NonZeroU64::get);
    let quiet = args.quiet;
    let parts = Parts { queue, sources, ends, output, output_key, style, exec, left, quiet };
    Ok(Session::new(parts))
}

fn parse(words: &[OsString], now: &Zoned) -> Result<Vec<(OsString, Spec)>, Failure> {
    words
        .iter()
        .map(|text| match Spec::parse(text, now) {
            Ok(spec) => Ok((text.clone(), spec)),
            Err(error) => Err(Failure::Usage(format!("watch: {error}"))),
        })
        .collect()
}

/// Before the queue has descriptors of its own, for these are named by number.
fn open(specs: Vec<(OsString, Spec)>) -> Result<Vec<Wanted>, Failure> {
    specs
        .into_iter()
        .map(|(text, spec)| {
            let fd = source::open(&text, &spec)?;
            Ok(Wanted { text, spec, fd })
        })
        .collect()
}

fn style(args: &WatchArgs, wanted: &[Wanted], now: &Zoned) -> Style {
    if args.quiet {
        return Style::None;
    }
    if args.json {
        return Style::Json;
    }
    let colour = match args.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            let set = |variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
            let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == *"dumb");
            // no-color.org
            stdout().is_terminal() && !set("NO_COLOR") && !is_dumb
        }
    };
    let specs = wanted.iter().map(|wanted| OsStr::new(&wanted.text));
    Style::Text(Text::new(specs, now.time_zone().clone(), colour))
}

fn register(queue: &mut Queue, wanted: Vec<Wanted>) -> Result<Vec<Source>, Failure> {
    (0..)
        .zip(wanted)
        .map(|(index, Wanted { text, spec, fd })| Source::register(queue, index, text, spec, fd))
        .collect()
}

/// Watches for what ends the watch: Ctrl-C and SIGTERM, unless they are being watched for
/// themselves, and the time that is given.
fn watch_ends(
    queue: &mut Queue,
    args: &WatchArgs,
    sources: &[Source],
    ends: &[(Signal, Role)],
) -> Result<(), Failure> {
    for &(signal, role) in ends {
        if !sources.iter().any(|source| source.watches(signal)) {
            queue
                .register(signal, role.token(), Mode::Level)
                .map_err(|error| own(&signal.to_string(), &error))?;
        }
    }
    if let Some(time) = args.time {
        queue
            .register(Timer::after(time.0), Role::Deadline.token(), Mode::OneShot)
            .map_err(|error| own("--for", &error))?;
    }
    Ok(())
}

/// Watches standard output for nothing but what is always reported: that the reader is gone.
fn watch_output(queue: &mut Queue, output: &Output) -> Result<Option<Key>, Failure> {
    let Some(fd) = output.watched().map_err(|error| own("standard output", &error))? else {
        return Ok(None);
    };
    let fd = Fd::new(fd).interest(Interest::empty());
    let key = queue.register(fd, Role::Output.token(), Mode::Level);
    key.map(Some).map_err(|error| own("standard output", &error))
}

/// Something that the command watches for its own sake cannot be watched.
fn own(what: &str, error: &dyn Display) -> Failure {
    Failure::Failed(format!("watch: {what}: {error}"))
}
