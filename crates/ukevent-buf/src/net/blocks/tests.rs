//! The rows of blocks, against a map of the arena's lines.

use crate::entry::{Entry, Origin};
use crate::net::blocks::{FREE, LENT, NONE, VACANT, lines_for, lines_of};
use crate::{AllocateError, Arena, Buffer, NetAllocator};
use std::collections::BTreeMap;

const REGION_BYTES: usize = 128 << 10;

fn arena(regions: usize) -> Arena {
    Arena::builder(regions * REGION_BYTES).region_bytes(REGION_BYTES).build().unwrap()
}

impl NetAllocator {
    /// Checks all that must hold of the rows, the lists and the entries; the lent blocks, as where each
    /// begins in the arena and how many lines it has.
    fn check(&self) -> BTreeMap<usize, usize> {
        let check = |blocks: &mut super::Blocks, home: &crate::home::Home<super::Blocks>| {
            let mut lent = BTreeMap::new();
            let mut free = 0;
            let mut whole = 0;
            for number in 0..blocks.regions.len() as u32 {
                if blocks.regions[number as usize].is_none() {
                    continue;
                }
                let ids = number << blocks.region_shift..blocks.vacant[number as usize].fresh;
                let live: Vec<u32> =
                    ids.clone().filter(|id| blocks.at(*id).state.get() != VACANT).collect();
                let first = live.iter().find(|id| blocks.at(**id).before.get() == NONE);
                let mut id = *first.expect("a row has a beginning");
                let (mut before, mut line) = (NONE, ids.start as usize);
                let mut seen = 0;
                while id != NONE {
                    let block: &Entry = blocks.at(id);
                    assert_eq!(block.before.get(), before, "the row can be walked back");
                    assert_eq!(home.side().line_at(block.base.get()), line, "without gaps");
                    let lines = lines_of(block) as usize;
                    match block.state.get() {
                        LENT => {
                            lent.insert(line, lines);
                            let Origin::Block(own, _) = block.origin.get() else {
                                panic!("a block knows its home")
                            };
                            assert_eq!(own, id);
                        }
                        FREE => {
                            free += 1;
                            whole += u32::from(lines == blocks.region_lines as usize);
                            let is_free = |id| id != NONE && blocks.at(id).state.get() == FREE;
                            assert!(!is_free(block.before.get()), "free neighbours are joined");
                            let bin = super::bin_of(lines as u32);
                            assert!(
                                blocks.walk(bin).any(|it| std::ptr::eq(it, block)),
                                "is listed"
                            );
                        }
                        _ => panic!("what is in a row is free or lent"),
                    }
                    (before, id) = (id, block.after.get());
                    line += lines;
                    seen += 1;
                }
                assert_eq!(line, (ids.start + blocks.region_lines) as usize, "to the end");
                assert_eq!(seen, live.len(), "every entry in use is in the row");
            }
            assert_eq!(whole, blocks.empty);
            let listed: usize =
                (0..super::super::bins::BINS).map(|bin| blocks.walk(bin).count()).sum();
            assert_eq!(listed, free, "nothing else is listed");
            lent
        };
        self.owner.with(check).unwrap()
    }
}

/// Where a buffer begins in the arena, and how much it takes, in lines.
fn place(buffer: &Buffer, asked: usize) -> (usize, usize) {
    let begin = buffer.offset_in_arena().unwrap() - buffer.headroom();
    assert_eq!(begin % 64, 0);
    (begin / 64, lines_for(asked))
}

#[test]
fn agrees_with_a_map_of_the_lines() {
    let mut rng = testkit::Rng::seeded();
    let arena = arena(4);
    let net = NetAllocator::new(&arena);
    let mut live: Vec<(Buffer, usize, u8)> = Vec::new();
    let sizes = [64, 65, 576, 1500, 2048, 9000, 40_000, 100_000];
    let mut fulls = 0;
    for step in 0..30_000_u32 {
        let grows = (step / 3000) % 2 == 0;
        if rng.below(10) < if grows { 7 } else { 3 } {
            let asked = match rng.below(3) {
                0 => *rng.pick(&sizes),
                1 => rng.below(9001) as usize,
                _ => {
                    let bits = rng.below(17);
                    rng.below(1 << bits) as usize
                }
            };
            match net.allocate(asked) {
                Ok(mut buffer) => {
                    let byte = rng.next_u64() as u8;
                    buffer.set_len(asked).unwrap();
                    buffer.fill(byte);
                    live.push((buffer, asked, byte));
                }
                Err(error) => {
                    assert_eq!(error, AllocateError::Full);
                    fulls += 1;
                    // Nowhere is there a gap for it.
                    let lent = net.check();
                    let lines = lines_for(asked);
                    let region_lines = REGION_BYTES / 64;
                    for region in 0..4 {
                        let mut end = region * region_lines;
                        for (begin, lines_lent) in lent.range(end..end + region_lines) {
                            assert!(begin - end < lines, "a gap of {} lines", begin - end);
                            end = begin + lines_lent;
                        }
                        assert!((region + 1) * region_lines - end < lines);
                    }
                }
            }
        } else if !live.is_empty() {
            let (buffer, asked, byte) = live.swap_remove(rng.below(live.len() as u64) as usize);
            assert!(buffer.len() == asked && buffer.iter().all(|it| *it == byte), "untouched");
        }
        if rng.one_in(50) {
            let expected: BTreeMap<_, _> =
                live.iter().map(|(buffer, asked, _)| place(buffer, *asked)).collect();
            assert_eq!(expected.len(), live.len(), "no two begin at the same place");
            assert_eq!(net.check(), expected);
        }
    }
    assert!(fulls > 100, "the arena was full now and then");
    drop(live);
    assert!(net.check().is_empty());
    net.trim().unwrap();
    assert_eq!(arena.statistics().free_bytes, arena.len_bytes());
}

/// As many blocks as there can be: one for each line, or in a debug build for each two.
#[test]
fn has_an_entry_for_every_line() {
    let arena = arena(1);
    let net = NetAllocator::new(&arena);
    for _ in 0..3 {
        let mut all: Vec<_> = std::iter::from_fn(|| net.allocate(1).ok()).collect();
        assert_eq!(all.len(), REGION_BYTES / 64 / lines_for(1));
        net.check();
        // Every second one first, so that nothing joins until the end.
        let mut keep = false;
        all.retain(|_| {
            keep = !keep;
            keep
        });
        net.check();
        drop(all);
        assert_eq!(net.statistics().unwrap().largest_free_bytes, REGION_BYTES);
    }
}

#[test]
fn takes_the_smallest_block_that_will_do() {
    let arena = arena(1);
    let net = NetAllocator::new(&arena);
    let sizes = [5000, 1000, 3000, 2000, 4000];
    let mut holes = Vec::new();
    let mut walls = Vec::new();
    for bytes in sizes {
        holes.push(net.allocate(bytes).unwrap());
        walls.push(net.allocate(64).unwrap());
    }
    let places: BTreeMap<usize, *const u8> =
        sizes.iter().copied().zip(holes.iter().map(|it| it.as_ptr())).collect();
    drop(holes);
    for (bytes, place) in places {
        assert_eq!(net.allocate(bytes - 100).unwrap().as_ptr(), place, "{bytes}");
    }
    drop(walls);
}

/// Above 32 KiB a list holds blocks of different sizes.
#[test]
fn finds_large_blocks_among_similar_ones() {
    let arena = Arena::builder(4 << 20).region_bytes(4 << 20).build().unwrap();
    let net = NetAllocator::new(&arena);
    let mut rng = testkit::Rng::seeded();
    for _ in 0..200 {
        let sizes: Vec<usize> = (0..8).map(|_| rng.range(33_000..300_000) as usize).collect();
        let holes: Vec<_> = sizes
            .iter()
            .map(|bytes| (net.allocate(*bytes).unwrap(), net.allocate(64).unwrap()))
            .collect();
        let rest: Vec<_> = std::iter::from_fn(|| net.allocate(33_000).ok()).collect();
        let (holes, walls): (Vec<_>, Vec<_>) = holes.into_iter().unzip();
        drop(holes);
        let mut sizes = sizes;
        sizes.sort_unstable();
        sizes.reverse();
        // The largest first, so that each finds its own.
        let again: Vec<_> = sizes.iter().map(|bytes| net.allocate(*bytes)).collect();
        assert!(again.iter().all(Result::is_ok));
        net.check();
        drop((walls, rest, again));
    }
}
