//! Random numbers that are the same in every run.

/// Numbers that look random and are the same in every run (SplitMix64: Steele, Lea, Flood, 2014). A step is
/// five instructions, so it may be drawn between two units that are measured.
///
/// ```
/// use ukevent_measure::Random;
///
/// let mut random = Random::new(1);
/// let mut order = random.order(100);
/// assert_ne!(order, (0..100).collect::<Vec<u32>>());
/// order.sort_unstable();
/// assert_eq!(order, (0..100).collect::<Vec<u32>>());
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next of them.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..bound`.
    ///
    /// # Panics
    /// If there is none: `bound` is 0.
    pub const fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Puts `count` of the items, drawn by chance, in front.
    pub fn draw<T>(&mut self, items: &mut [T], count: usize) {
        for place in 0..count.min(items.len()) {
            let other = place + self.below(items.len() - place);
            items.swap(place, other);
        }
    }

    /// `0..count` in random order.
    #[must_use]
    pub fn order(&mut self, count: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count as u32).collect();
        self.draw(&mut order, count);
        order
    }
}
