//! Sends that leave without a copy: which may, when their turn is over, and what waits for their buffer.
//!
//! Such a send is done in two steps. When its result is known the next one in the line has its turn; when
//! the kernel has let go of the buffer its event comes. A close waits for that too: it would take the
//! event with it. A socket of which the kernel once said that it copied all the same is not asked again.

use crate::key::Key;
use crate::operation::Request;
use crate::queue::Queue;
use std::collections::HashMap;

/// Registrations whose sends are copied however one asks, by their index: one for each slot at most, so
/// nothing need be taken out.
#[derive(Default)]
pub(super) struct Copied(HashMap<u32, Key>);

impl Queue {
    /// Takes the permission from a send for which it is of no use.
    pub(super) fn weigh(&self, on: Key, request: &mut Request) {
        let pays = request.is_zero_copy() && self.operations.copied.0.get(&on.index) != Some(&on);
        if let Request::Send { zero_copy, .. } = request {
            *zero_copy = pays;
        }
    }

    /// The kernel copied what was sent here.
    pub(super) fn note_copied(&mut self, on: Key) {
        self.operations.copied.0.insert(on.index, on);
    }

    /// All of a send is on its way: the next one has its turn. It counts until its buffer is back.
    pub(super) fn pass_turn(&mut self, key: Key, on: Key) {
        self.leave_line(key, on, 0);
        if let Some(work) = self.work(key) {
            work.is_in_line = false;
        }
    }

    /// Whether the kernel holds the buffer of a send that has had its turn.
    pub(super) fn holds_buffers(&mut self, on: Key) -> bool {
        let Some(peer) = self.operations.peer(on) else { return false };
        let all = peer.all.clone();
        all.into_iter().any(|key| {
            self.work(key)
                .is_some_and(|work| work.in_flight && work.outgoing_bytes > 0 && !work.is_in_line)
        })
    }

    /// A buffer came back: a close may have waited for it.
    pub(super) fn resume_close(&mut self, on: Key) {
        let Some(peer) = self.operations.peer(on) else { return };
        let Some(first) = peer.line.first() else { return };
        if self.work(first).is_some_and(|work| matches!(work.request, Some(Request::Close))) {
            self.arm_later(first);
        }
    }
}
