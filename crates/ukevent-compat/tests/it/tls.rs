//! TLS by rustls, before clients of OpenSSL.

use crate::clients::{Example, backends, bytes, is_installed, outcome};
use std::{fs, fs::File, process::Command};

const CERTIFICATE: &str = "certificate.pem";

#[test]
fn curl_checks_the_certificate() {
    if !is_installed("curl") {
        return;
    }
    for backend in backends() {
        let server = Example::start("https", backend, &[CERTIFICATE]);
        let version = ["--write-out", "%{http_version}", "--cacert", CERTIFICATE];
        for (flag, expected) in [("--http2", "2"), ("--http1.1", "1.1")] {
            let said = server.curl(&[&version[..], &[flag, &server.url("/")]].concat());
            assert_eq!(said, format!("hello, in private\n{expected}"), "{backend}");
        }
        let mut distrusting = Command::new("curl");
        let (is_good, said) = outcome(distrusting.args(["-sS", &server.url]), &server.tree);
        assert!(!is_good && said.contains("certificate"), "{backend}: {said}");
        // And the server has not minded.
        server.curl(&["--cacert", CERTIFICATE, &server.url("/")]);
    }
}

#[test]
fn curl_uploads_in_private() {
    if !is_installed("curl") {
        return;
    }
    for backend in backends() {
        let server = Example::start("https", backend, &[CERTIFICATE]);
        let sent = server.tree.file("sent", bytes(3_000_000));
        let file = format!("@{}", sent.display());
        for flag in ["--http2", "--http1.1"] {
            let post = ["--cacert", CERTIFICATE, flag, "--data-binary", &file, "-o", "echoed"];
            server.curl(&[&post[..], &[&server.url("/")]].concat());
            let echoed = fs::read(server.tree.path().join("echoed")).unwrap();
            assert!(echoed == fs::read(&sent).unwrap(), "{backend} {flag}: {}", echoed.len());
        }
    }
}

/// It says what it thinks of the handshake, and of the end: a stream that ends without an alert is an error.
#[test]
fn openssl_is_content() {
    if !is_installed("openssl") {
        return;
    }
    for backend in backends() {
        let server = Example::start("https", backend, &[CERTIFICATE]);
        let request = server.tree.file("request", "GET / HTTP/1.0\r\n\r\n");
        for version in ["-tls1_2", "-tls1_3"] {
            let mut client = Command::new("openssl");
            client.args(["s_client", "-connect", server.address(), "-CAfile", CERTIFICATE]);
            client.args(["-verify_return_error", "-verify_hostname", "localhost", version]);
            client.args(["-ign_eof", "-alpn", "http/1.1"]);
            client.current_dir(server.tree.path()).stdin(File::open(&request).unwrap());
            let (is_good, said) = outcome(&mut client, &server.tree);
            assert!(is_good, "{backend} {version}: {said}");
            assert!(said.ends_with("\nclosed\n"), "{backend} {version}: {said}");
            for expected in
                ["Verify return code: 0 (ok)", "ALPN protocol: http/1.1", "\nhello, in private\n"]
            {
                assert!(said.contains(expected), "{backend} {version}, no {expected:?}: {said}");
            }
        }
    }
}

#[test]
fn h2load_finds_no_fault() {
    if !is_installed("h2load") {
        return;
    }
    for backend in backends() {
        let server = Example::start("https", backend, &[CERTIFICATE]);
        let said = server.run("h2load", &["-n2000", "-c10", "-m20", &server.url("/")]);
        assert!(said.contains(" 2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
        assert!(said.contains("Application protocol: h2"), "{backend}: {said}");
    }
}
