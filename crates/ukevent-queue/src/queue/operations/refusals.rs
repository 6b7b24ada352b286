//! What could never be done, and is refused when it is started.

use crate::BackendKind;
use crate::key::Key;
use crate::operation::{Inlet, MOST_DESCRIPTORS, Operation, Request, StartRefusal};
use crate::queue::Queue;
use crate::source::Owner;
use rustix::net::{SocketType, sockopt::socket_type};
use std::os::fd::BorrowedFd;
use ukevent_sys::Error;

/// Bytes that one descriptor may have outgoing; a single send may have more.
const OUTGOING_BYTES: usize = 1 << 20;

/// What one send or write may have: what the kernel takes with one call (`MAX_RW_COUNT`).
const MOST_BYTES: usize = 0x7fff_f000;

/// Pieces of a datagram that the kernel takes (`UIO_MAXIOV`).
const MOST_PIECES: usize = 1024;

impl Queue {
    /// Why an operation is not started.
    #[inline]
    pub(super) fn refusal(&mut self, operation: &Operation) -> Option<StartRefusal> {
        if self.check_thread().is_err() {
            return Some(StartRefusal::WrongThread);
        }
        if !self.names_enough(operation) {
            return Some(StartRefusal::NoSuchKey);
        }
        let bytes = match &operation.request {
            // With what there is most of little can be wrong.
            Request::Send { piece, .. } if piece.bytes().len() <= MOST_BYTES => piece.bytes().len(),
            request => {
                let bytes = request.outgoing_bytes();
                let reason = self.impossible(operation).or_else(|| self.unblock(operation));
                if reason.is_some() {
                    return reason;
                }
                bytes
            }
        };
        let waiting = self.operations.peer(operation.on).map_or(0, |peer| peer.outgoing_bytes);
        (bytes > 0 && waiting > 0 && waiting + bytes > OUTGOING_BYTES).then_some(StartRefusal::Full)
    }

    /// accept(2), connect(2) and sendfile(2) have no flag that keeps them from blocking: the descriptor
    /// gets it, once.
    fn unblock(&mut self, operation: &Operation) -> Option<StartRefusal> {
        let (Request::Accept { .. } | Request::Connect { .. } | Request::SendFile(_)) =
            operation.request
        else {
            return None;
        };
        let on = operation.on;
        if self.operations.peer(on).is_some_and(|peer| peer.never_blocks) {
            return None;
        }
        let fd = self.slots.owner(on).and_then(Owner::as_fd)?;
        if let Err(error) = unblocked(fd) {
            return Some(StartRefusal::Kernel(error));
        }
        self.operations.peer_or_new(on).never_blocks = true;
        None
    }

    /// Whether it names what it must.
    fn names_enough(&self, operation: &Operation) -> bool {
        let names_none = operation.on == Key::NONE && operation.request.is_of_path();
        names_none || self.slots.owner(operation.on).is_some()
    }

    /// What is wrong with it, in words.
    #[inline(never)]
    fn impossible(&self, operation: &Operation) -> Option<StartRefusal> {
        let why = match &operation.request {
            Request::Receive { buffer } | Request::Read { buffer, .. }
                if buffer.tailroom() == 0 =>
            {
                "the buffer has no room to receive into"
            }
            Request::ReceiveEach { pool, .. } if pool.frame_bytes() <= pool.headroom_bytes() => {
                "the frames of the pool have no room behind their headroom"
            }
            Request::ReceiveEach { inlet: Inlet::Device, .. }
                if self.slots.owner(operation.on).is_some_and(Owner::always_ready) =>
            {
                "a file is read at its places, by Operation::read; read_each is for pipes"
            }
            Request::Send { piece, .. } | Request::Write { piece, .. }
                if piece.bytes().len() > MOST_BYTES =>
            {
                "more than 2 GiB cannot leave at once; cut it"
            }
            Request::ReceiveMessage { message } if !message.has_room() => {
                "the message has no buffer with room to receive into"
            }
            Request::SendMessage { message, .. } if message.bytes() > MOST_BYTES => {
                "more than 2 GiB cannot leave at once; cut it"
            }
            Request::SendMessage { message, .. } if message.attached().len() > MOST_DESCRIPTORS => {
                "a message takes at most 253 descriptors; send the rest with another one"
            }
            Request::SendMessage { message, .. }
                if message.pieces().len() > MOST_PIECES && self.is_of_datagrams(operation.on) =>
            {
                "a datagram takes at most 1,024 pieces; join some"
            }
            Request::SendFile(send) if send.outgoing_bytes() > MOST_BYTES => {
                "more than 2 GiB cannot go around a file; cut it"
            }
            Request::SendFile(send) if self.slots.owner(send.file).is_none() => {
                return Some(StartRefusal::NoSuchKey);
            }
            Request::Open { path: None, .. } | Request::MeasurePath { path: None } => {
                "the path is empty, or has a zero byte in it"
            }
            Request::Open { .. } | Request::MeasurePath { .. } if self.kind == BackendKind::Sim => {
                "a simulation has no files"
            }
            _ => return None,
        };
        Some(StartRefusal::Invalid(why))
    }

    fn is_of_datagrams(&self, on: Key) -> bool {
        let fd = self.slots.owner(on).and_then(Owner::as_fd);
        fd.is_some_and(|fd| socket_type(fd).is_ok_and(|kind| kind != SocketType::STREAM))
    }
}

fn unblocked(fd: BorrowedFd<'_>) -> Result<(), Error> {
    let flags = rustix::fs::fcntl_getfl(fd);
    flags
        .and_then(|flags| rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK))
        .map_err(|errno| Error::new("fcntl", errno.raw_os_error()))
}
