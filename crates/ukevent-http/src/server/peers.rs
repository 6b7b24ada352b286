//! The connections, each in its place.

use crate::connection::Connection;
use ukevent_queue::Key;

/// A connection and what the loop knows of it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) connection: Connection,
    /// The registration of the socket, which owns it.
    pub(super) key: Key,
    /// The registration of the timer.
    pub(super) timer: Key,
    /// When that expires; never if it has.
    pub(super) timer_ns: u64,
    /// One too many: it is only told so.
    pub(super) refused: bool,
    /// What receives, unless the input has ended or too much of it is held.
    pub(super) receiver: Receiver,
    pub(super) leaving: Leaving,
    /// The load that its content comes from.
    pub(super) awaits: Option<u64>,
}

/// What receives from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiver {
    /// Nothing does.
    Paused,
    /// This operation.
    Runs(Key),
    /// This operation, until it says that it has ended.
    Ends(Key),
    /// Nothing will ever come.
    Over,
}

impl Receiver {
    /// The operation.
    pub(super) fn key(self) -> Option<Key> {
        match self {
            Self::Runs(key) | Self::Ends(key) => Some(key),
            Self::Paused | Self::Over => None,
        }
    }
}

/// What is on its way to a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Leaving {
    /// What sends it.
    pub(super) operation: Option<Key>,
    /// The registration of the file; one for all pieces of an answer.
    pub(super) file: Option<Key>,
    /// It cannot leave.
    pub(super) failed: bool,
}

/// All connections, by a small number that is in their tokens.
#[derive(Debug, Default)]
pub(super) struct Peers {
    places: Vec<Option<Peer>>,
    free: Vec<u32>,
    refused: usize,
}

impl Peers {
    /// The place that the next connection gets.
    pub(super) fn vacant(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.places.len() as u32)
    }

    /// Puts a connection into the place that [`Peers::vacant`] named.
    pub(super) fn insert(&mut self, peer: Peer) {
        self.refused += usize::from(peer.refused);
        match self.free.pop() {
            Some(index) => self.places[index as usize] = Some(peer),
            None => self.places.push(Some(peer)),
        }
    }

    pub(super) fn at(&mut self, index: u32) -> Option<&mut Peer> {
        self.places.get_mut(index as usize)?.as_mut()
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Peer> {
        let peer = self.places.get_mut(index as usize)?.take()?;
        self.free.push(index);
        self.refused -= usize::from(peer.refused);
        Some(peer)
    }

    /// How many there are, but for those that are one too many.
    pub(super) fn served(&self) -> usize {
        self.places.len() - self.free.len() - self.refused
    }

    /// How many are on their way out because they were one too many.
    pub(super) fn refused(&self) -> usize {
        self.refused
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    /// The places that are taken.
    pub(super) fn indices(&self) -> Vec<u32> {
        (0..).zip(&self.places).filter(|(_, peer)| peer.is_some()).map(|(index, _)| index).collect()
    }
}
