//! The sending half of a stream.

use crate::operation::Perform;
use crate::registered::Registered;
use std::io;
use std::rc::Rc;
use ukevent_buf::{Buffer, Piece};
use ukevent_queue::{Completed, Direction, Operation};

/// Sends to a stream. What it sends leaves in order, each whole.
///
/// A call that is dropped before its end does not tear what it sends: that goes on by itself, and what is
/// sent next leaves behind it. To end it, drop the stream.
#[derive(Debug)]
pub struct Sender {
    socket: Rc<Registered>,
}

impl Sender {
    pub(crate) const fn new(socket: Rc<Registered>) -> Self {
        Self { socket }
    }

    /// The registration of the descriptor.
    #[must_use]
    pub fn registered(&self) -> &Registered {
        &self.socket
    }

    /// Sends all of it. Ready when the kernel has it.
    ///
    /// # Errors
    /// What the kernel says of the connection, such as `EPIPE`.
    pub async fn send(&mut self, bytes: impl Into<Piece>) -> io::Result<()> {
        self.perform(Operation::send(self.socket.key(), bytes)).await.map(drop)
    }

    /// Sends all of it and gives the buffer back, also after an error, to be filled anew. (What could not
    /// be started at all comes back too.)
    pub async fn send_buffer(&mut self, buffer: Buffer) -> (io::Result<()>, Buffer) {
        let operation = Operation::send(self.socket.key(), buffer);
        match self.socket.perform(operation, "room to send").detached().await {
            Ok(done) => {
                let result = done.result.map(drop).map_err(io::Error::from);
                (result, done.into_buffer().unwrap_or_default())
            }
            Err(error) => {
                let (error, operation) = (io::Error::other(error.to_string()), error.operation);
                (Err(error), operation.into_buffer().unwrap_or_default())
            }
        }
    }

    /// Sends several pieces as one: they leave together where they fit. At most 1,024.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send_pieces(
        &mut self,
        pieces: impl IntoIterator<Item: Into<Piece>>,
    ) -> io::Result<()> {
        self.perform(Operation::send_pieces(self.socket.key(), pieces)).await.map(drop)
    }

    /// Sends a part of a file without taking it through the program's memory, behind a header that leaves
    /// with it: sendfile(2). The result is how many bytes of both; fewer if the file was cut short.
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
        self.perform(Operation::shutdown(self.socket.key(), Direction::Sending)).await.map(drop)
    }

    /// Starts a send and gives what waits for it: to be polled, or dropped and so left to itself.
    pub(crate) fn start(&mut self, operation: Operation) -> Perform {
        self.socket.perform(operation, "room to send").detached()
    }

    async fn perform(&mut self, operation: Operation) -> io::Result<Completed> {
        let done = self.start(operation).await?;
        match done.result {
            Ok(_) => Ok(done),
            Err(errno) => Err(errno.into()),
        }
    }
}
