//! An answer that goes on: an event now, and one a second, to a peer that watches the server.
//!
//! There is one event in memory at a time. A peer that takes it slowly misses some, which the numbers of the
//! others say; one that takes nothing has stalled, as with any answer. What a peer says meanwhile could only
//! be answered behind the last event, and there is none before the end: it is thrown away, up to a bound.
//! Who closes, be it one side only, watches no more.
//!
//! Nobody waits for its end: once the first event has left, a server that ends drops it as if it rested.

use super::{Connection, EndedBy, Gone, Seat, wire::Wire};
use crate::{entity::Content, exchange::Framing, limits::LINGER_BYTES, pulse};
use std::{mem::take, rc::Rc, time::Duration};
use ukevent_buf::Buffer;

/// Ends a chunked content (RFC 9112, 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl<W: Wire, C: Content> Connection<W, C> {
    /// Sends events behind the answers there are, until the peer goes or the server ends.
    pub(super) async fn live(
        &mut self,
        framing: Framing,
        seat: &impl Seat,
    ) -> Result<EndedBy, Gone> {
        (self.tail, self.input) = (None, Buffer::default());
        let mut told = None;
        let mut left = LINGER_BYTES;
        loop {
            let beat = self.shared.beat();
            if told == Some(beat.number) {
                seat.is_busy(false);
                self.rest(beat.next, &mut left).await?;
                continue;
            }
            let retry = if told.is_none() { pulse::RETRY } else { b"" };
            told = Some(beat.number);
            self.put_event(framing, &[retry, beat.event.as_bytes()]);
            let answers = take(&mut self.answers);
            self.send(answers).await?;
            self.have_left();
            if self.shared.is_ending() {
                break;
            }
        }
        if framing == Framing::Chunked {
            self.send(Buffer::from(LAST_CHUNK.to_vec())).await?;
        }
        Ok(EndedBy::Server)
    }

    /// Waits until the next event is due, and throws away what the peer says before.
    async fn rest(&mut self, until: Duration, left: &mut u64) -> Result<(), Gone> {
        self.deadline.set(until);
        while let Ok(received) = self.deadline.guard(self.wire.receive()).await {
            let bytes = received?.len() as u64;
            *left = left.checked_sub(bytes).filter(|_| bytes > 0).ok_or(Gone)?;
        }
        Ok(())
    }

    /// Puts an event behind the answers.
    fn put_event(&mut self, framing: Framing, event: &[&[u8]]) {
        let shared = Rc::clone(&self.shared);
        let mut service = shared.begin();
        let out = service.turn(&shared, false).out;
        out.go_on(take(&mut self.answers));
        match framing {
            Framing::UntilClose => out.put_all(event),
            Framing::Chunked => {
                let bytes: usize = event.iter().map(|part| part.len()).sum();
                out.put(format!("{bytes:x}\r\n").as_bytes());
                out.put_all(event);
                out.put(b"\r\n");
            }
        }
        self.answers = out.take();
    }
}
