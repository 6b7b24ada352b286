//! Waiting: for how many events, until when, and what ends it.

use crate::bench::{
    A, B, Bench, C, Door, PATIENCE, batch, expirations, next, now, now_sorted, once_asleep,
    patient, silent, tokens, until_asleep, wait,
};
use crate::subject::Queue;
use std::{thread, time::Duration};
use ukevent_queue::{Clock, Merge, Mode, Timer, Token, User, Wait, WaitError};

const CLOCKS: [Clock; 3] = [Clock::Monotonic, Clock::Boot, Clock::Wall];

cases! {
    everywhere: [
        now_returns_without_events,
        now_takes_what_is_there,
        within_no_time_is_now,
        before_the_first_wait_there_is_no_event,
        a_wait_ends_at_its_deadline_and_not_before,
        a_wait_on_each_clock_ends_at_its_deadline_and_not_before,
        a_deadline_in_the_past_does_not_block,
        a_deadline_in_the_past_takes_what_is_there,
        a_deadline_that_no_clock_reaches_is_no_deadline,
        a_deadline_is_forgotten_after_its_wait,
        for_ever_lasts_until_a_timer,
        at_least_none_is_now,
        at_least_some_returns_with_what_there_is_at_the_deadline,
        at_least_some_returns_at_once_if_there_are_as_many,
        at_most_leaves_the_rest_in_order,
        at_most_takes_the_rest_before_what_is_new,
        needing_more_than_one_lets_out_is_refused,
        letting_nothing_out_is_refused,
        a_refused_wait_loses_nothing,
        a_wait_lets_out_what_it_says,
        untaken_events_stay_for_the_next_wait,
        a_wake_before_the_wait_ends_it,
        wakes_before_a_wait_are_one,
        a_wake_lets_what_is_there_be_taken,
        a_level_counts_once_towards_at_least,
        what_is_disabled_does_not_count_towards_at_least,
        the_queue_counts_what_it_does,
    ],
    kernels: [
        for_ever_lasts_until_an_event,
        at_least_some_waits_for_as_many,
        at_least_some_waits_for_timers_and_posts_together,
        at_least_some_counts_posts_that_come_with_one_wake_up,
        at_least_some_counts_timers_that_come_with_one_wake_up,
        at_least_more_than_there_are_sources_ends_at_the_deadline,
        at_least_more_than_fit_in_the_ring_waits_for_them,
        a_wake_ends_the_wait,
        a_wake_ends_a_wait_for_more_than_there_is,
        a_wake_ends_a_wait_for_many_more,
        a_ready_level_lets_the_wait_for_more_sleep,
        many_ready_levels_let_the_wait_for_more_sleep,
        a_level_and_an_edge_that_wait_for_more_are_let_out_together,
        a_level_that_is_still_so_is_reported_after_a_long_wait,
        what_nobody_sees_does_not_end_a_wait,
        a_deadline_on_another_clock_does_not_count_as_an_event,
        a_timer_on_another_clock_ends_the_wait,
        a_shorter_timer_set_later_ends_the_wait_first,
    ],
}

fn now_returns_without_events(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    assert_eq!(wait(&mut queue, Wait::now()), Ok(0), "with no source at all");
    queue.register(door.source(), A, Mode::Level).unwrap();
    queue.register(Timer::after(PATIENCE * 100), B, Mode::Level).unwrap();
    queue.register(User::merged(Merge::Last), C, Mode::Level).unwrap();
    for _ in 0..10 {
        assert_eq!(wait(&mut queue, Wait::now()), Ok(0));
    }
    assert_eq!(queue.next_event(), None);
}

fn now_takes_what_is_there(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    let user = queue.register(User::merged(Merge::Last), B, Mode::Level).unwrap();
    queue.register(Timer::after(Duration::ZERO), C, Mode::Level).unwrap();
    door.knock();
    queue.poster(user).unwrap().post(1).unwrap();
    bench.pass(Duration::from_millis(1));
    assert_eq!(now_sorted(&mut queue), [A, B, C]);
}

fn within_no_time_is_now(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    assert_eq!(wait(&mut queue, Wait::within(Duration::ZERO)), Ok(0));
    assert_eq!(wait(&mut queue, Wait::within(Duration::ZERO).at_least(7)), Ok(0));
    door.knock();
    assert_eq!(tokens(&batch(&mut queue, Wait::within(Duration::ZERO).at_least(7))), [A]);
}

fn before_the_first_wait_there_is_no_event(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    let user = queue.register(User::merged(Merge::Last), B, Mode::Level).unwrap();
    door.knock();
    queue.poster(user).unwrap().post(1).unwrap();
    assert_eq!(queue.next_event(), None);
    assert_eq!(now_sorted(&mut queue), [A, B]);
}

fn a_wait_ends_at_its_deadline_and_not_before(bench: &Bench) {
    let mut queue = bench.queue();
    for time in [Duration::from_nanos(1), Duration::from_micros(100), Duration::from_millis(3)] {
        let before = queue.time(Clock::Monotonic);
        assert_eq!(wait(&mut queue, Wait::within(time)), Ok(0));
        assert!(queue.time(Clock::Monotonic) >= before + time, "{time:?}");
    }
}

fn a_wait_on_each_clock_ends_at_its_deadline_and_not_before(bench: &Bench) {
    let mut queue = bench.queue();
    for clock in CLOCKS {
        for time in [Duration::from_micros(100), Duration::from_millis(3)] {
            let deadline = queue.time(clock) + time;
            assert_eq!(wait(&mut queue, Wait::until(clock, deadline)), Ok(0));
            assert!(queue.time(clock) >= deadline, "{clock:?}");
        }
    }
}

fn a_deadline_in_the_past_does_not_block(bench: &Bench) {
    let mut queue = bench.queue();
    for clock in CLOCKS {
        let now = queue.time(clock);
        for past in [Duration::ZERO, now - Duration::from_nanos(1), now / 2] {
            let waited = wait(&mut queue, Wait::until(clock, past));
            assert_eq!(waited, Ok(0), "{clock:?} {past:?}");
        }
    }
}

fn a_deadline_in_the_past_takes_what_is_there(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    for clock in CLOCKS {
        let wait = Wait::until(clock, Duration::from_secs(1)).at_least(2);
        assert_eq!(tokens(&batch(&mut queue, wait)), [A], "{clock:?}");
    }
}

fn a_deadline_that_no_clock_reaches_is_no_deadline(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        queue.register(Timer::after(Duration::from_millis(1)), A, Mode::Level).unwrap();
        assert_eq!(wait(&mut queue, Wait::until(clock, Duration::MAX)), Ok(1), "{clock:?}");
        let mut queue = bench.queue();
        queue.register(Timer::after(Duration::from_millis(1)), A, Mode::Level).unwrap();
        assert_eq!(wait(&mut queue, Wait::within(Duration::MAX)), Ok(1));
    }
}

fn a_deadline_is_forgotten_after_its_wait(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    for clock in CLOCKS {
        door.knock();
        let deadline = queue.time(clock) + Duration::from_millis(2);
        assert_eq!(tokens(&batch(&mut queue, Wait::until(clock, deadline))), [A]);
        door.answer();
        bench.pass(Duration::from_millis(4));
        silent(&mut queue);
        // The old deadline is over, and this wait is not.
        let timer = Timer::after(Duration::from_millis(4));
        queue.register(timer, B, Mode::OneShot).unwrap();
        assert_eq!(next(&mut queue).token, B, "{clock:?}");
        assert_eq!(queue.counters().registered, 1);
    }
}

fn for_ever_lasts_until_a_timer(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        let timer = Timer::after(Duration::from_millis(5)).on(clock);
        queue.register(timer, A, Mode::Level).unwrap();
        assert_eq!(wait(&mut queue, Wait::forever()), Ok(1), "{clock:?}");
        assert_eq!(queue.next_event().unwrap().token, A);
    }
}

fn at_least_none_is_now(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    assert_eq!(wait(&mut queue, Wait::forever().at_least(0)), Ok(0));
    door.knock();
    assert_eq!(tokens(&batch(&mut queue, Wait::forever().at_least(0))), [A]);
}

fn at_least_some_returns_with_what_there_is_at_the_deadline(bench: &Bench) {
    let mut queue = bench.queue();
    let doors = [bench.door(), bench.door(), bench.door()];
    for (door, token) in doors.iter().zip([A, B, C]) {
        queue.register(door.source(), token, Mode::Level).unwrap();
    }
    doors[0].knock();
    doors[1].knock();
    let time = Duration::from_millis(5);
    let before = queue.time(Clock::Monotonic);
    let mut came = tokens(&batch(&mut queue, Wait::within(time).at_least(3)));
    came.sort_unstable();
    assert_eq!(came, [A, B]);
    assert!(queue.time(Clock::Monotonic) >= before + time, "it waited for the third");
}

fn at_least_more_than_fit_in_the_ring_waits_for_them(bench: &Bench) {
    let mut queue = bench.builder().ring(4, 4).build().unwrap();
    let doors: Vec<_> = (0..30).map(|_| bench.door()).collect();
    for door in &doors {
        queue.register(door.source(), A, Mode::Level).unwrap();
    }
    doors[..10].iter().for_each(Door::knock);
    let came = once_asleep(
        || wait(&mut queue, patient().at_least(30)),
        || doors[10..].iter().for_each(Door::knock),
    );
    assert_eq!(came, Ok(30));
}

fn at_least_some_returns_at_once_if_there_are_as_many(bench: &Bench) {
    let mut queue = bench.queue();
    let doors: Vec<Door> = (0..10).map(|_| bench.door()).collect();
    for door in &doors {
        queue.register(door.source(), A, Mode::Level).unwrap();
        door.knock();
    }
    assert_eq!(wait(&mut queue, Wait::forever().at_least(10)), Ok(10));
}

/// A source with so many posts.
fn posts(queue: &mut Queue, token: Token, count: u64) {
    let key = queue.register(User::each(1 << 10), token, Mode::Level).unwrap();
    let poster = queue.poster(key).unwrap();
    for data in 0..count {
        poster.post(data).unwrap();
    }
}

fn at_most_leaves_the_rest_in_order(bench: &Bench) {
    let mut queue = bench.queue();
    posts(&mut queue, A, 100);
    let mut data = Vec::new();
    while data.len() < 100 {
        let events = batch(&mut queue, Wait::now().at_most(7));
        assert!(!events.is_empty() && events.len() <= 7, "{}", events.len());
        data.extend(events.iter().map(|event| crate::bench::posted(event).0));
    }
    assert!(data.iter().copied().eq(0..100), "{data:?}");
    silent(&mut queue);
}

fn at_most_takes_the_rest_before_what_is_new(bench: &Bench) {
    let mut queue = bench.queue();
    let doors: Vec<Door> = (0..6).map(|_| bench.door()).collect();
    for (door, token) in doors.iter().zip(0_u64..) {
        queue.register(door.source(), token.into(), Mode::OneShot).unwrap();
    }
    silent(&mut queue);
    let mut order = Vec::new();
    for pair in doors.chunks(2) {
        for door in pair {
            door.knock();
        }
        order.extend(tokens(&batch(&mut queue, patient().at_most(1))));
    }
    while order.len() < 6 {
        order.extend(tokens(&batch(&mut queue, patient().at_most(1))));
    }
    // Of each pair either may be first, but no later pair comes before an earlier one.
    let pairs: Vec<u64> = order.iter().map(|token| token.0 / 2).collect();
    assert_eq!(pairs, [0, 0, 1, 1, 2, 2], "{order:?}");
}

fn needing_more_than_one_lets_out_is_refused(bench: &Bench) {
    let mut queue = bench.queue();
    let refused = wait(&mut queue, Wait::now().at_least(3).at_most(2));
    assert!(matches!(refused, Err(WaitError::Invalid(_))), "{refused:?}");
    assert_eq!(wait(&mut queue, Wait::now().at_least(2).at_most(2)), Ok(0));
}

fn letting_nothing_out_is_refused(bench: &Bench) {
    let mut queue = bench.queue();
    for lets in [Wait::now(), Wait::now().at_least(0), patient()] {
        let refused = wait(&mut queue, lets.at_most(0));
        assert!(matches!(refused, Err(WaitError::Invalid(_))), "{refused:?}");
    }
}

fn a_refused_wait_loses_nothing(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Edge).unwrap();
    posts(&mut queue, B, 2);
    door.knock();
    assert!(wait(&mut queue, Wait::now().at_most(0)).is_err());
    assert_eq!(now_sorted(&mut queue), [A, B, B]);
}

fn a_wait_lets_out_what_it_says(bench: &Bench) {
    let mut queue = bench.queue();
    posts(&mut queue, A, 10);
    for at_most in [1, 2, 3] {
        assert_eq!(wait(&mut queue, Wait::now().at_most(at_most)), Ok(at_most));
        for _ in 0..at_most {
            assert!(queue.next_event().is_some());
        }
        assert_eq!(queue.next_event(), None, "more than {at_most}");
    }
}

fn untaken_events_stay_for_the_next_wait(bench: &Bench) {
    let mut queue = bench.queue();
    posts(&mut queue, A, 3);
    for _ in 0..3 {
        assert_eq!(wait(&mut queue, Wait::now()), Ok(3));
    }
    assert!(queue.next_event().is_some());
    assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2));
    assert_eq!(now(&mut queue).len(), 2);
}

fn a_wake_before_the_wait_ends_it(bench: &Bench) {
    let mut queue = bench.queue();
    queue.waker().wake();
    assert_eq!(wait(&mut queue, Wait::forever()), Ok(0));
    queue.waker().wake();
    assert_eq!(wait(&mut queue, Wait::now()), Ok(0));
    // It was used up.
    queue.register(Timer::after(Duration::from_millis(2)), A, Mode::Level).unwrap();
    assert_eq!(next(&mut queue).token, A);
}

fn wakes_before_a_wait_are_one(bench: &Bench) {
    let mut queue = bench.queue();
    let waker = queue.waker();
    for _ in 0..5 {
        waker.clone().wake();
    }
    assert_eq!(wait(&mut queue, Wait::forever()), Ok(0));
    queue.register(Timer::after(Duration::from_millis(2)), A, Mode::Level).unwrap();
    assert_eq!(wait(&mut queue, Wait::forever()), Ok(1), "only an event ends this one");
}

fn a_wake_lets_what_is_there_be_taken(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    queue.waker().wake();
    assert_eq!(wait(&mut queue, Wait::forever().at_least(2)), Ok(1));
    assert_eq!(queue.next_event().unwrap().token, A);
}

fn a_level_counts_once_towards_at_least(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    let wait = Wait::within(Duration::from_millis(3)).at_least(2);
    assert_eq!(tokens(&batch(&mut queue, wait)), [A]);
    assert_eq!(tokens(&batch(&mut queue, wait)), [A]);
}

fn what_is_disabled_does_not_count_towards_at_least(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let fd = queue.register(door.source(), A, Mode::Level).unwrap();
    let user = queue.register(User::each(8), B, Mode::Level).unwrap();
    let timer = queue.register(Timer::after(Duration::from_millis(1)), C, Mode::Level).unwrap();
    for key in [fd, user, timer] {
        queue.disable(key).unwrap();
    }
    door.knock();
    let poster = queue.poster(user).unwrap();
    poster.post(1).unwrap();
    poster.post(2).unwrap();
    assert_eq!(wait(&mut queue, Wait::within(Duration::from_millis(5))), Ok(0));
    for key in [fd, user, timer] {
        queue.enable(key).unwrap();
    }
    let events = batch(&mut queue, patient().at_least(4));
    let timers: Vec<u64> =
        events.iter().filter(|event| event.token == C).map(expirations).collect();
    assert_eq!(timers, [1]);
}

fn the_queue_counts_what_it_does(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    posts(&mut queue, B, 4);
    door.knock();
    assert_eq!(wait(&mut queue, Wait::now()), Ok(5));
    while queue.next_event().is_some() {}
    assert_eq!(wait(&mut queue, Wait::now().at_most(1)), Ok(1));
    queue.next_event();
    let counters = queue.counters();
    assert_eq!((counters.waits, counters.events, counters.batch_max), (2, 6, 5));
    assert_eq!(counters.registered, 2);
    assert_eq!((counters.untrue, counters.rescans, counters.overflows), (0, 0, 0));
    assert!(counters.system_calls >= 1);
    queue.remove(key).unwrap();
    assert_eq!(queue.counters().registered, 1);
}

fn for_ever_lasts_until_an_event(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    for _ in 0..3 {
        let waited = once_asleep(|| wait(&mut queue, Wait::forever()), || door.knock());
        assert_eq!(waited, Ok(1));
        assert_eq!(queue.next_event().unwrap().token, A);
        door.answer();
    }
}

fn at_least_some_waits_for_as_many(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let mut queue = bench.queue();
        let doors: Vec<Door> = (0..8).map(|_| bench.door()).collect();
        for (door, token) in doors.iter().zip(0_u64..) {
            queue.register(door.source(), token.into(), mode).unwrap();
        }
        let thread = ukevent_sys::signal::this_thread();
        let knock = || {
            for door in &doors {
                until_asleep(thread);
                door.knock();
            }
        };
        let events = once_asleep(|| batch(&mut queue, patient().at_least(8)), knock);
        let mut came = tokens(&events);
        came.sort_unstable();
        assert!(came.iter().copied().eq((0..8).map(Token)), "{mode:?}: {came:?}");
    }
}

fn at_least_some_waits_for_timers_and_posts_together(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    queue.register(Timer::after(Duration::from_millis(2)), B, Mode::Level).unwrap();
    let user = queue.register(User::each(8), C, Mode::Level).unwrap();
    let poster = queue.poster(user).unwrap();
    let wait = || batch(&mut queue, patient().at_least(4));
    let events = once_asleep(wait, || {
        poster.post(1).unwrap();
        thread::yield_now();
        door.knock();
        poster.post(2).unwrap();
    });
    let mut came = tokens(&events);
    came.sort_unstable();
    assert_eq!(came, [A, B, C, C]);
}

fn at_least_some_counts_posts_that_come_with_one_wake_up(bench: &Bench) {
    let mut queue = bench.queue();
    let user = queue.register(User::each(64), A, Mode::Level).unwrap();
    let poster = queue.poster(user).unwrap();
    let waited = once_asleep(
        || wait(&mut queue, Wait::forever().at_least(10)),
        || (0..10).for_each(|data| poster.post(data).unwrap()),
    );
    assert_eq!(waited, Ok(10));
}

fn at_least_some_counts_timers_that_come_with_one_wake_up(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        let time = queue.time(clock) + Duration::from_millis(2);
        for _ in 0..10 {
            queue.register(Timer::at(clock, time), A, Mode::OneShot).unwrap();
        }
        assert_eq!(wait(&mut queue, Wait::forever().at_least(10)), Ok(10), "{clock:?}");
    }
}

fn at_least_more_than_there_are_sources_ends_at_the_deadline(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    let wait = Wait::within(Duration::from_millis(20)).at_least(1_000_000);
    let events = once_asleep(|| batch(&mut queue, wait), || door.knock());
    assert_eq!(tokens(&events), [A]);
}

fn a_wake_ends_the_wait(bench: &Bench) {
    let mut queue = bench.queue();
    for _ in 0..3 {
        let waker = queue.waker();
        let waited = once_asleep(|| wait(&mut queue, Wait::forever()), || waker.wake());
        assert_eq!(waited, Ok(0));
    }
}

fn a_wake_ends_a_wait_for_more_than_there_is(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    let waker = queue.waker();
    let wait = || batch(&mut queue, patient().at_least(2));
    assert_eq!(tokens(&once_asleep(wait, || waker.wake())), [A]);
}

fn a_wake_ends_a_wait_for_many_more(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    for _ in 0..3 {
        let waker = queue.waker();
        let waited =
            once_asleep(|| wait(&mut queue, Wait::forever().at_least(100)), || waker.wake());
        assert_eq!(waited, Ok(0));
    }
}

/// More system calls than one wait may need, and far fewer than one that spins makes.
const A_FEW: u64 = 25;

fn a_ready_level_lets_the_wait_for_more_sleep(bench: &Bench) {
    let (mut queue, door, other) = (bench.queue(), bench.door(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    queue.register(other.source(), B, Mode::Level).unwrap();
    door.knock();
    for _ in 0..3 {
        let before = queue.counters().system_calls;
        let wait = || batch(&mut queue, patient().at_least(2));
        let mut came = tokens(&once_asleep(wait, || {
            // Long enough for thousands of calls, were it to spin.
            thread::sleep(Duration::from_millis(20));
            other.knock();
        }));
        came.sort_unstable();
        assert_eq!(came, [A, B]);
        let calls = queue.counters().system_calls - before;
        assert!(calls <= A_FEW, "{calls} system calls for one wait");
        other.answer();
    }
}

fn many_ready_levels_let_the_wait_for_more_sleep(bench: &Bench) {
    let (mut queue, other) = (bench.queue(), bench.door());
    let doors: Vec<Door> = (0..50).map(|_| bench.door()).collect();
    for door in &doors {
        queue.register(door.source(), A, Mode::Level).unwrap();
        door.knock();
    }
    queue.register(other.source(), B, Mode::Level).unwrap();
    let before = queue.counters().system_calls;
    let wait = || batch(&mut queue, patient().at_least(51));
    let came = tokens(&once_asleep(wait, || {
        thread::sleep(Duration::from_millis(20));
        other.knock();
    }));
    assert_eq!(came.len(), 51);
    assert!(came.contains(&B));
    // epoll takes each level out of its set for the rest of the wait.
    let calls = queue.counters().system_calls - before;
    assert!(calls <= A_FEW + 50, "{calls} system calls for one wait");
}

fn a_level_and_an_edge_that_wait_for_more_are_let_out_together(bench: &Bench) {
    let mut queue = bench.queue();
    let doors = [bench.door(), bench.door(), bench.door()];
    queue.register(doors[0].source(), A, Mode::Level).unwrap();
    queue.register(doors[1].source(), B, Mode::Edge).unwrap();
    queue.register(doors[2].source(), C, Mode::Dispatch).unwrap();
    doors[0].knock();
    doors[1].knock();
    let wait = || batch(&mut queue, patient().at_least(3));
    let mut came = tokens(&once_asleep(wait, || doors[2].knock()));
    came.sort_unstable();
    assert_eq!(came, [A, B, C]);
    assert_eq!(now(&mut queue), [A], "only the level is still so");
}

fn a_level_that_is_still_so_is_reported_after_a_long_wait(bench: &Bench) {
    let (mut queue, door, other) = (bench.queue(), bench.door(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    queue.register(other.source(), B, Mode::Level).unwrap();
    door.knock();
    for _ in 0..3 {
        let wait = Wait::within(Duration::from_millis(2)).at_least(2);
        assert_eq!(tokens(&batch(&mut queue, wait)), [A]);
    }
    door.answer();
    other.knock();
    assert_eq!(now(&mut queue), [B], "neither parked nor remembered");
    door.knock();
    assert_eq!(now_sorted(&mut queue), [A, B]);
}

fn what_nobody_sees_does_not_end_a_wait(bench: &Bench) {
    let (mut queue, gone, left) = (bench.queue(), bench.door(), bench.door());
    let user = queue.register(User::each(64), A, Mode::Level).unwrap();
    let disabled = queue.register(User::each(64), A, Mode::Level).unwrap();
    let key = queue.register(gone.source(), A, Mode::Edge).unwrap();
    queue.register(left.source(), B, Mode::Level).unwrap();
    // A timer of another clock that is taken away leaves its timerfd set. A wait that blocks sets it; on
    // a busy machine it may last until the timer expires.
    let timer = loop {
        let boot = Timer::after(Duration::from_millis(50)).on(Clock::Boot);
        let timer = queue.register(boot, A, Mode::Level).unwrap();
        if batch(&mut queue, Wait::within(Duration::from_millis(1))).is_empty() {
            break timer;
        }
        queue.remove(timer).unwrap();
    };
    let posters = [queue.poster(user).unwrap(), queue.poster(disabled).unwrap()];
    gone.knock();
    posters[0].post(1).unwrap();
    queue.remove(key).unwrap();
    queue.remove(user).unwrap();
    queue.remove(timer).unwrap();
    queue.disable(disabled).unwrap();
    let wait = || batch(&mut queue, patient());
    let events = once_asleep(wait, || {
        gone.knock();
        for data in 0..60 {
            posters[1].post(data).unwrap();
            assert!(posters[0].post(data).is_err(), "it was removed");
            thread::sleep(Duration::from_millis(1));
        }
        left.knock();
    });
    assert_eq!(tokens(&events), [B]);
}

fn a_deadline_on_another_clock_does_not_count_as_an_event(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    for clock in [Clock::Boot, Clock::Wall] {
        let deadline = queue.time(clock) + Duration::from_millis(3);
        let events = batch(&mut queue, Wait::until(clock, deadline).at_least(2));
        assert_eq!(tokens(&events), [A], "{clock:?}");
        assert!(queue.time(clock) >= deadline, "{clock:?}");
        assert_eq!(queue.counters().registered, 1, "nor as a registration");
    }
}

fn a_timer_on_another_clock_ends_the_wait(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    for clock in [Clock::Boot, Clock::Wall] {
        let timer = Timer::after(Duration::from_millis(3)).on(clock);
        queue.register(timer, B, Mode::OneShot).unwrap();
        let mut came = tokens(&batch(&mut queue, patient().at_least(2)));
        came.sort_unstable();
        assert_eq!(came, [A, B], "{clock:?}");
    }
}

fn a_shorter_timer_set_later_ends_the_wait_first(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        queue.register(Timer::after(PATIENCE * 100).on(clock), A, Mode::Level).unwrap();
        silent(&mut queue);
        let timer = Timer::after(Duration::from_millis(2)).on(clock);
        queue.register(timer, B, Mode::Level).unwrap();
        assert_eq!(next(&mut queue).token, B, "{clock:?}");
    }
}
