//! Two sides of a session, and what they need.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};
use ukevent_queue::{BackendKind, Builder};
use ukevent_task::{
    Runtime, look,
    net::{TcpListener, TcpStream, UnixStream},
};
use ukevent_tls::{
    TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
        crypto::ring::{Ticketer, default_provider},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        version::{TLS12, TLS13},
    },
};

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Runs this on each backend. Nothing may be left on the queue.
pub(crate) fn on_all<F: Future<Output = ()>>(body: impl Fn() -> F) {
    for kind in BackendKind::REAL {
        let queue = match Builder::new().backend(kind).build() {
            Ok(queue) => queue,
            Err(error) => {
                testkit::skip(error);
                continue;
            }
        };
        let mut runtime = Runtime::with(queue);
        runtime.block_on(body()).unwrap();
        let queue = runtime.into_queue().expect("nothing is left that uses the queue");
        assert_eq!(queue.counters().registered, 0, "{kind}: something was left on the queue");
    }
}

/// Who signs a certificate for `localhost`, that certificate, and its key: in PEM.
pub(crate) struct Site {
    pub(crate) ca: String,
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "the authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let chain = leaf.signed_by(&key, &issuer).unwrap().pem();
        Self { ca, chain, key: key.serialize_pem() }
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let chain = vec![CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.ticketer = Ticketer::new().unwrap();
        Arc::new(config)
    }

    pub(crate) fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(default_provider().into())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// Client and server over a Unix socket, before the handshake.
    pub(crate) fn pair(
        &self,
        version: &'static SupportedProtocolVersion,
    ) -> (TlsStream, TlsStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let name = "localhost".try_into().unwrap();
        let client = TlsStream::client(ours.into_split(), self.client(version), name).unwrap();
        (client, TlsStream::server(theirs.into_split(), self.server()).unwrap())
    }

    /// The same over TCP.
    pub(crate) async fn tcp_pair(
        &self,
        version: &'static SupportedProtocolVersion,
    ) -> (TlsStream, TlsStream) {
        let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let ours = TcpStream::connect(listener.address().unwrap()).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        let name = "localhost".try_into().unwrap();
        let client = TlsStream::client(ours.into_split(), self.client(version), name).unwrap();
        (client, TlsStream::server(theirs.into_split(), self.server()).unwrap())
    }

    /// A pair that has made its handshake, and of which nothing is on its way.
    pub(crate) async fn greeted(
        &self,
        version: &'static SupportedProtocolVersion,
    ) -> (TlsStream, TlsStream) {
        let (mut client, mut server) = self.pair(version);
        both(
            async {
                client.handshake().await.unwrap();
                client.send(b"?".to_vec()).await.unwrap();
                assert_eq!(&client.receive().await.unwrap()[..], b"!");
            },
            async {
                assert_eq!(&server.receive().await.unwrap()[..], b"?");
                server.send(b"!".to_vec()).await.unwrap();
            },
        )
        .await;
        (client, server)
    }
}

pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// Does both at a time.
pub(crate) async fn both<A, B>(
    one: impl Future<Output = A>,
    other: impl Future<Output = B>,
) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(done) = one.as_mut().poll(cx)
        {
            first = Some(done);
        }
        if second.is_none()
            && let Poll::Ready(done) = other.as_mut().poll(cx)
        {
            second = Some(done);
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.unwrap(), second.unwrap())
}

/// Polls it once, and drops it.
pub(crate) async fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    match polled {
        Poll::Ready(done) => Some(done),
        Poll::Pending => {
            look().await;
            None
        }
    }
}

/// All until the end.
pub(crate) async fn all(stream: &mut TlsStream) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let bytes = stream.receive().await.unwrap();
        if bytes.is_empty() {
            return all;
        }
        all.extend_from_slice(&bytes);
    }
}
