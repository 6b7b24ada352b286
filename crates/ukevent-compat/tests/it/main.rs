//! The traits on every backend, and the examples before clients that others wrote.
// What is not there in a test has failed it.
#![allow(clippy::unwrap_used)]

mod clients;
mod fetching;
mod http1;
mod http2;
mod sleeping;
mod streams;
mod tls;
mod traits;
mod websocket;
