//! The queue as the core of a shared one: the steps of a wait and of a delivery one by one.
//!
//! Several threads take turns with it under a lock, and none holds the lock while it sleeps. So a wait falls into
//! letting in what needs no report of the kernel ([`Queue::let_in`]), a sleep that is not here, and taking in what
//! the sleep brought ([`Queue::take_in`]). And a delivery falls into staging (the event leaves its slot for the
//! ring), committing (what the mode asks for when it is taken) and resuming (what is due when it is let go of).

use super::Queue;
use super::deliver::{events_of, take};
use crate::error::RegisterError;
use crate::event::{Kind, Readiness};
use crate::key::{Key, Token};
use crate::mode::Mode;
use crate::primitive::Arc;
use crate::shared::{Claims, Staged, Stamp};
use crate::slot::{Flags, Slot};
use crate::source::{State, StreamSource};
use crate::{Event, post::Mailbox};
use ukevent_sys::Error;
use ukevent_sys::epoll::{Epoll, Report};
use ukevent_sys::poll::{PollFd, PollMask};

impl Queue {
    /// From now on several threads use it. What they sleep on, and what others post to; `None` if the backend
    /// belongs to one thread.
    pub(crate) fn share(&mut self) -> Option<(std::sync::Arc<Epoll>, Arc<Mailbox>)> {
        let set = self.backend.share()?;
        self.is_shared = true;
        Some((set, self.mailbox.clone()))
    }

    /// Lets in all that needs no report of the kernel, and arms what is to be armed.
    pub(crate) fn let_in(&mut self) -> Result<(), Error> {
        self.now_ns = None;
        if !self.to_arm.is_empty() {
            self.arm_again()?;
        }
        self.collect(1)?;
        if !self.to_arm.is_empty() {
            self.arm_again()?;
        }
        let mut reports = std::mem::take(&mut self.reports);
        self.backend.report_own(&mut reports);
        self.absorb_all(reports)
    }

    /// Takes in what a sleep brought.
    pub(crate) fn take_in(&mut self, slept: &[Report]) -> Result<(), Error> {
        self.now_ns = None;
        self.epoch = self.epoch.wrapping_add(1).max(1);
        let mut reports = std::mem::take(&mut self.reports);
        let taken = self.backend.take_in(slept, &mut reports);
        self.absorb_all(reports)?;
        taken
    }

    /// Whether nothing is left that only another look at it brings forth.
    pub(crate) fn is_settled(&self) -> bool {
        self.hot.is_empty()
            && self.nobody_in_line()
            && self.to_arm.is_empty()
            && !self.backend.knows_own()
    }

    /// How many events its slots have to deliver.
    pub(crate) const fn ready_events(&self) -> usize {
        self.ready_events
    }

    /// How many of its slots have their turn to come, at most.
    pub(crate) fn listed(&self) -> usize {
        self.ready.len()
    }

    /// When the next timer is due on the monotonic clock.
    pub(crate) fn next_alarm_ns(&mut self) -> Result<Option<u64>, Error> {
        let Some(sleep_ns) = self.until_next_timer()? else { return Ok(None) };
        Ok(Some(self.monotonic_ns().saturating_add(sleep_ns)))
    }

    /// Looks again at states that were found before and not delivered.
    pub(crate) fn look_again_at(&mut self, at_most: usize) -> Result<(), Error> {
        if self.ready.is_empty() { Ok(()) } else { self.look_again(at_most) }
    }

    /// The next event that may go under way, under a new number.
    pub(crate) fn stage(&mut self, claims: &Claims, number: &mut u64) -> Option<Staged> {
        while let Some(key) = self.ready.pop_front() {
            let Some(slot) = self.slots.unlist(key) else { continue };
            let flags = flags(slot);
            *number += 1;
            let stamp = Stamp::new(*number, flags);
            let is_free = stamp.has(Stamp::FREE);
            let watch_again = stamp.has(Stamp::STATE) && slot.mode == Mode::Level;
            if !is_free && !claims.stage(key.index, stamp, watch_again) {
                // It stays ready, and has its place in the list again when it is let go of.
                continue;
            }
            let Some((kind, more)) = take(slot) else {
                slot.flags.remove(Flags::READY);
                claims.clear(key.index, stamp);
                continue;
            };
            let token = slot.token;
            if !more {
                slot.flags.remove(Flags::READY);
            } else if is_free {
                slot.flags.insert(Flags::LISTED);
                self.ready.push_back(key);
            } else {
                claims.stage(key.index, stamp, true);
            }
            self.ready_events -= 1;
            self.counters.events += 1;
            return Some(Staged { event: Event { key, token, kind }, stamp });
        }
        None
    }

    /// Puts an event that nobody has taken back into its slot, before what came since. Gives back one whose
    /// registration is gone.
    pub(crate) fn unstage(&mut self, claims: &Claims, staged: Staged) -> Result<(), Event> {
        let Staged { event, stamp } = staged;
        let Event { key, token, kind } = event;
        claims.clear(key.index, stamp);
        let Some(slot) = self.slots.live(key) else { return Err(Event { key, token, kind }) };
        let before = events_of(slot);
        if let Err(kind) = put_back(slot, kind) {
            return Err(Event { key, token, kind });
        }
        self.counters.events -= 1;
        if slot.flags.contains(Flags::ENABLED) {
            // A slot that is not ready counts for nothing, whatever it has.
            let counted = if slot.flags.contains(Flags::READY) { before } else { 0 };
            self.ready_events += events_of(slot) - counted;
            slot.flags.insert(Flags::READY);
            if !slot.flags.contains(Flags::LISTED) {
                slot.flags.insert(Flags::LISTED);
                self.ready.push_front(key);
            }
        }
        Ok(())
    }

    /// Looks again at the state that an event tells of, if it was found some time ago. `None`: it is so no longer,
    /// and is watched anew.
    pub(crate) fn still_true(&mut self, claims: &Claims, mut staged: Staged) -> Option<Staged> {
        let key = staged.event.key;
        let slot = self.slots.live(key)?;
        let State::Fd { fd, interest, .. } = &slot.state else { return Some(staged) };
        let Kind::Ready(ready) = &mut staged.event.kind else { return Some(staged) };
        let mut probe = [PollFd::new(*fd, interest.mask())];
        // What cannot be asked is as it was said to be.
        let reported = self.backend.probe(&mut probe).map(|()| probe[0].reported());
        let Ok(reported) = reported else { return Some(staged) };
        if !reported.is_empty() {
            ready.readiness = Readiness::from_mask(reported);
            return Some(staged);
        }
        self.counters.untrue += 1;
        self.resume(claims, key, staged.stamp);
        None
    }

    /// Does what the mode asks for when an event is taken; false if the registration is gone.
    pub(crate) fn commit(&mut self, claims: &Claims, key: Key, number: u64) -> bool {
        let Some(slot) = self.slots.live(key) else { return false };
        let mode = slot.mode;
        if mode == Mode::Level && matches!(slot.state, State::Fd { .. }) {
            // It was changed since the staging, and perhaps disabled; it is watched by that change.
            return true;
        }
        self.after_delivery(key, mode);
        if self.slots.live(key).is_none() {
            claims.revoke(key.index, number);
        }
        true
    }

    /// A waiter let go of an event: what is due then.
    pub(crate) fn resume(&mut self, claims: &Claims, key: Key, stamp: Stamp) {
        if claims.clear(key.index, stamp) {
            self.watch_again(key);
            self.list_again(key.index);
        }
    }

    /// Watches a level anew whose event was delivered, at once: nobody knows when the next wait is.
    fn watch_again(&mut self, key: Key) {
        let Some(slot) = self.slots.live(key) else { return };
        let is_level = slot.mode != Mode::Edge && matches!(slot.state, State::Fd { .. });
        let is_due = slot.flags.contains(Flags::ENABLED)
            && !slot.flags.intersects(Flags::ARMED | Flags::READY)
            && slot.failed == 0;
        if is_level && is_due {
            self.tell_anew(key);
        }
    }

    /// Looks at the state of a descriptor anew, whatever was reported: whoever had its last report may not have
    /// dealt with it.
    pub(crate) fn tell_anew(&mut self, key: Key) {
        let Some(slot) = self.slots.live(key) else { return };
        if matches!(slot.state, State::Fd { .. })
            && slot.flags.contains(Flags::ENABLED)
            && self.arm(key).is_err()
        {
            // The next wait tries, and tells.
            self.arm_later(key);
        }
    }

    /// Gives a slot that has more its place in the list again, when nothing of it is under way any more.
    pub(crate) fn list_again(&mut self, index: u32) {
        let (key, slot) = self.slots.at(index);
        if slot.flags.contains(Flags::READY) && !slot.flags.contains(Flags::LISTED) {
            slot.flags.insert(Flags::LISTED);
            self.ready.push_back(key);
        }
    }

    /// A registration whose events somebody else brings, with [`Queue::bring`].
    pub(crate) fn register_kept(&mut self, token: Token, mode: Mode) -> Result<Key, RegisterError> {
        self.insert_stream(StreamSource::Signal, token, mode)
    }

    /// Whether it is a signal's.
    pub(crate) fn is_of_signal(&self, key: Key) -> bool {
        let state = self.slots.find_ref(key).map(|slot| &slot.state);
        matches!(state, Some(State::Stream(stream)) if matches!(stream.from, StreamSource::Signal))
    }

    /// Brings an event of such a registration; false if it is gone.
    pub(crate) fn bring(&mut self, key: Key, kind: Kind) -> bool {
        let is_live = self.is_live(key);
        if is_live {
            self.keep(key.index, kind);
        }
        is_live
    }

    /// Lets every waiter have the events of a registration.
    pub(crate) fn for_all(&mut self, key: Key) {
        if let Some(slot) = self.slots.find(key) {
            slot.flags.insert(Flags::FOR_ALL);
        }
    }

    /// Whether events of a registration may be delivered.
    pub(crate) fn is_enabled(&self, key: Key) -> bool {
        self.slots.live_ref(key).is_some_and(|slot| slot.flags.contains(Flags::ENABLED))
    }

    /// Whether a key names a registration or operation that is not over.
    pub(crate) fn is_live(&self, key: Key) -> bool {
        self.slots.live_ref(key).is_some()
    }
}

/// Gives a slot back what was taken out of it; gives it back if it is not of this slot.
fn put_back(slot: &mut Slot, kind: Kind) -> Result<(), Kind> {
    match (&mut slot.state, kind) {
        (State::Fd { .. }, Kind::Ready(ready)) => {
            slot.pending |= PollMask::from_bits_truncate(u32::from(ready.readiness.bits()));
        }
        (State::Fd { .. }, Kind::Failed(_)) => slot.pending |= PollMask::NVAL,
        (State::Timer(timer), Kind::Timer(expired)) => timer.expirations += expired.expirations,
        (State::User(user), Kind::User(posted)) => user.put_back(posted),
        (State::Work(work), Kind::Completed(completed)) => work.completed.push_front(completed),
        (State::Stream(stream), kind) => stream.kept.push_front(kind),
        (_, kind) => return Err(kind),
    }
    Ok(())
}

/// What is to be known of an event of this slot.
fn flags(slot: &Slot) -> u64 {
    let is_once = matches!(slot.mode, Mode::OneShot | Mode::Dispatch);
    let mut flags = match slot.state {
        State::User(_) if !is_once => Stamp::FREE,
        State::Fd { .. } if slot.mode != Mode::Edge => Stamp::STATE,
        State::Work(_) => Stamp::COMMIT,
        _ => 0,
    };
    if is_once {
        flags |= Stamp::COMMIT;
    }
    if slot.flags.contains(Flags::FOR_ALL) {
        flags |= Stamp::FOR_ALL;
    }
    flags
}

#[cfg(all(test, not(loom)))]
mod tests;
