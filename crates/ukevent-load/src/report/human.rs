//! A table for people, in a terminal of 80 columns, without colours: it is as readable in a file.

use super::About;
use crate::{
    Class,
    record::{Record, Sample, Times},
    verdict::Verdict,
};
use std::{io, time::Duration};
use ukevent_measure::text;

const COLUMNS: usize = 80;

pub(super) fn write(
    record: &Record,
    about: &About,
    verdict: &Verdict,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    about_lines(record, about, out)?;
    counts(record, out)?;
    times(record, out)?;
    course(&record.samples, out)?;
    if record.errors.total() > 0 {
        errors(record, out)?;
    }
    verdict_lines(verdict, out)
}

fn about_lines(record: &Record, about: &About, out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "{}", text::short(&about.url, COLUMNS))?;
    let processes = match about.processes {
        0 | 1 => String::new(),
        many => format!(", {many} processes"),
    };
    writeln!(out, "{}{processes}", about.mode)?;
    let at = if about.server.is_empty() {
        String::new()
    } else {
        format!(", at {}", text::short(&about.server, COLUMNS - 40))
    };
    writeln!(out, "{} from {}{at}\n", text::time(record.duration), about.started_text())
}

fn counts(record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
    let mut row = |name: &str, count: u64, more: String| {
        let per_s = text::count(crate::record::per_s(count, record.duration));
        let count = text::count(count as f64);
        writeln!(out, "{}", format!("  {name:<11} {count:>15} {per_s:>12}/s   {more}").trim_end())
    };
    let statuses: Vec<String> = record
        .statuses
        .iter()
        .map(|(status, &count)| format!("{status}: {}", text::count(count as f64)))
        .collect();
    row("requests", record.requests, String::new())?;
    row("replies", record.replies, text::short(&statuses.join("  "), COLUMNS - 48))?;
    let connections = &record.connections;
    let most = format!("{} at most at a time", text::count(connections.most as f64));
    row("connections", connections.opened, most)?;
    let bytes = record.head_bytes + record.body_bytes;
    let mut volume = |name: &str, bytes: u64| {
        let per_s = text::bytes(crate::record::per_s(bytes, record.duration));
        writeln!(out, "  {name:<11} {:>15} {per_s:>12}/s", text::bytes(bytes as f64))
    };
    volume("received", bytes)?;
    volume("sent", record.sent_bytes)?;
    if connections.idle > 0 {
        let (idle, lost) = (text::count(connections.idle as f64), connections.idle_lost);
        writeln!(out, "  {:<11} {idle:>15}   {} lost", "idle", text::count(lost as f64))?;
    }
    writeln!(out)
}

fn times(record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
    let rows = [
        ("latency", &record.latency),
        ("response", &record.response),
        ("transfer", &record.transfer),
        ("connect", &record.connections.connect),
        ("late start", &record.lateness),
    ];
    if rows.iter().all(|(_, times)| times.count() == 0) {
        return writeln!(out, "  No reply came: there are no times to show.\n");
    }
    write!(out, "  {:<10}", "")?;
    for head in ["mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"] {
        write!(out, " {head:>8}")?;
    }
    writeln!(out)?;
    for (name, times) in rows {
        if times.count() > 0 {
            times_row(name, times, out)?;
        }
    }
    writeln!(out)
}

fn times_row(name: &str, times: &Times, out: &mut dyn io::Write) -> io::Result<()> {
    write!(out, "  {name:<10} {:>8}", text::time(times.mean()))?;
    for percent in [50.0, 90.0, 99.0, 99.9, 99.99] {
        write!(out, " {:>8}", text::time(times.percentile(percent)))?;
    }
    writeln!(out, " {:>8}", text::time(times.longest()))
}

/// Rate and latency over time, as bars of a line of text: from zero to the highest.
fn course(samples: &[Sample], out: &mut dyn io::Write) -> io::Result<()> {
    const BARS: usize = 44;
    if samples.len() < 2 || samples.iter().all(|sample| sample.replies == 0) {
        return Ok(());
    }
    let each = samples.len().div_ceil(BARS);
    // Of several samples in one bar the mean rate, and the worst latency: nothing bad is smoothed away.
    let rates: Vec<f64> = samples
        .chunks(each)
        .map(|some| some.iter().map(Sample::replies_per_s).sum::<f64>() / some.len() as f64)
        .collect();
    let slow: Vec<f64> = samples
        .chunks(each)
        .map(|some| some.iter().map(|sample| sample.p99_ns).max().unwrap_or(0) as f64)
        .collect();
    let most = |list: &[f64]| list.iter().copied().fold(0.0, f64::max);
    writeln!(out, "  {:<10} {}  ≤ {}/s", "replies", bars(&rates), text::count(most(&rates)))?;
    let slowest = Duration::from_nanos(most(&slow) as u64);
    writeln!(out, "  {:<10} {}  ≤ {}\n", "p99", bars(&slow), text::time(slowest))
}

fn bars(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let bar =
        |value: f64| if value > 0.0 { BARS[(value / most * 7.0).round() as usize] } else { ' ' };
    values.iter().map(|&value| bar(value)).collect()
}

fn errors(record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
    let total = record.errors.total();
    let asked = record.requests.max(total);
    let percent = 100.0 * total as f64 / asked as f64;
    let share = if percent < 0.01 { "less than 0.01".to_owned() } else { format!("{percent:.2}") };
    let head = format!(
        "!!! ERRORS: {} of {} requests failed ({share} %) ",
        text::count(total as f64),
        text::count(asked as f64)
    );
    writeln!(out, "{head:!<COLUMNS$}")?;
    for class in Class::ALL {
        let count = record.errors.of(class);
        if count > 0 {
            let count = text::count(count as f64);
            writeln!(out, "!   {:<16} {count:>13}   {}", class.name(), meaning(class))?;
        }
    }
    writeln!(out)
}

/// In a few words, and what to do where it is not the server's fault.
const fn meaning(class: Class) -> &'static str {
    match class {
        Class::Refused => "nobody listens there",
        Class::Unreachable => "there is no way there",
        Class::ConnectTimeout => "no connection in time",
        Class::Reset => "the server broke the connection",
        Class::Closed => "it was closed before the reply",
        Class::Cut => "it was closed in the middle of the reply",
        Class::ReplyTimeout => "no whole reply in time",
        Class::Garbage => "what came was no reply",
        Class::Tls => "TLS failed",
        Class::NoPort => "no free port here: add source addresses",
        Class::NoDescriptor => "no free descriptor here: add processes",
        Class::Crowded => "due when as many as may were waiting",
        Class::Interrupted => "on its way when the load was ended",
        Class::Other => "anything else",
    }
}

fn verdict_lines(verdict: &Verdict, out: &mut dyn io::Write) -> io::Result<()> {
    let mark = if verdict.is_bottleneck() { "!!! " } else { "" };
    for line in text::lines(&verdict.to_string(), COLUMNS - mark.len()) {
        writeln!(out, "{mark}{line}")?;
    }
    Ok(())
}
