//! The tables: what is measured, one file each.

pub(crate) mod alloc;
pub(crate) mod echo;
pub(crate) mod idle;
pub(crate) mod memory;
pub(crate) mod post;
pub(crate) mod reads;
pub(crate) mod ready;
pub(crate) mod serve;
mod server;
pub(crate) mod tasks;
pub(crate) mod timers;
pub(crate) mod writes;
