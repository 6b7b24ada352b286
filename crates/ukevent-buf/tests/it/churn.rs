//! Ten million random operations by four threads that hand each other what they have: nothing is lost,
//! nothing is lent twice, nothing is written by two.

use std::collections::VecDeque;
use std::thread;
use testkit::Rng;
use ukevent_buf::{
    AllocateError, Arena, Buffer, Consumer, FramePool, Loan, NetAllocator, Producer,
};
use ukevent_buf::{Slice, ring};

const THREADS: usize = 4;
const OPERATIONS: usize = 10_000_000;

/// What travels: memory, and the stamp that is at both its ends.
enum Parcel {
    Buffer(Buffer, u64),
    Slice(Slice, u64),
}

impl Parcel {
    fn new(mut buffer: Buffer, len: usize, stamp: u64) -> Self {
        buffer.set_len(len).expect("so much was asked for");
        buffer[..8].copy_from_slice(&stamp.to_le_bytes());
        buffer[len - 8..].copy_from_slice(&stamp.to_le_bytes());
        Self::Buffer(buffer, stamp)
    }

    fn check(&self) {
        let (bytes, stamp): (&[u8], _) = match self {
            Self::Buffer(buffer, stamp) => (buffer, *stamp),
            Self::Slice(slice, stamp) => (slice, *stamp),
        };
        assert_eq!(bytes[..8], stamp.to_le_bytes());
        assert_eq!(bytes[bytes.len() - 8..], stamp.to_le_bytes());
    }
}

/// One thread, what it owns, and what it has of all.
struct Actor {
    pool: FramePool,
    net: NetAllocator,
    rng: Rng,
    next_stamp: u64,
    held: VecDeque<Parcel>,
    at_kernel: Vec<Loan>,
    /// To each of the others, and from each.
    to: Vec<Producer<Parcel>>,
    from: Vec<Consumer<Parcel>>,
    fulls: u64,
}

impl Actor {
    fn stamp(&mut self) -> u64 {
        self.next_stamp += 1;
        self.next_stamp
    }

    fn step(&mut self) {
        match self.rng.below(16) {
            0..=2 => self.allocate_frame(),
            3..=5 => self.allocate_block(),
            6 => self.share(),
            7 | 8 => self.send(),
            9 | 10 => self.receive(),
            11 => self.lend(),
            12 => self.take_back(),
            13 => self.write_again(),
            _ => self.free(),
        }
        // As many as are taken are given: keep the amount in bounds.
        while self.held.len() > 300 {
            self.free();
        }
    }

    fn any_held(&mut self) -> Option<Parcel> {
        let place = self.rng.below(self.held.len().max(1) as u64) as usize;
        self.held.swap_remove_back(place)
    }

    fn allocate_frame(&mut self) {
        let stamp = self.stamp();
        match self.pool.allocate() {
            Ok(buffer) => self.held.push_back(Parcel::new(buffer, 1000, stamp)),
            Err(error) => self.full(error),
        }
    }

    fn allocate_block(&mut self) {
        let stamp = self.stamp();
        let bits = self.rng.below(8);
        let bytes = 64 + self.rng.below(64 << bits) as usize;
        match self.net.allocate_with_headroom(16, bytes) {
            Ok(buffer) => self.held.push_back(Parcel::new(buffer, bytes, stamp)),
            Err(error) => self.full(error),
        }
    }

    fn full(&mut self, error: AllocateError) {
        assert_eq!(error, AllocateError::Full);
        self.fulls += 1;
        self.free();
    }

    fn share(&mut self) {
        let Some(parcel) = self.any_held() else { return };
        let (slice, stamp) = match parcel {
            Parcel::Buffer(buffer, stamp) => (buffer.freeze(), stamp),
            Parcel::Slice(slice, stamp) => (slice, stamp),
        };
        self.held.push_back(Parcel::Slice(slice.clone(), stamp));
        self.held.push_back(Parcel::Slice(slice, stamp));
    }

    fn send(&mut self) {
        let Some(parcel) = self.any_held() else { return };
        let other = self.rng.below(self.to.len() as u64) as usize;
        if let Err(back) = self.to[other].push(parcel) {
            self.held.push_back(back);
        }
    }

    fn receive(&mut self) {
        let other = self.rng.below(self.from.len() as u64) as usize;
        self.held.extend(self.from[other].pop_all(4));
    }

    fn lend(&mut self) {
        match self.pool.lend() {
            Ok(loan) => self.at_kernel.push(loan),
            Err(error) => self.full(error),
        }
    }

    fn take_back(&mut self) {
        let place = self.rng.below(self.at_kernel.len().max(1) as u64) as usize;
        if place < self.at_kernel.len() {
            let loan = self.at_kernel.swap_remove(place);
            let stamp = self.stamp();
            let buffer = self.pool.take_back(loan.index(), 100).expect("lent");
            self.held.push_back(Parcel::new(buffer, 100, stamp));
        }
    }

    /// Whoever has the last slice may write.
    fn write_again(&mut self) {
        let parcel = match self.any_held() {
            Some(Parcel::Slice(slice, stamp)) => match slice.try_into_buffer() {
                Ok(buffer) => {
                    let (len, stamp) = (buffer.len(), self.stamp());
                    Parcel::new(buffer, len, stamp)
                }
                Err(slice) => Parcel::Slice(slice, stamp),
            },
            Some(parcel) => parcel,
            None => return,
        };
        self.held.push_back(parcel);
    }

    fn free(&mut self) {
        if let Some(parcel) = self.any_held() {
            parcel.check();
        }
    }

    fn run(mut self, operations: usize) -> (FramePool, NetAllocator, u64) {
        for _ in 0..operations {
            self.step();
        }
        for parcel in &self.held {
            parcel.check();
        }
        self.held.clear();
        for loan in std::mem::take(&mut self.at_kernel) {
            drop(self.pool.take_back(loan.index(), 0).expect("lent"));
        }
        self.to.clear();
        for from in &mut self.from {
            while !(from.is_closed() && from.is_empty()) {
                for parcel in from.pop_all(100) {
                    parcel.check();
                }
                thread::yield_now();
            }
        }
        (self.pool, self.net, self.fulls)
    }
}

/// Of one thread: to each other one, and from each.
type Ends = (Vec<Producer<Parcel>>, Vec<Consumer<Parcel>>);

/// The ends of a ring for each thread and each other one.
fn rings() -> Vec<Ends> {
    let mut ends: Vec<Ends> = (0..THREADS).map(|_| (Vec::new(), Vec::new())).collect();
    for from in 0..THREADS {
        for to in (0..THREADS).filter(|to| *to != from) {
            let (producer, consumer) = ring(64);
            ends[from].0.push(producer);
            ends[to].1.push(consumer);
        }
    }
    ends
}

#[test]
fn ten_million_operations_leave_nothing_behind() {
    let _count = testkit::count_descriptors();
    let arena = Arena::builder(8 << 20).region_bytes(256 << 10).memfd("churn").build().unwrap();
    let mut seeds = Rng::seeded();
    let actors = rings().into_iter().zip(1..).map(|((to, from), number)| Actor {
        pool: FramePool::builder(200, 1024).headroom_bytes(24).build(&arena).unwrap(),
        net: NetAllocator::new(&arena),
        rng: seeds.fork(),
        next_stamp: number << 56,
        held: VecDeque::new(),
        at_kernel: Vec::new(),
        to,
        from,
        fulls: 0,
    });
    let threads: Vec<_> =
        actors.map(|actor| thread::spawn(move || actor.run(OPERATIONS / THREADS))).collect();
    let ended: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let mut fulls = 0;
    for (pool, net, fulls_of_one) in &ended {
        let frames = pool.statistics().unwrap();
        assert_eq!((frames.free, frames.at_kernel), (200, 0));
        let blocks = net.statistics().unwrap();
        assert_eq!((blocks.blocks, blocks.used_bytes, blocks.wasted_bytes), (0, 0, 0));
        assert_eq!(blocks.free_bytes, blocks.held_bytes);
        fulls += fulls_of_one;
    }
    assert!(fulls > 0, "everything was lent now and then");
    assert!(arena.statistics().owners.iter().all(|owner| owner.used_bytes == 0));
    drop(ended);
    let statistics = arena.statistics();
    assert_eq!((statistics.free_bytes, statistics.owners.len()), (arena.len_bytes(), 0));
    assert_eq!(statistics.largest_free_bytes, arena.len_bytes());
}
