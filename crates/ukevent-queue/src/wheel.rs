//! The timer wheel: deadlines of many timers, in constant time each.
//!
//! Hierarchical (Varghese and Lauck, 1987): eight levels of 64 lists. A list of level 0 holds the
//! timers of one tick, a list of level *n* those of 64^n ticks; when time reaches a list of a higher
//! level, its timers move down. The level follows from the highest bit in which the deadline differs
//! from the time that was reached, so that every list of a level lies after every list below it: the
//! first list of the lowest level in use is the next one due.
//!
//! With a million timers what costs is the memory that one touches, not the steps. So a list is an
//! array of entries that are never looked for: whoever cancels a timer changes its ticket, which the
//! slot keeps anyway, and only counts; the entry is dropped where it is met, or in a sweep once most
//! entries are dead. Those who read along a list say ahead which slots they will ask for. Timers
//! never fire early and at most one tick late.

/// Nanoseconds of a tick, as a power of two: 16.4 µs.
const TICK_SHIFT: u32 = 14;
const LEVELS: usize = 8;
const LISTS_SHIFT: u32 = 6;
const LISTS: usize = 1 << LISTS_SHIFT;
/// The list of timers that were due already when they were added.
const OVERDUE: usize = LEVELS * LISTS;
/// The furthest tick that the levels reach: 146 years from when the wheel was made.
const LAST_TICK: u64 = (1 << (LISTS_SHIFT * LEVELS as u32)) - 1;

/// Entries for which an emptied list keeps its memory.
const KEPT_ENTRIES: usize = 1024;
/// Dead entries that are never worth a sweep.
const DEAD_AT_LEAST: usize = 16 * 1024;
/// How far ahead of its reading a slot is announced.
const AHEAD: usize = 8;

/// Who the timers belong to: slots, each with the ticket of its last arming.
pub(crate) trait Owners {
    /// Whether the slot's last arming is this one.
    fn stands(&self, index: u32, ticket: u32) -> bool;

    /// Soon that will be asked of this slot.
    fn expect(&self, index: u32);

    /// Its timer has fired: it is in the wheel no more, and must not be cancelled.
    fn fired(&mut self, index: u32);
}

#[derive(Clone, Copy)]
struct Entry {
    tick: u64,
    index: u32,
    ticket: u32,
}

/// Deadlines of slots.
pub(crate) struct Wheel {
    /// The lists of level 0, of level 1, …, and that of the overdue.
    lists: Vec<Vec<Entry>>,
    /// One bit for each list of a level that is not empty.
    occupied: [u64; LEVELS],
    /// The time of tick 0.
    origin_ns: u64,
    /// The first tick whose timers were not taken yet. Every entry of a level shares with it all bits
    /// above that level, and no list of a level above 0 begins at or before it.
    reached: u64,
    live: usize,
    /// Entries of timers that were cancelled.
    dead: usize,
    /// A time before which nothing is due, in ticks; `None` if it must be found anew.
    earliest: Option<u64>,
}

impl Wheel {
    pub(crate) fn new(now_ns: u64) -> Self {
        Self {
            lists: vec![Vec::new(); OVERDUE + 1],
            occupied: [0; LEVELS],
            origin_ns: now_ns,
            reached: 0,
            live: 0,
            dead: 0,
            earliest: Some(u64::MAX),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Everything due before this time was taken: a clock that shows less was set back.
    pub(crate) const fn taken_ns(&self) -> u64 {
        self.time_of(self.reached.saturating_sub(1))
    }

    const fn time_of(&self, tick: u64) -> u64 {
        self.origin_ns.saturating_add(tick.saturating_mul(1 << TICK_SHIFT))
    }

    /// Adds a timer of slot `index`, whose ticket is this one until it fires or is cancelled.
    #[inline]
    pub(crate) fn add(&mut self, index: u32, ticket: u32, deadline_ns: u64) {
        let tick = deadline_ns.saturating_sub(self.origin_ns).div_ceil(1 << TICK_SHIFT);
        self.live += 1;
        if let Some(earliest) = &mut self.earliest {
            *earliest = (*earliest).min(tick);
        }
        self.put(Entry { tick, index, ticket });
    }

    /// A timer that was added and did not fire has lost its ticket: it never will.
    #[inline]
    pub(crate) fn cancelled(&mut self, owners: &impl Owners) {
        self.live -= 1;
        self.dead += 1;
        // `earliest` stays: too early costs one look, and the common timer is cancelled.
        if self.live == 0 {
            self.earliest = Some(u64::MAX);
        }
        if self.dead > 4 * self.live + DEAD_AT_LEAST {
            self.sweep(owners);
        }
    }

    /// A time at which the wheel should be advanced: that of the next timer, or a little before if
    /// it is far away. `None` if there is no timer.
    #[inline]
    pub(crate) fn next_ns(&mut self, owners: &impl Owners) -> Option<u64> {
        if self.live == 0 {
            return None;
        }
        let tick = match self.earliest {
            Some(tick) => tick,
            None => {
                let tick = self.find_earliest(owners);
                self.earliest = Some(tick);
                tick
            }
        };
        Some(self.time_of(tick))
    }

    /// Takes out every timer that is due at `now_ns`, in the order of their ticks, and calls `fire`
    /// with its index and ticket.
    pub(crate) fn advance(
        &mut self,
        now_ns: u64,
        owners: &mut impl Owners,
        mut fire: impl FnMut(u32, u32),
    ) {
        let now = (now_ns.saturating_sub(self.origin_ns) >> TICK_SHIFT).min(LAST_TICK);
        if self.earliest.is_some_and(|earliest| earliest > now) {
            return;
        }
        self.earliest = None;
        self.fire_list(OVERDUE, owners, &mut fire);
        while let Some((level, list, start)) = self.first_list() {
            if level == 0 {
                if start > now {
                    break;
                }
                self.occupied[0] &= !(1 << list);
                self.fire_list(list, owners, &mut fire);
            } else {
                // One tick ahead: level 0 must hold all of the ticks it stands for.
                if start > now + 1 {
                    break;
                }
                self.reached = self.reached.max(start);
                self.move_down(level, list);
            }
        }
        self.reached = self.reached.max(now + 1);
        if self.live == 0 {
            self.earliest = Some(u64::MAX);
        }
    }

    /// Puts every timer where it belongs at `now_ns`: for a clock that was set. `deadline_ns` says
    /// what a slot waits for.
    pub(crate) fn rebuild(
        &mut self,
        now_ns: u64,
        owners: &impl Owners,
        mut deadline_ns: impl FnMut(u32) -> u64,
    ) {
        let mut standing = Vec::with_capacity(self.live);
        for list in &mut self.lists {
            let entries = list.drain(..);
            standing.extend(entries.filter(|entry| owners.stands(entry.index, entry.ticket)));
        }
        *self = Self { lists: std::mem::take(&mut self.lists), ..Self::new(now_ns) };
        for Entry { index, ticket, .. } in standing {
            self.add(index, ticket, deadline_ns(index));
        }
    }

    /// The level, list and first tick of the next list due.
    fn first_list(&self) -> Option<(usize, usize, u64)> {
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            // By construction no list of a level lies before the one that was reached.
            let list = self.occupied[level].trailing_zeros() as usize;
            let shift = LISTS_SHIFT * level as u32;
            let above = self.reached >> shift >> LISTS_SHIFT << LISTS_SHIFT;
            return Some((level, list, (above | list as u64) << shift));
        }
        None
    }

    fn find_earliest(&mut self, owners: &impl Owners) -> u64 {
        if self.ends_alive(OVERDUE, owners) {
            return 0;
        }
        while let Some((level, list, start)) = self.first_list() {
            let place = level * LISTS + list;
            if !self.ends_alive(place, owners) {
                self.occupied[level] &= !(1 << list);
                continue;
            }
            let entries = &self.lists[place];
            if level == 0 || entries.len() > 16 {
                return start;
            }
            // A short list is looked through: a lone timer far away then wakes nobody on its way down.
            let standing = entries.iter().filter(|entry| owners.stands(entry.index, entry.ticket));
            return standing.map(|entry| entry.tick).min().unwrap_or(start);
        }
        u64::MAX
    }

    /// Whether anything alive is in a list: drops what is dead at its end.
    fn ends_alive(&mut self, list: usize, owners: &impl Owners) -> bool {
        let entries = &mut self.lists[list];
        while let Some(last) = entries.last() {
            if owners.stands(last.index, last.ticket) {
                return true;
            }
            entries.pop();
            self.dead -= 1;
        }
        false
    }

    #[inline]
    fn put(&mut self, entry: Entry) {
        let tick = entry.tick.min(LAST_TICK);
        let list = if tick < self.reached {
            OVERDUE
        } else {
            let differing = (tick ^ self.reached) | (LISTS as u64 - 1);
            let level = ((63 - differing.leading_zeros()) / LISTS_SHIFT) as usize;
            let place = (tick >> (LISTS_SHIFT * level as u32)) as usize % LISTS;
            self.occupied[level] |= 1 << place;
            level * LISTS + place
        };
        self.lists[list].push(entry);
    }

    fn fire_list(
        &mut self,
        list: usize,
        owners: &mut impl Owners,
        fire: &mut impl FnMut(u32, u32),
    ) {
        let mut entries = std::mem::take(&mut self.lists[list]);
        for (at, entry) in entries.iter().enumerate() {
            if let Some(later) = entries.get(at + AHEAD) {
                owners.expect(later.index);
            }
            if owners.stands(entry.index, entry.ticket) {
                self.live -= 1;
                owners.fired(entry.index);
                fire(entry.index, entry.ticket);
            } else {
                self.dead -= 1;
            }
        }
        entries.clear();
        self.keep(list, entries);
    }

    fn move_down(&mut self, level: usize, list: usize) {
        self.occupied[level] &= !(1 << list);
        let list = level * LISTS + list;
        let mut entries = std::mem::take(&mut self.lists[list]);
        for &entry in &entries {
            self.put(entry);
        }
        entries.clear();
        self.keep(list, entries);
    }

    /// Drops every dead entry: once for every so many cancellations, so that each pays for a few.
    #[cold]
    fn sweep(&mut self, owners: &impl Owners) {
        for (list, entries) in self.lists.iter_mut().enumerate() {
            let mut kept = 0;
            for at in 0..entries.len() {
                if let Some(later) = entries.get(at + AHEAD) {
                    owners.expect(later.index);
                }
                let entry = entries[at];
                if owners.stands(entry.index, entry.ticket) {
                    entries[kept] = entry;
                    kept += 1;
                }
            }
            entries.truncate(kept);
            entries.shrink_to(KEPT_ENTRIES.max(kept));
            if kept == 0 && list != OVERDUE {
                self.occupied[list / LISTS] &= !(1 << (list % LISTS));
            }
        }
        self.dead = 0;
    }

    /// Keeps the memory of a list that was taken, unless it is large.
    fn keep(&mut self, list: usize, entries: Vec<Entry>) {
        if entries.capacity() <= KEPT_ENTRIES {
            self.lists[list] = entries;
        }
    }
}

#[cfg(test)]
mod tests;
