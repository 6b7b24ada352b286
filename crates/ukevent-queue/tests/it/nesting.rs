//! The queue as a descriptor: whatever a wait would return makes it readable, to another queue, to
//! epoll and to poll.

use crate::bench::{A, B, Bench, C, batch, next, now, patient, silent, tokens, wait};
use crate::subject::Queue;
use rustix::{
    event::{self, PollFd, PollFlags, Timespec},
    io::retry_on_intr,
};
use std::{
    collections::HashSet,
    fs::File,
    io::Write,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    thread,
    time::Duration,
};
use ukevent_buf::Buffer;
use ukevent_queue::{
    Change, Clock, Fd, Interest, Merge, Mode, Operation, RegisterError, Socket, Timer, Token, User,
    Wait, sim::Sim,
};

const CLOCKS: [Clock; 3] = [Clock::Monotonic, Clock::Boot, Clock::Wall];
const MODES: [Mode; 4] = [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch];

cases! {
    kernels: [
        a_queue_with_nothing_to_say_comes_to_rest,
        a_ready_descriptor_shows,
        a_descriptor_that_was_ready_before_shows,
        a_ready_level_goes_on_showing,
        a_post_shows,
        a_post_made_before_anybody_watched_shows,
        a_post_of_another_thread_shows,
        a_timer_of_each_clock_shows,
        what_was_let_out_and_not_taken_shows,
        what_was_left_by_at_most_shows,
        what_is_registered_while_watched_shows,
        what_is_enabled_while_watched_shows,
        what_is_modified_while_watched_shows,
        a_regular_file_shows,
        an_eventfd_shows_each_time,
        a_report_of_an_earlier_arming_hides_nothing,
        a_queue_in_a_queue_in_a_queue_shows,
        a_queue_watched_by_an_edge_shows_each_time,
        epoll_sees_it,
        poll_sees_it,
        several_watch_one_queue,
        the_descriptor_is_anybodys_to_close,
        a_queue_that_is_gone_is_no_danger,
        all_that_happens_inside_is_heard_outside,
        a_thread_of_its_own_can_watch,
        the_end_of_an_operation_whose_time_is_over_shows,
    ],
}

#[test]
fn a_simulation_has_no_descriptor() {
    let mut queue = ukevent_queue::Builder::new().sim(&Sim::new(1)).build().unwrap();
    let error = queue.descriptor().unwrap_err();
    assert!(matches!(error, RegisterError::Unsupported { .. }), "{error:?}");
}

/// Two queues, the one watched by the other as [`A`].
fn nested(bench: &Bench) -> (Queue, Queue) {
    let (mut outer, mut inner) = (bench.queue(), bench.queue());
    let source = Fd::new(inner.descriptor().unwrap());
    outer.register(source, A, Mode::Level).unwrap();
    (outer, inner)
}

/// Takes what the inner queue has until the outer hears nothing more of it; returns what came.
#[track_caller]
fn rest(outer: &mut Queue, inner: &mut Queue) -> Vec<Token> {
    let mut came = Vec::new();
    for _ in 0..20 {
        if now(outer).is_empty() {
            silent(outer);
            return came;
        }
        came.extend(now(inner));
    }
    panic!("it is readable for ever, and gave {came:?}");
}

/// Waits until the outer queue says that the inner has something, and takes that; it may say so a
/// few times too often.
#[track_caller]
fn heard(outer: &mut Queue, inner: &mut Queue) -> Vec<Token> {
    for _ in 0..20 {
        assert_eq!(next(outer).token, A);
        let came = now(inner);
        if !came.is_empty() {
            return came;
        }
    }
    panic!("it says again and again that there is something, and there is not");
}

fn a_queue_with_nothing_to_say_comes_to_rest(bench: &Bench) {
    let (mut outer, mut inner) = nested(bench);
    assert!(rest(&mut outer, &mut inner).is_empty());
    let door = bench.door();
    for mode in MODES {
        inner.register(door.source(), B, mode).unwrap();
    }
    inner.register(User::each(8), B, Mode::Level).unwrap();
    for clock in CLOCKS {
        let never = Timer::after(Duration::from_secs(1 << 20)).on(clock);
        inner.register(never, B, Mode::Level).unwrap();
    }
    assert!(rest(&mut outer, &mut inner).is_empty());
    assert_eq!(wait(&mut outer, Wait::within(Duration::from_millis(2))), Ok(0));
}

fn a_ready_descriptor_shows(bench: &Bench) {
    for mode in MODES {
        let (mut outer, mut inner) = nested(bench);
        let door = bench.door();
        inner.register(door.source(), B, mode).unwrap();
        rest(&mut outer, &mut inner);
        door.knock();
        assert_eq!(heard(&mut outer, &mut inner), [B], "{mode:?}");
        door.answer();
        assert!(rest(&mut outer, &mut inner).is_empty(), "{mode:?}");
    }
}

fn a_descriptor_that_was_ready_before_shows(bench: &Bench) {
    for mode in MODES {
        let (mut outer, mut inner, door) = (bench.queue(), bench.queue(), bench.door());
        inner.register(door.source(), B, mode).unwrap();
        silent(&mut inner);
        door.knock();
        let source = Fd::new(inner.descriptor().unwrap());
        outer.register(source, A, Mode::Level).unwrap();
        assert_eq!(heard(&mut outer, &mut inner), [B], "{mode:?}");
    }
}

fn a_ready_level_goes_on_showing(bench: &Bench) {
    let (mut outer, mut inner) = nested(bench);
    let door = bench.door();
    inner.register(door.source(), B, Mode::Level).unwrap();
    door.knock();
    for _ in 0..5 {
        assert_eq!(heard(&mut outer, &mut inner), [B]);
    }
    door.answer();
    assert!(rest(&mut outer, &mut inner).is_empty());
}

fn a_post_shows(bench: &Bench) {
    let (mut outer, mut inner) = nested(bench);
    let user = inner.register(User::each(8), B, Mode::Level).unwrap();
    let poster = inner.poster(user).unwrap();
    for _ in 0..3 {
        rest(&mut outer, &mut inner);
        poster.post(1).unwrap();
        assert_eq!(heard(&mut outer, &mut inner), [B]);
    }
}

fn a_post_made_before_anybody_watched_shows(bench: &Bench) {
    let (mut outer, mut inner) = (bench.queue(), bench.queue());
    let user = inner.register(User::each(8), B, Mode::Level).unwrap();
    silent(&mut inner);
    inner.poster(user).unwrap().post(1).unwrap();
    let source = Fd::new(inner.descriptor().unwrap());
    outer.register(source, A, Mode::Level).unwrap();
    assert_eq!(heard(&mut outer, &mut inner), [B]);
}

fn a_post_of_another_thread_shows(bench: &Bench) {
    let (mut outer, mut inner) = nested(bench);
    let user = inner.register(User::merged(Merge::Sum), B, Mode::Level).unwrap();
    let poster = inner.poster(user).unwrap();
    rest(&mut outer, &mut inner);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..1_000 {
                poster.post(1).unwrap();
            }
        });
        let mut posts = 0;
        while posts < 1_000 {
            assert_eq!(next(&mut outer).token, A);
            let events = batch(&mut inner, Wait::now());
            posts += events.iter().map(|event| crate::bench::posted(event).1).sum::<u64>();
        }
        assert_eq!(posts, 1_000);
    });
    rest(&mut outer, &mut inner);
}

fn a_timer_of_each_clock_shows(bench: &Bench) {
    for clock in CLOCKS {
        let (mut outer, mut inner) = nested(bench);
        let timer = Timer::every(Duration::from_millis(2)).on(clock);
        let key = inner.register(timer, B, Mode::Level).unwrap();
        for _ in 0..3 {
            assert_eq!(heard(&mut outer, &mut inner), [B], "{clock:?}");
        }
        inner.remove(key).unwrap();
        rest(&mut outer, &mut inner);
        assert_eq!(wait(&mut outer, Wait::within(Duration::from_millis(5))), Ok(0), "{clock:?}");
    }
}

fn what_was_let_out_and_not_taken_shows(bench: &Bench) {
    for mode in MODES {
        let (mut outer, mut inner) = nested(bench);
        let door = bench.door();
        inner.register(door.source(), B, mode).unwrap();
        door.knock();
        for _ in 0..3 {
            assert_eq!(wait(&mut inner, patient()), Ok(1));
            assert_eq!(next(&mut outer).token, A, "{mode:?}");
        }
        assert_eq!(now(&mut inner), [B]);
    }
}

fn what_was_left_by_at_most_shows(bench: &Bench) {
    let (mut outer, mut inner) = nested(bench);
    let user = inner.register(User::each(16), B, Mode::Level).unwrap();
    let poster = inner.poster(user).unwrap();
    for data in 0..10 {
        poster.post(data).unwrap();
    }
    for _ in 0..10 {
        assert_eq!(next(&mut outer).token, A);
        assert_eq!(tokens(&batch(&mut inner, Wait::now().at_most(1))), [B]);
    }
    assert!(rest(&mut outer, &mut inner).is_empty());
}

fn what_is_registered_while_watched_shows(bench: &Bench) {
    for mode in MODES {
        let (mut outer, mut inner) = nested(bench);
        rest(&mut outer, &mut inner);
        let door = bench.door();
        door.knock();
        inner.register(door.source(), B, mode).unwrap();
        assert_eq!(heard(&mut outer, &mut inner), [B], "{mode:?}");
        let later = bench.door();
        door.answer();
        rest(&mut outer, &mut inner);
        inner.register(later.source(), Token(9), mode).unwrap();
        later.knock();
        assert_eq!(heard(&mut outer, &mut inner), [Token(9)], "{mode:?}");
    }
}

fn what_is_enabled_while_watched_shows(bench: &Bench) {
    let (mut outer, mut inner) = nested(bench);
    let door = bench.door();
    let fd = inner.register(door.source(), B, Mode::Dispatch).unwrap();
    let user = inner.register(User::each(8), Token(9), Mode::Dispatch).unwrap();
    let poster = inner.poster(user).unwrap();
    door.knock();
    assert_eq!(heard(&mut outer, &mut inner), [B]);
    poster.post(1).unwrap();
    assert_eq!(heard(&mut outer, &mut inner), [Token(9)]);
    poster.post(2).unwrap();
    rest(&mut outer, &mut inner);
    inner.enable(fd).unwrap();
    assert_eq!(heard(&mut outer, &mut inner), [B]);
    rest(&mut outer, &mut inner);
    inner.enable(user).unwrap();
    assert_eq!(heard(&mut outer, &mut inner), [Token(9)]);
}

fn what_is_modified_while_watched_shows(bench: &Bench) {
    let (mut outer, mut inner) = nested(bench);
    let (ours, _theirs) = testkit::unix_pair();
    let fd = inner.register(Socket::new(ours), B, Mode::OneShot).unwrap();
    let never = Timer::after(Duration::from_secs(1 << 20));
    let timer = inner.register(never, Token(9), Mode::OneShot).unwrap();
    rest(&mut outer, &mut inner);
    inner.modify(fd, Change::new().interest(Interest::WRITE)).unwrap();
    assert_eq!(heard(&mut outer, &mut inner), [B]);
    rest(&mut outer, &mut inner);
    let soon = Timer::after(Duration::from_millis(2));
    inner.modify(timer, Change::new().timer(soon)).unwrap();
    assert_eq!(heard(&mut outer, &mut inner), [Token(9)]);
}

fn a_regular_file_shows(bench: &Bench) {
    let (mut outer, mut inner) = nested(bench);
    let tree = testkit::TempTree::new();
    let file = File::open(tree.file("page", "text")).unwrap();
    inner.register(Fd::new(file), B, Mode::Level).unwrap();
    for _ in 0..3 {
        assert_eq!(heard(&mut outer, &mut inner), [B]);
    }
}

fn an_eventfd_shows_each_time(bench: &Bench) {
    let (mut outer, mut inner) = nested(bench);
    let counter = Arc::new(event::eventfd(0, event::EventfdFlags::NONBLOCK).unwrap());
    inner.register(Fd::new(counter.clone()), B, Mode::Level).unwrap();
    for _ in 0..5 {
        rest(&mut outer, &mut inner);
        rustix::io::write(&counter, &1_u64.to_ne_bytes()).unwrap();
        assert_eq!(heard(&mut outer, &mut inner), [B]);
        rustix::io::read(&counter, &mut [0; 8]).unwrap();
    }
}

fn a_report_of_an_earlier_arming_hides_nothing(bench: &Bench) {
    let mut queue = bench.queue();
    let shown = queue.descriptor().unwrap();
    let news = || Arc::new(event::eventfd(0, event::EventfdFlags::NONBLOCK).unwrap());
    let write = |counter: &OwnedFd| rustix::io::write(counter, &1_u64.to_ne_bytes()).unwrap();
    let (first, other) = (news(), news());
    let key = queue.register(Fd::new(first.clone()), A, Mode::Level).unwrap();
    silent(&mut queue);
    write(&first);
    // Takes effect at once, so that the kernel reports the first one too; the program takes it.
    queue.register(Fd::new(other), B, Mode::Level).unwrap();
    rustix::io::read(&*first, &mut [0; 8]).unwrap();
    queue.modify(key, Change::new().token(C)).unwrap();
    silent(&mut queue);
    write(&first);
    assert!(readable(&shown, &PATIENTLY), "{}", bench.kind);
    assert_eq!(next(&mut queue).token, C);
}

fn a_queue_in_a_queue_in_a_queue_shows(bench: &Bench) {
    let (mut middle, mut inner) = nested(bench);
    let mut outer = bench.queue();
    let source = Fd::new(middle.descriptor().unwrap());
    outer.register(source, A, Mode::Level).unwrap();
    let door = bench.door();
    inner.register(door.source(), B, Mode::Level).unwrap();
    for _ in 0..5 {
        // What is inside is asked only if what is outside says so.
        let mut pass_on = || {
            for _ in now(&mut outer) {
                for _ in now(&mut middle) {
                    assert!(now(&mut inner).is_empty(), "nothing is ready");
                }
            }
        };
        (0..20).for_each(|_| pass_on());
        assert!(now(&mut outer).is_empty(), "it is readable for ever");
        door.knock();
        let mut came = Vec::new();
        while came.is_empty() {
            assert_eq!(next(&mut outer).token, A);
            for _ in now(&mut middle) {
                came.extend(now(&mut inner));
            }
        }
        assert_eq!(came, [B]);
        door.answer();
    }
}

fn a_queue_watched_by_an_edge_shows_each_time(bench: &Bench) {
    let (mut outer, mut inner) = (bench.queue(), bench.queue());
    let source = Fd::new(inner.descriptor().unwrap());
    outer.register(source, A, Mode::Edge).unwrap();
    let user = inner.register(User::each(8), B, Mode::Level).unwrap();
    let poster = inner.poster(user).unwrap();
    let door = bench.door();
    inner.register(door.source(), Token(9), Mode::Edge).unwrap();
    // Whoever watches by edge takes all there is, until a wait returns nothing.
    let exhaust = |outer: &mut Queue, inner: &mut Queue| {
        let mut came = Vec::new();
        while !now(outer).is_empty() {
            loop {
                let some = now(inner);
                if some.is_empty() {
                    break;
                }
                came.extend(some);
            }
        }
        came
    };
    exhaust(&mut outer, &mut inner);
    for _ in 0..5 {
        poster.post(1).unwrap();
        assert_eq!(next(&mut outer).token, A);
        assert_eq!(now(&mut inner), [B]);
        silent(&mut inner);
        exhaust(&mut outer, &mut inner);
        door.knock();
        assert_eq!(next(&mut outer).token, A);
        assert_eq!(now(&mut inner), [Token(9)]);
        silent(&mut inner);
        exhaust(&mut outer, &mut inner);
    }
}

/// What a program of another kind does with a descriptor: waits until it is readable.
fn readable(descriptor: impl AsFd, time: &Timespec) -> bool {
    let mut fds = [PollFd::new(&descriptor, PollFlags::IN)];
    retry_on_intr(|| event::poll(&mut fds, Some(time))).unwrap() == 1
}

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const PATIENTLY: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

fn poll_sees_it(bench: &Bench) {
    let mut queue = bench.queue();
    let descriptor = queue.descriptor().unwrap();
    let door = bench.door();
    queue.register(door.source(), B, Mode::Level).unwrap();
    queue.register(Timer::after(Duration::from_millis(2)), A, Mode::OneShot).unwrap();
    let mut came = HashSet::new();
    while !came.contains(&A) {
        assert!(readable(&descriptor, &PATIENTLY));
        came.extend(now(&mut queue));
    }
    while readable(&descriptor, &AT_ONCE) {
        assert!(now(&mut queue).is_empty(), "{came:?}");
    }
    door.knock();
    assert!(readable(&descriptor, &AT_ONCE));
    assert_eq!(now(&mut queue), [B]);
}

fn epoll_sees_it(bench: &Bench) {
    let mut queue = bench.queue();
    let descriptor = queue.descriptor().unwrap();
    let set = event::epoll::create(event::epoll::CreateFlags::CLOEXEC).unwrap();
    let data = event::epoll::EventData::new_u64(7);
    event::epoll::add(&set, &descriptor, data, event::epoll::EventFlags::IN).unwrap();
    let user = queue.register(User::each(8), B, Mode::Level).unwrap();
    let poster = queue.poster(user).unwrap();
    let reports = |time: &Timespec| {
        let mut events = Vec::with_capacity(4);
        let mut wait =
            || event::epoll::wait(&set, rustix::buffer::spare_capacity(&mut events), Some(time));
        // The kernel interrupts whoever first looks at a ring.
        retry_on_intr(&mut wait).unwrap();
        events.len() == 1
    };
    while reports(&AT_ONCE) {
        assert!(now(&mut queue).is_empty());
    }
    poster.post(1).unwrap();
    assert!(reports(&PATIENTLY));
    assert_eq!(now(&mut queue), [B]);
}

fn several_watch_one_queue(bench: &Bench) {
    let (mut one, mut two, mut inner) = (bench.queue(), bench.queue(), bench.queue());
    for outer in [&mut one, &mut two] {
        let source = Fd::new(inner.descriptor().unwrap());
        outer.register(source, A, Mode::Level).unwrap();
    }
    let user = inner.register(User::each(8), B, Mode::Level).unwrap();
    rest(&mut one, &mut inner);
    rest(&mut two, &mut inner);
    inner.poster(user).unwrap().post(1).unwrap();
    assert_eq!(next(&mut one).token, A);
    assert_eq!(next(&mut two).token, A);
    assert_eq!(now(&mut inner), [B]);
}

fn the_descriptor_is_anybodys_to_close(bench: &Bench) {
    let mut queue = bench.queue();
    let door = bench.door();
    queue.register(door.source(), B, Mode::Level).unwrap();
    for _ in 0..3 {
        drop::<OwnedFd>(queue.descriptor().unwrap());
        door.knock();
        assert_eq!(next(&mut queue).token, B);
        door.answer();
    }
    let descriptor = queue.descriptor().unwrap();
    door.knock();
    assert!(readable(&descriptor, &PATIENTLY));
}

fn a_queue_that_is_gone_is_no_danger(bench: &Bench) {
    let (mut outer, mut inner) = nested(bench);
    let (door, other) = (bench.door(), bench.door());
    inner.register(door.source(), B, Mode::Level).unwrap();
    outer.register(other.source(), B, Mode::Edge).unwrap();
    rest(&mut outer, &mut inner);
    drop(inner);
    door.knock();
    other.knock();
    // Whatever the descriptor says now, the others go on.
    let mut came = Vec::new();
    while !came.contains(&B) {
        came.extend(tokens(&batch(&mut outer, patient().at_most(1))));
    }
}

fn all_that_happens_inside_is_heard_outside(bench: &Bench) {
    const BYTES: usize = 5_000;
    let (mut outer, mut inner) = nested(bench);
    let mut writers = Vec::new();
    for token in 0..20_u64 {
        let (ours, theirs) = testkit::unix_pair();
        testkit::nonblocking(&ours);
        let mode = MODES[token as usize % 4];
        let mode = if mode == Mode::OneShot { Mode::Level } else { mode };
        inner.register(Socket::new(ours), token.into(), mode).unwrap();
        writers.push(theirs);
    }
    let seed = testkit::seed();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = testkit::Rng::new(seed);
            for _ in 0..BYTES {
                let mut writer = dice.pick(&writers);
                writer.write_all(b"!").unwrap();
            }
        });
        let (mut read, mut at_most) = (0, 1);
        while read < BYTES {
            let said = batch(&mut outer, patient());
            assert_eq!(tokens(&said), [A], "{read} of {BYTES} bytes were heard of");
            for event in batch(&mut inner, Wait::now().at_most(at_most)) {
                read += std::iter::from_fn(|| {
                    Some(inner.read_owned(event.key, &mut [0; 64])).filter(|&some| some > 0)
                })
                .sum::<usize>();
                // What is enabled already stays so.
                inner.enable(event.key).unwrap();
            }
            at_most = at_most % 7 + 1;
        }
        assert_eq!(read, BYTES);
    });
    // An edge tells that something came; that it was read meanwhile does not undo it.
    let mut left = rest(&mut outer, &mut inner);
    left.retain(|token| MODES[token.0 as usize % 4] != Mode::Edge);
    assert_eq!(left, []);
}

fn the_end_of_an_operation_whose_time_is_over_shows(bench: &Bench) {
    const TIME: Duration = Duration::from_millis(5);
    let (mut outer, mut inner) = nested(bench);
    let (ours, _theirs) = testkit::unix_pair();
    let socket = inner.register(Socket::new(ours).unwatched(), B, Mode::Level).unwrap();
    rest(&mut outer, &mut inner);
    for _ in 0..10 {
        let receive = Operation::receive(socket, Buffer::with_capacity(8)).within(TIME);
        inner.start(receive, B).unwrap();
        // The time is over when this wait ends, or a little before or after.
        let at = inner.time(Clock::Monotonic) + TIME;
        let mut came = batch(&mut inner, Wait::until(Clock::Monotonic, at)).len();
        while came == 0 {
            assert_eq!(next(&mut outer).token, A);
            came = batch(&mut inner, Wait::now()).len();
        }
    }
}

fn a_thread_of_its_own_can_watch(bench: &Bench) {
    let mut inner = bench.queue();
    let user = inner.register(User::each(8), B, Mode::Level).unwrap();
    let poster = inner.poster(user).unwrap();
    let descriptor = inner.descriptor().unwrap();
    while readable(&descriptor, &AT_ONCE) {
        silent(&mut inner);
    }
    let watching = thread::spawn(move || readable(&descriptor, &PATIENTLY));
    poster.post(1).unwrap();
    assert!(watching.join().unwrap());
    assert_eq!(now(&mut inner), [B]);
}
