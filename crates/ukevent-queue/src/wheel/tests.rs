//! The wheel against a sorted list, by seed.

use super::{DEAD_AT_LEAST, Owners, TICK_SHIFT, Wheel};
use std::collections::BTreeMap;

const TICK_NS: u64 = 1 << TICK_SHIFT;

/// The tickets of the slots.
#[derive(Default)]
struct Tickets(Vec<u32>);

impl Tickets {
    fn next(&mut self, index: u32) -> u32 {
        let index = index as usize;
        self.0.resize(self.0.len().max(index + 1), 0);
        self.0[index] += 1;
        self.0[index]
    }
}

impl Owners for Tickets {
    fn stands(&self, index: u32, ticket: u32) -> bool {
        self.0.get(index as usize) == Some(&ticket)
    }

    fn expect(&self, _index: u32) {}

    fn fired(&mut self, _index: u32) {}
}

/// A wheel and the slots of its timers.
struct Kept {
    wheel: Wheel,
    tickets: Tickets,
}

impl Kept {
    fn new(now_ns: u64) -> Self {
        Self { wheel: Wheel::new(now_ns), tickets: Tickets::default() }
    }

    fn add(&mut self, index: u32, deadline_ns: u64) {
        let ticket = self.tickets.next(index);
        self.wheel.add(index, ticket, deadline_ns);
    }

    fn cancel(&mut self, index: u32) {
        self.tickets.next(index);
        self.wheel.cancelled(&self.tickets);
    }

    fn next_ns(&mut self) -> Option<u64> {
        self.wheel.next_ns(&self.tickets)
    }

    fn advance(&mut self, now_ns: u64, mut fire: impl FnMut(u32)) {
        self.wheel.advance(now_ns, &mut self.tickets, |index, _| fire(index));
    }

    fn fired(&mut self, now_ns: u64) -> Vec<u32> {
        let mut indexes = Vec::new();
        self.advance(now_ns, |index| indexes.push(index));
        indexes
    }

    fn entries(&self) -> usize {
        self.wheel.lists.iter().map(Vec::len).sum()
    }
}

#[test]
fn a_timer_fires_at_its_time_and_not_before() {
    let mut wheel = Kept::new(0);
    wheel.add(3, 1_000_000);
    assert_eq!(wheel.fired(999_999), []);
    let next = wheel.next_ns().expect("one timer");
    assert!((1_000_000..1_000_000 + TICK_NS).contains(&next));
    assert_eq!(wheel.fired(next), [3]);
    assert!(wheel.wheel.is_empty());
    assert_eq!(wheel.next_ns(), None);
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let mut wheel = Kept::new(50 * TICK_NS);
    assert_eq!(wheel.fired(60 * TICK_NS), []);
    wheel.add(1, 0);
    wheel.add(2, 60 * TICK_NS);
    assert!(wheel.next_ns().is_some_and(|next| next <= 60 * TICK_NS));
    let mut both = wheel.fired(60 * TICK_NS);
    both.sort_unstable();
    assert_eq!(both, [1, 2]);
}

#[test]
fn a_removed_timer_never_fires() {
    let mut wheel = Kept::new(0);
    for index in 0..10 {
        wheel.add(index, 5 * TICK_NS);
    }
    for index in [0, 9, 4] {
        wheel.cancel(index);
    }
    let mut rest = wheel.fired(u64::MAX >> 1);
    rest.sort_unstable();
    assert_eq!(rest, [1, 2, 3, 5, 6, 7, 8]);
}

#[test]
fn a_lone_far_timer_wakes_nobody_on_its_way() {
    let mut wheel = Kept::new(123_456_789);
    let deadline = 123_456_789 + 3_600_000_000_000;
    wheel.add(0, deadline);
    assert_eq!(wheel.fired(200_000_000), []);
    let next = wheel.next_ns().expect("one timer");
    assert!(next >= deadline && next < deadline + TICK_NS);
}

#[test]
fn rebuilding_follows_a_clock_set_back() {
    let mut wheel = Kept::new(1 << 50);
    wheel.add(7, (1 << 50) + 10 * TICK_NS);
    wheel.add(8, (1 << 50) + 10 * TICK_NS);
    wheel.cancel(8);
    wheel.wheel.rebuild(1 << 40, &wheel.tickets, |_| (1 << 50) + 10 * TICK_NS);
    assert_eq!(wheel.entries(), 1);
    assert_eq!(wheel.fired(1 << 50), []);
    assert_eq!(wheel.fired((1 << 50) + 10 * TICK_NS), [7]);
}

/// What was cancelled wakes nobody: the time of the next timer is that of one that stands.
#[test]
fn the_dead_are_passed_over() {
    for dead in [1, 3, 100] {
        let mut wheel = Kept::new(0);
        for index in 0..dead {
            wheel.add(index, (1 + u64::from(index) % 5) * 3 * TICK_NS);
        }
        wheel.add(dead, 1000 * TICK_NS);
        (0..dead).for_each(|index| wheel.cancel(index));
        // The first look may be too early.
        assert_eq!(wheel.fired(TICK_NS * 3), []);
        let next = wheel.next_ns().expect("one timer");
        assert!(next > 15 * TICK_NS, "{dead}: {next}");
        assert_eq!(wheel.fired(1000 * TICK_NS), [dead]);
    }
}

/// A time-out that is put off again and again leaves no more than a bound.
#[test]
fn the_dead_take_bounded_memory() {
    let mut wheel = Kept::new(0);
    let live = 1000_u32;
    (0..live).for_each(|index| wheel.add(index, u64::from(index) << 30));
    for turn in 0..100_u64 {
        for index in 0..live {
            wheel.cancel(index);
            wheel.add(index, (turn + u64::from(index)) << 30);
        }
        assert!(wheel.entries() <= 5 * live as usize + DEAD_AT_LEAST + 1, "{}", wheel.entries());
    }
    assert_eq!(wheel.fired(u64::MAX >> 1).len(), live as usize);
    assert_eq!(wheel.entries(), 0);
    assert_eq!(wheel.wheel.dead, 0);
}

/// Random adds, removes and steps of time, from ticks to decades, against a sorted list.
#[test]
fn the_wheel_is_a_sorted_list() {
    for seed in 0..400_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut now = random.below(1 << 52);
        let mut wheel = Kept::new(now);
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        for _ in 0..400 {
            match random.below(5) {
                0..=1 => {
                    let index = random.below(64) as u32;
                    if let std::collections::btree_map::Entry::Vacant(entry) = model.entry(index) {
                        let span = 1 << random.below(55);
                        let deadline =
                            (now + random.below(span)).saturating_sub(random.below(1000));
                        wheel.add(index, deadline);
                        entry.insert(deadline);
                    }
                }
                2 => {
                    let index = random.below(64) as u32;
                    if model.remove(&index).is_some() {
                        wheel.cancel(index);
                    }
                }
                3 => {
                    let span = 1 << random.below(54);
                    now += random.below(span);
                    check_step(&mut wheel, &mut model, now, seed);
                }
                _ => {
                    // To the very time the wheel asks for: something must have come nearer.
                    if let Some(next) = wheel.next_ns() {
                        now = now.max(next);
                        check_step(&mut wheel, &mut model, now, seed);
                    }
                }
            }
            if let Some(next) = wheel.next_ns() {
                let earliest = model.values().min().expect("the wheel says there is one");
                assert!(next < earliest.saturating_add(TICK_NS).max(now + 1), "seed {seed}: late");
            }
            assert_eq!(wheel.wheel.is_empty(), model.is_empty(), "seed {seed}");
        }
    }
}

fn check_step(wheel: &mut Kept, model: &mut BTreeMap<u32, u64>, now: u64, seed: u64) {
    let mut last_tick = 0;
    wheel.advance(now, |index| {
        let deadline = model.remove(&index).expect("fires what was added, once");
        assert!(deadline <= now, "seed {seed}: early by {}", deadline - now);
        let tick = deadline >> TICK_SHIFT;
        assert!(tick + 1 >= last_tick, "seed {seed}: out of order");
        last_tick = tick;
    });
    for deadline in model.values() {
        assert!(deadline + TICK_NS > now, "seed {seed}: late by {}", now - deadline);
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}
