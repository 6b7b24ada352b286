//! A connection that rests leaves its thread, and is taken up by another: by [`Seat::leave`] and [`resume`].
//!
//! It is what it was, but for its coroutine and its memory: between two requests nothing is in flight and nothing is
//! remembered of it but who is at the other end and until when it may rest. What arrives on the way stays in the
//! socket, because the operation that received has ended before ([`Wire::pause`]).

use super::{Connection, Gone, Phase, Seat, run, wire::Wire};
use crate::{
    entity::Content,
    journal::Journal,
    limits::REST_ON_THREAD,
    shared::{Shared, nanoseconds, now_ns},
};
use std::{net::IpAddr, os::fd::OwnedFd, rc::Rc, time::Duration};

/// A connection that no thread has.
#[derive(Debug)]
pub(crate) struct Resting {
    pub(crate) socket: OwnedFd,
    /// Who is at the other end, if somebody wants to know.
    pub(crate) peer: Option<IpAddr>,
    /// When it has rested for as long as it may, by the monotonic clock.
    pub(crate) ends_ns: u64,
}

/// Serves a connection that rested, from where it was, to its end or until it leaves again.
pub(crate) fn resume<W: Wire, C: Content, S: Seat>(
    wire: W,
    shared: Rc<Shared<C>>,
    seat: S,
    (peer, ends_ns): (Option<IpAddr>, u64),
) -> impl Future<Output = ()> {
    let left = Duration::from_nanos(ends_ns.saturating_sub(now_ns()));
    let journal = shared.log.as_ref().zip(peer).map(|(_, peer)| Box::new(Journal::new(peer)));
    let connection = Connection::with(wire, shared, left, journal);
    run(connection, seat)
}

impl<W: Wire, C: Content> Connection<W, C> {
    /// It is between two requests, for so long at most.
    pub(super) fn rest_for(&mut self, time: Duration) {
        self.rest_ends_ns = now_ns().saturating_add(nanoseconds(time));
        self.deadline.set(time);
    }

    /// Whether it may leave its thread if nothing comes for a while. Then it is looked at after that.
    pub(super) fn may_leave(&mut self, seat: &impl Seat) -> bool {
        let may =
            W::MAY_LEAVE && self.phase == Phase::Rest && self.input.is_empty() && seat.may_leave();
        if may {
            let left = Duration::from_nanos(self.rest_ends_ns.saturating_sub(now_ns()));
            self.deadline.set(left.min(REST_ON_THREAD));
        }
        may
    }

    /// Nothing has come for a while: whether it is ready to leave, and nothing came by then either. If it has rested
    /// for as long as it may, it ends.
    pub(super) async fn is_ready_to_leave(&mut self, seat: &impl Seat) -> Result<bool, Gone> {
        if self.rest_ends_ns <= now_ns() {
            return Err(Gone);
        }
        // The server may have begun to end meanwhile.
        Ok(self.wire.pause().await && seat.may_leave())
    }

    /// What another thread goes on with; nothing, if that cannot be had.
    pub(super) fn into_resting(self) -> Option<Resting> {
        let (peer, ends_ns) = (self.journal.map(|journal| journal.peer()), self.rest_ends_ns);
        Some(Resting { socket: self.wire.into_socket()?, peer, ends_ns })
    }
}
