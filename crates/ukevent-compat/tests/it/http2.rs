//! HTTP/2: axum, whose connections spawn their streams on an executor of this thread.

use crate::clients::{Example, backends, bytes, is_installed};
use std::fs;

#[test]
fn curl_speaks_both_versions_to_one_port() {
    if !is_installed("curl") {
        return;
    }
    for backend in backends() {
        let server = Example::start("axum", backend, &[]);
        let version = ["--write-out", "%{http_version}"];
        let h2 = ["--http2-prior-knowledge", &server.url("/hello/world")];
        let said = server.curl(&[&version[..], &h2].concat());
        assert_eq!(said, "hello world, after 0 others\n2", "{backend}");
        let said = server.curl(&[&version[..], &[&server.url("/hello/you")]].concat());
        assert_eq!(said, "hello you, after 1 others\n1.1", "{backend}");
        let shout = ["--http2-prior-knowledge", "--data-binary", "quiet", &server.url("/upper")];
        assert_eq!(server.curl(&shout), "QUIET", "{backend}");
    }
}

#[test]
fn h2load_finds_no_fault() {
    if !is_installed("h2load") {
        return;
    }
    for backend in backends() {
        let server = Example::start("axum", backend, &[]);
        let said = server.run("h2load", &["-n5000", "-c20", "-m50", &server.url("/")]);
        assert!(said.contains(" 5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
        assert!(said.contains("status codes: 5000 2xx"), "{backend}: {said}");
        // Bodies to the server, many at a time on one connection.
        let body = server.tree.file("body", "a".repeat(100_000));
        let post = ["-n100", "-c2", "-m20", "-d", body.to_str().unwrap(), &server.url("/upper")];
        let said = server.run("h2load", &post);
        assert!(said.contains(" 100 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
        assert!(said.contains("status codes: 100 2xx"), "{backend}: {said}");
    }
}

#[test]
fn nghttp_gets_back_what_it_sends_in_private() {
    if !is_installed("nghttp") {
        return;
    }
    for backend in backends() {
        let server = Example::start("https", backend, &["certificate.pem"]);
        let sent = server.tree.file("sent", bytes(1_000_000));
        let sent_path = sent.to_str().unwrap();
        let url = server.url.replace("localhost", "127.0.0.1");
        // It writes what it gets, as bytes, to standard output.
        server.run("nghttp", &["--data", sent_path, &url]);
        let echoed = fs::read(server.tree.path().join("stdout")).unwrap();
        assert!(echoed == fs::read(&sent).unwrap(), "{backend}: {} came back", echoed.len());
    }
}
