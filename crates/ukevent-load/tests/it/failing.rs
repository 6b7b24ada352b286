//! Each way in which a server fails is counted in its class, and ends.

use crate::server::{Server, any_load, load, plan, request};
use rustix::net::sockopt::set_socket_linger;
use std::{
    io::Write,
    net::{Shutdown, TcpListener},
    time::Duration,
};
use ukevent_load::{Arrivals, Class, Pace, Plan, Target};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[track_caller]
fn all_fail(plan: Plan, class: Class, count: u64) {
    let record = load(plan);
    assert_eq!((record.replies, record.errors.of(class)), (0, count), "{:?}", record.errors);
}

#[test]
fn refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target: Target = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    all_fail(plan(target.clone(), 5), Class::Refused, 5);
    let folder = tempfile::tempdir().unwrap();
    let nowhere = target.at_socket(folder.path().join("socket"));
    all_fail(plan(nowhere, 3), Class::Refused, 3);
}

#[test]
fn reset() {
    let server = Server::of(|stream| {
        request(&stream);
        set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    all_fail(plan(server.target(), 20), Class::Reset, 20);
}

#[test]
fn closed_without_a_word() {
    let server = Server::of(|stream| drop(request(&stream)));
    all_fail(plan(server.target(), 20), Class::Closed, 20);
}

#[test]
fn cut_in_the_head_and_in_the_body() {
    for part in ["HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]
    {
        let server = Server::of(move |mut stream| {
            request(&stream);
            stream.write_all(part.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Both).unwrap();
        });
        all_fail(plan(server.target(), 10), Class::Cut, 10);
    }
}

#[test]
fn garbage() {
    for reply in ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "\0\0\0\0"]
    {
        let server = Server::answering(reply);
        let limited = Plan { reply_timeout: Duration::from_secs(2), ..plan(server.target(), 3) };
        let record = load(limited);
        assert_eq!(record.errors.of(Class::Garbage), 3, "{reply:?}: {:?}", record.errors);
    }
}

/// The reply is whole; what comes behind it is nobody's, and the connection is not used again.
#[test]
fn more_than_was_asked_for() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more");
    let record = any_load(plan(server.target(), 4));
    assert_eq!((record.requests, record.replies), (4, 4), "{:?}", record.errors);
    assert_eq!(record.errors.of(Class::Garbage), 4, "{:?}", record.errors);
    assert_eq!((record.connections.opened, record.errors.total()), (4, 4));
    let sampled: u64 = record.samples.iter().map(|sample| sample.errors).sum();
    assert_eq!(sampled, 4);
}

/// Nor is what comes while nothing is asked: while a client thinks, and while it waits for what is due.
#[test]
fn what_comes_while_nothing_is_asked() {
    let server = Server::of(|mut stream| {
        request(&stream);
        stream.write_all(OK.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let _ = stream.write_all(b"by the way");
        request(&stream);
    });
    let think = Pace::Closed { connections: 1, pipeline: 1, think: Duration::from_millis(150) };
    let arrivals = Arrivals::Even { rate: 8.0 };
    for pace in [think, Pace::Open { arrivals, connections: 1 }] {
        let record = any_load(Plan { pace, ..plan(server.target(), 4) });
        assert_eq!((record.requests, record.replies), (4, 4), "{pace:?}: {:?}", record.errors);
        let garbage = record.errors.of(Class::Garbage);
        // The last one may be closed before it says so.
        assert!((3..=4).contains(&garbage), "{pace:?}: {:?}", record.errors);
        assert_eq!((record.connections.opened, record.errors.total()), (4, garbage));
    }
}

#[test]
fn stalled() {
    let server = Server::of(|stream| {
        request(&stream);
        std::thread::sleep(Duration::from_secs(60));
    });
    let limited = Plan { reply_timeout: Duration::from_millis(50), ..plan(server.target(), 3) };
    all_fail(limited, Class::ReplyTimeout, 3);
}

/// Each request has its time from when it left: those that wait behind others in a pipeline have no more.
#[test]
fn late_in_a_pipeline() {
    let server = Server::of(|mut stream| {
        while request(&stream).is_some() {
            std::thread::sleep(Duration::from_millis(100));
            if stream.write_all(OK.as_bytes()).is_err() {
                break;
            }
        }
    });
    let pace = Pace::Closed { connections: 1, pipeline: 8, think: Duration::ZERO };
    let reply_timeout = Duration::from_millis(350);
    let record = load(Plan { pace, reply_timeout, ..plan(server.target(), 8) });
    assert!(record.replies < 8, "{:?}", record.errors);
    assert_eq!(record.replies + record.errors.of(Class::ReplyTimeout), 8, "{:?}", record.errors);
}

/// A byte now and then does not make a reply come in time.
#[test]
fn a_reply_that_drips() {
    let server = Server::of(|mut stream| {
        request(&stream);
        for byte in OK.bytes().cycle() {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let limited = Plan { reply_timeout: Duration::from_millis(200), ..plan(server.target(), 2) };
    all_fail(limited, Class::ReplyTimeout, 2);
}

#[test]
fn no_way_there() {
    // An address to connect from that is not this machine's (TEST-NET-1).
    let server = Server::answering(OK);
    let sources = vec!["192.0.2.1".parse().unwrap()];
    all_fail(Plan { sources, ..plan(server.target(), 2) }, Class::NoPort, 2);
}

/// What is wrong with one connection is not the others' fault.
#[test]
fn one_in_three_fails() {
    let count = std::sync::atomic::AtomicU64::new(0);
    let server = Server::of(move |mut stream| {
        request(&stream);
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if !number.is_multiple_of(3) {
            stream.write_all(OK.as_bytes()).unwrap();
        }
    });
    let record = load(Plan { keep_alive: false, ..plan(server.target(), 30) });
    assert_eq!((record.replies, record.errors.of(Class::Closed)), (20, 10), "{:?}", record.errors);
}
