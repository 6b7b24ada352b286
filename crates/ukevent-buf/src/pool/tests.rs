//! The pool: what it lends, to whom, and what it refuses.

use super::*;
use crate::testing::Calls;
use std::thread;

fn arena() -> Arena {
    Arena::new(1 << 20).unwrap()
}

fn pool(frames: u32) -> FramePool {
    FramePool::builder(frames, 1500).headroom_bytes(100).build(&arena()).unwrap()
}

fn free(pool: &FramePool) -> u32 {
    pool.statistics().unwrap().free
}

#[test]
fn gives_each_frame_once_and_the_last_freed_first() {
    let pool = pool(10);
    let mut frames: Vec<Buffer> = std::iter::from_fn(|| pool.allocate().ok()).collect();
    assert_eq!(frames.len(), 10);
    let mut places: Vec<_> = frames.iter().map(|it| it.as_ptr().addr()).collect();
    places.sort_unstable();
    assert!(places.windows(2).all(|two| two[1] - two[0] >= 1500), "no two overlap");
    assert!(places.iter().all(|place| (place - 100) % 64 == 0));
    for (number, frame) in frames.iter_mut().enumerate() {
        assert_eq!((frame.headroom(), frame.len(), frame.tailroom()), (100, 0, 1400));
        frame.tailroom_mut().fill(number as u8);
        frame.headroom_mut().fill(number as u8);
    }
    for (number, frame) in frames.iter_mut().enumerate() {
        frame.clear(0);
        frame.set_len(1500).unwrap();
        assert!(frame.iter().all(|byte| *byte == number as u8));
    }
    let last = frames[4].frame_index();
    drop(frames.remove(4));
    drop(frames.remove(7));
    let seventh = pool.allocate().unwrap();
    let fourth = pool.allocate().unwrap();
    assert_eq!(fourth.frame_index(), last);
    drop((fourth, seventh, frames));
    assert_eq!(free(&pool), 10);
}

#[test]
fn contradictions_are_refused() {
    let arena = arena();
    let refused = |sketch: FramePoolBuilder| sketch.build(&arena).unwrap_err();
    assert!(matches!(refused(FramePool::builder(0, 64)), PoolError::Invalid(_)));
    assert!(matches!(refused(FramePool::builder(1, 0)), PoolError::Invalid(_)));
    assert!(matches!(refused(FramePool::builder(u32::MAX, 64)), PoolError::Invalid(_)));
    let sketch = FramePool::builder(1, 64).headroom_bytes(65);
    assert!(matches!(refused(sketch), PoolError::Invalid(_)));
    for frame_bytes in [usize::MAX, usize::MAX / 2, 2 << 20] {
        let full = refused(FramePool::builder(1000, frame_bytes));
        assert!(matches!(full, PoolError::Full { .. }), "{frame_bytes}: {full:?}");
    }
    assert!(FramePool::builder(1, 64).headroom_bytes(64).build(&arena).is_ok());
    let whole = FramePool::builder(512, 2048).exact();
    assert_eq!(whole.arena_bytes(), 1 << 20);
    assert!(whole.build(&arena).is_ok());
}

#[test]
fn tells_when_there_is_room_again() {
    let (waker, calls) = Calls::new();
    let pool = FramePool::builder(2, 64).waker(waker).build(&arena()).unwrap();
    let (one, two) = (pool.allocate().unwrap(), pool.allocate().unwrap());
    thread::spawn(move || drop(two)).join().unwrap();
    assert_eq!(calls.take(), 0, "nobody waits");
    let two = pool.allocate().unwrap();
    assert_eq!(pool.allocate().unwrap_err(), AllocateError::Full);
    assert_eq!(calls.take(), 0);
    thread::spawn(move || drop(two)).join().unwrap();
    assert_eq!(calls.take(), 1);
    let two = pool.allocate().unwrap();
    assert_eq!(pool.lend().unwrap_err(), AllocateError::Full);
    drop(one);
    assert_eq!(calls.take(), 1);
    drop(two);
    assert_eq!(calls.take(), 0, "told once");
    // A shared frame counts as back when its last slice goes.
    let (one, two) = (pool.allocate().unwrap().freeze(), pool.allocate().unwrap());
    assert!(pool.allocate().is_err());
    let again = one.clone();
    drop(one);
    assert_eq!(calls.take(), 0);
    thread::spawn(move || drop(again)).join().unwrap();
    assert!(calls.take() > 0);
    drop(two);
}

#[test]
fn a_frame_goes_to_the_kernel_and_comes_back_once() {
    let pool = pool(4);
    let loan = pool.lend().unwrap();
    assert_eq!(loan.len_bytes(), 1400);
    // SAFETY: lent, and this is the kernel.
    unsafe { loan.as_mut_ptr().write_bytes(0x5a, 700) };
    let statistics = pool.statistics().unwrap();
    assert_eq!((statistics.free, statistics.at_kernel), (3, 1));

    let too_long = TakeBackError::OutOfFrame { frame_bytes: 1500 };
    assert_eq!(pool.take_back(loan.index(), 1401).unwrap_err(), too_long);
    assert_eq!(pool.take_back(loan.index(), usize::MAX).unwrap_err(), too_long);
    let backwards = std::ops::Range { start: 9, end: 8 };
    assert_eq!(pool.take_back_range(loan.index(), backwards).unwrap_err(), too_long);
    assert_eq!(pool.take_back(4, 0).unwrap_err(), TakeBackError::NotLent);
    assert_eq!(pool.take_back(u32::MAX, 0).unwrap_err(), TakeBackError::NotLent);

    let buffer = pool.take_back(loan.index(), 700).unwrap();
    assert_eq!((buffer.headroom(), &buffer[..]), (100, &[0x5a; 700][..]));
    assert_eq!(buffer.frame_index(), Some(loan.index()));
    assert_eq!(pool.take_back(loan.index(), 700).unwrap_err(), TakeBackError::NotLent);
    assert_eq!(buffer.as_ptr(), loan.as_mut_ptr().cast_const());

    // Straight on to the kernel again.
    let loan = pool.lend_buffer(buffer).unwrap();
    let buffer = pool.take_back_range(loan.index(), 90..1500).unwrap();
    assert_eq!((buffer.headroom(), buffer.len(), buffer.tailroom()), (90, 1410, 0));
    drop(buffer);
    assert_eq!(free(&pool), 4);
    assert_eq!(pool.take_back(loan.index(), 0).unwrap_err(), TakeBackError::NotLent);
}

#[test]
fn lends_only_its_own() {
    let (pool, other) = (pool(2), pool(2));
    let heap = pool.lend_buffer(Buffer::with_capacity(10)).unwrap_err();
    assert_eq!(heap.capacity(), 10);
    let foreign = pool.lend_buffer(other.allocate().unwrap()).unwrap_err();
    assert_eq!(pool.statistics().unwrap().at_kernel, 0);
    drop(foreign);
    assert_eq!(free(&other), 2);
}

#[test]
fn all_frames_can_be_at_the_kernel() {
    let pool = pool(200);
    let loans: Vec<Loan> = std::iter::from_fn(|| pool.lend().ok()).collect();
    assert_eq!(pool.statistics().unwrap().at_kernel, 200);
    for loan in &loans {
        assert!(pool.take_back(loan.index(), 1).is_ok());
        assert!(pool.take_back(loan.index(), 1).is_err());
    }
    assert_eq!(free(&pool), 200);
}

#[test]
fn finds_frames_by_where_they_lie() {
    let arena = arena();
    let pool = FramePool::builder(100, 2048).headroom_bytes(256).exact().build(&arena).unwrap();
    for index in 0..100 {
        let offset = pool.offset_in_arena(index).unwrap();
        assert_eq!(offset % 2048, 0, "as a umem wants it");
        assert_eq!(pool.frame_at(offset), Some((index, 0)));
        assert_eq!(pool.frame_at(offset + 2047), Some((index, 2047)));
    }
    assert_eq!(pool.offset_in_arena(100), None);
    let first = pool.offset_in_arena(0).unwrap();
    assert_eq!(pool.frame_at(first + 100 * 2048), None);
    assert_eq!(first.checked_sub(1).and_then(|before| pool.frame_at(before)), None);
    assert_eq!(pool.frame_at(usize::MAX), None);
    let buffer = pool.allocate().unwrap();
    let place = buffer.offset_in_arena().unwrap();
    assert_eq!(pool.frame_at(place), Some((buffer.frame_index().unwrap(), 256)));
    assert_eq!(arena.as_ptr().addr().get() + place, buffer.as_ptr().addr());
}

#[test]
fn belongs_to_one_thread_at_a_time() {
    let pool = pool(3);
    let mine = pool.allocate().unwrap();
    let (pool, theirs) = thread::spawn(move || {
        assert_eq!(pool.allocate().unwrap_err(), AllocateError::WrongThread);
        assert_eq!(pool.lend().unwrap_err(), AllocateError::WrongThread);
        assert_eq!(pool.take_back(0, 0).unwrap_err(), TakeBackError::WrongThread);
        assert_eq!(pool.statistics().unwrap_err(), WrongThread);
        pool.let_go();
        let mine = pool.lend_buffer(mine).unwrap_err();
        drop(mine);
        pool
    })
    .join()
    .map(|pool| {
        pool.let_go();
        thread::spawn(move || {
            let theirs = pool.allocate().unwrap();
            (pool, theirs)
        })
        .join()
        .unwrap()
    })
    .unwrap();
    assert_eq!(free(&pool), 2, "the thread that ended left it to this one");
    drop(theirs);
    assert_eq!(free(&pool), 3);
}

#[test]
fn threads_that_only_look_are_refused() {
    let pool = pool(2);
    let frame = pool.allocate().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(pool.allocate().unwrap_err(), AllocateError::WrongThread);
                assert_eq!(pool.statistics().unwrap_err(), WrongThread);
                assert_eq!(pool.frames(), 2);
                pool.let_go();
            });
        }
    });
    assert_eq!(free(&pool), 1, "and it still belongs to this one");
    drop(frame);
    assert_eq!(free(&pool), 2);
}

/// Of several threads that want it at once, one gets it; what it gives is nobody else's.
#[test]
fn one_of_several_threads_gets_it() {
    for _ in 0..200 {
        let pool = pool(64);
        let got: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let frames: Vec<_> = std::iter::from_fn(|| pool.allocate().ok()).collect();
                        let _ = pool.statistics();
                        frames.len()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // A thread that ended may have left it to the next.
        assert!(got >= 64 && got.is_multiple_of(64), "{got}");
        assert_eq!(free(&pool), 64);
    }
}

#[test]
fn the_memory_stays_until_the_last_frame_is_back() {
    let arena = arena();
    let pool = FramePool::builder(8, 2048).build(&arena).unwrap();
    let mut buffer = pool.allocate().unwrap();
    let slice = pool.allocate().unwrap().freeze();
    drop(pool);
    assert!(arena.statistics().free_bytes < 1 << 20);
    buffer.append(b"still there").unwrap();
    thread::spawn(move || drop(buffer)).join().unwrap();
    assert!(arena.statistics().free_bytes < 1 << 20);
    drop(slice);
    assert_eq!(arena.statistics().free_bytes, 1 << 20);
    assert!(arena.statistics().owners.is_empty());
}

#[test]
fn what_the_kernel_has_is_never_given_to_others() {
    let arena = arena();
    let pool = FramePool::builder(8, 2048).build(&arena).unwrap();
    let loan = pool.lend().unwrap();
    drop(pool);
    assert!(arena.statistics().free_bytes < 1 << 20, "better lost than overwritten");
    drop(arena);
    // SAFETY: lent for ever, and this is the kernel.
    unsafe { loan.as_mut_ptr().write_bytes(1, loan.len_bytes()) };
}

/// Random operations, against a list of what is where.
#[test]
fn agrees_with_a_naive_pool() {
    const FRAMES: u32 = 40;
    let mut rng = testkit::Rng::seeded();
    let pool = pool(FRAMES);
    let mut held: Vec<(Buffer, u8)> = Vec::new();
    let mut slices: Vec<(crate::Slice, u8)> = Vec::new();
    let mut at_kernel: Vec<(u32, u8)> = Vec::new();
    for step in 0..if cfg!(miri) { 500 } else { 50_000 } {
        let byte = step as u8;
        let distinct_slices = || {
            let mut frames: Vec<_> =
                slices.iter().filter_map(|it| pool.frame_at(it.0.offset_in_arena()?)).collect();
            frames.sort_unstable();
            frames.dedup_by_key(|it| it.0);
            frames.len()
        };
        let lent = held.len() + at_kernel.len() + distinct_slices();
        match rng.below(9) {
            0 | 1 => match pool.allocate() {
                Ok(mut buffer) => {
                    assert!(lent < FRAMES as usize);
                    buffer.clear(0);
                    buffer.set_len(1500).unwrap();
                    buffer.fill(byte);
                    held.push((buffer, byte));
                }
                Err(error) => {
                    assert_eq!((error, lent), (AllocateError::Full, FRAMES as usize));
                }
            },
            2 => match pool.lend() {
                Ok(loan) => at_kernel.push((loan.index(), 0)),
                Err(error) => {
                    assert_eq!((error, lent), (AllocateError::Full, FRAMES as usize));
                }
            },
            3 if !held.is_empty() => {
                let (buffer, byte) = held.swap_remove(rng.below(held.len() as u64) as usize);
                let loan = pool.lend_buffer(buffer).unwrap();
                at_kernel.push((loan.index(), byte));
            }
            4 if !at_kernel.is_empty() => {
                let (index, byte) =
                    at_kernel.swap_remove(rng.below(at_kernel.len() as u64) as usize);
                let buffer = pool.take_back_range(index, 0..1500).unwrap();
                assert!(byte == 0 || buffer.iter().all(|it| *it == byte));
                held.push((buffer, byte));
                assert!(pool.take_back(index, 0).is_err());
            }
            5 if !held.is_empty() => {
                let (buffer, byte) = held.swap_remove(rng.below(held.len() as u64) as usize);
                if byte != 0 {
                    slices.push((buffer.freeze(), byte));
                }
            }
            6 if !slices.is_empty() => {
                let (slice, byte) = rng.pick(&slices);
                let begin = rng.below(slice.len() as u64 + 1) as usize;
                let (part, byte) = (slice.slice(begin..).unwrap(), *byte);
                assert!(part.iter().all(|it| *it == byte));
                if !part.is_empty() {
                    slices.push((part, byte));
                }
            }
            7 if !slices.is_empty() => {
                slices.swap_remove(rng.below(slices.len() as u64) as usize);
            }
            8 if !held.is_empty() => {
                let (buffer, byte) = held.swap_remove(rng.below(held.len() as u64) as usize);
                assert!(byte == 0 || buffer.iter().all(|it| *it == byte));
                if rng.one_in(10) {
                    thread::spawn(move || drop(buffer)).join().unwrap();
                }
            }
            _ => {}
        }
        if rng.one_in(100) {
            let statistics = pool.statistics().unwrap();
            assert_eq!(statistics.at_kernel as usize, at_kernel.len());
        }
    }
    for (index, _) in at_kernel {
        drop(pool.take_back(index, 0).unwrap());
    }
    drop((held, slices));
    assert_eq!(free(&pool), FRAMES);
}

#[test]
fn is_large_when_asked() {
    let arena = Arena::new(512 << 20).unwrap();
    let pool = FramePool::builder(200_000, 2048).build(&arena).unwrap();
    let frames: Vec<_> = std::iter::from_fn(|| pool.allocate().ok()).collect();
    assert_eq!(frames.len(), 200_000);
    thread::spawn(move || drop(frames)).join().unwrap();
    assert_eq!(free(&pool), 200_000);
}

#[cfg(debug_assertions)]
mod checks {
    use super::*;
    use crate::home::Home;

    const _: () = assert!(CHECKED);

    #[test]
    #[should_panic(expected = "double free: frame 0 is not lent")]
    fn a_double_free() {
        let pool = pool(2);
        let buffer = pool.allocate().unwrap();
        let index = buffer.frame_index().unwrap();
        drop(buffer);
        // SAFETY: none; that is what must be found.
        unsafe { Home::release(pool.owner.home(), index) };
    }

    /// What other threads gave back is looked at when it comes home.
    #[test]
    fn a_double_free_elsewhere() {
        let pool = pool(2);
        let buffer = pool.allocate().unwrap();
        let thread = thread::spawn(move || {
            let entry = buffer.into_entry();
            for _ in 0..2 {
                // SAFETY: none the second time; that is what must be found.
                drop(unsafe { Buffer::of(entry) });
            }
        });
        thread.join().unwrap();
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.statistics()));
        let panic = panic.expect_err("found");
        let told = panic.downcast_ref::<String>().expect("a message");
        assert!(told.contains("double free: frame 0 is not lent"), "{told}");
        // It would find it again.
        std::mem::forget(pool);
    }

    #[test]
    #[should_panic(expected = "overrun: byte 3 behind the end")]
    fn a_write_behind_the_end() {
        let pool = pool(2);
        let mut buffer = pool.allocate().unwrap();
        let room = buffer.tailroom();
        // SAFETY: none; that is what must be found.
        unsafe { buffer.as_mut_ptr().add(room + 3).write(1) };
    }

    #[test]
    #[should_panic(expected = "use after return: byte 107 of a free block")]
    fn a_write_after_the_return() {
        let pool = pool(2);
        let mut buffer = pool.allocate().unwrap();
        let place = buffer.as_mut_ptr();
        drop(buffer);
        // SAFETY: none; that is what must be found.
        unsafe { place.add(7).write(1) };
        let _ = pool.allocate();
    }

    #[test]
    #[should_panic(expected = "use after return: byte 0 of a free block")]
    fn a_write_behind_the_end_of_an_exact_frame() {
        let pool = FramePool::builder(2, 2048).exact().build(&arena()).unwrap();
        let (mut lower, upper) = (pool.allocate().unwrap(), pool.allocate().unwrap());
        drop(upper);
        // SAFETY: none; that is what must be found.
        unsafe { lower.as_mut_ptr().add(2048).write(1) };
        let _ = pool.allocate();
    }

    #[test]
    #[should_panic(expected = "use after return: byte 100 of a free block")]
    fn a_late_write_of_the_kernel() {
        let pool = pool(1);
        let loan = pool.lend().unwrap();
        drop(pool.take_back(loan.index(), 0).unwrap());
        // SAFETY: none; that is what must be found.
        unsafe { loan.as_mut_ptr().write(1) };
        let _ = pool.lend();
    }
}
