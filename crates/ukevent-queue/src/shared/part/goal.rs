//! What one wait wants, how it sleeps, and when it is over.

use crate::key::Key;
use crate::shared::group::Group;
use crate::wait::{Until, Wait};
use ukevent_sys::clock::Clock;

/// What a wait wants, and how far it is.
pub(super) struct Goal<'a> {
    pub(super) wait: &'a Wait<'a>,
    pub(super) seen: Option<u64>,
    pub(super) deadline: Deadline,
    /// The kernel was asked in this wait.
    pub(super) has_looked: bool,
    pub(super) has_slept: bool,
}

impl<'a> Goal<'a> {
    pub(super) fn new(seen: Option<u64>, wait: &'a Wait<'a>, shared: &Group) -> Self {
        let deadline = Deadline::of(wait.until, shared);
        Self { wait, seen, deadline, has_looked: false, has_slept: false }
    }
}

/// What a wait does next.
pub(super) enum Step {
    Sleep(Sleep),
    Over,
}

/// How it sleeps.
pub(super) struct Sleep {
    /// Others know that it sleeps; else it only looks.
    pub(super) blocks: bool,
    pub(super) timeout_ns: Option<u64>,
    /// Reports that it may take.
    pub(super) most: usize,
}

/// When a wait is over.
pub(super) enum Deadline {
    Never,
    Monotonic(u64),
    /// On a clock that may jump: also a timer of the queue's own.
    Other(Clock, u64, Key),
}

impl Deadline {
    pub(super) fn of(until: Until, shared: &Group) -> Self {
        match until {
            Until::Ever => Self::Never,
            Until::Now => Self::Monotonic(0),
            Until::Within(ns) => Self::Monotonic(Clock::Monotonic.now().saturating_add(ns)),
            Until::At(Clock::Monotonic, ns) => Self::Monotonic(ns),
            Until::At(clock, ns) => {
                Self::Other(clock, ns, shared.lock().queue.add_deadline(clock, ns))
            }
        }
    }

    pub(super) fn end(self, shared: &Group) {
        if let Self::Other(_, _, key) = self {
            shared.lock().queue.end_deadline(key);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match *self {
            Self::Never => false,
            Self::Monotonic(ns) => ns == 0 || Clock::Monotonic.now() >= ns,
            Self::Other(clock, ns, _) => clock.now() >= ns,
        }
    }

    pub(super) fn remaining_ns(&self) -> Option<u64> {
        match *self {
            Self::Monotonic(ns) => Some(ns.saturating_sub(Clock::Monotonic.now())),
            Self::Never | Self::Other(..) => None,
        }
    }
}
