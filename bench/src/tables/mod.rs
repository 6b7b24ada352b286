//! The tables: what is measured, one file each.

pub(crate) mod idle;
pub(crate) mod post;
pub(crate) mod ready;
pub(crate) mod serve;
mod server;
pub(crate) mod timers;
