//! The slice, against a vector; and who frees the memory.

use super::*;
use crate::{Arena, FramePool, NetAllocator};
use bytes::Bytes;
use std::collections::HashSet;

fn in_all_memories(test: impl Fn(Buffer)) {
    let arena = Arena::new(1 << 20).unwrap();
    let pool = FramePool::builder(2, 1024).headroom_bytes(10).build(&arena).unwrap();
    let net = NetAllocator::new(&arena);
    test(pool.allocate().unwrap());
    test(net.allocate_with_headroom(10, 1000).unwrap());
    test(Buffer::with_capacity(1000));
    assert_eq!(pool.statistics().unwrap().free, 2, "everything came back");
    assert_eq!(net.statistics().unwrap().blocks, 0);
}

/// A buffer with these bytes.
fn with(mut buffer: Buffer, bytes: &[u8]) -> Buffer {
    buffer.append(bytes).unwrap();
    buffer
}

#[test]
fn cutting_agrees_with_a_vector() {
    in_all_memories(|buffer| {
        let mut rng = testkit::Rng::seeded();
        let mut bytes = vec![0; 900];
        rng.fill(&mut bytes);
        let mut slices = vec![(with(buffer, &bytes).freeze(), bytes)];
        for _ in 0..2000 {
            let number = rng.below(slices.len() as u64) as usize;
            let (slice, bytes) = &mut slices[number];
            let (begin, end) = (rng.below(20) as usize, rng.below(1000) as usize);
            match rng.below(7) {
                0 => {
                    let part = slice.slice(begin..end);
                    assert_eq!(part.as_deref(), bytes.get(begin..end));
                    if let Some(part) = part {
                        slices.push((part, slices[number].1[begin..end].to_vec()));
                    }
                }
                1 => {
                    let part = slice.split_to(begin);
                    assert_eq!(part.is_some(), begin <= bytes.len());
                    if let Some(part) = part {
                        let rest = bytes.split_off(begin);
                        let part_bytes = std::mem::replace(bytes, rest);
                        slices.push((part, part_bytes));
                    }
                }
                2 => {
                    let part = slice.split_off(end);
                    assert_eq!(part.is_some(), end <= bytes.len());
                    if let Some(part) = part {
                        let rest = bytes.split_off(end);
                        slices.push((part, rest));
                    }
                }
                3 => {
                    slice.consume(begin);
                    bytes.drain(..begin.min(bytes.len()));
                }
                4 => {
                    slice.truncate(end);
                    bytes.truncate(end);
                }
                5 => {
                    let copy = slice.clone();
                    slices.push((copy, slices[number].1.clone()));
                }
                _ if slices.len() > 1 => drop(slices.swap_remove(number)),
                _ => {}
            }
            for (slice, bytes) in &slices {
                assert_eq!((&slice[..], slice.len()), (&bytes[..], bytes.len()));
            }
            slices.truncate(30);
        }
    });
}

#[test]
fn ranges_that_are_not_inside_give_nothing() {
    let slice = Slice::from_static(b"0123456789");
    assert_eq!(slice.slice(2..=3).as_deref(), Some(&b"23"[..]));
    assert_eq!(slice.slice(..).as_deref(), Some(&b"0123456789"[..]));
    assert_eq!(slice.slice(10..).as_deref(), Some(&b""[..]));
    assert_eq!((Bound::Excluded(7), Bound::Unbounded).start_bound(), Bound::Excluded(&7));
    assert_eq!(slice.slice((Bound::Excluded(7), Bound::Unbounded)).as_deref(), Some(&b"89"[..]));
    assert!(slice.slice(11..).is_none() && slice.slice(..11).is_none());
    assert!(slice.slice(std::ops::Range { start: 5, end: 4 }).is_none());
    assert!(slice.slice(..=usize::MAX).is_none());
    assert!(slice.slice((Bound::Excluded(usize::MAX), Bound::Unbounded)).is_none());
}

#[test]
fn only_the_last_may_write() {
    in_all_memories(|buffer| {
        let slice = with(buffer, b"0123456789").freeze();
        assert!(slice.is_unique());
        let part = slice.slice(3..5).unwrap();
        assert!(!slice.is_unique() && !part.is_unique());
        let slice = slice.try_into_buffer().unwrap_err();
        assert_eq!(&slice[..], b"0123456789");
        drop(slice);
        assert!(part.is_unique());
        let mut buffer = part.try_into_buffer().unwrap();
        assert_eq!(&buffer[..], b"34");
        buffer.retreat(3).unwrap();
        buffer.advance(5).unwrap();
        assert_eq!(&buffer[..], b"0123456789", "the rest is around it");
        buffer[0] = b'x';
        assert_eq!(&buffer.freeze()[..2], b"x1");
    });
}

#[test]
fn the_last_in_any_thread_frees() {
    in_all_memories(|buffer| {
        let slice = with(buffer, &[5; 500]).freeze();
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let mut mine = slice.clone();
                std::thread::spawn(move || {
                    let parts: Vec<_> = std::iter::from_fn(|| mine.split_to(10 + number)).collect();
                    assert!(parts.iter().all(|part| part.iter().all(|byte| *byte == 5)));
                })
            })
            .collect();
        drop(slice);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn bytes_are_not_copied_either_way() {
    in_all_memories(|buffer| {
        let slice = with(buffer, b"0123456789").freeze();
        let place = slice.as_ptr();
        let bytes = Bytes::from(slice.clone());
        assert_eq!((bytes.as_ptr(), &bytes[..]), (place, &b"0123456789"[..]));
        drop(slice);
        let part = bytes.slice(2..6);
        drop(bytes);
        let slice = Slice::from(part);
        assert_eq!((&slice[..], slice.as_ptr()), (&b"2345"[..], place.wrapping_add(2)));
        let rest = slice.slice(1..).unwrap();
        assert!(rest.try_into_buffer().is_err(), "others may know of it");
        let bytes = Bytes::from(slice);
        assert_eq!((&bytes[..], bytes.as_ptr()), (&b"2345"[..], place.wrapping_add(2)));
        std::thread::spawn(move || drop(bytes)).join().unwrap();
    });
    let buffer = Buffer::from(vec![1, 2, 3]);
    let place = buffer.as_ptr();
    assert_eq!(Bytes::from(buffer).as_ptr(), place);
    for bytes in [Bytes::new(), Bytes::from_static(b"x"), Bytes::from(vec![1, 2])] {
        let slice = Slice::from(bytes.clone());
        assert_eq!(slice[..], bytes[..]);
        assert_eq!(Bytes::from(slice.slice(..).unwrap()), bytes);
    }
}

#[test]
fn static_bytes_are_not_counted() {
    const HELLO: Slice = Slice::from_static(b"hello");
    let hello = HELLO;
    let ell = hello.slice(1..4).unwrap();
    assert!(!ell.is_unique() && ell.offset_in_arena().is_none());
    let bytes = Bytes::from(ell.clone());
    assert_eq!(&bytes[..], b"ell");
    assert!(ell.try_into_buffer().is_err());
    assert_eq!(Slice::default(), Slice::from(Vec::new()));
    assert!(Slice::default().try_into_buffer().unwrap().is_empty());
}

#[test]
fn compares_by_its_bytes() {
    let (one, two) = (Slice::from(vec![1, 2]), Slice::from(Bytes::from(vec![1, 2])));
    assert_eq!(one, two);
    assert_ne!(one, Slice::from_static(b"x"));
    assert_eq!(HashSet::from([one, two]).len(), 1);
    assert_eq!(format!("{:?}", Slice::from_static(b"secret")), "Slice { len: 6, .. }");
}
