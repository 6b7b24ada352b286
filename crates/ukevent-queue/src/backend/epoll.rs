//! epoll: every change is a system call, and the kernel keeps the state.
//!
//! The three ways of arming are epoll's own: level, `EPOLLET`, `EPOLLONESHOT`. Three things are made
//! up for here: epoll takes a descriptor once only, so a second registration (who sends while he receives)
//! is in a second set, which the first one holds, and only the third one costs a descriptor: it watches a
//! duplicate. So when descriptors run out, whoever has a connection can use it. Epoll
//! refuses regular files, which poll(2) calls always ready, so they are; and a level that was
//! reported ends the next wait too, so while the queue waits for more it is taken out (`parked`).

use super::{Arm, Backend, Completion, EventFdWake, Patience, Poll, Tally, Ticket};
use crate::by_slot::BySlot;
use crate::post::Wake;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use ukevent_sys::Result;
use ukevent_sys::epoll::{Epoll, Report, Trigger};
use ukevent_sys::poll::PollMask;

const EPERM: i32 = 1;
/// Reports taken from the kernel at a time.
const BATCH: usize = 256;
const NOBODY: u32 = u32::MAX;
/// The set that is waited for, and the one that it holds.
const FIRST: usize = 0;
const SECOND: usize = 1;

/// What the first set says of the second one. Its index is that of no slot.
const INNER: Ticket = Ticket::own(0);

/// What a slot has in the epoll set.
struct Entry {
    ticket: Ticket,
    poll: Poll,
    watched: Watched,
    place: Place,
}

/// How it is watched.
enum Watched {
    /// By its own number, in this set.
    In(usize),
    /// As a duplicate, in the first set, because other slots have its number in both.
    Duplicate(OwnedFd),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the epoll set.
    Set,
    /// Out of it for the rest of this wait.
    Parked,
    /// epoll does not take it: always ready. `bool`: still to be reported.
    File(bool),
}

impl Entry {
    fn fd(&self) -> RawFd {
        match &self.watched {
            Watched::In(_) => self.poll.fd,
            Watched::Duplicate(duplicate) => duplicate.as_raw_fd(),
        }
    }

    /// In which set.
    const fn set(&self) -> usize {
        match self.watched {
            Watched::In(set) => set,
            Watched::Duplicate(_) => FIRST,
        }
    }
}

pub(crate) struct EpollBackend {
    sets: [Arc<Epoll>; 2],
    /// Several threads sleep on the first.
    is_shared: bool,
    /// The first holds the second: not before it is used, as sets in sets may only be so deep.
    is_joined: bool,
    entries: BySlot<Entry>,
    /// Which slot watches the descriptor itself in each set, by its number; [`NOBODY`] if none does.
    holders: Vec<[u32; 2]>,
    parked: Vec<u32>,
    files: Vec<u32>,
    /// Levels reported since the queue began this wait.
    levels: Vec<u32>,
    reports: Box<[Report; BATCH]>,
    wake: EventFdWake,
    system_calls: u64,
}

impl EpollBackend {
    pub(crate) fn new() -> Result<Self> {
        let sets = [Arc::new(Epoll::new()?), Arc::new(Epoll::new()?)];
        let wake = EventFdWake::new()?;
        let wake_fd = wake.as_fd().as_raw_fd();
        sets[FIRST].add(wake_fd, PollMask::IN, Trigger::Edge, Ticket::WAKE.to_bits())?;
        Ok(Self {
            sets,
            is_shared: false,
            is_joined: false,
            entries: BySlot::new(),
            holders: Vec::new(),
            parked: Vec::new(),
            files: Vec::new(),
            levels: Vec::new(),
            reports: Box::new([Report::empty(); BATCH]),
            wake,
            system_calls: 0,
        })
    }

    fn add(&mut self, ticket: Ticket, poll: Poll) -> Result<()> {
        let number = poll.fd as usize;
        let holders = self.holders.get(number).copied().unwrap_or([NOBODY; 2]);
        let watched = match holders.iter().position(|&holder| holder == NOBODY) {
            Some(FIRST) => Watched::In(FIRST),
            Some(SECOND) if self.join() => Watched::In(SECOND),
            _ => Watched::Duplicate(ukevent_sys::descriptor::duplicate(poll.fd)?),
        };
        let mut entry = Entry { ticket, poll, watched, place: Place::Set };
        self.system_calls += 1;
        match self.sets[entry.set()].add(entry.fd(), poll.mask, trigger(poll.arm), ticket.to_bits())
        {
            Ok(()) => {}
            Err(error) if error.errno() == EPERM => {
                entry.place = Place::File(true);
                self.files.push(ticket.index);
            }
            Err(error) => return Err(error),
        }
        if let Watched::In(set) = entry.watched {
            if number >= self.holders.len() {
                self.holders.resize(number + 1, [NOBODY; 2]);
            }
            self.holders[number][set] = ticket.index;
        }
        self.entries.insert(ticket.index, entry);
        Ok(())
    }

    /// Lets the first set hold the second, if that is not too deep.
    fn join(&mut self) -> bool {
        if !self.is_joined {
            let second = self.sets[SECOND].as_fd().as_raw_fd();
            self.system_calls += 1;
            // One thread takes all that the second has: it would be told to each.
            let trigger = if self.is_shared { Trigger::Edge } else { Trigger::Level };
            let joined = self.sets[FIRST].add(second, PollMask::IN, trigger, INNER.to_bits());
            self.is_joined = joined.is_ok();
        }
        self.is_joined
    }

    /// Puts back what was taken out for the wait before.
    fn unpark(&mut self) -> Result<()> {
        while let Some(index) = self.parked.pop() {
            let Some(entry) = self.entries.find_mut(index) else { continue };
            if entry.place != Place::Parked {
                continue;
            }
            let (fd, ticket) = (entry.fd(), entry.ticket.to_bits());
            self.system_calls += 1;
            let added =
                self.sets[entry.set()].add(fd, entry.poll.mask, trigger(entry.poll.arm), ticket);
            if let Err(error) = added {
                self.parked.push(index);
                return Err(error);
            }
            entry.place = Place::Set;
        }
        Ok(())
    }

    /// Takes the levels that were reported out of the set.
    fn park(&mut self) -> Result<()> {
        for index in self.levels.drain(..) {
            let Some(entry) = self.entries.find_mut(index) else { continue };
            if entry.place == Place::Set && entry.poll.arm == Arm::Level {
                self.system_calls += 1;
                self.sets[entry.set()].remove(entry.fd())?;
                entry.place = Place::Parked;
                self.parked.push(index);
            }
        }
        Ok(())
    }

    /// Hands on the first reports of the kernel. Whether the second set has some.
    fn take(&mut self, count: usize, reports: &mut Vec<Completion>) -> bool {
        hand_on(&self.entries, &mut self.levels, &self.reports[..count], reports)
    }

    /// Hands on what the second set has.
    fn take_second(&mut self, reports: &mut Vec<Completion>) -> Result<()> {
        self.system_calls += 1;
        let count = self.sets[SECOND].wait(&mut self.reports[..], Some(0), None)?;
        self.take_all(SECOND, count, reports)?;
        Ok(())
    }

    /// Hands on the first reports of a set, and all the others that it has. Whether the second set has some.
    ///
    /// A wait tells all that was so when it began, as that of the other backends does. The kernel gives what is
    /// ready in turn, and a level that it gave joins behind all that waits: when the first of them comes again, all
    /// have been told.
    fn take_all(
        &mut self,
        set: usize,
        mut count: usize,
        reports: &mut Vec<Completion>,
    ) -> Result<bool> {
        let mut first_level = self.first_level(count);
        let mut inner = self.take(count, reports);
        let mut taken = count;
        // What was read by another thread meanwhile does not come again: then the number of all is the end.
        while count == BATCH && taken < self.entries.most() {
            self.system_calls += 1;
            count = self.sets[set].wait(&mut self.reports[..], Some(0), None)?;
            let comes_again = |report: &Report| Some(report.data()) == first_level;
            let again = self.reports[..count].iter().position(comes_again);
            first_level = first_level.or_else(|| self.first_level(count));
            inner |= self.take(again.unwrap_or(count), reports);
            if again.is_some() {
                break;
            }
            taken += count;
        }
        Ok(inner)
    }

    /// The word of the first of so many reports that comes again as long as it is so.
    fn first_level(&self, count: usize) -> Option<u64> {
        self.reports[..count].iter().map(Report::data).find(|&data| self.is_level(data))
    }

    /// Whether what was reported with this word is reported as long as it is so.
    fn is_level(&self, data: u64) -> bool {
        let ticket = Ticket::from_bits(data);
        ticket == INNER
            || self.entries.find(ticket.index).is_some_and(|entry| entry.poll.arm == Arm::Level)
    }

    /// Whether this arming is the one that the slot has.
    pub(super) fn watches(&self, ticket: Ticket) -> bool {
        self.entries.find(ticket.index).is_some_and(|entry| entry.ticket == ticket)
    }

    /// The epoll instance's own descriptor.
    pub(super) fn shown(&self) -> BorrowedFd<'_> {
        self.sets[FIRST].as_fd()
    }

    /// Whether there are files to report, which no epoll instance tells about.
    pub(super) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// `again`: levels were reported in this wait; what is tried once more was armed since.
    fn report_files(&mut self, again: bool, reports: &mut Vec<Completion>) {
        for index in &self.files {
            let Some(entry) = self.entries.find_mut(*index) else { continue };
            if again && entry.poll.arm == Arm::Level {
                continue;
            }
            let ready = entry.poll.mask & (PollMask::IN | PollMask::OUT);
            if entry.place == Place::File(true) && !ready.is_empty() {
                let last = entry.poll.arm == Arm::Once;
                reports.push(Completion::ready(entry.ticket, ready, last));
                // A level is reported in each wait; the rest when armed anew.
                entry.place = Place::File(entry.poll.arm == Arm::Level);
            }
        }
    }
}

/// Hands on reports of the kernel, and notes which are levels. Whether the second set has some.
fn hand_on(
    entries: &BySlot<Entry>,
    levels: &mut Vec<u32>,
    taken: &[Report],
    reports: &mut Vec<Completion>,
) -> bool {
    let mut inner = false;
    for report in taken {
        let ticket = Ticket::from_bits(report.data());
        if ticket.index == Ticket::WAKE.index {
            inner |= ticket == INNER;
            continue;
        }
        let arm = entries.find(ticket.index).map_or(Arm::Edge, |entry| entry.poll.arm);
        if arm == Arm::Level {
            levels.push(ticket.index);
        }
        reports.push(Completion::ready(ticket, report.mask(), arm == Arm::Once));
    }
    inner
}

const fn trigger(arm: Arm) -> Trigger {
    match arm {
        Arm::Once => Trigger::Once,
        Arm::Edge => Trigger::Edge,
        Arm::Level => Trigger::Level,
    }
}

impl Backend for EpollBackend {
    fn submit(&mut self, ticket: Ticket, poll: Poll) -> Result<()> {
        let Some(entry) = self.entries.find_mut(ticket.index) else {
            return self.add(ticket, poll);
        };
        let (fd, data) = (entry.fd(), ticket.to_bits());
        let set = &self.sets[entry.set()];
        self.system_calls += 1;
        match entry.place {
            Place::Set => set.modify(fd, poll.mask, trigger(poll.arm), data)?,
            Place::Parked => {
                set.add(fd, poll.mask, trigger(poll.arm), data)?;
                entry.place = Place::Set;
            }
            Place::File(_) => entry.place = Place::File(true),
        }
        entry.ticket = ticket;
        entry.poll = poll;
        Ok(())
    }

    fn cancel(&mut self, ticket: Ticket, _fd: RawFd, _armed: bool) {
        let Some(entry) = self.entries.remove(ticket.index) else { return };
        match entry.place {
            Place::Set => {
                self.system_calls += 1;
                // The descriptor is open and in the set, so this cannot fail.
                let _: Result<()> = self.sets[entry.set()].remove(entry.fd());
            }
            Place::Parked => {}
            Place::File(_) => self.files.retain(|&index| index != ticket.index),
        }
        if let Watched::In(set) = entry.watched {
            self.holders[entry.poll.fd as usize][set] = NOBODY;
        }
    }

    fn wait(&mut self, patience: Patience<'_>, reports: &mut Vec<Completion>) -> Result<()> {
        let before = reports.len();
        if patience.again {
            self.park()?;
        } else {
            self.levels.clear();
            self.unpark()?;
        }
        self.report_files(patience.again, reports);
        let ready_already = reports.len() > before;
        let timeout =
            if ready_already || patience.is_none() { Some(0) } else { patience.timeout_ns };
        self.system_calls += 1;
        let count = match self.sets[FIRST].wait(&mut self.reports[..], timeout, patience.mask) {
            Err(error) if ready_already && error.interrupted() => 0,
            count => count?,
        };
        if self.take_all(FIRST, count, reports)? {
            self.take_second(reports)?;
        }
        Ok(())
    }

    fn share(&mut self) -> Option<Arc<Epoll>> {
        self.is_shared = true;
        Some(self.sets[FIRST].clone())
    }

    fn take_in(&mut self, slept: &[Report], reports: &mut Vec<Completion>) -> Result<()> {
        self.system_calls += 1;
        if hand_on(&self.entries, &mut self.levels, slept, reports) {
            self.take_second(reports)?;
        }
        self.levels.clear();
        Ok(())
    }

    fn knows_own(&self) -> bool {
        let is_due = |&index: &u32| {
            self.entries.find(index).is_some_and(|entry| entry.place == Place::File(true))
        };
        self.files.iter().any(is_due)
    }

    fn report_own(&mut self, reports: &mut Vec<Completion>) {
        self.report_files(false, reports);
    }

    fn waker(&self) -> Box<dyn Wake> {
        Box::new(self.wake.clone())
    }

    fn descriptor(&mut self) -> std::result::Result<BorrowedFd<'_>, &'static str> {
        Ok(self.shown())
    }

    fn tally(&self) -> Tally {
        Tally { system_calls: self.system_calls, overflows: 0 }
    }
}
