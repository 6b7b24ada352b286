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
    (Loader::new(opener, 100, Box::new(tell)), told)
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
        paths.iter().map(|path| loader.ask(path.as_bytes(), soon_s()).unwrap()).collect();
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
    assert_eq!(loader.ask(b"hello.txt", soon_s()), Some(number));
    let other = loader.ask(b"dir/", soon_s()).unwrap();
    assert_ne!(other, number);
    assert_eq!(wait_for(&loader, 2).len(), 2);
    let later = loader.ask(b"hello.txt", soon_s()).unwrap();
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
        loader.ask(b"hello.txt", soon_s()).unwrap();
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
            loader.ask(format!("nothing {number}").as_bytes(), 0).unwrap();
        }
        let shared = Arc::downgrade(&loader.shared);
        drop(loader);
        testkit::wait_until("its threads have ended", || shared.strong_count() == 0);
    }
}

/// Whoever asks and goes away leaves a question behind; there is an end to it.
#[test]
fn so_many_wait_and_no_more() {
    let site = Site::new();
    let (mut loader, _) = loader(&site);
    loader.most = 2;
    {
        // Nobody works, so everything waits.
        let mut desk = loader.shared.desk();
        for number in [98, 99] {
            let path: Arc<[u8]> = format!("{number}").as_bytes().into();
            desk.numbers.insert(Arc::clone(&path), number);
            desk.waiting.push_back(Job { number, path, unix_s: 0, is_second: false });
        }
    }
    assert_eq!(loader.ask(b"hello.txt", soon_s()), None);
    assert_eq!(loader.ask(b"98", soon_s()), Some(98), "it waits already");
}

/// A signal of the process is for its own threads, which wait for it.
#[test]
fn its_threads_take_no_signal() {
    let site = Site::new();
    let (mut loader, _) = loader(&site);
    loader.ask(b"hello.txt", soon_s()).unwrap();
    wait_for(&loader, 1);
    let mut seen = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        if status.starts_with("Name:\tload ") {
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
            let blocked = u64::from_str_radix(blocked, 16).unwrap();
            // SIGTERM, SIGINT and SIGALRM.
            assert_eq!(blocked & 0b110_0000_0000_0010, 0b110_0000_0000_0010, "{blocked:x}");
            seen += 1;
        }
    }
    assert!(seen > 0, "there is no thread");
}
