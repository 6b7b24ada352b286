//! The arguments, and the help: what `--help` says is the manual of the command.

mod bench;
mod load;
mod manual;
mod serve;
mod watch;

pub(crate) use bench::BenchArgs;
pub(crate) use load::{Cores, LoadArgs, MOST_PROCESSES, Part, Rate};
pub(crate) use serve::{LogFormat, QueueArg, ServeArgs};
pub(crate) use watch::{Colour, WatchArgs};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use ukevent::BackendKind;

/// One queue for every kind of event on Linux.
#[derive(Debug, Parser)]
#[command(name = "ukevent", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) task: Task,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    Watch(Box<WatchArgs>),
    Serve(Box<ServeArgs>),
    Load(Box<LoadArgs>),
    Bench(Box<BenchArgs>),
}

/// Reads the name of a backend that has a kernel.
fn backend() -> impl TypedValueParser<Value = BackendKind> {
    PossibleValuesParser::new(BackendKind::REAL.map(BackendKind::name))
        .try_map(|name| name.parse::<BackendKind>())
}
