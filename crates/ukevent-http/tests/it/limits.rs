//! Reaching a limit: each has its answer, and the server goes on.

use crate::client::{Client, Running, backends, read};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{fs, net::TcpStream, time::Duration};
use testkit::alone;
use ukevent_http::{Limits, Server};
use ukevent_queue::BackendKind;

const SHORT: Duration = Duration::from_millis(30);

#[test]
fn a_connection_too_many() {
    for kind in backends() {
        let limits = Limits { connections: 2, ..Limits::default() };
        let server = Running::new(kind, None, limits);
        let mut first = server.connect();
        let mut second = server.connect();
        assert_eq!((first.get("/").status(), second.get("/").status()), (200, 200));
        for _ in 0..100 {
            let mut third = server.connect();
            third.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = third.answer();
            assert_eq!((answer.status(), answer.field("Connection")), (503, Some("close")));
            assert!(third.is_closed());
        }
        assert_eq!(first.get("/").status(), 200);
        drop(second);
        // The server sees that it is gone before it accepts the next, or shortly after.
        testkit::wait_until("a place is free", || server.connect().get("/").status() == 200);
        let (counters, _) = server.stop();
        assert!(counters.refused >= 100, "{kind}: {counters:?}");
    }
}

/// More refused connections than may linger: the rest waits in the backlog for its answer.
#[test]
fn a_crowd_too_many() {
    for kind in backends() {
        let limits = Limits { connections: 0, ..Limits::default() };
        let server = Running::new(kind, None, limits);
        let mut crowd: Vec<_> = (0..200).map(|_| server.connect()).collect();
        while let Some(mut client) = crowd.pop() {
            // The first to leave is the last that came: it is in the backlog until others leave.
            if crowd.len() < 64 {
                assert_eq!(client.answer().status(), 503);
            }
        }
        assert_eq!(server.connect().answer().status(), 503, "it accepts no more");
        let (counters, _) = server.stop();
        assert!(counters.pauses > 0, "{kind}: {counters:?}");
    }
}

#[test]
fn time_outs() {
    for kind in backends() {
        let limits =
            Limits { head: SHORT, idle: SHORT, body: SHORT, linger: SHORT, ..Limits::default() };
        let server = Running::new(kind, None, limits);
        // Nothing at all, and rest after a request.
        assert!(server.connect().is_closed());
        let mut client = server.connect();
        assert_eq!(client.get("/").status(), 200);
        assert!(client.is_closed());
        // A head and a body that do not end.
        for begun in ["GET / HT", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na"] {
            let mut client = server.connect();
            client.send(begun);
            let answer = client.answer();
            assert_eq!((answer.status(), answer.field("Connection")), (408, Some("close")));
            assert!(client.is_closed());
        }
        assert_eq!(server.stop().0.timed_out, 2, "{kind}");
    }
}

#[test]
fn a_client_that_does_not_read() {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("large"), vec![0; 50_000_000]).unwrap();
    for kind in backends() {
        let limits = Limits { stall: SHORT, ..Limits::default() };
        let listen = "127.0.0.1:0".parse().unwrap();
        let builder = Server::builder().listen(listen).root(site.path()).limits(limits);
        let (server, counters) = Running::observed(kind, builder);
        let mut client = server.connect();
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        testkit::wait_until("the server gives the client up", || {
            counters.lock().unwrap().timed_out == 1
        });
        // What the client finds when it reads at last is short.
        let mut bytes = 0;
        let mut buffer = vec![0; 1 << 20];
        while let Ok(read @ 1..) = read(&mut client.stream, &mut buffer) {
            bytes += read;
        }
        assert!(bytes < 50_000_000, "{kind}");
    }
}

/// One that reads so slowly that the kernel's buffer does not ask for more within the limit is not
/// taken for one that does not read.
#[test]
fn a_client_that_reads_slowly() {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("large"), vec![0; 8_000_000]).unwrap();
    for kind in backends() {
        let limits = Limits { stall: 4 * SHORT, ..Limits::default() };
        let server = Running::new(kind, Some(site.path()), limits);
        let mut client = server.connect();
        client.send("GET /large HTTP/1.0\r\n\r\n");
        let mut bytes = 0;
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = read(&mut client.stream, &mut buffer) {
            bytes += read;
            std::thread::sleep(SHORT / 4);
        }
        assert!(bytes > 8_000_000, "{kind}: {bytes}");
    }
}

/// Without a descriptor for the next connection the server neither spins nor stops.
#[test]
fn no_descriptor_left() {
    alone(|| {
        for kind in backends() {
            let site = tempfile::tempdir().unwrap();
            fs::write(site.path().join("large"), vec![0; 100_000]).unwrap();
            // A ring takes the limit as it is when it begins to accept.
            let before = getrlimit(Resource::Nofile);
            let limit = Rlimit { current: Some(100), maximum: before.maximum };
            setrlimit(Resource::Nofile, limit).unwrap();
            let server = Running::new(kind, Some(site.path()), Limits::default());
            let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
            for client in &mut clients {
                assert_eq!(client.get("/nothing").status(), 404);
            }
            let mut filled: Vec<_> =
                std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
            // One for the client; none for the server.
            drop(filled.pop());
            let late = TcpStream::connect(server.address).unwrap();
            // Those who are in are served, though files cannot be opened.
            for _ in 0..20 {
                assert_eq!(clients[0].get("/large").status(), 503);
                assert_eq!(clients[1].get("/%").status(), 400);
            }
            std::thread::sleep(Duration::from_millis(300));
            // One leaves, and the late one gets in; its answer needs no file.
            drop(clients.pop());
            let mut late = Client::over(late);
            assert_eq!(late.get("/nothing").status(), 404);
            setrlimit(Resource::Nofile, before).unwrap();
            assert_eq!(clients[0].get("/large").status(), 200);
            drop((clients, late, filled));
            let (counters, queue) = server.stop();
            assert!(counters.pauses > 0, "{counters:?}");
            assert!(queue.waits < 1000, "{kind} spins: {queue:?}");
        }
    });
}

/// Descriptors that are only kept for speed are given up for those that are needed.
#[test]
fn kept_files_make_room() {
    alone(|| {
        let site = tempfile::tempdir().unwrap();
        for name in ["one", "two", "three"] {
            fs::write(site.path().join(name), vec![0; 100_000]).unwrap();
        }
        // What changed a moment ago is not kept.
        std::thread::sleep(Duration::from_millis(3100));
        for kind in backends() {
            // A ring takes the limit as it is when it begins to accept.
            let before = getrlimit(Resource::Nofile);
            let limit = Rlimit { current: Some(100), maximum: before.maximum };
            setrlimit(Resource::Nofile, limit).unwrap();
            let server = Running::new(kind, Some(site.path()), Limits::default());
            let mut client = server.connect();
            assert_eq!(client.get("/one").status(), 200);
            let fill = || std::iter::from_fn(|| fs::File::open("/dev/null").ok());
            let mut filled: Vec<_> = fill().collect();
            // The first file goes for the second.
            assert_eq!(client.get("/two").status(), 200, "{kind}");
            // The second goes for a connection.
            filled.pop();
            let mut late = server.connect();
            assert_eq!(late.get("/%").status(), 400, "{kind}");
            assert_eq!(late.get("/three").status(), 503, "{kind}");
            setrlimit(Resource::Nofile, before).unwrap();
            drop((filled, client, late));
        }
    });
}

/// A connection at rest holds no buffer: its task, its registrations, and what those hold.
#[test]
fn memory_of_idle_connections() {
    const CONNECTIONS: usize = 4000;
    alone(|| {
        testkit::raise_nofile();
        for kind in [BackendKind::Epoll, BackendKind::IoUring] {
            if !backends().any(|it| it == kind) {
                continue;
            }
            let server = Running::new(kind, None, Limits::default());
            let mut clients = Vec::with_capacity(CONNECTIONS);
            let mut connect = |number: usize| {
                for _ in 0..number {
                    let mut client = server.connect();
                    client.send("GET /nothing HTTP/1.1\r\nHost: a\r\n");
                    client.send("\r\n");
                    let mut answer = [0; 2048];
                    assert!(read(&mut client.stream, &mut answer).unwrap() > 0);
                    clients.push(client.stream);
                }
            };
            // What is there once, whatever the number.
            connect(500);
            let before = resident_bytes();
            connect(CONNECTIONS - 500);
            let each = (resident_bytes() - before) / (CONNECTIONS - 500) as u64;
            assert!(each <= 1472, "{kind}: {each} bytes each");
        }
    });
}

pub(crate) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
