//! What a waiter's thread does with an event.

use super::Descriptor;
use rustix::io::Errno;
use std::hint::black_box;
use std::sync::Arc;
use ukevent_measure::clock::{now_ns, thread_cpu_ns};
use ukevent_measure::{Random, Result};

pub(super) const MESSAGE_BYTES: usize = 8;
/// More than a message: what is less than this left nothing behind (epoll(7)).
const READ_BYTES: usize = 64;

/// What is done between a message and its answer: so many steps, not so much time, which would also pass while
/// another thread has the core.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    name: &'static str,
    pub(super) steps: u64,
}

impl Work {
    pub(super) const NONE: Self = Self { name: "none", steps: 0 };

    /// As many steps as take so long while nothing else runs. Takes some milliseconds to find out.
    pub(super) fn lasting(name: &'static str, ns: u64) -> Self {
        const STEPS: u64 = 100_000;
        let trial = |_| {
            let from_ns = now_ns();
            Self { name, steps: STEPS }.do_it();
            now_ns() - from_ns
        };
        let shortest_ns = (0..20).map(trial).min().unwrap_or(STEPS).max(1);
        Self { name, steps: (ns * STEPS / shortest_ns).max(1) }
    }

    pub(super) const fn name(self) -> &'static str {
        self.name
    }

    fn do_it(self) {
        let mut random = Random::new(self.steps);
        for _ in 0..self.steps {
            black_box(random.next());
        }
    }
}

/// Answers messages, and counts them.
#[derive(Debug)]
pub(crate) struct Server {
    readers: Arc<[Descriptor]>,
    work: Work,
    told: u64,
    taken: u64,
}

impl Server {
    pub(super) fn new(readers: &Arc<[Descriptor]>, work: Work) -> Self {
        Self { readers: readers.clone(), work, told: 0, taken: 0 }
    }

    /// There should be a message: receives it, works, and answers.
    #[inline]
    pub(crate) fn answer(&mut self, place: usize) -> Result<()> {
        self.told += 1;
        let end = &*self.readers[place];
        let mut bytes = [0; READ_BYTES];
        match rustix::io::read(end, &mut bytes) {
            Ok(MESSAGE_BYTES) => {}
            Ok(count) => return Err(format!("{count} bytes are no message").into()),
            // Another one was faster.
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.taken += 1;
        self.work.do_it();
        bytes[..MESSAGE_BYTES].iter_mut().for_each(|byte| *byte = !*byte);
        rustix::io::write(end, &bytes[..MESSAGE_BYTES])?;
        Ok(())
    }

    /// What was done so far, on this thread.
    pub(super) fn tally(&self, returns: u64) -> Tally {
        Tally { told: self.told, taken: self.taken, returns, cpu_ns: thread_cpu_ns() }
    }
}

/// What a waiter did up to a point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    told: u64,
    taken: u64,
    returns: u64,
    cpu_ns: u64,
}

/// What a waiter did.
#[derive(Debug)]
pub(super) struct Part {
    /// Since the first wait after the warm-up.
    pub(super) taken: u64,
    pub(super) returns: u64,
    pub(super) cpu_ns: u64,
    /// With the warm-up.
    pub(super) told_at_all: u64,
    pub(super) taken_at_all: u64,
}

impl Tally {
    pub(super) const fn since(self, from: Self) -> Part {
        Part {
            taken: self.taken - from.taken,
            returns: self.returns - from.returns,
            cpu_ns: self.cpu_ns - from.cpu_ns,
            told_at_all: self.told,
            taken_at_all: self.taken,
        }
    }
}
