//! The parts of a run, a row each, after a header; RFC 4180 but for its CR. `due_per_s` is what the schedule of an
//! open loop asks for in that part, and empty in a closed loop. A generator that was the
//! bottleneck is named in a last column of every row, so that no row of it is mistaken.

use super::About;
use crate::{record::Record, verdict::Verdict};
use std::io;

pub(super) fn write(
    record: &Record,
    about: &About,
    verdict: &Verdict,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    writeln!(
        out,
        "at_s,length_s,replies,replies_per_s,errors,latency_p50_us,latency_p99_us,latency_max_us,\
         due_per_s,generator"
    )?;
    let generator = if verdict.is_bottleneck() { "bottleneck" } else { "kept_up" };
    for sample in &record.samples {
        let due = about.rate_due(sample).map(|rate| format!("{rate:.1}")).unwrap_or_default();
        writeln!(
            out,
            "{:.3},{:.3},{},{:.1},{},{:.3},{:.3},{:.3},{due},{generator}",
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
