//! Makes a program from a seed.
//!
//! Each program has a character of its own, also drawn from the seed: which faults, how many
//! registrations, which kinds and modes prevail, how long. Programs that do a bit of everything all
//! the time would reach few of the states that take several like steps.

use crate::program::{Alteration, Beats, Call, First, Id, Program, Step, Until, What};
use crate::run::DESCRIPTORS;
use testkit::Rng;
use ukevent_queue::sim::Faults;
use ukevent_queue::{Clock, Interest, Merge, Mode, Readiness};

const TICK_NS: u64 = 1 << 14;
const MINUTE_NS: u64 = 60_000_000_000;
const YEAR_NS: u64 = 365 * 24 * 60 * MINUTE_NS;
/// Waits that end a program, so that what was held up comes to light.
const LAST_WAITS: usize = 5;

/// The program of a seed.
pub(crate) fn program(seed: u64) -> Program {
    let mut dice = Rng::new(seed);
    let faults = faults(&mut dice);
    let limit = if dice.one_in(8) { dice.range(1..6) as u32 } else { 1 << 20 };
    let mut maker = Maker {
        descriptors: dice.range(1..DESCRIPTORS as u64 + 1),
        modes: some_of(&mut dice, &[Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch]),
        kinds: some_of(&mut dice, &[Sort::Fd, Sort::Fd, Sort::Timer, Sort::User]),
        calls: some_of(&mut dice, &CALLS),
        next: 0,
        living: Vec::new(),
        dice,
    };
    let length = maker.dice.range(5..120);
    let mut steps = Vec::new();
    for _ in 0..maker.dice.range(1..7) {
        steps.push(maker.register());
    }
    for _ in 0..length {
        maker.add_step(&mut steps);
    }
    for _ in 0..LAST_WAITS {
        steps.push(Step::Wait { until: Until::Now, at_least: 1, at_most: usize::MAX });
        steps.push(Step::Take(usize::MAX));
    }
    Program { seed, faults, limit, steps }
}

/// Half of the programs run on a kernel that never misbehaves: there the model knows every event.
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
    faults
}

/// A choice from all there is, each with a weight: what is not chosen now and then is chosen seldom.
fn some_of<T: Copy>(dice: &mut Rng, all: &[T]) -> Vec<T> {
    let mut some = Vec::new();
    for &one in all {
        let weight = *dice.pick(&[0, 1, 1, 3]);
        some.extend(std::iter::repeat_n(one, weight));
    }
    if some.is_empty() { all.to_vec() } else { some }
}

#[derive(Clone, Copy, PartialEq)]
enum Sort {
    Fd,
    Timer,
    User,
}

/// What a program may do, as often as it stands here.
#[rustfmt::skip]
const CALLS: [Next; 30] = [
    Next::Register, Next::Register,
    Next::Modify, Next::Enable, Next::Enable, Next::Disable, Next::Remove,
    Next::Set, Next::Set, Next::Set, Next::SetAfter,
    Next::Advance, Next::Clock,
    Next::Post, Next::Post, Next::Wake, Next::Forge,
    Next::Wait, Next::Wait, Next::Wait, Next::WaitAndTake, Next::WaitAndTake, Next::WaitAndTake,
    Next::WaitAndTake, Next::Take, Next::Take,
    Next::SetAndWait, Next::SetAndWait, Next::SetAndWait, Next::WaitAndChange,
];

#[derive(Clone, Copy)]
enum Next {
    Register,
    Modify,
    Enable,
    Disable,
    Remove,
    Set,
    SetAfter,
    Advance,
    Clock,
    Post,
    Wake,
    Forge,
    Wait,
    WaitAndTake,
    Take,
    SetAndWait,
    WaitAndChange,
}

struct Maker {
    dice: Rng,
    descriptors: u64,
    modes: Vec<Mode>,
    kinds: Vec<Sort>,
    calls: Vec<Next>,
    next: Id,
    living: Vec<(Id, Sort)>,
}

impl Maker {
    fn add_step(&mut self, steps: &mut Vec<Step>) {
        // With nothing registered nothing happens, whatever the character.
        if self.living.is_empty() {
            return steps.push(self.register());
        }
        let step = match *self.dice.pick(&self.calls) {
            Next::Register => self.register(),
            Next::Modify => self.modify(),
            Next::Enable => Step::Enable(self.any()),
            Next::Disable => Step::Disable(self.any()),
            Next::Remove => self.remove(),
            Next::Set => Step::Set(self.descriptor(), self.readiness()),
            Next::SetAfter => {
                Step::SetAfter(self.descriptor(), self.time_ns().max(1), self.readiness())
            }
            Next::Advance => Step::Advance(self.time_ns()),
            Next::Clock if self.dice.one_in(2) => Step::Suspend(self.time_ns()),
            Next::Clock => Step::SetWall(self.offset_ns()),
            Next::Post => self.post(),
            Next::Wake => Step::Wake,
            Next::Forge => self.forge(),
            Next::Wait => self.wait(),
            Next::WaitAndTake => {
                steps.push(self.wait());
                Step::Take(usize::MAX)
            }
            Next::Take => Step::Take(self.dice.range(1..5) as usize),
            Next::SetAndWait => {
                steps.push(Step::Set(self.descriptor(), self.readiness()));
                self.wait()
            }
            Next::WaitAndChange => {
                steps.push(Step::Set(self.descriptor(), self.readiness()));
                steps.push(self.wait());
                match self.dice.below(4) {
                    0 => self.remove(),
                    1 => self.modify(),
                    2 => Step::Set(self.descriptor(), self.readiness()),
                    _ => Step::Disable(self.any()),
                }
            }
        };
        steps.push(step);
    }

    fn register(&mut self) -> Step {
        let sort = *self.dice.pick(&self.kinds);
        let what = match sort {
            Sort::Fd => What::Fd(self.descriptor(), self.interest()),
            Sort::Timer => What::Timer(self.beats()),
            Sort::User if self.dice.one_in(2) => What::Each(self.dice.below(9) as u32),
            Sort::User => What::Merged(*self.dice.pick(&[Merge::Last, Merge::Or, Merge::Sum])),
        };
        let id = self.next;
        self.next += 1;
        self.living.push((id, sort));
        Step::Register { id, what, mode: self.mode() }
    }

    fn modify(&mut self) -> Step {
        let at = self.recent();
        let (id, sort) = self.living[at];
        // Now and then one that does not fit.
        let sort = if self.dice.one_in(16) { *self.dice.pick(&self.kinds) } else { sort };
        let mut change = Alteration::default();
        if self.dice.one_in(4) {
            change.token = Some(self.dice.next_u64());
        }
        if self.dice.one_in(3) {
            change.mode = Some(self.mode());
        }
        if sort == Sort::Fd && self.dice.one_in(2) {
            change.interest = Some(self.interest());
        }
        if sort == Sort::Timer && self.dice.one_in(2) {
            change.timer = Some(self.beats());
        }
        Step::Modify { id, change }
    }

    fn remove(&mut self) -> Step {
        let at = self.recent();
        Step::Remove(self.living.remove(at).0)
    }

    fn post(&mut self) -> Step {
        let users = self.living.iter().rev().filter(|it| it.1 == Sort::User);
        let users: Vec<Id> = users.take(3).map(|it| it.0).collect();
        let id = if users.is_empty() { self.any() } else { *self.dice.pick(&users) };
        Step::Post(id, self.dice.next_u64())
    }

    fn forge(&mut self) -> Step {
        const CALLS: [Call; 5] =
            [Call::Modify, Call::Enable, Call::Disable, Call::Remove, Call::Poster];
        let index = self.dice.below(u64::from(self.next) + 3) as u32;
        let generation = self.dice.below(4) as u32;
        Step::Forge { index, generation, call: *self.dice.pick(&CALLS) }
    }

    fn wait(&mut self) -> Step {
        let until = match self.dice.below(8) {
            0..3 => Until::Now,
            3..5 => Until::Ever,
            5..7 => Until::Within(self.time_ns()),
            _ => Until::At(self.clock(), self.offset_ns()),
        };
        let at_least = if self.dice.one_in(4) { self.dice.below(4) as usize } else { 1 };
        let at_most = if self.dice.one_in(3) { self.dice.range(1..4) as usize } else { usize::MAX };
        // Seldom one that contradicts itself.
        let at_most = if self.dice.one_in(16) { at_most } else { at_most.max(at_least) };
        Step::Wait { until, at_least, at_most }
    }

    fn beats(&mut self) -> Beats {
        let first = match self.dice.below(3) {
            0..2 => First::After(self.time_ns()),
            _ => First::At(self.offset_ns()),
        };
        let period_ns = if self.dice.one_in(2) { self.time_ns() } else { 0 };
        Beats { clock: self.clock(), first, period_ns }
    }

    /// Any registration, even one that is gone.
    fn any(&mut self) -> Id {
        if self.dice.one_in(12) {
            self.dice.below(u64::from(self.next)) as Id
        } else {
            let at = self.recent();
            self.living[at].0
        }
    }

    /// Where one of the last registrations stands. Those that come once may have gone by themselves,
    /// which the maker cannot know; of the last it is the least likely.
    fn recent(&mut self) -> usize {
        let count = self.living.len();
        count - 1 - self.dice.below(count.min(6) as u64) as usize
    }

    fn mode(&mut self) -> Mode {
        *self.dice.pick(&self.modes)
    }

    fn clock(&mut self) -> Clock {
        *self.dice.pick(&[Clock::Monotonic, Clock::Monotonic, Clock::Boot, Clock::Wall])
    }

    fn descriptor(&mut self) -> usize {
        self.dice.below(self.descriptors) as usize
    }

    fn interest(&mut self) -> Interest {
        const USUAL: [Interest; 2] = [Interest::READ, Interest::WRITE];
        match self.dice.below(4) {
            0 => Interest::from_bits_truncate(self.dice.next_u64() as u16),
            1 => Interest::READ.union(Interest::WRITE),
            _ => *self.dice.pick(&USUAL),
        }
    }

    fn readiness(&mut self) -> Readiness {
        match self.dice.below(6) {
            0 => Readiness::from_bits_truncate(self.dice.next_u64() as u16),
            1 => Readiness::WRITABLE,
            2 => Readiness::READABLE | Readiness::WRITABLE,
            3 => Readiness::empty(),
            _ => Readiness::READABLE,
        }
    }

    /// About any of the spans that matter to a wheel: below a tick, a tick, the reach of each level.
    fn time_ns(&mut self) -> u64 {
        let span_ns = match self.dice.below(16) {
            0 => 0,
            1 => 20,
            2..5 => TICK_NS,
            5..8 => TICK_NS << 6,
            8..11 => TICK_NS << 12,
            11..13 => TICK_NS << 18,
            13 => 30 * MINUTE_NS,
            14 => TICK_NS << 30,
            _ => YEAR_NS,
        };
        match self.dice.below(4) {
            0 => span_ns,
            1 => span_ns + self.dice.below(3),
            2 => span_ns.saturating_sub(self.dice.below(3)),
            _ => self.dice.below(2 * span_ns + 1),
        }
    }

    fn offset_ns(&mut self) -> i64 {
        let ns = self.time_ns().cast_signed();
        if self.dice.one_in(2) { -ns } else { ns }
    }
}
