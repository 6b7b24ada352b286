//! What was found in 2006, and what is shown of both.

use super::WAYS;
use crate::view::{Chart, Line, Source, View, find};
use ukevent_measure::{
    results::Outcome,
    stats::{Ratio, figure},
    table::{Grid, unique},
    text::count,
};

/// Where it was measured first.
pub(super) const SOURCE: Source = Source {
    who: "Evgeniy Polyakov, “Kevent benchmarking”, step 1, 16 January 2006, and “FreeBSD kqueue benchmark”, \
          21 January 2006",
    how: "Servers of one thread on a Xeon of 2.4 GHz, Apache 2.0.54 on a Pentium 4 of 3 GHz, over 1 Gbit/s; httperf on \
          another machine: 10,000 connections of one request each, one after the other, for a page of 3,931 bytes.",
};

/// A server of 2006, and its requests a second by the ways of [`WAYS`].
struct Then {
    name: &'static str,
    rates: [Option<f64>; 3],
}

const THEN: [Then; 2] = [
    Then { name: "kevent (2006)", rates: [Some(1_759.4), Some(2_586.5), None] },
    Then { name: "kqueue, FreeBSD (2006)", rates: [Some(1_034.4), None, None] },
];
/// Of which it is not told how it sends.
const APACHE: f64 = 1_258.4;

pub(super) fn show(results: &[Outcome]) -> View {
    let rows = results.iter().filter(|row| row.table == "sequential");
    let contenders = unique(rows.map(|row| row.contender.as_str()));
    let now = Now { contenders, results };
    let cpu = "CPU time of the server for a request, in µs".to_owned();
    View {
        grids: vec![("requests a second".to_owned(), now.rates()), (cpu, now.cpu())],
        notes: now.notes(),
        chart: Some(now.chart()),
    }
}

/// What was measured now.
struct Now<'a> {
    contenders: Vec<&'a str>,
    results: &'a [Outcome],
}

impl Now<'_> {
    fn row(&self, contender: &str, way: &str) -> Option<&Outcome> {
        find(self.results, contender, &[("page", way)]).filter(|row| row.table == "sequential")
    }

    /// What it makes of sendfile, in requests for each that it makes of reading and sending.
    fn gain(&self, contender: &str) -> Option<Ratio> {
        let [read, send_file, _] =
            WAYS.map(|(_, way)| self.row(contender, way).filter(|row| row.ok));
        Ratio::of(&send_file?.rounds, &read?.rounds)
    }

    fn rates(&self) -> Grid {
        let then = THEN.iter().map(|then| then.name).chain(["Apache (2006)"]);
        let names = self.contenders.iter().copied();
        let mut grid = Grid::new(["page"].into_iter().chain(then).chain(names), 1);
        let rate = |rate: Option<f64>| rate.map_or_else(String::new, |it| count(it.round()));
        for (number, (_, way)) in WAYS.into_iter().enumerate() {
            let then = THEN.iter().map(|then| rate(then.rates[number]));
            let now = self.contenders.iter().map(|name| match self.row(name, way) {
                Some(row) if row.ok => rate(row.median),
                _ => "failed".to_owned(),
            });
            grid.row([way.to_owned()].into_iter().chain(then).chain([String::new()]).chain(now));
        }
        let apache =
            ["not told", "", ""].map(str::to_owned).into_iter().chain([rate(Some(APACHE))]);
        grid.row(apache.chain(self.contenders.iter().map(|_| String::new())));
        let then = THEN.iter().map(|then| then.gain().map_or_else(String::new, figure));
        let now = self
            .contenders
            .iter()
            .map(|name| self.gain(name).map_or_else(String::new, |gain| gain.to_string()));
        let name = "sendfile ÷ read, send".to_owned();
        grid.row([name].into_iter().chain(then).chain([String::new()]).chain(now));
        grid
    }

    fn cpu(&self) -> Grid {
        let mut grid = Grid::new(["page"].into_iter().chain(self.contenders.iter().copied()), 1);
        for (_, way) in WAYS {
            let cell = |name: &&str| {
                let row = self.row(name, way).filter(|row| row.ok);
                row.and_then(|row| row.cpu_ns_per_unit)
                    .map_or_else(String::new, |ns| figure(ns / 1e3))
            };
            grid.row([way.to_owned()].into_iter().chain(self.contenders.iter().map(cell)));
        }
        grid
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "In 2006 a network was between client and server; here both are on one machine, each on a core of its \
             own."
                .to_owned(),
        ];
        let now = self.contenders.iter().filter_map(|name| {
            let gain = self.gain(name)?;
            let difference = if gain.is_none() { ", which is no difference" } else { "" };
            Some(format!("with {name} {gain} times as many{difference}"))
        });
        let (then, now) = (THEN[0].gain(), now.collect::<Vec<_>>());
        if let Some(then) = then.filter(|_| !now.is_empty()) {
            notes.push(format!(
                "With sendfile kevent's server answered {} times as many requests as by reading and sending; now it is \
                 {}.",
                figure(then),
                now.join("; ")
            ));
        }
        for name in &self.contenders {
            let failed = self
                .results
                .iter()
                .find(|row| row.table == "sequential" && row.contender == *name && !row.ok);
            if let Some(error) = failed.and_then(|row| row.error.as_ref()) {
                notes.push(format!("{name} has no result: {error}."));
            }
        }
        notes
    }

    fn chart(&self) -> Chart {
        let at = |number: usize| number as f64 + 0.5;
        let now = self.contenders.iter().map(|&name| Line {
            name: name.to_owned(),
            is_old: false,
            points: WAYS
                .into_iter()
                .enumerate()
                .filter_map(|(number, (_, way))| Some((at(number), self.row(name, way)?.median?)))
                .collect(),
        });
        let then = THEN.iter().map(|then| Line {
            name: then.name.to_owned(),
            is_old: true,
            points: then
                .rates
                .into_iter()
                .enumerate()
                .filter_map(|(number, rate)| Some((at(number), rate?)))
                .collect(),
        });
        Chart {
            x: "where the page comes from",
            y: "requests a second",
            is_log: true,
            labels: WAYS.map(|(_, way)| way.to_owned()).to_vec(),
            lines: now.filter(|line| !line.points.is_empty()).chain(then).collect(),
        }
    }
}

impl Then {
    fn gain(&self) -> Option<f64> {
        Some(self.rates[1]? / self.rates[0]?)
    }
}
