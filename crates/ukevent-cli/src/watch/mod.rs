//! `ukevent watch`: anything that can happen, a line each, and a command for it if wished.
//!
//! One thread and one queue for all of it: what is watched, Ctrl-C, the time that is given, the
//! commands that run, and the reader of standard output. [`run`] reads the arguments and says what
//! came of them; the watch itself is in `run`.

mod begin;
mod environment;
mod exec;
mod json;
mod names;
mod output;
mod report;
mod role;
mod session;
mod source;
pub(crate) mod spec;
mod summary;
mod text;

use crate::args::WatchArgs;
use crate::failure::Failure;

/// Watches until there is a reason to end. Blocks.
pub(crate) fn run(args: &WatchArgs) -> Result<(), Failure> {
    let mut session = begin::begin(args)?;
    while !session.is_over() {
        session.step();
    }
    session.finish()
}

/// Every word of a spec, and every field of an event.
#[cfg(test)]
pub(crate) fn known_words() -> Vec<&'static str> {
    spec::known_words().into_iter().chain(report::DATA).collect()
}
