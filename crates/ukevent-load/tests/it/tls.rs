//! Loads over TLS: what is answered, who is not trusted, and what fails.

use crate::server::{Server, load, plan, request};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tempfile::TempDir;
use ukevent_load::{Arrivals, Class, Load, Mix, Pace, Plan, Request, Target, Trust, TrustError};
use ukevent_task::block_on;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

/// A root in a file, and a server's certificate that it leads to.
struct Site {
    folder: TempDir,
    config: Arc<ServerConfig>,
}

impl Site {
    fn new() -> Self {
        Self::of(&["127.0.0.1", "localhost"])
    }

    fn of(names: &[&str]) -> Self {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "the authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), authority.self_signed(&key).unwrap().pem())
            .unwrap();
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        Self { folder, config: Arc::new(config) }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server that speaks TLS, and gives each session to this.
    fn serve(&self, serve: impl Fn(Session<TcpStream>) + Send + Sync + 'static) -> Server {
        let config = Arc::clone(&self.config);
        Server::of(move |stream| serve(Session::new(&config, stream)))
    }

    fn answering(&self, reply: &'static str) -> Server {
        self.serve(move |mut session| while session.asked() && session.say(reply) {})
    }

    fn plan(&self, server: &Server, requests: u64) -> Plan {
        Plan { trust: Trust::Roots(self.ca()), ..plan(secured(server), requests) }
    }
}

/// A server's side.
struct Session<S: Read + Write>(StreamOwned<ServerConnection, S>);

impl<S: Read + Write> Session<S> {
    fn new(config: &Arc<ServerConfig>, stream: S) -> Self {
        Self(StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream))
    }

    /// Reads a request without a body.
    fn asked(&mut self) -> bool {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return false,
            }
        }
        assert!(head.starts_with(b"GET / HTTP/1.1\r\n"));
        true
    }

    fn say(&mut self, text: &str) -> bool {
        self.0.write_all(text.as_bytes()).and_then(|()| self.0.flush()).is_ok()
    }

    /// Tells of the end, and waits for the client's.
    fn end(mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
        let _ = self.0.read_to_end(&mut Vec::new());
    }
}

fn secured(server: &Server) -> Target {
    format!("https://{}/", server.address).parse().unwrap()
}

fn refused(plan: Plan) -> (TrustError, String) {
    let error = block_on(Load::prepare(plan)).unwrap().unwrap_err();
    let said = error.to_string();
    (*error.into_inner().unwrap().downcast().unwrap(), said)
}

#[test]
fn closed_loops_and_pipelines() {
    let site = Site::new();
    let server = site.answering(OK);
    for (connections, pipeline) in [(1, 1), (1, 16), (7, 5)] {
        let pace = Pace::Closed { connections, pipeline, think: Duration::ZERO };
        let record = load(Plan { pace, ..site.plan(&server, 1000) });
        let what = format!("{connections} by {pipeline}: {:?}", record.errors);
        assert_eq!((record.requests, record.replies), (1000, 1000), "{what}");
        assert_eq!(record.connections.opened, u64::from(connections), "{what}");
        assert_eq!(record.connections.connect.count(), u64::from(connections), "{what}");
        assert_eq!(record.body_bytes, 2000, "{what}");
    }
}

#[test]
fn open_loops() {
    let site = Site::new();
    let server = site.answering(OK);
    let pace = Pace::Open { arrivals: Arrivals::Poisson { rate: 2000.0 }, connections: 20 };
    let record = load(Plan { pace, ..site.plan(&server, 500) });
    assert_eq!((record.requests, record.replies), (500, 500), "{:?}", record.errors);
}

#[test]
fn one_connection_for_each_request() {
    let site = Site::new();
    for tells in [true, false] {
        let server = site.serve(move |mut session| {
            if session.asked() && session.say(LAST) && tells {
                session.end();
            }
        });
        let record = load(Plan { keep_alive: false, ..site.plan(&server, 30) });
        assert_eq!((record.replies, record.connections.opened), (30, 30), "{:?}", record.errors);
        assert_eq!(server.accepted.load(Ordering::Relaxed), 31, "and one before the load");
    }
}

#[test]
fn over_a_unix_socket() {
    let site = Site::new();
    let path = site.folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let config = Arc::clone(&site.config);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut session = Session::new(&config, stream);
            thread::spawn(move || while session.asked() && session.say(OK) {});
        }
    });
    // The URL's host is still whom the certificate is for.
    let target: Target = "https://localhost/".parse().unwrap();
    let trust = Trust::Roots(site.ca());
    let record = load(Plan { trust, ..plan(target.at_socket(&path), 100) });
    assert_eq!(record.replies, 100, "{:?}", record.errors);
    let target: Target = "https://elsewhere/".parse().unwrap();
    let trust = Trust::Roots(site.ca());
    let (error, said) = refused(Plan { trust, ..plan(target.at_socket(path), 1) });
    assert!(matches!(error, TrustError::Certificate { .. }), "{said}");
    assert!(said.contains("elsewhere"), "{said}");
}

#[test]
fn who_is_not_trusted() {
    let (site, other) = (Site::new(), Site::new());
    let server = site.answering(OK);
    for trust in [Trust::Roots(other.ca()), Trust::System] {
        let (error, said) = refused(Plan { trust, ..plan(secured(&server), 1) });
        if matches!(error, TrustError::NoRoots(_)) {
            // A machine without roots of its own trusts nobody either.
            continue;
        }
        let why = "no root that is trusted leads to its certificate";
        assert_eq!(said, format!("{}: {why}", server.address));
    }
    let record = load(Plan { trust: Trust::Anyone, ..plan(secured(&server), 10) });
    assert_eq!(record.replies, 10, "{:?}", record.errors);
    // The right authority, and another name.
    let elsewhere = Site::of(&["elsewhere"]);
    let server = elsewhere.answering(OK);
    let (error, said) = refused(elsewhere.plan(&server, 1));
    assert!(matches!(error, TrustError::Certificate { .. }), "{said}");
    assert!(said.contains("not valid for name"), "{said}");
    let record = load(Plan { trust: Trust::Anyone, ..plan(secured(&server), 10) });
    assert_eq!(record.replies, 10, "{:?}", record.errors);
}

#[test]
fn roots_that_are_none() {
    let site = Site::new();
    let server = site.answering(OK);
    let file = |name: &str, text: &str| {
        let path = site.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    for (path, says) in [
        (site.folder.path().join("none"), "none: No such file or directory"),
        (site.folder.path().to_owned(), ": Is a directory"),
        (file("words", "words"), "words: there is no root certificate in it (PEM: BEGIN CERT"),
        (file("half", "-----BEGIN CERTIFICATE-----\nAAA"), "half: no PEM file: "),
    ] {
        let plan = Plan { trust: Trust::Roots(path), ..plan(secured(&server), 1) };
        let (_, said) = refused(plan);
        assert!(said.contains(says), "{said}");
    }
}

/// A server that speaks HTTP in the clear; and it is told nothing in the clear.
#[test]
fn no_tls() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let server = Server::of(move |mut stream| {
        let mut first = [0];
        let _ = stream.read_exact(&mut first);
        hears.lock().unwrap().push(first[0]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        // It does not close.
        thread::sleep(Duration::from_secs(60));
    });
    let (error, said) = refused(Plan { trust: Trust::Anyone, ..plan(secured(&server), 1) });
    assert!(matches!(error, TrustError::Tls { .. }), "{error:?}");
    assert_eq!(said, format!("{}: what it says is no TLS", server.address));
    assert_eq!(*heard.lock().unwrap(), [22], "the first byte of a handshake");
}

/// After a good beginning handshakes fail, in each way.
#[test]
fn handshakes_that_fail() {
    let site = Site::new();
    let says: [&[u8]; 3] =
        [b"HTTP/1.1 503 Service Unavailable\r\n\r\n", &[21, 3, 3, 0, 2, 2, 40], b""];
    for bytes in says {
        let (count, config) = (AtomicU64::new(0), Arc::clone(&site.config));
        let server = Server::of(move |mut stream| {
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                Session::new(&config, stream).asked();
                return;
            }
            // All of the hello: a socket with unread input would be reset.
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).unwrap();
            let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
            stream.read_exact(&mut vec![0; length]).unwrap();
            stream.write_all(bytes).unwrap();
        });
        let record = load(site.plan(&server, 5));
        assert_eq!((record.replies, record.errors.of(Class::Tls)), (0, 5), "{:?}", record.errors);
        assert_eq!(record.connections.opened, 0);
    }
}

/// Who is connected and gets no handshake has no connection.
#[test]
fn a_handshake_that_hangs() {
    let server = Server::of(|_stream| thread::sleep(Duration::from_secs(60)));
    let connect_timeout = Duration::from_millis(50);
    let plan = Plan { trust: Trust::Anyone, connect_timeout, ..plan(secured(&server), 2) };
    let record = load(plan);
    assert_eq!(record.errors.of(Class::ConnectTimeout), 2, "{:?}", record.errors);
}

/// What ends with the connection is whole only if TLS says so.
#[test]
fn ends_that_are_told_and_cuts() {
    let site = Site::new();
    let until_end = "HTTP/1.1 200 OK\r\n\r\nall there is";
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    for (reply, tells, class) in [
        (until_end, true, None),
        (until_end, false, Some(Class::Cut)),
        (half, true, Some(Class::Cut)),
        (half, false, Some(Class::Cut)),
        ("HTTP/1.1 200", false, Some(Class::Cut)),
        ("", true, Some(Class::Closed)),
        ("", false, Some(Class::Closed)),
    ] {
        let server = site.serve(move |mut session| {
            session.asked();
            session.say(reply);
            if tells {
                session.end();
            }
        });
        let record = load(site.plan(&server, 10));
        let failed = class.map_or(0, |class| record.errors.of(class));
        let expected = if class.is_some() { (0, 10) } else { (10, 0) };
        assert_eq!((record.replies, failed), expected, "{reply:?} {tells} {:?}", record.errors);
    }
}

/// An alert in the middle of a session.
#[test]
fn a_session_that_breaks() {
    let site = Site::new();
    let server = site.serve(|mut session| {
        session.asked();
        session.0.sock.write_all(&[&[23, 3, 3, 0, 32][..], &[7; 32]].concat()).unwrap();
        let _ = session.0.sock.read_to_end(&mut Vec::new());
    });
    let record = load(site.plan(&server, 5));
    assert_eq!(record.errors.of(Class::Tls), 5, "{:?}", record.errors);
}

/// Those who are only there have made their handshake; slow ones trickle in it.
#[test]
fn dead_and_slow_ones() {
    let site = Site::new();
    let slow = Arc::new(AtomicU64::new(0));
    let trickles = Arc::clone(&slow);
    let server = site.serve(move |mut session| {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while let Ok(1) = session.0.read(&mut byte) {
            head.push(byte[0]);
            if head.ends_with(b"\r\n\r\n") {
                session.say(OK);
                head.clear();
            } else if head.windows(6).any(|name| name == b"X-Slow") {
                trickles.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let (slow_gap, trust) = (Duration::from_millis(1), Trust::Roots(site.ca()));
    let made = Plan { dead: 5, slow: 2, slow_gap, trust, ..plan(secured(&server), 200) };
    let record = block_on(async {
        let load = Load::prepare(made).await.unwrap();
        while slow.load(Ordering::Relaxed) < 20 {
            ukevent_task::time::sleep(Duration::from_millis(1)).await;
        }
        load.run(|_| ()).await
    })
    .unwrap();
    assert_eq!((record.replies, record.connections.idle), (200, 7), "{:?}", record.errors);
    assert_eq!(record.connections.idle_lost, 0);
    // One that does not get through is an error before the load.
    let deaf = Server::of(|stream| drop(request(&stream)));
    let plan = Plan { dead: 1, trust: Trust::Anyone, ..plan(secured(&deaf), 1) };
    let connect_timeout = Duration::from_millis(50);
    let error = block_on(Load::prepare(Plan { connect_timeout, ..plan })).unwrap().unwrap_err();
    assert!(error.to_string().contains("idle connections only 0 came about"), "{error}");
}

/// What may wait to be sent is bounded here too, and no reason to fail.
#[test]
fn large_requests_in_a_pipeline() {
    let site = Site::new();
    let request = Request::new("POST", "/", Vec::new(), vec![b'x'; 400_000]).unwrap();
    let seen = Arc::new(AtomicU64::new(u64::MAX));
    let each = Arc::clone(&seen);
    let server = site.serve(move |mut session| {
        let (mut piece, mut read) = (vec![0; 1 << 16], 0);
        while let Ok(count @ 1..) = session.0.read(&mut piece) {
            read += count as u64;
            while read >= each.load(Ordering::Relaxed) {
                read -= each.load(Ordering::Relaxed);
                if !session.say(OK) {
                    return;
                }
            }
        }
    });
    let bytes = request.bytes(&server.address.to_string(), true).unwrap();
    seen.store(bytes.len() as u64, Ordering::Relaxed);
    let pace = Pace::Closed { connections: 1, pipeline: 32, think: Duration::ZERO };
    let mix = Mix::one(request);
    let record = load(Plan { pace, mix, ..site.plan(&server, 100) });
    assert_eq!(record.replies, 100, "{:?}", record.errors);
    assert_eq!(record.connections.opened, 1);
}
