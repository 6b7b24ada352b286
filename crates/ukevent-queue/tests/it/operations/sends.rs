//! Sends: in order, whole, bounded; and what closes a side or all.

use super::{ECANCELED, EPIPE, ETIMEDOUT, buffer, bytes, completed, done, done_of, errno, pair};
use crate::bench::{A, B, Bench, C, PATIENCE, batch, patient, silent, wait};
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;
use ukevent_buf::Buffer;
use ukevent_queue::{Direction, Fd, Mode, Operation, StartRefusal, Timer, Token};

cases! {
    kernels: [
        sends_leave_in_order_and_whole,
        all_of_a_line_can_be_waited_for,
        a_line_goes_on_when_the_time_of_its_first_is_over,
        a_send_is_whole_though_it_does_not_fit_at_once,
        outgoing_bytes_are_bounded_and_full_ends,
        a_share_of_a_buffer_can_be_sent,
        a_send_to_nobody_fails_and_gives_the_buffer_back,
        a_send_that_is_cut_short_ends_those_behind_it,
        a_side_is_closed_after_what_was_sent_before,
        closing_comes_after_what_was_sent_and_closes,
        what_ended_before_a_close_is_told_after_it,
    ],
    alone: [
        what_was_not_submitted_finds_no_other_file,
    ],
}

fn all_of_a_line_can_be_waited_for(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    for _ in 0..150 {
        queue.start(Operation::send(socket, buffer(b"x")), A).unwrap();
    }
    assert_eq!(wait(&mut queue, patient().at_least(150)), Ok(150));
}

fn a_line_goes_on_when_the_time_of_its_first_is_over(bench: &Bench) {
    const TIME: Duration = Duration::from_millis(20);
    let mut queue = bench.queue();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let writer = queue.register(Fd::new(writer).unwatched(), Token(99), Mode::Level).unwrap();
    // As much as a pipe holds; then one that does not fit, and one behind it.
    queue.start(Operation::write(writer, buffer(&[0; 1 << 16]), 0), A).unwrap();
    queue.start(Operation::write(writer, buffer(&[0; 4096]), 0).within(TIME), B).unwrap();
    queue.start(Operation::write(writer, buffer(&[1; 4096]), 0), C).unwrap();
    assert_eq!(batch(&mut queue, patient()).len(), 1);
    thread::sleep(TIME);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(TIME);
            reader.read_exact(&mut [0; 1 << 16]).unwrap();
        });
        assert_eq!(wait(&mut queue, patient().at_least(2)), Ok(2));
    });
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
    // What sends nothing is no more of it: its end says that all before it have left.
    queue.start(Operation::send(socket, Buffer::default()), Token(1000)).expect("it is nothing");
    let reader = thread::spawn(move || {
        let mut arrived = Vec::new();
        peer.read_to_end(&mut arrived).unwrap();
        arrived.len()
    });
    assert_eq!(done(&mut queue, Token(0)).result, Ok(300_000));
    queue.start(Operation::send(socket, back), Token(started)).expect("there is room again");
    let mut before = Vec::new();
    done_of(&mut queue, Token(1000), &mut |token, _| before.push(token));
    assert_eq!(before, (1..started).map(Token).collect::<Vec<_>>());
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

fn what_ended_before_a_close_is_told_after_it(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    for token in [A, B] {
        queue.start(Operation::send(socket, buffer(b"all of it")), token).unwrap();
    }
    queue.start(Operation::close(socket), C).unwrap();
    let events = batch(&mut queue, patient().at_least(3));
    assert_eq!(crate::bench::tokens(&events), [A, B, C]);
    drop(events);
    let mut arrived = Vec::new();
    peer.read_to_end(&mut arrived).unwrap();
    assert_eq!(arrived, b"all of itall of it");
    assert_eq!(queue.counters().registered, 0);
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
