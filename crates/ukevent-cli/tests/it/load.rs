//! `ukevent load`: against `ukevent serve`, alone and in several processes, and against nobody.

use crate::serve::{end, serve};
use crate::watch::{TERM, ukevent};
use std::fs;
use std::net::TcpListener;
use std::process::{Output, Stdio};
use testkit::{Child, TempTree, wait_until};

fn run(arguments: &[&str]) -> Output {
    ukevent(arguments).output().unwrap()
}

/// A member of the object that `--json` prints.
fn number(json: &serde_json::Value, name: &str) -> u64 {
    json[name].as_u64().unwrap_or_else(|| panic!("{name} in {json}"))
}

fn json(arguments: &[&str]) -> serde_json::Value {
    let done = run(arguments);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn on_every_backend_all_that_was_asked_is_answered() {
    let (server, address) = serve(&mut ukevent(&["serve"]));
    let url = format!("http://{address}/");
    for backend in ["io_uring", "epoll", "poll"] {
        for pipeline in ["1", "8"] {
            let asked = json(&[
                "load",
                &url,
                "-n2000",
                "-c8",
                "--pipeline",
                pipeline,
                "--backend",
                backend,
                "--json",
            ]);
            assert_eq!(number(&asked, "replies"), 2000, "{asked}");
            assert_eq!(number(&asked, "errors_total"), 0, "{asked}");
            assert_eq!(number(&asked["statuses"], "200"), 2000, "{asked}");
        }
    }
    let said = end(server, TERM);
    assert!(said.contains("12000 requests on 48 connections"), "{said}");
}

#[test]
fn several_processes_make_one_load() {
    let (server, address) = serve(&mut ukevent(&["serve"]));
    let url = format!("http://{address}/");
    let asked = json(&["load", &url, "-n1001", "-c10", "--processes=3", "--dead=20", "--json"]);
    assert_eq!((number(&asked, "requests"), number(&asked, "replies")), (1001, 1001), "{asked}");
    assert_eq!((number(&asked, "processes"), number(&asked, "threads")), (3, 3), "{asked}");
    assert_eq!(number(&asked["connections"], "opened"), 10, "{asked}");
    assert_eq!(number(&asked["connections"], "idle"), 20, "{asked}");
    let said = end(server, TERM);
    assert!(said.contains("1001 requests on 30 connections"), "{said}");
}

/// More processes than connections, and fewer requests than that; schedules are shared, not repeated.
#[test]
fn shares_add_up() {
    let (server, address) = serve(&mut ukevent(&["serve"]));
    let url = format!("http://{address}/");
    for (arguments, requests) in [
        (&["-n", "100", "-c1", "--processes=4"][..], 100),
        (&["-n", "3", "-c8", "--processes=4"], 3),
        (&["--rate=10", "--arrivals=bursts:1", "-d1s", "--processes=4"], 10),
        (&["--rate=2", "-d1s", "--processes=5"], 2),
        (&["--rate=100", "--arrivals=bursts:7", "-n", "50", "--processes=3"], 50),
    ] {
        let asked = json(&[&["load", "--json"], arguments, &["--", &url]].concat());
        assert_eq!(number(&asked, "replies"), requests, "{arguments:?}: {asked}");
    }
    drop(end(server, TERM));
}

#[test]
fn a_schedule_over_a_unix_socket() {
    let tree = TempTree::new();
    let path = tree.path().join("socket");
    let place = format!("unix:{}", path.display());
    let (server, _) = serve(&mut ukevent(&["serve", "--listen", &place]));
    wait_until("it listens", || path.exists());
    let path = path.to_str().unwrap();
    let asked = json(&[
        "load",
        "http://here/",
        "--unix",
        path,
        "--rate=2000",
        "-d500ms",
        "--arrivals=poisson",
        "--json",
    ]);
    assert_eq!(number(&asked, "requests"), number(&asked, "replies"), "{asked}");
    assert!((700..1300).contains(&number(&asked, "requests")), "{asked}");
    drop(end(server, TERM));
}

#[test]
fn all_forms_are_written() {
    let (server, address) = serve(&mut ukevent(&["serve"]));
    let tree = TempTree::new();
    let folder = tree.path().join("a/b");
    let url = format!("http://{address}/");
    let done = run(&["load", &url, "-n300", "--out", folder.to_str().unwrap()]);
    let shown = String::from_utf8(done.stdout).unwrap();
    assert!(shown.contains("replies") && shown.contains("p99.9"), "{shown}");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("report.txt"), shown);
    assert!(read("httperf.txt").contains("Total: connections 64 requests 300 replies 300 "));
    assert!(read("report.json").starts_with("{\"requests\":300,"));
    assert!(read("latency.hdr").contains("#[Histogram log format version"));
    for plot in ["percentiles.svg", "time.svg"] {
        assert!(read(plot).starts_with("<svg"), "{plot}");
    }
    drop(end(server, TERM));
}

#[test]
fn over_tls() {
    let tree = TempTree::new();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let path = |name, content| tree.file(name, content).to_str().unwrap().to_owned();
    let chain = path("chain.pem", made.cert.pem());
    let key = path("key.pem", made.signing_key.serialize_pem());
    let mut command = ukevent(&["serve", "--listen-tls", "127.0.0.1:0"]);
    command.args(["--tls-cert", &chain, "--tls-key", &key]);
    let mut server = Child::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let line = server.line_with("https://127.0.0.1:");
    let url = &line[line.find("https://").unwrap()..];
    for arguments in [
        &["--ca", &chain][..],
        &["--ca", &chain, "--pipeline=8", "--backend=epoll"],
        &["--ca", &chain, "--processes=2", "--dead=4"],
        &["--insecure", "--no-keep-alive"],
        &["--insecure", "--rate=2000"],
    ] {
        let asked = json(&[&["load", url, "-n500", "-c8", "--json"], arguments].concat());
        assert_eq!(number(&asked, "replies"), 500, "{arguments:?}: {asked}");
        assert_eq!(number(&asked, "errors_total"), 0, "{arguments:?}: {asked}");
    }
    let other = path("other.pem", rcgen::generate_simple_self_signed([]).unwrap().cert.pem());
    for (arguments, says) in [
        (&["--ca", &other][..], "; --ca FILE names roots to trust, --insecure verifies nothing\n"),
        (&["--ca", &other, "--processes=2"], "; --ca FILE names roots to trust, --insecure"),
        (&["--ca", &key], "; --ca names a PEM file of root certificates\n"),
    ] {
        let done = run(&[&["load", url], arguments].concat());
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    drop(end(server, TERM));
    let (server, address) = serve(&mut ukevent(&["serve"]));
    let done = run(&["load", &format!("https://{address}/"), "--insecure"]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.ends_with("what it says is no TLS; http:// asks without TLS\n"), "{said}");
    drop(end(server, TERM));
}

#[test]
fn nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    for processes in ["1", "2"] {
        let done = run(&["load", &url, "-n10", "-c2", "--processes", processes]);
        let (shown, said) =
            (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(shown.contains("refused"), "{shown}");
        assert!(said.contains("load: no reply to 10 requests"), "{said}");
    }
    // Those who are only there cannot come either, and then there is no load.
    for processes in ["1", "2"] {
        let done = run(&["load", &url, "--dead=3", "--processes", processes]);
        assert_eq!(done.status.code(), Some(1));
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(said.contains("idle connections only 0 came about: refused"), "{said}");
    }
}

#[test]
fn called_wrongly() {
    for (arguments, says) in [
        (&["ftp://a/"][..], "begins neither with http://"),
        (&["http://a/", "--rate=0"], "no rate"),
        (&["http://a/", "--rate=5", "--arrivals=often"], "write even, poisson, or bursts:100"),
        (&["http://a/", "--rate=5", "--pipeline=2"], "cannot be used with"),
        (&["http://a/", "--report=xml"], "hgrm"),
        (&["https://a/", "--insecure", "--ca=ca.pem"], "cannot be used with"),
        (&["http://a/", "--connections=0"], "0 is not in"),
    ] {
        let done = run(&[&["load"], arguments].concat());
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    let tree = TempTree::new();
    let mix = tree.path().join("mix");
    fs::write(&mix, "GET /\nGET nowhere\n").unwrap();
    let done = run(&["load", "http://a/", "--mix", mix.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("line 2"), "{said}");
}
