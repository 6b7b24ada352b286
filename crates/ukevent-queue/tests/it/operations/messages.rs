//! Messages: addresses, descriptors, datagrams that are cut and joined.

use super::{ECANCELED, EPIPE, ETIMEDOUT, buffer, done, errno, in_use, own, pair, pool};
use crate::bench::{A, B, Bench, C, PATIENCE, patient, silent, wait};
use crate::subject::Queue;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::thread;
use std::time::Duration;
use ukevent_buf::{Buffer, Piece};
use ukevent_queue::{Address, Completed, Message, Mode, Operation, Socket, StartRefusal, Token};

cases! {
    kernels: [
        a_datagram_comes_with_its_address_and_is_answered,
        a_datagram_goes_to_an_address,
        unix_sockets_have_addresses_too,
        a_message_fills_several_buffers,
        a_message_without_room_is_refused,
        a_datagram_that_is_too_long_says_so,
        the_end_of_a_stream_is_no_bytes_of_a_message_either,
        descriptors_are_sent_and_received,
        descriptors_go_with_a_message_that_does_not_fit_at_once,
        a_message_that_was_not_sent_keeps_its_descriptors,
        too_many_descriptors_are_refused,
        one_send_becomes_many_datagrams,
        many_datagrams_come_as_one,
        what_is_no_udp_is_not_coalesced,
        a_message_that_is_cancelled_comes_back,
        a_message_that_is_removed_goes_home,
    ],
    alone: [
        descriptors_that_nobody_takes_are_closed,
        a_descriptor_that_was_sent_is_closed_here,
    ],
}

fn message(completed: Completed) -> Message {
    assert!(completed.result.is_ok(), "{completed:?}");
    completed.into_message().expect("a message comes back")
}

fn udp(queue: &mut Queue) -> (ukevent_queue::Key, UdpSocket, std::net::SocketAddr) {
    let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = ours.local_addr().unwrap();
    let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    (own(queue, ours), theirs, address)
}

fn room() -> Message {
    Message::new([Buffer::with_capacity(64)])
}

fn a_datagram_comes_with_its_address_and_is_answered(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, theirs, address) = udp(&mut queue);
    // One that is there already, and one that is waited for.
    for is_late in [false, true] {
        if is_late {
            queue.start(Operation::receive_from(socket, Buffer::with_capacity(64)), A).unwrap();
            silent(&mut queue);
        }
        theirs.send_to(b"marco", address).unwrap();
        if !is_late {
            queue.start(Operation::receive_from(socket, Buffer::with_capacity(64)), A).unwrap();
        }
        let completed = done(&mut queue, A);
        assert_eq!(completed.result, Ok(5));
        let mut question = message(completed);
        assert_eq!(question.pieces()[0].bytes(), b"marco");
        assert_eq!(question.address().to_inet(), Some(theirs.local_addr().unwrap()));
        assert_eq!((question.is_truncated(), question.received_segments()), (false, None));
        *question.pieces_mut() = vec![buffer(b"po").into(), buffer(b"lo").into()];
        queue.start(Operation::send_message(socket, question), B).unwrap();
        let completed = done(&mut queue, B);
        assert_eq!(completed.result, Ok(4));
        assert_eq!(message(completed).into_buffers().len(), 2);
        let mut answer = [0; 64];
        assert_eq!(theirs.recv_from(&mut answer).unwrap(), (4, address));
        assert_eq!(&answer[..4], b"polo");
    }
}

fn a_datagram_goes_to_an_address(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, theirs, address) = udp(&mut queue);
    let to = theirs.local_addr().unwrap();
    for (token, bytes) in [(A, &b"first"[..]), (B, b""), (C, b"last")] {
        queue.start(Operation::send_to(socket, buffer(bytes), to), token).unwrap();
        let completed = done(&mut queue, token);
        assert_eq!(completed.result, Ok(bytes.len() as u32));
        assert_eq!(completed.into_buffer().as_deref(), Some(bytes));
        let mut arrived = [0; 64];
        assert_eq!(theirs.recv_from(&mut arrived).unwrap(), (bytes.len(), address));
        assert_eq!(&arrived[..bytes.len()], bytes);
    }
}

fn unix_sockets_have_addresses_too(bench: &Bench) {
    let mut queue = bench.queue();
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("ours"), folder.path().join("theirs"));
    let ours = UnixDatagram::bind(&path).unwrap();
    let theirs = UnixDatagram::bind(&other).unwrap();
    let to = Address::from(&theirs.local_addr().unwrap());
    let socket = own(&mut queue, ours);
    queue.start(Operation::send_to(socket, buffer(b"there"), to), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(5));
    let mut arrived = [0; 64];
    let (count, from) = theirs.recv_from(&mut arrived).unwrap();
    assert_eq!((count, from.as_pathname()), (5, Some(&*path)));
    theirs.send_to(b"back", &path).unwrap();
    queue.start(Operation::receive_from(socket, Buffer::with_capacity(8)), B).unwrap();
    let from = message(done(&mut queue, B)).address().to_unix().expect("of a Unix socket");
    assert_eq!(from.as_pathname(), Some(&*other));
}

fn a_message_fills_several_buffers(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let mut small = Buffer::from(vec![0; 3]);
    small.clear(0);
    let mut half = Buffer::from(b"head__".to_vec());
    half.truncate(4);
    let rooms = half.tailroom() + small.tailroom();
    queue.start(Operation::receive_message(socket, Message::new([half, small])), A).unwrap();
    peer.write_all(b"12345678901234567890123456789012345678901234567890").unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(completed.result, Ok(rooms as u32));
    let buffers = message(completed).into_buffers();
    assert_eq!(&buffers[0][..6], b"head12");
    assert_eq!(buffers[0].tailroom() + buffers[1].tailroom(), 0);
    let came = [&buffers[0][4..], &buffers[1][..]].concat();
    assert!(b"12345678901234567890123456789012345678901234567890".starts_with(&came));
}

fn a_message_without_room_is_refused(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    for message in [Message::new([buffer(b"full")]), Message::new([buffer(b"x").freeze()])] {
        let refused = queue.start(Operation::receive_message(socket, message), A).unwrap_err();
        assert!(matches!(refused.reason, StartRefusal::Invalid(_)), "{refused}");
        assert_eq!(refused.operation.into_message().map(|it| it.pieces().len()), Some(1));
    }
}

fn a_datagram_that_is_too_long_says_so(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, theirs, address) = udp(&mut queue);
    let mut small = Buffer::from(vec![0; 3]);
    small.clear(0);
    theirs.send_to(b"longer", address).unwrap();
    queue.start(Operation::receive_from(socket, small), A).unwrap();
    let cut = message(done(&mut queue, A));
    assert!(cut.is_truncated());
    assert_eq!(cut.pieces()[0].bytes(), b"lon");
}

fn the_end_of_a_stream_is_no_bytes_of_a_message_either(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, peer) = pair(&mut queue);
    queue.start(Operation::receive_message(socket, room()), A).unwrap();
    silent(&mut queue);
    drop(peer);
    assert_eq!(done(&mut queue, A).result, Ok(0));
}

/// A file with this in it, at its beginning.
fn file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    file
}

fn content(descriptor: OwnedFd) -> Vec<u8> {
    let mut content = Vec::new();
    File::from(descriptor).read_to_end(&mut content).unwrap();
    content
}

fn descriptors_are_sent_and_received(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (ours, theirs) = (own(&mut queue, ours), own(&mut queue, theirs));
    queue.start(Operation::receive_message(theirs, room().room_for_descriptors(2)), A).unwrap();
    silent(&mut queue);
    let sent = Message::new([buffer(b"two files")]).attach(file(b"one")).attach(file(b"two"));
    queue.start(Operation::send_message(ours, sent), B).unwrap();
    let mut sent = message(done(&mut queue, B));
    assert!(sent.take_attached().is_empty(), "they are sent");
    let mut received = message(done(&mut queue, A));
    assert!(!received.is_control_truncated());
    let contents = Vec::from_iter(received.take_descriptors().into_iter().map(content));
    assert_eq!(contents, [b"one", b"two"]);
    assert!(received.take_descriptors().is_empty());
}

fn descriptors_go_with_a_message_that_does_not_fit_at_once(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (ours, theirs) = (own(&mut queue, ours), own(&mut queue, theirs));
    let large = Message::new([Buffer::from(vec![1; 700_000]), Buffer::from(vec![2; 200_000])]);
    queue.start(Operation::send_message(ours, large.attach(file(b"one"))), A).unwrap();
    let (mut arrived, mut came) = (Vec::new(), 0);
    while arrived.len() < 900_000 {
        let room = Message::new([Buffer::with_capacity(60_000)]).room_for_descriptors(4);
        queue.start(Operation::receive_message(theirs, room), B).unwrap();
        let mut received = message(super::done_of(&mut queue, B, &mut |token, completed| {
            assert_eq!((token, completed.result), (A, Ok(900_000)));
        }));
        came += received.take_descriptors().len();
        for buffer in received.into_buffers() {
            arrived.extend_from_slice(&buffer);
        }
    }
    assert_eq!(came, 1, "once");
    assert!(arrived[..700_000] == vec![1; 700_000] && arrived[700_000..] == vec![2; 200_000]);
}

fn a_message_that_was_not_sent_keeps_its_descriptors(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, peer) = pair(&mut queue);
    drop(peer);
    let sent = Message::new([buffer(b"anybody?")]).attach(file(b"one"));
    queue.start(Operation::send_message(socket, sent), A).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(errno(&completed), EPIPE);
    let mut back = completed.into_message().expect("it comes back");
    assert_eq!(back.pieces()[0].bytes(), b"anybody?");
    assert_eq!(Vec::from_iter(back.take_attached().into_iter().map(content)), [b"one"]);
}

fn too_many_descriptors_are_refused(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    let file = file(b"");
    let many = (0..254)
        .fold(Message::new([buffer(b"x")]), |message, _| message.attach(file.try_clone().unwrap()));
    let refused = queue.start(Operation::send_message(socket, many), A).unwrap_err();
    assert!(matches!(refused.reason, StartRefusal::Invalid(_)), "{refused}");
    let attached = refused.operation.into_message().map(|mut it| it.take_attached().len());
    assert_eq!(attached, Some(254));
}

fn one_send_becomes_many_datagrams(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, theirs, _) = udp(&mut queue);
    let bytes = Vec::from_iter((0..3500_u32).map(|at| (at / 7) as u8));
    let pieces = [Buffer::from(bytes[..2222].to_vec()), Buffer::from(bytes[2222..].to_vec())];
    let cut = Message::new(pieces).to(theirs.local_addr().unwrap()).segments(1000);
    queue.start(Operation::send_message(socket, cut), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(3500));
    for expected in bytes.chunks(1000) {
        let mut arrived = [0; 4096];
        let count = theirs.recv(&mut arrived).unwrap();
        assert!(arrived[..count] == *expected, "{count}");
    }
}

fn many_datagrams_come_as_one(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, theirs) = testkit::udp_pair();
    let socket = Socket::new(ours).unwatched().coalesced().unwrap();
    let socket = queue.register(socket, Token(99), Mode::Level).unwrap();
    let theirs = own(&mut queue, theirs);
    let cut = Message::new([Buffer::from(vec![7; 3500])]).segments(1000);
    queue.start(Operation::send_message(theirs, cut), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(3500));
    let room = Message::new([Buffer::with_capacity(1 << 16)]);
    queue.start(Operation::receive_message(socket, room), B).unwrap();
    let completed = done(&mut queue, B);
    assert_eq!(completed.result, Ok(3500));
    assert_eq!(message(completed).received_segments(), Some(1000));
}

fn what_is_no_udp_is_not_coalesced(_: &Bench) {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    assert!(Socket::new(ours).coalesced().is_err());
}

fn a_message_that_is_cancelled_comes_back(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    for begun in [false, true] {
        let key = queue.start(Operation::receive_message(socket, room()), A).unwrap();
        if begun {
            silent(&mut queue);
        }
        queue.cancel(key).unwrap();
        let completed = done(&mut queue, A);
        assert_eq!(errno(&completed), ECANCELED);
        assert!(completed.into_message().is_some());
    }
    let receive = Operation::receive_message(socket, room()).within(Duration::from_millis(5));
    queue.start(receive, B).unwrap();
    let completed = done(&mut queue, B);
    assert_eq!(errno(&completed), ETIMEDOUT);
    assert!(completed.into_message().is_some());
    peer.write_all(b"!").unwrap();
    queue.start(Operation::receive_message(socket, room()), C).unwrap();
    assert_eq!(done(&mut queue, C).result, Ok(1), "what came later is not lost");
}

fn a_message_that_is_removed_goes_home(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 4);
    let (socket, mut peer) = pair(&mut queue);
    for is_done in [false, true] {
        let room = Message::new([pool.allocate().unwrap()]);
        let key = queue.start(Operation::receive_message(socket, room), A).unwrap();
        if is_done {
            peer.write_all(b"!").unwrap();
            assert_eq!(wait(&mut queue, patient()), Ok(1));
        } else {
            silent(&mut queue);
        }
        queue.remove(key).unwrap();
        silent(&mut queue);
        assert_eq!(in_use(&pool), 0);
    }
    let room = Message::new([Piece::from(pool.allocate().unwrap())]);
    queue.start(Operation::receive_message(socket, room), A).unwrap();
    silent(&mut queue);
    let reader = thread::spawn(move || peer.read(&mut [0]));
    drop(queue);
    testkit::wait_until("all is home", || in_use(&pool) == 0);
    assert_eq!(reader.join().unwrap().unwrap(), 0, "it was closed");
}

fn descriptors_that_nobody_takes_are_closed(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, peer) = pair(&mut queue);
    let give = |count: usize| {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let file = file(b"");
        let fds = vec![std::os::fd::AsFd::as_fd(&file); count];
        let mut room = vec![std::mem::MaybeUninit::uninit(); 4096];
        let mut control = SendAncillaryBuffer::new(&mut room);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let bytes = [std::io::IoSlice::new(b"!")];
        sendmsg(&peer, &bytes, &mut control, SendFlags::empty()).unwrap();
    };
    // What the queue opens once is open by now.
    queue.start(Operation::receive_message(socket, room()), A).unwrap();
    give(1);
    drop(done(&mut queue, A));
    let before = testkit::fd_count();
    // Dropped with the event; received again into the same message; too many; and too late.
    queue.start(Operation::receive_message(socket, room().room_for_descriptors(8)), A).unwrap();
    give(5);
    let kept = message(done(&mut queue, A));
    assert_eq!(testkit::fd_count(), before + 5);
    queue.start(Operation::receive_message(socket, kept), A).unwrap();
    give(20);
    let kept = message(done(&mut queue, A));
    assert!(kept.is_control_truncated());
    assert!(testkit::fd_count() < before + 20);
    drop(kept);
    assert_eq!(testkit::fd_count(), before);
    let late = Operation::receive_message(socket, room().room_for_descriptors(8));
    let key = queue.start(late, A).unwrap();
    silent(&mut queue);
    give(3);
    queue.remove(key).unwrap();
    silent(&mut queue);
    assert_eq!(testkit::fd_count(), before);
}

fn a_descriptor_that_was_sent_is_closed_here(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, peer) = pair(&mut queue);
    let (reader, writer) = testkit::pipe_pair();
    let sent = Message::new([buffer(b"!")]).attach(writer);
    queue.start(Operation::send_message(socket, sent), A).unwrap();
    let back = message(done(&mut queue, A));
    // What the peer has not taken goes with the socket: then nobody can write.
    drop(peer);
    drop(queue.remove(socket).unwrap());
    silent(&mut queue);
    let mut reader = reader;
    testkit::nonblocking(&reader);
    assert_eq!(reader.read(&mut [0]).unwrap_or(1), 0, "its end");
    drop(back);
}
