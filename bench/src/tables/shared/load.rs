//! The load: messages over pairs drawn by chance, one on a pair at a time, and their answers.

use super::server::MESSAGE_BYTES;
use super::{Descriptor, PAIRS};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use ukevent_measure::clock::now_ns;
use ukevent_measure::{Random, Result};

/// After so long without an answer, a message is lost.
const LOST_AFTER: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
const NOT_AT_ALL: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Sends, and takes answers; sleeps while there is none.
pub(super) struct Load {
    writers: Vec<Descriptor>,
    epoll: OwnedFd,
    events: Vec<Event>,
    in_flight: usize,
    /// The message of each pair that is not answered.
    pending: Vec<Option<u64>>,
    /// Pairs without one.
    free: Vec<usize>,
    random: Random,
    serial: u64,
}

impl Load {
    pub(super) fn new(writers: &[Descriptor], in_flight: usize) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (place, writer) in (0..).zip(writers) {
            epoll::add(&epoll, writer, EventData::new_u64(place), EventFlags::IN)?;
        }
        Ok(Self {
            writers: writers.to_vec(),
            epoll,
            events: Vec::with_capacity(PAIRS),
            in_flight,
            pending: vec![None; writers.len()],
            free: (0..writers.len()).collect(),
            random: Random::new(10),
            serial: 0,
        })
    }

    /// Sends so many messages, and returns how long it was until all were answered, in nanoseconds.
    pub(super) fn run(&mut self, messages: u64) -> Result<u64> {
        let last = self.serial + messages;
        let from_ns = now_ns();
        for _ in 0..messages.min(self.in_flight as u64) {
            self.send()?;
        }
        while self.serial < last || self.free.len() < self.writers.len() {
            let answered = self.receive(&LOST_AFTER)?;
            if answered == 0 {
                let lost = self.writers.len() - self.free.len();
                return Err(format!("{lost} of {} messages were lost", self.serial).into());
            }
            for _ in 0..(answered as u64).min(last - self.serial) {
                self.send()?;
            }
        }
        Ok(now_ns() - from_ns)
    }

    /// That no answer is left, which would be the second to its message.
    pub(super) fn check_silence(&mut self) -> Result<()> {
        self.receive(&NOT_AT_ALL)?;
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let place = self.free.swap_remove(self.random.below(self.free.len()));
        self.serial += 1;
        rustix::io::write(&self.writers[place], &self.serial.to_ne_bytes())?;
        self.pending[place] = Some(self.serial);
        Ok(())
    }

    /// Takes the answers that there are, and returns how many.
    fn receive(&mut self, patience: &Timespec) -> Result<usize> {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(patience)) {
            // The kernel may interrupt a thread that has just closed an io_uring instance.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            let place = event.data.u64() as usize;
            // Room for two: none may hide behind the first.
            let mut bytes = [0; 2 * MESSAGE_BYTES];
            let count = rustix::io::read(&self.writers[place], &mut bytes)?;
            let answer = bytes[..count].try_into().ok().map(|answer| !u64::from_ne_bytes(answer));
            if answer.is_none() || answer != self.pending[place].take() {
                return Err("a message was answered twice, or wrongly".into());
            }
            self.free.push(place);
        }
        Ok(self.events.len())
    }
}
