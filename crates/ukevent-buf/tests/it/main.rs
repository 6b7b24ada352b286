//! The crate as others use it: several threads, several processes, and for long.
#![allow(clippy::unwrap_used, reason = "a test that lacks what it needs has failed")]

mod children;
mod churn;
mod waking;
