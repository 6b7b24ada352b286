//! Receives: what comes, where it goes, and when it is the end.

use super::{buffer, bytes, completed, done, drop_what_came, in_use, own, pair, pool};
use crate::bench::{A, B, Bench, D, PATIENCE, batch, patient, silent, wait};
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use ukevent_buf::{Buffer, FramePool};
use ukevent_queue::{Event, Mode, Operation, Socket, StartRefusal, Wait};

cases! {
    kernels: [
        what_comes_is_handed_over_in_the_buffer_that_was_lent,
        what_came_before_is_received_too,
        a_receive_fills_the_room_behind_what_is_there,
        the_end_of_a_stream_is_no_bytes,
        a_buffer_without_room_is_given_back,
        receives_begin_in_order,
        a_stream_is_received_into_buffers_of_a_pool_until_its_end,
        an_empty_pool_pauses_and_a_buffer_that_comes_back_resumes,
        a_busy_stream_does_not_starve_another,
        a_receiver_that_is_removed_between_two_events_leaves_nothing,
        an_empty_datagram_is_no_end,
        a_pool_that_cannot_serve_is_refused,
    ],
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
    drop_what_came(&mut queue);
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
    let arena = crate::bench::arena(1 << 20);
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
