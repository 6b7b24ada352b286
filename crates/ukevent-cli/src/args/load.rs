//! `ukevent load`: its flags.

use crate::units::Time;
use clap::{ArgAction, Args};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use ukevent::BackendKind;
use ukevent_load::Target;
use ukevent_load::report::Form;

/// Ask a server over HTTP, so often or so many at a time, and say how it bore it.
///
/// Without --rate it is a closed loop: each connection asks again when it was answered, which shows how much the
/// server can do. With --rate it is an open loop: requests start when they are due, whatever the server does, and
/// latency counts from then; which shows how long people wait.
///
/// Nothing that fails is hidden: each failure is counted by its class, and if this program was the bottleneck the
/// report says so. Ends with 1 if there was no reply at all.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct LoadArgs {
    /// Whom to ask: http://HOST:PORT/PATH, or https://… for TLS
    pub(crate) url: Target,

    /// Connections; in an open loop, at most
    #[arg(long, short, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,

    /// Requests on their way at a time on each connection
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pipeline: u32,

    /// How long requests are started
    #[arg(long, short, value_name = "TIME", default_value_t = Time(Duration::from_secs(10)))]
    pub(crate) duration: Time,

    /// So many requests, however long it takes
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "duration")]
    pub(crate) requests: Option<u64>,

    /// Start so many requests a second
    #[arg(long, short, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// When they start: even, poisson, or bursts:N for N at once
    #[arg(long, value_name = "HOW", default_value = "even", requires = "rate")]
    pub(crate) arrivals: Shape,

    /// Use a connection for one request only
    #[arg(long)]
    pub(crate) no_keep_alive: bool,

    /// How long each connection waits before it asks again
    #[arg(long, value_name = "TIME", conflicts_with = "rate")]
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

    /// Connect from this address; several times for several, in turn, each of which has ports of its own
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

    /// Make the load in so many processes, which share it: for more processors, and more descriptors than one may
    /// have
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) processes: u32,

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
}

/// The shape of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Even,
    Poisson,
    Bursts(u32),
}

impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let burst = |size: &str| size.parse().ok().filter(|&size| size > 0).map(Self::Bursts);
        match text {
            "even" => Ok(Self::Even),
            "poisson" => Ok(Self::Poisson),
            _ => text
                .strip_prefix("bursts:")
                .and_then(burst)
                .ok_or_else(|| format!("{text:?} is none; write even, poisson, or bursts:100")),
        }
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

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err(format!("{text:?} is no rate; write requests a second, such as 1000 or 0.5")),
    }
}

const EXAMPLES: &str = "\
Examples:
  ukevent load http://127.0.0.1:8080/
      64 connections for ten seconds
  ukevent load http://127.0.0.1:8080/ --rate 5000 --arrivals poisson -d 1m --out result
      how long people wait, and the report in all forms
  ukevent load http://127.0.0.1:8080/ --dead 16000 --report httperf
      beside 16,000 connections that ask nothing, told as httperf does";
