//! What an operation came to.

use super::Message;
use crate::backend::sim::SimDescriptor;
use crate::event::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use ukevent_buf::Buffer;

/// An operation completed; of a continuous one, once.
#[derive(Debug, PartialEq, Eq)]
pub struct Completed {
    /// How many bytes were moved, or what else the operation counts; or the errno. `ECANCELED` after
    /// [`Queue::cancel`](crate::Queue::cancel), `ETIMEDOUT` after its time limit.
    pub result: Result<u32, Errno>,
    /// What it brings or gives back. Dropping it closes a descriptor and returns a buffer.
    pub payload: Payload,
}

impl Completed {
    /// The buffer, if there is one.
    #[must_use]
    pub fn into_buffer(self) -> Option<Buffer> {
        match self.payload {
            Payload::Buffer(buffer) => Some(buffer),
            _ => None,
        }
    }

    /// The buffers, those of a message too.
    #[must_use]
    pub fn into_buffers(self) -> Vec<Buffer> {
        match self.payload {
            Payload::Buffer(buffer) => vec![buffer],
            Payload::Buffers(buffers) => *buffers,
            Payload::Message(message) => message.into_buffers(),
            _ => Vec::new(),
        }
    }

    /// The message, if there is one.
    #[must_use]
    pub fn into_message(self) -> Option<Message> {
        match self.payload {
            Payload::Message(message) => Some(message),
            _ => None,
        }
    }

    /// The descriptor, if there is one.
    #[must_use]
    pub fn into_descriptor(self) -> Option<OwnedFd> {
        match self.payload {
            Payload::Descriptor(descriptor) => Some(descriptor),
            _ => None,
        }
    }
}

/// What an operation brings or gives back.
#[derive(Debug)]
#[non_exhaustive]
pub enum Payload {
    /// Nothing.
    None,
    /// A buffer.
    Buffer(Buffer),
    /// The buffers among several pieces, in their order.
    // In a box, because three words would make every event larger.
    Buffers(Box<Vec<Buffer>>),
    /// A message, with what was received in it, if it was.
    Message(Message),
    /// An accepted connection, or an opened file.
    Descriptor(OwnedFd),
    /// A connection that was accepted in a [simulation](crate::sim), to be registered with
    /// [`Fd::simulated`](crate::Fd::simulated).
    Simulated(SimDescriptor),
    /// What there is to know of a file.
    Metadata(Box<Metadata>),
}

const _: () = assert!(size_of::<Completed>() <= 24);

impl Payload {
    pub(crate) fn of_buffers(buffers: Vec<Buffer>) -> Self {
        if buffers.is_empty() { Self::None } else { Self::Buffers(Box::new(buffers)) }
    }
}

impl PartialEq for Payload {
    /// Buffers by their bytes, descriptors by their number.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Buffer(one), Self::Buffer(other)) => one[..] == other[..],
            (Self::Buffers(one), Self::Buffers(other)) => {
                one.iter().map(|buffer| &buffer[..]).eq(other.iter().map(|buffer| &buffer[..]))
            }
            (Self::Message(one), Self::Message(other)) => one == other,
            (Self::Descriptor(one), Self::Descriptor(other)) => {
                one.as_raw_fd() == other.as_raw_fd()
            }
            (Self::Simulated(one), Self::Simulated(other)) => one == other,
            (Self::Metadata(one), Self::Metadata(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Payload {}

/// What there is to know of a file: a part of stat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Bytes.
    pub size: u64,
    /// Kind and permissions: `st_mode`.
    pub mode: u32,
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// When it was last changed, in nanoseconds since the epoch.
    pub modified_ns: i128,
}
