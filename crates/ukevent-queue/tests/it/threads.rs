//! Whose queue it is: that of the thread that uses it first.

use crate::bench::{A, B, Bench, C, in_a_child, next, now, now_sorted, silent, wait};
use crate::subject::Queue;
use std::{thread, time::Duration};
use ukevent_queue::{
    Change, ChangeError, Merge, Mode, RegisterError, Signal, Timer, User, Wait, WaitError,
};

cases_of_one_thread! {
    everywhere: [
        a_queue_can_be_sent_before_its_first_use,
        what_was_registered_before_the_sending_is_reported_after_it,
        a_second_thread_is_refused_and_the_first_goes_on,
        a_queue_can_be_dropped_by_another_thread,
        queues_of_many_threads_do_not_disturb_each_other,
    ],
    kernels: [
        a_second_thread_gets_no_descriptor,
        a_second_thread_changes_nothing,
    ],
    alone: [
        a_second_thread_cannot_watch_signals,
        a_signal_makes_the_queue_the_threads_own,
        a_child_gets_no_queue,
    ],
}

/// Runs `body` with the queue on another thread.
fn elsewhere<T: Send>(queue: &mut Queue, body: impl FnOnce(&mut Queue) -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(|| body(queue)).join().unwrap())
}

fn a_queue_can_be_sent_before_its_first_use(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    thread::scope(|scope| {
        scope.spawn(move || {
            queue.register(door.source(), A, Mode::Level).unwrap();
            door.knock();
            assert_eq!(next(&mut queue).token, A);
            door.answer();
            silent(&mut queue);
        });
    });
}

fn what_was_registered_before_the_sending_is_reported_after_it(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Edge).unwrap();
    queue.register(Timer::after(Duration::from_millis(1)), B, Mode::Level).unwrap();
    let user = queue.register(User::merged(Merge::Last), C, Mode::Level).unwrap();
    queue.poster(user).unwrap().post(1).unwrap();
    door.knock();
    bench.pass(Duration::from_millis(2));
    thread::scope(|scope| {
        scope.spawn(move || assert_eq!(now_sorted(&mut queue), [A, B, C]));
    });
}

fn a_second_thread_is_refused_and_the_first_goes_on(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Edge).unwrap();
    silent(&mut queue);
    door.knock();
    for _ in 0..2 {
        let refused = elsewhere(&mut queue, |queue| wait(queue, Wait::now()));
        assert_eq!(refused, Err(WaitError::WrongThread));
    }
    assert_eq!(now(&mut queue), [A], "nothing was lost");
    silent(&mut queue);
}

fn a_queue_can_be_dropped_by_another_thread(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    queue.register(Timer::after(Duration::from_millis(1)), B, Mode::Level).unwrap();
    next(&mut queue);
    thread::scope(|scope| {
        scope.spawn(move || drop(queue));
    });
}

fn queues_of_many_threads_do_not_disturb_each_other(bench: &Bench) {
    if bench.kind == crate::bench::BackendKind::Sim {
        // They would share one virtual time.
        return;
    }
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (mut queue, door) = (bench.queue(), bench.door());
                queue.register(door.source(), A, Mode::Level).unwrap();
                let tick = Timer::every(Duration::from_micros(200));
                queue.register(tick, B, Mode::Level).unwrap();
                let mut ticks = 0;
                while ticks < 20 {
                    assert_eq!(next(&mut queue).token, B);
                    ticks += 1;
                }
                door.knock();
                let mut came = next(&mut queue).token;
                while came == B {
                    came = next(&mut queue).token;
                }
                assert_eq!(came, A);
            });
        }
    });
}

fn a_second_thread_gets_no_descriptor(bench: &Bench) {
    let mut queue = bench.queue();
    silent(&mut queue);
    let refused = elsewhere(&mut queue, Queue::descriptor).unwrap_err();
    assert!(matches!(refused, RegisterError::WrongThread), "{refused:?}");
    let mut other = bench.queue();
    drop(other.descriptor().unwrap());
    let refused = elsewhere(&mut other, |queue| wait(queue, Wait::now()));
    assert_eq!(refused, Err(WaitError::WrongThread), "asking for it was its first use");
}

/// A queue that is watched acts at once, which only its own thread may.
fn a_second_thread_changes_nothing(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    let _shown = queue.descriptor().unwrap();
    elsewhere(&mut queue, |queue| {
        let refused = queue.register(door.source(), B, Mode::Level);
        assert!(matches!(refused, Err(RegisterError::WrongThread)), "{refused:?}");
        let refused = queue.modify(key, Change::new().token(B));
        assert!(matches!(refused, Err(ChangeError::Refused(RegisterError::WrongThread))));
        queue.disable(key).unwrap();
        let refused = queue.enable(key);
        assert!(matches!(refused, Err(ChangeError::Refused(RegisterError::WrongThread))));
    });
    queue.enable(key).unwrap();
    door.knock();
    assert_eq!(now(&mut queue), [A]);
}

/// What a child made by fork(2) does with its copy leaves the parent's alone.
fn a_child_gets_no_queue(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let key = queue.register(door.source(), A, Mode::Level).unwrap();
    silent(&mut queue);
    let mut queue = in_a_child(queue, |mut queue| {
        let refused = wait(&mut queue, Wait::now()) == Err(WaitError::WrongThread)
            && queue.register(door.source(), B, Mode::Level).is_err()
            && queue.disable(key).is_err()
            && queue.remove(key).is_err();
        // As much as the ring's, so that dropping it would take some of this away.
        let own: Vec<_> = (0..64).map(|_| vec![1_u8; 200_000]).collect();
        drop(queue);
        let kept = own.iter().all(|memory| memory.iter().all(|&byte| byte == 1));
        // Another queue can be made.
        refused && kept && silent_queue(bench)
    });
    door.knock();
    assert_eq!(now(&mut queue), [A]);
}

fn silent_queue(bench: &Bench) -> bool {
    bench.builder().build().is_ok_and(|mut queue| wait(&mut queue, Wait::now()) == Ok(0))
}

fn a_second_thread_cannot_watch_signals(bench: &Bench) {
    let mut queue = bench.queue();
    silent(&mut queue);
    let refused = elsewhere(&mut queue, |queue| queue.register(Signal::USR1, A, Mode::Level));
    assert!(matches!(refused, Err(RegisterError::WrongThread)), "{refused:?}");
    assert_eq!(queue.counters().registered, 0);
}

fn a_signal_makes_the_queue_the_threads_own(bench: &Bench) {
    let mut queue = bench.queue();
    queue.register(Signal::USR1, A, Mode::Level).unwrap();
    let refused = elsewhere(&mut queue, |queue| wait(queue, Wait::now()));
    assert_eq!(refused, Err(WaitError::WrongThread));
    silent(&mut queue);
}
