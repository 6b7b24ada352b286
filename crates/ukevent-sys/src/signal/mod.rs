//! Signals: sets and masks of them, the descriptor that reads them, names, and the taking over of
//! their action.
//!
//! Here because a signal is the one kind of event that the kernel does not tell through a descriptor
//! alone: it goes to any thread that does not block it. [`SignalFd`] reads what is blocked;
//! [`Takeover`] sends on to those who read what reached another thread. Which signals, and whose, is decided by
//! the queue. Sources: signal(7), signalfd(2), rt_sigqueueinfo(2), sigaction(2).

mod action;
mod fd;
mod mask;
mod name;
mod set;
#[cfg(test)]
mod tests;

pub use action::{Disposition, Takeover, disposition};
pub use fd::{SignalFd, SignalRecord};
pub use mask::{block, blocked, set_blocked, this_thread, unblock, with_all_blocked};
pub use name::{
    ALRM, CHLD, CONT, HUP, INT, QUIT, TERM, USR1, USR2, WINCH, name, number, rt_max, rt_min,
};
pub use set::SignalSet;

/// The highest signal number of Linux, `_NSIG - 1`, and so one less than the length of a table that
/// is indexed by number (MIPS, which has 127, is not supported).
pub const LAST: i32 = 64;
