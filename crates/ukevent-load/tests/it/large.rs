//! Requests that are larger than what may wait to be sent.

use crate::server::{Server, load, plan};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::Ordering,
    time::Duration,
};
use ukevent_load::{Arrivals, Class, Length, Mix, Pace, Plan, Request};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One request, with so many bytes behind its head.
fn posts(bytes: usize) -> Mix {
    Mix::one(Request::new("POST", "/", Vec::new(), vec![b'x'; bytes]).unwrap())
}

/// Reads a head, and says how many bytes follow.
fn head(stream: &mut impl Read) -> Option<u64> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Some(length.map_or(0, |it| it.parse().unwrap()))
}

/// Reads each request whole, and answers it.
fn reading() -> Server {
    Server::of(|mut stream: TcpStream| {
        while let Some(bytes) = head(&mut stream) {
            let read = std::io::copy(&mut (&mut stream).take(bytes), &mut std::io::sink());
            if read.ok() != Some(bytes) || stream.write_all(OK).is_err() {
                break;
            }
        }
    })
}

#[test]
fn a_pipeline_deeper_than_what_may_wait() {
    let server = reading();
    for (bytes, pipeline) in [(100_000, 64), (400_000, 4), (600_000, 3), (3_000_000, 4)] {
        let pace = Pace::Closed { connections: 2, pipeline, think: Duration::ZERO };
        let some = Plan { pace, mix: posts(bytes), ..plan(server.target(), 60) };
        let record = load(some);
        assert_eq!(record.replies, 60, "{pipeline} of {bytes}: {:?}", record.errors);
        assert_eq!(record.connections.opened, 2);
    }
}

/// Large and small ones in turn: what is small does not leave before what is due before it either.
#[test]
fn a_mix_of_sizes() {
    let server = reading();
    let small = Request::new("GET", "/", Vec::new(), Vec::new()).unwrap();
    let large = Request::new("POST", "/", Vec::new(), vec![b'x'; 900_000]).unwrap();
    let mix = Mix::weighted([(1, small), (1, large)]).unwrap();
    let pace = Pace::Closed { connections: 1, pipeline: 16, think: Duration::ZERO };
    let record = load(Plan { pace, mix, ..plan(server.target(), 60) });
    assert_eq!(record.replies, 60, "{:?}", record.errors);
}

/// A server that answers before it has read, and reads no more: what is due then waits for room, as long as for a
/// reply, and then for another connection.
#[test]
fn answered_before_it_was_read() {
    let server = Server::of(|mut stream: TcpStream| {
        if head(&mut stream).is_some() && stream.write_all(OK).is_ok() {
            std::thread::sleep(Duration::from_secs(60));
        }
    });
    let reply_timeout = Duration::from_millis(300);
    let closed = Pace::Closed { connections: 1, pipeline: 1, think: Duration::ZERO };
    let arrivals = Arrivals::Even { rate: 100.0 };
    for pace in [closed, Pace::Open { arrivals, connections: 1 }] {
        let before = server.accepted.load(Ordering::Relaxed);
        let mix = posts(16_000_000);
        let record = load(Plan { pace, mix, reply_timeout, ..plan(server.target(), 3) });
        assert_eq!((record.requests, record.replies), (3, 3), "{pace:?}: {:?}", record.errors);
        assert_eq!(server.accepted.load(Ordering::Relaxed) - before, 3);
    }
    // What the load may still wait for is bounded too.
    let length = Length::Time(Duration::from_millis(200));
    let some = Plan { mix: posts(16_000_000), length, ..plan(server.target(), 0) };
    let record = load(Plan { reply_timeout, ..some });
    assert_eq!(record.errors.of(Class::Other), 0, "{:?}", record.errors);
}
