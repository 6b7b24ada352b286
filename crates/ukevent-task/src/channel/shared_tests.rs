//! The shared channel: under loom in every order. With real threads it is tried in `tests/it/channel.rs`.
#![cfg(loom)]

use super::{SharedReceiver, SharedSender, shared};
use loom::sync::Notify;
use loom::thread;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Wakes a thread of a model.
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify();
    }
}

/// Runs a future in a thread of a model. A wake-up that is lost is a deadlock, which loom tells.
fn block_on<F: Future>(future: F) -> F::Output {
    let bell = Arc::new(Bell(Notify::new()));
    let waker = Waker::from(Arc::clone(&bell));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        bell.0.wait();
    }
}

async fn all(receiver: SharedReceiver<u32>) -> Vec<u32> {
    let mut all = Vec::new();
    while let Some(message) = receiver.receive().await {
        all.push(message);
    }
    all
}

fn send(sender: &SharedSender<u32>, message: u32) {
    assert!(block_on(sender.send(message)).is_ok(), "the receiver waits for all");
}

/// A sender that must wait for room, and a receiver that must wait for messages, and the end.
#[test]
fn loom_each_message_comes_once_and_in_order() {
    loom::model(|| {
        let (sender, receiver) = shared(1);
        let thread = thread::spawn(move || (1..=2).for_each(|message| send(&sender, message)));
        assert_eq!(block_on(all(receiver)), [1, 2]);
        thread.join().expect("does not panic");
    });
}

/// Two senders, one room.
#[test]
fn loom_two_senders_share_a_room() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (sender, receiver) = shared(1);
        let other = sender.clone();
        let threads = [(sender, 1), (other, 2)]
            .map(|(sender, message)| thread::spawn(move || send(&sender, message)));
        let mut all = block_on(all(receiver));
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
        for thread in threads {
            thread.join().expect("does not panic");
        }
    });
}

/// A send that was granted the room is given up: the room is the next one's.
#[test]
fn loom_what_is_given_up_goes_to_the_next() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (sender, receiver) = shared(1);
        assert!(sender.try_send(0).is_ok());
        let other = sender.clone();
        let waits = thread::spawn(move || send(&other, 1));
        let gives_up = thread::spawn(move || {
            let bell = Arc::new(Bell(Notify::new()));
            let waker = Waker::from(bell);
            let mut sends = Box::pin(sender.send(9));
            let polled = sends.as_mut().poll(&mut Context::from_waker(&waker));
            // Granted or not, it goes; if it has sent, that is so.
            drop(sends);
            polled.is_ready()
        });
        let got = block_on(all(receiver));
        waits.join().expect("does not panic");
        let has_sent = gives_up.join().expect("does not panic");
        assert_eq!(got.len(), 2 + usize::from(has_sent), "{got:?}");
        assert!(got.contains(&0) && got.contains(&1));
    });
}

/// The receiver goes while a sender waits for room.
#[test]
fn loom_closing_tells_who_waits() {
    loom::model(|| {
        let (sender, receiver) = shared(1);
        let thread = thread::spawn(move || {
            let first = block_on(sender.send(1)).is_ok();
            let second = block_on(sender.send(2));
            assert_eq!(second.err().map(|closed| closed.0), Some(2), "nobody takes it");
            first
        });
        drop(receiver);
        thread.join().expect("does not panic");
    });
}
