//! What a descriptor is ready for: streams, listeners, pipes, terminals, datagrams, regular files;
//! ends, errors, and how much there is of it.

use crate::bench::{
    A, B, Bench, C, batch, next, now, now_sorted, once_asleep, patient, readiness, ready, silent,
    tokens, wait,
};
use rustix::{
    event::{EventfdFlags, eventfd},
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socket_with},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener},
    },
    sync::Arc,
};
use ukevent_queue::{Change, Fd, Interest, Mode, Readiness, Socket, Token};

const MODES: [Mode; 4] = [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch];

cases! {
    kernels: [
        a_stream_with_data_is_readable,
        a_stream_with_room_is_writable,
        a_full_stream_is_writable_once_there_is_room_again,
        a_stream_is_readable_and_writable_in_one_event,
        a_listener_with_a_connection_is_readable,
        every_connection_is_news_to_a_listener_by_edge,
        a_connection_that_is_made_is_writable,
        a_connection_that_was_refused_is_an_error_which_is_left_for_the_program,
        a_peer_that_closed_its_writing_side_is_told_if_asked_for,
        a_peer_that_closed_its_writing_side_is_not_told_unasked,
        a_peer_that_is_gone_hangs_up,
        a_reset_connection_is_an_error,
        urgent_data_is_a_priority,
        ordinary_data_is_no_priority,
        a_peer_that_closed_its_writing_side_is_nothing_to_who_waits_for_room,
        a_pipe_without_writers_hangs_up_unasked,
        data_left_in_a_pipe_is_told_with_its_end,
        a_pipe_without_readers_is_an_error_unasked,
        an_eventfd_is_readable_until_it_is_read,
        a_terminal_is_readable_and_hangs_up,
        every_datagram_is_readable,
        a_unix_datagram_socket_is_readable_and_writable,
        a_regular_file_is_always_ready,
        a_regular_file_by_edge_is_ready_once,
        a_regular_file_by_one_shot_and_dispatch_is_ready_once,
        a_regular_file_among_others_lets_the_wait_go_on,
        a_device_without_readiness_is_always_ready,
        reading_and_writing_registered_apart_are_reported_apart,
        removing_one_of_several_registrations_leaves_the_others,
        removing_the_first_of_several_leaves_the_others_changeable,
        a_duplicate_of_a_descriptor_is_a_registration_of_its_own,
        bytes_that_wait_are_measured_if_asked_for,
        nothing_is_measured_unasked,
        room_is_measured,
        connections_that_wait_are_measured,
        what_the_kernel_cannot_measure_is_none,
        a_thousand_descriptors_are_each_reported_once,
    ],
}

fn a_stream_with_data_is_readable(bench: &Bench) {
    for mode in MODES {
        let mut queue = bench.queue();
        let (mut client, server) = testkit::tcp_pair();
        queue.register(Socket::new(server), A, mode).unwrap();
        silent(&mut queue);
        client.write_all(b"hello").unwrap();
        let event = next(&mut queue);
        assert_eq!((event.token, readiness(&event)), (A, Readiness::READABLE), "{mode:?}");
        assert!(ready(&event).is_readable() && !ready(&event).is_writable());
    }
}

fn a_stream_with_room_is_writable(bench: &Bench) {
    for mode in MODES {
        let mut queue = bench.queue();
        let (client, _server) = testkit::tcp_pair();
        queue.register(Socket::new(client).interest(Interest::WRITE), A, mode).unwrap();
        let event = next(&mut queue);
        assert_eq!(readiness(&event), Readiness::WRITABLE, "{mode:?}");
        assert!(ready(&event).is_writable() && !ready(&event).is_readable());
    }
}

/// Writes until there is no room.
fn fill(mut stream: impl Write) {
    let chunk = [0; 4096];
    loop {
        match stream.write(&chunk) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads until there is nothing.
fn drain(mut stream: impl Read) {
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
}

fn a_full_stream_is_writable_once_there_is_room_again(bench: &Bench) {
    for mode in MODES {
        let mut queue = bench.queue();
        let (ours, theirs) = testkit::unix_pair();
        testkit::nonblocking(&ours);
        testkit::nonblocking(&theirs);
        let ours = Arc::new(ours);
        fill(&*ours);
        let source = Socket::new(ours.clone()).interest(Interest::WRITE);
        queue.register(source, A, mode).unwrap();
        silent(&mut queue);
        drain(&theirs);
        assert_eq!(readiness(&next(&mut queue)), Readiness::WRITABLE, "{mode:?}");
    }
}

fn a_stream_is_readable_and_writable_in_one_event(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, mut theirs) = testkit::unix_pair();
    theirs.write_all(b"!").unwrap();
    let source = Socket::new(ours).interest(Interest::READ | Interest::WRITE);
    queue.register(source, A, Mode::Level).unwrap();
    let events = batch(&mut queue, patient());
    assert_eq!(tokens(&events), [A]);
    assert_eq!(readiness(&events[0]), Readiness::READABLE | Readiness::WRITABLE);
}

fn a_listener_with_a_connection_is_readable(bench: &Bench) {
    let (listener, address) = testkit::listener();
    let folder = testkit::TempTree::new();
    let path = folder.path().join("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let mut queue = bench.queue();
    queue.register(Socket::listener(listener), A, Mode::Level).unwrap();
    queue.register(Socket::listener(unix), B, Mode::Level).unwrap();
    silent(&mut queue);
    let _client = TcpStream::connect(address).unwrap();
    let event = next(&mut queue);
    assert_eq!((event.token, readiness(&event)), (A, Readiness::READABLE));
    queue.with_owner(event.key, TcpListener::accept).unwrap().unwrap();
    silent(&mut queue);
    let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    assert_eq!(next(&mut queue).token, B);
}

fn every_connection_is_news_to_a_listener_by_edge(bench: &Bench) {
    let (listener, address) = testkit::listener();
    let mut queue = bench.queue();
    queue.register(Socket::listener(listener), A, Mode::Edge).unwrap();
    silent(&mut queue);
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(TcpStream::connect(address).unwrap());
        assert_eq!(next(&mut queue).token, A, "nobody accepted, but this one is new");
    }
}

/// A connection that is being made.
fn connecting(to: SocketAddr) -> OwnedFd {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::CONNREFUSED) => socket,
        Err(error) => panic!("{error}"),
    }
}

fn a_connection_that_is_made_is_writable(bench: &Bench) {
    for mode in MODES {
        let (_listener, address) = testkit::listener();
        let mut queue = bench.queue();
        let source = Socket::new(connecting(address)).interest(Interest::WRITE);
        queue.register(source, A, mode).unwrap();
        assert_eq!(readiness(&next(&mut queue)), Readiness::WRITABLE, "{mode:?}");
    }
}

fn a_connection_that_was_refused_is_an_error_which_is_left_for_the_program(bench: &Bench) {
    for mode in MODES {
        // Bound and not listening: nobody else gets the port, and it refuses.
        let flags = SocketFlags::CLOEXEC;
        let closed = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        rustix::net::bind(&closed, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = SocketAddrV4::try_from(rustix::net::getsockname(&closed).unwrap()).unwrap();
        let socket = TcpStream::from(connecting(address.into()));
        let mut queue = bench.queue();
        let source = Socket::new(socket).interest(Interest::WRITE).measured();
        let key = queue.register(source, A, mode).unwrap();
        assert!(wait(&mut queue, patient()).unwrap() > 0, "no event within the time");
        let event = queue.next_event().unwrap();
        assert!(readiness(&event).contains(Readiness::ERROR), "{mode:?}: {event:?}");
        assert!(ready(&event).is_writable(), "a write will show it");
        let socket = match mode {
            Mode::OneShot => queue.take_spent().unwrap(),
            _ => queue.remove(key).unwrap(),
        };
        let error = socket.downcast::<TcpStream>().unwrap().take_error().unwrap();
        let refused = error.expect("nobody took it").kind();
        assert_eq!(refused, ErrorKind::ConnectionRefused, "{mode:?}");
    }
}

fn a_peer_that_closed_its_writing_side_is_told_if_asked_for(bench: &Bench) {
    for mode in MODES {
        let mut queue = bench.queue();
        let (client, server) = testkit::tcp_pair();
        let interest = Interest::READ | Interest::PEER_CLOSED;
        queue.register(Socket::new(server).interest(interest), A, mode).unwrap();
        silent(&mut queue);
        client.shutdown(Shutdown::Write).unwrap();
        let readiness = readiness(&next(&mut queue));
        assert_eq!(readiness, Readiness::READABLE | Readiness::PEER_CLOSED, "{mode:?}");
    }
}

fn a_peer_that_closed_its_writing_side_is_not_told_unasked(bench: &Bench) {
    let mut queue = bench.queue();
    let (client, server) = testkit::tcp_pair();
    queue.register(Socket::new(server), A, Mode::Level).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(readiness(&next(&mut queue)), Readiness::READABLE, "the end can be read");
}

fn a_peer_that_is_gone_hangs_up(bench: &Bench) {
    for mode in MODES {
        let mut queue = bench.queue();
        let (ours, theirs) = testkit::unix_pair();
        queue.register(Socket::new(ours).interest(Interest::PRIORITY), A, mode).unwrap();
        silent(&mut queue);
        drop(theirs);
        let event = next(&mut queue);
        assert_eq!(readiness(&event), Readiness::HANG_UP, "{mode:?}: unasked");
        assert!(ready(&event).is_readable() && ready(&event).is_writable());
    }
}

fn a_reset_connection_is_an_error(bench: &Bench) {
    let mut queue = bench.queue();
    let (client, mut server) = testkit::tcp_pair();
    server.write_all(b"unread").unwrap();
    testkit::wait_until("it arrived", || client.peek(&mut [0; 8]).is_ok_and(|n| n == 6));
    let key = queue.register(Socket::new(server), A, Mode::Level).unwrap();
    silent(&mut queue);
    // Closing with something unread resets.
    drop(client);
    let readiness = readiness(&next(&mut queue));
    assert!(readiness.contains(Readiness::ERROR | Readiness::HANG_UP), "{readiness:?}");
    let mut server = queue.remove(key).unwrap().downcast::<TcpStream>().unwrap();
    let error = server.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it is left for the program");
}

fn urgent_data_is_a_priority(bench: &Bench) {
    for mode in MODES {
        let mut queue = bench.queue();
        let (client, server) = testkit::tcp_pair();
        queue.register(Socket::new(server).interest(Interest::PRIORITY), A, mode).unwrap();
        (&client).write_all(b"ordinary").unwrap();
        silent(&mut queue);
        send(&client, b"!", SendFlags::OOB).unwrap();
        assert_eq!(readiness(&next(&mut queue)), Readiness::PRIORITY, "{mode:?}");
    }
}

fn ordinary_data_is_no_priority(bench: &Bench) {
    for mode in MODES {
        let mut queue = bench.queue();
        let (mut client, server) = testkit::tcp_pair();
        let interest = Interest::READ | Interest::PRIORITY;
        queue.register(Socket::new(server).interest(interest), A, mode).unwrap();
        silent(&mut queue);
        client.write_all(b"ordinary").unwrap();
        assert_eq!(readiness(&next(&mut queue)), Readiness::READABLE, "{mode:?}");
    }
}

fn a_peer_that_closed_its_writing_side_is_nothing_to_who_waits_for_room(bench: &Bench) {
    for mode in MODES {
        let mut queue = bench.queue();
        let (ours, theirs) = testkit::unix_pair();
        testkit::nonblocking(&ours);
        testkit::nonblocking(&theirs);
        fill(&ours);
        let key = queue.register(Socket::new(ours).interest(Interest::WRITE), A, mode).unwrap();
        silent(&mut queue);
        theirs.shutdown(Shutdown::Write).unwrap();
        silent(&mut queue);
        queue.modify(key, Change::new()).unwrap();
        silent(&mut queue);
        let calls = queue.counters().system_calls;
        let wait = || next(&mut queue);
        let event = once_asleep(wait, || drain(&theirs));
        assert_eq!(readiness(&event), Readiness::WRITABLE, "{mode:?}");
        let calls = queue.counters().system_calls - calls;
        assert!(calls <= 20, "{mode:?}: {calls} system calls to wait for room once");
    }
}

fn a_pipe_without_writers_hangs_up_unasked(bench: &Bench) {
    for mode in MODES {
        let mut queue = bench.queue();
        let (reader, writer) = testkit::pipe_pair();
        queue.register(Fd::new(reader).interest(Interest::empty()), A, mode).unwrap();
        silent(&mut queue);
        drop(writer);
        let event = next(&mut queue);
        assert_eq!(readiness(&event), Readiness::HANG_UP, "{mode:?}");
        assert!(ready(&event).is_readable(), "a read will show it");
    }
}

fn data_left_in_a_pipe_is_told_with_its_end(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, mut writer) = testkit::pipe_pair();
    let reader = Arc::new(reader);
    queue.register(Fd::new(reader.clone()), A, Mode::Level).unwrap();
    writer.write_all(b"last words").unwrap();
    drop(writer);
    assert_eq!(readiness(&next(&mut queue)), Readiness::READABLE | Readiness::HANG_UP);
    let mut all = Vec::new();
    (&*reader).read_to_end(&mut all).unwrap();
    assert_eq!(all, b"last words");
    assert_eq!(readiness(&next(&mut queue)), Readiness::HANG_UP);
}

fn a_pipe_without_readers_is_an_error_unasked(bench: &Bench) {
    for mode in MODES {
        let mut queue = bench.queue();
        let (reader, writer) = testkit::pipe_pair();
        queue.register(Fd::new(writer).interest(Interest::empty()), A, mode).unwrap();
        silent(&mut queue);
        drop(reader);
        let event = next(&mut queue);
        assert_eq!(readiness(&event), Readiness::ERROR, "{mode:?}");
        assert!(ready(&event).is_writable(), "a write will show it");
    }
}

fn an_eventfd_is_readable_until_it_is_read(bench: &Bench) {
    let mut queue = bench.queue();
    let eventfd = Arc::new(eventfd(0, EventfdFlags::NONBLOCK).unwrap());
    queue.register(Fd::new(eventfd.clone()), A, Mode::Level).unwrap();
    queue.register(Fd::new(eventfd.clone()).interest(Interest::WRITE), B, Mode::OneShot).unwrap();
    assert_eq!(now(&mut queue), [B], "there is room in the counter");
    rustix::io::write(&eventfd, &3_u64.to_ne_bytes()).unwrap();
    assert_eq!(next(&mut queue).token, A);
    assert_eq!(next(&mut queue).token, A);
    rustix::io::read(&eventfd, &mut [0; 8]).unwrap();
    silent(&mut queue);
}

fn a_terminal_is_readable_and_hangs_up(bench: &Bench) {
    let Ok(control) = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC) else {
        testkit::skip!("no /dev/ptmx here");
    };
    grantpt(&control).unwrap();
    unlockpt(&control).unwrap();
    let name = ptsname(&control, Vec::new()).unwrap();
    let terminal = rustix::fs::open(
        name,
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    let terminal = Arc::new(terminal.unwrap());
    let mut queue = bench.queue();
    queue.register(Fd::new(terminal.clone()), A, Mode::Level).unwrap();
    silent(&mut queue);
    rustix::io::write(&control, b"half a line").unwrap();
    silent(&mut queue);
    rustix::io::write(&control, b" and the rest\n").unwrap();
    assert_eq!(readiness(&next(&mut queue)), Readiness::READABLE);
    let mut line = [0; 64];
    let read = rustix::io::read(&terminal, &mut line).unwrap();
    assert_eq!(&line[..read], b"half a line and the rest\n");
    silent(&mut queue);
    drop(control);
    assert!(readiness(&next(&mut queue)).contains(Readiness::HANG_UP));
}

fn every_datagram_is_readable(bench: &Bench) {
    let mut queue = bench.queue();
    let (left, right) = testkit::udp_pair();
    let right = Arc::new(right);
    queue.register(Socket::new(right.clone()), A, Mode::Level).unwrap();
    silent(&mut queue);
    for _ in 0..3 {
        left.send(b"datagram").unwrap();
    }
    for _ in 0..3 {
        assert_eq!(readiness(&next(&mut queue)), Readiness::READABLE);
        assert_eq!(right.recv(&mut [0; 16]).unwrap(), 8);
    }
    silent(&mut queue);
}

fn a_unix_datagram_socket_is_readable_and_writable(bench: &Bench) {
    let mut queue = bench.queue();
    let (left, right) = UnixDatagram::pair().unwrap();
    let left = Arc::new(left);
    let source = Socket::new(left.clone()).interest(Interest::WRITE);
    queue.register(source, A, Mode::OneShot).unwrap();
    let key = queue.register(Socket::new(right), B, Mode::Level).unwrap();
    assert_eq!(now(&mut queue), [A]);
    left.send(b"one").unwrap();
    left.send(b"two").unwrap();
    for word in [b"one", b"two"] {
        assert_eq!(next(&mut queue).token, B);
        let mut datagram = [0; 8];
        let received = queue.with_owner(key, |end: &UnixDatagram| end.recv(&mut datagram));
        assert_eq!(received.unwrap().unwrap(), 3);
        assert_eq!(&datagram[..3], word);
    }
    silent(&mut queue);
}

/// A file with something in it.
fn file() -> File {
    let tree = testkit::TempTree::new();
    File::options().read(true).write(true).open(tree.file("page", "text")).unwrap()
}

fn a_regular_file_is_always_ready(bench: &Bench) {
    let mut queue = bench.queue();
    let both = Interest::READ | Interest::WRITE;
    queue.register(Fd::new(file()).interest(both), A, Mode::Level).unwrap();
    queue.register(Fd::new(file()), B, Mode::Level).unwrap();
    for _ in 0..3 {
        let mut events = batch(&mut queue, patient().at_least(2));
        events.sort_by_key(|event| event.token);
        assert_eq!(tokens(&events), [A, B]);
        assert_eq!(readiness(&events[0]), Readiness::READABLE | Readiness::WRITABLE);
        assert_eq!(readiness(&events[1]), Readiness::READABLE);
    }
}

fn a_regular_file_by_edge_is_ready_once(bench: &Bench) {
    let mut queue = bench.queue();
    let key = queue.register(Fd::new(file()), A, Mode::Edge).unwrap();
    assert_eq!(next(&mut queue).token, A);
    silent(&mut queue);
    queue.modify(key, Change::new().token(B)).unwrap();
    assert_eq!(next(&mut queue).token, B);
    silent(&mut queue);
    queue.disable(key).unwrap();
    silent(&mut queue);
    queue.enable(key).unwrap();
    assert_eq!(next(&mut queue).token, B);
    silent(&mut queue);
    queue.remove(key).unwrap();
    silent(&mut queue);
}

fn a_regular_file_by_one_shot_and_dispatch_is_ready_once(bench: &Bench) {
    let mut queue = bench.queue();
    queue.register(Fd::new(file()), A, Mode::OneShot).unwrap();
    let key = queue.register(Fd::new(file()), B, Mode::Dispatch).unwrap();
    assert_eq!(now_sorted(&mut queue), [A, B]);
    silent(&mut queue);
    queue.enable(key).unwrap();
    assert_eq!(next(&mut queue).token, B);
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 1);
}

fn a_regular_file_among_others_lets_the_wait_go_on(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    queue.register(Fd::new(file()), A, Mode::Level).unwrap();
    queue.register(door.source(), B, Mode::Level).unwrap();
    let wait = || batch(&mut queue, patient().at_least(2));
    let mut came = tokens(&once_asleep(wait, || door.knock()));
    came.sort_unstable();
    assert_eq!(came, [A, B]);
}

fn a_device_without_readiness_is_always_ready(bench: &Bench) {
    let mut queue = bench.queue();
    queue.register(Fd::new(File::open("/dev/null").unwrap()), A, Mode::Level).unwrap();
    for _ in 0..3 {
        assert_eq!(now(&mut queue), [A]);
    }
}

fn reading_and_writing_registered_apart_are_reported_apart(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, mut theirs) = testkit::unix_pair();
    let ours = Arc::new(ours);
    queue.register(Socket::new(ours.clone()), A, Mode::Level).unwrap();
    let writing = Socket::new(ours).interest(Interest::WRITE);
    queue.register(writing, B, Mode::Dispatch).unwrap();
    assert_eq!(now(&mut queue), [B]);
    theirs.write_all(b"!").unwrap();
    let event = next(&mut queue);
    assert_eq!((event.token, readiness(&event)), (A, Readiness::READABLE));
}

fn removing_one_of_several_registrations_leaves_the_others(bench: &Bench) {
    for mode in [Mode::Level, Mode::Edge] {
        for gone in 0..3 {
            let (mut queue, door) = (bench.queue(), bench.door());
            let register = |token| queue.register(door.source(), token, mode).unwrap();
            let keys = [A, B, C].map(register);
            door.knock();
            assert_eq!(now_sorted(&mut queue), [A, B, C]);
            queue.remove(keys[gone]).unwrap();
            door.answer();
            silent(&mut queue);
            door.knock();
            let mut left = vec![A, B, C];
            left.remove(gone);
            assert_eq!(now_sorted(&mut queue), left, "{mode:?}");
        }
    }
}

fn removing_the_first_of_several_leaves_the_others_changeable(bench: &Bench) {
    let (mut queue, door) = (bench.queue(), bench.door());
    let first = queue.register(door.source(), A, Mode::Level).unwrap();
    let second = queue.register(door.source(), B, Mode::Level).unwrap();
    silent(&mut queue);
    queue.remove(first).unwrap();
    let third = queue.register(door.source(), C, Mode::Edge).unwrap();
    queue.modify(second, Change::new().mode(Mode::Edge)).unwrap();
    door.knock();
    assert_eq!(now_sorted(&mut queue), [B, C]);
    queue.remove(third).unwrap();
    queue.remove(second).unwrap();
    queue.register(door.source(), A, Mode::Level).unwrap();
    assert_eq!(now(&mut queue), [A]);
}

fn a_duplicate_of_a_descriptor_is_a_registration_of_its_own(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, mut writer) = testkit::pipe_pair();
    let twin = reader.try_clone().unwrap();
    let key = queue.register(Fd::new(reader), A, Mode::Level).unwrap();
    queue.register(Fd::new(twin), B, Mode::Level).unwrap();
    writer.write_all(b"!").unwrap();
    assert_eq!(now_sorted(&mut queue), [A, B]);
    drop(queue.remove(key).unwrap());
    assert_eq!(now(&mut queue), [B]);
}

fn bytes_that_wait_are_measured_if_asked_for(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, mut theirs) = testkit::unix_pair();
    queue.register(Socket::new(ours).measured(), A, Mode::Level).unwrap();
    theirs.write_all(b"seven b").unwrap();
    assert_eq!(ready(&next(&mut queue)).waiting(), Some(7));
    theirs.write_all(b"ytes").unwrap();
    assert_eq!(ready(&next(&mut queue)).waiting(), Some(11), "as many as there are now");
    let (reader, mut writer) = testkit::pipe_pair();
    let mut queue = bench.queue();
    queue.register(Fd::new(reader).measured(), B, Mode::Edge).unwrap();
    writer.write_all(b"pipe").unwrap();
    assert_eq!(ready(&next(&mut queue)).waiting(), Some(4));
}

fn nothing_is_measured_unasked(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, mut theirs) = testkit::unix_pair();
    let source = Socket::new(ours).interest(Interest::READ | Interest::WRITE);
    queue.register(source, A, Mode::Level).unwrap();
    theirs.write_all(b"seven b").unwrap();
    let event = next(&mut queue);
    assert_eq!((ready(&event).waiting(), ready(&event).room()), (None, None));
}

fn room_is_measured(bench: &Bench) {
    let mut queue = bench.queue();
    let (client, _server) = testkit::tcp_pair();
    testkit::nonblocking(&client);
    let client = Arc::new(client);
    let source = Socket::new(client.clone()).interest(Interest::WRITE).measured();
    queue.register(source, A, Mode::Level).unwrap();
    let before = ready(&next(&mut queue)).room().expect("the kernel can tell");
    assert!(before > 0);
    (&*client).write_all(&[0; 1000]).unwrap();
    let after = ready(&next(&mut queue)).room().expect("the kernel can tell");
    assert!(after <= before, "{after} after writing, {before} before");
}

fn connections_that_wait_are_measured(bench: &Bench) {
    let (listener, address) = testkit::listener();
    let mut queue = bench.queue();
    queue.register(Socket::listener(listener).measured(), A, Mode::Level).unwrap();
    let mut clients = Vec::new();
    for count in 1..=3 {
        clients.push(TcpStream::connect(address).unwrap());
        // The handshake ends a moment after connect(2) on a machine that is busy.
        testkit::wait_until("all of them wait", || {
            ready(&next(&mut queue)).waiting() == Some(count)
        });
    }
}

fn what_the_kernel_cannot_measure_is_none(bench: &Bench) {
    let mut queue = bench.queue();
    let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).unwrap();
    let (reader, mut writer) = testkit::pipe_pair();
    let data = rustix::event::epoll::EventData::new_u64(1);
    let flags = rustix::event::epoll::EventFlags::IN;
    rustix::event::epoll::add(&epoll, &reader, data, flags).unwrap();
    queue.register(Fd::new(epoll).measured(), A, Mode::Level).unwrap();
    silent(&mut queue);
    writer.write_all(b"!").unwrap();
    let event = next(&mut queue);
    assert_eq!((ready(&event).waiting(), ready(&event).room()), (None, None));
}

fn a_thousand_descriptors_are_each_reported_once(bench: &Bench) {
    for mode in MODES {
        testkit::raise_nofile();
        let mut queue = bench.queue();
        let doors: Vec<_> = (0..1_000).map(|_| bench.door()).collect();
        for (door, token) in doors.iter().zip(0_u64..) {
            queue.register(door.source(), Token(token), mode).unwrap();
        }
        silent(&mut queue);
        for door in &doors {
            door.knock();
        }
        let mut came = tokens(&batch(&mut queue, patient().at_least(1_000)));
        came.sort_unstable();
        assert!(came.iter().copied().eq((0..1_000).map(Token)), "{mode:?}: {}", came.len());
    }
}
