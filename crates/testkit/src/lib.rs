//! Real parts for the tests of every crate: pairs of connected descriptors, children, trees of
//! files, network namespaces, seeds, and the few questions that tests ask of their own process.
//!
//! It is a dev-dependency only, stands on no floor, and never uses what it helps to test. Its
//! functions panic where a library would return an error: a test without its parts has failed.
//!
//! A test that must be alone in its process (it counts descriptors, changes a signal mask, lowers a
//! limit) wraps its body in [`alone`], and then passes under every test runner. A test that lacks a
//! privilege says so with [`skip!`]; CI counts what was said and fails. What a test may leave open is
//! what was open before it: [`count_descriptors`] watches over that.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod alone;
mod child;
mod count;
mod descriptors;
mod kernel;
mod netns;
mod pairs;
mod seed;
mod skip;
mod tree;
mod wait;

pub use alone::alone;
pub use child::Child;
pub use count::{DescriptorCount, count_descriptors};
pub use descriptors::{assert_no_leak, descriptors, fd_count, raise_nofile};
pub use kernel::kernel;
pub use netns::{Netns, VethPair};
pub use pairs::{listener, nonblocking, pipe_pair, tcp_pair, tcp_pair_of, udp_pair, unix_pair};
pub use seed::{Rng, seed};
pub use skip::skip;
pub use tree::TempTree;
pub use wait::{settles, wait_until};
