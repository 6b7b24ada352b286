//! Signals sent for real, by other processes, to a process with other threads that do not block
//! them. Each test is alone in its process, where a signal that is not caught ends it.

use super::*;
use crate::{
    event::{Kind, SignalReceived},
    source::Drained,
};
use std::{
    collections::HashMap,
    os::fd::AsRawFd,
    process::Command,
    sync::{Barrier, mpsc},
    thread,
};
use testkit::{alone, assert_no_leak, wait_until};
use ukevent_sys::{
    epoll::{Epoll, Report, Trigger},
    poll::PollMask,
    signal::{Disposition, SignalSet, block, blocked, disposition, unblock},
};

/// `si_code` of kill(2).
const BY_KILL: i32 = 0;

/// What a hub says until it is dry, in order.
fn read(hub: &mut SignalHub) -> Vec<(u32, SignalReceived)> {
    let mut events = Vec::new();
    loop {
        let drained = hub.drain(64, &mut |slot, kind| match kind {
            Kind::Signal(signal) => events.push((slot, signal)),
            other => panic!("{other:?}"),
        });
        if drained.unwrap() == Drained::Dry {
            return events;
        }
    }
}

/// What a hub says until `enough` signals came to the slot.
fn read_until(hub: &mut SignalHub, slot: u32, enough: u32) -> Vec<(u32, SignalReceived)> {
    let mut events = Vec::new();
    wait_until("the signals came", || {
        events.extend(read(hub));
        counts(&events).get(&slot).copied().unwrap_or(0) >= enough
    });
    events
}

/// How many signals came to each slot.
fn counts(events: &[(u32, SignalReceived)]) -> HashMap<u32, u32> {
    let mut counts = HashMap::new();
    events.iter().for_each(|(slot, signal)| *counts.entry(*slot).or_default() += signal.count);
    counts
}

/// Another process sends a signal to this one that many times. Returns its process id.
fn send(signal: Signal, times: u32) -> i32 {
    let script = "for ((i = 0; i < $3; i++)); do kill -$2 $1; done";
    let [own, number] =
        [std::process::id(), signal.number().cast_unsigned()].map(|n| n.to_string());
    let mut child = Command::new("bash")
        .args(["-c", script, "bash", &own, &number, &times.to_string()])
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    child.id() as i32
}

fn real_time() -> Signal {
    Signal::real_time(3).unwrap()
}

fn is_blocked(signal: Signal) -> bool {
    blocked().unwrap().contains(signal.number())
}

/// Neither mask nor action of the signal are changed.
fn is_untouched(signal: Signal) -> bool {
    !is_blocked(signal) && disposition(signal.number()).unwrap() == Disposition::Default
}

/// Runs `body` beside threads that block no signal.
fn among_threads<T>(body: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        // They end when the other ends of their channels do, a panic of `body` included.
        let _held: Vec<_> = (0..4)
            .map(|_| {
                let (send, receive) = mpsc::channel::<()>();
                scope.spawn(move || receive.recv());
                send
            })
            .collect();
        body()
    })
}

#[test]
fn a_thousand_signals_are_counted_with_their_sender() {
    alone(|| {
        let mask = blocked().unwrap();
        among_threads(|| {
            let mut hub = SignalHub::new().unwrap();
            for (slot, signal) in [(1, real_time()), (2, Signal::USR1), (3, Signal::HUP)] {
                hub.add(slot, &signal).unwrap();
            }
            let sender = send(real_time(), 1000);
            let events = read_until(&mut hub, 1, 1000);
            assert_eq!(counts(&events), HashMap::from([(1, 1000)]));
            for (_, signal) in events {
                assert_eq!(signal.signal, real_time().number());
                assert_eq!((signal.pid, signal.code), (sender, BY_KILL));
            }
            for (slot, signal) in [(2, Signal::USR1), (3, Signal::HUP)] {
                let sender = send(signal, 1);
                let events = read_until(&mut hub, slot, 1);
                let received = SignalReceived {
                    signal: signal.number(),
                    count: 1,
                    pid: sender,
                    uid: events[0].1.uid,
                    code: BY_KILL,
                };
                assert_eq!(events, [(slot, received)]);
            }
            assert!(is_blocked(Signal::USR1));
        });
        assert_eq!(blocked().unwrap(), mask);
        assert!([real_time(), Signal::USR1, Signal::HUP].into_iter().all(is_untouched));
    });
}

#[test]
fn standard_signals_that_pile_up_are_one_event() {
    alone(|| {
        let mut hub = SignalHub::new().unwrap();
        hub.add(1, &Signal::USR1).unwrap();
        send(Signal::USR1, 50);
        let events = read_until(&mut hub, 1, 1);
        assert!((1..=50).contains(&counts(&events)[&1]));
    });
}

#[test]
fn every_registration_of_a_signal_is_told() {
    alone(|| {
        let mut hub = SignalHub::new().unwrap();
        hub.add(7, &real_time()).unwrap();
        hub.add(5, &Signal::USR2).unwrap();
        hub.add(6, &real_time()).unwrap();
        send(real_time(), 10);
        assert_eq!(counts(&read_until(&mut hub, 7, 10)), HashMap::from([(7, 10), (6, 10)]));
        hub.remove(7);
        assert!(is_blocked(real_time()), "the other one is there");
        send(real_time(), 10);
        assert_eq!(counts(&read_until(&mut hub, 6, 10)), HashMap::from([(6, 10)]));
        hub.remove(6);
        hub.remove(6);
        assert!(is_untouched(real_time()) && is_blocked(Signal::USR2));
    });
}

#[test]
fn queues_of_one_thread_share_a_signal() {
    alone(|| {
        let [mut one, mut two] = [(); 2].map(|()| SignalHub::new().unwrap());
        one.add(1, &real_time()).unwrap();
        two.add(2, &real_time()).unwrap();
        send(real_time(), 100);
        assert_eq!(counts(&read_until(&mut one, 1, 100)), HashMap::from([(1, 100)]));
        assert_eq!(counts(&read_until(&mut two, 2, 100)), HashMap::from([(2, 100)]));
        assert!(read(&mut one).is_empty() && read(&mut two).is_empty(), "once");
    });
}

#[test]
fn the_mask_comes_back_in_any_order() {
    alone(|| {
        for first_goes_first in [true, false] {
            let [mut one, mut two] = [(); 2].map(|()| SignalHub::new().unwrap());
            one.add(1, &Signal::USR1).unwrap();
            two.add(2, &Signal::USR1).unwrap();
            one.add(3, &Signal::USR2).unwrap();
            let (gone, mut left) = if first_goes_first { (one, two) } else { (two, one) };
            drop(gone);
            assert!(is_blocked(Signal::USR1));
            send(Signal::USR1, 1);
            let slot = if first_goes_first { 2 } else { 1 };
            assert_eq!(counts(&read_until(&mut left, slot, 1)), HashMap::from([(slot, 1)]));
            drop(left);
            assert!(is_untouched(Signal::USR1) && is_untouched(Signal::USR2));
        }
    });
}

/// Threads with a queue each, and one without that gets the signals.
fn signals_reach_queues_of(threads: u32) {
    const SENT: u32 = 200;
    let (ready, done) = (Barrier::new(threads as usize + 1), Barrier::new(threads as usize + 1));
    let counted = thread::scope(|scope| {
        let watch = || {
            let mut hub = SignalHub::new().unwrap();
            hub.add(1, &real_time()).unwrap();
            ready.wait();
            let mut events = read_until(&mut hub, 1, SENT);
            done.wait();
            events.extend(read(&mut hub));
            counts(&events)[&1]
        };
        let watching: Vec<_> = (0..threads).map(|_| scope.spawn(watch)).collect();
        ready.wait();
        send(real_time(), SENT);
        done.wait();
        let counted = watching.into_iter().map(|thread| thread.join().unwrap());
        counted.collect::<Vec<_>>()
    });
    assert_eq!(counted, vec![SENT; threads as usize]);
    assert_eq!(disposition(real_time().number()).unwrap(), Disposition::Default);
}

#[test]
fn queues_of_two_threads_share_a_signal() {
    alone(|| signals_reach_queues_of(2));
}

#[test]
fn queues_of_more_threads_than_a_signal_has_targets_share_it() {
    alone(|| signals_reach_queues_of(12));
}

#[test]
fn a_thread_that_watches_no_longer_is_left_alone() {
    alone(|| {
        let mut hub = SignalHub::new().unwrap();
        hub.add(1, &real_time()).unwrap();
        let (removed, done) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                unblock(&SignalSet::full()).unwrap();
                let mut hub = SignalHub::new().unwrap();
                hub.add(2, &real_time()).unwrap();
                hub.remove(2);
                assert!(!is_blocked(real_time()));
                removed.wait();
                done.wait();
                assert!(!is_blocked(real_time()), "sent on to a thread that does not read it");
            });
            removed.wait();
            send(real_time(), 50);
            let mut events = read_until(&mut hub, 1, 50);
            done.wait();
            other.join().unwrap();
            events.extend(read(&mut hub));
            assert_eq!(counts(&events), HashMap::from([(1, 50)]));
        });
    });
}

#[test]
fn a_signal_blocked_before_reaches_all_queues_and_stays_blocked() {
    alone(|| {
        let mut set = SignalSet::empty();
        set.add(real_time().number()).unwrap();
        block(&set).unwrap();
        let mut hub = SignalHub::new().unwrap();
        hub.add(1, &real_time()).unwrap();
        let (send_hub, receive) = mpsc::channel();
        thread::scope(|scope| {
            let other = scope.spawn(move || {
                let mut hub = SignalHub::new().unwrap();
                hub.add(2, &real_time()).unwrap();
                send_hub.send(()).unwrap();
                counts(&read_until(&mut hub, 2, 20))
            });
            receive.recv().unwrap();
            send(real_time(), 20);
            assert_eq!(counts(&read_until(&mut hub, 1, 20)), HashMap::from([(1, 20)]));
            assert_eq!(other.join().unwrap(), HashMap::from([(2, 20)]));
        });
        drop(hub);
        assert!(is_blocked(real_time()), "as the program had it");
    });
}

#[test]
fn an_ignored_signal_is_told_and_ignored_again() {
    alone(|| {
        let pipe = Signal::from_name("pipe").unwrap();
        let ignored = |signal: Signal| disposition(signal.number()).unwrap() == Disposition::Ignore;
        assert!(ignored(pipe), "Rust's own doing");
        let mut hub = SignalHub::new().unwrap();
        hub.add(1, &pipe).unwrap();
        send(pipe, 1);
        read_until(&mut hub, 1, 1);
        drop(hub);
        assert!(ignored(pipe) && !is_blocked(pipe));
    });
}

#[test]
fn a_signal_ignored_by_default_is_told() {
    alone(|| {
        let mut hub = SignalHub::new().unwrap();
        hub.add(1, &Signal::WINCH).unwrap();
        hub.add(2, &Signal::CHLD).unwrap();
        let sender = send(Signal::WINCH, 1);
        let events = read_until(&mut hub, 1, 1);
        assert!(events.iter().any(|(slot, signal)| (*slot, signal.pid) == (1, sender)));
        // And the sender was a child that ended, of which there is more to tell than of kill(2).
        let mut ended: Vec<_> = events.into_iter().filter(|(slot, _)| *slot == 2).collect();
        if ended.is_empty() {
            ended = read_until(&mut hub, 2, 1);
        }
        const CLD_EXITED: i32 = 1;
        assert_eq!((ended[0].1.pid, ended[0].1.code), (sender, CLD_EXITED));
    });
}

#[test]
fn what_was_not_delivered_goes_with_its_registration() {
    alone(|| {
        among_threads(|| {
            for _ in 0..30 {
                let mut hub = SignalHub::new().unwrap();
                hub.add(1, &real_time()).unwrap();
                hub.add(2, &Signal::USR1).unwrap();
                send(real_time(), 50);
                // Some are pending, some are about to be sent on. Delivered to the default action,
                // any one would end the process.
                hub.remove(1);
                assert!(is_untouched(real_time()));
                assert!(read(&mut hub).is_empty());
            }
        });
    });
}

/// Runs `body` in a process of which every thread blocks the signals, so that what was sent is
/// pending when the sender is done.
fn with_blocked(signals: &[Signal], test: &str, body: impl FnOnce()) {
    const INSIDE: &str = "UKEVENT_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        assert!(signals.iter().all(|&signal| is_blocked(signal)), "inherited");
        return body();
    }
    // What Rust starts has a clean mask; env(1) sets one.
    let output = Command::new("env")
        .args(signals.iter().map(|signal| format!("--block-signal={}", signal.number())))
        .arg(std::env::current_exe().unwrap())
        .args([&format!("source::signal::tests::{test}"), "--exact"])
        .env(INSIDE, "")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{test}: not found by its own name");
}

#[test]
fn a_signal_that_every_thread_blocks_reaches_all_queues() {
    let name = "a_signal_that_every_thread_blocks_reaches_all_queues";
    with_blocked(&[real_time()], name, || signals_reach_queues_of(3));
}

#[test]
fn a_budget_is_kept_and_the_rest_is_left() {
    with_blocked(&[real_time()], "a_budget_is_kept_and_the_rest_is_left", || {
        let mut hub = SignalHub::new().unwrap();
        hub.add(1, &real_time()).unwrap();
        send(real_time(), 105);
        let mut taken = Vec::new();
        loop {
            let mut count = 0;
            let mut sink = |_, kind| match kind {
                Kind::Signal(signal) => count += signal.count,
                other => panic!("{other:?}"),
            };
            let drained = hub.drain(10, &mut sink).unwrap();
            taken.push(count);
            if drained == Drained::Dry {
                break;
            }
        }
        assert_eq!(taken, [[10; 10].as_slice(), &[5]].concat());
    });
}

#[test]
fn signals_are_told_once_each_in_the_order_of_their_numbers() {
    let name = "signals_are_told_once_each_in_the_order_of_their_numbers";
    let [low, high] = [1, 4].map(|above| Signal::real_time(above).unwrap());
    with_blocked(&[low, high], name, || {
        let mut hub = SignalHub::new().unwrap();
        hub.add(1, &high).unwrap();
        hub.add(2, &low).unwrap();
        for signal in [high, low, high] {
            send(signal, 3);
        }
        let events: Vec<_> = read(&mut hub).iter().map(|(slot, it)| (*slot, it.count)).collect();
        assert_eq!(events, [(2, 3), (1, 6)]);
    });
}

#[test]
fn each_signal_makes_the_descriptor_ready_anew() {
    alone(|| {
        let mut hub = SignalHub::new().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(hub.fd().as_raw_fd(), PollMask::IN, Trigger::Edge, 0).unwrap();
        hub.add(1, &real_time()).unwrap();
        for _ in 0..5 {
            send(real_time(), 1);
            let ready = epoll.wait(&mut [Report::empty()], None, None).unwrap();
            assert_eq!(ready, 1);
            read_until(&mut hub, 1, 1);
        }
        // From another queue too.
        let mut other = SignalHub::new().unwrap();
        other.add(1, &real_time()).unwrap();
        for _ in 0..5 {
            while epoll.wait(&mut [Report::empty()], Some(0), None).unwrap() > 0 {}
            send(real_time(), 1);
            read_until(&mut other, 1, 1);
            assert_eq!(epoll.wait(&mut [Report::empty()], None, None).unwrap(), 1);
            read_until(&mut hub, 1, 1);
        }
    });
}

#[test]
fn a_signal_that_the_program_blocked_stays_blocked() {
    alone(|| {
        let mut set = SignalSet::empty();
        set.add(Signal::USR1.number()).unwrap();
        block(&set).unwrap();
        let mut hub = SignalHub::new().unwrap();
        hub.add(1, &Signal::USR1).unwrap();
        hub.add(2, &Signal::USR2).unwrap();
        drop(hub);
        assert!(is_blocked(Signal::USR1) && !is_blocked(Signal::USR2));
    });
}

#[test]
fn a_queue_dropped_elsewhere_leaves_the_mask_to_the_next() {
    alone(|| {
        let mut hub = SignalHub::new().unwrap();
        hub.add(1, &Signal::USR1).unwrap();
        thread::spawn(move || drop(hub)).join().unwrap();
        assert_eq!(disposition(Signal::USR1.number()).unwrap(), Disposition::Default);
        assert!(is_blocked(Signal::USR1), "nobody else can change it");
        let mut hub = SignalHub::new().unwrap();
        hub.add(1, &Signal::USR1).unwrap();
        drop(hub);
        assert!(is_untouched(Signal::USR1));
    });
}

#[test]
fn a_thread_that_ends_takes_its_signals_with_it() {
    alone(|| {
        let (mut hub, mask) = thread::spawn(|| {
            let mut hub = SignalHub::new().unwrap();
            hub.add(1, &Signal::USR1).unwrap();
            hub.add(2, &Signal::USR1).unwrap();
            (hub, blocked().unwrap())
        })
        .join()
        .unwrap();
        assert!(mask.contains(Signal::USR1.number()));
        assert!(is_untouched(Signal::USR1));
        assert!(matches!(hub.add(3, &Signal::USR1), Err(RegisterError::WrongThread)));
        hub.remove(1);
        hub.remove(2);
        assert!(hub.is_empty());
        hub.add(3, &Signal::USR1).unwrap();
        send(Signal::USR1, 1);
        read_until(&mut hub, 3, 1);
        drop(hub);
        assert!(is_untouched(Signal::USR1));
    });
}

#[test]
fn a_queue_opens_and_leaves_nothing() {
    alone(|| {
        assert_no_leak(|| {
            let mut hub = SignalHub::new().unwrap();
            assert!(hub.is_empty() && read(&mut hub).is_empty());
            hub.add(1, &Signal::TERM).unwrap();
            hub.remove(2);
            assert!(!hub.is_empty());
        });
    });
}

#[test]
fn what_cannot_be_watched_is_refused_in_a_sentence() {
    for name in ["kill", "stop", "segv", "bus", "fpe", "ill", "0", "32", "65", "nonsense", ""] {
        let error = Signal::from_name(name).unwrap_err();
        let RegisterError::Invalid(why) = error else { panic!("{name}: {error:?}") };
        assert!(why.contains(' '), "{name}: {why}");
    }
    for number in [i32::MIN, -1, 0, 33, 65, i32::MAX] {
        assert!(Signal::new(number).is_err(), "{number}");
    }
    assert!(Signal::real_time(200).is_err());
}

#[test]
fn the_constants_are_what_they_are_called() {
    let known = [
        ("hup", Signal::HUP),
        ("int", Signal::INT),
        ("quit", Signal::QUIT),
        ("usr1", Signal::USR1),
        ("usr2", Signal::USR2),
        ("alrm", Signal::ALRM),
        ("term", Signal::TERM),
        ("chld", Signal::CHLD),
        ("cont", Signal::CONT),
        ("winch", Signal::WINCH),
    ];
    for (name, signal) in known {
        assert_eq!(Signal::from_name(name).unwrap(), signal);
        assert_eq!(signal.to_string(), format!("SIG{}", name.to_uppercase()));
    }
    assert_eq!(real_time().to_string(), "SIGRTMIN+3");
}
