//! Directories, held open: to read and to descend into the very inode that is watched, whatever its
//! path names by now (openat(2), getdents64(2)).

use crate::{Error, Result};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A directory that is held open, for reading. Close-on-exec. Dropping closes it.
#[derive(Debug)]
pub struct Directory(OwnedFd);

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// Whether it was a directory when it was read. Some file systems do not say: then opening it
    /// tells ([`Directory::open_below`] answers `ENOTDIR`).
    pub may_be_directory: bool,
}

impl Directory {
    /// Opens the directory that a path names, through a symbolic link or not.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `EMFILE`, `ENFILE`.
    pub fn open(path: &Path, follow: bool) -> Result<Self> {
        Self::open_at(CWD, path.as_os_str(), follow)
    }

    /// Opens an entry of this one that is a directory, and no symbolic link.
    ///
    /// # Errors
    /// As [`Directory::open`].
    pub fn open_below(&self, name: &OsStr) -> Result<Self> {
        Self::open_at(self.0.as_fd(), name, false)
    }

    fn open_at(at: BorrowedFd<'_>, name: &OsStr, follow: bool) -> Result<Self> {
        let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        flags.set(OFlags::NOFOLLOW, !follow);
        openat(at, name, flags, Mode::empty()).map(Self).map_err(Error::rustix("openat"))
    }

    /// All of its entries but `.` and `..`, in no order.
    ///
    /// # Errors
    /// `ENOENT`: it was removed. `ENOMEM`, `EIO`.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.0).map_err(Error::rustix("getdents64"))? {
            let entry = entry.map_err(Error::rustix("getdents64"))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let kind = entry.file_type();
                entries.push(Entry {
                    name: OsString::from_vec(name.to_vec()),
                    may_be_directory: matches!(kind, FileType::Directory | FileType::Unknown),
                });
            }
        }
        Ok(entries)
    }

    /// A path that names this inode for as long as it is open. Needs `/proc`.
    #[must_use]
    pub fn own_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}
