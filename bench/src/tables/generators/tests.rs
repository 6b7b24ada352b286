//! What the programs print is read, and who lies is found out.

use super::{Made, agree, read_h2load, read_oha, read_ukevent};
use crate::tables::counters::Counted;

#[test]
fn reads_ukevent_load() {
    let words = r#"{"requests":105,"replies":103,"errors_total":2,"replies_per_s":51.5,"#
        .to_owned()
        + r#""latency_us":{"p50":80.5,"p99":412.25},"late_starts":1,"late_starts_percent":0.95,"#
        + r#""statuses":{"200":100,"404":3},"mode":{"loop":"open"}}"#;
    let made = read_ukevent(&words).unwrap();
    let expected = Made {
        requests: 100,
        errors: 5,
        per_second: 51.5,
        late_percent: Some(0.95),
        p99_us: Some(412.25),
        ..Made::default()
    };
    assert_eq!(made, expected);
    let closed = read_ukevent(&words.replace("open", "closed")).unwrap();
    assert_eq!((closed.late_percent, closed.p99_us), (None, None), "nothing was due");
    assert_eq!(read_ukevent("ukevent: load: no reply"), None);
}

#[test]
fn reads_oha() {
    let words = r#"{"summary":{"successRate":1.0,"total":2.0,"requestsPerSec":51.5},
        "latencyPercentiles":{"p50":0.0001,"p99":0.000875},
        "statusCodeDistribution":{"200":98,"206":2,"503":3},
        "errorDistribution":{"aborted due to deadline":64}}"#;
    let made = read_oha(words).unwrap();
    let expected = Made {
        requests: 100,
        errors: 67,
        per_second: 51.5,
        p99_us: Some(875.0),
        ..Made::default()
    };
    assert_eq!(made, expected);
    assert_eq!(read_oha("{}"), None);
    assert_eq!(read_oha(""), None);
}

#[test]
fn reads_h2load() {
    let words = "Stopped all clients for thread #0\n\n\
        finished in 1.01s, 44156.25 req/s, 7.83MB/s\n\
        requests: 44156 total, 44160 started, 44156 done, 44150 succeeded, 6 failed, 2 errored, \
        1 timeout\n\
        status codes: 44150 2xx, 0 3xx, 4 4xx, 0 5xx\n\
        traffic: 7.83MB (8213016) total, 4.17MB (4371840) headers (space savings 0.00%)\n";
    let made = read_h2load(words).unwrap();
    let expected = Made { requests: 44150, errors: 6, per_second: 44156.25, ..Made::default() };
    assert_eq!(made, expected);
    assert_eq!(read_h2load("starting benchmark...\n"), None);
}

#[test]
fn who_lies_has_no_result() {
    let counted = |requests| Counted { requests, accepted: 0, open: 0 };
    let made = Made { requests: 100, errors: 2, ..Made::default() };
    let (before, connections) = (counted(50), 64);
    for (after, is_true) in [(149, false), (150, true), (216, true), (217, false)] {
        let found = agree("wrk", &made, before, counted(after), connections);
        assert_eq!(found.is_ok(), is_true, "{after}");
    }
    let lie = agree("wrk", &made, before, counted(149), connections).unwrap_err();
    assert_eq!(lie.to_string(), "wrk counts 100 answers, the server 99");
}
