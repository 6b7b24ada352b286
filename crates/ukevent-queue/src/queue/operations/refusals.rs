//! What could never be done, and is refused when it is started.

use super::MOST_BYTES;
use crate::BackendKind;
use crate::key::Key;
use crate::operation::{MOST_DESCRIPTORS, Operation, Request, StartRefusal};
use crate::queue::Queue;
use crate::source::Owner;
use rustix::net::{SocketType, sockopt::socket_type};

/// Pieces of a datagram that the kernel takes (`UIO_MAXIOV`).
const MOST_PIECES: usize = 1024;

impl Queue {
    /// Whether it names what it must.
    pub(super) fn names_enough(&self, operation: &Operation) -> bool {
        let names_none = operation.on == Key::NONE && operation.request.is_of_path();
        names_none || self.slots.owner(operation.on).is_some()
    }

    /// What is wrong with a message, a path, or what goes with a file; in words.
    pub(super) fn impossible(&self, operation: &Operation) -> Option<StartRefusal> {
        let why = match &operation.request {
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
