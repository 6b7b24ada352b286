//! Several pieces that leave as one.

use super::{ECANCELED, ETIMEDOUT, buffer, done, errno, in_use, own, pair, pool};
use crate::bench::{A, B, Bench, C, silent};
use crate::subject::Queue;
use std::io::Read;
use std::thread;
use std::time::Duration;
use ukevent_buf::{Buffer, Piece};
use ukevent_queue::{Operation, Payload, StartRefusal};

cases! {
    kernels: [
        pieces_leave_as_one_in_order_and_whole,
        more_pieces_than_one_call_takes_leave_all,
        pieces_take_their_turn_among_what_is_sent,
        pieces_that_say_that_more_follows,
        pieces_are_one_datagram,
        a_datagram_of_too_many_pieces_is_refused,
        shares_do_not_come_back,
        no_pieces_are_sent_as_nothing,
        pieces_that_are_cut_short_end_those_behind_them,
        pieces_that_are_cancelled_come_back,
        pieces_that_are_removed_go_home,
        pieces_count_against_the_bound,
    ],
}

fn pieces_leave_as_one_in_order_and_whole(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let mut expected = Vec::new();
    let pieces = Vec::from_iter((0..60_u32).map(|number| {
        let bytes = number.to_le_bytes().repeat(number as usize % 13 * 3000);
        expected.extend(&bytes);
        Buffer::from(bytes)
    }));
    let lengths = Vec::from_iter(pieces.iter().map(|piece| piece.len()));
    let count = expected.len();
    queue.start(Operation::send_pieces(socket, pieces), A).unwrap();
    let reader = thread::spawn(move || {
        let mut arrived = vec![0; count];
        peer.read_exact(&mut arrived).unwrap();
        arrived
    });
    let completed = done(&mut queue, A);
    assert_eq!(completed.result, Ok(count as u32));
    let back = completed.into_buffers();
    assert_eq!(Vec::from_iter(back.iter().map(|piece| piece.len())), lengths);
    assert!(reader.join().unwrap() == expected);
}

fn more_pieces_than_one_call_takes_leave_all(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let pieces = (0..5000_u32).map(|number| Buffer::from(number.to_le_bytes().repeat(25)));
    let expected = Vec::from_iter((0..5000_u32).flat_map(|number| number.to_le_bytes().repeat(25)));
    queue.start(Operation::send_pieces(socket, pieces), A).unwrap();
    let reader = thread::spawn(move || {
        let mut arrived = vec![0; 500_000];
        peer.read_exact(&mut arrived).unwrap();
        arrived
    });
    let completed = done(&mut queue, A);
    assert_eq!(completed.result, Ok(500_000));
    assert_eq!(completed.into_buffers().len(), 5000);
    assert!(reader.join().unwrap() == expected);
}

fn pieces_take_their_turn_among_what_is_sent(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    queue.start(Operation::send(socket, Buffer::from(vec![1; 400_000])), A).unwrap();
    let two = [Buffer::from(vec![2; 200_000]), Buffer::from(vec![3; 200_000])];
    queue.start(Operation::send_pieces(socket, two), B).unwrap();
    queue.start(Operation::send(socket, buffer(b"end")), C).unwrap();
    let reader = thread::spawn(move || {
        let mut arrived = vec![0; 800_003];
        peer.read_exact(&mut arrived).unwrap();
        arrived
    });
    assert_eq!(done(&mut queue, A).result, Ok(400_000));
    assert_eq!(done(&mut queue, B).result, Ok(400_000));
    assert_eq!(done(&mut queue, C).result, Ok(3));
    let arrived = reader.join().unwrap();
    let expected = [&vec![1; 400_000][..], &vec![2; 200_000], &vec![3; 200_000], b"end"].concat();
    assert!(arrived == expected);
}

fn pieces_that_say_that_more_follows(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, mut theirs) = testkit::tcp_pair();
    let socket = own(&mut queue, ours);
    let head = [buffer(b"one "), buffer(b"two ")];
    queue.start(Operation::send_pieces(socket, head).more(), A).unwrap();
    queue.start(Operation::send_pieces(socket, [buffer(b"three")]), B).unwrap();
    assert_eq!(done(&mut queue, B).result, Ok(5));
    let mut arrived = [0; 13];
    theirs.read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"one two three");
}

fn pieces_are_one_datagram(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, theirs) = testkit::udp_pair();
    let socket = own(&mut queue, ours);
    let pieces = [buffer(b"one"), buffer(b""), buffer(b"two")];
    queue.start(Operation::send_pieces(socket, pieces), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(6));
    let mut arrived = [0; 64];
    assert_eq!(theirs.recv(&mut arrived).unwrap(), 6);
    assert_eq!(&arrived[..6], b"onetwo");
}

fn a_datagram_of_too_many_pieces_is_refused(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, _theirs) = testkit::udp_pair();
    let socket = own(&mut queue, ours);
    let pieces = (0..1025).map(|_| buffer(b"x"));
    let refused = queue.start(Operation::send_pieces(socket, pieces), A).unwrap_err();
    assert!(matches!(refused.reason, StartRefusal::Invalid(_)), "{refused}");
    assert_eq!(refused.operation.into_buffers().len(), 1025);
}

fn shares_do_not_come_back(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let page = buffer(b"body").freeze();
    let mixed = [Piece::from(buffer(b"head ")), Piece::from(page.clone()), buffer(b" tail").into()];
    queue.start(Operation::send_pieces(socket, mixed), A).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(completed.result, Ok(14));
    let back = completed.into_buffers();
    assert_eq!(Vec::from_iter(back.iter().map(|it| &it[..])), [&b"head "[..], b" tail"]);
    assert!(page.is_unique(), "the share is gone");
    queue.start(Operation::send_pieces(socket, [page]), B).unwrap();
    assert_eq!(done(&mut queue, B).payload, Payload::None);
    let mut arrived = [0; 18];
    peer.read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"head body tailbody");
}

fn no_pieces_are_sent_as_nothing(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    queue.start(Operation::send_pieces(socket, Vec::<Buffer>::new()), A).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!((completed.result, completed.payload), (Ok(0), Payload::None));
}

fn pieces_that_are_cut_short_end_those_behind_them(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let pieces = [Buffer::from(vec![1; 400_000]), Buffer::from(vec![1; 500_000])];
    let large = Operation::send_pieces(socket, pieces).within(Duration::from_millis(20));
    queue.start(large, A).unwrap();
    queue.start(Operation::send_pieces(socket, [buffer(b"behind")]), B).unwrap();
    queue.start(Operation::close(socket), C).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(errno(&completed), ETIMEDOUT);
    assert_eq!(completed.into_buffers().len(), 2);
    let completed = done(&mut queue, B);
    assert_eq!(errno(&completed), ECANCELED);
    assert_eq!(&completed.into_buffers()[0][..], b"behind");
    let mut arrived = Vec::new();
    assert_eq!(done(&mut queue, C).result, Ok(0));
    peer.read_to_end(&mut arrived).unwrap();
    assert!(arrived.len() < 900_000 && arrived.iter().all(|&byte| byte == 1));
}

fn pieces_that_are_cancelled_come_back(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    for begun in [false, true] {
        let pieces = [Buffer::from(vec![0; 400_000]), Buffer::from(vec![0; 400_000])];
        let key = queue.start(Operation::send_pieces(socket, pieces), A).unwrap();
        if begun {
            silent(&mut queue);
        }
        queue.cancel(key).unwrap();
        let completed = done(&mut queue, A);
        assert_eq!(errno(&completed), ECANCELED);
        assert_eq!(completed.into_buffers().len(), 2);
    }
}

fn pieces_that_are_removed_go_home(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 4);
    let (socket, _peer) = pair(&mut queue);
    let start = |queue: &mut Queue| {
        let pooled = pool.allocate().unwrap();
        let pieces = [Buffer::from(vec![0; 900_000]), pooled];
        let key = queue.start(Operation::send_pieces(socket, pieces), A).unwrap();
        silent(queue);
        assert_eq!(in_use(&pool), 1);
        key
    };
    let key = start(&mut queue);
    queue.remove(key).unwrap();
    silent(&mut queue);
    assert_eq!(in_use(&pool), 0);
    start(&mut queue);
    drop(queue);
    testkit::wait_until("all is home", || in_use(&pool) == 0);
}

fn pieces_count_against_the_bound(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    let pieces = || [Buffer::from(vec![0; 300_000]), Buffer::from(vec![0; 300_000])];
    queue.start(Operation::send_pieces(socket, pieces()), A).unwrap();
    let refused = queue.start(Operation::send_pieces(socket, pieces()), B).unwrap_err();
    assert_eq!(refused.reason, StartRefusal::Full);
    assert_eq!(refused.operation.into_buffers().len(), 2);
}
