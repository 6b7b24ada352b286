//! `inode`: what another thread makes in a watched directory, and when the handler knows.
//!
//! *One directory*: the maker waits until all threads of the contender sleep, and makes a file; timed is from before
//! that call until the handler has the name, so that making it is a part of every figure. *Tree*: 100 directories, in
//! which the maker makes files as fast as the contender follows; *growing*: each directory is made right before its
//! files. The names of files are numbers: the handler must be given each once, none is lost, doubled or invented.
//! Two files end a round, of which the second is told of after all others.
//!
//! Files are in memory (`/dev/shm`) where that can be had: no disk is measured.

use crate::contenders::{
    bare_inotify::BareInotify,
    ukevent::{Epoll, IoUring},
    ukevent_inode::UkeventInode,
};
use crate::tables::Table;
use crate::view::{Chart, Line, Source, View, compared, find};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ukevent_measure::Result;
use ukevent_measure::clock::{now_ns, process_cpu_ns, thread_cpu_ns};
use ukevent_measure::cores::{Cores, pin};
use ukevent_measure::results::Outcome;
use ukevent_measure::table::unique;
use ukevent_measure::{Contender, Plan, Sample, alternate};

/// As `ukevent bench` has it.
pub const TABLE: Table = Table {
    name: "inode",
    about: "from the creation of a file to its event; many files in a tree, none missed",
    source: Source {
        who: "Evgeniy Polyakov, 11 January 2006",
        how: "one event for each of ten files that a shell's touch made 1.3 ms apart, without their names; how long \
              an event took is not told",
    },
    run: |plan, cores, outcomes| {
        run(plan, cores, |_| Vec::new(), outcomes);
        Ok(())
    },
    show,
};

fn show(results: &[Outcome]) -> View {
    let percentiles = ["p50", "p99"];
    let contenders = unique(results.iter().map(|row| row.contender.as_str()));
    let line = |contender: &str| {
        let median = |percentile: &str| {
            let row = find(results, contender, &[("percentile", percentile)])?;
            row.median.filter(|_| row.ok)
        };
        Line {
            name: contender.to_owned(),
            is_old: false,
            points: (0..)
                .zip(percentiles.map(median))
                .filter_map(|(at, us)| Some((f64::from(at) + 0.5, us?)))
                .collect(),
        }
    };
    View {
        grids: compared(results, None),
        notes: vec![
            "Every file is counted by its name: who misses one, or is told of it twice, has no figure. Making the \
             file is a part of the time, and waking the handler."
                .to_owned(),
        ],
        chart: Some(Chart {
            x: "one directory, the handler asleep",
            y: "µs from before the file is made until the handler has its name",
            is_log: false,
            labels: percentiles.map(str::to_owned).into(),
            lines: contenders.into_iter().map(line).collect(),
        }),
    }
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The entries of one directory.
    Directory,
    /// All that is below it. Its directories are there before.
    Tree,
    /// The same; its directories are made while it is watched.
    Growing,
}

impl Reach {
    const fn name(self) -> &'static str {
        match self {
            Self::Directory => "one directory",
            Self::Tree => "tree",
            Self::Growing => "growing tree",
        }
    }
}

/// A contender; lives on the watcher's thread.
pub trait Watches: Sized {
    /// Watches for new entries from when this returns. `told` is the handler.
    fn new(root: &Path, reach: Reach, told: &Arc<Told>) -> Result<Self>;

    /// Sleeps until there are new entries, and hands their names to the handler. It returns at least
    /// after the handler got [`END`]: who has another thread for the handler may sleep until
    /// [`Told::until_end`].
    fn take(&mut self, told: &Told) -> Result<()>;
}

/// The name of the last file.
pub const END: &str = "end";
/// The file before it: what a contender tells only after it was told of others is told before the end, too.
const NEARLY: &str = "nearly";
/// Directories of a tree are called so, with their number.
const DIRECTORY: &str = "directory ";
/// So many they are.
const DIRECTORIES: usize = 100;
/// The maker is at most so many files ahead: fewer than the kernel's queue holds, whatever it is told of each.
const AHEAD: u64 = 2_000;
/// After so long without a sign of it, a file was missed.
const LOST_NS: u64 = 2_000_000_000;

/// What the handler was told: any thread may tell it.
#[derive(Debug)]
pub struct Told {
    /// How often of each file.
    times: Vec<AtomicU8>,
    count: AtomicU64,
    /// When it was last told.
    at_ns: AtomicU64,
    is_strange: AtomicBool,
    has_ended: AtomicBool,
    /// Who sleeps until the end.
    thread: std::thread::Thread,
}

impl Told {
    /// Of none of so many files. The thread that makes it may wait for the end.
    fn new(files: u64) -> Self {
        Self {
            times: (0..files).map(|_| AtomicU8::new(0)).collect(),
            count: AtomicU64::new(0),
            at_ns: AtomicU64::new(0),
            is_strange: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            thread: std::thread::current(),
        }
    }

    /// The handler: an entry was made, under this path or name.
    #[inline]
    pub fn note(&self, path: &Path) {
        let at_ns = now_ns();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let known = name.parse::<usize>().ok().and_then(|number| self.times.get(number));
        if let Some(times) = known {
            // Up to 255 times; once more would be seen as lost.
            times.fetch_add(1, Ordering::Relaxed);
            self.at_ns.store(at_ns, Ordering::Relaxed);
            self.count.fetch_add(1, Ordering::Release);
        } else if name == END {
            self.has_ended.store(true, Ordering::Release);
            self.thread.unpark();
        } else if name != NEARLY && !name.starts_with(DIRECTORY) {
            self.is_strange.store(true, Ordering::Relaxed);
        }
    }

    /// Sleeps until the handler got [`END`], on the thread that runs the contender.
    pub fn until_end(&self) {
        while !self.has_ended() {
            std::thread::park();
        }
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Waits, awake, until it was told of so many; whether it was.
    fn has_come_to(&self, files: u64) -> bool {
        let mut before = (self.count(), now_ns());
        while self.count() < files {
            if self.count() != before.0 {
                before = (self.count(), now_ns());
            } else if now_ns() > before.1 + LOST_NS {
                return false;
            }
            std::hint::spin_loop();
        }
        true
    }

    /// How many files it was told of, if of none more than once.
    fn files(&self) -> Result<u64> {
        let times: Vec<u8> = self.times.iter().map(|it| it.load(Ordering::Relaxed)).collect();
        match times.iter().position(|&times| times > 1) {
            Some(file) => Err(format!("file {file} was told of {} times", times[file]).into()),
            None if self.is_strange.load(Ordering::Relaxed) => {
                Err("an entry was told of that nobody made".into())
            }
            None => Ok(times.iter().filter(|&&times| times == 1).count() as u64),
        }
    }
}

/// What all contenders are given.
#[derive(Debug)]
pub struct Setup {
    reach: Reach,
    files: u64,
    core: usize,
    maker_core: usize,
}

/// Runs the table.
pub fn run(
    plan: &Plan,
    cores: &Cores,
    rivals: impl Fn(Reach) -> Vec<Contender<Setup>>,
    outcomes: &mut Vec<Outcome>,
) {
    let Some(maker_core) = cores.second() else {
        eprintln!("SKIPPED: inode takes two cores, one for each thread");
        return;
    };
    for reach in [Reach::Directory, Reach::Tree, Reach::Growing] {
        let files = match reach {
            Reach::Directory => plan.pick(2_000, 1_000, 20),
            Reach::Tree | Reach::Growing => plan.pick(100_000, 20_000, 5_000),
        };
        let setup = Setup { reach, files, core: cores.first(), maker_core };
        let contenders: Vec<_> = ours().into_iter().chain(rivals(reach)).collect();
        alternate(plan, "inode", &contenders, &setup, outcomes);
    }
}

fn ours() -> [Contender<Setup>; 3] {
    [
        Contender { name: "ukevent io_uring", round: round::<UkeventInode<IoUring>> },
        Contender { name: "ukevent epoll", round: round::<UkeventInode<Epoll>> },
        Contender { name: "bare inotify", round: round::<BareInotify> },
    ]
}

/// A round of a contender.
///
/// # Errors
/// What it did wrong, or the kernel would not do.
pub fn round<W: Watches>(setup: &Setup) -> Result<Vec<Sample>> {
    pin(setup.maker_core)?;
    let folder = folder(setup.reach)?;
    let before = threads()?;
    let (to_maker, from_watcher) = mpsc::channel();
    let watcher = {
        let (root, reach, files) = (folder.path().to_owned(), setup.reach, setup.files);
        let core = setup.core;
        std::thread::spawn(move || -> Result<()> {
            pin(core)?;
            let told = Arc::new(Told::new(files));
            let mut contender = W::new(&root, reach, &told)?;
            to_maker.send(told.clone()).map_err(|_| "the maker is gone")?;
            while !told.has_ended() {
                contender.take(&told)?;
            }
            Ok(())
        })
    };
    let Ok(told) = from_watcher.recv() else {
        // Its thread says why.
        watcher.join().map_err(|_| "the watcher panicked")??;
        return Err("the watcher ended".into());
    };
    let maker = Maker { setup, root: folder.path(), told: &told };
    let samples = match setup.reach {
        Reach::Directory => maker.one_by_one(&Sleepers::new(&before)?),
        Reach::Tree | Reach::Growing => maker.all(),
    };
    let ended = maker.end(watcher);
    // If both failed, the watcher knows why.
    let samples = match (samples, ended) {
        (Ok(samples), Ok(())) => samples,
        (_, Err(error)) | (Err(error), Ok(())) => return Err(error),
    };
    let delivered = told.files()?;
    let finish =
        |sample: Sample| sample.counted(setup.files, delivered).with("watched", setup.reach.name());
    Ok(samples.into_iter().map(finish).collect())
}

/// An empty folder, or one with the directories of a tree.
fn folder(reach: Reach) -> Result<TempDir> {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    if reach == Reach::Tree {
        for directory in 0..DIRECTORIES {
            std::fs::create_dir(folder.path().join(format!("{DIRECTORY}{directory}")))?;
        }
    }
    Ok(folder)
}

struct Maker<'a> {
    setup: &'a Setup,
    root: &'a Path,
    told: &'a Told,
}

impl Maker<'_> {
    /// Each file when all sleep.
    fn one_by_one(&self, sleepers: &Sleepers) -> Result<Vec<Sample>> {
        let mut times_ns = Vec::with_capacity(self.setup.files as usize);
        let from_cpu_ns = others_cpu_ns();
        for number in 0..self.setup.files {
            let path = self.root.join(number.to_string());
            sleepers.until_asleep()?;
            let from_ns = now_ns();
            File::create_new(path)?;
            if !self.told.has_come_to(number + 1) {
                return Err(format!("file {number} was missed").into());
            }
            times_ns.push(self.told.at_ns.load(Ordering::Relaxed).saturating_sub(from_ns));
        }
        let cpu_ns = (others_cpu_ns() - from_cpu_ns) as f64 / self.setup.files as f64;
        times_ns.sort_unstable();
        let percentile = |name: &str, permille: usize| {
            let place = (times_ns.len() * permille).div_ceil(1000).max(1) - 1;
            Sample::figure("µs", times_ns[place] as f64 / 1_000.0)
                .cpu(cpu_ns)
                .with("measure", "to the handler")
                .with("percentile", name)
        };
        Ok(vec![percentile("p50", 500), percentile("p99", 990)])
    }

    /// As fast as they are told of.
    fn all(&self) -> Result<Vec<Sample>> {
        let (files, directories) = (self.setup.files, DIRECTORIES as u64);
        let (from_ns, from_cpu_ns) = (now_ns(), others_cpu_ns());
        for number in 0..files {
            // Directories in turn, or one after the other.
            let directory = match self.setup.reach {
                Reach::Growing => number * directories / files,
                _ => number % directories,
            };
            let path = self.root.join(format!("{DIRECTORY}{directory}"));
            let is_new = number == 0 || (number - 1) * directories / files != directory;
            if self.setup.reach == Reach::Growing && is_new {
                std::fs::create_dir(&path)?;
            }
            File::create_new(path.join(number.to_string()))?;
            if !self.told.has_come_to((number + 1).saturating_sub(AHEAD)) {
                break;
            }
        }
        // If not, those that it was told of are counted.
        self.told.has_come_to(files);
        let (wall_ns, cpu_ns) = (now_ns() - from_ns, others_cpu_ns() - from_cpu_ns);
        let each_ns = cpu_ns as f64 / files as f64;
        Ok(vec![
            Sample::figure("files/s", files as f64 * 1e9 / wall_ns as f64)
                .cpu(each_ns)
                .with("measure", "rate"),
            Sample::figure("ns CPU/file", each_ns).with("measure", "cpu"),
        ])
    }

    /// Makes the last two files, and waits for the watcher. One that does not hear of them is left behind.
    fn end(&self, watcher: JoinHandle<Result<()>>) -> Result<()> {
        for name in [NEARLY, END] {
            File::create_new(self.root.join(name))?;
            // Each by itself.
            std::thread::sleep(Duration::from_millis(1));
        }
        let until = Instant::now() + Duration::from_secs(5);
        while !watcher.is_finished() {
            if Instant::now() > until {
                return Err("the last file was missed".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        watcher.join().map_err(|_| "the watcher panicked")?
    }
}

/// CPU time of all threads but this one.
fn others_cpu_ns() -> u64 {
    process_cpu_ns() - thread_cpu_ns()
}

/// The threads of this process.
fn threads() -> Result<BTreeSet<String>> {
    let entries = std::fs::read_dir("/proc/self/task")?;
    Ok(entries.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect())
}

/// The states of the contender's threads: those that were not there before it was.
struct Sleepers(Vec<File>);

impl Sleepers {
    fn new(before: &BTreeSet<String>) -> Result<Self> {
        let now = threads()?;
        let state = |thread| File::open(format!("/proc/self/task/{thread}/stat"));
        // One may have ended since.
        Ok(Self(now.difference(before).flat_map(state).collect()))
    }

    /// Waits until the kernel calls all of them asleep: `S` after its name in brackets.
    fn until_asleep(&self) -> Result<()> {
        let from_ns = now_ns();
        let mut line = [0_u8; 128];
        let mut sleeps = |state: &File| {
            match state.read_at(&mut line, 0) {
                Ok(length) => {
                    let end = line[..length].iter().rposition(|&byte| byte == b')').unwrap_or(0);
                    line[end..length].starts_with(b") S")
                }
                // One that has ended has no state.
                Err(error) => error.raw_os_error() == Some(Errno::SRCH.raw_os_error()),
            }
        };
        while now_ns() < from_ns + LOST_NS {
            if self.0.iter().all(&mut sleeps) {
                return Ok(());
            }
        }
        Err("the watcher does not sleep".into())
    }
}

#[cfg(test)]
mod tests;
