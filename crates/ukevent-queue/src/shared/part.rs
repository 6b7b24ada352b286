//! A part: what a waiter does with its group.
//!
//! The common way takes no lock and makes no system call: let go of the event before, claim the next one in the ring,
//! take it. When the ring is empty the waiter goes to the core, lets in what is there, and sleeps on the kernel's set
//! with all others who have nothing to do; the kernel wakes one of them for each report.

mod goal;

use super::WaiterCounters;
use super::claims::LetGo;
use super::core::{Core, Nest, WATCH};
use super::group::Group;
use super::lane::Lane;
use super::ring::{Ring, Staged, Stamp};
use crate::error::{WaitError, WrongThread};
use crate::event::Event;
use crate::key::Key;
use crate::primitive::Ordering;
use crate::source::Removed;
use crate::wait::Wait;
use goal::{Goal, Sleep, Step};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use ukevent_sys::Error as SysError;
use ukevent_sys::epoll::Report;

/// Reports taken with one sleep if nobody else could take them.
const BATCH: usize = 256;
/// With so many events ready no more are asked for.
const MUCH: usize = 4096;
/// How often a waiter looks at the core though the ring is never empty.
const LOOK: u64 = 61;

/// What a waiter is to its group.
pub(super) struct Part {
    shared: Arc<Group>,
    lane: Arc<Lane>,
    /// The ring as it was when this waiter was at the core last.
    ring: Arc<Ring>,
    held: Option<Held>,
    /// How many events the last wait let out and were not taken.
    grant: usize,
    /// States that were staged up to this number were found before the wait, and are looked at again.
    found_before: u64,
    /// Somebody else watches for it.
    is_nested: bool,
    /// It is in a group besides that of its waiter, which watches this one.
    has_adopted: bool,
    /// A [`Waker`](crate::Waker) or a signal handler ended the last wait.
    was_woken: bool,
    /// A set that this one watches did.
    was_told: bool,
    reports: Box<[Report; BATCH]>,
    spent: Option<Removed>,
}

/// The event that was taken last.
struct Held {
    key: Key,
    stamp: Stamp,
}

impl Part {
    pub(super) fn new(shared: Arc<Group>) -> Self {
        let (lane, ring) = {
            let mut core = shared.lock_quietly();
            let lane = core.join();
            shared.count_members(&core);
            (lane, core.ring.clone())
        };
        Self {
            shared,
            lane,
            ring,
            held: None,
            grant: 0,
            found_before: 0,
            is_nested: false,
            has_adopted: false,
            was_woken: false,
            was_told: false,
            reports: Box::new([Report::empty(); BATCH]),
            spent: None,
        }
    }

    /// Waits; if something was put into the ring after the position `seen`, not for long.
    pub(super) fn wait(&mut self, seen: Option<u64>, wait: Wait<'_>) -> Result<usize, WaitError> {
        check(&wait)?;
        self.shared.check_process().map_err(|WrongThread| WaitError::WrongThread)?;
        self.spent = None;
        self.grant = 0;
        (self.was_woken, self.was_told) = (false, false);
        self.let_go();
        let waits = self.lane.tally.waits.count();
        let has_company = !self.shared.has_one_waiter();
        if has_company
            && !self.is_nested
            && wait.at_least <= 1
            && !self.shared.outside.is_handed_on.load(Ordering::Relaxed)
            && !waits.is_multiple_of(LOOK)
            && self.lane.len() == 0
            && self.claim_at_once()
        {
            self.found_before = u64::MAX;
            self.lane.tally.at_once.count();
            self.grant = (self.lane.len() + self.ring.len()).min(wait.at_most);
            return Ok(self.grant);
        }
        let waited = self.wait_at_the_core(seen, &wait);
        if self.grant == 0 {
            self.lane.tally.empty.count();
        }
        waited
    }

    /// Claims the first event of the ring.
    fn claim_at_once(&mut self) -> bool {
        while self.lane.len() == 0 {
            let nearest =
                self.shared.is_nearest().then(|| self.ring.pop_nearest(self.lane.id())).flatten();
            let Some(staged) = nearest.or_else(|| self.ring.pop()) else { return false };
            let is_state = staged.stamp.has(Stamp::STATE);
            self.claim(staged);
            if is_state {
                // It is looked at again.
                return false;
            }
        }
        true
    }

    /// Makes an event this waiter's own, unless it is void.
    fn claim(&self, staged: Staged) {
        if staged.stamp.has(Stamp::FREE | Stamp::OVER)
            || self.shared.outside.claims.is_staged(staged.event.key.index, staged.stamp)
        {
            self.lane.push(staged);
        } else {
            self.shared.lock().unstage(&self.shared.outside, staged);
        }
    }

    /// Goes to the core, and sleeps, until there is enough or the time is over.
    fn wait_at_the_core(&mut self, seen: Option<u64>, wait: &Wait<'_>) -> Result<usize, WaitError> {
        let shared = Arc::clone(&self.shared);
        let mut goal = Goal::new(seen, wait, &shared);
        let mut slept = None;
        let waited = loop {
            let step = self.step(&shared, &mut shared.lock(), &mut goal, slept.take());
            match step {
                Ok(Step::Sleep(sleep)) => {
                    if sleep.blocks {
                        self.lane.tally.sleeps.count();
                    }
                    let reports = &mut self.reports[..sleep.most];
                    let own = if sleep.blocks { shared.sleeping_mask() } else { None };
                    let mask = wait.mask.or(own.as_ref());
                    let count = shared.set.wait(reports, sleep.timeout_ns, mask);
                    slept = Some((sleep, count));
                }
                Ok(Step::Over) => break Ok(self.grant),
                Err(error) => break Err(error),
            }
        };
        goal.deadline.end(&shared);
        waited
    }

    /// What a wait does at the core between two sleeps.
    fn step(
        &mut self,
        shared: &Group,
        core: &mut Core,
        goal: &mut Goal<'_>,
        slept: Option<(Sleep, Result<usize, SysError>)>,
    ) -> Result<Step, WaitError> {
        let outside = &shared.outside;
        let is_alone = core.members() == 1;
        let is_expelled = self.has_adopted && core.is_expelled(&self.lane);
        let mut is_interrupted = false;
        match slept {
            Some((sleep, count)) => {
                let reports = &self.reports[..*count.as_ref().unwrap_or(&0)];
                core.has_asked(&self.lane, reports, sleep.blocks);
                if sleep.blocks {
                    // What was staged before the sleep is looked at again.
                    self.found_before = core.number;
                }
                core.queue.take_in(reports)?;
                // It tells all that was so when it began, unless that is very much.
                let is_full =
                    reports.len() == BATCH && core.in_reach(outside, &self.lane, 0) < MUCH;
                goal.has_looked = !is_full;
                goal.has_slept |= sleep.blocks;
                self.was_told |= reports.iter().any(|it| it.data() == WATCH.to_bits());
                match count {
                    Err(error) if error.interrupted() => is_interrupted = true,
                    Err(error) => return Err(error.into()),
                    Ok(_) => {}
                }
            }
            None if is_expelled => return Ok(Step::Over),
            None => {
                self.found_before = core.number;
                core.recall(outside, &self.lane);
                core.queue.look_again_at(goal.wait.at_most)?;
            }
        }
        core.let_in()?;
        if is_expelled {
            // What it has found out is another's.
            core.settle(outside);
            return Ok(Step::Over);
        }
        if is_alone && goal.has_slept && goal.wait.at_least > 1 {
            // What was so before the sleep, or in the middle of it, need not be so after it.
            core.queue.look_again_at(usize::MAX)?;
            core.let_in()?;
        }
        let is_over = goal.wait.at_least == 0 || goal.deadline.is_over();
        let has_moved = goal.seen.is_some_and(|seen| shared.position() != seen);
        let needs = goal.wait.at_least.max(1);
        let mut in_reach = self.lane.len() + core.in_reach(outside, &self.lane, needs);
        self.was_woken |= goal.has_looked && core.take_woken();
        let is_called = goal.has_looked && (self.was_woken || self.was_told || has_moved);
        if is_interrupted || goal.has_looked && (in_reach >= needs || is_over || is_called) {
            self.let_out(core, goal.wait);
            self.was_woken |= is_interrupted;
            if self.grant >= needs || is_over || is_called {
                return Ok(Step::Over);
            }
            if is_interrupted {
                return if self.grant > 0 { Ok(Step::Over) } else { Err(WaitError::Interrupted) };
            }
            // Another was faster: it took from the ring what was in reach.
            core.recall(outside, &self.lane);
            in_reach = self.lane.len() + core.in_reach(outside, &self.lane, needs);
        }
        let has_enough = in_reach >= needs;
        if !has_enough {
            // It wants more; others who sleep may want what there is.
            core.offer(outside, &self.lane, in_reach);
        }
        let blocks = !has_enough
            && !is_over
            && !has_moved
            && core.queue.is_settled()
            && core.fall_asleep(&self.lane, needs)?;
        Ok(Step::Sleep(Sleep {
            blocks,
            timeout_ns: if blocks { goal.deadline.remaining_ns() } else { Some(0) },
            // Who only looks must see all: nobody tells him again by an edge.
            most: if !blocks || core.is_first_to_sleep() { BATCH } else { 1 },
        }))
    }

    /// Claims what the wait needs at least, lets the rest be taken, and sees to it that others know.
    fn let_out(&mut self, core: &mut Core, wait: &Wait<'_>) {
        let outside = &self.shared.outside;
        core.fill(outside, wait.at_most.saturating_sub(self.lane.len()));
        if !Arc::ptr_eq(&self.ring, &core.ring) {
            self.ring = core.ring.clone();
        }
        // What it has adopted is to be silent after a look; and it alone is there.
        let claims = if self.has_adopted { wait.at_most } else { wait.at_least.max(1) };
        while self.lane.len() < claims
            && let Some(staged) = core.take_first(outside, &self.lane)
        {
            self.lane.push(staged);
        }
        let in_reach = self.lane.len() + core.in_reach(outside, &self.lane, 0);
        self.grant = in_reach.min(wait.at_most);
        core.batch_max = core.batch_max.max(self.grant as u64);
        core.leave_to_others(outside);
        // What it has claimed nobody else shows to those who watch for it.
        if self.is_nested && self.has_claimed() {
            core.call_again(&self.lane);
        }
    }

    /// Takes the next event that the last wait let out, and lets go of the one before.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.let_go();
        self.spent = None;
        while self.grant > 0 {
            let Some(staged) = self.next_staged() else {
                self.grant = 0;
                break;
            };
            if let Some(event) = self.take(staged) {
                self.grant -= 1;
                self.lane.tally.events.count();
                return Some(event);
            }
        }
        None
    }

    fn next_staged(&mut self) -> Option<Staged> {
        // What was adopted may have been taken over meanwhile: only the core knows.
        let at_hand = || if self.has_adopted { None } else { self.ring.pop() };
        if let Some(staged) = self.lane.pop().or_else(at_hand) {
            return Some(staged);
        }
        let mut core = self.shared.lock();
        if self.has_adopted && core.is_expelled(&self.lane) {
            return None;
        }
        core.take_first(&self.shared.outside, &self.lane)
    }

    /// Takes an event, unless it is void or no longer true.
    fn take(&mut self, staged: Staged) -> Option<Event> {
        let (key, stamp) = (staged.event.key, staged.stamp);
        self.lane.hold(key);
        let Some(staged) = self.confirm(staged) else {
            // Who removed it meanwhile may have been told that it is held.
            self.hold_nothing();
            return None;
        };
        if self.shared.is_nearest() {
            self.shared.outside.claims.set_nearest(key.index, self.lane.id());
        }
        self.held = Some(Held { key, stamp: staged.stamp });
        debug_assert_eq!(stamp.number(), staged.stamp.number());
        Some(staged.event)
    }

    fn confirm(&mut self, staged: Staged) -> Option<Staged> {
        let Group { outside, .. } = &*self.shared;
        let (key, stamp) = (staged.event.key, staged.stamp);
        if stamp.has(Stamp::OVER) {
            return Some(staged);
        }
        let may = if stamp.has(Stamp::FREE) {
            outside.claims.is_above_floor(key.index, stamp)
        } else if stamp.has(Stamp::FOR_ALL) {
            outside.claims.is_staged(key.index, stamp)
        } else {
            outside.claims.take(key.index, stamp)
        };
        if !may {
            self.shared.lock().unstage(outside, staged);
            return None;
        }
        // What was handed on is told of also if it is dealt with: nobody else would enable it again. And what is for
        // all, also if another has dealt with it.
        let is_state = stamp.has(Stamp::STATE) && !stamp.has(Stamp::TAKEN | Stamp::FOR_ALL);
        let is_doubtful = is_state && stamp.number() <= self.found_before;
        if !is_doubtful && !stamp.has(Stamp::COMMIT) {
            return Some(staged);
        }
        let mut core = self.shared.lock();
        let mut staged = if !is_doubtful {
            staged
        } else if let Some(staged) = core.queue.still_true(&outside.claims, staged) {
            staged
        } else {
            core.settle(outside);
            return None;
        };
        if stamp.has(Stamp::COMMIT) {
            let number = core.number;
            if !core.queue.commit(&outside.claims, key, number) {
                core.resume(outside, key, stamp);
                return None;
            }
            self.spent = core.queue.take_spent();
            if !core.queue.is_live(key) {
                staged.stamp = stamp.with(Stamp::OVER);
            }
            core.settle(outside);
        }
        Some(staged)
    }

    /// Lets go of the event that was taken last.
    pub(super) fn let_go(&mut self) {
        let Some(Held { key, stamp }) = self.held.take() else { return };
        let outside = &self.shared.outside;
        if stamp.has(Stamp::FOR_ALL) {
            self.shared.lock().heard(outside, stamp);
        } else if !stamp.has(Stamp::FREE | Stamp::OVER)
            && outside.claims.let_go(key.index, stamp) == LetGo::News
        {
            self.shared.lock().resume(outside, key, stamp);
        }
        self.hold_nothing();
    }

    /// Hands the event that was taken last on to another waiter of the group, if there is one.
    pub(super) fn release(&mut self, event: Event) -> Result<(), Event> {
        let Some(Held { key, stamp }) = self.held.take_if(|held| held.key == event.key) else {
            return Err(event);
        };
        let outside = &self.shared.outside;
        let mut core = self.shared.lock();
        let is_void = if stamp.has(Stamp::OVER | Stamp::FOR_ALL) {
            false
        } else if stamp.has(Stamp::FREE) {
            !core.queue.is_live(key)
        } else if core.is_withdrawn(outside, key, stamp) {
            core.resume(outside, key, stamp);
            true
        } else {
            !outside.claims.put_back(key.index, stamp)
        };
        if stamp.has(Stamp::FOR_ALL) {
            core.heard(outside, stamp);
        } else if !is_void {
            let taken = if stamp.has(Stamp::COMMIT) { Stamp::TAKEN } else { 0 };
            let staged = Staged { event, stamp: stamp.without(Stamp::COMMIT).with(taken) };
            core.hand_on(outside, self.lane.id(), staged);
            self.lane.tally.released.count();
            drop(core);
            self.hold_nothing();
            return Ok(());
        }
        drop(core);
        self.hold_nothing();
        if is_void { Err(event) } else { Ok(()) }
    }

    /// Says that it works on nothing any more, to who waits for that too.
    fn hold_nothing(&self) {
        self.lane.let_go();
        self.shared.tell_who_lingers();
    }

    pub(super) const fn take_spent(&mut self) -> Option<Removed> {
        self.spent.take()
    }

    /// What the last wait let out comes with a later one.
    pub(super) const fn let_nothing_out(&mut self) -> usize {
        self.grant = 0;
        0
    }

    /// A descriptor for somebody else who watches for it.
    pub(super) fn nest(&mut self) -> Result<Option<OwnedFd>, SysError> {
        let (shared, lane) = (&self.shared, &self.lane);
        let nest = shared.lock().nest(&shared.outside, lane, || Nest::new(&shared.set))?;
        self.is_nested = true;
        Ok(nest)
    }

    /// Its group is another's than its waiter's, whose own set watches that one's.
    pub(super) fn adopt(&mut self) {
        (self.is_nested, self.has_adopted) = (true, true);
        self.shared.lock_quietly().adopt(&self.shared.outside, &self.lane);
    }

    pub(super) fn has_claimed(&self) -> bool {
        self.lane.len() > 0
    }

    /// Shows whoever watches for it that there is more.
    pub(super) fn show(&self) {
        if self.is_nested {
            self.shared.lock().call_again(&self.lane);
        }
    }

    pub(super) const fn was_woken(&self) -> bool {
        self.was_woken
    }

    pub(super) const fn was_told(&self) -> bool {
        self.was_told
    }

    pub(super) const fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    pub(super) fn counters(&self) -> WaiterCounters {
        self.lane.counters()
    }

    pub(super) const fn group(&self) -> &Arc<Group> {
        &self.shared
    }

    pub(super) fn id(&self) -> u32 {
        self.lane.id()
    }

    /// The registration whose event was taken last.
    pub(super) fn held(&self) -> Option<Key> {
        self.held.as_ref().map(|held| held.key)
    }
}

/// Whether a wait can be.
pub(super) const fn check(wait: &Wait<'_>) -> Result<(), WaitError> {
    if wait.at_most == 0 {
        return Err(WaitError::Invalid("a wait must let at least one event out: at_most(0)"));
    }
    if wait.at_least > wait.at_most {
        return Err(WaitError::Invalid("a wait cannot need more events than it lets out"));
    }
    Ok(())
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.shared.check_process().is_err() {
            // A copy in a child made by fork(2).
            return;
        }
        let held = self.held.as_ref().filter(|held| !held.stamp.has(Stamp::OVER)).map(|it| it.key);
        self.let_go();
        let mut core = self.shared.lock();
        if let Some(key) = held {
            core.queue.tell_anew(key);
        }
        core.leave(&self.shared.outside, &self.lane);
        self.shared.count_members(&core);
    }
}
