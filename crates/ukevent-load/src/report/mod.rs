//! What a run has shown, in the forms that people and programs read. Each form is a file here, and writes
//! text to whatever it is given; none asks a clock or the system for anything.
//!
//! Every form says whether the load generator was the bottleneck ([`Verdict`]), and none has a number that
//! is none: what cannot be told, for want of replies, is zero.

mod csv;
mod hdr;
mod httperf;
mod human;
pub(crate) mod json;
mod plot;

#[cfg(test)]
mod tests;

use crate::{
    Arrivals, Shape,
    record::{Record, Sample},
    verdict::Verdict,
};
use std::{fmt, io, str::FromStr, time::SystemTime};
use ukevent_measure::text;

/// What a report says of a run, beside what was counted in it.
///
/// ```
/// use ukevent_load::{record::Record, report::{About, Form, Mode}};
///
/// let about = About {
///     server: "127.0.0.1:8080".to_owned(),
///     ..About::new("http://localhost:8080/", Mode::Closed { connections: 64, pipeline: 1 })
/// };
/// let mut text = Vec::new();
/// Form::Json.write(&Record::new(), &about, &mut text)?;
/// assert!(text.starts_with(b"{\"requests\":0"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// The command, as it was given.
    pub command: String,
    /// What was asked for, or the file of a mix.
    pub url: String,
    /// Where it was asked: an address and port, or the path of a socket.
    pub server: String,
    /// How load was made.
    pub mode: Mode,
    /// In how many processes.
    pub processes: u32,
    /// The version of the generator.
    pub version: String,
    /// When the first request could start.
    pub started: SystemTime,
}

/// How load is made.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// So many at a time: each asks again when it was answered.
    Closed {
        /// Connections.
        connections: u32,
        /// Requests at a time on each.
        pipeline: u32,
    },
    /// So many a second, whatever the server does.
    Open {
        /// When they start.
        arrivals: Arrivals,
    },
}

/// A form of a report. As text it is its [name](Form::name).
///
/// ```
/// use ukevent_load::report::Form;
///
/// assert_eq!("httperf".parse(), Ok(Form::Httperf));
/// assert!("htperf".parse::<Form>().unwrap_err().to_string().contains("hdr"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// A table for a terminal of 80 columns.
    Human,
    /// One object in one line; names end in their units.
    Json,
    /// The parts of the run, a row each.
    Csv,
    /// An interval log of HdrHistogram, version 1.3: latencies in ns.
    Hdr,
    /// HdrHistogram's distribution of percentiles, as its plotters read it: latencies in ms.
    Hgrm,
    /// The lines of httperf 0.9.
    Httperf,
    /// SVG: latency by percentile.
    PlotPercentiles,
    /// SVG: rate and latency over time.
    PlotTime,
}

/// No form has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownForm;

impl About {
    /// Of a run of this version that starts now, in one process.
    #[must_use]
    pub fn new(url: &str, mode: Mode) -> Self {
        Self {
            command: String::new(),
            url: url.to_owned(),
            server: String::new(),
            mode,
            processes: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: SystemTime::now(),
        }
    }

    /// How many requests a second were due in a part of the run; nothing, in a closed loop.
    fn rate_due(&self, sample: &Sample) -> Option<f64> {
        match self.mode {
            Mode::Closed { .. } => None,
            Mode::Open { arrivals } => Some(arrivals.rate_from(sample.at, sample.length)),
        }
    }

    /// By its date and time in UTC, to the second.
    pub(crate) fn started_text(&self) -> String {
        let text = jiff::Timestamp::try_from(self.started).map(|at| format!("{at:.0}"));
        text.unwrap_or_else(|_| "at an unknown time".to_owned())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Closed { connections, pipeline: 0 | 1 } => {
                write!(f, "closed loop, {connections} connections")
            }
            Self::Closed { connections, pipeline } => {
                write!(
                    f,
                    "closed loop, {connections} connections, {pipeline} requests at a time on each"
                )
            }
            Self::Open { arrivals } => {
                let rate = text::count(arrivals.rate());
                match arrivals {
                    Arrivals::Even { .. } => write!(f, "open loop, {rate} requests/s, evenly"),
                    Arrivals::Poisson { .. } => write!(f, "open loop, {rate} requests/s, Poisson"),
                    Arrivals::Bursts { size, .. } => {
                        write!(f, "open loop, {rate} requests/s, in bursts of {size}")
                    }
                    Arrivals::Ramp { ramp, shape } => {
                        let (from, to) = (text::count(ramp.from), text::count(ramp.to));
                        write!(f, "open loop, from {from} to {to} requests/s")?;
                        if ramp.steps >= 2 {
                            write!(f, " in {} steps", ramp.steps)?;
                        }
                        match shape {
                            Shape::Even => f.write_str(", evenly"),
                            Shape::Poisson => f.write_str(", Poisson"),
                            Shape::Bursts { size } => write!(f, ", in bursts of {size}"),
                        }
                    }
                }
            }
        }
    }
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Human,
        Self::Json,
        Self::Csv,
        Self::Hdr,
        Self::Hgrm,
        Self::Httperf,
        Self::PlotPercentiles,
        Self::PlotTime,
    ];

    /// In one word, as options have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Hdr => "hdr",
            Self::Hgrm => "hgrm",
            Self::Httperf => "httperf",
            Self::PlotPercentiles => "plot-percentiles",
            Self::PlotTime => "plot-time",
        }
    }

    /// Writes the report. Many small pieces: give it something with a buffer.
    ///
    /// # Errors
    /// What `out` fails with.
    pub fn write(self, record: &Record, about: &About, out: &mut dyn io::Write) -> io::Result<()> {
        let verdict = Verdict::of(record);
        match self {
            Self::Human => human::write(record, about, &verdict, out),
            Self::Json => json::write(record, about, &verdict, out),
            Self::Csv => csv::write(record, about, &verdict, out),
            Self::Hdr => hdr::write_log(record, about, &verdict, out),
            Self::Hgrm => hdr::write_percentiles(record, &verdict, out),
            Self::Httperf => httperf::write(record, about, &verdict, out),
            Self::PlotPercentiles => plot::percentiles(record, about, &verdict, out),
            Self::PlotTime => plot::over_time(record, about, &verdict, out),
        }
    }
}

impl FromStr for Form {
    type Err = UnknownForm;

    fn from_str(name: &str) -> Result<Self, UnknownForm> {
        Self::ALL.into_iter().find(|form| form.name() == name).ok_or(UnknownForm)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for UnknownForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such form of report; there are ")?;
        f.write_str(&Form::ALL.map(Form::name).join(", "))
    }
}

impl std::error::Error for UnknownForm {}
