//! Coroutines on the queue.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod error;
mod events;
pub mod net;
mod operation;
mod registered;
mod runtime;
pub mod time;
mod yielding;

pub use error::RunError;
pub use events::{EventSet, Events};
pub use operation::{Perform, perform};
pub use registered::Registered;
pub use runtime::{JoinError, JoinHandle, Runtime, block_on, spawn};
pub use yielding::{Look, YieldNow, look, yield_now};
