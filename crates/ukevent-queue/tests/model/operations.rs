//! Random programs of operations: what moves bytes on simulated streams, started, cancelled and removed
//! while the peer writes, reads, closes and resets, on a kernel that is short of everything.
//!
//! Which of several operations is tried first, and how much a transfer moves, is the queue's and the
//! kernel's business; so the model does not foretell the events. It keeps to what a program relies on:
//! no byte is lost, doubled, or out of order, each operation ends once and for a reason, every buffer
//! comes home, and nothing that could go on stands still.

mod events;
mod naive;
mod run;

use crate::program::{Id, Program, Simplify, Until};
pub(crate) use run::run;
use testkit::Rng;
use ukevent_queue::sim::Faults;
use ukevent_queue::{Direction, Interest};

/// Streams that a program can name at the same time.
pub(crate) const STREAMS: usize = 3;
const MILLISECOND_NS: u64 = 1_000_000;

/// One step. A stream is a place for one, into which new ones come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Act {
    /// A new stream, whose buffers have so much room, in this place.
    Open(usize, usize),
    Start {
        id: Id,
        stream: usize,
        what: Task,
        within_ns: Option<u64>,
    },
    Cancel(Id),
    Remove(Id),
    RemoveStream(usize),
    /// The peer writes so many bytes, if there is room.
    Write(usize, usize),
    /// The peer reads so many.
    Read(usize, usize),
    /// The peer sends nothing any more.
    Finish(usize),
    /// The peer is gone.
    Leave(usize),
    Reset(usize),
    /// Drops so many of the buffers that came.
    Drop(usize),
    Advance(u64),
    Wait {
        until: Until,
        at_least: usize,
        at_most: usize,
    },
    Take(usize),
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Task {
    /// Into a buffer with so much room, that has so much in it before; by recv or read.
    Receive {
        room: usize,
        head: usize,
        read: bool,
    },
    /// The same into a buffer of the pool, if it has one.
    ReceivePooled,
    ReceiveEach,
    /// So many bytes, from a buffer of one's own.
    Send(usize),
    /// A share of one.
    SendShare(usize),
    /// So many bytes in so many pieces, every third of which is a share.
    SendPieces(usize, usize),
    Shutdown(Direction),
    Close,
    Poll(Interest),
}

impl Simplify for Act {
    fn simple_forms(self) -> Vec<Self> {
        match self {
            Self::Start { id, stream, what, within_ns } => {
                let mut forms = vec![Self::Start { id, stream, what, within_ns: None }];
                let simpler = match what {
                    Task::Receive { head, read, .. } => {
                        vec![
                            Task::Receive { room: 8, head: 0, read: false },
                            Task::Receive { room: 8, head, read },
                        ]
                    }
                    Task::Send(_) | Task::SendShare(_) => vec![Task::Send(1), Task::Send(20)],
                    Task::SendPieces(bytes, _) => {
                        vec![Task::Send(bytes), Task::SendPieces(2, 2), Task::SendPieces(bytes, 2)]
                    }
                    _ => Vec::new(),
                };
                for what in simpler {
                    forms.push(Self::Start { id, stream, what, within_ns });
                }
                forms
            }
            Self::Write(stream, _) => vec![Self::Write(stream, 1), Self::Write(stream, 20)],
            Self::Read(stream, _) => vec![Self::Read(stream, usize::MAX)],
            Self::Drop(_) => vec![Self::Drop(usize::MAX)],
            Self::Wait { until, at_least, .. } => vec![
                Self::Wait { until: Until::Now, at_least: 1, at_most: usize::MAX },
                Self::Wait { until, at_least: 1, at_most: usize::MAX },
                Self::Wait { until, at_least, at_most: usize::MAX },
            ],
            Self::Take(_) => vec![Self::Take(usize::MAX), Self::Take(1)],
            _ => Vec::new(),
        }
    }
}

/// The program of a seed.
pub(crate) fn program(seed: u64) -> Program<Act> {
    let mut dice = Rng::new(seed ^ 0x6f70_6572);
    let faults = faults(&mut dice);
    let limit = if dice.one_in(10) { dice.range(3..12) as u32 } else { 1 << 20 };
    let mut maker = Maker {
        streams: dice.range(1..STREAMS as u64 + 1),
        weights: Sort::ALL.map(|(_, weight)| weight * *dice.pick(&[0, 1, 1, 2])),
        limits: dice.one_in(3),
        started: 0,
        dice,
    };
    // Without these nothing happens.
    for vital in 0..4 {
        maker.weights[vital] = maker.weights[vital].max(Sort::ALL[vital].1);
    }
    let mut steps = Vec::new();
    for stream in 0..maker.streams as usize {
        steps.push(maker.open(stream));
    }
    for _ in 0..maker.dice.range(5..90) {
        steps.push(maker.act());
    }
    Program { seed, faults, limit, steps }
}

fn faults(dice: &mut Rng) -> Faults {
    let mut faults = Faults::default();
    if dice.one_in(2) {
        return faults;
    }
    let Faults { interrupt, early, end_edge, late, shuffle, .. } = &mut faults;
    for fault in [interrupt, early, end_edge, late, shuffle] {
        if dice.one_in(2) {
            *fault = *dice.pick(&[5, 20, 50, 90]);
        }
    }
    let Faults { short, again, unasked, delay, .. } = &mut faults;
    for fault in [short, again, unasked, delay] {
        if dice.one_in(2) {
            *fault = *dice.pick(&[5, 20, 50, 80]);
        }
    }
    // If it is always so, nobody may spin.
    faults.unasked = if faults.unasked == 80 { 100 } else { faults.unasked };
    // After these there is little left to be seen.
    let Faults { reset, no_memory, .. } = &mut faults;
    for fault in [reset, no_memory] {
        if dice.one_in(3) {
            *fault = *dice.pick(&[1, 3, 10, 40]);
        }
    }
    faults
}

#[derive(Clone, Copy)]
enum Sort {
    Wait,
    Receive,
    Send,
    Take,
    Write,
    Read,
    ReceiveEach,
    Drop,
    Poll,
    Shutdown,
    Close,
    Cancel,
    Remove,
    RemoveStream,
    Open,
    Finish,
    Leave,
    Reset,
    Advance,
}

impl Sort {
    /// How often each is done, on the whole; those first without which nothing is.
    const ALL: [(Self, u64); 19] = [
        (Self::Wait, 22),
        (Self::Take, 14),
        (Self::Write, 12),
        (Self::Send, 12),
        (Self::Receive, 10),
        (Self::Read, 6),
        (Self::ReceiveEach, 5),
        (Self::Drop, 4),
        (Self::Poll, 2),
        (Self::Shutdown, 1),
        (Self::Close, 1),
        (Self::Cancel, 5),
        (Self::Remove, 3),
        (Self::RemoveStream, 1),
        (Self::Open, 1),
        (Self::Finish, 1),
        (Self::Leave, 1),
        (Self::Reset, 1),
        (Self::Advance, 1),
    ];
}

struct Maker {
    dice: Rng,
    streams: u64,
    weights: [u64; Sort::ALL.len()],
    /// Whether operations have time limits.
    limits: bool,
    started: Id,
}

impl Maker {
    fn act(&mut self) -> Act {
        let stream = self.dice.below(self.streams) as usize;
        match self.sort() {
            Sort::Wait => self.wait(),
            Sort::Take => Act::Take(*self.dice.pick(&[1, 1, 2, usize::MAX, usize::MAX])),
            Sort::Write => Act::Write(stream, self.bytes()),
            Sort::Read => Act::Read(stream, *self.dice.pick(&[1, 10, 100, usize::MAX])),
            Sort::Drop => Act::Drop(*self.dice.pick(&[1, 1, 2, usize::MAX])),
            Sort::Cancel => Act::Cancel(self.some_id()),
            Sort::Remove => Act::Remove(self.some_id()),
            Sort::RemoveStream => Act::RemoveStream(stream),
            Sort::Open => self.open(stream),
            Sort::Finish => Act::Finish(stream),
            Sort::Leave => Act::Leave(stream),
            Sort::Reset => Act::Reset(stream),
            Sort::Advance => Act::Advance(self.dice.below(20 * MILLISECOND_NS)),
            Sort::Receive if self.dice.one_in(3) => self.start(stream, Task::ReceivePooled),
            Sort::Receive => {
                let room = self.bytes();
                let head = if self.dice.one_in(4) { 5 } else { 0 };
                let read = self.dice.one_in(4);
                self.start(stream, Task::Receive { room, head, read })
            }
            Sort::ReceiveEach => self.start(stream, Task::ReceiveEach),
            Sort::Send => {
                let bytes = self.bytes();
                let what = match self.dice.below(4) {
                    0 => Task::SendShare(bytes),
                    1 => Task::SendPieces(bytes, 1 + self.dice.below(7) as usize),
                    _ => Task::Send(bytes),
                };
                self.start(stream, what)
            }
            Sort::Shutdown => {
                let sides = [Direction::Sending, Direction::Receiving, Direction::Both];
                let how = *self.dice.pick(&sides);
                self.start(stream, Task::Shutdown(how))
            }
            Sort::Close => self.start(stream, Task::Close),
            Sort::Poll => {
                let interest = *self.dice.pick(&[Interest::READ, Interest::WRITE]);
                self.start(stream, Task::Poll(interest))
            }
        }
    }

    fn sort(&mut self) -> Sort {
        let mut at = self.dice.below(self.weights.iter().sum());
        for (&(sort, _), &weight) in Sort::ALL.iter().zip(&self.weights) {
            if at < weight {
                return sort;
            }
            at -= weight;
        }
        Sort::Wait
    }

    fn open(&mut self, stream: usize) -> Act {
        Act::Open(stream, *self.dice.pick(&[8, 50, 300, 4096]))
    }

    fn start(&mut self, stream: usize, what: Task) -> Act {
        let within_ns = (self.limits && self.dice.one_in(2))
            .then(|| *self.dice.pick(&[0, MILLISECOND_NS, 10 * MILLISECOND_NS]));
        self.started += 1;
        Act::Start { id: self.started, stream, what, within_ns }
    }

    /// One of the last, as a rule.
    fn some_id(&mut self) -> Id {
        let back = self.dice.below(8) as Id;
        self.started.saturating_sub(back).max(1)
    }

    fn bytes(&mut self) -> usize {
        let most = *self.dice.pick(&[2, 20, 200]);
        1 + self.dice.below(most) as usize
    }

    fn wait(&mut self) -> Act {
        let until = match self.dice.below(4) {
            0 => Until::Ever,
            1 => Until::Within(self.dice.below(15 * MILLISECOND_NS)),
            _ => Until::Now,
        };
        let at_least = *self.dice.pick(&[1, 1, 1, 1, 2, 3]);
        let at_most = *self.dice.pick(&[usize::MAX, usize::MAX, 1, 3]);
        Act::Wait { until, at_least: at_least.min(at_most), at_most }
    }
}
