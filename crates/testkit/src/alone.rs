//! A process of one's own for tests that share one badly.
//!
//! `cargo test` runs the tests of a binary as threads of one process, where the descriptors of one
//! test are in the count of another and a blocked signal is blocked for all. `cargo nextest` starts
//! a process for each test. [`alone`] gives such a test the second in both cases.

use std::{env, process::Command, thread};

/// Set in the process that [`alone`] starts, to the name of the test.
pub(crate) const ALONE: &str = "UKEVENT_ALONE";

/// Runs `body` with no other test beside it in the process.
///
/// Where the runner already sees to that (nextest, or `--test-threads=1`) it calls `body`. Else it
/// starts this test binary again for the calling test only, and `body` runs there. To be called on
/// the test's own thread, around the whole test.
///
/// # Panics
///
/// If the test failed in its own process; what it printed is printed first.
///
/// ```no_run
/// #[test]
/// fn a_queue_closes_what_it_opened() {
///     testkit::alone(|| {
///         let before = testkit::fd_count();
///         // build it, drop it
///         assert_eq!(testkit::fd_count(), before);
///     });
/// }
/// ```
pub fn alone(body: impl FnOnce()) {
    let thread = thread::current();
    // libtest names the thread of a test after it, and runs tests on "main" one after another.
    match thread.name() {
        Some(test) if test != "main" && !runs_alone() => run_again(test),
        _ => body(),
    }
}

/// Whether no other test runs beside the calling one in this process. Only a test's own thread knows.
pub(crate) fn is_alone() -> bool {
    runs_alone() || thread::current().name() == Some("main")
}

fn runs_alone() -> bool {
    env::var_os(ALONE).is_some()
        || env::var("NEXTEST_EXECUTION_MODE").is_ok_and(|mode| mode == "process-per-test")
}

fn run_again(test: &str) {
    let binary = env::current_exe().expect("a test binary knows its own path");
    let output = Command::new(binary)
        .args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(ALONE, test)
        .output()
        .expect("the running test binary can be started again");
    let stdout = String::from_utf8_lossy(&output.stdout);
    print!("{stdout}");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test}, in a process of its own: {}", output.status);
    assert!(stdout.contains(" 1 passed;"), "{test}: not found by its own name");
}

#[cfg(test)]
mod tests {
    use super::{ALONE, alone};
    use std::{fs, panic};

    #[test]
    fn no_other_test_runs_beside() {
        alone(|| {
            // libtest's main thread, and this one if it made one.
            let threads = fs::read_dir("/proc/self/task").unwrap().count();
            assert!(threads <= 2, "{threads} threads");
        });
    }

    #[test]
    fn a_failure_inside_is_a_failure_outside() {
        let outcome = panic::catch_unwind(|| alone(|| panic!("inside")));
        assert!(outcome.is_err());
        // Inside, the assertion above has passed too: fail, so that the outside sees a failure.
        assert!(std::env::var_os(ALONE).is_none(), "failed on purpose");
    }
}
