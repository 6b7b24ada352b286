//! Inodes: files, directories, and trees that grow.

mod hub;
mod registration;
mod tree;

pub(crate) use hub::InodeHub;

use crate::event::Changes;
use std::path::PathBuf;
use ukevent_sys::inotify::WatchMask;

/// A file, a directory with its entries, or a tree with all that is below it.
///
/// What the path names when it is registered is watched, whatever is called so later. Names come with
/// the events. When the kernel's queue overflows (`fs.inotify.max_queued_events`),
/// [`Kind::Rescan`](crate::Kind::Rescan) says so.
///
/// A tree follows its own growth, and misses nothing by it: a directory that appears is watched first
/// and read then, and what is found in it is told as created. Symbolic links below the root are not
/// followed. A part that cannot be watched (no permission, or `fs.inotify.max_user_watches`) is told
/// as [`Kind::Failed`](crate::Kind::Failed); the rest goes on. If the root itself is renamed, register
/// it anew: new directories are looked for by its old path.
///
/// ```
/// use ukevent_queue::{Changes, Inode, Kind, Mode, Queue, Token, Wait};
///
/// let folder = std::env::temp_dir().join(format!("inode-{}", std::process::id()));
/// std::fs::create_dir(&folder)?;
/// let mut queue = Queue::new()?;
/// queue.register(Inode::tree(&folder).on(Changes::WRITTEN), Token(1), Mode::Level)?;
/// std::fs::write(folder.join("note"), "hello")?;
/// queue.wait(Wait::forever())?;
/// let Some(Kind::Inode(change)) = queue.next_event().map(|event| event.kind) else { panic!() };
/// assert_eq!((change.changes, change.name.to_str()), (Changes::WRITTEN, Some("note")));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[doc(alias = "EVFILT_VNODE")]
pub struct Inode {
    path: PathBuf,
    tree: bool,
    follow: bool,
    changes: Changes,
}

impl Inode {
    /// All but being opened, read and closed after reading, and but growing.
    pub const DEFAULT_CHANGES: Changes = Changes::all()
        .difference(Changes::OPENED)
        .difference(Changes::READ_CLOSED)
        .difference(Changes::ACCESSED)
        .difference(Changes::GREW);

    /// The file, or the directory and its entries, that a path names. A symbolic link is followed.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), tree: false, follow: true, changes: Self::DEFAULT_CHANGES }
    }

    /// The directory that a path names, with everything below it.
    pub fn tree(path: impl Into<PathBuf>) -> Self {
        Self { tree: true, ..Self::path(path) }
    }

    /// Which changes to tell of. That the watched inode itself is gone is always told.
    pub const fn on(mut self, changes: Changes) -> Self {
        self.changes = changes;
        self
    }

    /// If the path names a symbolic link: the link itself.
    pub const fn no_follow(mut self) -> Self {
        self.follow = false;
        self
    }
}

/// Told whether asked for or not: they end the watch.
pub(super) const ALWAYS: Changes = Changes::SELF_REMOVED.union(Changes::UNMOUNTED);

/// Change and bit of inotify, in pairs.
const BITS: [(Changes, WatchMask); 13] = [
    (Changes::CREATED, WatchMask::CREATE),
    (Changes::REMOVED, WatchMask::DELETE),
    (Changes::MOVED_FROM, WatchMask::MOVED_FROM),
    (Changes::MOVED_TO, WatchMask::MOVED_TO),
    (Changes::MODIFIED, WatchMask::MODIFY),
    (Changes::WRITTEN, WatchMask::CLOSE_WRITE),
    (Changes::ATTRIBUTES, WatchMask::ATTRIB),
    (Changes::SELF_REMOVED, WatchMask::DELETE_SELF),
    (Changes::SELF_MOVED, WatchMask::MOVE_SELF),
    (Changes::UNMOUNTED, WatchMask::UNMOUNT),
    (Changes::OPENED, WatchMask::OPEN),
    (Changes::READ_CLOSED, WatchMask::CLOSE_NOWRITE),
    (Changes::ACCESSED, WatchMask::ACCESS),
];

/// What inotify must watch for to tell these changes.
fn mask_of(changes: Changes) -> WatchMask {
    let mut mask = BITS
        .iter()
        .filter(|(change, _)| changes.contains(*change))
        .fold(WatchMask::DELETE_SELF, |mask, (_, bit)| mask | *bit);
    if changes.contains(Changes::GREW) {
        mask |= WatchMask::MODIFY | WatchMask::CREATE;
    }
    mask.difference(WatchMask::UNMOUNT)
}

/// The change that inotify reports; none for what only the hub needs to know.
fn changes_of(mask: WatchMask) -> Changes {
    BITS.iter()
        .filter(|(_, bit)| mask.contains(*bit))
        .fold(Changes::empty(), |changes, (change, _)| changes | *change)
}
