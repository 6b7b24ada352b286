//! The loader: who is answered by which look, and that nobody waits for ever.

use super::*;
use crate::{
    files::open::Opener,
    testing::{Site, soon_s},
};
use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

/// A loader, and how often it told of something.
fn loader(site: &Site) -> (Loader, Arc<AtomicU64>) {
    let told = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&told);
    let tell = move || _ = count.fetch_add(1, Ordering::SeqCst);
    let opener = Arc::new(Opener::new(&site.root()).unwrap());
    (Loader::new(opener, Box::new(tell)), told)
}

fn wait_for(loader: &Loader, count: usize) -> Vec<Done> {
    let mut done = Vec::new();
    testkit::wait_until("it is loaded", || {
        done.extend(loader.take_done());
        done.len() >= count
    });
    done
}

#[test]
fn everything_asked_for_is_answered_once() {
    let site = Site::new();
    let (mut loader, told) = loader(&site);
    let paths = ["hello.txt", "dir/", "nothing", "dir", "fifo", "large.bin", "bare/"];
    let mut numbers: Vec<_> =
        paths.iter().map(|path| loader.ask(path.as_bytes(), soon_s())).collect();
    let done = wait_for(&loader, paths.len());
    let mut answered: Vec<_> = done.iter().map(Done::number).collect();
    answered.sort_unstable();
    numbers.sort_unstable();
    assert_eq!(answered, numbers);
    testkit::wait_until("all was told", || told.load(Ordering::SeqCst) == paths.len() as u64);
    for done in done {
        let path = std::str::from_utf8(&done.job.path).unwrap();
        let expected = match path {
            "hello.txt" | "dir/" | "large.bin" => {
                assert!(matches!(done.loaded.found, Found::Entity(_)), "{path}");
                assert!(done.loaded.keep.is_some(), "{path}");
                continue;
            }
            "nothing" => "Nothing",
            "dir" => "Directory",
            _ => "Forbidden",
        };
        assert_eq!(format!("{:?}", done.loaded.found), expected, "{path}");
    }
    assert!(loader.threads.len() <= LOADERS);
}

/// As long as it waits for its turn, a question is joined by the same question; later it is not, for
/// the answer may be older than that.
#[test]
fn a_question_is_joined_only_before_its_turn() {
    let site = Site::new();
    let (mut loader, _) = loader(&site);
    // Nobody works, so everything waits.
    let number = {
        let mut desk = loader.shared.desk();
        let job =
            Job { number: 7, path: b"hello.txt"[..].into(), unix_s: soon_s(), is_second: false };
        desk.numbers.insert(Arc::clone(&job.path), job.number);
        desk.waiting.push_back(job);
        7
    };
    assert_eq!(loader.ask(b"hello.txt", soon_s()), number);
    let other = loader.ask(b"dir/", soon_s());
    assert_ne!(other, number);
    assert_eq!(wait_for(&loader, 2).len(), 2);
    let later = loader.ask(b"hello.txt", soon_s());
    assert!(later != number && later != other);
    assert_eq!(wait_for(&loader, 1)[0].number(), later);
}

#[test]
fn an_answer_is_newer_than_its_question() {
    let site = Site::new();
    let (mut loader, _) = loader(&site);
    for round in 0..200 {
        let content = format!("round {round}");
        fs::write(site.root().join("hello.txt"), &content).unwrap();
        loader.ask(b"hello.txt", soon_s());
        let done = wait_for(&loader, 1).remove(0);
        let Found::Entity(entity) = done.loaded.found else { panic!("it is there") };
        assert!(
            matches!(entity.body(), crate::entity::Body::Bytes(it) if **it == *content.as_bytes())
        );
    }
}

#[test]
fn without_a_descriptor_it_is_tried_once_more() {
    let site = Site::new();
    let (mut loader, _) = loader(&site);
    let job = Job { number: 1, path: b"hello.txt"[..].into(), unix_s: 0, is_second: false };
    let loaded = Loaded::from(Found::Exhausted);
    let mut done = Done { job, loaded };
    assert!(done.wants_descriptor());
    done.job.is_second = true;
    assert!(!done.wants_descriptor());
    loader.ask_again(done.job);
    let done = wait_for(&loader, 1).remove(0);
    assert!(matches!(done.loaded.found, Found::Entity(_)));
    assert_eq!(done.number(), 1);
}

#[test]
fn dropped_with_work_in_hand_it_ends() {
    let site = Site::new();
    for _ in 0..20 {
        let (mut loader, _) = loader(&site);
        for number in 0..100 {
            loader.ask(format!("nothing {number}").as_bytes(), 0);
        }
        let shared = Arc::downgrade(&loader.shared);
        drop(loader);
        testkit::wait_until("its threads have ended", || shared.strong_count() == 0);
    }
}
