//! The bare ring's bytes: multishot receives from sockets and multishot reads from pipes, into a ring of
//! provided buffers (io_uring_prep_recv_multishot(3), io_uring_prep_read_multishot(3)).
#![allow(unsafe_code, reason = "submissions are unsafe to push")]

use super::buffer_ring::BufferRing;
use super::ring::Ring;
use io_uring::squeue::Entry;
use io_uring::types::{Fd, TimeoutFlags, Timespec};
use io_uring::{cqueue, opcode};
use std::io::Error;
use std::os::fd::{AsRawFd, RawFd};
use ukevent_bench::tables::events::{Kind, PATIENCE, READ_BYTES, Taken, Takes};
use ukevent_bench::tables::ready::Descriptor;
use ukevent_measure::Result;

const BUFFERS: u16 = 1024;
const GROUP: u16 = 1;
/// The token of the time-out; descriptors have their place.
const LOOK_UP: u64 = u64::MAX;

static LOOK_UP_AFTER: Timespec = Timespec::new().sec(PATIENCE.as_secs());

pub(crate) struct RingTake {
    ring: Ring,
    buffers: BufferRing,
    kind: Kind,
    numbers: Vec<RawFd>,
    /// Places whose shot has ended.
    ended: Vec<u64>,
}

impl RingTake {
    fn shot(kind: Kind, number: RawFd, place: u64) -> Entry {
        let entry = match kind {
            // A pipe has no offset.
            Kind::Pipe => opcode::ReadMulti::new(Fd(number), 0, GROUP).offset(u64::MAX).build(),
            Kind::Unix | Kind::Tcp => opcode::RecvMulti::new(Fd(number), GROUP).build(),
        };
        entry.user_data(place)
    }

    fn begin(&mut self, places: impl IntoIterator<Item = u64>) -> Result<()> {
        let (kind, numbers) = (self.kind, &self.numbers);
        let shots = places.into_iter().map(|it| Self::shot(kind, numbers[it as usize], it));
        // SAFETY: the memory is that of the provided buffers, which is never freed.
        unsafe { self.ring.push(shots) }
    }
}

impl Takes for RingTake {
    fn new(kind: Kind, readers: &[Descriptor]) -> Result<Self> {
        let mut ring = Ring::new()?;
        let buffers = BufferRing::new(&ring, GROUP, BUFFERS, READ_BYTES)?;
        // One that comes again and again, for as long as the ring lives.
        let look_up = opcode::Timeout::new(&LOOK_UP_AFTER).flags(TimeoutFlags::MULTISHOT);
        // SAFETY: the time is static.
        unsafe { ring.push([look_up.build().user_data(LOOK_UP)]) }?;
        let numbers: Vec<RawFd> = readers.iter().map(AsRawFd::as_raw_fd).collect();
        let count = numbers.len() as u64;
        let mut new = Self { ring, buffers, kind, numbers, ended: Vec::new() };
        new.begin(0..count)?;
        new.ring.enter(0)?;
        Ok(new)
    }

    fn take(&mut self, taken: &mut Taken) -> Result<()> {
        self.ring.enter(1)?;
        for completion in self.ring.completions() {
            let (place, result) = (completion.user_data(), completion.result());
            if place == LOOK_UP {
                continue;
            }
            if let Some(number) = cqueue::buffer_select(completion.flags()) {
                let len = result.max(0) as usize;
                taken.note(place as usize, self.buffers.bytes(number, len));
                self.buffers.provide(number);
            }
            if result < 0 && result != -libc::ENOBUFS {
                return Err(Error::from_raw_os_error(-result).into());
            }
            if !cqueue::more(completion.flags()) {
                self.ended.push(place);
            }
        }
        let mut ended = std::mem::take(&mut self.ended);
        self.begin(ended.drain(..))?;
        self.ended = ended;
        Ok(())
    }
}
