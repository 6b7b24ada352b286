//! Operations: what they do, in which order, and that nothing they were lent is lost.

use crate::bench::{A, B, Bench, C, D, PATIENCE, batch, patient, silent, wait};
use std::{
    fs::File,
    io::{Read, Seek, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    thread,
    time::Duration,
};
use ukevent_buf::{Arena, Buffer, FramePool};
use ukevent_queue::{
    Completed, Direction, Errno, Event, Fd, Interest, Key, Kind, Mode, Operation, Payload, Queue,
    Readiness, Socket, StartRefusal, Timer, Token, Wait,
};

const EPIPE: i32 = 32;
const ENOTSOCK: i32 = 88;
const ETIMEDOUT: i32 = 110;
const ECONNREFUSED: i32 = 111;
const ECANCELED: i32 = 125;

cases! {
    kernels: [
        what_comes_is_handed_over_in_the_buffer_that_was_lent,
        what_came_before_is_received_too,
        a_receive_fills_the_room_behind_what_is_there,
        the_end_of_a_stream_is_no_bytes,
        a_buffer_without_room_is_given_back,
        sends_leave_in_order_and_whole,
        a_send_is_whole_though_it_does_not_fit_at_once,
        outgoing_bytes_are_bounded_and_full_ends,
        a_share_of_a_buffer_can_be_sent,
        a_send_to_nobody_fails_and_gives_the_buffer_back,
        one_connection_is_accepted,
        connections_are_accepted_until_cancelled,
        a_connection_is_made,
        a_connection_that_is_refused_says_so,
        a_stream_is_received_into_buffers_of_a_pool_until_its_end,
        an_empty_pool_pauses_and_a_buffer_that_comes_back_resumes,
        a_file_is_sent_behind_what_was_sent_before,
        a_side_is_closed_after_what_was_sent_before,
        closing_comes_after_what_was_sent_and_closes,
        a_file_is_read_and_written_at_places,
        a_file_reaches_its_device_and_tells_of_itself,
        a_pipe_is_read_and_written,
        readiness_can_be_awaited_once,
        a_cancelled_operation_gives_its_buffer_back,
        an_operation_that_takes_too_long_ends,
        an_operation_that_is_done_in_time_is_not_ended_by_it,
        a_removed_operation_says_nothing_and_frees_what_it_had,
        removing_the_descriptor_ends_its_operations,
        dropping_the_queue_frees_what_is_under_way,
        readiness_and_completions_come_in_one_wait,
        an_operation_is_no_registration_to_enable_or_modify,
        operations_name_registered_descriptors_only,
        what_is_no_socket_says_so,
        a_busy_stream_does_not_starve_another,
        an_accepted_connection_that_nobody_takes_is_closed,
        a_receiver_that_is_removed_between_two_events_leaves_nothing,
        several_completions_can_be_waited_for_at_once,
        a_small_ring_accepts_everybody,
        a_small_ring_gives_every_buffer_back,
        a_file_is_sent_over_a_socket_that_blocks,
        a_send_that_is_cut_short_ends_those_behind_it,
        what_is_cancelled_or_removed_shows_to_who_watches,
        writes_to_a_pipe_leave_in_order,
        receives_begin_in_order,
        an_empty_datagram_is_no_end,
        a_pool_that_cannot_serve_is_refused,
        what_was_not_taken_goes_with_the_registration,
    ],
    alone: [
        without_descriptors_an_operation_fails_alone,
        what_was_not_submitted_finds_no_other_file,
    ],
}

/// Registers it for operations to name.
fn own<T: AsFd + Send + 'static>(queue: &mut Queue, owner: T) -> Key {
    queue.register(Fd::new(owner).unwatched(), Token(99), Mode::Level).unwrap()
}

fn buffer(bytes: &[u8]) -> Buffer {
    Buffer::from(bytes.to_vec())
}

fn completed(event: Event) -> Completed {
    match event.kind {
        Kind::Completed(completed) => completed,
        other => panic!("{:?}: {other:?}", event.token),
    }
}

/// The next event of this token; others are dropped.
#[track_caller]
fn done(queue: &mut Queue, token: Token) -> Completed {
    loop {
        if let Some(event) = queue.next_event() {
            if event.token == token {
                return completed(event);
            }
            continue;
        }
        let events = wait(queue, patient()).unwrap();
        assert!(events > 0, "nothing came of {token:?}: {queue:?}");
    }
}

#[track_caller]
fn bytes(completed: Completed) -> Vec<u8> {
    assert!(completed.result.is_ok(), "{completed:?}");
    completed.into_buffer().expect("a buffer comes back").to_vec()
}

#[track_caller]
fn errno(completed: &Completed) -> i32 {
    completed.result.expect_err("it fails").0
}

fn pair(queue: &mut Queue) -> (Key, UnixStream) {
    let (own_end, peer) = UnixStream::pair().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (own(queue, own_end), peer)
}

fn what_comes_is_handed_over_in_the_buffer_that_was_lent(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let key = queue.start(Operation::receive(socket, Buffer::with_capacity(64)), A).unwrap();
    silent(&mut queue);
    peer.write_all(b"hello").unwrap();
    let events = batch(&mut queue, patient());
    let [event] = <[Event; 1]>::try_from(events).unwrap();
    assert_eq!((event.key, event.token), (key, A));
    let completed = completed(event);
    assert_eq!(completed.result, Ok(5));
    assert_eq!(bytes(completed), b"hello");
    assert!(queue.cancel(key).is_err(), "it has ended");
}

fn what_came_before_is_received_too(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    peer.write_all(b"early").unwrap();
    queue.start(Operation::receive(socket, Buffer::with_capacity(64)), A).unwrap();
    assert_eq!(bytes(done(&mut queue, A)), b"early");
}

fn a_receive_fills_the_room_behind_what_is_there(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let mut room = Buffer::with_capacity(8);
    room.append(b"head:").unwrap();
    let left = room.tailroom();
    peer.write_all(&vec![b'x'; left + 1]).unwrap();
    queue.start(Operation::receive(socket, room), A).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(completed.result, Ok(left as u32));
    assert_eq!(bytes(completed), [&b"head:"[..], &vec![b'x'; left]].concat());
    queue.start(Operation::receive(socket, Buffer::with_capacity(8)), A).unwrap();
    assert_eq!(bytes(done(&mut queue, A)), b"x", "the rest stays for the next one");
}

fn the_end_of_a_stream_is_no_bytes(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, peer) = pair(&mut queue);
    queue.start(Operation::receive(socket, Buffer::with_capacity(8)), A).unwrap();
    silent(&mut queue);
    drop(peer);
    let completed = done(&mut queue, A);
    assert_eq!(completed.result, Ok(0));
    assert_eq!(bytes(completed), b"");
}

fn a_buffer_without_room_is_given_back(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    let full = buffer(b"full");
    let mut refused = queue.start(Operation::receive(socket, full), A).unwrap_err();
    assert!(matches!(refused.reason, StartRefusal::Invalid(_)), "{refused}");
    refused.operation = refused.operation.within(Duration::ZERO);
    assert_eq!(refused.operation.into_buffer().as_deref(), Some(&b"full"[..]));
}

fn sends_leave_in_order_and_whole(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let mut expected = Vec::new();
    for number in 0..200_u64 {
        let piece = number.to_le_bytes().repeat(1 + number as usize % 7);
        expected.extend(&piece);
        queue.start(Operation::send(socket, Buffer::from(piece)), Token(number)).unwrap();
    }
    let mut order = Vec::new();
    while order.len() < 200 {
        for event in batch(&mut queue, patient()) {
            order.push(event.token.0);
            let sent = 8 * (1 + event.token.0 as u32 % 7);
            let completed = completed(event);
            assert_eq!(completed.result, Ok(sent));
            assert_eq!(bytes(completed).len(), sent as usize);
        }
    }
    assert_eq!(order, Vec::from_iter(0..200), "they end in order too");
    let mut arrived = vec![0; expected.len()];
    peer.read_exact(&mut arrived).unwrap();
    assert_eq!(arrived, expected);
}

fn a_send_is_whole_though_it_does_not_fit_at_once(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let large = Vec::from_iter((0..3_000_000_u32).map(|at| (at / 7) as u8));
    queue.start(Operation::send(socket, Buffer::from(large.clone())), A).unwrap();
    let reader = thread::spawn(move || {
        let mut arrived = vec![0; 3_000_006];
        peer.read_exact(&mut arrived).unwrap();
        arrived
    });
    assert_eq!(done(&mut queue, A).result, Ok(3_000_000));
    queue.start(Operation::send(socket, buffer(b"behind")), B).unwrap();
    assert_eq!(done(&mut queue, B).result, Ok(6));
    let arrived = reader.join().unwrap();
    assert!(arrived[..3_000_000] == large && &arrived[3_000_000..] == b"behind");
}

fn outgoing_bytes_are_bounded_and_full_ends(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let piece = || Buffer::from(vec![7; 300_000]);
    let mut started = 0;
    let refused = loop {
        match queue.start(Operation::send(socket, piece()), Token(started)) {
            Ok(_) => started += 1,
            Err(refused) => break refused,
        }
        assert!(started < 100, "no bound");
    };
    assert_eq!(refused.reason, StartRefusal::Full);
    let back = refused.operation.into_buffer().expect("it comes back");
    assert_eq!(back.len(), 300_000);
    let reader = thread::spawn(move || {
        let mut arrived = Vec::new();
        peer.read_to_end(&mut arrived).unwrap();
        arrived.len()
    });
    assert_eq!(done(&mut queue, Token(0)).result, Ok(300_000));
    queue.start(Operation::send(socket, back), Token(started)).expect("there is room again");
    done(&mut queue, Token(started));
    drop(queue.remove(socket).unwrap());
    silent(&mut queue);
    assert_eq!(reader.join().unwrap(), (started as usize + 1) * 300_000);
}

fn a_share_of_a_buffer_can_be_sent(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let page = buffer(b"a page for everybody").freeze();
    for token in [A, B] {
        let part = page.slice(2..6).unwrap();
        queue.start(Operation::send(socket, part).more(), token).unwrap();
    }
    assert_eq!(done(&mut queue, B).result, Ok(4));
    let mut arrived = [0; 8];
    peer.read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"pagepage");
    assert!(page.is_unique(), "the shares are gone");
}

fn a_send_to_nobody_fails_and_gives_the_buffer_back(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, peer) = pair(&mut queue);
    drop(peer);
    queue.start(Operation::send(socket, buffer(b"anybody?")), A).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(errno(&completed), EPIPE);
    assert_eq!(completed.into_buffer().as_deref(), Some(&b"anybody?"[..]));
}

fn one_connection_is_accepted(bench: &Bench) {
    let mut queue = bench.queue();
    let (listener, address) = testkit::listener();
    let listener = own(&mut queue, listener);
    queue.start(Operation::accept(listener), A).unwrap();
    silent(&mut queue);
    let mut client = TcpStream::connect(address).unwrap();
    let _second = TcpStream::connect(address).unwrap();
    let connection = done(&mut queue, A).into_descriptor().expect("a connection");
    client.write_all(b"!").unwrap();
    let mut connection = TcpStream::from(connection);
    connection.set_nonblocking(false).unwrap();
    connection.read_exact(&mut [0]).unwrap();
    silent(&mut queue);
}

fn connections_are_accepted_until_cancelled(bench: &Bench) {
    let mut queue = bench.queue();
    let (listener, address) = testkit::listener();
    let listener = own(&mut queue, listener);
    let key = queue.start(Operation::accept_each(listener), A).unwrap();
    let mut connections = Vec::new();
    for _ in 0..20 {
        let client = TcpStream::connect(address).unwrap();
        connections.push((client, done(&mut queue, A).into_descriptor().expect("a connection")));
    }
    queue.cancel(key).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!((errno(&completed), &completed.payload), (ECANCELED, &Payload::None));
    let _client = TcpStream::connect(address).unwrap();
    silent(&mut queue);
    assert!(queue.cancel(key).is_err());
}

fn a_connection_is_made(bench: &Bench) {
    let mut queue = bench.queue();
    let (listener, address) = testkit::listener();
    let socket = unconnected();
    let socket = own(&mut queue, socket);
    queue.start(Operation::connect(socket, address), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(0));
    let (mut accepted, _) = listener.accept().unwrap();
    queue.start(Operation::send(socket, buffer(b"hi")), B).unwrap();
    done(&mut queue, B);
    accepted.read_exact(&mut [0; 2]).unwrap();
}

fn unconnected() -> OwnedFd {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

fn a_connection_that_is_refused_says_so(bench: &Bench) {
    let mut queue = bench.queue();
    let (listener, address) = testkit::listener();
    drop(listener);
    let socket = own(&mut queue, unconnected());
    queue.start(Operation::connect(socket, address), A).unwrap();
    assert_eq!(errno(&done(&mut queue, A)), ECONNREFUSED);
}

/// A pool that wakes the queue.
fn pool(queue: &Queue, frames: u32) -> Arc<FramePool> {
    let arena = Arena::new(1 << 20).unwrap();
    let builder = FramePool::builder(frames, 4096).waker(queue.room_waker());
    Arc::new(builder.build(&arena).unwrap())
}

/// How many of its frames are out.
fn in_use(pool: &FramePool) -> u32 {
    let statistics = pool.statistics().unwrap();
    statistics.frames - statistics.free
}

fn a_stream_is_received_into_buffers_of_a_pool_until_its_end(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 8);
    let (socket, mut peer) = pair(&mut queue);
    let key = queue.start(Operation::receive_each(socket, pool.clone()), A).unwrap();
    silent(&mut queue);
    let sent = Vec::from_iter((0..100_000_u32).map(|at| (at / 3) as u8));
    let writer = {
        let sent = sent.clone();
        thread::spawn(move || peer.write_all(&sent).unwrap())
    };
    let mut arrived = Vec::new();
    loop {
        let completed = done(&mut queue, A);
        if completed.result == Ok(0) {
            break;
        }
        arrived.extend(bytes(completed));
    }
    writer.join().unwrap();
    assert!(arrived == sent, "{} bytes", arrived.len());
    assert!(queue.cancel(key).is_err(), "it has ended");
    silent(&mut queue);
    assert_eq!(in_use(&pool), 0);
}

fn an_empty_pool_pauses_and_a_buffer_that_comes_back_resumes(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 2);
    let (socket, mut peer) = pair(&mut queue);
    queue.start(Operation::receive_each(socket, pool.clone()), A).unwrap();
    let mut held = Vec::new();
    for _ in 0..2 {
        peer.write_all(b"x").unwrap();
        held.push(done(&mut queue, A).into_buffer().expect("a buffer"));
    }
    peer.write_all(b"y").unwrap();
    let calls = queue.counters().system_calls;
    assert_eq!(wait(&mut queue, Wait::within(Duration::from_millis(20))), Ok(0));
    let spun = queue.counters().system_calls - calls;
    assert!(spun < 20, "{spun} calls while there was nothing to be done");
    // From another thread, while the queue sleeps.
    let events = crate::bench::once_asleep(|| batch(&mut queue, patient()), || held.clear());
    let [event] = <[Event; 1]>::try_from(events).unwrap();
    assert_eq!(bytes(completed(event)), b"y");
}

fn a_file_is_sent_behind_what_was_sent_before(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let mut file = tempfile::tempfile().unwrap();
    let content = Vec::from_iter((0..4_000_000_u32).map(|at| (at / 11) as u8));
    file.write_all(&content).unwrap();
    let file = own(&mut queue, file);
    queue.start(Operation::send(socket, buffer(b"head")).more(), A).unwrap();
    queue.start(Operation::send_file(socket, file, 1000, 3_000_000), B).unwrap();
    queue.start(Operation::send(socket, buffer(b"tail")), C).unwrap();
    queue.start(Operation::send_file(socket, file, 3_999_990, 100), D).unwrap();
    let reader = thread::spawn(move || {
        let mut arrived = vec![0; 3_000_018];
        peer.read_exact(&mut arrived).unwrap();
        arrived
    });
    assert_eq!(done(&mut queue, A).result, Ok(4));
    assert_eq!(done(&mut queue, B).result, Ok(3_000_000));
    assert_eq!(done(&mut queue, C).result, Ok(4));
    assert_eq!(done(&mut queue, D).result, Ok(10), "the file ended");
    let expected = [b"head", &content[1000..3_001_000], b"tail", &content[3_999_990..]].concat();
    assert!(reader.join().unwrap() == expected);
}

fn a_side_is_closed_after_what_was_sent_before(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    queue.start(Operation::send(socket, Buffer::from(vec![1; 900_000])), A).unwrap();
    queue.start(Operation::shutdown(socket, Direction::Sending), B).unwrap();
    let reader = thread::spawn(move || {
        let mut arrived = Vec::new();
        peer.read_to_end(&mut arrived).unwrap();
        peer.write_all(b"bye").unwrap();
        arrived.len()
    });
    assert_eq!(done(&mut queue, B).result, Ok(0));
    assert_eq!(reader.join().unwrap(), 900_000);
    queue.start(Operation::receive(socket, Buffer::with_capacity(8)), C).unwrap();
    assert_eq!(bytes(done(&mut queue, C)), b"bye");
}

fn closing_comes_after_what_was_sent_and_closes(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    queue.start(Operation::receive(socket, Buffer::with_capacity(8)), A).unwrap();
    queue.start(Operation::send(socket, Buffer::from(vec![1; 900_000])), B).unwrap();
    queue.start(Operation::close(socket), C).unwrap();
    let reader = thread::spawn(move || {
        let mut arrived = Vec::new();
        peer.read_to_end(&mut arrived).unwrap();
        arrived.len()
    });
    let mut tokens = Vec::new();
    while tokens.len() < 2 {
        tokens.extend(batch(&mut queue, patient()).iter().map(|event| event.token));
    }
    assert_eq!(tokens, [B, C], "the receive ends without an event");
    silent(&mut queue);
    assert_eq!(reader.join().unwrap(), 900_000);
    assert!(queue.remove(socket).is_err(), "the registration is gone");
    assert_eq!(queue.counters().registered, 0);
}

fn a_file_is_read_and_written_at_places(bench: &Bench) {
    let mut queue = bench.queue();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    let file = own(&mut queue, file);
    queue.start(Operation::write(file, buffer(b"abc"), 4), A).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(completed.result, Ok(3));
    assert_eq!(bytes(completed), b"abc");
    for (offset, expected) in [(0, &b"0123abc789"[..]), (8, b"89"), (100, b"")] {
        queue.start(Operation::read(file, Buffer::with_capacity(64), offset), B).unwrap();
        assert_eq!(bytes(done(&mut queue, B)), expected);
    }
    // Many at once.
    for at in 0..100 {
        queue.start(Operation::read(file, Buffer::with_capacity(1), at % 10), Token(at)).unwrap();
    }
    for at in 0..100 {
        let read = done_any(&mut queue);
        assert_eq!(bytes(read).len().min(1), 1, "{at}");
    }
}

fn done_any(queue: &mut Queue) -> Completed {
    loop {
        match queue.next_event() {
            Some(event) => return completed(event),
            None => assert!(wait(queue, patient()).unwrap() > 0),
        }
    }
}

fn a_file_reaches_its_device_and_tells_of_itself(bench: &Bench) {
    let mut queue = bench.queue();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"12345").unwrap();
    file.rewind().unwrap();
    let file = own(&mut queue, file);
    queue.start(Operation::sync(file), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(0));
    queue.start(Operation::sync_data(file), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(0));
    queue.start(Operation::metadata(file), B).unwrap();
    match done(&mut queue, B).payload {
        Payload::Metadata(metadata) => assert_eq!(metadata.size, 5),
        other => panic!("{other:?}"),
    }
}

fn a_pipe_is_read_and_written(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, writer) = testkit::pipe_pair();
    let (reader, writer) = (own(&mut queue, reader), own(&mut queue, writer));
    let content = Vec::from_iter((0..300_000_u32).map(|at| (at / 5) as u8));
    queue.start(Operation::write(writer, Buffer::from(content.clone()), 0), A).unwrap();
    let mut arrived = Vec::new();
    while arrived.len() < content.len() {
        queue.start(Operation::read(reader, Buffer::with_capacity(5000), 0), B).unwrap();
        arrived.extend(bytes(done(&mut queue, B)));
    }
    assert!(arrived == content);
    drop(queue.remove(writer).unwrap());
    queue.start(Operation::read(reader, Buffer::with_capacity(8), 0), C).unwrap();
    assert_eq!(done(&mut queue, C).result, Ok(0), "the end");
}

fn readiness_can_be_awaited_once(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    queue.start(Operation::poll(socket, Interest::READ), A).unwrap();
    silent(&mut queue);
    peer.write_all(b"!").unwrap();
    let bits = done(&mut queue, A).result.unwrap();
    let readiness = Readiness::from_bits_truncate(bits as u16);
    assert!(readiness.contains(Readiness::READABLE), "{readiness:?}");
    silent(&mut queue);
}

fn a_cancelled_operation_gives_its_buffer_back(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let mut lent = Buffer::with_capacity(64);
    lent.append(b"mine").unwrap();
    // Before it began, and while it waits.
    for begun in [false, true] {
        let key = queue.start(Operation::receive(socket, lent), A).unwrap();
        if begun {
            silent(&mut queue);
        }
        queue.cancel(key).unwrap();
        queue.cancel(key).unwrap();
        let completed = done(&mut queue, A);
        assert_eq!(errno(&completed), ECANCELED);
        lent = completed.into_buffer().expect("it comes back");
        assert_eq!(&lent[..], b"mine");
        assert!(queue.cancel(key).is_err());
    }
    peer.write_all(b"!").unwrap();
    silent(&mut queue);
    queue.start(Operation::receive(socket, lent), B).unwrap();
    assert_eq!(bytes(done(&mut queue, B)), b"mine!", "what came later is not lost");
}

fn an_operation_that_takes_too_long_ends(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    let receive = Operation::receive(socket, Buffer::with_capacity(8));
    queue.start(receive.within(Duration::from_millis(5)), A).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(errno(&completed), ETIMEDOUT);
    assert!(completed.into_buffer().is_some());
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 1);
}

fn an_operation_that_is_done_in_time_is_not_ended_by_it(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    peer.write_all(b"!").unwrap();
    let receive = Operation::receive(socket, Buffer::with_capacity(8));
    queue.start(receive.within(PATIENCE), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(1));
    assert_eq!(queue.counters().registered, 1);
    // A timer in the same place is not taken for the limit.
    queue.register(Timer::after(Duration::from_millis(1)), B, Mode::OneShot).unwrap();
    assert_eq!(crate::bench::next(&mut queue).token, B);
}

fn a_removed_operation_says_nothing_and_frees_what_it_had(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 4);
    let (socket, mut peer) = pair(&mut queue);
    let lent = pool.allocate().unwrap();
    let key = queue.start(Operation::receive(socket, lent), A).unwrap();
    silent(&mut queue);
    assert_eq!(in_use(&pool), 1);
    queue.remove(key).unwrap();
    assert!(queue.remove(key).is_err());
    peer.write_all(b"!").unwrap();
    silent(&mut queue);
    assert_eq!(in_use(&pool), 0, "the buffer went home");
    // Done, and removed before its event was taken.
    let key = queue.start(Operation::receive(socket, pool.allocate().unwrap()), A).unwrap();
    assert_eq!(wait(&mut queue, patient()), Ok(1));
    queue.remove(key).unwrap();
    assert_eq!(queue.next_event(), None);
    silent(&mut queue);
    assert_eq!(in_use(&pool), 0);
}

fn removing_the_descriptor_ends_its_operations(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 8);
    let (socket, mut peer) = pair(&mut queue);
    let receive = Operation::receive(socket, pool.allocate().unwrap());
    let key = queue.start(receive, A).unwrap();
    queue.start(Operation::receive_each(socket, pool.clone()), B).unwrap();
    queue.start(Operation::send(socket, Buffer::from(vec![0; 900_000])), C).unwrap();
    queue.start(Operation::send(socket, pool.allocate().unwrap()), D).unwrap();
    silent(&mut queue);
    let socket = queue.remove(socket).unwrap().downcast::<UnixStream>().expect("the owner");
    assert!(queue.cancel(key).is_err());
    silent(&mut queue);
    assert_eq!(in_use(&pool), 0);
    assert_eq!(queue.counters().registered, 0);
    // The socket itself is well.
    peer.write_all(b"!").unwrap();
    (&socket).read_exact(&mut [0]).unwrap();
}

fn dropping_the_queue_frees_what_is_under_way(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 8);
    let (socket, mut peer) = pair(&mut queue);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[1; 1000]).unwrap();
    let file = own(&mut queue, file);
    queue.start(Operation::receive(socket, pool.allocate().unwrap()), A).unwrap();
    queue.start(Operation::read(file, pool.allocate().unwrap(), 0), B).unwrap();
    queue.start(Operation::send(socket, Buffer::from(vec![0; 900_000])), C).unwrap();
    let _ = wait(&mut queue, Wait::now());
    drop(queue);
    // A thread may be at the file yet.
    testkit::wait_until("all is home", || in_use(&pool) == 0);
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).expect("the socket is closed");
}

fn readiness_and_completions_come_in_one_wait(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    queue.register(Socket::new(ours), A, Mode::Level).unwrap();
    queue.register(Timer::after(Duration::ZERO), B, Mode::OneShot).unwrap();
    queue.start(Operation::receive(socket, Buffer::with_capacity(8)), C).unwrap();
    peer.write_all(b"!").unwrap();
    theirs.write_all(b"!").unwrap();
    let mut tokens =
        Vec::from_iter(batch(&mut queue, patient().at_least(3)).iter().map(|event| event.token));
    tokens.sort_unstable();
    assert_eq!(tokens, [A, B, C]);
}

fn an_operation_is_no_registration_to_enable_or_modify(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let key = queue.start(Operation::receive(socket, Buffer::with_capacity(8)), A).unwrap();
    assert!(queue.disable(key).is_err() && queue.enable(key).is_err());
    assert!(queue.modify(key, ukevent_queue::Change::new().token(B)).is_err());
    peer.write_all(b"!").unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(1));
    // The registration can be watched as well.
    queue.enable(socket).unwrap();
    peer.write_all(b"!").unwrap();
    assert!(matches!(crate::bench::next(&mut queue).kind, Kind::Ready(_)));
}

fn operations_name_registered_descriptors_only(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    let timer = queue.register(Timer::after(PATIENCE), A, Mode::OneShot).unwrap();
    let gone = own(&mut queue, File::open("/dev/null").unwrap());
    queue.remove(gone).unwrap();
    for key in [timer, gone] {
        let refused = queue.start(Operation::send(key, buffer(b"x")), B).unwrap_err();
        assert_eq!(refused.reason, StartRefusal::NoSuchKey);
        assert!(refused.operation.into_buffer().is_some());
        let refused = queue.start(Operation::send_file(socket, key, 0, 1), B).unwrap_err();
        assert_eq!(refused.reason, StartRefusal::NoSuchKey);
    }
    let mut small = bench.builder().limit(1).build().unwrap();
    let (socket, _other) = pair(&mut small);
    let refused = small.start(Operation::send(socket, buffer(b"x")), A).unwrap_err();
    assert_eq!(refused.reason, StartRefusal::Limit(1));
}

fn what_is_no_socket_says_so(bench: &Bench) {
    let mut queue = bench.queue();
    let (reader, _writer) = testkit::pipe_pair();
    let reader = own(&mut queue, reader);
    queue.start(Operation::receive(reader, Buffer::with_capacity(8)), A).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(completed.result, Err(Errno(ENOTSOCK)));
    assert!(completed.into_buffer().is_some());
}

fn a_busy_stream_does_not_starve_another(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 16);
    let (busy, mut talker) = pair(&mut queue);
    let (quiet, mut whisperer) = pair(&mut queue);
    queue.start(Operation::receive_each(busy, pool.clone()), A).unwrap();
    queue.start(Operation::receive_each(quiet, pool.clone()), B).unwrap();
    talker.set_nonblocking(true).unwrap();
    let mut fill = || while talker.write(&[0; 4096]).is_ok() {};
    fill();
    silent_or(&mut queue);
    whisperer.write_all(b"!").unwrap();
    let mut before = 0;
    loop {
        fill();
        let events = batch(&mut queue, patient());
        if events.iter().any(|event| event.token == B) {
            break;
        }
        before += events.len();
        assert!(before < 1000, "the quiet one is starved");
    }
}

fn silent_or(queue: &mut Queue) {
    drop(batch(queue, Wait::now()));
}

fn an_accepted_connection_that_nobody_takes_is_closed(bench: &Bench) {
    let mut queue = bench.queue();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = own(&mut queue, listener);
    let key = queue.start(Operation::accept(listener), A).unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(wait(&mut queue, patient()), Ok(1));
    queue.remove(key).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "it was closed");
}

fn a_receiver_that_is_removed_between_two_events_leaves_nothing(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 8);
    for watched in [false, true] {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let socket = queue.register(Socket::new(ours).unwatched(), D, Mode::Edge).unwrap();
        if watched {
            queue.enable(socket).unwrap();
        }
        queue.start(Operation::receive_each(socket, pool.clone()), A).unwrap();
        peer.write_all(b"one").unwrap();
        drop(done(&mut queue, A));
        drop(queue.remove(socket).unwrap());
        silent(&mut queue);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it was closed");
        // The places of both are used again.
        let (socket, mut peer) = pair(&mut queue);
        queue.start(Operation::receive(socket, Buffer::with_capacity(8)), B).unwrap();
        peer.write_all(b"two").unwrap();
        assert_eq!(bytes(done(&mut queue, B)), b"two");
    }
}

fn several_completions_can_be_waited_for_at_once(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    for token in [A, B, C] {
        queue.start(Operation::send(socket, buffer(b"x")), token).unwrap();
    }
    assert_eq!(wait(&mut queue, patient().at_least(3)), Ok(3));
    drop(std::iter::from_fn(|| queue.next_event()).collect::<Vec<_>>());
    let pool = pool(&queue, 8);
    let (other, mut its_peer) = pair(&mut queue);
    queue.start(Operation::receive_each(socket, pool.clone()), A).unwrap();
    queue.start(Operation::receive_each(other, pool), B).unwrap();
    silent(&mut queue);
    peer.write_all(b"!").unwrap();
    its_peer.write_all(b"!").unwrap();
    assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2));
}

fn a_small_ring_accepts_everybody(bench: &Bench) {
    let mut queue = bench.builder().ring(4, 8).build().unwrap();
    let (listener, address) = testkit::listener();
    let listener = own(&mut queue, listener);
    let clients = Vec::from_iter((0..100).map(|_| TcpStream::connect(address).unwrap()));
    queue.start(Operation::accept_each(listener), A).unwrap();
    for _ in 0..clients.len() {
        assert!(done(&mut queue, A).into_descriptor().is_some());
    }
    let _client = TcpStream::connect(address).unwrap();
    assert!(done(&mut queue, A).into_descriptor().is_some(), "it goes on");
}

fn a_small_ring_gives_every_buffer_back(bench: &Bench) {
    let mut queue = bench.builder().ring(4, 8).build().unwrap();
    let mut peers = Vec::new();
    for number in 0..40 {
        let (socket, peer) = pair(&mut queue);
        peers.push(peer);
        let receive = Operation::receive(socket, Buffer::with_capacity(8));
        queue.start(receive.within(Duration::ZERO), Token(number)).unwrap();
    }
    for _ in 0..40 {
        let completed = done_any(&mut queue);
        assert_eq!(errno(&completed), ETIMEDOUT);
        assert!(completed.into_buffer().is_some());
    }
}

fn a_file_is_sent_over_a_socket_that_blocks(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![3; 5_000_000]).unwrap();
    let file = own(&mut queue, file);
    queue.start(Operation::send_file(socket, file, 0, 5_000_000), A).unwrap();
    // Nobody reads: it is not done, and the queue is not held up.
    silent(&mut queue);
    let reader = thread::spawn(move || peer.read_exact(&mut vec![0; 5_000_000]).unwrap());
    assert_eq!(done(&mut queue, A).result, Ok(5_000_000));
    reader.join().unwrap();
}

fn a_send_that_is_cut_short_ends_those_behind_it(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let large = Operation::send(socket, Buffer::from(vec![1; 900_000]));
    queue.start(large.within(Duration::from_millis(20)), A).unwrap();
    queue.start(Operation::send(socket, buffer(b"behind")), B).unwrap();
    queue.start(Operation::shutdown(socket, Direction::Sending), C).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(errno(&completed), ETIMEDOUT);
    assert_eq!(completed.into_buffer().map(|buffer| buffer.len()), Some(900_000));
    let completed = done(&mut queue, B);
    assert_eq!(errno(&completed), ECANCELED);
    assert_eq!(completed.into_buffer().as_deref(), Some(&b"behind"[..]));
    assert_eq!(done(&mut queue, C).result, Ok(0), "what sends no bytes has its turn");
    let mut arrived = Vec::new();
    peer.read_to_end(&mut arrived).unwrap();
    assert!(arrived.len() < 900_000 && arrived.iter().all(|&byte| byte == 1));
}

fn what_is_cancelled_or_removed_shows_to_who_watches(bench: &Bench) {
    let (mut outer, mut inner) = (bench.queue(), bench.queue());
    outer.register(Fd::new(inner.descriptor().unwrap()), A, Mode::Level).unwrap();
    let (socket, _peer) = pair(&mut inner);
    let receive = inner.start(Operation::receive(socket, Buffer::with_capacity(8)), B).unwrap();
    // Until there is nothing more to be shown.
    while wait(&mut outer, Wait::within(Duration::from_millis(5))).unwrap() > 0 {
        while outer.next_event().is_some() {}
        silent(&mut inner);
    }
    inner.cancel(receive).unwrap();
    assert_eq!(wait(&mut outer, patient()), Ok(1), "a cancelled one");
    assert_eq!(errno(&done(&mut inner, B)), ECANCELED);
}

fn writes_to_a_pipe_leave_in_order(bench: &Bench) {
    let mut queue = bench.queue();
    let (mut reader, writer) = testkit::pipe_pair();
    let writer = own(&mut queue, writer);
    for (token, line) in [(A, "one\n"), (B, "two\n"), (C, "three\n")] {
        queue.start(Operation::write(writer, buffer(line.as_bytes()), 0), token).unwrap();
    }
    assert_eq!(done(&mut queue, C).result, Ok(6));
    let mut arrived = [0; 14];
    reader.read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"one\ntwo\nthree\n");
}

fn receives_begin_in_order(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    peer.write_all(b"1122").unwrap();
    for token in [A, B] {
        let mut small = Buffer::from(vec![0; 2]);
        small.clear(0);
        queue.start(Operation::receive(socket, small), token).unwrap();
    }
    assert_eq!(bytes(done(&mut queue, A)), b"11");
    assert_eq!(bytes(done(&mut queue, B)), b"22");
}

fn an_empty_datagram_is_no_end(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 4);
    let (ours, theirs) = testkit::udp_pair();
    let socket = own(&mut queue, ours);
    queue.start(Operation::receive_each(socket, pool), A).unwrap();
    for datagram in [&b"first"[..], b"", b"last"] {
        theirs.send(datagram).unwrap();
        assert_eq!(bytes(done(&mut queue, A)), datagram);
    }
}

fn a_pool_that_cannot_serve_is_refused(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let arena = Arena::new(1 << 20).unwrap();
    let full = FramePool::builder(4, 256).headroom_bytes(256).build(&arena).unwrap();
    let refused = queue.start(Operation::receive_each(socket, Arc::new(full)), A).unwrap_err();
    assert!(matches!(refused.reason, StartRefusal::Invalid(_)), "{refused}");
    // One of another thread, which lives.
    let foreign = pool(&queue, 4);
    let (taken, end) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            drop(foreign.allocate().unwrap());
            taken.wait();
            end.wait();
        });
        taken.wait();
        queue.start(Operation::receive_each(socket, foreign.clone()), B).unwrap();
        peer.write_all(b"!").unwrap();
        assert!(done(&mut queue, B).result.is_err());
        end.wait();
    });
}

fn what_was_not_taken_goes_with_the_registration(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    queue.start(Operation::receive(socket, Buffer::with_capacity(8)), A).unwrap();
    peer.write_all(b"!").unwrap();
    assert_eq!(wait(&mut queue, patient()), Ok(1));
    queue.remove(socket).unwrap();
    assert_eq!(queue.next_event(), None);
    silent(&mut queue);
    assert_eq!(queue.counters().registered, 0);
}

fn without_descriptors_an_operation_fails_alone(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let (other, mut its_peer) = UnixStream::pair().unwrap();
    queue.register(Socket::new(other), C, Mode::Level).unwrap();
    // Watched as well, so that epoll needs another number for it.
    let socket = queue.register(Socket::new(ours), D, Mode::Edge).unwrap();
    silent(&mut queue);
    queue.start(Operation::receive(socket, Buffer::with_capacity(8)), A).unwrap();
    its_peer.write_all(b"!").unwrap();
    let tokens = crate::limits::without_descriptors(|| {
        let mut tokens = Vec::new();
        for _ in 0..3 {
            wait(&mut queue, Wait::now()).expect("an operation's trouble is its own");
            while let Some(event) = queue.next_event() {
                tokens.push(event.token);
            }
        }
        tokens
    });
    assert!(tokens.contains(&C), "{tokens:?}");
    if !tokens.contains(&A) {
        peer.write_all(b"!").unwrap();
        assert_eq!(done(&mut queue, A).result, Ok(1));
    }
}

/// A wait that fails between the writing of an entry and its submission must not let it find the next
/// file of the same number.
fn what_was_not_submitted_finds_no_other_file(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    queue.start(Operation::send(socket, buffer(b"a secret")), A).unwrap();
    // This wait needs a timerfd, once.
    queue
        .register(Timer::after(PATIENCE).on(ukevent_queue::Clock::Boot), B, Mode::OneShot)
        .unwrap();
    let failed = crate::limits::without_descriptors(|| wait(&mut queue, patient()).is_err());
    let number = {
        let owner = queue.remove(socket).unwrap().downcast::<UnixStream>().expect("the owner");
        std::os::fd::AsRawFd::as_raw_fd(&owner)
    };
    let (one, other) = UnixStream::pair().unwrap();
    let reused = [&one, &other].iter().any(|end| std::os::fd::AsRawFd::as_raw_fd(*end) == number);
    assert!(reused || !failed, "the number is used again");
    silent(&mut queue);
    for mut end in [&one, &other] {
        end.set_nonblocking(true).unwrap();
        assert!(end.read(&mut [0; 8]).is_err(), "what was for another came here");
    }
}
