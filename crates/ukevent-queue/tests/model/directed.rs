//! Programs with a purpose: what the random ones found once, and the paths that need several rare
//! things in a row. Each runs for many seeds, so that its faults fall differently.

use crate::check::check;
use crate::program::{Alteration, Beats, Call, First, Id, Program, Step, Until, What};
use crate::run::run;
use ukevent_queue::sim::{Faults, Sim};
use ukevent_queue::{
    Builder, Clock, Fd, Interest, Kind, Merge, Mode, Readiness, RegisterError, Token, Wait,
};

/// For each of so many seeds the faults fall differently.
const SEEDS: u64 = 200;
const ALL: usize = usize::MAX;
const READABLE: Readiness = Readiness::READABLE;
const WRITABLE: Readiness = Readiness::WRITABLE;
const NOTHING: Readiness = Readiness::empty();
const MILLISECOND_NS: u64 = 1_000_000;

const NO_FAULTS: Faults = Faults {
    interrupt: 0,
    early: 0,
    end_edge: 0,
    late: 0,
    shuffle: 0,
    short: 0,
    again: 0,
    reset: 0,
    no_memory: 0,
    unasked: 0,
    delay: 0,
};

fn holds(faults: Faults, steps: &[Step]) {
    holds_with(faults, 1 << 20, steps);
}

/// Runs the steps, and then waits often enough for everything to come that was held up.
fn holds_with(faults: Faults, limit: u32, steps: &[Step]) {
    let mut steps = steps.to_vec();
    for _ in 0..5 {
        steps.extend([NOW, Step::Take(ALL)]);
    }
    for seed in 0..SEEDS {
        let program = Program { seed, faults, limit, steps: steps.clone() };
        if let Err(failure) = check(&program, run) {
            panic!("\n{failure}");
        }
    }
}

const NOW: Step = wait(Until::Now, 1, ALL);

const fn wait(until: Until, at_least: usize, at_most: usize) -> Step {
    Step::Wait { until, at_least, at_most }
}

const fn fd(id: Id, descriptor: usize, interest: Interest, mode: Mode) -> Step {
    Step::Register { id, what: What::Fd(descriptor, interest), mode }
}

const fn timer(id: Id, clock: Clock, first: First, period_ns: u64) -> Step {
    let beats = Beats { clock, first, period_ns };
    Step::Register { id, what: What::Timer(beats), mode: Mode::Level }
}

const READ: Interest = Interest::READ;
const WRITE: Interest = Interest::WRITE;

// Arming anew.

#[test]
fn an_edge_whose_watching_ended_is_watched_again() {
    let faults = Faults { end_edge: 100, ..NO_FAULTS };
    let news = [Step::Set(0, READABLE), wait(Until::Ever, 1, ALL), Step::Take(ALL)];
    holds(faults, &[&[fd(0, 0, READ, Mode::Edge)][..], &news, &news, &news].concat());
}

#[test]
fn an_edge_that_ends_late_is_watched_again() {
    let faults = Faults { end_edge: 100, late: 60, ..NO_FAULTS };
    let news = [Step::Set(0, READABLE), NOW, Step::Take(ALL)];
    holds(faults, &[&[fd(0, 0, READ, Mode::Edge)][..], &news, &news, &news, &news].concat());
}

#[test]
fn the_news_of_one_edge_comes_once_only() {
    let news = [Step::Set(0, READABLE), NOW, Step::Take(ALL), NOW, Step::Take(ALL)];
    holds(NO_FAULTS, &[&[fd(0, 0, READ, Mode::Edge)][..], &news, &news].concat());
}

#[test]
fn a_level_comes_in_every_wait_for_as_long_as_it_is_so() {
    let look = [wait(Until::Ever, 1, ALL), Step::Take(ALL)];
    let steps =
        [&[fd(0, 0, READ, Mode::Level), Step::Set(0, READABLE)][..], &look, &look, &look].concat();
    holds(NO_FAULTS, &steps);
    holds(Faults { late: 50, early: 50, interrupt: 30, shuffle: 50, ..NO_FAULTS }, &steps);
}

#[test]
fn what_was_untrue_and_dropped_is_watched_anew() {
    let steps = [
        fd(0, 0, READ, Mode::Level),
        fd(1, 0, READ, Mode::OneShot),
        fd(2, 0, READ, Mode::Dispatch),
        Step::Set(0, READABLE),
        NOW,
        Step::Set(0, NOTHING),
        NOW,
        Step::Take(ALL),
        Step::SetAfter(0, MILLISECOND_NS, READABLE),
        wait(Until::Ever, 3, ALL),
        Step::Take(ALL),
    ];
    holds(NO_FAULTS, &steps);
    holds(Faults { late: 50, shuffle: 50, ..NO_FAULTS }, &steps);
}

#[test]
fn a_dispatched_descriptor_is_looked_at_when_it_is_enabled() {
    let steps = [
        fd(0, 0, READ, Mode::Dispatch),
        Step::Set(0, READABLE),
        NOW,
        Step::Take(ALL),
        NOW,
        Step::Take(ALL),
        Step::Enable(0),
        wait(Until::Ever, 1, ALL),
        Step::Take(ALL),
    ];
    holds(NO_FAULTS, &steps);
    holds(Faults { late: 50, ..NO_FAULTS }, &steps);
}

// Reports that come when nobody waits for them any more.

const LATE: Faults = Faults { late: 100, ..NO_FAULTS };

#[test]
fn a_report_that_comes_after_the_removal_dies() {
    let steps = [
        fd(0, 0, READ, Mode::Level),
        Step::Set(0, READABLE),
        NOW,
        Step::Remove(0),
        // The same slot, another registration, for which nothing is ready.
        fd(1, 0, WRITE, Mode::Level),
        NOW,
        Step::Take(ALL),
    ];
    holds(LATE, &steps);
}

#[test]
fn a_report_that_comes_after_a_change_dies() {
    let change = Alteration { interest: Some(WRITE), ..Alteration::default() };
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let steps = [
            fd(0, 0, READ, mode),
            Step::Set(0, READABLE),
            NOW,
            Step::Modify { id: 0, change },
            NOW,
            Step::Take(ALL),
            Step::Set(0, WRITABLE),
        ];
        holds(LATE, &steps);
    }
}

#[test]
fn a_report_that_comes_while_it_is_disabled_dies() {
    for mode in [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch] {
        let steps = [
            fd(0, 0, READ, mode),
            Step::Set(0, READABLE),
            NOW,
            Step::Disable(0),
            Step::Set(0, NOTHING),
            NOW,
            Step::Take(ALL),
            Step::Enable(0),
            NOW,
            Step::Take(ALL),
        ];
        holds(LATE, &steps);
    }
}

#[test]
fn a_stale_report_is_counted() {
    let sim = Sim::new(1);
    sim.faults(LATE);
    let mut queue = Builder::new().sim(&sim).build().expect("a simulation can always be had");
    let descriptor = sim.descriptor();
    sim.set(&descriptor, READABLE);
    let key = queue.register(Fd::simulated(&descriptor), Token(1), Mode::Level).unwrap();
    assert_eq!(queue.wait(Wait::now()), Ok(0));
    queue.remove(key).unwrap();
    assert_eq!(queue.wait(Wait::now()), Ok(0));
    assert_eq!(queue.counters().stale, 1);
}

#[test]
fn an_untrue_level_is_counted() {
    let sim = Sim::new(1);
    let mut queue = Builder::new().sim(&sim).build().expect("a simulation can always be had");
    let descriptor = sim.descriptor();
    sim.set(&descriptor, READABLE);
    queue.register(Fd::simulated(&descriptor), Token(1), Mode::Level).unwrap();
    assert_eq!(queue.wait(Wait::now()), Ok(1));
    sim.set(&descriptor, NOTHING);
    assert_eq!(queue.wait(Wait::now()), Ok(0));
    assert_eq!(queue.counters().untrue, 1);
}

// What an event that waits is joined by.

#[test]
fn an_edge_that_waits_gathers_all_that_was_new() {
    let steps = [
        fd(0, 0, READ.union(WRITE), Mode::Edge),
        Step::Set(0, READABLE),
        NOW,
        Step::Set(0, WRITABLE),
        NOW,
        Step::Take(ALL),
    ];
    holds(NO_FAULTS, &steps);
    holds(Faults { late: 50, end_edge: 50, ..NO_FAULTS }, &steps);
}

#[test]
fn urgent_data_does_not_cost_an_edge_what_it_said_before() {
    let interest = Interest::PRIORITY.union(Interest::PEER_CLOSED);
    let steps = [
        fd(0, 0, interest, Mode::Edge),
        Step::Set(0, Readiness::ERROR | Readiness::PEER_CLOSED),
        NOW,
        Step::Set(0, READABLE | Readiness::PRIORITY),
        NOW,
        Step::Take(ALL),
    ];
    holds(NO_FAULTS, &steps);
}

// The line.

#[test]
fn what_was_let_out_and_not_taken_comes_first() {
    let steps = [
        fd(0, 0, READ, Mode::Level),
        fd(1, 1, READ, Mode::Edge),
        fd(2, 2, READ, Mode::Level),
        Step::Set(1, READABLE),
        NOW,
        Step::Set(0, READABLE),
        Step::Set(2, READABLE),
        wait(Until::Now, 1, 1),
        Step::Take(1),
        wait(Until::Now, 1, 2),
        Step::Take(ALL),
    ];
    holds(NO_FAULTS, &steps);
    holds(Faults { shuffle: 100, ..NO_FAULTS }, &steps);
}

#[test]
fn many_posts_of_one_source_keep_no_other_waiting() {
    let each = |id| Step::Register { id, what: What::Each(8), mode: Mode::Level };
    let steps = [
        each(0),
        each(1),
        Step::Post(0, 1),
        Step::Post(0, 2),
        Step::Post(0, 3),
        Step::Post(1, 4),
        wait(Until::Now, 4, ALL),
        Step::Take(ALL),
    ];
    holds(NO_FAULTS, &steps);
}

#[test]
fn a_change_between_wait_and_take_lets_nothing_out_that_was_not() {
    let steps = [
        fd(0, 1, WRITE, Mode::Level),
        Step::Register { id: 6, what: What::Merged(Merge::Sum), mode: Mode::Level },
        Step::Post(6, 1),
        Step::Set(1, WRITABLE),
        NOW,
        Step::Set(1, NOTHING),
        wait(Until::Now, 1, 1),
        Step::Remove(6),
        Step::Take(ALL),
    ];
    holds(NO_FAULTS, &steps);
}

#[test]
fn looks_again_at_more_than_one_if_the_first_is_untrue() {
    let steps = [
        fd(0, 0, READ, Mode::Level),
        fd(1, 1, READ, Mode::Level),
        fd(2, 2, READ, Mode::Level),
        Step::Set(0, READABLE),
        Step::Set(1, READABLE),
        Step::Set(2, READABLE),
        NOW,
        Step::Set(0, NOTHING),
        Step::Set(1, NOTHING),
        wait(Until::Now, 1, 1),
        Step::Take(ALL),
    ];
    holds(NO_FAULTS, &steps);
}

#[test]
fn disabling_and_enabling_again_makes_no_second_entry() {
    let steps = [
        fd(0, 0, READ, Mode::Level),
        Step::Set(0, READABLE),
        NOW,
        Step::Disable(0),
        Step::Enable(0),
        NOW,
        Step::Set(0, NOTHING),
        NOW,
        Step::Take(ALL),
    ];
    holds(NO_FAULTS, &steps);
}

#[test]
fn what_is_enabled_again_does_not_confuse_what_was_let_out() {
    let each = |id| Step::Register { id, what: What::Each(4), mode: Mode::Level };
    let post = |id| Step::Post(id, 1);
    for taken in 0..3 {
        let steps = [
            each(0),
            each(1),
            each(2),
            each(3),
            post(0),
            post(1),
            post(2),
            post(3),
            wait(Until::Now, 1, 3),
            // It keeps its place at the head, and was not let out.
            Step::Disable(0),
            Step::Enable(0),
            Step::Take(taken),
            wait(Until::Now, 1, 1),
            Step::Remove(1),
            Step::Remove(2),
            Step::Take(ALL),
        ];
        holds(NO_FAULTS, &steps);
    }
}

// Waiting.

#[test]
fn a_time_that_is_past_never_blocks_on_any_clock() {
    for clock in [Clock::Monotonic, Clock::Boot, Clock::Wall] {
        holds(NO_FAULTS, &[wait(Until::At(clock, -5), 1, ALL), wait(Until::At(clock, 0), 1, ALL)]);
    }
}

#[test]
fn a_full_queue_can_wait_until_a_time_of_any_clock() {
    let until = |clock| wait(Until::At(clock, MILLISECOND_NS.cast_signed()), 1, ALL);
    let steps = [
        Step::Register { id: 0, what: What::Each(2), mode: Mode::Level },
        until(Clock::Wall),
        until(Clock::Boot),
        Step::Remove(0),
        Step::Register { id: 1, what: What::Each(2), mode: Mode::Level },
        // One too many: refused.
        Step::Register { id: 2, what: What::Each(2), mode: Mode::Level },
    ];
    holds_with(NO_FAULTS, 1, &steps);
}

#[test]
fn the_slot_of_a_deadline_is_nobodys() {
    let mut steps = vec![wait(Until::At(Clock::Boot, MILLISECOND_NS.cast_signed()), 1, ALL)];
    for call in [Call::Modify, Call::Disable, Call::Enable, Call::Poster, Call::Remove] {
        steps.push(Step::Forge { index: 0, generation: 1, call });
    }
    holds(NO_FAULTS, &steps);
}

#[test]
fn a_waker_ends_a_wait_even_if_it_is_gone() {
    holds(NO_FAULTS, &[Step::Wake, wait(Until::Within(MILLISECOND_NS), 1, ALL)]);
}

#[test]
fn what_became_untrue_while_waiting_for_more_is_dropped() {
    let steps = [
        fd(0, 0, READ, Mode::Level),
        fd(1, 1, READ, Mode::Level),
        Step::Set(0, READABLE),
        Step::SetAfter(0, 1, NOTHING),
        Step::SetAfter(1, MILLISECOND_NS, READABLE),
        Step::SetAfter(0, 2 * MILLISECOND_NS, READABLE),
        wait(Until::Ever, 2, ALL),
        Step::Take(ALL),
    ];
    holds(NO_FAULTS, &steps);
}

#[test]
fn interruptions_and_early_returns_lose_nothing() {
    let faults = Faults { interrupt: 40, early: 40, shuffle: 40, ..NO_FAULTS };
    let steps = [
        fd(0, 0, READ, Mode::Edge),
        timer(1, Clock::Monotonic, First::After(MILLISECOND_NS), MILLISECOND_NS),
        Step::SetAfter(0, 3 * MILLISECOND_NS, READABLE),
        wait(Until::Ever, 2, ALL),
        Step::Take(ALL),
        wait(Until::Ever, 1, ALL),
        Step::Take(ALL),
        wait(Until::Ever, 1, ALL),
        Step::Take(ALL),
    ];
    holds(faults, &steps);
}

// Timers.

#[test]
fn every_beat_is_counted() {
    let steps = [
        timer(0, Clock::Monotonic, First::After(MILLISECOND_NS), 22),
        Step::Advance(1_800_000 * MILLISECOND_NS),
        NOW,
        Step::Take(ALL),
        Step::Advance(MILLISECOND_NS),
    ];
    holds(NO_FAULTS, &steps);
}

#[test]
fn a_timer_follows_its_clock() {
    let second_ns = 1_000 * MILLISECOND_NS;
    for clock in [Clock::Monotonic, Clock::Boot, Clock::Wall] {
        let steps = [
            timer(0, clock, First::After(10 * second_ns), second_ns),
            Step::Suspend(5 * second_ns),
            NOW,
            Step::SetWall(-3_600 * second_ns.cast_signed()),
            wait(Until::Within(7 * second_ns), 1, ALL),
            Step::Take(ALL),
            Step::SetWall(3_600 * second_ns.cast_signed()),
            wait(Until::Within(7 * second_ns), 1, ALL),
            Step::Take(ALL),
        ];
        holds(NO_FAULTS, &steps);
    }
}

#[test]
fn a_wall_clock_beyond_the_wheel_does_not_hang() {
    let sim = Sim::new(1);
    let mut queue = Builder::new().sim(&sim).build().expect("a simulation can always be had");
    let year = std::time::Duration::from_secs(365 * 24 * 3600);
    sim.set_wall_clock(200 * year);
    let soon = ukevent_queue::Timer::after(std::time::Duration::from_micros(16)).on(Clock::Wall);
    queue.register(soon, Token(1), Mode::OneShot).unwrap();
    assert_eq!(queue.wait(Wait::within(std::time::Duration::from_secs(1))), Ok(1));
    let event = queue.next_event().expect("there is one");
    assert!(matches!(event.kind, Kind::Timer(expired) if expired.expirations == 1));
}

// What a simulation has not.

#[test]
fn a_simulation_has_no_descriptor() {
    let sim = Sim::new(1);
    let mut queue = Builder::new().sim(&sim).build().expect("a simulation can always be had");
    assert!(matches!(queue.descriptor(), Err(RegisterError::Unsupported { .. })));
}

// The check itself.

#[test]
fn a_failing_program_is_made_small() {
    // It fails wherever descriptor 2 becomes readable, whatever stands around it.
    let fails = |program: &Program| {
        program
            .steps
            .iter()
            .position(|step| matches!(step, Step::Set(2, ready) if *ready == READABLE))
    };
    let seed = (0..).find(|&seed| fails(&crate::generate::program(seed)).is_some_and(|at| at > 20));
    let program = crate::generate::program(seed.expect("some program does so late"));
    let least = crate::shrink::shrink(&program, fails);
    assert_eq!(least.steps, [Step::Set(2, READABLE)]);
    assert_eq!(least.faults, NO_FAULTS);
}

#[test]
fn a_seed_always_makes_the_same_program() {
    for seed in 0..100 {
        assert!(crate::generate::program(seed) == crate::generate::program(seed));
    }
}
