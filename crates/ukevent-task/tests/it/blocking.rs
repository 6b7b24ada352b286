//! Closures on threads.

use crate::bench::{Bench, dropped_while_it_waits, settle};
use std::sync::mpsc;
use ukevent_task::{JoinError, blocking, spawn};

cases! {
    everywhere: [
        a_result_is_awaited_while_others_go_on,
        a_panic_is_an_error,
        a_dropped_future_lets_the_closure_finish,
        many_block_at_the_same_time,
        more_than_there_are_threads_have_their_turn,
        it_goes_on_without_a_runtime,
        threads_take_no_signals,
    ],
}

fn a_result_is_awaited_while_others_go_on(bench: &Bench) {
    bench.run(async {
        let (sender, receiver) = mpsc::channel();
        let waits = spawn(blocking(move || receiver.recv().unwrap()));
        settle().await;
        assert!(!waits.has_ended());
        sender.send(7).unwrap();
        assert_eq!(waits.await.unwrap().unwrap(), 7);
    });
}

fn a_panic_is_an_error(bench: &Bench) {
    bench.run(async {
        let error = blocking(|| -> () { panic!("out of paper") }).await.unwrap_err();
        assert!(
            matches!(error, JoinError::Panicked(_)) && error.to_string().contains("out of paper")
        );
        // And the thread is none the worse for it.
        assert_eq!(blocking(|| 1).await.unwrap(), 1);
    });
}

fn a_dropped_future_lets_the_closure_finish(bench: &Bench) {
    bench.run(async {
        let (go, gone) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        dropped_while_it_waits(blocking(move || {
            gone.recv().unwrap();
            done.send(()).unwrap();
        }))
        .await;
        go.send(()).unwrap();
        blocking(move || is_done.recv().unwrap()).await.unwrap();
    });
}

fn many_block_at_the_same_time(bench: &Bench) {
    const TOGETHER: usize = 20;
    bench.run(async {
        let barrier = std::sync::Arc::new(std::sync::Barrier::new(TOGETHER));
        let meet = |_| {
            let barrier = barrier.clone();
            spawn(blocking(move || barrier.wait().is_leader()))
        };
        let all: Vec<_> = (0..TOGETHER).map(meet).collect();
        let mut leaders = 0;
        for one in all {
            leaders += usize::from(one.await.unwrap().unwrap());
        }
        assert_eq!(leaders, 1);
    });
}

fn more_than_there_are_threads_have_their_turn(bench: &Bench) {
    bench.run(async {
        let all: Vec<_> = (0..2000_u64).map(|number| blocking(move || number)).collect();
        let mut sum = 0;
        for one in all {
            sum += one.await.unwrap();
        }
        assert_eq!(sum, 1999 * 1000);
    });
}

fn it_goes_on_without_a_runtime(bench: &Bench) {
    let (done, is_done) = mpsc::channel();
    bench.run(async move { drop(blocking(move || done.send(()).unwrap())) });
    is_done.recv().unwrap();
}

fn threads_take_no_signals(bench: &Bench) {
    use ukevent_queue::Signal;
    bench.run(async {
        let blocked = blocking(ukevent_sys::signal::blocked).await.unwrap().unwrap();
        assert!(blocked.contains(Signal::TERM.number()));
    });
}
