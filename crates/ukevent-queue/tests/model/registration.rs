//! One registration of the naive queue: what it may report, and what it must.
//!
//! Without faults the two are nearly the same: but for a timer within a tick of its time, and a
//! descriptor whose state comes and goes within one wait. A fault may delay the report of a
//! descriptor, so between them lies what the queue can know but need not know yet; after [`CHANCES`]
//! waits it must.

use crate::program::{Beats, What};
use crate::world::{TICK_NS, World};
use std::collections::VecDeque;
use ukevent_queue::sim::Faults;
use ukevent_queue::{Clock, Interest, Merge, Mode, Posted, Readiness, Token};

/// So many waits after something happened the queue must know, whatever the faults: one in which the
/// end of an edge's watching is late, one that watches it anew, whose report is late too, and the one
/// in which that comes.
const CHANCES: u32 = 3;

/// What the faults of a program may do to the reports of descriptors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slack {
    /// They may be late.
    pub(crate) late: bool,
    /// Edges may be reported again without news.
    pub(crate) repeats: bool,
}

impl Slack {
    pub(crate) const fn of(faults: Faults) -> Self {
        Self {
            late: faults.late > 0 || faults.end_edge > 0 || faults.interrupt > 0,
            repeats: faults.end_edge > 0,
        }
    }
}

/// A place in the line: a wait, and an order within it. Within one wait any order will do.
pub(crate) type Place = (u64, u64);

#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) token: Token,
    pub(crate) mode: Mode,
    pub(crate) enabled: bool,
    pub(crate) source: Source,
    /// Where it stands in the line at best,
    pub(crate) first: Option<Place>,
    /// and at worst.
    pub(crate) last: Option<Place>,
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
    Fd(Watch),
    Timer(Timing),
    User(Posts),
}

impl Registration {
    pub(crate) fn new(world: &World, what: What, token: Token, mode: Mode) -> Self {
        let source = match what {
            What::Fd(descriptor, interest) => Source::Fd(Watch::new(descriptor, interest)),
            What::Timer(beats) => Source::Timer(Timing::new(world, beats)),
            What::Merged(merge) => Source::User(Posts::new(Some(merge), usize::MAX)),
            What::Each(capacity) => {
                Source::User(Posts::new(None, capacity.max(2).next_power_of_two() as usize))
            }
        };
        Self { token, mode, enabled: true, source, first: None, last: None }
    }

    /// Looks at the world as the queue does in a wait: when it begins, whenever a descriptor changes
    /// or a timer is due, and when it ends.
    pub(crate) fn look(&mut self, world: &World, slack: Slack, begins: bool) {
        match &mut self.source {
            Source::Timer(timing) => timing.look(world.clock(timing.clock)),
            Source::User(posts) => posts.look(),
            Source::Fd(_) if !self.enabled => {}
            Source::Fd(watch) if self.mode == Mode::Edge => {
                watch.look_for_news(world, slack, begins)
            }
            Source::Fd(watch) => {
                if !watch.look_at_state(world, slack, begins) {
                    self.last = None;
                }
            }
        }
    }

    /// The end of a wait: whether it looked at descriptors for certain.
    pub(crate) fn settle(&mut self, place: Place, looked: bool, slack: Slack) {
        if let Source::Fd(watch) = &mut self.source {
            watch.was_looked_at = looked;
            watch.chances += u32::from(looked && watch.has_chance);
        }
        self.stand(place, slack);
    }

    /// Takes its place in the line, if it has something to deliver and none yet.
    pub(crate) fn stand(&mut self, place: Place, slack: Slack) {
        if self.possible() > 0 {
            self.first.get_or_insert(place);
        }
        if self.sure(slack) > 0 {
            self.last.get_or_insert(place);
        }
    }

    /// Leaves the line; should it come back, it may have its old place. A descriptor will be looked at
    /// anew.
    pub(crate) fn leave(&mut self) {
        self.last = None;
        if let Source::Fd(watch) = &mut self.source {
            *watch = Watch::new(watch.descriptor, watch.interest);
        }
    }

    /// Posts to it; false if it is full.
    pub(crate) fn post(&mut self, data: u64) -> bool {
        match &mut self.source {
            Source::User(posts) => posts.post(data),
            Source::Fd(_) | Source::Timer(_) => false,
        }
    }

    /// How many events it may deliver.
    pub(crate) fn possible(&self) -> usize {
        match &self.source {
            _ if !self.enabled => 0,
            Source::Fd(watch) => usize::from(!watch.may.is_empty()),
            Source::Timer(timing) => usize::from(timing.possible > timing.delivered),
            Source::User(posts) => posts.kept.len(),
        }
    }

    /// How many events it must deliver.
    pub(crate) fn sure(&self, slack: Slack) -> usize {
        match &self.source {
            Source::Fd(watch) if self.enabled => {
                let is_due = !slack.late || watch.chances >= CHANCES;
                usize::from(is_due && watch.is_owed(self.mode))
            }
            _ => self.owed(),
        }
    }

    /// How many events it must deliver sooner or later.
    pub(crate) fn owed(&self) -> usize {
        match &self.source {
            Source::Fd(watch) if self.enabled => usize::from(watch.is_owed(self.mode)),
            Source::Timer(timing) if self.enabled => usize::from(timing.sure > timing.delivered),
            _ => self.possible(),
        }
    }
}

/// A descriptor.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) descriptor: usize,
    pub(crate) interest: Interest,
    /// The news an edge took note of; `None` just after it was armed.
    seen: Option<u64>,
    /// What an event may say,
    pub(crate) may: Readiness,
    /// and what it must.
    pub(crate) must: Readiness,
    /// Of `may`, what the last wait added, with those before it that were perhaps cut short.
    recent: Readiness,
    was_looked_at: bool,
    /// Waits that had the chance to report it.
    chances: u32,
    /// Whether this wait is one of them.
    has_chance: bool,
    /// It was ready at the last look; of no interest to an edge.
    is_ready: bool,
    /// At some time within this wait it was ready and then no more.
    was_lost: bool,
}

impl Watch {
    const fn new(descriptor: usize, interest: Interest) -> Self {
        let none = Readiness::empty();
        Self {
            descriptor,
            interest,
            seen: None,
            may: none,
            must: none,
            recent: none,
            was_looked_at: false,
            chances: 0,
            has_chance: false,
            is_ready: false,
            was_lost: false,
        }
    }

    fn ready(&self, world: &World) -> Readiness {
        let asked = Readiness::from_bits_truncate(self.interest.bits());
        world.ready(self.descriptor) & (asked | Readiness::ERROR | Readiness::HANG_UP)
    }

    /// All modes but edge: the state counts. False if it is ready for nothing.
    fn look_at_state(&mut self, world: &World, slack: Slack, begins: bool) -> bool {
        let ready = self.ready(world);
        let was_ready = std::mem::replace(&mut self.is_ready, !ready.is_empty());
        if begins {
            self.was_lost = false;
        } else if was_ready && ready.is_empty() {
            self.was_lost = true;
        }
        let is_fresh = !was_ready || (begins && !slack.late);
        self.must = if is_fresh { ready } else { self.must & ready };
        // A late report may be of any moment of this wait.
        self.may = if slack.late && !begins { self.may | ready } else { ready };
        self.has_chance = !ready.is_empty();
        if ready.is_empty() {
            self.chances = 0;
        }
        !ready.is_empty()
    }

    /// An edge: being made ready counts.
    fn look_for_news(&mut self, world: &World, slack: Slack, begins: bool) {
        let ready = self.ready(world);
        let news = world.news(self.descriptor);
        if begins {
            if self.was_looked_at {
                self.recent = Readiness::empty();
            }
            self.has_chance = !self.must.is_empty();
        }
        if slack.late {
            self.must &= ready;
        }
        // That there is urgent data is a state even to an edge.
        self.must &= ready | Readiness::PRIORITY.complement();
        if slack.repeats {
            self.may |= ready;
            self.recent |= ready;
        }
        if !ready.is_empty() && self.seen != Some(news) {
            self.seen = Some(news);
            self.may |= ready;
            self.recent |= ready;
            self.must |= ready;
            self.chances = 0;
        }
    }

    /// Whether it must be reported, now or, if there are faults, later.
    fn is_owed(&self, mode: Mode) -> bool {
        if mode == Mode::Edge { !self.must.is_empty() } else { self.is_ready && !self.was_lost }
    }

    /// An event said this.
    pub(crate) fn delivered(&mut self, said: Readiness, mode: Mode, slack: Slack) {
        if mode == Mode::Edge && slack.late {
            self.must &= !said;
            self.may = self.recent;
        } else {
            self.must = Readiness::empty();
            self.may = Readiness::empty();
            self.is_ready = false;
        }
        self.chances = 0;
    }
}

/// A timer, as a row of beats of which the first so and so many have passed. Between the time of a beat
/// and a tick later the queue may have taken note of it or not.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    pub(crate) clock: Clock,
    first_ns: u64,
    /// 0: there is but one beat.
    pub(crate) period_ns: u64,
    delivered: u64,
    /// Of which the queue took note for certain,
    sure: u64,
    /// and perhaps.
    possible: u64,
}

impl Timing {
    pub(crate) fn new(world: &World, beats: Beats) -> Self {
        let first_ns = world.first_ns(beats.clock, beats.first);
        let (clock, period_ns) = (beats.clock, beats.period_ns);
        Self { clock, first_ns, period_ns, delivered: 0, sure: 0, possible: 0 }
    }

    fn look(&mut self, now_ns: u64) {
        self.possible = self.possible.max(self.beats_by(now_ns));
        let sure = now_ns.checked_sub(TICK_NS).map_or(0, |ns| self.beats_by(ns));
        self.sure = self.sure.max(sure);
    }

    const fn beats_by(&self, time_ns: u64) -> u64 {
        match time_ns.checked_sub(self.first_ns) {
            None => 0,
            Some(_) if self.period_ns == 0 => 1,
            Some(passed_ns) => passed_ns / self.period_ns + 1,
        }
    }

    /// Whether there is a beat to come.
    pub(crate) const fn goes_on(&self) -> bool {
        self.period_ns > 0 || self.possible == 0
    }

    /// When, on its clock, it has something to deliver for certain; `None` if it has now, or never.
    pub(crate) const fn next_ns(&self) -> Option<u64> {
        if self.sure > self.delivered || (self.period_ns == 0 && self.sure > 0) {
            return None;
        }
        let beat_ns = self.first_ns.saturating_add(self.delivered.saturating_mul(self.period_ns));
        Some(beat_ns.saturating_add(TICK_NS))
    }

    /// Delivers some expirations; false if there cannot be so many, or must be more.
    pub(crate) fn take(&mut self, expirations: u64) -> bool {
        self.delivered += expirations;
        let is_right = self.sure <= self.delivered && self.delivered <= self.possible;
        self.sure = self.sure.max(self.delivered);
        is_right && expirations > 0
    }
}

/// A user source.
#[derive(Clone, Debug)]
pub(crate) struct Posts {
    /// `None` keeps each post.
    merge: Option<Merge>,
    capacity: usize,
    /// Since the last look.
    posted: VecDeque<u64>,
    /// The events.
    pub(crate) kept: VecDeque<Posted>,
}

impl Posts {
    const fn new(merge: Option<Merge>, capacity: usize) -> Self {
        Self { merge, capacity, posted: VecDeque::new(), kept: VecDeque::new() }
    }

    fn post(&mut self, data: u64) -> bool {
        let has_room = self.posted.len() + self.kept.len() < self.capacity;
        if has_room {
            self.posted.push_back(data);
        }
        has_room
    }

    fn look(&mut self) {
        for data in self.posted.drain(..) {
            match (self.merge, self.kept.back_mut()) {
                (Some(merge), Some(Posted { data: all, count })) => {
                    *all = match merge {
                        Merge::Last => data,
                        Merge::Or => *all | data,
                        Merge::Sum => all.wrapping_add(data),
                    };
                    *count += 1;
                }
                _ => self.kept.push_back(Posted { data, count: 1 }),
            }
        }
    }
}
