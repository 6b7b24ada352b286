//! How events get in: one wait, from the program's patience to the list of ready slots.

use super::Queue;
use super::deliver::{AHEAD, enlist};
use crate::backend::choice::BackendKind;
use crate::backend::{Completion, Patience};
use crate::error::WaitError;
use crate::event::Kind;
use crate::key::Key;
use crate::mode::Mode;
use crate::primitive::Arc;
use crate::slot::Flags;
use crate::source::{Drained, Own, State, Stream, StreamSource};
use crate::wait::{Until, Wait};
use crate::wheel::Owners;
use ukevent_sys::Error;
use ukevent_sys::clock::Clock;
use ukevent_sys::poll::{PollFd, PollMask};

/// Events read from one descriptor of a stream before the others have their turn.
const STREAM_BUDGET: usize = 256;
/// How many operations of one line may begin in one wait, each when the one before has ended.
const ROUNDS: usize = 64;
/// With so many events ready no more are read; they wait in the kernel.
const READY_EVENTS: usize = 4096;

impl Queue {
    /// Waits as `wait` says, and returns how many events can now be taken with
    /// [`Queue::next_event`]; 0 if the time is over first, or a [`Waker`](crate::Waker) was used.
    /// Events that were let out by the wait before and not taken are let out again, if still true.
    ///
    /// Blocks, unless the wait says otherwise. On io_uring it is one system call for all that was
    /// registered, changed and removed since, and for waiting; none at all if it need not block and
    /// the kernel has nothing to do.
    ///
    /// # Errors
    /// [`WaitError::Interrupted`] if a signal handler ran and no event came: ppoll's `EINTR`.
    /// [`WaitError::Invalid`] if the wait contradicts itself. [`WaitError::WrongThread`]. Nothing is
    /// lost by an error.
    #[doc(alias = "kevent_wait")]
    pub fn wait(&mut self, wait: Wait<'_>) -> Result<usize, WaitError> {
        if wait.at_most == 0 {
            return Err(WaitError::Invalid("a wait must let at least one event out: at_most(0)"));
        }
        if wait.at_least > wait.at_most {
            return Err(WaitError::Invalid("a wait cannot need more events than it lets out"));
        }
        self.claim_thread().map_err(|_| WaitError::WrongThread)?;
        self.counters.waits += 1;
        self.take_back();
        self.spent = None;
        self.now_ns = None;
        if !self.ready.is_empty() {
            self.look_again(wait.at_most)?;
        }
        if !self.to_arm.is_empty() {
            self.arm_again()?;
        }
        let waited = self.gather(&wait);
        if matches!(wait.until, Until::At(Clock::Boot | Clock::Wall, _)) {
            self.clear_wait_deadline();
        }
        self.epoch = self.epoch.wrapping_add(1).max(1);
        self.mind_nest()?;
        let interrupted = waited?;
        if interrupted && self.ready_events == 0 {
            return Err(WaitError::Interrupted);
        }
        self.let_out(wait.at_most);
        self.counters.batch_max = self.counters.batch_max.max(self.grant as u64);
        Ok(self.grant)
    }

    /// Lets events in until there are enough or the time is over; true if a signal handler ran.
    fn gather(&mut self, wait: &Wait<'_>) -> Result<bool, WaitError> {
        let mut deadline = None;
        match wait.until {
            Until::Ever | Until::Now => {}
            Until::Within(ns) => {
                deadline = Some(self.monotonic_ns().saturating_add(ns));
            }
            Until::At(Clock::Monotonic, ns) => deadline = Some(ns),
            Until::At(clock, ns) => self.set_wait_deadline(clock, ns),
        }
        let mut over = wait.until == Until::Now || wait.at_least == 0;
        let mut again = false;
        loop {
            self.collect(wait.at_least)?;
            over |= self.timers.deadline_passed;
            let enough = self.ready_events >= wait.at_least.max(1);
            let is_done = self.hot.is_empty() && self.nobody_in_line() && self.to_arm.is_empty();
            let sleep_ns =
                if enough || over || !is_done { Some(0) } else { self.sleep_ns(deadline)? };
            let had_events = self.ready_events > 0;
            let woken = self.wait_once(wait, sleep_ns, again)?;
            if sleep_ns != Some(0) && (had_events || wait.at_least > 1) {
                // What was so before the sleep, or in the middle of it, need not be so after it.
                self.look_again(usize::MAX)?;
            }
            self.collect(wait.at_least)?;
            over |=
                self.timers.deadline_passed || deadline.is_some_and(|at| self.monotonic_ns() >= at);
            match woken {
                Woken::Handler => return Ok(true),
                Woken::Waker => return Ok(false),
                Woken::Kernel if over || self.ready_events >= wait.at_least => return Ok(false),
                Woken::Kernel => again = true,
            }
            if !self.to_arm.is_empty() {
                self.arm_again()?;
            }
        }
    }

    /// How long the kernel may let us sleep; `None` is for ever.
    fn sleep_ns(&mut self, deadline: Option<u64>) -> Result<Option<u64>, Error> {
        let timer = self.until_next_timer()?;
        let deadline = deadline.map(|at| at.saturating_sub(self.monotonic_ns()));
        Ok(timer.into_iter().chain(deadline).min())
    }

    /// One call of the backend, and what it reported.
    fn wait_once(
        &mut self,
        wait: &Wait<'_>,
        sleep_ns: Option<u64>,
        again: bool,
    ) -> Result<Woken, WaitError> {
        // Nobody but us can post while nobody else has the mailbox: then the fence is saved.
        let alone = Arc::strong_count(&self.mailbox) == 1;
        let blocks = sleep_ns != Some(0)
            && if alone { self.mailbox.is_left_idle() } else { self.mailbox.prepare_sleep() };

        // Several can be waited for at once only if each report is at most one event: not if a post, a
        // stream or a timerfd can bring many with one.
        let one_each = alone
            && self.slots.streams() == 0
            && !self.timers.has_timerfds()
            && self.operations.is_empty();

        let missing =
            if one_each { wait.at_least.saturating_sub(self.ready_events).max(1) } else { 1 };
        let patience = Patience {
            reports: if blocks { u32::try_from(missing).unwrap_or(u32::MAX) } else { 0 },
            timeout_ns: if blocks { sleep_ns } else { Some(0) },
            mask: wait.mask,
            again,
        };
        let mut reports = std::mem::take(&mut self.reports);
        let waited = self.backend.wait(patience, &mut reports);
        if blocks {
            self.now_ns = None;
        }
        if blocks && !alone {
            self.mailbox.end_sleep();
        }
        let absorbed = self.absorb_all(reports);
        match waited {
            Err(error) if error.interrupted() => return Ok(Woken::Handler),
            Err(error) => return Err(error.into()),
            Ok(()) => {}
        }
        absorbed?;
        Ok(if self.mailbox.take_woken() { Woken::Waker } else { Woken::Kernel })
    }

    /// Takes in all reports of a call of the backend; the memory of their list is kept.
    #[inline(always)]
    pub(super) fn absorb_all(&mut self, mut reports: Vec<Completion>) -> Result<(), Error> {
        let mut absorbed = Ok(());
        for (at, &report) in reports.iter().enumerate() {
            if let Some(later) = reports.get(at + AHEAD) {
                self.slots.expect(later.ticket.index);
            }
            if let Err(error) = self.absorb(report) {
                absorbed = Err(error);
            }
        }
        reports.clear();
        self.reports = reports;
        if !self.doubtful.is_empty() {
            self.confirm()?;
        }
        absorbed
    }

    /// Arms what was delivered, or ended, since the last wait.
    #[inline(never)]
    pub(super) fn arm_again(&mut self) -> Result<(), Error> {
        // In the order in which they came: what was started first begins first. What ends at once lets the
        // next in its line begin, but not for ever.
        for _ in 0..ROUNDS {
            if self.to_arm.is_empty() {
                break;
            }
            let mut to_arm = std::mem::take(&mut self.to_arm);
            let mut failed = Ok(());
            for key in to_arm.drain(..) {
                let Some(slot) = self.slots.live(key) else { continue };
                let wanted = slot.flags.contains(Flags::TO_ARM);
                slot.flags.remove(Flags::TO_ARM);
                if wanted && failed.is_ok() {
                    failed = self.arm(key);
                }
                if wanted && failed.is_err() {
                    self.arm_later(key);
                }
            }
            if self.to_arm.is_empty() {
                self.to_arm = to_arm;
            }
            failed?;
        }
        Ok(())
    }

    pub(super) fn arm_later(&mut self, key: Key) {
        let (_, slot) = self.slots.at(key.index);
        if !slot.flags.contains(Flags::TO_ARM) {
            slot.flags.insert(Flags::TO_ARM);
            self.to_arm.push(key);
        }
    }

    /// Looks again at the states that an earlier wait found and did not deliver: what is no longer so
    /// is dropped and watched anew. As many as can be delivered now, as a rule with one system call.
    #[inline(never)]
    pub(super) fn look_again(&mut self, at_most: usize) -> Result<(), Error> {
        if self.ready_events == 0 {
            // What is left in the list has nothing to deliver.
            while let Some(key) = self.ready.pop_front() {
                self.slots.unlist(key);
            }
            return Ok(());
        }
        let (mut at, mut sure) = (0, 0);
        while sure < at_most && at < self.ready.len() {
            self.probes.clear();
            self.probed.clear();
            while sure + self.probes.len() < at_most && at < self.ready.len() {
                let key = self.ready[at];
                at += 1;
                let Some(slot) = self.slots.find(key) else { continue };
                match &slot.state {
                    _ if !slot.flags.contains(Flags::READY) => {}
                    State::Fd { fd, interest, .. } if slot.mode != Mode::Edge => {
                        self.probes.push(PollFd::new(*fd, interest.mask()));
                        self.probed.push(key);
                    }
                    _ => sure += 1,
                }
            }
            if self.probes.is_empty() {
                break;
            }
            self.backend.probe(&mut self.probes)?;
            sure += self.keep_true();
        }
        Ok(())
    }

    /// Looks again at what the kernel may have found true earlier than now.
    #[inline(never)]
    fn confirm(&mut self) -> Result<(), Error> {
        self.probes.clear();
        self.probed.clear();
        for key in self.doubtful.drain(..) {
            let Some(slot) = self.slots.find(key) else { continue };
            if let State::Fd { fd, interest, .. } = &slot.state
                && slot.flags.contains(Flags::READY)
            {
                self.probes.push(PollFd::new(*fd, interest.mask()));
                self.probed.push(key);
            }
        }
        self.backend.probe(&mut self.probes)?;
        self.keep_true();
        Ok(())
    }

    /// Drops what the probes did not confirm; returns how many they did.
    fn keep_true(&mut self) -> usize {
        let mut confirmed = 0;
        for (&key, probe) in self.probed.iter().zip(&self.probes) {
            let (_, slot) = self.slots.at(key.index);
            if !slot.flags.contains(Flags::READY) {
                continue;
            }
            let reported = probe.reported();
            slot.pending = match slot.mode {
                // Of an edge, which is an occurrence, only the urgent data is in doubt.
                Mode::Edge => slot.pending.difference(PollMask::PRI) | (reported & PollMask::PRI),
                _ => reported,
            };
            if !slot.pending.is_empty() || slot.failed != 0 {
                confirmed += 1;
                continue;
            }
            slot.flags.remove(Flags::READY);
            self.ready_events -= 1;
            self.counters.untrue += 1;
            // Also if it is watched: while the wait goes on, what was reported is passed over.
            if slot.mode != Mode::Edge && !slot.flags.contains(Flags::TO_ARM) {
                slot.flags.insert(Flags::TO_ARM);
                self.to_arm.push(key);
            }
        }
        confirmed
    }

    /// Lets in what needs no kernel's report: posts, timers, and descriptors not read to the end.
    #[inline]
    pub(super) fn collect(&mut self, at_least: usize) -> Result<(), Error> {
        let nothing = self.mailbox.is_empty()
            && self.timers.none_live()
            && self.hot.is_empty()
            && self.nobody_in_line()
            && !self.mailbox.has_attention();
        if nothing { Ok(()) } else { self.collect_all(at_least) }
    }

    #[inline(never)]
    fn collect_all(&mut self, at_least: usize) -> Result<(), Error> {
        self.collect_posts();
        self.expire_timers();
        if self.mailbox.take_attention() {
            self.attend();
        }
        if self.ready_events < READY_EVENTS.max(at_least) {
            self.call_up();
            let mut hot = std::mem::take(&mut self.hot).into_iter();
            while let Some(key) = hot.next() {
                if self.slots.live(key).is_some()
                    && let Err(error) = self.read_descriptor(key)
                {
                    // They are not reported again by themselves.
                    self.hot.extend(hot);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn collect_posts(&mut self) {
        let Some(top) = self.mailbox.take() else { return };
        // The stack has the last post on top.
        let mut stack = std::mem::take(&mut self.posted);
        let mut next = Some(top);
        while let Some(bits) = next {
            let key = Key::from_bits(bits);
            next = match self.slots.find(key).map(|slot| &slot.state) {
                Some(State::User(user)) => user.inbox.take_next(),
                _ => self.orphans.remove(&bits).and_then(|inbox| inbox.take_next()),
            };
            stack.push(key);
        }
        for key in stack.drain(..).rev() {
            let Some(slot) = self.slots.find(key) else { continue };
            let State::User(user) = &mut slot.state else { continue };
            let more = user.collect() as usize;
            if slot.flags.contains(Flags::ENABLED) {
                self.ready_events += more;
                if user.counted > 0 {
                    enlist(&mut self.ready, key, slot);
                }
            }
        }
        self.posted = stack;
    }

    /// Takes in one report of the backend.
    #[inline]
    fn absorb(&mut self, report: Completion) -> Result<(), Error> {
        if report.ticket.is_of_operation() {
            return self.work_landed(report);
        }
        let Some((key, slot)) = self.slots.armed(report.ticket.index, report.ticket.serial) else {
            self.counters.stale += 1;
            return Ok(());
        };
        if report.last {
            slot.flags.remove(Flags::ARMED);
        }
        let State::Fd { owner, interest, .. } = &slot.state else {
            if let State::Work(_) = slot.state {
                return self.work_reported(key, report);
            }
            if report.last {
                self.arm_later(key);
            }
            return self.read_descriptor(key);
        };
        let Ok(bits) = u32::try_from(report.result) else {
            self.fail(key, -report.result);
            return Ok(());
        };
        let mask =
            PollMask::from_bits_truncate(bits) & (interest.mask() | PollMask::ERR | PollMask::HUP);
        if mask.is_empty() {
            self.unasked(key, report.last);
            return Ok(());
        }
        // The end of an edge's watching is not the end of the interest in it; but of a file that is
        // always ready there is no more to say.
        let arm_again = report.last && slot.mode == Mode::Edge && !owner.always_ready();
        let level = slot.mode != Mode::Edge;
        let disarm = level && !report.last && slot.flags.contains(Flags::BY_EDGE);
        let late = level && slot.armed_in != self.epoch && reports_late(self.kind);
        if late || mask.contains(PollMask::PRI) {
            self.doubtful.push(key);
        }
        slot.pending |= mask;
        if enlist(&mut self.ready, key, slot) {
            self.ready_events += 1;
        } else {
            self.counters.coalesced += 1;
        }
        if arm_again {
            self.arm_later(key);
        }
        if disarm {
            self.disarm(key);
        }
        Ok(())
    }

    /// Only what nobody asked for is reported: io_uring tells of a peer that closed its side, always
    /// and at once. What was asked for is then watched for by its edge.
    #[cold]
    fn unasked(&mut self, key: Key, last: bool) {
        let (_, slot) = self.slots.at(key.index);
        slot.flags.insert(Flags::BY_EDGE);
        if last {
            self.arm_later(key);
        }
    }

    /// The kernel ended the watching of a descriptor.
    #[cold]
    fn fail(&mut self, key: Key, errno: i32) {
        let (_, slot) = self.slots.at(key.index);
        slot.flags.remove(Flags::ARMED);
        slot.pending = PollMask::NVAL;
        slot.failed = errno as i16;
        if enlist(&mut self.ready, key, slot) {
            self.ready_events += 1;
        }
    }

    /// Reads what a stream, or a descriptor of the queue's own, has; at most a budget of it.
    fn read_descriptor(&mut self, key: Key) -> Result<(), Error> {
        // What it has is not reported again by itself if this fails.
        self.drain(key).inspect_err(|_| self.hot.push(key))
    }

    fn drain(&mut self, key: Key) -> Result<(), Error> {
        let (_, slot) = self.slots.at(key.index);
        let mut read = Vec::new();
        let drained = match &mut slot.state {
            State::Own(Own::Clock(clock)) => {
                let clock = *clock;
                return self.read_timerfd(clock);
            }
            State::Own(Own::Inodes) => match &mut self.hubs.inodes {
                Some((hub, _)) => {
                    hub.drain(STREAM_BUDGET, &mut |to, kind| read.push((to, kind)))?
                }
                None => Drained::Dry,
            },
            State::Own(Own::Signals) => match &mut self.hubs.signals {
                Some((hub, _)) => {
                    hub.drain(STREAM_BUDGET, &mut |to, kind| read.push((to, kind)))?
                }
                None => Drained::Dry,
            },
            State::Own(Own::Connector) => match &mut self.hubs.connector {
                Some((hub, _)) => {
                    hub.drain(STREAM_BUDGET, &mut |to, kind| read.push((to, kind)))?
                }
                None => Drained::Dry,
            },
            State::Stream(stream) => read_stream(stream, key.index, &mut read)?,
            State::Work(_) => return self.proceed(key, PollMask::empty()),
            _ => Drained::Dry,
        };
        if drained == Drained::Budget {
            self.hot.push(key);
        }
        for (index, kind) in read {
            self.keep(index, kind);
        }
        Ok(())
    }

    pub(super) fn keep(&mut self, index: u32, kind: Kind) {
        self.counters.rescans += u64::from(kind == Kind::Rescan);
        let (key, slot) = self.slots.at(index);
        let State::Stream(stream) = &mut slot.state else { return };
        let change = stream.keep(kind);
        // Fewer than before: it kept too many, and began anew with "look again".
        self.counters.rescans += u64::from(change < 0);
        if slot.flags.contains(Flags::ENABLED) {
            self.ready_events = self.ready_events.saturating_add_signed(change);
            enlist(&mut self.ready, key, slot);
        }
    }
}

/// What ended a call of the backend.
enum Woken {
    Kernel,
    Waker,
    Handler,
}

fn read_stream(
    stream: &mut Stream,
    index: u32,
    read: &mut Vec<(u32, Kind)>,
) -> Result<Drained, Error> {
    match &mut stream.from {
        StreamSource::Process(watch) => {
            read.extend(watch.exited()?.map(|kind| (index, kind)));
            Ok(Drained::Dry)
        }
        StreamSource::Netlink(watch) => {
            watch.drain(STREAM_BUDGET, &mut |kind| read.push((index, kind)))
        }
        StreamSource::Inode | StreamSource::Signal => Ok(Drained::Dry),
    }
}

/// Whether a backend reports what it found when the kernel was woken, rather than when it was asked:
/// io_uring keeps the state that came with the wake-up of a poll until the next entering.
const fn reports_late(kind: BackendKind) -> bool {
    matches!(kind, BackendKind::IoUring | BackendKind::Sim)
}
