//! What is served, what is not, and that changes are seen.

use super::*;
use crate::{
    entity::{Body, Entity},
    testing::{MODIFIED_S, Site, large, soon_s},
};
use std::{fs, os::unix::fs::symlink};

mod beside;
mod listing;
mod watching;

/// Looks at different times: every look is one of its own.
fn look(root: &mut Root, path: &str, unix_s: u64) -> Found {
    static EPOCH: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let epoch = EPOCH.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    root.find(path.as_bytes(), Seen { epoch, unix_s, sure: false }, &Counts::default())
}

fn entity(root: &mut Root, path: &str) -> Arc<Entity> {
    match look(root, path, soon_s()) {
        Found::Entity(entity) => entity,
        other => panic!("{path}: {other:?}"),
    }
}

fn content(entity: &Entity) -> Vec<u8> {
    match entity.body() {
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::File(file) => {
            let mut content = vec![0; entity.len() as usize];
            std::os::unix::fs::FileExt::read_exact_at(
                &fs::File::from(file.try_clone().unwrap()),
                &mut content,
                0,
            )
            .unwrap();
            content
        }
    }
}

fn text(root: &mut Root, path: &str) -> String {
    String::from_utf8(content(&entity(root, path))).unwrap()
}

fn both(site: &Site) -> [Root; 2] {
    [Root::open(&site.root()).unwrap(), Root::open_by_walking(&site.root()).unwrap()]
}

#[test]
fn files_and_indexes() {
    let site = Site::new();
    for mut root in both(&site) {
        for (path, expected) in [
            ("", "<h1>home</h1>"),
            ("hello.txt", "0123456789"),
            ("empty.txt", ""),
            ("dir/", "<h1>dir</h1>"),
            ("dir/page.txt", "page"),
            ("größe.txt", "size"),
        ] {
            assert_eq!(text(&mut root, path), expected, "{path}");
            assert_eq!(text(&mut root, path), expected, "{path}, from the cache");
        }
        assert_eq!(content(&entity(&mut root, "large.bin")), large());
    }
}

#[test]
fn what_is_not_there_or_not_to_be_shown() {
    let site = Site::new();
    for mut root in both(&site) {
        for (path, expected) in [
            ("nothing", "Nothing"),
            ("nothing/", "Nothing"),
            ("dir/nothing", "Nothing"),
            ("hello.txt/", "Nothing"),
            ("hello.txt/x", "Nothing"),
            (&"x".repeat(300), "Nothing"),
            (&"x/".repeat(3000), "Nothing"),
            ("dir", "Directory"),
            ("bare", "Directory"),
            ("bare/", "Forbidden"),
            ("odd/", "Forbidden"),
            ("fifo", "Forbidden"),
            ("out.txt", "Forbidden"),
            ("out/secret.txt", "Forbidden"),
            ("out/root/hello.txt", "Forbidden"),
            ("absolute", "Forbidden"),
            ("loop", "Forbidden"),
            ("loop/x", "Forbidden"),
        ] {
            let found = format!("{:?}", look(&mut root, path, soon_s()));
            assert_eq!(found, expected, "{path} (walks: {root:?})");
        }
    }
}

#[test]
fn links_below_the_root_are_followed_unless_the_kernel_cannot_guard_them() {
    let site = Site::new();
    let [mut root, mut walking] = both(&site);
    for path in ["link.txt", "dir/up.txt"] {
        assert_eq!(text(&mut root, path), "0123456789");
        assert!(matches!(look(&mut walking, path, soon_s()), Found::Forbidden), "{path}");
    }
    assert!(matches!(look(&mut root, "dead", soon_s()), Found::Nothing));
}

#[test]
fn an_entity_says_what_it_is() {
    let site = Site::new();
    let mut root = Root::open(&site.root()).unwrap();
    let hello = entity(&mut root, "hello.txt");
    let fields = std::str::from_utf8(hello.fields()).unwrap();
    for line in [
        "Content-Type: text/plain; charset=utf-8\r\n",
        "Content-Length: 10\r\n",
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "Accept-Ranges: bytes\r\n",
    ] {
        assert!(fields.contains(line), "{fields}");
    }
    assert!(hello.validators().etag.unwrap().starts_with('"'), "{fields}");
    assert_eq!(hello.validators().modified_s, Some(MODIFIED_S));
    let index = entity(&mut root, "");
    assert!(std::str::from_utf8(index.fields()).unwrap().contains("text/html; charset=utf-8"));
    assert_ne!(hello.validators().etag, index.validators().etag);
}

#[test]
fn what_changed_just_now_is_weak_and_not_kept() {
    let site = Site::new();
    let mut root = Root::open(&site.root()).unwrap();
    let now_s = soon_s() - 1000;
    let Found::Entity(fresh) = look(&mut root, "hello.txt", now_s) else { panic!() };
    assert!(fresh.validators().etag.unwrap().starts_with("W/\""));
    assert!(!fresh.validators().settled);
    let Found::Entity(again) = look(&mut root, "hello.txt", now_s) else { panic!() };
    assert!(!Arc::ptr_eq(&fresh, &again), "it was kept");
    let settled = entity(&mut root, "hello.txt");
    assert_eq!(
        settled.validators().etag.unwrap(),
        fresh.validators().etag.unwrap().trim_start_matches("W/")
    );
    assert!(Arc::ptr_eq(&settled, &entity(&mut root, "hello.txt")), "it was not kept");
}

#[test]
fn a_date_is_never_in_the_future() {
    let site = Site::new();
    let mut root = Root::open(&site.root()).unwrap();
    let Found::Entity(early) = look(&mut root, "hello.txt", 1000) else { panic!() };
    assert_eq!(early.validators().modified_s, Some(1000));
}

type Change<'a> = &'a dyn Fn(&std::path::Path);

/// Every way to change what a path leads to, each after the entity was kept.
#[test]
fn a_change_is_seen_at_the_next_look() {
    for name in ["hello.txt", "large.bin", "dir/page.txt"] {
        let ways: [(&str, Change<'_>); 6] = [
            ("rewritten", &|path| fs::write(path, "changed").unwrap()),
            ("appended", &|path| {
                use std::io::Write;
                fs::File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
            }),
            ("replaced", &|path| {
                let other = path.with_extension("new");
                fs::write(&other, "changed").unwrap();
                fs::rename(&other, path).unwrap();
            }),
            ("same size and date", &|path| {
                let file = fs::File::options().write(true).open(path).unwrap();
                let modified = file.metadata().unwrap().modified().unwrap();
                std::os::unix::fs::FileExt::write_at(&file, b"X", 0).unwrap();
                file.set_modified(modified).unwrap();
            }),
            ("linked elsewhere", &|path| {
                fs::remove_file(path).unwrap();
                let other = path.with_file_name("other");
                fs::write(&other, "changed").unwrap();
                symlink("other", path).unwrap();
            }),
            ("directory replaced", &|path| {
                let dir = path.parent().unwrap();
                fs::rename(dir, dir.with_extension("old")).unwrap();
                fs::create_dir(dir).unwrap();
                fs::write(path, "changed").unwrap();
            }),
        ];
        for (way, change) in ways {
            if way == "directory replaced" && !name.contains('/') {
                continue;
            }
            let site = Site::new();
            let mut root = Root::open(&site.root()).unwrap();
            let before = entity(&mut root, name);
            assert!(Arc::ptr_eq(&before, &entity(&mut root, name)), "{name} was not kept");
            change(&site.root().join(name));
            let after = entity(&mut root, name);
            let now = fs::read(site.root().join(name)).unwrap();
            assert_eq!(content(&after), now, "{name} {way}");
            assert_ne!(before.validators().etag, after.validators().etag, "{name} {way}");
        }
    }
}

#[test]
fn what_is_removed_is_gone() {
    let site = Site::new();
    let mut root = Root::open(&site.root()).unwrap();
    entity(&mut root, "hello.txt");
    fs::remove_file(site.root().join("hello.txt")).unwrap();
    assert!(matches!(look(&mut root, "hello.txt", soon_s()), Found::Nothing));
    entity(&mut root, "dir/");
    fs::remove_file(site.root().join("dir/index.html")).unwrap();
    assert!(matches!(look(&mut root, "dir/", soon_s()), Found::Forbidden));
    entity(&mut root, "dir/page.txt");
    fs::rename(site.root().join("dir"), site.root().join("gone")).unwrap();
    symlink(site.dir.path(), site.root().join("dir")).unwrap();
    assert!(matches!(look(&mut root, "dir/page.txt", soon_s()), Found::Forbidden));
}

#[test]
fn within_an_epoch_one_look_is_enough() {
    let site = Site::new();
    let mut root = Root::open(&site.root()).unwrap();
    let seen = Seen { epoch: u64::MAX, unix_s: soon_s(), sure: false };
    let none = Counts::default();
    let Found::Entity(first) = root.find(b"hello.txt", seen, &none) else { panic!() };
    fs::remove_file(site.root().join("hello.txt")).unwrap();
    let Found::Entity(second) = root.find(b"hello.txt", seen, &none) else { panic!() };
    assert!(Arc::ptr_eq(&first, &second));
}

/// With as much waiting as may, more is refused, and what is at hand stays so.
#[test]
fn what_cannot_wait_for_the_disk_is_refused() {
    let site = Site::new();
    let mut root = Root::open(&site.root()).unwrap();
    root.load_elsewhere(0, Box::new(|| {}));
    let large = entity(&mut root, "large.bin");
    for round in 0..3 {
        let path = format!("never heard of {round}");
        assert!(matches!(look(&mut root, &path, soon_s()), Found::Busy));
    }
    assert!(Arc::ptr_eq(&large, &entity(&mut root, "large.bin")));
}

/// What a look at may take long is looked at by a thread, each time.
#[test]
fn what_is_remote_is_looked_at_elsewhere() {
    let site = Site::new();
    let mut root = Root::open(&site.root()).unwrap();
    // Without a thread there is no other way.
    let before = entity(&mut root, "hello.txt");
    root.cache.be_remote();
    assert!(Arc::ptr_eq(&before, &entity(&mut root, "hello.txt")));
    assert!(!root.wants_tending(), "it cannot be watched");
    root.load_elsewhere(9, Box::new(|| {}));
    for content in ["changed", "once more"] {
        root.cache.be_remote();
        fs::write(site.root().join("hello.txt"), content).unwrap();
        let Found::Later(number) = look(&mut root, "hello.txt", soon_s()) else {
            panic!("it is not being loaded");
        };
        testkit::wait_until("it is loaded", || root.loader.as_ref().unwrap().has_done());
        let seen = Seen { epoch: 0, unix_s: soon_s(), sure: true };
        let loaded = root.take_loaded(seen);
        let [(of, Found::Entity(entity))] = &loaded[..] else { panic!("{loaded:?}") };
        assert_eq!((*of, self::content(entity)), (number, content.into()));
    }
}

#[test]
fn the_root_may_be_moved_but_must_exist() {
    let site = Site::new();
    let mut root = Root::open(&site.root()).unwrap();
    fs::rename(site.root(), site.dir.path().join("moved")).unwrap();
    assert_eq!(text(&mut root, "hello.txt"), "0123456789");
    assert_eq!(Root::open(&site.dir.path().join("nowhere")).unwrap_err(), Errno::NOENT);
    let file = site.dir.path().join("moved/hello.txt");
    assert_eq!(Root::open(&file).unwrap_err(), Errno::NOTDIR);
}
