//! A server of several threads that share one queue for those who come.

use crate::{
    client::{Client, Running, backends},
    threads::{Case, on},
};
use std::{
    io::Read,
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};
use testkit::wait_until;
use ukevent_http::{Builder, Counters, Limits, Listen, QueueShape, Server, metrics::Snapshot};
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
        wait_until("it pauses", || shown.all().pauses > 0);
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
