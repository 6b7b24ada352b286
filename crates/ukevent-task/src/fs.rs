//! Files.
//!
//! They are read and written in place, with buffers that move in and come back with the result, also when it
//! is an error ([`BufferResult`]). The ring does it where it is there; elsewhere a few threads of the queue's.
//!
//! ```
//! use ukevent_buf::Buffer;
//! use ukevent_queue::Open;
//! use ukevent_task::{block_on, fs::{self, File}};
//!
//! let path = std::env::temp_dir().join(format!("fs-{}", std::process::id()));
//! block_on(async {
//!     fs::write(&path, b"hello world".to_vec()).await?;
//!     let file = File::open(&path, Open::read()).await?;
//!     let (count, buffer) = file.read_at(Buffer::with_capacity(5), 6).await;
//!     assert_eq!((count?, &buffer[..]), (5, &b"world"[..]));
//!     Ok::<(), std::io::Error>(())
//! })??;
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::operation::{BufferResult, perform, returned};
use crate::registered::Registered;
use rustix::fs::{OFlags, fcntl_getfl};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use ukevent_buf::Buffer;
use ukevent_queue::{Completed, Metadata, Open, Operation, Payload};

/// A step in reading a file whose size is not known.
const STEP_BYTES: usize = 1 << 13;
/// The most in one operation; its result is a count of 32 bits.
const MOST_BYTES: usize = 1 << 30;

/// An open file. Dropping it closes it, and ends what is being done with it.
///
/// Reads and writes name their place, so several may be at work at the same time. A read that is dropped is
/// cancelled; a write or a sync goes on to its end, unless the file is dropped too.
///
/// ```
/// use ukevent_queue::Open;
/// use ukevent_task::{block_on, fs::File};
///
/// let path = std::env::temp_dir().join(format!("log-{}", std::process::id()));
/// block_on(async {
///     let log = File::open(&path, Open::write().create(0o640).append()).await?;
///     let (count, _buffer) = log.append(b"one line\n".to_vec()).await;
///     assert_eq!(count?, 9);
///     log.sync_data().await?;
///     assert_eq!(log.metadata().await?.size, 9);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct File {
    file: Registered,
}

impl File {
    /// Opens a file. Dropped before its end, it leaves nothing open; what it made stays made.
    ///
    /// # Errors
    /// As open(2).
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn open(path: impl AsRef<Path>, how: Open) -> io::Result<Self> {
        let done = perform(Operation::open(path, how)).await?;
        done.result?;
        match done.payload {
            Payload::Descriptor(descriptor) => Self::from_file(descriptor),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// A file that was opened elsewhere: `std::fs::File`, `OwnedFd`.
    ///
    /// # Errors
    /// [`RegisterError`](ukevent_queue::RegisterError), as an error of the system.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_file(file: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(Self { file: Registered::new(file.into())? })
    }

    /// The registration of the descriptor: to send the file, for instance.
    #[must_use]
    pub const fn registered(&self) -> &Registered {
        &self.file
    }

    /// Reads from a place into the room behind what the buffer holds; the result is how many bytes came, 0 at
    /// the end.
    ///
    /// # Errors
    /// As pread(2); `InvalidInput` if the buffer has no room. The buffer comes back.
    pub async fn read_at(&self, buffer: Buffer, offset: u64) -> BufferResult<usize> {
        let operation = Operation::read(self.file.key(), buffer, offset);
        returned(self.file.perform(operation, "a file to be read").await)
    }

    /// Writes all of a buffer to a place; the result is how many bytes, fewer if the device is full in the
    /// middle of it. A file that was opened to [`append`](Open::append) is written at its end, whatever the
    /// place.
    ///
    /// # Errors
    /// As pwrite(2). The buffer comes back.
    pub async fn write_at(&self, bytes: impl Into<Buffer>, offset: u64) -> BufferResult<usize> {
        let operation = Operation::write(self.file.key(), bytes.into(), offset);
        returned(self.file.perform(operation, "a file to be written").detached().await)
    }

    /// Writes all of a buffer at the end, wherever that is then: what others append at the same time is
    /// before it or behind it.
    ///
    /// # Errors
    /// As [`File::write_at`]; `InvalidInput` if it was not opened to [`append`](Open::append).
    pub async fn append(&self, bytes: impl Into<Buffer>) -> BufferResult<usize> {
        let flags = self.file.with(|file: &OwnedFd| fcntl_getfl(file));
        if flags.is_some_and(|flags| flags.is_ok_and(|flags| flags.contains(OFlags::APPEND))) {
            return self.write_at(bytes, 0).await;
        }
        let why = "this file was not opened to append: open it with Open::append";
        (Err(io::Error::new(io::ErrorKind::InvalidInput, why)), bytes.into())
    }

    /// Lets what was written reach the device: fsync(2).
    ///
    /// # Errors
    /// As fsync(2): then it is not known what did.
    pub async fn sync(&self) -> io::Result<()> {
        self.synced(Operation::sync(self.file.key())).await
    }

    /// The same without metadata that reading does not need: fdatasync(2).
    ///
    /// # Errors
    /// As [`File::sync`].
    pub async fn sync_data(&self) -> io::Result<()> {
        self.synced(Operation::sync_data(self.file.key())).await
    }

    async fn synced(&self, operation: Operation) -> io::Result<()> {
        self.file.perform(operation, "a file to be synced").detached().await?.result?;
        Ok(())
    }

    /// Its size, times and kind.
    ///
    /// # Errors
    /// As fstat(2).
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let operation = Operation::metadata(self.file.key());
        measured(self.file.perform(operation, "metadata of a file").await?)
    }
}

/// The size, times and kind of what is at a path. Follows symbolic links.
///
/// # Errors
/// As stat(2).
///
/// # Panics
/// Outside of a runtime.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    measured(perform(Operation::metadata_of(path)).await?)
}

/// Reads all of a file.
///
/// # Errors
/// As open(2) and read(2).
///
/// # Panics
/// Outside of a runtime.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let file = File::open(path, Open::read()).await?;
    let size = usize::try_from(file.metadata().await?.size).unwrap_or(0);
    // One more than its size shows the end without another buffer; files of /proc say that they have none.
    let mut buffer = Buffer::with_capacity(size.saturating_add(1).clamp(STEP_BYTES, MOST_BYTES));
    loop {
        if buffer.tailroom() == 0 {
            let mut larger = Vec::from(buffer);
            larger.reserve(larger.len().min(MOST_BYTES));
            buffer = Buffer::from(larger);
        }
        let offset = buffer.len() as u64;
        let (count, filled) = file.read_at(buffer, offset).await;
        buffer = filled;
        if count? == 0 {
            return Ok(Vec::from(buffer));
        }
    }
}

/// Writes a file anew: makes it, with permissions of 0666 less the umask, or empties it first. Does not sync
/// it. Dropped before its end, it may leave the file with a part.
///
/// # Errors
/// As open(2) and write(2).
///
/// # Panics
/// Outside of a runtime.
pub async fn write(path: impl AsRef<Path>, bytes: impl Into<Buffer>) -> io::Result<()> {
    let file = File::open(path, Open::write().create(0o666).truncate()).await?;
    let mut rest = bytes.into();
    let mut offset = 0;
    while !rest.is_empty() {
        let (written, mut back) = file.write_at(rest, offset).await;
        let written = written?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        back.consume(written);
        (rest, offset) = (back, offset + written as u64);
    }
    Ok(())
}

fn measured(done: Completed) -> io::Result<Metadata> {
    done.result?;
    match done.payload {
        Payload::Metadata(metadata) => Ok(*metadata),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
