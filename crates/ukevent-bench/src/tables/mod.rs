//! The tables: what is measured, one file each.

pub mod bursts;
pub mod dead;
pub mod events;
pub mod inode;
pub mod memory;
pub mod ready;
pub mod sequential;
pub mod timers;
pub mod wake;

use crate::view::{Source, View};
use ukevent_measure::{Plan, Result, cores::Cores, results::Outcome};

/// All of them, in the order in which they are run.
pub const ALL: [Table; 9] = [
    dead::TABLE,
    bursts::TABLE,
    sequential::TABLE,
    events::TABLE,
    inode::TABLE,
    ready::TABLE,
    timers::TABLE,
    wake::TABLE,
    memory::TABLE,
];

/// A table of `ukevent bench`.
#[derive(Debug)]
pub struct Table {
    /// By which it is asked for.
    pub name: &'static str,
    /// What it measures, in a line.
    pub about: &'static str,
    /// What it re-runs.
    pub source: Source,
    /// Measures it.
    pub run: fn(&Plan, &Cores, &mut Vec<Outcome>) -> Result<()>,
    /// Shows what was measured beside what was found then.
    pub show: fn(&[Outcome]) -> View,
}
