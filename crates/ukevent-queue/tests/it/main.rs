//! The semantic suite: what must be true of a queue, on every backend.
//!
//! Each module tells of one side of the queue. Its cases run unchanged on io_uring, epoll and poll,
//! and where no kernel is needed on the simulation, over real pipes, sockets, files, children and
//! signals. No case depends on how long anything takes; what could hang has a deadline and fails
//! with a message. A test is called `module::backend::case`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that lacks what it needs has failed")]

#[macro_use]
mod bench;

mod backends;
mod changes;
mod drops;
mod everything;
mod fairness;
mod inodes;
mod keys;
mod limits;
mod losses;
mod many;
mod masks;
mod modes;
mod nesting;
mod netlinks;
mod operations;
mod posts;
mod processes;
mod readiness;
mod receiving;
mod signals;
mod simulation;
mod sleepers;
mod subject;
mod threads;
mod timers;
mod waits;
