//! Several waiters of a shared queue asleep: what each of them sleeps for wakes one of them, whatever the others do.

use crate::bench::{A, B, until_asleep, watched};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use ukevent_queue::{Fd, Merge, Mode, Operation, SharedQueue, Timer, Token, User, Wait};

/// A thread that waits for so many events, says what it took, and works on it until it is let go.
struct Sleeper {
    thread: JoinHandle<()>,
    took: mpsc::Receiver<Vec<Token>>,
    go: mpsc::Sender<()>,
}

impl Sleeper {
    fn new(queue: &SharedQueue, events: usize) -> Self {
        let mut waiter = queue.waiter().unwrap();
        let (say, took) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let (name, named) = mpsc::channel();
        let thread = thread::spawn(move || {
            name.send(ukevent_sys::signal::this_thread()).unwrap();
            waiter.wait(Wait::forever().at_least(events).at_most(events)).unwrap();
            let tokens = std::iter::from_fn(|| waiter.next_event()).map(|event| event.token);
            say.send(tokens.collect()).unwrap();
            let _ = wait.recv();
        });
        until_asleep(named.recv().unwrap());
        Self { thread, took, go }
    }

    fn took(&self) -> Vec<Token> {
        watched("a sleeper is woken", || self.took.recv().unwrap())
    }

    fn end(self) {
        drop(self.go);
        self.thread.join().unwrap();
    }
}

/// Only one sleeper wakes for a timer. The next one is another's, though the first works on.
#[test]
fn a_timer_wakes_one_and_the_next_timer_another() {
    let queue = SharedQueue::new().unwrap();
    let sleepers = [Sleeper::new(&queue, 1), Sleeper::new(&queue, 1)];
    for (token, delay_ms) in [(A, 10), (B, 30)] {
        let timer = Timer::after(Duration::from_millis(delay_ms));
        queue.register(timer, token, Mode::Level).unwrap();
    }
    let mut took = sleepers.each_ref().map(Sleeper::took);
    took.sort_unstable();
    assert_eq!(took, [vec![A], vec![B]]);
    sleepers.into_iter().for_each(Sleeper::end);
}

/// Whoever sleeps for five and is woken for three leaves them to one who sleeps for one.
#[test]
fn what_is_too_little_for_one_sleeper_is_for_another() {
    for first in [true, false] {
        let queue = SharedQueue::new().unwrap();
        let user = queue.register(User::each(8), A, Mode::Level).unwrap();
        let poster = queue.poster(user).unwrap();
        let needs = if first { [5, 1] } else { [1, 5] };
        let sleepers = needs.map(|events| Sleeper::new(&queue, events));
        let [modest, greedy] = if first { [1, 0] } else { [0, 1] };
        (0..3).for_each(|data| poster.post(data).unwrap());
        assert_eq!(sleepers[modest].took(), [A]);
        (0..3).for_each(|data| poster.post(data).unwrap());
        assert_eq!(sleepers[greedy].took(), [A; 5]);
        sleepers.into_iter().for_each(Sleeper::end);
    }
}

/// A signal, whose thread is another one, and a change by another thread end the sleep of the only waiter.
#[test]
fn what_another_thread_brings_wakes_the_only_waiter() {
    let queue = SharedQueue::new().unwrap();
    let user = queue.register(User::merged(Merge::Sum), A, Mode::Level).unwrap();
    queue.disable(user).unwrap();
    queue.poster(user).unwrap().post(7).unwrap();
    let sleeper = Sleeper::new(&queue, 1);
    queue.enable(user).unwrap();
    assert_eq!(sleeper.took(), [A]);
    sleeper.end();
}

/// A descriptor whose owner uses the queue when it is dropped.
struct Inquirer(std::io::PipeReader, SharedQueue, mpsc::Sender<usize>);

impl std::os::fd::AsFd for Inquirer {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Inquirer {
    fn drop(&mut self) {
        self.2.send(self.1.counters().waiters).unwrap();
    }
}

/// What the queue itself lets go of, it drops when it is not locked.
#[test]
fn an_owner_may_use_the_queue_when_it_is_dropped() {
    let queue = SharedQueue::new().unwrap();
    let mut waiter = queue.waiter().unwrap();
    let (say, said) = mpsc::channel();
    let owner = |reader| Fd::new(Inquirer(reader, queue.clone(), say.clone()));
    let (reader, writer) = testkit::pipe_pair();
    queue.register_for_all(owner(reader), A, Mode::OneShot).unwrap();
    drop(writer);
    watched("a one-shot for all is taken", || {
        assert_eq!(waiter.wait(Wait::forever()), Ok(1));
        assert!(waiter.next_event().is_some());
    });
    assert_eq!(said.try_recv(), Ok(1), "it was dropped");
    let (reader, _writer) = testkit::pipe_pair();
    let key = queue.register(owner(reader).unwatched(), B, Mode::Level).unwrap();
    queue.start(Operation::close(key), B).unwrap();
    watched("a descriptor is closed", || assert_eq!(waiter.wait(Wait::forever()), Ok(1)));
    assert_eq!(said.try_recv(), Ok(1), "it was closed");
}
