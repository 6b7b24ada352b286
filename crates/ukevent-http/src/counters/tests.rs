//! That what is told of several threads is what they counted.

use super::*;
use std::time::Duration;

#[test]
fn all_is_the_sum_and_each_its_own() {
    let whole = Arc::new(Whole::new(3, &crate::limits::Limits::default()));
    let counts: Vec<_> = (0..3).map(|number| Counts::new(Arc::clone(&whole), number)).collect();
    for (number, counts) in (1..).zip(&counts) {
        let tally = counts.own();
        tally.requests.add(number);
        tally.requests.add(number);
        tally.answers[2].add(10 * number);
        tally.open.set(number);
        tally.largest_batch.set(100 / number);
        tally.uptime_s.set(50 + number);
        tally.latency.record_all(Duration::from_nanos(1500), 3);
    }
    let all = counts[1].all();
    assert_eq!((all.requests, all.answers[2], all.open), (12, 60, 6));
    assert_eq!((all.largest_batch, all.uptime_s), (100, 53), "they are no sums");
    let each = counts[0].by_thread();
    assert_eq!(each.iter().map(|it| it.requests).collect::<Vec<_>>(), [2, 4, 6]);
    let latency = counts[2].latency();
    assert_eq!((latency.count(), latency.sum_ns()), (9, 12_000));
}

#[test]
fn who_is_alone_is_all() {
    let counts = Counts::default();
    counts.own().accepted.add(2);
    assert_eq!(counts.all().accepted, 2);
    assert!(counts.by_thread().is_empty());
}

/// Nobody loses what another counts beside him.
#[test]
fn each_has_lines_of_the_cache_of_its_own() {
    let whole = Whole::new(2, &crate::limits::Limits::default());
    let [one, other] = &whole.tallies[..] else { unreachable!() };
    let apart = std::ptr::from_ref(other).addr() - std::ptr::from_ref(one).addr();
    assert_eq!((apart % 128, std::ptr::from_ref(one).addr() % 128), (0, 0));
}
