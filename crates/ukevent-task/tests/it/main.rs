//! What must be true of the runtime and of the typed face, over real sockets, files, children, signals and
//! threads; the typed face on every backend.
//!
//! No case depends on how long anything takes; what could hang has a deadline and fails with a message. A
//! test of the typed face is called `module::backend::case`; after each the descriptors of the process are
//! counted.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that lacks what it needs has failed")]

#[macro_use]
mod bench;

mod attack;
mod blocking;
mod channel;
mod cores;
mod datagrams;
mod dump;
mod events;
mod files;
mod listeners;
mod names;
mod pipes;
mod processes;
mod runtime;
mod scope;
mod signals;
mod streams;
mod watches;
