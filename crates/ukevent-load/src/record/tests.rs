//! Sums of records, and their way through JSON, against what one record of everything has; times against
//! sorted lists.

use super::*;
use proptest::prelude::*;

/// What happens in a run.
#[derive(Clone, Debug)]
struct Story {
    at_ms: u16,
    latency_ns: u64,
    lateness_ns: u64,
    status: u16,
    failed: Option<usize>,
    bytes: u16,
}

fn story() -> impl Strategy<Value = Story> {
    // Times of all sizes, from nothing to more than the hour that is told apart.
    let time = prop_oneof![0..2_000_u64, 0..3_000_000_u64, 0..8_000_000_000_000_u64];
    let failed = prop::option::weighted(0.2, 0..Class::ALL.len());
    (0..5000_u16, time.clone(), time, 100..600_u16, failed, any::<u16>()).prop_map(
        |(at_ms, latency_ns, lateness_ns, status, failed, bytes)| Story {
            at_ms,
            latency_ns,
            lateness_ns,
            status,
            failed,
            bytes,
        },
    )
}

const SECOND: Duration = Duration::from_secs(1);

fn record_of<'a>(stories: impl Iterator<Item = &'a Story> + Clone) -> Record {
    let mut record = Record::new();
    record.duration = 5 * SECOND;
    let mut latencies = vec![(Times::new(), 0); 5];
    for story in stories {
        let (latency, errors) = &mut latencies[usize::from(story.at_ms / 1000)];
        record.requests += 1;
        record.connections.tried += 1;
        record.connections.most += 1;
        record.connections.idle += u64::from(story.bytes % 3);
        record.sent_bytes += 40;
        record.lateness.record_ns(story.lateness_ns);
        record.cpu.user += Duration::from_nanos(u64::from(story.bytes));
        record.cpu.system += Duration::from_nanos(u64::from(story.status));
        if let Some(class) = story.failed {
            record.errors.count(Class::ALL[class]);
            *errors += 1;
            continue;
        }
        latency.record_ns(story.latency_ns);
        record.replies += 1;
        record.connections.opened += 1;
        *record.statuses.entry(story.status).or_default() += 1;
        record.latency.record_ns(story.latency_ns);
        record.response.record_ns(story.latency_ns / 2);
        record.transfer.record_ns(story.latency_ns / 3);
        record.connections.connect.record_ns(story.latency_ns / 5);
        record.connections.life.record_ns(story.latency_ns);
        record.head_bytes += 200;
        record.body_bytes += u64::from(story.bytes);
    }
    for (second, (latency, errors)) in (0..).zip(&latencies) {
        record.samples.push(Sample::of(second * SECOND, SECOND, *errors, latency));
    }
    record
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_parts_of_a_run_add_up_to_it(
        stories in prop::collection::vec((story(), 0..4_usize), 0..200),
        parts in 1..4_usize,
    ) {
        let whole = record_of(stories.iter().map(|(story, _)| story));
        let mut sum = Record::new();
        for part in 0..parts {
            let mine = stories.iter().filter(|(_, who)| who % parts == part);
            let part = record_of(mine.map(|(story, _)| story));
            let handed_over = Record::from_json(&part.to_json()).unwrap();
            prop_assert_eq!(&handed_over, &part);
            sum.add(&handed_over);
        }
        prop_assert_eq!(sum, whole);
    }

    /// A time's percentile is the one of the sorted list, to three digits.
    #[test]
    fn percentiles_are_those_of_a_sorted_list(
        mut list in prop::collection::vec(prop_oneof![0..5000_u64, 0..10_000_000_000_u64], 1..300),
        percent in 0.0..100.0_f64,
    ) {
        let mut times = Times::new();
        list.iter().for_each(|&ns| times.record_ns(ns));
        list.sort_unstable();
        let near = |ours: Duration, exact: f64| {
            (ours.as_nanos() as f64 - exact).abs() <= exact / 1000.0 + 1.0
        };
        let rank = ((percent / 100.0 * list.len() as f64).ceil() as usize).max(1);
        prop_assert!(near(times.percentile(percent), list[rank - 1] as f64));
        prop_assert!(near(times.longest(), list[list.len() - 1] as f64));
        prop_assert!(near(times.shortest(), list[0] as f64));
        let mean = list.iter().sum::<u64>() as f64 / list.len() as f64;
        prop_assert!(near(times.mean(), mean));
        let squares: f64 = list.iter().map(|&ns| (ns as f64 - mean).powi(2)).sum();
        let deviation = (squares / list.len() as f64).sqrt();
        // Each time may be wrong by a thousandth of itself, however little they differ.
        let wrong = (times.deviation().as_nanos() as f64 - deviation).abs();
        prop_assert!(wrong <= (mean + deviation) / 500.0 + 1.0, "{} {}", wrong, deviation);
    }

    #[test]
    fn bytes_from_anywhere_are_no_times_and_no_panic(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        at in 0..60_usize,
        bit in 0..8_u8,
    ) {
        let _ = PackedTimes::from_bytes(noise);
        let mut times = Times::new();
        times.record_ns(5_000);
        times.record_ns(5_000_000);
        let mut bytes = PackedTimes::of(&times).as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let _ = PackedTimes::from_bytes(bytes);
    }
}

#[test]
fn known_distributions_have_their_known_percentiles() {
    const COUNT: u32 = 100_000;
    let near = |time: Duration, ns: f64| {
        assert!((time.as_nanos() as f64 / ns - 1.0).abs() < 2e-3, "{time:?} and not {ns} ns");
    };
    let (mut constant, mut uniform, mut exponential) = (Times::new(), Times::new(), Times::new());
    let mean = 2e6;
    for number in 0..COUNT {
        // Each at the middle of an equal share of its distribution: no chance is in it.
        let share = (f64::from(number) + 0.5) / f64::from(COUNT);
        constant.record_ns(1_234_567);
        uniform.record_ns((share * 1e9) as u64);
        exponential.record_ns((-(1.0 - share).ln() * mean) as u64);
    }
    for percent in [0.0, 50.0, 99.9, 100.0] {
        near(constant.percentile(percent), 1_234_567.0);
    }
    near(constant.mean(), 1_234_567.0);
    assert_eq!(constant.deviation(), Duration::ZERO);
    for percent in [1.0, 50.0, 90.0, 99.0, 99.9] {
        near(uniform.percentile(percent), percent * 1e7);
        near(exponential.percentile(percent), -(1.0 - percent / 100.0_f64).ln() * mean);
    }
    near(uniform.mean(), 5e8);
    near(uniform.deviation(), 1e9 / 12.0_f64.sqrt());
    near(exponential.mean(), mean);
    near(exponential.deviation(), mean);
    let longer = exponential.longer_than(Duration::from_millis(1)) as f64 / f64::from(COUNT);
    assert!((longer - (-0.5_f64).exp()).abs() < 1e-3, "{longer}");
}

#[test]
fn of_nothing_all_is_zero() {
    let times = Times::new();
    for zero in [times.mean(), times.deviation(), times.longest(), times.shortest()] {
        assert_eq!(zero, Duration::ZERO);
    }
    assert_eq!(times.percentile(99.0), Duration::ZERO);
    assert_eq!(times.longer_than(Duration::ZERO), 0);
    assert!(PackedTimes::of(&times).is_empty());
}

#[test]
fn samples_without_their_histogram_add_up_to_a_bound() {
    let sample = |replies, p50_ns| Sample {
        at: Duration::ZERO,
        length: SECOND,
        replies,
        errors: 1,
        p50_ns,
        p99_ns: 2 * p50_ns,
        max_ns: 3 * p50_ns,
        latency: PackedTimes::default(),
    };
    let mut sum = sample(10, 500);
    let mut times = Times::new();
    times.record_ns(900);
    sum.add(&Sample::of(Duration::ZERO, 2 * SECOND, 1, &times));
    assert_eq!((sum.replies, sum.errors, sum.length), (11, 2, 2 * SECOND));
    assert_eq!((sum.p50_ns, sum.p99_ns, sum.max_ns), (900, 1000, 1500));
    assert!(sum.latency.is_empty());
}

#[test]
fn a_record_that_is_none_names_its_fault() {
    let json = Record::new().to_json();
    for (text, fault) in [
        ("", "no JSON"),
        ("[]", "\"duration_ns\""),
        (&json.replace("\"replies\":0", "\"replies\":-1"), "\"replies\""),
        (&json.replace("\"latency\":\"\"", "\"latency\":\"AAAA\""), "\"latency\""),
        (&json.replace("\"statuses\":[]", "\"statuses\":[[70000,1]]"), "\"statuses\""),
        (&json.replace("\"garbage\":0,", ""), "\"errors\""),
    ] {
        let error = Record::from_json(text).unwrap_err().to_string();
        assert!(error.contains(fault), "{text}: {error}");
    }
}

/// Of a version that knew less.
#[test]
fn an_older_record_is_read() {
    let json = Record::new().to_json();
    let older = json.replace("\"busiest_percent\":0.0,", "").replace("\"interrupted\":0,", "");
    assert_eq!(older.len() + 38, json.len(), "{json}");
    assert_eq!(Record::from_json(&older).unwrap(), Record::new());
    let wrong = json.replace("\"busiest_percent\":0.0", "\"busiest_percent\":\"all\"");
    assert!(Record::from_json(&wrong).is_err());
}
