//! A load generator for HTTP/1.1: asks a server so often, or so many at a time, and says how it bore it.
//!
//! **Closed loop**: so many connections, each asks again when it was answered. What it measures is how much a
//! server can do. **Open loop**: requests start when a schedule says so, whatever the server does. What it
//! measures is how long people wait, and so latencies count from the intended start: a server that stalls for
//! a second delays all who came in that second, not one.
//!
//! Over TLS, `https://`, all is the same; connecting includes the handshake.
//!
//! Nothing of what goes wrong is hidden in a sum: each failure is counted in its [`Class`]. When the
//! generator itself was the bottleneck, the result says so.

#![forbid(unsafe_code)]

mod arrivals;
mod class;
mod client;
pub mod fuzz;
pub mod mix;
mod plan;
pub mod record;
mod reply;
pub mod report;
pub mod search;
mod syntax;
mod target;
mod trust;
pub mod verdict;

pub use arrivals::{Arrivals, Ramp, RampError, Shape, Starts};
pub use class::Class;
pub use client::{Idle, Load, Progress, Stop};
pub use mix::{Mix, Request};
pub use plan::{DEEPEST_PIPELINE, Length, MOST_RATE, NeverDue, Pace, Plan};
pub use record::Record;
pub use reply::{Asked, Reply, ReplyReader, Step};
pub use target::{Place, Target, TargetError};
pub use trust::{Trust, TrustError};
