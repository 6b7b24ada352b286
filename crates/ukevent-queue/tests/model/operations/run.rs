//! Runs a program of operations, and checks what comes of each.

use super::naive::{Receipt, Sent, byte, is_sent};
use super::{Act, STREAMS, Task};
use crate::program::{Id, Program, Until};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use ukevent_buf::{Arena, Buffer, FramePool, Piece};
use ukevent_queue::sim::{Faults, Sim, SimDescriptor, SimStream};
use ukevent_queue::{
    Builder, Clock, Direction, Fd, Interest, Key, Mode, Operation, Queue, Readiness, StartRefusal,
    Token, Wait, WaitError,
};

const FRAMES: u32 = 4;
const FRAME_BYTES: usize = 64;
const SECOND: Duration = Duration::from_secs(1);

const EDEADLK: i32 = 35;

pub(super) type Verdict = Result<(), String>;

/// Runs it to the end, and then on until nothing moves any more.
///
/// # Errors
/// What is wrong. `at` is the step, also if the queue panics.
pub(crate) fn run(program: &Program<Act>, at: &Cell<usize>) -> Result<Reached, String> {
    let mut run = Run::new(program);
    for (index, &act) in program.steps.iter().enumerate() {
        at.set(index);
        run.act(act)?;
        run.compare()?;
    }
    run.settle()?;
    run.finish()
}

/// How often it came to what a check that never meets it proves nothing about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) cancelled: u64,
    pub(super) timed_out: u64,
    pub(super) failed: u64,
    pub(super) ends: u64,
    pub(super) starved: u64,
    pub(super) closed: u64,
    pub(super) removed: u64,
    pub(super) deadlocks: u64,
    pub(super) stale: u64,
}

impl Reached {
    const fn each_mut(&mut self) -> [(&'static str, &mut u64); 11] {
        [
            ("receives that brought something", &mut self.received),
            ("sends that were done", &mut self.sent),
            ("operations cancelled", &mut self.cancelled),
            ("operations that took too long", &mut self.timed_out),
            ("operations that failed", &mut self.failed),
            ("ends of streams", &mut self.ends),
            ("steps with an empty pool", &mut self.starved),
            ("streams closed", &mut self.closed),
            ("operations removed", &mut self.removed),
            ("waits that could never end", &mut self.deadlocks),
            ("stale reports", &mut self.stale),
        ]
    }

    fn each(mut self) -> [(&'static str, u64); 11] {
        self.each_mut().map(|(what, count)| (what, *count))
    }
}

pub(super) struct Run {
    pub(super) sim: Sim,
    pub(super) queue: Queue,
    pub(super) faults: Faults,
    pub(super) limit: u64,
    pub(super) pool: Arc<FramePool>,
    /// All streams that ever were.
    pub(super) streams: Vec<Stream>,
    /// Which of them are in the places that the program names.
    pub(super) places: [Option<usize>; STREAMS],
    pub(super) tasks: BTreeMap<Id, Started>,
    pub(super) ids: BTreeMap<Key, Id>,
    /// What came and was not dropped.
    pub(super) held: Vec<Buffer>,
    /// How many events the last wait let out, and whether none can have been taken back.
    pub(super) promised: usize,
    pub(super) is_exact: bool,
    /// As many slots as the queue ever needed at the same time.
    pub(super) slots: usize,
    pub(super) reached: Reached,
}

pub(super) struct Stream {
    pub(super) key: Key,
    pub(super) peer: Option<SimStream>,
    pub(super) receipt: Receipt,
    /// What the peer read.
    pub(super) arrived: Vec<u8>,
    /// Those that take turns, in order.
    pub(super) line: Vec<Id>,
    /// How far in the line events have come.
    pub(super) turns: usize,
    pub(super) is_registered: bool,
    /// Nothing more is to be received, and why.
    pub(super) finished: bool,
    /// The peer is gone, in one way or another: what was sent may be lost.
    pub(super) is_broken: bool,
    pub(super) was_reset: bool,
}

pub(super) struct Started {
    pub(super) stream: usize,
    pub(super) key: Key,
    pub(super) what: Task,
    pub(super) state: State,
    /// A wait began since: it may be done, without an event yet.
    pub(super) may_be_done: bool,
    pub(super) is_cancelled: bool,
    pub(super) until_ns: Option<u64>,
    /// How many waits there were before.
    pub(super) waits: u64,
    pub(super) sent: Sent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    Alive,
    Ended,
    /// Or its stream was: no event comes any more.
    Removed,
}

impl Run {
    fn new(program: &Program<Act>) -> Self {
        let sim = Sim::new(program.seed);
        let queue = Builder::new()
            .sim(&sim)
            .limit(program.limit)
            .build()
            .expect("a simulation can always be had");
        sim.faults(program.faults);
        let arena = Arena::new(1 << 16).expect("there is memory");
        let pool = FramePool::builder(FRAMES, FRAME_BYTES).waker(queue.room_waker());
        let pool = Arc::new(pool.build(&arena).expect("they fit"));
        Self {
            sim,
            queue,
            faults: program.faults,
            limit: u64::from(program.limit),
            pool,
            streams: Vec::new(),
            places: [None; STREAMS],
            tasks: BTreeMap::new(),
            ids: BTreeMap::new(),
            held: Vec::new(),
            promised: 0,
            is_exact: true,
            slots: 0,
            reached: Reached::default(),
        }
    }

    fn act(&mut self, act: Act) -> Verdict {
        match act {
            Act::Open(place, room) => self.open(place, room),
            Act::Start { id, stream, what, within_ns } => self.start(id, stream, what, within_ns),
            Act::Cancel(id) => self.cancel(id),
            Act::Remove(id) => self.remove(id),
            Act::RemoveStream(place) => self.remove_stream(place),
            Act::Write(place, count) => self.write(place, count),
            Act::Read(place, count) => {
                if let Some(stream) = self.at(place) {
                    self.read(stream, count);
                }
                Ok(())
            }
            Act::Finish(place) => {
                if let Some(stream) = self.at(place)
                    && let Some(peer) = &self.streams[stream].peer
                {
                    peer.finish();
                    self.streams[stream].finished = true;
                }
                Ok(())
            }
            Act::Leave(place) => {
                if let Some(stream) = self.at(place) {
                    self.take_peer(stream);
                }
                Ok(())
            }
            Act::Reset(place) => {
                if let Some(stream) = self.at(place)
                    && let Some(peer) = self.take_peer(stream)
                {
                    self.streams[stream].was_reset = true;
                    peer.reset();
                }
                Ok(())
            }
            Act::Drop(count) => {
                self.held.truncate(self.held.len().saturating_sub(count));
                Ok(())
            }
            Act::Advance(ns) => {
                self.sim.advance(Duration::from_nanos(ns));
                Ok(())
            }
            Act::Wait { until, at_least, at_most } => self.wait(until, at_least, at_most),
            Act::Take(count) => self.take(count),
        }
    }

    fn at(&self, place: usize) -> Option<usize> {
        self.places[place]
    }

    /// The peer goes: what it did not read is lost.
    fn take_peer(&mut self, at: usize) -> Option<SimStream> {
        let stream = &mut self.streams[at];
        let peer = stream.peer.take()?;
        stream.is_broken = true;
        stream.finished = true;
        Some(peer)
    }

    fn is_full(&self) -> bool {
        self.queue.counters().registered >= self.limit
    }

    fn open(&mut self, place: usize, room: usize) -> Verdict {
        let (descriptor, peer) = self.sim.stream_pair(room);
        let fd = Fd::simulated(&descriptor).unwatched();
        let is_full = self.is_full();
        let number = self.streams.len();
        let key = match self.queue.register(fd, Token(number as u64), Mode::Level) {
            Ok(key) if !is_full => key,
            Err(_) if is_full => return Ok(()),
            other => return Err(format!("{other:?}, full: {is_full}")),
        };
        self.streams.push(Stream {
            key,
            peer: Some(peer),
            receipt: Receipt::new(1 << 20 | number as u64),
            arrived: Vec::new(),
            line: Vec::new(),
            turns: 0,
            is_registered: true,
            finished: false,
            is_broken: false,
            was_reset: false,
        });
        self.places[place] = Some(number);
        self.count_slots();
        Ok(())
    }

    fn start(&mut self, id: Id, place: usize, what: Task, within_ns: Option<u64>) -> Verdict {
        let Some(stream) = self.at(place) else { return Ok(()) };
        let is_full = self.is_full();
        let on = self.streams[stream].key;
        let mut operation = self.operation(id, on, what);
        let mut until_ns = None;
        if let Some(ns) = within_ns {
            operation = operation.within(Duration::from_nanos(ns));
            until_ns = Some(self.now_ns() + ns);
        }
        let is_registered = self.streams[stream].is_registered;
        let may_be_gone = !is_registered || self.may_be_closed(stream);
        let key = match self.queue.start(operation, Token(u64::from(id))) {
            Ok(key) if is_registered && !is_full => key,
            Err(refused) => {
                let is_right = match refused.reason {
                    StartRefusal::NoSuchKey => may_be_gone,
                    StartRefusal::Limit(_) => is_full,
                    _ => false,
                };
                let back = refused.operation.into_buffer();
                let is_back = back.is_some() == has_buffer(what);
                return match is_right && is_back {
                    true => Ok(()),
                    false => Err(format!("{what:?} refused: {:?}, {back:?}", refused.reason)),
                };
            }
            other => return Err(format!("{other:?}, full: {is_full}, gone: {may_be_gone}")),
        };
        if self.ids.insert(key, id).is_some() {
            return Err(format!("{key:?} was given out twice"));
        }
        if what.is_in_line() {
            self.streams[stream].line.push(id);
        }
        if matches!(what, Task::Shutdown(Direction::Receiving | Direction::Both)) {
            self.streams[stream].finished = true;
        }
        let started = Started {
            stream,
            key,
            what,
            state: State::Alive,
            may_be_done: false,
            is_cancelled: false,
            until_ns,
            waits: self.queue.counters().waits,
            sent: Sent::Perhaps,
        };
        self.tasks.insert(id, started);
        self.count_slots();
        let index = key.to_bits() & u64::from(u32::MAX);
        match index < self.slots as u64 {
            true => Ok(()),
            false => Err(format!("{key:?}, where {} slots were needed: some are lost", self.slots)),
        }
    }

    /// Operations with a time limit have two.
    fn count_slots(&mut self) {
        let is_limited = |task: &&Started| task.state == State::Alive && task.until_ns.is_some();
        let limited = self.tasks.values().filter(is_limited).count();
        self.slots = self.slots.max(self.queue.counters().registered as usize + limited);
    }

    fn operation(&self, id: Id, on: Key, what: Task) -> Operation {
        match what {
            Task::Receive { room, head, read } => {
                let mut buffer = Buffer::from(vec![0; room + head]);
                buffer.truncate(0);
                buffer.append(&[b'h'; 8][..head]).expect("there is room");
                match read {
                    true => Operation::read(on, buffer, 0),
                    false => Operation::receive(on, buffer),
                }
            }
            Task::ReceivePooled => {
                let pooled = self.pool.allocate();
                Operation::receive(on, pooled.unwrap_or_else(|_| Buffer::with_capacity(8)))
            }
            Task::ReceiveEach => Operation::receive_each(on, self.pool.clone()),
            Task::Send(len) => Operation::send(on, Buffer::from(content(id, len))),
            Task::SendShare(len) => {
                Operation::send(on, Buffer::from(content(id, len)).freeze()).more()
            }
            Task::SendPieces(len, count) => {
                let bytes = content(id, len);
                let pieces = cuts(len, count).map(|(at, cut)| {
                    let buffer = Buffer::from(bytes[cut].to_vec());
                    if at % 3 == 2 { Piece::from(buffer.freeze()) } else { Piece::from(buffer) }
                });
                Operation::send_pieces(on, pieces)
            }
            Task::Shutdown(how) => Operation::shutdown(on, how),
            Task::Close => Operation::close(on),
            Task::Poll(interest) => Operation::poll(on, interest),
        }
    }

    /// Whether its registration may have been closed, without an event yet.
    pub(super) fn may_be_closed(&self, stream: usize) -> bool {
        self.tasks.values().any(|task| {
            task.stream == stream
                && task.what == Task::Close
                && task.may_be_done
                && task.state == State::Alive
        })
    }

    fn cancel(&mut self, id: Id) -> Verdict {
        let Some(task) = self.tasks.get(&id) else { return Ok(()) };
        let answer = self.queue.cancel(task.key);
        let may_be_gone = self.may_be_closed(task.stream);
        let Some(task) = self.tasks.get_mut(&id) else { return Ok(()) };
        match (task.state, answer) {
            (State::Alive, Ok(())) => task.is_cancelled = true,
            (State::Alive, Err(_)) if may_be_gone => {
                task.state = State::Removed;
                let (stream, lost) = (task.stream, task.may_lose());
                self.streams[stream].receipt.may_be_lost += lost;
            }
            (State::Ended | State::Removed, Err(_)) => {}
            (state, answer) => return Err(format!("cancel of what is {state:?}: {answer:?}")),
        }
        Ok(())
    }

    fn remove(&mut self, id: Id) -> Verdict {
        let Some(task) = self.tasks.get(&id) else { return Ok(()) };
        let answer = self.queue.remove(task.key).map(drop);
        let may_be_gone = self.may_be_closed(task.stream);
        self.is_exact = false;
        let Some(task) = self.tasks.get_mut(&id) else { return Ok(()) };
        match (task.state, answer) {
            (State::Alive, Ok(())) => {
                task.state = State::Removed;
                self.reached.removed += 1;
                let lost = task.may_lose();
                let stream = task.stream;
                let was_close = task.what == Task::Close && task.may_be_done;
                self.streams[stream].receipt.may_be_lost += lost;
                if was_close
                    && self.queue.owner_of::<SimDescriptor>(self.streams[stream].key).is_none()
                {
                    self.lose_stream(stream, Some(id));
                }
            }
            (State::Alive, Err(_)) if may_be_gone => {
                task.state = State::Removed;
                let (stream, lost) = (task.stream, task.may_lose());
                self.streams[stream].receipt.may_be_lost += lost;
            }
            (State::Ended | State::Removed, Err(_)) => {}
            (state, answer) => return Err(format!("remove of what is {state:?}: {answer:?}")),
        }
        Ok(())
    }

    fn remove_stream(&mut self, place: usize) -> Verdict {
        let Some(at) = self.at(place) else { return Ok(()) };
        let may_be_gone = self.may_be_closed(at);
        let answer = self.queue.remove(self.streams[at].key);
        self.is_exact = false;
        match (self.streams[at].is_registered, answer) {
            (true, Ok(removed)) => {
                if removed.downcast::<SimDescriptor>().is_none() {
                    return Err("the owner did not come back".into());
                }
                self.lose_stream(at, None);
            }
            (_, Err(_)) if may_be_gone => {}
            (false, Err(_)) => {}
            (is_registered, answer) => {
                return Err(format!("{answer:?} of a stream, registered: {is_registered}"));
            }
        }
        Ok(())
    }

    /// The registration of a stream is gone: by an operation that closed it, or removed. What was in the line before
    /// the operation has ended by then, and its event still comes.
    pub(super) fn lose_stream(&mut self, at: usize, closed_by: Option<Id>) {
        let stream = &mut self.streams[at];
        stream.is_registered = false;
        for (&id, task) in &mut self.tasks {
            let was_before = task.what.is_in_line() && closed_by.is_some_and(|close| id < close);
            if task.stream == at && task.state == State::Alive && !was_before {
                task.state = State::Removed;
                stream.receipt.may_be_lost += task.may_lose();
            }
        }
    }

    fn write(&mut self, place: usize, count: usize) -> Verdict {
        let Some(at) = self.at(place) else { return Ok(()) };
        let stream = &mut self.streams[at];
        let Some(peer) = &stream.peer else { return Ok(()) };
        let taken = peer.write(&stream.receipt.next_bytes(count));
        stream.receipt.written += taken;
        Ok(())
    }

    /// Whether there was anything.
    fn read(&mut self, at: usize, count: usize) -> bool {
        let stream = &mut self.streams[at];
        let bytes = stream.peer.as_ref().map(|peer| peer.read(count)).unwrap_or_default();
        stream.arrived.extend(&bytes);
        !bytes.is_empty()
    }

    fn wait(&mut self, until: Until, at_least: usize, at_most: usize) -> Verdict {
        let wait = match until {
            Until::Now => Wait::now(),
            Until::Within(ns) => Wait::within(Duration::from_nanos(ns)),
            Until::Ever | Until::At(..) => Wait::forever(),
        };
        let before_ns = self.now_ns();
        for task in self.tasks.values_mut() {
            task.may_be_done = true;
        }
        let answer = self.queue.wait(wait.at_least(at_least).at_most(at_most));
        self.promised = 0;
        self.is_exact = true;
        match answer {
            Ok(events) => {
                self.promised = events;
                let is_over = match until {
                    Until::Now => true,
                    Until::Within(ns) => self.now_ns() >= before_ns + ns,
                    Until::Ever | Until::At(..) => false,
                };
                // A signal ends a wait with what there is.
                let is_over = is_over || self.faults.interrupt > 0 && events > 0;
                if events > at_most || events < at_least && !is_over {
                    return Err(format!("{events} events of {at_least} to {at_most}"));
                }
            }
            Err(WaitError::Interrupted) if self.faults.interrupt > 0 => {}
            Err(WaitError::Kernel(error)) if error.errno() == EDEADLK && until == Until::Ever => {
                self.reached.deadlocks += 1;
                if at_least == 1 {
                    self.stands_still()?;
                }
            }
            Err(error) => return Err(format!("{error:?}")),
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Verdict {
        for _ in 0..count {
            let Some(event) = self.queue.next_event() else {
                if self.is_exact && self.promised > 0 {
                    return Err(format!("{} events were promised and did not come", self.promised));
                }
                self.promised = 0;
                return Ok(());
            };
            if self.promised == 0 {
                return Err(format!("one more event than the wait let out: {event:?}"));
            }
            self.promised -= 1;
            self.took(event)?;
        }
        Ok(())
    }

    /// What is always so.
    fn compare(&mut self) -> Verdict {
        let statistics = self.pool.statistics().map_err(|error| format!("{error:?}"))?;
        let out = (statistics.frames - statistics.free) as usize;
        let alive = |task: &&Started| task.state == State::Alive;
        let pooled = |task: &&Started| matches!(task.what, Task::ReceivePooled | Task::ReceiveEach);
        let lent = self.tasks.values().filter(alive).filter(pooled).count();
        self.reached.starved += u64::from(out == FRAMES as usize);
        if !(self.held.len()..=self.held.len() + lent).contains(&out) {
            let held = self.held.len();
            return Err(format!("{out} frames are out: {held} came, {lent} may be lent"));
        }
        let streams = self.streams.iter().filter(|stream| stream.is_registered).count();
        let tasks = self.tasks.values().filter(alive).count();
        let most = (streams + tasks) as u64;
        let closes = (0..self.streams.len()).any(|at| self.may_be_closed(at));
        let registered = self.queue.counters().registered;
        if registered > most || registered < most && !closes {
            return Err(format!("{registered} registered, not {most}"));
        }
        Ok(())
    }

    /// Lets all go on that can, without faults, with peers that read all and a program that holds
    /// nothing, until nothing happens any more; then nothing may stand still that could go on.
    fn settle(&mut self) -> Verdict {
        self.sim.faults(Faults::default());
        self.take(usize::MAX)?;
        let mut quiet = 0;
        for _ in 0..20_000 {
            self.held.clear();
            let mut moved = false;
            for at in 0..self.streams.len() {
                moved |= self.read(at, usize::MAX);
            }
            self.wait(Until::Within(SECOND.as_nanos() as u64), 1, usize::MAX)?;
            moved |= self.promised > 0;
            self.take(usize::MAX)?;
            self.compare()?;
            quiet = if moved { 0 } else { quiet + 1 };
            if quiet == 3 {
                return self.stands_still();
            }
        }
        Err("it never comes to rest".into())
    }

    /// Whether what is alive has a reason to wait.
    fn stands_still(&self) -> Verdict {
        let is_starved = self.pool.statistics().is_ok_and(|statistics| statistics.free == 0);
        let mut tried = BTreeSet::new();
        for (id, task) in &self.tasks {
            if task.state != State::Alive || self.may_be_closed(task.stream) {
                continue;
            }
            let Some(descriptor) = self.queue.owner_of(self.streams[task.stream].key) else {
                return Err(format!("{id} lives on nothing"));
            };
            let ready: Readiness = self.sim.readiness(descriptor);
            let could = match task.what {
                _ if task.is_cancelled => true,
                _ if task.until_ns.is_some_and(|until_ns| until_ns < self.now_ns()) => true,
                Task::ReceiveEach if is_starved => false,
                Task::Receive { .. } | Task::ReceivePooled | Task::ReceiveEach => {
                    ready.contains(Readiness::READABLE)
                }
                Task::Poll(interest) => {
                    let reads = interest == Interest::READ;
                    let wanted = if reads { Readiness::READABLE } else { Readiness::WRITABLE };
                    ready.contains(wanted)
                }
                Task::Shutdown(_) | Task::Close => tried.insert(task.stream),
                Task::Send(_) | Task::SendShare(_) | Task::SendPieces(..) => {
                    tried.insert(task.stream) && ready.contains(Readiness::WRITABLE)
                }
            };
            if could {
                return Err(format!("{id} stands still: {:?}, {ready:?}", task.what));
            }
        }
        Ok(())
    }

    /// Drops the queue; then all has arrived, all is closed, and all buffers are home.
    fn finish(mut self) -> Result<Reached, String> {
        for (at, stream) in self.streams.iter().enumerate() {
            let Some(peer) = &stream.peer else { continue };
            if stream.is_registered {
                let left = peer.unreceived();
                stream.receipt.ends(left).map_err(|why| format!("stream {at}: {why}"))?;
            }
            let sends: Vec<_> = stream
                .line
                .iter()
                .filter_map(|id| {
                    let task = &self.tasks[id];
                    Some((u64::from(*id), task.what.outgoing()?, task.sent))
                })
                .collect();
            let is_broken = stream.is_broken || self.faults.reset > 0;
            if !is_sent(&stream.arrived, &sends, is_broken) {
                let count = stream.arrived.len();
                return Err(format!("stream {at}: {count} bytes arrived that are not {sends:?}"));
            }
        }
        self.reached.stale += self.queue.counters().stale;
        drop(self.queue);
        self.held.clear();
        for (at, stream) in self.streams.iter().enumerate() {
            if let Some(peer) = &stream.peer {
                let _ = peer.read(usize::MAX);
                if !peer.is_at_end() {
                    return Err(format!("stream {at} was not closed"));
                }
            }
        }
        match self.pool.statistics() {
            Ok(statistics) if statistics.free == FRAMES => Ok(self.reached),
            other => Err(format!("not all is home: {other:?}")),
        }
    }

    pub(super) fn now_ns(&self) -> u64 {
        u64::try_from(self.queue.time(Clock::Monotonic).as_nanos()).expect("within 64 bits")
    }
}

impl Started {
    /// Bytes that are lost if it is removed now.
    pub(super) fn may_lose(&self) -> usize {
        match self.what {
            _ if !self.may_be_done => 0,
            Task::Receive { room, .. } => room,
            Task::ReceivePooled | Task::ReceiveEach => FRAME_BYTES,
            _ => 0,
        }
    }
}

pub(super) fn content(id: Id, len: usize) -> Vec<u8> {
    (0..len).map(|at| byte(u64::from(id), at)).collect()
}

/// The pieces of so many bytes, by number; the last have what is left, or nothing.
pub(super) fn cuts(len: usize, count: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let each = len.div_ceil(count);
    (0..count).map(move |at| (at, (at * each).min(len)..((at + 1) * each).min(len)))
}

/// Whether an operation that is refused gives a buffer back.
const fn has_buffer(what: Task) -> bool {
    matches!(
        what,
        Task::Receive { .. } | Task::ReceivePooled | Task::Send(_) | Task::SendPieces(..)
    )
}

#[test]
fn random_operations_come_to_everything() {
    let programs = 500;
    let mut sums = Reached::default();
    for seed in 0..programs {
        // What fails is the business of another test.
        let reached = run(&super::program(seed), &Cell::new(0)).unwrap_or_default();
        for (sum, count) in sums.each_mut().into_iter().zip(reached.each()) {
            *sum.1 += count.1;
        }
    }
    for (what, sum) in sums.each() {
        eprintln!("{sum:6} {what}");
        assert!(sum * 100 >= programs, "{sum} {what} in {programs} programs");
    }
}
