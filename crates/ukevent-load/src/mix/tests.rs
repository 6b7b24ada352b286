//! What is read, what is refused and where, what is sent, and that draws follow weights.

use super::{Mix, Refusal, Request};
use crate::Asked;
use proptest::prelude::*;

fn request(
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Result<Request, Refusal> {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Request::new(method, path, fields, body.into())
}

fn text(request: &Request, keep_alive: bool) -> String {
    String::from_utf8(request.bytes("a:80", keep_alive).unwrap()).unwrap()
}

const AGENT: &str = concat!("User-Agent: ukevent/", env!("CARGO_PKG_VERSION"), "\r\n");

#[test]
fn what_is_missing_is_added() {
    let plain = request("GET", "/", &[], "").unwrap();
    assert_eq!(text(&plain, true), format!("GET / HTTP/1.1\r\nHost: a:80\r\n{AGENT}\r\n"));
    assert_eq!(
        text(&plain, false),
        format!("GET / HTTP/1.1\r\nHost: a:80\r\n{AGENT}Connection: close\r\n\r\n")
    );
    let full = request("PUT", "/x?y", &[("A", " b ")], "body").unwrap();
    assert_eq!(
        text(&full, true),
        format!("PUT /x?y HTTP/1.1\r\nHost: a:80\r\nA: b\r\n{AGENT}Content-Length: 4\r\n\r\nbody")
    );
    assert!(text(&request("POST", "/", &[], "").unwrap(), true).contains("Content-Length: 0\r\n"));
    assert_eq!(request("HEAD", "/", &[], "").unwrap().asked(), Asked::Head);
    assert_eq!(request("head", "/", &[], "").unwrap().asked(), Asked::Content);
}

#[test]
fn what_is_given_stays() {
    let given = [
        ("A", "1"),
        ("host", "other"),
        ("USER-AGENT", "me"),
        ("connection", "x, Close"),
        ("content-length", "2"),
    ];
    let given = request("POST", "/", &given, "ab").unwrap();
    let expected = "POST / HTTP/1.1\r\nHost: other\r\nA: 1\r\nUSER-AGENT: me\r\nconnection: x, Close\r\n\
                    content-length: 2\r\n\r\nab";
    assert_eq!(text(&given, false), expected);
    assert_eq!(text(&given, true), expected);
    let stays = request("GET", "/", &[("Connection", "keep-alive")], "").unwrap();
    assert!(text(&stays, false).contains("Connection: close\r\n"), "it is overruled");
}

#[test]
fn what_would_break_framing_is_refused() {
    let line = |method, path| request(method, path, &[], "").unwrap_err();
    for method in ["", "G T", "GET\r\n", "G:T", "GÄT"] {
        assert_eq!(line(method, "/"), Refusal::Method(method.to_owned()));
    }
    assert_eq!(line("CONNECT", "/"), Refusal::Connect);
    for path in ["", "x", "*", "ftp://a/"] {
        assert_eq!(line("GET", path), Refusal::Path(path.to_owned()));
    }
    for (path, character) in [
        ("/a b", ' '),
        ("/a\r\nX: y", '\r'),
        ("/a\n", '\n'),
        ("/ä", 'ä'),
        ("/a#b", '#'),
        ("/\0", '\0'),
    ] {
        assert_eq!(line("GET", path), Refusal::PathCharacter(character));
    }
    for good in ["/", "/?a=b&c", "//", "http://a/b", "https://a"] {
        assert!(request("GET", good, &[], "").is_ok(), "{good}");
    }
    assert!(request("OPTIONS", "*", &[], "").is_ok());

    let field = |name, value| request("GET", "/", &[(name, value)], "ab").unwrap_err();
    for name in ["", "a b", "a:", "a\r\n", "ä"] {
        assert_eq!(field(name, "x"), Refusal::Name(name.to_owned()));
    }
    for value in ["a\r\nb: c", "a\nb", "a\rb", "\0", "a\u{7f}"] {
        assert_eq!(field("A", value), Refusal::Value("A".to_owned()));
    }
    for given in ["3", "", "02", "+2", "2, 2", "99999999999999999999999"] {
        let expected = Refusal::Length { given: given.to_owned(), body_bytes: 2 };
        assert_eq!(field("content-LENGTH", given), expected);
    }
    for coding in ["chunked", "identity", ""] {
        assert_eq!(field("Transfer-Encoding", coding), Refusal::Coding);
    }
    let twice = |name, value| request("GET", "/", &[(name, value), (name, value)], "").unwrap_err();
    assert_eq!(twice("Host", "a"), Refusal::Twice("Host"));
    assert_eq!(twice("Content-Length", "0"), Refusal::Twice("Content-Length"));
    assert_eq!(field("Host", "a b"), Refusal::Host("a b".to_owned()));

    let good = request("GET", "/", &[("A", "tab\tand ä")], "").unwrap();
    for host in ["", "a b", "a\r\nb", "a/", "u@h", "ä"] {
        assert_eq!(good.bytes(host, true), Err(Refusal::Host(host.to_owned())));
    }
    assert!(good.bytes("[fe80::1%25eth0]:80", true).is_ok());
}

#[test]
fn a_mix_is_read_as_people_write_it() {
    let mix = Mix::parse(
        "\u{feff}# All.\n\n3\t GET   /a  \r\n\tAccept: text/html\n   # why\n\n    X:y: z \nHEAD /b\n\
         2 POST /c\n  Content-Type: text/plain\n  > one\n  >  two\n\n  # not three\n  >four \n  >\n",
    )
    .unwrap();
    let expected = [
        request("GET", "/a", &[("Accept", "text/html"), ("X", "y: z")], "").unwrap(),
        request("HEAD", "/b", &[], "").unwrap(),
        request("POST", "/c", &[("Content-Type", "text/plain")], "one\n two\nfour \n").unwrap(),
    ];
    assert_eq!(mix.requests(), expected);
    assert_eq!(mix.sums, [3, 4, 6]);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (text, message) in [
        ("", "line 1: there is no request: write one, such as GET /"),
        ("# a\n\n", "line 2: there is no request: write one, such as GET /"),
        ("GET", "line 1: \"GET\" is no request: write WEIGHT METHOD PATH, such as 3 GET /"),
        ("3 GET", "line 1: \"3 GET\" is no request: write WEIGHT METHOD PATH, such as 3 GET /"),
        ("GET /\n0 GET /", "line 2: the weight \"0\" is no whole number from 1 to 4294967295"),
        ("1.5 GET /", "line 1: the weight \"1.5\" is no whole number from 1 to 4294967295"),
        ("-1 GET /", "line 1: the weight \"-1\" is no whole number from 1 to 4294967295"),
        (
            "4294967296 GET /",
            "line 1: the weight \"4294967296\" is no whole number from 1 to 4294967295",
        ),
        (
            "\n GET /",
            "line 2: an indented line belongs to the request above it, and there is none: begin \
          with one, not indented",
        ),
        (
            "GET /\n  nothing",
            "line 2: \"nothing\" is neither a field (Name: value) nor a line of a body (> text)",
        ),
        ("GET /\n  a b: c", "line 2: \"a b\" is no name of a field: write letters, digits and -"),
        ("GET /\n  a: b\u{7}", "line 2: the value of a has a control character: leave it out"),
        (
            "GET /\nGET /\n  Content-Length: 3\n  > ab",
            "line 2: Content-Length is \"3\" and the body has 2 \
          bytes: leave the field out, it is added",
        ),
        ("GET / HTTP/1.1", "line 1: a path cannot have ' ' in it: write %20"),
        ("GET /ä", "line 1: a path cannot have 'ä' in it: write %C3%A4"),
        ("G(T /", "line 1: \"G(T\" is no method: write one such as GET, without other characters"),
        (
            "Host: a",
            "line 1: \"Host:\" is no method: write one such as GET, without other characters",
        ),
        ("GET /\n  Host: a\n  Host: b", "line 1: Host is there twice: leave one out"),
    ] {
        assert_eq!(Mix::parse(text).unwrap_err().to_string(), message, "{text:?}");
    }
}

#[test]
fn draws_follow_weights() {
    for weights in [&[1, 500, 7, 1, 90, 65_535, 3000][..], &[1, 1], &[2, 1, 3], &[5; 100]] {
        follow(weights);
    }
}

/// Each is drawn as often as its weight says, within five deviations.
fn follow(weights: &[u32]) {
    const COUNT: u32 = 200_000;
    let plain = request("GET", "/", &[], "").unwrap();
    let mix = Mix::weighted(weights.iter().map(|&weight| (weight, plain.clone()))).unwrap();
    let mut drawn = vec![0_u32; weights.len()];
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..COUNT {
        drawn[mix.draw(&mut random)] += 1;
    }
    let total: u32 = weights.iter().sum();
    for (&weight, drawn) in weights.iter().zip(drawn) {
        let share = f64::from(weight) / f64::from(total);
        let expected = f64::from(COUNT) * share;
        let deviation = (expected * (1.0 - share)).sqrt();
        let off = (f64::from(drawn) - expected).abs();
        assert!(off <= 5.0 * deviation, "{drawn} of weight {weight}, not {expected} ± {deviation}");
    }
}

#[test]
fn a_mix_has_requests_and_weights() {
    let plain = request("GET", "/", &[], "").unwrap();
    assert_eq!(Mix::weighted([]).unwrap_err(), Refusal::Nothing);
    assert_eq!(Mix::weighted([(0, plain.clone())]).unwrap_err(), Refusal::Weight("0".to_owned()));
    let mut random = fastrand::Rng::with_seed(1);
    assert_eq!(Mix::one(plain.clone()).draw(&mut random), 0);
    // Weights that no u32 holds together.
    let mix = Mix::weighted([(u32::MAX, plain.clone()), (u32::MAX, plain)]).unwrap();
    assert!((0..100).map(|_| mix.draw(&mut random)).any(|index| index == 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    /// Whatever is accepted is one request to a parser, with nothing behind its body.
    #[test]
    fn what_is_sent_is_one_request(
        method in "[ -~\r\n]{0,3}|GET|POST|HEAD",
        path in "/?[ -~\r\n]{0,8}|/[a-z]{0,9}",
        fields in prop::collection::vec(("[A-Za-z: \r\n]{1,6}|Content-Length", "[ -~\r\n]{0,6}|[0-4]"), 0..3),
        body in prop::collection::vec(any::<u8>(), 0..5),
    ) {
        let Ok(request) = Request::new(&method, &path, fields, body.clone()) else { return Ok(()) };
        let bytes = request.bytes("a", true).unwrap();
        let mut fields = [httparse::EMPTY_HEADER; 8];
        let mut parsed = httparse::Request::new(&mut fields);
        let head_bytes = parsed.parse(&bytes).unwrap().unwrap();
        prop_assert_eq!(parsed.method, Some(method.as_str()));
        prop_assert_eq!(parsed.path, Some(path.as_str()));
        prop_assert_eq!(&bytes[head_bytes..], body.as_slice());
        let lengths: Vec<_> =
            parsed.headers.iter().filter(|it| it.name.eq_ignore_ascii_case("content-length")).collect();
        prop_assert!(lengths.len() <= 1);
        let length = lengths.first().map_or("0".to_owned(), |it| String::from_utf8_lossy(it.value).into_owned());
        prop_assert_eq!(length, body.len().to_string());
    }

    #[test]
    fn any_text_is_read_or_refused(text in "([0-9]{0,2} ?[A-Z]{1,4} /?[ -~]{0,9}\n|[ >:#a-z\t\r\u{e4}]{0,9}\n|\\PC{0,5}){0,6}") {
        let _ = Mix::parse(&text);
    }
}
