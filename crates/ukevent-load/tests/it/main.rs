//! Loads against real servers, good ones and bad ones.
#![allow(clippy::unwrap_used)]

mod ending;
mod failing;
mod loops;
mod server;
mod tls;
