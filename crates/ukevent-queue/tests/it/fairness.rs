//! Taking turns: however busy one source is, the others come within a bounded number of events.

use crate::bench::{A, B, Bench, C, D, Door, batch, patient, posted, tokens, wait, while_busy};
use crate::subject::Queue;
use std::{collections::HashMap, time::Duration};
use ukevent_queue::{Merge, Mode, Timer, Token, User, Wait};

cases! {
    everywhere: [
        ready_levels_take_turns,
        every_one_of_many_has_its_turn_before_any_has_its_second,
        a_level_that_is_always_ready_does_not_starve_an_edge,
        what_was_disabled_and_enabled_has_one_turn,
    ],
    kernels: [
        a_wait_asks_for_what_is_ready_and_not_for_all,
    ],
}

/// Those that count on what waits to stay in its source.
mod of_one_waiter {
    cases_of_one_waiter! {
        everywhere: [
            a_ready_level_does_not_starve_posts_timers_and_others,
            a_storm_of_posts_does_not_starve_the_others,
            a_storm_of_timers_does_not_starve_the_others,
        ],
        kernels: [
            posts_from_a_busy_thread_do_not_starve_the_others,
            merged_posts_from_a_busy_thread_do_not_starve_the_others,
        ],
    }

    use super::{
        a_ready_level_does_not_starve_posts_timers_and_others,
        a_storm_of_posts_does_not_starve_the_others, a_storm_of_timers_does_not_starve_the_others,
        merged_posts_from_a_busy_thread_do_not_starve_the_others,
        posts_from_a_busy_thread_do_not_starve_the_others,
    };
}

/// Takes `count` events, at most `at_most` in a wait, and counts them by token.
fn turns(queue: &mut Queue, at_most: usize, count: usize) -> HashMap<Token, usize> {
    let mut turns = HashMap::new();
    let mut taken = 0;
    while taken < count {
        let events = batch(queue, patient().at_most(at_most));
        assert!(!events.is_empty(), "no event within the time, after {turns:?}");
        for token in tokens(&events) {
            *turns.entry(token).or_default() += 1;
        }
        taken += events.len();
    }
    turns
}

fn ready_levels_take_turns(bench: &Bench) {
    for at_most in 1..=4 {
        let mut queue = bench.queue();
        let doors: Vec<Door> = (0..8).map(|_| bench.door()).collect();
        for (door, token) in doors.iter().zip(0_u64..) {
            queue.register(door.source(), token.into(), Mode::Level).unwrap();
            door.knock();
        }
        let turns = turns(&mut queue, at_most, 80);
        for token in 0..8_u64 {
            let count = turns.get(&Token(token)).copied().unwrap_or(0);
            assert!(count >= 8, "{count} turns of {token}, at most {at_most} a wait: {turns:?}");
        }
    }
}

fn every_one_of_many_has_its_turn_before_any_has_its_second(bench: &Bench) {
    let mut queue = bench.queue();
    let doors: Vec<Door> = (0..400).map(|_| bench.door()).collect();
    for (door, token) in doors.iter().zip(0_u64..) {
        queue.register(door.source(), token.into(), Mode::Level).unwrap();
        door.knock();
    }
    for _ in 0..3 {
        let turns = turns(&mut queue, 5, 400);
        assert_eq!(turns.len(), 400, "each of them once");
    }
}

/// Checks that each of these tokens comes at least `share` times in `count` events.
#[track_caller]
fn none_starves(queue: &mut Queue, tokens: &[Token], share: usize, count: usize) {
    for at_most in 1..=4 {
        let turns = turns(queue, at_most, count);
        for token in tokens {
            let came = turns.get(token).copied().unwrap_or(0);
            assert!(came >= share, "{token:?} came {came} times, at most {at_most}: {turns:?}");
        }
    }
}

fn a_ready_level_does_not_starve_posts_timers_and_others(bench: &Bench) {
    let (mut queue, busy, door) = (bench.queue(), bench.door(), bench.door());
    queue.register(busy.source(), A, Mode::Level).unwrap();
    queue.register(door.source(), B, Mode::Level).unwrap();
    queue.register(Timer::every(Duration::from_nanos(1)), C, Mode::Level).unwrap();
    let user = queue.register(User::each(1 << 12), D, Mode::Level).unwrap();
    let poster = queue.poster(user).unwrap();
    for data in 0..1_000 {
        poster.post(data).unwrap();
    }
    busy.knock();
    door.knock();
    none_starves(&mut queue, &[A, B, D], 10, 60);
}

fn a_storm_of_posts_does_not_starve_the_others(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let storm = queue.register(User::each(1 << 12), A, Mode::Level).unwrap();
    queue.register(door.source(), B, Mode::Level).unwrap();
    let calm = queue.register(User::merged(Merge::Sum), C, Mode::Level).unwrap();
    let (storm, calm) = (queue.poster(storm).unwrap(), queue.poster(calm).unwrap());
    for data in 0..4_000 {
        storm.post(data).unwrap();
    }
    calm.post(1).unwrap();
    door.knock();
    let events: Vec<_> = (0..12).flat_map(|_| batch(&mut queue, Wait::now().at_most(1))).collect();
    let turns = tokens(&events);
    assert!(turns[..4].contains(&C), "the single post waits behind the storm: {turns:?}");
    assert!(turns.iter().filter(|&&token| token == B).count() >= 3, "{turns:?}");
    let data: Vec<u64> =
        events.iter().filter(|event| event.token == A).map(|event| posted(event).0).collect();
    assert!(data.iter().copied().eq(0..data.len() as u64), "in order all the same: {data:?}");
}

fn a_storm_of_timers_does_not_starve_the_others(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    for _ in 0..100 {
        queue.register(Timer::every(Duration::from_nanos(1)), A, Mode::Level).unwrap();
    }
    queue.register(door.source(), B, Mode::Level).unwrap();
    door.knock();
    bench.pass(Duration::from_millis(1));
    let events: Vec<_> = (0..300)
        .flat_map(|_| {
            // Virtual time stands still while there is something to do.
            if bench.kind == crate::bench::BackendKind::Sim {
                bench.pass(Duration::from_micros(100));
            }
            batch(&mut queue, patient().at_most(1))
        })
        .collect();
    let turns = tokens(&events).iter().filter(|&&token| token == B).count();
    assert!(turns >= 2, "{turns} turns among 300 events");
}

fn a_level_that_is_always_ready_does_not_starve_an_edge(bench: &Bench) {
    for at_most in 1..=4 {
        let mut queue = bench.queue();
        let doors: Vec<Door> = (0..5).map(|_| bench.door()).collect();
        for door in &doors {
            queue.register(door.source(), A, Mode::Level).unwrap();
            door.knock();
        }
        let edge = bench.door();
        queue.register(edge.source(), B, Mode::Edge).unwrap();
        turns(&mut queue, at_most, 20);
        for _ in 0..5 {
            edge.knock();
            let turns = turns(&mut queue, at_most, 12);
            assert!(turns.contains_key(&B), "at most {at_most}: {turns:?}");
        }
    }
}

fn what_was_disabled_and_enabled_has_one_turn(bench: &Bench) {
    let mut queue = bench.queue();
    let (twice, once) = (
        queue.register(User::each(64), A, Mode::Level).unwrap(),
        queue.register(User::each(64), B, Mode::Level).unwrap(),
    );
    let posters = [queue.poster(twice).unwrap(), queue.poster(once).unwrap()];
    for poster in &posters {
        for data in 0..20 {
            poster.post(data).unwrap();
        }
    }
    assert_eq!(wait(&mut queue, patient().at_least(40)), Ok(40));
    for _ in 0..5 {
        queue.disable(twice).unwrap();
        queue.enable(twice).unwrap();
    }
    let turns = turns(&mut queue, 1, 20);
    assert!(turns[&B] >= 9, "they alternate: {turns:?}");
}

fn posts_from_a_busy_thread_do_not_starve_the_others(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let user = queue.register(User::each(1 << 10), A, Mode::Level).unwrap();
    queue.register(door.source(), B, Mode::Level).unwrap();
    let poster = queue.poster(user).unwrap();
    door.knock();
    // Full is as good: there is always one.
    let post = || _ = poster.post(1);
    while_busy(post, || none_starves(&mut queue, &[B], 20, 100));
}

fn merged_posts_from_a_busy_thread_do_not_starve_the_others(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let user = queue.register(User::merged(Merge::Sum), A, Mode::Level).unwrap();
    queue.register(door.source(), B, Mode::Level).unwrap();
    let poster = queue.poster(user).unwrap();
    door.knock();
    let post = || poster.post(1).unwrap();
    while_busy(post, || none_starves(&mut queue, &[B], 20, 100));
}

/// However many fit into one report of the kernel: who is ready by level is told once a wait, and by as few calls.
fn a_wait_asks_for_what_is_ready_and_not_for_all(bench: &Bench) {
    let mut queue = bench.queue();
    let doors: Vec<Door> = (0..1500).map(|_| bench.door()).collect();
    for (place, door) in doors.iter().enumerate() {
        queue.register(door.source(), Token::from(place), Mode::Level).unwrap();
    }
    // What was armed is the kernel's now.
    assert_eq!(queue.wait(Wait::now()), Ok(0));
    for ready in [255, 256, 257, 511, 512, 513] {
        let open = &doors[..ready];
        open.iter().for_each(Door::knock);
        let before = queue.counters().system_calls;
        let events = batch(&mut queue, Wait::now());
        let calls = queue.counters().system_calls - before;
        assert_eq!(events.len(), ready);
        let all: std::collections::HashSet<Token> = tokens(&events).into_iter().collect();
        assert_eq!(all.len(), ready);
        // The others get all by one call, and a ring makes some to arm what is new.
        let is_epoll = bench.kind == crate::bench::BackendKind::Epoll;
        assert!(
            calls <= 3 || !is_epoll || bench.is_shared(),
            "{calls} calls for {ready} of {}",
            doors.len()
        );
        open.iter().for_each(Door::answer);
        while !batch(&mut queue, Wait::now()).is_empty() {}
    }
}
