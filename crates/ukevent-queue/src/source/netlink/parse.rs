//! What a datagram of the kernel means: rtnetlink(7) messages and uevents (`lib/kobject_uevent.c`).
//!
//! Of rtnetlink's many attributes those that an event carries are read, with the lengths checked on
//! the way; a message that makes no sense is passed over. Nothing here panics on any bytes.

use crate::event::{AddressChange, Kind, LinkChange, NetlinkChange, RouteChange, Uevent};
use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::ffi::OsStringExt,
};
use ukevent_sys::netlink::{Message, attribute, messages, u16_at, u32_at};

/// `NLMSG_OVERRUN` of netlink(7), and the messages of rtnetlink(7).
const OVERRUN: u16 = 4;
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;

/// Reports every change in a datagram of the route protocol.
pub(crate) fn route(datagram: &[u8], sink: &mut dyn FnMut(Kind)) {
    for message in messages(datagram) {
        let change = match message.kind {
            OVERRUN => {
                sink(Kind::Rescan);
                None
            }
            NEW_LINK | DEL_LINK => link(&message).map(NetlinkChange::Link),
            NEW_ADDRESS | DEL_ADDRESS => address(&message).map(NetlinkChange::Address),
            NEW_ROUTE | DEL_ROUTE => route_change(&message).map(NetlinkChange::Route),
            _ => None,
        };
        if let Some(change) = change {
            sink(Kind::Netlink(Box::new(change)));
        }
    }
}

/// `struct ifinfomsg`, 16 bytes: family, type, index, flags, change.
fn link(message: &Message<'_>) -> Option<LinkChange> {
    const IFLA_IFNAME: u16 = 3;
    const IFLA_MTU: u16 = 4;
    const IFF_UP: u32 = 0x1;
    const IFF_LOWER_UP: u32 = 0x1_0000;
    let bytes = message.payload;
    // Bridges tell of their ports in the same group and by the same names: a port that left its
    // bridge is no interface that went.
    if *bytes.first()? != UNSPECIFIED {
        return None;
    }
    let (index, flags) = (u32_at(bytes, 4)?, u32_at(bytes, 8)?);
    let attributes = bytes.get(16..)?;
    let name = attribute(attributes, IFLA_IFNAME).unwrap_or_default();
    Some(LinkChange {
        removed: message.kind == DEL_LINK,
        index,
        name: OsString::from_vec(until_zero(name).to_vec()),
        up: flags & IFF_UP != 0,
        carrier: flags & IFF_LOWER_UP != 0,
        mtu: attribute(attributes, IFLA_MTU).and_then(|mtu| u32_at(mtu, 0)),
    })
}

/// `struct ifaddrmsg`, 8 bytes: family, prefix length, flags, scope, index.
fn address(message: &Message<'_>) -> Option<AddressChange> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    let bytes = message.payload;
    let (family, prefix) = (*bytes.first()?, *bytes.get(1)?);
    let attributes = bytes.get(8..)?;
    // On a point-to-point interface IFA_ADDRESS is that of the other end.
    let value = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS));
    Some(AddressChange {
        removed: message.kind == DEL_ADDRESS,
        index: u32_at(bytes, 4)?,
        address: value.and_then(|value| ip(family, value)),
        prefix,
    })
}

/// `struct rtmsg`, 12 bytes: family, destination and source length, TOS, table, protocol, scope,
/// type, flags.
fn route_change(message: &Message<'_>) -> Option<RouteChange> {
    const RTA_DST: u16 = 1;
    const RTA_OIF: u16 = 4;
    const RTA_GATEWAY: u16 = 5;
    const RTA_TABLE: u16 = 15;
    const RTA_VIA: u16 = 18;
    const RTM_F_CLONED: u32 = 0x200;
    let bytes = message.payload;
    let (family, prefix) = (*bytes.first()?, *bytes.get(1)?);
    if !matches!(family, INET | INET6) || u32_at(bytes, 8)? & RTM_F_CLONED != 0 {
        // A multicast router's, or the cache's.
        return None;
    }
    let attributes = bytes.get(12..)?;
    let number = |kind| attribute(attributes, kind).and_then(|value| u32_at(value, 0));
    // The gateway of an IPv4 route may be an IPv6 address: then it is told with its family.
    let via = || {
        let via = attribute(attributes, RTA_VIA)?;
        ip(u8::try_from(u16_at(via, 0)?).ok()?, via.get(2..)?)
    };
    let gateway = attribute(attributes, RTA_GATEWAY).and_then(|value| ip(family, value));
    Some(RouteChange {
        removed: message.kind == DEL_ROUTE,
        destination: attribute(attributes, RTA_DST).and_then(|value| ip(family, value)),
        prefix,
        gateway: gateway.or_else(via),
        index: number(RTA_OIF),
        // The header has room for tables up to 255 only.
        table: number(RTA_TABLE).or_else(|| bytes.get(4).copied().map(u32::from))?,
    })
}

/// `AF_UNSPEC`, `AF_INET`, `AF_INET6`.
const UNSPECIFIED: u8 = 0;
const INET: u8 = 2;
const INET6: u8 = 10;

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        INET => <[u8; 4]>::try_from(value).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        INET6 => <[u8; 16]>::try_from(value).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Reads a uevent: `add@/devices/…`, then `KEY=VALUE` pairs, each ended by a zero byte. `None` if it
/// makes no sense.
pub(crate) fn uevent(datagram: &[u8]) -> Option<Kind> {
    let mut strings = datagram.split(|&byte| byte == 0);
    let head = String::from_utf8_lossy(strings.next()?);
    let (action, device) = head.split_once('@')?;
    let pairs = strings.filter_map(|pair| {
        let pair = String::from_utf8_lossy(pair);
        let (key, value) = pair.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    let properties: Vec<(String, String)> = pairs.collect();
    let subsystem = properties.iter().find(|(key, _)| key == "SUBSYSTEM");
    let change = NetlinkChange::Uevent(Uevent {
        action: action.to_owned(),
        device: device.to_owned(),
        subsystem: subsystem.map(|(_, value)| value.clone()).unwrap_or_default(),
        properties,
    });
    Some(Kind::Netlink(Box::new(change)))
}
