//! What every channel is made of: messages, those who wait, and who may go next. No lock, no waker is
//! called, no message is dropped here: [`local`](super::local) and [`shared`](super::shared) put a cell or a
//! lock around it, and do all that when they have let go of it.
//!
//! Who waits is granted what comes, first come first served: a room for one message, or one message. A grant
//! is as good as taken: nobody else gets it, and so a task that was woken is never too late. It stands in no
//! list: who is not in line any more has one. A future that is dropped with a grant passes it on.
//!
//! Invariants, while the channel is open. Somebody waits for room only if there is none that is not granted,
//! and for a message only if there is none that is not granted. `messages + granted rooms ≤ capacity`;
//! `granted messages ≤ messages`.

use std::collections::VecDeque;

/// Those who wait for one thing, in order.
struct Line<W> {
    waiting: VecDeque<(u64, W)>,
    next: u64,
    /// How many were granted it and have not taken it.
    granted: usize,
}

/// A place in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl<W> Line<W> {
    const fn new() -> Self {
        Self { waiting: VecDeque::new(), next: 0, granted: 0 }
    }

    fn join(&mut self, who: W) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        self.waiting.push_back((ticket, who));
        Ticket(ticket)
    }

    fn place(&self, ticket: Ticket) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket.0, |(other, _)| *other).ok()
    }

    /// Lets the first have it.
    fn grant(&mut self) -> Option<W> {
        let (_, who) = self.waiting.pop_front()?;
        self.granted += 1;
        Some(who)
    }

    fn drain(&mut self) -> Vec<W> {
        self.waiting.drain(..).map(|(_, who)| who).collect()
    }
}

/// A channel within its cell or lock.
pub(super) struct Flow<T, W> {
    messages: VecDeque<T>,
    capacity: usize,
    senders: usize,
    receivers: usize,
    sending: Line<W>,
    receiving: Line<W>,
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Tried<D, W> {
    /// It is done; somebody is to be told.
    Done(D, Option<W>),
    /// The other side is gone.
    Closed,
    /// Not now.
    Not,
}

impl<T, W> Flow<T, W> {
    /// With one sender and one receiver.
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            capacity,
            senders: 1,
            receivers: 1,
            sending: Line::new(),
            receiving: Line::new(),
        }
    }

    pub(super) const fn add_sender(&mut self) {
        self.senders += 1;
    }

    pub(super) const fn add_receiver(&mut self) {
        self.receivers += 1;
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.receivers == 0
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.messages.len() + self.sending.granted)
    }

    fn unclaimed(&self) -> usize {
        self.messages.len().saturating_sub(self.receiving.granted)
    }

    /// Puts the message in, if there is one and it may; for who has no ticket, or had one and is not in line
    /// any more.
    #[inline]
    pub(super) fn send(
        &mut self,
        message: &mut Option<T>,
        ticket: &mut Option<Ticket>,
    ) -> Tried<(), W> {
        if message.is_none() {
            // It was sent already.
            return Tried::Done((), None);
        }
        if self.is_closed() {
            *ticket = None;
            return Tried::Closed;
        }
        match *ticket {
            Some(waits) if self.sending.place(waits).is_some() => return Tried::Not,
            Some(_) => {
                self.sending.granted -= 1;
                *ticket = None;
            }
            None if self.room() == 0 => return Tried::Not,
            None => {}
        }
        self.messages.extend(message.take());
        Tried::Done((), self.receiving.grant())
    }

    /// Takes a message. Closed is a channel without senders when it is empty.
    #[inline]
    pub(super) fn receive(&mut self, ticket: &mut Option<Ticket>) -> Tried<T, W> {
        if self.senders == 0 {
            // Nobody waits any more, and grants mean nothing: all take what is left.
            *ticket = None;
            return self.messages.pop_front().map_or(Tried::Closed, |it| Tried::Done(it, None));
        }
        match *ticket {
            Some(waits) if self.receiving.place(waits).is_some() => return Tried::Not,
            Some(_) => {
                self.receiving.granted -= 1;
                *ticket = None;
            }
            None if self.unclaimed() == 0 => return Tried::Not,
            None => {}
        }
        match self.messages.pop_front() {
            Some(message) => Tried::Done(message, self.sending.grant()),
            None => Tried::Not,
        }
    }

    /// Lets `who` wait for room; gives back who waited in its place.
    pub(super) fn wait_to_send(&mut self, ticket: &mut Option<Ticket>, who: W) -> Option<W> {
        wait(&mut self.sending, ticket, who)
    }

    /// Lets `who` wait for a message; gives back who waited in its place.
    pub(super) fn wait_to_receive(&mut self, ticket: &mut Option<Ticket>, who: W) -> Option<W> {
        wait(&mut self.receiving, ticket, who)
    }

    /// A future that wanted to send is dropped. Gives who is to be dropped, and who to be told.
    pub(super) fn give_up_sending(&mut self, ticket: Ticket) -> (Option<W>, Option<W>) {
        if self.is_closed() {
            return (None, None);
        }
        if let Some(place) = self.sending.place(ticket) {
            return (self.sending.waiting.remove(place).map(|(_, who)| who), None);
        }
        self.sending.granted -= 1;
        (None, self.sending.grant())
    }

    /// A future that wanted to receive is dropped. Gives who is to be dropped, and who to be told.
    pub(super) fn give_up_receiving(&mut self, ticket: Ticket) -> (Option<W>, Option<W>) {
        if self.senders == 0 {
            return (None, None);
        }
        if let Some(place) = self.receiving.place(ticket) {
            return (self.receiving.waiting.remove(place).map(|(_, who)| who), None);
        }
        self.receiving.granted -= 1;
        (None, self.receiving.grant())
    }

    /// A sender is dropped. After the last one all who wait for a message are to be told.
    #[must_use]
    pub(super) fn remove_sender(&mut self) -> Vec<W> {
        self.senders -= 1;
        if self.senders == 0 { self.receiving.drain() } else { Vec::new() }
    }

    /// A receiver is dropped. After the last one all who wait for room are to be told, and the messages
    /// to be dropped.
    #[must_use]
    pub(super) fn remove_receiver(&mut self) -> (Vec<W>, VecDeque<T>) {
        self.receivers -= 1;
        if self.receivers == 0 {
            (self.sending.drain(), std::mem::take(&mut self.messages))
        } else {
            (Vec::new(), VecDeque::new())
        }
    }
}

fn wait<W>(line: &mut Line<W>, ticket: &mut Option<Ticket>, who: W) -> Option<W> {
    let place = ticket.and_then(|waits| line.place(waits));
    match place.and_then(|place| line.waiting.get_mut(place)) {
        Some((_, before)) => Some(std::mem::replace(before, who)),
        None => {
            *ticket = Some(line.join(who));
            None
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "flow_tests.rs"]
mod tests;
