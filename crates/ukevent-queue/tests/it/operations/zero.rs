//! Sends that may leave without a copy.

use super::{ECANCELED, ETIMEDOUT, buffer, done, done_of, in_use, own, pair, pool};
use crate::bench::{A, B, BackendKind, Bench, C, D, batch, patient, silent, wait};
use crate::subject::Queue;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use ukevent_buf::{Buffer, FramePool};
use ukevent_queue::{Key, Operation, Payload, Token, Wait};

cases! {
    kernels: [
        sends_without_a_copy_are_whole_and_in_order,
        a_share_leaves_without_a_copy,
        a_unix_socket_copies_all_the_same,
        what_is_behind_one_that_is_held_has_its_turn,
        where_it_was_copied_once_it_is_not_tried_again,
        a_close_waits_for_what_is_held,
        one_that_is_held_can_be_removed,
        one_that_is_held_has_its_result,
        one_that_is_cut_short_ends_those_behind_it,
        a_socket_that_is_removed_takes_what_is_held_along,
        a_queue_ends_with_one_that_is_held,
        a_peer_that_is_gone_says_so,
    ],
}

fn large(bytes: usize) -> Buffer {
    Buffer::from(Vec::from_iter((0..bytes as u32).map(|at| (at / 7) as u8)))
}

fn sends_without_a_copy_are_whole_and_in_order(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, mut theirs) = testkit::tcp_pair();
    let socket = own(&mut queue, ours);
    let mut expected = Vec::new();
    let lengths = [100_000, 10, 5000, 4096, 4095, 200_000, 1];
    for (number, bytes) in (0..).zip(lengths) {
        expected.extend_from_slice(&large(bytes));
        let send = Operation::send(socket, large(bytes));
        let send = if number % 3 == 2 { send } else { send.zero_copy().more() };
        queue.start(send, Token(number)).unwrap();
    }
    queue.start(Operation::send(socket, buffer(b"end")), Token(7)).unwrap();
    expected.extend(b"end");
    let count = expected.len();
    let reader = thread::spawn(move || {
        let mut arrived = vec![0; count];
        theirs.read_exact(&mut arrived).unwrap();
        arrived
    });
    let mut left = Vec::from_iter(0..8);
    while !left.is_empty() {
        for event in batch(&mut queue, patient()) {
            let number = event.token.0 as usize;
            left.retain(|other| *other != number);
            let bytes = *lengths.get(number).unwrap_or(&3);
            let completed = super::completed(event);
            assert_eq!(completed.result, Ok(bytes as u32));
            assert_eq!(completed.into_buffer().map(|buffer| buffer.len()), Some(bytes));
        }
    }
    assert!(reader.join().unwrap() == expected);
}

fn a_share_leaves_without_a_copy(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, mut theirs) = testkit::tcp_pair();
    let socket = own(&mut queue, ours);
    let page = large(20_000).freeze();
    queue.start(Operation::send(socket, page.clone()).zero_copy(), A).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!((completed.result, completed.payload), (Ok(20_000), Payload::None));
    assert!(page.is_unique(), "nobody holds it any more");
    theirs.read_exact(&mut [0; 20_000]).unwrap();
}

fn a_unix_socket_copies_all_the_same(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    for token in [A, B] {
        queue.start(Operation::send(socket, large(100_000)).zero_copy(), token).unwrap();
    }
    let reader = thread::spawn(move || {
        let mut arrived = vec![0; 200_000];
        peer.read_exact(&mut arrived).unwrap();
        arrived
    });
    for token in [A, B] {
        let completed = done(&mut queue, token);
        assert_eq!(completed.result, Ok(100_000));
        assert!(completed.into_buffer().is_some());
    }
    assert!(reader.join().unwrap() == [&large(100_000)[..], &large(100_000)].concat());
}

/// A connection whose peer takes little until it reads, and whose own end takes much.
fn narrow(queue: &mut Queue, send_bytes: usize) -> (Key, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    set_socket_recv_buffer_size(&listener, 128 << 10).unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    set_socket_send_buffer_size(&ours, send_bytes).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    theirs.set_read_timeout(Some(crate::bench::PATIENCE)).unwrap();
    (own(queue, ours), theirs)
}

/// Whether a send that the peer did not take yet is held by the kernel, and not done.
fn is_held(bench: &Bench) -> bool {
    bench.kind == BackendKind::IoUring
}

const HELD: usize = 300_000;

fn what_is_behind_one_that_is_held_has_its_turn(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = narrow(&mut queue, 4 << 20);
    queue.start(Operation::send(socket, large(HELD)).zero_copy(), A).unwrap();
    queue.start(Operation::send(socket, buffer(b"behind")), B).unwrap();
    let mut first = false;
    let behind = done_of(&mut queue, B, &mut |_, _| first = true);
    assert_eq!(behind.result, Ok(6));
    assert_eq!(first, !is_held(bench), "its event comes when the buffer is ours");
    let reader = thread::spawn(move || {
        let mut arrived = vec![0; HELD + 6];
        peer.read_exact(&mut arrived).unwrap();
        arrived
    });
    if is_held(bench) {
        let completed = done(&mut queue, A);
        assert_eq!(completed.result, Ok(HELD as u32));
        assert!(completed.into_buffer().as_deref() == Some(&large(HELD)[..]));
    }
    assert!(reader.join().unwrap() == [&large(HELD)[..], b"behind"].concat());
}

fn where_it_was_copied_once_it_is_not_tried_again(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = narrow(&mut queue, 4 << 20);
    // A peer on the same machine gets a copy.
    queue.start(Operation::send(socket, large(10_000)).zero_copy(), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(10_000));
    // So this one is done though the peer did not take it.
    queue.start(Operation::send(socket, large(HELD)).zero_copy(), B).unwrap();
    assert_eq!(done(&mut queue, B).result, Ok(HELD as u32));
    // Another one that is registered in its place is tried.
    drop(queue.remove(socket).unwrap());
    peer.read_to_end(&mut Vec::new()).unwrap();
    let (socket, mut peer) = narrow(&mut queue, 4 << 20);
    queue.start(Operation::send(socket, large(HELD)).zero_copy(), C).unwrap();
    assert_eq!(
        batch(&mut queue, Wait::within(Duration::from_millis(20))).is_empty(),
        is_held(bench)
    );
    let reader = thread::spawn(move || peer.read_exact(&mut vec![0; HELD]));
    if is_held(bench) {
        assert_eq!(done(&mut queue, C).result, Ok(HELD as u32));
    }
    reader.join().unwrap().unwrap();
}

fn a_close_waits_for_what_is_held(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = narrow(&mut queue, 4 << 20);
    queue.start(Operation::send(socket, large(HELD)).zero_copy(), A).unwrap();
    queue.start(Operation::send(socket, buffer(b"behind")), B).unwrap();
    queue.start(Operation::close(socket), C).unwrap();
    if is_held(bench) {
        done(&mut queue, B);
        silent(&mut queue);
    }
    let reader = thread::spawn(move || {
        let mut arrived = Vec::new();
        peer.read_to_end(&mut arrived).unwrap();
        arrived.len()
    });
    let mut first = false;
    let closed = done_of(&mut queue, C, &mut |token, completed| {
        first |= (token, completed.result) == (A, Ok(HELD as u32));
    });
    assert_eq!(closed.result, Ok(0));
    assert!(first || !is_held(bench), "it would have taken the event with it");
    assert_eq!(reader.join().unwrap(), HELD + 6);
    assert_eq!(queue.counters().registered, 0);
}

fn one_that_is_held_can_be_removed(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = narrow(&mut queue, 4 << 20);
    let key = queue.start(Operation::send(socket, large(HELD)).zero_copy(), A).unwrap();
    queue.start(Operation::send(socket, buffer(b"one")), B).unwrap();
    done(&mut queue, B);
    // It is whole: those behind it are understood.
    queue.start(Operation::send(socket, Buffer::from(vec![1; 5000])), C).unwrap();
    assert_eq!(queue.remove(key).is_ok(), is_held(bench));
    let reader = thread::spawn(move || {
        let mut arrived = Vec::new();
        peer.read_to_end(&mut arrived).unwrap();
        arrived.len()
    });
    assert_eq!(done(&mut queue, C).result, Ok(5000));
    queue.start(Operation::close(socket), D).unwrap();
    assert_eq!(done(&mut queue, D).result, Ok(0));
    silent(&mut queue);
    assert_eq!(reader.join().unwrap(), HELD + 3 + 5000);
}

fn one_that_is_held_has_its_result(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = narrow(&mut queue, 4 << 20);
    let send = Operation::send(socket, large(HELD)).zero_copy();
    let key = queue.start(send.within(Duration::from_millis(5)), A).unwrap();
    let mut first = false;
    queue.start(Operation::send(socket, buffer(b"behind")), B).unwrap();
    let behind = done_of(&mut queue, B, &mut |_, completed| {
        assert_eq!(completed.result, Ok(HELD as u32));
        first = true;
    });
    assert_eq!(behind.result, Ok(6));
    if !first {
        // Its time is over, and it is cancelled as well; but all of it has left.
        assert_eq!(wait(&mut queue, Wait::within(Duration::from_millis(20))), Ok(0));
        queue.cancel(key).unwrap();
        silent(&mut queue);
    }
    let reader = thread::spawn(move || peer.read_exact(&mut vec![0; HELD + 6]));
    if !first {
        assert_eq!(done(&mut queue, A).result, Ok(HELD as u32));
    }
    reader.join().unwrap().unwrap();
}

fn one_that_is_cut_short_ends_those_behind_it(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, peer) = narrow(&mut queue, 64 << 10);
    let send = Operation::send(socket, large(900_000)).zero_copy();
    queue.start(send.within(Duration::from_millis(20)), A).unwrap();
    queue.start(Operation::send(socket, buffer(b"behind")), C).unwrap();
    // The kernel lets go of it when the peer is gone.
    let gone = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        drop(peer);
    });
    let completed = done(&mut queue, A);
    assert!(completed.result.is_err_and(|errno| errno.0 == ETIMEDOUT), "{completed:?}");
    assert!(completed.into_buffer().is_some_and(|buffer| buffer.len() == 900_000));
    let completed = done(&mut queue, C);
    assert!(completed.result.is_err_and(|errno| errno.0 == ECANCELED), "{completed:?}");
    gone.join().unwrap();
}

/// A socket with a send that is held, and behind it one of a pool's frames.
fn held_with_another(queue: &mut Queue) -> (Arc<FramePool>, Key, TcpStream) {
    let pool = pool(queue, 4);
    let (socket, peer) = narrow(queue, 4 << 20);
    let mut pooled = pool.allocate().unwrap();
    pooled.append(&[1; 4096]).unwrap();
    queue.start(Operation::send(socket, large(HELD)), A).unwrap();
    queue.start(Operation::send(socket, pooled).zero_copy(), B).unwrap();
    drop(batch(queue, patient()));
    (pool, socket, peer)
}

fn a_socket_that_is_removed_takes_what_is_held_along(bench: &Bench) {
    let mut queue = bench.queue();
    let (pool, socket, mut peer) = held_with_another(&mut queue);
    drop(queue.remove(socket).unwrap());
    silent(&mut queue);
    let mut arrived = Vec::new();
    peer.read_to_end(&mut arrived).unwrap();
    testkit::wait_until("all is home", || {
        queue.wait(Wait::now()).unwrap();
        in_use(&pool) == 0
    });
    assert_eq!(queue.counters().registered, 0);
}

fn a_queue_ends_with_one_that_is_held(bench: &Bench) {
    let mut queue = bench.queue();
    let (pool, _, mut peer) = held_with_another(&mut queue);
    let reader = thread::spawn(move || {
        let mut arrived = Vec::new();
        peer.read_to_end(&mut arrived).unwrap();
    });
    drop(queue);
    reader.join().unwrap();
    testkit::wait_until("all is home", || in_use(&pool) == 0);
}

fn a_peer_that_is_gone_says_so(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, theirs) = testkit::tcp_pair();
    let socket = own(&mut queue, ours);
    drop(theirs);
    // The first one may leave before the answer comes.
    let failed = (0..100).find_map(|_| {
        queue.start(Operation::send(socket, large(10_000)).zero_copy(), A).unwrap();
        let completed = done(&mut queue, A);
        let errno = completed.result.err();
        assert!(completed.into_buffer().is_some());
        errno
    });
    assert!(failed.is_some());
}
