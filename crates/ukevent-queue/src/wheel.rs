//! The timer wheel: deadlines of many timers, in constant time each.
//!
//! Hierarchical (Varghese and Lauck, 1987): eight levels of 64 lists. A list of level 0 holds the
//! timers of one tick, a list of level *n* those of 64^n ticks; when time reaches a list of a higher
//! level, its timers move down. The level follows from the highest bit in which the deadline differs
//! from the time that was reached, so that every list of a level lies after every list below it: the
//! first list of the lowest level in use is the next one due.
//!
//! A timer is a node of sixteen bytes at the index of its slot; a list is an array of such indexes, and
//! a node knows its place in it. Arrays rather than links: with a million timers every step is a cache
//! miss, and steps that do not wait for each other cost a tenth of those that do. Timers never fire
//! early and at most one tick late.

/// Nanoseconds of a tick, as a power of two: 16.4 µs.
const TICK_SHIFT: u32 = 14;
const LEVELS: usize = 8;
const LISTS_SHIFT: u32 = 6;
const LISTS: usize = 1 << LISTS_SHIFT;
/// The list of timers that were due already when they were added.
const OVERDUE: usize = LEVELS * LISTS;
/// The furthest tick that the levels reach: 146 years from when the wheel was made.
const LAST_TICK: u64 = (1 << (LISTS_SHIFT * LEVELS as u32)) - 1;

/// Indexes for which an emptied list keeps its memory.
const KEPT_INDEXES: usize = 4096;

/// The list of a node that is in none.
const NOWHERE: u16 = u16::MAX;

#[derive(Clone, Copy)]
struct Node {
    tick: u64,
    /// Where in its list.
    place: u32,
    list: u16,
}

const LOOSE: Node = Node { tick: 0, place: 0, list: NOWHERE };

/// Deadlines by slot index.
pub(crate) struct Wheel {
    nodes: Vec<Node>,
    /// The lists of level 0, of level 1, …, and that of the overdue.
    lists: Vec<Vec<u32>>,
    /// One bit for each list of a level that is not empty.
    occupied: [u64; LEVELS],
    /// The time of tick 0.
    origin_ns: u64,
    /// The first tick whose timers were not taken yet. Every node of a level shares with it all bits
    /// above that level, and no list of a level above 0 begins at or before it.
    reached: u64,
    live: usize,
    /// A time before which nothing is due, in ticks; `None` if it must be found anew.
    earliest: Option<u64>,
}

impl Wheel {
    pub(crate) fn new(now_ns: u64) -> Self {
        Self {
            nodes: Vec::new(),
            lists: vec![Vec::new(); OVERDUE + 1],
            occupied: [0; LEVELS],
            origin_ns: now_ns,
            reached: 0,
            live: 0,
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

    /// Adds the timer of slot `index`, which must not be in the wheel.
    #[inline]
    pub(crate) fn add(&mut self, index: u32, deadline_ns: u64) {
        let tick = deadline_ns.saturating_sub(self.origin_ns).div_ceil(1 << TICK_SHIFT);
        if index as usize >= self.nodes.len() {
            self.nodes.resize((index as usize + 1).next_power_of_two(), LOOSE);
        }
        self.live += 1;
        if let Some(earliest) = &mut self.earliest {
            *earliest = (*earliest).min(tick);
        }
        self.link(index, tick);
    }

    /// Removes the timer of slot `index`; false if it is not in the wheel.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) -> bool {
        let Some(&node) = self.nodes.get(index as usize) else { return false };
        if node.list == NOWHERE {
            return false;
        }
        self.nodes[index as usize].list = NOWHERE;
        self.unlink(node);
        self.live -= 1;
        // `earliest` stays: too early costs one look, and the common timer is cancelled.
        if self.live == 0 {
            self.earliest = Some(u64::MAX);
        }
        true
    }

    /// A time at which the wheel should be advanced: that of the next timer, or a little before if
    /// it is far away. `None` if there is no timer.
    #[inline]
    pub(crate) fn next_ns(&mut self) -> Option<u64> {
        if self.live == 0 {
            return None;
        }
        let tick = match self.earliest {
            Some(tick) => tick,
            None => {
                let tick = self.find_earliest();
                self.earliest = Some(tick);
                tick
            }
        };
        Some(self.time_of(tick))
    }

    /// Takes out every timer that is due at `now_ns`, in the order of their ticks, and calls `fire`
    /// with its index.
    pub(crate) fn advance(&mut self, now_ns: u64, mut fire: impl FnMut(u32)) {
        let now = (now_ns.saturating_sub(self.origin_ns) >> TICK_SHIFT).min(LAST_TICK);
        if self.earliest.is_some_and(|earliest| earliest > now) {
            return;
        }
        self.earliest = None;
        self.fire_list(OVERDUE, &mut fire);
        while let Some((level, list, start)) = self.first_list() {
            if level == 0 {
                if start > now {
                    break;
                }
                self.occupied[0] &= !(1 << list);
                self.fire_list(list, &mut fire);
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
    pub(crate) fn rebuild(&mut self, now_ns: u64, mut deadline_ns: impl FnMut(u32) -> u64) {
        let indexes: Vec<u32> = (0..self.nodes.len() as u32)
            .filter(|&index| self.nodes[index as usize].list != NOWHERE)
            .collect();
        for &index in &indexes {
            self.remove(index);
        }
        self.origin_ns = now_ns;
        self.reached = 0;
        for &index in &indexes {
            self.add(index, deadline_ns(index));
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

    fn find_earliest(&self) -> u64 {
        if !self.lists[OVERDUE].is_empty() {
            return 0;
        }
        let Some((level, list, start)) = self.first_list() else { return u64::MAX };
        let indexes = &self.lists[level * LISTS + list];
        if level == 0 || indexes.len() > 16 {
            return start;
        }
        // A short list is looked through: a lone timer far away then wakes nobody on its way down.
        let ticks = indexes.iter().map(|&index| self.nodes[index as usize].tick);
        ticks.min().unwrap_or(start)
    }

    #[inline]
    fn link(&mut self, index: u32, tick: u64) {
        let tick_in_reach = tick.min(LAST_TICK);
        let list = if tick_in_reach < self.reached {
            OVERDUE
        } else {
            let differing = (tick_in_reach ^ self.reached) | (LISTS as u64 - 1);
            let level = ((63 - differing.leading_zeros()) / LISTS_SHIFT) as usize;
            let place = (tick_in_reach >> (LISTS_SHIFT * level as u32)) as usize % LISTS;
            self.occupied[level] |= 1 << place;
            level * LISTS + place
        };
        let indexes = &mut self.lists[list];
        let place = indexes.len() as u32;
        self.nodes[index as usize] = Node { tick, place, list: list as u16 };
        indexes.push(index);
    }

    #[inline]
    fn unlink(&mut self, node: Node) {
        let list = usize::from(node.list);
        let indexes = &mut self.lists[list];
        indexes.swap_remove(node.place as usize);
        if let Some(&moved) = indexes.get(node.place as usize) {
            self.nodes[moved as usize].place = node.place;
        } else if indexes.is_empty() && list != OVERDUE {
            self.occupied[list / LISTS] &= !(1 << (list % LISTS));
        }
    }

    fn fire_list(&mut self, list: usize, fire: &mut impl FnMut(u32)) {
        let mut indexes = std::mem::take(&mut self.lists[list]);
        self.live -= indexes.len();
        for &index in &indexes {
            self.nodes[index as usize].list = NOWHERE;
            fire(index);
        }
        indexes.clear();
        self.keep(list, indexes);
    }

    fn move_down(&mut self, level: usize, list: usize) {
        self.occupied[level] &= !(1 << list);
        let list = level * LISTS + list;
        let mut indexes = std::mem::take(&mut self.lists[list]);
        for &index in &indexes {
            let tick = self.nodes[index as usize].tick;
            self.link(index, tick);
        }
        indexes.clear();
        self.keep(list, indexes);
    }

    /// Keeps the memory of a list that was taken, unless it is large.
    fn keep(&mut self, list: usize, indexes: Vec<u32>) {
        if indexes.capacity() <= KEPT_INDEXES {
            self.lists[list] = indexes;
        }
    }
}

#[cfg(test)]
mod tests;
