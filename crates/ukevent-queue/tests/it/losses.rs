//! Nothing is lost: rings that are far too small, storms, thousands of descriptors; and what costs a
//! system call and what does not.

use crate::bench::{
    A, B, BackendKind, Bench, Door, batch, now, now_sorted, patient, posted, silent, tokens, wait,
};
use crate::subject::Queue;
use std::{
    collections::HashSet,
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use ukevent_queue::{Fd, Interest, Merge, Mode, Socket, Timer, Token, User, Wait};

const MODES: [Mode; 4] = [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch];

cases! {
    everywhere: [
        a_thousand_ready_descriptors_come_three_at_a_time,
        events_cost_no_system_call,
        a_hundred_thousand_posts_come_a_few_at_a_time,
    ],
    kernels: [
        a_tiny_ring_reports_hundreds_of_levels,
        a_tiny_ring_reports_hundreds_of_edges_and_their_news,
        a_tiny_ring_reports_hundreds_of_one_shots,
        a_tiny_ring_reports_hundreds_of_dispatches,
        a_ring_that_overflows_says_so_and_loses_nothing,
        a_tiny_ring_takes_thousands_of_changes,
        a_tiny_ring_lets_wake_ups_timers_and_signals_of_life_through,
        ten_thousand_registrations_between_two_waits,
        changes_between_two_waits_cost_a_ring_no_system_call,
        a_wait_that_need_not_block_costs_a_ring_no_system_call,
        every_byte_of_two_writing_threads_is_seen_by_level,
        every_byte_of_two_writing_threads_is_seen_by_edge,
        every_byte_of_two_writing_threads_is_seen_by_dispatch,
        bytes_written_between_the_report_and_the_read_are_seen_by_edge,
        removing_and_registering_under_fire_loses_nothing_of_the_others,
    ],
}

/// Those that count on what waits to stay in its source.
mod of_one_waiter {
    cases_of_one_waiter! {
        everywhere: [
            reports_that_join_a_waiting_event_are_counted,
        ],
    }

    use super::reports_that_join_a_waiting_event_are_counted;
}

/// Doors registered under their numbers.
fn doors(bench: &Bench, queue: &mut Queue, count: u64, mode: Mode) -> Vec<Door> {
    testkit::raise_nofile();
    (0..count)
        .map(|token| {
            let door = bench.door();
            queue.register(door.source(), Token(token), mode).unwrap();
            door
        })
        .collect()
}

/// Takes events until each number below `count` came, none of them twice before.
#[track_caller]
fn each_once(queue: &mut Queue, at_most: usize, count: usize) {
    let mut came = HashSet::new();
    while came.len() < count {
        let events = batch(queue, patient().at_most(at_most));
        assert!(!events.is_empty(), "{} of {count} came", came.len());
        let missing = count - came.len();
        for token in tokens(&events).into_iter().take(missing) {
            assert!(came.insert(token), "{token:?} came twice, after {}", came.len());
        }
    }
}

fn a_thousand_ready_descriptors_come_three_at_a_time(bench: &Bench) {
    for mode in MODES {
        let mut queue = bench.queue();
        let doors = doors(bench, &mut queue, 1_000, mode);
        silent(&mut queue);
        doors.iter().for_each(Door::knock);
        each_once(&mut queue, 3, 1_000);
        if mode != Mode::Level {
            silent(&mut queue);
        }
    }
}

fn events_cost_no_system_call(bench: &Bench) {
    let mut queue = bench.queue();
    let doors = doors(bench, &mut queue, 200, Mode::Edge);
    let user = queue.register(User::each(256), A, Mode::Level).unwrap();
    let poster = queue.poster(user).unwrap();
    doors.iter().for_each(Door::knock);
    for data in 0..200 {
        poster.post(data).unwrap();
    }
    assert_eq!(wait(&mut queue, patient().at_least(400)), Ok(400));
    let before = queue.counters().system_calls;
    assert_eq!(std::iter::from_fn(|| queue.next_event()).count(), 400);
    assert_eq!(queue.counters().system_calls, before);
}

fn a_hundred_thousand_posts_come_a_few_at_a_time(bench: &Bench) {
    let mut queue = bench.queue();
    let user = queue.register(User::each(1 << 17), A, Mode::Level).unwrap();
    let poster = queue.poster(user).unwrap();
    for data in 0..100_000 {
        poster.post(data).unwrap();
    }
    let mut expected = 0;
    let mut at_most = 1;
    while expected < 100_000 {
        for event in batch(&mut queue, Wait::now().at_most(at_most)) {
            assert_eq!(posted(&event), (expected, 1));
            expected += 1;
        }
        at_most = at_most % 97 + 1;
    }
    silent(&mut queue);
}

fn reports_that_join_a_waiting_event_are_counted(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Edge).unwrap();
    for _ in 0..5 {
        door.knock();
        assert_eq!(wait(&mut queue, Wait::now()), Ok(1));
    }
    assert_eq!(queue.counters().coalesced, 4);
    assert_eq!(now(&mut queue), [A]);
    silent(&mut queue);
}

/// A queue whose ring holds next to nothing.
fn tiny(bench: &Bench, submissions: u32, completions: u32) -> Queue {
    bench.builder().ring(submissions, completions).build().unwrap()
}

fn a_tiny_ring_reports_hundreds_of_levels(bench: &Bench) {
    for (submissions, completions) in [(1, 2), (2, 4)] {
        let mut queue = tiny(bench, submissions, completions);
        let doors = doors(bench, &mut queue, 300, Mode::Level);
        doors.iter().for_each(Door::knock);
        for _ in 0..3 {
            let events = batch(&mut queue, patient().at_least(300));
            let came: HashSet<Token> = tokens(&events).into_iter().collect();
            assert_eq!((events.len(), came.len()), (300, 300));
        }
        doors.iter().for_each(Door::answer);
        silent(&mut queue);
        doors.iter().for_each(Door::knock);
        each_once(&mut queue, 300, 300);
    }
}

fn a_tiny_ring_reports_hundreds_of_edges_and_their_news(bench: &Bench) {
    for (submissions, completions) in [(1, 2), (2, 4)] {
        let mut queue = tiny(bench, submissions, completions);
        let doors = doors(bench, &mut queue, 300, Mode::Edge);
        silent(&mut queue);
        for _ in 0..3 {
            doors.iter().for_each(Door::knock);
            // What overflowed is armed anew and may be told once more: never lost, at most twice.
            let mut came = HashSet::new();
            while came.len() < 300 {
                let events = batch(&mut queue, patient());
                assert!(!events.is_empty(), "{} of 300 came", came.len());
                came.extend(tokens(&events));
            }
            doors.iter().for_each(Door::answer);
            while !now(&mut queue).is_empty() {}
            silent(&mut queue);
        }
    }
}

fn a_tiny_ring_reports_hundreds_of_one_shots(bench: &Bench) {
    let mut queue = tiny(bench, 1, 2);
    let doors = doors(bench, &mut queue, 300, Mode::OneShot);
    silent(&mut queue);
    doors.iter().for_each(Door::knock);
    each_once(&mut queue, 7, 300);
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 0);
}

fn a_tiny_ring_reports_hundreds_of_dispatches(bench: &Bench) {
    let mut queue = tiny(bench, 1, 2);
    let doors = doors(bench, &mut queue, 300, Mode::Dispatch);
    doors.iter().for_each(Door::knock);
    for _ in 0..3 {
        let mut came = HashSet::new();
        while came.len() < 300 {
            let events = batch(&mut queue, patient().at_most(50));
            assert!(!events.is_empty(), "{} of 300 came", came.len());
            for event in events {
                assert!(came.insert(event.key), "{event:?} is disabled");
            }
        }
        silent(&mut queue);
        for key in came {
            queue.enable(key).unwrap();
        }
    }
}

fn a_ring_that_overflows_says_so_and_loses_nothing(bench: &Bench) {
    let mut queue = tiny(bench, 2, 4);
    let doors = doors(bench, &mut queue, 500, Mode::OneShot);
    silent(&mut queue);
    assert_eq!(queue.counters().overflows, 0);
    doors.iter().for_each(Door::knock);
    each_once(&mut queue, 500, 500);
    let overflows = queue.counters().overflows;
    assert_eq!(overflows > 0, bench.kind == BackendKind::IoUring, "{overflows} overflows");
}

fn a_tiny_ring_takes_thousands_of_changes(bench: &Bench) {
    let mut queue = tiny(bench, 1, 2);
    let door = bench.door();
    let (stays, mut keys) = (queue.register(door.source(), B, Mode::Level).unwrap(), Vec::new());
    for round in 0..2_000 {
        let key = queue.register(door.source(), A, MODES[round % 4]).unwrap();
        if round % 3 == 0 {
            keys.push(key);
        } else {
            queue.remove(key).unwrap();
        }
        if keys.len() > 100 {
            for key in keys.drain(..) {
                queue.remove(key).unwrap();
            }
        }
        if round % 500 == 0 {
            silent(&mut queue);
        }
    }
    for key in keys {
        queue.disable(key).unwrap();
        queue.enable(key).unwrap();
        queue.remove(key).unwrap();
    }
    door.knock();
    let events = batch(&mut queue, patient());
    assert_eq!(tokens(&events), [B]);
    assert_eq!(events[0].key, stays);
}

fn a_tiny_ring_lets_wake_ups_timers_and_signals_of_life_through(bench: &Bench) {
    let mut queue = tiny(bench, 1, 2);
    let doors = doors(bench, &mut queue, 100, Mode::Level);
    doors.iter().for_each(Door::knock);
    let user = queue.register(User::merged(Merge::Sum), Token(1_000), Mode::Level).unwrap();
    queue.register(Timer::every(Duration::from_millis(1)), Token(1_001), Mode::Level).unwrap();
    let poster = queue.poster(user).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..50 {
                poster.post(1).unwrap();
                thread::sleep(Duration::from_micros(100));
            }
        });
        let (mut posts, mut beats) = (0, 0);
        while posts < 50 || beats < 5 {
            for event in batch(&mut queue, patient()) {
                match event.token {
                    Token(1_000) => posts += posted(&event).1,
                    Token(1_001) => beats += crate::bench::expirations(&event),
                    _ => {}
                }
            }
        }
    });
}

fn ten_thousand_registrations_between_two_waits(bench: &Bench) {
    let mut queue = bench.queue();
    let door = bench.door();
    let stays = queue.register(door.source(), B, Mode::Level).unwrap();
    silent(&mut queue);
    door.knock();
    for round in 0..10_000 {
        let key = queue.register(door.source(), A, MODES[round % 4]).unwrap();
        queue.remove(key).unwrap();
    }
    let events = batch(&mut queue, patient());
    assert_eq!(tokens(&events), [B], "nothing of what was removed");
    assert_eq!(events[0].key, stays);
    assert_eq!(queue.counters().registered, 1);
}

fn changes_between_two_waits_cost_a_ring_no_system_call(bench: &Bench) {
    if bench.kind != BackendKind::IoUring {
        // The others owe nothing here; that they agree on the rest is the case before.
        return;
    }
    let (mut queue, door) = (bench.queue(), bench.door());
    silent(&mut queue);
    let before = queue.counters().system_calls;
    let mut keys = Vec::new();
    for round in 0..10_000 {
        let key = queue.register(door.source(), A, MODES[round % 4]).unwrap();
        match round % 3 {
            0 => drop(queue.remove(key).unwrap()),
            1 => queue.disable(key).unwrap(),
            _ => {}
        }
        keys.push(key);
    }
    for key in keys {
        let _ = queue.remove(key);
    }
    assert_eq!(queue.counters().system_calls, before);
    silent(&mut queue);
    assert!(queue.counters().system_calls > before, "the wait brings it to the kernel");
}

fn a_wait_that_need_not_block_costs_a_ring_no_system_call(bench: &Bench) {
    if bench.kind != BackendKind::IoUring {
        return;
    }
    let mut queue = bench.queue();
    let user = queue.register(User::each(1 << 10), A, Mode::Level).unwrap();
    let poster = queue.poster(user).unwrap();
    silent(&mut queue);
    let before = queue.counters().system_calls;
    for data in 0..1_000 {
        poster.post(data).unwrap();
        assert_eq!(now(&mut queue), [A]);
        assert_eq!(wait(&mut queue, Wait::now()), Ok(0));
    }
    assert_eq!(queue.counters().system_calls, before);
}

/// Two threads write bytes to random streams of many; all that was written is read, by what the
/// queue says and nothing else.
fn every_byte_is_seen(bench: &Bench, mode: Mode) {
    const STREAMS: u64 = 100;
    const BYTES: u64 = 20_000;
    testkit::raise_nofile();
    let mut queue = bench.queue();
    let mut writers = Vec::new();
    for token in 0..STREAMS {
        let (ours, theirs) = testkit::unix_pair();
        testkit::nonblocking(&ours);
        queue.register(Socket::new(ours), Token(token), mode).unwrap();
        writers.push(theirs);
    }
    let seed = testkit::seed();
    thread::scope(|scope| {
        for thread in 0..2 {
            let writers = &writers;
            scope.spawn(move || {
                let mut dice = testkit::Rng::new(seed + thread);
                for _ in 0..BYTES / 2 {
                    let mut writer = dice.pick(writers);
                    writer.write_all(b"!").unwrap();
                }
            });
        }
        let mut read = 0;
        let mut at_most = 1;
        while read < BYTES {
            let events = batch(&mut queue, patient().at_most(at_most));
            assert!(!events.is_empty(), "{read} of {BYTES} bytes were seen");
            for event in events {
                // By edge all must be read; by the others it may be little at a time.
                let mut chunk = [0; 16];
                loop {
                    let some = queue.read_owned(event.key, &mut chunk);
                    read += some as u64;
                    if some == 0 || mode != Mode::Edge {
                        break;
                    }
                }
                if mode == Mode::Dispatch {
                    queue.enable(event.key).unwrap();
                }
            }
            at_most = at_most % 13 + 1;
        }
        assert_eq!(read, BYTES);
    });
}

fn every_byte_of_two_writing_threads_is_seen_by_level(bench: &Bench) {
    every_byte_is_seen(bench, Mode::Level);
}

fn every_byte_of_two_writing_threads_is_seen_by_edge(bench: &Bench) {
    every_byte_is_seen(bench, Mode::Edge);
}

fn every_byte_of_two_writing_threads_is_seen_by_dispatch(bench: &Bench) {
    every_byte_is_seen(bench, Mode::Dispatch);
}

fn bytes_written_between_the_report_and_the_read_are_seen_by_edge(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, theirs) = testkit::unix_pair();
    testkit::nonblocking(&ours);
    let key = queue.register(Socket::new(ours), A, Mode::Edge).unwrap();
    let (written, go) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=2_000 {
                (&theirs).write_all(b"!").unwrap();
                written.store(round, Ordering::SeqCst);
                // Now and then let the reader come to an end first.
                let start = std::time::Instant::now();
                while round % 8 == 0
                    && go.load(Ordering::SeqCst) < round
                    && start.elapsed() < crate::bench::PATIENCE
                {
                    std::hint::spin_loop();
                }
            }
        });
        let mut read = 0;
        while read < 2_000 {
            let events = batch(&mut queue, patient());
            assert_eq!(tokens(&events), [A], "{read} of {} bytes", written.load(Ordering::SeqCst));
            while queue.read_owned(key, &mut [0]) == 1 {
                read += 1;
                go.store(read, Ordering::SeqCst);
            }
        }
    });
    // The last byte may have been read with the one before, ahead of its own report.
    let late = tokens(&batch(&mut queue, Wait::now()));
    assert!(late.is_empty() || late == [A], "{late:?}");
    silent(&mut queue);
}

fn removing_and_registering_under_fire_loses_nothing_of_the_others(bench: &Bench) {
    let mut queue = bench.queue();
    let streams: Vec<_> = (0..20).map(|_| testkit::unix_pair()).collect();
    let ours: Vec<Arc<UnixStream>> = streams
        .iter()
        .map(|(ours, _)| {
            testkit::nonblocking(ours);
            Arc::new(ours.try_clone().unwrap())
        })
        .collect();
    let mut keys: Vec<_> = ours
        .iter()
        .zip(0_u64..)
        .map(|(stream, token)| {
            let source = Fd::new(stream.clone()).interest(Interest::READ);
            queue.register(source, token.into(), Mode::Edge).unwrap()
        })
        .collect();
    let seed = testkit::seed();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = testkit::Rng::new(seed);
            for _ in 0..10_000 {
                let mut writer = &dice.pick(&streams).1;
                writer.write_all(b"!").unwrap();
            }
        });
        let mut dice = testkit::Rng::new(seed + 1);
        let mut read = 0;
        while read < 10_000 {
            let events = batch(&mut queue, patient());
            assert!(!events.is_empty(), "{read} of 10,000 bytes were seen");
            for token in tokens(&events) {
                let mut stream = &*ours[token.0 as usize];
                while let Ok(some) = stream.read(&mut [0; 64]) {
                    read += some;
                }
            }
            let at = dice.below(20) as usize;
            queue.remove(keys[at]).unwrap();
            let source = Fd::new(ours[at].clone());
            keys[at] = queue.register(source, (at as u64).into(), Mode::Edge).unwrap();
        }
        assert_eq!(read, 10_000);
    });
    assert!(now_sorted(&mut queue).len() <= 20);
}
