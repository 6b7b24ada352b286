//! What is sent arrives, both ways, also when calls are dropped on the way.

use crate::sides::{Site, VERSIONS, all, both, on_all, once, pattern};
use std::{fs::File, future::poll_fn, io::ErrorKind};
use ukevent_task::{Registered, net::UnixStream};
use ukevent_tls::{TlsStream, rustls::HandshakeKind};

const MEGABYTE: usize = 1_000_000;

/// Sends a megabyte and receives one at the same time.
async fn exchange(stream: &mut TlsStream, ours: &[u8]) -> Vec<u8> {
    stream.handshake().await.unwrap();
    stream.start(ours).unwrap();
    let mut came = Vec::new();
    while came.len() < MEGABYTE {
        let bytes = stream.receive().await.unwrap();
        assert!(!bytes.is_empty(), "an end after {} bytes", came.len());
        came.extend_from_slice(&bytes);
    }
    poll_fn(|cx| stream.poll_flush(cx)).await.unwrap();
    came
}

#[test]
fn a_megabyte_each_way_at_a_time() {
    let site = Site::new();
    let (to, from) = (pattern(MEGABYTE), pattern(MEGABYTE + 7)[7..].to_vec());
    on_all(async || {
        for version in VERSIONS {
            for (mut client, mut server) in [site.pair(version), site.tcp_pair(version).await] {
                let (at_client, at_server) =
                    both(exchange(&mut client, &to), exchange(&mut server, &from)).await;
                assert!(at_server == to && at_client == from, "{version:?}");
                let known = client.session().protocol_version();
                assert_eq!(known, Some(version.version));
                drop(client);
                assert!(server.receive().await.unwrap().is_empty(), "it is told of the end");
            }
        }
    });
}

#[test]
fn one_after_the_other() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.pair(version);
            let sends = async {
                for length in [0, 1, 16_384, 16_385, 100_000, 0, 3] {
                    client.send(pattern(length)).await.unwrap();
                }
                client.shutdown().await.unwrap();
            };
            let ((), came) = both(sends, all(&mut server)).await;
            let expected: Vec<u8> =
                [1, 16_384, 16_385, 100_000, 3].into_iter().flat_map(pattern).collect();
            assert!(came == expected, "{version:?}");
        }
    });
}

/// Every call is dropped after it was polled once.
#[test]
fn dropped_calls_lose_nothing() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.pair(version);
            let sends = async {
                while once(client.handshake()).await.is_none() {}
                for number in 0..500_u32 {
                    client.send(number.to_be_bytes().repeat(100)).await.unwrap();
                }
                client.shutdown().await.unwrap();
            };
            let receives = async {
                while once(server.handshake()).await.is_none() {}
                let mut came = Vec::new();
                loop {
                    let Some(bytes) = once(server.receive()).await else { continue };
                    let bytes = bytes.unwrap();
                    if bytes.is_empty() {
                        return came;
                    }
                    came.extend_from_slice(&bytes);
                }
            };
            let ((), came) = both(sends, receives).await;
            let expected: Vec<u8> =
                (0..500_u32).flat_map(|number| number.to_be_bytes().repeat(100)).collect();
            assert!(came == expected, "{version:?}: {} of {}", came.len(), expected.len());
        }
    });
}

/// What a dropped call was to send leaves whole, with later calls.
#[test]
fn a_dropped_send_tears_nothing() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.greeted(version).await;
            let sends = async {
                assert!(once(client.send(pattern(MEGABYTE))).await.is_none(), "it waits");
                assert!(once(client.send(b"and more".to_vec())).await.is_none());
                client.shutdown().await.unwrap();
            };
            let ((), came) = both(sends, all(&mut server)).await;
            assert!(came == [&pattern(MEGABYTE)[..], b"and more"].concat(), "{version:?}");
        }
    });
}

#[test]
fn what_waits_is_bounded() {
    let site = Site::new();
    on_all(async || {
        let (mut client, mut server) = site.greeted(VERSIONS[1]).await;
        let (piece, mut taken) = (pattern(300_000), 0);
        let error = loop {
            match client.start(&piece) {
                Ok(()) => taken += piece.len(),
                Err(error) => break error,
            }
            assert!(taken < 10_000_000);
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let ((), came) = both(async { client.shutdown().await.unwrap() }, all(&mut server)).await;
        assert_eq!(came.len(), taken);
    });
}

#[test]
fn a_file() {
    let site = Site::new();
    let tree = testkit::TempTree::new();
    let path = tree.file("large", pattern(MEGABYTE));
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.pair(version);
            let file = Registered::new(File::open(&path).unwrap()).unwrap();
            let sends = async {
                let head = b"head".to_vec();
                let sent = server.send_file(head, &file, 1000, 500_000).await.unwrap();
                assert_eq!(sent, 500_004);
                server.send(b"tail".to_vec()).await.unwrap();
                server.shutdown().await.unwrap();
            };
            let ((), came) = both(sends, all(&mut client)).await;
            let expected = [b"head", &pattern(MEGABYTE)[1000..501_000], b"tail"].concat();
            assert!(came == expected, "{version:?}");
        }
    });
}

/// A file that is shorter than was announced: the end must not look like one.
#[test]
fn a_file_that_is_cut() {
    let site = Site::new();
    let tree = testkit::TempTree::new();
    let path = tree.file("short", pattern(100_000));
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.pair(version);
            let file = Registered::new(File::open(&path).unwrap()).unwrap();
            let sends = async {
                let sent = server.send_file(Vec::new(), &file, 0, 200_000).await.unwrap();
                assert_eq!(sent, 100_000);
                let error = server.send(b"more".to_vec()).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                server.shutdown().await.unwrap();
            };
            let receives = async {
                let mut left = 100_000;
                loop {
                    match client.receive().await {
                        Ok(bytes) => left -= bytes.len(),
                        Err(error) => return (left, error.kind()),
                    }
                }
            };
            let ((), end) = both(sends, receives).await;
            assert_eq!(end, (0, ErrorKind::UnexpectedEof), "{version:?}");
        }
    });
}

#[test]
fn before_the_handshake_only_what_waits_for_it_sends() {
    let site = Site::new();
    on_all(async || {
        let (mut client, mut server) = site.pair(VERSIONS[1]);
        let error = client.start(b"too early").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert!(error.to_string().contains("handshake"), "{error}");
        let hears = async { assert_eq!(&server.receive().await.unwrap()[..], b"in time") };
        both(async { client.send(b"in time".to_vec()).await.unwrap() }, hears).await;
    });
}

#[test]
fn sessions_are_taken_up_again() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (config, server) = (site.client(version), site.server());
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let (ours, theirs) = UnixStream::pair().unwrap();
                let name = "localhost".try_into().unwrap();
                let mut client =
                    TlsStream::client(ours.into_split(), config.clone(), name).unwrap();
                let mut server = TlsStream::server(theirs.into_split(), server.clone()).unwrap();
                let echo = async {
                    let heard = server.receive().await.unwrap();
                    server.send(heard).await.unwrap();
                };
                let asks = async {
                    client.send(b"hello".to_vec()).await.unwrap();
                    assert_eq!(&client.receive().await.unwrap()[..], b"hello");
                };
                both(asks, echo).await;
                kinds.extend(client.session().handshake_kind());
            }
            assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed], "{version:?}");
        }
    });
}
