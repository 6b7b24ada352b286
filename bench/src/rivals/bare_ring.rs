//! The bare ring: descriptors watched, time-outs of the kernel, messages from ring to ring.
#![allow(unsafe_code, reason = "submissions are unsafe to push")]

use super::ring::Ring;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, TimeoutFlags, Timespec};
use io_uring::{cqueue, opcode};
use std::os::fd::{AsRawFd, RawFd};
use ukevent_bench::tables::ready::{Descriptor, Readiness, Seen, Trigger};
use ukevent_bench::tables::timers::Timers;
use ukevent_bench::tables::wake::{Patience, Poster, Posts, Taken, Target};
use ukevent_measure::Result;

/// The token of submissions whose completion nobody awaits.
const NOBODY: u64 = u64::MAX;

/// Multishot polls for edges; for levels one-shot polls, submitted anew with the next wait.
pub(crate) struct BareRing {
    ring: Ring,
    trigger: Trigger,
    numbers: Vec<RawFd>,
    /// Tokens whose poll has ended.
    ended: Vec<u64>,
}

impl BareRing {
    fn poll(number: RawFd, token: u64, trigger: Trigger) -> Entry {
        let poll = opcode::PollAdd::new(Fd(number), libc::POLLIN as u32);
        poll.multi(trigger == Trigger::Edge).build().user_data(token)
    }

    fn arm_ended(&mut self) -> Result<()> {
        let (numbers, trigger) = (&self.numbers, self.trigger);
        let polls = self.ended.drain(..);
        let polls = polls.map(|token| Self::poll(numbers[token as usize], token, trigger));
        // SAFETY: polls lend no memory to the kernel.
        unsafe { self.ring.push(polls) }
    }
}

impl Readiness for BareRing {
    fn new(trigger: Trigger) -> Result<Self> {
        Ok(Self { ring: Ring::new()?, trigger, numbers: Vec::new(), ended: Vec::new() })
    }

    fn arm(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        self.numbers.clear();
        self.numbers.extend(descriptors.iter().map(AsRawFd::as_raw_fd));
        let trigger = self.trigger;
        let polls = (0..).zip(&self.numbers);
        let polls = polls.map(|(token, &number)| Self::poll(number, token, trigger));
        // SAFETY: polls lend no memory to the kernel.
        unsafe { self.ring.push(polls) }?;
        self.ring.enter(0)
    }

    fn reap(&mut self, seen: &mut Seen) -> Result<()> {
        self.arm_ended()?;
        self.ring.gather()?;
        for completion in self.ring.completions() {
            let (token, mask) = (completion.user_data(), completion.result());
            if mask >= 0 {
                let readable = libc::POLLIN | libc::POLLHUP | libc::POLLERR;
                seen.note(token, mask & i32::from(readable) != 0);
            }
            if !cqueue::more(completion.flags()) {
                self.ended.push(token);
            }
        }
        Ok(())
    }

    fn remove(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        let removals = (0..descriptors.len() as u64).map(|token| {
            let removal = opcode::PollRemove::new(token).build();
            removal.flags(Flags::SKIP_SUCCESS).user_data(NOBODY)
        });
        // SAFETY: removals lend no memory to the kernel.
        unsafe { self.ring.push(removals) }?;
        take_cancelled(&mut self.ring, descriptors.len())
    }
}

/// Takes the completions of so many submissions that were cancelled.
fn take_cancelled(ring: &mut Ring, count: usize) -> Result<()> {
    let mut cancelled = 0;
    loop {
        ring.gather()?;
        let before = cancelled;
        let completions = ring.completions();
        cancelled += completions.filter(|it| it.result() == -libc::ECANCELED).count();
        if cancelled == before {
            break;
        }
    }
    if cancelled == count {
        return Ok(());
    }
    Err(format!("{cancelled} of {count} were cancelled").into())
}

/// A time-out of the kernel for each timer.
pub(crate) struct RingTimeouts {
    ring: Ring,
    /// By token; the kernel reads a time when the time-out is submitted.
    times: Box<[Timespec]>,
    cancelled: usize,
}

impl Timers for RingTimeouts {
    type Id = u32;

    fn new(live: usize) -> Result<Self> {
        let times = vec![Timespec::new(); live].into_boxed_slice();
        Ok(Self { ring: Ring::new()?, times, cancelled: 0 })
    }

    fn add(&mut self, token: u32, deadline_ns: u64) -> Result<u32> {
        let time = &mut self.times[token as usize];
        let nanoseconds = (deadline_ns % 1_000_000_000) as u32;
        *time = Timespec::new().sec(deadline_ns / 1_000_000_000).nsec(nanoseconds);
        let timeout = opcode::Timeout::new(time).flags(TimeoutFlags::ABS).build();
        // SAFETY: the kernel reads the time when the entry is submitted. Until then it stays where
        // it is: the box is never resized, and a token is not added twice at a time.
        unsafe { self.ring.push([timeout.user_data(u64::from(token))]) }?;
        Ok(token)
    }

    fn cancel(&mut self, token: u32) -> Result<bool> {
        let removal = opcode::TimeoutRemove::new(u64::from(token)).build();
        // SAFETY: removals lend no memory to the kernel.
        unsafe { self.ring.push([removal.flags(Flags::SKIP_SUCCESS).user_data(NOBODY)]) }?;
        self.cancelled += 1;
        Ok(true)
    }

    fn settle(&mut self) -> Result<()> {
        take_cancelled(&mut self.ring, std::mem::take(&mut self.cancelled))
    }

    fn fire(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        loop {
            self.ring.gather()?;
            let from = fired.len();
            fired.extend(self.ring.completions().map(|it| it.user_data() as u32));
            if fired.len() == from {
                return Ok(());
            }
        }
    }

    fn wait(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        self.ring.enter(1)?;
        fired.extend(self.ring.completions().map(|it| it.user_data() as u32));
        Ok(())
    }
}

/// Takes messages of other rings.
pub(crate) struct MessageTarget(Ring);

impl Target for MessageTarget {
    type Address = RawFd;
    type Poster = MessagePoster;

    fn new(posts: Posts) -> Result<Self> {
        match posts {
            Posts::Each => Ok(Self(Ring::new()?)),
            Posts::Merged => Err("messages are not merged".into()),
        }
    }

    fn address(&self) -> Result<RawFd> {
        Ok(self.0.number())
    }

    fn poster(address: RawFd) -> Result<MessagePoster> {
        Ok(MessagePoster { ring: Ring::new()?, target: address })
    }

    fn take(&mut self, patience: Patience, taken: &mut Taken) -> Result<()> {
        match patience {
            Patience::None if !self.0.has_work() => return Ok(()),
            Patience::None => self.0.enter(0)?,
            Patience::Endless => self.0.enter(1)?,
        }
        self.0.completions().for_each(|completion| taken.one(completion.user_data()));
        Ok(())
    }
}

/// Sends messages from a ring of its own.
pub(crate) struct MessagePoster {
    ring: Ring,
    target: RawFd,
}

impl Poster for MessagePoster {
    fn post(&mut self, serial: u64) -> Result<()> {
        let message = opcode::MsgRingData::new(Fd(self.target), 0, serial, None).build();
        // SAFETY: messages lend no memory to the kernel.
        unsafe { self.ring.push([message.flags(Flags::SKIP_SUCCESS)]) }?;
        self.ring.enter(0)
    }
}
