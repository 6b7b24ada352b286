//! One queue for every kind of event on Linux: the crate to add.
//!
//! Everything here is re-exported from the crates below, of which a program need not know:
//! `ukevent-queue` is the queue, its sources and its backends, `ukevent-task` the coroutines on it,
//! `ukevent-buf` the memory for operations.
//!
//! ```
//! use std::{process::Command, time::Duration};
//! use ukevent::{Kind, Mode, Process, Queue, Signal, Timer, Token, Wait};
//!
//! const STOP: Token = Token(0);
//! const TICK: Token = Token(1);
//! const CHILD: Token = Token(2);
//!
//! let mut queue = Queue::new()?;
//! queue.register(Signal::TERM, STOP, Mode::Level)?;
//! queue.register(Timer::every(Duration::from_millis(5)), TICK, Mode::Level)?;
//! let mut child = Command::new("sleep").arg("0.02").spawn()?;
//! queue.register(Process::child(&child), CHILD, Mode::OneShot)?;
//!
//! 'ended: loop {
//!     queue.wait(Wait::forever())?;
//!     while let Some(event) = queue.next_event() {
//!         match (event.token, event.kind) {
//!             (TICK, Kind::Timer(expired)) => println!("{} periods passed", expired.expirations),
//!             (CHILD, Kind::Process(change)) => break 'ended println!("{:?}", change.what),
//!             (STOP, _) => break 'ended println!("told to end"),
//!             (token, kind) => println!("{token:?}: {kind:?}"),
//!         }
//!     }
//! }
//! child.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

#[doc(inline)]
pub use ukevent_queue::*;

/// Coroutines on the queue: see `ukevent-task`.
#[doc(inline)]
pub use ukevent_task as task;

/// Memory for operations: see `ukevent-buf`.
#[doc(inline)]
pub use ukevent_buf as buf;

/// The README's example, which is to run as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
