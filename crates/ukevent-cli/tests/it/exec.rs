//! Commands for events.

use crate::source::address_of;
use crate::watch::{INT, TERM, USR1, Watch, run, told, ukevent};
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    path::Path,
    process::Command,
};
use testkit::{TempTree, wait_until};

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// The command in a folder of its own, which it writes files to.
fn in_folder(tree: &TempTree) -> Command {
    let mut command = ukevent(&["watch", "--verbose", "--for", "1m", "--json"]);
    command.current_dir(tree.path());
    command
}

#[test]
fn the_event_is_in_the_environment() {
    let tree = TempTree::new();
    let print = "printf '%s ' $UKEVENT_NUMBER $UKEVENT_SOURCE $UKEVENT_WHAT $UKEVENT_NAME \
                 $UKEVENT_PATH $UKEVENT_DIRECTORY ${UKEVENT_PEER-none}";
    let spec = format!("inode:{}:create", tree.path().display());
    let watch = Watch::of(
        ukevent(&["watch", "--verbose", "--quiet", "--for", "1m"]).env("UKEVENT_PEER", "stale"),
        &[&spec, "--count", "1", "--shell", "--exec", print],
    );
    let file = tree.file("new", "");
    let ended = watch.end();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.printed, format!("1 inode created new {} 0 none ", file.display()));
}

#[test]
fn words_are_split_and_not_expanded() {
    let output = run(&["timer:1ms", "-n1", "-q", "-x", r#"printf '%s|' $HOME "a  b" 'c'\ d ;"#]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "$HOME|a  b|c d|;|");
}

#[test]
fn a_failing_command_is_told() {
    let output = run(&["timer:1ms", "-n", "2", "--shell", "--exec", "exit 3"]);
    assert_eq!(output.status.code(), Some(0));
    for expected in [
        "event 1: /bin/sh: exit status: 3\n",
        "event 2: /bin/sh: exit status: 3\n",
        "\n  2 commands, 2 failed, 0 events skipped\n",
    ] {
        assert!(told(&output).contains(expected), "{}", told(&output));
    }
    let output = run(&["timer:1ms", "-n1", "--shell", "--exec", "kill -9 $$"]);
    assert!(told(&output).contains("/bin/sh: signal: 9 (SIGKILL)"), "{}", told(&output));
    let output = run(&["timer:1ms", "-n1", "--exec", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(told(&output).contains("/no/such/program: No such file"), "{}", told(&output));
    assert!(told(&output).contains("0 commands, 1 failed"), "{}", told(&output));
}

#[test]
fn a_command_is_started_with_a_clean_slate() {
    let output = run(&["timer:1ms", "signal:hup", "-n1", "-q", "-x", "cat /proc/self/status -"]);
    let status = String::from_utf8(output.stdout).unwrap();
    assert!(status.contains("SigBlk:\t0000000000000000\n"), "{status}");
    assert!(status.contains("SigCgt:\t0000000000000000\n"), "{status}");
}

#[test]
fn what_commands_print_is_no_json() {
    let output = run(&["timer:1ms", "-n2", "--json", "--exec", "echo hello"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with('{')).count(), 2, "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert_eq!(told(&output).matches("hello\n").count(), 2);
}

#[test]
fn commands_are_bounded_and_the_rest_is_skipped_and_told() {
    let tree = TempTree::new();
    let exec = "echo >>begun; while ! [ -e gate ]; do sleep 0.01; done; echo >>done";
    let mut watch = Watch::of(
        &mut in_folder(&tree),
        &["signal:usr1", "-n5", "--shell", "-x", exec, "--jobs", "2", "--backlog", "1"],
    );
    let (begun, done) = (tree.path().join("begun"), tree.path().join("done"));
    for number in 1..=4 {
        watch.signal(USR1);
        assert_eq!(watch.event()["number"], number);
        wait_until("as many run as may", || lines(&begun) == number.min(2));
    }
    watch.signal(USR1);
    assert_eq!(watch.event()["number"], 5);
    // Its count is reached, and it waits for what runs and what waits.
    assert_eq!((lines(&begun), lines(&done)), (2, 0));
    tree.file("gate", "");
    let ended = watch.end();
    assert_eq!(ended.code, Some(0));
    assert_eq!((lines(&begun), lines(&done)), (3, 3));
    let expected =
        "event 4 and further ones are skipped: as many commands run as --jobs allows (2)";
    assert_eq!(ended.told.matches(expected).count(), 1, "{}", ended.told);
    assert!(ended.told.contains("\n  3 commands, 0 failed, 2 events skipped\n"), "{}", ended.told);
}

/// Whether the process runs: neither gone nor a zombie that nobody collected.
fn runs(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    status.is_ok_and(|status| !status.contains(") Z "))
}

#[test]
fn told_to_end_it_ends_what_its_commands_started() {
    let tree = TempTree::new();
    let mut watch = Watch::of(
        &mut in_folder(&tree),
        &["signal:usr1", "--shell", "-x", "sleep 600 & echo $! >pid; wait", "-j1"],
    );
    for _ in 0..2 {
        watch.signal(USR1);
        watch.event();
    }
    let pid = tree.path().join("pid");
    wait_until("the command runs", || lines(&pid) == 1);
    let pid = fs::read_to_string(&pid).unwrap();
    assert!(runs(&pid));
    watch.signal(INT);
    let ended = watch.end();
    assert_eq!(ended.code, Some(0));
    assert!(ended.told.contains("/bin/sh: signal: 15 (SIGTERM)"), "{}", ended.told);
    assert!(ended.told.contains("1 command, 1 failed, 1 event skipped"), "{}", ended.told);
    wait_until("the command's child ended", || !runs(&pid));
}

#[test]
fn told_twice_it_ends_what_will_not_end() {
    let tree = TempTree::new();
    let exec = "trap '' TERM; echo >>begun; while [ -e begun ]; do sleep 0.01; done";
    let mut watch = Watch::of(&mut in_folder(&tree), &["signal:usr1", "--shell", "-x", exec]);
    watch.signal(USR1);
    watch.event();
    wait_until("the command runs", || lines(&tree.path().join("begun")) == 1);
    watch.signal(INT);
    // Signals of one number that are pending at once are merged, and one of them does not tell twice.
    watch.has_told("were asked to end");
    watch.signal(INT);
    let ended = watch.end();
    assert_eq!(ended.code, Some(0));
    assert!(ended.told.contains("/bin/sh: signal: 9 (SIGKILL)"), "{}", ended.told);
}

/// A signal that was watched for itself ends the watch once there is nothing to watch.
#[test]
fn a_watched_signal_still_ends_what_will_not_end() {
    let tree = TempTree::new();
    let exec = "trap '' TERM; echo >>begun; while [ -e begun ]; do sleep 0.01; done";
    let arguments = ["signal:int,term", "-n1", "--shell", "-x", exec];
    let mut watch = Watch::of(&mut in_folder(&tree), &arguments);
    watch.signal(INT);
    assert_eq!(watch.event()["name"], "SIGINT");
    wait_until("the command runs", || lines(&tree.path().join("begun")) == 1);
    watch.signal(TERM);
    watch.has_told("were asked to end");
    watch.signal(INT);
    let ended = watch.end();
    assert_eq!(ended.code, Some(0));
    assert!(ended.told.contains(": terminated\n"), "{}", ended.told);
    assert!(ended.told.contains("/bin/sh: signal: 9 (SIGKILL)"), "{}", ended.told);
}

#[test]
fn a_connection_is_the_commands_input_and_output() {
    let mut watch = Watch::json(&["listen:127.0.0.1:0", "--exec", "rev"]);
    let mut client = TcpStream::connect(address_of(&watch)).unwrap();
    client.write_all(b"hello\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "olleh\n");
    assert_eq!(watch.event()["peer"], client.local_addr().unwrap().to_string());
    assert_eq!(watch.terminate().code, Some(0));
}

#[test]
fn standard_input_is_shared_if_it_is_watched() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = ukevent(&["watch", "-q", "--verbose", "--for", "1m"]);
    let watch = Watch::of(command.stdin(reader), &["fd:0", "-n1", "--exec", "head -n 1"]);
    writer.write_all(b"a line\n").unwrap();
    assert_eq!(watch.end().printed, "a line\n");
}

#[test]
fn standard_input_is_not_shared_otherwise() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"a line\n").unwrap();
    drop(writer);
    let mut command = ukevent(&["watch", "-q", "timer:1ms", "-n1", "--exec", "cat"]);
    let output = command.stdin(reader).output().unwrap();
    assert!(output.status.success());
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}
