//! The one adaptor from sources of the queue to tasks.

use crate::runtime::inboxes::{Bound, InboxId};
use crate::runtime::{Core, current};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use ukevent_queue::{
    Change, ChangeError, Key, Kind, Mode, NoSuchKey, Poster, RegisterError, Source,
};

/// The events of a source of the queue: of any, for there is nothing special about one of them.
///
/// What comes while nobody asks for it is kept, and given next: some 64 events here, the rest by the queue,
/// within the bounds that the source has there. Expirations of a timer join, and signals. Dropping it ends
/// the registration.
///
/// ```
/// use std::time::Duration;
/// use ukevent_queue::{Kind, Timer};
/// use ukevent_task::{Events, block_on};
///
/// let beats = block_on(async {
///     let mut beats = Events::of(Timer::every(Duration::from_millis(1)))?;
///     let mut count = 0;
///     while count < 3 {
///         if let Kind::Timer(expired) = beats.next().await {
///             count += expired.expirations;
///         }
///     }
///     Ok::<_, ukevent_queue::RegisterError>(count)
/// })??;
/// assert!(beats >= 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Events {
    set: EventSet,
    key: Key,
}

impl Events {
    /// Registers a source by its level.
    ///
    /// # Errors
    /// [`RegisterError`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn of(source: impl Into<Source>) -> Result<Self, RegisterError> {
        Self::on(current::expect("Events::of"), source, "an event")
    }

    pub(crate) fn on(
        core: Rc<Core>,
        source: impl Into<Source>,
        what: &'static str,
    ) -> Result<Self, RegisterError> {
        let mut set = EventSet::on(core, what);
        let key = set.add(source)?;
        Ok(Self { set, key })
    }

    pub(crate) const fn core(&self) -> &Rc<Core> {
        &self.set.core
    }

    /// The registration.
    #[must_use]
    pub const fn key(&self) -> Key {
        self.key
    }

    /// Changes the registration.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn modify(&self, change: Change) -> Result<(), ChangeError> {
        self.set.core.queue(|queue| queue.modify(self.key, change))
    }

    /// What posts to it, if it is a [`User`](ukevent_queue::User) source.
    ///
    /// # Errors
    /// [`NoSuchKey`], if it is not.
    pub fn poster(&self) -> Result<Poster, NoSuchKey> {
        self.set.poster(self.key)
    }

    /// Waits for the next event. Nothing is lost if it is dropped.
    pub async fn next(&mut self) -> Kind {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for futures that are written by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Kind> {
        self.set.poll_next(cx).map(|(_, kind)| kind)
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Events").field(&self.key).finish()
    }
}

/// The events of several sources, which come and go, in the order in which the queue told them.
///
/// Dropping it ends all registrations.
///
/// ```
/// use std::time::Duration;
/// use ukevent_queue::{Kind, Timer};
/// use ukevent_task::{EventSet, block_on};
///
/// block_on(async {
///     let mut timers = EventSet::new();
///     let later = timers.add(Timer::after(Duration::from_millis(2)))?;
///     let sooner = timers.add(Timer::after(Duration::from_millis(1)))?;
///     assert_eq!(timers.next().await.0, sooner);
///     assert_eq!(timers.next().await.0, later);
///     Ok::<(), ukevent_queue::RegisterError>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EventSet {
    core: Rc<Core>,
    inbox: InboxId,
    keys: Vec<Key>,
}

impl EventSet {
    /// An empty one.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::on(current::expect("EventSet::new"), "an event")
    }

    fn on(core: Rc<Core>, what: &'static str) -> Self {
        let inbox = core.open(Bound::Kept, what);
        Self { core, inbox, keys: Vec::new() }
    }

    /// Registers a source by its level.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn add(&mut self, source: impl Into<Source>) -> Result<Key, RegisterError> {
        let source: Source = source.into();
        // A descriptor that nobody reads would bring another event with each look at the queue.
        let mode = if matches!(source, Source::Fd(_)) { Mode::Dispatch } else { Mode::Level };
        let key = self.core.queue(|queue| queue.register(source, self.inbox.token(), mode))?;
        self.keys.push(key);
        Ok(key)
    }

    /// What posts to one of them, if it is a [`User`](ukevent_queue::User) source.
    ///
    /// # Errors
    /// [`NoSuchKey`], if it is not.
    pub fn poster(&self, key: Key) -> Result<Poster, NoSuchKey> {
        self.core.look_into(|queue| queue.poster(key))
    }

    /// Ends a registration: nothing comes of it any more, and what came and was not taken is dropped. A key
    /// that is none of this set's is passed over.
    pub fn remove(&mut self, key: Key) {
        if let Some(at) = self.keys.iter().position(|&other| other == key) {
            self.keys.swap_remove(at);
            self.core.remove(key);
            self.core.forget(self.inbox, key);
        }
    }

    /// What shows others than who takes the events whether there are any.
    #[must_use]
    pub fn untaken(&self) -> Untaken {
        Untaken { core: Rc::clone(&self.core), inbox: self.inbox }
    }

    /// Waits for the next event of any. Nothing is lost if it is dropped.
    pub async fn next(&mut self) -> (Key, Kind) {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for futures that are written by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Key, Kind)> {
        if !self.core.may_go_on(cx) {
            return Poll::Pending;
        }
        let Some((key, kind)) = self.core.take_with_key(self.inbox, cx) else {
            if self.core.resumed(self.inbox) {
                // It fails if a registration has ended, and then nothing comes any more of it.
                let enable = |&key| drop(self.core.queue(|queue| queue.enable(key)));
                self.keys.iter().for_each(enable);
            }
            return Poll::Pending;
        };
        if let Kind::Ready(_) = kind {
            // It fails if the registration has ended, and then nothing comes any more.
            let _ = self.core.queue(|queue| queue.enable(key));
        }
        Poll::Ready((key, kind))
    }
}

/// Whether events of an [`EventSet`] have come that were not taken: for tasks that must not go on before
/// another one has taken them. Of a set that is gone there are none. (A set that was full has more in the queue when
/// it was emptied; the next look brings them.)
///
/// ```
/// use ukevent_queue::User;
/// use ukevent_task::{EventSet, block_on, look};
///
/// block_on(async {
///     let mut set = EventSet::new();
///     let untaken = set.untaken();
///     let user = set.add(User::each(8))?;
///     set.poster(user).unwrap().post(1).unwrap();
///     look().await;
///     assert!(untaken.any());
///     set.next().await;
///     assert!(!untaken.any());
///     Ok::<(), ukevent_queue::RegisterError>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Untaken {
    core: Rc<Core>,
    inbox: InboxId,
}

impl Untaken {
    /// Whether there is one.
    #[must_use]
    pub fn any(&self) -> bool {
        self.core.has_events(self.inbox)
    }
}

impl std::fmt::Debug for Untaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Untaken").field("any", &self.any()).finish()
    }
}

impl Default for EventSet {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for EventSet {
    fn drop(&mut self) {
        for &key in &self.keys {
            self.core.remove(key);
        }
        self.core.close(self.inbox);
    }
}

impl std::fmt::Debug for EventSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EventSet").field(&self.keys).finish()
    }
}
