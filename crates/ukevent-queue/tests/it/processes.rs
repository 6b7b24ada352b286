//! Processes as events, through the queue: that one ended and how, that it forked or executed.

use crate::bench::{A, B, Bench, batch, next, once_asleep, patient, silent, tokens, wait};
use crate::subject::Queue;
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};
use std::{
    io::Write,
    process::{Command, Stdio},
};
use testkit::Child;
use ukevent_queue::{
    Event, Kind, Mode, Process, ProcessChange, ProcessChanges, ProcessEvent, RegisterError, Token,
    Wait,
};

cases! {
    kernels: [
        a_child_tells_its_exit_status,
        a_child_that_was_killed_tells_by_what,
        a_child_that_ended_before_is_told_at_once,
        a_child_is_left_to_be_collected,
        a_child_is_collected_if_asked_for,
        a_process_of_somebody_else_tells_that_it_ended,
        a_process_by_its_descriptor_is_told,
        a_process_that_is_gone_is_an_error_and_leaves_nothing,
        a_process_ends_once,
        several_registrations_of_one_process_are_each_told,
        a_hundred_children_are_each_told_once,
        an_end_while_disabled_is_kept,
        a_removed_process_tells_nothing,
        a_process_that_ends_ends_the_sleep,
        forks_and_executions_are_told,
        a_process_watched_for_nothing_is_refused,
    ],
}

fn shell(script: &str) -> Child {
    let mut command = Command::new("sh");
    Child::spawn(command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()))
}

/// A child that ends with `status` once it is told to.
fn waiting_child(status: u8) -> Child {
    shell(&format!("read _; exit {status}"))
}

fn release(child: &mut Child) {
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
}

#[track_caller]
fn process(event: &Event) -> ProcessChange {
    match event.kind {
        Kind::Process(change) => change,
        _ => panic!("not of a process: {event:?}"),
    }
}

fn watched(bench: &Bench, child: &Child) -> Queue {
    let mut queue = bench.queue();
    queue.register(Process::child(child), A, Mode::Level).unwrap();
    queue
}

fn a_child_tells_its_exit_status(bench: &Bench) {
    for status in [0, 7, 255] {
        let mut child = waiting_child(status);
        let mut queue = watched(bench, &child);
        silent(&mut queue);
        release(&mut child);
        let event = next(&mut queue);
        assert_eq!(event.token, A);
        let what = ProcessEvent::Exited(i32::from(status));
        assert_eq!(process(&event), ProcessChange { pid: child.pid(), what });
        silent(&mut queue);
    }
}

fn a_child_that_was_killed_tells_by_what(bench: &Bench) {
    for signal in [9, 15] {
        let child = waiting_child(0);
        let mut queue = watched(bench, &child);
        child.signal(signal);
        let what = ProcessEvent::Killed { signal, core_dumped: false };
        assert_eq!(process(&next(&mut queue)).what, what);
    }
}

/// Waits until the child has ended, and leaves it uncollected.
fn until_ended(child: &Child) {
    let stat = format!("/proc/{}/stat", child.pid());
    testkit::wait_until("the child has ended", || {
        std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "))
    });
}

fn a_child_that_ended_before_is_told_at_once(bench: &Bench) {
    let mut child = waiting_child(3);
    release(&mut child);
    until_ended(&child);
    let mut queue = watched(bench, &child);
    assert_eq!(process(&next(&mut queue)).what, ProcessEvent::Exited(3));
}

fn a_child_is_left_to_be_collected(bench: &Bench) {
    let mut child = waiting_child(3);
    let mut queue = watched(bench, &child);
    release(&mut child);
    assert_eq!(process(&next(&mut queue)).what, ProcessEvent::Exited(3));
    assert_eq!(child.wait().unwrap().code(), Some(3));
    silent(&mut queue);
}

fn a_child_is_collected_if_asked_for(bench: &Bench) {
    let mut child = waiting_child(3);
    let mut queue = bench.queue();
    queue.register(Process::child(&child).reaping(), A, Mode::Level).unwrap();
    release(&mut child);
    assert_eq!(process(&next(&mut queue)).what, ProcessEvent::Exited(3));
    let gone = waitpid(Pid::from_raw(child.pid()), WaitOptions::NOHANG);
    assert_eq!(gone.unwrap_err(), rustix::io::Errno::CHILD);
    silent(&mut queue);
}

/// A process that is somebody else's child: its parent and its number.
fn stranger() -> (Child, i32) {
    // A shell gives what runs in the background no input of its own.
    let mut parent = shell("exec 3<&0; sh -c 'read _ <&3' & echo pid $!; wait");
    let line = parent.line_with("pid ");
    let pid = line.trim_start_matches("pid ").parse().unwrap();
    (parent, pid)
}

fn a_process_of_somebody_else_tells_that_it_ended(bench: &Bench) {
    let (_parent, pid) = stranger();
    let mut queue = bench.queue();
    queue.register(Process::pid(pid), A, Mode::Level).unwrap();
    silent(&mut queue);
    kill(pid, 9);
    let change = process(&next(&mut queue));
    assert_eq!(change.pid, pid);
    // How it ended, a stranger may or may not learn.
    let killed = ProcessEvent::Killed { signal: 9, core_dumped: false };
    assert!([killed, ProcessEvent::Gone].contains(&change.what), "{change:?}");
}

fn kill(pid: i32, signal: i32) {
    let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn a_process_by_its_descriptor_is_told(bench: &Bench) {
    let mut child = waiting_child(4);
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
    let mut queue = bench.queue();
    queue.register(Process::pidfd(pidfd), A, Mode::Level).unwrap();
    silent(&mut queue);
    release(&mut child);
    let what = ProcessEvent::Exited(4);
    assert_eq!(process(&next(&mut queue)), ProcessChange { pid: child.pid(), what });
}

fn a_process_that_is_gone_is_an_error_and_leaves_nothing(bench: &Bench) {
    let mut child = waiting_child(0);
    release(&mut child);
    child.wait().unwrap();
    let mut queue = bench.queue();
    for process in [Process::child(&child), Process::pid(child.pid()), Process::pid(-1)] {
        let error = queue.register(process, A, Mode::Level).unwrap_err();
        assert!(matches!(error, RegisterError::Kernel(_)), "{error:?}");
    }
    assert_eq!(queue.counters().registered, 0);
    silent(&mut queue);
}

fn a_process_ends_once(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let mut child = waiting_child(0);
        let mut queue = bench.queue();
        let key = queue.register(Process::child(&child), A, mode).unwrap();
        release(&mut child);
        assert_eq!(next(&mut queue).token, A);
        silent(&mut queue);
        child.wait().unwrap();
        silent(&mut queue);
        if mode == Mode::Dispatch {
            queue.enable(key).unwrap();
            silent(&mut queue);
        }
    }
}

fn several_registrations_of_one_process_are_each_told(bench: &Bench) {
    let mut child = waiting_child(5);
    let mut queue = watched(bench, &child);
    queue.register(Process::pid(child.pid()), B, Mode::OneShot).unwrap();
    release(&mut child);
    let mut events = batch(&mut queue, patient().at_least(2));
    events.sort_by_key(|event| event.token);
    assert_eq!(tokens(&events), [A, B]);
    assert!(events.iter().all(|event| process(event).what == ProcessEvent::Exited(5)));
}

fn a_hundred_children_are_each_told_once(bench: &Bench) {
    let mut queue = bench.queue();
    let mut children: Vec<Child> = (0..100).map(|n| waiting_child(n as u8)).collect();
    for (child, token) in children.iter().zip(0_u64..) {
        queue.register(Process::child(child), token.into(), Mode::OneShot).unwrap();
    }
    for child in &mut children {
        release(child);
    }
    let mut missing: Vec<u64> = (0..100).collect();
    while !missing.is_empty() {
        let events = batch(&mut queue, patient());
        assert!(!events.is_empty(), "not told of: {missing:?}");
        for event in events {
            let Token(n) = event.token;
            assert_eq!(process(&event).what, ProcessEvent::Exited(n as i32));
            let at = missing.iter().position(|&other| other == n);
            missing.swap_remove(at.unwrap_or_else(|| panic!("twice: {event:?}")));
        }
    }
    assert_eq!(queue.counters().registered, 0);
}

fn an_end_while_disabled_is_kept(bench: &Bench) {
    let mut child = waiting_child(6);
    let mut queue = bench.queue();
    let key = queue.register(Process::child(&child), A, Mode::Level).unwrap();
    queue.disable(key).unwrap();
    release(&mut child);
    until_ended(&child);
    silent(&mut queue);
    queue.enable(key).unwrap();
    assert_eq!(process(&next(&mut queue)).what, ProcessEvent::Exited(6));
}

fn a_removed_process_tells_nothing(bench: &Bench) {
    let mut child = waiting_child(0);
    let mut queue = bench.queue();
    let key = queue.register(Process::child(&child), A, Mode::Level).unwrap();
    silent(&mut queue);
    release(&mut child);
    until_ended(&child);
    queue.remove(key).unwrap();
    silent(&mut queue);
}

fn a_process_that_ends_ends_the_sleep(bench: &Bench) {
    let mut children = [waiting_child(1), waiting_child(2)];
    let mut queue = bench.queue();
    for child in &children {
        queue.register(Process::child(child), A, Mode::Level).unwrap();
    }
    let waited = once_asleep(
        || wait(&mut queue, Wait::forever().at_least(2)),
        || children.iter_mut().for_each(release),
    );
    assert_eq!(waited, Ok(2));
}

fn forks_and_executions_are_told(bench: &Bench) {
    let mut queue = bench.queue();
    let mut child = shell("echo begun; read _; (exit 0); exec true");
    // Its own beginning was an execution too.
    child.line_with("begun");
    let all = ProcessChanges::EXIT | ProcessChanges::FORK | ProcessChanges::EXEC;
    match queue.register(Process::child(&child).on(all), A, Mode::Level) {
        Ok(_) => {}
        Err(error @ (RegisterError::Denied { .. } | RegisterError::Unsupported { .. })) => {
            testkit::skip!("{error}")
        }
        Err(error) => panic!("{error}"),
    }
    silent(&mut queue);
    release(&mut child);
    let (mut forks, mut executions, mut ends) = (0, 0, 0);
    while executions == 0 || ends == 0 || forks == 0 {
        let change = process(&next(&mut queue));
        assert_eq!(change.pid, child.pid());
        match change.what {
            ProcessEvent::Forked { child: grandchild } => {
                assert!(grandchild > 0 && grandchild != child.pid());
                forks += 1;
            }
            ProcessEvent::Executed => executions += 1,
            ProcessEvent::Exited(0) => ends += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((forks, executions, ends), (1, 1, 1));
    silent(&mut queue);
}

fn a_process_watched_for_nothing_is_refused(bench: &Bench) {
    let child = waiting_child(0);
    let mut queue = bench.queue();
    let nothing = Process::child(&child).on(ProcessChanges::empty());
    let error = queue.register(nothing, A, Mode::Level).unwrap_err();
    assert!(matches!(error, RegisterError::Invalid(_)), "{error:?}");
    assert_eq!(queue.counters().registered, 0);
}
