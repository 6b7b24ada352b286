//! The parts of a run, a row each, after a header; RFC 4180 but for its CR. A generator that was the
//! bottleneck is named in a last column of every row, so that no row of it is mistaken.

use crate::{record::Record, verdict::Verdict};
use std::io;

pub(super) fn write(record: &Record, verdict: &Verdict, out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(
        out,
        "at_s,length_s,replies,replies_per_s,errors,latency_p50_us,latency_p99_us,latency_max_us,\
         generator"
    )?;
    let generator = if verdict.is_bottleneck() { "bottleneck" } else { "kept_up" };
    for sample in &record.samples {
        writeln!(
            out,
            "{:.3},{:.3},{},{:.1},{},{:.3},{:.3},{:.3},{generator}",
            sample.at.as_secs_f64(),
            sample.length.as_secs_f64(),
            sample.replies,
            sample.replies_per_s(),
            sample.errors,
            sample.p50_ns as f64 / 1e3,
            sample.p99_ns as f64 / 1e3,
            sample.max_ns as f64 / 1e3,
        )?;
    }
    Ok(())
}
