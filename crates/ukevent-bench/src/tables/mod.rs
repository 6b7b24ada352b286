//! The tables: what is measured, one file each.

pub mod events;
pub mod ready;
pub mod timers;
pub mod wake;
