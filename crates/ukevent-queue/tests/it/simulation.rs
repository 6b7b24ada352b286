//! What only a simulation can show: clocks that are set, a machine that is suspended, hours that
//! pass at once, and kernels that misbehave.

use crate::bench::{A, B, C, D, Door, batch, next, now, now_sorted, silent, tokens, wait};
use crate::subject::Queue;
use std::{sync::Arc, time::Duration};
use ukevent_buf::{Arena, Buffer, FramePool};
use ukevent_queue::{
    Builder, Clock, Completed, Direction, Errno, Fd, Interest, Key, Kind, Mode, Operation, Payload,
    Readiness, Timer, Token, Wait, WaitError,
    sim::{Faults, Sim, SimDescriptor},
};

const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;
const EPIPE: i32 = 32;
const ENOTSOCK: i32 = 88;
const EOPNOTSUPP: i32 = 95;
const ECONNRESET: i32 = 104;
const ENOBUFS: i32 = 105;
const ETIMEDOUT: i32 = 110;
const ECANCELED: i32 = 125;

const HOUR: Duration = Duration::from_secs(3600);

fn queue(sim: &Sim) -> Queue {
    Builder::new().sim(sim).build().unwrap().into()
}

#[test]
fn hours_pass_at_once() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    queue.register(Timer::every(HOUR), A, Mode::Level).unwrap();
    for _ in 0..24 {
        assert_eq!(next_whenever(&mut queue).token, A);
    }
    assert!(sim.elapsed() >= HOUR * 24 && sim.elapsed() < HOUR * 25);
}

/// One event, however long it takes: that costs nothing here.
fn next_whenever(queue: &mut Queue) -> ukevent_queue::Event {
    batch(queue, Wait::forever().at_most(1)).pop().unwrap()
}

#[test]
fn a_wait_that_nothing_can_end_says_so() {
    let mut queue = queue(&Sim::new(1));
    let error = wait(&mut queue, Wait::forever()).unwrap_err();
    assert!(matches!(error, WaitError::Kernel(_)), "{error:?}");
}

#[test]
fn what_happens_later_ends_the_sleep_then() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let descriptor = sim.descriptor();
    let door = Door::Simulated(sim.clone(), descriptor.clone());
    queue.register(door.source(), A, Mode::Level).unwrap();
    sim.set_after(HOUR, &descriptor, Readiness::READABLE);
    sim.set_after(HOUR * 2, &descriptor, Readiness::empty());
    assert_eq!(wait(&mut queue, Wait::within(HOUR / 2)), Ok(0));
    assert_eq!(next_whenever(&mut queue).token, A);
    assert_eq!(sim.elapsed(), HOUR);
    sim.advance(HOUR);
    silent(&mut queue);
}

#[test]
fn a_wall_clock_set_forward_fires_what_is_due_by_it() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let noon = queue.time(Clock::Wall) + HOUR;
    queue.register(Timer::at(Clock::Wall, noon), A, Mode::Level).unwrap();
    queue.register(Timer::after(HOUR), B, Mode::Level).unwrap();
    queue.register(Timer::after(HOUR).on(Clock::Boot), C, Mode::Level).unwrap();
    silent(&mut queue);
    sim.set_wall_clock(noon + Duration::from_secs(1));
    assert_eq!(now(&mut queue), [A], "the other clocks were not set");
    assert_eq!(tokens(&batch(&mut queue, Wait::forever().at_least(2))).len(), 2);
    assert!(sim.elapsed() >= HOUR);
}

#[test]
fn a_wall_clock_set_back_puts_off_what_was_due_by_it() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let noon = queue.time(Clock::Wall) + HOUR;
    queue.register(Timer::at(Clock::Wall, noon), A, Mode::Level).unwrap();
    silent(&mut queue);
    sim.set_wall_clock(noon - HOUR * 3);
    assert_eq!(wait(&mut queue, Wait::within(HOUR * 2)), Ok(0));
    assert_eq!(next_whenever(&mut queue).token, A);
    assert!(queue.time(Clock::Wall) >= noon);
    assert!(sim.elapsed() >= HOUR * 3);
}

#[test]
fn a_wall_clock_set_to_and_fro_fires_once() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let noon = queue.time(Clock::Wall) + HOUR;
    let timer = Timer::at(Clock::Wall, noon).repeat(HOUR * 24);
    queue.register(timer, A, Mode::Level).unwrap();
    sim.set_wall_clock(noon + Duration::from_secs(1));
    assert_eq!(crate::bench::expirations(&next(&mut queue)), 1);
    sim.set_wall_clock(noon - Duration::from_secs(1));
    silent(&mut queue);
    sim.set_wall_clock(noon + Duration::from_secs(2));
    silent(&mut queue);
    sim.set_wall_clock(noon + HOUR * 48 + Duration::from_secs(1));
    assert_eq!(crate::bench::expirations(&next(&mut queue)), 2);
}

#[test]
fn a_suspended_machine_goes_on_by_boot_time_only() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    queue.register(Timer::after(HOUR), A, Mode::Level).unwrap();
    queue.register(Timer::after(HOUR).on(Clock::Boot), B, Mode::Level).unwrap();
    queue.register(Timer::after(HOUR).on(Clock::Wall), C, Mode::Level).unwrap();
    silent(&mut queue);
    sim.suspend(HOUR * 2);
    assert_eq!(now_sorted(&mut queue), [B, C]);
    assert_eq!(next_whenever(&mut queue).token, A);
}

#[test]
fn deadlines_of_waits_follow_their_clocks() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let noon = queue.time(Clock::Wall) + HOUR;
    sim.set_wall_clock(noon + HOUR);
    let before = sim.elapsed();
    assert_eq!(wait(&mut queue, Wait::until(Clock::Wall, noon)), Ok(0));
    assert_eq!(sim.elapsed(), before, "it was over");
    sim.set_wall_clock(noon - HOUR);
    assert_eq!(wait(&mut queue, Wait::until(Clock::Wall, noon)), Ok(0));
    assert!(sim.elapsed() >= before + HOUR);
    let dawn = queue.time(Clock::Boot) + HOUR;
    sim.suspend(HOUR * 2);
    let before = sim.elapsed();
    assert_eq!(wait(&mut queue, Wait::until(Clock::Boot, dawn)), Ok(0));
    assert_eq!(sim.elapsed(), before, "it was over");
}

/// Descriptors in all modes under a kernel with faults: whatever is made ready comes, and nothing
/// comes of what was removed.
fn all_comes_in_spite_of(faults: Faults) {
    for seed in 0..50 {
        let sim = Sim::new(seed);
        sim.faults(faults);
        let mut queue = queue(&sim);
        let modes = [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch];
        let doors: Vec<Door> =
            (0..8).map(|_| Door::Simulated(sim.clone(), sim.descriptor())).collect();
        let gone = Door::Simulated(sim.clone(), sim.descriptor());
        for round in 0..10 {
            let mut missing = Vec::new();
            let mut keys = Vec::new();
            for ((door, token), mode) in doors.iter().zip(1_u64..).zip(modes.iter().cycle()) {
                keys.push(queue.register(door.source(), Token(token), *mode).unwrap());
                missing.push(Token(token));
            }
            let dead = queue.register(gone.source(), Token(99), modes[round % 4]).unwrap();
            gone.knock();
            if round % 2 == 0 {
                let _ = queue.wait(Wait::now().at_most(1));
            }
            queue.remove(dead).unwrap();
            doors.iter().for_each(Door::knock);
            for _ in 0..1_000 {
                match queue.wait(Wait::within(HOUR).at_most(3)) {
                    Ok(_) | Err(WaitError::Interrupted) => {}
                    Err(error) => panic!("seed {seed}: {error}"),
                }
                while let Some(event) = queue.next_event() {
                    assert_ne!(event.token, Token(99), "seed {seed}: it was removed");
                    missing.retain(|token| *token != event.token);
                }
                if missing.is_empty() {
                    break;
                }
            }
            assert!(missing.is_empty(), "seed {seed}, {faults:?}: {missing:?}");
            for key in keys {
                let _ = queue.remove(key);
            }
            doors.iter().for_each(Door::answer);
        }
    }
}

#[test]
fn reports_that_come_late_are_no_loss_and_no_ghosts() {
    all_comes_in_spite_of(Faults { late: 50, ..Faults::default() });
}

#[test]
fn reports_that_come_in_another_order_are_no_loss() {
    all_comes_in_spite_of(Faults { shuffle: 100, ..Faults::default() });
}

#[test]
fn waits_that_end_early_are_no_loss() {
    all_comes_in_spite_of(Faults { early: 50, interrupt: 30, ..Faults::default() });
}

#[test]
fn edges_that_the_kernel_ends_are_armed_anew() {
    all_comes_in_spite_of(Faults { end_edge: 80, ..Faults::default() });
}

#[test]
fn everything_at_once_is_no_loss() {
    all_comes_in_spite_of(Faults {
        interrupt: 20,
        early: 20,
        end_edge: 50,
        late: 30,
        shuffle: 50,
        ..Faults::default()
    });
}

// Operations on simulated streams.

fn own(queue: &mut Queue, descriptor: &SimDescriptor) -> Key {
    let fd = Fd::simulated(descriptor).unwatched();
    queue.register(fd, Token(99), Mode::Level).unwrap()
}

fn room(bytes: usize) -> Buffer {
    let mut buffer = Buffer::from(vec![0; bytes]);
    buffer.truncate(0);
    buffer
}

/// What the next event says was completed.
#[track_caller]
fn done(queue: &mut Queue) -> (Token, Completed) {
    let event = next_whenever(queue);
    match event.kind {
        Kind::Completed(completed) => (event.token, completed),
        other => panic!("{:?}: {other:?}", event.token),
    }
}

/// The bytes of an operation that went well.
#[track_caller]
fn came(queue: &mut Queue) -> Vec<u8> {
    let (_, completed) = done(queue);
    let count = completed.result.expect("it goes well") as usize;
    let buffer = completed.into_buffer().expect("a buffer comes back");
    assert_eq!(buffer.len(), count);
    buffer.to_vec()
}

#[track_caller]
fn errno(queue: &mut Queue) -> i32 {
    done(queue).1.result.expect_err("it fails").0
}

#[test]
fn bytes_go_both_ways_and_end() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let (descriptor, peer) = sim.stream_pair(100);
    let stream = own(&mut queue, &descriptor);
    queue.start(Operation::receive(stream, room(4)), A).unwrap();
    silent(&mut queue);
    assert_eq!(peer.write(b"hello"), 5);
    assert_eq!(came(&mut queue), b"hell");
    queue.start(Operation::read(stream, room(4), 0), A).unwrap();
    assert_eq!(came(&mut queue), b"o");
    queue.start(Operation::send(stream, Buffer::from(b"good".to_vec())), A).unwrap();
    queue.start(Operation::shutdown(stream, Direction::Sending), B).unwrap();
    queue.start(Operation::send(stream, Buffer::from(b"late".to_vec())), C).unwrap();
    assert_eq!(came(&mut queue), b"good");
    assert_eq!(done(&mut queue).1.result, Ok(0));
    assert!(!peer.is_at_end());
    assert_eq!(peer.read(usize::MAX), b"good");
    assert!(peer.is_at_end());
    assert_eq!(errno(&mut queue), EPIPE, "it is shut");
    queue.start(Operation::write(stream, Buffer::from(b"late".to_vec()), 0), A).unwrap();
    assert_eq!(errno(&mut queue), EPIPE, "for a write too");
    assert_eq!(peer.write(b"last"), 4);
    drop(peer);
    queue.start(Operation::receive(stream, room(8)), A).unwrap();
    queue.start(Operation::receive(stream, room(8)), B).unwrap();
    assert_eq!(came(&mut queue), b"last");
    assert_eq!(came(&mut queue), b"");
}

#[test]
fn a_send_waits_for_room_and_closing_waits_for_it() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let (descriptor, peer) = sim.stream_pair(64);
    let stream = own(&mut queue, &descriptor);
    drop(descriptor);
    let large: Vec<u8> = (0..1000_u32).map(|at| (at / 3) as u8).collect();
    queue.start(Operation::send(stream, Buffer::from(large.clone())), A).unwrap();
    queue.start(Operation::close(stream), B).unwrap();
    queue.start(Operation::receive(stream, room(8)), C).unwrap();
    let mut arrived = Vec::new();
    let mut ended = Vec::new();
    while !peer.is_at_end() {
        ended.extend(now(&mut queue));
        arrived.extend(peer.read(10));
    }
    ended.extend(now(&mut queue));
    assert_eq!(ended, [A, B], "the receive ends without an event");
    assert!(arrived == large);
    assert!(queue.remove(stream).is_err(), "the registration is gone");
    assert_eq!(peer.write(b"x"), 0, "nobody receives");
}

#[test]
fn a_write_waits_for_room_too() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let (descriptor, peer) = sim.stream_pair(64);
    let stream = own(&mut queue, &descriptor);
    let large: Vec<u8> = (0..1000_u32).map(|at| (at / 3) as u8).collect();
    queue.start(Operation::write(stream, Buffer::from(large.clone()), 0), A).unwrap();
    let mut arrived = Vec::new();
    while arrived.len() < 1000 - 64 {
        silent(&mut queue);
        arrived.extend(peer.read(10));
    }
    assert_eq!(came(&mut queue), large);
    arrived.extend(peer.read(usize::MAX));
    assert!(arrived == large);
}

#[test]
fn a_send_that_is_cut_short_ends_those_behind_it() {
    for by_time in [false, true] {
        let sim = Sim::new(1);
        let mut queue = queue(&sim);
        let (descriptor, peer) = sim.stream_pair(8);
        let stream = own(&mut queue, &descriptor);
        let send = |bytes: usize| Operation::send(stream, Buffer::from(vec![7; bytes]));
        let errno = if by_time {
            // Both at the same moment, which ends neither twice.
            queue.start(send(20).within(HOUR), A).unwrap();
            queue.start(send(1).within(HOUR), B).unwrap();
            ETIMEDOUT
        } else {
            let key = queue.start(send(20), A).unwrap();
            queue.start(send(1), B).unwrap();
            silent(&mut queue);
            queue.cancel(key).unwrap();
            ECANCELED
        };
        let (first, behind) = (done(&mut queue), done(&mut queue));
        assert_eq!((first.0, first.1.result), (A, Err(Errno(errno))));
        assert_eq!((behind.0, behind.1.result), (B, Err(Errno(ECANCELED))));
        assert_eq!(queue.counters().registered, 1);
        assert_eq!(peer.read(usize::MAX), [7; 8]);
        queue.start(send(2), A).unwrap();
        assert_eq!(came(&mut queue), [7; 2]);
        assert_eq!(peer.read(usize::MAX), [7; 2], "and nothing of those before");
    }
}

#[test]
fn a_report_that_comes_late_is_not_for_the_operation_that_came_after() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let (ready, peer) = sim.stream_pair(64);
    let (quiet, _silent) = sim.stream_pair(64);
    let [on_ready, on_quiet] = [&ready, &quiet].map(|descriptor| own(&mut queue, descriptor));
    assert_eq!(peer.write(b"!"), 1);
    sim.faults(Faults { late: 100, ..Faults::default() });
    let key = queue.start(Operation::poll(on_ready, Interest::READ), A).unwrap();
    assert_eq!(now(&mut queue), [], "it is found, and told late");
    queue.remove(key).unwrap();
    queue.start(Operation::poll(on_quiet, Interest::READ), B).unwrap();
    silent(&mut queue);
    assert_eq!(queue.counters().stale, 1);
}

#[test]
fn connections_are_accepted_and_closed_with_their_listener() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let door = sim.listener();
    let listener = own(&mut queue, &door);
    let key = queue.start(Operation::accept_each(listener), A).unwrap();
    for _ in 0..3 {
        let peer = sim.connect(&door, 100).expect("somebody listens");
        assert_eq!(peer.write(b"!"), 1, "also before it is accepted");
        let (_, accepted) = done(&mut queue);
        let Payload::Simulated(descriptor) = accepted.payload else { panic!("{accepted:?}") };
        let stream = own(&mut queue, &descriptor);
        drop(descriptor);
        queue.start(Operation::receive(stream, room(8)), B).unwrap();
        assert_eq!(came(&mut queue), b"!");
        assert!(!peer.is_at_end());
        drop(queue.remove(stream).unwrap());
        assert!(peer.is_at_end(), "the last owner is gone");
    }
    queue.cancel(key).unwrap();
    assert_eq!(errno(&mut queue), ECANCELED);
    let waits = sim.connect(&door, 100).expect("somebody listens");
    silent(&mut queue);
    drop(queue.remove(listener).unwrap());
    assert!(!waits.is_at_end(), "the test has the listener too");
    drop(door);
    assert!(waits.is_at_end());
}

#[test]
fn a_stream_without_buffers_waits_for_one() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let arena = Arena::new(1 << 16).unwrap();
    let pool = FramePool::builder(1, 64).waker(queue.room_waker()).build(&arena).unwrap();
    let (descriptor, peer) = sim.stream_pair(100);
    let stream = own(&mut queue, &descriptor);
    queue.start(Operation::receive_each(stream, Arc::new(pool)), A).unwrap();
    assert_eq!(peer.write(&[7; 100]), 100);
    let (_, first) = done(&mut queue);
    assert_eq!(first.result, Ok(64));
    silent(&mut queue);
    assert!(wait(&mut queue, Wait::forever()).is_err(), "nothing can happen");
    drop(first);
    assert_eq!(came(&mut queue), [7; 36]);
    peer.finish();
    assert_eq!(done(&mut queue).1, Completed { result: Ok(0), payload: Payload::None });
}

#[test]
fn a_reset_comes_behind_what_came_and_breaks_what_goes() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let (descriptor, peer) = sim.stream_pair(4);
    let stream = own(&mut queue, &descriptor);
    queue.start(Operation::send(stream, Buffer::from(b"too large".to_vec())), A).unwrap();
    silent(&mut queue);
    assert_eq!(peer.write(b"x"), 1);
    peer.reset();
    assert_eq!(done(&mut queue).1.result, Ok(4), "so much had left");
    queue.start(Operation::receive(stream, room(8)), A).unwrap();
    queue.start(Operation::receive(stream, room(8)), A).unwrap();
    assert_eq!(came(&mut queue), b"x");
    assert_eq!(came(&mut queue), b"", "the send was told of the reset");
    let (descriptor, peer) = sim.stream_pair(4);
    let stream = own(&mut queue, &descriptor);
    peer.reset();
    queue.start(Operation::receive(stream, room(8)), A).unwrap();
    assert_eq!(errno(&mut queue), ECONNRESET);
    queue.start(Operation::send(stream, room(8)), A).unwrap();
    assert_eq!(errno(&mut queue), EPIPE);
}

#[test]
fn the_readiness_of_a_stream_follows_its_bytes() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let (descriptor, peer) = sim.stream_pair(4);
    let all = Interest::READ | Interest::WRITE | Interest::PEER_CLOSED;
    let watch = |mode| (Fd::simulated(&descriptor).interest(all), mode);
    let (fd, mode) = watch(Mode::Level);
    let level = queue.register(fd, A, mode).unwrap();
    let (fd, mode) = watch(Mode::Edge);
    queue.register(fd, B, mode).unwrap();
    let ready = |queue: &mut Queue| -> Vec<(Token, Readiness)> {
        let events = batch(queue, Wait::now());
        events.iter().map(|event| (event.token, crate::bench::readiness(event))).collect()
    };
    let writable = Readiness::WRITABLE;
    assert_eq!(ready(&mut queue), [(A, writable), (B, writable)]);
    assert_eq!(ready(&mut queue), [(A, writable)]);
    assert_eq!(peer.write(b"x"), 1);
    let both = writable | Readiness::READABLE;
    assert_eq!(ready(&mut queue), [(A, both), (B, both)]);
    queue.start(Operation::receive(level, room(8)), C).unwrap();
    queue.start(Operation::send(level, Buffer::from(b"full".to_vec())), D).unwrap();
    let mut ended = 0;
    while ended < 2 {
        ended += now(&mut queue).iter().filter(|&&token| token == C || token == D).count();
    }
    assert_eq!(ready(&mut queue), [], "neither bytes nor room");
    assert_eq!(peer.read(1), b"f");
    assert_eq!(ready(&mut queue), [(A, writable), (B, writable)]);
    peer.finish();
    let ended = both | Readiness::PEER_CLOSED;
    assert_eq!(ready(&mut queue), [(A, ended), (B, ended)]);
    peer.reset();
    let broken = ended | Readiness::ERROR | Readiness::HANG_UP;
    assert_eq!(ready(&mut queue)[0], (A, broken));
    sim.set(&descriptor, Readiness::empty());
    assert_eq!(sim.readiness(&descriptor), broken, "it says so by itself");
}

#[test]
fn an_operation_may_take_an_hour_and_no_longer() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let (descriptor, _peer) = sim.stream_pair(4);
    let stream = own(&mut queue, &descriptor);
    queue.start(Operation::receive(stream, room(8)).within(HOUR), A).unwrap();
    assert_eq!(errno(&mut queue), ETIMEDOUT);
    assert!(sim.elapsed() >= HOUR);
}

#[test]
fn what_a_simulation_has_not_says_so() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let (plain, door) = (sim.descriptor(), sim.listener());
    let (stream, _peer) = sim.stream_pair(4);
    let [on_plain, on_door, on_stream] =
        [&plain, &door, &stream].map(|descriptor| own(&mut queue, descriptor));
    let address = "127.0.0.1:1".parse().unwrap();
    let cases = [
        (Operation::receive(on_plain, room(8)), ENOTSOCK),
        (Operation::send(on_plain, room(8)), ENOTSOCK),
        (Operation::accept(on_plain), ENOTSOCK),
        (Operation::receive(on_door, room(8)), ENOTSOCK),
        (Operation::accept(on_stream), EINVAL),
        (Operation::connect(on_stream, address), EOPNOTSUPP),
        (Operation::sync(on_stream), EINVAL),
        (Operation::metadata(on_stream), EINVAL),
    ];
    for (operation, expected) in cases {
        let what = format!("{operation:?}");
        queue.start(operation, A).unwrap();
        assert_eq!(errno(&mut queue), expected, "{what}");
    }
    sim.set(&plain, Readiness::WRITABLE);
    queue.start(Operation::poll(on_plain, Interest::WRITE), A).unwrap();
    let bits = u32::from(Readiness::WRITABLE.bits());
    assert_eq!(done(&mut queue).1.result, Ok(bits));
}

/// What receives of one byte after the other come to, with a peer that writes.
fn results_under(faults: Faults) -> (Vec<Result<u32, Errno>>, Duration) {
    let sim = Sim::new(5);
    sim.faults(faults);
    let mut queue = queue(&sim);
    let (descriptor, peer) = sim.stream_pair(1000);
    let stream = own(&mut queue, &descriptor);
    let results = (0..50).map(|_| {
        queue.start(Operation::receive(stream, room(10)), A).unwrap();
        // As a rule there is nothing yet.
        queue.wait(Wait::now()).unwrap();
        let _ = peer.write(&[0; 10]);
        done(&mut queue).1.result
    });
    (results.collect(), sim.elapsed())
}

#[test]
fn faults_of_transfers_are_what_they_say() {
    let (none, took) = results_under(Faults::default());
    assert!(none.iter().all(|result| *result == Ok(10)) && took == Duration::ZERO);
    let (short, _) = results_under(Faults { short: 50, ..Faults::default() });
    assert!(short.iter().all(|result| (1..=10).contains(&result.unwrap())), "{short:?}");
    assert!(short.iter().any(|result| *result != Ok(10)), "{short:?}");
    let (again, _) = results_under(Faults { again: 90, ..Faults::default() });
    assert_eq!(again, none, "it is tried again");
    let (refused, _) = results_under(Faults { no_memory: 50, ..Faults::default() });
    for errno in [ENOMEM, ENOBUFS] {
        assert!(refused.contains(&Err(Errno(errno))), "{refused:?}");
    }
    let (reset, _) = results_under(Faults { reset: 10, ..Faults::default() });
    assert_eq!(reset.iter().filter(|result| **result == Err(Errno(ECONNRESET))).count(), 1);
    assert_eq!(reset.last(), Some(&Ok(0)));
    let (delayed, took) = results_under(Faults { delay: 100, ..Faults::default() });
    assert_eq!(delayed, none);
    assert!(took > Duration::ZERO);
}
