//! Runs libraries that were written for other runtimes on `ukevent-task`: their traits, for its sockets,
//! its tasks and its timers.
//!
//! | feature | traits | libraries that speak them |
//! |---|---|---|
//! | `futures-io` | `AsyncRead`, `AsyncBufRead`, `AsyncWrite` | async-tungstenite, futures-rustls |
//! | `tokio` | the same three of `tokio::io`; nothing else of tokio is needed, nor built | tokio-rustls, tokio-tungstenite |
//! | `hyper` | `Read`, `Write`, `Executor`, `Timer`, `Sleep` of `hyper::rt` | hyper, axum |
//!
//! All are off by default. What is read is copied once, into the caller's buffer; what is written once,
//! into memory of its own, which the queue owns until it has left: a borrowed slice cannot be lent to the
//! kernel beyond a call.
//!
//! A stream stays in the thread of its runtime, and so do the tasks that use it. What insists on `Send`
//! (hyper's upgrades, tonic's server, hyper-util's pooled client) cannot be used with it; futures without
//! `Send` can be, which other runtimes refuse.
//!
//! The examples of this crate are whole programs: a server by hyper, by axum, with TLS, a WebSocket echo,
//! a client.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

#[cfg(feature = "futures-io")]
mod futures;
#[cfg(feature = "hyper")]
pub mod hyper;
mod stream;
#[cfg(feature = "tokio")]
mod tokio;

pub use stream::Stream;
