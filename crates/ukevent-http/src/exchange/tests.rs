//! What is negotiated and what is sent in parts, from request to answer.

use super::*;
use crate::{
    counters::Counts,
    date::Date,
    files::{Options, Root},
    limits::{FIELDS, Limits},
    out::Out,
    request::{self, Parsed},
    testing::{Answer, Site, large, soon_s},
};
use std::{fs, mem::MaybeUninit};

/// What answers single requests.
struct Bench {
    root: Root,
    limits: Limits,
    counts: Counts,
    epoch: u64,
    secured: bool,
}

fn bench(site: &Site) -> Bench {
    let options = Options { precompressed: true, listing: true };
    let root = Root::open_with(&site.root(), options).unwrap();
    Bench { root, limits: Limits::default(), counts: Counts::default(), epoch: 0, secured: false }
}

impl Bench {
    /// What is answered, in memory and behind it.
    fn answer(&mut self, input: &[u8]) -> (Vec<u8>, Vec<(u64, u64)>) {
        let (mut out, mut path) = (Out::default(), Vec::new());
        self.epoch += 1;
        let mut turn = Turn {
            content: &mut self.root,
            limits: &self.limits,
            counts: &self.counts,
            date: &Date::at(soon_s()),
            epoch: self.epoch,
            sure: false,
            ending: false,
            secured: self.secured,
            out: &mut out,
            path: &mut path,
        };
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let Parsed::Request(request) = request::parse(input, &mut fields, turn.limits) else {
            panic!("it is a request")
        };
        let (mut sent, mut files) = (Vec::new(), Vec::new());
        let tail = answer(&request, Persistence::Stay, &mut turn).unwrap();
        sent.extend_from_slice(&turn.out.take());
        let mut read = |part: &FilePart, sent: &mut Vec<u8>| {
            let mut content = vec![0; part.left as usize];
            rustix::io::pread(&part.file, &mut content[..], part.offset).unwrap();
            sent.extend_from_slice(&content);
            files.push((part.offset, part.left));
        };
        match tail {
            Tail::Nothing => {}
            Tail::Live(_) => panic!("files do not go on"),
            Tail::File(part) => read(&part, &mut sent),
            Tail::Parts(mut parts) => {
                while let Some(part) = parts.walk(turn.out) {
                    sent.extend_from_slice(&turn.out.take());
                    read(&part, &mut sent);
                }
                sent.extend_from_slice(&turn.out.take());
            }
        }
        (sent, files)
    }

    fn answers(&mut self, input: &[u8]) -> Vec<Answer> {
        Answer::all(&self.answer(input).0, |_| input.starts_with(b"HEAD"))
    }
}

fn get(bench: &mut Bench, path: &str, fields: &str) -> Answer {
    let lines = fields.replace('|', "\r\n");
    let end = if lines.is_empty() { "" } else { "\r\n" };
    let request = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n{lines}{end}\r\n");
    bench.answers(request.as_bytes()).remove(0)
}

/// RFC 9110, 12.5.3, 8.4, 12.5.5, 13.1.2, 14.2.
#[test]
fn codings_from_end_to_end() {
    let site = Site::new();
    fs::write(site.root().join("hello.txt.gz"), b"GZIPPED").unwrap();
    fs::write(site.root().join("large.bin.br"), vec![7; 50_000]).unwrap();
    let mut bench = bench(&site);
    let plain = get(&mut bench, "hello.txt", "");
    let gzip = get(&mut bench, "hello.txt", "Accept-Encoding: gzip, br");
    let tags = [plain.field("ETag").unwrap(), gzip.field("ETag").unwrap()];
    assert_ne!(tags[0], tags[1]);
    assert_eq!((plain.text(), plain.field("Content-Encoding")), ("0123456789", None));
    assert_eq!((gzip.text(), gzip.field("Content-Encoding")), ("GZIPPED", Some("gzip")));
    assert_eq!(gzip.field("Content-Type"), Some("text/plain; charset=utf-8"));
    for answer in [&plain, &gzip] {
        assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
    }
    // The tag of one is none of the other.
    for (coding, tag, status) in
        [("gzip", 1, 304), ("gzip", 0, 200), ("x", 0, 304), ("x", 1, 200), ("gzip;q=0", 0, 304)]
    {
        let fields = format!("Accept-Encoding: {coding}|If-None-Match: {}", tags[tag]);
        let answer = get(&mut bench, "hello.txt", &fields);
        assert_eq!((answer.status, answer.field("Vary")), (status, Some("Accept-Encoding")));
        assert!(status == 200 || answer.field("Content-Encoding").is_none());
    }
    // Of its bytes, not of those it holds.
    let part = get(&mut bench, "hello.txt", "Accept-Encoding: gzip|Range: bytes=1-2");
    assert_eq!((part.status, part.text()), (206, "ZI"));
    assert_eq!(part.field("Content-Range"), Some("bytes 1-2/7"));
    assert_eq!(part.field("Content-Encoding"), Some("gzip"));
    let beyond = get(&mut bench, "hello.txt", "Accept-Encoding: gzip|Range: bytes=7-");
    assert_eq!(beyond.field("Content-Range"), Some("bytes */7"));
    let brotli = get(&mut bench, "large.bin", "Accept-Encoding: *");
    assert_eq!((brotli.content.len(), brotli.field("Content-Encoding")), (50_000, Some("br")));
    // Asked for by its own name it is a file like others.
    let itself = get(&mut bench, "hello.txt.gz", "Accept-Encoding: gzip");
    assert_eq!((itself.text(), itself.field("Content-Encoding")), ("GZIPPED", None));
    assert_eq!(itself.field("Content-Type"), Some("application/gzip"));
    assert_eq!(itself.field("Vary"), None);
}

#[test]
fn a_list_from_end_to_end() {
    let site = Site::new();
    let mut bench = bench(&site);
    let page = get(&mut bench, "bare/", "");
    assert_eq!((page.status, page.field("Vary")), (200, Some("Accept")));
    assert!(page.text().contains("<a href=\"./file.txt\">"));
    let json = get(&mut bench, "bare/", "Accept: application/json, text/html;q=0.9");
    assert_eq!((json.status, json.field("Content-Type")), (200, Some("application/json")));
    assert!(json.text().starts_with("{\"path\":\"/bare/\",\"complete\":true,"));
    assert_eq!(get(&mut bench, "bare", "").status, 301);
}

/// RFC 9110, 14.6 and 15.3.7.2.
#[test]
fn several_ranges_of_memory() {
    let site = Site::new();
    fs::write(site.root().join("medium.bin"), &large()[..10_000]).unwrap();
    let mut bench = bench(&site);
    let answer = get(&mut bench, "medium.bin", "Range: bytes=0-1,5000-5004,-1");
    assert_eq!((answer.status, answer.field("Content-Range")), (206, None));
    let kind = answer.field("Content-Type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let head = "Content-Type: application/octet-stream\r\nContent-Range: bytes";
    let mut expected = format!("--{boundary}\r\n{head} 0-1/10000\r\n\r\n").into_bytes();
    expected.extend_from_slice(&large()[0..2]);
    expected.extend_from_slice(
        format!("\r\n--{boundary}\r\n{head} 5000-5004/10000\r\n\r\n").as_bytes(),
    );
    expected.extend_from_slice(&large()[5000..5005]);
    expected.extend_from_slice(
        format!("\r\n--{boundary}\r\n{head} 9999-9999/10000\r\n\r\n").as_bytes(),
    );
    expected.extend_from_slice(&large()[9999..10_000]);
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(answer.content, expected);
    assert!(answer.field("ETag").is_some() && answer.field("Last-Modified").is_some());
    // What touches is one, and what would be more than the whole is the whole.
    let joined = get(&mut bench, "medium.bin", "Range: bytes=0-1,2-3");
    assert_eq!((joined.status, joined.field("Content-Range")), (206, Some("bytes 0-3/10000")));
    assert_eq!(get(&mut bench, "hello.txt", "Range: bytes=0-1,4-5").text(), "0123456789");
    let same = format!("Range: bytes=0-1,5-6|If-Range: {}", answer.field("ETag").unwrap());
    assert_eq!(get(&mut bench, "medium.bin", &same).status, 206);
    assert_eq!(get(&mut bench, "medium.bin", "Range: bytes=0-1,5-6|If-Range: \"x\"").status, 200);
}

/// Several ranges of a file: what stands between them is made as they are walked.
#[test]
fn several_ranges_of_a_file() {
    let site = Site::new();
    let mut bench = bench(&site);
    let input = b"GET /large.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=-2,0-49999\r\n\r\n";
    let (sent, files) = bench.answer(input);
    assert_eq!(files, [(99_998, 2), (0, 50_000)]);
    let answer = Answer::all(&sent, |_| false).remove(0);
    assert_eq!(answer.status, 206);
    assert!(answer.content.windows(50_000).any(|window| window == &large()[..50_000]));
}

#[test]
fn for_tls_only() {
    let site = Site::new();
    let mut bench = bench(&site);
    let request = b"GET https://a/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(bench.answers(request)[0].status, 421);
    bench.secured = true;
    assert_eq!(bench.answers(request)[0].status, 200);
}
