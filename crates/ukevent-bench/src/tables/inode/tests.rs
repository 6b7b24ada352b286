//! The harness sees what is lost, doubled or invented, and its own contenders do none of that.

use super::{END, Reach, Setup, Told, Watches, round};
use crate::contenders::bare_inotify::BareInotify;
use crate::contenders::ukevent::{Epoll, IoUring, Poll};
use crate::contenders::ukevent_inode::UkeventInode;
use std::path::Path;
use std::sync::Arc;
use ukevent_measure::Result;
use ukevent_measure::cores::Cores;

fn setup(reach: Reach, files: u64) -> Setup {
    let cores = Cores::find().unwrap();
    let core = cores.first();
    Setup { reach, files, core, maker_core: cores.second().unwrap_or(core) }
}

/// Bare inotify that does one thing wrong, with the file of this number.
struct Wrong<const WHAT: char>(BareInotify, Arc<Told>);

impl<const WHAT: char> Watches for Wrong<WHAT> {
    fn new(root: &Path, reach: Reach, _told: &Arc<Told>) -> Result<Self> {
        // A handler between, which knows all names.
        let between = Arc::new(Told::new(1_000));
        Ok(Self(BareInotify::new(root, reach, &between)?, between))
    }

    fn take(&mut self, told: &Told) -> Result<()> {
        self.0.take(&self.1)?;
        for (number, times) in self.1.times.iter().enumerate() {
            if times.swap(0, std::sync::atomic::Ordering::Relaxed) == 0 {
                continue;
            }
            let name = number.to_string();
            match (WHAT, number) {
                ('l', 3) => {}
                ('d', 3) => [told.note(Path::new(&name)), told.note(Path::new(&name))][0],
                ('i', 3) => [told.note(Path::new(&name)), told.note(Path::new("nobody's"))][0],
                _ => told.note(Path::new(&name)),
            }
        }
        if self.1.has_ended() {
            told.note(Path::new(END));
        }
        Ok(())
    }
}

#[test]
fn a_file_that_is_lost_doubled_or_invented_is_seen() {
    let of = |found: Result<Vec<_>>| found.map(drop).map_err(|error| error.to_string());
    let directory = setup(Reach::Directory, 10);
    assert_eq!(of(round::<Wrong<'r'>>(&directory)), Ok(()));
    assert_eq!(of(round::<Wrong<'l'>>(&directory)).unwrap_err(), "file 3 was missed");
    let doubled = of(round::<Wrong<'d'>>(&directory)).unwrap_err();
    assert_eq!(doubled, "file 3 was told of 2 times");
    let invented = of(round::<Wrong<'i'>>(&directory)).unwrap_err();
    assert_eq!(invented, "an entry was told of that nobody made");
}

#[test]
fn of_a_tree_that_was_not_told_whole_what_was_told_counts() {
    let samples = round::<Wrong<'l'>>(&setup(Reach::Tree, 200)).unwrap();
    assert!(samples.iter().all(|sample| !sample.is_whole()));
    let samples = round::<Wrong<'r'>>(&setup(Reach::Tree, 200)).unwrap();
    assert!(samples.iter().all(|sample| sample.is_whole()));
}

#[test]
fn our_contenders_miss_nothing() {
    fn check<W: Watches>() {
        for (reach, files) in
            [(Reach::Directory, 20), (Reach::Tree, 1_000), (Reach::Growing, 5_000)]
        {
            let samples = round::<W>(&setup(reach, files)).unwrap();
            assert!(!samples.is_empty());
            assert!(samples.iter().all(|sample| sample.is_whole()), "{samples:?}");
        }
    }
    check::<BareInotify>();
    check::<UkeventInode<Epoll>>();
    check::<UkeventInode<Poll>>();
    if ukevent_queue::Builder::new().backend(ukevent_queue::BackendKind::IoUring).build().is_ok() {
        check::<UkeventInode<IoUring>>();
    }
}
