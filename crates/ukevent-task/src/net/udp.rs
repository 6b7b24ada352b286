//! UDP.

use super::datagram::datagrams;
use super::tcp::known;
use crate::registered::Registered;
use crate::runtime::current;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

datagrams! {
    /// A UDP socket: a [`DatagramReceiver`](super::DatagramReceiver) and a
    /// [`DatagramSender`](super::DatagramSender). Dropping it closes the socket.
    ///
    /// ```
    /// use ukevent_task::{block_on, net::UdpSocket, spawn};
    ///
    /// block_on(async {
    ///     let mut server = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    ///     let address = server.address()?;
    ///     let echo = spawn(async move {
    ///         let question = server.receive_from().await?;
    ///         server.send_to(question.bytes, question.from).await
    ///     });
    ///     let mut client = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    ///     client.connect(address)?;
    ///     client.send(b"hello".to_vec()).await?;
    ///     assert_eq!(&client.receive().await?[..], b"hello");
    ///     echo.await.unwrap()
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    UdpSocket
}

impl UdpSocket {
    /// A socket at an address; port 0 lets the kernel choose. IPv6 addresses do not take IPv4 as well.
    ///
    /// # Errors
    /// As bind(2): `EADDRINUSE`, `EACCES`.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let core = current::expect("UdpSocket::bind");
        Ok(Self::of(Registered::on(core, bound(address)?)?))
    }

    /// From now on sends there, and receives only what comes from there (what came before stays). Does not
    /// wait: nothing is sent for it.
    ///
    /// # Errors
    /// As connect(2).
    pub fn connect(&self, address: SocketAddr) -> io::Result<()> {
        let connect = |socket: &OwnedFd| rustix::net::connect(socket, &address);
        let connected = self.registered().with(connect);
        Ok(connected.unwrap_or(Err(rustix::io::Errno::NOTCONN))?)
    }

    /// This side's address.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn address(&self) -> io::Result<SocketAddr> {
        known(self.registered().with(|socket: &OwnedFd| getsockname(socket)))
    }
}

fn bound(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}
