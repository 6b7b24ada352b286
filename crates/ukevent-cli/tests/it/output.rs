//! Where the lines go: a terminal, a pipe that nobody reads, a file that is full.

use crate::watch::{INT, USR1, Watch, run, told, ukevent};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, fcntl_getfl, open},
    io::ioctl_fionread,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::fd::{AsFd, OwnedFd},
    process::{Command, Stdio},
};
use testkit::{Child, wait_until};

/// A new terminal: who shows what is printed, and where it is printed.
pub(crate) fn terminal() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    (master, slave)
}

/// The first line that the command prints to a terminal.
fn on_a_terminal(command: &mut Command) -> String {
    let (master, slave) = terminal();
    let mut child = Child::spawn(command.stdout(slave));
    let mut line = String::new();
    BufReader::new(File::from(master)).read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success());
    line
}

fn shown() -> Command {
    let mut command = ukevent(&["watch", "timer:1ms", "--count", "1"]);
    command.env_remove("NO_COLOR").env("TERM", "xterm").stderr(Stdio::null());
    command
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let line = on_a_terminal(&mut shown());
    assert!(line.contains("\x1b[36mtimer:1ms\x1b[0m"), "{line:?}");
    for (variable, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let line = on_a_terminal(shown().env(variable, value));
        assert!(line.contains("timer:1ms") && !line.contains('\x1b'), "{variable}: {line:?}");
    }
    assert!(on_a_terminal(shown().env("NO_COLOR", "")).contains('\x1b'), "empty is not set");
    assert!(on_a_terminal(shown().args(["--color", "never"])).contains("ms  expired"));
}

#[test]
fn colour_can_be_forced() {
    let plain = run(&["timer:1ms", "--count", "1"]);
    assert!(!plain.stdout.contains(&0x1b));
    let coloured = run(&["timer:1ms", "--count", "1", "--color", "always"]);
    assert!(coloured.stdout.contains(&0x1b));
}

#[test]
fn columns() {
    let output = run(&["timer:1ms", "timer:after=5ms", "--count", "20"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for line in text.lines() {
        assert_eq!(line.find("expired"), Some("00:00:00.000  timer:after=5ms  ".len()), "{text}");
        assert_eq!(line.as_bytes()[2], b':');
    }
}

/// A reader that stops reading must not keep a watch from being ended.
#[test]
fn a_pipe_that_is_full_does_not_hold_up_ctrl_c() {
    let watch = Watch::json(&["timer:20us"]);
    let mut before = 0;
    wait_until("the pipe is full", || {
        let waiting = ioctl_fionread(watch.output()).unwrap();
        let is_full = waiting == before && waiting > 60_000;
        before = waiting;
        is_full
    });
    watch.signal(INT);
    let ended = watch.end_unread(String::new());
    assert_eq!(ended.code, Some(0));
    assert!(ended.told.contains(": interrupted"), "{}", ended.told);
}

/// Whether it takes no more now.
fn is_full(output: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&output, PollFlags::OUT)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 0
}

/// The same of what polls as writable before there is room for a line, and of what another process
/// writes to as well.
fn does_not_hold_up_ctrl_c(what: &str, output: OwnedFd) {
    let ours = output.try_clone().unwrap();
    let flags = fcntl_getfl(&ours).unwrap();
    let mut command = ukevent(&["watch", "timer:20us"]);
    let mut child = Child::spawn(command.stdout(output).stderr(Stdio::piped()));
    // What is on its way through a terminal may make room once more.
    let mut looks = 0;
    wait_until(&format!("{what} is full"), || {
        looks = if is_full(&ours) { looks + 1 } else { 0 };
        looks == 5
    });
    assert_eq!(fcntl_getfl(&ours).unwrap(), flags, "{what}: it is not ours alone");
    child.signal(INT);
    wait_until(&format!("{what}: it ended"), || child.try_wait().unwrap().is_some());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains(": interrupted"), "{what}: {told}");
}

#[test]
fn nothing_that_is_full_holds_up_ctrl_c() {
    let (_shows, slave) = terminal();
    does_not_hold_up_ctrl_c("a terminal", slave);
    let (_reader, writer) = testkit::pipe_pair();
    does_not_hold_up_ctrl_c("a pipe", writer.into());
    let (_peer, socket) = testkit::unix_pair();
    does_not_hold_up_ctrl_c("a socket", socket.into());
}

/// What a reader that pauses did not read is still there, in order.
#[test]
fn a_reader_that_pauses_loses_nothing() {
    let mut watch = Watch::json(&["timer:20us", "signal:usr1"]);
    wait_until("the pipe is full", || ioctl_fionread(watch.output()).unwrap() > 60_000);
    watch.signal(USR1);
    let mut number = 0;
    loop {
        let event = watch.event();
        number += 1;
        assert_eq!(event["number"], number);
        if event["source"] == "signal" {
            break;
        }
    }
    assert_eq!(watch.terminate().code, Some(0));
}

/// While a reader pauses, no more is gathered than there is room for: what happens is kept by the
/// queue, where signals are counted.
#[test]
fn a_reader_that_pauses_holds_the_sources() {
    const SENT: u64 = 1500;
    let mut watch = Watch::json(&["signal:usr1"]);
    for _ in 0..SENT {
        watch.signal_taken(USR1);
    }
    let (mut events, mut signals) = (0, 0);
    while signals < SENT {
        signals += watch.event()["count"].as_u64().unwrap();
        events += 1;
    }
    // A pipe and the gathering of this command have room for some 900 lines together.
    assert_eq!(signals, SENT);
    assert!(events < SENT - 100, "{events} events");
    assert_eq!(watch.terminate().code, Some(0));
}

/// More than the queue keeps while a reader pauses is lost, and that is told.
#[test]
fn what_is_lost_meanwhile_is_told() {
    let tree = testkit::TempTree::new();
    let mut watch = Watch::json(&[&format!("inode:{}:create,remove", tree.path().display())]);
    for _ in 0..12_000 {
        fs::remove_file(tree.file("again", "")).unwrap();
    }
    let event = watch.event_that("rescan");
    assert_eq!(event["name"], tree.path().to_str().unwrap());
    let ended = watch.terminate();
    assert_eq!(ended.code, Some(0));
    assert!(ended.told.contains("rescan"), "{}", ended.told);
    assert!(ended.told.contains(": events were lost there, look again"), "{}", ended.told);
}

#[test]
fn a_disk_that_is_full() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = ukevent(&["watch", "timer:1ms", "--for", "1m"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("standard output: No space left"), "{}", told(&output));
}
