//! Loads against real servers, good ones and bad ones.
#![allow(clippy::unwrap_used)]

mod failing;
mod loops;
mod server;
mod tls;
