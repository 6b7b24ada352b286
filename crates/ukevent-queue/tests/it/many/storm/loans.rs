//! Operations that are cut short, and what they were lent.
//!
//! Each operation on a crossing has a frame of one pool. It completes once, by itself or because it is cancelled, and
//! brings its frame; or it is withdrawn, by its own removal or with its socket, and then nobody is told of it. When
//! all have ended every frame is home.

use super::accounts::{Accounts, Subject, What, lock};
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use testkit::Rng;
use ukevent_buf::{AllocateError, Arena, FramePool};
use ukevent_queue::{Completed, Fd, Key, Mode, Operation, SharedQueue, Token};

const FRAMES: u32 = 24;
const FRAME_BYTES: usize = 8192;
const ECANCELED: i32 = 125;

pub(super) struct Loans {
    /// Whoever uses it lets it go to the next thread.
    pool: Mutex<FramePool>,
    crossings: Vec<Mutex<Crossing>>,
}

/// A socket on which operations run, and what they run against. Who has its lock may end them.
struct Crossing {
    socket: Key,
    peer: UnixStream,
    /// Operations that nobody has cut short.
    open: Vec<Arc<Subject>>,
    /// Those that were cancelled, or could not be removed: what they come to still comes, if the socket stays.
    ending: Vec<Arc<Subject>>,
}

/// How far an operation is.
#[derive(Default)]
pub(super) struct Loan {
    sends: bool,
    /// It was, or a send before it was cut short, perhaps in the middle.
    was_cancelled: AtomicBool,
    /// A taker has, or had, its event.
    pub(super) is_taken: AtomicBool,
    has_ended: AtomicBool,
}

impl Loan {
    /// Enters what it came to.
    pub(super) fn complete(&self, completed: Completed) -> Result<(), String> {
        if self.has_ended.swap(true, Ordering::SeqCst) {
            return Err("it ended twice".to_owned());
        }
        match completed.result {
            Err(errno) if errno.0 == ECANCELED && self.was_cancelled.load(Ordering::SeqCst) => {}
            Ok(_) => {}
            Err(errno) => return Err(format!("it failed: {errno}")),
        }
        match completed.into_buffer() {
            Some(frame) if frame.capacity() == FRAME_BYTES => Ok(()),
            other => Err(format!("it brought {other:?} and not its frame")),
        }
    }
}

impl Crossing {
    fn new(queue: &SharedQueue) -> Self {
        let (own, peer) = UnixStream::pair().unwrap();
        testkit::nonblocking(&peer);
        // Some must wait for room.
        set_socket_send_buffer_size(&own, FRAME_BYTES).unwrap();
        let source = Fd::new(own).unwatched();
        let socket = queue.register(source, Token(u64::MAX), Mode::Level).unwrap();
        Self { socket, peer, open: Vec::new(), ending: Vec::new() }
    }

    /// An operation is about to be cut short, and with a send those behind it.
    fn tear(&self, subject: &Subject) {
        let others = self.open.iter().chain(&self.ending).map(|other| loan(other));
        if loan(subject).sends {
            others
                .filter(|other| other.sends)
                .for_each(|other| other.was_cancelled.store(true, Ordering::SeqCst));
        }
    }

    /// Cancels an operation, which may have ended.
    fn cancel(&mut self, accounts: &Accounts, subject: Arc<Subject>) {
        self.tear(&subject);
        loan(&subject).was_cancelled.store(true, Ordering::SeqCst);
        let _ = accounts.queue.cancel(subject.key().unwrap());
        self.ending.push(subject);
    }
}

impl Loans {
    pub(super) fn new(queue: &SharedQueue) -> Self {
        let builder = FramePool::builder(FRAMES, FRAME_BYTES).exact();
        let pool = builder.waker(queue.room_waker()).build(&Arena::new(1 << 20).unwrap()).unwrap();
        let crossings = (0..2).map(|_| Mutex::new(Crossing::new(queue))).collect();
        pool.let_go();
        Self { pool: Mutex::new(pool), crossings }
    }

    /// How many sockets are registered for it.
    pub(super) fn sockets(&self) -> usize {
        self.crossings.len()
    }

    fn with_pool<T>(&self, body: impl FnOnce(&FramePool) -> T) -> T {
        let pool = lock(&self.pool);
        let result = body(&pool);
        pool.let_go();
        result
    }

    /// Does something to one of them.
    pub(super) fn change(&self, accounts: &Accounts, rng: &mut Rng) {
        let crossing = rng.pick(&self.crossings);
        match rng.below(20) {
            0..6 => self.begin(accounts, &mut lock(crossing), false),
            6..11 => self.begin(accounts, &mut lock(crossing), true),
            11..13 => {
                // What does not fit is not written.
                let _ = (&lock(crossing).peer).write(&[7; 100]);
            }
            13..15 => {
                let _ = (&lock(crossing).peer).read(&mut [0; 2 * FRAME_BYTES]);
            }
            15..17 => {
                let mut crossing = lock(crossing);
                if let Some(subject) = pick(&mut crossing.open, rng) {
                    crossing.cancel(accounts, subject);
                }
            }
            17..19 => withdraw(accounts, &mut lock(crossing), rng),
            _ => {
                let fresh = Crossing::new(&accounts.queue);
                let old = std::mem::replace(&mut *lock(crossing), fresh);
                cut(accounts, old);
            }
        }
    }

    fn begin(&self, accounts: &Accounts, crossing: &mut Crossing, sends: bool) {
        crossing.open.retain(|subject| !has_ended(subject));
        crossing.ending.retain(|subject| !has_ended(subject));
        let mut frame = match self.with_pool(FramePool::allocate) {
            Ok(frame) => frame,
            Err(AllocateError::Full) => return,
            Err(refused) => return accounts.fault(format!("no frame: {refused}")),
        };
        let operation = if sends {
            frame.append(&[7; FRAME_BYTES]).unwrap();
            Operation::send(crossing.socket, frame)
        } else {
            Operation::receive(crossing.socket, frame)
        };
        let subject = accounts.open(What::Loan(Loan { sends, ..Loan::default() }), Mode::Level);
        accounts.start(operation, &subject);
        crossing.open.push(subject);
    }

    /// Ends all, so that each tells; what is not even yet.
    pub(super) fn is_open(&self, accounts: &Accounts) -> Option<String> {
        for crossing in &self.crossings {
            let mut crossing = lock(crossing);
            let crossing = &mut *crossing;
            while let Some(subject) = crossing.open.pop() {
                crossing.cancel(accounts, subject);
            }
            crossing.ending.retain(|subject| !has_ended(subject));
        }
        match self.with_pool(FramePool::statistics) {
            Ok(all) if all.free == all.frames => None,
            other => Some(format!("not all frames are home: {other:?}")),
        }
    }

    pub(super) fn close(&self, accounts: &Accounts) {
        for crossing in &self.crossings {
            drop(accounts.queue.remove(lock(crossing).socket).unwrap());
        }
    }
}

fn loan(subject: &Subject) -> &Loan {
    match &subject.what {
        What::Loan(loan) => loan,
        _ => unreachable!("a crossing has operations only"),
    }
}

pub(super) fn has_ended(subject: &Subject) -> bool {
    loan(subject).has_ended.load(Ordering::SeqCst)
}

fn pick(subjects: &mut Vec<Arc<Subject>>, rng: &mut Rng) -> Option<Arc<Subject>> {
    let count = subjects.len() as u64;
    (count > 0).then(|| subjects.swap_remove(rng.below(count) as usize))
}

/// Removes an operation: either nobody is told of it, or it had told before.
fn withdraw(accounts: &Accounts, crossing: &mut Crossing, rng: &mut Rng) {
    let which = if rng.one_in(3) { &mut crossing.ending } else { &mut crossing.open };
    let Some(subject) = pick(which, rng) else { return };
    crossing.tear(&subject);
    let key = subject.key().unwrap();
    match accounts.queue.remove(key) {
        Ok(withdrawn) => {
            if withdrawn.is_held() {
                accounts.queue.wait_until_let_go(key);
            }
            if loan(&subject).is_taken.load(Ordering::SeqCst) {
                accounts.fault(format!("{}: it told, and was removed", subject.name()));
            }
            accounts.is_gone(&subject);
        }
        Err(_) => crossing.ending.push(subject),
    }
}

/// Removes a socket: its operations go with it, but those that have told.
fn cut(accounts: &Accounts, crossing: Crossing) {
    drop(accounts.queue.remove(crossing.socket).unwrap());
    for subject in crossing.open.iter().chain(&crossing.ending) {
        accounts.queue.wait_until_let_go(subject.key().unwrap());
        if !loan(subject).is_taken.load(Ordering::SeqCst) {
            accounts.is_gone(subject);
        }
    }
}
