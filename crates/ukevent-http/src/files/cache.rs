//! Entities that are kept at hand, bounded in number and bytes.
//!
//! Second chance: a hand goes round the slots and drops the first entity that was not asked for
//! since it came by last. Nothing is served on trust: see [`Cache::find`]. A slot answers for a path and for
//! what lies [beside] it, there or not: all of it is looked at together.
//!
//! [beside]: super::beside

use super::{beside::Beside, load::Keep};
use crate::entity::{Entity, Seen};
use rustix::fs::Stat;
use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    sync::Arc,
};

/// What a stat(2) must show again for the content to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    pub(super) inode: u64,
    size: i64,
    /// Seconds and nanoseconds.
    pub(super) modified: (i64, u64),
    pub(super) changed: (i64, u64),
}

impl Identity {
    // The types of these fields differ between architectures.
    #[allow(clippy::unnecessary_cast)]
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as i64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }
}

/// How soon, in seconds, it is tried again to watch what could not be watched, or what changed.
const WATCH_AGAIN_S: u64 = 2;

/// The entities at hand, by the path they were asked for with.
#[derive(Debug)]
pub(super) struct Cache {
    slots: Vec<Slot>,
    by_path: HashMap<Box<[u8]>, usize>,
    limit: usize,
    limit_bytes: usize,
    bytes: usize,
    hand: usize,
    /// Paths that are worth watching, and places that need not be watched any more.
    wanted: Vec<Box<[u8]>>,
    unwanted: Vec<CString>,
}

#[derive(Debug)]
struct Slot {
    path: Box<[u8]>,
    /// Where the file lies, below the root: the path, or the index below it.
    place: CString,
    identity: Identity,
    beside: Option<Beside>,
    entity: Arc<Entity>,
    asked: bool,
    /// The epoch and the second in which the path was last seen to lead here.
    epoch: u64,
    looked_s: u64,
    /// Whether everything on the path is watched.
    watched: bool,
    /// Whether a look at it may block.
    is_remote: bool,
    /// When it may be asked to be watched.
    watch_from_s: u64,
}

impl Cache {
    pub(super) fn new(limit: usize, limit_bytes: usize) -> Self {
        Self {
            slots: Vec::new(),
            by_path: HashMap::new(),
            limit,
            limit_bytes,
            bytes: 0,
            hand: 0,
            wanted: Vec::new(),
            unwanted: Vec::new(),
        }
    }

    /// The entity of `path`, if it is at hand and `look` finds the same inode in its place, or found
    /// it already in this epoch; or if it is watched, nothing was reported of it, and it was looked
    /// at in this second: nobody is told of a mount (inotify(7)), nor of a change through memory that is
    /// mapped, which even a look shows only once the times change. `look` is told whether it may block.
    pub(super) fn find(
        &mut self,
        path: &[u8],
        seen: Seen,
        mut look: impl FnMut(&CStr, bool) -> Option<Identity>,
    ) -> Option<Arc<Entity>> {
        let index = *self.by_path.get(path)?;
        let slot = &mut self.slots[index];
        let is_trusted = slot.watched && seen.sure && slot.looked_s == seen.unix_s;
        if slot.epoch != seen.epoch && !is_trusted {
            let is_remote = slot.is_remote;
            let is_same = look(&slot.place, is_remote) == Some(slot.identity)
                && slot.beside.as_ref().is_none_or(|all| all.is_same(|it| look(it, is_remote)));
            if !is_same {
                // What is remote stays until what it is now has been loaded: whoever asks meanwhile
                // must not look for himself.
                if !slot.is_remote {
                    self.drop_slot(index);
                }
                return None;
            }
            slot.epoch = seen.epoch;
            slot.looked_s = seen.unix_s;
            let has_room = self.wanted.len() < self.limit;
            let is_watchable = !slot.watched && !slot.is_remote && has_room;
            if is_watchable && seen.unix_s >= slot.watch_from_s {
                // Asked for the second time, and not so soon again.
                slot.watch_from_s = seen.unix_s.saturating_add(WATCH_AGAIN_S);
                self.wanted.push(path.into());
            }
        }
        slot.asked = true;
        Some(Arc::clone(&slot.entity))
    }

    /// Keeps an entity, in another's place if need be.
    pub(super) fn keep(&mut self, path: &[u8], keep: Keep, entity: Arc<Entity>, seen: Seen) {
        let Keep { place, identity, beside, is_remote } = keep;
        let Ok(place) = CString::new(place) else { return };
        if let Some(&index) = self.by_path.get(path) {
            self.drop_slot(index);
        }
        let bytes = entity.held_bytes();
        while !self.slots.is_empty()
            && (self.slots.len() >= self.limit || self.bytes + bytes > self.limit_bytes)
        {
            self.make_room();
        }
        let path: Box<[u8]> = path.into();
        self.by_path.insert(path.clone(), self.slots.len());
        self.bytes += bytes;
        self.slots.push(Slot {
            path,
            place,
            identity,
            beside,
            entity,
            asked: false,
            epoch: seen.epoch,
            looked_s: seen.unix_s,
            watched: false,
            is_remote,
            watch_from_s: 0,
        });
    }

    /// The paths that were found worth watching since this was asked last.
    pub(super) fn take_wanted(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.wanted)
    }

    /// As if everything lay on a remote file system.
    #[cfg(test)]
    pub(super) fn be_remote(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.is_remote = true);
    }

    /// Whether [`Cache::take_wanted`] or [`Cache::take_unwanted`] has something to say.
    pub(super) fn wants_tending(&self) -> bool {
        !self.wanted.is_empty() || !self.unwanted.is_empty()
    }

    /// The places that nobody wants to be watched any more.
    pub(super) fn take_unwanted(&mut self) -> Vec<CString> {
        let mut unwanted = std::mem::take(&mut self.unwanted);
        unwanted
            .retain(|place| !self.slots.iter().any(|slot| slot.watched && slot.place == *place));
        unwanted
    }

    /// Where the entity of a path lies.
    pub(super) fn place_of(&self, path: &[u8]) -> Option<&CStr> {
        Some(&self.slots[*self.by_path.get(path)?].place)
    }

    /// What was seen beside it, if that counts.
    pub(super) fn beside(&self, path: &[u8]) -> Option<&Beside> {
        self.slots[*self.by_path.get(path)?].beside.as_ref()
    }

    /// Everything on the path of an entity is watched from before it was seen like this. True if it
    /// is as it was.
    pub(super) fn trust(&mut self, path: &[u8], seen: Option<Identity>, unix_s: u64) -> bool {
        let Some(&index) = self.by_path.get(path) else { return false };
        let slot = &mut self.slots[index];
        if seen == Some(slot.identity) {
            slot.watched = true;
            slot.looked_s = unix_s;
        } else {
            self.drop_slot(index);
        }
        seen.is_some() && self.by_path.contains_key(path)
    }

    /// Something was reported of what lies at a place, or is on the path there. It may be gone, so its
    /// file is not held open: the space of one that was removed is given back when it is closed.
    pub(super) fn doubt(&mut self, place: &[u8]) {
        for index in (0..self.slots.len()).rev() {
            let slot = &mut self.slots[index];
            if slot.place.to_bytes() == place {
                slot.watched = false;
                if slot.entity.holds_file() {
                    self.drop_slot(index);
                }
            }
        }
    }

    /// Drops the entities that hold a file open. Says whether there were any.
    pub(super) fn drop_files(&mut self) -> bool {
        let before = self.slots.len();
        for index in (0..before).rev() {
            if self.slots[index].entity.holds_file() {
                self.drop_slot(index);
            }
        }
        self.slots.len() < before
    }

    fn make_room(&mut self) {
        loop {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            match self.slots.get_mut(self.hand) {
                Some(slot) if slot.asked => slot.asked = false,
                Some(_) => return self.drop_slot(self.hand),
                None => return,
            }
            self.hand += 1;
        }
    }

    /// Drops a slot; the last one moves into its place.
    fn drop_slot(&mut self, index: usize) {
        let dropped = self.slots.swap_remove(index);
        self.by_path.remove(&dropped.path);
        self.bytes -= dropped.entity.held_bytes();
        if dropped.watched {
            self.unwanted.push(dropped.place);
        }
        if let Some(moved) = self.slots.get(index)
            && let Some(at) = self.by_path.get_mut(&moved.path)
        {
            *at = index;
        }
    }
}

#[cfg(test)]
mod tests;
