//! Rate and latency over time, one above the other with the same x: what goes wrong in one shows in the
//! other. Latencies are on a logarithmic scale: the median and the worst differ by decades.

use super::sheet;
use crate::{
    record::{Record, Sample},
    report::About,
    verdict::Verdict,
};
use plotters::style::RGBColor;
use std::io;
use ukevent_measure::{
    plot::{Area, BLUE, Curve, Drawn, GREY, Marks, ORANGE, RED, nothing, panel, scale},
    text,
};

/// What is drawn of a sample; nothing, where it has none.
type Value<'a> = &'a dyn Fn(&Sample) -> Option<f64>;
type Shown<'a> = (&'static str, RGBColor, Value<'a>);

const LATENCIES: [Shown<'_>; 3] = [
    ("p50", BLUE, &|sample| (sample.replies > 0).then(|| exponent(sample.p50_ns))),
    ("p99", ORANGE, &|sample| (sample.replies > 0).then(|| exponent(sample.p99_ns))),
    ("max", RED, &|sample| (sample.replies > 0).then(|| exponent(sample.max_ns))),
];
const REPLIES: Shown<'_> = ("replies", BLUE, &|sample| Some(sample.replies_per_s()));
const ERRORS: Shown<'_> =
    ("errors", RED, &|sample| Some(crate::record::per_s(sample.errors, sample.length)));

pub(in crate::report) fn write(
    record: &Record,
    about: &About,
    verdict: &Verdict,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    sheet("Rate and latency over time", about, verdict, out, |area| {
        draw(&record.samples, about, area)
    })
}

fn draw(samples: &[Sample], about: &About, area: &Area<'_>) -> Drawn {
    if samples.is_empty() {
        return nothing(area, "The run was too short to have samples.");
    }
    let ends = samples.iter().map(|sample| (sample.at + sample.length).as_secs_f64());
    let x_end = ends.fold(0.0, f64::max).max(1e-3);
    let (upper, lower) = area.split_vertically(area.dim_in_pixel().1 as i32 / 2);
    rates(samples, about, x_end, &upper)?;
    latencies(samples, x_end, &lower)
}

fn rates(samples: &[Sample], about: &About, x_end: f64, area: &Area<'_>) -> Drawn {
    let due = |sample: &Sample| about.rate_due(sample);
    let mut curves: Vec<Shown<'_>> = Vec::new();
    // What is due first, so that it lies below; errors only if there are any.
    if samples.iter().any(|sample| due(sample).is_some()) {
        curves.push(("due", GREY, &due));
    }
    curves.push(REPLIES);
    if samples.iter().any(|sample| sample.errors > 0) {
        curves.push(ERRORS);
    }
    let values = curves.iter().flat_map(|(.., value)| samples.iter().filter_map(value));
    let lines = scale::linear(values.fold(0.0, f64::max));
    frame(samples, &curves, x_end, lines, "per second", &text::count, area)
}

fn latencies(samples: &[Sample], x_end: f64, area: &Area<'_>) -> Drawn {
    let heard = || samples.iter().filter(|sample| sample.replies > 0);
    let least = heard().map(|sample| sample.p50_ns).min();
    let most = heard().map(|sample| sample.max_ns).max();
    let (Some(least), Some(most)) = (least, most) else {
        return nothing(area, "No reply came: there is no latency to show.");
    };
    let lines = scale::decades(least as f64, most as f64);
    let name = |exponent: f64| scale::time(10_f64.powf(exponent));
    frame(samples, &LATENCIES, x_end, lines, "latency", &name, area)
}

fn frame(
    samples: &[Sample],
    shown: &[Shown<'_>],
    x_end: f64,
    y_lines: Vec<f64>,
    y_name: &str,
    y_text: &dyn Fn(f64) -> String,
    area: &Area<'_>,
) -> Drawn {
    let (from, to) = (y_lines[0], y_lines[y_lines.len() - 1]);
    let x_lines: Vec<f64> = scale::linear(x_end).into_iter().filter(|&it| it <= x_end).collect();
    let curve = |&(name, colour, value): &Shown<'_>| Curve {
        name: name.to_owned(),
        colour,
        runs: runs(samples, value),
        marks: Marks::Lone,
        is_old: false,
    };
    let curves: Vec<Curve> = shown.iter().map(curve).collect();
    let x = scale::Axis::new(0.0, x_end, x_lines, short);
    let y = scale::Axis::new(from, to, y_lines, y_text);
    panel(area, (x, "time [s]"), (y, y_name), &curves)
}

/// Points at the middle of each sample; a new list after each sample that has no value.
fn runs(samples: &[Sample], value: Value<'_>) -> Vec<Vec<(f64, f64)>> {
    let mut runs = vec![Vec::new()];
    for sample in samples {
        match value(sample) {
            Some(value) => {
                let middle = (sample.at + sample.length / 2).as_secs_f64();
                runs.last_mut().into_iter().for_each(|run| run.push((middle, value)));
            }
            None => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

fn exponent(ns: u64) -> f64 {
    (ns.max(1) as f64).log10()
}

fn short(seconds: f64) -> String {
    format!("{seconds:.6}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Times;
    use std::time::Duration;

    #[test]
    fn a_curve_is_broken_where_there_is_nothing() {
        let sample = |second, replies| {
            let mut latency = Times::new();
            (0..replies).for_each(|_| latency.record_ns(1000));
            let second_long = Duration::from_secs(1);
            Sample::of(Duration::from_secs(second), second_long, 0, &latency)
        };
        let samples = [sample(0, 2), sample(1, 2), sample(2, 0), sample(3, 7)];
        let (_, _, p50) = LATENCIES[0];
        assert_eq!(runs(&samples, p50), [vec![(0.5, 3.0), (1.5, 3.0)], vec![(3.5, 3.0)]]);
        let (_, _, rate) = REPLIES;
        let rates = [(0.5, 2.0), (1.5, 2.0), (2.5, 0.0), (3.5, 7.0)];
        assert_eq!(runs(&samples, rate), [rates]);
    }
}
