//! The sending half of a stream.

use super::polled::InFlight;
use crate::operation::{BufferResult, Perform, returned};
use crate::registered::Registered;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use ukevent_buf::{Buffer, Piece};
use ukevent_queue::{Completed, Direction, Operation, StartError};

/// Sends to a stream. What it sends leaves in order, each whole.
///
/// A call that is dropped before its end does not tear what it sends: that goes on by itself, and what is
/// sent next leaves behind it. To end it, drop the stream. What goes on so is bounded by some megabytes: with
/// more than that a call waits until it has left, and if it is dropped by then, nothing of it is sent.
///
/// Two ways to send: futures that own what they send ([`Sender::send`] and its like), and calls to be
/// polled that copy from a slice, for other libraries' traits ([`Sender::poll_send`] and its like). They may
/// be mixed, and leave in the order in which they began.
///
/// ```
/// use ukevent_task::{block_on, net::UnixStream};
///
/// block_on(async {
///     let (ours, mut theirs) = UnixStream::pair()?;
///     let (_receiver, mut sender) = ours.into_split();
///     sender.send_pieces([b"head: ".to_vec(), b"body".to_vec()]).await?;
///     sender.shutdown().await?;
///     assert_eq!(&theirs.receive().await?[..], b"head: body");
///     assert!(theirs.receive().await?.is_empty(), "the end");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Sender {
    pub(super) socket: Rc<Registered>,
    /// What `poll_send` or `poll_shutdown` started.
    pub(super) in_flight: Option<InFlight>,
    /// `poll_shutdown` started it.
    pub(super) is_shut: bool,
}

impl Sender {
    pub(crate) const fn new(socket: Rc<Registered>) -> Self {
        Self { socket, in_flight: None, is_shut: false }
    }

    /// The registration of the descriptor, which both halves share.
    #[must_use]
    pub const fn registered(&self) -> &Rc<Registered> {
        &self.socket
    }

    /// Sends all of it. Ready when the kernel has it.
    ///
    /// # Errors
    /// What the kernel says of the connection, such as `EPIPE`; `BrokenPipe` too, if it ended when a part had
    /// left.
    pub async fn send(&mut self, bytes: impl Into<Piece>) -> io::Result<()> {
        let piece = bytes.into();
        let count = piece.bytes().len();
        let done = self.perform(Operation::send(self.socket.key(), piece)).await?;
        whole(count, done.result? as usize)
    }

    /// Sends all of it and gives the buffer back, also after an error, to be filled anew. (What could not
    /// be started at all comes back too.)
    pub async fn send_buffer(&mut self, buffer: Buffer) -> BufferResult<()> {
        let count = buffer.len();
        let (sent, buffer) =
            returned(self.in_turn(Operation::send(self.socket.key(), buffer)).await);
        (sent.and_then(|sent| whole(count, sent)), buffer)
    }

    /// Sends several pieces as one: they leave together where they fit. At most 1,024.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send_pieces(
        &mut self,
        pieces: impl IntoIterator<Item: Into<Piece>>,
    ) -> io::Result<()> {
        let pieces: Vec<Piece> = pieces.into_iter().map(Into::into).collect();
        let count = pieces.iter().map(|piece| piece.bytes().len()).sum();
        let operation = Operation::send_pieces(self.socket.key(), pieces);
        whole(count, self.perform(operation).await?.result? as usize)
    }

    /// Sends a part of a file without taking it through the program's memory, behind a header that leaves
    /// with it: sendfile(2). The result is how many bytes of both; fewer if the file was cut short. More than
    /// `u32::MAX` are told as `u32::MAX`.
    ///
    /// # Errors
    /// As [`Sender::send`], and what reading the file meets.
    pub async fn send_file(
        &mut self,
        header: impl Into<Piece>,
        file: &Registered,
        offset: u64,
        bytes: u64,
    ) -> io::Result<u64> {
        let send = Operation::send_file(self.socket.key(), file.key(), offset, bytes);
        let done = self.perform(send.header(header)).await?;
        Ok(done.result.map(u64::from).unwrap_or(0))
    }

    /// Closes the sending side, behind all that is being sent: the peer sees the end.
    ///
    /// # Errors
    /// `ENOTCONN`, if there is no connection any more.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        let shutdown = Operation::shutdown(self.socket.key(), Direction::Sending);
        self.begin(shutdown).await?.result?;
        Ok(())
    }

    /// Starts sending all of it now; what is returned only waits for the end, and says `WouldBlock` at once
    /// if so much waits to be sent that no more may. For who sends one after the other it is
    /// [`Sender::send`] in less memory.
    pub fn start(&mut self, bytes: impl Into<Piece>) -> Sending {
        let piece = bytes.into();
        let count = piece.bytes().len();
        let performs = self.begin(Operation::send(self.socket.key(), piece));
        Sending { performs, count, _socket: Rc::clone(&self.socket) }
    }

    fn begin(&mut self, operation: Operation) -> Perform {
        self.socket.perform(operation, "room to send").detached()
    }

    async fn perform(&mut self, operation: Operation) -> io::Result<Completed> {
        let done = self.in_turn(operation).await?;
        match done.result {
            Ok(_) => Ok(done),
            Err(errno) => Err(errno.into()),
        }
    }

    async fn in_turn(&self, operation: Operation) -> Result<Completed, Box<StartError>> {
        let nothing = |socket| Operation::send(socket, Buffer::default());
        self.socket.perform_in_turn(operation, nothing, "room to send").await
    }
}

/// That all of it has left: the connection may end when a part has, and an operation then says how much.
pub(crate) fn whole(count: usize, sent: usize) -> io::Result<()> {
    if sent == count {
        return Ok(());
    }
    let why = format!("the other side went when {sent} of {count} bytes had left");
    Err(io::Error::new(io::ErrorKind::BrokenPipe, why))
}

/// What was started by [`Sender::start`]. Dropping it leaves that to itself. It has a share of the stream, as
/// each half has: while it is there, the stream is not closed.
///
/// # Panics
/// When it is polled again after it was ready.
#[derive(Debug)]
#[must_use = "what is sent is to be waited for, before more is"]
pub struct Sending {
    performs: Perform,
    count: usize,
    /// What is done with a descriptor that is gone never ends.
    _socket: Rc<Registered>,
}

impl Future for Sending {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let done = ready!(Pin::new(&mut self.performs).poll(cx))?;
        Poll::Ready(whole(self.count, done.result? as usize))
    }
}
