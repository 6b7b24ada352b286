//! Preferences, read and unreadable.

use super::*;
use proptest::prelude::*;

fn best(field: &str, there: &[Coding]) -> &'static str {
    let lines = field.split('|').map(str::as_bytes);
    Codings::of(lines).best(|coding| there.contains(&coding)).map_or("identity", Coding::token)
}

/// RFC 9110, 12.5.3.
#[test]
fn codings() {
    for (field, expected) in [
        ("gzip, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=1, br;q=0.9", "gzip"),
        ("gzip;q=0.001", "gzip"),
        ("gzip ; q=0.5 , br ;\tQ=0.6", "br"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0.0, gzip;q=0.000", "identity"),
        ("", "identity"),
        (" , ,", "identity"),
        ("identity", "identity"),
        ("identity;q=0", "identity"),
        ("deflate, compress", "identity"),
        ("*", "br"),
        ("*;q=0", "identity"),
        ("*;q=0, gzip", "gzip"),
        ("*, br;q=0", "zstd"),
        ("*;q=0.5, gzip", "gzip"),
        ("gzip;q=0.5", "gzip"),
        ("gzip;q=0.5, identity", "identity"),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip;q=0.5, identity;q=0.4", "gzip"),
        ("gzip;q=0.5, *;q=0.6", "br"),
        ("identity;q=0, gzip;q=0", "identity"),
        // The first of two counts.
        ("gzip;q=0, gzip", "identity"),
        ("br;q=0|gzip|br", "gzip"),
        // What is no weight is no element.
        ("gzip;q=2, br;q=-1", "identity"),
        ("gzip;q=", "identity"),
        ("gzip;q=1.001", "identity"),
        ("gzip;q=0.1234", "identity"),
        ("gzip;q=.5", "identity"),
        ("gzip;q=1.", "gzip"),
        ("gzip;level=9", "gzip"),
        ("gzipx, xbr", "identity"),
    ] {
        assert_eq!(best(field, &Coding::ALL), expected, "{field:?}");
    }
    assert_eq!(Codings::of(std::iter::empty()).best(|_| true), None);
}

#[test]
fn what_is_not_there_is_not_chosen() {
    for (field, there, expected) in [
        ("br, gzip", &[Coding::Gzip][..], "gzip"),
        ("br", &[Coding::Gzip], "identity"),
        ("br;q=0.1, gzip;q=0.2, zstd;q=0.3", &[Coding::Brotli, Coding::Gzip], "gzip"),
        ("*", &[], "identity"),
    ] {
        assert_eq!(best(field, there), expected, "{field:?} of {there:?}");
    }
}

/// RFC 9110, 12.5.1.
#[test]
fn html_or_json() {
    for (field, expected) in [
        ("", false),
        ("*/*", false),
        ("application/json", true),
        ("Application/JSON", true),
        ("application/*", true),
        ("text/html", false),
        ("text/html, application/json", false),
        ("text/html;q=0.5, application/json;q=0.6", true),
        ("*/*;q=0.5, application/json", true),
        ("*/*, application/json;q=0.9", false),
        ("text/html, */*", false),
        ("text/html;q=0, */*", true),
        ("application/json;q=0", false),
        ("image/png", false),
        ("application/json;v=\"a,b;q=0\";q=0.7, text/*;q=0.6", true),
        ("application/json;v=\"\\\"\";q=0, text/*;q=0.6", false),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
        ("json", false),
        ("text/html;q=0.4|application/json", true),
    ] {
        assert_eq!(prefers_json(field.split('|').map(str::as_bytes)), expected, "{field:?}");
    }
}

proptest! {
    /// Against the rule in words: the highest weight wins, and what weighs nothing never does.
    #[test]
    fn the_best_is_accepted_and_none_is_better(
        weights in prop::collection::vec((0usize..5, 0u16..=10), 0..8),
    ) {
        let names = ["br", "zstd", "gzip", "identity", "*"];
        let field = weights
            .iter()
            .map(|(name, tenths)| format!("{};q={}.{}", names[*name], tenths / 10, tenths % 10))
            .collect::<Vec<_>>()
            .join(", ");
        let said = |wanted| weights.iter().find(|(name, _)| *name == wanted).map(|(_, q)| *q);
        let weight = |at| said(at).or(said(4)).unwrap_or(0);
        let chosen = Codings::of(std::iter::once(field.as_bytes())).best(|_| true);
        match chosen {
            Some(coding) => {
                prop_assert!(weight(coding.index()) > 0);
                prop_assert!((0..3).all(|other| weight(other) <= weight(coding.index())));
                prop_assert!(weight(3) <= weight(coding.index()));
            }
            None => prop_assert!((0..3).all(|other| weight(other) == 0 || weight(other) < weight(3))),
        }
    }

    #[test]
    fn any_field(data in prop::collection::vec(any::<u8>(), 0..60)) {
        crate::fuzz::negotiation(&data);
    }
}
