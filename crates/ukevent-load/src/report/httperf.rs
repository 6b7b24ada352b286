//! The lines of httperf 0.9, so that scripts written for it read this report as well. What is no line of
//! httperf's begins with `# ukevent`, and has none of its words before a colon.
//!
//! Where httperf's figures have a meaning of their own, so have these:
//! - requests are those that left: not those whose connection failed, or that never got one;
//! - connection time is from connect to close; its median is the middle of a bin of 1 ms, and its deviation
//!   that of a sample (divided by n - 1). httperf leaves out connections without a reply; they are in it here;
//! - connection length is replies by connections that were closed;
//! - sizes are whole bytes, rounded down;
//! - connection time, response and transfer have no percentiles: the other forms have.
//!
//! The reply rate's min, avg, max and stddev are over the samples of the record (of a second each, where
//! httperf's have five), each as a rate; the one at the end, if it is shorter, is left out, as httperf does.
//! The deviation is that of a sample again. So short runs have figures here where httperf has zeros, and
//! rates vary more.
//!
//! Errors: client-timo are timeouts of ours, connreset all that the other side ended early (reset, closed and
//! cut: httperf takes an end of file for a reset); socket-timo and ftab-full are always 0 (the kernel's own
//! timeout counts as other, and one table of files is as full as another). Each class by its own name
//! follows.

use super::About;
use crate::{
    Class,
    record::{Record, Times},
    verdict::Verdict,
};
use std::{io, time::Duration};

const NS_PER_MS: u64 = 1_000_000;

pub(super) fn write(
    record: &Record,
    about: &About,
    verdict: &Verdict,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    writeln!(out, "{}", super::text::short(&about.command, usize::MAX))?;
    writeln!(out)?;
    connections(record, out)?;
    requests_and_replies(record, out)?;
    processors_and_network(record, out)?;
    errors(record, out)?;
    writeln!(out)?;
    for class in Class::ALL {
        writeln!(out, "# ukevent class {class} {}", record.errors.of(class))?;
    }
    let idle = &record.connections;
    writeln!(out, "# ukevent idle {} lost {}", idle.idle, idle.idle_lost)?;
    let mark = if verdict.is_bottleneck() { "bottleneck" } else { "kept-up" };
    writeln!(out, "# ukevent generator {mark}")?;
    writeln!(out, "# ukevent verdict {}", verdict.to_string().replace(':', ","))
}

fn connections(record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
    let (all, life) = (&record.connections, &record.connections.life);
    let duration_s = record.duration.as_secs_f64();
    let sent = sent(record);
    writeln!(
        out,
        "Total: connections {} requests {sent} replies {} test-duration {duration_s:.3} s\n",
        all.tried, record.replies
    )?;
    writeln!(
        out,
        "Connection rate: {:.1} conn/s ({:.1} ms/conn, <={} concurrent connections)",
        by(all.tried as f64, duration_s),
        by(1e3 * duration_s, all.tried as f64),
        all.most
    )?;
    writeln!(
        out,
        "Connection time [ms]: min {:.1} avg {:.1} max {:.1} median {:.1} stddev {:.1}",
        ms(life.shortest()),
        ms(life.mean()),
        ms(life.longest()),
        median_ms(life),
        ms(life.deviation()) * of_sample(life.count())
    )?;
    writeln!(out, "Connection time [ms]: connect {:.1}", ms(all.connect.mean()))?;
    let length = by(record.replies as f64, life.count() as f64);
    writeln!(out, "Connection length [replies/conn]: {length:.3}\n")
}

fn requests_and_replies(record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
    let (sent, duration_s) = (sent(record), record.duration.as_secs_f64());
    writeln!(
        out,
        "Request rate: {:.1} req/s ({:.1} ms/req)",
        by(sent as f64, duration_s),
        by(1e3 * duration_s, sent as f64)
    )?;
    writeln!(out, "Request size [B]: {}.0\n", record.sent_bytes.checked_div(sent).unwrap_or(0))?;
    let rates = Rates::of(record);
    writeln!(
        out,
        "Reply rate [replies/s]: min {:.1} avg {:.1} max {:.1} stddev {:.1} ({} samples)",
        rates.min, rates.avg, rates.max, rates.stddev, rates.samples
    )?;
    writeln!(
        out,
        "Reply time [ms]: response {:.1} transfer {:.1}",
        ms(record.response.mean()),
        ms(record.transfer.mean())
    )?;
    let head = record.head_bytes.checked_div(record.replies).unwrap_or(0);
    let body = record.body_bytes.checked_div(record.replies).unwrap_or(0);
    writeln!(
        out,
        "Reply size [B]: header {head}.0 content {body}.0 footer 0.0 (total {}.0)",
        head + body
    )?;
    let class = |hundred: u16| -> u64 {
        record.statuses.range(hundred * 100..(hundred + 1) * 100).map(|(_, count)| count).sum()
    };
    writeln!(
        out,
        "Reply status: 1xx={} 2xx={} 3xx={} 4xx={} 5xx={}\n",
        class(1),
        class(2),
        class(3),
        class(4),
        class(5)
    )
}

fn processors_and_network(record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
    let duration_s = record.duration.as_secs_f64();
    let (user, system) = (record.cpu.user.as_secs_f64(), record.cpu.system.as_secs_f64());
    let percent = |time_s: f64| by(100.0 * time_s, duration_s);
    writeln!(
        out,
        "CPU time [s]: user {user:.2} system {system:.2} (user {:.1}% system {:.1}% total {:.1}%)",
        percent(user),
        percent(system),
        percent(user + system)
    )?;
    let bytes = (record.sent_bytes + record.head_bytes + record.body_bytes) as f64;
    writeln!(
        out,
        "Net I/O: {:.1} KB/s ({:.1}*10^6 bps)\n",
        by(bytes, duration_s) / 1024.0,
        by(8e-6 * bytes, duration_s)
    )
}

fn errors(record: &Record, out: &mut dyn io::Write) -> io::Result<()> {
    let of = |classes: &[Class]| classes.iter().map(|&class| record.errors.of(class)).sum::<u64>();
    let timeouts = of(&[Class::ConnectTimeout, Class::ReplyTimeout]);
    let refused = of(&[Class::Refused]);
    let reset = of(&[Class::Reset, Class::Closed, Class::Cut]);
    let (descriptor, port) = (of(&[Class::NoDescriptor]), of(&[Class::NoPort]));
    let total = record.errors.total();
    let other = total - timeouts - refused - reset - descriptor - port;
    writeln!(
        out,
        "Errors: total {total} client-timo {timeouts} socket-timo 0 connrefused {refused} \
         connreset {reset}"
    )?;
    writeln!(out, "Errors: fd-unavail {descriptor} addrunavail {port} ftab-full 0 other {other}")
}

/// Requests that left.
fn sent(record: &Record) -> u64 {
    const NEVER_LEFT: [Class; 7] = [
        Class::Refused,
        Class::Unreachable,
        Class::ConnectTimeout,
        Class::Tls,
        Class::NoPort,
        Class::NoDescriptor,
        Class::Crowded,
    ];
    let stayed: u64 = NEVER_LEFT.into_iter().map(|class| record.errors.of(class)).sum();
    record.requests.saturating_sub(stayed)
}

/// Replies a second, over samples.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) min: f64,
    pub(super) avg: f64,
    pub(super) max: f64,
    pub(super) stddev: f64,
    pub(super) samples: usize,
}

impl Rates {
    pub(super) fn of(record: &Record) -> Self {
        let longest = record.samples.iter().map(|sample| sample.length).max().unwrap_or_default();
        let whole = |length: Duration| length.as_secs_f64() >= 0.9 * longest.as_secs_f64();
        let rates: Vec<f64> = record
            .samples
            .iter()
            .filter(|sample| whole(sample.length))
            .map(|sample| sample.replies_per_s())
            .collect();
        if rates.is_empty() {
            return Self::default();
        }
        let count = rates.len() as f64;
        let avg = rates.iter().sum::<f64>() / count;
        let squares: f64 = rates.iter().map(|rate| (rate - avg).powi(2)).sum();
        Self {
            min: rates.iter().copied().fold(f64::INFINITY, f64::min),
            avg,
            max: rates.iter().copied().fold(0.0, f64::max),
            stddev: by(squares, count - 1.0).sqrt(),
            samples: rates.len(),
        }
    }
}

/// The middle of the bin of 1 ms that has the middle one in it.
pub(super) fn median_ms(times: &Times) -> f64 {
    if times.count() == 0 {
        return 0.0;
    }
    let histogram = times.histogram();
    // The middle of the times that are not told apart: the highest might be of the next bin.
    let middle_ns = histogram.median_equivalent(histogram.value_at_quantile(0.5));
    (middle_ns / NS_PER_MS) as f64 + 0.5
}

/// From the deviation of a lot to that of a sample of it.
fn of_sample(count: u64) -> f64 {
    if count > 1 { (count as f64 / (count - 1) as f64).sqrt() } else { 0.0 }
}

fn ms(time: Duration) -> f64 {
    time.as_nanos() as f64 / NS_PER_MS as f64
}

/// A quotient; of nothing it is zero.
fn by(value: f64, divisor: f64) -> f64 {
    if divisor > 0.0 { value / divisor } else { 0.0 }
}
