//! Inboxes: where the events of the queue wait for the task that wants them.
//!
//! The token of every registration and operation names an inbox; this is the only way from an event to a
//! task, whatever the source. An inbox that was closed is named by a stale token, and its late events are
//! dropped, with all they carry: a descriptor is closed, a buffer goes home.

use super::wake::Waiter;
use std::collections::VecDeque;
use ukevent_buf::Buffer;
use ukevent_queue::{Key, Kind, Payload, Token};

/// What a receiver may have received that nobody has asked for yet, in events.
const MOST_RECEIVED: usize = 16;
/// The same of a source's events.
const MOST_KEPT: usize = 64;

/// Names an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InboxId {
    index: u32,
    generation: u32,
}

impl InboxId {
    pub(crate) const fn token(self) -> Token {
        Token((self.generation as u64) << 32 | self.index as u64)
    }

    const fn of(token: Token) -> Self {
        Self { index: token.0 as u32, generation: (token.0 >> 32) as u32 }
    }
}

/// Whether what comes is bounded here, because nothing else does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// It is one event.
    Elsewhere,
    /// A source, which is disabled when too much of it waits: the queue keeps the rest, within its own bounds.
    Kept,
    /// A continuous operation, which is cancelled when too much of it waits.
    Received,
}

struct Inbox {
    generation: u32,
    bound: Bound,
    /// Is it cancelled or disabled already?
    cancelled: bool,
    what: &'static str,
    first: Option<(Key, Kind)>,
    #[expect(
        clippy::box_collection,
        reason = "as a rule there is none, and there are many inboxes"
    )]
    more: Option<Box<VecDeque<(Key, Kind)>>>,
    waiter: Waiter,
}

impl Inbox {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.as_ref().map_or(0, |more| more.len())
    }

    /// Lets an event join the last one that waits, if the two say no more than one would.
    fn join(&mut self, key: Key, later: &Kind) -> bool {
        let last = self.more.as_mut().and_then(|more| more.back_mut()).or(self.first.as_mut());
        let Some((_, last)) = last.filter(|(of, _)| *of == key) else { return false };
        match (last, later) {
            (Kind::Timer(earlier), Kind::Timer(later)) => {
                earlier.expirations = earlier.expirations.saturating_add(later.expirations);
                true
            }
            (Kind::Signal(earlier), Kind::Signal(later)) => {
                let count = earlier.count.saturating_add(later.count);
                (*earlier, earlier.count) = (*later, count);
                true
            }
            (Kind::Rescan, Kind::Rescan) => true,
            _ => false,
        }
    }
}

/// All inboxes of a runtime.
#[derive(Default)]
pub(crate) struct Inboxes {
    all: Vec<Inbox>,
    free: Vec<u32>,
}

/// What is to be done after an event was put into its inbox.
pub(crate) struct Delivered {
    pub(crate) wake: Waiter,
    /// Too much waits: cancel this.
    pub(crate) cancel: Option<Key>,
    /// Too much waits: disable this.
    pub(crate) disable: Option<Key>,
}

impl Inboxes {
    /// A new one; `what` says to people what is waited for.
    pub(crate) fn open(&mut self, bound: Bound, what: &'static str) -> InboxId {
        if let Some(index) = self.free.pop() {
            let inbox = &mut self.all[index as usize];
            (inbox.bound, inbox.cancelled, inbox.what) = (bound, false, what);
            return InboxId { index, generation: inbox.generation };
        }
        let index = self.all.len() as u32;
        self.all.push(Inbox {
            generation: 1,
            bound,
            cancelled: false,
            what,
            first: None,
            more: None,
            waiter: Waiter::Nobody,
        });
        InboxId { index, generation: 1 }
    }

    #[inline]
    fn find(&mut self, id: InboxId) -> Option<&mut Inbox> {
        self.all.get_mut(id.index as usize).filter(|inbox| inbox.generation == id.generation)
    }

    /// Closes one. What was in it is to be dropped when the table is no longer borrowed.
    #[must_use]
    pub(crate) fn close(&mut self, id: InboxId) -> Option<Contents> {
        let inbox = self.find(id)?;
        inbox.generation = inbox.generation.wrapping_add(1);
        let contents = Contents {
            _first: inbox.first.take(),
            _more: inbox.more.take(),
            _waiter: std::mem::take(&mut inbox.waiter),
        };
        self.free.push(id.index);
        Some(contents)
    }

    /// Puts an event into its inbox; gives it back if that was closed.
    #[inline]
    pub(crate) fn deliver(
        &mut self,
        token: Token,
        key: Key,
        kind: Kind,
    ) -> Result<Delivered, Kind> {
        let Some(inbox) = self.find(InboxId::of(token)) else { return Err(kind) };
        let wake = std::mem::take(&mut inbox.waiter);
        let mut kind = kind;
        let (mut cancel, mut disable) = (None, None);
        if inbox.bound == Bound::Kept {
            if inbox.join(key, &kind) {
                return Ok(Delivered { wake, cancel, disable });
            }
            // Whoever waits for one has not taken it yet.
            if inbox.len() + 1 >= MOST_KEPT {
                // Of many sources each that brings more.
                inbox.cancelled = true;
                disable = Some(key);
            }
        }
        if inbox.bound == Bound::Received && !wake.is_somebody() {
            copy_out(&mut kind);
            if inbox.len() >= MOST_RECEIVED && !std::mem::replace(&mut inbox.cancelled, true) {
                cancel = Some(key);
            }
        }
        if inbox.first.is_none() && inbox.more.as_ref().is_none_or(|more| more.is_empty()) {
            inbox.first = Some((key, kind));
        } else {
            inbox.more.get_or_insert_default().push_back((key, kind));
        }
        Ok(Delivered { wake, cancel, disable })
    }

    /// Takes the oldest event.
    #[inline]
    pub(crate) fn take(&mut self, id: InboxId) -> Option<(Key, Kind)> {
        let inbox = self.find(id)?;
        inbox.first.take().or_else(|| {
            let more = inbox.more.as_mut()?;
            let event = more.pop_front();
            if more.is_empty() {
                inbox.more = None;
            }
            event
        })
    }

    /// Lets `waiter` be told of the next event. Who was to be told before is to be dropped when the table is
    /// no longer borrowed.
    #[inline]
    #[must_use]
    pub(crate) fn wait(&mut self, id: InboxId, waiter: Waiter) -> Waiter {
        match self.find(id) {
            Some(inbox) => std::mem::replace(&mut inbox.waiter, waiter),
            None => waiter,
        }
    }

    /// Takes out what is of one registration; it is to be dropped when the table is no longer borrowed.
    #[must_use]
    pub(crate) fn forget(&mut self, id: InboxId, key: Key) -> VecDeque<(Key, Kind)> {
        let Some(inbox) = self.find(id) else { return VecDeque::new() };
        let mut all = inbox.more.take().map_or_else(VecDeque::new, |more| *more);
        if let Some(first) = inbox.first.take() {
            all.push_front(first);
        }
        let (forgotten, mut kept): (VecDeque<_>, VecDeque<_>) =
            all.into_iter().partition(|(of, _)| *of == key);
        inbox.first = kept.pop_front();
        inbox.more = (!kept.is_empty()).then(|| Box::new(kept));
        forgotten
    }

    /// Nobody waits any more: what came for who did gives its frame back. Who waited is to be dropped when
    /// the table is no longer borrowed.
    #[must_use]
    pub(crate) fn leave(&mut self, id: InboxId) -> Waiter {
        let Some(inbox) = self.find(id) else { return Waiter::Nobody };
        // Only the first can have come while somebody waited.
        if let Some((_, kind)) = &mut inbox.first {
            copy_out(kind);
        }
        std::mem::take(&mut inbox.waiter)
    }

    /// Says of a continuous operation that it was started anew, or of a source that it is to be enabled.
    /// Whether it had been cancelled or disabled.
    pub(crate) fn resumed(&mut self, id: InboxId) -> bool {
        self.find(id).is_some_and(|inbox| std::mem::take(&mut inbox.cancelled))
    }

    /// What this task waits for.
    pub(crate) fn awaited_by(&self, task: u32) -> impl Iterator<Item = &'static str> {
        self.all
            .iter()
            .filter(move |inbox| matches!(inbox.waiter, Waiter::Task(index) if index == task))
            .map(|inbox| inbox.what)
    }

    /// How many are open.
    pub(crate) fn open_count(&self) -> usize {
        self.all.len() - self.free.len()
    }
}

/// What was in an inbox. Dropping it may close descriptors and run the code of wakers.
pub(crate) struct Contents {
    _first: Option<(Key, Kind)>,
    #[expect(clippy::box_collection, reason = "as it was kept")]
    _more: Option<Box<VecDeque<(Key, Kind)>>>,
    _waiter: Waiter,
}

/// Copies what was received out of its pool.
fn copy_out(kind: &mut Kind) {
    if let Kind::Completed(done) = kind
        && let Payload::Buffer(buffer) = &mut done.payload
    {
        own(buffer);
    }
}

/// Copies a buffer out of its pool: what nobody has asked for may wait for long, and the frames are
/// everybody's.
pub(crate) fn own(buffer: &mut Buffer) {
    if buffer.frame_index().is_some() {
        *buffer = Buffer::from(buffer.to_vec());
    }
}
