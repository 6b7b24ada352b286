//! What carries the bytes of a connection: a stream of the kernel's, or one with TLS in between.

use rustix::net::{Shutdown, getpeername, shutdown};
use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
};
use ukevent_buf::Buffer;
use ukevent_sys::socket::unsent_bytes;
use ukevent_task::{
    Registered,
    net::{Receiver, Sender},
};

/// Carries bytes both ways.
pub(crate) trait Wire {
    /// What can be asked for while something is being sent.
    type Probe: Probe;
    /// A file of which pieces are sent.
    type File;
    /// Whether it is secured by TLS.
    const IS_SECURED: bool = false;
    /// Whether its socket can be taken elsewhere between two requests: nothing of the connection is here then.
    const MAY_LEAVE: bool = false;

    /// Gets ready to send to somebody of whom nothing was received yet. Nothing is lost if it is dropped.
    async fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }
    /// What comes next; empty at the end. Nothing is lost if it is dropped.
    async fn receive(&mut self) -> io::Result<Buffer>;
    /// Lets all of these bytes leave.
    async fn send(&mut self, bytes: Buffer) -> io::Result<()>;
    /// Takes a file in, once for all the pieces of an answer.
    fn file(&self, file: &Arc<OwnedFd>) -> io::Result<Self::File>;
    /// Lets these bytes leave, and behind them so many of a file from `offset` on. Says how many of both
    /// did: fewer, if the file ends before.
    async fn send_file(
        &mut self,
        head: Buffer,
        file: &Self::File,
        offset: u64,
        bytes: u64,
    ) -> io::Result<u64>;
    /// Closes the sending side.
    async fn end(&mut self) -> io::Result<()>;
    /// Stops receiving until that is asked for again. Whether nothing has come by then; what comes later stays in the
    /// socket.
    async fn pause(&mut self) -> bool {
        false
    }
    /// Its socket, after it was paused.
    fn into_socket(self) -> Option<OwnedFd>
    where
        Self: Sized,
    {
        None
    }
    /// See [`Probe`].
    fn probe(&self) -> Self::Probe;
}

/// Shows how far the kernel is with what it was given.
pub(crate) trait Probe {
    /// Bytes that the kernel took and that have not reached the peer yet, if that is known.
    fn unsent(&self) -> Option<u32>;
    /// Who is at the other end, if it has an address.
    fn peer(&self) -> Option<IpAddr> {
        None
    }
}

/// A stream socket.
#[derive(Debug)]
pub(crate) struct Plain {
    receiver: Receiver,
    sender: Sender,
}

impl Plain {
    pub(crate) fn new((receiver, sender): (Receiver, Sender)) -> Self {
        Self { receiver, sender }
    }
}

impl Wire for Plain {
    type Probe = Rc<Registered>;
    type File = Registered;
    const MAY_LEAVE: bool = true;

    fn receive(&mut self) -> impl Future<Output = io::Result<Buffer>> {
        poll_fn(|cx| self.receiver.poll_receive(cx))
    }

    fn send(&mut self, bytes: Buffer) -> impl Future<Output = io::Result<()>> {
        self.sender.start(bytes)
    }

    fn file(&self, file: &Arc<OwnedFd>) -> io::Result<Registered> {
        Ok(Registered::new(Arc::clone(file))?)
    }

    async fn send_file(
        &mut self,
        head: Buffer,
        file: &Registered,
        offset: u64,
        bytes: u64,
    ) -> io::Result<u64> {
        self.sender.send_file(head, file, offset, bytes).await
    }

    async fn end(&mut self) -> io::Result<()> {
        self.sender.shutdown().await
    }

    async fn pause(&mut self) -> bool {
        self.receiver.pause().await
    }

    fn into_socket(self) -> Option<OwnedFd> {
        self.receiver.into_owner(self.sender)
    }

    fn probe(&self) -> Self::Probe {
        Rc::clone(self.sender.registered())
    }
}

impl Probe for Rc<Registered> {
    fn peer(&self) -> Option<IpAddr> {
        self.with(peer_of).flatten()
    }

    fn unsent(&self) -> Option<u32> {
        self.with(|socket: &OwnedFd| unsent_bytes(socket).ok().flatten()).flatten()
    }
}

/// The address at the other end of a socket, if it has one.
pub(crate) fn peer_of(socket: &OwnedFd) -> Option<IpAddr> {
    let peer = getpeername(socket).ok()??;
    SocketAddr::try_from(peer).ok().map(|address| address.ip())
}

/// Ends a connection for its peer at once, whatever of it the kernel still holds.
pub(crate) fn shut(socket: &Registered) {
    let _ = socket.with(shut_socket);
}

/// The same of one that nothing is registered of. A listener listens no more.
pub(crate) fn shut_socket(socket: &OwnedFd) {
    // It fails if the peer has ended it already.
    let _ = shutdown(socket, Shutdown::Both);
}
