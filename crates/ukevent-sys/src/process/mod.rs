//! Processes: the descriptor of one (pidfd_open(2)), how it ended, and the kernel's news of forks and
//! executions ([`ProcConnector`]).
//!
//! How a process ended is the parent's to know. A child is asked with waitid(2). Of a stranger the
//! kernel tells since Linux 6.15 once its parent has collected it; until then, /proc/PID/stat shows
//! it to whoever may trace the process (proc_pid_stat(5)).
//!
//! A pidfd polls as readable when the process ends and stays so; once it is collected it polls as
//! hung up too (`POLLIN`, then `POLLIN | POLLHUP`; seen on Linux 6.18).

mod connector;
#[cfg(test)]
mod tests;

pub use connector::{ProcConnector, ProcMessage};

use crate::{Error, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, WaitId, WaitIdOptions},
};
use std::{
    fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this status (0 to 255).
    Exited(i32),
    /// By a signal.
    Killed {
        /// The signal's number.
        signal: i32,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
}

impl Ending {
    /// Decodes a wait status (wait(2)); `None` if it is not that of an ended process.
    #[must_use]
    pub const fn from_wait_status(status: i32) -> Option<Self> {
        if libc::WIFEXITED(status) {
            Some(Self::Exited(libc::WEXITSTATUS(status)))
        } else if libc::WIFSIGNALED(status) {
            let (signal, core_dumped) = (libc::WTERMSIG(status), libc::WCOREDUMP(status));
            Some(Self::Killed { signal, core_dumped })
        } else {
            None
        }
    }
}

/// What [`PidFd::child_ending`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// It runs.
    Running,
    /// It ended.
    Ended(Ending),
    /// It is not a child of this process, or was collected.
    NotOurs,
}

/// A process, by descriptor: the number of another process can never be mistaken for it.
/// Close-on-exec. Linux 5.4. Dropping closes it.
///
/// ```
/// use ukevent_sys::process::{Child, Ending, PidFd};
///
/// let mut child = std::process::Command::new("false").spawn()?;
/// let fd = PidFd::open(child.id() as i32)?;
/// child.wait()?;
/// assert!(fd.has_ended()?);
/// assert_eq!(fd.child_ending(false)?, Child::NotOurs, "wait collected it");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PidFd {
    fd: OwnedFd,
    pid: i32,
}

impl PidFd {
    /// Opens the process `pid` (a thread group leader), which may be a zombie. Needs no privilege.
    ///
    /// # Errors
    /// `ESRCH`: there is none. `EINVAL`: not a positive number, or a thread's. `EMFILE`, `ENFILE`,
    /// `ENOMEM`, `ENOSYS`.
    pub fn open(pid: i32) -> Result<Self> {
        let id = positive(pid).ok_or(Error::new("pidfd_open", libc::EINVAL))?;
        let fd = rustix::process::pidfd_open(id, PidfdFlags::empty())
            .map_err(Error::rustix("pidfd_open"))?;
        Ok(Self { fd, pid })
    }

    /// Takes a pidfd that came from elsewhere and looks up its process in /proc.
    ///
    /// # Errors
    /// `EBADF`: it is no pidfd. `ENOENT`: /proc is not mounted.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let info = fdinfo(fd.as_fd())?;
        let pid = field(&info, "Pid:").and_then(|pid| pid.parse().ok());
        let pid = pid.ok_or(Error::new("pidfd", libc::EBADF))?;
        Ok(Self { fd, pid })
    }

    /// The process id; of a descriptor that came from elsewhere -1 if the process was collected
    /// before, 0 if it is in a process namespace that this one cannot see.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it ended, collected or not. Never blocks.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn has_ended(&self) -> Result<bool> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).map_err(Error::rustix("poll"))?;
        Ok(fds[0].revents().contains(PollFlags::IN))
    }

    /// How a child of this process ended. Collects it if `collect`, so that no zombie is left and
    /// no other wait finds it; else it stays as it is. Never blocks.
    ///
    /// # Errors
    /// `EINVAL`: the kernel is older than 5.4.
    pub fn child_ending(&self, collect: bool) -> Result<Child> {
        // Also children whose end is told by another signal than SIGCHLD, or by none.
        const ANY_CHILD: WaitIdOptions = WaitIdOptions::from_bits_retain(libc::__WALL as u32);
        let mut options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | ANY_CHILD;
        options.set(WaitIdOptions::NOWAIT, !collect);
        match rustix::process::waitid(WaitId::PidFd(self.fd.as_fd()), options) {
            Ok(None) => Ok(Child::Running),
            Ok(Some(status)) => Ok(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Child::Ended(Ending::Exited(code)),
                (None, Some(signal)) => {
                    Child::Ended(Ending::Killed { signal, core_dumped: status.dumped() })
                }
                // WEXITED reports nothing else.
                (None, None) => Child::Running,
            }),
            Err(rustix::io::Errno::CHILD) => Ok(Child::NotOurs),
            Err(errno) => Err(Error::rustix("waitid")(errno)),
        }
    }

    /// How a process ended that need not be a child: from the kernel once it was collected (Linux
    /// 6.15), before that from /proc. `None` if it runs, or this kernel does not tell us.
    ///
    /// # Errors
    /// `ENOMEM`; what cannot be had is no error.
    pub fn stranger_ending(&self) -> Result<Option<Ending>> {
        // In this order: what is collected between the two questions has left its status.
        if let Some(status) = self.zombie_status()? {
            return Ok(Ending::from_wait_status(status));
        }
        Ok(self.collected_status().and_then(Ending::from_wait_status))
    }

    /// The wait status of a zombie, from /proc/PID/stat.
    fn zombie_status(&self) -> Result<Option<i32>> {
        if self.pid <= 0 || !self.has_ended()? {
            return Ok(None);
        }
        // The kernel shows 0 to those who may not know. It judges reading this link in the same way.
        let may_know = fs::read_link(format!("/proc/{}/ns/user", self.pid)).is_ok();
        let status = stat_field(self.pid, 52).and_then(|status| status.parse().ok());
        // Only the zombie itself kept the number from being another's: look whether it still does.
        let still_it = may_know && status.is_some() && self.is_in_the_table();
        Ok(status.filter(|_| still_it))
    }

    /// Whether the process still has its number: it runs, or was not collected.
    fn is_in_the_table(&self) -> bool {
        // SAFETY: takes integers and a null siginfo; signal 0 sends nothing. Called by number
        // because not every C library has the wrapper.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.fd.as_raw_fd(),
                0,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        sent == 0 || Error::last("pidfd_send_signal").errno() == libc::EPERM
    }

    /// The wait status of a process that was collected.
    fn collected_status(&self) -> Option<i32> {
        // SAFETY: all zeroes is a valid value of a structure of integers.
        let mut info: libc::pidfd_info = unsafe { std::mem::zeroed() };
        info.mask = libc::PIDFD_INFO_EXIT.into();
        // SAFETY: the request's number carries the size of `info`, which may be written. A kernel
        // that does not know it says so; one that knows more writes no more than that size.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut info) };
        let told = done == 0 && info.mask & u64::from(libc::PIDFD_INFO_EXIT) != 0;
        told.then_some(info.exit_code)
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// When the process was started, in clock ticks since boot: with the process id it names a process
/// for good. `None` if there is none, or /proc is not mounted.
#[must_use]
pub fn start_ticks(pid: i32) -> Option<u64> {
    stat_field(positive(pid)?.as_raw_nonzero().get(), 22)?.parse().ok()
}

/// A process id as rustix has it, which must not be asked for a negative one.
fn positive(pid: i32) -> Option<Pid> {
    if pid > 0 { Pid::from_raw(pid) } else { None }
}

/// A field of /proc/PID/stat, counted from 1 as in proc_pid_stat(5), from the third on.
fn stat_field(pid: i32, number: usize) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second is the program's name in parentheses, which may contain anything.
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    rest.split_ascii_whitespace().nth(number - 3).map(str::to_owned)
}

/// What /proc tells of a descriptor of this thread.
pub(crate) fn fdinfo(fd: BorrowedFd<'_>) -> Result<String> {
    fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", fd.as_raw_fd()))
        .map_err(|error| Error::new("open", error.raw_os_error().unwrap_or(libc::EIO)))
}

/// The value behind `name` in a file of lines `name value`.
pub(crate) fn field<'a>(lines: &'a str, name: &str) -> Option<&'a str> {
    lines.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
