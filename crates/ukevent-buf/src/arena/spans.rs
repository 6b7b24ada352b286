//! The free stretches of an arena, in the order of their addresses.
//!
//! Few and rarely asked for: pools take one, allocators a region at a time. So it is a sorted list,
//! first fit; pools take from the top and allocators from the bottom, that regions stay whole.

use std::ops::Range;

/// Offsets from the beginning of the arena, in bytes.
pub(crate) type Span = Range<usize>;

pub(crate) struct Spans {
    free: Vec<Span>,
    /// How many were taken and not given back: so much room the list may need.
    taken: usize,
}

impl Spans {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { free: std::iter::once(0..bytes).collect(), taken: 0 }
    }

    /// The lowest stretch of so many bytes that begins at a multiple of `align`.
    pub(crate) fn take_low(&mut self, bytes: usize, align: usize) -> Option<Span> {
        let begin = |span: &Span| span.start.next_multiple_of(align);
        let fits = |span: &Span| begin(span) <= span.end && span.end - begin(span) >= bytes;
        let found = self.free.iter().position(fits)?;
        let begin = begin(&self.free[found]);
        Some(self.cut(found, begin..begin + bytes))
    }

    /// The highest one.
    pub(crate) fn take_high(&mut self, bytes: usize, align: usize) -> Option<Span> {
        let begin = |span: &Span| Some(span.end.checked_sub(bytes)? / align * align);
        let fits = |span: &Span| begin(span).is_some_and(|begin| begin >= span.start);
        let found = self.free.iter().rposition(fits)?;
        let begin = begin(&self.free[found])?;
        Some(self.cut(found, begin..begin + bytes))
    }

    fn cut(&mut self, found: usize, part: Span) -> Span {
        let whole = self.free.remove(found);
        if part.end < whole.end {
            self.free.insert(found, part.end..whole.end);
        }
        if whole.start < part.start {
            self.free.insert(found, whole.start..part.start);
        }
        self.taken += 1;
        // Giving back allocates nothing.
        self.free.reserve(self.taken + 1);
        part
    }

    /// Gives back what was taken, as a whole.
    pub(crate) fn give_back(&mut self, span: Span) {
        let after = self.free.partition_point(|free| free.start < span.start);
        debug_assert!(
            self.free.get(after).is_none_or(|next| span.end <= next.start)
                && (after == 0 || self.free[after - 1].end <= span.start),
            "given back twice: {span:?}"
        );
        self.taken -= 1;
        let joins_next = self.free.get(after).is_some_and(|next| next.start == span.end);
        let joins_last = after > 0 && self.free[after - 1].end == span.start;
        match (joins_last, joins_next) {
            (true, true) => self.free[after - 1].end = self.free.remove(after).end,
            (true, false) => self.free[after - 1].end = span.end,
            (false, true) => self.free[after].start = span.start,
            (false, false) => self.free.insert(after, span),
        }
    }

    /// Each free stretch.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Span> {
        self.free.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_from_both_ends_and_joins_again() {
        let mut spans = Spans::new(1000);
        assert_eq!(spans.take_low(100, 64), Some(0..100));
        assert_eq!(spans.take_low(100, 64), Some(128..228));
        assert_eq!(spans.take_high(100, 64), Some(896..996));
        assert_eq!(spans.take_high(100, 50), Some(750..850), "the one below, by its alignment");
        assert_eq!(spans.take_high(4, 1), Some(996..1000));
        assert_eq!(spans.take_low(600, 1), None);
        assert_eq!(spans.take_high(600, 1), None);
        for span in [128..228, 750..850, 0..100, 996..1000, 896..996] {
            spans.give_back(span);
        }
        assert!(spans.iter().eq(std::iter::once(&(0..1000))));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "given back twice")]
    fn what_is_free_is_not_given_back() {
        let mut spans = Spans::new(1000);
        let span = spans.take_low(100, 1).unwrap();
        spans.give_back(span.clone());
        spans.give_back(span);
    }

    #[test]
    fn agrees_with_a_map_of_bytes() {
        let mut rng = testkit::Rng::seeded();
        let mut spans = Spans::new(256);
        let mut map = [false; 256];
        let mut taken = Vec::new();
        for _ in 0..20_000 {
            if rng.one_in(2) && !taken.is_empty() {
                let span: Span = taken.swap_remove(rng.below(taken.len() as u64) as usize);
                map[span.clone()].fill(false);
                spans.give_back(span);
                continue;
            }
            let (bytes, align) = (rng.range(1..40) as usize, 1 << rng.below(5));
            let mut begins = (0..257 - bytes).step_by(align);
            let is_free = |begin: &usize| map[*begin..begin + bytes].iter().all(|byte| !byte);
            let (got, expected) = if rng.one_in(2) {
                (spans.take_low(bytes, align), begins.find(is_free))
            } else {
                (spans.take_high(bytes, align), begins.rfind(is_free))
            };
            assert_eq!(got.as_ref().map(|span| span.start), expected);
            if let Some(span) = got {
                assert_eq!(span.len(), bytes);
                map[span.clone()].fill(true);
                taken.push(span);
            }
        }
    }
}
