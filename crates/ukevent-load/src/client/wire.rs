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

/// Carries bytes both ways.
#[derive(Debug)]
pub(super) enum Wire {
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
        Self::Plain { receiver, sender, sending: None }
    }

    /// What comes next; empty at the end. `UnexpectedEof`, if TLS was to tell of the end and has not.
    #[inline]
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buffer>> {
        match self {
            Self::Plain { receiver, .. } => receiver.poll_receive(cx),
            Self::Secured(stream) => stream.poll_receive(cx),
        }
    }

    /// Lets these bytes leave, behind those that have not left yet: those go on by themselves. What is wrong
    /// with it, [`Wire::poll_sent`] tells.
    #[inline]
    pub(super) fn start(&mut self, bytes: Piece) -> io::Result<()> {
        match self {
            Self::Plain { sender, sending, .. } => {
                *sending = Some(sender.start(bytes));
                Ok(())
            }
            Self::Secured(stream) => stream.start(bytes.bytes()),
        }
    }

    /// Whether all of it has left.
    #[inline]
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain { sending, .. } => {
                let Some(leaves) = sending else { return Poll::Ready(Ok(())) };
                let sent = ready!(Pin::new(leaves).poll(cx));
                *sending = None;
                Poll::Ready(sent)
            }
            Self::Secured(stream) => stream.poll_flush(cx),
        }
    }

    /// Waits until the server has ended the connection, or has said that it will; what it says before is thrown
    /// away.
    pub(super) async fn until_end(&mut self) {
        while poll_fn(|cx| self.poll_receive(cx)).await.is_ok_and(|bytes| !bytes.is_empty()) {}
    }

    /// Waits until the server has closed the connection.
    pub(super) async fn until_closed(&mut self) {
        self.until_end().await;
        if let Self::Secured(stream) = self {
            stream.drain(LAST_BYTES).await;
        }
    }
}
