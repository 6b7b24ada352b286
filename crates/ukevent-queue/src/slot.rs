//! The slots: where registrations live, found by index and checked by generation.
//!
//! A slot is a cache line. Its generation changes when it is given up, so a stale key dies in
//! [`Slots::find`]; its ticket changes with every arming, so a stale completion dies in
//! [`Slots::armed`]. Those are the only two places.

use crate::backend::Ticket;
use crate::mode::Mode;
use crate::source::{Owner, State};
use crate::wheel::Owners;
use crate::{Key, Token};
use bitflags::bitflags;
use ukevent_sys::memory::prefetch;
use ukevent_sys::poll::PollMask;

bitflags! {
    /// What is the case with a slot.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Flags: u16 {
        /// Events may be delivered.
        const ENABLED = 1;
        /// The backend watches the descriptor and has not reported for the last time; or the timer is
        /// in its wheel.
        const ARMED = 1 << 1;
        /// Has something to deliver.
        const READY = 1 << 2;
        /// To be armed at the next wait.
        const TO_ARM = 1 << 3;
        /// The backend knows the descriptor.
        const KNOWN = 1 << 4;
        /// Says how many bytes wait and how much room there is.
        const MEASURED = 1 << 5;
        /// Has its place in the list of ready slots, though perhaps nothing to deliver any more.
        const LISTED = 1 << 6;
        /// The kernel reports at once what nobody asked for (that the peer of a socket closed its
        /// side): only an edge waits for anything else.
        const BY_EDGE = 1 << 7;
        /// The last wait let it out, but not all that are ready.
        const LET_OUT = 1 << 8;
        /// It is a file that is always ready; asked once.
        const FILE = 1 << 9;
        /// It is not.
        const NO_FILE = 1 << 10;
        /// Every waiter of a shared queue gets its events.
        const FOR_ALL = 1 << 11;
    }
}

/// A registration.
#[repr(align(64))]
pub(crate) struct Slot {
    generation: u32,
    /// Which arming a completion must belong to.
    pub(crate) ticket: u32,
    pub(crate) token: Token,
    /// What the backend reported and was not delivered.
    pub(crate) pending: PollMask,
    /// In which wait it was armed: what was watched longer may be reported late.
    pub(crate) armed_in: u32,
    /// The errno with which the kernel refused to watch, or 0.
    pub(crate) failed: i16,
    pub(crate) mode: Mode,
    pub(crate) flags: Flags,
    pub(crate) state: State,
}

const _: () = assert!(size_of::<Slot>() == 64, "a slot is a cache line");

impl Slot {
    /// A new ticket for a timer that goes into a wheel.
    #[inline]
    pub(crate) fn start_timer(&mut self) -> u32 {
        self.flags.insert(Flags::ARMED);
        self.ticket = self.ticket.wrapping_add(1);
        self.ticket
    }

    /// Takes the ticket from a timer; false if it is in no wheel.
    #[inline]
    pub(crate) fn stop_timer(&mut self) -> bool {
        let armed = self.flags.contains(Flags::ARMED);
        self.flags.remove(Flags::ARMED);
        self.ticket = self.ticket.wrapping_add(1);
        armed
    }

    fn is_named_by(&self, key: Key) -> bool {
        let is_own = matches!(self.state, State::Own(_) | State::Free);
        self.generation == key.generation && !is_own
    }
}

/// How far ahead of its use a free slot is announced to the processor.
const AHEAD: usize = 6;

/// All registrations of a queue.
pub(crate) struct Slots {
    slots: Vec<Slot>,
    /// Indexes to be used again, the last first. Not linked through the slots: with many of them each
    /// would be a cache miss that the next one waits for.
    free: Vec<u32>,
    /// Registrations of the program.
    live: u32,
    /// How many of them are streams.
    streams: u32,
    limit: u32,
}

impl Slots {
    pub(crate) const fn new(limit: u32) -> Self {
        let most = Ticket::ENDING / 4;
        let limit = if limit < most { limit } else { most };
        Self { slots: Vec::new(), free: Vec::new(), live: 0, streams: 0, limit }
    }

    /// How many registrations the program has.
    pub(crate) const fn registered(&self) -> u32 {
        self.live
    }

    /// How many of them can have several events at once.
    pub(crate) const fn streams(&self) -> u32 {
        self.streams
    }

    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }

    /// The key that the next insertion will have; `None` if there are as many registrations as may
    /// be.
    #[inline]
    pub(crate) fn vacant(&self) -> Option<Key> {
        (self.live < self.limit).then(|| self.vacant_own())
    }

    /// The same for a slot of the queue's own, which no limit counts.
    #[inline]
    pub(crate) fn vacant_own(&self) -> Key {
        match self.free.last() {
            Some(&index) => Key { index, generation: self.slots[index as usize].generation },
            None => Key { index: self.slots.len() as u32, generation: 1 },
        }
    }

    /// Fills the slot that [`Slots::vacant`] named.
    #[inline(always)]
    pub(crate) fn insert(&mut self, key: Key, token: Token, mode: Mode, state: State) -> &mut Slot {
        self.live += u32::from(!matches!(state, State::Own(_)));
        self.streams += u32::from(matches!(state, State::Stream(_)));
        if (key.index as usize) < self.slots.len() {
            self.free.pop();
            // The next ones may have been given up in any order.
            if let Some(&later) =
                self.free.len().checked_sub(AHEAD).and_then(|at| self.free.get(at))
            {
                Owners::expect(self, later);
            }
            let slot = &mut self.slots[key.index as usize];
            // A free slot has nothing to drop.
            std::mem::forget(std::mem::replace(&mut slot.state, state));
            slot.token = token;
            slot.mode = mode;
            slot.pending = PollMask::empty();
            slot.failed = 0;
            slot.flags = Flags::ENABLED;
        } else {
            self.slots.push(Slot {
                generation: key.generation,
                ticket: 0,
                token,
                pending: PollMask::empty(),
                armed_in: 0,
                failed: 0,
                mode,
                flags: Flags::ENABLED,
                state,
            });
        }
        &mut self.slots[key.index as usize]
    }

    /// Gives the slot up and returns what was in it.
    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> State {
        let slot = &mut self.slots[key.index as usize];
        // Generations begin at 1 and skip 0, so a key made of a small number names nothing.
        slot.generation = slot.generation.wrapping_add(1).max(1);
        slot.ticket = slot.ticket.wrapping_add(1);
        slot.flags = Flags::empty();
        let state = std::mem::replace(&mut slot.state, State::Free);
        self.free.push(key.index);
        self.live -= u32::from(!matches!(state, State::Own(_)));
        self.streams -= u32::from(matches!(state, State::Stream(_)));
        state
    }

    /// The registration that a key of the program names.
    #[inline]
    pub(crate) fn find(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.index as usize).filter(|slot| slot.is_named_by(key))
    }

    pub(crate) fn find_ref(&self, key: Key) -> Option<&Slot> {
        self.slots.get(key.index as usize).filter(|slot| slot.is_named_by(key))
    }

    /// The slot of a key from a list of the queue's, unless it was given up since.
    #[inline]
    pub(crate) fn live(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }

    /// The same, to be looked at.
    pub(crate) fn live_ref(&self, key: Key) -> Option<&Slot> {
        self.slots.get(key.index as usize).filter(|slot| slot.generation == key.generation)
    }

    /// The slot that a completion of this arming belongs to; `None` if it is stale.
    #[inline]
    pub(crate) fn armed(&mut self, index: u32, ticket: u32) -> Option<(Key, &mut Slot)> {
        let slot = self.slots.get_mut(index as usize)?;
        if slot.ticket != ticket || !slot.flags.contains(Flags::ARMED) {
            return None;
        }
        Some((Key { index, generation: slot.generation }, slot))
    }

    /// The slot of a key that was taken from the list of ready ones, if it is still ready.
    #[inline]
    pub(crate) fn unlist(&mut self, key: Key) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        slot.flags.remove(Flags::LISTED);
        slot.flags.contains(Flags::READY).then_some(slot)
    }

    /// The slot at an index that is known to be live.
    #[inline]
    pub(crate) fn at(&mut self, index: u32) -> (Key, &mut Slot) {
        let slot = &mut self.slots[index as usize];
        (Key { index, generation: slot.generation }, slot)
    }

    /// The ticket that the slot of a key had until the key was given up, just now.
    pub(crate) fn ticket_before(&self, key: Key) -> u32 {
        self.slots.get(key.index as usize).map_or(0, |slot| slot.ticket.wrapping_sub(1))
    }

    /// The owner of the registered descriptor that a key of the program names.
    pub(crate) fn owner(&self, key: Key) -> Option<&Owner> {
        match self.find_ref(key).map(|slot| &slot.state) {
            Some(State::Fd { owner, .. }) => Some(owner),
            _ => None,
        }
    }

    /// Whether a registered descriptor is a file that is always ready. The kernel is asked once.
    pub(crate) fn is_file(&mut self, key: Key) -> bool {
        let Some(slot) = self.find(key) else { return false };
        let State::Fd { owner, .. } = &slot.state else { return false };
        if !slot.flags.intersects(Flags::FILE | Flags::NO_FILE) {
            let is_file = owner.always_ready();
            slot.flags.insert(if is_file { Flags::FILE } else { Flags::NO_FILE });
        }
        slot.flags.contains(Flags::FILE)
    }

    /// What is in the slot at an index.
    pub(crate) fn state(&self, index: u32) -> Option<&State> {
        self.slots.get(index as usize).map(|slot| &slot.state)
    }

    /// Every live slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0..).zip(&self.slots).filter(|(_, slot)| !matches!(slot.state, State::Free))
    }
}

impl Owners for Slots {
    #[inline]
    fn stands(&self, index: u32, ticket: u32) -> bool {
        self.slots.get(index as usize).is_some_and(|slot| slot.ticket == ticket)
    }

    #[inline]
    fn expect(&self, index: u32) {
        if let Some(slot) = self.slots.get(index as usize) {
            prefetch(slot);
        }
    }

    #[inline]
    fn fired(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.flags.remove(Flags::ARMED);
        }
    }
}
