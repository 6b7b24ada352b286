//! Operations: what completes by itself, and says so in an event.
//!
//! Readiness says that one may read; an operation reads, and hands over what came. It names a
//! registration, which owns the descriptor, so nothing can be closed under it; it takes its buffer and
//! gives it back with the result, whatever that is. One enum of requests ([`Request`]) says all there
//! is; where the kernel does not carry an operation out by itself, [`attempt`] does: try, and if it
//! would block wait for readiness and try again. Files, which are always ready and block all the same,
//! go to a few threads ([`files`]).

mod attempt;
mod completed;
mod end;
mod files;
mod message;
mod path;
mod refusal;
mod send_file;
mod simulated;
mod work;
mod zero;

pub(crate) use attempt::{Attempt, attempt};
pub use completed::{Completed, Metadata, Payload};
pub(crate) use files::Files;
pub use message::Message;
pub(crate) use message::{Back, MOST_DESCRIPTORS};
pub use path::Open;
pub use refusal::{StartError, StartRefusal};
pub(crate) use send_file::SendFile;
pub(crate) use work::{Each, MOST_BUFFERS, Work};

use crate::key::Key;
use crate::mode::Interest;
use std::ffi::CString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use ukevent_buf::{Buffer, FramePool, Piece};

/// Something to be done, as a rule with a registered descriptor, for [`Queue::start`](crate::Queue::start).
///
/// Its event is [`Kind::Completed`](crate::Kind::Completed), with the token that `start` was given. A
/// buffer that moves in comes back with it, also after an error. Sends of one descriptor leave in the
/// order in which they were started, each whole.
///
/// ```
/// use std::net::{TcpListener, TcpStream};
/// use ukevent_buf::Buffer;
/// use ukevent_queue::{Kind, Mode, Operation, Payload, Queue, Socket, Token, Wait};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// let (server, _) = listener.accept()?;
///
/// let mut queue = Queue::new()?;
/// let client = queue.register(Socket::new(client).unwatched(), Token(1), Mode::Level)?;
/// let server = queue.register(Socket::new(server).unwatched(), Token(2), Mode::Level)?;
/// queue.start(Operation::receive(server, Buffer::with_capacity(100)), Token(3))?;
/// queue.start(Operation::send(client, Buffer::from(b"hello".to_vec())), Token(4))?;
///
/// let mut received = None;
/// while received.is_none() {
///     queue.wait(Wait::forever())?;
///     while let Some(event) = queue.next_event() {
///         if let (Token(3), Kind::Completed(done)) = (event.token, event.kind) {
///             received = done.into_buffer();
///         }
///     }
/// }
/// assert_eq!(received.as_deref(), Some(&b"hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
#[derive(Debug)]
pub struct Operation {
    pub(crate) on: Key,
    pub(crate) request: Request,
    pub(crate) limit: Option<Duration>,
}

/// What is to be done, with all that it needs.
pub(crate) enum Request {
    Accept {
        each: bool,
    },
    Connect {
        address: SocketAddr,
        begun: bool,
    },
    Receive {
        buffer: Buffer,
    },
    ReceiveEach {
        pool: Arc<FramePool>,
        inlet: Inlet,
        most_bytes: u32,
    },
    /// `zero_copy`: it need not be copied.
    Send {
        piece: Piece,
        sent: usize,
        more: bool,
        zero_copy: bool,
    },
    SendMessage {
        message: Message,
        sent: usize,
        more: bool,
        back: Back,
    },
    ReceiveMessage {
        message: Message,
    },
    SendFile(SendFile),
    Shutdown {
        how: Direction,
    },
    Close,
    /// `is_file`: it is always ready, and has places.
    Read {
        buffer: Buffer,
        offset: u64,
        is_file: bool,
    },
    /// `in_order`: it has its turn, because it has no place.
    Write {
        piece: Piece,
        offset: u64,
        written: usize,
        in_order: bool,
    },
    Sync {
        data_only: bool,
    },
    Measure,
    Poll {
        interest: Interest,
    },
    /// `None` is a path that cannot be.
    Open {
        path: Option<CString>,
        how: Open,
    },
    MeasurePath {
        path: Option<CString>,
    },
    /// For a thread: lets a range of a file come into memory.
    Warm {
        offset: u64,
        bytes: u64,
    },
}

/// What a continuous receiver takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inlet {
    Stream,
    /// Nothing received is one of them, and no end.
    Datagrams,
    Pipe,
    /// Anything else that is read.
    Device,
}

/// Which side of a connection is closed: shutdown(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Nothing will be received any more.
    Receiving,
    /// Nothing will be sent any more: the peer sees the end.
    Sending,
    /// Neither.
    Both,
}

impl Operation {
    const fn new(on: Key, request: Request) -> Self {
        Self { on, request, limit: None }
    }

    /// The registrations that it needs; that of none, if it is on none.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        let file =
            if let Request::SendFile(sent) = &self.request { Some(&sent.file) } else { None };
        std::iter::once(&self.on).chain(file)
    }

    pub(crate) fn keys_mut(&mut self) -> impl Iterator<Item = &mut Key> {
        let Self { on, request, .. } = self;
        let file = if let Request::SendFile(sent) = request { Some(&mut sent.file) } else { None };
        std::iter::once(on).chain(file)
    }

    /// Accepts one connection: [`Payload::Descriptor`], close-on-exec and non-blocking. The listener
    /// becomes non-blocking, for whoever shares it too.
    #[doc(alias = "accept4")]
    pub const fn accept(listener: Key) -> Self {
        Self::new(listener, Request::Accept { each: false })
    }

    /// Accepts connections until it is cancelled or fails, one event each. While the program takes none,
    /// a ring keeps at most as many as it has room for completions, the other backends one. After an error (`EMFILE`: no
    /// descriptor is left) it has ended; start another one when there is reason to.
    #[doc(alias = "IORING_ACCEPT_MULTISHOT")]
    pub const fn accept_each(listener: Key) -> Self {
        Self::new(listener, Request::Accept { each: true })
    }

    /// Connects to an address. The socket becomes non-blocking.
    pub const fn connect(socket: Key, address: SocketAddr) -> Self {
        Self::new(socket, Request::Connect { address, begun: false })
    }

    /// Receives once, into the room behind what the buffer holds; the result says how much came. 0 is
    /// the end of a stream, or an empty datagram. A buffer without room is refused by `start`. Of several
    /// at a time on one stream, which gets what is not said.
    #[doc(alias = "recv")]
    pub const fn receive(socket: Key, buffer: Buffer) -> Self {
        Self::new(socket, Request::Receive { buffer })
    }

    /// Receives until the end (a result of 0 without a buffer), an error or a cancellation, one event with
    /// a buffer of the pool each; of datagrams an empty one too. It holds no buffer while nothing comes. So
    /// that nobody is starved it stops while the program does not take its events: on a ring when 16
    /// buffers' worth came ([`Operation::at_most`]), elsewhere at one. While the pool is empty it pauses, and goes on by itself when a buffer comes
    /// back: make the pool with [`Queue::room_waker`](crate::Queue::room_waker). The pool belongs to the
    /// queue's thread. On a ring up to half of its frames are with the kernel while anybody receives into it.
    #[doc(alias = "IORING_RECV_MULTISHOT")]
    pub const fn receive_each(socket: Key, pool: Arc<FramePool>) -> Self {
        let inlet = Inlet::Stream;
        Self::new(socket, Request::ReceiveEach { pool, inlet, most_bytes: 0 })
    }

    /// The same from a pipe, a terminal or a device, by read(2). A file has no end to wait for: it is
    /// refused, and read with [`Operation::read`]. On a ring a pipe's receiver is the kernel's from Linux
    /// 6.7 on.
    #[doc(alias = "IORING_OP_READ_MULTISHOT")]
    pub const fn read_each(pipe: Key, pool: Arc<FramePool>) -> Self {
        Self::new(pipe, Request::ReceiveEach { pool, inlet: Inlet::Device, most_bytes: 0 })
    }

    /// Lets a continuous receiver stop, until the program has taken its events, when so many bytes came; a
    /// buffer's worth more is possible. 0, and if nothing is said, is 16 buffers' worth. Without effect on
    /// anything else. On a ring before Linux 6.17, and of pipes, it stops late: it may have been handed 32
    /// buffers more by then.
    pub const fn at_most(mut self, bytes: u32) -> Self {
        if let Request::ReceiveEach { most_bytes, .. } = &mut self.request {
            *most_bytes = bytes;
        }
        self
    }

    /// Sends all of it, whatever the kernel takes at a time. The result is how much. If it is cut short in
    /// the middle, by an error, its time or a cancellation, the sends behind it end with `ECANCELED`: the
    /// peer could make nothing of them. At most 2 GiB.
    pub fn send(socket: Key, bytes: impl Into<Piece>) -> Self {
        let piece = bytes.into();
        Self::new(socket, Request::Send { piece, sent: 0, more: false, zero_copy: false })
    }

    /// Says of a send that more follows at once: small pieces leave together (`MSG_MORE`). Without
    /// effect on anything else.
    pub const fn more(mut self) -> Self {
        if let Request::Send { more, .. } | Request::SendMessage { more, .. } = &mut self.request {
            *more = true;
        }
        self
    }

    /// Closes a side of a connection, once the sends before it have left.
    pub const fn shutdown(socket: Key, how: Direction) -> Self {
        Self::new(socket, Request::Shutdown { how })
    }

    /// Ends the registration and closes what it owns, once the sends before it have left. Other
    /// operations of it end without an event, and so does what they came to and was not taken.
    pub const fn close(on: Key) -> Self {
        Self::new(on, Request::Close)
    }

    /// Reads from a place in a file into the room of a buffer, or from a pipe or device whatever it has
    /// (`offset` is passed over). 0 is the end. A file that can block is read in another thread where
    /// the kernel does not do it by itself.
    #[doc(alias = "pread")]
    pub const fn read(file: Key, buffer: Buffer, offset: u64) -> Self {
        Self::new(file, Request::Read { buffer, offset, is_file: false })
    }

    /// Writes all of it to a place in a file; or to a pipe or device, in the order of such writes. The
    /// result is how much. A terminal or device that blocks though it polls as ready is to be made
    /// non-blocking first; a pipe without a reader sends `SIGPIPE`, and a socket is better sent to.
    #[doc(alias = "pwrite")]
    pub fn write(file: Key, bytes: impl Into<Piece>, offset: u64) -> Self {
        let piece = bytes.into();
        Self::new(file, Request::Write { piece, offset, written: 0, in_order: false })
    }

    /// Lets what was written reach the device: fsync(2).
    pub const fn sync(file: Key) -> Self {
        Self::new(file, Request::Sync { data_only: false })
    }

    /// The same without metadata that reading does not need: fdatasync(2).
    pub const fn sync_data(file: Key) -> Self {
        Self::new(file, Request::Sync { data_only: true })
    }

    /// Asks for a file's size, times and kind: [`Payload::Metadata`] (fstat(2)).
    #[doc(alias = "fstat")]
    pub const fn metadata(file: Key) -> Self {
        Self::new(file, Request::Measure)
    }

    /// Waits until it is ready, once; the result is the bits of [`Readiness`](crate::Readiness).
    pub const fn poll(on: Key, interest: Interest) -> Self {
        Self::new(on, Request::Poll { interest })
    }

    /// Cancels it if it is not done within this time: its result is then `ETIMEDOUT`. Of a continuous
    /// one it is the time in all. What a thread has in hand ends when the thread is done with it.
    pub const fn within(mut self, time: Duration) -> Self {
        self.limit = Some(time);
        self
    }

    /// The buffer in it, if there is one, or the first: to have it back from an operation that was not started.
    #[must_use]
    pub fn into_buffer(self) -> Option<Buffer> {
        match self.request {
            Request::Receive { buffer } | Request::Read { buffer, .. } => Some(buffer),
            Request::Send { piece: Piece::Buffer(buffer), .. }
            | Request::Write { piece: Piece::Buffer(buffer), .. } => Some(buffer),
            Request::SendMessage { message, .. } | Request::ReceiveMessage { message } => {
                message.into_buffers().into_iter().next()
            }
            _ => None,
        }
    }
}

impl Request {
    /// Whether it goes on after an event.
    pub(crate) const fn is_continuous(&self) -> bool {
        matches!(self, Self::Accept { each: true } | Self::ReceiveEach { .. })
    }

    /// Whether it has its turn among what a descriptor sends.
    pub(crate) const fn is_in_order(&self) -> bool {
        matches!(
            self,
            Self::Send { .. }
                | Self::SendMessage { .. }
                | Self::SendFile(_)
                | Self::Shutdown { .. }
                | Self::Close
                | Self::Write { in_order: true, .. }
        )
    }

    /// Whether it sends bytes.
    pub(crate) const fn is_send(&self) -> bool {
        matches!(self, Self::Send { .. } | Self::SendMessage { .. } | Self::SendFile(_))
    }

    /// Whether it was begun and not ended: the peer has a part of it.
    pub(crate) fn is_torn(&self) -> bool {
        match self {
            Self::Send { piece, sent, .. } => *sent > 0 && *sent < piece.bytes().len(),
            Self::SendMessage { message, sent, .. } => *sent > 0 && *sent < message.bytes(),
            Self::SendFile(send) => send.is_torn(),
            _ => false,
        }
    }

    /// Bytes of the program's memory that it holds until they are sent.
    pub(crate) fn outgoing_bytes(&self) -> usize {
        match self {
            Self::Send { piece, .. } | Self::Write { piece, in_order: true, .. } => {
                piece.bytes().len()
            }
            Self::SendMessage { message, .. } => message.bytes(),
            Self::SendFile(send) => send.outgoing_bytes(),
            _ => 0,
        }
    }

    /// What comes back.
    pub(crate) fn into_payload(self) -> Payload {
        match self {
            Self::Receive { buffer } | Self::Read { buffer, .. } => Payload::Buffer(buffer),
            Self::Send { piece: Piece::Buffer(buffer), .. }
            | Self::Write { piece: Piece::Buffer(buffer), .. } => Payload::Buffer(buffer),
            Self::SendMessage { message, back, .. } => message.into_payload(back),
            Self::ReceiveMessage { message } => Payload::Message(message),
            Self::SendFile(send) => Payload::of_buffers(send.into_buffers()),
            _ => Payload::None,
        }
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Accept { each: false } => "Accept",
            Self::Accept { each: true } => "AcceptEach",
            Self::Connect { .. } => "Connect",
            Self::Receive { .. } => "Receive",
            Self::ReceiveEach { .. } => "ReceiveEach",
            Self::Send { .. } => "Send",
            Self::SendMessage { .. } => "SendMessage",
            Self::ReceiveMessage { .. } => "ReceiveMessage",
            Self::SendFile(_) => "SendFile",
            Self::Shutdown { .. } => "Shutdown",
            Self::Close => "Close",
            Self::Read { .. } => "Read",
            Self::Write { .. } => "Write",
            Self::Sync { .. } => "Sync",
            Self::Measure => "Metadata",
            Self::Poll { .. } => "Poll",
            Self::Open { .. } => "Open",
            Self::MeasurePath { .. } => "MetadataOf",
            Self::Warm { .. } => "Warm",
        })
    }
}
