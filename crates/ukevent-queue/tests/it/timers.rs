//! Timers: never early, each period counted, on three clocks; and what changing, disabling and
//! removing one means.

use crate::bench::{
    A, B, Bench, C, batch, expirations, next, now, now_sorted, patient, silent, tokens, wait,
};
use std::time::Duration;
use ukevent_queue::{Change, Clock, Mode, NoSuchKey, Timer, Token, Wait};

const CLOCKS: [Clock; 3] = [Clock::Monotonic, Clock::Boot, Clock::Wall];
const SOON: Duration = Duration::from_millis(2);
const NEVER: Duration = Duration::from_secs(1 << 30);

cases! {
    everywhere: [
        a_timer_fires_once_and_not_before_its_time,
        a_timer_at_a_time_fires_then,
        a_timer_at_a_time_in_the_past_fires_at_once,
        a_timer_after_no_time_fires_at_once,
        a_timer_on_another_clock_measures_on_it,
        a_periodic_timer_fires_again_and_again,
        periods_that_passed_unseen_are_counted,
        periods_keep_to_the_first_beat,
        a_period_of_no_time_is_one_of_a_nanosecond,
        a_periodic_timer_that_began_long_ago_counts_them_all,
        a_first_time_and_a_period_are_two_things,
        timers_fire_in_the_order_of_their_times,
        ten_thousand_timers_each_fire_once_and_none_early,
        ten_thousand_timers_and_half_of_them_removed,
        a_timer_that_is_too_far_away_never_fires,
        a_removed_timer_never_fires,
        a_timer_removed_in_the_loop_does_not_come,
        a_timer_changed_starts_anew,
        a_timer_that_has_fired_can_be_set_again,
        a_timer_changed_to_another_clock_follows_that,
        a_timer_set_from_its_own_event_fires_again,
        a_disabled_timer_goes_on_and_tells_when_enabled,
        a_disabled_timer_that_did_not_expire_tells_nothing_when_enabled,
        a_one_shot_timer_is_removed_by_its_event,
        a_one_shot_periodic_timer_fires_once,
        a_dispatched_timer_waits_to_be_enabled_and_counts_meanwhile,
        an_edge_is_as_good_as_a_level,
        timers_registered_in_the_loop_fire_in_a_later_wait,
        a_timer_is_no_descriptor_and_costs_no_call,
    ],
}

/// Those that count on what waits to stay in its source.
mod of_one_waiter {
    cases_of_one_waiter! {
        everywhere: [
            a_timer_changed_drops_what_had_expired,
            a_timer_that_waits_its_turn_adds_up,
        ],
    }

    use super::{a_timer_changed_drops_what_had_expired, a_timer_that_waits_its_turn_adds_up};
}

fn a_timer_fires_once_and_not_before_its_time(bench: &Bench) {
    let mut queue = bench.queue();
    let before = queue.time(Clock::Monotonic);
    queue.register(Timer::after(SOON), A, Mode::Level).unwrap();
    let event = next(&mut queue);
    assert!(queue.time(Clock::Monotonic) >= before + SOON);
    assert_eq!((event.token, expirations(&event)), (A, 1));
    bench.pass(SOON);
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 1, "it may be set again");
}

fn a_timer_at_a_time_fires_then(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        let time = queue.time(clock) + SOON;
        queue.register(Timer::at(clock, time), A, Mode::Level).unwrap();
        assert_eq!(expirations(&next(&mut queue)), 1);
        assert!(queue.time(clock) >= time, "{clock:?}");
        silent(&mut queue);
    }
}

fn a_timer_at_a_time_in_the_past_fires_at_once(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        for past in [Duration::ZERO, Duration::from_secs(1), queue.time(clock)] {
            queue.register(Timer::at(clock, past), A, Mode::OneShot).unwrap();
            // A tick of the wheel may lie between now and what is due now.
            assert_eq!(expirations(&next(&mut queue)), 1, "{clock:?} {past:?}");
        }
        queue.register(Timer::at(clock, Duration::ZERO), A, Mode::OneShot).unwrap();
        assert_eq!(now(&mut queue), [A], "{clock:?}: without a wait that blocks");
    }
}

fn a_timer_after_no_time_fires_at_once(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        queue.register(Timer::after(Duration::ZERO).on(clock), A, Mode::Level).unwrap();
        assert_eq!(expirations(&next(&mut queue)), 1, "{clock:?}");
    }
}

fn a_timer_on_another_clock_measures_on_it(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        let before = queue.time(clock);
        queue.register(Timer::after(SOON).on(clock), A, Mode::Level).unwrap();
        assert_eq!(next(&mut queue).token, A);
        assert!(queue.time(clock) >= before + SOON, "{clock:?}");
    }
}

fn a_periodic_timer_fires_again_and_again(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        let period = Duration::from_millis(1);
        let start = queue.time(clock);
        let key = queue.register(Timer::every(period).on(clock), A, Mode::Level).unwrap();
        let mut sum = 0;
        for _ in 0..5 {
            let event = next(&mut queue);
            assert_eq!(event.key, key);
            sum += expirations(&event);
            let passed = (queue.time(clock) - start).as_nanos() / period.as_nanos();
            assert!(u128::from(sum) <= passed, "{clock:?}: {sum} periods told, {passed} passed");
        }
    }
}

fn periods_that_passed_unseen_are_counted(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        let period = Duration::from_millis(1);
        let start = queue.time(clock);
        queue.register(Timer::every(period).on(clock), A, Mode::Level).unwrap();
        bench.pass(period * 10 + period / 2);
        let at_least = (queue.time(clock) - start).as_nanos() / period.as_nanos();
        // The timer began a moment after `start`, so one fewer may have passed.
        let events = batch(&mut queue, Wait::now());
        assert_eq!(tokens(&events), [A], "{clock:?}: one event for all of them");
        let told = u128::from(expirations(&events[0]));
        assert!(told + 1 >= at_least && told >= 10, "{clock:?}: {told} told, {at_least} passed");
    }
}

fn periods_keep_to_the_first_beat(bench: &Bench) {
    let mut queue = bench.queue();
    let period = Duration::from_millis(1);
    let first = queue.time(Clock::Monotonic) + period;
    let timer = Timer::at(Clock::Monotonic, first).repeat(period);
    queue.register(timer, A, Mode::Level).unwrap();
    let mut sum = 0;
    while sum < 20 {
        sum += expirations(&next(&mut queue));
        let now = queue.time(Clock::Monotonic);
        // The `sum`th beat is at `first` and `sum - 1` periods, however late the others came.
        let last = first + period * (sum as u32 - 1);
        assert!(now >= last, "beat {sum} came {:?} early", last - now);
        bench.pass(period / 3);
    }
    let beats = (queue.time(Clock::Monotonic) - first).as_nanos() / period.as_nanos() + 1;
    let events = batch(&mut queue, Wait::now());
    sum += events.iter().map(expirations).sum::<u64>();
    assert!(u128::from(sum) + 1 >= beats, "{sum} beats told, {beats} were");
}

fn a_period_of_no_time_is_one_of_a_nanosecond(bench: &Bench) {
    let mut queue = bench.queue();
    queue.register(Timer::every(Duration::ZERO), A, Mode::Level).unwrap();
    for _ in 0..3 {
        bench.pass(Duration::from_micros(50));
        assert!(expirations(&next(&mut queue)) >= 1_000);
    }
}

fn a_periodic_timer_that_began_long_ago_counts_them_all(bench: &Bench) {
    let mut queue = bench.queue();
    let now = queue.time(Clock::Wall);
    let hour = Duration::from_secs(3600);
    let began = now - hour * 1_000 - hour / 2;
    queue.register(Timer::at(Clock::Wall, began).repeat(hour), A, Mode::Level).unwrap();
    assert_eq!(expirations(&next(&mut queue)), 1_001);
    silent(&mut queue);
}

fn a_first_time_and_a_period_are_two_things(bench: &Bench) {
    let mut queue = bench.queue();
    let timer = Timer::after(Duration::ZERO).repeat(NEVER);
    queue.register(timer, A, Mode::Level).unwrap();
    let timer = Timer::after(NEVER).repeat(Duration::from_nanos(1));
    queue.register(timer, B, Mode::Level).unwrap();
    let event = next(&mut queue);
    assert_eq!((event.token, expirations(&event)), (A, 1));
    bench.pass(SOON);
    silent(&mut queue);
}

fn timers_fire_in_the_order_of_their_times(bench: &Bench) {
    let mut queue = bench.queue();
    let start = queue.time(Clock::Monotonic);
    // Apart by more than the wheel's tick; near and far, so on several of its levels.
    let mut times: Vec<u64> = (1..=40).map(|n| n * n * 25).collect();
    testkit::Rng::seeded().shuffle(&mut times);
    for &micros in &times {
        let timer = Timer::at(Clock::Monotonic, start + Duration::from_micros(micros));
        queue.register(timer, Token(micros), Mode::OneShot).unwrap();
    }
    let mut came = Vec::new();
    while came.len() < times.len() {
        came.push(next(&mut queue).token.0);
    }
    times.sort_unstable();
    assert_eq!(came, times);
}

fn ten_thousand_timers_each_fire_once_and_none_early(bench: &Bench) {
    let mut queue = bench.queue();
    let mut dice = testkit::Rng::seeded();
    let start = queue.time(Clock::Monotonic);
    let times: Vec<Duration> =
        (0..10_000).map(|_| start + Duration::from_nanos(dice.below(20_000_000))).collect();
    for (&time, token) in times.iter().zip(0_u64..) {
        queue.register(Timer::at(Clock::Monotonic, time), token.into(), Mode::OneShot).unwrap();
    }
    let mut fired = vec![0; times.len()];
    for left in (1..=times.len()).rev() {
        if queue.next_event().is_some() {
            panic!("not before a wait");
        }
        let at_most = 1 + dice.below(64) as usize;
        let events = batch(&mut queue, patient().at_most(at_most));
        assert!(!events.is_empty(), "{left} are missing");
        let now = queue.time(Clock::Monotonic);
        for event in events {
            let at = event.token.0 as usize;
            fired[at] += expirations(&event);
            assert!(times[at] <= now, "{:?} early", times[at] - now);
        }
        if queue.counters().registered == 0 {
            break;
        }
    }
    assert!(fired.iter().all(|&count| count == 1));
    assert_eq!(queue.counters().registered, 0);
}

fn ten_thousand_timers_and_half_of_them_removed(bench: &Bench) {
    let mut queue = bench.queue();
    let mut dice = testkit::Rng::seeded();
    let keys: Vec<_> = (0..10_000_u64)
        .map(|token| {
            let time = Duration::from_micros(dice.below(10_000));
            queue.register(Timer::after(time), token.into(), Mode::OneShot).unwrap()
        })
        .collect();
    for key in keys.iter().step_by(2) {
        queue.remove(*key).unwrap();
    }
    let mut came = Vec::new();
    while came.len() < 5_000 {
        let events = batch(&mut queue, patient());
        assert!(!events.is_empty(), "{} of 5,000 came", came.len());
        came.extend(tokens(&events));
    }
    came.sort_unstable();
    assert!(came.iter().map(|token| token.0).eq((1..10_000).step_by(2)));
    silent(&mut queue);
}

fn a_timer_that_is_too_far_away_never_fires(bench: &Bench) {
    let mut queue = bench.queue();
    for clock in CLOCKS {
        queue.register(Timer::after(Duration::MAX).on(clock), A, Mode::Level).unwrap();
        queue.register(Timer::at(clock, Duration::MAX), A, Mode::Level).unwrap();
        queue.register(Timer::after(NEVER).on(clock), A, Mode::Level).unwrap();
        queue.register(Timer::every(Duration::MAX).on(clock), A, Mode::Level).unwrap();
    }
    silent(&mut queue);
    queue.register(Timer::after(SOON), B, Mode::Level).unwrap();
    assert_eq!(next(&mut queue).token, B, "and the near ones fire all the same");
    silent(&mut queue);
}

fn a_removed_timer_never_fires(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        let key = queue.register(Timer::every(SOON).on(clock), A, Mode::Level).unwrap();
        queue.remove(key).unwrap();
        let key = queue.register(Timer::every(SOON).on(clock), A, Mode::Level).unwrap();
        assert_eq!(next(&mut queue).token, A);
        queue.remove(key).unwrap();
        assert_eq!(wait(&mut queue, Wait::within(SOON * 3)), Ok(0), "{clock:?}");
    }
}

fn a_timer_removed_in_the_loop_does_not_come(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        let keys = [A, B].map(|token| {
            let timer = Timer::after(Duration::from_micros(100)).on(clock);
            queue.register(timer, token, Mode::Level).unwrap()
        });
        assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2));
        let taken = queue.next_event().unwrap().key;
        queue.remove(if taken == keys[0] { keys[1] } else { keys[0] }).unwrap();
        assert_eq!(queue.next_event(), None, "{clock:?}");
        silent(&mut queue);
    }
}

fn a_timer_changed_starts_anew(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        let key = queue.register(Timer::after(NEVER).on(clock), A, Mode::Level).unwrap();
        silent(&mut queue);
        let before = queue.time(clock);
        queue.modify(key, Change::new().timer(Timer::after(SOON).on(clock))).unwrap();
        assert_eq!(next(&mut queue).key, key);
        assert!(queue.time(clock) >= before + SOON, "{clock:?}");
        // And the other way: what was near is far.
        queue.modify(key, Change::new().timer(Timer::after(SOON).on(clock))).unwrap();
        queue.modify(key, Change::new().timer(Timer::after(NEVER).on(clock))).unwrap();
        assert_eq!(wait(&mut queue, Wait::within(SOON * 3)), Ok(0), "{clock:?}");
    }
}

fn a_timer_changed_drops_what_had_expired(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(Timer::every(Duration::from_nanos(1)), A, Mode::Level).unwrap();
    bench.pass(SOON);
    assert_eq!(wait(&mut queue, patient()), Ok(1));
    queue.modify(key, Change::new().timer(Timer::after(NEVER))).unwrap();
    assert_eq!(queue.next_event(), None);
    silent(&mut queue);
}

fn a_timer_that_has_fired_can_be_set_again(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(Timer::after(Duration::ZERO), A, Mode::Level).unwrap();
    for _ in 0..3 {
        assert_eq!(next(&mut queue).key, key);
        silent(&mut queue);
        queue.modify(key, Change::new().timer(Timer::after(SOON))).unwrap();
    }
}

fn a_timer_changed_to_another_clock_follows_that(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(Timer::after(NEVER), A, Mode::Level).unwrap();
    for from in CLOCKS {
        for to in CLOCKS {
            queue.modify(key, Change::new().timer(Timer::after(NEVER).on(from))).unwrap();
            silent(&mut queue);
            let time = queue.time(to) + Duration::from_micros(500);
            queue.modify(key, Change::new().timer(Timer::at(to, time))).unwrap();
            assert_eq!(expirations(&next(&mut queue)), 1, "{from:?} to {to:?}");
            assert!(queue.time(to) >= time, "{from:?} to {to:?}");
            silent(&mut queue);
        }
    }
}

fn a_timer_set_from_its_own_event_fires_again(bench: &Bench) {
    let mut queue = bench.queue();
    queue.register(Timer::after(Duration::ZERO), Token(0), Mode::OneShot).unwrap();
    for round in 0..10 {
        let event = next(&mut queue);
        assert_eq!(event.token, Token(round));
        let timer = Timer::after(Duration::from_micros(round * 50));
        queue.register(timer, Token(round + 1), Mode::OneShot).unwrap();
    }
    assert_eq!(queue.counters().registered, 1);
}

fn a_disabled_timer_goes_on_and_tells_when_enabled(bench: &Bench) {
    for clock in CLOCKS {
        let mut queue = bench.queue();
        let period = Duration::from_millis(1);
        let key = queue.register(Timer::every(period).on(clock), A, Mode::Level).unwrap();
        queue.disable(key).unwrap();
        assert_eq!(wait(&mut queue, Wait::within(period * 4)), Ok(0), "{clock:?}");
        bench.pass(period * 4);
        silent(&mut queue);
        queue.enable(key).unwrap();
        let events = batch(&mut queue, Wait::now());
        assert_eq!(tokens(&events), [A], "{clock:?}");
        assert!(expirations(&events[0]) >= 7, "{clock:?}: {events:?}");
    }
}

fn a_disabled_timer_that_did_not_expire_tells_nothing_when_enabled(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(Timer::after(NEVER), A, Mode::Level).unwrap();
    queue.disable(key).unwrap();
    silent(&mut queue);
    queue.enable(key).unwrap();
    silent(&mut queue);
}

fn a_one_shot_timer_is_removed_by_its_event(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(Timer::after(SOON), A, Mode::OneShot).unwrap();
    assert_eq!(next(&mut queue).key, key);
    assert!(matches!(queue.remove(key), Err(NoSuchKey)));
    assert_eq!(queue.counters().registered, 0);
}

fn a_one_shot_periodic_timer_fires_once(bench: &Bench) {
    let mut queue = bench.queue();
    let period = Duration::from_millis(1);
    queue.register(Timer::every(period), A, Mode::OneShot).unwrap();
    bench.pass(period * 3);
    assert!(expirations(&next(&mut queue)) >= 3);
    assert_eq!(wait(&mut queue, Wait::within(period * 3)), Ok(0));
}

fn a_dispatched_timer_waits_to_be_enabled_and_counts_meanwhile(bench: &Bench) {
    let mut queue = bench.queue();
    let period = Duration::from_millis(1);
    let key = queue.register(Timer::every(period), A, Mode::Dispatch).unwrap();
    for _ in 0..3 {
        assert_eq!(next(&mut queue).key, key);
        assert_eq!(wait(&mut queue, Wait::within(period * 5)), Ok(0));
        queue.enable(key).unwrap();
        let events = batch(&mut queue, Wait::now());
        assert!(expirations(&events[0]) >= 4, "{events:?}");
        queue.enable(key).unwrap();
    }
}

fn a_timer_that_waits_its_turn_adds_up(bench: &Bench) {
    let mut queue = bench.queue();
    let period = Duration::from_millis(1);
    queue.register(Timer::every(period), A, Mode::Level).unwrap();
    for _ in 0..4 {
        bench.pass(period * 2);
        assert_eq!(wait(&mut queue, Wait::now()), Ok(1), "one event, however long it waits");
    }
    assert!(expirations(&queue.next_event().unwrap()) >= 8);
}

fn an_edge_is_as_good_as_a_level(bench: &Bench) {
    let mut queue = bench.queue();
    queue.register(Timer::every(SOON), A, Mode::Level).unwrap();
    queue.register(Timer::every(SOON), B, Mode::Edge).unwrap();
    for _ in 0..3 {
        bench.pass(SOON * 2);
        assert_eq!(now_sorted(&mut queue), [A, B]);
    }
}

fn timers_registered_in_the_loop_fire_in_a_later_wait(bench: &Bench) {
    let mut queue = bench.queue();
    queue.register(Timer::after(Duration::ZERO), A, Mode::OneShot).unwrap();
    assert_eq!(wait(&mut queue, patient()), Ok(1));
    assert_eq!(queue.next_event().unwrap().token, A);
    queue.register(Timer::at(Clock::Monotonic, Duration::ZERO), B, Mode::OneShot).unwrap();
    queue.register(Timer::at(Clock::Wall, Duration::ZERO), C, Mode::OneShot).unwrap();
    assert_eq!(queue.next_event(), None, "the wait let out one");
    let mut came = tokens(&batch(&mut queue, patient().at_least(2)));
    came.sort_unstable();
    assert_eq!(came, [B, C]);
}

fn a_timer_is_no_descriptor_and_costs_no_call(bench: &Bench) {
    let mut queue = bench.queue();
    silent(&mut queue);
    let before = queue.counters().system_calls;
    let keys: Vec<_> =
        (0..10_000).map(|_| queue.register(Timer::after(NEVER), A, Mode::Level).unwrap()).collect();
    for &key in &keys {
        queue.modify(key, Change::new().timer(Timer::after(NEVER * 2))).unwrap();
    }
    for key in keys {
        queue.remove(key).unwrap();
    }
    assert_eq!(queue.counters().system_calls, before);
    silent(&mut queue);
}
