//! Lines, and that no foreign byte makes two of one.

use super::*;
use proptest::prelude::*;

const ENTRY: Entry<'_> = Entry {
    peer: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
    unix_ns: 971_211_336_042_000_000,
    request: b"GET /a HTTP/1.1",
    status: 200,
    content_bytes: 2326,
    took_ns: 1_500_000,
    referer: Some(b"http://e/"),
    user_agent: Some(b"x/1 (\"y\")"),
};

fn line(format: Format, entry: &Entry<'_>) -> String {
    let mut out = Vec::new();
    Lines::utc(format).append(entry, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_three_formats() {
    let common = "192.0.2.7 - - [10/Oct/2000:20:55:36 +0000] \"GET /a HTTP/1.1\" 200 2326";
    assert_eq!(line(Format::Common, &ENTRY), format!("{common}\n"));
    assert_eq!(
        line(Format::Combined, &ENTRY),
        format!("{common} \"http://e/\" \"x/1 (\\\"y\\\")\"\n")
    );
    assert_eq!(
        line(Format::Json, &ENTRY),
        "{\"time\":\"2000-10-10T20:55:36.042Z\",\"peer\":\"192.0.2.7\",\"request\":\"GET /a HTTP/1.1\",\
         \"status\":200,\"content_bytes\":2326,\"took_ns\":1500000,\"referer\":\"http://e/\",\
         \"user_agent\":\"x/1 (\\\"y\\\")\"}\n"
    );
}

#[test]
fn what_is_missing() {
    let entry = Entry { content_bytes: 0, request: b"", referer: None, user_agent: None, ..ENTRY };
    assert!(line(Format::Combined, &entry).ends_with("\"-\" 200 - \"-\" \"-\"\n"));
    assert!(line(Format::Json, &entry).ends_with("\"referer\":null,\"user_agent\":null}\n"));
}

/// A terminal takes U+009B for the beginning of a command, and some readers end lines at U+0085 and U+2028.
#[test]
fn in_json_too_a_line_is_one_line_of_text() {
    let user_agent = "a\u{9b}2J\u{85}\u{2028}\u{2029}\u{7f}\u{1b}\u{9f}ü\u{a0}\"";
    let line = line(Format::Json, &Entry { user_agent: Some(user_agent.as_bytes()), ..ENTRY });
    let escaped = r#""a\u009b2J\u0085\u2028\u2029\u007f\u001b\u009fü"#;
    assert!(line.contains(&[escaped, "\u{a0}\\\"\""].concat()), "{line}");
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["user_agent"], user_agent);
}

#[test]
fn a_mapped_address_is_the_one_it_means() {
    let entry = Entry { peer: "::ffff:192.0.2.9".parse().unwrap(), ..ENTRY };
    assert!(line(Format::Common, &entry).starts_with("192.0.2.9 - - ["));
    let entry = Entry { peer: "2001:db8::1".parse().unwrap(), ..ENTRY };
    assert!(line(Format::Common, &entry).starts_with("2001:db8::1 - - ["));
}

#[test]
fn times_with_their_zone() {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(-7));
    let mut lines = Lines::in_zone(Format::Common, zone);
    let mut out = Vec::new();
    for second in [0, 0, 1] {
        let unix_ns = ENTRY.unix_ns + second * 1_000_000_000;
        lines.append(&Entry { unix_ns, ..ENTRY }, &mut out);
    }
    let out = String::from_utf8(out).unwrap();
    let dates: Vec<_> =
        out.lines().map(|line| &line[line.find('[').unwrap()..=line.find(']').unwrap()]).collect();
    assert_eq!(
        dates,
        [
            "[10/Oct/2000:13:55:36 -0700]",
            "[10/Oct/2000:13:55:36 -0700]",
            "[10/Oct/2000:13:55:37 -0700]"
        ]
    );
    assert!(line(Format::Common, &Entry { unix_ns: u64::MAX, ..ENTRY }).contains("/2554:"));
}

#[test]
fn the_buffer_is_used_again() {
    let (mut lines, mut out) = (Lines::local(Format::Combined), Vec::with_capacity(1024));
    let place = out.as_ptr();
    for _ in 0..100 {
        out.clear();
        lines.append(&ENTRY, &mut out);
    }
    assert_eq!((out.as_ptr(), out.capacity()), (place, 1024));
}

proptest! {
    /// One entry is one line of printable ASCII, and what stands in its quotes can be had back.
    #[test]
    fn any_bytes(
        request in prop::collection::vec(any::<u8>(), 1..80),
        agent in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let entry = Entry { request: &request, user_agent: Some(&agent), ..ENTRY };
        let combined = line(Format::Combined, &entry);
        let text = combined.strip_suffix('\n').unwrap();
        prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", text);
        let quoted = unquoted(text);
        prop_assert_eq!(&quoted[0], &request);
        prop_assert_eq!(&quoted[2], if agent.is_empty() { b"-".as_slice() } else { &agent });
        prop_assert_eq!(quoted.len(), 3);
        let json = line(Format::Json, &entry);
        prop_assert_eq!(json.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(value["request"].as_str().unwrap(), String::from_utf8_lossy(&request));
    }
}

/// The quoted strings of a line, read as a log's reader does.
fn unquoted(line: &str) -> Vec<Vec<u8>> {
    let (mut all, mut current) = (Vec::new(), None::<Vec<u8>>);
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        match (&mut current, byte) {
            (None, b'"') => current = Some(Vec::new()),
            (None, _) => {}
            (Some(_), b'"') => all.extend(current.take()),
            (Some(text), b'\\') => match bytes.next().unwrap() {
                b'x' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    let digits = std::str::from_utf8(&digits).unwrap();
                    text.push(u8::from_str_radix(digits, 16).unwrap());
                }
                other => text.push(other),
            },
            (Some(text), _) => text.push(byte),
        }
    }
    assert!(current.is_none());
    all
}
