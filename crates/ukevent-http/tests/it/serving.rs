//! What is served, and how.

use crate::client::{Client, Running, backends, run};
use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};
use ukevent_http::{Limits, Server, StartError};
use ukevent_queue::BackendKind;
use ukevent_task::{look, spawn, time::interval};

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// A root with a small file and a large one.
fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("small.txt"), pattern(3931)).unwrap();
    fs::write(dir.path().join("large.bin"), pattern(8_000_000)).unwrap();
    dir
}

#[test]
fn files_over_one_connection() {
    let site = site();
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        let mut client = server.connect();
        for _ in 0..3 {
            assert_eq!(client.get("/small.txt").content, pattern(3931));
            assert_eq!(client.get("/large.bin").content, pattern(8_000_000));
            assert_eq!(client.get("/nothing").status(), 404);
        }
        drop(client);
        let (counters, _) = server.stop();
        assert_eq!((counters.requests, counters.accepted, counters.open), (9, 1, 0), "{kind}");
        assert!(counters.bytes_sent > 24_000_000);
    }
}

#[test]
fn pipelined_requests() {
    let site = site();
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        let mut client = server.connect();
        let small = "GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n";
        let part = "GET /large.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=1000000-4999999\r\n\r\n";
        let mut sender = client.stream.try_clone().unwrap();
        let large = pattern(5_000_000);
        let sent = std::thread::spawn(move || {
            use std::io::Write;
            sender.write_all([small, small, part, small].concat().repeat(20).as_bytes())
        });
        for _ in 0..20 {
            for expected in [0..3931, 0..3931, 1_000_000..5_000_000, 0..3931] {
                assert_eq!(client.answer().content, large[expected]);
            }
        }
        sent.join().unwrap().unwrap();
    }
}

#[test]
fn many_clients_at_once() {
    let site = site();
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        let mut clients: Vec<_> = (0..300).map(|_| server.connect()).collect();
        let expected = pattern(3931);
        for _ in 0..5 {
            for client in &mut clients {
                client.send("GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n");
            }
            for client in &mut clients {
                assert_eq!(client.answer().content, expected);
            }
        }
        drop(clients);
        let (counters, _) = server.stop();
        assert_eq!((counters.requests, counters.accepted), (1500, 300), "{kind}");
    }
}

#[test]
fn a_connection_for_each_request() {
    let site = site();
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        for _ in 0..200 {
            let mut client = server.connect();
            client.send("GET /small.txt HTTP/1.0\r\n\r\n");
            assert_eq!(client.answer().content, pattern(3931));
            assert!(client.is_closed());
        }
        assert_eq!(server.stop().0.requests, 200);
    }
}

#[test]
fn a_request_that_arrives_byte_by_byte() {
    let site = site();
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        let mut client = server.connect();
        client.stream.set_nodelay(true).unwrap();
        for byte in b"GET /small.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" {
            client.send([*byte]);
            std::thread::yield_now();
        }
        assert_eq!(client.answer().content, pattern(3931));
    }
}

/// A client that reads little and late: what it gets is whole, and others do not wait for it.
#[test]
fn a_slow_reader() {
    let site = site();
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        let mut slow = server.connect();
        rustix::net::sockopt::set_socket_recv_buffer_size(&slow.stream, 65536).unwrap();
        let large = "GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n";
        slow.send(large);
        slow.send(large);
        let mut quick = server.connect();
        for _ in 0..20 {
            assert_eq!(quick.get("/small.txt").status(), 200);
        }
        assert_eq!(slow.answer().content, pattern(8_000_000));
        assert_eq!(slow.answer().content, pattern(8_000_000));
    }
}

#[test]
fn a_client_that_closes_its_side_gets_all_answers() {
    let site = site();
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        for request in ["/small.txt", "/large.bin"] {
            let mut client = server.connect();
            client.send(format!("GET {request} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(3));
            client.stream.shutdown(std::net::Shutdown::Write).unwrap();
            for _ in 0..3 {
                assert_eq!(client.answer().status(), 200);
            }
            assert!(client.is_closed(), "{kind}: {request}");
        }
    }
}

/// What was promised cannot be kept: the connection ends at once, not after a time-out.
#[test]
fn a_file_that_is_cut_short_while_it_is_sent() {
    for kind in backends() {
        let site = site();
        let limits = Limits { stall: Duration::from_secs(600), ..Limits::default() };
        let server = Running::new(kind, Some(site.path()), limits);
        let mut client = server.connect();
        client.send("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut bytes = client.read();
        let file = fs::File::options().write(true).open(site.path().join("large.bin")).unwrap();
        file.set_len(1000).unwrap();
        while let read @ 1.. = client.read() {
            bytes += read;
        }
        assert!(bytes < 8_000_000, "{kind}: {bytes}");
    }
}

/// Clients that leave in the middle of everything.
#[test]
fn clients_that_go() {
    let site = site();
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        for bytes in [
            "",
            "GET /sm",
            "GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
            "rubbish\r\n\r\n",
        ] {
            for reset in [false, true] {
                let mut client = server.connect();
                client.send(bytes);
                if reset {
                    let linger = Some(Duration::ZERO);
                    rustix::net::sockopt::set_socket_linger(&client.stream, linger).unwrap();
                }
            }
        }
        assert_eq!(server.connect().get("/small.txt").status(), 200);
        assert_eq!(server.stop().0.accepted, 11, "{kind}");
    }
}

#[test]
fn the_last_answer_is_not_lost_to_a_reset() {
    for kind in backends() {
        let server = Running::new(kind, None, Limits::default());
        for _ in 0..50 {
            let mut client = server.connect();
            // More than the server wants, of which it reads only a part before it answers.
            let body = "x".repeat(200_000);
            client.send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n{body}"
            ));
            assert_eq!(client.answer().status(), 413);
            client.stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(client.is_closed(), "{kind}");
        }
    }
}

#[test]
fn the_page_and_its_counters() {
    for kind in backends() {
        let server = Running::new(kind, None, Limits::default());
        let mut client = server.connect();
        let page = client.get("/");
        assert!(String::from_utf8(page.content).unwrap().contains("<title>ukevent</title>"));
        let counters = String::from_utf8(client.get("/counters.json").content).unwrap();
        assert!(counters.contains("\"open\":1,"), "{counters}");
        assert!(counters.contains("\"requests\":2,"), "{counters}");
        assert!(!counters.contains("\"batches\":0,"), "{counters}");
    }
}

/// Everything that one wait brings at a time, and more than is read at a time.
#[test]
fn a_batch_larger_than_the_arena() {
    for kind in backends() {
        run(kind, async {
            let builder = Server::builder().listen("127.0.0.1:0".parse().unwrap());
            let mut server = builder.start().unwrap();
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(10_000));
            let address = server.addresses()[0];
            let mut clients: Vec<_> =
                (0..50).map(|_| Client::over(TcpStream::connect(address).unwrap())).collect();
            for client in &mut clients {
                // Two and a half heads: what is left over must not get lost either.
                client.send([&head[..], &head, &head[..5000]].concat());
            }
            let stopper = server.stopper();
            let clients = std::thread::spawn(move || {
                for client in &mut clients {
                    assert_eq!((client.answer().status(), client.answer().status()), (200, 200));
                }
                for client in &mut clients {
                    client.send(&head[5000..]);
                    assert_eq!(client.answer().status(), 200);
                }
                drop(clients);
                stopper.stop();
            });
            server.run().await.unwrap();
            clients.join().unwrap();
            assert_eq!(server.counters().requests, 150, "{kind}");
        });
    }
}

/// A file that is kept at hand is served changed at the very next request, however it changed.
#[test]
fn a_kept_file_is_served_changed() {
    let site = site();
    let path = site.path().join("small.txt");
    // What changed a moment ago is not kept.
    std::thread::sleep(Duration::from_millis(3100));
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        let mut client = server.connect();
        let before = client.get("/small.txt");
        assert!(before.field("ETag").unwrap().starts_with('"'), "{before:?}");
        let other = site.path().join("other");
        fs::write(&other, format!("{kind}")).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(client.get("/small.txt").content, format!("{kind}").as_bytes());
        fs::remove_file(&path).unwrap();
        assert_eq!(client.get("/small.txt").status(), 404);
        fs::write(&path, pattern(3931)).unwrap();
        assert_eq!(client.get("/small.txt").content, pattern(3931));
        std::thread::sleep(Duration::from_millis(3100));
    }
}

/// A change is served at once, whether the file was kept or not.
#[test]
fn a_changed_file_is_served_changed() {
    let _count = testkit::count_descriptors();
    let site = site();
    let path = site.path().join("small.txt");
    let server = Running::new(BackendKind::Epoll, Some(site.path()), Limits::default());
    let mut client = server.connect();
    for round in 0..200 {
        let content = format!("round {round}");
        fs::write(&path, &content).unwrap();
        assert_eq!(client.get("/small.txt").content, content.as_bytes());
    }
}

#[test]
fn several_listeners_and_shared_ports() {
    for kind in backends() {
        run(kind, async {
            let free = "127.0.0.1:0".parse().unwrap();
            let six = "[::1]:0".parse().unwrap();
            let builder = Server::builder().listen(free).listen(six).share_port();
            let mut server = builder.start().unwrap();
            let addresses = server.addresses().to_vec();
            let stopper = server.stopper();
            let other = Server::builder().listen(addresses[0]).share_port().start().unwrap();
            assert_eq!(other.addresses(), &addresses[..1]);
            drop(other);
            // A ring lets go of it with the next look.
            look().await;
            let client = std::thread::spawn(move || {
                for address in addresses {
                    let answer = whole_answer(address);
                    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
                }
                stopper.stop();
            });
            server.run().await.unwrap();
            client.join().unwrap();
        });
    }
}

fn whole_answer(address: SocketAddr) -> String {
    let mut answer = String::new();
    let mut stream = TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").unwrap();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Tasks of the program run beside it.
#[test]
fn beside_tasks_of_the_program() {
    for kind in backends() {
        run(kind, async {
            let builder = Server::builder().listen("127.0.0.1:0".parse().unwrap());
            let mut server = builder.start().unwrap();
            let (address, stopper) = (server.addresses()[0], server.stopper());
            let ticks = spawn(async move {
                let mut beats = interval(Duration::from_millis(1)).unwrap();
                beats.tick().await
            });
            let client = std::thread::spawn(move || {
                let answer = whole_answer(address);
                stopper.stop();
                answer
            });
            server.run().await.unwrap();
            assert!(client.join().unwrap().starts_with("HTTP/1.1 200 OK"));
            assert!(ticks.await.unwrap() > 0);
        });
    }
}

#[test]
fn what_cannot_be_started_leaves_nothing_behind() {
    let _count = testkit::count_descriptors();
    let taken = Arc::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    run(BackendKind::Epoll, async {
        let free = "127.0.0.1:0".parse().unwrap();
        let builder = Server::builder().listen(free).listen(taken.local_addr().unwrap());
        let error = builder.start().unwrap_err();
        assert!(matches!(error, StartError::Listen { .. }));
        assert!(error.to_string().contains("bind: Address already in use"), "{error}");
        let error = Server::builder().root("/nowhere").start().unwrap_err();
        assert_eq!(error.to_string(), "/nowhere: open: No such file or directory (os error 2)");
    });
}
