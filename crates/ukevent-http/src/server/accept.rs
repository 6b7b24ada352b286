//! Accepting: each listener has a task that lets in whoever comes.
//!
//! When all seats are taken and too many are on their way out it lets nobody in until one of them has left;
//! who has come waits in the backlog. Without a free descriptor, descriptors that are only kept for speed are let go,
//! and if there are none it pauses until a connection leaves or for a while, as the descriptor may be
//! another's.

use super::{House, Listener, seats::Taken, threads::Vital};
use crate::{
    connection::{
        self,
        tls::Tls,
        wire::{Plain, Wire, peer_of, shut},
    },
    entity::Content,
    race::{at_once, unless},
};
use rustix::io::Errno;
use std::{io, net::IpAddr, os::fd::OwnedFd, rc::Rc, time::Duration};
use ukevent_task::{look, net::TcpStream, spawn, time::timeout};
use ukevent_tls::TlsStream;

/// How long a pause of accepting lasts, if no connection leaves meanwhile.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

impl House {
    /// Lets in whoever comes, until the server ends; then those who have come already, as far as there is
    /// room for them.
    pub(super) async fn accept_from(self: Rc<Self>, listener: Listener) {
        let _vital = Vital(Rc::clone(&self));
        let Listener { mut incoming, secure, is_ours } = listener;
        while !self.shared.is_ending() {
            if self.is_crowded() {
                self.room().await;
                continue;
            }
            let ending = self.ending.rung();
            match unless(incoming.accept(), ending).await {
                Some(Ok(socket)) => self.welcome(socket, secure),
                Some(Err(error)) => self.pause(&error).await,
                None => {}
            }
        }
        loop {
            look().await;
            let mut came = false;
            while !self.is_crowded()
                && let Some(Ok(socket)) = at_once(incoming.accept()).await
            {
                self.welcome(socket, secure);
                came = true;
            }
            if !came {
                break;
            }
        }
        // From here on nobody can connect: what a ring still holds open no longer listens. What was handed
        // over is not shut, as that would be for whoever handed it over, too.
        if is_ours {
            shut(incoming.registered());
        }
    }

    /// Waits until another connection can be taken in or turned away, or the server ends.
    pub(super) async fn room(&self) {
        if self.is_crowded() {
            self.shared.tally().pauses.add(1);
            while self.is_crowded() && !self.shared.is_ending() {
                self.seats.left.rung().await;
            }
        }
    }

    /// Accepting has failed with this: it goes on, or pauses.
    pub(super) async fn pause(&self, error: &io::Error) {
        if Errno::from_io_error(error).is_none_or(|errno| self.cannot_go_on(errno)) {
            self.shared.tally().pauses.add(1);
            self.wait_a_while().await;
        }
    }

    pub(super) async fn wait_a_while(&self) {
        // Both is well: somebody left, or some time passed.
        let _ = timeout(PAUSE, self.seats.left.rung()).await;
    }

    /// Whether the next try to accept would fail like this one, unless something changes. What is only kept for
    /// speed is let go of first.
    pub(super) fn cannot_go_on(&self, errno: Errno) -> bool {
        match errno {
            Errno::MFILE | Errno::NFILE => !self.let_go(),
            errno => {
                matches!(errno, Errno::NOBUFS | Errno::NOMEM | Errno::INVAL | Errno::BADF)
            }
        }
    }

    fn let_go(&self) -> bool {
        self.shared.begin().content.let_go()
    }

    /// Whether all seats are taken and so many are being turned away that no more can be.
    pub(super) fn is_crowded(&self) -> bool {
        self.seats.refuses_no_more() && self.seats.is_full()
    }

    /// Takes in a connection, or tells it that it is one too many.
    pub(super) fn welcome(&self, socket: OwnedFd, secure: bool) {
        let admitted = self.seats.admit(|| peer_of(&socket));
        let refused = admitted.is_err() || !self.seats.enter();
        let tally = self.shared.tally();
        tally.accepted.add(1);
        tally.refused.add(u64::from(refused));
        if admitted.is_err() && self.seats.refuses_no_more() {
            // An address that has had its share must not keep the others waiting: it hears nothing.
            return;
        }
        // Gives everything back when it is dropped, the share of the address too.
        let taken = self.seats.take(admitted.unwrap_or(None), refused);
        let Ok(stream) = TcpStream::from_socket(socket) else {
            // There is no room in the queue.
            return tally.refused.add(u64::from(!refused));
        };
        let halves = stream.into_split();
        let Some(identity) = self.identity.as_ref().filter(|_| secure) else {
            return self.seat(Plain::new(halves), taken);
        };
        match TlsStream::server(halves, identity.config()) {
            Ok(stream) => self.seat(Tls::new(stream), taken),
            Err(_) => tally.refused.add(u64::from(!refused)),
        }
    }

    /// Serves on a connection that rested.
    pub(super) fn resume(&self, socket: OwnedFd, taken: Taken, rest: (Option<IpAddr>, u64)) {
        // Without room in the queue it is closed.
        if let Ok(stream) = TcpStream::from_socket(socket) {
            let (index, shared) = (taken.index(), Rc::clone(&self.shared));
            let wire = Plain::new(stream.into_split());
            self.seats.seat(index, spawn(connection::resume(wire, shared, taken, rest)));
        }
    }

    fn seat(&self, wire: impl Wire + 'static, taken: Taken) {
        let (index, shared) = (taken.index(), Rc::clone(&self.shared));
        let task = if taken.is_refused() {
            spawn(connection::refuse(wire, shared, taken))
        } else {
            spawn(connection::serve(wire, shared, taken))
        };
        self.seats.seat(index, task);
    }
}
