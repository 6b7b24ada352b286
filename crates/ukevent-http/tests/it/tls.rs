//! TLS: what well-behaved clients get, and what others cannot do.

use crate::client::{Answer, Running, backends, read};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};
use testkit::alone;
use ukevent_http::{Builder, Certificate, Limits, Server};
use ukevent_queue::BackendKind;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(600);

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Leaf {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "the authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = authority.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(authority, key), pem }
    }

    pub(crate) fn sign(&self) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        Leaf { chain: leaf.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts it.
    pub(crate) fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        Arc::new(self.builder(version).with_no_client_auth())
    }

    fn builder(
        &self,
        version: &'static SupportedProtocolVersion,
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
    }
}

/// A root with files, and a certificate beside it.
struct Site {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        fs::create_dir(folder.path().join("www")).unwrap();
        fs::write(folder.path().join("www/small.txt"), pattern(3931)).unwrap();
        fs::write(folder.path().join("www/large.bin"), pattern(8_000_000)).unwrap();
        fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        let leaf = authority.sign();
        fs::write(folder.path().join("chain.pem"), leaf.chain).unwrap();
        fs::write(folder.path().join("key.pem"), leaf.key).unwrap();
        Self { folder, authority }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn builder(&self) -> Builder {
        let files = Certificate { chain: self.path("chain.pem"), key: self.path("key.pem") };
        Server::builder()
            .root(self.path("www"))
            .listen_tls("127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap())
            .certificate(files)
    }

    fn serve(&self, kind: BackendKind, limits: Limits) -> Running {
        Running::with(kind, self.builder().limits(limits))
    }

    fn client(&self) -> Arc<ClientConfig> {
        self.authority.client(&TLS13)
    }

    /// A client of each version.
    fn clients(&self) -> [Arc<ClientConfig>; 2] {
        [self.authority.client(&TLS12), self.authority.client(&TLS13)]
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// A client's connection.
pub(crate) struct Secure {
    pub(crate) tls: StreamOwned<ClientConnection, TcpStream>,
    rest: Vec<u8>,
}

impl Secure {
    /// The handshake is made.
    pub(crate) fn connect(server: &Running, config: &Arc<ClientConfig>) -> Self {
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_nodelay(true).unwrap();
        // Only so that a failure is not for ever.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut tls = StreamOwned::new(session, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).unwrap();
        }
        Self { tls, rest: Vec::new() }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tls.write_all(bytes.as_ref()).unwrap();
        self.tls.flush().unwrap();
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let end = loop {
            match self.rest.windows(4).position(|end| end == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => assert!(self.read() > 0, "an end where an answer was due"),
            }
        };
        let head = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        let answer = Answer { head, content: Vec::new() };
        let len = answer.field("Content-Length").map_or(0, |len| len.parse().unwrap());
        while self.rest.len() < len {
            assert!(self.read() > 0, "an end within an answer");
        }
        Answer { content: self.rest.drain(..len).collect(), ..answer }
    }

    fn read(&mut self) -> usize {
        let mut buffer = [0; 65536];
        let bytes = self.tls.read(&mut buffer).unwrap();
        self.rest.extend_from_slice(&buffer[..bytes]);
        bytes
    }

    /// Whether the server has said that nothing more comes, and nothing but that is left to read. An end
    /// without that word is an error of the client's.
    fn is_told_of_the_end(&mut self) -> bool {
        assert!(self.rest.is_empty(), "{:?} came", String::from_utf8_lossy(&self.rest));
        matches!(self.tls.read(&mut [0]), Ok(0))
    }
}

/// The first flight of a client.
fn hello(site: &Site) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(site.client(), name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    hello
}

/// All that comes until the end; that the other side resets the connection is one, too.
fn raw_rest(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match read(stream, &mut buffer) {
            Ok(0) => return all,
            Ok(bytes) => all.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("{error}"),
        }
    }
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn curl() {
    let site = Site::new();
    for kind in backends() {
        let server = site.serve(kind, Limits::default());
        let url = |path: &str| format!("https://localhost:{}{path}", server.address.port());
        for versions in [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]] {
            let mut command = Command::new("curl");
            command.args(["-sS", "-4", "--cacert"]).arg(site.path("ca.pem")).args(versions);
            command.args(["-w", "%{http_version} %{http_code} %{num_connects} "]);
            let names = ["one", "two", "three"];
            for (name, path) in names.iter().zip(["/small.txt", "/large.bin", "/nothing"]) {
                command.arg("-o").arg(site.path(name)).arg(url(path));
            }
            let said = output(&mut command);
            let errors = String::from_utf8_lossy(&said.stderr);
            assert_eq!(said.stdout, *b"1.1 200 1 1.1 200 0 1.1 404 0 ", "{kind}: {errors}");
            assert_eq!(fs::read(site.path("one")).unwrap(), pattern(3931));
            assert!(fs::read(site.path("two")).unwrap() == pattern(8_000_000), "{kind}");
            let mut command = Command::new("curl");
            command.args(["-sS", "-4", "--cacert"]).arg(site.path("ca.pem")).args(versions);
            let part = output(command.args(["-r", "70001-7000000"]).arg(url("/large.bin")));
            assert!(part.stdout == pattern(8_000_000)[70_001..=7_000_000], "{kind}");
        }
    }
}

fn s_client(server: &Running, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &server.address.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat()
}

#[test]
fn openssl() {
    let site = Site::new();
    for kind in backends() {
        let server = site.serve(kind, Limits::default());
        let said = s_client(&server, &["-alpn", "h2"], "");
        assert!(said.contains("alert number 120"), "{kind}: {said}");
        let said = s_client(&server, &["-alpn", "h2,http/1.1"], "");
        assert!(said.contains("ALPN protocol: http/1.1"), "{kind}: {said}");
        assert!(said.contains("No client certificate CA names sent"), "{kind}: {said}");
        for version in ["-tls1", "-tls1_1"] {
            let said = s_client(&server, &[version, "-cipher", "ALL:@SECLEVEL=0"], "");
            assert!(said.contains("SSL alert number"), "{kind}: {said}");
            assert!(said.contains("Cipher is (NONE)"), "{kind}: {said}");
        }
        let said = s_client(&server, &["-tls1_2", "-reconnect"], "");
        assert_eq!(said.matches("Reused, TLSv1.2").count(), 5, "{kind}: {said}");
        // A line that begins with R asks for a new handshake.
        let said = s_client(&server, &["-tls1_2"], "R\n");
        assert!(said.contains("no renegotiation"), "{kind}: {said}");
        let mut client = Secure::connect(&server, &site.client());
        assert_eq!(client.get("/small.txt").status(), 200);
    }
}

#[test]
fn sessions_are_taken_up_again() {
    let site = Site::new();
    for kind in backends() {
        let server = site.serve(kind, Limits::default());
        for config in site.clients() {
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let mut client = Secure::connect(&server, &config);
                assert_eq!(client.get("/small.txt").status(), 200);
                kinds.extend(client.tls.conn.handshake_kind());
            }
            assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed], "{kind}");
        }
    }
}

#[test]
fn a_client_certificate_is_not_asked_for() {
    let site = Site::new();
    let leaf = site.authority.sign();
    for kind in backends() {
        let server = site.serve(kind, Limits::default());
        let chain = vec![CertificateDer::from_pem_slice(leaf.chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
        let config = site.authority.builder(&TLS13).with_client_auth_cert(chain, key).unwrap();
        let mut client = Secure::connect(&server, &Arc::new(config));
        assert_eq!(client.get("/small.txt").status(), 200, "{kind}");
    }
}

#[test]
fn requests_in_one_record_and_in_many() {
    let site = Site::new();
    for kind in backends() {
        let server = site.serve(kind, Limits::default());
        for config in site.clients() {
            let mut client = Secure::connect(&server, &config);
            let request = "GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n";
            // A full record, and more than what is received at a time.
            let many = request.repeat(16_384 / request.len());
            for _ in 0..3 {
                client.send(&many);
                for _ in 0..many.len() / request.len() {
                    assert_eq!(client.answer().content, pattern(3931), "{kind}");
                }
            }
            for byte in b"POST /small.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" {
                client.send([*byte]);
            }
            assert_eq!(client.answer().status(), 405);
            let large = "GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n";
            client.send([large, request, large].concat());
            assert!(client.answer().content == pattern(8_000_000), "{kind}");
            assert_eq!(client.answer().content, pattern(3931));
            assert!(client.answer().content == pattern(8_000_000), "{kind}");
        }
    }
}

/// The alert is there, the connection is closed, and nobody else notices.
#[test]
fn no_tls() {
    let site = Site::new();
    for kind in backends() {
        let server = site.serve(kind, Limits { head: LONG, ..Limits::default() });
        let mut other = Secure::connect(&server, &site.client());
        let http = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        let (zeros, other_version) = (vec![0; 300_000], b"\x16\x09\x09\x00\x05hello".to_vec());
        for bytes in [http, zeros, other_version] {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(&bytes).unwrap();
            let said = raw_rest(&mut stream);
            assert_eq!((said.len(), &said[..2]), (7, &[21, 3][..]), "{kind}: {said:?}");
            assert_eq!(said[5], 2, "a fatal alert");
            assert_eq!(other.get("/small.txt").status(), 200);
        }
        let mut rng = testkit::Rng::new(testkit::seed());
        let hello = hello(&site);
        for _ in 0..200 {
            // A hello with one byte changed.
            let mut bytes = hello.clone();
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 + rng.below(255) as u8;
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            raw_rest(&mut stream);
        }
        assert_eq!(other.get("/small.txt").status(), 200);
        drop(other);
        let (counters, _) = server.stop();
        assert_eq!((counters.requests, counters.open), (4, 0), "{kind}");
    }
}

/// An error after the handshake: records that cannot be opened.
#[test]
fn a_record_that_was_changed() {
    let site = Site::new();
    for kind in backends() {
        let server = site.serve(kind, Limits::default());
        for config in site.clients() {
            let mut client = Secure::connect(&server, &config);
            assert_eq!(client.get("/small.txt").status(), 200);
            client.tls.sock.write_all(b"\x17\x03\x03\x00\x20").unwrap();
            client.tls.sock.write_all(&[7; 32]).unwrap();
            let mut all = Vec::new();
            let error = client.tls.read_to_end(&mut all).unwrap_err();
            assert!(error.to_string().contains("BadRecordMac"), "{kind}: {error}");
        }
        assert_eq!(server.stop().0.requests, 2);
    }
}

#[test]
fn a_hello_that_is_cut() {
    let site = Site::new();
    let hello = hello(&site);
    for kind in backends() {
        let server = site.serve(kind, Limits { head: LONG, ..Limits::default() });
        for bytes in 0..=hello.len() {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(&hello[..bytes]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let said = raw_rest(&mut stream);
            assert_eq!(said.is_empty(), bytes < hello.len(), "{kind}: {bytes}: {said:?}");
        }
        let (counters, _) = server.stop();
        assert_eq!((counters.requests, counters.open), (0, 0), "{kind}");
    }
}

/// Time that is spent on the handshake is the first request's.
#[test]
fn a_handshake_that_drips() {
    let site = Site::new();
    let hello = hello(&site);
    for kind in backends() {
        let server = site.serve(kind, Limits { head: SHORT, ..Limits::default() });
        let mut stream = TcpStream::connect(server.address).unwrap();
        let mut bytes = hello[..hello.len() - 1].iter();
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        loop {
            if let Some(byte) = bytes.next()
                && stream.write_all(&[*byte]).is_err()
            {
                break;
            }
            match stream.read(&mut [0; 100]) {
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                _ => {}
            }
        }
        // One that says nothing at all.
        let mut silent = TcpStream::connect(server.address).unwrap();
        assert!(raw_rest(&mut silent).is_empty());
        // And one that does not ask. Where all is slow, its handshake may take as long as it may take at all.
        let is_told = || Secure::connect(&server, &site.client()).is_told_of_the_end();
        assert!((0..20).any(|_| is_told()), "{kind}");
    }
}

/// The stream of the kernel's ends, and the session does not: what was asked whole is answered.
#[test]
fn a_request_that_is_cut() {
    let site = Site::new();
    for kind in backends() {
        let server = site.serve(kind, Limits { head: LONG, ..Limits::default() });
        for config in site.clients() {
            let request = b"GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n";
            for bytes in [1, 20, request.len() - 1] {
                let mut client = Secure::connect(&server, &config);
                client.send(&request[..bytes]);
                client.tls.sock.shutdown(Shutdown::Write).unwrap();
                assert!(client.is_told_of_the_end(), "{kind}: {bytes}");
            }
            let mut client = Secure::connect(&server, &config);
            client.send(request);
            client.tls.sock.shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.answer().status(), 200, "{kind}");
            assert!(client.is_told_of_the_end(), "{kind}");
        }
        assert_eq!(server.stop().0.requests, 2, "{kind}");
    }
}

/// What follows the client's last word is ignored, as much as it may be.
#[test]
fn more_behind_the_end() {
    let site = Site::new();
    for kind in backends() {
        let server = site.serve(kind, Limits { idle: LONG, ..Limits::default() });
        for config in site.clients() {
            let mut client = Secure::connect(&server, &config);
            client.tls.write_all(b"GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            client.tls.conn.send_close_notify();
            let mut records = Vec::new();
            while client.tls.conn.wants_write() {
                client.tls.conn.write_tls(&mut records).unwrap();
            }
            records.extend([7; 50_000]);
            client.tls.sock.write_all(&records).unwrap();
            assert_eq!(client.answer().status(), 200, "{kind}");
        }
        assert_eq!(server.stop().0.requests, 2, "{kind}");
    }
}

/// However the server comes to close, the client can tell it from an answer that was cut off.
#[test]
fn the_end_is_told() {
    let site = Site::new();
    for kind in backends() {
        for config in site.clients() {
            let server =
                site.serve(kind, Limits { idle: SHORT, linger: LONG, ..Limits::default() });
            for (request, status) in [
                ("GET /small.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
                ("GET /small.txt HTTP/1.0\r\n\r\n", 200),
                ("GET /large.bin HTTP/1.0\r\n\r\n", 200),
                ("GET /small.txt HTTP/1.1\r\n\r\n", 400),
                // It rests for too long.
                ("GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            ] {
                let mut client = Secure::connect(&server, &config);
                client.send(request);
                assert_eq!(client.answer().status(), status, "{kind}");
                assert!(client.is_told_of_the_end(), "{kind}: {request}");
            }
        }
    }
}

/// A file that has become shorter than was announced: the end must not look like one.
#[test]
fn an_answer_that_is_cut_does_not_look_whole() {
    let site = Site::new();
    for kind in backends() {
        for config in site.clients() {
            let file = fs::File::create(site.path("www/shrinks")).unwrap();
            file.set_len(50_000_000).unwrap();
            let server = site.serve(kind, Limits::default());
            let mut client = Secure::connect(&server, &config);
            client.send("GET /shrinks HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(client.read() > 0);
            file.set_len(0).unwrap();
            let error = client.tls.read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{kind}: {error}");
        }
    }
}

#[test]
fn a_peer_that_takes_nothing() {
    let site = Site::new();
    fs::File::create(site.path("www/huge")).unwrap().set_len(100_000_000).unwrap();
    for kind in backends() {
        let builder = site.builder().limits(Limits { stall: SHORT, ..Limits::default() });
        let (server, counters) = Running::observed(kind, builder);
        let mut client = Secure::connect(&server, &site.client());
        client.send("GET /huge HTTP/1.1\r\nHost: a\r\n\r\n");
        testkit::wait_until("the server gives the client up", || {
            counters.lock().unwrap().timed_out == 1
        });
        // What it finds when it reads at last does not look whole.
        let mut all = Vec::new();
        let error = client.tls.read_to_end(&mut all).unwrap_err();
        let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()) && all.len() < 100_000_000, "{kind}: {error}");
    }
}

#[test]
fn one_too_many() {
    let site = Site::new();
    for kind in backends() {
        let limits = Limits { connections: 1, head: 5 * SHORT, ..Limits::default() };
        let server = site.serve(kind, limits);
        let mut first = Secure::connect(&server, &site.client());
        assert_eq!(first.get("/small.txt").status(), 200);
        for config in site.clients() {
            let mut second = Secure::connect(&server, &config);
            assert_eq!(second.answer().status(), 503, "{kind}");
            assert!(second.is_told_of_the_end(), "{kind}");
        }
        // More than may be on their way out, and none of them says a word: they are left.
        let mut silent: Vec<_> =
            (0..100).map(|_| TcpStream::connect(server.address).unwrap()).collect();
        for stream in &mut silent {
            assert!(raw_rest(stream).is_empty(), "{kind}");
        }
        assert_eq!(first.get("/small.txt").status(), 200);
        drop(first);
        assert_eq!(server.stop().0.refused, 102, "{kind}");
    }
}

#[test]
fn the_end_of_the_server() {
    let site = Site::new();
    for kind in backends() {
        for config in site.clients() {
            let limits = Limits { grace: LONG, idle: LONG, head: LONG, ..Limits::default() };
            let server = site.serve(kind, limits);
            let mut idle = Secure::connect(&server, &config);
            assert_eq!(idle.get("/small.txt").status(), 200);
            let mut shy = Secure::connect(&server, &config);
            let mut busy = Secure::connect(&server, &config);
            busy.send("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(busy.read() > 0);
            // In the midst of its handshake.
            let mut begun = TcpStream::connect(server.address).unwrap();
            begun.write_all(&hello(&site)[..100]).unwrap();
            server.stopper.stop();
            assert!(idle.is_told_of_the_end(), "{kind}");
            assert!(shy.is_told_of_the_end(), "{kind}");
            assert!(raw_rest(&mut begun).is_empty());
            assert!(busy.answer().content == pattern(8_000_000), "{kind}");
            assert!(busy.is_told_of_the_end(), "{kind}");
            drop(busy);
            server.ended();
        }
    }
}

/// A large file passes through in pieces.
#[test]
fn memory_of_a_large_file() {
    alone(|| {
        let site = Site::new();
        let file = fs::File::create(site.path("www/huge")).unwrap();
        file.set_len(300_000_000).unwrap();
        for kind in backends() {
            let server = site.serve(kind, Limits::default());
            let mut client = Secure::connect(&server, &site.client());
            assert_eq!(client.get("/large.bin").content.len(), 8_000_000);
            let before = resident_bytes();
            client.send("GET /huge HTTP/1.1\r\nHost: a\r\n\r\n");
            let (mut buffer, mut left) = (vec![0; 65536], 300_000_000_usize);
            while left > 0 {
                left = left.saturating_sub(client.tls.read(&mut buffer).unwrap());
            }
            let more = resident_bytes().saturating_sub(before);
            assert!(more < 4 << 20, "{kind}: {more} bytes more");
        }
    });
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
