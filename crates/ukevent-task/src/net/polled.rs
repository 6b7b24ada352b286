//! Sending by calls that are polled, for the traits of other libraries.

use super::sender::{Sender, whole};
use crate::registered::Registered;
use crate::runtime::inboxes::{Bound, InboxId};
use crate::time::Sleep;
use std::io::{self, IoSlice};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use ukevent_queue::{Direction, Kind, Operation};

/// What [`Sender::poll_send`] takes at most at a time, in bytes.
const MOST_TAKEN: usize = 64 * 1024;
/// How long what it took may still leave when the sender was dropped.
const LINGER: Duration = Duration::from_secs(30);

/// Where the result of an operation comes, and what it is if all went well.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    inbox: InboxId,
    bytes: usize,
}

impl Sender {
    /// Copies what it can take of `bytes`, at most 64 KiB, and starts to send it: the result is how much,
    /// and 0 only for nothing. One send is in flight at a time, and until it has left nothing is taken. As
    /// `AsyncWrite`.
    ///
    /// What was taken leaves whole, whatever is dropped: this call, or the sender itself. Then it has another
    /// 30 seconds, as long as the runtime runs, before the stream is closed (none, if its queue is full); to
    /// know that it has left, wait for [`Sender::poll_flush`]. It holds memory only while it sends.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use ukevent_task::{block_on, net::{TcpListener, TcpStream}};
    ///
    /// block_on(async {
    ///     let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    ///     let mut stream = TcpStream::connect(listener.address()?).await?;
    ///     let (_, sender) = stream.split();
    ///     let mut rest = &b"hello"[..];
    ///     while !rest.is_empty() {
    ///         let taken = poll_fn(|cx| sender.poll_send(cx, rest)).await?;
    ///         rest = &rest[taken..];
    ///     }
    ///     poll_fn(|cx| sender.poll_shutdown(cx)).await?;
    ///     assert_eq!(&listener.accept().await?.receive().await?[..], b"hello");
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What the kernel said of the send before, which is told once, by whichever is called next of this,
    /// `poll_flush` and `poll_shutdown`; or the queue cannot start another operation, or (`WouldBlock`) has as
    /// much as it may of sends of the other way before this one.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// The same with what lies in several places, as one.
    ///
    /// # Errors
    /// As [`Sender::poll_send`].
    pub fn poll_send_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let all: usize = slices.iter().fold(0, |sum, slice| sum.saturating_add(slice.len()));
        let taken = all.min(MOST_TAKEN);
        if taken == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut bytes = Vec::with_capacity(taken);
        for slice in slices {
            let room = taken - bytes.len();
            bytes.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        self.launch(Operation::send(self.socket.key(), bytes), taken)?;
        Poll::Ready(Ok(taken))
    }

    /// Waits until the kernel has all that [`Sender::poll_send`] took.
    ///
    /// # Errors
    /// As [`Sender::poll_send`].
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(InFlight { inbox, bytes }) = self.in_flight else { return Poll::Ready(Ok(())) };
        let core = self.socket.core();
        // Nothing else comes of an operation.
        let Some(Kind::Completed(done)) = core.take(inbox, cx) else { return Poll::Pending };
        core.close(inbox);
        self.in_flight = None;
        Poll::Ready(whole(bytes, done.result? as usize))
    }

    /// Closes the sending side when all has left, once, however often it is called.
    ///
    /// # Errors
    /// As [`Sender::poll_send`], and then the next call closes it; `ENOTCONN`, if there is no connection any
    /// more.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        if !self.is_shut {
            self.launch(Operation::shutdown(self.socket.key(), Direction::Sending), 0)?;
            self.is_shut = true;
        }
        self.poll_flush(cx)
    }

    /// Starts what `poll_flush` waits for: `bytes` is its result if all goes well.
    fn launch(&mut self, operation: Operation, bytes: usize) -> io::Result<()> {
        debug_assert!(self.in_flight.is_none(), "one at a time");
        let core = self.socket.core();
        let inbox = core.open(Bound::Elsewhere, "room to send");
        match core.queue(|queue| queue.start(operation, inbox.token())) {
            Ok(_) => {
                self.in_flight = Some(InFlight { inbox, bytes });
                Ok(())
            }
            Err(error) => {
                core.close(inbox);
                Err(error.into())
            }
        }
    }
}

impl Drop for Sender {
    /// What was taken and has not left keeps the stream.
    fn drop(&mut self) {
        let Some(InFlight { inbox, .. }) = self.in_flight.take() else { return };
        let core = Rc::clone(self.socket.core());
        let limit = Sleep::after(Rc::clone(&core), LINGER);
        let leaving = Leaving { socket: Rc::clone(&self.socket), inbox, limit };
        core.spawn(leaving, Location::caller()).detach();
    }
}

/// A send whose sender was dropped.
struct Leaving {
    socket: Rc<Registered>,
    inbox: InboxId,
    limit: Sleep,
}

impl Future for Leaving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.socket.core().take(self.inbox, cx).is_some() {
            return Poll::Ready(());
        }
        // Without a timer it would keep a place of a full queue for as long as the peer likes.
        self.limit.poll_over(cx).map(drop)
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.socket.core().close(self.inbox);
    }
}
