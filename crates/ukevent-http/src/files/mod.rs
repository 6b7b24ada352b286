//! The files below a directory.
//!
//! A path is opened below the directory or not at all: see [`open`]. What was opened is described
//! once, as an [`Entity`](crate::entity::Entity), and kept: a small file with its content, a larger one
//! with its descriptor. A file that is asked for again is [watched](watch), with all directories on its
//! path, and served as it is kept until the queue reports that something changed. Where it cannot be
//! watched (a link is on the path, the file system is remote, watches are used up), or while not
//! everything that was reported is known, its path is looked at with one stat(2) for each batch of
//! requests, and it is served only if the path still leads to the same inode with the same size and
//! times. So a file that is changed, replaced, renamed over, moved with its directory or made
//! unreadable is served changed, at the next request. A mount, of which inotify(7) has no report, may take
//! a second.
//!
//! A file is as new as its size and its times say. Whoever writes through mapped memory (mmap(2)) changes
//! the times when a page is first written to, and not again before the kernel has written it back, which on
//! tmpfs it never does: until then the old content of a small file may be served, without bound. The same
//! holds, for once, where a write(2) sets the times more than two seconds before it copies its bytes.
//! Writing, truncating and renaming are not concerned.
//!
//! Two changes within one tick of the kernel's clock may leave the same times (stat(2) shows
//! nanoseconds, the clock behind them ticks every few milliseconds). Therefore an inode that was
//! changed less than two seconds ago is not kept, and its entity tag is weak until then.
//!
//! What the kernel does not have in memory is [looked up](loader) by a thread, and waited for without
//! blocking anybody else. So is everything on a file system that asks a server or a process (NFS, SMB, FUSE
//! and the like): it is opened and read anew by a thread for each batch that asks for it.

mod cache;
mod load;
mod loader;
mod media_type;
mod open;
mod watch;

use crate::{
    counters::Counters,
    entity::{Content, Found, Seen},
    limits::{CACHED_BYTES, CACHED_FILES},
};
use cache::{Cache, Identity};
use load::{Loaded, Patience, load};
use loader::Loader;
pub(crate) use loader::Tell;
use open::Opener;
use rustix::{
    fs::{AtFlags, statat},
    io::Errno,
};
use std::{ffi::CStr, path::Path, sync::Arc};
use ukevent_queue::{Kind, Queue, Token};
use watch::Watches;

/// A directory whose files are served. Holds it open: it may be renamed meanwhile.
#[derive(Debug)]
pub(crate) struct Root {
    opener: Arc<Opener>,
    cache: Cache,
    watches: Watches,
    /// Without one, what is not in memory is waited for.
    loader: Option<Loader>,
    /// What the next look finds: it was asked for before.
    offered: Option<Found>,
    /// What the last look must wait for.
    joined: Option<u64>,
}

impl Root {
    /// Opens the directory. Looking for a file waits for the disk.
    pub(crate) fn open(path: &Path) -> Result<Self, Errno> {
        Ok(Self::of(Opener::new(path)?))
    }

    /// As [`Root::open`], on a kernel without openat2(2).
    #[cfg(test)]
    pub(crate) fn open_by_walking(path: &Path) -> Result<Self, Errno> {
        Ok(Self::of(Opener::new(path)?.walking()))
    }

    fn of(opener: Opener) -> Self {
        Self {
            opener: Arc::new(opener),
            cache: Cache::new(CACHED_FILES, CACHED_BYTES),
            watches: Watches::default(),
            loader: None,
            offered: None,
            joined: None,
        }
    }

    /// From now on threads wait for the disk, and tell when something was found. At most so many paths
    /// wait for their turn.
    pub(crate) fn load_elsewhere(&mut self, most: usize, tell: Tell) {
        self.loader = Some(Loader::new(Arc::clone(&self.opener), most, tell));
    }

    /// What [`Found::Later`] was said of since this was asked last: the number of the load.
    pub(crate) fn take_joined(&mut self) -> Option<u64> {
        self.joined.take()
    }

    /// What was loaded meanwhile, by number.
    pub(crate) fn take_loaded(&mut self, seen: Seen) -> Vec<(u64, Found)> {
        let done = self.loader.as_ref().map(Loader::take_done).unwrap_or_default();
        // It was seen before now: whoever asks now must look again.
        let seen = Seen { epoch: 0, ..seen };
        let mut all = Vec::with_capacity(done.len());
        for done in done {
            if done.wants_descriptor() && self.let_go() {
                if let Some(loader) = &mut self.loader {
                    loader.ask_again(done.job);
                }
                continue;
            }
            let number = done.number();
            all.push((number, self.keep(&done.job.path, done.loaded, seen)));
        }
        all
    }

    /// Lets the next look find this, whatever is there.
    pub(crate) fn offer(&mut self, found: Option<Found>) {
        self.offered = found;
    }

    /// Whether looks may rely on reports of the queue.
    pub(crate) fn relies_on_reports(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Takes a report of what is watched.
    pub(crate) fn reported(&mut self, queue: &mut Queue, index: u32, kind: &Kind) {
        for place in self.watches.reported(queue, index, kind) {
            self.cache.doubt(&place);
        }
    }

    /// Watches what is worth it, and no longer what is not.
    pub(crate) fn tend(&mut self, queue: &mut Queue, token: &dyn Fn(u32) -> Token, unix_s: u64) {
        for path in self.cache.take_wanted() {
            let Some(place) = self.cache.place_of(&path).map(CStr::to_owned) else { continue };
            let watched = self.watches.watch(queue, token, &self.opener, place.to_bytes());
            if watched.is_err() {
                continue;
            }
            // What changed before it was watched is seen now.
            if !self.cache.trust(&path, look(&self.opener, &place), unix_s) {
                self.cache.doubt(place.to_bytes());
                self.watches.forget(queue, place.to_bytes());
            }
        }
        for place in self.cache.take_unwanted() {
            self.watches.forget(queue, place.to_bytes());
        }
    }

    /// How many files would be worth it.
    #[cfg(test)]
    pub(crate) fn wanted(&self) -> usize {
        self.cache.wanted()
    }

    /// Watches nothing of what would be worth it: nobody is there to do so.
    pub(crate) fn forget_wanted(&mut self) {
        self.cache.forget_wanted();
    }

    /// Takes every watch back.
    pub(crate) fn unwatch(&mut self, queue: &mut Queue) {
        self.watches.forget_all(queue);
        self.cache.doubt_all();
    }

    fn keep(&mut self, path: &[u8], loaded: Loaded, seen: Seen) -> Found {
        if let (Some(keep), Found::Entity(entity)) = (loaded.keep, &loaded.found) {
            self.cache.keep(path, keep, Arc::clone(entity), seen);
        }
        loaded.found
    }

    /// Looks up what is not at hand.
    fn load(&mut self, path: &[u8], seen: Seen) -> Found {
        let patience = if self.loader.is_some() { Patience::None } else { Patience::Blocks };
        match load(&self.opener, path, seen.unix_s, patience) {
            Some(loaded) => self.keep(path, loaded, seen),
            None => self.load_later(path, seen),
        }
    }

    fn load_later(&mut self, path: &[u8], seen: Seen) -> Found {
        self.joined = self.loader.as_mut().and_then(|loader| loader.ask(path, seen.unix_s));
        if self.joined.is_some() { Found::Later } else { Found::Busy }
    }
}

/// What stat(2) shows of a place.
fn look(opener: &Opener, place: &CStr) -> Option<Identity> {
    statat(opener.root(), place, AtFlags::empty()).ok().map(|stat| Identity::of(&stat))
}

impl Content for Root {
    fn find(&mut self, path: &[u8], seen: Seen, _: &Counters) -> Found {
        if let Some(found) = self.offered.take() {
            return found;
        }
        let opener = &self.opener;
        let (loads, mut is_elsewhere) = (self.loader.is_some(), false);
        let kept = self.cache.find(path, seen, |place, is_remote| {
            is_elsewhere = is_remote && loads;
            if is_elsewhere { None } else { look(opener, place) }
        });
        match kept {
            Some(entity) => return Found::Entity(entity),
            // What the kernel has in memory of it is not asked: that would answer for a server that
            // changed it since.
            None if is_elsewhere => return self.load_later(path, seen),
            None => {}
        }
        match self.load(path, seen) {
            Found::Exhausted if self.let_go() => self.load(path, seen),
            found => found,
        }
    }

    fn let_go(&mut self) -> bool {
        self.cache.drop_files()
    }
}

#[cfg(test)]
mod tests;
