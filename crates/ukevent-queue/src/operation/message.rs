//! Messages: several buffers, an address, descriptors, and how datagrams are cut, as one operation.
//!
//! One form for all backends: the ring lends it to the kernel as it is, the others hand it to sendmsg(2)
//! and recvmsg(2). Whoever holds it owns what is in it, so descriptors that came and were not taken are
//! closed with it. What else sends more than one buffer, or to an address, is a message too, and differs
//! in what comes back ([`Back`]).

use super::{Operation, Payload, Request};
use crate::key::Key;
use std::os::fd::OwnedFd;
use ukevent_buf::{Buffer, Piece};
use ukevent_sys::ring::{self, Address};

/// Room for the size of coalesced datagrams, in bytes of ancillary data (cmsg(3)).
const SEGMENTS_ROOM: usize = 24;

/// Descriptors that one message may have (`SCM_MAX_FD`).
pub(crate) const MOST_DESCRIPTORS: usize = 253;

/// What one operation sends or receives in one call: sendmsg(2), recvmsg(2).
///
/// It comes back with [`Payload::Message`] and can be started again, received or sent: an answer goes to
/// the address that the question came from. Eight bytes; it lies on the heap. Dropping it returns its
/// buffers and closes its descriptors.
///
/// ```
/// use std::net::UdpSocket;
/// use ukevent_buf::Buffer;
/// use ukevent_queue::{Kind, Message, Mode, Operation, Payload, Queue, Socket, Token, Wait};
///
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"marco", server.local_addr()?)?;
///
/// let mut queue = Queue::new()?;
/// let server = queue.register(Socket::new(server).unwatched(), Token(0), Mode::Level)?;
/// let question = Message::new([Buffer::with_capacity(1500)]);
/// queue.start(Operation::receive_message(server, question), Token(1))?;
/// queue.wait(Wait::forever())?;
/// let Some(Kind::Completed(done)) = queue.next_event().map(|event| event.kind) else { panic!() };
/// let Payload::Message(mut message) = done.payload else { panic!() };
/// assert_eq!(message.pieces()[0].bytes(), b"marco");
/// assert_eq!(message.address().to_inet(), Some(client.local_addr()?));
///
/// *message.pieces_mut() = vec![Buffer::from(b"po".to_vec()).into(), Buffer::from(b"lo".to_vec()).into()];
/// queue.start(Operation::send_message(server, message), Token(2))?;
/// queue.wait(Wait::forever())?;
/// let mut answer = [0; 8];
/// assert_eq!(client.recv(&mut answer)?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
#[doc(alias = "msghdr")]
pub struct Message(Box<ring::Message<Piece>>);

impl Message {
    /// One of these, in their order: what is sent, or buffers with room for what comes. Allocates.
    pub fn new(pieces: impl IntoIterator<Item: Into<Piece>>) -> Self {
        let pieces = pieces.into_iter().map(Into::into).collect();
        Self(Box::new(ring::Message::new(pieces).control_room(SEGMENTS_ROOM)))
    }

    /// Sets where it is sent to: an address of IPv4 or IPv6, or of a Unix socket. Connected sockets need
    /// none.
    pub fn to(mut self, address: impl Into<Address>) -> Self {
        self.0.set_address(address.into());
        self
    }

    /// Adds a descriptor to be sent over a Unix socket (`SCM_RIGHTS`), at most 253. It is closed here once
    /// it was sent, and comes back if it was not. Other sockets pass over it.
    #[doc(alias = "SCM_RIGHTS")]
    pub fn attach(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.0.attach(descriptor.into());
        self
    }

    /// Cuts the bytes into datagrams of so many each, but the last: many for one call. The kernel takes
    /// 64 at a time, and refuses (`EINVAL`) more, and what is larger than the route's MTU allows. UDP,
    /// Linux 4.18.
    #[doc(alias = "UDP_SEGMENT")]
    pub fn segments(mut self, bytes: u16) -> Self {
        let inner = *self.0;
        *self.0 = inner.segments(bytes);
        self
    }

    /// Lets so many descriptors be received with it; others are closed by the kernel, but for a few for
    /// which there is room anyhow.
    pub fn room_for_descriptors(mut self, count: usize) -> Self {
        let numbers = (4 * count.min(MOST_DESCRIPTORS)).next_multiple_of(8);
        let inner = *self.0;
        *self.0 = inner.control_room(SEGMENTS_ROOM + 16 + numbers);
        self
    }

    /// Its bytes. What was received stands behind what a buffer had before.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        self.0.buffers()
    }

    /// Its bytes, to be changed.
    #[must_use]
    pub fn pieces_mut(&mut self) -> &mut Vec<Piece> {
        self.0.buffers_mut()
    }

    /// Its buffers, without the rest: shares of others are dropped.
    #[must_use]
    pub fn into_buffers(self) -> Vec<Buffer> {
        self.0.into_buffers().into_iter().filter_map(Piece::into_buffer).collect()
    }

    /// Where it goes to, or came from.
    #[must_use]
    pub const fn address(&self) -> &Address {
        self.0.address()
    }

    /// Takes the descriptors that came with it, close-on-exec.
    #[must_use]
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        self.0.take_descriptors()
    }

    /// Takes the descriptors that were to be sent with it.
    #[must_use]
    pub fn take_attached(&mut self) -> Vec<OwnedFd> {
        self.0.take_attached()
    }

    /// Of how many bytes each, but the last, the datagrams were that came as one; `None` if it is one. So
    /// they come to a socket that is [`coalesced`](crate::Socket::coalesced).
    #[must_use]
    #[doc(alias = "UDP_GRO")]
    pub fn received_segments(&self) -> Option<u16> {
        self.0.received_segments()
    }

    /// Whether there was more of the datagram than room; the rest is lost.
    #[must_use]
    #[doc(alias = "MSG_TRUNC")]
    pub const fn is_truncated(&self) -> bool {
        self.0.is_truncated()
    }

    /// Whether there was more ancillary data than room: descriptors that did not fit are closed.
    #[must_use]
    #[doc(alias = "MSG_CTRUNC")]
    pub const fn is_control_truncated(&self) -> bool {
        self.0.is_control_truncated()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.pieces().iter().map(|piece| piece.bytes().len()).sum()
    }

    pub(crate) fn has_room(&self) -> bool {
        let has_room = |piece: &Piece| matches!(piece, Piece::Buffer(it) if it.tailroom() > 0);
        self.pieces().iter().any(has_room)
    }

    pub(crate) fn attached(&self) -> &[OwnedFd] {
        self.0.attached()
    }

    /// What is behind so many bytes, of one piece; empty if there is nothing.
    pub(crate) fn rest(&self, mut skip: usize) -> &[u8] {
        for piece in self.pieces() {
            match piece.bytes().get(skip..) {
                Some(rest) if !rest.is_empty() => return rest,
                _ => skip -= piece.bytes().len().min(skip),
            }
        }
        &[]
    }

    /// The kernel has it, and with it the descriptors.
    pub(crate) fn was_sent(&mut self) {
        drop(self.0.take_attached());
    }

    pub(crate) const fn ring_mut(&mut self) -> &mut ring::Message<Piece> {
        &mut self.0
    }

    pub(crate) fn into_ring(self) -> Box<ring::Message<Piece>> {
        self.0
    }

    pub(crate) const fn from_ring(message: Box<ring::Message<Piece>>) -> Self {
        Self(message)
    }

    pub(crate) fn into_payload(self, back: Back) -> Payload {
        match back {
            Back::Message => Payload::Message(self),
            Back::Buffers => Payload::of_buffers(self.into_buffers()),
            Back::Buffer => self.into_buffers().pop().map_or(Payload::None, Payload::Buffer),
        }
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("pieces", &self.pieces().len())
            .field("bytes", &self.bytes())
            .field("address", self.address())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Message {
    /// By bytes and address.
    fn eq(&self, other: &Self) -> bool {
        let bytes =
            |message: &Self| Vec::from_iter(message.pieces().iter().map(|it| it.bytes().to_vec()));
        self.address() == other.address() && bytes(self) == bytes(other)
    }
}

impl Eq for Message {}

/// What comes back of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    Message,
    Buffers,
    Buffer,
}

impl Operation {
    /// Sends several pieces as one: in order and whole, like [`Operation::send`], and in as few system
    /// calls as the kernel takes (1,024 pieces each). To a datagram socket they are one datagram, of at
    /// most 1,024 pieces. The buffers come back in their order ([`Payload::Buffers`]); shares do not.
    ///
    /// ```
    /// use std::{io::Read, os::unix::net::UnixStream};
    /// use ukevent_buf::Buffer;
    /// use ukevent_queue::{Mode, Operation, Queue, Socket, Token, Wait};
    ///
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let mut queue = Queue::new()?;
    /// let socket = queue.register(Socket::new(ours).unwatched(), Token(0), Mode::Level)?;
    /// let pieces = [&b"head: "[..], b"body"].map(|bytes| Buffer::from(bytes.to_vec()));
    /// queue.start(Operation::send_pieces(socket, pieces), Token(1))?;
    /// queue.wait(Wait::forever())?;
    /// let mut arrived = [0; 10];
    /// theirs.read_exact(&mut arrived)?;
    /// assert_eq!(&arrived, b"head: body");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "writev")]
    pub fn send_pieces(socket: Key, pieces: impl IntoIterator<Item: Into<Piece>>) -> Self {
        Self::sending(socket, Message::new(pieces), Back::Buffers)
    }

    /// Sends to an address, from a socket that is not connected. The buffer comes back.
    ///
    /// A Unix datagram socket whose peer takes nothing does not say when that changes unless it is
    /// connected: it is tried in every wait.
    #[doc(alias = "sendto")]
    pub fn send_to(socket: Key, bytes: impl Into<Piece>, address: impl Into<Address>) -> Self {
        Self::sending(socket, Message::new([bytes.into()]).to(address), Back::Buffer)
    }

    /// Sends a message: [`Payload::Message`].
    #[doc(alias = "sendmsg")]
    pub const fn send_message(socket: Key, message: Message) -> Self {
        Self::sending(socket, message, Back::Message)
    }

    const fn sending(socket: Key, message: Message, back: Back) -> Self {
        Self::new(socket, Request::SendMessage { message, sent: 0, more: false, back })
    }

    /// Receives once, and the sender's address with it: [`Payload::Message`] of the one buffer.
    #[doc(alias = "recvfrom")]
    pub fn receive_from(socket: Key, buffer: Buffer) -> Self {
        Self::receive_message(socket, Message::new([buffer]))
    }

    /// Receives once into the room of a message's buffers, one after the other, with the sender's address,
    /// descriptors, and the size of coalesced datagrams: [`Payload::Message`]. Else as
    /// [`Operation::receive`].
    #[doc(alias = "recvmsg")]
    pub const fn receive_message(socket: Key, message: Message) -> Self {
        Self::new(socket, Request::ReceiveMessage { message })
    }

    /// The buffers in it: to have them back from an operation that was not started.
    #[must_use]
    pub fn into_buffers(self) -> Vec<Buffer> {
        match self.request {
            Request::SendMessage { message, .. } | Request::ReceiveMessage { message } => {
                message.into_buffers()
            }
            Request::SendFile(send) => send.into_buffers(),
            request => match request.into_payload() {
                Payload::Buffer(buffer) => vec![buffer],
                _ => Vec::new(),
            },
        }
    }

    /// The message in it, if there is one, in the same case.
    #[must_use]
    pub fn into_message(self) -> Option<Message> {
        match self.request {
            Request::SendMessage { message, .. } | Request::ReceiveMessage { message } => {
                Some(message)
            }
            _ => None,
        }
    }
}
