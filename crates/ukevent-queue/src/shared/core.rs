//! The core: the queue that all share, and what is on the way from it to the waiters.
//!
//! One lock stands around it. It is held to change registrations, to take in what a sleep brought, and to do what a
//! mode asks for; never while a thread sleeps, and never while code of the program runs.
//!
//! Events come out of the queue into the ring (`fill`) whenever somebody is here. What the ring has no room for stays
//! in the queue, in its order: that is the backlog. In front of both are the events that were given back. A thread
//! that leaves events behind wakes one that sleeps, and that one the next: so each sleeper that is woken finds one.

mod recall;
mod sleepers;

pub(super) use self::sleepers::Nest;
use super::claims::Claims;
use super::lane::Lane;
use super::ring::{ANYBODY, Ring, Staged, Stamp};
use super::{Policy, SharedCounters, WaiterCounters};
use crate::backend::Ticket;
use crate::error::BuildError;
use crate::event::Event;
use crate::key::Key;
use crate::post::Mailbox;
use crate::primitive::{self, AtomicBool, AtomicU64, Ordering};
use crate::queue::{Counters, Queue};
use crate::source::Removed;
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use ukevent_sys::Error;
use ukevent_sys::clock::Clock;
use ukevent_sys::epoll::{Epoll, Trigger};
use ukevent_sys::eventfd::EventFd;
use ukevent_sys::poll::PollMask;
use ukevent_sys::timerfd::TimerFd;

/// The report that another set, which this one watches, has something.
pub(super) const WATCH: Ticket = Ticket::own(3);
/// Events that lie in the ring ahead for each waiter that may come.
const AHEAD: usize = 16;

/// What is read without the lock, and written under it.
pub(super) struct Outside {
    pub(super) claims: Claims,
    /// Events that were put into the ring, ever.
    pub(super) position: AtomicU64,
    /// Whether somebody handed an event on that another one is to take.
    pub(super) is_handed_on: AtomicBool,
}

/// A waiter, as the core knows it.
struct Member {
    lane: Arc<Lane>,
    is_asleep: bool,
    told: Told,
    /// The bell of its nest rings.
    is_shown: bool,
    /// How many events it waits for.
    needs: usize,
    /// It sleeps, and must not sleep on.
    is_called: bool,
}

/// How a waiter hears of what there is.
enum Told {
    /// When it waits.
    Here,
    /// By somebody else who watches this for it.
    ByNest(Nest),
    /// By the set of its own group: it has adopted this one.
    ByHeir,
    /// Not at all: the group that it had adopted has a waiter of its own again.
    NoMore,
}

impl Member {
    /// Somebody else watches for it.
    const fn is_nested(&self) -> bool {
        matches!(self.told, Told::ByNest(_) | Told::ByHeir)
    }

    const fn is_expelled(&self) -> bool {
        matches!(self.told, Told::NoMore)
    }
}

/// An event that every waiter gets.
struct Broadcast {
    key: Key,
    /// Waiters that have not let go of it.
    left: usize,
}

pub(super) struct Core {
    pub(super) queue: Queue,
    pub(super) ring: Arc<Ring>,
    mailbox: primitive::Arc<Mailbox>,
    policy: Policy,
    members: Vec<Member>,
    /// Those who sleep, and those for whom somebody else watches.
    sleepers: usize,
    nested: usize,
    /// A wake-up is under way that no sleeper has answered yet.
    is_stirring: bool,
    /// Events that were given back, before all others.
    returned: VecDeque<Staged>,
    /// The same, with the waiter that does not want them.
    handed_on: VecDeque<(u32, Staged)>,
    broadcasts: HashMap<u64, Broadcast>,
    /// Slots of timers that were changed, and the last number that was given before that.
    begun_anew: HashMap<u32, u64>,
    /// The last number that was given to a staging.
    pub(super) number: u64,
    last_member: u32,
    /// For the next timer, so that one of those who sleep wakes.
    alarm: TimerFd,
    alarm_ns: Option<u64>,
    /// Readable while a member that is asleep is called: ends the sleep of all.
    everyone: EventFd,
    called: usize,
    overflowed: u64,
    high_water: usize,
    /// The most events that one wait let out.
    pub(super) batch_max: u64,
    /// What waiters did that are gone.
    left: WaiterCounters,
    waste: Waste,
}

/// What is to be dropped without the lock: it may be the program's, and use the queue.
#[derive(Default)]
pub(super) struct Waste {
    events: Vec<Event>,
    removed: Vec<Removed>,
}

impl Waste {
    const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.removed.is_empty()
    }
}

impl Core {
    pub(super) fn new(
        queue: Queue,
        set: &Epoll,
        mailbox: primitive::Arc<Mailbox>,
        capacity: u32,
        policy: Policy,
    ) -> Result<Self, BuildError> {
        let alarm = TimerFd::new(Clock::Monotonic).map_err(BuildError::Kernel)?;
        let everyone = EventFd::new().map_err(BuildError::Kernel)?;
        let own = [(alarm.as_fd(), Trigger::Edge), (everyone.as_fd(), Trigger::Level)];
        for (number, (fd, trigger)) in (1..).zip(own) {
            let word = Ticket::own(number).to_bits();
            set.add(fd.as_raw_fd(), PollMask::IN, trigger, word).map_err(BuildError::Kernel)?;
        }
        Ok(Self {
            queue,
            ring: Arc::new(Ring::new(capacity, 0)),
            mailbox,
            policy,
            members: Vec::new(),
            sleepers: 0,
            nested: 0,
            is_stirring: false,
            returned: VecDeque::new(),
            handed_on: VecDeque::new(),
            broadcasts: HashMap::new(),
            begun_anew: HashMap::new(),
            number: 0,
            last_member: ANYBODY,
            alarm,
            alarm_ns: None,
            everyone,
            called: 0,
            overflowed: 0,
            high_water: 0,
            batch_max: 0,
            left: WaiterCounters::default(),
            waste: Waste::default(),
        })
    }

    /// What is to be dropped as soon as nobody has the lock.
    #[inline]
    pub(super) fn take_waste(&mut self) -> Option<Waste> {
        let is_clean = self.queue.waste.is_empty() && self.waste.is_empty();
        if is_clean { None } else { Some(self.gather_waste()) }
    }

    #[cold]
    fn gather_waste(&mut self) -> Waste {
        self.waste.removed.append(&mut self.queue.waste);
        std::mem::take(&mut self.waste)
    }

    // Who waits.

    pub(super) fn join(&mut self) -> Arc<Lane> {
        self.last_member = self.last_member.wrapping_add(1).max(ANYBODY + 1);
        let lane = Arc::new(Lane::new(self.last_member));
        self.members.push(Member {
            lane: lane.clone(),
            is_asleep: false,
            told: Told::Here,
            is_shown: false,
            needs: 1,
            is_called: false,
        });
        lane
    }

    /// A waiter goes: what it had claimed is for the others, or for whoever comes.
    pub(super) fn leave(&mut self, outside: &Outside, lane: &Lane) {
        self.unwatched(lane, Told::NoMore);
        self.members.retain(|member| member.lane.id() != lane.id());
        self.left.add(lane.counters());
        self.take_back(outside, lane);
        self.settle(outside);
    }

    /// Takes back what a waiter has claimed: it comes before what lies in the ring, and that before what was given back
    /// earlier.
    fn take_back(&mut self, outside: &Outside, lane: &Lane) {
        let own = std::iter::from_fn(|| lane.pop());
        let all: Vec<Staged> = own.chain(std::iter::from_fn(|| self.ring.pop())).collect();
        for staged in all.into_iter().rev() {
            if staged.stamp.has(Stamp::FOR_ALL) {
                self.heard(outside, staged.stamp);
            } else {
                self.returned.push_front(staged);
            }
        }
    }

    /// A waiter has adopted the group, or has it still.
    pub(super) fn adopt(&mut self, outside: &Outside, lane: &Lane) {
        self.watched(outside, lane, Told::ByHeir);
    }

    /// The group has a waiter of its own again. Who has adopted it may work on an event of it, and gets no more.
    pub(super) fn take_over(&mut self, outside: &Outside) {
        let adopters = self.members.iter().filter(|it| matches!(it.told, Told::ByHeir));
        for lane in adopters.map(|it| it.lane.clone()).collect::<Vec<_>>() {
            self.unwatched(&lane, Told::NoMore);
            self.take_back(outside, &lane);
        }
        self.settle(outside);
    }

    pub(super) fn is_expelled(&self, lane: &Lane) -> bool {
        self.members.iter().any(|it| it.is_expelled() && it.lane.id() == lane.id())
    }

    /// How many wait for its events.
    pub(super) fn members(&self) -> usize {
        self.members.iter().filter(|it| !it.is_expelled()).count()
    }

    /// Whether some waiter works on an event of this registration.
    pub(super) fn is_held(&self, key: Key) -> bool {
        self.members.iter().any(|member| member.lane.holds(key))
    }

    fn member(&mut self, lane: &Lane) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.lane.id() == lane.id())
    }

    // From the queue to the ring.

    /// Lets in what needs no sleep.
    pub(super) fn let_in(&mut self) -> Result<(), Error> {
        self.queue.let_in()?;
        if self.queue.take_deadline_passed() {
            self.call_everyone();
        }
        Ok(())
    }

    /// Puts what is ready into the ring, as far as it has room: for whoever is here as many as he wants, and some
    /// ahead for each of the others. What stays in the queue keeps its turn there, and goes on adding up.
    pub(super) fn fill(&mut self, outside: &Outside, wanted: usize) {
        // One that is nested finds what it did not take when it is told to look again.
        let others = self.members().saturating_sub(1) + usize::from(self.nested > 0);
        let depth = wanted.saturating_add(others.saturating_mul(AHEAD));
        while self.ring.len() < depth {
            if self.ring.is_full() {
                self.overflowed += u64::from(self.has_backlog());
                break;
            }
            let Some(staged) = self.take_from_behind(outside) else { break };
            let nearest = match self.policy {
                Policy::Nearest => outside.claims.nearest(staged.event.key.index),
                Policy::Balanced | Policy::Pinned => ANYBODY,
            };
            if let Err(staged) = self.ring.push(staged, nearest) {
                self.returned.push_front(staged);
                break;
            }
            outside.position.fetch_add(1, Ordering::Release);
        }
        self.high_water = self.high_water.max(self.ring.len());
    }

    fn has_backlog(&self) -> bool {
        !self.returned.is_empty() || self.queue.ready_events() > 0
    }

    /// How many events this waiter can take: those in the ring, and those behind it, which come one after another
    /// if they are of one registration. What others work on may have more of it, but that is not in reach.
    ///
    /// Whether others work is asked once: they take up events without the lock. If they do, only the ring tells which
    /// of the ready ones are in reach, and what is wanted goes there first.
    pub(super) fn in_reach(&mut self, outside: &Outside, lane: &Lane, wanted: usize) -> usize {
        if self.members.len() == 1 {
            let given = self.ring.len() + self.returned.len() + self.handed_on.len();
            return given + self.queue.ready_events();
        }
        let is_alone = self.members() == 1;
        let others_work =
            self.members.iter().any(|it| it.lane.id() != lane.id() && it.lane.holds_something());
        if others_work {
            self.fill(outside, wanted);
        }
        let handed_on = self.handed_on.iter().filter(|&&(by, _)| is_alone || by != lane.id());
        let given = self.ring.len() + self.returned.len() + handed_on.count();
        let behind = if !others_work {
            self.queue.ready_events()
        } else if self.ring.has_room() {
            0
        } else {
            // Nothing comes to a ring whose entries are claimed and not emptied yet.
            self.queue.listed()
        };
        given + behind
    }

    /// Takes the request to return without an event, if there was one.
    pub(super) fn take_woken(&self) -> bool {
        self.mailbox.take_woken()
    }

    /// The first event for this waiter.
    pub(super) fn take_first(&mut self, outside: &Outside, lane: &Lane) -> Option<Staged> {
        if let Some(staged) = self.take_handed_on(outside, lane) {
            return Some(staged);
        }
        if self.policy == Policy::Nearest
            && let Some(staged) = self.ring.pop_nearest(lane.id())
        {
            return Some(staged);
        }
        self.ring.pop().or_else(|| {
            self.fill(outside, 1);
            // A ring may have no room though nothing is in it: each entry waits for whoever claimed it.
            self.ring.pop().or_else(|| self.take_from_behind(outside))
        })
    }

    /// The first event of those that have not come to the ring; what is for all goes to all on the way.
    fn take_from_behind(&mut self, outside: &Outside) -> Option<Staged> {
        loop {
            let given = self.returned.pop_front();
            let staged = given.or_else(|| self.queue.stage(&outside.claims, &mut self.number))?;
            if !staged.stamp.has(Stamp::FOR_ALL) {
                return Some(staged);
            }
            self.send_to_all(outside, staged);
        }
    }

    /// What another one handed on; to who did it only if there is no other.
    fn take_handed_on(&mut self, outside: &Outside, lane: &Lane) -> Option<Staged> {
        let is_alone = self.members() == 1;
        let at = self.handed_on.iter().position(|&(by, _)| is_alone || by != lane.id())?;
        let (_, staged) = self.handed_on.remove(at)?;
        self.show_handed_on(outside);
        Some(staged)
    }

    pub(super) fn hand_on(&mut self, outside: &Outside, by: u32, staged: Staged) {
        self.handed_on.push_back((by, staged));
        self.show_handed_on(outside);
        self.share_out();
    }

    /// Says whether somebody must come here, though there are events in the ring.
    fn show_handed_on(&self, outside: &Outside) {
        outside.is_handed_on.store(!self.handed_on.is_empty(), Ordering::Relaxed);
    }

    /// Gives a copy to each waiter, and wakes them all.
    fn send_to_all(&mut self, outside: &Outside, staged: Staged) {
        let Staged { event, mut stamp } = staged;
        if stamp.has(Stamp::COMMIT) {
            // Once, not at each taking.
            self.queue.commit(&outside.claims, event.key, self.number);
            self.waste.removed.extend(self.queue.take_spent());
            let is_over = !self.queue.is_live(event.key);
            stamp = stamp.without(Stamp::COMMIT).with(if is_over { Stamp::OVER } else { 0 });
        }
        for member in &self.members {
            if let Some(kind) = event.kind.copy() {
                let event = Event { kind, ..event };
                member.lane.push(Staged { event, stamp });
            }
        }
        self.broadcasts
            .insert(stamp.number(), Broadcast { key: event.key, left: self.members.len() });
        self.call_everyone();
    }

    /// A waiter let go of its copy. After the last one the registration goes on.
    pub(super) fn heard(&mut self, outside: &Outside, stamp: Stamp) {
        let Some(broadcast) = self.broadcasts.get_mut(&stamp.number()) else { return };
        broadcast.left = broadcast.left.saturating_sub(1);
        if broadcast.left == 0 {
            let key = broadcast.key;
            self.broadcasts.remove(&stamp.number());
            self.resume(outside, key, stamp);
        }
    }

    /// A waiter let go of an event, and there was news.
    pub(super) fn resume(&mut self, outside: &Outside, key: Key, stamp: Stamp) {
        self.queue.resume(&outside.claims, key, stamp);
        self.settle(outside);
    }

    // The ring itself.

    pub(super) fn resize(&mut self, outside: &Outside, capacity: u32) {
        let (ring, over) = self.ring.resized(capacity);
        self.ring = Arc::new(ring);
        for staged in over.into_iter().rev() {
            self.returned.push_front(staged);
        }
        self.settle(outside);
    }

    pub(super) fn waiters(&self) -> Vec<WaiterCounters> {
        let is_own = |it: &&Member| matches!(it.told, Told::Here | Told::ByNest(_));
        let own = self.members.iter().filter(is_own);
        own.map(|member| member.lane.counters()).collect()
    }

    pub(super) fn counters(&self, outside: &Outside) -> SharedCounters {
        let mut tally = self.left;
        for member in &self.members {
            tally.add(member.lane.counters());
        }
        let counters = self.queue.counters();
        SharedCounters {
            queue: Counters { waits: tally.waits, batch_max: self.batch_max, ..counters },
            waiters: self.members(),
            asleep: self.members.iter().filter(|member| member.is_asleep).count(),
            capacity: self.ring.capacity(),
            in_ring: self.ring.len(),
            high_water: self.high_water,
            overflowed: self.overflowed,
            position: outside.position.load(Ordering::Relaxed),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
