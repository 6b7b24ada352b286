//! A bounded ring between two threads: one puts in, one takes out, neither waits for the other.
//!
//! The two positions only grow; each is written by one side and read by the other, which keeps the
//! last value it saw and looks again only when that says full or empty (Lamport, 1977; the copies are
//! those of FastForward and MCRingBuffer). So with batches the cache lines of the positions travel once
//! for many items.

use crate::primitive::{Arc, AtomicBool, AtomicU64, Ordering, Padded, UnsafeCell};
use std::mem::MaybeUninit;

struct Places<T> {
    items: Box<[UnsafeCell<MaybeUninit<T>>]>,
    /// How many came out; written by the consumer.
    head: Padded<AtomicU64>,
    /// How many went in; written by the producer.
    tail: Padded<AtomicU64>,
    is_closed: AtomicBool,
}

// SAFETY: an item is reached by one side at a time: by the producer before `tail` passes it, by the
// consumer from then until `head` does. It travels between threads, hence `Send`.
unsafe impl<T: Send> Send for Places<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Places<T> {}

impl<T> Places<T> {
    #[inline]
    fn item(&self, position: u64) -> &UnsafeCell<MaybeUninit<T>> {
        &self.items[position as usize & (self.items.len() - 1)]
    }

    const fn capacity(&self) -> u64 {
        self.items.len() as u64
    }
}

impl<T> Drop for Places<T> {
    fn drop(&mut self) {
        let (head, tail) = (self.head.load(Ordering::Relaxed), self.tail.load(Ordering::Relaxed));
        for position in head..tail {
            // SAFETY: both sides are gone; these went in and did not come out.
            self.item(position).with_mut(|item| unsafe { (*item).assume_init_drop() });
        }
    }
}

/// A ring for at least `capacity` items, rounded up to a power of two: its two ends.
///
/// Allocates once, here. What is in it when both ends are gone is dropped.
///
/// ```
/// use ukevent_buf::{Buffer, ring};
///
/// let (mut producer, mut consumer) = ring::<Buffer>(256);
/// let thread = std::thread::spawn(move || {
///     let packets = (0..100).map(|n| Buffer::from(vec![n; 60]));
///     assert_eq!(producer.push_all(packets), 100);
/// });
/// thread.join().unwrap();
/// assert_eq!(consumer.pop().unwrap()[..], [0; 60]);
/// assert_eq!(consumer.pop_all(32).count(), 32);
/// assert!(consumer.is_closed() && consumer.len() == 67);
/// ```
#[must_use]
pub fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.max(1).next_power_of_two();
    let places = Arc::new(Places {
        items: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        head: Padded(AtomicU64::new(0)),
        tail: Padded(AtomicU64::new(0)),
        is_closed: AtomicBool::new(false),
    });
    (
        Producer { places: places.clone(), tail: 0, head_seen: 0 },
        Consumer { places, head: 0, tail_seen: 0 },
    )
}

/// The end of a [`ring`] where items go in. Dropping it closes the ring; what is in it can still be
/// taken out.
pub struct Producer<T> {
    places: Arc<Places<T>>,
    tail: u64,
    head_seen: u64,
}

impl<T> Producer<T> {
    /// Puts an item in. Never blocks or allocates.
    ///
    /// # Errors
    /// The item, if the ring is full.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.tail - self.head_seen == self.places.capacity() && self.look() == 0 {
            return Err(item);
        }
        self.write(item);
        self.publish();
        Ok(())
    }

    /// Puts items in until there is no more, or no more place; how many. The consumer sees them all
    /// at once. Takes no item that it has no place for.
    #[inline]
    pub fn push_all(&mut self, items: impl IntoIterator<Item = T>) -> usize {
        let before = self.tail;
        let mut items = items.into_iter();
        let mut room = self.places.capacity() - (self.tail - self.head_seen);
        loop {
            if room == 0 {
                room = self.look();
                if room == 0 {
                    break;
                }
            }
            let Some(item) = items.next() else { break };
            self.write(item);
            room -= 1;
        }
        self.publish();
        (self.tail - before) as usize
    }

    /// Looks how far the consumer is; how many places there are.
    #[cold]
    fn look(&mut self) -> u64 {
        // Acquire: the consumer has read the places before they are written again.
        self.head_seen = self.places.head.load(Ordering::Acquire);
        self.places.capacity() - (self.tail - self.head_seen)
    }

    #[inline]
    fn write(&mut self, item: T) {
        // SAFETY: the place is free, as the callers have seen, and not published.
        self.places.item(self.tail).with_mut(|place| unsafe { (*place).write(item) });
        self.tail += 1;
    }

    #[inline]
    fn publish(&self) {
        self.places.tail.store(self.tail, Ordering::Release);
    }

    /// How many items it has place for at least.
    #[must_use]
    pub fn room(&mut self) -> usize {
        self.look() as usize
    }

    /// How many items it holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.places.items.len()
    }

    /// Whether the consumer is gone: nobody will take anything out.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.places.is_closed.load(Ordering::Acquire)
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.publish();
        self.places.is_closed.store(true, Ordering::Release);
    }
}

impl<T> std::fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// The end of a [`ring`] where items come out. Dropping it closes the ring; what is in it is dropped
/// with the producer.
pub struct Consumer<T> {
    places: Arc<Places<T>>,
    head: u64,
    tail_seen: u64,
}

impl<T> Consumer<T> {
    /// Takes the oldest item out. Never blocks. `None` if the ring is empty.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen && self.look() == 0 {
            return None;
        }
        let item = self.read();
        self.publish();
        Some(item)
    }

    /// Takes out what is in it, but at most so many. The places are free again, all at once, when the
    /// iterator is dropped; what it has not given out stays in the ring.
    pub fn pop_all(&mut self, at_most: usize) -> impl Iterator<Item = T> {
        let left = self.look().min(at_most as u64);
        Batch { consumer: self, left }
    }

    /// Looks how far the producer is; how many items there are.
    fn look(&mut self) -> u64 {
        // Acquire: the items were written before.
        self.tail_seen = self.places.tail.load(Ordering::Acquire);
        self.tail_seen - self.head
    }

    #[inline]
    fn read(&mut self) -> T {
        let place = self.places.item(self.head);
        self.head += 1;
        // SAFETY: published, and read once: `head` has passed it.
        place.with(|item| unsafe { (*item).assume_init_read() })
    }

    #[inline]
    fn publish(&self) {
        self.places.head.store(self.head, Ordering::Release);
    }

    /// How many items are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.places.tail.load(Ordering::Acquire) - self.head) as usize
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the producer is gone: nothing will come after what is in it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.places.is_closed.load(Ordering::Acquire)
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        // A batch that was leaked has not said what it took.
        self.publish();
        self.places.is_closed.store(true, Ordering::Release);
    }
}

impl<T> std::fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Takes out a known number of items.
struct Batch<'a, T> {
    consumer: &'a mut Consumer<T>,
    left: u64,
}

impl<T> Iterator for Batch<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        Some(self.consumer.read())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl<T> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        self.consumer.publish();
    }
}

#[cfg(test)]
mod tests;
