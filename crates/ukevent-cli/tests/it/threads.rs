//! `ukevent serve --threads`: that all threads serve clients that others wrote, by what the server counts, and
//! that the command says what is wrong when they cannot.

use crate::{
    clients::is_installed,
    serve::{end, serve},
    watch::{INT, TERM, told, ukevent},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    process::Command,
};
use testkit::{TempTree, wait_until};

/// What a counter is for each thread.
fn by_thread(metrics: &str, name: &str) -> Vec<u64> {
    let prefix = format!("ukevent_http_thread_{name}{{thread=\"");
    let values = metrics.lines().filter_map(|line| line.strip_prefix(&prefix)?.split_once("\"} "));
    values
        .enumerate()
        .map(|(at, (number, value))| {
            assert_eq!(number, at.to_string(), "in order");
            value.parse().unwrap()
        })
        .collect()
}

/// What it answers over a stream.
fn ask(mut stream: impl Read + Write, target: &str) -> String {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A counter of all threads.
fn of_all(metrics: &str, name: &str) -> u64 {
    let prefix = format!("ukevent_http_{name} ");
    metrics.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().parse().unwrap()
}

/// With 64 connections for a second, without an error.
#[track_caller]
fn wrk_is_served(url: &str) {
    let wrk = Command::new("wrk").args(["-d1s", "-c64", "-t1", url]).output().unwrap();
    let said = String::from_utf8(wrk.stdout).unwrap();
    assert!(wrk.status.success(), "{said}");
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
}

#[test]
fn wrk_and_curl_are_served_by_all() {
    if !is_installed("wrk") || !is_installed("curl") {
        return;
    }
    let tree = TempTree::new();
    tree.file("large.bin", [7; 4096]);
    let (root, metrics) = (tree.path().to_str().unwrap(), tree.path().join("metrics"));
    let place = format!("unix:{}", metrics.display());
    for backend in ["io_uring", "epoll", "poll"] {
        let mut command = ukevent(&["serve", "--root", root, "--backend", backend]);
        let (server, address) = serve(command.args(["--threads", "4", "--metrics", &place]));
        let url = format!("http://{address}/large.bin");
        wrk_is_served(&url);
        let curl = Command::new("curl").args(["-sS", &url]).output().unwrap();
        assert_eq!(curl.stdout, [7; 4096]);
        let shown = ask(UnixStream::connect(&metrics).unwrap(), "/metrics");
        let all = |name: &str| of_all(&shown, name);
        for (name, of_all) in [
            ("requests_total", "requests_total"),
            ("connections_accepted_total", "connections_accepted_total"),
            ("sent_bytes_total", "sent_bytes_total"),
            ("queue_events_total", "queue_events_total"),
            ("queue_batches_total", "queue_batches_total"),
        ] {
            let each = by_thread(&shown, name);
            assert_eq!(each.len(), 4, "{backend}: {name}: {shown}");
            assert!(each.iter().all(|&it| it > 0), "{backend}: {name}: {each:?}");
            // Nobody asks any more; a queue that is looked at has waited meanwhile.
            let (sum, of_all) = (each.iter().sum::<u64>(), all(of_all));
            assert!(sum == of_all || name.starts_with("queue"), "{name}: {sum} of {of_all}");
        }
        let requests = all("requests_total");
        let said = end(server, TERM);
        assert!(said.contains(&format!("serve: {root}, on 4 threads, by {backend}: ")), "{said}");
        assert!(said.contains(&format!("serve: {requests} requests on ")), "{said}");
    }
}

/// From one queue, by clients that rest between two requests as well: curl asks again over its connection.
#[test]
fn wrk_and_curl_are_served_from_one_queue() {
    if !is_installed("wrk") || !is_installed("curl") {
        return;
    }
    let tree = TempTree::new();
    tree.file("large.bin", [7; 4096]);
    let (root, metrics) = (tree.path().to_str().unwrap(), tree.path().join("metrics"));
    let place = format!("unix:{}", metrics.display());
    for backend in ["io_uring", "epoll", "poll"] {
        let mut command = ukevent(&["serve", "--root", root, "--backend", backend]);
        command.args(["--threads", "2", "--queue", "shared", "--metrics", &place]);
        let (server, address) = serve(&mut command);
        let url = format!("http://{address}/large.bin");
        wrk_is_served(&url);
        let metrics = || ask(UnixStream::connect(&metrics).unwrap(), "/metrics");
        // What it asked last it does not wait for.
        wait_until("its connections are gone", || of_all(&metrics(), "connections_open") == 0);
        let before = metrics();
        // Five over one connection, a third of a second apart.
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", "%{num_connects}", "--rate", "3/s", "-o", "/dev/null"]);
        let curl = curl.args(vec![&url; 5]).args(vec!["-o/dev/null"; 4]).output().unwrap();
        assert_eq!(told(&curl), "", "{backend}");
        assert_eq!(curl.stdout, b"10000", "{backend}: how many connections for each");
        let shown = metrics();
        let more = |name: &str| of_all(&shown, name) - of_all(&before, name);
        assert_eq!((more("requests_total"), more("connections_accepted_total")), (5, 1));
        assert!(more("connection_parkings_total") > 0, "{backend}: {shown}");
        // Those of wrk, and who has come back since.
        let taken = by_thread(&shown, "shared_queue_events_total");
        assert!(taken.len() == 2 && taken.iter().sum::<u64>() >= 65, "{backend}: {taken:?}");
        assert!(of_all(&shown, "shared_queue_ring_high_water") > 0, "{backend}: {shown}");
        let said = end(server, TERM);
        let expected = format!("serve: {root}, on 2 threads that share a queue, by {backend}: ");
        assert!(said.contains(&expected), "{said}");
    }
}

/// On every backend, with a client that leaves amid an answer as well.
#[test]
fn they_end_with_connections_open() {
    let tree = TempTree::new();
    tree.file("large", vec![7; 8_000_000]);
    let root = tree.path().to_str().unwrap();
    let backends = ["io_uring", "epoll", "poll"];
    for (backend, shape) in backends.into_iter().flat_map(|it| [(it, "own"), (it, "shared")]) {
        let mut command = ukevent(&["serve", "--root", root, "--backend", backend]);
        let (server, address) = serve(command.args(["--threads", "3", "--queue", shape]));
        let resting: Vec<_> = (0..20).map(|_| TcpStream::connect(&address).unwrap()).collect();
        for _ in 0..60 {
            let mut stream = TcpStream::connect(&address).unwrap();
            write!(stream, "GET /large HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
            stream.read_exact(&mut [0; 1000]).unwrap();
        }
        let answer = ask(TcpStream::connect(&address).unwrap(), "/none");
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        let said = end(server, INT);
        assert!(said.contains("serve: 61 requests on 81 connections, "), "{said}");
        for mut stream in resting {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "{backend}: it rested");
        }
    }
}

/// There is no queue for one of the threads: the server does not do with less.
#[test]
fn a_thread_that_cannot_be_had() {
    let tree = TempTree::new();
    let place = format!("unix:{}", tree.path().join("socket").display());
    for backend in ["io_uring", "epoll", "poll"] {
        let program = env!("CARGO_BIN_EXE_ukevent");
        let serve =
            format!("'{program}' serve --threads 200 --backend {backend} --listen '{place}'");
        let limited = format!("ulimit -n 60; exec {serve}");
        let output = Command::new("sh").args(["-c", &limited]).output().unwrap();
        let said = told(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("ukevent: serve: thread "), "{said}");
        assert!(said.contains("(os error 24)"), "{said}");
        assert!(output.stdout.is_empty(), "it said that it listens");
        assert!(!tree.path().join("socket").exists(), "it was left");
    }
}

#[test]
fn how_many() {
    for wrong in ["0", "1025", "-1", "many", "2.5"] {
        let output = ukevent(&["serve", &format!("--threads={wrong}")]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(told(&output).contains("write a number from 1 to 1024, or auto"), "{wrong}");
    }
    // As many as the process may use, which here is one, and so nothing is said of threads.
    let mut command = Command::new("taskset");
    command.args(["-c", "0", env!("CARGO_BIN_EXE_ukevent"), "serve", "--threads", "auto"]);
    let (server, address) = serve(&mut command);
    assert!(ask(TcpStream::connect(address).unwrap(), "/").starts_with("HTTP/1.1 200 "));
    assert!(!end(server, TERM).contains("threads"));
}

/// Who is second is refused, with the words that he knows.
#[test]
fn an_address_that_is_taken() {
    let (server, address) = serve(ukevent(&["serve"]).args(["--threads", "2"]));
    for threads in ["1", "2"] {
        let second = ukevent(&["serve", "--listen", &address, "--threads", threads]).output();
        let second = second.unwrap();
        assert_eq!(second.status.code(), Some(1));
        let said = told(&second);
        assert!(said.contains("another program listens there (ss -ltnp shows it)"), "{said}");
    }
    end(server, TERM);
}
