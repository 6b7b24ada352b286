//! What lies beside a file in a coding, and that it is seen to come and go.

use super::{watching::Reporter, *};
use crate::negotiation::Coding;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use ukevent_queue::{BackendKind, Queue, Wait};

const ON: Options = Options { precompressed: true, listing: false };

fn put(path: &Path, content: &str, modified_s: u64) {
    fs::write(path, content).unwrap();
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(modified_s)).unwrap();
}

fn site() -> Site {
    let site = Site::new();
    for (name, content) in [
        ("hello.txt.gz", "gzip"),
        ("hello.txt.br", "brotli"),
        ("dir/index.html.zst", "zstandard"),
        ("lonely.txt.gz", "alone"),
    ] {
        put(&site.root().join(name), content, MODIFIED_S);
    }
    site
}

fn codings(entity: &Entity) -> String {
    let there = |coding: &Coding| coded(entity, *coding).is_some();
    Coding::ALL.into_iter().filter(there).map(Coding::token).collect::<Vec<_>>().join(" ")
}

fn coded(entity: &Entity, coding: Coding) -> Option<&Arc<Entity>> {
    match entity.alternates() {
        crate::entity::Alternates::Codings(each) => each[coding.index()].as_ref(),
        _ => None,
    }
}

fn fields(entity: &Entity) -> &str {
    std::str::from_utf8(entity.fields()).unwrap()
}

#[test]
fn found_beside_the_file_and_beside_an_index() {
    let site = site();
    let mut root = Root::open_with(&site.root(), ON).unwrap();
    for (path, expected) in [
        ("hello.txt", "br gzip"),
        ("dir/", "zstd"),
        ("dir/index.html", "zstd"),
        ("", ""),
        ("hello.txt.gz", ""),
        ("lonely.txt.gz", ""),
    ] {
        assert_eq!(codings(&entity(&mut root, path)), expected, "{path}");
        assert_eq!(codings(&entity(&mut root, path)), expected, "{path}, from the cache");
    }
    assert_eq!(text(&mut root, "lonely.txt.gz"), "alone");
    assert!(matches!(look(&mut root, "lonely.txt", soon_s()), Found::Nothing));
    let mut off = Root::open(&site.root()).unwrap();
    let hello = entity(&mut off, "hello.txt");
    assert_eq!(codings(&hello), "");
    assert!(!fields(&hello).contains("Vary"));
}

/// RFC 9110, 8.4, 8.8.3.3, 12.5.5 and 15.4.5.
#[test]
fn each_says_what_it_is() {
    let site = site();
    let mut root = Root::open_with(&site.root(), ON).unwrap();
    let hello = entity(&mut root, "hello.txt");
    let gzip = coded(&hello, Coding::Gzip).unwrap();
    let brotli = coded(&hello, Coding::Brotli).unwrap();
    for (entity, coding, len) in
        [(&hello, None, 10), (gzip, Some("gzip"), 4), (brotli, Some("br"), 6)]
    {
        let fields = fields(entity);
        assert!(fields.contains("Content-Type: text/plain; charset=utf-8\r\n"), "{fields}");
        assert!(fields.contains("Vary: Accept-Encoding\r\n"), "{fields}");
        assert!(fields.ends_with(&format!("Content-Length: {len}\r\n")), "{fields}");
        let said = fields.split("Content-Encoding: ").nth(1).and_then(|it| it.split("\r\n").next());
        assert_eq!(said, coding);
        let not_modified = std::str::from_utf8(entity.fields_of_not_modified()).unwrap();
        assert!(not_modified.contains("Vary: Accept-Encoding\r\n"));
        assert!(!not_modified.contains("Content-Encoding"));
    }
    let tags = [&hello, gzip, brotli].map(|entity| entity.validators().etag.unwrap());
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    assert_eq!(content(gzip), b"gzip");
}

/// One inode by two names is two representations.
#[test]
fn linked_to_each_other_they_have_different_tags() {
    let site = site();
    fs::hard_link(site.root().join("empty.txt"), site.root().join("empty.txt.gz")).unwrap();
    let mut root = Root::open_with(&site.root(), ON).unwrap();
    let empty = entity(&mut root, "empty.txt");
    let gzip = coded(&empty, Coding::Gzip).unwrap();
    assert_ne!(empty.validators().etag, gzip.validators().etag);
}

#[test]
fn what_is_older_or_no_file_is_not_served() {
    let site = site();
    put(&site.root().join("hello.txt.gz"), "old", MODIFIED_S - 1);
    fs::create_dir(site.root().join("empty.txt.br")).unwrap();
    symlink("../secret.txt", site.root().join("empty.txt.gz")).unwrap();
    symlink("hello.txt", site.root().join("empty.txt.zst")).unwrap();
    let mut root = Root::open_with(&site.root(), ON).unwrap();
    assert_eq!(codings(&entity(&mut root, "hello.txt")), "br");
    let empty = entity(&mut root, "empty.txt");
    assert_eq!(codings(&empty), "zstd");
    assert!(Arc::ptr_eq(&empty, &entity(&mut root, "empty.txt")), "it is kept all the same");
}

type Change = (&'static str, &'static str, fn(&Path));

/// What happens beside `hello.txt`, and what there is of it then.
const CHANGES: &[Change] = &[
    ("appears", "br zstd gzip", |dir| put(&dir.join("hello.txt.zst"), "new", MODIFIED_S)),
    ("is moved there", "br zstd gzip", |dir| {
        put(&dir.join("x"), "new", MODIFIED_S);
        fs::rename(dir.join("x"), dir.join("hello.txt.zst")).unwrap();
    }),
    ("goes", "br", |dir| fs::remove_file(dir.join("hello.txt.gz")).unwrap()),
    ("is moved away", "br", |dir| {
        fs::rename(dir.join("hello.txt.gz"), dir.join("x.gz")).unwrap();
    }),
    ("becomes older", "br", |dir| put(&dir.join("hello.txt.gz"), "gzip", MODIFIED_S - 1)),
    ("is outdated", "", |dir| put(&dir.join("hello.txt"), "0123456789", MODIFIED_S + 1)),
    ("is written to", "br gzip", |dir| put(&dir.join("hello.txt.gz"), "else", MODIFIED_S)),
];

#[test]
fn a_look_sees_every_change() {
    for (name, expected, change) in CHANGES {
        let site = site();
        let mut root = Root::open_with(&site.root(), ON).unwrap();
        let before = entity(&mut root, "hello.txt");
        assert!(Arc::ptr_eq(&before, &entity(&mut root, "hello.txt")), "{name}");
        change(&site.root());
        let after = entity(&mut root, "hello.txt");
        assert_eq!(codings(&after), *expected, "{name}");
        assert!(!Arc::ptr_eq(&before, &after), "{name}");
    }
}

/// Watched, it is served without a look until something is reported, of what was there and of what was
/// not; and the report comes.
#[test]
fn a_watch_tells_of_every_change() {
    for (name, expected, change) in CHANGES {
        for backend in BackendKind::REAL {
            let Ok(queue) = ukevent_queue::Builder::new().backend(backend).build() else {
                testkit::skip(format_args!("{backend} is not there"));
                continue;
            };
            let site = site();
            let mut reporter = Reporter(queue);
            let mut root = Root::open_with(&site.root(), ON).unwrap();
            let now_s = soon_s();
            let find = |root: &mut Root, reporter: &mut Reporter| {
                static EPOCH: std::sync::atomic::AtomicU64 =
                    std::sync::atomic::AtomicU64::new(1 << 40);
                let epoch = EPOCH.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let seen = Seen { epoch, unix_s: now_s, sure: true };
                let found = root.find(b"hello.txt", seen, &Counts::default());
                root.tend(reporter, now_s);
                let Found::Entity(entity) = found else { panic!("{found:?}") };
                entity
            };
            let before = (0..3).map(|_| find(&mut root, &mut reporter)).last().unwrap();
            assert!(!root.watches.is_empty());
            // Served blind: nobody has heard of the change yet.
            change(&site.root());
            assert!(
                Arc::ptr_eq(&before, &find(&mut root, &mut reporter)),
                "{name}: it was looked at"
            );
            let deadline = SystemTime::now() + Duration::from_secs(20);
            let after = loop {
                reporter.0.wait(Wait::now()).unwrap();
                while let Some(event) = reporter.0.next_event() {
                    root.reported(&mut reporter, event.token.0 as u32, &event.kind);
                }
                let after = find(&mut root, &mut reporter);
                if !Arc::ptr_eq(&before, &after) {
                    break after;
                }
                assert!(SystemTime::now() < deadline, "{name}, {backend}: nothing was reported");
            };
            assert_eq!(codings(&after), *expected, "{name}, {backend}");
        }
    }
}

/// The watch of a sibling ends with that of its file, and both may be watched for their own sake.
#[test]
fn a_sibling_that_is_asked_for_itself() {
    let site = site();
    let mut reporter = Reporter(Queue::new().unwrap());
    let mut root = Root::open_with(&site.root(), ON).unwrap();
    let now_s = soon_s();
    for epoch in 1..5 {
        for path in [&b"hello.txt"[..], b"hello.txt.gz"] {
            let seen = Seen { epoch, unix_s: now_s, sure: true };
            assert!(matches!(root.find(path, seen, &Counts::default()), Found::Entity(_)));
            root.tend(&mut reporter, now_s);
        }
    }
    fs::remove_file(site.root().join("hello.txt.gz")).unwrap();
    reporter.0.wait(Wait::now()).unwrap();
    while let Some(event) = reporter.0.next_event() {
        root.reported(&mut reporter, event.token.0 as u32, &event.kind);
    }
    assert!(root.watches.is_empty(), "both were in doubt");
    reporter.0.wait(Wait::now()).unwrap();
    while reporter.0.next_event().is_some() {}
    assert_eq!(reporter.0.counters().registered, 0);
}
