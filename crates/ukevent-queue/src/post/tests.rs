//! Posting, sleeping and waking: under loom in every order, otherwise with real threads.

use super::{Inbox, Mailbox, Merge, Poster, Wake};
use crate::primitive::{Arc, AtomicU64, Ordering};

/// Counts the system calls that a wake-up would be.
struct Count(Arc<AtomicU64>);

impl Wake for Count {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn mailbox() -> (Arc<Mailbox>, Arc<AtomicU64>) {
    let wakes = Arc::new(AtomicU64::new(0));
    (Arc::new(Mailbox::new(Box::new(Count(wakes.clone())))), wakes)
}

fn poster(mailbox: &Arc<Mailbox>, inbox: Inbox) -> Poster {
    Poster { mailbox: mailbox.clone(), inbox: Arc::new(inbox) }
}

/// Takes everything from a mailbox whose inboxes are `posters`, by key 0, 1, ….
fn take_all(mailbox: &Mailbox, posters: &[Poster]) -> Vec<(u64, u64)> {
    let mut taken = Vec::new();
    let mut next = mailbox.take();
    while let Some(key) = next {
        let inbox = &posters[key as usize].inbox;
        next = inbox.take_next();
        if let Some(posted) = inbox.take_merged() {
            taken.push((key, posted.count));
        }
        while let Some(posted) = inbox.take_one() {
            taken.push((key, posted.count));
        }
    }
    taken
}

#[cfg(loom)]
mod in_every_order {
    use super::*;
    use loom::thread;

    /// Two threads post while the queue goes to sleep: it sees both posts, or is woken.
    #[test]
    fn loom_no_wake_up_is_lost() {
        loom::model(|| {
            let (mailbox, wakes) = mailbox();
            let posters = [
                poster(&mailbox, Inbox::merging(0, Merge::Sum)),
                poster(&mailbox, Inbox::merging(1, Merge::Sum)),
            ];
            let threads = posters
                .clone()
                .map(|poster| thread::spawn(move || poster.post(1).expect("the source lives")));
            let slept = mailbox.prepare_sleep();
            let seen: u64 = take_all(&mailbox, &posters).iter().map(|taken| taken.1).sum();
            for thread in threads {
                thread.join().expect("does not panic");
            }
            if slept && seen < 2 {
                // What came after the looking must have rung.
                assert!(wakes.load(Ordering::SeqCst) > 0, "asleep with a post and no wake-up");
            }
            assert!(wakes.load(Ordering::SeqCst) <= 1, "one sleep, one system call");
            let rest: u64 = take_all(&mailbox, &posters).iter().map(|taken| taken.1).sum();
            assert_eq!(seen + rest, 2, "every post is counted once");
        });
    }

    /// Two posts to one source race with its collection.
    #[test]
    fn loom_merged_posts_are_counted_once() {
        loom::model(|| {
            let (mailbox, _) = mailbox();
            let posters = [poster(&mailbox, Inbox::merging(0, Merge::Sum))];
            let other = posters[0].clone();
            let thread = thread::spawn(move || {
                other.post(1).expect("the source lives");
                other.post(1).expect("the source lives");
            });
            let mut count: u64 = take_all(&mailbox, &posters).iter().map(|taken| taken.1).sum();
            thread.join().expect("does not panic");
            count += take_all(&mailbox, &posters).iter().map(|taken| taken.1).sum::<u64>();
            assert_eq!(count, 2);
        });
    }

    /// Two threads share a ring of two places.
    #[test]
    fn loom_single_posts_arrive_once_each() {
        loom::model(|| {
            let (mailbox, _) = mailbox();
            let posters = [poster(&mailbox, Inbox::each(0, 2))];
            let other = posters[0].clone();
            let thread = thread::spawn(move || other.post(7).is_ok());
            let mine = posters[0].post(8).is_ok();
            let mut count = take_all(&mailbox, &posters).len();
            let theirs = thread.join().expect("does not panic");
            count += take_all(&mailbox, &posters).len();
            assert!(mine && theirs, "two places for two posts");
            assert_eq!(count, 2);
        });
    }

    /// A source is closed while a thread posts: the stack never names an inbox that nobody keeps.
    #[test]
    fn loom_closing_keeps_the_stack_whole() {
        loom::model(|| {
            let (mailbox, _) = mailbox();
            let posters = [poster(&mailbox, Inbox::merging(0, Merge::Last))];
            let other = posters[0].clone();
            let thread = thread::spawn(move || other.post(1).is_ok());
            let kept = posters[0].inbox.close();
            let posted = thread.join().expect("does not panic");
            let on_stack = mailbox.take().is_some();
            assert!(kept || !on_stack, "stacked, but given up");
            assert!(!posted || kept, "a post that was taken keeps the inbox");
        });
    }

    /// A waker and a sleeper.
    #[test]
    fn loom_a_waker_ends_the_sleep() {
        loom::model(|| {
            let (mailbox, wakes) = mailbox();
            let other = mailbox.clone();
            let thread = thread::spawn(move || other.wake());
            let slept = mailbox.prepare_sleep();
            thread.join().expect("does not panic");
            if slept {
                assert_eq!(wakes.load(Ordering::SeqCst), 1);
            }
            assert!(mailbox.take_woken());
        });
    }
}

#[cfg(not(loom))]
mod with_threads {
    use super::*;
    use crate::error::PostError;

    #[test]
    fn a_post_to_an_awake_queue_makes_no_system_call() {
        let (mailbox, wakes) = mailbox();
        let posters = [poster(&mailbox, Inbox::merging(0, Merge::Last))];
        for data in 0..100 {
            posters[0].post(data).expect("the source lives");
        }
        assert_eq!(take_all(&mailbox, &posters), [(0, 100)]);
        assert_eq!(wakes.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_sleep_is_ended_by_one_call() {
        let (mailbox, wakes) = mailbox();
        let posters = [poster(&mailbox, Inbox::each(0, 8))];
        assert!(mailbox.prepare_sleep());
        for data in 0..5 {
            posters[0].post(data).expect("there is room");
        }
        assert_eq!(wakes.load(Ordering::SeqCst), 1);
        assert!(!mailbox.prepare_sleep(), "there are posts");
    }

    #[test]
    fn a_full_ring_says_so_and_keeps_what_it_has() {
        let (mailbox, _) = mailbox();
        let posters = [poster(&mailbox, Inbox::each(0, 4))];
        for data in 0..4 {
            posters[0].post(data).expect("there is room");
        }
        assert_eq!(posters[0].post(9), Err(PostError::Full));
        assert_eq!(posters[0].inbox.waiting(), 4);
        for data in 0..4 {
            assert_eq!(posters[0].inbox.take_one().map(|posted| posted.data), Some(data));
        }
        posters[0].post(9).expect("there is room again");
    }

    #[test]
    fn a_closed_source_refuses() {
        let (mailbox, _) = mailbox();
        let poster = poster(&mailbox, Inbox::merging(0, Merge::Last));
        assert!(!poster.inbox.close(), "nothing was posted");
        assert_eq!(poster.post(1), Err(PostError::Closed));
        assert!(mailbox.take().is_none());
    }

    #[test]
    fn merged_data_follows_its_rule() {
        let (mailbox, _) = mailbox();
        for (merge, expected) in [(Merge::Last, 4), (Merge::Or, 7), (Merge::Sum, 10)] {
            let poster = poster(&mailbox, Inbox::merging(0, merge));
            for data in [3, 3, 4] {
                poster.post(data).expect("the source lives");
            }
            let posted = poster.inbox.take_merged().expect("posted");
            assert_eq!((posted.data, posted.count), (expected, 3));
        }
    }

    #[test]
    fn four_threads_and_nothing_lost() {
        const POSTS: u64 = 50_000;
        let (mailbox, _) = mailbox();
        let posters: Vec<Poster> = (0..4)
            .map(|key| match key {
                0 | 1 => poster(&mailbox, Inbox::merging(key, Merge::Sum)),
                _ => poster(&mailbox, Inbox::each(key, 64)),
            })
            .collect();
        std::thread::scope(|scope| {
            for at in 0..4 {
                let posters = &posters;
                scope.spawn(move || {
                    for step in 0..POSTS {
                        let to = &posters[(at + step as usize) % 4];
                        while to.post(1) == Err(PostError::Full) {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            let mut count = 0;
            while count < 4 * POSTS {
                count += take_all(&mailbox, &posters).iter().map(|taken| taken.1).sum::<u64>();
            }
            assert_eq!(count, 4 * POSTS);
        });
    }
}
