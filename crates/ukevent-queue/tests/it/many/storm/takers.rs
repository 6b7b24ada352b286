//! Those who take events: wait, take, work, and now and then release, panic, or leave.

use super::accounts::{Accounts, Log, PERIOD, Subject, What, lock};
use crate::bench::PATIENCE;
use std::cell::RefCell;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Scope;
use std::time::{Duration, Instant};
use testkit::Rng;
use ukevent_queue::{Event, Kind, Mode, Wait, WaitError, Waiter};

/// What a taker panics with, on purpose.
struct Lightning;

/// How a taker's time ended.
#[derive(PartialEq)]
enum End {
    Over,
    Left,
}

/// One taker after another, until it is over: after a panic in the same thread, after leaving in a new one.
pub(super) fn take_until_over<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    accounts: &'env Accounts,
    mut rng: Rng,
) {
    loop {
        let taker = Taker { accounts, log: RefCell::new(None), owed: RefCell::new(None) };
        let outcome = catch_unwind(AssertUnwindSafe(|| taker.work(&mut rng)));
        taker.log.borrow().iter().for_each(|log| log.close());
        // What a panic has left undone, and nobody else is told of.
        if let Some(subject) = taker.owed.take() {
            taker.after(&subject, &mut rng);
        }
        match outcome {
            Ok(End::Over) => break,
            Ok(End::Left) => {
                scope.spawn(move || take_until_over(scope, accounts, rng));
                return;
            }
            Err(reason) if reason.is::<Lightning>() => {}
            Err(_) => {
                accounts.fault("a taker panicked".to_owned());
                break;
            }
        }
    }
    accounts.takers.fetch_sub(1, Ordering::SeqCst);
}

struct Taker<'a> {
    accounts: &'a Accounts,
    log: RefCell<Option<Arc<Log>>>,
    /// A pipe whose event was not dealt with.
    owed: RefCell<Option<Arc<Subject>>>,
}

impl Taker<'_> {
    fn log(&self) -> Arc<Log> {
        self.log.borrow().clone().unwrap()
    }

    fn work(&self, rng: &mut Rng) -> End {
        let mut waiter = self.accounts.queue.waiter().unwrap();
        lock(&self.accounts.wakers).push(waiter.waker());
        self.log.replace(Some(self.accounts.new_log()));
        loop {
            if self.accounts.is_over.load(Ordering::SeqCst) {
                return End::Over;
            }
            let is_calm = self.accounts.is_calm.load(Ordering::SeqCst);
            if !is_calm && rng.one_in(300) {
                return End::Left;
            }
            self.wait(&mut waiter, rng, is_calm);
            loop {
                let start = self.accounts.tick();
                let Some(event) = waiter.next_event() else { break };
                self.take(event, &mut waiter, rng, start);
                if rng.one_in(50) {
                    // It leaves the rest to others.
                    break;
                }
            }
        }
    }

    fn wait(&self, waiter: &mut Waiter, rng: &mut Rng, is_calm: bool) {
        let patient = Wait::within(PATIENCE);
        let start = Instant::now();
        let waited = match rng.below(if is_calm { 1 } else { 12 }) {
            1 => waiter.wait(Wait::now()),
            2 => waiter.wait(Wait::within(Duration::from_millis(2)).at_least(3).at_most(5)),
            3 => waiter.wait_after(self.accounts.queue.position(), patient),
            4 => waiter.wait(patient.at_most(1)),
            _ => waiter.wait(patient),
        };
        match waited {
            Ok(1..) if start.elapsed() >= PATIENCE => {
                self.accounts.fault("nothing ended the sleep of a taker".to_owned());
            }
            Ok(_) | Err(WaitError::Interrupted) => {}
            Err(error) => self.accounts.fault(format!("a wait: {error}")),
        }
    }

    fn take(&self, event: Event, waiter: &mut Waiter, rng: &mut Rng, start: u64) {
        let is_calm = self.accounts.is_calm.load(Ordering::SeqCst);
        let Some(subject) = self.accounts.find(event.token) else {
            self.accounts.fault(format!("nobody knows of {event:?}"));
            return;
        };
        subject.begin(self.accounts, &event, start);
        let mut event = event;
        if !is_calm && rng.one_in(20) && !matches!(subject.what, What::ForAll) {
            subject.end(self.accounts);
            subject.was_released.store(true, Ordering::SeqCst);
            match waiter.release(event) {
                Ok(()) => return,
                Err(back) => event = back,
            }
            let is_pipe = matches!(subject.what, What::Pipe(_));
            if is_pipe && lock(&subject.control).mode != Mode::OneShot {
                // Nobody's any more: it was removed, or disabled and will be told of anew.
                return;
            }
            // Of an occurrence it is the last that is heard.
            self.count(&subject, event.kind, rng);
            self.after(&subject, rng);
            return;
        }
        self.owed.replace(Some(subject.clone()));
        let is_pipe = matches!(subject.what, What::Pipe(_));
        if is_pipe && !is_calm && rng.one_in(200) {
            subject.end(self.accounts);
            resume_unwind(Box::new(Lightning));
        }
        self.count(&subject, event.kind, rng);
        subject.end(self.accounts);
        self.owed.replace(None);
        self.after(&subject, rng);
        if !is_calm && rng.one_in(300) {
            resume_unwind(Box::new(Lightning));
        }
    }

    /// Works on an event and enters it.
    fn count(&self, subject: &Arc<Subject>, kind: Kind, rng: &mut Rng) {
        let fault = |what: &str| self.accounts.fault(format!("{}: {what}", subject.name()));
        match (&subject.what, kind) {
            (What::Pipe(pipe), Kind::Ready(_)) => {
                let is_level = lock(&subject.control).mode == Mode::Level;
                let mut reader = pipe.door.reader();
                let size = if is_level && rng.one_in(3) { 1 } else { 4096 };
                while let Ok(bytes @ 1..) = reader.read(&mut [0; 4096][..size]) {
                    pipe.read.fetch_add(bytes as u64, Ordering::SeqCst);
                    if size == 1 {
                        break;
                    }
                }
            }
            (What::Once { fired }, Kind::Timer(expired)) => {
                if fired.fetch_add(expired.expirations, Ordering::SeqCst) != 0 {
                    fault("it fired before");
                }
            }
            (What::Every { began, passed }, Kind::Timer(expired)) => {
                let before = passed.fetch_add(expired.expirations, Ordering::SeqCst);
                let due = began.elapsed().as_nanos() / PERIOD.as_nanos();
                if u128::from(before + expired.expirations) > due {
                    fault("it fired more often than its periods passed");
                }
            }
            (What::Each(values), Kind::User(posted)) => {
                let before = lock(values).insert(posted.data, true);
                if before != Some(false) {
                    self.accounts.fault(format!("{}: posted and came: {before:?}", posted.data));
                }
            }
            (What::Merged { came, counted, .. }, Kind::User(posted)) => {
                came.fetch_add(posted.data, Ordering::SeqCst);
                counted.fetch_add(posted.count, Ordering::SeqCst);
            }
            (What::ForAll, Kind::User(posted)) => self.log().note(self.accounts, posted.data),
            (What::Operation { wire, sends }, Kind::Completed(completed)) => {
                let result = completed.result.ok();
                self.accounts.forget(subject);
                self.accounts.wires[*wire].ended(self.accounts, *sends, result);
            }
            (What::Loan(loan), Kind::Completed(completed)) => {
                self.accounts.forget(subject);
                if let Err(what) = loan.complete(completed) {
                    fault(&what);
                }
            }
            (_, kind) => fault(&format!("{kind:?} is not of its kind")),
        }
    }

    /// Registers, enables or removes what is to be, after an event of it.
    fn after(&self, subject: &Arc<Subject>, rng: &mut Rng) {
        let mut control = lock(&subject.control);
        match &subject.what {
            What::Pipe(pipe) if control.mode == Mode::OneShot => {
                control.is_live = false;
                drop(control);
                self.accounts.forget(subject);
                self.accounts.watch(pipe.clone(), rng);
            }
            What::Pipe(_) if control.is_live && control.is_wanted && control.was_dispatch => {
                if let Some(key) = subject.key() {
                    let _ = self.accounts.queue.enable(key);
                }
            }
            What::Once { .. } => {
                let is_live = std::mem::take(&mut control.is_live);
                if is_live
                    && control.mode != Mode::OneShot
                    && let Some(key) = subject.key()
                    && self.accounts.queue.remove(key).is_err()
                {
                    self.accounts.fault(format!("{}: it is gone", subject.token));
                }
                drop(control);
                self.accounts.forget(subject);
            }
            _ => {}
        }
    }
}
