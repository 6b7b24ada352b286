//! Completions: results, and what was lent, given back.

use super::buffers::Groups;
use super::flights::{Flight, Flights};
use super::{Lend, Message, Operation, Ring, Status};
use io_uring::cqueue;
use std::os::fd::{FromRawFd, OwnedFd};

/// A completion. Dropping it drops what it brings: a descriptor is closed, memory freed.
///
/// ```
/// use ukevent_sys::ring::{Completed, Load, NoLoan};
///
/// let completed = Completed::<NoLoan> { user_data: 7, result: -4, more: false, load: Load::None };
/// assert_eq!(completed.result, -4);
/// ```
#[derive(Debug)]
pub struct Completed<L> {
    /// The word that came with the submission, or the start.
    pub user_data: u64,
    /// The result; a negated errno if below zero.
    pub result: i32,
    /// Whether more completions of the same submission follow (`IORING_CQE_F_MORE`).
    pub more: bool,
    /// What it brings.
    pub load: Load<L>,
}

/// What a completion brings: what the kernel made, or what was lent to it.
///
/// ```
/// use ukevent_sys::ring::Load;
///
/// let load = Load::Buffer(b"received".to_vec());
/// let Load::Buffer(buffer) = load else { panic!() };
/// assert_eq!(buffer.len(), 8);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Load<L> {
    /// Nothing.
    None,
    /// A new descriptor; or the one that was to be closed and was not.
    Descriptor(OwnedFd),
    /// A buffer. What was received or read is part of its bytes.
    Buffer(L),
    /// A message. What was received is part of its buffers' bytes.
    Message(Box<Message<L>>),
    /// The buffer of a [`Operation::SendZero`].
    Released {
        /// The buffer.
        buffer: L,
        /// Whether the kernel copied it after all, as it does on loopback: the way was for nothing.
        /// So it says too if it sent nothing. Unknown before Linux 6.10.
        copied: Option<bool>,
    },
    /// The status of a file.
    Status(Box<Status>),
}

/// Completions that lie in the ring, taken one by one; made by [`Ring::completions`].
///
/// Those that are not taken stay in the ring.
pub struct Completions<'a, L: Lend> {
    queue: cqueue::CompletionQueue<'a>,
    flights: &'a mut Flights<L>,
    groups: &'a mut Groups<L>,
    reports_usage: bool,
}

impl<L: Lend> Ring<L> {
    /// Takes the completions that lie in the ring, without a system call.
    #[inline]
    pub fn completions(&mut self) -> Completions<'_, L> {
        Completions {
            queue: self.ring.completion(),
            flights: &mut self.flights,
            groups: &mut self.groups,
            reports_usage: self.reports_usage,
        }
    }
}

impl<L: Lend> Iterator for Completions<'_, L> {
    type Item = Completed<L>;

    #[inline]
    fn next(&mut self) -> Option<Completed<L>> {
        loop {
            let entry = self.queue.next()?;
            if !Flight::is_one(entry.user_data()) {
                return Some(polled(&entry));
            }
            if let Some(completed) = self.land(&entry) {
                return Some(completed);
            }
        }
    }
}

/// The completion of what was pushed.
#[inline]
fn polled<L>(entry: &cqueue::Entry) -> Completed<L> {
    let more = cqueue::more(entry.flags());
    Completed { user_data: entry.user_data(), result: entry.result(), more, load: Load::None }
}

impl<L: Lend> Completions<'_, L> {
    /// The completion of an operation; `None` for that of its cancellation.
    #[inline]
    fn land(&mut self, entry: &cqueue::Entry) -> Option<Completed<L>> {
        // Otherwise forgetting this iterator would bring the completion again, and give away twice what
        // it brings.
        self.queue.sync();
        let flight = Flight::from_word(entry.user_data());
        let landing = Landing { flight, result: entry.result(), flags: entry.flags() };
        landing.load(self.flights, self.groups, self.reports_usage)
    }
}

/// The completion of a flight.
#[derive(Clone, Copy)]
struct Landing {
    flight: Flight,
    result: i32,
    flags: u32,
}

impl Landing {
    // Apart from the queue, whose indexes can so stay in registers.
    #[inline(never)]
    fn load<L: Lend>(
        self,
        flights: &mut Flights<L>,
        groups: &mut Groups<L>,
        reports_usage: bool,
    ) -> Option<Completed<L>> {
        let Self { flight, result, flags } = self;
        let lent = flights.find(flight)?;
        let (user_data, more) = (lent.user_data, cqueue::more(flags));
        // What there is most of first, without moving more than its buffer.
        match lent.operation {
            Operation::ReceiveEach { group, .. } | Operation::ReadEach { group, .. } if more => {
                let load = self.provided(groups, group);
                return Some(Completed { user_data, result, more, load });
            }
            Operation::Send { .. } | Operation::Write { .. } => {
                let load = flights.end_with_buffer(flight).map_or(Load::None, Load::Buffer);
                return Some(Completed { user_data, result, more, load });
            }
            Operation::Receive { .. } | Operation::Read { .. } => {
                let mut load = Load::None;
                if let Some(mut buffer) = flights.end_with_buffer(flight) {
                    // SAFETY: the kernel wrote as much into the room that was lent, says its result.
                    unsafe { commit(&mut buffer, result) };
                    load = Load::Buffer(buffer);
                }
                return Some(Completed { user_data, result, more, load });
            }
            _ => {}
        }
        self.load_any(flights, groups, reports_usage)
    }

    /// The buffer of a group that came with it.
    #[inline]
    fn provided<L: Lend>(self, groups: &mut Groups<L>, group: u16) -> Load<L> {
        let Some(id) = cqueue::buffer_select(self.flags) else { return Load::None };
        let received = usize::try_from(self.result).unwrap_or(0);
        // SAFETY: this completion says that the kernel took the buffer, wrote so much into it, and has
        // done with it.
        let buffer = unsafe { groups.take(group, id, received) };
        buffer.map_or(Load::None, Load::Buffer)
    }

    #[inline(never)]
    fn load_any<L: Lend>(
        self,
        flights: &mut Flights<L>,
        groups: &mut Groups<L>,
        reports_usage: bool,
    ) -> Option<Completed<L>> {
        let Self { flight, result, flags } = self;
        let lent = flights.find(flight)?;
        let more = cqueue::more(flags);
        let mut completed = Completed { user_data: lent.user_data, result, more, load: Load::None };
        match lent.operation {
            Operation::Accept { .. } | Operation::Open { .. } | Operation::OpenHow { .. }
                if result >= 0 =>
            {
                // SAFETY: the kernel made this descriptor for us, and says so once.
                completed.load = Load::Descriptor(unsafe { OwnedFd::from_raw_fd(result) });
                completed.result = 0;
            }
            Operation::ReceiveEach { group, .. } | Operation::ReadEach { group, .. } => {
                completed.load = self.provided(groups, group);
            }
            _ => {}
        }
        if more {
            return Some(completed);
        }
        let Some(lent) = flights.remove(flight) else { return Some(completed) };
        if let Some(group) = lent.operation.group() {
            groups.count_receiver(group, -1);
        }
        // SAFETY: it was its last completion.
        unsafe { give_back(lent.operation, &mut completed) };
        if let Load::Released { copied, .. } = &mut completed.load
            && cqueue::notif(flags)
        {
            // The result is in the completion before; this one has flags in its place.
            *copied = reports_usage.then_some(result < 0);
            completed.result = 0;
        }
        Some(completed)
    }
}

/// Makes bytes of what was written into the room of a buffer.
///
/// # Safety
/// The kernel wrote as many bytes there as this result says, if it is one of bytes.
#[inline]
unsafe fn commit<L: Lend>(buffer: &mut L, result: i32) {
    let written = usize::try_from(result).unwrap_or(0).min(buffer.room().len());
    // SAFETY: they were written, says the caller, and there is so much room.
    unsafe { buffer.commit(written) };
}

/// Takes out of an operation what goes back to the caller.
///
/// # Safety
/// The kernel has done with the operation, with this result.
#[inline(always)]
unsafe fn give_back<L: Lend>(operation: Operation<L>, completed: &mut Completed<L>) {
    let bytes = usize::try_from(completed.result).ok();
    completed.load = match operation {
        Operation::SendZero { buffer, .. } => Load::Released { buffer, copied: None },
        Operation::SendMessage { message, .. } => Load::Message(message),
        Operation::ReceiveMessage { mut message, .. } => {
            // SAFETY: the receive has ended, and wrote so much; the descriptors are new.
            unsafe { message.came(bytes) };
            Load::Message(message)
        }
        Operation::Close { fd } if completed.result == -libc::ECANCELED => Load::Descriptor(fd),
        Operation::Close { fd } => {
            // The number may be another's by now.
            std::mem::forget(fd);
            Load::None
        }
        Operation::Stat { status, .. } if bytes.is_some() => Load::Status(status),
        // Their load was taken before, comes with each completion, or there is none.
        Operation::Receive { .. }
        | Operation::Read { .. }
        | Operation::Send { .. }
        | Operation::Write { .. }
        | Operation::Accept { .. }
        | Operation::Open { .. }
        | Operation::OpenHow { .. }
        | Operation::ReceiveEach { .. }
        | Operation::ReadEach { .. }
        | Operation::Connect { .. }
        | Operation::Shutdown { .. }
        | Operation::Sync { .. }
        | Operation::Stat { .. } => return,
    };
}

impl<L: Lend> std::fmt::Debug for Completions<'_, L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Completions").field("lying", &self.queue.len()).finish_non_exhaustive()
    }
}
