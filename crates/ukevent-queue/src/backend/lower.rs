//! Operations as io_uring has them: what the kernel carries out by itself, and what it gives back.
//!
//! Not all of them. Sendfile through a ring is three times as dear as the call (its splice goes by way of
//! a pipe and a thread), a close is the registration's, a poll is what the backend does anyway; an empty
//! datagram ends a receiver of many without a buffer to tell of it; and a pipe that does not block answers
//! `EAGAIN`. These come back, and are tried.

use super::Landed;
use crate::operation::{Back, Direction, Message, Metadata, Payload, Request};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd};
use ukevent_buf::Piece;
use ukevent_sys::ring::{How, Load, Operation, ReceiveFlags, Status};

/// What the kernel takes of a message at once: more is tried, a part at a time.
const MOST_PIECES: usize = 1024;
const MOST_BYTES: usize = 0x7fff_f000;

const ENOMEM: i32 = 12;
const EOPNOTSUPP: i32 = 95;
const ENOBUFS: i32 = 105;

/// What must be known of an operation when it has landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// What it brings says it all.
    Plain,
    /// A send of so many bytes: cut short only if it was ended.
    Send { bytes: usize },
    /// A message of so many bytes that is sent; the same.
    Message { bytes: usize, back: Back },
    /// A send without a copy; its result, once it is known.
    Zero { bytes: usize, more: bool, result: Option<i32> },
    /// A write to this place: it may be short.
    Write { offset: u64 },
    /// A receiver into provided frames; whether it was told to stop after so many bytes.
    Each { stops: bool },
}

impl Shape {
    /// Whether its result comes before its end.
    pub(super) const fn comes_twice(&self) -> bool {
        matches!(self, Self::Zero { .. })
    }

    /// Keeps the result that came first. True if all of it is on its way.
    pub(super) fn learn(&mut self, came: i32) -> bool {
        let Self::Zero { bytes, result, .. } = self else { return false };
        *result = Some(came);
        usize::try_from(came) == Ok(*bytes)
    }

    /// The result, if it came before.
    pub(super) const fn known(&self) -> Option<i32> {
        if let Self::Zero { result, .. } = self { *result } else { None }
    }
}

/// The kernel's operation, or the request back. Sends and reads are begun without it (`uring.rs`).
pub(super) fn lowered(
    request: Request,
    descriptor: BorrowedFd<'_>,
) -> Result<(Operation<Piece>, Shape), Request> {
    let fd = descriptor.as_raw_fd();
    let operation = match request {
        Request::Accept { each } => Operation::Accept { listener: fd, each, nonblocking: true },
        Request::Connect { address, begun: false } => {
            Operation::Connect { fd, address: Box::new(address.into()) }
        }
        Request::Receive { buffer } => {
            Operation::Receive { fd, buffer: buffer.into(), flags: ReceiveFlags::empty() }
        }
        Request::Send { piece, sent: 0, more, zero_copy: true } => {
            let shape = Shape::Zero { bytes: piece.bytes().len(), more, result: None };
            return Ok((Operation::SendZero { fd, buffer: piece, more }, shape));
        }
        Request::SendMessage { message, sent: 0, more, back }
            if message.pieces().len() <= MOST_PIECES && message.bytes() <= MOST_BYTES =>
        {
            let shape = Shape::Message { bytes: message.bytes(), back };
            return Ok((Operation::SendMessage { fd, message: message.into_ring(), more }, shape));
        }
        Request::ReceiveMessage { message } => Operation::ReceiveMessage {
            fd,
            message: message.into_ring(),
            flags: ReceiveFlags::empty(),
        },
        Request::Open { path: Some(path), how } => {
            let directory = Some(fd);
            match how.parts() {
                (flags, mode, false) => Operation::Open { directory, path, flags, mode },
                (flags, mode, true) => {
                    let how = Box::new(How::new(flags, mode).beneath());
                    Operation::OpenHow { directory, path, how }
                }
            }
        }
        Request::MeasurePath { path: Some(path) } => Operation::Stat {
            directory: Some(fd),
            path: Some(path),
            follow: true,
            status: Box::default(),
        },
        Request::Shutdown { how } => Operation::Shutdown {
            fd,
            how: match how {
                Direction::Receiving => Shutdown::Read,
                Direction::Sending => Shutdown::Write,
                Direction::Both => Shutdown::Both,
            },
        },
        Request::Write { piece, offset, written: 0, in_order: false } => {
            let shape = Shape::Write { offset };
            return Ok((Operation::Write { fd, buffer: piece, offset: Some(offset) }, shape));
        }
        Request::Sync { data_only } => Operation::Sync { fd, data_only },
        Request::Measure => Operation::Stat {
            directory: Some(fd),
            path: None,
            follow: true,
            status: Box::default(),
        },
        other => return Err(other),
    };
    Ok((operation, Shape::Plain))
}

/// What a completion with this result brings to the queue.
pub(super) fn landed(load: Load<Piece>, shape: Shape, result: i32) -> Landed {
    match (load, shape) {
        (Load::Descriptor(descriptor), _) => Landed::Payload(Payload::Descriptor(descriptor)),
        (Load::Buffer(piece), Shape::Write { offset }) => {
            let written = usize::try_from(result).unwrap_or(0);
            if written > 0 && written < piece.bytes().len() {
                return Landed::Rest(Request::Write { piece, offset, written, in_order: false });
            }
            given_back(piece)
        }
        (Load::Buffer(piece), Shape::Send { bytes }) => {
            let sent = usize::try_from(result).unwrap_or(0);
            match given_back(piece) {
                Landed::Payload(payload) if sent > 0 && sent < bytes => Landed::Torn(payload),
                Landed::Nothing if sent > 0 && sent < bytes => Landed::Torn(Payload::None),
                whole => whole,
            }
        }
        (Load::Message(message), shape) => {
            let mut message = Message::from_ring(message);
            let Shape::Message { bytes, back } = shape else {
                return Landed::Payload(Payload::Message(message));
            };
            let sent = usize::try_from(result).unwrap_or(0);
            if result >= 0 {
                message.was_sent();
            }
            let payload = message.into_payload(back);
            if sent > 0 && sent < bytes { Landed::Torn(payload) } else { Landed::Payload(payload) }
        }
        (Load::Released { buffer, copied }, shape) => released(buffer, copied, shape, result),
        (
            Load::Buffer(piece),
            Shape::Plain | Shape::Each { .. } | Shape::Message { .. } | Shape::Zero { .. },
        ) => given_back(piece),
        (Load::Status(status), _) => Landed::Payload(Payload::Metadata(Box::new(known(&status)))),
        _ => Landed::Nothing,
    }
}

/// What becomes of a send without a copy when its buffer is ours again.
fn released(piece: Piece, copied: Option<bool>, shape: Shape, result: i32) -> Landed {
    let Shape::Zero { more, .. } = shape else { return given_back(piece) };
    let sent = usize::try_from(result).unwrap_or(0);
    // It does not know how, or may lock no more memory; what it would not do at all it says again.
    let cannot = [-EOPNOTSUPP, -ENOBUFS, -ENOMEM].contains(&result);
    if cannot || sent > 0 && sent < piece.bytes().len() {
        return Landed::Rest(Request::Send { piece, sent, more, zero_copy: false });
    }
    let payload = piece.into_buffer().map_or(Payload::None, Payload::Buffer);
    Landed::Released { payload, copied: sent > 0 && copied != Some(false) }
}

/// What an operation gives back that the kernel never saw.
pub(super) fn grounded(operation: Operation<Piece>, shape: Shape) -> Landed {
    match operation {
        Operation::SendMessage { message, .. } | Operation::ReceiveMessage { message, .. } => {
            let back = if let Shape::Message { back, .. } = shape { back } else { Back::Message };
            Landed::Payload(Message::from_ring(message).into_payload(back))
        }
        Operation::SendZero { buffer, .. } => given_back(buffer),
        Operation::Receive { buffer, .. }
        | Operation::Send { buffer, .. }
        | Operation::Read { buffer, .. }
        | Operation::Write { buffer, .. } => given_back(buffer),
        _ => Landed::Nothing,
    }
}

fn given_back(piece: Piece) -> Landed {
    match piece {
        Piece::Buffer(buffer) => Landed::Payload(Payload::Buffer(buffer)),
        Piece::Slice(_) => Landed::Nothing,
    }
}

fn known(status: &Status) -> Metadata {
    let (seconds, nanoseconds) = status.modified();
    let (major, minor) = status.device();
    Metadata {
        size: status.size_bytes(),
        mode: status.mode(),
        device: rustix::fs::makedev(major, minor),
        inode: status.inode(),
        modified_ns: i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds),
    }
}
