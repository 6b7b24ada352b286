//! Pipes, and whatever else is read or written like one: terminals, devices, the standard streams.

use crate::net::{How, Receiver, whole};
use crate::operation::{BufferResult, returned};
use crate::registered::Registered;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use ukevent_buf::{Buffer, Piece};
use ukevent_queue::{Completed, Operation, StartError};

/// A pipe between two tasks: what is written to the second comes out of the first. (For a pipe to a child
/// see [`Process`](crate::process::Process).)
///
/// ```
/// use ukevent_task::{block_on, pipe::pipe};
///
/// block_on(async {
///     let (mut reader, mut writer) = pipe()?;
///     writer.write(b"hello".to_vec()).await?;
///     assert_eq!(&reader.read().await?[..], b"hello");
///     drop(writer);
///     assert!(reader.read().await?.is_empty(), "the end");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As pipe(2).
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((PipeReader::from_fd(reader)?, PipeWriter::from_fd(writer)?))
}

/// Reads what has no places: a pipe, a FIFO, a terminal, a device. Dropping it closes the descriptor.
///
/// One continuous operation reads, from the first call on; what came while nobody asked is kept, so a call
/// that is dropped loses nothing.
///
/// ```no_run
/// use std::os::fd::AsFd;
/// use ukevent_task::{block_on, pipe::PipeReader};
///
/// block_on(async {
///     let keyboard = std::io::stdin().as_fd().try_clone_to_owned()?;
///     let mut keyboard = PipeReader::from_fd(keyboard)?;
///     println!("{} bytes were typed", keyboard.read().await?.len());
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PipeReader {
    receiver: Receiver,
}

impl PipeReader {
    /// Reads from a descriptor: `OwnedFd`, `std::io::PipeReader`, a child's output. Its flags stay as they
    /// are: it may block, and may be shared.
    ///
    /// # Errors
    /// [`RegisterError`](ukevent_queue::RegisterError), as an error of the system.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_fd(descriptor: impl Into<OwnedFd>) -> io::Result<Self> {
        let pipe = Rc::new(Registered::new(descriptor.into())?);
        Ok(Self { receiver: Receiver::new(pipe, How::Pipe) })
    }

    /// Reads what comes next, or what came; an empty buffer is the end: all who could write are gone. The
    /// buffer is one of a bounded pool: see [`Receiver::receive`].
    ///
    /// # Errors
    /// As read(2); `InvalidInput` of a file, which has places: read it with [`File`](crate::fs::File).
    pub async fn read(&mut self) -> io::Result<Buffer> {
        self.receiver.receive().await
    }

    /// The same for futures that are written by hand.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buffer>> {
        self.receiver.poll_receive(cx)
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// As [`PipeReader::read`]. What came before is lost then, and when it is dropped.
    pub async fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            match self.read().await? {
                bytes if bytes.is_empty() => return Ok(all),
                bytes => all.extend_from_slice(&bytes),
            }
        }
    }

    /// What reads: to look at bytes without taking them, and to put some back.
    pub const fn receiver(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// The registration of the descriptor.
    #[must_use]
    pub fn registered(&self) -> &Registered {
        self.receiver.registered()
    }
}

/// Writes what has no places: a pipe, a FIFO, a terminal, a device. Dropping it closes the descriptor, and
/// gives up what is still being written.
///
/// What it writes leaves in order, each whole. A call that is dropped before its end does not tear what it
/// writes: as that of a [`Sender`](crate::net::Sender).
///
/// ```
/// use std::io::Read;
/// use ukevent_task::{block_on, pipe::PipeWriter};
///
/// let (mut reader, writer) = std::io::pipe()?;
/// block_on(async {
///     let mut writer = PipeWriter::from_fd(writer)?;
///     writer.write(b"hello".to_vec()).await
/// })??;
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PipeWriter {
    pipe: Registered,
}

impl PipeWriter {
    /// Writes to a descriptor, as [`PipeReader::from_fd`] reads from one.
    ///
    /// # Errors
    /// [`RegisterError`](ukevent_queue::RegisterError), as an error of the system.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_fd(descriptor: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(Self { pipe: Registered::new(descriptor.into())? })
    }

    /// Writes all of it. Ready when the kernel has it.
    ///
    /// # Errors
    /// `EPIPE`, when nobody can read it any more (and a `SIGPIPE`, which the standard library lets programs
    /// ignore); `BrokenPipe` too, if that came when a part had been taken.
    pub async fn write(&mut self, bytes: impl Into<Piece>) -> io::Result<()> {
        let piece = bytes.into();
        let count = piece.bytes().len();
        whole(count, self.in_turn(piece).await?.result? as usize)
    }

    /// Writes all of it and gives the buffer back, also after an error, to be filled anew.
    pub async fn write_buffer(&mut self, buffer: Buffer) -> BufferResult<()> {
        let count = buffer.len();
        let (written, buffer) = returned(self.in_turn(buffer).await);
        (written.and_then(|written| whole(count, written)), buffer)
    }

    async fn in_turn(&self, bytes: impl Into<Piece>) -> Result<Completed, Box<StartError>> {
        let operation = Operation::write(self.pipe.key(), bytes, 0);
        let nothing = |pipe| Operation::write(pipe, Buffer::default(), 0);
        self.pipe.perform_in_turn(operation, nothing, "room to write").await
    }

    /// The registration of the descriptor.
    #[must_use]
    pub const fn registered(&self) -> &Registered {
        &self.pipe
    }
}
