//! How a watch ends: by its count, its time, a signal, or because nobody reads it.

use crate::{
    serve::serve,
    watch::{INT, TERM, USR1, Watch, run, told, ukevent_in_the_background},
};
use std::fs;

#[test]
fn a_count() {
    let output = run(&["timer:1ms", "timer:2ms", "--count", "5"]);
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout.clone()).unwrap().lines().count(), 5);
    assert!(told(&output).contains("5 events in "), "{}", told(&output));
    assert!(told(&output).contains("as many as were asked for"), "{}", told(&output));
}

#[test]
fn a_time() {
    let output = run(&["signal:usr1", "--for", "1ms"]);
    assert!(output.status.success());
    assert!(output.stdout.is_empty());
    assert!(told(&output).contains("0 events in "), "{}", told(&output));
    assert!(told(&output).contains("the time is over"), "{}", told(&output));
}

#[test]
fn ctrl_c() {
    let mut watch = Watch::begin(&["signal:usr1", "timer:1h"]);
    watch.signal(USR1);
    watch.line();
    watch.signal(INT);
    let ended = watch.end();
    assert_eq!(ended.code, Some(0));
    let expected =
        ["ukevent: watch: 1 event in ", ": interrupted\n", "\n  1  signal:usr1\n  0  timer:1h\n"];
    for piece in expected {
        assert!(ended.told.contains(piece), "{piece:?}: {}", ended.told);
    }
}

#[test]
fn an_interrupt_that_is_watched_ends_nothing() {
    let mut watch = Watch::json(&["signal:int"]);
    for _ in 0..2 {
        watch.signal(INT);
        assert_eq!(watch.event()["name"], "SIGINT");
    }
    let ended = watch.terminate();
    assert_eq!(ended.code, Some(0));
    assert!(ended.told.contains(": terminated\n"), "{}", ended.told);
}

#[test]
fn a_termination_that_is_watched_is_told_and_ends() {
    let mut watch = Watch::json(&["signal:term"]);
    watch.signal(TERM);
    assert_eq!(watch.event()["name"], "SIGTERM");
    let ended = watch.end();
    assert_eq!((ended.code, &*ended.printed), (Some(0), ""));
    assert!(ended.told.contains(": terminated\n"), "{}", ended.told);
}

/// Whether a process ignores a signal (proc_pid_status(5)).
fn ignores(pid: i32, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 << (signal - 1) != 0
}

#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    let mut command = ukevent_in_the_background(&["watch", "--verbose", "--for", "1m"]);
    let mut watch = Watch::of(&mut command, &["signal:usr1", "--count", "2"]);
    for signal in [INT, TERM] {
        assert!(ignores(watch.pid(), signal), "{signal}");
        watch.signal(signal);
        watch.signal(USR1);
        watch.line();
    }
    let ended = watch.end();
    assert_eq!(ended.code, Some(0));
    assert!(ended.told.contains("as many as were asked for"), "{}", ended.told);

    let (server, _) = serve(&mut ukevent_in_the_background(&["serve"]));
    for signal in [INT, TERM] {
        assert!(ignores(server.pid(), signal), "{signal}");
    }
}

/// Watched for itself it is told; that it is ignored otherwise keeps it from ending anything.
#[test]
fn what_was_ignored_at_the_start_can_be_watched() {
    let mut command = ukevent_in_the_background(&["watch", "--verbose", "--for", "1m", "--json"]);
    let mut watch = Watch::of(&mut command, &["signal:int", "--count", "1"]);
    watch.signal(INT);
    assert_eq!(watch.event()["name"], "SIGINT");
    assert_eq!(watch.end().code, Some(0));
}

#[test]
fn a_reader_that_goes_ends_it_without_a_word() {
    let mut watch = Watch::begin(&["timer:1ms"]);
    watch.line();
    watch.close_output();
    let ended = watch.end();
    assert_eq!((ended.code, &*ended.told), (Some(0), ""));
}

#[test]
fn a_reader_that_goes_is_noticed_without_an_event() {
    let mut watch = Watch::begin(&["signal:usr1"]);
    watch.signal(USR1);
    watch.line();
    watch.close_output();
    let ended = watch.end();
    assert_eq!((ended.code, &*ended.told), (Some(0), ""));
}

#[test]
fn quiet_is_quiet() {
    let output = run(&["timer:1ms", "--count", "3", "--quiet"]);
    assert!(output.status.success());
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{}", told(&output));
}
