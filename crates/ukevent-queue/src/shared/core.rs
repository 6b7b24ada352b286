//! The core: the queue that all share, and what is on the way from it to the waiters.
//!
//! One lock stands around it. It is held to change registrations, to take in what a sleep brought, and to do what a
//! mode asks for; never while a thread sleeps, and never while code of the program runs.
//!
//! Events come out of the queue into the ring (`fill`) whenever somebody is here. What the ring has no room for stays
//! in the queue, in its order: that is the backlog. In front of both are the events that were given back. A thread
//! that leaves events behind wakes one that sleeps, and that one the next: so each sleeper that is woken finds one.

mod recall;

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
use ukevent_sys::epoll::{Epoll, Report, Trigger};
use ukevent_sys::eventfd::EventFd;
use ukevent_sys::poll::PollMask;
use ukevent_sys::timerfd::TimerFd;

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
    /// How many events it waits for.
    needs: usize,
    /// It sleeps, and must not sleep on.
    is_called: bool,
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
    sleepers: usize,
    /// A wake-up is under way that no sleeper has answered yet.
    is_stirring: bool,
    /// Events that were given back, before all others.
    returned: VecDeque<Staged>,
    /// The same, with the waiter that does not want them.
    handed_on: VecDeque<(u32, Staged)>,
    broadcasts: HashMap<u64, Broadcast>,
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
            is_stirring: false,
            returned: VecDeque::new(),
            handed_on: VecDeque::new(),
            broadcasts: HashMap::new(),
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
    pub(super) fn take_waste(&mut self) -> Waste {
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
            needs: 1,
            is_called: false,
        });
        lane
    }

    /// A waiter goes: what it had claimed is for the others, or for whoever comes.
    pub(super) fn leave(&mut self, outside: &Outside, lane: &Lane) {
        self.members.retain(|member| member.lane.id() != lane.id());
        self.left.add(lane.counters());
        while let Some(staged) = lane.pop_last() {
            if staged.stamp.has(Stamp::FOR_ALL) {
                self.heard(outside, staged.stamp);
            } else {
                self.returned.push_front(staged);
            }
        }
        self.settle(outside);
    }

    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    /// Whether some waiter works on an event of this registration.
    pub(super) fn is_held(&self, key: Key) -> bool {
        self.members.iter().any(|member| member.lane.holds(key))
    }

    fn member(&mut self, lane: &Lane) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.lane.id() == lane.id())
    }

    // Sleeping and waking.

    /// Says that a waiter is about to sleep; false if it must not, because something came.
    pub(super) fn fall_asleep(&mut self, lane: &Lane, needs: usize) -> Result<bool, Error> {
        if !self.mailbox.prepare_sleep() {
            if self.sleepers > 0 {
                // So that a post wakes one of them from now on. Nothing is lost without it: who asks here looks again
                // at once. But what comes until then would wait for him.
                self.mailbox.stay_asleep();
            }
            return Ok(false);
        }
        self.sleepers += 1;
        if let Err(error) = self.set_alarm() {
            self.sleepers -= 1;
            return Err(error);
        }
        if let Some(member) = self.member(lane) {
            member.is_asleep = true;
            member.needs = needs;
        }
        Ok(true)
    }

    /// A waiter has asked the kernel: it is awake again, or never slept. The wake-up that it may have found was
    /// perhaps meant for another, who is woken again if there is anything.
    pub(super) fn has_asked(&mut self, lane: &Lane, slept: &[Report], was_asleep: bool) {
        self.sleepers -= usize::from(was_asleep);
        if self.sleepers > 0 {
            self.mailbox.stay_asleep()
        } else {
            self.mailbox.end_sleep()
        }
        self.is_stirring &= !slept.iter().any(|report| report.data() == Ticket::WAKE.to_bits());
        if !was_asleep {
            return;
        }
        let Some(member) = self.member(lane) else { return };
        member.is_asleep = false;
        if std::mem::take(&mut member.is_called) {
            self.called -= 1;
            if self.called == 0 {
                // A live eventfd can be read.
                let _: Result<(), Error> = self.everyone.clear();
            }
        }
    }

    /// How many reports whoever goes to sleep now may take: all, unless others sleep who could share.
    pub(super) const fn is_first_to_sleep(&self) -> bool {
        self.sleepers <= 1
    }

    /// Sets the alarm for those who sleep.
    pub(super) fn set_alarm(&mut self) -> Result<(), Error> {
        if self.sleepers == 0 {
            return Ok(());
        }
        let next_ns = self.queue.next_alarm_ns()?;
        if next_ns != self.alarm_ns {
            self.alarm.set(next_ns)?;
            self.alarm_ns = next_ns;
        }
        Ok(())
    }

    /// Shows what there is to those who sleep, and for whom it is enough, before one sleeps who needs more.
    pub(super) fn offer(&mut self, outside: &Outside, events: usize) {
        if self.sleepers > 0 {
            self.fill(outside, events);
            self.call(|member| member.needs <= events);
        }
    }

    /// Wakes one that sleeps, if there are events and nobody is on his way.
    pub(super) fn share_out(&mut self) {
        let is_waiting = self.ring.len() > 0 || !self.handed_on.is_empty();
        if is_waiting && self.sleepers > 0 && !self.is_stirring {
            self.is_stirring = true;
            self.mailbox.stir();
        }
    }

    /// A waiter goes off to work: those who sleep find what there is, and wake for the next timer.
    pub(super) fn leave_to_others(&mut self) {
        if self.sleepers > 0 && self.set_alarm().is_err() {
            // One of them tries, and tells.
            self.mailbox.stir();
        }
        self.share_out();
    }

    /// Wakes all that sleep.
    pub(super) fn call_everyone(&mut self) {
        self.call(|_| true);
    }

    /// Wakes those who sleep and are meant. The others are disturbed, and sleep on.
    fn call(&mut self, is_meant: impl Fn(&Member) -> bool) {
        for member in self.members.iter_mut().filter(|it| it.is_asleep && !it.is_called) {
            if is_meant(member) {
                member.is_called = true;
                self.called += 1;
            }
        }
        if self.called > 0 {
            // A live eventfd takes it.
            let _: Result<(), Error> = self.everyone.signal();
        }
    }

    /// After a change, while others sleep: lets it take effect and shows them what it brought. If nobody sleeps,
    /// whoever waits next does that.
    pub(super) fn settle(&mut self, outside: &Outside) {
        if self.sleepers == 0 {
            return;
        }
        let settled = self.let_in().and_then(|()| self.set_alarm());
        self.fill(outside, self.sleepers);
        self.share_out();
        if settled.is_err() || !self.queue.is_settled() {
            // One of them looks again, and tells of the error.
            self.mailbox.stir();
        }
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
        let others = self.members.len().saturating_sub(1);
        let depth = wanted.saturating_add(others.saturating_mul(AHEAD));
        while self.ring.len() < depth {
            if !self.ring.has_room() {
                self.overflowed += u64::from(self.has_backlog());
                break;
            }
            let Some(staged) = self.take_from_behind(outside) else { break };
            let nearest = match self.policy {
                Policy::Nearest => outside.claims.nearest(staged.event.key.index),
                Policy::Balanced => ANYBODY,
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
        let is_alone = self.members.len() == 1;
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
        let is_alone = self.members.len() == 1;
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
        self.members.iter().map(|member| member.lane.counters()).collect()
    }

    pub(super) fn counters(&self, outside: &Outside) -> SharedCounters {
        let mut tally = self.left;
        for member in &self.members {
            tally.add(member.lane.counters());
        }
        let counters = self.queue.counters();
        SharedCounters {
            queue: Counters { waits: tally.waits, batch_max: self.batch_max, ..counters },
            waiters: self.members.len(),
            asleep: self.sleepers,
            capacity: self.ring.capacity(),
            in_ring: self.ring.len(),
            high_water: self.high_water,
            overflowed: self.overflowed,
            position: outside.position.load(Ordering::Relaxed),
        }
    }
}
