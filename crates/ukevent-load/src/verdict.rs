//! Whether the figures are the server's or the load generator's own: one that has no processor time left, or
//! starts requests late, measures itself.

use crate::record::Record;
use std::{fmt, time::Duration};

/// Of a run that is shorter than this nothing is said of processors: beginning and ending it are too large a part.
pub const BRIEF: Duration = Duration::from_millis(100);
/// From this share of its processors on the generator is taken for the bottleneck, in percent.
pub const BUSY_PERCENT: f64 = 90.0;
/// A start that is later than this is late.
pub const LATE: Duration = Duration::from_millis(1);
/// From more than this share of late starts on the generator is taken for the bottleneck, in percent.
pub const LATE_PERCENT: f64 = 1.0;

/// How the generator did, as a sentence by its `Display`.
///
/// ```
/// use std::time::Duration;
/// use ukevent_load::{record::Record, verdict::Verdict};
///
/// let mut record = Record::new();
/// record.duration = Duration::from_secs(10);
/// record.cpu.threads = 1;
/// record.cpu.user = Duration::from_millis(9_700);
/// let verdict = Verdict::of(&record);
/// assert!(verdict.is_bottleneck());
/// assert!(verdict.to_string().starts_with("The load generator was the bottleneck"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// How much of the processors that its threads can use it did use, of 100; 0, if that is not known, as of a run
    /// shorter than [`BRIEF`].
    pub cpu_percent: f64,
    /// How much of its processor the busiest of several threads used; the same, if there is but one. One that
    /// has no time left makes its share of the load late, however idle the others are.
    pub busiest_percent: f64,
    /// Requests that started later than [`LATE`] after they should; none in a closed loop.
    pub late_starts: u64,
    /// Their share of all starts of an open loop; 0, if there were none.
    pub late_percent: f64,
    /// Whether there were starts of an open loop.
    pub is_open: bool,
    /// Whether there were several threads.
    pub has_several: bool,
    /// Whether there was a run, but too short a one to tell how busy the processors were.
    pub is_brief: bool,
}

impl Verdict {
    /// Of a run. (In a closed loop nothing is late, and nothing counted in [`Record::lateness`].)
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let could = record.duration.as_secs_f64() * f64::from(record.cpu.threads);
        let did = (record.cpu.user + record.cpu.system).as_secs_f64();
        let late_starts = record.lateness.longer_than(LATE);
        let percent = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
        let is_known = record.duration >= BRIEF;
        // What is measured begins a little before the run, and ends a little after it.
        let cpu_percent = if is_known { percent(did, could).min(100.0) } else { 0.0 };
        let busiest_percent = if is_known { record.cpu.busiest_percent.min(100.0) } else { 0.0 };
        Self {
            cpu_percent,
            busiest_percent: busiest_percent.max(cpu_percent),
            is_brief: !is_known && record.cpu.threads > 0,
            has_several: record.cpu.threads > 1,
            late_starts,
            late_percent: percent(late_starts as f64, record.lateness.count() as f64),
            is_open: record.lateness.count() > 0,
        }
    }

    /// Whether the figures are not to be taken for the server's.
    #[must_use]
    pub fn is_bottleneck(&self) -> bool {
        self.is_busy() || self.is_late()
    }

    fn is_busy(&self) -> bool {
        self.busiest_percent >= BUSY_PERCENT
    }

    fn is_late(&self) -> bool {
        self.late_percent > LATE_PERCENT
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu_percent, busiest_percent, late_percent, .. } = self;
        let used = if self.has_several {
            format!(
                "its processes used {cpu_percent:.0} % of their processors, the busiest \
                 {busiest_percent:.0} %"
            )
        } else {
            format!("it used {busiest_percent:.0} % of its processor")
        };
        let found = match (self.is_busy(), self.is_late()) {
            (false, false) if self.is_brief => {
                return write!(
                    f,
                    "The run was too short to tell how busy the load generator was: that takes {} ms.",
                    BRIEF.as_millis()
                );
            }
            (false, false) => {
                write!(f, "The load generator kept up: {used}")?;
                if self.is_open {
                    write!(f, ", and {late_percent:.1} % of requests started more than 1 ms late")?;
                }
                return f.write_str(".");
            }
            (true, false) => used,
            (false, true) => format!("{late_percent:.1} % of requests started more than 1 ms late"),
            (true, true) => {
                format!("{used}, and {late_percent:.1} % of requests started more than 1 ms late")
            }
        };
        let advice = if self.is_busy() {
            "Use more processes, on processors that the server does not use, or ask for less."
        } else {
            "Its processors were not its own, or it could not use them: give it some that nothing \
             else uses, use more processes, or ask for less."
        };
        write!(
            f,
            "The load generator was the bottleneck: {found}. The server can do better than these \
             figures say. {advice}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Cpu;

    fn run(cpu_ms: u64, threads: u32, late: u64, in_time: u64) -> Verdict {
        let mut record = Record::new();
        record.duration = Duration::from_secs(10);
        record.cpu.system = Duration::from_millis(cpu_ms);
        record.cpu.threads = threads;
        (0..late).for_each(|_| record.lateness.record(Duration::from_micros(1010)));
        (0..in_time).for_each(|_| record.lateness.record(LATE));
        Verdict::of(&record)
    }

    #[test]
    fn bounds_are_where_they_are_said_to_be() {
        assert!(!run(17_900, 2, 0, 0).is_bottleneck());
        assert!(run(18_000, 2, 0, 0).is_bottleneck());
        assert!(!run(0, 2, 1, 99).is_bottleneck());
        assert!(run(0, 2, 2, 99).is_bottleneck());
        assert_eq!(run(0, 2, 2, 99).late_starts, 2);
    }

    /// One that has no time left is not excused by three that have.
    #[test]
    fn the_busiest_decides() {
        let mut record = Record::new();
        for percent in [10, 10, 95, 10] {
            let mut part = Record::new();
            part.duration = Duration::from_secs(10);
            part.cpu =
                Cpu::of_one(Duration::from_millis(percent * 100), Duration::ZERO, part.duration);
            record.add(&part);
        }
        let verdict = Verdict::of(&record);
        assert!(verdict.is_bottleneck(), "{verdict:?}");
        let said = verdict.to_string();
        assert!(said.contains("31 % of their processors, the busiest 95 %"), "{said}");
    }

    #[test]
    fn it_says_what_it_found() {
        assert!(run(4_000, 1, 0, 9).to_string().contains("40 % of its processor, and 0.0 %"));
        assert!(run(4_000, 1, 0, 0).to_string().ends_with("used 40 % of its processor."));
        let busy = run(9_500, 1, 0, 9).to_string();
        assert!(busy.contains("95 %") && !busy.contains("late"), "{busy}");
        let late = run(100, 1, 1, 1).to_string();
        assert!(late.contains("50.0 %") && !late.contains("it used"), "{late}");
        let both = run(10_000, 1, 1, 1).to_string();
        assert!(both.contains("50.0 %") && both.contains("100 %"), "{both}");
    }

    /// What is measured of a processor is a little more than the run itself.
    #[test]
    fn no_more_than_all_of_a_processor() {
        let of = |run, used| {
            let mut record = Record::new();
            record.duration = run;
            record.cpu = Cpu::of_one(used, Duration::ZERO, run);
            record
        };
        let verdict = Verdict::of(&of(Duration::from_secs(1), Duration::from_millis(1004)));
        assert_eq!((verdict.cpu_percent, verdict.busiest_percent), (100.0, 100.0));
        assert!(verdict.is_bottleneck());
        // Of so short a one nothing is said.
        let brief = of(BRIEF - Duration::from_nanos(1), Duration::from_millis(150));
        let verdict = Verdict::of(&brief);
        assert_eq!((verdict.cpu_percent, verdict.busiest_percent), (0.0, 0.0));
        assert!(!verdict.is_bottleneck());
        let said = verdict.to_string();
        assert!(said.contains("too short to tell") && !said.contains("kept up"), "{said}");
        assert_eq!(Verdict::of(&of(BRIEF, BRIEF)).busiest_percent, 100.0);
        // Nor does a part that was so short decide over the whole.
        let mut whole = of(Duration::from_secs(10), Duration::from_secs(1));
        whole.add(&brief);
        let verdict = Verdict::of(&whole);
        assert_eq!(verdict.busiest_percent, 10.0, "{verdict:?}");
        // Who starts late does so in a short run too.
        let mut late = brief;
        late.lateness.record(Duration::from_millis(2));
        assert!(Verdict::of(&late).is_bottleneck());
    }

    #[test]
    fn of_nothing_it_says_nothing_bad() {
        let verdict = Verdict::of(&Record::new());
        assert!(!verdict.is_bottleneck());
        assert_eq!((verdict.cpu_percent, verdict.late_percent), (0.0, 0.0));
    }
}
