//! Signals that end a wait: handlers of the program, and the mask that is swapped with the sleep.
//!
//! The program's handler is one that the kernel boundary has: it sends the signal on to a thread.
//! Each case is alone in its process, because a signal that is sent to a process goes to any of its
//! threads.

use crate::bench::{A, B, Bench, next, now, once_asleep, patient, silent, wait};
use rustix::process::{Signal, getpid, kill_process};
use std::{fs, time::Duration};
use ukevent_queue::{Merge, Mode, SignalSet, Timer, User, Wait, WaitError};
use ukevent_sys::signal::{Takeover, block, blocked, this_thread};

cases! {
    alone: [
        a_handler_interrupts_the_wait,
        an_interrupted_wait_loses_nothing,
        a_handler_and_an_event_are_an_event,
        a_signal_that_the_mask_lets_in_interrupts_the_wait,
        a_signal_that_was_pending_before_the_wait_interrupts_it,
        a_signal_that_the_mask_keeps_out_does_not_interrupt_the_wait,
        a_signal_that_the_thread_blocks_does_not_interrupt_the_wait,
        the_mask_is_as_before_after_the_wait,
        a_wait_that_does_not_block_leaves_the_mask_alone,
        the_mask_is_for_one_wait_only,
        the_mask_is_swapped_for_a_wait_that_submits_nothing_too,
    ],
}

const SIGNAL: Signal = Signal::USR2;

fn set_of_it() -> SignalSet {
    let mut set = SignalSet::empty();
    set.add(SIGNAL.as_raw()).unwrap();
    set
}

/// Sends the signal to this process. Whichever thread gets it runs the handler, which sends it on to
/// the thread that waits; there the handler runs as soon as the signal is let in.
fn send() {
    kill_process(getpid(), SIGNAL).unwrap();
}

/// Waits until the signal is pending for this thread, which must block it.
fn until_pending() {
    testkit::wait_until("the signal is pending", || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:")).unwrap();
        let bits = u64::from_str_radix(pending.trim(), 16).unwrap();
        bits & 1 << (SIGNAL.as_raw() - 1) != 0
    });
}

/// Installs a handler that runs on this thread, for as long as the process lives: the last signal may
/// still be under way when the case ends.
fn handle() {
    std::mem::forget(Takeover::new(SIGNAL.as_raw(), this_thread()).unwrap());
}

fn a_handler_interrupts_the_wait(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    handle();
    let waited = once_asleep(|| wait(&mut queue, Wait::forever()), send);
    assert_eq!(waited, Err(WaitError::Interrupted));
    assert_eq!(queue.next_event(), None);
}

fn an_interrupted_wait_loses_nothing(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Edge).unwrap();
    queue.register(Timer::after(Duration::from_millis(1)), B, Mode::OneShot).unwrap();
    assert_eq!(next(&mut queue).token, B);
    handle();
    let waited = once_asleep(|| wait(&mut queue, patient()), send);
    assert_eq!(waited, Err(WaitError::Interrupted));
    door.knock();
    queue.register(Timer::after(Duration::ZERO), B, Mode::OneShot).unwrap();
    let mut came = [next(&mut queue).token, next(&mut queue).token];
    came.sort_unstable();
    assert_eq!(came, [A, B]);
}

fn a_handler_and_an_event_are_an_event(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    handle();
    door.knock();
    let waited = once_asleep(|| wait(&mut queue, patient().at_least(2)), send);
    assert_eq!(waited, Ok(1), "what there is, is not held back");
    assert_eq!(queue.next_event().unwrap().token, A);
}

fn a_signal_that_the_mask_lets_in_interrupts_the_wait(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    block(&set_of_it()).unwrap();
    handle();
    let mask = SignalSet::empty();
    let waited = once_asleep(|| wait(&mut queue, Wait::forever().with_mask(&mask)), send);
    assert_eq!(waited, Err(WaitError::Interrupted));
}

fn a_signal_that_was_pending_before_the_wait_interrupts_it(bench: &Bench) {
    let mut queue = bench.queue();
    block(&set_of_it()).unwrap();
    handle();
    send();
    until_pending();
    let mask = SignalSet::empty();
    assert_eq!(
        wait(&mut queue, Wait::forever().with_mask(&mask)),
        Err(WaitError::Interrupted),
        "the first wait, which on io_uring also submits"
    );
    assert_eq!(wait(&mut queue, patient().with_mask(&mask)), Err(WaitError::Interrupted));
}

fn a_signal_that_the_mask_keeps_out_does_not_interrupt_the_wait(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    handle();
    let mask = set_of_it();
    let waited = once_asleep(
        || wait(&mut queue, patient().with_mask(&mask)),
        || {
            send();
            std::thread::sleep(Duration::from_millis(5));
            door.knock();
        },
    );
    assert_eq!(waited, Ok(1));
    // The handler ran once the wait was over, and blocked the signal.
    assert!(blocked().unwrap().contains(SIGNAL.as_raw()));
}

fn a_signal_that_the_thread_blocks_does_not_interrupt_the_wait(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    block(&set_of_it()).unwrap();
    handle();
    send();
    until_pending();
    let waited = once_asleep(|| wait(&mut queue, patient()), || door.knock());
    assert_eq!(waited, Ok(1));
    until_pending();
}

fn the_mask_is_as_before_after_the_wait(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    let mut other = SignalSet::empty();
    other.add(Signal::USR1.as_raw()).unwrap();
    block(&other).unwrap();
    let before = blocked().unwrap();
    let mask = SignalSet::full();
    once_asleep(|| wait(&mut queue, patient().with_mask(&mask)), || door.knock()).unwrap();
    assert_eq!(blocked().unwrap(), before);
    let time = Duration::from_millis(1);
    wait(&mut queue, Wait::within(time).with_mask(&SignalSet::empty()).at_least(2)).unwrap();
    assert_eq!(blocked().unwrap(), before);
}

fn a_wait_that_does_not_block_leaves_the_mask_alone(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Level).unwrap();
    block(&set_of_it()).unwrap();
    handle();
    send();
    until_pending();
    let mask = SignalSet::empty();
    assert_eq!(wait(&mut queue, Wait::now().with_mask(&mask)), Ok(0));
    door.knock();
    assert_eq!(wait(&mut queue, patient().with_mask(&mask)), Ok(1), "it need not sleep");
    until_pending();
}

fn the_mask_is_for_one_wait_only(bench: &Bench) {
    let mut queue = bench.queue();
    let user = queue.register(User::merged(Merge::Last), A, Mode::Level).unwrap();
    let poster = queue.poster(user).unwrap();
    block(&set_of_it()).unwrap();
    handle();
    let time = Duration::from_millis(1);
    assert_eq!(wait(&mut queue, Wait::within(time).with_mask(&SignalSet::empty())), Ok(0));
    send();
    until_pending();
    let waited = once_asleep(|| wait(&mut queue, patient()), || poster.post(1).unwrap());
    assert_eq!(waited, Ok(1));
}

fn the_mask_is_swapped_for_a_wait_that_submits_nothing_too(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(door.source(), A, Mode::Edge).unwrap();
    silent(&mut queue);
    block(&set_of_it()).unwrap();
    handle();
    let mask = SignalSet::empty();
    let waited = once_asleep(|| wait(&mut queue, Wait::forever().with_mask(&mask)), send);
    assert_eq!(waited, Err(WaitError::Interrupted));
    // The handler has sent it to this thread again, which blocks it.
    for _ in 0..3 {
        let waited = wait(&mut queue, Wait::forever().with_mask(&mask));
        assert_eq!(waited, Err(WaitError::Interrupted));
    }
    door.knock();
    assert_eq!(now(&mut queue), [A]);
}
