//! Files by their path: opening one, asking what there is to know of one.
//!
//! Both may wait for a disk, or a server, however one asks. The ring has threads of its own for them;
//! elsewhere a thread of the queue's does it. Neither needs a registration.

use super::attempt::metadata;
use super::{Operation, Payload, Request};
use crate::key::Key;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno as Refusal;
use std::ffi::CString;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How a file is opened: flags of open(2). Always close-on-exec.
///
/// ```
/// use ukevent_queue::Open;
///
/// let log = Open::write().create(0o640).append();
/// let page = Open::read().beneath();
/// assert_ne!(log, page);
/// ```
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "OpenOptions")]
pub struct Open {
    flags: OFlags,
    mode: u32,
    beneath: bool,
}

impl Open {
    const fn new(flags: OFlags) -> Self {
        Self { flags: flags.union(OFlags::CLOEXEC), mode: 0, beneath: false }
    }

    const fn with(mut self, flags: OFlags) -> Self {
        self.flags = self.flags.union(flags);
        self
    }

    /// For reading.
    #[doc(alias = "O_RDONLY")]
    pub const fn read() -> Self {
        Self::new(OFlags::RDONLY)
    }

    /// For writing.
    #[doc(alias = "O_WRONLY")]
    pub const fn write() -> Self {
        Self::new(OFlags::WRONLY)
    }

    /// For both.
    #[doc(alias = "O_RDWR")]
    pub const fn read_write() -> Self {
        Self::new(OFlags::RDWR)
    }

    /// Makes it if there is none, with these permissions less the umask.
    #[doc(alias = "O_CREAT")]
    pub const fn create(mut self, permissions: u32) -> Self {
        self.mode = permissions & 0o7777;
        self.with(OFlags::CREATE)
    }

    /// Makes it, and fails (`EEXIST`) if there is one.
    #[doc(alias = "O_EXCL")]
    pub const fn create_new(self, permissions: u32) -> Self {
        self.create(permissions).with(OFlags::EXCL)
    }

    /// Empties it.
    #[doc(alias = "O_TRUNC")]
    pub const fn truncate(self) -> Self {
        self.with(OFlags::TRUNC)
    }

    /// Writes at its end, wherever that is then.
    #[doc(alias = "O_APPEND")]
    pub const fn append(self) -> Self {
        self.with(OFlags::APPEND)
    }

    /// Only a directory: `ENOTDIR`.
    #[doc(alias = "O_DIRECTORY")]
    pub const fn directory(self) -> Self {
        self.with(OFlags::DIRECTORY)
    }

    /// Not a symbolic link at the end of the path: `ELOOP`.
    #[doc(alias = "O_NOFOLLOW")]
    pub const fn no_follow(self) -> Self {
        self.with(OFlags::NOFOLLOW)
    }

    /// Does not wait for the other end of a FIFO or the carrier of a device. One that may be either is
    /// better opened so: it keeps a thread for as long as it takes, and on a ring it is not certain that a
    /// FIFO is waited for (the kernel first tries without, and may take that for the answer).
    #[doc(alias = "O_NONBLOCK")]
    pub const fn nonblocking(self) -> Self {
        self.with(OFlags::NONBLOCK)
    }

    /// Only what lies in the directory where the path begins, or below: what leads out of it, by `..`, a
    /// link, or because it is absolute, is `EXDEV`. Linux 5.6; `ENOSYS` before.
    #[doc(alias = "RESOLVE_BENEATH")]
    pub const fn beneath(mut self) -> Self {
        self.beneath = true;
        self
    }

    /// Flags, permissions, and whether only beneath.
    pub(crate) fn parts(self) -> (i32, u32, bool) {
        (self.flags.bits().cast_signed(), self.mode, self.beneath)
    }
}

impl Operation {
    /// Opens a file: [`Payload::Descriptor`], and a result of 0. Relative paths begin in the current
    /// directory, as it is when the kernel or a thread comes to it. Names no registration. An open that comes after it was
    /// cancelled or removed is closed again; what it made stays made.
    ///
    /// ```
    /// use std::fs::File;
    /// use ukevent_queue::{Kind, Open, Operation, Queue, Token, Wait};
    ///
    /// let mut queue = Queue::new()?;
    /// queue.start(Operation::open("/etc/passwd", Open::read()), Token(1))?;
    /// queue.wait(Wait::forever())?;
    /// let Some(Kind::Completed(done)) = queue.next_event().map(|event| event.kind) else { panic!() };
    /// let file = File::from(done.into_descriptor().expect("everybody may read it"));
    /// assert!(file.metadata()?.is_file());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "openat")]
    pub fn open(path: impl AsRef<Path>, how: Open) -> Self {
        Self::new(Key::NONE, Request::Open { path: terminated(path.as_ref()), how })
    }

    /// The same where relative paths begin in a registered directory.
    #[doc(alias = "openat2")]
    pub fn open_at(directory: Key, path: impl AsRef<Path>, how: Open) -> Self {
        Self::new(directory.named(), Request::Open { path: terminated(path.as_ref()), how })
    }

    /// Asks for the size, times and kind of what is at a path: [`Payload::Metadata`] (stat(2)). Follows
    /// symbolic links. Names no registration.
    #[doc(alias = "stat")]
    pub fn metadata_of(path: impl AsRef<Path>) -> Self {
        Self::new(Key::NONE, Request::MeasurePath { path: terminated(path.as_ref()) })
    }

    /// The same where relative paths begin in a registered directory.
    #[doc(alias = "fstatat")]
    pub fn metadata_at(directory: Key, path: impl AsRef<Path>) -> Self {
        Self::new(directory.named(), Request::MeasurePath { path: terminated(path.as_ref()) })
    }
}

/// As the kernel takes it; `None` if it is empty, which means something else, or has a zero in it.
fn terminated(path: &Path) -> Option<CString> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() { None } else { CString::new(bytes).ok() }
}

impl Request {
    /// Whether it is of a path, and so may name no registration.
    pub(crate) const fn is_of_path(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::MeasurePath { .. })
    }
}

/// Opens it; blocks.
pub(super) fn open(
    directory: BorrowedFd<'_>,
    path: &CString,
    how: Open,
) -> Result<Payload, Refusal> {
    let mode = Mode::from_raw_mode(how.mode);
    let opened = if how.beneath {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(directory, path, how.flags, mode, resolve)
    } else {
        rustix::fs::openat(directory, path, how.flags, mode)
    };
    opened.map(Payload::Descriptor)
}

/// Asks; blocks.
pub(super) fn measure(directory: BorrowedFd<'_>, path: &CString) -> Result<Payload, Refusal> {
    let stat = rustix::fs::statat(directory, path, AtFlags::empty())?;
    Ok(Payload::Metadata(Box::new(metadata(&stat))))
}
