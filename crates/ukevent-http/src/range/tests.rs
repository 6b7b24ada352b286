//! Ranges, against a model that selects bytes one by one.

use super::*;
use proptest::prelude::*;

#[test]
fn ranges_of_ten_bytes() {
    use Range::{Part, Unsatisfiable, Whole};
    for (value, expected) in [
        ("bytes=0-4", Part { first: 0, last: 4 }),
        ("bytes=0-0", Part { first: 0, last: 0 }),
        ("bytes=5-", Part { first: 5, last: 9 }),
        ("bytes=9-9", Part { first: 9, last: 9 }),
        ("bytes=3-100", Part { first: 3, last: 9 }),
        ("bytes=0-18446744073709551616", Part { first: 0, last: 9 }),
        ("bytes=-3", Part { first: 7, last: 9 }),
        ("bytes=-10", Part { first: 0, last: 9 }),
        ("bytes=-99999999999999999999", Part { first: 0, last: 9 }),
        ("BYTES=1-2", Part { first: 1, last: 2 }),
        ("bytes= 1-2 ,", Part { first: 1, last: 2 }),
        ("bytes=10-", Unsatisfiable),
        ("bytes=10-20", Unsatisfiable),
        ("bytes=99999999999999999999-", Unsatisfiable),
        ("bytes=-0", Unsatisfiable),
        ("bytes=4-2", Whole),
        // Joined where they overlap or touch.
        ("bytes=0-1,2-4", Part { first: 0, last: 4 }),
        ("bytes=2-4,0-1", Part { first: 0, last: 4 }),
        ("bytes=0-5,3-7", Part { first: 0, last: 7 }),
        ("bytes=0-,-1", Part { first: 0, last: 9 }),
        ("bytes=1-1,5-5,2-4", Part { first: 1, last: 5 }),
        // Of several, those that can be had.
        ("bytes=0-1,20-30", Part { first: 0, last: 1 }),
        ("bytes=10-,-0,99-", Unsatisfiable),
        // One that is malformed makes nothing of all.
        ("bytes=0-1,4-2", Whole),
        ("bytes=0-1,x", Whole),
        ("bytes=20-30,x", Whole),
        ("bytes=", Whole),
        ("bytes=-", Whole),
        ("bytes=--1", Whole),
        ("bytes=1", Whole),
        ("bytes=a-b", Whole),
        ("bytes=1-2x", Whole),
        ("bytes=+1-2", Whole),
        ("bytes=1 - 2", Whole),
        ("bytes 1-2", Whole),
        ("lines=1-2", Whole),
        ("", Whole),
    ] {
        assert_eq!(parse(value.as_bytes(), 10), expected, "{value}");
    }
}

#[test]
fn ranges_of_nothing() {
    assert_eq!(parse(b"bytes=0-", 0), Range::Unsatisfiable);
    assert_eq!(parse(b"bytes=-5", 0), Range::Whole);
    assert_eq!(parse(b"bytes=-0", 0), Range::Unsatisfiable);
}

proptest! {
    #[test]
    fn selects_what_the_model_selects(first in 0u64..20, last in 0u64..20, len in 0u64..20) {
        let wanted: Vec<u64> = (0..len).filter(|at| (first..=last).contains(at)).collect();
        match parse(format!("bytes={first}-{last}").as_bytes(), len) {
            Range::Part { first, last } => {
                prop_assert_eq!((first..=last).collect::<Vec<_>>(), wanted);
            }
            Range::Whole => prop_assert!(last < first),
            Range::Unsatisfiable => prop_assert!(first >= len),
            Range::Several(_) => prop_assert!(false),
        }
        match parse(format!("bytes=-{last}").as_bytes(), len) {
            Range::Part { first, last: end } => {
                prop_assert_eq!(end + 1 - first, last.min(len));
                prop_assert_eq!(end + 1, len);
            }
            Range::Whole => prop_assert!(len == 0 && last > 0),
            Range::Unsatisfiable => prop_assert!(last == 0),
            Range::Several(_) => prop_assert!(false),
        }
    }

    /// Each byte that was asked for stands in exactly one range, and no range touches another.
    #[test]
    fn several_select_what_the_model_selects(
        pairs in prop::collection::vec((0u64..40, 0u64..6), 1..MOST_RANGES),
        len in 1u64..40,
    ) {
        let list = pairs.iter().map(|(first, more)| format!("{first}-{}", first + more));
        let list = format!("bytes={}", list.collect::<Vec<_>>().join(","));
        let ranges = match parse(list.as_bytes(), len) {
            Range::Part { first, last } => vec![(first, last)],
            Range::Several(ranges) => ranges.as_slice().to_vec(),
            Range::Unsatisfiable => vec![],
            Range::Whole => return Err(TestCaseError::fail("nothing is malformed")),
        };
        for at in 0..len + 10 {
            let asked = pairs.iter().any(|&(first, more)| (first..=first + more).contains(&at));
            let times = ranges.iter().filter(|(first, last)| (first..=last).contains(&&at)).count();
            prop_assert_eq!(times, usize::from(asked && at < len), "byte {}", at);
        }
        for (at, &(first, last)) in ranges.iter().enumerate() {
            for &(other, end) in &ranges[at + 1..] {
                prop_assert!(last + 1 < other || end + 1 < first);
            }
        }
    }

    #[test]
    fn any_value(data in prop::collection::vec(any::<u8>(), 0..40)) {
        crate::fuzz::range(&data);
        crate::fuzz::range(&[b"bytes=", &data[..]].concat());
    }
}

fn several(value: &str, len: u64) -> Vec<(u64, u64)> {
    match parse(value.as_bytes(), len) {
        Range::Several(ranges) => ranges.as_slice().to_vec(),
        other => panic!("{value}: {other:?}"),
    }
}

#[test]
fn several_keep_their_order() {
    for (value, expected) in [
        ("bytes=0-1,3-4", &[(0, 1), (3, 4)][..]),
        ("bytes=8-,0-1", &[(8, 9), (0, 1)]),
        ("bytes=-1,0-0,20-", &[(9, 9), (0, 0)]),
        ("bytes=6-7,0-1,8-9", &[(6, 9), (0, 1)]),
        ("bytes=6-6,0-1,8-8,7-7", &[(6, 8), (0, 1)]),
        ("bytes=0-0,4-4,2-2,8-8,1-1", &[(0, 2), (4, 4), (8, 8)]),
        (" bytes=0-1", &[]),
    ] {
        match expected {
            [] => assert_eq!(parse(value.as_bytes(), 10), Range::Whole, "{value}"),
            _ => assert_eq!(several(value, 10), expected, "{value}"),
        }
    }
}

#[test]
fn so_many_and_no_more() {
    let list = |count: u64| {
        let each = (0..count).map(|at| format!("{0}-{0}", 2 * at)).collect::<Vec<_>>();
        format!("bytes={}", each.join(","))
    };
    assert_eq!(several(&list(MOST_RANGES as u64), 1000).len(), MOST_RANGES);
    assert_eq!(parse(list(MOST_RANGES as u64 + 1).as_bytes(), 1000), Range::Whole);
    // What lies behind the end counts too: it is the list that is bounded.
    assert_eq!(parse(list(MOST_RANGES as u64 + 1).as_bytes(), 3), Range::Whole);
}
