//! Raw requests and what must come back, by the sections of RFC 9110 and RFC 9112.
//!
//! The rows are data (`rfc9110`, `rfc9112`). Each is asked whole and, cut into two, at every byte; the
//! answers must be the same. Then the same rows are asked of nginx, and where it answers otherwise
//! `nginx.md` says why (`nginx`). What passes through a proxy in front is in `smuggling`.

mod nginx;
mod rfc9110;
mod rfc9112;
mod smuggling;
mod talk;

use crate::client::{Running, backends};
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};
use talk::{Outcome, talk};
use ukevent_http::{Counters, Limits, Server};
use ukevent_queue::BackendKind;

/// A name, the request, the answers to it, and what becomes of the connection.
///
/// In a request `|` is the end of a line, `ETAG`, `DATE`, `OLDER` and `LATER` are validators of
/// `/hello.txt`, U+F780 to U+F7FF are the bytes 80 to FF, `LONG`, `LARGE` and `MANY` are a path, a field and
/// fields beyond what is usual. An answer is its status, then what else must hold, parted by ` | `: a
/// field and its value (`*` at its end is anything), `+` and a field that must be there, `!` and one that
/// must not, `=` and the content, `HEAD` if it answers one.
type Row = (&'static str, &'static str, &'static [&'static str], Fate);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Another request is answered on it.
    Stays,
    /// The server ends it, so gently that nothing is lost.
    Closes,
    /// It stays if the body came with the head. If it did not, its client may wait to be told to send it,
    /// and only an end is clear (RFC 9110, 10.1.1).
    StaysWithBody,
    /// The client asked for its end. What it sends all the same may be answered by a reset (RFC 9112, 9.6).
    Ends,
}

/// All rows, by the beginning of their names.
const GROUPS: &[(&str, &[Row])] = &[
    ("methods", rfc9110::METHODS),
    ("targets", rfc9110::TARGETS),
    ("content", rfc9110::CONTENT),
    ("conditions", rfc9110::CONDITIONS),
    ("ranges", rfc9110::RANGES),
    ("expect", rfc9110::EXPECT),
    ("negotiation", rfc9110::NEGOTIATION),
    ("request-line", rfc9112::REQUEST_LINE),
    ("host", rfc9112::HOST),
    ("fields", rfc9112::FIELDS),
    ("framing", rfc9112::FRAMING),
    ("chunks", rfc9112::CHUNKS),
    ("connections", rfc9112::CONNECTIONS),
];

/// When every file was changed last, and the second before and after.
const MODIFIED_S: u64 = 784_111_777;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const OLDER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// A request is cut at every byte, but a very long one only at so many places.
const MOST_CUTS: usize = 160;

/// Starts a server of a directory, which shows what it counts. The one place that knows how that is done.
fn start(kind: BackendKind, root: &Path) -> (Running, Arc<Mutex<Counters>>) {
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let builder = Server::builder().root(root).listen(address).limits(Limits::default());
    Running::observed(kind, builder)
}

/// A directory with what the rows ask for, and a secret beside it.
struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        for directory in ["dir/.git", "bare", ".well-known", "sp ace"] {
            fs::create_dir_all(site.root().join(directory)).unwrap();
        }
        let digits = "0123456789".repeat(10_000);
        for (name, content) in [
            ("index.html", "<h1>home</h1>"),
            ("hello.txt", &digits[..10]),
            ("medium.txt", &digits[..10_000]),
            ("large.bin", &digits),
            ("empty.txt", ""),
            ("probe.txt", talk::PROBE),
            ("dir/index.html", "<h1>dir</h1>"),
            ("dir/page.txt", "page"),
            ("dir/.git/config", "secret"),
            ("bare/file.txt", "file"),
            (".secret", "secret"),
            (".well-known/acme", "token"),
            ("a b.txt", "space"),
            ("100%.txt", "percent"),
            ("größe.txt", "size"),
            ("../secret.txt", "secret"),
        ] {
            let path = site.root().join(name);
            fs::write(&path, content).unwrap();
            let file = fs::File::options().append(true).open(&path).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(MODIFIED_S)).unwrap();
        }
        symlink("hello.txt", site.root().join("link.txt")).unwrap();
        symlink("../secret.txt", site.root().join("out.txt")).unwrap();
        site
    }

    fn root(&self) -> PathBuf {
        let root = self.0.path().join("root");
        fs::create_dir_all(&root).unwrap();
        root
    }
}

/// The entity tag of `/hello.txt` once it is strong: the file was just made.
fn strong_tag(address: SocketAddr) -> String {
    let request = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut tag = String::new();
    testkit::wait_until("the entity tag is strong", || {
        let outcome = &talk(address, &[vec![&request[..]]], &[])[0];
        tag = outcome.answers[0].field("ETag").unwrap().to_owned();
        !tag.starts_with("W/")
    });
    tag
}

/// The bytes of a request.
fn bytes(request: &str, tag: &str) -> Vec<u8> {
    let many = vec!["A: b"; 99].join("|");
    let request = request
        .replace("ETAG", tag)
        .replace("DATE", DATE)
        .replace("OLDER", OLDER)
        .replace("LATER", LATER)
        .replace("LONG", &"x".repeat(9000))
        .replace("LARGE", &format!("A: {}", "x".repeat(17_000)))
        .replace("MANY", &many)
        .replace('|', "\r\n");
    let mut bytes = Vec::new();
    for character in request.chars() {
        match u32::from(character) {
            byte @ 0xf780..=0xf7ff => bytes.push(byte as u8),
            _ => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Which answers of a row answer a HEAD.
fn heads(row: &Row) -> Vec<bool> {
    row.2.iter().map(|answer| answer.contains("HEAD")).collect()
}

/// What is wrong with an outcome.
fn objection(row: &Row, outcome: &Outcome, tag: &str, is_whole: bool) -> Option<String> {
    let &(_, _, expected, fate) = row;
    if outcome.answers.len() != expected.len() {
        return Some(format!("{} answers were expected", expected.len()));
    }
    if outcome.was_reset && fate != Fate::Ends {
        return Some("no reset was expected".into());
    }
    let stays = match fate {
        Fate::Stays => true,
        Fate::StaysWithBody => is_whole || outcome.stays,
        Fate::Closes | Fate::Ends => false,
    };
    if outcome.stays != stays {
        return Some(format!("{fate:?} was expected"));
    }
    for (answer, expected) in outcome.answers.iter().zip(expected) {
        let mut parts = expected.split(" | ");
        if answer.status.to_string() != parts.next().unwrap_or_default() {
            return Some(format!("{expected} was expected"));
        }
        for part in parts {
            let part = part.replace("ETAG", tag).replace("DATE", DATE);
            let holds = if let Some(content) = part.strip_prefix('=') {
                answer.content == content.as_bytes()
            } else if let Some(name) = part.strip_prefix('!') {
                answer.field(name).is_none()
            } else if let Some(name) = part.strip_prefix('+') {
                answer.field(name).is_some()
            } else if let Some((name, value)) = part.split_once(": ") {
                match (answer.field(name), value.strip_suffix('*')) {
                    (Some(field), Some(beginning)) => field.starts_with(beginning),
                    (field, _) => field == Some(value),
                }
            } else {
                part == "HEAD"
            };
            if !holds {
                return Some(format!("{part:?} was expected"));
            }
        }
    }
    None
}

/// All rows, with their whole names.
fn rows() -> impl Iterator<Item = (String, &'static Row)> {
    GROUPS
        .iter()
        .flat_map(|(group, rows)| rows.iter().map(move |row| (format!("{group}/{}", row.0), row)))
}

#[test]
fn there_are_enough_and_each_has_a_name() {
    let mut names: Vec<_> = rows().map(|(name, _)| name).collect();
    assert!(names.len() >= 220, "{}", names.len());
    names.sort();
    names.windows(2).for_each(|two| assert_ne!(two[0], two[1]));
}

#[test]
fn every_row_whole() {
    let site = Site::new();
    for kind in backends() {
        let (server, _) = start(kind, &site.root());
        let tag = strong_tag(server.address);
        let mut wrong = Vec::new();
        for (name, row) in rows() {
            let request = bytes(row.1, &tag);
            let outcome = &talk(server.address, &[vec![&request]], &heads(row))[0];
            if let Some(objection) = objection(row, outcome, &tag, true) {
                wrong.push(format!("{name}: {objection}\n  {outcome:?}"));
            }
        }
        assert!(wrong.is_empty(), "{kind}, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
}

#[test]
fn every_row_cut_at_every_byte() {
    testkit::raise_nofile();
    let site = Site::new();
    for kind in backends() {
        let (server, _) = start(kind, &site.root());
        let tag = strong_tag(server.address);
        let mut wrong = Vec::new();
        for (name, row) in rows() {
            let request = bytes(row.1, &tag);
            let step = request.len().div_ceil(MOST_CUTS);
            let cuts: Vec<_> = (1..request.len()).step_by(step).collect();
            let pieces: Vec<Vec<&[u8]>> =
                cuts.iter().map(|&cut| vec![&request[..cut], &request[cut..]]).collect();
            let outcomes = talk(server.address, &pieces, &heads(row));
            for (cut, outcome) in cuts.iter().zip(&outcomes) {
                if let Some(objection) = objection(row, outcome, &tag, false) {
                    wrong.push(format!("{name}, cut at {cut}: {objection}\n  {outcome:?}"));
                }
            }
        }
        wrong.truncate(20);
        assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
    }
}

/// RFC 9110, 10.1.1: who waits is told to go on, and who would wait in vain is told so.
#[test]
fn who_waits_to_send_a_body() {
    let site = Site::new();
    for kind in backends() {
        let (server, _) = start(kind, &site.root());
        let mut client = server.connect();
        client.send("GET /hello.txt HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
        assert_eq!(client.answer().status(), 100, "{kind}");
        client.send("abc");
        assert_eq!(client.answer().content, b"0123456789");
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        );
        let answer = client.answer();
        assert_eq!((answer.status(), answer.field("Connection")), (405, Some("close")), "{kind}");
        assert!(client.is_closed());
    }
}
