//! The channel between tasks of one thread.

use super::error::{Closed, TryReceiveError, TrySendError};
use super::flow::{Flow, Ticket, Tried};
use crate::runtime::{Core, Waiter, current};
use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What a task waits for, in words.
const AWAITED: &str = "a channel";

/// A channel between the tasks of this thread that holds up to `capacity` messages. Memory is taken as it
/// fills. See the [module](super) for how it behaves.
///
/// # Panics
/// Outside of a runtime; and if `capacity` is 0.
///
/// ```
/// use ukevent_task::{block_on, channel, spawn};
///
/// let sum = block_on(async {
///     let (sender, receiver) = channel::local(8);
///     spawn(async move {
///         for number in 1..=100_u64 {
///             sender.send(number).await.expect("the receiver waits for all");
///         }
///     })
///     .detach();
///     let mut sum = 0;
///     while let Some(number) = receiver.receive().await {
///         sum += number;
///     }
///     sum
/// })?;
/// assert_eq!(sum, 5050);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
#[track_caller]
pub fn local<T>(capacity: usize) -> (LocalSender<T>, LocalReceiver<T>) {
    assert!(capacity > 0, "a channel without room passes nothing: give it a capacity of 1 or more");
    let core = current::expect("channel::local");
    let channel = Rc::new(Channel { core, flow: RefCell::new(Flow::new(capacity)) });
    (LocalSender(Rc::clone(&channel)), LocalReceiver(channel))
}

struct Channel<T> {
    core: Rc<Core>,
    /// Never borrowed while code of the program runs.
    flow: RefCell<Flow<T, Waiter>>,
}

impl<T> Channel<T> {
    #[inline]
    fn tell(&self, who: Option<Waiter>) {
        if let Some(who) = who {
            self.core.wake(who);
        }
    }
}

/// Sends to the tasks that receive. Cloning it makes one more sender. Made by [`local`].
pub struct LocalSender<T>(Rc<Channel<T>>);

impl<T> LocalSender<T> {
    /// Sends a message, when there is room. Dropped before it is ready, it has not sent, and the message is
    /// dropped with it.
    ///
    /// # Errors
    /// [`Closed`] with the message, when there is no receiver any more.
    pub fn send(&self, message: T) -> LocalSend<'_, T> {
        LocalSend { sender: self, message: Some(message), ticket: None }
    }

    /// Sends a message if there is room now.
    ///
    /// # Errors
    /// [`TrySendError`] with the message.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut message = Some(message);
        let tried = self.0.flow.borrow_mut().send(&mut message, &mut None);
        match (tried, message) {
            (Tried::Not, Some(message)) => Err(TrySendError::Full(message)),
            (Tried::Closed, Some(message)) => Err(TrySendError::Closed(message)),
            (Tried::Done((), told), _) => {
                self.0.tell(told);
                Ok(())
            }
            // A message that is gone was sent.
            (_, None) => Ok(()),
        }
    }

    /// Whether there is no receiver any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.flow.borrow().is_closed()
    }

    /// How many messages wait.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is for people who look at how full it is")]
    pub fn len(&self) -> usize {
        self.0.flow.borrow().len()
    }

    /// How many may wait.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.flow.borrow().capacity()
    }
}

impl<T> Clone for LocalSender<T> {
    fn clone(&self) -> Self {
        self.0.flow.borrow_mut().add_sender();
        Self(Rc::clone(&self.0))
    }
}

impl<T> Drop for LocalSender<T> {
    fn drop(&mut self) {
        let told = self.0.flow.borrow_mut().remove_sender();
        told.into_iter().for_each(|who| self.0.core.wake(who));
    }
}

/// Made by [`LocalSender::send`].
#[must_use = "nothing is sent before it is awaited"]
pub struct LocalSend<'a, T> {
    sender: &'a LocalSender<T>,
    message: Option<T>,
    ticket: Option<Ticket>,
}

// Nothing in it is pinned.
impl<T> Unpin for LocalSend<'_, T> {}

impl<T> Future for LocalSend<'_, T> {
    type Output = Result<(), Closed<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let channel = &this.sender.0;
        if !channel.core.may_go_on(cx) {
            return Poll::Pending;
        }
        let tried = channel.flow.borrow_mut().send(&mut this.message, &mut this.ticket);
        match tried {
            Tried::Done((), told) => {
                channel.tell(told);
                Poll::Ready(Ok(()))
            }
            Tried::Closed => Poll::Ready(this.message.take().map_or(Ok(()), |it| Err(Closed(it)))),
            Tried::Not => {
                let who = channel.core.waiter(cx);
                let before = channel.flow.borrow_mut().wait_to_send(&mut this.ticket, who);
                drop(before);
                channel.core.awaits(AWAITED);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for LocalSend<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let channel = &self.sender.0;
            let (_gone, told) = channel.flow.borrow_mut().give_up_sending(ticket);
            channel.tell(told);
        }
    }
}

/// Receives what tasks send. Cloning it makes one more receiver; each message goes to one of them. Made by
/// [`local`].
pub struct LocalReceiver<T>(Rc<Channel<T>>);

impl<T> LocalReceiver<T> {
    /// Waits for a message; `None` when there is none and no sender any more. Dropped before it is ready, it
    /// has taken none.
    pub fn receive(&self) -> LocalReceive<'_, T> {
        LocalReceive { receiver: self, ticket: None }
    }

    /// Takes a message if there is one now.
    ///
    /// # Errors
    /// [`TryReceiveError`], if there is none.
    pub fn try_receive(&self) -> Result<T, TryReceiveError> {
        let tried = self.0.flow.borrow_mut().receive(&mut None);
        match tried {
            Tried::Done(message, told) => {
                self.0.tell(told);
                Ok(message)
            }
            Tried::Closed => Err(TryReceiveError::Closed),
            Tried::Not => Err(TryReceiveError::Empty),
        }
    }

    /// How many messages wait.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is for people who look at how full it is")]
    pub fn len(&self) -> usize {
        self.0.flow.borrow().len()
    }
}

impl<T> Clone for LocalReceiver<T> {
    fn clone(&self) -> Self {
        self.0.flow.borrow_mut().add_receiver();
        Self(Rc::clone(&self.0))
    }
}

impl<T> Drop for LocalReceiver<T> {
    fn drop(&mut self) {
        let (told, messages) = self.0.flow.borrow_mut().remove_receiver();
        told.into_iter().for_each(|who| self.0.core.wake(who));
        drop(messages);
    }
}

/// Made by [`LocalReceiver::receive`].
#[must_use = "nothing is received before it is awaited"]
pub struct LocalReceive<'a, T> {
    receiver: &'a LocalReceiver<T>,
    ticket: Option<Ticket>,
}

impl<T> Future for LocalReceive<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let channel = &this.receiver.0;
        if !channel.core.may_go_on(cx) {
            return Poll::Pending;
        }
        let tried = channel.flow.borrow_mut().receive(&mut this.ticket);
        match tried {
            Tried::Done(message, told) => {
                channel.tell(told);
                Poll::Ready(Some(message))
            }
            Tried::Closed => Poll::Ready(None),
            Tried::Not => {
                let who = channel.core.waiter(cx);
                let before = channel.flow.borrow_mut().wait_to_receive(&mut this.ticket, who);
                drop(before);
                channel.core.awaits(AWAITED);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for LocalReceive<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let channel = &self.receiver.0;
            let (_gone, told) = channel.flow.borrow_mut().give_up_receiving(ticket);
            channel.tell(told);
        }
    }
}

impl<T> fmt::Debug for LocalSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for LocalReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalReceiver").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for LocalSend<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSend").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for LocalReceive<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalReceive").finish_non_exhaustive()
    }
}
