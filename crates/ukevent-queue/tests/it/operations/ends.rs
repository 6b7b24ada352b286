//! How operations end, are ended, and are refused; and that nothing they were lent is lost.

use super::{
    ECANCELED, ENOTSOCK, ETIMEDOUT, buffer, bytes, done, done_any, errno, in_use, own, pair, pool,
};
use crate::bench::{A, B, Bench, C, D, PATIENCE, batch, patient, silent, wait};
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use ukevent_buf::Buffer;
use ukevent_queue::{
    Errno, Fd, Interest, Kind, Mode, Operation, Readiness, Socket, StartRefusal, Timer, Token, Wait,
};

cases! {
    kernels: [
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
        several_completions_can_be_waited_for_at_once,
        a_small_ring_gives_every_buffer_back,
        what_was_not_taken_goes_with_the_registration,
    ],
    alone: [
        without_descriptors_an_operation_fails_alone,
    ],
}

/// Those that watch the queue as a descriptor, which a shared one is not.
mod watched {
    cases_of_one_thread! {
        kernels: [
            what_is_cancelled_or_removed_shows_to_who_watches,
        ],
    }

    use super::what_is_cancelled_or_removed_shows_to_who_watches;
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
