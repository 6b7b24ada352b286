//! The buffer, against a vector with two numbers; on the heap, in a frame, and in a block.

use super::*;
use crate::{Arena, FramePool, NetAllocator};
use proptest::prelude::*;
use std::io::Write;

#[test]
fn is_one_word() {
    assert_eq!(size_of::<Option<Buffer>>(), size_of::<usize>());
}

/// All the memory, where the bytes begin, and how many there are.
struct Naive {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    Prepend(Vec<u8>),
    Advance(usize),
    Retreat(usize),
    SetLen(usize),
    Consume(usize),
    Truncate(usize),
    Clear(usize),
    FillTail(u8),
    FillHead(u8),
    Write(Vec<u8>),
    FreezeAndBack(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..120);
    let size = || prop_oneof![0_usize..150, Just(usize::MAX)];
    let step = prop_oneof![
        bytes().prop_map(Step::Append),
        bytes().prop_map(Step::Prepend),
        size().prop_map(Step::Advance),
        size().prop_map(Step::Retreat),
        size().prop_map(Step::SetLen),
        size().prop_map(Step::Consume),
        size().prop_map(Step::Truncate),
        size().prop_map(Step::Clear),
        any::<u8>().prop_map(Step::FillTail),
        any::<u8>().prop_map(Step::FillHead),
        bytes().prop_map(Step::Write),
        (0_usize..150).prop_map(Step::FreezeAndBack),
    ];
    prop::collection::vec(step, 0..60)
}

impl Naive {
    fn room(&self) -> usize {
        self.memory.len() - self.start - self.len
    }

    /// Does it to both, and compares what they say.
    fn step(&mut self, mut buffer: Buffer, step: Step) -> Buffer {
        let (start, len, room) = (self.start, self.len, self.room());
        let told = |fits: bool, room: usize| {
            if fits { Ok(()) } else { Err(NoRoom { room_bytes: room }) }
        };
        match step {
            Step::Append(bytes) => {
                let fits = bytes.len() <= room;
                assert_eq!(buffer.append(&bytes), told(fits, room));
                if fits {
                    self.memory[start + len..][..bytes.len()].copy_from_slice(&bytes);
                    self.len += bytes.len();
                }
            }
            Step::Prepend(bytes) => {
                let fits = bytes.len() <= start;
                assert_eq!(buffer.prepend(&bytes), told(fits, start));
                if fits {
                    self.start -= bytes.len();
                    self.len += bytes.len();
                    self.memory[self.start..][..bytes.len()].copy_from_slice(&bytes);
                }
            }
            Step::Advance(count) => {
                assert_eq!(buffer.advance(count), told(count <= room, room));
                self.len += if count <= room { count } else { 0 };
            }
            Step::Retreat(count) => {
                assert_eq!(buffer.retreat(count), told(count <= start, start));
                let count = if count <= start { count } else { 0 };
                self.start -= count;
                self.len += count;
            }
            Step::SetLen(to) => {
                assert_eq!(buffer.set_len(to), told(to <= room + len, room + len));
                self.len = if to <= room + len { to } else { len };
            }
            Step::Consume(count) => {
                buffer.consume(count);
                self.start += count.min(len);
                self.len -= count.min(len);
            }
            Step::Truncate(to) => {
                buffer.truncate(to);
                self.len = len.min(to);
            }
            Step::Clear(headroom) => {
                buffer.clear(headroom);
                self.start = headroom.min(self.memory.len());
                self.len = 0;
            }
            Step::FillTail(byte) => {
                buffer.tailroom_mut().fill(byte);
                self.memory[start + len..].fill(byte);
            }
            Step::FillHead(byte) => {
                buffer.headroom_mut().fill(byte);
                self.memory[..start].fill(byte);
            }
            Step::Write(bytes) => {
                let count = bytes.len().min(room);
                assert_eq!(buffer.write(&bytes).unwrap(), count);
                self.memory[start + len..][..count].copy_from_slice(&bytes[..count]);
                self.len += count;
            }
            Step::FreezeAndBack(count) => {
                let mut slice = buffer.freeze();
                let other = slice.clone();
                slice.consume(count);
                if self.memory.is_empty() {
                    return slice.try_into_buffer().expect("nothing is shared of nothing");
                }
                let mut slice = slice.try_into_buffer().expect_err("shared");
                drop(other);
                slice.truncate(len / 2);
                buffer = slice.try_into_buffer().expect("unique");
                self.start += count.min(len);
                self.len = (len - count.min(len)).min(len / 2);
            }
        }
        buffer
    }

    fn agrees(&self, buffer: &mut Buffer) {
        assert_eq!(buffer.capacity(), self.memory.len());
        assert_eq!((buffer.headroom(), buffer.len()), (self.start, self.len));
        assert_eq!((buffer.tailroom(), buffer.is_empty()), (self.room(), self.len == 0));
        assert_eq!(buffer[..], self.memory[self.start..][..self.len]);
        assert_eq!(*buffer.headroom_mut(), self.memory[..self.start]);
        assert_eq!(*buffer.tailroom_mut(), self.memory[self.start + self.len..]);
        assert_eq!(buffer.as_mut_ptr().cast_const(), buffer.as_ptr());
    }
}

fn agrees_over(mut buffer: Buffer, steps: &[Step]) {
    let mut naive = Naive {
        memory: [buffer.headroom_mut().to_vec(), buffer.to_vec(), buffer.tailroom_mut().to_vec()]
            .concat(),
        start: buffer.headroom(),
        len: buffer.len(),
    };
    naive.agrees(&mut buffer);
    for step in steps {
        buffer = naive.step(buffer, step.clone());
        naive.agrees(&mut buffer);
    }
    let bytes = naive.memory[naive.start..][..naive.len].to_vec();
    assert_eq!(Vec::from(buffer), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn agrees_with_a_vector(steps in steps()) {
        let arena = Arena::new(1 << 20).unwrap();
        let pool = FramePool::builder(1, 256).headroom_bytes(40).build(&arena).unwrap();
        let net = NetAllocator::new(&arena);
        agrees_over(pool.allocate().unwrap(), &steps);
        agrees_over(net.allocate_with_headroom(30, 200).unwrap(), &steps);
        agrees_over(Buffer::with_capacity(250), &steps);
        agrees_over(Buffer::from(vec![7; 100]), &steps);
        agrees_over(Buffer::default(), &steps);
        prop_assert_eq!(pool.statistics().unwrap().free, 1);
        prop_assert_eq!(net.statistics().unwrap().blocks, 0);
    }
}

#[test]
fn a_vector_is_not_copied_on_its_way() {
    let mut vec = Vec::with_capacity(1000);
    vec.extend_from_slice(b"abc");
    let place = vec.as_ptr();
    let mut buffer = Buffer::from(vec);
    assert_eq!((buffer.as_ptr(), buffer.len(), buffer.tailroom()), (place, 3, 997));
    assert!(buffer.tailroom_mut().iter().all(|byte| *byte == 0));
    buffer.append(b"def").unwrap();
    let slice = buffer.freeze();
    assert_eq!(slice.as_ptr(), place);
    let vec = Vec::from(slice.try_into_buffer().unwrap());
    assert_eq!((&vec[..], vec.as_ptr(), vec.capacity()), (&b"abcdef"[..], place, 1000));
    let mut buffer = Buffer::from(vec);
    buffer.consume(1);
    assert_eq!(Vec::from(buffer), b"bcdef", "with headroom it is a copy");
}

#[test]
fn heap_memory_is_in_no_arena() {
    let buffer = Buffer::with_capacity(10);
    assert_eq!((buffer.offset_in_arena(), buffer.frame_index()), (None, None));
    assert_eq!(buffer.freeze().offset_in_arena(), None);
}

#[test]
fn those_without_memory_share_nothing() {
    let threads = (0..4).map(|_| {
        std::thread::spawn(|| {
            for _ in 0..1000 {
                let mut buffer = Buffer::default();
                buffer.clear(9);
                buffer.consume(1);
                assert!(buffer.append(b"x").is_err() && buffer.append(b"").is_ok());
                assert!(buffer.freeze().clone().is_empty());
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
}

#[test]
fn prints_sizes_and_no_bytes() {
    let mut buffer = Buffer::from(b"secret".to_vec());
    buffer.consume(2);
    assert_eq!(format!("{buffer:?}"), "Buffer { headroom: 2, len: 4, tailroom: 0, .. }");
}

#[test]
fn goes_to_other_threads() {
    fn is_send<T: Send + Sync + 'static>() {}
    is_send::<Buffer>();
    is_send::<Slice>();
}
