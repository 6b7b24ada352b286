//! The naive queue: every registration in a map, looked at one by one, at every moment at which
//! anything changes.
//!
//! It is told what the real queue did (how a wait ended, which event came) and says whether that was
//! right; the text of the error says what was not.

use crate::program::{Alteration, Id, What};
use crate::registration::{Place, Registration, Slack, Source, Timing};
use crate::world::{TICK_NS, World};
use std::collections::BTreeMap;
use ukevent_queue::sim::Faults;
use ukevent_queue::{Clock, Event, Kind, Mode, Readiness, Token};

#[derive(Clone, Debug)]
pub(crate) struct Naive {
    pub(crate) world: World,
    pub(crate) registrations: BTreeMap<Id, Registration>,
    slack: Slack,
    may_interrupt: bool,
    /// A wait that would block may return before it looked at any descriptor, with what was late.
    may_not_look: bool,
    /// How often it waited: the place in the line of what comes now.
    waits: u64,
    order: u64,
    /// How many events can be taken, at least
    granted: usize,
    /// and at most.
    granted_at_most: usize,
    is_woken: bool,
    /// Delivered so far.
    pub(crate) events: u64,
    pub(crate) batch_max: u64,
}

/// How a wait is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) deadline: Option<(Clock, u64)>,
    pub(crate) at_least: usize,
    pub(crate) at_most: usize,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Granted(usize),
    Interrupted,
    /// The simulation says that nothing can ever happen.
    Deadlock,
}

/// Periodic timers can keep a wait from ever ending: how many beats it is given.
const BEATS: u64 = 20;

impl Naive {
    pub(crate) fn new(descriptors: usize, faults: Faults) -> Self {
        Self {
            world: World::new(descriptors),
            registrations: BTreeMap::new(),
            slack: Slack::of(faults),
            may_interrupt: faults.interrupt > 0,
            may_not_look: faults.interrupt > 0 || faults.early > 0,
            waits: 0,
            order: 0,
            granted: 0,
            granted_at_most: 0,
            is_woken: false,
            events: 0,
            batch_max: 0,
        }
    }

    pub(crate) fn register(&mut self, id: Id, what: What, token: Token, mode: Mode) {
        self.registrations.insert(id, Registration::new(&self.world, what, token, mode));
    }

    /// False if the change does not fit.
    pub(crate) fn modify(&mut self, id: Id, change: Alteration) -> bool {
        let Some(registration) = self.registrations.get_mut(&id) else { return false };
        let fits = match registration.source {
            Source::Fd(_) => change.timer.is_none(),
            Source::Timer(_) => change.interest.is_none(),
            Source::User(_) => change.timer.is_none() && change.interest.is_none(),
        };
        if !fits {
            return false;
        }
        let possible = registration.possible();
        registration.token = change.token.map_or(registration.token, Token);
        registration.mode = change.mode.unwrap_or(registration.mode);
        let mut leaves = false;
        match &mut registration.source {
            Source::Fd(watch) => {
                watch.interest = change.interest.unwrap_or(watch.interest);
                leaves = true;
            }
            Source::Timer(timing) => {
                if let Some(beats) = change.timer {
                    *timing = Timing::new(&self.world, beats);
                    leaves = true;
                }
            }
            Source::User(_) => {}
        }
        if leaves {
            registration.leave();
            self.take_back(possible);
        }
        true
    }

    pub(crate) fn enable(&mut self, id: Id) {
        let place = self.back_of_the_line();
        let Some(registration) = self.registrations.get_mut(&id) else { return };
        if !registration.enabled {
            registration.enabled = true;
            registration.stand(place, self.slack);
        }
    }

    pub(crate) fn disable(&mut self, id: Id) {
        if let Some(registration) = self.registrations.get_mut(&id) {
            let possible = registration.possible();
            registration.enabled = false;
            registration.leave();
            self.take_back(possible);
        }
    }

    pub(crate) fn remove(&mut self, id: Id) {
        if let Some(registration) = self.registrations.remove(&id) {
            self.take_back(registration.possible());
        }
    }

    pub(crate) const fn wake(&mut self) {
        self.is_woken = true;
    }

    /// When a wait must be ended from outside: with periodic timers that deliver nothing it could
    /// sleep from beat to beat for ever.
    pub(crate) fn endless(&self, patience: Patience) -> Option<u64> {
        let period_ns = |it: &Registration| match &it.source {
            Source::Timer(timing) if timing.period_ns > 0 => Some(timing.period_ns.max(TICK_NS)),
            _ => None,
        };
        let period_ns = self.registrations.values().filter_map(period_ns).min()?;
        let end_ns = self.world.now_ns + BEATS * period_ns;
        let mut ahead = self.clone();
        ahead.look(true);
        while ahead.must_return(patience).is_none() {
            let next_ns = ahead.next_moment_ns(patience).filter(|&next_ns| next_ns < end_ns);
            let Some(next_ns) = next_ns else { return Some(end_ns) };
            ahead.world.pass_to(next_ns);
            ahead.look(false);
        }
        None
    }

    /// A wait came back at `end_ns` of the monotonic clock.
    pub(crate) fn waited(
        &mut self,
        patience: Patience,
        outcome: Outcome,
        end_ns: u64,
    ) -> Result<(), String> {
        self.waits += 1;
        self.order = 0;
        self.look(true);
        let in_memory = |it: &Registration| match it.source {
            Source::Fd(_) => 0,
            Source::Timer(_) | Source::User(_) => it.owed(),
        };
        let at_hand: usize = self.registrations.values().map(in_memory).sum();
        let may_block = at_hand < patience.at_least && !self.is_woken && !self.is_over(patience).0;
        while self.world.now_ns < end_ns {
            if let Some(why) = self.must_return(patience) {
                let late_ns = end_ns - self.world.now_ns;
                return Err(format!("the wait ended {late_ns} ns late: {why}"));
            }
            let next_ns = self.next_moment_ns(patience).unwrap_or(end_ns).min(end_ns);
            self.world.pass_to(next_ns);
            self.look(false);
        }
        let looked = !(self.may_not_look && may_block);
        let (place, slack) = ((self.waits, 0), self.slack);
        self.registrations.values_mut().for_each(|it| it.settle(place, looked, slack));
        let verdict = self.judge(patience, outcome, self.may_interrupt && may_block);
        self.is_woken = false;
        (self.granted, self.granted_at_most) = match outcome {
            Outcome::Granted(events) => (events, events),
            Outcome::Interrupted | Outcome::Deadlock => (0, 0),
        };
        self.batch_max = self.batch_max.max(self.granted as u64);
        verdict
    }

    /// Whether the wait may end so at this moment.
    fn judge(
        &self,
        patience: Patience,
        outcome: Outcome,
        may_be_interrupted: bool,
    ) -> Result<(), String> {
        let (sure, possible) = (self.sure(), self.possible());
        match outcome {
            Outcome::Granted(events) => {
                let (sure, possible) = (sure.min(patience.at_most), possible.min(patience.at_most));
                if events < sure || events > possible {
                    return Err(format!("{events} events were let out, not {sure} to {possible}"));
                }
                let has_reason = events >= patience.at_least
                    || self.is_over(patience).1
                    || self.is_woken
                    || (may_be_interrupted && events > 0);
                if !has_reason {
                    return Err(format!("the wait ended for no reason with {events} events"));
                }
            }
            Outcome::Interrupted => {
                if !may_be_interrupted || sure > 0 {
                    return Err(format!("interrupted with {sure} events to take"));
                }
            }
            Outcome::Deadlock => {
                let is_timed =
                    |it: &Registration| matches!(&it.source, Source::Timer(t) if t.goes_on());
                let owed: usize = self.registrations.values().map(Registration::owed).sum();
                if patience.deadline.is_some()
                    || patience.at_least == 0
                    || self.is_woken
                    || self.world.next_change_ns().is_some()
                    || self.registrations.values().any(is_timed)
                    || owed >= patience.at_least
                {
                    return Err(format!("slept for ever, with {owed} events to take"));
                }
            }
        }
        Ok(())
    }

    /// An event came.
    pub(crate) fn took(&mut self, id: Id, event: &Event) -> Result<(), String> {
        if self.granted_at_most == 0 {
            return Err("more events came than the wait let out".into());
        }
        let slack = self.slack;
        let overtaken = self.overtaken_by(id);
        let back = self.back_of_the_line();
        let Some(registration) = self.registrations.get_mut(&id) else {
            return Err("an event of a registration that is gone".into());
        };
        if !registration.enabled {
            return Err("an event of a disabled registration".into());
        }
        if event.token != registration.token {
            return Err(format!("not its token {:?}", registration.token));
        }
        if registration.possible() == 0 {
            return Err("there was nothing to report".into());
        }
        let is_sure = registration.sure(slack) > 0;
        match (&mut registration.source, &event.kind) {
            (Source::Fd(watch), Kind::Ready(ready)) => {
                let (said, may) = (ready.readiness, watch.may);
                let must = if is_sure { watch.must } else { Readiness::empty() };
                if said.is_empty() || !may.contains(said) || !said.contains(must) {
                    return Err(format!("it is not so: at least {must:?}, at most {may:?}"));
                }
                if (ready.waiting(), ready.room()) != (None, None) {
                    return Err("a simulation measures nothing".into());
                }
                watch.delivered(said, registration.mode, slack);
            }
            (Source::Timer(timing), Kind::Timer(expired)) => {
                if !timing.take(expired.expirations) {
                    return Err(format!("it did not expire so often: {timing:?}"));
                }
            }
            (Source::User(posts), Kind::User(posted)) => {
                let kept = posts.kept.pop_front();
                if kept != Some(*posted) {
                    return Err(format!("posted was {kept:?}"));
                }
            }
            _ => return Err("not an event of this kind of source".into()),
        }
        if let Some(other) = overtaken {
            return Err(format!("it was not its turn: {other} came first and waits"));
        }
        (registration.first, registration.last) = (None, None);
        registration.stand(back, slack);
        let mode = registration.mode;
        self.events += 1;
        self.granted = self.granted.saturating_sub(1);
        self.granted_at_most -= 1;
        match mode {
            Mode::Level | Mode::Edge => {}
            Mode::Dispatch => self.disable(id),
            Mode::OneShot => self.remove(id),
        }
        Ok(())
    }

    /// No event came.
    pub(crate) fn took_nothing(&mut self) -> Result<(), String> {
        let missing = std::mem::take(&mut self.granted);
        self.granted_at_most = 0;
        if missing > 0 { Err(format!("{missing} events are missing")) } else { Ok(()) }
    }

    fn look(&mut self, begins: bool) {
        let (world, slack, place) = (&self.world, self.slack, (self.waits, 0));
        for registration in self.registrations.values_mut() {
            registration.look(world, slack, begins);
            // A place, once taken, is kept, even by what becomes untrue before the wait ends.
            if registration.possible() > 0 {
                registration.first.get_or_insert(place);
            }
        }
    }

    /// Whether the time of a wait is over: for certain, and perhaps. A deadline on another clock than
    /// the monotonic one is a timer, with a timer's precision.
    fn is_over(&self, patience: Patience) -> (bool, bool) {
        if patience.at_least == 0 {
            return (true, true);
        }
        match patience.deadline {
            None => (false, false),
            Some((Clock::Monotonic, at_ns)) => {
                let is_over = self.world.now_ns >= at_ns;
                (is_over, is_over)
            }
            Some((clock, at_ns)) => {
                let now_ns = self.world.clock(clock);
                (now_ns >= at_ns.saturating_add(TICK_NS), now_ns >= at_ns)
            }
        }
    }

    /// Why a wait cannot go on.
    fn must_return(&self, patience: Patience) -> Option<String> {
        let sure = self.sure();
        if self.is_over(patience).0 {
            Some("its time was over".into())
        } else if self.is_woken {
            Some("it was woken".into())
        } else if sure >= patience.at_least {
            Some(format!("there were {sure} events"))
        } else {
            None
        }
    }

    /// When something happens next that may end a wait.
    fn next_moment_ns(&self, patience: Patience) -> Option<u64> {
        let timers = self.registrations.values().filter_map(|it| match &it.source {
            Source::Timer(timing) => Some((timing.clock, timing.next_ns()?)),
            _ => None,
        });
        let deadline = patience.deadline.map(|(clock, at_ns)| match clock {
            Clock::Monotonic => (clock, at_ns),
            Clock::Boot | Clock::Wall => (clock, at_ns.saturating_add(TICK_NS)),
        });
        timers
            .chain(deadline)
            .map(|(clock, at_ns)| self.world.monotonic_of(clock, at_ns))
            .chain(self.world.next_change_ns())
            .filter(|&at_ns| at_ns > self.world.now_ns)
            .min()
    }

    fn sure(&self) -> usize {
        self.registrations.values().map(|it| it.sure(self.slack)).sum()
    }

    fn possible(&self) -> usize {
        self.registrations.values().map(Registration::possible).sum()
    }

    /// What must have been in the line before this one could have come to it.
    fn overtaken_by(&self, id: Id) -> Option<Id> {
        let first = self.registrations.get(&id)?.first?;
        let waits = |(_, other): &(&Id, &Registration)| {
            other.sure(self.slack) > 0 && other.last.is_some_and(|last| last < first)
        };
        self.registrations.iter().find(waits).map(|(&other, _)| other)
    }

    /// Behind all that the last wait brought.
    const fn back_of_the_line(&mut self) -> Place {
        self.order += 1;
        (self.waits, self.order)
    }

    /// So many events left the line. Perhaps they were let out, perhaps others.
    fn take_back(&mut self, events: usize) {
        self.granted = self.granted.saturating_sub(events);
        self.granted_at_most = self.granted_at_most.min(self.possible());
    }
}
