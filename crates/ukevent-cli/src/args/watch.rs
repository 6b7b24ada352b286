//! `ukevent watch`: its flags.

use super::manual::{EXAMPLES, MANUAL};
use crate::units::Time;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::num::{NonZeroU64, NonZeroUsize};
use ukevent::BackendKind;

/// Show anything that happens, and react to it.
///
/// Watches timers, files, signals, processes, the network, devices, descriptors and connections, as
/// many as you like at once, and prints a line for each event.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = MANUAL, args_override_self = true)]
pub(crate) struct WatchArgs {
    /// What to watch: KIND:WHAT; `watch --help` lists the kinds
    #[arg(required = true, value_name = "SPEC")]
    pub(crate) specs: Vec<OsString>,

    /// Print events as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,

    /// End after so many events
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,

    /// End after this time, such as 10s or 1h30m
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) time: Option<Time>,

    /// Run this command for each event, which is in its environment as UKEVENT_*
    #[arg(short = 'x', long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,

    /// Hand the command to /bin/sh instead of splitting it into words
    #[arg(long, requires = "exec")]
    pub(crate) shell: bool,

    /// Run so many commands at a time
    #[arg(short, long, value_name = "N", default_value = "4", requires = "exec")]
    pub(crate) jobs: NonZeroUsize,

    /// Let so many events wait for their command; further ones are skipped, and told
    #[arg(long, value_name = "N", default_value = "256", requires = "exec")]
    pub(crate) backlog: usize,

    /// Use this backend, not the best that the kernel allows
    #[arg(long, value_name = "NAME", value_parser = super::backend())]
    pub(crate) backend: Option<BackendKind>,

    /// Colour the lines: on a terminal unless NO_COLOR is set, always or never
    #[arg(long, alias = "colour", value_name = "WHEN", value_enum, default_value = "auto")]
    pub(crate) color: Colour,

    /// Print no events and no summary: for --exec
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,

    /// Say which backend is used and why, and when watching has begun
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    Auto,
    Always,
    Never,
}
