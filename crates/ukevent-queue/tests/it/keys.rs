//! Names of registrations: what a key stands for, and that a dead one stands for nothing; what
//! becomes of the owner of a descriptor.

use crate::bench::{
    self, A, B, Bench, C, Door, batch, next, now, patient, silent, wait, while_busy,
};
use crate::subject::Queue;
use std::{
    fs::File,
    io::{PipeReader, PipeWriter, Read, Write},
    net::TcpListener,
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::Arc,
    time::Duration,
};
use ukevent_queue::{
    Change, ChangeError, Fd, Key, Merge, Mode, NoSuchKey, RegisterError, Socket, Timer, User, Wait,
};

cases! {
    everywhere: [
        removing_in_the_loop_kills_an_event_of_the_same_batch,
        removing_oneself_in_the_loop_kills_the_rest_of_ones_events,
        what_was_removed_reports_nothing_ever,
        what_was_ready_and_removed_before_the_first_wait_reports_nothing,
        a_dead_key_names_nothing_in_every_operation,
        a_key_of_an_earlier_generation_names_nothing,
        a_registration_in_a_used_place_gets_nothing_of_the_one_before,
        a_key_of_another_queue_names_nothing_where_its_place_is_empty,
        a_key_made_of_any_number_names_nothing,
        a_key_survives_being_a_number,
        keys_are_never_given_twice,
        removing_twice_is_refused,
        a_descriptor_of_the_wrong_world_is_refused,
        registering_again_after_removing_works,
    ],
    kernels: [
        removing_gives_the_owner_back,
        removing_without_looking_closes_the_descriptor,
        the_owner_can_be_borrowed_while_it_is_registered,
        the_wrong_type_gets_no_owner,
        one_shot_leaves_the_owner_to_be_taken,
        the_owner_of_a_one_shot_is_kept_until_the_next_event,
        the_owner_of_a_one_shot_is_kept_until_the_next_wait,
        a_registration_keeps_the_descriptor_open,
        dropping_the_queue_closes_what_it_owns,
        removing_while_the_other_end_writes_reports_nothing,
        what_was_removed_is_closed_whatever_was_under_way,
        a_queue_that_is_dropped_has_closed_its_listener,
    ],
    alone: [
        a_used_descriptor_number_gets_nothing_of_the_one_before,
        a_used_descriptor_number_that_is_ready_is_reported_for_itself,
    ],
}

fn removing_in_the_loop_kills_an_event_of_the_same_batch(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let (mut queue, first, second) = (bench.queue(), bench.door(), bench.door());
        let keys = [
            queue.register(first.source(), A, mode).unwrap(),
            queue.register(second.source(), B, mode).unwrap(),
        ];
        first.knock();
        second.knock();
        assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2));
        let taken = queue.next_event().unwrap().key;
        let other = if taken == keys[0] { keys[1] } else { keys[0] };
        queue.remove(other).unwrap();
        assert_eq!(queue.next_event(), None, "{mode:?}");
        let later = batch(&mut queue, Wait::now());
        assert!(later.iter().all(|event| event.key == taken), "{mode:?}: {later:?}");
    }
}

fn removing_oneself_in_the_loop_kills_the_rest_of_ones_events(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(User::each(8), A, Mode::Level).unwrap();
    let poster = queue.poster(key).unwrap();
    for data in 0..5 {
        poster.post(data).unwrap();
    }
    assert_eq!(wait(&mut queue, patient().at_least(5)), Ok(5));
    assert_eq!(queue.next_event().unwrap().token, A);
    queue.remove(key).unwrap();
    assert_eq!(queue.next_event(), None);
    silent(&mut queue);
}

fn what_was_removed_reports_nothing_ever(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let key = queue.register(door.source(), A, mode).unwrap();
        silent(&mut queue);
        door.knock();
        queue.remove(key).unwrap();
        silent(&mut queue);
        door.knock();
        silent(&mut queue);
        door.answer();
    }
}

fn what_was_ready_and_removed_before_the_first_wait_reports_nothing(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    door.knock();
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    queue.remove(key).unwrap();
    silent(&mut queue);
}

/// Every operation that takes a key.
fn all_refused(queue: &mut Queue, key: Key) {
    assert!(matches!(queue.modify(key, Change::new().token(B)), Err(ChangeError::NoSuchKey)));
    assert!(matches!(queue.enable(key), Err(ChangeError::NoSuchKey)));
    assert_eq!(queue.disable(key), Err(NoSuchKey));
    assert!(matches!(queue.remove(key), Err(NoSuchKey)));
    assert!(matches!(queue.poster(key), Err(NoSuchKey)));
    assert!(!queue.is_owner::<Arc<PipeReader>>(key));
}

fn a_dead_key_names_nothing_in_every_operation(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let keys = [
        queue.register(door.source(), A, Mode::Level).unwrap(),
        queue.register(Timer::after(Duration::ZERO), A, Mode::Level).unwrap(),
        queue.register(User::merged(Merge::Last), A, Mode::Level).unwrap(),
    ];
    for key in keys {
        queue.remove(key).unwrap();
    }
    for key in keys {
        all_refused(&mut queue, key);
    }
    silent(&mut queue);
}

fn a_key_of_an_earlier_generation_names_nothing(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let mut dead = Vec::new();
    for _ in 0..5 {
        let key = queue.register(door.source(), A, Mode::Level).unwrap();
        queue.remove(key).unwrap();
        dead.push(key);
    }
    queue.register(door.source(), C, Mode::Level).unwrap();
    for key in dead {
        all_refused(&mut queue, key);
    }
    door.knock();
    assert_eq!(now(&mut queue), [C], "the living one was not touched");
}

fn a_registration_in_a_used_place_gets_nothing_of_the_one_before(bench: &Bench) {
    let (mut queue, loud, quiet) = (bench.queue(), bench.door(), bench.door());
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let key = queue.register(loud.source(), A, mode).unwrap();
        silent(&mut queue);
        loud.knock();
        // Let out and not taken, or reported by the kernel and not yet seen by the queue.
        if mode != Mode::Edge {
            assert_eq!(wait(&mut queue, patient()), Ok(1));
        }
        queue.remove(key).unwrap();
        let key = queue.register(quiet.source(), B, mode).unwrap();
        assert_eq!(queue.next_event(), None, "{mode:?}");
        silent(&mut queue);
        queue.remove(key).unwrap();
        loud.answer();
    }
}

fn a_key_of_another_queue_names_nothing_where_its_place_is_empty(bench: &Bench) {
    let (mut ours, mut theirs, door) = (bench.queue(), bench.queue(), bench.door());
    let key = theirs.register(door.source(), A, Mode::Level).unwrap();
    all_refused(&mut ours, key);
    theirs.remove(key).unwrap();
}

fn a_key_made_of_any_number_names_nothing(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    for bits in [0, 1, 7, u64::from(u32::MAX), u64::MAX, u64::MAX << 32, 1 << 63, 2 << 32] {
        assert_ne!(bits, key.to_bits());
        all_refused(&mut queue, Key::from_bits(bits));
    }
    queue.remove(key).unwrap();
}

fn a_key_survives_being_a_number(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    let same = Key::from_bits(key.to_bits());
    assert_eq!(same, key);
    queue.modify(same, Change::new().token(B)).unwrap();
    door.knock();
    assert_eq!(now(&mut queue), [B]);
}

fn keys_are_never_given_twice(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let mut seen = std::collections::HashSet::new();
    let mut live = Vec::new();
    let mut dice = testkit::Rng::seeded();
    for _ in 0..2_000 {
        if live.len() < 2 || dice.one_in(2) {
            let key = queue.register(door.source(), A, Mode::Level).unwrap();
            assert!(seen.insert(key), "{key:?} was given before");
            live.push(key);
        } else {
            let at = dice.below(live.len() as u64) as usize;
            queue.remove(live.swap_remove(at)).unwrap();
        }
    }
    assert_eq!(queue.counters().registered, live.len() as u64);
}

fn removing_twice_is_refused(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    assert!(queue.remove(key).is_ok());
    assert!(matches!(queue.remove(key), Err(NoSuchKey)));
}

fn a_descriptor_of_the_wrong_world_is_refused(bench: &Bench) {
    let mut queue = bench.queue();
    let error = match bench.door() {
        Door::Simulated(..) => {
            queue.register(Fd::new(testkit::pipe_pair().0), A, Mode::Level).unwrap_err()
        }
        Door::Pipe(..) => {
            let source = Fd::simulated(&bench.sim.descriptor());
            queue.register(source, A, Mode::Level).unwrap_err()
        }
    };
    assert!(matches!(error, RegisterError::Unsupported { .. }), "{error:?}");
    assert_eq!(queue.counters().registered, 0);
}

fn registering_again_after_removing_works(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        for _ in 0..3 {
            let key = queue.register(door.source(), A, mode).unwrap();
            door.knock();
            assert_eq!(next(&mut queue).key, key);
            assert_eq!(queue.remove(key).is_ok(), mode != Mode::OneShot);
            door.answer();
        }
    }
}

fn removing_gives_the_owner_back(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, mut writer) = testkit::pipe_pair();
    let number = reader.as_raw_fd();
    let key = queue.register(Fd::new(reader), A, Mode::Level).unwrap();
    writer.write_all(b"?").unwrap();
    assert_eq!(next(&mut queue).token, A);
    let mut reader: PipeReader = queue.remove(key).unwrap().downcast().unwrap();
    assert_eq!(reader.as_raw_fd(), number);
    let mut byte = [0];
    reader.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"?");
}

fn removing_without_looking_closes_the_descriptor(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, mut writer) = testkit::pipe_pair();
    let key = queue.register(Fd::new(reader), A, Mode::Level).unwrap();
    silent(&mut queue);
    drop(queue.remove(key).unwrap());
    // On io_uring the kernel lets go of the file with the next wait.
    silent(&mut queue);
    let error = writer.write_all(b"?").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "nobody reads");
}

fn the_owner_can_be_borrowed_while_it_is_registered(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, mut writer) = testkit::unix_pair();
    let key = queue.register(Fd::new(reader), A, Mode::Level).unwrap();
    writer.write_all(b"hello").unwrap();
    let key_of_event = next(&mut queue).key;
    assert_eq!(key_of_event, key);
    let mut word = [0; 5];
    queue.with_owner(key, |mut stream: &UnixStream| stream.read_exact(&mut word)).unwrap().unwrap();
    assert_eq!(&word, b"hello");
    silent(&mut queue);
}

fn the_wrong_type_gets_no_owner(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, _writer) = testkit::pipe_pair();
    let key = queue.register(Fd::new(reader), A, Mode::Level).unwrap();
    assert!(!queue.is_owner::<File>(key));
    assert!(queue.is_owner::<PipeReader>(key));
    assert!(queue.remove(key).unwrap().downcast::<File>().is_none());
    let timer = queue.register(Timer::after(Duration::ZERO), B, Mode::Level).unwrap();
    assert!(!queue.is_owner::<PipeReader>(timer));
    assert!(queue.remove(timer).unwrap().downcast::<PipeReader>().is_none());
}

fn one_shot_leaves_the_owner_to_be_taken(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, mut writer) = testkit::pipe_pair();
    let key = queue.register(Fd::new(reader), A, Mode::OneShot).unwrap();
    assert!(queue.take_spent().is_none());
    writer.write_all(b"!").unwrap();
    assert_eq!(next_without_looking_back(&mut queue).key, key);
    let mut reader: PipeReader = queue.take_spent().unwrap().downcast().unwrap();
    reader.read_exact(&mut [0]).unwrap();
    assert!(queue.take_spent().is_none(), "it was taken");
}

/// One event, without asking for a second.
fn next_without_looking_back(queue: &mut Queue) -> ukevent_queue::Event {
    assert_eq!(wait(queue, patient().at_most(1)), Ok(1));
    queue.next_event().unwrap()
}

fn the_owner_of_a_one_shot_is_kept_until_the_next_event(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, mut writer) = testkit::pipe_pair();
    queue.register(Fd::new(reader), A, Mode::OneShot).unwrap();
    writer.write_all(b"!").unwrap();
    assert_eq!(wait(&mut queue, patient()), Ok(1));
    let timer = queue.register(User::each(2), B, Mode::Level).unwrap();
    let poster = queue.poster(timer).unwrap();
    poster.post(1).unwrap();
    assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2));
    assert_eq!(queue.next_event().unwrap().token, A);
    assert_eq!(queue.next_event().unwrap().token, B);
    assert!(queue.take_spent().is_none(), "the event of another came since");
    let error = writer.write_all(b"!").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "it was closed");
}

fn the_owner_of_a_one_shot_is_kept_until_the_next_wait(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, mut writer) = testkit::pipe_pair();
    queue.register(Fd::new(reader), A, Mode::OneShot).unwrap();
    writer.write_all(b"!").unwrap();
    assert_eq!(next_without_looking_back(&mut queue).token, A);
    writer.write_all(b"!").unwrap();
    assert_eq!(wait(&mut queue, Wait::now()), Ok(0));
    assert!(queue.take_spent().is_none());
    let error = writer.write_all(b"!").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "it was closed");
}

fn a_registration_keeps_the_descriptor_open(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, mut writer) = testkit::pipe_pair();
    let reader = Arc::new(reader);
    let key = queue.register(Fd::new(reader.clone()), A, Mode::Level).unwrap();
    drop(reader);
    writer.write_all(b"!").unwrap();
    assert_eq!(next(&mut queue).token, A);
    assert!(queue.remove(key).unwrap().downcast::<Arc<PipeReader>>().is_some());
}

fn dropping_the_queue_closes_what_it_owns(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, mut writer) = testkit::pipe_pair();
    queue.register(Fd::new(reader), A, Mode::Level).unwrap();
    silent(&mut queue);
    drop(queue);
    // A ring is closed by the kernel a moment later; it may hold the file until then.
    testkit::wait_until("nobody reads the pipe", || writer.write_all(b"!").is_err());
}

/// News that the kernel has and the queue has not heard of yet must not keep the file open.
fn what_was_removed_is_closed_whatever_was_under_way(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        for news in [false, true] {
            let mut queue = bench.queue();
            let (own, mut peer) = testkit::tcp_pair();
            let own = Arc::new(own);
            let key = queue.register(Socket::new(own.clone()), A, mode).unwrap();
            silent(&mut queue);
            if news {
                peer.write_all(b"!").unwrap();
                // Read before the queue looks, so that closing sends an end and no reset.
                (&*own).read_exact(&mut [0]).unwrap();
            }
            drop(own);
            drop(queue.remove(key).unwrap());
            // The kernel of a ring lets go with the next wait.
            silent(&mut queue);
            peer.set_read_timeout(Some(bench::PATIENCE)).unwrap();
            assert_eq!(peer.read(&mut [0]).unwrap(), 0, "{mode:?}, news: {news}");
            assert_eq!(queue.counters().stale, 0, "{mode:?}, news: {news}");
        }
    }
}

fn a_queue_that_is_dropped_has_closed_its_listener(bench: &Bench) {
    let (listener, address) = testkit::listener();
    let mut listener = Some(listener);
    for _ in 0..50 {
        let mut queue = bench.queue();
        queue.register(Socket::listener(listener.take().unwrap()), A, Mode::Level).unwrap();
        silent(&mut queue);
        drop(queue);
        // Refused while anybody listens there.
        listener = Some(TcpListener::bind(address).unwrap());
    }
}

/// A pipe whose reading end has this number, which is free.
fn pipe_at(number: i32) -> (PipeReader, PipeWriter) {
    // The lowest free number is given out: use up those below.
    let mut below = Vec::new();
    loop {
        let file = File::open("/dev/null").unwrap();
        assert!(file.as_raw_fd() <= number, "{number} is not free");
        if file.as_raw_fd() == number {
            break;
        }
        below.push(file);
    }
    let (reader, writer) = testkit::pipe_pair();
    assert_eq!(reader.as_raw_fd(), number);
    (reader, writer)
}

fn a_used_descriptor_number_gets_nothing_of_the_one_before(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let mut queue = bench.queue();
        let (reader, mut writer) = testkit::pipe_pair();
        let number = reader.as_raw_fd();
        // A duplicate that stays open keeps the old file alive, as a forked child would.
        let kept = reader.try_clone().unwrap();
        let key = queue.register(Fd::new(reader), A, mode).unwrap();
        silent(&mut queue);
        writer.write_all(b"!").unwrap();
        drop(queue.remove(key).unwrap());
        let (reader, mut newer) = pipe_at(number);
        let key = queue.register(Fd::new(reader), B, mode).unwrap();
        silent(&mut queue);
        writer.write_all(b"!").unwrap();
        silent(&mut queue);
        newer.write_all(b"!").unwrap();
        let event = next(&mut queue);
        assert_eq!((event.key, event.token), (key, B), "{mode:?}");
        drop(kept);
    }
}

fn a_used_descriptor_number_that_is_ready_is_reported_for_itself(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, _writer) = testkit::pipe_pair();
    let number = reader.as_raw_fd();
    let key = queue.register(Fd::new(reader), A, Mode::Edge).unwrap();
    drop(queue.remove(key).unwrap());
    let (reader, mut newer) = pipe_at(number);
    newer.write_all(b"!").unwrap();
    queue.register(Fd::new(reader), B, Mode::Edge).unwrap();
    assert_eq!(next(&mut queue).token, B);
    silent(&mut queue);
}

fn removing_while_the_other_end_writes_reports_nothing(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, writer) = testkit::unix_pair();
    testkit::nonblocking(&writer);
    let reader = Arc::new(reader);
    // A full buffer is as good: the other end is ready all the time.
    let writes = || drop((&writer).write(b"!"));
    while_busy(writes, || {
        for round in 0..200 {
            let mode = [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch][round % 4];
            let key = queue.register(Fd::new(reader.clone()), A, mode).unwrap();
            if round % 3 > 0 {
                assert!(wait(&mut queue, patient()).unwrap() > 0);
            }
            queue.remove(key).unwrap();
            silent(&mut queue);
        }
    });
}
