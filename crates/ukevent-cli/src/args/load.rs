//! `ukevent load`: its flags.

use crate::units::Time;
use clap::{ArgAction, ArgGroup, Args};
use rustix::thread::CpuSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use ukevent::BackendKind;
use ukevent_load::report::Form;
use ukevent_load::search::Goal;
use ukevent_load::{DEEPEST_PIPELINE, MOST_RATE, Ramp, Shape, Target};

/// Ask a server over HTTP, so often or so many at a time, and say how it bore it.
///
/// Without --rate it is a closed loop: each connection asks again when it was answered, which shows how much the
/// server can do. With --rate it is an open loop: requests start when they are due, whatever the server does, and
/// latency counts from then; which shows how long people wait. With --find it looks for the highest rate at which they
/// wait no longer than they should.
///
/// Nothing that fails is hidden: each failure is counted by its class, and if this program was the bottleneck the
/// report says so. Ctrl-C ends it early, with a report of the time until then; twice, at once. Ends with 1 if there
/// was no reply at all, or if it was ended early.
#[derive(Args, Debug)]
#[command(
    after_help = EXAMPLES,
    args_override_self = true,
    group = ArgGroup::new("schedule").args(["rate", "find"]).multiple(true)
)]
pub(crate) struct LoadArgs {
    /// Whom to ask: http://HOST:PORT/PATH, or https://… for TLS
    pub(crate) url: Target,

    /// Connections; in an open loop, at most. With more than one process may have descriptors for, there are several
    /// processes
    #[arg(long, short, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,

    /// Requests on their way at a time on each connection, 1024 at most: what is beyond waits in buffers
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "schedule", value_parser = clap::value_parser!(u32).range(1..=i64::from(DEEPEST_PIPELINE)))]
    pub(crate) pipeline: u32,

    /// How long requests are started
    #[arg(long, short, value_name = "TIME", default_value_t = Time(Duration::from_secs(10)))]
    pub(crate) duration: Time,

    /// So many requests, however long it takes
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "duration")]
    pub(crate) requests: Option<u64>,

    /// Start so many requests a second, ten million at most. N..M changes from N to M over the duration, N..M/S does
    /// so in S steps of equal length
    #[arg(long, short, value_name = "N[..M[/S]]")]
    pub(crate) rate: Option<Rate>,

    /// When they start: even, poisson, or bursts:N for N at once
    #[arg(long, value_name = "HOW", default_value = "even", requires = "schedule", value_parser = shape)]
    pub(crate) arrivals: Shape,

    /// Look for the highest rate at which this percentile of the latency is within this time and nothing fails:
    /// p99=10ms, or p50, p90, p99.9, max. Doubles the rate, from --rate or 1000 on, until it is missed, and then halves
    /// the distance; ends where this program is the bottleneck
    #[arg(long, value_name = "GOAL", conflicts_with_all = ["requests", "duration"])]
    pub(crate) find: Option<Goal>,

    /// How long each rate is tried
    #[arg(long, value_name = "TIME", default_value_t = Time(Duration::from_secs(5)), requires = "find")]
    pub(crate) step: Time,

    /// How exactly that rate is to be found, in percent of it
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, requires = "find", value_parser = percent)]
    pub(crate) precision: f64,

    /// Use a connection for one request only
    #[arg(long)]
    pub(crate) no_keep_alive: bool,

    /// How long each connection waits before it asks again
    #[arg(long, value_name = "TIME", conflicts_with = "schedule")]
    pub(crate) think: Option<Time>,

    /// Draw requests from this file: lines of WEIGHT METHOD PATH, with fields and a body indented below
    #[arg(long, value_name = "FILE")]
    pub(crate) mix: Option<PathBuf>,

    /// Connect to this Unix socket
    #[arg(long, value_name = "PATH")]
    pub(crate) unix: Option<PathBuf>,

    /// With https://, trust what the roots in this PEM file lead to, not this system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// With https://, trust any certificate: nothing is verified
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,

    /// Connect from this address; several times for several, in turn: each has ports of its own, and the fewer of
    /// them are free, the longer the kernel looks for one
    #[arg(long, value_name = "ADDRESS", action = ArgAction::Append, conflicts_with = "unix")]
    pub(crate) from: Vec<IpAddr>,

    /// Hold so many connections that ask nothing beside the load
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) dead: u32,

    /// Let so many clients send one byte of a request after the other beside the load
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) slow: u32,

    /// The time between two bytes of those
    #[arg(long, value_name = "TIME", default_value_t = Time(Duration::from_millis(100)))]
    pub(crate) slow_gap: Time,

    /// Time for a connection, and TLS's handshake on it
    #[arg(long, value_name = "TIME", default_value_t = Time(Duration::from_secs(5)))]
    pub(crate) connect_time: Time,

    /// Time for a whole reply
    #[arg(long, value_name = "TIME", default_value_t = Time(Duration::from_secs(10)))]
    pub(crate) reply_time: Time,

    /// Make the load in so many processes, which share it, each of one thread: for more processors. [default: one, or
    /// as many as its connections need by the limit of descriptors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_PROCESSES)))]
    pub(crate) processes: Option<u32>,

    /// Run on these processors only, each process on one of them in turn: 1, or 0,2-3
    #[arg(long, value_name = "CORES")]
    pub(crate) pin: Option<Cores>,

    /// Seed of all that is random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Use this backend, not the best that the kernel allows
    #[arg(long, value_name = "NAME", value_parser = super::backend())]
    pub(crate) backend: Option<BackendKind>,

    /// How the report looks: human, json, csv, hdr, hgrm, httperf, plot-percentiles, plot-time
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub(crate) report: Form,

    /// The same as --report json
    #[arg(long, conflicts_with = "report")]
    pub(crate) json: bool,

    /// Write the report in all forms into this directory, too
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Of a process that was started by another one: which of how many
    #[arg(long, value_name = "K/N", hide = true)]
    pub(crate) part: Option<Part>,

    /// Of a process that was started by another one that searches: the rate to try
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) at_rate: Option<f64>,
}

/// Processes at most.
pub(crate) const MOST_PROCESSES: u32 = 1024;

/// How often requests start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    One(f64),
    /// Its length is told elsewhere.
    Ramp(Ramp),
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_too_high = |rate: f64| rate > MOST_RATE;
        let too_high = || Err(format!("{text:?} is more than can be asked: 10000000 at most"));
        if text.contains("..") {
            let ramp: Ramp = text.parse().map_err(|error| format!("{text:?} is none: {error}"))?;
            return match is_too_high(ramp.from.max(ramp.to)) {
                true => too_high(),
                false => Ok(Self::Ramp(ramp)),
            };
        }
        match text.parse::<f64>() {
            Ok(rate) if rate.is_finite() && is_too_high(rate) => too_high(),
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Self::One(rate)),
            _ => Err(format!(
                "{text:?} is no rate; write requests a second, such as 1000 or 0.5, or 1000..20000"
            )),
        }
    }
}

/// Processors, as their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cores(pub(crate) Vec<usize>);

impl std::str::FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is none; write numbers and ranges, such as 1 or 0,2-3");
        let number = |it: &str| it.parse().ok().filter(|&it: &usize| it < CpuSet::MAX_CPU);
        let mut cores = Vec::new();
        for piece in text.split(',') {
            let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
            let (first, last) = number(first).zip(number(last)).ok_or_else(wrong)?;
            if first > last {
                return Err(wrong());
            }
            cores.extend(first..=last);
        }
        Ok(Self(cores))
    }
}

/// One of several processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) of: u32,
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, of) = text.split_once('/').ok_or("write K/N")?;
        let (number, of) = (number.parse().map_err(|_| "K")?, of.parse().map_err(|_| "N")?);
        if number < of { Ok(Self { number, of }) } else { Err("K is below N".to_owned()) }
    }
}

fn shape(text: &str) -> Result<Shape, String> {
    let burst =
        |size: &str| size.parse().ok().filter(|&size| size > 0).map(|size| Shape::Bursts { size });
    match text {
        "even" => Ok(Shape::Even),
        "poisson" => Ok(Shape::Poisson),
        _ => text
            .strip_prefix("bursts:")
            .and_then(burst)
            .ok_or_else(|| format!("{text:?} is none; write even, poisson, or bursts:100")),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.1..=100.0).contains(&percent) => Ok(percent),
        _ => Err(format!("{text:?} is no precision; write percent from 0.1 to 100, such as 5")),
    }
}

const EXAMPLES: &str = "\
Examples:
  ukevent load http://127.0.0.1:8080/
      64 connections for ten seconds
  ukevent load http://127.0.0.1:8080/ --rate 5000 --arrivals poisson -d 1m --out result
      how long people wait, and the report in all forms
  ukevent load http://127.0.0.1:8080/ --rate 1000..20000 -d 1m --report plot-time > time.svg
      at a rate that rises from 1000 a second to 20000; --rate 1000..20000/5 does so in five steps
  ukevent load http://127.0.0.1:8080/ --find p99=10ms --processes 2 --pin 2-3
      the highest rate at which of 100 people 99 wait no longer than 10 ms, asked from two processors
  ukevent load http://127.0.0.1:8080/ --dead 16000 --report httperf
      beside 16,000 connections that ask nothing, told as httperf does";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores() {
        assert_eq!("1".parse(), Ok(Cores(vec![1])));
        assert_eq!("0,2-4,1".parse(), Ok(Cores(vec![0, 2, 3, 4, 1])));
        for wrong in ["", ",", "1,", "a", "-1", "3-2", "0-", "1024", "0-9999999999"] {
            assert!(wrong.parse::<Cores>().unwrap_err().contains("0,2-3"), "{wrong}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!("0.5".parse(), Ok(Rate::One(0.5)));
        assert!(matches!("1..2/5".parse(), Ok(Rate::Ramp(Ramp { steps: 5, .. }))));
        for (wrong, says) in [
            ("0", "no rate"),
            ("often", "no rate"),
            ("inf", "no rate"),
            ("10000001", "10000000 at most"),
            ("1..1e8", "10000000 at most"),
            ("1..2/1", "2 to 1000 steps"),
        ] {
            assert!(wrong.parse::<Rate>().unwrap_err().contains(says), "{wrong}");
        }
    }
}
