//! Pinned waiters: a group for each, and what becomes of one whose waiter is gone.
//!
//! A key says which group it is of: its number stands above the 24 bits of the slot. All calls of the queue find the
//! group by it, and take the number off; on events it is put back.
//!
//! A group without its waiter is *adopted*: another waiter gets a part in it, which is nested in that waiter's own
//! group, so that it wakes there ([`Seats`] says who sits where). The next waiter that comes takes the group over,
//! and who had adopted it leaves it.

use super::group::Group;
use super::part::Part;
use super::{SharedBuilder, SharedCounters, SharedQueue, Waiter};
use crate::error::{BuildError, RegisterError, WaitError};
use crate::event::Event;
use crate::key::{Key, Token};
use crate::mode::Mode;
use crate::operation::{Operation, StartError, StartRefusal};
use crate::primitive::{AtomicU32, Mutex, Ordering, lock};
use crate::source::Source;
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
    /// Parts that lie in a seat and were not taken.
    mail: AtomicU32,
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
    /// Parts that it is to take.
    mail: Vec<Adopted>,
}

/// A part in the group of a waiter that is gone.
struct Adopted {
    part: Part,
    number: u8,
    /// What watches it, in the own group of whoever has it.
    key: Key,
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
            mail: AtomicU32::new(0),
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

    /// The same counters as of a queue whose waiters all have one group: what adopted groups take is not told.
    pub(super) fn counters(&self, mut sum: SharedCounters) -> SharedCounters {
        let watches: usize = self.groups().map(|group| group.watches()).sum();
        sum.waiters = lock(&self.seats).taken.len();
        sum.asleep = sum.asleep.saturating_sub(watches);
        sum.queue.registered = sum.queue.registered.saturating_sub(watches as u64);
        sum
    }

    // Who waits.

    /// A waiter comes: to a group that has lost its own, or to a new one.
    pub(super) fn join(self: &Arc<Self>) -> Result<Waiter, WaitError> {
        let mut seats = lock(&self.seats);
        let number = match seats.had.iter().position(|&had| had != HadBy::ItsWaiter) {
            Some(number) => number,
            None => self.add_group(&mut seats)?,
        };
        seats.had[number] = HadBy::ItsWaiter;
        let number = number as u8;
        let part = Part::new(self.group(number).clone());
        seats.taken.push(Seat { number, mail: Vec::new() });
        // If it is the first one, the others are nobody's.
        for orphan in 0..seats.had.len() {
            if seats.had[orphan] == HadBy::Nobody {
                self.adopt(&mut seats, orphan as u8);
            }
        }
        drop(seats);
        let pin = Pin { pins: self.clone(), number, adopted: Vec::new(), source: None };
        Ok(Waiter::new(part, Some(Box::new(pin))))
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

    /// Gives somebody a part in a group whose waiter is gone: who has fewest of them. If nobody can take it, for want
    /// of memory or of room for a registration, it is left to the next waiter that comes.
    fn adopt(&self, seats: &mut Seats, number: u8) {
        seats.had[usize::from(number)] = HadBy::Nobody;
        let orphan = self.group(number);
        let had = &seats.had;
        let adopts = |it: &Seat| had.iter().filter(|&&by| by == HadBy::Another(it.number)).count();
        seats.taken.sort_by_cached_key(adopts);
        for seat in &mut seats.taken {
            // Before its waiter can be woken by it.
            self.mail.fetch_add(1, Ordering::SeqCst);
            if let Ok(key) = self.group(seat.number).watch(orphan) {
                let mut part = Part::new(orphan.clone());
                part.nest();
                seat.mail.push(Adopted { part, number, key });
                seats.had[usize::from(number)] = HadBy::Another(seat.number);
                return;
            }
            self.mail.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Takes the parts that lie in a seat.
    fn take_mail(&self, seat: &mut Seat) -> Vec<Adopted> {
        self.mail.fetch_sub(seat.mail.len() as u32, Ordering::SeqCst);
        std::mem::take(&mut seat.mail)
    }
}

/// What a waiter has besides the part in its own group.
pub(super) struct Pin {
    pins: Arc<Pins>,
    number: u8,
    adopted: Vec<Adopted>,
    /// Which of those the last event is of; of none, if it is of its own.
    source: Option<usize>,
}

impl Pin {
    /// Before a wait: lets go, and leaves the groups that have a waiter again.
    pub(super) fn begin(&mut self, own: &Part) {
        if let Some(at) = self.source.take() {
            self.adopted[at].part.let_go();
        }
        self.look_for_mail();
        if self.adopted.is_empty() {
            return;
        }
        let kept = {
            let seats = lock(&self.pins.seats);
            let is_kept =
                |it: &Adopted| seats.had[usize::from(it.number)] == HadBy::Another(self.number);
            self.adopted.iter().map(is_kept).collect::<Vec<_>>()
        };
        let mut kept = kept.into_iter();
        for gone in self.adopted.extract_if(.., |_| kept.next() == Some(false)) {
            own.group().watch_no_more(gone.key);
        }
    }

    fn look_for_mail(&mut self) {
        if self.pins.mail.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut seats = lock(&self.pins.seats);
        if let Some(seat) = seats.taken.iter_mut().find(|seat| seat.number == self.number) {
            self.adopted.append(&mut self.pins.take_mail(seat));
        }
    }

    pub(super) fn next_event(&mut self, own: &mut Part) -> Option<Event> {
        loop {
            let from = self.source;
            let part = self.source(own);
            let Some(event) = part.next_event() else {
                self.source = None;
                from?;
                continue;
            };
            if !part.group().is_watch(event.key) {
                let number = from.map_or(self.number, |at| self.adopted[at].number);
                return Some(Event { key: marked(number, event.key), ..event });
            }
            self.look_for_mail();
            let at = self.adopted.iter().position(|it| it.key == event.key);
            match at.filter(|_| from.is_none()) {
                Some(at) => {
                    // What it fails with, it fails with again: it is still readable.
                    let found = self.adopted[at].part.wait(None, Wait::now());
                    self.source = found.is_ok_and(|found| found > 0).then_some(at);
                }
                None => {
                    // It is for the new waiter of a group that this one has not left yet. If that is gone, too, it
                    // is void.
                    let _ = self.source(own).release(event);
                }
            }
        }
    }

    /// The part that the last event is of.
    pub(super) fn source<'a>(&'a mut self, own: &'a mut Part) -> &'a mut Part {
        match self.source {
            Some(at) => &mut self.adopted[at].part,
            None => own,
        }
    }

    pub(super) fn release(&mut self, own: &mut Part, event: Event) -> Result<(), Event> {
        let key = event.key;
        let number = self.source.map_or(self.number, |at| self.adopted[at].number);
        if number_of(key) != usize::from(number) {
            return Err(event);
        }
        let released = self.source(own).release(Event { key: unmarked(key), ..event });
        released.map_err(|event| Event { key, ..event })
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

    pub(super) fn position(&self) -> u64 {
        self.pins.position()
    }

    pub(super) fn queue(&self) -> SharedQueue {
        SharedQueue { first: self.pins.group(0).clone(), pins: Some(self.pins.clone()) }
    }

    /// The waiter goes: what it had is another's.
    pub(super) fn leave(&mut self) {
        let own = self.pins.group(self.number);
        let mut gone = Vec::new();
        let mut seats = loop {
            // Whoever takes over this group does not watch them. Not under the lock, as what the queue lets go of
            // meanwhile may be the program's.
            for adopted in self.adopted.drain(..) {
                own.watch_no_more(adopted.key);
                gone.push(adopted);
            }
            let mut seats = lock(&self.pins.seats);
            let Some(at) = seats.taken.iter().position(|seat| seat.number == self.number) else {
                return;
            };
            if seats.taken[at].mail.is_empty() {
                seats.taken.swap_remove(at);
                break seats;
            }
            self.adopted = self.pins.take_mail(&mut seats.taken[at]);
        };
        let numbers: Vec<u8> = gone.iter().map(|it| it.number).chain([self.number]).collect();
        let was_its = |number: u8, had: &[HadBy]| {
            number == self.number || had[usize::from(number)] == HadBy::Another(self.number)
        };
        for number in numbers {
            if was_its(number, &seats.had) {
                self.pins.adopt(&mut seats, number);
            }
        }
        drop(seats);
        // They may let go of what is the program's, too.
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
