//! Timers of three clocks.
//!
//! The monotonic wheel's next deadline is an argument of the wait. The other clocks may jump while the
//! thread sleeps (a suspended machine, a clock that is set), which no wait of the kernel follows: each
//! of them gets one timerfd, set to the first deadline of its wheel, once it has a timer. A wall clock
//! that was set is seen by the timerfd (`ECANCELED`) and by every look at the clock; the wheel is then
//! built anew.

use super::Queue;
use super::deliver::enlist;
use crate::backend::choice::BackendKind;
use crate::key::{Key, Token};
use crate::mode::Mode;
use crate::slot::{Flags, Slots};
use crate::source::{First, Own, State, Timer, TimerState};
use crate::wheel::Wheel;
use std::os::fd::{AsFd, BorrowedFd};
use ukevent_sys::Error;
use ukevent_sys::clock::Clock;
use ukevent_sys::timerfd::{Expiry, TimerFd};

pub(super) struct Timers {
    monotonic: Wheel,
    boot: Option<OtherClock>,
    wall: Option<OtherClock>,
    /// Deadlines of waits on another clock, and the slots that stand for them in the wheel. Of a queue that is not
    /// shared there is one, which is used again.
    deadlines: Vec<(Key, Clock, u64)>,
    pub(super) deadline_passed: bool,
    /// Kept for its memory.
    due: Vec<(u32, u32)>,
}

struct OtherClock {
    wheel: Wheel,
    /// The timerfd and the slot that watches it. Without a kernel there is none.
    fd: Option<(TimerFd, Key)>,
    /// What the timerfd is set to.
    set_ns: Option<u64>,
}

impl Timers {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            monotonic: Wheel::new(now_ns),
            boot: None,
            wall: None,
            deadlines: Vec::new(),
            deadline_passed: false,
            due: Vec::new(),
        }
    }

    const fn other(&mut self, clock: Clock) -> &mut Option<OtherClock> {
        match clock {
            Clock::Wall => &mut self.wall,
            Clock::Boot | Clock::Monotonic => &mut self.boot,
        }
    }

    fn wheel(&mut self, clock: Clock) -> Option<&mut Wheel> {
        match clock {
            Clock::Monotonic => Some(&mut self.monotonic),
            Clock::Boot | Clock::Wall => self.other(clock).as_mut().map(|other| &mut other.wheel),
        }
    }

    pub(super) fn fd(&self, clock: Clock) -> Option<BorrowedFd<'_>> {
        let other = if clock == Clock::Wall { &self.wall } else { &self.boot };
        other.as_ref()?.fd.as_ref().map(|(fd, _)| fd.as_fd())
    }

    pub(super) fn forget_fd(&mut self, clock: Clock) {
        *self.other(clock) = None;
    }

    pub(super) const fn has_timerfds(&self) -> bool {
        self.boot.is_some() || self.wall.is_some()
    }

    #[inline]
    pub(super) fn none_live(&self) -> bool {
        let none = |other: &Option<OtherClock>| other.as_ref().is_none_or(|o| o.wheel.is_empty());
        self.monotonic.is_empty() && none(&self.boot) && none(&self.wall)
    }
}

impl Queue {
    #[inline]
    pub(super) fn register_timer(&mut self, key: Key, timer: Timer, token: Token, mode: Mode) {
        let state = self.timer_state(timer);
        let slot = self.slots.insert(key, token, mode, State::Timer(state));
        let ticket = slot.start_timer();
        self.start_timer(key.index, ticket, state);
    }

    fn timer_state(&self, timer: Timer) -> TimerState {
        let deadline_ns = match timer.first {
            First::At(ns) => ns,
            First::After(ns) => self.backend.now(timer.clock).saturating_add(ns),
        };
        TimerState { deadline_ns, period_ns: timer.period_ns, expirations: 0, clock: timer.clock }
    }

    /// Puts a timer into its wheel, under the ticket that its slot has from now on.
    #[inline]
    fn start_timer(&mut self, index: u32, ticket: u32, state: TimerState) {
        if state.clock == Clock::Monotonic {
            self.timers.monotonic.add(index, ticket, state.deadline_ns);
        } else {
            self.follow(state.clock).add(index, ticket, state.deadline_ns);
        }
    }

    /// Takes the timer of a slot out of its wheel, if it is in there.
    #[inline]
    pub(super) fn stop_timer(&mut self, index: u32, clock: Clock) {
        let (_, slot) = self.slots.at(index);
        if slot.stop_timer()
            && let Some(wheel) = self.timers.wheel(clock)
        {
            wheel.cancelled(&self.slots);
        }
    }

    pub(super) fn restart_timer(&mut self, key: Key, timer: Timer) {
        let new = self.timer_state(timer);
        let (_, slot) = self.slots.at(key.index);
        let State::Timer(state) = &mut slot.state else { return };
        let former = std::mem::replace(state, new);
        self.stop_timer(key.index, former.clock);
        let (_, slot) = self.slots.at(key.index);
        let ticket = slot.start_timer();
        self.start_timer(key.index, ticket, new);
    }

    /// The wheel of another clock, in step with it.
    fn follow(&mut self, clock: Clock) -> &mut Wheel {
        let now_ns = self.backend.now(clock);
        let slots = &self.slots;
        let Timers { boot, wall, deadlines, .. } = &mut self.timers;
        let other = if clock == Clock::Wall { wall } else { boot };
        let other = other.get_or_insert_with(|| OtherClock {
            wheel: Wheel::new(now_ns),
            fd: None,
            set_ns: None,
        });
        // Set back: everything that was near is far again.
        if now_ns < other.wheel.taken_ns() {
            other.wheel.rebuild(now_ns, slots, |index| deadline_of(slots, index, deadlines));
        }
        &mut other.wheel
    }

    /// Expires what is due on every clock.
    pub(super) fn expire_timers(&mut self) {
        for clock in [Clock::Monotonic, Clock::Boot, Clock::Wall] {
            let Some(wheel) = self.timers.wheel(clock) else { continue };
            if wheel.is_empty() {
                continue;
            }
            let now_ns = match clock {
                Clock::Monotonic => self.monotonic_ns(),
                Clock::Boot | Clock::Wall => self.backend.now(clock),
            };
            let mut due = std::mem::take(&mut self.timers.due);
            if clock != Clock::Monotonic {
                self.follow(clock);
            }
            if let Some(wheel) = self.timers.wheel(clock) {
                wheel.advance(now_ns, &mut self.slots, |index, ticket| due.push((index, ticket)));
            }
            for (index, ticket) in due.drain(..) {
                self.expire(index, ticket, clock, now_ns);
            }
            self.timers.due = due;
        }
    }

    #[inline]
    fn expire(&mut self, index: u32, ticket: u32, clock: Clock, now_ns: u64) {
        let (key, slot) = self.slots.at(index);
        if slot.ticket != ticket {
            // What fired before it has ended it.
            return;
        }
        let State::Timer(timer) = &mut slot.state else {
            match slot.state {
                State::Own(Own::Limit(operation)) => self.time_over(key, operation),
                State::Own(Own::Deadline) => self.timers.deadline_passed = true,
                // It was the limit of an operation that has just been ended by another one.
                _ => {}
            }
            return;
        };
        if timer.expire(now_ns) {
            let deadline_ns = timer.deadline_ns;
            let ticket = slot.start_timer();
            if let Some(wheel) = self.timers.wheel(clock) {
                wheel.add(index, ticket, deadline_ns);
            }
        }
        if slot.flags.contains(Flags::ENABLED) && enlist(&mut self.ready, key, slot) {
            self.ready_events += 1;
        }
    }

    /// How long the wait may sleep for the timers' sake; sets the timerfds of the other clocks.
    pub(super) fn until_next_timer(&mut self) -> Result<Option<u64>, Error> {
        let mut sleep = None;
        if let Some(next_ns) = self.timers.monotonic.next_ns(&self.slots) {
            sleep = Some(next_ns.saturating_sub(self.monotonic_ns()));
        }
        for clock in [Clock::Boot, Clock::Wall] {
            let Some(other) = self.timers.other(clock) else { continue };
            let next_ns = other.wheel.next_ns(&self.slots);
            if self.kind == BackendKind::Sim {
                let now_ns = self.backend.now(clock);
                let other = next_ns.map(|next| next.saturating_sub(now_ns));
                sleep = sleep.into_iter().chain(other).min();
            } else if next_ns != other.set_ns {
                self.set_timerfd(clock, next_ns)?;
            }
        }
        Ok(sleep)
    }

    fn set_timerfd(&mut self, clock: Clock, next_ns: Option<u64>) -> Result<(), Error> {
        let made = match self.timers.other(clock) {
            Some(OtherClock { fd: None, .. }) => Some(TimerFd::new(clock)?),
            _ => None,
        };
        if let Some(fd) = made {
            let key = self.watch_own(Own::Clock(clock));
            if let Some(other) = self.timers.other(clock) {
                other.fd = Some((fd, key));
            }
            self.arm(key)?;
        }
        if let Some(OtherClock { fd: Some((fd, _)), set_ns, .. }) = self.timers.other(clock) {
            fd.set(next_ns)?;
            *set_ns = next_ns;
        }
        Ok(())
    }

    /// The timerfd of a clock is readable: its time has come, or the clock was set. Either way the
    /// wheel is looked at next; after a step it must be set anew.
    pub(super) fn read_timerfd(&mut self, clock: Clock) -> Result<(), Error> {
        let Some(OtherClock { fd: Some((fd, _)), set_ns, .. }) = self.timers.other(clock) else {
            return Ok(());
        };
        if fd.read()? != Expiry::Pending {
            *set_ns = None;
        }
        Ok(())
    }

    /// Starts the timer of an operation's time.
    pub(super) fn start_limit(&mut self, own: Key, deadline_ns: u64) {
        let (_, slot) = self.slots.at(own.index);
        let ticket = slot.start_timer();
        self.timers.monotonic.add(own.index, ticket, deadline_ns);
    }

    /// Makes the deadline of a wait on another clock a timer of that clock.
    #[cold]
    pub(super) fn set_wait_deadline(&mut self, clock: Clock, deadline_ns: u64) {
        let key = match self.timers.deadlines.pop() {
            Some((key, ..)) => key,
            None => self.watch_own(Own::Deadline),
        };
        self.start_deadline(key, clock, deadline_ns);
    }

    fn start_deadline(&mut self, key: Key, clock: Clock, deadline_ns: u64) {
        self.timers.deadlines.push((key, clock, deadline_ns));
        let timer = TimerState { deadline_ns, period_ns: 0, expirations: 0, clock };
        let (_, slot) = self.slots.at(key.index);
        let ticket = slot.start_timer();
        self.start_timer(key.index, ticket, timer);
    }

    /// Takes it away again.
    #[cold]
    pub(super) fn clear_wait_deadline(&mut self) {
        self.timers.deadline_passed = false;
        if let Some(&(key, clock, _)) = self.timers.deadlines.last() {
            self.stop_timer(key.index, clock);
        }
    }

    /// The same for one of several waits that go on at once; its key is for [`Queue::end_deadline`].
    #[cold]
    pub(crate) fn add_deadline(&mut self, clock: Clock, deadline_ns: u64) -> Key {
        let key = self.watch_own(Own::Deadline);
        self.start_deadline(key, clock, deadline_ns);
        key
    }

    /// Takes that one away again.
    #[cold]
    pub(crate) fn end_deadline(&mut self, key: Key) {
        let deadlines = &mut self.timers.deadlines;
        let Some(at) = deadlines.iter().position(|(own, ..)| *own == key) else { return };
        let (_, clock, _) = deadlines.swap_remove(at);
        self.stop_timer(key.index, clock);
        self.slots.remove(key);
    }

    /// Whether a deadline of some wait has passed since this was asked last.
    pub(crate) const fn take_deadline_passed(&mut self) -> bool {
        std::mem::replace(&mut self.timers.deadline_passed, false)
    }
}

/// What the timer of a slot waits for; `own` are the deadlines of waits.
fn deadline_of(slots: &Slots, index: u32, own: &[(Key, Clock, u64)]) -> u64 {
    if let Some(State::Timer(timer)) = slots.state(index) {
        return timer.deadline_ns;
    }
    let own = own.iter().find(|(key, ..)| key.index == index);
    own.map_or(u64::MAX, |&(_, _, deadline_ns)| deadline_ns)
}
