//! What people see of a table: then and now side by side, and the curves.

use std::io;
use ukevent_measure::{
    plot::{Area, COLOURS, Curve, Drawn, Marks, nothing, panel, scale, sheet},
    results::{Outcome, shown},
    stats::{Ratio, figure},
    table::{Grid, grids},
};

/// Where a table comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Author, title, date.
    pub who: &'static str,
    /// The machine of then, and how it was measured, as it is told there.
    pub how: &'static str,
}

/// A table as it is shown.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Grids, each below its heading.
    pub grids: Vec<(String, Grid)>,
    /// What is to be known to read them, and what they say: a sentence each.
    pub notes: Vec<String>,
    /// The curves; none, if there is nothing to draw.
    pub chart: Option<Chart>,
}

/// Curves with their axes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What x is.
    pub x: &'static str,
    /// What y is.
    pub y: &'static str,
    /// Whether y is in decades.
    pub is_log: bool,
    /// Names of points of x, which are then evenly apart; else x is a number from 0 on.
    pub labels: Vec<String>,
    /// The curves.
    pub lines: Vec<Line>,
}

/// A curve.
#[derive(Clone, Debug)]
pub struct Line {
    /// Whose.
    pub name: String,
    /// Whether it is of then.
    pub is_old: bool,
    /// What was measured.
    pub points: Vec<(f64, f64)>,
}

impl Chart {
    /// Writes it as SVG.
    ///
    /// # Errors
    /// Those of `out`, and of drawing.
    pub fn write(&self, title: &str, about: &str, out: &mut dyn io::Write) -> io::Result<()> {
        sheet(title, about, "", out, |area| self.draw(area))
    }

    fn draw(&self, area: &Area<'_>) -> Drawn {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let ys = || points().map(|point| point.1).filter(|y| y.is_finite());
        let Some(most) = ys().reduce(f64::max) else {
            return nothing(area, "Nothing was measured.");
        };
        let x_end = points().map(|point| point.0).fold(0.0, f64::max);
        let x_end = if self.labels.is_empty() { x_end.max(1e-9) } else { self.labels.len() as f64 };
        let x = if self.labels.is_empty() {
            let lines = scale::linear(x_end);
            scale::Axis::new(
                0.0,
                x_end,
                lines.into_iter().filter(|&it| it <= x_end),
                ukevent_measure::text::count,
            )
        } else {
            let name = |at: f64| self.labels.get((at - 0.5) as usize).cloned().unwrap_or_default();
            scale::Axis::new(0.0, x_end, (0..self.labels.len()).map(|it| it as f64 + 0.5), name)
        };
        let y = if self.is_log {
            let least = ys().filter(|&y| y > 0.0).reduce(f64::min).unwrap_or(1.0);
            let lines = scale::decades(least, most);
            let (from, to) = (lines[0], lines[lines.len() - 1]);
            scale::Axis::new(from, to, lines, |it| figure_short(10_f64.powf(it)))
        } else {
            let lines = scale::linear(most);
            let end = lines[lines.len() - 1];
            scale::Axis::new(0.0, end, lines, figure_short)
        };
        let height = |y: f64| if self.is_log { y.max(1e-12).log10() } else { y };
        let curve = |(line, &colour): (&Line, _)| Curve {
            name: line.name.clone(),
            colour,
            runs: vec![line.points.iter().map(|&(x, y)| (x, height(y))).collect()],
            marks: Marks::All,
            is_old: line.is_old,
        };
        let curves: Vec<Curve> = self.lines.iter().zip(COLOURS.iter().cycle()).map(curve).collect();
        panel(area, (x, self.x), (y, self.y), &curves)
    }
}

/// As few digits as show it.
fn figure_short(value: f64) -> String {
    if value >= 1000.0 {
        return ukevent_measure::text::count(value);
    }
    let text = format!("{value:.2}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The one outcome of a contender whose parameters have all these values.
#[must_use]
pub fn find<'a>(
    results: &'a [Outcome],
    contender: &str,
    values: &[(&str, &str)],
) -> Option<&'a Outcome> {
    results.iter().find(|row| {
        let has = |(name, value): &(&str, &str)| {
            row.parameters.get(name).is_some_and(|it| shown(it) == *value)
        };
        row.contender == contender && values.iter().all(has)
    })
}

/// Its median as it is shown in a cell: `none`, if it has no result.
#[must_use]
pub fn cell(row: Option<&Outcome>) -> String {
    match row {
        None => String::new(),
        Some(row) => row.median.map_or_else(|| "failed".to_owned(), figure),
    }
}

/// Grids of all results, with how each compares with the first contender: `1.9x` more, or `=` if the spread swallows
/// the difference.
#[must_use]
pub fn compared(results: &[Outcome], split: Option<&str>) -> Vec<(String, Grid)> {
    grids(results, split, |row, first| {
        let ratio = first
            .filter(|first| first.ok && row.ok && first.contender != row.contender)
            .and_then(|first| Ratio::of(&row.rounds, &first.rounds));
        match ratio {
            None => cell(Some(row)),
            Some(ratio) if ratio.is_none() => format!("{} =", cell(Some(row))),
            Some(ratio) => format!("{} {}x", cell(Some(row)), figure(ratio.median)),
        }
    })
}
