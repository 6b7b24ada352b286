//! How many are woken: the arrangements that the kernel's own tests of epoll go through, with a shared queue in the
//! place of the set that threads wait on.
//!
//! Source: the scenarios of Linux, tools/testing/selftests/filesystems/epoll/epoll_wakeup_test.c (6.x), by the names
//! that they have there. *Inner* is a set of epoll that the queue watches, with the mode of the queue's registration
//! said first and that of the inner set's second. Where a thread there polls the set that others wait on, which a
//! shared queue is not, it here polls what the queue watches, and then looks at the queue.
//!
//! | case | stands for | events, or threads that get one |
//! |---|---|---|
//! | `alone_a_level_is_told_again` | epoll1, epoll5 | 1, and 1 again |
//! | `alone_an_edge_is_told_once` | epoll2, epoll6 | 1, then 0 |
//! | `alone_two_levels_are_told_again` | epoll3, epoll7 | 2, and 2 again |
//! | `alone_two_edges_are_told_once` | epoll4, epoll8 | 2, then 0 |
//! | `of_two_one_is_told_of_a_level_and_the_other_when_it_is_let_go` | epoll9, epoll13 | 1 (there 2: both work on it at once), the other afterwards |
//! | `of_two_one_is_told_of_an_edge` | epoll10, epoll14 | 1 |
//! | `two_are_told_of_two_levels` | epoll11, epoll15 | 2 |
//! | `two_are_told_of_two_edges` | epoll12, epoll16 | 2 |
//! | `alone_an_inner_set_is_told_of_again_by_level` | epoll17, epoll18, epoll21, epoll22 | 1, and 1 again |
//! | `alone_an_inner_set_is_told_of_once_by_edge` | epoll19, epoll20, epoll23, epoll24 | 1, then 0 |
//! | `of_two_one_is_told_of_an_inner_level` | epoll25, epoll26, epoll29, epoll30 | 1 (there 2), the other afterwards |
//! | `of_two_one_is_told_of_an_inner_edge` | epoll27, epoll28, epoll31, epoll32 | 1 |
//! | `who_waits_inside_and_who_waits_outside_are_both_told_of_a_level` | epoll33, epoll35, epoll37, epoll39, epoll41, epoll43, epoll45, epoll47 | 2 |
//! | `who_waits_inside_is_told_of_an_edge_and_who_waits_outside_may_be` | epoll34, epoll36, epoll38, epoll40, epoll42, epoll44, epoll46, epoll48 | 1 or 2 |
//! | `alone_two_inner_sets_are_told_of_again_by_level` | epoll49, epoll51 | 2, and 2 again |
//! | `alone_two_inner_sets_are_told_of_once_by_edge` | epoll50, epoll52 | 2, then 0 |
//! | `two_are_told_of_two_inner_levels` | epoll53, epoll55, epoll57 | 2 |
//! | `two_are_told_of_two_inner_edges` | epoll54, epoll56, epoll58 | 2 |
//! | `a_change_by_another_thread_tells_each_time_what_is_so` | epoll59 | 1 for each change |
//! | `ten_sources_at_once_wake_all_ten` | epoll60 | 10, each with its own |
//!
//! And one that has no counterpart there: `a_queue_of_one_thread_inside_tells_one_of_two`, for what shows itself by
//! [`Queue::descriptor`].

use super::{Answer, Door, Hand, all_sleep, hands, leave, one, token, until_asleep_are, who_woke};
use crate::bench::{A, PATIENCE, patient, until_asleep};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use ukevent_queue::{Change, Event, Fd, Mode, Queue, SharedQueue, Token, User, Wait};
use ukevent_sys::epoll::{Epoll, Report, Trigger};
use ukevent_sys::poll::PollMask;

/// A queue, what it watches, and what makes that ready.
struct Picture {
    queue: SharedQueue,
    doors: Vec<Door>,
    inner: Vec<Arc<Epoll>>,
}

/// How somebody comes to his event.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// He sleeps in a wait.
    Sleeps,
    /// He sleeps in poll(2), and then looks.
    Polls,
}

use How::{Polls, Sleeps};

impl Picture {
    /// So many sources, watched in this mode: directly, or each in an inner set of its own that watches it so.
    fn new(mode: Mode, inner: Option<Trigger>, sources: usize) -> Self {
        let queue = SharedQueue::new().unwrap();
        let doors: Vec<_> = (0..sources).map(|_| Door::new()).collect();
        let mut sets = Vec::new();
        for (number, door) in doors.iter().enumerate() {
            let token = Token::from(number);
            let source = match inner {
                None => door.source(),
                Some(trigger) => {
                    let set = Arc::new(Epoll::new().unwrap());
                    set.add(door.as_fd().as_raw_fd(), PollMask::IN, trigger, 1).unwrap();
                    sets.push(set.clone());
                    Fd::new(set)
                }
            };
            queue.register(source, token, mode).unwrap();
        }
        Self { queue, doors, inner: sets }
    }

    /// What the queue watches.
    fn watched(&self) -> Watched {
        match self.inner.len() {
            0 => Watched::Doors(self.doors.clone()),
            _ => Watched::Sets(self.inner.clone()),
        }
    }

    fn knock(&self) {
        self.doors.iter().for_each(Door::knock);
    }
}

enum Watched {
    Doors(Vec<Door>),
    Sets(Vec<Arc<Epoll>>),
}

impl Watched {
    /// Polls until one of them is readable, or for so long; whether one is.
    fn poll(&self, time: Duration) -> bool {
        let fds: Vec<BorrowedFd<'_>> = match self {
            Self::Doors(doors) => doors.iter().map(AsFd::as_fd).collect(),
            Self::Sets(sets) => sets.iter().map(AsFd::as_fd).collect(),
        };
        let mut polled: Vec<_> =
            fds.iter().map(|&fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        poll(&mut polled, Some(&time)).unwrap() > 0
    }
}

/// One thread looks twice, and reads nothing in between: it finds so many events each time. Whether or not somebody
/// polls before makes no difference.
#[track_caller]
fn alone(mode: Mode, inner: Option<Trigger>, counts: [usize; 2]) {
    for polls in [false, true] {
        let picture = Picture::new(mode, inner, counts[0]);
        let mut waiter = picture.queue.waiter().unwrap();
        assert_eq!(waiter.wait(Wait::now()).unwrap(), 0);
        picture.knock();
        for count in counts {
            assert!(!polls || picture.watched().poll(PATIENCE), "nobody has read it");
            assert_eq!(waiter.wait(Wait::now()).unwrap(), count);
            let tokens = std::iter::from_fn(|| waiter.next_event()).map(|event| event.token);
            assert_eq!(tokens.collect::<BTreeSet<_>>().len(), count, "polls: {polls}");
        }
    }
}

/// Tells a hand to come to an event in this way.
fn begin(picture: &Picture, hand: &Hand, how: How, wait: Wait<'static>) -> Answer<Option<Event>> {
    if how == Sleeps {
        return hand.sleep(&picture.queue);
    }
    let watched = picture.watched();
    let answer = hand.start(move |waiter| {
        assert!(watched.poll(PATIENCE), "nothing became readable");
        one(waiter, wait)
    });
    until_asleep(hand.thread);
    answer
}

/// Two threads and one source: exactly one is told; the other when it is let go of, if `again`.
#[track_caller]
fn one_of_two(mode: Mode, inner: Option<Trigger>, again: bool) {
    for how in [[Sleeps, Sleeps], [Sleeps, Polls], [Polls, Polls]] {
        let picture = Picture::new(mode, inner, 1);
        let hands = hands(&picture.queue, 2);
        let begin = |at: usize| begin(&picture, &hands[at], how[at], Wait::now());
        let answers = [begin(0), begin(1)];
        picture.knock();
        let (told, mut other) = first_told(&picture.queue, answers, how);
        hands[told].let_go();
        let hand = &hands[1 - told];
        if again {
            let event = match other.take() {
                Some(sleeper) => sleeper.get("it is still so"),
                None => hand.look(),
            };
            assert_eq!(token(event), Token(0), "{how:?}");
        } else if let Some(sleeper) = other.take() {
            until_asleep_are(&picture.queue, 1);
            picture.queue.waker().wake();
            assert_eq!(sleeper.get("the waker ends it"), None, "{how:?}");
        } else {
            hand.finds_nothing();
        }
        leave(hands);
    }
}

/// Who of the two was told; and the answer of the other, if he sleeps on.
fn first_told(
    queue: &SharedQueue,
    answers: [Answer<Option<Event>>; 2],
    how: [How; 2],
) -> (usize, Option<Answer<Option<Event>>>) {
    let mut events = [None, None];
    let mut open = answers.map(Some);
    testkit::wait_until("one was told, and who polled has looked", || {
        for at in 0..2 {
            if let Some(event) = open[at].as_ref().and_then(Answer::peek) {
                (open[at], events[at]) = (None, event);
            }
        }
        let looked = (0..2).all(|at| how[at] == Sleeps || open[at].is_none());
        looked && events.iter().any(Option::is_some)
    });
    until_asleep_are(queue, open.iter().flatten().count());
    let told = usize::from(events[0].is_none());
    assert!(events[1 - told].is_none(), "both were told: {events:?}");
    let [first, second] = open;
    (told, if told == 0 { second } else { first })
}

/// Two threads and two sources: each is told of one.
#[track_caller]
fn two_of_two(mode: Mode, inner: Option<Trigger>) {
    for how in [[Sleeps, Sleeps], [Sleeps, Polls], [Polls, Polls]] {
        let picture = Picture::new(mode, inner, 2);
        let hands = hands(&picture.queue, 2);
        // Who polled may come when the sleeper has both in his hands: then he waits for him to leave one.
        let begin = |at: usize| begin(&picture, &hands[at], how[at], patient());
        let answers = [begin(0), begin(1)];
        picture.knock();
        let tokens: BTreeSet<_> =
            answers.into_iter().map(|it| token(it.get("one for each"))).collect();
        assert_eq!(tokens.len(), 2, "{how:?}");
        leave(hands);
    }
}

/// One waits in the inner set itself, another in the queue that watches it. Whether the other is always told.
#[track_caller]
fn inside_and_outside(mode: Mode, inner: Trigger, always: bool) {
    let hows = [[Sleeps, Sleeps], [Polls, Sleeps], [Sleeps, Polls], [Polls, Polls]];
    for [inside, outside] in hows {
        let picture = Picture::new(mode, Some(inner), 1);
        let hand = Hand::new(&picture.queue);
        let set = picture.inner[0].clone();
        let watched = picture.watched();
        let (tell, told) = channel();
        let within = thread::spawn(move || {
            tell.send(ukevent_sys::signal::this_thread()).unwrap();
            let mut reports = [Report::empty()];
            if inside == Polls {
                watched.poll(PATIENCE);
            }
            // Who polled may find that the one outside has changed nothing: he only looked at it.
            let time = Some(PATIENCE.as_nanos() as u64);
            set.wait(&mut reports, time, None).unwrap()
        });
        until_asleep(told.recv().unwrap());
        let answer = match outside {
            Sleeps => hand.sleep(&picture.queue),
            Polls => {
                let watched = picture.watched();
                // With an edge inside it may be over before he looks.
                let time = if always { PATIENCE } else { Duration::from_millis(50) };
                hand.start(move |waiter| {
                    watched.poll(time);
                    one(waiter, Wait::now())
                })
            }
        };
        picture.knock();
        assert_eq!(within.join().unwrap(), 1, "who waits inside is told");
        if always {
            assert_eq!(token(answer.get("who waits outside is told")), Token(0));
        } else {
            picture.queue.waker().wake();
            let event = answer.get("an event or a waker");
            assert!(event.is_none_or(|event| event.token == Token(0)));
        }
        hand.leave().unwrap();
    }
}

const LEVEL: Trigger = Trigger::Level;
const EDGE: Trigger = Trigger::Edge;

#[test]
fn alone_a_level_is_told_again() {
    alone(Mode::Level, None, [1, 1]);
}

#[test]
fn alone_an_edge_is_told_once() {
    alone_edge(None, 1);
}

#[test]
fn alone_two_levels_are_told_again() {
    alone(Mode::Level, None, [2, 2]);
}

#[test]
fn alone_two_edges_are_told_once() {
    alone_edge(None, 2);
}

#[track_caller]
fn alone_edge(inner: Option<Trigger>, count: usize) {
    alone(Mode::Edge, inner, [count, 0]);
}

#[test]
fn of_two_one_is_told_of_a_level_and_the_other_when_it_is_let_go() {
    one_of_two(Mode::Level, None, true);
}

#[test]
fn of_two_one_is_told_of_an_edge() {
    one_of_two(Mode::Edge, None, false);
}

#[test]
fn two_are_told_of_two_levels() {
    two_of_two(Mode::Level, None);
}

#[test]
fn two_are_told_of_two_edges() {
    two_of_two(Mode::Edge, None);
}

#[test]
fn alone_an_inner_set_is_told_of_again_by_level() {
    [LEVEL, EDGE].into_iter().for_each(|inner| alone(Mode::Level, Some(inner), [1, 1]));
}

#[test]
fn alone_an_inner_set_is_told_of_once_by_edge() {
    [LEVEL, EDGE].into_iter().for_each(|inner| alone_edge(Some(inner), 1));
}

#[test]
fn of_two_one_is_told_of_an_inner_level() {
    [LEVEL, EDGE].into_iter().for_each(|inner| one_of_two(Mode::Level, Some(inner), true));
}

#[test]
fn of_two_one_is_told_of_an_inner_edge() {
    [LEVEL, EDGE].into_iter().for_each(|inner| one_of_two(Mode::Edge, Some(inner), false));
}

#[test]
fn who_waits_inside_and_who_waits_outside_are_both_told_of_a_level() {
    [Mode::Level, Mode::Edge].into_iter().for_each(|mode| inside_and_outside(mode, LEVEL, true));
}

#[test]
fn who_waits_inside_is_told_of_an_edge_and_who_waits_outside_may_be() {
    [Mode::Level, Mode::Edge].into_iter().for_each(|mode| inside_and_outside(mode, EDGE, false));
}

#[test]
fn alone_two_inner_sets_are_told_of_again_by_level() {
    alone(Mode::Level, Some(LEVEL), [2, 2]);
}

#[test]
fn alone_two_inner_sets_are_told_of_once_by_edge() {
    alone_edge(Some(LEVEL), 2);
}

#[test]
fn two_are_told_of_two_inner_levels() {
    two_of_two(Mode::Level, Some(LEVEL));
}

#[test]
fn two_are_told_of_two_inner_edges() {
    two_of_two(Mode::Edge, Some(LEVEL));
}

#[test]
fn a_change_by_another_thread_tells_each_time_what_is_so() {
    let (queue, door) = (SharedQueue::new().unwrap(), Door::new());
    let key = queue.register(door.source(), A, Mode::Edge).unwrap();
    let hands = hands(&queue, 2);
    door.knock();
    for round in 0..2_000 {
        let event = hands[0].wait_for_one().get(&format!("round {round}"));
        assert_eq!(token(event), A);
        let changed = hands[1].start(move |it| it.queue().modify(key, Change::new()).unwrap());
        if round % 2 == 0 {
            // Else it is changed while the other goes to sleep.
            changed.get("the change");
        }
    }
    leave(hands);
}

#[test]
fn ten_sources_at_once_wake_all_ten() {
    const TEN: usize = 10;
    let picture = Picture::new(Mode::Edge, None, TEN);
    let hands = hands(&picture.queue, TEN);
    for round in 0..100 {
        let mut answers: Vec<_> = all_sleep(&picture.queue, &hands).into_iter().map(Some).collect();
        picture.knock();
        let woke = who_woke(&picture.queue, &mut answers, TEN);
        let tokens: BTreeSet<_> = woke.iter().map(|(_, event)| event.token).collect();
        assert_eq!(tokens.len(), TEN, "round {round}: each has its own");
        picture.doors.iter().for_each(|door| assert_eq!(door.answer(), 1));
    }
    leave(hands);
}

#[test]
fn a_queue_of_one_thread_inside_tells_one_of_two() {
    let shared = SharedQueue::new().unwrap();
    let mut inner = Queue::new().unwrap();
    let key = inner.register(User::each(8), A, Mode::Level).unwrap();
    let poster = inner.poster(key).unwrap();
    let shown = inner.descriptor().unwrap();
    // What was registered before it was shown takes effect in a wait.
    assert_eq!(inner.wait(Wait::now()).unwrap(), 0);
    shared.register(Fd::new(shown), Token(0), Mode::Level).unwrap();
    let hands = hands(&shared, 2);
    let answers = [hands[0].sleep(&shared), hands[1].sleep(&shared)];
    poster.post(1).unwrap();
    let (told, other) = first_told(&shared, answers, [Sleeps, Sleeps]);
    assert_eq!(inner.wait(Wait::now()).unwrap(), 1);
    assert!(inner.next_event().is_some());
    assert_eq!(inner.wait(Wait::now()).unwrap(), 0, "it shows no more");
    hands[told].let_go();
    until_asleep_are(&shared, 1);
    poster.post(2).unwrap();
    assert_eq!(token(other.unwrap().get("the next post")), Token(0));
    leave(hands);
}
