//! Opens paths below a directory, and nothing else.
//!
//! openat2(2) with `RESOLVE_BENEATH` (Linux 5.6) leaves it to the kernel that neither `..`, nor an
//! absolute path, nor a symbolic link leads out, even while directories are being moved. Links that
//! stay below the directory are followed.
//!
//! Where the kernel or a filter has no openat2, the path is walked one directory at a time without
//! following any link: nothing leads out either, but links below the directory are refused too.

use super::{Options, load::is_remote};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, open, openat, openat2},
    io::Errno,
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// How often openat2 is tried again when a rename got in between (openat2(2), EAGAIN).
const ATTEMPTS: u32 = 8;

/// Not to be stopped by a FIFO without a writer, nor to get a terminal.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// Opens what lies below a directory.
#[derive(Debug)]
pub(super) struct Opener {
    root: OwnedFd,
    /// What else is looked for below it.
    pub(super) options: Options,
    walks: bool,
    /// Whether the kernel can look for names in its memory alone.
    knows: bool,
}

impl Opener {
    /// Opens the directory, and finds out which way is open here.
    pub(super) fn new(path: &Path) -> Result<Self, Errno> {
        let root = openat(CWD, path, PLACE, Mode::empty())?;
        // Readable, and not only there: else every answer would be 403.
        drop(open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
        // Filters of containers that are older than the call answer EPERM.
        let walks = matches!(beneath(root.as_fd(), b".", PLACE), Err(Errno::NOSYS | Errno::PERM));
        let cached = beneath_with(root.as_fd(), b".", PLACE, ResolveFlags::CACHED);
        // Elsewhere, what is in memory must be asked for all the same.
        let knows = !walks && !is_remote(&root) && matches!(cached, Ok(_) | Err(Errno::AGAIN));
        Ok(Self { root, options: Options::default(), walks, knows })
    }

    /// The same, with more than files to be found.
    pub(super) fn with(self, options: Options) -> Self {
        Self { options, ..self }
    }

    #[cfg(test)]
    pub(super) fn walking(self) -> Self {
        Self { walks: true, knows: false, ..self }
    }

    /// The directory itself.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a path for reading. The path is relative and has no `.`, no `..` and no empty segment.
    pub(super) fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.open_as(path, READ)
    }

    /// Opens a directory, to read the names in it. The empty path is the root.
    pub(super) fn open_directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        self.open_as(if path.is_empty() { b"." } else { path }, READ | OFlags::DIRECTORY)
    }

    /// The inode that a path leads to, for no more than to look at it, links followed or not as in
    /// [`Opener::open`].
    pub(super) fn place(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.open_as(path, PLACE.difference(OFlags::DIRECTORY))
    }

    /// Whether a path is a directory; the empty path is the root.
    pub(super) fn is_directory(&self, path: &[u8]) -> bool {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        path.is_empty() || self.open_as(path, PLACE).is_ok()
    }

    /// As [`Opener::open`], of what the kernel has in memory. `None` if that does not say.
    pub(super) fn open_if_known(&self, path: &[u8]) -> Option<Result<OwnedFd, Errno>> {
        self.open_if_known_as(path, READ)
    }

    /// As [`Opener::is_directory`], as far as the kernel has it in memory.
    pub(super) fn is_directory_if_known(&self, path: &[u8]) -> Option<bool> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if path.is_empty() {
            return Some(true);
        }
        self.open_if_known_as(path, PLACE).map(|opened| opened.is_ok())
    }

    fn open_if_known_as(&self, path: &[u8], flags: OFlags) -> Option<Result<OwnedFd, Errno>> {
        if !self.knows {
            return None;
        }
        match beneath_with(self.root(), path, flags, ResolveFlags::CACHED) {
            Err(Errno::AGAIN | Errno::INTR) => None,
            opened => Some(opened),
        }
    }

    /// The inode that a path names, for no more than to name it: no link may be on the path. The empty
    /// path is the root.
    pub(super) fn inode(&self, path: &[u8], is_directory: bool) -> Result<OwnedFd, Errno> {
        let flags = if is_directory { PLACE } else { PLACE.difference(OFlags::DIRECTORY) };
        match path {
            b"" => beneath_or_walk(self.walks, self.root(), b".", flags),
            _ => beneath_or_walk(self.walks, self.root(), path, flags),
        }
    }

    fn open_as(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.walks {
            return walk(self.root(), path, flags);
        }
        let mut outcome = Err(Errno::AGAIN);
        for _ in 0..ATTEMPTS {
            outcome = beneath(self.root(), path, flags);
            if !matches!(outcome, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        outcome
    }
}

fn beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    beneath_with(root, path, flags, ResolveFlags::empty())
}

fn beneath_with(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let resolve = resolve | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), resolve)
}

fn beneath_or_walk(
    walks: bool,
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    if walks {
        return walk(root, path, flags);
    }
    beneath_with(root, path, flags, ResolveFlags::NO_SYMLINKS)
}

fn walk(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut segments = path.split(|&byte| byte == b'/').peekable();
    let mut place: Option<OwnedFd> = None;
    while let Some(segment) = segments.next() {
        let flags = if segments.peek().is_some() { PLACE } else { flags };
        let from = place.as_ref().map_or(root, AsFd::as_fd);
        let next = openat(from, segment, flags | OFlags::NOFOLLOW, Mode::empty());
        place = Some(match next {
            // With O_PATH and O_DIRECTORY a link is "not a directory": tell it from a file.
            Err(Errno::NOTDIR) if is_link(from, segment) => return Err(Errno::LOOP),
            next => next?,
        });
    }
    place.ok_or(Errno::NOENT)
}

fn is_link(from: BorrowedFd<'_>, name: &[u8]) -> bool {
    use rustix::fs::{AtFlags, FileType, statat};
    statat(from, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}
