//! `ukevent bench`: that everybody delivers, and that what was found is kept. Its figures are nobody's business here.

use crate::watch::ukevent;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Output, Stdio};
use testkit::TempTree;

fn run(arguments: &[&str]) -> Output {
    ukevent(&["bench"]).args(arguments).output().unwrap()
}

fn said(done: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

/// The names in the help: each is a line below `Tables:`.
fn names() -> Vec<String> {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let (_, tables) = help.split_once("Tables:\n").unwrap();
    let names = tables.lines().filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_table_has_results_that_are_kept() {
    let folder = TempTree::new();
    let out = folder.path().join("made/by it");
    let done = run(&["--smoke", "--out", out.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let printed = String::from_utf8(done.stdout).unwrap();
    for name in names() {
        let read = |ending: &str| fs::read_to_string(out.join(format!("{name}.{ending}"))).unwrap();
        let file: Value = serde_json::from_str(&read("json")).unwrap();
        assert_eq!(file["command"], format!("ukevent bench {name} --smoke"));
        for member in ["cpu", "cores", "kernel", "build"] {
            assert!(!file["machine"][member].is_null(), "{name}: {member}");
        }
        let results = file["results"].as_array().unwrap();
        assert!(!results.is_empty(), "{name}");
        for row in results {
            assert_eq!((&row["table"], &row["ok"]), (&name.clone().into(), &true.into()), "{row}");
            assert_eq!(row["expected"], row["delivered"], "{row}");
            assert!(row["median"].is_number() && row["rounds"].is_array(), "{row}");
        }
        let page = read("md");
        assert!(page.starts_with(&format!("# {name}: ")) && page.contains("\nThen: "), "{page}");
        assert!(printed.contains(&page), "{name} is not printed as it is written");
        assert!(read("svg").contains("</svg>"), "{name}");
    }
}

#[test]
fn one_table_alone() {
    let done = run(&["wake", "--smoke"]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let headings = String::from_utf8(done.stdout).unwrap();
    let headings: Vec<&str> = headings.lines().filter(|line| line.starts_with("# ")).collect();
    assert!(headings.len() == 1 && headings[0].starts_with("# wake: "), "{headings:?}");
}

#[test]
fn called_wrongly() {
    let done = run(&["tiemrs"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(said(&done).contains("no such table; there are"), "{}", said(&done));
    assert_eq!(run(&["--rounds", "4"]).status.code(), Some(2));
    let done = run(&["--child", "memory,epoll,stone,5"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(said(&done).contains("no such thing"), "{}", said(&done));
    let file = TempTree::new();
    fs::write(file.path().join("file"), "").unwrap();
    let done = run(&["wake", "--smoke", "--out", file.path().join("file").to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
}

/// Figures of a debug build would be believed by somebody.
#[test]
#[cfg(debug_assertions)]
fn a_debug_build_measures_nothing() {
    let done = run(&["wake"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(said(&done).contains("build it with --release"), "{}", said(&done));
}

/// Where a process may not have descriptors for both ends, a child holds connections: it counts those that are
/// left, and those that were closed on it.
#[test]
fn a_child_holds_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let words = format!("hold,{},20", listener.local_addr().unwrap());
    let mut child = ukevent(&["bench", "--child", &words])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut taken: Vec<_> = (0..20).map(|_| listener.accept().unwrap().0).collect();
    let mut says = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(says.next().as_deref(), Some("held"));
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"\n").unwrap();
    assert_eq!(says.next().as_deref(), Some("20 0"));
    // Whoever was closed on comes back after a while.
    taken.truncate(17);
    taken.extend((0..3).map(|_| listener.accept().unwrap().0));
    input.write_all(b"\n").unwrap();
    let counts = says.next().unwrap();
    assert!(counts.ends_with(" 3"), "{counts}");
    drop(input);
    assert_eq!(says.next(), None);
    assert!(child.wait().unwrap().success());
    for mut socket in taken {
        assert_eq!(socket.read(&mut [0]).unwrap(), 0, "it was let go of");
    }
}
