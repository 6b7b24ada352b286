//! inotify(7): what happens to inodes, with the names of directory entries.

use crate::{Error, Result};
use bitflags::bitflags;
use rustix::fs::inotify;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

bitflags! {
    /// What to watch for, and what was reported.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct WatchMask: u32 {
        /// `IN_ACCESS`.
        const ACCESS = 0x1;
        /// `IN_MODIFY`.
        const MODIFY = 0x2;
        /// `IN_ATTRIB`.
        const ATTRIB = 0x4;
        /// `IN_CLOSE_WRITE`.
        const CLOSE_WRITE = 0x8;
        /// `IN_CLOSE_NOWRITE`.
        const CLOSE_NOWRITE = 0x10;
        /// `IN_OPEN`.
        const OPEN = 0x20;
        /// `IN_MOVED_FROM`.
        const MOVED_FROM = 0x40;
        /// `IN_MOVED_TO`.
        const MOVED_TO = 0x80;
        /// `IN_CREATE`.
        const CREATE = 0x100;
        /// `IN_DELETE`.
        const DELETE = 0x200;
        /// `IN_DELETE_SELF`.
        const DELETE_SELF = 0x400;
        /// `IN_MOVE_SELF`.
        const MOVE_SELF = 0x800;
        /// `IN_UNMOUNT`; reported only.
        const UNMOUNT = 0x2000;
        /// `IN_Q_OVERFLOW`: the kernel's queue was full and events were dropped; reported only.
        const OVERFLOW = 0x4000;
        /// `IN_IGNORED`: the watch is gone; reported only.
        const IGNORED = 0x8000;
        /// `IN_ONLYDIR`: refuse what is no directory (`ENOTDIR`).
        const ONLY_DIRECTORY = 0x0100_0000;
        /// `IN_DONT_FOLLOW`: watch a symbolic link itself.
        const NO_FOLLOW = 0x0200_0000;
        /// `IN_MASK_ADD`: widen the mask of a watch that exists.
        const WIDEN = 0x2000_0000;
        /// `IN_ISDIR`: the entry is a directory; reported only.
        const DIRECTORY = 0x4000_0000;
    }
}

/// The number of a watch. The kernel numbers upwards and comes round only after 2^31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wd(i32);

/// One report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// The watch; meaningless with [`WatchMask::OVERFLOW`].
    pub wd: Wd,
    /// What happened.
    pub mask: WatchMask,
    /// Pairs the two halves of a rename.
    pub cookie: u32,
    /// The entry of the directory; empty if the watched inode itself is meant.
    pub name: &'a OsStr,
}

/// A non-blocking, close-on-exec inotify instance. Linux 2.6.27. Dropping ends its watches.
#[derive(Debug)]
pub struct Inotify(OwnedFd);

impl Inotify {
    /// Makes one.
    ///
    /// # Errors
    /// `EMFILE`: no descriptor is left, or the user has as many instances as
    /// `fs.inotify.max_user_instances` allows. `ENFILE`, `ENOMEM`.
    pub fn new() -> Result<Self> {
        inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map(Self)
            .map_err(Error::rustix("inotify_init1"))
    }

    /// Watches the inode that `path` names. If it is watched already, the same number comes back,
    /// and the mask replaces the old one, or widens it ([`WatchMask::WIDEN`]).
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EACCES` (it must be readable), `ENOSPC` (`fs.inotify.max_user_watches`),
    /// `ENOMEM`.
    pub fn add(&self, path: &Path, mask: WatchMask) -> Result<Wd> {
        let flags = inotify::WatchFlags::from_bits_retain(mask.bits());
        inotify::add_watch(&self.0, path, flags).map(Wd).map_err(Error::rustix("inotify_add_watch"))
    }

    /// Ends a watch. Reports of it may still be on their way, the last with
    /// [`WatchMask::IGNORED`].
    ///
    /// # Errors
    /// `EINVAL`: it is gone already.
    pub fn remove(&self, wd: Wd) -> Result<()> {
        inotify::remove_watch(&self.0, wd.0).map_err(Error::rustix("inotify_rm_watch"))
    }

    /// Reads reports into `buffer`, to be taken apart by [`parse`]; returns how many bytes, 0 if
    /// there are none. The buffer must hold at least one report with the longest name: 272 bytes.
    /// Never blocks.
    ///
    /// # Errors
    /// `EINVAL`: the buffer is too small.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        match rustix::io::read(&self.0, buffer) {
            Ok(bytes) => Ok(bytes),
            Err(rustix::io::Errno::AGAIN) => Ok(0),
            Err(errno) => Err(Error::rustix("read")(errno)),
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Bytes of a report without its name: `struct inotify_event`.
const HEADER_BYTES: usize = 16;

/// Takes the first report off `bytes`, and says how many bytes it had. `None` at the end, or at
/// bytes that are no report.
///
/// ```
/// use ukevent_sys::inotify::{Inotify, WatchMask, parse};
///
/// let folder = std::env::temp_dir().join(format!("inotify-{}", std::process::id()));
/// std::fs::create_dir(&folder)?;
/// let inotify = Inotify::new()?;
/// let wd = inotify.add(&folder, WatchMask::CREATE)?;
/// std::fs::write(folder.join("new"), "")?;
///
/// let mut buffer = [0; 4096];
/// let bytes = inotify.read(&mut buffer)?;
/// let (report, _) = parse(&buffer[..bytes]).expect("one report");
/// assert_eq!((report.wd, report.mask), (wd, WatchMask::CREATE));
/// assert_eq!(report.name, "new");
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<(Report<'_>, usize)> {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4)?;
        Some(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
    };
    let (wd, mask, cookie, length) = (word(0)?, word(4)?, word(8)?, word(12)? as usize);
    let end = HEADER_BYTES.checked_add(length)?;
    let name = bytes.get(HEADER_BYTES..end)?;
    // The name is padded with zeros.
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let report = Report {
        wd: Wd(wd.cast_signed()),
        mask: WatchMask::from_bits_truncate(mask),
        cookie,
        name: OsStr::from_bytes(name),
    };
    Some((report, end))
}
