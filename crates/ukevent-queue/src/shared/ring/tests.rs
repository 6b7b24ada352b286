//! The ring, and the sleep of those who wait for it: under loom in every order, otherwise with real threads.

use super::{ANYBODY, Ring, Staged, Stamp};
use crate::event::{Event, Kind, Posted};
use crate::key::{Key, Token};
use crate::primitive::Ordering;

fn staged(number: u64) -> Staged {
    let kind = Kind::User(Posted { data: number, count: 1 });
    Staged {
        event: Event { key: Key::from_bits(0), token: Token(number), kind },
        stamp: Stamp::new(number, Stamp::FREE),
    }
}

const fn number(staged: &Staged) -> u64 {
    staged.stamp.number()
}

fn push(ring: &Ring, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        ring.push(staged(number), ANYBODY).expect("it has room");
    }
}

fn take_up_to(most: usize, pop: impl FnMut() -> Option<Staged>) -> Vec<u64> {
    std::iter::from_fn(pop).take(most).map(|staged| number(&staged)).collect()
}

/// Empties a ring that nobody else works on any more.
fn drain(ring: &Ring) -> Vec<u64> {
    let said = ring.len();
    let rest = take_up_to(usize::MAX, || ring.pop());
    assert_eq!(rest.len(), said, "the length is exact when all is quiet");
    assert_eq!(ring.len(), 0);
    assert_eq!(ring.gaps.load(Ordering::Relaxed), 0, "each gap was passed over once");
    assert!(ring.entries.iter().all(|entry| super::lock(&entry.staged).is_none()));
    rest
}

fn assert_each_once(taken: &[&[u64]], count: u64) {
    let mut all = taken.concat();
    all.sort_unstable();
    assert_eq!(all, (1..=count).collect::<Vec<_>>(), "each event once");
}

fn assert_in_order(taken: &[u64]) {
    assert!(taken.is_sorted(), "out of order: {taken:?}");
}

#[cfg(loom)]
mod in_every_order {
    use super::*;
    use crate::primitive::{Arc, Mutex, lock};
    use loom::thread::{self, JoinHandle};

    /// All orders with so many switches at most that no thread asked for.
    pub(super) fn model(switches: usize, body: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(switches);
        model.check(body);
    }

    fn consumer(ring: &Arc<Ring>, most: usize) -> JoinHandle<Vec<u64>> {
        let ring = ring.clone();
        thread::spawn(move || take_up_to(most, || ring.pop()))
    }

    /// Puts in what has room; returns what was given back.
    fn offer(ring: &Ring, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        numbers
            .into_iter()
            .filter_map(|number| ring.push(staged(number), ANYBODY).err())
            .map(|refused| number(&refused))
            .collect()
    }

    fn join<T>(thread: JoinHandle<T>) -> T {
        thread.join().expect("does not panic")
    }

    /// Two take while one puts in, more than the ring has room for.
    #[test]
    fn loom_each_event_comes_once_and_in_order() {
        model(3, || {
            let ring = Arc::new(Ring::new(2, 0));
            push(&ring, 1..=2);
            let consumers = [consumer(&ring, 2), consumer(&ring, 2)];
            let refused = offer(&ring, 3..=4);
            let taken = consumers.map(join);
            taken.iter().for_each(|taken| assert_in_order(taken));
            let rest = drain(&ring);
            assert_in_order(&rest);
            assert_each_once(&[&taken[0], &taken[1], &rest, &refused], 4);
            assert_eq!(ring.tail(), 4 - refused.len() as u64, "one position for each");
            push(&ring, 5..=6);
        });
    }

    /// An entry whose event was claimed and not taken is not written, however often the ring goes round.
    #[test]
    fn loom_a_claimed_event_is_not_overwritten() {
        loom::model(|| {
            let ring = Arc::new(Ring::new(2, 0));
            push(&ring, 1..=2);
            let consumer = consumer(&ring, 3);
            let mut refused = Vec::new();
            for number in 3..=4 {
                let has_room = ring.has_room();
                let given_back = offer(&ring, [number]);
                assert!(!has_room || given_back.is_empty(), "it said that it has room");
                refused.extend(given_back);
            }
            let taken = join(consumer);
            assert_in_order(&taken);
            let rest = drain(&ring);
            assert_each_once(&[&taken, &rest, &refused], 4);
        });
    }

    /// One takes an event out of the middle that another one comes to; then the ring goes round.
    #[test]
    fn loom_an_event_is_extracted_or_popped() {
        model(3, || {
            let ring = Arc::new(Ring::new(2, 0));
            push(&ring, 1..=2);
            let consumers = [consumer(&ring, 1), consumer(&ring, 2)];
            let extracted = ring.extract(|staged| number(staged) == 1);
            let extracted: Vec<u64> = extracted.iter().map(number).collect();
            let refused = offer(&ring, 3..=4);
            let taken = consumers.map(join);
            let rest = drain(&ring);
            assert_each_once(&[&taken[0], &taken[1], &extracted, &rest, &refused], 4);
        });
    }

    /// Claimed before, and not taken yet: it is extracted too.
    #[test]
    fn loom_nothing_that_is_extracted_is_popped_afterwards() {
        model(3, || {
            let ring = Arc::new(Ring::new(2, 0));
            push(&ring, 1..=2);
            let ended = Arc::new(crate::primitive::AtomicBool::new(false));
            let thread = thread::spawn({
                let (ring, ended) = (ring.clone(), ended.clone());
                move || {
                    let has_ended = ended.load(Ordering::Acquire);
                    let first = ring.pop().map(|staged| number(&staged));
                    (has_ended, first)
                }
            });
            let extracted = ring.extract(|staged| number(staged) == 1).len();
            ended.store(true, Ordering::Release);
            let (has_ended, first) = join(thread);
            assert_eq!(extracted, usize::from(first != Some(1)), "exactly one has it");
            assert!(!has_ended || first != Some(1));
            assert_eq!(drain(&ring).len(), 2 - extracted - usize::from(first.is_some()));
        });
    }

    /// Who had the registration takes its event before its turn; another one comes to it in its turn.
    #[test]
    fn loom_the_nearest_and_the_next() {
        const ME: u32 = 7;
        model(3, || {
            let ring = Arc::new(Ring::new(2, 0));
            push(&ring, [1]);
            ring.push(staged(2), ME).expect("it has room");
            let other = consumer(&ring, 2);
            let nearest = thread::spawn({
                let ring = ring.clone();
                move || take_up_to(2, || ring.pop_nearest(ME))
            });
            let refused = offer(&ring, [3]);
            let (taken, nearest) = (join(other), join(nearest));
            let rest = drain(&ring);
            assert_each_once(&[&taken, &nearest, &rest, &refused], 3);
        });
    }

    /// Two that are nearest to the same event, and one that looks how many there are.
    #[test]
    fn loom_the_length_is_never_more_than_there_are() {
        const ME: u32 = 7;
        model(3, || {
            let ring = Arc::new(Ring::new(4, 0));
            ring.push(staged(1), ME).expect("it has room");
            ring.push(staged(2), ANYBODY).expect("it has room");
            let threads = [(); 2].map(|()| {
                let ring = ring.clone();
                thread::spawn(move || take_up_to(1, || ring.pop_nearest(ME)))
            });
            assert!(ring.len() <= 2);
            let taken = threads.map(join);
            assert_eq!(ring.len(), 1, "what was taken out of the middle does not count");
            let rest = drain(&ring);
            assert_each_once(&[&taken[0], &taken[1], &rest], 2);
        });
    }

    /// Takes from the ring that it knows; when that is empty it asks for the new one.
    fn consumer_that_asks(current: &Arc<Mutex<Arc<Ring>>>, most: usize) -> JoinHandle<Vec<u64>> {
        let current = current.clone();
        let mut ring = lock(&current).clone();
        thread::spawn(move || {
            take_up_to(most, || {
                ring.pop().or_else(|| {
                    ring = lock(&current).clone();
                    ring.pop()
                })
            })
        })
    }

    fn resize_under_consumers(capacity: u32, has_gap: bool, is_ordered: bool) {
        let old = Arc::new(Ring::new(4, 0));
        push(&old, 1..=3);
        let current = Arc::new(Mutex::new(old.clone()));
        let consumers = [consumer(&old, 1), consumer_that_asks(&current, 2)];
        let mut place = lock(&current);
        let extracted = if has_gap { old.extract(|it| number(it) == 2) } else { Vec::new() };
        let extracted: Vec<u64> = extracted.iter().map(number).collect();
        let (new, over) = old.resized(capacity);
        let mut over: Vec<u64> = over.iter().map(number).collect();
        over.extend(offer(&new, [4]));
        let new = Arc::new(new);
        *place = new.clone();
        drop(place);
        let taken = consumers.map(join);
        if is_ordered {
            taken.iter().for_each(|taken| assert_in_order(taken));
        }
        assert!(drain(&old).is_empty(), "it stays empty");
        let rest = drain(&new);
        assert_each_once(&[&taken[0], &taken[1], &extracted, &rest, &over], 4);
    }

    #[test]
    fn loom_a_larger_ring_has_all_that_others_did_not_take() {
        model(3, || resize_under_consumers(8, true, false));
    }

    #[test]
    fn loom_a_smaller_ring_gives_back_what_does_not_fit() {
        model(3, || resize_under_consumers(2, false, false));
    }

    /// Who still knows the old ring takes none of it before those that are on their way to the new one.
    #[test]
    fn loom_events_stay_in_order_when_the_size_changes() {
        model(3, || resize_under_consumers(8, false, true));
    }

    /// A position that was claimed and then emptied from the middle gives nothing, not what came there since.
    #[test]
    fn loom_an_emptied_entry_does_not_bring_a_later_event_first() {
        model(3, || {
            let ring = Arc::new(Ring::new(2, 0));
            push(&ring, 1..=2);
            let consumer = consumer(&ring, 3);
            drop(ring.extract(|staged| number(staged) == 1));
            drop(offer(&ring, [3]));
            assert_in_order(&join(consumer));
        });
    }
}

/// Waiters asleep: the steps of `core.rs` and `waiter.rs` between an empty ring and the next event, around the real
/// ring and the real mailbox. A waiter that has its events never comes back, as if it worked on them for ever: so
/// a wake-up that is lost, or that stays with somebody who does not need it, is a thread that never ends, and loom
/// says so.
#[cfg(loom)]
mod asleep {
    use super::in_every_order::model;
    use super::*;
    use crate::post::{Inbox, Mailbox, Poster, Wake};
    use crate::primitive::{Arc, Mutex, MutexGuard, lock};
    use loom::sync::Condvar;
    use loom::thread;
    use std::collections::VecDeque;

    /// The set that all sleep on, with the descriptor that wakes one of them: an edge, which whoever comes first takes.
    struct Set {
        has_rung: Mutex<bool>,
        one: Condvar,
    }

    impl Set {
        fn sleep(&self) {
            let mut has_rung = lock(&self.has_rung);
            while !*has_rung {
                has_rung = self.one.wait(has_rung).expect("no panic");
            }
            *has_rung = false;
        }

        /// A wait with no time: true if it took the edge.
        fn look(&self) -> bool {
            std::mem::take(&mut *lock(&self.has_rung))
        }
    }

    struct Bell(Arc<Set>);

    impl Wake for Bell {
        fn wake(&self) {
            *lock(&self.0.has_rung) = true;
            self.0.one.notify_one();
        }
    }

    /// What is under the lock.
    struct Core {
        /// What the ring has no room for.
        backlog: VecDeque<u64>,
        sleepers: usize,
        is_stirring: bool,
    }

    struct Shared {
        core: Mutex<Core>,
        ring: Ring,
        set: Arc<Set>,
        poster: Poster,
    }

    fn shared() -> Arc<Shared> {
        let set = Arc::new(Set { has_rung: Mutex::new(false), one: Condvar::new() });
        let mailbox = Arc::new(Mailbox::new(Box::new(Bell(set.clone()))));
        Arc::new(Shared {
            core: Mutex::new(Core { backlog: VecDeque::new(), sleepers: 0, is_stirring: false }),
            ring: Ring::new(2, 0),
            set,
            poster: Poster { mailbox, inbox: Arc::new(Inbox::each(0, 4)) },
        })
    }

    impl Shared {
        fn mailbox(&self) -> &Mailbox {
            &self.poster.mailbox
        }

        /// Takes posts, and puts into the ring what it has room for.
        fn fill(&self, core: &mut Core) {
            if self.mailbox().take().is_some() {
                self.poster.inbox.take_next();
                let posts = std::iter::from_fn(|| self.poster.inbox.take_one());
                core.backlog.extend(posts.map(|posted| posted.data));
            }
            while self.ring.has_room() {
                let Some(event) = core.backlog.pop_front() else { break };
                push(&self.ring, [event]);
            }
        }

        fn fall_asleep(&self, core: &mut Core) -> bool {
            if !self.mailbox().prepare_sleep() {
                if core.sleepers > 0 {
                    self.mailbox().stay_asleep();
                }
                return false;
            }
            core.sleepers += 1;
            true
        }

        /// Whoever takes the edge answers it, also if it did not sleep: it may have been meant for one who does.
        fn answer(&self, core: &mut Core, has_slept: bool, has_rung: bool) {
            core.sleepers -= usize::from(has_slept);
            if has_slept || has_rung {
                if core.sleepers > 0 {
                    self.mailbox().stay_asleep();
                } else {
                    self.mailbox().end_sleep();
                }
            }
            core.is_stirring &= !has_rung;
        }

        fn share_out(&self, core: &mut Core) {
            if self.ring.len() > 0 && core.sleepers > 0 && !core.is_stirring {
                core.is_stirring = true;
                self.mailbox().stir();
            }
        }

        /// The first event; also from behind a ring that is full of claimed events only, as nobody else may come.
        fn take_first(&self, core: &mut Core) -> Option<u64> {
            if let Some(staged) = self.ring.pop() {
                return Some(number(&staged));
            }
            self.fill(core);
            self.ring.pop().map(|staged| number(&staged)).or_else(|| core.backlog.pop_front())
        }

        /// Waits for one event.
        fn next(&self, before: Before) -> u64 {
            let mut has_looked = before != Before::Looks;
            let is_asleep = before == Before::Asleep;
            if !is_asleep && let Some(staged) = self.ring.pop() {
                return number(&staged);
            }
            let mut core = lock(&self.core);
            if is_asleep {
                core = self.sleep(core, true);
            }
            loop {
                self.fill(&mut core);
                if has_looked && let Some(event) = self.take_first(&mut core) {
                    self.share_out(&mut core);
                    return event;
                }
                let blocks = has_looked && self.fall_asleep(&mut core);
                core = self.sleep(core, blocks);
                has_looked = true;
            }
        }

        fn sleep<'a>(&'a self, core: MutexGuard<'a, Core>, blocks: bool) -> MutexGuard<'a, Core> {
            drop(core);
            let has_rung = if blocks {
                self.set.sleep();
                true
            } else {
                self.set.look()
            };
            let mut core = lock(&self.core);
            self.answer(&mut core, blocks, has_rung);
            core
        }

        /// Changes something while others may sleep, which makes these events.
        fn settle(&self, events: impl IntoIterator<Item = u64>) {
            let mut core = lock(&self.core);
            core.backlog.extend(events);
            if core.sleepers > 0 {
                self.fill(&mut core);
                self.share_out(&mut core);
            }
        }

        fn post(&self, event: u64) {
            self.poster.post(event).expect("there is room");
        }
    }

    /// What a waiter does when the model begins.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Before {
        /// Finds the ring empty, and goes to the core.
        Awake,
        /// The same, and looks at the kernel first, though there may be events.
        Looks,
        Asleep,
    }

    /// Two waiters, which take so many events each; `first` comes about before they begin, and `then` meanwhile.
    ///
    /// Of all threads one posts, once, while they run: loom lets a load see what its own thread's earlier swap wrote
    /// although another thread's store has come after it, which no machine does.
    fn all_are_woken(waiters: [(Before, usize); 2], first: fn(&Shared), then: fn(&Shared)) {
        let shared = shared();
        for _ in waiters.iter().filter(|waiter| waiter.0 == Before::Asleep) {
            assert!(shared.fall_asleep(&mut lock(&shared.core)), "nothing came about yet");
        }
        first(&shared);
        let threads = waiters.map(|(before, wanted)| {
            let shared = shared.clone();
            thread::spawn(move || {
                let later = std::iter::repeat(Before::Awake);
                let all = std::iter::once(before).chain(later).take(wanted);
                all.map(|before| shared.next(before)).collect::<Vec<_>>()
            })
        });
        then(&shared);
        let taken = threads.map(|thread| thread.join().expect("does not panic"));
        let count: usize = waiters.iter().map(|waiter| waiter.1).sum();
        assert_each_once(&[&taken[0], &taken[1]], count as u64);
        assert!(drain(&shared.ring).is_empty() && lock(&shared.core).sleepers == 0);
    }

    const AWAKE: (Before, usize) = (Before::Awake, 1);
    const LOOKS: (Before, usize) = (Before::Looks, 1);
    const ASLEEP: (Before, usize) = (Before::Asleep, 1);

    #[test]
    fn loom_each_post_wakes_one() {
        for waiters in [[ASLEEP, ASLEEP], [ASLEEP, AWAKE], [AWAKE, AWAKE]] {
            model(3, move || all_are_woken(waiters, |it| it.post(1), |it| it.post(2)));
        }
    }

    /// One wake-up for two events: who is woken wakes the next.
    #[test]
    fn loom_who_leaves_events_behind_wakes_the_next() {
        for waiters in [[ASLEEP, ASLEEP], [ASLEEP, AWAKE], [AWAKE, AWAKE]] {
            model(3, move || all_are_woken(waiters, |_| {}, |it| it.settle(1..=2)));
        }
    }

    #[test]
    fn loom_a_post_and_a_change_wake_one_each() {
        for waiters in [[ASLEEP, ASLEEP], [ASLEEP, AWAKE], [AWAKE, AWAKE]] {
            model(3, move || all_are_woken(waiters, |it| it.settle([1]), |it| it.post(2)));
            model(3, move || all_are_woken(waiters, |it| it.post(1), |it| it.settle([2])));
        }
    }

    /// A wait that only looks takes the edge that was meant for a sleeper.
    #[test]
    fn loom_a_look_that_takes_the_wake_up_passes_it_on() {
        model(3, || all_are_woken([ASLEEP, LOOKS], |it| it.post(1), |it| it.post(2)));
    }

    #[test]
    fn loom_a_look_does_not_keep_others_from_being_stirred() {
        model(3, || all_are_woken([ASLEEP, LOOKS], |it| it.settle(1..=2), |_| {}));
        model(3, || all_are_woken([ASLEEP, LOOKS], |_| {}, |it| it.settle(1..=2)));
    }

    /// The ring is full, but all in it is claimed: who finds nothing there does not sleep on what waits behind it.
    #[test]
    fn loom_nobody_sleeps_behind_a_full_ring_that_has_nothing() {
        let twice = (Before::Awake, 2);
        model(3, move || {
            all_are_woken([AWAKE, twice], |it| (1..=3).for_each(|event| it.post(event)), |_| {})
        });
    }
}

/// A thread with a seed puts in, takes out of the middle and changes the size; four take.
#[cfg(not(loom))]
mod with_threads {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, Mutex};
    use std::thread;
    use testkit::Rng;

    const EVENTS: u64 = 100_000;
    const CONSUMERS: u32 = 4;

    /// What the core has.
    struct Producer {
        rng: Rng,
        current: Arc<Mutex<Arc<Ring>>>,
        /// Before those that were not in a ring yet.
        returned: VecDeque<u64>,
        next: u64,
        extracted: Vec<u64>,
    }

    impl Producer {
        fn step(&mut self, what_else: &[fn(&mut Self)]) {
            if !what_else.is_empty() && self.rng.below(64) == 0 {
                self.rng.pick(what_else)(self);
            }
            let Some(event) = self.returned.pop_front().or_else(|| self.make()) else { return };
            let ring = self.current.lock().expect("no panic").clone();
            let nearest = self.rng.below(u64::from(CONSUMERS) + 1) as u32;
            if let Err(refused) = ring.push(staged(event), nearest) {
                self.returned.push_front(number(&refused));
                thread::yield_now();
            }
        }

        fn make(&mut self) -> Option<u64> {
            (self.next <= EVENTS).then(|| {
                self.next += 1;
                self.next - 1
            })
        }

        fn resize(&mut self) {
            let mut current = self.current.lock().expect("no panic");
            let capacity = 2 << self.rng.below(8);
            let (ring, over) = current.resized(capacity);
            assert_eq!(ring.capacity(), capacity as usize);
            over.iter().rev().for_each(|staged| self.returned.push_front(number(staged)));
            *current = Arc::new(ring);
        }

        fn extract(&mut self) {
            let ring = self.current.lock().expect("no panic").clone();
            let (of, which) = (self.rng.range(2..9), self.rng.next_u64());
            let taken = ring.extract(|staged| number(staged) % of == which % of);
            let taken: Vec<u64> = taken.iter().map(number).collect();
            assert!(taken.iter().all(|event| event % of == which % of));
            self.extracted.extend(taken);
        }
    }

    fn consume(
        current: &Mutex<Arc<Ring>>,
        has_ended: &AtomicBool,
        pop: impl Fn(&Ring) -> Option<Staged>,
    ) -> Vec<u64> {
        let mut taken = Vec::new();
        let mut ring = current.lock().expect("no panic").clone();
        loop {
            // Before it looks: so nothing comes after it found the ring empty.
            let is_last_look = has_ended.load(Ordering::Acquire);
            if let Some(staged) = pop(&ring) {
                assert_eq!(staged.event.token, Token(number(&staged)));
                taken.push(number(&staged));
                continue;
            }
            let now = current.lock().expect("no panic").clone();
            if Arc::ptr_eq(&now, &ring) {
                if is_last_look {
                    return taken;
                }
                thread::yield_now();
            }
            ring = now;
        }
    }

    /// What each consumer took.
    fn run(
        what_else: &[fn(&mut Producer)],
        pop: impl Fn(u32, &Ring) -> Option<Staged> + Sync,
    ) -> Vec<Vec<u64>> {
        let mut rng = Rng::seeded();
        // A position that 32 bits do not hold.
        let start = rng.range(0..1 << 33);
        let current = Arc::new(Mutex::new(Arc::new(Ring::new(2 << rng.below(8), start))));
        let (current, has_ended) = (&current, &AtomicBool::new(false));
        let mut producer = Producer {
            rng,
            current: current.clone(),
            returned: VecDeque::new(),
            next: 1,
            extracted: Vec::new(),
        };
        let taken: Vec<Vec<u64>> = thread::scope(|scope| {
            let pop = &pop;
            let consumers: Vec<_> = (1..=CONSUMERS)
                .map(|id| scope.spawn(move || consume(current, has_ended, |ring| pop(id, ring))))
                .collect();
            while producer.next <= EVENTS || !producer.returned.is_empty() {
                producer.step(what_else);
            }
            has_ended.store(true, Ordering::Release);
            consumers.into_iter().map(|it| it.join().expect("does not panic")).collect()
        });
        assert!(drain(&current.lock().expect("no panic")).is_empty(), "they took all");
        let all: Vec<&[u64]> =
            taken.iter().chain([&producer.extracted]).map(Vec::as_slice).collect();
        assert_each_once(&all, EVENTS);
        taken
    }

    #[test]
    fn four_take_each_event_once_and_in_order() {
        let taken = run(&[], |_, ring| ring.pop());
        taken.iter().for_each(|taken| assert_in_order(taken));
    }

    #[test]
    fn nothing_is_lost_when_the_size_changes_and_events_are_taken_out_of_the_middle() {
        run(&[Producer::resize, Producer::extract], |_, ring| ring.pop());
    }

    #[test]
    fn nothing_is_lost_when_each_takes_its_nearest_first() {
        run(&[Producer::resize, Producer::extract], |id, ring| {
            ring.pop_nearest(id).or_else(|| ring.pop())
        });
    }

    #[test]
    fn it_is_full_and_empty_at_its_capacity() {
        for (asked, capacity) in [(0, 2), (1, 2), (2, 2), (3, 4), (1000, 1024)] {
            let ring = Ring::new(asked, u64::from(asked));
            assert_eq!(ring.capacity(), capacity);
            assert_eq!((ring.len(), ring.tail()), (0, u64::from(asked)));
            let last = capacity as u64;
            push(&ring, 1..=last);
            assert!(!ring.has_room());
            assert_eq!(ring.push(staged(0), ANYBODY).map_err(|it| number(&it)), Err(0));
            assert_eq!(drain(&ring), (1..=last).collect::<Vec<_>>());
            assert!(ring.has_room() && ring.pop().is_none());
        }
    }

    #[test]
    fn a_gap_is_no_room_until_the_head_has_passed_it() {
        let ring = Ring::new(4, 0);
        push(&ring, 1..=4);
        assert_eq!(ring.extract(|staged| number(staged).is_multiple_of(2)).len(), 2);
        assert_eq!((ring.len(), ring.has_room()), (2, false));
        assert_eq!(ring.pop().map(|staged| number(&staged)), Some(1));
        push(&ring, [5]);
        assert_eq!(drain(&ring), [3, 5]);
    }

    #[test]
    fn a_waiter_looks_for_its_nearest_among_the_first_only() {
        let ring = Ring::new(16, 0);
        push(&ring, 1..=8);
        ring.push(staged(9), 3).expect("it has room");
        assert!(ring.pop_nearest(3).is_none(), "it is the ninth");
        assert_eq!(ring.pop().map(|staged| number(&staged)), Some(1));
        assert_eq!(ring.pop_nearest(3).map(|staged| number(&staged)), Some(9));
        assert!(ring.pop_nearest(3).is_none() && ring.pop_nearest(4).is_none());
        assert_eq!(drain(&ring), (2..=8).collect::<Vec<_>>());
    }

    #[test]
    fn another_size_keeps_the_order_and_the_positions() {
        let old = Ring::new(8, 40);
        push(&old, 1..=7);
        drop(old.extract(|staged| number(staged) == 3));
        let (larger, over) = old.resized(16);
        assert_eq!((larger.tail(), over.len()), (47 + 6, 0));
        assert!(drain(&old).is_empty());
        let (smaller, over) = larger.resized(2);
        assert_eq!(over.iter().map(number).collect::<Vec<_>>(), [4, 5, 6, 7]);
        assert_eq!(drain(&smaller), [1, 2]);
    }
}
