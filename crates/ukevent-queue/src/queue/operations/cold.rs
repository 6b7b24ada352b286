//! A file that is sent and not in memory: a thread reads it, a stretch at a time.
//!
//! The request stays here meanwhile, so that it can be ended at once; what the thread did then finds
//! nobody.

use crate::backend::Ticket;
use crate::key::Key;
use crate::operation::{Files, Request};
use crate::queue::Queue;
use crate::slot::Flags;
use crate::source::{Owner, State};
use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// How many files are remembered.
const MOST_FILES: usize = 64;

/// Which file it is, and in which state: device, inode, and when that was changed last.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64, i64, i64);

impl Identity {
    fn of(file: BorrowedFd<'_>) -> Option<Self> {
        let stat = rustix::fs::fstat(file).ok()?;
        Some(Self(stat.st_dev, stat.st_ino, stat.st_ctime, stat.st_ctime_nsec as i64))
    }
}

/// Ranges of files that were read once, where nobody can tell whether they are in memory still: one of
/// each file, whoever has it open; the last used first.
#[derive(Default)]
pub(super) struct Passed(VecDeque<(Identity, Range<u64>)>);

impl Passed {
    fn has(&mut self, file: Identity, range: &Range<u64>) -> bool {
        let Some(passed) = self.take(file) else { return false };
        let has = passed.start <= range.start && range.end <= passed.end;
        self.0.push_front((file, passed));
        has
    }

    /// Joins it to the one before, or forgets that.
    fn add(&mut self, file: Identity, range: Range<u64>) {
        let joined = match self.take(file) {
            Some(it) if it.start <= range.end && range.start <= it.end => {
                it.start.min(range.start)..it.end.max(range.end)
            }
            _ => range,
        };
        self.0.truncate(MOST_FILES - 1);
        self.0.push_front((file, joined));
    }

    fn take(&mut self, file: Identity) -> Option<Range<u64>> {
        let at = self.0.iter().position(|(other, _)| *other == file)?;
        self.0.remove(at).map(|(_, range)| range)
    }
}

impl Queue {
    /// Lets a thread read a range of the file that an operation sends. If there is none to be had, it is
    /// sent as it is.
    pub(super) fn warm(&mut self, key: Key, offset: u64, bytes: u64, is_known: bool) {
        // It is not the socket that it waits for now.
        self.disarm(key);
        let (_, slot) = self.slots.at(key.index);
        slot.ticket = slot.ticket.wrapping_add(1);
        slot.flags.remove(Flags::TO_ARM);
        slot.flags.insert(Flags::ARMED);
        let ticket = Ticket { index: key.index, serial: slot.ticket };
        let State::Work(work) = &mut slot.state else { return };
        let Some(Request::SendFile(send)) = &mut work.request else { return };
        let file = send.file;
        let stretch = send.stretch(bytes);
        if !is_known
            && let Some(identity) =
                self.slots.owner(file).and_then(Owner::as_fd).and_then(Identity::of)
            && self.operations.passed.has(identity, &stretch)
        {
            return self.warmed(key, bytes);
        }
        let duplicate =
            self.slots.owner(file).and_then(Owner::as_fd).map(|fd| fd.try_clone_to_owned());
        let mailbox = &self.mailbox;
        let files = self.operations.files.get_or_insert_with(|| Files::new(mailbox.clone()));
        let begun = match duplicate {
            Some(Ok(descriptor)) => {
                files.start(ticket, Request::Warm { offset, bytes }, Some(descriptor)).is_ok()
            }
            _ => false,
        };
        if !begun {
            return self.warmed(key, bytes);
        }
        let (_, slot) = self.slots.at(key.index);
        if let State::Work(work) = &mut slot.state
            && let Some(Request::SendFile(send)) = &mut work.request
        {
            send.is_warming = true;
        }
    }

    /// A thread has read it, or could not.
    pub(super) fn warmed(&mut self, key: Key, bytes: u64) {
        let (_, slot) = self.slots.at(key.index);
        slot.flags.remove(Flags::ARMED);
        if let State::Work(work) = &mut slot.state
            && let Some(Request::SendFile(send)) = &mut work.request
        {
            let passed = send.is_warming.then(|| (send.file, send.stretch(bytes)));
            send.is_warm(bytes);
            if let Some((file, stretch)) = passed
                && let Some(identity) =
                    self.slots.owner(file).and_then(Owner::as_fd).and_then(Identity::of)
            {
                self.operations.passed.add(identity, stretch);
            }
            // The wait has armed what it arms by now.
            self.hot.push(key);
        }
    }

    /// Nobody waits for the thread any more.
    pub(super) fn recall(&mut self, key: Key) {
        let (_, slot) = self.slots.at(key.index);
        let ticket = Ticket { index: key.index, serial: slot.ticket };
        slot.ticket = slot.ticket.wrapping_add(1);
        slot.flags.remove(Flags::ARMED);
        if let Some(files) = &self.operations.files {
            drop(files.take_back(ticket));
        }
    }
}
