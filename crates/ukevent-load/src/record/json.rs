//! A whole record as JSON, to hand it from a child process to its parent: nothing is lost on the way, and it
//! is read by the version that wrote it. Histograms are base64 of HdrHistogram's V2 encoding. (What people
//! and scripts read is [`crate::report`].)

use super::{Connections, Cpu, Errors, PackedTimes, Record, Sample, Times};
use crate::Class;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use std::{fmt, time::Duration};

/// Why text is no record.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unreadable {
    /// It is no JSON, or ends early.
    Json(serde_json::Error),
    /// This member is missing, or is not what it should be.
    Member(&'static str),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "a record that is no JSON: {error}"),
            Self::Member(name) => write!(
                f,
                "a record whose {name:?} is missing or wrong; is its writer of the same version?"
            ),
        }
    }
}

impl std::error::Error for Unreadable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Member(_) => None,
        }
    }
}

impl Record {
    /// All of it, in one line without its end.
    ///
    /// ```
    /// use ukevent_load::record::Record;
    ///
    /// let record = Record::new();
    /// assert_eq!(Record::from_json(&record.to_json())?, record);
    /// # Ok::<(), ukevent_load::record::Unreadable>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let errors: Map<String, Value> = Class::ALL
            .into_iter()
            .map(|class| (class.name().to_owned(), self.errors.of(class).into()))
            .collect();
        let statuses: Vec<Value> =
            self.statuses.iter().map(|(status, count)| json!([status, count])).collect();
        let samples: Vec<Value> = self.samples.iter().map(sample_to_json).collect();
        json!({
            "duration_ns": ns(self.duration),
            "tried": self.connections.tried,
            "opened": self.connections.opened,
            "most": self.connections.most,
            "connect": times(&self.connections.connect),
            "life": times(&self.connections.life),
            "idle": self.connections.idle,
            "idle_lost": self.connections.idle_lost,
            "requests": self.requests,
            "replies": self.replies,
            "statuses": statuses,
            "errors": errors,
            "latency": times(&self.latency),
            "response": times(&self.response),
            "transfer": times(&self.transfer),
            "lateness": times(&self.lateness),
            "sent_bytes": self.sent_bytes,
            "head_bytes": self.head_bytes,
            "body_bytes": self.body_bytes,
            "samples": samples,
            "user_ns": ns(self.cpu.user),
            "system_ns": ns(self.cpu.system),
            "threads": self.cpu.threads,
            "busiest_percent": self.cpu.busiest_percent,
        })
        .to_string()
    }

    /// What [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`Unreadable`], which names the member that is wrong.
    pub fn from_json(text: &str) -> Result<Self, Unreadable> {
        let value: Value = serde_json::from_str(text).map_err(Unreadable::Json)?;
        let from = Members(&value);
        Ok(Self {
            duration: from.time("duration_ns")?,
            connections: Connections {
                tried: from.count("tried")?,
                opened: from.count("opened")?,
                most: from.count("most")?,
                connect: from.times("connect")?,
                life: from.times("life")?,
                idle: from.count("idle")?,
                idle_lost: from.count("idle_lost")?,
            },
            requests: from.count("requests")?,
            replies: from.count("replies")?,
            statuses: from
                .list("statuses")?
                .iter()
                .map(status)
                .collect::<Option<_>>()
                .ok_or(Unreadable::Member("statuses"))?,
            errors: errors(value.get("errors")).ok_or(Unreadable::Member("errors"))?,
            latency: from.times("latency")?,
            response: from.times("response")?,
            transfer: from.times("transfer")?,
            lateness: from.times("lateness")?,
            sent_bytes: from.count("sent_bytes")?,
            head_bytes: from.count("head_bytes")?,
            body_bytes: from.count("body_bytes")?,
            samples: from
                .list("samples")?
                .iter()
                .map(sample_from_json)
                .collect::<Result<_, _>>()?,
            cpu: Cpu {
                user: from.time("user_ns")?,
                system: from.time("system_ns")?,
                threads: u32::try_from(from.count("threads")?)
                    .map_err(|_| Unreadable::Member("threads"))?,
                // Older ones have none.
                busiest_percent: match value.get("busiest_percent") {
                    None => 0.0,
                    Some(it) => it.as_f64().ok_or(Unreadable::Member("busiest_percent"))?,
                },
            },
        })
    }
}

/// Members of an object, by name.
struct Members<'a>(&'a Value);

impl Members<'_> {
    fn count(&self, name: &'static str) -> Result<u64, Unreadable> {
        self.0.get(name).and_then(Value::as_u64).ok_or(Unreadable::Member(name))
    }

    fn time(&self, name: &'static str) -> Result<Duration, Unreadable> {
        self.count(name).map(Duration::from_nanos)
    }

    fn list(&self, name: &'static str) -> Result<&[Value], Unreadable> {
        let list = self.0.get(name).and_then(Value::as_array);
        list.map(Vec::as_slice).ok_or(Unreadable::Member(name))
    }

    fn packed(&self, name: &'static str) -> Result<PackedTimes, Unreadable> {
        let text = self.0.get(name).and_then(Value::as_str);
        text.and_then(|text| STANDARD.decode(text).ok())
            .and_then(PackedTimes::from_bytes)
            .ok_or(Unreadable::Member(name))
    }

    fn times(&self, name: &'static str) -> Result<Times, Unreadable> {
        self.packed(name)?.unpack().ok_or(Unreadable::Member(name))
    }
}

fn times(times: &Times) -> String {
    packed(&PackedTimes::of(times))
}

fn packed(times: &PackedTimes) -> String {
    STANDARD.encode(times.as_bytes())
}

/// 584 years at most.
fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn status(value: &Value) -> Option<(u16, u64)> {
    let [status, count] = value.as_array()?.as_slice() else { return None };
    Some((status.as_u64()?.try_into().ok()?, count.as_u64()?))
}

fn errors(value: Option<&Value>) -> Option<Errors> {
    let mut errors = Errors::default();
    for class in Class::ALL {
        errors.0[class.index()] = match value?.get(class.name()) {
            // Older ones do not know it.
            None if class == Class::Interrupted => 0,
            count => count?.as_u64()?,
        };
    }
    Some(errors)
}

fn sample_to_json(sample: &Sample) -> Value {
    json!({
        "at_ns": ns(sample.at),
        "length_ns": ns(sample.length),
        "replies": sample.replies,
        "errors": sample.errors,
        "p50_ns": sample.p50_ns,
        "p99_ns": sample.p99_ns,
        "max_ns": sample.max_ns,
        "latency": packed(&sample.latency),
    })
}

fn sample_from_json(value: &Value) -> Result<Sample, Unreadable> {
    let from = Members(value);
    Ok(Sample {
        at: from.time("at_ns")?,
        length: from.time("length_ns")?,
        replies: from.count("replies")?,
        errors: from.count("errors")?,
        p50_ns: from.count("p50_ns")?,
        p99_ns: from.count("p99_ns")?,
        max_ns: from.count("max_ns")?,
        latency: from.packed("latency")?,
    })
}
