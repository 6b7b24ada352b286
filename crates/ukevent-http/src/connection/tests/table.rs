//! Raw requests and what must come back, whole and cut at every byte.
//!
//! An expected answer is its status, then what else must hold, parted by ` | `: a field with its
//! value, `!` and a field that must not be there, `=` and the content, `HEAD` for an answer to one.

use super::*;
use End::{AtOnce, Either, Gently, Never};

/// How the connection stands afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It stays.
    Never,
    /// The client wanted it closed, and it is.
    AtOnce,
    /// The server closed its sending side and reads on.
    Gently,
    /// As the client wanted it, or gently if more had arrived by then.
    Either,
}

type Case = (&'static str, &'static [&'static str], End);

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const OLDER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

/// Requests for files.
const CONTENT: &[Case] = &[
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        &[
            "200 | =0123456789 | Content-Length: 10 | Content-Type: text/plain; charset=utf-8 | Last-Modified: DATE | ETag: ETAG | Accept-Ranges: bytes | Server: ukevent | !Connection",
        ],
        Never,
    ),
    (
        "HEAD /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        &["200 | HEAD | Content-Length: 10 | ETag: ETAG | Last-Modified: DATE"],
        Never,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["200 | =<h1>home</h1> | Content-Type: text/html; charset=utf-8"],
        Never,
    ),
    ("GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | =<h1>home</h1>"], Never),
    ("GET /empty.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | = | Content-Length: 0"], Never),
    ("GET /dir/ HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | =<h1>dir</h1>"], Never),
    ("GET /hello.txt?v=1&x=../y HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | =0123456789"], Never),
    ("GET /a%20b.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | =space"], Never),
    ("GET /100%25.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | =percent"], Never),
    ("GET /gr%C3%B6%c3%9fe.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | =size"], Never),
    ("GET /größe.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | =size"], Never),
    ("GET //dir//./../dir/page.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | =page"], Never),
    ("GET /.well-known/acme HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | =token"], Never),
    ("GET /link.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | =0123456789"], Never),
    ("GET http://a/hello.txt HTTP/1.1\r\nHost: b\r\n\r\n", &["200 | =0123456789"], Never),
    ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", &["200 | =<h1>home</h1>"], Never),
    ("GET /hello.txt HTTP/1.0\r\n\r\n", &["200 | =0123456789 | Connection: close"], AtOnce),
    (
        "GET /hello.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        &["200 | =0123456789 | Connection: keep-alive"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        &["200 | =0123456789 | Connection: close"],
        AtOnce,
    ),
    (
        "HEAD /hello.txt HTTP/1.0\r\n\r\n",
        &["200 | HEAD | Content-Length: 10 | Connection: close"],
        AtOnce,
    ),
    ("\r\n\r\nGET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n\r\n", &["200 | =0123456789"], Never),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        &["200 | =0123456789 | !Upgrade"],
        Never,
    ),
    // Pipelined: in order, and none after the last.
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\nHEAD /dir/ HTTP/1.1\r\nHost: a\r\n\r\nGET /empty.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        &["200 | =0123456789", "404", "200 | HEAD | Content-Length: 12", "200 | ="],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["200 | =0123456789"],
        Either,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\nrubbish\r\n\r\n",
        &["200 | =0123456789", "400 | Connection: close"],
        Gently,
    ),
];

/// Requests that are answered, but not with a file.
const OTHERWISE: &[Case] = &[
    ("GET /dir HTTP/1.1\r\nHost: a\r\n\r\n", &["301 | Location: /dir/"], Never),
    ("GET /dir?a=b&c HTTP/1.1\r\nHost: a\r\n\r\n", &["301 | Location: /dir/?a=b&c"], Never),
    ("GET /sp%20ace HTTP/1.1\r\nHost: a\r\n\r\n", &["301 | Location: /sp%20ace/"], Never),
    ("HEAD /dir HTTP/1.1\r\nHost: a\r\n\r\n", &["301 | HEAD | Location: /dir/"], Never),
    // No redirect to another host, and no field smuggled into the answer.
    ("GET //dir HTTP/1.1\r\nHost: a\r\n\r\n", &["301 | Location: /dir/"], Never),
    ("GET ///evil/../dir HTTP/1.1\r\nHost: a\r\n\r\n", &["301 | Location: /dir/"], Never),
    (
        "GET /x%0d%0aLocation:y/../dir HTTP/1.1\r\nHost: a\r\n\r\n",
        &["301 | Location: /dir/"],
        Never,
    ),
    ("GET /bare/ HTTP/1.1\r\nHost: a\r\n\r\n", &["403"], Never),
    ("GET /out.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["403"], Never),
    ("GET /out/secret.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["403"], Never),
    ("GET /absolute HTTP/1.1\r\nHost: a\r\n\r\n", &["403"], Never),
    ("GET /fifo HTTP/1.1\r\nHost: a\r\n\r\n", &["403"], Never),
    (
        "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
        &[
            "404 | =404 Not Found\nThere is nothing of this name.\n | Content-Type: text/plain; charset=utf-8",
        ],
        Never,
    ),
    ("HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n", &["404 | HEAD"], Never),
    ("GET /hello.txt/ HTTP/1.1\r\nHost: a\r\n\r\n", &["404"], Never),
    ("GET /.secret HTTP/1.1\r\nHost: a\r\n\r\n", &["404"], Never),
    ("GET /dir/%2egit/config HTTP/1.1\r\nHost: a\r\n\r\n", &["404"], Never),
    ("GET /dir%2fpage.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["404"], Never),
    ("GET /../secret.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["400"], Never),
    ("GET /dir/%2e%2e/..%2f HTTP/1.1\r\nHost: a\r\n\r\n", &["404"], Never),
    ("GET /%2e%2e/secret.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["400"], Never),
    ("GET /hello.txt%00.html HTTP/1.1\r\nHost: a\r\n\r\n", &["400"], Never),
    ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", &["400"], Never),
    ("GET /% HTTP/1.1\r\nHost: a\r\n\r\n", &["400"], Never),
    ("GET hello.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["400"], Never),
    ("GET ftp://a/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["400"], Never),
    ("GET /hello.txt#x HTTP/1.1\r\nHost: a\r\n\r\n", &["400"], Never),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", &["400"], Never),
    (
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        &["204 | Allow: GET, HEAD, OPTIONS | !Content-Length"],
        Never,
    ),
    ("OPTIONS /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["204 | Allow: GET, HEAD, OPTIONS"], Never),
    ("DELETE /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["405 | Allow: GET, HEAD, OPTIONS"], Never),
    ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", &["405 | Allow: GET, HEAD, OPTIONS"], Never),
    ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", &["405 | Allow: GET, HEAD, OPTIONS"], Never),
    ("get /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n", &["501"], Never),
    ("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", &["501"], Never),
    ("GET /hello.txt HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\n\r\n", &["417"], Never),
];

/// Conditions and ranges.
const CONDITIONS: &[Case] = &[
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: ETAG\r\n\r\n",
        &["304 | ETag: ETAG | !Content-Length | !Content-Type"],
        Never,
    ),
    (
        "HEAD /hello.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", ETAG\r\n\r\n",
        &["304 | HEAD | ETag: ETAG"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\nIf-Modified-Since: DATE\r\n\r\n",
        &["200 | =0123456789"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: DATE\r\n\r\n",
        &["304 | ETag: ETAG"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: OLDER\r\n\r\n",
        &["200 | =0123456789"],
        Never,
    ),
    ("GET /hello.txt HTTP/1.1\r\nHost: a\r\nIf-Match: \"x\"\r\n\r\n", &["412"], Never),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nIf-Match: ETAG\r\nIf-Unmodified-Since: OLDER\r\n\r\n",
        &["200 | =0123456789"],
        Never,
    ),
    ("GET /hello.txt HTTP/1.1\r\nHost: a\r\nIf-Unmodified-Since: OLDER\r\n\r\n", &["412"], Never),
    ("GET /nothing HTTP/1.1\r\nHost: a\r\nIf-Match: *\r\n\r\n", &["404"], Never),
    ("GET /dir HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n", &["301"], Never),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=2-4\r\n\r\n",
        &["206 | =234 | Content-Range: bytes 2-4/10 | Content-Length: 3 | ETag: ETAG"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=-2\r\n\r\n",
        &["206 | =89 | Content-Range: bytes 8-9/10"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=7-\r\n\r\n",
        &["206 | =789 | Content-Range: bytes 7-9/10"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=10-\r\n\r\n",
        &["416 | Content-Range: bytes */10"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1,4-5\r\n\r\n",
        &["200 | =0123456789 | !Content-Range"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: lines=0-1\r\n\r\n",
        &["200 | =0123456789"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nRange: bytes=4-5\r\n\r\n",
        &["200 | =0123456789"],
        Never,
    ),
    (
        "HEAD /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=2-4\r\n\r\n",
        &["200 | HEAD | Content-Length: 10 | !Content-Range"],
        Never,
    ),
    (
        "GET /empty.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\n\r\n",
        &["416 | Content-Range: bytes */0"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-Range: ETAG\r\n\r\n",
        &["206 | =01"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-Range: DATE\r\n\r\n",
        &["206 | =01"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-Range: \"x\"\r\n\r\n",
        &["200 | =0123456789"],
        Never,
    ),
    (
        "GET /large.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=250-252\r\n\r\n",
        &["206 | =\u{0}\u{1} | Content-Range: bytes 250-252/100000"],
        Never,
    ),
];

/// Bodies, and where the next request begins.
const BODIES: &[Case] = &[
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcdeGET /dir/page.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        &["200 | =0123456789", "200 | =page"],
        Never,
    ),
    (
        "POST /hello.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /dir/page.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        &["405", "200 | =page"],
        Never,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\nGET /dir/page.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        &["405", "200 | =page"],
        Never,
    ),
    (
        "GET /hello.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
        &["200 | =0123456789 | Connection: close"],
        AtOnce,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n",
        &["413 | Connection: close"],
        Gently,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        &["413"],
        Gently,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n",
        &["413 | Connection: close"],
        Gently,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        &["400 | Connection: close"],
        Gently,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        &["400 | Connection: close"],
        Gently,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["400 | Connection: close"],
        Gently,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        &["400"],
        Gently,
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", &["400"], Gently),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        &["501 | Connection: close"],
        Gently,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        &["400"],
        Gently,
    ),
    ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &["400"], Gently),
];

/// What is no request of this protocol.
const RUBBISH: &[Case] = &[
    ("GET /\r\n\r\n", &["400 | Connection: close"], Gently),
    ("GET /hello.txt HTTP/1.1\r\n\r\n", &["400 | Connection: close"], Gently),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &["400"], Gently),
    ("GET / HTTP/1.1\r\nHost: a/../b\r\n\r\n", &["400"], Gently),
    ("GET / HTTP/1.1\nHost: a\n\n", &["400"], Gently),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n", &["400"], Gently),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", &["400"], Gently),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", &["400"], Gently),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{0}\r\n\r\n", &["400"], Gently),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n", &["400"], Gently),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", &["400"], Gently),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", &["505 | Connection: close"], Gently),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &["505"], Gently),
    ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", &["400"], Gently),
    ("SSH-2.0-OpenSSH_9.6\r\n", &["400"], Gently),
];

async fn answers_as_expected(bench: &Bench<Settled>, case: Case, arrive: &[&[u8]], etag: &str) {
    let (request, expected, end) = case;
    let peer = bench.connect();
    for piece in arrive {
        peer.receive(piece).await;
    }
    let sent = peer.pipe.with(|state| std::mem::take(&mut state.sent));
    let is_head = |at: usize| expected.get(at).is_some_and(|expected| expected.contains("| HEAD"));
    let answers = Answer::all(&sent, is_head);
    assert_eq!(answers.len(), expected.len(), "{request:?}: {answers:?}");
    for (answer, expected) in answers.iter().zip(expected) {
        let expected = expected.replace("ETAG", etag).replace("DATE", DATE);
        let mut parts = expected.split(" | ");
        assert_eq!(
            parts.next(),
            Some(answer.status.to_string().as_str()),
            "{request:?}: {answer:?}"
        );
        assert!(answer.field("Date").is_some() && answer.field("Server").is_some());
        for part in parts.filter(|part| *part != "HEAD") {
            let holds = match (part.strip_prefix('!'), part.strip_prefix('=')) {
                (Some(absent), _) => answer.field(absent).is_none(),
                (_, Some(content)) => {
                    // The only file that is no text: 250, and from the start again.
                    answer.content.strip_prefix(&[250]).unwrap_or(&answer.content)
                        == content.as_bytes()
                }
                _ => {
                    let (name, value) = part.split_once(": ").unwrap();
                    answer.field(name) == Some(value)
                }
            };
            assert!(holds, "{request:?}: {part:?}: {answer:?}");
        }
    }
    let stands = match (peer.has_ended_sending(), peer.wants()) {
        (false, Wants::Input) => Never,
        (false, Wants::Nothing) => AtOnce,
        (true, Wants::Input) => Gently,
        other => panic!("{request:?}: {other:?}"),
    };
    assert!(stands == end || end == Either && stands != Never, "{request:?}: {stands:?}");
}

#[test]
fn every_request_has_its_answer_however_it_arrives() {
    on_files(async |bench, _| {
        let hello = bench.answers(GET).await.remove(0);
        let etag = hello.field("ETag").unwrap().to_owned();
        let cases = [CONTENT, OTHERWISE, CONDITIONS, BODIES, RUBBISH].concat();
        assert!(cases.len() >= 110, "{} requests", cases.len());
        for case in cases {
            let request =
                case.0.replace("ETAG", &etag).replace("DATE", DATE).replace("OLDER", OLDER);
            let request = request.as_bytes();
            answers_as_expected(&bench, case, &[request], &etag).await;
            for cut in 1..request.len() {
                let (left, right) = request.split_at(cut);
                answers_as_expected(&bench, case, &[left, right], &etag).await;
            }
            let bytes: Vec<&[u8]> = request.chunks(1).collect();
            answers_as_expected(&bench, case, &bytes, &etag).await;
        }
    });
}
