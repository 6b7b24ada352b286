//! `dead`.

use rustix::net::{RecvFlags, SendFlags, Shutdown, accept, recv, send, shutdown};
use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use ukevent_bench::{
    server::{Serves, Site},
    tables::dead::{Setup, TABLE, round, run},
};
use ukevent_measure::{Contender, Plan, Result, Sample, cores::Cores, results::Outcome};

#[test]
fn all_deliver_and_are_shown() {
    let mut outcomes = Vec::new();
    (TABLE.run)(&Plan::smoke(), &Cores::find().unwrap(), &mut outcomes).unwrap();
    if outcomes.is_empty() {
        // One core: it said so.
        return;
    }
    // Five contenders, two sizes, with dead connections and without.
    assert_eq!(outcomes.len(), 5 * 2 * 2);
    for row in &outcomes {
        assert!(row.ok, "{row:?}");
        assert!(row.delivered > 0 && row.median > Some(0.0), "{row:?}");
    }
    let view = (TABLE.show)(&outcomes);
    let grid = view.grids[0].1.to_string();
    for name in ["poll() (2001)", "new /dev/poll (2001)", "ukevent io_uring", "bare poll"] {
        assert!(grid.contains(name), "{grid}");
    }
    assert!(grid.contains("22,510"), "{grid}");
    assert_eq!(view.chart.unwrap().lines.len(), 5 + 3);
}

/// A thread for each connection. Does not answer the request of one number, and closes the connection of
/// another at once.
struct Flawed<const UNANSWERED: u64, const CLOSED: u64>;

const NONE: u64 = u64::MAX;

impl<const UNANSWERED: u64, const CLOSED: u64> Serves for Flawed<UNANSWERED, CLOSED> {
    fn serve(site: &Site, listener: OwnedFd) -> Result<()> {
        rustix::io::ioctl_fionbio(&listener, false)?;
        let requests = &AtomicU64::new(0);
        std::thread::scope(|scope| {
            let mut sockets = Vec::new();
            while !site.is_over() {
                let socket = Arc::new(accept(&listener)?);
                sockets.push(Arc::clone(&socket));
                if sockets.len() as u64 == CLOSED {
                    shutdown(&socket, Shutdown::Both)?;
                    continue;
                }
                scope.spawn(move || {
                    let mut bytes = [0; 2048];
                    while let Ok((_, 1..)) = recv(&socket, &mut bytes[..], RecvFlags::empty()) {
                        if requests.fetch_add(1, Ordering::Relaxed) != UNANSWERED {
                            let _ = send(&socket, site.reply().whole(), SendFlags::NOSIGNAL);
                        }
                    }
                });
            }
            // Their threads wait for them.
            for socket in &sockets {
                let _ = shutdown(socket, Shutdown::Both);
            }
            Ok(())
        })
    }
}

/// The outcomes of one contender alone; none on one core.
fn outcomes_of(round: fn(&Setup) -> Result<Vec<Sample>>) -> Vec<Outcome> {
    let mut plan = Plan::smoke();
    plan.absent =
        vec!["ukevent io_uring", "ukevent epoll", "ukevent poll", "bare epoll", "bare poll"];
    let mut outcomes = Vec::new();
    let rivals = vec![Contender { name: "flawed", round }];
    run(&plan, &Cores::find().unwrap(), rivals, &mut outcomes).unwrap();
    outcomes
}

#[test]
fn who_does_all_of_it_has_a_result() {
    for row in outcomes_of(round::<Flawed<NONE, NONE>>) {
        assert!(row.ok, "{row:?}");
    }
}

#[test]
fn who_drops_one_reply_has_none() {
    for row in outcomes_of(round::<Flawed<10, NONE>>) {
        assert_eq!((row.ok, row.median), (false, None), "{row:?}");
        assert!(row.error.as_ref().unwrap().contains("1 reply_timeout"), "{row:?}");
    }
}

/// Of the connections twelve are busy ones that came before: four for the warm-up, and for each size.
#[test]
fn who_closes_one_dead_connection_has_none() {
    for row in outcomes_of(round::<Flawed<NONE, 20>>) {
        assert_eq!((row.ok, row.median), (false, None), "{row:?}");
        assert!(row.error.as_ref().unwrap().contains("1 were closed"), "{row:?}");
    }
}
