//! `ukevent serve`: that it serves, takes its flags, and ends. What it answers is the business of the
//! crate that answers.

use crate::watch::{INT, TERM, told, ukevent};
use std::{
    io::{BufRead, Read, Write},
    net::{Shutdown, TcpStream},
    process::{Command, Stdio},
};
use testkit::{Child, TempTree};

/// A server that listens; and its address.
pub(crate) fn serve(command: &mut Command) -> (Child, String) {
    command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Child::spawn(command);
    let line = server.line_with("http://");
    let address = line.trim_start_matches("http://").trim_end_matches('/').to_owned();
    (server, address)
}

/// What it answers to a GET of this.
fn get(address: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Ends it with a signal; what it said.
pub(crate) fn end(mut server: Child, signal: i32) -> String {
    server.signal(signal);
    let mut said = String::new();
    server.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0), "{said}");
    said
}

#[test]
fn files_on_every_backend() {
    let tree = TempTree::new();
    tree.file("note.txt", "hello");
    for backend in ["io_uring", "epoll", "poll"] {
        let root = tree.path().to_str().unwrap();
        let mut command = ukevent(&["serve", "--root", root, "--backend", backend]);
        let (server, address) = serve(&mut command);
        let answer = get(&address, "/note.txt");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
        assert!(get(&address, "/none").starts_with("HTTP/1.1 404 "));
        let said = end(server, TERM);
        assert!(
            said.contains(&format!("serve: {root}, by {backend}: the program asked")),
            "{said}"
        );
        assert!(said.contains("serve: 2 requests on 2 connections, "), "{said}");
    }
}

#[test]
fn a_page_about_itself() {
    let (server, address) = serve(&mut ukevent(&["serve"]));
    assert!(get(&address, "/").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(end(server, INT).contains("serve: a page about itself, by "));
}

#[test]
fn several_addresses() {
    let mut command = ukevent(&["serve", "--listen", "127.0.0.1:0"]);
    let (mut server, first) = serve(&mut command);
    let second = server.line_with("http://").replace("http://", "").replace('/', "");
    assert_ne!(first, second);
    for address in [&first, &second] {
        assert!(get(address, "/").starts_with("HTTP/1.1 200 OK\r\n"), "{address}");
    }
    end(server, TERM);
}

#[test]
fn bounds_are_handed_on() {
    let (server, address) = serve(&mut ukevent(&["serve", "--line-bytes", "64"]));
    let answer = get(&address, &format!("/{}", "x".repeat(100)));
    assert!(answer.starts_with("HTTP/1.1 414 "), "{answer}");
    end(server, TERM);
    let (server, address) = serve(&mut ukevent(&["serve", "--connections", "0"]));
    // It does not read what it refuses.
    let mut answer = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    end(server, TERM);
}

/// The answers are files, and larger than what a socket holds: each is broken off where sendfile(2)
/// goes on.
#[test]
fn clients_that_leave_amid_an_answer() {
    let tree = TempTree::new();
    tree.file("large", vec![7; 8_000_000]);
    let root = tree.path().to_str().unwrap();
    for backend in ["io_uring", "epoll", "poll"] {
        let mut command = ukevent(&["serve", "--root", root, "--backend", backend]);
        let (server, address) = serve(&mut command);
        for n in 0..200 {
            let mut stream = TcpStream::connect(&address).unwrap();
            write!(stream, "GET /large HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
            if n % 2 == 1 {
                stream.shutdown(Shutdown::Write).unwrap();
            }
            stream.read_exact(&mut [0; 1000]).unwrap();
        }
        assert!(get(&address, "/none").starts_with("HTTP/1.1 404 "));
        let said = end(server, TERM);
        assert!(said.contains("serve: 201 requests on 201 connections, "), "{said}");
    }
}

/// Nobody reads the log that goes to a pipe: that does not keep it from ending.
#[test]
fn a_log_that_nobody_reads() {
    for backend in ["io_uring", "epoll", "poll"] {
        let mut command = ukevent(&["serve", "--access-log", "-", "--backend", backend]);
        let (server, address) = serve(&mut command);
        // More than a pipe holds.
        let long = "x".repeat(4000);
        for _ in 0..40 {
            assert!(get(&address, &format!("/{long}")).starts_with("HTTP/1.1 404 "));
        }
        let said = end(server, TERM);
        assert!(said.contains("standard output: the last requests are not logged"), "{said}");
    }
}

/// Nor does it matter to the log whether anybody hears what is said about it.
#[test]
fn a_log_whose_failure_nobody_hears() {
    let tree = TempTree::new();
    let folder = tree.path().join("not yet");
    let log = folder.join("log");
    let mut command = ukevent(&["serve", "--access-log", log.to_str().unwrap()]);
    let (mut server, address) = serve(&mut command);
    drop(server.stderr.take());
    assert!(get(&address, "/?1").starts_with("HTTP/1.1 200 "));
    // That it failed shows nowhere; if it did not by now, this shows nothing.
    std::thread::sleep(std::time::Duration::from_millis(200));
    std::fs::create_dir(&folder).unwrap();
    assert!(get(&address, "/?2").starts_with("HTTP/1.1 200 "));
    testkit::wait_until("both are logged", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.lines().count() == 2)
    });
    server.signal(TERM);
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn a_log_that_cannot_be_had_is_told_at_the_start() {
    let (mut server, _) = serve(&mut ukevent(&["serve", "--access-log", "/no/such/log"]));
    let mut said = std::io::BufReader::new(server.stderr.take().unwrap()).lines();
    let expected = "/no/such/log: requests are not logged: No such file or directory";
    assert!(said.any(|line| line.unwrap().contains(expected)));
}

#[test]
fn counters_at_a_path() {
    let tree = TempTree::new();
    let place = format!("unix:{}", tree.path().join("counters").display());
    let (server, _) = serve(&mut ukevent(&["serve", "--metrics", &place]));
    let said = end(server, TERM);
    assert!(said.contains(&format!("serve: counters at {place}, at /metrics\n")), "{said}");
}

#[test]
fn help_shows_every_default() {
    let output = ukevent(&["serve", "-h"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "[default: 127.0.0.1:8080]",
        "--connections <N> Connections at a time, about 1.5 KiB of memory each at rest; one more is answered \
         503 [default: 10000]",
        "answered 414 [default: 8K]",
        "answered 431 [default: 16K]",
        "answered 413 [default: 64K]",
        "for a head; over, 408 [default: 10s]",
        "for a body; over, 408 [default: 30s]",
        "two requests [default: 1m]",
        "of its answer [default: 30s]",
        "answer arrives [default: 2s]",
        "at the end [default: 10s]",
    ] {
        assert!(help.contains(expected), "{expected:?} is not in: {help}");
    }
}

#[test]
fn wrong_flags() {
    for (arguments, expected) in [
        (["--listen", "8080"], "write ADDRESS:PORT, such as 127.0.0.1:8080"),
        (["--listen", "localhost:80"], "write ADDRESS:PORT"),
        (["--idle-time", "10"], r#""10" is no time; write a number and its unit"#),
        (["--head-bytes", "16Q"], r#""16Q" is no size; write bytes, or 16K"#),
        (["--backend", "sim"], "io_uring, epoll, poll"),
    ] {
        let output = ukevent(&["serve"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(told(&output).contains(expected), "{arguments:?}: {}", told(&output));
    }
}

#[test]
fn what_cannot_be_had() {
    let tree = TempTree::new();
    let file = tree.file("file", "");
    let (_taken, address) = testkit::listener();
    let address = address.to_string();
    for (arguments, expected) in [
        (["--root", "/no/such/folder"], "No such file or directory (os error 2); --root names a"),
        (["--root", file.to_str().unwrap()], "; --root names a directory, not a file"),
        (["--listen", &address], "another program listens there (ss -ltnp shows it)"),
        (["--listen", "192.0.2.1:80"], "no interface has this address"),
    ] {
        let output = ukevent(&["serve"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", told(&output));
        assert!(told(&output).starts_with("ukevent: serve: "), "{}", told(&output));
        assert!(told(&output).contains(arguments[1]), "{}", told(&output));
        assert!(told(&output).contains(expected), "{arguments:?}: {}", told(&output));
    }
}
