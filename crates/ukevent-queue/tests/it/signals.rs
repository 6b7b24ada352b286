//! Signals as events, through the queue. Each case is alone in its process.

use crate::bench::{
    A, B, Bench, C, batch, next, now_sorted, once_asleep, patient, silent, tokens, wait,
};
use crate::subject::Queue;
use rustix::process::{getpid, getuid, kill_process};
use std::{process::Command, thread};
use ukevent_queue::{
    Event, Kind, Mode, RegisterError, Signal, SignalReceived, SignalSet, Wait, WaitError,
};
use ukevent_sys::signal::{Disposition, blocked, disposition};

cases! {
    alone: [
        a_signal_to_the_process_is_an_event,
        a_signal_tells_who_sent_it,
        a_signal_that_came_before_the_wait_is_told,
        a_signal_ends_the_sleep_and_does_not_interrupt_it,
        real_time_signals_are_counted,
        several_signals_are_several_sources,
        several_registrations_of_one_signal_are_each_told,
        queues_of_two_threads_are_both_told,
        threads_that_do_not_block_it_send_it_on,
        mask_and_action_are_as_before_after_dropping_the_queue,
        a_signal_while_disabled_is_kept,
        a_signal_by_one_shot_comes_once,
        a_signal_by_dispatch_comes_when_enabled,
        a_signal_in_a_mask_that_lets_it_in_is_not_lost,
        a_child_that_ends_sends_one,
        signals_that_cannot_be_watched_are_refused,
        signals_count_towards_at_least,
    ],
}

/// Those that look at the mask of the thread that registers: of a shared queue, that is a thread of its own.
mod of_one_thread {
    cases_of_one_thread! {
        alone: [
            signals_that_wait_together_are_one_event,
            mask_and_action_are_as_before_after_removing,
            mask_and_action_stay_until_the_last_registration_goes,
            what_was_not_delivered_does_no_harm_after_removing,
        ],
    }

    use super::{
        mask_and_action_are_as_before_after_removing,
        mask_and_action_stay_until_the_last_registration_goes,
        signals_that_wait_together_are_one_event,
        what_was_not_delivered_does_no_harm_after_removing,
    };
}

/// Sends a signal to this process.
fn send(signal: Signal) {
    let named = rustix::process::Signal::from_named_raw(signal.number());
    kill_process(getpid(), named.expect("a named one")).unwrap();
}

#[track_caller]
fn received(event: &Event) -> SignalReceived {
    match event.kind {
        Kind::Signal(received) => received,
        _ => panic!("not of a signal: {event:?}"),
    }
}

fn watching(bench: &Bench, signal: Signal, mode: Mode) -> (Queue, ukevent_queue::Key) {
    let mut queue = bench.queue();
    let key = queue.register(signal, A, mode).unwrap();
    (queue, key)
}

fn a_signal_to_the_process_is_an_event(bench: &Bench) {
    let (mut queue, key) = watching(bench, Signal::USR1, Mode::Level);
    silent(&mut queue);
    for _ in 0..3 {
        send(Signal::USR1);
        let event = next(&mut queue);
        assert_eq!((event.token, event.key), (A, key));
        assert_eq!(received(&event).signal, Signal::USR1.number());
        assert_eq!(received(&event).count, 1);
        silent(&mut queue);
    }
}

fn a_signal_tells_who_sent_it(bench: &Bench) {
    let (mut queue, _) = watching(bench, Signal::USR1, Mode::Level);
    send(Signal::USR1);
    let ours = received(&next(&mut queue));
    assert_eq!(ours.pid, std::process::id() as i32);
    assert_eq!((ours.uid, ours.code), (getuid().as_raw(), 0), "SI_USER");
    let script = format!("kill -USR1 {}", std::process::id());
    let mut shell = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    let theirs = received(&next(&mut queue));
    assert_eq!(theirs.pid, shell.id() as i32);
    shell.wait().unwrap();
}

fn a_signal_that_came_before_the_wait_is_told(bench: &Bench) {
    let (mut queue, _) = watching(bench, Signal::USR1, Mode::Level);
    send(Signal::USR1);
    assert_eq!(next(&mut queue).token, A);
}

fn a_signal_ends_the_sleep_and_does_not_interrupt_it(bench: &Bench) {
    let (mut queue, _) = watching(bench, Signal::USR1, Mode::Level);
    for _ in 0..3 {
        let waited = once_asleep(|| wait(&mut queue, Wait::forever()), || send(Signal::USR1));
        assert_eq!(waited, Ok(1));
        assert_eq!(received(&queue.next_event().unwrap()).count, 1);
    }
}

fn real_time_signals_are_counted(bench: &Bench) {
    let signal = Signal::real_time(3).unwrap();
    let (mut queue, _) = watching(bench, signal, Mode::Level);
    let script = format!("for n in 1 2 3 4 5 6 7; do kill -{signal} $PPID; done");
    // A shell knows the names of real-time signals without SIG.
    let script = script.replace("SIG", "");
    assert!(Command::new("bash").args(["-c", &script]).status().unwrap().success());
    let mut count = 0;
    while count < 7 {
        count += received(&next(&mut queue)).count;
    }
    assert_eq!(count, 7);
    silent(&mut queue);
}

fn signals_that_wait_together_are_one_event(bench: &Bench) {
    let (mut queue, _) = watching(bench, Signal::USR1, Mode::Level);
    for _ in 0..5 {
        send(Signal::USR1);
        // Another thread may have to send it on, and the event that waits ends the wait at once.
        until_pending(Signal::USR1);
        assert_eq!(wait(&mut queue, patient()), Ok(1));
    }
    let received = received(&queue.next_event().unwrap());
    assert_eq!(received.count, 5, "{received:?}");
    silent(&mut queue);
}

/// Waits until the signal is pending for this thread, which another one sends it on to.
fn until_pending(signal: Signal) {
    testkit::wait_until("the signal is pending", || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:")).unwrap();
        let bits = u64::from_str_radix(pending.trim(), 16).unwrap();
        bits & 1 << (signal.number() - 1) != 0
    });
}

fn several_signals_are_several_sources(bench: &Bench) {
    let mut queue = bench.queue();
    for (signal, token) in [(Signal::USR1, A), (Signal::USR2, B), (Signal::HUP, C)] {
        queue.register(signal, token, Mode::Level).unwrap();
    }
    send(Signal::USR2);
    assert_eq!(next(&mut queue).token, B);
    send(Signal::HUP);
    send(Signal::USR1);
    assert_eq!(tokens(&batch(&mut queue, patient().at_least(2))).len(), 2);
    send(Signal::USR1);
    assert_eq!(next(&mut queue).token, A);
    silent(&mut queue);
}

fn several_registrations_of_one_signal_are_each_told(bench: &Bench) {
    let (mut queue, key) = watching(bench, Signal::USR1, Mode::Level);
    queue.register(Signal::USR1, B, Mode::OneShot).unwrap();
    send(Signal::USR1);
    let mut came = tokens(&batch(&mut queue, patient().at_least(2)));
    came.sort_unstable();
    assert_eq!(came, [A, B]);
    send(Signal::USR1);
    assert_eq!(next(&mut queue).token, A);
    queue.remove(key).unwrap();
    assert_eq!(disposition(Signal::USR1.number()), Ok(Disposition::Default));
}

fn queues_of_two_threads_are_both_told(bench: &Bench) {
    let (mut queue, _) = watching(bench, Signal::USR1, Mode::Level);
    let (ready, go) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            let (mut queue, _) = watching(bench, Signal::USR1, Mode::Level);
            ready.send(()).unwrap();
            received(&next(&mut queue)).signal
        });
        go.recv().unwrap();
        send(Signal::USR1);
        assert_eq!(received(&next(&mut queue)).signal, Signal::USR1.number());
        assert_eq!(other.join().unwrap(), Signal::USR1.number());
    });
    silent(&mut queue);
    send(Signal::USR1);
    assert_eq!(next(&mut queue).token, A, "and the one that is left goes on");
}

fn threads_that_do_not_block_it_send_it_on(bench: &Bench) {
    // Begun before, so that they do not inherit the mask.
    let (over, wait_for_it) = std::sync::mpsc::channel::<()>();
    let wait_for_it = std::sync::Mutex::new(wait_for_it);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| _ = wait_for_it.lock().unwrap().recv());
        }
        let (mut queue, _) = watching(bench, Signal::USR1, Mode::Level);
        for _ in 0..20 {
            send(Signal::USR1);
            assert_eq!(received(&next(&mut queue)).pid, std::process::id() as i32);
        }
        silent(&mut queue);
        drop(over);
    });
}

/// Whether the signal has no part in this process: not blocked here, and with its default action.
#[track_caller]
fn untouched(signal: Signal) {
    assert!(!blocked().unwrap().contains(signal.number()), "{signal} is blocked");
    assert_eq!(disposition(signal.number()), Ok(Disposition::Default));
}

fn mask_and_action_are_as_before_after_removing(bench: &Bench) {
    untouched(Signal::USR1);
    let (mut queue, key) = watching(bench, Signal::USR1, Mode::Level);
    assert!(blocked().unwrap().contains(Signal::USR1.number()));
    send(Signal::USR1);
    assert_eq!(next(&mut queue).token, A);
    queue.remove(key).unwrap();
    untouched(Signal::USR1);
    silent(&mut queue);
    // And again, with the queue that has watched once.
    queue.register(Signal::USR1, B, Mode::Level).unwrap();
    send(Signal::USR1);
    assert_eq!(next(&mut queue).token, B);
}

fn mask_and_action_are_as_before_after_dropping_the_queue(bench: &Bench) {
    let (mut queue, _) = watching(bench, Signal::USR1, Mode::Level);
    queue.register(Signal::USR2, B, Mode::Level).unwrap();
    send(Signal::USR1);
    assert_eq!(next(&mut queue).token, A);
    drop(queue);
    untouched(Signal::USR1);
    untouched(Signal::USR2);
}

fn mask_and_action_stay_until_the_last_registration_goes(bench: &Bench) {
    let (mut one, first) = watching(bench, Signal::USR1, Mode::Level);
    let (mut two, _) = watching(bench, Signal::USR1, Mode::Level);
    one.remove(first).unwrap();
    assert!(blocked().unwrap().contains(Signal::USR1.number()));
    send(Signal::USR1);
    assert_eq!(next(&mut two).token, A);
    silent(&mut one);
    drop(two);
    untouched(Signal::USR1);
}

fn what_was_not_delivered_does_no_harm_after_removing(bench: &Bench) {
    let (mut queue, key) = watching(bench, Signal::USR1, Mode::Level);
    // Its default action would end the process.
    send(Signal::USR1);
    testkit::wait_until("it was handed on", || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:")).unwrap();
        let bits = u64::from_str_radix(pending.trim(), 16).unwrap();
        let shared = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
        let shared = u64::from_str_radix(shared.trim(), 16).unwrap();
        (bits | shared) & 1 << (Signal::USR1.number() - 1) != 0
    });
    queue.remove(key).unwrap();
    untouched(Signal::USR1);
    silent(&mut queue);
}

fn a_signal_while_disabled_is_kept(bench: &Bench) {
    let (mut queue, key) = watching(bench, Signal::USR1, Mode::Level);
    queue.disable(key).unwrap();
    send(Signal::USR1);
    assert_eq!(wait(&mut queue, Wait::within(std::time::Duration::from_millis(20))), Ok(0));
    queue.enable(key).unwrap();
    assert_eq!(received(&next(&mut queue)).signal, Signal::USR1.number());
}

fn a_signal_by_one_shot_comes_once(bench: &Bench) {
    let (mut queue, _) = watching(bench, Signal::USR1, Mode::OneShot);
    send(Signal::USR1);
    assert_eq!(next(&mut queue).token, A);
    assert_eq!(queue.counters().registered, 0);
    untouched(Signal::USR1);
}

fn a_signal_by_dispatch_comes_when_enabled(bench: &Bench) {
    let (mut queue, key) = watching(bench, Signal::USR1, Mode::Dispatch);
    for _ in 0..3 {
        send(Signal::USR1);
        assert_eq!(next(&mut queue).token, A);
        send(Signal::USR1);
        assert_eq!(wait(&mut queue, Wait::within(std::time::Duration::from_millis(10))), Ok(0));
        queue.enable(key).unwrap();
        assert_eq!(next(&mut queue).token, A);
        queue.enable(key).unwrap();
    }
}

fn a_signal_in_a_mask_that_lets_it_in_is_not_lost(bench: &Bench) {
    let (mut queue, _) = watching(bench, Signal::USR1, Mode::Level);
    let mask = SignalSet::empty();
    for _ in 0..3 {
        let mut waited =
            once_asleep(|| wait(&mut queue, patient().with_mask(&mask)), || send(Signal::USR1));
        if waited == Err(WaitError::Interrupted) {
            waited = wait(&mut queue, patient());
        }
        assert_eq!(waited, Ok(1));
        assert_eq!(received(&queue.next_event().unwrap()).signal, Signal::USR1.number());
        silent(&mut queue);
    }
}

fn a_child_that_ends_sends_one(bench: &Bench) {
    let (mut queue, _) = watching(bench, Signal::CHLD, Mode::Level);
    let mut child = Command::new("true").spawn().unwrap();
    let received = received(&next(&mut queue));
    assert_eq!((received.signal, received.pid), (Signal::CHLD.number(), child.id() as i32));
    assert!(child.wait().unwrap().success(), "nobody collected it");
}

fn signals_that_cannot_be_watched_are_refused(_: &Bench) {
    for number in [-1, 0, 9, 19, 11, 32, 33, 65, 1_000] {
        let error = Signal::new(number).unwrap_err();
        assert!(matches!(error, RegisterError::Invalid(_)), "{number}: {error:?}");
    }
}

fn signals_count_towards_at_least(bench: &Bench) {
    let mut queue = bench.queue();
    for (signal, token) in [(Signal::USR1, A), (Signal::USR2, B), (Signal::HUP, C)] {
        queue.register(signal, token, Mode::Level).unwrap();
    }
    let waiting = || wait(&mut queue, Wait::forever().at_least(3));
    let waited = once_asleep(waiting, || {
        send(Signal::USR1);
        send(Signal::USR2);
        send(Signal::HUP);
    });
    assert_eq!(waited, Ok(3));
    assert_eq!(now_sorted(&mut queue), [A, B, C]);
}
