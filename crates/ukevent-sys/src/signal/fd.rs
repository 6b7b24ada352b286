//! The signalfd: a descriptor that is readable while a signal of its set is pending (signalfd(2)).

use super::{SignalSet, action};
use crate::{Error, Result};
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Bytes of the kernel's `struct signalfd_siginfo`.
const RECORD_BYTES: usize = size_of::<libc::signalfd_siginfo>();
/// Records taken by one read(2): 4 KiB on the stack.
const RECORDS_PER_READ: usize = 32;

/// A signal that a [`SignalFd`] read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalRecord {
    /// Its number.
    pub signal: i32,
    /// The process that sent it, or for `SIGCHLD` the child; 0 if the kernel did.
    pub pid: i32,
    /// The real user of that process.
    pub uid: u32,
    /// `si_code`, as in sigaction(2).
    pub code: i32,
    /// Whether a [`Takeover`](super::Takeover) sent it on, from another thread to all its targets.
    pub forwarded: bool,
    /// The value that sigqueue(3) sent, as a pointer-sized number; its low half is `sival_int`. 0
    /// for a signal without value.
    pub value: u64,
}

/// A non-blocking, close-on-exec signalfd. Linux 2.6.27. Dropping closes it.
///
/// Reading takes what is pending for the *calling thread* or for the process; a signal is pending
/// only while it is blocked. Whoever polls it must be that thread too.
///
/// ```
/// use ukevent_sys::signal::{self, SignalFd, SignalRecord, SignalSet};
///
/// let mut set = SignalSet::empty();
/// set.add(signal::rt_min())?;
/// let former = signal::block(&set)?;
/// let fd = SignalFd::new(&set)?;
/// assert_eq!(fd.read(&mut [SignalRecord::default(); 4])?, 0, "nothing is pending");
/// signal::set_blocked(&former)?;
/// # Ok::<(), ukevent_sys::Error>(())
/// ```
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Makes one that reads the signals of `set`.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new(set: &SignalSet) -> Result<Self> {
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        // SAFETY: the set is initialised and outlives the call; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, set.as_raw(), flags) };
        if fd < 0 {
            return Err(Error::last("signalfd4"));
        }
        // SAFETY: the kernel returned `fd` just now and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Reads the signals of `set` from now on.
    ///
    /// # Errors
    /// None that a live signalfd can give.
    pub fn set(&self, set: &SignalSet) -> Result<()> {
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        // SAFETY: the set is initialised and outlives the call; the descriptor is ours, and the
        // call changes its set and nothing else.
        let fd = unsafe { libc::signalfd(self.0.as_raw_fd(), set.as_raw(), flags) };
        if fd < 0 { Err(Error::last("signalfd4")) } else { Ok(()) }
    }

    /// Takes what is pending, until `records` is full or nothing is left, in the kernel's order: what
    /// was sent to the thread before what was sent to the process; of these the lowest number first;
    /// of one real-time signal in the order sent. Returns how many; fewer than asked for means that
    /// nothing was left. Never blocks.
    ///
    /// # Errors
    /// None that a live signalfd can give.
    pub fn read(&self, records: &mut [SignalRecord]) -> Result<usize> {
        let mut bytes = [0; RECORD_BYTES * RECORDS_PER_READ];
        let mut taken = 0;
        while taken < records.len() {
            let asked = (records.len() - taken).min(RECORDS_PER_READ);
            let read = match rustix::io::read(&self.0, &mut bytes[..asked * RECORD_BYTES]) {
                Ok(read) => read / RECORD_BYTES,
                Err(rustix::io::Errno::AGAIN) => 0,
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(Error::rustix("read")(errno)),
            };
            let filled = &mut records[taken..taken + read];
            for (record, bytes) in filled.iter_mut().zip(bytes.chunks_exact(RECORD_BYTES)) {
                *record = decode(bytes);
            }
            taken += read;
            if read < asked {
                break;
            }
        }
        Ok(taken)
    }
}

/// Reads a `struct signalfd_siginfo`. The sender's words are 0 for a signal that has none.
fn decode(bytes: &[u8]) -> SignalRecord {
    let word = |at: usize| {
        bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
    };
    let wide = |at: usize| {
        bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_ne_bytes)
    };
    let code = word(offset_of!(libc::signalfd_siginfo, ssi_code)) as i32;
    let (code, forwarded) = action::original_code(code);
    SignalRecord {
        signal: word(offset_of!(libc::signalfd_siginfo, ssi_signo)) as i32,
        pid: word(offset_of!(libc::signalfd_siginfo, ssi_pid)) as i32,
        uid: word(offset_of!(libc::signalfd_siginfo, ssi_uid)),
        code,
        forwarded,
        value: if action::carries_value(code) {
            wide(offset_of!(libc::signalfd_siginfo, ssi_ptr))
        } else {
            0
        },
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
