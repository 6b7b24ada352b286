//! What is served and kept only if it is asked for: codings, lists, logs, metrics, limits for each address.

use crate::client::{Client, Running, backends, run};
use std::{fs, net::TcpStream, time::Duration};
use ukevent_http::{AccessLog, Limits, LogTo, Server, log::Format};

fn local() -> std::net::SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[test]
fn codings_and_lists() {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("a.txt"), "plain").unwrap();
    fs::write(site.path().join("a.txt.gz"), "packed").unwrap();
    fs::create_dir(site.path().join("dir")).unwrap();
    fs::write(site.path().join("dir/b.txt"), "b").unwrap();
    for kind in backends() {
        for asked in [false, true] {
            let builder = Server::builder().listen(local()).root(site.path());
            let builder = if asked { builder.precompressed().listing() } else { builder };
            let server = Running::with(kind, builder);
            let mut client = server.connect();
            client.send("GET /a.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
            let answer = client.answer();
            let expected =
                if asked { (&b"packed"[..], Some("gzip")) } else { (&b"plain"[..], None) };
            assert_eq!((&answer.content[..], answer.field("Content-Encoding")), expected, "{kind}");
            let list = client.get("/dir/");
            assert_eq!(list.status(), if asked { 200 } else { 403 }, "{kind}");
            assert_eq!(String::from_utf8_lossy(&list.content).contains("b.txt"), asked, "{kind}");
        }
    }
}

#[test]
fn a_line_for_each_request() {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("small"), "12345").unwrap();
    fs::write(site.path().join("large"), vec![7; 100_000]).unwrap();
    for kind in backends() {
        let path = site.path().join(format!("{kind}.log"));
        let log = AccessLog { to: LogTo::File(path.clone()), format: Format::Combined };
        let builder = Server::builder().listen(local()).root(site.path()).access_log(log);
        let server = Running::with(kind, builder);
        let mut client = server.connect();
        client.send(
            "GET /small HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\n\r\n\
             HEAD /small HTTP/1.1\r\nHost: a\r\nReferer: \"x\"\r\n\r\n",
        );
        assert_eq!(client.answer().status(), 200);
        client.head();
        assert_eq!(client.get("/large").content.len(), 100_000);
        assert_eq!(client.get("/large?none=1").status(), 200);
        client.send("POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(client.answer().status(), 405);
        client.send("rubbish\r\n\r\n");
        assert_eq!(client.answer().status(), 400);
        drop(client);
        let mut client = server.connect();
        client.send("PUT /large HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
        assert_eq!(client.answer().status(), 413);
        drop(client);
        server.stop();
        let log = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = log.lines().collect();
        let ends = [
            "\"GET /small HTTP/1.1\" 200 5 \"-\" \"test\"",
            "\"HEAD /small HTTP/1.1\" 200 - \"\\\"x\\\"\" \"-\"",
            "\"GET /large HTTP/1.1\" 200 100000 \"-\" \"-\"",
            "\"GET /large?none=1 HTTP/1.1\" 200 100000 \"-\" \"-\"",
        ];
        assert_eq!(lines.len(), 7, "{kind}: {log}");
        for (line, end) in lines.iter().zip(ends) {
            assert!(line.starts_with("127.0.0.1 - - [") && line.ends_with(end), "{kind}: {line}");
        }
        assert!(lines[4].contains("\"POST /nothing HTTP/1.1\" 405 "), "{kind}: {log}");
        assert!(lines[5].contains("\"-\" 400 "), "{kind}: {log}");
        assert!(lines[6].contains("\"PUT /large HTTP/1.1\" 413 "), "{kind}: {log}");
    }
}

/// The log is where nothing can be written yet: what was asked meanwhile is written when it can be.
#[test]
fn a_log_that_can_be_written_later() {
    for kind in backends() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("not yet/log");
        let log = AccessLog { to: LogTo::File(path.clone()), format: Format::Common };
        let server = Running::with(kind, Server::builder().listen(local()).access_log(log));
        assert_eq!(server.connect().get("/?1").status(), 200, "{kind}");
        // That it was tried shows nowhere; if it was not by now, this shows nothing.
        std::thread::sleep(Duration::from_millis(200));
        fs::create_dir(place.path().join("not yet")).unwrap();
        assert_eq!(server.connect().get("/?2").status(), 200, "{kind}");
        server.stop();
        let log = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = log.lines().map(|line| line.contains("\"GET /?1 ")).collect();
        assert_eq!(lines, [true, false], "{kind}: {log}");
    }
}

/// The log is where nothing can be written: that is no reason not to serve.
#[test]
fn a_log_that_cannot_be_written() {
    for kind in backends() {
        let log = AccessLog { to: LogTo::File("/nowhere/log".into()), format: Format::Json };
        let server = Running::with(kind, Server::builder().listen(local()).access_log(log));
        for _ in 0..3 {
            assert_eq!(server.connect().get("/").status(), 200, "{kind}");
        }
    }
}

#[test]
fn counters_for_prometheus() {
    for kind in backends() {
        run(kind, async {
            let builder = Server::builder().listen(local()).metrics(local());
            let mut server = builder.start().unwrap();
            let url = server.metrics_urls()[0].clone();
            let (address, stopper) = (server.addresses()[0], server.stopper());
            let client = std::thread::spawn(move || {
                let mut client = Client::over(TcpStream::connect(address).unwrap());
                assert_eq!(client.get("/").status(), 200);
                assert_eq!(client.get("/metrics").status(), 404, "not for everybody");
                let metrics = url.strip_prefix("http://").unwrap().strip_suffix('/').unwrap();
                let mut asking = Client::over(TcpStream::connect(metrics).unwrap());
                let answer = asking.get("/metrics");
                stopper.stop();
                answer
            });
            server.run().await.unwrap();
            let answer = client.join().unwrap();
            assert_eq!(answer.status(), 200);
            assert!(answer.field("Content-Type").unwrap().contains("version=0.0.4"));
            let text = String::from_utf8(answer.content).unwrap();
            for count in ["requests_total 2", "request_duration_seconds_count 2"] {
                assert!(text.contains(&format!("\nukevent_http_{count}\n")), "{kind}: {text}");
            }
        });
    }
}

#[test]
fn an_address_has_its_share() {
    for kind in backends() {
        let limits = Limits { address_connections: 2, ..Limits::default() };
        let server = Running::new(kind, None, limits);
        let (mut one, mut two) = (server.connect(), server.connect());
        assert_eq!((one.get("/").status(), two.get("/").status()), (200, 200));
        let mut three = server.connect();
        assert_eq!(three.answer().status(), 503, "{kind}");
        drop(one);
        testkit::wait_until("a place is free", || server.connect().get_or_none("/") == Some(200));
        drop(server);

        let limits = Limits { address_requests: 1, ..Limits::default() };
        let server = Running::new(kind, None, limits);
        let mut client = server.connect();
        let statuses: Vec<_> =
            (0..100).map_while(|_| client.get_or_none("/")).take_while(|it| *it == 200).collect();
        assert!((10..100).contains(&statuses.len()), "{kind}: {} requests", statuses.len());
    }
}

/// A head that comes more slowly than is asked for is not waited for as long as one may take.
#[test]
fn a_head_that_drips() {
    for kind in backends() {
        let slow = Duration::from_millis(100);
        let long = Duration::from_secs(600);
        let limits = Limits { least_rate: 1000, slow, head: long, ..Limits::default() };
        let server = Running::new(kind, None, limits);
        let mut fast = server.connect();
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\n");
        let dripping = std::thread::spawn(move || {
            let answer = client.answer();
            (answer.status(), client.is_closed())
        });
        assert_eq!(dripping.join().unwrap(), (408, true), "{kind}");
        // One whose bytes come fast may take as long as it likes between requests.
        assert_eq!(fast.get("/").status(), 200);
        std::thread::sleep(2 * slow);
        assert_eq!(fast.get("/").status(), 200);
    }
}
