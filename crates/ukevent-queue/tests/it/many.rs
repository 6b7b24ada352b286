//! One shared queue and many threads: who is woken, who gets what, and that nothing is lost.
//!
//! The suite says what is true of a shared queue with one waiter at work. Here several are: `basics` says of each
//! promise what it means among eight, `wakes` retells the wake-up cases of the kernel's own tests of epoll, and
//! `storm` lets all of it happen at once and keeps accounts.
//!
//! Threads do what the case tells them, one order after another ([`Hand`]): so a case says who sleeps, who holds what
//! and who lets go when, and depends on no time. What could hang has a deadline and says what it waited for.

mod basics;
mod nested;
mod pinned;
mod storm;
mod wakes;

use crate::bench::{PATIENCE, patient, until_asleep, watched};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use ukevent_queue::{Event, Fd, Merge, Mode, SharedQueue, Token, User, Wait, Waiter};

/// A thread with a part in a queue, which does what it is told.
pub(crate) struct Hand {
    pub(crate) thread: i32,
    orders: Sender<Order>,
    ended: JoinHandle<()>,
}

type Order = Box<dyn FnOnce(&mut Waiter) + Send>;

/// What a hand will say when it has done what it was told.
pub(crate) struct Answer<T>(Receiver<T>);

impl<T> Answer<T> {
    /// Waits for it, but not for ever.
    #[track_caller]
    pub(crate) fn get(self, what: &str) -> T {
        match self.0.recv_timeout(2 * PATIENCE) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => panic!("it hung: {what}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the thread panicked: {what}"),
        }
    }

    /// Whether it has been said yet.
    pub(crate) fn peek(&self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

impl Hand {
    /// A thread with a waiter.
    pub(crate) fn new(queue: &SharedQueue) -> Self {
        let mut waiter = queue.waiter().unwrap();
        let (orders, mail) = channel::<Order>();
        let (tell, told) = channel();
        let ended = thread::spawn(move || {
            tell.send(ukevent_sys::signal::this_thread()).unwrap();
            while let Ok(order) = mail.recv() {
                order(&mut waiter);
            }
        });
        Self { thread: told.recv().unwrap(), orders, ended }
    }

    /// Tells it to do something.
    pub(crate) fn start<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Waiter) -> T + Send + 'static,
    ) -> Answer<T> {
        let (tell, told) = channel();
        let order: Order = Box::new(move |waiter| {
            // Nobody need listen.
            let _ = tell.send(body(waiter));
        });
        self.orders.send(order).unwrap();
        Answer(told)
    }

    /// Tells it to wait, patiently, and to take one event, which it then holds.
    pub(crate) fn wait_for_one(&self) -> Answer<Option<Event>> {
        self.start(|waiter| one(waiter, patient()))
    }

    /// Tells it to wait and to take one event, and sees to it that it sleeps.
    pub(crate) fn sleep(&self, queue: &SharedQueue) -> Answer<Option<Event>> {
        let before = queue.counters().asleep;
        let answer = self.wait_for_one();
        until_asleep_are(queue, before + 1);
        until_asleep(self.thread);
        answer
    }

    /// What it finds without a wait, which it then holds.
    #[track_caller]
    pub(crate) fn look(&self) -> Option<Event> {
        self.start(|waiter| one(waiter, Wait::now())).get("a look that never blocks")
    }

    /// Lets go of what it holds, and finds nothing.
    #[track_caller]
    pub(crate) fn finds_nothing(&self) {
        let found = self.look();
        assert!(found.is_none(), "nothing was to come: {found:?}");
    }

    /// Lets go of what it holds.
    #[track_caller]
    pub(crate) fn let_go(&self) {
        let more = self.start(|waiter| waiter.next_event()).get("it lets go");
        assert!(more.is_none(), "it had let one event out: {more:?}");
    }

    /// Ends the thread, and with it the waiter.
    pub(crate) fn leave(self) -> thread::Result<()> {
        drop(self.orders);
        watched("the thread ends", || self.ended.join())
    }
}

/// So many hands.
pub(crate) fn hands(queue: &SharedQueue, count: usize) -> Vec<Hand> {
    (0..count).map(|_| Hand::new(queue)).collect()
}

/// All of them leave, and none had panicked.
pub(crate) fn leave(hands: Vec<Hand>) {
    for hand in hands {
        hand.leave().unwrap();
    }
}

/// Lets all of them sleep in a wait for one event each.
pub(crate) fn all_sleep(queue: &SharedQueue, hands: &[Hand]) -> Vec<Answer<Option<Event>>> {
    hands.iter().map(|hand| hand.sleep(queue)).collect()
}

/// Waits, and takes one event. What ends only because the time is over has not been woken.
pub(crate) fn one(waiter: &mut Waiter, wait: Wait<'_>) -> Option<Event> {
    let start = Instant::now();
    let count = waiter.wait(wait.at_most(1)).expect("it is valid and nobody interrupts it");
    assert!(start.elapsed() < PATIENCE || count == 0, "nothing ended the sleep of {waiter:?}");
    waiter.next_event()
}

/// The token of what stops a [`crew`].
pub(crate) const STOP: Token = Token(u64::MAX);

/// Lets so many threads take events until `body` has returned.
pub(crate) fn crew<T>(
    queue: &SharedQueue,
    count: usize,
    each: impl Fn(usize, Event, &mut Waiter) + Sync,
    body: impl FnOnce() -> T,
) -> T {
    let stop = User::merged(Merge::Last);
    let stop = queue.register_for_all(stop, STOP, Mode::Level).unwrap();
    let poster = queue.poster(stop).unwrap();
    thread::scope(|scope| {
        for number in 0..count {
            let mut waiter = queue.waiter().unwrap();
            let each = &each;
            scope.spawn(move || {
                loop {
                    // One at a time: the more waits, the more of them meet.
                    waiter.wait(Wait::forever().at_most(1)).unwrap();
                    while let Some(event) = waiter.next_event() {
                        if event.token == STOP {
                            return;
                        }
                        each(number, event, &mut waiter);
                    }
                }
            });
        }
        let result = body();
        poster.post(1).unwrap();
        result
    })
}

/// Waits until so many waiters sleep.
pub(crate) fn until_asleep_are(queue: &SharedQueue, count: usize) {
    testkit::wait_until(&format!("{count} waiters sleep"), || queue.counters().asleep == count);
}

/// Who has an answer: the first of them, waited for; and how many others have one once all else sleeps.
pub(crate) fn who_woke(
    queue: &SharedQueue,
    answers: &mut [Option<Answer<Option<Event>>>],
    count: usize,
) -> Vec<(usize, Event)> {
    let before = answers.iter().flatten().count();
    let mut woke = Vec::new();
    testkit::wait_until(&format!("{count} of {before} were woken"), || {
        for (number, place) in answers.iter_mut().enumerate() {
            if let Some(event) = place.as_ref().and_then(Answer::peek) {
                *place = None;
                woke.push((number, event.expect("no wait ended without an event")));
            }
        }
        woke.len() >= count
    });
    assert_eq!(woke.len(), count, "more were woken: {woke:?}");
    until_asleep_are(queue, before - count);
    woke
}

/// A pipe of which a case has both ends, while a queue watches one.
#[derive(Clone)]
pub(crate) struct Door(Arc<(PipeReader, PipeWriter)>);

impl Door {
    pub(crate) fn new() -> Self {
        let pair = testkit::pipe_pair();
        testkit::nonblocking(&pair.0);
        testkit::nonblocking(&pair.1);
        Self(Arc::new(pair))
    }

    /// What to register.
    pub(crate) fn source(&self) -> Fd {
        Fd::new(self.clone())
    }

    /// Makes it readable, or says that there is more.
    pub(crate) fn knock(&self) {
        (&self.0.1).write_all(b"!").expect("a pipe has room for some bytes");
    }

    pub(crate) fn reader(&self) -> &PipeReader {
        &self.0.0
    }

    pub(crate) fn writer(&self) -> &PipeWriter {
        &self.0.1
    }

    /// Reads all; how much there was.
    pub(crate) fn answer(&self) -> usize {
        let mut read = 0;
        while let Ok(bytes @ 1..) = (&self.0.0).read(&mut [0; 4096]) {
            read += bytes;
        }
        read
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

#[track_caller]
pub(crate) fn token(event: Option<Event>) -> Token {
    event.expect("an event came").token
}
