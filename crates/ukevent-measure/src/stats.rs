//! The median, the spread, and what may be said of a difference.

use std::fmt;

/// The middle value; of an even number, the mean of the two in the middle. NaN of none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (len, middle) if len % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// With no more digits than it deserves: four, or all before the point.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10_f64.powi(digits.max(0));
    (value * scale).round() / scale
}

/// How two contenders compare, round by round.
///
/// ```
/// use ukevent_measure::stats::Ratio;
///
/// let ratio = Ratio::of(&[10.0, 11.0, 12.0], &[20.0, 20.0, 20.0]).unwrap();
/// assert_eq!(ratio.to_string(), "0.55 (0.50–0.60)");
/// assert!(!ratio.is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Median of the rounds' ratios.
    pub median: f64,
    /// The smallest of them.
    pub low: f64,
    /// The largest of them.
    pub high: f64,
}

impl Ratio {
    /// What one has of the other in the same round; `None` if they have no round in common, or the other had
    /// nothing in one. Nothing is as much as nothing.
    #[must_use]
    pub fn of(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        let ratio = |(our, their): (&f64, &f64)| if our == their { 1.0 } else { our / their };
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(ratio).collect();
        Self::spread(&ratios).filter(|it| it.low.is_finite() && it.high.is_finite())
    }

    /// Median and spread of figures that are no ratios.
    #[must_use]
    pub fn spread(values: &[f64]) -> Option<Self> {
        let low = values.iter().copied().min_by(f64::total_cmp)?;
        let high = values.iter().copied().max_by(f64::total_cmp)?;
        Some(Self { median: median(values), low, high })
    }

    /// Whether the spread swallows the difference.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.low <= 1.0 && 1.0 <= self.high
    }

    /// Whether the rounds disagree about which side of this figure they are on.
    #[must_use]
    pub fn straddles(&self, figure: f64) -> bool {
        self.low < figure && figure < self.high
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}–{})", figure(self.median), figure(self.low), figure(self.high))
    }
}

/// Three digits, or all before the point.
#[must_use]
pub fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Ratio, figure, median, rounded};

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let ratio = Ratio::of(&[10.0, 30.0, 50.0], &[10.0, 20.0, 100.0]).unwrap();
        assert_eq!((ratio.median, ratio.low, ratio.high), (1.0, 0.5, 1.5));
        assert!(ratio.is_none());
        assert!(!Ratio::of(&[1.0, 2.0], &[2.0, 3.0]).unwrap().is_none());
        assert_eq!(Ratio::of(&[], &[1.0]), None);
        assert_eq!(Ratio::of(&[1.0], &[0.0]), None);
        assert!(Ratio::of(&[0.0, 0.0], &[0.0, 0.0]).unwrap().is_none());
    }

    #[test]
    fn four_digits_are_enough() {
        assert_eq!(rounded(123.456_78), 123.5);
        assert_eq!(rounded(0.001_234_56), 0.001_235);
        assert_eq!(rounded(123_456.7), 123_457.0);
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(figure(1234.5), "1234");
        assert_eq!(figure(99.96), "100");
        assert_eq!(figure(12.34), "12.3");
        assert_eq!(figure(0.123), "0.12");
    }
}
