//! Files that are sent: with what goes around them, and from the disk.

use super::{ECANCELED, ETIMEDOUT, buffer, done, errno, in_use, own, pair, pool};
use crate::bench::{A, B, Bench, C, batch, silent};
use crate::subject::Queue;
use rustix::fs::Advice;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use ukevent_buf::{Buffer, Piece};
use ukevent_queue::{Direction, Key, Operation, Payload, StartRefusal, Wait};

cases! {
    kernels: [
        a_file_leaves_with_what_goes_around_it,
        what_goes_around_a_file_that_does_not_fit_at_once_is_whole_too,
        a_header_goes_without_a_file,
        a_file_that_ends_early_has_no_trailer,
        a_file_that_is_cut_short_ends_those_behind_it,
        what_goes_around_a_file_comes_back_when_it_is_refused,
        what_goes_around_a_file_goes_home,
        more_than_a_file_has_may_be_asked_for,
    ],
    alone: [
        a_file_that_is_not_in_memory_is_read_by_a_thread,
        a_file_that_is_in_memory_needs_no_thread,
        a_file_of_which_nobody_can_tell_is_read_by_a_thread_once,
        a_cold_file_can_be_cancelled_and_removed,
        a_queue_ends_while_a_file_is_read,
    ],
}

/// Those that watch the queue as a descriptor, which a shared one is not.
mod watched {
    cases_of_one_thread! {
        alone: [
            a_cold_file_shows_to_who_watches,
        ],
    }

    use super::a_cold_file_shows_to_who_watches;
}

fn content(bytes: usize) -> Vec<u8> {
    Vec::from_iter((0..bytes as u32).map(|at| (at / 11) as u8))
}

fn file(queue: &mut Queue, content: &[u8]) -> Key {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    own(queue, file)
}

fn a_file_leaves_with_what_goes_around_it(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, mut theirs) = testkit::tcp_pair();
    let socket = own(&mut queue, ours);
    let file = file(&mut queue, b"0123456789");
    let send = Operation::send_file(socket, file, 2, 6);
    queue.start(send.header(buffer(b"<")).trailer(buffer(b">")), A).unwrap();
    // A share does not come back.
    let send = Operation::send_file(socket, file, 0, 3).header(buffer(b"[").freeze());
    queue.start(send.trailer(buffer(b"]")), B).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(completed.result, Ok(8));
    let back = completed.into_buffers();
    assert_eq!(Vec::from_iter(back.iter().map(|it| &it[..])), [b"<", b">"]);
    let completed = done(&mut queue, B);
    assert_eq!(completed.result, Ok(5));
    assert_eq!(Vec::from_iter(completed.into_buffers().iter().map(|it| &it[..])), [b"]"]);
    let mut arrived = [0; 13];
    theirs.read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"<234567>[012]");
}

fn what_goes_around_a_file_that_does_not_fit_at_once_is_whole_too(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let inside = content(2_000_000);
    let file = file(&mut queue, &inside);
    let (header, trailer) = (vec![1; 400_000], vec![2; 400_000]);
    let send = Operation::send_file(socket, file, 0, 2_000_000)
        .header(Buffer::from(header.clone()))
        .trailer(Buffer::from(trailer.clone()));
    queue.start(send, A).unwrap();
    queue.start(Operation::send(socket, buffer(b"behind")), B).unwrap();
    let reader = thread::spawn(move || {
        let mut arrived = vec![0; 2_800_006];
        peer.read_exact(&mut arrived).unwrap();
        arrived
    });
    assert_eq!(done(&mut queue, A).result, Ok(2_800_000));
    assert_eq!(done(&mut queue, B).result, Ok(6));
    assert!(reader.join().unwrap() == [&header[..], &inside, &trailer, b"behind"].concat());
}

fn a_header_goes_without_a_file(bench: &Bench) {
    let mut queue = bench.queue();
    let (ours, mut theirs) = testkit::tcp_pair();
    let socket = own(&mut queue, ours);
    let file = file(&mut queue, b"");
    for (bytes, trailer) in [(0, false), (10, false), (0, true)] {
        let mut send = Operation::send_file(socket, file, 0, bytes).header(buffer(b"head"));
        if trailer {
            send = send.trailer(buffer(b"tail"));
        }
        queue.start(send, A).unwrap();
        let expected = if trailer { &b"headtail"[..] } else { b"head" };
        assert_eq!(done(&mut queue, A).result, Ok(expected.len() as u32));
        let mut arrived = vec![0; expected.len()];
        theirs.read_exact(&mut arrived).unwrap();
        assert_eq!(arrived, expected);
    }
    queue.start(Operation::send_file(socket, file, 0, 0), B).unwrap();
    assert_eq!(done(&mut queue, B).result, Ok(0));
}

fn a_file_that_ends_early_has_no_trailer(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let file = file(&mut queue, b"short");
    let send = Operation::send_file(socket, file, 0, 10);
    queue.start(send.header(buffer(b"<")).trailer(buffer(b">")), A).unwrap();
    queue.start(Operation::send(socket, buffer(b"behind")), B).unwrap();
    queue.start(Operation::shutdown(socket, Direction::Sending), C).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(completed.result, Ok(6), "whoever counts sees it");
    assert_eq!(completed.into_buffers().len(), 2);
    assert_eq!(errno(&done(&mut queue, B)), ECANCELED);
    let mut arrived = Vec::new();
    done(&mut queue, C);
    peer.read_to_end(&mut arrived).unwrap();
    assert_eq!(arrived, b"<short");
}

fn a_file_that_is_cut_short_ends_those_behind_it(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    let file = file(&mut queue, &content(1_000_000));
    let send = Operation::send_file(socket, file, 0, 1_000_000).header(buffer(b"head"));
    queue.start(send.within(Duration::from_millis(20)), A).unwrap();
    let behind = Operation::send_file(socket, file, 0, 1).trailer(buffer(b"tail"));
    queue.start(behind, B).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!(errno(&completed), ETIMEDOUT);
    assert_eq!(completed.into_buffers().len(), 1);
    let completed = done(&mut queue, B);
    assert_eq!(errno(&completed), ECANCELED);
    assert_eq!(completed.into_buffers().len(), 1);
}

fn what_goes_around_a_file_comes_back_when_it_is_refused(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, _peer) = pair(&mut queue);
    let file = file(&mut queue, b"");
    queue.remove(file).unwrap();
    let send = Operation::send_file(socket, file, 0, 1);
    let refused = queue.start(send.header(buffer(b"<")).trailer(buffer(b">")), A).unwrap_err();
    assert_eq!(refused.reason, StartRefusal::NoSuchKey);
    assert_eq!(refused.operation.into_buffers().len(), 2);
}

fn what_goes_around_a_file_goes_home(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 4);
    let (socket, _peer) = pair(&mut queue);
    let file = file(&mut queue, &content(1_000_000));
    let send = Operation::send_file(socket, file, 0, 1_000_000);
    let around = [(); 2].map(|()| Piece::from(pool.allocate().unwrap()));
    let [header, trailer] = around;
    let key = queue.start(send.header(header).trailer(trailer), A).unwrap();
    silent(&mut queue);
    assert_eq!(in_use(&pool), 2);
    queue.remove(key).unwrap();
    silent(&mut queue);
    assert_eq!(in_use(&pool), 0);
}

fn more_than_a_file_has_may_be_asked_for(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let inside = content(100_000);
    let file = file(&mut queue, &inside);
    queue.start(Operation::send_file(socket, file, 0, u64::MAX), A).unwrap();
    let completed = done(&mut queue, A);
    assert_eq!((completed.result, completed.payload), (Ok(100_000), Payload::None));
    let mut arrived = vec![0; 100_000];
    peer.read_exact(&mut arrived).unwrap();
    assert!(arrived == inside);
    queue.start(Operation::send_file(socket, file, u64::MAX >> 1, 5), B).unwrap();
    let completed = done(&mut queue, B);
    assert!(matches!(completed.result, Ok(0) | Err(_)), "{completed:?}");
}

/// A file of which nothing is in memory; `None`, said aloud, if files here stay there.
fn cold(content: &[u8]) -> Option<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    forget(&file);
    match ukevent_sys::page_cache::cached_pages(&file, 0, 4096) {
        Ok(cached) if cached.pages > 0 => {
            testkit::skip("files here stay in memory");
            None
        }
        _ => Some(file),
    }
}

fn forget(file: &File) {
    file.sync_all().unwrap();
    rustix::fs::fadvise(file, 0, None, Advice::DontNeed).unwrap();
}

/// The queue's threads of this process.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|it| it.trim() == "ukevent-files")).count()
}

fn a_file_that_is_not_in_memory_is_read_by_a_thread(bench: &Bench) {
    // One page, some, and several stretches.
    for bytes in [100, 100_000, 3_000_000] {
        let mut queue = bench.queue();
        let (socket, mut peer) = pair(&mut queue);
        let inside = content(bytes);
        let Some(file) = cold(&inside) else { return };
        let file = own(&mut queue, file);
        let send = Operation::send_file(socket, file, 0, bytes as u64);
        queue.start(send.header(buffer(b"head")), A).unwrap();
        let reader = thread::spawn(move || {
            let mut arrived = vec![0; bytes + 4];
            peer.read_exact(&mut arrived).unwrap();
            arrived
        });
        assert_eq!(done(&mut queue, A).result, Ok(bytes as u32 + 4));
        assert!(reader.join().unwrap()[4..] == inside);
        assert!(threads() > 0, "{bytes} bytes were read while the queue waited");
        drop(queue);
        testkit::wait_until("the threads end", || threads() == 0);
    }
}

fn a_file_that_is_in_memory_needs_no_thread(bench: &Bench) {
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let inside = content(3_000_000);
    let file = file(&mut queue, &inside);
    queue.start(Operation::send_file(socket, file, 5, 2_999_990), A).unwrap();
    let reader = thread::spawn(move || peer.read_exact(&mut vec![0; 2_999_990]));
    assert_eq!(done(&mut queue, A).result, Ok(2_999_990));
    reader.join().unwrap().unwrap();
    assert_eq!(threads(), 0);
}

/// An overlay, which says of no file whether it is in memory.
struct Overlay(tempfile::TempDir);

impl Overlay {
    /// `None`, said aloud, if there can be none.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["lower", "upper", "work", "merged"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut mount = Command::new("mount");
        mount.current_dir(folder.path()).args(["-t", "overlay", "overlay", "merged"]);
        mount.args(["-o", "lowerdir=lower,upperdir=upper,workdir=work"]);
        if !mount.output().is_ok_and(|output| output.status.success()) {
            testkit::skip(
                "an overlay needs CAP_SYS_ADMIN, and a file system that can be under one",
            );
            return None;
        }
        Some(Self(folder))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("merged")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // What is left of it says so when the folder cannot be removed.
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

/// A number once it stands still.
fn settled(number: fn() -> u64) -> u64 {
    let mut last = number();
    testkit::wait_until("it stands still", || {
        thread::sleep(Duration::from_millis(20));
        {
            let now = number();
            std::mem::replace(&mut last, now) == now
        }
    });
    last
}

/// How often the queue's threads went to sleep.
fn sleeps() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let states =
        tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok());
    let of_files = states.filter(|state| state.starts_with("Name:\tukevent-files\n"));
    let count = |state: String| {
        let line = state.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    of_files.map(count).sum()
}

fn a_file_of_which_nobody_can_tell_is_read_by_a_thread_once(bench: &Bench) {
    let Some(overlay) = Overlay::new() else { return };
    let inside = content(1_300_000);
    fs::write(overlay.path().join("file"), &inside).unwrap();
    let mut queue = bench.queue();
    let (socket, mut peer) = pair(&mut queue);
    let file = own(&mut queue, File::open(overlay.path().join("file")).unwrap());
    let reader = thread::spawn(move || {
        let mut arrived = vec![0; 2_600_000];
        peer.read_exact(&mut arrived).unwrap();
        arrived
    });
    queue.start(Operation::send_file(socket, file, 0, 1_300_000), A).unwrap();
    assert_eq!(done(&mut queue, A).result, Ok(1_300_000));
    assert!(threads() > 0, "nobody said that it was in memory");
    let before = settled(sleeps);
    queue.start(Operation::send_file(socket, file, 0, 1_300_000), B).unwrap();
    assert_eq!(done(&mut queue, B).result, Ok(1_300_000));
    assert_eq!(settled(sleeps), before, "it was read before");
    assert!(reader.join().unwrap() == [&inside[..], &inside].concat());
    drop(queue);
}

fn a_cold_file_can_be_cancelled_and_removed(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 4);
    let (socket, _peer) = pair(&mut queue);
    let Some(inside) = cold(&content(900_000)) else { return };
    let again = inside.try_clone().unwrap();
    let file = own(&mut queue, inside);
    for round in 0..20 {
        forget(&again);
        let send = Operation::send_file(socket, file, 0, 900_000);
        let send = send.trailer(pool.allocate().unwrap());
        let key = queue.start(send, A).unwrap();
        drop(batch(&mut queue, Wait::now()));
        if round % 2 == 0 {
            queue.remove(key).unwrap();
        } else {
            queue.cancel(key).unwrap();
            assert_eq!(errno(&done(&mut queue, A)), ECANCELED);
        }
        silent(&mut queue);
        assert_eq!((in_use(&pool), queue.counters().registered), (0, 2));
    }
    // The file is gone when it is its turn.
    let (socket, mut peer) = pair(&mut queue);
    let reader = thread::spawn(move || peer.read_to_end(&mut Vec::new()));
    forget(&again);
    queue.start(Operation::send_file(socket, file, 0, 900_000), B).unwrap();
    drop(batch(&mut queue, Wait::now()));
    queue.remove(file).unwrap();
    done(&mut queue, B).result.unwrap_or(0);
    drop(queue);
    reader.join().unwrap().unwrap();
}

fn a_queue_ends_while_a_file_is_read(bench: &Bench) {
    let before = testkit::fd_count();
    for _ in 0..10 {
        let mut queue = bench.queue();
        let (socket, _peer) = pair(&mut queue);
        let Some(file) = cold(&content(500_000)) else { return };
        let file = own(&mut queue, file);
        queue.start(Operation::send_file(socket, file, 0, 500_000), A).unwrap();
        drop(batch(&mut queue, Wait::now()));
    }
    testkit::wait_until("all is closed", || testkit::fd_count() == before && threads() == 0);
}

fn a_cold_file_shows_to_who_watches(bench: &Bench) {
    let (mut outer, mut inner) = (bench.queue(), bench.queue());
    let (socket, mut peer) = pair(&mut inner);
    let Some(file) = cold(&content(1_000_000)) else { return };
    let file = own(&mut inner, file);
    let watched = ukevent_queue::Fd::new(inner.descriptor().unwrap());
    outer.register(watched, A, ukevent_queue::Mode::Level).unwrap();
    let reader = thread::spawn(move || peer.read_exact(&mut vec![0; 1_000_000]));
    inner.start(Operation::send_file(socket, file, 0, 1_000_000), B).unwrap();
    loop {
        assert!(!batch(&mut outer, crate::bench::patient()).is_empty(), "nothing shows");
        if let Some(event) = batch(&mut inner, Wait::now()).pop() {
            assert_eq!(super::completed(event).result, Ok(1_000_000));
            break;
        }
    }
    reader.join().unwrap().unwrap();
}
