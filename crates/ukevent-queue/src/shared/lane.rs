//! What one waiter has: the events that are its own, and the one it works on.
//!
//! Others look in here only to make something void, or to ask who holds an event.

use super::ring::Staged;
use super::tally::{Tally, WaiterCounters};
use crate::key::Key;
use crate::primitive::{AtomicU64, Mutex, Ordering, fence, lock};
use std::collections::VecDeque;

/// It works on nothing: no key has these bits.
const NOTHING: u64 = u64::MAX;

pub(super) struct Lane {
    id: u32,
    /// Claimed, and not taken yet.
    claimed: Mutex<VecDeque<Staged>>,
    /// How many those are: asked without the lock.
    count: AtomicU64,
    /// The registration whose event it works on, by the bits of its key.
    holds: AtomicU64,
    pub(super) tally: Tally,
}

impl Lane {
    pub(super) fn new(id: u32) -> Self {
        Self {
            id,
            claimed: Mutex::new(VecDeque::new()),
            count: AtomicU64::new(0),
            holds: AtomicU64::new(NOTHING),
            tally: Tally::default(),
        }
    }

    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn counters(&self) -> WaiterCounters {
        self.tally.read()
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire) as usize
    }

    fn change<T>(&self, change: impl FnOnce(&mut VecDeque<Staged>) -> T) -> T {
        let mut claimed = lock(&self.claimed);
        let result = change(&mut claimed);
        self.count.store(claimed.len() as u64, Ordering::Release);
        result
    }

    pub(super) fn push(&self, staged: Staged) {
        self.change(|claimed| claimed.push_back(staged));
    }

    pub(super) fn push_first(&self, staged: Staged) {
        self.change(|claimed| claimed.push_front(staged));
    }

    pub(super) fn pop(&self) -> Option<Staged> {
        if self.len() == 0 { None } else { self.change(VecDeque::pop_front) }
    }

    pub(super) fn extract(&self, is_meant: impl Fn(&Staged) -> bool) -> Vec<Staged> {
        if self.len() == 0 {
            return Vec::new();
        }
        self.change(|claimed| {
            let (meant, others) = claimed.drain(..).partition::<VecDeque<_>, _>(is_meant);
            *claimed = others;
            meant.into()
        })
    }

    /// Says what it works on, before it looks whether it may.
    pub(super) fn hold(&self, key: Key) {
        self.holds.store(key.to_bits(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub(super) fn let_go(&self) {
        self.holds.store(NOTHING, Ordering::SeqCst);
    }

    /// Whether it works on anything, or is about to.
    pub(super) fn holds_something(&self) -> bool {
        self.len() > 0 || self.holds.load(Ordering::SeqCst) != NOTHING
    }

    pub(super) fn holds(&self, key: Key) -> bool {
        self.holds.load(Ordering::SeqCst) == key.to_bits()
    }
}
