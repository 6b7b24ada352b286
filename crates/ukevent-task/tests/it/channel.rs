//! Channels: every message comes once and in order, whoever waits, gives up, closes or panics.

use futures_util::FutureExt;
use futures_util::future::{Either, join_all, select};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use ukevent_task::channel::{
    Closed, LocalReceiver, LocalSender, TryReceiveError, TrySendError, local, shared,
};
use ukevent_task::{block_on, spawn, time::sleep, time::timeout, yield_now};

async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

#[test]
fn a_local_channel_passes_all_in_order() {
    for capacity in [1, 2, 7, 1000] {
        block_on(async {
            let (sender, receiver) = local(capacity);
            let sends = spawn(async move {
                for number in 0..5_000_u32 {
                    sender.send(number).await.unwrap();
                    assert!(sender.len() <= capacity);
                }
            });
            for expected in 0..5_000 {
                assert_eq!(receiver.receive().await, Some(expected));
            }
            assert_eq!(receiver.receive().await, None);
            assert_eq!(receiver.try_receive(), Err(TryReceiveError::Closed));
            sends.await.unwrap();
        })
        .unwrap();
    }
}

#[test]
fn many_senders_and_receivers_share_one() {
    block_on(async {
        let (sender, receiver) = local::<u64>(3);
        let sends: Vec<_> = (0..10)
            .map(|part| {
                let sender = sender.clone();
                spawn(async move {
                    for number in 0..100 {
                        sender.send(part * 100 + number).await.unwrap();
                    }
                })
            })
            .collect();
        drop(sender);
        let sums: Vec<_> = (0..5)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(async move {
                    let (mut sum, mut count) = (0, 0);
                    while let Some(number) = receiver.receive().await {
                        (sum, count) = (sum + number, count + 1);
                    }
                    assert!(count > 0, "each has its turn");
                    sum
                })
            })
            .collect();
        let sum: u64 = join_all(sums).await.into_iter().map(Result::unwrap).sum();
        assert_eq!(sum, 999 * 1000 / 2);
        join_all(sends).await.into_iter().for_each(Result::unwrap);
    })
    .unwrap();
}

#[test]
fn full_and_empty_are_outcomes() {
    block_on(async {
        let (sender, receiver) = local(2);
        assert_eq!(receiver.try_receive(), Err(TryReceiveError::Empty));
        sender.try_send(1).unwrap();
        sender.try_send(2).unwrap();
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!((sender.len(), sender.capacity()), (2, 2));
        assert_eq!(receiver.try_receive(), Ok(1));
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.try_send(4), Err(TrySendError::Closed(4)));
        assert_eq!(sender.send(5).await, Err(Closed(5)));
    })
    .unwrap();
}

/// Who waits for room is not passed over by one who comes later.
#[test]
fn room_goes_to_who_waited_first() {
    block_on(async {
        let (sender, receiver) = local(1);
        sender.try_send(0).unwrap();
        let waits = spawn({
            let sender = sender.clone();
            async move { sender.send(1).await }
        });
        settle().await;
        assert_eq!(receiver.try_receive(), Ok(0));
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)), "the room is granted");
        waits.await.unwrap().unwrap();
        assert_eq!(receiver.receive().await, Some(1));
    })
    .unwrap();
}

/// A send that was granted the room and is dropped passes it on; so does a receive.
#[test]
fn what_is_granted_and_given_up_goes_to_the_next() {
    block_on(async {
        let (sender, receiver) = local(1);
        sender.try_send(0).unwrap();
        let mut first = Box::pin(sender.send(1));
        let mut second = Box::pin(sender.send(2));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(receiver.try_receive(), Ok(0));
        drop(first);
        assert_eq!(second.await, Ok(()));
        assert_eq!(receiver.receive().await, Some(2));

        let mut first = Box::pin(receiver.receive());
        let mut second = Box::pin(receiver.receive());
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        sender.try_send(3).unwrap();
        assert_eq!(receiver.try_receive(), Err(TryReceiveError::Empty), "it is granted");
        drop(first);
        assert_eq!(second.await, Some(3));
    })
    .unwrap();
}

/// Sends and receives that are cut off by time limits, at random: nothing is lost, nothing comes twice.
#[test]
fn a_call_that_is_dropped_loses_nothing() {
    block_on(async {
        let (sender, receiver) = local(2);
        let sent = Rc::new(RefCell::new(Vec::new()));
        let sends: Vec<_> = (0..4_u64)
            .map(|part| {
                let (sender, sent) = (sender.clone(), Rc::clone(&sent));
                spawn(async move {
                    for number in 0..300 {
                        let message = part * 1000 + number;
                        let time = Duration::from_micros((message * 7919) % 40);
                        if let Ok(outcome) = timeout(time, sender.send(message)).await {
                            outcome.unwrap();
                            sent.borrow_mut().push(message);
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let mut received = Vec::new();
        for turn in 0_u64.. {
            let time = Duration::from_micros((turn * 104_729) % 30);
            match timeout(time, receiver.receive()).await {
                Ok(Some(message)) => received.push(message),
                Ok(None) => break,
                Err(_) => {}
            }
        }
        join_all(sends).await.into_iter().for_each(Result::unwrap);
        let mut sent = sent.take();
        assert!(!sent.is_empty());
        sent.sort_unstable();
        received.sort_unstable();
        assert_eq!(received, sent);
    })
    .unwrap();
}

/// Messages whose drop uses the channel they were in.
#[test]
fn a_message_may_hold_its_own_channel() {
    block_on(async {
        let dropped = Rc::new(Cell::new(0));
        let (sender, receiver): (LocalSender<Held>, LocalReceiver<Held>) = local(2);
        sender.try_send(Held(sender.clone(), Rc::clone(&dropped))).unwrap();
        sender.try_send(Held(sender.clone(), Rc::clone(&dropped))).unwrap();
        drop(receiver);
        assert_eq!(dropped.get(), 2, "what nobody can receive is dropped at once");
        assert!(sender.is_closed());
    })
    .unwrap();
}

/// Looks at the channel when it is dropped.
struct Held(LocalSender<Held>, Rc<Cell<u32>>);

impl Drop for Held {
    fn drop(&mut self) {
        assert!(self.0.is_closed());
        assert_eq!(self.0.len(), 0);
        self.1.set(self.1.get() + 1);
    }
}

#[test]
fn closing_wakes_who_waits() {
    block_on(async {
        let (sender, receiver) = local(1);
        sender.try_send(0).unwrap();
        let sends = spawn(async move { sender.send(1).await });
        settle().await;
        drop(receiver);
        assert_eq!(sends.await.unwrap(), Err(Closed(1)));

        let (sender, receiver) = local::<u32>(1);
        let receives: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                spawn(async move { receiver.receive().await })
            })
            .collect();
        settle().await;
        drop(sender);
        for receive in receives {
            assert_eq!(receive.await.unwrap(), None);
        }
    })
    .unwrap();
}

#[test]
#[should_panic(expected = "give it a capacity of 1 or more")]
fn a_channel_has_room() {
    let _ = shared::<u32>(0);
}

/// Threads and tasks send by every means; a task and others receive.
#[test]
fn a_shared_channel_loses_nothing_between_threads() {
    const EACH: u64 = 5_000;
    for capacity in [1, 4, 256] {
        let (sender, receiver) = shared::<u64>(capacity);
        let mut threads = Vec::new();
        for part in 0..4_u64 {
            let sender = sender.clone();
            threads.push(thread::spawn(move || {
                let numbers = part * EACH..(part + 1) * EACH;
                match part {
                    0 => numbers.for_each(|number| {
                        let mut message = number;
                        while let Err(error) = sender.try_send(message) {
                            message = error.into_message();
                            thread::yield_now();
                        }
                    }),
                    1 => numbers.for_each(|number| sender.send_blocking(number).unwrap()),
                    // Some give up, and try again.
                    2 => block_on(async move {
                        for number in numbers {
                            while timeout(Duration::from_micros(number % 20), sender.send(number))
                                .await
                                .is_err()
                            {}
                        }
                    })
                    .unwrap(),
                    _ => block_on(async move {
                        for number in numbers {
                            sender.send(number).await.unwrap();
                        }
                    })
                    .unwrap(),
                }
            }));
        }
        drop(sender);
        let other = receiver.clone();
        let sum = AtomicU64::new(0);
        let count = AtomicU64::new(0);
        let add = |number: u64| {
            sum.fetch_add(number, Ordering::Relaxed);
            count.fetch_add(1, Ordering::Relaxed);
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                while let Some(number) = other.receive_blocking() {
                    add(number);
                }
            });
            block_on(async {
                for turn in 0_u64.. {
                    let received = match turn % 3 {
                        // Some receives give up.
                        0 => timeout(Duration::from_micros(turn % 10), receiver.receive()).await,
                        _ => Ok(receiver.receive().await),
                    };
                    match received {
                        Ok(Some(number)) => add(number),
                        Ok(None) => break,
                        Err(_) => {}
                    }
                }
            })
            .unwrap();
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let total = 4 * EACH;
        assert_eq!(count.into_inner(), total);
        assert_eq!(sum.into_inner(), (total - 1) * total / 2);
    }
}

/// What a thread sends comes in its order, and wakes a runtime that sleeps.
#[test]
fn a_thread_wakes_a_task() {
    let (sender, receiver) = shared::<u32>(1);
    let thread = thread::spawn(move || {
        for number in 0..200 {
            if number % 10 == 0 {
                thread::sleep(Duration::from_micros(300));
            }
            sender.send_blocking(number).unwrap();
        }
    });
    block_on(async {
        for expected in 0..200 {
            assert_eq!(receiver.receive().await, Some(expected));
        }
        assert_eq!(receiver.receive().await, None);
    })
    .unwrap();
    thread.join().unwrap();
}

#[test]
fn blocking_in_a_task_says_why_not() {
    let (sender, receiver) = shared::<u32>(1);
    block_on(async move {
        let error = spawn(async move { sender.send_blocking(1) }).await.unwrap_err();
        assert!(error.to_string().contains("await send instead"), "{error}");
        let error = spawn(async move { receiver.receive_blocking() }).await.unwrap_err();
        assert!(error.to_string().contains("await receive instead"), "{error}");
    })
    .unwrap();
}

#[test]
fn a_shared_channel_closes_from_both_sides() {
    let (sender, receiver) = shared::<u32>(1);
    sender.try_send(1).unwrap();
    let blocked = {
        let sender = sender.clone();
        thread::spawn(move || sender.send_blocking(2))
    };
    thread::sleep(Duration::from_millis(2));
    drop(receiver);
    assert_eq!(blocked.join().unwrap(), Err(Closed(2)));
    assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));

    let (sender, receiver) = shared::<u32>(1);
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(2));
        drop(sender);
    });
    assert_eq!(block_on(async move { receiver.receive().await }).unwrap(), None);
    thread.join().unwrap();
}

#[test]
fn a_channel_and_the_time_are_waited_for_at_once() {
    block_on(async {
        let (sender, receiver) = local::<u32>(1);
        let timed = select(receiver.receive(), Box::pin(sleep(Duration::from_millis(1)))).await;
        assert!(matches!(timed, Either::Right(_)));
        drop(timed);
        sender.try_send(1).unwrap();
        assert_eq!(receiver.try_receive(), Ok(1), "the one who gave up has no grant");
    })
    .unwrap();
}
