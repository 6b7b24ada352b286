//! Events of the program itself, posted from any thread.

use crate::error::RegisterError;
use crate::event::Posted;
use crate::post::{Inbox, Merge};
use crate::primitive::Arc;

/// A source the program posts to, with 64 bits each time.
///
/// ```
/// use ukevent_queue::{Kind, Merge, Mode, Queue, Token, User, Wait};
///
/// let mut queue = Queue::new()?;
/// let key = queue.register(User::merged(Merge::Sum), Token(1), Mode::Level)?;
/// let poster = queue.poster(key)?;
/// std::thread::spawn(move || {
///     poster.post(40).expect("the queue lives");
///     poster.post(2).expect("the queue lives");
/// })
/// .join()
/// .expect("does not panic");
/// queue.wait(Wait::forever())?;
/// let Some(Kind::User(posted)) = queue.next_event().map(|event| event.kind) else { panic!() };
/// assert_eq!((posted.data, posted.count), (42, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[doc(alias = "EVFILT_USER")]
pub struct User(pub(crate) Posting);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posting {
    Merged(Merge),
    Each(u32),
}

impl User {
    /// Posts that wait together become one event, which says how many they were.
    pub const fn merged(merge: Merge) -> Self {
        Self(Posting::Merged(merge))
    }

    /// How many posts a source of [`User::each`] can hold: some million, in 16 MiB.
    pub const POSTS: u32 = 1 << 20;

    /// Every post is an event of its own, in order. Holds `capacity` of them (at least 2, rounded up to
    /// a power of two; their memory is taken when it is registered); then posting fails with
    /// [`PostError::Full`](crate::PostError::Full). More than [`User::POSTS`] are refused by
    /// [`Queue::register`](crate::Queue::register).
    pub const fn each(capacity: u32) -> Self {
        Self(Posting::Each(capacity))
    }

    /// Whether it is within its bound.
    pub(crate) const fn check(self) -> Result<(), RegisterError> {
        match self.0 {
            Posting::Each(capacity) if capacity > Self::POSTS => Err(RegisterError::Invalid(
                "a user source holds at most 1048576 posts (User::POSTS); hold fewer, or merge them",
            )),
            Posting::Each(_) | Posting::Merged(_) => Ok(()),
        }
    }

    pub(crate) fn state(self, key: u64) -> UserState {
        let inbox = Arc::new(match self.0 {
            Posting::Merged(merge) => Inbox::merging(key, merge),
            Posting::Each(capacity) => Inbox::each(key, capacity),
        });
        UserState { inbox, merged: None, returned: Vec::new(), counted: 0 }
    }
}

/// A user source in its slot.
pub(crate) struct UserState {
    pub(crate) inbox: Arc<Inbox>,
    /// Merged posts that were taken and not delivered.
    pub(crate) merged: Option<Posted>,
    /// Posts that were taken one by one and not delivered, the first last.
    returned: Vec<Posted>,
    /// How many events of this source count as ready.
    pub(crate) counted: u32,
}

impl UserState {
    /// Takes note of what was posted; returns how many more events can be delivered.
    pub(crate) fn collect(&mut self) -> u32 {
        let before = self.counted;
        if let Some(later) = self.inbox.take_merged() {
            self.merged = Some(match self.merged.take() {
                Some(earlier) => self.inbox.merge(earlier, later),
                None => later,
            });
        }
        let held = self.returned.len() as u32 + u32::from(self.merged.is_some());
        self.counted = self.counted.max(held + self.inbox.waiting());
        self.counted - before
    }

    /// The next event, if there is one.
    pub(crate) fn take(&mut self) -> Option<Posted> {
        let held = self.merged.take().or_else(|| self.returned.pop());
        let posted = held.or_else(|| self.inbox.take_one())?;
        self.counted = self.counted.saturating_sub(1);
        Some(posted)
    }

    /// Puts back what was taken and not delivered.
    pub(crate) fn put_back(&mut self, earlier: Posted) {
        if !self.inbox.is_merging() {
            self.returned.push(earlier);
            self.counted += 1;
            return;
        }
        self.merged = Some(match self.merged.take() {
            Some(later) => self.inbox.merge(earlier, later),
            None => earlier,
        });
        self.counted = 1;
    }
}
