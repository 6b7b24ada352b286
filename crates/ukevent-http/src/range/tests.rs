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
        ("bytes=0-1,3-4", Whole),
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
        }
        match parse(format!("bytes=-{last}").as_bytes(), len) {
            Range::Part { first, last: end } => {
                prop_assert_eq!(end + 1 - first, last.min(len));
                prop_assert_eq!(end + 1, len);
            }
            Range::Whole => prop_assert!(len == 0 && last > 0),
            Range::Unsatisfiable => prop_assert!(last == 0),
        }
    }

    #[test]
    fn any_value(data in prop::collection::vec(any::<u8>(), 0..40)) {
        crate::fuzz::range(&data);
        crate::fuzz::range(&[b"bytes=", &data[..]].concat());
    }
}
