//! A waiter: one thread's part in a shared queue.
//!
//! The common way takes no lock and makes no system call: let go of the event before, claim the next one in the ring,
//! take it. When the ring is empty the waiter goes to the core, lets in what is there, and sleeps on the kernel's set
//! with all others who have nothing to do; the kernel wakes one of them for each report.

mod goal;

use super::Inner;
use super::WaiterCounters;
use super::claims::LetGo;
use super::core::Core;
use super::lane::Lane;
use super::ring::{Ring, Staged, Stamp};
use crate::error::{RegisterError, WaitError, WrongThread};
use crate::event::Event;
use crate::key::Key;
use crate::primitive::Ordering;
use crate::source::Removed;
use crate::wait::Wait;
use goal::{Goal, Sleep, Step};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use ukevent_sys::Error as SysError;
use ukevent_sys::epoll::Report;

/// Reports taken with one sleep if nobody else could take them.
const BATCH: usize = 256;
/// With so many events ready no more are asked for.
const MUCH: usize = 4096;
/// How often a waiter looks at the core though the ring is never empty.
const LOOK: u64 = 61;

/// One thread's part in a [`SharedQueue`](crate::SharedQueue): it waits, takes events, and hands them on.
///
/// Made by [`SharedQueue::waiter`](crate::SharedQueue::waiter). A thread has one, as a rule; it may be sent, and
/// threads may come and go.
///
/// An event that was taken is *held* until the next call of [`Waiter::next_event`] or [`Waiter::wait`], or until the
/// waiter is dropped. While it is held no other waiter gets an event of the same registration: what one thread does
/// with a connection no other disturbs. Posts are the exception: each is for whoever is free.
///
/// Dropping it, also by a panic, gives back what it had claimed and not taken. Of a descriptor whose event it held,
/// the state is looked at anew: if it is still ready, somebody is told. An event that was taken is the program's; one
/// that it cannot handle it hands on with [`Waiter::release`].
///
/// ```
/// use std::thread;
/// use ukevent_queue::{Kind, Mode, SharedQueue, Token, User, Wait};
///
/// let queue = SharedQueue::new()?;
/// let jobs = queue.register(User::each(64), Token(1), Mode::Level)?;
/// let stop = queue.register_for_all(User::merged(Default::default()), Token(2), Mode::Level)?;
/// let threads: Vec<_> = (0..2)
///     .map(|_| {
///         let mut waiter = queue.waiter()?;
///         Ok(thread::spawn(move || {
///             loop {
///                 waiter.wait(Wait::forever()).expect("nobody interrupts it");
///                 while let Some(event) = waiter.next_event() {
///                     match event.token {
///                         Token(1) => println!("a job: {:?}", event.kind),
///                         _ => return,
///                     }
///                 }
///             }
///         }))
///     })
///     .collect::<Result<_, ukevent_queue::WaitError>>()?;
/// let poster = queue.poster(jobs)?;
/// (0..10).try_for_each(|job| poster.post(job))?;
/// queue.poster(stop)?.post(1)?;
/// for thread in threads {
///     thread.join().expect("it does not panic");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Waiter {
    shared: Arc<Inner>,
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
    reports: Box<[Report; BATCH]>,
    spent: Option<Removed>,
}

/// The event that was taken last.
struct Held {
    key: Key,
    stamp: Stamp,
}

impl Waiter {
    pub(super) fn new(shared: Arc<Inner>) -> Self {
        let (lane, ring) = {
            let mut core = shared.lock();
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
            reports: Box::new([Report::empty(); BATCH]),
            spent: None,
        }
    }

    /// Waits as `wait` says, and returns how many events can be taken with [`Waiter::next_event`]; 0 if the time is
    /// over first, or a [`Waker`](crate::Waker) was used. The first of them (as many as the wait needs at least) are
    /// this waiter's; the rest it shares with the others, who may be faster.
    ///
    /// Lets go of the event that was taken last. If there is an event in the ring it makes no system call. Otherwise
    /// it blocks, unless the wait says otherwise: one system call.
    ///
    /// # Errors
    /// As [`Queue::wait`](crate::Queue::wait). Nothing is lost by an error.
    pub fn wait(&mut self, wait: Wait<'_>) -> Result<usize, WaitError> {
        self.wait_from(None, wait)
    }

    /// The same, but returns at once if anything was put into the ring after the position `seen`
    /// ([`SharedQueue::position`](crate::SharedQueue::position)), as futex(2) does if its word has changed: also if
    /// others have taken it since. So nothing comes between looking and sleeping.
    ///
    /// # Errors
    /// As [`Waiter::wait`].
    pub fn wait_after(&mut self, seen: u64, wait: Wait<'_>) -> Result<usize, WaitError> {
        self.wait_from(Some(seen), wait)
    }

    fn wait_from(&mut self, seen: Option<u64>, wait: Wait<'_>) -> Result<usize, WaitError> {
        if wait.at_most == 0 {
            return Err(WaitError::Invalid("a wait must let at least one event out: at_most(0)"));
        }
        if wait.at_least > wait.at_most {
            return Err(WaitError::Invalid("a wait cannot need more events than it lets out"));
        }
        self.shared.check_process().map_err(|WrongThread| WaitError::WrongThread)?;
        self.spent = None;
        self.grant = 0;
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
        shared: &Inner,
        core: &mut Core,
        goal: &mut Goal<'_>,
        slept: Option<(Sleep, Result<usize, SysError>)>,
    ) -> Result<Step, WaitError> {
        let outside = &shared.outside;
        let is_alone = core.members() == 1;
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
                let is_full = reports.len() == BATCH && core.in_reach(&self.lane) < MUCH;
                goal.has_looked = !is_full;
                goal.has_slept |= sleep.blocks;
                match count {
                    Err(error) if error.interrupted() => is_interrupted = true,
                    Err(error) => return Err(error.into()),
                    Ok(_) => {}
                }
            }
            None => {
                self.found_before = core.number;
                core.recall(outside, &self.lane);
                core.queue.look_again_at(goal.wait.at_most)?;
            }
        }
        core.let_in()?;
        if is_alone && goal.has_slept && goal.wait.at_least > 1 {
            // What was so before the sleep, or in the middle of it, need not be so after it.
            core.queue.look_again_at(usize::MAX)?;
            core.let_in()?;
        }
        let is_over = goal.wait.at_least == 0 || goal.deadline.is_over();
        let has_moved = goal.seen.is_some_and(|seen| shared.position() != seen);
        let needs = goal.wait.at_least.max(1);
        if core.others_work(&self.lane) {
            core.fill(outside, needs);
        }
        let has_enough = self.lane.len() + core.in_reach(&self.lane) >= needs;
        let is_called = goal.has_looked && (core.take_woken() || has_moved);
        if is_interrupted || goal.has_looked && (has_enough || is_over || is_called) {
            self.let_out(core, goal.wait);
            if self.grant >= needs || is_over || is_called {
                return Ok(Step::Over);
            }
            if is_interrupted {
                return if self.grant > 0 { Ok(Step::Over) } else { Err(WaitError::Interrupted) };
            }
            // Another was faster: it took from the ring what was in reach.
            core.recall(outside, &self.lane);
        }
        let in_reach = self.lane.len() + core.in_reach(&self.lane);
        let has_enough = in_reach >= needs;
        if !has_enough {
            // It wants more; others who sleep may want what there is.
            core.offer(outside, in_reach);
        }
        let blocks = !has_enough
            && !is_over
            && !has_moved
            && core.queue.is_settled()
            && core.fall_asleep(&self.lane, needs)?;
        Ok(Step::Sleep(Sleep {
            blocks,
            timeout_ns: if blocks { goal.deadline.remaining_ns() } else { Some(0) },
            most: if core.is_first_to_sleep() { BATCH } else { 1 },
        }))
    }

    /// Claims what the wait needs at least, lets the rest be taken, and sees to it that others know.
    fn let_out(&mut self, core: &mut Core, wait: &Wait<'_>) {
        let outside = &self.shared.outside;
        core.fill(outside, wait.at_most.saturating_sub(self.lane.len()));
        if !Arc::ptr_eq(&self.ring, &core.ring) {
            self.ring = core.ring.clone();
        }
        // What it has claimed nobody shows to those who watch for it.
        let claims = if self.is_nested { wait.at_least } else { wait.at_least.max(1) };
        while self.lane.len() < claims
            && let Some(staged) = core.take_first(outside, &self.lane)
        {
            self.lane.push(staged);
        }
        self.grant = (self.lane.len() + core.in_reach(&self.lane)).min(wait.at_most);
        core.batch_max = core.batch_max.max(self.grant as u64);
        core.leave_to_others();
        if self.is_nested && self.lane.len() > 0 {
            core.call_again(&self.lane);
        }
    }

    /// Takes the next event that the last wait let out; `None` when all were taken, by this waiter or by others.
    /// Lets go of the one before.
    ///
    /// An event of a registration that was removed or disabled meanwhile, by whichever thread, does not come. No
    /// system call for what is watched for edges, and for what is no descriptor. For other descriptors one to watch
    /// it again when it is let go of, and one to look again at a state that an earlier wait found.
    pub fn next_event(&mut self) -> Option<Event> {
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
        if let Some(staged) = self.lane.pop().or_else(|| self.ring.pop()) {
            return Some(staged);
        }
        let mut core = self.shared.lock();
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
        let Inner { outside, .. } = &*self.shared;
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
    fn let_go(&mut self) {
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

    /// Hands the event that was taken last on to another waiter: this one cannot handle it. It comes back only if
    /// there is no other. Of an event that every waiter gets, only this copy ends.
    ///
    /// # Errors
    /// Gives the event back, if it is not the one that was taken last, or its registration was removed or disabled
    /// meanwhile, so that nobody may have it any more. A post of a source that was disabled is kept.
    pub fn release(&mut self, event: Event) -> Result<(), Event> {
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

    /// The owner of the one-shot descriptor whose event was taken last; kept until the next event or wait, then
    /// dropped.
    pub const fn take_spent(&mut self) -> Option<Removed> {
        self.spent.take()
    }

    /// A descriptor that is readable whenever [`Waiter::wait`] would return an event: to be watched by a
    /// [`Queue`](crate::Queue) of the thread's own, by epoll, or by a runtime. It may become readable without an
    /// event, never the other way round: use [`Wait::now`] then, until it returns 0.
    ///
    /// All descriptors of one shared queue are the same: if several threads watch, each is told, and one gets the
    /// event. Of what a wait has claimed for its own waiter they are told again and again until that waiter waits
    /// next: `Wait::now().at_least(0)` claims nothing. From the first call on, until the waiter is dropped, changes and
    /// posts make the system calls that they make while somebody sleeps.
    ///
    /// # Errors
    /// [`RegisterError::WrongThread`] in a child made by fork(2); [`RegisterError::Kernel`] when no descriptor is
    /// left.
    pub fn descriptor(&mut self) -> Result<OwnedFd, RegisterError> {
        self.shared.check_process()?;
        let duplicate = ukevent_sys::descriptor::duplicate(self.shared.set.as_fd().as_raw_fd())?;
        self.is_nested = true;
        self.shared.lock().nest(&self.shared.outside, &self.lane);
        Ok(duplicate)
    }

    /// What it did so far.
    #[must_use]
    pub fn counters(&self) -> WaiterCounters {
        self.lane.counters()
    }

    /// The queue it waits on.
    #[must_use]
    pub fn queue(&self) -> crate::SharedQueue {
        crate::SharedQueue { inner: self.shared.clone() }
    }
}

impl Drop for Waiter {
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

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter")
            .field("id", &self.lane.id())
            .field("holds", &self.held.as_ref().map(|held| held.key))
            .field("let_out", &self.grant)
            .finish_non_exhaustive()
    }
}
