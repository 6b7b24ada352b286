//! Signals as events (signal(7)), beside whatever else the program does with signals.
//!
//! While a signal is registered, the thread of the queue blocks it and reads it from a signalfd.
//! That alone would not do: a signal that is sent to the process goes to any thread that does not
//! block it, and there its default action would end the process. So its action is taken over as
//! well, and such a thread sends it on, with its sender. `hub` has the registrations of one queue,
//! `shared` what the queues of a process must agree on: every queue that watches a signal gets it,
//! in whichever thread it was read.
//!
//! When the last registration goes, mask and action are what they were.

mod hub;
mod shared;
#[cfg(test)]
mod tests;

pub(crate) use hub::SignalHub;
pub(crate) use shared::bit;

use crate::error::RegisterError;
use std::fmt;
use ukevent_sys::signal as sys;

/// A signal, as a source of events.
///
/// The event is [`Kind::Signal`](crate::Kind::Signal), with how many came and who sent the last.
/// While it is registered, it is seen in place of what the program does with it otherwise: its
/// handler does not run, its default action is not taken, and being ignored does not hide it. It does
/// not matter which thread it is sent to, and every queue of the process that watches it is told.
///
/// - The signal is blocked in the thread of the queue. Threads and programs that this thread starts
///   while it is registered inherit that and keep it: start programs from a thread that does not block
///   it, or unblock it in the child.
/// - In other threads a signal interrupts calls that cannot be restarted (`SA_RESTART`, signal(7)). A
///   wait whose own mask unblocks it may be interrupted by it too; the event comes with the next.
/// - What came while it was registered and was not delivered is dropped with the last registration,
///   which puts mask and action back. A queue that is dropped by another thread than its own cannot
///   put back that thread's mask: the signal stays blocked there.
/// - A child made by fork(2) has the former action, and the mask of the thread that made it. A program
///   that is executed meanwhile has the default action, also where the former one was to ignore the
///   signal, as below nohup(1) or in the background of a script: a handler does not survive execve(2).
///   Who wants that kept does not register a signal that
///   [`disposition`](ukevent_sys::signal::disposition) says is ignored.
///
/// Linux 2.6.31.
///
/// ```
/// use ukevent_queue::Signal;
///
/// let signal = Signal::from_name("hup")?;
/// assert_eq!(signal, Signal::HUP);
/// assert_eq!(Signal::new(signal.number())?.to_string(), "SIGHUP");
/// let error = Signal::from_name("kill").expect_err("nobody can watch it");
/// assert!(error.to_string().starts_with("SIGKILL and SIGSTOP"));
/// # Ok::<(), ukevent_queue::RegisterError>(())
/// ```
#[doc(alias = "EVFILT_SIGNAL")]
#[doc(alias = "KEVENT_SIGNAL")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

impl Signal {
    /// The terminal was closed; for a daemon, read the configuration again.
    pub const HUP: Self = Self(sys::HUP);
    /// The user typed the interrupt character.
    pub const INT: Self = Self(sys::INT);
    /// The user typed the quit character.
    pub const QUIT: Self = Self(sys::QUIT);
    /// Whatever the program makes of it.
    pub const USR1: Self = Self(sys::USR1);
    /// Whatever the program makes of it.
    pub const USR2: Self = Self(sys::USR2);
    /// The request to end.
    pub const TERM: Self = Self(sys::TERM);
    /// A timer of alarm(2) or setitimer(2) expired.
    pub const ALRM: Self = Self(sys::ALRM);
    /// A child ended, stopped or goes on. Which one, a [`Process`](crate::Process) tells.
    pub const CHLD: Self = Self(sys::CHLD);
    /// The process goes on after it was stopped.
    pub const CONT: Self = Self(sys::CONT);
    /// The terminal's window has another size.
    pub const WINCH: Self = Self(sys::WINCH);

    /// The signal of this number. Allocates nothing.
    ///
    /// # Errors
    /// [`RegisterError::Invalid`]: there is no such signal, the C library keeps it for itself, or it
    /// cannot be watched: `SIGKILL` and `SIGSTOP`, which nobody can block, and `SIGSEGV`, `SIGBUS`,
    /// `SIGFPE` and `SIGILL`, which come from the very instruction that they are about.
    pub fn new(number: i32) -> Result<Self, RegisterError> {
        let Some(name) = sys::name(number) else {
            return Err(RegisterError::Invalid(
                "there is no such signal, or the C library keeps it for itself; signal(7) lists them",
            ));
        };
        match &*name {
            "SIGKILL" | "SIGSTOP" => Err(RegisterError::Invalid(
                "SIGKILL and SIGSTOP cannot be watched: no process can block them",
            )),
            "SIGSEGV" | "SIGBUS" | "SIGFPE" | "SIGILL" => Err(RegisterError::Invalid(
                "SIGSEGV, SIGBUS, SIGFPE and SIGILL cannot be watched: the instruction that causes \
                 them cannot go on before they are handled",
            )),
            _ => Ok(Self(number)),
        }
    }

    /// The signal of this name, in either case, with or without `SIG`: `hup`, `SIGTERM`, `rtmin+3`;
    /// or its number in decimal.
    ///
    /// # Errors
    /// [`RegisterError::Invalid`] as of [`Signal::new`].
    pub fn from_name(name: &str) -> Result<Self, RegisterError> {
        Self::new(sys::number(name).unwrap_or(0))
    }

    /// The real-time signal that is `above` the first free one (`SIGRTMIN`). Real-time signals are
    /// queued and counted one by one.
    ///
    /// # Errors
    /// [`RegisterError::Invalid`]: there are not so many.
    pub fn real_time(above: u8) -> Result<Self, RegisterError> {
        Self::new(sys::rt_min() + i32::from(above))
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(sys::name(self.0).as_deref().unwrap_or("no signal"))
    }
}
