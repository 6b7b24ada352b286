//! The inotify instance of a queue, and who watches what through it.
//!
//! One instance for all registrations, because a user may have only 128. inotify gives an inode one
//! watch per instance, so registrations of the same inode share it: it watches for the union, and each
//! is told what it asked for. A report of a watch that nobody has any more is dropped; the kernel does
//! not give its number again for a long time.

use super::registration::{Registration, User};
use super::tree::{Later, NodeId, ROOT, Tree};
use super::{ALWAYS, Inode, mask_of};
use crate::error::RegisterError;
use crate::event::{Changes, Errno, Kind};
use crate::source::{Drained, Sink};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use ukevent_sys::Error;
use ukevent_sys::directory::{Directory, Entry};
use ukevent_sys::inotify::{Inotify, Report, WatchMask, Wd, parse};

/// What is read from the kernel at a time: about a thousand reports.
const BUFFER_BYTES: usize = 32 * 1024;

const EACCES: i32 = 13;
const ENOTDIR: i32 = 20;
const ENOENT: i32 = 2;
const ELOOP: i32 = 40;

pub(crate) struct InodeHub {
    inotify: Inotify,
    watches: HashMap<Wd, Vec<User>>,
    registrations: HashMap<u32, Registration>,
    buffer: Vec<u8>,
    /// What of the buffer was read from the kernel and not looked at.
    unread: Range<usize>,
    /// Something waits for the kernel's queue to be empty.
    unsettled: bool,
}

/// Directories that are being read: at most as many as the tree is deep.
type Open = Vec<(NodeId, Directory, std::vec::IntoIter<Entry>)>;

/// What a directory of a tree must be watched for, whatever the program asked.
const TREE_MASK: WatchMask = WatchMask::CREATE
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::DELETE)
    .union(WatchMask::ONLY_DIRECTORY);

impl InodeHub {
    pub(crate) fn new() -> Result<Self, RegisterError> {
        Ok(Self {
            inotify: Inotify::new()?,
            watches: HashMap::new(),
            registrations: HashMap::new(),
            buffer: vec![0; BUFFER_BYTES],
            unread: 0..0,
            unsettled: false,
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Watches for a registration. On an error nothing of it is left.
    pub(crate) fn add(&mut self, slot: u32, source: &Inode) -> Result<(), RegisterError> {
        let path = std::path::absolute(&source.path)
            .map_err(|_| RegisterError::Invalid("an inode needs a path that is not empty"))?;
        let changes = source.changes | ALWAYS;
        let mut mask = mask_of(changes) | WatchMask::WIDEN;
        let mut root = None;
        let wd = if source.tree {
            if !Path::new("/proc/self/fd").exists() {
                return Err(RegisterError::Unsupported { what: "a tree", needs: "/proc" });
            }
            let directory = Directory::open(&path, source.follow)?;
            let wd = self.inotify.add(&directory.own_path(), mask | TREE_MASK)?;
            root = Some(directory);
            wd
        } else {
            mask.set(WatchMask::NO_FOLLOW, !source.follow);
            self.inotify.add(&path, mask)?
        };
        self.watches.entry(wd).or_default().push(User { slot, node: ROOT });
        let mut registration = Registration {
            changes,
            path: path.clone(),
            follow: source.follow,
            wd,
            tree: source.tree.then(|| Tree::new(path, wd)),
            sizes: HashMap::new(),
            failures: Vec::new(),
        };
        if changes.contains(Changes::GREW) && !source.tree {
            registration.note_size(Path::new(""));
        }
        self.registrations.insert(slot, registration);
        if let Some(root) = root
            && let Err(error) = self.watch_below(slot, ROOT, root, &mut None)
        {
            self.remove(slot);
            return Err(error.into());
        }
        Ok(())
    }

    /// Other changes to tell of. On an error those before are told: a watch that was widened already
    /// reports more than anybody is told.
    pub(crate) fn modify(&mut self, slot: u32, changes: Changes) -> Result<(), RegisterError> {
        let Some(registration) = self.registrations.get_mut(&slot) else { return Ok(()) };
        let changes = changes | ALWAYS;
        let mask = mask_of(changes);
        if !mask_of(registration.changes).contains(mask) {
            // The watches are known by path only; what has moved since keeps what it was watched for.
            let mut paths = vec![(registration.path.clone(), registration.follow)];
            if let Some(tree) = &mut registration.tree {
                let names = tree.ids().into_iter().filter(|&id| id != ROOT);
                let names: Vec<_> =
                    names.filter_map(|id| tree.name_of(id, OsStr::new(""))).collect();
                paths.extend(names.iter().map(|name| (tree.full_path(name), false)));
            }
            self.widen(paths, mask | WatchMask::WIDEN)?;
        }
        if let Some(registration) = self.registrations.get_mut(&slot) {
            registration.changes = changes;
        }
        Ok(())
    }

    /// Widens the watches of inodes by path, each through a symbolic link or not.
    fn widen(&mut self, paths: Vec<(PathBuf, bool)>, mask: WatchMask) -> Result<(), Error> {
        for (path, follow) in paths {
            let mut mask = mask;
            mask.set(WatchMask::NO_FOLLOW, !follow);
            match self.inotify.add(&path, mask) {
                Ok(wd) if !self.watches.contains_key(&wd) => {
                    // Another inode has the name now.
                    self.inotify.remove(wd)?;
                }
                Ok(_) => {}
                Err(error) if is_gone(error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends a registration; nothing of it is told any more.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(mut registration) = self.registrations.remove(&slot) else { return };
        let mut watches = vec![registration.wd];
        if let Some(tree) = &mut registration.tree {
            watches.extend(tree.ids().into_iter().filter_map(|id| tree.remove(id)));
        }
        for wd in watches {
            self.leave(wd, slot);
        }
    }

    /// A registration needs a watch no longer.
    fn leave(&mut self, wd: Wd, slot: u32) {
        let Some(users) = self.watches.get_mut(&wd) else { return };
        users.retain(|user| user.slot != slot);
        self.end_if_unused(wd);
    }

    /// Ends a watch that is nobody's.
    fn end_if_unused(&mut self, wd: Wd) {
        if self.watches.get(&wd).is_none_or(Vec::is_empty) {
            self.watches.remove(&wd);
            // It fails only if the inode is gone, and the watch with it.
            let _: Result<(), Error> = self.inotify.remove(wd);
        }
    }

    /// Whether there is something to tell that the kernel will not report.
    pub(crate) const fn has_news(&self) -> bool {
        self.unsettled
    }

    /// Tells what the kernel reported, about `budget` events of it.
    pub(crate) fn drain(&mut self, budget: usize, sink: Sink<'_>) -> Result<Drained, Error> {
        let mut told = 0;
        let mut buffer = std::mem::take(&mut self.buffer);
        let drained = loop {
            while let Some((report, bytes)) = parse(&buffer[self.unread.clone()]) {
                if told >= budget {
                    break;
                }
                self.unread.start += bytes;
                self.take_in(report, &mut |slot, kind| {
                    told += 1;
                    sink(slot, kind);
                });
            }
            if told >= budget {
                break Ok(Drained::Budget);
            }
            match self.inotify.read(&mut buffer) {
                Ok(0) => break Ok(Drained::Dry),
                Ok(bytes) => self.unread = 0..bytes,
                Err(error) => break Err(error),
            }
        };
        self.buffer = buffer;
        if self.unsettled && drained == Ok(Drained::Dry) {
            self.unsettled = false;
            self.settle(sink);
        }
        drained
    }

    /// The kernel's queue was empty: what was renamed away and did not turn up has left the tree, and
    /// what was put off is looked at.
    fn settle(&mut self, sink: Sink<'_>) {
        let mut left = Vec::new();
        let mut put_off = Vec::new();
        for (&slot, registration) in &mut self.registrations {
            for errno in registration.failures.drain(..) {
                sink(slot, Kind::Failed(errno));
            }
            let Some(tree) = &mut registration.tree else { continue };
            tree.forget_fresh();
            for (_, id) in std::mem::take(&mut tree.moved) {
                left.extend(tree.remove_below(id).into_iter().map(|wd| (wd, slot)));
            }
            put_off.extend(tree.later.drain(..).map(|later| (slot, later)));
        }
        for (wd, slot) in left {
            self.leave(wd, slot);
        }
        for (slot, Later { parent, name, before }) in put_off {
            if let (Some(tree), Some(before)) = (self.tree(slot), before)
                && tree.child(parent, &name) == Some(before)
            {
                tree.detach(before);
            }
            self.grow(User { slot, node: parent }, &name, sink);
        }
    }

    fn take_in(&mut self, report: Report<'_>, sink: Sink<'_>) {
        if report.mask.contains(WatchMask::OVERFLOW) {
            self.look_anew(sink);
            return;
        }
        let mut turn = 0;
        while let Some(&user) = self.watches.get(&report.wd).and_then(|users| users.get(turn)) {
            self.tell(user, report, sink);
            turn += 1;
        }
        if report.mask.contains(WatchMask::IGNORED)
            && let Some(users) = self.watches.remove(&report.wd)
        {
            for user in users {
                if let Some(tree) = self.tree(user.slot) {
                    tree.remove(user.node);
                }
            }
        }
    }

    fn tree(&mut self, slot: u32) -> Option<&mut Tree> {
        self.registrations.get_mut(&slot)?.tree.as_mut()
    }

    /// Tells one user of a watch what was reported, and keeps its tree.
    fn tell(&mut self, user: User, report: Report<'_>, sink: Sink<'_>) {
        let is_entry = !report.name.is_empty();
        let mut was_found = false;
        if let Some(tree) = self.tree(user.slot) {
            // What happens to a directory below the root is told by its parent.
            if !is_entry && user.node != ROOT {
                return;
            }
            was_found = tree.node(user.node).is_some_and(|node| node.fresh.remove(report.name));
            if was_found && report.mask.contains(WatchMask::CREATE) {
                return;
            }
            if report.mask.contains(WatchMask::MOVED_FROM | WatchMask::DIRECTORY)
                && let Some(id) = tree.child(user.node, report.name)
            {
                tree.detach(id);
                tree.moved.insert(report.cookie, id);
                self.unsettled = true;
            }
        }
        let Some(registration) = self.registrations.get_mut(&user.slot) else { return };
        registration.tell(user, report, sink);
        let appears = report.mask.intersects(WatchMask::CREATE | WatchMask::MOVED_TO);
        // What reading found was watched, and read in its turn, then.
        if appears && !was_found && report.mask.contains(WatchMask::DIRECTORY) {
            self.grow(user, report.name, sink);
        }
    }

    /// A directory appeared in a tree: one of the tree's own, renamed; or a new one, to be watched and
    /// then read.
    fn grow(&mut self, user: User, name: &OsStr, sink: Sink<'_>) {
        match self.watch_entry(user, name, sink) {
            Err(error) if !is_gone(error) => sink(user.slot, Kind::Failed(Errno(error.errno()))),
            _ => {}
        }
    }

    fn watch_entry(&mut self, user: User, name: &OsStr, sink: Sink<'_>) -> Result<(), Error> {
        let Some(parent) = self.open_node(user)? else {
            // If even the root is not at its path, nothing that is yet to be reported mends that.
            let root = User { node: ROOT, ..user };
            if user.node != ROOT && self.open_node(root)?.is_some() {
                self.put_off(user, name, None);
            }
            return Ok(());
        };
        // Whether it is one of the tree's own, its inode says.
        let directory = parent.open_below(name)?;
        match self.watch_directory(user.slot, user.node, name, &directory)? {
            Some((id, false)) => self.watch_below(user.slot, id, directory, &mut Some(sink)),
            _ => Ok(()),
        }
    }

    /// Opens a directory of a tree. `None` if its path means nothing or another directory by now, whose
    /// entries must not be taken for this one's: that it was renamed or removed is yet to be reported.
    fn open_node(&mut self, user: User) -> Result<Option<Directory>, Error> {
        let Some(registration) = self.registrations.get_mut(&user.slot) else { return Ok(None) };
        let Some(tree) = &mut registration.tree else { return Ok(None) };
        let Some(below) = tree.name_of(user.node, OsStr::new("")) else { return Ok(None) };
        let follow = user.node == ROOT && registration.follow;
        let directory = match Directory::open(&tree.full_path(&below), follow) {
            Err(error) if is_gone(error) => return Ok(None),
            opened => opened?,
        };
        // Its number may be another's again, its watch is not.
        let mask = mask_of(registration.changes) | TREE_MASK | WatchMask::WIDEN;
        let wd = self.inotify.add(&directory.own_path(), mask)?;
        let same = tree.node(user.node).is_some_and(|node| node.wd == wd);
        self.end_if_unused(wd);
        Ok(same.then_some(directory))
    }

    /// Puts off looking at an entry of a directory of a tree, unless that is gone.
    fn put_off(&mut self, user: User, name: &OsStr, before: Option<NodeId>) {
        if let Some(tree) = self.tree(user.slot)
            && tree.node(user.node).is_some()
        {
            tree.later.push(Later { parent: user.node, name: name.to_owned(), before });
        }
    }

    /// Watches a directory of a tree. Returns its node, and whether it is one of the tree's own that
    /// stood elsewhere; `None` if it is put off.
    fn watch_directory(
        &mut self,
        slot: u32,
        parent: NodeId,
        name: &OsStr,
        directory: &Directory,
    ) -> Result<Option<(NodeId, bool)>, Error> {
        let Some(registration) = self.registrations.get_mut(&slot) else { return Ok(None) };
        let Some(tree) = &mut registration.tree else { return Ok(None) };
        let mask = mask_of(registration.changes) | TREE_MASK | WatchMask::WIDEN;
        let wd = self.inotify.add(&directory.own_path(), mask)?;
        let users = self.watches.entry(wd).or_default();
        if let Some(user) = users.iter().find(|user| user.slot == slot) {
            return Ok(Some((user.node, tree.attach(user.node, parent, name))));
        }
        if let Some(before) = tree.child(parent, name) {
            // What is on its way of the one before is told first.
            self.end_if_unused(wd);
            self.put_off(User { slot, node: parent }, name, Some(before));
            self.unsettled = true;
            return Ok(None);
        }
        let node = tree.insert(parent, name, wd);
        users.push(User { slot, node });
        Ok(Some((node, false)))
    }

    /// Reads a directory that is watched, and watches and reads every directory below it: each by its
    /// inode, whatever the names mean by now. With a sink, what is found is told as created; without, a
    /// part that may not be read is remembered as a failure.
    fn watch_below(
        &mut self,
        slot: u32,
        top: NodeId,
        directory: Directory,
        sink: &mut Option<Sink<'_>>,
    ) -> Result<(), Error> {
        let mut open = Vec::new();
        let entered = self.enter(slot, top, directory, sink.is_some(), &mut open);
        entered.or_else(|error| self.pass_over(slot, error, sink))?;
        while let Some((id, directory, entries)) = open.last_mut() {
            let (id, Some(entry)) = (*id, entries.next()) else {
                open.pop();
                continue;
            };
            let below = entry.may_be_directory.then(|| directory.open_below(&entry.name));
            let is_directory = matches!(below, Some(Ok(_)));
            if let Some(sink) = sink {
                self.tell_found(slot, id, &entry.name, is_directory, sink);
            }
            let watched = below.transpose().and_then(|below| match below {
                Some(below) => {
                    let watched = self.watch_directory(slot, id, &entry.name, &below)?;
                    Ok(watched.map(|(child, moved)| (child, moved, below)))
                }
                None => Ok(None),
            });
            let entered = watched.and_then(|watched| match watched {
                // What moved here is watched, and was told where it was.
                Some((_, true, _)) if sink.is_some() => Ok(()),
                Some((child, _, below)) => {
                    self.enter(slot, child, below, sink.is_some(), &mut open)
                }
                None => Ok(()),
            });
            entered.or_else(|error| self.pass_over(slot, error, sink))?;
        }
        Ok(())
    }

    /// Goes on without what vanished while it was read, which the kernel tells, and without what may
    /// not be read, which is told here.
    fn pass_over(
        &mut self,
        slot: u32,
        error: Error,
        sink: &mut Option<Sink<'_>>,
    ) -> Result<(), Error> {
        match error {
            error if is_gone(error) => {}
            error if error.errno() == EACCES => self.tell_failure(slot, error, sink),
            error => return Err(error),
        }
        Ok(())
    }

    /// Reads the entries of a directory, unless all that is in it was told before.
    fn enter(
        &mut self,
        slot: u32,
        id: NodeId,
        directory: Directory,
        tells: bool,
        open: &mut Open,
    ) -> Result<(), Error> {
        let Some(node) = self.tree(slot).and_then(|tree| tree.node(id)) else { return Ok(()) };
        // The name of a directory may come again, for one of that name that is gone by now.
        if tells && std::mem::replace(&mut node.told, true) {
            return Ok(());
        }
        let entries = directory.entries()?;
        open.push((id, directory, entries.into_iter()));
        Ok(())
    }

    /// Reading a new directory found an entry.
    fn tell_found(
        &mut self,
        slot: u32,
        node: NodeId,
        name: &OsStr,
        is_directory: bool,
        sink: Sink<'_>,
    ) {
        let Some(registration) = self.registrations.get_mut(&slot) else { return };
        if let Some(tree) = &mut registration.tree {
            tree.found(node, name);
            self.unsettled = true;
        }
        let mut mask = WatchMask::CREATE;
        mask.set(WatchMask::DIRECTORY, is_directory);
        let report = Report { wd: registration.wd, mask, cookie: 0, name };
        registration.tell(User { slot, node }, report, sink);
    }

    fn tell_failure(&mut self, slot: u32, error: Error, sink: &mut Option<Sink<'_>>) {
        let errno = Errno(error.errno());
        match (sink, self.registrations.get_mut(&slot)) {
            (Some(sink), _) => sink(slot, Kind::Failed(errno)),
            (None, Some(registration)) => {
                registration.failures.push(errno);
                self.unsettled = true;
            }
            (None, None) => {}
        }
    }

    /// The kernel's queue overflowed: everyone is to look again, and the trees are put in step with
    /// what is there now.
    fn look_anew(&mut self, sink: Sink<'_>) {
        let slots: Vec<u32> = self.registrations.keys().copied().collect();
        for slot in slots {
            sink(slot, Kind::Rescan);
            let Some(tree) = self.tree(slot) else { continue };
            tree.forget_fresh();
            tree.moved.clear();
            tree.later.clear();
            let before: HashSet<NodeId> = tree.ids().into_iter().collect();
            for &id in &before {
                tree.detach(id);
            }
            let root = tree.full_path(Path::new(""));
            let looked = Directory::open(&root, true)
                .and_then(|root| self.watch_below(slot, ROOT, root, &mut None));
            if let Err(error) = looked {
                sink(slot, Kind::Failed(Errno(error.errno())));
            }
            // What has no place now was not found again.
            let Some(tree) = self.tree(slot) else { continue };
            let lost = before.into_iter().filter(|&id| tree.name_of(id, OsStr::new("")).is_none());
            let lost: Vec<NodeId> = lost.collect();
            let watches: Vec<Wd> = lost.into_iter().filter_map(|id| tree.remove(id)).collect();
            for wd in watches {
                self.leave(wd, slot);
            }
        }
    }
}

/// The entry is no directory (any more).
fn is_gone(error: Error) -> bool {
    matches!(error.errno(), ENOENT | ENOTDIR | ELOOP)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
