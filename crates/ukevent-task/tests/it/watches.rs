//! Inodes and the network's configuration, watched.

use crate::bench::{Bench, dropped_while_it_waits, settle};
use testkit::{Netns, TempTree};
use ukevent_queue::{Changes, Inode, NetlinkChange, RegisterError};
use ukevent_task::Observed;
use ukevent_task::netlink::Netlink;
use ukevent_task::watch::Watch;

cases! {
    everywhere: [
        a_change_after_a_call_was_dropped_is_not_lost,
        changes_while_nobody_asks_are_told_in_order,
        a_tree_that_grows_is_watched,
        what_is_gone_is_told,
        what_is_not_there_is_refused,
        an_overflow_is_a_value,
        the_network_is_watched_and_nothing_lost,
        a_device_is_told,
        nothing_to_watch_is_refused,
    ],
}

fn a_change_after_a_call_was_dropped_is_not_lost(bench: &Bench) {
    let tree = TempTree::new();
    bench.run(async {
        let mut watch = Watch::of(Inode::path(tree.path()).on(Changes::CREATED)).unwrap();
        for round in 0..20 {
            dropped_while_it_waits(watch.next()).await;
            tree.file(&format!("file{round}"), "");
            if round % 2 == 0 {
                // It comes while nobody waits, too.
                settle().await;
            }
            let Observed::Change(change) = watch.next().await else { panic!() };
            assert_eq!(change.changes, Changes::CREATED);
            assert_eq!(change.name.to_str().unwrap(), format!("file{round}"));
        }
        dropped_while_it_waits(watch.next()).await;
    });
}

fn changes_while_nobody_asks_are_told_in_order(bench: &Bench) {
    let tree = TempTree::new();
    bench.run(async {
        let mut watch = Watch::of(Inode::path(tree.path()).on(Changes::CREATED)).unwrap();
        for number in 0..1000 {
            tree.file(&format!("{number}"), "");
            if number % 10 == 0 {
                settle().await;
            }
        }
        for number in 0..1000 {
            let Observed::Change(change) = watch.next().await else { panic!() };
            assert_eq!(change.name.to_str().unwrap(), number.to_string());
        }
        dropped_while_it_waits(watch.next()).await;
    });
}

fn a_tree_that_grows_is_watched(bench: &Bench) {
    let tree = TempTree::new();
    bench.run(async {
        let mut watch = Watch::tree(tree.path()).unwrap();
        tree.file("a/b/c", "text");
        loop {
            let Observed::Change(change) = watch.next().await else { panic!() };
            if change.name.to_str() == Some("a/b/c") && change.changes == Changes::WRITTEN {
                break;
            }
            // It may have been there before its directory was watched.
            if change.name.to_str() == Some("a/b/c") && change.changes == Changes::CREATED {
                tree.file("a/b/c", "again");
            }
        }
    });
}

fn what_is_gone_is_told(bench: &Bench) {
    let tree = TempTree::new();
    let path = tree.file("file", "text");
    bench.run(async {
        let mut watch = Watch::of(Inode::path(&path).on(Changes::WRITTEN)).unwrap();
        std::fs::remove_file(&path).unwrap();
        let Observed::Change(change) = watch.next().await else { panic!() };
        assert_eq!(change.changes, Changes::SELF_REMOVED);
    });
}

fn what_is_not_there_is_refused(bench: &Bench) {
    let tree = TempTree::new();
    bench.run(async {
        let missing = std::io::Error::from(Watch::path(tree.path().join("missing")).unwrap_err());
        assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    });
}

fn an_overflow_is_a_value(bench: &Bench) {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let tree = TempTree::new();
    let (one, other) = (tree.file("one", ""), tree.file("other", ""));
    bench.run(async {
        let mut watch = Watch::of(Inode::path(tree.path()).on(Changes::ATTRIBUTES)).unwrap();
        let permissions = std::fs::metadata(&one).unwrap().permissions();
        // Two in turn, because the kernel makes one of two that are the same.
        for _ in 0..limit / 2 + 100 {
            std::fs::set_permissions(&one, permissions.clone()).unwrap();
            std::fs::set_permissions(&other, permissions.clone()).unwrap();
        }
        let mut changes = 0;
        while let Observed::Change(_) = watch.next().await {
            changes += 1;
            assert!(changes <= limit + 300, "it was lost without a word");
        }
    });
}

/// Runs a case on a thread inside a network namespace, if this process may have one.
fn inside(body: impl FnOnce(&Netns) + Send) {
    if let Some(netns) = Netns::new() {
        netns.run(|| body(&netns));
    }
}

async fn until(network: &mut Netlink, wanted: impl Fn(&NetlinkChange) -> bool) {
    loop {
        match network.next().await {
            Observed::Change(change) if wanted(&change) => return,
            Observed::Change(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn the_network_is_watched_and_nothing_lost(bench: &Bench) {
    inside(|netns| {
        bench.run(async {
            let what = ukevent_queue::Netlink::new().links().addresses().routes();
            let mut network = Netlink::of(what).unwrap();
            dropped_while_it_waits(network.next()).await;
            netns.ip("addr add 192.0.2.7/24 dev lo");
            settle().await;
            until(&mut network, |change| {
                matches!(change, NetlinkChange::Address(it) if it.address == "192.0.2.7".parse().ok())
            })
            .await;
            netns.ip("route add 198.51.100.0/24 dev lo");
            until(&mut network, |change| {
                matches!(change, NetlinkChange::Route(it) if it.destination == "198.51.100.0".parse().ok())
            })
            .await;
            netns.ip("link add veth7 type veth peer name veth8");
            until(&mut network, |change| {
                matches!(change, NetlinkChange::Link(it) if it.name == "veth7" && !it.removed)
            })
            .await;
        });
    });
}

fn a_device_is_told(bench: &Bench) {
    inside(|netns| {
        bench.run(async {
            let mut devices = Netlink::of(ukevent_queue::Netlink::new().uevents()).unwrap();
            netns.ip("link add veth7 type veth peer name veth8");
            until(&mut devices, |change| {
                matches!(change, NetlinkChange::Uevent(it)
                    if it.action == "add" && it.device.ends_with("veth7"))
            })
            .await;
        });
    });
}

fn nothing_to_watch_is_refused(bench: &Bench) {
    bench.run(async {
        let refused = Netlink::of(ukevent_queue::Netlink::new()).unwrap_err();
        assert!(matches!(refused, RegisterError::Invalid(_)));
    });
}
