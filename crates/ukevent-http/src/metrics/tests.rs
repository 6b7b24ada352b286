//! The text, read again: by a reader of its own, and by promtool where it is installed.

use super::*;
use std::{
    collections::{BTreeMap, HashSet},
    process::{Command, Stdio},
};

fn snapshot() -> Snapshot {
    let mut latency = Latency::default();
    for us in [1, 50, 51, 900, 40_000, 31_000_000] {
        latency.record(Duration::from_micros(us));
    }
    let counters = Counters {
        uptime_s: 7,
        open: 3,
        accepted: 1 << 60,
        answers: [0, 0, 5, 4, 3, 2],
        requests: 14,
        ..Counters::default()
    };
    Snapshot { counters, latency, threads: Vec::new(), ring: None }
}

/// The same of three threads.
fn of_threads() -> Snapshot {
    let thread = |number| Counters {
        open: number,
        accepted: 10 * number,
        requests: 100 * number,
        bytes_sent: 1000 * number,
        events: 10_000 * number,
        batches: 100_000 * number,
        ..Counters::default()
    };
    Snapshot { threads: (1..=3).map(thread).collect(), ..snapshot() }
}

fn text(exposition: Exposition) -> String {
    text_of(&snapshot(), exposition)
}

fn text_of(snapshot: &Snapshot, exposition: Exposition) -> String {
    let mut out = Vec::new();
    snapshot.append(exposition, &mut out);
    String::from_utf8(out).unwrap()
}

/// Family, its type, and its samples: name with labels, and value.
type Families = BTreeMap<String, (String, Vec<(String, f64)>)>;

/// Reads an exposition by its rules: HELP and TYPE before the samples, each family once and in one piece,
/// each sample of the family above it.
fn read(text: &str, exposition: Exposition) -> Families {
    let mut families = Families::new();
    let mut family = String::new();
    let mut seen = HashSet::new();
    let body = match exposition {
        Exposition::Text => text,
        Exposition::OpenMetrics => text.strip_suffix("# EOF\n").expect("an end"),
    };
    assert!(!body.contains("# EOF") && body.ends_with('\n'));
    for line in body.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(!help.is_empty() && !families.contains_key(name), "{line}");
                family = name.to_owned();
                families.insert(family.clone(), Default::default());
            }
            ["#", "TYPE", name, kind] => {
                assert_eq!(name, family);
                assert!(["counter", "gauge", "histogram"].contains(&kind));
                families.get_mut(name).unwrap().0 = kind.to_owned();
            }
            ["#", "UNIT", name, unit] => {
                assert!(exposition == Exposition::OpenMetrics && name == family, "{line}");
                assert!(name.ends_with(unit));
            }
            [sample, value] => {
                let name = sample.split('{').next().unwrap();
                assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
                let (kind, samples) = families.get_mut(&family).unwrap();
                let suffixes: &[&str] = match (kind.as_str(), exposition) {
                    ("counter", Exposition::OpenMetrics) => &["_total"],
                    ("histogram", _) => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                assert!(
                    suffixes.iter().any(|suffix| name == format!("{family}{suffix}")),
                    "{line}"
                );
                assert!(seen.insert(sample.to_owned()), "{line} twice");
                samples.push((sample.to_owned(), value.parse().unwrap()));
            }
            _ => panic!("{line}"),
        }
    }
    families
}

#[test]
fn both_formats_say_the_same() {
    for (exposition, suffix) in [(Exposition::Text, "_total"), (Exposition::OpenMetrics, "")] {
        let families = read(&text(exposition), exposition);
        let value = |family: &str, sample: &str| {
            let (_, samples) = &families[&format!("ukevent_http_{family}")];
            samples.iter().find(|(name, _)| name == &format!("ukevent_http_{sample}")).unwrap().1
        };
        assert_eq!(value("connections_open", "connections_open"), 3.0);
        assert_eq!(value(&format!("requests{suffix}"), "requests_total"), 14.0);
        assert_eq!(
            value(&format!("responses{suffix}"), "responses_total{class=\"4xx\"}"),
            3.0,
            "{families:?}"
        );
        let name = "request_duration_seconds";
        let of = |sample: &str| value(name, &format!("{name}_{sample}"));
        assert_eq!((of("count"), of("bucket{le=\"+Inf\"}")), (6.0, 6.0));
        assert_eq!((of("bucket{le=\"0.00005\"}"), of("bucket{le=\"0.0001\"}")), (2.0, 3.0));
        assert_eq!(of("bucket{le=\"30.0\"}"), 5.0);
        assert!((of("sum") - 31.041002).abs() < 1e-9);
        let (_, samples) = &families[&format!("ukevent_http_{name}")];
        let buckets: Vec<f64> = samples.iter().map(|(_, value)| *value).take(15).collect();
        assert!(buckets.is_sorted(), "{buckets:?}");
        assert!(families.values().all(|(kind, samples)| !kind.is_empty() && !samples.is_empty()));
        // 2^60 and one digit more than a float holds.
        assert!(text(exposition).contains("_accepted_total 1152921504606846976\n"));
    }
}

/// Each has what it counted, in families that hold no sum.
#[test]
fn threads_are_told_apart() {
    for (exposition, suffix) in [(Exposition::Text, "_total"), (Exposition::OpenMetrics, "")] {
        let families = read(&text_of(&of_threads(), exposition), exposition);
        for (name, is_counter, factor) in [
            ("connections_open", false, 1),
            ("connections_accepted", true, 10),
            ("requests", true, 100),
            ("sent_bytes", true, 1000),
            ("queue_events", true, 10_000),
            ("queue_batches", true, 100_000),
        ] {
            let (suffix, of_sample) = if is_counter { (suffix, "_total") } else { ("", "") };
            let (kind, samples) = &families[&format!("ukevent_http_thread_{name}{suffix}")];
            assert_eq!(kind, if is_counter { "counter" } else { "gauge" });
            let expected: Vec<_> = (0..3)
                .map(|number| {
                    let labels = format!("{of_sample}{{thread=\"{number}\"}}");
                    let value = f64::from((number + 1) * factor);
                    (format!("ukevent_http_thread_{name}{labels}"), value)
                })
                .collect();
            assert_eq!(samples, &expected);
        }
        let alone = read(&text(exposition), exposition);
        assert!(alone.keys().all(|family| !family.contains("thread")), "{alone:?}");
        assert_eq!(families.len(), alone.len() + 6);
    }
}

/// What is of a queue that threads share is there if they share one.
#[test]
fn a_shared_queue_is_told_of() {
    let mut shared = of_threads();
    shared.ring = Some(Ring { high_water: 5, overflows: 6 });
    (shared.counters.parked, shared.counters.parkings) = (7, 8);
    for (thread, number) in shared.threads.iter_mut().zip(10..) {
        thread.taken = number;
    }
    let text = text_of(&shared, Exposition::Text);
    for line in [
        "connections_parked 7",
        "connection_parkings_total 8",
        "shared_queue_ring_high_water 5",
        "shared_queue_ring_overflows_total 6",
        "thread_shared_queue_events_total{thread=\"2\"} 12",
    ] {
        assert!(text.contains(&format!("\nukevent_http_{line}\n")), "{line}: {text}");
    }
    for exposition in [Exposition::Text, Exposition::OpenMetrics] {
        let families = read(&text_of(&shared, exposition), exposition);
        assert_eq!(families.len(), read(&text_of(&of_threads(), exposition), exposition).len() + 5);
    }
}

#[test]
fn the_ends_of_buckets_are_what_they_say() {
    for (ns, end) in BUCKETS {
        assert!((end.parse::<f64>().unwrap() * 1e9 - ns as f64).abs() < 1e-3, "{end}");
    }
    assert!(BUCKETS.is_sorted());
    // They are ends in the histogram, too.
    for (ns, end) in BUCKETS {
        let mut latency = Latency::default();
        [ns, ns + 1].into_iter().for_each(|ns| latency.record(Duration::from_nanos(ns)));
        assert_eq!(latency.up_to(Duration::from_nanos(ns)), 1, "{end}");
    }
}

#[test]
fn two_make_one() {
    let (mut sum, one) = (snapshot().latency, snapshot().latency);
    sum.add(&one);
    assert_eq!((sum.count(), sum.sum_ns()), (12, 2 * one.sum_ns()));
}

#[test]
fn promtool_has_nothing_to_say() {
    for snapshot in [snapshot(), of_threads()] {
        promtool_checks(&snapshot);
    }
}

fn promtool_checks(snapshot: &Snapshot) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(error) => return testkit::skip(format_args!("promtool: {error}")),
    };
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(text_of(snapshot, Exposition::Text).as_bytes()).unwrap();
    drop(input);
    let said = promtool.wait_with_output().unwrap();
    let said = [said.stdout, said.stderr].concat();
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
