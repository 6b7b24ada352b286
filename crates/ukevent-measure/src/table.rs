//! Tables for people, made from results and from nothing else: Markdown whose columns stand below each other, so
//! that it reads well in a terminal, too.

use crate::{
    results::{Outcome, shown},
    stats::{Ratio, figure},
};
use std::fmt;

/// Rows of cells below a head.
///
/// ```
/// use ukevent_measure::table::Grid;
///
/// let mut grid = Grid::new(["dead", "epoll"], 1);
/// grid.row(["16000", "3.4 µs"]);
/// assert_eq!(grid.to_string(), "| dead  |  epoll |\n|-------|-------:|\n| 16000 | 3.4 µs |\n");
/// ```
#[derive(Clone, Debug)]
pub struct Grid {
    /// Columns of names, at the left; all others are figures.
    names: usize,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// With this head, of which the first `names` columns are no figures.
    pub fn new<T: Into<String>>(head: impl IntoIterator<Item = T>, names: usize) -> Self {
        Self { names, rows: vec![head.into_iter().map(Into::into).collect()] }
    }

    /// One more row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            let cells = self.rows.iter().filter_map(|row: &Vec<String>| row.get(column));
            cells.map(|cell: &String| cell.chars().count()).max().unwrap_or(0).max(2)
        };
        (0..columns).map(width).collect()
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, &width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                if column < self.names {
                    write!(f, "| {cell:width$} ")?;
                } else {
                    write!(f, "| {cell:>width$} ")?;
                }
            }
            f.write_str("|\n")?;
            if number == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let end = if column < self.names { "-" } else { ":" };
                    write!(f, "|{}{end}", "-".repeat(width + 1))?;
                }
                f.write_str("|\n")?;
            }
        }
        Ok(())
    }
}

/// Tables of results: a row for each kind of work, a column for each contender; one for each unit, and for each
/// value of the parameter `split`. The first contender is the one that the others are compared with.
#[must_use]
pub fn tables(results: &[Outcome], split: Option<&str>) -> String {
    let grids = grids(results, split, cell).into_iter();
    grids.map(|(heading, grid)| format!("\n{heading}\n\n{grid}")).collect()
}

/// The same with what `cell` makes of a row and that of the first contender, each grid with its heading.
pub fn grids(
    results: &[Outcome],
    split: Option<&str>,
    cell: impl Fn(&Outcome, Option<&Outcome>) -> String,
) -> Vec<(String, Grid)> {
    groups(results, split).iter().map(|group| group.grid(split, &cell)).collect()
}

/// Rows that are shown together: they have the unit and the split parameter in common.
struct Group<'a> {
    unit: &'a str,
    split: Option<String>,
    rows: Vec<&'a Outcome>,
}

fn groups<'a>(results: &'a [Outcome], split: Option<&str>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for row in results.iter().filter(|row| !row.parameters.is_empty()) {
        let value = split.and_then(|name| row.parameters.get(name)).map(shown);
        match groups.iter_mut().find(|group| group.unit == row.unit && group.split == value) {
            Some(group) => group.rows.push(row),
            None => groups.push(Group { unit: &row.unit, split: value, rows: vec![row] }),
        }
    }
    groups
}

impl Group<'_> {
    fn grid(
        &self,
        split: Option<&str>,
        cell: &impl Fn(&Outcome, Option<&Outcome>) -> String,
    ) -> (String, Grid) {
        let contenders = unique(self.rows.iter().map(|row| row.contender.as_str()));
        let names = unique(self.rows.iter().flat_map(|row| row.parameters.iter().map(|it| it.0)));
        let names: Vec<&str> = names.into_iter().filter(|&name| Some(name) != split).collect();
        let mut grid = Grid::new(names.iter().chain(&contenders).copied(), names.len());
        for parameters in unique(self.rows.iter().map(|row| &row.parameters)) {
            let find = |name: &str| {
                let is_it =
                    |row: &&&Outcome| row.contender == name && row.parameters == *parameters;
                self.rows.iter().find(is_it).copied()
            };
            let ours = contenders.first().and_then(|name| find(name));
            let labels =
                names.iter().map(|name| parameters.get(name).map(shown).unwrap_or_default());
            let cells = contenders
                .iter()
                .map(|name| find(name).map_or_else(String::new, |row| cell(row, ours)));
            grid.row(labels.chain(cells));
        }
        let heading = self.split.as_ref().map_or(String::new(), |it| format!("**{it}**, "));
        (format!("{heading}{}", self.unit), grid)
    }
}

/// A figure, the CPU time if that is another figure, and how it compares with ours.
fn cell(row: &Outcome, ours: Option<&Outcome>) -> String {
    let Some(median) = row.median else { return "none".to_owned() };
    let mut text = figure(median);
    if let Some(cpu_ns) = row.cpu_ns_per_unit {
        text = format!("{text} / {}", figure(cpu_ns));
    }
    let compared = ours
        .filter(|ours| ours.ok && ours.contender != row.contender)
        .and_then(|ours| Ratio::of(&row.rounds, &ours.rounds));
    match compared {
        None => text,
        Some(ratio) => format!("{text} {} {ratio}", if ratio.is_none() { "=" } else { "×" }),
    }
}

/// Each of them once, in the order of their first appearance.
pub fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut unique = Vec::new();
    for item in items {
        if !unique.contains(&item) {
            unique.push(item);
        }
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Parameters;

    fn row(contender: &str, rounds: &[f64]) -> Outcome {
        let mut parameters = Parameters::new();
        parameters.insert("trigger", "edge");
        parameters.insert("active", 16);
        Outcome {
            parameters,
            unit: "ns".to_owned(),
            median: Some(rounds[1]),
            rounds: rounds.to_vec(),
            cpu_ns_per_unit: Some(7.0),
            ok: true,
            ..Outcome::without_result("ready", contender, None)
        }
    }

    #[test]
    fn a_table_has_figures_and_ratios() {
        let lost = Outcome { median: None, ok: false, ..row("mio", &[0.0, 0.0]) };
        let all = [
            row("ours", &[100.0, 110.0, 120.0]),
            row("like it", &[100.0, 100.0, 130.0]),
            row("slow", &[200.0, 220.0, 240.0]),
            lost,
        ];
        let expected = "
**edge**, ns

| active |       ours |                      like it |                         slow |  mio |
|--------|-----------:|-----------------------------:|-----------------------------:|-----:|
| 16     | 110 / 7.00 | 100 / 7.00 = 1.00 (0.91–1.08) | 220 / 7.00 × 2.00 (2.00–2.00) | none |
";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = tables(&all, Some("trigger"));
        assert_eq!(squeezed(&text).replace('-', ""), squeezed(expected).replace('-', ""));
        let widths: Vec<usize> = text.lines().skip(3).map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|&width| width == widths[0]), "{text}");
        assert!(tables(&all, None).contains("| trigger | active |"));
    }
}
