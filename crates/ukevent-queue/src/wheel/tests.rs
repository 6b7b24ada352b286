//! The wheel against a sorted list, by seed.

use super::{TICK_SHIFT, Wheel};
use std::collections::BTreeMap;

const TICK_NS: u64 = 1 << TICK_SHIFT;

fn fired(wheel: &mut Wheel, now_ns: u64) -> Vec<u32> {
    let mut indexes = Vec::new();
    wheel.advance(now_ns, |index| indexes.push(index));
    indexes
}

#[test]
fn a_timer_fires_at_its_time_and_not_before() {
    let mut wheel = Wheel::new(0);
    wheel.add(3, 1_000_000);
    assert_eq!(fired(&mut wheel, 999_999), []);
    let next = wheel.next_ns().expect("one timer");
    assert!((1_000_000..1_000_000 + TICK_NS).contains(&next));
    assert_eq!(fired(&mut wheel, next), [3]);
    assert!(wheel.is_empty());
    assert_eq!(wheel.next_ns(), None);
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let mut wheel = Wheel::new(50 * TICK_NS);
    assert_eq!(fired(&mut wheel, 60 * TICK_NS), []);
    wheel.add(1, 0);
    wheel.add(2, 60 * TICK_NS);
    assert!(wheel.next_ns().is_some_and(|next| next <= 60 * TICK_NS));
    let mut both = fired(&mut wheel, 60 * TICK_NS);
    both.sort_unstable();
    assert_eq!(both, [1, 2]);
}

#[test]
fn a_removed_timer_never_fires() {
    let mut wheel = Wheel::new(0);
    for index in 0..10 {
        wheel.add(index, 5 * TICK_NS);
    }
    for index in [0, 9, 4] {
        assert!(wheel.remove(index));
        assert!(!wheel.remove(index));
    }
    assert!(!wheel.remove(1_000_000), "an index that never had a timer");
    let mut rest = fired(&mut wheel, u64::MAX >> 1);
    rest.sort_unstable();
    assert_eq!(rest, [1, 2, 3, 5, 6, 7, 8]);
}

#[test]
fn a_lone_far_timer_wakes_nobody_on_its_way() {
    let mut wheel = Wheel::new(123_456_789);
    let deadline = 123_456_789 + 3_600_000_000_000;
    wheel.add(0, deadline);
    assert_eq!(fired(&mut wheel, 200_000_000), []);
    let next = wheel.next_ns().expect("one timer");
    assert!(next >= deadline && next < deadline + TICK_NS);
}

#[test]
fn rebuilding_follows_a_clock_set_back() {
    let mut wheel = Wheel::new(1 << 50);
    wheel.add(7, (1 << 50) + 10 * TICK_NS);
    wheel.rebuild(1 << 40, |_| (1 << 50) + 10 * TICK_NS);
    assert_eq!(fired(&mut wheel, 1 << 50), []);
    assert_eq!(fired(&mut wheel, (1 << 50) + 10 * TICK_NS), [7]);
}

/// Random adds, removes and steps of time, from ticks to decades, against a sorted list.
#[test]
fn the_wheel_is_a_sorted_list() {
    for seed in 0..400_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut now = random.below(1 << 52);
        let mut wheel = Wheel::new(now);
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
                    assert_eq!(wheel.remove(index), model.remove(&index).is_some(), "seed {seed}");
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
            assert_eq!(wheel.is_empty(), model.is_empty(), "seed {seed}");
        }
    }
}

fn check_step(wheel: &mut Wheel, model: &mut BTreeMap<u32, u64>, now: u64, seed: u64) {
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
