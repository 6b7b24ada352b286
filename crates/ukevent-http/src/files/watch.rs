//! What is watched for the sake of the files at hand: the files, what lies beside them in a coding, and
//! every directory on the path to them from the root on.
//!
//! The queue's inode events tell what was written to a file, and which names of a directory mean
//! something else by now. A report puts in doubt what it may concern, and nothing else: of a directory
//! only the files below the name that it tells. What is in doubt is not watched any more, until it is
//! looked at and asked for anew; so a file that is written all the time costs no event for each write.
//!
//! Invariants. Every directory of the path of a watched file is watched, by the inode that the path led
//! through when the watch was made, and since before that of the next part was. Whoever watches looks
//! at the file afterwards, by its path: what changed before a watch was made is seen by this, and what
//! changes later is reported.

use super::{
    beside::{self, Beside},
    open::Opener,
};
use crate::limits::WATCHED_DIRECTORIES;
use rustix::{fs::fstatfs, io::Errno};
use std::{
    collections::HashMap,
    fmt,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};
use ukevent_queue::{Changes, Inode, Key, Kind, RegisterError};

/// Who reports what happens to inodes.
pub(crate) trait Reports {
    /// Registers an inode: what is reported of it is told with `index`.
    fn register(&mut self, inode: Inode, index: u32) -> Result<Key, RegisterError>;
    /// Ends a registration.
    fn remove(&mut self, key: Key);
}

/// The watches, and what they are for.
#[derive(Default)]
pub(super) struct Watches {
    places: Vec<Option<Watch>>,
    free: Vec<u32>,
    /// By path below the root, with the place among those above.
    files: HashMap<Box<[u8]>, Watched>,
    directories: HashMap<Box<[u8]>, u32>,
}

/// The watches of a file: its own, and, if what lies beside it counts, of what there was of that. What
/// there was not, the directory tells of.
struct Watched {
    own: u32,
    beside: Option<Vec<u32>>,
}

struct Watch {
    key: Key,
    /// Where it lies, or the file that it lies beside.
    path: Box<[u8]>,
    /// Of a directory: how many watched files are below it.
    users: usize,
    is_directory: bool,
}

/// It cannot be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwatchable;

impl From<Errno> for Unwatchable {
    fn from(_: Errno) -> Self {
        Self
    }
}

/// What is asked of a file.
const OF_FILE: Changes = Changes::MODIFIED.union(Changes::ATTRIBUTES);

/// What is asked of a directory: its names, and whether it may be searched.
const OF_DIRECTORY: Changes = Changes::CREATED
    .union(Changes::REMOVED)
    .union(Changes::MOVED_FROM)
    .union(Changes::MOVED_TO)
    .union(Changes::ATTRIBUTES);

/// File systems whose every change is made by this kernel, so that it is reported: ext2 to ext4, XFS,
/// Btrfs, F2FS, ZFS, bcachefs, tmpfs, ramfs, SquashFS, EROFS (statfs(2)). Others may change from
/// elsewhere, or below.
const LOCAL: [u32; 10] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0xca45_1a4e,
    0x0102_1994,
    0x8584_58f6,
    0x7371_7368,
    0xe0f5_e1e2,
];

impl Watches {
    /// Watches the file at a place, what was seen beside it, and all directories on the way.
    pub(super) fn watch(
        &mut self,
        reports: &mut impl Reports,
        opener: &Opener,
        place: &[u8],
        beside: Option<&Beside>,
    ) -> Result<(), Unwatchable> {
        if self.files.contains_key(place) {
            return Ok(());
        }
        let mut watched = 0;
        let all = directories(place).try_for_each(|directory| {
            self.use_directory(reports, opener, directory)?;
            watched += 1;
            Ok(())
        });
        let all = all.and_then(|()| {
            let mut file = |at: &[u8]| self.use_file(reports, opener, at, place);
            let own = file(place)?;
            let mut indices = Vec::new();
            let others = beside.into_iter().flat_map(Beside::present);
            let all = others.map(|it| file(it.to_bytes())).try_for_each(|index| {
                indices.push(index?);
                Ok(())
            });
            if all.is_err() {
                for index in indices.into_iter().chain([own]) {
                    self.remove(reports, index);
                }
                return all;
            }
            let beside = beside.map(|_| indices);
            self.files.insert(place.into(), Watched { own, beside });
            Ok(())
        });
        if all.is_err() {
            for directory in directories(place).take(watched) {
                self.leave_directory(reports, directory);
            }
        }
        all
    }

    /// Ends the watch of a file.
    pub(super) fn forget(&mut self, reports: &mut impl Reports, place: &[u8]) {
        if let Some(Watched { own, beside }) = self.files.remove(place) {
            for index in beside.into_iter().flatten().chain([own]) {
                self.remove(reports, index);
            }
            for directory in directories(place) {
                self.leave_directory(reports, directory);
            }
        }
    }

    /// Whether there is no watch.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Takes a report. The files that it puts in doubt are watched no more, and returned.
    pub(super) fn reported(
        &mut self,
        reports: &mut impl Reports,
        index: u32,
        kind: &Kind,
    ) -> Vec<Box<[u8]>> {
        let Some(Some(watch)) = self.places.get(index as usize) else { return Vec::new() };
        let about = match kind {
            Kind::Inode(change) if watch.is_directory => {
                joined(&watch.path, change.name.as_os_str().as_bytes())
            }
            Kind::Inode(_) | Kind::Failed(_) => watch.path.to_vec(),
            // The kernel lost some, of whomever.
            _ => Vec::new(),
        };
        let mut doubtful: Vec<Box<[u8]>> = Vec::new();
        if self.directories.contains_key(&about[..]) {
            doubtful.extend(self.files.keys().filter(|place| is_below(place, &about)).cloned());
        }
        if let Some(original) = beside::original(&about)
            && self.files.get(original).is_some_and(|watched| watched.beside.is_some())
        {
            doubtful.push(original.into());
        }
        if self.files.contains_key(&about[..]) {
            doubtful.push(about.into());
        }
        for place in &doubtful {
            self.forget(reports, place);
        }
        doubtful
    }

    /// Watches the file that lies `at` a place for the sake of the one at `place`.
    fn use_file(
        &mut self,
        reports: &mut impl Reports,
        opener: &Opener,
        at: &[u8],
        place: &[u8],
    ) -> Result<u32, Unwatchable> {
        let inode = opener.inode(at, false)?;
        let kind = u64::try_from(fstatfs(&inode)?.f_type).unwrap_or(0);
        if !LOCAL.iter().any(|&local| u64::from(local) == kind & 0xffff_ffff) {
            return Err(Unwatchable);
        }
        self.add(reports, &inode, place, false)
    }

    fn use_directory(
        &mut self,
        reports: &mut impl Reports,
        opener: &Opener,
        path: &[u8],
    ) -> Result<(), Unwatchable> {
        let index = match self.directories.get(path) {
            Some(&index) => index,
            None if self.directories.len() >= WATCHED_DIRECTORIES => return Err(Unwatchable),
            None => {
                let inode = opener.inode(path, true)?;
                let index = self.add(reports, &inode, path, true)?;
                self.directories.insert(path.into(), index);
                index
            }
        };
        if let Some(Some(watch)) = self.places.get_mut(index as usize) {
            watch.users += 1;
        }
        Ok(())
    }

    fn leave_directory(&mut self, reports: &mut impl Reports, path: &[u8]) {
        let Some(&index) = self.directories.get(path) else { return };
        let Some(Some(watch)) = self.places.get_mut(index as usize) else { return };
        watch.users -= 1;
        if watch.users == 0 {
            self.directories.remove(path);
            self.remove(reports, index);
        }
    }

    /// Watches an inode by its descriptor, whatever its names mean.
    fn add(
        &mut self,
        reports: &mut impl Reports,
        inode: &OwnedFd,
        path: &[u8],
        is_directory: bool,
    ) -> Result<u32, Unwatchable> {
        let index = self.free.last().copied().unwrap_or(self.places.len() as u32);
        let changes = if is_directory { OF_DIRECTORY } else { OF_FILE };
        let inode = Inode::path(format!("/proc/self/fd/{}", inode.as_raw_fd())).on(changes);
        let key = reports.register(inode, index).map_err(|_| Unwatchable)?;
        let watch = Watch { key, path: path.into(), users: 0, is_directory };
        match self.free.pop() {
            Some(index) => self.places[index as usize] = Some(watch),
            None => self.places.push(Some(watch)),
        }
        Ok(index)
    }

    fn remove(&mut self, reports: &mut impl Reports, index: u32) {
        if let Some(watch) = self.places.get_mut(index as usize).and_then(Option::take) {
            self.free.push(index);
            reports.remove(watch.key);
        }
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches")
            .field("files", &self.files.len())
            .field("directories", &self.directories.len())
            .finish_non_exhaustive()
    }
}

/// The directories on the path to a place, from the root on, which is empty.
fn directories(place: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = place.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    std::iter::once(0).chain(slashes.map(|(at, _)| at)).map(|end| &place[..end])
}

fn is_below(place: &[u8], directory: &[u8]) -> bool {
    directory.is_empty() || place.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

/// The path of an entry of a directory; of itself, if there is no name.
fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match (directory, name) {
        (_, b"") => directory.to_vec(),
        (b"", _) => name.to_vec(),
        _ => [directory, name].join(&b'/'),
    }
}
