//! What specs mean; what is said of wrong ones is tested on the command itself.

use super::{Groups, Spec, Timing};
use jiff::{Zoned, civil::date, tz::TimeZone};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;
use ukevent::{Changes, ProcessChanges, Signal};

fn noon() -> Zoned {
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    date(2026, 7, 1).at(12, 0, 0, 0).to_zoned(zone).unwrap()
}

fn parse(words: &str) -> Spec {
    Spec::parse(OsStr::new(words), &noon()).unwrap_or_else(|error| panic!("{words}: {error}"))
}

fn at(words: &str) -> String {
    let Spec::Timer(Timing::At(time)) = parse(words) else { panic!("{words} is no time") };
    jiff::Timestamp::from_second(time.as_secs().try_into().unwrap()).unwrap().to_string()
}

fn changes_of(words: &str) -> (String, Changes) {
    match parse(words) {
        Spec::Inode { path, changes } | Spec::Tree { path, changes } => {
            (path.into_os_string().into_string().unwrap(), changes)
        }
        other => panic!("{words} is {other:?}"),
    }
}

#[test]
fn timers() {
    let every = |time| Spec::Timer(Timing::Every(time));
    assert_eq!(parse("timer:500ms"), every(Duration::from_millis(500)));
    assert_eq!(parse("timer:1h30m"), every(Duration::from_secs(5400)));
    assert_eq!(parse("timer:every=1.5s"), every(Duration::from_millis(1500)));
    assert_eq!(parse("timer:after=10us"), Spec::Timer(Timing::After(Duration::from_micros(10))));
}

#[test]
fn times_of_the_wall_clock() {
    assert_eq!(at("timer:at=2026-12-01T10:00:00Z"), "2026-12-01T10:00:00Z");
    assert_eq!(at("timer:at=2026-12-01T10:00:00+05:00"), "2026-12-01T05:00:00Z");
    assert_eq!(at("timer:at=2026-12-01T10:00"), "2026-12-01T08:00:00Z");
    assert_eq!(at("timer:at=12:01"), "2026-07-01T10:01:00Z");
    assert_eq!(at("timer:at=12:00"), "2026-07-02T10:00:00Z", "that is now, so the next one");
    assert_eq!(at("timer:at=09:30:15"), "2026-07-02T07:30:15Z");
}

#[test]
fn inodes() {
    assert_eq!(
        changes_of("inode:/tmp/x:create,remove"),
        (
            "/tmp/x".to_owned(),
            Changes::CREATED | Changes::REMOVED | Changes::SELF_REMOVED | Changes::UNMOUNTED
        )
    );
    let (path, usual) = changes_of("tree:src");
    assert_eq!(path, "src");
    assert!(usual.contains(Changes::WRITTEN | Changes::SELF_MOVED | Changes::UNMOUNTED));
    assert!(!usual.intersects(Changes::MODIFIED | Changes::OPENED | Changes::ACCESSED));
    assert_eq!(changes_of("tree:src:usual"), (path, usual));
    assert_eq!(changes_of("inode:.:all").1, Changes::all());
    assert!(matches!(parse("inode:src:write"), Spec::Inode { .. }));
    assert!(matches!(parse("tree:src:write"), Spec::Tree { .. }));
}

#[test]
fn every_change_can_be_asked_for() {
    let named = super::CHANGES.iter().filter(|(word, _)| *word != "all" && *word != "usual");
    let named = named.fold(Changes::empty(), |all, (_, changes)| all | *changes);
    assert_eq!(named, Changes::all());
}

#[test]
fn paths_with_colons() {
    assert_eq!(changes_of("inode:/a:b/c").0, "/a:b/c");
    assert_eq!(changes_of("inode:/a:write/c:write"), ("/a:write/c".to_owned(), Changes::WRITTEN));
    assert_eq!(changes_of("inode:12:30:").0, "12:30");
    assert_eq!(changes_of("inode:12:30:write"), ("12:30".to_owned(), Changes::WRITTEN));
}

#[test]
fn paths_are_bytes() {
    let spec = Spec::parse(OsStr::from_bytes(b"inode:\xff:write"), &noon()).unwrap();
    let path = Path::new(OsStr::from_bytes(b"\xff")).to_owned();
    assert_eq!(spec, Spec::Inode { path, changes: Changes::WRITTEN });
    let error = Spec::parse(OsStr::from_bytes(b"timer:\xff"), &noon()).unwrap_err();
    assert!(error.to_string().contains("is no time"), "{error}");
}

#[test]
fn signals() {
    assert_eq!(parse("signal:hup"), Spec::Signal(vec![Signal::HUP]));
    let three = vec![Signal::USR1, Signal::TERM, Signal::real_time(3).unwrap()];
    assert_eq!(parse("signal:SIGUSR1,15,rtmin+3"), Spec::Signal(three));
}

#[test]
fn processes() {
    let process = |changes| Spec::Process { pid: 12, changes };
    assert_eq!(parse("proc:12"), process(ProcessChanges::EXIT));
    assert_eq!(parse("proc:12:fork,exec"), process(ProcessChanges::FORK | ProcessChanges::EXEC));
    assert_eq!(parse("proc:12:all"), process(ProcessChanges::all()));
}

#[test]
fn the_rest() {
    assert_eq!(parse("net"), Spec::Network(Groups::all()));
    assert_eq!(parse("net:link,addr"), Spec::Network(Groups::LINK | Groups::ADDRESS));
    assert_eq!(parse("uevent"), Spec::Devices);
    assert_eq!(parse("fd:0"), Spec::Fd(0));
    assert_eq!(
        parse("listen:[::1]:80"),
        Spec::Listen(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80)))
    );
}
