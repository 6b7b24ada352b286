//! Files, directories and trees, through the queue.

use crate::bench::{
    A, B, Bench, batch, next, now, once_asleep, patient, silent, tokens, wait, while_busy,
};
use crate::subject::Queue;
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use testkit::TempTree;
use ukevent_queue::{Change, Changes, Event, Inode, InodeChange, Kind, Mode, RegisterError, Wait};

cases! {
    kernels: [
        a_file_that_appears_is_told_by_name,
        a_file_that_goes_is_told_by_name,
        a_renamed_file_is_told_twice_with_one_cookie,
        a_written_file_is_told,
        a_file_that_grew_is_told_with_its_size,
        a_file_can_be_watched_by_itself,
        a_watched_inode_that_goes_is_told_unasked,
        what_is_not_asked_for_is_not_told,
        a_tree_tells_of_its_growth_by_path,
        a_tree_misses_nothing_of_what_grows_while_it_looks,
        changes_are_told_in_order,
        an_overflow_says_look_again_and_the_watch_goes_on,
        several_registrations_of_one_directory_are_each_told,
        another_choice_of_changes_is_told_from_now_on,
        a_path_that_is_not_there_is_an_error_and_leaves_nothing,
        a_removed_watch_tells_nothing_of_what_it_had_kept,
        a_removed_watch_leaves_the_others,
        changes_while_disabled_are_kept,
        changes_by_one_shot_and_dispatch_come_one_at_a_time,
        changes_count_towards_at_least_and_their_descriptor_does_not,
        a_storm_of_changes_does_not_starve_the_others,
    ],
}

/// What changed.
#[track_caller]
fn change(event: &Event) -> &InodeChange {
    match &event.kind {
        Kind::Inode(change) => change,
        _ => panic!("not of an inode: {event:?}"),
    }
}

/// Change and name of events.
fn told(events: &[Event]) -> Vec<(Changes, &Path)> {
    events.iter().map(change).map(|change| (change.changes, &*change.name)).collect()
}

/// A queue that watches a new folder as [`A`].
fn watched(bench: &Bench, changes: Changes) -> (Queue, TempTree) {
    let (mut queue, tree) = (bench.queue(), TempTree::new());
    queue.register(Inode::path(tree.path()).on(changes), A, Mode::Level).unwrap();
    (queue, tree)
}

fn a_file_that_appears_is_told_by_name(bench: &Bench) {
    let (mut queue, tree) = watched(bench, Changes::CREATED);
    silent(&mut queue);
    tree.file("note", "");
    let event = next(&mut queue);
    assert_eq!(event.token, A);
    assert_eq!(told(&[event]), [(Changes::CREATED, Path::new("note"))]);
    tree.folder("deep");
    let event = next(&mut queue);
    assert!(change(&event).is_directory && change(&event).name == Path::new("deep"), "{event:?}");
    silent(&mut queue);
}

fn a_file_that_goes_is_told_by_name(bench: &Bench) {
    let (mut queue, tree) = watched(bench, Changes::REMOVED);
    let path = tree.file("note", "");
    fs::remove_file(path).unwrap();
    assert_eq!(told(&[next(&mut queue)]), [(Changes::REMOVED, Path::new("note"))]);
    silent(&mut queue);
}

fn a_renamed_file_is_told_twice_with_one_cookie(bench: &Bench) {
    let (mut queue, tree) = watched(bench, Changes::MOVED_FROM | Changes::MOVED_TO);
    let path = tree.file("old", "");
    fs::rename(&path, tree.path().join("new")).unwrap();
    let events = batch(&mut queue, patient().at_least(2));
    let expected = [(Changes::MOVED_FROM, Path::new("old")), (Changes::MOVED_TO, Path::new("new"))];
    assert_eq!(told(&events), expected);
    let cookie = change(&events[0]).cookie;
    assert!(cookie != 0 && change(&events[1]).cookie == cookie, "{events:?}");
}

fn a_written_file_is_told(bench: &Bench) {
    let (mut queue, tree) = watched(bench, Changes::MODIFIED | Changes::WRITTEN);
    let mut file = fs::File::create(tree.path().join("note")).unwrap();
    silent(&mut queue);
    file.write_all(b"text").unwrap();
    assert_eq!(told(&[next(&mut queue)]), [(Changes::MODIFIED, Path::new("note"))]);
    drop(file);
    assert_eq!(told(&[next(&mut queue)]), [(Changes::WRITTEN, Path::new("note"))]);
}

fn a_file_that_grew_is_told_with_its_size(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.file("log", "1234");
    let mut queue = bench.queue();
    let source = Inode::path(&path).on(Changes::MODIFIED | Changes::GREW);
    queue.register(source, A, Mode::Level).unwrap();
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    file.write_all(b"5678").unwrap();
    let event = next(&mut queue);
    assert_eq!(change(&event).size, Some(8));
    assert!(change(&event).changes.contains(Changes::GREW), "{event:?}");
    file.set_len(2).unwrap();
    let event = next(&mut queue);
    assert!(!change(&event).changes.contains(Changes::GREW), "{event:?}");
}

fn a_file_can_be_watched_by_itself(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.file("note", "");
    let mut queue = bench.queue();
    queue.register(Inode::path(&path).on(Changes::WRITTEN), A, Mode::Level).unwrap();
    tree.file("other", "text");
    silent(&mut queue);
    fs::write(&path, "text").unwrap();
    assert_eq!(told(&[next(&mut queue)]), [(Changes::WRITTEN, Path::new(""))]);
}

fn a_watched_inode_that_goes_is_told_unasked(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.file("note", "");
    let mut queue = bench.queue();
    let key = queue.register(Inode::path(&path).on(Changes::WRITTEN), A, Mode::Level).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(told(&[next(&mut queue)]), [(Changes::SELF_REMOVED, Path::new(""))]);
    fs::write(&path, "another inode of that name").unwrap();
    silent(&mut queue);
    queue.remove(key).unwrap();
}

fn what_is_not_asked_for_is_not_told(bench: &Bench) {
    let (mut queue, tree) = watched(bench, Changes::REMOVED);
    let path = tree.file("note", "text");
    fs::rename(&path, tree.path().join("other")).unwrap();
    fs::read(tree.path().join("other")).unwrap();
    silent(&mut queue);
}

fn a_tree_tells_of_its_growth_by_path(bench: &Bench) {
    let (mut queue, tree) = (bench.queue(), TempTree::new());
    tree.folder("was/there");
    queue.register(Inode::tree(tree.path()).on(Changes::CREATED), A, Mode::Level).unwrap();
    tree.file("was/there/a", "");
    assert_eq!(told(&[next(&mut queue)]), [(Changes::CREATED, Path::new("was/there/a"))]);
    tree.folder("new");
    assert_eq!(told(&[next(&mut queue)]), [(Changes::CREATED, Path::new("new"))]);
    tree.file("new/b", "");
    assert_eq!(told(&[next(&mut queue)]), [(Changes::CREATED, Path::new("new/b"))]);
    silent(&mut queue);
}

fn a_tree_misses_nothing_of_what_grows_while_it_looks(bench: &Bench) {
    let (mut queue, tree) = (bench.queue(), TempTree::new());
    queue.register(Inode::tree(tree.path()).on(Changes::CREATED), A, Mode::Level).unwrap();
    let mut missing = BTreeSet::new();
    for top in 0..10 {
        for deep in 0..10 {
            let folder = PathBuf::from(format!("{top}/{deep}"));
            missing.insert(folder.join("leaf"));
            missing.insert(folder);
        }
        missing.insert(PathBuf::from(top.to_string()));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for top in 0..10 {
                for deep in 0..10 {
                    tree.file(&format!("{top}/{deep}/leaf"), "");
                }
            }
        });
        while !missing.is_empty() {
            let events = batch(&mut queue, patient());
            assert!(!events.is_empty(), "not told of: {missing:?}");
            for (_, path) in told(&events) {
                missing.remove(path);
            }
        }
    });
}

fn changes_are_told_in_order(bench: &Bench) {
    let (mut queue, tree) = watched(bench, Changes::CREATED | Changes::REMOVED);
    let mut expected = Vec::new();
    for round in 0..100 {
        let name = format!("note {round}");
        fs::remove_file(tree.file(&name, "")).unwrap();
        expected.push((Changes::CREATED, PathBuf::from(&name)));
        expected.push((Changes::REMOVED, PathBuf::from(&name)));
    }
    let mut came = Vec::new();
    while came.len() < expected.len() {
        let events = batch(&mut queue, patient().at_most(7));
        assert!(!events.is_empty(), "{} of {} came", came.len(), expected.len());
        came.extend(told(&events).into_iter().map(|(what, name)| (what, name.to_owned())));
    }
    assert_eq!(came, expected);
}

fn an_overflow_says_look_again_and_the_watch_goes_on(bench: &Bench) {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > 1 << 18 {
        testkit::skip!("fs.inotify.max_queued_events is {limit}: too many to overflow");
    }
    let (mut queue, tree) = watched(bench, Changes::WRITTEN);
    let (one, two) = (tree.path().join("one"), tree.path().join("two"));
    // In turn, because the kernel merges what repeats.
    for _ in 0..=limit / 2 + 1 {
        fs::write(&one, "").unwrap();
        fs::write(&two, "").unwrap();
    }
    let mut rescans = 0;
    loop {
        let events = batch(&mut queue, Wait::now().at_most(1_000));
        if events.is_empty() {
            break;
        }
        rescans += events.iter().filter(|event| event.kind == Kind::Rescan).count();
    }
    assert!(rescans >= 1, "what was lost was not told");
    assert_eq!(queue.counters().rescans, rescans as u64);
    silent(&mut queue);
    fs::write(&one, "").unwrap();
    assert_eq!(told(&[next(&mut queue)]), [(Changes::WRITTEN, Path::new("one"))]);
}

fn several_registrations_of_one_directory_are_each_told(bench: &Bench) {
    let (mut queue, tree) = watched(bench, Changes::CREATED);
    let source = Inode::path(tree.path()).on(Changes::REMOVED);
    queue.register(source, B, Mode::Level).unwrap();
    let path = tree.file("note", "");
    fs::remove_file(path).unwrap();
    let mut events = batch(&mut queue, patient().at_least(2));
    events.sort_by_key(|event| event.token);
    assert_eq!(tokens(&events), [A, B]);
    let note = Path::new("note");
    assert_eq!(told(&events), [(Changes::CREATED, note), (Changes::REMOVED, note)]);
}

fn another_choice_of_changes_is_told_from_now_on(bench: &Bench) {
    let (mut queue, tree) = (bench.queue(), TempTree::new());
    let source = Inode::path(tree.path()).on(Changes::CREATED);
    let key = queue.register(source, A, Mode::Level).unwrap();
    queue.modify(key, Change::new().changes(Changes::REMOVED).token(B)).unwrap();
    let path = tree.file("note", "");
    silent(&mut queue);
    fs::remove_file(path).unwrap();
    let event = next(&mut queue);
    assert_eq!(event.token, B);
    assert_eq!(told(&[event]), [(Changes::REMOVED, Path::new("note"))]);
}

fn a_path_that_is_not_there_is_an_error_and_leaves_nothing(bench: &Bench) {
    let (mut queue, tree) = (bench.queue(), TempTree::new());
    for source in [Inode::path(tree.path().join("no")), Inode::tree(tree.path().join("no"))] {
        let error = queue.register(source, A, Mode::Level).unwrap_err();
        assert!(matches!(error, RegisterError::Kernel(_)), "{error:?}");
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::NotFound);
    }
    assert_eq!(queue.counters().registered, 0);
    silent(&mut queue);
}

fn a_removed_watch_tells_nothing_of_what_it_had_kept(bench: &Bench) {
    let (mut queue, tree) = (bench.queue(), TempTree::new());
    let source = Inode::path(tree.path()).on(Changes::CREATED);
    let key = queue.register(source.clone(), A, Mode::Level).unwrap();
    for name in ["a", "b", "c"] {
        tree.file(name, "");
    }
    assert_eq!(wait(&mut queue, patient().at_least(3)), Ok(3));
    assert_eq!(queue.next_event().unwrap().key, key);
    tree.file("d", "");
    queue.remove(key).unwrap();
    assert_eq!(queue.next_event(), None);
    silent(&mut queue);
    // The next one may have its place and its watch descriptor.
    queue.register(source, B, Mode::Level).unwrap();
    silent(&mut queue);
    tree.file("e", "");
    let event = next(&mut queue);
    assert_eq!(event.token, B);
    assert_eq!(told(&[event]), [(Changes::CREATED, Path::new("e"))]);
}

fn a_removed_watch_leaves_the_others(bench: &Bench) {
    let (mut queue, tree) = watched(bench, Changes::CREATED);
    let source = Inode::path(tree.path()).on(Changes::CREATED | Changes::REMOVED);
    let key = queue.register(source, B, Mode::Level).unwrap();
    queue.remove(key).unwrap();
    fs::remove_file(tree.file("note", "")).unwrap();
    let event = next(&mut queue);
    assert_eq!(event.token, A);
    assert_eq!(told(&[event]), [(Changes::CREATED, Path::new("note"))]);
    silent(&mut queue);
}

fn changes_while_disabled_are_kept(bench: &Bench) {
    let (mut queue, tree) = (bench.queue(), TempTree::new());
    let source = Inode::path(tree.path()).on(Changes::CREATED);
    let key = queue.register(source, A, Mode::Level).unwrap();
    queue.disable(key).unwrap();
    tree.file("a", "");
    silent(&mut queue);
    tree.file("b", "");
    queue.enable(key).unwrap();
    let events = batch(&mut queue, patient().at_least(2));
    let expected = [(Changes::CREATED, Path::new("a")), (Changes::CREATED, Path::new("b"))];
    assert_eq!(told(&events), expected);
}

fn changes_by_one_shot_and_dispatch_come_one_at_a_time(bench: &Bench) {
    let (mut queue, tree) = (bench.queue(), TempTree::new());
    let source = Inode::path(tree.path()).on(Changes::CREATED);
    queue.register(source.clone(), A, Mode::OneShot).unwrap();
    let dispatch = queue.register(source, B, Mode::Dispatch).unwrap();
    for name in ["a", "b", "c"] {
        tree.file(name, "");
    }
    let mut came = Vec::new();
    while wait(&mut queue, Wait::now()).unwrap() > 0 {
        came.extend(std::iter::from_fn(|| queue.next_event()));
    }
    came.sort_by_key(|event| event.token);
    assert_eq!(tokens(&came), [A, B]);
    for name in ["b", "c"] {
        queue.enable(dispatch).unwrap();
        assert!(wait(&mut queue, patient()).unwrap() >= 1);
        let event = queue.next_event().unwrap();
        assert_eq!(told(&[event]), [(Changes::CREATED, Path::new(name))]);
        assert_eq!(queue.next_event(), None);
        silent(&mut queue);
    }
    assert_eq!(queue.counters().registered, 1);
}

fn changes_count_towards_at_least_and_their_descriptor_does_not(bench: &Bench) {
    let (mut queue, tree) = watched(bench, Changes::CREATED);
    let other = TempTree::new();
    let disabled = queue.register(Inode::path(other.path()), B, Mode::Level).unwrap();
    queue.disable(disabled).unwrap();
    let waiting = || batch(&mut queue, patient().at_least(3));
    let events = once_asleep(waiting, || {
        for name in ["a", "b", "c"] {
            other.file(name, "text");
            tree.file(name, "");
        }
    });
    assert_eq!(tokens(&events), [A, A, A]);
}

fn a_storm_of_changes_does_not_starve_the_others(bench: &Bench) {
    let (mut queue, tree) = watched(bench, Changes::all());
    let door = bench.door();
    queue.register(door.source(), B, Mode::Level).unwrap();
    door.knock();
    let (one, two) = (tree.path().join("one"), tree.path().join("two"));
    let storm = || {
        fs::write(&one, "text").unwrap();
        fs::write(&two, "text").unwrap();
    };
    while_busy(storm, || {
        for at_most in 1..=4 {
            let mut turns = 0;
            for _ in 0..100 {
                let came = tokens(&batch(&mut queue, patient().at_most(at_most)));
                turns += came.iter().filter(|&&token| token == B).count();
            }
            assert!(turns >= 40, "{turns} turns in 100 waits, at most {at_most} a wait");
        }
    });
    let _ = now(&mut queue);
}
