//! An operation at work, in its slot.

use super::{Completed, Inlet, Request};
use crate::event::Errno;
use crate::key::Key;
use std::collections::VecDeque;
use std::sync::Arc;
use ukevent_buf::FramePool;
use ukevent_sys::poll::PollMask;

/// An operation at work, in its slot.
pub(crate) struct Work {
    pub(crate) on: Key,
    /// Its place among all operations of its descriptor.
    pub(crate) place: u32,
    /// The descriptor's number, while the registration lives.
    pub(crate) fd: i32,
    /// `None` while the kernel or another thread has it.
    pub(crate) request: Option<Request>,
    /// Whether the kernel carries it out by itself.
    pub(crate) in_flight: bool,
    /// Whether it has its turn, or waits for it.
    pub(crate) is_in_line: bool,
    /// What it does again and again, if it goes on after an event.
    pub(crate) each: Option<Each>,
    /// It was stopped for a while, so that not too much is kept.
    pub(crate) pausing: bool,
    /// It was told to end, with this.
    pub(crate) ended_by: Option<Errno>,
    /// To be delivered.
    pub(crate) completed: Kept,
    /// Nothing comes after that.
    pub(crate) ended: bool,
    /// The slot of its time limit; [`Key::NONE`] without one.
    pub(crate) limit: Key,
    /// What it waits for.
    pub(crate) waits_for: PollMask,
    /// What it counts against the bound of its descriptor.
    pub(crate) outgoing_bytes: usize,
}

impl Work {
    /// One that was not begun yet; of a box that was used before, if there is one.
    #[inline]
    pub(crate) fn new(on: Key, request: &Request, spare: Option<Box<Self>>) -> Box<Self> {
        let mut work = spare.unwrap_or_default();
        work.on = on;
        work.outgoing_bytes = request.outgoing_bytes();
        if request.is_continuous() {
            work.each = Each::of(request);
        }
        work
    }

    /// Lets go of all that it was, when it is over.
    #[inline]
    pub(crate) fn clear(&mut self) {
        debug_assert!(
            self.request.is_none() && self.completed.is_empty() && self.limit == Key::NONE
        );
        self.fd = NO_FD;
        self.in_flight = false;
        self.is_in_line = false;
        self.pausing = false;
        self.ended_by = None;
        self.ended = false;
        self.waits_for = PollMask::empty();
        if self.each.is_some() {
            self.each = None;
        }
        if self.completed.rest.is_some() {
            self.completed.rest = None;
        }
    }
}

const NO_FD: i32 = -1;

impl Default for Work {
    fn default() -> Self {
        Self {
            on: Key::NONE,
            place: 0,
            fd: NO_FD,
            request: None,
            in_flight: false,
            is_in_line: false,
            each: None,
            pausing: false,
            ended_by: None,
            completed: Kept::default(),
            ended: false,
            limit: Key::NONE,
            waits_for: PollMask::empty(),
            outgoing_bytes: 0,
        }
    }
}

/// Buffers that a continuous receiver fills before it is stopped until the program has taken them.
pub(crate) const MOST_BUFFERS: usize = 16;

/// What a continuous operation does again and again.
pub(crate) enum Each {
    Accept,
    Receive { pool: Arc<FramePool>, inlet: Inlet, most_bytes: u32 },
}

impl Each {
    fn of(request: &Request) -> Option<Self> {
        match request {
            Request::Accept { each: true } => Some(Self::Accept),
            &Request::ReceiveEach { ref pool, inlet, most_bytes } => {
                Some(Self::Receive { pool: pool.clone(), inlet, most_bytes })
            }
            _ => None,
        }
    }

    /// The request to begin again with.
    pub(crate) fn request(&self) -> Request {
        match *self {
            Self::Accept => Request::Accept { each: true },
            Self::Receive { ref pool, inlet, most_bytes } => {
                Request::ReceiveEach { pool: pool.clone(), inlet, most_bytes }
            }
        }
    }

    /// How many completions are kept before it is stopped until the program has taken them.
    pub(crate) const fn most_kept(&self) -> usize {
        match self {
            Self::Accept => 64,
            // Each has a buffer that others could use.
            Self::Receive { .. } => MOST_BUFFERS,
        }
    }
}

/// Completions in their order; as a rule there is one at a time.
#[derive(Default)]
pub(crate) struct Kept {
    first: Option<Completed>,
    #[expect(clippy::box_collection, reason = "as a rule there is none, and nothing to drop")]
    rest: Option<Box<VecDeque<Completed>>>,
}

impl Kept {
    #[inline]
    pub(crate) fn push(&mut self, completed: Completed) {
        if self.first.is_none() {
            self.first = Some(completed);
        } else {
            self.rest.get_or_insert_default().push_back(completed);
        }
    }

    /// Puts back what was popped.
    pub(crate) fn push_front(&mut self, completed: Completed) {
        if let Some(later) = self.first.replace(completed) {
            self.rest.get_or_insert_default().push_front(later);
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Completed> {
        let first = self.first.take()?;
        if let Some(rest) = &mut self.rest {
            self.first = rest.pop_front();
        }
        Some(first)
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }
}
