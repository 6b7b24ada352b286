//! A wire with TLS in between, by `ukevent-tls`.
//!
//! The handshake is a part of receiving: whoever waits for the first request waits for it, within the same
//! time. That a stream ends without the word that ends a session is an end like another one here: a request that
//! was cut by it is not whole, and one that is whole is answered. After an error, of which the peer is told,
//! what it sends on is thrown away for a while, because closing a socket with unread input may take the alert
//! with it (RFC 9112, 9.6).

use super::wire::Wire;
use crate::limits::LINGER_BYTES;
use std::{
    io::{self, ErrorKind},
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
};
use ukevent_buf::Buffer;
use ukevent_task::Registered;
use ukevent_tls::TlsStream;

/// A stream socket that speaks TLS.
#[derive(Debug)]
pub(crate) struct Tls(TlsStream);

impl Tls {
    pub(crate) const fn new(stream: TlsStream) -> Self {
        Self(stream)
    }

    /// Throws away what still comes behind an error, until the peer has closed.
    async fn leave(&mut self, error: io::Error) -> io::Error {
        if error.kind() == ErrorKind::InvalidData && self.0.shutdown().await.is_ok() {
            self.0.drain(LINGER_BYTES).await;
        }
        error
    }
}

impl Wire for Tls {
    type Probe = Rc<Registered>;
    type File = Registered;
    const IS_SECURED: bool = true;

    async fn begin(&mut self) -> io::Result<()> {
        match self.0.handshake().await {
            Err(error) => Err(self.leave(error).await),
            Ok(()) => Ok(()),
        }
    }

    async fn receive(&mut self) -> io::Result<Buffer> {
        match self.0.receive().await {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Buffer::default()),
            Err(error) => Err(self.leave(error).await),
            received => received,
        }
    }

    fn send(&mut self, bytes: Buffer) -> impl Future<Output = io::Result<()>> {
        self.0.send(bytes)
    }

    fn file(&self, file: &Arc<OwnedFd>) -> io::Result<Registered> {
        Ok(Registered::new(Arc::clone(file))?)
    }

    fn send_file(
        &mut self,
        head: Buffer,
        file: &Registered,
        offset: u64,
        bytes: u64,
    ) -> impl Future<Output = io::Result<u64>> {
        self.0.send_file(head, file, offset, bytes)
    }

    fn end(&mut self) -> impl Future<Output = io::Result<()>> {
        self.0.shutdown()
    }

    fn probe(&self) -> Self::Probe {
        Rc::clone(self.0.registered())
    }
}
