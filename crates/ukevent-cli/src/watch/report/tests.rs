//! What is told of an event, in its three forms.

use super::{DATA, Report, Story, Value};
use crate::watch::spec::Spec;
use crate::watch::text::Text;
use crate::watch::{environment, json};
use jiff::{Timestamp, tz::TimeZone};
use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use ukevent::{
    AddressChange, Changes, Errno, InodeChange, Kind, LinkChange, NetlinkChange, ProcessChange,
    ProcessEvent, RouteChange, SignalReceived, Uevent,
};

fn report(story: Story) -> Report {
    let time = Timestamp::from_microsecond(1_700_000_000_123_456).unwrap();
    Report { time, number: 7, spec: "spec".into(), source: "inode", story }
}

fn text(story: Story, colour: bool) -> String {
    Text::new([OsStr::new("spec")].into_iter(), TimeZone::UTC, colour).line(&report(story))
}

fn inode(name: impl Into<OsString>, changes: Changes) -> Story {
    let name: OsString = name.into();
    let (cookie, size) = (5, Some(12));
    let change = InodeChange { changes, name: name.into(), cookie, is_directory: true, size };
    let spec = Spec::Inode { path: "/tmp".into(), changes };
    Story::of(&spec, OsStr::new("/tmp"), &Kind::Inode(Box::new(change)))
}

fn other(kind: Kind) -> Story {
    Story::of(&Spec::Devices, OsStr::new("own"), &kind)
}

fn netlink(change: NetlinkChange) -> Story {
    other(Kind::Netlink(Box::new(change)))
}

fn uevent() -> Story {
    netlink(NetlinkChange::Uevent(Uevent {
        action: "add".to_owned(),
        device: "/devices/x".to_owned(),
        subsystem: "block".to_owned(),
        properties: vec![("DEVNAME".to_owned(), "sda".to_owned())],
    }))
}

fn stories() -> Vec<Story> {
    let ip: IpAddr = [10, 0, 0, 1].into();
    let process = |what| other(Kind::Process(ProcessChange { pid: 9, what }));
    vec![
        inode("a", Changes::CREATED),
        uevent(),
        process(ProcessEvent::Exited(1)),
        process(ProcessEvent::Killed { signal: 9, core_dumped: true }),
        process(ProcessEvent::Forked { child: 10 }),
        process(ProcessEvent::Gone),
        other(Kind::Signal(SignalReceived { signal: 1, count: 2, pid: 3, uid: 4, code: 0 })),
        other(Kind::Rescan),
        other(Kind::Failed(Errno(5))),
        netlink(NetlinkChange::Link(LinkChange {
            removed: false,
            index: 1,
            name: "lo".into(),
            up: true,
            carrier: false,
            mtu: Some(1500),
        })),
        netlink(NetlinkChange::Address(AddressChange {
            removed: true,
            index: 1,
            address: Some(ip),
            prefix: 8,
        })),
        netlink(NetlinkChange::Route(RouteChange {
            removed: false,
            destination: None,
            prefix: 0,
            gateway: Some(ip),
            index: Some(1),
            table: 254,
        })),
        Story::connected(([127, 0, 0, 1], 1).into(), Some(([127, 0, 0, 1], 2).into())),
    ]
}

fn line_of(story: Story) -> String {
    text(story, false)
}

#[test]
fn lines() {
    let lines: Vec<_> = stories().into_iter().map(line_of).collect();
    let expected = [
        "created       a             directory cookie=5 size=12",
        "add           /devices/x    subsystem=block",
        "exited        own           pid=9 status=1",
        "killed        own           pid=9 signal=SIGKILL core_dumped",
        "forked        own           pid=9 child=10",
        "gone          own           pid=9",
        "received      SIGHUP        count=2 pid=3 uid=4",
        "rescan        own",
        "failed        own           error=\"Input/output error (os error 5)\"",
        "link          lo            up mtu=1500",
        "address-removed  lo            address=10.0.0.1/8",
        "route         lo            destination=default gateway=10.0.0.1 table=254",
        "connected     127.0.0.1:1",
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(*line, format!("22:13:20.123  spec  {expected}\n"));
    }
    assert_eq!(lines.len(), expected.len());
}

#[test]
fn a_name_cannot_command_the_terminal() {
    let name = OsString::from_vec(b"a\x1b[2Jb\nc\xffd\xe2\x80\xaee".to_vec());
    let line = line_of(inode(name, Changes::CREATED));
    assert!(line.contains(r"a\u{1b}[2Jb\nc\xffd\u{202e}e"), "{line:?}");
}

#[test]
fn colour_surrounds_words() {
    let line = text(inode("a", Changes::CREATED), true);
    assert!(line.contains("\x1b[32mcreated\x1b[0m     "), "{line:?}");
    assert!(line.contains("\x1b[2m22:13:20.123\x1b[0m  \x1b[36mspec\x1b[0m"), "{line:?}");
    assert!(!line_of(inode("a", Changes::CREATED)).contains('\x1b'));
}

#[test]
fn json_keeps_the_order() {
    let line = String::from_utf8(json::line(&report(inode("ä", Changes::MOVED_TO))).unwrap());
    let expected = concat!(
        r#"{"time":"2023-11-14T22:13:20.123456Z","number":7,"spec":"spec","source":"inode","#,
        r#""what":"moved-to","name":"ä","path":"/tmp/ä","directory":true,"cookie":5,"size":12}"#,
        "\n"
    );
    assert_eq!(line.unwrap(), expected);
    let line = String::from_utf8(json::line(&report(uevent())).unwrap()).unwrap();
    assert!(line.contains(r#""properties":{"DEVNAME":"sda"}"#), "{line}");
}

#[test]
fn json_of_a_name_that_is_no_text() {
    let name = OsString::from_vec(b"\xff\n".to_vec());
    let line = json::line(&report(inode(name, Changes::CREATED))).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(value["name"], "\u{fffd}\n");
}

#[test]
fn environment() {
    let name = OsString::from_vec(b"\xff".to_vec());
    let variables = environment::of(&report(inode(name.clone(), Changes::CREATED)));
    let value = |name: &str| {
        let found = variables.iter().find(|(variable, _)| variable == name);
        found.map(|(_, value)| value.clone()).unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(value("UKEVENT_NAME"), name);
    assert_eq!(value("UKEVENT_NUMBER"), "7");
    assert_eq!(value("UKEVENT_SOURCE"), "inode");
    assert_eq!(value("UKEVENT_DIRECTORY"), "1");
    assert_eq!(value("UKEVENT_TIME"), "2023-11-14T22:13:20.123456Z");
    let variables = environment::of(&report(uevent()));
    assert!(variables.contains(&("UKEVENT_PROPERTY_DEVNAME".into(), "sda".into())));
}

#[test]
fn every_name_is_listed_and_ours() {
    for story in stories() {
        for (name, _) in &story.data {
            assert!(DATA.contains(name), "{name}");
        }
        for (variable, _) in environment::of(&report(story)) {
            assert!(environment::is_ours(&variable), "{}", variable.display());
        }
    }
    assert!(!environment::is_ours(OsStr::new("UKEVENT_BACKEND")));
    assert!(!environment::is_ours(OsStr::new("PATH")));
}

#[test]
fn the_more_telling_change_is_told() {
    assert_eq!(inode("a", Changes::MODIFIED | Changes::GREW).what, "grew");
    assert_eq!(inode("a", Changes::MODIFIED).what, "modified");
}

#[test]
fn the_watched_inode_itself() {
    let story = inode("", Changes::SELF_REMOVED);
    assert_eq!(story.name, "/tmp");
    assert!(story.data.contains(&("path", Value::Text("/tmp".into()))), "without a slash behind");
}
