//! What is in flight: each operation, with all that is lent to the kernel for it, from its start to
//! its last completion.
//!
//! A table of slots. The kernel's entry carries the slot's index and a serial number in its
//! `user_data`, marked so that no poll can be mistaken for it; the caller's word lies in the slot. A
//! slot is emptied by the last completion only. Sending what is in it elsewhere would move it, so an
//! operation is first put in its place, and then turned into an entry that points to it.

use super::{Lend, Operation, Ring, lower};
use io_uring::{opcode, squeue};

/// The name of an operation in flight, good for [`Ring::cancel_flight`]. Names are not used again
/// within 2³² operations of one slot.
///
/// ```
/// use ukevent_sys::ring::{NoLoan, Operation, Ring, RingOptions};
/// use std::os::fd::AsRawFd;
///
/// # fn main() -> std::io::Result<()> {
/// let (reader, _writer) = std::io::pipe()?;
/// let Ok(mut ring) = Ring::new(RingOptions { submissions: 8, completions: 16 }) else { return Ok(()) };
/// let sync = Operation::<NoLoan>::Sync { fd: reader.as_raw_fd(), data_only: false };
/// let flight = ring.start(1, sync).expect("room for 8");
/// assert!(ring.cancel_flight(flight));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flight(u64);

impl Flight {
    /// Bits 31 and 30 of a flight's word are 0 and 1.
    const MARK: u64 = 1 << 30;
    const MARKED: u64 = 3 << 30;
    const INDEX: u64 = Self::MARK - 1;
    /// The word of a cancellation, whose own failure is nobody's business. No slot has that index.
    const NOBODY: Self = Self(Self::MARK | Self::INDEX);

    const fn new(index: u32, serial: u32) -> Self {
        Self((serial as u64) << 32 | Self::MARK | index as u64)
    }

    /// Whether a completion's word is that of a flight.
    #[inline]
    pub(super) const fn is_one(user_data: u64) -> bool {
        user_data & Self::MARKED == Self::MARK
    }

    pub(super) const fn from_word(user_data: u64) -> Self {
        Self(user_data)
    }

    const fn index(self) -> usize {
        (self.0 & Self::INDEX) as usize
    }

    const fn serial(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// An operation in its place.
pub(super) struct Lent<L> {
    pub(super) user_data: u64,
    pub(super) operation: Operation<L>,
    /// How many entries were pushed before its own.
    pushed_before: u64,
}

struct Slot<L> {
    serial: u32,
    lent: Option<Lent<L>>,
}

/// The table.
pub(super) struct Flights<L> {
    slots: Vec<Slot<L>>,
    free: Vec<u32>,
}

impl<L: Lend> Flights<L> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    const fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() >= Flight::INDEX as usize
    }

    /// Puts it in a slot; not if the table is full.
    #[inline(always)]
    fn insert(&mut self, lent: Lent<L>) -> (Flight, &mut Lent<L>) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { serial: 0, lent: None });
            // What frees a slot must not allocate: it runs when a ring is dropped.
            self.free.reserve(self.slots.len());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        (Flight::new(index, slot.serial), slot.lent.insert(lent))
    }

    #[inline(always)]
    pub(super) fn find(&self, flight: Flight) -> Option<&Lent<L>> {
        let slot = self.slots.get(flight.index())?;
        if slot.serial == flight.serial() { slot.lent.as_ref() } else { None }
    }

    /// Empties the slot; its next flight has another name.
    #[inline(always)]
    pub(super) fn remove(&mut self, flight: Flight) -> Option<Lent<L>> {
        let slot = self.slots.get_mut(flight.index())?;
        if slot.serial != flight.serial() {
            return None;
        }
        let lent = slot.lent.take()?;
        slot.serial = slot.serial.wrapping_add(1);
        self.free.push(flight.index() as u32);
        Some(lent)
    }

    /// The same for what lent a buffer and nothing else that need be moved.
    #[inline]
    pub(super) fn end_with_buffer(&mut self, flight: Flight) -> Option<L> {
        let slot = self.slots.get_mut(flight.index())?;
        let Some(Lent {
            operation:
                Operation::Send { buffer, .. }
                | Operation::Write { buffer, .. }
                | Operation::Receive { buffer, .. }
                | Operation::Read { buffer, .. },
            ..
        }) = slot.lent.take()
        else {
            debug_assert!(false, "asked for these only");
            return None;
        };
        slot.serial = slot.serial.wrapping_add(1);
        self.free.push(flight.index() as u32);
        Some(buffer)
    }

    /// How many the kernel has seen, if it took that many entries in all.
    pub(super) fn submitted(&self, entries: u64) -> usize {
        let lent = self.slots.iter().filter_map(|slot| slot.lent.as_ref());
        lent.filter(|lent| lent.pushed_before < entries).count()
    }
}

impl<L: Lend> Ring<L> {
    /// Writes the entry of an operation into the ring, without a system call; the next entering submits
    /// it. What it lends belongs to the ring until its last completion, which gives it back. Its
    /// completions carry `user_data`, which may be any word. Allocates when there were never so many in
    /// flight.
    ///
    /// # Errors
    /// The operation comes back if the ring is full, and must be entered first.
    // With it inlined what is known of the operation spares looking what it is, and moving it about.
    #[inline(always)]
    pub fn start(
        &mut self,
        user_data: u64,
        operation: Operation<L>,
    ) -> std::result::Result<Flight, Operation<L>> {
        if self.ring.submission().is_full() || self.flights.is_full() {
            return Err(operation);
        }
        let pushed_before = self.pushed();
        if let Some(group) = operation.group() {
            self.groups.count_receiver(group, 1);
        }
        let (flight, lent) = self.flights.insert(Lent { user_data, operation, pushed_before });
        let entry = lower::entry(&mut lent.operation, self.reports_usage).user_data(flight.0);
        // SAFETY: the entry points into the operation and to memory that it owns. It lies in the slot,
        // where nothing but its last completion, or the end of the ring when the kernel has done with
        // it, touches, moves out or drops it; should that not be known, it is never freed. The vector of
        // slots may move it when it grows, which what it points to does not notice (`Lend`, boxes).
        let pushed = unsafe { self.ring.submission().push(&entry) };
        debug_assert!(pushed.is_ok(), "there was room");
        self.unsubmitted += 1;
        Ok(flight)
    }

    /// Asks the kernel to end an operation early; the next entering submits that. It completes all the
    /// same: with `ECANCELED`, or `EINTR` if it was at work, or the result that it had by then. One that
    /// has ended is passed over, and so is an [`Operation::Close`]. `false` if the ring is full, and must
    /// be entered first. Allocates nothing.
    #[must_use]
    pub fn cancel_flight(&mut self, flight: Flight) -> bool {
        match self.flights.find(flight) {
            None | Some(Lent { operation: Operation::Close { .. }, .. }) => return true,
            Some(_) => {}
        }
        let entry = opcode::AsyncCancel::new(flight.0).build();
        let entry = entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(Flight::NOBODY.0);
        // SAFETY: it points to no memory.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        self.unsubmitted += u32::from(pushed.is_ok());
        pushed.is_ok()
    }

    /// Whether the kernel has seen its entry: from then on it holds the file, whatever becomes of the
    /// descriptor. So it says too of one that has ended. After a failed entering it may have seen more.
    #[must_use]
    pub fn is_submitted(&self, flight: Flight) -> bool {
        self.flights.find(flight).is_none_or(|lent| lent.pushed_before < self.submitted)
    }

    /// How many operations are in flight: started, and not completed for the last time.
    #[must_use]
    pub fn flights(&self) -> usize {
        self.flights.len()
    }
}
