//! Tables for people, made from the JSON files and from nothing else.

use crate::bars::{BARS, Bar, Found, Verdict};

use crate::commit::folder;
use std::fmt::Write;
use std::path::Path;
use ukevent_measure::Result;
use ukevent_measure::results::{self, File, Outcome, Parameters};
use ukevent_measure::table::{tables, unique};

/// The parameters by whose values a table falls into several.
const SPLITS: &[(&str, &str)] = &[
    ("ready", "trigger"),
    ("wake", "posts"),
    ("echo", "socket"),
    ("events", "kind"),
    ("alloc", "blocks"),
    ("load", "server"),
];

/// Writes the tables of all results into the README here, and what the project's own quotes of them into that,
/// between their marks.
pub(crate) fn regenerate(out: &Path, tables: &[&str]) -> Result<()> {
    let path = folder().join("README.md");
    let mut text = std::fs::read_to_string(&path)?;
    for table in tables {
        if let Some(file) = results::read(out, table)? {
            text = between_marks(&text, table, &section(table, &file))?;
        }
    }
    std::fs::write(path, text)?;
    quotes::regenerate(out, tables)
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
    text.push_str(&tables(&file.results, split));
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
            format!("{}{close}", ratio)
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

fn parameters_text(parameters: &Parameters) -> String {
    if parameters.is_empty() { String::new() } else { format!(" {parameters}") }
}

mod quotes;
#[cfg(test)]
mod tests;
