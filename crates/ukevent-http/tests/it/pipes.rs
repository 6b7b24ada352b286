//! `SIGPIPE`, where it ends a process: its action is the default one, which no Rust program has that
//! did not ask for it.

use crate::client::{Client, backends, queue};
use rustix::process::Signal;
use std::{
    fs,
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
};
use testkit::alone;
use ukevent_http::Server;
use ukevent_queue::{Kind, Queue, Wait, WaitError};
use ukevent_sys::signal::{Disposition, disposition};

const CLIENTS: u64 = 200;

#[test]
fn clients_that_leave_amid_an_answer_end_nobody() {
    alone(|| {
        let site = tempfile::tempdir().unwrap();
        fs::write(site.path().join("large"), vec![7; 8_000_000]).unwrap();
        sigpipe::reset();
        for kind in backends() {
            let mut queue = queue(kind).unwrap();
            let builder = Server::builder().root(site.path());
            let mut server =
                builder.listen("127.0.0.1:0".parse().unwrap()).start(&mut queue).unwrap();
            let (address, stopper) = (server.addresses()[0], server.stopper());
            let clients = thread::spawn(move || {
                (0..CLIENTS).for_each(|_| leave(address));
                let mut last = Client::over(TcpStream::connect(address).unwrap());
                let answer = last.get("/nothing");
                stopper.stop();
                answer.status()
            });
            let pipes = run(&mut server, &mut queue);
            assert_eq!(clients.join().unwrap(), 404, "{kind}: it goes on");
            assert_eq!(server.counters().requests, CLIENTS + 1, "{kind}");
            assert!(pipes > 0, "{kind}: nothing here was a danger to anybody");
            assert_eq!(disposition(PIPE), Ok(Disposition::Default), "{kind}: the end as before");
        }
    });
}

const PIPE: i32 = Signal::PIPE.as_raw();

/// Asks for what no socket holds, and closes with most of it unread. It has closed its own side before:
/// of the two ways in which the kernel tells the server, by `ECONNRESET` and by `EPIPE`, this is the
/// second, which comes with the signal.
fn leave(address: SocketAddr) {
    let mut client = Client::over(TcpStream::connect(address).unwrap());
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.read() > 0);
}

/// Serves to the end, and counts the signals.
fn run(server: &mut Server, queue: &mut Queue) -> u64 {
    let mut pipes = 0;
    while !server.has_ended() {
        match queue.wait(Wait::forever()) {
            Err(WaitError::Interrupted) => continue,
            waited => waited.unwrap(),
        };
        while let Some(event) = queue.next_event() {
            pipes += u64::from(matches!(&event.kind, Kind::Signal(it) if it.signal == PIPE));
            assert_eq!(server.handle(queue, event), None);
        }
    }
    pipes
}
