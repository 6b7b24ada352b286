//! Requests that two readers may understand differently, through a proxy and into the server.
//!
//! A proxy in front, nginx or haproxy, keeps its connections to the server, so that what one client sends
//! shares them with others. Each payload hides a second request where a lax reader would find one. The
//! proxy writes into each answer which request it believes it answers, so an answer out of place shows: a
//! file says its own name. And the server counts what it answered: not more, nor less, than was passed
//! on. Then come requests of another client, which must be answered with what they ask for.
//!
//! The payloads are the classic ones: CL.TE, TE.CL, TE.TE, and what obscures them (RFC 9112, 11.2).

use super::{
    nginx::{Daemon, free_address, nginx},
    start,
    talk::{Answer, talk},
};
use crate::client::backends;
use std::{fs, net::SocketAddr, path::Path, process::Command};
use ukevent_queue::BackendKind;

/// `|` is the end of a line. `@` is the request that is hidden: whoever reads it as one answers it.
const PAYLOADS: &[(&str, &str)] = &[
    ("CL.TE", "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding: chunked||0||@"),
    ("TE.CL", "POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked|Content-Length: 4||31|@|0||"),
    ("CL.TE in GET", "GET /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding: chunked||0||@"),
    (
        "TE.TE other",
        "POST /a HTTP/1.1|Host: a|Content-Length: 4|Transfer-Encoding: chunked|Transfer-Encoding: x||31|@|0||",
    ),
    (
        "TE.TE before",
        "POST /a HTTP/1.1|Host: a|Content-Length: 4|Transfer-Encoding: x|Transfer-Encoding: chunked||31|@|0||",
    ),
    (
        "TE.TE identity",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding: identity, chunked||0||@",
    ),
    (
        "TE.TE list",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding: chunked, identity||0||@",
    ),
    (
        "TE xchunked",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding: xchunked||0||@",
    ),
    (
        "TE space before colon",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding : chunked||0||@",
    ),
    (
        "TE tab before colon",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding\t: chunked||0||@",
    ),
    ("TE tab", "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding:\tchunked||0||@"),
    (
        "TE vertical tab",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding: \u{b}chunked||0||@",
    ),
    ("TE folded", "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding:| chunked||0||@"),
    (
        "TE behind a folded line",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54|X: y| Transfer-Encoding: chunked||0||@",
    ),
    (
        "TE behind a bare LF",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54|X: y\nTransfer-Encoding: chunked||0||@",
    ),
    (
        "TE behind a bare CR",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54|X: y\rTransfer-Encoding: chunked||0||@",
    ),
    (
        "TE leading space",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54| Transfer-Encoding: chunked||0||@",
    ),
    (
        "TE quoted",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding: \"chunked\"||0||@",
    ),
    (
        "TE underscore",
        "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer_Encoding: chunked||0||@",
    ),
    ("TE NUL", "POST /a HTTP/1.1|Host: a|Content-Length: 54|Transfer-Encoding: chunked\0||0||@"),
    (
        "TE in 1.0",
        "POST /a HTTP/1.0|Host: a|Connection: keep-alive|Content-Length: 54|Transfer-Encoding: chunked||0||@",
    ),
    (
        "TE named by Connection",
        "POST /a HTTP/1.1|Host: a|Connection: Transfer-Encoding|Content-Length: 54|Transfer-Encoding: chunked||0||@",
    ),
    (
        "CL named by Connection",
        "GET /a HTTP/1.1|Host: a|Connection: Content-Length|Content-Length: 49||@",
    ),
    ("CL twice, 0 last", "POST /a HTTP/1.1|Host: a|Content-Length: 49|Content-Length: 0||@"),
    ("CL twice, 0 first", "POST /a HTTP/1.1|Host: a|Content-Length: 0|Content-Length: 49||@"),
    ("CL list", "POST /a HTTP/1.1|Host: a|Content-Length: 0, 49||@"),
    ("CL plus", "POST /a HTTP/1.1|Host: a|Content-Length: +49||@"),
    ("CL minus", "POST /a HTTP/1.1|Host: a|Content-Length: -49||@"),
    ("CL hex", "POST /a HTTP/1.1|Host: a|Content-Length: 0x31||@"),
    ("CL wraps", "POST /a HTTP/1.1|Host: a|Content-Length: 18446744073709551665||@"),
    ("CL space inside", "POST /a HTTP/1.1|Host: a|Content-Length: 4 9||@"),
    ("CL space before colon", "POST /a HTTP/1.1|Host: a|Content-Length : 49||@"),
    ("CL of GET", "GET /a HTTP/1.1|Host: a|Content-Length: 49||@"),
    ("CL of HEAD", "HEAD /a HTTP/1.1|Host: a|Content-Length: 49||@"),
    (
        "chunk size wraps",
        "POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked||10000000000000000||@",
    ),
    ("chunk size huge", "POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked||FFFFFFFFFFFFFFF0||@"),
    ("chunk size hex prefix", "POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked||0x0||@"),
    ("chunk size spaces", "POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked||0 ||@"),
    (
        "chunk extension bare LF",
        "POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked||2;\nxx|31|@|0||",
    ),
    ("chunk extension", "POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked||31;x=\"0||\"|@|0||"),
    ("chunk bare LF", "POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked||0\n\n@"),
    ("chunk data too long", "POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked||1|xy|0||@"),
    ("trailer CL", "POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked||0|Content-Length: 49||@"),
    (
        "trailer TE",
        "POST /a HTTP/1.1|Host: a|Transfer-Encoding: chunked||0|Transfer-Encoding: chunked||@",
    ),
    ("bare LF lines", "POST /a HTTP/1.1\nHost: a\nContent-Length: 49\n\n@"),
    ("LF in target", "GET /a\nX: HTTP/1.1|Host: a||@"),
    (
        "escaped line in target",
        "GET /a%20HTTP/1.1%0d%0aHost:%20a%0d%0a%0d%0aGET%20/s HTTP/1.1|Host: a||",
    ),
    ("expectation", "POST /a HTTP/1.1|Host: a|Expect: 100-continue|Content-Length: 49||@"),
    ("upgrade", "GET /a HTTP/1.1|Host: a|Upgrade: websocket|Connection: upgrade||@"),
];

/// Forty-nine bytes.
const HIDDEN: &str = "GET /s HTTP/1.1\r\nHost: a\r\nX-Hidden: 012345678\r\n\r\n";

const MARKER: &[u8] = b"GET /m HTTP/1.1\r\nHost: a\r\n\r\n";
const VICTIM: &[u8] = b"GET /v HTTP/1.1\r\nHost: a\r\n\r\n";

/// Files that say their names.
fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "s", "m", "v"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    fs::write(dir.path().join("probe.txt"), super::talk::PROBE).unwrap();
    dir
}

type Proxy = fn(&Path, SocketAddr, SocketAddr) -> Option<Daemon>;

fn by_nginx(dir: &Path, server: SocketAddr, address: SocketAddr) -> Option<Daemon> {
    let http = format!(
        "upstream server {{ server {server} max_fails=0; keepalive 1; }}\n\
         server {{ listen {address}; location / {{ proxy_pass http://server;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_next_upstream off;\n\
         proxy_request_buffering off; proxy_pass_header Server;\n\
         add_header X-Meant $request_uri always; }} }}"
    );
    nginx(dir, &http, address)
}

fn by_haproxy(dir: &Path, server: SocketAddr, address: SocketAddr) -> Option<Daemon> {
    let conf = dir.join("haproxy.cfg");
    let text = format!(
        "global\n  maxconn 200\n  nbthread 1\n\
         defaults\n  mode http\n  timeout connect 10s\n  timeout client 20s\n  timeout server 20s\n  \
         retries 0\n  option http-keep-alive\n  http-reuse always\n\
         listen front\n  bind {address}\n  http-request set-var(txn.meant) path\n  \
         http-response set-header X-Meant %[var(txn.meant)]\n  server one {server}\n"
    );
    fs::write(&conf, text).unwrap();
    Daemon::start(Command::new("haproxy").arg("-db").arg("-f").arg(conf), address)
}

/// What the server sent of these, and not the proxy itself. To what it takes for HTTP/0.9 nginx gives the
/// content without a head.
fn passed_on(answers: &[Answer]) -> impl Iterator<Item = &Answer> {
    answers.iter().filter(|it| it.status == 9 || it.field("Server") == Some("ukevent"))
}

/// An answer that belongs to another request than the proxy believes.
fn misplaced(answers: &[Answer], is_head: bool) -> Option<String> {
    let wrong = |answer: &&Answer| {
        let meant = answer.field("X-Meant").unwrap_or_default();
        let said = String::from_utf8_lossy(&answer.content);
        answer.status == 200 && !is_head && meant != format!("/{said}") && meant != "/probe.txt"
    };
    passed_on(answers).find(wrong).map(|answer| format!("{answer:?}"))
}

fn through(kind: BackendKind, name: &str, proxy: Proxy) {
    let site = site();
    let (server, counters) = start(kind, site.path());
    let dir = tempfile::tempdir().unwrap();
    let address = free_address();
    let Some(_proxy) = proxy(dir.path(), server.address, address) else { return };
    let answered = || counters.lock().unwrap().answers.iter().sum::<u64>();
    let mut expected = 0;
    let mut reached = 0;
    for (payload, text) in PAYLOADS {
        let request = text.replace('|', "\r\n").replace('@', HIDDEN);
        let is_head = text.starts_with("HEAD");
        let outcome = &talk(address, &[vec![request.as_bytes(), MARKER]], &[is_head])[0];
        let victims = &talk(address, &[vec![VICTIM, VICTIM]], &[])[0];
        let what = format!("{kind}, {name}, {payload}: {outcome:?}, then {victims:?}");
        assert_eq!(misplaced(&outcome.answers, is_head), None, "{what}");
        let contents: Vec<_> = victims.answers.iter().map(|answer| &answer.content[..]).collect();
        assert_eq!(contents, [b"v", b"v"], "{what}");
        assert!(victims.stays, "{what}");
        // Its own answers to the probes are not among those that are listed.
        let probes = 1 + u64::from(outcome.stays);
        expected += (passed_on(&outcome.answers).count() + victims.answers.len()) as u64 + probes;
        reached += passed_on(&outcome.answers).count();
        // It may count a moment after it has answered.
        assert!(testkit::settles(|| answered() >= expected), "{} answered: {what}", answered());
        assert_eq!(answered(), expected, "{what}");
    }
    // Else nothing was tried.
    assert!(reached >= 10, "{name} passed on {reached}");
}

#[test]
fn through_nginx() {
    for kind in backends() {
        through(kind, "nginx", by_nginx);
    }
}

#[test]
fn through_haproxy() {
    for kind in backends() {
        through(kind, "haproxy", by_haproxy);
    }
}

#[test]
fn the_hidden_request_is_as_long_as_the_payloads_say() {
    assert_eq!(HIDDEN.len(), 0x31);
    assert!(PAYLOADS.len() >= 25);
}
