//! What carries the bytes of a connection: a stream of the kernel's, or one with TLS in between.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use ukevent_buf::{Buffer, Piece};
use ukevent_task::net::{Receiver, Sender, Sending};
use ukevent_tls::TlsStream;

/// Bytes that a server may still send when all that it was asked for has come.
const LAST_BYTES: u64 = 1 << 20;

/// Bytes that may wait to leave: no more than a queue takes for a descriptor, and a session for a stream. What
/// leaves alone may be more.
const ROOM: usize = 1 << 20;

/// Carries bytes both ways.
#[derive(Debug)]
pub(super) struct Wire {
    way: Way,
    /// Of those that were started, so many have not all left.
    leaving_bytes: usize,
}

#[derive(Debug)]
enum Way {
    Plain {
        receiver: Receiver,
        sender: Sender,
        sending: Option<Sending>,
    },
    /// In a box: a plain connection does not pay for its size.
    Secured(Box<TlsStream>),
}

impl Wire {
    pub(super) fn plain((receiver, sender): (Receiver, Sender)) -> Self {
        Self { way: Way::Plain { receiver, sender, sending: None }, leaving_bytes: 0 }
    }

    pub(super) const fn secured(stream: Box<TlsStream>) -> Self {
        Self { way: Way::Secured(stream), leaving_bytes: 0 }
    }

    /// Whether so many bytes more may be started, as one with these.
    #[inline]
    pub(super) const fn has_room(&self, with_bytes: usize, more_bytes: usize) -> bool {
        let before_bytes = self.leaving_bytes.saturating_add(with_bytes);
        before_bytes == 0 || before_bytes.saturating_add(more_bytes) <= ROOM
    }

    /// What comes next; empty at the end. `UnexpectedEof`, if TLS was to tell of the end and has not.
    #[inline]
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buffer>> {
        match &mut self.way {
            Way::Plain { receiver, .. } => receiver.poll_receive(cx),
            Way::Secured(stream) => stream.poll_receive(cx),
        }
    }

    /// Lets these bytes leave, behind those that have not left yet: those go on by themselves. There is to be
    /// [room](Wire::has_room) for them. What is wrong with it, [`Wire::poll_sent`] tells.
    #[inline]
    pub(super) fn start(&mut self, bytes: Piece) -> io::Result<()> {
        self.leaving_bytes += bytes.bytes().len();
        match &mut self.way {
            Way::Plain { sender, sending, .. } => {
                *sending = Some(sender.start(bytes));
                Ok(())
            }
            Way::Secured(stream) => stream.start(bytes.bytes()),
        }
    }

    /// Whether all of it has left.
    #[inline]
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Plain { sending, .. } => {
                let Some(leaves) = sending else { return Poll::Ready(Ok(())) };
                // Those before it have left by then: they leave in order.
                let sent = ready!(Pin::new(leaves).poll(cx));
                *sending = None;
                sent?;
            }
            Way::Secured(stream) => ready!(stream.poll_flush(cx))?,
        }
        self.leaving_bytes = 0;
        Poll::Ready(Ok(()))
    }

    /// Waits until the server has ended the connection, or has said that it will; what it says before is thrown
    /// away.
    pub(super) async fn until_end(&mut self) {
        while poll_fn(|cx| self.poll_receive(cx)).await.is_ok_and(|bytes| !bytes.is_empty()) {}
    }

    /// Waits until the server has closed the connection.
    pub(super) async fn until_closed(&mut self) {
        self.until_end().await;
        if let Way::Secured(stream) = &mut self.way {
            stream.drain(LAST_BYTES).await;
        }
    }
}
