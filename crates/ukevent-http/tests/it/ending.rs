//! How a server ends.

use crate::client::{Client, Running, backends, run};
use rustix::process::{Signal, getpid, kill_process};
use std::{env, fs, net::TcpStream, process::Command, time::Duration};
use testkit::alone;
use ukevent_http::{Limits, Server};
use ukevent_sys::signal::{Disposition, disposition};
use ukevent_task::{look, spawn};

#[test]
fn gently() {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("large"), vec![7; 10_000_000]).unwrap();
    for kind in backends() {
        let long = Duration::from_secs(600);
        let limits = Limits { grace: long, idle: long, ..Limits::default() };
        let server = Running::new(kind, Some(site.path()), limits);
        // One rests, one is being answered, one has asked in part, one waits with a request.
        let mut idle = server.connect();
        assert_eq!(idle.get("/nothing").status(), 404);
        let mut busy = server.connect();
        busy.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(busy.read() > 0);
        let mut begun = server.connect();
        begun.send("GET /large HTTP/1.1\r\n");
        assert_eq!(idle.get("/nothing").status(), 404);
        let address = server.address;
        let stopper = server.stopper.clone();
        stopper.stop();
        assert!(idle.is_closed(), "{kind}: the idle one stays");
        assert!(TcpStream::connect(address).is_err(), "{kind}: it still listens");
        begun.send("Host: a\r\n\r\n");
        let answer = begun.answer();
        assert_eq!((answer.status(), answer.field("Connection")), (200, Some("close")));
        assert_eq!(answer.content.len(), 10_000_000);
        assert!(begun.is_closed());
        // This one was answered before it was known that the answer is the last. It says nothing more, and
        // is not waited for.
        assert_eq!(busy.answer().content.len(), 10_000_000);
        assert!(busy.is_closed(), "{kind}: the one that has its answer stays");
        drop(begun);
        let (counters, _) = server.ended();
        drop(busy);
        assert_eq!(counters.requests, 4, "{kind}");
    }
}

#[test]
fn what_was_asked_before_the_end_is_answered() {
    for kind in backends() {
        for _ in 0..20 {
            let server = Running::new(kind, None, Limits::default());
            let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
            for client in &mut clients {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            }
            server.stopper.stop();
            for client in &mut clients {
                assert_eq!(client.answer().status(), 200, "{kind}");
            }
            drop(clients);
            server.ended();
        }
    }
}

#[test]
fn at_once_at_the_second_time_or_after_the_grace() {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("large"), vec![7; 10_000_000]).unwrap();
    for kind in backends() {
        for grace in [Duration::from_secs(600), Duration::from_millis(20)] {
            let server =
                Running::new(kind, Some(site.path()), Limits { grace, ..Limits::default() });
            let mut busy = server.connect();
            busy.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(busy.read() > 0);
            server.stopper.stop();
            if grace > Duration::from_secs(1) {
                testkit::wait_until("it listens no more", || {
                    TcpStream::connect(server.address).is_err()
                });
                server.stopper.stop();
            }
            server.ended();
        }
    }
}

/// Both tellings lie in the queue before the server looks, and are one event.
#[test]
fn at_once_if_told_twice_before_it_looks() {
    for kind in backends() {
        run(kind, async {
            let builder = Server::builder().listen("127.0.0.1:0".parse().unwrap());
            let mut server = builder.start().unwrap();
            let mut client = Client::over(TcpStream::connect(server.addresses()[0]).unwrap());
            client.send("GET / HTTP/1.1\r\n");
            let (meter, stopper) = (server.meter(), server.stopper());
            let told = spawn(async move {
                while meter.counters().open == 0 {
                    look().await;
                }
                stopper.stop();
                stopper.stop();
            });
            // Gently it would take as long as a head may.
            server.run().await.unwrap();
            told.await.unwrap();
            assert!(client.is_closed(), "{kind}");
        });
    }
}

/// More wait in the backlog than are accepted at a turn, and all of them have asked.
#[test]
fn whoever_waits_is_let_in() {
    const CLIENTS: usize = 300;
    testkit::raise_nofile();
    for kind in backends() {
        run(kind, async {
            let builder = Server::builder().listen("127.0.0.1:0".parse().unwrap());
            let mut server = builder.start().unwrap();
            let address = server.addresses()[0];
            let asking = || {
                let mut client = Client::over(TcpStream::connect(address).unwrap());
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                client
            };
            let clients: Vec<_> = (0..CLIENTS).map(|_| asking()).collect();
            server.stopper().stop();
            let clients = std::thread::spawn(move || {
                for (number, mut client) in clients.into_iter().enumerate() {
                    assert_eq!(client.answer().status(), 200, "{kind}: client {number}");
                }
            });
            server.run().await.unwrap();
            clients.join().unwrap();
            assert_eq!(server.counters().requests, CLIENTS as u64, "{kind}");
        });
    }
}

#[test]
fn by_signal() {
    with_signals("by_signal", false, || {
        for kind in backends() {
            for signal in [Signal::TERM, Signal::INT] {
                let builder = Server::builder().listen("127.0.0.1:0".parse().unwrap());
                let server = Running::with(kind, builder.end_by_signal());
                assert_eq!(server.connect().get("/").status(), 200);
                kill_process(getpid(), signal).unwrap();
                server.ended();
            }
        }
    });
}

#[test]
fn not_by_a_signal_that_is_ignored() {
    with_signals("not_by_a_signal_that_is_ignored", true, || {
        for kind in backends() {
            let builder = Server::builder().listen("127.0.0.1:0".parse().unwrap());
            let server = Running::with(kind, builder.end_by_signal());
            for signal in [Signal::TERM, Signal::INT] {
                assert_eq!(disposition(signal.as_raw()), Ok(Disposition::Ignore));
            }
            server.stop();
        }
    });
}

/// Runs a test of this file in a process of its own, where the signals that end a server are ignored,
/// or are not, whatever this one was started with.
fn with_signals(test: &str, ignored: bool, body: impl FnOnce()) {
    const INNER: &str = "UKEVENT_IT_INNER";
    if env::var_os(INNER).is_some() {
        return body();
    }
    let what = if ignored { "--ignore-signal=INT,TERM" } else { "--default-signal=INT,TERM" };
    let output = Command::new("env")
        .arg(what)
        .arg(env::current_exe().unwrap())
        .args([&format!("ending::{test}"), "--exact", "--nocapture", "--test-threads=1"])
        .env(INNER, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{errors}");
}

#[test]
fn nothing_stays_open() {
    alone(|| {
        let site = tempfile::tempdir().unwrap();
        fs::write(site.path().join("large"), vec![7; 1_000_000]).unwrap();
        for kind in backends() {
            testkit::assert_no_leak(|| {
                let server = Running::new(kind, Some(site.path()), Limits::default());
                let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
                for client in &mut clients {
                    assert_eq!(client.get("/large").content.len(), 1_000_000);
                }
                server.stop();
            });
        }
    });
}
