//! What there is, what is due, and what must never happen.

use super::loans::{self, Loan, Loans};
use crate::many::Door;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use testkit::Rng;
use ukevent_buf::Buffer;
use ukevent_queue::{
    Event, Fd, Key, Merge, Mode, Operation, Policy, PostError, Poster, SharedQueue, Source, Timer,
    Token, User, Waker,
};

/// Pipes that are always registered, again and again.
const PIPES: usize = 6;
/// Periods of the timers that go on.
pub(super) const PERIOD: Duration = Duration::from_micros(700);

pub(super) struct Accounts {
    pub(super) queue: SharedQueue,
    /// What is registered or started, by token.
    subjects: Mutex<BTreeMap<u64, Arc<Subject>>>,
    tokens: AtomicU64,
    clock: AtomicU64,
    faults: Mutex<Vec<String>>,
    /// Nobody does anything but wait.
    pub(super) is_calm: AtomicBool,
    pub(super) is_over: AtomicBool,
    /// Takers that have not left.
    pub(super) takers: AtomicUsize,
    /// What each taker was told of what is for all.
    logs: Mutex<Vec<Arc<Log>>>,
    /// Posts for all, and when they were made.
    told_all: Mutex<Vec<(u64, u64)>>,
    pub(super) for_all: OnceLock<Poster>,
    pub(super) wakers: Mutex<Vec<Waker>>,
    pub(super) wires: Vec<Wire>,
    pub(super) loans: Loans,
}

/// A registration, or an operation.
pub(super) struct Subject {
    pub(super) token: u64,
    pub(super) what: What,
    pub(super) poster: OnceLock<Poster>,
    key: OnceLock<Key>,
    /// How many work on an event of it.
    working: AtomicI32,
    /// It was removed, and nobody holds an event of it.
    gone: AtomicBool,
    /// An event of it was handed on.
    pub(super) was_released: AtomicBool,
    /// When it was disabled; 0 if it is not.
    disabled_at: AtomicU64,
    pub(super) control: Mutex<Control>,
}

/// What those who change it agree on.
pub(super) struct Control {
    pub(super) is_live: bool,
    pub(super) is_wanted: bool,
    pub(super) mode: Mode,
    /// It may have disabled itself.
    pub(super) was_dispatch: bool,
}

pub(super) enum What {
    Pipe(Arc<Pipe>),
    Once {
        fired: AtomicU64,
    },
    Every {
        began: Instant,
        passed: AtomicU64,
    },
    /// Each value, and whether it has come.
    Each(Mutex<HashMap<u64, bool>>),
    Merged {
        posted: AtomicU64,
        came: AtomicU64,
        posts: AtomicU64,
        counted: AtomicU64,
    },
    ForAll,
    Operation {
        wire: usize,
        sends: bool,
    },
    /// An operation that may be cut short.
    Loan(Loan),
}

pub(super) struct Pipe {
    pub(super) door: Door,
    pub(super) written: AtomicU64,
    pub(super) read: AtomicU64,
}

/// Two sockets between which operations carry bytes.
pub(super) struct Wire {
    ends: [Key; 2],
    sent: AtomicU64,
    received: AtomicU64,
    sends: AtomicU64,
    receives: AtomicU64,
    waiting: Mutex<Vec<Key>>,
}

/// One taker's.
pub(super) struct Log {
    born: u64,
    seen: Mutex<HashSet<u64>>,
    is_here: AtomicBool,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Accounts {
    pub(super) fn new(queue: SharedQueue, rng: &mut Rng) -> Self {
        let wires = (0..2).map(|_| Wire::new(&queue)).collect();
        let loans = Loans::new(&queue);
        let accounts = Self {
            queue,
            subjects: Mutex::default(),
            tokens: AtomicU64::new(0),
            clock: AtomicU64::new(1),
            faults: Mutex::default(),
            is_calm: AtomicBool::new(true),
            is_over: AtomicBool::new(false),
            takers: AtomicUsize::new(0),
            logs: Mutex::default(),
            told_all: Mutex::default(),
            for_all: OnceLock::new(),
            wakers: Mutex::default(),
            wires,
            loans,
        };
        for _ in 0..PIPES {
            let pipe = Pipe { door: Door::new(), written: 0.into(), read: 0.into() };
            accounts.watch(Arc::new(pipe), rng);
        }
        for _ in 0..2 {
            accounts.tick_on();
            accounts.user(User::each(256));
            accounts.user(User::merged(Merge::Sum));
        }
        let for_all = (accounts.queue.policy() != Policy::Pinned).then_some(What::ForAll);
        for_all.map(|it| accounts.found(it, User::each(1024).into(), Mode::Level));
        accounts
    }

    /// The time, which moves with every question.
    pub(super) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn fault(&self, what: String) {
        lock(&self.faults).push(what);
    }

    pub(super) fn is_broken(&self) -> bool {
        !lock(&self.faults).is_empty()
    }

    pub(super) fn faults(&self) -> Vec<String> {
        lock(&self.faults).clone()
    }

    // What there is.

    /// Registers something under a token of its own.
    fn found(&self, what: What, source: Source, mode: Mode) -> Arc<Subject> {
        let subject = self.open(what, mode);
        let token = Token(subject.token);
        let key = match subject.what {
            What::ForAll => self.queue.register_for_all(source, token, mode),
            _ => self.queue.register(source, token, mode),
        };
        let key = key.unwrap();
        let _ = subject.key.set(key);
        if let Ok(poster) = self.queue.poster(key) {
            match subject.what {
                What::ForAll => drop(self.for_all.set(poster)),
                _ => drop(subject.poster.set(poster)),
            }
        }
        subject
    }

    /// Makes the account before anything can come.
    pub(super) fn open(&self, what: What, mode: Mode) -> Arc<Subject> {
        let token = self.tokens.fetch_add(1, Ordering::SeqCst);
        let was_dispatch = mode == Mode::Dispatch;
        let control = Control { is_live: true, is_wanted: true, mode, was_dispatch };
        let subject = Arc::new(Subject {
            token,
            what,
            poster: OnceLock::new(),
            key: OnceLock::new(),
            working: AtomicI32::new(0),
            gone: AtomicBool::new(false),
            was_released: AtomicBool::new(false),
            disabled_at: AtomicU64::new(0),
            control: Mutex::new(control),
        });
        lock(&self.subjects).insert(token, subject.clone());
        subject
    }

    pub(super) fn watch(&self, pipe: Arc<Pipe>, rng: &mut Rng) {
        let mode = *rng.pick(&[Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch]);
        let source = pipe.door.source();
        self.found(What::Pipe(pipe), source.into(), mode);
    }

    pub(super) fn tick_on(&self) {
        let what = What::Every { began: Instant::now(), passed: AtomicU64::new(0) };
        self.found(what, Timer::every(PERIOD).into(), Mode::Level);
    }

    pub(super) fn fire_once(&self, rng: &mut Rng) {
        let mode = *rng.pick(&[Mode::Level, Mode::OneShot]);
        let timer = Timer::after(Duration::from_micros(rng.below(3_000)));
        self.found(What::Once { fired: AtomicU64::new(0) }, timer.into(), mode);
    }

    pub(super) fn user(&self, user: User) {
        let zero = || AtomicU64::new(0);
        let what = if user == User::merged(Merge::Sum) {
            What::Merged { posted: zero(), came: zero(), posts: zero(), counted: zero() }
        } else {
            What::Each(Mutex::default())
        };
        self.found(what, user.into(), Mode::Level);
    }

    pub(super) fn forget(&self, subject: &Subject) {
        lock(&self.subjects).remove(&subject.token);
    }

    pub(super) fn find(&self, token: Token) -> Option<Arc<Subject>> {
        lock(&self.subjects).get(&token.0).cloned()
    }

    pub(super) fn any(&self, rng: &mut Rng) -> Arc<Subject> {
        let subjects = lock(&self.subjects);
        let at = rng.below(subjects.len() as u64) as usize;
        subjects.values().nth(at).unwrap().clone()
    }

    fn all(&self) -> Vec<Arc<Subject>> {
        lock(&self.subjects).values().cloned().collect()
    }

    pub(super) fn is_full(&self) -> bool {
        lock(&self.subjects).len() > 100
    }

    // For all.

    pub(super) fn new_log(&self) -> Arc<Log> {
        let log = Log { born: self.tick(), seen: Mutex::default(), is_here: AtomicBool::new(true) };
        let log = Arc::new(log);
        lock(&self.logs).push(log.clone());
        log
    }

    pub(super) fn tell_all(&self, value: u64) {
        let mut told = lock(&self.told_all);
        told.push((value, self.tick()));
        if self.for_all.get().is_none_or(|poster| poster.post(value).is_err()) {
            told.pop();
        }
    }

    fn all_were_told(&self) -> bool {
        let told = lock(&self.told_all);
        lock(&self.logs).iter().filter(|it| it.is_here.load(Ordering::SeqCst)).all(|log| {
            let seen = lock(&log.seen);
            told.iter().all(|(value, at)| *at < log.born || seen.contains(value))
        })
    }

    // When it is calm.

    /// Waits until the accounts are even.
    pub(super) fn settle(&self) {
        for subject in self.all() {
            self.want(&subject);
        }
        let start = Instant::now();
        let mut open = Vec::new();
        let is_even = testkit::settles(|| {
            open = self.all().iter().filter_map(|it| it.is_open(start)).collect();
            open.extend(self.wires.iter().filter_map(|wire| wire.is_open(self)));
            open.extend(self.loans.is_open(self));
            if !self.all_were_told() {
                open.push("not all were told what is for all".to_owned());
            }
            open.is_empty() || self.is_broken()
        });
        if !is_even {
            self.fault(format!("{open:?}; {:?}; {:?}", self.queue, self.queue.counters()));
        }
        lock(&self.told_all).clear();
        lock(&self.logs).retain(|log| log.is_here.load(Ordering::SeqCst));
        for subject in self.all() {
            if let What::Each(values) = &subject.what {
                lock(values).retain(|_, has_come| !*has_come);
            }
        }
        let is_empty = self.wires.iter().all(|wire| lock(&wire.waiting).is_empty());
        let registered = self.queue.counters().queue.registered;
        let sockets = 2 * self.wires.len() + self.loans.sockets();
        let known = lock(&self.subjects).len() + sockets;
        if is_even && is_empty && registered != known as u64 {
            self.fault(format!("{registered} are registered, and {known} are known"));
        }
    }

    /// Enables it, whoever disabled it.
    fn want(&self, subject: &Subject) {
        let mut control = lock(&subject.control);
        if control.is_live && !control.is_wanted {
            self.enable(subject, &mut control);
        }
    }

    fn enable(&self, subject: &Subject, control: &mut Control) {
        subject.disabled_at.store(0, Ordering::SeqCst);
        control.is_wanted = true;
        if let Some(&key) = subject.key.get() {
            // A one-shot may be over.
            let _ = self.queue.enable(key);
        }
    }

    /// Disables it, or enables it again.
    pub(super) fn toggle(&self, subject: &Subject) {
        let Some(&key) = subject.key.get() else { return };
        let mut control = lock(&subject.control);
        if !control.is_live || subject.is_fixed() {
            return;
        }
        if !control.is_wanted {
            self.enable(subject, &mut control);
        } else if self.queue.disable(key).is_ok() {
            control.is_wanted = false;
            subject.disabled_at.store(self.tick(), Ordering::SeqCst);
        }
    }

    /// Removes it; true if it was there. Not by a taker, who may hold it.
    pub(super) fn remove(&self, subject: &Subject) -> bool {
        let Some(&key) = subject.key.get() else { return false };
        let is_held = {
            let mut control = lock(&subject.control);
            if !std::mem::take(&mut control.is_live) {
                return false;
            }
            match self.queue.remove(key) {
                Ok(withdrawn) => withdrawn.is_held(),
                // A one-shot that fired: who has its event goes on with it.
                Err(_) => return false,
            }
        };
        if is_held {
            self.queue.wait_until_let_go(key);
        }
        self.is_gone(subject);
        true
    }

    /// It was removed, and nobody holds an event of it: none may come any more.
    pub(super) fn is_gone(&self, subject: &Subject) {
        subject.gone.store(true, Ordering::SeqCst);
        self.forget(subject);
    }

    /// Ends all registrations.
    pub(super) fn close(&self) {
        self.all().iter().for_each(|subject| _ = self.remove(subject));
        for key in self.wires.iter().flat_map(|wire| wire.ends) {
            let _ = self.queue.remove(key);
        }
        self.loans.close(self);
    }
}

impl Subject {
    /// Whether it is neither disabled, nor changed, nor removed as a registration is.
    pub(super) const fn is_fixed(&self) -> bool {
        matches!(self.what, What::ForAll | What::Operation { .. } | What::Loan(_))
    }

    pub(super) fn key(&self) -> Option<Key> {
        self.key.get().copied()
    }

    /// A taker has an event of it, in a taking that began at `start`.
    pub(super) fn begin(&self, accounts: &Accounts, event: &Event, start: u64) {
        // It may come before whoever registered it knows the key.
        if *self.key.get_or_init(|| event.key) != event.key {
            accounts.fault(format!("{}: {event:?} has another key", self.name()));
        }
        let is_shared = matches!(self.what, What::Each(_) | What::Merged { .. } | What::ForAll);
        if self.working.fetch_add(1, Ordering::SeqCst) != 0 && !is_shared {
            accounts.fault(format!("{}: two work on it at once", self.name()));
        }
        if let What::Loan(loan) = &self.what {
            loan.is_taken.store(true, Ordering::SeqCst);
        }
        let disabled_at = self.disabled_at.load(Ordering::SeqCst);
        // A one-shot is over when it is taken, and nothing can be disabled when it is handed on.
        let is_over =
            self.was_released.load(Ordering::SeqCst) && lock(&self.control).mode == Mode::OneShot;
        if disabled_at != 0 && disabled_at < start && !is_over {
            accounts.fault(format!("{}: it was told of while disabled", self.name()));
        }
        self.check_that_it_lives(accounts);
    }

    pub(super) fn end(&self, accounts: &Accounts) {
        self.check_that_it_lives(accounts);
        self.working.fetch_sub(1, Ordering::SeqCst);
    }

    fn check_that_it_lives(&self, accounts: &Accounts) {
        if self.gone.load(Ordering::SeqCst) {
            accounts.fault(format!("{}: it was removed, and nobody held it", self.name()));
        }
    }

    pub(super) fn name(&self) -> String {
        let control = lock(&self.control);
        let what = match &self.what {
            What::Pipe(pipe) => {
                let (written, read) = (&pipe.written, &pipe.read);
                format!("a pipe of which {read:?} of {written:?} bytes are read")
            }
            What::Once { fired } => format!("a timer that fired {fired:?} times"),
            What::Every { passed, .. } => format!("a timer of which {passed:?} periods came"),
            What::Each(values) => {
                let values = lock(values);
                let missing: Vec<_> = values.iter().filter(|it| !it.1).take(5).collect();
                format!("posts of which these have not come: {missing:?}")
            }
            What::Merged { posts, counted, .. } => format!("{counted:?} of {posts:?} merged posts"),
            What::ForAll => "posts for all".to_owned(),
            What::Operation { sends, .. } => format!("an operation, which sends: {sends}"),
            What::Loan(_) => "an operation that was lent a frame".to_owned(),
        };
        let (mode, live, wanted) = (control.mode, control.is_live, control.is_wanted);
        format!("{}: {what} ({mode:?}, live: {live}, enabled: {wanted})", self.token)
    }

    /// What is still due, when nobody makes anything new since `start`.
    fn is_open(&self, start: Instant) -> Option<String> {
        let is_even = match &self.what {
            What::Pipe(pipe) => {
                pipe.written.load(Ordering::SeqCst) == pipe.read.load(Ordering::SeqCst)
            }
            What::Once { .. } => false,
            What::Every { began, passed } => {
                let due = (start - *began).as_nanos() / PERIOD.as_nanos();
                u128::from(passed.load(Ordering::SeqCst)) >= due.saturating_sub(1)
            }
            What::Each(values) => lock(values).values().all(|&has_come| has_come),
            What::Merged { posted, came, posts, counted } => {
                posted.load(Ordering::SeqCst) == came.load(Ordering::SeqCst)
                    && posts.load(Ordering::SeqCst) == counted.load(Ordering::SeqCst)
            }
            What::ForAll => true,
            What::Operation { .. } => true,
            What::Loan(_) => loans::has_ended(self),
        };
        (!is_even).then(|| self.name())
    }

    /// Posts a value that was never posted before.
    pub(super) fn post(&self, accounts: &Accounts) {
        let Some(poster) = self.poster.get() else { return };
        let value = accounts.tick();
        match &self.what {
            What::Each(values) => {
                lock(values).insert(value, false);
                if poster.post(value).is_err() {
                    lock(values).remove(&value);
                }
            }
            What::Merged { posted, posts, .. } => {
                posted.fetch_add(value, Ordering::SeqCst);
                posts.fetch_add(1, Ordering::SeqCst);
                if poster.post(value) == Err(PostError::Full) {
                    accounts.fault("a source that merges was full".to_owned());
                }
            }
            _ => {}
        }
    }
}

impl Log {
    pub(super) fn note(&self, accounts: &Accounts, value: u64) {
        if !lock(&self.seen).insert(value) {
            accounts.fault(format!("{value}: one was told twice of what is for all"));
        }
    }

    pub(super) fn close(&self) {
        self.is_here.store(false, Ordering::SeqCst);
    }
}

impl Wire {
    fn new(queue: &SharedQueue) -> Self {
        let (one, other) = UnixStream::pair().unwrap();
        let own = |end| queue.register(Fd::new(end).unwatched(), Token(u64::MAX), Mode::Level);
        let zero = || AtomicU64::new(0);
        Self {
            ends: [own(one).unwrap(), own(other).unwrap()],
            sent: zero(),
            received: zero(),
            sends: zero(),
            receives: zero(),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn send(&self, accounts: &Accounts, wire: usize, bytes: usize) {
        if self.sends.load(Ordering::SeqCst) < 8 {
            self.sends.fetch_add(1, Ordering::SeqCst);
            let operation = Operation::send(self.ends[0], Buffer::from(vec![7; bytes]));
            let subject = accounts.open(What::Operation { wire, sends: true }, Mode::Level);
            accounts.start(operation, &subject);
        }
    }

    pub(super) fn receive(&self, accounts: &Accounts, wire: usize) {
        if self.receives.load(Ordering::SeqCst) < 4 {
            self.receives.fetch_add(1, Ordering::SeqCst);
            let operation = Operation::receive(self.ends[1], Buffer::with_capacity(512));
            let subject = accounts.open(What::Operation { wire, sends: false }, Mode::Level);
            let key = accounts.start(operation, &subject);
            lock(&self.waiting).push(key);
        }
    }

    /// Cancels a receive, which may have ended.
    pub(super) fn cancel(&self, accounts: &Accounts, rng: &mut Rng) {
        let mut waiting = lock(&self.waiting);
        if !waiting.is_empty() {
            let at = rng.below(waiting.len() as u64) as usize;
            let _ = accounts.queue.cancel(waiting.swap_remove(at));
        }
    }

    pub(super) fn ended(&self, accounts: &Accounts, sends: bool, result: Option<u32>) {
        let bytes = u64::from(result.unwrap_or(0));
        if sends {
            if result.is_none() {
                accounts.fault("a send failed".to_owned());
            }
            self.sent.fetch_add(bytes, Ordering::SeqCst);
            self.sends.fetch_sub(1, Ordering::SeqCst);
        } else {
            self.received.fetch_add(bytes, Ordering::SeqCst);
            self.receives.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Receives until all is received; then ends what waits for more.
    fn is_open(&self, accounts: &Accounts) -> Option<String> {
        let load = |word: &AtomicU64| word.load(Ordering::SeqCst);
        let all_sent = load(&self.sends) == 0;
        let (sent, received) = (load(&self.sent), load(&self.received));
        if all_sent && sent == received {
            lock(&self.waiting).drain(..).for_each(|key| _ = accounts.queue.cancel(key));
        } else if load(&self.receives) == 0 {
            let at = accounts.wires.iter().position(|wire| std::ptr::eq(wire, self)).unwrap();
            self.receive(accounts, at);
        }
        let is_even = all_sent && sent == received && load(&self.receives) == 0;
        (!is_even).then(|| format!("{received} of {sent} bytes were received"))
    }
}

impl Accounts {
    pub(super) fn start(&self, operation: Operation, subject: &Subject) -> Key {
        let key = self.queue.start(operation, Token(subject.token)).unwrap();
        let _ = subject.key.set(key);
        key
    }
}
