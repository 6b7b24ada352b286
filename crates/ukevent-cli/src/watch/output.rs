//! Standard output that never blocks the queue's thread.
//!
//! A reader that is slow, or stopped, must not keep Ctrl-C from being read. So lines are gathered
//! here, and written as far as there is room. Whoever started this shares the description that
//! standard output is, and may count on its blocking (open(2)): so a pipe or terminal is opened anew,
//! not to block, and a socket is told so each time. To a file is written at once. What does not go
//! stays, and when that is [`FULL_BYTES`] the caller stops taking events.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, major, minor, open};
use rustix::io::{Errno, write};
use rustix::net::{SendFlags, send};
use std::collections::VecDeque;
use std::io::{self, Stdout, stdout};
use std::os::fd::{AsFd, OwnedFd};

/// With so many bytes gathered no more are wanted.
const FULL_BYTES: usize = 64 * 1024;
/// What a pipe takes without blocking when it polls as writable (pipe(7)).
const PIECE_BYTES: usize = rustix::pipe::PIPE_BUF;

/// Lines on their way to standard output.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: Stdout,
    gathered: VecDeque<u8>,
    way: Way,
}

/// How to write without blocking.
#[derive(Debug)]
enum Way {
    /// To a file: at once.
    AtOnce,
    /// To a pipe or terminal: by a description of our own that does not block.
    Own(OwnedFd),
    /// To a socket: in pieces that may be datagrams.
    Socket,
    /// To a pipe or terminal that may not be opened: in pieces when there is room, which a terminal
    /// may have too little of.
    Pieces,
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All are written.
    All,
    /// There is no room.
    Clogged,
    /// Nobody will ever read them.
    Closed,
}

impl Output {
    pub(crate) fn new() -> Self {
        let stdout = stdout();
        let way = fstat(&stdout).map_or(Way::AtOnce, |stat| Way::to(&stdout, &stat));
        Self { stdout, gathered: VecDeque::new(), way }
    }

    /// A descriptor to be watched for the reader's going away, and for room; `None` if there is
    /// nothing to wait for.
    pub(crate) fn watched(&self) -> io::Result<Option<OwnedFd>> {
        match &self.way {
            Way::AtOnce => Ok(None),
            Way::Own(own) => own.try_clone().map(Some),
            Way::Socket | Way::Pieces => self.stdout.as_fd().try_clone_to_owned().map(Some),
        }
    }

    pub(crate) fn push(&mut self, line: &[u8]) {
        self.gathered.extend(line);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.gathered.len() >= FULL_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.gathered.is_empty()
    }

    /// Drops what is gathered.
    pub(crate) fn clear(&mut self) {
        self.gathered.clear();
    }

    /// Writes what there is room for.
    pub(crate) fn flush(&mut self) -> Result<Flushed, Errno> {
        while !self.gathered.is_empty() {
            match self.write() {
                Ok(written) => drop(self.gathered.drain(..written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Flushed::Clogged),
                Err(Errno::PIPE) => return Ok(Flushed::Closed),
                Err(errno) => return Err(errno),
            }
        }
        Ok(Flushed::All)
    }

    /// Writes once; `EAGAIN` if there is no room.
    fn write(&self) -> Result<usize, Errno> {
        let (all, _) = self.gathered.as_slices();
        let piece = &all[..all.len().min(PIECE_BYTES)];
        match &self.way {
            Way::AtOnce => write(&self.stdout, all),
            Way::Own(own) => write(own, all),
            Way::Socket => send(&self.stdout, piece, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Way::Pieces if self.has_room()? => write(&self.stdout, piece),
            Way::Pieces => Err(Errno::AGAIN),
        }
    }

    /// An error or a hang-up counts as room: the write will tell.
    fn has_room(&self) -> Result<bool, Errno> {
        let mut polled = [PollFd::new(&self.stdout, PollFlags::OUT)];
        match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}

impl Way {
    fn to(stdout: &Stdout, stat: &Stat) -> Self {
        /// `TTYAUX_MAJOR` and the minor number of /dev/ptmx: opening that makes another terminal.
        const MASTER: (u32, u32) = (5, 2);
        let opens = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => return Self::Socket,
            FileType::Fifo => true,
            FileType::CharacterDevice if rustix::termios::isatty(stdout) => {
                (major(stat.st_rdev), minor(stat.st_rdev)) != MASTER
            }
            _ => return Self::AtOnce,
        };
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let own = opens.then(|| open("/proc/self/fd/1", flags, Mode::empty()).ok()).flatten();
        own.map_or(Self::Pieces, Self::Own)
    }
}
