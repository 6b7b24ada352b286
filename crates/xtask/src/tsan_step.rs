//! The step `tsan`: what several threads do to one queue, under ThreadSanitizer, which ends a test in which two threads
//! touch the same memory without an order between them.
//!
//! It sees only what is instrumented, so the standard library is built with it; that takes a nightly with its source
//! (`rust-src`). The tests are those of the shared queue: its parts, the semantic suite through it, and its own. Source:
//! <https://doc.rust-lang.org/beta/unstable-book/compiler-flags/sanitizer.html>.

use crate::{
    asan_step::{nightly, nightly_host},
    project::Project,
    steps::Outcome,
    tests_step::{self, Count},
};
use std::{fs, path::Path};

/// The tests in which threads share something of the queue's, by parts of their names. All in one process of the test
/// runner's: starting one takes a second under the sanitizer.
const TESTS: &str = "shared::ring shared::claims post:: posts:: sleepers:: many:: modes::in_company losses::in_company waits::in_company";

/// What is left out, by part of its name: the sanitizer keeps a signal back until the thread that has it calls something
/// that it knows, which a thread that waits for a futex does not. Under AddressSanitizer it runs.
const LEFT_OUT: &str = "signals_come_to_the_waiter_that_registered_them";

pub(crate) fn run(project: &Project) -> Result<Outcome, String> {
    let Some(host) = nightly_host(&project.root) else {
        return Ok(Outcome::Skipped("no nightly compiler is installed".to_owned()));
    };
    if !has_source(project) {
        let why = "the nightly's source is not installed: rustup component add rust-src --toolchain nightly";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    let skip_log = project.target.join("skipped-tests-tsan");
    tests_step::clear(&skip_log)?;
    let mut command = nightly(&project.root);
    command.args(["cargo", "test", "--package", "ukevent-queue", "--lib", "--test", "it"]);
    command.args(["--target", &host, "-Zbuild-std", "--"]).args(TESTS.split(' '));
    command.args(["--skip", LEFT_OUT]);
    command.env("RUSTFLAGS", "-Zsanitizer=thread");
    command.env("CARGO_TARGET_DIR", project.target.join("tsan"));
    // Enough to name the line of an error.
    command.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    command.env("UKEVENT_SKIP_LOG", &skip_log);
    let (ended_well, output) = project.run_for_output(command)?;
    let count = Count::read(&output);
    if !ended_well || count.passed == 0 {
        let unseen = if project.live { String::new() } else { output };
        return Err(format!("{unseen}\n{count}"));
    }
    let skipped = fs::read_to_string(&skip_log).unwrap_or_default();
    tests_step::verdict(count, &skipped, project.is_ci)
}

/// Whether the standard library can be built.
fn has_source(project: &Project) -> bool {
    let Ok(output) = nightly(&project.root).args(["rustc", "--print", "sysroot"]).output() else {
        return false;
    };
    let root = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Path::new(&root).join("lib/rustlib/src/rust/library").is_dir()
}
