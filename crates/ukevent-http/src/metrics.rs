//! The counters as Prometheus and OpenMetrics read them.
//!
//! A pure function of a [`Snapshot`]. Followed are the text exposition format 0.0.4 of Prometheus and
//! OpenMetrics 1.0, which differ in how a counter's family is called, in units and in how they end.
//!
//! Durations are counted in fixed buckets, so two servers, or two runs, can be added up.

pub use crate::latency::Latency;

use crate::counters::Counters;
use std::{io::Write, time::Duration};
use ukevent_queue::SharedCounters;

/// Upper ends of the buckets that are written, both in nanoseconds and as they are written, in seconds. All
/// are ends in [`Latency`], too. The last bucket has no end.
const BUCKETS: [(u64, &str); 14] = [
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (100_000_000, "0.1"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1.0"),
    (5_000_000_000, "5.0"),
    (30_000_000_000, "30.0"),
];

/// What is told, as it was at one moment.
///
/// ```
/// use ukevent_http::{
///     Counters,
///     metrics::{Exposition, Latency, Snapshot},
/// };
///
/// let snapshot = Snapshot {
///     counters: Counters::default(),
///     latency: Latency::default(),
///     threads: Vec::new(),
///     ring: None,
/// };
/// let mut out = Vec::new();
/// snapshot.append(Exposition::Text, &mut out);
/// let text = String::from_utf8(out)?;
/// assert!(text.contains("# TYPE ukevent_http_requests_total counter\nukevent_http_requests_total 0\n"));
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// What the server counted.
    pub counters: Counters,
    /// From the receipt of a request's last bytes until its answer has left: the kernel took all of it. The
    /// clock is read once in each look at the queue. An answer that goes on until somebody ends it is not
    /// counted.
    pub latency: Latency,
    /// What each of its threads counted, by their numbers; nothing if there is only one. The counters above are
    /// those of all of them.
    pub threads: Vec<Counters>,
    /// What the queue that all threads share counts of its ring, if there is one.
    pub ring: Option<Ring>,
}

/// The ring of events of the queue that all threads share ([`QueueShape::Shared`](crate::QueueShape)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ring {
    /// The most events that were ever in it.
    pub high_water: u64,
    /// How often it was full while events waited behind it. Nothing is lost by it.
    pub overflows: u64,
}

impl Ring {
    pub(crate) const fn of(counters: &SharedCounters) -> Self {
        Self { high_water: counters.high_water as u64, overflows: counters.overflowed }
    }
}

/// A format of exposition.
///
/// ```
/// use ukevent_http::metrics::Exposition;
///
/// assert!(Exposition::Text.media_type().starts_with("text/plain; version=0.0.4"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exposition {
    /// The text format of Prometheus, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Snapshot {
    /// Puts the text behind what is in the buffer.
    pub fn append(&self, exposition: Exposition, out: &mut Vec<u8>) {
        let all = &self.counters;
        let mut page = Page { exposition, out };
        page.gauge("uptime_seconds", "Time since the server started.", all.uptime_s);
        page.gauge("connections_open", "Connections that are open now.", all.open);
        page.counter("connections_accepted", "Connections that were accepted.", all.accepted);
        page.counter("connections_refused", "Connections beyond the limit.", all.refused);
        page.counter("accept_pauses", "Times that accepting had to pause.", all.pauses);
        page.counter(
            "connections_timed_out",
            "Connections whose peer took too long.",
            all.timed_out,
        );
        page.counter("requests", "Requests that were answered.", all.requests);
        page.family("responses", "counter", "Answers by the class of their status.");
        for (class, count) in all.answers.iter().enumerate().skip(2) {
            page.sample("responses_total", &format!("{{class=\"{class}xx\"}}"), count);
        }
        page.counter("sent_bytes", "Bytes that were sent, heads included.", all.bytes_sent);
        page.counter("queue_events", "Events that the queue delivered.", all.events);
        page.counter("queue_batches", "Times that the queue delivered events.", all.batches);
        page.gauge("queue_largest_batch", "Most events in one batch.", all.largest_batch);
        page.histogram("request_duration_seconds", "Time that an answer took.", &self.latency);
        if !self.threads.is_empty() {
            page.threads(&self.threads);
        }
        if let Some(ring) = &self.ring {
            page.shared_queue(ring, self);
        }
        if exposition == Exposition::OpenMetrics {
            out.extend_from_slice(b"# EOF\n");
        }
    }
}

/// Name, kind and meaning of a family, and its value.
type Family = (&'static str, &'static str, &'static str, fn(&Counters) -> u64);

/// A text in the making.
struct Page<'o> {
    exposition: Exposition,
    out: &'o mut Vec<u8>,
}

impl Page<'_> {
    /// What a family is: in the older format a counter's has the suffix of its samples.
    fn family(&mut self, name: &str, kind: &str, what: &str) {
        let is_text = self.exposition == Exposition::Text;
        let suffix = if is_text && kind == "counter" { "_total" } else { "" };
        let name = format!("ukevent_http_{name}{suffix}");
        // A vector takes everything.
        let _ = write!(self.out, "# HELP {name} {what}\n# TYPE {name} {kind}\n");
        let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit));
        if let (false, Some(unit)) = (is_text, unit) {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.out, "ukevent_http_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, what: &str, value: u64) {
        self.family(name, "gauge", what);
        self.sample(name, "", value);
    }

    fn counter(&mut self, name: &str, what: &str, value: u64) {
        self.family(name, "counter", what);
        self.sample(&format!("{name}_total"), "", value);
    }

    /// What each thread counted, in families of their own: in those of the sums they would be added to them.
    fn threads(&mut self, threads: &[Counters]) {
        let families: [Family; 6] = [
            ("thread_connections_open", "gauge", "Connections that a thread has.", |it| it.open),
            ("thread_connections_accepted", "counter", "Connections a thread got.", |it| {
                it.accepted
            }),
            ("thread_requests", "counter", "Requests that a thread answered.", |it| it.requests),
            ("thread_sent_bytes", "counter", "Bytes that a thread sent.", |it| it.bytes_sent),
            ("thread_queue_events", "counter", "Events of a thread's queue.", |it| it.events),
            ("thread_queue_batches", "counter", "Waits of a thread's queue.", |it| it.batches),
        ];
        families.iter().for_each(|family| self.by_thread(family, threads));
    }

    fn by_thread(&mut self, &(name, kind, what, value): &Family, threads: &[Counters]) {
        self.family(name, kind, what);
        let suffix = if kind == "counter" { "_total" } else { "" };
        for (number, counters) in threads.iter().enumerate() {
            let labels = format!("{{thread=\"{number}\"}}");
            self.sample(&format!("{name}{suffix}"), &labels, value(counters));
        }
    }

    /// What is of the queue that all threads share.
    fn shared_queue(&mut self, ring: &Ring, snapshot: &Snapshot) {
        let all = &snapshot.counters;
        self.gauge("connections_parked", "Open connections that no thread has.", all.parked);
        self.counter(
            "connection_parkings",
            "Times that one at rest left its thread.",
            all.parkings,
        );
        let what = "Most events in the ring of the shared queue.";
        self.gauge("shared_queue_ring_high_water", what, ring.high_water);
        let what = "Times that the ring was full while more waited.";
        self.counter("shared_queue_ring_overflows", what, ring.overflows);
        let what = "Events a thread took from the shared queue.";
        let taken: Family = ("thread_shared_queue_events", "counter", what, |it| it.taken);
        self.by_thread(&taken, &snapshot.threads);
    }

    fn histogram(&mut self, name: &str, what: &str, latency: &Latency) {
        self.family(name, "histogram", what);
        let count = latency.count();
        let ends = BUCKETS.iter().map(|&(ns, end)| (latency.up_to(Duration::from_nanos(ns)), end));
        for (sum, end) in ends.chain([(count, "+Inf")]) {
            self.sample(&format!("{name}_bucket"), &format!("{{le=\"{end}\"}}"), sum);
        }
        let (s, ns) = (latency.sum_ns() / 1_000_000_000, latency.sum_ns() % 1_000_000_000);
        self.sample(&format!("{name}_sum"), "", format_args!("{s}.{ns:09}"));
        self.sample(&format!("{name}_count"), "", count);
    }
}

#[cfg(test)]
mod tests;
