//! `memory`: what it costs the program to hold something that does nothing.
//!
//! A round starts a child for each kind of thing, which makes a few of them first, looks at its memory, makes
//! thousands more, and looks again: the difference, for each. A child of its own, because memory that was given back
//! is used again and shows nothing. The kernel's own memory (a socket: some KiB) is not in it.

use crate::child;
use crate::contenders::ukevent::{Backend, Epoll, IoUring, Poll};
use crate::server::descriptors::raised;
use crate::tables::Table;
use crate::view::{Chart, Line, Source, View, compared};
use rustix::event::{EventfdFlags, eventfd};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use ukevent_buf::{Arena, FramePool};
use ukevent_measure::cores::Cores;
use ukevent_measure::memory::Memory;
use ukevent_measure::results::{Outcome, shown};
use ukevent_measure::{Contender, Plan, Result, Sample, alternate};
use ukevent_queue::{BackendKind, Builder, Fd, Mode, Operation, Queue, Socket, Timer, Token, Wait};
use ukevent_task::{Runtime, spawn, time::sleep};

/// As `ukevent bench` has it.
pub const TABLE: Table = Table {
    name: "memory",
    about: "what an idle connection, timer, descriptor or coroutine takes of the program's memory",
    source: Source {
        who: "Davide Libenzi, 1 July 2001, Improving (network) IO performance",
        how: "16,000 dead connections on a machine with 128 MB: at most 8 KiB each, the kernel's part included",
    },
    run,
    show,
};

/// Things before the first look.
const FIRST: usize = 64;
/// Descriptors for the first, and all else of a child.
const REST: usize = 3 * FIRST;

/// A kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Timer,
    Descriptor,
    Connection,
    Coroutine,
}

const THINGS: [Thing; 4] = [Thing::Connection, Thing::Descriptor, Thing::Timer, Thing::Coroutine];

impl Thing {
    const fn name(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::Descriptor => "descriptor",
            Self::Connection => "connection",
            Self::Coroutine => "coroutine",
        }
    }

    const fn about(self) -> &'static str {
        match self {
            Self::Timer => "timer, an hour away",
            Self::Descriptor => "descriptor, watched by level",
            Self::Connection => "TCP connection that receives continuously",
            Self::Coroutine => "coroutine that sleeps",
        }
    }

    const fn wanted(self, plan: &Plan) -> usize {
        match self {
            Self::Timer | Self::Coroutine => plan.pick(100_000, 50_000, 200),
            Self::Descriptor => plan.pick(16_000, 16_000, 200),
            Self::Connection => plan.pick(8_000, 4_000, 100),
        }
    }

    /// As many as are wanted, or as there are descriptors for. Raises the limit, which the child has, too.
    fn count(self, plan: &Plan) -> usize {
        let each = match self {
            Self::Timer | Self::Coroutine => return self.wanted(plan),
            Self::Descriptor => 1,
            // Both ends are the child's.
            Self::Connection => 2,
        };
        let wanted = self.wanted(plan);
        let limit = raised((wanted * each + REST) as u64) as usize;
        wanted.min(limit.saturating_sub(REST) / each)
    }
}

fn run(plan: &Plan, _cores: &Cores, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let contenders = [
        Contender { name: "ukevent io_uring", round: round::<IoUring> },
        Contender { name: "ukevent epoll", round: round::<Epoll> },
        Contender { name: "ukevent poll", round: round::<Poll> },
    ];
    for thing in THINGS {
        let (wanted, count) = (thing.wanted(plan), thing.count(plan));
        if count < wanted {
            eprintln!(
                "memory: {count} times a {}, instead of {wanted}, because a process may not have more descriptors \
                 here (ulimit -n)",
                thing.name()
            );
        }
    }
    // Every round is of children of its own, which nothing before it can warm up.
    let method = Plan { warm_ups: 0, ..plan.clone() };
    alternate(&method, "memory", &contenders, plan, outcomes);
    Ok(())
}

fn round<B: Backend>(plan: &Plan) -> Result<Vec<Sample>> {
    THINGS
        .into_iter()
        .map(|thing| {
            let count = thing.count(plan);
            let words = format!("memory,{},{},{count}", B::KIND.name(), thing.name());
            let output = child::command(&words)?.output()?;
            let words = String::from_utf8_lossy(&output.stdout);
            let Some((made, bytes)) = words.trim().split_once(' ') else {
                let why = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{}: {}", thing.about(), why.trim()).into());
            };
            Ok(Sample::figure("bytes each", bytes.parse()?)
                .counted(count as u64, made.parse()?)
                .with("what", thing.about()))
        })
        .collect()
}

fn show(results: &[Outcome]) -> View {
    let labels = THINGS.map(Thing::name);
    let mut lines: Vec<Line> = Vec::new();
    for row in results.iter().filter(|row| row.ok) {
        let what = row.parameters.get("what").map(shown).unwrap_or_default();
        let place = THINGS.iter().position(|thing| thing.about() == what);
        let (Some(place), Some(median)) = (place, row.median) else { continue };
        let point = (place as f64 + 0.5, median);
        match lines.iter_mut().find(|line| line.name == row.contender) {
            Some(line) => line.points.push(point),
            None => {
                lines.push(Line { name: row.contender.clone(), is_old: false, points: vec![point] })
            }
        }
    }
    View {
        grids: compared(results, None),
        notes: vec![
            "Idle connections share one pool of buffers: none of them holds one.".to_owned(),
        ],
        chart: Some(Chart {
            x: "",
            y: "bytes each",
            is_log: false,
            labels: labels.map(str::to_owned).into(),
            lines,
        }),
    }
}

/// What a child does: `BACKEND,THING,COUNT`. Makes its things, and prints how many, and bytes for each.
pub(crate) fn be_child(words: &str) -> Result<()> {
    let mut words = words.split(',');
    let mut word = || words.next().ok_or("three words, with commas between them");
    let kind: BackendKind = word()?.parse()?;
    let name = word()?;
    let count: usize = word()?.parse()?;
    let thing = THINGS.into_iter().find(|it| it.name() == name).ok_or("no such thing")?;
    let queue = Builder::new().backend(kind).build()?;
    let (made, bytes) = match thing {
        Thing::Timer => timers(queue, count)?,
        Thing::Descriptor => descriptors(queue, count)?,
        Thing::Connection => connections(queue, count)?,
        Thing::Coroutine => coroutines(queue, count)?,
    };
    println!("{made} {bytes}");
    Ok(())
}

/// Makes a few, looks, makes the others, and looks: how many there were, and bytes for each.
fn grown(count: usize, mut make: impl FnMut(usize) -> Result<()>) -> Result<(usize, f64)> {
    make(FIRST)?;
    let before = Memory::of(std::process::id())?;
    make(count)?;
    let after = Memory::of(std::process::id())?;
    let kib = after.private_kib as f64 - before.private_kib as f64;
    Ok((count, kib * 1024.0 / count as f64))
}

fn timers(mut queue: Queue, count: usize) -> Result<(usize, f64)> {
    grown(count, |more| {
        for number in 0..more {
            // Not all at one time.
            let after = Duration::from_secs(3600) + Duration::from_micros(number as u64 * 997);
            queue.register(Timer::after(after), Token::from(number), Mode::OneShot)?;
        }
        queue.wait(Wait::now())?;
        Ok(())
    })
}

fn descriptors(mut queue: Queue, count: usize) -> Result<(usize, f64)> {
    grown(count, |more| {
        for number in 0..more {
            let idle = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
            queue.register(Fd::new(idle), Token::from(number), Mode::Level)?;
        }
        queue.wait(Wait::now())?;
        Ok(())
    })
}

fn connections(mut queue: Queue, count: usize) -> Result<(usize, f64)> {
    let frames = FramePool::builder(1024, 2048).waker(queue.room_waker());
    let pool = Arc::new(frames.clone().build(&Arena::new(frames.arena_bytes())?)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let mut peers = Vec::with_capacity(FIRST + count);
    grown(count, |more| {
        for number in 0..more {
            peers.push(TcpStream::connect(address)?);
            let (stream, _) = listener.accept()?;
            let token = Token::from(number);
            let key =
                queue.register(Socket::new(Arc::new(stream)).unwatched(), token, Mode::Level)?;
            queue.start(Operation::receive_each(key, pool.clone()), token)?;
        }
        queue.wait(Wait::now())?;
        Ok(())
    })
}

fn coroutines(queue: Queue, count: usize) -> Result<(usize, f64)> {
    let mut runtime = Runtime::with(queue);
    grown(count, |more| {
        runtime.block_on(async {
            for _ in 0..more {
                spawn(sleep(Duration::from_secs(3600))).detach();
            }
            // Each is polled once.
            sleep(Duration::from_millis(1)).await;
        })?;
        Ok(())
    })
}
