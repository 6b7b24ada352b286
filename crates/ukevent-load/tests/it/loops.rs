//! The two loops: how much is asked, by how many, and when.

use crate::server::{Server, load, plan, request};
use std::{io::Write, sync::atomic::Ordering, time::Duration};
use ukevent_load::{Arrivals, Class, Length, Load, Mix, NeverDue, Pace, Plan, Ramp, Shape};
use ukevent_task::block_on;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
const LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn exactly_as_many_as_were_asked_for() {
    for reply in [OK, CHUNKED] {
        let server = Server::answering(reply);
        for (connections, pipeline) in [(1, 1), (1, 16), (7, 1), (7, 5)] {
            let pace = Pace::Closed { connections, pipeline, think: Duration::ZERO };
            let record = load(Plan { pace, ..plan(server.target(), 1000) });
            let what = format!("{connections} by {pipeline}: {:?}", record.errors);
            assert_eq!((record.requests, record.replies), (1000, 1000), "{what}");
            assert_eq!(record.statuses[&200], 1000, "{what}");
            assert_eq!(record.connections.opened, u64::from(connections), "{what}");
            assert_eq!(record.latency.count(), 1000, "{what}");
            let sampled: u64 = record.samples.iter().map(|sample| sample.replies).sum();
            assert_eq!(sampled, 1000, "{what}");
        }
    }
}

#[test]
fn one_connection_for_each_request() {
    let server = Server::of(|mut stream| {
        let asked = request(&stream).unwrap();
        assert!(asked.starts_with("GET / "), "{asked}");
        stream.write_all(LAST.as_bytes()).unwrap();
    });
    let record = load(Plan { keep_alive: false, ..plan(server.target(), 50) });
    assert_eq!((record.replies, record.connections.opened), (50, 50), "{:?}", record.errors);
    assert_eq!(server.accepted.load(Ordering::Relaxed), 50);
    assert_eq!(record.connections.life.count(), 50);
}

/// A server that ends the connection after its reply is asked again over another one.
#[test]
fn a_connection_that_does_not_stay() {
    let server = Server::of(|mut stream| {
        for reply in [OK, OK, LAST] {
            if request(&stream).is_none() {
                return;
            }
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    let record = load(plan(server.target(), 30));
    assert_eq!((record.replies, record.connections.opened), (30, 10), "{:?}", record.errors);
}

#[test]
fn in_an_open_loop_as_many_as_are_due() {
    let server = Server::answering(OK);
    for arrivals in [
        Arrivals::Even { rate: 2000.0 },
        Arrivals::Poisson { rate: 2000.0 },
        Arrivals::Bursts { rate: 2000.0, size: 100 },
    ] {
        let pace = Pace::Open { arrivals, connections: 50 };
        let record = load(Plan { pace, ..plan(server.target(), 600) });
        assert_eq!((record.requests, record.replies), (600, 600), "{:?}", record.errors);
        assert_eq!(record.lateness.count(), 600);
        assert!(record.connections.opened <= 50);
    }
    let time = Length::Time(Duration::from_millis(500));
    let pace = Pace::Open { arrivals: Arrivals::Even { rate: 1000.0 }, connections: 50 };
    let record = load(Plan { pace, length: time, ..plan(server.target(), 0) });
    assert_eq!(record.requests, 500);
}

/// A server that stands still for a while delays all who were due meanwhile, not only who was being served.
#[test]
fn latency_counts_from_the_intended_start() {
    let server = Server::of(|mut stream| {
        let mut first = true;
        while request(&stream).is_some() {
            if std::mem::take(&mut first) {
                std::thread::sleep(Duration::from_millis(300));
            }
            if stream.write_all(OK.as_bytes()).is_err() {
                break;
            }
        }
    });
    let pace = Pace::Open { arrivals: Arrivals::Even { rate: 1000.0 }, connections: 1 };
    let record = load(Plan { pace, ..plan(server.target(), 300) });
    assert_eq!(record.replies, 300, "{:?}", record.errors);
    // Those that were due in the first 200 ms waited for 100 ms at least.
    assert!(record.latency.longer_than(Duration::from_millis(95)) >= 200, "{record:?}");
    assert!(record.response.longer_than(Duration::from_millis(95)) < 50, "{record:?}");
}

/// A server that answers nobody does not keep a load from ending; what waits for it counts.
#[test]
fn the_end_does_not_wait_for_ever() {
    let server = Server::of(|stream| {
        request(&stream);
        std::thread::sleep(Duration::from_secs(60));
    });
    let pace = Pace::Open { arrivals: Arrivals::Even { rate: 100.0 }, connections: 2 };
    let length = Length::Time(Duration::from_millis(300));
    let reply_timeout = Duration::from_millis(200);
    let record = load(Plan { pace, length, reply_timeout, ..plan(server.target(), 0) });
    assert_eq!((record.requests, record.replies), (30, 0));
    assert!(record.errors.of(Class::Crowded) > 10, "{:?}", record.errors);
    // Nor does who thinks.
    let server = Server::answering(OK);
    let think = Duration::from_secs(600);
    let pace = Pace::Closed { connections: 3, pipeline: 1, think };
    let record = load(Plan { pace, length, ..plan(server.target(), 0) });
    assert_eq!(record.replies, 3);
    let record = load(Plan { pace, ..plan(server.target(), 3) });
    assert_eq!(record.replies, 3);
}

/// Who is busy is no reason to blame the generator.
#[test]
fn lateness_is_not_the_servers() {
    let server = Server::of(|mut stream| {
        while request(&stream).is_some() {
            std::thread::sleep(Duration::from_millis(50));
            if stream.write_all(OK.as_bytes()).is_err() {
                break;
            }
        }
    });
    let pace = Pace::Open { arrivals: Arrivals::Even { rate: 100.0 }, connections: 1 };
    let record = load(Plan { pace, ..plan(server.target(), 40) });
    assert_eq!(record.replies, 40);
    assert!(record.latency.longer_than(Duration::from_millis(500)) > 20, "{record:?}");
    assert!(record.lateness.longer_than(Duration::from_millis(500)) == 0, "{record:?}");
}

#[test]
fn a_mix_is_asked_by_weight() {
    let (seen, asked) = std::sync::mpsc::channel();
    let seen = std::sync::Mutex::new(seen);
    let server = Server::of(move |mut stream| {
        while let Some(line) = request(&stream) {
            seen.lock().unwrap().send(line).unwrap();
            stream.write_all(OK.as_bytes()).unwrap();
        }
    });
    let mix = Mix::parse("3 GET /often\n1 GET /rare\n").unwrap();
    let record = load(Plan { mix, ..plan(server.target(), 1000) });
    assert_eq!(record.replies, 1000);
    let often = asked.try_iter().filter(|line| line.starts_with("GET /often ")).count();
    assert!((650..850).contains(&often), "{often}");
}

#[test]
fn beside_those_who_are_only_there() {
    let server = Server::answering(OK);
    let some = Plan {
        dead: 100,
        slow: 10,
        slow_gap: Duration::from_millis(5),
        ..plan(server.target(), 200)
    };
    let record = load(some);
    assert_eq!((record.replies, record.connections.idle), (200, 110), "{:?}", record.errors);
    assert_eq!(server.accepted.load(Ordering::Relaxed), 111);
}

#[test]
fn from_several_addresses() {
    let (seen, peers) = std::sync::mpsc::channel();
    let seen = std::sync::Mutex::new(seen);
    let server = Server::of(move |mut stream| {
        seen.lock().unwrap().send(stream.peer_addr().unwrap().ip()).unwrap();
        while request(&stream).is_some() && stream.write_all(OK.as_bytes()).is_ok() {}
    });
    let sources: Vec<_> = ["127.0.0.2", "127.0.0.3"].map(|it| it.parse().unwrap()).into();
    let pace = Pace::Closed { connections: 10, pipeline: 1, think: Duration::ZERO };
    let record = load(Plan { pace, sources: sources.clone(), ..plan(server.target(), 100) });
    assert_eq!(record.replies, 100, "{:?}", record.errors);
    let peers: Vec<_> = peers.try_iter().collect();
    for source in sources {
        assert_eq!(peers.iter().filter(|peer| **peer == source).count(), 5, "{peers:?}");
    }
}

#[test]
fn a_head_has_no_content() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    let mix = Mix::parse("HEAD /\n").unwrap();
    let record = load(Plan { mix, ..plan(server.target(), 20) });
    assert_eq!((record.replies, record.body_bytes), (20, 0), "{:?}", record.errors);
    assert_eq!(record.errors.of(Class::Garbage), 0);
}

/// As many as lie below the ramp, whoever shares it.
#[test]
fn along_a_ramp() {
    let server = Server::answering(OK);
    let over = Duration::from_secs(1);
    for (from, to, steps, due) in [(0.0, 1000.0, 0, 500), (100.0, 500.0, 5, 300)] {
        let ramp = Ramp { from, to, over, steps };
        let arrivals = Arrivals::Ramp { ramp, shape: Shape::Even };
        let pace = Pace::Open { arrivals, connections: 20 };
        let some = Plan { pace, length: Length::Time(over), ..plan(server.target(), 0) };
        let record = load(some.clone());
        assert_eq!((record.requests, record.replies), (due, due), "{:?}", record.errors);
        let parts = (0..3).map(|turn| load(Plan { turn: (turn, 3), ..some.clone() }).requests);
        assert_eq!(parts.sum::<u64>(), due);
    }
}

/// A rate that falls to none is asked so often and no more: more are refused, and not waited for.
#[test]
fn along_a_ramp_to_none() {
    let server = Server::answering(OK);
    let ramp = Ramp { from: 200.0, to: 0.0, over: Duration::from_secs(1), steps: 0 };
    for shape in [Shape::Even, Shape::Bursts { size: 10 }] {
        let pace = Pace::Open { arrivals: Arrivals::Ramp { ramp, shape }, connections: 20 };
        let record = load(Plan { pace, ..plan(server.target(), 100) });
        assert_eq!((record.requests, record.replies), (100, 100), "{:?}", record.errors);
    }
    let still = Ramp { from: 0.0, ..ramp };
    let bursts = Shape::Bursts { size: 10 };
    for (arrivals, asked, turn) in [
        (Arrivals::Ramp { ramp, shape: Shape::Even }, 102, (0, 1)),
        (Arrivals::Ramp { ramp, shape: Shape::Even }, 51, (1, 2)),
        (Arrivals::Ramp { ramp, shape: Shape::Poisson }, 102, (0, 1)),
        (Arrivals::Ramp { ramp, shape: bursts }, 111, (0, 1)),
        (Arrivals::Ramp { ramp: still, shape: Shape::Even }, 2, (0, 1)),
        (Arrivals::Even { rate: 0.0 }, 1, (0, 1)),
        (Arrivals::Poisson { rate: 0.0 }, 1, (0, 1)),
    ] {
        let pace = Pace::Open { arrivals, connections: 20 };
        let some = Plan { pace, turn, ..plan(server.target(), asked) };
        let error = block_on(Load::prepare(some)).unwrap().unwrap_err();
        let why = error.get_ref().unwrap().downcast_ref::<NeverDue>().unwrap();
        assert_eq!(why.asked, asked, "{arrivals:?}");
        assert!(why.due < asked as f64, "{arrivals:?}: {error}");
        assert!(error.to_string().contains("the rate falls to none"), "{error}");
    }
    // Who comes at random comes so often on average: fewer end the load as well.
    let pace =
        Pace::Open { arrivals: Arrivals::Ramp { ramp, shape: Shape::Poisson }, connections: 20 };
    for seed in 1..4 {
        let record = load(Plan { pace, seed, ..plan(server.target(), 100) });
        assert!((50..=100).contains(&record.requests), "{}", record.requests);
    }
}
