//! Processes, with real ones.

use super::*;
use crate::netlink::{DATAGRAM_BYTES, Received};
use std::{
    env,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    thread,
};
use testkit::{Netns, Rng, TempTree, skip, wait_until};

/// A child that runs `script` in a shell.
fn shell(script: &str) -> testkit::Child {
    testkit::Child::spawn(
        Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()),
    )
}

fn opened(child: &testkit::Child) -> PidFd {
    PidFd::open(child.pid()).unwrap()
}

fn ended(fd: &PidFd) {
    wait_until("it ended", || fd.has_ended().unwrap());
}

/// Whether its parent has collected it. Linux 6.9.
fn is_collected(fd: &PidFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    fds[0].revents().contains(PollFlags::HUP)
}

/// A process that ended in the way of `script` and that its parent does not collect, and the parent.
fn orphaned_zombie(script: &str) -> (testkit::Child, PidFd) {
    // A shell gives its background processes no input but what is told.
    let script = format!("exec 3<&0; sh -c 'read x; {script}' <&3 & echo $!; exec sleep 600");
    let mut parent = shell(&script);
    let pid = parent.line_with("").parse().unwrap();
    let comm = format!("/proc/{}/comm", parent.pid());
    // A shell would collect it; sleep(1) does not.
    wait_until("it sleeps", || std::fs::read_to_string(&comm).unwrap() == "sleep\n");
    let fd = PidFd::open(pid).unwrap();
    drop(parent.stdin.take());
    ended(&fd);
    (parent, fd)
}

#[test]
fn it_has_ended_as_a_zombie_and_after() {
    let mut child = shell("read x");
    let fd = opened(&child);
    assert_eq!(fd.pid(), child.pid());
    assert!(!fd.has_ended().unwrap() && !is_collected(&fd));
    drop(child.stdin.take());
    ended(&fd);
    assert!(!is_collected(&fd));
    child.wait().unwrap();
    assert!(fd.has_ended().unwrap() && is_collected(&fd));
}

#[test]
fn a_child_tells_its_status_and_keeps_it() {
    let mut child = shell("read x; exit 7");
    let fd = opened(&child);
    assert_eq!(fd.child_ending(false).unwrap(), Child::Running);
    drop(child.stdin.take());
    ended(&fd);
    for _ in 0..2 {
        assert_eq!(fd.child_ending(false).unwrap(), Child::Ended(Ending::Exited(7)));
    }
    assert_eq!(child.wait().unwrap().code(), Some(7), "left for others");
    assert_eq!(fd.child_ending(false).unwrap(), Child::NotOurs);
}

#[test]
fn a_child_can_be_collected() {
    let mut child = shell("exit 3");
    let fd = opened(&child);
    ended(&fd);
    assert_eq!(fd.child_ending(true).unwrap(), Child::Ended(Ending::Exited(3)));
    assert!(is_collected(&fd));
    assert!(child.wait().is_err(), "nothing is left to wait for");
}

#[test]
fn a_child_tells_the_signal_that_ended_it() {
    let child = shell("read x");
    let fd = opened(&child);
    child.signal(libc::SIGKILL);
    ended(&fd);
    let killed = Ending::Killed { signal: libc::SIGKILL, core_dumped: false };
    assert_eq!(fd.child_ending(false).unwrap(), Child::Ended(killed));
}

#[test]
fn a_stranger_tells_its_status_as_a_zombie() {
    let (_parent, fd) = orphaned_zombie("exit 9");
    assert_eq!(fd.child_ending(false).unwrap(), Child::NotOurs);
    assert_eq!(fd.stranger_ending().unwrap(), Some(Ending::Exited(9)));
    let (_parent, fd) = orphaned_zombie("kill -9 $$");
    let killed = Ending::Killed { signal: libc::SIGKILL, core_dumped: false };
    assert_eq!(fd.stranger_ending().unwrap(), Some(killed));
}

#[test]
fn a_stranger_tells_its_status_once_it_was_collected() {
    let mut parent = shell("exec 3<&0; sh -c 'read x; exit 5' <&3 & echo $!; wait; exec sleep 600");
    let fd = PidFd::open(parent.line_with("").parse().unwrap()).unwrap();
    assert_eq!(fd.stranger_ending().unwrap(), None, "it runs");
    drop(parent.stdin.take());
    wait_until("it was collected", || is_collected(&fd));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    if (numbers.next(), numbers.next()) < (Some(6), Some(15_u32)) {
        skip!("Linux 6.15 tells how a process ended that others collected");
    }
    assert_eq!(fd.stranger_ending().unwrap(), Some(Ending::Exited(5)));
}

/// Runs again as somebody who may not trace the zombie.
#[test]
fn a_stranger_of_another_user_tells_nothing_as_a_zombie() {
    const NAME: &str = "process::tests::a_stranger_of_another_user_tells_nothing_as_a_zombie";
    const PID: &str = "UKEVENT_TEST_PID";
    if let Ok(pid) = env::var(PID) {
        let fd = PidFd::open(pid.parse().unwrap()).unwrap();
        assert!(fd.has_ended().unwrap());
        assert_eq!(fd.stranger_ending().unwrap(), None, "0 is what the kernel shows, no status");
        return;
    }
    // Where anybody can execute it.
    let tree = TempTree::new();
    let copy = tree.path().join("test");
    std::fs::set_permissions(tree.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(env::current_exe().unwrap(), &copy).unwrap();
    let (_parent, fd) = orphaned_zombie("exit 9");
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args([NAME, "--exact"])
        .env(PID, fd.pid().to_string())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        }
        Ok(output) if output.status.code() == Some(127) || output.status.code() == Some(1) => {
            skip!("being another user: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => skip!("setpriv(1): {error}"),
    }
}

#[test]
fn what_is_no_process_is_not_opened() {
    let mut child = shell("exit 0");
    let pid = child.pid();
    child.wait().unwrap();
    assert_eq!(PidFd::open(pid).unwrap_err(), Error::new("pidfd_open", libc::ESRCH));
    for wrong in [0, -1, i32::MIN] {
        assert_eq!(PidFd::open(wrong).unwrap_err(), Error::new("pidfd_open", libc::EINVAL));
        assert_eq!(start_ticks(wrong), None);
    }
    assert_eq!(start_ticks(pid), None);
}

#[test]
fn a_descriptor_from_elsewhere_knows_its_process() {
    let mut child = shell("read x");
    let fd = opened(&child).fd;
    let copy = fd.try_clone().unwrap();
    assert_eq!(PidFd::from_fd(copy).unwrap().pid(), child.pid());
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(PidFd::from_fd(fd).unwrap().pid(), -1, "its number is free");
    let file = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(PidFd::from_fd(file.into()).unwrap_err().errno(), libc::EBADF);
}

#[test]
fn a_process_is_told_from_a_later_one_by_its_start() {
    let own = start_ticks(std::process::id() as i32).unwrap();
    assert_eq!(start_ticks(std::process::id() as i32), Some(own));
    thread::sleep(std::time::Duration::from_millis(30));
    let child = shell("read x");
    assert!(start_ticks(child.pid()).unwrap() > own);
}

#[test]
fn a_name_cannot_pass_for_fields() {
    let tree = TempTree::new();
    let program = tree.path().join("a) Z 1 (b");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let child = testkit::Child::spawn(Command::new(&program).arg("600"));
    wait_until("it is executed", || {
        std::fs::read_to_string(format!("/proc/{}/stat", child.pid()))
            .is_ok_and(|stat| stat.contains("a) Z 1 (b"))
    });
    assert_ne!(stat_field(child.pid(), 3).as_deref(), Some("Z"));
    let parent = std::process::id().to_string();
    assert_eq!(stat_field(child.pid(), 4), Some(parent));
}

#[test]
fn a_wait_status_is_decoded() {
    let killed = |signal, core_dumped| Some(Ending::Killed { signal, core_dumped });
    assert_eq!(Ending::from_wait_status(0), Some(Ending::Exited(0)));
    assert_eq!(Ending::from_wait_status(0xff00), Some(Ending::Exited(255)));
    assert_eq!(Ending::from_wait_status(9), killed(9, false));
    assert_eq!(Ending::from_wait_status(11 | 0x80), killed(11, true));
    assert_eq!(Ending::from_wait_status(0x137f), None, "stopped");
    assert_eq!(Ending::from_wait_status(0xffff), None, "continued");
}

/// What the connector tells until `enough` of it is about `pid`.
fn heard(connector: &ProcConnector, pid: i32, enough: usize) -> Vec<ProcMessage> {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut messages = Vec::new();
    wait_until("the kernel told", || {
        while let Received::Datagram(len) = connector.receive(&mut buffer).unwrap() {
            messages.extend(ProcConnector::decode(&buffer[..len]).filter(
                |message| match message {
                    ProcMessage::Forked { parent, .. } => *parent == pid,
                    ProcMessage::Executed { pid: who } => *who == pid,
                },
            ));
        }
        messages.len() >= enough
    });
    messages
}

#[test]
fn forks_and_executions_are_heard_of() {
    let connector = match ProcConnector::open() {
        Ok(connector) => connector,
        Err(error) => skip!("{error}"),
    };
    let mut child = shell("sh -c 'echo $$; read x' <&0; read x; exec sleep 600");
    let grandchild = child.line_with("").parse().unwrap();
    drop(child.stdin.take());
    let pid = child.pid();
    let executed = ProcMessage::Executed { pid };
    let forked = ProcMessage::Forked { parent: pid, child: grandchild };
    // Its own `sh`, what that starts, and what it becomes.
    assert_eq!(heard(&connector, pid, 3), [executed, forked, executed]);
}

#[test]
fn a_thread_is_no_fork() {
    testkit::alone(|| {
        let connector = match ProcConnector::open() {
            Ok(connector) => connector,
            Err(error) => skip!("{error}"),
        };
        let pid = std::process::id() as i32;
        thread::spawn(|| ()).join().unwrap();
        let child = shell("read x");
        let forked = ProcMessage::Forked { parent: pid, child: child.pid() };
        assert_eq!(heard(&connector, pid, 1), [forked]);
    });
}

#[test]
fn another_namespace_hears_nothing_and_says_so() {
    let Some(netns) = Netns::new() else { return };
    let error = netns.run(ProcConnector::open).unwrap_err();
    assert_eq!(error.errno(), libc::EPERM);
}

/// Runs again in a process namespace of its own, where the kernel answers nothing.
#[test]
fn another_process_namespace_hears_nothing_and_says_so() {
    const NAME: &str = "process::tests::another_process_namespace_hears_nothing_and_says_so";
    const INSIDE: &str = "UKEVENT_TEST_INSIDE";
    if env::var_os(INSIDE).is_some() {
        assert_eq!(ProcConnector::open().unwrap_err().errno(), libc::EPERM);
        return;
    }
    let output = Command::new("unshare")
        .args(["--pid", "--fork"])
        .arg(env::current_exe().unwrap())
        .args([NAME, "--exact"])
        .env(INSIDE, "")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.contains("running 1 test") {
        skip!("a process namespace: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(output.status.success(), "{said}");
}

/// A datagram as the kernel sends it (`cn_proc.h`).
fn datagram(what: u32, words: &[u32]) -> Vec<u8> {
    let mut event = Vec::new();
    for word in [what, 0, 0, 0].iter().chain(words) {
        event.extend_from_slice(&word.to_ne_bytes());
    }
    let mut message = Vec::new();
    for word in [1_u32, 1, 0, 0] {
        message.extend_from_slice(&word.to_ne_bytes());
    }
    message.extend_from_slice(&(event.len() as u16).to_ne_bytes());
    message.extend_from_slice(&[0; 2]);
    message.extend_from_slice(&event);
    crate::netlink::request(3, 0, &message)
}

#[test]
fn a_message_is_decoded_whole_or_not_at_all() {
    let fork = datagram(1, &[10, 11, 20, 20]);
    let decoded: Vec<_> = ProcConnector::decode(&fork).collect();
    assert_eq!(decoded, [ProcMessage::Forked { parent: 11, child: 20 }]);
    for len in 0..fork.len() {
        assert_eq!(ProcConnector::decode(&fork[..len]).count(), 0, "{len}");
    }
    let short = datagram(1, &[10, 11, 20]);
    assert_eq!(ProcConnector::decode(&short).count(), 0);
    let thread = datagram(1, &[10, 11, 21, 20]);
    assert_eq!(ProcConnector::decode(&thread).count(), 0);
    let exit = datagram(0x8000_0000, &[10, 11, 20, 20]);
    assert_eq!(ProcConnector::decode(&exit).count(), 0);
    let mut elsewhere = fork.clone();
    elsewhere[16] = 7;
    assert_eq!(ProcConnector::decode(&elsewhere).count(), 0, "not the process connector's");
}

#[test]
fn bytes_that_make_no_sense_decode_to_nothing_or_something() {
    let mut rng = Rng::seeded();
    let valid = datagram(1, &[10, 11, 20, 20]);
    for _ in 0..20_000 {
        let mut bytes = valid.clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = rng.below(256) as u8;
        }
        let len = rng.below(bytes.len() as u64 + 1) as usize;
        assert!(ProcConnector::decode(&bytes[..len]).count() <= 6);
    }
}
