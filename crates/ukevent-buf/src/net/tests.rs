//! The allocator as its users see it: sizes, bounds, wake-ups, threads, and the pages it gives back.

use super::*;
use crate::HugePages;
use crate::testing::Calls;
use std::thread;

const KIB: usize = 1 << 10;

fn arena(regions: usize, region_bytes: usize) -> Arena {
    Arena::builder(regions * region_bytes).region_bytes(region_bytes).build().unwrap()
}

fn statistics(net: &NetAllocator) -> NetStatistics {
    net.statistics().unwrap()
}

/// Bytes of the arena that a request takes.
fn taken(bytes: usize) -> usize {
    lines_for(bytes) * LINE_BYTES
}

#[test]
fn sizes_are_rounded_to_a_line() {
    let arena = arena(1, 64 * KIB);
    let net = NetAllocator::new(&arena);
    for bytes in (0..300).chain([1500, 2047, 2048, 2049, 8999, 9000, 9001]) {
        let buffer = net.allocate(bytes).unwrap();
        assert!(buffer.capacity() >= bytes && buffer.capacity() < bytes.max(1) + LINE_BYTES);
        assert_eq!(buffer.as_ptr().addr() % LINE_BYTES, 0, "begins at a line");
        assert_eq!((buffer.headroom(), buffer.len()), (0, 0));
        let used = statistics(&net);
        assert_eq!((used.blocks, used.used_bytes), (1, taken(bytes)));
        assert_eq!(used.wasted_bytes, taken(bytes) - bytes);
        assert_eq!(used.free_bytes, 64 * KIB - taken(bytes));
        assert_eq!(used.largest_free_bytes, used.free_bytes);
    }
    let buffer = net.allocate_with_headroom(100, 1000).unwrap();
    assert_eq!(buffer.headroom(), 100);
    assert!(buffer.tailroom() >= 1000);
    assert_eq!(statistics(&net).wasted_bytes, taken(1100) - 1100);
}

#[test]
fn a_region_is_the_limit() {
    let arena = arena(2, 64 * KIB);
    let net = NetAllocator::new(&arena);
    let limit_bytes = net.limit_bytes();
    assert!((64 * KIB - 64..=64 * KIB).contains(&limit_bytes));
    assert_eq!(net.allocate(limit_bytes).unwrap().capacity(), limit_bytes);
    let refused = AllocateError::TooLarge { limit_bytes };
    for bytes in [limit_bytes + 1, 1 << 20, usize::MAX] {
        assert_eq!(net.allocate(bytes).unwrap_err(), refused);
        assert_eq!(net.allocate_with_headroom(bytes, 1).unwrap_err(), refused);
        assert_eq!(net.allocate_with_headroom(1, bytes).unwrap_err(), refused);
    }
    let _both = [net.allocate(limit_bytes).unwrap(), net.allocate(limit_bytes).unwrap()];
    assert_eq!(net.allocate(0).unwrap_err(), AllocateError::Full);
}

#[test]
fn freed_neighbours_are_one_block_again() {
    let arena = arena(3, 64 * KIB);
    let net = NetAllocator::new(&arena);
    let mut rng = testkit::Rng::seeded();
    for _ in 0..50 {
        let mut buffers = Vec::new();
        while let Ok(buffer) = net.allocate(rng.below(9001) as usize) {
            buffers.push(buffer);
        }
        assert!(statistics(&net).largest_free_bytes < 9064);
        rng.shuffle(&mut buffers);
        // Some at home, some elsewhere.
        let there = buffers.split_off(buffers.len() / 2);
        thread::spawn(move || drop(there)).join().unwrap();
        drop(buffers);
        let left = statistics(&net);
        assert_eq!((left.blocks, left.used_bytes, left.wasted_bytes), (0, 0, 0));
        assert_eq!(left.largest_free_bytes, 64 * KIB, "as large as a region");
        assert_eq!(left.free_bytes, left.held_bytes);
        assert_eq!(left.side_bytes, left.held_bytes / (64 * KIB) * ENTRY_BYTES);
        assert_eq!(arena.statistics().owners[0].used_bytes, 0);
    }
}

#[test]
fn keeps_one_empty_region_and_gives_the_others_back() {
    let arena = arena(4, 64 * KIB);
    let net = NetAllocator::new(&arena);
    let buffers: Vec<_> = std::iter::from_fn(|| net.allocate(16_000).ok()).collect();
    assert_eq!(arena.statistics().free_bytes, 0);
    drop(buffers);
    assert_eq!(statistics(&net).held_bytes, 64 * KIB);
    assert_eq!(arena.statistics().free_bytes, 3 * 64 * KIB);
    assert_eq!(net.trim(), Ok(4 * 64 * KIB));
    assert_eq!(statistics(&net).held_bytes, 0);
    assert!(net.allocate(1).is_ok());
}

#[test]
fn trimming_gives_pages_back_to_the_system() {
    let _count = testkit::count_descriptors();
    for name in [None, Some("net")] {
        let mut builder =
            Arena::builder(8 << 20).huge_pages(HugePages::Never).region_bytes(1 << 20);
        if let Some(name) = name {
            builder = builder.memfd(name);
        }
        let arena = builder.build().unwrap();
        let resident = || arena.residency().unwrap().resident_bytes;
        let net = NetAllocator::new(&arena);
        let mut buffers: Vec<_> = std::iter::from_fn(|| net.allocate(9000).ok()).collect();
        for buffer in &mut buffers {
            buffer.tailroom_mut().fill(1);
        }
        assert!(resident() > 7 << 20);
        // One buffer keeps its region.
        let kept = buffers.swap_remove(buffers.len() / 2);
        drop(buffers);
        net.trim().unwrap();
        assert_eq!(statistics(&net).held_bytes, 1 << 20);
        assert!(resident() <= 1 << 20, "{} bytes", resident());
        let pin = arena.pin();
        drop(kept);
        assert_eq!(net.trim(), Ok(0), "pinned");
        assert!(resident() > 0);
        drop(pin);
        assert_eq!(net.trim(), Ok(8 << 20));
        assert_eq!(resident(), 0);
    }
}

#[test]
fn tells_when_something_came_back() {
    let (waker, calls) = Calls::new();
    let arena = arena(1, 64 * KIB);
    let net = NetAllocator::builder(&arena).waker(waker).build().unwrap();
    let fill = || std::iter::from_fn(|| net.allocate(9000).ok()).collect::<Vec<_>>();
    let mut buffers = fill();
    assert_eq!(calls.take(), 0);
    drop(buffers.pop());
    assert_eq!(calls.take(), 1, "freed here");
    buffers.extend(fill());
    let last = buffers.pop();
    thread::spawn(move || drop(last)).join().unwrap();
    assert_eq!(calls.take(), 1, "freed elsewhere");
    drop(net.allocate(9000).unwrap());
    assert_eq!(calls.take(), 0, "nobody waits");
}

#[test]
fn tells_when_the_arena_has_a_region_again() {
    let (waker, calls) = Calls::new();
    let arena = arena(1, 64 * KIB);
    let rich = NetAllocator::new(&arena);
    let poor = NetAllocator::builder(&arena).waker(waker).build().unwrap();
    let buffer = rich.allocate(10).unwrap();
    assert_eq!(poor.allocate(10).unwrap_err(), AllocateError::Full);
    drop(buffer);
    assert_eq!(calls.take(), 0, "it keeps one");
    rich.trim().unwrap();
    assert_eq!(calls.take(), 1);
    let buffer = poor.allocate(10).unwrap();
    assert_eq!(rich.allocate(10).unwrap_err(), AllocateError::Full);
    // It has no waker, and nobody else waits.
    drop(buffer);
    poor.trim().unwrap();
    assert_eq!(calls.take(), 0);
    let buffer = rich.allocate(10).unwrap();
    assert!(poor.allocate(10).is_err());
    drop(rich);
    assert_eq!(calls.take(), 0, "its buffer holds the region");
    drop(buffer);
    assert_eq!(calls.take(), 1);
    assert!(poor.allocate(10).is_ok());
}

/// A waker that asks again at once, and in vain, is called once for what came back.
#[test]
fn a_waker_that_asks_in_vain_is_called_once() {
    struct Asks {
        calls: std::sync::atomic::AtomicU64,
        net: std::sync::Mutex<Option<NetAllocator>>,
    }
    impl std::task::Wake for Asks {
        fn wake(self: std::sync::Arc<Self>) {
            self.calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if let Some(net) = &*self.net.lock().unwrap() {
                assert_eq!(net.allocate(40 * KIB).unwrap_err(), AllocateError::Full);
            }
        }
    }
    let arena = arena(2, 64 * KIB);
    let asks = std::sync::Arc::new(Asks { calls: 0.into(), net: None.into() });
    let net = NetAllocator::builder(&arena).waker(asks.clone().into()).build().unwrap();
    let (low, high) = (
        crate::FramePool::builder(1, 32 * KIB).exact().build(&arena).unwrap(),
        crate::FramePool::builder(1, 32 * KIB).exact().build(&arena).unwrap(),
    );
    let _half = net.allocate(40 * KIB).unwrap();
    assert!(net.allocate(40 * KIB).is_err());
    *asks.net.lock().unwrap() = Some(net);
    // Less than a region comes back.
    drop(low);
    assert_eq!(asks.calls.load(std::sync::atomic::Ordering::SeqCst), 1);
    let net = asks.net.lock().unwrap().take().unwrap();
    drop(high);
    assert_eq!(asks.calls.load(std::sync::atomic::Ordering::SeqCst), 2, "it waited again");
    assert!(net.allocate(40 * KIB).is_ok());
}

#[test]
fn belongs_to_one_thread_at_a_time() {
    let arena = arena(4, 64 * KIB);
    let net = NetAllocator::new(&arena);
    let mine = net.allocate(100).unwrap();
    let net = thread::spawn(move || {
        assert_eq!(net.allocate(1).unwrap_err(), AllocateError::WrongThread);
        assert_eq!(net.statistics().unwrap_err(), WrongThread);
        assert_eq!(net.trim().unwrap_err(), TrimError::WrongThread);
        net
    })
    .join()
    .unwrap();
    net.let_go();
    let net = thread::spawn(move || {
        let theirs = net.allocate(100).unwrap();
        drop(mine);
        drop(theirs);
        net
    })
    .join()
    .unwrap();
    assert_eq!(statistics(&net).blocks, 0);
    drop(net);
    assert_eq!(arena.statistics().free_bytes, 4 * 64 * KIB);
}

#[test]
fn a_region_serves_one_owner_after_the_other() {
    let arena = arena(1, 64 * KIB);
    let one = NetAllocator::new(&arena);
    let two = NetAllocator::new(&arena);
    for round in 0..20_usize {
        let (user, other) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let mut buffers: Vec<_> =
            (0..40).map(|number| user.allocate(number * 20 + round).unwrap()).collect();
        assert_eq!(other.allocate(1).unwrap_err(), AllocateError::Full);
        for (number, buffer) in buffers.iter_mut().enumerate() {
            buffer.tailroom_mut().fill(number as u8);
        }
        assert_eq!(statistics(user).blocks, 40);
        drop(buffers);
        user.trim().unwrap();
        assert_eq!(statistics(user).held_bytes, 0);
    }
}

#[test]
fn the_memory_stays_until_the_last_buffer_is_back() {
    let arena = arena(4, 64 * KIB);
    let net = NetAllocator::new(&arena);
    let mut buffer = net.allocate(1000).unwrap();
    let slice = net.allocate(65_000).unwrap().freeze();
    drop(net);
    assert_eq!(arena.statistics().free_bytes, 2 * 64 * KIB);
    buffer.append(&[1; 1000]).unwrap();
    thread::spawn(move || drop(buffer)).join().unwrap();
    drop(slice);
    assert_eq!(arena.statistics().free_bytes, 4 * 64 * KIB);
}

/// No more than a twentieth of the bytes is lost on packets of mixed sizes: to rounding, and to what
/// must be known of them.
#[test]
#[cfg(not(debug_assertions))]
fn wastes_little_on_mixed_sizes() {
    let arena = Arena::new(64 << 20).unwrap();
    let net = NetAllocator::new(&arena);
    let mut rng = testkit::Rng::seeded();
    let mut live: Vec<Option<Buffer>> = (0..1024).map(|_| None).collect();
    for _ in 0..100_000 {
        let place = rng.below(1024) as usize;
        live[place] = None;
        live[place] = Some(net.allocate(rng.range(64..9001) as usize).unwrap());
    }
    let used = statistics(&net);
    let lost = used.wasted_bytes + used.side_bytes;
    assert!(lost * 20 <= used.used_bytes + used.side_bytes, "{used:?}");
}

#[cfg(debug_assertions)]
mod checks {
    use super::*;
    use crate::entry::Origin;

    fn net() -> NetAllocator {
        NetAllocator::new(&arena(1, 64 * KIB))
    }

    #[test]
    #[should_panic(expected = "double free: block")]
    fn a_double_free() {
        let net = net();
        let (_low, buffer, _high) =
            (net.allocate(10).unwrap(), net.allocate(10).unwrap(), net.allocate(10).unwrap());
        let Origin::Block(id, home) = buffer.entry().origin.get() else { panic!("a block") };
        drop(buffer);
        // SAFETY: none; that is what must be found.
        unsafe { Home::release(home, id) };
    }

    #[test]
    #[should_panic(expected = "overrun: byte 0 behind the end")]
    fn a_write_behind_the_end() {
        let net = net();
        let mut buffer = net.allocate(1000).unwrap();
        let room = buffer.capacity();
        // SAFETY: none; that is what must be found.
        unsafe { buffer.as_mut_ptr().add(room).write(1) };
        thread::spawn(move || drop(buffer)).join().unwrap_or_else(|panic| {
            std::panic::resume_unwind(panic);
        });
    }

    #[test]
    #[should_panic(expected = "use after return")]
    fn a_write_after_the_return() {
        let net = net();
        let mut buffer = net.allocate(1000).unwrap();
        let place = buffer.as_mut_ptr();
        drop(buffer);
        // SAFETY: none; that is what must be found.
        unsafe { place.add(640).write(1) };
        // It lies in the second of these.
        let _both = (net.allocate(300), net.allocate(700));
    }
}
