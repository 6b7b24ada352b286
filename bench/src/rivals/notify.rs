//! notify: its recommended watcher, inotify on a thread of its own, which calls the handler there.
//!
//! It watches for everything, and filters nothing: the handler looks for what was created. A directory that appears in
//! a tree is watched from when its report is handled, and not read, so that what is made in it before is lost: it
//! is not among the contenders of a growing tree.

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::Path;
use std::sync::Arc;
use ukevent_bench::tables::inode::{Reach, Told, Watches};
use ukevent_measure::Result;

pub(crate) struct Notify {
    _watcher: RecommendedWatcher,
}

impl Watches for Notify {
    fn new(root: &Path, reach: Reach, told: &Arc<Told>) -> Result<Self> {
        let told = told.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if let Ok(Event { kind: EventKind::Create(_), paths, .. }) = event {
                paths.iter().for_each(|path| told.note(path));
            }
        })?;
        let mode = match reach {
            Reach::Directory => RecursiveMode::NonRecursive,
            Reach::Tree | Reach::Growing => RecursiveMode::Recursive,
        };
        watcher.watch(root, mode)?;
        Ok(Self { _watcher: watcher })
    }

    fn take(&mut self, told: &Told) -> Result<()> {
        told.until_end();
        Ok(())
    }
}
