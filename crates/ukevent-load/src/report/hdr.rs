//! What HdrHistogram's own tools read: the interval log (version 1.3, as its HistogramLogProcessor and
//! readers in other languages take it) and the distribution of percentiles as its plotters take it.

use super::About;
use crate::{
    record::{Record, Times},
    verdict::Verdict,
};
use hdrhistogram::serialization::{
    V2DeflateSerializer,
    interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError},
};
use std::{io, time::Duration};

const NS_PER_MS: f64 = 1e6;

/// Latencies in ns, a line for each sample that kept its own; one line for the whole run, if not all did.
/// Interval_Max is in ms, as everywhere.
pub(super) fn write_log(
    record: &Record,
    about: &About,
    verdict: &Verdict,
    mut out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut log = IntervalLogWriterBuilder::new();
    log.add_comment("[Histogram log format version 1.3]");
    let by = format!("[Logged by ukevent load {}; latencies in ns]", about.version);
    log.add_comment(&by).add_comment(&format!("[{verdict}]"));
    log.with_start_time(about.started).with_base_time(about.started);
    log.with_max_value_divisor(NS_PER_MS);
    let mut serializer = V2DeflateSerializer::new();
    let mut log = log.begin_log_with(&mut out, &mut serializer)?;
    for (at, length, times) in intervals(record) {
        log.write_histogram(times.histogram(), at, length, None).map_err(|error| match error {
            IntervalLogWriterError::IoError(error) => error,
            IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
        })?;
    }
    Ok(())
}

fn intervals(record: &Record) -> Vec<(Duration, Duration, Times)> {
    let parts: Option<Vec<_>> = record
        .samples
        .iter()
        .map(|sample| Some((sample.at, sample.length, sample.latency.unpack()?)))
        .collect();
    let all = |parts: &Vec<(Duration, Duration, Times)>| {
        !parts.is_empty()
            && parts.iter().map(|(_, _, times)| times.count()).sum::<u64>()
                == record.latency.count()
    };
    parts
        .filter(all)
        .unwrap_or_else(|| vec![(Duration::ZERO, record.duration, record.latency.clone())])
}

/// In ms. Five steps for each half of what is left, as HdrHistogram has it.
pub(super) fn write_percentiles(
    record: &Record,
    verdict: &Verdict,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let times = &record.latency;
    let histogram = times.histogram();
    let ms = |time: Duration| time.as_nanos() as f64 / NS_PER_MS;
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut count = 0;
    let steps = (times.count() > 0).then(|| histogram.iter_quantiles(5));
    for step in steps.into_iter().flatten() {
        count += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to(), step.quantile_iterated_to());
        write!(out, "{:12.6} {quantile:14.12} {count:10}", value as f64 / NS_PER_MS)?;
        if quantile < 1.0 {
            writeln!(out, " {:14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out)?;
        }
    }
    let (mean, deviation) = (ms(times.mean()), ms(times.deviation()));
    writeln!(out, "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]")?;
    writeln!(
        out,
        "#[Max     = {:12.6}, Total count    = {:12}]",
        ms(times.longest()),
        times.count()
    )?;
    let (buckets, each) = (histogram.buckets(), 2048);
    writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {each:12}]")?;
    writeln!(out, "#[{verdict}]")
}
