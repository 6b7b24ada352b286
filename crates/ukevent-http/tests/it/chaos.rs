//! Connections that are killed wherever they stand, by the thousand: nothing of them stays.
//!
//! A few threads keep some connections each, and do with any of them what chance says: send a piece of its
//! requests, read a piece of the answers, or kill it, in one of the ways in which a connection can go.
//! So they die before a byte, in a head, in a body, behind half an answer, with more asked than answered.
//! The server has a handful of frames for all: were one lost now and then, none would be left before long.

use crate::client::{Client, backends};
use crate::limits::resident_bytes;
use rustix::net::sockopt::set_socket_linger;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use testkit::{Rng, alone, seed, wait_until};
use ukevent_http::{Counters, Server, Stopper};
use ukevent_queue::BackendKind;
use ukevent_task::{Runtime, dump, queue_counters, spawn, time::sleep};

/// Of all backends together, in two halves each.
const CONNECTIONS: usize = 10_000;
const THREADS: usize = 4;
/// That one thread has at a time.
const AT_A_TIME: usize = 16;
/// Of the server, to receive into.
const FRAMES: u32 = 8;
/// What the second half may add to the memory, in bytes for each connection of it: less than half of what
/// one takes.
const MOST_GROWTH: u64 = 512;

/// What is left of connections in the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    open: u64,
    tasks: usize,
    registered: u64,
    descriptors: usize,
}

/// A server that says what is left in it.
struct Watched {
    address: SocketAddr,
    stopper: Stopper,
    left: Receiver<Left>,
    thread: JoinHandle<Counters>,
}

impl Watched {
    fn new(kind: BackendKind, builder: ukevent_http::Builder) -> Self {
        let (tell, told) = channel();
        let (show, left) = channel();
        let thread = std::thread::spawn(move || {
            let queue = ukevent_queue::Builder::new().backend(kind);
            let runtime = Runtime::builder().queue(queue).frames(FRAMES, 2048).build();
            let mut runtime = runtime.unwrap();
            let served = runtime.block_on(async {
                let mut server = builder.start().unwrap();
                tell.send((server.addresses()[0], server.stopper())).unwrap();
                let meter = server.meter();
                let shows = spawn(async move {
                    loop {
                        sleep(Duration::from_millis(20)).await;
                        Self::show(&show, meter.counters().open);
                    }
                });
                server.run().await.unwrap();
                shows.cancel();
                server.counters()
            });
            let queue = runtime.into_queue().expect("nothing is left that uses the queue");
            assert_eq!(queue.counters().registered, 0, "{kind}: left on the queue");
            served.unwrap()
        });
        let (address, stopper) = told.recv().unwrap();
        Self { address, stopper, left, thread }
    }

    fn show(to: &Sender<Left>, open: u64) {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
        let (tasks, registered) = (dump().tasks.len(), queue_counters().registered);
        // It is asked no more when the test is over.
        let _ = to.send(Left { open, tasks, registered, descriptors });
    }

    /// What is left now.
    fn left(&self) -> Left {
        while self.left.try_recv().is_ok() {}
        self.left.recv().unwrap()
    }

    /// What it has when nobody is connected, and all that it keeps of its files is kept.
    fn at_rest(&self) -> Left {
        for _ in 0..3 {
            let mut client = Client::over(TcpStream::connect(self.address).unwrap());
            for path in PATHS {
                client.get(path);
            }
        }
        wait_until("those who were served have left", || self.left().open == 0);
        self.left()
    }
}

const PATHS: [&str; 3] = ["/small", "/large", "/nothing"];

/// Somebody who will be killed.
struct Victim {
    stream: TcpStream,
    /// What it has not sent yet.
    script: Vec<u8>,
}

impl Victim {
    fn new(address: SocketAddr, dice: &mut Rng) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut script = String::new();
        for _ in 0..dice.range(1..5) {
            let path = PATHS[dice.below(3) as usize];
            script += &match dice.below(8) {
                0 => format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n{:3000}", 'b'),
                1 => "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
                    .to_owned(),
                2 => format!("GET {path} HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2,5-9\r\n\r\n"),
                3 => format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: {:5000}\r\n\r\n", 'x'),
                4 => "no such thing\r\n\r\n".to_owned(),
                5 => format!("HEAD {path} HTTP/1.0\r\n\r\n"),
                _ => format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
            };
        }
        Self { stream, script: script.into_bytes() }
    }

    /// Does something; whatever it meets, it is not told.
    fn go_on(&mut self, dice: &mut Rng) {
        if dice.below(3) == 0 {
            let mut buffer = [0; 4096];
            let bytes = dice.range(1..4096) as usize;
            let _ = self.stream.read(&mut buffer[..bytes]);
            return;
        }
        let most = if dice.below(2) == 0 { 1 } else { 4096 };
        let bytes = self.script.len().min(dice.range(1..most + 1) as usize);
        if let Ok(sent) = self.stream.write(&self.script[..bytes]) {
            self.script.drain(..sent);
        }
    }

    fn kill(self, dice: &mut Rng) {
        // Those that fail were killed by the server.
        let _ = match dice.below(5) {
            0 => set_socket_linger(&self.stream, Some(Duration::ZERO)).map_err(Into::into),
            1 => self.stream.shutdown(Shutdown::Write),
            2 => self.stream.shutdown(Shutdown::Read),
            3 => self.stream.shutdown(Shutdown::Both),
            _ => Ok(()),
        };
    }
}

/// Opens so many connections, and kills them.
fn kill(address: SocketAddr, number: usize, dice: &mut Rng) {
    let mut victims = Vec::new();
    let mut opened = 0;
    while opened < number || !victims.is_empty() {
        let any = dice.below(AT_A_TIME as u64) as usize;
        if any >= victims.len() {
            if opened < number {
                victims.push(Victim::new(address, dice));
                opened += 1;
            } else {
                victims.pop().into_iter().for_each(|victim| victim.kill(dice));
            }
        } else if dice.below(6) == 0 {
            victims.swap_remove(any).kill(dice);
        } else {
            victims[any].go_on(dice);
        }
    }
}

/// The same from several threads, beside one that is served as it should be.
fn kill_from_threads(address: SocketAddr, number: usize, seed: u64) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut dice = Rng::new(seed ^ thread as u64);
            scope.spawn(move || kill(address, number / THREADS, &mut dice));
        }
        let mut client = Client::over(TcpStream::connect(address).unwrap());
        for _ in 0..20 {
            assert_eq!(client.get("/small").content, b"small");
        }
    });
}

/// Waits, for longer than anything may take, until this holds; false if it never does.
fn wait_for(mut what: impl FnMut() -> bool) -> bool {
    (0..1000).any(|_| what())
}

#[test]
fn nothing_stays_of_killed_connections() {
    alone(|| {
        let site = tempfile::tempdir().unwrap();
        fs::write(site.path().join("small"), "small").unwrap();
        fs::write(site.path().join("large"), vec![7; 300_000]).unwrap();
        // What changed a moment ago is not kept, and later would be.
        std::thread::sleep(Duration::from_millis(3100));
        let seed = seed();
        let rounds: Vec<_> = backends().collect();
        let half = CONNECTIONS / rounds.len() / 2;
        for kind in rounds {
            let listen = "127.0.0.1:0".parse().unwrap();
            let server = Watched::new(kind, Server::builder().listen(listen).root(site.path()));
            let before = server.at_rest();
            let mut resident = Vec::new();
            for seed in [seed, !seed] {
                kill_from_threads(server.address, half, seed);
                let mut left = before;
                let is_clean = wait_for(|| {
                    left = server.left();
                    left == before
                });
                assert!(is_clean, "{kind}: {left:?} is left, and it was {before:?}");
                resident.push(resident_bytes());
            }
            let growth = resident[1].saturating_sub(resident[0]);
            // AddressSanitizer keeps what is freed for a while.
            let is_sanitized = std::env::var_os("ASAN_OPTIONS").is_some();
            let is_bounded = growth <= MOST_GROWTH * half as u64;
            assert!(is_bounded || is_sanitized, "{kind}: {growth} bytes more");
            assert_eq!(server.at_rest(), before, "{kind}");
            server.stopper.stop();
            let counters = server.thread.join().unwrap();
            // Some die before they have said anything.
            assert!(counters.accepted > 2 * half as u64, "{kind}: {counters:?}");
            assert!(counters.requests > half as u64 / 20, "{kind}: {counters:?}");
        }
    });
}
