//! The receiving half of a stream.

use crate::registered::Registered;
use crate::runtime::inboxes::{Bound, InboxId, own};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use ukevent_buf::Buffer;
use ukevent_queue::{Completed, Errno, Key, Kind, Operation, Payload};

const ECANCELED: Errno = Errno(125);

/// What receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing does.
    Paused,
    /// This operation does, until it is cancelled or ends.
    Runs(Key),
    /// Nothing will ever come.
    Over,
}

/// By which operation it is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Socket,
    Pipe,
}

/// Receives from a stream. Dropping it ends receiving; the stream is closed when both halves are dropped.
///
/// One continuous operation receives, from the first call on. What came while nobody asked is kept, up to
/// 16 buffers, and given by the next call: so a call that is dropped (by a time limit, by `select`) loses
/// nothing. With more than that the operation pauses, and the kernel keeps the rest.
#[derive(Debug)]
pub struct Receiver {
    source: Rc<Registered>,
    how: How,
    inbox: InboxId,
    state: State,
    /// What was received and not taken in full.
    held: Buffer,
}

impl Receiver {
    pub(crate) fn new(source: Rc<Registered>, how: How) -> Self {
        let inbox = source.core().open(Bound::Received, "input");
        Self { source, how, inbox, state: State::Paused, held: Buffer::default() }
    }

    /// The registration of the descriptor, which both halves share.
    #[must_use]
    pub const fn registered(&self) -> &Rc<Registered> {
        &self.source
    }

    /// Receives what comes next, or what came; an empty buffer is the end of the stream. The buffer is one
    /// of a bounded pool that all of the runtime receive into: drop it before waiting for long.
    ///
    /// Nothing is lost if it is dropped.
    ///
    /// # Errors
    /// What the kernel says of the connection, such as `ECONNRESET`. Then nothing more comes, and the next
    /// call gives the end. `OutOfMemory`, if the queue has as many registrations as it may, or there is no
    /// memory for the pool: the next call tries again.
    pub async fn receive(&mut self) -> io::Result<Buffer> {
        let mut waits = Waits { receiver: self, waited: false };
        poll_fn(|cx| {
            let polled = waits.receiver.poll_receive(cx);
            waits.waited = polled.is_pending();
            polled
        })
        .await
    }

    /// The same for futures that are written by hand. Who does not call it again when woken keeps a buffer of
    /// the pool.
    ///
    /// # Errors
    /// As [`Receiver::receive`].
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buffer>> {
        if !self.held.is_empty() {
            return Poll::Ready(Ok(std::mem::take(&mut self.held)));
        }
        if !self.source.core().may_go_on(cx) {
            return Poll::Pending;
        }
        loop {
            let core = self.source.core();
            let kind = core.take(self.inbox, cx);
            match (kind, self.state) {
                (Some(Kind::Completed(done)), _) => {
                    if let Some(received) = self.completed(done) {
                        return Poll::Ready(received);
                    }
                }
                (Some(_), _) => {}
                (None, State::Runs(_)) => return Poll::Pending,
                (None, State::Over) => return Poll::Ready(Ok(Buffer::default())),
                (None, State::Paused) => self.start()?,
            }
        }
    }

    /// Shows what was received without taking it: at least a byte, or nothing at the end. Then
    /// [`Receiver::consume`] takes what was used, which is to happen before waiting for long. As `AsyncBufRead`.
    ///
    /// # Errors
    /// As [`Receiver::receive`].
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.held.is_empty() {
            self.held = ready!(self.poll_receive(cx))?;
        }
        Poll::Ready(Ok(&self.held))
    }

    /// Takes so many bytes of what [`Receiver::poll_fill`] showed. What it leaves of a buffer of the pool is
    /// copied out, once: it may stay for long.
    ///
    /// # Panics
    /// If it did not show so many.
    pub fn consume(&mut self, bytes: usize) {
        self.held.consume(bytes);
        if self.held.is_empty() {
            self.held = Buffer::default();
        } else {
            own(&mut self.held);
        }
    }

    /// Puts back what was received and not used: the next call gives it. What had been put back and not
    /// received since comes behind it. It is copied, if it is a
    /// buffer of the pool.
    pub fn put_back(&mut self, mut bytes: Buffer) {
        if self.held.is_empty() {
            own(&mut bytes);
            self.held = bytes;
        } else {
            let both = [&bytes[..], &self.held[..]].concat();
            self.held = Buffer::from(both);
        }
    }

    /// Stops receiving until the next call that receives, and waits until the operation that does so has ended:
    /// then what comes stays in the kernel, for whoever reads from the descriptor next. Whether that is so; false,
    /// if something was received and not taken yet, or the stream has ended: the next call gives it.
    ///
    /// Nothing is lost if it is dropped.
    pub async fn pause(&mut self) -> bool {
        if !self.held.is_empty() {
            return false;
        }
        if let State::Runs(key) = self.state {
            // It may have ended by itself, which is told in the same way.
            let _ = self.source.core().queue(|queue| queue.cancel(key));
        }
        poll_fn(|cx| self.poll_paused(cx)).await
    }

    fn poll_paused(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            match (self.source.core().take(self.inbox, cx), self.state) {
                (Some(Kind::Completed(done)), _) => match self.completed(done) {
                    Some(Ok(bytes)) => {
                        self.put_back(bytes);
                        return Poll::Ready(false);
                    }
                    // The next call finds the end, as after any error.
                    Some(Err(_)) => return Poll::Ready(false),
                    None => {}
                },
                (Some(_), _) => {}
                (None, State::Runs(_)) => return Poll::Pending,
                (None, State::Paused) => return Poll::Ready(true),
                (None, State::Over) => return Poll::Ready(false),
            }
        }
    }

    /// Ends the registration of the stream, of which this and `sender` are the halves, and gives back what owned
    /// its descriptor, if it was registered as a `T`: to be used elsewhere, on another thread too. Nothing, and the
    /// stream is closed, if something is still being sent or somebody else has a share of the registration.
    ///
    /// What was received and not taken is lost: [`Receiver::pause`] says whether there is any, and must have said
    /// so before.
    #[must_use]
    pub fn into_owner<T: 'static>(self, sender: super::Sender) -> Option<T> {
        let source = Rc::clone(&self.source);
        drop((self, sender));
        Rc::try_unwrap(source).ok()?.into_owner()
    }

    /// What an event of the operation means.
    fn completed(&mut self, done: Completed) -> Option<io::Result<Buffer>> {
        match (done.result, done.payload) {
            (Ok(1..), Payload::Buffer(buffer)) => Some(Ok(buffer)),
            (Ok(_), _) => {
                self.state = State::Over;
                Some(Ok(Buffer::default()))
            }
            (Err(ECANCELED), _) => {
                self.state = State::Paused;
                None
            }
            (Err(errno), _) => {
                self.state = State::Over;
                Some(Err(errno.into()))
            }
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let core = self.source.core();
        let pool = Arc::clone(core.frames()?);
        let key = self.source.key();
        let operation = match self.how {
            How::Socket => Operation::receive_each(key, pool),
            How::Pipe => Operation::read_each(key, pool),
        };
        core.resumed(self.inbox);
        let key = core.queue(|queue| queue.start(operation, self.inbox.token()))?;
        self.state = State::Runs(key);
        Ok(())
    }
}

/// A call that waits. Dropped by then, it leaves what comes to the next call, but not in a frame: those are
/// everybody's.
struct Waits<'a> {
    receiver: &'a mut Receiver,
    waited: bool,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.waited {
            self.receiver.source.core().leave(self.receiver.inbox);
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let core = self.source.core();
        if let State::Runs(key) = self.state {
            core.remove(key);
        }
        core.close(self.inbox);
    }
}
