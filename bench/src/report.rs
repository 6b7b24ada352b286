//! Tables for people, made from the JSON files and from nothing else.

use crate::Result;
use crate::bars::{BARS, Bar, Found, Verdict, shown};
use crate::results::{self, File, Outcome, Parameters};
use crate::stats::Ratio;
use std::fmt::Write;
use std::path::Path;

/// The parameters by whose values a table falls into several.
const SPLITS: &[(&str, &str)] = &[
    ("ready", "trigger"),
    ("post", "posts"),
    ("echo", "socket"),
    ("writes", "kind"),
    ("alloc", "blocks"),
];

/// Writes the tables of all results into the README, between their marks.
pub(crate) fn regenerate(out: &Path, tables: &[&str]) -> Result<()> {
    let path = results::folder().join("README.md");
    let mut text = std::fs::read_to_string(&path)?;
    for table in tables {
        if let Some(file) = results::read(out, table)? {
            text = between_marks(&text, table, &section(table, &file))?;
        }
    }
    Ok(std::fs::write(path, text)?)
}

fn between_marks(text: &str, table: &str, new: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {table} -->\n"), format!("<!-- end of {table} -->"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| format!("README.md has no marks for {table}"))?;
    Ok(format!("{before}{begin}\n{new}\n{end}{after}"))
}

/// All about the results of one table, in Markdown.
pub(crate) fn section(table: &str, file: &File) -> String {
    let machine = &file.machine;
    let mut text = format!(
        "`results/{table}.json`: commit {}, {}, {} cores, Linux {}, {}; `{}`\n",
        file.commit, machine.cpu, machine.cores, machine.kernel, machine.build, file.command
    );
    let bars: Vec<&Bar> = BARS.iter().filter(|bar| bar.table == table).collect();
    text.push_str(&judged(&bars, &file.results));
    let split = SPLITS.iter().find(|(name, _)| *name == table).map(|(_, split)| *split);
    for group in groups(&file.results, split) {
        text.push('\n');
        text.push_str(&group.markdown());
    }
    for lost in file.results.iter().filter(|row| !row.ok) {
        let why = lost.error.as_deref().unwrap_or("unknown");
        let what = parameters_text(&lost.parameters);
        let _ = writeln!(text, "\nNo result: {}{what}: {why}.", lost.contender);
    }
    text
}

/// A line for each bar of the table: for those that could not be judged too.
fn judged(bars: &[&Bar], results: &[Outcome]) -> String {
    if bars.is_empty() {
        return String::new();
    }
    let lines = bars.iter().map(|bar| bar_line(bar, &bar.judge(results)));
    let heading = "\n| bar | met | worst row | there |\n|---|---|---|---|\n".to_owned();
    lines.fold(heading, |text, line| text + &line)
}

fn bar_line(bar: &Bar, verdicts: &[Verdict]) -> String {
    let (judged, others): (Vec<&Verdict>, Vec<&Verdict>) =
        verdicts.iter().partition(|verdict| verdict.is_judged());
    let whys = unique(others.iter().filter_map(|verdict| match &verdict.found {
        Found::NotJudged(why) => Some(why.as_str()),
        Found::Figure { .. } | Found::Lost => None,
    }));
    let Some(worst) = worst(bar, &judged) else {
        let why = if whys.is_empty() { bar.without_rows() } else { whys.join("; ") };
        return format!("| {} | not judged: {why} | | |\n", bar.what);
    };
    let met = judged.iter().filter(|verdict| verdict.is_met()).count();
    let mut met = format!("{met} of {}", judged.len());
    if !others.is_empty() {
        let _ = write!(met, "; {} not judged: {}", others.len(), whys.join("; "));
    }
    let there = match &worst.found {
        Found::Figure { ratio, is_close, .. } => {
            let close = if *is_close { ", not in every round the same" } else { "" };
            format!("{}{close}", spread_text(ratio))
        }
        Found::Lost | Found::NotJudged(_) => "no result".to_owned(),
    };
    format!("| {} | {met} |{} | {there} |\n", bar.what, parameters_text(&worst.parameters))
}

/// The one furthest from what the bar asks for: one without a result, if there is one.
fn worst<'a>(bar: &Bar, judged: &[&'a Verdict]) -> Option<&'a Verdict> {
    judged.iter().copied().reduce(|worst, it| match (&worst.found, &it.found) {
        (Found::Figure { ratio: most, .. }, Found::Figure { ratio, .. }) => {
            if bar.is_worse(ratio.median, most.median) { it } else { worst }
        }
        (Found::Figure { .. }, _) => it,
        _ => worst,
    })
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
    fn markdown(&self) -> String {
        let contenders = unique(self.rows.iter().map(|row| row.contender.as_str()));
        let names: Vec<String> = unique(self.rows.iter().flat_map(|row| row.parameters.keys()))
            .into_iter()
            .filter(|name| !self.is_split(name))
            .cloned()
            .collect();
        let mut text = String::new();
        let heading = self.split.as_ref().map_or(String::new(), |it| format!("**{it}**, "));
        let _ = writeln!(text, "{heading}{}\n", self.unit);
        let _ = writeln!(text, "| {} | {} |", names.join(" | "), contenders.join(" | "));
        let rule = ["---"].repeat(names.len()).join("|");
        let _ = writeln!(text, "|{rule}|{}|", ["---:"].repeat(contenders.len()).join("|"));
        for parameters in unique(self.rows.iter().map(|row| &row.parameters)) {
            let value = |name: &String| parameters.get(name).map(shown).unwrap_or_default();
            let labels: Vec<String> = names.iter().map(value).collect();
            let find = |name: &str| {
                let is_it =
                    |row: &&&Outcome| row.contender == name && row.parameters == *parameters;
                self.rows.iter().find(is_it).copied()
            };
            let ours = contenders.first().and_then(|name| find(name));
            let cells: Vec<String> = contenders
                .iter()
                .map(|name| find(name).map_or_else(String::new, |row| cell(row, ours)))
                .collect();
            let _ = writeln!(text, "| {} | {} |", labels.join(" | "), cells.join(" | "));
        }
        text
    }

    fn is_split(&self, name: &str) -> bool {
        SPLITS.iter().any(|(_, split)| *split == name) && self.split.is_some()
    }
}

/// A figure, the CPU time if that is another figure, and how it compares with ours.
fn cell(row: &Outcome, ours: Option<&Outcome>) -> String {
    let Some(median) = row.median else { return "none".to_owned() };
    let mut text = figure(median);
    if let Some(cpu_ns) = row.cpu_ns_per_unit {
        let _ = write!(text, " / {}", figure(cpu_ns));
    }
    match ours.filter(|ours| ours.ok && ours.contender != row.contender) {
        None => text,
        Some(ours) => {
            let Some(ratio) = Ratio::of(&row.rounds, &ours.rounds) else { return text };
            let mark = if ratio.is_none() { "=" } else { "×" };
            let _ = write!(text, " {mark} {}", spread_text(&ratio));
            text
        }
    }
}

fn spread_text(ratio: &Ratio) -> String {
    format!("{} ({}–{})", figure(ratio.median), figure(ratio.low), figure(ratio.high))
}

/// Three digits, or all before the point.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn parameters_text(parameters: &Parameters) -> String {
    let parts: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect();
    if parts.is_empty() { String::new() } else { format!(" {}", parts.join(", ")) }
}

fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut unique = Vec::new();
    for item in items {
        if !unique.contains(&item) {
            unique.push(item);
        }
    }
    unique
}

#[cfg(test)]
mod tests;
