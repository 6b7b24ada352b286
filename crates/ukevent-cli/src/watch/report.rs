//! An event in the words of the command: one list of names and values, from which the line of text,
//! the JSON object and the environment of a command are all made.

#[cfg(test)]
mod tests;

use crate::watch::names;
use crate::watch::spec::Spec;
use jiff::Timestamp;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use ukevent::{
    Changes, InodeChange, Kind, NetlinkChange, ProcessChange, ProcessEvent, Readiness, Ready,
    SignalReceived,
};

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// When the command took it from the queue.
    pub(crate) time: Timestamp,
    /// Counts the events of this run, from 1.
    pub(crate) number: u64,
    /// The spec, as it was given.
    pub(crate) spec: OsString,
    /// The first word of the spec.
    pub(crate) source: &'static str,
    /// What happened.
    pub(crate) story: Story,
}

/// What happened, without when and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Story {
    /// A word of a fixed set per source; of a uevent the kernel's own.
    pub(crate) what: String,
    /// Whom it happened to.
    pub(crate) name: OsString,
    /// What else there is to say. The names are of [`DATA`].
    pub(crate) data: Vec<(&'static str, Value)>,
}

/// A value of [`Story::data`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(i64),
    Flag(bool),
    Text(OsString),
    Words(Vec<&'static str>),
    Pairs(Vec<(String, String)>),
}

/// Every name of [`Story::data`].
pub(crate) const DATA: [&str; 30] = [
    "address",
    "carrier",
    "child",
    "code",
    "cookie",
    "core_dumped",
    "count",
    "destination",
    "directory",
    "errno",
    "error",
    "expirations",
    "fd",
    "gateway",
    "index",
    "local",
    "mtu",
    "path",
    "peer",
    "pid",
    "properties",
    "readiness",
    "signal",
    "size",
    "status",
    "subsystem",
    "table",
    "uid",
    "up",
    "waiting",
];

impl Story {
    fn new(what: impl Into<String>, name: impl Into<OsString>) -> Self {
        Self { what: what.into(), name: name.into(), data: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.data.push((name, value.into()));
        self
    }

    fn with_some(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Tells an event of `spec`, whose own name is `own`. The kernel is asked for names of network
    /// interfaces.
    pub(crate) fn of(spec: &Spec, own: &OsStr, kind: &Kind) -> Self {
        match kind {
            Kind::Timer(expired) => {
                let expirations = i64::try_from(expired.expirations).unwrap_or(i64::MAX);
                Self::new("expired", own).with("expirations", expirations)
            }
            Kind::Inode(change) => match spec {
                Spec::Inode { path, .. } | Spec::Tree { path, .. } => Self::of_inode(path, change),
                _ => Self::of_inode(Path::new(own), change),
            },
            Kind::Signal(received) => Self::of_signal(received),
            Kind::Process(change) => Self::of_process(own, *change),
            Kind::Netlink(change) => Self::of_netlink(change),
            Kind::Ready(ready) => match spec {
                Spec::Fd(fd) => Self::of_ready(*ready, own).with("fd", i64::from(*fd)),
                _ => Self::of_ready(*ready, own),
            },
            Kind::Rescan => Self::new("rescan", own),
            Kind::Failed(errno) => Self::new("failed", own)
                .with("error", errno.to_string())
                .with("errno", i64::from(errno.0)),
            // A kind that this command registers nothing for.
            other => Self::new("event", own).with("error", format!("{other:?}")),
        }
    }

    /// Tells that the listener of `spec` took a connection.
    pub(crate) fn connected(peer: SocketAddr, local: Option<SocketAddr>) -> Self {
        Self::new("connected", peer.to_string())
            .with("peer", peer.to_string())
            .with_some("local", local.map(|local| local.to_string()))
    }

    fn of_inode(root: &Path, change: &InodeChange) -> Self {
        let is_root = change.name.as_os_str().is_empty();
        let path = if is_root { root.to_owned() } else { root.join(&change.name) };
        let name = if is_root { root.as_os_str() } else { change.name.as_os_str() };
        Self::new(word_for(change.changes), name)
            .with("path", path.into_os_string())
            .with("directory", change.is_directory)
            .with_some("cookie", Some(change.cookie).filter(|&cookie| cookie != 0))
            .with_some("size", change.size.map(|size| i64::try_from(size).unwrap_or(i64::MAX)))
    }

    fn of_signal(received: &SignalReceived) -> Self {
        Self::new("received", signal_name(received.signal))
            .with("count", received.count)
            .with("pid", received.pid)
            .with("uid", received.uid)
            .with("code", received.code)
    }

    fn of_process(own: &OsStr, change: ProcessChange) -> Self {
        let story = |what| Self::new(what, own).with("pid", change.pid);
        match change.what {
            ProcessEvent::Exited(status) => story("exited").with("status", status),
            ProcessEvent::Killed { signal, core_dumped } => {
                story("killed").with("signal", signal_name(signal)).with("core_dumped", core_dumped)
            }
            ProcessEvent::Forked { child } => story("forked").with("child", child),
            ProcessEvent::Executed => story("executed"),
            // Gone, and whatever end there may be that tells no more.
            _ => story("gone"),
        }
    }

    fn of_netlink(change: &NetlinkChange) -> Self {
        let what = |what: &str, removed| format!("{what}{}", if removed { "-removed" } else { "" });
        match change {
            NetlinkChange::Link(link) => Self::new(what("link", link.removed), &link.name)
                .with("index", link.index)
                .with("up", link.up)
                .with("carrier", link.carrier)
                .with_some("mtu", link.mtu),
            NetlinkChange::Address(address) => {
                let name = names::interface(address.index).unwrap_or_default();
                Self::new(what("address", address.removed), name)
                    .with_some("address", address.address.map(|ip| prefixed(ip, address.prefix)))
                    .with("index", address.index)
            }
            NetlinkChange::Route(route) => {
                let destination = route.destination.map(|ip| prefixed(ip, route.prefix));
                let name = route.index.and_then(names::interface).unwrap_or_default();
                Self::new(what("route", route.removed), name)
                    .with("destination", destination.unwrap_or_else(|| "default".to_owned()))
                    .with_some("gateway", route.gateway.map(|ip| ip.to_string()))
                    .with_some("index", route.index)
                    .with("table", route.table)
            }
            NetlinkChange::Uevent(uevent) => Self::new(uevent.action.as_str(), &uevent.device)
                .with("subsystem", uevent.subsystem.clone())
                .with("properties", Value::Pairs(uevent.properties.clone())),
            other => Self::new("event", "").with("error", format!("{other:?}")),
        }
    }

    fn of_ready(ready: Ready, own: &OsStr) -> Self {
        let words: Vec<_> = READINESS
            .iter()
            .filter(|(bit, _)| ready.readiness.contains(*bit))
            .map(|(_, word)| *word)
            .collect();
        let what = words.first().copied().unwrap_or("ready");
        Self::new(what, own)
            .with("readiness", Value::Words(words))
            .with_some("waiting", ready.waiting())
    }
}

/// The most interesting one first.
const READINESS: [(Readiness, &str); 6] = [
    (Readiness::READABLE, "readable"),
    (Readiness::PRIORITY, "priority"),
    (Readiness::WRITABLE, "writable"),
    (Readiness::ERROR, "error"),
    (Readiness::HANG_UP, "hang-up"),
    (Readiness::PEER_CLOSED, "peer-closed"),
];

/// "Grew" comes with "modified", and is the more telling of the two.
const CHANGES: [(Changes, &str); 14] = [
    (Changes::GREW, "grew"),
    (Changes::CREATED, "created"),
    (Changes::REMOVED, "removed"),
    (Changes::MOVED_FROM, "moved-from"),
    (Changes::MOVED_TO, "moved-to"),
    (Changes::MODIFIED, "modified"),
    (Changes::WRITTEN, "written"),
    (Changes::ATTRIBUTES, "attributes"),
    (Changes::SELF_REMOVED, "self-removed"),
    (Changes::SELF_MOVED, "self-moved"),
    (Changes::UNMOUNTED, "unmounted"),
    (Changes::OPENED, "opened"),
    (Changes::READ_CLOSED, "closed"),
    (Changes::ACCESSED, "read"),
];

fn word_for(changes: Changes) -> &'static str {
    let word = CHANGES.iter().find(|(bit, _)| changes.contains(*bit));
    word.map_or("changed", |(_, word)| word)
}

fn signal_name(number: i32) -> String {
    ukevent_sys::signal::name(number).map_or_else(|| number.to_string(), Cow::into_owned)
}

fn prefixed(ip: IpAddr, prefix: u8) -> String {
    format!("{ip}/{prefix}")
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<OsString> for Value {
    fn from(text: OsString) -> Self {
        Self::Text(text)
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::Number(number.into())
            }
        }
    )*};
}
numbers!(i32, u32, i64);
