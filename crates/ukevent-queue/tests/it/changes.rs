//! Changing a registration in place: interest, mode, token; before, between and after its events.

use crate::bench::{
    A, B, Bench, C, batch, next, now, now_sorted, patient, posted, readiness, silent, wait,
};
use std::{io::Write, sync::Arc, time::Duration};
use ukevent_queue::{
    Change, ChangeError, Changes, Fd, Interest, Kind, Merge, Mode, Readiness, RegisterError,
    Socket, Timer, User, Wait,
};

cases! {
    everywhere: [
        another_token_comes_with_the_next_event,
        another_token_comes_with_an_event_that_waits_already,
        a_changed_token_in_the_loop_comes_with_what_is_left,
        level_becomes_edge,
        edge_becomes_level,
        level_becomes_one_shot,
        one_shot_becomes_level_before_it_fires,
        dispatch_becomes_edge,
        modifying_an_edge_reports_again_what_is_ready,
        modifying_what_is_not_ready_reports_nothing,
        modifying_in_the_loop_leaves_one_event,
        modifying_what_waits_its_turn_leaves_one_event,
        modified_and_drained_while_it_waits_its_turn_is_dropped,
        disabled_and_enabled_and_drained_while_it_waits_its_turn_is_dropped,
        modifying_what_is_disabled_leaves_it_disabled,
        a_change_of_nothing_changes_nothing,
        a_change_for_another_source_is_refused_and_changes_nothing,
        the_mode_of_a_timer_can_be_changed,
        the_mode_of_posts_can_be_changed,
        no_interest_at_all_reports_no_readiness,
    ],
    kernels: [
        another_interest_is_watched_from_now_on,
        interest_is_changed_in_the_loop_and_back,
        giving_up_an_interest_drops_what_was_reported_of_it,
    ],
}

fn another_token_comes_with_the_next_event(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let (mut queue, door) = (bench.queue(), bench.door());
        let key = queue.register(door.source(), A, mode).unwrap();
        queue.modify(key, Change::new().token(B)).unwrap();
        silent(&mut queue);
        door.knock();
        let event = next(&mut queue);
        assert_eq!((event.key, event.token), (key, B), "the key stays");
    }
}

fn another_token_comes_with_an_event_that_waits_already(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(User::each(4), A, Mode::Level).unwrap();
    let poster = queue.poster(key).unwrap();
    poster.post(1).unwrap();
    poster.post(2).unwrap();
    assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2));
    assert_eq!(queue.next_event().unwrap().token, A);
    queue.modify(key, Change::new().token(B)).unwrap();
    assert_eq!(queue.next_event().unwrap().token, B);
}

fn a_changed_token_in_the_loop_comes_with_what_is_left(bench: &Bench) {
    let (mut queue, first, second) = (bench.queue(), bench.door(), bench.door());
    let keys = [
        queue.register(first.source(), A, Mode::Level).unwrap(),
        queue.register(second.source(), A, Mode::Level).unwrap(),
    ];
    first.knock();
    second.knock();
    assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2));
    let taken = queue.next_event().unwrap();
    let other = if taken.key == keys[0] { keys[1] } else { keys[0] };
    queue.modify(other, Change::new().token(C)).unwrap();
    let mut left = Vec::from_iter(queue.next_event());
    left.extend(batch(&mut queue, Wait::now()));
    let of_other: Vec<_> = left.iter().filter(|event| event.key == other).collect();
    assert!(!of_other.is_empty(), "it is still ready");
    assert!(of_other.iter().all(|event| event.token == C), "{of_other:?}");
}

fn level_becomes_edge(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    next(&mut queue);
    queue.modify(key, Change::new().mode(Mode::Edge)).unwrap();
    assert_eq!(now(&mut queue), [A], "it is ready, and modifying looks");
    silent(&mut queue);
    door.knock();
    assert_eq!(next(&mut queue).token, A);
    silent(&mut queue);
}

fn edge_becomes_level(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Edge).unwrap();
    door.knock();
    next(&mut queue);
    silent(&mut queue);
    queue.modify(key, Change::new().mode(Mode::Level)).unwrap();
    for _ in 0..3 {
        assert_eq!(now(&mut queue), [A]);
    }
    door.answer();
    silent(&mut queue);
}

fn level_becomes_one_shot(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    next(&mut queue);
    queue.modify(key, Change::new().mode(Mode::OneShot)).unwrap();
    assert_eq!(next(&mut queue).token, A);
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 0);
}

fn one_shot_becomes_level_before_it_fires(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::OneShot).unwrap();
    silent(&mut queue);
    queue.modify(key, Change::new().mode(Mode::Level)).unwrap();
    door.knock();
    for _ in 0..3 {
        assert_eq!(next(&mut queue).key, key);
    }
}

fn dispatch_becomes_edge(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Dispatch).unwrap();
    door.knock();
    next(&mut queue);
    queue.modify(key, Change::new().mode(Mode::Edge)).unwrap();
    silent(&mut queue);
    queue.enable(key).unwrap();
    assert_eq!(now(&mut queue), [A]);
    silent(&mut queue);
    door.knock();
    assert_eq!(next(&mut queue).token, A);
}

fn modifying_an_edge_reports_again_what_is_ready(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Edge).unwrap();
    door.knock();
    next(&mut queue);
    for _ in 0..3 {
        silent(&mut queue);
        queue.modify(key, Change::new().interest(Interest::READ)).unwrap();
        assert_eq!(next(&mut queue).token, A);
    }
}

fn modifying_what_is_not_ready_reports_nothing(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let (mut queue, door) = (bench.queue(), bench.door());
        let key = queue.register(door.source(), A, Mode::Level).unwrap();
        door.knock();
        next(&mut queue);
        door.answer();
        queue.modify(key, Change::new().mode(mode)).unwrap();
        silent(&mut queue);
        door.knock();
        assert_eq!(next(&mut queue).token, A, "{mode:?}");
    }
}

fn modifying_in_the_loop_leaves_one_event(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let (mut queue, first, second) = (bench.queue(), bench.door(), bench.door());
        let keys = [
            queue.register(first.source(), A, mode).unwrap(),
            queue.register(second.source(), A, mode).unwrap(),
        ];
        first.knock();
        second.knock();
        assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2));
        let taken = queue.next_event().unwrap().key;
        let other = if taken == keys[0] { keys[1] } else { keys[0] };
        queue.modify(other, Change::new().interest(Interest::READ)).unwrap();
        let mut events = Vec::from_iter(queue.next_event());
        events.extend(batch(&mut queue, Wait::now()));
        let of_other = events.iter().filter(|event| event.key == other).count();
        assert_eq!(of_other, 1, "{mode:?}: {events:?}");
    }
}

fn modifying_what_waits_its_turn_leaves_one_event(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let (mut queue, door) = (bench.queue(), bench.door());
        let key = queue.register(door.source(), A, mode).unwrap();
        door.knock();
        for _ in 0..3 {
            assert_eq!(wait(&mut queue, patient()), Ok(1));
            queue.modify(key, Change::new().token(B)).unwrap();
        }
        assert_eq!(now(&mut queue), [B], "{mode:?}");
    }
}

fn modified_and_drained_while_it_waits_its_turn_is_dropped(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    assert_eq!(wait(&mut queue, patient()), Ok(1));
    queue.modify(key, Change::new().token(B)).unwrap();
    assert_eq!(wait(&mut queue, patient()), Ok(1));
    door.answer();
    silent(&mut queue);
    door.knock();
    assert_eq!(now(&mut queue), [B]);
}

fn disabled_and_enabled_and_drained_while_it_waits_its_turn_is_dropped(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    for _ in 0..3 {
        assert_eq!(wait(&mut queue, patient()), Ok(1));
        queue.disable(key).unwrap();
        queue.enable(key).unwrap();
    }
    assert_eq!(wait(&mut queue, patient()), Ok(1));
    door.answer();
    silent(&mut queue);
    door.knock();
    assert_eq!(now(&mut queue), [A]);
}

fn modifying_what_is_disabled_leaves_it_disabled(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    queue.disable(key).unwrap();
    door.knock();
    queue.modify(key, Change::new().token(B).mode(Mode::Edge).interest(Interest::READ)).unwrap();
    silent(&mut queue);
    queue.enable(key).unwrap();
    assert_eq!(now(&mut queue), [B]);
    silent(&mut queue);
}

fn a_change_of_nothing_changes_nothing(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    queue.modify(key, Change::new()).unwrap();
    silent(&mut queue);
    door.knock();
    queue.modify(key, Change::new()).unwrap();
    let event = next(&mut queue);
    assert_eq!((event.token, readiness(&event)), (A, Readiness::READABLE));
}

fn a_change_for_another_source_is_refused_and_changes_nothing(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let soon = Timer::after(Duration::ZERO);
    let fd = queue.register(door.source(), A, Mode::Level).unwrap();
    let timer = queue.register(soon, B, Mode::Level).unwrap();
    let user = queue.register(User::merged(Merge::Last), C, Mode::Level).unwrap();
    let changes = [
        (fd, Change::new().timer(soon)),
        (fd, Change::new().changes(Changes::CREATED)),
        (timer, Change::new().interest(Interest::READ)),
        (timer, Change::new().changes(Changes::CREATED)),
        (user, Change::new().interest(Interest::READ)),
        (user, Change::new().timer(soon)),
        (user, Change::new().changes(Changes::CREATED)),
    ];
    for (key, change) in changes {
        let change = change.token(ukevent_queue::Token(99)).mode(Mode::OneShot);
        let error = queue.modify(key, change).unwrap_err();
        assert!(
            matches!(error, ChangeError::Refused(RegisterError::Invalid(_))),
            "{change:?}: {error:?}"
        );
    }
    door.knock();
    queue.poster(user).unwrap().post(7).unwrap();
    bench.pass(Duration::from_millis(1));
    assert_eq!(now_sorted(&mut queue), [A, B, C], "with their tokens");
    assert_eq!(queue.counters().registered, 3, "none became one-shot");
}

fn the_mode_of_a_timer_can_be_changed(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(Timer::every(Duration::from_millis(1)), A, Mode::Level).unwrap();
    next(&mut queue);
    next(&mut queue);
    queue.modify(key, Change::new().mode(Mode::OneShot)).unwrap();
    assert_eq!(next(&mut queue).key, key);
    assert_eq!(queue.counters().registered, 0);
}

fn the_mode_of_posts_can_be_changed(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(User::each(8), A, Mode::Level).unwrap();
    let poster = queue.poster(key).unwrap();
    for data in 0..4 {
        poster.post(data).unwrap();
    }
    assert_eq!(posted(&next(&mut queue)), (0, 1));
    queue.modify(key, Change::new().mode(Mode::Dispatch)).unwrap();
    assert_eq!(posted(&next(&mut queue)), (1, 1));
    silent(&mut queue);
    queue.modify(key, Change::new().mode(Mode::OneShot)).unwrap();
    queue.enable(key).unwrap();
    assert_eq!(posted(&next(&mut queue)), (2, 1));
    assert_eq!(queue.counters().registered, 0);
    silent(&mut queue);
}

fn no_interest_at_all_reports_no_readiness(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let source = door.source().interest(Interest::empty());
    let key = queue.register(source, A, Mode::Level).unwrap();
    door.knock();
    silent(&mut queue);
    queue.modify(key, Change::new().interest(Interest::READ)).unwrap();
    assert_eq!(now(&mut queue), [A]);
}

fn another_interest_is_watched_from_now_on(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let mut queue = bench.queue();
        let (ours, mut theirs) = testkit::unix_pair();
        let key = queue.register(Socket::new(ours), A, mode).unwrap();
        silent(&mut queue);
        queue.modify(key, Change::new().interest(Interest::WRITE)).unwrap();
        theirs.write_all(b"!").unwrap();
        let event = next(&mut queue);
        assert_eq!((event.key, readiness(&event)), (key, Readiness::WRITABLE), "{mode:?}");
    }
}

fn interest_is_changed_in_the_loop_and_back(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, mut theirs) = testkit::unix_pair();
    let ours = Arc::new(ours);
    let key = queue.register(Socket::new(ours.clone()), A, Mode::Level).unwrap();
    // An echo that waits for room each time: to read, to write, to read.
    for _ in 0..5 {
        theirs.write_all(b"!").unwrap();
        assert_eq!(readiness(&next(&mut queue)), Readiness::READABLE);
        std::io::Read::read_exact(&mut &*ours, &mut [0]).unwrap();
        queue.modify(key, Change::new().interest(Interest::WRITE)).unwrap();
        assert_eq!(readiness(&next(&mut queue)), Readiness::WRITABLE);
        (&*ours).write_all(b"!").unwrap();
        queue.modify(key, Change::new().interest(Interest::READ)).unwrap();
        silent(&mut queue);
    }
}

fn giving_up_an_interest_drops_what_was_reported_of_it(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, _theirs) = testkit::unix_pair();
    let both = Interest::READ | Interest::WRITE;
    let key = queue.register(Fd::new(ours).interest(both), A, Mode::Edge).unwrap();
    assert_eq!(wait(&mut queue, patient()), Ok(1), "there is room to write");
    queue.modify(key, Change::new().interest(Interest::READ)).unwrap();
    assert_eq!(queue.next_event().map(|event| event.kind), None::<Kind>);
    silent(&mut queue);
}
