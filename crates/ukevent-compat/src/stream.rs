//! The core that all traits share.
//!
//! Reading shows what was received in its own memory, copies what the caller has room for and leaves the
//! rest for the next call, so a read that is dropped loses nothing. Writing hands over a copy: it is taken
//! or it is not, so a write that is dropped tears nothing.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use ukevent_task::net::{Receiver, Sender, TcpStream};

/// A stream of `ukevent-task` as other libraries know it: what the features of this crate implement their
/// traits for.
///
/// Writing takes up to 64 KiB and has one such piece in flight; what fails after it was taken is told by the
/// next write, flush or shutdown. Flushing waits until the kernel has all. Closing twice, or what the peer
/// has closed already, is no error.
///
/// Dropping it closes the connection when what was taken has left: it has 30 seconds for that, as long as
/// its runtime runs. Who must know flushes before.
///
/// ```
/// # #[cfg(feature = "futures-io")] {
/// use futures_util::{AsyncReadExt, AsyncWriteExt};
/// use ukevent_compat::Stream;
/// use ukevent_task::{block_on, net::{TcpListener, TcpStream}};
///
/// block_on(async {
///     let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
///     let mut client = Stream::from(TcpStream::connect(listener.address()?).await?);
///     let mut server = Stream::from(listener.accept().await?);
///     client.write_all(b"hello").await?;
///     client.close().await?;
///     let mut said = String::new();
///     server.read_to_string(&mut said).await?;
///     assert_eq!(said, "hello");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    receiver: Receiver,
    sender: Sender,
}

impl Stream {
    /// Of both halves, whatever kind of stream they are of.
    #[must_use]
    pub const fn new(receiver: Receiver, sender: Sender) -> Self {
        Self { receiver, sender }
    }

    /// Both halves, with what was received and not read. What was taken to be sent leaves before what they
    /// send next.
    #[must_use]
    pub fn into_split(self) -> (Receiver, Sender) {
        (self.receiver, self.sender)
    }

    /// What receives.
    #[must_use]
    pub const fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// What sends.
    #[must_use]
    pub const fn sender(&self) -> &Sender {
        &self.sender
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        let (receiver, sender) = stream.into_split();
        Self::new(receiver, sender)
    }
}

#[cfg_attr(
    not(any(feature = "futures-io", feature = "tokio", feature = "hyper")),
    expect(dead_code, reason = "the traits use it")
)]
impl Stream {
    /// Gives up to `room` bytes to `put`; the result is how many, 0 at the end.
    pub(crate) fn read(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        put: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        let there = ready!(self.receiver.poll_fill(cx))?;
        let taken = there.len().min(room);
        put(&there[..taken]);
        self.receiver.consume(taken);
        Poll::Ready(Ok(taken))
    }

    #[cfg(any(feature = "futures-io", feature = "tokio"))]
    pub(crate) fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.receiver.poll_fill(cx)
    }

    #[cfg(any(feature = "futures-io", feature = "tokio"))]
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.receiver.consume(bytes);
    }

    pub(crate) fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.sender.poll_send(cx, bytes)
    }

    pub(crate) fn write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.sender.poll_send_vectored(cx, slices)
    }

    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sender.poll_flush(cx)
    }

    /// Closes the sending side.
    pub(crate) fn close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.sender.poll_shutdown(cx)) {
            // The peer was first.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            closed => Poll::Ready(closed),
        }
    }
}
