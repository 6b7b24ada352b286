//! A few threads for what blocks however one asks: files and paths, where the kernel does not see to them
//! by itself, and what of a file that is sent is not in memory.
//!
//! Threads are made when they are needed, at most [`THREADS`], and end with the queue. What waits for
//! them is bounded by the queue's limit of operations. A thread gives back everything that it was lent;
//! if nobody wants it any more, it is dropped on the way.

use super::attempt::blocking;
use super::{Payload, Request};
use crate::backend::Ticket;
use crate::event::Errno;
use crate::post::Mailbox;
use crate::primitive::Arc;
use rustix::fs::CWD;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use ukevent_sys::runner::Process;
use ukevent_sys::signal::with_all_blocked;

/// As many as read at the same time.
const THREADS: usize = 4;

/// What a thread is to do.
struct Job {
    ticket: Ticket,
    request: Request,
    /// `None`: it needs none, or the current directory.
    descriptor: Option<OwnedFd>,
}

/// What a thread has done.
pub(crate) struct Done {
    pub(crate) ticket: Ticket,
    pub(crate) request: Request,
    pub(crate) result: Result<u32, Errno>,
    pub(crate) payload: Payload,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    done: Vec<Done>,
    threads: usize,
    idle: usize,
    over: bool,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    mailbox: Arc<Mailbox>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads of a queue.
pub(crate) struct Files {
    shared: std::sync::Arc<Shared>,
    made_by: Process,
}

impl Files {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        let (state, work) = (Mutex::default(), Condvar::new());
        let shared = std::sync::Arc::new(Shared { state, work, mailbox });
        Self { shared, made_by: Process::current() }
    }

    /// Gives a thread something to do. Given back with an errno if there is no thread and none can be
    /// made.
    pub(crate) fn start(
        &self,
        ticket: Ticket,
        request: Request,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), (Request, Errno)> {
        let mut state = self.shared.lock();
        if state.idle <= state.waiting.len() && state.threads < THREADS {
            let shared = std::sync::Arc::clone(&self.shared);
            let name = "ukevent-files".to_owned();
            match with_all_blocked(|| {
                thread::Builder::new().name(name).spawn(move || work(&shared))
            }) {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    return Err((request, Errno(error.raw_os_error().unwrap_or(11))));
                }
                // Those that there are will do it.
                Err(_) => {}
            }
        }
        state.waiting.push_back(Job { ticket, request, descriptor });
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Takes back what no thread has begun.
    pub(crate) fn take_back(&self, ticket: Ticket) -> Option<Request> {
        let mut state = self.shared.lock();
        let at = state.waiting.iter().position(|job| job.ticket == ticket)?;
        state.waiting.remove(at).map(|job| job.request)
    }

    /// What was done since the last call.
    pub(crate) fn take_done(&self) -> Vec<Done> {
        std::mem::take(&mut self.shared.lock().done)
    }
}

impl Drop for Files {
    /// Does not wait: what a thread is at, it ends, and drops.
    fn drop(&mut self) {
        if !self.made_by.is_current() {
            // In a child of fork(2), where no thread is, one may have held the lock.
            return;
        }
        let mut state = self.shared.lock();
        state.over = true;
        state.waiting.clear();
        drop(state);
        self.shared.work.notify_all();
    }
}

fn work(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if state.over {
            return;
        }
        let Some(Job { ticket, mut request, descriptor }) = state.waiting.pop_front() else {
            state.idle += 1;
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        };
        drop(state);
        let (result, payload) =
            blocking(&mut request, descriptor.as_ref().map_or(CWD, AsFd::as_fd));
        drop(descriptor);
        state = shared.lock();
        if !state.over {
            state.done.push(Done { ticket, request, result, payload });
            shared.mailbox.attend();
        }
    }
}
