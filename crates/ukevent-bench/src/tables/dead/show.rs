//! What was found in 2001, and what is shown of both.

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
    who: "Davide Libenzi, “Improving (network) IO performance”, July 2001",
    how: "A server of coroutines on a Pentium III of 600 MHz with 128 MB, Linux 2.4.6, over 100 Mbit/s; httperf on \
          another machine with 100 busy connections (--think-timeout 5 --timeout 5 --num-calls 2500 --num-conns 100 \
          --hog --rate 100); dead connections from a third. Each figure is the mean of three runs.",
};

/// A way to wait for events in 2001, and its replies a second.
struct Then {
    name: &'static str,
    /// Of each size in [`SIZES`], beside each number of dead connections in [`DEAD`].
    rates: [[f64; 6]; 3],
}

const SIZES: [usize; 3] = [128, 512, 1024];
const DEAD: [u32; 6] = [0, 1_000, 2_000, 4_000, 6_000, 16_000];

const THEN: [Then; 3] = [
    Then {
        name: "poll()",
        rates: [
            [22_510.0, 14_800.0, 10_800.0, 7_200.0, 5_500.0, 2_350.0],
            [18_000.0, 14_800.0, 10_900.0, 7_200.0, 5_512.0, 2_330.0],
            [10_300.0, 10_000.0, 8_400.0, 7_000.0, 5_410.0, 2_150.0],
        ],
    },
    Then {
        name: "/dev/poll",
        rates: [
            [23_500.0, 16_000.0, 12_600.0, 8_900.0, 6_760.0, 3_150.0],
            [18_000.0, 15_500.0, 12_500.0, 8_800.0, 6_830.0, 3_159.0],
            [10_400.0, 10_150.0, 9_600.0, 8_500.0, 6_655.0, 3_145.0],
        ],
    },
    Then {
        name: "new /dev/poll",
        rates: [
            [27_000.0, 26_500.0, 26_700.0, 26_200.0, 26_250.0, 26_400.0],
            [18_200.0, 18_200.0, 18_150.0, 18_140.0, 18_150.0, 18_146.0],
            [10_900.0, 10_800.0, 10_680.0, 10_600.0, 10_600.0, 10_650.0],
        ],
    },
];

/// The size of the chart and of what is said: the smaller the reply, the more the waiting counts.
const TOLD: usize = 128;

pub(super) fn show(results: &[Outcome]) -> View {
    let results: Vec<&Outcome> = results.iter().filter(|row| row.table == "dead").collect();
    let now = Now { contenders: unique(results.iter().map(|row| row.contender.as_str())), results };
    let sizes: BTreeSet<usize> = SIZES.into_iter().chain(now.numbers("bytes")).collect();
    let mut grids = Vec::new();
    for bytes in sizes {
        grids.push((
            format!("replies a second, of {} bytes each", count(bytes as f64)),
            now.rates(bytes),
        ));
    }
    for bytes in now.numbers::<usize>("bytes") {
        let heading =
            format!("CPU time of the server for a reply of {} bytes, in µs", count(bytes as f64));
        grids.push((heading, now.cpu(bytes)));
    }
    View { grids, notes: now.notes(), chart: Some(now.chart()) }
}

/// What was measured now.
struct Now<'a> {
    contenders: Vec<&'a str>,
    results: Vec<&'a Outcome>,
}

impl Now<'_> {
    /// All values of a parameter.
    fn numbers<T: Ord + std::str::FromStr>(&self, name: &str) -> BTreeSet<T> {
        let values = self.results.iter().filter_map(|row| row.parameters.get(name));
        values.filter_map(|value| shown(value).parse().ok()).collect()
    }

    fn row(&self, contender: &str, bytes: usize, dead: u32) -> Option<&Outcome> {
        let is_it = |row: &&&Outcome| {
            let has =
                |name, value: &str| row.parameters.get(name).is_some_and(|it| shown(it) == value);
            row.contender == contender
                && has("bytes", &bytes.to_string())
                && has("dead", &dead.to_string())
        };
        self.results.iter().find(is_it).copied()
    }

    /// Whether a contender has no result, where others have one, or could have.
    fn failed(&self, contender: &str, bytes: usize, dead: u32) -> bool {
        if let Some(row) = self.row(contender, bytes, dead) {
            return !row.ok;
        }
        let (sizes, numbers) = (self.numbers::<usize>("bytes"), self.numbers::<u32>("dead"));
        self.results.iter().any(|row| row.contender == contender && !row.ok)
            && (sizes.is_empty() || sizes.contains(&bytes))
            && (numbers.is_empty() || numbers.contains(&dead))
    }

    fn rate(&self, contender: &str, bytes: usize, dead: u32) -> Option<f64> {
        self.row(contender, bytes, dead)?.median
    }

    /// Of its own rate without dead connections, in percent.
    fn share(&self, contender: &str, bytes: usize, dead: u32) -> Option<f64> {
        percent(self.rate(contender, bytes, dead)?, self.rate(contender, bytes, 0)?)
    }

    fn dead(&self) -> BTreeSet<u32> {
        DEAD.into_iter().chain(self.numbers("dead")).collect()
    }

    fn rates(&self, bytes: usize) -> Grid {
        let then = THEN.iter().map(|then| format!("{} (2001)", then.name));
        let now = self.contenders.iter().map(|&name| name.to_owned());
        let mut grid = Grid::new(["dead".to_owned()].into_iter().chain(then).chain(now), 1);
        for dead in self.dead() {
            let then = THEN.iter().map(|then| {
                let rate = then.rate(bytes, dead);
                cell(rate, rate.zip(then.rate(bytes, 0)).and_then(|(rate, own)| percent(rate, own)))
            });
            let now = self.contenders.iter().map(|name| {
                if self.failed(name, bytes, dead) {
                    return "failed".to_owned();
                }
                cell(self.rate(name, bytes, dead), self.share(name, bytes, dead))
            });
            grid.row([count(f64::from(dead))].into_iter().chain(then).chain(now));
        }
        grid
    }

    fn cpu(&self, bytes: usize) -> Grid {
        let mut grid = Grid::new(["dead"].into_iter().chain(self.contenders.iter().copied()), 1);
        for dead in self.numbers::<u32>("dead") {
            let cell = |name: &&str| {
                let row = self.row(name, bytes, dead).filter(|row| row.ok);
                row.and_then(|row| row.cpu_ns_per_unit)
                    .map_or_else(String::new, |ns| figure(ns / 1e3))
            };
            grid.row([count(f64::from(dead))].into_iter().chain(self.contenders.iter().map(cell)));
        }
        grid
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "The percentages are of the same server's rate without dead connections. What is empty was not \
             measured."
                .to_owned(),
        ];
        let Some(&most) = self.numbers::<u32>("dead").last() else { return notes };
        let kept = |name: &str| self.share(name, TOLD, most);
        let (then_most, last) = (f64::from(DEAD[DEAD.len() - 1]), DEAD.len() - 1);
        let then = |then: &Then| percent(then.rates[0][last], then.rates[0][0]).unwrap_or(0.0);
        let places = if then_most == f64::from(most) {
            format!("With {} dead connections", count(then_most))
        } else {
            notes.push(format!(
                "In 2001 there were up to {} dead connections, here {}.",
                count(then_most),
                count(f64::from(most))
            ));
            format!(
                "With {} dead connections then, {} now",
                count(then_most),
                count(f64::from(most))
            )
        };
        let says = |old: &Then, names: &[&str]| {
            let now: Vec<String> = names
                .iter()
                .filter_map(|name| Some(format!("{name} keeps {:.0} %", kept(name)?)))
                .collect();
            (!now.is_empty()).then(|| {
                format!(
                    "{places}, {} kept {:.0} % of its rate; {}.",
                    old.name,
                    then(old),
                    listed(&now)
                )
            })
        };
        notes.extend(says(&THEN[0], &["bare poll", "ukevent poll"]));
        notes.extend(says(&THEN[2], &["bare epoll", "ukevent epoll", "ukevent io_uring"]));
        for name in &self.contenders {
            let failed = self.results.iter().find(|row| row.contender == *name && !row.ok);
            if let Some(error) = failed.and_then(|row| row.error.as_ref()) {
                notes.push(format!("{name} has no result: {error}."));
            }
        }
        notes
    }

    fn chart(&self) -> Chart {
        let now = self.contenders.iter().map(|name| Line {
            name: (*name).to_owned(),
            is_old: false,
            points: self
                .numbers::<u32>("dead")
                .into_iter()
                .filter_map(|dead| Some((f64::from(dead), self.share(name, TOLD, dead)?)))
                .collect(),
        });
        let then = THEN.iter().map(|then| Line {
            name: format!("{} (2001)", then.name),
            is_old: true,
            points: DEAD
                .into_iter()
                .filter_map(|dead| {
                    let own = then.rate(TOLD, 0)?;
                    Some((f64::from(dead), percent(then.rate(TOLD, dead)?, own)?))
                })
                .collect(),
        });
        Chart {
            x: "dead connections",
            y: "% of the rate without them (replies of 128 bytes)",
            is_log: false,
            labels: Vec::new(),
            lines: now.filter(|line| !line.points.is_empty()).chain(then).collect(),
        }
    }
}

impl Then {
    fn rate(&self, bytes: usize, dead: u32) -> Option<f64> {
        let size = SIZES.iter().position(|&it| it == bytes)?;
        let place = DEAD.iter().position(|&it| it == dead)?;
        Some(self.rates[size][place])
    }
}

fn percent(rate: f64, own: f64) -> Option<f64> {
    (own > 0.0).then(|| 100.0 * rate / own)
}

/// A rate, and its share of that without dead connections.
fn cell(rate: Option<f64>, share: Option<f64>) -> String {
    match (rate, share) {
        (None, _) => String::new(),
        (Some(rate), None) => count(rate.round()),
        (Some(rate), Some(share)) => format!("{} {share:3.0} %", count(rate.round())),
    }
}

/// As a sentence has them.
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
