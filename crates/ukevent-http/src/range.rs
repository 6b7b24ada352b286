//! Byte ranges (RFC 9110, 14).
//!
//! One range is answered with a part; several are answered with the whole, which the RFC allows and
//! which costs nobody a multipart body that few clients read. What is malformed, or of another unit
//! than bytes, is ignored.

use crate::request::elements;

/// What of the content is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// All of it.
    Whole,
    /// From the byte `first` to the byte `last`, both included.
    Part { first: u64, last: u64 },
    /// Something behind the end of it: 416.
    Unsatisfiable,
}

/// Reads a Range field for content of `len` bytes.
pub(crate) fn parse(value: &[u8], len: u64) -> Range {
    let Some(set) = value
        .split_at_checked(6)
        .and_then(|(unit, set)| unit.eq_ignore_ascii_case(b"bytes=").then_some(set))
    else {
        return Range::Whole;
    };
    let mut specs = elements(set);
    let (Some(spec), None) = (specs.next(), specs.next()) else { return Range::Whole };
    one(spec, len).unwrap_or(Range::Whole)
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
