//! Operations against real sockets and files.

use super::*;
use crate::poll::PollMask;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use testkit::skip;

mod end;
mod files;
mod groups;
mod messages;
mod sockets;

/// An enabled ring, or a skipped test.
macro_rules! ring {
    () => {
        match Ring::new(RingOptions { submissions: 64, completions: 256 }) {
            Ok(mut ring) => {
                ring.enable().unwrap();
                ring
            }
            Err(error) => skip!("{error}"),
        }
    };
}
use ring;

const NO_FLAGS: ReceiveFlags = ReceiveFlags::empty();

/// Starts it under a word that no other has.
fn start<L: Lend>(ring: &mut Ring<L>, operation: Operation<L>) -> (u64, Flight) {
    static WORDS: AtomicUsize = AtomicUsize::new(1);
    let word = WORDS.fetch_add(1, SeqCst) as u64;
    let Ok(flight) = ring.start(word, operation) else { panic!("the ring is full") };
    (word, flight)
}

/// Enters until there is a completion.
fn next<L: Lend>(ring: &mut Ring<L>) -> Completed<L> {
    loop {
        if let Some(completed) = ring.completions().next() {
            return completed;
        }
        ring.enter(EnterWait { completions: 1, ..EnterWait::default() }).unwrap();
    }
}

/// Starts it and waits for its only completion.
fn perform<L: Lend>(ring: &mut Ring<L>, operation: Operation<L>) -> (i32, Load<L>) {
    let (word, _) = start(ring, operation);
    let completed = next(ring);
    assert_eq!((completed.user_data, completed.more), (word, false));
    (completed.result, completed.load)
}

/// Submits what was pushed, and does not wait.
fn submit<L: Lend>(ring: &mut Ring<L>) {
    ring.enter(EnterWait::default()).unwrap();
}

#[track_caller]
fn descriptor<L: Lend>(load: Load<L>) -> OwnedFd {
    match load {
        Load::Descriptor(fd) => fd,
        _ => panic!("no descriptor"),
    }
}

#[track_caller]
fn buffer<L: Lend>(load: Load<L>) -> L {
    match load {
        Load::Buffer(buffer) => buffer,
        _ => panic!("no buffer"),
    }
}

/// Memory that outlives its owner, who fills it when dropped: what is written later is seen.
struct Watched {
    memory: &'static Region,
    filled: usize,
}

struct Region {
    bytes: std::cell::UnsafeCell<Box<[u8]>>,
    dropped: AtomicUsize,
}

// SAFETY: read in the tests only when neither a `Watched` nor the kernel uses it.
unsafe impl Sync for Region {}

static REGIONS: Mutex<Vec<&Region>> = Mutex::new(Vec::new());

const FREED: u8 = 0xAA;

impl Watched {
    fn new(filled: usize, size: usize) -> Self {
        let bytes = (0..size).map(|index| (index % 251) as u8).collect();
        let region =
            Region { bytes: std::cell::UnsafeCell::new(bytes), dropped: AtomicUsize::new(0) };
        let memory = Box::leak(Box::new(region));
        // Where a leak detector finds it: that it outlives all is on purpose.
        REGIONS.lock().unwrap().push(memory);
        Self { memory, filled }
    }
}

impl Region {
    fn is_dropped(&self) -> bool {
        self.dropped.load(SeqCst) > 0
    }

    /// Whether nobody wrote since it was freed.
    fn is_untouched(&self) -> bool {
        // SAFETY: the owner is gone, and if the kernel still writes, that is what the test is to see.
        unsafe { &*self.bytes.get() }.iter().all(|&byte| byte == FREED)
    }
}

// SAFETY: the memory is leaked, and used through its one owner.
unsafe impl Lend for Watched {
    fn filled(&self) -> *const [u8] {
        // SAFETY: no reference to it exists while its owner does.
        unsafe { &raw const (&(*self.memory.bytes.get()))[..self.filled] }
    }

    fn room(&mut self) -> *mut [u8] {
        // SAFETY: as above.
        unsafe { &raw mut (&mut (*self.memory.bytes.get()))[self.filled..] }
    }

    unsafe fn commit(&mut self, bytes: usize) {
        self.filled += bytes;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: the owner is dropped, so nothing else uses it.
        unsafe { (*self.memory.bytes.get()).fill(FREED) };
        self.memory.dropped.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_poll_and_an_operation_share_a_ring() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, right) = testkit::unix_pair();
    let fd = left.as_raw_fd();
    let poll_word = u64::MAX;
    ring.push(Submission::poll(fd, PollMask::IN, false, poll_word)).unwrap();
    // A word that looks like a flight's is as good as any.
    let word = 1 << 30;
    ring.start(word, Operation::Receive { fd, buffer: Vec::with_capacity(8), flags: NO_FLAGS })
        .unwrap();
    submit(&mut ring);
    rustix::io::write(&right, b"both").unwrap();
    let mut words = [next(&mut ring).user_data, next(&mut ring).user_data];
    words.sort_unstable();
    assert_eq!(words, [word, poll_word]);
    assert_eq!(ring.flights(), 0);
}

#[test]
#[should_panic(expected = "a flight's")]
fn a_poll_cannot_pass_for_an_operation() {
    let _ = Submission::poll(0, PollMask::IN, false, 5 << 32 | 1 << 30);
}

#[test]
fn a_full_ring_gives_the_operation_back() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, _right) = testkit::unix_pair();
    let fd = left.as_raw_fd();
    let mut started = 0;
    let refused = loop {
        let operation = Operation::Receive { fd, buffer: vec![7; 3], flags: NO_FLAGS };
        match ring.start(1, operation) {
            Ok(_) => started += 1,
            Err(operation) => break operation,
        }
    };
    assert_eq!((started, ring.flights(), ring.unsubmitted()), (64, 64, 64));
    assert!(matches!(refused, Operation::Receive { buffer, .. } if buffer == [7; 3]));
    submit(&mut ring);
    assert!(ring.start(1, Operation::Sync { fd, data_only: true }).is_ok());
}

#[test]
fn what_was_submitted_is_told_from_what_was_not() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, right) = testkit::unix_pair();
    let receive = || Operation::Receive {
        fd: left.as_raw_fd(),
        buffer: Vec::with_capacity(8),
        flags: NO_FLAGS,
    };
    let (_, first) = start(&mut ring, receive());
    assert!(!ring.is_submitted(first));
    submit(&mut ring);
    let (_, second) = start(&mut ring, receive());
    assert!(ring.is_submitted(first) && !ring.is_submitted(second));
    submit(&mut ring);
    drop(right);
    next(&mut ring);
    next(&mut ring);
    assert!(ring.is_submitted(first) && ring.is_submitted(second), "they have ended");
}

#[test]
fn a_forgotten_iterator_brings_nothing_twice() {
    let mut ring: Ring = ring!();
    let (listener, address) = testkit::listener();
    let listens = listener.as_raw_fd();
    start(&mut ring, Operation::Accept { listener: listens, each: true, nonblocking: false });
    let _client = std::net::TcpStream::connect(address).unwrap();
    ring.enter(EnterWait { completions: 1, ..EnterWait::default() }).unwrap();
    let mut completions = ring.completions();
    let first = completions.next().unwrap();
    std::mem::forget(completions);
    // The same number would come out a second time, and be closed twice.
    assert!(ring.completions().next().is_none());
    descriptor(first.load);
}

#[test]
fn completions_not_taken_stay() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, mut right) = testkit::unix_pair();
    for _ in 0..3 {
        let operation = Operation::Send { fd: left.as_raw_fd(), buffer: vec![1], more: false };
        start(&mut ring, operation);
    }
    ring.enter(EnterWait { completions: 3, ..EnterWait::default() }).unwrap();
    assert!(ring.completions().next().is_some());
    assert_eq!((ring.waiting(), ring.flights()), (2, 2));
    assert_eq!(ring.completions().count(), 2);
    std::io::Read::read_exact(&mut right, &mut [0; 3]).unwrap();
}

#[test]
fn slots_are_used_again_under_new_names() {
    let mut ring: Ring<Vec<u8>> = ring!();
    let (left, _right) = testkit::unix_pair();
    let fd = left.as_raw_fd();
    let (_, old) = start(&mut ring, Operation::Shutdown { fd, how: std::net::Shutdown::Write });
    next(&mut ring);
    let (word, new) =
        start(&mut ring, Operation::Receive { fd, buffer: Vec::with_capacity(8), flags: NO_FLAGS });
    assert_ne!(old, new);
    // The old name ends nothing.
    assert!(ring.cancel_flight(old));
    submit(&mut ring);
    assert_eq!(ring.completions().count(), 0);
    assert!(ring.cancel_flight(new));
    let ended = next(&mut ring);
    assert_eq!((ended.user_data, ended.result), (word, -libc::ECANCELED));
}
