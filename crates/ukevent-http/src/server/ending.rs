//! The end of a server: whoever waits is still let in, as far as there is room; who is being answered
//! is answered, who rests is closed; and after a while everything is.

use super::{Meaning, Peer, Server, Step};
use crate::connection::Wants;
use ukevent_queue::{Kind, Mode, Queue, Timer};

/// How far the end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    #[default]
    NotYet,
    /// Answers that are asked for are being given.
    Gently,
    Over,
}

impl Ending {
    pub(super) fn is_over(self) -> bool {
        self == Self::Over
    }
}

impl Server {
    /// Ends because it is told to. Two tellings that came before one look are one event that counts
    /// both.
    pub(super) fn stop_as_told(&mut self, queue: &mut Queue, kind: &Kind) {
        let times = match kind {
            Kind::Signal(received) => u64::from(received.count),
            Kind::User(posted) => posted.count,
            _ => 1,
        };
        for _ in 0..times.clamp(1, 2) {
            self.stop(queue);
        }
    }

    /// Begins the end, or makes short work of it.
    fn stop(&mut self, queue: &mut Queue) {
        if self.ending != Ending::NotYet {
            return self.stop_at_once(queue);
        }
        self.ending = Ending::Gently;
        // Whoever is in the backlog was told by the kernel that it is connected.
        for index in 0..self.listeners.addresses().len() {
            self.accept_backlog(queue, index);
        }
        self.listeners.close(queue);
        let grace = Timer::after(self.service.limits.grace);
        match queue.register(grace, self.tokens.of(Meaning::GraceOver), Mode::Level) {
            Ok(key) => self.keys.push(key),
            // No room for a timer: then without grace.
            Err(_) => return self.stop_at_once(queue),
        }
        self.service.ending = true;
        // What has arrived was asked before the end.
        for index in self.peers.indices() {
            let reads = |peer: &&mut Peer| peer.connection.wants() == Wants::Input;
            if self.peers.at(index).filter(reads).is_some() {
                self.receive(queue, index);
            }
        }
        self.answer_received(queue);
        for index in self.peers.indices() {
            if self.peers.at(index).is_some_and(|peer| peer.connection.is_idle()) {
                self.step(queue, index, Step::Close);
            }
        }
    }

    /// Closes everything.
    pub(super) fn stop_at_once(&mut self, queue: &mut Queue) {
        self.ending = Ending::Gently;
        self.listeners.close(queue);
        for index in self.peers.indices() {
            self.step(queue, index, Step::Close);
        }
    }

    /// Takes the last registrations back once nobody is left.
    pub(super) fn end_if_idle(&mut self, queue: &mut Queue) {
        if self.ending == Ending::Gently && self.peers.is_empty() {
            for key in self.keys.drain(..) {
                drop(queue.remove(key));
            }
            self.ending = Ending::Over;
        }
    }
}
