//! An end that was told, and one that was not.

use crate::sides::{Site, VERSIONS, all, both, on_all, once, pattern};
use rustix::net::{Shutdown, shutdown};
use std::{io::ErrorKind, os::fd::OwnedFd};
use ukevent_task::look;
use ukevent_tls::TlsStream;

/// Ends the plain stream below it, as a network or a crash would.
fn cut(stream: &TlsStream) {
    stream.registered().with(|socket: &OwnedFd| shutdown(socket, Shutdown::Both).unwrap()).unwrap();
}

#[test]
fn half_closed() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.pair(version);
            let asks = async {
                client.send(b"question".to_vec()).await.unwrap();
                client.shutdown().await.unwrap();
                all(&mut client).await
            };
            let answers = async {
                assert_eq!(all(&mut server).await, b"question");
                server.send(pattern(1_000_000)).await.unwrap();
                server.shutdown().await.unwrap();
            };
            let (came, ()) = both(asks, answers).await;
            assert!(came == pattern(1_000_000), "{version:?}");
        }
    });
}

#[test]
fn cut_off() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.greeted(version).await;
            server.send(b"half of i".to_vec()).await.unwrap();
            cut(&server);
            assert_eq!(&client.receive().await.unwrap()[..], b"half of i");
            for _ in 0..2 {
                let error = client.receive().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{version:?}: {error}");
            }
        }
    });
}

#[test]
fn cut_off_in_the_handshake() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            for (cuts, remains) in [site.pair(version), {
                let (client, server) = site.pair(version);
                (server, client)
            }] {
                let mut remains = remains;
                cut(&cuts);
                let error = remains.handshake().await.unwrap_err();
                let kinds = [ErrorKind::UnexpectedEof, ErrorKind::BrokenPipe];
                assert!(kinds.contains(&error.kind()), "{version:?}: {error}");
            }
        }
    });
}

#[test]
fn whoever_rests_tells_of_its_end_when_it_is_dropped() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (client, mut server) = site.greeted(version).await;
            drop(client);
            assert!(server.receive().await.unwrap().is_empty(), "{version:?}");
            assert!(server.receive().await.unwrap().is_empty(), "and again");
            let (mut client, server) = site.greeted(version).await;
            drop(server);
            assert!(client.receive().await.unwrap().is_empty(), "{version:?}");
        }
    });
}

/// Also when it has only just greeted, and what TLS says by itself then (tickets) is on its way.
#[test]
fn the_end_of_whoever_said_nothing_is_told() {
    let site = Site::new();
    on_all(async || {
        let (mut client, mut server) = site.pair(VERSIONS[1]);
        while once(client.handshake()).await.is_none() {
            assert!(once(server.handshake()).await.is_none(), "the client has to say a word yet");
        }
        client.send(b"half a reques".to_vec()).await.unwrap();
        let below = |socket: &OwnedFd| shutdown(socket, Shutdown::Write).unwrap();
        client.registered().with(below).unwrap();
        for _ in 0..5 {
            // All of it has come before the server looks.
            look().await;
        }
        assert_eq!(&server.receive().await.unwrap()[..], b"half a reques");
        assert_eq!(server.receive().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        drop(server);
        assert!(client.receive().await.unwrap().is_empty());
        for version in VERSIONS.into_iter().cycle().take(60) {
            let (mut client, mut server) = site.tcp_pair(version).await;
            let leaves = async {
                client.send(b"half a reques".to_vec()).await.unwrap();
                let below = |socket: &OwnedFd| shutdown(socket, Shutdown::Write).unwrap();
                client.registered().with(below).unwrap();
                assert!(client.receive().await.unwrap().is_empty(), "{version:?}");
            };
            let hears = async {
                assert_eq!(&server.receive().await.unwrap()[..], b"half a reques");
                let error = server.receive().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{version:?}");
                drop(server);
            };
            both(leaves, hears).await;
        }
    });
}

/// What was begun and has not left is an end that must not look like one.
#[test]
fn whoever_is_dropped_in_the_middle_does_not() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.greeted(version).await;
            client.start(&pattern(5_000_000)).unwrap();
            let receives = async {
                let mut came = server.receive().await.unwrap().len();
                drop(client);
                loop {
                    match server.receive().await {
                        Ok(bytes) if bytes.is_empty() => panic!("{version:?}: an end at {came}"),
                        Ok(bytes) => came += bytes.len(),
                        Err(error) => return (came, error.kind()),
                    }
                }
            };
            let (came, end) = receives.await;
            assert!(came < 5_000_000, "{version:?}");
            assert_eq!(end, ErrorKind::UnexpectedEof, "{version:?}");
            // Nor does a last word come instead of what was begun.
            let (mut client, mut server) = site.greeted(version).await;
            client.start(b"begun").unwrap();
            drop(client);
            let end = match server.receive().await {
                Ok(bytes) if &bytes[..] == b"begun" => server.receive().await,
                other => other,
            };
            let end = end.unwrap_err();
            assert_eq!(end.kind(), ErrorKind::UnexpectedEof, "{version:?}: {end}");
        }
    });
}

#[test]
fn drained() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.greeted(version).await;
            let drains = async {
                assert!(!server.drain(1000).await, "there is more");
                assert!(server.drain(1 << 20).await, "and then the end");
                assert!(server.receive().await.unwrap().is_empty());
            };
            let sends = async {
                client.send(pattern(100_000)).await.unwrap();
                client.shutdown().await.unwrap();
            };
            both(drains, sends).await;
        }
    });
}
