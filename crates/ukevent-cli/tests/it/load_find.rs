//! `ukevent load --find`, and ramps: before servers that bear so much and no more, and before nobody.

use crate::serve::{end, serve};
use crate::watch::{TERM, ukevent};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::thread;
use std::time::Duration;
use testkit::TempTree;

fn run(arguments: &[&str]) -> Output {
    ukevent(arguments).output().unwrap()
}

/// A server that takes so long for each request on a connection, one after the other.
fn slow_server(takes: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = move |mut stream: TcpStream| {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            if line.is_empty() {
                thread::sleep(takes);
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                    return;
                }
            }
        }
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    url
}

/// Each connection bears 100 requests a second, and so there is a rate that cannot be borne; half of it can.
#[test]
fn the_highest_rate_is_found() {
    let url = slow_server(Duration::from_millis(10));
    for (processes, connections, most) in [("1", "1", 100.0), ("2", "4", 400.0)] {
        let done = run(&[
            "load",
            &url,
            "--find=p50=60ms",
            "--step=1s",
            "--rate=40",
            "--precision=20",
            "--json",
            "-c",
            connections,
            "--processes",
            processes,
        ]);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(0), "{said}");
        let json: Value = serde_json::from_slice(&done.stdout).unwrap();
        let found = json["found_per_s"].as_f64().unwrap();
        // What is a little too much shows only after a while.
        assert!(found >= 10.0 && found <= most * 1.3, "{json}");
        let steps = json["steps"].as_array().unwrap();
        let outcome = |rate: f64| {
            let mut found = steps.iter().filter(|it| it["rate_asked_per_s"] == rate);
            found.next().map(|step| step["outcome"].as_str().unwrap().to_owned())
        };
        assert_eq!(outcome(found).as_deref(), Some("met"), "{json}");
        if json["is_at_least"] == false {
            let missed = json["missed_per_s"].as_f64().unwrap();
            assert!(missed <= found * 1.2, "{json}");
            assert!(outcome(missed).is_some_and(|it| it != "met"), "{json}");
        }
        assert!(json["sentence"].as_str().unwrap().contains("that met p50 ≤ 60ms is"), "{json}");
    }
}

#[test]
fn it_is_told_as_it_goes_and_in_files() {
    let url = slow_server(Duration::from_millis(50));
    let tree = TempTree::new();
    let folder = tree.path().join("out");
    let done = run(&[
        "load",
        &url,
        "--find=p99.9=30ms",
        "--step=200ms",
        "--rate=8",
        "--out",
        folder.to_str().unwrap(),
    ]);
    let (shown, said) =
        (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr));
    // None is answered so fast.
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("load: no rate met p99.9 ≤ 30ms"), "{said}");
    assert!(shown.contains("\nNo rate met p99.9 ≤ 30ms: at 1 requests/s p99.9 was "), "{shown}");
    assert!(shown.contains("p99.9      max   errors\n"), "{shown}");
    assert!(shown.contains("\nBy rate:\n"), "{shown}");
    assert_eq!(fs::read_to_string(folder.join("search.txt")).unwrap(), shown);
    let csv = fs::read_to_string(folder.join("search.csv")).unwrap();
    let rates: Vec<&str> = csv.lines().skip(1).map(|row| row.split(',').next().unwrap()).collect();
    assert_eq!(rates, ["8.0", "4.0", "2.0", "1.0"]);
    let json = fs::read_to_string(folder.join("search.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json["found_per_s"].as_f64(), json["missed_per_s"].as_f64()),
        (Some(0.0), Some(1.0))
    );
}

#[test]
fn nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    for processes in ["1", "2"] {
        let done =
            run(&["load", &url, "--find=p99=50ms", "--step=100ms", "--processes", processes]);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains("load: the server gave no reply"), "{said}");
        let shown = String::from_utf8_lossy(&done.stdout);
        assert_eq!(shown.matches("  silent\n").count(), 1, "{shown}");
    }
}

#[test]
fn called_wrongly() {
    for (arguments, says) in [
        (&["--find=p99"][..], "a percentile and a time, such as p99=10ms"),
        (&["--find=p99=1s", "--rate=1..2"], "--find begins at one rate, not along a ramp"),
        (&["--find=p99=1s", "--report=hgrm"], "--find reports as human, json or csv, not as hgrm"),
        (&["--find=p99=1s", "-n5"], "cannot be used with"),
        (&["--find=p99=1s", "--precision=0"], "percent from 0.1 to 100"),
        (&["--step=1s"], "--find"),
        (&["--rate=1..2/1"], "may have 2 to 1000 steps"),
        (&["--rate=1..2", "-n5"], "takes a --duration, not a number of requests"),
        (&["--rate=10000001"], "10000000 at most"),
        (&["--pipeline=1025"], "1025 is not in 1..=1024"),
    ] {
        let done = run(&[&["load", "http://127.0.0.1:9/"], arguments].concat());
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

/// As many as lie below it, and each part says how many are due in it.
#[test]
fn a_ramp() {
    let (server, address) = serve(&mut ukevent(&["serve"]));
    let url = format!("http://{address}/");
    for processes in ["1", "3"] {
        let done =
            run(&["load", &url, "--rate=100..500/5", "-d1s", "--json", "--processes", processes]);
        let json: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!((&json["requests"], &json["replies"]), (&300.into(), &300.into()), "{json}");
        assert_eq!(json["mode"]["rate_from_per_s"], 100.0, "{json}");
    }
    let done = run(&["load", &url, "--rate=0..400", "-d2s", "--report=csv"]);
    let csv = String::from_utf8(done.stdout).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!((rows[0][8], rows[1][8], rows[2][8]), ("due_per_s", "100.0", "300.0"), "{csv}");
    drop(end(server, TERM));
}
