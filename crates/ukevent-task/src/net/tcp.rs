//! TCP.

use super::incoming::Incoming;
use super::receiver::{How, Receiver};
use super::sender::Sender;
use crate::registered::Registered;
use crate::runtime::current;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getpeername, getsockname, listen, socket_with,
    sockopt,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use ukevent_buf::{Buffer, Piece};
use ukevent_queue::Operation;

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A TCP connection: a [`Receiver`] and a [`Sender`]. Dropping it closes the connection; what is still
/// being sent is given up.
///
/// ```
/// use ukevent_task::{block_on, net::{TcpListener, TcpStream}, spawn};
///
/// block_on(async {
///     let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
///     let address = listener.address()?;
///     let echo = spawn(async move {
///         let mut stream = listener.accept().await?;
///         loop {
///             let bytes = stream.receive().await?;
///             if bytes.is_empty() {
///                 return Ok::<(), std::io::Error>(());
///             }
///             stream.send(bytes).await?;
///         }
///     });
///     let mut stream = TcpStream::connect(address).await?;
///     stream.send(b"hello".to_vec()).await?;
///     assert_eq!(&stream.receive().await?[..], b"hello");
///     drop(stream);
///     echo.await.unwrap()
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TcpStream {
    receiver: Receiver,
    sender: Sender,
}

impl TcpStream {
    /// Connects to an address.
    ///
    /// # Errors
    /// As connect(2).
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = Registered::new(open(address)?)?;
        let connect = Operation::connect(socket.key(), address);
        socket.perform(connect, "a connection").await?.result?;
        sockopt_nodelay(&socket)?;
        Ok(Self::of(socket))
    }

    /// A connection that was made elsewhere: `OwnedFd`, or one of the standard library's.
    ///
    /// # Errors
    /// [`ukevent_queue::RegisterError`], as an error of the system.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_socket(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(Self::of(Registered::new(socket.into())?))
    }

    fn of(socket: Registered) -> Self {
        let socket = Rc::new(socket);
        Self {
            receiver: Receiver::new(Rc::clone(&socket), How::Socket),
            sender: Sender::new(socket),
        }
    }

    /// See [`Receiver::receive`].
    ///
    /// # Errors
    /// As it says.
    pub async fn receive(&mut self) -> io::Result<Buffer> {
        self.receiver.receive().await
    }

    /// See [`Receiver::poll_receive`].
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buffer>> {
        self.receiver.poll_receive(cx)
    }

    /// See [`Sender::send`].
    ///
    /// # Errors
    /// As it says.
    pub async fn send(&mut self, bytes: impl Into<Piece>) -> io::Result<()> {
        self.sender.send(bytes).await
    }

    /// Both halves, each to be used by itself.
    pub const fn split(&mut self) -> (&mut Receiver, &mut Sender) {
        (&mut self.receiver, &mut self.sender)
    }

    /// Both halves, for two tasks.
    #[must_use]
    pub fn into_split(self) -> (Receiver, Sender) {
        (self.receiver, self.sender)
    }

    /// The registration of the socket.
    #[must_use]
    pub fn registered(&self) -> &Registered {
        self.sender.registered()
    }

    /// This side's address.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn address(&self) -> io::Result<SocketAddr> {
        let address = self.registered().with(|socket: &OwnedFd| getsockname(socket));
        known(address)
    }

    /// The other side's address.
    ///
    /// # Errors
    /// `ENOTCONN`, if it has gone already.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        let address =
            self.registered().with(|socket: &OwnedFd| getpeername(socket)?.ok_or(Errno::NOTCONN));
        known(address)
    }
}

/// A listening TCP socket.
#[derive(Debug)]
pub struct TcpListener {
    incoming: Incoming,
}

impl TcpListener {
    /// Listens at an address; port 0 lets the kernel choose. The address may be used again at once after a
    /// restart (`SO_REUSEADDR`); IPv6 addresses do not take IPv4 as well.
    ///
    /// # Errors
    /// As bind(2): `EADDRINUSE`, `EACCES`.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let core = current::expect("TcpListener::bind");
        let socket = listening(address, false)?;
        Ok(Self { incoming: Incoming::new(Registered::on(core, socket)?) })
    }

    /// Listens at an address that other listeners share: the kernel spreads connections over them
    /// (`SO_REUSEPORT`). For a listener per thread.
    ///
    /// # Errors
    /// As bind(2).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind_shared(address: SocketAddr) -> io::Result<Self> {
        let core = current::expect("TcpListener::bind_shared");
        let socket = listening(address, true)?;
        Ok(Self { incoming: Incoming::new(Registered::on(core, socket)?) })
    }

    /// A listener that was made elsewhere.
    ///
    /// # Errors
    /// [`ukevent_queue::RegisterError`], as an error of the system.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_socket(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(Self { incoming: Incoming::new(Registered::new(socket.into())?) })
    }

    /// Waits for the next connection. Nagle's algorithm is off, because the listener's is.
    ///
    /// # Errors
    /// As [`Incoming::accept`].
    pub async fn accept(&mut self) -> io::Result<TcpStream> {
        let socket = self.incoming.accept().await?;
        Ok(TcpStream::of(Registered::on(Rc::clone(self.incoming.registered().core()), socket)?))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn address(&self) -> io::Result<SocketAddr> {
        known(self.incoming.registered().with(|socket: &OwnedFd| getsockname(socket)))
    }
}

fn open(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(family, SocketType::STREAM, flags, None)
}

/// A socket that listens.
fn listening(address: SocketAddr, shared: bool) -> rustix::io::Result<OwnedFd> {
    let socket = open(address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    sockopt::set_tcp_nodelay(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn sockopt_nodelay(socket: &Registered) -> io::Result<()> {
    let set = socket.with(|socket: &OwnedFd| sockopt::set_tcp_nodelay(socket, true));
    Ok(set.unwrap_or(Ok(()))?)
}

/// The address in what the kernel said.
fn known(said: Option<rustix::io::Result<rustix::net::SocketAddrAny>>) -> io::Result<SocketAddr> {
    let Some(address) = said else { return Err(io::ErrorKind::NotConnected.into()) };
    Ok(SocketAddr::try_from(address?)?)
}
