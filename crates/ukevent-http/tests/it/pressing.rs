//! Peers that press: that send while they are answered, reset in the middle, or are more than there are
//! frames.

use crate::client::{Client, Running, backends};
use rustix::net::sockopt::set_socket_linger;
use std::{fs, io::Write, time::Duration};
use ukevent_http::Limits;

const LARGE: usize = 4_000_000;

fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("small"), "small").unwrap();
    fs::write(dir.path().join("large"), vec![7; LARGE]).unwrap();
    dir
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Requests that come while a large file leaves are held up to a bound, then wait in the kernel, and
/// are all answered in their order.
#[test]
fn requests_behind_a_large_file() {
    const BEHIND: usize = 5000;
    let site = site();
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        let mut client = server.connect();
        client.send(request("/large"));
        let mut sender = client.stream.try_clone().unwrap();
        let sent = std::thread::spawn(move || {
            for number in 0..BEHIND {
                sender.write_all(
                    request(if number % 2 == 0 { "/small" } else { "/no" }).as_bytes(),
                )?;
            }
            sender.shutdown(std::net::Shutdown::Write)
        });
        // Others are served meanwhile.
        for _ in 0..20 {
            assert_eq!(server.connect().get("/small").content, b"small", "{kind}");
        }
        assert_eq!(client.answer().content.len(), LARGE);
        for number in 0..BEHIND {
            let expected = if number % 2 == 0 { 200 } else { 404 };
            assert_eq!(client.answer().status(), expected, "{kind}: {number}");
        }
        sent.join().unwrap().unwrap();
        assert!(client.is_closed(), "{kind}");
    }
}

/// One who sends and never reads is held to a bound and given up in time; others do not notice.
#[test]
fn one_who_only_sends() {
    let site = site();
    for kind in backends() {
        let limits = Limits { stall: Duration::from_millis(300), ..Limits::default() };
        let server = Running::new(kind, Some(site.path()), limits);
        let mut pressing: Vec<_> = (0..8).map(|_| server.connect()).collect();
        let senders: Vec<_> = pressing
            .drain(..)
            .map(|client| {
                std::thread::spawn(move || {
                    let mut stream = client.stream;
                    let many = request("/large").repeat(100);
                    // Until it is given up.
                    while stream.write_all(many.as_bytes()).is_ok() {}
                })
            })
            .collect();
        for _ in 0..50 {
            assert_eq!(server.connect().get("/small").content, b"small", "{kind}");
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        let (counters, _) = server.stop();
        assert_eq!((counters.timed_out, counters.open), (8, 0), "{kind}");
        assert!(
            counters.requests < 100,
            "{kind}: requests of one who does not read were looked at"
        );
    }
}

/// A reset while an answer is under way ends that connection, at once and nothing else.
#[test]
fn resets_amid_an_answer() {
    let site = site();
    for kind in backends() {
        let limits = Limits { stall: Duration::from_secs(600), ..Limits::default() };
        let server = Running::new(kind, Some(site.path()), limits);
        let mut other = server.connect();
        for round in 0..50 {
            let mut client = server.connect();
            client.send(request("/large").repeat(1 + round % 3));
            assert!(client.read() > 0);
            set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
            drop(client);
            assert_eq!(other.get("/small").content, b"small", "{kind}");
        }
        drop(other);
        let (counters, _) = server.stop();
        assert_eq!((counters.open, counters.timed_out), (0, 0), "{kind}");
    }
}

/// More connections than there are frames say something at once, and all of it twice.
#[test]
fn more_peers_than_frames() {
    const PEERS: usize = 700;
    testkit::raise_nofile();
    let site = site();
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        let mut clients: Vec<Client> = (0..PEERS).map(|_| server.connect()).collect();
        for _ in 0..3 {
            for client in &mut clients {
                // More than a frame holds.
                let long =
                    format!("GET /small HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(5000));
                client.send(long + &request("/no"));
            }
            for client in &mut clients {
                assert_eq!(client.answer().content, b"small", "{kind}");
                assert_eq!(client.answer().status(), 404, "{kind}");
            }
        }
        drop(clients);
        assert_eq!(server.stop().0.requests as usize, PEERS * 6, "{kind}");
    }
}
