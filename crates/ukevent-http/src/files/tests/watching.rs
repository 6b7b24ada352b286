//! What is watched is served without a look, until the queue reports a change.

use super::*;
use std::{os::unix::fs::PermissionsExt, time::Duration};
use ukevent_queue::{BackendKind, Inode, Key, Mode, Queue, RegisterError, Timer, Token, Wait};

/// A queue that reports with the index in the token.
pub(super) struct Reporter(pub(super) Queue);

impl Reports for Reporter {
    fn register(&mut self, inode: Inode, index: u32) -> Result<Key, RegisterError> {
        self.0.register(inode, Token(u64::from(index)), Mode::Level)
    }

    fn remove(&mut self, key: Key) {
        self.0.remove(key).expect("what is removed is there");
    }
}

/// A root, and what reports to it.
struct Bench {
    site: Site,
    root: Root,
    reporter: Reporter,
    now_s: u64,
}

impl Bench {
    fn new(site: Site, backend: BackendKind) -> Self {
        let root = Root::open(&site.root()).unwrap();
        let queue = ukevent_queue::Builder::new().backend(backend).build().unwrap();
        Self { site, root, reporter: Reporter(queue), now_s: soon_s() }
    }

    /// Finds what a path names by now, as far as was reported.
    fn find(&mut self, path: &str) -> Found {
        static EPOCH: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1 << 32);
        let epoch = EPOCH.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let seen = Seen { epoch, unix_s: self.now_s, sure: true };
        let found = self.root.find(path.as_bytes(), seen, &Counts::default());
        self.root.tend(&mut self.reporter, self.now_s);
        found
    }

    fn entity(&mut self, path: &str) -> Arc<Entity> {
        match self.find(path) {
            Found::Entity(entity) => entity,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Asks often enough for it to be watched.
    fn watch(&mut self, path: &str) -> Arc<Entity> {
        self.entity(path);
        let entity = self.entity(path);
        assert!(Arc::ptr_eq(&entity, &self.entity(path)), "{path} was not kept");
        assert!(!self.root.watches.is_empty(), "{path} is not watched");
        entity
    }

    /// Takes everything that was reported.
    fn hear(&mut self) {
        loop {
            self.reporter.0.wait(Wait::now()).unwrap();
            let mut heard = false;
            while let Some(event) = self.reporter.0.next_event() {
                self.root.reported(&mut self.reporter, event.token.0 as u32, &event.kind);
                heard = true;
            }
            if !heard {
                return;
            }
        }
    }

    /// How much is registered.
    fn registered(&self) -> u64 {
        self.reporter.0.counters().registered
    }

    /// Puts everything in doubt.
    fn doubt(&mut self) {
        for index in 0..16 {
            self.root.reported(&mut self.reporter, index, &Kind::Rescan);
        }
    }
}

fn write(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"X", 0).unwrap();
}

/// Renames a directory, and puts another in its place that has the same file in it.
fn replace_directory(directory: &Path, file: &Path) {
    let old = directory.with_extension("old");
    fs::rename(directory, &old).unwrap();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, "changed").unwrap();
}

type Way = (&'static str, fn(&Path));

const WAYS: &[Way] = &[
    ("written to", write),
    ("written to and closed", |path| fs::write(path, "changed").unwrap()),
    ("cut short", |path| {
        fs::File::options().write(true).open(path).unwrap().set_len(3).unwrap();
    }),
    ("renamed over", |path| {
        let other = path.with_extension("new");
        fs::write(&other, "changed").unwrap();
        fs::rename(&other, path).unwrap();
    }),
    ("unlinked", |path| fs::remove_file(path).unwrap()),
    ("moved away", |path| fs::rename(path, path.with_extension("away")).unwrap()),
    ("made unreadable", |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }),
    ("touched", |path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(9)).unwrap();
    }),
    ("linked elsewhere", |path| {
        fs::remove_file(path).unwrap();
        symlink("../../hello.txt", path).unwrap();
    }),
    ("written to by another name", |path| {
        let other = path.parent().unwrap().parent().unwrap().join("other");
        fs::hard_link(path, &other).unwrap();
        write(&other);
    }),
    ("with its directory", |path| replace_directory(path.parent().unwrap(), path)),
    ("with the directory of its directory", |path| {
        replace_directory(path.parent().unwrap().parent().unwrap(), path);
    }),
    ("directory moved away", |path| {
        let directory = path.parent().unwrap();
        fs::rename(directory, directory.with_extension("away")).unwrap();
    }),
    ("directory linked elsewhere", |path| {
        let directory = path.parent().unwrap();
        fs::rename(directory, directory.with_extension("away")).unwrap();
        symlink("../bare", directory).unwrap();
    }),
    ("directory not to be searched", |path| {
        let directory = path.parent().unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o000)).unwrap();
    }),
];

/// Every kind of change: not seen without the report (so there was no look), and seen with it.
#[test]
fn a_report_is_what_shows_a_change() {
    for backend in [BackendKind::IoUring, BackendKind::Epoll, BackendKind::Poll] {
        for (way, change) in WAYS {
            for name in ["page.html", "index.html", "large.bin"] {
                let site = Site::new();
                fs::create_dir_all(site.root().join("a/b")).unwrap();
                fs::write(site.root().join("a/b/page.html"), "page").unwrap();
                fs::write(site.root().join("a/b/index.html"), "index").unwrap();
                fs::write(site.root().join("a/b/large.bin"), large()).unwrap();
                let path = if name == "index.html" { "a/b/".into() } else { format!("a/b/{name}") };
                let mut bench = Bench::new(site, backend);
                let before = bench.watch(&path);
                change(&bench.site.root().join("a/b").join(name));
                assert!(Arc::ptr_eq(&before, &bench.entity(&path)), "{way}: there was a look");
                bench.hear();
                match bench.find(&path) {
                    Found::Entity(after) => {
                        assert!(
                            !Arc::ptr_eq(&before, &after) || is_as_before(way),
                            "{way}: {path}"
                        );
                        let now = fs::read(bench.site.root().join("a/b").join(name)).unwrap();
                        assert_eq!(content(&after), now, "{way}: {path}");
                    }
                    Found::Nothing | Found::Forbidden => {
                        let place = bench.site.root().join("a/b").join(name);
                        assert!(!place.exists(), "{way}: {path}");
                    }
                    other => panic!("{way}: {path}: {other:?}"),
                }
                bench.doubt();
                assert_eq!(bench.registered(), 0, "{way}: something is left");
            }
        }
    }
}

/// Whoever may read everything does not see that others may not: the look finds the same file. That
/// there was a look is shown by that it would have been seen otherwise.
fn is_as_before(way: &str) -> bool {
    way == "directory not to be searched" && rustix::process::geteuid().is_root()
}

/// What happens beside a watched file does not concern it.
#[test]
fn other_names_do_not_matter() {
    let mut bench = Bench::new(Site::new(), BackendKind::Epoll);
    let before = bench.watch("dir/page.txt");
    for name in ["dir/new", "dir/page.txt.swp", "new", "dir.old"] {
        fs::write(bench.site.root().join(name), "new").unwrap();
        fs::remove_file(bench.site.root().join(name)).unwrap();
    }
    fs::rename(bench.site.root().join("bare"), bench.site.root().join("dir/bare")).unwrap();
    bench.hear();
    assert_eq!(bench.registered(), 3, "the file, its directory and the root");
    // This is a change, and shows only by a report.
    let counted = bench.reporter.0.counters().events;
    assert!(counted >= 10, "{counted}");
    assert!(Arc::ptr_eq(&before, &bench.entity("dir/page.txt")));
}

/// Changed back and settled, it is watched again: by the directories that are there now.
#[test]
fn what_was_in_doubt_is_watched_again() {
    let mut bench = Bench::new(Site::new(), BackendKind::Epoll);
    let before = bench.watch("dir/page.txt");
    let dir = bench.site.root().join("dir");
    for round in 0..5 {
        // The same inode, by another directory.
        let away = dir.with_extension(round.to_string());
        fs::rename(&dir, &away).unwrap();
        fs::create_dir(&dir).unwrap();
        fs::rename(away.join("page.txt"), dir.join("page.txt")).unwrap();
        bench.hear();
        bench.now_s += 10;
        bench.watch("dir/page.txt");
        assert_eq!(bench.registered(), 3);
    }
    fs::remove_file(dir.join("page.txt")).unwrap();
    assert!(matches!(bench.find("dir/page.txt"), Found::Entity(_)), "there was a look");
    bench.hear();
    assert!(matches!(bench.find("dir/page.txt"), Found::Nothing));
    assert_eq!(bench.registered(), 0);
    drop(before);
}

/// With a link on its path, or on a file system that may change from elsewhere, it is looked at.
#[test]
fn what_cannot_be_watched_is_looked_at() {
    let mut bench = Bench::new(Site::new(), BackendKind::Epoll);
    for _ in 0..3 {
        bench.entity("link.txt");
        bench.entity("dir/up.txt");
    }
    assert!(bench.root.watches.is_empty());
    assert_eq!(bench.registered(), 0);
    fs::write(bench.site.root().join("hello.txt"), "changed").unwrap();
    assert_eq!(content(&bench.entity("link.txt")), b"changed");
    let mut proc = Root::open(Path::new("/proc/sys/kernel")).unwrap();
    let watched = proc.watches.watch(&mut bench.reporter, &proc.opener, b"ostype", None);
    assert!(watched.is_err());
    assert_eq!(bench.registered(), 0);
}

/// The space of a file that was removed is not held, though nobody asks for it any more.
#[test]
fn what_was_removed_is_not_held_open() {
    for (way, change) in WAYS.iter().filter(|(way, _)| matches!(*way, "unlinked" | "renamed over"))
    {
        let mut bench = Bench::new(Site::new(), BackendKind::Epoll);
        let entity = bench.watch("large.bin");
        let Body::File(file) = entity.body() else { panic!("it is large") };
        let file = Arc::downgrade(file);
        drop(entity);
        change(&bench.site.root().join("large.bin"));
        bench.hear();
        assert_eq!(file.strong_count(), 0, "{way}");
    }
}

/// The kernel lost reports: everything is looked at.
#[test]
fn after_an_overflow_everything_is_in_doubt() {
    let mut bench = Bench::new(Site::new(), BackendKind::Epoll);
    let paths = ["hello.txt", "dir/page.txt", "large.bin"];
    let before: Vec<_> = paths.iter().map(|path| bench.watch(path)).collect();
    fs::remove_file(bench.site.root().join("hello.txt")).unwrap();
    bench.root.reported(&mut bench.reporter, 0, &Kind::Rescan);
    assert!(bench.root.watches.is_empty());
    assert!(matches!(bench.find("hello.txt"), Found::Nothing));
    assert!(Arc::ptr_eq(&before[1], &bench.entity("dir/page.txt")), "it was as before");
}

/// What is given up for other files is watched no longer.
#[test]
fn watches_are_bounded_by_what_is_kept() {
    let mut bench = Bench::new(Site::new(), BackendKind::Epoll);
    bench.watch("dir/page.txt");
    bench.watch("large.bin");
    assert_eq!(bench.registered(), 4);
    assert!(bench.root.let_go());
    bench.entity("dir/page.txt");
    assert_eq!(bench.registered(), 3);
    bench.now_s += 1;
    fs::remove_file(bench.site.root().join("dir/page.txt")).unwrap();
    assert!(matches!(bench.find("dir/page.txt"), Found::Nothing), "once a second it is looked at");
    assert_eq!(bench.registered(), 0);
}

/// A name that nobody asked for yet is not in the kernel's memory: it is loaded, and then it is.
#[test]
fn what_would_block_is_loaded_elsewhere() {
    let mut bench = Bench::new(Site::new(), BackendKind::Epoll);
    let user = ukevent_queue::User::merged(ukevent_queue::Merge::Last);
    let key = bench.reporter.0.register(user, Token(u64::MAX), Mode::Level).unwrap();
    let limit = Timer::after(Duration::from_secs(60));
    bench.reporter.0.register(limit, Token(u64::MAX - 1), Mode::Level).unwrap();
    let poster = bench.reporter.0.poster(key).unwrap();
    bench.root.load_elsewhere(
        9,
        Box::new(move || {
            poster.post(1).unwrap();
        }),
    );
    assert!(matches!(bench.find("hello.txt"), Found::Entity(_)), "it was written just now");
    let Found::Later(number) = bench.find("never heard of") else {
        panic!("it is not being loaded");
    };
    bench.reporter.0.wait(Wait::forever()).unwrap();
    assert_eq!(bench.reporter.0.next_event().unwrap().token, Token(u64::MAX));
    let seen = Seen { epoch: 1, unix_s: bench.now_s, sure: true };
    let mut loaded = bench.root.take_loaded(seen);
    assert!(matches!(loaded.pop(), Some((of, Found::Nothing)) if of == number));
    bench.root.offer(Some(Found::Forbidden));
    assert!(matches!(bench.find("never heard of"), Found::Forbidden), "as it was offered");
    assert!(matches!(bench.find("never heard of"), Found::Nothing), "known by now");
}

/// What was loaded is older than what is asked in the moment in which it arrives.
#[test]
fn what_was_loaded_is_looked_at_before_others_get_it() {
    let mut bench = Bench::new(Site::new(), BackendKind::Epoll);
    bench.root.load_elsewhere(9, Box::new(|| {}));
    let now_s = bench.now_s;
    bench.root.loader.as_mut().unwrap().ask(b"hello.txt", now_s).unwrap();
    testkit::wait_until("it is loaded", || bench.root.loader.as_ref().unwrap().has_done());
    fs::write(bench.site.root().join("hello.txt"), "changed").unwrap();
    let seen = Seen { epoch: 77, unix_s: now_s, sure: true };
    let loaded = bench.root.take_loaded(seen);
    assert!(matches!(&loaded[..], [(_, Found::Entity(it))] if content(it) == b"0123456789"));
    let none = Counts::default();
    let Found::Entity(found) = bench.root.find(b"hello.txt", seen, &none) else { panic!() };
    assert_eq!(content(&found), b"changed");
}
