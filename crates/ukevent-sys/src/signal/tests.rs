//! Signals, with real ones. A test that changes what the process does with a signal is alone in it.

use super::*;
use std::{
    collections::HashSet,
    mem::MaybeUninit,
    process::Command,
    sync::{Barrier, mpsc},
    thread,
};
use testkit::{alone, wait_until};

/// A signal that ends the process if it is not caught.
fn deadly() -> i32 {
    rt_min() + 2
}

fn set_of(signals: &[i32]) -> SignalSet {
    let mut set = SignalSet::empty();
    signals.iter().for_each(|&signal| set.add(signal).unwrap());
    set
}

fn raise(signal: i32) {
    // SAFETY: sends a signal to the calling thread.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

fn queue_value(signal: i32, value: usize) {
    let value = libc::sigval { sival_ptr: value as *mut libc::c_void };
    // SAFETY: sends a signal to this process; the value is a number to the receiver.
    assert_eq!(unsafe { libc::sigqueue(libc::getpid(), signal, value) }, 0);
}

/// All that is pending, taken.
fn read_all(fd: &SignalFd) -> Vec<SignalRecord> {
    let mut records = [SignalRecord::default(); 200];
    let taken = fd.read(&mut records).unwrap();
    records[..taken].to_vec()
}

fn action_now(signal: i32) -> (usize, i32, SignalSet) {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only, and `action` may be written.
    let action = unsafe {
        assert_eq!(libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()), 0);
        action.assume_init()
    };
    (action.sa_sigaction, action.sa_flags, SignalSet::from_raw(action.sa_mask))
}

fn set_action(signal: i32, handler: usize, flags: i32, mask: SignalSet) {
    // SAFETY: all zeroes is a valid action, and the callers pass handlers that only return.
    unsafe {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        (action.sa_sigaction, action.sa_flags, action.sa_mask) = (handler, flags, *mask.as_raw());
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

extern "C" fn nothing(_signal: libc::c_int) {}

#[test]
fn names_and_numbers_are_each_others_inverse() {
    let mut named = 0;
    for signal in 1..=LAST {
        if let Some(name) = name(signal) {
            assert_eq!(number(&name), Some(signal), "{name}");
            assert_eq!(number(&name.to_lowercase()["sig".len()..]), Some(signal), "{name}");
            named += 1;
        }
    }
    assert_eq!(named, 31 + rt_max() - rt_min() + 1);
}

#[test]
fn several_names_of_one_signal_are_known() {
    assert_eq!(number("sigiot"), number("abrt"));
    assert_eq!(number("CLD"), Some(libc::SIGCHLD));
    assert_eq!(number("poll"), number("io"));
    assert_eq!(number("rtmax"), Some(rt_max()));
    assert_eq!(number("rtmax-2"), Some(rt_max() - 2));
    assert_eq!(number("rtmin+0"), Some(rt_min()));
}

#[test]
fn what_is_no_signal_has_no_number() {
    let wrong = [
        "",
        "SIG",
        "sigsig",
        "hu",
        "0",
        "65",
        "-1",
        "+1",
        "99999999999999999999",
        "rtmin+",
        "rtmin-1",
        "rtmin+99",
        "rtmax+1",
        "rtmax-99",
        "rtmin++1",
        "rtmin+001",
        "rt",
        "ħup",
        "sı",
        " hup",
        "hup ",
    ];
    for wrong in wrong {
        assert_eq!(number(wrong), None, "{wrong:?}");
    }
    for wrong in [0, -1, 32, 33, 65, i32::MIN, i32::MAX] {
        assert_eq!(name(wrong), None, "{wrong}");
    }
}

#[test]
fn a_set_has_what_was_added() {
    let mut set = set_of(&[libc::SIGHUP, rt_max()]);
    assert_eq!(set.iter().collect::<Vec<_>>(), [libc::SIGHUP, rt_max()]);
    assert_eq!(SignalSet::from_bits(set.to_bits()), set);
    assert!(format!("{set:?}").starts_with("{SIGHUP, SIGRTMIN+"), "{set:?}");
    set.remove(rt_max()).unwrap();
    set.remove(rt_max()).unwrap();
    assert_eq!(set, set_of(&[libc::SIGHUP]));
    assert!(!set.is_empty() && SignalSet::default().is_empty());
    assert_eq!(SignalSet::full().iter().count(), 31 + (rt_max() - rt_min() + 1) as usize);
}

#[test]
fn a_set_refuses_what_is_no_signal() {
    let mut set = SignalSet::empty();
    for wrong in [0, -1, 65, i32::MAX] {
        assert_eq!(set.add(wrong).unwrap_err().errno(), libc::EINVAL);
        assert_eq!(set.remove(wrong).unwrap_err().errno(), libc::EINVAL);
        assert!(!set.contains(wrong));
    }
    assert!(set.is_empty());
}

#[test]
fn a_mask_belongs_to_one_thread() {
    alone(|| {
        let set = set_of(&[deadly()]);
        let former = block(&set).unwrap();
        assert!(!former.contains(deadly()) && blocked().unwrap().contains(deadly()));
        thread::spawn(move || {
            assert!(unblock(&set).unwrap().contains(deadly()), "inherited");
            assert!(!blocked().unwrap().contains(deadly()));
        })
        .join()
        .unwrap();
        assert!(set_blocked(&former).unwrap().contains(deadly()), "as it was here");
        assert_eq!(blocked().unwrap(), former);
    });
}

#[test]
fn a_signal_comes_with_its_sender() {
    alone(|| {
        let set = set_of(&[libc::SIGUSR1]);
        // In every thread, of which the runner has one.
        let takeover = Takeover::new(libc::SIGUSR1, this_thread()).unwrap();
        block(&set).unwrap();
        let fd = SignalFd::new(&set).unwrap();
        assert_eq!(read_all(&fd), []);
        let mut child =
            Command::new("sh").args(["-c", "exec env kill -USR1 $PPID"]).spawn().unwrap();
        assert!(child.wait().unwrap().success());
        let mut records = Vec::new();
        wait_until("it came", || {
            records.extend(read_all(&fd));
            !records.is_empty()
        });
        let [record] = records[..] else { panic!("{records:?}") };
        assert_eq!(record.signal, libc::SIGUSR1);
        assert_eq!(record.pid, child.id() as i32);
        // SAFETY: has no requirement.
        assert_eq!(record.uid, unsafe { libc::getuid() });
        assert_eq!((record.code, record.value), (libc::SI_USER, 0));
        drop(takeover);
    });
}

#[test]
fn a_value_comes_with_its_signal() {
    alone(|| {
        let set = set_of(&[deadly()]);
        let _takeover = Takeover::new(deadly(), this_thread()).unwrap();
        block(&set).unwrap();
        let fd = SignalFd::new(&set).unwrap();
        queue_value(deadly(), 0x1234_5678_9abc);
        let mut records = Vec::new();
        wait_until("it came", || {
            records.extend(read_all(&fd));
            !records.is_empty()
        });
        assert_eq!(records[0].value, 0x1234_5678_9abc_usize as u64);
        assert_eq!((records[0].code, records[0].pid), (libc::SI_QUEUE, std::process::id() as i32));
    });
}

#[test]
fn an_ignored_signal_is_pending_while_it_is_blocked() {
    alone(|| {
        set_action(libc::SIGUSR2, libc::SIG_IGN, 0, SignalSet::empty());
        let set = set_of(&[libc::SIGUSR2]);
        block(&set).unwrap();
        raise(libc::SIGUSR2);
        let records = read_all(&SignalFd::new(&set).unwrap());
        assert_eq!(records.len(), 1);
        assert!(!records[0].forwarded);
    });
}

#[test]
fn a_read_takes_as_many_as_fit() {
    alone(|| {
        let set = set_of(&[deadly()]);
        block(&set).unwrap();
        let fd = SignalFd::new(&set).unwrap();
        (0..100).for_each(|_| raise(deadly()));
        let mut records = [SignalRecord::default(); 40];
        let taken: Vec<usize> = (0..4).map(|_| fd.read(&mut records).unwrap()).collect();
        assert_eq!(taken, [40, 40, 20, 0]);
        assert_eq!(fd.read(&mut []).unwrap(), 0);
    });
}

#[test]
fn what_a_read_takes_is_in_the_order_sent() {
    alone(|| {
        let set = set_of(&[deadly()]);
        block(&set).unwrap();
        let fd = SignalFd::new(&set).unwrap();
        for value in 0..100 {
            let value = libc::sigval { sival_ptr: value as *mut libc::c_void };
            // SAFETY: sends a signal to the calling thread; the value is a number to the receiver.
            assert_eq!(unsafe { libc::pthread_sigqueue(libc::pthread_self(), deadly(), value) }, 0);
        }
        let values: Vec<u64> = read_all(&fd).iter().map(|record| record.value).collect();
        assert_eq!(values, (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn a_descriptor_reads_its_set_only() {
    alone(|| {
        let both = set_of(&[deadly(), deadly() + 1]);
        block(&both).unwrap();
        let fd = SignalFd::new(&set_of(&[deadly()])).unwrap();
        raise(deadly() + 1);
        assert_eq!(read_all(&fd), []);
        fd.set(&both).unwrap();
        assert_eq!(read_all(&fd).len(), 1);
    });
}

#[test]
fn what_comes_to_another_thread_is_sent_on() {
    alone(|| {
        let set = set_of(&[deadly()]);
        block(&set).unwrap();
        let fd = SignalFd::new(&set).unwrap();
        let takeover = Takeover::new(deadly(), this_thread()).unwrap();
        thread::spawn(move || {
            unblock(&set).unwrap();
            (0..10).for_each(|_| raise(deadly()));
            assert!(!blocked().unwrap().contains(deadly()), "not a target: left as it is");
        })
        .join()
        .unwrap();
        let records = read_all(&fd);
        assert_eq!(records.len(), 10);
        for record in records {
            assert_eq!((record.signal, record.code), (deadly(), libc::SI_TKILL));
            assert_eq!(record.pid, std::process::id() as i32);
            assert!(record.forwarded);
        }
        assert_eq!(takeover.take_undelivered(), 0);
    });
}

#[test]
fn every_target_gets_a_copy() {
    alone(|| {
        let set = set_of(&[deadly()]);
        block(&set).unwrap();
        let fd = SignalFd::new(&set).unwrap();
        let takeover = Takeover::new(deadly(), this_thread()).unwrap();
        let (ready, done) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let (send, receive) = mpsc::channel();
            let (ready, done) = (&ready, &done);
            let other = scope.spawn(move || {
                let fd = SignalFd::new(&set).unwrap();
                send.send(this_thread()).unwrap();
                ready.wait();
                done.wait();
                read_all(&fd).len()
            });
            let target = receive.recv().unwrap();
            assert!(takeover.add_target(target) && takeover.add_target(target));
            assert_eq!(takeover.targets().collect::<Vec<_>>(), [this_thread(), target]);
            ready.wait();
            scope.spawn(move || {
                unblock(&set).unwrap();
                raise(deadly());
            });
            wait_until("it came", || !read_all(&fd).is_empty());
            done.wait();
            assert_eq!(other.join().unwrap(), 1);
            takeover.remove_target(target);
            assert_eq!(takeover.targets().collect::<Vec<_>>(), [this_thread()]);
        });
    });
}

#[test]
fn a_signal_has_a_bounded_number_of_targets() {
    alone(|| {
        let takeover = Takeover::new(deadly(), 1_000_000).unwrap();
        for target in 1..Takeover::TARGETS as i32 {
            assert!(takeover.add_target(1_000_000 + target));
        }
        assert!(!takeover.add_target(2_000_000), "full");
        takeover.remove_target(1_000_003);
        assert!(takeover.add_target(2_000_000), "in its place");
        assert_eq!(takeover.targets().nth(3), Some(2_000_000));
    });
}

#[test]
fn a_signal_is_taken_over_once_at_a_time() {
    alone(|| {
        let takeover = Takeover::new(deadly(), this_thread()).unwrap();
        let error = Takeover::new(deadly(), this_thread()).unwrap_err();
        assert_eq!(error.errno(), libc::EBUSY);
        drop(takeover);
        drop(Takeover::new(deadly(), this_thread()).unwrap());
        for wrong in [0, -1, 65, libc::SIGKILL, libc::SIGSTOP] {
            let error = Takeover::new(wrong, this_thread()).unwrap_err();
            assert_eq!(error.errno(), libc::EINVAL, "{wrong}");
        }
    });
}

/// What one takes over while another lets go of it is what the program had, not the other's handler.
#[test]
fn the_former_action_survives_takeovers_that_race() {
    alone(|| {
        let take_turns = || {
            for _ in 0..20 {
                // `EBUSY` while the other has it.
                drop(Takeover::new(deadly(), this_thread()));
            }
        };
        for round in 0..3000 {
            thread::scope(|scope| {
                let others = [scope.spawn(take_turns), scope.spawn(take_turns)];
                others.into_iter().for_each(|other| other.join().unwrap());
            });
            assert_eq!(disposition(deadly()).unwrap(), Disposition::Default, "round {round}");
        }
    });
}

#[test]
fn the_former_action_comes_back_whole() {
    alone(|| {
        let mask = set_of(&[libc::SIGUSR2, rt_max()]);
        let handler = nothing as *const () as usize;
        set_action(libc::SIGUSR1, handler, libc::SA_NODEFER | libc::SA_RESTART, mask);
        let before = action_now(libc::SIGUSR1);
        let takeover = Takeover::new(libc::SIGUSR1, this_thread()).unwrap();
        assert_ne!(action_now(libc::SIGUSR1), before);
        drop(takeover);
        assert_eq!(action_now(libc::SIGUSR1), before);
        assert_eq!(disposition(libc::SIGUSR1).unwrap(), Disposition::Handler(handler));
        assert_eq!(disposition(libc::SIGPIPE).unwrap(), Disposition::Ignore, "Rust's own doing");
    });
}

#[test]
fn an_action_that_the_program_set_meanwhile_stays() {
    alone(|| {
        let takeover = Takeover::new(deadly(), this_thread()).unwrap();
        set_action(deadly(), libc::SIG_IGN, 0, SignalSet::empty());
        drop(takeover);
        assert_eq!(disposition(deadly()).unwrap(), Disposition::Ignore);
    });
}

#[test]
fn ignoring_children_goes_on_leaving_no_zombies() {
    alone(|| {
        set_action(libc::SIGCHLD, libc::SIG_IGN, 0, SignalSet::empty());
        let takeover = Takeover::new(libc::SIGCHLD, this_thread()).unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        let entry = format!("/proc/{}", child.id());
        wait_until("it left", || !std::path::Path::new(&entry).exists());
        assert!(child.wait().is_err(), "nothing to wait for");
        drop(takeover);
        assert_eq!(disposition(libc::SIGCHLD).unwrap(), Disposition::Ignore);
    });
}

#[test]
fn a_target_that_unblocked_it_has_it_blocked_again() {
    alone(|| {
        let set = set_of(&[deadly()]);
        let fd = SignalFd::new(&set).unwrap();
        let _takeover = Takeover::new(deadly(), this_thread()).unwrap();
        unblock(&set).unwrap();
        raise(deadly());
        assert!(blocked().unwrap().contains(deadly()));
        let records = read_all(&fd);
        assert_eq!(records.len(), 1);
        assert!(records[0].forwarded);
    });
}

#[test]
fn a_forked_child_has_the_former_action() {
    alone(|| {
        let set = set_of(&[deadly()]);
        block(&set).unwrap();
        let fd = SignalFd::new(&set).unwrap();
        let takeover = Takeover::new(deadly(), this_thread()).unwrap();
        let mut status = 0;
        // SAFETY: the child makes async-signal-safe calls only and does not return.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_raw(), std::ptr::null_mut());
                libc::raise(deadly());
                libc::_exit(0);
            }
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        }
        assert!(libc::WIFSIGNALED(status), "{status:#x}");
        assert_eq!(libc::WTERMSIG(status), deadly());
        assert_eq!(read_all(&fd), [], "it was the child's");
        assert_ne!(disposition(deadly()).unwrap(), Disposition::Default, "still taken over here");
        assert_eq!(takeover.targets().count(), 1);
    });
}

#[test]
fn what_reaches_nobody_is_counted_and_errno_stays() {
    alone(|| {
        let gone = thread::spawn(this_thread).join().unwrap();
        let takeover = Takeover::new(deadly(), gone).unwrap();
        wait_until("the thread is gone", || {
            !std::path::Path::new(&format!("/proc/self/task/{gone}")).exists()
        });
        for _ in 0..3 {
            // SAFETY: the C library's pointer to this thread's errno.
            let errno = unsafe { libc::__errno_location() };
            // SAFETY: as above; raise(3) does not touch it when it succeeds.
            unsafe { *errno = 77 };
            raise(deadly());
            // SAFETY: as above.
            assert_eq!(unsafe { *errno }, 77);
        }
        assert_eq!(takeover.take_undelivered(), 3);
        assert_eq!(takeover.take_undelivered(), 0);
    });
}

#[test]
fn codes_survive_being_shifted() {
    use action::{original_code, shifted_code};
    let kernel = [0, 1, 6, 0x80, -1, -2, -3, -4, -5, -6, -7, -60];
    let mut seen = HashSet::new();
    for code in kernel {
        let shifted = shifted_code(code);
        assert!(shifted < 0 && shifted != libc::SI_TKILL, "the kernel would refuse {code}");
        assert!(seen.insert(shifted));
        assert_eq!(original_code(shifted), (code, true));
        assert_eq!(original_code(code), (code, false));
    }
    for made_up in [i32::MIN, i32::MIN + 1, -0x4000_0000, i32::MAX] {
        assert_eq!(original_code(shifted_code(made_up)), (libc::SI_QUEUE, true));
    }
}
