//! Loads against real servers, good ones and bad ones.
#![allow(clippy::unwrap_used)]

mod ending;
mod failing;
mod large;
mod loops;
mod server;
mod tls;
