//! `ukevent serve` before clients that others wrote: curl, and three load generators. What
//! they complain of counts, and what they count must be what the server counted.
//!
//! A client that is not installed is a test that skips aloud. None is asked how long anything took.

use crate::{
    serve::{end, serve},
    watch::{TERM, ukevent},
};
use std::{
    env,
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
};
use testkit::{Child, TempTree};

/// A server of three files, with one beside its root that is none of them; and a place for what its
/// clients write.
struct Site {
    tree: TempTree,
    server: Child,
    url: String,
}

const PAGE: &str = "0123456789";
const LARGE_BYTES: usize = 4096;
const SECRET: &str = "not for everybody";

impl Site {
    fn new() -> Self {
        let tree = TempTree::new();
        tree.file("root/page.txt", PAGE);
        tree.file("root/large.bin", [7; LARGE_BYTES]);
        tree.file("root/sub/page.txt", PAGE);
        tree.file("secret.txt", SECRET);
        let root = tree.path().join("root");
        Self::of(tree, &["--root", root.to_str().unwrap()])
    }

    fn of(tree: TempTree, arguments: &[&str]) -> Self {
        let (server, address) = serve(ukevent(&["serve"]).args(arguments));
        Self { tree, server, url: format!("http://{address}") }
    }

    fn url(&self, target: &str) -> String {
        format!("{}{target}", self.url)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.tree.path().join(name)
    }

    /// Runs a client to its end, which must be good, and returns its standard output. One that does
    /// not end is killed and fails the test.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let (stdout, stderr) = (self.file("stdout"), self.file("stderr"));
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).current_dir(self.tree.path());
        command.env("HOME", self.tree.path());
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        let mut client = Child::spawn(&mut command);
        let mut status = None;
        testkit::wait_until(program, || {
            status = client.try_wait().unwrap();
            status.is_some()
        });
        let [said, complained] =
            [stdout, stderr].map(|it| String::from_utf8_lossy(&fs::read(it).unwrap()).into_owned());
        assert!(status.unwrap().success(), "{command:?}:\n{said}{complained}");
        said
    }

    /// curl, which is silent unless something is wrong.
    fn curl(&self, arguments: &[&str]) -> String {
        self.run("curl", &[&["--silent", "--show-error"], arguments].concat())
    }

    /// The status that curl has for an answer, whose content goes to the file `content`.
    fn status(&self, arguments: &[&str]) -> String {
        let into_file = ["--output", "content", "--write-out", "%{http_code}"];
        self.curl(&[&into_file, arguments].concat())
    }

    /// Ends the server; how many requests it counted, and on how many connections.
    fn end(self) -> (u64, u64) {
        let said = end(self.server, TERM);
        let counted = said.lines().last().unwrap();
        (number(counted, "serve: "), number(counted, "requests on "))
    }
}

/// Whether there is such a program. That there is not is said aloud.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        testkit::skip(format_args!("{program} is not installed"));
    }
    found
}

/// The number behind `name` in what a client says, whatever stands between them.
fn number(said: &str, name: &str) -> u64 {
    let (_, behind) = said.split_once(name).unwrap_or_else(|| panic!("no {name:?} in:\n{said}"));
    let digits = behind.trim_start_matches(|it: char| !it.is_ascii_digit());
    let end = digits.find(|it: char| !it.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or_else(|_| panic!("no number behind {name:?} in:\n{said}"))
}

#[test]
fn curl_gets_all_a_head_or_a_part() {
    if !is_installed("curl") {
        return;
    }
    let site = Site::new();
    let page = site.url("/page.txt");
    assert_eq!(site.curl(&[&page]), PAGE);
    let head = site.curl(&["--head", &page]);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(number(&head, "Content-Length:"), PAGE.len() as u64);
    assert!(head.ends_with("\r\n\r\n"), "nothing comes behind it: {head}");
    for (range, expected) in [("2-5", "2345"), ("7-", "789"), ("-1", "9")] {
        assert_eq!(site.curl(&["--range", range, &page]), expected, "{range}");
    }
    assert_eq!(site.status(&["--range", "2-5", &page]), "206");
    assert_eq!(site.status(&["--range", "10-", &page]), "416");
    assert_eq!(site.status(&[&site.url("/none")]), "404");
    assert_eq!(site.end(), (8, 8));
}

#[test]
fn curl_is_told_what_it_has_already() {
    if !is_installed("curl") {
        return;
    }
    let site = Site::new();
    let page = site.url("/page.txt");
    assert_eq!(site.status(&["--etag-save", "etag", &page]), "200");
    assert_eq!(site.status(&["--etag-compare", "etag", &page]), "304");
    // curl takes the time of the file, which is the answer's own after --remote-time.
    assert_eq!(site.status(&["--remote-time", &page]), "200");
    let content = site.file("content");
    let content = content.to_str().unwrap();
    assert_eq!(site.status(&["-z", content, &page]), "304");
    assert_eq!(fs::read_to_string(content).unwrap(), PAGE, "what it had is left alone");
    assert_eq!(site.status(&["-z", "1 Jan 2001 00:00:00 GMT", &page]), "200");
    fs::write(site.file("root/page.txt"), "other and longer").unwrap();
    assert_eq!(site.status(&["--etag-compare", "etag", &page]), "200");
    assert_eq!(fs::read_to_string(content).unwrap(), "other and longer");
    site.end();
}

#[test]
fn curl_keeps_its_connection() {
    if !is_installed("curl") {
        return;
    }
    let site = Site::new();
    let (page, large) = (site.url("/page.txt"), site.url("/large.bin"));
    let made = ["--write-out", "%{http_code} on %{num_connects} new\n"];
    let said = site.curl(&[&made[..], &["-o", "one", &page, "-o", "two", &large]].concat());
    assert_eq!(said, "200 on 1 new\n200 on 0 new\n");
    assert_eq!(fs::read_to_string(site.file("one")).unwrap(), PAGE);
    assert_eq!(fs::read(site.file("two")).unwrap(), [7; LARGE_BYTES]);
    assert_eq!(site.end(), (2, 1));
}

#[test]
fn curl_does_not_climb_out_of_the_root() {
    if !is_installed("curl") {
        return;
    }
    let site = Site::new();
    for (target, expected) in [
        ("/sub/../page.txt", "200"),
        ("/../secret.txt", "400"),
        ("/sub/../../secret.txt", "400"),
        ("/%2e%2e/secret.txt", "400"),
        ("/sub/%2E./.%2e/secret.txt", "400"),
        ("/..%2fsecret.txt", "404"),
        ("/page.txt%00", "400"),
    ] {
        let status = site.status(&["--path-as-is", &site.url(target)]);
        assert_eq!(status, expected, "{target}");
        let content = fs::read_to_string(site.file("content")).unwrap();
        assert!(!content.contains(SECRET), "{target}");
    }
    site.end();
}

#[test]
fn wrk_finds_no_fault() {
    if !is_installed("wrk") {
        return;
    }
    let site = Site::new();
    let said = site.run("wrk", &["-d1s", "-c16", "-t1", &site.url("/large.bin")]);
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    let asked = said.lines().find(|line| line.contains(" requests in ")).expect("its count");
    let asked = asked.split_whitespace().next().unwrap().parse::<u64>().unwrap();
    let (requests, connections) = site.end();
    // At the end it leaves with an answer due on each connection.
    assert!((1..=requests).contains(&asked), "{requests}: {said}");
    // Before all it connects once to see whether anybody listens.
    assert!((16..=17).contains(&connections), "{connections}");
}

#[test]
fn ab_finds_no_fault() {
    if !is_installed("ab") {
        return;
    }
    for keep_alive in [true, false] {
        let site = Site::new();
        let large = site.url("/large.bin");
        let load = ["-q", "-n", "2000", "-c", "20", &large];
        let said = match keep_alive {
            true => site.run("ab", &[&["-k"], &load[..]].concat()),
            false => site.run("ab", &load),
        };
        assert_eq!(number(&said, "Complete requests:"), 2000, "{said}");
        assert_eq!(number(&said, "Failed requests:"), 0, "{said}");
        assert!(!said.contains("Non-2xx"), "{said}");
        assert_eq!(number(&said, "HTML transferred:"), 2000 * LARGE_BYTES as u64, "{said}");
        let (requests, connections) = site.end();
        if keep_alive {
            assert_eq!(number(&said, "Keep-Alive requests:"), 2000, "{said}");
            assert_eq!((requests, connections), (2000, 20));
        } else {
            // It asks, and connects, a little more often than it needs.
            assert!(requests >= 2000 && connections >= requests, "{requests} on {connections}");
        }
    }
}

#[test]
fn httperf_finds_no_fault() {
    if !is_installed("httperf") {
        return;
    }
    let site = Site::new();
    let (host, port) = site.url.trim_start_matches("http://").split_once(':').unwrap();
    let server = ["--server", host, "--port", port, "--uri", "/large.bin"];
    let load = ["--num-conns", "200", "--num-calls", "5"];
    let said = site.run("httperf", &[&["--hog"], &server[..], &load].concat());
    assert!(said.contains("Total: connections 200 requests 1000 replies 1000 "), "{said}");
    assert!(said.contains("Reply status: 1xx=0 2xx=1000 3xx=0 4xx=0 5xx=0"), "{said}");
    assert_eq!(number(&said, "Errors: total"), 0, "{said}");
    assert_eq!(site.end(), (1000, 200));
}
