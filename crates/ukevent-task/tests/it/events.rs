//! Posts; and what holds for the events of every source: kept while nobody asks, within bounds.

use crate::bench::{Bench, dropped_while_it_waits, settle};
use std::time::Duration;
use ukevent_queue::{Fd, Kind, Merge, PostError, Timer, User};
use ukevent_task::posts::Posts;
use ukevent_task::{EventSet, Events, time::interval, yield_now};

cases! {
    everywhere: [
        a_post_after_a_call_was_dropped_is_not_lost,
        posts_of_other_threads_come_in_order,
        posts_that_nobody_takes_are_bounded,
        posts_of_many_sources_are_bounded_together,
        posts_of_a_rule_are_merged,
        posting_to_what_is_dropped_fails,
        beats_that_nobody_awaits_are_one,
        a_descriptor_that_is_not_read_is_told_again,
    ],
}

fn a_post_after_a_call_was_dropped_is_not_lost(bench: &Bench) {
    bench.run(async {
        let mut posts = Posts::each(16).unwrap();
        let poster = posts.poster().unwrap();
        for number in 0..50 {
            dropped_while_it_waits(posts.next()).await;
            poster.post(number).unwrap();
            if number % 2 == 0 {
                // It comes while nobody waits, too.
                settle().await;
            }
            assert_eq!(posts.next().await.data, number);
        }
    });
}

fn posts_of_other_threads_come_in_order(bench: &Bench) {
    const POSTS: u64 = 20_000;
    bench.run(async {
        let mut posts = Posts::each(64).unwrap();
        let threads: Vec<_> = (0..2_u64)
            .map(|thread| {
                let poster = posts.poster().unwrap();
                std::thread::spawn(move || {
                    for number in 0..POSTS {
                        while poster.post(thread << 32 | number) == Err(PostError::Full) {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut next = [0, 0];
        for _ in 0..2 * POSTS {
            let data = posts.next().await.data;
            let thread = (data >> 32) as usize;
            assert_eq!(data & 0xffff_ffff, next[thread]);
            next[thread] += 1;
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

fn posts_that_nobody_takes_are_bounded(bench: &Bench) {
    bench.run(async {
        let mut posts = Posts::each(16).unwrap();
        let poster = posts.poster().unwrap();
        let mut posted = 0;
        while poster.post(posted).is_ok() {
            posted += 1;
            assert!(posted < 1000, "there is a bound");
            settle().await;
        }
        assert!(posted >= 16);
        for number in 0..posted {
            assert_eq!(posts.next().await.data, number);
        }
        dropped_while_it_waits(posts.next()).await;
        poster.post(7).unwrap();
        assert_eq!(posts.next().await.data, 7);
    });
}

fn posts_of_many_sources_are_bounded_together(bench: &Bench) {
    bench.run(async {
        let mut set = EventSet::new();
        let mut ends = Vec::new();
        for _ in 0..3 {
            let key = set.add(User::each(16)).unwrap();
            ends.push((key, set.poster(key).unwrap(), 0_u64));
        }
        for (_, poster, posted) in &mut ends {
            while poster.post(*posted).is_ok() {
                *posted += 1;
                assert!(*posted < 1000, "there is a bound");
                settle().await;
            }
        }
        let mut taken = [0; 3];
        for _ in 0..ends.iter().map(|it| it.2).sum::<u64>() {
            let (key, Kind::User(posted)) = set.next().await else { panic!() };
            let at = ends.iter().position(|it| it.0 == key).unwrap();
            assert_eq!(posted.data, taken[at]);
            taken[at] += 1;
        }
    });
}

fn posts_of_a_rule_are_merged(bench: &Bench) {
    bench.run(async {
        let mut posts = Posts::merged(Merge::Sum).unwrap();
        let poster = posts.poster().unwrap();
        for number in 1..=100 {
            poster.post(number).unwrap();
        }
        let (mut sum, mut count) = (0, 0);
        while count < 100 {
            let posted = posts.next().await;
            sum += posted.data;
            count += posted.count;
        }
        assert_eq!((sum, count), (5050, 100));
    });
}

fn posting_to_what_is_dropped_fails(bench: &Bench) {
    bench.run(async {
        let posts = Posts::each(16).unwrap();
        let poster = posts.poster().unwrap();
        drop(posts);
        assert_eq!(poster.post(1), Err(PostError::Closed));
    });
}

fn beats_that_nobody_awaits_are_one(bench: &Bench) {
    bench.run(async {
        let mut beats = interval(Duration::from_micros(100)).unwrap();
        let mut clock = Events::of(Timer::every(Duration::from_millis(5))).unwrap();
        for _ in 0..3 {
            assert!(matches!(clock.next().await, Kind::Timer(_)));
        }
        // 150 of them have passed: each look at the queue brought some.
        assert!(beats.tick().await >= 100);
    });
}

fn a_descriptor_that_is_not_read_is_told_again(bench: &Bench) {
    use std::io::Write;
    bench.run(async {
        let (reader, mut writer) = testkit::pipe_pair();
        let mut events = Events::of(Fd::new(reader)).unwrap();
        dropped_while_it_waits(events.next()).await;
        writer.write_all(b"!").unwrap();
        for _ in 0..5 {
            assert!(matches!(events.next().await, Kind::Ready(ready) if ready.is_readable()));
            yield_now().await;
        }
    });
}
