//! The stream of events over sockets: it goes on, notices who goes, and holds nobody up.

use crate::client::{Client, Running, backends, run};
use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    time::Duration,
};
use ukevent_http::{Limits, Server};

/// Somebody who watches.
struct Watcher(BufReader<TcpStream>);

impl Watcher {
    fn new(server: &Running) -> Self {
        let mut client = server.connect();
        client.send("GET /live HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut watcher = Self(BufReader::new(client.stream));
        assert_eq!(watcher.line(), "HTTP/1.1 200 OK\r\n");
        while watcher.line() != "\r\n" {}
        watcher
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "an end where an event was due");
        line
    }

    /// What the next event says.
    fn event(&mut self) -> String {
        loop {
            if let Some(data) = self.line().strip_prefix("data: ") {
                return data.to_owned();
            }
        }
    }
}

/// The number of this name.
fn number(event: &str, name: &str) -> u64 {
    let (_, behind) = event.split_once(&format!("\"{name}\":")).expect(name);
    behind.split([',', '}']).next().unwrap().parse().expect(name)
}

#[test]
fn events_tell_what_happens() {
    for kind in backends() {
        let server = Running::new(kind, None, Limits::default());
        let mut watcher = Watcher::new(&server);
        let mut before = watcher.event();
        assert_eq!(number(&before, "requests"), 1, "{kind}");
        let mut client = server.connect();
        for _ in 0..3 {
            assert_eq!(client.get("/").status(), 200);
            let event = watcher.event();
            for name in ["uptime_ms", "requests", "bytes_sent", "events", "batches"] {
                assert!(number(&event, name) > number(&before, name), "{kind}, {name}: {event}");
            }
            assert_eq!(number(&event, "open"), 2, "{kind}");
            before = event;
        }
        server.stop();
    }
}

#[test]
fn an_event_tells_of_the_latency_of_its_second() {
    for kind in backends() {
        let server = Running::new(kind, None, Limits::default());
        let mut watcher = Watcher::new(&server);
        watcher.event();
        let mut client = server.connect();
        // The answers may all fall into the second before.
        let event = loop {
            assert_eq!(client.get("/").status(), 200);
            let event = watcher.event();
            if !event.contains("\"p50_us\":null") {
                break event;
            }
        };
        let [half, most] = ["p50_us", "p99_us"].map(|name| number(&event, name));
        assert!(half <= most, "{kind}: {event}");
        server.stop();
    }
}

#[test]
fn who_goes_is_noticed() {
    for kind in backends() {
        let server = Running::new(kind, None, Limits::default());
        let mut watchers: Vec<_> = (0..20).map(|_| Watcher::new(&server)).collect();
        watchers.iter_mut().for_each(|watcher| drop(watcher.event()));
        let mut client = server.connect();
        let mut open = || {
            let answer = client.get("/counters.json");
            number(&String::from_utf8(answer.content).unwrap(), "open")
        };
        assert_eq!(open(), 21, "{kind}");
        drop(watchers);
        testkit::wait_until("nobody watches", || open() == 1);
        server.stop();
    }
}

/// Neither the end of the server nor the time that a connection may rest is put off or cut short.
#[test]
fn nobody_waits_for_who_watches() {
    for kind in backends() {
        let long = Duration::from_secs(3600);
        let limits = Limits { grace: long, linger: long, stall: long, ..Limits::default() };
        let server = Running::new(kind, None, limits);
        let mut watchers: Vec<_> = (0..5).map(|_| Watcher::new(&server)).collect();
        watchers.iter_mut().for_each(|watcher| drop(watcher.event()));
        let (counters, _) = server.stop();
        assert_eq!((counters.requests, counters.timed_out), (5, 0), "{kind}");
    }
}

#[test]
fn watching_is_no_rest() {
    for kind in backends() {
        let short = Duration::from_millis(20);
        let limits = Limits { idle: short, head: Duration::from_secs(60), ..Limits::default() };
        let server = Running::new(kind, None, limits);
        let mut watcher = Watcher::new(&server);
        (0..3).for_each(|_| drop(watcher.event()));
        let (counters, _) = server.stop();
        assert_eq!(counters.timed_out, 0, "{kind}");
    }
}

/// Whoever asks is counted, but for those whose answer goes on.
#[test]
fn each_answer_has_its_latency() {
    for kind in backends() {
        run(kind, async {
            let builder = Server::builder().listen("127.0.0.1:0".parse().unwrap());
            let mut server = builder.start().unwrap();
            let (address, stopper) = (server.addresses()[0], server.stopper());
            let asking = std::thread::spawn(move || {
                let connect = || TcpStream::connect(address).unwrap();
                let mut client = Client::over(connect());
                (0..3).for_each(|_| assert_eq!(client.get("/").status(), 200));
                let mut watcher = Client::over(connect());
                assert_eq!(watcher.get("/live").status(), 200);
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4));
                (0..4).for_each(|_| assert_eq!(client.answer().status(), 200));
                stopper.stop();
            });
            server.run().await.unwrap();
            asking.join().unwrap();
            let counted = server.meter().snapshot();
            assert_eq!((counted.counters.requests, counted.latency.count()), (8, 7), "{kind}");
        });
    }
}
