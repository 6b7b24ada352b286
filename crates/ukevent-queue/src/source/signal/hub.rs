//! The signals of one queue: who registered what, and the descriptor that says something came.

use super::{
    Signal,
    shared::{Inbox, Registry, Tally, ThreadMask, one},
};
use crate::{
    error::RegisterError,
    event::{Kind, SignalReceived},
    source::{Drained, Sink},
};
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::Arc,
};
use ukevent_sys::{
    Error,
    epoll::{Epoll, Trigger},
    poll::PollMask,
    signal::{SignalFd, SignalRecord, SignalSet},
};

/// Signals taken by one look at the signalfd.
const BATCH: usize = 32;

/// The registrations of one queue. Belongs to the thread that adds the first, until the last one
/// went.
#[derive(Debug)]
pub(crate) struct SignalHub {
    /// Readable while one of the other two is: the queue watches one descriptor.
    epoll: Epoll,
    signals: SignalFd,
    inbox: Arc<Inbox>,
    /// Whose thread's mask has the signals; `None` while there is no registration.
    mask: Option<Arc<ThreadMask>>,
    /// Signal and slot of each registration, in the order of registration.
    registered: Vec<(i32, u32)>,
    /// What one look brought. All three are kept for their memory.
    tally: Tally,
    /// Of that, what came to this thread, and what was sent on to it.
    own: Tally,
    forwarded: Tally,
}

impl SignalHub {
    /// A hub without registrations. Changes nothing in the process.
    pub(crate) fn new() -> Result<Self, RegisterError> {
        let epoll = Epoll::new()?;
        let signals = SignalFd::new(&SignalSet::empty())?;
        let inbox = Arc::new(Inbox::new()?);
        for fd in [signals.as_fd(), inbox.wake().as_fd()] {
            epoll.add(fd.as_raw_fd(), PollMask::IN, Trigger::Level, 0)?;
        }
        Ok(Self {
            epoll,
            signals,
            inbox,
            mask: None,
            registered: Vec::new(),
            tally: Tally::default(),
            own: Tally::default(),
            forwarded: Tally::default(),
        })
    }

    /// Readable while a signal waits. To be polled by the thread of the queue.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Whether there is no registration.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.registered.is_empty()
    }

    /// Adds a registration. If it fails, all is as before.
    pub(crate) fn add(&mut self, slot: u32, signal: &Signal) -> Result<(), RegisterError> {
        let signal = signal.number();
        let mask = match &self.mask {
            Some(mask) if mask.is_current() => Arc::clone(mask),
            Some(_) => return Err(RegisterError::WrongThread),
            None => ThreadMask::current().ok_or(RegisterError::WrongThread)?,
        };
        if !self.watches(signal) {
            Registry::lock().watch(signal, &mask, &self.inbox)?;
            self.mask = Some(mask);
            self.registered.push((signal, slot));
            if let Err(error) = self.read_registered() {
                self.remove(slot);
                return Err(error.into());
            }
            return Ok(());
        }
        self.registered.push((signal, slot));
        Ok(())
    }

    /// Ends the registration of a slot, if it has one. With the last one of a signal, what came of
    /// it and was not delivered is dropped, and mask and action are put back.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(at) = self.registered.iter().position(|&(_, taken)| taken == slot) else { return };
        let (signal, _) = self.registered.remove(at);
        if self.watches(signal) {
            return;
        }
        let Some(mask) = self.mask.clone() else { return };
        let ours_to_take = Registry::lock().unwatch(signal, &mask, &self.inbox);
        if ours_to_take {
            // A live signalfd can be read; there would be nobody to tell.
            let _ = self.take_pending(signal);
        }
        Registry::let_go(signal, &mask);
        // It was set once, so it can be set again.
        let _ = self.read_registered();
        if self.registered.is_empty() {
            self.mask = None;
        }
    }

    /// Reads at most `budget` signals and reports them, one event for each registration of each
    /// signal that came: several of one signal are one event with their count. Several registrations
    /// of one signal make as many events, so there may be more than `budget`.
    pub(crate) fn drain(&mut self, budget: usize, sink: Sink<'_>) -> Result<Drained, Error> {
        self.tally.clear();
        self.count_undelivered();
        let left = budget - self.read_signals(budget)?;
        self.share_what_was_read();
        self.inbox.empty_into(&mut self.tally)?;
        for came in self.tally.iter() {
            for &(_, slot) in self.registered.iter().filter(|(signal, _)| *signal == came.signal) {
                sink(slot, Kind::Signal(*came));
            }
        }
        Ok(if left == 0 { Drained::Budget } else { Drained::Dry })
    }

    /// Takes in how many could not be sent on to anybody: nothing is known of them but that they
    /// came.
    fn count_undelivered(&mut self) {
        let registry = Registry::lock();
        for &(signal, _) in &self.registered {
            let count = registry.take_undelivered(signal);
            if count > 0 {
                let came = SignalReceived { signal, count, pid: 0, uid: 0, code: 0 };
                self.tally.add(came);
                self.own.add(came);
            }
        }
    }

    /// Reads at most `budget` signals; fewer means that none is left.
    fn read_signals(&mut self, budget: usize) -> Result<usize, Error> {
        let mut records = [SignalRecord::default(); BATCH];
        let mut read = 0;
        while read < budget {
            let asked = (budget - read).min(BATCH);
            let taken = self.signals.read(&mut records[..asked])?;
            for record in &records[..taken] {
                let came = received(record);
                self.tally.add(came);
                if record.forwarded { self.forwarded.add(came) } else { self.own.add(came) }
            }
            read += taken;
            if taken < asked {
                break;
            }
        }
        Ok(read)
    }

    fn share_what_was_read(&mut self) {
        for (read, forwarded) in [(&mut self.own, false), (&mut self.forwarded, true)] {
            if !read.is_empty() {
                Registry::lock().share(read, forwarded, &self.inbox);
                read.clear();
            }
        }
    }

    /// Takes all that is pending of one signal, for the other queues that watch it.
    fn take_pending(&mut self, signal: i32) -> Result<(), Error> {
        self.signals.set(&one(signal)?)?;
        self.tally.clear();
        self.read_signals(usize::MAX)?;
        self.share_what_was_read();
        Ok(())
    }

    /// Lets the signalfd read what is registered.
    fn read_registered(&self) -> Result<(), Error> {
        let mut set = SignalSet::empty();
        self.registered.iter().try_for_each(|&(signal, _)| set.add(signal))?;
        self.signals.set(&set)
    }

    fn watches(&self, signal: i32) -> bool {
        self.registered.iter().any(|&(registered, _)| registered == signal)
    }
}

impl Drop for SignalHub {
    fn drop(&mut self) {
        while let Some(&(_, slot)) = self.registered.last() {
            self.remove(slot);
        }
    }
}

const fn received(record: &SignalRecord) -> SignalReceived {
    SignalReceived {
        signal: record.signal,
        count: 1,
        pid: record.pid,
        uid: record.uid,
        code: record.code,
    }
}
