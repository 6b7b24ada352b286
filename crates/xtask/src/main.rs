//! The checks of this project: `cargo xtask ci` is everything that CI does.
//!
//! Each check is a step with a name; `cargo xtask NAME` runs one alone. A step is a function that
//! passes, skips aloud or fails with what there is to read. `steps.rs` is the list, `house/` holds the
//! rules that no compiler knows, `licences.rs` those of other people's code.
#![forbid(unsafe_code)]

mod asan_step;
mod house;
mod licences;
mod project;
mod steps;
mod tests_step;
mod tsan_step;

use project::Project;
use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};
use steps::{Outcome, STEPS, Step};

/// What was asked for.
#[derive(Debug, PartialEq)]
enum Request {
    Help,
    /// All steps that the mode has.
    Ci(Mode),
    /// One step, with its output as it comes.
    One(&'static str),
}

/// Which steps make up a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Full,
    Quick,
    WithoutTests,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match request(&arguments) {
        Ok(Request::Help) => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        Ok(Request::Ci(mode)) => exit_code(ci(mode)),
        Ok(Request::One(name)) => exit_code(one(name)),
        Err(wrong) => {
            eprint!("{wrong}\n\n{}", help());
            ExitCode::from(2)
        }
    }
}

fn request(arguments: &[String]) -> Result<Request, String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => Err("what shall be checked?".to_owned()),
        ["-h" | "--help" | "help", ..] | [_, "-h" | "--help"] => Ok(Request::Help),
        ["ci"] => Ok(Request::Ci(Mode::Full)),
        ["ci", "--quick"] => Ok(Request::Ci(Mode::Quick)),
        ["ci", "--without-tests"] => Ok(Request::Ci(Mode::WithoutTests)),
        [name] => match STEPS.iter().find(|step| step.name == name) {
            Some(step) => Ok(Request::One(step.name)),
            None => Err(format!("there is no step {name:?}")),
        },
        _ => Err(format!("wrong usage: cargo xtask {}", words.join(" "))),
    }
}

fn help() -> String {
    let mut text = "\
Usage: cargo xtask ci [--quick | --without-tests]
       cargo xtask STEP

ci runs these steps in turn, up to the first that fails; --quick only those with a star, in less than
two minutes:

"
    .to_owned();
    for step in STEPS {
        let star = if step.quick { '*' } else { ' ' };
        text += &format!("  {star} {:<9} {}\n", step.name, step.what);
    }
    text + "\nEnds with 0 if all is well, 1 if a step failed, 2 if it was called wrongly.\n"
}

fn exit_code(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one step. What it runs writes for itself; only what nobody has written yet is printed.
fn one(name: &str) -> Result<(), String> {
    let step = STEPS.iter().find(|step| step.name == name).ok_or("no such step")?;
    match (step.run)(&Project::find(Mode::Full, true)?)? {
        Outcome::Passed(note) if note.is_empty() => println!("{name}: ok"),
        Outcome::Passed(note) => println!("{note}"),
        Outcome::Skipped(why) => println!("{name}: SKIPPED: {why}"),
    }
    Ok(())
}

/// Runs the steps of a mode up to the first that fails, one line each.
fn ci(mode: Mode) -> Result<(), String> {
    let project = Project::find(mode, false)?;
    let steps: Vec<&Step> = STEPS.iter().filter(|step| step.belongs_to(mode)).collect();
    let start = Instant::now();
    let mut skipped = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        print!("{:<9}", step.name);
        // The name is to be seen while the step runs; a closed terminal is no reason to stop.
        let _ = io::stdout().flush();
        let began = Instant::now();
        let outcome = (step.run)(&project);
        let took = seconds(began.elapsed());
        match outcome {
            Ok(Outcome::Passed(note)) => {
                // The last line says it all; what comes before is for the curious.
                let (more, last) = note.rsplit_once('\n').unwrap_or(("", &note));
                println!("{took:>9}  ok       {last}");
                more.lines().for_each(|line| println!("{:20} {line}", ""));
            }
            Ok(Outcome::Skipped(why)) => {
                println!("{took:>9}  SKIPPED  {why}");
                skipped.push(step.name);
            }
            Err(output) => {
                println!("{took:>9}  FAILED\n\n{}\n", output.trim_end());
                return Err(verdict_of_failure(step.name, &steps[index + 1..]));
            }
        }
    }
    let ran = steps.len() - skipped.len();
    print!("\nci: {ran} steps ok in {}", seconds(start.elapsed()));
    match skipped[..] {
        [] => println!(),
        _ => println!("; skipped: {}", skipped.join(", ")),
    }
    Ok(())
}

fn verdict_of_failure(failed: &str, left: &[&Step]) -> String {
    let left: Vec<&str> = left.iter().map(|step| step.name).collect();
    let not_run = if left.is_empty() { "none".to_owned() } else { left.join(", ") };
    format!("ci: {failed} failed; not run: {not_run}. `cargo xtask {failed}` repeats it.")
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::{Mode, Request, STEPS, help, request, verdict_of_failure};

    fn asked(line: &str) -> Result<Request, String> {
        request(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn understands_what_is_asked() {
        assert_eq!(asked("ci"), Ok(Request::Ci(Mode::Full)));
        assert_eq!(asked("ci --quick"), Ok(Request::Ci(Mode::Quick)));
        assert_eq!(asked("ci --without-tests"), Ok(Request::Ci(Mode::WithoutTests)));
        assert_eq!(asked("test"), Ok(Request::One("test")));
        assert_eq!(asked("--help"), Ok(Request::Help));
        assert_eq!(asked("ci --help"), Ok(Request::Help));
    }

    #[test]
    fn refuses_the_rest() {
        for line in ["", "cj", "ci --slow", "ci --quick --without-tests", "test fmt", "--quick"] {
            assert!(asked(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn modes_have_their_steps() {
        let names = |mode| -> Vec<&str> {
            STEPS.iter().filter(|step| step.belongs_to(mode)).map(|step| step.name).collect()
        };
        assert_eq!(names(Mode::Full).len(), STEPS.len());
        assert_eq!(names(Mode::Quick), ["fmt", "house", "clippy", "test"]);
        assert!(!names(Mode::WithoutTests).contains(&"test"));
        assert_eq!(names(Mode::WithoutTests).len(), STEPS.len() - 1);
    }

    #[test]
    fn help_names_every_step() {
        assert!(STEPS.iter().all(|step| help().contains(step.what)));
    }

    #[test]
    fn a_failure_names_what_was_not_run() {
        let verdict = verdict_of_failure(STEPS[0].name, &[&STEPS[1]]);
        assert!(verdict.contains(STEPS[0].name) && verdict.contains(STEPS[1].name));
    }
}
