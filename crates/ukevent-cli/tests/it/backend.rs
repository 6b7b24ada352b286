//! Every backend, with the sources that reach the queue in different ways.

use crate::{
    source::address_of,
    watch::{INT, USR1, Watch, run, told, ukevent},
};
use std::{
    net::TcpStream,
    process::{Command, Stdio},
};
use testkit::{Child, TempTree};

const BACKENDS: [&str; 3] = ["io_uring", "epoll", "poll"];

/// Whether this backend can be had here; says so if not.
fn is_there(backend: &str) -> bool {
    let output = run(&["timer:after=1ms", "--backend", backend]);
    if !output.status.success() {
        testkit::skip(told(&output));
    }
    output.status.success()
}

#[test]
fn each_has_them_all() {
    for backend in BACKENDS.into_iter().filter(|backend| is_there(backend)) {
        let tree = TempTree::new();
        let mut child = Child::spawn(Command::new("cat").stdin(Stdio::piped()));
        let inode = format!("inode:{}:create", tree.path().display());
        let process = format!("proc:{}", child.pid());
        let mut command = ukevent(&["watch", "--verbose", "--json"]);
        let specs = ["timer:after=1ms", &inode, "signal:usr1", &process, "listen:127.0.0.1:0"];
        let mut watch = Watch::of(command.env("UKEVENT_BACKEND", backend), &specs);
        assert!(watch.begun().contains(&format!("{backend}: UKEVENT_BACKEND asked for it")));
        let _client = TcpStream::connect(address_of(&watch)).unwrap();
        tree.file("a", "");
        watch.signal(USR1);
        drop(child.stdin.take());
        child.wait().unwrap();
        let mut sources: Vec<_> =
            (0..5).map(|_| watch.event()["source"].as_str().unwrap().to_owned()).collect();
        sources.sort();
        assert_eq!(sources, ["inode", "listen", "proc", "signal", "timer"], "{backend}");
        watch.signal(INT);
        let ended = watch.end();
        assert_eq!((ended.code, &*ended.printed), (Some(0), ""), "{backend}");
        assert!(ended.told.contains("5 events in "), "{backend}: {}", ended.told);
    }
}

#[test]
fn each_runs_commands() {
    for backend in BACKENDS.into_iter().filter(|backend| is_there(backend)) {
        let output =
            run(&["timer:1ms", "-n", "9", "-q", "-j2", "-x", "echo", "--backend", backend]);
        assert_eq!(output.stdout, b"\n".repeat(9), "{backend}: {}", told(&output));
    }
}

#[test]
fn each_notices_that_its_reader_is_gone() {
    for backend in BACKENDS.into_iter().filter(|backend| is_there(backend)) {
        let mut watch = Watch::begin(&["signal:usr1", "--backend", backend]);
        watch.signal(USR1);
        watch.line();
        watch.close_output();
        let ended = watch.end();
        assert_eq!((ended.code, &*ended.told), (Some(0), ""), "{backend}");
    }
}
