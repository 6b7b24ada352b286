//! Standard output that never blocks the queue's thread.
//!
//! A reader that is slow, or stopped, must not keep Ctrl-C from being read. So lines are gathered
//! here, and written only where the kernel says that there is room: to a pipe, a socket or a terminal
//! in pieces that fit (pipe(7): a pipe that polls as writable takes `PIPE_BUF` bytes), to a file at
//! once. What does not go stays, and when that is [`FULL_BYTES`] the caller stops taking events.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{self, Stdout, stdout};
use std::os::fd::{AsFd, OwnedFd};

/// With so many bytes gathered no more are wanted.
const FULL_BYTES: usize = 64 * 1024;
/// What a pipe takes without blocking when it polls as writable.
const PIECE_BYTES: usize = rustix::pipe::PIPE_BUF;

/// Lines on their way to standard output.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: Stdout,
    gathered: VecDeque<u8>,
    /// Can it be waited for: a pipe, socket or terminal.
    polls: bool,
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
        let polls = fstat(&stdout).is_ok_and(|stat| {
            let kind = FileType::from_raw_mode(stat.st_mode);
            let terminal = kind == FileType::CharacterDevice && rustix::termios::isatty(&stdout);
            terminal || matches!(kind, FileType::Fifo | FileType::Socket)
        });
        Self { stdout, gathered: VecDeque::new(), polls }
    }

    /// A descriptor to be watched for the reader's going away, and for room; `None` if there is
    /// nothing to wait for.
    pub(crate) fn watched(&self) -> io::Result<Option<OwnedFd>> {
        self.polls.then(|| self.stdout.as_fd().try_clone_to_owned()).transpose()
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
            if self.polls && !self.has_room()? {
                return Ok(Flushed::Clogged);
            }
            let (piece, _) = self.gathered.as_slices();
            let bytes = if self.polls { piece.len().min(PIECE_BYTES) } else { piece.len() };
            match rustix::io::write(&self.stdout, &piece[..bytes]) {
                Ok(written) => drop(self.gathered.drain(..written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Flushed::Clogged),
                Err(Errno::PIPE) => return Ok(Flushed::Closed),
                Err(errno) => return Err(errno),
            }
        }
        Ok(Flushed::All)
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
