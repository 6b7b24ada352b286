//! hyper's client: the example that fetches.

use crate::clients::{Example, backends, bytes, example, outcome};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
};
use testkit::TempTree;
use ukevent_queue::BackendKind;

fn fetch(url: &str, backend: BackendKind, tree: &TempTree) -> (bool, String) {
    outcome(example("fetch").arg(url).env("UKEVENT_BACKEND", backend.to_string()), tree)
}

#[test]
fn it_fetches_from_the_server_here() {
    for backend in backends() {
        let server = Example::start("axum", backend, &[]);
        let (is_good, said) = fetch(&server.url("/hello/fetch"), backend, &server.tree);
        assert!(is_good && said == "hello fetch, after 0 others\n", "{backend}: {said}");
    }
}

#[test]
fn it_reads_chunks_and_to_the_end() {
    let content = bytes(2_000_000);
    for backend in backends() {
        for is_chunked in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/some/path?query", listener.local_addr().unwrap());
            let content_there = content.clone();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.extend(byte);
                }
                if is_chunked {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                        .unwrap();
                    for chunk in content_there.chunks(77_777) {
                        write!(stream, "{:x}\r\n", chunk.len()).unwrap();
                        stream.write_all(chunk).unwrap();
                        stream.write_all(b"\r\n").unwrap();
                    }
                    stream.write_all(b"0\r\n\r\n").unwrap();
                } else {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").unwrap();
                    stream.write_all(&content_there).unwrap();
                }
                String::from_utf8(request).unwrap()
            });
            let tree = TempTree::new();
            let (is_good, said) = fetch(&url, backend, &tree);
            assert!(is_good, "{backend}: {said}");
            assert!(fs::read(tree.path().join("stdout")).unwrap() == content, "{backend}");
            assert!(server.join().unwrap().starts_with("GET /some/path?query HTTP/1.1\r\n"));
        }
    }
}

#[test]
fn it_fails_in_words() {
    let tree = TempTree::new();
    for backend in backends() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (is_good, said) = fetch(&format!("http://{free}/"), backend, &tree);
        assert!(!is_good && said.contains("onnection refused"), "{backend}: {said}");
    }
}
