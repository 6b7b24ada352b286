//! A short, bounded run of every target, or of those named: first on the inputs that once failed, then
//! on the seeds and what chance makes of them.
//!
//! It needs no nightly compiler, no fuzzer and no corpus, so CI can run it always. It has no feedback
//! either: it finds what is shallow, and that the targets themselves work. `UKEVENT_SEED` repeats a
//! run.
#![forbid(unsafe_code)]

use std::{
    env, fs, panic,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use testkit::Rng;
use ukevent_fuzz::{TARGETS, Target};

/// Inputs that chance makes for each target.
const CASES: u64 = 500_000;

/// No input may take this long: a parser that does hangs, or is a way to make a server hang.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).collect();
    if let Some(unknown) = names.iter().find(|name| TARGETS.iter().all(|it| it.name != **name)) {
        eprintln!("there is no target {unknown:?}\n\nUsage: smoke [TARGET…]");
        return ExitCode::from(2);
    }
    let seed = testkit::seed();
    let mut total = 0;
    for target in TARGETS.iter().filter(|it| names.is_empty() || names.iter().any(|n| n == it.name))
    {
        match watched(target, seed) {
            Ok(cases) => total += cases,
            Err(why) => {
                eprintln!("{}: {why}", target.name);
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{total} inputs, seed {seed:#x}");
    ExitCode::SUCCESS
}

/// Runs a target on a thread of its own and looks on: a case that hangs can be told only from outside.
fn watched(target: &'static Target, seed: u64) -> Result<u64, String> {
    let done = Arc::new(AtomicU64::new(0));
    let worker = thread::spawn({
        let done = Arc::clone(&done);
        move || run(target, seed, &done)
    });
    let mut last = (0, Instant::now());
    while !worker.is_finished() {
        thread::sleep(Duration::from_millis(20));
        let now = done.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        } else if last.1.elapsed() > PATIENCE {
            return Err(format!("input {now} of seed {seed:#x} takes more than {PATIENCE:?}"));
        }
    }
    worker.join().unwrap_or_else(|_| Err("failed outside of a case".to_owned()))
}

fn run(target: &Target, seed: u64, done: &AtomicU64) -> Result<u64, String> {
    let count = || done.fetch_add(1, Ordering::Relaxed);
    for (path, input) in target.regressions().map_err(|error| error.to_string())? {
        panic::catch_unwind(|| (target.run)(&input))
            .map_err(|_| format!("fails again on {}", path.display()))?;
        count();
    }
    let mut rng = Rng::new(seed);
    for case in 0..target.seeds.len() as u64 + CASES {
        // The seeds as they are come first: what is good must be no failure.
        let input = match target.seeds.get(case as usize) {
            Some(seed) => seed.to_vec(),
            None => target.input(&mut rng),
        };
        panic::catch_unwind(|| (target.run)(&input)).map_err(|_| report(target, &input))?;
        count();
    }
    Ok(done.load(Ordering::Relaxed))
}

/// Keeps an input that failed and says how to repeat it.
fn report(target: &Target, input: &[u8]) -> String {
    let shown = input.escape_ascii();
    match keep(target, input) {
        Ok(path) => {
            let (name, path) = (target.name, path.display());
            format!("failed on\n{shown}\ncargo run --release --bin {name} {path} repeats it")
        }
        Err(error) => format!("failed on\n{shown}\nwhich could not be kept: {error}"),
    }
}

fn keep(target: &Target, input: &[u8]) -> std::io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(target.name);
    fs::create_dir_all(&folder)?;
    let path = folder.join("smoke");
    fs::write(&path, input)?;
    Ok(path)
}
