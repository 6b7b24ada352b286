//! A static file server on one thread and one queue.
//!
//! GET and HEAD of the files below a directory, as RFC 9110 and RFC 9112 have it: keep-alive and
//! pipelining, conditional requests, byte ranges, and a proper answer to everything else. Without
//! a directory it serves a page about itself, with live counters.
//!
//! The floors of this crate, from the wire up:
//!
//! - pure, without clock, socket or queue: `request` reads a head, `body` finds the end of what
//!   follows it, `target` makes a path of the target, `conditional` and `range` decide what of
//!   the content is wanted, `response` writes heads, `exchange` joins these into the answer to
//!   one request, and `connection` is the state of one connection: bytes in, bytes and parts of
//!   files out, deadlines told but never waited for;
//! - `out`: the memory in which answers are made, and from which they are sent;
//! - the content: `files` below a directory, kept at hand as long as nothing is reported of them and
//!   loaded by threads where that takes time, or `page`; both as `entity` describes it;
//! - the loop: `server` joins connections to the queue, by operations that complete.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod body;
mod conditional;
mod connection;
mod counters;
mod date;
mod entity;
mod exchange;
mod files;
#[doc(hidden)]
pub mod fuzz;
mod limits;
mod out;
mod page;
mod range;
mod request;
mod response;
mod server;
mod status;
mod target;
#[cfg(test)]
mod testing;

pub use counters::Counters;
pub use limits::Limits;
pub use server::{Builder, Server, StartError, Stopper};
