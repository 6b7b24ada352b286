//! All forms of some records: read back where a program reads them, and written to a folder to be looked at
//! (`UKEVENT_REPORT_SAMPLES=folder cargo test -p ukevent-load samples_to_look_at`).

use super::*;
use crate::{
    Class,
    record::{Sample, Times},
};
use proptest::prelude::*;
use serde_json::Value;
use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

fn about() -> About {
    About {
        command: "ukevent load --rate 2000 --duration 30s http://localhost:8080/a?b=1&c=<2>".into(),
        server: "127.0.0.1:8080".into(),
        started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500),
        ..About::new(
            "http://localhost:8080/a?b=1&c=<2>",
            Mode::Open { arrivals: Arrivals::Poisson { rate: 2000.0 } },
        )
    }
}

fn closed() -> About {
    About { mode: Mode::Closed { connections: 64, pipeline: 1 }, processes: 2, ..about() }
}

/// Half a minute of exponential latencies, with a stall in the middle and a second without any reply.
fn busy() -> Record {
    let mut record = Record::new();
    record.duration = 30 * SECOND;
    let mut random = fastrand::Rng::with_seed(11);
    for second in 0..30_u32 {
        let (mut latency, mut errors) = (Times::new(), 0);
        let stalls = (14..17).contains(&second);
        let asked = if second == 22 { 0 } else { random.u32(1800..2200) };
        for _ in 0..asked {
            let mean_ns = if stalls { 60e6 } else { 400e3 };
            let ns = (90e3 - (1.0 - random.f64()).ln() * mean_ns) as u64;
            record.requests += 1;
            record.lateness.record_ns(random.u64(2_000..60_000));
            if stalls && random.u8(..) < 20 {
                record.errors.count(Class::ALL[random.usize(..6)]);
                errors += 1;
                continue;
            }
            latency.record_ns(ns);
            record.replies += 1;
            let status = if random.u8(..) < 3 { 404 } else { 200 };
            *record.statuses.entry(status).or_default() += 1;
            record.response.record_ns(ns * 9 / 10);
            record.transfer.record_ns(ns / 10);
        }
        record.latency.add(&latency);
        record.samples.push(Sample::of(second * SECOND, SECOND, errors, &latency));
    }
    for number in 0..64_u64 {
        record.connections.connect.record_ns(90_000 + number * 700);
        record.connections.life.record_ns(29_900_000_000 + number * 1_000_000);
    }
    (record.connections.tried, record.connections.opened, record.connections.most) = (66, 64, 64);
    record.sent_bytes = record.requests * 67;
    record.head_bytes = record.replies * 202;
    record.body_bytes = record.replies * 4096;
    record.cpu.user = Duration::from_millis(4_200);
    record.cpu.system = Duration::from_millis(9_900);
    record.cpu.threads = 1;
    record
}

/// Nobody listened.
fn refused() -> Record {
    let mut record = Record::new();
    record.duration = 2 * SECOND;
    for second in 0..2 {
        (0..500).for_each(|_| record.errors.count(Class::Refused));
        record.samples.push(Sample::of(second * SECOND, SECOND, 500, &Times::new()));
    }
    (record.requests, record.connections.tried) = (1000, 1000);
    record
}

fn one() -> Record {
    let mut record = Record::new();
    record.duration = Duration::from_millis(3);
    (record.requests, record.replies) = (1, 1);
    record.latency.record_ns(1_234_567);
    record.statuses.insert(200, 1);
    let sample = Sample::of(Duration::ZERO, record.duration, 0, &record.latency);
    record.samples.push(sample);
    record
}

fn overloaded() -> Record {
    let mut record = busy();
    record.cpu.user = 20 * SECOND;
    for _ in 0..record.requests / 50 {
        record.lateness.record(Duration::from_millis(7));
    }
    record
}

fn runs() -> [(&'static str, Record, About); 6] {
    [
        ("busy", busy(), about()),
        ("closed", busy(), closed()),
        ("refused", refused(), about()),
        ("one", one(), closed()),
        ("overloaded", overloaded(), about()),
        ("nothing", Record::new(), closed()),
    ]
}

fn text(form: Form, record: &Record, about: &About) -> String {
    let mut text = Vec::new();
    form.write(record, about, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn samples_to_look_at() {
    let folder = std::env::var_os("UKEVENT_REPORT_SAMPLES");
    for (name, record, about) in runs() {
        for form in Form::ALL {
            let text = text(form, &record, &about);
            for wrong in ["NaN", "nan,", "inf ", "-0.0 "] {
                assert!(!text.contains(wrong), "{name} as {form} has {wrong}:\n{text}");
            }
            if let Some(folder) = &folder {
                let end = if form.name().starts_with("plot") { "svg" } else { "txt" };
                let file = format!("{name}.{form}.{end}");
                std::fs::write(std::path::Path::new(folder).join(file), text).unwrap();
            }
        }
    }
}

#[test]
fn every_form_marks_a_generator_that_was_the_bottleneck() {
    let (busy, overloaded) = (busy(), overloaded());
    for form in Form::ALL {
        let marked = |record| text(form, record, &about()).contains("bottleneck");
        // JSON has a flag of that name in any case.
        assert_eq!(marked(&busy), form == Form::Json, "{form}");
        assert!(marked(&overloaded), "{form}");
    }
    let json: Value = serde_json::from_str(&text(Form::Json, &overloaded, &about())).unwrap();
    assert_eq!(json["generator_was_bottleneck"], true);
}

#[test]
fn names_lead_to_their_forms() {
    for form in Form::ALL {
        assert_eq!(form.to_string().parse(), Ok(form));
    }
    assert_eq!("".parse::<Form>(), Err(UnknownForm));
}

#[test]
fn json_has_what_scripts_ask_for() {
    let record = busy();
    let line = text(Form::Json, &record, &about());
    assert_eq!(line.matches('\n').count(), 1);
    let json: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(json["requests"], record.requests);
    assert_eq!(json["duration_s"], 30.0);
    let per_s = record.requests as f64 / 30.0;
    assert!((json["requests_per_s"].as_f64().unwrap() - per_s).abs() < 1e-5);
    let p99 = json["latency_us"]["p99"].as_f64().unwrap();
    assert!((p99 * 1e3 - record.latency.percentile(99.0).as_nanos() as f64).abs() < 1.0);
    for name in ["p50", "p90", "p999", "max"] {
        assert!(json["latency_us"][name].is_f64(), "{name}");
    }
    let classes = json["errors"].as_object().unwrap();
    assert_eq!(classes.len(), Class::ALL.len());
    let errors: u64 = classes.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(errors, record.errors.total());
    assert_eq!((json["late_starts"].as_u64(), json["cpu_s"].as_f64()), (Some(0), Some(14.1)));
    assert_eq!(json["samples"].as_array().unwrap().len(), 30);
    assert_eq!(json["started"], "2023-11-14T22:13:20Z");
}

#[test]
fn csv_has_as_many_cells_in_each_row() {
    let csv = text(Form::Csv, &busy(), &about());
    assert_eq!(csv.lines().count(), 31);
    assert!(csv.lines().all(|row| row.split(',').count() == 10), "{csv}");
}

#[test]
fn the_table_fits_a_terminal_and_shows_errors_only_if_there_are_any() {
    for (name, record, about) in runs() {
        let table = text(Form::Human, &record, &about);
        for line in table.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
            assert_eq!(line.trim_end(), line, "{name}");
        }
        assert_eq!(table.contains("ERRORS"), record.errors.total() > 0, "{name}");
    }
    let mut odd = busy();
    odd.statuses.extend((300..330).map(|status| (status, 5)));
    assert!(text(Form::Human, &odd, &about()).lines().all(|line| line.chars().count() <= 80));
    let hostile = About { url: "http://h/\x1b[2J".repeat(40), ..about() };
    assert!(!text(Form::Human, &one(), &hostile).contains('\x1b'));
    let many = About {
        processes: u32::MAX,
        mode: Mode::Closed { connections: 0, pipeline: 9 },
        ..about()
    };
    text(Form::Human, &one(), &many);
}

/// By a parser of XML that is not ours.
#[test]
fn plots_are_well_formed_and_have_what_was_asked_as_text() {
    for (name, record, about) in runs() {
        for form in [Form::PlotPercentiles, Form::PlotTime] {
            let svg = text(form, &record, &about);
            let mut python = match Command::new("python3")
                .args(["-c", "import sys, xml.etree.ElementTree as x; x.parse(sys.stdin)"])
                .stdin(Stdio::piped())
                .spawn()
            {
                Ok(python) => python,
                Err(error) => return println!("SKIPPED: there is no python3: {error}"),
            };
            python.stdin.take().unwrap().write_all(svg.as_bytes()).unwrap();
            assert!(python.wait().unwrap().success(), "{name} as {form}:\n{svg}");
            assert!(svg.contains("b=1&amp;c=&lt;2&gt;"), "{name} as {form}:\n{svg}");
        }
    }
}

mod log {
    use super::*;
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use hdrhistogram::{
        Histogram,
        serialization::{
            Deserializer,
            interval_log::{IntervalLogIterator, LogEntry},
        },
    };

    fn intervals(log: &str) -> Vec<(Duration, Histogram<u64>)> {
        let entries = IntervalLogIterator::new(log.as_bytes()).map(Result::unwrap);
        entries
            .filter_map(|entry| match entry {
                LogEntry::Interval(it) => {
                    let bytes = STANDARD.decode(it.encoded_histogram()).unwrap();
                    let histogram = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
                    Some((it.start_timestamp(), histogram))
                }
                _ => None,
            })
            .collect()
    }

    #[test]
    fn its_intervals_are_the_samples_and_add_up() {
        let record = busy();
        let log = text(Form::Hdr, &record, &about());
        assert!(log.starts_with("#[Histogram log format version 1.3]\n"), "{log}");
        assert!(log.contains("#[StartTime: 1700000000.500 "), "{log}");
        let mut sum = Histogram::new_from(record.latency.histogram());
        sum.reset();
        for ((at, histogram), sample) in intervals(&log).iter().zip(&record.samples) {
            assert_eq!((*at, histogram.len()), (sample.at, sample.replies));
            sum.add(histogram).unwrap();
        }
        assert_eq!(&sum, record.latency.histogram());
    }

    #[test]
    fn without_samples_it_is_one_interval() {
        let mut record = busy();
        record.samples[3].latency = crate::record::PackedTimes::default();
        let all = intervals(&text(Form::Hdr, &record, &about()));
        assert_eq!(all.len(), 1);
        assert_eq!(&all[0].1, record.latency.histogram());
        assert_eq!(intervals(&text(Form::Hdr, &Record::new(), &about()))[0].1.len(), 0);
    }

    #[test]
    fn percentiles_rise_to_the_longest() {
        let record = busy();
        let hgrm = text(Form::Hgrm, &record, &about());
        let rows: Vec<Vec<f64>> = hgrm
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|cell| cell.parse().unwrap()).collect())
            .collect();
        assert!(rows.len() > 30);
        assert!(rows.windows(2).all(|two| (0..3).all(|cell| two[0][cell] <= two[1][cell])));
        let last = &rows[rows.len() - 1];
        assert_eq!((last[1], last[2]), (1.0, record.replies as f64));
        for row in &rows {
            let exact = record.latency.percentile(row[1] * 100.0).as_nanos() as f64 / 1e6;
            assert!((row[0] / exact - 1.0).abs() < 2e-3, "{row:?} {exact}");
        }
    }
}

mod as_httperf {
    use super::*;
    use crate::report::httperf::{Rates, median_ms};
    use std::{net::TcpListener, path::Path, thread};

    /// By the script in `tests/`, which knows only httperf's lines.
    fn read(report: &str) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/httperf.py");
        let mut python = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        python.stdin.take().unwrap().write_all(report.as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "not read:\n{report}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn there_is(program: &str) -> bool {
        let found = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok();
        if !found {
            println!("SKIPPED: there is no {program}");
        }
        found
    }

    #[test]
    fn a_script_reads_ours() {
        if !there_is("python3") {
            return;
        }
        let record = busy();
        let read = read(&text(Form::Httperf, &record, &about()));
        let rates = Rates::of(&record);
        let errors = &record.errors;
        let early: u64 =
            [Class::Reset, Class::Closed, Class::Cut].map(|it| errors.of(it)).iter().sum();
        let unsent: u64 = [Class::Refused, Class::Unreachable, Class::ConnectTimeout]
            .map(|it| errors.of(it))
            .iter()
            .sum();
        for (name, value) in [
            ("connections", 66.0),
            ("requests", (record.requests - unsent) as f64),
            ("replies", record.replies as f64),
            ("duration_s", 30.0),
            ("concurrent", 64.0),
            ("life_median_ms", 29_931.5),
            ("connect_ms", 0.1),
            ("replies_per_conn", (record.replies as f64 / 64.0 * 1e3).round() / 1e3),
            ("reply_rate_avg", (rates.avg * 10.0).round() / 10.0),
            ("reply_rate_min", 0.0),
            ("reply_rate_samples", 30.0),
            ("head_bytes", 202.0),
            ("content_bytes", 4096.0),
            ("reply_bytes", 4298.0),
            ("status_2xx", record.statuses[&200] as f64),
            ("status_4xx", record.statuses[&404] as f64),
            ("user_s", 4.2),
            ("total_percent", 47.0),
            ("errors", errors.total() as f64),
            ("connrefused", errors.of(Class::Refused) as f64),
            ("connreset", early as f64),
            ("other", errors.of(Class::Unreachable) as f64),
        ] {
            let found = read[name].as_f64().unwrap();
            // A tenth of what is printed may be rounded either way, and a bin of long times is wide.
            let near = (found - value).abs() <= 0.1001
                || name == "life_median_ms" && (found - value).abs() <= 16.0;
            assert!(near, "{name}: {found} and not {value}");
        }
    }

    #[test]
    fn a_script_reads_runs_without_replies() {
        if !there_is("python3") {
            return;
        }
        let records = [("refused", refused()), ("one", one()), ("nothing", Record::new())];
        for (name, record) in records {
            let read = read(&text(Form::Httperf, &record, &closed()));
            assert_eq!(read["replies"].as_f64(), Some(record.replies as f64), "{name}");
        }
        let read = read(&text(Form::Httperf, &refused(), &about()));
        assert_eq!(
            (read["requests"].as_f64(), read["connections"].as_f64()),
            (Some(0.0), Some(1000.0))
        );
    }

    /// Httperf itself, against a server that answers each connection once.
    #[test]
    fn the_script_reads_httperf_by_the_same_lines() {
        if !there_is("httperf") || !there_is("python3") {
            return;
        }
        const COUNT: usize = 40;
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let server = thread::spawn(move || answer(&listener, COUNT));
        let count = COUNT.to_string();
        let output = Command::new("httperf")
            .args(["--server", "127.0.0.1", "--port", &port, "--uri", "/x", "--rate", "200"])
            .args(["--num-conns", &count, "--timeout", "10"])
            .output()
            .unwrap();
        server.join().unwrap();
        let theirs = read(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(theirs["replies"].as_u64(), Some(COUNT as u64), "{theirs}");
        assert_eq!(theirs["content_bytes"].as_f64(), Some(5.0));
        assert_eq!(theirs["status_2xx"].as_u64(), Some(COUNT as u64));
        // And it finds the same names in ours.
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&theirs), names(&read(&text(Form::Httperf, &busy(), &about()))));
    }

    fn answer(listener: &TcpListener, count: usize) {
        use std::io::Read as _;
        for _ in 0..count {
            let (mut peer, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut piece = [0; 512];
            while !asked.ends_with(b"\r\n\r\n") {
                match peer.read(&mut piece).unwrap() {
                    0 => break,
                    length => asked.extend_from_slice(&piece[..length]),
                }
            }
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
            peer.write_all(reply).unwrap();
        }
    }

    #[test]
    fn rates_are_of_whole_samples_and_their_deviation_of_a_sample() {
        let mut record = Record::new();
        for (second, replies) in (0..).zip([10_u64, 20, 30, 5]) {
            let mut latency = Times::new();
            (0..replies).for_each(|_| latency.record_ns(1000));
            let length = if replies == 5 { SECOND / 2 } else { SECOND };
            record.samples.push(Sample::of(second * SECOND, length, 0, &latency));
        }
        let rates = Rates { min: 10.0, avg: 20.0, max: 30.0, stddev: 10.0, samples: 3 };
        assert_eq!(Rates::of(&record), rates);
        record.samples.truncate(1);
        let rates = Rates { min: 10.0, avg: 10.0, max: 10.0, stddev: 0.0, samples: 1 };
        assert_eq!(Rates::of(&record), rates);
        assert_eq!(Rates::of(&Record::new()), Rates::default());
    }

    proptest! {
        /// As httperf finds it: the first bin of 1 ms up to which there is at least one half.
        #[test]
        fn the_median_is_the_middle_of_its_bin(list in prop::collection::vec(0..1000_u64, 1..200)) {
            // Times in the middle of half a millisecond, below half a second: three digits tell their bins
            // apart.
            let mut times = Times::new();
            let mut bins = vec![0_u32; 500];
            for half_ms in &list {
                times.record_ns(half_ms * 500_000 + 250_000);
                bins[(half_ms / 2) as usize] += 1;
            }
            let mut below = 0;
            let half = list.len() as f64 / 2.0;
            let bin = bins.iter().position(|count| { below += count; f64::from(below) >= half });
            prop_assert_eq!(median_ms(&times), bin.unwrap() as f64 + 0.5);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// No record, however odd, makes a form fail, panic or write what is no number.
    #[test]
    fn any_record_is_written(
        counts in prop::collection::vec(0..u64::MAX / 64, 8),
        times in prop::collection::vec(any::<u64>(), 0..20),
        duration_ns in prop_oneof![Just(0), 1..10_u64, any::<u64>()],
        samples in prop::collection::vec((any::<u64>(), 0..u64::MAX / 2, any::<[u64; 4]>()), 0..6),
    ) {
        let mut record = Record::new();
        record.duration = Duration::from_nanos(duration_ns);
        (record.requests, record.replies) = (counts[0], counts[1]);
        (record.sent_bytes, record.head_bytes, record.body_bytes) = (counts[2], counts[3], counts[4]);
        (record.connections.tried, record.connections.most) = (counts[5], counts[6]);
        record.cpu.user = Duration::from_nanos(counts[7]);
        record.cpu.threads = counts[7] as u32;
        record.statuses.insert(counts[0] as u16, counts[1]);
        for &ns in &times {
            record.latency.record_ns(ns);
            record.lateness.record_ns(ns / 3);
            record.errors.count(Class::ALL[(ns % 13) as usize]);
        }
        for (at, length, [replies, errors, low, high]) in samples {
            record.samples.push(Sample {
                at: Duration::from_nanos(at),
                length: Duration::from_nanos(length),
                replies,
                errors,
                p50_ns: low,
                p99_ns: high,
                max_ns: high,
                latency: crate::record::PackedTimes::default(),
            });
        }
        for form in Form::ALL {
            let text = text(form, &record, &about());
            prop_assert!(!text.contains("NaN") && !text.contains(" inf"), "{}", text);
        }
        let json = text(Form::Json, &record, &about());
        prop_assert!(serde_json::from_str::<Value>(&json).is_ok() && !json.contains("null"));
    }
}
