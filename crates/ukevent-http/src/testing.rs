//! What the tests of several modules share: a directory to serve, and a client's eyes.

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

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
