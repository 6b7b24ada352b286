//! What the datagram sockets have in common, UDP's and Unix's.
//!
//! One receive is at work at a time. It belongs to the receiver and not to the call that waits for it: a call
//! that is dropped leaves it at work, and the next call takes what it brings. It receives into memory of the
//! receiver's own and not into frames of the runtime: those have room for a page and are everybody's, and a
//! socket that waits would keep one. What came is copied out, unless it fills the half of that memory and
//! more; then it leaves with it.

use crate::registered::Registered;
use crate::runtime::inboxes::{Bound, InboxId};
use crate::time::interval;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use ukevent_buf::{Buffer, Piece};
use ukevent_queue::{Address, Key, Kind, Message, Operation, StartRefusal};

/// Room for the largest datagram that UDP has.
const ROOM_BYTES: usize = 1 << 16;
/// How often a send is tried again while too much waits.
const RETRY: Duration = Duration::from_millis(1);

/// A datagram that came, and where from.
///
/// ```
/// use ukevent_task::{block_on, net::UdpSocket};
///
/// block_on(async {
///     let mut socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
///     socket.set_room(4);
///     socket.send_to(b"hello".to_vec(), socket.address()?).await?;
///     let datagram = socket.receive_from().await?;
///     assert_eq!(&datagram.bytes[..], b"hell");
///     assert!(datagram.is_truncated);
///     assert_eq!(datagram.from.to_inet(), Some(socket.address()?));
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Datagram {
    /// What is in it; nothing, if it is empty.
    pub bytes: Buffer,
    /// Who sent it: to be asked for [`to_inet`](Address::to_inet) or [`to_unix`](Address::to_unix), or to
    /// answer to. None, if it was a Unix socket without a name.
    pub from: Address,
    /// Whether there was more in it than room; the rest is lost.
    pub is_truncated: bool,
}

/// The receiving half of a datagram socket. Dropping it ends receiving; a datagram that came to it and was
/// not taken is lost with it.
///
/// The first call lets the kernel receive one datagram, the calls after it one each. A call that is dropped
/// (by a time limit, by `select`) loses none: the next one gives what came.
///
/// ```
/// use std::time::Duration;
/// use ukevent_task::{block_on, net::UnixDatagram, time::timeout};
///
/// block_on(async {
///     let (ours, theirs) = UnixDatagram::pair()?;
///     let (mut receiver, _sender) = theirs.into_split();
///     assert!(timeout(Duration::from_millis(1), receiver.receive()).await.is_err());
///     ours.send(b"late".to_vec()).await?;
///     assert_eq!(&receiver.receive().await?[..], b"late");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DatagramReceiver {
    socket: Rc<Registered>,
    inbox: InboxId,
    runs: Option<Key>,
    /// To receive into.
    spare: Option<Message>,
    room_bytes: usize,
}

impl DatagramReceiver {
    pub(super) fn new(socket: Rc<Registered>) -> Self {
        let inbox = socket.core().open(Bound::Elsewhere, "a datagram");
        Self { socket, inbox, runs: None, spare: None, room_bytes: ROOM_BYTES }
    }

    /// The registration of the socket.
    #[must_use]
    pub fn registered(&self) -> &Registered {
        &self.socket
    }

    /// Has room for so many bytes of a datagram, at least one; 64 KiB if nothing is said, which is enough for
    /// all that UDP has. This much memory the receiver keeps from the first call on. A receive that is at
    /// work is not changed.
    pub fn set_room(&mut self, bytes: usize) {
        self.room_bytes = bytes.max(1);
        self.spare = None;
    }

    /// Waits for the next datagram. Nothing is lost if it is dropped.
    ///
    /// # Errors
    /// What the kernel has to say, such as `ECONNREFUSED` of a connected socket whose peer is not there. The
    /// next call receives again.
    pub async fn receive_from(&mut self) -> io::Result<Datagram> {
        poll_fn(|cx| self.poll_receive_from(cx)).await
    }

    /// The same without the sender, for a socket that is connected.
    ///
    /// # Errors
    /// As [`DatagramReceiver::receive_from`]; and `EMSGSIZE` of one that is larger than the room: it is lost.
    pub async fn receive(&mut self) -> io::Result<Buffer> {
        let datagram = self.receive_from().await?;
        if datagram.is_truncated {
            return Err(rustix::io::Errno::MSGSIZE.into());
        }
        Ok(datagram.bytes)
    }

    /// [`DatagramReceiver::receive_from`] for futures that are written by hand.
    pub fn poll_receive_from(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Datagram>> {
        if !self.socket.core().may_go_on(cx) {
            return Poll::Pending;
        }
        loop {
            match self.socket.core().take(self.inbox, cx) {
                Some(Kind::Completed(done)) => {
                    self.runs = None;
                    let result = done.result;
                    let Some(message) = done.into_message() else { continue };
                    return Poll::Ready(match result {
                        Ok(_) => Ok(self.take(message)),
                        Err(errno) => {
                            self.keep(message);
                            Err(errno.into())
                        }
                    });
                }
                Some(_) => {}
                None if self.runs.is_some() => return Poll::Pending,
                None => self.start()?,
            }
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let room = || Message::new([Buffer::with_capacity(self.room_bytes)]);
        let operation =
            Operation::receive_message(self.socket.key(), self.spare.take().unwrap_or_else(room));
        let token = self.inbox.token();
        self.runs = Some(self.socket.core().queue(|queue| queue.start(operation, token))?);
        Ok(())
    }

    /// The datagram in a message.
    fn take(&mut self, mut message: Message) -> Datagram {
        let (from, is_truncated) = (*message.address(), message.is_truncated());
        let came = match message.pieces_mut().first_mut() {
            Some(Piece::Buffer(buffer)) if buffer.len() > buffer.capacity() / 2 => {
                return Datagram { bytes: std::mem::take(buffer), from, is_truncated };
            }
            Some(Piece::Buffer(buffer)) => buffer.to_vec(),
            _ => Vec::new(),
        };
        self.keep(message);
        Datagram { bytes: Buffer::from(came), from, is_truncated }
    }

    /// Keeps the memory for the next one, if it is as large as is wanted.
    fn keep(&mut self, mut message: Message) {
        if let Some(Piece::Buffer(buffer)) = message.pieces_mut().first_mut()
            && buffer.capacity() == self.room_bytes
        {
            buffer.clear(0);
            self.spare = Some(message);
        }
    }
}

impl Drop for DatagramReceiver {
    fn drop(&mut self) {
        let core = self.socket.core();
        if let Some(key) = self.runs {
            core.remove(key);
        }
        core.close(self.inbox);
    }
}

/// The sending half of a datagram socket. Clones send by the same socket, in the order of their calls.
///
/// A call that is dropped before its end does not end what it sends, unless a megabyte waits to be sent: then
/// nothing of it is.
///
/// ```
/// use ukevent_task::{block_on, net::UdpSocket, spawn};
///
/// block_on(async {
///     let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
///     let address = socket.address()?;
///     let (mut receiver, sender) = socket.into_split();
///     for number in 0..2 {
///         let sender = sender.clone();
///         spawn(async move { sender.send_to(vec![number], address).await }).detach();
///     }
///     let both = [receiver.receive().await?[0], receiver.receive().await?[0]];
///     assert!(both == [0, 1] || both == [1, 0]);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DatagramSender {
    socket: Rc<Registered>,
}

impl DatagramSender {
    pub(super) const fn new(socket: Rc<Registered>) -> Self {
        Self { socket }
    }

    /// The registration of the socket.
    #[must_use]
    pub fn registered(&self) -> &Registered {
        &self.socket
    }

    /// Sends a datagram to whom the socket is connected. Ready when the kernel has it.
    ///
    /// # Errors
    /// As send(2): `EDESTADDRREQ` or `ENOTCONN` if it is not connected, `EMSGSIZE` if it is too large,
    /// `ECONNREFUSED` if one before found nobody.
    pub async fn send(&self, bytes: impl Into<Piece>) -> io::Result<()> {
        self.perform(Operation::send(self.socket.key(), bytes)).await
    }

    /// Sends a datagram to an address: `std::net::SocketAddr`, `&std::os::unix::net::SocketAddr`, or that of
    /// a [`Datagram`].
    ///
    /// # Errors
    /// As sendto(2).
    pub async fn send_to(
        &self,
        bytes: impl Into<Piece>,
        address: impl Into<Address>,
    ) -> io::Result<()> {
        self.perform(Operation::send_to(self.socket.key(), bytes, address)).await
    }

    /// While as many bytes wait to be sent as may it tries again: nothing tells when that has changed, but for
    /// an empty datagram.
    async fn perform(&self, mut operation: Operation) -> io::Result<()> {
        loop {
            let mut sends = self.socket.perform(operation, "room to send").detached();
            match sends.refused() {
                None => return Ok(sends.await?.result.map(drop)?),
                Some(error) if error.reason == StartRefusal::Full => operation = error.operation,
                Some(error) => return Err(error.into()),
            }
            interval(RETRY)?.tick().await;
        }
    }
}

/// A datagram socket of this name: both halves.
macro_rules! datagrams {
    ($(#[$about:meta])* $socket:ident) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $socket {
            receiver: $crate::net::DatagramReceiver,
            sender: $crate::net::DatagramSender,
        }

        impl $socket {
            /// A socket that was made elsewhere: `OwnedFd`, or one of the standard library's.
            ///
            /// # Errors
            /// [`RegisterError`](ukevent_queue::RegisterError), as an error of the system.
            ///
            /// # Panics
            /// Outside of a runtime.
            #[track_caller]
            pub fn from_socket(socket: impl Into<std::os::fd::OwnedFd>) -> std::io::Result<Self> {
                Ok(Self::of($crate::Registered::new(socket.into())?))
            }

            fn of(socket: $crate::Registered) -> Self {
                let socket = std::rc::Rc::new(socket);
                Self {
                    receiver: $crate::net::DatagramReceiver::new(std::rc::Rc::clone(&socket)),
                    sender: $crate::net::DatagramSender::new(socket),
                }
            }

            /// See [`DatagramReceiver::receive`](crate::net::DatagramReceiver::receive).
            ///
            /// # Errors
            /// As it says.
            pub async fn receive(&mut self) -> std::io::Result<ukevent_buf::Buffer> {
                self.receiver.receive().await
            }

            /// See [`DatagramReceiver::receive_from`](crate::net::DatagramReceiver::receive_from).
            ///
            /// # Errors
            /// As it says.
            pub async fn receive_from(&mut self) -> std::io::Result<$crate::net::Datagram> {
                self.receiver.receive_from().await
            }

            /// See [`DatagramReceiver::set_room`](crate::net::DatagramReceiver::set_room).
            pub fn set_room(&mut self, bytes: usize) {
                self.receiver.set_room(bytes);
            }

            /// See [`DatagramSender::send`](crate::net::DatagramSender::send).
            ///
            /// # Errors
            /// As it says.
            pub async fn send(
                &self,
                bytes: impl Into<ukevent_buf::Piece>,
            ) -> std::io::Result<()> {
                self.sender.send(bytes).await
            }

            /// See [`DatagramSender::send_to`](crate::net::DatagramSender::send_to).
            ///
            /// # Errors
            /// As it says.
            pub async fn send_to(
                &self,
                bytes: impl Into<ukevent_buf::Piece>,
                address: impl Into<ukevent_queue::Address>,
            ) -> std::io::Result<()> {
                self.sender.send_to(bytes, address).await
            }

            /// Both halves, each to be used by itself.
            pub const fn split(
                &mut self,
            ) -> (&mut $crate::net::DatagramReceiver, &mut $crate::net::DatagramSender) {
                (&mut self.receiver, &mut self.sender)
            }

            /// Both halves, for two tasks or more.
            #[must_use]
            pub fn into_split(
                self,
            ) -> ($crate::net::DatagramReceiver, $crate::net::DatagramSender) {
                (self.receiver, self.sender)
            }

            /// The registration of the socket.
            #[must_use]
            pub fn registered(&self) -> &$crate::Registered {
                self.sender.registered()
            }
        }
    };
}

pub(super) use datagrams;
