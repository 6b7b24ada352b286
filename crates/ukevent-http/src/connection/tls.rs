//! A wire with TLS in between, by rustls.
//!
//! Records come in and go out through the plain wire; rustls turns them into bytes and back, and never
//! waits. The handshake is a part of receiving: whoever waits for the first request waits for it, within
//! the same time. What was received is taken out of rustls at once, so that it holds no more than a record.
//!
//! What is to leave without being asked for (the handshake, tickets, alerts) leaves with the next answer, or
//! before more is waited for. Every state is in the struct, so a call that is dropped at a deadline loses
//! nothing.
//!
//! The peer is told of the end (close_notify; RFC 8446, 6.1) whenever all that was begun has left, also where
//! the server just drops the connection: only then can it tell an end from an answer that was cut off. After
//! an error it is told what was wrong, and what it sends on is thrown away for a while, because closing a
//! socket with unread input may take the alert with it (RFC 9112, 9.6).

use super::{
    joined,
    wire::{Plain, Wire},
};
use crate::limits::LINGER_BYTES;
use rustls::ServerConnection;
use std::{
    io::{self, Read, Write},
    mem::take,
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
};
use ukevent_buf::Buffer;
use ukevent_queue::Operation;
use ukevent_task::{Registered, perform};

/// Bytes of a file that are read, and sealed, at a time: four full records.
const PIECE_BYTES: u64 = 64 * 1024;

/// A stream socket that speaks TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    plain: Plain,
    session: Box<ServerConnection>,
    /// What was opened and not given yet.
    opened: Buffer,
    /// The peer has said that nothing more comes. What comes all the same is ignored.
    is_over: bool,
    /// What came was no TLS, or not what it should have been. Nothing is sent any more but the alert.
    has_failed: bool,
    /// Something that was begun has not left, or not whole: the end must not look like one.
    is_torn: bool,
}

impl Tls {
    pub(crate) fn new(plain: Plain, mut session: ServerConnection) -> Self {
        // What is sealed is taken at once, and what is given is bounded by whoever gives it.
        session.set_buffer_limit(None);
        Self {
            plain,
            session: Box::new(session),
            opened: Buffer::default(),
            is_over: false,
            has_failed: false,
            is_torn: false,
        }
    }

    /// Takes in what the peer sends next; not, if that is the end.
    async fn take_in(&mut self) -> io::Result<bool> {
        self.flush().await?;
        if self.has_failed {
            return Err(self.leave().await);
        }
        let records = self.plain.receive().await?;
        if records.is_empty() {
            // Without the word that ends a session. A request that was cut by it is not whole.
            return Ok(false);
        }
        if self.open(&records).is_err() {
            self.has_failed = true;
            self.opened = Buffer::default();
            drop(records);
            self.flush().await?;
            return Err(self.leave().await);
        }
        Ok(true)
    }

    /// After an error was said: throws away what still comes, until the peer has closed.
    async fn leave(&mut self) -> io::Error {
        let mut left = LINGER_BYTES;
        if self.plain.end().await.is_ok() {
            while let Ok(bytes) = self.plain.receive().await
                && !bytes.is_empty()
                && let Some(rest) = left.checked_sub(bytes.len() as u64)
            {
                left = rest;
            }
        }
        io::ErrorKind::InvalidData.into()
    }

    /// Opens what is whole of this and what came before.
    fn open(&mut self, mut records: &[u8]) -> io::Result<()> {
        // It takes only a part of what is more than a record, and nothing behind the peer's last word.
        while !records.is_empty() && !self.is_over {
            self.session.read_tls(&mut records)?;
            let state = self.session.process_new_packets().map_err(io::Error::other)?;
            self.is_over = state.peer_has_closed();
            self.keep(state.plaintext_bytes_to_read())?;
        }
        Ok(())
    }

    /// Takes so many bytes out of the session.
    fn keep(&mut self, bytes: usize) -> io::Result<()> {
        if bytes > 0 {
            let mut buffer = Buffer::with_capacity(bytes);
            self.session.reader().read_exact(&mut buffer.tailroom_mut()[..bytes])?;
            buffer.advance(bytes).map_err(io::Error::other)?;
            self.opened = joined(take(&mut self.opened), buffer);
        }
        Ok(())
    }

    /// Seals this, to leave with the next [`Tls::flush`].
    fn seal(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.has_failed {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.is_torn |= !bytes.is_empty();
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
        Ok(Some(Buffer::from(records)))
    }

    /// Sends what is to leave.
    async fn flush(&mut self) -> io::Result<()> {
        if let Some(records) = self.sealed()? {
            self.is_torn = true;
            self.plain.send(records).await?;
            self.is_torn = false;
        }
        Ok(())
    }
}

impl Wire for Tls {
    type Probe = Rc<Registered>;
    type File = Registered;
    const IS_SECURED: bool = true;

    async fn begin(&mut self) -> io::Result<()> {
        while self.session.is_handshaking() {
            if !self.take_in().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> io::Result<Buffer> {
        while self.opened.is_empty() && !self.is_over {
            if !self.take_in().await? {
                break;
            }
        }
        Ok(take(&mut self.opened))
    }

    async fn send(&mut self, bytes: Buffer) -> io::Result<()> {
        self.seal(&bytes)?;
        drop(bytes);
        self.flush().await
    }

    fn file(&self, file: &Arc<OwnedFd>) -> io::Result<Registered> {
        self.plain.file(file)
    }

    async fn send_file(
        &mut self,
        head: Buffer,
        file: &Registered,
        offset: u64,
        bytes: u64,
    ) -> io::Result<u64> {
        let mut sent = head.len() as u64;
        self.seal(&head)?;
        drop(head);
        let (mut buffer, mut offset, end) = (Buffer::default(), offset, offset + bytes);
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
                // Less leaves than was announced.
                self.flush().await?;
                self.is_torn = true;
                return Ok(sent);
            }
            self.seal(&buffer[..read])?;
            self.flush().await?;
            offset += read as u64;
            sent += read as u64;
        }
        self.flush().await?;
        Ok(sent)
    }

    async fn end(&mut self) -> io::Result<()> {
        self.session.send_close_notify();
        self.flush().await?;
        self.plain.end().await
    }

    fn probe(&self) -> Self::Probe {
        self.plain.probe()
    }
}

impl Drop for Tls {
    /// Whoever rests, or has all that it asked for, is told of the end. It never waits: a peer that left no
    /// room for two dozen bytes does not hear it.
    fn drop(&mut self) {
        if !self.is_torn && !self.session.is_handshaking() {
            self.session.send_close_notify();
            if let Ok(Some(records)) = self.sealed() {
                self.plain.send_now(&records);
            }
        }
    }
}
