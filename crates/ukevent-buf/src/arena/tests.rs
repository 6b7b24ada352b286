//! The arena: its pages, its bound, what is given back to the system, and who else may see it.

use super::*;
use crate::error::ViewError;
use crate::{AllocateError, FramePool, NetAllocator, PoolError};
use rustix::mm::{MapFlags, ProtFlags};
use std::fs;
use std::os::fd::AsFd;

const MIB: usize = 1 << 20;

fn fill(arena: &Arena, byte: u8) {
    // SAFETY: of tests whose arena nobody else uses.
    unsafe { arena.as_ptr().write_bytes(byte, arena.len_bytes()) };
}

fn is_all(arena: &Arena, byte: u8) -> bool {
    // SAFETY: as above.
    let bytes = unsafe { std::slice::from_raw_parts(arena.as_ptr().as_ptr(), arena.len_bytes()) };
    bytes.iter().all(|it| *it == byte)
}

#[test]
fn is_zeroed_and_all_can_be_written() {
    let _count = testkit::count_descriptors();
    for name in [None, Some("test")] {
        let arena = match name {
            None => Arena::new(3 * MIB + 5),
            Some(name) => Arena::builder(3 * MIB + 5).memfd(name).build(),
        };
        let arena = arena.unwrap();
        assert!(arena.len_bytes() > 3 * MIB && arena.len_bytes() < 3 * MIB + 65536 + 1);
        assert_eq!(arena.len_bytes() % rustix::param::page_size(), 0);
        assert!(is_all(&arena, 0));
        fill(&arena, 7);
        assert!(is_all(&arena, 7));
        assert!(arena.residency().unwrap().resident_bytes >= arena.len_bytes());
    }
}

#[test]
fn sizes_that_are_none_are_refused() {
    for bytes in [0, MAX_BYTES + 1, usize::MAX] {
        assert!(matches!(Arena::new(bytes), Err(ArenaError::Invalid(_))), "{bytes}");
    }
    for region_bytes in [0, 1, 2048, 3 * 4096, 2 << 30] {
        let built = Arena::builder(MIB).region_bytes(region_bytes).build();
        assert!(matches!(built, Err(ArenaError::Invalid(_))), "{region_bytes}");
    }
    let arena = Arena::builder(MIB).region_bytes(256 << 10).build().unwrap();
    assert_eq!(arena.region_bytes(), 256 << 10);
}

#[test]
fn regions_are_a_part_of_the_arena() {
    for (bytes, region_bytes) in [
        (4096, 4096),
        (5 * 4096, 4 * 4096),
        (64 << 10, 64 << 10),
        (MIB, 64 << 10),
        (8 * MIB, 512 << 10),
        (256 * MIB, 2 * MIB),
    ] {
        assert_eq!(Arena::new(bytes).unwrap().region_bytes(), region_bytes, "{bytes}");
    }
}

#[test]
fn says_which_pages_it_has_and_why() {
    let never = Arena::builder(4 * MIB).huge_pages(HugePages::Never).build().unwrap().pages();
    assert_eq!(
        (never.kind, never.no_reserved, never.no_transparent),
        (PageKind::Small, None, None)
    );
    assert_eq!(never.page_bytes, rustix::param::page_size());
    assert_eq!(never.to_string(), format!("pages of {} KiB", never.page_bytes >> 10));

    let small = Arena::builder(MIB).huge_pages(HugePages::Reserved).build().unwrap().pages();
    assert_eq!(small.no_reserved, Some(Refusal::Small));
    assert_eq!((small.kind, small.no_transparent), (PageKind::Small, Some(Refusal::Small)));
}

#[test]
fn transparent_pages_follow_the_setting() {
    let _count = testkit::count_descriptors();
    for (name, setting) in [(None, "enabled"), (Some("test"), "shmem_enabled")] {
        let mut builder = Arena::builder(4 * MIB);
        if let Some(name) = name {
            builder = builder.memfd(name);
        }
        let pages = builder.build().unwrap().pages();
        let file = format!("/sys/kernel/mm/transparent_hugepage/{setting}");
        let is_off = |text: String| text.contains("[never]") || text.contains("[deny]");
        match fs::read_to_string(&file).map(is_off) {
            Ok(false) => {
                assert_eq!((pages.kind, pages.no_transparent), (PageKind::Transparent, None))
            }
            Ok(true) => {
                assert_eq!(pages.kind, PageKind::Small);
                let told = pages.to_string();
                assert!(
                    told.contains("no transparent huge pages") && told.contains(&file),
                    "{told}"
                );
            }
            Err(_) => assert!(matches!(pages.no_transparent, Some(Refusal::Unsupported(_)))),
        }
    }
}

#[test]
fn reserved_pages_are_had_or_refused_aloud() {
    let _count = testkit::count_descriptors();
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|count| count.parse::<usize>().ok()).unwrap_or(0)
    };
    let are_there = field("HugePages_Free") - field("HugePages_Rsvd") >= 2
        && field("Hugepagesize") == RESERVED_KIB;
    for name in [None, Some("test")] {
        let mut builder = Arena::builder(3 * MIB).huge_pages(HugePages::Reserved);
        if let Some(name) = name {
            builder = builder.memfd(name);
        }
        let arena = builder.build().unwrap();
        let pages = arena.pages();
        if are_there {
            assert_eq!((pages.kind, pages.no_reserved), (PageKind::Reserved, None));
            assert_eq!((pages.page_bytes, arena.len_bytes()), (2 * MIB, 4 * MIB));
            assert_eq!(arena.residency().unwrap().huge_bytes, 4 * MIB);
            assert_eq!(arena.trim(), Ok(0));
        } else {
            assert_ne!(pages.kind, PageKind::Reserved);
            assert!(matches!(pages.no_reserved, Some(Refusal::Kernel(_))));
            let told = pages.to_string();
            assert!(told.contains("no reserved huge pages: m"), "{told}");
        }
        assert!(is_all(&arena, 0));
        fill(&arena, 1);
    }
}

const RESERVED_KIB: usize = map::RESERVED_PAGE_BYTES >> 10;

#[test]
fn trimming_gives_pages_back_and_leaves_zeros() {
    let _count = testkit::count_descriptors();
    for name in [None, Some("test")] {
        let mut builder = Arena::builder(4 * MIB);
        if let Some(name) = name {
            builder = builder.memfd(name);
        }
        let arena = builder.build().unwrap();
        fill(&arena, 9);
        assert_eq!(arena.residency().unwrap().resident_bytes, 4 * MIB);
        let pin = arena.pin();
        let second = arena.pin();
        drop(pin);
        assert_eq!(arena.trim(), Ok(0), "pinned");
        assert!(is_all(&arena, 9));
        drop(second);
        assert_eq!(arena.trim(), Ok(4 * MIB));
        assert_eq!(arena.residency().unwrap().resident_bytes, 0);
        if let Some(file) = arena.descriptor().unwrap() {
            assert_eq!(
                rustix::fs::fstat(&file).unwrap().st_blocks,
                0,
                "the memfd has no page left"
            );
        }
        assert!(is_all(&arena, 0));
    }
}

#[test]
fn trimming_leaves_what_is_held() {
    let arena = Arena::builder(4 * MIB).huge_pages(HugePages::Never).build().unwrap();
    fill(&arena, 9);
    let pool = FramePool::builder(512, 2048).exact().build(&arena).unwrap();
    assert_eq!(arena.trim(), Ok(3 * MIB));
    assert_eq!(arena.residency().unwrap().resident_bytes, MIB);
    let frame = pool.allocate().unwrap();
    drop(pool);
    assert_eq!(arena.trim(), Ok(3 * MIB), "a frame is lent");
    assert_eq!(arena.residency().unwrap().resident_bytes, MIB);
    drop(frame);
    assert_eq!(arena.trim(), Ok(4 * MIB));
    assert_eq!(arena.residency().unwrap().resident_bytes, 0);
}

#[test]
fn statistics_add_up() {
    let arena = Arena::builder(4 * MIB).region_bytes(MIB).build().unwrap();
    let pool = FramePool::builder(256, 4096).exact().build(&arena).unwrap();
    let net = NetAllocator::new(&arena);
    let (frame, block) = (pool.allocate().unwrap(), net.allocate(1000).unwrap());
    let statistics = arena.statistics();
    assert_eq!((statistics.bytes, statistics.free_bytes), (4 * MIB, 2 * MIB));
    assert_eq!(statistics.largest_free_bytes, 2 * MIB);
    let [frames, blocks] = statistics.owners[..] else { panic!("two owners: {statistics:?}") };
    assert_eq!((frames.kind, frames.number), (OwnerKind::Frames, pool.number()));
    assert_eq!((frames.held_bytes, frames.used_bytes), (MIB, 4096));
    assert_eq!((blocks.kind, blocks.number), (OwnerKind::Network, net.number()));
    assert_eq!(blocks.held_bytes, MIB);
    assert_eq!(blocks.used_bytes, net.statistics().unwrap().used_bytes);
    drop((frame, block, pool, net));
    let statistics = arena.statistics();
    assert_eq!((statistics.free_bytes, statistics.owners.len()), (4 * MIB, 0));
    assert_eq!(statistics.largest_free_bytes, 4 * MIB);
}

#[test]
fn full_is_an_outcome() {
    let arena = Arena::builder(MIB).region_bytes(512 << 10).build().unwrap();
    let sketch = FramePool::builder(1, 600 << 10).exact();
    let pool = sketch.clone().build(&arena).unwrap();
    let refused = sketch.clone().build(&arena).unwrap_err();
    assert_eq!(refused, PoolError::Full { needs_bytes: 600 << 10 });
    // What is left is no region of its own.
    let net = NetAllocator::new(&arena);
    assert_eq!(net.allocate(64).unwrap_err(), AllocateError::Full);
    drop(pool);
    assert!(net.allocate(64).is_ok());
    drop(net);
    assert!(sketch.build(&arena).is_ok());
}

#[test]
fn a_view_sees_what_is_written() {
    let _count = testkit::count_descriptors();
    let arena = Arena::builder(2 * MIB).memfd("seen").build().unwrap();
    let net = NetAllocator::new(&arena);
    let view = ArenaView::open(arena.descriptor().unwrap().unwrap()).unwrap();
    assert_eq!(view.len_bytes(), 2 * MIB);
    let mut rng = testkit::Rng::seeded();
    for _ in 0..100 {
        let mut buffer = net.allocate(3000).unwrap();
        let (skip, len) = (rng.below(64) as usize, rng.below(2900) as usize);
        buffer.clear(skip);
        rng.fill(&mut buffer.tailroom_mut()[..len]);
        buffer.advance(len).unwrap();
        let offset = buffer.offset_in_arena().unwrap();
        let slice = buffer.freeze();
        assert_eq!(slice.offset_in_arena(), Some(offset));
        let mut copy = vec![0; len];
        assert!(view.read(offset, &mut copy));
        assert_eq!(copy, slice[..]);
        // SAFETY: the slice keeps anybody from writing.
        assert_eq!(unsafe { view.bytes(offset, len) }, Some(&slice[..]));
    }
    // SAFETY: nobody writes.
    assert_eq!(unsafe { view.bytes(2 * MIB - 3, 4) }, None);
    // SAFETY: as above.
    assert_eq!(unsafe { view.bytes(usize::MAX, 1) }, None);
    assert!(view.read(2 * MIB - 3, &mut [0; 3]) && !view.read(2 * MIB - 3, &mut [0; 4]));
    assert!(!view.read(usize::MAX, &mut [0; 4]) && view.read(2 * MIB, &mut []));
}

#[test]
fn a_view_outlives_the_arena() {
    let _count = testkit::count_descriptors();
    let arena = Arena::builder(MIB).memfd("seen").build().unwrap();
    fill(&arena, 5);
    let view = ArenaView::open(arena.descriptor().unwrap().unwrap()).unwrap();
    drop(arena);
    let mut bytes = [0; 8];
    assert!(view.read(MIB - 8, &mut bytes));
    assert_eq!(bytes, [5; 8]);
}

#[test]
fn the_descriptor_can_neither_write_nor_resize() {
    let _count = testkit::count_descriptors();
    let arena = Arena::builder(MIB).memfd("sealed").build().unwrap();
    let file = arena.descriptor().unwrap().unwrap();
    assert!(rustix::io::write(&file, b"x").is_err());
    assert!(rustix::fs::ftruncate(&file, 0).is_err());
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: at no address of ours, so it replaces nothing.
    let mapped =
        unsafe { rustix::mm::mmap(std::ptr::null_mut(), MIB, rights, MapFlags::SHARED, &file, 0) };
    assert_eq!(mapped.unwrap_err(), rustix::io::Errno::ACCESS);
    assert!(Arena::new(MIB).unwrap().descriptor().unwrap().is_none());
}

#[test]
fn only_what_cannot_shrink_can_be_viewed() {
    let _count = testkit::count_descriptors();
    let unsealed = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&unsealed, 4096).unwrap();
    let (pipe, _end) = testkit::pipe_pair();
    for file in [unsealed.as_fd(), pipe.as_fd(), fs::File::open("/dev/zero").unwrap().as_fd()] {
        assert_eq!(ArenaView::open(file).unwrap_err(), ViewError::MayShrink);
    }
}

#[test]
fn has_a_page_on_either_side_that_nobody_may_touch() {
    for bytes in [4096, 64 << 10, 4 * MIB] {
        let arena = Arena::new(bytes).unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let rights_at = |address: usize| {
            let holds = |line: &&str| {
                let (begin, end) = line.split(' ').next()?.split_once('-')?;
                let number = |text| usize::from_str_radix(text, 16).ok();
                Some((number(begin)?..number(end)?).contains(&address))
            };
            let line = maps.lines().find(|line| holds(line) == Some(true));
            line.and_then(|line| line.split(' ').nth(1)).map(str::to_owned)
        };
        let begin = arena.as_ptr().addr().get();
        assert_eq!(rights_at(begin - 1).as_deref(), Some("---p"), "before {bytes}");
        assert_eq!(rights_at(begin).as_deref(), Some("rw-p"));
        assert_eq!(rights_at(begin + arena.len_bytes()).as_deref(), Some("---p"), "behind");
    }
}

#[test]
fn leaves_no_descriptor_and_no_mapping_behind() {
    testkit::alone(|| {
        let mappings = || fs::read_to_string("/proc/self/maps").unwrap();
        let before = mappings().lines().count();
        testkit::assert_no_leak(|| {
            for _ in 0..100 {
                let arena = Arena::builder(4 * MIB).memfd("leak").build().unwrap();
                let net = NetAllocator::new(&arena);
                let buffer = net.allocate(100).unwrap();
                assert!(mappings().contains("/memfd:leak"));
                drop((arena, net));
                drop(buffer);
            }
        });
        assert!(!mappings().contains("/memfd:leak"));
        // Each had several; the heap may have grown by a few.
        let after = mappings().lines().count();
        assert!(after < before + 50, "{after} mappings after {before}");
    });
}
