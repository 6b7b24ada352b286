//! One try at an operation, which never blocks.
//!
//! What the kernel would let wait says what it waits for, and is tried again when that is so. Nothing
//! is lost in between: a send remembers how much has left. Linux 2.6 for all of it.

use super::end::End;
use super::{Inlet, Metadata, Payload, Request, path, send_file};
use crate::event::Errno;
use rustix::io::Errno as Refusal;
use std::os::fd::BorrowedFd;
use ukevent_buf::{AllocateError, Buffer};
use ukevent_sys::poll::PollMask;

/// What a try came to.
pub(crate) enum Attempt {
    /// It is done; or, of a continuous one, once.
    Done(Result<u32, Errno>, Payload),
    /// It would block until the descriptor is ready for this.
    Blocks(PollMask),
    /// It waits until a buffer comes back to the pool.
    NoBuffer,
    /// Others have their turn first.
    Later,
    /// It waits until this range of the file that is sent is in memory; `is_known`: it is not, rather
    /// than perhaps not.
    Cold { offset: u64, bytes: u64, is_known: bool },
}

impl Attempt {
    pub(super) const fn count(count: u32) -> Self {
        Self::Done(Ok(count), Payload::None)
    }

    pub(super) fn failed(refusal: Refusal) -> Self {
        Self::Done(Err(Errno(refusal.raw_os_error())), Payload::None)
    }
}

/// Tries, at an end of the kernel's or of a simulation. `file` is the descriptor of the file that is
/// sent. What the request holds stays in it; what is done is told, the payload is for the caller to take
/// out of the request unless it comes here.
pub(crate) fn attempt(
    request: &mut Request,
    end: impl End,
    file: Option<BorrowedFd<'_>>,
    ready: bool,
) -> Attempt {
    match request {
        Request::Accept { .. } => accept(end),
        Request::Connect { address, begun } => {
            if *begun && !ready {
                return Attempt::Blocks(PollMask::OUT);
            }
            if *begun {
                return match end.error() {
                    Ok(Ok(())) => Attempt::count(0),
                    Ok(Err(refusal)) | Err(refusal) => Attempt::failed(refusal),
                };
            }
            *begun = true;
            loop {
                return match end.connect(*address) {
                    Ok(()) => Attempt::count(0),
                    Err(Refusal::INPROGRESS) => Attempt::Blocks(PollMask::OUT),
                    Err(Refusal::INTR) => continue,
                    Err(refusal) => Attempt::failed(refusal),
                };
            }
        }
        Request::Receive { buffer } => receive(end, buffer),
        Request::ReceiveEach { pool, inlet, .. } => {
            // No buffer is held while nothing has come.
            if !ready {
                return Attempt::Blocks(PollMask::IN);
            }
            let mut buffer = match pool.allocate() {
                Ok(buffer) => buffer,
                Err(AllocateError::Full) => return Attempt::NoBuffer,
                // The pool is another thread's.
                Err(_) => return Attempt::failed(Refusal::PERM),
            };
            let tried = match inlet {
                Inlet::Stream | Inlet::Datagrams => receive(end, &mut buffer),
                Inlet::Pipe | Inlet::Device => {
                    filled(&mut buffer, |room| end.read(room), PollMask::IN)
                }
            };
            match tried {
                Attempt::Done(Ok(count), _) if count > 0 || *inlet == Inlet::Datagrams => {
                    Attempt::Done(Ok(count), Payload::Buffer(buffer))
                }
                other => other,
            }
        }
        Request::Send { piece, sent, more, .. } => {
            let bytes = piece.bytes();
            loop {
                match end.send(&bytes[*sent..], *more) {
                    Ok(count) => *sent += count,
                    Err(Refusal::INTR) => continue,
                    Err(Refusal::AGAIN) => return Attempt::Blocks(PollMask::OUT),
                    Err(refusal) if *sent == 0 => return Attempt::failed(refusal),
                    // Told by the next one.
                    Err(_) => return Attempt::count(*sent as u32),
                }
                if *sent >= bytes.len() {
                    return Attempt::count(*sent as u32);
                }
            }
        }
        Request::SendMessage { message, sent, more, .. } => {
            let bytes = message.bytes();
            loop {
                match end.send_message(message, *sent, *more) {
                    Ok(count) => *sent += count,
                    Err(Refusal::INTR) => continue,
                    Err(Refusal::AGAIN) => return Attempt::Blocks(PollMask::OUT),
                    Err(refusal) if *sent == 0 => return Attempt::failed(refusal),
                    // Told by the next one.
                    Err(_) => return Attempt::count(*sent as u32),
                }
                message.was_sent();
                if *sent >= bytes {
                    return Attempt::count(*sent as u32);
                }
            }
        }
        Request::ReceiveMessage { message } => loop {
            return match end.receive_message(message) {
                Ok(count) => Attempt::count(count as u32),
                Err(Refusal::INTR) => continue,
                Err(Refusal::AGAIN) => Attempt::Blocks(PollMask::IN),
                Err(refusal) => Attempt::failed(refusal),
            };
        },
        Request::SendFile(send) => send.attempt(end, file),
        Request::Shutdown { how } => {
            end.shutdown(*how).map_or_else(Attempt::failed, |()| Attempt::count(0))
        }
        Request::Poll { interest } => Attempt::Blocks(interest.mask()),
        Request::Read { buffer, .. } => {
            if !ready {
                return Attempt::Blocks(PollMask::IN);
            }
            filled(buffer, |room| end.read(room), PollMask::IN)
        }
        Request::Write { piece, written, .. } => {
            if !ready {
                return Attempt::Blocks(PollMask::OUT);
            }
            // A pipe that polls as writable takes so much without blocking (pipe(7)).
            let rest = &piece.bytes()[*written..];
            let some = &rest[..rest.len().min(rustix::pipe::PIPE_BUF)];
            match end.write(some) {
                Ok(count) => *written += count,
                Err(Refusal::INTR | Refusal::AGAIN) => {}
                Err(refusal) if *written == 0 => return Attempt::failed(refusal),
                Err(_) => return Attempt::count(*written as u32),
            }
            match *written == piece.bytes().len() {
                true => Attempt::count(*written as u32),
                false => Attempt::Blocks(PollMask::OUT),
            }
        }
        Request::Sync { .. }
        | Request::Measure
        | Request::Open { .. }
        | Request::MeasurePath { .. }
        | Request::Warm { .. }
        | Request::Close => Attempt::failed(Refusal::INVAL),
    }
}

fn accept(listener: impl End) -> Attempt {
    loop {
        return match listener.accept() {
            Ok(connection) => Attempt::Done(Ok(0), connection),
            Err(Refusal::AGAIN) => Attempt::Blocks(PollMask::IN),
            // Whoever connected is gone again (accept(2)).
            Err(Refusal::INTR | Refusal::CONNABORTED) => continue,
            Err(refusal) => Attempt::failed(refusal),
        };
    }
}

fn receive(socket: impl End, buffer: &mut Buffer) -> Attempt {
    filled(buffer, |room| socket.receive(room), PollMask::IN)
}

fn filled(
    buffer: &mut Buffer,
    mut call: impl FnMut(&mut [u8]) -> Result<usize, Refusal>,
    otherwise: PollMask,
) -> Attempt {
    loop {
        return match call(buffer.tailroom_mut()) {
            Ok(count) => match buffer.advance(count) {
                Ok(()) => Attempt::count(count as u32),
                Err(_) => Attempt::failed(Refusal::OVERFLOW),
            },
            Err(Refusal::INTR) => continue,
            Err(Refusal::AGAIN) => Attempt::Blocks(otherwise),
            Err(refusal) => Attempt::failed(refusal),
        };
    }
}

/// What a blocking thread does for a file, or in a directory.
pub(super) fn blocking(request: &mut Request, fd: BorrowedFd<'_>) -> (Result<u32, Errno>, Payload) {
    let refused = |refusal: Refusal| Errno(refusal.raw_os_error());
    let result = match request {
        Request::Read { buffer, offset, .. } => {
            let count = retry(|| rustix::io::pread(fd, buffer.tailroom_mut(), *offset));
            count.map_err(refused).and_then(|count| {
                buffer.advance(count).map_err(|_| refused(Refusal::OVERFLOW))?;
                Ok(count as u32)
            })
        }
        Request::Write { piece, offset, written, .. } => loop {
            let rest = &piece.bytes()[*written..];
            if rest.is_empty() {
                break Ok(*written as u32);
            }
            match rustix::io::pwrite(fd, rest, *offset + *written as u64) {
                Ok(0) => break Ok(*written as u32),
                Ok(count) => *written += count,
                Err(Refusal::INTR) => {}
                Err(refusal) if *written == 0 => break Err(refused(refusal)),
                Err(_) => break Ok(*written as u32),
            }
        },
        Request::Sync { data_only: true } => {
            retry(|| rustix::fs::fdatasync(fd)).map(|()| 0).map_err(refused)
        }
        Request::Sync { data_only: false } => {
            retry(|| rustix::fs::fsync(fd)).map(|()| 0).map_err(refused)
        }
        Request::Measure => {
            return match rustix::fs::fstat(fd) {
                Ok(stat) => (Ok(0), Payload::Metadata(Box::new(metadata(&stat)))),
                Err(refusal) => (Err(refused(refusal)), Payload::None),
            };
        }
        Request::Open { path: Some(path), how } => {
            let opened = retry(|| path::open(fd, path, *how));
            return brought(opened);
        }
        Request::MeasurePath { path: Some(path) } => return brought(path::measure(fd, path)),
        Request::Warm { offset, bytes } => send_file::warm(fd, *offset, *bytes),
        _ => Err(refused(Refusal::INVAL)),
    };
    (result, Payload::None)
}

fn brought(payload: Result<Payload, Refusal>) -> (Result<u32, Errno>, Payload) {
    match payload {
        Ok(payload) => (Ok(0), payload),
        Err(refusal) => (Err(Errno(refusal.raw_os_error())), Payload::None),
    }
}

pub(super) fn metadata(stat: &rustix::fs::Stat) -> Metadata {
    Metadata {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode,
        device: stat.st_dev,
        inode: stat.st_ino,
        modified_ns: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Refusal>) -> Result<T, Refusal> {
    loop {
        match call() {
            Err(Refusal::INTR) => {}
            other => return other,
        }
    }
}
