//! How answers leave: a turn's worth of a file at a time, and watched for a peer that takes nothing.

use super::{
    Connection, Gone, Phase,
    wire::{Probe, Wire},
};
use crate::{
    entity::{Content, FilePart},
    exchange::Tail,
    limits::{Limits, STALL_LOOKS, TURN_BYTES},
    range::parts::Parts,
    shared::Shared,
};
use pin_project_lite::pin_project;
use std::{
    io,
    mem::take,
    pin::Pin,
    task::{Context, Poll, ready},
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
        // Nothing that is moved is kept over a wait: it would have its place in every connection.
        if let Some(tail) = self.tail.take() {
            let answers = take(&mut self.answers);
            Box::pin(self.send_tail(answers, *tail)).await?;
        } else {
            let count = self.answers.len() as u64;
            self.watched_answers().await?;
            self.shared.tally().bytes_sent.add(count);
        }
        self.have_left();
        let Limits { idle, head, body, .. } = self.shared.limits;
        match self.phase {
            Phase::Rest => self.rest_for(idle),
            // While something was sent nothing could be received: the time begins anew, and the pace.
            Phase::Head => self.expect_within(head),
            Phase::Body => self.expect_within(body),
        }
        self.has_answered = true;
        Ok(())
    }

    /// The answers have left: counts how long they took, and logs them.
    pub(super) fn have_left(&mut self) {
        let count = take(&mut self.due);
        if count > 0 {
            self.shared.tally().latency.record_all(now().saturating_sub(self.received), count);
        }
        if let (Some(journal), Some(log)) = (&mut self.journal, &self.shared.log) {
            journal.left(log);
        }
    }

    pub(super) async fn send(&mut self, bytes: Buffer) -> Result<(), Gone> {
        let count = bytes.len() as u64;
        self.watched(bytes).await?;
        self.shared.tally().bytes_sent.add(count);
        Ok(())
    }

    fn watched_answers(&mut self) -> impl Future<Output = Result<(), Gone>> {
        let answers = take(&mut self.answers);
        self.watched(answers)
    }

    /// Sends this. Not an async function, in which what is sent, and its sending, would have a place twice.
    fn watched(&mut self, bytes: Buffer) -> impl Future<Output = Result<(), Gone>> {
        let probe = self.wire.probe();
        Watched::new(self.wire.send(bytes), probe, &self.shared, &mut self.deadline)
    }

    /// Sends answers, and behind them what is not in memory of the last.
    async fn send_tail(&mut self, answers: Buffer, tail: Tail) -> Result<(), Gone> {
        match tail {
            // What is live is not sent from here, but by [`Connection::live`].
            Tail::Nothing | Tail::Live(_) => self.send(answers).await,
            Tail::File(part) => {
                let file = self.wire.file(&part.file)?;
                self.send_part(answers, &file, part).await
            }
            Tail::Parts(mut parts) => {
                let (mut before, mut registered) = (answers, None);
                loop {
                    let (head, part) = self.walk(before, &mut parts);
                    let Some(part) = part else { return self.send(head).await };
                    let file = match &mut registered {
                        Some(file) => file,
                        none => none.insert(self.wire.file(&part.file)?),
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
            let probe = self.wire.probe();
            let sending = self.wire.send_file(take(&mut head), file, offset, piece);
            let sent = Watched::new(sending, probe, &self.shared, &mut self.deadline).await?;
            self.shared.tally().bytes_sent.add(sent);
            if sent != expected {
                // The file is shorter than was announced: only closing says so.
                return Err(Gone);
            }
            (offset, left) = (offset + piece, left - piece);
        }
        Ok(())
    }
}

pin_project! {
    /// Something that is being sent, unless the peer takes nothing of it for as long as it may: it is looked
    /// at several times within that. Who empties the kernel's buffer slowly has not stalled: what is
    /// outstanding differs from look to look, whether the kernel took more meanwhile or not.
    struct Watched<'a, S, P, C> {
        #[pin]
        sending: S,
        probe: P,
        shared: &'a Shared<C>,
        deadline: &'a mut Deadline,
        // In a box, because most have left before they are looked at.
        seen: Option<Box<Seen>>,
    }
}

/// What was outstanding at the last look, and when that had changed.
struct Seen {
    unsent: Option<u32>,
    changed: Duration,
}

impl<'a, S, P: Probe, C> Watched<'a, S, P, C> {
    fn new(sending: S, probe: P, shared: &'a Shared<C>, deadline: &'a mut Deadline) -> Self {
        deadline.set(shared.limits.stall / STALL_LOOKS);
        Self { sending, probe, shared, deadline, seen: None }
    }
}

/// Looks how far it is. When to look again; nothing, if the peer took nothing for as long as it may.
fn look(probe: &impl Probe, seen: &mut Option<Box<Seen>>, stall: Duration) -> Option<Duration> {
    let (unsent, now) = (probe.unsent(), now());
    let seen = seen.get_or_insert_with(|| Box::new(Seen { unsent, changed: now }));
    // What has all reached the peer waits for the server's own disk.
    if seen.unsent != unsent || unsent == Some(0) {
        **seen = Seen { unsent, changed: now };
    }
    let left = (seen.changed + stall).saturating_sub(now);
    (left > Duration::ZERO).then(|| left.min(stall / STALL_LOOKS))
}

impl<T, S: Future<Output = io::Result<T>>, P: Probe, C> Future for Watched<'_, S, P, C> {
    type Output = Result<T, Gone>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Poll::Ready(sent) = this.sending.as_mut().poll(cx) {
                return Poll::Ready(Ok(sent?));
            }
            ready!(this.deadline.poll_passed(cx));
            match look(this.probe, this.seen, this.shared.limits.stall) {
                Some(wait) => this.deadline.set(wait),
                None => {
                    this.shared.tally().timed_out.add(1);
                    return Poll::Ready(Err(Gone));
                }
            }
        }
    }
}
