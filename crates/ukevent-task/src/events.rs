//! The one adaptor from sources of the queue to tasks.

use crate::runtime::inboxes::{Bound, InboxId};
use crate::runtime::{Core, current};
use std::rc::Rc;
use std::task::{Context, Poll};
use ukevent_queue::{Change, ChangeError, Key, Kind, Mode, RegisterError, Source};

/// The events of a source of the queue: of any, for there is nothing special about one of them.
///
/// What comes while nobody asks for it is kept, and given next. Dropping it ends the registration.
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
    core: Rc<Core>,
    inbox: InboxId,
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
        let core = current::expect("Events::of");
        Self::on(core, source, "an event")
    }

    pub(crate) fn on(
        core: Rc<Core>,
        source: impl Into<Source>,
        what: &'static str,
    ) -> Result<Self, RegisterError> {
        let inbox = core.open(Bound::Elsewhere, what);
        let source: Source = source.into();
        // A descriptor is level: each look at the queue would bring another event of it, if nobody reads.
        let mode = if matches!(source, Source::Fd(_)) { Mode::Dispatch } else { Mode::Level };
        match core.queue(|queue| queue.register(source, inbox.token(), mode)) {
            Ok(key) => Ok(Self { core, inbox, key }),
            Err(error) => {
                core.close(inbox);
                Err(error)
            }
        }
    }

    /// The registration: to post to a user source, for instance.
    #[must_use]
    pub const fn key(&self) -> Key {
        self.key
    }

    /// Changes the registration.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn modify(&self, change: Change) -> Result<(), ChangeError> {
        self.core.queue(|queue| queue.modify(self.key, change))
    }

    /// What posts to it, if it is a [`User`](ukevent_queue::User) source.
    ///
    /// # Errors
    /// [`NoSuchKey`](ukevent_queue::NoSuchKey), if it is not.
    pub fn poster(&self) -> Result<ukevent_queue::Poster, ukevent_queue::NoSuchKey> {
        self.core.queue(|queue| queue.poster(self.key))
    }

    /// Waits for the next event. Nothing is lost if it is dropped.
    pub async fn next(&mut self) -> Kind {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for futures that are written by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Kind> {
        if !self.core.may_go_on(cx) {
            return Poll::Pending;
        }
        let core = &self.core;
        let kind = core.take(self.inbox, cx);
        let Some(kind) = kind else { return Poll::Pending };
        if let Kind::Ready(_) = kind {
            // It fails if the registration has ended, and then nothing comes any more.
            let _ = core.queue(|queue| queue.enable(self.key));
        }
        Poll::Ready(kind)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.core.remove(self.key);
        self.core.close(self.inbox);
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Events").field(&self.key).finish()
    }
}
