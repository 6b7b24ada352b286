//! What `ukevent bench` measures: the tables of the papers of 2001 and 2006 that ukevent comes from, run again with
//! what the kernel offers today, and shown beside what they found then.
//!
//! It needs nothing but itself: contenders are ukevent on each of its backends, and straight system calls. Others
//! can be added to a table: whoever implements its trait ([`Readiness`](tables::ready::Readiness),
//! [`Takes`](tables::events::Takes), [`Watches`](tables::inode::Watches), [`Timers`](tables::timers::Timers), [`Target`](tables::wake::Target)) is given
//! the same work, in turn with the others. The method is that of [`ukevent_measure`].

#![forbid(unsafe_code)]

pub mod child;
pub mod contenders;
#[cfg(test)]
mod made_up;
pub mod server;
pub mod tables;
pub mod view;
