//! Byte ranges: which bytes are wanted.
//!
//! RFC 9110: 14.1.1 the grammar, 14.1.2 bytes, 14.2 the field, 15.3.7 what is answered. How several
//! are sent is told in [`parts`].
//!
//! What is malformed, or of another unit than bytes, is ignored (14.2), and so is a list that nobody
//! means well: more than [`MOST_RANGES`] of them. Ranges that overlap or touch are joined where the
//! first of them stands; the others keep their order and their size, so whoever asks for pieces gets
//! these pieces. Of those that lie behind the end only the rest is answered; if none is left, that is
//! 416. So what is sent is never more than the content.

pub(crate) mod parts;

use crate::request::elements;

/// Ranges of one request. With more the field is ignored (RFC 9110, 14.2 and 17.15).
pub(crate) const MOST_RANGES: usize = 16;

/// What of the content is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// All of it.
    Whole,
    /// From the byte `first` to the byte `last`, both included.
    Part { first: u64, last: u64 },
    /// Several of them. Boxed, because they are rare and large.
    Several(Box<Ranges>),
    /// Something behind the end of it: 416.
    Unsatisfiable,
}

/// At least two ranges, of which no two overlap or touch, in the order they were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// First and last byte of each.
    each: [(u64, u64); MOST_RANGES],
    count: usize,
}

impl Ranges {
    /// First and last byte of each, both included.
    pub(crate) fn as_slice(&self) -> &[(u64, u64)] {
        &self.each[..self.count]
    }

    /// Adds one; what it overlaps or touches becomes part of it, in the place of the first of these.
    fn add(&mut self, mut first: u64, mut last: u64) {
        let mut kept = Self::default();
        let mut place = None;
        for &(from, to) in self.as_slice() {
            // Those that were joined before do not touch each other, so one pass finds all.
            if from <= last.saturating_add(1) && first <= to.saturating_add(1) {
                (first, last) = (first.min(from), last.max(to));
                place.get_or_insert(kept.count);
                kept.count += usize::from(place == Some(kept.count));
            } else {
                kept.each[kept.count] = (from, to);
                kept.count += 1;
            }
        }
        let place = place.unwrap_or(kept.count);
        kept.count = kept.count.max(place + 1);
        kept.each[place] = (first, last);
        *self = kept;
    }
}

/// Reads a Range field for content of `len` bytes.
pub(crate) fn parse(value: &[u8], len: u64) -> Range {
    let Some(set) = value
        .split_at_checked(6)
        .and_then(|(unit, set)| unit.eq_ignore_ascii_case(b"bytes=").then_some(set))
    else {
        return Range::Whole;
    };
    let mut ranges = Ranges::default();
    let mut count = 0;
    for spec in elements(set) {
        count += 1;
        match one(spec, len) {
            _ if count > MOST_RANGES => return Range::Whole,
            Some(Range::Part { first, last }) => ranges.add(first, last),
            Some(Range::Unsatisfiable) => {}
            // Malformed, or all of nothing.
            _ => return Range::Whole,
        }
    }
    match *ranges.as_slice() {
        [] if count == 0 => Range::Whole,
        [] => Range::Unsatisfiable,
        [(first, last)] => Range::Part { first, last },
        _ => Range::Several(Box::new(ranges)),
    }
}

fn one(spec: &[u8], len: u64) -> Option<Range> {
    let dash = spec.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(match (suffix, len) {
            (0, _) => Range::Unsatisfiable,
            // The last bytes of nothing: satisfiable, and nothing.
            (_, 0) => Range::Whole,
            _ => Range::Part { first: len.saturating_sub(suffix), last: len - 1 },
        });
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        None
    } else if first >= len {
        Some(Range::Unsatisfiable)
    } else {
        Some(Range::Part { first, last: last.min(len - 1) })
    }
}

/// Digits. What does not fit 64 bits is as far away as can be.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        Some(number.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}

#[cfg(test)]
mod tests;
