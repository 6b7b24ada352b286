//! Sending a file: what goes before it, the file, and what goes after it, as one.
//!
//! sendfile(2) reads what is not in memory while the caller waits, and has no flag against that. So the
//! page cache is asked first, for a stretch at a time ([`place`]); what it lacks a thread reads, and
//! then it is sent unasked: should it be gone again by then, the kernel reads it once more, and no
//! operation goes round for ever. Where nobody can tell, a thread reads what was not sent before. What is asked costs some 0.3 µs for half a MiB, of which the sending
//! costs a hundred. Sources: sendfile(2), cachestat(2), preadv2(2), posix_fadvise(2).

use super::attempt::Attempt;
use super::end::End;
use super::{Operation, Request};
use crate::event::Errno;
use crate::key::Key;
use rustix::fs::{Advice, FileType};
use rustix::io::{Errno as Refusal, ReadWriteFlags};
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use ukevent_buf::{Buffer, Piece};
use ukevent_sys::page_cache::cached_pages;
use ukevent_sys::poll::PollMask;

/// Bytes that one try moves from a file, so that others have their turn.
const BUDGET_BYTES: u64 = 1 << 20;
/// Bytes for which the page cache is asked at once, and that a thread reads at once; within 32 bits.
const STRETCH_BYTES: u64 = 1 << 19;
/// Bytes that a look at one place answers for, of a stretch that cannot be asked for as a whole: the disk
/// is read, and memory taken back, in larger runs as a rule.
const LOOK_BYTES: u64 = 1 << 16;
/// The smallest page there is.
const PAGE_BYTES: u64 = 4096;
/// Bytes that a thread reads at a time.
const READ_BYTES: usize = 1 << 16;

/// A file to be sent.
pub(crate) struct SendFile {
    pub(crate) file: Key,
    offset: u64,
    left: u64,
    /// Of all three parts.
    sent: u64,
    /// So much of what is left is, or was, in memory.
    warm: u32,
    /// A thread is reading it.
    pub(crate) is_warming: bool,
    /// What goes before and after it.
    around: Option<Box<Around>>,
}

#[derive(Default)]
struct Around {
    header: Part,
    trailer: Part,
}

#[derive(Default)]
struct Part {
    piece: Option<Piece>,
    sent: usize,
}

impl Part {
    fn bytes(&self) -> &[u8] {
        self.piece.as_ref().map_or(&[], Piece::bytes)
    }

    fn rest(&self) -> &[u8] {
        &self.bytes()[self.sent..]
    }
}

impl Operation {
    /// Sends so many bytes of a registered file, from `offset` on, without copying them through the
    /// program: sendfile(2). In the order of the sends. The result is how much; a file that ends early
    /// ends it, and the sends behind it too if anything had left. More than `u32::MAX` bytes are told as
    /// `u32::MAX`. The socket becomes non-blocking. What of the file is not in memory a thread of the queue
    /// reads first, half a MiB at a time, so that the queue does not wait for the disk; half a MiB is what
    /// it may still wait for, where memory is so short that it is gone again at once. A connection that is
    /// gone sends `SIGPIPE`, which has no flag here either: ignore it, or register it.
    #[doc(alias = "sendfile")]
    pub const fn send_file(socket: Key, file: Key, offset: u64, bytes: u64) -> Self {
        let send = SendFile {
            file,
            offset,
            left: bytes,
            sent: 0,
            warm: 0,
            is_warming: false,
            around: None,
        };
        Self::new(socket, Request::SendFile(send))
    }

    /// Sends this before the file, in the same segments where it fits (`MSG_MORE`). It counts in the result
    /// and comes back with [`Payload::Buffers`](crate::Payload::Buffers). Without effect on anything but
    /// [`Operation::send_file`].
    ///
    /// ```
    /// use std::{fs::File, io::{Read, Write}, net::{TcpListener, TcpStream}};
    /// use ukevent_buf::Buffer;
    /// use ukevent_queue::{Fd, Kind, Mode, Operation, Queue, Socket, Token, Wait};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(listener.local_addr()?)?;
    /// let path = std::env::temp_dir().join(format!("page-{}", std::process::id()));
    /// File::create(&path)?.write_all(b"<p>Hello</p>")?;
    ///
    /// let mut queue = Queue::new()?;
    /// let socket = Socket::new(listener.accept()?.0).unwatched();
    /// let socket = queue.register(socket, Token(0), Mode::Level)?;
    /// let file = queue.register(Fd::new(File::open(&path)?).unwatched(), Token(0), Mode::Level)?;
    /// let header = Buffer::from(b"HTTP/1.0 200 OK\r\n\r\n".to_vec());
    /// queue.start(Operation::send_file(socket, file, 0, 12).header(header), Token(1))?;
    /// queue.wait(Wait::forever())?;
    /// let Some(Kind::Completed(done)) = queue.next_event().map(|event| event.kind) else { panic!() };
    /// assert_eq!(done.result, Ok(19 + 12));
    /// client.read_exact(&mut [0; 31])?;
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn header(mut self, bytes: impl Into<Piece>) -> Self {
        if let Request::SendFile(send) = &mut self.request {
            send.around.get_or_insert_default().header.piece = Some(bytes.into());
        }
        self
    }

    /// The same after the file, unless that ends early.
    pub fn trailer(mut self, bytes: impl Into<Piece>) -> Self {
        if let Request::SendFile(send) = &mut self.request {
            send.around.get_or_insert_default().trailer.piece = Some(bytes.into());
        }
        self
    }
}

impl SendFile {
    /// Tries, as all tries.
    pub(super) fn attempt(&mut self, end: impl End, file: Option<BorrowedFd<'_>>) -> Attempt {
        let failed = match self.go_on(end, file) {
            Ok(attempt) => return attempt,
            Err(refusal) => refusal,
        };
        match failed {
            Refusal::AGAIN => Attempt::Blocks(PollMask::OUT),
            refusal if self.sent == 0 => Attempt::failed(refusal),
            // Told by the next one. What has left so far need not wait for more.
            _ => {
                end.push();
                self.done()
            }
        }
    }

    fn done(&self) -> Attempt {
        Attempt::count(u32::try_from(self.sent).unwrap_or(u32::MAX))
    }

    fn go_on(&mut self, end: impl End, file: Option<BorrowedFd<'_>>) -> Result<Attempt, Refusal> {
        let follows = self.left > 0 || !self.rest_of(|it| &it.trailer).is_empty();
        self.send_part(end, |it| &mut it.header, follows)?;
        let mut budget = BUDGET_BYTES;
        while self.left > 0 {
            let file = file.ok_or(Refusal::BADF)?;
            if budget == 0 {
                return Ok(Attempt::Later);
            }
            if self.warm == 0 {
                let bytes = self.left.min(STRETCH_BYTES);
                match place(file, self.offset, bytes) {
                    Place::Memory => self.is_warm(bytes),
                    place => {
                        let is_known = place == Place::Disk;
                        return Ok(Attempt::Cold { offset: self.offset, bytes, is_known });
                    }
                }
            }
            let most = self.left.min(budget).min(self.warm.into());
            match end.send_file(file, &mut self.offset, most as usize) {
                Ok(0) => {
                    // The file is shorter than it was, and what was to go with it would wait for it.
                    end.push();
                    return Ok(self.done());
                }
                Ok(count) => {
                    self.left -= count as u64;
                    self.warm -= count as u32;
                    self.sent += count as u64;
                    budget -= count as u64;
                }
                Err(Refusal::INTR) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        self.send_part(end, |it| &mut it.trailer, false)?;
        Ok(self.done())
    }

    fn send_part(
        &mut self,
        end: impl End,
        part: impl Fn(&mut Around) -> &mut Part,
        more: bool,
    ) -> Result<(), Refusal> {
        let Some(around) = &mut self.around else { return Ok(()) };
        let part = part(around);
        while !part.rest().is_empty() {
            match end.send(part.rest(), more) {
                Ok(count) => {
                    part.sent += count;
                    self.sent += count as u64;
                }
                Err(Refusal::INTR) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(())
    }

    /// So many bytes from here on, in the file.
    pub(crate) const fn stretch(&self, bytes: u64) -> Range<u64> {
        self.offset..self.offset.saturating_add(bytes)
    }

    /// So many bytes from here on are in memory, or will not be.
    pub(crate) const fn is_warm(&mut self, bytes: u64) {
        self.is_warming = false;
        self.warm = bytes as u32;
    }

    fn rest_of(&self, part: impl Fn(&Around) -> &Part) -> &[u8] {
        self.around.as_ref().map_or(&[], |around| part(around).rest())
    }

    /// Whether it was begun and not ended.
    pub(super) fn is_torn(&self) -> bool {
        let is_done = self.left == 0
            && self.rest_of(|it| &it.header).is_empty()
            && self.rest_of(|it| &it.trailer).is_empty();
        self.sent > 0 && !is_done
    }

    /// Bytes of the program's memory.
    pub(crate) fn outgoing_bytes(&self) -> usize {
        let around = self.around.as_ref();
        around.map_or(0, |it| it.header.bytes().len() + it.trailer.bytes().len())
    }

    pub(super) fn into_buffers(self) -> Vec<Buffer> {
        let parts = self.around.map_or([None, None], |it| [it.header.piece, it.trailer.piece]);
        parts.into_iter().flatten().filter_map(Piece::into_buffer).collect()
    }
}

/// Where a range of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Memory,
    Disk,
    /// Nobody says: so it is of overlayfs.
    Unknown,
}

/// Where a range of a file is, as far as it must be read to be sent.
fn place(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> Place {
    let place = asked(file, offset, bytes);
    if place == Place::Memory {
        return place;
    }
    // What lies behind the end is never in memory, and what is no file cannot be read in advance.
    let Ok(stat) = rustix::fs::fstat(file) else { return Place::Memory };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            match size.saturating_sub(offset).min(bytes) {
                0 => Place::Memory,
                there if there < bytes => asked(file, offset, there),
                _ => place,
            }
        }
        FileType::BlockDevice => place,
        _ => Place::Memory,
    }
}

fn asked(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> Place {
    let first = offset / PAGE_BYTES;
    let last = offset.saturating_add(bytes - 1) / PAGE_BYTES;
    if first == last {
        // The cheapest question about one page, and the last word on it.
        match look(file, offset) {
            Place::Unknown => {}
            known => return known,
        }
    }
    let mut cached = cached_pages(file, offset, bytes);
    if cached.is_ok_and(|it| it.pages > 0 && it.pages < it.of) {
        // Now and then it counts a page too few, while others are written back.
        cached = cached_pages(file, offset, bytes);
    }
    match cached {
        // What is being read counts as there; as a rule it comes in order.
        Ok(cached) if cached.pages == cached.of => match look(file, last * PAGE_BYTES) {
            Place::Disk => Place::Disk,
            _ => Place::Memory,
        },
        // A file of overlayfs has another one behind it, which it does not ask.
        Ok(cached) if cached.pages == 0 => match look(file, offset) {
            Place::Memory => looked(file, offset, first, last),
            other => other,
        },
        Ok(_) => Place::Disk,
        Err(_) => looked(file, offset, first, last),
    }
}

/// Looks at some places of a stretch, and at its last page.
fn looked(file: BorrowedFd<'_>, offset: u64, first: u64, last: u64) -> Place {
    let pages = (first..last).step_by((LOOK_BYTES / PAGE_BYTES) as usize).chain([last]);
    let mut places = pages.map(|page| look(file, (page * PAGE_BYTES).max(offset)));
    places.find(|place| *place != Place::Memory).unwrap_or(Place::Memory)
}

/// Where the byte at a place is.
fn look(file: BorrowedFd<'_>, at: u64) -> Place {
    let mut byte = [0];
    let mut room = [IoSliceMut::new(&mut byte)];
    match rustix::io::preadv2(file, &mut room, at, ReadWriteFlags::NOWAIT) {
        Ok(_) => Place::Memory,
        Err(Refusal::AGAIN) => Place::Disk,
        Err(_) => Place::Unknown,
    }
}

/// Lets a range of a file come into memory; blocks. The next range is asked for as well, so that the disk
/// works while this one is sent.
pub(super) fn warm(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> Result<u32, Errno> {
    // What cannot be had in advance is read all the same.
    let both = NonZeroU64::new(bytes.saturating_mul(2));
    let _ = rustix::fs::fadvise(file, offset, both, Advice::WillNeed);
    let mut room = vec![0; READ_BYTES.min(bytes as usize)];
    let (mut at, end) = (offset, offset.saturating_add(bytes));
    while at < end {
        let most = room.len().min((end - at) as usize);
        match rustix::io::pread(file, &mut room[..most], at) {
            Ok(0) => break,
            Ok(count) => at += count as u64,
            Err(Refusal::INTR) => {}
            // Whoever sends it will hear of it.
            Err(refusal) => return Err(Errno(refusal.raw_os_error())),
        }
    }
    Ok(0)
}
