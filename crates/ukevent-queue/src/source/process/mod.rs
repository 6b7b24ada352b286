//! Processes as events: that one ended, and how; that it forked or executed another program.
//!
//! The end comes through a pidfd (pidfd_open(2)), one for each registration, which the queue watches
//! ([`ProcessWatch`]). Forks and executions come through the process connector, of which a queue has
//! one (`connector`). Between the two there is no order.

mod connector;
#[cfg(test)]
mod tests;

pub(crate) use connector::ConnectorHub;

use crate::{
    error::RegisterError,
    event::{Kind, ProcessChange, ProcessEvent},
};
use bitflags::bitflags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use ukevent_sys::{
    Error,
    process::{Child, Ending, PidFd},
};

bitflags! {
    /// What of a process to be told.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct ProcessChanges: u32 {
        /// It ended. Told once; one that has ended already is told at once.
        #[doc(alias = "NOTE_EXIT")]
        const EXIT = 1 << 0;
        /// It made a child process. Needs the initial process, user and network namespaces, and
        /// before Linux 6.6 CAP_NET_ADMIN.
        #[doc(alias = "NOTE_FORK")]
        const FORK = 1 << 1;
        /// It executed another program. Needs what [`ProcessChanges::FORK`] needs.
        #[doc(alias = "NOTE_EXEC")]
        const EXEC = 1 << 2;
    }
}

/// A process, as a source of events: a child or any other.
///
/// The event is [`Kind::Process`]. How a child ended is always known. How
/// another process ended is known if this one may trace it (the same user, as a rule; proc_pid_stat(5))
/// or, since Linux 6.15, if its parent has collected it before the event is read; else it is
/// [`Gone`](crate::ProcessEvent::Gone).
///
/// Registering opens a descriptor of the process, so that its number cannot be mistaken for that of a
/// later one. Linux 5.4.
///
/// ```
/// use ukevent_queue::{Process, ProcessChanges};
///
/// let mut child = std::process::Command::new("true").spawn()?;
/// let end = Process::child(&child);
/// let life = Process::pid(1).on(ProcessChanges::EXIT | ProcessChanges::FORK);
/// # drop((end, life));
/// # child.wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "EVFILT_PROC")]
#[doc(alias = "EVFILT_PROCDESC")]
#[derive(Debug)]
pub struct Process {
    which: Which,
    changes: ProcessChanges,
    collects: bool,
}

#[derive(Debug)]
enum Which {
    Pid(i32),
    Child(i32),
    Fd(OwnedFd),
}

impl Process {
    /// The process of this number. Whose number it is, is decided when it is registered. Needs no
    /// privilege.
    #[must_use]
    pub const fn pid(pid: i32) -> Self {
        Self::new(Which::Pid(pid))
    }

    /// A child of this process, which must not have been waited for.
    #[must_use]
    pub fn child(child: &std::process::Child) -> Self {
        Self::new(Which::Child(child.id().cast_signed()))
    }

    /// The process of a pidfd. The descriptor is closed when the source is dropped.
    #[must_use]
    pub const fn pidfd(fd: OwnedFd) -> Self {
        Self::new(Which::Fd(fd))
    }

    const fn new(which: Which) -> Self {
        Self { which, changes: ProcessChanges::EXIT, collects: false }
    }

    /// Asks for these changes instead of [`ProcessChanges::EXIT`] alone.
    #[must_use]
    pub const fn on(mut self, changes: ProcessChanges) -> Self {
        self.changes = changes;
        self
    }

    /// Collects the child when it has ended: it leaves no zombie, and a later wait(2), that of
    /// `std::process::Child` too, does not find it. Without this the child is left as it is.
    #[must_use]
    pub const fn reaping(mut self) -> Self {
        self.collects = true;
        self
    }
}

/// The registration of one process.
#[derive(Debug)]
pub(crate) struct ProcessWatch {
    fd: Option<PidFd>,
    pid: i32,
    changes: ProcessChanges,
    collects: bool,
    told: bool,
}

impl ProcessWatch {
    /// The changes that a [`ConnectorHub`] tells, and no pidfd.
    pub(crate) const BY_CONNECTOR: ProcessChanges =
        ProcessChanges::FORK.union(ProcessChanges::EXEC);

    /// Opens the process.
    pub(crate) fn new(process: &Process) -> Result<Self, RegisterError> {
        let &Process { ref which, changes, collects } = process;
        if changes.is_empty() {
            return Err(RegisterError::Invalid("a process is to be watched for nothing"));
        }
        if collects && !changes.contains(ProcessChanges::EXIT) {
            return Err(RegisterError::Invalid(
                "a child is collected when its end is told: ask for ProcessChanges::EXIT too",
            ));
        }
        let fd = match which {
            Which::Pid(pid) | Which::Child(pid) => PidFd::open(*pid)?,
            Which::Fd(fd) => from_descriptor(fd)?,
        };
        if matches!(which, Which::Child(_)) && fd.child_ending(false)? == Child::NotOurs {
            // It was waited for, and its number is another's by now.
            return Err(Error::new("pidfd_open", NO_SUCH_PROCESS).into());
        }
        if collects && fd.child_ending(false)? == Child::NotOurs {
            return Err(RegisterError::Invalid(
                "only a child of this process can be collected, and only once",
            ));
        }
        let pid = fd.pid();
        let fd = changes.contains(ProcessChanges::EXIT).then_some(fd);
        Ok(Self { fd, pid, changes, collects, told: false })
    }

    /// What is to be told.
    pub(crate) const fn changes(&self) -> ProcessChanges {
        self.changes
    }

    /// The process's number.
    pub(crate) const fn pid(&self) -> i32 {
        self.pid
    }

    /// The pidfd, if the end is to be told. To be watched for reading and *edge-triggered*: it is
    /// readable for good once the process has ended.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// To be called whenever the pidfd is reported: the end, once. `None` after that (the kernel
    /// reports the pidfd again when the process is collected), and while it cannot be told: a child
    /// that somebody traces is reported anew when the tracer lets go of it.
    pub(crate) fn exited(&mut self) -> Result<Option<Kind>, Error> {
        let Some(fd) = self.fd.as_ref().filter(|_| !self.told) else { return Ok(None) };
        let ending = match fd.child_ending(self.collects)? {
            Child::Running => return Ok(None),
            Child::Ended(ending) => Some(ending),
            Child::NotOurs if !fd.has_ended()? => return Ok(None),
            // Not waited for until its parent collects it, for that may never be.
            Child::NotOurs => fd.stranger_ending()?,
        };
        self.told = true;
        let what = match ending {
            Some(Ending::Exited(status)) => ProcessEvent::Exited(status),
            Some(Ending::Killed { signal, core_dumped }) => {
                ProcessEvent::Killed { signal, core_dumped }
            }
            None => ProcessEvent::Gone,
        };
        Ok(Some(Kind::Process(ProcessChange { pid: self.pid, what })))
    }
}

/// `ESRCH`, `EBADF`, `EPERM`, `EPROTONOSUPPORT`.
const NO_SUCH_PROCESS: i32 = 3;
const BAD_DESCRIPTOR: i32 = 9;
const NOT_PERMITTED: i32 = 1;
const NO_PROTOCOL: i32 = 93;

/// A descriptor of one's own for the same process.
fn from_descriptor(fd: &OwnedFd) -> Result<PidFd, RegisterError> {
    let duplicate = fd
        .try_clone()
        .map_err(|error| Error::new("fcntl", error.raw_os_error().unwrap_or(BAD_DESCRIPTOR)))?;
    PidFd::from_fd(duplicate).map_err(|error| match error.errno() {
        BAD_DESCRIPTOR => RegisterError::Invalid("the descriptor is no pidfd"),
        _ => error.into(),
    })
}
