//! Heads, good and bad, whole and in pieces.

use super::*;
use proptest::prelude::*;

/// What became of a head: the status of a refusal, or 0 for more, or 1 for a request.
fn outcome(input: &str) -> String {
    let limits = Limits::default();
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    match parse(input.as_bytes(), &mut fields, &limits) {
        Parsed::NeedMore => "more".into(),
        Parsed::Refuse(status) => status.line()[..3].into(),
        Parsed::Request(request) => {
            assert_eq!(request.head_bytes, input.len());
            format!("{:?} {:?} {}", request.method, request.framing, request.keep_alive)
        }
    }
}

#[test]
fn methods_framing_and_persistence() {
    for (input, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Get Nothing true"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "Get Nothing true"),
        ("HEAD /x HTTP/1.1\r\nhOST: a:80\r\n\r\n", "Head Nothing true"),
        ("OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "Options Nothing true"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "Other Length(5) true"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "Other Nothing true"),
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "Unknown Nothing true"),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "Unknown Nothing true"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", "Get Chunked true"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked ,\r\n\r\n", "Get Chunked true"),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n", "Get Nothing false"),
        ("GET / HTTP/1.0\r\n\r\n", "Get Nothing false"),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "Get Nothing true"),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "Get Nothing false"),
        ("GET /\u{fc} HTTP/1.1\r\nHost: a\r\n\r\n", "Get Nothing true"),
    ] {
        assert_eq!(outcome(input), expected, "{input:?}");
    }
}

#[test]
fn what_is_refused() {
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(FIELDS));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8192));
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(16384));
    for (input, status) in [
        // Hosts.
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        // Lines.
        ("GET / HTTP/1.1\nHost: a\n\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA\0: b\r\n\r\n", "400"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1}", "400"),
        // At once, though neither line nor head has ended.
        ("GET / HTTP/1.1\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\n", "400"),
        // Versions.
        ("GET /\r\n", "400"),
        ("GET / \r\n", "400"),
        ("GET / HTTP/1.1 \r\n\r\n", "400"),
        ("GET / HTTP/1\r\n\r\n", "400"),
        ("GET / HTTP/one\r\n\r\n", "400"),
        ("GET / http/1.1\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\n\r\n", "505"),
        ("GET / HTTP/1.2\r\n\r\n", "505"),
        ("GET / HTTP/0.9\r\n\r\n", "505"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
        // Lengths.
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            "501",
        ),
        // Bounds.
        (&many, "431"),
        (&large, "431"),
        (&long, "414"),
    ] {
        assert_eq!(outcome(input), status, "{input:?}");
        // And the same once it has arrived byte by byte.
        let first = (0..=input.len())
            .filter(|&end| input.is_char_boundary(end))
            .map(|end| outcome(&input[..end]))
            .find(|outcome| outcome != "more");
        assert_eq!(first.as_deref(), Some(status), "{input:?}");
    }
}

#[test]
fn the_largest_that_is_accepted() {
    let line = "GET / HTTP/1.1\r\n";
    let longest = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8192 - line.len()));
    assert_eq!(outcome(&longest), "Get Nothing true");
    assert_eq!(outcome(&longest.replace("GET /", "GET /x")), "414");
    let rest = line.len() + "Host: a\r\nA: \r\n\r\n".len();
    let largest = format!("{line}Host: a\r\nA: {}\r\n\r\n", "x".repeat(16384 - rest));
    assert_eq!(largest.len(), 16384);
    assert_eq!(outcome(&largest), "Get Nothing true");
    assert_eq!(outcome(&largest.replace("A: ", "A: x")), "431");
    let fullest = format!("{line}Host: a\r\n{}\r\n", "A: b\r\n".repeat(FIELDS - 1));
    assert_eq!(outcome(&fullest), "Get Nothing true");
}

#[test]
fn a_length_beyond_64_bits_is_large_not_malformed() {
    assert_eq!(content_length(b"99999999999999999999999"), Ok(u64::MAX));
}

#[test]
fn empty_lines_are_counted_in_pairs() {
    for (input, bytes) in
        [("", 0), ("\r", 0), ("\r\n", 2), ("\r\n\r\nGET", 4), ("G\r\n", 0), ("\r\n\r", 2)]
    {
        assert_eq!(empty_lines(input.as_bytes()), bytes, "{input:?}");
    }
}

#[test]
fn values_line_by_line() {
    let input =
        b"GET / HTTP/1.1\r\nHost: a\r\nIf-Match: \"a\"\r\nif-match: \"b\"\r\nRange: x\r\n\r\n";
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let Parsed::Request(request) = parse(input, &mut fields, &Limits::default()) else { panic!() };
    assert_eq!(request.values(Present::IF_MATCH).collect::<Vec<_>>(), [&b"\"a\""[..], b"\"b\""]);
    assert_eq!(request.value(Present::IF_MATCH), None);
    assert_eq!(request.value(Present::RANGE), Some(&b"x"[..]));
    assert_eq!(request.value(Present::IF_RANGE), None);
}

/// RFC 9110, 7.2; RFC 3986, 3.2.2.
#[test]
fn hosts() {
    for host in [
        "",
        "a",
        "a:",
        "a:80",
        "a.b-c_d~e",
        "192.0.2.1:8080",
        "[::1]",
        "[::1]:80",
        "[2001:db8::192.0.2.1]",
        "a%20b",
        "a!$&'()*+,;=",
        ":80",
        "[v1.x:y]",
        "[vF.~]:1",
        "a..b",
        "xn--bcher-kva.example",
    ] {
        assert!(is_host(host.as_bytes()), "{host:?}");
    }
    for no_host in [
        "a b",
        "a/b",
        "u@a",
        "a:b",
        "a:80:80",
        "a:-1",
        "[",
        "]",
        "[]",
        "[a]",
        "a[::1]",
        "[::1]a",
        "[::1",
        "::1",
        "[::1]:80:80",
        "[::1%25eth0]",
        "[v.x]",
        "[v1.]",
        "[vx.y]",
        "a%",
        "a%2",
        "a%zz",
        "a\\b",
        "a\"b",
        "ü",
        "http://a",
        "a?b",
        "a#b",
        "[::1]:x",
        "a\tb",
    ] {
        assert!(!is_host(no_host.as_bytes()), "{no_host:?}");
    }
}

/// RFC 9110, 10.1.1: a list, whose only known member is 100-continue.
#[test]
fn expectations() {
    for (lines, expected) in [
        ("", Expect::Nothing),
        ("Expect: 100-continue\r\n", Expect::Continue),
        ("Expect: 100-Continue\r\n", Expect::Continue),
        ("Expect: 100-continue, ,100-continue\r\n", Expect::Continue),
        ("Expect: 100-continue\r\nExpect: 100-continue\r\n", Expect::Continue),
        ("Expect:\r\n", Expect::Nothing),
        ("Expect: 100-continue, x\r\n", Expect::Unknown),
        ("Expect: x\r\nExpect: 100-continue\r\n", Expect::Unknown),
        ("Expect: 100-continue;q=1\r\n", Expect::Unknown),
        ("Expect: 100-continuee\r\n", Expect::Unknown),
    ] {
        for (version, expected) in [("1.1", expected), ("1.0", Expect::Nothing)] {
            let input = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
            let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
            let parsed = parse(input.as_bytes(), &mut fields, &Limits::default());
            let Parsed::Request(request) = parsed else { panic!("{input:?}: {parsed:?}") };
            assert_eq!(request.expect, expected, "{input:?}");
        }
    }
}

proptest! {
    /// Whatever arrives, the first verdict over its beginnings is the verdict over all of it.
    #[test]
    fn the_verdict_does_not_depend_on_pieces(
        lines in prop::collection::vec(
            prop_oneof![
                Just("GET / HTTP/1.1"), Just("GET / HTTP/1.1\r\nHost: a"), Just("Host: a"), Just(""),
                Just("A: b\nC: d"), Just("A : b"), Just(" folded"), Just("Content-Length: 3"),
                Just("Transfer-Encoding: chunked"), Just("GET / HTTP/3.0"), Just("\r"), Just("\n"),
                Just("X: \0"), Just("GET"), Just("Connection: close"),
            ],
            0..8,
        )
    ) {
        let input = lines.join("\r\n");
        let first = (0..=input.len())
            .map(|end| (end, verdict(&input.as_bytes()[..end])))
            .find(|(_, verdict)| verdict != "more");
        if let Some((_, first)) = first {
            prop_assert_eq!(first, verdict(input.as_bytes()));
        }
    }

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
        crate::fuzz::request(&data);
    }
}

fn verdict(input: &[u8]) -> String {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    match parse(&input[empty_lines(input)..], &mut fields, &Limits::default()) {
        Parsed::NeedMore => "more".into(),
        Parsed::Refuse(status) => status.line().into(),
        Parsed::Request(request) => format!("{:?}{:?}", request.method, request.framing),
    }
}
