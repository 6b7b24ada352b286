//! A connected socket as a [`Wire`]: what is sent becomes operations of the queue.

use super::peers::Leaving;
use crate::{connection::Wire, entity::FilePart};
use std::{os::fd::OwnedFd, sync::Arc};
use ukevent_buf::Buffer;
use ukevent_queue::{Direction, Fd, Key, Mode, Operation, Queue, Token};
use ukevent_sys::socket::unsent_bytes;

/// A connected socket that the queue owns.
pub(super) struct SocketWire<'a> {
    pub(super) queue: &'a mut Queue,
    pub(super) socket: Key,
    /// Of the events of what is sent.
    pub(super) token: Token,
    pub(super) leaving: &'a mut Leaving,
}

impl SocketWire<'_> {
    fn start(&mut self, operation: Operation) -> Option<Key> {
        let started = self.queue.start(operation, self.token).ok();
        // The peer is then given up.
        self.leaving.failed |= started.is_none();
        started
    }

    /// One operation, so that no file leaves without its head.
    fn send_file(&mut self, head: Buffer, part: &FilePart, bytes: u64) -> Option<Key> {
        let file = self.registered(part.file()?);
        self.leaving.file = file;
        self.leaving.failed |= file.is_none();
        let send = Operation::send_file(self.socket, file?, part.offset, bytes);
        self.start(if head.is_empty() { send } else { send.header(head) })
    }
}

impl SocketWire<'_> {
    /// The registration of the file: that of the piece before, if it was one of the same, for by that the
    /// queue remembers what it knows of it.
    fn registered(&mut self, file: &Arc<OwnedFd>) -> Option<Key> {
        let before = self.leaving.file.take();
        let owner = before.and_then(|key| self.queue.owner_of::<Arc<OwnedFd>>(key));
        if owner.is_some_and(|owner| Arc::ptr_eq(owner, file)) {
            return before;
        }
        self.leave(before);
        let file = Fd::new(Arc::clone(file)).unwatched();
        self.queue.register(file, self.token, Mode::Level).ok()
    }

    fn leave(&mut self, file: Option<Key>) {
        if let Some(file) = file {
            drop(self.queue.remove(file));
        }
    }
}

impl Wire for SocketWire<'_> {
    fn send(&mut self, bytes: Buffer, file: Option<(&FilePart, u64)>) {
        self.leaving.operation = match file {
            Some((part, most)) => self.send_file(bytes, part, most),
            None => {
                let before = self.leaving.file.take();
                self.leave(before);
                self.start(Operation::send(self.socket, bytes))
            }
        };
    }

    fn end(&mut self) {
        // Nothing waits for it: it fails only if the peer has ended it all already.
        let _ = self.queue.start(Operation::shutdown(self.socket, Direction::Sending), self.token);
    }

    fn outstanding(&mut self) -> Option<u32> {
        let socket = self.queue.owner_of::<OwnedFd>(self.socket)?;
        unsent_bytes(socket).ok().flatten()
    }
}
