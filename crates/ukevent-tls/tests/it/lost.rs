//! Sends that fail: a session is over by that, and nothing leaves behind the gap.

use crate::sides::{Site, VERSIONS, both, on_all, pattern};
use std::{
    future::poll_fn,
    io::{self, ErrorKind},
};
use ukevent_queue::Operation;
use ukevent_task::{net::UnixStream, perform};
use ukevent_tls::{TlsStream, rustls::ServerConnection};

/// More than a descriptor may have outgoing, so that nothing else is begun behind it.
const MUCH: usize = 2 << 20;

/// Makes a handshake on a plain stream, which then shows what comes as it is.
async fn greet(session: &mut ServerConnection, stream: &mut UnixStream) {
    while session.is_handshaking() {
        let came = stream.receive().await.unwrap();
        let mut rest = &came[..];
        while !rest.is_empty() {
            session.read_tls(&mut rest).unwrap();
            session.process_new_packets().unwrap();
        }
        let mut records = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut records).unwrap();
        }
        stream.send(records).await.unwrap();
    }
}

async fn flush(stream: &mut TlsStream) -> io::Result<()> {
    poll_fn(|cx| stream.poll_flush(cx)).await
}

#[test]
fn nothing_leaves_behind_a_gap() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (ours, mut peer) = UnixStream::pair().unwrap();
            let name = "localhost".try_into().unwrap();
            let client = TlsStream::client(ours.into_split(), site.client(version), name);
            let (mut client, mut session) =
                (client.unwrap(), ServerConnection::new(site.server()).unwrap());
            let greets = async {
                client.handshake().await.unwrap();
                flush(&mut client).await.unwrap();
            };
            both(greets, greet(&mut session, &mut peer)).await;

            // Somebody else has taken all the room that there is: the first record is refused.
            let others = perform(Operation::send(client.registered().key(), vec![7_u8; MUCH]));
            client.start(b"first").unwrap();
            client.start(b"second").unwrap();
            let error = flush(&mut client).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{version:?}: {error}");
            let takes = async {
                let mut left = MUCH;
                while left > 0 {
                    let came = peer.receive().await.unwrap();
                    assert!(!came.is_empty() && came.iter().all(|&byte| byte == 7));
                    left -= came.len();
                }
            };
            both(async { others.await.unwrap().result.unwrap() }, takes).await;

            // There is room again, but for nobody here. All say why.
            let told = error.to_string();
            let same = |error: io::Error| {
                assert_eq!(
                    (error.kind(), error.to_string()),
                    (ErrorKind::WouldBlock, told.clone())
                );
            };
            same(flush(&mut client).await.unwrap_err());
            same(client.start(b"third").unwrap_err());
            same(client.send(b"third".to_vec()).await.unwrap_err());
            same(client.receive().await.unwrap_err());
            same(client.shutdown().await.unwrap_err());
            drop(client);
            let came = peer.receive().await.unwrap();
            assert!(came.is_empty(), "{version:?}: {} bytes came behind the gap", came.len());
        }
    });
}

/// What came by then is received all the same.
#[test]
fn what_came_before_a_send_failed() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.greeted(version).await;
            server.send(b"last words".to_vec()).await.unwrap();
            drop(server);
            let error = loop {
                if let Err(error) = client.send(pattern(100_000)).await {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{version:?}: {error}");
            let error = client.send(b"more".to_vec()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{version:?}: {error}");
            let error = client.start(b"more").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{version:?}: {error}");
            assert_eq!(&client.receive().await.unwrap()[..], b"last words", "{version:?}");
        }
    });
}

/// What the docs say of a stream whose sending side is closed, and of one that was drained.
#[test]
fn after_the_last_word() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.greeted(version).await;
            client.shutdown().await.unwrap();
            assert!(server.receive().await.unwrap().is_empty());
            // Who was told of an end may answer yet.
            server.send(b"answer".to_vec()).await.unwrap();
            assert_eq!(&client.receive().await.unwrap()[..], b"answer");
            let error = client.send(b"more".to_vec()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{version:?}: {error}");

            let (mut client, mut server) = site.greeted(version).await;
            client.send(b"not wanted".to_vec()).await.unwrap();
            drop(client);
            assert!(server.drain(1 << 20).await);
            assert!(server.receive().await.unwrap().is_empty(), "and no word of a cut");
        }
    });
}
