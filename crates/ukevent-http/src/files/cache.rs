//! Entities that are kept at hand, in a bounded number.
//!
//! Second chance: a hand goes round the slots and drops the first entity that was not asked for
//! since it came by last. Nothing is served on trust: see [`Cache::find`].

use crate::entity::{Body, Entity, Seen};
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

/// The entities at hand, by the path they were asked for with.
#[derive(Debug)]
pub(super) struct Cache {
    slots: Vec<Slot>,
    by_path: HashMap<Box<[u8]>, usize>,
    limit: usize,
    hand: usize,
}

#[derive(Debug)]
struct Slot {
    path: Box<[u8]>,
    /// Where the file lies, below the root: the path, or the index below it.
    place: CString,
    identity: Identity,
    entity: Arc<Entity>,
    asked: bool,
    /// The epoch in which the path was last seen to lead here.
    epoch: u64,
}

impl Cache {
    pub(super) fn new(limit: usize) -> Self {
        Self { slots: Vec::new(), by_path: HashMap::new(), limit, hand: 0 }
    }

    /// The entity of `path`, if it is at hand and `look` finds the same inode in its place, or
    /// found it already in this epoch.
    pub(super) fn find(
        &mut self,
        path: &[u8],
        seen: Seen,
        look: impl FnOnce(&CStr) -> Option<Identity>,
    ) -> Option<Arc<Entity>> {
        let index = *self.by_path.get(path)?;
        let slot = &mut self.slots[index];
        if slot.epoch != seen.epoch {
            if look(&slot.place) != Some(slot.identity) {
                self.drop_slot(index);
                return None;
            }
            slot.epoch = seen.epoch;
        }
        slot.asked = true;
        Some(Arc::clone(&slot.entity))
    }

    /// Keeps an entity, in another's place if need be.
    pub(super) fn keep(
        &mut self,
        path: &[u8],
        place: &[u8],
        identity: Identity,
        entity: Arc<Entity>,
        seen: Seen,
    ) {
        let Ok(place) = CString::new(place) else { return };
        if let Some(&index) = self.by_path.get(path) {
            self.drop_slot(index);
        }
        if self.slots.len() >= self.limit {
            self.make_room();
        }
        let path: Box<[u8]> = path.into();
        self.by_path.insert(path.clone(), self.slots.len());
        self.slots.push(Slot { path, place, identity, entity, asked: false, epoch: seen.epoch });
    }

    /// Drops the entities that hold a file open. Says whether there were any.
    pub(super) fn drop_files(&mut self) -> bool {
        let before = self.slots.len();
        for index in (0..before).rev() {
            if matches!(self.slots[index].entity.body(), Body::File(_)) {
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
        if let Some(moved) = self.slots.get(index)
            && let Some(at) = self.by_path.get_mut(&moved.path)
        {
            *at = index;
        }
    }
}

#[cfg(test)]
mod tests;
