//! Files and pipes: read, written, sent.

use super::{buffer, bytes, done, done_any, own, pair};
use crate::bench::{A, B, Bench, C, D, silent};
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::thread;
use ukevent_buf::Buffer;
use ukevent_queue::{Operation, Payload, StartRefusal, Token};

cases! {
    kernels: [
        a_file_is_sent_behind_what_was_sent_before,
        a_file_is_read_and_written_at_places,
        a_file_reaches_its_device_and_tells_of_itself,
        a_pipe_is_read_and_written,
        a_device_that_is_always_ready_is_written,
        a_file_is_sent_over_a_socket_that_blocks,
        writes_to_a_pipe_leave_in_order,
        writes_to_a_pipe_are_bounded,
    ],
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

fn a_device_that_is_always_ready_is_written(bench: &Bench) {
    let mut queue = bench.queue();
    let null = std::fs::File::options().write(true).open("/dev/null").unwrap();
    let null = own(&mut queue, null);
    // In more than one step, of which each waits until it is ready.
    queue.start(Operation::write(null, vec![7; 100_000], 0), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(100_000));
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

fn writes_to_a_pipe_are_bounded(bench: &Bench) {
    let mut queue = bench.queue();
    let (_reader, writer) = std::io::pipe().unwrap();
    let writer = own(&mut queue, writer);
    queue.start(Operation::write(writer, buffer(&[0; 1 << 20]), 0), A).unwrap();
    let refused = queue.start(Operation::write(writer, buffer(&[0; 1 << 20]), 0), B).unwrap_err();
    assert_eq!(refused.reason, StartRefusal::Full);
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
