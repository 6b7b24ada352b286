//! Measuring, on real sockets, pipes and files.

use super::*;
use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom, Write},
    net::{TcpStream, UdpSocket},
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
};
use testkit::{Netns, TempTree, skip, wait_until};

/// Writes until the kernel takes no more. Returns how much it took.
fn fill(mut writer: impl Write + AsFd) -> usize {
    testkit::nonblocking(&writer);
    let mut taken = 0;
    // Smaller and smaller, so that no room is left that a write could use.
    for size in [1 << 20, 4096, 1] {
        loop {
            match writer.write(&vec![7; size]) {
                Ok(written) => taken += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    taken
}

fn drain(mut reader: impl Read + AsFd) {
    testkit::nonblocking(&reader);
    while reader.read(&mut [0; 65_536]).is_ok_and(|read| read > 0) {}
}

fn abstract_listener(name: &str) -> (UnixListener, SocketAddr) {
    let name = format!("ukevent-{name}-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).unwrap();
    (UnixListener::bind_addr(&address).unwrap(), address)
}

fn eventfd() -> OwnedFd {
    use rustix::event::{EventfdFlags, eventfd};
    eventfd(1, EventfdFlags::CLOEXEC).unwrap()
}

#[test]
fn bytes_that_wait_are_counted() {
    let (tcp, mut tcp_peer) = testkit::tcp_pair();
    let (unix, mut unix_peer) = testkit::unix_pair();
    let (pipe, mut pipe_peer) = testkit::pipe_pair();
    assert_eq!(readable_bytes(&tcp).unwrap(), Some(0));
    tcp_peer.write_all(b"12345").unwrap();
    unix_peer.write_all(b"1234567").unwrap();
    pipe_peer.write_all(b"123").unwrap();
    wait_until("it came", || readable_bytes(&tcp).unwrap() == Some(5));
    assert_eq!(readable_bytes(&unix).unwrap(), Some(7));
    assert_eq!(readable_bytes(&pipe).unwrap(), Some(3));
}

#[test]
fn of_datagrams_the_first_is_counted() {
    let (receiver, sender) = testkit::udp_pair();
    sender.send(b"1234").unwrap();
    sender.send(b"1234567").unwrap();
    wait_until("it came", || readable_bytes(&receiver).unwrap() == Some(4));
    receiver.recv(&mut [0; 16]).unwrap();
    wait_until("so did the second", || readable_bytes(&receiver).unwrap() == Some(7));
}

#[test]
fn of_a_file_what_is_left_is_counted() {
    let tree = TempTree::new();
    let path = tree.path().join("file");
    std::fs::write(&path, [0; 100]).unwrap();
    let mut file = File::open(path).unwrap();
    file.read_exact(&mut [0; 30]).unwrap();
    assert_eq!(readable_bytes(&file).unwrap(), Some(70));
    assert_eq!((send_room(&file).unwrap(), unsent_bytes(&file).unwrap()), (None, None));
    assert!(!is_listener(&file).unwrap());
}

#[test]
fn of_a_file_more_than_fits_is_none() {
    const LEN: u64 = (5 << 30) + 7;
    let mut file = File::create(TempTree::new().path().join("file")).unwrap();
    file.set_len(LEN).unwrap();
    for (offset, left) in [
        (0, None),
        (LEN - (1 << 32), None),
        (LEN - u64::from(u32::MAX), Some(u32::MAX)),
        (LEN - 7, Some(7)),
        (LEN, Some(0)),
        (LEN + 1, Some(0)),
    ] {
        file.seek(SeekFrom::Start(offset)).unwrap();
        assert_eq!(readable_bytes(&file).unwrap(), left, "at {offset}");
    }
}

#[test]
fn what_cannot_be_measured_is_none() {
    let (listener, _) = testkit::listener();
    assert_eq!(readable_bytes(&listener).unwrap(), None);
    let eventfd = eventfd();
    assert_eq!(readable_bytes(&eventfd).unwrap(), None);
    assert_eq!(send_room(&eventfd).unwrap(), None);
    assert_eq!(tcp_backlog(&eventfd).unwrap(), None);
    assert_eq!(take_error(&eventfd).unwrap(), None);
    let (reader, _writer) = testkit::pipe_pair();
    assert_eq!(unsent_bytes(&reader).unwrap(), None);
}

#[test]
fn a_listener_is_told_from_the_rest() {
    let (listener, address) = testkit::listener();
    assert!(is_listener(&listener).unwrap());
    assert!(is_listener(abstract_listener("told").0).unwrap());
    assert!(!is_listener(TcpStream::connect(address).unwrap()).unwrap());
    assert!(!is_listener(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap());
    assert!(!is_listener(testkit::pipe_pair().0).unwrap());
}

#[test]
fn tcp_connections_that_wait_are_counted() {
    let (listener, address) = testkit::listener();
    assert_eq!(tcp_backlog(&listener).unwrap(), Some(0));
    let waiting: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    wait_until("three wait", || tcp_backlog(&listener).unwrap() == Some(3));
    let accepted = listener.accept().unwrap().0;
    assert_eq!(tcp_backlog(&listener).unwrap(), Some(2));
    assert_eq!(tcp_backlog(&accepted).unwrap(), None, "a connection has none");
    assert_eq!(tcp_backlog(&waiting[0]).unwrap(), None);
}

#[test]
fn unix_connections_that_wait_are_counted() {
    let diag = SocketDiag::new().unwrap();
    let (listener, address) = abstract_listener("counted");
    let Some(none) = diag.unix_backlog(&listener).unwrap() else {
        skip!("the kernel was built without CONFIG_UNIX_DIAG");
    };
    assert_eq!(none, 0);
    let _waiting: Vec<_> = (0..3).map(|_| UnixStream::connect_addr(&address).unwrap()).collect();
    assert_eq!(diag.unix_backlog(&listener).unwrap(), Some(3));
    let accepted = listener.accept().unwrap().0;
    assert_eq!(diag.unix_backlog(&listener).unwrap(), Some(2));
    assert_eq!(diag.unix_backlog(&accepted).unwrap(), None, "a connection has none");
    assert_eq!(diag.unix_backlog(testkit::listener().0).unwrap(), None, "not a Unix socket");
    assert_eq!(diag.unix_backlog(testkit::pipe_pair().0).unwrap(), None);
}

#[test]
fn a_unix_listener_of_another_namespace_is_not_counted() {
    let Some(netns) = Netns::new() else { return };
    let (listener, _) = netns.run(|| abstract_listener("elsewhere"));
    assert_eq!(SocketDiag::new().unwrap().unix_backlog(&listener).unwrap(), None);
    let inside = netns.run(|| SocketDiag::new().unwrap());
    assert_eq!(inside.unix_backlog(&listener).unwrap(), Some(0), "it belongs to where it was made");
}

#[test]
fn a_full_socket_has_no_room_until_it_is_read() {
    let (tcp, tcp_peer) = testkit::tcp_pair();
    let empty = send_room(&tcp).unwrap().unwrap();
    assert!(empty >= 4096, "{empty}");
    fill(&tcp);
    assert_eq!(send_room(&tcp).unwrap(), Some(0));
    assert!(unsent_bytes(&tcp).unwrap() > Some(0));
    wait_until("the peer read all of it", || {
        drain(&tcp_peer);
        unsent_bytes(&tcp).unwrap() == Some(0)
    });
    wait_until("there is room", || send_room(&tcp).unwrap() >= Some(empty));

    let (unix, unix_peer) = testkit::unix_pair();
    let empty = send_room(&unix).unwrap().unwrap();
    fill(&unix);
    let full = send_room(&unix).unwrap().unwrap();
    assert!(full < empty / 10, "{full} of {empty}");
    assert!(unsent_bytes(&unix).unwrap() > Some(0));
    drain(&unix_peer);
    assert_eq!(send_room(&unix).unwrap(), Some(empty));
    assert_eq!(unsent_bytes(&unix).unwrap(), Some(0));
}

#[test]
fn a_full_pipe_has_no_room_until_it_is_read() {
    let (reader, writer) = testkit::pipe_pair();
    let empty = send_room(&writer).unwrap().unwrap();
    assert_eq!(empty as usize, fill(&writer));
    assert_eq!(send_room(&writer).unwrap(), Some(0));
    drain(&reader);
    assert_eq!(send_room(&writer).unwrap(), Some(empty));
}

#[test]
fn datagram_sockets_have_room_too() {
    let (udp, _peer) = testkit::udp_pair();
    assert!(send_room(&udp).unwrap() > Some(1000));
    let (unix, peer) = UnixDatagram::pair().unwrap();
    let empty = send_room(&unix).unwrap().unwrap();
    unix.send(&[0; 1000]).unwrap();
    assert!(send_room(&unix).unwrap().unwrap() <= empty - 1000);
    peer.recv(&mut [0; 1000]).unwrap();
    assert_eq!(send_room(&unix).unwrap(), Some(empty));
}

/// Whether an error is pending (`POLLERR`).
fn has_error(fd: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(&fd, PollFlags::empty())];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    fds[0].revents().contains(PollFlags::ERR)
}

/// A socket whose connection was refused, with the error pending.
fn refused() -> OwnedFd {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = || socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    // A port that is taken and not listened to: nobody else gets it meanwhile.
    let deaf = socket();
    rustix::net::bind(&deaf, &std::net::SocketAddrV4::new([127, 0, 0, 1].into(), 0)).unwrap();
    let socket = socket();
    let connected = rustix::net::connect(&socket, &rustix::net::getsockname(&deaf).unwrap());
    assert_eq!(connected, Err(Errno::INPROGRESS));
    wait_until("it is refused", || has_error(&socket));
    socket
}

#[test]
fn an_error_is_seen_as_often_as_one_looks_and_taken_once() {
    let socket = refused();
    assert!(has_error(&socket), "still there");
    assert_eq!(take_error(&socket).unwrap(), Some(libc::ECONNREFUSED));
    assert!(!has_error(&socket));
    assert_eq!(take_error(&socket).unwrap(), None);
}

/// No call tells which error it is without taking it.
#[test]
fn even_a_peek_takes_the_error() {
    use rustix::net::{RecvFlags, recv};
    let socket = refused();
    let peeked = recv(&socket, &mut [0; 1], RecvFlags::PEEK).unwrap_err();
    assert_eq!(peeked, Errno::CONNREFUSED);
    assert!(!has_error(&socket));
}

#[test]
fn a_pipe_without_reader_has_an_error() {
    let (reader, writer) = testkit::pipe_pair();
    assert!(!has_error(&writer));
    drop(reader);
    assert!(has_error(&writer));
    assert_eq!(take_error(&writer).unwrap(), None, "but none of a socket");
}
