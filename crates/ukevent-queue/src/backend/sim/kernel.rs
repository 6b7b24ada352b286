//! The simulation as a backend: what a kernel would do, and may do wrong, when it is asked.

use super::super::{Arm, Backend, Completion, Patience, Poll, Tally, Ticket};
use super::{Armed, Sim, World};
use crate::post::Wake;
use std::os::fd::{BorrowedFd, RawFd};
use ukevent_sys::clock::Clock;
use ukevent_sys::poll::{PollFd, PollMask};
use ukevent_sys::{Error, Result};

const EINTR: i32 = 4;
const EDEADLK: i32 = 35;

impl World {
    fn collect(&mut self, reports: &mut Vec<Completion>) {
        let mut ended = Vec::new();
        let mut fresh = Vec::new();
        let is_unasked = self.chance(self.faults.unasked);
        let unasked = if is_unasked { PollMask::RDHUP } else { PollMask::empty() };
        let always = PollMask::ERR | PollMask::HUP | unasked;
        for (&index, armed) in &mut self.armed {
            let descriptor = &self.descriptors[armed.poll.fd as usize];
            let ready = descriptor.ready & (armed.poll.mask | always);
            let is_news = armed.poll.arm != Arm::Edge || armed.seen != Some(descriptor.news);
            if ready.is_empty() || !is_news {
                continue;
            }
            armed.seen = Some(descriptor.news);
            let last = armed.poll.arm != Arm::Edge;
            if last {
                ended.push(index);
            }
            fresh.push(Completion::ready(armed.ticket, ready, last));
        }
        for index in ended {
            self.armed.remove(&index);
        }
        for mut report in fresh {
            if !report.last && self.chance(self.faults.end_edge) {
                report.last = true;
                self.armed.remove(&report.ticket.index);
            }
            if self.chance(self.faults.late) {
                self.late.push(report);
            } else {
                reports.push(report);
            }
        }
        if self.chance(self.faults.shuffle) {
            for at in (1..reports.len()).rev() {
                let other = (self.random() % (at as u64 + 1)) as usize;
                reports.swap(at, other);
            }
        }
    }
}

impl Backend for Sim {
    fn submit(&mut self, ticket: Ticket, poll: Poll) -> Result<()> {
        self.world().armed.insert(ticket.index, Armed { ticket, poll, seen: None });
        Ok(())
    }

    fn cancel(&mut self, ticket: Ticket, _fd: RawFd, _armed: bool) {
        // What is late stays late: it arrives after the cancel, and must die of its ticket.
        self.world().armed.remove(&ticket.index);
    }

    fn wait(&mut self, patience: Patience<'_>, reports: &mut Vec<Completion>) -> Result<()> {
        let world = &mut *self.world();
        world.waits += 1;
        let faults = world.faults;
        let before = reports.len();
        reports.append(&mut world.late);
        if !patience.is_none() && world.chance(faults.interrupt) {
            return Err(Error::new("sim", EINTR));
        }
        if !patience.is_none() && world.chance(faults.early) {
            return Ok(());
        }
        let until = patience.timeout_ns.map(|ns| world.monotonic_ns.saturating_add(ns));
        loop {
            world.collect(reports);
            let taken = (reports.len() - before) as u32;
            if patience.is_none() || taken >= patience.reports || std::mem::take(&mut world.woken) {
                return Ok(());
            }
            let next = world.agenda.keys().next().map(|&(at, _)| at);
            match (next, until) {
                (Some(next), until) if until.is_none_or(|until| next <= until) => {
                    world.pass_to(next);
                }
                (_, Some(until)) => {
                    world.pass_to(until);
                    world.collect(reports);
                    return Ok(());
                }
                _ if taken > 0 || !world.late.is_empty() => return Ok(()),
                // A kernel would sleep for ever: say so instead.
                _ => return Err(Error::new("sim: nothing can ever happen", EDEADLK)),
            }
        }
    }

    fn probe(&mut self, fds: &mut [PollFd]) -> Result<()> {
        let world = self.world();
        for fd in fds {
            let ready =
                world.descriptors.get(fd.number() as usize).map_or(PollMask::NVAL, |d| d.ready);
            fd.set_reported(ready & (fd.mask() | PollMask::ERR | PollMask::HUP | PollMask::NVAL));
        }
        Ok(())
    }

    fn waker(&self) -> Box<dyn Wake> {
        Box::new(self.clone())
    }

    fn now(&self, clock: Clock) -> u64 {
        let world = self.world();
        match clock {
            Clock::Monotonic => world.monotonic_ns,
            Clock::Boot => world.monotonic_ns + world.boot_ahead_ns,
            Clock::Wall => world.wall_ns,
        }
    }

    fn descriptor(&mut self) -> std::result::Result<BorrowedFd<'_>, &'static str> {
        Err("a backend with a kernel: a simulation has no descriptor")
    }

    fn tally(&self) -> Tally {
        Tally { system_calls: self.world().waits, overflows: 0 }
    }
}

impl Wake for Sim {
    fn wake(&self) {
        self.world().woken = true;
    }
}
