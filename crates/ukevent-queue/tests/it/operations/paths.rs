//! Files by their path.

use super::{buffer, done, errno, own};
use crate::bench::{A, B, Bench, C, PATIENCE, batch, patient, silent, wait};
use crate::subject::Queue;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use ukevent_buf::Buffer;
use ukevent_queue::sim::Sim;
use ukevent_queue::{
    Builder, Errno, Fd, Key, Mode, Open, Operation, Payload, StartRefusal, Token, Wait,
};

const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const EXDEV: i32 = 18;
const ENOTDIR: i32 = 20;
const ELOOP: i32 = 40;

cases! {
    kernels: [
        a_file_is_opened_and_read,
        a_file_is_made_with_its_permissions,
        a_path_begins_in_a_directory,
        what_leads_out_of_a_directory_is_refused,
        what_is_at_a_path_tells_of_itself,
        what_is_not_there_says_so,
        a_path_that_cannot_be_is_refused,
        many_are_opened_at_once,
        the_directory_takes_what_is_opened_in_it_along,
        a_simulation_has_no_files,
    ],
    alone: [
        what_is_opened_too_late_is_closed,
        a_queue_that_ends_closes_what_was_being_opened,
    ],
}

/// Those that watch the queue as a descriptor, which a shared one is not.
mod watched {
    cases_of_one_thread! {
        kernels: [
            opening_shows_to_who_watches,
        ],
    }

    use super::opening_shows_to_who_watches;
}

fn a_file_is_opened_and_read(bench: &Bench) {
    let mut queue = bench.queue();
    let tree = testkit::TempTree::new();
    let path = tree.file("page", b"content");
    queue.start(Operation::open(&path, Open::read()), A).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(completed.result, Ok(0));
    let file = completed.into_descriptor().expect("a descriptor");
    let flags = rustix::io::fcntl_getfd(&file).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    assert_eq!(queue.counters().registered, 0, "it has ended, and needed no registration");
    let file = own(&mut queue, file);
    queue.start(Operation::read(file, Buffer::with_capacity(64), 0), B).unwrap();
    assert_eq!(done(&mut queue, B).into_buffer().as_deref(), Some(&b"content"[..]));
    // It was opened for reading only.
    queue.start(Operation::write(file, buffer(b"!"), 0), C).unwrap();
    assert!(done(&mut queue, C).result.is_err());
}

fn a_file_is_made_with_its_permissions(bench: &Bench) {
    let mut queue = bench.queue();
    let tree = testkit::TempTree::new();
    let path = tree.path().join("new");
    queue.start(Operation::open(&path, Open::write().create_new(0o600)), A).unwrap();
    let file = done(&mut queue, A).into_descriptor().expect("it is made");
    assert_eq!(File::from(file).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    queue.start(Operation::open(&path, Open::write().create_new(0o600)), A).unwrap();
    assert_eq!(errno(&done(&mut queue, A)), EEXIST);
    fs::write(&path, b"long content").unwrap();
    queue.start(Operation::open(&path, Open::read_write().truncate()), A).unwrap();
    let file = done(&mut queue, A).into_descriptor().expect("it is there");
    let file = own(&mut queue, file);
    queue.start(Operation::write(file, buffer(b"new"), 0), B).unwrap();
    assert_eq!(done(&mut queue, B).result, Ok(3));
    queue.start(Operation::open(&path, Open::write().create(0o600).append()), A).unwrap();
    let file = File::from(done(&mut queue, A).into_descriptor().expect("it is there"));
    std::io::Write::write_all(&mut &file, b"er").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"newer");
}

fn directory(queue: &mut Queue, path: &std::path::Path) -> Key {
    own(queue, File::open(path).unwrap())
}

fn a_path_begins_in_a_directory(bench: &Bench) {
    let mut queue = bench.queue();
    let tree = testkit::TempTree::new();
    tree.folder("below");
    tree.file("below/page", b"12345");
    let root = directory(&mut queue, tree.path());
    queue.start(Operation::open_at(root, "below/page", Open::read()), A).unwrap();
    let mut content = Vec::new();
    let file = done(&mut queue, A).into_descriptor().expect("it is there");
    File::from(file).read_to_end(&mut content).unwrap();
    assert_eq!(content, b"12345");
    queue.start(Operation::metadata_at(root, "below/page"), B).unwrap();
    let Payload::Metadata(metadata) = done(&mut queue, B).payload else { panic!() };
    assert_eq!(metadata.size, 5);
    queue.start(Operation::open_at(root, "below", Open::read().directory()), A).unwrap();
    assert!(done(&mut queue, A).into_descriptor().is_some());
    queue.start(Operation::open_at(root, "below/page", Open::read().directory()), A).unwrap();
    assert_eq!(errno(&done(&mut queue, A)), ENOTDIR);
}

fn what_leads_out_of_a_directory_is_refused(bench: &Bench) {
    let mut queue = bench.queue();
    let tree = testkit::TempTree::new();
    tree.folder("below");
    let page = tree.file("page", b"outside");
    tree.file("below/page", b"inside");
    std::os::unix::fs::symlink("../page", tree.path().join("below/out")).unwrap();
    std::os::unix::fs::symlink("page", tree.path().join("below/in")).unwrap();
    let below = directory(&mut queue, &tree.path().join("below"));
    let cases = [
        ("page".into(), Open::read().beneath(), Ok(())),
        ("in".into(), Open::read().beneath(), Ok(())),
        ("in".into(), Open::read().beneath().no_follow(), Err(ELOOP)),
        ("out".into(), Open::read().beneath(), Err(EXDEV)),
        ("out".into(), Open::read(), Ok(())),
        ("../page".into(), Open::read().beneath(), Err(EXDEV)),
        (page, Open::read().beneath(), Err(EXDEV)),
    ];
    for (path, how, expected) in cases {
        queue.start(Operation::open_at(below, &path, how), A).unwrap();
        let completed = done(&mut queue, A);
        assert_eq!(completed.result, expected.map(|()| 0).map_err(Errno), "{path:?}, {how:?}");
        assert_eq!(completed.into_descriptor().is_some(), expected.is_ok());
    }
}

fn what_is_at_a_path_tells_of_itself(bench: &Bench) {
    let mut queue = bench.queue();
    let tree = testkit::TempTree::new();
    let path = tree.file("page", b"12345");
    let link = tree.path().join("link");
    std::os::unix::fs::symlink("page", &link).unwrap();
    let file = own(&mut queue, File::open(&path).unwrap());
    queue.start(Operation::metadata(file), A).unwrap();
    let Payload::Metadata(by_file) = done(&mut queue, A).payload else { panic!() };
    assert_eq!(by_file.size, 5);
    for path in [&path, &link] {
        queue.start(Operation::metadata_of(path), B).unwrap();
        let completed = done(&mut queue, B);
        assert_eq!(completed.result, Ok(0));
        assert_eq!(completed.payload, Payload::Metadata(by_file.clone()));
    }
}

fn what_is_not_there_says_so(bench: &Bench) {
    let mut queue = bench.queue();
    let tree = testkit::TempTree::new();
    let path = tree.path().join("nothing");
    queue.start(Operation::open(&path, Open::read()), A).unwrap();
    queue.start(Operation::metadata_of(&path), B).unwrap();
    let mut failed = 0;
    let last = super::done_of(&mut queue, B, &mut |token, completed| {
        assert_eq!((token, errno(&completed)), (A, ENOENT));
        failed += 1;
    });
    assert_eq!(errno(&last), ENOENT);
    if failed == 0 {
        assert_eq!(errno(&done(&mut queue, A)), ENOENT);
    }
}

fn a_path_that_cannot_be_is_refused(bench: &Bench) {
    let mut queue = bench.queue();
    let gone = own(&mut queue, File::open("/").unwrap());
    queue.remove(gone).unwrap();
    for path in ["", "a\0b"] {
        for operation in [Operation::open(path, Open::read()), Operation::metadata_of(path)] {
            let refused = queue.start(operation, A).unwrap_err();
            assert!(matches!(refused.reason, StartRefusal::Invalid(_)), "{refused}");
        }
    }
    // What names no registration is not what names one that is gone, nor anything else.
    for key in [gone, Key::from_bits(u64::from(u32::MAX))] {
        let named = [
            Operation::open_at(key, "etc", Open::read()),
            Operation::metadata_at(key, "etc"),
            Operation::send(key, buffer(b"x")),
        ];
        for operation in named {
            let refused = queue.start(operation, A).unwrap_err();
            assert_eq!(refused.reason, StartRefusal::NoSuchKey);
        }
    }
    silent(&mut queue);
}

fn many_are_opened_at_once(bench: &Bench) {
    let mut queue = bench.builder().ring(4, 8).build().unwrap();
    let tree = testkit::TempTree::new();
    for number in 0..100 {
        let path = tree.file(&number.to_string(), vec![0; number as usize]);
        queue.start(Operation::open(&path, Open::read()), Token(number)).unwrap();
    }
    let mut left = 100;
    while left > 0 {
        for event in batch(&mut queue, patient()) {
            let token = event.token.0;
            let file = super::completed(event).into_descriptor().expect("it is there");
            assert_eq!(File::from(file).metadata().unwrap().len(), token);
            left -= 1;
        }
    }
}

fn opening_shows_to_who_watches(bench: &Bench) {
    let (mut outer, mut inner) = (bench.queue(), bench.queue());
    outer.register(Fd::new(inner.descriptor().unwrap()), A, Mode::Level).unwrap();
    inner.start(Operation::open("/", Open::read()), B).unwrap();
    let mut opened = None;
    while opened.is_none() {
        assert!(wait(&mut outer, patient()).unwrap() > 0, "nothing shows");
        while outer.next_event().is_some() {}
        opened = batch(&mut inner, Wait::now()).pop();
    }
    assert!(opened.map(super::completed).and_then(|it| it.into_descriptor()).is_some());
}

fn the_directory_takes_what_is_opened_in_it_along(bench: &Bench) {
    let mut queue = bench.queue();
    let root = directory(&mut queue, "/".as_ref());
    let key = queue.start(Operation::open_at(root, "etc", Open::read()), A).unwrap();
    queue.remove(root).unwrap();
    assert!(queue.cancel(key).is_err());
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 0);
}

fn a_simulation_has_no_files(_: &Bench) {
    let mut queue = Builder::new().sim(&Sim::new(1)).build().unwrap();
    let refused = queue.start(Operation::open("/", Open::read()), A).unwrap_err();
    assert!(matches!(refused.reason, StartRefusal::Invalid(_)), "{refused}");
}

fn what_is_opened_too_late_is_closed(bench: &Bench) {
    let mut queue = bench.queue();
    let open = |queue: &mut Queue, token| {
        queue.start(Operation::open("/etc", Open::read()), token).unwrap()
    };
    open(&mut queue, A);
    drop(done(&mut queue, A));
    let before = testkit::fd_count();
    for round in 0..50 {
        // Not begun, perhaps begun, done.
        let key = open(&mut queue, A);
        match round % 3 {
            0 => {}
            1 => drop(queue.wait(Wait::now())),
            _ => assert_eq!(wait(&mut queue, patient()), Ok(1)),
        }
        queue.remove(key).unwrap();
        let key = open(&mut queue, B);
        queue.wait(Wait::now()).unwrap();
        queue.cancel(key).unwrap();
        queue.cancel(key).unwrap_or(());
        drop(done(&mut queue, B));
        let operation = Operation::open("/etc", Open::read()).within(std::time::Duration::ZERO);
        queue.start(operation, C).unwrap();
        drop(done(&mut queue, C));
    }
    silent(&mut queue);
    testkit::wait_until("all are closed", || {
        queue.wait(Wait::now()).unwrap();
        testkit::fd_count() == before
    });
    assert_eq!(queue.counters().registered, 0);
}

fn a_queue_that_ends_closes_what_was_being_opened(bench: &Bench) {
    let before = testkit::fd_count();
    for _ in 0..10 {
        let mut queue = bench.queue();
        for _ in 0..20 {
            queue.start(Operation::open("/etc", Open::read()).within(PATIENCE), A).unwrap();
        }
        queue.wait(Wait::now()).unwrap();
    }
    testkit::wait_until("all are closed", || testkit::fd_count() == before);
}
