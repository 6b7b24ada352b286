//! Posts: 64 bits at a time, from any thread to a task.

use crate::events::Events;
use crate::runtime::current;
use ukevent_queue::{Kind, Merge, NoSuchKey, Posted, Poster, RegisterError, User};

/// What other threads post. Dropping it ends it: posting fails from then on.
///
/// ```
/// use ukevent_task::{block_on, posts::Posts};
///
/// let sum = block_on(async {
///     let mut posts = Posts::each(16)?;
///     let poster = posts.poster()?;
///     std::thread::spawn(move || (1..=3).for_each(|number| poster.post(number).unwrap()));
///     let mut sum = 0;
///     for _ in 0..3 {
///         sum += posts.next().await.data;
///     }
///     Ok::<_, Box<dyn std::error::Error>>(sum)
/// })??;
/// assert_eq!(sum, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Posts {
    events: Events,
}

impl Posts {
    /// Every post by itself, in order. Beyond some 64 that are on the way, `capacity` of them wait; then
    /// posting fails with [`PostError::Full`](ukevent_queue::PostError::Full). See [`User::each`].
    ///
    /// # Errors
    /// [`RegisterError::Invalid`] above [`User::POSTS`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn each(capacity: u32) -> Result<Self, RegisterError> {
        Self::of(User::each(capacity))
    }

    /// Posts that wait together become one, by this rule, as a rule: how many it stands for is told
    /// ([`Posted::count`]). Posting never fails for want of room.
    ///
    /// # Errors
    /// [`RegisterError`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn merged(merge: Merge) -> Result<Self, RegisterError> {
        Self::of(User::merged(merge))
    }

    #[track_caller]
    fn of(user: User) -> Result<Self, RegisterError> {
        Ok(Self { events: Events::on(current::expect("Posts"), user, "a post")? })
    }

    /// What posts to it, from any thread; to be cloned.
    ///
    /// # Errors
    /// None, as long as this lives.
    pub fn poster(&self) -> Result<Poster, NoSuchKey> {
        self.events.poster()
    }

    /// Waits for the next. Nothing is lost if it is dropped.
    pub async fn next(&mut self) -> Posted {
        loop {
            if let Kind::User(posted) = self.events.next().await {
                return posted;
            }
        }
    }
}
