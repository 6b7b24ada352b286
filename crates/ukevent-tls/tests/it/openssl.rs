//! OpenSSL at the other end.

use crate::sides::{Site, VERSIONS, on_all};
use std::{
    io::Write,
    process::{Command, Stdio},
};
use testkit::{Child, TempTree};
use ukevent_task::net::{TcpListener, TcpStream};
use ukevent_tls::TlsStream;

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn s_client() {
    let site = Site::new();
    let tree = TempTree::new();
    let ca = tree.file("ca.pem", &site.ca);
    on_all(async || {
        for version in ["-tls1_2", "-tls1_3"] {
            let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.address().unwrap().to_string();
            let mut command = openssl(&["s_client", "-quiet", "-connect", &address, version]);
            command.args(["-verify_return_error", "-verify_hostname", "localhost", "-CAfile"]);
            let mut child = command.arg(&ca).spawn().unwrap();
            child.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
            // Somebody has to read what it says.
            let child = std::thread::spawn(|| child.wait_with_output().unwrap());
            let halves = listener.accept().await.unwrap().into_split();
            let mut stream = TlsStream::server(halves, site.server()).unwrap();
            assert_eq!(&stream.receive().await.unwrap()[..], b"hello\n", "{version}");
            stream.send([&b"x".repeat(1_000_000)[..], b"\n"].concat()).await.unwrap();
            stream.shutdown().await.unwrap();
            stream.drain(1 << 20).await;
            let said = child.join().unwrap();
            let errors = String::from_utf8_lossy(&said.stderr);
            assert_eq!(said.stdout.len(), 1_000_001, "{version}: {errors}");
        }
    });
}

#[test]
fn s_server() {
    let site = Site::new();
    let tree = TempTree::new();
    let path = |name, content| tree.file(name, content).to_str().unwrap().to_owned();
    let (chain, key) = (path("chain.pem", &site.chain), path("key.pem", &site.key));
    on_all(async || {
        // It turns lines around.
        let mut command = openssl(&["s_server", "-accept", "127.0.0.1:0", "-rev"]);
        let mut server = Child::spawn(command.args(["-cert", &chain, "-key", &key]));
        let line = server.line_with("ACCEPT ");
        let address = line.trim_start_matches("ACCEPT ").trim().parse().unwrap();
        for version in VERSIONS {
            let halves = TcpStream::connect(address).await.unwrap().into_split();
            let name = "localhost".try_into().unwrap();
            let mut stream = TlsStream::client(halves, site.client(version), name).unwrap();
            stream.handshake().await.unwrap();
            for (said, heard) in [("hello\n", "olleh\n"), ("12345\n", "54321\n")] {
                stream.send(said.as_bytes().to_vec()).await.unwrap();
                let mut came = Vec::new();
                while came.len() < heard.len() {
                    came.extend_from_slice(&stream.receive().await.unwrap());
                }
                assert_eq!(came, heard.as_bytes(), "{version:?}");
            }
            assert_eq!(stream.session().protocol_version(), Some(version.version));
            // It closes then, and says so.
            stream.send(b"CLOSE\n".to_vec()).await.unwrap();
            assert!(stream.receive().await.unwrap().is_empty(), "{version:?}");
        }
    });
}
