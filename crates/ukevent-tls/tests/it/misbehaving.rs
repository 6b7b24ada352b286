//! Peers that speak no TLS, or not as agreed.

use crate::sides::{Site, VERSIONS, both, on_all};
use std::{io::ErrorKind, os::fd::OwnedFd};
use ukevent_task::net::UnixStream;
use ukevent_tls::{TlsStream, rustls};

/// All that comes until the end, plain.
async fn rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(bytes) = stream.receive().await
        && !bytes.is_empty()
    {
        all.extend_from_slice(&bytes);
    }
    all
}

#[track_caller]
fn tls_error(error: &std::io::Error) -> rustls::Error {
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    error.get_ref().unwrap().downcast_ref::<rustls::Error>().unwrap().clone()
}

/// It fails, for ever; the peer is told why, in an alert.
async fn fails(mut stream: TlsStream, mut peer: UnixStream, garbage: &[u8], told: bool) {
    peer.send(garbage.to_vec()).await.unwrap();
    let error = stream.handshake().await.unwrap_err();
    tls_error(&error);
    tls_error(&stream.receive().await.unwrap_err());
    tls_error(&stream.send(b"x".to_vec()).await.unwrap_err());
    tls_error(&stream.start(b"x").unwrap_err());
    stream.shutdown().await.unwrap();
    let said = rest(&mut peer).await;
    // Its hello, if it is the client; then the alert.
    let alert = said.get(said.len().wrapping_sub(7)..).unwrap_or(&[]);
    assert_eq!(alert.starts_with(&[21, 3, 3, 0, 2, 2]), told, "{said:?}");
    drop(peer);
    assert!(stream.drain(1 << 20).await);
}

#[test]
fn no_tls() {
    let site = Site::new();
    on_all(async || {
        let garbage: [&[u8]; 3] =
            [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", &[0; 70_000]];
        for bytes in garbage {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let name = "localhost".try_into().unwrap();
            let client = TlsStream::client(ours.into_split(), site.client(VERSIONS[1]), name);
            fails(client.unwrap(), theirs, bytes, true).await;
            let (ours, theirs) = UnixStream::pair().unwrap();
            let server = TlsStream::server(ours.into_split(), site.server());
            fails(server.unwrap(), theirs, bytes, true).await;
        }
        // An alert is not answered.
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = TlsStream::server(ours.into_split(), site.server()).unwrap();
        fails(server, theirs, &[21, 3, 3, 0, 2, 2, 40], false).await;
    });
}

#[test]
fn somebody_else() {
    let (site, other) = (Site::new(), Site::new());
    on_all(async || {
        for version in VERSIONS {
            for (config, name) in
                [(other.client(version), "localhost"), (site.client(version), "elsewhere")]
            {
                let (ours, theirs) = UnixStream::pair().unwrap();
                let name = name.try_into().unwrap();
                let mut client = TlsStream::client(ours.into_split(), config, name).unwrap();
                let mut server = TlsStream::server(theirs.into_split(), site.server()).unwrap();
                let (ours, theirs) = both(client.handshake(), server.handshake()).await;
                let ours = tls_error(&ours.unwrap_err());
                assert!(matches!(ours, rustls::Error::InvalidCertificate(_)), "{ours}");
                let theirs = tls_error(&theirs.unwrap_err());
                assert!(matches!(theirs, rustls::Error::AlertReceived(_)), "{theirs}");
            }
        }
    });
}

/// A record that nobody can open, within a session.
#[test]
fn a_record_that_was_changed() {
    let site = Site::new();
    on_all(async || {
        for version in VERSIONS {
            let (mut client, mut server) = site.greeted(version).await;
            let forged = [&[23, 3, 3, 0, 32][..], &[7; 32]].concat();
            let sent = client.registered().with(|it: &OwnedFd| rustix::io::write(it, &forged));
            assert_eq!(sent, Some(Ok(forged.len())));
            let error = server.receive().await.unwrap_err();
            assert_eq!(tls_error(&error), rustls::Error::DecryptError, "{version:?}");
            drop(server);
            let error = tls_error(&client.receive().await.unwrap_err());
            assert!(matches!(error, rustls::Error::AlertReceived(_)), "{version:?}: {error}");
        }
    });
}
