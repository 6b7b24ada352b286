//! Who asks next: the one place from which connections take their requests.
//!
//! In a closed loop there is always another one, until the end. In an open loop a schedule gives requests
//! out when they are due: to a connection that rests, the one that rested last first (the others may end
//! meanwhile, as they would with real clients); else to a new connection, if there may be more; else they
//! wait here, first come first served, and their latency runs.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    task::{Poll, Waker},
};

/// Requests that may wait for a connection; what is due beyond that is refused.
const WAITING: usize = 4_000_000;

/// A request that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// When it was intended to start.
    pub(super) intended_ns: u64,
}

/// The source of requests.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// In a closed loop: how many may still start.
    left: Cell<Option<u64>>,
    is_open_loop: bool,
    is_over: Cell<bool>,
    waiting: RefCell<VecDeque<Due>>,
    resting: RefCell<Vec<usize>>,
    seats: RefCell<Vec<Seat>>,
}

/// Where a connection waits for a request.
#[derive(Debug, Default)]
struct Seat {
    given: Option<Due>,
    waker: Option<Waker>,
    /// It is in the list of those that rest.
    rests: bool,
}

/// What became of a request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// A connection has it, or will.
    Taken,
    /// It waits, and nobody rests.
    Waits,
    /// Too many wait.
    Refused,
}

impl Work {
    /// Of a closed loop: so many requests, or without end.
    pub(super) fn closed(requests: Option<u64>) -> Self {
        Self { left: Cell::new(requests), ..Self::default() }
    }

    /// Of an open loop.
    pub(super) fn open() -> Self {
        Self { is_open_loop: true, ..Self::default() }
    }

    /// A place for another connection.
    pub(super) fn sit(&self) -> usize {
        let mut seats = self.seats.borrow_mut();
        seats.push(Seat::default());
        seats.len() - 1
    }

    /// Nothing starts any more, but what is due already.
    pub(super) fn end(&self) {
        self.is_over.set(true);
        let wakers: Vec<Waker> =
            self.seats.borrow_mut().iter_mut().filter_map(|seat| seat.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// What waits for a connection is not made any more: how many those are.
    pub(super) fn forget(&self) -> u64 {
        self.waiting.take().len() as u64
    }

    /// A request is due.
    pub(super) fn give(&self, due: Due) -> Given {
        while let Some(index) = { self.resting.borrow_mut().pop() } {
            let waker = {
                let seat = &mut self.seats.borrow_mut()[index];
                if !std::mem::take(&mut seat.rests) {
                    continue;
                }
                seat.given = Some(due);
                seat.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
            return Given::Taken;
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= WAITING {
            return Given::Refused;
        }
        waiting.push_back(due);
        Given::Waits
    }

    /// What this connection is to ask next, if there is something.
    pub(super) fn next(&self, seat: usize, now_ns: u64) -> Option<Due> {
        if self.is_open_loop {
            let given = self.seats.borrow_mut()[seat].given.take();
            return given.or_else(|| self.waiting.borrow_mut().pop_front());
        }
        if self.is_over.get() {
            return None;
        }
        match self.left.get() {
            Some(0) => return None,
            Some(left) => {
                self.left.set(Some(left - 1));
                if left == 1 {
                    self.end();
                }
            }
            None => {}
        }
        Some(Due { intended_ns: now_ns })
    }

    /// Whether this connection has nothing to wait for any more.
    pub(super) fn has_ended(&self, seat: usize) -> bool {
        if !self.is_open_loop {
            return self.is_over.get() || self.left.get() == Some(0);
        }
        let is_given = self.seats.borrow()[seat].given.is_some();
        self.is_over.get() && !is_given && self.waiting.borrow().is_empty()
    }

    /// Is woken when this connection was given something, or at the end.
    pub(super) fn poll_given(&self, seat: usize, waker: &Waker) -> Poll<()> {
        if self.has_ended(seat) || !self.waiting.borrow().is_empty() {
            return Poll::Ready(());
        }
        let mut seats = self.seats.borrow_mut();
        let place = &mut seats[seat];
        if place.given.is_some() {
            return Poll::Ready(());
        }
        if !place.waker.as_ref().is_some_and(|it| it.will_wake(waker)) {
            place.waker = Some(waker.clone());
        }
        if !std::mem::replace(&mut place.rests, true) {
            self.resting.borrow_mut().push(seat);
        }
        Poll::Pending
    }

    /// The next request of this connection; nothing at the end. To wait only where there is no connection
    /// yet.
    pub(super) async fn wait(&self, seat: usize, now_ns: impl Fn() -> u64) -> Option<Due> {
        loop {
            if let Some(due) = self.next(seat, now_ns()) {
                return Some(due);
            }
            if self.has_ended(seat) {
                return None;
            }
            poll_fn(|cx| self.poll_given(seat, cx.waker())).await;
        }
    }
}
