//! A wire with TLS in between, by rustls.
//!
//! Records come in and go out through the plain wire; rustls turns them into bytes and back, and never
//! waits. The handshake is a part of receiving: whoever waits for the first request waits for it, within
//! the same time. What was received is taken out of rustls at once, so that it holds no more than a record.

use super::wire::{Plain, Wire};
use rustls::ServerConnection;
use std::{
    io::{self, Read, Write},
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
}

impl Tls {
    pub(crate) fn new(plain: Plain, mut session: ServerConnection) -> Self {
        // What is sealed is taken at once, and what is given is bounded by whoever gives it.
        session.set_buffer_limit(None);
        Self { plain, session: Box::new(session) }
    }

    /// Takes what the peer sent, and opens what of it is whole.
    fn open(&mut self, mut records: &[u8]) -> io::Result<()> {
        while !records.is_empty() {
            self.session.read_tls(&mut records)?;
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// What was opened; nothing, if there is none.
    fn opened(&mut self) -> io::Result<Option<Buffer>> {
        let state = self.session.process_new_packets().map_err(io::Error::other)?;
        let bytes = state.plaintext_bytes_to_read();
        if bytes == 0 {
            return Ok(state.peer_has_closed().then(Buffer::default));
        }
        let mut buffer = Buffer::with_capacity(bytes);
        let read = self.session.reader().read(&mut buffer.tailroom_mut()[..bytes])?;
        buffer.set_len(read).map_err(io::Error::other)?;
        Ok(Some(buffer))
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
        match self.sealed()? {
            Some(records) => self.plain.send(records).await,
            None => Ok(()),
        }
    }
}

impl Wire for Tls {
    type Probe = Rc<Registered>;
    type File = Registered;
    const IS_SECURED: bool = true;

    async fn receive(&mut self) -> io::Result<Buffer> {
        loop {
            self.flush().await?;
            if let Some(opened) = self.opened()? {
                return Ok(opened);
            }
            let records = self.plain.receive().await?;
            if records.is_empty() {
                // Without the word that ends a session; a request that was cut by it is not whole.
                return Ok(Buffer::default());
            }
            if let Err(error) = self.open(&records) {
                // The peer is told what was wrong.
                self.flush().await?;
                return Err(error);
            }
        }
    }

    async fn send(&mut self, bytes: Buffer) -> io::Result<()> {
        self.session.writer().write_all(&bytes)?;
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
        self.session.writer().write_all(&head)?;
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
                break;
            }
            self.session.writer().write_all(&buffer[..read])?;
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
