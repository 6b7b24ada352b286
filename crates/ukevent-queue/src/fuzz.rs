//! Entry points for fuzzing: what here reads bytes from outside. Not part of the interface.
//!
//! Each takes any bytes and panics when an invariant does not hold.

use crate::{
    event::{Kind, NetlinkChange, Uevent},
    source::netlink::parse,
};
use std::os::unix::ffi::OsStrExt;

/// Reads a datagram of rtnetlink, and makes sure that each event has a message of its own, and that
/// a datagram that is cut off gives the first of the events and no others.
pub fn changes(data: &[u8]) {
    /// `struct nlmsghdr`.
    const HEADER_BYTES: usize = 16;
    let events = read(data);
    assert!(events.len() * HEADER_BYTES <= data.len(), "{} events", events.len());
    for event in &events {
        match event {
            Kind::Rescan => {}
            Kind::Netlink(change) => check(change, data.len()),
            other => panic!("{other:?} is nothing that rtnetlink tells"),
        }
    }
    for len in [data.len() / 2, data.len().saturating_sub(1)] {
        let first = read(&data[..len]);
        assert!(events.starts_with(&first), "{len} bytes: {first:?}, all of them: {events:?}");
    }
}

fn read(datagram: &[u8]) -> Vec<Kind> {
    let mut events = Vec::new();
    parse::route(datagram, &mut |kind| events.push(kind));
    events
}

fn check(change: &NetlinkChange, datagram_bytes: usize) {
    match change {
        NetlinkChange::Link(link) => {
            let name = link.name.as_bytes();
            assert!(!name.contains(&0) && name.len() < datagram_bytes, "{name:?}");
        }
        NetlinkChange::Address(_) | NetlinkChange::Route(_) => {}
        NetlinkChange::Uevent(_) => panic!("a uevent comes through another protocol"),
    }
}

/// Reads a uevent, and makes sure that it reads the same when written again as the kernel would.
pub fn uevent(data: &[u8]) {
    let Some(kind) = parse::uevent(data) else { return };
    let Kind::Netlink(change) = &kind else { panic!("{kind:?}") };
    let NetlinkChange::Uevent(uevent) = &**change else { panic!("{change:?}") };
    let subsystem = uevent.properties.iter().find(|(key, _)| key == "SUBSYSTEM");
    assert_eq!(uevent.subsystem, subsystem.map_or("", |(_, value)| value));
    assert_eq!(parse::uevent(&written(uevent)), Some(kind));
}

fn written(uevent: &Uevent) -> Vec<u8> {
    let mut text = format!("{}@{}\0", uevent.action, uevent.device);
    uevent.properties.iter().for_each(|(key, value)| text += &format!("{key}={value}\0"));
    text.into_bytes()
}
