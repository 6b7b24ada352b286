//! The hub alone, with real files.

use super::{EACCES, Inode, InodeHub};
use crate::event::{Changes, Errno, InodeChange, Kind};
use crate::source::Drained;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Bench {
    hub: InodeHub,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { hub: InodeHub::new().expect("an inotify instance"), folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make_dir(&self, name: &str) {
        fs::create_dir_all(self.at(name)).expect("a folder");
    }

    fn remove_dir(&self, name: &str) {
        fs::remove_dir_all(self.at(name)).expect("it is there");
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).expect("a file");
    }

    fn watch(&mut self, slot: u32, inode: &Inode) {
        self.hub.add(slot, inode).expect("it can be watched");
    }

    fn watch_tree(&mut self, slot: u32, changes: Changes) {
        let tree = Inode::tree(self.folder.path()).on(changes);
        self.watch(slot, &tree);
    }

    /// Everything there is to tell.
    fn kinds(&mut self) -> Vec<(u32, Kind)> {
        let mut kinds = Vec::new();
        while self.hub.drain(64, &mut |slot, kind| kinds.push((slot, kind))).expect("reads")
            == Drained::Budget
        {}
        kinds
    }

    /// Takes in no more than the next report.
    fn step(&mut self) -> Vec<(u32, Kind)> {
        let mut kinds = Vec::new();
        self.hub.drain(1, &mut |slot, kind| kinds.push((slot, kind))).expect("reads");
        kinds
    }

    fn changes(&mut self) -> Vec<(u32, InodeChange)> {
        let change = |(slot, kind)| match kind {
            Kind::Inode(change) => (slot, *change),
            other => panic!("not a change: {other:?}"),
        };
        self.kinds().into_iter().map(change).collect()
    }

    /// What happened to which name, in order.
    fn told(&mut self) -> Vec<(Changes, String)> {
        let told = |(_, change): (u32, InodeChange)| {
            (change.changes, change.name.to_str().expect("plain names").to_owned())
        };
        self.changes().into_iter().map(told).collect()
    }
}

fn named(list: &[(Changes, &str)]) -> Vec<(Changes, String)> {
    list.iter().map(|(changes, name)| (*changes, (*name).to_owned())).collect()
}

const CREATED: Changes = Changes::CREATED;
const REMOVED: Changes = Changes::REMOVED;
const ENTRIES: Changes = CREATED.union(REMOVED).union(Changes::MOVED_FROM).union(Changes::MOVED_TO);

#[test]
fn a_directory_tells_of_its_entries_by_name() {
    let mut bench = Bench::new();
    let folder = Inode::path(bench.folder.path()).on(ENTRIES);
    bench.watch(1, &folder);
    bench.write("a", "");
    bench.make_dir("b");
    fs::remove_file(bench.at("a")).expect("it is there");
    let changes = bench.changes();
    let directories: Vec<bool> = changes.iter().map(|(_, change)| change.is_directory).collect();
    assert_eq!(directories, [false, true, false]);
    let names: Vec<_> = changes.iter().map(|(_, c)| (c.changes, c.name.to_str())).collect();
    assert_eq!(names, [(CREATED, Some("a")), (CREATED, Some("b")), (REMOVED, Some("a"))]);
}

#[test]
fn the_halves_of_a_rename_share_a_cookie() {
    let mut bench = Bench::new();
    bench.write("a", "");
    let folder = Inode::path(bench.folder.path()).on(ENTRIES);
    bench.watch(1, &folder);
    fs::rename(bench.at("a"), bench.at("b")).expect("renames");
    let changes = bench.changes();
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].1.changes, Changes::MOVED_FROM);
    assert_eq!(changes[1].1.changes, Changes::MOVED_TO);
    assert_ne!(changes[0].1.cookie, 0);
    assert_eq!(changes[0].1.cookie, changes[1].1.cookie);
}

#[test]
fn only_what_was_asked_for_is_told() {
    let mut bench = Bench::new();
    let folder = Inode::path(bench.folder.path()).on(Changes::WRITTEN);
    bench.watch(1, &folder);
    bench.write("a", "text");
    fs::remove_file(bench.at("a")).expect("it is there");
    assert_eq!(bench.told(), named(&[(Changes::WRITTEN, "a")]));
}

#[test]
fn a_file_tells_of_itself_without_a_name() {
    let mut bench = Bench::new();
    bench.write("a", "");
    let file = Inode::path(bench.at("a"));
    bench.watch(1, &file);
    bench.write("a", "more");
    fs::rename(bench.at("a"), bench.at("b")).expect("renames");
    fs::remove_file(bench.at("b")).expect("it is there");
    let told = bench.told();
    assert!(told.iter().all(|(_, name)| name.is_empty()), "{told:?}");
    let all = told.iter().fold(Changes::empty(), |all, (changes, _)| all | *changes);
    let expected = Changes::MODIFIED
        | Changes::WRITTEN
        | Changes::ATTRIBUTES
        | Changes::SELF_MOVED
        | Changes::SELF_REMOVED;
    assert_eq!(all, expected);
    assert_eq!(told.last().map(|(changes, _)| *changes), Some(Changes::SELF_REMOVED));
}

#[test]
fn the_end_of_the_inode_is_told_unasked() {
    let mut bench = Bench::new();
    bench.make_dir("a");
    let folder = Inode::path(bench.at("a")).on(CREATED);
    bench.watch(1, &folder);
    fs::remove_dir(bench.at("a")).expect("it is empty");
    assert_eq!(bench.told(), named(&[(Changes::SELF_REMOVED, "")]));
}

#[test]
fn what_does_not_exist_is_refused_and_leaves_nothing() {
    let mut bench = Bench::new();
    let missing = Inode::path(bench.at("missing"));
    let error = bench.hub.add(1, &missing).expect_err("there is no such file");
    assert!(error.to_string().starts_with("inotify_add_watch: No such file"), "{error}");
    assert!(bench.hub.watches.is_empty() && bench.hub.registrations.is_empty());
    bench.write("file", "");
    let file = Inode::tree(bench.at("file"));
    let error = bench.hub.add(1, &file).expect_err("a file is no tree");
    assert!(error.to_string().contains("Not a directory"), "{error}");
    assert!(bench.hub.watches.is_empty() && bench.hub.registrations.is_empty());
}

#[test]
fn a_link_is_followed_unless_told_otherwise() {
    let mut bench = Bench::new();
    bench.write("file", "");
    std::os::unix::fs::symlink(bench.at("file"), bench.at("link")).expect("links");
    let through = Inode::path(bench.at("link")).on(Changes::MODIFIED);
    let itself = Inode::path(bench.at("link")).on(Changes::MODIFIED).no_follow();
    bench.watch(1, &through);
    bench.watch(2, &itself);
    bench.write("file", "more");
    let slots: BTreeSet<u32> = bench.changes().iter().map(|(slot, _)| *slot).collect();
    assert_eq!(slots, BTreeSet::from([1]));
}

#[test]
fn two_registrations_of_an_inode_get_what_each_asked_for() {
    let mut bench = Bench::new();
    let made = Inode::path(bench.folder.path()).on(CREATED);
    let gone = Inode::path(bench.folder.path()).on(REMOVED);
    bench.watch(1, &made);
    bench.watch(2, &gone);
    assert_eq!(bench.hub.watches.len(), 1, "one inode, one watch");
    bench.write("a", "");
    fs::remove_file(bench.at("a")).expect("it is there");
    let told: Vec<_> = bench.changes().into_iter().map(|(s, c)| (s, c.changes)).collect();
    assert_eq!(told, [(1, CREATED), (2, REMOVED)]);
}

#[test]
fn removing_one_leaves_the_other() {
    let mut bench = Bench::new();
    let folder = Inode::path(bench.folder.path()).on(CREATED);
    bench.watch(1, &folder);
    bench.watch(2, &folder);
    bench.hub.remove(1);
    bench.write("a", "");
    let slots: Vec<u32> = bench.changes().iter().map(|(slot, _)| *slot).collect();
    assert_eq!(slots, [2]);
    bench.hub.remove(2);
    assert!(bench.hub.watches.is_empty());
}

#[test]
fn nothing_comes_of_what_was_removed_even_if_the_kernel_had_it() {
    let mut bench = Bench::new();
    let folder = Inode::path(bench.folder.path()).on(CREATED);
    bench.watch(1, &folder);
    bench.write("a", "");
    bench.hub.remove(1);
    bench.watch(2, &folder);
    assert_eq!(bench.kinds(), []);
    bench.write("b", "");
    let told: Vec<_> = bench.changes().into_iter().map(|(slot, c)| (slot, c.name)).collect();
    assert_eq!(told, [(2, PathBuf::from("b"))]);
}

#[test]
fn a_modified_registration_is_told_of_other_changes() {
    let mut bench = Bench::new();
    let folder = Inode::path(bench.folder.path()).on(CREATED);
    bench.watch(1, &folder);
    bench.hub.modify(1, REMOVED).expect("it is there");
    bench.write("a", "");
    fs::remove_file(bench.at("a")).expect("it is there");
    assert_eq!(bench.told(), named(&[(REMOVED, "a")]));
}

#[test]
fn a_link_is_followed_when_modified_as_when_registered() {
    let mut bench = Bench::new();
    bench.write("file", "");
    std::os::unix::fs::symlink(bench.at("file"), bench.at("link")).expect("links");
    let itself = Inode::path(bench.at("link")).on(Changes::ATTRIBUTES).no_follow();
    let through = Inode::path(bench.at("link")).on(Changes::ATTRIBUTES);
    bench.watch(1, &itself);
    bench.watch(2, &through);
    bench.hub.modify(1, Changes::SELF_MOVED).expect("it is there");
    bench.hub.modify(2, Changes::MODIFIED).expect("it is there");
    bench.write("file", "more");
    fs::rename(bench.at("link"), bench.at("moved")).expect("renames");
    let told: Vec<_> = bench.changes().into_iter().map(|(s, c)| (s, c.changes)).collect();
    assert_eq!(told, [(2, Changes::MODIFIED), (1, Changes::SELF_MOVED)]);
}

/// A directory below the root, by a name for each of its parents: deeper than a path may be long.
fn make_deep(root: &Path) {
    let name = "d".repeat(255);
    let mut below = fs::File::open(root).expect("the root");
    for _ in 0..=4096 / 256 {
        rustix::fs::mkdirat(&below, &*name, 0o755.into()).expect("a folder");
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&below, &*name, flags, 0.into());
        below = opened.expect("it was just made").into();
    }
}

#[test]
fn a_modification_that_is_refused_changes_nothing() {
    let mut bench = Bench::new();
    make_deep(bench.folder.path());
    bench.watch_tree(1, CREATED);
    let error = bench.hub.modify(1, REMOVED | Changes::WRITTEN).expect_err("no path is so long");
    assert!(error.to_string().contains("File name too long"), "{error}");
    bench.write("a", "text");
    fs::remove_file(bench.at("a")).expect("it is there");
    assert_eq!(bench.told(), named(&[(CREATED, "a")]));
}

#[test]
fn growth_is_told_with_the_size() {
    let mut bench = Bench::new();
    bench.write("a", "1234");
    let file = Inode::path(bench.at("a")).on(Changes::GREW);
    bench.watch(1, &file);
    let grown = fs::OpenOptions::new().append(true).open(bench.at("a"));
    std::io::Write::write_all(&mut grown.expect("opens"), b"567").expect("writes");
    let changes = bench.changes();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].1.changes, changes[0].1.size), (Changes::GREW, Some(7)));
    let shorter = fs::OpenOptions::new().write(true).open(bench.at("a")).expect("opens");
    shorter.set_len(2).expect("shortens");
    assert_eq!(bench.kinds(), [], "that is no growth");
}

#[test]
fn a_file_that_appears_in_a_folder_grows_from_nothing() {
    let mut bench = Bench::new();
    let folder = Inode::path(bench.folder.path()).on(Changes::GREW);
    bench.watch(1, &folder);
    bench.write("a", "123");
    let changes = bench.changes();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].1.name.to_str(), changes[0].1.size), (Some("a"), Some(3)));
}

#[test]
fn a_tree_does_not_tell_of_what_was_there() {
    let mut bench = Bench::new();
    bench.make_dir("a/b");
    bench.write("a/b/c", "");
    bench.watch_tree(1, ENTRIES);
    assert_eq!(bench.kinds(), []);
    bench.write("a/b/d", "");
    assert_eq!(bench.told(), named(&[(CREATED, "a/b/d")]));
}

/// Becomes nobody in a thread of its own, for whom a mode is a mode.
fn as_nobody<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let nobody = || {
        if rustix::process::geteuid().is_root() {
            let uid = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_uid(uid).expect("root may be anybody");
        }
        body()
    };
    std::thread::scope(|scope| scope.spawn(nobody).join()).expect("does not panic")
}

#[test]
fn a_directory_that_may_be_read_but_not_searched_is_told_as_failed() {
    const READABLE: u32 = 0o444;
    const SEARCHABLE: u32 = 0o755;
    let mut bench = Bench::new();
    let set_mode = |path: PathBuf, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    bench.make_dir("old/below");
    set_mode(bench.at(""), 0o777);
    set_mode(bench.at("old"), READABLE);
    let (failed, late) = as_nobody(|| {
        bench.watch_tree(1, ENTRIES);
        let failed = bench.kinds();
        fs::create_dir(bench.at("new")).expect("a folder");
        set_mode(bench.at("new"), READABLE);
        (failed, bench.kinds())
    });
    set_mode(bench.at("old"), SEARCHABLE);
    assert_eq!(failed, [(1, Kind::Failed(Errno(EACCES)))]);
    assert_eq!(late.len(), 2, "{late:?}");
    assert_eq!(late[1], (1, Kind::Failed(Errno(EACCES))));
    // The rest goes on.
    bench.write("a", "");
    assert_eq!(bench.told(), named(&[(CREATED, "a")]));
}

#[test]
fn a_tree_grows_with_what_is_made_in_it_at_once() {
    let mut bench = Bench::new();
    bench.watch_tree(1, ENTRIES);
    bench.make_dir("a/b/c");
    bench.write("a/b/c/d", "");
    bench.write("a/e", "");
    let told: BTreeSet<String> = bench
        .told()
        .into_iter()
        .map(|(changes, name)| {
            assert_eq!(changes, CREATED);
            name
        })
        .collect();
    let expected = ["a", "a/b", "a/b/c", "a/b/c/d", "a/e"].map(str::to_owned);
    assert_eq!(told, BTreeSet::from(expected));
    bench.write("a/b/c/f", "");
    assert_eq!(bench.told(), named(&[(CREATED, "a/b/c/f")]));
}

#[test]
fn a_directory_that_is_moved_in_is_followed() {
    let mut bench = Bench::new();
    let elsewhere = tempfile::tempdir_in(bench.folder.path().parent().expect("has one"));
    let elsewhere = elsewhere.expect("a temporary folder");
    fs::create_dir(elsewhere.path().join("a")).expect("a folder");
    fs::write(elsewhere.path().join("a/b"), "").expect("a file");
    bench.watch_tree(1, ENTRIES);
    fs::rename(elsewhere.path().join("a"), bench.at("a")).expect("the same file system");
    assert_eq!(bench.told(), named(&[(Changes::MOVED_TO, "a"), (CREATED, "a/b")]));
    bench.write("a/c", "");
    assert_eq!(bench.told(), named(&[(CREATED, "a/c")]));
}

#[test]
fn a_directory_that_is_moved_out_is_left() {
    let mut bench = Bench::new();
    bench.make_dir("a/b");
    let elsewhere = tempfile::tempdir_in(bench.folder.path().parent().expect("has one"));
    let elsewhere = elsewhere.expect("a temporary folder");
    bench.watch_tree(1, ENTRIES);
    fs::rename(bench.at("a"), elsewhere.path().join("a")).expect("the same file system");
    assert_eq!(bench.told(), named(&[(Changes::MOVED_FROM, "a")]));
    fs::write(elsewhere.path().join("a/b/c"), "").expect("a file");
    assert_eq!(bench.kinds(), []);
    assert_eq!(bench.hub.watches.len(), 1, "only the root is left");
}

#[test]
fn a_directory_that_is_moved_within_has_its_new_name() {
    let mut bench = Bench::new();
    bench.make_dir("a/b");
    bench.make_dir("z");
    bench.watch_tree(1, ENTRIES);
    fs::rename(bench.at("a"), bench.at("z/y")).expect("renames");
    let told = named(&[(Changes::MOVED_FROM, "a"), (Changes::MOVED_TO, "z/y")]);
    assert_eq!(bench.told(), told);
    bench.write("z/y/b/c", "");
    assert_eq!(bench.told(), named(&[(CREATED, "z/y/b/c")]));
}

#[test]
fn a_directory_made_again_under_its_name_is_followed() {
    let mut bench = Bench::new();
    bench.watch_tree(1, CREATED);
    for _ in 0..3 {
        bench.make_dir("a");
        fs::remove_dir(bench.at("a")).expect("it is empty");
    }
    bench.make_dir("a");
    bench.kinds();
    bench.write("a/b", "");
    assert_eq!(bench.told(), named(&[(CREATED, "a/b")]));
}

#[test]
fn the_removal_of_a_directory_is_told_once() {
    let mut bench = Bench::new();
    bench.make_dir("a/b");
    bench.watch_tree(1, ENTRIES | Changes::SELF_REMOVED);
    fs::remove_dir_all(bench.at("a")).expect("it is there");
    assert_eq!(bench.told(), named(&[(REMOVED, "a/b"), (REMOVED, "a")]));
    assert_eq!(bench.hub.watches.len(), 1);
}

#[test]
fn the_end_of_a_tree_is_told() {
    let mut bench = Bench::new();
    bench.make_dir("a");
    let tree = Inode::tree(bench.at("a")).on(CREATED);
    bench.watch(1, &tree);
    fs::remove_dir(bench.at("a")).expect("it is empty");
    assert_eq!(bench.told(), named(&[(Changes::SELF_REMOVED, "")]));
    assert!(bench.hub.watches.is_empty());
}

#[test]
fn a_removed_tree_leaves_no_watch() {
    let mut bench = Bench::new();
    bench.make_dir("a/b/c");
    bench.watch_tree(1, ENTRIES);
    assert_eq!(bench.hub.watches.len(), 4);
    bench.hub.remove(1);
    assert!(bench.hub.watches.is_empty());
    bench.write("a/b/c/d", "");
    assert_eq!(bench.kinds(), []);
}

#[test]
fn the_budget_bounds_a_turn_and_loses_nothing() {
    let mut bench = Bench::new();
    let folder = Inode::path(bench.folder.path()).on(CREATED);
    bench.watch(1, &folder);
    for number in 0..100 {
        bench.write(&format!("{number}"), "");
    }
    let mut turns = Vec::new();
    loop {
        let mut told = 0;
        let drained = bench.hub.drain(30, &mut |_, _| told += 1).expect("reads");
        turns.push(told);
        if drained == Drained::Dry {
            break;
        }
    }
    assert_eq!(turns, [30, 30, 30, 10]);
}

#[test]
fn an_overflow_says_look_again_and_the_tree_is_whole() {
    let mut bench = Bench::new();
    bench.make_dir("old");
    bench.watch_tree(1, ENTRIES);
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("proc");
    let limit: usize = limit.trim().parse().expect("a number");
    for number in 0..limit / 2 + 10 {
        bench.write("x", "");
        fs::remove_file(bench.at("x")).expect("it is there");
        if number == limit / 2 {
            bench.make_dir("late/r");
            fs::rename(bench.at("old"), bench.at("older")).expect("renames");
        }
    }
    let kinds = bench.kinds();
    let rescans = kinds.iter().filter(|(_, kind)| *kind == Kind::Rescan).count();
    assert_eq!(rescans, 1);
    bench.write("late/r/a", "");
    bench.write("older/b", "");
    assert_eq!(bench.told(), named(&[(CREATED, "late/r/a"), (CREATED, "older/b")]));
}

/// What is there, as far as was told.
fn add_up(there: &mut BTreeSet<PathBuf>, kinds: Vec<(u32, Kind)>) {
    for (_, kind) in kinds {
        let Kind::Inode(change) = kind else { panic!("not a change: {kind:?}") };
        if change.changes == CREATED {
            assert!(there.insert(change.name.clone()), "told twice: {:?}", change.name);
        } else {
            there.remove(&change.name);
        }
    }
}

/// When the making of `a/b` is read, the names mean another `a`, with another `b` in it: that is no
/// child of the `a` that was reported.
#[test]
fn a_directory_below_one_made_again_is_not_taken_for_the_earlier_one() {
    let mut bench = Bench::new();
    bench.watch_tree(1, CREATED | REMOVED);
    bench.make_dir("a");
    let mut there = BTreeSet::new();
    add_up(&mut there, bench.kinds());
    bench.make_dir("a/b");
    bench.remove_dir("a");
    bench.make_dir("a/b");
    bench.write("a/b/c", "");
    add_up(&mut there, bench.step());
    bench.remove_dir("a");
    add_up(&mut there, bench.kinds());
    assert_eq!(there, BTreeSet::new());
    assert_eq!(bench.hub.watches.len(), 1, "only the root is left");
}

/// The second `a` is found when the first is read of; the third when the second is: what was in the
/// second is told as removed before what is in the third is told as created.
#[test]
fn what_is_in_a_directory_made_again_is_told_after_what_was() {
    let mut bench = Bench::new();
    bench.watch_tree(1, CREATED | REMOVED);
    let mut there = BTreeSet::new();
    bench.make_dir("a");
    bench.remove_dir("a");
    bench.make_dir("a/b");
    add_up(&mut there, bench.step());
    bench.remove_dir("a");
    bench.make_dir("a/b");
    add_up(&mut there, bench.kinds());
    assert_eq!(there, all_below(bench.folder.path()));
    bench.write("a/b/c", "");
    assert_eq!(bench.told(), named(&[(CREATED, "a/b/c")]));
    assert_eq!(bench.hub.watches.len(), 3);
}

/// While somebody has a removed directory open, its watch does not end.
#[test]
fn a_directory_made_again_is_followed_while_the_earlier_one_is_open() {
    let mut bench = Bench::new();
    bench.make_dir("a");
    bench.watch_tree(1, CREATED | REMOVED);
    let held = fs::File::open(bench.at("a")).expect("it is there");
    bench.remove_dir("a");
    bench.make_dir("a");
    bench.write("a/b", "");
    let told = named(&[(REMOVED, "a"), (CREATED, "a"), (CREATED, "a/b")]);
    assert_eq!(bench.told(), told);
    drop(held);
    bench.write("a/c", "");
    assert_eq!(bench.told(), named(&[(CREATED, "a/c")]));
    assert_eq!(bench.hub.watches.len(), 2);
}

/// Nothing that is reported later says where it is: it is not looked for again and again.
#[test]
fn what_grows_in_a_renamed_root_is_not_remembered() {
    let mut bench = Bench::new();
    bench.make_dir("a/b");
    let tree = Inode::tree(bench.at("a")).on(CREATED);
    bench.watch(1, &tree);
    fs::rename(bench.at("a"), bench.at("z")).expect("renames");
    bench.make_dir("a/b");
    bench.make_dir("z/c");
    bench.make_dir("z/b/c");
    bench.write("a/b/d", "");
    assert_eq!(bench.told(), named(&[(CREATED, "c"), (CREATED, "b/c")]));
    assert!(bench.hub.tree(1).is_some_and(|tree| tree.later.is_empty()));
    assert_eq!(bench.hub.watches.len(), 2);
}

#[test]
fn a_directory_made_before_the_one_above_it_is_renamed_is_followed() {
    let mut bench = Bench::new();
    bench.make_dir("a/b");
    bench.watch_tree(1, ENTRIES);
    bench.make_dir("a/b/c");
    fs::rename(bench.at("a"), bench.at("z")).expect("renames");
    bench.write("z/b/c/d", "");
    let told = named(&[
        (CREATED, "a/b/c"),
        (Changes::MOVED_FROM, "a"),
        (Changes::MOVED_TO, "z"),
        (CREATED, "z/b/c/d"),
    ]);
    assert_eq!(bench.told(), told);
    bench.write("z/b/c/e", "");
    assert_eq!(bench.told(), named(&[(CREATED, "z/b/c/e")]));
}

/// A thread makes and removes directories and files at random while the tree is read: what was told
/// adds up to what is there, and nothing is told twice.
#[test]
fn a_growing_tree_misses_nothing() {
    let mut bench = Bench::new();
    bench.watch_tree(1, CREATED | REMOVED);
    let root = bench.folder.path().to_owned();
    let maker = std::thread::spawn(move || storm(&root));
    let mut there = BTreeSet::new();
    let mut finished = false;
    loop {
        add_up(&mut there, bench.kinds());
        if finished {
            break;
        }
        finished = maker.is_finished();
    }
    maker.join().expect("does not panic");
    let found = all_below(bench.folder.path());
    let wrong: Vec<_> = there.symmetric_difference(&found).take(10).collect();
    assert!(wrong.is_empty(), "told and there differ in {wrong:?} and perhaps more");
    assert!(there.len() > 1000, "the storm left something to compare");
}

/// The same in one thread, a few changes and a few reports at a time: what fails, fails each time.
#[test]
fn a_tree_that_is_read_late_misses_nothing() {
    for seed in 1..=40 {
        let mut bench = Bench::new();
        bench.watch_tree(1, CREATED | REMOVED);
        let mut random = Random(0x2545_f491_4f6c_dd1d_u64.wrapping_mul(seed));
        let mut there = BTreeSet::new();
        for step in 0..100 {
            for _ in 0..random.below(8) {
                random.change(bench.folder.path(), 2, step);
            }
            for _ in 0..random.below(8) {
                add_up(&mut there, bench.step());
            }
        }
        add_up(&mut there, bench.kinds());
        let found = all_below(bench.folder.path());
        let wrong: Vec<_> = there.symmetric_difference(&found).collect();
        assert!(wrong.is_empty(), "told and there differ in {wrong:?}, seed {seed}");
        let folders = found.iter().filter(|name| bench.at("").join(name).is_dir()).count();
        assert_eq!(bench.hub.watches.len(), 1 + folders, "seed {seed}");
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Makes or removes something, three folders deep, `wide` of them in each.
    fn change(&mut self, root: &Path, wide: u64, step: u32) {
        let folder =
            root.join(format!("{}/{}/{}", self.below(wide), self.below(wide), self.below(wide)));
        match self.below(8) {
            0 => _ = fs::remove_dir_all(folder.parent().expect("has one")),
            1 | 2 => _ = fs::create_dir_all(&folder),
            _ => {
                _ = fs::create_dir_all(&folder);
                _ = fs::write(folder.join(format!("{step}")), "");
            }
        }
    }
}

fn storm(root: &Path) {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for step in 0..2500 {
        random.change(root, 6, step);
    }
    for number in 0..1000 {
        _ = fs::write(root.join(format!("last{number}")), "");
    }
}

fn all_below(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut rest = vec![root.to_owned()];
    while let Some(folder) = rest.pop() {
        for entry in fs::read_dir(&folder).expect("nobody removes it").flatten() {
            found.insert(entry.path().strip_prefix(root).expect("below").to_owned());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                rest.push(entry.path());
            }
        }
    }
    found
}
