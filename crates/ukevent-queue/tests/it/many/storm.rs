//! Everything at once, from a seed, with accounts.
//!
//! Eight threads take events; two more write, post, register, change, remove, start and cancel, and resize the ring.
//! Takers release events, panic with one in their hands, leave, and are followed by new ones. Every so often it is
//! calm: then nobody does anything but wait, without a time that could hide a wake-up that was lost, until the
//! accounts are even.
//!
//! | file | what it tells |
//! |---|---|
//! | `accounts.rs` | what there is, what is due, and what must never happen |
//! | `takers.rs` | those who take events |
//! | `weather.rs` | those who make them |
//! | `loans.rs` | operations that are cancelled, removed, or lose their socket |
//!
//! What must hold, and is checked where it happens:
//! - events of one registration come to one taker at a time (posts excepted);
//! - none comes after `remove` returned and nobody held one, or after he who did let go;
//! - none comes in a taking that began after `disable` returned, until it is enabled;
//! - each post comes once, each merged post is in one sum, each copy for all reaches once each who was there;
//! - a timer fires once, or as often as its periods passed; each operation ends once, or is withdrawn, and then says nothing.
//!
//! And when it is calm: what was written is read, what was posted has come, each timer has fired, what was sent was
//! received, what was lent is home. At the end nothing is pending, the counters agree, threads have ended and descriptors are closed.
//!
//! `UKEVENT_STORM_SECONDS` says for how long (3 if it does not), `UKEVENT_SEED` repeats the choices; in which order
//! threads make them is the scheduler's.

mod accounts;
mod loans;
mod takers;
mod weather;

use self::accounts::Accounts;
use self::takers::take_until_over;
use crate::bench::watched;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use testkit::Rng;
use ukevent_queue::{Policy, SharedBuilder, Wait, Waker};

/// Threads that take events.
const TAKERS: usize = 8;

fn seconds() -> u64 {
    let asked = std::env::var("UKEVENT_STORM_SECONDS");
    asked.map_or(3, |text| text.parse().expect("UKEVENT_STORM_SECONDS is a number of seconds"))
}

fn weather(policy: Policy) {
    testkit::alone(|| {
        let mut rng = Rng::seeded();
        let end = Instant::now() + Duration::from_secs(seconds());
        testkit::assert_no_leak(|| storm(policy, &mut rng, end));
    });
}

/// Lets the takers go, also when something panics: nobody would wait for them else.
struct LastThunder<'a>(&'a Accounts);

impl Drop for LastThunder<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
        accounts::lock(&self.0.wakers).iter().for_each(Waker::wake);
    }
}

fn storm(policy: Policy, rng: &mut Rng, end: Instant) {
    let queue = SharedBuilder::new().policy(policy).ring(8).build().unwrap();
    let accounts = Accounts::new(queue, rng);
    thread::scope(|scope| {
        let end_of_it = LastThunder(&accounts);
        for _ in 0..TAKERS {
            let rng = rng.fork();
            accounts.takers.fetch_add(1, Ordering::SeqCst);
            let accounts = &accounts;
            scope.spawn(move || take_until_over(scope, accounts, rng));
        }
        while Instant::now() < end && !accounts.is_broken() {
            accounts.is_calm.store(false, Ordering::SeqCst);
            thread::scope(|scope| {
                for _ in 0..2 {
                    let rng = rng.fork();
                    scope.spawn(|| weather::make(&accounts, rng));
                }
            });
            accounts.is_calm.store(true, Ordering::SeqCst);
            accounts.settle();
        }
        drop(end_of_it);
        testkit::wait_until("all takers have left", || {
            accounts::lock(&accounts.wakers).iter().for_each(Waker::wake);
            accounts.takers.load(Ordering::SeqCst) == 0
        });
    });
    assert!(accounts.faults().is_empty(), "{:#?}", accounts.faults());
    accounts.close();
    watched("a last look", || {
        let mut last = accounts.queue.waiter().unwrap();
        // Wake-ups that nobody needed any more, also those of groups that it has adopted.
        for _ in 0..3 {
            let _ = last.wait(Wait::now());
            assert!(last.next_event().is_none());
        }
        assert_eq!(last.wait(Wait::now()).unwrap(), 0, "nothing is left");
    });
    let counters = accounts.queue.counters();
    assert_eq!((counters.queue.registered, counters.in_ring), (0, 0), "{counters:?}");
    assert_eq!((counters.waiters, counters.asleep), (0, 0), "{counters:?}");
}

#[test]
fn balanced() {
    weather(Policy::Balanced);
}

#[test]
fn nearest() {
    weather(Policy::Nearest);
}

#[test]
fn pinned() {
    weather(Policy::Pinned);
}
