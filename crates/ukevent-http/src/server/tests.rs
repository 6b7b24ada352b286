//! The parts of the loop that need no client.

use super::*;
use crate::{
    limits::{HELD_BYTES, Limits, RECEIVE_BYTES},
    page::Page,
};
use peers::Peer;
use proptest::prelude::*;
use rustix::net::sockopt::{ipv6_v6only, socket_reuseaddr, tcp_nodelay};
use service::Site;
use std::{
    collections::BTreeMap,
    net::{TcpListener, TcpStream},
};
use ukevent_buf::Arena;
use ukevent_queue::{BackendKind, User};

#[test]
fn tokens_mean_what_they_were_made_for() {
    for first in [0, 1000, 1 << 63, u64::MAX - 5] {
        let tokens = Tokens { first };
        for meaning in [
            Meaning::Turn,
            Meaning::Stop,
            Meaning::GraceOver,
            Meaning::Resume,
            Meaning::Nothing,
            Meaning::Loaded,
            Meaning::Watch(0),
            Meaning::Watch(100_000),
            Meaning::Listener(3),
            Meaning::Peer(0),
            Meaning::Peer(u32::MAX),
            Meaning::Deadline(7),
        ] {
            assert_eq!(tokens.meaning(tokens.of(meaning)), Some(meaning));
        }
        let (before, behind) = (first.wrapping_sub(1), first.wrapping_add(1 << 34));
        assert_eq!(tokens.meaning(Token(before)), None);
        assert_eq!(tokens.meaning(Token(behind)), None);
    }
}

/// A listener's options are those of the connections that it accepts.
#[test]
fn accepted_connections_send_without_delay() {
    // "Any address" is the one of IPv6 that would be one of IPv4 too.
    for (address, host) in [("127.0.0.1:0", "127.0.0.1"), ("[::]:0", "::1")] {
        let (socket, bound) = accept::open(address.parse().unwrap(), false).unwrap();
        assert!(socket_reuseaddr(&socket).unwrap());
        assert_eq!(ipv6_v6only(&socket).ok(), bound.is_ipv6().then_some(true));
        let _client = TcpStream::connect((host, bound.port())).unwrap();
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(false).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(tcp_nodelay(&accepted).unwrap());
    }
}

fn peer(queue: &mut Queue, service: &mut Service, refused: bool) -> Peer {
    let key = queue.register(User::each(1), Token(0), ukevent_queue::Mode::Level).unwrap();
    Peer {
        connection: crate::connection::Connection::new(&service.turn()),
        key,
        timer: key,
        timer_ns: 0,
        refused,
        receiver: Receiver::Paused,
        leaving: Leaving::default(),
        awaits: None,
    }
}

proptest! {
    #[test]
    fn peers_agree_with_a_map(steps in prop::collection::vec((any::<bool>(), 0u32..8), 0..100)) {
        let mut queue = Queue::new().unwrap();
        let pool = FramePool::builder(1, 100).build(&Arena::new(1 << 16).unwrap()).unwrap();
        let site = Site::Page(Page::new());
        let mut service = Service::new(site, Limits::default(), Arc::new(pool), &queue);
        let (mut peers, mut model) = (Peers::default(), BTreeMap::new());
        for (insert, index) in steps {
            if insert {
                let place = peers.vacant();
                let peer = peer(&mut queue, &mut service, index % 3 == 0);
                prop_assert!(model.insert(place, (peer.key, peer.refused)).is_none());
                peers.insert(peer);
            } else {
                let removed = peers.remove(index).map(|peer| (peer.key, peer.refused));
                prop_assert_eq!(removed, model.remove(&index));
            }
            let refused = model.values().filter(|(_, refused)| *refused).count();
            prop_assert_eq!(peers.refused(), refused);
            prop_assert_eq!(peers.served(), model.len() - refused);
            prop_assert_eq!(peers.is_empty(), model.is_empty());
            prop_assert_eq!(peers.indices(), model.keys().copied().collect::<Vec<_>>());
            for index in 0..8 {
                prop_assert_eq!(peers.at(index).map(|peer| peer.key), model.get(&index).map(|m| m.0));
            }
        }
    }
}

/// Takes events, without answering, until this is so.
fn take_until(server: &mut Server, queue: &mut Queue, enough: fn(&mut Server) -> bool) {
    while !enough(server) {
        queue.wait(Wait::forever()).unwrap();
        while let Some(event) = queue.next_event() {
            assert_eq!(server.take(queue, event), None);
        }
    }
}

/// What a connection said must not be heard as said by the next one in its place.
#[test]
fn a_place_that_is_given_up_leaves_no_words_behind() {
    let mut queue = Queue::new().unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let mut server = Server::builder().listen(listen).start(&mut queue).unwrap();
    let mut client = TcpStream::connect(server.addresses()[0]).unwrap();
    std::io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    take_until(&mut server, &mut queue, |server| !server.received.is_empty());
    assert!(
        matches!(&server.received[0], Received { index: 0, input: Input::Bytes(it), .. } if it.len() == 27)
    );
    let _next = TcpStream::connect(server.addresses()[0]).unwrap();
    let before = server.peers.at(0).unwrap().key;
    server.step(&mut queue, 0, Step::Close);
    take_until(&mut server, &mut queue, |server| server.peers.at(0).is_some());
    assert_ne!(server.peers.at(0).unwrap().key, before, "the place is used again");
    server.answer_all(&mut queue);
    assert_eq!(server.counters().requests, 0);
}

/// A server, and a client that asks for a file which is watched by now.
struct Hot {
    site: tempfile::TempDir,
    queue: Queue,
    server: Server,
    client: TcpStream,
}

impl Hot {
    fn new(backend: BackendKind) -> Self {
        let site = tempfile::tempdir().unwrap();
        std::fs::write(site.path().join("file"), "before").unwrap();
        // What changed a moment ago is not kept.
        std::thread::sleep(Duration::from_millis(3100));
        let mut queue = ukevent_queue::Builder::new().backend(backend).build().unwrap();
        let builder = Server::builder().root(site.path()).listen("127.0.0.1:0".parse().unwrap());
        let server = builder.start(&mut queue).unwrap();
        let client = TcpStream::connect(server.addresses()[0]).unwrap();
        let mut hot = Self { site, queue, server, client };
        for _ in 0..3 {
            hot.ask();
            assert!(hot.answer().ends_with("before"));
        }
        assert!(hot.server.service.site.relies_on_reports(), "it is not watched");
        hot
    }

    /// Asks.
    fn ask(&mut self) {
        self.ask_for("file");
    }

    fn ask_for(&mut self, path: &str) {
        let asked = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
        std::io::Write::write_all(&mut self.client, asked.as_bytes()).unwrap();
    }

    /// Lets the server receive that, which is not answering it.
    fn receive(&mut self) {
        self.receive_behind(3);
    }

    /// The same, behind so many requests.
    fn receive_behind(&mut self, requests: u64) {
        while self.server.received.is_empty() {
            self.server.batch(&mut self.queue).unwrap();
            assert_eq!(self.server.counters().requests, requests, "it was answered without a look");
        }
    }

    /// Lets the server answer.
    fn answer(&mut self) -> String {
        self.client.set_nonblocking(true).unwrap();
        let mut answer = [0; 1000];
        loop {
            self.server.batch(&mut self.queue).unwrap();
            match std::io::Read::read(&mut self.client, &mut answer) {
                Ok(bytes) => return String::from_utf8(answer[..bytes].to_vec()).unwrap(),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
    }
}

/// A request may be received before the report of a change that it follows: it is answered only after
/// another look, which brings that.
#[test]
fn a_report_that_comes_behind_the_request() {
    for backend in BackendKind::REAL {
        let mut hot = Hot::new(backend);
        hot.ask();
        hot.receive();
        // The server cannot know that this was later.
        std::fs::write(hot.site.path().join("file"), "after").unwrap();
        assert!(hot.answer().ends_with("after"), "{backend}");
    }
}

/// A look that brought so much that there may be more is not relied on.
#[test]
fn a_report_that_comes_behind_many_others() {
    for backend in BackendKind::REAL {
        let mut hot = Hot::new(backend);
        hot.ask();
        hot.receive();
        for _ in 0..1000 {
            std::fs::write(hot.site.path().join("other"), "").unwrap();
            std::fs::remove_file(hot.site.path().join("other")).unwrap();
        }
        std::fs::write(hot.site.path().join("file"), "after").unwrap();
        assert!(hot.answer().ends_with("after"), "{backend}");
    }
}

/// Reports that were read for what is not watched any more are not counted, and those behind them are not
/// read yet.
#[test]
fn a_report_that_comes_behind_those_of_others_in_doubt() {
    for backend in BackendKind::REAL {
        let mut hot = Hot::new(backend);
        std::fs::create_dir(hot.site.path().join("b")).unwrap();
        std::fs::write(hot.site.path().join("b/f"), "b").unwrap();
        std::thread::sleep(Duration::from_millis(3100));
        // All in one second, in which the file is looked at once.
        let into_second = || std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
        std::thread::sleep(Duration::from_nanos(1_000_000_000 - u64::from(into_second())));
        for _ in 0..4 {
            hot.ask_for("b/f");
            assert!(hot.answer().ends_with('b'));
            hot.ask();
            assert!(hot.answer().ends_with("before"));
        }
        hot.ask();
        hot.receive_behind(hot.server.counters().requests);
        std::fs::write(hot.site.path().join("b/f"), "changed").unwrap();
        for _ in 0..300 {
            std::fs::write(hot.site.path().join("b/other"), "").unwrap();
            std::fs::remove_file(hot.site.path().join("b/other")).unwrap();
        }
        std::fs::write(hot.site.path().join("file"), "after").unwrap();
        assert!(hot.answer().ends_with("after"), "{backend}");
    }
}

/// All pieces of an answer are sent by one registration of its file, which is not left behind.
#[test]
fn a_file_is_registered_once_for_an_answer() {
    let site = tempfile::tempdir().unwrap();
    std::fs::write(site.path().join("large"), vec![7; 5_000_000]).unwrap();
    for backend in BackendKind::REAL {
        let mut queue = ukevent_queue::Builder::new().backend(backend).build().unwrap();
        let builder = Server::builder().root(site.path()).listen("127.0.0.1:0".parse().unwrap());
        let mut server = builder.start(&mut queue).unwrap();
        let mut client = TcpStream::connect(server.addresses()[0]).unwrap();
        let asked = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
        std::io::Write::write_all(&mut client, &asked).unwrap();
        let mut reader = client.try_clone().unwrap();
        let read = std::thread::spawn(move || {
            std::io::copy(&mut std::io::Read::take(&mut reader, 10_000_000), &mut std::io::sink())
        });
        let (mut operations, mut files) = (Vec::new(), Vec::new());
        let is_done = |server: &mut Server| {
            server.counters().requests == 2 && server.peers.at(0).unwrap().connection.is_idle()
        };
        while !is_done(&mut server) {
            server.batch(&mut queue).unwrap();
            if let Some(Peer { leaving, .. }) = server.peers.at(0) {
                operations.extend(leaving.operation);
                files.extend(leaving.file);
            }
        }
        operations.dedup();
        files.dedup();
        assert!(operations.len() >= 10, "{backend}: {} pieces", operations.len());
        assert!(files.len() <= 2, "{backend}: {} registrations", files.len());
        assert_eq!(server.peers.at(0).unwrap().leaving.file, None);
        for file in files {
            assert!(queue.owner_of::<Arc<OwnedFd>>(file).is_none(), "{backend}: it is left behind");
        }
        read.join().unwrap().unwrap();
    }
}

/// A timer of a connection and what it sent in time come with one wait, in this order.
#[test]
fn what_came_in_time_is_answered_though_the_timer_is_first() {
    let limits = Limits { idle: Duration::from_secs(1), ..Limits::default() };
    for backend in BackendKind::REAL {
        for is_guest in [false, true] {
            let mut queue = ukevent_queue::Builder::new().backend(backend).build().unwrap();
            let builder = Server::builder().listen("127.0.0.1:0".parse().unwrap());
            let mut server = builder.limits(limits.clone()).start(&mut queue).unwrap();
            let mut client = TcpStream::connect(server.addresses()[0]).unwrap();
            let ask = |client: &mut TcpStream| {
                std::io::Write::write_all(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            };
            let mut drive = |server: &mut Server, requests| {
                while server.counters().requests < requests
                    || !server.peers.at(0).unwrap().connection.is_idle()
                {
                    if !is_guest {
                        server.batch(&mut queue).unwrap();
                    } else {
                        queue.wait(Wait::forever()).unwrap();
                        while let Some(event) = queue.next_event() {
                            assert_eq!(server.handle(&mut queue, event), None);
                        }
                    }
                    assert_eq!(server.counters().open, 1, "{backend}: it was closed");
                }
            };
            ask(&mut client);
            drive(&mut server, 1);
            ask(&mut client);
            std::thread::sleep(Duration::from_millis(1100));
            drive(&mut server, 2);
        }
    }
}

/// Whoever asks for what must be loaded and goes away leaves nothing behind.
#[test]
fn who_is_gone_waits_for_nothing() {
    let site = tempfile::tempdir().unwrap();
    let mut queue = Queue::new().unwrap();
    let builder = Server::builder().root(site.path()).listen("127.0.0.1:0".parse().unwrap());
    let mut server = builder.start(&mut queue).unwrap();
    let mut client = TcpStream::connect(server.addresses()[0]).unwrap();
    let asked = b"GET /never-heard-of HTTP/1.1\r\nHost: a\r\n\r\n";
    std::io::Write::write_all(&mut client, asked).unwrap();
    while server.awaiting.is_empty() {
        server.batch(&mut queue).unwrap();
        assert_eq!(server.counters().answers[4], 0, "it was known");
    }
    assert_eq!(server.awaiting.values().map(Vec::len).sum::<usize>(), 1);
    server.step(&mut queue, 0, Step::Close);
    assert_eq!(server.awaiting.values().map(Vec::len).sum::<usize>(), 0);
    while !server.awaiting.is_empty() {
        server.batch(&mut queue).unwrap();
    }
}

/// Who was accepted when there were too many is let in before the end, if there is room by then.
#[test]
fn who_was_late_is_let_in_at_the_end() {
    for backend in BackendKind::REAL {
        let mut queue = ukevent_queue::Builder::new().backend(backend).build().unwrap();
        let builder = Server::builder().listen("127.0.0.1:0".parse().unwrap());
        let mut server = builder.start(&mut queue).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        std::io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        server.listeners.late.push_back(listener.accept().unwrap().0.into());
        let stopper = server.stopper();
        let read = std::thread::spawn(move || {
            let mut answer = String::new();
            std::io::Read::read_to_string(&mut client, &mut answer).map(|_| answer)
        });
        stopper.stop();
        server.run(&mut queue).unwrap();
        let answer = read.join().unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{backend}: {answer:?}");
    }
}

/// A guest's loop watches nothing, and keeps no list of what would be worth it.
#[test]
fn a_guest_gathers_nothing() {
    let site = tempfile::tempdir().unwrap();
    std::fs::write(site.path().join("file"), "content").unwrap();
    let file = std::fs::File::options().append(true).open(site.path().join("file")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    std::thread::sleep(Duration::from_millis(3100));
    let mut queue = Queue::new().unwrap();
    let builder = Server::builder().root(site.path()).listen("127.0.0.1:0".parse().unwrap());
    let mut server = builder.start(&mut queue).unwrap();
    let mut client = TcpStream::connect(server.addresses()[0]).unwrap();
    for requests in 1..=5 {
        std::io::Write::write_all(&mut client, b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        while server.counters().requests < requests {
            queue.wait(Wait::forever()).unwrap();
            while let Some(event) = queue.next_event() {
                assert_eq!(server.handle(&mut queue, event), None);
            }
        }
        let Site::Files(root) = &server.service.site else { panic!("files are served") };
        assert_eq!(root.wanted(), 0);
    }
}

/// One who sends on while he takes nothing is not received from beyond a bound; and is again when he
/// has taken what was before.
#[test]
fn who_does_not_read_is_not_read_from() {
    const MANY: usize = 20_000;
    let site = tempfile::tempdir().unwrap();
    std::fs::write(site.path().join("large"), vec![7; 20_000_000]).unwrap();
    for backend in BackendKind::REAL {
        let mut queue = ukevent_queue::Builder::new().backend(backend).build().unwrap();
        let builder = Server::builder().root(site.path()).listen("127.0.0.1:0".parse().unwrap());
        let mut server = builder.start(&mut queue).unwrap();
        let mut client = TcpStream::connect(server.addresses()[0]).unwrap();
        let mut sender = client.try_clone().unwrap();
        let sent = std::thread::spawn(move || {
            let many = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".repeat(MANY);
            let all = format!("GET /large HTTP/1.1\r\nHost: a\r\n\r\n{many}");
            std::io::Write::write_all(&mut sender, all.as_bytes()).unwrap();
            sender.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let receiver = |server: &mut Server| server.peers.at(0).map(|peer| peer.receiver);
        while receiver(&mut server) != Some(Receiver::Paused) {
            server.batch(&mut queue).unwrap();
            let held = server.peers.at(0).map_or(0, |peer| peer.connection.held_bytes());
            assert!(held <= 2 * (HELD_BYTES + 2 * RECEIVE_BYTES), "{backend}: {held} bytes");
        }
        let stopper = server.stopper();
        let read = std::thread::spawn(move || {
            let mut all = Vec::new();
            std::io::Read::read_to_end(&mut client, &mut all).unwrap();
            stopper.stop();
            all.len()
        });
        server.run(&mut queue).unwrap();
        sent.join().unwrap();
        assert!(read.join().unwrap() > 20_000_000);
        assert_eq!(server.counters().requests as usize, MANY + 1, "{backend}");
    }
}
