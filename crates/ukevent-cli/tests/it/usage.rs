//! Called wrongly: exit code 2, and a word that helps.

use crate::watch::{run, told, ukevent};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

/// A wrong spec, and what is to be said of it.
const WRONG: &[(&str, &[&str])] = &[
    (
        "inode:/tmp/x:craete",
        &[concat!(
            r#"watch: "craete" in "inode:/tmp/x:craete" is no change; there are create, remove, "#,
            r#"moved, modify, write, attrib, grow, open, close, read, usual and all; "#,
            r#"did you mean "create"?"#,
        )],
    ),
    ("inode:/tmp/x:create,romeve", &[r#""romeve" in"#, r#"did you mean "remove"?"#]),
    ("inode:/tmp/x:create,,remove", &[r#""" in "inode:/tmp/x:create,,remove" is no change"#]),
    ("inode:/tmp/x:written", &[r#""written" in"#, r#"did you mean "write"?"#]),
    ("inode:/tmp/x:CREATE", &[r#""CREATE" in"#, r#"did you mean "create"?"#]),
    ("inode:/tmp/10:30", &[r#""30" in"#, r#"if the path ends so, write "inode:/tmp/10:30:""#]),
    ("inode", &[r#""inode" lacks its path; write inode:/etc/hosts"#]),
    ("inode:", &[r#""inode:" lacks its path"#]),
    ("inode::create", &[r#""inode::create" lacks its path"#]),
    ("tree:", &[r#""tree:" lacks its path; write tree:src"#]),
    ("tree:src:creat", &[r#""creat" in"#, r#"did you mean "create"?"#]),
    ("", &[r#""" is no kind of source; there are timer, inode, tree, signal, proc, net, uevent"#]),
    ("tmier:5s", &[r#""tmier" in "tmier:5s" is no kind of source"#, r#"did you mean "timer"?"#]),
    ("process:12", &[r#""process" in"#, r#"did you mean "proc"?"#]),
    ("sig:hup", &[r#""sig" in "sig:hup""#, r#"did you mean "signal"?"#]),
    ("/etc/hosts", &[r#"to watch a file or directory write "inode:/etc/hosts""#]),
    ("src/main.rs", &[r#"write "inode:src/main.rs""#]),
    ("timer", &[r#""timer" lacks its time; write timer:500ms"#]),
    ("timer:", &[r#""timer:" lacks its time"#]),
    ("timer:5", &[r#""5" in "timer:5" is no time; write a number and its unit, such as 500ms"#]),
    ("timer:0s", &[r#""0s" in"#, "is no time"]),
    ("timer:-5s", &[r#""-5s" in"#, "is no time"]),
    ("timer:soon", &[r#""soon" in"#, "is no time"]),
    ("timer:after=", &[r#""" in "timer:after=" is no time"#]),
    (
        "timer:at=tomorrow",
        &[r#""tomorrow" in"#, "is no time of a clock; write 2026-12-01T10:00:00Z"],
    ),
    ("timer:at=2026-13-01T10:00:00Z", &["is no time of a clock"]),
    ("timer:atfer=5s", &[r#""atfer" in"#, "there are every, after and at", r#"mean "after"?"#]),
    ("signal", &[r#""signal" lacks its signal; write signal:hup"#]),
    ("signal:hupp", &[r#""hupp" in "signal:hupp" cannot be watched"#, r#"did you mean "hup"?"#]),
    ("signal:99", &[r#""99" in"#, "signal(7) lists them", "there are hup, int,"]),
    ("signal:hup,kill", &[r#""kill" in"#, "SIGKILL and SIGSTOP cannot be watched"]),
    ("signal:segv", &[r#""segv" in"#, "cannot be watched"]),
    ("signal:rtmin+99", &[r#""rtmin+99" in"#, "no such signal"]),
    ("proc", &[r#""proc" lacks its process id; write proc:1234"#]),
    ("proc:bash", &[r#""bash" in "proc:bash" is no process id; write a number above 0"#, "pgrep"]),
    ("proc:0", &[r#""0" in"#, "is no process id"]),
    ("proc:-1", &[r#""-1" in"#, "is no process id"]),
    ("proc:99999999999", &["is no process id"]),
    ("proc:1:exot", &[r#""exot" in"#, "there are exit, fork, exec and all", r#"mean "exit"?"#]),
    ("proc:1:", &[r#""" in "proc:1:" is no deed of a process"#]),
    ("net:lnik", &[r#""lnik" in"#, "there are link, addr, route and all", r#"mean "link"?"#]),
    ("net:address", &[r#""address" in"#, r#"did you mean "addr"?"#]),
    ("net:", &[r#""" in "net:" is no part of the network"#]),
    ("uevent:block", &[r#""block" in "uevent:block" is no part of it; write uevent alone"#]),
    ("fd", &[r#""fd" lacks its number; write fd:0"#]),
    ("fd:stdin", &[r#""stdin" in"#, "is no descriptor; write a number"]),
    ("fd:-1", &[r#""-1" in"#, "is no descriptor"]),
    ("listen", &[r#""listen" lacks its address; write listen:127.0.0.1:9000"#]),
    ("listen:8080", &["is no address to listen on", "such as listen:127.0.0.1:8080"]),
    ("listen:localhost:8080", &[r#""localhost:8080" in"#, "such as listen:127.0.0.1:8080"]),
    ("listen:127.0.0.1", &["is no address to listen on", "listen:[::1]:9000"]),
    ("listen:127.0.0.1:99999", &["is no address to listen on"]),
];

#[test]
fn wrong_specs() {
    for (spec, expected) in WRONG {
        let output = run(&["timer:1h", spec]);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(2), "{spec}: {told}");
        assert!(told.starts_with("ukevent: watch: "), "{spec}: {told}");
        assert_eq!(told.lines().count(), 1, "{spec}: {told}");
        for piece in *expected {
            assert!(told.contains(piece), "{spec}: {piece:?} is not in: {told}");
        }
        assert!(output.stdout.is_empty());
    }
}

/// A wrong flag, and what is to be said of it.
const WRONG_FLAGS: &[(&[&str], &str)] = &[
    (&[], "<SPEC>..."),
    (&["timer:1s", "--for", "5"], r#""5" is no time; write a number and its unit"#),
    (&["timer:1s", "--for", "0s"], r#""0s" is no time"#),
    (&["timer:1s", "--count", "0"], "--count"),
    (&["timer:1s", "--count", "many"], "--count"),
    (&["timer:1s", "--exec", "a", "--jobs", "0"], "--jobs"),
    (&["timer:1s", "--jobs", "2"], "--exec"),
    (&["timer:1s", "--shell"], "--exec"),
    (&["timer:1s", "--exec", ""], r#"--exec "": there is no command; write --exec 'PROGRAM"#),
    (&["timer:1s", "--exec", "a 'b"], r#"--exec "a 'b": a quote is not closed"#),
    (&["timer:1s", "--backend", "epol"], "a similar value exists: 'epoll'"),
    (&["timer:1s", "--backend", "sim"], "io_uring, epoll, poll"),
    (&["timer:1s", "--json", "--quiet"], "cannot be used with"),
    (&["timer:1s", "--josn"], "--json"),
];

#[test]
fn wrong_flags() {
    for (arguments, expected) in WRONG_FLAGS {
        let output = ukevent(&["watch"]).args(*arguments).output().unwrap();
        let told = told(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
}

#[test]
fn a_backend_of_the_environment_that_there_is_not() {
    for (name, expected) in [("kqueue", r#"no backend "kqueue""#), ("sim", "has no kernel")] {
        let output = ukevent(&["watch", "timer:1h"]).env("UKEVENT_BACKEND", name).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(told(&output).contains(expected), "{}", told(&output));
    }
}

#[test]
fn a_wrong_spec_that_would_command_the_terminal() {
    let spec = OsStr::from_bytes(b"\x1b[2J\xff");
    let output = ukevent(&["watch"]).arg(spec).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!output.stderr.contains(&0x1b), "{}", told(&output));
}

/// A spec that is right and cannot be had, and what is to be said of it.
const REFUSED: &[(&str, &str)] = &[
    ("inode:/no/such/file", "No such file or directory (os error 2); watch the directory that"),
    ("tree:/no/such/tree", "No such file or directory (os error 2); watch the directory that"),
    ("proc:2147483647", "there is no such process (pgrep NAME finds one)"),
    ("fd:77", "no such descriptor is open: the shell opens one with 7<FILE"),
    ("listen:192.0.2.1:80", "no interface has this address (ip addr shows them)"),
];

#[test]
fn what_cannot_be_had() {
    for (spec, expected) in REFUSED {
        let output = run(&["timer:1h", spec]);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(1), "{spec}: {told}");
        assert!(told.starts_with(&format!("ukevent: watch: {spec}: ")), "{told}");
        assert!(told.contains(expected), "{spec}: {told}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_address_in_use() {
    let (_taken, address) = testkit::listener();
    let output = run(&[&format!("listen:{address}")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("another program listens there (ss -ltnp"), "{}", told(&output));
}

#[test]
fn help_is_for_standard_output() {
    for arguments in [&["--help"][..], &["watch", "-h"], &["watch", "--help"], &["serve", "--help"]]
    {
        let output = ukevent(arguments).output().unwrap();
        assert!(output.status.success());
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
    }
}
