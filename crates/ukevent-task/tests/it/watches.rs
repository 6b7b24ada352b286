//! Inodes and the network's configuration, watched.

use crate::bench::{BackendKind, Bench, dropped_while_it_waits, settle};
use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use testkit::{Netns, TempTree};
use ukevent_queue::{Changes, Inode, Kind, NetlinkChange, RegisterError};
use ukevent_task::net::UnixStream;
use ukevent_task::netlink::Netlink;
use ukevent_task::watch::Watch;
use ukevent_task::{EventSet, Observed, Scope, caught_up, spawn};

cases! {
    everywhere: [
        a_change_after_a_call_was_dropped_is_not_lost,
        who_is_caught_up_knows_what_happened_before_what_it_received,
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

/// A thread makes a file, and then says so over one of many sockets, often over several at once: whoever hears
/// it, and is caught up, must have the report of the file, however many others are in the way.
fn who_is_caught_up_knows_what_happened_before_what_it_received(bench: &Bench) {
    const SOCKETS: usize = 60;
    const FILES: u64 = 6000;
    const QUIET: u64 = 300;
    let tree = TempTree::new();
    let (known, sure, heard) =
        (Rc::new(Cell::new(0)), Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(0)));
    // After which look reports were taken: there may be more then, which the set had no room for.
    let taken = Rc::new(Cell::new(None));
    bench.run(async {
        let mut set = EventSet::new();
        set.add(Inode::path(tree.path()).on(Changes::CREATED)).unwrap();
        let untaken = Rc::new(set.untaken());
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (0..SOCKETS).map(|_| std::os::unix::net::UnixStream::pair().unwrap()).unzip();
        let mut listeners = Scope::new();
        for stream in ours {
            let (known, sure, heard) = (Rc::clone(&known), Rc::clone(&sure), Rc::clone(&heard));
            let (untaken, taken) = (Rc::clone(&untaken), Rc::clone(&taken));
            let mut stream = UnixStream::from_socket(stream).unwrap();
            listeners.spawn(async move {
                let mut bytes = Vec::new();
                loop {
                    let more = stream.receive().await.unwrap();
                    if more.is_empty() {
                        return;
                    }
                    bytes.extend_from_slice(&more);
                    while let Some((number, _)) = bytes.split_first_chunk::<8>() {
                        let number = u64::from_ne_bytes(*number);
                        heard.set(heard.get() + 1);
                        let look = caught_up();
                        if look.is_some() && look != taken.get() && !untaken.any() {
                            sure.set(sure.get() + 1);
                            assert!(known.get() >= number, "{} of {number}", known.get());
                        }
                        bytes.drain(..8);
                    }
                }
            });
        }
        let folder = tree.path().to_owned();
        let says = std::thread::spawn(move || {
            let mut random = 1_u64;
            for number in 1..=FILES {
                std::fs::write(folder.join(number.to_string()), "").unwrap();
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let first = (random >> 33) as usize % SOCKETS;
                // A burst of more than the kernel handles at a time, now and then.
                let many = if number % 8 == 0 { SOCKETS } else { 1 };
                for socket in (first..first + many).map(|at| &theirs[at % SOCKETS]) {
                    (&*socket).write_all(&number.to_ne_bytes()).unwrap();
                }
            }
            // Now nothing is in the way any more.
            for _ in 0..QUIET {
                std::thread::sleep(std::time::Duration::from_millis(1));
                (&theirs[0]).write_all(&FILES.to_ne_bytes()).unwrap();
            }
        });
        let (takes, taken) = (Rc::clone(&known), Rc::clone(&taken));
        let reports = spawn(async move {
            loop {
                if let (_, Kind::Inode(change)) = set.next().await {
                    let number = change.name.to_str().and_then(|name| name.parse().ok());
                    takes.set(takes.get().max(number.unwrap_or(0)));
                    taken.set(caught_up());
                }
            }
        });
        while let Some(ended) = listeners.join_next().await {
            ended.unwrap();
        }
        reports.cancel();
        says.join().unwrap();
    });
    assert_eq!(heard.get(), FILES - FILES / 8 + FILES / 8 * SOCKETS as u64 + QUIET);
    // How many are sure depends on what else the machine does; that some are, does not.
    assert_eq!(
        sure.get() > 0,
        bench.kind() == BackendKind::IoUring,
        "{} of {}",
        sure.get(),
        heard.get()
    );
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
