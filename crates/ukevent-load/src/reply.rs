//! Finds the replies in what a connection brings, in whatever pieces it comes.
//!
//! RFC 9112: 2.2 lines, 2.3 versions, 4 status lines, 5 fields, 6.3 what frames a body, 7.1 chunks, 9.3 and
//! 9.6 who stays. RFC 9110: 15.2 interim replies. Read as a client may: a line that ends with LF alone is a
//! line. What the RFCs leave or punish:
//!
//! - No empty line stands before a status line, a version is 1.0 or 1.1, a status has three digits and is at
//!   least 100. Interim replies are passed over; 101 switches to a protocol that nobody asked for.
//! - A Transfer-Encoding counts before a Content-Length. If `chunked` is its last coding, chunks follow,
//!   whatever the others are, for content is not looked at; else the body lasts until the end of the connection.
//! - Beside a Content-Length, in HTTP/1.0, or with `chunked` twice a Transfer-Encoding is faulty: the reply is
//!   read by it, and the connection is used no more (6.1 and 6.3).
//! - A Content-Length that is no number of 64 bits, or several that differ, is garbage (6.3); several that
//!   agree are one.
//! - Heads of one reply, those of interim replies included, have at most 64 KiB, each at most 128 fields.
//!
//! Invariants: what is found does not depend on how the bytes were cut into pieces, except that a
//! head that breaks off in the middle of a line may be known to be garbage only when the line or the connection
//! ends. Content is counted and never kept; only a head that comes in several pieces is copied.
//!
//! A server answers the same with the same head until its date changes, so the last head is remembered: one that
//! has the same bytes means the same, and to compare costs a tenth of what reading does.

mod chunks;
mod head;
mod known;

use crate::Class;
use chunks::Chunks;
use head::{Framing, Head};
use known::Known;

/// The longest heads of one reply, in bytes.
const HEADS_BYTES: usize = 64 * 1024;

/// What was asked for, as far as a reply depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A reply with content.
    Content,
    /// A head alone: the method is HEAD.
    Head,
}

/// A whole reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status, from 200 to 999.
    pub status: u16,
    /// Whether another request may be sent on this connection.
    pub keep_alive: bool,
    /// Bytes of its head, and of interim replies before it.
    pub head_bytes: u64,
    /// Bytes of its body as they came: with the sizes of chunks and with trailers.
    pub body_bytes: u64,
}

/// How far a piece was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// So many of its bytes were used: all, unless a reply ends before.
    pub used: usize,
    /// The reply that is whole with them.
    pub reply: Option<Reply>,
}

/// Reads the replies of one connection. No sockets, no clock: it is fed.
///
/// ```
/// use ukevent_load::{Asked, ReplyReader, Class};
///
/// let mut reader = ReplyReader::new();
/// let piece = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 304 Not";
/// let step = reader.feed(piece, Some(Asked::Content))?;
/// let reply = step.reply.expect("it is whole");
/// assert_eq!((reply.status, reply.body_bytes, reply.keep_alive), (200, 5, true));
///
/// assert!(reader.is_between_replies(), "the next byte is the first of a reply");
/// let rest = &piece[step.used..];
/// assert_eq!(reader.feed(rest, Some(Asked::Content))?.reply, None);
/// assert_eq!(reader.end(), Err(Class::Cut));
/// # Ok::<(), Class>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReplyReader {
    part: Part,
    /// What came of a head that is not whole.
    kept: Vec<u8>,
    /// The reply that is being read, as far as it is known.
    reply: Reply,
    known: Known,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Part {
    Head,
    /// So many bytes of content.
    Content(u64),
    Chunks(Chunks),
    UntilEnd,
    /// Nothing: it failed so.
    Failed(Class),
    /// Nothing: this was the last reply.
    Over,
}

const NO_REPLY: Reply = Reply { status: 0, keep_alive: false, head_bytes: 0, body_bytes: 0 };

impl ReplyReader {
    /// Of a connection that has brought nothing yet. Does not allocate.
    #[must_use]
    pub const fn new() -> Self {
        Self { part: Part::Head, kept: Vec::new(), reply: NO_REPLY, known: Known::new() }
    }

    /// Begins anew with another connection, best one to the same server: memory and the last head are kept.
    pub fn reset(&mut self) {
        self.part = Part::Head;
        self.kept.clear();
        self.reply = NO_REPLY;
    }

    /// Whether no byte of the next reply has come: if more are fed now, the first of them is its first.
    #[must_use]
    #[inline]
    pub fn is_between_replies(&self) -> bool {
        matches!(self.part, Part::Head | Part::Over)
            && self.reply.head_bytes == 0
            && self.kept.is_empty()
    }

    /// Takes the next piece, up to the end of a reply. `asked` is that of the oldest request without a reply, and
    /// `None` if there is none: whoever pipelines feeds what was not used again, with the next request's.
    /// Allocates only if a head is in several pieces or was not seen before.
    ///
    /// # Errors
    /// [`Class::Garbage`]: it is no reply, more than was asked for, or comes after a reply that was the connection's
    /// last. After an error all that follows fails alike: close the connection.
    #[inline]
    pub fn feed(&mut self, bytes: &[u8], asked: Option<Asked>) -> Result<Step, Class> {
        let step = self.read(bytes, asked);
        if let Err(class) = step {
            self.part = Part::Failed(class);
        }
        step
    }

    /// The end of the connection while a reply was due: it may be what the reply ends with.
    ///
    /// # Errors
    /// [`Class::Closed`] if no byte of the reply came, [`Class::Cut`] in its middle, [`Class::Garbage`] if what came
    /// of it is none.
    pub fn end(&mut self) -> Result<Reply, Class> {
        let result = match self.part {
            Part::Failed(class) => Err(class),
            Part::UntilEnd => Ok(self.reply),
            _ if self.is_between_replies() => Err(Class::Closed),
            Part::Head if !self.kept.is_empty() => {
                Err(Head::read(&self.kept).err().unwrap_or(Class::Cut))
            }
            _ => Err(Class::Cut),
        };
        self.part = Part::Failed(result.err().unwrap_or(Class::Closed));
        result
    }

    #[inline]
    fn read(&mut self, bytes: &[u8], asked: Option<Asked>) -> Result<Step, Class> {
        let mut used = 0;
        while used < bytes.len() {
            let piece = &bytes[used..];
            let body = match self.part {
                Part::Failed(class) => return Err(class),
                Part::Over => return Err(Class::Garbage),
                Part::Head => {
                    let Some(asked) = asked else { return Err(Class::Garbage) };
                    let Some((head, taken)) = self.head(piece)? else { break };
                    used += taken;
                    self.reply.head_bytes += u64::from(head.bytes);
                    if head.is_interim() {
                        continue;
                    }
                    self.begin(head, asked);
                    &bytes[used..]
                }
                _ => piece,
            };
            let (taken, is_whole) = self.body(body)?;
            used += taken;
            if is_whole {
                return Ok(Step { used, reply: Some(self.finish()) });
            }
        }
        Ok(Step { used: bytes.len(), reply: None })
    }

    /// Reads a head that begins with, or ends in, this piece: the head, and how much of the piece it took.
    #[inline]
    fn head(&mut self, piece: &[u8]) -> Result<Option<(Head, usize)>, Class> {
        if self.kept.is_empty() {
            if self.reply.head_bytes == 0
                && let Some(head) = self.known.find(piece)
            {
                return Ok(Some((head, head.bytes as usize)));
            }
            return self.new_head(piece);
        }
        self.later_piece(piece)
    }

    /// A head that begins with this piece.
    fn new_head(&mut self, piece: &[u8]) -> Result<Option<(Head, usize)>, Class> {
        let room = HEADS_BYTES.saturating_sub(self.reply.head_bytes as usize);
        let window = &piece[..piece.len().min(room)];
        if let Some(head) = Head::read(window)? {
            self.known.remember(window, head);
            return Ok(Some((head, head.bytes as usize)));
        }
        if window.len() == room {
            return Err(Class::Garbage);
        }
        self.kept.extend_from_slice(window);
        Ok(None)
    }

    /// A head of which something came before. It is read again only with a line that ended, so one that
    /// trickles costs no more than its lines.
    #[cold]
    fn later_piece(&mut self, piece: &[u8]) -> Result<Option<(Head, usize)>, Class> {
        let before = self.kept.len();
        let room = HEADS_BYTES.saturating_sub(self.reply.head_bytes as usize + before);
        let taken = head::until_empty_line(&self.kept, piece).min(room);
        let more = &piece[..taken];
        self.kept.extend_from_slice(more);
        let is_full = taken == room;
        // The beginning of a status line is looked at always: who speaks first and waits, speaks no HTTP.
        if before < head::STATUS_LINE_BYTES || is_full || more.contains(&b'\n') {
            if let Some(head) = Head::read(&self.kept)? {
                self.kept.clear();
                return Ok(Some((head, head.bytes as usize - before)));
            }
            if is_full {
                return Err(Class::Garbage);
            }
        }
        Ok(None)
    }

    /// What follows this head.
    #[inline]
    fn begin(&mut self, head: Head, asked: Asked) {
        self.reply.status = head.status;
        self.reply.keep_alive = head.keep_alive;
        self.part = match head.framing {
            _ if asked == Asked::Head || matches!(head.status, 204 | 304) => Part::Content(0),
            Framing::Length(bytes) => Part::Content(bytes),
            Framing::Chunked => Part::Chunks(Chunks::new()),
            Framing::UntilEnd => {
                self.reply.keep_alive = false;
                Part::UntilEnd
            }
        };
    }

    /// Takes what is body: how much of the piece, and whether all of it came.
    #[inline]
    fn body(&mut self, piece: &[u8]) -> Result<(usize, bool), Class> {
        let (taken, is_whole) = match &mut self.part {
            Part::Content(left) => {
                let taken = (*left).min(piece.len() as u64);
                *left -= taken;
                (taken as usize, *left == 0)
            }
            Part::Chunks(chunks) => chunks.take(piece)?,
            _ => (piece.len(), false),
        };
        self.reply.body_bytes += taken as u64;
        Ok((taken, is_whole))
    }

    #[inline]
    fn finish(&mut self) -> Reply {
        self.part = if self.reply.keep_alive { Part::Head } else { Part::Over };
        std::mem::replace(&mut self.reply, NO_REPLY)
    }
}

impl Default for ReplyReader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
