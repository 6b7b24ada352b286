//! Which sizes of free blocks there are: a list for each size, and bitmaps that find one.
//!
//! Sizes are lines of 64 bytes. Up to [`EXACT`] lines (32 KiB) there is a list for each; above that,
//! eight for each doubling, whose blocks differ by up to an eighth. A bitmap has a bit for each list,
//! a second one a bit for each word of the first: two look-ups find the smallest list that will do.

use crate::entry::Links;

/// Sizes with a list of their own.
const EXACT: u32 = 512;
/// Lists for each doubling above, as a power of two.
const STEPS_SHIFT: u32 = 3;
/// Lists. The largest size is below 2^31 lines.
pub(super) const BINS: usize = (EXACT + ((31 - EXACT.ilog2()) << STEPS_SHIFT)) as usize;
const WORDS: usize = BINS.div_ceil(64);

const _: () = assert!(WORDS <= 16, "the summary has a bit for each word");

/// The list for blocks of so many lines.
#[inline]
pub(super) const fn bin_of(lines: u32) -> usize {
    debug_assert!(lines > 0, "a block has a line");
    if lines <= EXACT {
        return (lines - 1) as usize;
    }
    let doubling = lines.ilog2();
    let step = (lines >> (doubling - STEPS_SHIFT)) & ((1 << STEPS_SHIFT) - 1);
    // The first of these lists is for sizes from EXACT + 1 on.
    (EXACT + ((doubling - EXACT.ilog2()) << STEPS_SHIFT) + step) as usize
}

/// Whether every block of the list is of one size.
#[inline]
pub(super) const fn is_exact(bin: usize) -> bool {
    bin < EXACT as usize
}

/// The lists themselves: rings, each with a head that is no block, so that a block is put in and taken
/// out without asking what is next to it.
pub(super) struct Lists {
    heads: Box<[Links; BINS]>,
    pub(super) occupied: Occupied,
}

impl Lists {
    pub(super) fn new() -> Self {
        let heads = Box::new([const { Links::new() }; BINS]);
        for head in &*heads {
            head.previous.set(head);
            head.next.set(head);
        }
        Self { heads, occupied: Occupied::new() }
    }

    /// Puts a block's links in.
    ///
    /// # Safety
    /// They stay where they are until they are taken out, and are in no list.
    #[inline(always)]
    pub(super) unsafe fn link(&mut self, bin: usize, links: &Links) {
        let head = &self.heads[bin];
        let next = head.next.get();
        links.previous.set(head);
        links.next.set(next);
        // SAFETY: a head, or links that were put in and stay where they are.
        unsafe { (*next).previous.set(links) };
        head.next.set(links);
        self.occupied.set(bin);
    }

    /// Takes a block's links out.
    ///
    /// # Safety
    /// They are in this list.
    #[inline(always)]
    pub(super) unsafe fn unlink(&mut self, bin: usize, links: &Links) {
        let (previous, next) = (links.previous.get(), links.next.get());
        // SAFETY: heads, or links that were put in and stay where they are.
        unsafe {
            (*previous).next.set(next);
            (*next).previous.set(previous);
        }
        // Both are the head.
        self.occupied.clear_if(bin, std::ptr::eq(previous, next));
    }

    /// The first links of a list that has some.
    #[inline(always)]
    pub(super) fn first(&self, bin: usize) -> *const Links {
        self.heads[bin].next.get()
    }

    /// All links of a list.
    pub(super) fn iter(&self, bin: usize) -> impl Iterator<Item = *const Links> {
        let head: *const Links = &self.heads[bin];
        let existing = move |links: *const Links| (!std::ptr::eq(links, head)).then_some(links);
        std::iter::successors(existing(self.first(bin)), move |&links| {
            // SAFETY: links that were put in and stay where they are.
            existing(unsafe { (*links).next.get() })
        })
    }
}

/// Which lists have blocks.
pub(super) struct Occupied {
    words: [u64; WORDS],
    summary: u16,
}

impl Occupied {
    pub(super) const fn new() -> Self {
        Self { words: [0; WORDS], summary: 0 }
    }

    #[inline]
    pub(super) const fn set(&mut self, bin: usize) {
        self.words[bin / 64] |= 1 << (bin % 64);
        self.summary |= 1 << (bin / 64);
    }

    /// Says that a list has no blocks, if `is_empty`. Without a branch: which it is cannot be guessed.
    #[inline]
    pub(super) const fn clear_if(&mut self, bin: usize, is_empty: bool) {
        let word = self.words[bin / 64] & !((is_empty as u64) << (bin % 64));
        self.words[bin / 64] = word;
        self.summary &= !(((word == 0) as u16) << (bin / 64));
    }

    /// The first list with blocks from this one on.
    #[inline]
    pub(super) const fn first_from(&self, bin: usize) -> Option<usize> {
        if bin >= BINS {
            return None;
        }
        let word = bin / 64;
        let here = self.words[word] & (u64::MAX << (bin % 64));
        if here != 0 {
            return Some(word * 64 + here.trailing_zeros() as usize);
        }
        let above = (self.summary as u32) & (u32::MAX << 1 << word);
        if above == 0 {
            return None;
        }
        let word = above.trailing_zeros() as usize;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_sizes_are_in_the_same_list_or_a_later_one() {
        let mut last = 0;
        for lines in 1..200_000 {
            let bin = bin_of(lines);
            assert!(bin == last || bin == last + 1, "{lines} lines in list {bin} after {last}");
            assert!(!is_exact(bin) || lines == 1 || bin == last + 1);
            last = bin;
        }
        assert!(bin_of(u32::MAX >> 1) < BINS);
    }

    #[test]
    fn finds_what_a_plain_set_finds() {
        let mut rng = testkit::Rng::seeded();
        let mut occupied = Occupied::new();
        let mut plain = std::collections::BTreeSet::new();
        for _ in 0..50_000 {
            let bin = rng.below(BINS as u64) as usize;
            if rng.one_in(2) {
                occupied.set(bin);
                plain.insert(bin);
            } else {
                occupied.clear_if(bin, false);
                occupied.clear_if(bin, true);
                plain.remove(&bin);
            }
            if rng.one_in(1000) {
                plain.iter().for_each(|&bin| occupied.clear_if(bin, true));
                plain.clear();
            }
            let from = rng.below(BINS as u64 + 1) as usize;
            assert_eq!(occupied.first_from(from), plain.range(from..).next().copied());
        }
    }
}
