//! The bars: what ukevent promises to reach, as data.
//!
//! A bar is held against results, never against a run: whoever has the JSON can check it.

use ukevent_measure::results::{Outcome, Parameters, shown};
use ukevent_measure::stats::Ratio;

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
    /// Why it is missed where it is, as far as that is known.
    pub(crate) why: &'static str,
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
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    /// None if the contender did not finish one round.
    pub(crate) parameters: Parameters,
    pub(crate) found: Found,
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    Figure {
        /// The ratio, or the figure itself.
        ratio: Ratio,
        is_met: bool,
        /// Some rounds were on one side of the limit, and some on the other.
        is_close: bool,
    },
    /// The row has no result, so that the bar is not met.
    Lost,
    /// There is nothing to compare the row with, and why.
    NotJudged(String),
}

impl Verdict {
    pub(crate) const fn is_met(&self) -> bool {
        matches!(self.found, Found::Figure { is_met: true, .. })
    }

    pub(crate) const fn is_judged(&self) -> bool {
        !matches!(self.found, Found::NotJudged(_))
    }
}

const OURS: &str = "ukevent io_uring";

/// All of them.
#[rustfmt::skip]
pub(crate) const BARS: &[Bar] = &[
    Bar { table: "ready", what: "arming costs ≤ 1.15 of the bare ring", contender: OURS, scope: &[("operation", &["arm"])], against: Against::Contender("bare ring"), limit: 1.15, side: Side::AtMost, why: "a registration has an entry with its owner, mode and generation, which the bare loop does not keep" },
    Bar { table: "ready", what: "reaping costs ≤ 1.15 of the bare ring", contender: OURS, scope: &[("operation", &["reap"])], against: Against::Contender("bare ring"), limit: 1.15, side: Side::AtMost, why: "each event is found by its ticket and checked against what was removed, where the bare loop reads a number; with one active descriptor it is the instruction cache after each system call" },
    Bar { table: "ready", what: "removing costs ≤ 1.15 of the bare ring", contender: OURS, scope: &[("operation", &["remove"])], against: Against::Contender("bare ring"), limit: 1.15, side: Side::AtMost, why: "an entry is given up, and nothing of it may be told afterwards, which the bare loop does not look after" },
    Bar { table: "ready", what: "reaping costs ≤ 0.6 of bare epoll", contender: OURS, scope: &[("operation", &["reap"])], against: Against::Contender("bare epoll"), limit: 0.6, side: Side::AtMost, why: "io_uring has no level: each event is armed again, and the bare ring itself costs more than epoll then" },
    Bar { table: "timers", what: "add, cancel and fire ≤ 30 ns each up to 100,000", contender: OURS, scope: &[("operation", &["add", "cancel", "fire"]), ("live", &["1000", "100000"])], against: Against::Nothing, limit: 30.0, side: Side::AtMost, why: "a cancel at random is one miss of the cache, and what surrounds it is too long to hide it" },
    Bar { table: "timers", what: "add, cancel and fire ≤ 60 ns each at 1,000,000 in random order", contender: OURS, scope: &[("operation", &["add", "cancel", "fire"]), ("live", &["1000000"]), ("order", &["random"])], against: Against::Nothing, limit: 60.0, side: Side::AtMost, why: "the same, with more misses" },
    Bar { table: "timers", what: "fired within 1 ms of due at p99", contender: OURS, scope: &[("operation", &["late"]), ("percentile", &["p99"])], against: Against::Nothing, limit: 1000.0, side: Side::AtMost, why: "" },
    Bar { table: "timers", what: "as many instructions with 1,000,000 live as with 1,000, within 1.05", contender: "ukevent sim", scope: &[("operation", &["add and cancel", "add and fire"]), ("live", &["100000", "1000000"])], against: Against::Itself("live", "1000"), limit: 1.05, side: Side::AtMost, why: "" },
    Bar { table: "wake", what: "a post to an awake target ≤ 100 ns", contender: OURS, scope: &[("target", &["awake"])], against: Against::Nothing, limit: 100.0, side: Side::AtMost, why: "" },
    Bar { table: "wake", what: "a sleeping target wakes within 1.1 of MSG_RING", contender: OURS, scope: &[("target", &["asleep"]), ("operation", &["wake"]), ("posts", &["each"])], against: Against::Contender("MSG_RING"), limit: 1.1, side: Side::AtMost, why: "" },
    Bar { table: "wake", what: "a post to an awake waiter of a shared queue ≤ 100 ns", contender: "ukevent shared", scope: &[("target", &["awake"])], against: Against::Nothing, limit: 100.0, side: Side::AtMost, why: "" },
    Bar { table: "wake", what: "a sleeping waiter of a shared queue wakes within 1.1 of MSG_RING", contender: "ukevent shared", scope: &[("target", &["asleep"]), ("operation", &["wake"]), ("posts", &["each"])], against: Against::Contender("MSG_RING"), limit: 1.1, side: Side::AtMost, why: "" },
    Bar { table: "idle", what: "the rate with 16,000 idle connections ≥ 0.97 of that with none", contender: OURS, scope: &[("measure", &["rate"]), ("idle", &["16000"])], against: Against::Itself("idle", "0"), limit: 0.97, side: Side::AtLeast, why: "" },
    Bar { table: "idle", what: "the rate ≥ 1.0 of the epoll backend's", contender: OURS, scope: &[("measure", &["rate"])], against: Against::Contender("ukevent epoll"), limit: 1.0, side: Side::AtLeast, why: "no reason was found in profiles; the spread is as large as the difference" },
    Bar { table: "serve", what: "CPU per request ≤ 0.70 of nginx", contender: OURS, scope: &[("measure", &["cpu"]), ("bytes", &["4096"])], against: Against::Contender("nginx"), limit: 0.7, side: Side::AtMost, why: "" },
    Bar { table: "serve", what: "CPU per request ≤ 0.85 of h2o", contender: OURS, scope: &[("measure", &["cpu"]), ("bytes", &["4096"])], against: Against::Contender("h2o"), limit: 0.85, side: Side::AtMost, why: "0.81 to 0.89 from day to day, which is within the spread" },
    Bar { table: "serve", what: "CPU per request ≤ 1.15 of the bare ring", contender: OURS, scope: &[("measure", &["cpu"]), ("bytes", &["4096"])], against: Against::Contender("bare ring"), limit: 1.15, side: Side::AtMost, why: "" },
    Bar { table: "serve", what: "CPU per request over TLS ≤ 1.0 of nginx", contender: OURS, scope: &[("measure", &["cpu over TLS"])], against: Against::Contender("nginx"), limit: 1.0, side: Side::AtMost, why: "" },
    Bar { table: "serve", what: "throughput of large files ≥ 1.0 of nginx", contender: OURS, scope: &[("measure", &["throughput"])], against: Against::Contender("nginx"), limit: 1.0, side: Side::AtLeast, why: "sendfile(2) is a call for both, of which nginx makes fewer, larger ones" },
    Bar { table: "serve", what: "CPU per GB of large files ≤ 1.0 of nginx", contender: OURS, scope: &[("measure", &["cpu"]), ("bytes", &["1000000", "100000000"])], against: Against::Contender("nginx"), limit: 1.0, side: Side::AtMost, why: "the same" },
    Bar { table: "serve", what: "as much memory for 100 MB as for 1 MB, within 1.10", contender: OURS, scope: &[("measure", &["peak memory"]), ("bytes", &["100000000"])], against: Against::Itself("bytes", "1000000"), limit: 1.1, side: Side::AtMost, why: "" },
    Bar { table: "echo", what: "CPU per echo ≤ 1.05 of the bare ring", contender: OURS, scope: &[("measure", &["cpu"])], against: Against::Contender("bare ring"), limit: 1.05, side: Side::AtMost, why: "registrations, tickets and buffers that come back, which the bare ring's loop has not; over Unix sockets they are a larger part of what is left" },
    Bar { table: "echo", what: "CPU per echo over TCP ≤ 0.95 of tokio", contender: OURS, scope: &[("measure", &["cpu"]), ("socket", &["TCP"])], against: Against::Contender("tokio"), limit: 0.95, side: Side::AtMost, why: "the kernel's network stack is nearly all of it, for both" },
    Bar { table: "echo", what: "CPU per echo over Unix sockets ≤ 0.75 of tokio", contender: OURS, scope: &[("measure", &["cpu"]), ("socket", &["Unix"])], against: Against::Contender("tokio"), limit: 0.75, side: Side::AtMost, why: "the bare ring does not reach it either: the kernel's part is more than that" },
    Bar { table: "echo", what: "≤ 0.1 system calls per echo with 64 connections", contender: OURS, scope: &[("measure", &["system calls"]), ("connections", &["64"])], against: Against::Nothing, limit: 0.1, side: Side::AtMost, why: "a fast loop finds few events at a time" },
    Bar { table: "events", what: "CPU per byte ≤ 0.80 of bare epoll", contender: OURS, scope: &[("measure", &["cpu"])], against: Against::Contender("bare epoll"), limit: 0.8, side: Side::AtMost, why: "a byte that completes is a completion, a buffer that comes back, and a receive that is armed for good; the bare ring is not below 0.80 either" },
    Bar { table: "events", what: "the rate ≥ 1.0 of the busy loop", contender: OURS, scope: &[("measure", &["rate"])], against: Against::Contender("busy loop"), limit: 1.0, side: Side::AtLeast, why: "of few descriptors the busy loop finds the next byte without any call for waiting" },
    Bar { table: "reads", what: "CPU per read ≤ 1.10 of the bare ring", contender: OURS, scope: &[("measure", &["cpu"])], against: Against::Contender("bare ring"), limit: 1.1, side: Side::AtMost, why: "" },
    Bar { table: "reads", what: "the rate ≥ 0.91 of the bare ring", contender: OURS, scope: &[("measure", &["rate"])], against: Against::Contender("bare ring"), limit: 0.91, side: Side::AtLeast, why: "" },
    Bar { table: "reads", what: "the rate ≥ 4 times that of tokio::fs", contender: OURS, scope: &[("from", &["page cache"]), ("measure", &["rate"])], against: Against::Contender("tokio::fs"), limit: 4.0, side: Side::AtLeast, why: "" },
    Bar { table: "alloc", what: "a frame ≤ 5 ns in one thread", contender: "ukevent FramePool", scope: &[("threads", &["one"])], against: Against::Nothing, limit: 5.0, side: Side::AtMost, why: "missed on this machine's slower days only: 3 to 4 ns on others" },
    Bar { table: "alloc", what: "a frame ≤ 15 ns across threads", contender: "ukevent FramePool", scope: &[("threads", &["two"])], against: Against::Nothing, limit: 15.0, side: Side::AtMost, why: "a line of cache that moves between two virtual processors" },
    Bar { table: "alloc", what: "a block of any size ≤ 30 ns", contender: "ukevent NetAllocator", scope: &[("measure", &["time"])], against: Against::Nothing, limit: 30.0, side: Side::AtMost, why: "a block found at random is a miss of the cache; across threads also a line that moves" },
    Bar { table: "alloc", what: "≤ 5 % of the bytes wasted", contender: "ukevent NetAllocator", scope: &[("measure", &["wasted"])], against: Against::Nothing, limit: 5.0, side: Side::AtMost, why: "" },
    Bar { table: "memory", what: "≤ 1 KiB for each idle connection of the echo", contender: OURS, scope: &[("measure", &["private"])], against: Against::Nothing, limit: 1.0, side: Side::AtMost, why: "" },
    Bar { table: "memory", what: "≤ 1 KiB for each idle connection of ukevent serve", contender: "ukevent serve", scope: &[("measure", &["private"])], against: Against::Nothing, limit: 1.0, side: Side::AtMost, why: "a connection's coroutine has room for all its states in one place" },
    Bar { table: "tasks", what: "a task is spawned and joined in ≤ 60 ns", contender: "ukevent-task", scope: &[("operation", &["spawn and join", "spawn and join 100"])], against: Against::Nothing, limit: 60.0, side: Side::AtMost, why: "an allocation, and two polls with their tables; the fastest rival shares a header through raw pointers, which this crate forbids" },
    Bar { table: "tasks", what: "a switch between two tasks ≤ 20 ns", contender: "ukevent-task", scope: &[("operation", &["switch"])], against: Against::Nothing, limit: 20.0, side: Side::AtMost, why: "" },
    Bar { table: "tasks", what: "a message between two tasks ≤ 20 ns", contender: "ukevent-task", scope: &[("operation", &["message"])], against: Against::Nothing, limit: 20.0, side: Side::AtMost, why: "" },
    Bar { table: "pingpong", what: "a round trip ≤ 1.05 of the bare ring", contender: OURS, scope: &[("measure", &["round trip"]), ("percentile", &["p50", "p99"])], against: Against::Contender("bare ring"), limit: 1.05, side: Side::AtMost, why: "a wait looks after timers, posts and what is to be armed before and after it sleeps, which is a microsecond on a core that has just slept" },
    Bar { table: "pingpong", what: "a round trip on epoll ≤ 1.05 of bare epoll", contender: "ukevent epoll", scope: &[("measure", &["round trip"]), ("percentile", &["p50", "p99"])], against: Against::Contender("bare epoll"), limit: 1.05, side: Side::AtMost, why: "the same" },
    Bar { table: "dead", what: "the rate with 16,000 dead connections ≥ 0.97 of that with none", contender: OURS, scope: &[("dead", &["16000"])], against: Against::Itself("dead", "0"), limit: 0.97, side: Side::AtLeast, why: "beside 16,000 dead ones a reply costs up to a fifth more of the server's CPU (bare epoll: 3 to 7 % more). A profile shows it in the kernel's copying of the reply into the socket, not in this crate; why it copies more slowly there was not found" },
    Bar { table: "dead", what: "the rate ≥ 1.0 of bare epoll", contender: OURS, scope: &[], against: Against::Contender("bare epoll"), limit: 1.0, side: Side::AtLeast, why: "rates of this table spread by a quarter; of CPU time a reply takes as much as bare epoll's, or less, up to 4,000 dead ones" },
    Bar { table: "inode", what: "none of 100,000 files missed, and ≤ 1.2 of bare inotify's CPU", contender: OURS, scope: &[("measure", &["cpu"])], against: Against::Contender("bare inotify"), limit: 1.2, side: Side::AtMost, why: "none is missed. A report has a name of its own, and its place in the tree is looked up; the bare loop reads both where they lie" },
    Bar { table: "inode", what: "the handler knows within 1.2 of bare inotify", contender: OURS, scope: &[("measure", &["to the handler"])], against: Against::Contender("bare inotify"), limit: 1.2, side: Side::AtMost, why: "" },
    Bar { table: "inode", what: "the handler knows within 1.2 of bare inotify, on epoll", contender: "ukevent epoll", scope: &[("measure", &["to the handler"])], against: Against::Contender("bare inotify"), limit: 1.2, side: Side::AtMost, why: "" },
    Bar { table: "load", what: "as many requests/s as wrk", contender: "ukevent load", scope: &[("measure", &["rate"])], against: Against::Contender("wrk"), limit: 1.0, side: Side::AtLeast, why: "the spread is larger than the difference: nginx, not the load, is at its end there" },
    Bar { table: "load", what: "≤ 1 % of starts late at 80 % of wrk's rate", contender: "ukevent load", scope: &[("measure", &["late starts"])], against: Against::Nothing, limit: 1.0, side: Side::AtMost, why: "" },
    Bar { table: "load", what: "16,000 connections in ≤ 64 MiB", contender: "ukevent load", scope: &[("measure", &["peak memory"])], against: Against::Nothing, limit: 64.0, side: Side::AtMost, why: "" },
    Bar { table: "bursts", what: "every connection is answered: none refused, reset, timed out", contender: OURS, scope: &[("measure", &["answered"])], against: Against::Nothing, limit: 100.0, side: Side::AtLeast, why: "" },
    Bar { table: "bursts", what: "CPU per request ≤ 0.9 of the epoll backend's", contender: OURS, scope: &[("measure", &["cpu"])], against: Against::Contender("ukevent epoll"), limit: 0.9, side: Side::AtMost, why: "in the kernel: a connection that asks once is accepted, received from and closed in separate waits on both. A group of buffers that was made anew for each is not any more" },
    Bar { table: "bursts", what: "CPU per request ≤ 0.8 of nginx", contender: OURS, scope: &[("measure", &["cpu"])], against: Against::Contender("nginx"), limit: 0.8, side: Side::AtMost, why: "four fifths are in the kernel, most of it sending and sleeping. nginx closes without ending a receive first, and makes no task, timer and place in a table for a connection of one request" },
    Bar { table: "shared", what: "≤ 1.0 returns per event", contender: "ukevent", scope: &[("measure", &["returns"])], against: Against::Nothing, limit: 1.005, side: Side::AtMost, why: "" },
    Bar { table: "shared", what: "as many events/s as with EPOLLEXCLUSIVE", contender: "ukevent", scope: &[("measure", &["rate"])], against: Against::Contender("shared epoll, EPOLLEXCLUSIVE"), limit: 1.0, side: Side::AtLeast, why: "within the spread to both sides: the kernel's wake-ups are nearly all of it" },
    Bar { table: "shared", what: "pinned: ≤ 1.0 returns per event", contender: "ukevent pinned", scope: &[("measure", &["returns"])], against: Against::Nothing, limit: 1.005, side: Side::AtMost, why: "" },
    Bar { table: "shared", what: "pinned: as many events/s as with an epoll for each thread", contender: "ukevent pinned", scope: &[("measure", &["rate"])], against: Against::Contender("epoll per thread"), limit: 1.0, side: Side::AtLeast, why: "a wait takes a lock twice and looks for posts, timers and what others changed: 1,800 instructions more than one of a queue of one thread, and 2,300 when this was measured" },
    Bar { table: "shared", what: "as many events/s as with an epoll for each thread", contender: "ukevent", scope: &[("measure", &["rate"])], against: Against::Contender("epoll per thread"), limit: 1.0, side: Side::AtLeast, why: "what is shared, by bare epoll too, wakes the thread that slept last, across the cores when there is little to do; Policy::Pinned does what the rival does" },
    Bar { table: "shared", what: "the busiest waiter has ≤ 2 times the mean where all are busy", contender: "ukevent", scope: &[("measure", &["spread"]), ("in flight", &["32"]), ("work", &["2 µs"])], against: Against::Nothing, limit: 2.0, side: Side::AtMost, why: "" },
];

impl Bar {
    /// Every row that the bar is about. None at all if its contender has no such row.
    pub(crate) fn judge(&self, results: &[Outcome]) -> Vec<Verdict> {
        results
            .iter()
            .filter(|row| row.contender == self.contender && self.is_about(row))
            .map(|row| Verdict {
                parameters: row.parameters.clone(),
                found: if row.ok { self.found(row, results) } else { Found::Lost },
            })
            .collect()
    }

    /// Why there is no verdict.
    pub(crate) fn without_rows(&self) -> String {
        format!("{} was not measured so", self.contender)
    }

    /// Who did not finish one round has no parameters, and would have had any of them.
    fn is_about(&self, row: &Outcome) -> bool {
        let is_in = |(name, values): &(&str, &[&str])| {
            row.parameters.get(name).is_some_and(|it| values.contains(&shown(it).as_str()))
        };
        row.parameters.is_empty() || self.scope.iter().all(is_in)
    }

    fn found(&self, row: &Outcome, results: &[Outcome]) -> Found {
        let ratio = match self.against {
            Against::Nothing => Ratio::spread(&row.rounds),
            Against::Contender(name) => match rival(results, name, &row.parameters) {
                Ok(other) => Ratio::of(&row.rounds, &other.rounds),
                Err(why) => return Found::NotJudged(why),
            },
            Against::Itself(name, value) => {
                let mut parameters = row.parameters.clone();
                parameters.insert(name, value);
                match rival(results, self.contender, &parameters) {
                    Ok(other) => Ratio::of(&row.rounds, &other.rounds),
                    Err(why) => return Found::NotJudged(format!("{why} with {name} {value}")),
                }
            }
        };
        let Some(ratio) = ratio else {
            return Found::NotJudged("no round in common".to_owned());
        };
        let is_met = match self.side {
            Side::AtMost => ratio.median <= self.limit,
            Side::AtLeast => ratio.median >= self.limit,
        };
        Found::Figure { ratio, is_met, is_close: ratio.straddles(self.limit) }
    }

    /// Whether of two figures the first is further from what the bar asks for.
    pub(crate) fn is_worse(&self, one: f64, other: f64) -> bool {
        match self.side {
            Side::AtMost => one > other,
            Side::AtLeast => one < other,
        }
    }
}

/// The row to compare with, or why there is none.
fn rival<'a>(
    results: &'a [Outcome],
    contender: &str,
    parameters: &Parameters,
) -> Result<&'a Outcome, String> {
    let mut rows = results.iter().filter(|row| row.contender == contender).peekable();
    if rows.peek().is_none() {
        return Err(format!("{contender} is missing"));
    }
    let found = rows.find(|row| row.ok && is_same(&row.parameters, parameters));
    found.ok_or_else(|| format!("{contender} has no result"))
}

/// Whether all values read the same: a number in a bar is written as text.
fn is_same(one: &Parameters, other: &Parameters) -> bool {
    let reads_same = |(name, value)| other.get(name).is_some_and(|it| shown(it) == shown(value));
    one.iter().count() == other.iter().count() && one.iter().all(reads_same)
}

#[cfg(test)]
mod tests {
    use super::{BARS, Bar, Found};
    use ukevent_measure::results::{Outcome, Parameters};

    fn row(contender: &str, idle: u64, rounds: &[f64]) -> Outcome {
        let mut parameters = Parameters::new();
        parameters.insert("measure", "rate");
        parameters.insert("idle", idle);
        let none = Outcome::without_result("idle", contender, None);
        Outcome { parameters, rounds: rounds.to_vec(), ok: true, ..none }
    }

    /// Against the same without idle connections, and against the epoll backend.
    fn bars() -> [&'static Bar; 2] {
        let of_table: Vec<_> = BARS.iter().filter(|bar| bar.table == "idle").collect();
        of_table.try_into().ok().unwrap()
    }

    #[test]
    fn a_bar_is_held_against_the_same_round() {
        let results = [
            row("ukevent io_uring", 0, &[100.0, 200.0, 300.0]),
            row("ukevent io_uring", 16_000, &[90.0, 198.0, 297.0]),
            row("ukevent epoll", 16_000, &[100.0, 180.0, 270.0]),
        ];
        let [itself, epoll] = bars().map(|bar| bar.judge(&results));
        assert_eq!(itself.len(), 1);
        let Found::Figure { ratio, is_met, is_close } = itself[0].found else { panic!() };
        assert_eq!((ratio.median, is_met), (0.99, true));
        assert!(is_close, "the first round was below the limit");
        assert_eq!(epoll.len(), 2);
        let nobody = Found::NotJudged("ukevent epoll has no result".to_owned());
        assert_eq!(epoll[0].found, nobody, "without idle connections there is no rival");
        let Found::Figure { ratio, is_met, .. } = epoll[1].found else { panic!() };
        assert_eq!((ratio.low, is_met), (0.9, true));
    }

    #[test]
    fn a_row_of_ours_without_a_result_is_not_met() {
        let lost = Outcome { ok: false, ..row("ukevent io_uring", 16_000, &[1.0]) };
        let unfinished = Outcome::without_result("idle", "ukevent io_uring", None);
        for row_of_ours in [lost, unfinished] {
            for bar in bars() {
                let verdicts = bar.judge(std::slice::from_ref(&row_of_ours));
                assert_eq!(verdicts.len(), 1);
                assert_eq!(verdicts[0].found, Found::Lost);
                assert!(verdicts[0].is_judged() && !verdicts[0].is_met());
            }
        }
    }

    #[test]
    fn who_is_missing_is_named() {
        let whys = |results: &[Outcome]| {
            bars().map(|bar| match &bar.judge(results)[..] {
                [one] => match &one.found {
                    Found::NotJudged(why) => why.clone(),
                    other => format!("{other:?}"),
                },
                others => panic!("{others:?}"),
            })
        };
        let ours = row("ukevent io_uring", 16_000, &[1.0]);
        let [itself, epoll] = whys(std::slice::from_ref(&ours));
        assert_eq!(itself, "ukevent io_uring has no result with idle 0");
        assert_eq!(epoll, "ukevent epoll is missing");
        let failed = Outcome { ok: false, ..row("ukevent epoll", 16_000, &[1.0]) };
        assert_eq!(whys(&[ours, failed])[1], "ukevent epoll has no result");
    }
}
