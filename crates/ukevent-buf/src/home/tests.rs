//! The home of blocks: under loom in every order, otherwise with real threads that end in every order.

use super::{Home, Owner, Shelf};
use crate::primitive::{Arc, AtomicU32, AtomicU64, Ordering, UnsafeCell};
use std::task::{Wake, Waker};

/// Blocks that are only numbers, each with a cell that its holder writes: loom tells if two could
/// write at once.
struct Numbers {
    free: Vec<u32>,
    all: u32,
}

struct Cells {
    cells: Vec<UnsafeCell<u64>>,
    links: Vec<AtomicU32>,
    /// Counts how often a home was freed.
    freed: Arc<AtomicU64>,
}

// SAFETY: a cell is touched by who has the block; that is what is tested.
unsafe impl Sync for Cells {}
// SAFETY: as above.
unsafe impl Send for Cells {}

impl Drop for Cells {
    fn drop(&mut self) {
        self.freed.fetch_add(1, Ordering::SeqCst);
        for cell in &self.cells {
            // Whoever frees all comes after everybody who had a block.
            cell.with_mut(|_| ());
        }
    }
}

impl Shelf for Numbers {
    type Side = Cells;
    type Surplus = std::convert::Infallible;

    fn put(&mut self, side: &Cells, index: u32) {
        assert!(!self.free.contains(&index), "double free of {index}");
        side.cells[index as usize].with_mut(|_| ());
        self.free.push(index);
    }

    fn lent(&self, _: &Cells) -> u32 {
        self.all - self.free.len() as u32
    }

    fn link(side: &Cells, index: u32, below: u32) {
        side.links[index as usize].store(below, Ordering::Relaxed);
    }

    fn linked(side: &Cells, index: u32) -> u32 {
        side.links[index as usize].load(Ordering::Relaxed)
    }

    fn surplus(&mut self) -> Option<Self::Surplus> {
        None
    }
}

struct Pool {
    owner: Owner<Numbers>,
    freed: Arc<AtomicU64>,
}

/// One block, given back when dropped.
struct Block {
    home: std::ptr::NonNull<Home<Numbers>>,
    index: u32,
}

// SAFETY: as a buffer.
unsafe impl Send for Block {}

impl Block {
    fn write(&self) {
        // SAFETY: the home lives until this is back.
        let cell = unsafe { &self.home.as_ref().side().cells[self.index as usize] };
        // SAFETY: this has the block.
        cell.with_mut(|value| unsafe { *value += 1 });
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.write();
        // SAFETY: lent under this index, and not used any more.
        unsafe { Home::release(self.home, self.index) };
    }
}

impl Pool {
    fn new(blocks: u32, waker: Option<Waker>) -> Self {
        let freed = Arc::new(AtomicU64::new(0));
        let cells = Cells {
            cells: (0..blocks).map(|_| UnsafeCell::new(0)).collect(),
            links: (0..blocks).map(|_| AtomicU32::new(0)).collect(),
            freed: freed.clone(),
        };
        let shelf = Numbers { free: (0..blocks).collect(), all: blocks };
        Self { owner: Owner::new(shelf, cells, blocks, waker), freed }
    }

    fn take(&self) -> Option<Block> {
        let index = self.owner.with(|shelf, home| {
            shelf.free.pop().or_else(|| {
                while home.drain(shelf) > 0 || home.starve(shelf) {
                    if let Some(index) = shelf.free.pop() {
                        return Some(index);
                    }
                }
                None
            })
        });
        let index = index.expect("one thread takes")?;
        let block = Block { home: self.owner.home(), index };
        block.write();
        Some(block)
    }
}

/// Counts its calls.
struct Count(Arc<AtomicU64>);

impl Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn waker() -> (Waker, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    (std::sync::Arc::new(Count(calls.clone())).into(), calls)
}

#[cfg(loom)]
mod in_every_order {
    use super::*;
    use crate::thread::set_lane;
    use loom::thread;

    /// A block is given back over a lane and taken again: who takes it comes after who had it.
    #[test]
    fn loom_a_lane_hands_the_block_over() {
        loom::model(|| {
            let pool = Pool::new(2, None);
            let (one, two) = (pool.take().unwrap(), pool.take().unwrap());
            let thread = thread::spawn(move || {
                set_lane(0);
                drop(one);
                drop(two);
            });
            let early = pool.take();
            drop(early);
            thread.join().unwrap();
            let all = [pool.take(), pool.take()];
            assert!(all.iter().all(Option::is_some) && pool.take().is_none());
            drop(all);
            let freed = pool.freed.clone();
            drop(pool);
            assert_eq!(freed.load(Ordering::SeqCst), 1);
        });
    }

    /// Threads without a lane give back over the stack.
    #[test]
    fn loom_the_stack_hands_the_blocks_over() {
        loom::model(|| {
            let pool = Pool::new(2, None);
            let threads = [pool.take().unwrap(), pool.take().unwrap()]
                .map(|block| thread::spawn(move || drop(block)));
            let early = pool.take();
            drop(early);
            for thread in threads {
                thread.join().unwrap();
            }
            assert!([pool.take(), pool.take()].iter().all(Option::is_some));
        });
    }

    /// More come back over a lane than it holds.
    #[test]
    fn loom_a_full_lane_uses_the_stack() {
        loom::model(|| {
            let pool = Pool::new(3, None);
            let blocks: Vec<_> = (0..3).map(|_| pool.take().unwrap()).collect();
            let thread = thread::spawn(move || {
                set_lane(1);
                drop(blocks);
            });
            let early = pool.take();
            thread.join().unwrap();
            drop(early);
            let all: Vec<_> = (0..3).map(|_| pool.take()).collect();
            assert!(all.iter().all(Option::is_some));
        });
    }

    /// The owner finds nothing while two threads give back: it gets a block, or is woken.
    #[test]
    fn loom_no_wake_up_is_lost() {
        loom::model(|| {
            let (waker, calls) = waker();
            let pool = Pool::new(2, Some(waker));
            let (one, two) = (pool.take().unwrap(), pool.take().unwrap());
            let by_lane = thread::spawn(move || {
                set_lane(0);
                drop(one);
            });
            let by_stack = thread::spawn(move || drop(two));
            let got = pool.take();
            let waits = got.is_none();
            by_lane.join().unwrap();
            by_stack.join().unwrap();
            if waits {
                assert!(calls.load(Ordering::SeqCst) > 0, "waits, and nobody wakes it");
            }
            drop(got);
        });
    }

    /// The same with one thread, so that there is no other wake-up to be mistaken for its own.
    #[test]
    fn loom_each_way_wakes() {
        for by_lane in [true, false] {
            loom::model(move || {
                let (waker, calls) = waker();
                let pool = Pool::new(1, Some(waker));
                let block = pool.take().unwrap();
                let thread = thread::spawn(move || {
                    if by_lane {
                        set_lane(1);
                    }
                    drop(block);
                });
                let got = pool.take();
                thread.join().unwrap();
                let calls = calls.load(Ordering::SeqCst);
                assert!(got.is_some() || calls == 1, "waits, and nobody wakes it");
            });
        }
    }

    /// The owner begins to wait a second time while the mark of the first is still there.
    #[test]
    fn loom_a_mark_that_was_left_over_hides_no_second_wait() {
        loom::model(|| {
            let (waker, calls) = waker();
            let pool = Pool::new(2, Some(waker));
            let (one, two) = (pool.take().unwrap(), pool.take().unwrap());
            assert!(pool.take().is_none(), "waits: every lane is marked");
            // What comes back in the owner's own thread ends that.
            drop(two);
            assert_eq!(calls.load(Ordering::SeqCst), 1);
            let two = pool.take().unwrap();
            let thread = thread::spawn(move || {
                set_lane(0);
                drop(one);
            });
            let got = pool.take();
            let waits = got.is_none();
            thread.join().unwrap();
            if waits {
                assert!(calls.load(Ordering::SeqCst) > 1, "waits again, and nobody wakes it");
            }
            drop((got, two));
        });
    }

    /// The handle goes while a block is on its way, by lane or by stack: all is freed once, after the
    /// last block.
    #[test]
    fn loom_the_last_block_frees_the_home() {
        for by_lane in [true, false] {
            loom::model(move || {
                let pool = Pool::new(2, None);
                let freed = pool.freed.clone();
                let blocks = (pool.take().unwrap(), pool.take().unwrap());
                let thread = thread::spawn(move || {
                    if by_lane {
                        set_lane(0);
                    }
                    drop(blocks);
                });
                drop(pool);
                thread.join().unwrap();
                assert_eq!(freed.load(Ordering::SeqCst), 1);
            });
        }
    }

    /// The same with two on their way at once. Every order with up to three preemptions: all of them
    /// take minutes.
    #[test]
    fn loom_the_last_of_several_frees_the_home() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let pool = Pool::new(2, None);
            let freed = pool.freed.clone();
            let (one, two) = (pool.take().unwrap(), pool.take().unwrap());
            let by_lane = thread::spawn(move || {
                set_lane(0);
                drop(one);
            });
            let by_stack = thread::spawn(move || drop(two));
            drop(pool);
            by_lane.join().unwrap();
            by_stack.join().unwrap();
            assert_eq!(freed.load(Ordering::SeqCst), 1);
        });
    }

    /// The handle goes in another thread, then the owner brings the last block.
    #[test]
    fn loom_a_handle_that_is_dropped_elsewhere_leaves_it_to_the_owner() {
        loom::model(|| {
            let pool = Pool::new(2, None);
            let freed = pool.freed.clone();
            let (one, two) = (pool.take().unwrap(), pool.take().unwrap());
            let thread = thread::spawn(move || {
                set_lane(0);
                drop(pool);
                drop(one);
            });
            thread.join().unwrap();
            assert_eq!(freed.load(Ordering::SeqCst), 0);
            drop(two);
            assert_eq!(freed.load(Ordering::SeqCst), 1);
        });
    }

    /// A lane passes from one thread to the next while the owner takes out of it.
    #[test]
    fn loom_a_lane_passes_to_the_next_thread() {
        loom::model(|| {
            let lanes = Arc::new(crate::thread::Lanes::new());
            assert_eq!(lanes.take(), Some(0), "leaves one");
            let pool = Pool::new(2, None);
            let threads = [pool.take().unwrap(), pool.take().unwrap()].map(|block| {
                let lanes = lanes.clone();
                thread::spawn(move || {
                    let lane = lanes.take();
                    if let Some(lane) = lane {
                        set_lane(lane);
                    }
                    drop(block);
                    if let Some(lane) = lane {
                        lanes.put(lane);
                    }
                })
            });
            for thread in threads {
                thread.join().unwrap();
            }
            assert!([pool.take(), pool.take()].iter().all(Option::is_some));
        });
    }
}

#[cfg(not(loom))]
mod with_threads {
    use super::*;
    use std::thread;

    fn freed(pool: &Pool) -> impl Fn() -> u64 + use<> {
        let freed = pool.freed.clone();
        move || freed.load(Ordering::SeqCst)
    }

    #[test]
    fn frees_itself_with_the_last_of_handle_and_blocks() {
        let pool = Pool::new(3, None);
        let freed = freed(&pool);
        let (here, there) = (pool.take().unwrap(), pool.take().unwrap());
        drop(pool);
        assert_eq!(freed(), 0);
        thread::spawn(move || drop(there)).join().unwrap();
        assert_eq!(freed(), 0);
        drop(here);
        assert_eq!(freed(), 1);
    }

    #[test]
    fn frees_itself_unused() {
        let pool = Pool::new(3, None);
        let freed = freed(&pool);
        thread::spawn(move || drop(pool)).join().unwrap();
        assert_eq!(freed(), 1);
    }

    #[test]
    fn belongs_to_the_thread_that_used_it_first() {
        let pool = Pool::new(1, None);
        drop(pool.take());
        let pool = thread::spawn(move || {
            assert!(pool.owner.with(|_, _| ()).is_err());
            assert!(pool.owner.visit(|_, _| ()).is_err());
            pool.owner.let_go();
            pool
        })
        .join()
        .unwrap();
        drop(pool.take());
    }

    #[test]
    fn visiting_it_takes_it_from_nobody() {
        let pool = Pool::new(1, None);
        assert_eq!(pool.owner.visit(|shelf, _| shelf.free.len()), Ok(1));
        let pool = thread::spawn(move || {
            drop(pool.take());
            pool.owner.let_go();
            pool
        })
        .join()
        .unwrap();
        drop(pool.take());
        assert_eq!(
            pool.owner.visit(|shelf, _| shelf.free.len()),
            Ok(1),
            "and it stays the owner's"
        );
        drop(pool.take());
    }

    #[test]
    fn a_thread_that_ends_leaves_it_to_the_next() {
        let pool = Pool::new(2, None);
        let freed = freed(&pool);
        let (pool, block) = thread::spawn(move || {
            let block = pool.take().unwrap();
            drop(pool.take());
            (pool, block)
        })
        .join()
        .unwrap();
        // This thread is not the one that took it, and becomes the owner only with the next line.
        drop(block);
        assert!(pool.take().is_some());
        drop(pool);
        assert_eq!(freed(), 1);
    }

    #[test]
    fn what_was_taken_before_letting_go_comes_home() {
        let pool = Pool::new(2, None);
        let freed = freed(&pool);
        let block = pool.take().unwrap();
        pool.owner.let_go();
        drop(block);
        let pool = thread::spawn(move || {
            assert!([pool.take(), pool.take()].iter().all(Option::is_some));
            pool
        })
        .join()
        .unwrap();
        drop(pool);
        assert_eq!(freed(), 1);
    }

    #[test]
    fn dropped_elsewhere_it_is_settled_by_the_owner_s_next_free() {
        let pool = Pool::new(2, None);
        let freed = freed(&pool);
        let (one, two) = (pool.take().unwrap(), pool.take().unwrap());
        thread::spawn(move || drop(pool)).join().unwrap();
        drop(one);
        assert_eq!(freed(), 0);
        thread::spawn(move || drop(two)).join().unwrap();
        assert_eq!(freed(), 1);
    }

    #[test]
    fn dropped_elsewhere_it_is_settled_by_the_end_of_the_owner() {
        let pool = Pool::new(2, None);
        let freed = freed(&pool);
        let (one, two) = thread::spawn(move || {
            let blocks = (pool.take().unwrap(), pool.take().unwrap());
            thread::scope(|scope| scope.spawn(move || drop(pool)).join().unwrap());
            blocks
        })
        .join()
        .unwrap();
        drop(one);
        assert_eq!(freed(), 0);
        drop(two);
        assert_eq!(freed(), 1);
    }

    #[test]
    fn is_settled_once_by_a_thread_that_uses_several() {
        let pools: Vec<_> = (0..10).map(|_| Pool::new(1, None)).collect();
        let freed: Vec<_> = pools.iter().map(freed).collect();
        let rest = thread::spawn(move || {
            let mut pools = pools;
            for pool in &pools {
                drop(pool.take());
            }
            pools.drain(..5);
            pools
        })
        .join()
        .unwrap();
        assert_eq!(freed.iter().map(|freed| freed()).sum::<u64>(), 5);
        drop(rest);
        assert!(freed.iter().all(|freed| freed() == 1));
    }

    #[test]
    fn wakes_for_what_comes_back_here_or_elsewhere() {
        let (waker, calls) = waker();
        let pool = Pool::new(1, Some(waker));
        for elsewhere in [false, true, true, false, true] {
            let block = pool.take().unwrap();
            let before = calls.load(Ordering::SeqCst);
            assert!(pool.take().is_none() && pool.take().is_none());
            assert_eq!(calls.load(Ordering::SeqCst), before, "nothing came back");
            if elsewhere {
                thread::spawn(move || drop(block)).join().unwrap();
            } else {
                drop(block);
            }
            assert!(calls.load(Ordering::SeqCst) > before, "elsewhere: {elsewhere}");
        }
    }

    #[test]
    fn wakes_nobody_who_does_not_wait() {
        let (waker, calls) = waker();
        let pool = Pool::new(2, Some(waker));
        for _ in 0..10 {
            let blocks = [pool.take().unwrap(), pool.take().unwrap()];
            thread::spawn(move || drop(blocks)).join().unwrap();
        }
        assert_eq!(calls.load(Ordering::SeqCst), 0);
    }

    /// A waker that drops the handle of the home that calls it.
    #[test]
    fn the_waker_may_drop_the_handle() {
        struct Dropper(std::sync::Mutex<Option<Pool>>);
        impl Wake for Dropper {
            fn wake(self: std::sync::Arc<Self>) {
                drop(self.0.lock().unwrap().take());
            }
        }
        for elsewhere in [false, true] {
            let dropper = std::sync::Arc::new(Dropper(std::sync::Mutex::new(None)));
            let pool = Pool::new(1, Some(dropper.clone().into()));
            let freed = freed(&pool);
            let block = pool.take().unwrap();
            assert!(pool.take().is_none());
            pool.owner.let_go();
            *dropper.0.lock().unwrap() = Some(pool);
            if !elsewhere {
                assert!(dropper.0.lock().unwrap().as_ref().unwrap().take().is_none());
                drop(block);
            } else {
                thread::spawn(move || drop(block)).join().unwrap();
            }
            assert_eq!(freed(), 1, "elsewhere: {elsewhere}");
        }
    }

    #[test]
    fn many_threads_give_back_all() {
        let pool = Pool::new(4000, None);
        let mut rounds = 0;
        while rounds < 20 {
            let blocks: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
            assert_eq!(blocks.len(), 4000);
            let mut parts: Vec<Vec<Block>> = (0..20).map(|_| Vec::new()).collect();
            for (number, block) in blocks.into_iter().enumerate() {
                parts[number % 20].push(block);
            }
            thread::scope(|scope| {
                for part in parts {
                    scope.spawn(move || drop(part));
                }
            });
            rounds += 1;
        }
    }
}
