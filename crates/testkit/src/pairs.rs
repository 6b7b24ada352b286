//! Connected pairs: the two ends of a TCP or Unix stream, of datagrams, of a pipe. Loopback only.

use rustix::io::ioctl_fionbio;
use std::{
    io::{PipeReader, PipeWriter, pipe},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{fd::AsFd, unix::net::UnixStream},
};

/// A TCP listener on a free port of 127.0.0.1, and its address.
///
/// # Panics
///
/// If the kernel gives none.
#[must_use]
pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback gives a port");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}

/// The two ends of a TCP connection over loopback, blocking, without Nagle's delay: client, server.
///
/// # Panics
///
/// If the kernel gives none.
#[must_use]
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    tcp_pair_of(&listener().0)
}

/// As [`tcp_pair`], over a listener of the caller's with nobody else in its queue.
///
/// # Panics
///
/// If the connection fails, or somebody else's is accepted.
#[must_use]
pub fn tcp_pair_of(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let address = listener.local_addr().expect("a bound socket has an address");
    let client = TcpStream::connect(address).expect("a listener on loopback can be reached");
    let (server, peer) = listener.accept().expect("a finished handshake can be accepted");
    assert_eq!(client.local_addr().ok(), Some(peer), "somebody else connected");
    for end in [&client, &server] {
        end.set_nodelay(true).expect("TCP knows TCP_NODELAY");
    }
    (client, server)
}

/// Two UDP sockets of 127.0.0.1, connected to each other.
///
/// # Panics
///
/// If the kernel gives none.
#[must_use]
pub fn udp_pair() -> (UdpSocket, UdpSocket) {
    let socket = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback gives a port");
    let (left, right) = (socket(), socket());
    for (from, to) in [(&left, &right), (&right, &left)] {
        let address = to.local_addr().expect("a bound socket has an address");
        from.connect(address).expect("loopback can be reached");
    }
    (left, right)
}

/// The two ends of a Unix stream, blocking.
///
/// # Panics
///
/// If the kernel gives none.
#[must_use]
pub fn unix_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("socketpair(2) succeeds")
}

/// The two ends of a pipe, blocking.
///
/// # Panics
///
/// If the kernel gives none.
#[must_use]
pub fn pipe_pair() -> (PipeReader, PipeWriter) {
    pipe().expect("pipe2(2) succeeds")
}

/// Makes a descriptor non-blocking (`O_NONBLOCK`, of the open file, so for all who share it).
///
/// ```
/// use std::io::{ErrorKind, Read};
/// let (reader, _writer) = testkit::pipe_pair();
/// testkit::nonblocking(&reader);
/// let nothing = (&reader).read(&mut [0; 8]).unwrap_err();
/// assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
/// ```
///
/// # Panics
///
/// If the descriptor cannot be non-blocking.
pub fn nonblocking(descriptor: &impl AsFd) {
    ioctl_fionbio(descriptor, true).expect("FIONBIO is for every descriptor");
}

#[cfg(test)]
mod tests {
    use super::{nonblocking, pipe_pair, tcp_pair, udp_pair, unix_pair};
    use std::io::{ErrorKind, Read, Write};

    /// Both ways, and then the end.
    fn talk(mut left: impl Read + Write, mut right: impl Read + Write) {
        let mut word = [0; 4];
        left.write_all(b"ping").unwrap();
        right.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"ping");
        right.write_all(b"pong").unwrap();
        left.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"pong");
        drop(left);
        assert_eq!(right.read(&mut word).unwrap(), 0);
    }

    #[test]
    fn streams_talk() {
        let (client, server) = tcp_pair();
        talk(client, server);
        let (left, right) = unix_pair();
        talk(left, right);
    }

    #[test]
    fn datagrams_arrive() {
        let (left, right) = udp_pair();
        let mut word = [0; 8];
        left.send(b"ping").unwrap();
        assert_eq!(right.recv(&mut word).unwrap(), 4);
        right.send(b"pong!").unwrap();
        assert_eq!(left.recv(&mut word).unwrap(), 5);
    }

    #[test]
    fn pipes_flow() {
        let (mut reader, mut writer) = pipe_pair();
        writer.write_all(b"drop").unwrap();
        drop(writer);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"drop");
    }

    #[test]
    fn an_empty_one_does_not_block() {
        let (client, mut server) = tcp_pair();
        nonblocking(&server);
        assert_eq!(server.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(client);
    }
}
