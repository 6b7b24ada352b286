//! Those who make events, and change what makes them.

use super::accounts::{Accounts, Subject, What, lock};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use testkit::Rng;
use ukevent_queue::{Change, Merge, Mode, User};

/// What one does before it is calm again.
const DEEDS: usize = 3_000;

/// Does this and that.
pub(super) fn make(accounts: &Accounts, mut rng: Rng) {
    for _ in 0..DEEDS {
        if accounts.is_broken() {
            break;
        }
        let subject = accounts.any(&mut rng);
        match rng.below(100) {
            0..52 => happen(accounts, &subject, &mut rng),
            52..64 => accounts.toggle(&subject),
            64..72 => modify(accounts, &subject, &mut rng),
            72..78 => replace(accounts, &subject, &mut rng),
            78..82 => {
                if !accounts.is_full() {
                    accounts.fire_once(&mut rng);
                }
            }
            82..88 => operate(accounts, &mut rng),
            88..96 => accounts.loans.change(accounts, &mut rng),
            96 => accounts.queue.resize(*rng.pick(&[2, 8, 64, 4096])),
            97 => accounts.queue.waker().wake(),
            98 => accounts.tell_all(accounts.tick()),
            _ => thread::yield_now(),
        }
    }
}

fn happen(accounts: &Accounts, subject: &Subject, rng: &mut Rng) {
    match &subject.what {
        What::Pipe(pipe) => {
            let bytes = 1 + rng.below(64) as usize;
            if let Ok(written) = pipe.door.writer().write(&[7; 64][..bytes]) {
                pipe.written.fetch_add(written as u64, Ordering::SeqCst);
            }
        }
        _ => subject.post(accounts),
    }
}

fn modify(accounts: &Accounts, subject: &Subject, rng: &mut Rng) {
    let mut control = lock(&subject.control);
    let Some(key) = subject.key().filter(|_| control.is_live) else { return };
    let mut change = Change::new();
    match subject.what {
        _ if subject.is_fixed() => return,
        What::Pipe(_) if control.mode != Mode::OneShot => {
            let mode = *rng.pick(&[Mode::Level, Mode::Edge, Mode::Dispatch]);
            (control.mode, control.was_dispatch) =
                (mode, control.was_dispatch || mode == Mode::Dispatch);
            change = change.mode(mode);
        }
        _ => {}
    }
    // A one-shot may be over.
    let _ = accounts.queue.modify(key, change);
}

/// Removes something and registers another of its kind.
fn replace(accounts: &Accounts, subject: &Arc<Subject>, rng: &mut Rng) {
    match &subject.what {
        _ if subject.is_fixed() => {}
        _ if !accounts.remove(subject) => {}
        What::Pipe(pipe) => accounts.watch(pipe.clone(), rng),
        What::Once { .. } => {}
        What::Every { .. } => accounts.tick_on(),
        What::Each(_) => accounts.user(User::each(256)),
        What::Merged { .. } => accounts.user(User::merged(Merge::Sum)),
        What::Operation { .. } | What::Loan(_) | What::ForAll => {}
    }
}

fn operate(accounts: &Accounts, rng: &mut Rng) {
    let at = rng.below(accounts.wires.len() as u64) as usize;
    let wire = &accounts.wires[at];
    match rng.below(5) {
        0 | 1 => wire.send(accounts, at, 1 + rng.below(2_000) as usize),
        2 | 3 => wire.receive(accounts, at),
        _ => wire.cancel(accounts, rng),
    }
}
