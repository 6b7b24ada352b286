//! Pinned waiters: who gets what, and what becomes of what one leaves behind.

use super::{Door, Hand, one};
use crate::bench::{A, B, C, D, patient, until_asleep, watched};
use rustix::process::{getpid, kill_process};
use std::collections::HashSet;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;
use testkit::assert_no_leak;
use ukevent_queue::{
    Change, Direction, Event, Fd, Interest, Kind, Merge, Mode, Operation, Policy, Queue,
    RegisterError, SharedBuilder, SharedQueue, Signal, Socket, StartRefusal, Timer, Token, User,
    Wait, WaitError, Waiter,
};

fn pinned() -> SharedQueue {
    SharedBuilder::new().policy(Policy::Pinned).build().unwrap()
}

/// Waits until there is one; a waiter that has taken something over may be woken for nothing.
#[track_caller]
fn next(waiter: &mut Waiter) -> Event {
    for _ in 0..20 {
        if let Some(event) = one(waiter, patient()) {
            return event;
        }
    }
    panic!("it is woken again and again for nothing: {waiter:?}")
}

#[track_caller]
fn nothing_for(waiter: &mut Waiter) {
    for _ in 0..20 {
        if waiter.wait(Wait::now()).unwrap() == 0 {
            return;
        }
        let event = waiter.next_event();
        assert!(event.is_none(), "{event:?}");
    }
    panic!("it finds something again and again, and there is nothing: {waiter:?}")
}

#[test]
fn what_the_queue_registers_goes_to_the_waiters_in_turn() {
    let queue = pinned();
    let mut waiters = [(); 3].map(|()| queue.waiter().unwrap());
    let posters: Vec<_> = (0..9)
        .map(|place| queue.register(User::each(4), Token(place), Mode::Level).unwrap())
        .map(|key| queue.poster(key).unwrap())
        .collect();
    for round in 0..2 {
        let mut all = HashSet::new();
        for poster in &posters {
            poster.post(round).unwrap();
        }
        for waiter in &mut waiters {
            let own: HashSet<_> = (0..3).map(|_| next(waiter).token).collect();
            assert_eq!(own.len(), 3, "each has its own");
            all.extend(own);
            nothing_for(waiter);
        }
        assert_eq!(all.len(), 9);
    }
}

#[test]
fn what_a_waiter_registers_comes_to_it_alone() {
    let queue = pinned();
    let mut waiters = [(); 2].map(|()| queue.waiter().unwrap());
    let doors = [(); 2].map(|()| Door::new());
    for (door, waiter) in doors.iter().zip(&waiters) {
        waiter.register(door.source(), A, Mode::Level).unwrap();
    }
    doors[1].knock();
    nothing_for(&mut waiters[0]);
    assert_eq!(next(&mut waiters[1]).token, A);
    nothing_for(&mut waiters[0]);
}

#[test]
fn what_comes_before_any_waiter_waits_for_the_first() {
    let (queue, door) = (pinned(), Door::new());
    queue.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    assert_eq!(next(&mut queue.waiter().unwrap()).token, A);
}

/// From another thread than the one that has it, which sleeps.
#[test]
fn any_thread_changes_what_is_pinned_to_another() {
    let (queue, door) = (pinned(), Door::new());
    let _other = queue.waiter().unwrap();
    let hand = Hand::new(&queue);
    let source = door.source();
    let registered = hand.start(move |waiter| waiter.register(source, A, Mode::Level));
    let key = registered.get("registering").unwrap();
    queue.disable(key).unwrap();
    door.knock();
    hand.finds_nothing();
    queue.modify(key, Change::new().token(B)).unwrap();
    let woken = hand.sleep(&queue);
    queue.enable(key).unwrap();
    let event = woken.get("the sleeper is woken").expect("there is an event");
    assert_eq!((event.key, event.token), (key, B));
    let withdrawn = queue.remove(key).unwrap();
    assert!(withdrawn.is_held(), "the other one works on it");
    hand.let_go();
    queue.wait_until_let_go(key);
    assert!(queue.remove(key).is_err());
    hand.finds_nothing();
}

/// Each kind of thing that a waiter may leave behind.
struct Left {
    door: Door,
    post: ukevent_queue::Poster,
    peer: UnixStream,
    keys: Vec<ukevent_queue::Key>,
}

impl Left {
    fn by(queue: &SharedQueue, waiter: &Waiter) -> Self {
        let door = Door::new();
        let (socket, peer) = UnixStream::pair().unwrap();
        let keys = vec![
            waiter.register(door.source(), A, Mode::Level).unwrap(),
            waiter.register(User::merged(Merge::Last), B, Mode::Level).unwrap(),
            waiter.register(Socket::new(socket).unwatched(), C, Mode::Level).unwrap(),
        ];
        waiter.start(Operation::poll(keys[2], Interest::READ), C).unwrap();
        Self { door, post: queue.poster(keys[1]).unwrap(), peer, keys }
    }

    /// Lets all of it happen, after a timer was registered for `waiter`.
    fn happen(&self) {
        use std::io::Write;
        self.door.knock();
        self.post.post(7).unwrap();
        (&self.peer).write_all(b"!").unwrap();
    }

    /// All of it comes to this waiter, under its keys.
    #[track_caller]
    fn comes_to(&self, waiter: &mut Waiter) {
        let mut came = HashSet::new();
        while came.len() < 3 {
            let event = next(waiter);
            match event.kind {
                Kind::Ready(_) => {
                    assert_eq!((event.token, event.key), (A, self.keys[0]));
                    self.door.answer();
                }
                Kind::User(posted) => {
                    assert_eq!((event.token, event.key, posted.data), (B, self.keys[1], 7));
                }
                Kind::Completed(_) => assert_eq!(event.token, C),
                ref kind => panic!("{kind:?}"),
            }
            assert!(came.insert(event.token), "{:?} twice", event.token);
        }
        nothing_for(waiter);
    }
}

#[test]
fn what_a_waiter_leaves_behind_another_takes_over() {
    for is_early in [true, false] {
        let queue = pinned();
        let mut heir = queue.waiter().unwrap();
        let gone = queue.waiter().unwrap();
        let left = Left::by(&queue, &gone);
        if is_early {
            left.happen();
        }
        drop(gone);
        if !is_early {
            nothing_for(&mut heir);
            left.happen();
        }
        left.comes_to(&mut heir);
        let timer = Timer::after(Duration::from_millis(1));
        queue.modify(left.keys[1], Change::new().token(D)).unwrap();
        left.post.post(1).unwrap();
        assert_eq!(next(&mut heir).token, D);
        heir.register(timer, B, Mode::Level).unwrap();
        assert_eq!(next(&mut heir).token, B);
        for key in left.keys {
            queue.remove(key).unwrap();
        }
        nothing_for(&mut heir);
    }
}

/// Who goes while all others sleep wakes nobody, but what he leaves does.
#[test]
fn a_sleeper_is_woken_by_what_it_has_taken_over() {
    let queue = pinned();
    let heir = Hand::new(&queue);
    let gone = queue.waiter().unwrap();
    let every = Timer::every(Duration::from_millis(3));
    let (door, timer) = (Door::new(), gone.register(every, B, Mode::Level).unwrap());
    gone.register(door.source(), A, Mode::Level).unwrap();
    drop(gone);
    let ticked = heir.start(next).get("a timer");
    assert_eq!((ticked.token, ticked.key), (B, timer));
    queue.remove(timer).unwrap();
    heir.finds_nothing();
    let woken = heir.start(next);
    door.knock();
    assert_eq!(woken.get("the sleeper is woken").token, A);
}

#[test]
fn what_was_claimed_and_not_taken_comes_to_the_heir() {
    let queue = pinned();
    let mut heir = queue.waiter().unwrap();
    let mut gone = queue.waiter().unwrap();
    let key = gone.register(User::each(8), A, Mode::Level).unwrap();
    let poster = queue.poster(key).unwrap();
    (0..5).for_each(|data| poster.post(data).unwrap());
    assert_eq!(gone.wait(Wait::now().at_least(3)), Ok(5));
    assert!(gone.next_event().is_some());
    drop(gone);
    let data: Vec<u64> = (0..4)
        .map(|_| match next(&mut heir).kind {
            Kind::User(posted) => posted.data,
            kind => panic!("{kind:?}"),
        })
        .collect();
    assert_eq!(data, [1, 2, 3, 4], "in order");
    nothing_for(&mut heir);
}

#[test]
fn the_next_waiter_takes_over_what_was_left() {
    let queue = pinned();
    let mut heir = queue.waiter().unwrap();
    let gone = queue.waiter().unwrap();
    let left = Left::by(&queue, &gone);
    drop(gone);
    nothing_for(&mut heir);
    let mut next = queue.waiter().unwrap();
    // The heir learns of it at its next wait.
    nothing_for(&mut heir);
    left.happen();
    nothing_for(&mut heir);
    left.comes_to(&mut next);
}

#[test]
fn what_was_taken_over_is_passed_on() {
    let queue = pinned();
    let mut last = queue.waiter().unwrap();
    let lefts: Vec<Left> =
        (0..3).map(|_| queue.waiter().unwrap()).map(|gone| Left::by(&queue, &gone)).collect();
    nothing_for(&mut last);
    let middle = queue.waiter().unwrap();
    let own = Left::by(&queue, &middle);
    drop(last);
    drop(middle);
    // Nobody has any of it.
    let mut last = queue.waiter().unwrap();
    for left in lefts.iter().chain([&own]) {
        left.happen();
        left.comes_to(&mut last);
    }
}

/// Takes so many events, or what there is until all are over.
fn take(queue: &SharedQueue, most: usize, tell: &Sender<(Token, u64)>, is_over: &AtomicBool) {
    let mut waiter = queue.waiter().unwrap();
    let mut taken = 0;
    while taken < most && !is_over.load(Ordering::Relaxed) {
        waiter.wait(Wait::within(Duration::from_millis(2))).unwrap();
        // Some of them it lets out and does not take.
        while taken < most
            && let Some(event) = waiter.next_event()
        {
            let Kind::User(posted) = event.kind else { panic!("{event:?}") };
            tell.send((event.token, posted.data)).unwrap();
            taken += 1;
        }
    }
}

#[test]
fn waiters_come_and_go_and_nothing_is_lost() {
    const POSTS: u64 = 300;
    let queue = pinned();
    let keys = (0..40).map(|place| queue.register(User::each(64), Token(place), Mode::Level));
    let posters: Vec<_> = keys.map(|key| queue.poster(key.unwrap()).unwrap()).collect();
    let count = posters.len() as u64 * POSTS;
    let is_over = AtomicBool::new(false);
    let (tell, told) = channel();
    thread::scope(|scope| {
        let (queue, is_over) = (&queue, &is_over);
        for number in 0..4 {
            let tell = tell.clone();
            scope.spawn(move || {
                for turn in number.. {
                    take(queue, 1 + 37 * turn % 90, &tell, is_over);
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        scope.spawn(move || {
            for data in 0..POSTS {
                for poster in &posters {
                    while poster.post(data).is_err() {
                        thread::yield_now();
                    }
                }
            }
        });
        let mut came = HashSet::new();
        watched("all that was posted comes", || {
            for _ in 0..count {
                let event = told.recv().unwrap();
                assert!(came.insert(event), "{event:?} came twice");
            }
        });
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(told.try_recv(), Err(TryRecvError::Empty), "and nothing more");
}

#[test]
fn signals_come_to_the_waiter_that_registered_them() {
    testkit::alone(|| {
        let queue = pinned();
        let hand = Hand::new(&queue);
        let mut waiters = [(); 2].map(|()| queue.waiter().unwrap());
        waiters[1].register(Signal::USR1, A, Mode::Level).unwrap();
        let asleep = hand.sleep(&queue);
        kill_process(getpid(), rustix::process::Signal::USR1).unwrap();
        assert_eq!(next(&mut waiters[1]).token, A);
        nothing_for(&mut waiters[0]);
        assert!(asleep.peek().is_none(), "a signal does not interrupt who sleeps");
        queue.waker().wake();
        assert!(asleep.get("it is woken").is_none());
        let [_, gone] = waiters;
        drop(gone);
        kill_process(getpid(), rustix::process::Signal::USR1).unwrap();
        assert_eq!(hand.start(next).get("the signal of one that is gone").token, A);
    });
}

#[test]
fn what_cannot_be_is_refused() {
    let queue = pinned();
    let waiters = [(); 2].map(|()| queue.waiter().unwrap());
    let refused = queue.register_for_all(User::merged(Merge::Last), A, Mode::Level);
    assert!(matches!(refused, Err(RegisterError::Unsupported { .. })), "{refused:?}");
    let (socket, _peer) = UnixStream::pair().unwrap();
    let socket = waiters[0].register(Socket::new(socket).unwatched(), A, Mode::Level).unwrap();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let file = waiters[1].register(Fd::new(file).unwatched(), B, Mode::Level);
    let file = file.unwrap();
    let refused = queue.start(Operation::send_file(socket, file, 0, 10), C).unwrap_err();
    assert!(matches!(refused.reason, StartRefusal::Invalid(_)), "{refused:?}");
    assert!(refused.to_string().contains("Waiter::register"), "{refused}");
    for strange in [u64::MAX, 254 << 24, 0, 1 << 24] {
        let strange = ukevent_queue::Key::from_bits(strange);
        assert!(queue.remove(strange).is_err(), "{strange:?}");
        assert!(queue.poster(strange).is_err(), "{strange:?}");
        let refused = queue.start(Operation::shutdown(strange, Direction::Both), C);
        assert!(refused.is_err(), "{strange:?}");
    }
}

#[test]
fn the_256th_waiter_is_refused_and_the_last_closes_all() {
    testkit::alone(|| {
        assert_no_leak(|| {
            let queue = pinned();
            let waiters: Vec<_> = (0..255).map(|_| queue.waiter().unwrap()).collect();
            let refused = queue.waiter().unwrap_err();
            assert!(matches!(refused, WaitError::Invalid(_)), "{refused:?}");
            assert_eq!(queue.counters().waiters, 255);
            drop(waiters);
            let mut last = queue.waiter().unwrap();
            let waits = last.wait(Wait::now());
            assert_eq!(waits, Ok(0), "it has a part in all, and there is nothing");
            let counters = last.queue().counters();
            assert_eq!((counters.waiters, counters.asleep), (1, 0));
            assert_eq!(counters.queue.registered, 0);
        });
    });
}

/// However often others come and go while it works.
#[test]
fn who_works_while_others_come_and_go_takes_over_each_group_once() {
    testkit::alone(|| {
        let queue = pinned();
        let mut heir = queue.waiter().unwrap();
        drop(queue.waiter().unwrap());
        nothing_for(&mut heir);
        let (parts, descriptors) = (queue.counters().waiters, testkit::fd_count());
        for _ in 0..20 {
            drop(queue.waiter().unwrap());
        }
        nothing_for(&mut heir);
        nothing_for(&mut heir);
        let now = (queue.counters().waiters, testkit::fd_count());
        assert_eq!(now, (parts, descriptors), "parts and descriptors");
    });
}

/// One that has not left a group yet which has a waiter again does not get what is that one's.
#[test]
fn what_a_new_waiter_registers_does_not_come_to_who_has_not_left_its_group_yet() {
    let queue = pinned();
    let heir = Hand::new(&queue);
    drop(queue.waiter().unwrap());
    heir.start(|waiter| nothing_for(waiter)).get("it takes over");
    let waker = heir.start(|waiter| waiter.waker()).get("its waker");
    let asleep = heir.sleep(&queue);
    let (mut new, door) = (queue.waiter().unwrap(), Door::new());
    new.register(door.source(), A, Mode::Level).unwrap();
    door.knock();
    assert_eq!(next(&mut new).token, A);
    assert!(asleep.peek().is_none(), "it is the new one's");
    waker.wake();
    assert_eq!(asleep.get("a wake-up"), None);
}

/// What there is without a sleep.
fn look(waiter: &mut Waiter) -> Option<Event> {
    (0..20).find_map(|_| one(waiter, Wait::now()))
}

/// A pinned queue, a waiter that has adopted a group and does not wait, and one that has taken that over.
fn taken_over() -> (SharedQueue, Waiter, Waiter) {
    let queue = pinned();
    let mut heir = queue.waiter().unwrap();
    drop(queue.waiter().unwrap());
    nothing_for(&mut heir);
    let new = queue.waiter().unwrap();
    (queue, heir, new)
}

#[test]
fn what_a_new_waiter_releases_comes_back_though_another_has_not_left_its_group_yet() {
    let (queue, _heir, mut new) = taken_over();
    let key = new.register(User::each(4), A, Mode::Level).unwrap();
    queue.poster(key).unwrap().post(7).unwrap();
    let event = next(&mut new);
    new.release(event).unwrap();
    assert_eq!(look(&mut new).map(|event| event.token), Some(A), "it comes back");
}

/// Who is at work and holds what it had taken over keeps no new waiter awake.
#[test]
fn who_has_not_left_a_group_yet_keeps_its_waiter_not_awake() {
    let queue = pinned();
    let mut heir = queue.waiter().unwrap();
    let gone = queue.waiter().unwrap();
    let key = gone.register(User::each(4), A, Mode::Level).unwrap();
    drop(gone);
    queue.poster(key).unwrap().post(7).unwrap();
    assert_eq!(next(&mut heir).token, A);
    let mut new = queue.waiter().unwrap();
    let before = new.counters().sleeps;
    assert_eq!(new.wait(Wait::within(Duration::from_millis(20))), Ok(0));
    let sleeps = new.counters().sleeps - before;
    assert!(sleeps <= 3, "it is woken again and again: {sleeps} sleeps");
}

/// What the queue registers for itself takes no room that is the program's.
#[test]
fn a_waiter_whose_registrations_are_at_the_limit_takes_over() {
    let queue = SharedBuilder::new().policy(Policy::Pinned).limit(1).build().unwrap();
    let (mut heir, gone) = (queue.waiter().unwrap(), queue.waiter().unwrap());
    heir.register(User::each(4), B, Mode::Level).unwrap();
    let key = gone.register(User::each(4), A, Mode::Level).unwrap();
    let poster = queue.poster(key).unwrap();
    drop(gone);
    poster.post(7).unwrap();
    assert_eq!(look(&mut heir).map(|event| event.token), Some(A));
}

#[test]
fn who_has_taken_over_can_still_register_up_to_the_limit() {
    let queue = SharedBuilder::new().policy(Policy::Pinned).limit(1).build().unwrap();
    let (mut heir, gone) = (queue.waiter().unwrap(), queue.waiter().unwrap());
    drop(gone);
    nothing_for(&mut heir);
    heir.register(User::each(4), B, Mode::Level).unwrap();
}

#[test]
fn who_goes_and_leaves_nothing_wakes_nobody() {
    let (queue, door) = (pinned(), Door::new());
    let heir = Hand::new(&queue);
    let source = door.source();
    heir.start(move |waiter| waiter.register(source, A, Mode::Level)).get("it registers").unwrap();
    let asleep = heir.sleep(&queue);
    drop(queue.waiter().unwrap());
    door.knock();
    assert_eq!(asleep.get("its own").map(|event| event.token), Some(A), "woken for nothing");
}

/// Something that is taken over and has nothing to tell is no event.
#[test]
fn at_least_two_are_two() {
    let queue = pinned();
    let heir = Hand::new(&queue);
    let registered = heir.start(|waiter| waiter.register(User::each(4), A, Mode::Level));
    let poster = queue.poster(registered.get("it registers").unwrap()).unwrap();
    let took = heir.start(|waiter| {
        waiter.wait(patient().at_least(2)).unwrap();
        std::iter::from_fn(|| waiter.next_event()).count()
    });
    until_asleep(heir.thread);
    drop(queue.waiter().unwrap());
    poster.post(1).unwrap();
    until_asleep(heir.thread);
    poster.post(2).unwrap();
    assert_eq!(took.get("it has two"), 2);
}

/// A waker ends a wait, also of who has taken over the group that it is of, whatever that wait needs.
#[test]
fn the_waker_of_one_that_is_gone_ends_the_wait_of_the_heir() {
    let queue = pinned();
    let gone = queue.waiter().unwrap();
    let heir = Hand::new(&queue);
    let waker = gone.waker();
    drop(gone);
    heir.start(|waiter| nothing_for(waiter)).get("it takes over");
    let woken = heir.start(|waiter| {
        let start = std::time::Instant::now();
        let wait = Wait::within(Duration::from_secs(5)).at_least(2);
        waiter.wait(wait).map(|_| start.elapsed() < Duration::from_secs(5))
    });
    until_asleep(heir.thread);
    waker.wake();
    assert_eq!(woken.get("it is woken"), Ok(true), "nothing ended its wait");
}

#[test]
fn a_wait_lets_no_more_out_than_it_says() {
    let queue = pinned();
    let (mut heir, gone) = (queue.waiter().unwrap(), queue.waiter().unwrap());
    let key = gone.register(User::each(4), A, Mode::Level).unwrap();
    drop(gone);
    nothing_for(&mut heir);
    (0..3).for_each(|data| queue.poster(key).unwrap().post(data).unwrap());
    let said = heir.wait(Wait::now().at_most(1)).unwrap();
    assert_eq!(std::iter::from_fn(|| heir.next_event()).count(), said);
}

#[test]
fn counters_tell_of_waiters_that_there_are() {
    let queue = pinned();
    let (mut heir, gone) = (queue.waiter().unwrap(), queue.waiter().unwrap());
    gone.register(User::each(4), A, Mode::Level).unwrap();
    drop(gone);
    nothing_for(&mut heir);
    let counters = queue.counters();
    assert_eq!((counters.waiters, queue.waiters().len()), (1, 1), "waiters that there are");
    assert_eq!(counters.asleep, 0, "nobody sleeps");
    assert_eq!(counters.queue.registered, 1, "what the program registered");
}

#[test]
fn the_counters_of_a_waiter_tell_of_what_it_took_from_those_that_are_gone() {
    let queue = pinned();
    let (mut heir, gone) = (queue.waiter().unwrap(), queue.waiter().unwrap());
    let key = gone.register(User::each(4), A, Mode::Level).unwrap();
    drop(gone);
    nothing_for(&mut heir);
    let before = heir.counters().events;
    (0..3).for_each(|data| queue.poster(key).unwrap().post(data).unwrap());
    heir.wait(patient()).unwrap();
    assert_eq!(std::iter::from_fn(|| heir.next_event()).count(), 3);
    assert_eq!(heir.counters().events - before, 3, "events that it took");
}

#[test]
fn what_is_held_is_named_by_its_key() {
    let queue = pinned();
    let (_first, mut waiter) = (queue.waiter().unwrap(), queue.waiter().unwrap());
    let key = waiter.register(User::each(4), A, Mode::Level).unwrap();
    queue.poster(key).unwrap().post(1).unwrap();
    assert_eq!(next(&mut waiter).key, key);
    let (told, key) = (format!("{waiter:?}"), format!("{key:?}"));
    assert!(told.contains(&key), "{key}: {told}");
}

/// Also what was let out and not taken, as of any waiter that is watched.
#[test]
fn what_was_taken_over_shows_to_who_watches_the_heir() {
    let queue = pinned();
    let (mut heir, gone) = (queue.waiter().unwrap(), queue.waiter().unwrap());
    let key = gone.register(User::each(4), A, Mode::Level).unwrap();
    let mut outer = Queue::new().unwrap();
    outer.register(Fd::new(heir.descriptor().unwrap()), B, Mode::Level).unwrap();
    drop(gone);
    nothing_for(&mut heir);
    (0..2).for_each(|data| queue.poster(key).unwrap().post(data).unwrap());
    for left in [2, 1] {
        assert_eq!(outer.wait(patient()), Ok(1), "{left} are left");
        assert!(outer.next_event().is_some());
        assert_eq!(heir.wait(Wait::now()), Ok(left));
        assert!(heir.next_event().is_some());
    }
    nothing_for(&mut heir);
    assert_eq!(outer.wait(Wait::within(Duration::from_millis(2))), Ok(0), "it is silent");
}
