//! How events get out: one at a time, the sources in turn.

use super::Queue;
use crate::event::{Errno, Event, Expired, Kind, Readiness, Ready, UNMEASURED};
use crate::key::Key;
use crate::mode::Mode;
use crate::operation::Work;
use crate::slot::{Flags, Slot};
use crate::source::{Owner, Removed, State, Stream};
use crate::wheel::Owners;
use std::collections::VecDeque;
use ukevent_sys::poll::PollMask;

/// How far ahead of its turn a slot is announced to the processor.
pub(super) const AHEAD: usize = 6;

impl Queue {
    /// Takes the next event that the last wait let out; `None` when all were taken.
    ///
    /// Between two events the program may do with the queue what it likes: an event of a registration
    /// that was removed or disabled meanwhile does not come. Sources with many events give one and go
    /// to the back of the line. No system call, unless the registration asked for measures.
    #[inline]
    #[doc(alias = "kevent_get_events")]
    pub fn next_event(&mut self) -> Option<Event> {
        if self.spent.is_some() {
            self.spent = None;
        }
        let mut passed = 0;
        while self.grant > 0 {
            let Some(key) = self.ready.pop_front() else {
                self.grant = 0;
                break;
            };
            if let Some(later) = self.ready.get(AHEAD) {
                self.slots.expect(later.index);
            }
            let Some(slot) = self.slots.unlist(key) else { continue };
            if self.partly && !slot.flags.contains(Flags::LET_OUT) {
                // Disabled and enabled again, it is in line anew.
                slot.flags.insert(Flags::LISTED);
                self.ready.push_back(key);
                passed += 1;
                if passed > self.ready.len() {
                    self.grant = 0;
                }
                continue;
            }
            slot.flags.remove(Flags::LET_OUT);
            let (token, mode) = (slot.token, slot.mode);
            let Some((kind, more)) = take(slot) else {
                slot.flags.remove(Flags::READY);
                continue;
            };
            if more {
                slot.flags.insert(Flags::LISTED);
                self.ready.push_back(key);
            } else {
                slot.flags.remove(Flags::READY);
            }
            self.grant -= 1;
            self.ready_events -= 1;
            self.counters.events += 1;
            if mode != Mode::Edge {
                self.after_delivery(key, mode);
            }
            return Some(Event { key, token, kind });
        }
        None
    }

    /// What the mode says is to be done once an event was delivered.
    pub(super) fn after_delivery(&mut self, key: Key, mode: Mode) {
        let (_, slot) = self.slots.at(key.index);
        match mode {
            Mode::Edge => {}
            Mode::Level => {
                let is_fd = matches!(slot.state, State::Fd { .. });
                if is_fd && !slot.flags.contains(Flags::ARMED) && slot.failed == 0 {
                    self.arm_later(key);
                } else if let State::Work(_) = slot.state {
                    self.work_delivered(key);
                }
            }
            Mode::Dispatch => {
                slot.flags.remove(Flags::ENABLED);
                self.unready(key);
            }
            // It has expired, so it is in no list and no wheel any more.
            Mode::OneShot
                if matches!(slot.state, State::Timer(_)) && !slot.flags.contains(Flags::ARMED) =>
            {
                // A timer owns nothing.
                std::mem::forget(self.slots.remove(key));
                self.spent = Some(Removed(None));
            }
            Mode::OneShot => {
                self.unready(key);
                self.spent = Some(self.give_up(key));
            }
        }
    }

    /// Takes a slot out of the list of ready ones; what a stream keeps stays kept.
    pub(super) fn unready(&mut self, key: Key) {
        let (_, slot) = self.slots.at(key.index);
        if let State::Fd { .. } = slot.state {
            slot.pending = PollMask::empty();
        }
        if slot.flags.contains(Flags::READY) {
            self.ready_events -= events_of(slot);
            if self.partly && slot.flags.contains(Flags::LET_OUT) {
                self.grant -= 1;
            }
            slot.flags.remove(Flags::READY | Flags::LET_OUT);
            // The grant counts events that can be taken: it must not promise more.
            self.grant = self.grant.min(self.ready_events);
        }
    }

    /// Lets events out for the program to take. If there are more sources than that, the first in the
    /// list are marked: only they were looked at.
    #[inline]
    pub(super) fn let_out(&mut self, at_most: usize) {
        self.grant = self.ready_events.min(at_most);
        self.partly = self.grant < self.ready_events && self.grant < self.ready.len();
        if self.partly {
            self.mark();
        }
    }

    #[inline(never)]
    fn mark(&mut self) {
        let mut marked = 0;
        for &key in &self.ready {
            if marked == self.grant {
                break;
            }
            if let Some(slot) = self.slots.live(key)
                && slot.flags.contains(Flags::READY)
            {
                slot.flags.insert(Flags::LET_OUT);
                marked += 1;
            }
        }
        if marked < self.grant {
            // Fewer sources than events: each has its turn.
            self.unmark(marked);
            self.partly = false;
        }
    }

    /// Takes back what was let out and not taken.
    pub(super) fn take_back(&mut self) {
        let granted = std::mem::take(&mut self.grant);
        if std::mem::take(&mut self.partly) {
            // One mark is left for each event that was not taken.
            self.unmark(granted);
        }
    }

    #[inline(never)]
    fn unmark(&mut self, mut marks: usize) {
        for &key in &self.ready {
            if marks == 0 {
                break;
            }
            if let Some(slot) = self.slots.live(key)
                && slot.flags.contains(Flags::LET_OUT)
            {
                slot.flags.remove(Flags::LET_OUT);
                marks -= 1;
            }
        }
    }

    /// Puts a slot into the list of ready ones for what it kept while it was disabled.
    pub(super) fn queue_kept(&mut self, key: Key) {
        let (_, slot) = self.slots.at(key.index);
        let events = events_of(slot);
        if events > 0 && enlist(&mut self.ready, key, slot) {
            self.ready_events += events;
        }
    }
}

/// Puts a slot into the list of ready ones, at the end if it has no place there yet; false if it was
/// ready before.
#[inline]
pub(super) fn enlist(ready: &mut VecDeque<Key>, key: Key, slot: &mut Slot) -> bool {
    if slot.flags.contains(Flags::READY) {
        return false;
    }
    slot.flags.insert(Flags::READY);
    if !slot.flags.contains(Flags::LISTED) {
        slot.flags.insert(Flags::LISTED);
        ready.push_back(key);
    }
    true
}

/// How many events a slot has to deliver.
pub(super) fn events_of(slot: &Slot) -> usize {
    match &slot.state {
        State::Fd { .. } => 1,
        State::Timer(timer) => usize::from(timer.expirations > 0),
        State::User(user) => user.counted as usize,
        State::Stream(stream) => stream.kept.len(),
        State::Work(work) => work.completed.len(),
        State::Own(_) | State::Free => 0,
    }
}

/// Takes an event out of a slot; and whether it has more.
#[inline]
pub(super) fn take(slot: &mut Slot) -> Option<(Kind, bool)> {
    let measured = slot.flags.contains(Flags::MEASURED);
    match &mut slot.state {
        State::Fd { owner, .. } => {
            let pending = std::mem::take(&mut slot.pending);
            if slot.failed != 0 {
                return Some((Kind::Failed(Errno(i32::from(slot.failed))), false));
            }
            let readiness = Readiness::from_mask(pending);
            let [waiting, room] = if measured { measures(owner) } else { [UNMEASURED; 2] };
            Some((Kind::Ready(Ready { readiness, waiting, room }), false))
        }
        State::Timer(timer) => {
            let expirations = std::mem::take(&mut timer.expirations);
            (expirations > 0).then_some((Kind::Timer(Expired { expirations }), false))
        }
        State::User(user) => {
            let posted = user.take()?;
            Some((Kind::User(posted), user.counted > 0))
        }
        State::Stream(stream) => take_kept(stream),
        State::Work(work) => take_completed(work),
        State::Own(_) | State::Free => None,
    }
}

#[cold]
fn measures(owner: &Owner) -> [u32; 2] {
    owner.measure().map(|measure| measure.map_or(UNMEASURED, |value| value.min(UNMEASURED - 1)))
}

#[inline(never)]
fn take_completed(work: &mut Work) -> Option<(Kind, bool)> {
    let completed = work.completed.pop()?;
    Some((Kind::Completed(completed), !work.completed.is_empty()))
}

#[inline(never)]
fn take_kept(stream: &mut Stream) -> Option<(Kind, bool)> {
    let kind = stream.kept.pop_front()?;
    Some((kind, !stream.kept.is_empty()))
}
