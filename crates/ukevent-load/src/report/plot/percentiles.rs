//! Latency by percentile: x is logarithmic in 1/(1-p), so each nine has the same room, as HdrHistogram's
//! plots have it. It ends where one reply is all that is left: beyond that nothing is known.

use super::sheet;
use crate::{
    record::{Record, Times},
    report::About,
    verdict::Verdict,
};
use std::{f64::consts::LOG10_2, io};
use ukevent_measure::plot::{Area, BLUE, Curve, Drawn, Marks, nothing, panel, scale};

/// Points of the curve for each nine.
const POINTS: u32 = 100;

pub(in crate::report) fn write(
    record: &Record,
    about: &About,
    verdict: &Verdict,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    sheet("Latency by percentile", about, verdict, out, |area| draw(&record.latency, area))
}

fn draw(times: &Times, area: &Area<'_>) -> Drawn {
    if times.count() == 0 {
        return nothing(area, "No reply came: there is no latency to show.");
    }
    let points = points(times);
    let y_lines = scale::linear(times.longest().as_nanos() as f64);
    let y_end = y_lines.last().copied().unwrap_or(1.0);
    // In nines: 0 is none, 1 is 90 %, 2 is 99 %.
    let x_end = (times.count() as f64).log10().ceil().max(1.0);
    let x_lines: Vec<f64> =
        std::iter::once(LOG10_2).chain((0..=x_end as u32).map(f64::from)).collect();
    // The longest is marked: it may be a point alone.
    let curve = Curve {
        name: String::new(),
        colour: BLUE,
        runs: vec![points],
        marks: Marks::Last,
        is_old: false,
    };
    let x = scale::Axis::new(0.0, x_end, x_lines, percent);
    let y = scale::Axis::new(0.0, y_end, y_lines, scale::times_up_to(y_end));
    panel(area, (x, "percentile of replies"), (y, "latency"), &[curve])
}

/// Nines, and the latency in ns that so many are within.
fn points(times: &Times) -> Vec<(f64, f64)> {
    let end = (times.count() as f64).log10();
    let steps = (end * f64::from(POINTS)).ceil() as u32;
    (0..=steps)
        .map(|step| {
            let nines = (f64::from(step) / f64::from(POINTS)).min(end);
            // The last point is the longest, whatever the rounding.
            let part = if step == steps { 1.0 } else { 1.0 - 10_f64.powf(-nines) };
            (nines, times.histogram().value_at_quantile(part) as f64)
        })
        .collect()
}

fn percent(nines: f64) -> String {
    match nines.round() as usize {
        _ if nines == LOG10_2 => "50 %".to_owned(),
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        more => format!("99.{} %", "9".repeat(more - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quantile of an exponential distribution is proportional to its nines: its curve is a line.
    #[test]
    fn the_curve_of_an_exponential_distribution_is_straight() {
        let mut times = Times::new();
        for number in 0..10_000 {
            let share = (f64::from(number) + 0.5) / 10_000.0;
            times.record_ns((-(1.0 - share).ln() * 1e6) as u64);
        }
        let points = points(&times);
        assert_eq!(points.first().map(|point| point.0), Some(0.0));
        assert_eq!(points.last(), Some(&(4.0, times.longest().as_nanos() as f64)));
        for (nines, ns) in &points[50..300] {
            let exact = nines * std::f64::consts::LN_10 * 1e6;
            assert!((ns / exact - 1.0).abs() < 0.01, "{nines}: {ns} and not {exact}");
        }
    }

    #[test]
    fn one_reply_is_one_point() {
        let mut times = Times::new();
        times.record_ns(5);
        assert_eq!(points(&times), [(0.0, 5.0)]);
    }

    #[test]
    fn percentiles_have_their_names() {
        let names = [0.0, LOG10_2, 1.0, 2.0, 3.0, 5.0].map(percent);
        assert_eq!(names, ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.999 %"]);
    }
}
