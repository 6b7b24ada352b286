//! `reads`: 4 KiB at random places of a file, 64 at a time, from the page cache and past it.
//!
//! The file has 1 GiB, no name, and in each page its number, which is looked for at both ends of what
//! was read. It is read once before, so that it is in the page cache; past it means `O_DIRECT`. CPU is
//! that of the whole process: of all threads, the kernel's workers for it included. Who has threads has
//! all cores for them; the others stay on the first.

use crate::rivals::{
    pread::Preads,
    ring_read::{Plain, Registered, RingReads},
    tokio_fs::{TokioBlocking, TokioFs},
    ukevent_read::UkeventReads,
};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use ukevent_bench::contenders::ukevent::{Epoll, IoUring};
use ukevent_measure::Result;
use ukevent_measure::clock::{now_ns, process_cpu_ns};
use ukevent_measure::cores::{Cores, pin, spread};
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Random, Sample, alternate};

pub(crate) const PAGE_BYTES: usize = 4096;
/// Reads at a time.
pub(crate) const IN_FLIGHT: usize = 64;

/// Bytes that lie as `O_DIRECT` wants them.
#[repr(C, align(4096))]
pub(crate) struct Page(pub(crate) [u8; PAGE_BYTES]);

impl Page {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self([0; PAGE_BYTES]))
    }
}

/// A contender.
pub(crate) trait Reads: Sized {
    /// Whether it has threads, and all cores for them.
    const HAS_THREADS: bool;

    fn new(target: &Target) -> Result<Self>;

    /// Reads so many pages, a multiple of [`IN_FLIGHT`]. Returns how many were those that were asked
    /// for.
    fn read(&mut self, count: usize, random: &mut Random) -> Result<u64>;
}

/// What is read.
pub(crate) struct Target {
    file: File,
    flags: OFlags,
    pub(crate) pages: usize,
}

impl Target {
    /// Opens it. Its name is that of a descriptor, which this holds.
    pub(crate) fn open(&self) -> Result<File> {
        let mut options = File::options();
        let options = options.read(true).custom_flags(self.flags.bits() as i32);
        Ok(options.open(self.path())?)
    }

    /// For who opens it another way.
    pub(crate) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }
}

/// Whether this is the page of that number.
#[inline]
pub(crate) fn is_page(bytes: &[u8], number: usize) -> bool {
    let number = (number as u64).to_ne_bytes();
    bytes.len() == PAGE_BYTES && bytes.starts_with(&number) && bytes.ends_with(&number)
}

struct Setup {
    target: Target,
    from: &'static str,
    reads: usize,
    cores: Cores,
}

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let pages = plan.size(1 << 30, 4 << 20) / PAGE_BYTES;
    let target = Target { file: filled(pages)?, flags: OFlags::empty(), pages };
    let reads = plan.size(64 << 10, 1 << 10);
    let mut setup = Setup { target, from: "page cache", reads, cores: cores.clone() };
    alternate(plan, "reads", &contenders(true), &setup, outcomes);
    setup.target.flags = OFlags::DIRECT;
    if let Err(error) = setup.target.open() {
        eprintln!("SKIPPED: reads with O_DIRECT, which the file system refuses: {error}");
        return Ok(());
    }
    (setup.from, setup.reads) = ("device", plan.size(16 << 10, 1 << 10));
    alternate(plan, "reads", &contenders(false), &setup, outcomes);
    Ok(())
}

/// A file that is gone when it is closed.
fn filled(pages: usize) -> Result<File> {
    let file = tempfile::tempfile()?;
    let mut writer = BufWriter::with_capacity(1 << 20, &file);
    let mut page = [0; PAGE_BYTES];
    for number in 0..pages as u64 {
        page.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&number.to_ne_bytes()));
        writer.write_all(&page)?;
    }
    writer.flush()?;
    drop(writer);
    file.sync_all()?;
    let mut whole = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let mut bytes = vec![0; 1 << 20];
    while whole.read(&mut bytes)? > 0 {}
    Ok(file)
}

/// `tokio::fs` is left out past the page cache: its own buffers do not lie as `O_DIRECT` wants them.
fn contenders(cached: bool) -> Vec<Contender<Setup>> {
    let mut contenders = vec![
        Contender { name: "ukevent io_uring", round: round::<UkeventReads<IoUring>> },
        Contender { name: "bare ring", round: round::<RingReads<Plain>> },
        Contender { name: "bare ring, registered", round: round::<RingReads<Registered>> },
        Contender { name: "ukevent epoll", round: round::<UkeventReads<Epoll>> },
        Contender { name: "tokio spawn_blocking", round: round::<TokioBlocking> },
        Contender { name: "pread on 4 threads", round: round::<Preads<4>> },
        Contender { name: "pread on 64 threads", round: round::<Preads<64>> },
    ];
    if cached {
        contenders.insert(4, Contender { name: "tokio::fs", round: round::<TokioFs> });
    }
    contenders
}

fn round<R: Reads>(setup: &Setup) -> Result<Vec<Sample>> {
    if R::HAS_THREADS {
        spread(&setup.cores)?;
    } else {
        pin(setup.cores.first())?;
    }
    let mut rival = R::new(&setup.target)?;
    let mut random = Random::new(8);
    // Threads are there, and memory too.
    rival.read(IN_FLIGHT * 4, &mut random)?;
    let (from_cpu_ns, from_ns) = (process_cpu_ns(), now_ns());
    let good = rival.read(setup.reads, &mut random)?;
    let (wall_ns, cpu_ns) = (now_ns() - from_ns, process_cpu_ns() - from_cpu_ns);
    drop(rival);
    pin(setup.cores.first())?;
    let sample = |measure: &str, unit, value| {
        Sample::figure(unit, value)
            .counted(setup.reads as u64, good)
            .with("from", setup.from)
            .with("measure", measure)
    };
    let cpu_each_ns = cpu_ns as f64 / setup.reads as f64;
    let rate = setup.reads as f64 * 1e9 / wall_ns as f64;
    Ok(vec![
        sample("rate", "reads/s", rate).cpu(cpu_each_ns),
        sample("cpu", "ns CPU/read", cpu_each_ns),
    ])
}
