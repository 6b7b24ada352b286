//! Operations that others carry out: the kernel by itself, or a thread.

use super::ECANCELED;
use crate::backend::{Completion, Landed, Start, Ticket};
use crate::event::Errno;
use crate::key::Key;
use crate::operation::{Completed, Each, Files, Payload, Request};
use crate::queue::Queue;
use crate::slot::Flags;
use crate::source::{Owner, State};
use rustix::fs::CWD;
use std::os::fd::AsRawFd;
use ukevent_sys::Error;
use ukevent_sys::poll::PollMask;

const EBADF: i32 = 9;
const ENOBUFS: i32 = 105;
const EINTR: i32 = 4;
const EOPNOTSUPP: i32 = 95;

impl Queue {
    /// Gives an operation to the kernel, if the backend has one that carries it out by itself; else it
    /// comes back.
    pub(super) fn fly(&mut self, key: Key, on: Key, mut request: Request) -> Option<Request> {
        self.weigh(on, &mut request);
        let (_, slot) = self.slots.at(key.index);
        let serial = slot.ticket.wrapping_add(1);
        let ticket = Ticket { index: key.index, serial };
        let fd = match on {
            // A path needs none.
            Key::NONE => Some(CWD),
            on => self.slots.owner(on).and_then(Owner::as_fd),
        };
        let Some(fd) = fd else { return Some(request) };
        match self.backend.start(ticket.of_operation(), request, fd) {
            Start::Begun => {
                let (_, slot) = self.slots.at(key.index);
                if slot.flags.contains(Flags::KNOWN) {
                    // It was watched before the kernel could do it.
                    self.disarm(key);
                }
                let (_, slot) = self.slots.at(key.index);
                slot.ticket = serial;
                slot.flags.insert(Flags::ARMED);
                slot.flags.remove(Flags::TO_ARM);
                if let State::Work(work) = &mut slot.state {
                    work.in_flight = true;
                }
                None
            }
            Start::NotMine(request) => Some(request),
            Start::NoBuffer(request) => {
                let number = fd.as_raw_fd();
                self.keep_request(key, request, number, PollMask::empty());
                self.starve(key);
                None
            }
            Start::Later(request) => {
                let number = fd.as_raw_fd();
                self.keep_request(key, request, number, PollMask::empty());
                self.operations.line.push_back(key);
                None
            }
            Start::Refused(request, errno) => {
                self.complete(
                    key,
                    Completed { result: Err(errno), payload: request.into_payload() },
                    true,
                );
                None
            }
        }
    }

    /// The kernel says something of an operation that it carries out.
    pub(in crate::queue) fn work_landed(&mut self, report: Completion) -> Result<(), Error> {
        let landed = self.backend.land();
        let ticket = report.ticket.of_slot();
        let Some((key, slot)) = self.slots.armed(ticket.index, ticket.serial) else {
            // Dropping what it brings closes a descriptor, or lets a buffer go home.
            self.counters.stale += 1;
            return Ok(());
        };
        let State::Work(work) = &mut slot.state else { return Ok(()) };
        let on = work.on;
        if report.last {
            slot.flags.remove(Flags::ARMED);
            work.in_flight = false;
        }
        // What was at work when it was told to end says that it was interrupted.
        let is_told = work.ended_by.is_some() || work.pausing;
        let was_cancelled =
            report.result == -ECANCELED || is_told && [-EINTR, -ENOBUFS].contains(&report.result);
        if let Some(each) = &work.each
            && report.last
            && work.ended_by.is_none()
        {
            let paused = std::mem::take(&mut work.pausing) && was_cancelled;
            let starved = report.result == -ENOBUFS && matches!(each, Each::Receive { .. });
            let brought = matches!(landed, Landed::Payload(_));
            if paused || starved || brought {
                // It was stopped for a while, or there was no buffer for more, or no place for its next
                // completion: it goes on.
                work.request = Some(each.request());
            }
            if paused || starved {
                if work.completed.is_empty() {
                    self.arm_later(key);
                }
                return Ok(());
            }
        }
        let mut result = match u32::try_from(report.result) {
            Ok(count) => Ok(count),
            Err(_) if was_cancelled => Err(work.ended_by.unwrap_or(Errno(ECANCELED))),
            Err(_) => Err(Errno(-report.result)),
        };
        let mut torn = false;
        let payload = match landed {
            Landed::Nothing => Payload::None,
            Landed::Payload(payload) => payload,
            Landed::Sent => {
                self.pass_turn(key, on);
                return Ok(());
            }
            Landed::Released { payload, copied } => {
                if copied {
                    self.note_copied(on);
                }
                self.complete(key, Completed { result, payload }, true);
                self.resume_close(on);
                return Ok(());
            }
            Landed::Torn(payload) => {
                torn = true;
                result = work.ended_by.map_or(result, Err);
                payload
            }
            Landed::Rest(request) if work.ended_by.is_none() => {
                // A part of it was done; the rest is done the other way.
                let cannot = request.is_send() && report.result == -EOPNOTSUPP;
                work.request = Some(request);
                if cannot {
                    self.note_copied(on);
                }
                self.arm_later(key);
                return Ok(());
            }
            Landed::Rest(request) => {
                result = work.ended_by.map_or(result, Err);
                torn = request.is_torn();
                request.into_payload()
            }
        };
        let ended = report.last && work.request.is_none();
        let brought = ended && work.each.is_some() && !matches!(payload, Payload::None);
        let last_words = if brought { work.ended_by } else { None };
        if let Some(each) = &work.each
            && work.in_flight
            && !work.completed.is_empty()
            && work.completed.len() + 1 >= each.most_kept()
            && !work.pausing
        {
            work.pausing = true;
            self.backend.cancel(report.ticket, -1, true);
        }
        if let Some(errno) = last_words {
            // It was told to end, which is an event of its own after what it brought.
            self.complete(key, Completed { result, payload }, false);
            let end = Completed { result: Err(errno), payload: Payload::None };
            self.complete(key, end, true);
            return Ok(());
        }
        self.complete(key, Completed { result, payload }, ended);
        if torn {
            self.cut_line(on);
        }
        Ok(())
    }

    /// Lets a thread do what would block.
    pub(super) fn hand_over(&mut self, key: Key, request: Request, on: Key) -> Result<(), Error> {
        let owned = self.slots.owner(on).and_then(Owner::as_fd);
        let duplicate = match on {
            Key::NONE => Some(Ok(None)),
            _ => owned.map(|fd| fd.try_clone_to_owned().map(Some)),
        };
        let (_, slot) = self.slots.at(key.index);
        slot.ticket = slot.ticket.wrapping_add(1);
        let ticket = Ticket { index: key.index, serial: slot.ticket };
        slot.flags.remove(Flags::TO_ARM);
        slot.flags.insert(Flags::ARMED);
        let mailbox = &self.mailbox;
        let files = self.operations.files.get_or_insert_with(|| Files::new(mailbox.clone()));
        let refused = match duplicate {
            Some(Ok(descriptor)) => files.start(ticket, request, descriptor).err(),
            Some(Err(error)) => Some((request, Errno(error.raw_os_error().unwrap_or(EBADF)))),
            None => Some((request, Errno(EBADF))),
        };
        if let Some((request, errno)) = refused {
            let (_, slot) = self.slots.at(key.index);
            slot.flags.remove(Flags::ARMED);
            self.done(key, request, Err(errno), Payload::None);
        }
        Ok(())
    }
}
