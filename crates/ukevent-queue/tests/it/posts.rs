//! Posts: events of the program's own, from any thread.

use crate::bench::{
    A, B, Bench, C, PATIENCE, batch, next, now, now_sorted, once_asleep, patient, posted, silent,
    tokens, wait,
};
use crate::subject::Queue;
use std::{
    fs, thread,
    time::{Duration, Instant},
};
use ukevent_queue::{
    Event, Merge, Mode, NoSuchKey, PostError, Poster, RegisterError, Timer, User, Wait, Waker,
};

cases! {
    everywhere: [
        merged_posts_are_one_event_with_the_last_data,
        merged_posts_are_one_event_with_all_bits,
        merged_posts_are_one_event_with_the_sum,
        a_sum_wraps,
        merged_posts_begin_anew_after_their_event,
        each_post_is_an_event_in_order,
        each_and_merged_live_side_by_side,
        a_small_capacity_is_rounded_up,
        a_capacity_beyond_the_bound_is_refused,
        posting_before_the_first_wait_works,
        posting_from_the_loop_comes_in_the_next_wait,
        a_poster_of_what_was_removed_is_closed,
        a_poster_of_a_queue_that_is_gone_is_closed,
        a_poster_of_a_one_shot_is_closed_after_its_event,
        posts_of_what_was_removed_do_not_reach_who_has_its_place,
        posts_of_what_was_removed_do_not_hold_up_the_others,
        only_users_have_posters,
        posts_while_disabled_are_kept,
        posts_full_while_disabled_are_refused,
        posts_by_one_shot_come_once,
        posts_by_dispatch_come_one_by_one,
        data_is_any_64_bits,
        posters_and_wakers_go_to_any_thread,
    ],
    kernels: [
        a_post_ends_the_sleep_of_the_wait,
        posts_of_four_threads_are_all_counted,
        posts_of_four_threads_all_add_up,
        posts_of_four_threads_keep_each_threads_order,
        posts_of_four_threads_to_one_source_that_gets_full_are_none_lost,
        bits_of_four_threads_all_arrive,
        the_last_post_of_a_burst_is_never_overlooked,
        posting_to_what_is_removed_meanwhile_is_refused_or_forgotten,
        posting_to_a_queue_that_is_dropped_meanwhile_is_refused_or_forgotten,
    ],
    alone: [
        a_post_to_a_queue_that_is_awake_makes_no_system_call,
    ],
}

/// Those that count on what waits to stay in its source.
mod of_one_waiter {
    cases_of_one_waiter! {
        everywhere: [
            merged_posts_that_wait_their_turn_go_on_merging,
            a_source_that_is_full_refuses_and_takes_again,
        ],
    }

    use super::{
        a_source_that_is_full_refuses_and_takes_again,
        merged_posts_that_wait_their_turn_go_on_merging,
    };
}

/// A queue with one user source.
fn one(bench: &Bench, user: User) -> (Queue, Poster) {
    let mut queue = bench.queue();
    let key = queue.register(user, A, Mode::Level).unwrap();
    let poster = queue.poster(key).unwrap();
    (queue, poster)
}

fn merged_posts_are_one_event_with_the_last_data(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::merged(Merge::Last));
    for data in [3, 9, 5] {
        poster.post(data).unwrap();
    }
    let events = batch(&mut queue, Wait::now());
    assert_eq!(tokens(&events), [A]);
    assert_eq!(posted(&events[0]), (5, 3));
    silent(&mut queue);
}

fn merged_posts_are_one_event_with_all_bits(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::merged(Merge::Or));
    for data in [1, 4, 4, 1 << 63] {
        poster.post(data).unwrap();
    }
    assert_eq!(posted(&next(&mut queue)), (5 | 1 << 63, 4));
    silent(&mut queue);
}

fn merged_posts_are_one_event_with_the_sum(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::merged(Merge::Sum));
    for data in 1..=100 {
        poster.post(data).unwrap();
    }
    assert_eq!(posted(&next(&mut queue)), (5050, 100));
    silent(&mut queue);
}

fn a_sum_wraps(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::merged(Merge::Sum));
    poster.post(u64::MAX).unwrap();
    poster.post(3).unwrap();
    assert_eq!(posted(&next(&mut queue)), (2, 2));
}

fn merged_posts_begin_anew_after_their_event(bench: &Bench) {
    for merge in [Merge::Last, Merge::Or, Merge::Sum] {
        let (mut queue, poster) = one(bench, User::merged(merge));
        for data in [1, 2, 4] {
            poster.post(data).unwrap();
            assert_eq!(posted(&next(&mut queue)), (data, 1), "{merge:?}");
            silent(&mut queue);
        }
    }
}

fn merged_posts_that_wait_their_turn_go_on_merging(bench: &Bench) {
    for (merge, all) in [(Merge::Last, 4), (Merge::Or, 7), (Merge::Sum, 7)] {
        let (mut queue, poster) = one(bench, User::merged(merge));
        for data in [1, 2, 4] {
            poster.post(data).unwrap();
            assert_eq!(wait(&mut queue, Wait::now()), Ok(1));
        }
        assert_eq!(posted(&next(&mut queue)), (all, 3), "{merge:?}");
        silent(&mut queue);
    }
}

fn each_post_is_an_event_in_order(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::each(1_000));
    for data in 0..1_000 {
        poster.post(data).unwrap();
    }
    let events = batch(&mut queue, Wait::now());
    assert!(events.iter().map(posted).eq((0..1_000).map(|data| (data, 1))));
    silent(&mut queue);
}

fn each_and_merged_live_side_by_side(bench: &Bench) {
    let mut queue = bench.queue();
    let merged = queue.register(User::merged(Merge::Sum), A, Mode::Level).unwrap();
    let each = queue.register(User::each(8), B, Mode::Level).unwrap();
    let (merged, each) = (queue.poster(merged).unwrap(), queue.poster(each).unwrap());
    for data in 1..=3 {
        merged.post(data).unwrap();
        each.post(data).unwrap();
    }
    let mut events = batch(&mut queue, Wait::now());
    events.sort_by_key(|event| event.token);
    assert_eq!(tokens(&events), [A, B, B, B]);
    let data: Vec<_> = events.iter().map(posted).collect();
    assert_eq!(data, [(6, 3), (1, 1), (2, 1), (3, 1)]);
}

fn a_source_that_is_full_refuses_and_takes_again(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::each(4));
    for data in 0..4 {
        poster.post(data).unwrap();
    }
    assert_eq!(poster.post(4), Err(PostError::Full));
    assert_eq!(posted(&next(&mut queue)), (0, 1));
    poster.post(5).unwrap();
    assert_eq!(poster.post(6), Err(PostError::Full));
    let data: Vec<u64> =
        batch(&mut queue, patient().at_least(4)).iter().map(|event| posted(event).0).collect();
    assert_eq!(data, [1, 2, 3, 5], "what was refused was not posted");
}

fn a_small_capacity_is_rounded_up(bench: &Bench) {
    for (capacity, holds) in [(0, 2), (1, 2), (3, 4), (5, 8)] {
        let (mut queue, poster) = one(bench, User::each(capacity));
        let taken = (0..100).take_while(|&data| poster.post(data).is_ok()).count();
        assert!(taken >= capacity as usize && taken <= holds, "{capacity}: {taken}");
        assert_eq!(now(&mut queue).len(), taken);
    }
}

fn a_capacity_beyond_the_bound_is_refused(bench: &Bench) {
    let mut queue = bench.queue();
    for capacity in [User::POSTS + 1, u32::MAX] {
        let error = queue.register(User::each(capacity), A, Mode::Level).unwrap_err();
        assert!(matches!(error, RegisterError::Invalid(_)), "{error:?}");
        assert!(error.to_string().contains(&User::POSTS.to_string()), "{error}");
    }
    assert_eq!(queue.counters().registered, 0);
    let (mut queue, poster) = one(bench, User::each(User::POSTS));
    poster.post(7).unwrap();
    assert_eq!(posted(&next(&mut queue)), (7, 1));
}

fn posting_before_the_first_wait_works(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::merged(Merge::Last));
    thread::spawn(move || poster.post(7)).join().unwrap().unwrap();
    assert_eq!(posted(&next(&mut queue)), (7, 1));
}

fn posting_from_the_loop_comes_in_the_next_wait(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::each(8));
    poster.post(0).unwrap();
    for round in 1..5 {
        assert_eq!(wait(&mut queue, Wait::now()), Ok(1));
        assert_eq!(posted(&queue.next_event().unwrap()), (round - 1, 1));
        poster.post(round).unwrap();
        assert_eq!(queue.next_event(), None, "the wait let out one");
    }
}

fn a_poster_of_what_was_removed_is_closed(bench: &Bench) {
    for user in [User::merged(Merge::Last), User::each(8)] {
        let mut queue = bench.queue();
        let key = queue.register(user, A, Mode::Level).unwrap();
        let poster = queue.poster(key).unwrap();
        poster.post(1).unwrap();
        queue.remove(key).unwrap();
        assert_eq!(poster.post(2), Err(PostError::Closed));
        assert_eq!(poster.clone().post(3), Err(PostError::Closed));
        silent(&mut queue);
    }
}

fn a_poster_of_a_queue_that_is_gone_is_closed(bench: &Bench) {
    for user in [User::merged(Merge::Last), User::each(8)] {
        let (queue, poster) = one(bench, user);
        let waker = queue.waker();
        poster.post(1).unwrap();
        drop(queue);
        assert_eq!(poster.post(2), Err(PostError::Closed));
        waker.wake();
    }
}

fn a_poster_of_a_one_shot_is_closed_after_its_event(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(User::merged(Merge::Last), A, Mode::OneShot).unwrap();
    let poster = queue.poster(key).unwrap();
    poster.post(1).unwrap();
    assert_eq!(posted(&next(&mut queue)), (1, 1));
    assert_eq!(poster.post(2), Err(PostError::Closed));
}

fn posts_of_what_was_removed_do_not_reach_who_has_its_place(bench: &Bench) {
    let mut queue = bench.queue();
    for _ in 0..3 {
        let key = queue.register(User::each(8), A, Mode::Level).unwrap();
        let poster = queue.poster(key).unwrap();
        poster.post(1).unwrap();
        queue.remove(key).unwrap();
        let key = queue.register(User::each(8), B, Mode::Level).unwrap();
        silent(&mut queue);
        queue.poster(key).unwrap().post(2).unwrap();
        let event = next(&mut queue);
        assert_eq!((event.token, posted(&event)), (B, (2, 1)));
        queue.remove(key).unwrap();
    }
}

fn posts_of_what_was_removed_do_not_hold_up_the_others(bench: &Bench) {
    let mut queue = bench.queue();
    let keys: Vec<_> = (0..9_u64)
        .map(|token| queue.register(User::each(8), token.into(), Mode::Level).unwrap())
        .collect();
    let posters: Vec<_> = keys.iter().map(|&key| queue.poster(key).unwrap()).collect();
    for poster in &posters {
        poster.post(1).unwrap();
    }
    for &gone in keys.iter().step_by(2) {
        queue.remove(gone).unwrap();
    }
    let came: Vec<u64> = now_sorted(&mut queue).iter().map(|token| token.0).collect();
    assert_eq!(came, [1, 3, 5, 7]);
    for poster in &posters {
        let _ = poster.post(2);
    }
    let came: Vec<u64> = now_sorted(&mut queue).iter().map(|token| token.0).collect();
    assert_eq!(came, [1, 3, 5, 7]);
}

fn only_users_have_posters(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let fd = queue.register(door.source(), A, Mode::Level).unwrap();
    let timer = queue.register(Timer::after(Duration::ZERO), A, Mode::Level).unwrap();
    assert!(matches!(queue.poster(fd), Err(NoSuchKey)));
    assert!(matches!(queue.poster(timer), Err(NoSuchKey)));
}

fn posts_while_disabled_are_kept(bench: &Bench) {
    let mut queue = bench.queue();
    let merged = queue.register(User::merged(Merge::Sum), A, Mode::Level).unwrap();
    let each = queue.register(User::each(8), B, Mode::Level).unwrap();
    let posters = [queue.poster(merged).unwrap(), queue.poster(each).unwrap()];
    for key in [merged, each] {
        queue.disable(key).unwrap();
    }
    for poster in &posters {
        for data in 1..=3 {
            poster.post(data).unwrap();
            silent(&mut queue);
        }
    }
    queue.enable(each).unwrap();
    assert_eq!(now(&mut queue), [B, B, B]);
    queue.enable(merged).unwrap();
    assert_eq!(posted(&next(&mut queue)), (6, 3));
}

fn posts_full_while_disabled_are_refused(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(User::each(2), A, Mode::Level).unwrap();
    let poster = queue.poster(key).unwrap();
    queue.disable(key).unwrap();
    for data in 0..2 {
        poster.post(data).unwrap();
        silent(&mut queue);
    }
    assert_eq!(poster.post(2), Err(PostError::Full));
    queue.enable(key).unwrap();
    assert_eq!(now(&mut queue), [A, A]);
}

fn posts_by_one_shot_come_once(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(User::each(8), A, Mode::OneShot).unwrap();
    let poster = queue.poster(key).unwrap();
    for data in 0..5 {
        poster.post(data).unwrap();
    }
    // More are promised than come: the first one ends the registration.
    assert!(wait(&mut queue, patient()).unwrap() >= 1);
    assert_eq!(posted(&queue.next_event().unwrap()), (0, 1));
    assert_eq!(queue.next_event(), None);
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 0);
}

fn posts_by_dispatch_come_one_by_one(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(User::each(8), A, Mode::Dispatch).unwrap();
    let poster = queue.poster(key).unwrap();
    for data in 0..5 {
        poster.post(data).unwrap();
    }
    for data in 0..5 {
        assert!(wait(&mut queue, patient()).unwrap() >= 1);
        assert_eq!(posted(&queue.next_event().unwrap()), (data, 1));
        assert_eq!(queue.next_event(), None, "until it is enabled");
        silent(&mut queue);
        queue.enable(key).unwrap();
    }
    silent(&mut queue);
}

fn data_is_any_64_bits(bench: &Bench) {
    for merge in [Merge::Last, Merge::Or, Merge::Sum] {
        let (mut queue, poster) = one(bench, User::merged(merge));
        for data in [0, u64::MAX, 1 << 63] {
            poster.post(data).unwrap();
            assert_eq!(posted(&next(&mut queue)), (data, 1), "{merge:?}");
        }
    }
    let (mut queue, poster) = one(bench, User::each(4));
    for data in [0, u64::MAX, 1 << 63] {
        poster.post(data).unwrap();
        assert_eq!(posted(&next(&mut queue)), (data, 1));
    }
}

fn posters_and_wakers_go_to_any_thread(_: &Bench) {
    fn anywhere<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send + 'static>() {}
    anywhere::<Poster>();
    anywhere::<Waker>();
    sent::<Queue>();
    sent::<Event>();
}

fn a_post_ends_the_sleep_of_the_wait(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::each(8));
    for round in 0..5 {
        let waited =
            once_asleep(|| wait(&mut queue, Wait::forever()), || poster.post(round).unwrap());
        assert_eq!(waited, Ok(1));
        assert_eq!(posted(&queue.next_event().unwrap()), (round, 1));
    }
}

/// Lets four threads post, each numbers below `count`, and calls `take` for each event until `enough`
/// says so.
fn from_four_threads(
    queue: &mut Queue,
    poster: &Poster,
    post: impl Fn(&Poster, u64) + Sync,
    count: u64,
    mut take: impl FnMut(u64, u64) -> bool,
) {
    thread::scope(|scope| {
        for thread in 0..4 {
            let post = &post;
            let poster = poster.clone();
            scope.spawn(move || (0..count).for_each(|n| post(&poster, thread << 32 | n)));
        }
        let mut enough = false;
        while !enough {
            let events = batch(queue, patient());
            assert!(!events.is_empty(), "posts are missing");
            for event in &events {
                let (data, count) = posted(event);
                enough = take(data, count);
            }
        }
    });
}

fn posts_of_four_threads_are_all_counted(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::merged(Merge::Last));
    let mut sum = 0;
    let post = |poster: &Poster, data| poster.post(data).unwrap();
    from_four_threads(&mut queue, &poster, post, 25_000, |_, count| {
        sum += count;
        assert!(sum <= 100_000);
        sum == 100_000
    });
    silent(&mut queue);
}

fn posts_of_four_threads_all_add_up(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::merged(Merge::Sum));
    let (mut sum, mut posts) = (0, 0);
    let post = |poster: &Poster, data| poster.post(1 + data % 7).unwrap();
    from_four_threads(&mut queue, &poster, post, 100_000, |data, count| {
        sum += data;
        posts += count;
        posts == 400_000
    });
    let expected: u64 =
        (0..4_u64).flat_map(|t| (0..100_000).map(move |n| 1 + (t << 32 | n) % 7)).sum();
    assert_eq!(sum, expected, "of {posts} posts");
    silent(&mut queue);
}

fn posts_of_four_threads_keep_each_threads_order(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::each(1 << 17));
    let mut expected = [0; 4];
    let post = |poster: &Poster, data| poster.post(data).unwrap();
    from_four_threads(&mut queue, &poster, post, 20_000, |data, _| {
        let (thread, n) = ((data >> 32) as usize, data & 0xffff_ffff);
        assert_eq!(n, expected[thread], "of thread {thread}");
        expected[thread] += 1;
        expected == [20_000; 4]
    });
    silent(&mut queue);
}

fn posts_of_four_threads_to_one_source_that_gets_full_are_none_lost(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::each(8));
    let mut expected = [0; 4];
    let start = Instant::now();
    let post = |poster: &Poster, data| {
        while poster.post(data) == Err(PostError::Full) {
            assert!(start.elapsed() < 2 * PATIENCE, "nobody takes the posts");
            thread::yield_now();
        }
    };
    from_four_threads(&mut queue, &poster, post, 5_000, |data, _| {
        let (thread, n) = ((data >> 32) as usize, data & 0xffff_ffff);
        assert_eq!(n, expected[thread], "of thread {thread}");
        expected[thread] += 1;
        expected == [5_000; 4]
    });
    silent(&mut queue);
}

fn bits_of_four_threads_all_arrive(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::merged(Merge::Or));
    for _ in 0..200 {
        let (mut bits, mut posts) = (0, 0);
        let post = |poster: &Poster, data: u64| {
            poster.post(1 << ((data >> 32) * 16 + (data & 15))).unwrap();
        };
        from_four_threads(&mut queue, &poster, post, 16, |data, count| {
            bits |= data;
            posts += count;
            posts == 64
        });
        assert_eq!(bits, u64::MAX);
    }
}

fn the_last_post_of_a_burst_is_never_overlooked(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::merged(Merge::Last));
    let (go, going) = std::sync::mpsc::sync_channel::<u64>(0);
    thread::scope(|scope| {
        let posting = scope.spawn(move || {
            for round in going {
                // The moment of falling asleep is sought, not hit every time.
                for _ in 0..round % 97 {
                    std::hint::spin_loop();
                }
                poster.post(round).unwrap();
            }
        });
        for round in 0..3_000 {
            go.send(round).unwrap();
            let event = next(&mut queue);
            assert_eq!(posted(&event), (round, 1));
        }
        drop(go);
        posting.join().unwrap();
    });
    silent(&mut queue);
}

fn posting_to_what_is_removed_meanwhile_is_refused_or_forgotten(bench: &Bench) {
    let mut queue = bench.queue();
    let (send, receive) = std::sync::mpsc::channel::<Poster>();
    thread::scope(|scope| {
        scope.spawn(move || {
            for poster in receive {
                while poster.post(1) != Err(PostError::Closed) {}
            }
        });
        for round in 0..500_u64 {
            let user = if round % 2 == 0 { User::each(4) } else { User::merged(Merge::Sum) };
            let key = queue.register(user, A, Mode::Level).unwrap();
            send.send(queue.poster(key).unwrap()).unwrap();
            if round % 3 == 0 {
                assert!(wait(&mut queue, patient()).unwrap() > 0);
            }
            queue.remove(key).unwrap();
            assert_eq!(queue.next_event(), None);
        }
        drop(send);
    });
    silent(&mut queue);
    let key = queue.register(User::each(4), C, Mode::Level).unwrap();
    queue.poster(key).unwrap().post(1).unwrap();
    assert_eq!(now(&mut queue), [C]);
}

fn posting_to_a_queue_that_is_dropped_meanwhile_is_refused_or_forgotten(bench: &Bench) {
    for _ in 0..50 {
        let (mut queue, poster) = one(bench, User::each(4));
        let posting = thread::spawn(move || while poster.post(1) != Err(PostError::Closed) {});
        assert!(wait(&mut queue, patient()).unwrap() > 0);
        drop(queue);
        posting.join().unwrap();
    }
}

/// The counters of the process' eventfds, which are the queue's: how often a sleeping one was woken by a system call
/// since they were last cleared.
fn wake_ups() -> u64 {
    let counts = fs::read_dir("/proc/self/fdinfo").unwrap().filter_map(|entry| {
        let info = fs::read_to_string(entry.ok()?.path()).ok()?;
        let line = info.lines().find_map(|line| line.strip_prefix("eventfd-count:"))?;
        Some(u64::from_str_radix(line.trim(), 16).unwrap())
    });
    let counts: Vec<u64> = counts.collect();
    assert!(!counts.is_empty(), "the queue has an eventfd");
    counts.iter().sum()
}

fn a_post_to_a_queue_that_is_awake_makes_no_system_call(bench: &Bench) {
    let (mut queue, poster) = one(bench, User::each(1 << 12));
    let start = wake_ups();
    for data in 0..1_000 {
        poster.post(data).unwrap();
    }
    assert_eq!(wake_ups(), start, "it never slept");
    assert_eq!(now(&mut queue).len(), 1_000);
    thread::scope(|scope| {
        scope.spawn(|| (0..1_000).for_each(|data| poster.post(data).unwrap()));
    });
    assert_eq!(wake_ups(), start, "it does not sleep between two waits");
    assert_eq!(now(&mut queue).len(), 1_000);
    // And once it sleeps, the first post of several makes one.
    once_asleep(|| next(&mut queue), || poster.post(1).unwrap());
    silent(&mut queue);
    let queue_was_woken = wake_ups() > start || bench.kind == crate::bench::BackendKind::Poll;
    assert!(queue_was_woken, "poll clears its eventfd, the others leave it");
}
