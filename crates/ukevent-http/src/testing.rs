//! What the tests of several modules share: a directory to serve, a wire, and a client's eyes.

use crate::{
    connection::{Connection, Turn, Wants, Wire},
    counters::Counters,
    date::Date,
    entity::{Content, FilePart},
    limits::Limits,
    out::Out,
};
use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;
use ukevent_buf::Buffer;

/// When every file of a [`Site`] was changed last: 6 November 1994, 08:49:37.
pub(crate) const MODIFIED_S: u64 = 784_111_777;

/// The content of `large.bin`.
pub(crate) fn large() -> Vec<u8> {
    (0..100_000u32).map(|at| (at % 251) as u8).collect()
}

/// A directory full of what a server meets, and a secret beside it.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap() };
        for dir in ["dir", "dir/.git", "bare", "odd/index.html", ".well-known", "sp ace"] {
            fs::create_dir_all(site.root().join(dir)).unwrap();
        }
        for (name, content) in [
            ("index.html", &b"<h1>home</h1>"[..]),
            ("hello.txt", b"0123456789"),
            ("empty.txt", b""),
            ("large.bin", &large()),
            ("dir/index.html", b"<h1>dir</h1>"),
            ("dir/page.txt", b"page"),
            ("dir/.git/config", b"secret"),
            ("bare/file.txt", b"file"),
            (".secret", b"secret"),
            (".well-known/acme", b"token"),
            ("a b.txt", b"space"),
            ("100%.txt", b"percent"),
            ("größe.txt", b"size"),
            ("sp ace/x", b"x"),
            ("../secret.txt", b"secret"),
        ] {
            let path = site.root().join(name);
            fs::write(&path, content).unwrap();
            let file = fs::File::options().append(true).open(&path).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(MODIFIED_S)).unwrap();
        }
        for (link, to) in [
            ("link.txt", "hello.txt"),
            ("dir/up.txt", "../hello.txt"),
            ("out.txt", "../secret.txt"),
            ("out", ".."),
            ("loop", "loop"),
            ("absolute", "/etc/passwd"),
            ("dead", "nowhere"),
        ] {
            symlink(to, site.root().join(link)).unwrap();
        }
        let fifo = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, site.root().join("fifo"), fifo, mode, 0).unwrap();
        site
    }

    pub(crate) fn root(&self) -> PathBuf {
        let root = self.dir.path().join("root");
        fs::create_dir_all(&root).unwrap();
        root
    }
}

/// A time at which everything that exists is settled: a thousand seconds from now.
pub(crate) fn soon_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 1000
}

/// A wire that takes what it is told to take: numbers of bytes, 0 for "blocked"; then everything.
#[derive(Default)]
pub(crate) struct Pipe {
    pub(crate) sent: Vec<u8>,
    pub(crate) ended: bool,
    pub(crate) broken: bool,
    pub(crate) takes: VecDeque<usize>,
    pub(crate) outstanding: u32,
    /// The most memory that was handed over at a time.
    pub(crate) most_handed: usize,
    /// What was handed over and has not left, and how much of it has.
    leaving: Option<(Buffer, Option<(FilePart, u64)>)>,
    left: u64,
}

impl Pipe {
    /// Lets leave what can. Says how much left of all that was handed over, once that is settled.
    fn run(&mut self) -> Option<u64> {
        while let Some((bytes, file)) = &mut self.leaving {
            let next = match file {
                _ if !bytes.is_empty() => bytes.to_vec(),
                Some((part, left @ 1..)) => {
                    let mut next = vec![0; *left as usize];
                    let read = rustix::io::pread(part.file().unwrap(), &mut next[..], part.offset);
                    next.truncate(read.unwrap());
                    next
                }
                _ => Vec::new(),
            };
            if next.is_empty() || self.broken {
                self.leaving = None;
                return Some(std::mem::take(&mut self.left));
            }
            let taken = self.takes.pop_front().unwrap_or(usize::MAX).min(next.len());
            if taken == 0 {
                return None;
            }
            self.sent.extend_from_slice(&next[..taken]);
            self.left += taken as u64;
            match file {
                _ if !bytes.is_empty() => bytes.consume(taken),
                Some((part, left)) => {
                    part.offset += taken as u64;
                    *left -= taken as u64;
                }
                None => {}
            }
        }
        None
    }
}

impl Wire for Pipe {
    fn send(&mut self, bytes: Buffer, file: Option<(&FilePart, u64)>) {
        assert!(!self.ended, "sent after the end");
        assert!(!bytes.is_empty() || file.is_some(), "nothing is sent");
        self.most_handed = self.most_handed.max(bytes.capacity());
        let leaving = (bytes, file.map(|(part, bytes)| (part.clone(), bytes)));
        assert!(self.leaving.replace(leaving).is_none(), "the one before has not left");
    }

    fn end(&mut self) {
        assert!(!self.ended, "ended twice");
        self.ended = true;
    }

    fn outstanding(&mut self) -> Option<u32> {
        Some(self.outstanding)
    }
}

/// A server of one connection, on a clock that is moved by hand.
pub(crate) struct Bench<C> {
    pub(crate) content: C,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) now_ns: u64,
    pub(crate) ending: bool,
    pub(crate) budget_bytes: u64,
    pub(crate) wire: Pipe,
    date: Date,
    epoch: u64,
    out: Out,
}

impl<C: Content> Bench<C> {
    pub(crate) fn new(content: C) -> Self {
        Self {
            content,
            limits: Limits::default(),
            counters: Counters::default(),
            now_ns: 0,
            ending: false,
            budget_bytes: u64::MAX,
            wire: Pipe::default(),
            date: Date::at(soon_s()),
            epoch: 0,
            out: Out::default(),
        }
    }

    /// Lends a turn, and the wire.
    pub(crate) fn turn<R>(&mut self, of: impl FnOnce(&mut Pipe, &mut Turn<'_, C>) -> R) -> R {
        self.epoch += 1;
        let mut path = Vec::new();
        let mut turn = Turn {
            content: &mut self.content,
            limits: &self.limits,
            counters: &mut self.counters,
            date: &self.date,
            now_ns: self.now_ns,
            epoch: self.epoch,
            sure: false,
            ending: self.ending,
            budget_bytes: self.budget_bytes,
            out: &mut self.out,
            path: &mut path,
        };
        let result = of(&mut self.wire, &mut turn);
        assert!(self.out.is_empty(), "the gathered answers were left behind");
        result
    }

    pub(crate) fn connect(&mut self) -> Connection {
        self.turn(|_, turn| Connection::new(turn))
    }

    /// Hands in bytes.
    pub(crate) fn hand_in(&mut self, connection: &mut Connection, bytes: &[u8]) {
        self.turn(|wire, turn| connection.receive(bytes, wire, turn));
    }

    /// Lets leave what the wire takes, once. Says whether all of what was handed over is settled.
    pub(crate) fn proceed_once(&mut self, connection: &mut Connection) -> bool {
        let settled = self.wire.run();
        if let Some(bytes) = settled {
            self.turn(|wire, turn| connection.sent(bytes, wire, turn));
        }
        settled.is_some()
    }

    /// Lets leave what the wire takes.
    pub(crate) fn proceed(&mut self, connection: &mut Connection) {
        while connection.wants() == Wants::Output && self.proceed_once(connection) {}
    }

    /// Hands in bytes, and lets everything leave.
    pub(crate) fn receive(&mut self, connection: &mut Connection, bytes: &[u8]) {
        self.hand_in(connection, bytes);
        while connection.wants() == Wants::Output {
            self.proceed_once(connection);
        }
    }

    /// What a fresh connection answers to these bytes.
    pub(crate) fn answers(&mut self, bytes: &[u8]) -> Vec<Answer> {
        let mut connection = self.connect();
        self.receive(&mut connection, bytes);
        self.taken(bytes.starts_with(b"HEAD"))
    }

    /// What the wire carried since it was asked last.
    pub(crate) fn taken(&mut self, is_head: bool) -> Vec<Answer> {
        self.wire.ended = false;
        let sent = std::mem::take(&mut self.wire.sent);
        Answer::all(&sent, |_| is_head)
    }
}

/// An answer, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) content: Vec<u8>,
}

impl Answer {
    /// Reads all answers in `bytes`; `is_head` says which of them answer a HEAD.
    pub(crate) fn all(mut bytes: &[u8], is_head: impl Fn(usize) -> bool) -> Vec<Self> {
        let mut answers = Vec::new();
        while !bytes.is_empty() {
            let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a whole head");
            let head = std::str::from_utf8(&bytes[..end]).unwrap();
            let mut lines = head.split("\r\n");
            let status =
                lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
            let fields: Vec<(String, String)> = lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            bytes = &bytes[end + 4..];
            let mut answer = Self { status, fields, content: Vec::new() };
            if !is_head(answers.len()) && !matches!(status, 100 | 204 | 304) {
                let len = answer.field("Content-Length").expect("a length").parse().unwrap();
                answer.content = bytes[..len].to_vec();
                bytes = &bytes[len..];
            }
            answers.push(answer);
        }
        answers
    }

    /// The value of a field that may stand only once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(other, _)| other == name);
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        Some(&value.1)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }
}
