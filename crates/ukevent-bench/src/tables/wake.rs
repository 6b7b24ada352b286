//! `wake`: posts, from one thread to another's queue.
//!
//! The poster and its target have a core each. Awake, the target looks again and again without
//! blocking, while bursts of 64 posts are timed. Asleep, it blocks; the poster waits until the kernel
//! says that the target's thread sleeps, and then posts once: timed are the call, and how long it is
//! until the target has the event. Posts carry a serial number; none may be lost or come twice.

use crate::contenders::{
    bare_epoll::EventFdTarget,
    ukevent::{Epoll, IoUring, Ukevent},
};
use crate::tables::Table;
use crate::view::{Chart, Line, Source, View, compared, find};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc;
use ukevent_measure::Result;
use ukevent_measure::clock::{Stopwatch, now_ns, thread_cpu_ns};
use ukevent_measure::cores::{Cores, pin};
use ukevent_measure::results::Outcome;
use ukevent_measure::stats;
use ukevent_measure::table::unique;
use ukevent_measure::{Contender, Plan, Sample, alternate};

/// As `ukevent bench` has it.
pub const TABLE: Table = Table {
    name: "wake",
    about: "a post from one thread to another's queue, which looks or sleeps",
    source: Source {
        who: "Evgeniy Polyakov, 7 November 2006",
        how: "no figure: kevent could mark an event of the program's own as ready, and wake one thread for it",
    },
    run: |plan, cores, outcomes| {
        run(plan, cores, |_| Vec::new(), outcomes);
        Ok(())
    },
    show,
};

/// What is drawn: a label, and what the row says of itself.
const DRAWN: [(&str, &str, &str); 3] = [
    ("post to one awake", "awake", "post"),
    ("post to one asleep", "asleep", "post"),
    ("until it has it", "asleep", "wake"),
];

fn show(results: &[Outcome]) -> View {
    let contenders = unique(results.iter().map(|row| row.contender.as_str()));
    let lines = contenders.into_iter().map(|contender| {
        let median = |(_, target, operation): (&str, &str, &str)| {
            let row = find(results, contender, &[("target", target), ("operation", operation)]);
            row.filter(|row| row.ok).and_then(|row| row.median)
        };
        Line {
            name: contender.to_owned(),
            is_old: false,
            points: (0..)
                .zip(DRAWN.map(median))
                .filter_map(|(at, ns)| Some((f64::from(at) + 0.5, ns?)))
                .collect(),
        }
    });
    View {
        grids: compared(results, Some("posts")),
        notes: vec![
            "Merged posts are one event that counts them, as an eventfd does; else each is an event with its data."
                .to_owned(),
        ],
        chart: Some(Chart {
            x: "posts that merge",
            y: "ns",
            is_log: true,
            labels: DRAWN.map(|(label, ..)| label.to_owned()).into(),
            lines: lines.collect(),
        }),
    }
}

/// What becomes of posts that wait together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posts {
    /// They are one event.
    Merged,
    /// Each is one.
    Each,
}

/// For how long a target waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It looks, and goes on.
    None,
    /// Until there is something.
    Endless,
}

/// A contender; lives on the target's thread.
pub trait Target: Sized {
    /// Whether it can.
    const SLEEPS: bool = true;

    /// What goes to the poster's thread.
    type Address: Send + 'static;
    /// What posts, on the poster's thread.
    type Poster: Poster;

    /// One that can be posted to.
    fn new(posts: Posts) -> Result<Self>;

    /// Where to post to.
    fn address(&self) -> Result<Self::Address>;

    /// Made on the poster's thread.
    fn poster(address: Self::Address) -> Result<Self::Poster>;

    /// Takes what was posted.
    fn take(&mut self, patience: Patience, taken: &mut Taken) -> Result<()>;
}

/// The other side of a contender; lives on the poster's thread.
pub trait Poster {
    /// Posts this number.
    fn post(&mut self, serial: u64) -> Result<()>;
}

/// What a target took.
#[derive(Debug, Default)]
pub struct Taken {
    count: u64,
    is_wrong: bool,
}

impl Taken {
    /// A post with its number, which is one more than that of the post before.
    #[inline]
    pub const fn one(&mut self, serial: u64) {
        self.count += 1;
        self.is_wrong |= self.count != serial;
    }

    /// So many posts.
    #[inline]
    pub const fn merged(&mut self, count: u64) {
        self.count += count;
    }
}

/// Posts in one burst: few enough for every contender to hold.
const BURST: u64 = 64;
/// After so long without a sign of it, a post is lost.
const LOST_NS: u64 = 2_000_000_000;

/// What all contenders are given.
#[derive(Debug)]
pub struct Setup {
    posts: Posts,
    bursts: u64,
    /// Single posts to a target that sleeps.
    singles: u64,
    poster_core: usize,
    target_core: usize,
}

/// Runs the table.
pub fn run(
    plan: &Plan,
    cores: &Cores,
    rivals: impl Fn(Posts) -> Vec<Contender<Setup>>,
    outcomes: &mut Vec<Outcome>,
) {
    let Some(target_core) = cores.second() else {
        eprintln!("SKIPPED: wake takes two cores, one for each thread");
        return;
    };
    for posts in [Posts::Merged, Posts::Each] {
        let setup = Setup {
            posts,
            bursts: plan.size(2_000, 20),
            singles: plan.size(2_000, 20),
            poster_core: cores.first(),
            target_core,
        };
        let contenders: Vec<_> = ours(posts).into_iter().chain(rivals(posts)).collect();
        alternate(plan, "wake", &contenders, &setup, outcomes);
    }
}

fn ours(posts: Posts) -> Vec<Contender<Setup>> {
    let mut contenders = vec![
        Contender { name: "ukevent io_uring", round: round::<Ukevent<IoUring>> },
        Contender { name: "ukevent epoll", round: round::<Ukevent<Epoll>> },
    ];
    // An eventfd merges.
    if posts == Posts::Merged {
        contenders.push(Contender { name: "eventfd + epoll", round: round::<EventFdTarget> });
    }
    contenders
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const END: u8 = 2;

/// What both threads see.
#[derive(Default)]
struct Shared {
    phase: AtomicU8,
    /// How many posts were taken.
    taken: AtomicU64,
    /// When the last of them was.
    at_ns: AtomicU64,
}

/// A round of a contender.
///
/// # Errors
/// What it did wrong, or the kernel would not do.
pub fn round<T: Target>(setup: &Setup) -> Result<Vec<Sample>> {
    let shared = Arc::new(Shared::default());
    let (to_poster, from_target) = mpsc::channel();
    let target = {
        let (shared, core, posts) = (shared.clone(), setup.target_core, setup.posts);
        std::thread::spawn(move || serve::<T>(&shared, core, posts, &to_poster))
    };
    let Ok((address, thread)) = from_target.recv() else {
        // Its thread says why.
        target.join().map_err(|_| "the target panicked")??;
        return Err("the target ended".into());
    };
    pin(setup.poster_core)?;
    let state = File::open(format!("/proc/self/task/{thread}/stat"))?;
    let poster = T::poster(address)?;
    let mut bench = Bench { poster, shared, state, posted: 0, watch: Stopwatch::new() };
    let mut samples = vec![bench.awake(setup)?];
    if T::SLEEPS {
        samples.extend(bench.asleep(setup)?);
    }
    drop(bench);
    let target_cpu_ns = target.join().map_err(|_| "the target panicked")??;
    let kind = match setup.posts {
        Posts::Merged => "merged",
        Posts::Each => "each",
    };
    let finish = |sample: Sample| {
        let is_wake = sample.is("operation", "wake");
        let sample = sample.with("posts", kind);
        if is_wake { sample.cpu(target_cpu_ns / setup.singles as f64) } else { sample }
    };
    Ok(samples.into_iter().map(finish).collect())
}

/// The target's thread. Returns the CPU time it used while it had reason to sleep.
fn serve<T: Target>(
    shared: &Shared,
    core: usize,
    posts: Posts,
    to_poster: &mpsc::Sender<(T::Address, i32)>,
) -> Result<f64> {
    pin(core)?;
    let mut target = T::new(posts)?;
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    to_poster.send((target.address()?, thread)).map_err(|_| "the poster is gone")?;
    let mut taken = Taken::default();
    let mut slept_from_ns = None;
    loop {
        let phase = shared.phase.load(Ordering::Acquire);
        let patience = if phase == AWAKE { Patience::None } else { Patience::Endless };
        if phase != AWAKE && slept_from_ns.is_none() {
            slept_from_ns = Some(thread_cpu_ns());
        }
        if phase == END {
            let used = slept_from_ns.map_or(0, |from| thread_cpu_ns() - from);
            return if taken.is_wrong {
                Err("posts came in disorder".into())
            } else {
                Ok(used as f64)
            };
        }
        let before = taken.count;
        target.take(patience, &mut taken)?;
        if taken.count != before {
            shared.at_ns.store(now_ns(), Ordering::Relaxed);
            shared.taken.store(taken.count, Ordering::Release);
        }
    }
}

struct Bench<P: Poster> {
    poster: P,
    shared: Arc<Shared>,
    /// The state of the target's thread.
    state: File,
    posted: u64,
    watch: Stopwatch,
}

impl<P: Poster> Bench<P> {
    fn awake(&mut self, setup: &Setup) -> Result<Sample> {
        for _ in 0..setup.bursts {
            let (poster, first) = (&mut self.poster, self.posted + 1);
            self.watch.time(|| (first..first + BURST).try_for_each(|it| poster.post(it)))?;
            self.posted += BURST;
            self.until_taken()?;
        }
        let taken = self.shared.taken.load(Ordering::Acquire);
        let expected = setup.bursts * BURST;
        Ok(Sample::per_unit("ns", &self.watch, expected, taken)
            .with("target", "awake")
            .with("operation", "post"))
    }

    fn asleep(&mut self, setup: &Setup) -> Result<[Sample; 2]> {
        let first = self.posted;
        let (mut posts_ns, mut wakes_ns) = (Vec::new(), Vec::new());
        self.shared.phase.store(ASLEEP, Ordering::Release);
        // The target may be in its last look without blocking; this one post is not counted.
        self.post_and_time()?;
        self.watch.reset();
        for _ in 0..setup.singles {
            let (post_ns, wake_ns) = self.post_and_time()?;
            posts_ns.push(post_ns);
            wakes_ns.push(wake_ns);
        }
        let delivered = self.shared.taken.load(Ordering::Acquire) - first - 1;
        let sample = |operation: &str, times_ns: &[f64]| {
            Sample::figure("ns", stats::median(times_ns))
                .counted(setup.singles, delivered)
                .with("target", "asleep")
                .with("operation", operation)
        };
        let cpu_ns = self.watch.cpu_ns() as f64 / setup.singles as f64;
        Ok([sample("post", &posts_ns).cpu(cpu_ns), sample("wake", &wakes_ns)])
    }

    /// Posts once to a target that sleeps. Returns how long the call took, and how long the event.
    fn post_and_time(&mut self) -> Result<(f64, f64)> {
        self.until_asleep()?;
        self.posted += 1;
        let before_ns = self.watch.wall_ns();
        let from_ns = now_ns();
        self.watch.time(|| self.poster.post(self.posted))?;
        let post_ns = self.watch.wall_ns() - before_ns;
        self.until_taken()?;
        let at_ns = self.shared.at_ns.load(Ordering::Relaxed);
        Ok((post_ns as f64, at_ns.saturating_sub(from_ns) as f64))
    }

    fn until_taken(&self) -> Result<()> {
        let from_ns = now_ns();
        while self.shared.taken.load(Ordering::Acquire) < self.posted {
            if now_ns() > from_ns + LOST_NS {
                let taken = self.shared.taken.load(Ordering::Acquire);
                return Err(format!("of {} posts, {taken} arrived", self.posted).into());
            }
            std::hint::spin_loop();
        }
        Ok(())
    }

    /// Waits until the kernel calls the target's thread asleep: `S` after its name in brackets.
    fn until_asleep(&self) -> Result<()> {
        let from_ns = now_ns();
        let mut line = [0_u8; 128];
        while now_ns() < from_ns + LOST_NS {
            let length = self.state.read_at(&mut line, 0)?;
            let end = line[..length].iter().rposition(|&byte| byte == b')').unwrap_or(0);
            if line[end..length].starts_with(b") S") {
                return Ok(());
            }
        }
        Err("the target does not sleep".into())
    }
}

impl<P: Poster> Drop for Bench<P> {
    /// Ends the target's thread, with a last post that wakes it.
    fn drop(&mut self) {
        self.shared.phase.store(END, Ordering::Release);
        // A contender that cannot even do this has said so before.
        let _ = self.poster.post(self.posted + 1);
    }
}
