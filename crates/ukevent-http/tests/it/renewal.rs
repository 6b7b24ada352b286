//! A certificate whose files change, in all the ways in which programs change them.

use crate::{
    client::{Running, backends},
    tls::{Authority, Leaf, Secure},
};
use rustls::version::TLS13;
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use ukevent_http::{Certificate, CertificateError, Server, StartError};

/// How a file gets its new content.
#[derive(Clone, Copy, Debug)]
enum How {
    Rename,
    InPlace,
    Removed,
    /// The link is made to lead to a new file, which lies elsewhere.
    Certbot,
    /// The file behind the link is written.
    BehindTheLink,
    /// A link to the directory is made to lead to a new one.
    Directory,
}

/// Puts both files there, in their `number`th version, and says where the server looks for them.
fn put(root: &Path, how: How, leaf: &Leaf, number: u32) -> Certificate {
    let both = [("a", "chain.pem", &leaf.chain), ("b", "key.pem", &leaf.key)];
    let [chain, key] =
        both.map(|(folder, name, content)| put_one(&root.join(folder), how, name, content, number));
    Certificate { chain, key }
}

fn put_one(folder: &Path, how: How, name: &str, content: &str, number: u32) -> PathBuf {
    fs::create_dir_all(folder.join("live")).unwrap();
    fs::create_dir_all(folder.join("archive")).unwrap();
    let live = folder.join("live").join(name);
    let link = |to: &Path, at: &Path| {
        let new = at.with_extension("new");
        symlink(to, &new).unwrap();
        fs::rename(new, at).unwrap();
    };
    match how {
        How::Rename => {
            fs::write(folder.join("live/new"), content).unwrap();
            fs::rename(folder.join("live/new"), &live).unwrap();
        }
        How::InPlace => fs::write(&live, content).unwrap(),
        How::Removed => {
            let _ = fs::remove_file(&live);
            fs::write(&live, content).unwrap();
        }
        How::Certbot => {
            let numbered = format!("../archive/{number}{name}");
            fs::write(folder.join("live").join(&numbered), content).unwrap();
            link(Path::new(&numbered), &live);
        }
        How::BehindTheLink => {
            fs::write(folder.join("archive").join(name), content).unwrap();
            if number == 0 {
                symlink(Path::new("../archive").join(name), &live).unwrap();
            }
        }
        How::Directory => {
            let version = folder.join("archive").join(number.to_string());
            fs::create_dir(&version).unwrap();
            fs::write(version.join(name), content).unwrap();
            link(&version, &folder.join("now"));
            return folder.join("now").join(name);
        }
    }
    live
}

fn start(kind: ukevent_queue::BackendKind, files: Certificate) -> Running {
    let address: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    Running::with(kind, Server::builder().listen_tls(address).certificate(files))
}

/// Which certificate a new client is shown.
fn shown(server: &Running, authority: &Authority) -> Vec<u8> {
    let client = Secure::connect(server, &authority.client(&TLS13));
    client.tls.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn new_files() {
    let authority = Authority::new();
    for kind in backends() {
        for how in [
            How::Rename,
            How::InPlace,
            How::Removed,
            How::Certbot,
            How::BehindTheLink,
            How::Directory,
        ] {
            let root = tempfile::tempdir().unwrap();
            let server = start(kind, put(root.path(), how, &authority.sign(), 0));
            let mut old = Secure::connect(&server, &authority.client(&TLS13));
            assert_eq!(old.get("/").status(), 200);
            let mut before = shown(&server, &authority);
            // Twice, as what is watched may have to change with them.
            for number in 1..3 {
                put(root.path(), how, &authority.sign(), number);
                testkit::wait_until(&format!("{kind}: {how:?} is seen"), || {
                    shown(&server, &authority) != before
                });
                before = shown(&server, &authority);
                assert_eq!(old.get("/").status(), 200, "{kind}: {how:?}");
            }
        }
    }
}

/// A log in the same directory, of which there is no end.
#[test]
fn beside_files_that_change_all_the_time() {
    let authority = Authority::new();
    for kind in backends() {
        let root = tempfile::tempdir().unwrap();
        let server = start(kind, put(root.path(), How::Rename, &authority.sign(), 0));
        let before = shown(&server, &authority);
        put(root.path(), How::Rename, &authority.sign(), 1);
        testkit::wait_until("the new one is seen", || {
            fs::write(root.path().join("a/live/log"), "line").unwrap();
            shown(&server, &authority) != before
        });
    }
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    let authority = Authority::new();
    for kind in backends() {
        let root = tempfile::tempdir().unwrap();
        let server = start(kind, put(root.path(), How::Rename, &authority.sign(), 0));
        let before = shown(&server, &authority);
        let other_key = Leaf { key: authority.sign().key, ..authority.sign() };
        put(root.path(), How::Rename, &other_key, 1);
        fs::remove_file(root.path().join("a/live/chain.pem")).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_eq!(shown(&server, &authority), before, "{kind}");
        put(root.path(), How::Rename, &authority.sign(), 2);
        testkit::wait_until("the right one is seen", || shown(&server, &authority) != before);
    }
}

#[test]
fn why_it_cannot_be_used() {
    let root = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let leaf = authority.sign();
    let at = |name: &str| root.path().join(name);
    fs::write(at("chain"), &leaf.chain).unwrap();
    fs::write(at("key"), &leaf.key).unwrap();
    fs::write(at("other"), authority.sign().key).unwrap();
    fs::write(at("words"), "no such thing").unwrap();
    fs::write(at("torn"), &leaf.chain[..leaf.chain.len() / 2]).unwrap();
    fs::write(at("secret"), leaf.key.replace("PRIVATE", "ENCRYPTED PRIVATE")).unwrap();
    for (chain, key, expected) in [
        ("none", "key", "/none: No such file or directory (os error 2)"),
        ("chain", "none", "/none: No such file or directory (os error 2)"),
        ("words", "key", "/words: there is no certificate in it (PEM: BEGIN CERTIFICATE)"),
        ("key", "key", "/key: there is no certificate in it (PEM: BEGIN CERTIFICATE)"),
        ("torn", "key", "/torn: no PEM file: "),
        ("chain", "words", "/words: there is no private key in it (PEM: BEGIN PRIVATE KEY; "),
        ("chain", "secret", "/secret: there is no private key in it (PEM: BEGIN PRIVATE KEY; "),
        ("chain", "other", "/other: it is not the key of the first certificate in "),
    ] {
        let files = Certificate { chain: at(chain), key: at(key) };
        let (result, _) = crate::client::run(ukevent_queue::BackendKind::Epoll, async {
            Server::builder().certificate(files).start().map(drop)
        });
        let error = result.unwrap_err();
        assert!(matches!(error, StartError::Certificate(_)), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(expected), "{chain} {key}: {said}");
    }
    let refused = CertificateError::Refused(rustls::Error::DecryptError).to_string();
    assert!(refused.starts_with("the certificate and its key: "), "{refused}");
}
