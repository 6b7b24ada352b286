//! Time and CPU time of a section, and on which core a thread runs.
//!
//! Sections may be shorter than a microsecond, so what reading the clocks costs is found first and
//! taken off. The wall clock is read inside of the CPU clock, which is a system call: the wall time
//! has nothing of it.

use crate::Result;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

/// Nanoseconds of the monotonic clock.
pub(crate) fn now_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Nanoseconds of CPU that this thread used.
pub(crate) fn thread_cpu_ns() -> u64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

/// Nanoseconds of CPU that all threads of this process used, those of the kernel's workers for it
/// included.
pub(crate) fn process_cpu_ns() -> u64 {
    nanoseconds(ClockId::ProcessCPUTime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Waits, awake, until the monotonic clock shows this.
pub(crate) fn spin_until(at_ns: u64) {
    while now_ns() < at_ns {
        std::hint::spin_loop();
    }
}

/// Sums up the sections of one measurement.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch {
    wall_ns: u64,
    cpu_ns: u64,
    /// What an empty section shows.
    idle: Reading,
}

#[derive(Clone, Copy)]
struct Reading {
    wall_ns: u64,
    cpu_ns: u64,
}

impl Stopwatch {
    /// At zero. Takes some 100 µs to learn what the clocks cost.
    pub(crate) fn new() -> Self {
        let mut walls = Vec::new();
        let mut cpus = Vec::new();
        for _ in 0..101 {
            let (_, reading) = read(|| black_box(0));
            walls.push(reading.wall_ns);
            cpus.push(reading.cpu_ns);
        }
        walls.sort_unstable();
        cpus.sort_unstable();
        Self { wall_ns: 0, cpu_ns: 0, idle: Reading { wall_ns: walls[50], cpu_ns: cpus[50] } }
    }

    /// Runs a section and adds what it took.
    #[inline]
    pub(crate) fn time<T>(&mut self, section: impl FnOnce() -> T) -> T {
        let (result, reading) = read(section);
        self.wall_ns += reading.wall_ns.saturating_sub(self.idle.wall_ns);
        self.cpu_ns += reading.cpu_ns.saturating_sub(self.idle.cpu_ns);
        result
    }

    /// Wall time of all sections.
    pub(crate) const fn wall_ns(&self) -> u64 {
        self.wall_ns
    }

    /// CPU time of this thread in all sections.
    pub(crate) const fn cpu_ns(&self) -> u64 {
        self.cpu_ns
    }

    /// Back to zero.
    pub(crate) const fn reset(&mut self) {
        self.wall_ns = 0;
        self.cpu_ns = 0;
    }
}

#[inline]
fn read<T>(section: impl FnOnce() -> T) -> (T, Reading) {
    let cpu_ns = thread_cpu_ns();
    let wall_ns = now_ns();
    let result = section();
    let wall_ns = now_ns() - wall_ns;
    let cpu_ns = thread_cpu_ns() - cpu_ns;
    (result, Reading { wall_ns, cpu_ns })
}

/// The cores that this process may use.
#[derive(Clone, Debug)]
pub(crate) struct Cores(Vec<usize>);

impl Cores {
    /// Asks the kernel. Before the first pinning.
    pub(crate) fn find() -> Result<Self> {
        let set = sched_getaffinity(None)?;
        Ok(Self((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()))
    }

    /// Where the contender runs.
    pub(crate) fn first(&self) -> usize {
        self.0[0]
    }

    /// Where the load, or the other thread, runs; `None` on a machine with one core.
    pub(crate) fn second(&self) -> Option<usize> {
        self.0.get(1).copied()
    }

    /// How many there are.
    pub(crate) const fn count(&self) -> usize {
        self.0.len()
    }
}

/// Lets this thread, and those it makes from now on, run on all of these cores.
pub(crate) fn spread(cores: &Cores) -> Result<()> {
    let mut set = CpuSet::new();
    cores.0.iter().for_each(|&core| set.set(core));
    Ok(sched_setaffinity(None, &set)?)
}

/// Keeps this thread, and the children it makes from now on, on one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}
