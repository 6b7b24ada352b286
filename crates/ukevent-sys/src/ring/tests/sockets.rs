//! Connections and streams.

use super::*;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixListener;
use testkit::{TempTree, tcp_pair, unix_pair};

fn receive<L>(fd: &impl AsRawFd, buffer: L) -> Operation<L> {
    Operation::Receive { fd: fd.as_raw_fd(), buffer, flags: NO_FLAGS }
}

fn send<L>(fd: &impl AsRawFd, buffer: L) -> Operation<L> {
    Operation::Send { fd: fd.as_raw_fd(), buffer, more: false }
}

fn accept<L>(listener: &impl AsRawFd, each: bool) -> Operation<L> {
    Operation::Accept { listener: listener.as_raw_fd(), each, nonblocking: each }
}

fn flags(fd: &OwnedFd) -> (bool, bool) {
    let closes = rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC);
    let nonblocking = rustix::fs::fcntl_getfl(fd).unwrap().contains(rustix::fs::OFlags::NONBLOCK);
    (closes, nonblocking)
}

#[test]
fn one_connection_is_accepted() {
    let mut ring: Ring = ring!();
    let (listener, address) = testkit::listener();
    let mut client = TcpStream::connect(address).unwrap();
    let (result, load) = perform(&mut ring, accept(&listener, false));
    assert_eq!(result, 0);
    let fd = descriptor(load);
    assert_eq!(flags(&fd), (true, false));
    TcpStream::from(fd).write_all(b"hello").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    assert_eq!(ring.flights(), 0);
}

#[test]
fn each_connection_is_accepted_until_cancelled() {
    let mut ring: Ring = ring!();
    let (listener, address) = testkit::listener();
    let (word, flight) = start(&mut ring, accept(&listener, true));
    for _ in 0..3 {
        let client = TcpStream::connect(address).unwrap();
        let completed = next(&mut ring);
        assert_eq!((completed.user_data, completed.result, completed.more), (word, 0, true));
        let fd = descriptor(completed.load);
        assert_eq!(flags(&fd), (true, true));
        let peer = TcpStream::from(fd).peer_addr().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }
    assert!(ring.cancel_flight(flight));
    let ended = next(&mut ring);
    assert_eq!((ended.result, ended.more), (-libc::ECANCELED, false));
    assert_eq!(ring.flights(), 0);
}

#[test]
fn what_is_accepted_and_not_looked_at_is_closed() {
    testkit::alone(|| {
        let mut ring: Ring = ring!();
        let (listener, address) = testkit::listener();
        let mut client = TcpStream::connect(address).unwrap();
        let before = testkit::fd_count();
        drop(perform(&mut ring, accept(&listener, false)));
        assert_eq!(testkit::fd_count(), before);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    });
}

#[test]
fn a_socket_is_connected() {
    let mut ring: Ring = ring!();
    let (listener, address) = testkit::listener();
    let socket = |address: std::net::SocketAddr| {
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let family = rustix::net::AddressFamily::from_raw(family as u16);
        rustix::net::socket(family, rustix::net::SocketType::STREAM, None).unwrap()
    };
    let client = socket(address);
    let connect = |fd: &OwnedFd, address: Address| Operation::<NoLoan>::Connect {
        fd: fd.as_raw_fd(),
        address: Box::new(address),
    };
    let (result, _) = perform(&mut ring, connect(&client, address.into()));
    assert_eq!(result, 0);
    listener.accept().unwrap();
    drop(listener);
    let (result, _) = perform(&mut ring, connect(&socket(address), address.into()));
    assert_eq!(result, -libc::ECONNREFUSED);
    // Of version 6, and nobody there.
    let six = "[::1]:1".parse().unwrap();
    let (result, _) = perform(&mut ring, connect(&socket(six), six.into()));
    assert!(result == -libc::ECONNREFUSED || result == -libc::EADDRNOTAVAIL, "{result}");
}

#[test]
fn a_unix_socket_is_connected_by_path_and_by_name() {
    use std::os::linux::net::SocketAddrExt;
    let mut ring: Ring = ring!();
    let tree = TempTree::new();
    let path = std::os::unix::net::SocketAddr::from_pathname(tree.path().join("socket")).unwrap();
    let name = format!("ukevent-ring-{}", std::process::id());
    let name = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    for address in [path, name] {
        let listener = UnixListener::bind_addr(&address).unwrap();
        let (family, kind) = (rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM);
        let client = rustix::net::socket(family, kind, None).unwrap();
        let address = Box::new(Address::from(&address));
        let (result, _) =
            perform(&mut ring, Operation::Connect { fd: client.as_raw_fd(), address });
        assert_eq!(result, 0);
        listener.accept().unwrap();
    }
}

#[test]
fn bytes_go_both_ways() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, right) = tcp_pair();
    let (sent, _) = start(&mut ring, send(&left, b"hello".to_vec()));
    let mut room = Vec::with_capacity(64);
    room.extend_from_slice(b"> ");
    let (received, _) = start(&mut ring, receive(&right, room));
    for _ in 0..2 {
        let completed = next(&mut ring);
        assert_eq!((completed.result, completed.more), (5, false));
        let bytes = buffer(completed.load);
        if completed.user_data == sent {
            assert_eq!(bytes, b"hello");
        } else {
            assert_eq!((completed.user_data, &bytes[..]), (received, &b"> hello"[..]));
        }
    }
    drop(left);
    let (result, load) = perform(&mut ring, receive(&right, Vec::with_capacity(8)));
    assert_eq!((result, buffer(load).len()), (0, 0));
}

#[test]
fn how_to_receive_can_be_said() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, mut right) = unix_pair();
    let fd = left.as_raw_fd();
    let mut how = |flags| {
        let buffer = Vec::with_capacity(4);
        let operation = Operation::Receive { fd, buffer, flags };
        start(&mut ring, operation);
        submit(&mut ring);
        ring.completions().next().map(|completed| (completed.result, buffer_of(completed.load)))
    };
    fn buffer_of(load: Load<Vec<u8>>) -> Vec<u8> {
        buffer(load)
    }
    assert_eq!(how(ReceiveFlags::NO_WAIT), Some((-libc::EAGAIN, Vec::new())));
    right.write_all(b"abc").unwrap();
    assert_eq!(how(ReceiveFlags::PEEK), Some((3, b"abc".to_vec())));
    assert_eq!(how(ReceiveFlags::FILL), None);
    right.write_all(b"de").unwrap();
    let filled = next(&mut ring);
    assert_eq!((filled.result, buffer(filled.load)), (4, b"abcd".to_vec()));
}

#[test]
fn a_send_is_of_all_or_fails() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, mut right) = tcp_pair();
    // More than the buffers of both sockets hold.
    let bytes: Vec<u8> = (0..16 << 20).map(|index| (index % 251) as u8).collect();
    start(&mut ring, send(&left, bytes.clone()));
    submit(&mut ring);
    assert_eq!(ring.completions().count(), 0);
    let reader = std::thread::spawn(move || {
        let mut read = vec![0; 16 << 20];
        right.read_exact(&mut read).unwrap();
        read
    });
    let completed = next(&mut ring);
    assert_eq!(completed.result, 16 << 20);
    assert!(buffer(completed.load) == bytes);
    assert!(reader.join().unwrap() == bytes);

    let (left, right) = unix_pair();
    drop(right);
    let (result, load) = perform(&mut ring, send(&left, vec![1, 2]));
    assert_eq!((result, buffer(load)), (-libc::EPIPE, vec![1, 2]));
}

#[test]
fn a_direction_is_ended_and_a_descriptor_closed() {
    let mut ring: Ring = ring!();
    let (left, mut right) = unix_pair();
    let operation = Operation::Shutdown { fd: left.as_raw_fd(), how: Shutdown::Write };
    assert_eq!(perform(&mut ring, operation).0, 0);
    assert_eq!(right.read(&mut [0; 1]).unwrap(), 0);
    right.write_all(b"still").unwrap();
    let (result, load) = perform(&mut ring, Operation::Close { fd: left.into() });
    assert_eq!(result, 0);
    assert!(matches!(load, Load::None));
    right.write_all(b"gone").unwrap_err();
}

#[test]
fn what_was_closed_is_not_closed_twice() {
    testkit::alone(|| {
        let mut ring: Ring = ring!();
        let null = || std::fs::File::open("/dev/null").unwrap();
        let first = null();
        let number = first.as_raw_fd();
        start(&mut ring, Operation::Close { fd: first.into() });
        ring.enter(EnterWait { completions: 1, ..EnterWait::default() }).unwrap();
        // The number is somebody else's when the completion is taken.
        let second = null();
        assert_eq!(second.as_raw_fd(), number);
        assert_eq!(next(&mut ring).result, 0);
        assert!(second.metadata().is_ok());
    });
}

#[test]
fn a_connection_under_way_is_cancelled() {
    let mut ring: Ring = ring!();
    let (listener, address) = testkit::listener();
    // No place in the queue: whoever else comes is not answered.
    rustix::net::listen(&listener, 0).unwrap();
    let _first = TcpStream::connect(address).unwrap();
    let (family, kind) = (rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM);
    let clients = [(); 2].map(|()| rustix::net::socket(family, kind, None).unwrap());
    let mut flights = clients.iter().map(|client| {
        let address = Box::new(Address::from(address));
        start(&mut ring, Operation::Connect { fd: client.as_raw_fd(), address })
    });
    let (Some(_), Some((word, flight))) = (flights.next(), flights.next()) else { panic!() };
    submit(&mut ring);
    ring.completions().for_each(|completed| assert_ne!(completed.user_data, word));
    assert!(ring.cancel_flight(flight));
    let ended = loop {
        let completed = next(&mut ring);
        if completed.user_data == word {
            break completed;
        }
    };
    assert_eq!((ended.result, ended.more), (-libc::ECANCELED, false));
}

#[test]
fn zero_copy_gives_the_buffer_back_last() {
    let mut ring: Ring<Watched> = ring!();
    let (left, mut right) = tcp_pair();
    let lent = Watched::new(100_000, 100_000);
    let region = lent.memory;
    let operation = Operation::SendZero { fd: left.as_raw_fd(), buffer: lent, more: false };
    let (word, _) = start(&mut ring, operation);
    let first = next(&mut ring);
    assert_eq!((first.user_data, first.result, first.more), (word, 100_000, true));
    assert!(matches!(first.load, Load::None));
    assert_eq!((ring.flights(), region.is_dropped()), (1, false));
    right.read_exact(&mut vec![0; 100_000]).unwrap();
    let last = next(&mut ring);
    assert_eq!((last.user_data, last.result, last.more), (word, 0, false));
    let Load::Released { buffer, copied } = last.load else { panic!("no buffer") };
    assert!(std::ptr::eq(buffer.memory, region) && !region.is_dropped());
    // Loopback copies. Kernels before 6.10 are not asked.
    assert_eq!(copied, ring.reports_usage.then_some(true));
    assert_eq!(ring.flights(), 0);
}

#[test]
fn zero_copy_that_fails_gives_the_buffer_back() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (reader, _writer) = testkit::pipe_pair();
    let fd = reader.as_raw_fd();
    start(&mut ring, Operation::SendZero { fd, buffer: vec![3; 9], more: false });
    let mut result = 0;
    loop {
        let completed = next(&mut ring);
        result = result.min(completed.result);
        if !completed.more {
            assert_eq!(result, -libc::ENOTSOCK);
            assert!(matches!(completed.load, Load::Released { buffer, .. } if buffer == [3; 9]));
            break;
        }
    }
}

/// Each of these waits for ever; cancelled, it ends and gives back what was lent.
#[test]
fn what_waits_is_cancelled_and_gives_back() {
    let mut ring: Ring<Watched> = ring!();
    let (left, _right) = tcp_pair();
    let (reader, _writer) = testkit::pipe_pair();
    let (full, _kept) = unix_pair();
    testkit::nonblocking(&full);
    while (&full).write(&[0; 4096]).is_ok() {}
    let fd = left.as_raw_fd();
    let lend = || Watched::new(8, 64);
    let message = || Box::new(Message::new(vec![lend(), lend()]));
    let operations = [
        receive(&left, lend()),
        send(&full, lend()),
        Operation::Read { fd: reader.as_raw_fd(), buffer: lend(), offset: None },
        Operation::ReceiveMessage { fd, message: message(), flags: NO_FLAGS },
        Operation::SendMessage { fd: full.as_raw_fd(), message: message(), more: false },
    ];
    for operation in operations {
        let name = format!("{:?}", std::mem::discriminant(&operation));
        let (word, flight) = start(&mut ring, operation);
        submit(&mut ring);
        assert_eq!(ring.completions().count(), 0, "{name}");
        assert!(ring.cancel_flight(flight));
        let ended = next(&mut ring);
        assert_eq!((ended.user_data, ended.more), (word, false), "{name}");
        assert!([-libc::ECANCELED, -libc::EINTR].contains(&ended.result), "{}", ended.result);
        let lent = match ended.load {
            Load::Buffer(buffer) => vec![buffer],
            Load::Message(message) => message.into_buffers(),
            _ => panic!("{name}: nothing came back"),
        };
        assert!(lent.iter().all(|lent| lent.filled == 8 && !lent.memory.is_dropped()), "{name}");
    }
    assert_eq!(ring.flights(), 0);
}

#[test]
fn a_cancel_of_what_was_not_submitted_comes_behind_it() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, _right) = unix_pair();
    let (word, flight) = start(&mut ring, receive(&left, Vec::with_capacity(4)));
    assert!(ring.cancel_flight(flight) && ring.cancel_flight(flight));
    let ended = next(&mut ring);
    assert_eq!((ended.user_data, ended.result), (word, -libc::ECANCELED));
    submit(&mut ring);
    assert_eq!(ring.completions().count(), 0);
}
