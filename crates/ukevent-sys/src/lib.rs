//! The kernel boundary: every system call that ukevent makes, and nothing that decides anything.
//!
//! Each module wraps one kernel interface in owned, safe types: no policy, no queueing, no state
//! beyond what the kernel hands out. All `unsafe` of the workspace's upper floors lives here, each
//! block with its proof. A failing call returns [`Error`], which names the call and its errno.
//!
//! Linux only. Each type states the oldest kernel it needs; what is newer is probed, never assumed.
#![cfg(target_os = "linux")]

pub mod clock;
pub mod descriptor;
pub mod directory;
pub mod epoll;
mod error;
pub mod eventfd;
pub mod inotify;
pub mod memory;
pub mod netlink;
pub mod page_cache;
pub mod poll;
pub mod process;
pub mod ring;
pub mod runner;
pub mod signal;
pub mod socket;
pub mod timerfd;

pub use error::{Error, Result};
