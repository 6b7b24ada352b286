//! Threads that have a queue of their own, and a part in a shared one which that queue watches.

use super::{Door, Hand, one};
use crate::bench::{A, B, C, patient, watched};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use ukevent_queue::{
    BackendKind, Builder, Event, Fd, Kind, Merge, Mode, Queue, SharedBuilder, SharedQueue, User,
    Wait, Waiter,
};

/// A thread's own queue, which watches its waiter as [`A`].
struct Both {
    own: Queue,
    waiter: Waiter,
}

impl Both {
    fn new(shared: &SharedQueue, kind: BackendKind, mode: Mode) -> Self {
        let mut own = Builder::new().backend(kind).build().unwrap();
        let mut waiter = shared.waiter().unwrap();
        own.register(Fd::new(waiter.descriptor().unwrap()), A, mode).unwrap();
        Self { own, waiter }
    }

    /// There is nothing for it in the shared queue, and after a few looks nothing is shown to it either.
    #[track_caller]
    fn comes_to_rest(&mut self) {
        for _ in 0..20 {
            if self.own.wait(Wait::now()).unwrap() == 0 {
                return;
            }
            while self.own.next_event().is_some() {}
            assert_eq!(self.waiter.wait(Wait::now()), Ok(0), "there is nothing for it");
        }
        panic!("it is shown again and again, and there is nothing");
    }

    /// Waits for either, and does something with each event of the shared queue.
    fn turn(&mut self, mut each: impl FnMut(Event)) {
        assert!(self.own.wait(patient()).unwrap() > 0, "nothing came");
        while let Some(event) = self.own.next_event() {
            assert_eq!(event.token, A);
            while self.waiter.wait(Wait::now()).unwrap() > 0 {
                while let Some(event) = self.waiter.next_event() {
                    each(event);
                }
            }
        }
    }
}

/// Posts are taken once each, by whichever thread, on every backend and by level and by edge; then all are told to go.
#[test]
fn each_event_comes_to_one_of_several_queues() {
    for kind in [BackendKind::IoUring, BackendKind::Epoll, BackendKind::Poll] {
        for mode in [Mode::Level, Mode::Edge] {
            watched(&format!("{kind} {mode:?}"), || share_posts(kind, mode));
        }
    }
}

fn share_posts(kind: BackendKind, mode: Mode) {
    const POSTS: u64 = 3_000;
    let queue = SharedQueue::new().unwrap();
    let jobs = queue.register(User::each(1 << 12), B, Mode::Level).unwrap();
    let stop = queue.register_for_all(User::merged(Merge::Last), C, Mode::Level).unwrap();
    let (jobs, stop) = (queue.poster(jobs).unwrap(), queue.poster(stop).unwrap());
    let sum = Arc::new(AtomicU64::new(0));
    let count = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (queue, sum, count) = (queue.clone(), sum.clone(), count.clone());
            std::thread::spawn(move || {
                let mut both = Both::new(&queue, kind, mode);
                let mut is_over = false;
                while !is_over {
                    both.turn(|event| match event.kind {
                        Kind::User(posted) if event.token == B => {
                            sum.fetch_add(posted.data, Ordering::Relaxed);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => is_over = true,
                    });
                }
            })
        })
        .collect();
    while queue.counters().waiters < 3 {
        std::thread::yield_now();
    }
    for data in 1..=POSTS {
        jobs.post(data).unwrap();
        if data % 7 == 0 {
            std::thread::yield_now();
        }
    }
    while count.load(Ordering::Relaxed) < POSTS {
        std::thread::yield_now();
    }
    stop.post(1).unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(count.load(Ordering::Relaxed), POSTS, "{kind} {mode:?}");
    assert_eq!(sum.load(Ordering::Relaxed), POSTS * (POSTS + 1) / 2, "{kind} {mode:?}");
}

/// One thread sleeps in the shared queue, another in its own.
#[test]
fn what_is_for_all_comes_to_who_sleeps_and_to_who_is_nested() {
    let queue = SharedQueue::new().unwrap();
    let key = queue.register_for_all(User::merged(Merge::Last), C, Mode::Level).unwrap();
    let sleeper = Hand::new(&queue);
    let mut both = Both::new(&queue, BackendKind::IoUring, Mode::Level);
    let mut told = Some(sleeper.sleep(&queue));
    for round in 0..3 {
        queue.poster(key).unwrap().post(round).unwrap();
        let mut came = 0;
        while came == 0 {
            both.turn(|event| {
                assert_eq!(event.token, C);
                came += 1;
            });
        }
        assert_eq!(came, 1, "once");
        if let Some(told) = told.take() {
            let event = told.get("the sleeper is told too");
            assert_eq!(event.map(|event| event.token), Some(C));
        }
    }
}

/// It leaves nothing that keeps the others awake.
#[test]
fn who_goes_while_it_is_called_calls_nobody_any_more() {
    let queue = SharedQueue::new().unwrap();
    let key = queue.register_for_all(User::merged(Merge::Last), C, Mode::Level).unwrap();
    let both = Both::new(&queue, BackendKind::Epoll, Mode::Level);
    let mut other = queue.waiter().unwrap();
    queue.poster(key).unwrap().post(1).unwrap();
    assert_eq!(one(&mut other, patient()).map(|event| event.token), Some(C));
    drop(both);
    assert_eq!(queue.counters().asleep, 0);
    let before = other.counters().sleeps;
    assert_eq!(other.wait(Wait::within(Duration::from_millis(20))).unwrap(), 0);
    assert!(other.counters().sleeps - before <= 2, "it is woken again and again");
}

/// What the nested one holds is not told, and shows when it lets go.
#[test]
fn a_level_that_is_held_does_not_show_until_it_is_let_go_of() {
    let (queue, door) = (SharedQueue::new().unwrap(), Door::new());
    queue.register(door.source(), B, Mode::Level).unwrap();
    let mut both = Both::new(&queue, BackendKind::Epoll, Mode::Level);
    let mut other = queue.waiter().unwrap();
    door.knock();
    assert_eq!(one(&mut other, patient()).map(|event| event.token), Some(B));
    both.comes_to_rest();
    // Lets go of it; the state is as it was.
    drop(other);
    let mut came = 0;
    both.turn(|event| {
        assert_eq!(event.token, B);
        door.answer();
        came += 1;
    });
    assert_eq!(came, 1);
}

/// Who works on an event outside lets who sleeps inside sleep.
#[test]
fn who_works_as_nested_keeps_no_sleeper_awake() {
    let queue = SharedQueue::new().unwrap();
    let key = queue.register(User::each(8), B, Mode::Level).unwrap();
    let mut both = Both::new(&queue, BackendKind::Epoll, Mode::Level);
    queue.poster(key).unwrap().post(1).unwrap();
    assert_eq!(both.waiter.wait(Wait::now()), Ok(1));
    assert_eq!(both.waiter.next_event().map(|event| event.token), Some(B));
    let mut other = queue.waiter().unwrap();
    let before = other.counters().sleeps;
    assert_eq!(other.wait(Wait::within(Duration::from_millis(20))), Ok(0));
    let sleeps = other.counters().sleeps - before;
    assert!(sleeps <= 3, "it is woken again and again: {sleeps} sleeps");
}

/// Nor is it shown to others who look from outside.
#[test]
fn what_a_nested_one_works_on_does_not_show_to_others_again_and_again() {
    let queue = SharedQueue::new().unwrap();
    let key = queue.register(User::each(8), B, Mode::Level).unwrap();
    let mut working = Both::new(&queue, BackendKind::Epoll, Mode::Level);
    let mut other = Both::new(&queue, BackendKind::Epoll, Mode::Level);
    queue.poster(key).unwrap().post(1).unwrap();
    assert_eq!(working.waiter.wait(Wait::now()), Ok(1));
    assert_eq!(working.waiter.next_event().map(|event| event.token), Some(B));
    other.comes_to_rest();
}

/// A nested one that is shown something and does not look lets who sleeps inside sleep.
#[test]
fn who_is_nested_and_does_not_look_keeps_no_sleeper_awake() {
    let queue = SharedQueue::new().unwrap();
    let key = queue.register(User::each(8), B, Mode::Level).unwrap();
    let _both = Both::new(&queue, BackendKind::Epoll, Mode::Level);
    let mut other = queue.waiter().unwrap();
    queue.poster(key).unwrap().post(1).unwrap();
    let before = other.counters().sleeps;
    let wait = Wait::within(Duration::from_millis(20)).at_least(2);
    assert_eq!(other.wait(wait), Ok(1));
    let sleeps = other.counters().sleeps - before;
    assert!(sleeps <= 4, "it is woken again and again: {sleeps} sleeps");
}

/// What it handed on is not for it, so its descriptor does not show it for ever.
#[test]
fn what_a_nested_one_hands_on_does_not_show_to_it_again_and_again() {
    let queue = SharedQueue::new().unwrap();
    let key = queue.register(User::each(8), B, Mode::Level).unwrap();
    let mut both = Both::new(&queue, BackendKind::Epoll, Mode::Level);
    let mut other = queue.waiter().unwrap();
    queue.poster(key).unwrap().post(1).unwrap();
    assert_eq!(both.waiter.wait(Wait::now()), Ok(1));
    let event = both.waiter.next_event().unwrap();
    both.waiter.release(event).unwrap();
    both.comes_to_rest();
    assert_eq!(one(&mut other, patient()).map(|event| event.token), Some(B));
}

/// By edges, who looks until there is nothing has seen all, however many others watch too.
#[test]
fn by_edges_a_look_finds_all_though_others_watch() {
    let (queue, door) = (SharedQueue::new().unwrap(), Door::new());
    queue.register(door.source(), B, Mode::Level).unwrap();
    let mut both = Both::new(&queue, BackendKind::Epoll, Mode::Edge);
    let mut idle = queue.waiter().unwrap();
    // Others watch for this one, and it does not look.
    let _watched = idle.descriptor().unwrap();
    door.knock();
    let mut came = 0;
    while both.own.wait(Wait::now()).unwrap() > 0 {
        while both.own.next_event().is_some() {}
        while both.waiter.wait(Wait::now()).unwrap() > 0 {
            came += std::iter::from_fn(|| both.waiter.next_event()).count();
            door.answer();
        }
    }
    assert!(came > 0, "it looked until there was nothing, and there is something");
}

/// It needs one, whatever an earlier wait of its own needed.
#[test]
fn who_is_nested_is_shown_one_event_though_it_waited_for_more() {
    let queue = SharedQueue::new().unwrap();
    let key = queue.register(User::each(8), B, Mode::Level).unwrap();
    let poster = queue.poster(key).unwrap();
    let mut both = Both::new(&queue, BackendKind::Epoll, Mode::Level);
    assert_eq!(both.waiter.wait(Wait::within(Duration::from_millis(1)).at_least(5)), Ok(0));
    let hand = Hand::new(&queue);
    let needs_two = hand.start(|waiter| waiter.wait(patient().at_least(2)));
    let sleeps = || queue.waiters()[1].sleeps;
    testkit::wait_until("it sleeps", || sleeps() > 0);
    crate::bench::until_asleep(hand.thread);
    let before = sleeps();
    poster.post(1).unwrap();
    // It was told, and leaves it to whom it is enough for.
    testkit::wait_until("it sleeps again", || sleeps() > before || needs_two.peek().is_some());
    crate::bench::until_asleep(hand.thread);
    let shown = both.own.wait(Wait::within(Duration::from_secs(2))).unwrap();
    poster.post(2).unwrap();
    assert_eq!(shown, 1, "there is an event in reach, and nothing shows it");
}

/// What lies behind a ring that another has emptied shows, too.
#[test]
fn what_is_behind_the_ring_shows_when_another_has_claimed_all_in_it() {
    let queue = SharedBuilder::new().ring(2).build().unwrap();
    let key = queue.register(User::each(8), B, Mode::Level).unwrap();
    let mut both = Both::new(&queue, BackendKind::Epoll, Mode::Level);
    let mut other = queue.waiter().unwrap();
    let poster = queue.poster(key).unwrap();
    (0..8).for_each(|data| poster.post(data).unwrap());
    assert_eq!(other.wait(Wait::now().at_least(2)), Ok(8));
    let shown = both.own.wait(Wait::now()).unwrap();
    assert!(both.waiter.wait(Wait::now()).unwrap() > 0, "all but two are for whoever looks");
    assert_eq!(shown, 1, "there is an event in reach, and nothing shows it");
}

/// However long one works on a descriptor's event, the others are not shown it.
#[test]
fn who_works_on_an_event_keeps_nobody_awake() {
    for kind in [BackendKind::IoUring, BackendKind::Epoll, BackendKind::Poll] {
        // A thread for each: closing a ring interrupts the next sleep of its thread.
        std::thread::spawn(move || keeps_nobody_awake(kind)).join().unwrap();
    }
}

fn keeps_nobody_awake(kind: BackendKind) {
    let (queue, door) = (SharedQueue::new().unwrap(), Door::new());
    queue.register(door.source(), B, Mode::Level).unwrap();
    let mut worker = Both::new(&queue, kind, Mode::Level);
    let mut idle = Both::new(&queue, kind, Mode::Level);
    let at_once = Wait::now().at_most(1);
    door.knock();
    while worker.waiter.wait(at_once).unwrap() == 0 {}
    assert_eq!(worker.waiter.next_event().map(|event| event.token), Some(B));
    let mut times = 0;
    while idle.own.wait(Wait::within(Duration::from_millis(20))).unwrap() > 0 {
        while idle.own.next_event().is_some() {}
        assert_eq!(idle.waiter.wait(at_once).unwrap(), 0, "{kind}: it is held");
        times += 1;
        assert!(times < 5, "{kind}: it is woken again and again");
    }
}
