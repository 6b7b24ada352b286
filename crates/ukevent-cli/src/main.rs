//! The command `ukevent`: `watch` shows anything that can happen on a machine and reacts to it,
//! `serve` serves files, `load` asks a server, `bench` measures the machine.
//!
//! It ends with 0 if it did what it was asked, with 1 if it could not, and with 2 if it was called
//! wrongly; then it says what to do.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod advice;
mod args;
mod bench;
mod failure;
mod load;
mod queue;
mod serve;
mod tell;
mod units;
mod watch;

use args::{Args, Task};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Watch(args) => watch::run(&args),
        Task::Serve(args) => serve::run(&args),
        Task::Load(args) => load::run(&args),
        Task::Bench(args) => bench::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell::tell(&failure);
            failure.exit_code()
        }
    }
}
