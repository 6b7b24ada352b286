//! The buckets against the definition: each duration lies within the bucket it is counted in.

use super::*;
use proptest::prelude::*;

const LONGEST: Duration = Duration::from_secs(100);

#[test]
fn the_ends_of_buckets_are_counted_in_them() {
    let ends: Vec<_> = (0..BUCKETS - 1).map(end).collect();
    assert!(ends.windows(2).all(|two| two[0] < two[1]), "they are not in order");
    assert_eq!((ends[0], *ends.last().unwrap()), (Duration::ZERO, LONGEST));
    for (at, &end) in ends.iter().enumerate() {
        assert_eq!(bucket(end), at, "{end:?}");
        assert_eq!(bucket(end + Duration::from_nanos(1)), at + 1, "beyond {end:?}");
    }
    assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
}

#[test]
fn nothing_has_no_percentile() {
    assert_eq!(Latency::default().percentile(50.0), None);
}

#[test]
fn what_takes_longer_than_all_buckets_is_counted() {
    let mut latency = Latency::default();
    latency.record(Duration::from_secs(1000));
    assert_eq!((latency.count(), latency.percentile(1.0)), (1, Some(LONGEST)));
    assert_eq!((latency.up_to(LONGEST), latency.sum_ns()), (0, 1_000_000_000_000));
}

proptest! {
    /// Against the sorted list.
    #[test]
    fn a_percentile_is_at_most_a_tenth_too_long(
        mut all in prop::collection::vec(0_u64..200_000_000_000, 1..200),
        shift in 0_u32..30,
        percent in 0.0..=100.0_f64,
    ) {
        let mut latency = Latency::default();
        all.iter_mut().for_each(|ns| *ns >>= shift);
        all.iter().for_each(|&ns| latency.record(Duration::from_nanos(ns)));
        all.sort_unstable();
        let rank = (all.len() as f64 * percent / 100.0).ceil().max(1.0) as usize;
        let exact = Duration::from_nanos(all[rank - 1]).min(LONGEST);
        let told = latency.percentile(percent).unwrap();
        let most = exact + (exact / 10).max(Duration::from_micros(1));
        prop_assert!((exact..=most).contains(&told), "{exact:?} became {told:?}");
    }

    #[test]
    fn what_was_counted_since_is_what_was_added(
        first in prop::collection::vec(any::<u64>(), 0..50),
        then in prop::collection::vec(any::<u64>(), 0..50),
    ) {
        let counted = |all: &[u64]| {
            let mut latency = Latency::default();
            all.iter().for_each(|&ns| latency.record(Duration::from_nanos(ns)));
            latency
        };
        let (before, added) = (counted(&first), counted(&then));
        let mut both = before.clone();
        both.add(&added);
        prop_assert_eq!(both.since(&before), added);
    }
}
