//! Where an axis has its lines, and how it names them.

use crate::text;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::{ops::Range, time::Duration};

/// An axis with its lines where they are wanted, each with its name. (Of plotters' own, one that takes lines
/// has no names.)
#[derive(Clone, Debug)]
pub struct Axis {
    from: f64,
    to: f64,
    lines: Vec<(f64, String)>,
}

impl Axis {
    /// From one value to a greater one.
    #[must_use]
    pub fn new(
        from: f64,
        to: f64,
        lines: impl IntoIterator<Item = f64>,
        name: impl Fn(f64) -> String,
    ) -> Self {
        Self { from, to, lines: lines.into_iter().map(|at| (at, name(at))).collect() }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let part = (value - self.from) / (self.to - self.from);
        start + (part * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.lines.iter().map(|&(at, _)| at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let line = self.lines.iter().find(|(at, _)| at == value);
        line.map(|(_, name)| name.clone()).unwrap_or_default()
    }
}

/// From zero to at least `most`, in round steps of 1, 2 or 5: at most eight of them.
#[must_use]
pub fn linear(most: f64) -> Vec<f64> {
    let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
    let least_step = most / 8.0;
    let ten = 10_f64.powf(least_step.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|it| it * ten)
        .find(|&step| step >= least_step * (1.0 - 1e-9))
        .unwrap_or(10.0 * ten);
    let steps = (most / step - 1e-9).ceil().max(1.0) as u32;
    (0..=steps).map(|it| f64::from(it) * step).collect()
}

/// Decades around both, as exponents of ten; with 2 and 5 between them, if there are few.
#[must_use]
pub fn decades(least: f64, most: f64) -> Vec<f64> {
    let (least, most) = (least.max(1.0), most.max(least).max(1.0));
    let (from, to) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    let to = to.max(from + 1);
    let within: &[f64] = if to - from <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let all = (from..=to).flat_map(|ten| within.iter().map(move |it| f64::from(ten) + it.log10()));
    // No more room than is needed, but never less than two lines.
    let all: Vec<f64> = all.filter(|&it| it <= f64::from(to)).collect();
    let low = all.iter().rposition(|&it| it <= least.log10() + 1e-9).unwrap_or(0);
    let high = all.iter().position(|&it| it >= most.log10() - 1e-9).unwrap_or(all.len() - 1);
    let high = high.max(low + 1).min(all.len() - 1);
    all[low.min(high - 1)..=high].to_vec()
}

/// Names of times in ns, all in the unit that fits the longest.
pub fn times_up_to(longest_ns: f64) -> impl Fn(f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let (ns, unit) = units.into_iter().find(|&(ns, _)| longest_ns >= ns).unwrap_or((1.0, "ns"));
    move |time_ns| {
        let text = format!("{:.3}", time_ns / ns);
        format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// A time in ns, as short as can be: `1.5 ms`, `20 µs`.
#[must_use]
pub fn time(ns: f64) -> String {
    let text = text::time(Duration::from_nanos(ns.round() as u64));
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_are_round_few_and_far_enough(most in 1e-3..1e13_f64) {
            let lines = linear(most);
            prop_assert!((2..=9).contains(&lines.len()), "{:?}", lines);
            let last = lines[lines.len() - 1];
            prop_assert!(last >= most * (1.0 - 1e-6) && last <= most * 2.0 + 1e-9, "{:?}", lines);
        }

        #[test]
        fn decades_are_around_what_is_shown(one in 1..4_000_000_000_000_u64, two in 1..4_000_000_000_000_u64) {
            let (least, most) = (one.min(two) as f64, one.max(two) as f64);
            let lines = decades(least, most);
            prop_assert!((2..=14).contains(&lines.len()), "{:?}", lines);
            prop_assert!(lines[0] <= least.log10() + 1e-6, "{:?}", lines);
            prop_assert!(lines[lines.len() - 1] >= most.log10() - 1e-6, "{:?}", lines);
        }
    }

    #[test]
    fn of_nothing_there_are_lines_too() {
        assert_eq!(linear(0.0).first(), Some(&0.0));
        assert!(linear(f64::NAN).len() > 1);
        assert!(decades(0.0, 0.0).len() > 1);
    }

    #[test]
    fn times_are_short() {
        assert_eq!(time(1_500_000.0), "1.5 ms");
        assert_eq!(time(20_000.0), "20 µs");
        assert_eq!(time(100_000.0), "100 µs");
        assert_eq!(time(0.0), "0");
        let name = times_up_to(1_400_000.0);
        assert_eq!([name(0.0), name(800_000.0), name(1e6)], ["0 ms", "0.8 ms", "1 ms"]);
        assert_eq!(times_up_to(3.0)(2.0), "2 ns");
    }
}
