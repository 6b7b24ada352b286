//! A server of several threads that share one queue for those who come.

use crate::{
    client::{Client, Running, backends},
    threads::{Case, on},
};
use rustix::{
    net::{Shutdown, shutdown},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    io::Read,
    net::TcpStream,
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};
use testkit::{alone, wait_until};
use ukevent_http::{
    AccessLog, Builder, Counters, Limits, Listen, LogTo, QueueShape, Server, log::Format,
    metrics::Snapshot,
};
use ukevent_queue::BackendKind;
use ukevent_task::{Runtime, time::sleep};

const SHORT: Duration = Duration::from_millis(50);

/// A server whose first thread shows what is counted, and can be kept busy.
struct Shown {
    server: Running,
    snapshot: Arc<Mutex<Snapshot>>,
    keep: Sender<Kept>,
}

/// Says that the thread is busy, and how long.
type Kept = (Sender<()>, Receiver<()>);

/// The first thread does nothing but wait, until this is dropped.
struct Busy {
    _until: Sender<()>,
}

impl Shown {
    fn new(kind: BackendKind, builder: Builder) -> Self {
        let (snapshot, (keep, kept)) = (Arc::new(Mutex::new(Snapshot::default())), channel());
        let shown = Arc::clone(&snapshot);
        let server = Running::beside(kind, builder, move |meter| async move {
            loop {
                *shown.lock().unwrap() = meter.snapshot();
                if let Ok((begun, until)) = kept.try_recv() {
                    let (begun, until): Kept = (begun, until);
                    begun.send(()).unwrap();
                    let _ = until.recv();
                }
                sleep(Duration::from_millis(1)).await;
            }
        });
        Self { server, snapshot, keep }
    }

    /// Of so many threads, at an address.
    fn of(kind: BackendKind, threads: usize, limits: Limits) -> Self {
        let listen = Server::builder().listen("127.0.0.1:0".parse().unwrap()).limits(limits);
        Self::new(kind, on((kind, QueueShape::Shared), listen, threads))
    }

    fn keep_busy(&self) -> Busy {
        let ((begun, has_begun), (until, is_over)) = (channel(), channel());
        self.keep.send((begun, is_over)).unwrap();
        has_begun.recv().unwrap();
        Busy { _until: until }
    }

    fn see(&self) -> Snapshot {
        self.snapshot.lock().unwrap().clone()
    }

    fn all(&self) -> Counters {
        self.see().counters
    }

    /// Connections that have asked once, at least one of which the first thread has.
    fn clients(&self, least: usize) -> Vec<Client> {
        let mut clients = Vec::new();
        while clients.len() < least || self.see().threads[0].accepted == 0 {
            let mut client = self.server.connect();
            assert_eq!(client.get("/").status(), 200);
            clients.push(client);
        }
        clients
    }
}

fn limits() -> Limits {
    Limits { linger: SHORT, ..Limits::default() }
}

/// Which, kept by something else, has nobody waiting for it.
#[test]
fn a_busy_thread_is_given_nobody() {
    for kind in backends() {
        let shown = Shown::of(kind, 2, limits());
        let mut clients = shown.clients(10);
        wait_until("they are counted", || shown.all().accepted == clients.len() as u64);
        let before = shown.see();
        let busy = shown.keep_busy();
        for _ in 0..40 {
            let mut client = shown.server.connect();
            assert_eq!(client.get("/").status(), 200, "{kind}");
            clients.push(client);
        }
        drop(busy);
        wait_until("they are counted", || shown.all().accepted == clients.len() as u64);
        let after = shown.see();
        let came = |thread: usize| after.threads[thread].accepted - before.threads[thread].accepted;
        assert_eq!((came(0), came(1)), (0, 40), "{kind}");
        drop(clients);
        shown.server.stop();
    }
}

/// A burst reaches all threads: who has taken one works before it takes the next.
#[test]
fn a_burst_is_shared() {
    for kind in backends() {
        let shown = Shown::of(kind, 2, limits());
        let mut clients = Vec::new();
        // How many of one burst who gets is left to chance; that one thread gets all of each is not.
        wait_until("both have some", || {
            let mut burst: Vec<_> = (0..64).map(|_| shown.server.connect()).collect();
            burst.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
            clients.append(&mut burst);
            shown.see().threads.iter().all(|thread| thread.accepted > 0)
        });
        drop(clients);
        shown.server.stop();
    }
}

/// Nobody is let in while nobody more can be told so, and nothing asks again and again meanwhile.
#[test]
fn full_doors_stay_shut_until_one_leaves() {
    for kind in backends() {
        let limits =
            Limits { connections: 3, linger: Duration::from_secs(600), ..Limits::default() };
        let shown = Shown::of(kind, 2, limits);
        let served: Vec<_> = (0..3).map(|_| shown.server.connect()).collect();
        // Those are told, and do not close.
        let mut refused: Vec<_> = (0..64).map(|_| shown.server.connect()).collect();
        for client in &mut refused {
            assert_eq!(client.answer().status(), 503);
        }
        let mut outside = shown.server.connect();
        // Those who rest leave their thread, and take no less of the limits.
        wait_until("it pauses", || shown.all().pauses > 0 && shown.all().parked == 3);
        let before = shown.all();
        thread::sleep(SHORT);
        let after = shown.all();
        assert_eq!((after.taken, after.pauses), (before.taken, before.pauses), "{kind}: it asks");
        assert_eq!(after.accepted, 67, "{kind}");
        drop(served);
        assert_eq!(outside.get("/").status(), 200, "{kind}");
        drop((refused, outside));
        shown.server.stop();
    }
}

/// A path, and a socket that was handed over.
#[test]
fn other_sockets_too() {
    for kind in backends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let handed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, kept) = (handed.local_addr().unwrap(), handed.try_clone().unwrap());
        let listen = Server::builder()
            .listen_at(std::os::fd::OwnedFd::from(handed))
            .listen_at(Listen::Unix(path.clone()))
            .limits(limits());
        let case: Case = (kind, QueueShape::Shared);
        let shown = Shown::new(kind, on(case, listen, 3));
        for _ in 0..20 {
            let mut client = Client::over(TcpStream::connect(address).unwrap());
            assert_eq!(client.get("/").status(), 200, "{kind}");
            let mut stream = UnixStream::connect(&path).unwrap();
            std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{kind}: {answer}");
        }
        shown.server.stop();
        assert!(!path.exists(), "{kind}: it was left");
        // It listens on.
        drop(TcpStream::connect(address).unwrap());
        drop(kept);
    }
}

/// With one thread there is nobody to share with.
#[test]
fn one_thread_has_its_own() {
    for kind in backends() {
        let listen = Server::builder().listen("127.0.0.1:0".parse().unwrap());
        let queue = ukevent_queue::Builder::new().backend(kind);
        let runtime = Runtime::builder().queue(queue);
        let builder = listen.threads(1, runtime).queue(QueueShape::Shared);
        let server = Running::with(kind, builder);
        assert_eq!(server.connect().get("/").status(), 200);
        assert_eq!(server.stop().0.taken, 0);
    }
}

/// Waits until all of these rest on no thread.
fn all_rest(shown: &Shown, clients: &[Client]) {
    let count = clients.len() as u64;
    wait_until("all rest", || {
        let Snapshot { counters, threads, .. } = shown.see();
        let has_some = threads.iter().any(|thread| thread.open > 0 || thread.parked > 0);
        counters.parked == count && counters.open == count && !has_some
    });
}

/// Those of a thread that is busy are served by another.
#[test]
fn who_rests_is_taken_up_by_who_has_time() {
    for kind in backends() {
        let shown = Shown::of(kind, 2, limits());
        let mut clients = shown.clients(20);
        all_rest(&shown, &clients);
        let before = shown.see();
        let busy = shown.keep_busy();
        for _ in 0..3 {
            for client in &mut clients {
                assert_eq!(client.get("/").status(), 200, "{kind}");
            }
        }
        drop(busy);
        let count = clients.len() as u64;
        wait_until("they are counted", || shown.all().requests == 4 * count);
        let after = shown.see();
        let asked =
            |thread: usize| after.threads[thread].requests - before.threads[thread].requests;
        assert_eq!((asked(0), asked(1)), (0, 3 * count), "{kind}");
        assert_eq!(after.counters.accepted, before.counters.accepted, "{kind}");
        // They rest again, and are asked for again.
        all_rest(&shown, &clients);
        assert!(shown.all().parkings >= 2 * count, "{kind}");
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200, "{kind}"));
        drop(clients);
        wait_until("all are gone", || shown.all().open == 0);
        shown.server.stop();
    }
}

/// Also those who have never asked, and whoever goes while nobody has him.
#[test]
fn who_goes_while_it_rests_is_gone() {
    for kind in backends() {
        let shown = Shown::of(kind, 2, limits());
        let mut clients: Vec<_> = (0..10).map(|_| shown.server.connect()).collect();
        all_rest(&shown, &clients);
        clients.truncate(5);
        all_rest(&shown, &clients);
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200, "{kind}"));
        drop(clients);
        wait_until("all are gone", || shown.all().open == 0);
        let (counters, _) = shown.server.stop();
        assert_eq!((counters.open, counters.requests, counters.timed_out), (0, 5, 0), "{kind}");
    }
}

/// Bytes of a request one by one, with rests between them and between requests: none is lost on the way, whoever
/// has it.
#[test]
fn nothing_is_lost_on_the_way() {
    for kind in backends() {
        let shown = Shown::of(kind, 3, limits());
        thread::scope(|scope| {
            for number in 0_u64..8 {
                let shown = &shown;
                scope.spawn(move || {
                    let mut client = shown.server.connect();
                    for round in 0..12 {
                        // Around the time after which it leaves.
                        thread::sleep(Duration::from_micros(96_000 + (number + 8 * round) * 75));
                        client.send("GET /counters.json HTTP/1.1\r\nHo");
                        client.send("st: a\r\n\r\n");
                        assert_eq!(client.answer().status(), 200, "{kind}");
                    }
                });
            }
        });
        let (counters, _) = shown.server.stop();
        assert_eq!((counters.requests, counters.open), (96, 0), "{kind}");
        assert!(counters.parkings > 0, "{kind}");
    }
}

/// By one timer for all of them.
#[test]
fn who_rests_for_too_long_is_closed() {
    for kind in backends() {
        let idle = Duration::from_millis(400);
        let shown = Shown::of(kind, 2, Limits { idle, ..limits() });
        let mut clients = shown.clients(10);
        wait_until("some rest on no thread", || shown.all().parked > 0);
        // The first thread is not the one that looks.
        let busy = shown.keep_busy();
        let mut others: Vec<_> = (0..3).map(|_| shown.server.connect()).collect();
        others.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
        assert!(others.iter_mut().all(Client::is_closed), "{kind}");
        drop(busy);
        assert!(clients.iter_mut().all(Client::is_closed), "{kind}");
        wait_until("all are gone", || shown.all().open == 0);
        assert!(shown.all().parkings > 0, "{kind}");
        let (counters, _) = shown.server.stop();
        assert_eq!((counters.open, counters.parked), (0, 0), "{kind}");
    }
}

/// Requests meet the end of the rest: each is answered or finds the connection closed, and counts are right.
#[test]
fn a_request_at_the_end_of_the_rest() {
    for kind in backends() {
        let idle = Duration::from_millis(250);
        let shown = Shown::of(kind, 3, Limits { idle, ..limits() });
        let answered: u64 = thread::scope(|scope| {
            let ask = |number: u64| {
                let shown = &shown;
                scope.spawn(move || {
                    let mut answered = 0;
                    for round in 0..4 {
                        let mut client = shown.server.connect();
                        assert_eq!(client.get("/").status(), 200);
                        thread::sleep(
                            idle - Duration::from_micros(1000 + 90 * (number + 16 * round)),
                        );
                        answered += 1 + u64::from(client.get_or_none("/") == Some(200));
                    }
                    answered
                })
            };
            let threads: Vec<_> = (0..16).map(ask).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        wait_until("all are gone", || shown.all().open == 0);
        let (counters, _) = shown.server.stop();
        assert_eq!((counters.requests, counters.parked), (answered, 0), "{kind}");
    }
}

/// As many as may be, of all and of one address.
#[test]
fn who_rests_counts() {
    for kind in backends() {
        for limits in
            [Limits { connections: 6, ..limits() }, Limits { address_connections: 6, ..limits() }]
        {
            let shown = Shown::of(kind, 2, limits);
            let mut clients: Vec<_> = (0..6).map(|_| shown.server.connect()).collect();
            clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
            all_rest(&shown, &clients);
            assert_eq!(shown.server.connect().get_or_none("/"), Some(503), "{kind}");
            // One goes that no thread has.
            drop(clients.pop());
            wait_until("a place is free", || shown.server.connect().get_or_none("/") == Some(200));
            // One that is taken up takes nothing more.
            for _ in 0..3 {
                clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
            }
            drop(clients);
            shown.server.stop();
        }
    }
}

/// Who rests is closed at once, and who asks is answered, also if nobody has him.
#[test]
fn the_end_with_some_at_rest() {
    for kind in backends() {
        let shown = Shown::of(kind, 3, limits());
        let mut clients: Vec<_> = (0..30).map(|_| shown.server.connect()).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
        all_rest(&shown, &clients);
        // All of these ask before the end, and no thread but the first has to look at them for that.
        let busy = shown.keep_busy();
        let mut asking = clients.split_off(20);
        asking.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        shown.server.stopper.stop();
        drop(busy);
        for mut client in asking {
            assert_eq!(client.answer().status(), 200, "{kind}");
            assert!(client.is_closed(), "{kind}");
        }
        assert!(clients.iter_mut().all(Client::is_closed), "{kind}");
        let (counters, _) = shown.server.ended();
        assert_eq!((counters.requests, counters.open, counters.parked), (40, 0, 0), "{kind}");
    }
}

/// The second time closes them too.
#[test]
fn the_end_at_once_with_some_at_rest() {
    for kind in backends() {
        let shown = Shown::of(kind, 3, limits());
        let mut clients: Vec<_> = (0..10).map(|_| shown.server.connect()).collect();
        all_rest(&shown, &clients);
        shown.server.stopper.stop();
        shown.server.stopper.stop();
        assert!(clients.iter_mut().all(Client::is_closed), "{kind}");
        let (counters, _) = shown.server.ended();
        assert_eq!((counters.open, counters.parked), (0, 0), "{kind}");
    }
}

/// A Unix socket says then that it is ready, and that nobody has come, for as long as it is asked.
#[test]
fn a_socket_that_another_shuts_keeps_nobody_awake() {
    for kind in backends() {
        let folder = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
        let kept = unix.try_clone().unwrap();
        let listen = Server::builder().listen("127.0.0.1:0".parse().unwrap());
        let listen = listen.listen_at(std::os::fd::OwnedFd::from(unix)).limits(limits());
        let shown = Shown::new(kind, on((kind, QueueShape::Shared), listen, 2));
        let mut client = shown.server.connect();
        assert_eq!(client.get("/").status(), 200);
        shutdown(&kept, Shutdown::Both).unwrap();
        wait_until("it pauses", || shown.all().pauses > 0);
        let before = shown.all().taken;
        thread::sleep(3 * SHORT);
        assert_eq!(shown.all().taken, before, "{kind}: it is asked again and again");
        // The others are served.
        assert_eq!(shown.server.connect().get("/").status(), 200, "{kind}");
        shown.server.stop();
    }
}

/// Who asked is in each line, whichever thread answers, after a rest as before.
#[test]
fn the_log_knows_who_rested() {
    for kind in backends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = AccessLog { to: LogTo::File(path.clone()), format: Format::Common };
        let listen = Server::builder().listen("127.0.0.1:0".parse().unwrap()).access_log(log);
        let shown = Shown::new(kind, on((kind, QueueShape::Shared), listen.limits(limits()), 2));
        // They have asked for nothing before they rest, too.
        let mut clients: Vec<_> = (0..6).map(|_| shown.server.connect()).collect();
        for round in 0..3 {
            all_rest(&shown, &clients);
            for client in &mut clients {
                assert_eq!(client.get(&format!("/{round}")).status(), 404, "{kind}");
            }
        }
        shown.server.stop();
        let log = std::fs::read_to_string(path).unwrap();
        let known = log.lines().filter(|line| line.starts_with("127.0.0.1 - - ["));
        assert_eq!((known.count(), log.lines().count()), (18, 18), "{kind}: {log}");
    }
}

/// Who may rest for ever is taken up like any other, and so are several of them.
#[test]
fn rest_without_an_end() {
    for kind in backends() {
        let for_ever = Limits { idle: Duration::MAX, head: Duration::MAX, ..limits() };
        let shown = Shown::of(kind, 2, for_ever);
        let mut clients: Vec<_> = (0..4).map(|_| shown.server.connect()).collect();
        // They have asked for nothing before they rest, too.
        for _ in 0..2 {
            all_rest(&shown, &clients);
            clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
        }
        shown.server.stop();
    }
}

/// Without a descriptor for the next connection all threads let nobody in, for a while or until one leaves.
#[test]
fn no_descriptor_left() {
    alone(|| {
        for kind in backends() {
            let before = getrlimit(Resource::Nofile);
            let shown = Shown::of(kind, 2, limits());
            let mut clients = shown.clients(10);
            let limit = Rlimit { current: Some(100), maximum: before.maximum };
            setrlimit(Resource::Nofile, limit).unwrap();
            let mut filled: Vec<_> =
                std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
            // One for the client; none for the server.
            drop(filled.pop());
            let mut late = shown.server.connect();
            wait_until("it pauses", || shown.all().pauses > 0);
            let paused = shown.all();
            clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
            wait_until("it tries again", || shown.all().pauses > paused.pauses + 1);
            assert_eq!(shown.all().accepted, paused.accepted, "{kind}");
            let since = shown.all();
            // Nothing but the timer and the door, and those who come back.
            let (taken, pauses) = (since.taken - paused.taken, since.pauses - paused.pauses);
            let came_back = since.parkings - paused.parkings + clients.len() as u64;
            assert!(taken <= came_back + 3 * (pauses + 1), "{kind}: {taken} for {pauses} pauses");
            drop(clients.pop());
            assert_eq!(late.get("/").status(), 200, "{kind}");
            setrlimit(Resource::Nofile, before).unwrap();
            drop((clients, late, filled));
            shown.server.stop();
        }
    });
}
