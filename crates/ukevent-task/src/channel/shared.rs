//! The channel from and to other threads.
//!
//! A lock around what the local channel is, too: it is held for some ten nanoseconds, never while a message
//! or a waker is made, dropped or called, so no thread waits for another's code. Who posts to a task that is
//! awake touches nothing else; who posts to one that waits wakes it through the queue of its runtime.

use super::error::{Closed, TryReceiveError, TrySendError};
use super::flow::{Flow, Ticket, Tried};
use crate::primitive::{Arc, Mutex, MutexGuard};
use crate::runtime::current;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::PoisonError;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// What a task waits for, in words.
const AWAITED: &str = "a channel of threads";

/// A channel between tasks of any threads, and threads without tasks, that holds up to `capacity` messages.
/// Memory is taken as it fills. See the [module](super) for how it behaves.
///
/// A send locks for a moment, and wakes the receiving runtime only if it waits for it.
///
/// # Panics
/// If `capacity` is 0.
///
/// ```
/// use ukevent_task::{block_on, channel};
///
/// let (sender, receiver) = channel::shared(8);
/// let thread = std::thread::spawn(move || {
///     for number in 1..=100_u64 {
///         sender.send_blocking(number).expect("the receiver waits for all");
///     }
/// });
/// let sum = block_on(async {
///     let mut sum = 0;
///     while let Some(number) = receiver.receive().await {
///         sum += number;
///     }
///     sum
/// })?;
/// assert_eq!(sum, 5050);
/// thread.join().expect("it does not panic");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
#[track_caller]
pub fn shared<T>(capacity: usize) -> (SharedSender<T>, SharedReceiver<T>) {
    assert!(capacity > 0, "a channel without room passes nothing: give it a capacity of 1 or more");
    let channel = Arc::new(Channel { flow: Mutex::new(Flow::new(capacity)) });
    (SharedSender(Arc::clone(&channel)), SharedReceiver(channel))
}

struct Channel<T> {
    /// Never locked while code of the program runs.
    flow: Mutex<Flow<T, Waker>>,
}

impl<T> Channel<T> {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Flow<T, Waker>> {
        // Nothing panics under it.
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[inline]
fn tell(who: Option<Waker>) {
    if let Some(who) = who {
        who.wake();
    }
}

/// Whether the task that polls may go on; if not, it is woken.
#[inline]
fn may_go_on(cx: &Context<'_>) -> bool {
    let may = current::with(|core| core.take_budget()).unwrap_or(true);
    if !may {
        cx.waker().wake_by_ref();
    }
    may
}

/// Tells the runtime, if the task is one of its own, what it waits for.
fn awaits() {
    let _ = current::with(|core| core.awaits(AWAITED));
}

/// Sends to the tasks that receive, from any thread. Cloning it makes one more sender. Made by [`shared`].
pub struct SharedSender<T>(Arc<Channel<T>>);

impl<T> SharedSender<T> {
    /// Sends a message, when there is room. Dropped before it is ready, it has not sent, and the message is
    /// dropped with it.
    ///
    /// # Errors
    /// [`Closed`] with the message, when there is no receiver any more.
    pub fn send(&self, message: T) -> SharedSend<'_, T> {
        SharedSend { sender: self, message: Some(message), ticket: None }
    }

    /// Sends a message if there is room now.
    ///
    /// # Errors
    /// [`TrySendError`] with the message.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut message = Some(message);
        let tried = self.0.lock().send(&mut message, &mut None);
        match (tried, message) {
            (Tried::Not, Some(message)) => Err(TrySendError::Full(message)),
            (Tried::Closed, Some(message)) => Err(TrySendError::Closed(message)),
            (Tried::Done((), told), _) => {
                tell(told);
                Ok(())
            }
            // A message that is gone was sent.
            (_, None) => Ok(()),
        }
    }

    /// Sends a message, and lets the thread sleep until there is room.
    ///
    /// # Errors
    /// [`Closed`] with the message, when there is no receiver any more.
    ///
    /// # Panics
    /// In a task: it would stop all the others. Await [`SharedSender::send`] there.
    #[track_caller]
    pub fn send_blocking(&self, message: T) -> Result<(), Closed<T>> {
        assert!(
            current::with(|_| ()).is_none(),
            "send_blocking in a task would stop all of its thread: await send instead"
        );
        sleep_until(self.send(message))
    }

    /// Whether there is no receiver any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.lock().is_closed()
    }

    /// How many messages wait.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is for people who look at how full it is")]
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// How many may wait.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.lock().capacity()
    }
}

impl<T> Clone for SharedSender<T> {
    fn clone(&self) -> Self {
        self.0.lock().add_sender();
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for SharedSender<T> {
    fn drop(&mut self) {
        let told = self.0.lock().remove_sender();
        told.into_iter().for_each(Waker::wake);
    }
}

/// Made by [`SharedSender::send`].
#[must_use = "nothing is sent before it is awaited"]
pub struct SharedSend<'a, T> {
    sender: &'a SharedSender<T>,
    message: Option<T>,
    ticket: Option<Ticket>,
}

// Nothing in it is pinned.
impl<T> Unpin for SharedSend<'_, T> {}

impl<T> Future for SharedSend<'_, T> {
    type Output = Result<(), Closed<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let channel = &this.sender.0;
        if !may_go_on(cx) {
            return Poll::Pending;
        }
        let tried = channel.lock().send(&mut this.message, &mut this.ticket);
        match tried {
            Tried::Done((), told) => {
                tell(told);
                Poll::Ready(Ok(()))
            }
            Tried::Closed => Poll::Ready(this.message.take().map_or(Ok(()), |it| Err(Closed(it)))),
            Tried::Not => {
                let who = cx.waker().clone();
                let mut flow = channel.lock();
                // It may have become possible meanwhile.
                match flow.send(&mut this.message, &mut this.ticket) {
                    Tried::Done((), told) => {
                        drop(flow);
                        tell(told);
                        Poll::Ready(Ok(()))
                    }
                    Tried::Closed => {
                        drop(flow);
                        Poll::Ready(this.message.take().map_or(Ok(()), |it| Err(Closed(it))))
                    }
                    Tried::Not => {
                        let before = flow.wait_to_send(&mut this.ticket, who);
                        drop(flow);
                        drop(before);
                        awaits();
                        Poll::Pending
                    }
                }
            }
        }
    }
}

impl<T> Drop for SharedSend<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let channel = &self.sender.0;
            let (_gone, told) = channel.lock().give_up_sending(ticket);
            tell(told);
        }
    }
}

/// Lets the thread sleep until a future is ready.
fn sleep_until<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        // It may end for no reason, or because of a wake-up that came before: then it is tried once more.
        std::thread::park();
    }
}

/// Wakes a thread that sleeps.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// Receives what tasks and threads send. Cloning it makes one more receiver; each message goes to one of them. Made by
/// [`shared`].
pub struct SharedReceiver<T>(Arc<Channel<T>>);

impl<T> SharedReceiver<T> {
    /// Waits for a message; `None` when there is none and no sender any more. Dropped before it is ready, it
    /// has taken none.
    pub fn receive(&self) -> SharedReceive<'_, T> {
        SharedReceive { receiver: self, ticket: None }
    }

    /// Lets the thread sleep until there is a message; `None` when there is none and no sender any more.
    ///
    /// # Panics
    /// In a task: it would stop all the others. Await [`SharedReceiver::receive`] there.
    #[must_use]
    #[track_caller]
    pub fn receive_blocking(&self) -> Option<T> {
        assert!(
            current::with(|_| ()).is_none(),
            "receive_blocking in a task would stop all of its thread: await receive instead"
        );
        sleep_until(self.receive())
    }

    /// Takes a message if there is one now.
    ///
    /// # Errors
    /// [`TryReceiveError`], if there is none.
    pub fn try_receive(&self) -> Result<T, TryReceiveError> {
        let tried = self.0.lock().receive(&mut None);
        match tried {
            Tried::Done(message, told) => {
                tell(told);
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
        self.0.lock().len()
    }
}

impl<T> Clone for SharedReceiver<T> {
    fn clone(&self) -> Self {
        self.0.lock().add_receiver();
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for SharedReceiver<T> {
    fn drop(&mut self) {
        let (told, messages) = self.0.lock().remove_receiver();
        told.into_iter().for_each(Waker::wake);
        drop(messages);
    }
}

/// Made by [`SharedReceiver::receive`].
#[must_use = "nothing is received before it is awaited"]
pub struct SharedReceive<'a, T> {
    receiver: &'a SharedReceiver<T>,
    ticket: Option<Ticket>,
}

impl<T> Future for SharedReceive<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let channel = &this.receiver.0;
        if !may_go_on(cx) {
            return Poll::Pending;
        }
        let tried = channel.lock().receive(&mut this.ticket);
        match tried {
            Tried::Done(message, told) => {
                tell(told);
                Poll::Ready(Some(message))
            }
            Tried::Closed => Poll::Ready(None),
            Tried::Not => {
                let who = cx.waker().clone();
                let mut flow = channel.lock();
                // There may be one meanwhile.
                match flow.receive(&mut this.ticket) {
                    Tried::Done(message, told) => {
                        drop(flow);
                        tell(told);
                        Poll::Ready(Some(message))
                    }
                    Tried::Closed => Poll::Ready(None),
                    Tried::Not => {
                        let before = flow.wait_to_receive(&mut this.ticket, who);
                        drop(flow);
                        drop(before);
                        awaits();
                        Poll::Pending
                    }
                }
            }
        }
    }
}

impl<T> Drop for SharedReceive<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let channel = &self.receiver.0;
            let (_gone, told) = channel.lock().give_up_receiving(ticket);
            tell(told);
        }
    }
}

impl<T> fmt::Debug for SharedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SharedReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedReceiver").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SharedSend<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSend").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SharedReceive<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedReceive").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
