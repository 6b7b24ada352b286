//! Who sleeps, and who wakes whom.
//!
//! All sleep on one set of the kernel, which wakes one of them for each report. What is no report, a post or what
//! somebody left behind, wakes one by an eventfd of that set, the next timer by a timerfd; a second eventfd wakes all.
//!
//! A waiter that is *nested* is watched by somebody else instead of sleeping here: by another queue, by epoll, or by
//! the set of the waiter that has adopted this group. It counts as asleep as long as it is there, so that all that
//! wakes a sleeper makes the set readable. What is for it alone its own eventfd tells ([`Nest`]), which disturbs nobody
//! else.

use super::{Core, Member, Outside, Told};
use crate::backend::Ticket;
use crate::shared::lane::Lane;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use ukevent_sys::Error;
use ukevent_sys::descriptor::duplicate;
use ukevent_sys::epoll::{Epoll, Report, Trigger};
use ukevent_sys::eventfd::EventFd;
use ukevent_sys::poll::PollMask;

/// What is watched for a nested waiter: the set of all, and what is for it alone.
pub(in crate::shared) struct Nest {
    epoll: Epoll,
    bell: EventFd,
}

impl Nest {
    pub(in crate::shared) fn new(set: &Epoll) -> Result<Self, Error> {
        let nest = Self { epoll: Epoll::new()?, bell: EventFd::new()? };
        for fd in [set.as_fd(), nest.bell.as_fd()] {
            nest.epoll.add(fd.as_raw_fd(), PollMask::IN, Trigger::Level, 0)?;
        }
        Ok(nest)
    }

    fn descriptor(&self) -> Result<OwnedFd, Error> {
        duplicate(self.epoll.as_fd().as_raw_fd())
    }
}

impl Core {
    /// Says that a waiter is about to sleep; false if it must not, because something came.
    pub(in crate::shared) fn fall_asleep(
        &mut self,
        lane: &Lane,
        needs: usize,
    ) -> Result<bool, Error> {
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
    pub(in crate::shared) fn has_asked(&mut self, lane: &Lane, slept: &[Report], was_asleep: bool) {
        self.sleepers -= usize::from(was_asleep);
        if self.sleepers > 0 {
            self.mailbox.stay_asleep()
        } else {
            self.mailbox.end_sleep()
        }
        self.is_stirring &= !slept.iter().any(|report| report.data() == Ticket::WAKE.to_bits());
        if !was_asleep && self.nested == 0 {
            return;
        }
        let Some(member) = self.member(lane) else { return };
        member.is_asleep = false;
        if member.is_nested() {
            // Whatever this wait needed.
            member.needs = 1;
        }
        let was_called = member.answer();
        self.has_answered(was_called);
    }

    /// One that was called has come, or is gone.
    fn has_answered(&mut self, was_called: bool) {
        self.called -= usize::from(was_called);
        if was_called && self.called == 0 {
            // A live eventfd can be read.
            let _: Result<(), Error> = self.everyone.clear();
        }
    }

    /// From now on somebody else watches for this waiter, by a descriptor of its own.
    pub(in crate::shared) fn nest(
        &mut self,
        outside: &Outside,
        lane: &Lane,
        nest: impl FnOnce() -> Result<Nest, Error>,
    ) -> Result<Option<OwnedFd>, Error> {
        if self.member(lane).is_some_and(|member| !member.is_nested()) {
            self.watched(outside, lane, Told::ByNest(nest()?));
        }
        match self.member(lane).map(|member| &member.told) {
            Some(Told::ByNest(nest)) => nest.descriptor().map(Some),
            _ => Ok(None),
        }
    }

    /// From now on somebody else watches for this waiter, if nobody does yet.
    pub(super) fn watched(&mut self, outside: &Outside, lane: &Lane, told: Told) {
        let Some(member) = self.member(lane).filter(|member| !member.is_nested()) else { return };
        member.told = told;
        member.needs = 1;
        self.nested += 1;
        self.sleepers += 1;
        // What is there already was shown to nobody.
        if !self.mailbox.prepare_sleep() {
            self.mailbox.stay_asleep();
            self.mailbox.stir();
        }
        self.settle(outside);
    }

    /// Nobody watches for a waiter any more.
    pub(super) fn unwatched(&mut self, lane: &Lane, told: Told) {
        let Some(member) = self.member(lane) else { return };
        let was_nested = member.is_nested();
        let was_called = member.answer();
        member.told = told;
        self.nested -= usize::from(was_nested);
        self.sleepers -= usize::from(was_nested);
        self.has_answered(was_called);
    }

    /// How many reports whoever goes to sleep now may take: all, unless others sleep who could share.
    pub(in crate::shared) const fn is_first_to_sleep(&self) -> bool {
        self.sleepers <= 1
    }

    /// Sets the alarm for those who sleep.
    pub(in crate::shared) fn set_alarm(&mut self) -> Result<(), Error> {
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
    pub(in crate::shared) fn offer(&mut self, outside: &Outside, lane: &Lane, events: usize) {
        if self.sleepers > 0 {
            self.fill(outside, events);
            self.call(|member| member.needs <= events && member.lane.id() != lane.id());
        }
    }

    /// Wakes one that sleeps, if there are events and nobody is on his way.
    pub(in crate::shared) fn share_out(&mut self) {
        if self.sleepers == 0 || self.is_stirring {
            return;
        }
        // A ring whose entries are all claimed, and not emptied yet, has nothing in it and no room.
        let is_behind = || self.has_backlog() && !self.ring.has_room();
        let is_handed_on = || self.handed_on.iter().any(|&(by, _)| self.is_awaited(by));
        if self.ring.len() > 0 || is_handed_on() || is_behind() {
            self.is_stirring = true;
            self.mailbox.stir();
        }
    }

    /// Whether somebody who sleeps would take what this one has handed on.
    fn is_awaited(&self, by: u32) -> bool {
        let is_other = |it: &Member| (it.is_asleep || it.is_nested()) && it.lane.id() != by;
        self.members() == 1 || self.members.iter().any(is_other)
    }

    /// A waiter goes off to work: those who sleep find what there is, and wake for the next timer.
    pub(in crate::shared) fn leave_to_others(&mut self, outside: &Outside) {
        if self.sleepers > 0 && self.ring.len() == 0 {
            // It may have claimed all that was in the ring.
            self.fill(outside, 1);
        }
        // Who really sleeps has left nothing to settle; who is nested looks when it is told to.
        let is_settled = self.nested == 0 || self.queue.is_settled();
        if self.sleepers > 0 && (self.set_alarm().is_err() || !is_settled) {
            // One of them tries, and tells.
            self.mailbox.stir();
        }
        self.share_out();
    }

    /// Wakes all that sleep.
    pub(in crate::shared) fn call_everyone(&mut self) {
        self.call(|_| true);
    }

    /// Shows whoever watches for a waiter that it has more.
    pub(in crate::shared) fn call_again(&mut self, lane: &Lane) {
        self.call(|member| member.lane.id() == lane.id());
    }

    /// Wakes those who sleep and are meant. The others are disturbed, and sleep on.
    fn call(&mut self, is_meant: impl Fn(&Member) -> bool) {
        for member in self.members.iter_mut().filter(|it| is_meant(it)) {
            if let Told::ByNest(nest) = &member.told
                && !member.is_shown
            {
                member.is_shown = true;
                // A live eventfd takes it.
                let _: Result<(), Error> = nest.bell.signal();
            }
            if member.is_asleep && !member.is_called {
                member.is_called = true;
                self.called += 1;
            }
        }
        if self.called > 0 {
            let _: Result<(), Error> = self.everyone.signal();
        }
    }

    /// After a change, while others sleep: lets it take effect and shows them what it brought. If nobody sleeps,
    /// whoever waits next does that.
    pub(in crate::shared) fn settle(&mut self, outside: &Outside) {
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
}

impl Member {
    /// It looks: nobody need call it any more. Whether all that sleep were disturbed for it.
    fn answer(&mut self) -> bool {
        if std::mem::take(&mut self.is_shown)
            && let Told::ByNest(nest) = &self.told
        {
            // A live eventfd can be read.
            let _: Result<(), Error> = nest.bell.clear();
        }
        std::mem::take(&mut self.is_called)
    }
}
