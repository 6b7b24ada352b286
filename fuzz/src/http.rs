//! What an HTTP client sends.

use crate::Target;
use ukevent_http::fuzz;

/// The words of a request.
const WORDS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"OPTIONS * ",
    b"http://a",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"\r\n\r\n",
    b"\r\n",
    b"Host: a\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"Range: bytes=",
    b"If-Range: ",
    b"If-None-Match: *\r\n",
    b"If-Match: \"tag\"\r\n",
    b"If-Modified-Since: ",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"18446744073709551615",
    b"18446744073709551616",
    b"0-",
    b"-1",
    b"/../",
    b"%2e%2e/",
    b"%00",
];

/// Whole requests, one after another as a connection carries them.
const REQUESTS: &[&[u8]] = &[
    b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"HEAD /d/ HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n",
    b"GET /a?q=1 HTTP/1.1\r\nHost: [::1]\r\nRange: bytes=1-3\r\nIf-Range: \"tag\"\r\n\r\n",
    b"GET http://a/d HTTP/1.1\r\nHost: a\r\nIf-None-Match: W/\"x\", \"tag\"\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n",
    b"POST /f HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    b"\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: a\r\n\r\nGET /d HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// The head of a request, and its beginnings.
pub const REQUEST: Target =
    Target { name: "request", run: fuzz::request, seeds: REQUESTS, words: WORDS };

/// A whole connection, at once and piece by piece. The first byte of an input chooses the pieces.
pub const CONNECTION: Target = Target {
    name: "connection",
    run: fuzz::connection,
    seeds: &[
        b"\x00GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x10GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /d HTTP/1.0\r\n\r\n",
        b"\x21HEAD /d/ HTTP/1.1\r\nHost: a\r\n\r\nGET /f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x3fPOST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x72POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\xf4GET /a HTTP/1.1\r\nHost: a\r\nRange: bytes=-5\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"\x5aPOST /f HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    ],
    words: WORDS,
};

/// The target of a request: what it makes a path of must stay below the root.
pub const TARGET: Target = Target {
    name: "target",
    run: fuzz::target,
    seeds: &[
        b"/",
        b"/a/b%20c/./d/../e/?q=/..",
        b"http://user@a:80/a/b",
        b"*",
        b"/%c3%a4/%2F/%5c//x",
        b"/..%2f..%2fetc/passwd",
        b"/a%00b/c\0d",
    ],
    words: &[
        b"/",
        b"//",
        b"..",
        b"/../",
        b"/./",
        b"%2e",
        b"%2f",
        b"%00",
        b"%",
        b"?",
        b"#",
        b"http://a",
        b"\xc3\xa4",
    ],
};

/// The values of `Range` and of the fields that are dates.
pub const RANGE: Target = Target {
    name: "range",
    run: fuzz::range,
    seeds: &[
        b"bytes=0-499",
        b"bytes=-1",
        b"bytes=500-",
        b"bytes=0-0, 5-9 ,-1",
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ],
    words: &[
        b"bytes=",
        b"-",
        b",",
        b" ",
        b"0",
        b"18446744073709551615",
        b"GMT",
        b"Feb",
        b"29",
        b"24:00:60",
    ],
};

/// The values of `Accept` and `Accept-Encoding`.
pub const NEGOTIATION: Target = Target {
    name: "negotiation",
    run: fuzz::negotiation,
    seeds: &[
        b"gzip, deflate, br, zstd",
        b"br;q=0.5, gzip;q=1.0, *;q=0",
        b"identity;q=0, x-gzip",
        b"text/html,application/json;q=0.9,*/*;q=0.8",
        b"application/json;v=\"a,b\\\"\";q=0.7",
    ],
    words: &[b",", b";", b"q=", b"0.999", b"1.000", b"*", b"*/*", b"\"", b"\\", b"gzip", b"br"],
};
