//! Connections: accepted and made.

use super::{ECANCELED, ECONNREFUSED, buffer, done, errno, own, unconnected};
use crate::bench::{A, B, Bench, PATIENCE, patient, silent, wait};
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use ukevent_queue::{Operation, Payload};

cases! {
    kernels: [
        one_connection_is_accepted,
        connections_are_accepted_until_cancelled,
        a_connection_is_made,
        a_connection_that_is_refused_says_so,
        an_accepted_connection_that_nobody_takes_is_closed,
        a_small_ring_accepts_everybody,
    ],
}

fn one_connection_is_accepted(bench: &Bench) {
    let mut queue = bench.queue();
    let (listener, address) = testkit::listener();
    let listener = own(&mut queue, listener);
    queue.start(Operation::accept(listener), A).unwrap();
    silent(&mut queue);
    let mut client = TcpStream::connect(address).unwrap();
    let _second = TcpStream::connect(address).unwrap();
    let connection = done(&mut queue, A).into_descriptor().expect("a connection");
    client.write_all(b"!").unwrap();
    let mut connection = TcpStream::from(connection);
    connection.set_nonblocking(false).unwrap();
    connection.read_exact(&mut [0]).unwrap();
    silent(&mut queue);
}

fn connections_are_accepted_until_cancelled(bench: &Bench) {
    let mut queue = bench.queue();
    let (listener, address) = testkit::listener();
    let listener = own(&mut queue, listener);
    let key = queue.start(Operation::accept_each(listener), A).unwrap();
    let mut connections = Vec::new();
    for _ in 0..20 {
        let client = TcpStream::connect(address).unwrap();
        connections.push((client, done(&mut queue, A).into_descriptor().expect("a connection")));
    }
    queue.cancel(key).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!((errno(&completed), &completed.payload), (ECANCELED, &Payload::None));
    let _client = TcpStream::connect(address).unwrap();
    silent(&mut queue);
    assert!(queue.cancel(key).is_err());
}

fn a_connection_is_made(bench: &Bench) {
    let mut queue = bench.queue();
    let (listener, address) = testkit::listener();
    let socket = unconnected();
    let socket = own(&mut queue, socket);
    queue.start(Operation::connect(socket, address), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(0));
    let (mut accepted, _) = listener.accept().unwrap();
    queue.start(Operation::send(socket, buffer(b"hi")), B).unwrap();
    done(&mut queue, B);
    accepted.read_exact(&mut [0; 2]).unwrap();
}

fn a_connection_that_is_refused_says_so(bench: &Bench) {
    let mut queue = bench.queue();
    let (listener, address) = testkit::listener();
    drop(listener);
    let socket = own(&mut queue, unconnected());
    queue.start(Operation::connect(socket, address), A).unwrap();
    assert_eq!(errno(&done(&mut queue, A)), ECONNREFUSED);
}

fn an_accepted_connection_that_nobody_takes_is_closed(bench: &Bench) {
    let mut queue = bench.queue();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = own(&mut queue, listener);
    let key = queue.start(Operation::accept(listener), A).unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(wait(&mut queue, patient()), Ok(1));
    queue.remove(key).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "it was closed");
}

fn a_small_ring_accepts_everybody(bench: &Bench) {
    let mut queue = bench.builder().ring(4, 8).build().unwrap();
    let (listener, address) = testkit::listener();
    let listener = own(&mut queue, listener);
    let clients = Vec::from_iter((0..100).map(|_| TcpStream::connect(address).unwrap()));
    queue.start(Operation::accept_each(listener), A).unwrap();
    for _ in 0..clients.len() {
        assert!(done(&mut queue, A).into_descriptor().is_some());
    }
    let _client = TcpStream::connect(address).unwrap();
    assert!(done(&mut queue, A).into_descriptor().is_some(), "it goes on");
}
