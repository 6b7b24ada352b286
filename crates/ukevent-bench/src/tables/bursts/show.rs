//! What was found in 2006, and what is shown of both.

use super::ASKED;
use crate::view::{Chart, Line, Source, View};
use std::collections::BTreeSet;
use ukevent_measure::{
    results::{Outcome, shown},
    stats::figure,
    table::{Grid, unique},
    text::count,
};

/// Where it was measured first.
pub(super) const SOURCE: Source = Source {
    who: "Evgeniy Polyakov, “Kevent benchmarking”, steps 4 and 5, 18 and 19 January 2006, and “FreeBSD kqueue \
          benchmark”, 21 January 2006",
    how: "A server of one thread on a Xeon of 2.4 GHz over 1 Gbit/s, which sends its page with sendfile (on FreeBSD \
          with send); httperf on another machine: 30,000 connections of one request each, 3,000 a second, which \
          wait for one second.",
};

/// A server of 2006.
struct Then {
    name: &'static str,
    /// Requests a second.
    rate: f64,
    /// Connections without a reply, of 30,000; where it is told.
    errors: Option<u32>,
}

const THEN: [Then; 4] = [
    Then { name: "epoll", rate: 1_746.8, errors: None },
    Then { name: "kevent_poll", rate: 1_718.8, errors: None },
    Then { name: "kevent_socket", rate: 2_521.8, errors: Some(2_899) },
    Then { name: "kqueue, FreeBSD 6.0", rate: 2_996.3, errors: Some(11_392) },
];
const CONNECTIONS: u32 = 30_000;

/// Of the rate that was asked for: with less, answers came without an error, but late.
const KEPT_UP: f64 = 0.95;

pub(super) fn show(results: &[Outcome]) -> View {
    let results: Vec<&Outcome> = results.iter().filter(|row| row.table == "bursts").collect();
    let now = Now { contenders: unique(results.iter().map(|row| row.contender.as_str())), results };
    let first = format!("{} connections a second, then and now", count(f64::from(ASKED)));
    let mut grids = vec![(first, now.beside_then())];
    if now.asked().len() > 1 {
        grids.push(("replies a second where so many were asked for".to_owned(), now.rates()));
        let heading = "CPU time of the server for a request, in µs".to_owned();
        grids.push((heading, now.cpu()));
    }
    View { grids, notes: now.notes(), chart: Some(now.chart()) }
}

/// What was measured now.
struct Now<'a> {
    contenders: Vec<&'a str>,
    results: Vec<&'a Outcome>,
}

impl Now<'_> {
    /// The rates that were asked for.
    fn asked(&self) -> BTreeSet<u32> {
        let values = self.results.iter().filter_map(|row| row.parameters.get("asked"));
        values.filter_map(|value| shown(value).parse().ok()).collect()
    }

    fn row(&self, contender: &str, asked: u32) -> Option<&Outcome> {
        let asked = asked.to_string();
        let is_it = |row: &&&Outcome| {
            let value = row.parameters.get("asked").map(shown);
            row.contender == contender && value.as_ref() == Some(&asked)
        };
        self.results.iter().find(is_it).copied()
    }

    /// The highest rate that was asked for, and kept up with without an error, in each round.
    fn highest(&self, contender: &str) -> Option<u32> {
        let rounds = self.row(contender, ASKED)?.rounds.len();
        let limit = self.limit(contender).unwrap_or(f64::INFINITY);
        let is_held = |asked: &u32| {
            let row = self.row(contender, *asked);
            let asked = f64::from(*asked);
            let keeps_up = |row: &Outcome| {
                row.ok
                    && row.rounds.len() == rounds
                    && row.rounds.iter().all(|&rate| rate >= asked * KEPT_UP)
            };
            row.is_some_and(keeps_up) && asked < limit
        };
        self.asked().into_iter().take_while(is_held).last()
    }

    /// From which rate on the load was the bottleneck, in one round at least.
    fn limit(&self, contender: &str) -> Option<f64> {
        let is_limit =
            |row: &&&Outcome| row.contender == contender && row.parameters.get("limit").is_some();
        self.results.iter().find(is_limit)?.rounds.iter().copied().reduce(f64::min)
    }

    fn beside_then(&self) -> Grid {
        let head = ["server", "year", "asked", "requests a second", "errors", "most kept up with"];
        let mut grid = Grid::new(head, 1);
        let asked = || count(f64::from(ASKED));
        for then in &THEN {
            let errors = then.errors.map_or_else(|| "not told".to_owned(), |it| count(it.into()));
            let cells = ["2006".to_owned(), asked(), count(then.rate.round()), errors];
            grid.row([then.name.to_owned()].into_iter().chain(cells).chain([String::new()]));
        }
        for &name in &self.contenders {
            let row = self.row(name, ASKED);
            let rate = row
                .and_then(|row| row.median)
                .map_or_else(|| "failed".to_owned(), |rate| count(rate.round()));
            let errors = row.map_or_else(String::new, |row| count(lost(row) as f64));
            let most = self.highest(name).map_or_else(|| none(row), |it| count(it.into()));
            grid.row([name.to_owned(), "now".to_owned(), asked(), rate, errors, most]);
        }
        grid
    }

    fn rates(&self) -> Grid {
        self.grid(|row| match row.median {
            Some(rate) => count(rate.round()),
            None => format!("{} errors", count(lost(row) as f64)),
        })
    }

    fn cpu(&self) -> Grid {
        self.grid(|row| {
            row.cpu_ns_per_unit.filter(|_| row.ok).map_or_else(String::new, |ns| figure(ns / 1e3))
        })
    }

    fn grid(&self, cell: impl Fn(&Outcome) -> String) -> Grid {
        let mut grid = Grid::new(["asked"].into_iter().chain(self.contenders.iter().copied()), 1);
        for asked in self.asked() {
            let cells = self
                .contenders
                .iter()
                .map(|name| self.row(name, asked).map_or_else(String::new, &cell));
            grid.row([count(asked.into())].into_iter().chain(cells));
        }
        grid
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let then = THEN.iter().map(|then| {
            let errors = then.errors.map_or_else(String::new, |errors| {
                format!(
                    " with {} errors in {} connections",
                    count(errors.into()),
                    count(CONNECTIONS.into())
                )
            });
            format!("{} {}{errors}", then.name, count(then.rate.round()))
        });
        let then: Vec<String> = then.collect();
        let asked = count(f64::from(ASKED));
        notes.push(format!(
            "Of {asked} requests a second, in 2006 these were made: {}.",
            then.join("; ")
        ));
        for &name in &self.contenders {
            if let Some(most) = self.highest(name).filter(|&most| most > ASKED) {
                notes.push(format!(
                    "{name} answered {} a second without an error, {} times as many as were asked for in 2006.",
                    count(most.into()),
                    most / ASKED
                ));
            }
        }
        let mut limits: Vec<(f64, &str)> =
            self.contenders.iter().filter_map(|name| Some((self.limit(name)?, *name))).collect();
        limits.sort_by(|one, other| one.0.total_cmp(&other.0));
        for same in limits.chunk_by(|one, other| one.0 == other.0) {
            let names: Vec<&str> = same.iter().map(|it| it.1).collect();
            notes.push(format!(
                "At {} a second the load itself was the bottleneck, with {}: what the server could do there is not \
                 known.",
                count(same[0].0),
                names.join("; ")
            ));
        }
        let common =
            |asked: &u32| self.contenders.iter().all(|name| self.highest(name) >= Some(*asked));
        let cpu = |name, asked| self.row(name, asked).and_then(|row| row.cpu_ns_per_unit);
        if let Some(asked) = self.asked().into_iter().take_while(common).last()
            && let Some(ours) = cpu("ukevent io_uring", asked)
            && let Some(theirs) = cpu("bare epoll", asked)
        {
            notes.push(format!(
                "At {} a second, ukevent io_uring uses {} of the CPU time of bare epoll.",
                count(asked.into()),
                figure(ours / theirs)
            ));
        }
        for row in self.results.iter().filter(|row| !row.ok && row.parameters.is_empty()) {
            let error = row.error.as_deref().unwrap_or("it did not finish a round");
            notes.push(format!("{} has no result: {error}.", row.contender));
        }
        notes
    }

    fn chart(&self) -> Chart {
        let answered = |row: &Outcome, asked: f64| {
            // Where some were not, what was is known from the counts; where it failed otherwise, nothing is.
            let share = row.delivered as f64 / row.expected.max(1) as f64;
            row.median.or_else(|| (row.delivered < row.expected).then_some(share * asked))
        };
        let now = self.contenders.iter().map(|&name| Line {
            name: name.to_owned(),
            is_old: false,
            points: self
                .asked()
                .into_iter()
                .filter_map(|asked| {
                    let (row, asked) = (self.row(name, asked)?, f64::from(asked));
                    Some((asked, answered(row, asked)?))
                })
                .collect(),
        });
        // All would be one cloud.
        let told = |then: &&Then| ["epoll", "kevent_socket"].contains(&then.name);
        let then = THEN.iter().filter(told).map(|then| Line {
            name: format!("{} (2006)", then.name),
            is_old: true,
            points: vec![(f64::from(ASKED), then.rate)],
        });
        Chart {
            x: "connections a second that were asked for",
            y: "requests a second",
            is_log: false,
            labels: Vec::new(),
            lines: now.filter(|line| !line.points.is_empty()).chain(then).collect(),
        }
    }
}

/// Why there is no highest rate.
fn none(first: Option<&Outcome>) -> String {
    if first.is_some_and(|row| row.ok) { "not known" } else { "none" }.to_owned()
}

/// Requests without their reply, over all rounds.
const fn lost(row: &Outcome) -> u64 {
    row.expected.saturating_sub(row.delivered)
}
