//! `ukevent load` and what one process may have: descriptors and processors.

use crate::serve::{end, serve};
use crate::watch::{INT, TERM, ukevent};
use std::fs;
use std::process::{Command, Output, Stdio};
use testkit::{Child, skip, wait_until};

/// The command, where a process may have so many descriptors.
fn limited(descriptors: u32, arguments: &[&str]) -> Output {
    let script = format!("ulimit -n {descriptors}; exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_ukevent"), "load"]).args(arguments);
    command.output().unwrap()
}

#[test]
fn as_many_processes_as_its_connections_need() {
    let (server, address) = serve(&mut ukevent(&["serve"]));
    let url = format!("http://{address}/");
    for (arguments, processes, opened, idle) in [
        (&["-c1000", "-n3000"][..], 6, 1000, 0),
        (&["-c1", "--dead=500", "-n50"], 3, 1, 500),
        (&["-c1", "--dead=500", "--rate=50", "-d1s"], 3, 1, 500),
        (&["-c8", "-n50"], 1, 8, 0),
    ] {
        let done = limited(256, &[arguments, &[&url, "--json"]].concat());
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {said}");
        let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(
            (&json["processes"], &json["errors_total"]),
            (&processes.into(), &0.into()),
            "{json}"
        );
        let connections = &json["connections"];
        assert_eq!(connections["opened"], opened, "{arguments:?}: {json}");
        assert_eq!((&connections["idle"], &connections["idle_lost"]), (&idle.into(), &0.into()));
        let asked = if arguments.contains(&"-c1000") { 3000 } else { 50 };
        assert_eq!((&json["replies"], &json["requests"]), (&asked.into(), &asked.into()), "{json}");
        let told = format!("in {processes} processes, because one may have 256 descriptors");
        assert_eq!(said.contains(&told), processes > 1, "{said}");
    }
    drop(end(server, TERM));
}

#[test]
fn what_cannot_be_is_refused_before_it_begins() {
    for (arguments, says) in [
        (
            &["-c1000", "--processes=2"][..],
            "take 564 descriptors for each, and one may have 256: use --processes 6, or raise",
        ),
        (&["--dead=1000000"], "1000064 connections take 1000128 descriptors (or "),
        (&["-c100", "--processes=100"], "to start 100 processes takes 364 descriptors"),
    ] {
        let done = limited(256, &[arguments, &["http://127.0.0.1:9/"]].concat());
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    let done = limited(40, &["-c60", "http://127.0.0.1:9/"]);
    let said = String::from_utf8_lossy(&done.stderr);
    let says = "60 connections take 124 descriptors (or 79 for each of 4 processes), and one may have 40: raise the \
                hard limit (ulimit -n 124, as root)";
    assert!(said.contains(says), "{said}");
}

/// On which processors a process may run.
fn allowed(pid: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

#[test]
fn each_process_on_its_processor() {
    let (server, address) = serve(&mut ukevent(&["serve"]));
    let url = format!("http://{address}/");
    let arguments = ["load", &url, "-d600s", "--rate=10", "--pin"];
    let load =
        Child::spawn(ukevent(&arguments).arg("0").stdout(Stdio::null()).stderr(Stdio::null()));
    let pid = load.pid().to_string();
    wait_until("it is pinned", || allowed(&pid).as_deref() == Some("0"));
    drop(load);
    if allowed("self").is_none_or(|all| all == "0") {
        return skip("there is but one processor");
    }
    let mut command = ukevent(&arguments);
    command.args(["0-1", "--processes=3"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut load = Child::spawn(&mut command);
    let pid = load.pid();
    wait_until("its processes are pinned in turn", || {
        let children = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(children).unwrap();
        let mut on: Vec<_> = children.split_whitespace().filter_map(allowed).collect();
        on.sort();
        on == ["0", "0", "1"]
    });
    load.signal(INT);
    load.wait().unwrap();
    drop(end(server, TERM));
}

#[test]
fn no_such_processor() {
    for (cores, says) in [
        ("1023", "there is no processor 1023 that this process may use; it may use 0"),
        ("0,1000-1001", "there is no processor 1000 that"),
        ("x", "write numbers and ranges, such as 1 or 0,2-3"),
    ] {
        let done = ukevent(&["load", "http://127.0.0.1:9/", "--pin", cores]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{cores}: {said}");
        assert!(said.contains(says), "{cores}: {said}");
    }
}
