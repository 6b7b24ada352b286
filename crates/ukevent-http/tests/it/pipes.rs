//! `SIGPIPE`, where it ends a process: its action is the default one, which no Rust program has that
//! did not ask for it.

use crate::client::{Client, backends, run};
use rustix::process::Signal;
use std::{
    cell::Cell,
    fs,
    net::{Shutdown, SocketAddr, TcpStream},
    rc::Rc,
    thread,
};
use testkit::alone;
use ukevent_http::Server;
use ukevent_queue::Kind;
use ukevent_sys::signal::{Disposition, disposition};
use ukevent_task::{Events, Runtime, spawn};

const CLIENTS: u64 = 200;

#[test]
fn clients_that_leave_amid_an_answer_end_nobody() {
    alone(|| {
        let site = tempfile::tempdir().unwrap();
        fs::write(site.path().join("large"), vec![7; 8_000_000]).unwrap();
        sigpipe::reset();
        for (kind, threads) in backends().flat_map(|kind| [(kind, 1), (kind, 3)]) {
            run(kind, async {
                let queue = ukevent_queue::Builder::new().backend(kind);
                let builder = Server::builder().root(site.path());
                let builder = builder.threads(threads, Runtime::builder().queue(queue));
                let mut server = builder.listen("127.0.0.1:0".parse().unwrap()).start().unwrap();
                let (address, stopper) = (server.addresses()[0], server.stopper());
                let pipes = Rc::new(Cell::new(0));
                let counting = spawn(count(Rc::clone(&pipes)));
                let clients = thread::spawn(move || {
                    (0..CLIENTS).for_each(|_| leave(address));
                    let mut last = Client::over(TcpStream::connect(address).unwrap());
                    let answer = last.get("/nothing");
                    stopper.stop();
                    answer.status()
                });
                server.run().await.unwrap();
                counting.cancel();
                assert_eq!(clients.join().unwrap(), 404, "{kind}: it goes on");
                assert_eq!(server.counters().requests, CLIENTS + 1, "{kind}");
                assert!(pipes.get() > 0, "{kind}: nothing here was a danger to anybody");
            });
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

/// Counts the signals, which whoever watches them is told of.
async fn count(pipes: Rc<Cell<u64>>) {
    let mut signals = Events::of(ukevent_queue::Signal::new(PIPE).unwrap()).unwrap();
    loop {
        if let Kind::Signal(_) = signals.next().await {
            pipes.set(pipes.get() + 1);
        }
    }
}
