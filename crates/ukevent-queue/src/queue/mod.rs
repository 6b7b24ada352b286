//! The queue: its parts, and the small questions one can ask it.
//!
//! What one can do with it is told in these files: `register` (how registrations come, change and go),
//! `wait` (how events get in), `deliver` (how they get out), `timers` (three clocks), `nest` (the
//! queue as a descriptor), `shared` (the same steps for several threads).

mod deliver;
mod nest;
mod operations;
mod register;
mod shared;
mod timers;
mod wait;

pub use register::Change;

use crate::backend::choice::{BackendKind, Chosen};
use crate::backend::{Backend, Completion};
use crate::error::{BuildError, NoSuchKey};
use crate::key::Key;
use crate::post::{Mailbox, Poster, Waker};
use crate::primitive::Arc;
use crate::slot::Slots;
use crate::source::ConnectorHub;
use crate::source::InodeHub;
use crate::source::SignalHub;
use crate::source::{Removed, State};
use nest::Nest;
use operations::Operations;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use timers::Timers;
use ukevent_sys::clock::Clock;
use ukevent_sys::poll::PollFd;
use ukevent_sys::runner::{Process, Runner};

/// One queue for every kind of event.
///
/// It belongs to one thread: the one that first registers a signal, asks for a descriptor
/// ([`Queue::descriptor`]), or waits. Before that it may be sent. Posts come from any thread
/// ([`Queue::poster`]). A child made by fork(2) may drop its copy, and nothing else: all else is refused
/// there.
///
/// Dropping it, in its thread, closes what it owns, restores signal masks, and makes posters fail.
/// (Dropped in another thread, an io_uring instance lets go of its files only when its own thread
/// ends.)
pub struct Queue {
    /// First, so that the kernel lets go of the descriptors before their owners close them.
    backend: Box<dyn Backend>,
    kind: BackendKind,
    reason: String,
    slots: Slots,
    /// Slots with something to deliver, first come first served.
    ready: VecDeque<Key>,
    /// How many events those slots have in all.
    ready_events: usize,
    /// How many of them the last wait let out.
    grant: usize,
    /// Only the slots that are marked were let out.
    partly: bool,
    /// Slots to arm at the next wait.
    to_arm: Vec<Key>,
    /// Slots whose descriptor has more to read than the budget allowed.
    hot: Vec<Key>,
    timers: Timers,
    mailbox: Arc<Mailbox>,
    /// Inboxes of removed sources that are still on the mailbox's stack.
    orphans: HashMap<u64, Arc<crate::post::Inbox>>,
    hubs: Hubs,
    operations: Operations,
    nest: Option<Nest>,
    /// The owner of a one-shot descriptor that was just delivered.
    spent: Option<Removed>,
    made_by: Process,
    /// Several threads use it, one after another.
    is_shared: bool,
    /// Owners that a shared queue has let go of: they are not to be dropped under its lock.
    pub(crate) waste: Vec<Removed>,
    owner: Option<Runner>,
    counters: Counters,
    /// Which wait is going on, or comes next.
    epoch: u32,
    /// Slots whose report may be late.
    doubtful: Vec<Key>,
    /// The monotonic time, if it was read since the last sleep.
    now_ns: Option<u64>,
    /// Kept for their memory.
    reports: Vec<Completion>,
    probes: Vec<PollFd>,
    probed: Vec<Key>,
    posted: Vec<Key>,
}

/// What many registrations share, made when first needed, with the slot that watches it.
#[derive(Default)]
struct Hubs {
    inodes: Option<(InodeHub, Key)>,
    signals: Option<(SignalHub, Key)>,
    connector: Option<(ConnectorHub, Key)>,
}

/// What happened in a queue since it was made. Taken by [`Queue::counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Calls of [`Queue::wait`].
    pub waits: u64,
    /// Events delivered.
    pub events: u64,
    /// The most events that one wait let out.
    pub batch_max: u64,
    /// Reports that joined an event that was waiting already.
    pub coalesced: u64,
    /// Events that were no longer true when they would have been delivered.
    pub untrue: u64,
    /// Reports of registrations that were changed or removed meanwhile.
    pub stale: u64,
    /// How often "look again" was said.
    pub rescans: u64,
    /// How often the completions overflowed the ring (nothing is lost by it).
    pub overflows: u64,
    /// System calls that the backend made, and tries of operations.
    pub system_calls: u64,
    /// Registrations and operations alive.
    pub registered: u64,
}

impl Queue {
    /// A queue with the defaults of [`Builder`](crate::Builder).
    ///
    /// # Errors
    /// As [`Builder::build`](crate::Builder::build).
    pub fn new() -> Result<Self, BuildError> {
        crate::Builder::new().build()
    }

    pub(crate) fn with(chosen: Chosen, limit: u32) -> Self {
        let mailbox = Arc::new(Mailbox::new(chosen.backend.waker()));
        let timers = Timers::new(chosen.backend.now(Clock::Monotonic));
        Self {
            backend: chosen.backend,
            kind: chosen.kind,
            reason: chosen.reason,
            slots: Slots::new(limit),
            ready: VecDeque::new(),
            ready_events: 0,
            grant: 0,
            partly: false,
            to_arm: Vec::new(),
            hot: Vec::new(),
            timers,
            mailbox,
            orphans: HashMap::new(),
            hubs: Hubs::default(),
            operations: Operations::new(),
            nest: None,
            spent: None,
            made_by: Process::current(),
            is_shared: false,
            waste: Vec::new(),
            owner: None,
            counters: Counters::default(),
            reports: Vec::new(),
            epoch: 1,
            doubtful: Vec::new(),
            now_ns: None,
            probes: Vec::new(),
            probed: Vec::new(),
            posted: Vec::new(),
        }
    }

    /// Which backend it uses.
    #[must_use]
    pub const fn backend(&self) -> BackendKind {
        self.kind
    }

    /// Why it uses that one, in words: "io_uring: the kernel allows it".
    #[must_use]
    pub fn backend_reason(&self) -> String {
        format!("{}: {}", self.kind, self.reason)
    }

    /// The time of a clock, since its epoch. Timers made of it are spared a look at the clock each.
    #[must_use]
    pub fn time(&self, clock: Clock) -> Duration {
        Duration::from_nanos(self.backend.now(clock))
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let tally = self.backend.tally();
        Counters {
            system_calls: tally.system_calls + self.operations.tries,
            overflows: tally.overflows,
            registered: u64::from(self.slots.registered()),
            ..self.counters
        }
    }

    /// Whether the last wait left unread reports that it knew of (of inodes, signals, processes, the network),
    /// so that the others have their turn: then something that happened before that wait may not be among its
    /// events. The next wait reads on. Operations that go on are no reports: a file that is being sent leaves
    /// nothing unread.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        let is_report = |key: &Key| {
            let slot = self.slots.live_ref(*key);
            slot.is_some_and(|slot| !matches!(slot.state, State::Work(_)))
        };
        self.hot.iter().any(is_report)
    }

    /// Whether the last wait is known to have let in everything that had happened before anything that it let
    /// in was received. On io_uring that is so as a rule: the kernel itself receives, and says when it has not told
    /// all yet. Elsewhere something may be received after a wait has asked for all else, and it is never known.
    #[must_use]
    pub fn is_caught_up(&mut self) -> bool {
        !self.backend.may_be_behind() && !self.has_unread()
    }

    /// What posts to a user source, from any thread.
    ///
    /// # Errors
    /// [`NoSuchKey`] if the key names nothing, or something else.
    pub fn poster(&self, key: Key) -> Result<Poster, NoSuchKey> {
        match self.slots.find_ref(key).map(|slot| &slot.state) {
            Some(State::User(user)) => {
                Ok(Poster { mailbox: self.mailbox.clone(), inbox: user.inbox.clone() })
            }
            _ => Err(NoSuchKey),
        }
    }

    /// What ends a wait of this queue without an event, from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker { mailbox: self.mailbox.clone() }
    }

    /// The owner of a registered descriptor, if it was registered as a `T`: to read from a stream
    /// that the queue owns.
    #[must_use]
    pub fn owner_of<T: 'static>(&self, key: Key) -> Option<&T> {
        self.slots.owner(key)?.downcast_ref()
    }

    /// The owner of the one-shot descriptor whose event was taken last; kept until the next event or
    /// wait, then dropped.
    pub const fn take_spent(&mut self) -> Option<Removed> {
        self.spent.take()
    }

    /// The monotonic time, read once between two sleeps.
    #[inline]
    fn monotonic_ns(&mut self) -> u64 {
        *self.now_ns.get_or_insert_with(|| self.backend.now(Clock::Monotonic))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        for (_, slot) in self.slots.iter() {
            if let State::User(user) = &slot.state {
                user.inbox.close();
            }
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("backend", &self.kind)
            .field("registered", &self.slots.registered())
            .field("ready", &self.ready_events)
            .finish_non_exhaustive()
    }
}
