//! The loop: connections, files and signals on one queue and one thread.
//!
//! A connection is registered once, edge-triggered, for both directions, and never modified: the
//! queue says when something changed, and the connection says what it waits for. A batch of events
//! is taken in two steps. First everything that arrived is read, of all connections; then it is
//! answered. So each file that is asked for is looked at once for the whole batch, and no answer is
//! older than its request.
//!
//! Invariants. Whoever could go on without a further event is in `again`, and then an event of our
//! own is on its way, so that others get their turn in between. A connection's timer never expires
//! later than its deadline, and is moved only to make it expire earlier: a busy connection costs no
//! timer operation per request. A stale token cannot reach us: the queue delivers nothing of a
//! registration after its removal, and a place among the peers is given up together with it.

mod accept;
mod builder;
mod ending;
mod peers;
mod service;
mod wire;

pub use builder::{Builder, StartError};

use crate::{
    connection::Wants,
    counters::Counters,
    limits::{RECEIVE_BYTES, REFUSED_CONNECTIONS},
};
use accept::Listeners;
use ending::Ending;
use peers::{Peer, Peers};
use rustix::{
    io::Errno,
    net::{RecvFlags, Shutdown, recv, shutdown},
};
use service::Service;
use std::{
    net::SocketAddr,
    ops::Range,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};
use ukevent_queue::{
    Change, Event, Key, Kind, Poster, Queue, Readiness, Ready, Timer, Token, Wait, WaitError,
};
use ukevent_sys::clock::Clock;
use wire::SocketWire;

/// Room for what a batch brings; as soon as less than [`RECEIVE_BYTES`] of it are left, what was
/// received is answered.
const ARENA_BYTES: usize = 4 * RECEIVE_BYTES;

/// A static file server.
///
/// Made by [`Server::builder`]. It runs on a queue of the caller, in the thread of that queue:
/// either [`Server::run`] takes the thread until the server has ended, or the caller waits itself
/// and hands the events to [`Server::handle`], beside those of its own.
///
/// A file that the kernel has not in memory is read from the disk while the thread waits: for a
/// content that does not fit memory, run several servers that share a port
/// ([`Builder::share_port`]).
///
/// It owns no thread. Its sockets belong to the queue; they are closed when it ends, or when the
/// queue is dropped. It needs what the queue needs, and no newer kernel.
///
/// Sending to a peer that is gone raises `SIGPIPE` for sendfile(2). Where the process ignores that
/// signal, as Rust programs do, nothing is done about it; elsewhere the server watches the signal
/// with the queue, and nothing else happens of it.
///
/// ```
/// use std::{io::{Read, Write}, net::TcpStream, thread};
/// use ukevent_http::Server;
/// use ukevent_queue::Queue;
///
/// let mut queue = Queue::new()?;
/// let mut server = Server::builder().listen("127.0.0.1:0".parse()?).start(&mut queue)?;
/// let address = server.addresses()[0];
/// let stopper = server.stopper();
/// let client = thread::spawn(move || {
///     let mut stream = TcpStream::connect(address)?;
///     stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
///     let mut answer = String::new();
///     stream.read_to_string(&mut answer)?;
///     stopper.stop();
///     Ok::<_, std::io::Error>(answer)
/// });
/// server.run(&mut queue)?;
/// let answer = client.join().expect("does not panic")?;
/// assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    service: Service,
    listeners: Listeners,
    peers: Peers,
    ending: Ending,
    tokens: Tokens,
    /// Peers that could go on, and wait for their turn.
    again: Vec<u32>,
    /// The source of the event that gives them one.
    turn: Poster,
    turn_posted: bool,
    stop: Poster,
    /// Received and not answered yet: whose, and where in the arena.
    received: Vec<(u32, Range<usize>)>,
    arena: Vec<u8>,
    /// Every registration that is not a peer's or a listener's.
    keys: Vec<Key>,
}

/// Ends a [`Server`] from any thread: gently at the first call, at once at a second one that finds
/// it still ending.
///
/// Cloning is cheap. Outlives the server; then it does nothing. See the example of [`Server`].
#[derive(Clone, Debug)]
pub struct Stopper(Poster);

impl Stopper {
    /// Tells the server to end. Does not wait for it. Never blocks.
    pub fn stop(&self) {
        // A server that is gone has ended.
        let _ = self.0.post(1);
    }
}

/// What a token of ours stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Peers wait for their turn.
    Turn,
    /// End.
    Stop,
    /// The time for a gentle end is over.
    GraceOver,
    /// Accepting has paused long enough.
    Resume,
    /// Nothing is to be done about it.
    Nothing,
    Listener(usize),
    Peer(u32),
    Deadline(u32),
}

/// The range of tokens that belong to a server.
#[derive(Clone, Copy, Debug)]
struct Tokens {
    first: u64,
}

impl Tokens {
    fn of(self, meaning: Meaning) -> Token {
        let (kind, index) = match meaning {
            Meaning::Turn => (0, 0),
            Meaning::Stop => (0, 1),
            Meaning::GraceOver => (0, 2),
            Meaning::Resume => (0, 3),
            Meaning::Nothing => (0, 4),
            Meaning::Listener(index) => (1, index as u64),
            Meaning::Peer(index) => (2, u64::from(index)),
            Meaning::Deadline(index) => (3, u64::from(index)),
        };
        Token(self.first.wrapping_add(kind << 32 | index))
    }

    fn meaning(self, token: Token) -> Option<Meaning> {
        let offset = token.0.wrapping_sub(self.first);
        let index = offset as u32;
        Some(match (offset >> 32, index) {
            (0, 0) => Meaning::Turn,
            (0, 1) => Meaning::Stop,
            (0, 2) => Meaning::GraceOver,
            (0, 3) => Meaning::Resume,
            (0, 4) => Meaning::Nothing,
            (1, _) => Meaning::Listener(index as usize),
            (2, _) => Meaning::Peer(index),
            (3, _) => Meaning::Deadline(index),
            _ => return None,
        })
    }
}

/// What is to be done with a connection.
enum Step<'a> {
    Receive(&'a [u8]),
    EndOfInput,
    Proceed,
    Expire,
    Close,
}

impl Server {
    /// What makes a server.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Where it listens, in the order of [`Builder::listen`], with the ports that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.listeners.addresses()
    }

    /// What it counted so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.service.counters
    }

    /// What ends it from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Whether it has ended: nothing of it is registered any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ending.is_over()
    }

    /// Serves until the server has ended: by a [`Stopper`], or by a signal if the builder said so.
    /// Events of others on the queue are taken and dropped.
    ///
    /// Blocks.
    ///
    /// # Errors
    /// [`WaitError`], if the queue cannot be waited for. Connections are then as they were.
    pub fn run(&mut self, queue: &mut Queue) -> Result<(), WaitError> {
        while !self.has_ended() {
            match queue.wait(Wait::forever()) {
                Err(WaitError::Interrupted) => continue,
                waited => waited?,
            };
            self.service.look_at_clocks(queue);
            while let Some(event) = queue.next_event() {
                self.take(queue, event);
            }
            self.answer_received(queue);
            self.ask_for_turn();
            self.end_if_idle(queue);
        }
        // A ring lets go of what was closed with the next wait; nobody knows when that will be.
        match queue.wait(Wait::now()) {
            Err(WaitError::Interrupted) => Ok(()),
            waited => waited.map(drop),
        }
    }

    /// Takes one event, if it is the server's; gives it back if not. Never blocks.
    ///
    /// ```
    /// use ukevent_http::Server;
    /// use ukevent_queue::{Queue, Wait};
    ///
    /// let mut queue = Queue::new()?;
    /// let mut server = Server::builder().listen("127.0.0.1:0".parse()?).start(&mut queue)?;
    /// server.stopper().stop();
    /// while !server.has_ended() {
    ///     queue.wait(Wait::forever())?;
    ///     while let Some(event) = queue.next_event() {
    ///         if let Some(event) = server.handle(&mut queue, event) {
    ///             println!("this one is for the program: {event:?}");
    ///         }
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handle(&mut self, queue: &mut Queue, event: Event) -> Option<Event> {
        self.service.look_at_clocks(queue);
        let other = self.take(queue, event);
        if other.is_none() {
            self.answer_received(queue);
            self.ask_for_turn();
            self.end_if_idle(queue);
        }
        other
    }

    fn take(&mut self, queue: &mut Queue, event: Event) -> Option<Event> {
        let Some(meaning) = self.tokens.meaning(event.token) else { return Some(event) };
        match meaning {
            Meaning::Peer(index) => match event.kind {
                Kind::Ready(ready) => self.peer_ready(queue, index, ready),
                // The kernel will not watch this descriptor.
                _ => self.step(queue, index, Step::Close),
            },
            Meaning::Deadline(index) => self.deadline(queue, index),
            Meaning::Listener(index) => self.accept(queue, index),
            Meaning::Turn => self.give_turns(queue),
            Meaning::Stop => self.stop_as_told(queue, &event.kind),
            Meaning::GraceOver => self.stop_at_once(queue),
            Meaning::Resume => self.resume_accepting(queue),
            Meaning::Nothing => {}
        }
        None
    }

    fn peer_ready(&mut self, queue: &mut Queue, index: u32, ready: Ready) {
        const ENDED: Readiness =
            Readiness::PEER_CLOSED.union(Readiness::HANG_UP).union(Readiness::ERROR);
        let Some(peer) = self.peers.at(index) else { return };
        let ended = ready.readiness.intersects(ENDED);
        peer.readable |= ready.is_readable() || ended;
        peer.ended |= ended;
        match peer.connection.wants() {
            Wants::Output if ready.is_writable() => self.step(queue, index, Step::Proceed),
            Wants::Input if peer.readable => self.receive(queue, index),
            _ => {}
        }
    }

    /// Reads once, and leaves the answer to [`Server::answer_received`].
    fn receive(&mut self, queue: &mut Queue, index: u32) {
        let filled = self.received.last().map_or(0, |(_, range)| range.end);
        let Some(peer) = self.peers.at(index).filter(|peer| !peer.received) else { return };
        let Some(socket) = queue.owner_of::<OwnedFd>(peer.key) else { return };
        let room = &mut self.arena[filled..filled + RECEIVE_BYTES];
        match recv(socket, room, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => {
                peer.readable = false;
                self.step(queue, index, Step::EndOfInput);
            }
            Ok((_, bytes)) => {
                // Less than there was room for is all there was; but an end that was told already
                // is not told again.
                peer.readable = bytes == RECEIVE_BYTES || peer.ended;
                peer.received = true;
                self.received.push((index, filled..filled + bytes));
                if filled + bytes + RECEIVE_BYTES > self.arena.len() {
                    self.answer_received(queue);
                }
            }
            Err(Errno::AGAIN) => peer.readable = false,
            Err(Errno::INTR) => self.wait_for_turn(index),
            Err(_) => self.step(queue, index, Step::Close),
        }
    }

    /// Answers what was received. Everything that is looked at from here on is newer than what was
    /// asked.
    fn answer_received(&mut self, queue: &mut Queue) {
        if self.received.is_empty() {
            return;
        }
        self.service.epoch += 1;
        let mut received = std::mem::take(&mut self.received);
        let arena = std::mem::take(&mut self.arena);
        for (index, range) in received.drain(..) {
            if let Some(peer) = self.peers.at(index) {
                peer.received = false;
                self.step(queue, index, Step::Receive(&arena[range]));
            }
        }
        self.received = received;
        self.arena = arena;
    }

    /// Gives a connection its turn, and sees to what it wants next.
    fn step(&mut self, queue: &mut Queue, index: u32, step: Step<'_>) {
        let Some(peer) = self.peers.at(index) else { return };
        let Some(socket) = queue.owner_of::<OwnedFd>(peer.key) else { return };
        let mut wire = SocketWire(socket.as_fd());
        let mut turn = self.service.turn();
        let connection = &mut peer.connection;
        match step {
            Step::Receive(bytes) => connection.receive(bytes, &mut wire, &mut turn),
            Step::EndOfInput => connection.end_of_input(&mut wire, &mut turn),
            Step::Proceed => connection.proceed(&mut wire, &mut turn),
            Step::Expire => connection.expire(&mut wire, &mut turn),
            Step::Close => connection.close(),
        }
        let spent = turn.budget_bytes == 0;
        match peer.connection.wants() {
            Wants::Nothing => return self.close(queue, index),
            Wants::Output if spent => self.wait_for_turn(index),
            Wants::Input if peer.readable => self.wait_for_turn(index),
            Wants::Output | Wants::Input => {}
        }
        self.keep_deadline(queue, index);
    }

    /// Lets the timer of a connection expire by its deadline.
    fn keep_deadline(&mut self, queue: &mut Queue, index: u32) {
        let Some(peer) = self.peers.at(index) else { return };
        let deadline_ns = peer.connection.deadline_ns();
        if deadline_ns < peer.timer_ns {
            peer.timer_ns = deadline_ns;
            let timer = Timer::at(Clock::Monotonic, Duration::from_nanos(deadline_ns));
            let moved = queue.modify(peer.timer, Change::new().timer(timer));
            debug_assert!(moved.is_ok(), "a peer has its timer: {moved:?}");
        }
    }

    /// The timer of a connection has expired; as a rule the deadline has moved on.
    fn deadline(&mut self, queue: &mut Queue, index: u32) {
        // What arrived in time is answered first.
        self.answer_received(queue);
        let Some(peer) = self.peers.at(index) else { return };
        peer.timer_ns = u64::MAX;
        if peer.connection.deadline_ns() <= self.service.now_ns {
            self.step(queue, index, Step::Expire);
        } else {
            self.keep_deadline(queue, index);
        }
    }

    fn close(&mut self, queue: &mut Queue, index: u32) {
        let Some(peer) = self.peers.remove(index) else { return };
        if peer.received {
            // The next connection in this place must not be taken for the one who said it.
            self.received.retain(|(other, _)| *other != index);
        }
        if self.ending != Ending::NotYet
            && let Some(socket) = queue.owner_of::<OwnedFd>(peer.key)
        {
            // The kernel of a ring holds it open until the next wait, and there may be none.
            let _ = shutdown(socket, Shutdown::Both);
        }
        // Dropping what comes back closes the socket.
        drop(queue.remove(peer.key));
        drop(queue.remove(peer.timer));
        self.service.counters.open = self.peers.served() as u64;
        self.resume_accepting(queue);
    }

    fn wait_for_turn(&mut self, index: u32) {
        if let Some(peer) = self.peers.at(index)
            && !peer.waits
        {
            peer.waits = true;
            self.again.push(index);
        }
    }

    fn ask_for_turn(&mut self) {
        if !self.again.is_empty() && !self.turn_posted {
            self.turn_posted = self.turn.post(0).is_ok();
        }
    }

    fn give_turns(&mut self, queue: &mut Queue) {
        self.turn_posted = false;
        for index in std::mem::take(&mut self.again) {
            let Some(peer) = self.peers.at(index).filter(|peer| peer.waits) else { continue };
            peer.waits = false;
            match peer.connection.wants() {
                Wants::Output => self.step(queue, index, Step::Proceed),
                Wants::Input if peer.readable => self.receive(queue, index),
                Wants::Input | Wants::Nothing => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
