//! The bars: what ukevent promises to reach, as data.
//!
//! A bar is held against results, never against a run: whoever has the JSON can check it.

use crate::results::{Outcome, Parameters};
use crate::stats::Ratio;

/// A promise.
pub(crate) struct Bar {
    pub(crate) table: &'static str,
    /// In words, with the limit.
    pub(crate) what: &'static str,
    /// Whose.
    contender: &'static str,
    /// For which parameters: a name, and the values of which it has one.
    scope: &'static [(&'static str, &'static [&'static str])],
    against: Against,
    limit: f64,
    side: Side,
}

/// What a figure is compared with.
enum Against {
    /// Another contender with the same parameters.
    Contender(&'static str),
    /// The same contender with another value of a parameter.
    Itself(&'static str, &'static str),
    /// Nothing: the figure stands for itself.
    Nothing,
}

enum Side {
    AtMost,
    AtLeast,
}

/// A row of results, held against a bar.
pub(crate) struct Verdict {
    pub(crate) parameters: Parameters,
    /// The ratio, or the figure itself.
    pub(crate) found: Ratio,
    pub(crate) is_met: bool,
    /// Some rounds were on one side of the limit, and some on the other.
    pub(crate) is_close: bool,
}

const OURS: &str = "ukevent io_uring";

/// All of them.
#[rustfmt::skip]
pub(crate) const BARS: &[Bar] = &[
    Bar { table: "ready", what: "arming costs ≤ 1.15 of the bare ring", contender: OURS, scope: &[("operation", &["arm"])], against: Against::Contender("bare ring"), limit: 1.15, side: Side::AtMost },
    Bar { table: "ready", what: "reaping costs ≤ 1.15 of the bare ring", contender: OURS, scope: &[("operation", &["reap"])], against: Against::Contender("bare ring"), limit: 1.15, side: Side::AtMost },
    Bar { table: "ready", what: "removing costs ≤ 1.15 of the bare ring", contender: OURS, scope: &[("operation", &["remove"])], against: Against::Contender("bare ring"), limit: 1.15, side: Side::AtMost },
    Bar { table: "ready", what: "reaping costs ≤ 0.6 of bare epoll", contender: OURS, scope: &[("operation", &["reap"])], against: Against::Contender("bare epoll"), limit: 0.6, side: Side::AtMost },
    Bar { table: "timers", what: "add, cancel and fire ≤ 30 ns each up to 100,000", contender: OURS, scope: &[("operation", &["add", "cancel", "fire"]), ("live", &["1000", "100000"])], against: Against::Nothing, limit: 30.0, side: Side::AtMost },
    Bar { table: "timers", what: "add, cancel and fire ≤ 60 ns each at 1,000,000 in random order", contender: OURS, scope: &[("operation", &["add", "cancel", "fire"]), ("live", &["1000000"]), ("order", &["random"])], against: Against::Nothing, limit: 60.0, side: Side::AtMost },
    Bar { table: "timers", what: "fired within 1 ms of due at p99", contender: OURS, scope: &[("operation", &["late"]), ("percentile", &["p99"])], against: Against::Nothing, limit: 1000.0, side: Side::AtMost },
    Bar { table: "post", what: "a post to an awake target ≤ 100 ns", contender: OURS, scope: &[("target", &["awake"])], against: Against::Nothing, limit: 100.0, side: Side::AtMost },
    Bar { table: "post", what: "a sleeping target wakes within 1.1 of MSG_RING", contender: OURS, scope: &[("target", &["asleep"]), ("operation", &["wake"])], against: Against::Contender("MSG_RING"), limit: 1.1, side: Side::AtMost },
    Bar { table: "idle", what: "the rate with 16,000 idle connections ≥ 0.97 of that with none", contender: OURS, scope: &[("measure", &["rate"]), ("idle", &["16000"])], against: Against::Itself("idle", "0"), limit: 0.97, side: Side::AtLeast },
    Bar { table: "idle", what: "the rate ≥ 1.0 of the epoll backend's", contender: OURS, scope: &[("measure", &["rate"])], against: Against::Contender("ukevent epoll"), limit: 1.0, side: Side::AtLeast },
    Bar { table: "serve", what: "CPU per request ≤ 0.70 of nginx", contender: OURS, scope: &[("measure", &["cpu"]), ("bytes", &["4096"])], against: Against::Contender("nginx"), limit: 0.7, side: Side::AtMost },
    Bar { table: "serve", what: "CPU per request ≤ 0.85 of h2o", contender: OURS, scope: &[("measure", &["cpu"]), ("bytes", &["4096"])], against: Against::Contender("h2o"), limit: 0.85, side: Side::AtMost },
    Bar { table: "serve", what: "CPU per request ≤ 1.15 of the bare ring", contender: OURS, scope: &[("measure", &["cpu"]), ("bytes", &["4096"])], against: Against::Contender("bare ring"), limit: 1.15, side: Side::AtMost },
    Bar { table: "serve", what: "throughput of large files ≥ 1.0 of nginx", contender: OURS, scope: &[("measure", &["throughput"])], against: Against::Contender("nginx"), limit: 1.0, side: Side::AtLeast },
    Bar { table: "serve", what: "as much memory for 100 MB as for 1 MB, within 1.10", contender: OURS, scope: &[("measure", &["peak memory"]), ("bytes", &["100000000"])], against: Against::Itself("bytes", "1000000"), limit: 1.1, side: Side::AtMost },
    Bar { table: "echo", what: "CPU per echo ≤ 1.05 of the bare ring", contender: OURS, scope: &[("measure", &["cpu"])], against: Against::Contender("bare ring"), limit: 1.05, side: Side::AtMost },
    Bar { table: "echo", what: "CPU per echo over TCP ≤ 0.95 of tokio", contender: OURS, scope: &[("measure", &["cpu"]), ("socket", &["TCP"])], against: Against::Contender("tokio"), limit: 0.95, side: Side::AtMost },
    Bar { table: "echo", what: "CPU per echo over Unix sockets ≤ 0.75 of tokio", contender: OURS, scope: &[("measure", &["cpu"]), ("socket", &["Unix"])], against: Against::Contender("tokio"), limit: 0.75, side: Side::AtMost },
    Bar { table: "echo", what: "≤ 0.1 system calls per echo with 64 connections", contender: OURS, scope: &[("measure", &["system calls"]), ("connections", &["64"])], against: Against::Nothing, limit: 0.1, side: Side::AtMost },
    Bar { table: "writes", what: "CPU per byte ≤ 0.80 of bare epoll", contender: OURS, scope: &[("measure", &["cpu"])], against: Against::Contender("bare epoll"), limit: 0.8, side: Side::AtMost },
    Bar { table: "writes", what: "the rate ≥ 1.0 of the busy loop", contender: OURS, scope: &[("measure", &["rate"])], against: Against::Contender("busy loop"), limit: 1.0, side: Side::AtLeast },
    Bar { table: "reads", what: "CPU per read ≤ 1.10 of the bare ring", contender: OURS, scope: &[("measure", &["cpu"])], against: Against::Contender("bare ring"), limit: 1.1, side: Side::AtMost },
    Bar { table: "reads", what: "the rate ≥ 0.91 of the bare ring", contender: OURS, scope: &[("measure", &["rate"])], against: Against::Contender("bare ring"), limit: 0.91, side: Side::AtLeast },
    Bar { table: "reads", what: "the rate ≥ 4 times that of tokio::fs", contender: OURS, scope: &[("measure", &["rate"])], against: Against::Contender("tokio::fs"), limit: 4.0, side: Side::AtLeast },
    Bar { table: "alloc", what: "a frame ≤ 5 ns in one thread", contender: "ukevent FramePool", scope: &[("threads", &["one"])], against: Against::Nothing, limit: 5.0, side: Side::AtMost },
    Bar { table: "alloc", what: "a frame ≤ 15 ns across threads", contender: "ukevent FramePool", scope: &[("threads", &["two"])], against: Against::Nothing, limit: 15.0, side: Side::AtMost },
    Bar { table: "alloc", what: "a block of any size ≤ 30 ns", contender: "ukevent NetAllocator", scope: &[("measure", &["time"])], against: Against::Nothing, limit: 30.0, side: Side::AtMost },
    Bar { table: "alloc", what: "≤ 5 % of the bytes wasted", contender: "ukevent NetAllocator", scope: &[("measure", &["wasted"])], against: Against::Nothing, limit: 5.0, side: Side::AtMost },
    Bar { table: "memory", what: "≤ 1 KiB for each idle connection", contender: OURS, scope: &[("measure", &["private"])], against: Against::Nothing, limit: 1.0, side: Side::AtMost },
];

impl Bar {
    /// Every row that the bar is about and that can be compared.
    pub(crate) fn judge(&self, results: &[Outcome]) -> Vec<Verdict> {
        results
            .iter()
            .filter(|row| row.ok && row.contender == self.contender && self.is_about(row))
            .filter_map(|row| {
                let found = self.found(row, results)?;
                let is_met = match self.side {
                    Side::AtMost => found.median <= self.limit,
                    Side::AtLeast => found.median >= self.limit,
                };
                let is_close = found.straddles(self.limit);
                Some(Verdict { parameters: row.parameters.clone(), found, is_met, is_close })
            })
            .collect()
    }

    fn is_about(&self, row: &Outcome) -> bool {
        self.scope.iter().all(|(name, values)| {
            row.parameters.get(*name).is_some_and(|it| values.contains(&shown(it).as_str()))
        })
    }

    fn found(&self, row: &Outcome, results: &[Outcome]) -> Option<Ratio> {
        let find = |contender: &str, parameters: &Parameters| {
            let is_it = |it: &&Outcome| {
                it.ok && it.contender == contender && is_same(&it.parameters, parameters)
            };
            results.iter().find(is_it)
        };
        let other = match self.against {
            Against::Nothing => return Ratio::spread(&row.rounds),
            Against::Contender(name) => find(name, &row.parameters)?,
            Against::Itself(name, value) => {
                let mut parameters = row.parameters.clone();
                parameters.insert(name.to_owned(), value.into());
                find(self.contender, &parameters)?
            }
        };
        Ratio::of(&row.rounds, &other.rounds)
    }

    /// Whether of two figures the first is further from what the bar asks for.
    pub(crate) fn is_worse(&self, one: f64, other: f64) -> bool {
        match self.side {
            Side::AtMost => one > other,
            Side::AtLeast => one < other,
        }
    }
}

/// Whether all values read the same: a number in a bar is written as text.
fn is_same(one: &Parameters, other: &Parameters) -> bool {
    let reads_same = |(name, value)| other.get(name).is_some_and(|it| shown(it) == shown(value));
    one.len() == other.len() && one.iter().all(reads_same)
}

/// A parameter's value as people read it.
pub(crate) fn shown(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::BARS;
    use crate::results::{Outcome, Parameters};

    fn row(contender: &str, idle: u64, rounds: &[f64]) -> Outcome {
        let mut parameters = Parameters::new();
        parameters.insert("measure".to_owned(), "rate".into());
        parameters.insert("idle".to_owned(), idle.into());
        let none = Outcome::without_result("idle", contender, None);
        Outcome { parameters, rounds: rounds.to_vec(), ok: true, ..none }
    }

    #[test]
    fn a_bar_is_held_against_the_same_round() {
        let results = [
            row("ukevent io_uring", 0, &[100.0, 200.0, 300.0]),
            row("ukevent io_uring", 16_000, &[90.0, 198.0, 297.0]),
            row("ukevent epoll", 16_000, &[100.0, 180.0, 270.0]),
        ];
        let of_table: Vec<_> = BARS.iter().filter(|bar| bar.table == "idle").collect();
        let itself = of_table[0].judge(&results);
        assert_eq!(itself.len(), 1);
        assert_eq!((itself[0].found.median, itself[0].is_met), (0.99, true));
        assert!(itself[0].is_close, "the first round was below the limit");
        let epoll = of_table[1].judge(&results);
        assert_eq!(epoll.len(), 1, "without idle connections there is no rival");
        assert_eq!((epoll[0].found.low, epoll[0].is_met), (0.9, true));
    }
}
