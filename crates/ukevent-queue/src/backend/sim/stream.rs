//! Simulated byte streams and listeners, as their kernel has them.
//!
//! Between the two ends of a stream are two buffers of bounded size, one for each way. What the program's
//! end is ready for follows from them, as with a socket of unix(7).

use super::{Happening, Nature, SimDescriptor, World};
use crate::operation::Direction;
use rustix::io::{Errno as Refusal, Result};
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::time::Duration;
use ukevent_sys::poll::PollMask;

/// What is told late comes within so many milliseconds.
const DELAY_MS: u64 = 10;

/// A stream, as the simulated kernel sees it.
pub(super) struct Stream {
    /// To the program.
    pub(super) incoming: VecDeque<u8>,
    /// To the peer.
    pub(super) outgoing: VecDeque<u8>,
    /// How many bytes each of them holds.
    pub(super) room_bytes: usize,
    pub(super) receives: bool,
    pub(super) sends: bool,
    pub(super) peer_receives: bool,
    pub(super) peer_sends: bool,
    /// Told once.
    pub(super) error: Option<Refusal>,
}

/// The system calls. What they refuse is what the manual says of sockets.
impl SimDescriptor {
    /// recv(2).
    pub(crate) fn take_bytes(&self, room: &mut [u8]) -> Result<usize> {
        let mut world = self.0.sim.world();
        world.misbehave(self.number())?;
        let short = world.shortness();
        let stream = world.stream(self.number()).ok_or(Refusal::NOTSOCK)?;
        if stream.incoming.is_empty() {
            return match stream.error.take() {
                Some(error) => {
                    world.lower(self.number());
                    Err(error)
                }
                None if !stream.peer_sends || !stream.receives => Ok(0),
                None => Err(Refusal::AGAIN),
            };
        }
        let count = short.of(room.len().min(stream.incoming.len()));
        for (place, byte) in room.iter_mut().zip(stream.incoming.drain(..count)) {
            *place = byte;
        }
        world.lower(self.number());
        Ok(count)
    }

    /// send(2), with `MSG_NOSIGNAL`.
    pub(crate) fn give_bytes(&self, bytes: &[u8]) -> Result<usize> {
        let mut world = self.0.sim.world();
        world.misbehave(self.number())?;
        let short = world.shortness();
        let stream = world.stream(self.number()).ok_or(Refusal::NOTSOCK)?;
        if let Some(error) = stream.error.take() {
            world.lower(self.number());
            return Err(error);
        }
        if !stream.sends || !stream.peer_receives {
            return Err(Refusal::PIPE);
        }
        let room = stream.room_bytes - stream.outgoing.len();
        if room == 0 && !bytes.is_empty() {
            return Err(Refusal::AGAIN);
        }
        let count = short.of(room.min(bytes.len()));
        stream.outgoing.extend(&bytes[..count]);
        world.lower(self.number());
        Ok(count)
    }

    /// accept(2).
    pub(crate) fn take_connection(&self) -> Result<Self> {
        let mut world = self.0.sim.world();
        world.misbehave(self.number())?;
        let number = match &mut world.descriptors[self.number() as usize].nature {
            Nature::Listener(Some(waiting)) => waiting.pop_front().ok_or(Refusal::AGAIN)?,
            Nature::Stream(_) | Nature::Listener(None) => return Err(Refusal::INVAL),
            Nature::Plain => return Err(Refusal::NOTSOCK),
        };
        world.lower(self.number());
        drop(world);
        Ok(Self::new(&self.0.sim, number))
    }

    /// shutdown(2).
    pub(crate) fn close_side(&self, how: Direction) -> Result<()> {
        let mut world = self.0.sim.world();
        let stream = world.stream(self.number()).ok_or(Refusal::NOTSOCK)?;
        stream.receives &= how == Direction::Sending;
        stream.sends &= how == Direction::Receiving;
        world.tell(self.number());
        Ok(())
    }
}

/// How much of a transfer takes place.
#[derive(Clone, Copy)]
struct Shortness(Option<u64>);

impl Shortness {
    const fn of(self, most: usize) -> usize {
        match self.0 {
            Some(random) if most > 1 => 1 + (random % (most as u64 - 1)) as usize,
            _ => most,
        }
    }
}

impl Stream {
    pub(super) fn break_off(&mut self) {
        self.error = Some(Refusal::CONNRESET);
        self.peer_sends = false;
        self.peer_receives = false;
        self.outgoing.clear();
    }

    fn is_connected(&self) -> bool {
        self.peer_sends || self.peer_receives
    }

    fn ready(&self) -> PollMask {
        let ended = !self.peer_sends || !self.receives;
        let stopped = !self.sends || !self.peer_receives;
        let failed = self.error.is_some();
        let has_room = self.outgoing.len() < self.room_bytes;
        let mut mask = PollMask::empty();
        mask.set(PollMask::IN, ended || failed || !self.incoming.is_empty());
        mask.set(PollMask::OUT, stopped || failed || has_room);
        mask.set(PollMask::RDHUP, ended);
        mask.set(PollMask::HUP, ended && stopped);
        mask.set(PollMask::ERR, failed);
        mask
    }
}

impl World {
    pub(super) fn add_stream(&mut self, room_bytes: usize) -> RawFd {
        let stream = Stream {
            incoming: VecDeque::new(),
            outgoing: VecDeque::new(),
            room_bytes: room_bytes.max(1),
            receives: true,
            sends: true,
            peer_receives: true,
            peer_sends: true,
            error: None,
        };
        let number = self.add(Nature::Stream(Box::new(stream)));
        self.tell(number);
        number
    }

    pub(super) fn stream(&mut self, number: RawFd) -> Option<&mut Stream> {
        match &mut self.descriptors[number as usize].nature {
            Nature::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    /// What it has become ready for, if it says so by itself.
    fn becomes(&self, number: RawFd) -> Option<PollMask> {
        match &self.descriptors[number as usize].nature {
            Nature::Plain => None,
            Nature::Stream(stream) => Some(stream.ready()),
            Nature::Listener(Some(waiting)) if !waiting.is_empty() => Some(PollMask::IN),
            Nature::Listener(_) => Some(PollMask::empty()),
        }
    }

    /// Something happened to it: that is news.
    pub(super) fn tell(&mut self, number: RawFd) {
        let Some(ready) = self.becomes(number) else { return };
        let descriptor = &mut self.descriptors[number as usize];
        descriptor.ready = ready;
        descriptor.news += u64::from(!ready.is_empty());
    }

    /// The same, now or, as a fault, later.
    pub(super) fn tell_soon(&mut self, number: RawFd) {
        if self.chance(self.faults.delay) {
            let after = Duration::from_millis(1 + self.random() % DELAY_MS);
            self.later(after, Happening::Tell(number));
        } else {
            self.tell(number);
        }
    }

    /// The program took or gave something: it is ready for less, and that is no news. What was not told
    /// yet stays untold.
    fn lower(&mut self, number: RawFd) {
        let Some(ready) = self.becomes(number) else { return };
        self.descriptors[number as usize].ready &= ready;
    }

    /// Nobody has the descriptor any more.
    pub(super) fn close(&mut self, number: RawFd) {
        match &mut self.descriptors[number as usize].nature {
            Nature::Plain => {}
            Nature::Stream(stream) => {
                stream.receives = false;
                stream.sends = false;
                stream.incoming.clear();
            }
            Nature::Listener(listens) => {
                for connection in listens.take().unwrap_or_default() {
                    self.close(connection);
                }
            }
        }
    }

    /// The faults of a transfer.
    fn misbehave(&mut self, number: RawFd) -> Result<()> {
        let faults = self.faults;
        if self.chance(faults.again) {
            // It was not ready for a moment: that it is ready is news again.
            let descriptor = &mut self.descriptors[number as usize];
            descriptor.news += u64::from(!descriptor.ready.is_empty());
            return Err(Refusal::AGAIN);
        }
        if self.chance(faults.no_memory) {
            let is_one = self.random().is_multiple_of(2);
            return Err(if is_one { Refusal::NOBUFS } else { Refusal::NOMEM });
        }
        if faults.reset > 0
            && self.stream(number).is_some_and(|stream| stream.is_connected())
            && self.chance(faults.reset)
            && let Some(stream) = self.stream(number)
        {
            stream.break_off();
            self.tell(number);
        }
        Ok(())
    }

    fn shortness(&mut self) -> Shortness {
        let is_short = self.chance(self.faults.short);
        Shortness(is_short.then(|| self.random()))
    }
}
