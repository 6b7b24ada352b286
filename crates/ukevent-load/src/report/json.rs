//! One object in one line, for programs. Members are in a fixed order, those that matter most first; names
//! end in their units. All classes of errors are there, with zero too, so that none must be looked for.
//! `due_per_s` is what the schedule asks for in a part of the run, 0 in a closed loop, which has none.
//! `requests_per_s` is of what was asked, `replies_per_s` of what was answered; `late_starts` are later than
//! [`crate::verdict::LATE`].

use super::{About, Mode};
use crate::{
    Arrivals, Class, Shape,
    record::{Record, Sample, Times},
    verdict::Verdict,
};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use std::{io, time::Duration};

/// A value whose members stay in their order.
pub(crate) enum Node {
    Count(u64),
    Number(f64),
    Flag(bool),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

use Node::{Count, Flag, List, Number, Text};

pub(super) fn write(
    record: &Record,
    about: &About,
    verdict: &Verdict,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &report(record, about, verdict))?;
    writeln!(out)
}

fn report(record: &Record, about: &About, verdict: &Verdict) -> Node {
    let per_s = |count: u64| Number(crate::record::per_s(count, record.duration));
    let connections = &record.connections;
    let cpu = record.cpu.user + record.cpu.system;
    let statuses =
        record.statuses.iter().map(|(status, &count)| (status.to_string(), Count(count)));
    let classes =
        Class::ALL.into_iter().map(|class| (class.name().into(), Count(record.errors.of(class))));
    object([
        ("requests", Count(record.requests)),
        ("replies", Count(record.replies)),
        ("errors", Node::Object(classes.collect())),
        ("errors_total", Count(record.errors.total())),
        ("duration_s", seconds(record.duration)),
        ("requests_per_s", per_s(record.requests)),
        ("replies_per_s", per_s(record.replies)),
        ("latency_us", times(&record.latency)),
        ("late_starts", Count(verdict.late_starts)),
        ("late_starts_percent", Number(verdict.late_percent)),
        ("cpu_s", seconds(cpu)),
        ("cpu_user_s", seconds(record.cpu.user)),
        ("cpu_system_s", seconds(record.cpu.system)),
        ("cpu_percent", Number(verdict.cpu_percent)),
        ("cpu_busiest_percent", Number(verdict.busiest_percent)),
        ("threads", Count(record.cpu.threads.into())),
        ("generator_was_bottleneck", Flag(verdict.is_bottleneck())),
        ("verdict", Text(verdict.to_string())),
        ("statuses", Node::Object(statuses.collect())),
        ("response_us", times(&record.response)),
        ("transfer_us", times(&record.transfer)),
        ("lateness_us", times(&record.lateness)),
        (
            "connections",
            object([
                ("tried", Count(connections.tried)),
                ("opened", Count(connections.opened)),
                ("concurrent_max", Count(connections.most)),
                ("tried_per_s", per_s(connections.tried)),
                ("connect_us", times(&connections.connect)),
                ("life_us", times(&connections.life)),
                ("idle", Count(connections.idle)),
                ("idle_lost", Count(connections.idle_lost)),
            ]),
        ),
        ("sent_bytes", Count(record.sent_bytes)),
        ("reply_head_bytes", Count(record.head_bytes)),
        ("reply_body_bytes", Count(record.body_bytes)),
        ("received_bytes_per_s", per_s(record.head_bytes + record.body_bytes)),
        ("samples", List(record.samples.iter().map(|it| sample(it, about)).collect())),
        ("command", Text(about.command.clone())),
        ("url", Text(about.url.clone())),
        ("server", Text(about.server.clone())),
        ("mode", mode(about.mode)),
        ("processes", Count(about.processes.into())),
        ("version", Text(about.version.clone())),
        ("started", Text(about.started_text())),
    ])
}

fn mode(mode: Mode) -> Node {
    match mode {
        Mode::Closed { connections, pipeline } => object([
            ("loop", Text("closed".into())),
            ("connections", Count(connections.into())),
            ("pipeline", Count(pipeline.into())),
        ]),
        Mode::Open { arrivals } => {
            let (shape, burst) = match arrivals.shape() {
                Shape::Even => ("even", 1),
                Shape::Poisson => ("poisson", 1),
                Shape::Bursts { size } => ("bursts", size),
            };
            let (ramp, steps) = match arrivals {
                Arrivals::Ramp { ramp, .. } => ((ramp.from, ramp.to), ramp.steps),
                _ => ((arrivals.rate(), arrivals.rate()), 0),
            };
            object([
                ("loop", Text("open".into())),
                ("rate_per_s", Number(arrivals.rate())),
                ("arrivals", Text(shape.into())),
                ("burst", Count(burst.into())),
                ("rate_from_per_s", Number(ramp.0)),
                ("rate_to_per_s", Number(ramp.1)),
                ("rate_steps", Count(steps.into())),
            ])
        }
    }
}

fn sample(sample: &Sample, about: &About) -> Node {
    object([
        ("at_s", seconds(sample.at)),
        ("length_s", seconds(sample.length)),
        ("replies", Count(sample.replies)),
        ("replies_per_s", Number(sample.replies_per_s())),
        ("errors", Count(sample.errors)),
        ("due_per_s", Number(about.rate_due(sample).unwrap_or(0.0))),
        ("latency_p50_us", Number(sample.p50_ns as f64 / 1e3)),
        ("latency_p99_us", Number(sample.p99_ns as f64 / 1e3)),
        ("latency_max_us", Number(sample.max_ns as f64 / 1e3)),
    ])
}

fn times(times: &Times) -> Node {
    let percentile = |percent| micros(times.percentile(percent));
    object([
        ("p50", percentile(50.0)),
        ("p90", percentile(90.0)),
        ("p99", percentile(99.0)),
        ("p999", percentile(99.9)),
        ("p9999", percentile(99.99)),
        ("max", micros(times.longest())),
        ("min", micros(times.shortest())),
        ("mean", micros(times.mean())),
        ("stddev", micros(times.deviation())),
        ("count", Count(times.count())),
    ])
}

pub(crate) fn micros(time: Duration) -> Node {
    Number(time.as_nanos() as f64 / 1e3)
}

pub(crate) fn seconds(time: Duration) -> Node {
    Number(time.as_secs_f64())
}

pub(crate) fn object<const N: usize>(members: [(&str, Node); N]) -> Node {
    Node::Object(members.into_iter().map(|(name, node)| (name.to_owned(), node)).collect())
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u64(*count),
            // To six digits after the point: more are noise.
            Self::Number(number) => serializer.serialize_f64((number * 1e6).round() / 1e6),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => {
                let mut sequence = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|node| sequence.serialize_element(node))?;
                sequence.end()
            }
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, node)| map.serialize_entry(name, node))?;
                map.end()
            }
        }
    }
}
