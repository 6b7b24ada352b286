//! Sixteen thousand connections that rest: how much memory `ukevent serve` has for them.

use crate::serve::{end, serve};
use crate::watch::{TERM, ukevent};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};
use testkit::TempTree;

const CONNECTIONS: usize = 16_000;
/// All that is resident, the program itself and what it has without connections included.
const MOST_BYTES: u64 = 64 << 20;

#[test]
fn sixteen_thousand_in_64_mib() {
    testkit::raise_nofile();
    let tree = TempTree::new();
    tree.file("note.txt", "hello");
    for backend in ["io_uring", "epoll"] {
        let root = tree.path().to_str().unwrap();
        let bounds = ["--connections", "20000", "--idle-time", "10m"];
        let mut command = ukevent(&["serve", "--root", root, "--backend", backend]);
        let (server, address) = serve(command.args(bounds));
        let mut clients: Vec<TcpStream> = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            clients.push(TcpStream::connect(&address).unwrap());
            ask(clients.last_mut().unwrap());
        }
        let resident = resident_bytes(server.id());
        assert!(resident < MOST_BYTES, "{backend}: {resident} bytes");
        // All of them are served still.
        clients.iter_mut().for_each(ask);
        drop(clients);
        let said = end(server, TERM);
        assert!(said.contains("serve: 32000 requests on 16000 connections, "), "{said}");
    }
}

/// Asks for the file, and takes the answer.
fn ask(stream: &mut TcpStream) {
    stream.write_all(b"GET /note.txt HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nhello") {
        let mut buffer = [0; 1024];
        let bytes = stream.read(&mut buffer).unwrap();
        assert!(bytes > 0, "an end where an answer was due");
        answer.extend_from_slice(&buffer[..bytes]);
    }
}

fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
