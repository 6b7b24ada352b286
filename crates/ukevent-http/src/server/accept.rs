//! Accepting: each listener has an operation that accepts whoever comes.
//!
//! With too many connections on their way out it is cancelled, and goes on when one closes; who was
//! accepted until then waits like those in the backlog. Without a free descriptor it ends by itself:
//! descriptors that are only kept for speed are let go, and if there are none accepting pauses, until a
//! connection closes or for a while, as the descriptor may be another's.

use super::{
    Ending, Meaning, Server,
    peers::{Leaving, Peer, Receiver},
    wire::SocketWire,
};
use crate::{connection::Connection, entity::Content, limits::REFUSED_CONNECTIONS};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, Shutdown, SocketFlags, SocketType, accept_with, bind, getsockname, listen,
        shutdown, socket_with,
        sockopt::{set_ipv6_v6only, set_socket_reuseaddr, set_socket_reuseport, set_tcp_nodelay},
    },
};
use std::{collections::VecDeque, net::SocketAddr, os::fd::OwnedFd, time::Duration};
use ukevent_queue::{
    Change, Completed, Errno as Refusal, Key, Mode, Operation, Payload, Queue, RegisterError,
    Socket, Timer,
};
use ukevent_sys::{Error, clock::Clock};

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How long a pause of accepting lasts, if no connection closes meanwhile.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// The listening sockets, which belong to the queue.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    all: Vec<Listener>,
    addresses: Vec<SocketAddr>,
    paused: bool,
    /// The timer that ends a pause. Made at the start, so that none ever lacks the room for it.
    resume: Option<Key>,
    /// Accepted when there were too many already.
    pub(super) late: VecDeque<OwnedFd>,
}

#[derive(Debug)]
struct Listener {
    key: Key,
    /// The operation that accepts.
    accepts: Option<Key>,
}

impl Listeners {
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A timer that expires once, by now or at any time.
    pub(super) fn resume_by(&mut self, timer: Key) {
        self.resume = Some(timer);
    }

    pub(super) fn add(&mut self, key: Key, address: SocketAddr) {
        self.all.push(Listener { key, accepts: None });
        self.addresses.push(address);
    }

    /// Whether any still accepts by itself.
    pub(super) fn is_accepting(&self) -> bool {
        self.all.iter().any(|listener| listener.accepts.is_some())
    }

    /// Lets none accept by itself any more. Each says so when it does not.
    pub(super) fn cancel(&self, queue: &mut Queue) {
        for accepts in self.all.iter().filter_map(|listener| listener.accepts) {
            let cancelled = queue.cancel(accepts);
            debug_assert!(cancelled.is_ok(), "it has not said that it ended");
        }
    }

    /// Closes all. From then on nobody can connect: what the kernel of a ring still holds open until
    /// the next wait no longer listens.
    pub(super) fn close(&mut self, queue: &mut Queue) {
        for listener in &self.all {
            if let Some(socket) = queue.owner_of::<OwnedFd>(listener.key) {
                let _ = shutdown(socket, Shutdown::Both);
            }
        }
        self.late.clear();
        for listener in self.all.drain(..) {
            drop(queue.remove(listener.key));
        }
    }
}

/// A listening socket, and where it listens.
pub(super) fn open(address: SocketAddr, share_port: bool) -> Result<(OwnedFd, SocketAddr), Error> {
    let failed = |call| move |errno: Errno| Error::new(call, errno.raw_os_error());
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(failed("socket"))?;
    // A server that is started again must not wait for the last connections of the one before.
    set_socket_reuseaddr(&socket, true).map_err(failed("setsockopt"))?;
    if share_port {
        set_socket_reuseport(&socket, true).map_err(failed("setsockopt"))?;
    }
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can be listened to beside each other.
        set_ipv6_v6only(&socket, true).map_err(failed("setsockopt"))?;
    }
    // Inherited by what is accepted: answers leave in one piece, there is nothing to wait for.
    set_tcp_nodelay(&socket, true).map_err(failed("setsockopt"))?;
    bind(&socket, &address).map_err(failed("bind"))?;
    listen(&socket, BACKLOG).map_err(failed("listen"))?;
    let bound = getsockname(&socket).map_err(failed("getsockname"))?;
    let bound = SocketAddr::try_from(bound).unwrap_or(address);
    Ok((socket, bound))
}

impl Server {
    /// Lets all listeners accept that do not.
    pub(super) fn start_accepting(&mut self, queue: &mut Queue) {
        let mut refused = false;
        for (index, listener) in self.listeners.all.iter_mut().enumerate() {
            if listener.accepts.is_none() {
                let operation = Operation::accept_each(listener.key);
                let token = self.tokens.of(Meaning::Listener(index));
                listener.accepts = queue.start(operation, token).ok();
                refused |= listener.accepts.is_none();
            }
        }
        if refused {
            self.pause_accepting(queue, true);
        }
    }

    /// A listener accepted somebody, or does so no longer.
    pub(super) fn accepted(&mut self, queue: &mut Queue, index: usize, completed: Completed) {
        match (completed.result, completed.payload) {
            (Ok(_), Payload::Descriptor(socket)) if self.is_crowded() => {
                self.listeners.late.push_back(socket);
                if !self.listeners.paused && self.ending == Ending::NotYet {
                    self.pause_accepting(queue, false);
                }
            }
            (Ok(_), Payload::Descriptor(socket)) => self.welcome(queue, socket),
            (Ok(_), _) => {}
            (Err(Refusal(errno)), _) => {
                if let Some(listener) = self.listeners.all.get_mut(index) {
                    listener.accepts = None;
                }
                if self.ending != Ending::NotYet {
                    return self.end_accepting(queue);
                }
                self.accept_again(queue, Errno::from_raw_os_error(errno));
            }
        }
    }

    /// Accepting has ended with this; it goes on, or pauses.
    fn accept_again(&mut self, queue: &mut Queue, errno: Errno) {
        match errno {
            Errno::MFILE | Errno::NFILE if self.service.site.let_go() => {}
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOBUFS
            | Errno::NOMEM
            | Errno::INVAL
            | Errno::BADF => return self.pause_accepting(queue, true),
            // What else accept(2) reports is the failure of one connection, long gone.
            _ => {}
        }
        if !self.listeners.paused {
            self.start_accepting(queue);
        }
    }

    /// Lets in whoever is left, as far as there is room: first those who were accepted already, then
    /// those at the listeners.
    pub(super) fn accept_backlog(&mut self, queue: &mut Queue) {
        self.welcome_late(queue);
        for index in 0..self.listeners.all.len() {
            // One more may wait than the backlog says (listen(2)).
            for _ in 0..=BACKLOG {
                if self.is_crowded() {
                    return;
                }
                let listener = self.listeners.all[index].key;
                let Some(socket) = queue.owner_of::<OwnedFd>(listener) else { break };
                match accept_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                    Ok(socket) => self.welcome(queue, socket),
                    Err(Errno::MFILE | Errno::NFILE) if self.service.site.let_go() => {}
                    Err(Errno::INTR | Errno::CONNABORTED) => {}
                    Err(_) => break,
                }
            }
        }
    }

    /// Whether so many are being turned away that no more can be.
    fn is_crowded(&self) -> bool {
        self.peers.refused() >= REFUSED_CONNECTIONS
            && self.peers.served() >= self.service.limits.connections
    }

    /// Takes in a connection, or tells it that it is one too many.
    fn welcome(&mut self, queue: &mut Queue, socket: OwnedFd) {
        self.service.counters.accepted += 1;
        let refused = self.peers.served() >= self.service.limits.connections;
        self.service.counters.refused += u64::from(refused);
        // Should the queue have no room, dropping the socket closes it.
        match self.register(queue, socket, refused) {
            // It could not be told that it is one too many.
            Ok(index) if self.peers.at(index).is_some_and(|peer| peer.leaving.failed) => {
                self.give_up(queue, index);
            }
            Ok(index) => self.keep_receiving(queue, index),
            Err(error) => {
                debug_assert!(!matches!(error, RegisterError::Invalid(_)), "{error}");
                self.service.counters.refused += u64::from(!refused);
            }
        }
        self.service.counters.open = self.peers.served() as u64;
    }

    fn register(
        &mut self,
        queue: &mut Queue,
        socket: OwnedFd,
        refused: bool,
    ) -> Result<u32, RegisterError> {
        let index = self.peers.vacant();
        let token = self.tokens.of(Meaning::Peer(index));
        let key = queue.register(Socket::new(socket).unwatched(), token, Mode::Level)?;
        let mut leaving = Leaving::default();
        let mut turn = self.service.turn();
        let connection = if refused {
            let mut wire = SocketWire { queue, socket: key, token, leaving: &mut leaving };
            Connection::refused(&mut wire, &mut turn)
        } else {
            Connection::new(&turn)
        };
        let timer_ns = connection.deadline_ns();
        let timer = Timer::at(Clock::Monotonic, Duration::from_nanos(timer_ns));
        let deadline = self.tokens.of(Meaning::Deadline(index));
        let timer = queue.register(timer, deadline, Mode::Level).inspect_err(|_| {
            drop(queue.remove(key));
        })?;
        let receiver = Receiver::Paused;
        let awaits = None;
        let peer = Peer { connection, key, timer, timer_ns, refused, receiver, leaving, awaits };
        self.peers.insert(peer);
        Ok(index)
    }

    /// Stops accepting until a connection closes, or `for_a_while`.
    fn pause_accepting(&mut self, queue: &mut Queue, for_a_while: bool) {
        self.listeners.cancel(queue);
        self.listeners.paused = true;
        self.service.counters.pauses += 1;
        if for_a_while && let Some(timer) = self.listeners.resume {
            let moved = queue.modify(timer, Change::new().timer(Timer::after(PAUSE)));
            debug_assert!(moved.is_ok(), "it is there as long as the server: {moved:?}");
        }
    }

    /// Accepts again, if it was paused: first those who were accepted already.
    pub(super) fn resume_accepting(&mut self, queue: &mut Queue) {
        if !self.listeners.paused || self.ending != Ending::NotYet {
            return;
        }
        self.welcome_late(queue);
        if self.listeners.late.is_empty() && !self.is_crowded() {
            self.listeners.paused = false;
            self.start_accepting(queue);
        }
    }

    /// Takes in those who were accepted when there were too many, as far as there is room now.
    fn welcome_late(&mut self, queue: &mut Queue) {
        while !self.is_crowded()
            && let Some(socket) = self.listeners.late.pop_front()
        {
            self.welcome(queue, socket);
        }
    }
}
