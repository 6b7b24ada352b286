//! Accepting: until nobody waits, until a share is used up, or until nothing is left to accept with.
//!
//! Listeners are level-triggered: whoever is left in the backlog is reported again. Without a free
//! descriptor accepting pauses, for a readiness that cannot be served would be reported for ever;
//! it goes on when a connection closes, or after a while, as the descriptor may be another's.

use super::{Meaning, Peer, REFUSED_CONNECTIONS, Server};
use crate::{connection::Connection, entity::Content, limits::ACCEPTS, server::wire::SocketWire};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, Shutdown, SocketFlags, SocketType, accept_with, bind, getsockname, listen,
        shutdown, socket_with,
        sockopt::{set_ipv6_v6only, set_socket_reuseaddr, set_socket_reuseport, set_tcp_nodelay},
    },
};
use std::{
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};
use ukevent_queue::{Interest, Key, Mode, Queue, RegisterError, Socket, Timer};
use ukevent_sys::{Error, clock::Clock};

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How long a pause of accepting lasts, if no connection closes meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// The listening sockets, which belong to the queue.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    keys: Vec<Key>,
    addresses: Vec<SocketAddr>,
    paused: bool,
    resume: Option<Key>,
}

impl Listeners {
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(super) fn add(&mut self, key: Key, address: SocketAddr) {
        self.keys.push(key);
        self.addresses.push(address);
    }

    /// Closes all. From then on nobody can connect: what the kernel of a ring still holds open until
    /// the next wait no longer listens.
    pub(super) fn close(&mut self, queue: &mut Queue) {
        for &key in &self.keys {
            if let Some(socket) = queue.owner_of::<OwnedFd>(key) {
                let _ = shutdown(socket, Shutdown::Both);
            }
        }
        for key in self.keys.drain(..).chain(self.resume.take()) {
            drop(queue.remove(key));
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
    /// Accepts from a listener until it is this one's turn no more.
    pub(super) fn accept(&mut self, queue: &mut Queue, index: usize) {
        self.accept_up_to(ACCEPTS, queue, index);
    }

    /// Accepts whoever waits at a listener.
    pub(super) fn accept_backlog(&mut self, queue: &mut Queue, index: usize) {
        // One more may wait than the backlog says (listen(2)).
        self.accept_up_to(BACKLOG as usize + 1, queue, index);
    }

    fn accept_up_to(&mut self, most: usize, queue: &mut Queue, index: usize) {
        let Some(&listener) = self.listeners.keys.get(index) else { return };
        for _ in 0..most {
            let crowded = self.peers.refused() >= REFUSED_CONNECTIONS;
            if crowded && self.peers.served() >= self.service.limits.connections {
                return self.pause_accepting(queue, false);
            }
            let Some(socket) = queue.owner_of::<OwnedFd>(listener) else { return };
            match accept_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => self.welcome(queue, socket),
                Err(Errno::AGAIN) => return,
                Err(Errno::MFILE | Errno::NFILE) if self.service.site.let_go() => {}
                Err(
                    Errno::MFILE
                    | Errno::NFILE
                    | Errno::NOBUFS
                    | Errno::NOMEM
                    | Errno::INVAL
                    | Errno::BADF,
                ) => return self.pause_accepting(queue, true),
                // What else accept(2) reports is the failure of one connection, long gone.
                Err(_) => {}
            }
        }
    }

    /// Takes in a connection, or tells it that it is one too many.
    fn welcome(&mut self, queue: &mut Queue, socket: OwnedFd) {
        self.service.counters.accepted += 1;
        let refused = self.peers.served() >= self.service.limits.connections;
        let mut turn = self.service.turn();
        let connection = if refused {
            turn.counters.refused += 1;
            Connection::refused(&mut SocketWire(socket.as_fd()), &mut turn)
        } else {
            Connection::new(&turn)
        };
        // Should the queue have no room, dropping the socket closes it.
        if let Err(error) = self.register(queue, socket, connection, refused) {
            debug_assert!(!matches!(error, RegisterError::Invalid(_)), "{error}");
            self.service.counters.refused += u64::from(!refused);
        }
        self.service.counters.open = self.peers.served() as u64;
    }

    fn register(
        &mut self,
        queue: &mut Queue,
        socket: OwnedFd,
        connection: Connection,
        refused: bool,
    ) -> Result<(), RegisterError> {
        let index = self.peers.vacant();
        let timer_ns = connection.deadline_ns();
        let timer = queue.register(
            Timer::at(Clock::Monotonic, Duration::from_nanos(timer_ns)),
            self.tokens.of(Meaning::Deadline(index)),
            Mode::Level,
        )?;
        let both = Interest::READ | Interest::WRITE | Interest::PEER_CLOSED;
        let socket = Socket::new(socket).interest(both);
        let token = self.tokens.of(Meaning::Peer(index));
        let key = queue.register(socket, token, Mode::Edge).inspect_err(|_| {
            drop(queue.remove(timer));
        })?;
        self.peers.insert(Peer {
            connection,
            key,
            timer,
            timer_ns,
            refused,
            readable: false,
            ended: false,
            waits: false,
            received: false,
        });
        Ok(())
    }

    /// Stops accepting until a connection closes, or `for_a_while`.
    fn pause_accepting(&mut self, queue: &mut Queue, for_a_while: bool) {
        for &key in &self.listeners.keys {
            let _ = queue.disable(key);
        }
        self.listeners.paused = true;
        self.service.counters.pauses += 1;
        if for_a_while && self.listeners.resume.is_none() {
            let token = self.tokens.of(Meaning::Resume);
            self.listeners.resume = queue.register(Timer::after(PAUSE), token, Mode::Level).ok();
        }
    }

    /// Accepts again, if it was paused.
    pub(super) fn resume_accepting(&mut self, queue: &mut Queue) {
        if !self.listeners.paused {
            return;
        }
        self.listeners.paused = false;
        if let Some(timer) = self.listeners.resume.take() {
            drop(queue.remove(timer));
        }
        for &key in &self.listeners.keys {
            let _ = queue.enable(key);
        }
    }
}
