//! Provided buffers.

use super::*;
use std::io::Write;
use testkit::{tcp_pair, unix_pair};

const GROUP: u16 = 7;

fn each<L>(fd: &impl AsRawFd) -> Operation<L> {
    Operation::ReceiveEach { fd: fd.as_raw_fd(), group: GROUP, most_bytes: 0 }
}

fn room() -> Vec<u8> {
    Vec::with_capacity(16)
}

#[test]
fn each_receive_takes_a_buffer() {
    let mut ring: Ring<Vec<u8>> = ring!();
    ring.add_group(GROUP, 4).unwrap();
    for _ in 0..4 {
        ring.provide(GROUP, room()).unwrap();
    }
    assert!(ring.provide(GROUP, room()).is_err());
    let (left, mut right) = unix_pair();
    let (word, _) = start(&mut ring, each(&left));
    // Round the group's ring several times.
    for round in 0..50 {
        right.write_all(&[round; 3]).unwrap();
        let completed = next(&mut ring);
        assert_eq!((completed.user_data, completed.result, completed.more), (word, 3, true));
        let mut taken = buffer(completed.load);
        assert_eq!(taken, [round; 3]);
        assert_eq!(ring.provided(GROUP), 3);
        taken.clear();
        ring.provide(GROUP, taken).unwrap();
    }
    drop(right);
    let ended = next(&mut ring);
    assert_eq!((ended.result, ended.more), (0, false));
    assert_eq!(ring.flights(), 0);
}

#[test]
fn what_does_not_fit_takes_more_buffers() {
    let mut ring: Ring<Vec<u8>> = ring!();
    ring.add_group(GROUP, 8).unwrap();
    (0..8).for_each(|_| ring.provide(GROUP, room()).unwrap());
    let (left, mut right) = tcp_pair();
    right.write_all(&[1; 40]).unwrap();
    start(&mut ring, each(&left));
    let mut got = 0;
    while got < 40 {
        let completed = next(&mut ring);
        let taken = buffer(completed.load);
        assert_eq!(taken.len(), completed.result as usize);
        got += taken.len();
    }
    assert_eq!(got, 40);
}

#[test]
fn an_empty_group_ends_it_and_a_refilled_one_serves_again() {
    let mut ring: Ring<Vec<u8>> = ring!();
    ring.add_group(GROUP, 2).unwrap();
    let (left, mut right) = unix_pair();
    right.write_all(b"first").unwrap();
    start(&mut ring, each(&left));
    let refused = next(&mut ring);
    assert_eq!((refused.result, refused.more), (-libc::ENOBUFS, false));
    ring.provide(GROUP, room()).unwrap();
    start(&mut ring, each(&left));
    let served = next(&mut ring);
    assert_eq!((served.result, buffer(served.load)), (5, b"first".to_vec()));
    // It goes on, until the next bytes find no buffer.
    right.write_all(b"second").unwrap();
    let refused = if served.more { next(&mut ring) } else { served_again(&mut ring, &left) };
    assert_eq!((refused.result, refused.more), (-libc::ENOBUFS, false));
    assert_eq!(ring.flights(), 0);
    // Nothing was lost.
    ring.provide(GROUP, room()).unwrap();
    start(&mut ring, each(&left));
    assert_eq!(buffer(next(&mut ring).load), b"second");
}

fn served_again(ring: &mut Ring<Vec<u8>>, left: &impl AsRawFd) -> Completed<Vec<u8>> {
    start(ring, each(left));
    next(ring)
}

#[test]
fn many_connections_share_a_group() {
    let mut ring: Ring<Vec<u8>> = ring!();
    ring.add_group(GROUP, 64).unwrap();
    (0..64).for_each(|_| ring.provide(GROUP, room()).unwrap());
    let pairs: Vec<_> = (0..30).map(|_| unix_pair()).collect();
    let words: Vec<u64> = pairs.iter().map(|(left, _)| start(&mut ring, each(left)).0).collect();
    for (index, (_, right)) in pairs.iter().enumerate().rev() {
        (&*right).write_all(&[index as u8; 2]).unwrap();
    }
    for _ in 0..30 {
        let completed = next(&mut ring);
        let index = words.iter().position(|&word| word == completed.user_data).unwrap();
        assert_eq!(buffer(completed.load), [index as u8; 2]);
    }
}

#[test]
fn cancelled_it_ends_and_the_buffers_come_back() {
    let mut ring: Ring<Watched> = ring!();
    ring.add_group(GROUP, 4).unwrap();
    let regions: Vec<_> = (0..4)
        .map(|_| {
            let lent = Watched::new(0, 16);
            let region = lent.memory;
            assert!(ring.provide(GROUP, lent).is_ok());
            region
        })
        .collect();
    let (left, _right) = unix_pair();
    let (word, flight) = start(&mut ring, each(&left));
    submit(&mut ring);
    assert_eq!(ring.remove_group(GROUP).err().map(Error::errno), Some(libc::EBUSY));
    assert!(ring.cancel_flight(flight));
    let ended = next(&mut ring);
    assert_eq!((ended.user_data, ended.result, ended.more), (word, -libc::ECANCELED, false));
    let back = ring.remove_group(GROUP).unwrap();
    assert_eq!(back.len(), 4);
    assert!(!regions.iter().any(|region| region.is_dropped()));
    assert_eq!(ring.remove_group(GROUP).err().map(Error::errno), Some(libc::ENOENT));
    // The number is free again.
    ring.add_group(GROUP, 1).unwrap();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let errno = |done: Result<()>| done.err().map(Error::errno);
    assert_eq!(errno(ring.add_group(GROUP, 0)), Some(libc::EINVAL));
    assert_eq!(errno(ring.add_group(GROUP, 32_769)), Some(libc::EINVAL));
    assert_eq!(errno(ring.add_group(GROUP, 32_768)), None);
    assert_eq!(errno(ring.add_group(GROUP, 1)), Some(libc::EEXIST));
    assert_eq!(ring.provide(GROUP + 1, room()), Err(room()));
    // One without room would look like the end of a stream.
    assert_eq!(ring.provide(GROUP, Vec::new()), Err(Vec::new()));
    let (left, mut right) = unix_pair();
    right.write_all(b"x").unwrap();
    let operation = Operation::ReceiveEach { fd: left.as_raw_fd(), group: 99, most_bytes: 0 };
    assert_eq!(perform(&mut ring, operation).0, -libc::ENOBUFS);
}

#[test]
fn a_number_may_be_used_as_often_as_it_likes() {
    let mut ring: Ring<Vec<u8>> = ring!();
    ring.add_group(GROUP, 1).unwrap();
    let (left, mut right) = unix_pair();
    let mut lent = room();
    // The tail's word goes round.
    for round in 0..70_000_u32 {
        lent.clear();
        ring.provide(GROUP, lent).unwrap();
        right.write_all(&round.to_ne_bytes()).unwrap();
        if ring.flights() == 0 {
            start(&mut ring, each(&left));
        }
        let completed = next(&mut ring);
        lent = buffer(completed.load);
        assert_eq!(lent, round.to_ne_bytes());
    }
}
