//! Back from the ring: what nobody took is looked at again, kept, or void.

use super::{Core, Member, Outside};
use crate::error::ChangeError;
use crate::event::Kind;
use crate::key::Key;
use crate::queue::Change;
use crate::shared::lane::Lane;
use crate::shared::ring::{Ring, Staged, Stamp};
use std::collections::VecDeque;

impl Core {
    /// Takes all back that nobody took, for a waiter that is here: so states are looked at again, occurrences go on
    /// adding up, and sources have their turn.
    pub(in crate::shared) fn recall(&mut self, outside: &Outside, lane: &Lane) {
        if self.returned.is_empty() && self.ring.len() == 0 && lane.len() == 0 {
            return;
        }
        let mut all: Vec<Staged> = std::iter::from_fn(|| lane.pop()).collect();
        all.extend(self.returned.drain(..));
        all.extend(std::iter::from_fn(|| self.ring.pop()));
        while let Some(staged) = all.pop() {
            if staged.stamp.has(Stamp::FOR_ALL) {
                lane.push_first(staged);
            } else if staged.stamp.has(Stamp::OVER | Stamp::TAKEN) {
                // Its registration, which is over or has disabled itself, does not tell of it again.
                self.returned.push_front(staged);
            } else {
                self.unstage(outside, staged);
            }
        }
    }

    /// Puts an event back whose registration may have been removed or disabled since: then it is void, or kept.
    pub(in crate::shared) fn unstage(&mut self, outside: &Outside, staged: Staged) {
        if staged.stamp.has(Stamp::FOR_ALL) {
            self.heard(outside, staged.stamp);
            return;
        }
        if is_state(&staged) && !outside.claims.is_staged(staged.event.key.index, staged.stamp) {
            // Its state is looked at when it is wanted again.
            return;
        }
        let index = staged.event.key.index;
        let before = self.begun_anew.get(&index).is_some_and(|&at| staged.stamp.number() <= at);
        if before && matches!(staged.event.kind, Kind::Timer(_)) {
            // Somebody was about to take it when the timer was changed.
            outside.claims.clear(index, staged.stamp);
            return;
        }
        self.waste.events.extend(self.queue.unstage(&outside.claims, staged).err());
    }

    /// Changes a registration. What nobody has taken is told as the change says; what a timer did before it began anew
    /// is not told at all.
    pub(in crate::shared) fn modify(
        &mut self,
        outside: &Outside,
        key: Key,
        change: Change,
    ) -> Result<(), ChangeError> {
        let begins_anew = change.has_timer();
        if self.queue.is_live(key) {
            // What is under way is as before if the change is refused.
            self.withdraw(outside, key);
        }
        let changed = self.queue.modify(key, change);
        if changed.is_err() {
            self.queue.tell_anew(key);
        } else if begins_anew {
            self.begun_anew.insert(key.index, self.number);
        }
        changed
    }

    /// Makes void what nobody has taken of a registration, and puts its occurrences back, for when they may be
    /// delivered.
    pub(in crate::shared) fn withdraw(&mut self, outside: &Outside, key: Key) {
        let taken = self.extract(outside, |staged| staged.event.key == key);
        self.broadcasts.retain(|_, it| it.key != key);
        for staged in taken.into_iter().rev() {
            if is_state(&staged) {
                outside.claims.clear(key.index, staged.stamp);
            } else {
                self.unstage(outside, staged);
            }
        }
        // Also for whoever is about to take one.
        outside.claims.withdraw(key.index, self.number);
        self.queue.list_again(key.index);
    }

    /// Whether an event that a waiter holds is of a registration that was disabled since it was staged: then no other
    /// may have it.
    pub(in crate::shared) fn is_withdrawn(
        &self,
        outside: &Outside,
        key: Key,
        stamp: Stamp,
    ) -> bool {
        !outside.claims.is_above_floor(key.index, stamp) && !self.queue.is_enabled(key)
    }

    /// A registration is gone, and the operations on it with it: nothing of them may be taken any more. What was on
    /// its way.
    pub(in crate::shared) fn gone(&mut self, outside: &Outside, key: Key) {
        outside.claims.revoke(key.index, self.number);
        self.begun_anew.remove(&key.index);
        self.broadcasts.retain(|_, it| it.key != key);
        let queue = &self.queue;
        let is_orphan = |staged: &Staged| {
            staged.event.key == key
                || matches!(staged.event.kind, Kind::Completed(_))
                    && !staged.stamp.has(Stamp::OVER)
                    && !queue.is_live(staged.event.key)
        };
        let (ring, members) = (&self.ring, &self.members);
        let orphans = extract(ring, &mut self.returned, &mut self.handed_on, members, is_orphan);
        self.show_handed_on(outside);
        for staged in &orphans {
            outside.claims.revoke(staged.event.key.index, self.number);
        }
        self.waste.events.extend(orphans.into_iter().map(|staged| staged.event));
    }

    fn extract(&mut self, outside: &Outside, is_meant: impl Fn(&Staged) -> bool) -> Vec<Staged> {
        let (ring, members) = (&self.ring, &self.members);
        let taken = extract(ring, &mut self.returned, &mut self.handed_on, members, is_meant);
        self.show_handed_on(outside);
        taken
    }
}

/// Whether it tells of a descriptor's state, which is looked at anew when it is wanted again. All else is told once.
const fn is_state(staged: &Staged) -> bool {
    matches!(staged.event.kind, Kind::Ready(_) | Kind::Failed(_))
}

/// Takes events out of wherever they are on their way.
fn extract(
    ring: &Ring,
    returned: &mut VecDeque<Staged>,
    handed_on: &mut VecDeque<(u32, Staged)>,
    members: &[Member],
    is_meant: impl Fn(&Staged) -> bool,
) -> Vec<Staged> {
    let mut taken = Vec::new();
    for member in members {
        taken.extend(member.lane.extract(&is_meant));
    }
    let (meant, others) = returned.drain(..).partition::<VecDeque<_>, _>(&is_meant);
    *returned = others;
    taken.extend(meant);
    taken.extend(ring.extract(&is_meant));
    let (meant, others) = handed_on.drain(..).partition::<VecDeque<_>, _>(|it| is_meant(&it.1));
    *handed_on = others;
    taken.extend(meant.into_iter().map(|(_, staged)| staged));
    taken
}
