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
use std::collections::HashMap;
use std::ops::Range;

/// Ranges of files that were read once, where nobody can tell whether they are in memory still: one for
/// each file, by the index of its registration.
#[derive(Default)]
pub(super) struct Passed(HashMap<u32, (Key, Range<u64>)>);

impl Passed {
    fn has(&self, file: Key, range: &Range<u64>) -> bool {
        let passed = self.0.get(&file.index).filter(|(key, _)| *key == file);
        passed.is_some_and(|(_, passed)| passed.start <= range.start && range.end <= passed.end)
    }

    /// Joins it to the one before, or forgets that.
    fn add(&mut self, file: Key, range: Range<u64>) {
        let passed = self.0.entry(file.index).or_insert_with(|| (file, range.clone()));
        let touches = passed.1.start <= range.end && range.start <= passed.1.end;
        *passed = match touches && passed.0 == file {
            true => (file, passed.1.start.min(range.start)..passed.1.end.max(range.end)),
            false => (file, range),
        };
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
        if !is_known && self.operations.passed.has(file, &send.stretch(bytes)) {
            return self.warmed(key, bytes);
        }
        send.is_warming = true;
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
            self.warmed(key, bytes);
        }
    }

    /// A thread has read it, or could not.
    pub(super) fn warmed(&mut self, key: Key, bytes: u64) {
        let (_, slot) = self.slots.at(key.index);
        slot.flags.remove(Flags::ARMED);
        if let State::Work(work) = &mut slot.state
            && let Some(Request::SendFile(send)) = &mut work.request
        {
            if send.is_warming {
                self.operations.passed.add(send.file, send.stretch(bytes));
            }
            send.is_warm(bytes);
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
