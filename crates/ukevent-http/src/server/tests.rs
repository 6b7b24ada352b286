//! The server as a whole, driven look by look in the thread of its clients.

use super::{listen::Door, *};
use crate::{
    limits::{Limits, REFUSED_CONNECTIONS},
    out::Out,
    page::Page,
    rehearsal::rehearse,
};
use proptest::prelude::*;
use rustix::net::sockopt::{
    ipv6_v6only, set_socket_recv_buffer_size, socket_reuseaddr, tcp_nodelay,
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};
use ukevent_queue::BackendKind;
use ukevent_task::{Registered, Runtime};

const PAGE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A listener's options are those of the connections that it accepts.
#[test]
fn accepted_connections_send_without_delay() {
    // "Any address" is the one of IPv6 that would be one of IPv4 too.
    for (address, host) in [("127.0.0.1:0", "127.0.0.1"), ("[::]:0", "::1")] {
        let place = Listen::Tcp(address.parse().unwrap());
        let Door { socket, place, .. } = Door::open(&place, false).unwrap();
        let Listen::Tcp(bound) = place else { panic!("{place}") };
        assert!(socket_reuseaddr(&socket).unwrap());
        assert_eq!(ipv6_v6only(&socket).ok(), bound.is_ipv6().then_some(true));
        let _client = TcpStream::connect((host, bound.port())).unwrap();
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(false).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(tcp_nodelay(&accepted).unwrap());
    }
}

proptest! {
    #[test]
    fn seats_agree_with_a_list(steps in prop::collection::vec((any::<bool>(), 0usize..8), 0..100)) {
        rehearse(async {
            let site = Site::Page(Page::new());
            let shared = Rc::new(Shared::new(site, Limits::default(), Out::default()));
            let seats = Rc::new(Seats::new(Rc::clone(&shared), None));
            let mut model = Vec::new();
            for (take, number) in steps {
                if take {
                    let refused = number % 3 == 0;
                    model.push((seats.take(None, refused), refused));
                } else if number < model.len() {
                    let left = seats.left.rung();
                    drop(model.swap_remove(number));
                    left.await;
                }
                let refused = model.iter().filter(|(_, refused)| *refused).count();
                assert_eq!(seats.refused(), refused);
                assert_eq!(seats.served(), model.len() - refused);
                assert_eq!(shared.counters().open as usize, seats.served());
                assert_eq!(seats.is_empty(), model.is_empty());
                let mut places: Vec<_> = model.iter().map(|(taken, _)| taken.index()).collect();
                places.sort_unstable();
                places.dedup();
                assert_eq!(places.len(), model.len(), "two in one seat");
            }
        });
    }
}

/// Runs this on each backend.
fn on_backends(test: impl AsyncFn(BackendKind)) {
    BackendKind::REAL.into_iter().for_each(|backend| on_backend(backend, &test));
}

fn on_backend(backend: BackendKind, test: &impl AsyncFn(BackendKind)) {
    let queue = ukevent_queue::Builder::new().backend(backend).build().unwrap();
    let mut runtime = Runtime::with(queue);
    runtime.block_on(test(backend)).unwrap();
    let queue = runtime.into_queue().expect("nothing is left that uses it");
    assert_eq!(queue.counters().registered, 0, "{backend}: something was left");
}

/// The same, where it is never known whether a request is later than a report. (Where it is, by io_uring, there is
/// nothing between receiving and answering that a test could wait for: see tests/it/changing.rs.)
fn where_a_look_is_needed(test: impl AsyncFn(BackendKind)) {
    for backend in [BackendKind::Epoll, BackendKind::Poll] {
        on_backend(backend, &test);
    }
}

fn builder() -> Builder {
    Server::builder().listen("127.0.0.1:0".parse().unwrap())
}

impl Server {
    /// Accepts from now on, without [`Server::run`].
    fn accept(&mut self) {
        for listener in self.listeners.drain(..) {
            self.accepting.push(spawn(Rc::clone(&self.house).accept_from(listener)));
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addresses[0]).unwrap()
    }
}

/// Lets the server work until this is so.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        look().await;
    }
}

/// Lets the server work until it has answered this client.
async fn answer(client: &mut TcpStream) -> String {
    client.set_nonblocking(true).unwrap();
    let mut answer = [0; 100_000];
    let bytes = loop {
        match client.read(&mut answer) {
            Ok(bytes) => break bytes,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        look().await;
    };
    client.set_nonblocking(false).unwrap();
    String::from_utf8(answer[..bytes].to_vec()).unwrap()
}

/// A request that was received is nobody's when its connection was ended, and not that of the next one in
/// its seat.
#[test]
fn a_seat_that_is_given_up_leaves_no_words_behind() {
    on_backends(async |backend| {
        let mut server = builder().start().unwrap();
        server.accept();
        let mut client = server.connect();
        until(|| server.counters().open == 1).await;
        client.write_all(PAGE).unwrap();
        server.house.seats.clear(true);
        assert_eq!(server.counters().open, 0);
        let mut next = server.connect();
        until(|| server.counters().open == 1).await;
        next.write_all(PAGE).unwrap();
        assert!(answer(&mut next).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(server.counters().requests, 1, "{backend}");
    });
}

/// A server, and a client that asks for a file which is watched by now.
struct Hot {
    site: tempfile::TempDir,
    server: Server,
    client: TcpStream,
}

impl Hot {
    async fn new(limits: Limits) -> Self {
        let site = tempfile::tempdir().unwrap();
        std::fs::write(site.path().join("file"), "before").unwrap();
        // What changed a moment ago is not kept.
        std::thread::sleep(Duration::from_millis(3100));
        let mut server = builder().root(site.path()).limits(limits).start().unwrap();
        server.accept();
        let client = server.connect();
        let mut hot = Self { site, server, client };
        for _ in 0..3 {
            hot.ask("file");
            assert!(hot.answer().await.ends_with("before"));
        }
        assert!(hot.server.house.shared.relies_on_reports(), "it is not watched");
        hot
    }

    fn ask(&mut self, path: &str) {
        let asked = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
        self.client.write_all(asked.as_bytes()).unwrap();
    }

    /// Lets the server receive what was asked, which is not answering it.
    async fn receive(&self) {
        let asked = self.server.house.shared.asked();
        let requests = self.server.counters().requests;
        until(|| self.server.house.shared.asked() > asked).await;
        assert_eq!(self.server.counters().requests, requests, "it was answered without a look");
    }

    async fn answer(&mut self) -> String {
        answer(&mut self.client).await
    }

    fn write(&self, path: &str, content: &str) {
        std::fs::write(self.site.path().join(path), content).unwrap();
    }

    /// Makes reports, two for each.
    fn stir(&self, path: &str, times: usize) {
        for _ in 0..times {
            self.write(path, "");
            std::fs::remove_file(self.site.path().join(path)).unwrap();
        }
    }
}

/// A request may be received before the report of a change that it follows: it is answered only after
/// another look, which brings that.
#[test]
fn a_report_that_comes_behind_the_request() {
    where_a_look_is_needed(async |backend| {
        let mut hot = Hot::new(Limits::default()).await;
        hot.ask("file");
        hot.receive().await;
        // The server cannot know that this was later.
        hot.write("file", "after");
        assert!(hot.answer().await.ends_with("after"), "{backend}");
    });
}

/// A look that brought so much that there may be more is not relied on; nor is one that brought more than
/// is taken at a time.
#[test]
fn a_report_that_comes_behind_many_others() {
    where_a_look_is_needed(async |backend| {
        let mut hot = Hot::new(Limits::default()).await;
        for others in [1000, 150] {
            hot.write("file", "before");
            hot.ask("file");
            assert!(hot.answer().await.ends_with("before"), "{backend}");
            // What changed just now is not kept.
            std::thread::sleep(Duration::from_millis(3100));
            for _ in 0..3 {
                hot.ask("file");
                assert!(hot.answer().await.ends_with("before"), "{backend}");
            }
            hot.ask("file");
            hot.receive().await;
            hot.stir("other", others);
            hot.write("file", "after");
            assert!(hot.answer().await.ends_with("after"), "{backend}: behind {others} others");
        }
    });
}

/// Reports that were read for what is not watched any more are not counted, and those behind them are not
/// read yet.
#[test]
fn a_report_that_comes_behind_those_of_others_in_doubt() {
    where_a_look_is_needed(async |backend| {
        let mut hot = Hot::new(Limits::default()).await;
        std::fs::create_dir(hot.site.path().join("b")).unwrap();
        hot.write("b/f", "b");
        std::thread::sleep(Duration::from_millis(3100));
        // All in one second, in which the file is looked at once.
        let into_second = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
        std::thread::sleep(Duration::from_nanos(1_000_000_000 - u64::from(into_second)));
        for _ in 0..4 {
            hot.ask("b/f");
            assert!(hot.answer().await.ends_with('b'));
            hot.ask("file");
            assert!(hot.answer().await.ends_with("before"));
        }
        hot.ask("file");
        hot.receive().await;
        hot.write("b/f", "changed");
        hot.stir("b/other", 300);
        hot.write("file", "after");
        assert!(hot.answer().await.ends_with("after"), "{backend}");
    });
}

/// A timer of the connection that expires with the same look wakes it before whoever takes reports.
#[test]
fn a_report_that_comes_behind_a_timer() {
    where_a_look_is_needed(async |backend| {
        // Somebody who takes nothing is looked at four times as often, from each answer on.
        let limits = Limits { stall: Duration::from_millis(400), ..Limits::default() };
        let mut hot = Hot::new(limits).await;
        hot.ask("file");
        hot.receive().await;
        hot.write("file", "after");
        std::thread::sleep(Duration::from_millis(110));
        assert!(hot.answer().await.ends_with("after"), "{backend}");
    });
}

/// A timer of a connection and what it sent in time come with one look, in this order.
#[test]
fn what_came_in_time_is_answered_though_the_timer_is_first() {
    on_backends(async |backend| {
        let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
        let mut server = builder().limits(limits).start().unwrap();
        server.accept();
        let mut client = server.connect();
        client.write_all(PAGE).unwrap();
        answer(&mut client).await;
        client.write_all(PAGE).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 "), "{backend}");
        assert_eq!(server.counters().open, 1, "{backend}: it was closed");
    });
}

/// Whoever asks for what must be loaded and goes away leaves nothing behind.
#[test]
fn who_is_gone_waits_for_nothing() {
    let site = tempfile::tempdir().unwrap();
    on_backends(async |backend| {
        let mut server = builder().root(site.path()).start().unwrap();
        server.accept();
        let mut client = server.connect();
        let house = Rc::clone(&server.house);
        let asked = format!("GET /never-heard-of-{backend} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(asked.as_bytes()).unwrap();
        until(|| house.shared.loads.len() > 0 || server.counters().answers[4] > 0).await;
        assert_eq!(server.counters().answers[4], 0, "it was known");
        assert_eq!(house.shared.loads.waiting(), 1);
        house.seats.clear(true);
        assert_eq!(house.shared.loads.waiting(), 0);
        until(|| house.shared.loads.len() == 0).await;
    });
}

/// Who came when there were too many is let in before the end, if there is room by then.
#[test]
fn who_was_late_is_let_in_at_the_end() {
    on_backends(async |backend| {
        let limits = Limits { connections: 2, ..Limits::default() };
        let mut server = builder().limits(limits).start().unwrap();
        server.accept();
        let seats = Rc::clone(&server.house.seats);
        let mut crowd = vec![seats.take(None, false), seats.take(None, false)];
        crowd.extend((0..REFUSED_CONNECTIONS).map(|_| seats.take(None, true)));
        // Who waits for one is accepted by the kernel's operation.
        let mut early = server.connect();
        until(|| server.counters().accepted == 1 || server.counters().pauses == 1).await;
        early.write_all(PAGE).unwrap();
        let mut late = server.connect();
        late.write_all(PAGE).unwrap();
        for _ in 0..10 {
            look().await;
        }
        assert!(server.counters().accepted <= 1, "{backend}: there is no room");
        server.stopper().stop();
        drop(crowd);
        let read = std::thread::spawn(move || {
            let mut answer = String::new();
            late.read_to_string(&mut answer).map(|_| answer)
        });
        drop(early);
        server.run().await.unwrap();
        let answer = read.join().unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{backend}: {answer:?}");
        assert_eq!(server.counters().accepted, 2, "{backend}");
    });
}

/// Who is let in and finds no room in the queue gives back what counts of its address.
#[test]
fn who_finds_no_room_gives_its_share_back() {
    for backend in BackendKind::REAL {
        let queue = ukevent_queue::Builder::new().backend(backend).limit(64).build().unwrap();
        let served = Runtime::with(queue).block_on(async {
            let limits = Limits { address_connections: 3, ..Limits::default() };
            let mut server = builder().limits(limits).start().unwrap();
            server.accept();
            for _ in 0..10 {
                look().await;
            }
            let other = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
            let full: Vec<_> = std::iter::from_fn(|| Registered::new(other()).ok()).collect();
            for count in 1..=5 {
                let _client = server.connect();
                until(|| server.counters().refused == count).await;
            }
            drop(full);
            let mut client = server.connect();
            client.write_all(PAGE).unwrap();
            answer(&mut client).await
        });
        let answer = served.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{backend}: {answer:?}");
    }
}

/// Who is told that he is one too many is told it also while the server ends.
#[test]
fn who_is_turned_away_hears_it_at_the_end() {
    on_backends(async |backend| {
        let limits = Limits { connections: 0, ..Limits::default() };
        let mut server = builder().limits(limits).start().unwrap();
        let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.write_all(PAGE).unwrap();
        }
        server.stopper().stop();
        let read = std::thread::spawn(move || {
            clients.iter_mut().for_each(|client| {
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
            });
        });
        server.run().await.unwrap();
        read.join().unwrap();
        assert_eq!(server.counters().refused, 10, "{backend}");
    });
}

/// One who sends on while he takes nothing is not received from beyond a bound; and is again when he
/// has taken what was before.
#[test]
fn who_does_not_read_is_not_read_from() {
    const MANY: usize = 200_000;
    let site = tempfile::tempdir().unwrap();
    std::fs::write(site.path().join("large"), vec![7; 20_000_000]).unwrap();
    on_backends(async |backend| {
        let mut server = builder().root(site.path()).start().unwrap();
        // A socket of a known size, so that it is known where all is that was sent.
        let listener = server.listeners[0].incoming.registered();
        listener.with(|it: &OwnedFd| set_socket_recv_buffer_size(it, 100_000)).unwrap().unwrap();
        let mut client = server.connect();
        server.accept();
        let many = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".repeat(MANY);
        let all = format!("GET /large HTTP/1.1\r\nHost: a\r\n\r\n{many}");
        client.set_nonblocking(true).unwrap();
        let (mut sent, mut in_vain) = (0, 0);
        while in_vain < 100 {
            match client.write(&all.as_bytes()[sent..]) {
                Ok(bytes) => (sent, in_vain) = (sent + bytes, 0),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    in_vain += 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            assert!(sent < all.len(), "{backend}: all of it was received");
            look().await;
        }
        assert_eq!(server.counters().requests, 1, "{backend}: the file has not left");
        client.set_nonblocking(false).unwrap();
        let mut sender = client.try_clone().unwrap();
        let send = std::thread::spawn(move || {
            sender.write_all(&all.as_bytes()[sent..]).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let stopper = server.stopper();
        let read = std::thread::spawn(move || {
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            stopper.stop();
            all.len()
        });
        server.run().await.unwrap();
        send.join().unwrap();
        assert!(read.join().unwrap() > 20_000_000);
        assert_eq!(server.counters().requests as usize, MANY + 1, "{backend}");
    });
}
