//! A static file server: coroutines on a queue, on one thread or on several with a queue each.
//!
//! GET and HEAD of the files below a directory, as RFC 9110 and RFC 9112 have it: keep-alive and
//! pipelining, conditional requests, byte ranges, and a proper answer to everything else. Without
//! a directory it serves a page about itself, with live counters.
//!
//! The floors of this crate, from the wire up:
//!
//! - pure, without clock, socket or queue: `request` reads a head, `body` finds the end of what
//!   follows it, `target` makes a path of the target, `conditional` and `range` decide what of
//!   the content is wanted, `response` writes heads, and `exchange` joins these into the answer to
//!   one request;
//! - pure as well: `negotiation` chooses among representations, `listing` draws directories,
//!   `addresses` and `pace` judge who asks too much or is too slow, [`log`] and [`metrics`] tell of it;
//! - `out`: the memory in which answers are made, and from which they are sent;
//! - the content: `files` below a directory, kept at hand as long as nothing is reported of them and
//!   loaded by threads where that takes time, or `page`; both as `entity` describes it;
//! - `latency` and `pulse`: how long answers took, and what those are told who watch the page;
//! - `shared`: what all connections use, with `loads` and `bell` for those of them that wait for the work
//!   of others;
//! - `connection`: one connection from its first request to its end, a task over any wire; `rehearsal` is
//!   the wire of tests and of fuzzing, on a clock that is moved by hand;
//! - `counters` and `whole`: what each thread counts, and what all of them have in common;
//! - `server`: the tasks that accept, that take reports, and that end it all; `server::threads` makes the other
//!   threads, and feeds them.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod addresses;
mod bell;
mod body;
mod certificate;
mod conditional;
mod connection;
mod counters;
mod date;
mod entity;
mod exchange;
mod files;
#[doc(hidden)]
pub mod fuzz;
mod journal;
mod latency;
mod limits;
mod listing;
mod loads;
pub mod log;
pub mod metrics;
mod negotiation;
mod out;
mod pace;
mod page;
mod pulse;
mod race;
mod range;
mod rehearsal;
mod request;
mod response;
mod server;
mod shared;
mod status;
mod target;
#[cfg(test)]
mod testing;
mod whole;

pub use certificate::{Certificate, CertificateError};
pub use counters::Counters;
pub use journal::{AccessLog, LogTo};
pub use limits::Limits;
pub use server::{Builder, Listen, Meter, QueueShape, Server, StartError, Stopper, ThreadError};
