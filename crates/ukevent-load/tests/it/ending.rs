//! Loads that are ended early.

use crate::server::{Server, plan, request};
use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::atomic::Ordering,
    time::Duration,
};
use ukevent_load::{Arrivals, Class, Length, Load, Pace, Plan, Record};
use ukevent_task::{block_on, spawn, time::sleep};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// None of these loads would end by itself while anybody waits for it.
const LONG: Duration = Duration::from_secs(600);

/// Ended when the server has accepted so many and a little later.
fn cut(plan: Plan, server: &Server, accepted: u64) -> Record {
    let count = std::sync::Arc::clone(&server.accepted);
    let record = block_on(async {
        let load = Load::prepare(plan).await.unwrap();
        let stop = load.stop();
        let _stops = spawn(async move {
            while count.load(Ordering::Relaxed) < accepted {
                sleep(Duration::from_millis(5)).await;
            }
            sleep(Duration::from_millis(100)).await;
            stop.now();
            stop.now();
        });
        load.run(|_| ()).await
    })
    .unwrap();
    assert_eq!(record.requests, record.replies + record.errors.total(), "{:?}", record.errors);
    let sampled: u64 = record.samples.iter().map(|it| it.replies + it.errors).sum();
    assert_eq!(sampled, record.requests);
    assert!(record.duration < LONG / 2);
    record
}

const OPEN: Pace = Pace::Open { arrivals: Arrivals::Even { rate: 500.0 }, connections: 4 };
const CLOSED: Pace = Pace::Closed { connections: 4, pipeline: 2, think: Duration::ZERO };
const THINKING: Pace = Pace::Closed { connections: 4, pipeline: 1, think: LONG };

#[test]
fn what_was_answered_is_reported() {
    let server = Server::answering(OK);
    for pace in [OPEN, CLOSED, THINKING] {
        for length in [Length::Time(LONG), Length::Requests(1 << 40)] {
            let before = server.accepted.load(Ordering::Relaxed);
            let some = Plan { pace, length, ..plan(server.target(), 0) };
            let record = cut(some, &server, before + 1);
            assert!(record.replies > 0, "{pace:?}");
            // On a machine that is busy some may have waited just then.
            let waited = record.errors.of(Class::Crowded);
            assert_eq!(record.errors.total(), waited, "{pace:?}: {:?}", record.errors);
        }
    }
}

/// What has no reply is waited for, but not as long as it might be; and it is no failure of the server's.
#[test]
fn what_was_not_answered_is_told_too() {
    let server = Server::of(|stream| {
        request(&stream);
        std::thread::sleep(LONG);
    });
    let some = Plan { length: Length::Time(LONG), reply_timeout: LONG, ..plan(server.target(), 0) };
    let record = cut(Plan { pace: CLOSED, ..some.clone() }, &server, 4);
    assert_eq!((record.requests, record.errors.of(Class::Interrupted)), (8, 8));
    let record = cut(Plan { pace: OPEN, ..some }, &server, 8);
    assert_eq!(record.errors.of(Class::Interrupted), 4, "{:?}", record.errors);
    assert!(record.errors.of(Class::Crowded) > 0, "{:?}", record.errors);
}

/// A reply that comes a little after the end counts.
#[test]
fn what_is_on_its_way_may_arrive() {
    let server = Server::of(|mut stream| {
        while request(&stream).is_some() {
            std::thread::sleep(Duration::from_millis(300));
            if stream.write_all(OK.as_bytes()).is_err() {
                break;
            }
        }
    });
    let pace = Pace::Closed { connections: 3, pipeline: 1, think: Duration::ZERO };
    let some = Plan { pace, length: Length::Time(LONG), ..plan(server.target(), 0) };
    let record = cut(some, &server, 3);
    assert_eq!((record.replies, record.errors.total()), (record.requests, 0), "{record:?}");
}

/// What waits for a connection that does not come about was asked too, and is told.
#[test]
fn what_was_still_connecting_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Nobody accepts, and who comes when its backlog is full hears nothing.
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let wait = Duration::from_millis(300);
    let _there: Vec<TcpStream> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&address, wait).ok()).take(100).collect();
    let target: ukevent_load::Target = format!("http://{address}/").parse().unwrap();
    for (pace, least) in [(CLOSED, 4), (OPEN, 10)] {
        let length = Length::Time(LONG);
        let some = Plan { pace, length, connect_timeout: LONG, ..plan(target.clone(), 0) };
        let record = block_on(async {
            let load = Load::prepare(some).await.unwrap();
            let stop = load.stop();
            let _stops = spawn(async move {
                sleep(Duration::from_millis(200)).await;
                stop.now();
            });
            load.run(|_| ()).await
        })
        .unwrap();
        assert_eq!(record.errors.of(Class::Interrupted), 4, "{pace:?}: {:?}", record.errors);
        assert!(record.requests >= least, "{pace:?}: {}", record.requests);
        assert_eq!(record.requests, record.errors.total(), "{pace:?}: {:?}", record.errors);
    }
}
