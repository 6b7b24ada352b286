//! The access log: what connections note, and what is written of it.
//!
//! A connection notes each request with its answer, and says so when the answer has left; the line is made
//! then, so it tells how long that took. Lines are gathered in memory, up to a bound, and written by one task;
//! nobody waits for the disk. What could not be written waits with the others. What does not fit is counted
//! and dropped, and that is said on standard error.
//!
//! Of several threads each gathers its lines, and gives them to the first, which alone writes: so no line is ever
//! mixed with another one, whatever part of them a write takes. They are in order as far as they are of one
//! thread; beside those of the others they may be some gatherings late.

use crate::{
    bell::Bell,
    log::{Entry, Format, Lines},
    race::unless,
    shared::nanoseconds,
};
use rustix::io::Errno;
use std::{
    cell::{Cell, RefCell},
    fmt,
    io::{self, Write},
    mem::take,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use ukevent_queue::Open;
use ukevent_task::{
    JoinHandle, blocking,
    channel::{SharedReceiver, SharedSender},
    fs::File,
    time::{now, sleep, timeout, wall},
};

/// Bytes of lines that wait to be written, at most; and as many again, divided among the threads that give theirs
/// to the first.
const MOST_WAITING: usize = 4 << 20;

/// So much of that has each of them at least: the lines of a gathering.
const LEAST_WAITING: usize = 64 << 10;

/// How long lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(50);

/// How long it is not tried again after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the end of the server waits for the last lines to be taken.
const END: Duration = Duration::from_secs(2);

/// Where the access log goes, and how its lines look.
///
/// A request is logged when its answer has left; one whose connection broke before is not.
///
/// ```
/// use ukevent_http::{AccessLog, LogTo, log::Format};
///
/// let log = AccessLog { to: LogTo::File("/var/log/site.log".into()), format: Format::Combined };
/// assert_eq!(log.to.to_string(), "/var/log/site.log");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it goes.
    pub to: LogTo,
    /// How a line looks.
    pub format: Format,
}

/// Where an access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogTo {
    /// To standard output.
    Stdout,
    /// Behind what is in this file, which is made if it is not there (mode 0640).
    File(PathBuf),
}

impl fmt::Display for LogTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Where the lines of a thread go.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Where they stay: this is the first thread.
    To(LogTo),
    /// To the first thread.
    First(SharedSender<Gathered>),
}

/// Lines that one thread gives to another.
#[derive(Debug)]
pub(crate) struct Gathered {
    lines: Vec<u8>,
    /// So many were dropped before.
    lost: u64,
}

/// The lines of a thread.
#[derive(Debug)]
pub(crate) struct Log {
    lines: RefCell<Lines>,
    waiting: RefCell<Vec<u8>>,
    most_waiting: usize,
    lost: Cell<u64>,
    /// It was said that nothing can be written, and nothing was since.
    is_broken: Cell<bool>,
    any: Bell,
    /// There will be no more lines; rung when that is so.
    ends: Cell<bool>,
    ending: Bell,
}

impl Log {
    /// With the share that one of so many threads has of the memory for lines.
    pub(crate) fn new(format: Format, threads: usize) -> Self {
        Self {
            most_waiting: (MOST_WAITING / threads).max(LEAST_WAITING),
            lines: RefCell::new(Lines::local(format)),
            waiting: RefCell::default(),
            lost: Cell::new(0),
            is_broken: Cell::new(false),
            any: Bell::default(),
            ends: Cell::new(false),
            ending: Bell::default(),
        }
    }

    fn append(&self, entry: &Entry<'_>) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.most_waiting {
            self.lost.set(self.lost.get() + 1);
            return;
        }
        let was_empty = waiting.is_empty();
        self.lines.borrow_mut().append(entry, &mut waiting);
        drop(waiting);
        if was_empty {
            self.any.ring();
        }
    }

    /// Lets the lines of a thread go where they go, until [`Log::end`]. What goes wrong is said on standard error,
    /// once until it is well again.
    pub(crate) async fn keep(&self, sink: &Sink) {
        match sink {
            Sink::To(to) => self.write(to).await,
            Sink::First(first) => {
                while self.gather().await {
                    self.give(first).await;
                }
                self.give(first).await;
            }
        }
    }

    async fn write(&self, to: &LogTo) {
        let mut target = None;
        if let LogTo::File(path) = to {
            // One that cannot be had is said at the start.
            match open(path).await {
                Ok(file) => target = Some(file),
                Err(error) => self.tell_broken(to, &error),
            }
        }
        while self.gather().await {
            self.write_some(to, &mut target).await;
        }
        self.write_some(to, &mut target).await;
    }

    /// Waits until there are lines, and for those that come close behind; or until it is the end, which is false.
    async fn gather(&self) -> bool {
        let any = self.any.rung();
        if self.waiting.borrow().is_empty() && !self.ends.get() {
            any.await;
        }
        if !self.ends.get() {
            let pause = if self.is_broken.get() { PAUSE } else { GATHER };
            unless(sleep(pause), self.ending.rung()).await;
        }
        !self.ends.get()
    }

    /// Lets what waits go, at the end; for as long as whoever takes it may let that wait. The task is the one that
    /// keeps the log: what it is writing is not to be broken off.
    pub(crate) async fn end(&self, sink: &Sink, keeping: &mut JoinHandle<()>) {
        self.ends.set(true);
        self.any.ring();
        self.ending.ring();
        if timeout(END, keeping).await.is_err()
            && let Sink::To(to) = sink
        {
            tell(format_args!("{to}: the last requests are not logged: nothing takes them"));
        }
    }

    /// Gives what waits to the first thread. While that has no room, lines gather here, up to the bound.
    async fn give(&self, to: &SharedSender<Gathered>) {
        let gathered = Gathered { lines: self.waiting.take(), lost: self.lost.take() };
        if !gathered.lines.is_empty() || gathered.lost > 0 {
            // Without the first thread the server ends.
            let _ = to.send(gathered).await;
        }
    }

    /// Takes what the other threads give, until the last of them has ended.
    pub(crate) async fn take_from(&self, others: &SharedReceiver<Gathered>) {
        while let Some(gathered) = others.receive().await {
            self.take(&gathered);
        }
    }

    fn take(&self, Gathered { lines, lost }: &Gathered) {
        let mut waiting = self.waiting.borrow_mut();
        let mut lost = *lost;
        if waiting.len() >= self.most_waiting {
            lost += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        } else {
            waiting.extend_from_slice(lines);
        }
        drop(waiting);
        self.lost.set(self.lost.get() + lost);
        self.any.ring();
    }

    /// Writes what waits, and says what is wrong.
    async fn write_some(&self, to: &LogTo, target: &mut Option<File>) {
        match self.write_once(to, target).await {
            Ok(()) => self.is_broken.set(false),
            Err(error) => self.tell_broken(to, &error),
        }
    }

    fn tell_broken(&self, to: &LogTo, error: &io::Error) {
        if !self.is_broken.replace(true) {
            tell(format_args!("{to}: requests are not logged: {error}"));
        }
    }

    async fn write_once(&self, to: &LogTo, target: &mut Option<File>) -> io::Result<()> {
        let lines = self.waiting.take();
        if lines.is_empty() {
            return Ok(());
        }
        match to {
            LogTo::Stdout => {
                let written = blocking(move || (write_out(&lines), lines));
                let ((count, written), lines) = written.await.map_err(io::Error::from)?;
                self.put_back(&lines[count..]);
                written?;
            }
            LogTo::File(path) => {
                let file = match target {
                    Some(file) => file,
                    None => {
                        let opened = open(path).await;
                        target.insert(opened.inspect_err(|_| self.put_back(&lines))?)
                    }
                };
                let (written, lines) = file.append(lines).await;
                // Fewer than all, if the device is full: what is wrong the next try says.
                self.put_back(&lines[written.as_ref().map_or(0, |count| *count)..]);
                if written.is_err() {
                    *target = None;
                }
                written?;
            }
        }
        let lost = self.lost.take();
        if lost > 0 {
            let why = "they came faster than it is written";
            tell(format_args!("{to}: {lost} requests were not logged: {why}"));
        }
        Ok(())
    }

    /// What was not written is before what came since, or in its place if there is no room for both.
    fn put_back(&self, lines: &[u8]) {
        let mut waiting = self.waiting.borrow_mut();
        if lines.len() + waiting.len() > MOST_WAITING && !lines.is_empty() {
            let dropped = waiting.iter().filter(|byte| **byte == b'\n').count();
            self.lost.set(self.lost.get() + dropped as u64);
            waiting.clear();
        }
        waiting.splice(..0, lines.iter().copied());
    }
}

/// Writes to standard output; how much, and what was wrong with the rest. Blocks.
fn write_out(lines: &[u8]) -> (usize, io::Result<()>) {
    // Past its buffer, in which nobody knows how much of what failed has left.
    let out = io::stdout().lock();
    let mut count = 0;
    while count < lines.len() {
        match rustix::io::write(&out, &lines[count..]) {
            Ok(0) => return (count, Err(io::ErrorKind::WriteZero.into())),
            Ok(bytes) => count += bytes,
            Err(Errno::INTR) => {}
            Err(errno) => return (count, Err(errno.into())),
        }
    }
    (count, Ok(()))
}

/// Says this on standard error. When nobody can hear it, that does not end the log.
fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "ukevent-http: {line}");
}

async fn open(path: &Path) -> io::Result<File> {
    File::open(path, Open::write().create(0o640).append()).await
}

/// What a connection has noted.
#[derive(Debug)]
pub(crate) struct Journal {
    peer: IpAddr,
    noted: Vec<Noted>,
    /// Their heads, one behind the other.
    heads: Vec<u8>,
}

#[derive(Debug)]
struct Noted {
    head_bytes: usize,
    status: u16,
    content_bytes: u64,
    received: Duration,
}

impl Journal {
    pub(crate) fn new(peer: IpAddr) -> Self {
        Self { peer, noted: Vec::new(), heads: Vec::new() }
    }

    /// Who is at the other end.
    pub(crate) const fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Bytes of memory that it holds beside its own.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.heads.capacity() + self.noted.capacity() * size_of::<Noted>()
    }

    /// A request that was received then was answered with this, and behind it so many bytes.
    pub(crate) fn note(&mut self, received: Duration, head: &[u8], answer: &[u8], behind: u64) {
        let status = answer.get(9..12).and_then(|code| std::str::from_utf8(code).ok());
        let end = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
        self.heads.extend_from_slice(head);
        self.noted.push(Noted {
            head_bytes: head.len(),
            status: status.and_then(|code| code.parse().ok()).unwrap_or(0),
            content_bytes: (answer.len() - end) as u64 + behind,
            received,
        });
    }

    /// All that was noted has left.
    pub(crate) fn left(&mut self, log: &Log) {
        let (now, unix_ns) = (now(), nanoseconds(wall()));
        // At rest a connection holds no memory for this: a head may be large, and most connections rest.
        let (all_heads, all_noted) = (take(&mut self.heads), take(&mut self.noted));
        let mut heads = &all_heads[..];
        for noted in all_noted {
            let (head, rest) = heads.split_at(noted.head_bytes);
            heads = rest;
            let took = now.saturating_sub(noted.received);
            log.append(&Entry {
                peer: self.peer,
                unix_ns,
                request: head.split(|&byte| byte == b'\r' || byte == b'\n').next().unwrap_or(b""),
                status: noted.status,
                content_bytes: noted.content_bytes,
                took_ns: nanoseconds(took),
                referer: field(head, b"referer"),
                user_agent: field(head, b"user-agent"),
            });
        }
    }
}

/// The value of a field in a head, if it is there.
fn field<'h>(head: &'h [u8], name: &[u8]) -> Option<&'h [u8]> {
    head.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
        let (start, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came while something was being written that failed gives way, if there is no room for both.
    #[test]
    fn what_was_not_written_waits_up_to_a_bound() {
        let log = Log::new(Format::Common, 1);
        log.waiting.borrow_mut().extend_from_slice(b"3\n");
        log.put_back(b"1\n2\n");
        log.put_back(b"");
        assert_eq!((&log.waiting.borrow()[..], log.lost.get()), (&b"1\n2\n3\n"[..], 0));
        let all = b"0\n".repeat(MOST_WAITING / 2);
        log.put_back(&all);
        assert_eq!((log.waiting.borrow().len(), log.lost.get()), (MOST_WAITING, 3));
        log.put_back(b"");
        assert_eq!((log.waiting.borrow().len(), log.lost.get()), (MOST_WAITING, 3));
    }

    /// What another thread gives is behind what is there; beyond the bound it is counted, with what that thread
    /// lost itself.
    #[test]
    fn what_is_given_waits_up_to_a_bound() {
        let gathered = |lines: &[u8], lost| Gathered { lines: lines.to_vec(), lost };
        let log = Log::new(Format::Common, 1);
        log.take(&gathered(b"1\n2\n", 0));
        log.take(&gathered(b"3\n", 5));
        assert_eq!((&log.waiting.borrow()[..], log.lost.get()), (&b"1\n2\n3\n"[..], 5));
        log.take(&gathered(&vec![b'x'; MOST_WAITING], 0));
        log.take(&gathered(b"4\n5\n", 1));
        assert_eq!((log.waiting.borrow().len(), log.lost.get()), (MOST_WAITING + 6, 8));
        for (threads, expected) in [(1, 4 << 20), (4, 1 << 20), (1024, 64 << 10)] {
            assert_eq!(Log::new(Format::Common, threads).most_waiting, expected);
        }
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let head = b"GET / HTTP/1.1\r\nX-Referer: a\r\nREFERER:  b \r\nUser-Agent:\r\n\r\n";
        assert_eq!(field(head, b"referer"), Some(&b"b"[..]));
        assert_eq!(field(head, b"user-agent"), Some(&b""[..]));
        assert_eq!(field(head, b"host"), None);
        assert_eq!(field(b"", b"host"), None);
    }
}
