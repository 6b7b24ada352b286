//! Connections that no thread has, because they rest: each a one-shot descriptor of the queue that all threads share.
//!
//! Whoever takes its event takes it up ([`House::take_up`]). Who has rested for as long as he may is closed: one timer of
//! the queue is set for the first of them, and whichever thread takes its event looks who is due. Whether a request or
//! that was first is decided once, by the queue: a descriptor is either taken with its event, or removed. A request that
//! came in time and was seen late is answered all the same: whoever removes one looks whether anything has come.
//!
//! A connection is named by the time until which it may rest, in nanoseconds and unlike all others: that is its token,
//! and the order in which they are due. It counts as open, and what it takes of the limits stays its own ([`Standing`]).

use super::{Lobby, lock};
use crate::{addresses::Counted, connection::Resting, server::House, shared::now_ns, whole::Whole};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{collections::BTreeMap, net::IpAddr, os::fd::OwnedFd, sync::Arc, time::Duration};
use ukevent_queue::{Clock, Fd, Key, Mode, Timer, Token};

/// The token of the timer.
pub(super) const ALARM: Token = Token(u64::MAX - 1);

/// Below that are the places of listeners. Four seconds after the machine has started.
const FIRST: u64 = 1 << 32;

/// Who may rest for ever is named by this, or little more: the tokens of timers are far above. Some centuries after the
/// machine has started.
const LAST: u64 = 1 << 63;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Lot {
    by_end: BTreeMap<u64, Parked>,
    /// The timer, and for when it is set.
    alarm: Option<(Key, u64)>,
    /// Nobody comes any more.
    is_over: bool,
}

#[derive(Debug)]
struct Parked {
    key: Key,
    guest: Guest,
}

/// What is remembered of a connection that no thread has, beside its socket.
#[derive(Debug)]
pub(super) struct Guest {
    peer: Option<IpAddr>,
    standing: Standing,
}

/// What it takes of the limits; given back when this is dropped, unless a thread has taken it over.
#[derive(Debug)]
struct Standing {
    whole: Arc<Whole>,
    share: Option<Box<Counted>>,
    is_taken_over: bool,
}

impl Standing {
    fn new(whole: Arc<Whole>, share: Option<Box<Counted>>) -> Self {
        whole.park();
        Self { whole, share, is_taken_over: false }
    }

    fn take_over(mut self) -> Option<Box<Counted>> {
        self.is_taken_over = true;
        self.share.take()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.whole.unpark();
        if self.is_taken_over {
            return;
        }
        if let Some((addresses, share)) = self.whole.addresses.as_ref().zip(self.share.take()) {
            addresses.close(*share);
        }
        self.whole.left();
    }
}

impl Lobby {
    /// Takes in a connection that rests, with its address's share. When there is no room for it, or the server is
    /// ending, it is closed, as any that rests may be.
    pub(in super::super::super) fn park(&self, resting: Resting, share: Option<Box<Counted>>) {
        let Resting { socket, peer, ends_ns } = resting;
        let guest = Guest { peer, standing: Standing::new(Arc::clone(&self.whole), share) };
        let mut lot = lock(&self.lot);
        let mut end = ends_ns.clamp(FIRST, LAST);
        while lot.by_end.contains_key(&end) {
            end += 1;
        }
        let parked = match lot.is_over {
            true => None,
            false => self.queue.register(Fd::new(socket), Token(end), Mode::OneShot).ok(),
        };
        if let Some(key) = parked {
            lot.by_end.insert(end, Parked { key, guest });
            self.set_alarm(&mut lot, end);
            return;
        }
        drop((lot, guest));
        self.open_doors();
    }

    /// The timer comes by then.
    fn set_alarm(&self, lot: &mut Lot, end: u64) {
        if lot.alarm.is_some_and(|(_, at)| at <= end) {
            return;
        }
        let timer = Timer::at(Clock::Monotonic, Duration::from_nanos(end));
        let Ok(key) = self.queue.register(timer, ALARM, Mode::OneShot) else {
            // They are closed late: with the next that comes it is tried again.
            return;
        };
        if let Some((before, _)) = lot.alarm.replace((key, end)) {
            // It may have come by now.
            drop(self.queue.remove(before));
        }
    }

    /// The timer has come: closes those who are due, but for those that something came from in time, which are given
    /// back.
    pub(super) fn close_due(&self) -> Vec<(u64, Guest, OwnedFd)> {
        let now = now_ns();
        let mut lot = lock(&self.lot);
        lot.alarm = None;
        let ends: Vec<_> = lot.by_end.range(..=now).map(|(&end, _)| end).collect();
        let due: Vec<_> = ends.into_iter().filter_map(|end| self.withdraw(&mut lot, end)).collect();
        // Who is past it and still there is on his way to a thread.
        let next = lot.by_end.range(now.saturating_add(1)..).next().map(|(&end, _)| end);
        if let Some(end) = next {
            self.set_alarm(&mut lot, end);
        }
        drop(lot);
        let count = due.len();
        let asking = close_silent(due);
        if asking.len() < count {
            self.open_doors();
        }
        asking
    }

    /// Takes one out, unless a thread has taken its event: then it is for that thread.
    fn withdraw(&self, lot: &mut Lot, end: u64) -> Option<(u64, Guest, Option<OwnedFd>)> {
        let withdrawn = self.queue.remove(lot.by_end.get(&end)?.key).ok()?;
        let Parked { guest, .. } = lot.by_end.remove(&end)?;
        Some((end, guest, withdrawn.downcast()))
    }

    /// The event of one was taken: who it is.
    pub(super) fn claim(&self, token: Token) -> Option<Guest> {
        lock(&self.lot).by_end.remove(&token.0).map(|parked| parked.guest)
    }

    /// From now on nobody rests here. Those who do are closed, but for those that something came from, which are
    /// given back.
    pub(super) fn end_rest(&self) -> Vec<(u64, Guest, OwnedFd)> {
        let mut lot = lock(&self.lot);
        lot.is_over = true;
        if let Some((key, _)) = lot.alarm.take() {
            // It may have come by now.
            drop(self.queue.remove(key));
        }
        let ends: Vec<_> = lot.by_end.keys().copied().collect();
        let withdrawn: Vec<_> =
            ends.into_iter().filter_map(|end| self.withdraw(&mut lot, end)).collect();
        drop(lot);
        close_silent(withdrawn)
    }
}

/// Closes those of them that nothing came from; the others are left.
fn close_silent(withdrawn: Vec<(u64, Guest, Option<OwnedFd>)>) -> Vec<(u64, Guest, OwnedFd)> {
    let asking = |(end, guest, socket): (_, _, Option<OwnedFd>)| {
        socket.filter(has_input).map(|socket| (end, guest, socket))
    };
    withdrawn.into_iter().filter_map(asking).collect()
}

/// Whether something came from the other side.
fn has_input(socket: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // What cannot be asked is looked at.
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&now)) != Ok(0)
}

impl House {
    /// Serves on one that rested.
    pub(super) fn take_up(&self, socket: OwnedFd, guest: Guest, ends_ns: u64) {
        let Guest { peer, standing } = guest;
        let taken = self.seats.take(standing.take_over(), false);
        self.resume(socket, taken, (peer, ends_ns));
    }
}

#[cfg(test)]
mod tests;
