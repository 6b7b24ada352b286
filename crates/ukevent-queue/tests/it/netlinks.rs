//! The kernel's network configuration as events, in network namespaces of the cases' own.

use crate::bench::{A, B, Bench, batch, next, patient, silent, tokens};
use crate::subject::Queue;
use std::net::IpAddr;
use testkit::Netns;
use ukevent_queue::{Event, Kind, Mode, Netlink, NetlinkChange, RegisterError, Wait};

cases! {
    kernels: [
        an_interface_that_appears_changes_and_goes_is_told,
        an_address_that_is_added_and_removed_is_told,
        a_route_that_is_added_is_told,
        a_device_that_appears_is_told,
        what_happens_in_another_namespace_is_not_told,
        what_is_not_asked_for_is_not_told,
        each_registration_is_told,
        changes_of_the_network_while_disabled_are_kept,
        changes_of_the_network_by_one_shot_come_once,
        a_network_watched_for_nothing_is_refused,
    ],
}

/// Runs `body` on a thread inside a network namespace, if this process may have one.
fn inside(body: impl FnOnce(&Netns) + Send) {
    if let Some(netns) = Netns::new() {
        netns.run(|| body(&netns));
    }
}

#[track_caller]
fn network(event: &Event) -> &NetlinkChange {
    match &event.kind {
        Kind::Netlink(change) => change,
        _ => panic!("not of the network: {event:?}"),
    }
}

/// Takes events until one is as wanted.
fn until(queue: &mut Queue, what: &str, mut wanted: impl FnMut(&NetlinkChange) -> bool) {
    for _ in 0..100 {
        if wanted(network(&next(queue))) {
            return;
        }
    }
    panic!("not told: {what}");
}

fn an_interface_that_appears_changes_and_goes_is_told(bench: &Bench) {
    inside(|netns| {
        let mut queue = bench.queue();
        queue.register(Netlink::new().links(), A, Mode::Level).unwrap();
        silent(&mut queue);
        netns.ip("link add veth7 type veth peer name veth8");
        until(&mut queue, "that veth7 appears", |change| {
            matches!(change, NetlinkChange::Link(link)
                if link.name == "veth7" && !link.removed && !link.up && link.index > 0)
        });
        netns.ip("link set veth7 mtu 1400 up");
        until(&mut queue, "that veth7 is up", |change| {
            matches!(change, NetlinkChange::Link(link)
                if link.name == "veth7" && link.up && link.mtu == Some(1400))
        });
        netns.ip("link del veth7");
        until(
            &mut queue,
            "that veth7 went",
            |change| matches!(change, NetlinkChange::Link(link) if link.name == "veth7" && link.removed),
        );
    });
}

fn an_address_that_is_added_and_removed_is_told(bench: &Bench) {
    inside(|netns| {
        let mut queue = bench.queue();
        queue.register(Netlink::new().addresses(), A, Mode::Level).unwrap();
        for (address, prefix) in [("192.0.2.7", 24), ("2001:db8::7", 64)] {
            let expected: IpAddr = address.parse().unwrap();
            for (what, gone) in [("add", false), ("del", true)] {
                netns.ip(&format!("addr {what} {address}/{prefix} dev lo"));
                until(&mut queue, address, |change| {
                    matches!(change, NetlinkChange::Address(change)
                        if change.address == Some(expected)
                            && change.prefix == prefix
                            && change.index == 1
                            && change.removed == gone)
                });
            }
        }
    });
}

fn a_route_that_is_added_is_told(bench: &Bench) {
    inside(|netns| {
        let mut queue = bench.queue();
        queue.register(Netlink::new().routes(), A, Mode::Level).unwrap();
        netns.ip("route add 198.51.100.0/24 dev lo");
        let destination: IpAddr = "198.51.100.0".parse().unwrap();
        until(&mut queue, "the route", |change| {
            matches!(change, NetlinkChange::Route(route)
                if route.destination == Some(destination)
                    && route.prefix == 24
                    && route.index == Some(1)
                    && !route.removed)
        });
    });
}

fn a_device_that_appears_is_told(bench: &Bench) {
    inside(|netns| {
        let mut queue = bench.queue();
        queue.register(Netlink::new().uevents(), A, Mode::Level).unwrap();
        silent(&mut queue);
        netns.ip("link add veth7 type veth peer name veth8");
        until(&mut queue, "that the device veth7 was added", |change| {
            matches!(change, NetlinkChange::Uevent(uevent)
                if uevent.action == "add"
                    && uevent.subsystem == "net"
                    && uevent.properties.contains(&("INTERFACE".to_owned(), "veth7".to_owned())))
        });
    });
}

fn what_happens_in_another_namespace_is_not_told(bench: &Bench) {
    let Some(other) = Netns::new() else { return };
    inside(|netns| {
        let mut queue = bench.queue();
        queue.register(Netlink::new().links().addresses(), A, Mode::Level).unwrap();
        other.ip("link add veth7 type veth peer name veth8");
        other.ip("addr add 192.0.2.7/24 dev lo");
        silent(&mut queue);
        netns.ip("addr add 192.0.2.8/24 dev lo");
        assert_eq!(next(&mut queue).token, A);
    });
}

fn what_is_not_asked_for_is_not_told(bench: &Bench) {
    inside(|netns| {
        let mut queue = bench.queue();
        queue.register(Netlink::new().links(), A, Mode::Level).unwrap();
        netns.ip("addr add 192.0.2.7/24 dev lo");
        netns.ip("route add 198.51.100.0/24 dev lo");
        silent(&mut queue);
    });
}

fn each_registration_is_told(bench: &Bench) {
    inside(|netns| {
        let mut queue = bench.queue();
        queue.register(Netlink::new().addresses(), A, Mode::Level).unwrap();
        let key = queue.register(Netlink::new().addresses(), B, Mode::Level).unwrap();
        netns.ip("addr add 192.0.2.7/24 dev lo");
        let mut came = tokens(&batch(&mut queue, patient().at_least(2)));
        came.sort_unstable();
        assert_eq!(came, [A, B]);
        queue.remove(key).unwrap();
        netns.ip("addr del 192.0.2.7/24 dev lo");
        assert_eq!(next(&mut queue).token, A);
        silent(&mut queue);
    });
}

fn changes_of_the_network_while_disabled_are_kept(bench: &Bench) {
    inside(|netns| {
        let mut queue = bench.queue();
        let key = queue.register(Netlink::new().addresses(), A, Mode::Level).unwrap();
        queue.disable(key).unwrap();
        netns.ip("addr add 192.0.2.7/24 dev lo");
        silent(&mut queue);
        queue.enable(key).unwrap();
        assert_eq!(next(&mut queue).token, A);
    });
}

fn changes_of_the_network_by_one_shot_come_once(bench: &Bench) {
    inside(|netns| {
        let mut queue = bench.queue();
        queue.register(Netlink::new().addresses(), A, Mode::OneShot).unwrap();
        netns.ip("addr add 192.0.2.7/24 dev lo");
        netns.ip("addr add 192.0.2.8/24 dev lo");
        let mut came = 0;
        while crate::bench::wait(&mut queue, Wait::now()).unwrap() > 0 {
            came += std::iter::from_fn(|| queue.next_event()).count();
        }
        assert_eq!(came, 1);
        assert_eq!(queue.counters().registered, 0);
    });
}

fn a_network_watched_for_nothing_is_refused(bench: &Bench) {
    let mut queue = bench.queue();
    for netlink in [Netlink::new(), Netlink::new().links().uevents()] {
        let error = queue.register(netlink, A, Mode::Level).unwrap_err();
        assert!(matches!(error, RegisterError::Invalid(_)), "{error:?}");
    }
    assert_eq!(queue.counters().registered, 0);
}
