//! `ukevent load` that is ended early, by a terminal or by kill(1); and the line that it shows meanwhile.

use crate::output::terminal;
use crate::serve::serve;
use crate::watch::{INT, TERM, ukevent};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use testkit::{Child, wait_until};

/// A server that counts requests, and answers them or not.
fn server(answers: bool) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let answer = move |mut stream: TcpStream, counted: &AtomicU64| {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            if line.is_empty() {
                counted.fetch_add(1, Ordering::Relaxed);
                if answers
                    && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err()
                {
                    return;
                }
            }
        }
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answer, counted) = (answer, Arc::clone(&counted));
            thread::spawn(move || answer(stream, &counted));
        }
    });
    (url, count)
}

/// A load that would last for a while, in a process group of its own, when the server was asked so often.
fn begun(arguments: &[&str], count: &AtomicU64, requests: u64) -> Child {
    let mut command = ukevent(arguments);
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let load = Child::spawn(&mut command);
    wait_until("the server is asked", || count.load(Ordering::Relaxed) >= requests);
    load
}

fn ended(mut load: Child) -> (Option<i32>, Option<i32>, String, String) {
    let (mut shown, mut said) = (String::new(), String::new());
    load.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    load.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let status = load.wait().unwrap();
    (status.code(), status.signal(), shown, said)
}

/// Sends a signal to all of a process group, as a terminal does.
fn signal_group(load: &Child, signal: &str) {
    let done = Command::new("kill").args([signal, "--", &format!("-{}", load.pid())]).status();
    assert!(done.unwrap().success());
}

#[test]
fn what_was_done_is_reported() {
    for processes in ["1", "3"] {
        for (how, name) in
            [("one", "SIGINT"), ("group", "SIGINT"), ("twice", "SIGINT"), ("term", "SIGTERM")]
        {
            let (url, count) = server(true);
            let load = begun(
                &["load", &url, "-d600s", "--rate=200", "--json", "--processes", processes],
                &count,
                20,
            );
            match how {
                "one" => load.signal(INT),
                "group" => signal_group(&load, "-INT"),
                // As timeout(1) does: that is no second Ctrl-C.
                "twice" => (0..2).for_each(|_| load.signal(INT)),
                _ => load.signal(TERM),
            }
            let (code, _, shown, said) = ended(load);
            assert_eq!(code, Some(1), "{processes} {how}: {said}");
            assert!(
                said.contains(&format!("load: ended by {name}; the report is of the ")),
                "{said}"
            );
            let json: serde_json::Value = serde_json::from_str(&shown).unwrap();
            assert!(json["replies"].as_u64().unwrap() >= 10, "{json}");
            // On a machine that is busy some may have waited just then.
            assert_eq!(json["errors_total"], json["errors"]["crowded"], "{json}");
            assert!(json["duration_s"].as_f64().unwrap() < 500.0, "{json}");
            assert_eq!(json["processes"].to_string(), processes);
        }
    }
}

/// What was ignored when it was started (nohup(1), a shell's `&`) stays so.
#[test]
fn an_ignored_signal_stays_ignored() {
    for processes in ["1", "2"] {
        for (ignored, first, then, name) in
            [("INT", INT, TERM, "SIGTERM"), ("TERM", TERM, INT, "SIGINT")]
        {
            let (url, count) = server(true);
            let script = format!("trap '' {ignored}; exec \"$@\"");
            let mut command = Command::new("sh");
            command
                .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_ukevent"), "load", &url])
                .args(["-d600s", "--rate=200", "--json", "--processes", processes])
                .process_group(0)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let load = Child::spawn(&mut command);
            let asked = || count.load(Ordering::Relaxed);
            wait_until("the server is asked", || asked() >= 20);
            load.signal(first);
            let so_far = asked();
            wait_until("the load goes on", || asked() >= so_far + 60);
            load.signal(then);
            let (code, _, _, said) = ended(load);
            assert_eq!(code, Some(1), "{processes} {ignored}: {said}");
            assert!(said.contains(&format!("load: ended by {name}; ")), "{said}");
        }
    }
}

/// A server that answers nobody: what is on its way has its time, and a second Ctrl-C takes that.
#[test]
fn told_twice_it_ends_at_once() {
    for processes in ["1", "2"] {
        let arguments =
            ["load", "URL", "-d600s", "-c4", "--reply-time=600s", "--processes", processes];
        let (url, count) = server(false);
        let arguments = arguments.map(|it| if it == "URL" { &url } else { it });
        let (code, _, shown, said) = {
            let load = begun(&arguments, &count, 4);
            load.signal(INT);
            ended(load)
        };
        assert_eq!(code, Some(1), "{said}");
        assert!(shown.contains("interrupted") && said.contains("no reply to 4"), "{shown}{said}");

        let load = begun(&arguments, &count, 8);
        load.signal(INT);
        // When it was taken, and nothing is awaited any more, the signal does what it does by default.
        let status = format!("/proc/{}/status", load.pid());
        wait_until("the signal was taken", || {
            let status = fs::read_to_string(&status).unwrap();
            ["SigPnd:", "ShdPnd:", "SigBlk:", "SigCgt:"].iter().all(|field| {
                let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
                u64::from_str_radix(line.trim(), 16).unwrap() & 1 << (INT - 1) == 0
            })
        });
        signal_group(&load, "-INT");
        let (_, signal, shown, said) = ended(load);
        assert_eq!((signal, shown.as_str()), (Some(INT), ""), "{said}");
    }
}

/// Of several processes, those that are started end with the one that started them.
#[test]
fn nobody_is_left() {
    let (url, count) = server(true);
    let mut load = begun(&["load", &url, "-d600s", "--rate=200", "--processes=3"], &count, 20);
    let pid = load.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let children: Vec<&str> = children.split_whitespace().collect();
    assert_eq!(children.len(), 3);
    load.signal(9);
    load.wait().unwrap();
    wait_until("its children have ended", || {
        children.iter().all(|pid| {
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .map_or(true, |stat| stat.rsplit(") ").next().unwrap().starts_with('Z'))
        })
    });
}

#[test]
fn a_search_tells_what_it_knows() {
    let (url, count) = server(true);
    let load = begun(
        &["load", &url, "--find=p99=1s", "--rate=50", "--step=2s", "-c8"],
        &count,
        // The first step and some of the second.
        120,
    );
    load.signal(INT);
    let (code, _, shown, said) = ended(load);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("load: the search was ended by SIGINT"), "{said}");
    assert!(
        shown.contains("\nEnded early; of the rates that were tried: The highest rate"),
        "{shown}"
    );
    assert!(shown.contains("that met p99 ≤ 1s"), "{shown}");
}

/// On a terminal there is a line that is written anew, and in the end there is none; elsewhere there is none.
#[test]
fn the_line_of_progress() {
    let (server, address) = serve(&mut ukevent(&["serve"]));
    let url = format!("http://{address}/");
    for processes in ["1", "2"] {
        let arguments =
            ["load", &url, "-d3s", "--rate=50", "--processes", processes, "--report=csv"];
        let (mut master, slave) = {
            let (master, slave) = terminal();
            (fs::File::from(master), slave)
        };
        let mut child = Child::spawn(ukevent(&arguments).stdout(Stdio::null()).stderr(slave));
        let mut shown = Vec::new();
        // A terminal that nobody has open any more reads as an error.
        let mut some = [0; 4096];
        while let Ok(count @ 1..) = master.read(&mut some) {
            shown.extend_from_slice(&some[..count]);
        }
        assert!(child.wait().unwrap().success());
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.starts_with("\r\x1b[K1 s: "), "{shown:?}");
        assert!(shown.contains(" replies/s, p99 "), "{shown:?}");
        assert!(shown.contains(" ms\r\x1b[K2 s: "), "{shown:?}");
        assert!(shown.ends_with(" ms\r\x1b[K") && !shown.contains('\n'), "{shown:?}");
        let done = ukevent(&arguments).output().unwrap();
        assert!(done.stderr.is_empty(), "{done:?}");
    }
    drop(server);
}
