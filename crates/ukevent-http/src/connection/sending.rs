//! How answers leave: a turn's worth of a file at a time, and watched for a peer that takes nothing.

use super::{
    Connection, Gone, Phase,
    wire::{Probe, Wire},
};
use crate::{
    entity::{Content, FilePart},
    exchange::Tail,
    limits::{STALL_LOOKS, TURN_BYTES},
    range::parts::Parts,
    shared::Shared,
};
use std::{
    io,
    mem::take,
    pin::{Pin, pin},
    time::Duration,
};
use ukevent_buf::Buffer;
use ukevent_task::time::{Deadline, now};

impl<W: Wire, C: Content> Connection<W, C> {
    /// Sends the answers there are.
    pub(super) async fn flush(&mut self) -> Result<(), Gone> {
        if self.answers.is_empty() && self.tail.is_none() {
            return Ok(());
        }
        self.keep_input();
        let answers = take(&mut self.answers);
        match self.tail.take() {
            None => self.send(answers).await?,
            Some(tail) => Box::pin(self.send_tail(answers, *tail)).await?,
        }
        self.have_left();
        let limits = &self.shared.limits;
        self.deadline.set(match self.phase {
            Phase::Rest => limits.idle,
            Phase::Head => limits.head,
            Phase::Body => limits.body,
        });
        self.has_answered = true;
        Ok(())
    }

    /// The answers have left: counts how long they took, and logs them.
    pub(super) fn have_left(&mut self) {
        let count = take(&mut self.due);
        if count > 0 {
            self.shared.record(now().saturating_sub(self.received), count);
        }
        if let (Some(journal), Some(log)) = (&mut self.journal, &self.shared.log) {
            journal.left(log);
        }
    }

    pub(super) async fn send(&mut self, bytes: Buffer) -> Result<(), Gone> {
        let count = bytes.len() as u64;
        let mut watch = Watch::new(self.wire.probe(), &self.shared);
        let sending = pin!(self.wire.send(bytes));
        watched(sending, &mut watch, &mut self.deadline).await?;
        self.shared.count(|counters| counters.bytes_sent += count);
        Ok(())
    }

    /// Sends answers, and behind them what is not in memory of the last.
    async fn send_tail(&mut self, answers: Buffer, tail: Tail) -> Result<(), Gone> {
        match tail {
            // What is live is not sent from here, but by [`Connection::live`].
            Tail::Nothing | Tail::Live(_) => self.send(answers).await,
            Tail::File(part) => {
                let Some(file) = part.file() else { return Ok(()) };
                let file = self.wire.file(file)?;
                self.send_part(answers, &file, part).await
            }
            Tail::Parts(mut parts) => {
                let (mut before, mut registered) = (answers, None);
                loop {
                    let (head, part) = self.walk(before, &mut parts);
                    let Some(part) = part else { return self.send(head).await };
                    let Some(file) = part.file() else { return Ok(()) };
                    let file = match &mut registered {
                        Some(file) => file,
                        none => none.insert(self.wire.file(file)?),
                    };
                    self.send_part(head, file, part).await?;
                    before = Buffer::default();
                }
            }
        }
    }

    /// What is to be sent before the next of several ranges, and that; or behind the last.
    fn walk(&self, before: Buffer, parts: &mut Parts) -> (Buffer, Option<FilePart>) {
        let mut service = self.shared.begin();
        let turn = service.turn(&self.shared, false);
        turn.out.go_on(before);
        let part = parts.walk(turn.out);
        (turn.out.take(), part)
    }

    async fn send_part(
        &mut self,
        answers: Buffer,
        file: &W::File,
        part: FilePart,
    ) -> Result<(), Gone> {
        let FilePart { mut offset, mut left, .. } = part;
        let mut head = answers;
        while left > 0 {
            let piece = left.min(TURN_BYTES);
            let expected = head.len() as u64 + piece;
            let mut watch = Watch::new(self.wire.probe(), &self.shared);
            let sending = pin!(self.wire.send_file(take(&mut head), file, offset, piece));
            let sent = watched(sending, &mut watch, &mut self.deadline).await?;
            self.shared.count(|counters| counters.bytes_sent += sent);
            if sent != expected {
                // The file is shorter than was announced: only closing says so.
                return Err(Gone);
            }
            (offset, left) = (offset + piece, left - piece);
        }
        Ok(())
    }
}

/// Looks after something that is being sent. Who empties the kernel's buffer slowly has not stalled: what is
/// outstanding differs from look to look, whether the kernel took more meanwhile or not.
struct Watch<'a, P, C> {
    probe: P,
    shared: &'a Shared<C>,
    progress: Duration,
    before: Option<Option<u32>>,
}

impl<'a, P: Probe, C> Watch<'a, P, C> {
    fn new(probe: P, shared: &'a Shared<C>) -> Self {
        Self { probe, shared, progress: now(), before: None }
    }

    /// When to look (again); nothing, if the peer took nothing for as long as it may.
    fn look(&mut self) -> Option<Duration> {
        let unsent = self.probe.unsent();
        // What has all reached the peer waits for the server's own disk.
        if self.before.replace(unsent) != Some(unsent) || unsent == Some(0) {
            self.progress = now();
        }
        let stall = self.shared.limits.stall;
        let left = (self.progress + stall).saturating_sub(now());
        (left > Duration::ZERO).then(|| left.min(stall / STALL_LOOKS))
    }
}

/// Waits until something has left, unless the peer takes nothing of it for as long as it may: it is looked
/// at several times within that.
async fn watched<T, P: Probe, C>(
    mut sending: Pin<&mut impl Future<Output = io::Result<T>>>,
    watch: &mut Watch<'_, P, C>,
    deadline: &mut Deadline,
) -> Result<T, Gone> {
    deadline.set(watch.shared.limits.stall / STALL_LOOKS);
    loop {
        if let Ok(sent) = deadline.guard(sending.as_mut()).await {
            return Ok(sent?);
        }
        match watch.look() {
            Some(wait) => deadline.set(wait),
            None => {
                watch.shared.count(|counters| counters.timed_out += 1);
                return Err(Gone);
            }
        }
    }
}
