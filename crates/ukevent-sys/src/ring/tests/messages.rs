//! Messages: several buffers, addresses, ancillary data.

use super::*;
use std::io::{Read, Write};
use testkit::{tcp_pair, udp_pair, unix_pair};

fn message(load: Load<Vec<u8>>) -> Box<Message<Vec<u8>>> {
    match load {
        Load::Message(message) => message,
        _ => panic!("no message"),
    }
}

fn send(fd: &impl AsRawFd, message: Message<Vec<u8>>) -> Operation<Vec<u8>> {
    Operation::SendMessage { fd: fd.as_raw_fd(), message: Box::new(message), more: false }
}

fn receive(fd: &impl AsRawFd, message: Message<Vec<u8>>) -> Operation<Vec<u8>> {
    let message = Box::new(message);
    Operation::ReceiveMessage { fd: fd.as_raw_fd(), message, flags: NO_FLAGS }
}

fn rooms(sizes: &[usize]) -> Message<Vec<u8>> {
    Message::new(sizes.iter().map(|&size| Vec::with_capacity(size)).collect())
}

#[test]
fn many_buffers_are_sent_as_one() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, mut right) = tcp_pair();
    let parts = [&b"head "[..], b"", b"body ", b"tail"];
    let sent = Message::new(parts.iter().map(|part| part.to_vec()).collect());
    let (result, load) = perform(&mut ring, send(&left, sent));
    assert_eq!(result, 14);
    assert_eq!(message(load).into_buffers(), parts);
    let mut read = [0; 14];
    right.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"head body tail");
}

#[test]
fn what_is_received_is_spread_over_the_buffers() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, mut right) = unix_pair();
    right.write_all(b"abcdefg").unwrap();
    let (result, load) = perform(&mut ring, receive(&left, rooms(&[3, 3, 3])));
    assert_eq!(result, 7);
    let message = message(load);
    assert_eq!(message.buffers(), [&b"abc"[..], b"def", b"g"]);
    // A stream between connected sockets names no sender.
    assert!(!message.is_truncated());
}

#[test]
fn a_datagram_is_answered() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let here = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let there = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    there.send_to(b"question", here.local_addr().unwrap()).unwrap();
    let (result, load) = perform(&mut ring, receive(&here, rooms(&[64])));
    assert_eq!(result, 8);
    let mut question = message(load);
    assert_eq!(question.address().to_inet(), Some(there.local_addr().unwrap()));
    question.buffers_mut()[0].splice(.., b"answer".iter().copied());
    let operation = Operation::SendMessage { fd: here.as_raw_fd(), message: question, more: false };
    assert_eq!(perform(&mut ring, operation).0, 6);
    let mut answer = [0; 16];
    let (length, from) = there.recv_from(&mut answer).unwrap();
    assert_eq!((&answer[..length], from), (&b"answer"[..], here.local_addr().unwrap()));
}

#[test]
fn a_datagram_too_large_is_cut() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, right) = udp_pair();
    right.send(b"0123456789").unwrap();
    let (result, load) = perform(&mut ring, receive(&left, rooms(&[4])));
    let message = message(load);
    assert_eq!((result, message.is_truncated()), (4, true));
    assert_eq!(message.buffers()[0], b"0123");
}

#[test]
fn descriptors_travel_and_are_owned() {
    testkit::alone(|| {
        let mut ring: Ring<Vec<u8>> = ring!();
        testkit::assert_no_leak(|| {
            let (left, right) = unix_pair();
            let (reader, writer) = testkit::pipe_pair();
            let numbers: Vec<u8> = [reader.as_raw_fd(), writer.as_raw_fd()]
                .iter()
                .flat_map(|fd| fd.to_ne_bytes())
                .collect();
            let (level, kind) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
            for look in [true, false] {
                let sent = Message::new(vec![b"x".to_vec()]).control(level, kind, &numbers);
                assert_eq!(perform(&mut ring, send(&left, sent)).0, 1);
                let room = rooms(&[8]).control_room(64);
                let (result, load) = perform(&mut ring, receive(&right, room));
                assert_eq!(result, 1);
                let mut message = message(load);
                let came = message.received().next().unwrap();
                assert_eq!((came.level, came.kind, came.data.len()), (level, kind, 8));
                assert_eq!(message.received().count(), 1);
                assert!(!message.is_control_truncated());
                // The other time they are closed with the message.
                if look {
                    let mut ends = message.take_descriptors();
                    assert_eq!(ends.len(), 2);
                    std::fs::File::from(ends.pop().unwrap()).write_all(b"through").unwrap();
                    let mut bytes = [0; 7];
                    (&reader).read_exact(&mut bytes).unwrap();
                    assert_eq!(&bytes, b"through");
                    let flags = rustix::io::fcntl_getfd(&ends[0]).unwrap();
                    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
                }
            }
        });
    });
}

#[test]
fn a_message_is_used_again() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, right) = udp_pair();
    let mut message = Box::new(rooms(&[8]).control_room(32));
    for round in 0..3 {
        right.send(&[round; 3]).unwrap();
        message.buffers_mut()[0].clear();
        let operation =
            Operation::ReceiveMessage { fd: left.as_raw_fd(), message, flags: NO_FLAGS };
        let (result, load) = perform(&mut ring, operation);
        message = self::message(load);
        assert_eq!((result, &message.buffers()[0][..]), (3, &[round; 3][..]));
        assert_eq!(message.received().count(), 0);
    }
}

#[test]
fn ancillary_data_is_read_as_it_was_written() {
    let mut bytes = Vec::new();
    ancillary::append(&mut bytes, 1, 2, b"three");
    ancillary::append(&mut bytes, -4, 5, b"");
    let pieces: Vec<_> = ancillary::messages(&bytes).collect();
    let expected = [
        ControlMessage { level: 1, kind: 2, data: b"three" },
        ControlMessage { level: -4, kind: 5, data: b"" },
    ];
    assert_eq!(pieces, expected);
    // Cut anywhere, or with a length that lies, it ends and does not fail.
    for end in 0..bytes.len() {
        assert!(ancillary::messages(&bytes[..end]).count() <= 2);
    }
    for length in [0, 1, 15, 16, usize::MAX] {
        bytes[..8].copy_from_slice(&length.to_ne_bytes());
        assert!(ancillary::messages(&bytes).count() <= 3);
    }
}

#[test]
fn addresses_are_kept() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr as Unix;
    for text in ["127.0.0.1:80", "[::1]:65535", "[fe80::1%3]:9"] {
        let address: std::net::SocketAddr = text.parse().unwrap();
        assert_eq!(Address::from(address).to_inet(), Some(address), "{text}");
    }
    let path = Unix::from_pathname("/tmp/ukevent").unwrap();
    let longest = Unix::from_pathname("p".repeat(107)).unwrap();
    for unix in [&path, &longest] {
        let back = Address::from(unix).to_unix().unwrap();
        assert_eq!(back.as_pathname(), unix.as_pathname());
    }
    let name = Unix::from_abstract_name(b"a\0b").unwrap();
    let back = Address::from(&name).to_unix().unwrap();
    assert_eq!(back.as_abstract_name(), Some(&b"a\0b"[..]));
    let unnamed = std::os::unix::net::UnixStream::pair().unwrap().0.local_addr().unwrap();
    assert!(Address::from(&unnamed).to_unix().unwrap().is_unnamed());
    assert_eq!(Address::NONE.to_inet(), None);
    assert!(Address::from_bytes(&[0; 129]).is_none());
    assert!(Address::from_bytes(&[2]).unwrap().to_inet().is_none());
}

#[test]
fn attached_descriptors_stay_ours_and_arrive() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, right) = unix_pair();
    let (mut reader, writer) = testkit::pipe_pair();
    let mut sent = Message::new(vec![b"!".to_vec()]);
    sent.attach(writer.into());
    assert_eq!(sent.attached().len(), 1);
    let (result, load) = perform(&mut ring, send(&left, sent));
    assert_eq!(result, 1);
    let mut sent = message(load);
    drop(sent.take_attached());
    let (result, load) = perform(&mut ring, receive(&right, rooms(&[8]).control_room(64)));
    assert_eq!(result, 1);
    let mut received = message(load);
    let mut writers = received.take_descriptors().into_iter().map(std::fs::File::from);
    writers.next().expect("it arrived").write_all(b"through it").unwrap();
    assert!(writers.next().is_none());
    let mut through = Vec::new();
    reader.read_to_end(&mut through).unwrap();
    assert_eq!(through, b"through it", "and nobody else holds it open");
}

#[test]
fn by_the_call_a_message_leaves_in_parts() {
    let (left, mut right) = unix_pair();
    let parts = [&b"head "[..], b"", b"body ", b"tail"];
    for skip in 0..=14 {
        let mut sent = Message::new(parts.iter().map(|part| part.to_vec()).collect());
        assert_eq!(sent.send(&left, skip, false), Ok(14 - skip));
        let mut read = vec![0; 14 - skip];
        right.read_exact(&mut read).unwrap();
        assert_eq!(read, b"head body tail"[skip..]);
        assert_eq!(sent.into_buffers(), parts);
    }
    let mut many = Message::new((0..1500).map(|_| b"x".to_vec()).collect());
    assert_eq!(many.send(&left, 0, false), Ok(1024), "what one call takes");
    assert_eq!(many.send(&left, 1024, false), Ok(476));
}

#[test]
fn by_the_call_a_message_does_not_wait() {
    let (left, right) = unix_pair();
    let mut room = rooms(&[3, 3]).control_room(64);
    assert_eq!(room.receive(&left).map_err(|error| error.errno()), Err(libc::EAGAIN));
    assert_eq!(room.buffers(), [b"", b""]);
    let mut sent = Message::new(vec![b"abcde".to_vec()]);
    sent.attach(testkit::pipe_pair().0.into());
    assert_eq!(sent.send(&right, 0, false), Ok(5));
    // With what is behind the first bytes go no descriptors.
    assert_eq!(sent.send(&right, 4, false), Ok(1));
    assert_eq!(room.receive(&left), Ok(5));
    assert_eq!(room.buffers(), [&b"abc"[..], b"de"]);
    assert_eq!(room.take_descriptors().len(), 1);
    room.buffers_mut()[0].clear();
    assert_eq!(room.receive(&left), Ok(1));
    assert_eq!(room.take_descriptors().len(), 0);
    drop(left);
    assert_eq!(sent.send(&right, 0, false).map_err(|error| error.errno()), Err(libc::EPIPE));
}

#[test]
fn datagrams_are_cut_and_joined_by_the_kernel() {
    let (left, right) = udp_pair();
    crate::socket::coalesce(&right, true).unwrap();
    let mut sent = Message::new(vec![vec![1; 700], vec![2; 800]]).segments(600);
    assert_eq!(sent.send(&left, 0, false), Ok(1500));
    let mut room = rooms(&[4096]).control_room(24);
    assert_eq!(room.receive(&right), Ok(1500));
    assert_eq!(room.received_segments(), Some(600));
    crate::socket::coalesce(&right, false).unwrap();
    assert_eq!(sent.send(&left, 0, false), Ok(1500));
    for bytes in [600, 600, 300] {
        let mut room = rooms(&[4096]).control_room(24);
        assert_eq!((room.receive(&right), room.received_segments()), (Ok(bytes), None));
    }
}
