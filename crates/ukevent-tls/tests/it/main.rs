//! Sessions over real sockets: of this crate with itself, with OpenSSL, and with peers that misbehave; on every
//! backend.
#![allow(clippy::unwrap_used, reason = "a test that lacks what it needs has failed")]

mod both_ways;
mod ends;
mod lost;
mod misbehaving;
mod openssl;
mod sides;
