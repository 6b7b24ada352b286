//! Posts from other threads: how they reach the queue, and how a sleeping queue is woken.
//!
//! Each user source has an [`Inbox`] that takes its posts; a [`Mailbox`] per queue holds the stack of
//! inboxes that have some. An inbox is on the stack at most once, so the stack needs no bound and no
//! allocation: it is linked through the inboxes, by key. A post to an inbox that is on the stack
//! already is two or three atomic steps and nothing else.
//!
//! The queue takes the whole stack at once (so no ABA), and only the queue's thread takes.
//! Before it sleeps it says so and looks once more; a post looks for a sleeper after it has pushed.
//! A full fence stands between the two steps on both sides, so one of them sees the other: no wake-up
//! is lost, and at most one system call is made for each sleep. `loom` tries all orders (`tests.rs`).

use crate::error::PostError;
use crate::event::Posted;
use crate::primitive::{Arc, AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

/// What ends the sleep of a queue's thread.
pub(crate) trait Wake: Send + Sync {
    fn wake(&self);
}

/// The end of the stack; no key is all ones.
const EMPTY: u64 = u64::MAX;

/// The posts of one queue.
pub(crate) struct Mailbox {
    top: AtomicU64,
    sleeping: AtomicBool,
    /// Somebody asked for an empty return of the wait.
    woken: AtomicBool,
    /// The queue has something to look at that no inbox tells of.
    attention: AtomicBool,
    wake: Box<dyn Wake>,
}

impl Mailbox {
    pub(crate) fn new(wake: Box<dyn Wake>) -> Self {
        Self {
            top: AtomicU64::new(EMPTY),
            sleeping: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            attention: AtomicBool::new(false),
            wake,
        }
    }

    /// Says that the queue is about to sleep; false if it must not, because there is something.
    /// While a queue is watched by another one it counts as asleep whenever it is not in a wait.
    pub(crate) fn prepare_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let idle = self.is_idle();
        if !idle {
            self.end_sleep();
        }
        idle
    }

    /// Whether nothing is left of those who could post or wake and are gone: then nobody can while the
    /// queue sleeps, and it need not say so.
    pub(crate) fn is_left_idle(&self) -> bool {
        // Comes after the last of them let go of the mailbox.
        fence(Ordering::Acquire);
        self.is_idle()
    }

    /// Says that the queue is awake again.
    pub(crate) fn end_sleep(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// One of several threads is awake, and others sleep on: posts go on to wake one of them. Before it looks what
    /// there is.
    pub(crate) fn stay_asleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Wakes a thread that sleeps, for something that is no post.
    pub(crate) fn stir(&self) {
        self.wake.wake();
    }

    fn is_idle(&self) -> bool {
        self.is_empty()
            && !self.woken.load(Ordering::Relaxed)
            && !self.attention.load(Ordering::Relaxed)
    }

    /// Takes the request to wake, if there was one.
    pub(crate) fn take_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::AcqRel)
    }

    /// Whether no inbox is on the stack.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.top.load(Ordering::Relaxed) == EMPTY
    }

    /// Takes the stack: the key of its last inbox, which leads to the others by
    /// [`Inbox::take_next`].
    pub(crate) fn take(&self) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        Some(self.top.swap(EMPTY, Ordering::Acquire)).filter(|&key| key != EMPTY)
    }

    pub(crate) fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.end_a_sleep();
    }

    /// Lets the queue look at what was done for it; the wait goes on.
    pub(crate) fn attend(&self) {
        self.attention.store(true, Ordering::Release);
        self.end_a_sleep();
    }

    /// Whether it is to look; takes the request.
    #[inline]
    pub(crate) fn take_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed) && self.attention.swap(false, Ordering::AcqRel)
    }

    /// Whether it is to look.
    #[inline]
    pub(crate) fn has_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed)
    }

    fn push(&self, inbox: &Inbox) {
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            inbox.next.store(top, Ordering::Relaxed);
            match self.top.compare_exchange_weak(
                top,
                inbox.key,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(other) => top = other,
            }
        }
        self.end_a_sleep();
    }

    fn end_a_sleep(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed) {
            self.wake.wake();
        }
    }
}

/// What becomes of posts that wait together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Merge {
    /// The last data counts.
    #[default]
    Last,
    /// All bits of all data.
    Or,
    /// The sum of all data, wrapping.
    Sum,
}

/// The inbox is on the stack.
const STACKED: u32 = 1;
/// Nobody will look any more.
const CLOSED: u32 = 2;

/// The posts of one user source.
pub(crate) struct Inbox {
    key: u64,
    next: AtomicU64,
    state: AtomicU32,
    posts: Posts,
}

enum Posts {
    Merged { merge: Merge, data: AtomicU64, count: AtomicU64 },
    Each(Ring),
}

impl Inbox {
    pub(crate) fn merging(key: u64, merge: Merge) -> Self {
        let posts = Posts::Merged { merge, data: AtomicU64::new(0), count: AtomicU64::new(0) };
        Self { key, next: AtomicU64::new(EMPTY), state: AtomicU32::new(0), posts }
    }

    pub(crate) fn each(key: u64, capacity: u32) -> Self {
        let posts = Posts::Each(Ring::new(capacity));
        Self { key, next: AtomicU64::new(EMPTY), state: AtomicU32::new(0), posts }
    }

    fn post(&self, mailbox: &Mailbox, data: u64) -> Result<(), PostError> {
        if self.state.load(Ordering::Relaxed) & CLOSED != 0 {
            return Err(PostError::Closed);
        }
        match &self.posts {
            Posts::Merged { merge, data: word, count } => {
                match merge {
                    Merge::Last => word.store(data, Ordering::Relaxed),
                    Merge::Or => _ = word.fetch_or(data, Ordering::Relaxed),
                    Merge::Sum => _ = word.fetch_add(data, Ordering::Relaxed),
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            Posts::Each(ring) => {
                if !ring.push(data) {
                    return Err(PostError::Full);
                }
            }
        }
        // A read-modify-write in any case: it comes either before the queue's own, which then sees
        // the data, or after it, and then the inbox is stacked again.
        let before = self.state.fetch_or(STACKED, Ordering::AcqRel);
        if before & CLOSED != 0 {
            return Err(PostError::Closed);
        }
        if before & STACKED == 0 {
            mailbox.push(self);
        }
        Ok(())
    }

    /// The key of the inbox below on the stack; this one may be stacked anew from now on. Before its
    /// posts are taken.
    pub(crate) fn take_next(&self) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        self.state.fetch_and(!STACKED, Ordering::AcqRel);
        Some(next).filter(|&key| key != EMPTY)
    }

    /// Takes posts no more. True if the inbox is, or will be, on the stack: it must be kept until it
    /// comes off.
    pub(crate) fn close(&self) -> bool {
        self.state.fetch_or(CLOSED, Ordering::AcqRel) & STACKED != 0
    }

    /// How many events the posts that wait will make, and of merged posts their data and count,
    /// which are taken by this.
    pub(crate) fn take_merged(&self) -> Option<Posted> {
        let Posts::Merged { merge, data, count } = &self.posts else { return None };
        let count = count.swap(0, Ordering::Relaxed);
        if count == 0 {
            // A post may be between its data and its count; both are taken when it is stacked.
            return None;
        }
        let data = match merge {
            Merge::Last => data.load(Ordering::Relaxed),
            Merge::Or | Merge::Sum => data.swap(0, Ordering::Relaxed),
        };
        Some(Posted { data, count })
    }

    /// What two takings of merged posts make together.
    pub(crate) fn merge(&self, earlier: Posted, later: Posted) -> Posted {
        let data = match &self.posts {
            Posts::Merged { merge: Merge::Or, .. } => earlier.data | later.data,
            Posts::Merged { merge: Merge::Sum, .. } => earlier.data.wrapping_add(later.data),
            _ => later.data,
        };
        Posted { data, count: earlier.count.saturating_add(later.count) }
    }

    /// Whether posts that wait together are one event.
    pub(crate) const fn is_merging(&self) -> bool {
        matches!(self.posts, Posts::Merged { .. })
    }

    /// How many posts wait to be taken one by one.
    pub(crate) fn waiting(&self) -> u32 {
        match &self.posts {
            Posts::Each(ring) => ring.waiting(),
            Posts::Merged { .. } => 0,
        }
    }

    /// Takes one post.
    pub(crate) fn take_one(&self) -> Option<Posted> {
        match &self.posts {
            Posts::Each(ring) => ring.pop().map(|data| Posted { data, count: 1 }),
            Posts::Merged { .. } => None,
        }
    }
}

/// A bounded ring for many producers and one consumer (Vyukov, 2010): each cell says in `turn` whose
/// it is, so no producer waits for another to finish.
struct Ring {
    cells: Box<[Cell]>,
    tail: AtomicU64,
    head: AtomicU64,
}

struct Cell {
    turn: AtomicU64,
    data: AtomicU64,
}

impl Ring {
    fn new(capacity: u32) -> Self {
        let capacity = u64::from(capacity.max(2).next_power_of_two());
        let cells = (0..capacity)
            .map(|turn| Cell { turn: AtomicU64::new(turn), data: AtomicU64::new(0) })
            .collect();
        Self { cells, tail: AtomicU64::new(0), head: AtomicU64::new(0) }
    }

    fn cell(&self, position: u64) -> &Cell {
        &self.cells[position as usize & (self.cells.len() - 1)]
    }

    fn push(&self, data: u64) -> bool {
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            let cell = self.cell(tail);
            let turn = cell.turn.load(Ordering::Acquire);
            if turn == tail {
                match self.tail.compare_exchange_weak(
                    tail,
                    tail + 1,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        cell.data.store(data, Ordering::Relaxed);
                        cell.turn.store(tail + 1, Ordering::Release);
                        return true;
                    }
                    Err(other) => tail = other,
                }
            } else if turn < tail {
                return false;
            } else {
                tail = self.tail.load(Ordering::Relaxed);
            }
        }
    }

    fn pop(&self) -> Option<u64> {
        let head = self.head.load(Ordering::Relaxed);
        let cell = self.cell(head);
        if cell.turn.load(Ordering::Acquire) != head + 1 {
            return None;
        }
        let data = cell.data.load(Ordering::Relaxed);
        cell.turn.store(head + self.cells.len() as u64, Ordering::Release);
        self.head.store(head + 1, Ordering::Relaxed);
        Some(data)
    }

    /// Posts begun; the last of them may be a moment from being readable, and then its producer
    /// stacks the inbox again.
    fn waiting(&self) -> u32 {
        let mut position = self.head.load(Ordering::Relaxed);
        let mut count = 0;
        while count < self.cells.len() as u32
            && self.cell(position).turn.load(Ordering::Acquire) == position + 1
        {
            position += 1;
            count += 1;
        }
        count
    }
}

/// Posts to a user source, from any thread. Made by [`Queue::poster`](crate::Queue::poster).
///
/// Cloning is cheap. Outlives the registration and the queue: posting then fails with
/// [`PostError::Closed`].
#[derive(Clone)]
pub struct Poster {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) inbox: Arc<Inbox>,
}

impl Poster {
    /// Posts 64 bits. Never blocks, never allocates; makes a system call only if the queue sleeps.
    ///
    /// # Errors
    /// [`PostError::Full`] if the source keeps each post and holds as many as it may;
    /// [`PostError::Closed`] if it was removed or the queue dropped.
    #[doc(alias = "NOTE_TRIGGER")]
    #[inline]
    pub fn post(&self, data: u64) -> Result<(), PostError> {
        self.inbox.post(&self.mailbox, data)
    }
}

impl std::fmt::Debug for Poster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poster").finish_non_exhaustive()
    }
}

/// Ends a wait, from any thread, without an event. Made by [`Queue::waker`](crate::Queue::waker).
#[derive(Clone)]
pub struct Waker {
    pub(crate) mailbox: Arc<Mailbox>,
}

impl Waker {
    /// Lets the wait that is going on, or else the next one, return at once with what there is.
    /// Several calls before that are one. Never blocks; a system call only if the queue sleeps.
    pub fn wake(&self) {
        self.mailbox.wake();
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
