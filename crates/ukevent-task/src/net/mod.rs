//! Sockets.
//!
//! What is received from a stream comes in buffers of the runtime's pool: a socket that waits holds none. What
//! is sent is handed over, and freed when it has left. A stream has two halves, [`Receiver`] and [`Sender`],
//! for two tasks; each can do one thing at a time, and that is said by `&mut`. Datagram sockets have two
//! halves as well, [`DatagramReceiver`] and [`DatagramSender`].
//!
//! | | listens | connects | both ways |
//! |---|---|---|---|
//! | TCP | [`TcpListener`] | [`TcpStream::connect`], [`TcpStream::connect_to`] | [`TcpStream`] |
//! | Unix | [`UnixListener`] | [`UnixStream::connect`], [`UnixStream::pair`] | [`UnixStream`] |
//! | UDP | – | [`UdpSocket::connect`] | [`UdpSocket`] |
//! | Unix datagrams | – | [`UnixDatagram::connect`], [`UnixDatagram::pair`] | [`UnixDatagram`] |

mod datagram;
mod incoming;
mod polled;
mod receiver;
mod resolve;
mod sender;
mod stream;
mod tcp;
mod udp;
mod unix;

pub use datagram::{Datagram, DatagramReceiver, DatagramSender};
pub use incoming::Incoming;
pub(crate) use receiver::How;
pub use receiver::Receiver;
pub use resolve::resolve;
pub(crate) use sender::whole;
pub use sender::{Sender, Sending};
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{PeerCredentials, UnixDatagram, UnixListener, UnixStream};
