//! sim: a backend without a kernel, with a virtual clock and faults drawn from a seed.
//!
//! For tests of programs, and of the queue itself: descriptors whose readiness the test sets, streams
//! and listeners whose peer is the test ([`SimStream`]), time that passes only when the queue would
//! sleep, and everything a kernel may do that is rare: waits that end early, watching that ends by
//! itself, reports that come late, out of order, or after the cancel, transfers that are short, fail, or
//! would block though all was ready.

mod kernel;
mod peer;
mod stream;

pub use peer::SimStream;

use super::{Backend, Completion, Poll, Ticket};
use crate::event::Readiness;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stream::Stream;
use ukevent_sys::poll::PollMask;

/// A simulated kernel: hand it to [`Builder::sim`](crate::Builder::sim), keep a clone, and make
/// things happen.
///
/// ```
/// use std::time::Duration;
/// use ukevent_queue::{Builder, Fd, Interest, Mode, Readiness, Timer, Token, Wait, sim::Sim};
///
/// let sim = Sim::new(1);
/// let mut queue = Builder::new().sim(&sim).build()?;
/// let door = sim.descriptor();
/// queue.register(Fd::simulated(&door).interest(Interest::READ), Token(7), Mode::Level)?;
/// queue.register(Timer::after(Duration::from_secs(3600)), Token(8), Mode::OneShot)?;
///
/// sim.set(&door, Readiness::READABLE);
/// queue.wait(Wait::forever())?;
/// assert_eq!(queue.next_event().map(|event| event.token), Some(Token(7)));
///
/// // An hour passes in no time, because nothing else can happen.
/// sim.set(&door, Readiness::empty());
/// queue.wait(Wait::forever())?;
/// assert_eq!(queue.next_event().map(|event| event.token), Some(Token(8)));
/// assert!(sim.elapsed() >= Duration::from_secs(3600));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Sim(Arc<Mutex<World>>);

/// How often, in percent, the simulated kernel misbehaves within what a kernel may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A wait ends with `EINTR`.
    pub interrupt: u8,
    /// A wait ends early, with nothing.
    pub early: u8,
    /// The watching of an edge ends by itself (as when io_uring's completions overflow).
    pub end_edge: u8,
    /// A report comes one wait late, or after its registration was changed.
    pub late: u8,
    /// The reports of a wait come in another order.
    pub shuffle: u8,
    /// A stream takes or gives fewer bytes than it could; at least one.
    pub short: u8,
    /// A stream or listener says `EAGAIN`, whatever it said of its readiness, and is ready anew after that:
    /// an edge sees it. At 100 nothing is ever
    /// done, and a wait for it never ends.
    pub again: u8,
    /// A stream is reset when bytes are asked of it or given to it: `ECONNRESET`.
    pub reset: u8,
    /// There is no memory: `ENOBUFS` or `ENOMEM`, and nothing was moved.
    pub no_memory: u8,
    /// A report says that the peer closed its side, though nobody asked (as io_uring's do).
    pub unasked: u8,
    /// What the peer of a stream did is told a few virtual milliseconds late.
    pub delay: u8,
}

/// A simulated descriptor. Clones are the same one: when the last of them is dropped, a stream is closed
/// at the program's end, and a listener stops to listen.
#[derive(Clone)]
pub struct SimDescriptor(Arc<Entry>);

/// What a descriptor's number stands for, as long as somebody has it.
struct Entry {
    sim: Sim,
    number: RawFd,
}

impl SimDescriptor {
    fn new(sim: &Sim, number: RawFd) -> Self {
        Self(Arc::new(Entry { sim: sim.clone(), number }))
    }

    pub(crate) fn number(&self) -> RawFd {
        self.0.number
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.sim.world().close(self.number);
    }
}

impl PartialEq for SimDescriptor {
    /// The same one, of the same simulation.
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number() && Arc::ptr_eq(&self.0.sim.0, &other.0.sim.0)
    }
}

impl Eq for SimDescriptor {}

impl std::fmt::Debug for SimDescriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDescriptor").field("number", &self.number()).finish_non_exhaustive()
    }
}

struct World {
    monotonic_ns: u64,
    /// What the boot-time and the wall clock are ahead.
    boot_ahead_ns: u64,
    wall_ns: u64,
    descriptors: Vec<Descriptor>,
    armed: BTreeMap<u32, Armed>,
    /// What is to happen later.
    agenda: BTreeMap<(u64, u64), Happening>,
    agenda_next: u64,
    late: Vec<Completion>,
    faults: Faults,
    random: u64,
    waits: u64,
    woken: bool,
}

struct Descriptor {
    ready: PollMask,
    /// Counts what an edge sees.
    news: u64,
    nature: Nature,
}

/// What a descriptor is.
enum Nature {
    /// The test says what it is ready for.
    Plain,
    Stream(Box<Stream>),
    /// The connections that wait to be accepted; `None` if nobody listens any more.
    Listener(Option<VecDeque<RawFd>>),
}

/// What happens later.
#[derive(Clone, Copy)]
enum Happening {
    /// It becomes ready for this.
    Set(RawFd, PollMask),
    /// A stream says what it is ready for.
    Tell(RawFd),
}

struct Armed {
    ticket: Ticket,
    poll: Poll,
    /// The news that was reported; `None` just after arming.
    seen: Option<u64>,
}

impl Sim {
    /// A kernel whose faults come from `seed`; it has none until [`Sim::faults`].
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            monotonic_ns: 1_000_000_000,
            boot_ahead_ns: 0,
            wall_ns: 1_000_000_000_000_000_000,
            descriptors: Vec::new(),
            armed: BTreeMap::new(),
            agenda: BTreeMap::new(),
            agenda_next: 0,
            late: Vec::new(),
            faults: Faults::default(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            waits: 0,
            woken: false,
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn backend(&self) -> Box<dyn Backend> {
        Box::new(self.clone())
    }

    /// Lets things go wrong from now on.
    pub fn faults(&self, faults: Faults) {
        self.world().faults = faults;
    }

    /// A new descriptor, ready for nothing.
    #[must_use]
    pub fn descriptor(&self) -> SimDescriptor {
        let number = self.world().add(Nature::Plain);
        SimDescriptor::new(self, number)
    }

    /// Makes a descriptor ready for exactly this. Being made ready again is news to an edge. Streams and
    /// listeners are ready for what they have: of them nothing can be said.
    pub fn set(&self, descriptor: &SimDescriptor, readiness: Readiness) {
        let mask = PollMask::from_bits_truncate(u32::from(readiness.bits()));
        self.world().set(descriptor.number(), mask);
    }

    /// Makes it so after this much virtual time: the queue's sleep ends then.
    pub fn set_after(&self, after: Duration, descriptor: &SimDescriptor, readiness: Readiness) {
        let mask = PollMask::from_bits_truncate(u32::from(readiness.bits()));
        let mut world = self.world();
        world.later(after, Happening::Set(descriptor.number(), mask));
    }

    /// What a descriptor is ready for.
    #[must_use]
    pub fn readiness(&self, descriptor: &SimDescriptor) -> Readiness {
        Readiness::from_mask(self.world().descriptors[descriptor.number() as usize].ready)
    }

    /// Virtual time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.world().monotonic_ns - 1_000_000_000)
    }

    /// Lets time pass on every clock.
    pub fn advance(&self, time: Duration) {
        let mut world = self.world();
        let to = world.monotonic_ns.saturating_add(crate::error::nanoseconds(time));
        world.pass_to(to);
    }

    /// Suspends the machine for a time: only the boot-time and the wall clock go on.
    pub fn suspend(&self, time: Duration) {
        let ns = crate::error::nanoseconds(time);
        let mut world = self.world();
        world.boot_ahead_ns += ns;
        world.wall_ns += ns;
    }

    /// Sets the wall clock, to a time since 1970.
    pub fn set_wall_clock(&self, time: Duration) {
        self.world().wall_ns = crate::error::nanoseconds(time);
    }
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

impl World {
    fn add(&mut self, nature: Nature) -> RawFd {
        self.descriptors.push(Descriptor { ready: PollMask::empty(), news: 0, nature });
        (self.descriptors.len() - 1) as RawFd
    }

    fn later(&mut self, after: Duration, happening: Happening) {
        let at_ns = self.monotonic_ns.saturating_add(crate::error::nanoseconds(after));
        let order = self.agenda_next;
        self.agenda_next += 1;
        self.agenda.insert((at_ns, order), happening);
    }

    fn set(&mut self, number: RawFd, ready: PollMask) {
        let descriptor = &mut self.descriptors[number as usize];
        if !matches!(descriptor.nature, Nature::Plain) {
            return;
        }
        if !ready.is_empty() {
            descriptor.news += 1;
        }
        descriptor.ready = ready;
    }

    fn pass_to(&mut self, to_ns: u64) {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > to_ns {
                break;
            }
            match entry.remove() {
                Happening::Set(number, mask) => self.set(number, mask),
                Happening::Tell(number) => self.tell(number),
            }
        }
        self.wall_ns += to_ns.saturating_sub(self.monotonic_ns);
        self.monotonic_ns = self.monotonic_ns.max(to_ns);
    }

    fn chance(&mut self, percent: u8) -> bool {
        percent > 0 && self.random() % 100 < u64::from(percent)
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
