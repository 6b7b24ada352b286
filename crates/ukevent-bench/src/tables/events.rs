//! `events`: another thread writes single bytes, each to a descriptor drawn by chance.
//!
//! The writer has a core of its own, and at most so many bytes on the way that it does not run ahead
//! for ever. The contender sleeps until there are some, and takes each out of its descriptor; CPU is
//! that of its thread. Each descriptor's bytes are numbered: none may be lost, come twice or out of
//! order.

use super::ready::{Descriptor, Readiness, Seen, Trigger};
use crate::contenders::{
    bare_epoll::BareEpoll,
    busy_loop::BusyLoop,
    ukevent::{Epoll, IoUring, Ukevent},
    ukevent_take::UkeventTake,
};
use crate::tables::Table;
use crate::view::{Chart, Line, Source, View, compared, find};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use ukevent_measure::Result;
use ukevent_measure::clock::{now_ns, thread_cpu_ns};
use ukevent_measure::cores::{Cores, pin};
use ukevent_measure::results::Outcome;
use ukevent_measure::table::Grid;
use ukevent_measure::text::count;
use ukevent_measure::{Contender, Plan, Random, Sample, Size, alternate};

/// As `ukevent bench` has it.
pub const TABLE: Table = Table {
    name: "events",
    about: "random one-byte writes by another thread: by level, by edge, completions, a busy loop",
    source: Source {
        who: "Evgeniy Polyakov, 7 November 2006, with Eric Dumazet's benchmark",
        how: "events a second over AF_INET sockets, two threads; the machine is not told",
    },
    run: |plan, cores, outcomes| run(plan, cores, Vec::new, outcomes),
    show,
};

/// A way to learn of bytes: what it is called, what it reached then, and who goes it here.
type Way = (&'static str, Option<f64>, &'static str);

const WAYS: [Way; 6] = [
    ("epoll, level", Some(57_428.0), "bare epoll, level"),
    ("one queue, level (kevent; ukevent on epoll)", Some(59_794.0), "ukevent epoll, level"),
    ("epoll, edge", Some(71_000.0), "bare epoll"),
    ("one queue, edge (kevent; ukevent on epoll)", Some(78_265.0), "ukevent epoll, edge"),
    ("completions (ukevent on io_uring)", None, "ukevent io_uring"),
    ("busy loop that reads", Some(88_482.0), "busy loop"),
];
const BUSY: usize = WAYS.len() - 1;

fn show(results: &[Outcome]) -> View {
    let kinds = [Kind::Pipe, Kind::Unix, Kind::Tcp].map(Kind::name);
    let mut grid = Grid::new(["events/s", "2006, AF_INET"].into_iter().chain(kinds), 1);
    let now = |contender: &str, kind: &str| {
        let few = [("measure", "rate"), ("kind", kind), ("descriptors", "64")];
        find(results, contender, &few).filter(|row| row.ok).and_then(|row| row.median)
    };
    let share = |rate: Option<f64>, busy: Option<f64>| Some(rate? / busy?);
    let text = |rate: Option<f64>, busy: Option<f64>| match (rate, share(rate, busy)) {
        (Some(rate), Some(share)) => format!("{} {share:.2}", count(rate)),
        (Some(rate), None) => count(rate),
        (None, _) => "-".to_owned(),
    };
    for (way, then, contender) in WAYS {
        let cells = kinds.map(|kind| text(now(contender, kind), now("busy loop", kind)));
        grid.row([way.to_owned(), text(then, WAYS[BUSY].1)].into_iter().chain(cells));
    }
    let line = |name: &str, is_old: bool, rates: [Option<f64>; WAYS.len()]| Line {
        name: name.to_owned(),
        is_old,
        points: (0..)
            .zip(rates)
            .filter_map(|(at, rate)| Some((f64::from(at) + 0.5, share(rate, rates[BUSY])?)))
            .collect(),
    };
    let mut lines = vec![line("2006", true, WAYS.map(|(_, then, _)| then))];
    lines.extend(kinds.map(|kind| line(kind, false, WAYS.map(|(.., it)| now(it, kind)))));
    let labels = ["epoll", "queue", "epoll ET", "queue ET", "completions", "busy loop"];
    View {
        grids: std::iter::once((
            "Bytes a second from 64 descriptors; behind each, its share of the busy loop's".to_owned(),
            grid,
        ))
        .chain(compared(results, None))
        .collect(),
        notes: vec![
            "The busy loop needs no event and burns a processor: what it reaches is what there was to reach, \
             unless reading from all descriptors costs more than being told of some."
                .to_owned(),
        ],
        chart: Some(Chart {
            x: "",
            y: "of the busy loop's rate",
            is_log: false,
            labels: labels.map(str::to_owned).into(),
            lines,
        }),
    }
}

/// A kind of descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pipe.
    Pipe,
    /// A pair of Unix sockets.
    Unix,
    /// A TCP connection over loopback.
    Tcp,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Unix => "Unix",
            Self::Tcp => "TCP",
        }
    }
}

/// A contender.
pub trait Takes: Sized {
    /// For these descriptors, which do not block; the place of each is its token.
    fn new(kind: Kind, readers: &[Descriptor]) -> Result<Self>;

    /// Sleeps until there is something, or for [`PATIENCE`], and takes what there is.
    fn take(&mut self, taken: &mut Taken) -> Result<()>;
}

/// A contender that only tells what is ready: the program reads.
pub trait Tells: Readiness {
    /// Sleeps until something is ready, or for so long.
    fn reap_within(&mut self, patience: Duration, seen: &mut Seen) -> Result<()>;
}

/// A contender looks up after so long at the latest.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// What is read at once.
pub const READ_BYTES: usize = 64;
/// Bytes of one run: enough for a steady figure, and few enough that all runs end within minutes.
const BYTES: u64 = 100_000;
/// Bytes written and not taken.
const ON_THE_WAY: u64 = 256;
/// After so long without a byte, one is lost.
const LOST_NS: u64 = 5_000_000_000;

/// The bytes that a contender took.
#[derive(Debug)]
pub struct Taken {
    count: u64,
    /// Numbers of the next byte, by place.
    next: Vec<u8>,
    is_wrong: bool,
}

impl Taken {
    /// These bytes came out of a descriptor.
    #[inline]
    pub fn note(&mut self, place: usize, bytes: &[u8]) {
        let next = &mut self.next[place];
        for &byte in bytes {
            self.is_wrong |= byte != *next;
            *next = next.wrapping_add(1);
        }
        self.count += bytes.len() as u64;
    }

    /// Reads a descriptor until it is empty: until less came than may.
    #[inline]
    pub fn read(&mut self, place: usize, reader: &Descriptor) -> Result<()> {
        let mut bytes = [0; READ_BYTES];
        loop {
            match rustix::io::read(&**reader, &mut bytes) {
                Ok(0) => return Err("a descriptor ended".into()),
                Ok(count) => {
                    self.note(place, &bytes[..count]);
                    if count < bytes.len() {
                        return Ok(());
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Reads what it is told of: by edge, or by level.
#[derive(Debug)]
pub struct ReadsTold<R, const BY_LEVEL: bool = false> {
    rival: R,
    readers: Vec<Descriptor>,
    seen: Seen,
}

impl<R: Tells, const BY_LEVEL: bool> Takes for ReadsTold<R, BY_LEVEL> {
    fn new(_kind: Kind, readers: &[Descriptor]) -> Result<Self> {
        let mut rival = R::new(if BY_LEVEL { Trigger::Level } else { Trigger::Edge })?;
        rival.arm(readers)?;
        Ok(Self { rival, readers: readers.to_vec(), seen: Seen::default() })
    }

    fn take(&mut self, taken: &mut Taken) -> Result<()> {
        self.rival.reap_within(PATIENCE, &mut self.seen)?;
        for place in self.seen.drain() {
            taken.read(place, &self.readers[place])?;
        }
        Ok(())
    }
}

/// What all contenders are given.
#[derive(Debug)]
pub struct Setup {
    kind: Kind,
    readers: Vec<Descriptor>,
    writers: Vec<Descriptor>,
    bytes: u64,
    core: usize,
    writer_core: usize,
}

/// Runs the table.
pub fn run(
    plan: &Plan,
    cores: &Cores,
    rivals: impl Fn() -> Vec<Contender<Setup>>,
    outcomes: &mut Vec<Outcome>,
) -> Result<()> {
    let Some(writer_core) = cores.second() else {
        eprintln!("SKIPPED: events takes two cores, one for each thread");
        return Ok(());
    };
    let is_shown = |it: &Contender<Setup>| {
        plan.size == Size::Full || WAYS.iter().any(|(.., shown)| *shown == it.name)
    };
    let contenders: Vec<_> = ours().into_iter().filter(is_shown).chain(rivals()).collect();
    for kind in [Kind::Pipe, Kind::Unix, Kind::Tcp] {
        let counts = plan.pick(&[64, 1_000, 8_000][..], &[64, 1_000], &[8, 64, 200]);
        for &descriptors in counts {
            let (readers, writers) = pairs(kind, descriptors).map_err(|error| {
                format!("{descriptors} pairs of descriptors: {error} (see ulimit -n)")
            })?;
            let (bytes, core) = (plan.pick(BYTES, BYTES / 4, 2_000), cores.first());
            let setup = Setup { kind, readers, writers, bytes, core, writer_core };
            alternate(plan, "events", &contenders, &setup, outcomes);
        }
    }
    Ok(())
}

fn ours() -> Vec<Contender<Setup>> {
    vec![
        Contender { name: "ukevent io_uring", round: round::<UkeventTake<IoUring, 1>> },
        Contender {
            name: "ukevent io_uring, at least 64",
            round: round::<UkeventTake<IoUring, 64>>,
        },
        Contender { name: "ukevent epoll", round: round::<UkeventTake<Epoll, 1>> },
        Contender { name: "ukevent epoll, level", round: round::<ReadsTold<Ukevent<Epoll>, true>> },
        Contender { name: "ukevent epoll, edge", round: round::<ReadsTold<Ukevent<Epoll>>> },
        Contender { name: "bare epoll, level", round: round::<ReadsTold<BareEpoll, true>> },
        Contender { name: "bare epoll", round: round::<ReadsTold<BareEpoll>> },
        Contender { name: "busy loop", round: round::<BusyLoop> },
    ]
}

type Ends = (Vec<Descriptor>, Vec<Descriptor>);

/// Pairs to be read from and written to.
fn pairs(kind: Kind, count: usize) -> Result<Ends> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let pair = || -> Result<(OwnedFd, OwnedFd)> {
        Ok(match kind {
            Kind::Pipe => pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?,
            Kind::Unix => {
                let (reader, writer) = UnixStream::pair()?;
                reader.set_nonblocking(true)?;
                writer.set_nonblocking(true)?;
                (reader.into(), writer.into())
            }
            Kind::Tcp => {
                let writer = TcpStream::connect(address)?;
                let (reader, _) = listener.accept()?;
                writer.set_nodelay(true)?;
                reader.set_nonblocking(true)?;
                writer.set_nonblocking(true)?;
                (reader.into(), writer.into())
            }
        })
    };
    let pairs = (0..count).map(|_| pair()).collect::<Result<Vec<_>>>()?;
    Ok(pairs.into_iter().map(|(reader, writer)| (Arc::new(reader), Arc::new(writer))).unzip())
}

/// What both threads see.
#[derive(Default)]
struct Shared {
    taken: AtomicU64,
    /// Nobody will take any more.
    is_over: AtomicBool,
}

/// A round of a contender.
///
/// # Errors
/// What it did wrong, or the kernel would not do.
pub fn round<T: Takes>(setup: &Setup) -> Result<Vec<Sample>> {
    pin(setup.core)?;
    // A contender that failed may have left something.
    let mut taken = Taken { count: 0, next: vec![0; setup.readers.len()], is_wrong: false };
    for (place, reader) in setup.readers.iter().enumerate() {
        taken.read(place, reader)?;
    }
    taken = Taken { count: 0, next: vec![0; setup.readers.len()], is_wrong: false };
    let mut rival = T::new(setup.kind, &setup.readers)?;
    let shared = Arc::new(Shared::default());
    let warm_up = setup.bytes / 10;
    let writer = {
        let (shared, core, writers) = (shared.clone(), setup.writer_core, setup.writers.clone());
        let bytes = warm_up + setup.bytes;
        std::thread::spawn(move || write(&shared, core, &writers, bytes))
    };
    let mut from = None;
    let outcome = (|| -> Result<(u64, u64, u64)> {
        let mut last_ns = now_ns();
        while taken.count < warm_up + setup.bytes {
            let before = taken.count;
            rival.take(&mut taken)?;
            if taken.is_wrong {
                return Err("a byte was lost, or came in disorder".into());
            }
            if taken.count != before {
                shared.taken.store(taken.count, Ordering::Release);
                last_ns = 0;
            } else if last_ns == 0 {
                last_ns = now_ns();
            } else if now_ns() > last_ns + LOST_NS {
                return Err(format!("after {before} bytes no more came").into());
            }
            if from.is_none() && taken.count >= warm_up {
                from = Some((now_ns(), thread_cpu_ns(), taken.count));
            }
        }
        let (from_ns, from_cpu_ns, first) = from.ok_or("no byte was taken")?;
        Ok((now_ns() - from_ns, thread_cpu_ns() - from_cpu_ns, taken.count - first))
    })();
    shared.is_over.store(true, Ordering::Release);
    writer.join().map_err(|_| "the writer panicked")??;
    let (wall_ns, cpu_ns, count) = outcome?;
    let sample = |measure: &str, unit, value| {
        Sample::figure(unit, value)
            .counted(warm_up + setup.bytes, taken.count)
            .with("kind", setup.kind.name())
            .with("measure", measure)
            .with("descriptors", setup.readers.len())
    };
    let cpu_each_ns = cpu_ns as f64 / count as f64;
    Ok(vec![
        sample("rate", "bytes/s", count as f64 * 1e9 / wall_ns as f64).cpu(cpu_each_ns),
        sample("cpu", "ns CPU/byte", cpu_each_ns),
    ])
}

/// The writer's thread.
fn write(shared: &Shared, core: usize, writers: &[Descriptor], bytes: u64) -> Result<()> {
    pin(core)?;
    let mut random = Random::new(9);
    let mut next = vec![0_u8; writers.len()];
    for number in 0..bytes {
        while number >= shared.taken.load(Ordering::Acquire) + ON_THE_WAY {
            if shared.is_over.load(Ordering::Acquire) {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        let place = random.below(writers.len());
        rustix::io::write(&*writers[place], &[next[place]])?;
        next[place] = next[place].wrapping_add(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Kind, Taken, pairs};

    fn none() -> Taken {
        Taken { count: 0, next: vec![0; 2], is_wrong: false }
    }

    #[test]
    fn each_descriptor_has_its_numbers() {
        let mut taken = none();
        taken.note(0, &[0, 1]);
        taken.note(1, &[0]);
        taken.note(0, &[2]);
        assert_eq!((taken.count, taken.is_wrong), (4, false));
        taken.note(1, &[0]);
        assert!(taken.is_wrong, "a byte that comes twice");
    }

    #[test]
    fn all_kinds_are_read_until_they_are_empty() {
        for kind in [Kind::Pipe, Kind::Unix, Kind::Tcp] {
            let (readers, writers) = pairs(kind, 2).unwrap();
            rustix::io::write(&*writers[1], &(0..100).collect::<Vec<u8>>()).unwrap();
            let mut taken = none();
            taken.read(1, &readers[1]).unwrap();
            taken.read(0, &readers[0]).unwrap();
            assert_eq!((taken.count, taken.is_wrong), (100, false), "{kind:?}");
        }
    }
}
