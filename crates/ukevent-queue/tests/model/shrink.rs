//! Makes a failing program smaller: leaves out steps and faults, and makes what is left simpler, as
//! long as it still fails.

use crate::program::{Alteration, First, Program, Simplify, Step, Until, What};
use ukevent_queue::Mode;
use ukevent_queue::sim::Faults;

/// The smallest program that still fails. `fails` says at which step a program does.
pub(crate) fn shrink<S: Simplify>(
    program: &Program<S>,
    fails: impl Fn(&Program<S>) -> Option<usize>,
) -> Program<S> {
    let mut best = program.clone();
    loop {
        let before = best.clone();
        leave_out_steps(&mut best, &fails);
        leave_out_faults(&mut best, &fails);
        simplify(&mut best, &fails);
        if best == before {
            return best;
        }
    }
}

/// Takes `candidate` if it fails too; what comes after the failure is left out.
fn try_out<S: Simplify>(
    best: &mut Program<S>,
    mut candidate: Program<S>,
    fails: &impl Fn(&Program<S>) -> Option<usize>,
) -> bool {
    let Some(at) = fails(&candidate) else { return false };
    candidate.steps.truncate(at + 1);
    *best = candidate;
    true
}

/// First half of all steps at once, then ever fewer.
fn leave_out_steps<S: Simplify>(
    best: &mut Program<S>,
    fails: &impl Fn(&Program<S>) -> Option<usize>,
) {
    let mut chunk = best.steps.len().div_ceil(2).max(1);
    loop {
        let mut at = best.steps.len();
        while at > 0 {
            at = at.saturating_sub(chunk);
            let mut candidate = best.clone();
            candidate.steps.drain(at..(at + chunk).min(candidate.steps.len()));
            try_out(best, candidate, fails);
            at = at.min(best.steps.len());
        }
        if chunk == 1 {
            return;
        }
        chunk /= 2;
    }
}

fn leave_out_faults<S: Simplify>(
    best: &mut Program<S>,
    fails: &impl Fn(&Program<S>) -> Option<usize>,
) {
    let faults = best.faults;
    for fewer in [
        Faults { interrupt: 0, ..faults },
        Faults { early: 0, ..faults },
        Faults { end_edge: 0, ..faults },
        Faults { late: 0, ..faults },
        Faults { shuffle: 0, ..faults },
        Faults { short: 0, ..faults },
        Faults { again: 0, ..faults },
        Faults { reset: 0, ..faults },
        Faults { no_memory: 0, ..faults },
        Faults { unasked: 0, ..faults },
        Faults { delay: 0, ..faults },
    ] {
        if fewer != faults && try_out(best, Program { faults: fewer, ..best.clone() }, fails) {
            return leave_out_faults(best, fails);
        }
    }
    let limit = 1 << 20;
    if best.limit != limit {
        try_out(best, Program { limit, ..best.clone() }, fails);
    }
}

fn simplify<S: Simplify>(best: &mut Program<S>, fails: &impl Fn(&Program<S>) -> Option<usize>) {
    let mut at = 0;
    while at < best.steps.len() {
        for step in simpler(best.steps[at]) {
            let mut candidate = best.clone();
            candidate.steps[at] = step;
            if try_out(best, candidate, fails) {
                break;
            }
        }
        at += 1;
    }
}

/// What might do in place of a step, the simplest first; nothing that is not simpler, or shrinking
/// would go in circles.
fn simpler<S: Simplify>(step: S) -> impl Iterator<Item = S> {
    step.simple_forms().into_iter().take_while(move |&form| form != step)
}

impl Simplify for Step {
    fn simple_forms(self) -> Vec<Self> {
        match self {
            Step::Register { id, what, mode } => {
                let mut steps = vec![Step::Register { id, what, mode: Mode::Level }];
                if let What::Timer(beats) = what {
                    let first = First::After(1);
                    for beats in [
                        crate::program::Beats { period_ns: 0, first, ..beats },
                        crate::program::Beats { period_ns: 0, ..beats },
                        crate::program::Beats { first, ..beats },
                    ] {
                        steps.push(Step::Register { id, what: What::Timer(beats), mode });
                    }
                }
                steps
            }
            Step::Modify { id, change } => {
                let mut forms = vec![
                    Alteration::default(),
                    Alteration { token: None, ..change },
                    Alteration { mode: None, ..change },
                    Alteration { interest: None, ..change },
                    Alteration { timer: None, ..change },
                ];
                forms.retain(|&form| form != change);
                forms.into_iter().map(|change| Step::Modify { id, change }).collect()
            }
            Step::SetAfter(descriptor, _, ready) => {
                vec![Step::Set(descriptor, ready), Step::SetAfter(descriptor, 1, ready)]
            }
            Step::Post(id, _) => vec![Step::Post(id, 1)],
            Step::Wait { until, at_least, at_most } => vec![
                Step::Wait { until: Until::Now, at_least: 1, at_most: usize::MAX },
                Step::Wait { until, at_least: 1, at_most: usize::MAX },
                Step::Wait { until: Until::Now, at_least: 1, at_most },
                Step::Wait { until, at_least, at_most: usize::MAX },
                Step::Wait { until, at_least: at_least.min(2), at_most },
            ],
            Step::Take(_) => vec![Step::Take(usize::MAX), Step::Take(1)],
            _ => Vec::new(),
        }
    }
}
