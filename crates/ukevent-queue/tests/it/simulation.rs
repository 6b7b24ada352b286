//! What only a simulation can show: clocks that are set, a machine that is suspended, hours that
//! pass at once, and kernels that misbehave.

use crate::bench::{A, B, C, Door, batch, next, now, now_sorted, silent, tokens, wait};
use std::time::Duration;
use ukevent_queue::{
    Builder, Clock, Mode, Queue, Readiness, Timer, Token, Wait, WaitError,
    sim::{Faults, Sim},
};

const HOUR: Duration = Duration::from_secs(3600);

fn queue(sim: &Sim) -> Queue {
    Builder::new().sim(sim).build().unwrap()
}

#[test]
fn hours_pass_at_once() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    queue.register(Timer::every(HOUR), A, Mode::Level).unwrap();
    for _ in 0..24 {
        assert_eq!(next_whenever(&mut queue).token, A);
    }
    assert!(sim.elapsed() >= HOUR * 24 && sim.elapsed() < HOUR * 25);
}

/// One event, however long it takes: that costs nothing here.
fn next_whenever(queue: &mut Queue) -> ukevent_queue::Event {
    batch(queue, Wait::forever().at_most(1)).pop().unwrap()
}

#[test]
fn a_wait_that_nothing_can_end_says_so() {
    let mut queue = queue(&Sim::new(1));
    let error = wait(&mut queue, Wait::forever()).unwrap_err();
    assert!(matches!(error, WaitError::Kernel(_)), "{error:?}");
}

#[test]
fn what_happens_later_ends_the_sleep_then() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let descriptor = sim.descriptor();
    let door = Door::Simulated(sim.clone(), descriptor.clone());
    queue.register(door.source(), A, Mode::Level).unwrap();
    sim.set_after(HOUR, &descriptor, Readiness::READABLE);
    sim.set_after(HOUR * 2, &descriptor, Readiness::empty());
    assert_eq!(wait(&mut queue, Wait::within(HOUR / 2)), Ok(0));
    assert_eq!(next_whenever(&mut queue).token, A);
    assert_eq!(sim.elapsed(), HOUR);
    sim.advance(HOUR);
    silent(&mut queue);
}

#[test]
fn a_wall_clock_set_forward_fires_what_is_due_by_it() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let noon = queue.time(Clock::Wall) + HOUR;
    queue.register(Timer::at(Clock::Wall, noon), A, Mode::Level).unwrap();
    queue.register(Timer::after(HOUR), B, Mode::Level).unwrap();
    queue.register(Timer::after(HOUR).on(Clock::Boot), C, Mode::Level).unwrap();
    silent(&mut queue);
    sim.set_wall_clock(noon + Duration::from_secs(1));
    assert_eq!(now(&mut queue), [A], "the other clocks were not set");
    assert_eq!(tokens(&batch(&mut queue, Wait::forever().at_least(2))).len(), 2);
    assert!(sim.elapsed() >= HOUR);
}

#[test]
fn a_wall_clock_set_back_puts_off_what_was_due_by_it() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let noon = queue.time(Clock::Wall) + HOUR;
    queue.register(Timer::at(Clock::Wall, noon), A, Mode::Level).unwrap();
    silent(&mut queue);
    sim.set_wall_clock(noon - HOUR * 3);
    assert_eq!(wait(&mut queue, Wait::within(HOUR * 2)), Ok(0));
    assert_eq!(next_whenever(&mut queue).token, A);
    assert!(queue.time(Clock::Wall) >= noon);
    assert!(sim.elapsed() >= HOUR * 3);
}

#[test]
fn a_wall_clock_set_to_and_fro_fires_once() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let noon = queue.time(Clock::Wall) + HOUR;
    let timer = Timer::at(Clock::Wall, noon).repeat(HOUR * 24);
    queue.register(timer, A, Mode::Level).unwrap();
    sim.set_wall_clock(noon + Duration::from_secs(1));
    assert_eq!(crate::bench::expirations(&next(&mut queue)), 1);
    sim.set_wall_clock(noon - Duration::from_secs(1));
    silent(&mut queue);
    sim.set_wall_clock(noon + Duration::from_secs(2));
    silent(&mut queue);
    sim.set_wall_clock(noon + HOUR * 48 + Duration::from_secs(1));
    assert_eq!(crate::bench::expirations(&next(&mut queue)), 2);
}

#[test]
fn a_suspended_machine_goes_on_by_boot_time_only() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    queue.register(Timer::after(HOUR), A, Mode::Level).unwrap();
    queue.register(Timer::after(HOUR).on(Clock::Boot), B, Mode::Level).unwrap();
    queue.register(Timer::after(HOUR).on(Clock::Wall), C, Mode::Level).unwrap();
    silent(&mut queue);
    sim.suspend(HOUR * 2);
    assert_eq!(now_sorted(&mut queue), [B, C]);
    assert_eq!(next_whenever(&mut queue).token, A);
}

#[test]
fn deadlines_of_waits_follow_their_clocks() {
    let sim = Sim::new(1);
    let mut queue = queue(&sim);
    let noon = queue.time(Clock::Wall) + HOUR;
    sim.set_wall_clock(noon + HOUR);
    let before = sim.elapsed();
    assert_eq!(wait(&mut queue, Wait::until(Clock::Wall, noon)), Ok(0));
    assert_eq!(sim.elapsed(), before, "it was over");
    sim.set_wall_clock(noon - HOUR);
    assert_eq!(wait(&mut queue, Wait::until(Clock::Wall, noon)), Ok(0));
    assert!(sim.elapsed() >= before + HOUR);
    let dawn = queue.time(Clock::Boot) + HOUR;
    sim.suspend(HOUR * 2);
    let before = sim.elapsed();
    assert_eq!(wait(&mut queue, Wait::until(Clock::Boot, dawn)), Ok(0));
    assert_eq!(sim.elapsed(), before, "it was over");
}

/// Descriptors in all modes under a kernel with faults: whatever is made ready comes, and nothing
/// comes of what was removed.
fn all_comes_in_spite_of(faults: Faults) {
    for seed in 0..50 {
        let sim = Sim::new(seed);
        sim.faults(faults);
        let mut queue = queue(&sim);
        let modes = [Mode::Level, Mode::Edge, Mode::OneShot, Mode::Dispatch];
        let doors: Vec<Door> =
            (0..8).map(|_| Door::Simulated(sim.clone(), sim.descriptor())).collect();
        let gone = Door::Simulated(sim.clone(), sim.descriptor());
        for round in 0..10 {
            let mut missing = Vec::new();
            let mut keys = Vec::new();
            for ((door, token), mode) in doors.iter().zip(1_u64..).zip(modes.iter().cycle()) {
                keys.push(queue.register(door.source(), Token(token), *mode).unwrap());
                missing.push(Token(token));
            }
            let dead = queue.register(gone.source(), Token(99), modes[round % 4]).unwrap();
            gone.knock();
            if round % 2 == 0 {
                let _ = queue.wait(Wait::now().at_most(1));
            }
            queue.remove(dead).unwrap();
            doors.iter().for_each(Door::knock);
            for _ in 0..1_000 {
                match queue.wait(Wait::within(HOUR).at_most(3)) {
                    Ok(_) | Err(WaitError::Interrupted) => {}
                    Err(error) => panic!("seed {seed}: {error}"),
                }
                while let Some(event) = queue.next_event() {
                    assert_ne!(event.token, Token(99), "seed {seed}: it was removed");
                    missing.retain(|token| *token != event.token);
                }
                if missing.is_empty() {
                    break;
                }
            }
            assert!(missing.is_empty(), "seed {seed}, {faults:?}: {missing:?}");
            for key in keys {
                let _ = queue.remove(key);
            }
            doors.iter().for_each(Door::answer);
        }
    }
}

#[test]
fn reports_that_come_late_are_no_loss_and_no_ghosts() {
    all_comes_in_spite_of(Faults { late: 50, ..Faults::default() });
}

#[test]
fn reports_that_come_in_another_order_are_no_loss() {
    all_comes_in_spite_of(Faults { shuffle: 100, ..Faults::default() });
}

#[test]
fn waits_that_end_early_are_no_loss() {
    all_comes_in_spite_of(Faults { early: 50, interrupt: 30, ..Faults::default() });
}

#[test]
fn edges_that_the_kernel_ends_are_armed_anew() {
    all_comes_in_spite_of(Faults { end_edge: 80, ..Faults::default() });
}

#[test]
fn everything_at_once_is_no_loss() {
    all_comes_in_spite_of(Faults { interrupt: 20, early: 20, end_edge: 50, late: 30, shuffle: 50 });
}
