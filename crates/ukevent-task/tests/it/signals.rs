//! Signals. Each case is alone in its process.

use crate::bench::{Bench, dropped_while_it_waits, once, settle};
use rustix::process::{getpid, kill_process};
use std::pin::pin;
use ukevent_queue::RegisterError;
use ukevent_sys::signal::blocked;
use ukevent_task::{block_on, signal::Signal, signal::ctrl_c, spawn};

cases! {
    alone: [
        a_signal_after_a_call_was_dropped_is_not_lost,
        signals_while_nobody_asks_are_counted,
        ctrl_c_is_awaited_and_let_go,
        two_who_await_one_signal_are_both_told,
        what_cannot_be_watched_is_refused,
    ],
}

fn send(signal: ukevent_queue::Signal) {
    let named = rustix::process::Signal::from_named_raw(signal.number()).unwrap();
    kill_process(getpid(), named).unwrap();
}

fn a_signal_after_a_call_was_dropped_is_not_lost(bench: &Bench) {
    bench.run(async {
        let mut signal = Signal::of(ukevent_queue::Signal::USR1).unwrap();
        for round in 0..20 {
            dropped_while_it_waits(signal.next()).await;
            send(ukevent_queue::Signal::USR1);
            if round % 2 == 0 {
                // It comes while nobody waits, too.
                settle().await;
            }
            let received = signal.next().await.unwrap();
            assert_eq!(received.pid, std::process::id().cast_signed());
        }
        dropped_while_it_waits(signal.next()).await;
    });
}

fn signals_while_nobody_asks_are_counted(bench: &Bench) {
    bench.run(async {
        let mut signal = Signal::of(ukevent_queue::Signal::USR1).unwrap();
        let mut beside = Signal::of(ukevent_queue::Signal::USR1).unwrap();
        for _ in 0..200 {
            send(ukevent_queue::Signal::USR1);
            // The kernel would merge it with the next one.
            assert_eq!(beside.next().await.unwrap().count, 1);
        }
        assert_eq!(signal.next().await.unwrap().count, 200);
        dropped_while_it_waits(signal.next()).await;
    });
}

fn ctrl_c_is_awaited_and_let_go(bench: &Bench) {
    let before = blocked().unwrap();
    bench.run(async {
        let waits = spawn(ctrl_c());
        settle().await;
        send(ukevent_queue::Signal::INT);
        waits.await.unwrap().unwrap();
        {
            let mut dropped = pin!(ctrl_c());
            assert!(once(&mut dropped).await.is_pending());
        }
        assert!(!blocked().unwrap().contains(ukevent_queue::Signal::INT.number()), "as before");
    });
    assert_eq!(blocked().unwrap(), before);
}

fn two_who_await_one_signal_are_both_told(bench: &Bench) {
    bench.run(async {
        let mut one = Signal::of(ukevent_queue::Signal::USR2).unwrap();
        let mut other = Signal::of(ukevent_queue::Signal::USR2).unwrap();
        send(ukevent_queue::Signal::USR2);
        one.next().await.unwrap();
        other.next().await.unwrap();
    });
}

fn what_cannot_be_watched_is_refused(_bench: &Bench) {
    let refused = block_on(async { ukevent_queue::Signal::new(9).and_then(Signal::of).map(drop) });
    assert!(matches!(refused.unwrap(), Err(RegisterError::Invalid(_))));
}
