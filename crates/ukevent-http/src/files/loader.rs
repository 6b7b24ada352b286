//! A few threads that wait for the disk, so that the loop need not.
//!
//! A path that is asked for while it waits for its turn is looked up once for all who ask. Once its
//! turn has come it is not joined any more: what is found may be older than the next question.

use super::{
    load::{Loaded, Patience, load},
    open::Opener,
};
use crate::{entity::Found, limits::LOADERS};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};
use ukevent_sys::signal::with_all_blocked;

/// Called in a thread of the loader when something is done.
pub(crate) type Tell = Box<dyn Fn() + Send + Sync>;

/// The threads and their work. Dropped, it takes no more on; a thread that still waits for the disk is
/// not waited for.
pub(super) struct Loader {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    next: u64,
    /// So many may wait for their turn.
    most: usize,
}

struct Shared {
    opener: Arc<Opener>,
    tell: Tell,
    desk: Mutex<Desk>,
    work: Condvar,
}

#[derive(Default)]
struct Desk {
    waiting: VecDeque<Job>,
    /// What waits, by its path.
    numbers: HashMap<Arc<[u8]>, u64>,
    done: Vec<Done>,
    idle: usize,
    busy: usize,
    closed: bool,
}

/// A path to be looked up.
#[derive(Clone, Debug)]
pub(super) struct Job {
    number: u64,
    pub(super) path: Arc<[u8]>,
    unix_s: u64,
    /// It failed once for want of a descriptor.
    is_second: bool,
}

/// What came of a job.
pub(super) struct Done {
    pub(super) job: Job,
    pub(super) loaded: Loaded,
}

impl Done {
    pub(super) fn number(&self) -> u64 {
        self.job.number
    }

    /// Whether it is worth another try when descriptors were let go.
    pub(super) fn wants_descriptor(&self) -> bool {
        matches!(self.loaded.found, Found::Exhausted) && !self.job.is_second
    }
}

impl Loader {
    /// Without a thread, until there is something to do.
    pub(super) fn new(opener: Arc<Opener>, most: usize, tell: Tell) -> Self {
        let shared = Shared { opener, tell, desk: Mutex::default(), work: Condvar::new() };
        Self { shared: Arc::new(shared), threads: Vec::new(), next: 0, most }
    }

    /// Has a path looked up. The number is that of what will be done; `None` if too many wait already.
    pub(super) fn ask(&mut self, path: &[u8], unix_s: u64) -> Option<u64> {
        let desk = self.shared.desk();
        if let Some(&number) = desk.numbers.get(path) {
            return Some(number);
        }
        if desk.waiting.len() >= self.most {
            return None;
        }
        drop(desk);
        self.next += 1;
        self.put(Job { number: self.next, path: path.into(), unix_s, is_second: false });
        Some(self.next)
    }

    /// Has the same looked up once more.
    pub(super) fn ask_again(&mut self, job: Job) {
        self.put(Job { is_second: true, ..job });
    }

    /// What was done since this was asked last.
    pub(super) fn take_done(&self) -> Vec<Done> {
        std::mem::take(&mut self.shared.desk().done)
    }

    #[cfg(test)]
    pub(super) fn has_done(&self) -> bool {
        !self.shared.desk().done.is_empty()
    }

    fn put(&mut self, job: Job) {
        let mut desk = self.shared.desk();
        desk.numbers.insert(Arc::clone(&job.path), job.number);
        desk.waiting.push_back(job);
        if desk.waiting.len() > desk.idle && self.threads.len() < LOADERS {
            let shared = Arc::clone(&self.shared);
            let name = format!("load {}", self.threads.len());
            let thread = thread::Builder::new().name(name);
            match with_all_blocked(|| thread.spawn(move || shared.work())) {
                Ok(thread) => self.threads.push(thread),
                Err(_) if self.threads.is_empty() => {
                    // No thread can be had: then here, whatever it takes.
                    drop(desk);
                    self.shared.work_off();
                    return;
                }
                Err(_) => {}
            }
        }
        drop(desk);
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // What it holds is whole between any two lines.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until there is no more to be done for ever.
    fn work(&self) {
        loop {
            self.work_off();
            let mut desk = self.desk();
            desk.idle += 1;
            while desk.waiting.is_empty() && !desk.closed {
                desk = self.work.wait(desk).unwrap_or_else(PoisonError::into_inner);
            }
            desk.idle -= 1;
            if desk.closed {
                return;
            }
        }
    }

    /// Works until nothing waits.
    fn work_off(&self) {
        let mut desk = self.desk();
        while let Some(job) = desk.waiting.pop_front().filter(|_| !desk.closed) {
            desk.numbers.remove(&job.path);
            desk.busy += 1;
            drop(desk);
            let loaded = load(&self.opener, &job.path, job.unix_s, Patience::Blocks);
            let loaded = loaded.unwrap_or_else(|| Found::Failed.into());
            desk = self.desk();
            desk.busy -= 1;
            desk.done.push(Done { job, loaded });
            (self.tell)();
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        let mut desk = self.shared.desk();
        desk.closed = true;
        let is_busy = desk.busy > 0;
        drop(desk);
        self.shared.work.notify_all();
        for thread in self.threads.drain(..).filter(|_| !is_busy) {
            // It has nothing left to do, so this does not take long.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
