//! Every branch of RFC 9110, 13.2.2.

use super::*;
use crate::{
    limits::{FIELDS, Limits},
    request::{self, Parsed},
};
use std::mem::MaybeUninit;

const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

const NOW: Validators<'_> =
    Validators { etag: Some("\"tag\""), modified_s: Some(784_111_777), settled: true };
const WEAK: Validators<'_> =
    Validators { etag: Some("W/\"tag\""), modified_s: Some(784_111_777), settled: false };
const BARE: Validators<'_> = Validators { etag: None, modified_s: None, settled: false };

const PROCEED: Verdict = Verdict::Proceed { ranged: false };
const RANGED: Verdict = Verdict::Proceed { ranged: true };

fn verdict(fields: &str, now: Validators<'_>) -> Verdict {
    let fields = fields.replace("THEN", THEN).replace("BEFORE", BEFORE).replace("LATER", LATER);
    let lines: String = fields
        .split('|')
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\r\n"))
        .collect();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let mut room = [const { MaybeUninit::uninit() }; FIELDS];
    match request::parse(head.as_bytes(), &mut room, &Limits::default()) {
        Parsed::Request(request) => evaluate(&request, now),
        other => panic!("{other:?}"),
    }
}

#[test]
fn in_their_order() {
    use Verdict::{Failed, NotModified};
    for (fields, expected) in [
        ("", PROCEED),
        ("If-Match: \"tag\"", PROCEED),
        ("If-Match: \"no\", \"tag\"", PROCEED),
        ("If-Match: \"no\"|If-Match: \"tag\"", PROCEED),
        ("If-Match: *", PROCEED),
        ("If-Match: \"no\"", Failed),
        ("If-Match: W/\"tag\"", Failed),
        ("If-Match: tag", Failed),
        ("If-Match:", Failed),
        ("If-Match: \"a,\"tag\"", Failed),
        ("If-Match: \"a,b\",\"tag\"", PROCEED),
        ("If-Unmodified-Since: THEN", PROCEED),
        ("If-Unmodified-Since: LATER", PROCEED),
        ("If-Unmodified-Since: BEFORE", Failed),
        ("If-Unmodified-Since: whenever", PROCEED),
        ("If-Unmodified-Since: BEFORE|If-Unmodified-Since: BEFORE", PROCEED),
        // If-Match decides alone.
        ("If-Match: \"tag\"|If-Unmodified-Since: BEFORE", PROCEED),
        ("If-None-Match: \"tag\"", NotModified),
        ("If-None-Match: W/\"tag\"", NotModified),
        ("If-None-Match: \"no\" , ,W/\"tag\"", NotModified),
        ("If-None-Match: *", NotModified),
        ("If-None-Match: \"no\"", PROCEED),
        ("If-None-Match: \"TAG\"", PROCEED),
        ("If-None-Match: w/\"tag\"", PROCEED),
        ("If-None-Match: \"no\" \"tag\"", PROCEED),
        ("If-Modified-Since: THEN", NotModified),
        ("If-Modified-Since: LATER", NotModified),
        ("If-Modified-Since: BEFORE", PROCEED),
        ("If-Modified-Since: 0", PROCEED),
        // If-None-Match decides alone.
        ("If-None-Match: \"no\"|If-Modified-Since: THEN", PROCEED),
        ("If-None-Match: \"tag\"|If-Modified-Since: BEFORE", NotModified),
        // The precondition comes before the cache's question.
        ("If-Match: \"no\"|If-None-Match: \"tag\"", Failed),
        ("If-Match: \"tag\"|If-None-Match: \"tag\"", NotModified),
        ("If-Unmodified-Since: BEFORE|If-Modified-Since: THEN", Failed),
        // And both before the range.
        ("Range: bytes=0-1", RANGED),
        ("Range: bytes=0-1|If-None-Match: \"tag\"", NotModified),
        ("Range: bytes=0-1|If-Range: \"tag\"", RANGED),
        ("Range: bytes=0-1|If-Range: W/\"tag\"", PROCEED),
        ("Range: bytes=0-1|If-Range: \"no\"", PROCEED),
        ("Range: bytes=0-1|If-Range: THEN", RANGED),
        ("Range: bytes=0-1|If-Range: LATER", PROCEED),
        ("Range: bytes=0-1|If-Range: BEFORE", PROCEED),
        ("Range: bytes=0-1|If-Range: whenever", PROCEED),
        ("Range: bytes=0-1|If-Range: \"tag\"|If-Range: \"tag\"", PROCEED),
        ("If-Range: \"tag\"", PROCEED),
    ] {
        assert_eq!(verdict(fields, NOW), expected, "{fields}");
    }
}

#[test]
fn a_weak_tag_is_good_for_caches_only() {
    for (fields, expected) in [
        ("If-Match: W/\"tag\"", Verdict::Failed),
        ("If-Match: \"tag\"", Verdict::Failed),
        ("If-Match: *", PROCEED),
        ("If-None-Match: \"tag\"", Verdict::NotModified),
        ("If-None-Match: W/\"tag\"", Verdict::NotModified),
        ("Range: bytes=0-1|If-Range: W/\"tag\"", PROCEED),
        ("Range: bytes=0-1|If-Range: THEN", PROCEED),
    ] {
        assert_eq!(verdict(fields, WEAK), expected, "{fields}");
    }
}

#[test]
fn without_validators() {
    for (fields, expected) in [
        ("If-Match: \"tag\"", Verdict::Failed),
        ("If-Match: *", PROCEED),
        ("If-None-Match: \"tag\"", PROCEED),
        ("If-None-Match: *", Verdict::NotModified),
        ("If-Unmodified-Since: BEFORE", PROCEED),
        ("If-Modified-Since: LATER", PROCEED),
        ("Range: bytes=0-1|If-Range: \"tag\"", PROCEED),
        ("Range: bytes=0-1|If-Range: whenever", PROCEED),
    ] {
        assert_eq!(verdict(fields, BARE), expected, "{fields}");
    }
}
