//! The network of a namespace of the test's own, changed by ip(8); and bytes, right and wrong.

use super::*;
use crate::{
    event::{AddressChange, LinkChange, NetlinkChange, RouteChange, Uevent},
    fuzz,
};
use std::{io::Write, os::fd::AsRawFd, process::Stdio};
use testkit::{Netns, Rng, skip, wait_until};
use ukevent_sys::{
    epoll::{Epoll, Report, Trigger},
    poll::PollMask,
};

fn watch(netns: &Netns, netlink: Netlink) -> NetlinkWatch {
    netns.run(|| NetlinkWatch::new(&netlink)).unwrap()
}

/// All that waits.
fn read(watch: &mut NetlinkWatch) -> Vec<Kind> {
    let mut events = Vec::new();
    while watch.drain(16, &mut |kind| events.push(kind)).unwrap() != Drained::Dry {}
    events
}

fn changes(watch: &mut NetlinkWatch) -> Vec<NetlinkChange> {
    let change = |kind| match kind {
        Kind::Netlink(change) => *change,
        other => panic!("{other:?}"),
    };
    read(watch).into_iter().map(change).collect()
}

fn links(watch: &mut NetlinkWatch) -> Vec<LinkChange> {
    let link = |change| match change {
        NetlinkChange::Link(link) => link,
        other => panic!("{other:?}"),
    };
    changes(watch).into_iter().map(link).collect()
}

fn addresses(watch: &mut NetlinkWatch) -> Vec<AddressChange> {
    let address = |change| match change {
        NetlinkChange::Address(address) => address,
        other => panic!("{other:?}"),
    };
    changes(watch).into_iter().map(address).collect()
}

fn routes(watch: &mut NetlinkWatch) -> Vec<RouteChange> {
    let route = |change| match change {
        NetlinkChange::Route(route) => route,
        other => panic!("{other:?}"),
    };
    changes(watch).into_iter().map(route).collect()
}

/// A namespace with a pair of interfaces `left` and `right`, which are up. IPv6 is off: it makes
/// addresses and routes of its own accord and in its own time.
fn with_pair() -> Option<Netns> {
    let netns = Netns::new()?;
    netns.run(|| {
        for which in ["all", "default"] {
            let path = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
            std::fs::write(path, "1").unwrap();
        }
    });
    netns.ip("link add left type veth peer name right");
    netns.ip("link set left up");
    netns.ip("link set right up");
    Some(netns)
}

fn index(netns: &Netns, name: &str) -> u32 {
    let line = netns.ip(&format!("-o link show {name}"));
    line.split(':').next().unwrap().parse().unwrap()
}

#[test]
fn an_interface_comes_changes_and_goes() {
    let Some(netns) = Netns::new() else { return };
    let mut watch = watch(&netns, Netlink::new().links());
    assert_eq!(read(&mut watch), [], "what is there already is not told");
    netns.ip("link add left type veth peer name right");
    let new = links(&mut watch);
    let named = |name: &str| new.iter().find(|link| link.name == *name).unwrap().clone();
    let left = LinkChange {
        removed: false,
        index: index(&netns, "left"),
        name: "left".into(),
        up: false,
        carrier: false,
        mtu: Some(1500),
    };
    assert_eq!(named("left"), left);
    assert!(!named("right").removed);

    netns.ip("link set left mtu 1400");
    assert!(links(&mut watch).contains(&LinkChange { mtu: Some(1400), ..left.clone() }));
    netns.ip("link set left up");
    let up = links(&mut watch).into_iter().rfind(|link| link.index == left.index).unwrap();
    assert!(up.up && !up.carrier, "its peer is down");
    netns.ip("link set right up");
    let mut last = None;
    wait_until("it has a carrier", || {
        last = links(&mut watch).into_iter().rfind(|link| link.index == left.index).or(last.take());
        last.as_ref().is_some_and(|link| link.carrier)
    });
    netns.ip("link del left");
    let gone: Vec<_> = links(&mut watch).into_iter().filter(|link| link.removed).collect();
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert!(gone.iter().any(|link| link.index == left.index && link.name == "left"));
}

#[test]
fn a_port_that_leaves_its_bridge_is_no_interface_that_goes() {
    let Some(netns) = with_pair() else { return };
    let made = netns.run(|| {
        std::process::Command::new("ip").args("link add bridge type bridge".split(' ')).output()
    });
    if !made.unwrap().status.success() {
        skip!("the kernel was built without bridges");
    }
    netns.ip("link set left master bridge");
    let mut watch = watch(&netns, Netlink::new().links());
    netns.ip("link set left nomaster");
    let links = links(&mut watch);
    assert!(!links.is_empty() && links.iter().all(|link| !link.removed), "{links:?}");
}

#[test]
fn addresses_come_and_go() {
    let Some(netns) = with_pair() else { return };
    let index = index(&netns, "left");
    let mut watch = watch(&netns, Netlink::new().addresses());
    netns.ip("addr add 192.0.2.7/24 dev left");
    let address = Some("192.0.2.7".parse().unwrap());
    let four = AddressChange { removed: false, index, address, prefix: 24 };
    assert_eq!(addresses(&mut watch), std::slice::from_ref(&four));
    netns.ip("addr del 192.0.2.7/24 dev left");
    assert_eq!(addresses(&mut watch), [AddressChange { removed: true, ..four }]);
    netns.ip("addr add 192.0.2.8 peer 192.0.2.9/32 dev left");
    let address = Some("192.0.2.8".parse().unwrap());
    let own = AddressChange { removed: false, index, address, prefix: 32 };
    assert_eq!(addresses(&mut watch), [own], "ours, not the peer's");
}

#[test]
fn ipv6_addresses_come_and_go() {
    let Some(netns) = with_pair() else { return };
    netns.run(|| std::fs::write("/proc/sys/net/ipv6/conf/left/disable_ipv6", "0")).unwrap();
    let index = index(&netns, "left");
    let mut watch = watch(&netns, Netlink::new().addresses());
    netns.ip("addr add 2001:db8::7/64 dev left nodad");
    let wanted = AddressChange {
        removed: false,
        index,
        address: Some("2001:db8::7".parse().unwrap()),
        prefix: 64,
    };
    let mut seen = Vec::new();
    wait_until("it came", || {
        seen.extend(addresses(&mut watch));
        seen.contains(&wanted)
    });
    netns.ip("addr del 2001:db8::7/64 dev left");
    wait_until("it went", || {
        seen.extend(addresses(&mut watch));
        seen.contains(&AddressChange { removed: true, ..wanted.clone() })
    });
}

#[test]
fn routes_come_and_go() {
    let Some(netns) = with_pair() else { return };
    netns.ip("addr add 192.0.2.7/24 dev left");
    let index = Some(index(&netns, "left"));
    let mut watch = watch(&netns, Netlink::new().routes());
    netns.ip("route add default via 192.0.2.1");
    let gateway = Some("192.0.2.1".parse().unwrap());
    let default =
        RouteChange { removed: false, destination: None, prefix: 0, gateway, index, table: 254 };
    assert_eq!(routes(&mut watch), std::slice::from_ref(&default));
    netns.ip("route del default");
    assert_eq!(routes(&mut watch), [RouteChange { removed: true, ..default.clone() }]);

    netns.ip("route add 198.51.100.0/24 dev left table 1000");
    let destination = Some("198.51.100.0".parse().unwrap());
    let narrow = RouteChange { destination, prefix: 24, gateway: None, table: 1000, ..default };
    assert_eq!(routes(&mut watch), [narrow]);
}

#[test]
fn ipv6_routes_come_and_ipv6_gateways_of_ipv4_routes() {
    let Some(netns) = with_pair() else { return };
    netns.run(|| std::fs::write("/proc/sys/net/ipv6/conf/left/disable_ipv6", "0")).unwrap();
    let mut watch = watch(&netns, Netlink::new().routes());
    netns.ip("route add 2001:db8:1::/48 dev left");
    let wanted = RouteChange {
        removed: false,
        destination: Some("2001:db8:1::".parse().unwrap()),
        prefix: 48,
        gateway: None,
        index: Some(index(&netns, "left")),
        table: 254,
    };
    let mut seen = Vec::new();
    wait_until("it came", || {
        seen.extend(routes(&mut watch));
        seen.contains(&wanted)
    });
    netns.ip("route add 203.0.113.0/24 via inet6 fe80::1 dev left");
    let wanted = RouteChange {
        destination: Some("203.0.113.0".parse().unwrap()),
        prefix: 24,
        gateway: Some("fe80::1".parse().unwrap()),
        ..wanted
    };
    wait_until("so did the other", || {
        seen.extend(routes(&mut watch));
        seen.contains(&wanted)
    });
}

#[test]
fn only_what_was_asked_for_is_told() {
    let Some(netns) = with_pair() else { return };
    let mut addresses = watch(&netns, Netlink::new().addresses());
    let mut both = watch(&netns, Netlink::new().addresses().routes());
    netns.ip("link set left mtu 1400");
    assert_eq!(read(&mut addresses), []);
    netns.ip("addr add 192.0.2.7/24 dev left");
    assert_eq!(changes(&mut addresses).len(), 1);
    let both = changes(&mut both);
    assert!(both.iter().any(|change| matches!(change, NetlinkChange::Address(_))));
    assert!(both.iter().any(|change| matches!(change, NetlinkChange::Route(_))));
    assert!(!both.iter().any(|change| matches!(change, NetlinkChange::Link(_))));
}

#[test]
fn devices_come_and_go() {
    let Some(netns) = Netns::new() else { return };
    let mut watch = watch(&netns, Netlink::new().uevents());
    let mut seen: Vec<Uevent> = Vec::new();
    let mut wait_for = |watch: &mut NetlinkWatch, action: &str| {
        let device = "/devices/virtual/net/left";
        let mut found = None;
        wait_until("it was told", || {
            seen.extend(changes(watch).into_iter().map(|change| match change {
                NetlinkChange::Uevent(uevent) => uevent,
                other => panic!("{other:?}"),
            }));
            found = seen.iter().find(|it| it.action == action && it.device == device).cloned();
            found.is_some()
        });
        found.unwrap()
    };
    netns.ip("link add left type veth peer name right");
    let added = wait_for(&mut watch, "add");
    assert_eq!(added.subsystem, "net");
    for (key, value) in [("ACTION", "add"), ("INTERFACE", "left"), ("SUBSYSTEM", "net")] {
        assert!(added.properties.contains(&(key.into(), value.into())), "{added:?}");
    }
    netns.ip("link del left");
    wait_for(&mut watch, "remove");
}

#[test]
fn a_burst_that_overruns_the_buffer_says_look_again() {
    let Some(netns) = with_pair() else { return };
    let mut watch = watch(&netns, Netlink::new().links());
    // 8 MiB hold some thousands of messages of a kilobyte.
    let lines: String =
        (0..20_000).map(|n| format!("link set left mtu {}\n", 1000 + n % 2)).collect();
    let mut batch = netns.run(|| {
        std::process::Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    });
    batch.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(batch.wait().unwrap().success());
    let events = read(&mut watch);
    assert_eq!(events.iter().filter(|kind| **kind == Kind::Rescan).count(), 1);
    assert!(events.len() > 100, "those before are told");
    netns.ip("link set left mtu 1300");
    assert_eq!(links(&mut watch).last().unwrap().mtu, Some(1300), "and those after");
}

#[test]
fn a_budget_is_kept_and_the_rest_is_left() {
    let Some(netns) = with_pair() else { return };
    let mut watch = watch(&netns, Netlink::new().addresses());
    (1..6).for_each(|n| drop(netns.ip(&format!("addr add 192.0.2.{n}/24 dev left"))));
    let mut told = Vec::new();
    for drained in [Drained::Budget, Drained::Budget, Drained::Dry] {
        assert_eq!(watch.drain(2, &mut |kind| told.push(kind)).unwrap(), drained);
    }
    let addresses = told.into_iter().map(|kind| match kind {
        Kind::Netlink(change) => match *change {
            NetlinkChange::Address(address) => address.address.unwrap().to_string(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    });
    let expected = (1..6).map(|n| format!("192.0.2.{n}"));
    assert_eq!(addresses.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "in order");
}

#[test]
fn the_descriptor_is_ready_when_there_is_news() {
    let Some(netns) = with_pair() else { return };
    let mut watch = watch(&netns, Netlink::new().addresses());
    let epoll = Epoll::new().unwrap();
    epoll.add(watch.fd().as_raw_fd(), PollMask::IN, Trigger::Edge, 0).unwrap();
    for n in 1..4 {
        assert_eq!(epoll.wait(&mut [Report::empty()], Some(0), None).unwrap(), 0);
        netns.ip(&format!("addr add 192.0.2.{n}/24 dev left"));
        assert_eq!(epoll.wait(&mut [Report::empty()], None, None).unwrap(), 1);
        assert_eq!(addresses(&mut watch).len(), 1);
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    for netlink in [Netlink::new(), Netlink::new().links().uevents()] {
        let error = NetlinkWatch::new(&netlink).unwrap_err();
        assert!(matches!(error, RegisterError::Invalid(_)), "{netlink:?}: {error:?}");
    }
}

/// A message of rtnetlink: header, its own fixed part, attributes.
fn message(kind: u16, fixed: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = fixed.to_vec();
    for (kind, value) in attributes {
        body.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
        body.extend_from_slice(&kind.to_ne_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut message = (body.len() as u32 + 16).to_ne_bytes().to_vec();
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&[0; 10]);
    message.extend_from_slice(&body);
    message
}

fn parsed(datagram: &[u8]) -> Vec<Kind> {
    let mut events = Vec::new();
    parse::route(datagram, &mut |kind| events.push(kind));
    events
}

/// One of each kind.
fn valid() -> [Vec<u8>; 3] {
    let link: Vec<u8> =
        [0_u32, 7, 0x1_0001, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mut address = vec![2, 24, 0, 0];
    address.extend_from_slice(&7_u32.to_ne_bytes());
    let mut route = vec![2, 24, 0, 0, 254, 3, 0, 1];
    route.extend_from_slice(&0_u32.to_ne_bytes());
    [
        message(16, &link, &[(3, b"left\0"), (4, &1500_u32.to_ne_bytes())]),
        message(20, &address, &[(1, &[192, 0, 2, 7])]),
        message(24, &route, &[(1, &[192, 0, 2, 0]), (4, &7_u32.to_ne_bytes())]),
    ]
}

#[test]
fn several_messages_of_a_datagram_are_several_events() {
    let datagram: Vec<u8> = valid().concat();
    let events = parsed(&datagram);
    let link = LinkChange {
        removed: false,
        index: 7,
        name: "left".into(),
        up: true,
        carrier: true,
        mtu: Some(1500),
    };
    assert_eq!(events[0], Kind::Netlink(Box::new(NetlinkChange::Link(link))));
    assert_eq!(events.len(), 3);
    // NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE and what is not known are passed over.
    for kind in [1, 2, 3, 5, 18, 28, u16::MAX] {
        assert_eq!(parsed(&message(kind, &[0; 20], &[])), [], "{kind}");
    }
    assert_eq!(parsed(&message(4, &[], &[])), [Kind::Rescan], "NLMSG_OVERRUN");
}

#[test]
fn a_message_that_is_cut_off_is_no_event() {
    for valid in valid() {
        for len in 0..valid.len() {
            assert_eq!(parsed(&valid[..len]), [], "{len}");
        }
    }
    // The header is right, and what it holds is short.
    for kind in [16, 17, 20, 21, 24, 25] {
        for len in 0..7 {
            assert_eq!(parsed(&message(kind, &vec![2; len], &[])), [], "{kind} {len}");
        }
    }
}

#[test]
fn attributes_of_a_wrong_size_are_passed_over() {
    let mut address = vec![2, 24, 0, 0];
    address.extend_from_slice(&7_u32.to_ne_bytes());
    for value in [&[1, 2, 3][..], &[0; 16], &[]] {
        let events = parsed(&message(20, &address, &[(1, value)]));
        let [Kind::Netlink(change)] = &events[..] else { panic!("{events:?}") };
        let NetlinkChange::Address(change) = &**change else { panic!("{change:?}") };
        assert_eq!((change.address, change.index), (None, 7));
    }
}

#[test]
fn any_bytes_are_parsed_without_panic() {
    let mut rng = Rng::seeded();
    let valid = valid();
    for _ in 0..20_000 {
        let mut bytes = rng.pick(&valid).clone();
        for _ in 0..=rng.below(6) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = rng.below(256) as u8;
        }
        fuzz::changes(&bytes[..rng.below(bytes.len() as u64 + 1) as usize]);
        rng.fill(&mut bytes);
        fuzz::changes(&bytes);
        fuzz::uevent(&bytes);
    }
}

#[test]
fn a_uevent_is_taken_as_it_comes() {
    let uevent = |bytes: &[u8]| {
        parse::uevent(bytes).map(|kind| match kind {
            Kind::Netlink(change) => match *change {
                NetlinkChange::Uevent(uevent) => uevent,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
    };
    let full = uevent(b"change@/devices/a@b\0A=1\0SUBSYSTEM=block\0B=x=y\0nothing\0\0").unwrap();
    assert_eq!((full.action.as_str(), full.device.as_str()), ("change", "/devices/a@b"));
    assert_eq!(full.subsystem, "block");
    let pairs: Vec<_> = full.properties.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(pairs, [("A", "1"), ("SUBSYSTEM", "block"), ("B", "x=y")]);
    assert_eq!(uevent(b"add@/x").unwrap().subsystem, "");
    assert_eq!(uevent(b"add@/x\xff\0K=\xfe\0").unwrap().device, "/x\u{fffd}");
    for wrong in [&b""[..], b"\0", b"libudev\0add@/x\0", b"ACTION=add\0"] {
        assert_eq!(uevent(wrong), None);
    }
}
