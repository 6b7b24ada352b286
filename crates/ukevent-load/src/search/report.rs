//! How a search is told: each step as it ends, and what it has found at the end. Writes text to whatever it is
//! given, and asks no clock.

use super::{Found, Goal, Outcome, Step};
use crate::report::{
    About,
    json::{Node, micros, object, seconds},
};
use std::{io, time::Duration};
use ukevent_measure::text;

const COLUMNS: usize = 80;

/// A form of such a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// A row for each step as it ends, a sentence, and all steps by their rate, unless they were so; 80 columns.
    Human,
    /// One object in one line, at the end. A rate that was not found is 0.
    Json,
    /// A row for each step as it ends.
    Csv,
}

/// A search that is told.
///
/// ```
/// use std::time::Duration;
/// use ukevent_load::report::{About, Mode};
/// use ukevent_load::search::{Bounds, Form, Outcome, Report, Search, Step};
/// use ukevent_load::{Arrivals, Record};
///
/// let mode = Mode::Open { arrivals: Arrivals::Even { rate: 1000.0 } };
/// let about = About::new("http://localhost/", mode);
/// let goal = "p99=10ms".parse()?;
/// let mut search = Search::new(Bounds::default());
/// let mut report = Report::new(Form::Human, goal, about, 64, Duration::from_secs(5));
/// let mut text = Vec::new();
/// report.begin(&mut text)?;
/// while let Some(rate) = search.next_rate() {
///     // A load at this rate would be made here.
///     let step = Step::of(rate, goal, &Record::new());
///     search.tell(step.outcome);
///     report.step(step, &mut text)?;
/// }
/// report.end(search.found(), &mut text)?;
/// assert!(String::from_utf8(text)?.contains("gave no reply"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    form: Form,
    goal: Goal,
    about: About,
    connections: u32,
    length: Duration,
    steps: Vec<Step>,
    is_cut: bool,
}

impl Report {
    /// One that begins: of steps of this length, on so many connections at most. (Of what it is about, the mode is
    /// that of the first step.)
    #[must_use]
    pub const fn new(
        form: Form,
        goal: Goal,
        about: About,
        connections: u32,
        length: Duration,
    ) -> Self {
        Self { form, goal, about, connections, length, steps: Vec::new(), is_cut: false }
    }

    /// Writes what comes before the first step.
    ///
    /// # Errors
    /// What `out` fails with.
    pub fn begin(&self, out: &mut dyn io::Write) -> io::Result<()> {
        match self.form {
            Form::Json => Ok(()),
            Form::Csv => writeln!(
                out,
                "rate_asked_per_s,rate_got_per_s,latency_p50_us,latency_p99_us,latency_max_us,\
                 goal_percent,goal_us,latency_us,errors,cpu_busiest_percent,outcome"
            ),
            Form::Human => {
                writeln!(out, "{}", text::short(&self.about.url, COLUMNS))?;
                let many = match self.about.processes {
                    0 | 1 => String::new(),
                    many => format!(", {many} processes"),
                };
                let what = format!(
                    "looking for the highest rate with {}: steps of {:?}, {} connections at most{many}",
                    self.goal,
                    self.length,
                    text::count(self.connections.into()),
                );
                for line in text::lines(&what, COLUMNS) {
                    writeln!(out, "{line}")?;
                }
                writeln!(out)?;
                self.head(out)
            }
        }
    }

    /// Writes a step that has ended.
    ///
    /// # Errors
    /// What `out` fails with.
    pub fn step(&mut self, step: Step, out: &mut dyn io::Write) -> io::Result<()> {
        self.steps.push(step);
        match self.form {
            Form::Json => Ok(()),
            Form::Human => self.row(&step, out),
            Form::Csv => {
                let us = |time: Duration| time.as_nanos() as f64 / 1e3;
                writeln!(
                    out,
                    "{:.1},{:.1},{:.3},{:.3},{:.3},{},{:.3},{:.3},{},{:.1},{}",
                    step.rate,
                    step.got,
                    us(step.p50),
                    us(step.p99),
                    us(step.longest),
                    self.goal.percent,
                    us(self.goal.within),
                    us(step.aimed),
                    step.errors,
                    step.busiest_percent,
                    step.outcome,
                )
            }
        }
    }

    /// The search was ended before its end: what was found is only of the rates that were tried.
    pub const fn cut_short(&mut self) {
        self.is_cut = true;
    }

    /// Writes what was found.
    ///
    /// # Errors
    /// What `out` fails with.
    pub fn end(&self, found: Found, out: &mut dyn io::Write) -> io::Result<()> {
        match self.form {
            Form::Csv => Ok(()),
            Form::Json => {
                serde_json::to_writer(&mut *out, &self.node(found))?;
                writeln!(out)
            }
            Form::Human => {
                writeln!(out)?;
                for line in text::lines(&self.sentence(found), COLUMNS) {
                    writeln!(out, "{line}")?;
                }
                if self.steps.is_sorted_by(|one, other| one.rate <= other.rate) {
                    // It would be the same table.
                    return Ok(());
                }
                writeln!(out, "\nBy rate:")?;
                self.head(out)?;
                let mut steps = self.steps.clone();
                steps.sort_by(|one, other| one.rate.total_cmp(&other.rate));
                steps.iter().try_for_each(|step| self.row(step, out))
            }
        }
    }

    /// What was found, in words.
    #[must_use]
    pub fn sentence(&self, found: Found) -> String {
        let (goal, rate) = (self.goal, |rate: f64| format!("{} requests/s", text::count(rate)));
        let mut said = match found {
            Found::Between { met, missed } => format!(
                "The highest rate that met {goal} is {}; {}.",
                rate(met),
                self.missed(missed)
            ),
            Found::AtLeast { met, by_generator: true, beyond: Some(beyond) } => format!(
                "The highest rate that met {goal} is at least {}; {}. In between the load generator was the \
                 bottleneck: use more processes (--processes), on processors that nothing else uses (--pin).",
                rate(met),
                self.missed(beyond)
            ),
            Found::AtLeast { met, by_generator: true, beyond: None } => format!(
                "The highest rate that met {goal} is at least {}: above it the load generator was the \
                 bottleneck, and the server can do better than that. Use more processes (--processes), on \
                 processors that nothing else uses (--pin).",
                rate(met)
            ),
            Found::AtLeast { met, by_generator: false, .. } => {
                let why = if met >= crate::MOST_RATE {
                    "no higher one can be asked"
                } else {
                    "higher ones were not tried"
                };
                format!("The highest rate that met {goal} is at least {}: {why}.", rate(met))
            }
            Found::Nothing { missed, by_generator: false, .. } => {
                format!("No rate met {goal}: {}.", self.missed(missed))
            }
            Found::Nothing { beyond: Some(beyond), .. } => format!(
                "No rate met {goal}: {}; below that the load generator was the bottleneck. Give it processors that \
                 nothing else uses (--pin).",
                self.missed(beyond)
            ),
            Found::Nothing { by_generator: true, .. } => format!(
                "No rate met {goal}, but the load generator was the bottleneck: nothing is known of the server. \
                 Give it processors that nothing else uses (--pin)."
            ),
            Found::Ceased { met, at } => format!(
                "{} met {goal}, but at {} the server gave no reply any more. See whether it still runs.",
                rate(met),
                rate(at)
            ),
            Found::Silent => "The server gave no reply.".to_owned(),
        };
        if self.is_cut {
            said.insert_str(0, "Ended early; of the rates that were tried: ");
        }
        if let Found::Between { missed, .. } = found
            && let Some(step) = self.step_at(missed)
            && step.connections >= self.connections.into()
        {
            let all = text::count(self.connections.into());
            said += &format!(
                " All {all} connections were at work there; with more of them (--connections) the server may do \
                 better."
            );
        }
        said
    }

    /// How the goal was missed.
    fn missed(&self, rate: f64) -> String {
        let at = format!("at {} requests/s", text::count(rate));
        match self.step_at(rate) {
            Some(step) if step.errors > 0 => {
                format!("{at} there were {} errors", text::count(step.errors as f64))
            }
            Some(step) if step.aimed <= self.goal.within => {
                format!("{at} only {} replies came in a second", text::count(step.got))
            }
            Some(step) => format!("{at} {} was {}", self.goal.name(), text::time(step.aimed)),
            None => format!("{at} it was missed"),
        }
    }

    fn step_at(&self, rate: f64) -> Option<&Step> {
        self.steps.iter().rev().find(|step| step.rate == rate)
    }

    /// Whether the goal is about a percentile that has no column otherwise.
    fn has_column(&self) -> bool {
        ![50.0, 99.0, 100.0].contains(&self.goal.percent)
    }

    fn head(&self, out: &mut dyn io::Write) -> io::Result<()> {
        write!(out, "  {:>11} {:>11} {:>8} {:>8}", "asked/s", "got/s", "p50", "p99")?;
        if self.has_column() {
            write!(out, " {:>8}", self.goal.name())?;
        }
        writeln!(out, " {:>8} {:>8}", "max", "errors")
    }

    fn row(&self, step: &Step, out: &mut dyn io::Write) -> io::Result<()> {
        let (asked, got) = (text::count(step.rate), text::count(step.got));
        let (p50, p99) = (text::time(step.p50), text::time(step.p99));
        write!(out, "  {asked:>11} {got:>11} {p50:>8} {p99:>8}")?;
        if self.has_column() {
            write!(out, " {:>8}", text::time(step.aimed))?;
        }
        let (longest, errors) = (text::time(step.longest), text::count(step.errors as f64));
        writeln!(out, " {longest:>8} {errors:>8}  {}", step.outcome)
    }

    fn node(&self, found: Found) -> Node {
        let (met, missed, by_generator) = match found {
            Found::Between { met, missed } => (Some(met), Some(missed), false),
            Found::AtLeast { met, by_generator, beyond } => (Some(met), beyond, by_generator),
            Found::Nothing { missed, by_generator, beyond } => {
                (None, beyond.or(Some(missed)), by_generator)
            }
            Found::Ceased { met, at } => (Some(met), Some(at), false),
            Found::Silent => (None, None, false),
        };
        let number = |it: Option<f64>| Node::Number(it.unwrap_or(0.0));
        let is_at_least = matches!(found, Found::AtLeast { .. });
        object([
            ("found_per_s", number(met)),
            ("missed_per_s", number(missed)),
            ("is_at_least", Node::Flag(is_at_least)),
            ("generator_was_bottleneck", Node::Flag(by_generator)),
            ("ended_early", Node::Flag(self.is_cut)),
            ("sentence", Node::Text(self.sentence(found))),
            ("goal", Node::Text(self.goal.name())),
            ("goal_percent", Node::Number(self.goal.percent)),
            ("goal_us", micros(self.goal.within)),
            ("step_s", seconds(self.length)),
            ("connections", Node::Count(self.connections.into())),
            ("processes", Node::Count(self.about.processes.into())),
            ("steps", Node::List(self.steps.iter().map(step_node).collect())),
            ("url", Node::Text(self.about.url.clone())),
            ("server", Node::Text(self.about.server.clone())),
            ("command", Node::Text(self.about.command.clone())),
            ("version", Node::Text(self.about.version.clone())),
            ("started", Node::Text(self.about.started_text())),
        ])
    }
}

fn step_node(step: &Step) -> Node {
    object([
        ("rate_asked_per_s", Node::Number(step.rate)),
        ("rate_got_per_s", Node::Number(step.got)),
        ("latency_p50_us", micros(step.p50)),
        ("latency_p99_us", micros(step.p99)),
        ("latency_max_us", micros(step.longest)),
        ("latency_goal_us", micros(step.aimed)),
        ("errors", Node::Count(step.errors)),
        ("cpu_busiest_percent", Node::Number(step.busiest_percent)),
        ("concurrent_max", Node::Count(step.connections)),
        ("is_met", Node::Flag(step.outcome == Outcome::Met)),
        ("outcome", Node::Text(step.outcome.name().to_owned())),
    ])
}
