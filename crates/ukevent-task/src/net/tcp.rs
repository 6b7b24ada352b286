//! TCP.

use super::resolve::look_up;
use super::stream::{listener, stream};
use crate::registered::Registered;
use crate::runtime::current;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getpeername, getsockname, listen, socket_with,
    sockopt,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use ukevent_queue::Operation;
use ukevent_sys::socket::bind_address_only;

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

stream! {
    /// A TCP connection: a [`Receiver`](super::Receiver) and a [`Sender`](super::Sender). Dropping it
    /// closes the connection; what is still being sent is given up.
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
    TcpStream
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
        Self::connect_by(open(address)?, address).await
    }

    /// Connects to an address, from one of this machine's. The port is picked when it connects, so each
    /// address to connect from has all ports towards each address to connect to.
    ///
    /// # Errors
    /// As bind(2) and connect(2): `EADDRNOTAVAIL`, if the first address is none of this machine's, or has no
    /// port left; `EAFNOSUPPORT`, if one is of IPv4 and the other of IPv6.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect_from(from: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let socket = open(address)?;
        bind_address_only(&socket)?;
        bind(&socket, &SocketAddr::new(from, 0))?;
        Self::connect_by(socket, address).await
    }

    async fn connect_by(socket: OwnedFd, address: SocketAddr) -> io::Result<Self> {
        let socket = Registered::new(socket)?;
        let connect = Operation::connect(socket.key(), address);
        socket.perform(connect, "a connection").await?.result?;
        sockopt_nodelay(&socket)?;
        Ok(Self::of(socket))
    }

    /// Looks a host's name up and connects to the first of its addresses that takes the connection, one after
    /// the other. The name may be an address, of IPv6 without brackets.
    ///
    /// ```no_run
    /// use ukevent_task::{block_on, net::TcpStream};
    ///
    /// block_on(async {
    ///     let mut stream = TcpStream::connect_to("example.org", 80).await?;
    ///     stream.send(b"GET / HTTP/1.0\r\n\r\n".to_vec()).await?;
    ///     println!("{}", String::from_utf8_lossy(&stream.receive().await?));
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`resolve`](super::resolve); and what connecting to the last address met.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect_to(host: &str, port: u16) -> io::Result<Self> {
        Self::connect_any(look_up(host, port).await?).await
    }

    /// Connects to the first of several addresses that takes the connection, one after the other.
    ///
    /// # Errors
    /// What connecting to the last address met; `InvalidInput` if there is none.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect_any(addresses: impl IntoIterator<Item = SocketAddr>) -> io::Result<Self> {
        let mut failed = None;
        for address in addresses {
            match Self::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some(error),
            }
        }
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "no address to connect to");
        Err(failed.unwrap_or_else(none))
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

listener! {
    /// A listening TCP socket. Nagle's algorithm is off in what it accepts, if [`TcpListener::bind`] made it.
    ///
    /// ```
    /// use ukevent_task::{block_on, net::{TcpListener, TcpStream}};
    ///
    /// block_on(async {
    ///     let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    ///     let client = TcpStream::connect(listener.address()?).await?;
    ///     let server = listener.accept().await?;
    ///     assert_eq!(server.peer_address()?, client.address()?);
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    TcpListener: TcpStream
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
        Ok(Self::of(Registered::on(core, socket)?))
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
        Ok(Self::of(Registered::on(core, socket)?))
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
pub(super) fn known(
    said: Option<rustix::io::Result<rustix::net::SocketAddrAny>>,
) -> io::Result<SocketAddr> {
    let Some(address) = said else { return Err(io::ErrorKind::NotConnected.into()) };
    Ok(SocketAddr::try_from(address?)?)
}
