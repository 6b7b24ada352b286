//! A reader that pauses when there is no memory, and goes on when there is: with threads that sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::thread::{self, Thread};
use ukevent_buf::{AllocateError, Arena, Buffer, FramePool, NetAllocator, ring};

/// Ends a thread's sleep.
struct Unpark {
    thread: Thread,
    is_due: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Unpark {
    fn new() -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), is_due: AtomicBool::new(false) })
    }

    fn sleep(&self) {
        while !self.is_due.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Allocates, and sleeps while there is nothing; others free. A lost wake-up would hang this.
fn stream(allocate: impl Fn() -> Result<Buffer, AllocateError>, unpark: &Unpark, packets: usize) {
    let (senders, threads): (Vec<_>, Vec<_>) = (0..3)
        .map(|_| {
            let (producer, mut consumer) = ring::<Buffer>(4);
            let free = move || {
                while !(consumer.is_closed() && consumer.is_empty()) {
                    if consumer.pop().is_none() {
                        thread::yield_now();
                    }
                }
            };
            (producer, thread::spawn(free))
        })
        .unzip();
    let mut senders = senders;
    let mut pauses = 0;
    for packet in 0..packets {
        let mut buffer = loop {
            match allocate() {
                Ok(buffer) => break buffer,
                Err(error) => {
                    assert_eq!(error, AllocateError::Full);
                    pauses += 1;
                    unpark.sleep();
                }
            }
        };
        buffer.append(&packet.to_le_bytes()).unwrap();
        while let Err(back) = senders[packet % 3].push(buffer) {
            buffer = back;
            thread::yield_now();
        }
    }
    drop(senders);
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(pauses > 0, "there was not always memory");
}

#[test]
fn a_stream_from_a_pool_pauses_and_resumes() {
    let _count = testkit::count_descriptors();
    let unpark = Unpark::new();
    let arena = Arena::new(1 << 20).unwrap();
    let sketch = FramePool::builder(4, 2048).waker(unpark.clone().into());
    let pool = sketch.build(&arena).unwrap();
    stream(|| pool.allocate(), &unpark, 20_000);
    assert_eq!(pool.statistics().unwrap().free, 4);
}

#[test]
fn a_stream_from_an_allocator_pauses_and_resumes() {
    let _count = testkit::count_descriptors();
    let unpark = Unpark::new();
    let arena = Arena::builder(32 << 10).region_bytes(16 << 10).build().unwrap();
    let net = NetAllocator::builder(&arena).waker(unpark.clone().into()).build().unwrap();
    stream(|| net.allocate(7000), &unpark, 20_000);
    assert_eq!(net.statistics().unwrap().blocks, 0);
}

/// Two allocators of one region: each sleeps until the other has given it back.
#[test]
fn a_region_goes_to_and_fro() {
    let _count = testkit::count_descriptors();
    let arena = Arena::builder(64 << 10).region_bytes(64 << 10).build().unwrap();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let arena = arena.clone();
            thread::spawn(move || {
                let unpark = Unpark::new();
                let builder = NetAllocator::builder(&arena).waker(unpark.clone().into());
                let net = builder.build().unwrap();
                for _ in 0..500 {
                    let buffer = loop {
                        match net.allocate(60_000) {
                            Ok(buffer) => break buffer,
                            Err(_) => unpark.sleep(),
                        }
                    };
                    drop(buffer);
                    net.trim().unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(arena.statistics().free_bytes, 64 << 10);
}
