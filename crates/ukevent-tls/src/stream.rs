//! A stream with TLS in between.
//!
//! Records come in and go out through the plain stream; rustls turns them into bytes and back, and never
//! waits. The handshake is a part of receiving: whoever waits for the first bytes waits for it. What was
//! received is taken out of rustls at once, so that it holds no more than a record.
//!
//! What is to leave without being asked for (the handshake, tickets, alerts) leaves with what is sent next, or
//! when more is waited for. One send is at work at a time; what is sealed meanwhile waits in rustls, and leaves
//! as one with the next. Every state is in the struct, so a call that is dropped at a deadline loses nothing.
//!
//! Records have numbers that are not sent, so behind one that is lost nobody can read the next (RFC 8446, 5.3). Once
//! a send has failed nothing leaves any more, and all that would send says why.
//!
//! The peer is told of the end (close_notify; RFC 8446, 6.1) whenever all that was begun has left, also where
//! the stream is just dropped: only then can it tell an end from something that was cut off. After an error it
//! is told what was wrong, and who is to hear that should be given time: closing a socket with unread input may
//! take the alert with it (RFC 9112, 9.6), so [`TlsStream::drain`] throws away what it sends on.

use rustix::net::{SendFlags, send};
use rustls::{
    ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection,
    pki_types::ServerName,
};
use std::{
    future::poll_fn,
    io::{self, ErrorKind, Read, Write},
    mem::take,
    os::fd::OwnedFd,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};
use ukevent_buf::{Buffer, Piece};
use ukevent_queue::Operation;
use ukevent_task::{
    Registered,
    net::{Receiver, Sender, Sending},
    perform,
};

/// Bytes of a file that are read, and sealed, at a time: four full records.
const PIECE_BYTES: u64 = 64 * 1024;

/// With so many bytes sealed behind those that are leaving, no more are.
const WAITING_BYTES: usize = 1 << 20;

/// A stream that speaks TLS, of the client's side or of the server's. It belongs to one task: what is sent by
/// [`TlsStream::start`] leaves while the task receives.
///
/// It holds what came of a record that is not whole (at most 16 KiB), what was opened and not taken, and what
/// is leaving. At rest that is no buffer of its own beside rustls's. Dropping it closes the connection, and tells
/// the peer of the end, unless something that was begun has not left whole. Needs what `ukevent-task` needs of
/// the kernel.
///
/// ```
/// use std::sync::Arc;
/// use ukevent_task::{block_on, net::UnixStream, spawn};
/// use ukevent_tls::{TlsStream, rustls};
///
/// // A certificate of itself, which the client is told to trust.
/// let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
/// let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
/// let mut roots = rustls::RootCertStore::empty();
/// roots.add(made.cert.der().clone())?;
/// let server = rustls::ServerConfig::builder()
///     .with_no_client_auth()
///     .with_single_cert(vec![made.cert.der().clone()], key)?;
/// let client =
///     rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
///
/// block_on(async {
///     let (ours, theirs) = UnixStream::pair()?;
///     let mut served = TlsStream::server(theirs.into_split(), Arc::new(server))?;
///     let echo = spawn(async move {
///         let heard = served.receive().await?;
///         served.send(heard).await?;
///         served.shutdown().await
///     });
///     let name = "localhost".try_into()?;
///     let mut stream = TlsStream::client(ours.into_split(), Arc::new(client), name)?;
///     stream.handshake().await?;
///     stream.send(b"hello".to_vec()).await?;
///     assert_eq!(&stream.receive().await?[..], b"hello");
///     assert!(stream.receive().await?.is_empty(), "the end");
///     echo.await??;
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TlsStream {
    receiver: Receiver,
    sender: Sender,
    session: Box<Connection>,
    /// What was opened and not given yet.
    opened: Buffer,
    /// Records that are being sent.
    leaving: Option<Sending>,
    /// Among those are bytes of the program's, not only what TLS says by itself.
    carries_bytes: bool,
    /// Of the program's bytes, how many were sealed and are not among those.
    waiting_bytes: usize,
    /// The peer has said that nothing more comes. What comes all the same is ignored.
    is_over: bool,
    /// What came was no TLS, or not what it should have been. Nothing is sent any more but the alert.
    failed: Option<rustls::Error>,
    /// Why something has not left, and nothing will any more.
    broken: Option<io::Error>,
    /// Something that was begun has not left yet: the end must not look like one.
    is_torn: bool,
    /// It never will leave whole.
    is_cut: bool,
}

impl TlsStream {
    /// The client's side of a connection that is there, to a server that is to prove that this is its name.
    /// Sends nothing yet. Allocates.
    ///
    /// # Errors
    /// What rustls has against the configuration.
    pub fn client(
        halves: (Receiver, Sender),
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::new(halves, Connection::Client(ClientConnection::new(config, name)?)))
    }

    /// The server's side of a connection that is there. Allocates.
    ///
    /// # Errors
    /// What rustls has against the configuration.
    pub fn server(
        halves: (Receiver, Sender),
        config: Arc<ServerConfig>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::new(halves, Connection::Server(ServerConnection::new(config)?)))
    }

    fn new((receiver, sender): (Receiver, Sender), mut session: Connection) -> Self {
        // What is sealed is bounded here.
        session.set_buffer_limit(None);
        Self {
            receiver,
            sender,
            session: Box::new(session),
            opened: Buffer::default(),
            leaving: None,
            carries_bytes: false,
            waiting_bytes: 0,
            is_over: false,
            failed: None,
            broken: None,
            is_torn: false,
            is_cut: false,
        }
    }

    /// What rustls knows of the session: the protocol, the peer's certificates, whether it was taken up again.
    #[must_use]
    pub const fn session(&self) -> &Connection {
        &self.session
    }

    /// The registration of the plain stream's descriptor.
    #[must_use]
    pub const fn registered(&self) -> &Rc<Registered> {
        self.sender.registered()
    }

    /// Waits until the handshake is made; at once, if it is. Whoever only receives need not call it. What the
    /// client says last in it leaves with what is sent next, or when something is received.
    ///
    /// Nothing is lost if it is dropped: the next call goes on.
    ///
    /// # Errors
    /// `InvalidData`, with a [`rustls::Error`] in it: there is no agreement, the peer's certificate cannot be
    /// trusted, or what came is no TLS. The peer was told. `UnexpectedEof`: the peer has closed the connection.
    /// Else what the kernel says of it.
    pub async fn handshake(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            while self.session.is_handshaking() {
                ready!(self.poll_take_in(cx))?;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Receives what comes next, after the handshake if need be; an empty buffer is the end, of which the peer
    /// has told, also at each later call. After [`TlsStream::drain`] it is empty too, whatever the peer has told. The
    /// buffer is on the heap. Allocates one for each piece that came. What the peer sends can be received after
    /// [`TlsStream::shutdown`] and after a send that failed.
    ///
    /// Nothing is lost if it is dropped. What comes by then is kept, up to 16 buffers of the runtime's pool: call
    /// it again, or drop the stream.
    ///
    /// # Errors
    /// `UnexpectedEof`: the connection ended without that word, so what came may be cut off. `InvalidData`, with
    /// a [`rustls::Error`] in it, as of [`TlsStream::handshake`], and then for ever, but for a drained stream. Else
    /// what the kernel says of the connection. Why something has not left is told here too, while nothing comes.
    pub async fn receive(&mut self) -> io::Result<Buffer> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// The same for futures that are written by hand. While it waits for the peer it goes on with what is leaving; not
    /// where there is something to give at once, nor after the end: then [`TlsStream::poll_flush`] does.
    ///
    /// # Errors
    /// As [`TlsStream::receive`].
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buffer>> {
        while self.opened.is_empty() && !self.is_over {
            ready!(self.poll_take_in(cx))?;
        }
        Poll::Ready(Ok(take(&mut self.opened)))
    }

    /// Sends all of it, after the handshake if need be, and also after the peer's end. Ready when the kernel has it.
    ///
    /// If it is dropped while the handshake is made, or while a mebibyte that was begun waits already, nothing of it
    /// is sent. Dropped later, what it was to send leaves with later calls, whole, or the peer is not told of an end.
    ///
    /// # Errors
    /// What the kernel says of the connection, such as `EPIPE`, which is so after [`TlsStream::shutdown`] too. By that
    /// the connection has failed: nothing of what was begun behind it leaves, and all later sends say the same.
    /// `BrokenPipe` behind a file that was cut. `InvalidData`, as of [`TlsStream::handshake`].
    pub async fn send(&mut self, bytes: impl Into<Piece>) -> io::Result<()> {
        let piece = bytes.into();
        self.handshake().await?;
        if self.waiting_bytes >= WAITING_BYTES {
            self.flush().await?;
        }
        self.seal(piece.bytes())?;
        drop(piece);
        self.flush().await
    }

    /// Begins to send all of it, and does not wait: it leaves while [`TlsStream::poll_flush`] is polled, or
    /// [`TlsStream::poll_receive`] waits, in order. That it could not leave, those say.
    ///
    /// # Errors
    /// `NotConnected` before the end of the handshake. `WouldBlock`, if a mebibyte waits already: then nothing of
    /// it is sent. Else as [`TlsStream::send`], of what was sent before.
    pub fn start(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.waiting_bytes >= WAITING_BYTES {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.seal(bytes)?;
        if self.leaving.is_none() {
            self.launch()?;
        }
        Ok(())
    }

    /// Waits until the kernel has all that is to leave.
    ///
    /// # Errors
    /// What the kernel says of the connection; then the same for ever, because nothing leaves any more.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(leaving) = &mut self.leaving {
                let left = ready!(Pin::new(leaving).poll(cx));
                self.leaving = None;
                if let Err(error) = left {
                    self.is_cut = true;
                    self.broken = Some(error);
                }
            }
            if let Some(error) = &self.broken {
                let error = again(error);
                // What TLS says by itself is not kept either.
                self.sealed()?;
                return Poll::Ready(Err(error));
            }
            if !self.launch()? {
                self.is_torn = false;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Sends these bytes, and behind them so many of a file from `offset` on, 64 KiB at a time through one
    /// buffer. Says how many of both have left: fewer, if the file ends before. Then the peer will not be told
    /// of an end, because what was announced has not come.
    ///
    /// # Errors
    /// As [`TlsStream::send`], and what reading the file meets.
    pub async fn send_file(
        &mut self,
        head: impl Into<Piece>,
        file: &Registered,
        offset: u64,
        bytes: u64,
    ) -> io::Result<u64> {
        let head = head.into();
        self.handshake().await?;
        let mut sent = head.bytes().len() as u64;
        self.seal(head.bytes())?;
        drop(head);
        let (mut buffer, mut offset, end) =
            (Buffer::default(), offset, offset.saturating_add(bytes));
        // Whatever ends this before its end cuts it.
        self.is_cut = true;
        while offset < end {
            let piece = (end - offset).min(PIECE_BYTES) as usize;
            if buffer.capacity() < piece {
                buffer = Buffer::with_capacity(piece);
            }
            buffer.clear(0);
            let done = perform(Operation::read(file.key(), buffer, offset)).await?;
            done.result?;
            buffer = done.into_buffer().unwrap_or_default();
            let read = buffer.len().min(piece);
            if read == 0 {
                self.flush().await?;
                return Ok(sent);
            }
            self.write(&buffer[..read])?;
            self.flush().await?;
            offset += read as u64;
            sent += read as u64;
        }
        self.flush().await?;
        self.is_cut = false;
        Ok(sent)
    }

    /// Tells the peer that nothing more comes, behind all that is being sent, and closes the sending side. What
    /// the peer sends can still be received; what is sent later fails. Where something was cut the peer is told of no
    /// end, but the sending side is closed.
    ///
    /// # Errors
    /// What the kernel says of the connection, also of what was to leave before.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.tell_end();
        let flushed = self.flush().await;
        let closed = self.sender.shutdown().await;
        flushed.and(closed)
    }

    /// Throws away what still comes, without looking into it, until the peer has closed the connection, or it broke:
    /// whether it has, within so many bytes. What is leaving goes on. To be called after the end or after an error:
    /// later calls of [`TlsStream::receive`] give an empty buffer at once, as at an end; what can be sent is as before.
    pub async fn drain(&mut self, most_bytes: u64) -> bool {
        self.is_over = true;
        self.opened = Buffer::default();
        let mut left = most_bytes;
        loop {
            let came = poll_fn(|cx| {
                // What cannot leave is told by what comes.
                let _ = self.poll_flush(cx);
                self.receiver.poll_receive(cx)
            });
            match came.await {
                Ok(bytes) if bytes.is_empty() => return true,
                Ok(bytes) => match left.checked_sub(bytes.len() as u64) {
                    Some(rest) => left = rest,
                    None => return false,
                },
                Err(_) => return true,
            }
        }
    }
}

impl TlsStream {
    /// Takes in what the peer sends next, and lets leave what is to.
    fn poll_take_in(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.poll_flush(cx);
        if let Some(error) = &self.failed {
            // The alert has left, or cannot.
            let _ = ready!(flushed);
            return Poll::Ready(Err(invalid(error)));
        }
        if flushed.is_pending() && !self.carries_bytes {
            // It is little, and whoever drops this when the next bytes came is to find it whole.
            return Poll::Pending;
        }
        // If it cannot leave, what came by then may say why.
        let broken = self.broken.as_ref().map(again);
        let records = match self.receiver.poll_receive(cx) {
            Poll::Pending => return broken.map_or(Poll::Pending, |it| Poll::Ready(Err(it))),
            Poll::Ready(records) => records?,
        };
        if records.is_empty() {
            // Without the word that ends a session.
            return Poll::Ready(Err(broken.unwrap_or_else(|| ErrorKind::UnexpectedEof.into())));
        }
        if let Err(error) = self.open(&records) {
            self.failed = Some(error);
            self.opened = Buffer::default();
            self.is_over = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Opens what is whole of this and what came before.
    fn open(&mut self, mut records: &[u8]) -> Result<(), rustls::Error> {
        let general = |error: io::Error| rustls::Error::General(error.to_string());
        // It takes only a part of what is more than a record, and nothing behind the peer's last word.
        while !records.is_empty() && !self.is_over {
            self.session.read_tls(&mut records).map_err(general)?;
            let state = self.session.process_new_packets()?;
            self.is_over = state.peer_has_closed();
            self.keep(state.plaintext_bytes_to_read(), records.len()).map_err(general)?;
        }
        Ok(())
    }

    /// Takes so many bytes out of the session. What follows will open to no more than its length.
    fn keep(&mut self, bytes: usize, following: usize) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        if self.opened.tailroom() < bytes {
            let mut roomier = Buffer::with_capacity(self.opened.len() + bytes + following);
            roomier.append(&self.opened).map_err(io::Error::other)?;
            self.opened = roomier;
        }
        self.session.reader().read_exact(&mut self.opened.tailroom_mut()[..bytes])?;
        self.opened.advance(bytes).map_err(io::Error::other)
    }

    /// Seals this, to leave with the next [`TlsStream::launch`].
    fn seal(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(error) = &self.failed {
            return Err(invalid(error));
        }
        if self.session.is_handshaking() {
            let why = "nothing can be sent before the handshake is made: await handshake()";
            return Err(io::Error::new(ErrorKind::NotConnected, why));
        }
        if let Some(error) = &self.broken {
            return Err(again(error));
        }
        if self.is_cut {
            // Behind a gap nobody would understand it.
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_torn |= !bytes.is_empty();
        self.waiting_bytes += bytes.len();
        self.session.writer().write_all(bytes)
    }

    /// What is to leave.
    fn sealed(&mut self) -> io::Result<Option<Buffer>> {
        if !self.session.wants_write() {
            return Ok(None);
        }
        let mut records = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut records)?;
        }
        self.waiting_bytes = 0;
        Ok(Some(Buffer::from(records)))
    }

    /// Begins to send what is to leave. Whether there was something.
    fn launch(&mut self) -> io::Result<bool> {
        let carries_bytes = self.waiting_bytes > 0;
        let Some(records) = self.sealed()? else { return Ok(false) };
        self.carries_bytes = carries_bytes;
        self.is_torn = true;
        self.leaving = Some(self.sender.start(records));
        Ok(true)
    }

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Not, if that were no end, or after another last word.
    fn tell_end(&mut self) {
        if !self.is_cut && self.failed.is_none() {
            self.session.send_close_notify();
        }
    }

    /// Sends what the kernel takes of this at once. Only while nothing is being sent.
    fn send_now(&self, bytes: &[u8]) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // Who does not get it is gone or takes nothing, and is left anyway.
        let _ = self.registered().with(|socket: &OwnedFd| send(socket, bytes, flags));
    }
}

/// The same once more.
fn again(error: &io::Error) -> io::Error {
    let as_text = || io::Error::new(error.kind(), error.to_string());
    error.raw_os_error().map_or_else(as_text, io::Error::from_raw_os_error)
}

fn invalid(error: &rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error.clone())
}

impl Drop for TlsStream {
    /// Whoever rests, or has all that it asked for, is told of the end. It never waits: a peer that left no
    /// room for two dozen bytes does not hear it.
    fn drop(&mut self) {
        if !self.is_torn && !self.is_cut && !self.session.is_handshaking() {
            self.tell_end();
            if let Ok(Some(records)) = self.sealed() {
                self.send_now(&records);
            }
        }
    }
}
