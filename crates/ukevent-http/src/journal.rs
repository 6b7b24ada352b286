//! The access log: what connections note, and what is written of it.
//!
//! A connection notes each request with its answer, and says so when the answer has left; the line is made
//! then, so it tells how long that took. Lines are gathered in memory, up to a bound, and written by one task;
//! nobody waits for the disk. What does not fit is counted and dropped, and that is said in the log.

use crate::{
    bell::Bell,
    log::{Entry, Format, Lines},
    shared::nanoseconds,
};
use std::{
    cell::{Cell, RefCell},
    io::{self, Write},
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};
use ukevent_queue::Open;
use ukevent_task::{
    blocking,
    fs::File,
    time::{now, sleep, wall},
};

/// Bytes of lines that wait to be written, at most.
const MOST_WAITING: usize = 4 << 20;

/// How long lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(50);

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

impl std::fmt::Display for LogTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The lines of a server.
#[derive(Debug)]
pub(crate) struct Log {
    lines: RefCell<Lines>,
    waiting: RefCell<Vec<u8>>,
    lost: Cell<u64>,
    any: Bell,
}

impl Log {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            lines: RefCell::new(Lines::local(format)),
            waiting: RefCell::default(),
            lost: Cell::new(0),
            any: Bell::default(),
        }
    }

    fn append(&self, entry: &Entry<'_>) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= MOST_WAITING {
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

    /// Writes what comes, for ever. What goes wrong is said on standard error, once until it is well again.
    pub(crate) async fn write(&self, to: &LogTo) {
        let mut target = None;
        let mut is_broken = false;
        loop {
            let any = self.any.rung();
            if self.waiting.borrow().is_empty() {
                any.await;
            }
            sleep(GATHER).await;
            match self.write_once(to, &mut target).await {
                Ok(()) => is_broken = false,
                Err(error) if !std::mem::replace(&mut is_broken, true) => {
                    eprintln!("{to}: requests are not logged: {error}");
                }
                Err(_) => {}
            }
        }
    }

    /// Writes what waits, at the end.
    pub(crate) async fn write_rest(&self, to: &LogTo) {
        // Whoever wrote before has said what is wrong.
        let _ = self.write_once(to, &mut None).await;
    }

    async fn write_once(&self, to: &LogTo, target: &mut Option<File>) -> io::Result<()> {
        let lines = self.waiting.take();
        if lines.is_empty() {
            return Ok(());
        }
        match to {
            LogTo::Stdout => {
                let written = blocking(move || {
                    let mut out = io::stdout().lock();
                    out.write_all(&lines).and_then(|()| out.flush())
                });
                written.await.map_err(io::Error::from)??;
            }
            LogTo::File(path) => {
                let file = match target {
                    Some(file) => file,
                    None => {
                        let how = Open::write().create(0o640).append();
                        target.insert(File::open(path, how).await?)
                    }
                };
                let (written, _) = file.append(lines).await;
                if written.is_err() {
                    *target = None;
                }
                written?;
            }
        }
        let lost = self.lost.take();
        if lost > 0 {
            eprintln!("{to}: {lost} requests were not logged: they came faster than it is written");
        }
        Ok(())
    }
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
        let mut heads = &self.heads[..];
        for noted in self.noted.drain(..) {
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
        self.heads.clear();
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

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let head = b"GET / HTTP/1.1\r\nX-Referer: a\r\nREFERER:  b \r\nUser-Agent:\r\n\r\n";
        assert_eq!(field(head, b"referer"), Some(&b"b"[..]));
        assert_eq!(field(head, b"user-agent"), Some(&b""[..]));
        assert_eq!(field(head, b"host"), None);
        assert_eq!(field(b"", b"host"), None);
    }
}
