//! The command itself, run as people run it: real files, signals, processes, connections, terminals.
//!
//! Nothing asserts a time. Watches have a `--for` of a minute, so that a test whose event does not come
//! fails and does not hang.
#![expect(clippy::unwrap_used, reason = "what cannot be had here is a test that fails")]

mod backend;
mod bench;
mod browser;
mod clients;
mod end;
mod exec;
mod idle;
mod load;
mod load_end;
mod load_find;
mod load_limits;
mod output;
mod places;
mod serve;
mod source;
mod threads;
mod usage;
mod watch;
