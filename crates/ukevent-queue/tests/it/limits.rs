//! Limits: of registrations, of descriptors; and that nothing is left behind, by an error or at the
//! end. The cases that count descriptors, or take them away, are alone in their process.

use crate::bench::{
    A, B, BackendKind, Bench, C, D, Door, PATIENCE, next, now, now_sorted, patient, silent, tokens,
    wait,
};
use crate::subject::Queue;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd},
    process::Command,
    sync::Arc,
    time::Duration,
};
use testkit::{Child, TempTree, assert_no_leak, fd_count};
use ukevent_queue::{
    BuildError, Change, Changes, Clock, Fd, Inode, Merge, Mode, Netlink, Process, RegisterError,
    Signal, Socket, Source, Timer, Token, User, Wait, WaitError,
};

const EMFILE: i32 = 24;

cases! {
    everywhere: [
        a_full_queue_refuses_and_takes_again,
        a_full_queue_refuses_every_kind_of_source,
        a_full_queue_can_do_all_else,
        what_the_queue_needs_for_itself_is_no_registration,
    ],
    kernels: [
        what_a_full_queue_refuses_is_closed,
    ],
    alone: [
        without_descriptors_no_queue_is_built_and_none_is_left,
        without_descriptors_a_refused_registration_leaves_nothing,
        without_descriptors_what_needs_none_goes_on,
        without_descriptors_a_wait_on_another_clock_says_so_and_loses_nothing,
        a_queue_that_is_dropped_unused_leaves_no_descriptor,
        a_queue_that_is_dropped_in_the_middle_of_a_batch_leaves_no_descriptor,
        registrations_that_come_and_go_leave_no_descriptor,
        one_shots_leave_no_descriptor,
        a_hundred_queues_leave_no_descriptor,
        more_registrations_than_descriptors_may_be_open,
    ],
}

/// Those that watch the queue as a descriptor, which a shared one is not.
mod watched {
    cases_of_one_thread! {
        alone: [
            a_registration_that_cannot_be_shown_leaves_nothing,
            a_queue_that_is_dropped_with_all_it_has_leaves_no_descriptor,
            without_descriptors_a_queue_has_none_of_its_own,
        ],
    }

    use super::{
        a_queue_that_is_dropped_with_all_it_has_leaves_no_descriptor,
        a_registration_that_cannot_be_shown_leaves_nothing,
        without_descriptors_a_queue_has_none_of_its_own,
    };
}

fn a_full_queue_refuses_and_takes_again(bench: &Bench) {
    let mut queue = bench.builder().limit(3).build().unwrap();
    let door = bench.door();
    let keys = [A, B, C].map(|token| queue.register(door.source(), token, Mode::Level).unwrap());
    let error = queue.register(door.source(), D, Mode::Level).unwrap_err();
    assert!(matches!(error, RegisterError::Full { limit: 3 }), "{error:?}");
    assert!(error.to_string().contains("limit of 3"), "{error}");
    queue.remove(keys[1]).unwrap();
    queue.register(door.source(), D, Mode::Level).unwrap();
    door.knock();
    assert_eq!(now_sorted(&mut queue), [A, C, D]);
}

fn a_full_queue_refuses_every_kind_of_source(bench: &Bench) {
    let mut queue = bench.builder().limit(1).build().unwrap();
    queue.register(User::each(2), A, Mode::Level).unwrap();
    let tree = TempTree::new();
    let mut sources: Vec<Source> = vec![
        bench.door().source().into(),
        Timer::after(Duration::ZERO).into(),
        User::merged(Merge::Last).into(),
    ];
    if bench.kind != BackendKind::Sim {
        sources.push(Inode::path(tree.path()).into());
        sources.push(Process::pid(std::process::id() as i32).into());
        sources.push(Netlink::new().links().into());
    }
    for source in sources {
        let name = format!("{source:?}");
        let error = queue.register(source, B, Mode::Level).unwrap_err();
        assert!(matches!(error, RegisterError::Full { limit: 1 }), "{name}: {error:?}");
    }
    assert_eq!(queue.counters().registered, 1);
    silent(&mut queue);
}

fn a_full_queue_can_do_all_else(bench: &Bench) {
    let mut queue = bench.builder().limit(2).build().unwrap();
    let door = bench.door();
    queue.register(door.source(), A, Mode::Level).unwrap();
    let every = Timer::every(Duration::from_millis(1)).on(Clock::Wall);
    queue.register(every, B, Mode::Level).unwrap();
    for clock in [Clock::Monotonic, Clock::Boot, Clock::Wall] {
        let deadline = queue.time(clock) + Duration::from_millis(20);
        let waited = wait(&mut queue, Wait::until(clock, deadline));
        assert_eq!(waited, Ok(1), "{clock:?}");
        assert_eq!(queue.next_event().unwrap().token, B);
    }
    assert_eq!(queue.counters().registered, 2);
    assert!(queue.register(door.source(), C, Mode::Level).is_err());
}

fn what_the_queue_needs_for_itself_is_no_registration(bench: &Bench) {
    let tree = TempTree::new();
    let mut one = bench.builder().limit(1).build().unwrap();
    one.register(Timer::after(Duration::from_millis(1)).on(Clock::Boot), A, Mode::Level).unwrap();
    assert_eq!(next(&mut one).token, A);
    assert_eq!(one.counters().registered, 1);
    if bench.kind == BackendKind::Sim {
        return;
    }
    let mut one = bench.builder().limit(1).build().unwrap();
    one.register(Inode::path(tree.path()).on(Changes::CREATED), B, Mode::Level).unwrap();
    tree.file("note", "");
    assert_eq!(next(&mut one).token, B);
    assert_eq!(one.counters().registered, 1);
}

fn what_a_full_queue_refuses_is_closed(bench: &Bench) {
    let mut queue = bench.builder().limit(1).build().unwrap();
    queue.register(User::each(2), A, Mode::Level).unwrap();
    let (reader, mut writer) = testkit::pipe_pair();
    assert!(queue.register(Fd::new(reader), B, Mode::Level).is_err());
    let error = std::io::Write::write_all(&mut writer, b"!").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

/// The kernel asks about no more at a time than the process may have descriptors, and counts one that is
/// registered often as many.
fn more_registrations_than_descriptors_may_be_open(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    for _ in 0..300 {
        queue.register(door.source(), A, Mode::Level).unwrap();
    }
    let former = getrlimit(Resource::Nofile);
    door.knock();
    assert_eq!(wait(&mut queue, patient().at_least(300)), Ok(300));
    // A limit that is below what is open already hinders nobody, but poll(2) itself.
    let limits: &[u64] = if bench.kind == BackendKind::Poll { &[200, 50] } else { &[200, 0] };
    for &limit in limits {
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..former }).unwrap();
        let waited = wait(&mut queue, Wait::now());
        setrlimit(Resource::Nofile, former).unwrap();
        assert_eq!(waited, Ok(300), "{limit}");
    }
}

/// Nothing is left of a registration that was refused late.
fn a_registration_that_cannot_be_shown_leaves_nothing(bench: &Bench) {
    let mut queue = bench.queue();
    let _shown = queue.descriptor().unwrap();
    let timer = Timer::after(Duration::from_millis(1)).on(Clock::Boot);
    // The timer needs a timerfd, once somebody watches the queue.
    let refused = without_descriptors(|| queue.register(timer, A, Mode::OneShot));
    is_emfile(&refused.unwrap_err());
    assert_eq!(queue.counters().registered, 0);
    bench.pass(Duration::from_millis(2));
    silent(&mut queue);
    queue.register(timer, B, Mode::OneShot).unwrap();
    assert_eq!(next(&mut queue).token, B);
}

/// Runs `body` while this process can open no further descriptor.
pub(crate) fn without_descriptors<T>(body: impl FnOnce() -> T) -> T {
    let former = getrlimit(Resource::Nofile);
    // A limit is a number that no descriptor may reach, so the gaps below must be filled.
    let highest = testkit::descriptors().into_keys().max().unwrap_or(2);
    let mut filled = Vec::new();
    loop {
        let file = File::open("/dev/null").unwrap();
        let number = file.as_raw_fd();
        filled.push(file);
        if number > highest {
            break;
        }
    }
    let limit = Rlimit { current: Some(highest as u64 + 2), ..former };
    setrlimit(Resource::Nofile, limit).unwrap();
    assert!(File::open("/dev/null").is_err(), "there are still some");
    let result = body();
    setrlimit(Resource::Nofile, former).unwrap();
    result
}

#[track_caller]
fn is_emfile(error: &RegisterError) {
    match error {
        RegisterError::Kernel(kernel) => {
            assert_eq!(kernel.errno(), EMFILE, "{error}");
            assert!(error.to_string().contains("ulimit -n"), "what to do is missing: {error}");
        }
        _ => panic!("{error:?}"),
    }
}

fn without_descriptors_no_queue_is_built_and_none_is_left(bench: &Bench) {
    let before = fd_count();
    let error = without_descriptors(|| bench.builder().build().unwrap_err());
    let kernel = match &error {
        BuildError::Kernel(error) => error.errno() == EMFILE,
        BuildError::Unavailable { backend, .. } => *backend == bench.kind.name(),
        _ => false,
    };
    assert!(kernel, "{error:?}");
    assert_eq!(fd_count(), before);
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    assert_eq!(next(&mut queue).token, A);
}

fn without_descriptors_a_refused_registration_leaves_nothing(bench: &Bench) {
    let (mut queue, tree) = (bench.queue(), TempTree::new());
    let child = Child::spawn(Command::new("sleep").arg("600"));
    let door = bench.door();
    queue.register(door.source(), A, Mode::Level).unwrap();
    silent(&mut queue);
    let sources: [fn(&TempTree, &Child) -> Source; 5] = [
        |tree, _| Inode::path(tree.path()).into(),
        |tree, _| Inode::tree(tree.path()).into(),
        |_, _| Signal::USR1.into(),
        |_, child| Process::child(child).into(),
        |_, _| Netlink::new().links().into(),
    ];
    for source in sources {
        let before = fd_count();
        let source = || source(&tree, &child);
        let name = format!("{:?}", source());
        let error = without_descriptors(|| queue.register(source(), B, Mode::Level)).unwrap_err();
        is_emfile(&error);
        assert_eq!(queue.counters().registered, 1, "{name}");
        assert_eq!(fd_count(), before, "{name}");
        silent(&mut queue);
        let key = queue.register(source(), B, Mode::Level).unwrap();
        silent(&mut queue);
        queue.remove(key).unwrap();
    }
    door.knock();
    assert_eq!(now(&mut queue), [A]);
}

fn without_descriptors_what_needs_none_goes_on(bench: &Bench) {
    let (mut queue, door, other) = (bench.queue(), bench.door(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    silent(&mut queue);
    without_descriptors(|| {
        queue.register(other.source(), B, Mode::Level).unwrap();
        let user = queue.register(User::each(2), C, Mode::Level).unwrap();
        queue.register(Timer::after(Duration::from_millis(1)), D, Mode::Level).unwrap();
        queue.poster(user).unwrap().post(1).unwrap();
        door.knock();
        other.knock();
        let mut came = tokens(&crate::bench::batch(&mut queue, patient().at_least(4)));
        came.sort_unstable();
        assert_eq!(came, [A, B, C, D]);
        // Who receives can send: a second registration of a descriptor needs none.
        let second = queue.register(door.source(), Token(8), Mode::Level).unwrap();
        let mut came = tokens(&crate::bench::batch(&mut queue, patient().at_least(3)));
        came.sort_unstable();
        assert_eq!(came, [A, B, Token(8)]);
        // A third one may need a duplicate, an edge an epoll instance.
        for mode in [Mode::Level, Mode::Edge] {
            match queue.register(door.source(), Token(9), mode) {
                Ok(key) => drop(queue.remove(key).unwrap()),
                Err(error) => is_emfile(&error),
            }
        }
        assert_eq!(queue.counters().registered, 5);
        drop(queue.remove(second).unwrap());
    });
    door.answer();
    assert_eq!(now(&mut queue), [B]);
    queue.register(door.source(), Token(9), Mode::Edge).unwrap();
    door.knock();
    assert_eq!(now_sorted(&mut queue), [A, B, Token(9)]);
}

fn without_descriptors_a_wait_on_another_clock_says_so_and_loses_nothing(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Edge).unwrap();
    silent(&mut queue);
    let user = queue.register(User::each(4), B, Mode::Level).unwrap();
    // Far enough away that the wait must sleep for it, on a busy machine too.
    let timer = Timer::after(PATIENCE).on(Clock::Boot);
    let timer = queue.register(timer, C, Mode::Level).unwrap();
    without_descriptors(|| {
        door.knock();
        queue.poster(user).unwrap().post(1).unwrap();
        let error = wait(&mut queue, patient().at_least(3)).unwrap_err();
        let WaitError::Kernel(error) = error else { panic!("{error:?}") };
        assert_eq!(error.errno(), EMFILE);
    });
    let soon = Timer::after(Duration::from_millis(1)).on(Clock::Boot);
    queue.modify(timer, Change::new().timer(soon)).unwrap();
    let mut came = tokens(&crate::bench::batch(&mut queue, patient().at_least(3)));
    came.sort_unstable();
    assert_eq!(came, [A, B, C]);
}

fn without_descriptors_a_queue_has_none_of_its_own(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    silent(&mut queue);
    let before = fd_count();
    let error = without_descriptors(|| queue.descriptor()).unwrap_err();
    assert!(error.to_string().contains("descriptor"), "{error}");
    assert_eq!(fd_count(), before);
    door.knock();
    assert_eq!(now(&mut queue), [A]);
    let descriptor = queue.descriptor().unwrap();
    let mut outer = bench.queue();
    outer.register(Fd::new(descriptor), B, Mode::Level).unwrap();
    assert_eq!(next(&mut outer).token, B);
}

/// Registers one of each kind, some of them ready.
fn one_of_each(bench: &Bench, queue: &mut Queue, tree: &TempTree, child: &Child) -> Vec<Door> {
    let doors: Vec<Door> = (0..8).map(|_| bench.door()).collect();
    let modes = [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch];
    for (door, mode) in doors.iter().zip(modes.into_iter().cycle()) {
        queue.register(door.source(), A, mode).unwrap();
        queue.register(door.source(), A, mode).unwrap();
        door.knock();
    }
    let (stream, _) = testkit::tcp_pair();
    queue.register(Socket::new(stream).measured(), A, Mode::Level).unwrap();
    for clock in [Clock::Monotonic, Clock::Boot, Clock::Wall] {
        let timer = Timer::every(Duration::from_millis(1)).on(clock);
        queue.register(timer, A, Mode::Level).unwrap();
    }
    let user = queue.register(User::each(8), A, Mode::Level).unwrap();
    queue.poster(user).unwrap().post(1).unwrap();
    queue.register(Inode::path(tree.path()), A, Mode::Level).unwrap();
    queue.register(Inode::tree(tree.path()), A, Mode::Level).unwrap();
    queue.register(Signal::USR1, A, Mode::Level).unwrap();
    queue.register(Process::child(child), A, Mode::Level).unwrap();
    queue.register(Netlink::new().links().addresses(), A, Mode::Level).unwrap();
    queue.register(Netlink::new().uevents(), A, Mode::Level).unwrap();
    tree.file("deep/note", "text");
    doors
}

fn a_queue_that_is_dropped_with_all_it_has_leaves_no_descriptor(bench: &Bench) {
    let tree = TempTree::new();
    let child = Child::spawn(Command::new("sleep").arg("600"));
    assert_no_leak(|| {
        for waits in 0..3 {
            let mut queue = bench.queue();
            let doors = one_of_each(bench, &mut queue, &tree, &child);
            for _ in 0..waits {
                assert!(wait(&mut queue, patient().at_least(5)).unwrap() >= 5);
            }
            drop(queue.descriptor().unwrap());
            drop(queue);
            drop(doors);
        }
    });
}

fn a_queue_that_is_dropped_unused_leaves_no_descriptor(bench: &Bench) {
    assert_no_leak(|| drop(bench.queue()));
    assert_no_leak(|| {
        let (mut queue, door) = (bench.queue(), bench.door());
        queue.register(door.source(), A, Mode::Level).unwrap();
        queue.register(door.source(), A, Mode::Edge).unwrap();
    });
}

fn a_queue_that_is_dropped_in_the_middle_of_a_batch_leaves_no_descriptor(bench: &Bench) {
    let (tree, child) = (TempTree::new(), Child::spawn(Command::new("sleep").arg("600")));
    assert_no_leak(|| {
        let mut queue = bench.queue();
        let _doors = one_of_each(bench, &mut queue, &tree, &child);
        assert!(wait(&mut queue, patient().at_least(5)).unwrap() >= 5);
        assert!(queue.next_event().is_some());
        assert!(queue.next_event().is_some());
    });
}

fn registrations_that_come_and_go_leave_no_descriptor(bench: &Bench) {
    let mut queue = bench.queue();
    let (left, _right) = testkit::unix_pair();
    let left = Arc::new(left);
    // What the queue makes for itself at first need, it keeps.
    let first = queue.register(Socket::new(left.clone()), A, Mode::Edge).unwrap();
    silent(&mut queue);
    assert_no_leak(|| {
        let modes = [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch];
        for round in 0..400 {
            let key = queue.register(Socket::new(left.clone()), A, modes[round % 4]).unwrap();
            let own = Fd::new(left.as_fd().try_clone_to_owned().unwrap());
            let own = queue.register(own, A, modes[round % 4]).unwrap();
            if round % 3 == 0 {
                silent(&mut queue);
            }
            if round % 5 == 0 {
                queue.disable(key).unwrap();
                queue.enable(key).unwrap();
            }
            queue.remove(key).unwrap();
            queue.remove(own).unwrap();
        }
        silent(&mut queue);
    });
    queue.remove(first).unwrap();
}

fn one_shots_leave_no_descriptor(bench: &Bench) {
    let mut queue = bench.queue();
    silent(&mut queue);
    assert_no_leak(|| {
        for _ in 0..50 {
            let (reader, mut writer) = testkit::pipe_pair();
            queue.register(Fd::new(reader), A, Mode::OneShot).unwrap();
            std::io::Write::write_all(&mut writer, b"!").unwrap();
            assert_eq!(next(&mut queue).token, A);
        }
        silent(&mut queue);
    });
}

fn a_hundred_queues_leave_no_descriptor(bench: &Bench) {
    assert_no_leak(|| {
        for _ in 0..100 {
            let (mut queue, door) = (bench.queue(), bench.door());
            queue.register(door.source(), A, Mode::Level).unwrap();
            door.knock();
            assert_eq!(next(&mut queue).token, A);
        }
    });
}
