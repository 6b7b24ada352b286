//! Inboxes: where the events of the queue wait for the task that wants them.
//!
//! The token of every registration and operation names an inbox; this is the only way from an event to a
//! task, whatever the source. An inbox that was closed is named by a stale token, and its late events are
//! dropped, with all they carry: a descriptor is closed, a buffer goes home.

use super::wake::Waiter;
use std::collections::VecDeque;
use std::num::NonZeroU32;
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
    generation: NonZeroU32,
}

impl InboxId {
    pub(crate) const fn token(self) -> Token {
        Token((self.generation.get() as u64) << 32 | self.index as u64)
    }

    fn of(token: Token) -> Option<Self> {
        let generation = NonZeroU32::new((token.0 >> 32) as u32)?;
        Some(Self { index: token.0 as u32, generation })
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
    generation: NonZeroU32,
    bound: Bound,
    /// Is it cancelled or disabled already?
    cancelled: bool,
    what: &'static str,
    contents: Contents,
}

const _: () = assert!(size_of::<Inbox>() == 64, "there are many inboxes");

/// What is in an inbox: nobody waits for what is there, and nothing is there for who waits. Dropping it may
/// close descriptors and run the code of wakers.
#[derive(Default)]
pub(crate) enum Contents {
    #[default]
    Nothing,
    /// Somebody is to be told of the next event.
    Awaited(Waiter),
    Events {
        first: (Key, Kind),
        #[expect(
            clippy::box_collection,
            reason = "as a rule there is none, and there are many inboxes"
        )]
        more: Option<Box<VecDeque<(Key, Kind)>>>,
    },
}

impl Contents {
    const fn is_awaited_by(&self, task: u32) -> bool {
        matches!(self, Self::Awaited(Waiter::Task(index)) if *index == task)
    }

    fn len(&self) -> usize {
        match self {
            Self::Events { more, .. } => 1 + more.as_ref().map_or(0, |more| more.len()),
            Self::Nothing | Self::Awaited(_) => 0,
        }
    }
}

impl Inbox {
    /// Puts an event behind the others. Who waited is to be told.
    #[inline]
    fn push(&mut self, event: (Key, Kind)) -> Waiter {
        if let Contents::Events { more, .. } = &mut self.contents {
            more.get_or_insert_default().push_back(event);
            return Waiter::Nobody;
        }
        match std::mem::replace(&mut self.contents, Contents::Events { first: event, more: None }) {
            Contents::Awaited(waiter) => waiter,
            Contents::Nothing | Contents::Events { .. } => Waiter::Nobody,
        }
    }

    /// Lets an event join the last one that waits, if the two say no more than one would.
    fn join(&mut self, key: Key, later: &Kind) -> bool {
        let Contents::Events { first, more } = &mut self.contents else { return false };
        let (of, last) = more.as_mut().and_then(|more| more.back_mut()).unwrap_or(first);
        if *of != key {
            return false;
        }
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
            generation: NonZeroU32::MIN,
            bound,
            cancelled: false,
            what,
            contents: Contents::Nothing,
        });
        InboxId { index, generation: NonZeroU32::MIN }
    }

    #[inline]
    fn find(&mut self, id: InboxId) -> Option<&mut Inbox> {
        self.all.get_mut(id.index as usize).filter(|inbox| inbox.generation == id.generation)
    }

    /// Closes one. What was in it is to be dropped when the table is no longer borrowed.
    #[must_use]
    pub(crate) fn close(&mut self, id: InboxId) -> Option<Contents> {
        let inbox = self.find(id)?;
        inbox.generation = inbox.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let contents = std::mem::take(&mut inbox.contents);
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
        let found = InboxId::of(token).and_then(|id| self.find(id));
        let Some(inbox) = found else { return Err(kind) };
        let mut kind = kind;
        let (mut cancel, mut disable) = (None, None);
        if inbox.bound == Bound::Kept {
            if inbox.join(key, &kind) {
                return Ok(Delivered { wake: Waiter::Nobody, cancel, disable });
            }
            // Whoever waits for one has not taken it yet.
            if inbox.contents.len() + 1 >= MOST_KEPT {
                // Of many sources each that brings more.
                inbox.cancelled = true;
                disable = Some(key);
            }
        }
        if inbox.bound == Bound::Received && !matches!(inbox.contents, Contents::Awaited(_)) {
            copy_out(&mut kind);
            if inbox.contents.len() >= MOST_RECEIVED
                && !std::mem::replace(&mut inbox.cancelled, true)
            {
                cancel = Some(key);
            }
        }
        Ok(Delivered { wake: inbox.push((key, kind)), cancel, disable })
    }

    /// Takes the oldest event.
    #[inline]
    pub(crate) fn take(&mut self, id: InboxId) -> Option<(Key, Kind)> {
        let inbox = self.find(id)?;
        let Contents::Events { first, more } = &mut inbox.contents else { return None };
        if let Some(next) = more.as_mut().and_then(|more| more.pop_front()) {
            return Some(std::mem::replace(first, next));
        }
        match std::mem::take(&mut inbox.contents) {
            Contents::Events { first, .. } => Some(first),
            Contents::Nothing | Contents::Awaited(_) => None,
        }
    }

    /// Whether something waits to be taken.
    #[inline]
    pub(crate) fn has_events(&mut self, id: InboxId) -> bool {
        self.find(id).is_some_and(|inbox| matches!(inbox.contents, Contents::Events { .. }))
    }

    /// Lets `waiter` be told of the next event of an inbox in which there is none. Who was to be told before
    /// is to be dropped when the table is no longer borrowed.
    #[inline]
    #[must_use]
    pub(crate) fn wait(&mut self, id: InboxId, waiter: Waiter) -> Waiter {
        let Some(inbox) = self.find(id) else { return waiter };
        match &mut inbox.contents {
            Contents::Awaited(before) => std::mem::replace(before, waiter),
            contents @ Contents::Nothing => {
                *contents = Contents::Awaited(waiter);
                Waiter::Nobody
            }
            Contents::Events { .. } => {
                debug_assert!(false, "it was found empty");
                waiter
            }
        }
    }

    /// Takes out what is of one registration; it is to be dropped when the table is no longer borrowed.
    #[must_use]
    pub(crate) fn forget(&mut self, id: InboxId, key: Key) -> VecDeque<(Key, Kind)> {
        let Some(inbox) = self.find(id) else { return VecDeque::new() };
        let Contents::Events { .. } = inbox.contents else { return VecDeque::new() };
        let mut all = VecDeque::new();
        if let Contents::Events { first, more } = std::mem::take(&mut inbox.contents) {
            all = more.map_or_else(VecDeque::new, |more| *more);
            all.push_front(first);
        }
        let (forgotten, mut kept): (VecDeque<_>, VecDeque<_>) =
            all.into_iter().partition(|(of, _)| *of == key);
        if let Some(first) = kept.pop_front() {
            let more = (!kept.is_empty()).then(|| Box::new(kept));
            inbox.contents = Contents::Events { first, more };
        }
        forgotten
    }

    /// Nobody waits any more: what came for who did gives its frame back. Who waited is to be dropped when
    /// the table is no longer borrowed.
    #[must_use]
    pub(crate) fn leave(&mut self, id: InboxId) -> Waiter {
        let Some(inbox) = self.find(id) else { return Waiter::Nobody };
        match &mut inbox.contents {
            // Only the first can have come while somebody waited.
            Contents::Events { first: (_, kind), .. } => {
                copy_out(kind);
                Waiter::Nobody
            }
            Contents::Awaited(waiter) => {
                let waiter = std::mem::take(waiter);
                inbox.contents = Contents::Nothing;
                waiter
            }
            Contents::Nothing => Waiter::Nobody,
        }
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
            .filter(move |inbox| inbox.contents.is_awaited_by(task))
            .map(|inbox| inbox.what)
    }

    /// How many are open.
    pub(crate) fn open_count(&self) -> usize {
        self.all.len() - self.free.len()
    }
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
