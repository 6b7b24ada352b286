//! How an operation ends: with an event, or without one, and who has the next turn.

use crate::backend::Ticket;
use crate::key::Key;
use crate::operation::{Completed, Payload, Request, Work};
use crate::queue::Queue;
use crate::queue::deliver::enlist;
use crate::slot::Flags;
use crate::source::State;
use std::mem::replace;
use ukevent_sys::Error;
use ukevent_sys::clock::Clock;

/// Boxes that are kept to be used again.
const SPARE: usize = 256;

impl Queue {
    /// Makes an event of what an operation came to.
    pub(super) fn complete(&mut self, key: Key, completed: Completed, ended: bool) {
        let (_, slot) = self.slots.at(key.index);
        if ended && slot.flags.contains(Flags::KNOWN) {
            self.disarm(key);
        }
        let (_, slot) = self.slots.at(key.index);
        slot.flags.remove(Flags::TO_ARM);
        let State::Work(work) = &mut slot.state else { return };
        work.completed.push(completed);
        work.ended = ended;
        self.ready_events += 1;
        if ended && (work.is_in_line || work.outgoing_bytes > 0 || work.limit != Key::NONE) {
            let (on, bytes, limit) =
                (work.on, work.outgoing_bytes, replace(&mut work.limit, Key::NONE));
            enlist(&mut self.ready, key, slot);
            self.leave_line(key, on, bytes);
            self.end_limit(limit);
        } else {
            enlist(&mut self.ready, key, slot);
        }
    }

    /// Nothing ends it any more but itself.
    fn end_limit(&mut self, own: Key) {
        if own != Key::NONE {
            self.stop_timer(own.index, Clock::Monotonic);
            self.slots.remove(own);
        }
    }

    /// The next in the line has its turn.
    pub(super) fn leave_line(&mut self, key: Key, on: Key, bytes: usize) {
        let Some(peer) = self.operations.peer(on) else { return };
        peer.outgoing_bytes -= bytes;
        if peer.line.first() != Some(key) {
            return peer.line.leave(key);
        }
        if let Some(next) = peer.line.advance() {
            self.arm_later(next);
        }
    }

    /// Takes an operation from the list of its descriptor.
    pub(super) fn leave_peer(&mut self, key: Key, work: &Work) {
        self.operations.live -= 1;
        let at = work.place as usize;
        let Some(peer) = self.operations.peer(work.on) else { return };
        // All of them may have been taken out before.
        if peer.all.get(at) != Some(&key) {
            return;
        }
        peer.all.swap_remove(at);
        if let Some(&last) = peer.all.get(at)
            && let Some(other) = self.work(last)
        {
            other.place = at as u32;
        }
    }

    /// An event of an operation was delivered: it goes on, or it is over.
    pub(in crate::queue) fn work_delivered(&mut self, key: Key) {
        let Some(work) = self.work(key) else { return };
        if !work.completed.is_empty() {
            return;
        }
        if work.ended {
            self.retire(key);
        } else if !work.in_flight {
            self.arm_later(key);
        }
    }

    /// Gives up the slot of an operation that is over: it is watched for nothing and has left its line.
    fn retire(&mut self, key: Key) {
        let State::Work(mut work) = self.slots.remove(key) else { return };
        self.leave_peer(key, &work);
        if self.operations.spare.len() < SPARE {
            work.clear();
            self.operations.spare.push(work);
        }
    }

    /// Takes an operation out of everything: no event of it comes, and what it was lent goes home with it.
    #[inline(never)]
    pub(in crate::queue) fn drop_work(&mut self, key: Key, work: &Work) {
        self.end_limit(work.limit);
        let ticket = Ticket { index: key.index, serial: self.slots.ticket_before(key) };
        if work.in_flight {
            // Its late result finds nobody, and what it brings is dropped.
            self.backend.cancel(ticket.of_operation(), -1, true);
        } else if work.request.as_ref().is_none_or(|it| matches!(it, Request::SendFile(_)))
            && !work.ended
            && let Some(files) = &self.operations.files
        {
            drop(files.take_back(ticket));
        }
        // What the kernel has of a send may have left in part.
        let is_torn = work.request.as_ref().is_some_and(Request::is_torn)
            || work.in_flight && work.outgoing_bytes > 0 && work.is_in_line;
        if !work.ended {
            self.leave_line(key, work.on, work.outgoing_bytes);
            if is_torn {
                self.cut_line(work.on);
            }
        }
        self.leave_peer(key, work);
        if work.in_flight {
            self.resume_close(work.on);
        }
    }

    /// Drops all operations of a descriptor.
    #[inline(never)]
    pub(in crate::queue) fn drop_operations_on(&mut self, on: Key) {
        let Some(peer) = self.operations.peer(on) else { return };
        // Nobody has a turn any more.
        peer.line.clear();
        for key in std::mem::take(&mut peer.all) {
            self.unready(key);
            drop(self.give_up(key));
        }
        self.operations.peers.remove(on.index);
    }

    /// The last of the line: takes the registration back, and closes what it owns.
    pub(super) fn close(&mut self, key: Key, on: Key) -> Result<(), Error> {
        if let Some(peer) = self.operations.peer(on) {
            // Nobody asks for a place any more.
            let mut all = std::mem::take(&mut peer.all);
            // What was before it in the line has ended, and keeps its event, though nobody took that yet. What
            // receives ends without one.
            all.retain(|&mut it| {
                it != key && self.work(it).is_some_and(|work| !work.ended || !work.is_in_line)
            });
            if let Some(peer) = self.operations.peer(on) {
                peer.all = all;
            }
        }
        let removed = self.remove(on);
        if self.is_shared {
            self.waste.extend(removed);
        }
        self.complete(key, Completed { result: Ok(0), payload: Payload::None }, true);
        Ok(())
    }
}
