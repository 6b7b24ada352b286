//! A descriptor that the queue owns, for as long as this is kept.

use crate::operation::Perform;
use crate::runtime::{Core, current};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use ukevent_queue::{
    Completed, Fd, Interest, Key, Mode, Operation, Readiness, RegisterError, StartError,
    StartRefusal, Token,
};

/// Descriptors have no events of their own here.
pub(crate) const NOWHERE: Token = Token(u64::MAX);

/// A descriptor that the queue of the runtime owns: to do operations with it ([`perform`](crate::perform)),
/// or to wait until it is ready and use it oneself.
///
/// Dropping it ends what is being done with it, and closes what it owns.
///
/// ```
/// use std::io::{Read, Write};
/// use ukevent_task::{Registered, block_on};
///
/// block_on(async {
///     let (reader, mut writer) = std::io::pipe()?;
///     let reader = Registered::new(reader)?;
///     writer.write_all(b"!")?;
///     reader.readable().await?;
///     let mut byte = [0];
///     reader.with(|pipe: &std::io::PipeReader| (&*pipe).read(&mut byte)).unwrap()?;
///     assert_eq!(&byte, b"!");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Registered {
    core: Rc<Core>,
    key: Key,
}

impl Registered {
    /// Lets the queue own a descriptor.
    ///
    /// # Errors
    /// [`RegisterError`]; the owner is dropped. It is dropped inside of the queue then, so its own `Drop` must
    /// not use the runtime.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn new(owner: impl AsFd + Send + 'static) -> Result<Self, RegisterError> {
        Self::on(current::expect("Registered::new"), owner)
    }

    pub(crate) fn on(
        core: Rc<Core>,
        owner: impl AsFd + Send + 'static,
    ) -> Result<Self, RegisterError> {
        let fd = Fd::new(owner).unwatched();
        let key = core.queue(|queue| queue.register(fd, NOWHERE, Mode::Level))?;
        Ok(Self { core, key })
    }

    pub(crate) const fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// What operations name it by.
    #[must_use]
    pub const fn key(&self) -> Key {
        self.key
    }

    /// Shows the owner, if it was registered as a `T`.
    ///
    /// # Panics
    /// If `what` registers, starts or ends anything in the queue, which is being looked at. To look at it too
    /// (its counters, the time) and to wake tasks is allowed.
    pub fn with<T: 'static, R>(&self, what: impl FnOnce(&T) -> R) -> Option<R> {
        self.core.look_into(|queue| queue.owner_of::<T>(self.key).map(what))
    }

    /// Waits until reading does not block.
    ///
    /// # Errors
    /// What the kernel has against it.
    pub async fn readable(&self) -> io::Result<Readiness> {
        self.ready(Interest::READ, "readable").await
    }

    /// Waits until writing does not block.
    ///
    /// # Errors
    /// What the kernel has against it.
    pub async fn writable(&self) -> io::Result<Readiness> {
        self.ready(Interest::WRITE, "writable").await
    }

    async fn ready(&self, interest: Interest, what: &'static str) -> io::Result<Readiness> {
        let done = self.perform(Operation::poll(self.key, interest), what).await?;
        let bits = done.result.map_err(io::Error::from)?;
        Ok(Readiness::from_bits_truncate(bits as u16))
    }

    /// Ends the registration and gives the owner back, if it was registered as a `T`; else it is closed.
    #[must_use]
    pub fn into_owner<T: 'static>(self) -> Option<T> {
        let removed = self.core.queue(|queue| queue.remove(self.key));
        removed.ok()?.downcast()
    }

    /// Starts what has its turn among what is sent, and waits for it. Dropped then, it goes on by itself. If
    /// as many bytes wait to be sent as may, it waits for these first; dropped then, nothing of it is sent.
    /// `nothing` sends nothing, in turn.
    pub(crate) async fn perform_in_turn(
        &self,
        mut operation: Operation,
        nothing: impl Fn(Key) -> Operation,
        what: &'static str,
    ) -> Result<Completed, Box<StartError>> {
        loop {
            let mut performs = self.perform(operation, what).detached();
            match performs.refused() {
                None => return performs.await,
                Some(error) if error.reason == StartRefusal::Full => operation = error.operation,
                Some(error) => return Err(error),
            }
            // Its turn comes when all before it have left. If they failed, the next try says so.
            self.perform(nothing(self.key), what).await?;
        }
    }

    pub(crate) fn perform(&self, operation: Operation, what: &'static str) -> Perform {
        Perform::new(Rc::clone(&self.core), operation, what)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.core.remove(self.key);
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registered").field(&self.key).finish()
    }
}
