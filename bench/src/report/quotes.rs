//! The figures that the project's README quotes: which rows of which results, and the bars that are not met.

use super::{between_marks, worst};
use crate::bars::{BARS, Found, Verdict};
use crate::commit::folder;
use std::fmt::Write;
use std::path::Path;
use ukevent_measure::Result;
use ukevent_measure::results::{self, File, Outcome, shown};
use ukevent_measure::stats::{Ratio, figure};

/// A line: what one of ours costs, and others beside it.
struct Quote {
    what: &'static str,
    table: &'static str,
    ours: &'static str,
    /// A figure for each: the parameters by which its row is found.
    cases: &'static [&'static [(&'static str, &'static str)]],
    /// How many of the results' units are one of those that are shown.
    scale: f64,
    unit: &'static str,
    others: &'static [&'static str],
}

const OURS: &str = "ukevent io_uring";

/// All of them. What has no results is left out.
#[rustfmt::skip]
const QUOTES: &[Quote] = &[
    Quote { what: "take an event, by edge, 256 active of 1,000", table: "ready", ours: OURS, cases: &[&[("trigger", "edge"), ("operation", "reap"), ("registered", "1000"), ("active", "256")]], scale: 1.0, unit: "ns", others: &["bare ring", "bare epoll", "mio"] },
    Quote { what: "arm a descriptor of 1,000, by edge, and remove it", table: "ready", ours: OURS, cases: &[&[("trigger", "edge"), ("operation", "arm"), ("registered", "1000")], &[("trigger", "edge"), ("operation", "remove"), ("registered", "1000")]], scale: 1.0, unit: "ns", others: &["bare ring", "bare epoll"] },
    Quote { what: "add, cancel, fire a timer, 100,000 in order", table: "timers", ours: OURS, cases: &[&[("operation", "add"), ("live", "100000"), ("order", "in order")], &[("operation", "cancel"), ("live", "100000"), ("order", "in order")], &[("operation", "fire"), ("live", "100000"), ("order", "in order")]], scale: 1.0, unit: "ns", others: &["tokio DelayQueue", "BTreeMap"] },
    Quote { what: "the same, 1,000,000 at random", table: "timers", ours: OURS, cases: &[&[("operation", "add"), ("live", "1000000"), ("order", "random")], &[("operation", "cancel"), ("live", "1000000"), ("order", "random")], &[("operation", "fire"), ("live", "1000000"), ("order", "random")]], scale: 1.0, unit: "ns", others: &["tokio DelayQueue", "BTreeMap"] },
    Quote { what: "post from another thread, awake: merged, and each", table: "wake", ours: OURS, cases: &[&[("target", "awake"), ("operation", "post"), ("posts", "merged")], &[("target", "awake"), ("operation", "post"), ("posts", "each")]], scale: 1.0, unit: "ns", others: &["tokio", "eventfd + epoll", "bare word"] },
    Quote { what: "a task is spawned and joined, one by one, and in hundreds", table: "tasks", ours: "ukevent-task", cases: &[&[("operation", "spawn and join")], &[("operation", "spawn and join 100")]], scale: 1.0, unit: "ns", others: &["tokio", "glommio", "monoio", "compio"] },
    Quote { what: "a switch between two tasks, a message between them", table: "tasks", ours: "ukevent-task", cases: &[&[("operation", "switch")], &[("operation", "message")]], scale: 1.0, unit: "ns", others: &["tokio", "glommio", "monoio", "compio"] },
    Quote { what: "echo of 64 bytes, CPU, 64 connections over TCP", table: "echo", ours: OURS, cases: &[&[("socket", "TCP"), ("measure", "cpu"), ("connections", "64")]], scale: 1e3, unit: "µs", others: &["ukevent-task", "bare ring", "bare epoll", "tokio", "monoio", "compio", "glommio"] },
    Quote { what: "the same over Unix sockets", table: "echo", ours: OURS, cases: &[&[("socket", "Unix"), ("measure", "cpu"), ("connections", "64")]], scale: 1e3, unit: "µs", others: &["ukevent-task", "bare ring", "bare epoll", "tokio", "monoio", "compio", "glommio"] },
    Quote { what: "a round trip of 64 bytes over TCP on one connection, p50 and p99", table: "pingpong", ours: OURS, cases: &[&[("socket", "TCP"), ("percentile", "p50")], &[("socket", "TCP"), ("percentile", "p99")]], scale: 1.0, unit: "µs", others: &["ukevent-task", "bare ring", "bare epoll", "tokio"] },
    Quote { what: "a file is made, until its handler knows: p50 and p99", table: "inode", ours: OURS, cases: &[&[("measure", "to the handler"), ("percentile", "p50")], &[("measure", "to the handler"), ("percentile", "p99")]], scale: 1.0, unit: "µs", others: &["ukevent epoll", "bare inotify", "notify"] },
    Quote { what: "replies a second of 128 bytes, beside no dead connections and 16,000", table: "dead", ours: OURS, cases: &[&[("bytes", "128"), ("dead", "0")], &[("bytes", "128"), ("dead", "16000")]], scale: 1e3, unit: "thousand", others: &["bare epoll", "mio", "bare poll"] },
    Quote { what: "random reads of 4 KiB from the page cache, CPU", table: "reads", ours: OURS, cases: &[&[("from", "page cache"), ("measure", "cpu")]], scale: 1e3, unit: "µs", others: &["bare ring", "tokio::fs"] },
    Quote { what: "`serve`, CPU of a request of 4 kB, 64 connections", table: "serve", ours: OURS, cases: &[&[("measure", "cpu"), ("bytes", "4096")]], scale: 1e3, unit: "µs", others: &["bare ring", "nginx", "h2o", "lighttpd", "static-web-server"] },
    Quote { what: "the same over TLS", table: "serve", ours: OURS, cases: &[&[("measure", "cpu over TLS")]], scale: 1e3, unit: "µs", others: &["nginx"] },
    Quote { what: "`serve`, files of 1 MB and of 100 MB, CPU of a GB", table: "serve", ours: OURS, cases: &[&[("measure", "cpu"), ("bytes", "1000000")], &[("measure", "cpu"), ("bytes", "100000000")]], scale: 1.0, unit: "ms", others: &["nginx", "h2o", "lighttpd", "static-web-server"] },
    Quote { what: "`serve`, CPU of a connection for one request, 3,000 and 30,000 a second", table: "bursts", ours: OURS, cases: &[&[("measure", "cpu"), ("connections/s", "3000")], &[("measure", "cpu"), ("connections/s", "30000")]], scale: 1e3, unit: "µs", others: &["ukevent epoll", "nginx"] },
    Quote { what: "`load`, requests a second of 4 kB, 64 connections", table: "load", ours: "ukevent load", cases: &[&[("server", "ukevent serve"), ("measure", "rate"), ("bytes", "4096"), ("connections", "64")]], scale: 1e3, unit: "thousand", others: &["wrk", "oha", "h2load"] },
    Quote { what: "`load`, peak memory with 16,000 connections", table: "load", ours: "ukevent load", cases: &[&[("measure", "peak memory")]], scale: 1.0, unit: "MiB", others: &["wrk", "oha", "h2load"] },
    Quote { what: "memory of an idle connection of an echo", table: "memory", ours: OURS, cases: &[&[("measure", "private")]], scale: 1.0, unit: "KiB", others: &["ukevent serve", "nginx", "tokio, 2 KiB each"] },
    Quote { what: "allocate and free a frame, in one thread and across two", table: "alloc", ours: "ukevent FramePool", cases: &[&[("blocks", "frames"), ("work", "batch"), ("threads", "one")], &[("blocks", "frames"), ("work", "batch"), ("threads", "two")]], scale: 1.0, unit: "ns", others: &["snmalloc", "mimalloc", "jemalloc", "glibc"] },
    Quote { what: "the same for 64 to 9,000 bytes", table: "alloc", ours: "ukevent NetAllocator", cases: &[&[("blocks", "mixed"), ("work", "batch"), ("threads", "one")], &[("blocks", "mixed"), ("work", "batch"), ("threads", "two")]], scale: 1.0, unit: "ns", others: &["snmalloc", "mimalloc", "jemalloc", "glibc"] },
];

/// Writes them into the project's README, between its marks.
pub(super) fn regenerate(out: &Path, tables: &[&str]) -> Result<()> {
    let path = folder().join("../README.md");
    let mut files = Vec::new();
    for table in tables {
        files.extend(results::read(out, table)?.map(|file| (*table, file)));
    }
    let text = std::fs::read_to_string(&path)?;
    let text = between_marks(&text, "speed", &quoted(&files))?;
    let text = between_marks(&text, "bars", &not_met(&files))?;
    Ok(std::fs::write(path, text)?)
}

fn quoted(files: &[(&str, File)]) -> String {
    let heading = "| | ukevent | beside it | from |\n|---|---|---|---|\n".to_owned();
    let lines = QUOTES.iter().filter_map(|quote| {
        let (_, file) = files.iter().find(|(table, _)| *table == quote.table)?;
        quote.line(file)
    });
    lines.fold(heading, |text, line| text + &line)
}

impl Quote {
    /// `None` if ours has not all of its figures. Who has some of them has a dash for the others.
    fn line(&self, file: &File) -> Option<String> {
        let ours = self.rows(self.ours, &file.results);
        if ours.iter().any(Option::is_none) {
            return None;
        }
        let others = self.others.iter().filter_map(|&name| {
            let rows = self.rows(name, &file.results);
            let is_none = |(row, ours): (&Option<&Outcome>, &Option<&Outcome>)| {
                let ratio = row.zip(*ours).map(|(row, ours)| Ratio::of(&row.rounds, &ours.rounds));
                ratio.flatten().is_none_or(|ratio| ratio.is_none())
            };
            let sign = if rows.iter().zip(&ours).all(is_none) { " =" } else { "" };
            let has_any = rows.iter().any(Option::is_some);
            has_any.then(|| format!("{name} {}{sign}", self.figures(&rows)))
        });
        let others = others.collect::<Vec<_>>().join("; ");
        let (what, unit, figures) = (self.what, self.unit, self.figures(&ours));
        let (table, commit) = (self.table, &file.commit);
        Some(format!("| {what} | {figures} {unit} | {others} | `{table}.json`, {commit} |\n"))
    }

    /// The rows of a contender, one for each case.
    fn rows<'a>(&self, contender: &str, results: &'a [Outcome]) -> Vec<Option<&'a Outcome>> {
        let find = |case: &&[(&str, &str)]| {
            let is_it = |row: &&Outcome| {
                let has = |(name, value): &(&str, &str)| {
                    row.parameters.get(name).is_some_and(|it| shown(it) == *value)
                };
                row.ok && row.contender == contender && case.iter().all(has)
            };
            results.iter().find(is_it)
        };
        self.cases.iter().map(find).collect()
    }

    fn figures(&self, rows: &[Option<&Outcome>]) -> String {
        let shown = rows.iter().map(|row| {
            let median = row.and_then(|row| row.median);
            median.map_or_else(|| "–".to_owned(), |median| figure(median / self.scale))
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

/// A line for each bar that is not met in all its rows.
fn not_met(files: &[(&str, File)]) -> String {
    let mut text = "| bar | missed | at worst | why |\n|---|---|---|---|\n".to_owned();
    for (table, file) in files {
        for bar in BARS.iter().filter(|bar| bar.table == *table) {
            let verdicts = bar.judge(&file.results);
            let judged: Vec<&Verdict> = verdicts.iter().filter(|it| it.is_judged()).collect();
            let missed = judged.iter().filter(|it| !it.is_met()).count();
            let Some(worst) = worst(bar, &judged).filter(|_| missed > 0) else { continue };
            let found = match &worst.found {
                Found::Figure { ratio, .. } => ratio.to_string(),
                Found::Lost | Found::NotJudged(_) => "no result".to_owned(),
            };
            let (what, all, parameters) = (bar.what, judged.len(), &worst.parameters);
            let line =
                format!("| {what} | {missed} of {all} | {found}: {parameters}, `{table}.json`");
            let why = if bar.why.is_empty() { "not known yet" } else { bar.why };
            let _ = writeln!(text, "{line} | {why} |");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, row};
    use super::{not_met, quoted};

    fn reaped(contender: &str, rounds: &[f64]) -> ukevent_measure::results::Outcome {
        let mut row = row(contender, "reap", rounds);
        row.parameters.insert("registered", 1000);
        row.parameters.insert("active", 256);
        row
    }

    #[test]
    fn a_line_has_ours_the_others_and_where_from() {
        let lost = reaped("mio", &[1.0, 2.0, 3.0]);
        let results = vec![
            reaped("ukevent io_uring", &[80.0, 90.0, 100.0]),
            reaped("bare ring", &[50.0, 60.0, 70.0]),
            reaped("bare epoll", &[70.0, 90.5, 120.0]),
            ukevent_measure::results::Outcome { ok: false, ..lost },
        ];
        let text = quoted(&[("ready", file(results))]);
        let line = "| take an event, by edge, 256 active of 1,000 | 90.0 ns | \
                    bare ring 60.0; bare epoll 90.5 = | `ready.json`, abc |";
        assert!(text.lines().any(|it| it == line), "{text}");
        assert_eq!(text.lines().count(), 3, "what has no results is left out: {text}");
    }

    #[test]
    fn only_what_is_missed_is_told() {
        let results = vec![
            reaped("ukevent io_uring", &[80.0, 90.0, 100.0]),
            reaped("bare ring", &[80.0, 90.0, 100.0]),
            reaped("bare epoll", &[80.0, 100.0, 100.0]),
        ];
        let text = not_met(&[("ready", file(results))]);
        let line = "| reaping costs ≤ 0.6 of bare epoll | 1 of 1 | 1.00 (0.90–1.00): trigger edge, \
                    operation reap, registered 1000, active 256, `ready.json` | io_uring has no level: ";
        assert!(text.lines().any(|it| it.starts_with(line)), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
