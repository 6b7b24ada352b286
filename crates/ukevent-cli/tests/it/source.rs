//! Every kind of source, with an event of its own.

use crate::watch::{Watch, run, told, ukevent};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::ffi::OsStringExt,
    path::Path,
    process::{Command, Stdio},
};
use testkit::{Child, Netns, TempTree};

fn path(tree: &TempTree, name: &str) -> String {
    tree.path().join(name).into_os_string().into_string().unwrap()
}

#[test]
fn a_timer_comes_again_and_again() {
    let mut watch = Watch::json(&["timer:1ms"]);
    for number in 1..=3 {
        let event = watch.event();
        assert_eq!(event["number"], number);
        assert_eq!((&event["source"], &event["what"]), (&"timer".into(), &"expired".into()));
        assert!(event["expirations"].as_u64().unwrap() >= 1);
    }
    assert_eq!(watch.terminate().code, Some(0));
}

#[test]
fn a_timer_that_comes_once_ends_the_watch() {
    for spec in ["timer:after=1ms", "timer:at=2001-01-01T00:00:00Z"] {
        let output = run(&["--json", spec]);
        assert!(output.status.success());
        let event: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&event["spec"], &event["number"]), (&spec.into(), &1.into()));
        assert!(told(&output).contains("1 event in "), "{}", told(&output));
        assert!(told(&output).contains("nothing is left to watch"), "{}", told(&output));
    }
}

/// Five in the morning was still 1969 in Greenwich, which is before any clock.
#[test]
fn a_time_without_a_zone_is_local() {
    let mut zones = vec!["JST-9"];
    if Path::new("/usr/share/zoneinfo/Asia/Tokyo").exists() {
        zones.push("Asia/Tokyo");
    }
    let watch = |zone| {
        let mut command = ukevent(&["watch", "-q", "timer:at=1970-01-01T05:00"]);
        command.env("TZ", zone).output().unwrap().status.code()
    };
    for zone in zones {
        assert_eq!(watch(zone), Some(2), "{zone}");
    }
    assert_eq!(watch("UTC"), Some(0));
}

#[test]
fn entries_of_a_directory() {
    let tree = TempTree::new();
    let mut watch = Watch::json(&[&format!("inode:{}:create,moved,remove", tree.path().display())]);
    tree.file("a", "");
    let event = watch.event();
    assert_eq!((&event["what"], &event["name"]), (&"created".into(), &"a".into()));
    assert_eq!(event["path"], path(&tree, "a"));
    assert_eq!(event["directory"], false);
    fs::rename(tree.path().join("a"), tree.path().join("b")).unwrap();
    let (from, to) = (watch.event(), watch.event());
    assert_eq!((&from["what"], &from["name"]), (&"moved-from".into(), &"a".into()));
    assert_eq!((&to["what"], &to["name"]), (&"moved-to".into(), &"b".into()));
    assert_eq!(from["cookie"], to["cookie"]);
    assert!(from["cookie"].as_u64().unwrap() > 0);
    fs::remove_file(tree.path().join("b")).unwrap();
    assert_eq!(watch.event()["what"], "removed");
    assert_eq!(watch.terminate().code, Some(0));
}

#[test]
fn a_file_that_grows_and_goes() {
    let tree = TempTree::new();
    let file = tree.file("log", "one");
    let mut watch = Watch::json(&[&format!("inode:{}:grow,remove", file.display())]);
    fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b" two").unwrap();
    let event = watch.event();
    assert_eq!((&event["what"], &event["size"]), (&"grew".into(), &7.into()));
    fs::remove_file(&file).unwrap();
    assert_eq!(watch.event_that("self-removed")["path"], path(&tree, "log"));
    // There is no more to come.
    let ended = watch.end();
    assert_eq!(ended.code, Some(0));
    assert!(ended.told.contains("nothing is left to watch"), "{}", ended.told);
}

#[test]
fn a_tree_with_what_is_made_in_it() {
    let tree = TempTree::new();
    tree.folder("old");
    let mut watch = Watch::json(&[&format!("tree:{}:create,write", tree.path().display())]);
    tree.file("old/a", "x");
    assert_eq!(watch.event_that("written")["name"], "old/a");
    tree.folder("new");
    assert_eq!(watch.event_that("created")["directory"], true);
    tree.file("new/b", "x");
    let event = watch.event_that("written");
    assert_eq!((&event["name"], &event["path"]), (&"new/b".into(), &path(&tree, "new/b").into()));
    assert_eq!(watch.terminate().code, Some(0));
}

#[test]
fn a_name_that_is_no_text() {
    let tree = TempTree::new();
    let watched = format!("inode:{}:create", tree.path().display());
    let mut watch = Watch::begin(&[&watched]);
    let name = std::ffi::OsString::from_vec(b"\x1b[31m\xff".to_vec());
    fs::write(tree.path().join(name), "").unwrap();
    let line = watch.line();
    assert!(line.contains(r"  created       \u{1b}[31m\xff"), "{line}");
    assert!(!line.contains('\x1b'));
    assert_eq!(watch.terminate().code, Some(0));
}

#[test]
fn signals_with_their_sender() {
    let mut watch = Watch::json(&["signal:usr1,hup"]);
    for (number, name) in [(10, "SIGUSR1"), (1, "SIGHUP")] {
        watch.signal(number);
        let event = watch.event();
        assert_eq!((&event["what"], &event["name"]), (&"received".into(), &name.into()));
        assert_eq!((&event["count"], &event["pid"]), (&1.into(), &std::process::id().into()));
    }
    assert_eq!(watch.terminate().code, Some(0));
}

#[test]
fn the_end_of_a_process() {
    let mut child = Child::spawn(Command::new("sleep").arg("600"));
    let comm = format!("/proc/{}/comm", child.pid());
    testkit::wait_until("it is called so", || fs::read_to_string(&comm).unwrap() == "sleep\n");
    let mut watch = Watch::json(&[&format!("proc:{}", child.pid())]);
    child.signal(9);
    child.wait().unwrap();
    let event = watch.event();
    assert_eq!((&event["name"], &event["pid"]), (&"sleep".into(), &child.pid().into()));
    // A kernel before 6.15 does not tell how, once it was collected.
    if event["what"] != "gone" {
        assert_eq!((&event["what"], &event["signal"]), (&"killed".into(), &"SIGKILL".into()));
    }
    let ended = watch.end();
    assert_eq!(ended.code, Some(0));
    assert!(ended.told.contains("nothing is left to watch"), "{}", ended.told);
}

#[test]
fn forks_and_executions_of_a_process() {
    let mut shell = Child::spawn(
        Command::new("sh").args(["-c", "read _; true | true; exec cat"]).stdin(Stdio::piped()),
    );
    let spec = format!("proc:{}:all", shell.pid());
    let refused = run(&[&spec, "timer:after=1ms", "--count", "1"]);
    if refused.status.code() == Some(1) {
        testkit::skip!("the process connector: {}", told(&refused));
    }
    let mut watch = Watch::json(&[&spec]);
    let mut stdin = shell.stdin.take().unwrap();
    stdin.write_all(b"\n").unwrap();
    assert!(watch.event_that("forked")["child"].as_u64().unwrap() > 1);
    assert_eq!(watch.event_that("executed")["name"], "cat");
    drop(stdin);
    assert_eq!(shell.wait().unwrap().code(), Some(0));
    watch.event_that("exited");
    assert_eq!(watch.end().code, Some(0));
}

#[test]
fn the_network() {
    let Some(netns) = Netns::new() else { return };
    let mut watch = netns.run(|| Watch::json(&["net", "uevent"]));
    netns.ip("link add ukevent0 type veth peer name ukevent1");
    let mut seen = Vec::new();
    while !(seen.contains(&"link".to_owned()) && seen.contains(&"add".to_owned())) {
        let event = watch.event();
        if event["name"].as_str().unwrap().ends_with("ukevent0") {
            seen.push(event["what"].as_str().unwrap().to_owned());
            match event["source"].as_str().unwrap() {
                "net" => assert!(event["index"].as_u64().unwrap() > 1),
                _ => assert_eq!(
                    (&event["subsystem"], &event["properties"]["INTERFACE"]),
                    (&"net".into(), &"ukevent0".into())
                ),
            }
        }
    }
    netns.ip("addr add 192.0.2.1/24 dev ukevent0");
    let event = watch.event_that("address");
    assert_eq!((&event["name"], &event["address"]), (&"ukevent0".into(), &"192.0.2.1/24".into()));
    netns.ip("link set ukevent0 up");
    netns.ip("link set ukevent1 up");
    netns.ip("route add 198.51.100.0/24 via 192.0.2.2");
    let event = std::iter::repeat_with(|| watch.event_that("route"))
        .find(|event| event["destination"] == "198.51.100.0/24")
        .unwrap();
    assert_eq!((&event["gateway"], &event["name"]), (&"192.0.2.2".into(), &"ukevent0".into()));
    netns.ip("link del ukevent0");
    watch.event_that("link-removed");
    assert_eq!(watch.terminate().code, Some(0));
}

#[test]
fn standard_input() {
    let mut command = ukevent(&["watch", "--verbose", "--json"]);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut watch = Watch::of(command.stdin(reader), &["fd:0"]);
    writer.write_all(b"hello").unwrap();
    let event = watch.event();
    assert_eq!((&event["what"], &event["waiting"]), (&"readable".into(), &5.into()));
    assert_eq!((&event["fd"], &event["readiness"]), (&0.into(), &["readable"].as_slice().into()));
    assert!(event["name"].as_str().unwrap().starts_with("pipe:["), "{event}");
    // Nobody reads it: it is told again when there is more, and not before.
    writer.write_all(b" world").unwrap();
    let event = watch.event();
    assert_eq!((&event["number"], &event["waiting"]), (&2.into(), &11.into()));
    drop(writer);
    drop(command);
    let event = watch.event();
    assert!(event["readiness"].as_array().unwrap().contains(&"hang-up".into()), "{event}");
    assert!(watch.end().told.contains("nothing is left to watch"));
}

#[test]
fn a_descriptor_of_the_shell() {
    let tree = TempTree::new();
    let fifo = tree.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let script = format!("exec {} watch -v --json \"$@\" 7<>fifo", env!("CARGO_BIN_EXE_ukevent"));
    let mut shell = Command::new("sh");
    shell.current_dir(tree.path()).args(["-c", &script, "sh"]);
    let mut watch = Watch::of(&mut shell, &["fd:7"]);
    fs::OpenOptions::new().write(true).open(&fifo).unwrap().write_all(b"x").unwrap();
    let event = watch.event();
    assert_eq!((&event["fd"], &event["waiting"]), (&7.into(), &1.into()));
    assert_eq!(event["name"], fifo.to_str().unwrap());
    assert_eq!(watch.terminate().code, Some(0));
}

/// The address that a watch of a port 0 got.
pub(crate) fn address_of(watch: &Watch) -> SocketAddr {
    let line = watch.begun().lines().find_map(|line| line.split_once(":0 is "));
    line.unwrap_or_else(|| panic!("no address: {}", watch.begun())).1.parse().unwrap()
}

#[test]
fn connections_are_told_and_closed() {
    let mut watch = Watch::json(&["listen:127.0.0.1:0"]);
    let address = address_of(&watch);
    let mut clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    for client in &mut clients {
        let event = watch.event();
        assert_eq!(event["what"], "connected");
        assert_eq!(event["peer"], client.local_addr().unwrap().to_string());
        assert_eq!(event["peer"], event["name"]);
        assert_eq!(event["local"], address.to_string());
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "closed");
    }
    assert_eq!(watch.terminate().code, Some(0));
}

#[test]
fn all_in_one_queue() {
    let tree = TempTree::new();
    let mut child = Child::spawn(Command::new("cat").stdin(Stdio::piped()));
    let inode = format!("inode:{}:create", tree.path().display());
    let process = format!("proc:{}", child.pid());
    let mut watch = Watch::json(&["timer:after=1ms", &inode, "signal:usr1", &process, "net"]);
    tree.file("a", "");
    watch.signal(10);
    drop(child.stdin.take());
    child.wait().unwrap();
    let mut sources: Vec<_> = (0..4).map(|_| watch.event()["source"].to_string()).collect();
    sources.sort();
    assert_eq!(sources, ["\"inode\"", "\"proc\"", "\"signal\"", "\"timer\""]);
    let ended = watch.terminate();
    assert_eq!(ended.code, Some(0));
    assert!(ended.told.contains("4 events in "), "{}", ended.told);
    assert!(ended.told.contains(&format!("\n  1  {inode}\n")), "{}", ended.told);
    assert!(ended.told.contains("\n  0  net\n"), "{}", ended.told);
}
