//! Time, on every backend. Here and not beside the other types, because it looks at the queue's counters.

use super::{Deadline, Elapsed, interval, sleep, timeout};
use crate::runtime::{Runtime, current};
use crate::{look, spawn};
use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};
use ukevent_queue::{BackendKind, Builder};

const LONG: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(2);

/// Runs a case on each backend.
fn everywhere<F: Future<Output = ()>>(case: impl Fn() -> F) {
    for kind in [BackendKind::IoUring, BackendKind::Epoll, BackendKind::Poll] {
        let queue = match Builder::new().backend(kind).build() {
            Ok(queue) => queue,
            Err(error) => testkit::skip!("{error}"),
        };
        Runtime::with(queue).block_on(case()).unwrap();
    }
}

/// Registrations of the queue that live.
fn alive() -> u64 {
    current::expect("alive").queue(|queue| queue.counters().registered)
}

/// Polls a future once; it must not be ready.
async fn begin<F: Future + Unpin>(future: &mut F) {
    let polled = poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await;
    assert!(polled.is_pending());
}

#[test]
fn sleeping_is_never_early() {
    everywhere(|| async {
        for micros in [0, 1, 10, 100, 1000, 5000] {
            let time = Duration::from_micros(micros);
            let before = Instant::now();
            sleep(time).await;
            assert!(before.elapsed() >= time, "{time:?}");
        }
    });
}

#[test]
fn sleepers_wake_in_the_order_of_their_times() {
    everywhere(|| async {
        let woken = Rc::new(RefCell::new(Vec::new()));
        let sleepers: Vec<_> = [9_u64, 3, 6, 1, 8, 2, 7, 5, 4]
            .map(|number| {
                let woken = Rc::clone(&woken);
                spawn(async move {
                    sleep(Duration::from_millis(2 * number)).await;
                    woken.borrow_mut().push(number);
                })
            })
            .into();
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
        assert!(woken.borrow().is_sorted(), "{woken:?}");
    });
}

#[test]
fn a_time_that_is_over_is_over_at_once() {
    everywhere(|| async {
        let mut sleeps = pin!(sleep(SOON));
        std::thread::sleep(2 * SOON);
        // Its time counts from when it was made, not from when it was polled.
        let before = look_count();
        sleeps.as_mut().await;
        assert!(look_count() <= before + 2);
    });
}

fn look_count() -> u64 {
    current::expect("looks").looks()
}

#[test]
fn what_is_dropped_leaves_nothing_registered() {
    everywhere(|| async {
        let before = alive();
        {
            let mut sleeps = pin!(sleep(LONG));
            begin(&mut sleeps).await;
            let mut limited = pin!(timeout(LONG, pending::<()>()));
            begin(&mut limited).await;
            let mut beats = interval(LONG).unwrap();
            let mut tick = pin!(beats.tick());
            begin(&mut tick).await;
            let mut deadline = Deadline::after(LONG).unwrap();
            let mut guarded = pin!(deadline.guard(pending::<()>()));
            begin(&mut guarded).await;
            assert_eq!(alive(), before + 4);
            look().await;
        }
        assert_eq!(alive(), before);
        // Nor what has had its time.
        sleep(SOON).await;
        assert_eq!(timeout(SOON, pending::<()>()).await, Err(Elapsed));
        assert_eq!(timeout(LONG, sleep(SOON)).await, Ok(()));
        assert_eq!(alive(), before);
        // Nor a task that is cancelled in its sleep.
        let sleeper = spawn(sleep(LONG));
        look().await;
        assert_eq!(alive(), before + 1);
        sleeper.cancel();
        assert_eq!(alive(), before);
    });
}

#[test]
fn what_is_ready_costs_no_timer() {
    everywhere(|| async {
        let before = alive();
        let mut limited = pin!(timeout(LONG, async { alive() }));
        assert_eq!(limited.as_mut().await, Ok(before));
    });
}

#[test]
fn a_limit_drops_what_it_limits() {
    everywhere(|| async {
        let mark = Rc::new(());
        let held = Rc::clone(&mark);
        let limited = timeout(SOON, async move {
            let _held = held;
            pending::<()>().await;
        });
        assert_eq!(limited.await, Err(Elapsed));
        assert_eq!(Rc::strong_count(&mark), 1);
        // The future has the first word, when both are ready.
        assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7));
    });
}

#[test]
fn beats_keep_to_the_first_and_none_is_lost() {
    everywhere(|| async {
        let before = Instant::now();
        let period = Duration::from_millis(1);
        let mut beats = interval(period).unwrap();
        let mut count = 0;
        while count < 10 {
            begin(&mut Box::pin(beats.tick())).await;
            count += beats.tick().await;
            assert!(before.elapsed() >= period * count as u32, "{count}");
        }
        // Those of the time when nobody asked are told together.
        std::thread::sleep(5 * period);
        assert!(beats.tick().await >= 4);
    });
}

#[test]
fn a_deadline_moves() {
    everywhere(|| async {
        let before = Instant::now();
        let mut deadline = Deadline::after(SOON).unwrap();
        // Later: the timer expires too early, and is set anew.
        deadline.set(5 * SOON);
        assert_eq!(deadline.guard(pending::<()>()).await, Err(Elapsed));
        assert!(before.elapsed() >= 4 * SOON, "counted from the last look at the queue");
        // It has passed, until it is set again.
        assert_eq!(deadline.guard(pending::<()>()).await, Err(Elapsed));
        deadline.set(LONG);
        let mut guarded = pin!(deadline.guard(pending::<()>()));
        begin(&mut guarded).await;
        look().await;
        begin(&mut guarded).await;
    });
}

#[test]
fn a_deadline_that_moves_earlier_is_kept() {
    everywhere(|| async {
        let mut deadline = Deadline::after(LONG).unwrap();
        deadline.set(SOON);
        assert_eq!(deadline.guard(pending::<()>()).await, Err(Elapsed));
        deadline.set(LONG);
        assert_eq!(deadline.guard(sleep(SOON)).await, Ok(()));
        let before = alive();
        drop(deadline);
        assert_eq!(alive(), before - 1);
    });
}

#[test]
fn many_sleepers_all_wake() {
    everywhere(|| async {
        let sleepers: Vec<_> = (0..2000_u64)
            .map(|number| spawn(sleep(Duration::from_micros(number % 97 * 50))))
            .collect();
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
        assert_eq!(alive(), 0);
    });
}
