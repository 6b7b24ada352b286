//! Where it listens, besides addresses: at paths, and on sockets that it was handed.

use crate::client::{Running, backends, run};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::Command,
    time::Duration,
};
use ukevent_http::{Builder, Limits, Listen, Server};
use ukevent_queue::BackendKind;

/// The first address is that of a listener of its own: the one that the test talks to is the other.
fn builder(place: impl Into<Listen>) -> Builder {
    Server::builder().listen("127.0.0.1:0".parse().unwrap()).listen_at(place)
}

fn at(path: &Path) -> Listen {
    Listen::Unix(path.to_owned())
}

fn get(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Why it does not start.
fn refused(place: Listen) -> String {
    run(BackendKind::Epoll, async { builder(place).start().unwrap_err().to_string() }).0
}

#[test]
fn a_path() {
    for kind in backends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let server = Running::with(kind, builder(at(&path)));
        let output = Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"])
            .args([path.to_str().unwrap(), "http://site/"])
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"200", "{kind}: {output:?}");
        assert!(get(&path).starts_with("HTTP/1.1 200 "));
        // It is in use.
        let said = refused(at(&path));
        let expected =
            format!("unix:{}: bind: Address already in use (os error 98)", path.display());
        assert_eq!(said, expected);
        assert!(get(&path).starts_with("HTTP/1.1 200 "), "{kind}: it was taken from the other");
        server.stop();
        assert!(!path.exists(), "{kind}: it was left");
    }
}

#[test]
fn what_is_left_there() {
    for kind in backends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        // Somebody died.
        drop(UnixListener::bind(&path).unwrap());
        let server = Running::with(kind, builder(at(&path)));
        assert!(get(&path).starts_with("HTTP/1.1 200 "), "{kind}");
        // Somebody else puts its own there. It is not removed.
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        server.stop();
        assert!(UnixStream::connect(&path).is_ok(), "{kind}: the other's socket was removed");
        drop(other);
        // What is no socket stays what it is.
        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(refused(at(&file)).contains("Address already in use"));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }
}

/// The first place is had, the second is not: nothing is left of the first.
#[test]
fn a_start_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    run(BackendKind::Epoll, async {
        let long = folder.path().join("x".repeat(200));
        let error = builder(at(&path)).listen_at(at(&long)).start().unwrap_err();
        assert!(error.to_string().ends_with("bind: File name too long (os error 36)"), "{error}");
    });
    assert!(!path.exists());
}

/// As supervisors hand them over: they block.
#[test]
fn sockets_that_were_handed_over() {
    for kind in backends() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let supervisor = tcp.try_clone().unwrap();
        let server = Server::builder().listen_at(OwnedFd::from(tcp));
        let server = Running::with(kind, server.limits(Limits::default()));
        assert_eq!(server.address, address);
        for _ in 0..3 {
            assert_eq!(server.connect().get("/").status(), 200, "{kind}");
        }
        server.stop();
        assert!(TcpStream::connect(address).is_ok(), "{kind}: it is the supervisor's to close");
        drop(supervisor);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        let _supervisor = unix.try_clone().unwrap();
        let server = Running::with(kind, builder(OwnedFd::from(unix)));
        for _ in 0..3 {
            assert!(get(&path).starts_with("HTTP/1.1 200 "), "{kind}");
        }
        server.stop();
        assert!(UnixStream::connect(&path).is_ok(), "{kind}: it is the supervisor's to close");
        assert!(path.exists(), "{kind}: it is the supervisor's to remove");
    }
}

/// One address has far more than its share, and does not go when it is told so.
#[test]
fn a_crowd_of_one_address_keeps_nobody_waiting() {
    for kind in backends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let linger = Duration::from_secs(600);
        let limits = Limits { address_connections: 1, linger, ..Limits::default() };
        let server = Running::with(kind, builder(at(&path)).limits(limits));
        let _crowd: Vec<_> = (0..200).map(|_| server.connect()).collect();
        // The first was waited for already.
        for number in 0..3 {
            let mut other = UnixStream::connect(&path).unwrap();
            other.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            other.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let read = other.read_exact(&mut [0; 12]);
            assert!(read.is_ok(), "{kind}: {number}: {read:?}");
        }
    }
}

#[test]
fn what_does_not_listen_is_refused() {
    let (stream, _other) = UnixStream::pair().unwrap();
    let said = refused(Listen::from(OwnedFd::from(stream)));
    assert_eq!(said, "a socket that was handed over: accept: Invalid argument (os error 22)");
    let said = refused(Listen::from(OwnedFd::from(fs::File::open("/dev/null").unwrap())));
    assert!(said.ends_with("Socket operation on non-socket (os error 88)"), "{said}");
}
