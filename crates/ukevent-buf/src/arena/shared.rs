//! What everybody who uses an arena shares: the mapping, who holds which stretch of it, and who waits
//! for one.
//!
//! All behind one lock, because nobody comes here for a packet: pools come once, allocators for a
//! region at a time. No waker is called, and no page given back, while it is held; but for the
//! trimming of what is free, which must stay free meanwhile.

use super::map::Mapping;
use super::spans::{Span, Spans};
use super::statistics::{ArenaStatistics, OwnerKind, OwnerStatistics};
use crate::error::SysError;
use crate::net::Table;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

pub(crate) struct Shared {
    pub(super) mapping: Mapping,
    pub(super) region_bytes: usize,
    state: Mutex<State>,
    /// The side table of the network allocators, once there is one.
    table: OnceLock<Table>,
}

struct State {
    spans: Spans,
    holders: Vec<Holder>,
    next_number: u64,
    /// Rises with every stretch that is given back. Who began to wait in the same round has been
    /// woken for this stretch, and found it to be of no use.
    round: u64,
    pins: usize,
}

/// A pool or allocator, as the arena sees it.
struct Holder {
    number: u64,
    kind: OwnerKind,
    held_bytes: usize,
    units: Units,
    count: Arc<AtomicUsize>,
    waker: Option<Waker>,
    /// The round in which it found nothing.
    waits_since: Option<u64>,
}

/// What the count of a holder counts.
#[derive(Clone, Copy)]
pub(crate) enum Units {
    /// Lent units of so many bytes.
    Lent { unit_bytes: usize },
    /// Free ones, of so many that there are.
    Free { unit_bytes: usize, of: usize },
}

/// From which end of the arena to take.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum End {
    Low,
    High,
}

impl Shared {
    pub(super) fn new(mapping: Mapping, region_bytes: usize) -> Self {
        let spans = Spans::new(mapping.bytes());
        let state = State { spans, holders: Vec::new(), next_number: 1, round: 0, pins: 0 };
        Self { mapping, region_bytes, state: Mutex::new(state), table: OnceLock::new() }
    }

    /// No invariant breaks half-way under the lock: a panic there can only be one of the checks of a
    /// debug build, which come before the change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.mapping.base()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.mapping.bytes()
    }

    pub(crate) const fn region_bytes(&self) -> usize {
        self.region_bytes
    }

    /// The side table, made by whoever comes first.
    pub(crate) fn table(&self) -> Result<&Table, SysError> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let table = Table::new(self.bytes())?;
        Ok(self.table.get_or_init(|| table))
    }

    pub(super) fn pin(&self) {
        self.state().pins += 1;
    }

    pub(super) fn unpin(&self) {
        self.state().pins -= 1;
    }

    /// Gives the pages of what is free back to the system; how many bytes of addresses that is.
    pub(super) fn trim(&self) -> Result<usize, SysError> {
        let state = self.state();
        if state.pins > 0 {
            return Ok(0);
        }
        let mut bytes = 0;
        for span in state.spans.iter() {
            // SAFETY: free, and stays so under the lock; no page is pinned by the kernel, or its user
            // would hold a pin.
            unsafe { self.mapping.discard(span.start, span.len()) }?;
            bytes += span.len();
        }
        Ok(bytes)
    }

    pub(super) fn statistics(&self) -> ArenaStatistics {
        let state = self.state();
        let free = || state.spans.iter().map(|span| span.len());
        let owner = |holder: &Holder| OwnerStatistics {
            number: holder.number,
            kind: holder.kind,
            held_bytes: holder.held_bytes,
            used_bytes: match (holder.units, holder.count.load(Ordering::Relaxed)) {
                (Units::Lent { unit_bytes }, count) => count * unit_bytes,
                (Units::Free { unit_bytes, of }, count) => (of - count) * unit_bytes,
            },
        };
        ArenaStatistics {
            bytes: self.bytes(),
            free_bytes: free().sum(),
            largest_free_bytes: free().max().unwrap_or(0),
            owners: state.holders.iter().map(owner).collect(),
        }
    }

    fn give_back(&self, span: Span, number: u64) {
        let round = {
            let mut state = self.state();
            let bytes = span.len();
            state.spans.give_back(span);
            if let Some(holder) = state.holders.iter_mut().find(|it| it.number == number) {
                holder.held_bytes -= bytes;
            }
            state.round += 1;
            state.round
        };
        // One by one: a waker may come back here.
        while let Some(waker) = self.next_waiting(round) {
            waker.wake();
        }
    }

    fn next_waiting(&self, round: u64) -> Option<Waker> {
        let mut state = self.state();
        let is_due = |holder: &&mut Holder| holder.waits_since.is_some_and(|since| since < round);
        let holder = state.holders.iter_mut().find(is_due)?;
        holder.waits_since = None;
        holder.waker.clone()
    }
}

/// The account of one pool or allocator at an arena. Dropping it closes it.
pub(crate) struct Account {
    arena: Arc<Shared>,
    number: u64,
    count: Arc<AtomicUsize>,
}

impl Account {
    /// `waker` is called when a stretch comes back for which it waits.
    pub(crate) fn open(
        arena: &Arc<Shared>,
        kind: OwnerKind,
        units: Units,
        waker: Option<Waker>,
    ) -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let mut state = arena.state();
        let number = state.next_number;
        state.next_number += 1;
        state.holders.push(Holder {
            number,
            kind,
            held_bytes: 0,
            units,
            count: count.clone(),
            waker,
            waits_since: None,
        });
        Self { arena: arena.clone(), number, count }
    }

    pub(crate) const fn arena(&self) -> &Arc<Shared> {
        &self.arena
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// How many units are lent or free, as [`Units`] says.
    #[inline(always)]
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Says how many there are now. One thread at a time does, so that is no read-modify-write.
    #[inline(always)]
    pub(crate) fn set_count(&self, units: usize) {
        self.count.store(units, Ordering::Relaxed);
    }

    /// Takes a stretch. If there is none and it `waits`, its waker is called when one was given back.
    pub(crate) fn take(
        &self,
        bytes: usize,
        align: usize,
        end: End,
        waits: bool,
    ) -> Option<Stretch> {
        let mut state = self.arena.state();
        let span = match end {
            End::Low => state.spans.take_low(bytes, align),
            End::High => state.spans.take_high(bytes, align),
        };
        let round = state.round;
        let holder = state.holders.iter_mut().find(|it| it.number == self.number)?;
        let Some(span) = span else {
            holder.waits_since = (waits && holder.waker.is_some()).then_some(round);
            return None;
        };
        holder.held_bytes += bytes;
        holder.waits_since = None;
        Some(Stretch { arena: self.arena.clone(), span, number: self.number })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let closed = {
            let mut state = self.arena.state();
            let own = state.holders.iter().position(|it| it.number == self.number);
            own.map(|own| state.holders.remove(own))
        };
        // Its waker, which may do anything when it is dropped.
        drop(closed);
    }
}

/// A stretch of an arena that one pool or allocator holds. Dropping it gives it back, and wakes who
/// waits for one.
pub(crate) struct Stretch {
    arena: Arc<Shared>,
    span: Span,
    number: u64,
}

impl Stretch {
    /// Where it begins in the arena.
    pub(crate) const fn offset(&self) -> usize {
        self.span.start
    }

    /// Where it begins in memory.
    pub(crate) fn base(&self) -> NonNull<u8> {
        // SAFETY: the span lies in the mapping.
        unsafe { self.arena.base().add(self.span.start) }
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        self.arena.give_back(self.span.clone(), self.number);
    }
}
