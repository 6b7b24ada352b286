//! The loop: connections, files and signals on one queue and one thread.
//!
//! Nothing is waited for to be ready: connections are accepted, input is received and answers are sent
//! by operations of the queue, and their completions are the events. A connection has one operation
//! that receives, which holds no buffer while nothing comes, and the next thing to send is handed over
//! when the one before has left.
//!
//! A batch of events is taken in two steps. First everything that arrived is taken, of all connections;
//! then it is answered. Where answers rely on reports of changes ([`Root`](crate::files::Root)), there
//! is another look at the queue in between, which does not block and brings the next batch: what was
//! reported before a request came is known then, whichever of the two was seen first. So no answer is
//! older than its request, and a file that many ask for is not looked at for each of them.
//!
//! Invariants. A connection's timer never expires later than its deadline, and is moved only to make it
//! expire earlier: a busy connection costs no timer operation per request. A stale token cannot reach
//! us: the queue delivers nothing of a registration after its removal, and a place among the peers is
//! given up together with it; what was taken before carries the key of its registration.

mod accept;
mod builder;
mod ending;
mod peers;
mod service;
mod wire;

pub use builder::{Builder, StartError};

use crate::{connection::Wants, counters::Counters, limits::RECEIVE_BYTES};
use accept::Listeners;
use ending::Ending;
use peers::{Leaving, Peer, Peers, Receiver};
use rustix::net::{Shutdown, shutdown};
use service::Service;
use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};
use ukevent_buf::{Buffer, FramePool};
use ukevent_queue::{
    Change, Completed, Errno, Event, Key, Kind, Operation, Payload, Poster, Queue, Timer, Token,
    Wait, WaitError,
};
use ukevent_sys::clock::Clock;
use wire::SocketWire;

/// With thousands of events ready the queue reads no more reports; with fewer than these it reads on. Far
/// below what it bears, so that nothing depends on the exact number.
const CALM_EVENTS: usize = 1024;

const ECANCELED: Errno = Errno(125);

/// A static file server.
///
/// Made by [`Server::builder`]. It runs on a queue of the caller, in the thread of that queue:
/// either [`Server::run`] takes the thread until the server has ended, or the caller waits itself
/// and hands the events to [`Server::handle`], beside those of its own.
///
/// What the kernel has not in memory of names and small files is read from the disk by a few threads of
/// its own, which it starts when there is need. Its sockets belong to the queue; they are closed when it
/// ends, or when the queue is dropped. It needs what the queue needs; before Linux 5.12 those threads
/// look up everything that is not at hand.
///
/// A file that is asked for often is watched by the queue's inode events, with the directories on its
/// path, and not looked at for each request. [`Server::run`] alone relies on that: as a guest in the
/// caller's loop, which may take events in any order, the server looks at a file once for each event.
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
    /// What is received into.
    frames: Arc<FramePool>,
    /// Received and not answered yet; and how much of it came before the last wait.
    received: VecDeque<Received>,
    looked: usize,
    /// Timers of connections that expired and are not judged yet; and how many did before the last wait.
    expired: VecDeque<Expired>,
    overdue: usize,
    /// How often something was received.
    inputs: u64,
    /// Who waits for what is being loaded, by its number.
    awaiting: HashMap<u64, Vec<(u32, Key)>>,
    /// The source of events that the server gives itself.
    turn: Poster,
    stop: Poster,
    /// Every registration that is not a peer's, a listener's or a watched file's.
    keys: Vec<Key>,
}

/// What came from a peer.
#[derive(Debug)]
struct Received {
    index: u32,
    /// The registration of its socket.
    key: Key,
    input: Input,
}

/// A connection whose timer expired.
#[derive(Clone, Copy, Debug)]
struct Expired {
    index: u32,
    /// The registration of the timer.
    timer: Key,
}

#[derive(Debug)]
enum Input {
    Bytes(Buffer),
    End,
    Broken,
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
    /// The server wants to see what else has come.
    Turn,
    /// End.
    Stop,
    /// The time for a gentle end is over.
    GraceOver,
    /// Accepting has paused long enough.
    Resume,
    /// Nothing is to be done about it.
    Nothing,
    /// Something was loaded.
    Loaded,
    /// Something watched changed.
    Watch(u32),
    Listener(usize),
    Peer(u32),
    Deadline(u32),
}

/// The first of the small numbers that stands for something watched; there are far fewer than 2^31.
const FIRST_WATCH: u64 = 16;

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
            Meaning::Loaded => (0, 5),
            Meaning::Watch(index) => (0, FIRST_WATCH + u64::from(index)),
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
            (0, 5) => Meaning::Loaded,
            (0, index) => Meaning::Watch(u64::from(index).checked_sub(FIRST_WATCH)? as u32),
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
    Sent(u64),
    ContentReady,
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
            self.batch(queue)?;
        }
        // A ring lets go of what was closed with the next wait; nobody knows when that will be.
        match queue.wait(Wait::now()) {
            Err(WaitError::Interrupted) => Ok(()),
            waited => waited.map(drop),
        }
    }

    /// Waits once, takes what that brought, and answers what may be answered by then.
    fn batch(&mut self, queue: &mut Queue) -> Result<(), WaitError> {
        (self.looked, self.overdue) = (self.received.len(), self.expired.len());
        let is_due = self.looked > 0 || self.overdue > 0;
        let let_out = match queue.wait(if is_due { Wait::now() } else { Wait::forever() }) {
            Err(WaitError::Interrupted) => return Ok(()),
            waited => waited?,
        };
        self.service.begin_batch(queue);
        let mut reports = false;
        while let Some(event) = queue.next_event() {
            reports |= matches!(event.kind, Kind::Inode(_) | Kind::Rescan | Kind::Failed(_));
            self.take(queue, event);
        }
        // The queue reads so many reports at a time, and removing a registration drops what was read for
        // it. But where it left some unread it has read others, and the first of them came out.
        self.service.sure = !reports && let_out < CALM_EVENTS;
        let relies = self.service.site.relies_on_reports();
        let (due, overdue) = match relies {
            true => (self.looked, self.overdue),
            false => (self.received.len(), self.expired.len()),
        };
        self.answer_received(queue, due);
        self.judge_expired(queue, overdue);
        let tokens = self.tokens;
        let token = |index| tokens.of(Meaning::Watch(index));
        let unix_s = self.service.seen().unix_s;
        self.service.site.tend(queue, &token, unix_s);
        self.end_if_idle(queue);
        Ok(())
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
        self.service.begin_batch(queue);
        self.service.sure = false;
        let expired = self.expired.len();
        let meaning = self.tokens.meaning(event.token);
        let other = self.take(queue, event);
        if other.is_none() {
            self.answer_all(queue);
            // What came with the timer may lie behind it: the next wait's first event tells that all of
            // that was taken.
            let is_told = self.expired.len() > expired && self.turn.post(0).is_ok();
            if meaning == Some(Meaning::Turn) || (!is_told && self.expired.len() > expired) {
                self.judge_expired(queue, self.expired.len());
            }
            self.end_if_idle(queue);
        }
        // Nobody tends to watches here.
        self.service.site.forget_wanted();
        other
    }

    fn take(&mut self, queue: &mut Queue, event: Event) -> Option<Event> {
        let Some(meaning) = self.tokens.meaning(event.token) else { return Some(event) };
        match meaning {
            Meaning::Peer(index) => {
                if let Kind::Completed(completed) = event.kind {
                    self.completed(queue, index, event.key, completed);
                }
            }
            Meaning::Deadline(index) => {
                self.expired.push_back(Expired { index, timer: event.key });
            }
            Meaning::Listener(index) => {
                if let Kind::Completed(completed) = event.kind {
                    self.accepted(queue, index, completed);
                }
            }
            Meaning::Watch(index) => self.service.site.reported(queue, index, &event.kind),
            Meaning::Loaded => self.take_loaded(queue),
            Meaning::Turn => self.see_what_came(queue),
            Meaning::Stop => self.stop_as_told(queue, &event.kind),
            Meaning::GraceOver => self.stop_at_once(queue),
            Meaning::Resume => self.resume_accepting(queue),
            Meaning::Nothing => {}
        }
        None
    }

    /// An operation of a peer completed.
    fn completed(&mut self, queue: &mut Queue, index: u32, key: Key, completed: Completed) {
        let Some(peer) = self.peers.at(index) else { return };
        if peer.receiver.key() == Some(key) {
            return self.input(queue, index, completed);
        }
        if peer.leaving.operation == Some(key) {
            peer.leaving.operation = None;
            // A turn's worth at most; what failed has not left.
            let bytes = completed.result.unwrap_or(0);
            self.step(queue, index, Step::Sent(u64::from(bytes)));
            self.leave_file(queue, index);
        }
    }

    /// Lets go of the file of an answer that has left.
    fn leave_file(&mut self, queue: &mut Queue, index: u32) {
        if let Some(Peer { leaving: Leaving { operation: None, file, .. }, .. }) =
            self.peers.at(index)
            && let Some(file) = file.take()
        {
            drop(queue.remove(file));
        }
    }

    /// Takes what came from a peer, and leaves the answer to [`Server::answer_received`].
    fn input(&mut self, queue: &mut Queue, index: u32, completed: Completed) {
        let Some(peer) = self.peers.at(index) else { return };
        let input = match (completed.result, completed.payload) {
            (Ok(1..), Payload::Buffer(buffer)) => Input::Bytes(buffer),
            (Err(ECANCELED), _) if matches!(peer.receiver, Receiver::Ends(_)) => {
                peer.receiver = Receiver::Paused;
                return self.keep_receiving(queue, index);
            }
            (result, _) => {
                peer.receiver = Receiver::Over;
                if result.is_ok() { Input::End } else { Input::Broken }
            }
        };
        self.inputs += 1;
        self.received.push_back(Received { index, key: peer.key, input });
    }

    /// Answers so much of what was received. Everything that is looked at from here on is newer than
    /// what was asked.
    fn answer_received(&mut self, queue: &mut Queue, count: usize) {
        for _ in 0..count {
            let Some(Received { index, key, input }) = self.received.pop_front() else { return };
            // The next connection in this place must not be taken for the one who said it.
            if self.peers.at(index).is_some_and(|peer| peer.key == key) {
                match input {
                    Input::Bytes(bytes) => self.step(queue, index, Step::Receive(&bytes)),
                    Input::End => self.step(queue, index, Step::EndOfInput),
                    Input::Broken => self.step(queue, index, Step::Close),
                }
            }
        }
    }

    /// Answers all that was received, whatever may have been reported since.
    fn answer_all(&mut self, queue: &mut Queue) {
        self.service.sure = false;
        self.looked = 0;
        self.answer_received(queue, self.received.len());
    }

    /// Gives a connection its turn, and sees to what it wants next.
    fn step(&mut self, queue: &mut Queue, index: u32, step: Step<'_>) {
        let Some(peer) = self.peers.at(index) else { return };
        // An answer that left said that the connection stays; it was not known then that the server ends.
        let is_last = matches!(step, Step::Sent(_))
            && self.ending == Ending::Gently
            && !self.received.iter().any(|received| received.key == peer.key);
        let token = self.tokens.of(Meaning::Peer(index));
        let mut wire = SocketWire { queue, socket: peer.key, token, leaving: &mut peer.leaving };
        let mut turn = self.service.turn();
        let connection = &mut peer.connection;
        match step {
            Step::Receive(bytes) => connection.receive(bytes, &mut wire, &mut turn),
            Step::EndOfInput => connection.end_of_input(&mut wire, &mut turn),
            Step::Sent(bytes) => connection.sent(bytes, &mut wire, &mut turn),
            Step::ContentReady => connection.content_ready(&mut wire, &mut turn),
            Step::Expire => connection.expire(&mut wire, &mut turn),
            Step::Close => connection.close(),
        }
        if is_last {
            connection.end_at_rest(&mut wire, &mut turn);
        }
        if let Some(number) = self.service.site.take_joined() {
            peer.awaits = Some(number);
            self.awaiting.entry(number).or_default().push((index, peer.key));
        }
        if peer.leaving.failed || peer.connection.wants() == Wants::Nothing {
            return self.close(queue, index);
        }
        self.keep_receiving(queue, index);
        self.keep_deadline(queue, index);
    }

    /// Lets those go on whose content was loaded.
    fn take_loaded(&mut self, queue: &mut Queue) {
        let seen = self.service.seen();
        for (number, found) in self.service.site.take_loaded(seen) {
            for (index, key) in self.awaiting.remove(&number).unwrap_or_default() {
                if let Some(peer) = self.peers.at(index).filter(|peer| peer.key == key) {
                    peer.awaits = None;
                    self.service.site.offer(Some(found.clone()));
                    self.step(queue, index, Step::ContentReady);
                    self.service.site.offer(None);
                }
            }
        }
    }

    /// Receives from a peer while its connection takes what comes.
    fn keep_receiving(&mut self, queue: &mut Queue, index: u32) {
        let Some(peer) = self.peers.at(index) else { return };
        match (peer.receiver, peer.connection.takes_input()) {
            (Receiver::Paused, true) => {
                let operation = Operation::receive_each(peer.key, Arc::clone(&self.frames))
                    .at_most(RECEIVE_BYTES as u32);
                match queue.start(operation, self.tokens.of(Meaning::Peer(index))) {
                    Ok(key) => peer.receiver = Receiver::Runs(key),
                    Err(_) => self.close(queue, index),
                }
            }
            (Receiver::Runs(key), false) => {
                peer.receiver = Receiver::Ends(key);
                let cancelled = queue.cancel(key);
                debug_assert!(cancelled.is_ok(), "it has not said that it ended");
            }
            _ => {}
        }
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

    /// Sees to so many of the connections whose timers have expired. As a rule the deadline has moved on:
    /// a queue lets timers expire before it takes what came in, so what arrived in time may lie behind
    /// them, and is answered before.
    fn judge_expired(&mut self, queue: &mut Queue, count: usize) {
        for _ in 0..count {
            let Some(Expired { index, timer }) = self.expired.pop_front() else { return };
            let Some(peer) = self.peers.at(index).filter(|peer| peer.timer == timer) else {
                continue;
            };
            peer.timer_ns = u64::MAX;
            if peer.connection.deadline_ns() <= self.service.now_ns {
                self.step(queue, index, Step::Expire);
            } else {
                self.keep_deadline(queue, index);
            }
        }
    }

    fn close(&mut self, queue: &mut Queue, index: u32) {
        self.give_up(queue, index);
        self.resume_accepting(queue);
    }

    /// Closes a connection, and leaves it to others to let the next one in.
    fn give_up(&mut self, queue: &mut Queue, index: u32) {
        let Some(peer) = self.peers.remove(index) else { return };
        if self.ending != Ending::NotYet
            && let Some(socket) = queue.owner_of::<OwnedFd>(peer.key)
        {
            // The kernel of a ring holds it open until the next wait, and there may be none.
            let _ = shutdown(socket, Shutdown::Both);
        }
        // Dropping what comes back closes the socket.
        drop(queue.remove(peer.key));
        drop(queue.remove(peer.timer));
        if let Some(file) = peer.leaving.file {
            drop(queue.remove(file));
        }
        if let Some(awaiting) = peer.awaits.and_then(|number| self.awaiting.get_mut(&number)) {
            awaiting.retain(|&(_, key)| key != peer.key);
        }
        self.service.counters.open = self.peers.served() as u64;
    }
}

#[cfg(test)]
mod tests;
