//! Processes, real ones: children, children of children, and what they fork and execute.

use super::*;
use crate::{event::Kind, source::Drained};
use std::{
    env,
    os::fd::AsRawFd,
    process::{Command, Stdio},
};
use testkit::{Netns, alone, assert_no_leak, skip, wait_until};
use ukevent_sys::{
    epoll::{Epoll, Report, Trigger},
    poll::PollMask,
    process::ProcMessage,
};

fn shell(script: &str) -> testkit::Child {
    testkit::Child::spawn(
        Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()),
    )
}

fn end(pid: i32, what: ProcessEvent) -> Kind {
    Kind::Process(ProcessChange { pid, what })
}

/// Edge-triggered, as the queue watches it.
fn watched(watch: &ProcessWatch) -> Epoll {
    let epoll = Epoll::new().unwrap();
    let fd = watch.fd().unwrap().as_raw_fd();
    epoll.add(fd, PollMask::IN, Trigger::Edge, 0).unwrap();
    epoll
}

fn wait(epoll: &mut Epoll) {
    assert_eq!(epoll.wait(&mut [Report::empty()], None, None).unwrap(), 1);
}

fn is_ready(epoll: &mut Epoll) -> bool {
    epoll.wait(&mut [Report::empty()], Some(0), None).unwrap() == 1
}

#[test]
fn the_end_of_a_child_is_told_once_and_left_for_its_parent() {
    let mut child = shell("read x; exit 7");
    let mut watch = ProcessWatch::new(&Process::child(&child)).unwrap();
    let mut epoll = watched(&watch);
    assert_eq!(watch.exited().unwrap(), None, "it runs");
    assert!(!is_ready(&mut epoll));
    drop(child.stdin.take());
    wait(&mut epoll);
    assert_eq!(watch.exited().unwrap(), Some(end(child.pid(), ProcessEvent::Exited(7))));
    assert_eq!(watch.exited().unwrap(), None, "once");
    assert!(!is_ready(&mut epoll), "no news");
    assert_eq!(child.wait().unwrap().code(), Some(7));
    // The kernel reports that it was collected; that is no event.
    assert_eq!(watch.exited().unwrap(), None);
}

#[test]
fn a_zombie_is_told_at_once() {
    let child = shell("exit 1");
    let process = Process::pid(child.pid());
    let first = ProcessWatch::new(&process).unwrap();
    wait(&mut watched(&first));
    let mut later = ProcessWatch::new(&process).unwrap();
    wait(&mut watched(&later));
    assert_eq!(later.exited().unwrap(), Some(end(child.pid(), ProcessEvent::Exited(1))));
}

#[test]
fn the_signal_that_ended_it_is_told() {
    let child = shell("read x");
    let mut watch = ProcessWatch::new(&Process::child(&child)).unwrap();
    child.signal(15);
    wait(&mut watched(&watch));
    let killed = ProcessEvent::Killed { signal: 15, core_dumped: false };
    assert_eq!(watch.exited().unwrap(), Some(end(child.pid(), killed)));
}

#[test]
fn a_child_is_collected_if_asked_for() {
    let mut child = shell("exit 3");
    let mut watch = ProcessWatch::new(&Process::child(&child).reaping()).unwrap();
    wait(&mut watched(&watch));
    assert_eq!(watch.exited().unwrap(), Some(end(child.pid(), ProcessEvent::Exited(3))));
    assert!(!std::path::Path::new(&format!("/proc/{}", child.pid())).exists());
    assert!(child.wait().is_err());
}

#[test]
fn the_end_of_a_stranger_is_told() {
    let script = "exec 3<&0; sh -c 'read x; exit 9' <&3 & echo $!; exec sleep 600";
    let mut parent = shell(script);
    let pid = parent.line_with("").parse().unwrap();
    let comm = format!("/proc/{}/comm", parent.pid());
    // A shell would collect it; sleep(1) does not.
    wait_until("it sleeps", || std::fs::read_to_string(&comm).unwrap() == "sleep\n");
    let mut watch = ProcessWatch::new(&Process::pid(pid)).unwrap();
    assert_eq!(watch.exited().unwrap(), None, "it runs");
    drop(parent.stdin.take());
    wait(&mut watched(&watch));
    assert_eq!(watch.exited().unwrap(), Some(end(pid, ProcessEvent::Exited(9))));
}

/// Runs again as somebody who may not know how it ended.
#[test]
fn a_stranger_that_hides_its_end_is_gone() {
    const NAME: &str = "source::process::tests::a_stranger_that_hides_its_end_is_gone";
    const PID: &str = "UKEVENT_TEST_PID";
    if let Ok(pid) = env::var(PID) {
        let pid = pid.parse().unwrap();
        let mut watch = ProcessWatch::new(&Process::pid(pid)).unwrap();
        wait(&mut watched(&watch));
        assert_eq!(watch.exited().unwrap(), Some(end(pid, ProcessEvent::Gone)));
        return;
    }
    let tree = testkit::TempTree::new();
    let copy = tree.path().join("test");
    let anybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(tree.path(), anybody).unwrap();
    std::fs::copy(env::current_exe().unwrap(), &copy).unwrap();
    let child = shell("exit 9");
    wait(&mut watched(&ProcessWatch::new(&Process::child(&child)).unwrap()));
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args([NAME, "--exact"])
        .env(PID, child.pid().to_string())
        .output();
    match output {
        Ok(output) => match output.status.code() {
            Some(0) => {}
            Some(1 | 127) => skip!("setpriv: {}", String::from_utf8_lossy(&output.stderr)),
            _ => panic!("{}", String::from_utf8_lossy(&output.stdout)),
        },
        Err(error) => skip!("setpriv(1): {error}"),
    }
}

/// Runs again with SIGCHLD ignored, where the kernel collects children itself.
#[test]
fn the_end_of_a_child_that_nobody_collects_is_told() {
    const NAME: &str = "source::process::tests::the_end_of_a_child_that_nobody_collects_is_told";
    const INSIDE: &str = "UKEVENT_TEST_INSIDE";
    if env::var_os(INSIDE).is_some() {
        for _ in 0..20 {
            let mut child = shell("read x; exit 6");
            let mut watch = ProcessWatch::new(&Process::child(&child)).unwrap();
            let mut epoll = watched(&watch);
            drop(child.stdin.take());
            wait(&mut epoll);
            let told = watch.exited().unwrap();
            let known = told == Some(end(child.pid(), ProcessEvent::Exited(6)));
            let before_6_15 = told == Some(end(child.pid(), ProcessEvent::Gone));
            assert!(known || before_6_15, "{told:?}");
            assert!(known || !tells_of_the_collected(), "{told:?}");
        }
        return;
    }
    let output = Command::new("sh")
        .args(["-c", "trap '' CHLD; exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args([NAME, "--exact"])
        .env(INSIDE, "")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Linux 6.15.
fn tells_of_the_collected() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15_u32))
}

#[test]
fn a_process_that_is_not_there_is_refused() {
    let mut child = shell("exit 0");
    child.wait().unwrap();
    // The last as if the number of a child that was waited for had been given to another.
    let stranger = Process::new(Which::Child(1));
    for process in [Process::pid(child.pid()), Process::child(&child), stranger] {
        let error = ProcessWatch::new(&process).unwrap_err();
        let RegisterError::Kernel(error) = error else { panic!("{error:?}") };
        assert_eq!((error.call(), error.errno()), ("pidfd_open", NO_SUCH_PROCESS));
    }
    for wrong in [0, -1, i32::MIN] {
        let error = ProcessWatch::new(&Process::pid(wrong)).unwrap_err();
        assert!(matches!(error, RegisterError::Kernel(_)), "{error:?}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let child = shell("read x");
    let contradictions = [
        Process::child(&child).on(ProcessChanges::empty()),
        Process::child(&child).on(ProcessChanges::FORK).reaping(),
        Process::pid(1).reaping(),
        Process::pidfd(std::fs::File::open("/dev/null").unwrap().into()),
    ];
    for process in contradictions {
        let error = ProcessWatch::new(&process).unwrap_err();
        assert!(matches!(error, RegisterError::Invalid(_)), "{process:?}: {error:?}");
    }
}

#[test]
fn a_pidfd_from_elsewhere_will_do() {
    let mut child = shell("read x; exit 4");
    let fd = PidFd::open(child.pid()).unwrap().as_fd().try_clone_to_owned().unwrap();
    let mut watch = ProcessWatch::new(&Process::pidfd(fd).reaping()).unwrap();
    assert_eq!(watch.pid(), child.pid());
    drop(child.stdin.take());
    wait(&mut watched(&watch));
    assert_eq!(watch.exited().unwrap(), Some(end(child.pid(), ProcessEvent::Exited(4))));
}

#[test]
fn a_watch_opens_one_descriptor_and_closes_it() {
    alone(|| {
        let child = shell("read x");
        assert_no_leak(|| {
            let before = testkit::fd_count();
            let watch = ProcessWatch::new(&Process::child(&child)).unwrap();
            assert_eq!(testkit::fd_count(), before + 1);
            let life = Process::child(&child).on(ProcessWatch::BY_CONNECTOR);
            let none = ProcessWatch::new(&life).unwrap();
            assert_eq!(testkit::fd_count(), before + 1, "its end was not asked for");
            assert!(none.fd().is_none() && watch.fd().is_some());
            assert_eq!((none.changes(), none.pid()), (ProcessWatch::BY_CONNECTOR, child.pid()));
        });
    });
}

/// A hub, if this process may have one.
fn hub() -> Option<ConnectorHub> {
    match ConnectorHub::new() {
        Ok(hub) => Some(hub),
        Err(error) => {
            testkit::skip(error);
            None
        }
    }
}

/// What the hub tells until `enough` events came.
fn told(hub: &mut ConnectorHub, enough: usize) -> Vec<(u32, Kind)> {
    let mut events = Vec::new();
    wait_until("the kernel told", || {
        while hub.drain(16, &mut |slot, kind| events.push((slot, kind))).unwrap() != Drained::Dry {}
        events.len() >= enough
    });
    events
}

#[test]
fn forks_and_executions_are_told_to_those_who_asked() {
    let Some(mut hub) = hub() else { return };
    let mut child = shell("read x; sh -c 'echo $$' ; read x; exec sleep 600");
    let pid = child.pid();
    hub.add(1, pid, ProcessChanges::FORK);
    hub.add(2, pid, ProcessChanges::EXEC);
    hub.add(3, pid, ProcessChanges::FORK | ProcessChanges::EXEC);
    hub.add(4, 1, ProcessWatch::BY_CONNECTOR);
    use std::io::Write;
    // What came before it was added is nobody's, and what it executed as a shell may be after.
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let grandchild = child.line_with("").parse().unwrap();
    let forked = || end(pid, ProcessEvent::Forked { child: grandchild });
    let events = told(&mut hub, 2);
    let forks: Vec<_> = events.into_iter().filter(|(_, kind)| *kind == forked()).collect();
    assert_eq!(forks, [(1, forked()), (3, forked())]);
    hub.remove(3);
    hub.remove(3);
    drop(child.stdin.take());
    let executed = end(pid, ProcessEvent::Executed);
    assert_eq!(told(&mut hub, 1).last(), Some(&(2, executed)));
    assert!(!hub.is_empty());
    [1, 2, 4].into_iter().for_each(|slot| hub.remove(slot));
    assert!(hub.is_empty());
}

#[test]
fn a_number_that_is_given_to_a_new_process_is_watched_no_longer() {
    let Some(mut hub) = hub() else { return };
    let child = shell("read x");
    let pid = child.pid();
    hub.add(1, pid, ProcessWatch::BY_CONNECTOR);
    let mut events = Vec::new();
    let executed = ProcMessage::Executed { pid };
    let born = ProcMessage::Forked { parent: 1, child: pid };
    for message in [executed, born, executed] {
        hub.tell(message, &mut |slot, kind| events.push((slot, kind)));
    }
    let executed_event = || (1, end(pid, ProcessEvent::Executed));
    assert_eq!(events, [executed_event(), executed_event()], "it was its own birth");
    // As if the one that was registered had been another.
    hub.watched.get_mut(&pid).unwrap().start_ticks -= 1;
    for message in [born, executed] {
        hub.tell(message, &mut |slot, kind| panic!("{slot} {kind:?}"));
    }
    hub.remove(1);
    assert!(hub.is_empty());
}

#[test]
fn after_lost_events_only_the_living_are_watched() {
    let Some(mut hub) = hub() else { return };
    let (living, mut dead) = (shell("read x"), shell("read x"));
    hub.add(1, living.pid(), ProcessChanges::FORK);
    hub.add(2, dead.pid(), ProcessChanges::FORK);
    drop(dead.stdin.take());
    dead.wait().unwrap();
    let mut slots = Vec::new();
    hub.rescan(&mut |slot, kind| {
        assert_eq!(kind, Kind::Rescan);
        slots.push(slot);
    });
    slots.sort_unstable();
    assert_eq!(slots, [1, 2], "each is told to look again");
    let mut again = Vec::new();
    hub.rescan(&mut |slot, _| again.push(slot));
    assert_eq!(again, [1]);
    hub.add(3, dead.pid(), ProcessChanges::FORK);
    hub.rescan(&mut |slot, _| assert_eq!(slot, 1, "what is gone is not added"));
}

#[test]
fn a_budget_bounds_what_is_read_at_once() {
    let Some(mut hub) = hub() else { return };
    (0..10).for_each(|_| drop(shell("exit 0")));
    let mut none = |slot, kind| panic!("{slot} {kind:?}");
    assert_eq!(hub.drain(5, &mut none).unwrap(), Drained::Budget);
    told(&mut hub, 0);
    assert_eq!(hub.drain(0, &mut none).unwrap(), Drained::Budget);
}

#[test]
fn a_namespace_that_hears_nothing_is_denied_in_a_sentence() {
    let Some(netns) = Netns::new() else { return };
    let error = netns.run(ConnectorHub::new).unwrap_err();
    assert!(matches!(error, RegisterError::Denied { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("watching the forks and executions of a process is not permitted"));
    assert!(text.contains("initial process, user and network namespaces"), "{text}");
}
