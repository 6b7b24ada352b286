//! A server of several threads, which to its clients is one: that all of them serve, that bounds are of all
//! together, and that they end together.

use crate::{
    client::{Client, Running, backends, run},
    tls::{Authority, Secure},
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, mknodat},
    io::ioctl_fionread,
};
use rustls::{HandshakeKind, version::TLS13};
use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{
            fs::OpenOptionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use testkit::wait_until;
use ukevent_http::{
    AccessLog, Builder, Certificate, Counters, Limits, Listen, LogTo,
    QueueShape::{self, Own, Shared},
    Server,
    log::Format,
    metrics::Snapshot,
};
use ukevent_queue::BackendKind;
use ukevent_task::{Runtime, time::sleep};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SHORT: Duration = Duration::from_millis(50);

/// A backend, and how connections reach the threads.
pub(crate) type Case = (BackendKind, QueueShape);

/// Each backend with each shape.
fn cases() -> impl Iterator<Item = Case> {
    backends().flat_map(|kind| [(kind, Own), (kind, Shared)])
}

/// At an address, on so many threads.
pub(crate) fn builder(case: Case, threads: usize) -> Builder {
    let listen = Server::builder().listen("127.0.0.1:0".parse().unwrap());
    on(case, listen, threads)
}

pub(crate) fn on((kind, shape): Case, builder: Builder, threads: usize) -> Builder {
    let queue = ukevent_queue::Builder::new().backend(kind);
    builder.threads(threads, Runtime::builder().queue(queue)).queue(shape)
}

/// Starts it beside a task that shows what it counts every millisecond.
fn observed(kind: BackendKind, builder: Builder) -> (Running, Arc<Mutex<Snapshot>>) {
    let snapshot = Arc::new(Mutex::new(Snapshot::default()));
    let shown = Arc::clone(&snapshot);
    let server = Running::beside(kind, builder, move |meter| async move {
        loop {
            *shown.lock().unwrap() = meter.snapshot();
            sleep(Duration::from_millis(1)).await;
        }
    });
    (server, snapshot)
}

/// What each thread has accepted.
fn accepted(snapshot: &Mutex<Snapshot>) -> Vec<u64> {
    snapshot.lock().unwrap().threads.iter().map(|thread| thread.accepted).collect()
}

/// The status that a request over this is answered with; none, if it is closed.
fn ask(mut stream: impl Read + Write) -> Option<u16> {
    stream.write_all(REQUEST).ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    Some(std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap())
}

/// The kernel spreads them, or one queue does; what each has counted is what all have.
#[test]
fn all_threads_serve() {
    for case @ (kind, shape) in cases() {
        let (server, snapshot) = observed(kind, builder(case, 3));
        let mut clients: Vec<_> = (0..120).map(|_| server.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.get("/").status(), 200);
        }
        let sum = |seen: &Snapshot, of: fn(&Counters) -> u64| -> u64 {
            seen.threads.iter().map(of).sum()
        };
        // What is shown is of no single moment.
        wait_until("all is counted", || {
            let seen = &*snapshot.lock().unwrap();
            let (open, bytes_sent) = (sum(seen, |it| it.open), sum(seen, |it| it.bytes_sent));
            seen.latency.count() == 120
                && seen.counters.open == 120
                && open + seen.counters.parked == 120
                && bytes_sent == seen.counters.bytes_sent
        });
        let seen = snapshot.lock().unwrap().clone();
        assert_eq!((sum(&seen, |it| it.requests), sum(&seen, |it| it.accepted)), (120, 120));
        assert!(shape == Shared || seen.counters.parked == 0, "{kind}");
        for thread in &seen.threads {
            // From one queue who is fastest may take all of them.
            let is_spread = thread.requests > 10 && thread.batches > 0 && thread.events > 0;
            assert!(shape == Shared || is_spread, "{kind}: {seen:?}");
        }
        // Those who came, one by one.
        let taken = if shape == Shared { 120 } else { 0 };
        assert!(seen.counters.taken >= taken && sum(&seen, |it| it.taken) == seen.counters.taken);
        let (counters, _) = server.stop();
        assert_eq!((counters.requests, counters.accepted, counters.open), (120, 120, 0), "{kind}");
    }
}

/// What one thread accepts for all comes to each of them in turn, one by one and in a burst.
#[test]
fn a_path_is_served_by_all_alike() {
    for case @ (kind, _) in backends().map(|kind| (kind, Own)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (server, snapshot) =
            observed(kind, builder(case, 4).listen_at(Listen::Unix(path.clone())));
        let connect = || UnixStream::connect(&path).unwrap();
        let clients: Vec<_> = (0..64)
            .map(|_| {
                let stream = connect();
                assert_eq!(ask(&stream), Some(200));
                stream
            })
            .collect();
        wait_until("they are counted", || accepted(&snapshot).iter().sum::<u64>() == 64);
        assert_eq!(accepted(&snapshot), [16; 4], "{kind}: one by one");
        let burst: Vec<_> = (0..64).map(|_| connect()).collect();
        for stream in &burst {
            assert_eq!(ask(stream), Some(200), "{kind}");
        }
        wait_until("they are counted", || accepted(&snapshot).iter().sum::<u64>() == 128);
        // Who has as many waiting as may wait is passed over.
        assert!(
            accepted(&snapshot).iter().all(|&count| count >= 16 + 8),
            "{kind}: {:?}",
            accepted(&snapshot)
        );
        drop((clients, burst));
        server.stop();
        assert!(!path.exists(), "{kind}: it was left");
    }
}

/// Two of them, so that two threads accept; they listen on when the server has ended.
#[test]
fn sockets_that_were_handed_over() {
    for case @ (kind, shape) in cases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (tcp, unix) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
        let (address, kept) = (tcp.local_addr().unwrap(), (tcp.try_clone(), unix.try_clone()));
        let listen = Server::builder().listen_at(OwnedFd::from(tcp)).listen_at(OwnedFd::from(unix));
        let (server, snapshot) = observed(kind, on(case, listen, 3));
        for _ in 0..15 {
            assert_eq!(ask(TcpStream::connect(address).unwrap()), Some(200), "{kind}");
            assert_eq!(ask(UnixStream::connect(&path).unwrap()), Some(200), "{kind}");
        }
        wait_until("they are counted", || accepted(&snapshot).iter().sum::<u64>() == 30);
        assert!(shape == Shared || accepted(&snapshot) == [10; 3], "{kind}");
        server.stop();
        assert!(
            TcpStream::connect(address).is_ok() && UnixStream::connect(&path).is_ok(),
            "{kind}"
        );
        drop(kept);
    }
}

#[test]
fn as_many_connections_as_may_be() {
    for case @ (kind, _) in cases() {
        let limits = Limits { connections: 10, linger: SHORT, ..Limits::default() };
        let server = Running::with(kind, builder(case, 4).limits(limits));
        let mut clients: Vec<_> = (0..40).map(|_| server.connect()).collect();
        let statuses: Vec<_> = clients.iter_mut().map(|client| client.get_or_none("/")).collect();
        let served = statuses.iter().filter(|status| **status == Some(200)).count();
        assert_eq!(served, 10, "{kind}: {statuses:?}");
        // One goes, whichever thread has it, and another one comes, whichever thread gets it.
        let at = statuses.iter().position(|status| *status == Some(200)).unwrap();
        drop(clients.remove(at));
        wait_until("a place is free", || server.connect().get_or_none("/") == Some(200));
        let (counters, _) = server.stop();
        assert!(counters.refused >= 30, "{kind}: {counters:?}");
    }
}

#[test]
fn an_address_has_one_share_of_all_threads() {
    for case @ (kind, _) in cases() {
        let limits = Limits { address_connections: 6, linger: SHORT, ..Limits::default() };
        let server = Running::with(kind, builder(case, 4).limits(limits));
        let mut clients: Vec<_> = (0..40).map(|_| server.connect()).collect();
        let served =
            clients.iter_mut().filter_map(|it| it.get_or_none("/")).filter(|it| *it == 200);
        assert_eq!(served.count(), 6, "{kind}");
        drop(clients);
        wait_until("they are forgotten", || server.connect().get_or_none("/") == Some(200));
        drop(server);
        // Requests: ten times what comes in a second at once, however many connections they come over.
        let limits = Limits { address_requests: 1, linger: SHORT, ..Limits::default() };
        let server = Running::with(kind, builder(case, 4).limits(limits));
        let statuses: Vec<_> = (0..40).map(|_| server.connect().get_or_none("/")).collect();
        let served = statuses.iter().filter(|status| **status == Some(200)).count();
        assert!(served >= 10, "{kind}: {statuses:?}");
        assert!(statuses.contains(&Some(429)), "{kind}: {statuses:?}");
    }
}

/// Who rests is closed, who is being answered is answered, and who comes is not let in.
#[test]
fn the_end_with_connections_open() {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("large"), vec![7; 20_000_000]).unwrap();
    for case @ (kind, shape) in cases() {
        let limits = Limits { linger: SHORT, ..Limits::default() };
        let (server, snapshot) = observed(kind, builder(case, 3).root(site.path()).limits(limits));
        let mut resting: Vec<_> = (0..30).map(|_| server.connect()).collect();
        resting.iter_mut().for_each(|client| assert_eq!(client.get("/none").status(), 404));
        let mut busy: Vec<_> = (0..9).map(|_| server.connect()).collect();
        busy.iter_mut().for_each(|client| client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n"));
        wait_until("all are being answered", || snapshot.lock().unwrap().counters.requests == 39);
        assert!(shape == Shared || accepted(&snapshot).iter().all(|&count| count > 0), "{kind}");
        server.stopper.stop();
        assert!(resting.iter_mut().all(Client::is_closed), "{kind}");
        for mut client in busy {
            let answer = client.answer();
            assert_eq!((answer.status(), answer.content.len()), (200, 20_000_000), "{kind}");
        }
        let address = server.address;
        let (counters, _) = server.ended();
        assert_eq!((counters.requests, counters.open), (39, 0), "{kind}");
        assert!(TcpStream::connect(address).is_err(), "{kind}: it listens");
    }
}

/// At the second time it does not wait for anybody, on any thread.
#[test]
fn the_end_at_once() {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("large"), vec![7; 50_000_000]).unwrap();
    for (case @ (kind, _), is_one_telling) in cases().flat_map(|case| [(case, false), (case, true)])
    {
        let grace = Duration::from_secs(600);
        let limits = Limits { grace, stall: grace, ..Limits::default() };
        let (server, snapshot) = observed(kind, builder(case, 3).root(site.path()).limits(limits));
        let mut resting: Vec<_> = (0..30).map(|_| server.connect()).collect();
        resting.iter_mut().for_each(|client| assert_eq!(client.get("/none").status(), 404));
        // They take nothing.
        let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n"));
        wait_until("all are being answered", || snapshot.lock().unwrap().counters.requests == 60);
        server.stopper.stop();
        // The first time was seen by all of them, or both times come with one look.
        assert!(is_one_telling || resting.iter_mut().all(Client::is_closed), "{kind}");
        server.stopper.stop();
        assert_eq!(server.ended().0.open, 0, "{kind}");
    }
}

/// Two servers of several threads do not share an address unknowingly, nor with one of one thread.
#[test]
fn who_is_second_is_refused() {
    let start = |builder: Builder| run(BackendKind::Epoll, async { builder.start().map(drop) }).0;
    for shape in [Own, Shared] {
        let case = (BackendKind::Epoll, shape);
        for first in [1, 3] {
            let server = Running::with(BackendKind::Epoll, builder(case, first));
            for second in [1, 3] {
                let listen = Server::builder().listen(server.address);
                let error = start(on(case, listen, second)).unwrap_err();
                let expected =
                    format!("{}: bind: Address already in use (os error 98)", server.address);
                assert_eq!(error.to_string(), expected, "{second} after {first}");
            }
            assert_eq!(server.connect().get("/").status(), 200);
        }
        // Those who want to, may.
        let server = Running::with(BackendKind::Epoll, builder(case, 2).share_port());
        let listen = Server::builder().listen(server.address).share_port();
        start(on(case, listen, 2)).unwrap();
    }
}

/// A start that fails behind sockets that were had leaves none of them.
#[test]
fn a_start_that_fails_leaves_nothing() {
    for shape in [Own, Shared] {
        let (taken, address) = testkit::listener();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listen =
            Server::builder().listen(other).listen_at(Listen::Unix(path.clone())).listen(address);
        let builder = on((BackendKind::Epoll, shape), listen, 3);
        run(BackendKind::Epoll, async { builder.start().map(drop).unwrap_err() });
        assert!(!path.exists());
        drop(TcpListener::bind(other).unwrap());
        drop(taken);
    }
}

fn write(folder: &Path, authority: &Authority) -> Certificate {
    let leaf = authority.sign();
    for (name, content) in [("chain", &leaf.chain), ("key", &leaf.key)] {
        let new = folder.join("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, folder.join(name)).unwrap();
    }
    Certificate { chain: folder.join("chain"), key: folder.join("key") }
}

/// A new certificate is shown by each thread, and a session of one is taken up again by the others.
#[test]
fn a_certificate_for_all_threads() {
    let authority = Authority::new();
    for case @ (kind, shape) in cases() {
        let folder = tempfile::tempdir().unwrap();
        let address: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listen = Server::builder().listen_tls(address);
        let listen = listen.certificate(write(folder.path(), &authority));
        let (server, snapshot) = observed(kind, on(case, listen, 3));
        let shown = || {
            let client = Secure::connect(&server, &authority.client(&TLS13));
            client.tls.conn.peer_certificates().unwrap()[0].to_vec()
        };
        let before = shown();
        write(folder.path(), &authority);
        wait_until("the new one is shown", || shown() != before);
        let after = shown();
        assert!((0..40).all(|_| shown() == after), "{kind}: a thread has another one");
        assert!(shape == Shared || accepted(&snapshot).iter().all(|&count| count > 0), "{kind}");
        let client = authority.client(&TLS13);
        let kinds: Vec<_> = (0..30)
            .map(|_| {
                let mut talk = Secure::connect(&server, &client);
                assert_eq!(talk.get("/").status(), 200);
                talk.tls.conn.handshake_kind().unwrap()
            })
            .collect();
        assert!(kinds[1..].iter().all(|it| *it == HandshakeKind::Resumed), "{kind}: {kinds:?}");
    }
}

/// Each request is one line, and whole, though all threads log at once; also those of the end.
#[test]
fn one_log_of_whole_lines() {
    for case @ (kind, shape) in cases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = AccessLog { to: LogTo::File(path.clone()), format: Format::Common };
        let (server, snapshot) = observed(kind, builder(case, 3).access_log(log));
        // Of a length that nothing divides, so that a write that is cut is cut within a line.
        let long = "x".repeat(1009);
        std::thread::scope(|scope| {
            for number in 0..40 {
                let (server, long) = (&server, &long);
                scope.spawn(move || {
                    let mut client = server.connect();
                    for round in 0..20 {
                        assert_eq!(client.get(&format!("/{number}/{round}/{long}")).status(), 404);
                    }
                });
            }
        });
        assert!(shape == Shared || accepted(&snapshot).iter().all(|&count| count > 0), "{kind}");
        assert_eq!(server.stop().0.requests, 800, "{kind}");
        let log = fs::read_to_string(path).unwrap();
        let mut seen: Vec<_> = log
            .lines()
            .map(|line| {
                let (_, behind) = line.split_once("] \"GET /").expect("a request");
                let (target, end) = behind.split_once(" HTTP/1.1\" 404 ").expect("an answer");
                assert!(end.parse::<u64>().is_ok(), "{line}");
                target.strip_suffix(&format!("/{long}")).expect("all of the target").to_owned()
            })
            .collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 800, "{kind}");
    }
}

/// What is being written when the server ends is written to its end, and what waits behind it.
#[test]
fn the_last_lines_of_the_log() {
    for (case @ (kind, _), threads) in cases().flat_map(|case| [(case, 1), (case, 3)]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // Open for both, so that there is no end of it.
        let nonblock = OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        let mut fifo = options.read(true).write(true).custom_flags(nonblock).open(&path).unwrap();
        let log = AccessLog { to: LogTo::File(path), format: Format::Common };
        let server = Running::with(kind, builder(case, threads).access_log(log));
        // More than it holds.
        let long = "x".repeat(4000);
        let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for round in 0..4 {
            for client in &mut clients {
                assert_eq!(client.get(&format!("/{round}{long}")).status(), 404);
            }
        }
        wait_until("it is full", || ioctl_fionread(&fifo).unwrap() >= 60_000);
        let stopper = server.stopper.clone();
        let mut came = Vec::new();
        stopper.stop();
        assert!(clients.iter_mut().all(Client::is_closed));
        wait_until("all are there", || {
            let _ = fifo.read_to_end(&mut came);
            came.iter().filter(|&&byte| byte == b'\n').count() >= 80
        });
        server.ended();
        let came = String::from_utf8(came).unwrap();
        assert_eq!(came.lines().filter(|line| line.contains(&long)).count(), 80, "{kind}");
        assert_eq!(came.lines().count(), 80, "{kind}, {threads}: some came twice or in parts");
    }
}

/// Each keeps files of its own at hand, and none serves what was there before a change.
#[test]
fn no_thread_serves_what_was() {
    let site = tempfile::tempdir().unwrap();
    for case @ (kind, _) in cases() {
        let server = Running::with(kind, builder(case, 3).root(site.path()));
        let mut clients: Vec<_> = (0..24).map(|_| server.connect()).collect();
        for round in 0..20 {
            fs::write(site.path().join("file"), format!("{kind} {round}")).unwrap();
            for client in &mut clients {
                let content = client.get("/file").content;
                assert_eq!(String::from_utf8(content).unwrap(), format!("{kind} {round}"));
            }
        }
    }
}

/// Those who watch the page on different threads are told the same.
#[test]
fn the_page_of_each_thread_tells_of_all() {
    for case @ (kind, _) in cases() {
        let server = Running::with(kind, builder(case, 3));
        let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
        for (asked, client) in (1..).zip(&mut clients) {
            let content = String::from_utf8(client.get("/counters.json").content).unwrap();
            assert!(content.contains(&format!("\"requests\":{asked},")), "{kind}: {content}");
            let (_, threads) = content.split_once("\"threads\":[{\"open\":").expect("threads");
            assert_eq!(threads.matches("\"requests\":").count(), 3, "{kind}: {content}");
        }
    }
}
