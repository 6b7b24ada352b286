//! sim: a backend without a kernel, with a virtual clock and faults drawn from a seed.
//!
//! For tests of programs, and of the queue itself: descriptors whose readiness the test sets, time
//! that passes only when the queue would sleep, and everything a kernel may do that is rare: waits
//! that end early, watching that ends by itself, reports that come late, out of order, or after the
//! cancel.

use super::{Arm, Backend, Completion, Patience, Poll, Tally, Ticket};
use crate::event::Readiness;
use crate::post::Wake;
use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use ukevent_sys::clock::Clock;
use ukevent_sys::poll::{PollFd, PollMask};
use ukevent_sys::{Error, Result};

const EINTR: i32 = 4;
const EDEADLK: i32 = 35;

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
}

/// A simulated descriptor.
#[derive(Clone, Debug)]
pub struct SimDescriptor {
    number: RawFd,
}

impl SimDescriptor {
    pub(crate) const fn number(&self) -> RawFd {
        self.number
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
    agenda: BTreeMap<(u64, u64), (RawFd, PollMask)>,
    agenda_next: u64,
    late: Vec<Completion>,
    faults: Faults,
    random: u64,
    waits: u64,
    woken: bool,
}

#[derive(Clone, Copy, Default)]
struct Descriptor {
    ready: PollMask,
    /// Counts what an edge sees.
    news: u64,
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
        let mut world = self.world();
        world.descriptors.push(Descriptor::default());
        SimDescriptor { number: (world.descriptors.len() - 1) as RawFd }
    }

    /// Makes a descriptor ready for exactly this. Being made ready again is news to an edge.
    pub fn set(&self, descriptor: &SimDescriptor, readiness: Readiness) {
        let mask = PollMask::from_bits_truncate(u32::from(readiness.bits()));
        self.world().set(descriptor.number, mask);
    }

    /// Makes it so after this much virtual time: the queue's sleep ends then.
    pub fn set_after(&self, after: Duration, descriptor: &SimDescriptor, readiness: Readiness) {
        let mask = PollMask::from_bits_truncate(u32::from(readiness.bits()));
        let mut world = self.world();
        let at = world.monotonic_ns + crate::error::nanoseconds(after);
        let order = world.agenda_next;
        world.agenda_next += 1;
        world.agenda.insert((at, order), (descriptor.number, mask));
    }

    /// What a descriptor is ready for.
    #[must_use]
    pub fn readiness(&self, descriptor: &SimDescriptor) -> Readiness {
        Readiness::from_mask(self.world().descriptors[descriptor.number as usize].ready)
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
    fn set(&mut self, number: RawFd, ready: PollMask) {
        let descriptor = &mut self.descriptors[number as usize];
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
            let (number, mask) = entry.remove();
            self.set(number, mask);
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

    fn collect(&mut self, reports: &mut Vec<Completion>) {
        let mut ended = Vec::new();
        let mut fresh = Vec::new();
        for (&index, armed) in &mut self.armed {
            let descriptor = &self.descriptors[armed.poll.fd as usize];
            let ready = descriptor.ready & (armed.poll.mask | PollMask::ERR | PollMask::HUP);
            let is_news = armed.poll.arm != Arm::Edge || armed.seen != Some(descriptor.news);
            if ready.is_empty() || !is_news {
                continue;
            }
            armed.seen = Some(descriptor.news);
            let last = armed.poll.arm != Arm::Edge;
            if last {
                ended.push(index);
            }
            fresh.push(Completion::ready(armed.ticket, ready, last));
        }
        for index in ended {
            self.armed.remove(&index);
        }
        for mut report in fresh {
            if !report.last && self.chance(self.faults.end_edge) {
                report.last = true;
                self.armed.remove(&report.ticket.index);
            }
            if self.chance(self.faults.late) {
                self.late.push(report);
            } else {
                reports.push(report);
            }
        }
        if self.chance(self.faults.shuffle) {
            for at in (1..reports.len()).rev() {
                let other = (self.random() % (at as u64 + 1)) as usize;
                reports.swap(at, other);
            }
        }
    }
}

impl Backend for Sim {
    fn submit(&mut self, ticket: Ticket, poll: Poll) -> Result<()> {
        self.world().armed.insert(ticket.index, Armed { ticket, poll, seen: None });
        Ok(())
    }

    fn cancel(&mut self, ticket: Ticket, _fd: RawFd, _armed: bool) {
        // What is late stays late: it arrives after the cancel, and must die of its ticket.
        self.world().armed.remove(&ticket.index);
    }

    fn wait(&mut self, patience: Patience<'_>, reports: &mut Vec<Completion>) -> Result<()> {
        let world = &mut *self.world();
        world.waits += 1;
        let faults = world.faults;
        let before = reports.len();
        reports.append(&mut world.late);
        if !patience.is_none() && world.chance(faults.interrupt) {
            return Err(Error::new("sim", EINTR));
        }
        if !patience.is_none() && world.chance(faults.early) {
            return Ok(());
        }
        let until = patience.timeout_ns.map(|ns| world.monotonic_ns.saturating_add(ns));
        loop {
            world.collect(reports);
            let taken = (reports.len() - before) as u32;
            if patience.is_none() || taken >= patience.reports || std::mem::take(&mut world.woken) {
                return Ok(());
            }
            let next = world.agenda.keys().next().map(|&(at, _)| at);
            match (next, until) {
                (Some(next), until) if until.is_none_or(|until| next <= until) => {
                    world.pass_to(next);
                }
                (_, Some(until)) => {
                    world.pass_to(until);
                    world.collect(reports);
                    return Ok(());
                }
                _ if taken > 0 || !world.late.is_empty() => return Ok(()),
                // A kernel would sleep for ever: say so instead.
                _ => return Err(Error::new("sim: nothing can ever happen", EDEADLK)),
            }
        }
    }

    fn probe(&mut self, fds: &mut [PollFd]) -> Result<()> {
        let world = self.world();
        for fd in fds {
            let ready =
                world.descriptors.get(fd.number() as usize).map_or(PollMask::NVAL, |d| d.ready);
            fd.set_reported(ready & (fd.mask() | PollMask::ERR | PollMask::HUP | PollMask::NVAL));
        }
        Ok(())
    }

    fn waker(&self) -> Box<dyn Wake> {
        Box::new(self.clone())
    }

    fn now(&self, clock: Clock) -> u64 {
        let world = self.world();
        match clock {
            Clock::Monotonic => world.monotonic_ns,
            Clock::Boot => world.monotonic_ns + world.boot_ahead_ns,
            Clock::Wall => world.wall_ns,
        }
    }

    fn descriptor(&mut self) -> std::result::Result<BorrowedFd<'_>, &'static str> {
        Err("a backend with a kernel: a simulation has no descriptor")
    }

    fn tally(&self) -> Tally {
        Tally { system_calls: self.world().waits, overflows: 0 }
    }
}

impl Wake for Sim {
    fn wake(&self) {
        self.world().woken = true;
    }
}
