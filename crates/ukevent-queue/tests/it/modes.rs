//! When a descriptor is reported: level, edge, one-shot, dispatch; and what becomes of reports that
//! are not taken at once.

use crate::bench::{
    A, B, Bench, C, D, batch, next, now, now_sorted, patient, readiness, silent, wait,
};
use ukevent_queue::{Change, Interest, Mode, NoSuchKey, Readiness, Wait};

cases! {
    everywhere: [
        level_is_reported_in_every_wait_while_it_is_so,
        level_ends_when_drained_and_begins_again,
        level_is_reported_once_a_wait_however_often_it_was_written,
        level_drained_before_its_turn_is_dropped,
        level_dropped_as_untrue_is_reported_when_it_is_so_again,
        nothing_untrue_comes_of_a_line_that_was_drained,
        level_that_waits_its_turn_is_one_event,
        edge_is_reported_once_until_there_is_news,
        edge_that_was_ready_before_is_reported,
        edge_with_more_data_while_ready_is_news,
        edge_drained_and_written_is_news,
        edge_that_was_not_taken_still_comes,
        edge_drained_while_it_waited_its_turn_may_come_once_and_no_more,
        one_shot_is_delivered_once,
        one_shot_waits_until_it_is_so,
        one_shot_drained_before_its_turn_stays_registered,
        one_shots_key_is_dead_after_its_event,
        dispatch_is_silent_until_enabled,
        dispatch_that_is_not_ready_when_enabled_waits_until_it_is,
        dispatch_can_be_enabled_between_two_events,
        disabled_is_silent_and_enabling_reports_what_is_ready,
        disabling_in_the_loop_takes_back_what_was_let_out,
        disabling_twice_and_enabling_twice_change_nothing,
        enabling_what_is_enabled_reports_nothing_twice,
        edge_that_became_ready_while_disabled_is_reported_when_enabled,
        a_disabled_registration_can_be_removed,
        modes_live_side_by_side_on_one_descriptor,
        the_default_mode_is_level,
        what_a_wait_left_comes_first_in_the_next,
    ],
}

fn level_is_reported_in_every_wait_while_it_is_so(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    silent(&mut queue);
    door.knock();
    for _ in 0..5 {
        let event = next(&mut queue);
        assert_eq!((event.token, readiness(&event)), (A, Readiness::READABLE));
    }
}

fn level_ends_when_drained_and_begins_again(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    for _ in 0..3 {
        door.knock();
        assert_eq!(next(&mut queue).token, A);
        door.answer();
        silent(&mut queue);
    }
}

fn level_is_reported_once_a_wait_however_often_it_was_written(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    silent(&mut queue);
    for _ in 0..3 {
        for _ in 0..10 {
            door.knock();
        }
        assert_eq!(now(&mut queue), [A]);
    }
}

fn level_drained_before_its_turn_is_dropped(bench: &Bench) {
    let (mut queue, first, second) = (bench.queue(), bench.door(), bench.door());
    queue.register(first.source(), A, Mode::Level).unwrap();
    queue.register(second.source(), B, Mode::Level).unwrap();
    first.knock();
    second.knock();
    let event = next(&mut queue);
    first.answer();
    second.answer();
    silent(&mut queue);
    assert_eq!(queue.counters().untrue, 1, "the one that was left after {event:?}");
}

fn level_dropped_as_untrue_is_reported_when_it_is_so_again(bench: &Bench) {
    let (mut queue, first, second) = (bench.queue(), bench.door(), bench.door());
    queue.register(first.source(), A, Mode::Level).unwrap();
    queue.register(second.source(), B, Mode::Level).unwrap();
    for _ in 0..3 {
        first.knock();
        second.knock();
        next(&mut queue);
        first.answer();
        second.answer();
        silent(&mut queue);
    }
    second.knock();
    assert_eq!(next(&mut queue).token, B);
    first.knock();
    assert_eq!(now_sorted(&mut queue), [A, B]);
}

fn nothing_untrue_comes_of_a_line_that_was_drained(bench: &Bench) {
    let mut queue = bench.queue();
    let doors: Vec<_> = (0..6).map(|_| bench.door()).collect();
    for (door, token) in doors.iter().zip(0_u64..) {
        queue.register(door.source(), token.into(), Mode::Level).unwrap();
        door.knock();
    }
    let first = next(&mut queue).token;
    for (door, token) in doors.iter().zip(0_u64..) {
        if token != first.0 {
            door.answer();
        }
    }
    for _ in 0..10 {
        let events = batch(&mut queue, Wait::now().at_most(1));
        assert!(events.iter().all(|event| event.token == first), "drained before: {events:?}");
    }
}

fn level_that_waits_its_turn_is_one_event(bench: &Bench) {
    let (mut queue, first, second) = (bench.queue(), bench.door(), bench.door());
    queue.register(first.source(), A, Mode::Level).unwrap();
    queue.register(second.source(), B, Mode::Level).unwrap();
    first.knock();
    second.knock();
    // Five waits that take nothing: what is ready stays two events.
    for _ in 0..5 {
        assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2));
    }
    assert_eq!(now_sorted(&mut queue), [A, B]);
}

fn edge_is_reported_once_until_there_is_news(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Edge).unwrap();
    silent(&mut queue);
    door.knock();
    assert_eq!(next(&mut queue).token, A);
    silent(&mut queue);
}

fn edge_that_was_ready_before_is_reported(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    door.knock();
    queue.register(door.source(), A, Mode::Edge).unwrap();
    let event = next(&mut queue);
    assert_eq!((event.token, readiness(&event)), (A, Readiness::READABLE));
    silent(&mut queue);
}

fn edge_with_more_data_while_ready_is_news(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Edge).unwrap();
    for _ in 0..5 {
        door.knock();
        assert_eq!(next(&mut queue).token, A, "nothing was read, but this is new");
        silent(&mut queue);
    }
}

fn edge_drained_and_written_is_news(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Edge).unwrap();
    for _ in 0..5 {
        door.knock();
        assert_eq!(next(&mut queue).token, A);
        door.answer();
        silent(&mut queue);
    }
}

fn edge_that_was_not_taken_still_comes(bench: &Bench) {
    let (mut queue, first, second) = (bench.queue(), bench.door(), bench.door());
    queue.register(first.source(), A, Mode::Edge).unwrap();
    queue.register(second.source(), B, Mode::Edge).unwrap();
    first.knock();
    second.knock();
    for _ in 0..3 {
        assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2), "nobody took them");
    }
    let mut taken = [next(&mut queue).token, next(&mut queue).token];
    taken.sort_unstable();
    assert_eq!(taken, [A, B]);
    silent(&mut queue);
}

fn edge_drained_while_it_waited_its_turn_may_come_once_and_no_more(bench: &Bench) {
    let (mut queue, first, second) = (bench.queue(), bench.door(), bench.door());
    queue.register(first.source(), A, Mode::Edge).unwrap();
    queue.register(second.source(), B, Mode::Edge).unwrap();
    first.knock();
    second.knock();
    next(&mut queue);
    first.answer();
    second.answer();
    assert!(now(&mut queue).len() <= 1);
    silent(&mut queue);
    first.knock();
    second.knock();
    assert_eq!(now_sorted(&mut queue), [A, B]);
}

fn one_shot_is_delivered_once(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::OneShot).unwrap();
    door.knock();
    assert_eq!(next(&mut queue).token, A);
    assert_eq!(queue.counters().registered, 0);
    silent(&mut queue);
    door.knock();
    silent(&mut queue);
}

fn one_shot_waits_until_it_is_so(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::OneShot).unwrap();
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 1);
    door.knock();
    assert_eq!(next(&mut queue).token, A);
}

fn one_shot_drained_before_its_turn_stays_registered(bench: &Bench) {
    let (mut queue, first, second) = (bench.queue(), bench.door(), bench.door());
    queue.register(first.source(), A, Mode::OneShot).unwrap();
    queue.register(second.source(), B, Mode::OneShot).unwrap();
    first.knock();
    second.knock();
    let taken = next(&mut queue).token;
    let (left, other) = if taken == A { (second, B) } else { (first, A) };
    left.answer();
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 1, "it was not delivered");
    left.knock();
    assert_eq!(next(&mut queue).token, other);
    assert_eq!(queue.counters().registered, 0);
}

fn one_shots_key_is_dead_after_its_event(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::OneShot).unwrap();
    door.knock();
    assert_eq!(next(&mut queue).key, key);
    assert_eq!(queue.disable(key), Err(NoSuchKey));
    assert!(queue.enable(key).is_err());
    assert!(queue.modify(key, Change::new().token(B)).is_err());
    assert!(queue.remove(key).is_err());
}

fn dispatch_is_silent_until_enabled(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Dispatch).unwrap();
    door.knock();
    for _ in 0..3 {
        assert_eq!(next(&mut queue).token, A);
        silent(&mut queue);
        door.knock();
        silent(&mut queue);
        queue.enable(key).unwrap();
    }
    assert_eq!(next(&mut queue).token, A);
}

fn dispatch_that_is_not_ready_when_enabled_waits_until_it_is(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Dispatch).unwrap();
    door.knock();
    assert_eq!(next(&mut queue).token, A);
    door.answer();
    queue.enable(key).unwrap();
    silent(&mut queue);
    door.knock();
    assert_eq!(next(&mut queue).token, A);
    silent(&mut queue);
}

fn dispatch_can_be_enabled_between_two_events(bench: &Bench) {
    let (mut queue, first, second) = (bench.queue(), bench.door(), bench.door());
    queue.register(first.source(), A, Mode::Dispatch).unwrap();
    queue.register(second.source(), B, Mode::Dispatch).unwrap();
    first.knock();
    second.knock();
    for _ in 0..3 {
        assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2));
        let mut taken = Vec::new();
        while let Some(event) = queue.next_event() {
            queue.enable(event.key).unwrap();
            taken.push(event.token);
        }
        taken.sort_unstable();
        assert_eq!(taken, [A, B]);
    }
}

fn disabled_is_silent_and_enabling_reports_what_is_ready(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let (mut queue, door) = (bench.queue(), bench.door());
        let key = queue.register(door.source(), A, mode).unwrap();
        silent(&mut queue);
        queue.disable(key).unwrap();
        door.knock();
        silent(&mut queue);
        queue.enable(key).unwrap();
        assert_eq!(next(&mut queue).token, A, "{mode:?}");
    }
}

fn disabling_in_the_loop_takes_back_what_was_let_out(bench: &Bench) {
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
        queue.disable(other).unwrap();
        assert_eq!(queue.next_event(), None, "{mode:?}: it was disabled");
        let came = batch(&mut queue, Wait::now());
        assert!(came.iter().all(|event| event.key == taken), "{mode:?}: {came:?}");
        queue.enable(other).unwrap();
        let came = batch(&mut queue, Wait::now());
        let again = came.iter().filter(|event| event.key == other).count();
        assert_eq!(again, 1, "{mode:?}: it is ready and enabled: {came:?}");
    }
}

fn disabling_twice_and_enabling_twice_change_nothing(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Edge).unwrap();
    queue.disable(key).unwrap();
    queue.disable(key).unwrap();
    door.knock();
    silent(&mut queue);
    queue.enable(key).unwrap();
    queue.enable(key).unwrap();
    assert_eq!(next(&mut queue).token, A);
    silent(&mut queue);
}

fn enabling_what_is_enabled_reports_nothing_twice(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Edge).unwrap();
    door.knock();
    assert_eq!(next(&mut queue).token, A);
    queue.enable(key).unwrap();
    silent(&mut queue);
}

fn edge_that_became_ready_while_disabled_is_reported_when_enabled(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Edge).unwrap();
    door.knock();
    assert_eq!(next(&mut queue).token, A);
    queue.disable(key).unwrap();
    queue.enable(key).unwrap();
    assert_eq!(next(&mut queue).token, A, "it is ready, and enabling looks");
    silent(&mut queue);
}

fn a_disabled_registration_can_be_removed(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    next(&mut queue);
    queue.disable(key).unwrap();
    queue.remove(key).unwrap();
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 0);
}

fn modes_live_side_by_side_on_one_descriptor(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    queue.register(door.source(), B, Mode::Edge).unwrap();
    queue.register(door.source(), C, Mode::OneShot).unwrap();
    let dispatch = queue.register(door.source(), D, Mode::Dispatch).unwrap();
    door.knock();
    assert_eq!(now_sorted(&mut queue), [A, B, C, D]);
    assert_eq!(now_sorted(&mut queue), [A]);
    door.knock();
    assert_eq!(now_sorted(&mut queue), [A, B]);
    queue.enable(dispatch).unwrap();
    assert_eq!(now_sorted(&mut queue), [A, D]);
    door.answer();
    silent(&mut queue);
}

fn the_default_mode_is_level(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let source = door.source().interest(Interest::READ);
    queue.register(source, A, Mode::default()).unwrap();
    door.knock();
    assert_eq!(next(&mut queue).token, A);
    assert_eq!(next(&mut queue).token, A);
}

fn what_a_wait_left_comes_first_in_the_next(bench: &Bench) {
    let mut queue = bench.queue();
    let doors: Vec<_> = (0..8).map(|_| bench.door()).collect();
    for (door, token) in doors.iter().zip(0_u64..) {
        queue.register(door.source(), token.into(), Mode::Edge).unwrap();
    }
    silent(&mut queue);
    for door in &doors[..4] {
        door.knock();
    }
    assert_eq!(wait(&mut queue, patient().at_least(4)), Ok(4));
    for door in &doors[4..] {
        door.knock();
    }
    let order: Vec<u64> = (0..8).map(|_| next(&mut queue).token.0).collect();
    assert!(order[..4].iter().all(|&token| token < 4), "the later overtook: {order:?}");
    assert!(order[4..].iter().all(|&token| token >= 4), "the later overtook: {order:?}");
}
