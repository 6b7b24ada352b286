//! What takes a process of its own: memory is looked at where nothing was given back before, and a process may have
//! only so many descriptors.
//!
//! The child is the same program again, started with [`ARGUMENTS`] and words that say what it is to do. A program
//! that runs tables passes those words to [`be`]. A child ends when its standard input does, so it never outlives
//! whoever started it.

use crate::{server::held, tables::memory};
use std::process::Command;
use ukevent_measure::Result;

/// What a child is started with, before its words.
pub const ARGUMENTS: [&str; 2] = ["bench", "--child"];

/// The words for a child, if this process is to be one.
#[must_use]
pub fn asked() -> Option<String> {
    let mut arguments = std::env::args().skip(1);
    let mut is_next = |it| arguments.next().as_deref() == Some(it);
    if ARGUMENTS.into_iter().all(&mut is_next) { arguments.next() } else { None }
}

/// Does what the words say, and returns when that is over.
///
/// # Errors
/// They are no such words; or it cannot be done.
pub fn be(words: &str) -> Result<()> {
    match words.split_once(',') {
        Some(("memory", rest)) => memory::be_child(rest),
        Some(("hold", rest)) => held::be_child(rest),
        _ => Err(format!("no such child: {words}").into()),
    }
}

/// Starts this program as such a child.
pub(crate) fn command(words: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(ARGUMENTS).arg(words);
    Ok(command)
}
