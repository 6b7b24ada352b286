//! How answers leave: handed over as a whole, at most a turn's worth of a file at a time, and seen to
//! when they have left, or when a peer takes nothing of them.

use super::{Connection, EndedBy, State, Turn, Wire, after};
use crate::{
    entity::Content,
    limits::{LINGER_BYTES, STALL_LOOKS},
};

impl Connection {
    /// Hands over what there is to send. If that is nothing, and there is nothing more to answer, ends
    /// what is to end.
    pub(super) fn flush<C: Content>(&mut self, wire: &mut impl Wire, turn: &mut Turn<'_, C>) {
        match self.state {
            State::Lingering(_) | State::Closed if self.peer_ended => self.close(),
            State::Lingering(_) | State::Closed => {}
            _ if self.leaving > 0 => {}
            _ if self.file.is_some() || !turn.out.is_empty() => self.hand_over(wire, turn),
            State::Content(_) => {}
            _ => match self.last {
                Some(EndedBy::Server) if !self.peer_ended => {
                    wire.end();
                    self.state = State::Lingering(LINGER_BYTES);
                    self.deadline_ns = after(turn.now_ns, turn.limits.linger);
                }
                Some(_) => self.close(),
                None if self.peer_ended => self.close(),
                None => {}
            },
        }
    }

    /// Hands the gathered answers to the wire, and what follows them of a file.
    fn hand_over<C>(&mut self, wire: &mut impl Wire, turn: &mut Turn<'_, C>) {
        let bytes = turn.out.take();
        let budget = turn.budget_bytes.saturating_sub(bytes.len() as u64);
        self.leaving = bytes.len() as u64;
        let piece = self.file.as_mut().map(|part| (part.left.min(budget), part));
        match piece {
            Some((piece @ 1.., part)) => {
                self.leaving += piece;
                wire.send(bytes, Some((part, piece)));
                part.offset += piece;
                part.left -= piece;
                if part.left == 0 {
                    self.file = None;
                }
            }
            _ => wire.send(bytes, None),
        }
        self.progress_ns = turn.now_ns;
        self.outstanding = None;
        self.deadline_ns = after(turn.now_ns, turn.limits.stall / STALL_LOOKS);
    }

    /// What was handed to the wire has left, or so many bytes of it and no more ever will.
    pub(crate) fn sent<C: Content>(
        &mut self,
        bytes: u64,
        wire: &mut impl Wire,
        turn: &mut Turn<'_, C>,
    ) {
        turn.counters.bytes_sent += bytes;
        let is_whole = bytes == self.leaving;
        self.leaving = 0;
        if !is_whole {
            return self.close();
        }
        if self.file.is_none() && !matches!(self.state, State::Closed) {
            self.deadline_ns = after(
                turn.now_ns,
                match self.state {
                    State::Head => turn.limits.head,
                    State::Body(_) => turn.limits.body,
                    State::Content(_) => turn.limits.stall,
                    _ => turn.limits.idle,
                },
            );
            match &self.state {
                State::Content(awaiting) if awaiting.is_there => self.resume(turn),
                State::Content(_) => {}
                _ => self.read_held(turn),
            }
        }
        self.flush(wire, turn);
    }

    /// Ends a connection that rests, for good: nothing more of it is awaited.
    pub(crate) fn end_at_rest<C: Content>(&mut self, wire: &mut impl Wire, turn: &mut Turn<'_, C>) {
        if matches!(self.state, State::Idle) && self.last.is_none() && !self.is_sending() {
            self.last = Some(EndedBy::Server);
            self.flush(wire, turn);
        }
    }

    /// Drops a peer that took nothing for as long as it may. One that empties the kernel's buffer
    /// slowly has not stalled: what is outstanding differs from look to look, whether the kernel took
    /// more meanwhile or not.
    pub(super) fn look_for_progress<C>(&mut self, wire: &mut impl Wire, turn: &mut Turn<'_, C>) {
        let now = wire.outstanding();
        let before = self.outstanding.replace(now);
        // What has all reached the peer waits for the server's own disk.
        if before != Some(now) || now == Some(0) {
            self.progress_ns = turn.now_ns;
        }
        let end_ns = after(self.progress_ns, turn.limits.stall);
        if end_ns <= turn.now_ns {
            turn.counters.timed_out += 1;
            return self.close();
        }
        let next_ns = after(turn.now_ns, turn.limits.stall / STALL_LOOKS);
        self.deadline_ns = next_ns.min(end_ns);
    }
}
