//! Where answers are gathered before they leave: a frame of a pool, or memory of the heap.
//!
//! Answers are written where they are sent from. As a rule that is a frame, which comes back when it
//! was sent, so a request allocates nothing; where the pool has none left, or a batch of answers is
//! larger than a frame, the heap is asked.

use std::sync::Arc;
use ukevent_buf::{Buffer, FramePool};

/// What is taken from the heap is a multiple of this, in bytes: there is little of it, and it is held for
/// as long as a peer takes to read it.
const HEAP_BYTES: usize = 4096;

/// Answers in the making.
#[derive(Debug, Default)]
pub(crate) struct Out {
    buffer: Buffer,
    pool: Option<Arc<FramePool>>,
}

impl Out {
    /// Takes its memory from this pool, if that has some.
    pub(crate) fn new(pool: Arc<FramePool>) -> Self {
        Self { buffer: Buffer::default(), pool: Some(pool) }
    }

    /// How many bytes were gathered.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// What was gathered.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Goes on behind these, which were taken before.
    pub(crate) fn go_on(&mut self, taken: Buffer) {
        debug_assert!(self.buffer.is_empty(), "it is empty between turns");
        self.buffer = taken;
    }

    /// Puts this behind what is there.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if self.buffer.append(bytes).is_err() {
            self.grow(bytes);
        }
    }

    /// Puts all of these behind what is there.
    pub(crate) fn put_all(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.put(part));
    }

    /// What was gathered; nothing is left.
    pub(crate) fn take(&mut self) -> Buffer {
        std::mem::take(&mut self.buffer)
    }

    /// The same with more room.
    #[cold]
    fn grow(&mut self, bytes: &[u8]) {
        if self.buffer.capacity() == 0
            && let Some(frame) = self.pool.as_ref().and_then(|pool| pool.allocate().ok())
            && frame.tailroom() >= bytes.len()
        {
            self.buffer = frame;
        } else {
            let needed = self.buffer.len() + bytes.len();
            let mut larger = Buffer::with_capacity(needed.next_multiple_of(HEAP_BYTES));
            let moved = larger.append(&self.buffer);
            debug_assert!(moved.is_ok(), "it is larger");
            self.buffer = larger;
        }
        let put = self.buffer.append(bytes);
        debug_assert!(put.is_ok(), "room was made");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ukevent_buf::Arena;

    #[test]
    fn grows_beyond_its_frame_and_without_one() {
        let arena = Arena::new(1 << 20).unwrap();
        let pool = Arc::new(FramePool::builder(1, 100).build(&arena).unwrap());
        let mut out = Out::new(Arc::clone(&pool));
        let mut expected = Vec::new();
        let mut kept = Vec::new();
        for round in 0..3 {
            for byte in 0..=200 {
                out.put(&[byte; 7]);
                expected.extend_from_slice(&[byte; 7]);
                assert_eq!(out.len(), expected.len());
                let in_frame = round == 0 && expected.len() <= 100;
                assert_eq!(out.buffer.frame_index().is_some(), in_frame);
            }
            out.put_all(&[&[1; 5000], &[], &[2; 5000]]);
            expected.extend_from_slice(&[1; 5000]);
            expected.extend_from_slice(&[2; 5000]);
            assert_eq!(&out.take()[..], &std::mem::take(&mut expected)[..]);
            assert_eq!(out.len(), 0);
            // The frame is away from now on.
            kept.extend(pool.allocate());
        }
    }
}
