//! Pinned waiters: a group for each, and what becomes of one whose waiter is gone.
//!
//! A key says which group it is of: its number stands above the 24 bits of the slot. All calls of the queue find the
//! group by it, and take the number off; on events it is put back.
//!
//! A group without its waiter is *adopted*: another waiter gets a part in it, and its own set watches that group's, so
//! that it wakes ([`Seats`] says who sits where). The next waiter that comes takes the group over; who had adopted it
//! gets nothing of it from then on, and drops its part with its next wait.

use super::group::Group;
use super::lane::Lane;
use super::part::{Part, check};
use super::{SharedBuilder, SharedCounters, SharedQueue, Waiter, WaiterCounters};
use crate::error::{BuildError, RegisterError, WaitError, WrongThread};
use crate::event::Event;
use crate::key::{Key, Token};
use crate::mode::Mode;
use crate::operation::{Operation, StartError, StartRefusal};
use crate::primitive::{AtomicU32, AtomicU64, Mutex, Ordering, lock};
use crate::source::{Removed, Source};
use crate::wait::Wait;
use std::sync::{Arc, OnceLock, Weak};

/// So many groups at most: the number of none is in the key of nothing.
const MOST: usize = 255;
/// Bits of a key's index that are the slot's.
const SLOT_BITS: u32 = 24;

/// All groups.
pub(super) struct Pins {
    groups: [OnceLock<Arc<Group>>; MOST],
    seats: Mutex<Seats>,
    /// How often something was changed in the seats.
    changes: AtomicU64,
    /// Whose turn it is to be registered with.
    turn: AtomicU32,
    /// The size of the next ring.
    entries: AtomicU32,
    builder: SharedBuilder,
}

/// Who has which group. Locked before the core of any.
struct Seats {
    /// By the number of the group.
    had: Vec<HadBy>,
    taken: Vec<Seat>,
}

/// Who has a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HadBy {
    ItsWaiter,
    /// Its waiter is gone; that of this group has adopted it.
    Another(u8),
    Nobody,
}

/// What is there of a waiter.
struct Seat {
    number: u8,
    /// The groups in which it has a part, or will have, and that part's lane.
    parts: Vec<(u8, Arc<Lane>)>,
    /// Parts that it is to take.
    mail: Vec<Adopted>,
}

/// A part in the group of a waiter that is gone.
struct Adopted {
    part: Part,
    number: u8,
}

fn marked(number: u8, key: Key) -> Key {
    Key { index: key.index | u32::from(number) << SLOT_BITS, ..key }
}

const fn unmarked(key: Key) -> Key {
    Key { index: key.index & ((1 << SLOT_BITS) - 1), ..key }
}

const fn number_of(key: Key) -> usize {
    (key.index >> SLOT_BITS) as usize
}

impl Pins {
    pub(super) fn new(builder: &SharedBuilder, first: &Arc<Group>) -> Arc<Self> {
        let groups = [const { OnceLock::new() }; MOST];
        groups[0].get_or_init(|| first.clone());
        Arc::new(Self {
            groups,
            seats: Mutex::new(Seats { had: vec![HadBy::Nobody], taken: Vec::new() }),
            changes: AtomicU64::new(1),
            turn: AtomicU32::new(0),
            entries: AtomicU32::new(builder.entries),
            builder: builder.clone(),
        })
    }

    /// The group of a key, and its key there.
    pub(super) fn find(&self, key: Key) -> Option<(&Arc<Group>, Key)> {
        Some((self.groups.get(number_of(key))?.get()?, unmarked(key)))
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.iter().map_while(OnceLock::get)
    }

    fn group(&self, number: u8) -> &Arc<Group> {
        self.groups[usize::from(number)].get().expect("a number is given to a group that is there")
    }

    /// The group that is the next to be registered with: of those that have a waiter, if any has.
    fn next(&self) -> u8 {
        let seats = lock(&self.seats);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        let taken = seats.taken.get(turn % seats.taken.len().max(1));
        taken.map_or(0, |seat| seat.number)
    }

    pub(super) fn register(
        &self,
        source: Source,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        self.register_at(self.next(), source, token, mode)
    }

    fn register_at(
        &self,
        number: u8,
        source: Source,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        let key = self.group(number).register(source, token, mode, false)?;
        Ok(marked(number, key))
    }

    /// Starts an operation where the registration is that it is on; one on none at `number`, or where it is the turn.
    pub(super) fn start(
        &self,
        mut operation: Operation,
        token: Token,
        number: Option<u8>,
    ) -> Result<Key, StartError> {
        let number = match self.number_for(&operation) {
            Ok(on) => on.or(number).unwrap_or_else(|| self.next()),
            Err(reason) => return Err(StartError { operation, reason }),
        };
        let change = |operation: &mut Operation, change: &dyn Fn(Key) -> Key| {
            operation
                .keys_mut()
                .filter(|key| **key != Key::NONE)
                .for_each(|key| *key = change(*key));
        };
        change(&mut operation, &unmarked);
        match self.group(number).start(operation, token) {
            Ok(key) => Ok(marked(number, key)),
            Err(mut error) => {
                change(&mut error.operation, &|key| marked(number, key));
                Err(error)
            }
        }
    }

    /// The group of the registrations that an operation is on, if it is on any.
    fn number_for(&self, operation: &Operation) -> Result<Option<u8>, StartRefusal> {
        let mut number = None;
        for &key in operation.keys().filter(|&&key| key != Key::NONE) {
            self.find(key).ok_or(StartRefusal::NoSuchKey)?;
            let of_this = number_of(key) as u8;
            if number.is_some_and(|before| before != of_this) {
                return Err(StartRefusal::Invalid(
                    "an operation on two registrations needs both with the same pinned waiter: register them with \
                     Waiter::register",
                ));
            }
            number = Some(of_this);
        }
        Ok(number)
    }

    /// How many events were put into the rings.
    pub(super) fn position(&self) -> u64 {
        self.groups().map(|group| group.position()).sum()
    }

    /// Rings of waiters to come have this size.
    pub(super) fn resize(&self, entries: u32) {
        self.entries.store(entries, Ordering::Relaxed);
    }

    /// Sets right what the sum over the groups does not tell.
    pub(super) fn counters(&self, sum: SharedCounters) -> SharedCounters {
        SharedCounters { waiters: lock(&self.seats).taken.len(), ..sum }
    }

    // Who waits.

    /// A waiter comes: to a group that has lost its own, or to a new one.
    pub(super) fn join(self: &Arc<Self>) -> Result<Waiter, WaitError> {
        let mut seats = lock(&self.seats);
        let number = match seats.had.iter().position(|&had| had != HadBy::ItsWaiter) {
            Some(number) => number,
            None => self.add_group(&mut seats)?,
        };
        let is_adopted = matches!(seats.had[number], HadBy::Another(_));
        seats.had[number] = HadBy::ItsWaiter;
        let number = number as u8;
        let group = self.group(number);
        let part = Part::new(group.clone());
        if is_adopted {
            let mut core = group.lock_quietly();
            core.take_over(&group.outside);
            group.count_members(&core);
        }
        seats.taken.push(Seat { number, parts: Vec::new(), mail: Vec::new() });
        self.adopt_all(&mut seats);
        drop(seats);
        Ok(Waiter::new(part, Some(Box::new(Pin::new(self.clone(), number)))))
    }

    fn add_group(&self, seats: &mut Seats) -> Result<usize, WaitError> {
        let number = seats.had.len();
        let Some(place) = self.groups.get(number) else {
            return Err(WaitError::Invalid("a queue has at most 255 pinned waiters"));
        };
        let builder = self.builder.clone().ring(self.entries.load(Ordering::Relaxed));
        let signals = &self.group(0).signals;
        let group = Group::new(&builder, signals).map_err(|error| match error {
            BuildError::Kernel(error) => WaitError::Kernel(error),
            _ => WaitError::Invalid("a pinned waiter needs epoll"),
        })?;
        place.get_or_init(|| group);
        seats.had.push(HadBy::Nobody);
        Ok(number)
    }

    /// Gives somebody a part in each group that is nobody's: who has fewest of them. One that nobody can take, for want
    /// of memory, is tried again when a waiter comes or goes, or waits after that.
    fn adopt_all(&self, seats: &mut Seats) {
        for number in 0..seats.had.len() {
            if seats.had[number] == HadBy::Nobody {
                self.adopt(seats, number as u8);
            }
        }
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    fn adopt(&self, seats: &mut Seats, number: u8) {
        let orphan = self.group(number);
        let had = &seats.had;
        let adopts = |it: &Seat| had.iter().filter(|&&by| by == HadBy::Another(it.number)).count();
        seats.taken.sort_by_cached_key(adopts);
        for seat in &mut seats.taken {
            if let Some((_, lane)) = seat.parts.iter().find(|part| part.0 == number) {
                // It has not dropped the one of the last time.
                let mut core = orphan.lock_quietly();
                core.adopt(&orphan.outside, lane);
                orphan.count_members(&core);
            } else if self.group(seat.number).watch(orphan).is_ok() {
                let mut part = Part::new(orphan.clone());
                part.adopt();
                seat.parts.push((number, part.lane().clone()));
                seat.mail.push(Adopted { part, number });
            } else {
                continue;
            }
            seats.had[usize::from(number)] = HadBy::Another(seat.number);
            return;
        }
    }
}

/// What a waiter has besides the part in its own group.
pub(super) struct Pin {
    pins: Arc<Pins>,
    number: u8,
    adopted: Vec<Adopted>,
    /// The changes of the seats that it knows.
    known: u64,
    /// The place that was looked at first by the last wait: 0 is its own part, then those that it has adopted.
    first: usize,
    /// How many places after that next events are taken from.
    after: usize,
    /// What it took from parts that are dropped.
    left: WaiterCounters,
}

impl Pin {
    const fn new(pins: Arc<Pins>, number: u8) -> Self {
        let left = WaiterCounters::NONE;
        Self { pins, number, adopted: Vec::new(), known: 0, first: 0, after: 0, left }
    }

    fn places(&self) -> usize {
        1 + self.adopted.len()
    }

    /// The part of which the last event was, or is the next.
    fn current<'a>(&'a mut self, own: &'a mut Part) -> (&'a mut Part, u8) {
        match (self.first + self.after.min(self.adopted.len())) % self.places() {
            0 => (own, self.number),
            place => {
                let adopted = &mut self.adopted[place - 1];
                (&mut adopted.part, adopted.number)
            }
        }
    }

    pub(super) fn wait(
        &mut self,
        own: &mut Part,
        seen: Option<u64>,
        wait: Wait<'_>,
    ) -> Result<usize, WaitError> {
        check(&wait)?;
        own.group().check_process().map_err(|WrongThread| WaitError::WrongThread)?;
        own.let_go();
        self.adopted.iter_mut().for_each(|it| it.part.let_go());
        let wait = wait.with_a_fixed_end();
        let mut is_called = false;
        loop {
            self.look_at_the_seats(own);
            // Before it is asked whether anything has come: what comes after is after this.
            let own_seen = own.group().position();
            is_called |= seen.is_some_and(|seen| self.pins.position() != seen);
            if self.adopted.is_empty() && !is_called {
                (self.first, self.after) = (0, 0);
                let count = own.wait(seen.map(|_| own_seen), wait)?;
                if !own.was_told() || count >= wait.at_least.max(1) {
                    return Ok(count);
                }
                // Something was adopted meanwhile.
                is_called |= own.was_woken();
                continue;
            }
            let (count, of_own) = self.look(own, wait, &mut is_called)?;
            if count >= wait.at_least.max(1) || is_called || wait.at_least == 0 || wait.is_over() {
                if self.adopted.iter().any(|it| it.part.has_claimed()) {
                    own.show();
                }
                return Ok(count);
            }
            let needs = wait.at_least.max(1) - (count - of_own);
            let slept = own.wait(seen.map(|_| own_seen), wait.at_least(needs));
            is_called |= own.was_woken();
            match slept {
                // What others left is there.
                Err(WaitError::Interrupted) if count > of_own => is_called = true,
                slept => _ = slept?,
            }
        }
    }

    /// Looks at all parts, each first in its turn; how many events there are, and how many of its own.
    fn look(
        &mut self,
        own: &mut Part,
        wait: Wait<'_>,
        is_called: &mut bool,
    ) -> Result<(usize, usize), WaitError> {
        let (mut count, mut of_own) = (0, 0);
        (self.first, self.after) = ((self.first + 1) % self.places(), 0);
        for place in 0..self.places() {
            self.after = place;
            let is_own = (self.first + place).is_multiple_of(self.places());
            let (part, _) = self.current(own);
            let found = match wait.at_most - count {
                0 => part.let_nothing_out(),
                rest => part.wait(None, Wait::now().at_most(rest))?,
            };
            *is_called |= part.was_woken();
            count += found;
            of_own += if is_own { found } else { 0 };
        }
        self.after = 0;
        Ok((count, of_own))
    }

    /// Takes the parts that it was given, and drops those whose group has a waiter again.
    fn look_at_the_seats(&mut self, own: &Part) {
        let changes = self.pins.changes.load(Ordering::SeqCst);
        if changes == self.known {
            return;
        }
        let mut gone = Vec::new();
        {
            let mut seats = lock(&self.pins.seats);
            if seats.had.contains(&HadBy::Nobody) {
                self.pins.adopt_all(&mut seats);
            }
            self.known = self.pins.changes.load(Ordering::SeqCst);
            let Seats { had, taken } = &mut *seats;
            let Some(seat) = taken.iter_mut().find(|seat| seat.number == self.number) else {
                return;
            };
            self.adopted.append(&mut seat.mail);
            let is_gone =
                |it: &mut Adopted| had[usize::from(it.number)] != HadBy::Another(self.number);
            for adopted in self.adopted.extract_if(.., is_gone) {
                seat.parts.retain(|part| part.0 != adopted.number);
                own.group().watch_no_more(adopted.part.group());
                gone.push(adopted);
            }
        }
        // Without the lock, as they may let go of what is the program's.
        for adopted in gone {
            self.left.add(adopted.part.counters());
        }
    }

    pub(super) fn next_event(&mut self, own: &mut Part) -> Option<Event> {
        while self.after < self.places() {
            let (part, number) = self.current(own);
            if let Some(event) = part.next_event() {
                return Some(Event { key: marked(number, event.key), ..event });
            }
            self.after += 1;
        }
        None
    }

    pub(super) fn take_spent(&mut self, own: &mut Part) -> Option<Removed> {
        self.current(own).0.take_spent()
    }

    pub(super) fn release(&mut self, own: &mut Part, event: Event) -> Result<(), Event> {
        let key = event.key;
        let (part, number) = self.current(own);
        if number_of(key) != usize::from(number) {
            return Err(event);
        }
        let released = part.release(Event { key: unmarked(key), ..event });
        released.map_err(|event| Event { key, ..event })
    }

    pub(super) fn counters(&self, own: &Part) -> WaiterCounters {
        let mut sum = own.counters();
        sum.add(self.left);
        self.adopted.iter().for_each(|it| sum.add(it.part.counters()));
        sum
    }

    /// The registration whose event was taken last.
    pub(super) fn held(&self, own: &Part) -> Option<Key> {
        let adopted = self.adopted.iter().map(|it| (it.number, &it.part));
        let mut all = std::iter::once((self.number, own)).chain(adopted);
        all.find_map(|(number, part)| Some(marked(number, part.held()?)))
    }

    pub(super) fn register(
        &self,
        source: Source,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        self.pins.register_at(self.number, source, token, mode)
    }

    pub(super) fn start(&self, operation: Operation, token: Token) -> Result<Key, StartError> {
        self.pins.start(operation, token, Some(self.number))
    }

    pub(super) fn queue(&self) -> SharedQueue {
        SharedQueue { first: self.pins.group(0).clone(), pins: Some(self.pins.clone()) }
    }

    /// The waiter goes: what it had is another's.
    pub(super) fn leave(&mut self) {
        let own = self.pins.group(self.number);
        let mut gone = std::mem::take(&mut self.adopted);
        let mut seats = lock(&self.pins.seats);
        if let Some(at) = seats.taken.iter().position(|seat| seat.number == self.number) {
            gone.append(&mut seats.taken.swap_remove(at).mail);
        }
        // Whoever takes over this group does not watch them.
        gone.iter().for_each(|it| own.watch_no_more(it.part.group()));
        let its = |by: &HadBy| *by == HadBy::Another(self.number);
        seats.had.iter_mut().filter(|by| its(by)).for_each(|by| *by = HadBy::Nobody);
        seats.had[usize::from(self.number)] = HadBy::Nobody;
        self.pins.adopt_all(&mut seats);
        drop(seats);
        // Without the lock, as they may let go of what is the program's.
        drop(gone);
    }
}

/// Wakes all groups to look for a buffer.
pub(super) struct Rooms(pub(super) Weak<Pins>);

impl std::task::Wake for Rooms {
    fn wake(self: Arc<Self>) {
        if let Some(pins) = self.0.upgrade() {
            pins.groups().for_each(|group| group.room_waker.wake_by_ref());
        }
    }
}
