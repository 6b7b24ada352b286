//! Chance that can be had again: a seed from outside or at random, and a small generator.

use std::{
    env,
    hash::{BuildHasher, RandomState},
};

/// The variable that fixes the seed.
const SEED: &str = "UKEVENT_SEED";

/// The seed of this run: `UKEVENT_SEED` (decimal, or hexadecimal with `0x`), else a random one.
///
/// Prints how to repeat the run; test runners show that line when the test fails.
///
/// # Panics
///
/// If `UKEVENT_SEED` is no number.
#[must_use]
pub fn seed() -> u64 {
    let seed = match env::var(SEED) {
        Ok(text) => parse(&text).unwrap_or_else(|| panic!("{SEED}={text:?} is no 64-bit number")),
        // The standard library's hasher carries the only randomness it gives out.
        Err(_) => RandomState::new().hash_one(0),
    };
    eprintln!("{SEED}={seed:#x} repeats this run");
    seed
}

fn parse(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A generator of pseudo-random numbers: fast, and the same for the same seed for ever. Not for
/// secrets.
///
/// It is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
///
/// ```
/// let mut dice = testkit::Rng::new(7);
/// assert!((0..100).all(|_| (1..7).contains(&dice.range(1..7))));
/// ```
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator for this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for the [`seed`] of this run.
    #[must_use]
    pub fn seeded() -> Self {
        Self::new(seed())
    }

    /// Any number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    ///
    /// If `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        // The high half of the product; its bias is below `bound` in 2^64.
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// A number of the range.
    ///
    /// # Panics
    ///
    /// If the range is empty.
    pub const fn range(&mut self, range: std::ops::Range<u64>) -> u64 {
        assert!(range.start < range.end, "the range is empty");
        range.start + self.below(range.end - range.start)
    }

    /// True once in `n` times, on average.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    pub const fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of the items.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Puts the items in any order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// Fills the bytes with any.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    /// Another generator, whose numbers have nothing to do with what this one gives from now on:
    /// one for each thread or part of a test, so that the order in which they run changes nothing.
    #[must_use]
    pub const fn fork(&mut self) -> Self {
        Self(self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::{Rng, parse, seed};

    #[test]
    fn numbers_are_those_of_the_paper() {
        // The published test vector of SplitMix64 for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        let first = [rng.next_u64(), rng.next_u64(), rng.next_u64()];
        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn bounds_hold_and_are_reached() {
        let mut rng = Rng::new(seed());
        let mut seen = [false; 5];
        for _ in 0..1_000 {
            seen[rng.below(5) as usize] = true;
            assert!((10..13).contains(&rng.range(10..13)));
        }
        assert_eq!(seen, [true; 5]);
        assert!((0..1_000).any(|_| rng.one_in(3)) && (0..1_000).any(|_| !rng.one_in(3)));
    }

    #[test]
    fn a_shuffle_keeps_the_items() {
        let mut rng = Rng::new(1);
        let sorted: Vec<u32> = (0..100).collect();
        let mut items = sorted.clone();
        rng.shuffle(&mut items);
        assert_ne!(items, sorted);
        assert!(items.contains(rng.pick(&sorted)));
        items.sort_unstable();
        assert_eq!(items, sorted);
    }

    #[test]
    fn fills_odd_lengths_the_same_again() {
        let fill = |seed| {
            let mut bytes = [0; 13];
            Rng::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(fill(3), fill(3));
        assert_ne!(fill(3), fill(4));
        assert_ne!(fill(3)[8..], [0; 5]);
    }

    #[test]
    fn forks_differ() {
        let mut rng = Rng::new(9);
        let (mut one, mut two) = (rng.fork(), rng.fork());
        assert_ne!(one.next_u64(), two.next_u64());
    }

    #[test]
    fn seeds_are_decimal_or_hexadecimal() {
        assert_eq!(parse("17"), Some(17));
        assert_eq!(parse("0xff"), Some(255));
        assert_eq!(parse("ff"), None);
        assert_eq!(parse(""), None);
    }
}
