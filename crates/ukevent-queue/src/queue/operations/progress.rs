//! How an operation goes on: tried, and tried again when its descriptor is ready.

use super::is_for_threads;
use crate::backend::{Arm, Completion, Poll, Ticket};
use crate::event::Errno;
use crate::key::Key;
use crate::operation::{Attempt, Completed, Payload, Request, attempt};
use crate::queue::Queue;
use crate::slot::Flags;
use crate::source::{Owner, State};
use ukevent_sys::Error;
use ukevent_sys::poll::PollMask;

const EBADF: i32 = 9;

impl Queue {
    /// Tries an operation, and sees to it that it is tried again if need be. `ready`: its descriptor was
    /// reported.
    #[inline(never)]
    pub(in crate::queue) fn proceed(&mut self, key: Key, ready: PollMask) -> Result<(), Error> {
        let (_, slot) = self.slots.at(key.index);
        let State::Work(work) = &mut slot.state else { return Ok(()) };
        if work.ended || !work.completed.is_empty() {
            return Ok(());
        }
        if let Some(Request::SendFile(send)) = &work.request
            && send.is_warming
        {
            return Ok(());
        }
        let Some(request) = work.request.take() else { return Ok(()) };
        let on = work.on;
        // Its edge may have been before.
        let is_ready = !ready.is_empty() || slot.flags.contains(Flags::BY_EDGE);
        if request.is_of_path() {
            let back = self.fly(key, on, request);
            return back.map_or(Ok(()), |request| self.hand_over(key, request, on));
        }
        let Some(number) = self.slots.owner(on).map(Owner::number) else {
            let payload = request.into_payload();
            self.complete(key, Completed { result: Err(Errno(EBADF)), payload }, true);
            return Ok(());
        };
        if matches!(request, Request::Close) {
            if self.holds_buffers(on) {
                self.keep_request(key, request, number, PollMask::empty());
                return Ok(());
            }
            // It is the last of the line, and takes the others with it.
            return self.close(key, on);
        }
        if let Request::Poll { .. } = request
            && !ready.is_empty()
        {
            let completed = Completed { result: Ok(ready.bits()), payload: Payload::None };
            self.complete(key, completed, true);
            return Ok(());
        }
        let Some(mut request) = self.fly(key, on, request) else { return Ok(()) };
        if let Some(Owner::Simulated(end)) = self.slots.owner(on) {
            let tried = attempt(&mut request, &**end, None, is_ready);
            return self.after_try(key, request, number, tried);
        }
        let Some(fd) = self.slots.owner(on).and_then(Owner::as_fd) else { return Ok(()) };
        if is_for_threads(&request) {
            return self.hand_over(key, request, on);
        }
        let file = match &request {
            Request::SendFile(send) => self.slots.owner(send.file).and_then(Owner::as_fd),
            _ => None,
        };
        let tried = attempt(&mut request, fd, file, is_ready);
        self.after_try(key, request, number, tried)
    }

    /// What a try leads to.
    pub(super) fn after_try(
        &mut self,
        key: Key,
        request: Request,
        number: i32,
        tried: Attempt,
    ) -> Result<(), Error> {
        self.operations.tries += 1;
        match tried {
            Attempt::Done(result, payload) => self.done(key, request, result, payload),
            Attempt::Blocks(mask) => {
                self.keep_request(key, request, number, mask);
                if let Err(error) = self.watch_for(key, number, mask) {
                    // It is this operation's, and must not end the wait of all others.
                    let _ = self.end_work(key, error.errno());
                }
            }
            Attempt::NoBuffer => {
                self.keep_request(key, request, number, PollMask::empty());
                self.starve(key);
            }
            Attempt::Later => {
                self.keep_request(key, request, number, PollMask::empty());
                self.hot.push(key);
            }
            Attempt::Cold { offset, bytes, is_known } => {
                self.keep_request(key, request, number, PollMask::empty());
                self.warm(key, offset, bytes, is_known);
            }
        }
        Ok(())
    }

    pub(super) fn keep_request(
        &mut self,
        key: Key,
        request: Request,
        fd: i32,
        waits_for: PollMask,
    ) {
        let (_, slot) = self.slots.at(key.index);
        if let State::Work(work) = &mut slot.state {
            work.request = Some(request);
            work.fd = fd;
            work.waits_for = waits_for;
        }
    }

    /// Lets the backend say when the descriptor of an operation is ready.
    pub(super) fn watch_for(&mut self, key: Key, fd: i32, mask: PollMask) -> Result<(), Error> {
        let (_, slot) = self.slots.at(key.index);
        slot.flags.remove(Flags::TO_ARM);
        if slot.flags.contains(Flags::ARMED) {
            if slot.flags.contains(Flags::BY_EDGE) && self.nest.is_none() {
                return Ok(());
            }
            self.backend.cancel(Ticket { index: key.index, serial: slot.ticket }, fd, true);
        }
        slot.ticket = slot.ticket.wrapping_add(1);
        let ticket = Ticket { index: key.index, serial: slot.ticket };
        let arm = if slot.flags.contains(Flags::BY_EDGE) { Arm::Edge } else { Arm::Once };
        self.backend.submit(ticket, Poll { fd, mask, arm })?;
        slot.flags.insert(Flags::ARMED | Flags::KNOWN);
        Ok(())
    }

    /// The backend says something of the descriptor of an operation.
    #[inline(never)]
    pub(in crate::queue) fn work_reported(
        &mut self,
        key: Key,
        report: Completion,
    ) -> Result<(), Error> {
        let (_, slot) = self.slots.at(key.index);
        let State::Work(work) = &slot.state else { return Ok(()) };
        let Ok(bits) = u32::try_from(report.result) else {
            return self.end_work(key, -report.result).or(Ok(()));
        };
        let wanted = work.waits_for | PollMask::ERR | PollMask::HUP;
        let ready = PollMask::from_bits_truncate(bits) & wanted;
        if ready.is_empty() {
            // Only what nobody asked for: from now on its edge is waited for.
            slot.flags.insert(Flags::BY_EDGE);
            if report.last {
                self.arm_later(key);
            }
            return Ok(());
        }
        if !ready.intersects(work.waits_for) {
            // An error queue that is not empty would be told of for ever.
            slot.flags.insert(Flags::BY_EDGE);
        }
        if !report.last && !slot.flags.contains(Flags::BY_EDGE) {
            self.disarm(key);
        }
        self.proceed(key, ready)
    }

    /// An attempt came to its end.
    pub(super) fn done(
        &mut self,
        key: Key,
        request: Request,
        result: Result<u32, Errno>,
        payload: Payload,
    ) {
        if request.is_continuous() {
            // A receiver ends with the stream; an accepter counts nothing.
            let brought = !matches!(payload, Payload::None);
            if brought {
                let (_, slot) = self.slots.at(key.index);
                if let State::Work(work) = &mut slot.state {
                    work.request = Some(request);
                }
            }
            self.complete(key, Completed { result, payload }, !brought);
            return;
        }
        let torn = request.is_torn();
        let payload = match payload {
            Payload::None => request.into_payload(),
            brought => brought,
        };
        let (_, slot) = self.slots.at(key.index);
        let on = if let State::Work(work) = &slot.state { Some(work.on) } else { None };
        self.complete(key, Completed { result, payload }, true);
        if torn && let Some(on) = on {
            self.cut_line(on);
        }
    }
}
