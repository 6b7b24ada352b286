//! The tables that only this workspace has, one file each. Those of the command (`ukevent_bench::tables`) are
//! given more contenders by `more.rs`.

pub(crate) mod alloc;
pub(crate) mod bursts;
mod counters;
pub(crate) mod echo;
mod generators;
pub(crate) mod idle;
pub(crate) mod instructions;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod more;
pub(crate) mod reads;
pub(crate) mod serve;
mod server;
pub(crate) mod shared;
pub(crate) mod tasks;
