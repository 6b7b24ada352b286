//! Targets, and what leads nowhere.

use super::*;
use proptest::prelude::*;

fn path(target: &str) -> Result<String, Refused> {
    let mut path = b"left over".to_vec();
    resolve(target, &mut path).map(|_| String::from_utf8(path).unwrap())
}

#[test]
fn paths() {
    for (target, expected) in [
        ("/", ""),
        ("/a", "a"),
        ("/a/", "a/"),
        ("/a/b.txt?x=/../y", "a/b.txt"),
        ("//a///b//", "a/b/"),
        ("/./a/./b/.", "a/b/"),
        ("/a/../b", "b"),
        ("/a/..", ""),
        ("/a/b/..", "a/"),
        ("/a/b/../", "a/"),
        ("/a/b/c/../../d", "a/d"),
        ("/%61%2e%62", "a.b"),
        ("/a/%2e%2E/b", "b"),
        ("/%c3%bc", "ü"),
        ("/ü", "ü"),
        ("/a%20b%25%3f%23", "a b%?#"),
        ("/a\\b", "a\\b"),
        ("/...", "..."),
        ("/a/..b/", "a/..b/"),
        ("/.well-known/acme", ".well-known/acme"),
        ("http://host", ""),
        ("http://host/", ""),
        ("HTTP://host:80/a/b?c", "a/b"),
        ("http://[::1]?c", ""),
        ("/?", ""),
    ] {
        // Segments of dots alone, other than one or two, are hidden like all that begins with one.
        let hidden = expected.split('/').any(|segment| segment.starts_with('.'));
        let expected = match hidden && !expected.starts_with(".well-known") {
            true => Err(Refused::Nothing),
            false => Ok(expected.to_owned()),
        };
        assert_eq!(path(target), expected, "{target}");
    }
}

#[test]
fn malformed() {
    for target in [
        "",
        "a",
        "/%",
        "/%1",
        "/%zz",
        "/%+1",
        "/a%00",
        "/..",
        "/a/../..",
        "/%2e%2e/etc/passwd",
        "/a#b",
        "/?a#b",
        "host:80",
        "http:/a",
        "http:///a",
        "ftp://host/",
        "http://u@host/",
        "http://a b/",
        "http://:80/",
        "http://a:b/",
        "http://[::1/",
        "http://a%/",
        "://a/",
        "*a",
        "?a",
    ] {
        assert_eq!(path(target), Err(Refused::Malformed), "{target}");
    }
}

/// None arrives in a head, which is why this does not depend on it.
#[test]
fn a_nul_is_in_no_path() {
    for raw in ["\0", "/\0", "/a\0b", "/a\0/../b", "/a%62\0", "/%00", "/a%00b", "/a%00/../b"] {
        let mut path = Vec::new();
        assert_eq!(normalise(raw.as_bytes(), &mut path), Err(Refused::Malformed), "{raw:?}");
    }
    assert_eq!(path("/a\0?b"), Err(Refused::Malformed));
    assert_eq!(path("/a%000"), Err(Refused::Malformed));
    assert_eq!(path("/a%0a").as_deref(), Ok("a\n"), "other controls are in names of files");
}

#[test]
fn hidden_or_impossible() {
    for target in [
        "/.git/config",
        "/a/.htaccess",
        "/%2egit",
        "/a%2fb",
        "/%2F",
        "/..%2fetc",
        "/a/.well-known/b",
        "/.well-known/.b",
        "/.well-knownx",
    ] {
        assert_eq!(path(target), Err(Refused::Nothing), "{target}");
    }
    assert_eq!(path("/.git/../a").as_deref(), Ok("a"));
}

/// RFC 9110, 7.4.
#[test]
fn what_is_for_a_secured_connection() {
    for target in ["https://host/", "HTTPS://host:443/a?b", "https://[::1]"] {
        assert_eq!(path(target), Err(Refused::Misdirected), "{target}");
    }
    assert_eq!(path("https://u@host/"), Err(Refused::Malformed));
}

#[test]
fn the_query_and_the_asterisk() {
    let mut path = Vec::new();
    assert_eq!(resolve("/a?b?c", &mut path), Ok(Target::Path { query: Some("b?c") }));
    assert_eq!(resolve("/a?", &mut path), Ok(Target::Path { query: Some("") }));
    assert_eq!(resolve("*", &mut path), Ok(Target::Asterisk));
}

#[test]
fn a_location() {
    let mut out = Vec::new();
    encode("a b/ü%?#\"\r\n".as_bytes(), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "/a%20b/%C3%BC%25%3F%23%22%0D%0A");
}

proptest! {
    #[test]
    fn stays_below_the_root(
        segments in prop::collection::vec(
            prop_oneof![
                Just(".."), Just("."), Just(""), Just("%2e%2e"), Just("%2E."), Just("a"), Just("b.c"),
                Just("%2f"), Just("%"), Just("..%00"), Just("ü"), Just("?"), Just("a;b"),
            ],
            0..12,
        )
    ) {
        crate::fuzz::target(format!("/{}", segments.join("/")).as_bytes());
    }

    #[test]
    fn any_target(target in "\\PC*") {
        crate::fuzz::target(target.as_bytes());
        crate::fuzz::target(format!("/{target}").as_bytes());
    }
}
