//! Time and CPU time of a section.
//!
//! Sections may be shorter than a microsecond, so what reading the clocks costs is found first and
//! taken off. The wall clock is read inside of the CPU clock, which is a system call: the wall time
//! has nothing of it.

use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

pub use ukevent_sys::clock::process_cpu_ns_of;

/// Nanoseconds of the monotonic clock.
#[must_use]
pub fn now_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Nanoseconds of CPU that this thread used.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

/// Nanoseconds of CPU that all threads of this process used, those of the kernel's workers for it
/// included.
#[must_use]
pub fn process_cpu_ns() -> u64 {
    nanoseconds(ClockId::ProcessCPUTime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Waits, awake, until the monotonic clock shows this.
pub fn spin_until(at_ns: u64) {
    while now_ns() < at_ns {
        std::hint::spin_loop();
    }
}

/// Sums up the sections of one measurement.
///
/// ```
/// use ukevent_measure::clock::Stopwatch;
///
/// let mut watch = Stopwatch::new();
/// let sum = watch.time(|| (0..1000_u64).map(std::hint::black_box).sum::<u64>());
/// assert_eq!(sum, 499_500);
/// assert!(watch.wall_ns() > 0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    wall_ns: u64,
    cpu_ns: u64,
    /// What an empty section shows.
    idle: Reading,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    wall_ns: u64,
    cpu_ns: u64,
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self::new()
    }
}

impl Stopwatch {
    /// At zero. Takes some 100 µs to learn what the clocks cost.
    #[must_use]
    pub fn new() -> Self {
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
    pub fn time<T>(&mut self, section: impl FnOnce() -> T) -> T {
        let (result, reading) = read(section);
        self.wall_ns += reading.wall_ns.saturating_sub(self.idle.wall_ns);
        self.cpu_ns += reading.cpu_ns.saturating_sub(self.idle.cpu_ns);
        result
    }

    /// Wall time of all sections.
    #[must_use]
    pub const fn wall_ns(&self) -> u64 {
        self.wall_ns
    }

    /// CPU time of this thread in all sections.
    #[must_use]
    pub const fn cpu_ns(&self) -> u64 {
        self.cpu_ns
    }

    /// Back to zero.
    pub const fn reset(&mut self) {
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
