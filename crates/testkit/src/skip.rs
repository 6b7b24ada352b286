//! Skipping aloud: a test that cannot run here says so, and somebody counts.
//!
//! Test runners hide what a passing test printed, so the line also goes into the file that the
//! variable `UKEVENT_SKIP_LOG` names. `cargo xtask` sets it, prints what was written, and under CI
//! fails if anything was.

use std::{
    env,
    fmt::Display,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    thread,
};

/// The variable that names the file of skipped tests.
const LOG: &str = "UKEVENT_SKIP_LOG";

/// Says that this test did not run, and why. The caller returns after it; [`skip!`](crate::skip!)
/// does both.
///
/// # Panics
///
/// If the log cannot be written: a skip that nobody hears of is a hole.
pub fn skip(reason: impl Display) {
    eprintln!("SKIPPED: {reason}");
    if let Some(log) = env::var_os(LOG).map(PathBuf::from) {
        append(&log, &format!("{}: {reason}\n", test_name()));
    }
}

/// Says that this test did not run, and why, and returns from it. Takes what `format!` takes.
///
/// ```
/// fn reads_its_own_status() {
///     let status = "/proc/self/status";
///     if !std::path::Path::new(status).exists() {
///         testkit::skip!("no {status} here: proc(5) is not mounted");
///     }
///     assert!(std::fs::read(status).is_ok());
/// }
/// reads_its_own_status();
/// ```
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        $crate::skip(format_args!($($reason)+));
        return;
    }};
}

/// One write of one line with `O_APPEND`: tests of several processes may log at once.
fn append(log: &Path, line: &str) {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|error| panic!("{LOG}={}: {error}", log.display()));
}

/// The name of the running test: what the runner says, else the thread's, which libtest sets.
pub(crate) fn test_name() -> String {
    let told = env::var(crate::alone::ALONE).or_else(|_| env::var("NEXTEST_TEST_NAME"));
    told.unwrap_or_else(|_| match thread::current().name() {
        // An example of the documentation, or a test of a runner that uses no threads.
        None | Some("main") => "an example".to_owned(),
        Some(name) => name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{LOG, append};
    use std::{env, fs, process::Command};

    #[test]
    fn lines_add_up() {
        let tree = crate::TempTree::new();
        let log = tree.path().join("log");
        append(&log, "one: no mountain\n");
        append(&log, "two: no sea\n");
        assert_eq!(fs::read_to_string(log).unwrap(), "one: no mountain\ntwo: no sea\n");
    }

    /// The test runs itself again, as a test that skips: only so can the log be one of its own.
    #[test]
    fn the_log_hears_of_it() {
        const NAME: &str = "skip::tests::the_log_hears_of_it";
        const INNER: &str = "UKEVENT_SKIP_TEST";
        if env::var_os(INNER).is_some() {
            crate::skip!("no {}", "mountain");
        }
        let tree = crate::TempTree::new();
        let log = tree.path().join("log");
        let output = Command::new(env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture", "--test-threads=2"])
            .envs([(INNER, "".as_ref()), (LOG, log.as_os_str())])
            .env_remove("NEXTEST_TEST_NAME")
            .output()
            .unwrap();
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("SKIPPED: no mountain\n"), "{said}");
        assert_eq!(fs::read_to_string(log).unwrap(), format!("{NAME}: no mountain\n"));
    }
}
