//! How connections reach the threads.
//!
//! Of an address each thread has a socket of its own (`SO_REUSEPORT`), over which the kernel spreads who comes
//! by a hash of both addresses and ports. That cannot be had of a socket that was handed over, nor of one at a
//! path. There one thread accepts, and hands each connection to the next thread in turn. If all accepted from
//! one socket, the kernel would wake whom it likes: by io_uring the same one always (64 of 64 connections went to
//! one of four threads, one by one and in a burst), by epoll and poll all of them, of which the fastest is
//! often the same.
//!
//! Who has more waiting than [`WAITING`] is passed over, so a thread that is busy or stuck keeps up nobody else.

use super::super::{House, Listener, Server, StartError, threads::Vital};
use crate::{
    connection::wire::shut,
    race::{at_once, unless},
};
use std::{os::fd::OwnedFd, rc::Rc, time::Duration};
use ukevent_task::{
    Registered,
    channel::{SharedReceiver, SharedSender, shared},
    look,
    net::Incoming,
    time::sleep,
};

/// Connections that were handed to a thread, and that it has not taken in yet.
const WAITING: usize = 16;

/// How long it is not tried again when no thread has room for a connection.
const FULL: Duration = Duration::from_millis(5);

/// Whence a thread has connections.
#[derive(Debug)]
pub(in super::super) enum Feed {
    /// From a socket of its own.
    Own { socket: OwnedFd, secure: bool, is_ours: bool },
    /// From another thread, or itself, that accepts.
    Handed { sockets: SharedReceiver<OwnedFd>, secure: bool },
    /// It accepts for all threads.
    Accepts { socket: OwnedFd, to: Vec<SharedSender<OwnedFd>>, is_ours: bool },
}

/// For each thread: from a listener of which each has a socket.
pub(in super::super) fn by_kernel(
    feeds: &mut [Vec<Feed>],
    sockets: Vec<OwnedFd>,
    secure: bool,
    is_ours: bool,
) {
    debug_assert_eq!(feeds.len(), sockets.len(), "a socket for each");
    for (feeds, socket) in feeds.iter_mut().zip(sockets) {
        feeds.push(Feed::Own { socket, secure, is_ours });
    }
}

/// For each thread: from a listener of which there is one socket. Which of them accepts is another one for each
/// such listener.
pub(in super::super) fn in_turn(
    feeds: &mut [Vec<Feed>],
    socket: OwnedFd,
    secure: bool,
    is_ours: bool,
) {
    let is_accepting = |feed: &Feed| matches!(feed, Feed::Accepts { .. });
    let accepts = feeds.iter().flatten().filter(|feed| is_accepting(feed)).count() % feeds.len();
    let mut to = Vec::new();
    for feeds in feeds.iter_mut() {
        let (sender, sockets) = shared(WAITING);
        to.push(sender);
        feeds.push(Feed::Handed { sockets, secure });
    }
    feeds[accepts].push(Feed::Accepts { socket, to, is_ours });
}

/// What hands connections over, before the server runs.
#[derive(Debug)]
pub(in super::super) struct Accepts {
    incoming: Incoming,
    to: Vec<SharedSender<OwnedFd>>,
    is_ours: bool,
}

/// What takes them in.
#[derive(Debug)]
pub(in super::super) struct Handed {
    sockets: SharedReceiver<OwnedFd>,
    secure: bool,
}

impl Server {
    /// Takes connections from there, when it runs.
    #[track_caller]
    pub(in super::super) fn feed(&mut self, feed: Feed) -> Result<(), StartError> {
        match feed {
            Feed::Own { socket, secure, is_ours } => {
                let incoming = Incoming::new(Registered::new(socket)?);
                self.listeners.push(Listener { incoming, secure, is_ours });
            }
            Feed::Handed { sockets, secure } => self.handed.push(Handed { sockets, secure }),
            Feed::Accepts { socket, to, is_ours } => {
                let incoming = Incoming::new(Registered::new(socket)?);
                self.accepts.push(Accepts { incoming, to, is_ours });
            }
        }
        Ok(())
    }
}

impl House {
    /// Accepts for all threads, until the server ends; then who has come already.
    pub(in super::super) async fn accept_for_all(self: Rc<Self>, accepts: Accepts) {
        let _vital = Vital(Rc::clone(&self));
        let Accepts { mut incoming, to, is_ours } = accepts;
        let mut turn = 0;
        while !self.shared.is_ending() {
            let ending = self.ending.rung();
            match unless(incoming.accept(), ending).await {
                Some(Ok(socket)) => hand_over(socket, &to, &mut turn).await,
                Some(Err(error)) => self.pause(&error).await,
                None => {}
            }
        }
        loop {
            look().await;
            let mut came = false;
            while let Some(Ok(socket)) = at_once(incoming.accept()).await {
                hand_over(socket, &to, &mut turn).await;
                came = true;
            }
            if !came {
                break;
            }
        }
        if is_ours {
            shut(incoming.registered());
        }
    }

    /// Lets in whom another thread has accepted, until it accepts no more.
    pub(in super::super) async fn take_in(self: Rc<Self>, handed: Handed) {
        let _vital = Vital(Rc::clone(&self));
        loop {
            self.room().await;
            // At the end who has no room is left outside, as in the backlog.
            if self.is_crowded() {
                break;
            }
            match handed.sockets.receive().await {
                Some(socket) => self.welcome(socket, handed.secure),
                None => break,
            }
        }
    }
}

/// Gives a connection to whose turn it is, or to the next that has room for it.
async fn hand_over(mut socket: OwnedFd, to: &[SharedSender<OwnedFd>], turn: &mut usize) {
    loop {
        for _ in to {
            let next = *turn % to.len();
            *turn = next + 1;
            match to[next].try_send(socket) {
                Ok(()) => return,
                Err(error) => socket = error.into_message(),
            }
        }
        // Threads that take in nobody any more have ended, or will: then it is closed.
        if to.iter().all(SharedSender::is_closed) {
            return;
        }
        // Whichever has room first: to wait for one of them would be to wait for one that is stuck.
        sleep(FULL).await;
    }
}
