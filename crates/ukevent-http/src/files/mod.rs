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

mod beside;
mod cache;
mod listing;
mod load;
mod loader;
mod media_type;
mod open;
mod watch;

use crate::{
    counters::Counts,
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
use ukevent_queue::Kind;
pub(crate) use watch::Reports;
use watch::Watches;

/// What is served beside the files themselves. Nothing, unless it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Files that hold others in a coding: see [`beside`].
    pub(crate) precompressed: bool,
    /// Lists of directories without an index: see [`listing`].
    pub(crate) listing: bool,
}

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
}

impl Root {
    /// Opens the directory, and nothing else is served.
    #[cfg(test)]
    pub(crate) fn open(path: &Path) -> Result<Self, Errno> {
        Ok(Self::of(Opener::new(path)?))
    }

    /// As [`Root::open`], with more than the files.
    pub(crate) fn open_with(path: &Path, options: Options) -> Result<Self, Errno> {
        Ok(Self::of(Opener::new(path)?.with(options)))
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
        }
    }

    /// From now on threads wait for the disk, and tell when something was found. At most so many paths
    /// wait for their turn.
    pub(crate) fn load_elsewhere(&mut self, most: usize, tell: Tell) {
        self.loader = Some(Loader::new(Arc::clone(&self.opener), most, tell));
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

    /// Whether looks may rely on reports of the queue.
    pub(crate) fn relies_on_reports(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Takes a report of what is watched.
    pub(crate) fn reported(&mut self, reports: &mut impl Reports, index: u32, kind: &Kind) {
        for place in self.watches.reported(reports, index, kind) {
            self.cache.doubt(&place);
        }
    }

    /// Watches what is worth it, and no longer what is not.
    pub(crate) fn tend(&mut self, reports: &mut impl Reports, unix_s: u64) {
        for path in self.cache.take_wanted() {
            let Some(place) = self.cache.place_of(&path).map(CStr::to_owned) else { continue };
            let beside = self.cache.beside(&path);
            let watched = self.watches.watch(reports, &self.opener, place.to_bytes(), beside);
            if watched.is_err() {
                continue;
            }
            // What changed before it was watched is seen now.
            let is_same = beside.is_none_or(|all| all.is_same(|it| look(&self.opener, it)));
            let seen = look(&self.opener, &place).filter(|_| is_same);
            if !self.cache.trust(&path, seen, unix_s) {
                self.cache.doubt(place.to_bytes());
                self.watches.forget(reports, place.to_bytes());
            }
        }
        for place in self.cache.take_unwanted() {
            self.watches.forget(reports, place.to_bytes());
        }
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
        let load = self.loader.as_mut().and_then(|loader| loader.ask(path, seen.unix_s));
        load.map_or(Found::Busy, Found::Later)
    }
}

/// What stat(2) shows of a place.
fn look(opener: &Opener, place: &CStr) -> Option<Identity> {
    statat(opener.root(), place, AtFlags::empty()).ok().map(|stat| Identity::of(&stat))
}

impl Content for Root {
    fn find(&mut self, path: &[u8], seen: Seen, _: &Counts) -> Found {
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

    fn offer(&mut self, found: Option<Found>) {
        self.offered = found;
    }

    fn wants_tending(&self) -> bool {
        self.cache.wants_tending()
    }

    fn let_go(&mut self) -> bool {
        self.cache.drop_files()
    }
}

#[cfg(test)]
mod tests;
