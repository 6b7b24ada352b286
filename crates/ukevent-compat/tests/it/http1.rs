//! HTTP/1: hyper before curl, the load generators, and clients that go to its edges by hand.

use crate::clients::{Example, backends, bytes, is_installed};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

/// Sends what is to be sent and reads up to a line or piece that ends with `end`.
fn ask(stream: &mut TcpStream, request: &str, end: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = Vec::new();
    while !said.ends_with(end.as_bytes()) {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "ended: {}", said.escape_ascii());
        said.extend(byte);
    }
    String::from_utf8(said).unwrap()
}

fn rest(mut stream: TcpStream) -> String {
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn curl_keeps_its_connection() {
    if !is_installed("curl") {
        return;
    }
    for backend in backends() {
        let server = Example::start("hyper", backend, &[]);
        let page = server.url("/");
        let made = ["--write-out", "%{http_code} on %{num_connects} new\n"];
        let said = server.curl(&[&made[..], &["-o", "1", &page, "-o", "2", &page]].concat());
        assert_eq!(said, "200 on 1 new\n200 on 0 new\n", "{backend}");
        assert_eq!(fs::read_to_string(server.tree.path().join("2")).unwrap(), "hello\n");
        assert_eq!(server.curl(&[&server.url("/count")]), "3\n", "{backend}");
    }
}

#[test]
fn curl_asks_for_a_head() {
    if !is_installed("curl") {
        return;
    }
    for backend in backends() {
        let server = Example::start("hyper", backend, &[]);
        let head = server.curl(&["--head", &server.url("/")]);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(head.contains("content-length: 6\r\n"), "{head}");
    }
}

/// What is sent back while it comes goes both ways at once, and is more than any buffer on the way.
#[test]
fn curl_uploads_in_chunks() {
    if !is_installed("curl") {
        return;
    }
    for backend in backends() {
        let server = Example::start("hyper", backend, &[]);
        let sent = server.tree.file("sent", bytes(5_000_000));
        let (file, echo) = (format!("@{}", sent.display()), server.url("/echo"));
        let chunked = ["--header", "Transfer-Encoding: chunked", "--data-binary", &file];
        server.curl(&[&chunked[..], &["--output", "echoed", &echo]].concat());
        let echoed = fs::read(server.tree.path().join("echoed")).unwrap();
        assert!(echoed == fs::read(&sent).unwrap(), "{backend}: {} came back", echoed.len());
        let length = server.curl(&[&chunked[..], &[&server.url("/length")]].concat());
        assert_eq!(length, "5000000\n", "{backend}");
    }
}

#[test]
fn curl_waits_to_be_asked_to_continue() {
    if !is_installed("curl") {
        return;
    }
    for backend in backends() {
        let server = Example::start("hyper", backend, &[]);
        let sent = server.tree.file("sent", bytes(100_000));
        let file = format!("@{}", sent.display());
        // Were it not asked, it would not begin within the patience of this test.
        let wait = ["--header", "Expect: 100-continue", "--expect100-timeout", "3600"];
        let post = ["--data-binary", &file, &server.url("/length")];
        assert_eq!(server.curl(&[&wait[..], &post].concat()), "100000\n", "{backend}");
    }
}

#[test]
fn continuing_comes_before_the_body_and_only_then() {
    for backend in backends() {
        let server = Example::start("hyper", backend, &[]);
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let head = "POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\
                    connection: close\r\n\r\n";
        assert_eq!(ask(&mut stream, head, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"body").unwrap();
        let answer = rest(stream);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{backend}: {answer}");
        assert!(answer.ends_with("\r\n\r\n4\n"), "{backend}: {answer}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    const EACH: usize = 200;
    for backend in backends() {
        let server = Example::start("hyper", backend, &[]);
        let stream = TcpStream::connect(server.address()).unwrap();
        let post = |body: &str| {
            let length = body.len();
            format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}")
        };
        let mut all: String = (0..EACH).map(|at| post(&format!("<{at}>"))).collect();
        all += "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        (&stream).write_all(all.as_bytes()).unwrap();
        let answers = rest(stream);
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), EACH + 1, "{backend}");
        let mut behind = answers.as_str();
        for at in 0..EACH {
            let body = format!("<{at}>");
            behind = behind.split_once(&body).unwrap_or_else(|| panic!("{backend}: no {body}")).1;
        }
    }
}

/// A request that comes byte by byte is one all the same.
#[test]
fn requests_may_trickle() {
    for backend in backends() {
        let server = Example::start("hyper", backend, &[]);
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nab".bytes() {
            stream.write_all(&[byte]).unwrap();
        }
        assert!(ask(&mut stream, "c", "abc").starts_with("HTTP/1.1 200 OK"), "{backend}");
    }
}

#[test]
fn the_old_version_closes_unless_asked_not_to() {
    for backend in backends() {
        let server = Example::start("hyper", backend, &[]);
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let answer = rest(stream);
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{backend}: {answer}");
        assert!(answer.ends_with("\r\n\r\nhello\n"), "{backend}: {answer}");

        let mut stream = TcpStream::connect(server.address()).unwrap();
        for _ in 0..2 {
            let request = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
            assert!(ask(&mut stream, request, "\r\n\r\nhello\n").contains("HTTP/1.0 200 OK"));
        }
    }
}

#[test]
fn clients_that_leave_harm_nobody() {
    for backend in backends() {
        let server = Example::start("hyper", backend, &[]);
        for _ in 0..20 {
            // One that sends and never reads, so that the server has a send in flight when it leaves.
            let mut stream = TcpStream::connect(server.address()).unwrap();
            let head = "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&bytes(500_000)).unwrap();
        }
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        assert!(ask(&mut stream, request, "hello\n").starts_with("HTTP/1.1 200"), "{backend}");
    }
}

#[test]
fn wrk_finds_no_fault() {
    if !is_installed("wrk") {
        return;
    }
    for backend in backends() {
        let server = Example::start("hyper", backend, &[]);
        let said = server.run("wrk", &["-t1", "-c50", "-d1s", &server.url("/")]);
        assert!(said.contains(" requests in "), "{backend}: {said}");
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{backend}: {said}");
    }
}

#[test]
fn ab_finds_no_fault() {
    if !is_installed("ab") {
        return;
    }
    for backend in backends() {
        let server = Example::start("hyper", backend, &[]);
        for kept in [&["-k"][..], &[]] {
            let load = ["-q", "-n", "2000", "-c", "20", &server.url("/")];
            let said = server.run("ab", &[kept, &load].concat());
            let has = |name: &str, value: &str| {
                let line = said.lines().find(|line| line.starts_with(name));
                line.is_some_and(|line| line.ends_with(&format!(" {value}")))
            };
            assert!(has("Complete requests:", "2000"), "{backend}: {said}");
            assert!(has("Failed requests:", "0"), "{backend}: {said}");
            assert!(!said.contains("Non-2xx"), "{backend}: {said}");
        }
    }
}
