//! Runs a program on a real queue over a simulated kernel, beside the naive one, and compares.

use crate::naive::{Naive, Outcome, Patience};
use crate::program::{Alteration, Beats, Call, First, Id, Program, Step, Until, What};
use crate::reached::Reached;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use ukevent_queue::sim::{Sim, SimDescriptor};
use ukevent_queue::{
    Builder, Change, ChangeError, Clock, Fd, Key, Mode, NoSuchKey, PostError, Poster, Queue,
    RegisterError, Removed, Timer, Token, User, Wait, WaitError,
};

/// Simulated descriptors that every program has.
pub(crate) const DESCRIPTORS: usize = 4;

/// No clock goes much further: a century, where the queue's wheels reach 146 years.
const LAST_NS: u64 = 3_200_000_000_000_000_000;

const EDEADLK: i32 = 35;

/// Runs it to the end, or to the step after which the two queues disagree.
///
/// # Errors
/// What is wrong. `at` is the step, also if the queue panics.
pub(crate) fn run(program: &Program, at: &Cell<usize>) -> Result<Reached, String> {
    let mut run = Run::new(program);
    for (index, step) in program.steps.iter().enumerate() {
        at.set(index);
        if run.clock_ns(Clock::Boot).max(run.clock_ns(Clock::Wall)) > LAST_NS {
            break;
        }
        run.step(step)?;
        run.compare()?;
    }
    run.finish()
}

struct Run {
    sim: Sim,
    queue: Queue,
    naive: Naive,
    limit: usize,
    descriptors: Vec<SimDescriptor>,
    /// Of all registrations that ever were.
    keys: BTreeMap<Id, Key>,
    ids: BTreeMap<Key, Id>,
    posters: BTreeMap<Id, Poster>,
    /// Registrations of descriptors.
    watches: BTreeSet<Id>,
    waits: u64,
    reached: Reached,
    /// Without late reports, none can be stale.
    may_be_stale: bool,
}

type Verdict = Result<(), String>;

impl Run {
    fn new(program: &Program) -> Self {
        let sim = Sim::new(program.seed);
        let queue = Builder::new()
            .sim(&sim)
            .limit(program.limit)
            .build()
            .expect("a simulation can always be had");
        let descriptors = (0..DESCRIPTORS).map(|_| sim.descriptor()).collect();
        sim.faults(program.faults);
        Self {
            sim,
            queue,
            naive: Naive::new(DESCRIPTORS, program.faults),
            limit: program.limit as usize,
            descriptors,
            keys: BTreeMap::new(),
            ids: BTreeMap::new(),
            posters: BTreeMap::new(),
            watches: BTreeSet::new(),
            waits: 0,
            reached: Reached::default(),
            may_be_stale: program.faults.late > 0,
        }
    }

    fn step(&mut self, step: &Step) -> Verdict {
        match *step {
            Step::Register { id, what, mode } => self.register(id, what, mode)?,
            Step::Modify { id, change } => self.modify(id, change)?,
            Step::Enable(id) => {
                let Some(&key) = self.keys.get(&id) else { return Ok(()) };
                let answer = self.queue.enable(key);
                self.expect_change(id, true, answer)?;
                self.naive.enable(id);
            }
            Step::Disable(id) => {
                let Some(&key) = self.keys.get(&id) else { return Ok(()) };
                let answer = self.queue.disable(key);
                self.expect_key(id, answer.err())?;
                self.naive.disable(id);
            }
            Step::Remove(id) => self.remove(id)?,
            Step::Set(descriptor, ready) => {
                self.sim.set(&self.descriptors[descriptor], ready);
                self.naive.world.set(descriptor, ready);
            }
            Step::SetAfter(descriptor, ns, ready) => {
                let after = Duration::from_nanos(ns);
                self.sim.set_after(after, &self.descriptors[descriptor], ready);
                self.naive.world.set_after(ns, descriptor, ready);
            }
            Step::Advance(ns) => {
                self.sim.advance(Duration::from_nanos(ns));
                self.naive.world.pass_to(self.naive.world.now_ns + ns);
            }
            Step::Suspend(ns) => {
                self.sim.suspend(Duration::from_nanos(ns));
                self.naive.world.suspend(ns);
            }
            Step::SetWall(offset_ns) => {
                self.naive.world.set_wall(offset_ns);
                let time = Duration::from_nanos(self.naive.world.clock(Clock::Wall));
                self.sim.set_wall_clock(time);
            }
            Step::Post(id, data) => self.post(id, data)?,
            Step::Wake => {
                self.queue.waker().wake();
                self.naive.wake();
            }
            Step::Wait { until, at_least, at_most } => self.wait(until, at_least, at_most)?,
            Step::Take(count) => self.take(count)?,
            Step::Forge { index, generation, call } => self.forge(index, generation, call)?,
        }
        Ok(())
    }

    fn register(&mut self, id: Id, what: What, mode: Mode) -> Verdict {
        let token = Token(u64::from(id) << 8);
        let answer = match what {
            What::Fd(descriptor, interest) => {
                let fd = Fd::simulated(&self.descriptors[descriptor]).interest(interest);
                // A simulation measures nothing, which must do no harm.
                let fd = if id % 2 == 1 { fd.measured() } else { fd };
                self.queue.register(fd, token, mode)
            }
            What::Timer(beats) => self.queue.register(self.timer(beats), token, mode),
            What::Merged(merge) => self.queue.register(User::merged(merge), token, mode),
            What::Each(capacity) => self.queue.register(User::each(capacity), token, mode),
        };
        let is_full = self.naive.registrations.len() >= self.limit;
        let key = match answer {
            Err(RegisterError::Full { .. }) if is_full => return Ok(()),
            Ok(key) if !is_full => key,
            other => return Err(format!("{other:?}, full: {is_full}")),
        };
        if self.ids.insert(key, id).is_some() || Key::from_bits(key.to_bits()) != key {
            return Err(format!("{key:?} was given out twice"));
        }
        self.keys.insert(id, key);
        self.naive.register(id, what, token, mode);
        match (what, self.queue.poster(key)) {
            (What::Merged(_) | What::Each(_), Ok(poster)) => _ = self.posters.insert(id, poster),
            (What::Fd(..) | What::Timer(_), Err(NoSuchKey)) => {}
            (_, other) => return Err(format!("poster: {other:?}")),
        }
        let is_descriptor = matches!(what, What::Fd(..));
        if is_descriptor {
            self.watches.insert(id);
        }
        if self.queue.owner_of::<SimDescriptor>(key).is_some() != is_descriptor {
            return Err("owner_of: a descriptor has an owner, and nothing else has".into());
        }
        Ok(())
    }

    fn timer(&self, beats: Beats) -> Timer {
        let timer = match beats.first {
            First::After(ns) => Timer::after(Duration::from_nanos(ns)).on(beats.clock),
            First::At(_) => {
                let at_ns = self.naive.world.first_ns(beats.clock, beats.first);
                Timer::at(beats.clock, Duration::from_nanos(at_ns))
            }
        };
        match beats.period_ns {
            0 => timer,
            ns => timer.repeat(Duration::from_nanos(ns)),
        }
    }

    fn modify(&mut self, id: Id, change: Alteration) -> Verdict {
        let Some(&key) = self.keys.get(&id) else { return Ok(()) };
        let answer = self.queue.modify(key, self.change(change));
        let fits = self.naive.modify(id, change);
        self.expect_change(id, fits, answer)
    }

    fn change(&self, change: Alteration) -> Change {
        let mut asked = Change::new();
        if let Some(token) = change.token {
            asked = asked.token(Token(token));
        }
        if let Some(mode) = change.mode {
            asked = asked.mode(mode);
        }
        if let Some(interest) = change.interest {
            asked = asked.interest(interest);
        }
        if let Some(beats) = change.timer {
            asked = asked.timer(self.timer(beats));
        }
        asked
    }

    fn remove(&mut self, id: Id) -> Verdict {
        let Some(&key) = self.keys.get(&id) else { return Ok(()) };
        match self.queue.remove(key) {
            Ok(removed) => {
                self.expect_owner(id, removed)?;
                self.expect_key(id, None)?;
            }
            Err(error) => self.expect_key(id, Some(error))?,
        }
        self.naive.remove(id);
        Ok(())
    }

    fn post(&mut self, id: Id, data: u64) -> Verdict {
        let Some(poster) = self.posters.get(&id) else { return Ok(()) };
        let answer = poster.post(data);
        let expected = match self.naive.registrations.get_mut(&id).map(|it| it.post(data)) {
            None => Err(PostError::Closed),
            Some(true) => Ok(()),
            Some(false) => Err(PostError::Full),
        };
        if answer == expected { Ok(()) } else { Err(format!("{answer:?}, not {expected:?}")) }
    }

    fn wait(&mut self, until: Until, at_least: usize, at_most: usize) -> Verdict {
        if at_most == 0 || at_least > at_most {
            let answer = self.queue.wait(Wait::now().at_least(at_least).at_most(at_most));
            let is_refused = matches!(answer, Err(WaitError::Invalid(_)));
            return if is_refused { Ok(()) } else { Err(format!("{answer:?}, not refused")) };
        }
        let mut patience =
            Patience { deadline: self.naive.world.deadline(until), at_least, at_most };
        let mut wait = match (until, patience.deadline) {
            (Until::Now, _) => Wait::now(),
            (Until::Within(ns), _) => Wait::within(Duration::from_nanos(ns)),
            (_, None) => Wait::forever(),
            (_, Some((clock, at_ns))) => Wait::until(clock, Duration::from_nanos(at_ns)),
        };
        if let Some(at_ns) = self.naive.endless(patience) {
            patience.deadline = Some((Clock::Monotonic, at_ns));
            wait = Wait::until(Clock::Monotonic, Duration::from_nanos(at_ns));
        }
        self.waits += 1;
        let outcome = match self.queue.wait(wait.at_least(at_least).at_most(at_most)) {
            Ok(events) => Outcome::Granted(events),
            Err(WaitError::Interrupted) => Outcome::Interrupted,
            Err(WaitError::Kernel(error)) if error.errno() == EDEADLK => Outcome::Deadlock,
            Err(error) => return Err(format!("{error:?}")),
        };
        self.reached.note_wait(outcome);
        self.naive.waited(patience, outcome, self.now_ns())
    }

    fn take(&mut self, count: usize) -> Verdict {
        let mut spent = None;
        for _ in 0..count {
            let Some(event) = self.queue.next_event() else {
                // What was spent is kept until the next event is asked for.
                return self.naive.took_nothing();
            };
            let Some(&id) = self.ids.get(&event.key) else {
                return Err(format!("{event:?} of nobody"));
            };
            let mode = self.naive.registrations.get(&id).map(|it| it.mode);
            self.naive.took(id, &event).map_err(|what| format!("{event:?} of {id}: {what}"))?;
            self.reached.note_event(&event.kind);
            spent = (mode == Some(Mode::OneShot)).then_some(id);
        }
        match (self.queue.take_spent(), spent) {
            (Some(removed), Some(id)) => self.expect_owner(id, removed),
            (None, None) => Ok(()),
            (removed, _) => Err(format!("{removed:?} was spent, not {spent:?}")),
        }
    }

    fn forge(&mut self, index: u32, generation: u32, call: Call) -> Verdict {
        let key = Key::from_bits(u64::from(generation) << 32 | u64::from(index));
        if self.ids.get(&key).is_some_and(|id| self.naive.registrations.contains_key(id)) {
            return Ok(());
        }
        let is_refused = match call {
            Call::Modify => {
                let answer = self.queue.modify(key, Change::new());
                matches!(answer, Err(ChangeError::NoSuchKey))
            }
            Call::Enable => matches!(self.queue.enable(key), Err(ChangeError::NoSuchKey)),
            Call::Disable => self.queue.disable(key).is_err(),
            Call::Remove => self.queue.remove(key).is_err(),
            Call::Poster => self.queue.poster(key).is_err(),
        };
        if is_refused { Ok(()) } else { Err(format!("{key:?} names nothing and was taken")) }
    }

    /// Drops the queue, whatever it still has to do.
    fn finish(mut self) -> Result<Reached, String> {
        self.reached.note_counters(self.queue.counters());
        drop(self.queue);
        match self.posters.values().find(|poster| poster.post(1) != Err(PostError::Closed)) {
            Some(_) => Err("a poster outlived the queue and does not say so".into()),
            None => Ok(self.reached),
        }
    }

    /// What is always so.
    fn compare(&self) -> Verdict {
        let (counters, naive) = (self.queue.counters(), &self.naive);
        let pairs = [
            ("the monotonic clock", self.now_ns(), naive.world.now_ns),
            ("the boot-time clock", self.clock_ns(Clock::Boot), naive.world.clock(Clock::Boot)),
            ("the wall clock", self.clock_ns(Clock::Wall), naive.world.clock(Clock::Wall)),
            ("registered", counters.registered, naive.registrations.len() as u64),
            ("waits", counters.waits, self.waits),
            ("events", counters.events, naive.events),
            ("batch_max", counters.batch_max, naive.batch_max),
            ("rescans", counters.rescans, 0),
            ("overflows", counters.overflows, 0),
        ];
        for (what, is, should_be) in pairs {
            if is != should_be {
                return Err(format!("{what}: {is}, not {should_be}"));
            }
        }
        if counters.stale > 0 && !self.may_be_stale {
            return Err(format!("{} stale reports, though none is ever late", counters.stale));
        }
        for (at, descriptor) in self.descriptors.iter().enumerate() {
            if self.sim.readiness(descriptor) != naive.world.ready(at) {
                return Err(format!("the simulation and its model differ in descriptor {at}"));
            }
        }
        Ok(())
    }

    fn now_ns(&self) -> u64 {
        self.clock_ns(Clock::Monotonic)
    }

    fn clock_ns(&self, clock: Clock) -> u64 {
        u64::try_from(self.queue.time(clock).as_nanos()).expect("the clocks count in 64 bits")
    }

    fn expect_change(&self, id: Id, fits: bool, answer: Result<(), ChangeError>) -> Verdict {
        match answer {
            Ok(()) if fits => self.expect_key(id, None),
            Err(ChangeError::Refused(RegisterError::Invalid(_))) if !fits => {
                self.expect_key(id, None)
            }
            Err(ChangeError::NoSuchKey) => self.expect_key(id, Some(NoSuchKey)),
            other => Err(format!("{other:?}, fits: {fits}")),
        }
    }

    fn expect_key(&self, id: Id, error: Option<NoSuchKey>) -> Verdict {
        let is_alive = self.naive.registrations.contains_key(&id);
        if is_alive == error.is_none() {
            Ok(())
        } else {
            Err(format!("{error:?} for a key that names something: {is_alive}"))
        }
    }

    fn expect_owner(&self, id: Id, removed: Removed) -> Verdict {
        let has_owner = removed.downcast::<SimDescriptor>().is_some();
        if has_owner == self.watches.contains(&id) {
            Ok(())
        } else {
            Err(format!("an owner came back: {has_owner}"))
        }
    }
}
