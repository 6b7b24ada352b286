//! `alloc`: memory for packets: allocate and free, frames of one size and blocks of many.
//!
//! *batch* allocates 256 blocks (timed) and frees them in the same order (timed), in one thread or the
//! freeing in another, while the next batch is being allocated. *replace* keeps 1,024 blocks and, in a
//! random order, frees one and allocates another in its stead (timed); then it says how much of the
//! memory was not asked for. Every block is marked, and the mark looked at before it is freed, outside
//! of the timed parts: two blocks in one place are found.

use crate::rivals::{classes::Classes, global_alloc::Blocks};
use mimalloc::MiMalloc;
use snmalloc_rs::SnMalloc;
use std::alloc::System;
use std::sync::mpsc::{Receiver, sync_channel};
use tikv_jemallocator::Jemalloc;
use ukevent_buf::{FramePool, NetAllocator};
use ukevent_measure::Result;
use ukevent_measure::clock::Stopwatch;
use ukevent_measure::cores::{Cores, pin};
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Random, Sample, alternate};

/// A contender; lives on the thread that allocates.
pub(crate) trait Allocator: Sized {
    type Block: Block;
    /// Whether its blocks are memory, so that time can be taken.
    const IS_REAL: bool = true;

    /// For so many blocks at a time, none larger than this.
    fn new(largest_bytes: usize, live: usize) -> Result<Self>;

    fn allocate(&mut self, bytes: usize) -> Result<Self::Block>;

    /// How much of the memory of all the blocks that there are nobody asked for.
    fn wasted_percent(&mut self, live: &[Self::Block]) -> Result<f64>;
}

/// Dropping it frees it.
pub(crate) trait Block: Send + 'static {
    /// Writes something into it. At most once.
    fn mark(&mut self, mark: u64) -> Result<()>;

    fn has_mark(&self, mark: u64) -> bool;
}

const FRAME_BYTES: usize = 2048;
/// Of the mixed sizes, each as likely as any other.
const MIXED_BYTES: (usize, usize) = (64, 9000);
const BATCH: usize = 256;
/// Batches on the way from one thread to the other, those that either has in hand included.
const BATCHES: usize = 4;
const LIVE: usize = 1024;

struct Setup {
    blocks: &'static str,
    /// Smallest and largest.
    bytes: (usize, usize),
    batches: usize,
    replacements: usize,
    core: usize,
    other_core: Option<usize>,
}

impl Setup {
    fn draw(&self, random: &mut Random) -> usize {
        self.bytes.0 + random.below(self.bytes.1 - self.bytes.0 + 1)
    }

    fn timed(&self, watches: &[Stopwatch], work: (&str, &str), units: usize, good: u64) -> Sample {
        let each = |sum: u64| sum as f64 / units as f64;
        let wall_ns = watches.iter().map(Stopwatch::wall_ns).sum();
        let cpu_ns = watches.iter().map(Stopwatch::cpu_ns).sum();
        let sample = Sample::figure("ns", each(wall_ns)).cpu(each(cpu_ns));
        self.named(sample, "time", work).counted(units as u64, good)
    }

    fn named(&self, sample: Sample, measure: &str, (work, threads): (&str, &str)) -> Sample {
        sample
            .with("blocks", self.blocks)
            .with("measure", measure)
            .with("work", work)
            .with("threads", threads)
    }
}

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) {
    if cores.second().is_none() {
        eprintln!("SKIPPED: alloc across threads takes two cores");
    }
    let setup = |blocks, bytes| Setup {
        blocks,
        bytes,
        batches: plan.size(4_000, 10),
        replacements: plan.size(4_000, 10),
        core: cores.first(),
        other_core: cores.second(),
    };
    let frames = setup("frames", (FRAME_BYTES, FRAME_BYTES));
    alternate(plan, "alloc", &of_one_size(), &frames, outcomes);
    alternate(plan, "alloc", &of_any_size(), &setup("mixed", MIXED_BYTES), outcomes);
}

fn of_one_size() -> Vec<Contender<Setup>> {
    let ours = Contender { name: "ukevent FramePool", round: frames::<FramePool> };
    std::iter::once(ours).chain(general(true)).collect()
}

fn of_any_size() -> Vec<Contender<Setup>> {
    let mut contenders =
        vec![Contender { name: "ukevent NetAllocator", round: mixed::<NetAllocator> }];
    contenders.extend(general(false));
    contenders.push(Contender { name: "classes of 2 KiB", round: mixed::<Classes> });
    contenders
}

fn general(one_size: bool) -> [Contender<Setup>; 4] {
    type Round = fn(&Setup) -> Result<Vec<Sample>>;
    let pick = |of_one: Round, of_any: Round| if one_size { of_one } else { of_any };
    [
        ("snmalloc", pick(frames::<Blocks<SnMalloc>>, mixed::<Blocks<SnMalloc>>)),
        ("mimalloc", pick(frames::<Blocks<MiMalloc>>, mixed::<Blocks<MiMalloc>>)),
        ("jemalloc", pick(frames::<Blocks<Jemalloc>>, mixed::<Blocks<Jemalloc>>)),
        ("glibc", pick(frames::<Blocks<System>>, mixed::<Blocks<System>>)),
    ]
    .map(|(name, round)| Contender { name, round })
}

fn frames<A: Allocator>(setup: &Setup) -> Result<Vec<Sample>> {
    let mut samples = vec![one_thread::<A>(setup)?];
    if let Some(core) = setup.other_core {
        samples.push(two_threads::<A>(setup, core)?);
    }
    Ok(samples)
}

fn mixed<A: Allocator>(setup: &Setup) -> Result<Vec<Sample>> {
    let mut samples = if A::IS_REAL { frames::<A>(setup)? } else { Vec::new() };
    samples.extend(replace::<A>(setup)?);
    Ok(samples)
}

/// Allocates a batch, and marks it.
fn allocate<A: Allocator>(
    allocator: &mut A,
    sizes: &[usize],
    first_mark: u64,
    watch: &mut Stopwatch,
    batch: &mut Vec<A::Block>,
) -> Result<()> {
    watch.time(|| -> Result<()> {
        for &bytes in sizes {
            batch.push(allocator.allocate(bytes)?);
        }
        Ok(())
    })?;
    (first_mark..).zip(batch).try_for_each(|(mark, block)| block.mark(mark))
}

/// Frees a batch. Returns how many had their mark.
fn free<B: Block>(batch: &mut Vec<B>, first_mark: u64, watch: &mut Stopwatch) -> u64 {
    let good = (first_mark..).zip(&*batch).filter(|(mark, block)| block.has_mark(*mark)).count();
    watch.time(|| batch.clear());
    good as u64
}

fn one_thread<A: Allocator>(setup: &Setup) -> Result<Sample> {
    pin(setup.core)?;
    let mut allocator = A::new(setup.bytes.1, BATCH)?;
    let mut random = Random::new(5);
    let mut batch = Vec::with_capacity(BATCH);
    let mut watches = [Stopwatch::new(); 2];
    let mut good = 0;
    // The first is a warm-up: memory is there after it.
    for number in 0..=setup.batches {
        let sizes: Vec<usize> = (0..BATCH).map(|_| setup.draw(&mut random)).collect();
        let first_mark = (number * BATCH) as u64;
        if number == 1 {
            watches.iter_mut().for_each(Stopwatch::reset);
            good = 0;
        }
        allocate(&mut allocator, &sizes, first_mark, &mut watches[0], &mut batch)?;
        good += free(&mut batch, first_mark, &mut watches[1]);
    }
    Ok(setup.timed(&watches, ("batch", "one"), setup.batches * BATCH, good))
}

fn two_threads<A: Allocator>(setup: &Setup, other_core: usize) -> Result<Sample> {
    pin(setup.core)?;
    let mut allocator = A::new(setup.bytes.1, BATCH * BATCHES)?;
    // One batch is being made, one freed, and those between wait.
    let (to_other, batches) = sync_channel(BATCHES - 2);
    let (back, empties) = sync_channel(BATCHES);
    for _ in 0..BATCHES {
        back.send(Vec::with_capacity(BATCH)).map_err(|_| "the other thread is gone")?;
    }
    let other = std::thread::spawn(move || -> Result<(Stopwatch, u64)> {
        pin(other_core)?;
        Ok(free_all::<A>(&batches, |batch| back.send(batch).is_ok()))
    });
    let mut random = Random::new(6);
    let mut watch = Stopwatch::new();
    for number in 0..=setup.batches {
        let sizes: Vec<usize> = (0..BATCH).map(|_| setup.draw(&mut random)).collect();
        let first_mark = (number * BATCH) as u64;
        if number == 1 {
            watch.reset();
        }
        let mut batch = empties.recv()?;
        allocate(&mut allocator, &sizes, first_mark, &mut watch, &mut batch)?;
        to_other.send((first_mark, batch)).map_err(|_| "the other thread is gone")?;
    }
    drop(to_other);
    let (others, good) = other.join().map_err(|_| "the other thread panicked")??;
    Ok(setup.timed(&[watch, others], ("batch", "two"), setup.batches * BATCH, good))
}

/// The other thread's part. All but the first batch count.
fn free_all<A: Allocator>(
    batches: &Receiver<(u64, Vec<A::Block>)>,
    give_back: impl Fn(Vec<A::Block>) -> bool,
) -> (Stopwatch, u64) {
    let mut watch = Stopwatch::new();
    let mut good = 0;
    for (first_mark, mut batch) in batches {
        let of_batch = free(&mut batch, first_mark, &mut watch);
        if first_mark == 0 {
            watch.reset();
        } else {
            good += of_batch;
        }
        // At the end nobody wants it.
        give_back(batch);
    }
    (watch, good)
}

fn replace<A: Allocator>(setup: &Setup) -> Result<Vec<Sample>> {
    pin(setup.core)?;
    let mut allocator = A::new(setup.bytes.1, LIVE)?;
    let mut random = Random::new(7);
    let sizes: Vec<usize> = (0..LIVE).map(|_| setup.draw(&mut random)).collect();
    let mut live = Vec::with_capacity(LIVE);
    let mut marks: Vec<u64> = (0..LIVE as u64).collect();
    let mut watch = Stopwatch::new();
    allocate(&mut allocator, &sizes, 0, &mut watch, &mut live)?;
    let mut good = 0;
    // The first quarter is a warm-up: the memory is then as replacing leaves it.
    let warm_up = setup.replacements / 4;
    for number in 0..warm_up + setup.replacements {
        if number == warm_up {
            watch.reset();
            good = 0;
        }
        // Each place once, so that all marks can be looked at before, and written after.
        let places = &random.order(LIVE)[..BATCH];
        let steps: Vec<(usize, usize)> =
            places.iter().map(|&place| (place as usize, setup.draw(&mut random))).collect();
        good += steps.iter().filter(|(place, _)| live[*place].has_mark(marks[*place])).count();
        watch.time(|| -> Result<()> {
            for &(place, bytes) in &steps {
                replace_one(&mut live, place, || allocator.allocate(bytes))?;
            }
            Ok(())
        })?;
        for &(place, _) in &steps {
            marks[place] = marks[place].wrapping_add(LIVE as u64);
            live[place].mark(marks[place])?;
        }
    }
    let wasted = Sample::figure("% of bytes", allocator.wasted_percent(&live)?);
    let wasted = setup.named(wasted, "wasted", ("replace", "one"));
    let units = setup.replacements * BATCH;
    let timed = setup.timed(&[watch], ("replace", "one"), units, good as u64);
    Ok(if A::IS_REAL { vec![timed, wasted] } else { vec![wasted] })
}

/// Frees a block and allocates another, in this order. The last one is in its place meanwhile.
#[inline]
fn replace_one<B>(
    live: &mut Vec<B>,
    place: usize,
    allocate: impl FnOnce() -> Result<B>,
) -> Result<()> {
    drop(live.swap_remove(place));
    live.push(allocate()?);
    let last = live.len() - 1;
    live.swap(place, last);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Allocator, Block, Blocks, Setup, System, one_thread, replace};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use ukevent_measure::Result;
    use ukevent_measure::cores::Cores;

    /// Gives out the same place again and again.
    struct Same(Arc<AtomicU64>);

    struct Place(Arc<AtomicU64>);

    impl Allocator for Same {
        type Block = Place;

        fn new(_largest_bytes: usize, _live: usize) -> Result<Self> {
            Ok(Self(Arc::default()))
        }

        fn allocate(&mut self, _bytes: usize) -> Result<Place> {
            Ok(Place(self.0.clone()))
        }

        fn wasted_percent(&mut self, _live: &[Place]) -> Result<f64> {
            Ok(0.0)
        }
    }

    impl Block for Place {
        fn mark(&mut self, mark: u64) -> Result<()> {
            self.0.store(mark, Ordering::Relaxed);
            Ok(())
        }

        fn has_mark(&self, mark: u64) -> bool {
            self.0.load(Ordering::Relaxed) == mark
        }
    }

    #[test]
    fn two_blocks_in_one_place_are_found() {
        let core = Cores::find().unwrap().first();
        let bytes = (64, 9000);
        let setup =
            Setup { blocks: "mixed", bytes, batches: 2, replacements: 4, core, other_core: None };
        assert!(!one_thread::<Same>(&setup).unwrap().is_whole());
        assert!(!replace::<Same>(&setup).unwrap()[0].is_whole());
        assert!(one_thread::<Blocks<System>>(&setup).unwrap().is_whole());
        assert!(replace::<Blocks<System>>(&setup).unwrap()[0].is_whole());
    }
}
