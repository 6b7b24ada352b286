//! `ukevent bench`: its flags.

use clap::Args;
use std::path::PathBuf;
use ukevent_bench::tables::{self, Table};

/// Measure this machine: the tables of 2001 and 2006 that ukevent comes from, run again, then and now side by side.
///
/// Everybody in a table takes turns, five times, and but for dead once before that does not count; a figure is the median, and a
/// comparison that of the rounds' ratios. `=` says that the spread swallows the difference. Who loses or doubles one
/// event, reply or timer has no figure, and the command ends with 1. It needs nothing but itself; nothing else
/// should run meanwhile.
#[derive(Args, Debug)]
#[command(after_help = after_help())]
pub(crate) struct BenchArgs {
    /// Which tables; all, if none is named
    #[arg(value_name = "NAME", value_parser = table)]
    pub(crate) names: Vec<&'static Table>,

    /// Write NAME.json, NAME.md and NAME.svg for each table into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Rounds that count
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(5..))]
    pub(crate) rounds: u16,

    /// One round in tiny sizes: does it run, and deliver? Its figures mean nothing
    #[arg(long)]
    pub(crate) smoke: bool,

    /// Be a child of a table
    #[arg(long, value_name = "WORDS", hide = true)]
    pub(crate) child: Option<String>,
}

fn table(name: &str) -> Result<&'static Table, String> {
    tables::ALL.iter().find(|table| table.name == name).ok_or_else(|| {
        let names: Vec<&str> = tables::ALL.iter().map(|table| table.name).collect();
        format!("there is no such table; there are {}", names.join(", "))
    })
}

fn after_help() -> String {
    let line = |table: &Table| format!("  {:<11} {}\n", table.name, table.about);
    format!("Tables:\n{}", tables::ALL.iter().map(line).collect::<String>())
}
