//! Files that change under a server that relies on being told.

use crate::client::{Client, Running, backends};
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use ukevent_http::Limits;
use ukevent_queue::BackendKind;

/// Hot files of one backend, each in directories of its own.
const FILES: usize = 40;

type Way = fn(&Path, &str);

/// What becomes of `name` below a directory that is two levels above it.
const WAYS: [(&str, Way); 6] = [
    ("written", |path, content| fs::write(path, content).unwrap()),
    ("renamed over", |path, content| {
        let other = path.with_extension("new");
        fs::write(&other, content).unwrap();
        fs::rename(&other, path).unwrap();
    }),
    ("removed and made anew", |path, content| {
        fs::remove_file(path).unwrap();
        fs::write(path, content).unwrap();
    }),
    ("with its directory", |path, content| {
        let directory = path.parent().unwrap();
        fs::rename(directory, directory.with_extension("old")).unwrap();
        fs::create_dir(directory).unwrap();
        fs::write(path, content).unwrap();
    }),
    ("with the directory above", |path, content| {
        let above = path.parent().unwrap().parent().unwrap();
        fs::rename(above, above.with_extension("old")).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }),
    ("linked elsewhere", |path, content| {
        fs::write(path.with_extension("new"), content).unwrap();
        fs::remove_file(path).unwrap();
        symlink(path.with_extension("new").file_name().unwrap(), path).unwrap();
    }),
];

/// Many ask all the time, so that some requests are read in the moment in which something changes. The
/// first request after the change shows it.
#[test]
fn the_next_request_sees_it() {
    let site = tempfile::tempdir().unwrap();
    for kind in BackendKind::REAL {
        for number in 0..FILES {
            let directory = site.path().join(format!("{kind}/{number}/in"));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("index.html"), "before").unwrap();
        }
    }
    // What changed a moment ago is not kept.
    std::thread::sleep(Duration::from_millis(3100));
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let mut client = server.connect();
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        for number in 0..FILES {
                            client.send(request(&format!("/{kind}/{number}/in/")));
                        }
                        (0..FILES).for_each(|_| drop(client.answer()));
                    }
                });
            }
            let mut client = server.connect();
            for number in 0..FILES {
                let path = format!("/{kind}/{number}/in/");
                for _ in 0..3 {
                    assert_eq!(client.get(&path).content, b"before");
                }
                let (way, change) = WAYS[number % WAYS.len()];
                let content = format!("after {number}");
                change(&site.path().join(&path[1..]).join("index.html"), &content);
                let answer = client.get(&path);
                assert_eq!(answer.content, content.as_bytes(), "{kind}: {way}: {answer:?}");
                // Another connection sees no older one, and nor does anybody later.
                assert_eq!(
                    server.connect().get(&path).content,
                    content.as_bytes(),
                    "{kind}: {way}"
                );
                fs::remove_file(site.path().join(&path[1..]).join("index.html")).unwrap();
                assert_eq!(client.get(&path).status(), 403, "{kind}: {way}");
            }
            over.store(true, Ordering::Relaxed);
        });
        server.stop();
    }
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// More reports than the queue reads at a time lie between the change and what is known of it.
#[test]
fn a_flood_of_reports_hides_nothing() {
    let site = tempfile::tempdir().unwrap();
    for kind in BackendKind::REAL {
        for number in 0..20 {
            fs::create_dir_all(site.path().join(format!("{kind}/{number}"))).unwrap();
            fs::write(site.path().join(format!("{kind}/{number}/file")), "before").unwrap();
        }
    }
    std::thread::sleep(Duration::from_millis(3100));
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        let mut client = server.connect();
        for number in 0..20 {
            let path = format!("/{kind}/{number}/file");
            for _ in 0..3 {
                assert_eq!(client.get(&path).content, b"before");
            }
            let place = site.path().join(&path[1..]);
            for _ in 0..1500 {
                // Two reports each, about nothing that is served.
                fs::write(place.with_extension("other"), "").unwrap();
                fs::remove_file(place.with_extension("other")).unwrap();
            }
            fs::write(&place, "after").unwrap();
            assert_eq!(client.get(&path).content, b"after", "{kind}");
        }
        server.stop();
    }
}

/// What the kernel has not in memory is waited for by others than the loop; several ask at once.
#[test]
fn cold_files_come_too() {
    let site = tempfile::tempdir().unwrap();
    for number in 0..50 {
        let path = site.path().join(format!("{number}"));
        fs::write(&path, format!("cold {number}").repeat(100)).unwrap();
        let file = fs::File::open(&path).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
    for kind in backends() {
        let server = Running::new(kind, Some(site.path()), Limits::default());
        let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
        for client in &mut clients {
            for number in 0..50 {
                // Some of these names were never asked for.
                client.send(request(&format!("/{number}")));
                client.send(request(&format!("/{kind} never heard of {number}").replace(' ', "_")));
            }
        }
        for client in &mut clients {
            for number in 0..50 {
                let expected = format!("cold {number}").repeat(100);
                assert_eq!(client.answer().content, expected.as_bytes(), "{kind}");
                assert_eq!(client.answer().status(), 404, "{kind}");
            }
        }
        drop(clients);
        assert_eq!(server.stop().0.requests, 1000, "{kind}");
    }
}
