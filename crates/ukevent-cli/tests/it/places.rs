//! `ukevent serve` where it is not told an address: at paths, on sockets that it inherits, and with TLS.

use crate::{
    serve::end,
    watch::{TERM, told, ukevent},
};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Output, Stdio},
};
use testkit::{Child, TempTree};

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

fn answer(mut stream: impl Read + Write) -> String {
    stream.write_all(ASK).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn is_page(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 OK\r\n")
}

/// A server with these arguments, when it has said that it listens at this.
fn start(command: &mut Command, place: &str) -> Child {
    let mut server = Child::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    server.line_with(place);
    server
}

#[test]
fn a_path() {
    let tree = TempTree::new();
    let path = tree.path().join("socket");
    let place = format!("unix:{}", path.display());
    // Somebody died, and left it.
    drop(UnixListener::bind(&path).unwrap());
    let server = start(&mut ukevent(&["serve", "--listen", &place]), &place);
    assert!(is_page(&answer(UnixStream::connect(&path).unwrap())));
    let output = ukevent(&["serve", "--listen", &place]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "ukevent: serve: {place}: bind: Address already in use (os error 98); another program listens \
         there (ss -lxp shows it), or what is there is no socket\n"
    );
    assert!(told(&output).ends_with(&expected), "{}", told(&output));
    assert!(is_page(&answer(UnixStream::connect(&path).unwrap())));
    end(server, TERM);
    assert!(!path.exists(), "it was left");
}

#[test]
fn paths_that_cannot_be_had() {
    let tree = TempTree::new();
    let file = tree.file("file", "precious");
    for (path, expected) in [
        (file.clone(), "or what is there is no socket"),
        (tree.path().join("none/socket"), "; its directory must exist"),
        (tree.path().join("x".repeat(108)), "; the path of a socket has 107 bytes at most"),
    ] {
        let place = format!("unix:{}", path.display());
        let output = ukevent(&["serve", "--listen", &place]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{place}");
        let start = format!("ukevent: serve: {place}: bind: ");
        assert!(told(&output).contains(&start), "{}", told(&output));
        assert!(told(&output).contains(expected), "{}", told(&output));
    }
    assert_eq!(fs::read(file).unwrap(), b"precious");
    // Nobody may write there, but for root, who is therefore somebody else here.
    let place = format!("unix:{}", tree.path().join("socket").display());
    let mut permissions = fs::metadata(tree.path()).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o555);
    fs::set_permissions(tree.path(), permissions).unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups", env!("CARGO_BIN_EXE_ukevent")]);
        command
    } else {
        Command::new(env!("CARGO_BIN_EXE_ukevent"))
    };
    let output = command.args(["serve", "--listen", &place]).output().unwrap();
    assert!(told(&output).contains("; writing to its directory must be"), "{}", told(&output));
}

/// The command with this as its inherited socket, as systemd starts services; or with the process id of
/// somebody else.
fn activated(socket: impl Into<OwnedFd>, pid: &str, arguments: &str) -> Command {
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_ukevent");
    command
        .arg("-c")
        .arg(format!(
            "LISTEN_FDS=1 LISTEN_PID={pid} exec '{program}' serve {arguments} 3<&0 </dev/null"
        ))
        .stdin(Stdio::from(socket.into()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn inherited_sockets() {
    for backend in ["io_uring", "epoll", "poll"] {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let arguments = format!("--backend {backend}");
        let server = start(&mut activated(tcp, "$$", &arguments), &format!("http://{address}/"));
        for _ in 0..3 {
            assert!(is_page(&answer(TcpStream::connect(address).unwrap())), "{backend}");
        }
        assert!(end(server, TERM).contains("serve: 3 requests on 3 connections, "));
        let tree = TempTree::new();
        let path = tree.path().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        let server = start(&mut activated(unix, "$$", &arguments), "a socket that was handed over");
        for _ in 0..3 {
            assert!(is_page(&answer(UnixStream::connect(&path).unwrap())), "{backend}");
        }
        end(server, TERM);
        assert!(path.exists(), "it is the supervisor's to remove");
    }
}

/// What is handed over is not for this process: it listens where it would otherwise.
#[test]
fn inherited_sockets_of_another_process() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let mut command = activated(tcp, "1", "--listen 127.0.0.1:0");
    let mut server = Child::spawn(&mut command);
    let line = server.line_with("http://");
    assert!(!line.contains(&address.to_string()), "{line}");
    end(server, TERM);
}

#[test]
fn what_is_no_listening_socket() {
    let udp = OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let file = OwnedFd::from(fs::File::open("/dev/null").unwrap());
    let (connection, _other) = UnixStream::pair().unwrap();
    for socket in [udp, file, connection.into()] {
        let output = activated(socket, "$$", "").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let expected = "ukevent: serve: inherited socket 0 is no listening stream socket: hand over \
                        ListenStream= sockets only, with Accept=no\n";
        assert!(told(&output).ends_with(expected), "{}", told(&output));
    }
}

/// A new certificate of itself, and its key.
fn put_certificate(folder: &Path) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, content) in [("chain.pem", cert.pem()), ("key.pem", signing_key.serialize_pem())] {
        fs::write(folder.join("new"), content).unwrap();
        fs::rename(folder.join("new"), folder.join(name)).unwrap();
    }
}

fn with_tls(folder: &Path, chain: &str, key: &str) -> Command {
    let path = |name| folder.join(name).to_str().unwrap().to_owned();
    let mut command = ukevent(&["serve", "--listen-tls", "127.0.0.1:0"]);
    command.args(["--tls-cert", &path(chain), "--tls-key", &path(key)]);
    command
}

/// What curl gets, which is told to trust this.
fn curl(url: &str, certificate: &Path) -> Output {
    let url = url.replace("127.0.0.1", "localhost");
    Command::new("curl").args(["-sS4", "--cacert"]).arg(certificate).arg(url).output().unwrap()
}

#[test]
fn tls() {
    let tree = TempTree::new();
    put_certificate(tree.path());
    let chain = tree.path().join("chain.pem");
    let mut command = with_tls(tree.path(), "chain.pem", "key.pem");
    let mut server = Child::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let url = server.line_with("https://127.0.0.1:");
    assert!(curl(&url, &chain).status.success());
    put_certificate(tree.path());
    testkit::wait_until("the new one is shown", || curl(&url, &chain).status.success());
    // What cannot be used is said once, however often there is a change beside it.
    let good = tree.path().join("good.pem");
    fs::copy(&chain, &good).unwrap();
    fs::write(&chain, "words").unwrap();
    let mut errors = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said = errors.find(|line| line.contains("the one before stays")).unwrap();
    let expected = format!("{}: there is no certificate in it", chain.display());
    assert!(said.contains(&expected), "{said}");
    for _ in 0..3 {
        tree.file("beside", "noise");
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(curl(&url, &good).status.success());
    }
    put_certificate(tree.path());
    testkit::wait_until("the right one is shown", || curl(&url, &chain).status.success());
    server.signal(TERM);
    let rest: Vec<_> = errors.collect();
    assert!(rest.iter().all(|line| !line.contains("the one before stays")), "{rest:?}");
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn certificates_that_cannot_be_used() {
    let tree = TempTree::new();
    put_certificate(tree.path());
    fs::copy(tree.path().join("key.pem"), tree.path().join("other.pem")).unwrap();
    put_certificate(tree.path());
    tree.file("words", "words");
    for (chain, key, expected) in [
        ("none", "key.pem", "/none: No such file or directory (os error 2); --tls-cert and"),
        ("chain.pem", "none", "/none: No such file or directory (os error 2); --tls-cert and"),
        ("words", "key.pem", "/words: there is no certificate in it (PEM: BEGIN CERTIFICATE)\n"),
        ("chain.pem", "words", "/words: there is no private key in it (PEM: BEGIN PRIVATE KEY;"),
        ("chain.pem", "other.pem", "/other.pem: it is not the key of the first certificate in "),
    ] {
        let output = with_tls(tree.path(), chain, key).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{chain} {key}");
        assert!(told(&output).contains("ukevent: serve: "), "{}", told(&output));
        assert!(told(&output).contains(expected), "{}", told(&output));
    }
    for (arguments, missing) in [
        (["--listen-tls", "127.0.0.1:0"], "--tls-cert"),
        (["--tls-cert", "some"], "--tls-key"),
        (["--tls-key", "some"], "--tls-cert"),
    ] {
        let output = ukevent(&["serve"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(told(&output).contains(missing), "{}", told(&output));
    }
}
