//! One registration of an inode or a tree: what it asked for, and what of a report it is told.
//!
//! inotify does not say how large a file is: growth is told by the size last seen.

use super::changes_of;
use super::tree::{NodeId, Tree};
use crate::event::{Changes, Errno, InodeChange, Kind};
use crate::source::Sink;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use ukevent_sys::inotify::{Report, WatchMask, Wd};

/// Who is told of a watch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) slot: u32,
    pub(super) node: NodeId,
}

pub(super) struct Registration {
    pub(super) changes: Changes,
    /// Where it was when it was registered.
    pub(super) path: PathBuf,
    /// Whether that was followed if it was a symbolic link.
    pub(super) follow: bool,
    /// The watched inode, unless it is a tree.
    pub(super) wd: Wd,
    pub(super) tree: Option<Tree>,
    /// Sizes last seen, if growth is asked for, by name.
    pub(super) sizes: HashMap<PathBuf, u64>,
    /// Why parts of the tree could not be watched when it was registered.
    pub(super) failures: Vec<Errno>,
}

impl Registration {
    /// Tells what was reported, if it was asked for.
    pub(super) fn tell(&mut self, user: User, report: Report<'_>, sink: Sink<'_>) {
        let grows = self.changes.contains(Changes::GREW);
        let mut changes = changes_of(report.mask) & self.changes;
        let looks = grows && report.mask.intersects(WatchMask::MODIFY | WatchMask::CREATE);
        let forgets = grows && report.mask.intersects(WatchMask::DELETE | WatchMask::MOVED_FROM);
        if changes.is_empty() && !looks && !forgets {
            return;
        }
        let name = match &self.tree {
            Some(tree) => match tree.name_of(user.node, report.name) {
                Some(name) => name,
                None => return,
            },
            None => PathBuf::from(report.name),
        };
        let mut size = None;
        if looks && report.mask.contains(WatchMask::CREATE) {
            self.sizes.insert(name.clone(), 0);
        } else if looks {
            let (now, grew) = self.note_size(&name);
            size = now;
            changes.set(Changes::GREW, grew);
        } else if forgets {
            self.sizes.remove(&name);
        }
        if changes.is_empty() {
            return;
        }
        let is_directory = report.mask.contains(WatchMask::DIRECTORY);
        let cookie = report.cookie;
        sink(
            user.slot,
            Kind::Inode(Box::new(InodeChange { changes, name, cookie, is_directory, size })),
        );
    }

    /// The size of a file now, and whether that is more than was last seen.
    pub(super) fn note_size(&mut self, name: &Path) -> (Option<u64>, bool) {
        let path =
            if name.as_os_str().is_empty() { self.path.clone() } else { self.path.join(name) };
        let Ok(size) = fs::metadata(path).map(|metadata| metadata.len()) else {
            return (None, false);
        };
        let before = self.sizes.insert(name.to_owned(), size);
        (Some(size), before.is_some_and(|before| size > before))
    }
}
