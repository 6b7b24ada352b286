//! poll(2): the honest old baseline. Every wait hands the kernel the whole list.
//!
//! Level is poll's nature, and once is level taken off the list when reported. An edge it cannot see:
//! those descriptors are watched by an epoll instance, which is one more descriptor of the list. The
//! same helps when the queue itself is to be watched: poll has no descriptor to show, so the whole
//! list is mirrored into one that has.

use super::epoll::EpollBackend;
use super::mirror::Mirror;
use super::{Arm, Backend, Completion, EventFdWake, Patience, Poll, Tally, Ticket};
use crate::post::Wake;
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use ukevent_sys::Result;
use ukevent_sys::poll::{PollFd, PollMask, poll};

/// The list's first two places: the wake-up, and the epoll instance for edges.
const WAKE: usize = 0;
const EDGES: usize = 1;
const OWN: usize = 2;

const EBADF: i32 = 9;

#[derive(Clone, Copy)]
struct Place {
    ticket: Ticket,
    poll: Poll,
    /// Not to be asked about for the rest of this wait.
    parked: bool,
}

pub(crate) struct PollBackend {
    fds: Vec<PollFd>,
    /// What stands at `fds[OWN + n]`.
    places: Vec<Place>,
    /// Where a slot stands in `places`.
    by_slot: HashMap<u32, usize>,
    edges: Option<EpollBackend>,
    mirror: Option<Mirror>,
    /// Where the next look begins, so that nobody is always last.
    first: usize,
    wake: EventFdWake,
    system_calls: u64,
}

impl PollBackend {
    pub(crate) fn new() -> Result<Self> {
        let wake = EventFdWake::new()?;
        let wake_fd = wake.as_fd().as_raw_fd();
        Ok(Self {
            fds: vec![PollFd::new(wake_fd, PollMask::IN), PollFd::new(-1, PollMask::empty())],
            places: Vec::new(),
            by_slot: HashMap::new(),
            edges: None,
            mirror: None,
            first: 0,
            wake,
            system_calls: 0,
        })
    }

    fn take_off(&mut self, index: u32) {
        let Some(place) = self.by_slot.remove(&index) else { return };
        self.places.swap_remove(place);
        self.fds.swap_remove(OWN + place);
        if let Some(moved) = self.places.get(place) {
            self.by_slot.insert(moved.ticket.index, place);
        }
        if let Some(mirror) = &mut self.mirror {
            mirror.cancel(Ticket { index, serial: 0 });
        }
    }

    fn edges(&mut self) -> Result<&mut EpollBackend> {
        if self.edges.is_none() {
            let edges = self.edges.insert(EpollBackend::new()?);
            let fd = edges.descriptor().map_or(-1, |fd| fd.as_raw_fd());
            self.fds[EDGES] = PollFd::new(fd, PollMask::IN);
        }
        Ok(self.edges.as_mut().expect("made just now"))
    }

    fn report(&mut self, reports: &mut Vec<Completion>, again: bool) {
        let count = self.places.len();
        let mut once = Vec::new();
        for step in 0..count {
            let at = (self.first + step) % count;
            let reported = self.fds[OWN + at].reported();
            let place = &mut self.places[at];
            if reported.is_empty() || (again && place.parked) {
                continue;
            }
            let last = place.poll.arm == Arm::Once;
            if last {
                once.push(place.ticket.index);
            } else {
                place.parked = true;
            }
            let mut report = Completion::ready(place.ticket, reported, last);
            if reported.contains(PollMask::NVAL) {
                report.result = -EBADF;
            }
            reports.push(report);
        }
        self.first = self.first.wrapping_add(1);
        for index in once {
            self.take_off(index);
        }
    }

    fn look_at_edges(
        &mut self,
        wanted: impl FnOnce(&EpollBackend) -> bool,
        reports: &mut Vec<Completion>,
    ) -> Result<()> {
        match &mut self.edges {
            Some(edges) if wanted(edges) => {
                let look = Patience { reports: 0, timeout_ns: Some(0), mask: None, again: false };
                edges.wait(look, reports)
            }
            _ => Ok(()),
        }
    }

    /// Asks about everything again (`false`), or passes over what was reported (`true`).
    fn park(&mut self, parked: bool) {
        for (place, fd) in self.places.iter_mut().zip(&mut self.fds[OWN..]) {
            place.parked &= parked;
            let number = if place.parked { -1 } else { place.poll.fd };
            *fd = PollFd::new(number, place.poll.mask);
        }
    }
}

impl Backend for PollBackend {
    fn submit(&mut self, ticket: Ticket, poll: Poll) -> Result<()> {
        if poll.arm == Arm::Edge {
            self.take_off(ticket.index);
            return self.edges()?.submit(ticket, poll);
        }
        if let Some(edges) = &mut self.edges {
            edges.cancel(ticket, poll.fd, true);
        }
        if let Some(mirror) = &mut self.mirror {
            mirror.submit(ticket, poll)?;
        }
        let place = Place { ticket, poll, parked: false };
        let fd = PollFd::new(poll.fd, poll.mask);
        if let Some(&at) = self.by_slot.get(&ticket.index) {
            self.places[at] = place;
            self.fds[OWN + at] = fd;
        } else {
            self.by_slot.insert(ticket.index, self.places.len());
            self.places.push(place);
            self.fds.push(fd);
        }
        Ok(())
    }

    fn cancel(&mut self, ticket: Ticket, fd: RawFd, armed: bool) {
        self.take_off(ticket.index);
        if let Some(edges) = &mut self.edges {
            edges.cancel(ticket, fd, armed);
        }
    }

    fn wait(&mut self, patience: Patience<'_>, reports: &mut Vec<Completion>) -> Result<()> {
        let before = reports.len();
        self.look_at_edges(|edges| edges.has_files(), reports)?;
        let at_once = patience.is_none() || reports.len() > before;
        let timeout = if at_once { Some(0) } else { patience.timeout_ns };
        self.park(patience.again);
        self.system_calls += 1;
        // ppoll lets signals in with a mask even if it does not block.
        let mask = if timeout == Some(0) { None } else { patience.mask };
        let ready = poll(&mut self.fds, timeout, mask)?;

        if ready == 0 {
            return Ok(());
        }
        if !self.fds[WAKE].reported().is_empty() {
            self.wake.clear()?;
        }
        let edges_ready = !self.fds[EDGES].reported().is_empty();
        self.report(reports, patience.again);
        self.look_at_edges(|_| edges_ready, reports)
    }

    fn waker(&self) -> Box<dyn Wake> {
        Box::new(self.wake.clone())
    }

    fn descriptor(&mut self) -> std::result::Result<BorrowedFd<'_>, &'static str> {
        const NONE: &str = "an epoll instance to stand for poll's list";
        if self.mirror.is_none() {
            let wake = self.wake.clone();
            let edges = self.edges().map_err(|_| NONE)?.shown();
            let own = [(wake.as_fd(), Arm::Level), (edges, Arm::Level)];
            self.mirror = Some(Mirror::new(own).map_err(|_| NONE)?);
        }
        self.mirror.as_ref().map(Mirror::descriptor).ok_or(NONE)
    }

    fn tally(&self) -> Tally {
        let edges = self.edges.as_ref().map_or(0, |edges| edges.tally().system_calls);
        let mirror = self.mirror.as_ref().map_or(0, Mirror::system_calls);
        Tally { system_calls: self.system_calls + edges + mirror, overflows: 0 }
    }
}
