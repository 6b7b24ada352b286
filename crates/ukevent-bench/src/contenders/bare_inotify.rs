//! Bare inotify: one read(2) that blocks, and takes all that the kernel has to tell.
//!
//! A directory that appears in a tree is watched first and read then (inotify(7), "Limitations and caveats"). What the
//! reading finds may be reported as well; it is told of once. Nothing is ever removed here, which a program could
//! not count on.

use crate::tables::inode::{Reach, Told, Watches};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ukevent_measure::Result;

/// Read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// An instance, and what is watched by it.
#[derive(Debug)]
pub struct BareInotify {
    inotify: OwnedFd,
    watched: Watched,
    buffer: Box<[MaybeUninit<u8>]>,
    has_tree: bool,
}

/// The directories, by the number of their watch.
#[derive(Debug, Default)]
struct Watched {
    paths: HashMap<i32, PathBuf>,
    /// Names that reading a directory found, and whose report may be on its way.
    found: HashMap<i32, HashSet<OsString>>,
}

impl Watches for BareInotify {
    fn new(root: &Path, reach: Reach, _told: &Arc<Told>) -> Result<Self> {
        let mut new = Self {
            inotify: inotify::init(CreateFlags::CLOEXEC)?,
            watched: Watched::default(),
            buffer: Box::new_uninit_slice(BUFFER_BYTES),
            has_tree: reach != Reach::Directory,
        };
        let wd = inotify::add_watch(&new.inotify, root, WatchFlags::CREATE)?;
        new.watched.paths.insert(wd, root.to_owned());
        if new.has_tree {
            new.watched.read(&new.inotify, wd, None)?;
        }
        Ok(new)
    }

    fn take(&mut self, told: &Told) -> Result<()> {
        let Self { inotify, watched, buffer, has_tree } = self;
        let mut reports = Reader::new(&*inotify, buffer);
        loop {
            let report = reports.next()?;
            if report.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                return Err("the kernel's queue was full".into());
            }
            if let Some(name) = report.file_name() {
                let (wd, name) = (report.wd(), OsStr::from_bytes(name.to_bytes()));
                let is_directory = *has_tree && report.events().contains(ReadFlags::ISDIR);
                if !watched.found.get_mut(&wd).is_some_and(|found| found.remove(name)) {
                    told.note(Path::new(name));
                    if is_directory {
                        watched.add(inotify, wd, name, Some(told))?;
                    }
                }
            }
            if reports.is_buffer_empty() {
                return Ok(());
            }
        }
    }
}

impl Watched {
    /// Watches an entry, a directory, and reads it.
    fn add(
        &mut self,
        inotify: &OwnedFd,
        parent: i32,
        name: &OsStr,
        news: Option<&Told>,
    ) -> Result<()> {
        let path = self.paths.get(&parent).ok_or("a report of no watch")?.join(name);
        let wd = inotify::add_watch(inotify, &path, WatchFlags::CREATE)?;
        self.paths.insert(wd, path);
        self.read(inotify, wd, news)
    }

    /// Tells of what is in a directory, if that is news, and watches the directories in it.
    fn read(&mut self, inotify: &OwnedFd, wd: i32, news: Option<&Told>) -> Result<()> {
        for entry in std::fs::read_dir(&self.paths[&wd])? {
            let entry = entry?;
            let name = entry.file_name();
            if let Some(told) = news {
                told.note(Path::new(&name));
                self.found.entry(wd).or_default().insert(name.clone());
            }
            if entry.file_type()?.is_dir() {
                self.add(inotify, wd, &name, news)?;
            }
        }
        Ok(())
    }
}
